"""Checks at the border of the package: arrays in, clean contiguous arrays out."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trial_sim.base.arguments import nearest
from trial_sim.statistics.kernels.logrank import (
    FLEMING_HARRINGTON,
    LOGRANK,
    MAGIRR_BURMAN,
    MODESTLY_WEIGHTED,
)

Weight = str | tuple[Any, ...]
TIED = 1e-9  # of their mean: times nearer than this are one time

_WEIGHTS: dict[str, tuple[int, tuple[str, ...]]] = {
    "logrank": (LOGRANK, ()),
    "fleming_harrington": (FLEMING_HARRINGTON, ("rho", "gamma")),
    "magirr_burman": (MAGIRR_BURMAN, ("tau",)),
    "modestly_weighted": (MODESTLY_WEIGHTED, ("survival_floor",)),
}


def numeric(values: ArrayLike, name: str, n: int | None = None) -> NDArray[np.float64]:
    """(n,) finite float64, contiguous.

    Raises:
        TypeError: if the values are not numbers.
        ValueError: if they are not one-dimensional, not finite, none at all, or not n.
    """
    try:
        array = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must hold numbers: {error}.") from error
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}.")
    if array.size == 0:
        raise ValueError(f"{name} is empty; at least one patient is needed.")
    if n is not None and array.size != n:
        raise ValueError(f"{name} has {array.size} values where {n} were expected.")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(
            f"{name} has {bad.size} missing or infinite values, the first at position {bad[0]}."
        )
    return array


def non_negative(values: ArrayLike, name: str, n: int | None = None) -> NDArray[np.float64]:
    """As `numeric`, and no value below 0."""
    array = numeric(values, name, n)
    if array.min() < 0:
        raise ValueError(f"{name} must not be negative, got {array.min()}.")
    return array


def merge_ties(*times: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Times of which those within 1e-9 of their mean are made equal, as R's survival does.

    Times that come from subtracted dates differ in their last digits where the days were the same.
    """
    distinct = np.unique(np.concatenate(times))
    tied = np.diff(distinct) <= TIED * np.abs(distinct).mean()
    if not tied.any():
        return times
    first = distinct[np.concatenate([[True], ~tied])]
    return tuple(first[np.searchsorted(first, part, side="right") - 1] for part in times)


def indicator(values: ArrayLike, name: str, n: int | None = None) -> NDArray[np.int8]:
    """(n,) int8 of 0 and 1."""
    array = numeric(values, name, n)
    other = np.setdiff1d(array, (0.0, 1.0))
    if other.size:
        shown = ", ".join(f"{value:g}" for value in other[:3])
        raise ValueError(f"{name} must be coded 0 and 1, got {shown}.")
    return array.astype(np.int8)


def two_groups(values: ArrayLike, n: int | None = None, name: str = "group") -> NDArray[np.int8]:
    """(n,) int8 of 0 and 1, both present."""
    group = indicator(values, name, n)
    if group.min() == group.max():
        raise ValueError(f"{name} must hold both 0 and 1, all {group.size} values are {group[0]}.")
    return group


def labels(values: ArrayLike, name: str, n: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """(n,) codes 0 … k − 1 of any labels, and the k different labels in ascending order."""
    array = np.asarray(values)
    if array.ndim != 1 or array.size != n:
        raise ValueError(f"{name} must have shape ({n},), got {array.shape}.")
    missing = array != array
    if array.dtype == object:
        missing = np.array([value is None or value != value for value in array])
    if np.any(missing):
        raise ValueError(f"{name} has {int(np.sum(missing))} missing values.")
    names, codes = np.unique(array.astype(str) if array.dtype == object else array, False, True)
    return np.ascontiguousarray(codes, dtype=np.int64), names


_DAYS = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}
_NUMBER = re.compile(r"(?<![\d.])(?:(?<![\w)])-)?\d+(?:\.\d+)?")


def visit_order(values: Any, name: str, given: Sequence[Any] | None = None) -> tuple[Any, ...]:
    """The different labels of visits in order of time.

    The order is that of ``given``, if given; else of the categories of a categorical column; else
    of numbers or dates; else of the one number in each text ("Week 4" before "Week 12", "Day 3"
    before "Month 1", "Baseline" as 0).

    Args:
        values: labels, as a list, array or Series. name: of the argument, for errors. given: all
            labels in their order.

    Raises:
        ValueError: texts whose order cannot be told, or a label that ``given`` lacks.

    Examples:
        >>> from trial_sim.statistics.validation import visit_order
        >>> visit_order(["Week 12", "Week 4", "Baseline"], "visit")
        ('Baseline', 'Week 4', 'Week 12')
    """
    dtype = getattr(values, "dtype", None)
    categories = getattr(dtype, "categories", None)
    found = list(dict.fromkeys(_objects(values)))
    if given is not None:
        order = [item.item() if isinstance(item, np.generic) else item for item in given]
        strange = [v for v in found if v not in order]
        if strange or len(set(order)) < len(order):
            what = f"lacks {strange[0]!r}" if strange else "names one twice"
            raise ValueError(f"the order given for {name} {what}; got {order}.")
        return tuple(v for v in order if v in found)
    if categories is not None:
        arranged = [c for c in categories.tolist() if c in found]
        # astype("category") sorts texts by the alphabet, which says nothing of time
        if getattr(dtype, "ordered", False) or arranged != sorted(arranged, key=str):
            return tuple(arranged)
    if len(found) == 1 or not any(isinstance(v, str) for v in found):
        return tuple(sorted(found))
    places = [_place(v) for v in found]
    units = {p[1] for p in places if p is not None and p[1]}
    told = None not in places and (len(units) <= 1 or units <= set(_DAYS))
    keys = [p[0] * _DAYS.get(p[1] or "", 1.0) for p in places if p is not None]
    if not told or len(set(keys)) < len(found):
        shown = ", ".join(repr(v) for v in found[:8])
        raise ValueError(
            f"the order of the labels of {name} cannot be told: {shown}; give them in order of "
            "time, or as an ordered categorical."
        )
    return tuple(v for _, v in sorted(zip(keys, found), key=lambda pair: pair[0]))


def visit_codes(
    values: Any, name: str, n: int, given: Sequence[Any] | None = None
) -> tuple[NDArray[np.int64], tuple[Any, ...]]:
    """(n,) codes 0 … k − 1 of visits in order of time, and their labels (see `visit_order`)."""
    labels(values, name, n)  # refuses another shape, and gaps
    order = visit_order(values, name, given)
    place = {label: k for k, label in enumerate(order)}
    return np.array([place[v] for v in _objects(values)], dtype=np.int64), order


def _objects(values: Any) -> list[Any]:
    """Labels as Python objects: dates as timestamps, numbers and texts as themselves."""
    import pandas as pd

    return pd.Series(values).astype(object).tolist()


def _place(label: Any) -> tuple[float, str] | None:
    """The one number in a label, and the words around it ("" for a baseline); else None."""
    text = str(label).strip().lower()
    if text in ("baseline", "bl"):
        return 0.0, ""
    numbers = _NUMBER.findall(text)
    if len(numbers) != 1:
        return None
    words = re.sub(r"[\W_]+", " ", _NUMBER.sub(" ", text, count=1)).strip()
    words = {"w": "week", "wk": "week", "d": "day", "m": "month", "mo": "month"}.get(words, words)
    return float(numbers[0]), words.removesuffix("s") or "number"


def matrix(values: ArrayLike, name: str, n: int) -> NDArray[np.float64]:
    """(n, p) finite float64; a one-dimensional array is one column."""
    try:
        array = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must hold numbers: {error}.") from error
    if array.ndim == 1:
        array = np.ascontiguousarray(array[:, None])
    if array.ndim != 2 or array.shape[0] != n:
        raise ValueError(f"{name} must have shape ({n}, p), got {array.shape}.")
    if not np.all(np.isfinite(array)):
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"{name} is missing or infinite in row {row}, column {column}.")
    return array


def choice(value: str, name: str, allowed: tuple[str, ...]) -> str:
    """The value if it is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"unknown {name} {value!r}{nearest(value, allowed)}")
    return value


def weight_row(weight: Weight) -> tuple[float, float, float]:
    """The row (kind, first, second) by which the kernels know a log-rank weight.

    Args:
        weight: "logrank", ("fleming_harrington", rho, gamma), ("magirr_burman", tau) or
            ("modestly_weighted", survival_floor); a bare pair (rho, gamma) is Fleming–Harrington.

    Raises:
        ValueError, TypeError: for an unknown name or wrong parameters.

    Examples:
        >>> import trial_sim as ts
        >>> from trial_sim.statistics import weight_row
        >>> weight_row(("fleming_harrington", 0, 1))
        (1.0, 0.0, 1.0)
    """
    parts = (weight,) if isinstance(weight, str) else tuple(weight)
    if len(parts) == 2 and not isinstance(parts[0], str):
        parts = ("fleming_harrington", *parts)
    if not parts or not isinstance(parts[0], str):
        raise TypeError(f"weight must be a name or a tuple that starts with one, got {weight!r}.")
    choice(parts[0], "weight", tuple(_WEIGHTS))
    kind, parameters = _WEIGHTS[parts[0]]
    if len(parts) - 1 != len(parameters):
        raise ValueError(
            f"weight {parts[0]!r} takes {len(parameters)} parameters "
            f"({', '.join(parameters) or 'none'}), got {len(parts) - 1}."
        )
    values = [float(numeric([value], name)[0]) for name, value in zip(parameters, parts[1:])]
    if kind == FLEMING_HARRINGTON and min(values) < 0:
        raise ValueError(f"rho and gamma must not be negative, got {values[0]:g}, {values[1]:g}.")
    if kind == MAGIRR_BURMAN and values[0] < 0:
        raise ValueError(f"tau must not be negative, got {values[0]:g}.")
    if kind == MODESTLY_WEIGHTED and not 0 < values[0] <= 1:
        raise ValueError(f"survival_floor must be in (0, 1], got {values[0]:g}.")
    values += [0.0] * (2 - len(values))
    return float(kind), values[0], values[1]


def entries(
    entry: ArrayLike | None, duration: NDArray[np.float64]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Times of delayed entry (n,), or None, and durations, near ties among both made equal.

    Raises ValueError for an entry that is not before the end of follow-up.
    """
    if entry is None:
        return None, duration
    begin, duration = merge_ties(numeric(entry, "entry", duration.size), duration)
    late = np.flatnonzero(begin >= duration)
    if late.size:
        raise ValueError(
            f"entry must be before duration, got {begin[late[0]]:g} and {duration[late[0]]:g} at "
            f"position {late[0]}."
        )
    return begin, duration
