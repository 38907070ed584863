"""Assurance by simulation: the probability of success averaged over what is believed.

The closed forms for normal estimates are in ``trial_sim.sample_size.assurance``; the definitions
have the same names there:

``"unconditional"``           P(trial succeeds), the effect drawn from the whole prior;
``"conditional_on_benefit"``  P(trial succeeds | the true effect is a benefit);
``"joint"``                   P(trial succeeds and the true effect is a benefit).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.design.design import Design
from trial_sim.exploration.fields import find_field, get_field, set_fields
from trial_sim.exploration.grid import latin_hypercube
from trial_sim.numerics.monte_carlo import Estimate, average
from trial_sim.sample_size.assurance import DEFINITIONS
from trial_sim.simulation.simulate import Job, check_inputs, run_jobs


@dataclass(frozen=True, eq=False)
class SimulatedAssurance:
    """An assurance with its Monte-Carlo error.

    Attributes:
        definition: ``"unconditional"``, ``"conditional_on_benefit"`` or ``"joint"``.
        value: the assurance. power_at_base: power at the base case, for comparison.
        probability_of_benefit: share of the prior that is a benefit (1 if not asked).
        draws: one row a draw of the prior: its parameters, power, benefit.
    """

    definition: str
    value: Estimate
    power_at_base: Estimate
    probability_of_benefit: float
    draws: pd.DataFrame


def simulate_assurance(
    design: Design,
    outcomes: Any,
    priors: Mapping[str, Any],
    n_draws: int = 200,
    n_trials: int = 100,
    seed: int = 0,
    n_jobs: int = 1,
    definition: str = "unconditional",
    benefit: Callable[[Mapping[str, Any]], bool] | None = None,
) -> SimulatedAssurance:
    """Assurance of a design by simulation.

    The prior is drawn by Latin hypercube and each draw is simulated with its own random numbers.
    The Monte-Carlo error is that between draws, which covers both and, since the hypercube spreads
    the draws, is on the safe side. For a fitted trial whose parameters are redrawn in every
    simulated trial, ``simulate(...).power`` is the unconditional assurance already.

    Args:
        design, outcomes: the base case.
        priors: field → distribution with ``ppf`` (scipy.stats), or a range for a uniform one.
        n_draws: draws of the prior. n_trials: trials a draw. seed, n_jobs: as ``simulate``.
        definition: which assurance.
        benefit: function of a draw's fields that says whether it is a benefit; by default a hazard
            ratio below 1.

    Raises:
        ValueError: for an unknown definition or field, or a prior without any benefit.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
        >>> found = ts.simulate_assurance(
        ...     design, outcomes, {"hazard_ratio": (0.5, 1.0)}, n_draws=8, n_trials=20, seed=1
        ... )
        >>> len(found.draws), 0 <= found.value.estimate <= 1
        (8, True)
    """
    if definition not in DEFINITIONS:
        raise ValueError(f"definition {definition!r} is unknown{nearest(definition, DEFINITIONS)}")
    check_inputs(design, outcomes)
    if benefit is None and definition != "unconditional":
        if "hazard_ratio" not in priors:
            raise ValueError(
                "benefit must say which draws are a benefit, since no hazard_ratio varies"
            )
        benefit = _hazard_ratio_below_one
    base = {
        name: get_field(design, outcomes, find_field(design, outcomes, name)) for name in priors
    }
    points = latin_hypercube(priors, base, n_draws, seed)
    jobs = [Job(design, outcomes, 0)]
    for index, point in enumerate(points, start=1):
        jobs.append(Job(*set_fields(design, outcomes, point), index))
    powers = np.full(len(jobs), np.nan)
    at_base = average(np.empty(0))
    for index, result in run_jobs(jobs, n_trials, seed, n_jobs):
        powers[index] = result.power
        if index == 0:
            at_base = average(result.success.astype(float))
    draws = pd.DataFrame(points).assign(power=powers[1:])
    draws["benefit"] = [True if benefit is None else bool(benefit(p)) for p in points]
    good = draws["benefit"].to_numpy()
    if definition == "conditional_on_benefit":
        if not good.any():
            raise ValueError("no draw of the prior is a benefit, so nothing can be conditioned on")
        value = average(powers[1:][good])
    else:
        value = average(powers[1:] * good if definition == "joint" else powers[1:])
    return SimulatedAssurance(definition, value, at_base, float(good.mean()), draws)


def _hazard_ratio_below_one(point: Mapping[str, Any]) -> bool:
    return bool(np.all(np.asarray(point["hazard_ratio"]) < 1))
