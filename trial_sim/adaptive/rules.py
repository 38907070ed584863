"""The words of adaptive designs: quantities, comparisons of them, and what a rule does.

All are frozen records that go to YAML and back. ``trial_sim.design.milestones`` says when rules are
looked at, ``trial_sim.engine.adapting`` does what they say to simulated trials.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from trial_sim.adaptive.closed_tests import INTERSECTIONS
from trial_sim.adaptive.condition_words import Reader
from trial_sim.base.arguments import between, number, one_of, positive
from trial_sim.base.records import Record, as_floats, as_number, as_whole

__all__ = [
    "Action",
    "AddArm",
    "AllOf",
    "AnyOf",
    "Arm",
    "ClosedTest",
    "Comparison",
    "Condition",
    "Difference",
    "DropArm",
    "NotSo",
    "Pause",
    "Quantity",
    "Reallocate",
    "Resize",
    "Restrict",
    "Rule",
    "Stop",
]

#: What a rule may look at → the least and the largest value that it can have.
RANGES: Mapping[str, tuple[float, float]] = {
    "z": (-np.inf, np.inf),
    "p": (0.0, 1.0),
    "estimate": (-np.inf, np.inf),
    "conditional_power": (0.0, 1.0),
    "predictive_power": (0.0, 1.0),
    "posterior": (0.0, 1.0),
    "rank": (1.0, np.inf),
    "below_best": (0.0, np.inf),
    "best": (0.0, 1.0),
    "rejected": (0.0, 1.0),
    "n": (0.0, np.inf),
    "events": (0.0, np.inf),
    "pooled_rate": (0.0, np.inf),
    "pooled_sd": (0.0, np.inf),
    "pooled_dispersion": (0.0, np.inf),
}
# blinded, and of a trial, not of a comparison
BLINDED = ("n", "events", "pooled_rate", "pooled_sd", "pooled_dispersion")
OF_ONE_NUMBER = BLINDED
# of the tested endpoint alone: what the closed test does with it, and patients
OF_THE_TESTED = ("conditional_power", "predictive_power", "rejected", "n")
COMBINATIONS = ("inverse_normal", "fisher", "conditional_error", "conventional")
UNADJUSTED = "unadjusted"
WEIGHTED = ("bonferroni", "simes")  # intersections that a graph weights
ALLOCATIONS = ("thompson", "neyman", "rsihr")
SIZES = ("conditional_power", "blinded", "most")
STOPS = ("all", "any", "each")
STAGES = ("increments", "patients")
SIGNS = (">=", ">", "<=", "<")


@dataclass(frozen=True)
class Condition(Record):
    """Base of what a rule asks. Joined by ``&`` and ``|``, turned round by ``~``.

    Examples:
        >>> import trial_sim as ts
        >>> asked = (ts.Quantity("z") >= 0.5) & ~(ts.Quantity("conditional_power") < 0.3)
        >>> asked.in_words
        'z >= 0.5 and not (conditional_power < 0.3)'
        >>> len(list(asked.comparisons())), asked.can_hold()
        (2, True)
    """

    @property
    def in_words(self) -> str:
        """The condition as one would say it."""
        raise NotImplementedError

    def comparisons(self) -> Iterator[Comparison]:
        """Every comparison in it."""
        raise NotImplementedError

    def can_hold(self) -> bool:
        """Whether some values of its quantities meet it.

        False is sure; an impossible condition of several quantities may pass.
        """
        return any(_possible(case) for case in self._cases(True))

    def _cases(self, wanted: bool) -> list[list[Comparison]]:
        """Alternatives, each of comparisons that hold together, in which it is `wanted`."""
        raise NotImplementedError

    def __and__(self, other: Condition) -> AllOf:
        return AllOf((self, other))

    def __or__(self, other: Condition) -> AnyOf:
        return AnyOf((self, other))

    def __invert__(self) -> NotSo:
        return NotSo(self)


def _possible(case: list[Comparison]) -> bool:
    # per quantity the least and the largest value left, each with whether it is itself excluded:
    # as pairs that order themselves, since of two limits at one value the strict one is the tighter
    least: dict[Any, tuple[float, bool]] = {}
    largest: dict[Any, tuple[float, bool]] = {}
    for one in case:
        value, strict = float(one.value), len(one.sign) == 1
        low = least.get(one.quantity, (one.quantity.limits[0], False))
        high = largest.get(one.quantity, (one.quantity.limits[1], False))
        if one.sign[0] == ">":
            low = max(low, (value, strict))
        else:
            high = min(high, (value, strict), key=lambda limit: (limit[0], not limit[1]))
        if low[0] > high[0] or (low[0] == high[0] and (low[1] or high[1])):
            return False
        least[one.quantity], largest[one.quantity] = low, high
    return True


@dataclass(frozen=True)
class Quantity(Record):
    """A number that is computed at a milestone, compared by ``>=``, ``>``, ``<=`` or ``<``.

    Attributes:
        name: of a comparison with the control: "z" (of the stages combined as the closed test
            does, above 0 in favour of the arm), "p" (its one-sided p-value), "estimate" (of all
            patients so far, on the test's own scale), "conditional_power", "predictive_power" (of
            the last analysis at its planned size), "posterior" (chance that the arm is better by
            more than ``at``, flat prior; Beta(1, 1) for rates), "best" (chance that the arm is the
            best of those open, control included), "rank" (1 is the best estimate of the arms still
            open), "below_best" (by how much the estimate is worse than that of the best one),
            "rejected" (1 once the closed test has rejected). Of the whole trial, and blinded: "n"
            (patients), "events" (or known responses), "pooled_rate" (of responses; events a month;
            the mean count), "pooled_sd", "pooled_dispersion" (of counts: k of their variance
            m + k m²).
        arm, population, endpoint: of which arm, population and endpoint; None for the only one, or
            for each arm in turn, for all patients, and for the endpoint that the design tests.
            "conditional_power", "predictive_power", "rejected" and "n" are of that one alone.
        at: for "conditional_power" the effect that is assumed, on the scale of the estimate (None:
            the observed one); for "posterior" the margin (None: 0).

    Examples:
        >>> import trial_sim as ts
        >>> efficacious = ts.Quantity("z") >= 2.8
        >>> efficacious.in_words
        'z >= 2.8'
        >>> ts.Quantity("z", arm="high").in_words, ts.Quantity("n").blinded
        ("z of arm 'high'", True)
        >>> ts.Quantity("rank").limits, len(ts.Quantity("rank").quantities)
        ((1.0, inf), 1)
        >>> rule = ts.Rule(efficacious, ts.Stop("efficacy"))
        >>> ts.Rule.from_yaml(rule.to_yaml()).when == efficacious
        True
    """

    name: str
    arm: str | None = None
    population: str | None = None
    endpoint: str | None = None
    at: float | None = None

    def __post_init__(self) -> None:
        one_of("quantity", self.name, tuple(RANGES))
        if self.at is not None and self.name not in ("conditional_power", "posterior"):
            raise ValueError(f"at goes with conditional_power and posterior, not with {self.name}")
        if self.endpoint is not None and self.name in OF_THE_TESTED:
            raise ValueError(
                f"{self.name} is of the endpoint that the design tests, not of another "
                f"({self.endpoint!r}): leave the endpoint out"
            )

    def to_dict(self) -> dict[str, Any]:
        """The fields; ``at`` only where it is given."""
        plain = super().to_dict()
        if self.at is None:
            del plain["at"]
        return plain

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest value that it can have."""
        return RANGES[self.name]

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Itself."""
        return (self,)

    @property
    def in_words(self) -> str:
        """The quantity as one would say it."""
        parts = [
            f" of {what} {value!r}"
            for what in ("arm", "population", "endpoint")
            if (value := getattr(self, what)) is not None
        ]
        assumed = "" if self.at is None else f" at {self.at:g}"
        return self.name + assumed + "".join(parts)

    @property
    def blinded(self) -> bool:
        """Whether it can be known without knowing who is in which arm."""
        return self.name in BLINDED

    def __ge__(self, value: float) -> Comparison:
        return Comparison(self, ">=", value)

    def __gt__(self, value: float) -> Comparison:
        return Comparison(self, ">", value)

    def __le__(self, value: float) -> Comparison:
        return Comparison(self, "<=", value)

    def __lt__(self, value: float) -> Comparison:
        return Comparison(self, "<", value)

    def __sub__(self, other: Quantity) -> Difference:
        return Difference(self, other)


@dataclass(frozen=True)
class Difference(Record):
    """One quantity minus another, such as the estimate in a stratum minus that in all patients.

    Examples:
        >>> import trial_sim as ts
        >>> gap = ts.Quantity("estimate", population="S") - ts.Quantity("estimate")
        >>> (gap > 0.15).in_words
        "estimate of population 'S' minus estimate > 0.15"
    """

    first: Quantity
    second: Quantity

    def __post_init__(self) -> None:
        for one in (self.first, self.second):
            if not isinstance(one, Quantity):
                raise TypeError(f"a difference is of two quantities, got {one!r}")

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest value that it can have."""
        (low, high), (least, most) = self.first.limits, self.second.limits
        return low - most, high - least

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Both of them."""
        return self.first, self.second

    @property
    def in_words(self) -> str:
        """The difference as one would say it."""
        return f"{self.first.in_words} minus {self.second.in_words}"

    @property
    def blinded(self) -> bool:
        """Whether both can be known without knowing who is in which arm."""
        return self.first.blinded and self.second.blinded

    def __ge__(self, value: float) -> Comparison:
        return Comparison(self, ">=", value)

    def __gt__(self, value: float) -> Comparison:
        return Comparison(self, ">", value)

    def __le__(self, value: float) -> Comparison:
        return Comparison(self, "<=", value)

    def __lt__(self, value: float) -> Comparison:
        return Comparison(self, "<", value)


_OPPOSITE = {">=": "<", ">": "<=", "<=": ">", "<": ">="}


@dataclass(frozen=True)
class Comparison(Condition):
    """A quantity compared with a number. Written ``Quantity("z") >= 2.8``."""

    quantity: Quantity | Difference
    sign: str
    value: float

    def __post_init__(self) -> None:
        if not isinstance(self.quantity, Quantity | Difference):
            raise TypeError(f"quantity must be a Quantity, got {self.quantity!r}")
        one_of("sign", self.sign, SIGNS)
        number("value", self.value)

    @property
    def in_words(self) -> str:
        return f"{self.quantity.in_words} {self.sign} {self.value:g}"

    def comparisons(self) -> Iterator[Comparison]:
        yield self

    def _cases(self, wanted: bool) -> list[list[Comparison]]:
        return [[self if wanted else Comparison(self.quantity, _OPPOSITE[self.sign], self.value)]]


def _checked_conditions(conditions: Any, name: str) -> tuple[Condition, ...]:
    listed = tuple(conditions)
    if len(listed) < 2 or not all(isinstance(one, Condition) for one in listed):
        raise ValueError(f"{name} needs two or more conditions, got {conditions!r}")
    return listed


def _joined(cases: list[list[list[Comparison]]]) -> list[list[Comparison]]:
    together: list[list[Comparison]] = [[]]
    for alternatives in cases:
        together = [done + more for done in together for more in alternatives]
        if len(together) > 4096:
            raise ValueError("a condition has more than 4096 alternatives: write simpler rules")
    return together


@dataclass(frozen=True)
class AllOf(Condition):
    """All of several conditions. Written with ``&``."""

    conditions: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", _checked_conditions(self.conditions, "AllOf"))

    @property
    def in_words(self) -> str:
        return " and ".join(_bracketed(one) for one in self.conditions)

    def comparisons(self) -> Iterator[Comparison]:
        for one in self.conditions:
            yield from one.comparisons()

    def _cases(self, wanted: bool) -> list[list[Comparison]]:
        parts = [one._cases(wanted) for one in self.conditions]
        return _joined(parts) if wanted else [case for part in parts for case in part]


@dataclass(frozen=True)
class AnyOf(Condition):
    """At least one of several conditions. Written with ``|``."""

    conditions: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", _checked_conditions(self.conditions, "AnyOf"))

    @property
    def in_words(self) -> str:
        return " or ".join(_bracketed(one) for one in self.conditions)

    def comparisons(self) -> Iterator[Comparison]:
        for one in self.conditions:
            yield from one.comparisons()

    def _cases(self, wanted: bool) -> list[list[Comparison]]:
        parts = [one._cases(wanted) for one in self.conditions]
        return [case for part in parts for case in part] if wanted else _joined(parts)


@dataclass(frozen=True)
class NotSo(Condition):
    """The opposite of a condition. Written with ``~``."""

    condition: Condition

    def __post_init__(self) -> None:
        if not isinstance(self.condition, Condition):
            raise TypeError(f"condition must be a condition, got {self.condition!r}")

    @property
    def in_words(self) -> str:
        return f"not ({self.condition.in_words})"

    def comparisons(self) -> Iterator[Comparison]:
        yield from self.condition.comparisons()

    def _cases(self, wanted: bool) -> list[list[Comparison]]:
        return self.condition._cases(not wanted)


def _bracketed(condition: Condition) -> str:
    joined = isinstance(condition, AllOf | AnyOf)
    return f"({condition.in_words})" if joined else condition.in_words


@dataclass(frozen=True)
class Action(Record):
    """Base of what a rule does."""

    @property
    def unblinds(self) -> bool:
        """Whether doing it by an unblinded quantity raises the error unless a method holds it."""
        return True

    @property
    def looks_at_effect(self) -> bool:
        """Whether how it is done depends on the effect seen, whatever the rule's condition."""
        return False

    @property
    def in_words(self) -> str:
        """The action with what is not as by default."""
        given = [
            f"{item.name}={value!r}"
            for item in fields(self)
            if (value := getattr(self, item.name)) is not None
            and (value != item.default or item.name == "reason")
        ]
        return f"{type(self).__name__}({', '.join(given)})" if given else type(self).__name__


@dataclass(frozen=True)
class Stop(Action):
    """End the trial, or an arm's comparison, for "efficacy" or "futility".

    With a condition of each arm in turn, in a trial of several, it ends those comparisons for which
    it holds (the arm takes no patient any more); any other condition ends the trial.
    ``Rule(Quantity("z") >= bound, Stop("efficacy"))`` is a bound of the closed test.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Stop("futility").to_dict(), ts.Stop().unblinds
        ({'type': 'Stop', 'reason': 'futility'}, False)
    """

    reason: str = "efficacy"

    def __post_init__(self) -> None:
        one_of("reason", self.reason, ("efficacy", "futility"))

    @property
    def unblinds(self) -> bool:
        return False


@dataclass(frozen=True)
class DropArm(Action):
    """Close an arm: the one named, or (None) each for which the rule's condition holds.

    It takes no patient after the decision and nobody in it is followed any longer.

    Attributes:
        arm: its name; None for each for which the condition holds.
        keep_size: whether the patients that it would still have had go to the other arms. False:
            the trial becomes smaller by them, and later milestones that count patients with it.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Rule(ts.Quantity("rank") > 1, ts.DropArm()).in_words
        'if rank > 1: DropArm'
    """

    arm: str | None = None
    keep_size: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.keep_size, bool):
            raise TypeError(f"keep_size must be True or False, got {self.keep_size!r}")

    def to_dict(self) -> dict[str, Any]:
        """The fields; ``keep_size`` only where it is not as by default."""
        plain = super().to_dict()
        if self.keep_size:
            del plain["keep_size"]
        return plain


@dataclass(frozen=True)
class AddArm(Action):
    """Open an arm of ``later_arms`` that waited.

    Examples:
        >>> import trial_sim as ts
        >>> ts.AddArm("high").arm
        'high'
    """

    arm: str


@dataclass(frozen=True)
class Resize(Action):
    """Change the number of patients, or of events, up to the number given; never below the plan.

    Later milestones that count what is changed move in proportion, and the last one to the new
    number. Of several arms, the one with the best estimate is looked at.

    Attributes:
        n, events: the most; one of them. by: "conditional_power" (to reach ``target`` under the
            observed effect), an effect as a number on the scale of the estimate (to reach it under
            that), "blinded" (the size of a fixed trial that has power ``target`` for ``effect``,
            with the pooled standard deviation or rate; of counts the pooled mean and dispersion; of
            times the pooled rates of events and of drop-out, for a fixed ``follow_up``), or "most"
            (the number itself).
        target: conditional power; power, if blinded. effect: assumed one, if blinded, on the scale
            of the estimate: a log ratio of counts and hazards.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Resize(n=884).target, ts.Resize(n=884).looks_at_effect
        (0.8, True)
        >>> ts.Resize(n=400, by="blinded", effect=5.0).looks_at_effect
        False
    """

    n: float | None = None
    events: float | None = None
    by: Any = "conditional_power"
    target: float = 0.8
    effect: float | None = None

    def __post_init__(self) -> None:
        if (self.n is None) == (self.events is None):
            raise ValueError("Resize needs the most patients (n) or the most events, one of them")
        as_whole(self.n if self.events is None else self.events, "the most of Resize", 2)
        between("target", self.target, 0.0, 1.0)
        if isinstance(self.by, str):
            one_of("by", self.by, SIZES)
        elif number("by", self.by) == 0:
            raise ValueError("by must not be 0: no size shows that effect")
        if (self.by == "blinded") != (self.effect is not None):
            raise ValueError("by='blinded' goes with the effect to be shown, and only that does")
        if self.effect is not None and number("effect", self.effect) == 0:
            raise ValueError("effect must not be 0: no size shows it")

    def to_dict(self) -> dict[str, Any]:
        """The fields; ``effect`` only where it is given."""
        plain = super().to_dict()
        if self.effect is None:
            del plain["effect"]
        return plain

    @property
    def looks_at_effect(self) -> bool:
        return self.by not in ("blinded", "most")


@dataclass(frozen=True)
class Restrict(Action):
    """Enrol only one population from now on; only in it is the treatment tested from now on.

    Patients arrive as before; those of other populations are turned away, so that enrolment slows.

    Attributes:
        population: a name of the design's ``populations``, or a level of one of its strata.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Restrict("biomarker positive").population
        'biomarker positive'
    """

    population: str


@dataclass(frozen=True)
class Reallocate(Action):
    """Change the allocation of the patients to come.

    Attributes:
        weights: arm → weight; arms that are not named keep theirs. Or
        by: "thompson" (in proportion to a power of the posterior chance that the arm is the best),
            "neyman" (to the standard deviation of a response in the arm) or "rsihr" (rates alone:
            to the square root of the rate), from all data so far, drawn patient by patient.
        tuning: of Thompson, the power: a number, or "n/2N" for patients so far over twice those
            planned. least: smallest share of an open arm. control_share: fixed share of the
            control; None if it is allocated like the others.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Reallocate({"control": 1, "high": 2}).weights["high"]
        2
        >>> ts.Reallocate(by="thompson", tuning="n/2N", least=0.1).looks_at_effect
        True
    """

    weights: Any = None
    by: str | None = None
    tuning: Any = 1.0
    least: float = 0.0
    control_share: float | None = None

    def __post_init__(self) -> None:
        if (self.weights is None) == (self.by is None):
            raise ValueError("Reallocate needs weights of arms, or by, a rule: one of them")
        if self.by is not None:
            one_of("by", self.by, ALLOCATIONS)
            if self.tuning != "n/2N":
                if isinstance(self.tuning, str):
                    raise ValueError(f"tuning must be a number or 'n/2N', got {self.tuning!r}")
                positive("tuning", self.tuning)
            if not 0 <= self.least < 0.5:
                raise ValueError(f"least must be in [0, 0.5), got {self.least!r}")
            if self.control_share is not None:
                between("control_share", self.control_share, 0.0, 1.0)
            return
        if not isinstance(self.weights, Mapping) or not self.weights:
            raise TypeError(f"weights must be arm → weight, got {self.weights!r}")
        as_floats(list(self.weights.values()), "weights")
        if not all(0 <= w < np.inf for w in self.weights.values()) or not any(
            self.weights.values()
        ):
            raise ValueError(f"weights must be 0 or more, and one above, got {dict(self.weights)}")

    @property
    def looks_at_effect(self) -> bool:
        return self.by is not None


@dataclass(frozen=True)
class Pause(Action):
    """Enrol nobody for some months: whoever would come after the decision comes so much later.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Pause(3).months, ts.Pause(3).unblinds
        (3, False)
    """

    months: float

    def __post_init__(self) -> None:
        positive("months", self.months)

    @property
    def unblinds(self) -> bool:
        return False


@dataclass(frozen=True)
class Rule(Record):
    """When a condition holds at a milestone, do something.

    Attributes:
        when: a condition, or its words: ``"conditional_power >= 0.3 and z of arm 'high' < 2"``.
        action: what is done, or the name of an action that needs nothing more: ``"DropArm"``.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Rule("rank > 1", "DropArm") == ts.Rule(ts.Quantity("rank") > 1, ts.DropArm())
        True
        >>> rule = ts.Rule(ts.Quantity("z") <= 0.0, ts.Stop("futility"))
        >>> rule.in_words
        "if z <= 0: Stop(reason='futility')"
        >>> rule.blinded
        False
        >>> ts.Rule.from_yaml(rule.to_yaml()) == rule
        True
    """

    when: Any
    action: Any

    def __post_init__(self) -> None:
        if isinstance(self.when, str):
            object.__setattr__(self, "when", Condition.from_dict(Reader(self.when).read()))
        if isinstance(self.action, str):
            object.__setattr__(self, "action", Action.from_dict({"type": self.action}))
        if not isinstance(self.when, Condition):
            raise TypeError(
                f"when must be a condition such as Quantity('z') >= 2.8, got {self.when!r}"
            )
        if not isinstance(self.action, Action):
            raise TypeError(f"action must be such as Stop('futility'), got {self.action!r}")
        if not self.when.can_hold():
            raise ValueError(f"the rule can never fire: no value meets {self.when.in_words}")

    @property
    def blinded(self) -> bool:
        """Whether it looks at nothing that shows who is in which arm."""
        if self.action.looks_at_effect:
            return False
        return all(one.quantity.blinded for one in self.when.comparisons())

    @property
    def in_words(self) -> str:
        """The rule as one would say it."""
        return f"if {self.when.in_words}: {self.action.in_words}"


@dataclass(frozen=True)
class ClosedTest(Record):
    """How an adaptive trial holds the error of all its hypotheses together.

    Each intersection of hypotheses is tested at each stage from the patients (for times, the
    information) of that stage alone; the stages are combined with weights fixed beforehand.

    Attributes:
        combine: the stages: "inverse_normal", "fisher", "conditional_error" (two milestones, no
            rejection at the first: the conditional error of the planned Dunnett test), or
            "conventional": the usual test of all patients so far at the same bounds, which holds no
            error by itself; for promising zones, and to compare.
        intersection: the hypotheses: "dunnett", "simes", "bonferroni", "spiessens_debois", "sidak";
            "unadjusted" tests each hypothesis at full alpha, as platforms often do.
        weights: of the stages, planned, for "inverse_normal"; None for those that the information
            fractions of the design's boundaries give.
        graph: hypothesis → {other: share of alpha passed on when it is rejected}; None for equal
            hypotheses that are tested together. A hypothesis is called by its arm, ``"arm in
            population"``, or its endpoint (``AdaptiveDesign.hypothesis_names`` has the names). With
            "conventional" each is tested at its group-sequential bounds for its share of alpha
            (Maurer & Bretz 2013), which holds the error as long as no rule adapts by the effect;
            with "inverse_normal" or "fisher" each intersection by a weighted Bonferroni or Simes
            test. shares: hypothesis → share of alpha at the start; None for equal ones.
        stages: what a stage is: "increments" of what is known since the last milestone, or
            "patients": those enrolled since the last decision, with all that is known of them when
            the trial ends. The latter is needed where rules look at another endpoint of patients
            who are still followed (Jenkins, Stone & Jennison 2011); nothing is rejected before the
            last milestone then.
        stop: when rejections end the trial: "each" (a rejected arm takes no patient any more, and
            the trial ends when none is left), "all" (rejected arms go on until all that are still
            followed are rejected), "any" (the first rejection ends it).

    Examples:
        >>> import trial_sim as ts
        >>> test = ts.ClosedTest(intersection="simes", weights=[1, 1])
        >>> ts.ClosedTest.from_yaml(test.to_yaml()) == test
        True
    """

    combine: str = "inverse_normal"
    intersection: str = "dunnett"
    weights: Any = None
    graph: Any = None
    stop: str = "each"
    stages: str = "increments"
    shares: Any = None

    def __post_init__(self) -> None:
        one_of("combine", self.combine, COMBINATIONS)
        one_of("intersection", self.intersection, (*INTERSECTIONS, UNADJUSTED))
        one_of("stop", self.stop, STOPS)
        one_of("stages", self.stages, STAGES)
        if self.stages == "patients" and self.combine not in ("inverse_normal", "fisher"):
            raise ValueError(
                "stages='patients' goes with combine 'inverse_normal' or 'fisher', got "
                f"{self.combine!r}"
            )
        if self.weights is not None:
            if self.combine != "inverse_normal":
                raise ValueError(f"weights go with combine 'inverse_normal', not {self.combine!r}")
            weights = as_floats(self.weights, "weights of the closed test")
            if not all(0 < w < np.inf for w in weights):
                raise ValueError(f"weights of the closed test must be above 0, got {list(weights)}")
            object.__setattr__(self, "weights", weights)
        if self.graph is not None and not isinstance(self.graph, Mapping):
            raise TypeError(f"graph must be hypothesis → {{other: share}}, got {self.graph!r}")
        if self.shares is not None:
            if self.graph is None:
                raise ValueError("shares of alpha go with a graph: give graph={...}, or no shares")
            if not isinstance(self.shares, Mapping):
                raise TypeError(f"shares must be hypothesis → share of alpha, got {self.shares!r}")
        if self.graph is not None:
            fitting = ("bonferroni",) if self.combine == "conventional" else WEIGHTED
            if self.combine == "conditional_error":
                raise ValueError("a graph does not go with combine='conditional_error'")
            if self.intersection not in fitting:
                raise ValueError(
                    f"a graph goes with intersection {' or '.join(map(repr, fitting))} where "
                    f"combine is {self.combine!r}, got {self.intersection!r}"
                )
        if self.combine == "conditional_error" and self.intersection not in (
            "dunnett",
            UNADJUSTED,
        ):
            raise ValueError(
                "combine='conditional_error' goes with intersection 'dunnett', got "
                f"{self.intersection!r}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The fields; ``stages`` and ``shares`` only where they are not as by default."""
        plain = super().to_dict()
        if self.shares is None:
            del plain["shares"]
        if self.stages == "increments":
            del plain["stages"]
        return plain


@dataclass(frozen=True)
class Arm(Record):
    """An arm of an adaptive trial.

    Attributes:
        name: of the arm. opens: month at which it opens, unless a rule adds it. dose: for
            information. share: of the allocation while it is open, beside those of the design.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Arm("high", opens=6, share=2).to_dict()
        {'type': 'Arm', 'name': 'high', 'opens': 6, 'dose': None, 'share': 2}
    """

    name: str
    opens: float = 0
    dose: float | None = None
    share: float = 1

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"name of an arm must be text, got {self.name!r}")
        if not 0 <= as_number(self.opens, "opens") < np.inf:
            raise ValueError(f"arm {self.name!r} must open at month 0 or later, got {self.opens!r}")
        positive("share", self.share)
