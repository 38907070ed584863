"""Change one field of a design or of its outcomes by name: ``hazard_ratio``, ``accrual.rate``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from trial_sim.adaptive.rules import Arm
from trial_sim.base.arguments import nearest
from trial_sim.base.records import Record
from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.design import Design
from trial_sim.design.milestones import Milestone

Path = tuple[str, ...]


_DEEPEST = 4  # a fitted trial holds a whole world below its own fields
_DEEPEST_OF_RULES = 12  # milestones, their rules, joined conditions, a quantity of one of them


def _members(value: Any) -> dict[str, Any]:
    """Records of a sequence by name, or by number from 1 where they have none."""
    return {
        one.name if isinstance(one, Milestone | Arm) else str(at): one
        for at, one in enumerate(value, start=1)
    }


def _is_records(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(v, Record) for v in value)


def _paths(value: Any, prefix: Path, deepest: int = _DEEPEST) -> Iterator[Path]:
    """Paths of the fields below a record, and of the entries of its mappings and sequences."""
    if isinstance(value, AdaptiveDesign):
        deepest = _DEEPEST_OF_RULES
    if len(prefix) >= deepest:
        return
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        varied = getattr(value, "VARIED", None)  # of a scenario that holds more than it varies
        names = list(varied or (f.name for f in dataclasses.fields(value) if f.init))
        members = {name: getattr(value, name) for name in names}
    elif isinstance(value, Mapping):
        members = {str(k): v for k, v in value.items()}
    elif _is_records(value):
        members = _members(value)
    else:
        return
    for name, member in members.items():
        yield (*prefix, name)
        if name != "boundaries":
            yield from _paths(member, (*prefix, name), deepest)


def find_field(design: Design | AdaptiveDesign, outcomes: Any, name: str) -> Path:
    """The path of a field, starting with ``"design"`` or ``"outcomes"``.

    A name may be a whole path (``"design.accrual.rate"``), leave out the start
    (``"accrual.rate"``), or be the last part alone where only one field has it. Fields of the
    records themselves win over fields below them. Of an adaptive design a milestone or a later arm
    is found by its name and a rule, or one of joined conditions, by its number:
    ``"interim.rules.1.action.n"``, ``"interim.rules.2.when.value"``.

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


def get_field(design: Design | AdaptiveDesign, outcomes: Any, path: Path) -> Any:
    """The value at a path of :func:`find_field`."""
    value: Any = design if path[0] == "design" else outcomes
    for name in path[1:]:
        if _is_records(value):
            value = _members(value)[name]
        else:
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value


def _with(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    name, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        return {**value, name: _with(value[name], rest, new)}
    if _is_records(value):
        members = _members(value)
        return tuple(_with(one, rest, new) if key == name else one for key, one in members.items())
    return dataclasses.replace(value, **{name: _with(getattr(value, name), rest, new)})


def set_fields(
    design: Design | AdaptiveDesign, outcomes: Any, changes: Mapping[str, Any]
) -> tuple[Any, Any]:
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
