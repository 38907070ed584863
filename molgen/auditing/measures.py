"""A measure of an audit, its rule and its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molgen.auditing.intervals import Interval

if TYPE_CHECKING:
    import pandas as pd

WIDEN = 3.2905 / 1.95996  # from a 95 % to a 99.9 % interval of a normal estimate

RULES = ("limit", "excess", "least", "")

VERDICTS = ("fail", "unclear", "pass", "note")

SECTIONS = (
    "memorisation",
    "membership",
    "canaries",
    "inversion",
    "utility",
    "fidelity",
    "balance",
)

COLUMNS = (
    "section",
    "measure",
    "subject",
    "estimate",
    "lower",
    "upper",
    "baseline",
    "threshold",
    "verdict",
    "reading",
    "attacker",
)


@dataclass(frozen=True)
class Measure:
    """One line of the audit.

    section: one of ``SECTIONS``.
    measure: what is measured, such as "exact copies".
    interval: estimate and 95 % interval (NaN where there is none).
    reading: a sentence on how to read the number.
    subject: of which molecules, such as "all" or "rare scaffolds".
    baseline: what chance, or unseen molecules, would give.
    threshold, rule: see the module.
    attacker: what an attacker must have for this, or an empty string.

    Examples:
        >>> from molgen.auditing.measures import Interval, Measure
        >>> copies = Measure(
        ...     "memorisation",
        ...     "exact copies",
        ...     Interval(0.01, 0.0, 0.02),
        ...     "Share of samples that are training molecules.",
        ...     threshold=0.05,
        ...     rule="limit",
        ... )
        >>> copies.verdict, copies.row()["estimate"]
        ('pass', 0.01)
    """

    section: str
    measure: str
    interval: Interval
    reading: str
    subject: str = "all"
    baseline: float = math.nan
    threshold: float = math.nan
    rule: str = ""
    attacker: str = ""

    def __post_init__(self) -> None:
        if self.section not in SECTIONS:
            raise ValueError(f"section is {self.section!r}; expected one of {', '.join(SECTIONS)}")
        if self.rule not in RULES:
            raise ValueError(f"rule is {self.rule!r}; expected 'limit', 'excess', 'least' or ''")
        if self.rule in ("limit", "least") and math.isnan(self.threshold):
            raise ValueError(f"the rule {self.rule!r} of {self.measure!r} needs a threshold")
        if self.rule == "excess" and math.isnan(self.baseline):
            raise ValueError(f"the rule 'excess' of {self.measure!r} needs a baseline")
        if not self.reading:
            raise ValueError(f"{self.measure!r} needs a sentence on how to read it")

    @property
    def verdict(self) -> str:
        """ "pass", "fail", "unclear" or "note"."""
        estimate, lower, upper = self.interval
        if not self.rule:
            return "note"
        if math.isnan(estimate):
            return "unclear"
        wide_lower = estimate - WIDEN * (estimate - lower)
        wide_upper = estimate + WIDEN * (upper - estimate)
        if self.rule == "excess":
            return "fail" if wide_lower > self.baseline else "pass"
        if self.rule == "least":
            return "fail" if wide_upper < self.threshold else "pass"
        if upper <= self.threshold:
            return "pass"
        proved = not math.isnan(self.baseline) and wide_lower > self.baseline
        return "fail" if estimate > self.threshold or proved else "unclear"

    def row(self) -> dict[str, Any]:
        """The measure as a row of the report's table."""
        return {
            "section": self.section,
            "measure": self.measure,
            "subject": self.subject,
            "estimate": self.interval.estimate,
            "lower": self.interval.lower,
            "upper": self.interval.upper,
            "baseline": self.baseline,
            "threshold": self.threshold,
            "verdict": self.verdict,
            "reading": self.reading,
            "attacker": self.attacker,
        }


def not_assessed(section: str, measure: str, why: str, subject: str = "all") -> Measure:
    """A note for a measure that these inputs do not allow, with the reason."""
    nothing = Interval(math.nan, math.nan, math.nan)
    return Measure(section, measure, nothing, f"Not assessed: {why}", subject)


def as_table(measures: Iterable[Measure]) -> pd.DataFrame:
    """Measures as a DataFrame with the columns of ``COLUMNS``."""
    import pandas as pd

    return pd.DataFrame([m.row() for m in measures], columns=list(COLUMNS))
