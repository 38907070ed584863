"""Checks of single columns at the border, with sentences that name column, row and value."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd


def nearest(name: object, known: Sequence[object]) -> str:
    """A hint for a misspelt name: ``"; did you mean 'age'?"``, or the known names."""
    names = [str(k) for k in known]
    close = get_close_matches(str(name), names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names[:20])}" if names else ""


def first_row(mask: pd.Series | np.ndarray) -> int:
    """Position (0-based) of the first true entry."""
    return int(np.argmax(np.asarray(mask)))


def plain(value: Any) -> Any:
    """A Python scalar in place of a numpy one: JSON can write it and messages read well."""
    return value.item() if isinstance(value, np.generic) else value


def numbers(table: pd.DataFrame, column: str, missing: bool) -> pd.Series:
    """The column as float64; refuses text, infinities and, unless ``missing``, gaps."""
    values = table[column]
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
