"""Limits of what a verb may return: a number, or a pair (least, most)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Limit = int | Sequence[int | None] | None
_MANY = 255


def limit(value: Limit, name: str, least: int = 0) -> tuple[int, int]:
    """``value`` as (least, most): a number means exactly that, None anything, in a pair no bound.

    Raises ValueError naming the argument, what it is and what was expected.
    """
    low: Any
    high: Any
    low, high = value if _is_pair(value) else (value, value)  # type: ignore[misc]
    for end in (low, high):
        if end is not None and (
            isinstance(end, bool) or not isinstance(end, int | np.integer) or end < least
        ):
            raise ValueError(
                f"{name} is {value!r}; expected a whole number of at least {least}, or a pair "
                "(least, most) of them"
            )
    low, high = least if low is None else int(low), _MANY if high is None else int(high)
    if low > high:
        raise ValueError(f"{name} is {value!r}; the first number exceeds the second")
    return low, high


def _is_pair(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2


def within(values: np.ndarray, bounds: tuple[int, int]) -> np.ndarray:
    """Which ``values`` lie inside."""
    return (values >= bounds[0]) & (values <= bounds[1])
