"""The audit's record: one row a measure, traffic lights, and the report that holds them.

A measure is an estimate with an interval, a rule and a verdict. The rules are declared in
`compared.rules`, one a measure:

- ``better="low"``: at or below the threshold; ``"high"``: at or above it; ``"zero"``: within the
  threshold of zero on either side; ``""``: no rule exists, the number informs only.
- *green*: the estimate keeps the rule; *amber*: it does not, but chance could explain it; *red*:
  chance cannot, because even the interval widened from 95 % to 99.9 % breaks the rule as a whole,
  or because the estimate lies beyond the rule's second number; *grey*: no rule, or the measure
  could not be taken (the reading then says why).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from trial_sim.auditing.compared.intervals import Interval
from trial_sim.auditing.compared.rules import RULES, judge

UNSEEN = "Could not have seen"  # first words of a line whose fault these sizes would hide
VERDICTS = ("green", "amber", "red", "grey")
SECTIONS = ("fidelity", "effects", "utility", "privacy", "error_rates", "balance")
COLUMNS = (
    "measure",
    "subject",
    "estimate",
    "lower",
    "upper",
    "control",
    "threshold",
    "better",
    "red",
    "verdict",
    "reading",
)


@dataclass(frozen=True)
class Measure:
    """One line of the audit.

    Args:
        measure: what is measured, for example ``"KS distance"``.
        subject: of what: a column, an arm, an endpoint, or ``"all"``.
        interval: estimate with the ends of its interval (NaN where there is none).
        reading: a sentence that says how to read the number.
        threshold: the value of the rule, or None; needed where the declared rule is in words.
        better: ``"low"``, ``"high"``, ``"zero"`` or ``""`` (see the module).
        control: the value that real, unseen or independent data would give, or NaN.
        red: value beyond which the estimate alone is red, or NaN.
        informs: whether the line has no rule, whatever is declared (one draw of many).
        verdict: follows from the rule.
    """

    measure: str
    subject: str
    interval: Interval
    reading: str
    threshold: float | None = None
    better: str = ""
    control: float = float("nan")
    red: float = float("nan")
    informs: bool = False
    verdict: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if self.better not in ("low", "high", "zero", ""):
            raise ValueError(
                f"better is {self.better!r}; it must be 'low', 'high', 'zero' or empty"
            )
        rule = RULES.get(self.measure)
        if self.informs:
            object.__setattr__(self, "threshold", None)
            object.__setattr__(self, "better", "")
        elif rule is not None and math.isfinite(self.interval.estimate):
            if self.threshold is None and isinstance(rule.threshold, float):
                object.__setattr__(self, "threshold", rule.threshold)
                object.__setattr__(self, "better", rule.better)
            if math.isnan(self.red) and isinstance(rule.red, float):
                object.__setattr__(self, "red", rule.red)
            declared = rule.threshold if isinstance(rule.threshold, float) else self.threshold
            if self.threshold is not None and (self.threshold, self.better) != (
                declared,
                rule.better,
            ):
                raise ValueError(
                    f"the rule of {self.measure!r} is declared as {rule.words!r}; received "
                    f"{self.better!r} {self.threshold!r}"
                )
        light = judge(self.interval, self.threshold, self.better, self.red)
        object.__setattr__(self, "verdict", light)

    def row(self) -> dict[str, Any]:
        """The measure as a row of the report's tables."""
        return {
            "measure": self.measure,
            "subject": self.subject,
            "estimate": self.interval.estimate,
            "lower": self.interval.lower,
            "upper": self.interval.upper,
            "control": self.control,
            "threshold": float("nan") if self.threshold is None else self.threshold,
            "better": self.better,
            "red": self.red,
            "verdict": self.verdict,
            "reading": self.reading,
        }


def not_assessed(measure: str, subject: str, why: str) -> Measure:
    """A grey line for a measure that these inputs do not allow, with the reason."""
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    return Measure(measure, subject, nothing, f"Not assessed: {why}")


def as_table(measures: Iterable[Measure]) -> pd.DataFrame:
    """Measures as a DataFrame with the columns of :data:`COLUMNS`."""
    return pd.DataFrame([m.row() for m in measures], columns=list(COLUMNS))


def _scalar(value: Any) -> Any:
    """numpy scalars and timestamps for JSON."""
    if hasattr(value, "item"):
        return value.item()
    return str(value)
