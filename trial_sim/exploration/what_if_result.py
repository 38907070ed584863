"""What a what-if analysis found: a table, one row a scenario, and what was varied in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from trial_sim.base.output_places import replacing
from trial_sim.base.parquet import write_parquet
from trial_sim.base.provenance import write_record
from trial_sim.base.user_warnings import warn_user
from trial_sim.exploration.plots import draw
from trial_sim.exploration.search import cheapest, levers


@dataclass(frozen=True, repr=False, eq=False)
class WhatIf:
    """The scenarios of a what-if analysis, as :func:`trial_sim.what_if` returns them.

    A column is read as ``found["power"]``; everything else that a DataFrame can do is asked of
    ``found.table``. Asked of the record itself it works too, with a warning.

    Attributes:
        table: one row a scenario. Columns: the varied fields; ``n_trials``; ``power`` with
            ``power_mcse``, ``power_lower``, ``power_upper``; ``expected_events``,
            ``expected_patients``, ``expected_duration`` and ``duration_95`` with their ``_mcse``;
            and, for power and each cost, the paired difference from the base case,
            ``…_difference`` and ``…_difference_mcse``. Row by row, ``note`` says what could not be
            as planned.
        parameters: names of the varied fields. assumptions: those of them that are of the outcomes.
        changed: the fields that each row changes.
        base: fields and results of the base case.
        run: design, outcomes, variations, seed and all else that makes the table again.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.6)
        >>> found = ts.what_if(design, outcomes, {"hazard_ratio": [0.6, 0.8]}, n_trials=100, seed=1)
        >>> len(found), found.parameters, sorted(found.base)[:2]
        (2, ['hazard_ratio'], ['duration_95', 'expected_duration'])
        >>> found.table.shape == (2, len(found.table.columns)), found["hazard_ratio"].tolist()
        (True, [0.6, 0.8])
        >>> float(found.cheapest(power=0.2)["hazard_ratio"])
        0.6
        >>> list(found.levers())[:2], found.sampling
        (['change', 'power_gain'], 'grid')
        >>> found.plot().get_xlabel()
        'hazard ratio'
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     print(ts.verify(found.save(f"{folder}/table.csv")).passed)
        True
    """

    table: pd.DataFrame
    parameters: list[str]
    assumptions: list[str]
    changed: list[tuple[str, ...]]
    base: dict[str, Any]
    run: dict[str, Any]

    @property
    def sampling(self) -> str:
        """How the scenarios were chosen: "grid", "latin_hypercube" or "one_at_a_time"."""
        return str(self.run["sampling"])

    def plot(self, kind: str = "auto", value: str = "power", **options: Any) -> Any:
        """Draw the table; returns the matplotlib Axes.

        Args:
            kind: ``"curve"`` (one or two fields), ``"heatmap"`` (two fields), ``"tornado"``
                (one-at-a-time tables), ``"scatter"``, or ``"auto"``.
            value: column drawn. options: ``x``, ``y``, ``ax``.
        """
        return draw(self, kind, value, **options)

    def save(self, path: str | Path) -> Path:
        """Write the table (CSV or Parquet by the ending) with its record beside it.

        ``trial_sim.verify`` makes the table again from the record: design, outcomes, variations,
        seed. Those that no file can hold (a function, a distribution) it names.

        Returns:
            The path.
        """
        place = Path(path)
        with replacing(place) as made:
            if place.suffix == ".parquet":
                write_parquet(self.table, made)
            else:
                self.table.to_csv(made, index=False)
        write_record(place, "what_if", self.run, {})
        return place

    def cheapest(
        self,
        power: float = 0.9,
        max_duration: float | None = None,
        cost: str | Mapping[str, float] = "expected_patients",
        certain: bool = False,
    ) -> pd.Series:
        """The cheapest design with at least ``power`` that ends in time, if the plan holds.

        A sponsor chooses the design and not the truth: where fields of the outcomes were varied
        too, only rows that have them as planned are candidates.

        Args:
            power: least power. max_duration: most expected months.
            cost: a column, or prices such as ``{"patients": 30_000, "months": 500_000}``, whose sum
                becomes the column ``cost``.
            certain: ask that the lower end of the 95 % interval of the power reaches ``power``.

        Raises:
            ValueError: if no row qualifies, saying what comes nearest.
        """
        return cheapest(self, power, max_duration, cost, certain)

    def levers(self) -> pd.DataFrame:
        """What each change buys: power gained per extra patient and per extra month."""
        return levers(self)

    def __len__(self) -> int:
        """Number of scenarios."""
        return len(self.table)

    def __getitem__(self, key: Any) -> Any:
        return self.table[key]

    def __contains__(self, column: object) -> bool:
        return column in self.table

    def __repr__(self) -> str:
        return repr(self.table)

    def _repr_html_(self) -> str:
        return str(self.table.to_html(notebook=True, max_rows=60))

    # a list of the record would be one of column names: pd.DataFrame(record) is refused, not wrong
    __iter__ = None

    def __getattr__(self, name: str) -> Any:
        """What the table has and the record has not, with a warning (it was a DataFrame before)."""
        if name.startswith("_") or name == "table":
            raise AttributeError(f"WhatIf has no attribute {name!r}")
        if name == "attrs":
            value: Any = {
                **{k: v for k, v in vars(self).items() if k != "table"},
                "sampling": self.sampling,
                "seed": self.run["seed"],
                "n_trials": self.run["n_trials"],
            }
        elif hasattr(self.table, name):
            value = getattr(self.table, name)
        else:
            raise AttributeError(f"WhatIf has no attribute {name!r}, and its table has none")
        warn_user(
            f"what_if returns a record, no DataFrame: write .table.{name} in place of .{name}"
            if name != "attrs"
            else "what_if returns a record, no DataFrame: its attrs are fields now, such as .base",
            FutureWarning,
        )
        return value
