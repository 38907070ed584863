"""Recycles large arrays: memory that one chunk of trials has finished with goes to the next.

The allocator gives arrays of this size back to the system when they are freed, and takes every page
of the next ones from it anew, which costs a third of the time of a chunk of 256 trials of 500
patients. Within ``recycling``, ``empty`` hands out memory that nobody holds any more instead.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# Smaller arrays are as quick from the allocator, which keeps them.
_LEAST_BYTES = 1 << 15


class _Shelf(threading.local):
    """The buffers of one thread: of what work, whether it is going on, and the memory by size."""

    key: Any = None
    open: bool = False
    buffers: dict[int, list[np.ndarray]]

    def __init__(self) -> None:
        self.buffers = {}


_SHELF = _Shelf()


@contextmanager
def recycling(key: Any) -> Iterator[None]:
    """Hand out used memory in this block, on this thread.

    key: tells work of one size from work of another; buffers of another key are let go.
    """
    if _SHELF.key != key:
        release()
        _SHELF.key = key
    before, _SHELF.open = _SHELF.open, True
    try:
        yield
    finally:
        _SHELF.open = before


def release() -> None:
    """Let go of the buffers of this thread."""
    _SHELF.buffers.clear()
    _SHELF.key = None


def empty(shape: tuple[int, ...], dtype: Any = float) -> np.ndarray:
    """As ``numpy.empty``: an array of any content, in used memory where there is some."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if not _SHELF.open or size < _LEAST_BYTES:
        return np.empty(shape, dtype)
    held = _SHELF.buffers.setdefault(size, [])
    for buffer in held:
        # Every view of a buffer refers to it: only the list, this loop and the call do here.
        if sys.getrefcount(buffer) == 3:
            return np.ndarray(shape, dtype, buffer)
    buffer = np.empty(size, np.uint8)
    held.append(buffer)
    return np.ndarray(shape, dtype, buffer)
