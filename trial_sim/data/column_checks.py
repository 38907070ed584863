"""Checks of single columns at the border, with sentences that name column, row and value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.user_warnings import warn_user


def first_row(mask: pd.Series | np.ndarray) -> int:
    """Position (0-based) of the first true entry."""
    return int(np.argmax(np.asarray(mask)))


def plain(value: Any) -> Any:
    """A Python scalar in place of a numpy one: JSON can write it and messages read well."""
    return value.item() if isinstance(value, np.generic) else value


def plain_series(values: pd.Series) -> pd.Series:
    """The column in a type of numpy (or categorical), itself where it has one already.

    Nullable numbers become floats where there are gaps, nullable booleans and texts objects, dates
    with a time zone the date and time on the clock there.
    """
    dtype: Any = values.dtype
    kinds = pd.api.types
    if isinstance(dtype, pd.CategoricalDtype):
        if not kinds.is_extension_array_dtype(dtype.categories.dtype):
            return values
        return values.cat.rename_categories(plain_series(pd.Series(dtype.categories)).tolist())
    if isinstance(dtype, pd.DatetimeTZDtype):
        return values.dt.tz_localize(None)
    if not kinds.is_extension_array_dtype(dtype):
        return values
    gaps = bool(values.isna().any())
    if kinds.is_bool_dtype(dtype) and not gaps:
        return values.astype(bool)
    if kinds.is_datetime64_any_dtype(dtype):
        return plain_series(values.astype("datetime64[ns]"))
    if kinds.is_numeric_dtype(dtype) and not kinds.is_bool_dtype(dtype):
        if kinds.is_integer_dtype(dtype) and not gaps:
            return values.astype(np.uint64 if kinds.is_unsigned_integer_dtype(dtype) else np.int64)
        floats = values.to_numpy(dtype=float, na_value=np.nan)
        return pd.Series(floats, index=values.index, name=values.name)
    return values.astype(object).where(values.notna(), np.nan)


def type_name(dtype: Any) -> str:
    """Name by which pandas finds the type of a column again."""
    return f"string[{dtype.storage}]" if isinstance(dtype, pd.StringDtype) else str(dtype)


def plain_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every column as by `plain_series`, itself where nothing changes."""
    changed = {c: new for c in table.columns if (new := plain_series(table[c])) is not table[c]}
    changed = {c: new for c, new in changed.items() if new.dtype != table[c].dtype}
    return table.assign(**changed) if changed else table


def check_finite(values: pd.Series) -> None:
    """Refuse infinite numbers in a column, naming the first row."""
    if not pd.api.types.is_float_dtype(values.dtype) and values.dtype != object:
        return
    infinite = values.map(lambda v: isinstance(v, float | np.floating) and bool(np.isinf(v)))
    if infinite.any():
        row = first_row(infinite)
        raise ValueError(
            f"column {values.name!r} must be finite; row {row} holds {plain(values.iloc[row])!r}"
        )


MOST_OWN = 10  # levels above which a text may be an identifier
TEXT_DATE = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d.*)?|\d{1,2}[- ]?[A-Za-z]{3,9}[- ,]*\d{2,4}.*"


def check_category(values: pd.Series) -> bool:
    """Whether a column without a stated kind holds categories of text.

    Raises:
        ValueError: texts that are an identifier (most are of a single patient), dates or numbers
            written as text, or dates as Python objects; as categories they would be copied into
            synthetic rows.
    """
    values = plain_series(values)
    kind = pd.api.types.infer_dtype(values.dropna().astype(object), skipna=True)
    advice = f"; if these are categories, say so: kinds={{{values.name!r}: 'categorical'}}"
    if kind in ("date", "datetime", "decimal") and values.dtype == object:
        to = "numbers, by astype(float)" if kind == "decimal" else "dates, by pandas.to_datetime"
        raise ValueError(
            f"column {values.name!r} holds {kind} objects; turn them into {to}{advice}"
        )
    if kind != "string":
        return False
    texts = values.dropna().astype(str)
    distinct = texts.nunique()
    if distinct <= MOST_OWN:
        return True
    shown = f"row 0 holds {texts.iloc[0]!r}" if len(texts) == len(values) else repr(texts.iloc[0])
    if texts.str.fullmatch(TEXT_DATE).all():
        raise ValueError(
            f"column {values.name!r} holds dates as text ({shown}); turn them into dates, by "
            f"pandas.to_datetime{advice}"
        )
    measured = len(texts) < 5 * distinct or texts.str.contains(".", regex=False).any()
    if measured and pd.to_numeric(texts, errors="coerce").notna().all():  # "701" may be a site
        raise ValueError(
            f"column {values.name!r} holds numbers as text ({shown}); turn them into numbers, by "
            f"pandas.to_numeric{advice}"
        )
    if len(texts) < 2 * distinct:
        raise ValueError(
            f"column {values.name!r} looks like an identifier or free text: {distinct} different "
            f"values in {len(texts)} patients ({shown}), each of which synthetic rows would copy; "
            f"leave it out or give it as id=...{advice}"
        )
    return True


def numbers(table: pd.DataFrame, column: str, missing: bool) -> pd.Series:
    """The column as float64; refuses text, dates, infinities and, unless ``missing``, gaps."""
    values = plain_series(table[column])
    if values.dtype.kind in "mMc":  # numpy would make nanoseconds of dates and spans of time
        raise ValueError(
            f"column {column!r} must hold numbers; its type is {table[column].dtype}: give times "
            "as numbers in the trial's unit"
        )
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype if values.notna().all() else object)
    parsed = pd.to_numeric(values, errors="coerce").astype(float)
    broken = parsed.isna() & values.notna()
    if broken.any():
        row = first_row(broken)
        raise ValueError(
            f"column {column!r} must hold numbers; row {row} holds {plain(values.iloc[row])!r}"
        )
    if np.isinf(parsed).any():
        row = first_row(np.isinf(parsed))
        raise ValueError(
            f"column {column!r} must be finite; row {row} holds {plain(values.iloc[row])!r}"
        )
    if not missing and parsed.isna().any():
        raise ValueError(f"column {column!r} must have no gaps; row {first_row(parsed.isna())} has")
    return parsed


def check_time(table: pd.DataFrame, column: str) -> pd.Series:
    """The column as times at or after zero."""
    values = numbers(table, column, missing=False)
    if (values < 0).any():
        row = first_row(values < 0)
        raise ValueError(
            f"column {column!r} holds times and must not be negative; row {row} holds "
            f"{values.iloc[row]:g}"
        )
    return values


def check_flag(table: pd.DataFrame, column: str, missing: bool = False) -> pd.Series:
    """The column as 0/1 (booleans are taken)."""
    values = numbers(table, column, missing)
    wrong = values.notna() & ~values.isin([0.0, 1.0])
    if wrong.any():
        row = first_row(wrong)
        codes = sorted(values.dropna().unique())[:5]
        raise ValueError(
            f"column {column!r} must be coded 0 (no) and 1 (yes); row {row} holds "
            f"{values.iloc[row]:g} (codes found: {', '.join(f'{c:g}' for c in codes)})"
        )
    return values


def check_counts(table: pd.DataFrame, column: str) -> None:
    """Whole numbers at or above zero; gaps allowed."""
    values = numbers(table, column, missing=True)
    wrong = values.notna() & ((values < 0) | (values != np.round(values)))
    if wrong.any():
        row = first_row(wrong)
        raise ValueError(
            f"column {column!r} must hold counts 0, 1, 2, ...; row {row} holds {values.iloc[row]:g}"
        )


def warn_of_alike(values: pd.Series) -> None:
    """Warn, once a column, of texts that differ only in blanks or letter case ("Drug ", "drug"):
    they count as two levels, which is seldom meant."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        return
    seen: dict[str, str] = {}
    for text in values.dropna().unique():
        if not isinstance(text, str):
            return
        other = seen.setdefault(" ".join(text.split()).casefold(), text)
        if other != text:
            warn_user(
                f"column {values.name!r}: {other!r} and {text!r} differ only in blanks or letter "
                "case, and count as two; make them one in the table if they are"
            )
            return
