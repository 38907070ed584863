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

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
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


@dataclass(frozen=True, eq=False)
class AuditReport:
    """What an audit found: six tables of measures, and aggregate data for the figures.

    No table holds a patient's record: figures are drawn from curves and histogram counts.

    Args:
        fidelity, effects, utility, privacy, error_rates, balance: DataFrames with the columns
            measure, subject, estimate, lower, upper, control, threshold, better, verdict, reading.
        figures: aggregate data behind the plots, by name.
        about: sizes, seed, endpoints and notes (what was compared and how).

    Examples:
        >>> import trial_sim as ts
        >>> trial = ts.load_trial("gehan")
        >>> fitted = ts.fit(trial, "relapse", model="weibull", covariate_model="bootstrap")
        >>> report = ts.audit(trial, fitted.sample_trial(seed=1), endpoint="relapse", seed=0)
        >>> list(report.table)[:2], report.passed == (len(report.failures) == 0)
        (['section', 'measure'], True)
        >>> list(report.counts())
        ['green', 'amber', 'red', 'grey']
        >>> sorted(report.to_dict())[:2]
        ['about', 'balance']
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     print(report.to_html(Path(folder) / "audit.html").name)
        ...     print(report.to_json(Path(folder) / "audit.json").name)
        audit.html
        audit.json
    """

    fidelity: pd.DataFrame
    effects: pd.DataFrame
    utility: pd.DataFrame
    privacy: pd.DataFrame
    error_rates: pd.DataFrame
    balance: pd.DataFrame
    figures: dict[str, pd.DataFrame] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """All measures in one DataFrame with a leading ``section`` column."""
        parts = [getattr(self, name).assign(section=name) for name in SECTIONS]
        parts = [part for part in parts if len(part)]
        whole = pd.concat(parts, ignore_index=True) if parts else as_table([]).assign(section=[])
        return whole[["section", *COLUMNS]]

    @property
    def failures(self) -> pd.DataFrame:
        """The red measures: those whose breach of the rule chance cannot explain."""
        table = self.table
        return table[table["verdict"] == "red"].reset_index(drop=True)

    @property
    def passed(self) -> bool:
        """True when no measure is red."""
        return len(self.failures) == 0

    def counts(self) -> pd.DataFrame:
        """Number of measures by section and verdict."""
        table = self.table
        counts = pd.crosstab(table["section"], table["verdict"])
        sections = [s for s in SECTIONS if s in counts.index]
        return counts.reindex(index=sections, columns=list(VERDICTS), fill_value=0)

    def __repr__(self) -> str:
        about = self.about
        lines = [
            f"AuditReport: {'passed' if self.passed else 'FAILED'}"
            f" ({about.get('n_real', '?')} real, {about.get('n_synthetic', '?')} synthetic patients"
            f"; {about.get('mode', 'two tables')})"
        ]
        for section, row in self.counts().iterrows():
            lines.append(
                f"  {section:<12}"
                + "  ".join(f"{int(row[v]):>3} {v}" for v in VERDICTS if row[v] or v != "grey")
            )
        failures = self.failures
        for _, red in failures.head(8).iterrows():
            lines.append(
                f"  red: {red['measure']} [{red['subject']}] = {red['estimate']:.3g}"
                f" ({red['lower']:.3g} to {red['upper']:.3g}), rule {red['threshold']:.3g}"
            )
        if len(failures) > 8:
            lines.append(f"  … and {len(failures) - 8} more: see .failures")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain lists and numbers (NaN and infinity become None)."""

        def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
            return [
                {
                    str(key): None
                    if isinstance(value, float) and not math.isfinite(value)
                    else value
                    for key, value in row.items()
                }
                for row in frame.to_dict("records")
            ]

        return {
            "passed": self.passed,
            "about": self.about,
            **{name: plain(getattr(self, name)) for name in SECTIONS},
            "figures": {name: plain(frame) for name, frame in self.figures.items()},
        }

    def to_json(self, path: str | Path) -> Path:
        """Write the report as JSON and return the path."""
        path = Path(path)
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, default=_scalar)
        path.write_text(text, encoding="utf-8")
        return path

    def to_html(self, path: str | Path) -> Path:
        """Write the report as one offline HTML page with figures and return the path."""
        from trial_sim.auditing.page import write_html

        return write_html(self, path)


def _scalar(value: Any) -> Any:
    """numpy scalars and timestamps for JSON."""
    if hasattr(value, "item"):
        return value.item()
    return str(value)
