"""Frozen records that go to and from plain dictionaries, JSON and YAML.

A record is written as its fields plus ``type``, the name of its class; reading checks every key and
names the nearest known one, so that a misspelt YAML key is never silently ignored.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.base.written import Written

_CLASSES: dict[str, type] = {}


def as_floats(value: Any, what: str) -> tuple[float, ...]:
    """A number or a sequence of numbers as a tuple of floats.

    Raises:
        TypeError: if a member is not a number. ValueError: if a member is NaN.
    """
    members = [value] if np.ndim(value) == 0 else list(value)
    try:
        numbers = tuple(float(v) for v in members)
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be a number or a list of numbers, got {value!r}") from None
    if any(np.isnan(v) for v in numbers):
        raise ValueError(f"{what} must not contain NaN, got {value!r}")
    return numbers


def as_whole(value: Any, what: str, least: int) -> int:
    """A whole number of at least ``least``.

    Raises:
        ValueError: for anything else, NaN and text among it.
    """
    whole = isinstance(value, int | np.integer) or (
        isinstance(value, float | np.floating) and bool(np.isfinite(value)) and value == int(value)
    )
    if isinstance(value, bool) or not whole or value < least:
        raise ValueError(f"{what} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def as_number(value: Any, what: str) -> float:
    """A number; infinity and NaN pass: the caller decides about them.

    Raises:
        TypeError: if it is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{what} must be a number, got {value!r}")
    return float(value)


def as_breakpoints(value: Any, n_pieces: int, what: str) -> tuple[float, ...]:
    """Increasing positive times at which a piecewise quantity changes, one fewer than pieces."""
    points = as_floats(value, f"breakpoints of {what}")
    if len(points) != n_pieces - 1:
        raise ValueError(
            f"{what} with {n_pieces} piece(s) needs {n_pieces - 1} breakpoint(s), got "
            f"{list(points)}"
        )
    if any(p <= 0 for p in points) or any(b <= a for a, b in itertools.pairwise(points)):
        raise ValueError(
            f"breakpoints of {what} must be positive and increasing, got {list(points)}"
        )
    return points


def to_plain(value: Any) -> Any:
    """Dictionaries, lists, numbers, strings: what JSON and YAML can hold."""
    if isinstance(value, Record) or (hasattr(value, "to_dict") and not isinstance(value, type)):
        return value.to_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if callable(value):
        return f"{getattr(value, '__module__', '?')}.{getattr(value, '__qualname__', repr(value))}"
    return value


@dataclasses.dataclass(frozen=True)
class Record(Written):
    """Base of the declarative records of designs and scenarios.

    Examples:
        >>> import trial_sim as ts
        >>> dropout = ts.Dropout(rate=0.01)
        >>> dropout.to_dict()
        {'type': 'Dropout', 'rate': 0.01, 'breakpoints': [], 'by_arm': {}}
        >>> dropout.replace(rate=0.02) == dropout, len(dropout.hash)
        (False, 64)
        >>> ts.Dropout.from_dict(dropout.to_dict()) == dropout
        True
        >>> ts.Dropout.from_json(dropout.to_json()) == ts.Dropout.from_yaml(dropout.to_yaml())
        True
    """

    written_as: ClassVar[str] = "Record"  # its type in files; there it may have an earlier name

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.written_as = cls.__dict__.get("written_as", cls.__name__)
        _CLASSES[cls.__name__] = _CLASSES[cls.written_as] = cls
        own = cls.__dict__.get("__post_init__")
        if own is not None:

            @functools.wraps(own)
            def checked(self: Any) -> None:
                _check_numbers(self)
                own(self)

            cls.__post_init__ = checked  # type: ignore[attr-defined]

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values, with its class name under ``type``."""
        fields = {f.name: to_plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return {"type": self.written_as, **fields}

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated like a new record."""
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise ValueError(
                    f"{type(self).__name__} has no field {name!r}{nearest(name, known)}"
                )
        return dataclasses.replace(self, **changes)

    @property
    def hash(self) -> str:
        """SHA-256 of the record's JSON, to tell whether two runs used the same inputs."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The record that :meth:`to_dict` wrote.

        Raises:
            ValueError: for a key or class name that does not exist, naming the nearest known one.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"{cls.__name__} must be read from a mapping, got {values!r}")
        values = dict(values)
        name = values.pop("type", cls.__name__)
        target = record_class(name)
        if not issubclass(target, cls):
            raise ValueError(f"expected a {cls.__name__}, got a {name}")
        known = [f.name for f in dataclasses.fields(target)]
        for key in values:
            if key not in known:
                raise ValueError(f"{name} has no field {key!r}{nearest(key, known)}")
        read = {key: target._read_field(key, value) for key, value in values.items()}
        try:
            return target(**read)
        except TypeError as error:
            if "required" not in str(error):
                raise
            missing = [
                f.name
                for f in dataclasses.fields(target)
                if f.default is dataclasses.MISSING
                and f.default_factory is dataclasses.MISSING
                and f.name not in values
            ]
            raise ValueError(f"{name} needs {', '.join(missing)}") from None

    @classmethod
    def _read_field(cls, name: str, value: Any) -> Any:
        return from_plain(value)


def _check_numbers(record: Any) -> None:
    """Raise TypeError for a field of a record that must be a number and is none."""
    for item in dataclasses.fields(record):
        value = getattr(record, item.name)
        optional = item.type == "float | None"
        if (item.type == "float" or optional) and not (optional and value is None):
            as_number(value, item.name)


def record_class(name: str) -> type[Record]:
    """The record class of this name."""
    if name not in _CLASSES:
        known = sorted(set(_CLASSES) - {"Record", "Looks", "RandomizationRule"})
        raise ValueError(f"there is no record {name!r}{nearest(name, known)}")
    return _CLASSES[name]


def from_plain(value: Any) -> Any:
    """Turn dictionaries that carry a ``type`` into records, at any depth."""
    if isinstance(value, Mapping):
        if "type" in value:
            return Record.from_dict(value)
        return {k: from_plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return tuple(from_plain(v) for v in value)
    return value


def plain_hash(value: Any) -> str:
    """SHA-256 of the JSON of plain values; what JSON cannot hold counts by its ``repr``."""
    text = json.dumps(to_plain(value), sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()
