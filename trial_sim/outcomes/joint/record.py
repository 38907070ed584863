"""Record of several endpoints that are fitted together: which of the times end which others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from trial_sim.base.storage import storable
from trial_sim.data.endpoints import Endpoint, Recurrent, TimeToEvent
from trial_sim.outcomes.times.multistate import ProgressionAndDeath, at_once

FEW_LATE = 0.02  # share of patients whose order of two times is taken for a mistake
FEWEST = 10  # events of a progression modelled with death


@storable
@dataclass(frozen=True)
class Joint(Endpoint):
    """Endpoints fitted together.

    Attributes:
        parts: the records, two of them as one `ProgressionAndDeath`. names: of the endpoints of
            each.
        ended: for each part, the place of the part whose death ends it, or -1. fatal: whether
            that death is one of its own events.
    """

    parts: tuple[Endpoint, ...]
    names: tuple[tuple[str, ...], ...]
    ended: tuple[int, ...]
    fatal: tuple[bool, ...]
    kind: ClassVar[str] = "joint"

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(c for part in self.parts for c in part.columns)

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c for part in self.parts for c in part.inputs))

    def check(self, table: pd.DataFrame) -> None:
        for part in self.parts:
            part.check(table)


def joint_of(table: pd.DataFrame, records: Mapping[str, Endpoint]) -> Endpoint:
    """The record of several endpoints: `ProgressionAndDeath` for these two, else `Joint`.

    Raises:
        ValueError: endpoints that share a column, are recurrent, have delayed entry, or three times
            in an order that no model keeps.
    """
    names = list(records)
    owner: dict[str, str] = {}
    for name, record in records.items():
        if isinstance(record, Recurrent):
            raise ValueError(
                f"endpoint {name!r} is recurrent: it has several rows a patient and is fitted alone"
            )
        if getattr(record, "entry", None) is not None:
            raise ValueError(
                f"endpoint {name!r} has delayed entry (column {record.entry!r}), which a joint "  # type: ignore[attr-defined]
                "fit does not take; fit the endpoints one by one"
            )
        for column in record.columns:
            if column in owner:
                raise ValueError(
                    f"endpoints {owner[column]!r} and {name!r} share column {column!r}: one of "
                    "them is redundant"
                )
            owner[column] = name
    times = {n: r for n, r in records.items() if isinstance(r, TimeToEvent)}
    for a in times:
        for b in times:
            if a != b:
                _check_order(table, times[a], times[b])
    below = {b: [a for a in times if a != b and _within(table, times[a], times[b])] for b in times}
    death = max(below, key=lambda b: len(below[b])) if below else ""
    early = below.get(death, [])
    first = next((a for a in early if _own_events(table, times[a], times[death]) >= FEWEST), "")
    for c in early:
        if first and c != first and (first in below[c] or c in below[first]):
            raise ValueError(
                f"times of {first!r}, {c!r} and {death!r} follow one another in every patient; "
                "a joint fit keeps the order of two: leave one of them out"
            )
    parts: list[Endpoint] = []
    of: list[tuple[str, ...]] = []
    for name in names:
        if first and name == death:
            continue
        if first and name == first:
            both = _composite(table, times[first], times[death])
            parts.append(ProgressionAndDeath(times[first], times[death], both))
            of.append((first, death))
        else:
            parts.append(records[name])
            of.append((name,))
    if len(parts) == 1:
        return parts[0]
    place = next((k for k, group in enumerate(of) if death in group), -1)
    ended = tuple(place if group[0] in early and len(group) == 1 else -1 for group in of)
    fatal = tuple(
        e >= 0 and _composite(table, times[group[0]], times[death]) for e, group in zip(ended, of)
    )
    return Joint(tuple(parts), tuple(of), ended, fatal)


def numbers(table: pd.DataFrame, record: TimeToEvent) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) of an endpoint, and whether the event was seen (n,)."""
    time, event = (table[c].to_numpy(dtype=float) for c in record.columns)
    return time, event > 0


def _within(table: pd.DataFrame, one: TimeToEvent, two: TimeToEvent) -> bool:
    """Whether the first time never exceeds the second, and is not always equal to it."""
    a, b = numbers(table, one)[0], numbers(table, two)[0]
    same = at_once(a, b)
    return bool(((a < b) | same).all() and not same.all())


def _check_order(table: pd.DataFrame, one: TimeToEvent, two: TimeToEvent) -> None:
    """Refuse two times that are always equal, and a first time that exceeds the second in a few
    patients only.

    Raises:
        ValueError: names the columns, and the first such row.
    """
    a, b = numbers(table, one)[0], numbers(table, two)[0]
    if at_once(a, b).all():
        raise ValueError(
            f"columns {one.duration!r} and {two.duration!r} hold the same time in every patient: "
            "leave one of the endpoints out"
        )
    late = (a > b) & ~at_once(a, b)
    if 0 < late.sum() <= FEW_LATE * len(table) and (a < b).any():
        row = int(np.argmax(late))
        raise ValueError(
            f"column {one.duration!r} must not exceed {two.duration!r}, as in the other patients; "
            f"row {row} holds {a[row]:g} and {b[row]:g}"
        )


def _composite(table: pd.DataFrame, one: TimeToEvent, death: TimeToEvent) -> bool:
    """Whether death is an event of the first endpoint, too (progression-free survival)."""
    (a, seen), (b, dead) = numbers(table, one), numbers(table, death)
    both = at_once(a, b) & dead
    return bool(both.any() and seen[both].mean() > 0.5)


def _own_events(table: pd.DataFrame, one: TimeToEvent, death: TimeToEvent) -> int:
    """Events of the first endpoint that are not deaths."""
    (a, seen), (b, dead) = numbers(table, one), numbers(table, death)
    if _composite(table, one, death):
        seen = seen & ~(at_once(a, b) & dead)
    return int(seen.sum())


def _terminal(record: Joint, k: int) -> TimeToEvent:
    """The endpoint of death that ends part ``k``."""
    part = record.parts[record.ended[k]]
    death = part.death if isinstance(part, ProgressionAndDeath) else part
    assert isinstance(death, TimeToEvent)
    return death


def without_deaths(table: pd.DataFrame, record: Joint, k: int) -> pd.DataFrame:
    """The table with the events of part ``k`` that are deaths censored."""
    part = record.parts[k]
    assert isinstance(part, TimeToEvent)
    (time, seen), (last, dead) = numbers(table, part), numbers(table, _terminal(record, k))
    own = seen & ~(at_once(time, last) & dead)
    return table.assign(**{part.event: own.astype(int)})
