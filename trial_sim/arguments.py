"""Checks of single arguments: a number in range, a known name. Each raises one clear sentence."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint ", did you mean ...?" for a misspelt name, or the list of known names."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(known)}"


def between(name: str, value: Any, low: float, high: float) -> float:
    """A number strictly between low and high, or one clear sentence."""
    number_ = number(name, value)
    if not low < number_ < high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, got {number_:g}")
    return number_


def positive(name: str, value: Any) -> float:
    """A number above 0, or one clear sentence."""
    number_ = number(name, value)
    if number_ <= 0:
        raise ValueError(f"{name} must be above 0, got {number_:g}")
    return number_


def number(name: str, value: Any) -> float:
    """A finite number, or one clear sentence."""
    try:
        number_ = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not np.isfinite(number_):
        raise ValueError(f"{name} must be finite, got {number_}")
    return number_


def one_of(name: str, value: Any, known: Sequence[str]) -> str:
    """One of the known names, or a sentence with the nearest."""
    if value not in known:
        raise ValueError(f"unknown {name} {value!r}: {nearest(str(value), known)}")
    return str(value)
