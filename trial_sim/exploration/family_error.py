"""The family-wise error of a design, over every configuration of true null hypotheses."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.design import Design
from trial_sim.numerics.monte_carlo import share
from trial_sim.scenarios import BySubgroup
from trial_sim.simulation.adaptive_result import AdaptiveResult
from trial_sim.simulation.simulate import simulate

_MOST_ARMS = 8
# Fields that say the effect of an arm → its value without one; None: that of the control.
_EFFECTS: dict[str, float | None] = {
    "hazard_ratio": 1.0,
    "difference": 0.0,
    "treatment_rate": None,
    "rate_ratio": 1.0,
    "odds_ratio": 1.0,
}


def without_effect(outcomes: Any, arms: tuple[str, ...], null: tuple[str, ...]) -> Any:
    """The scenario with no effect in some arms.

    Args:
        arms: names of all arms, control first. null: those that get no effect.

    Raises:
        ValueError: for a scenario whose effects are not known by name.

    Examples:
        >>> import trial_sim as ts
        >>> from trial_sim.exploration.family_error import without_effect
        >>> outcomes = ts.ContinuousResponse({"low": 0.3, "high": 0.5})
        >>> without_effect(outcomes, ("control", "low", "high"), ("low",)).difference
        {'low': 0.0, 'high': 0.5}
    """
    if isinstance(outcomes, BySubgroup):
        parts = {
            level: without_effect(one, arms, null) for level, one in outcomes.scenarios.items()
        }
        return dataclasses.replace(outcomes, scenarios=parts)
    names = [f.name for f in dataclasses.fields(outcomes)] if _is_record(outcomes) else []
    if "base" in names:
        return dataclasses.replace(outcomes, base=without_effect(outcomes.base, arms, null))
    found = [name for name in _EFFECTS if name in names]
    if len(found) != 1:
        raise ValueError(
            f"what no effect is in {type(outcomes).__name__} is not known: give configurations, "
            "name → (outcomes, true null hypotheses)"
        )
    name = found[0]
    none = _EFFECTS[name]
    value = float(outcomes.control_rate) if none is None else none
    now = getattr(outcomes, name)
    by_arm = {arm: now[arm] if isinstance(now, Mapping) else now for arm in arms[1:]}
    changed = {
        arm: v if arm not in null else (value if np.ndim(v) == 0 else [value] * len(v))
        for arm, v in by_arm.items()
    }
    return dataclasses.replace(outcomes, **{name: changed})


def _is_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def family_wise_error(
    design: Design | AdaptiveDesign,
    outcomes: Any,
    n_trials: int = 10_000,
    seed: int = 0,
    n_jobs: int = 1,
    configurations: Mapping[str, tuple[Any, Any]] | None = None,
    first_trial: int = 0,
) -> pd.DataFrame:
    """Simulate the chance of any false rejection, for every configuration of null hypotheses.

    By default each set of arms without an effect is one, the other arms having the effects of
    ``outcomes``; with ``BySubgroup`` outcomes and populations, no effect in each tested population
    is one, too. All share their random numbers.

    Args:
        design: the trial. outcomes: the scenario whose effects the other arms keep.
        n_trials, seed, n_jobs: as ``simulate``, for each configuration.
        configurations: name → (outcomes, names of the hypotheses that are true then): an arm, or
            "arm in population".
        first_trial: number of the first trial, to go on where another run ended.

    Returns:
        a row a configuration: ``true_nulls``, ``error`` with ``mcse``, ``lower`` and ``upper``
        (95 % interval), ``n_trials``; the largest error is in ``attrs["worst"]``.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "low": 1, "high": 1},
        ...     n_patients=120,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EnrolmentLooks([120]),
        ...     test="t_test",
        ...     multiplicity="holm",
        ... )
        >>> outcomes = ts.ContinuousResponse({"low": 0.5, "high": 0.5})
        >>> table = ts.family_wise_error(design, outcomes, n_trials=200, seed=1)
        >>> table["true_nulls"].tolist()
        ['low', 'high', 'low, high']
        >>> bool((table["error"] < 0.1).all())
        True
    """
    made = dict(configurations) if configurations else dict(_every(design, outcomes))
    rows: list[dict[str, Any]] = []
    for name, (scenario, true) in made.items():
        result = simulate(design, scenario, n_trials, seed, n_jobs, first_trial=first_trial)
        if isinstance(result, AdaptiveResult):
            hypotheses, rejected = list(result.hypotheses), result.rejected_hypotheses
        else:
            hypotheses, rejected = list(result.design.arm_names[1:]), result.rejected
        wanted = [true] if isinstance(true, str) else list(true)
        for one in wanted:
            if one not in hypotheses:
                raise ValueError(f"there is no hypothesis {one!r}; there are: {hypotheses}")
        at = [hypotheses.index(one) for one in wanted]
        found = share(np.asarray(rejected[:, at].any(axis=1)))
        rows.append(
            {
                "true_nulls": name,
                "error": found.estimate,
                "mcse": found.mcse,
                "lower": found.lower,
                "upper": found.upper,
                "n_trials": result.n_trials,
            }
        )
    table = pd.DataFrame(rows)
    table.attrs["worst"] = max(rows, key=lambda row: float(row["error"]))
    return table


def _every(
    design: Design | AdaptiveDesign, outcomes: Any
) -> Iterator[tuple[str, tuple[Any, tuple[str, ...]]]]:
    adaptive = isinstance(design, AdaptiveDesign)
    arms = tuple(design.arms)
    if len(arms) - 1 > _MOST_ARMS:
        raise ValueError(
            f"{len(arms) - 1} arms have too many configurations: name those wanted in "
            "configurations"
        )
    populations = design.tested_populations if isinstance(design, AdaptiveDesign) else (None,)
    for size in range(1, len(arms)):
        for null in itertools.combinations(arms[1:], size):
            true = [
                arm if population is None else f"{arm} in {population}"
                for population in populations
                for arm in null
            ]
            yield ", ".join(true), (without_effect(outcomes, arms, null), tuple(true))
    if not adaptive or len(populations) == 1 or not isinstance(outcomes, BySubgroup):
        return
    assert isinstance(design, AdaptiveDesign)
    levels = list(design.design.strata[outcomes.factor])
    for population in populations[1:]:
        assert population is not None
        members = design.members(population)
        if set(members) != {outcomes.factor}:
            continue
        inside = [levels[code] for code in members[outcomes.factor]]
        parts = {
            level: without_effect(one, arms, arms[1:]) if level in inside else one
            for level, one in outcomes.scenarios.items()
        }
        true = [f"{arm} in {population}" for arm in arms[1:]]
        yield ", ".join(true), (dataclasses.replace(outcomes, scenarios=parts), tuple(true))
