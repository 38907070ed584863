"""Checks of arguments, and the nearest name for a misspelt one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, TypeVar, cast

import numpy as np

from molgen.base.errors import BatchError
from molgen.base.user_warnings import warn_user

Function = TypeVar("Function", bound=Callable[..., Any])


def renamed(**names: str) -> Callable[[Function], Function]:
    """Lets a function take arguments by their old names, with a DeprecationWarning.

    Args:
        names: the new name, by the old one.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            for old, new in names.items():
                if old in options:
                    if new in options:
                        raise TypeError(f"{old} is the old name of {new}: give one of them")
                    warn_user(f"{old} is called {new} now", DeprecationWarning)
                    options[new] = options.pop(old)
            return function(*args, **options)

        return cast(Function, call)

    return decorate


def nearest_name(name: object, known: Iterable[str]) -> str:
    """A hint for messages: " Did you mean 'x'?" or nothing."""
    near = _nearest(name, known)
    return f" Did you mean {near!r}?" if near else ""


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """One sentence: there is no such name, the nearest one, and all of them."""
    names = list(known)
    near = _nearest(name, names)
    hint = f"did you mean {near!r}? " if near else ""
    return f"Unknown {what} {name!r}; {hint}There are {', '.join(names)}."


def _nearest(name: object, known: Iterable[str]) -> str:
    names = [str(entry) for entry in known]
    by_lower = {entry.casefold(): entry for entry in reversed(names)}
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    near = near or get_close_matches(str(name).casefold(), by_lower, n=1, cutoff=0.5)
    return by_lower.get(near[0], near[0]) if near else ""


def whole(name: str, value: Any, least: int) -> None:
    """Raise BatchError unless ``value`` is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BatchError(f"{name} must be a whole number of at least {least}, got {value!r}.")


def between(name: str, value: Any, low: float, high: float) -> None:
    """Raise BatchError unless ``value`` is a number within the bounds."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise BatchError(f"{name} must be a number from {low:g} to {high:g}, got {value!r}.")


def texts(name: str, value: Any) -> tuple[str, ...]:
    """``value`` as a tuple of texts; one text makes a tuple of one."""
    entries = (value,) if isinstance(value, str) else value
    if not isinstance(entries, list | tuple) or not all(isinstance(e, str) for e in entries):
        raise BatchError(f"{name} must be a list of texts, got {value!r}.")
    return tuple(entries)


def check_count(n: int, name: str = "n") -> None:
    """Raise ValueError unless ``n``, the argument ``name``, is a whole number of at least 0."""
    if not isinstance(n, int | np.integer) or n < 0:
        raise ValueError(f"{name} is {n!r}; expected a whole number of at least 0")


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless ``temperature`` is a number of at least 0."""
    if not temperature >= 0:
        raise ValueError(f"temperature is {temperature!r}; expected a number of at least 0")
