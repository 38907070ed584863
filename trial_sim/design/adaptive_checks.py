"""Checks of an adaptive design: milestones that cannot come, rules that cannot be done."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from trial_sim.adaptive.rules import (
    AddArm,
    Comparison,
    Condition,
    DropArm,
    Quantity,
    Reallocate,
    Resize,
    Restrict,
    Rule,
    Stop,
)
from trial_sim.base.arguments import nearest
from trial_sim.design.error_checks import check_error
from trial_sim.design.look_rules import (
    CalendarLooks,
    EnrolmentLooks,
    EventLooks,
)
from trial_sim.design.milestones import COUNTED, Milestone, NotSimulated, is_bound
from trial_sim.design.tests import TESTS

if TYPE_CHECKING:
    from trial_sim.design.adaptive_design import AdaptiveDesign

__all__ = ["check_adaptive"]

#: Blinded quantities that only some kinds of outcome have.
_HAVE = {
    "pooled_sd": ("binary", "continuous", "ordinal", "count", "longitudinal"),
    "pooled_dispersion": ("count",),
}
_BLINDED_SIZES = ("binary", "continuous", "count", "time_to_event")


def check_adaptive(adaptive: AdaptiveDesign) -> None:
    """Check each milestone, their order, and how the type I error is held.

    Raises:
        ValueError: naming the milestone, and what is wrong with it. NotSimulated: for what is
            declared but not simulated.
    """
    for milestone in adaptive.milestones:
        _check(adaptive, milestone)
    _check_order(adaptive)
    _check_preempted(adaptive)
    check_error(adaptive)


def _known(name: str, known: list[str], where: str) -> None:
    if name not in known:
        raise ValueError(f"{where} names the arm {name!r}{nearest(name, known)}")


def _check(adaptive: AdaptiveDesign, milestone: Milestone) -> None:
    where = f"milestone {milestone.name!r}"
    added = {arm.name for arm in adaptive.later_arms}
    known = [*adaptive.design.arms, *added]
    if milestone.when.unreachable(adaptive.design.n_patients) and not _may_grow(adaptive):
        raise ValueError(f"{where} can never be reached with {adaptive.design.n_patients} patients")
    for name in milestone.arms or ():
        _known(name, known, where)
    for rule in milestone.rules:
        action = rule.action
        for one in rule.when.comparisons():
            _check_possible(adaptive, where, one)
            for asked in one.quantity.quantities:
                having = _HAVE.get(asked.name)
                kinds = TESTS[adaptive.design.test_name].kinds
                if having and asked.endpoint is None and not set(having) & set(kinds):
                    raise ValueError(
                        f"{where} asks for the {asked.name}, which outcomes of the test "
                        f"{adaptive.design.test_name!r} have not"
                    )
                if asked.arm is not None:
                    _known(asked.arm, known, where)
                if asked.population is not None:
                    adaptive.members(asked.population)
        if isinstance(action, Restrict):
            adaptive.members(action.population)
        if isinstance(action, DropArm) and action.arm is not None:
            _known(action.arm, known, where)
            if action.arm == next(iter(adaptive.design.arms)):
                raise ValueError(f"{where} drops the control {action.arm!r}: nothing is left")
        if isinstance(action, Reallocate):
            for name in action.weights or ():
                _known(name, known, where)
            if action.by is not None and action.least * len(known) >= 1:
                raise ValueError(
                    f"{where}: a least share of {action.least:g} is too much for {len(known)} arms"
                )
        if isinstance(action, AddArm):
            if action.arm not in added:
                raise ValueError(
                    f"{where} adds the arm {action.arm!r}, which later_arms does not have"
                    f"{nearest(action.arm, added)}"
                )
            if _enrolment_is_over(adaptive, milestone):
                raise ValueError(
                    f"{where} adds the arm {action.arm!r} after enrolment ended: all "
                    f"{adaptive.design.n_patients} patients have come by then"
                )
        if isinstance(action, Resize) and action.by == "blinded":
            _check_blinded(adaptive, where, action)
        if isinstance(action, Resize) and action.n is not None:
            planned = adaptive.design.n_patients
            if action.n < planned:
                raise ValueError(
                    f"{where}: Resize to at most {action.n:g} patients is below the "
                    f"{planned} planned"
                )
        if isinstance(action, Resize) and action.events is not None:
            counted = [
                m.when.events[0] for m in adaptive.milestones if isinstance(m.when, EventLooks)
            ]
            if not counted:
                raise ValueError(
                    f"{where}: Resize to {action.events:g} events, and no milestone counts events"
                )
            if action.events < counted[-1]:
                raise ValueError(
                    f"{where}: Resize to at most {action.events:g} events is below the "
                    f"{counted[-1]} planned"
                )
            if action.events > adaptive.most_patients and adaptive.design.test_name != "lwyy":
                raise ValueError(
                    f"{where}: Resize to {action.events:g} events can never be reached with "
                    f"{adaptive.most_patients} patients"
                )


def _check_preempted(adaptive: AdaptiveDesign) -> None:
    """That no rule, and no milestone, waits behind stops that always come before it."""
    one_comparison = len(adaptive.arms) == 2
    milestones = adaptive.milestones
    for milestone, later in zip(milestones, (*milestones[1:], None)):
        ended: Condition | None = None  # none of the stops so far
        for rule in milestone.rules:
            if ended is not None and not (rule.when & ended).can_hold():
                raise ValueError(
                    f"milestone {milestone.name!r}: the rule if {rule.when.in_words} can never "
                    "fire: whenever it holds, an earlier rule has stopped what it is about"
                )
            if _stops(rule, one_comparison):
                left = ~rule.when
                ended = left if ended is None else ended & left
        if later is not None and ended is not None and not ended.can_hold():
            raise ValueError(
                f"milestone {milestone.name!r} always stops the trial: milestone "
                f"{later.name!r} never comes"
            )


def _stops(rule: Rule, one_comparison: bool) -> bool:
    """Whether nothing is left of what a rule looks at once it fires.

    A bound of z is one of the closed test, which of several arms may not reject at it. What is left
    after arms were dropped by their rank is ranked anew.
    """
    if is_bound(rule):
        return one_comparison
    if isinstance(rule.action, Stop):
        return True
    names = {q.name for q in rule.quantities}
    anew = names & {"rank", "below_best", "best"}
    return isinstance(rule.action, DropArm) and rule.action.arm is None and not anew


def _check_order(adaptive: AdaptiveDesign) -> None:
    """That milestones can come, in their order, and the rules of each can be done."""
    for one, other in itertools.pairwise(adaptive.milestones):
        alike = type(one.when) is type(other.when) and type(one.when) in COUNTED
        same = (one.arms, one.population, one.endpoint) == (
            other.arms, other.population, other.endpoint
        )  # fmt: skip
        if not alike or not same:
            continue
        name = COUNTED[type(one.when)]
        first, second = (getattr(m.when, name)[0] for m in (one, other))
        later = getattr(other.when, "follow_up", 0) > getattr(one.when, "follow_up", 0)
        if second < first or (second == first and not later):
            raise ValueError(
                f"milestone {other.name!r} at {second:g} {name} comes after milestone "
                f"{one.name!r} at {first:g}: milestones must be in order"
            )
    known = (
        0.0
        if "time_to_event" in TESTS[adaptive.design.test_name].kinds
        else adaptive.design.readout
    )
    for milestone in adaptive.milestones:
        when = milestone.when
        if not isinstance(when, CalendarLooks):
            continue
        start = float(adaptive.design.accrual.expected_time(1.0))
        if when.months[0] <= start:
            raise ValueError(
                f"milestone {milestone.name!r} at month {when.months[0]:g} comes before the "
                f"first patient, expected in month {start:.3g}"
            )
        if when.months[0] <= start + known:
            raise ValueError(
                f"milestone {milestone.name!r} at month {when.months[0]:g} comes before any "
                f"response is known: the first patient comes in month {start:.3g}, and "
                f"responses are known {known:g} months later"
            )
    last = adaptive.milestones[-1]
    for rule in last.rules:
        if not isinstance(rule.action, Stop):
            raise ValueError(
                f"milestone {last.name!r} is the last and ends the trial: its rule "
                f"{rule.action.in_words} can never be done"
            )
    end = float(adaptive.design.accrual.expected_time(float(adaptive.most_patients)))
    for arm in adaptive.later_arms:
        if arm.name not in adaptive.added_arms and arm.opens >= end:
            raise ValueError(
                f"the later arm {arm.name!r} opens at month {arm.opens:g}, after enrolment "
                f"ended: all {adaptive.most_patients} patients have come about month {end:.3g}"
            )


def _check_possible(adaptive: AdaptiveDesign, where: str, one: Comparison) -> None:
    """That a comparison can hold in a trial of this size, arms and kind."""
    limits = {"n": float(adaptive.most_patients), "rank": float(len(adaptive.arms) - 1)}
    if "binary" in TESTS[adaptive.design.test_name].kinds:
        limits["pooled_rate"] = 1.0
    asked = one.quantity
    if not isinstance(asked, Quantity) or asked.endpoint is not None:
        return
    most = limits.get(asked.name)
    if most is not None and not (one & Comparison(asked, "<=", most)).can_hold():
        raise ValueError(
            f"{where}: the rule can never fire: {asked.name} is at most {most:g} here, and it "
            f"asks for {one.in_words}"
        )


def _check_blinded(adaptive: AdaptiveDesign, where: str, action: Resize) -> None:
    if len(adaptive.arms) != 2:
        raise NotSimulated(f"{where}: a blinded Resize is simulated for two arms alone")
    if action.events is not None:
        raise ValueError(
            f"{where}: the events that a trial needs do not depend on its pooled data: plan "
            "them, and give Resize(n=..., by='blinded') for the patients who bring them"
        )
    kinds = TESTS[adaptive.design.test_name].kinds
    known = [kind for kind in kinds if kind in _BLINDED_SIZES]
    if not known:
        raise NotSimulated(
            f"{where}: a blinded Resize is for rates, means, counts and times, not for the "
            f"test {adaptive.design.test_name!r}"
        )
    if "time_to_event" in known and adaptive.design.follow_up is None:
        raise ValueError(
            f"{where}: how many patients bring the events depends on how long each is "
            "followed: give Design(follow_up=months) for a blinded Resize"
        )


def _enrolment_is_over(adaptive: AdaptiveDesign, milestone: Milestone) -> bool:
    when = milestone.when
    enrolled = isinstance(when, EnrolmentLooks) and when.patients[0] >= adaptive.design.n_patients
    return enrolled and not _may_grow(adaptive)


def _may_grow(adaptive: AdaptiveDesign) -> bool:
    """Whether some rule may add patients."""
    return any(
        isinstance(rule.action, Resize)
        for milestone in adaptive.milestones
        for rule in milestone.rules
    )
