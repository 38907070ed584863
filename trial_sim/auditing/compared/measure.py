"""The audit's record: one row a measure, traffic lights, and the report that holds them.

A measure is an estimate with an interval, a rule and a verdict:

- ``better="low"``: at or below the threshold; ``"high"``: at or above it; ``"zero"``: within the
  threshold of zero on either side; ``""``: no rule exists, the number informs only.
- *green*: the estimate keeps the rule; *amber*: it does not, but chance could explain it; *red*:
  chance cannot, because even the interval widened from 95 % to 99.9 % breaks the rule as a whole
  (an audit asks some two hundred questions, and an honest sample must not fail by their number);
  *grey*: no rule, or the measure could not be taken (the reading then says why).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from trial_sim.auditing.compared.intervals import Interval

WIDEN = 1.68  # 3.29 / 1.96: from a 95 % to a 99.9 % interval
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
        threshold: the value of the rule, or None.
        better: ``"low"``, ``"high"``, ``"zero"`` or ``""`` (see the module).
        control: the value that real, unseen or independent data would give, or NaN.
        verdict: computed from the rule when left empty.
    """

    measure: str
    subject: str
    interval: Interval
    reading: str
    threshold: float | None = None
    better: str = ""
    control: float = float("nan")
    verdict: str = ""

    def __post_init__(self) -> None:
        if self.better not in ("low", "high", "zero", ""):
            raise ValueError(
                f"better is {self.better!r}; it must be 'low', 'high', 'zero' or empty"
            )
        if not self.verdict:
            object.__setattr__(self, "verdict", judge(self.interval, self.threshold, self.better))
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict is {self.verdict!r}; it must be one of {VERDICTS}")

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
            "verdict": self.verdict,
            "reading": self.reading,
        }


def judge(interval: Interval, threshold: float | None, better: str) -> str:
    """Traffic light of an interval under a rule (see the module's docstring)."""
    estimate, lower, upper = interval
    if threshold is None or not better or math.isnan(estimate):
        return "grey"
    lower = estimate if math.isnan(lower) else estimate - WIDEN * (estimate - lower)
    upper = estimate if math.isnan(upper) else estimate + WIDEN * (upper - estimate)
    if better == "low":
        kept, broken = estimate <= threshold, lower > threshold
    elif better == "high":
        kept, broken = estimate >= threshold, upper < threshold
    else:
        kept = abs(estimate) <= threshold
        broken = lower > threshold or upper < -threshold
    return "green" if kept else "red" if broken else "amber"


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
