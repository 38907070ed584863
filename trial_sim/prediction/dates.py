"""Dates and months of an ongoing trial: read whatever their kind, and turned into each other."""

from __future__ import annotations

import datetime as dt
import numbers
import re
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.data.column_checks import plain

DAYS_PER_MONTH = 30.4375
UNIT_MONTHS = {
    "days": 1 / DAYS_PER_MONTH, "weeks": 7 / DAYS_PER_MONTH, "months": 1.0, "years": 12.0,
}  # fmt: skip
# Days are counted inclusively (ADTTE: end - start + 1), and a date may stand for any hour of it.
DAY_OF_GRACE = 2.01 / DAYS_PER_MONTH
MOST_MONTHS = 1200.0  # a number beyond is a date written as a number, not a month
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_ISO = re.compile(r"\s*\d{4}([-/.])\d{1,2}\1\d{1,2}.*")
# 31JAN2026, 31-Jan-2026, 31 January 2026, 31JAN2026:08:30:00
_DATE9 = re.compile(r"\s*(\d{1,2})[- ]?([A-Za-z]{3,9})\.?[- ]?(\d{4})(:\d{2}:\d{2}(:\d{2})?)?\s*")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip


def as_timestamp(value: Any, what: str) -> pd.Timestamp:
    """One date without a time zone (its own clock is kept), from text, a date or a timestamp.

    Raises:
        ValueError, TypeError: for something that is no date; for text other than 2026-01-31,
            2026/01/31 or 31JAN2026, whose day and month nobody could tell apart.
    """
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        raise ValueError(f"{what} is missing: expected a date")
    if isinstance(value, str):
        named = _DATE9.fullmatch(value)
        if not (_ISO.fullmatch(value) or named):
            raise ValueError(
                f"{what} must be a date such as 2026-01-31 or 31JAN2026, got {value!r}: "
                "pd.to_datetime with dayfirst= or format= says which part is the day"
            )
        try:
            if named:
                return _named_date(*named.groups()[:4])
            day, *rest = re.split(r"(?=[T ])", value.strip(), maxsplit=1)
            found = pd.Timestamp("".join([re.sub(r"[/.]", "-", day), *rest]))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{what} must be a date, got {value!r}") from error
    elif isinstance(value, dt.date | np.datetime64 | pd.Timestamp):
        try:
            found = pd.Timestamp(value)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{what} must be a date, got {value!r}") from error
    else:
        raise TypeError(f"{what} must be a date such as 2026-01-31, got {value!r}")
    if found is pd.NaT or pd.isna(found):
        raise ValueError(f"{what} is missing: expected a date")
    return found.tz_localize(None) if found.tzinfo is not None else found


def _named_date(day: str, month: str, year: str, clock: str | None) -> pd.Timestamp:
    """A date whose month is an English name, or the first three letters or more of it.

    Raises:
        ValueError: for another name (Marraskuu is November).
    """
    found = [k for k, name in enumerate(_MONTHS, 1) if name.startswith(month.lower())]
    if len(found) != 1:
        raise ValueError(f"{month!r} is no month")
    number = found[0]
    return pd.Timestamp(f"{year}-{number:02}-{int(day):02}{' ' + clock[1:] if clock else ''}")


def is_number(value: Any) -> bool:
    """Whether a value is a number, and no truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)


def read_moments(values: pd.Series, what: str) -> tuple[np.ndarray, bool]:
    """A column of months or of dates.

    Returns:
        (n,) float64 months, or datetime64[ns] dates; and whether they are dates.

    Raises:
        ValueError, TypeError: naming the row, for values that are neither, or missing, or mixed.
    """
    if pd.api.types.is_bool_dtype(values):
        raise TypeError(f"{what} must be months or dates, got truth values")
    if pd.api.types.is_numeric_dtype(values):
        months = values.to_numpy(dtype=float, na_value=np.nan)
        _check_months(months, values, what)
        return months, False
    if isinstance(values.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(values):
        bare = values.dt.tz_localize(None) if values.dt.tz is not None else values
        missing = bare.isna().to_numpy()
        if missing.any():
            raise ValueError(_missing(what, missing, values))
        return bare.to_numpy(dtype="datetime64[ns]"), True
    items = list(values)
    missing = pd.isna(values).to_numpy() | np.array(
        [isinstance(v, str) and not v.strip() for v in items], bool
    )
    if missing.any():
        raise ValueError(_missing(what, missing, values))
    numeric = [is_number(v) or (isinstance(v, str) and bool(_NUMBER.fullmatch(v))) for v in items]
    if all(numeric):
        months = np.array([float(v) for v in items])
        _check_months(months, values, what)
        return months, False
    if any(numeric):
        row = numeric.index(True)
        raise ValueError(
            f"{what} mixes dates and numbers: row {values.index[row]!r} holds {items[row]!r}"
        )
    found = [as_timestamp(v, f"{what} (row {i!r})") for i, v in zip(values.index, items)]
    return pd.to_datetime(pd.Series(found)).to_numpy(dtype="datetime64[ns]"), True


def _check_months(months: np.ndarray, values: pd.Series, what: str) -> None:
    missing = np.isnan(months)
    if missing.any():
        raise ValueError(_missing(what, missing, values))
    far = ~(np.abs(months) <= 400_000)
    if far.any():
        row = int(np.flatnonzero(far)[0])
        raise ValueError(
            f"{what} must be months or dates, got {months[row]:.10g} (row "
            f"{plain(values.index[row])!r}); dates written as numbers, give as text such as "
            "2026-01-31"
        )


def _missing(what: str, missing: np.ndarray, values: pd.Series) -> str:
    row = int(np.flatnonzero(missing)[0])
    return (
        f"{what} must be there for every patient: {int(missing.sum())} of {len(missing)} are "
        f"missing or NaN, the first in row {values.index[row]!r}"
    )


def months_between(start: pd.Timestamp, dates: np.ndarray) -> np.ndarray:
    """Months from a date to others, (n,)."""
    return np.asarray((dates - np.datetime64(start)) / np.timedelta64(1, "D") / DAYS_PER_MONTH)


def month_of(value: Any, opened: pd.Timestamp | None, what: str) -> float:
    """The month since the opening that a number (of months) or a date says.

    Raises:
        ValueError, TypeError: for neither, or for a date where the opening is not known.
    """
    if is_number(value):
        month = float(value)
        if not np.isfinite(month) or abs(month) > MOST_MONTHS:
            raise ValueError(
                f"{what} must be months since the opening (up to {MOST_MONTHS:g}) or a date, got "
                f"{value!r}"
            )
        return month
    date = as_timestamp(value, what)
    if opened is None:
        raise ValueError(f"{what} {date:%Y-%m-%d} needs the date of opening: give opened")
    return float(months_between(opened, np.array([np.datetime64(date)]))[0])


def date_of(opened: pd.Timestamp | None, month: float) -> pd.Timestamp | None:
    """Calendar date of a month of the trial, if its opening date is known."""
    if opened is None or not np.isfinite(month):
        return None
    try:
        return (opened + pd.Timedelta(days=month * DAYS_PER_MONTH)).normalize()
    except (OverflowError, ValueError):  # centuries away
        return None
