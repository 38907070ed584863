"""What a rule of an adaptive trial does: from stopping to pausing, and the arms that it may open.

``trial_sim.engine.adapting`` does it to simulated trials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from trial_sim.base.arguments import between, number, one_of, positive
from trial_sim.base.records import Record, as_floats, as_number, as_whole

__all__ = [
    "Action",
    "AddArm",
    "Arm",
    "DropArm",
    "Pause",
    "Reallocate",
    "Resize",
    "Restrict",
    "Stop",
]

ALLOCATIONS = ("thompson", "neyman", "rsihr")
SIZES = ("conditional_power", "blinded", "most")


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
    def _given(self) -> dict[str, Any]:
        """The fields that are not as by default."""
        return {
            item.name: value
            for item in fields(self)
            if (value := getattr(self, item.name)) is not None
            and (value != item.default or item.name == "reason")
        }

    @property
    def in_words(self) -> str:
        """The action with what is not as by default, as it is written in Python."""
        given = ", ".join(f"{name}={value!r}" for name, value in self._given.items())
        return f"{type(self).__name__}({given})" if given else type(self).__name__

    @property
    def plain(self) -> str:
        """The same without the names of the code: "drop arm (keep size no)"."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self).__name__).lower()
        said = {True: "yes", False: "no"}
        given = ", ".join(
            f"{field.replace('_', ' ')} {said[value] if isinstance(value, bool) else value}"
            for field, value in self._given.items()
        )
        return f"{name} ({given})" if given else name


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
        >>> ts.DropArm("high", keep_size=False).plain
        'drop arm (arm high, keep size no)'
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
    """Stop enrolment for some months; patients due after the decision arrive later by as much.

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
