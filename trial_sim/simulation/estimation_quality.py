"""How good the effect estimates of simulated trials are: bias, error and coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import ndtri

from trial_sim.engine.interim_analyses import EFFICACY
from trial_sim.numerics.monte_carlo import average, quantile, root_mean_square, share
from trial_sim.sequential import inference as sequential_inference
from trial_sim.sequential.design import GroupSequential
from trial_sim.sequential.family_bounds import STEPWISE

if TYPE_CHECKING:
    from trial_sim.simulation.operating_characteristics import SimulationResult


def estimate_performance(result: SimulationResult, truth: float, level: float) -> pd.DataFrame:
    """See :meth:`SimulationResult.estimate_performance`."""
    half = float(ndtri(0.5 + level / 2))
    rows = []
    for c, arm in enumerate(result.design.arm_names[1:]):
        effect, se = result.conducted.estimate[:, c], result.conducted.se[:, c]
        known = np.isfinite(effect) & np.isfinite(se)
        effect, se = effect[known], se[known]
        methods = [("naive", effect, effect - half * se, effect + half * se)]
        adjusted = adjusted_estimates(result, level, c)
        if adjusted is not None:
            table = adjusted[known]
            columns = (table[name].to_numpy() for name in ("estimate", "lower", "upper"))
            methods.append(("adjusted", *columns))
        for method, point, lower, upper in methods:
            for name, value in (
                ("bias", average(point - truth)),
                ("median bias", quantile(point - truth, 0.5)),
                ("rmse", root_mean_square(point - truth)),
                ("coverage", share((lower <= truth) & (truth <= upper))),
            ):
                rows.append({"arm": arm, "method": method, "quantity": name, **vars(value)})
    return pd.DataFrame(rows)


def adjusted_estimates(
    result: SimulationResult, level: float, comparison: int
) -> pd.DataFrame | None:
    """See :meth:`SimulationResult.adjusted_estimates`."""
    boundaries = result.design.boundaries_in_force
    if not isinstance(boundaries, GroupSequential) or result.design.multiplicity in STEPWISE:
        return None  # the bounds of a step-down method differ from trial to trial
    bounds = result.conducted.efficacy
    as_planned = np.isnan(bounds) | np.isclose(bounds, result.design.efficacy_bounds, atol=1e-6)
    before_last = np.arange(bounds.shape[1]) < result.conducted.last_look[:, None]
    if result.design.max_information is not None and not (as_planned | ~before_last).all():
        return None  # each trial had boundaries, and so an ordering, of its own
    settled = result.conducted.decision[:, :, comparison] >= EFFICACY
    look = settled.argmax(axis=1)
    z = result.conducted.z[np.arange(result.n_trials), look, comparison]
    table = sequential_inference.adjusted_estimates(boundaries, look + 1, z, level)
    # z = drift * sqrt(t): a drift of 1 is sqrt(t) standard errors of the effect at this look.
    fraction = np.asarray(boundaries.information_fractions)[look]
    unit = result.direction * result.conducted.se[:, comparison] * np.sqrt(fraction)
    scaled = table[["estimate", "lower", "upper"]].mul(unit, axis=0)
    if result.direction < 0:
        scaled = scaled.rename(columns={"lower": "upper", "upper": "lower"})
    scaled["p_value"] = table["p_value"].to_numpy()
    return scaled[["estimate", "lower", "upper", "p_value"]]
