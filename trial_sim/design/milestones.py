"""A milestone of an adaptive trial: when the data are looked at, and the rules then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.adaptive.rules import (
    Action,
    AddArm,
    Comparison,
    DropArm,
    Pause,
    Quantity,
    Reallocate,
    Resize,
    Restrict,
    Rule,
    Stop,
)
from trial_sim.base.errors import TrialSimError
from trial_sim.base.records import Record
from trial_sim.design.look_rules import (
    CalendarLooks,
    EnrolmentLooks,
    EventLooks,
    FollowUpLooks,
    Looks,
    Observed,
)

__all__ = ["Milestone", "MilestoneLooks", "NotSimulated"]

#: Kind of rule → the field that says what it counts.
COUNTED = {
    EventLooks: "events",
    CalendarLooks: "months",
    EnrolmentLooks: "patients",
    FollowUpLooks: "patients",
}


class NotSimulated(TrialSimError):
    """An adaptation that is declared and checked, but not simulated by this version."""


@dataclass(frozen=True)
class Milestone(Record):
    """One look at the data, and what is done then.

    Attributes:
        name: of the milestone. when: a rule of one look, such as ``EventLooks([120])``.
        rules: looked at in order.
        arms, population: whose patients and events ``when`` counts; None for all.
        endpoint: whose events, or known responses, ``when`` counts; None for the tested one.

    Examples:
        >>> import trial_sim as ts
        >>> interim = ts.Milestone(
        ...     "interim",
        ...     when=ts.EventLooks([120]),
        ...     rules=[
        ...         ts.Rule(ts.Quantity("z") >= 2.8, ts.Stop("efficacy")),
        ...         ts.Rule(ts.Quantity("z") <= 0.0, ts.Stop("futility")),
        ...     ],
        ... )
        >>> ts.Milestone.from_yaml(interim.to_yaml()) == interim
        True
    """

    name: str
    when: Looks
    rules: Any = ()
    arms: Any = None
    population: str | None = None
    endpoint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields; ``endpoint`` only where it is given."""
        plain = super().to_dict()
        if self.endpoint is None:
            del plain["endpoint"]
        return plain

    @classmethod
    def _read_field(cls, name: str, value: Any) -> Any:
        if name == "rules":
            return records_of("Rule", value)
        return super()._read_field(name, value)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"name of a milestone must be text, got {self.name!r}")
        if not isinstance(self.when, Looks):
            raise TypeError(
                f"milestone {self.name!r}: when must be a rule such as EventLooks([120]), got "
                f"{self.when!r}"
            )
        if self.when.n_looks != 1:
            raise ValueError(
                f"milestone {self.name!r} must be one look, its rule has {self.when.n_looks}: "
                "give each look a milestone"
            )
        if isinstance(self.rules, str) or not isinstance(self.rules, Rule | Iterable):
            raise TypeError(
                f"milestone {self.name!r}: rules must be Rule(condition, action), one or a list, "
                f"got {self.rules!r}"
            )
        rules = (self.rules,) if isinstance(self.rules, Rule) else tuple(self.rules)
        for rule in rules:
            if not isinstance(rule, Rule):
                raise TypeError(f"milestone {self.name!r}: rules must be Rule, got {rule!r}")
        for i, one in enumerate(rules):
            for other in rules[i + 1 :]:
                if isinstance(one.action, Stop) and isinstance(other.action, Stop):
                    _check_bounds(self.name, one, other)
                if one.when == other.when and (why := _contradiction(one.action, other.action)):
                    raise ValueError(
                        f"milestone {self.name!r}: two rules if {one.when.in_words} contradict: "
                        f"{why}"
                    )
                if _drops_and_adds(one.action, other.action) and (one.when & other.when).can_hold():
                    raise ValueError(
                        f"milestone {self.name!r}: two rules contradict: {one.when.in_words} and "
                        f"{other.when.in_words} may hold at once, and arm "
                        f"{one.action.arm!r} is dropped and added then"
                    )
        object.__setattr__(self, "rules", rules)
        if self.arms is not None:
            arms = (self.arms,) if isinstance(self.arms, str) else tuple(self.arms)
            object.__setattr__(self, "arms", arms)


def records_of(kind: str, value: Any) -> Any:
    """A record, or several, of plain values that need not say their type."""
    if isinstance(value, Mapping):
        return Record.from_dict({"type": kind, **value})
    if isinstance(value, list | tuple):
        return tuple(records_of(kind, one) for one in value)
    return value


def _check_bounds(milestone: str, one: Rule, other: Rule) -> None:
    """That no value of a quantity stops for efficacy and for futility at once."""
    plain = isinstance(one.when, Comparison) and isinstance(other.when, Comparison)
    if not plain or one.action == other.action or one.when == other.when:
        return
    if one.when.quantity != other.when.quantity:
        return
    if (one.when & other.when).can_hold():
        raise ValueError(
            f"milestone {milestone!r}: two rules contradict: {one.when.in_words} and "
            f"{other.when.in_words} hold at once, and one stops for efficacy, the other for "
            "futility"
        )


def _drops_and_adds(one: Action, other: Action) -> bool:
    """Whether of two actions one drops the arm that the other adds."""
    return {type(one), type(other)} == {DropArm, AddArm} and one.arm == other.arm  # type: ignore[attr-defined]


def _contradiction(one: Action, other: Action) -> str:
    """Why two actions of one moment cannot both be done; empty if they can."""
    if isinstance(one, Stop) or isinstance(other, Stop):
        same = one == other
        words = f"{one.in_words} and {other.in_words}"
        return "" if same else f"{words}, and nothing can be done after a stop"
    if _drops_and_adds(one, other):
        return f"arm {one.arm!r} is dropped and added"  # type: ignore[attr-defined]
    several = Resize | Reallocate | Pause | Restrict
    if type(one) is type(other) and isinstance(one, several) and one != other:
        if isinstance(one, Resize) and (one.n is None) != (other.n is None):  # type: ignore[attr-defined]
            return ""  # patients by one, events by the other
        return f"{one.in_words} and {other.in_words}"
    return ""


def bound_at(milestone: Milestone) -> float:
    """The least z at which a rule of the milestone stops for efficacy; inf without such a rule."""
    found = [
        float(rule.when.value)
        for rule in milestone.rules
        if is_bound(rule)
        if isinstance(rule.when, Comparison)
    ]
    return min(found, default=np.inf)


def is_bound(rule: Rule) -> bool:
    """Whether a rule is a bound of the closed test: a stop for efficacy if z reaches a number."""
    asked = rule.when
    return (
        rule.action == Stop("efficacy")
        and isinstance(asked, Comparison)
        and asked.quantity == Quantity("z")
        and asked.sign[0] == ">"
    )


@dataclass(frozen=True)
class MilestoneLooks(Looks):
    """Looks at milestones of any kinds, one after the other."""

    rules: Any

    @property
    def n_looks(self) -> int:
        return len(self.rules)

    def times(self, observed: Observed) -> np.ndarray:
        found = np.column_stack([rule.times(observed)[:, 0] for rule in self.rules])
        return np.maximum.accumulate(found, axis=1)


def succeeds_by_rules(milestones: tuple[Milestone, ...]) -> bool:
    """Whether a rule other than a bound of z declares success, as Bayesian designs do."""
    return any(
        rule.action == Stop("efficacy")
        and not is_bound(rule)
        and "rejected" not in {q.name for q in rule.quantities}
        for milestone in milestones
        for rule in milestone.rules
    )
