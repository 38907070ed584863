"""Milestones of an adaptive trial: when the data are looked at, and the rules then."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtri

from trial_sim.adaptive.closed_tests import MOST_HYPOTHESES
from trial_sim.adaptive.combination_tests import FisherDesign, fisher_design
from trial_sim.adaptive.rules import (
    UNADJUSTED,
    Action,
    AddArm,
    Arm,
    ClosedTest,
    Comparison,
    Condition,
    DropArm,
    Pause,
    Quantity,
    Reallocate,
    Resize,
    Restrict,
    Rule,
    Stop,
)
from trial_sim.adaptive.sequential_graph import nominal_levels, read_graph
from trial_sim.base.arguments import nearest, one_of
from trial_sim.base.errors import TrialSimError
from trial_sim.base.records import Record
from trial_sim.base.user_warnings import warn_user
from trial_sim.design.design import Design
from trial_sim.design.look_rules import (
    CalendarLooks,
    EnrolmentLooks,
    EventLooks,
    FollowUpLooks,
    Looks,
    Observed,
)
from trial_sim.design.tests import TESTS
from trial_sim.sequential.boundaries import exit_probabilities
from trial_sim.sequential.design import GroupSequential
from trial_sim.sequential.plain_bounds import Bounds

__all__ = ["AdaptiveDesign", "Milestone", "NotSimulated", "milestones_of"]

_COUNTED = {
    EventLooks: "events",
    CalendarLooks: "months",
    EnrolmentLooks: "patients",
    FollowUpLooks: "patients",
}


#: Kind of outcome → the test by which rules look at it unless another is named.
_USUAL_TEST = {
    "time_to_event": "logrank",
    "competing_risks": "logrank",
    "binary": "chi_square",
    "continuous": "t_test",
    "ordinal": "wilcoxon",
    "count": "negative_binomial",
}
#: Blinded quantities that only some kinds of outcome have.
_HAVE = {
    "pooled_sd": ("binary", "continuous", "ordinal", "count", "longitudinal"),
    "pooled_dispersion": ("count",),
}
_BLINDED_SIZES = ("binary", "continuous", "count", "time_to_event")
_OF_ENDPOINT = ("test", "readout", "better", "boundaries", "at")


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
            return _of_type("Rule", value)
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


def _with_bounds(given: Any) -> Any:
    """How an endpoint is tested, with boundaries of plain values made to what they are."""
    if not isinstance(given, Mapping) or given.get("boundaries") is None:
        return given
    bounds = given["boundaries"]
    if isinstance(bounds, Mapping):
        bounds = GroupSequential.from_dict({k: v for k, v in bounds.items() if k != "type"})
    if not isinstance(bounds, GroupSequential) or bounds.sided != 1:
        raise ValueError(
            f"boundaries of an endpoint must be a one-sided group_sequential, got {bounds!r}"
        )
    return {**given, "boundaries": bounds}


def _of_type(kind: str, value: Any) -> Any:
    """A record, or several, of plain values that need not say their type."""
    if isinstance(value, Mapping):
        return Record.from_dict({"type": kind, **value})
    if isinstance(value, list | tuple):
        return tuple(_of_type(kind, one) for one in value)
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


@dataclass(frozen=True)
class AdaptiveDesign(Record):
    """A trial with milestones: a design, and the rules by which it changes while it runs.

    Where all rules are stops by z, ``simulate`` gives the bytes of the equal :class:`Design` of
    looks and boundaries; otherwise an ``AdaptiveResult``.

    Attributes:
        design: arms, patients, accrual, test and all else. Its looks are replaced by the
            milestones. Its boundaries are those of the closed test, at milestones without a rule
            ``Rule(Quantity("z") >= bound, Stop("efficacy"))``; without any of both there is one
            test of level ``alpha``, at the last milestone.
        milestones: in order; the last ends the trial.
        closed_test: how the error is held; needed by every adaptation that shows the treatment's
            effect other than a stop.
        later_arms: arms that ``AddArm`` may open, or that open at a month, as :class:`Arm`.
        populations: name → {factor: level, or several}, for rules; a level's own name is one, too.
        controls: of an arm that opens later: "concurrent" (patients of the control who came while
            it was open) or "all".
        endpoints: name → how rules and milestones look at another endpoint of the same patients:
            ``{"response": {"test": "chi_square", "readout": 2, "better": "higher"}}``, each as in a
            design. What is not given: the usual test of its kind of outcome, known at once, higher
            is better. An endpoint that only rules name needs no entry. With ``"boundaries"`` (a
            ``group_sequential``) it is a hypothesis of its own for the graph of the closed test,
            looked at at the milestones ``"at"``, by name: as many as the boundaries have looks;
            not named, the last ones.

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
        >>> ts.AdaptiveDesign.from_yaml(adaptive.to_yaml()) == adaptive, adaptive.needs_engine
        (True, False)
        >>> grows = ts.Rule(ts.Quantity("conditional_power") < 0.8, ts.Resize(n=300))
        >>> larger = ts.AdaptiveDesign(
        ...     design,
        ...     [
        ...         ts.Milestone("interim", ts.EventLooks([60]), grows),
        ...         ts.Milestone("final", ts.EventLooks([120])),
        ...     ],
        ...     ts.ClosedTest(),
        ... )
        >>> larger.needs_engine, larger.most_patients, larger.alpha
        (True, 300, 0.025)
        >>> round(larger.final_bound, 3), larger.controls
        (1.977, 'concurrent')
        >>> larger.fractions.tolist(), larger.efficacy_bounds.round(3).tolist()
        ([0.5, 1.0], [2.797, 1.977])
        >>> larger.arms, larger.added_arms, larger.tested_populations, larger.hypotheses
        ({'control': 1, 'treatment': 1}, (), (None,), (('treatment', None),))
        >>> larger.whole_design.n_looks, larger.fisher.critical_values.round(4).tolist()
        (2, [0.0158, 0.0022])
        >>> early = larger.replace(endpoints={"response": {"test": "chi_square", "readout": 2}})
        >>> early.design_of("response", "binary").readout
        2
        >>> by_marker = design.replace(strata={"marker": {"+": 0.4, "-": 0.6}})
        >>> larger.replace(design=by_marker).members("+")
        {'marker': (0,)}
        >>> ts.simulate(larger, ts.PiecewiseExponential(12, hazard_ratio=0.7), 50).n_trials
        50
    """

    design: Design
    milestones: Any
    closed_test: ClosedTest | None = None
    later_arms: Any = ()
    populations: Mapping[str, Any] = field(default_factory=dict)
    controls: str = "concurrent"
    endpoints: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The fields; ``endpoints`` only where some are given."""
        plain = super().to_dict()
        if not self.endpoints:
            del plain["endpoints"]
        return plain

    @classmethod
    def _read_field(cls, name: str, value: Any) -> Any:
        if name in ("populations", "endpoints"):
            return value
        kinds = {
            "design": "Design",
            "milestones": "Milestone",
            "closed_test": "ClosedTest",
            "later_arms": "Arm",
        }
        return _of_type(kinds[name], value) if name in kinds else super()._read_field(name, value)

    def __post_init__(self) -> None:
        if not isinstance(self.design, Design):
            raise TypeError(f"design must be a Design, got {self.design!r}")
        given = self.milestones
        if not isinstance(given, Milestone) and not isinstance(given, Iterable):
            raise TypeError(f"milestones must be a list of Milestone, got {given!r}")
        milestones = (given,) if isinstance(given, Milestone) else tuple(given)
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
        one_of("controls", self.controls, ("concurrent", "all"))
        for arm in later:
            if arm.name in self.design.arms:
                raise ValueError(f"the later arm {arm.name!r} is an arm of the design already")
        for name in self.populations:
            self.members(name)
        if not isinstance(self.endpoints, Mapping):
            raise TypeError(f"endpoints must be name → how they are tested, got {self.endpoints!r}")
        object.__setattr__(
            self, "endpoints", {k: _with_bounds(v) for k, v in self.endpoints.items()}
        )
        for name in self.endpoints:
            self.design_of(name)
        for milestone in milestones:
            self._check(milestone)
        self._check_order()
        self._check_preempted()
        self._check_error()

    def members(self, population: str) -> dict[str, tuple[int, ...]]:
        """The levels, as codes, that a patient of a population has: factor → codes.

        Raises:
            ValueError: if neither ``populations`` nor the strata have it.
        """
        strata = self.design.strata
        if population in self.populations:
            given = self.populations[population]
            if not isinstance(given, Mapping) or not given:
                raise ValueError(
                    f"population {population!r} must be {{factor: level}}, got {given!r}"
                )
        else:
            having = [factor for factor, levels in strata.items() if population in levels]
            if len(having) != 1:
                known = [
                    *self.populations,
                    *(name for levels in strata.values() for name in levels),
                ]
                many = f": the strata {having} have it" if having else nearest(population, known)
                raise ValueError(f"there is no population {population!r}{many}")
            given = {having[0]: population}
        found = {}
        for factor, wanted in given.items():
            if factor not in strata:
                raise ValueError(
                    f"population {population!r}: the design has no stratum {factor!r}"
                    f"{nearest(factor, strata)}"
                )
            levels = list(strata[factor])
            names = [wanted] if isinstance(wanted, str) else list(wanted)
            for name in names:
                if name not in levels:
                    raise ValueError(
                        f"population {population!r}: stratum {factor!r} has no level {name!r}"
                        f"{nearest(name, levels)}"
                    )
            found[factor] = tuple(levels.index(name) for name in names)
        return found

    def design_of(self, endpoint: str, kind: str | None = None) -> Design:
        """The design with which another endpoint is looked at.

        kind: of its outcomes; None where the scenario is not known yet.

        Raises:
            ValueError: if ``endpoints`` says what no design takes.
        """
        given = self.endpoints.get(endpoint, {})
        if not isinstance(given, Mapping):
            raise TypeError(
                f"endpoint {endpoint!r} must be such as {{'test': 'chi_square'}}, got {given!r}"
            )
        for name in given:
            if name not in _OF_ENDPOINT:
                raise ValueError(
                    f"endpoint {endpoint!r} takes no {name!r}{nearest(name, _OF_ENDPOINT)}"
                )
        tested = {k: v for k, v in given.items() if k not in ("boundaries", "at")}
        changes = {"test": _USUAL_TEST.get(kind or "", "logrank"), "readout": 0.0, "better": None}
        plain = {"endpoint": None, "stratified": False, "adjust": (), "margin": None}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.whole_design.replace(**(changes | tested | plain))
        except (TypeError, ValueError) as error:
            raise ValueError(f"endpoint {endpoint!r}: {error}") from None

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
                self._check_possible(where, one)
                for asked in one.quantity.quantities:
                    having = _HAVE.get(asked.name)
                    kinds = TESTS[self.design.test_name].kinds
                    if having and asked.endpoint is None and not set(having) & set(kinds):
                        raise ValueError(
                            f"{where} asks for the {asked.name}, which outcomes of the test "
                            f"{self.design.test_name!r} have not"
                        )
                    if asked.arm is not None:
                        _known(asked.arm, known, where)
                    if asked.population is not None:
                        self.members(asked.population)
            if isinstance(action, Restrict):
                self.members(action.population)
            if isinstance(action, DropArm) and action.arm is not None:
                _known(action.arm, known, where)
                if action.arm == next(iter(self.design.arms)):
                    raise ValueError(f"{where} drops the control {action.arm!r}: nothing is left")
            if isinstance(action, Reallocate):
                for name in action.weights or ():
                    _known(name, known, where)
                if action.by is not None and action.least * len(known) >= 1:
                    raise ValueError(
                        f"{where}: a least share of {action.least:g} is too much for "
                        f"{len(known)} arms"
                    )
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
            if isinstance(action, Resize) and action.by == "blinded":
                self._check_blinded(where, action)
            if isinstance(action, Resize) and action.n is not None:
                planned = self.design.n_patients
                if action.n < planned:
                    raise ValueError(
                        f"{where}: Resize to at most {action.n:g} patients is below the "
                        f"{planned} planned"
                    )
            if isinstance(action, Resize) and action.events is not None:
                counted = [
                    m.when.events[0] for m in self.milestones if isinstance(m.when, EventLooks)
                ]
                if not counted:
                    raise ValueError(
                        f"{where}: Resize to {action.events:g} events, and no milestone counts "
                        "events"
                    )
                if action.events < counted[-1]:
                    raise ValueError(
                        f"{where}: Resize to at most {action.events:g} events is below the "
                        f"{counted[-1]} planned"
                    )
                if action.events > self.most_patients and self.design.test_name != "lwyy":
                    raise ValueError(
                        f"{where}: Resize to {action.events:g} events can never be reached with "
                        f"{self.most_patients} patients"
                    )

    def _check_preempted(self) -> None:
        """That no rule, and no milestone, waits behind stops that always come before it."""
        one_comparison = len(self.arms) == 2
        for milestone, later in zip(self.milestones, (*self.milestones[1:], None)):
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

    def _check_order(self) -> None:
        """That milestones can come, in their order, and the rules of each can be done."""
        for one, other in itertools.pairwise(self.milestones):
            alike = type(one.when) is type(other.when) and type(one.when) in _COUNTED
            same = (one.arms, one.population, one.endpoint) == (
                other.arms, other.population, other.endpoint
            )  # fmt: skip
            if not alike or not same:
                continue
            name = _COUNTED[type(one.when)]
            first, second = (getattr(m.when, name)[0] for m in (one, other))
            later = getattr(other.when, "follow_up", 0) > getattr(one.when, "follow_up", 0)
            if second < first or (second == first and not later):
                raise ValueError(
                    f"milestone {other.name!r} at {second:g} {name} comes after milestone "
                    f"{one.name!r} at {first:g}: milestones must be in order"
                )
        known = (
            0.0 if "time_to_event" in TESTS[self.design.test_name].kinds else self.design.readout
        )
        for milestone in self.milestones:
            when = milestone.when
            if not isinstance(when, CalendarLooks):
                continue
            start = float(self.design.accrual.expected_time(1.0))
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
        last = self.milestones[-1]
        for rule in last.rules:
            if not isinstance(rule.action, Stop):
                raise ValueError(
                    f"milestone {last.name!r} is the last and ends the trial: its rule "
                    f"{rule.action.in_words} can never be done"
                )
        end = float(self.design.accrual.expected_time(float(self.most_patients)))
        for arm in self.later_arms:
            if arm.name not in self.added_arms and arm.opens >= end:
                raise ValueError(
                    f"the later arm {arm.name!r} opens at month {arm.opens:g}, after enrolment "
                    f"ended: all {self.most_patients} patients have come about month {end:.3g}"
                )

    def _check_possible(self, where: str, one: Comparison) -> None:
        """That a comparison can hold in a trial of this size, arms and kind."""
        limits = {"n": float(self.most_patients), "rank": float(len(self.arms) - 1)}
        if "binary" in TESTS[self.design.test_name].kinds:
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

    def _check_blinded(self, where: str, action: Resize) -> None:
        if len(self.arms) != 2:
            raise NotSimulated(f"{where}: a blinded Resize is simulated for two arms alone")
        if action.events is not None:
            raise ValueError(
                f"{where}: the events that a trial needs do not depend on its pooled data: plan "
                "them, and give Resize(n=..., by='blinded') for the patients who bring them"
            )
        kinds = TESTS[self.design.test_name].kinds
        known = [kind for kind in kinds if kind in _BLINDED_SIZES]
        if not known:
            raise NotSimulated(
                f"{where}: a blinded Resize is for rates, means, counts and times, not for the "
                f"test {self.design.test_name!r}"
            )
        if "time_to_event" in known and self.design.follow_up is None:
            raise ValueError(
                f"{where}: how many patients bring the events depends on how long each is "
                "followed: give Design(follow_up=months) for a blinded Resize"
            )

    @property
    def most_patients(self) -> int:
        """Patients at most, after every rule that may add some."""
        sizes = [
            int(rule.action.n)
            for milestone in self.milestones
            for rule in milestone.rules
            if isinstance(rule.action, Resize) and rule.action.n is not None
        ]
        return max([self.design.n_patients, *sizes])

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
        test = self.closed_test
        if self._succeeds_by_rules and (test is None or test.combine == "conventional"):
            warn_user(
                "success is declared by rules that hold no type I error by themselves: "
                "family_wise_error(...) shows it, and what_if(...) over the rules' values "
                "calibrates them"
            )
        if test is None and self.needs_engine and len(self.arms) > 2:
            raise ValueError(
                f"{len(self.arms) - 1} arms are compared with the control, and the error of the "
                "family is not controlled: give closed_test=ClosedTest(...), or "
                "ClosedTest(intersection='unadjusted') to have all of alpha for each"
            )
        if unblinded and test is None:
            milestone, rule = unblinded[0]
            raise ValueError(
                f"milestone {milestone.name!r}: {type(rule.action).__name__} by "
                f"{rule.when.in_words} needs a method for the type I error, which is not "
                "controlled otherwise: give closed_test=ClosedTest(...)"
            )
        if test is None:
            return
        for milestone in self.milestones:
            for rule in milestone.rules:
                if test.combine == "conventional" or is_bound(rule):
                    continue
                names = {q.name for one in rule.when.comparisons() for q in one.quantity.quantities}
                if rule.action == Stop("efficacy") and "rejected" not in names:
                    raise ValueError(
                        f"milestone {milestone.name!r}: a stop for efficacy by "
                        f"{rule.when.in_words} is not controlled by the closed test: stop by "
                        "Quantity('z') at or above a bound or by Quantity('rejected'), or name "
                        "combine='conventional', which holds no error"
                    )
        self._check_graph(test)
        if self.design.sided != 1:
            raise ValueError("a closed test is one-sided: make the boundaries with sided=1")
        if test.weights is not None and len(test.weights) != len(self.milestones):
            raise ValueError(
                f"the closed test has {len(test.weights)} weights for {len(self.milestones)} "
                "milestones: one a stage is needed"
            )
        weighted = test.weights is not None or self.design.boundaries is not None
        if unblinded and test.combine == "inverse_normal" and not weighted:
            raise ValueError(
                "the closed test has no weights for its stages: give ClosedTest(weights=[...]), "
                "or boundaries whose information fractions say them"
            )
        self._check_stages(test)
        self._check_other_endpoints(test)

    def _check_graph(self, test: ClosedTest) -> None:
        if self.tested_endpoints and (test.graph is None or test.combine != "conventional"):
            raise ValueError(
                f"the endpoint {self.tested_endpoints[0]!r} has boundaries, and the error of "
                "several endpoints is held by a graph alone: give ClosedTest('conventional', "
                "'bonferroni', graph={...}), or leave its boundaries out"
            )
        if test.graph is None:
            return
        if self.tested_endpoints and len(self.tested_populations) > 1:
            raise NotSimulated("several endpoints and populations in one graph are not simulated")
        assert self.graph is not None
        for endpoint in self.tested_endpoints:
            self.looks_of(endpoint)
            bounds = self.endpoints[endpoint]["boundaries"]
            if abs(bounds.alpha - self.alpha) > 1e-12:
                raise ValueError(
                    f"endpoint {endpoint!r}: its boundaries are for alpha {bounds.alpha:g}, the "
                    f"trial has {self.alpha:g}: the graph gives each its share"
                )
        if test.combine == "conventional":
            self._check_levels()

    def _check_levels(self) -> None:
        """That the bounds of each hypothesis are known at any share of alpha."""
        if any(np.isfinite(_bounds_at(one)) for one in self.milestones):
            raise ValueError(
                "with a graph each hypothesis has bounds of its own: leave out the rules of z that "
                "stop for efficacy"
            )
        bounds = self.design.boundaries
        if bounds is None:
            return
        if not isinstance(bounds, GroupSequential):
            raise ValueError(
                "a graph needs bounds at any share of alpha: give boundaries from "
                f"group_sequential with a spending function, got {type(bounds).__name__}"
            )
        nominal_levels(bounds, self.alpha / 2)  # refuses bounds that are known at one alpha alone

    def _check_other_endpoints(self, test: ClosedTest) -> None:
        if test.stages == "patients":
            early = self.efficacy_bounds[:-1]
            if test.combine == "inverse_normal" and np.isfinite(early).any():
                raise ValueError(
                    "stages='patients' tests when the trial ends: give no efficacy bound before "
                    "the last milestone, such as Bounds([None, 1.96])"
                )
            return
        if test.combine == "conventional":
            return  # holds no error, and says so
        for milestone in self.milestones:
            for rule in milestone.rules:
                others = {
                    q.endpoint
                    for one in rule.when.comparisons()
                    for q in one.quantity.quantities
                    if q.endpoint not in (None, self.design.endpoint) and not q.blinded
                }
                if others and rule.action.unblinds:
                    raise ValueError(
                        f"milestone {milestone.name!r}: {type(rule.action).__name__} by the "
                        f"endpoint {min(map(str, others))!r} of patients who are still followed is "
                        "not controlled where stages are increments: give "
                        "ClosedTest(stages='patients')"
                    )

    def _check_stages(self, test: ClosedTest) -> None:
        n_stages, bounds = len(self.milestones), self.design.boundaries
        given = n_stages if bounds is None else len(np.atleast_1d(bounds.efficacy_bounds))
        if given != n_stages:
            raise ValueError(f"boundaries have {given} look(s) for {n_stages} milestones")
        several = len(self.arms) > 2 and len(self.tested_populations) > 1
        nested = len(self.tested_populations) > 2
        if test.intersection in ("dunnett", "spiessens_debois") and (several or nested):
            raise ValueError(
                f"intersection {test.intersection!r} is for several arms or for one population "
                "within all patients, not for more: name 'simes', 'bonferroni' or 'sidak'"
            )
        if len(self.hypotheses) > MOST_HYPOTHESES and test.intersection != UNADJUSTED:
            raise ValueError(
                f"a closed test takes up to {MOST_HYPOTHESES} hypotheses, got "
                f"{len(self.hypotheses)}"
            )
        if test.combine == "fisher":
            if any(np.isfinite(_bounds_at(one)) for one in self.milestones):
                raise ValueError(
                    "Fisher's combination has bounds of its own: leave out the rules of z that "
                    "stop for efficacy"
                )
            return
        efficacy = self.efficacy_bounds
        if test.combine == "conditional_error" and (n_stages != 2 or np.isfinite(efficacy[0])):
            raise ValueError(
                "combine='conditional_error' takes two milestones and no rejection at the first: "
                "give no boundaries, or Bounds([None, 1.96])"
            )
        if not np.isfinite(efficacy).any() and not self._succeeds_by_rules:
            raise ValueError("the closed test never rejects: no milestone has an efficacy bound")
        level = self._level()
        if level > self.alpha + 1e-4:
            warn_user(
                f"the bounds {np.round(efficacy, 4).tolist()} at information fractions "
                f"{np.round(self.fractions, 4).tolist()} have a level of {level:.4f}, above alpha "
                f"{self.alpha:g}: the error is not held at alpha"
            )
        if test.combine == "conventional" and any(
            rule.action.unblinds and not rule.blinded
            for milestone in self.milestones
            for rule in milestone.rules
        ):
            warn_user(
                "combine='conventional' holds no error by itself: family_wise_error(...) shows it"
            )

    def _level(self) -> float:
        """Level of the efficacy bounds, futility ignored."""
        none = np.full(len(self.milestones), -np.inf)
        exits = exit_probabilities(self.fractions, self.efficacy_bounds, none, 0.0, 1)
        return float(exits.rejection.sum())

    @property
    def alpha(self) -> float:
        """One-sided level of the whole trial."""
        bounds = self.design.boundaries
        if isinstance(bounds, GroupSequential):
            return float(bounds.alpha)
        return float(self.design.alpha)

    @cached_property
    def fractions(self) -> np.ndarray:
        """Planned information at each milestone, as a share of the last, (n_milestones,)."""
        n = len(self.milestones)
        test, bounds = self.closed_test, self.design.boundaries
        if test is not None and test.weights is not None:
            squares = np.square(np.asarray(test.weights, dtype=float))
            return np.cumsum(squares) / squares.sum()
        if bounds is not None:
            given = np.atleast_1d(np.asarray(bounds.information_fractions, dtype=float))
            if len(given) == n:
                return given / given[-1]
        counts = [
            float(getattr(one.when, _COUNTED[type(one.when)])[0])
            for one in self.milestones
            if type(one.when) in _COUNTED
        ]
        if len(counts) == n and all(b > a for a, b in itertools.pairwise(counts)):
            return np.array(counts) / counts[-1]
        return (np.arange(n) + 1.0) / n

    @cached_property
    def efficacy_bounds(self) -> np.ndarray:
        """Bounds of the combined z at the milestones, (n_milestones,); inf where there is none."""
        n = len(self.milestones)
        ruled = np.array([_bounds_at(one) for one in self.milestones])
        planned = self.design.boundaries
        if planned is not None:
            given = np.atleast_1d(np.asarray(planned.efficacy_bounds, dtype=float)).copy()
        else:
            given = np.full(n, np.inf)
        if np.isfinite(ruled[:-1]).any() or (planned is not None and np.isfinite(ruled).any()):
            given[:-1] = np.inf  # rules say where there are bounds
        if planned is None and not np.isfinite(ruled[-1]) and self._succeeds_by_rules:
            pass
        elif planned is None and not np.isfinite(ruled[-1]):
            if np.isfinite(ruled).any():
                raise ValueError(
                    f"milestone {self.milestones[-1].name!r}, the last, has no bound, while "
                    "earlier ones have: give it Rule(Quantity('z') >= bound, Stop())"
                )
            given[-1] = float(-ndtri(self.design.alpha))
        return np.where(np.isfinite(ruled), ruled, given)

    @property
    def final_bound(self) -> float:
        """Bound of z at the last milestone that conditional power aims at; that of a test of level
        alpha where success is declared by other rules."""
        bound = float(self.efficacy_bounds[-1])
        return bound if np.isfinite(bound) else -float(ndtri(self.alpha))

    @property
    def _succeeds_by_rules(self) -> bool:
        """Whether a rule other than a bound of z declares success, as Bayesian designs do."""
        return any(
            rule.action == Stop("efficacy")
            and not is_bound(rule)
            and "rejected"
            not in {q.name for one in rule.when.comparisons() for q in one.quantity.quantities}
            for milestone in self.milestones
            for rule in milestone.rules
        )

    @cached_property
    def fisher(self) -> FisherDesign:
        """Fisher's design, if the stages are so combined."""
        return fisher_design(len(self.milestones), self.alpha)

    @property
    def added_arms(self) -> tuple[str, ...]:
        """Arms that a rule may open."""
        return tuple(
            rule.action.arm
            for milestone in self.milestones
            for rule in milestone.rules
            if isinstance(rule.action, AddArm)
        )

    @property
    def arms(self) -> dict[str, float]:
        """Arm → allocation while it is open, control first, later ones last."""
        return {**self.design.arms, **{arm.name: arm.share for arm in self.later_arms}}

    @cached_property
    def tested_populations(self) -> tuple[str | None, ...]:
        """Populations in which the treatment is tested: all patients (None), and those that
        ``Restrict`` names."""
        named = [
            rule.action.population
            for milestone in self.milestones
            for rule in milestone.rules
            if isinstance(rule.action, Restrict)
        ]
        return (None, *dict.fromkeys(named))

    @cached_property
    def hypotheses(self) -> tuple[tuple[str, str | None], ...]:
        """(arm, population or None) of each hypothesis that the arm is no better than control."""
        arms = list(self.arms)[1:]
        return tuple((arm, population) for population in self.tested_populations for arm in arms)

    @cached_property
    def whole_design(self) -> Design:
        """A design with all arms, and the milestones as its looks."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.design.replace(
                arms=self.arms,
                looks=MilestoneLooks(tuple(one.when for one in self.milestones)),
                boundaries=None,
                multiplicity="unadjusted" if len(self.arms) > 2 else self.design.multiplicity,
                max_information=None,
            )

    @cached_property
    def tested_endpoints(self) -> tuple[str, ...]:
        """Other endpoints that are hypotheses of their own: those with boundaries."""
        return tuple(name for name, given in self.endpoints.items() if "boundaries" in given)

    @cached_property
    def hypothesis_names(self) -> tuple[str, ...]:
        """Names of the hypotheses, those of :attr:`hypotheses` first, then of the tested endpoints.

        The arm, and the population if it is not all patients; with endpoints the endpoint, and the
        arm before it if there are several.
        """
        names = [
            arm if population is None else f"{arm} in {population}"
            for arm, population in self.hypotheses
        ]
        if not self.tested_endpoints:
            return tuple(names)
        arms = list(self.arms)[1:]
        first = self.design.endpoint

        def called(arm: str, endpoint: str) -> str:
            return endpoint if len(arms) == 1 else f"{arm}, {endpoint}"

        if first is not None:
            names = [called(arm, first) for arm in arms]
        return (*names, *(called(arm, one) for one in self.tested_endpoints for arm in arms))

    @cached_property
    def graph(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares of alpha (m,) and of what is passed on (m, m), in the order of the names."""
        assert self.closed_test is not None
        names = list(self.hypothesis_names)
        shares = self.closed_test.shares or dict.fromkeys(names, 1 / len(names))
        return read_graph(names, shares, self.closed_test.graph or {}, ("shares", "graph"))

    def looks_of(self, endpoint: str) -> dict[int, int]:
        """Milestone → look of a tested endpoint's boundaries, both by number from 0."""
        given, names = self.endpoints[endpoint], [one.name for one in self.milestones]
        n_looks = given["boundaries"].n_looks
        at = given.get("at") or names[-n_looks:]
        for name in at:
            if name not in names:
                raise ValueError(
                    f"endpoint {endpoint!r} names the milestone {name!r}{nearest(name, names)}"
                )
        found = sorted(names.index(name) for name in at)
        if len(found) != n_looks or len(set(found)) != n_looks:
            raise ValueError(
                f"endpoint {endpoint!r}: boundaries have {n_looks} look(s) for {len(found)} "
                "milestone(s)"
            )
        return {k: look for look, k in enumerate(found)}

    @property
    def needs_engine(self) -> bool:
        """Whether there is more to simulate than looks and boundaries."""
        if self.closed_test is not None or self.later_arms:
            return True
        if any((m.arms, m.population, m.endpoint) != (None, None, None) for m in self.milestones):
            return True
        try:
            self._looks()
        except NotSimulated:  # milestones of several kinds are no looks of one rule
            return True
        for milestone in self.milestones:
            for rule in milestone.rules:
                asked = rule.when
                if not isinstance(rule.action, Stop):
                    return True
                if not isinstance(asked, Comparison) or asked.quantity != Quantity("z"):
                    return True
        return False

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


def _bounds_at(milestone: Milestone) -> float:
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


def _stops(rule: Rule, one_comparison: bool) -> bool:
    """Whether nothing is left of what a rule looks at once it fires.

    A bound of z is one of the closed test, which of several arms may not reject at it. What is left
    after arms were dropped by their rank is ranked anew.
    """
    if is_bound(rule):
        return one_comparison
    if isinstance(rule.action, Stop):
        return True
    names = {q.name for one in rule.when.comparisons() for q in one.quantity.quantities}
    anew = names & {"rank", "below_best", "best"}
    return isinstance(rule.action, DropArm) and rule.action.arm is None and not anew


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
