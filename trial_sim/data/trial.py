"""`Trial`: a patient-level table, checked once at the border, and what its columns mean.

Everything downstream (generators, outcome models, audits) speaks `Trial` and `TrialSchema`. A
schema describes columns, levels and bounds without holding a single row, so that a saved model can
carry it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.data.column_checks import (
    MOST_OWN,
    check_category,
    check_finite,
    first_row,
    plain,
    plain_table,
    warn_of_alike,
)
from trial_sim.data.constraints import constraint_columns, holds
from trial_sim.data.endpoints import (
    Binary,
    CompetingRisks,
    Continuous,
    Count,
    Endpoint,
    Longitudinal,
    Ordinal,
    Recurrent,
    TimeToEvent,
)
from trial_sim.data.schema import Column, TrialSchema, describe_column
from trial_sim.data.texts import as_dates
from trial_sim.statistics.validation import merge_ties

__all__ = [
    "Binary",
    "Column",
    "CompetingRisks",
    "Continuous",
    "Count",
    "Endpoint",
    "Longitudinal",
    "Ordinal",
    "Recurrent",
    "TimeToEvent",
    "Trial",
    "TrialSchema",
]

TIME_UNITS = ("days", "weeks", "months", "years")


@dataclass(frozen=True, eq=False)
class Trial:
    """A patient-level table whose columns have been given a meaning.

    Args:
        patients: one row a patient; with a `Recurrent` endpoint, one row an interval.
        arm: column of the randomised arm, or None for a cohort.
        endpoints: outcome records by name.
        covariates: columns known at randomisation, to be synthesised.
        id: column that identifies patients (must not repeat, unless an endpoint is recurrent).
        arms: order of the arms, control first; by default the order of a categorical column, else
            the sorted values.
        strata: columns that stratified the randomisation; site: column of the site or cluster.
        time_unit: "days", "weeks", "months" or "years", of every duration.
        kinds: column kinds that override the guess ("numeric", "integer", "categorical",
            "ordered", "date"); levels: order of the levels of a column.
        constraints: expressions that hold in every row, such as "stop > start"; checked here and
            kept by the generators.
        dictionary: what each column means, for reports.
        randomised: whether the arms were drawn at random.
        entry: column of the time of entry (a date, or a number in ``time_unit``); it is sampled
            with the covariates, and follow-up ends at the data cutoff where there is one.

    Raises:
        ValueError: one sentence that names the column and the row.

    Examples:
        >>> import trial_sim as ts
        >>> import pandas as pd
        >>> table = pd.DataFrame(
        ...     {
        ...         "drug": ["A", "B"] * 4,
        ...         "age": range(50, 58),
        ...         "time": [3.0, 5, 2, 8, 1, 9, 4, 7],
        ...         "dead": [1, 0] * 4,
        ...         "score": [1, 2, 2, 3, 1, 3, 2, 3],
        ...     }
        ... )
        >>> trial = ts.Trial(
        ...     table,
        ...     arm="drug",
        ...     endpoints={"death": ts.TimeToEvent("time", "dead")},
        ...     covariates=["age"],
        ... )
        >>> trial.n_patients, trial.arms
        (8, ('A', 'B'))
        >>> trial.is_long, trial.control, trial.baseline_columns
        (False, 'A', ('age',))
        >>> list(trial.baseline), trial.endpoint("death").event
        (['drug', 'age'], 'dead')
        >>> trial.subset(trial.baseline["age"].to_numpy() > 53).n_patients
        4
        >>> trial.with_patients(table.head(4)).n_patients, trial.schema().control
        (4, 'A')
    """

    patients: pd.DataFrame
    arm: str | None = None
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    covariates: Sequence[str] = ()
    id: str | None = None
    arms: Sequence[Any] = ()
    strata: Sequence[str] = ()
    site: str | None = None
    time_unit: str = "months"
    kinds: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    constraints: Sequence[str] = ()
    dictionary: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    citation: str = ""
    randomised: bool = True
    notes: Sequence[str] = ()
    entry: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.patients, pd.DataFrame):
            raise TypeError(
                f"patients must be a pandas DataFrame, received {type(self.patients).__name__}"
            )
        table = self.patients.reset_index(drop=True).copy()
        object.__setattr__(self, "patients", table)
        for name in ("covariates", "strata", "arms", "constraints", "notes"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a list, received the text {getattr(self, name)!r}")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.time_unit not in TIME_UNITS:
            raise ValueError(
                f"time_unit must be one of {', '.join(TIME_UNITS)}, received {self.time_unit!r}"
            )
        self._check_names(table)
        for name, kind in self.kinds.items():
            if kind == "date":
                table[name] = as_dates(table[name])
        records = {}
        for name, record in self.endpoints.items():
            record.check(table)
            if isinstance(record, Ordinal) and isinstance(
                table[record.column].dtype, pd.CategoricalDtype
            ):  # the order of the categories, which a table written to a file would lose
                record = replace(record, levels=record.ordered_levels(table))
            records[name] = record
        object.__setattr__(self, "endpoints", records)
        for column in (self.arm, self.id, *self.baseline_columns):
            if column is not None:
                check_one_type(table[column])
                check_finite(table[column])
        self._check_arm(table)
        for column in (self.arm, *self.baseline_columns):
            if column is not None:
                warn_of_alike(table[column])
        self._check_ids(table)
        self._check_categories()
        self._check_constraints(table)

    def _check_names(self, table: pd.DataFrame) -> None:
        if len(table) == 0:
            raise ValueError("patients holds no rows; a trial needs at least one patient")
        twice = table.columns[table.columns.duplicated()]
        if len(twice):
            raise ValueError(f"column {twice[0]!r} occurs twice in patients")
        for name, endpoint in self.endpoints.items():
            if not isinstance(endpoint, Endpoint):
                raise TypeError(
                    f"endpoint {name!r} must be a record such as TimeToEvent(duration, event), "
                    f"received {type(endpoint).__name__}"
                )
        recurrent = [e.id for e in self.endpoints.values() if isinstance(e, Recurrent)]
        if recurrent and self.id is None:
            object.__setattr__(self, "id", recurrent[0])
        single = [n for n in (self.arm, self.id, self.site, self.entry) if n is not None]
        needed = [*single, *self.covariates, *self.strata, *recurrent]
        for endpoint in self.endpoints.values():
            needed += [*endpoint.columns, *endpoint.inputs]
        for name in [*needed, *self.kinds, *self.levels]:
            if not isinstance(name, str):
                raise ValueError(
                    f"columns must be named by text, got {name!r}; rename it, as by "
                    f"patients.rename(columns=str)"
                )
            if name not in table.columns:
                raise ValueError(
                    f"patients has no column {name!r}{nearest(name, list(table.columns))}"
                )
        outcome = {c for e in self.endpoints.values() for c in e.columns}
        if self.entry is not None:
            values = table[self.entry]
            is_date = pd.api.types.is_datetime64_any_dtype(values)
            if self.entry in outcome or not (is_date or pd.api.types.is_numeric_dtype(values)):
                raise ValueError(
                    f"column {self.entry!r} (the entry) must hold dates or numbers and be no "
                    f"outcome; its type is {values.dtype}"
                )
        for name in self.covariates:
            if name == self.arm or name in outcome:
                raise ValueError(f"column {name!r} cannot be a covariate and the arm or an outcome")

    def _check_arm(self, table: pd.DataFrame) -> None:
        if self.arm is None:
            if self.arms:
                raise ValueError("arms were given but arm is None (a cohort has no arms)")
            return
        values = table[self.arm]
        if values.isna().any():
            raise ValueError(
                f"column {self.arm!r} (the arm) is missing at row {first_row(values.isna())}"
            )
        if self.arms:
            order = list(self.arms)
        elif isinstance(values.dtype, pd.CategoricalDtype):
            order = [v for v in values.cat.categories if (values == v).any()]
        else:
            order = sorted(values.unique().tolist(), key=lambda v: (str(type(v)), v))
        unknown = ~values.isin(order)
        if unknown.any():
            row = first_row(unknown)
            raise ValueError(
                f"column {self.arm!r}: row {row} holds the unknown arm {plain(values.iloc[row])!r}"
                f"{nearest(values.iloc[row], order)}"
            )
        empty = [a for a in order if not (values == a).any()]
        if empty:
            raise ValueError(f"arm {empty[0]!r} has no patient in column {self.arm!r}")
        object.__setattr__(self, "arms", tuple(plain(a) for a in order))

    def _check_ids(self, table: pd.DataFrame) -> None:
        if self.id is None:
            return
        ids = table[self.id]
        if ids.isna().any():
            raise ValueError(
                f"column {self.id!r} (the id) is missing at row {first_row(ids.isna())}"
            )
        if not self.is_long:
            if ids.duplicated().any():
                row = first_row(ids.duplicated())
                raise ValueError(
                    f"column {self.id!r}: patient {plain(ids.iloc[row])!r} occurs again at row "
                    f"{row}; one row a patient is expected"
                )
            return
        fixed = [c for c in (self.arm, *self.baseline_columns) if c is not None]
        first = table.drop_duplicates(self.id).set_index(self.id)
        for name in fixed:
            same = first[name].reindex(ids).reset_index(drop=True)
            differs = (same != table[name]) & ~(same.isna() & table[name].isna())
            if differs.any():
                row = first_row(differs)
                raise ValueError(
                    f"column {name!r} changes within patient {plain(ids.iloc[row])!r} at row "
                    f"{row}; covariates and arm must be constant within a patient"
                )

    def _check_categories(self) -> None:
        base, told = self.baseline, dict(self.kinds)
        for name in self.baseline_columns:
            if name in self.kinds or name in self.levels or not check_category(base[name]):
                continue
            ordered = getattr(base[name].dtype, "ordered", False)
            told[name] = "ordered" if ordered else "categorical"  # parts are not asked again
        object.__setattr__(self, "kinds", told)
        if len(self.arms) > max(MOST_OWN, self.n_patients / 2):
            raise ValueError(
                f"column {self.arm!r} (the arm) holds {len(self.arms)} arms of {self.n_patients} "
                "patients; is it an identifier?"
            )

    def _check_constraints(self, table: pd.DataFrame) -> None:
        for rule in self.constraints:
            broken = ~pd.Series(holds(table, rule), index=table.index)
            used = sorted(constraint_columns(rule))
            broken &= table[used].notna().all(axis=1)
            if broken.any():
                raise ValueError(f"constraint {rule!r} does not hold at row {first_row(broken)}")

    @property
    def is_long(self) -> bool:
        """Whether a patient may have several rows (a recurrent endpoint)."""
        return any(isinstance(e, Recurrent) for e in self.endpoints.values())

    @property
    def baseline_columns(self) -> tuple[str, ...]:
        """Covariates, strata, site, entry and the baseline inputs of endpoints, each once."""
        names = [*self.covariates, *self.strata]
        names += [name for name in (self.site, self.entry) if name]
        for endpoint in self.endpoints.values():
            names += endpoint.inputs
        return tuple(dict.fromkeys(names))

    @property
    def baseline(self) -> pd.DataFrame:
        """One row a patient: id, arm and baseline columns."""
        table = self.patients.drop_duplicates(self.id) if self.is_long else self.patients
        names = [n for n in (self.id, self.arm) if n is not None]
        return table[[*names, *self.baseline_columns]].reset_index(drop=True)

    @property
    def n_patients(self) -> int:
        """Number of patients (not rows)."""
        return int(self.patients[self.id].nunique()) if self.is_long else len(self.patients)

    @property
    def control(self) -> Any:
        """The first arm (None for a cohort)."""
        return self.arms[0] if self.arms else None

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that name, or a ValueError with the nearest known one."""
        if name not in self.endpoints:
            raise ValueError(f"no endpoint {name!r}{nearest(name, list(self.endpoints))}")
        return self.endpoints[name]

    def schema(self) -> TrialSchema:
        """The trial without its rows. Numbers of sites are names, not amounts."""
        base = self.baseline
        kinds = {**({self.site: "categorical"} if self.site else {}), **self.kinds}
        columns = tuple(
            describe_column(base[n], kinds.get(n), self.levels.get(n, ()))
            for n in self.baseline_columns
        )
        sizes = (
            [len(base)] if self.arm is None else [(base[self.arm] == a).sum() for a in self.arms]
        )
        return TrialSchema(
            columns=columns,
            arm=self.arm,
            arms=tuple(self.arms),
            arm_sizes=tuple(int(s) for s in sizes),
            endpoints=dict(self.endpoints),
            covariates=tuple(self.covariates),
            id=self.id,
            strata=tuple(self.strata),
            site=self.site,
            entry=self.entry,
            time_unit=self.time_unit,
            title=self.title,
            citation=self.citation,
            randomised=self.randomised,
        )

    def with_patients(self, patients: pd.DataFrame) -> Trial:
        """The same trial with another table, checked again."""
        return replace(self, patients=patients)

    def subset(self, keep: np.ndarray) -> Trial:
        """The patients of `baseline` at the given positions or true in the given mask.

        Args:
            keep: positions (k,) int, or mask (n_patients,) bool; positions may repeat only in a
                trial with one row a patient and no id.
        """
        chosen = np.flatnonzero(keep) if np.asarray(keep).dtype == bool else np.asarray(keep)
        if self.is_long:
            ids = self.baseline[self.id].to_numpy()[chosen]
            rows = self.patients[self.patients[self.id].isin(ids)]
        else:
            rows = self.patients.iloc[chosen]
        return self.with_patients(rows)

    def __repr__(self) -> str:
        arms = ", ".join(f"{a}" for a in self.arms) or "a cohort"
        return f"Trial({self.n_patients} patients; {arms}; endpoints: {', '.join(self.endpoints)})"


def plain_trial(trial: Trial) -> Trial:
    """The trial with its table in types of numpy, for models and measures (see `plain_table`), and
    times that differ in their last digits only (subtracted dates) made one, over all endpoints."""
    table = plain_table(trial.patients)
    times = [c for e in trial.endpoints.values() for c in times_of(e)]
    times = [c for c in dict.fromkeys(times) if table[c].dtype.kind == "f"]
    values = [table[c].to_numpy(dtype=float) for c in times]
    if values and all(np.isfinite(v).all() for v in values):
        merged = merge_ties(*values)
        if merged[0] is not values[0]:
            table = table.assign(**dict(zip(times, merged)))
    return trial if table is trial.patients else trial.with_patients(table)


def times_of(endpoint: Endpoint) -> tuple[str, ...]:
    """The columns of an endpoint that hold times."""
    if isinstance(endpoint, Recurrent):
        return endpoint.start, endpoint.stop
    if isinstance(endpoint, TimeToEvent | CompetingRisks):
        return (endpoint.duration, *([endpoint.entry] if endpoint.entry else []))
    return ()


def check_one_type(values: pd.Series) -> None:
    """Refuse a column that mixes text and numbers or holds bytes, naming the first odd row."""
    if values.dtype != object:
        return
    present = values.dropna()
    is_bytes = present.map(lambda v: isinstance(v, bytes))
    if is_bytes.any():
        row = int(present.index[first_row(is_bytes)])
        raise ValueError(
            f"column {values.name!r} holds byte strings; row {row} holds {values.loc[row]!r}: read "
            "the file with an encoding, or SAS files by read_trial or trial_from_cdisc"
        )
    is_text = present.map(lambda v: isinstance(v, str))
    if is_text.any() and not is_text.all():
        common = is_text.mean() >= 0.5
        row = int(present.index[first_row(is_text != common)])
        raise ValueError(
            f"column {values.name!r} mixes text and numbers; row {row} holds "
            f"{plain(values.loc[row])!r}"
        )
