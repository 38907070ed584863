"""The words of adaptive designs: quantities, comparisons of them, and what a rule does.

All are frozen records that go to YAML and back. ``trial_sim.design.milestones`` says when rules are
looked at, and which of them are simulated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.adaptive.closed_tests import INTERSECTIONS
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
    "n": (0.0, np.inf),
    "events": (0.0, np.inf),
    "pooled_rate": (0.0, 1.0),
    "pooled_sd": (0.0, np.inf),
}
BLINDED = ("n", "events", "pooled_rate", "pooled_sd")
COMBINATIONS = ("inverse_normal", "fisher", "conditional_error")
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
    least: dict[Quantity, tuple[float, bool]] = {}
    largest: dict[Quantity, tuple[float, bool]] = {}
    for one in case:
        value, strict = float(one.value), len(one.sign) == 1
        low = least.get(one.quantity, (RANGES[one.quantity.name][0], False))
        high = largest.get(one.quantity, (RANGES[one.quantity.name][1], False))
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
        name: "z", "p", "estimate", "conditional_power", "predictive_power", "posterior", "rank"
            (1 is the best arm), "n", "events", "pooled_rate" or "pooled_sd" (the last
            four are blinded).
        arm, population, endpoint: of which arm, population and endpoint; None for the only one, or
            for each in turn.

    Examples:
        >>> import trial_sim as ts
        >>> efficacious = ts.Quantity("z") >= 2.8
        >>> efficacious.in_words
        'z >= 2.8'
        >>> ts.Quantity("z", arm="high").in_words, ts.Quantity("n").blinded
        ("z of arm 'high'", True)
        >>> rule = ts.Rule(efficacious, ts.Stop("efficacy"))
        >>> ts.Rule.from_yaml(rule.to_yaml()).when == efficacious
        True
    """

    name: str
    arm: str | None = None
    population: str | None = None
    endpoint: str | None = None

    def __post_init__(self) -> None:
        one_of("quantity", self.name, tuple(RANGES))

    @property
    def in_words(self) -> str:
        """The quantity as one would say it."""
        parts = [
            f" of {what} {value!r}"
            for what in ("arm", "population", "endpoint")
            if (value := getattr(self, what)) is not None
        ]
        return self.name + "".join(parts)

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


_OPPOSITE = {">=": "<", ">": "<=", "<=": ">", "<": ">="}


@dataclass(frozen=True)
class Comparison(Condition):
    """A quantity compared with a number. Written ``Quantity("z") >= 2.8``."""

    quantity: Quantity
    sign: str
    value: float

    def __post_init__(self) -> None:
        if not isinstance(self.quantity, Quantity):
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


@dataclass(frozen=True)
class Stop(Action):
    """End the trial, or an arm's comparison, for "efficacy" or "futility".

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
    """Close an arm: the one named, or (None) that for which the rule's condition holds.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Rule(ts.Quantity("rank") > 1, ts.DropArm()).in_words
        'if rank > 1: DropArm'
    """

    arm: str | None = None


@dataclass(frozen=True)
class AddArm(Action):
    """Open an arm that waited.

    Examples:
        >>> import trial_sim as ts
        >>> ts.AddArm("high").arm
        'high'
    """

    arm: str


@dataclass(frozen=True)
class Resize(Action):
    """Change the number of patients, or of events, up to the number given.

    Attributes:
        n, events: the most; one of them. by: "conditional_power" (to reach ``target`` under the
            observed effect), or an effect as a number, for which it is to be reached.
        target: conditional power.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Resize(n=884).target
        0.8
    """

    n: float | None = None
    events: float | None = None
    by: Any = "conditional_power"
    target: float = 0.8

    def __post_init__(self) -> None:
        if (self.n is None) == (self.events is None):
            raise ValueError("Resize needs the most patients (n) or the most events, one of them")
        as_whole(self.n if self.events is None else self.events, "the most of Resize", 2)
        between("target", self.target, 0.0, 1.0)
        if isinstance(self.by, str):
            one_of("by", self.by, ("conditional_power",))
        else:
            number("by", self.by)


@dataclass(frozen=True)
class Restrict(Action):
    """Enrol only one population from now on.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Restrict("biomarker positive").population
        'biomarker positive'
    """

    population: str


@dataclass(frozen=True)
class Reallocate(Action):
    """Change the allocation of the patients to come: arm → weight.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Reallocate({"control": 1, "high": 2}).weights["high"]
        2
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Mapping) or not self.weights:
            raise TypeError(f"weights must be arm → weight, got {self.weights!r}")
        as_floats(list(self.weights.values()), "weights")
        if not all(0 <= w < np.inf for w in self.weights.values()) or not any(
            self.weights.values()
        ):
            raise ValueError(f"weights must be 0 or more, and one above, got {dict(self.weights)}")


@dataclass(frozen=True)
class Pause(Action):
    """Enrol nobody for some months.

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

    Examples:
        >>> import trial_sim as ts
        >>> rule = ts.Rule(ts.Quantity("z") <= 0.0, ts.Stop("futility"))
        >>> rule.in_words
        "if z <= 0: Stop(reason='futility')"
        >>> rule.blinded
        False
        >>> ts.Rule.from_yaml(rule.to_yaml()) == rule
        True
    """

    when: Condition
    action: Action

    def __post_init__(self) -> None:
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
        return all(one.quantity.blinded for one in self.when.comparisons())

    @property
    def in_words(self) -> str:
        """The rule as one would say it."""
        action = repr(self.action).replace("(arm=None)", "")
        return f"if {self.when.in_words}: {action}"


@dataclass(frozen=True)
class ClosedTest(Record):
    """How an adaptive trial holds the error of all its hypotheses together.

    Attributes:
        combine: the stages: "inverse_normal", "fisher" or "conditional_error".
        intersection: the hypotheses: "dunnett", "simes", "bonferroni", "spiessens_debois", "sidak".
        weights: of the stages, planned, for "inverse_normal"; None for those that the information
            fractions of the design's boundaries give.
        graph: hypothesis → {other: share of alpha passed on}; None for equal hypotheses.

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

    def __post_init__(self) -> None:
        one_of("combine", self.combine, COMBINATIONS)
        one_of("intersection", self.intersection, INTERSECTIONS)
        if self.weights is not None:
            if self.combine != "inverse_normal":
                raise ValueError(f"weights go with combine 'inverse_normal', not {self.combine!r}")
            weights = as_floats(self.weights, "weights of the closed test")
            if not all(0 < w < np.inf for w in weights):
                raise ValueError(f"weights of the closed test must be above 0, got {list(weights)}")
            object.__setattr__(self, "weights", weights)
        if self.graph is not None and not isinstance(self.graph, Mapping):
            raise TypeError(f"graph must be hypothesis → {{other: share}}, got {self.graph!r}")


@dataclass(frozen=True)
class Arm(Record):
    """An arm of an adaptive trial.

    Attributes:
        name: of the arm. opens: month at which it opens. dose: for information. share: of the
            allocation while it is open.

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
