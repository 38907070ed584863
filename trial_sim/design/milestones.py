"""Milestones of an adaptive trial: when the data are looked at, and the rules then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.adaptive.rules import (
    Action,
    AddArm,
    Arm,
    ClosedTest,
    Comparison,
    DropArm,
    Pause,
    Quantity,
    Reallocate,
    Resize,
    Rule,
    Stop,
)
from trial_sim.base.arguments import nearest
from trial_sim.base.errors import TrialSimError
from trial_sim.base.records import Record
from trial_sim.design.design import Design
from trial_sim.design.look_rules import (
    CalendarLooks,
    EnrolmentLooks,
    EventLooks,
    FollowUpLooks,
    Looks,
)
from trial_sim.sequential.plain_bounds import Bounds

__all__ = ["AdaptiveDesign", "Milestone", "NotSimulated", "milestones_of"]

_COUNTED = {
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
        rules: looked at in order. arms, population: whose data; None for all.

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
        rules = (self.rules,) if isinstance(self.rules, Rule) else tuple(self.rules)
        for rule in rules:
            if not isinstance(rule, Rule):
                raise TypeError(f"milestone {self.name!r}: rules must be Rule, got {rule!r}")
        for i, one in enumerate(rules):
            for other in rules[i + 1 :]:
                if one.when == other.when and (why := _contradiction(one.action, other.action)):
                    raise ValueError(
                        f"milestone {self.name!r}: two rules if {one.when.in_words} contradict: "
                        f"{why}"
                    )
        object.__setattr__(self, "rules", rules)
        if self.arms is not None:
            object.__setattr__(self, "arms", tuple(self.arms))


def _contradiction(one: Action, other: Action) -> str:
    """Why two actions of one moment cannot both be done; empty if they can."""
    if isinstance(one, Stop) or isinstance(other, Stop):
        same = one == other
        return "" if same else f"{one} and {other}, and nothing can be done after a stop"
    if {type(one), type(other)} == {DropArm, AddArm} and one.arm == other.arm:  # type: ignore[attr-defined]
        return f"arm {one.arm!r} is dropped and added"  # type: ignore[attr-defined]
    if type(one) is type(other) and isinstance(one, Resize | Reallocate | Pause) and one != other:
        return f"{one} and {other}"
    return ""


@dataclass(frozen=True)
class AdaptiveDesign(Record):
    """A trial with milestones: a design, and the rules by which it changes while it runs.

    ``simulate`` takes one whose rules are stops by z, and gives the bytes of the equal
    :class:`Design` of looks and boundaries. Other actions and quantities are declared, checked and
    written, and refused by ``simulate`` by name.

    Attributes:
        design: arms, patients, accrual, test and all else. Its looks and boundaries are replaced by
            the milestones; information fractions of its boundaries are the weights of stages.
        milestones: in order; the last ends the trial.
        closed_test: how the error is held; needed by every adaptation that shows the treatment's
            effect other than a stop.
        later_arms: arms that ``AddArm`` may open, as :class:`Arm`.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ...     boundaries=ts.group_sequential((0.5, 1)),
        ... )
        >>> adaptive = ts.AdaptiveDesign(design, ts.milestones_of(design))
        >>> adaptive.as_design() == design
        True
        >>> [rule.in_words for rule in adaptive.milestones[1].rules]
        ["if z >= 1.97743: Stop(reason='efficacy')"]
        >>> ts.AdaptiveDesign.from_yaml(adaptive.to_yaml()) == adaptive
        True
    """

    design: Design
    milestones: Any
    closed_test: ClosedTest | None = None
    later_arms: Any = ()

    def __post_init__(self) -> None:
        if not isinstance(self.design, Design):
            raise TypeError(f"design must be a Design, got {self.design!r}")
        milestones = tuple(self.milestones)
        if not milestones or not all(isinstance(one, Milestone) for one in milestones):
            raise ValueError("milestones must be one Milestone or more, the last ends the trial")
        names = [one.name for one in milestones]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"two milestones have the name {twice[0]!r}")
        object.__setattr__(self, "milestones", milestones)
        later = tuple(self.later_arms)
        if not all(isinstance(arm, Arm) for arm in later):
            raise TypeError(f"later_arms must be Arm, got {self.later_arms!r}")
        object.__setattr__(self, "later_arms", later)
        if self.closed_test is not None and not isinstance(self.closed_test, ClosedTest):
            raise TypeError(f"closed_test must be a ClosedTest, got {self.closed_test!r}")
        for milestone in milestones:
            self._check(milestone)
        self._check_error()

    def _check(self, milestone: Milestone) -> None:
        where = f"milestone {milestone.name!r}"
        added = {arm.name for arm in self.later_arms}
        known = [*self.design.arms, *added]
        if milestone.when.unreachable(self.design.n_patients) and not self._largest():
            raise ValueError(f"{where} can never be reached with {self.design.n_patients} patients")
        for name in milestone.arms or ():
            _known(name, known, where)
        for rule in milestone.rules:
            action = rule.action
            for one in rule.when.comparisons():
                if one.quantity.arm is not None:
                    _known(one.quantity.arm, known, where)
            if isinstance(action, DropArm) and action.arm is not None:
                _known(action.arm, known, where)
                if action.arm == next(iter(self.design.arms)):
                    raise ValueError(f"{where} drops the control {action.arm!r}: nothing is left")
            if isinstance(action, Reallocate):
                for name in action.weights:
                    _known(name, known, where)
            if isinstance(action, AddArm):
                if action.arm not in added:
                    raise ValueError(
                        f"{where} adds the arm {action.arm!r}, which later_arms does not have"
                        f"{nearest(action.arm, added)}"
                    )
                if self._enrolment_is_over(milestone):
                    raise ValueError(
                        f"{where} adds the arm {action.arm!r} after enrolment ended: all "
                        f"{self.design.n_patients} patients have come by then"
                    )
            if isinstance(action, Resize) and action.n is not None:
                planned = self.design.n_patients
                if action.n < planned:
                    raise ValueError(
                        f"{where}: Resize to at most {action.n:g} patients is below the "
                        f"{planned} planned"
                    )

    def _enrolment_is_over(self, milestone: Milestone) -> bool:
        when = milestone.when
        enrolled = isinstance(when, EnrolmentLooks) and when.patients[0] >= self.design.n_patients
        return enrolled and not self._largest()

    def _largest(self) -> bool:
        """Whether some rule may add patients."""
        return any(
            isinstance(rule.action, Resize)
            for milestone in self.milestones
            for rule in milestone.rules
        )

    def _check_error(self) -> None:
        unblinded = [
            (milestone, rule)
            for milestone in self.milestones
            for rule in milestone.rules
            if rule.action.unblinds and not rule.blinded
        ]
        if not unblinded:
            return
        if self.closed_test is None:
            milestone, rule = unblinded[0]
            raise ValueError(
                f"milestone {milestone.name!r}: {type(rule.action).__name__} by "
                f"{rule.when.in_words} needs a method for the type I error, which is not "
                "controlled otherwise: give closed_test=ClosedTest(...)"
            )
        test = self.closed_test
        if test.combine != "inverse_normal":
            return
        if test.weights is None and self.design.boundaries is None:
            raise ValueError(
                "the closed test has no weights for its stages: give ClosedTest(weights=[...]), "
                "or boundaries whose information fractions say them"
            )
        if test.weights is not None and len(test.weights) != len(self.milestones):
            raise ValueError(
                f"the closed test has {len(test.weights)} weights for {len(self.milestones)} "
                "milestones: one a stage is needed"
            )

    def as_design(self) -> Design:
        """The equal design of looks and boundaries.

        Raises:
            NotSimulated: naming the milestone and what of it has none.
        """
        efficacy, futility = [], []
        for milestone in self.milestones:
            high, low = _bounds_of(milestone)
            efficacy.append(high)
            futility.append(low)
        looks = self._looks()
        old = self.design.boundaries
        if old is None and len(efficacy) == 1 and futility == [-np.inf]:
            same = self.design.replace(looks=looks)
            if efficacy[0] == float(same.efficacy_bounds[0]):
                return same
        if old is not None and len(np.atleast_1d(old.efficacy_bounds)) == len(efficacy):
            planned = (np.asarray(old.efficacy_bounds), np.asarray(old.futility_bounds))
            lower = planned[1].astype(float).copy()
            lower[-1] = futility[-1]
            if np.array_equal(planned[0], efficacy) and np.array_equal(lower, futility):
                return self.design.replace(looks=looks)
        fractions = () if old is None else old.information_fractions
        if len(np.atleast_1d(fractions)) != len(efficacy):
            fractions = ()
        bounds = Bounds(efficacy, futility, tuple(np.atleast_1d(fractions).tolist()))
        return self.design.replace(looks=looks, boundaries=bounds)

    def _looks(self) -> Looks:
        first = self.milestones[0].when
        kind = type(first)
        if kind not in _COUNTED or any(type(m.when) is not kind for m in self.milestones):
            kinds = sorted({type(m.when).__name__ for m in self.milestones})
            raise NotSimulated(
                f"milestones of kinds {', '.join(kinds)} are not simulated together: name events, "
                "months or patients for all of them"
            )
        counted = _COUNTED[kind]
        merged = tuple(getattr(m.when, counted)[0] for m in self.milestones)
        for milestone in self.milestones:
            if milestone.when.replace(**{counted: merged}) != first.replace(**{counted: merged}):
                raise NotSimulated(
                    f"milestone {milestone.name!r} differs from the first in its lag or follow-up, "
                    "which is not simulated"
                )
        return first.replace(**{counted: merged})


def _known(name: str, known: list[str], where: str) -> None:
    if name not in known:
        raise ValueError(f"{where} names the arm {name!r}{nearest(name, known)}")


def _bounds_of(milestone: Milestone) -> tuple[float, float]:
    """(efficacy, futility) bounds of z, if the milestone's rules are such stops."""
    where = f"milestone {milestone.name!r}"
    if milestone.arms is not None or milestone.population is not None:
        raise NotSimulated(f"{where}: looks at some arms, or at a population, are not simulated")
    high, low = np.inf, -np.inf
    for rule in milestone.rules:
        name = type(rule.action).__name__
        if not isinstance(rule.action, Stop):
            raise NotSimulated(f"{where}: {name} is not simulated yet; Stop by z is")
        asked = rule.when
        plain = isinstance(asked, Comparison) and asked.quantity == Quantity("z")
        sign = ">=" if rule.action.reason == "efficacy" else "<="
        if not plain or asked.sign != sign:  # type: ignore[attr-defined]
            raise NotSimulated(
                f"{where}: a stop for {rule.action.reason} if {asked.in_words} is not simulated "
                f"yet; Quantity('z') {sign} a number is"
            )
        if sign == ">=":
            high = min(high, float(asked.value))  # type: ignore[attr-defined]
        else:
            low = max(low, float(asked.value))  # type: ignore[attr-defined]
    return high, low


def milestones_of(design: Design) -> tuple[Milestone, ...]:
    """Looks and boundaries of a design as milestones whose rules are stops.

    Raises:
        ValueError: for two-sided boundaries, several comparisons, or combined rules of looks.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> [milestone.name for milestone in ts.milestones_of(design)]
        ['look 1', 'look 2']
    """
    kind = type(design.looks)
    if kind not in _COUNTED:
        raise ValueError(f"looks of kind {kind.__name__} are not one number a look")
    if design.sided != 1 or len(design.arms) != 2:
        raise ValueError("milestones are made of one-sided boundaries of two arms")
    counted = _COUNTED[kind]
    found = []
    for k, number in enumerate(getattr(design.looks, counted)):
        rules = []
        high, low = float(design.efficacy_bounds[k]), float(design.futility_bounds[k])
        if np.isfinite(high):
            rules.append(Rule(Quantity("z") >= high, Stop("efficacy")))
        if np.isfinite(low) and k + 1 < design.n_looks:
            rules.append(Rule(Quantity("z") <= low, Stop("futility")))
        when = design.looks.replace(**{counted: [number]})
        found.append(Milestone(f"look {k + 1}", when, rules))
    return tuple(found)
