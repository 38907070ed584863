"""Endpoint records: which columns of a patient table hold an outcome, and of what kind.

Each record knows its columns and checks their values, naming column and row. They are frozen,
go to and from plain dictionaries, and know nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from inspect import Parameter, signature
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.base.storage import storable
from trial_sim.data.column_checks import (
    check_counts,
    check_flag,
    check_time,
    first_row,
    numbers,
    plain,
)

FAMILIES = ("gaussian", "binomial", "poisson")


@dataclass(frozen=True)
class Endpoint:
    """Base of the endpoint records: names of columns, and a check of their values.

    Examples:
        >>> import pandas as pd
        >>> import trial_sim as ts
        >>> attacks = ts.Count("attacks", exposure="months")
        >>> attacks.columns, attacks.inputs
        (('attacks',), ('months',))
        >>> attacks.to_dict()
        {'kind': 'count', 'column': 'attacks', 'exposure': 'months'}
        >>> attacks.check(pd.DataFrame({"attacks": [0, 2], "months": [3.0, 6.0]}))  # nothing to say
    """

    kind: ClassVar[str] = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that hold the outcome itself (what a synthetic patient must be given)."""
        raise NotImplementedError

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns known at baseline that the outcome model needs (baseline value, exposure)."""
        return ()

    def check(self, table: pd.DataFrame) -> None:
        """Raise a ValueError that names column and row where a value cannot be."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary with the ``kind``, for JSON and YAML."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {"kind": self.kind, **values}


@storable
@dataclass(frozen=True, repr=False)
class TimeToEvent(Endpoint):
    """Time from randomisation to one event; ``event`` is 1 where it was seen, 0 if censored.

    ``entry`` names the column of delayed entry, if there is one: the time, on the same clock, from
    which a patient is under observation (left truncation).

    Examples:
        >>> import trial_sim as ts
        >>> ts.load_trial("colon").endpoint("death")
        TimeToEvent(duration='death_time', event='death')
        >>> ts.TimeToEvent(duration="months", event="died").columns
        ('months', 'died')
    """

    duration: str
    event: str
    entry: str | None = None
    kind: ClassVar[str] = "time_to_event"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.duration, self.event)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.entry,) if self.entry else ()

    def check(self, table: pd.DataFrame) -> None:
        duration = check_time(table, self.duration)
        check_flag(table, self.event)
        check_entry(table, self.entry, duration)

    def to_dict(self) -> dict[str, Any]:
        return without_none(super().to_dict(), "entry")

    def __repr__(self) -> str:
        late = f", entry={self.entry!r}" if self.entry else ""
        return f"TimeToEvent(duration={self.duration!r}, event={self.event!r}{late})"


@storable
@dataclass(frozen=True)
class CompetingRisks(Endpoint):
    """Time to the first of several causes; ``cause`` is 0 if censored, else 1, 2, ...

    ``labels`` names the causes; the first is the one of interest. ``entry`` as in `TimeToEvent`.

    Examples:
        >>> import trial_sim as ts
        >>> ts.CompetingRisks("months", "cause", labels={1: "relapse", 2: "death"}).columns
        ('months', 'cause')
    """

    duration: str
    cause: str
    labels: Mapping[str, str] = field(default_factory=dict)
    entry: str | None = None
    kind: ClassVar[str] = "competing_risks"

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", {str(k): str(v) for k, v in self.labels.items()})

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.duration, self.cause)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.entry,) if self.entry else ()

    def to_dict(self) -> dict[str, Any]:
        return without_none(super().to_dict(), "entry")

    def check(self, table: pd.DataFrame) -> None:
        check_entry(table, self.entry, check_time(table, self.duration))
        cause = numbers(table, self.cause, missing=False)
        wrong = (cause < 0) | (cause != np.round(cause))
        if wrong.any():
            row = first_row(wrong)
            raise ValueError(
                f"column {self.cause!r} must be 0 (censored) or a cause 1, 2, ...; row {row} holds "
                f"{cause.iloc[row]:g}"
            )


@storable
@dataclass(frozen=True)
class Recurrent(Endpoint):
    """Repeated events as rows ``(start, stop]`` of a patient; ``event`` is 1 at ``stop`` or 0.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Recurrent(id="patient", start="from", stop="to", event="relapse").columns
        ('from', 'to', 'relapse')
    """

    id: str
    start: str
    stop: str
    event: str
    kind: ClassVar[str] = "recurrent"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.start, self.stop, self.event)

    def check(self, table: pd.DataFrame) -> None:
        start, stop = check_time(table, self.start), check_time(table, self.stop)
        check_flag(table, self.event)
        if (stop <= start).any():
            row = first_row(stop <= start)
            raise ValueError(
                f"column {self.stop!r} must exceed {self.start!r}; row {row} holds "
                f"({start.iloc[row]:g}, {stop.iloc[row]:g}]"
            )
        order = pd.DataFrame({"id": table[self.id], "start": start, "stop": stop})
        order = order.sort_values(["id", "start"], kind="stable")
        overlap = (order["id"] == order["id"].shift()) & (order["start"] < order["stop"].shift())
        if overlap.any():
            row = int(order.index[first_row(overlap)])
            raise ValueError(
                f"intervals of patient {plain(table[self.id].loc[row])!r} overlap at row {row} "
                f"({self.start!r} = {start.loc[row]:g})"
            )


@storable
@dataclass(frozen=True)
class Binary(Endpoint):
    """Yes (1) or no (0); gaps are allowed and are kept as a pattern of their own.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Binary("responded").columns
        ('responded',)
    """

    column: str
    kind: ClassVar[str] = "binary"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def check(self, table: pd.DataFrame) -> None:
        check_flag(table, self.column, missing=True)


@storable
@dataclass(frozen=True)
class Ordinal(Endpoint):
    """Ordered categories. ``levels`` gives them from lowest to highest; without it, the order of
    an ordered categorical column, or the numeric order.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Ordinal("grade", levels=("none", "mild", "severe")).levels
        ('none', 'mild', 'severe')
        >>> import pandas as pd
        >>> table = pd.DataFrame({"grade": ["mild", "none", "severe"]})
        >>> ts.Ordinal("grade", levels=("none", "mild", "severe")).ordered_levels(table)
        ('none', 'mild', 'severe')
    """

    column: str
    levels: tuple[Any, ...] | None = None
    kind: ClassVar[str] = "ordinal"

    def __post_init__(self) -> None:
        if self.levels is not None:
            object.__setattr__(self, "levels", tuple(self.levels))

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def ordered_levels(self, table: pd.DataFrame) -> tuple[Any, ...]:
        """Levels from lowest to highest, as they stand in the column."""
        if self.levels is not None:
            return self.levels
        values = table[self.column]
        if isinstance(values.dtype, pd.CategoricalDtype):
            levels = values.cat.categories.tolist()
            texts = any(isinstance(level, str) for level in levels)
            # astype("category") sorts texts by the alphabet, which is no order of grades
            if values.cat.ordered or not texts or levels != sorted(levels, key=str):
                return tuple(levels)
        if pd.api.types.is_numeric_dtype(values):
            return tuple(sorted(values.dropna().unique().tolist()))
        raise ValueError(
            f"column {self.column!r} holds text without an order; give "
            f"Ordinal({self.column!r}, levels=[lowest, ..., highest])"
        )

    def check(self, table: pd.DataFrame) -> None:
        levels = self.ordered_levels(table)
        unknown = table[self.column].notna() & ~table[self.column].isin(levels)
        if unknown.any():
            row = first_row(unknown)
            raise ValueError(
                f"column {self.column!r}: row {row} holds {plain(table[self.column].iloc[row])!r}, "
                f"which is none of the levels {list(levels)}"
            )


@storable
@dataclass(frozen=True)
class Continuous(Endpoint):
    """A measurement, with its ``baseline`` column if there is one (ANCOVA).

    Examples:
        >>> import trial_sim as ts
        >>> ts.Continuous("pain_week_12", baseline="pain_week_0").columns
        ('pain_week_12',)
    """

    column: str
    baseline: str | None = None
    kind: ClassVar[str] = "continuous"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.baseline,) if self.baseline else ()

    def check(self, table: pd.DataFrame) -> None:
        for name in (*self.columns, *self.inputs):
            numbers(table, name, missing=True)


@storable
@dataclass(frozen=True)
class Count(Endpoint):
    """A number of events, over ``exposure`` units of time if that varies.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Count("attacks", exposure="months").columns
        ('attacks',)
    """

    column: str
    exposure: str | None = None
    kind: ClassVar[str] = "count"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.exposure,) if self.exposure else ()

    def check(self, table: pd.DataFrame) -> None:
        check_counts(table, self.column)
        if self.exposure:
            exposure = numbers(table, self.exposure, missing=False)
            if (exposure <= 0).any():
                row = first_row(exposure <= 0)
                raise ValueError(
                    f"column {self.exposure!r} is an exposure and must be positive; row {row} "
                    f"holds {exposure.iloc[row]:g}"
                )


@storable
@dataclass(frozen=True)
class Longitudinal(Endpoint):
    """One column a visit, in order of time; gaps are drop-out or skipped visits.

    Args:
        columns: at least two visit columns. baseline: the value before randomisation.
        family: "gaussian", "binomial" or "poisson".

    Examples:
        >>> import trial_sim as ts
        >>> ts.Longitudinal(["week_4", "week_8"], baseline="week_0").columns
        ('week_4', 'week_8')
    """

    visits: Sequence[str]
    baseline: str | None
    family: str
    kind: ClassVar[str] = "longitudinal"

    def __init__(
        self,
        columns: Sequence[str] = (),
        baseline: str | None = None,
        family: str = "gaussian",
        visits: Sequence[str] = (),
    ) -> None:
        chosen = columns or visits  # ``visits`` is the field's own name, ``columns`` the public one
        if isinstance(chosen, str) or len(chosen) < 2:
            raise ValueError(
                f"Longitudinal needs at least two visit columns in order, received {chosen!r}"
            )
        if family not in FAMILIES:
            raise ValueError(
                f"family must be one of {', '.join(FAMILIES)}, received {family!r}"
                f"{nearest(family, FAMILIES)}"
            )
        object.__setattr__(self, "visits", tuple(chosen))
        object.__setattr__(self, "baseline", baseline)
        object.__setattr__(self, "family", family)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.visits)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.baseline,) if self.baseline else ()

    def check(self, table: pd.DataFrame) -> None:
        for name in self.columns:
            if self.family == "binomial":
                check_flag(table, name, missing=True)
            elif self.family == "poisson":
                check_counts(table, name)
            else:
                numbers(table, name, missing=True)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "baseline": self.baseline,
            "family": self.family,
        }


_TIMES: tuple[type[Endpoint], ...] = (TimeToEvent, CompetingRisks, Recurrent)
_VALUES: tuple[type[Endpoint], ...] = (Binary, Ordinal, Continuous, Count, Longitudinal)
KINDS: dict[str, type[Endpoint]] = {cls.kind: cls for cls in _TIMES + _VALUES}


def flags_of(endpoint: Endpoint) -> tuple[str, ...]:
    """The columns of an endpoint that hold 1 (it happened) and 0 (it did not)."""
    if isinstance(endpoint, TimeToEvent | Recurrent):
        return (endpoint.event,)
    binomial = isinstance(endpoint, Longitudinal) and endpoint.family == "binomial"
    return endpoint.columns if isinstance(endpoint, Binary) or binomial else ()


def check_entry(table: pd.DataFrame, entry: str | None, duration: pd.Series) -> None:
    """Refuse a delayed entry that does not come before the end of follow-up."""
    if entry is None:
        return
    late = check_time(table, entry) >= duration
    if late.any():
        row = first_row(late)
        raise ValueError(
            f"column {entry!r} (the delayed entry) must come before the end of follow-up; row "
            f"{row} holds {plain(table[entry].iloc[row])} and {duration.iloc[row]:g}"
        )


def without_none(values: dict[str, Any], name: str) -> dict[str, Any]:
    """The dictionary, less ``name`` where it holds None."""
    return {k: v for k, v in values.items() if k != name or v is not None}


def endpoint_from_dict(spec: Mapping[str, Any]) -> Endpoint:
    """The record that ``Endpoint.to_dict`` wrote, or that a user wrote in YAML.

    Raises:
        ValueError: unknown kind, or a field that the kind lacks or needs.
    """
    fields = dict(spec)
    kind = fields.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"unknown endpoint kind {kind!r}{nearest(kind, list(KINDS))}")
    takes = signature(KINDS[kind]).parameters
    unknown = [name for name in fields if name not in takes]
    if unknown:
        raise ValueError(
            f"an endpoint of kind {kind!r} has no field {unknown[0]!r}"
            f"{nearest(unknown[0], list(takes))}; it takes {', '.join(takes)}"
        )
    needed = [n for n, p in takes.items() if p.default is Parameter.empty and n not in fields]
    if needed:
        raise ValueError(f"an endpoint of kind {kind!r} needs {' and '.join(map(repr, needed))}")
    return KINDS[kind](**fields)
