"""Checks of single arguments: a number in range, a known name, fractions of information.

Each raises one clear sentence that names the argument, what came and what was expected.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_LOOKS = 50


def nearest(name: object, known: Iterable[object]) -> str:
    """What follows a name that is not known: ``"; did you mean 'age'?"``, or the known names."""
    names = [str(entry) for entry in known]
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names[:20])}" if names else ""


def count_jobs(n_jobs: Any) -> int:
    """The number of workers that ``n_jobs`` asks for; -1 means every core this process may use."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int | np.integer):
        raise TypeError(f"n_jobs must be a whole number, got {n_jobs!r}")
    if n_jobs == -1:
        affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
        return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    if n_jobs < 1:
        raise ValueError(f"n_jobs must be a positive number, or -1 for all cores, got {n_jobs}")
    return int(n_jobs)


def between(name: str, value: Any, low: float, high: float) -> float:
    """A number strictly between low and high; an error that names it otherwise."""
    number_ = number(name, value)
    if not low < number_ < high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, got {number_:g}")
    return number_


def positive(name: str, value: Any) -> float:
    """A number above 0; an error that names it otherwise."""
    number_ = number(name, value)
    if number_ <= 0:
        raise ValueError(f"{name} must be above 0, got {number_:g}")
    return number_


def number(name: str, value: Any) -> float:
    """A finite number; an error that names it otherwise."""
    try:
        number_ = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not np.isfinite(number_):
        raise ValueError(f"{name} must be finite, got {number_}")
    return number_


def one_of(name: str, value: Any, known: Sequence[str]) -> str:
    """One of the known names; an error with the nearest of them otherwise."""
    if value not in known:
        raise ValueError(f"unknown {name} {value!r}{nearest(value, known)}")
    return str(value)


def check_increasing(name: str, values: NDArray[np.float64]) -> None:
    """Raise unless `values` (n,) increase from above 0."""
    if values[0] <= 0 or (np.diff(values) <= 0).any():
        raise ValueError(f"{name} must increase from above 0, got {values.tolist()}")


def fractions_of(
    name: str, values: Any, n_looks: int | None = None, ends_at_one: bool = True
) -> NDArray[np.float64]:
    """Fractions (n_looks,) float64 of 1 to 50 looks: increasing, and ending at 1 unless told."""
    try:
        fractions = np.array(values, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a sequence of numbers, got {values!r}") from None
    if fractions.ndim != 1 or not 1 <= len(fractions) <= MAX_LOOKS:
        raise ValueError(f"{name} must hold 1 to {MAX_LOOKS} numbers, got {values!r}")
    if not np.isfinite(fractions).all():
        raise ValueError(f"{name} must be finite, got {fractions.tolist()}")
    if n_looks is not None and len(fractions) != n_looks:
        raise ValueError(f"{name} must hold {n_looks} numbers, one a look, got {len(fractions)}")
    check_increasing(name, fractions)
    if (np.diff(fractions) < 1e-6 * fractions[-1]).any():
        raise ValueError(f"{name} must be at least 1e-6 apart, got {fractions.tolist()}")
    if ends_at_one:
        if abs(fractions[-1] - 1.0) > 1e-9:
            raise ValueError(f"{name} must end at 1, got {fractions.tolist()}")
        fractions[-1] = 1.0
    return fractions
