"""``what_if``: the same trial under many assumptions, with common random numbers."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.base.records import to_plain
from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.design import Design
from trial_sim.exploration.fields import find_field, get_field, set_fields
from trial_sim.exploration.what_if_result import WhatIf
from trial_sim.numerics.monte_carlo import average, share
from trial_sim.simulation.operating_characteristics import SimulationResult
from trial_sim.simulation.simulate import Job, as_run, check_inputs, run_jobs

SAMPLINGS = ("grid", "latin_hypercube", "one_at_a_time")
COSTS = ("events", "patients", "duration")
Name = str | tuple[str, ...]


def what_if(
    design: Design | AdaptiveDesign,
    outcomes: Any,
    variations: Mapping[Any, Any],
    n_trials: int = 2_000,
    seed: int = 0,
    n_jobs: int = 1,
    *,
    sampling: str = "grid",
    n_points: int = 64,
    common_random_numbers: bool = True,
    backend: str = "threads",
    client: Any = None,
    progress: bool = False,
) -> WhatIf:
    """Simulate a design under many assumptions.

    Args:
        design, outcomes: the base case, which is simulated too, for the differences.
        variations: field → values. A field of the design or the outcomes by name
            (``"hazard_ratio"``, ``"n_patients"``, ``"accrual.rate"``), or a tuple of fields that
            change together, with tuples of values. With ``sampling="latin_hypercube"`` the value is
            a range ``(low, high)`` or a distribution with ``ppf`` (scipy.stats).
        n_trials: trials a scenario. seed, n_jobs, backend, client, progress: as ``simulate``.
        sampling: ``"grid"`` (every combination), ``"latin_hypercube"`` (``n_points`` scenarios
            spread over the ranges), ``"one_at_a_time"`` (each value alone, the rest as the base).
        n_points: scenarios of a Latin hypercube.
        common_random_numbers: let all scenarios share their random numbers, which makes differences
            far more precise than the values themselves.

    Returns:
        a :class:`WhatIf`, whose ``table`` has a row a scenario. If interrupted (Ctrl-C), those done
        so far.

    Raises:
        ValueError, TypeError: for unknown fields or values that design or outcomes refuse.

    >>> import trial_sim as ts
    >>> design = ts.Design(
    ...     arms={"control": 1, "treatment": 1},
    ...     n_patients=300,
    ...     accrual=ts.Accrual(rate=20.0),
    ...     looks=ts.EventLooks([200]),
    ... )
    >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
    >>> found = ts.what_if(design, outcomes, {"hazard_ratio": [0.9, 0.6]}, n_trials=200)
    >>> bool(found["power"][0] < found["power"][1])
    True
    """
    check_inputs(design, outcomes)
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling {sampling!r} is unknown{nearest(sampling, SAMPLINGS)}")
    if not isinstance(variations, Mapping):
        raise ValueError(
            "variations maps fields to values, such as {'hazard_ratio': [0.6, 0.7]}; "
            f"got {variations!r}"
        )
    if not variations:
        raise ValueError("variations must name at least one field, got none")
    names = [n for key in variations for n in _members(key)]
    paths = {name: find_field(design, outcomes, name) for name in names}
    base = {name: get_field(design, outcomes, paths[name]) for name in names}
    points = _points(variations, base, sampling, n_points, seed)
    jobs, notes = [Job(as_run(design), outcomes, 0)], [""]
    for index, point in enumerate(points, start=1):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            changed, scenario = set_fields(design, outcomes, point)
        check_inputs(changed, scenario)
        jobs.append(Job(as_run(changed), scenario, 0 if common_random_numbers else index))
        notes.append("; ".join(str(w.message) for w in caught))
    rows: dict[int, dict[str, Any]] = {}
    kept: dict[int, SimulationResult] = {}
    for index, result in run_jobs(
        jobs, n_trials, seed, n_jobs, backend=backend, client=client, progress=progress
    ):
        if index == 0 or 0 not in kept:
            kept[index] = result  # held until the base case is there to compare with
        else:
            rows[index] = _row(result, kept[0], common_random_numbers)
        if index == 0:
            for other in [i for i in kept if i]:
                rows[other] = _row(kept.pop(other), result, common_random_numbers)
    reference = kept.get(0)
    for other in [i for i in kept if i]:
        rows[other] = _row(kept.pop(other), None, common_random_numbers)
    table = [
        {**{n: _cell(points[i - 1].get(n, base[n])) for n in names}, **rows[i], "note": notes[i]}
        for i in sorted(rows)
    ]
    return WhatIf(
        table=pd.DataFrame(table),
        parameters=names,
        assumptions=[name for name in names if paths[name][0] == "outcomes"],
        changed=[tuple(points[i - 1]) for i in sorted(rows)],
        base={
            **{n: _cell(v) for n, v in base.items()},
            **(_row(reference, None, False) if reference is not None else {}),
        },
        run={
            "design": to_plain(design),
            "outcomes": to_plain(outcomes),
            "variations": [[to_plain(k), to_plain(v)] for k, v in variations.items()],
            "n_trials": n_trials,
            "seed": seed,
            "sampling": sampling,
            "n_points": n_points,
            "common_random_numbers": common_random_numbers,
        },
    )


def _members(key: Name) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(key)


def _cell(value: Any) -> Any:
    """Values as they can stand in a column: numbers as they are, everything else as text."""
    if isinstance(value, bool | int | float | str | np.number) or value is None:
        return value
    if isinstance(value, Sequence) and all(isinstance(v, int | float) for v in value):
        return str(list(value))
    return str(value)


def _values(key: Name, values: Any) -> list[dict[str, Any]]:
    """The changes that one key of the variations asks for."""
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or not len(values):
        raise ValueError(f"variations of {key!r} must be a list of values, got {values!r}")
    if isinstance(key, str):
        return [{key: v.item() if isinstance(v, np.generic) else v} for v in values]
    for member in values:
        if len(member) != len(key):
            raise ValueError(f"values of {key!r} must be tuples of {len(key)}, got {member!r}")
    return [dict(zip(key, member)) for member in values]


def _points(
    variations: Mapping[Any, Any], base: Mapping[str, Any], sampling: str, n_points: int, seed: int
) -> list[dict[str, Any]]:
    if sampling == "latin_hypercube":
        return latin_hypercube(variations, base, n_points, seed)
    axes = [_values(key, values) for key, values in variations.items()]
    if sampling == "one_at_a_time":
        return [change for axis in axes for change in axis]
    return [
        {name: value for change in combination for name, value in change.items()}
        for combination in itertools.product(*axes)
    ]


def latin_hypercube(
    ranges: Mapping[str, Any], base: Mapping[str, Any], n_points: int, seed: int
) -> list[dict[str, Any]]:
    """Points spread over ranges: one in each of ``n_points`` slices of every field.

    Args:
        ranges: field → (low, high), or a distribution with ``ppf``.
        base: values of the base case; fields that hold whole numbers there get whole numbers.
        n_points: how many. seed: of the random numbers.

    Raises:
        ValueError: for a range that is not one.
    """
    if n_points != int(n_points) or n_points < 1:
        raise ValueError(f"n_points must be a whole number of at least 1, got {n_points!r}")
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x1A51])))
    columns: dict[str, list[Any]] = {}
    for name, limits in ranges.items():
        u = (random.permutation(n_points) + random.random(n_points)) / n_points
        if hasattr(limits, "ppf"):
            values = np.asarray(limits.ppf(u), dtype=float)
        else:
            pair = tuple(limits) if isinstance(limits, Sequence | np.ndarray) else ()
            if len(pair) != 2 or not pair[0] < pair[1]:
                raise ValueError(
                    f"range of {name!r} must be (low, high) or a distribution with ppf, got "
                    f"{limits!r}"
                )
            values = pair[0] + u * (pair[1] - pair[0])
        whole = isinstance(base[name], int) and not isinstance(base[name], bool)
        columns[name] = [round(v) if whole else float(v) for v in values]
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def _row(result: SimulationResult, base: SimulationResult | None, paired: bool) -> dict[str, Any]:
    power = share(result.success)
    row: dict[str, Any] = {
        "n_trials": result.n_trials,
        "power": power.estimate,
        "power_mcse": power.mcse,
        "power_lower": power.lower,
        "power_upper": power.upper,
    }
    for name in COSTS:
        cost = average(getattr(result, name).astype(float))
        row[f"expected_{name}"], row[f"expected_{name}_mcse"] = cost.estimate, cost.mcse
    row["duration_95"] = float(np.quantile(result.duration, 0.95))
    if base is None:
        return row
    for name, column in (("success", "power"), *((c, f"expected_{c}") for c in COSTS)):
        if paired:
            difference = result.compare(base, name)
            value, mcse = difference.estimate, difference.mcse
        else:
            mine, theirs = (average(getattr(r, name).astype(float)) for r in (result, base))
            value = mine.estimate - theirs.estimate
            mcse = float(np.hypot(mine.mcse, theirs.mcse))
        row[f"{column}_difference"], row[f"{column}_difference_mcse"] = value, mcse
    return row
