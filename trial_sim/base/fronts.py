"""The public names of a room, found by the package's list of names and imported on first use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any


def names_of(room: str) -> list[str]:
    """The public names that live in a room, sorted.

    Args:
        room: its full name, such as ``__name__`` in its ``__init__``.
    """
    package, _, inside = room.partition(".")
    homes: dict[str, str] = sys.modules[package]._HOMES  # type: ignore[attr-defined]
    return sorted(n for n, home in homes.items() if home == inside or home.startswith(f"{inside}."))


def find(room: str, name: str) -> Any:
    """The public object of a room that has this name.

    Raises:
        AttributeError: if the room has no such public name, listing those that it has.
    """
    package, _, inside = room.partition(".")
    known = names_of(room)
    if name not in known:
        raise AttributeError(
            f"module {room!r} has no attribute {name!r}; it has: {', '.join(known)}"
        )
    home = sys.modules[package]._HOMES[name]  # type: ignore[attr-defined]
    if home == inside:  # the room itself, which has no such name after all
        raise AttributeError(f"module {room!r} has no attribute {name!r}")
    return getattr(import_module(f"{package}.{home}"), name)


def front_of(room: str) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """``__all__``, ``__getattr__`` and ``__dir__`` of a room whose names are all found so."""
    names = names_of(room)
    return names, partial(find, room), names.copy
