"""Change one field of a design or of its outcomes by name: ``hazard_ratio``, ``accrual.rate``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from trial_sim.base.arguments import nearest
from trial_sim.design.design import Design

Path = tuple[str, ...]


_DEEPEST = 4  # a fitted trial holds a whole world below its own fields


def _paths(value: Any, prefix: Path) -> Iterator[Path]:
    """Paths of the fields below a record, and of the entries of its mappings."""
    if len(prefix) >= _DEEPEST:
        return
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value) if f.init]
        members = {name: getattr(value, name) for name in names}
    elif isinstance(value, Mapping):
        members = {str(k): v for k, v in value.items()}
    else:
        return
    for name, member in members.items():
        yield (*prefix, name)
        if name != "boundaries":
            yield from _paths(member, (*prefix, name))


def find_field(design: Design, outcomes: Any, name: str) -> Path:
    """The path of a field, starting with ``"design"`` or ``"outcomes"``.

    A name may be a whole path (``"design.accrual.rate"``), leave out the start
    (``"accrual.rate"``), or be the last part alone where only one field has it. Fields of the
    records themselves win over fields below them.

    Raises:
        ValueError: if there is no such field, or several.
    """
    wanted = tuple(name.split("."))
    known = [*_paths(design, ("design",)), *_paths(outcomes, ("outcomes",))]
    matches = [path for path in known if path[-len(wanted) :] == wanted]
    if not matches:
        raise ValueError(
            f"neither design nor outcomes have a field {name!r}"
            f"{nearest(name, sorted({'.'.join(p[1:]) for p in known} | {p[-1] for p in known}))}"
        )
    shortest = min(len(path) for path in matches)
    best = [path for path in matches if len(path) == shortest]
    if len(best) > 1:
        raise ValueError(
            f"{name!r} could be {' or '.join('.'.join(path) for path in best)}; say which"
        )
    return best[0]


def get_field(design: Design, outcomes: Any, path: Path) -> Any:
    """The value at a path of :func:`find_field`."""
    value: Any = design if path[0] == "design" else outcomes
    for name in path[1:]:
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value


def _with(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    name, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        return {**value, name: _with(value[name], rest, new)}
    return dataclasses.replace(value, **{name: _with(getattr(value, name), rest, new)})


def set_fields(design: Design, outcomes: Any, changes: Mapping[str, Any]) -> tuple[Design, Any]:
    """Design and outcomes with some fields changed; each record is validated again.

    All changes of one record are made before it is checked, so that values that only fit together
    (looks and boundaries) can be changed together.

    Raises:
        ValueError: for unknown fields, or values that the records refuse.
    """
    roots: dict[str, dict[str, Any]] = {"design": {}, "outcomes": {}}
    for name, new in changes.items():
        path = find_field(design, outcomes, name)
        root = design if path[0] == "design" else outcomes
        pending = roots[path[0]]
        current = pending.get(path[1], getattr(root, path[1]))
        pending[path[1]] = _with(current, path[2:], new)
    if roots["design"]:
        design = dataclasses.replace(design, **roots["design"])
    if roots["outcomes"]:
        outcomes = dataclasses.replace(outcomes, **roots["outcomes"])
    return design, outcomes
