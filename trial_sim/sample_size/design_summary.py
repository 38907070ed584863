"""A group-sequential design look by look: patients, events, bounds on three scales, crossing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr
from scipy.stats import t as student

from trial_sim.numerics.roots import find_root
from trial_sim.sample_size.group_sequential_survival import survival_expectations
from trial_sim.sequential.boundaries import drift_for_power
from trial_sim.sequential.integration import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from trial_sim.sample_size.average_hazard import SurvivalScenario
    from trial_sim.sample_size.record import SampleSize
    from trial_sim.sequential.design import GroupSequential

_RATIOS = ("ratio", "rate_ratio", "odds_ratio", "hazard_ratio", "average_hazard_ratio")


def summary_of(
    size: SampleSize, boundaries: GroupSequential, scenario: SurvivalScenario | None
) -> pd.DataFrame:
    """See `SampleSize.summary`."""
    import pandas as pd

    gs, fractions = boundaries, boundaries.information_fractions
    if abs(gs.alpha - size.alpha) > 1e-9 or gs.sided != size.sided:
        raise ValueError(
            f"the boundaries are of {gs.sided}-sided alpha {gs.alpha:g}, the size is of "
            f"{size.sided}-sided {size.alpha:g}: give those that the size was found with"
        )
    if scenario is not None:
        if size.events is None:
            raise ValueError(f"a scenario is of survival trials, this is {size.method!r}")
        return survival_expectations(scenario, boundaries, events=size.events).summary()
    drift = gs.drift
    if abs(size.power - gs.power) > 1e-9:
        drift = drift_for_power(
            fractions, gs.efficacy_bounds, gs.futility_bounds, size.power, gs.sided, gs.drift
        )
    columns: dict[str, Any] = {"information": fractions}
    if size.events is None:
        columns["patients"] = size.n_total * fractions
    else:
        columns["events"] = size.events * fractions
    bounds = {"efficacy": gs.efficacy_bounds}
    if gs.has_futility:
        bounds["futility"] = gs.futility_bounds
    for name, z in bounds.items():
        columns[f"{name}_z"] = z
        columns[f"{name}_p"] = ndtr(-z)
        columns[f"{name}_{size.effect_name}"] = _on_effect_scale(size, z, fractions, drift)
        if gs.sided == 2:
            other = _on_effect_scale(size, -z, fractions, drift)
            columns[f"{name}_{size.effect_name}_other"] = other
    none, planned = gs.stage_probabilities(0.0), gs.stage_probabilities(drift)
    columns["cumulative_alpha"] = gs.alpha_spent
    columns["cumulative_power"] = np.cumsum(planned.upper)
    for name in bounds:
        crossed = "rejection" if name == "efficacy" else "futility"
        columns[f"{name}_h0"] = getattr(none, crossed)
        columns[f"{name}_h1"] = getattr(planned, crossed)
    table = pd.DataFrame(columns)
    table.index = pd.RangeIndex(1, len(table) + 1, name="look")
    return table


def _on_effect_scale(
    size: SampleSize, z: FloatArray, fractions: FloatArray, drift: float
) -> FloatArray:
    """The effect observed where the statistic is ``z`` at each look; NaN at no bound."""
    out = np.full(len(z), np.nan)
    for k in np.flatnonzero(np.isfinite(z)):
        out[k] = _effect(size, float(z[k]), float(fractions[k]), drift)
    return out


def _effect(size: SampleSize, z: float, fraction: float, drift: float) -> float:
    ratio = size.effect_name in _RATIOS
    null = float(size.details.get("null_value", 1.0 if ratio else 0.0))
    sign = 1.0 if size.effect >= null else -1.0
    if size.method.startswith("means"):
        control = size.n_per_arm * fraction
        share = 1.0 if size.n_arms == 1 else 1.0 + 1.0 / size.allocation
        width = size.details["sd"] * np.sqrt(share / control)
        if size.method.endswith(", t"):
            degrees = size.n_total * fraction - size.n_arms
            z = float(student.isf(ndtr(-abs(z)), degrees)) * np.sign(z)
        return float(null + sign * z * width)
    if size.method.startswith("proportions") and null == (1.0 if ratio else 0.0):
        return _pooled(size, sign * z, fraction, ratio)
    if size.method.startswith("survival") and size.events is not None:
        r = size.allocation
        width = (1.0 + r) / np.sqrt(r * size.events * fraction)
        return float(null * np.exp(sign * z * width))
    # An estimate whose mean is the planned effect where the statistic's is the drift.
    share = z / (drift * np.sqrt(fraction))
    if ratio:
        return float(null * (size.effect / null) ** share)
    return float(null + (size.effect - null) * share)


def _pooled(size: SampleSize, z: float, fraction: float, ratio: bool) -> float:
    """Difference or ratio of proportions at which the pooled test of no difference gives ``z``."""
    p2, r, n2 = size.details["p2"], size.allocation, size.n_per_arm * fraction

    def gap(p1: float) -> float:
        mean = (r * p1 + p2) / (1.0 + r)
        width = np.sqrt(max(mean * (1.0 - mean), 1e-300) * (1.0 / n2) * (1.0 + 1.0 / r))
        return float((p1 - p2) / width - z)

    if gap(0.0) > 0 or gap(1.0) < 0:
        return float("nan")  # no proportion is so far away
    p1 = find_root(gap, p2, 0.01, 0.0, 1.0, 1e-12, 1e-10, "the proportion at a bound")
    return float(p1 / p2 if ratio else p1 - p2)
