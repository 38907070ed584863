"""The columns of a table of patients under our names, and their values as arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.data.column_checks import plain
from trial_sim.data.texts import yes_and_no
from trial_sim.design.design import Design
from trial_sim.prediction.dates import (
    DAY_OF_GRACE,
    DAYS_PER_MONTH,
    MOST_MONTHS,
    UNIT_MONTHS,
    as_timestamp,
    months_between,
    read_moments,
)

_COLUMNS = (
    "id", "arm", "site", "site_opened", "enrolment", "time", "end", "event", "dropout", "status",
    "competing",
)  # fmt: skip
_LONG_AFTER = 360.0  # months after the opening, at which no trial enrols its first patient
_LIKE_DROPOUT = {"dropout", "dropouts", "droppedout", "lost", "ltfu", "discontinued", "withdrawn"}
_LIKE_ARM = {"arm", "arms", "treatmentarm", "trt01p", "trt01a", "treatment", "group"}


def our_columns(
    patients: pd.DataFrame, design: Design, columns: Mapping[str, str] | None, more: Any = ()
) -> pd.DataFrame:
    """The columns that a prediction knows, under our names; others are left out.

    Raises:
        ValueError: for a mapping of or to a column that is not there, for a column that is nearly
            named as one that would change the answer, and for patients who stand there twice.
    """
    if not isinstance(patients, pd.DataFrame):
        raise TypeError(f"patients must be a DataFrame, got {type(patients).__name__}")
    columns = dict(columns or {})
    known = (*_COLUMNS, *more, *design.strata)
    twice = patients.columns[patients.columns.duplicated()]
    if len(twice):
        raise ValueError(f"patients have two columns {twice[0]!r}")
    for name, source in columns.items():
        if name not in known:
            raise ValueError(f"there is no column {name!r} to map{nearest(name, known)}")
        if source not in patients:
            raise ValueError(
                f"columns maps {name!r} to {source!r}, which patients do not have"
                f"{nearest(str(source), [str(c) for c in patients.columns])}"
            )
    found = {n: columns.get(n, n) for n in known if columns.get(n, n) in patients}
    table = pd.DataFrame({name: patients[source] for name, source in found.items()})
    used = set(found.values())
    plain = {c: re.sub(r"[^a-z0-9]", "", str(c).lower()) for c in patients.columns if c not in used}
    if "arm" not in table:
        names = set(design.arm_names)
        for column, word in plain.items():
            values = _few_values(patients[column])
            if (
                word == "arm"
                or (values and values <= names)
                or (word in _LIKE_ARM and values & names)
            ):
                raise ValueError(
                    f"there is no column 'arm', but {column!r} looks like it: give "
                    f"columns={{'arm': {column!r}}}, or leave it out to predict blinded"
                )
    if "dropout" not in table and "status" not in table:
        for column, word in plain.items():
            if word in _LIKE_DROPOUT:
                raise ValueError(
                    f"there is no column 'dropout', but {column!r} looks like it: give "
                    f"columns={{'dropout': {column!r}}}, or leave it out"
                )
    if "id" in table:
        again = table["id"].duplicated()
        if again.any():
            raise ValueError(
                f"patient {table['id'][again].iloc[0]!r} stands in several rows; one "
                "row a patient is expected"
            )
    return table


def _few_values(column: pd.Series) -> set[Any]:
    """The values of a column that has few of them; none of one that could not name arms."""
    if pd.api.types.is_float_dtype(column) or pd.api.types.is_bool_dtype(column):
        return set()
    try:
        found = column.dropna().unique()
        return set(found) if len(found) <= 50 else set()
    except TypeError:
        return set()


def unit_months(time_unit: str) -> float:
    """Months in a unit of time."""
    if time_unit not in UNIT_MONTHS:
        raise ValueError(f"time_unit must be one of {', '.join(UNIT_MONTHS)}, got {time_unit!r}")
    return UNIT_MONTHS[time_unit]


def first_of(table: pd.DataFrame) -> Any:
    """A function that names the first of some patients."""

    def name(which: np.ndarray) -> str:
        row = int(np.flatnonzero(which)[0])
        if "id" in table:
            return f"patient {table['id'].iloc[row]!r}"
        return f"row {table.index[row]!r}"

    return name


def enrolment_of(
    table: pd.DataFrame, opened: Any, unit: float
) -> tuple[np.ndarray, pd.Timestamp | None]:
    """Months of enrolment (n,), and the date of month 0."""
    if "enrolment" not in table:
        raise ValueError("patients need a column 'enrolment' (a date, or months since the opening)")
    start = None if opened is None else as_timestamp(opened, "opened")
    values, dated = read_moments(table["enrolment"], "enrolment")
    if dated:
        if start is None:
            start = pd.Timestamp(values.min())
        values = months_between(start, values)
    else:
        values = values * unit
        _check_no_serials(values, table["enrolment"])
    early = values < 0
    if early.any():
        what = f" {start:%Y-%m-%d}" if start is not None else ""
        raise ValueError(
            f"enrolment must be 0 or more for every patient: {int(early.sum())} came before the "
            f"opening{what}, the first is {first_of(table)(early)}"
        )
    return values.astype(float), start


def _check_no_serials(months: np.ndarray, given: pd.Series) -> None:
    """Raise ValueError where numbers are days since some day long ago, as Excel and SAS write."""
    if not len(months) or (months.min() <= _LONG_AFTER and months.max() <= MOST_MONTHS):
        return
    first = float(pd.to_numeric(given).min())
    raise ValueError(
        f"enrolment starts {months.min():,.0f} months after the opening (its least number is "
        f"{first:.10g}): are these dates, as Excel or SAS write them? pd.to_datetime(column, "
        "unit='D', origin='1899-12-30' or '1960-01-01') reads them"
    )


def opening_of_sites(
    table: pd.DataFrame, enrolment: np.ndarray, start: pd.Timestamp | None, unit: float
) -> np.ndarray | None:
    """Months in which sites opened, ascending; that of the first patient where it is not told.

    Raises:
        ValueError: for a site with two openings, or with patients before it.
    """
    if "site" not in table:
        if "site_opened" in table:
            raise ValueError("patients have 'site_opened' but no 'site': give both")
        return None
    names = table["site"].astype(str).to_numpy()
    first = pd.Series(enrolment).groupby(names).min()
    if "site_opened" not in table:
        return np.sort(first.to_numpy(dtype=float))
    values, dated = read_moments(table["site_opened"], "site_opened")
    if dated and start is None:
        raise ValueError("'site_opened' holds dates: give enrolment in dates, or the date opened")
    given = values * unit if start is None or not dated else months_between(start, values)
    months = pd.Series(given).groupby(names)
    twice = months.nunique() > 1
    if twice.any():
        raise ValueError(f"site {twice.idxmax()!r} has two dates of opening in 'site_opened'")
    late = months.min() > first + DAY_OF_GRACE
    if late.any():
        raise ValueError(f"site {late.idxmax()!r} enrolled a patient before it opened")
    return np.sort(np.maximum(months.min().to_numpy(dtype=float), 0.0))


def times_of(
    table: pd.DataFrame, enrolment: np.ndarray, start: pd.Timestamp | None, unit: float
) -> np.ndarray:
    """Months on study (n,), from ``time`` or ``end``, or from both where they agree."""
    if "time" not in table and "end" not in table:
        raise ValueError("patients need a column 'time' (on study) or 'end' (its date)")
    if "time" not in table:
        return _times_to_end(table, enrolment, start, unit)
    values = pd.to_numeric(table["time"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    bad = np.isnan(values) | (values < 0) | np.isinf(values)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"time must be 0 or more for every patient, got {table['time'].iloc[row]!r} "
            f"({first_of(table)(bad)}; NaN or negative in {int(bad.sum())})"
        )
    times = values * unit
    if "end" in table:
        apart = np.abs(_times_to_end(table, enrolment, start, unit) - times) > 2 * DAY_OF_GRACE
        if apart.any():
            raise ValueError(
                "patients have both 'time' and 'end', which say different things of "
                f"{first_of(table)(apart)}: give one of them"
            )
    return times


def _times_to_end(
    table: pd.DataFrame, enrolment: np.ndarray, start: pd.Timestamp | None, unit: float
) -> np.ndarray:
    """Months from enrolment to ``end`` (n,)."""
    values, dated = read_moments(table["end"], "end")
    if dated:
        if start is None:
            raise ValueError("'end' holds dates: give enrolment in dates, or the date opened")
        values = months_between(start, values)
    else:
        values = values * unit
    time = values - enrolment
    bad = time < -DAY_OF_GRACE
    if bad.any():
        raise ValueError(f"end must not come before enrolment: it does for {first_of(table)(bad)}")
    return np.maximum(time, 0.0)


def ends_of(
    table: pd.DataFrame,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, bool]:
    """Events, drop-outs and competing events (n,) bool, and whether drop-outs were told.

    Competing events are None where the table does not know any.
    """
    if "status" in table:
        beside = next((n for n in ("event", "dropout", "competing") if n in table), None)
        if beside:
            raise ValueError(f"patients have 'status' beside {beside!r}: give one of them")
        words = table["status"].astype(str).str.strip().str.lower()
        known = ("event", "competing", "dropout", "ongoing")
        for word in words.unique():
            if word not in known:
                raise ValueError(f"status must be one of {', '.join(known)}, got {word!r}")
        event, gone, rest = ((words == name).to_numpy() for name in ("event", "dropout", known[1]))
        return event, gone, rest if rest.any() else None, True
    if "event" not in table:
        raise ValueError("patients need a column 'event' (0/1), or 'status'")
    event = indicator(table["event"], "event")
    other = indicator(table["competing"], "competing") if "competing" in table else None
    gone = np.zeros_like(event)
    if "dropout" in table:
        gone = indicator(table["dropout"], "dropout")
    if (event & gone).any():
        raise ValueError(
            "a patient cannot both have the event and drop out: "
            f"{first_of(table)(event & gone)} does"
        )
    if other is not None and (other & (event | gone)).any():
        raise ValueError(
            "follow-up ends in the event, a competing one or drop-out, whichever is first: "
            f"{first_of(table)(other & (event | gone))} has two of them"
        )
    return event, gone, other, "dropout" in table


def arms_of(table: pd.DataFrame, design: Design) -> np.ndarray:
    """Codes of the arms (n,); -1 where nobody's is given."""
    if "arm" not in table or table["arm"].isna().all():
        return np.full(len(table), -1)
    names = list(design.arm_names)
    missing = table["arm"].isna().to_numpy()
    if missing.any():
        raise ValueError(
            f"{int(missing.sum())} of {len(table)} patients have no arm, the first is "
            f"{first_of(table)(missing)}: give all, or none to predict blinded"
        )
    for arm in table["arm"].unique():
        if arm not in names:
            raise ValueError(
                f"patients are in an unknown arm {arm!r}{nearest(str(arm), names)}; the design has "
                f"{names}"
            )
    return table["arm"].map({a: k for k, a in enumerate(names)}).to_numpy(dtype=int)


def other_unit(time: np.ndarray, since: np.ndarray, open_: np.ndarray) -> str:
    """A hint if the times look as if they were in another unit than enrolment; empty if not."""
    used = open_ & (since > 1.0)
    if used.sum() < 5:
        return ""
    share = time[used] / since[used]
    for name, factor in (
        ("years", 1 / 12),
        ("days", DAYS_PER_MONTH),
        ("weeks", DAYS_PER_MONTH / 7),
    ):
        if (np.abs(share / factor - 1) < 0.12).mean() > 0.6:
            return f": are the times in {name}? enrolment and time need one unit (time_unit)"
    return ""


def indicator(values: pd.Series, name: str) -> np.ndarray:
    """A column of 0 and 1, or of yes and no, as (n,) bool.

    Raises:
        ValueError: for any other value, or a missing one.
    """
    yes, no = yes_and_no(values)
    if not (yes | no).all():
        wrong = values[~(yes | no)]
        raise ValueError(
            f"{name} must be 0 or 1 (or yes, no) for every patient, got "
            f"{plain(wrong.iloc[0])!r} in row {plain(wrong.index[0])!r}"
        )
    return yes
