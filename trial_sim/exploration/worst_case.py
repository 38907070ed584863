"""The worst type I error over a grid of nuisance values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from trial_sim.design.design import Design
from trial_sim.exploration.fields import set_fields
from trial_sim.exploration.grid import what_if
from trial_sim.exploration.search import is_whole
from trial_sim.numerics.monte_carlo import Estimate, share
from trial_sim.simulation.simulate import simulate

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False)
class WorstCase:
    """Outcome of :func:`worst_case_type_one_error`.

    Attributes:
        parameters: nuisance values of the worst scenario found.
        type_one_error: its error with Monte-Carlo error, from trials not used in the search.
        search: the screened scenarios. finalists: the scenarios simulated again.
    """

    parameters: dict[str, Any]
    type_one_error: Estimate
    search: pd.DataFrame
    finalists: pd.DataFrame


def worst_case_type_one_error(
    design: Design,
    outcomes: Any,
    ranges: Mapping[str, Any],
    n_trials: int = 20_000,
    n_points: int = 64,
    n_finalists: int = 5,
    seed: int = 0,
    n_jobs: int = 1,
) -> WorstCase:
    """Search nuisance parameters for the largest type I error.

    A Latin hypercube is screened with a quarter of the trials; the finalists are simulated again
    with fresh random numbers, since the largest of many noisy values is biased upwards, and the
    worst of them once more, fresh again, for the value reported.

    Args:
        design: the trial. outcomes: a scenario under the null hypothesis.
        ranges: nuisance field → (low, high) or distribution with ``ppf``.
        n_trials: trials of each finalist. n_points: scenarios screened.
        n_finalists: scenarios simulated again. seed, n_jobs: as ``simulate``.

    Raises:
        ValueError: if ``outcomes`` has a hazard ratio other than 1.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> null = ts.PiecewiseExponential(control_median=12)
        >>> worst = ts.worst_case_type_one_error(
        ...     design,
        ...     null,
        ...     {"control_median": (6, 24)},
        ...     n_trials=400,
        ...     n_points=4,
        ...     n_finalists=2,
        ... )
        >>> sorted(worst.parameters), 0 <= worst.type_one_error.estimate <= 1
        (['control_median'], True)
    """
    effect = getattr(outcomes, "hazard_ratio", 1.0)
    ratios = list(effect.values()) if isinstance(effect, Mapping) else [effect]
    if any(np.any(np.asarray(r, dtype=float) != 1.0) for r in ratios):
        raise ValueError(f"type I error needs a hazard ratio of 1, got {effect!r}")
    search = what_if(
        design,
        outcomes,
        ranges,
        n_trials=max(1, n_trials // 4),
        seed=seed,
        n_jobs=n_jobs,
        sampling="latin_hypercube",
        n_points=n_points,
    )
    names = search.parameters
    best = search.table.nlargest(min(n_finalists, len(search)), "power")
    rows = []
    for place, (_, row) in enumerate(best.iterrows()):
        changes = {name: row[name] for name in names}
        changes = {k: int(v) if is_whole(search.table, k) else float(v) for k, v in changes.items()}
        changed, scenario = set_fields(design, outcomes, changes)
        again = simulate(changed, scenario, n_trials, seed, n_jobs, scenario=1 + place)
        rows.append({**changes, **vars(share(again.success))})
    finalists = pd.DataFrame(rows)
    top = finalists.iloc[int(finalists["estimate"].to_numpy().argmax())]
    worst = {k: int(top[k]) if is_whole(search.table, k) else float(top[k]) for k in names}
    changed, scenario = set_fields(design, outcomes, worst)
    final = simulate(changed, scenario, n_trials, seed, n_jobs, scenario=1 + n_finalists)
    return WorstCase(worst, share(final.success), search.table, finalists)
