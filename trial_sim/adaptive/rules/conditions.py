"""What a rule of an adaptive trial asks: quantities, comparisons of them, and how these are joined.

``trial_sim.engine.adapting.quantities`` computes the quantities of simulated trials.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trial_sim.base.arguments import number, one_of
from trial_sim.base.records import Record

__all__ = [
    "AllOf",
    "AnyOf",
    "Comparison",
    "Condition",
    "Difference",
    "NotSo",
    "Quantity",
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


class Comparable:
    """Base of what is compared with a number by ``>=``, ``>``, ``<=`` or ``<``."""

    def __ge__(self: Any, value: float) -> Comparison:
        return Comparison(self, ">=", value)

    def __gt__(self: Any, value: float) -> Comparison:
        return Comparison(self, ">", value)

    def __le__(self: Any, value: float) -> Comparison:
        return Comparison(self, "<=", value)

    def __lt__(self: Any, value: float) -> Comparison:
        return Comparison(self, "<", value)


@dataclass(frozen=True)
class Quantity(Comparable, Record):
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

    def __sub__(self, other: Quantity) -> Difference:
        return Difference(self, other)


@dataclass(frozen=True)
class Difference(Comparable, Record):
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


def _joined(cases: list[list[list[Comparison]]]) -> list[list[Comparison]]:
    together: list[list[Comparison]] = [[]]
    for alternatives in cases:
        together = [done + more for done in together for more in alternatives]
        if len(together) > 4096:
            raise ValueError("a condition has more than 4096 alternatives: write simpler rules")
    return together


@dataclass(frozen=True)
class Several(Condition):
    """Base of conditions that join two or more others by a word."""

    conditions: Any
    word: ClassVar[str]

    def __post_init__(self) -> None:
        listed = tuple(self.conditions)
        if len(listed) < 2 or not all(isinstance(one, Condition) for one in listed):
            raise ValueError(
                f"{type(self).__name__} needs two or more conditions, got {self.conditions!r}"
            )
        object.__setattr__(self, "conditions", listed)

    @property
    def in_words(self) -> str:
        return f" {self.word} ".join(_bracketed(one) for one in self.conditions)

    def comparisons(self) -> Iterator[Comparison]:
        for one in self.conditions:
            yield from one.comparisons()

    def _parts(self, wanted: bool) -> list[list[list[Comparison]]]:
        return [one._cases(wanted) for one in self.conditions]


@dataclass(frozen=True)
class AllOf(Several):
    """All of several conditions. Written with ``&``."""

    word: ClassVar[str] = "and"

    def _cases(self, wanted: bool) -> list[list[Comparison]]:
        parts = self._parts(wanted)
        return _joined(parts) if wanted else [case for part in parts for case in part]


@dataclass(frozen=True)
class AnyOf(Several):
    """At least one of several conditions. Written with ``|``."""

    word: ClassVar[str] = "or"

    def _cases(self, wanted: bool) -> list[list[Comparison]]:
        parts = self._parts(wanted)
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
    several = isinstance(condition, Several)
    return f"({condition.in_words})" if several else condition.in_words
