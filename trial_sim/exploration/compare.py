"""Several designs of one question, side by side, on the same random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from trial_sim.exploration.fields import find_field, set_fields
from trial_sim.numerics.monte_carlo import average, share
from trial_sim.simulation.simulate import simulate

_DRAWN = (("power", "power"), ("patients", "expected patients"), ("duration", "expected months"))


@dataclass(frozen=True, eq=False)
class DesignComparison:
    """What :func:`compare_designs` returns.

    Attributes:
        table: a row a design and value: ``design``, the field, ``power``, ``patients`` and
            ``duration`` (means at the last decision), each with its ``_mcse``.
        field: what was varied.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=60,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EnrolmentLooks([60]),
        ...     test="t_test",
        ... )
        >>> found = ts.compare_designs(
        ...     {"fixed": design}, ts.ContinuousResponse(0.5), "difference", [0.0, 0.5], n_trials=50
        ... )
        >>> found.field, len(found.plot())
        ('difference', 3)
    """

    table: pd.DataFrame
    field: str

    def plot(self) -> Any:
        """Power, expected patients and expected months by the value; the matplotlib Axes, (3,)."""
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
        for ax, (column, label) in zip(axes, _DRAWN):
            for name, rows in self.table.groupby("design", sort=False):
                ax.plot(rows[self.field], rows[column], marker="o", ms=3, label=str(name))
            ax.set_xlabel(self.field.rsplit(".", 1)[-1].replace("_", " "))
            ax.set_ylabel(label)
        axes[0].legend(frameon=False)
        return axes


def compare_designs(
    designs: Mapping[str, Any],
    outcomes: Any,
    field: str,
    values: Sequence[float],
    n_trials: int = 2_000,
    seed: int = 0,
    n_jobs: int = 1,
) -> DesignComparison:
    """Simulate several designs over a range of one field of the outcomes, such as the true effect.

    All share their random numbers, so that differences are more precise than the values.

    Args:
        designs: name → design: fixed, group-sequential, adaptive.
        outcomes: the scenario. field: of the outcomes, as ``what_if`` names it. values: of it.
        n_trials, seed, n_jobs: as ``simulate``.

    Raises:
        ValueError: without designs, or for a field that the outcomes do not have.

    Examples:
        >>> import trial_sim as ts
        >>> fixed = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=100,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EnrolmentLooks([100]),
        ...     test="t_test",
        ... )
        >>> sequential = fixed.replace(
        ...     looks=ts.EnrolmentLooks([50, 100]), boundaries=ts.group_sequential((0.5, 1))
        ... )
        >>> found = ts.compare_designs(
        ...     {"fixed": fixed, "group-sequential": sequential},
        ...     ts.ContinuousResponse(0.5),
        ...     "difference",
        ...     [0.0, 0.5],
        ...     n_trials=100,
        ... )
        >>> found.table["design"].tolist()[::2], len(found.plot())
        (['fixed', 'group-sequential'], 3)
    """
    if not designs:
        raise ValueError("designs must name one design or more, got none")
    rows = []
    for name, design in designs.items():
        path = find_field(design, outcomes, field)
        if path[0] != "outcomes":
            raise ValueError(f"{field!r} is a field of the design, not of the outcomes")
        for value in values:
            _, scenario = set_fields(design, outcomes, {field: value})
            result = simulate(design, scenario, n_trials, seed, n_jobs)
            row: dict[str, Any] = {"design": name, field: value}
            for column, found in (
                ("power", share(result.success)),
                ("patients", average(result.patients.astype(float))),
                ("duration", average(result.duration.astype(float))),
            ):
                row[column], row[f"{column}_mcse"] = found.estimate, found.mcse
            rows.append(row)
    return DesignComparison(pd.DataFrame(rows), field)
