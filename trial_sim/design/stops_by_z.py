"""Milestones whose rules are stops by z, as looks and boundaries of a design, and back."""

from __future__ import annotations

import numpy as np

from trial_sim.adaptive.rules import (
    Comparison,
    Quantity,
    Rule,
    Stop,
)
from trial_sim.design.design import Design
from trial_sim.design.look_rules import (
    Looks,
)
from trial_sim.design.milestones import COUNTED, Milestone, NotSimulated
from trial_sim.sequential.plain_bounds import Bounds

__all__ = ["as_plain_design", "merged_looks", "milestones_of"]


def as_plain_design(design: Design, milestones: tuple[Milestone, ...]) -> Design:
    """The design of looks and boundaries that equals milestones whose rules are stops by z.

    Raises:
        NotSimulated: naming the milestone and what of it has none.
    """
    efficacy, futility = [], []
    for milestone in milestones:
        high, low = _bounds_of(milestone)
        efficacy.append(high)
        futility.append(low)
    looks = merged_looks(milestones)
    old = design.boundaries
    if old is None and len(efficacy) == 1 and futility == [-np.inf]:
        same = design.replace(looks=looks)
        if efficacy[0] == float(same.efficacy_bounds[0]):
            return same
    if old is not None and len(np.atleast_1d(old.efficacy_bounds)) == len(efficacy):
        planned = (np.asarray(old.efficacy_bounds), np.asarray(old.futility_bounds))
        lower = planned[1].astype(float).copy()
        lower[-1] = futility[-1]
        if np.array_equal(planned[0], efficacy) and np.array_equal(lower, futility):
            return design.replace(looks=looks)
    fractions = () if old is None else old.information_fractions
    if len(np.atleast_1d(fractions)) != len(efficacy):
        fractions = ()
    bounds = Bounds(efficacy, futility, tuple(np.atleast_1d(fractions).tolist()))
    return design.replace(looks=looks, boundaries=bounds)


def merged_looks(milestones: tuple[Milestone, ...]) -> Looks:
    """The looks of one rule that equal milestones of one kind.

    Raises:
        NotSimulated: if they are of several kinds, or differ in their lag or follow-up.
    """
    first = milestones[0].when
    kind = type(first)
    if kind not in COUNTED or any(type(m.when) is not kind for m in milestones):
        kinds = sorted({type(m.when).__name__ for m in milestones})
        raise NotSimulated(
            f"milestones of kinds {', '.join(kinds)} are not simulated together: name events, "
            "months or patients for all of them"
        )
    counted = COUNTED[kind]
    merged = tuple(getattr(m.when, counted)[0] for m in milestones)
    for milestone in milestones:
        if milestone.when.replace(**{counted: merged}) != first.replace(**{counted: merged}):
            raise NotSimulated(
                f"milestone {milestone.name!r} differs from the first in its lag or follow-up, "
                "which is not simulated"
            )
    return first.replace(**{counted: merged})


def _bounds_of(milestone: Milestone) -> tuple[float, float]:
    """(efficacy, futility) bounds of z, if the milestone's rules are such stops."""
    where = f"milestone {milestone.name!r}"
    if (milestone.arms, milestone.population, milestone.endpoint) != (None, None, None):
        raise NotSimulated(
            f"{where}: looks at some arms, a population or another endpoint are not looks of a "
            "design"
        )
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
    if kind not in COUNTED:
        raise ValueError(f"looks of kind {kind.__name__} are not one number a look")
    if design.sided != 1 or len(design.arms) != 2:
        raise ValueError("milestones are made of one-sided boundaries of two arms")
    counted = COUNTED[kind]
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
