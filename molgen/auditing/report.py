"""The audit's record: measures with intervals, thresholds and verdicts, and the report of them.

A measure is judged by one of three rules:

- ``"limit"``: the upper end of the 95 % interval must not exceed the threshold. When it does, the
  measure *fails* if the estimate itself exceeds the threshold or the 99.9 % interval lies above
  the baseline (a leak is proved); otherwise it is *unclear*: there are too few molecules to say.
- ``"excess"``: nothing may be proved above the baseline. It *fails* when the 99.9 % interval lies
  above it, and *passes* otherwise. (99.9 %, because an audit asks dozens of questions and an
  honest model must not fail by their number.)
- ``"least"``: at least the threshold. It *fails* when the 99.9 % interval lies below.

A measure without a rule is a *note*. An audit passes when nothing fails and nothing is unclear.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molgen.auditing.intervals import Interval
from molgen.files.datasets import write_atomically
from molgen.files.provenance_records import Provenance

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
        >>> from molgen.auditing.report import Interval, Measure
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


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    measures: every line.
    about: what was audited: sizes, seed, model, notes (plain data).
    provenance: function, arguments, seed, versions, hashes, time.

    No molecule of the members stands in it, so that it can be shared with the model.

    Examples:
        >>> from molgen.auditing.report import AuditReport, Interval, Measure
        >>> copies = Measure(
        ...     "memorisation",
        ...     "copies",
        ...     Interval(0.1, 0.08, 0.12),
        ...     "Share of samples that are training molecules.",
        ...     threshold=0.05,
        ...     rule="limit",
        ... )
        >>> report = AuditReport((copies,))
        >>> report.passed, report.measure("copies").verdict, len(report.failures)
        (False, 'fail', 1)
        >>> report.table["measure"].tolist(), report.to_dict()["passed"]
        (['copies'], False)
        >>> report.to_json().startswith("{")
        True
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     print(report.to_html(Path(folder) / "audit.html")[:15])
        <!doctype html>
    """

    measures: tuple[Measure, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        if not self.measures:
            raise ValueError("an audit report needs at least one measure")

    @property
    def passed(self) -> bool:
        """Whether nothing fails and nothing is unclear."""
        return not any(m.verdict in ("fail", "unclear") for m in self.measures)

    @property
    def table(self) -> pd.DataFrame:
        """One row a measure, with the columns of ``COLUMNS``."""
        return as_table(self.measures)

    @property
    def failures(self) -> pd.DataFrame:
        """The rows of ``table`` because of which the audit does not pass."""
        return as_table(m for m in self.measures if m.verdict in ("fail", "unclear"))

    def measure(self, name: str, subject: str | None = None) -> Measure:
        """The measure of that name (and subject).

        Raises KeyError naming what there is.
        """
        for m in self.measures:
            if m.measure == name and subject in (None, m.subject):
                return m
        known = ", ".join(dict.fromkeys(m.measure for m in self.measures))
        raise KeyError(f"no measure {name!r} for {subject or 'any subject'}; there are: {known}")

    def __str__(self) -> str:
        counts = {v: sum(m.verdict == v for m in self.measures) for v in VERDICTS}
        head = "passed" if self.passed else "did NOT pass"
        lines = [
            f"Audit {head}: {counts['pass']} measures pass, {counts['fail']} fail, "
            f"{counts['unclear']} unclear, {counts['note']} notes"
        ]
        for m in self.measures:
            if m.verdict in ("fail", "unclear"):
                e, low, high = m.interval
                lines.append(
                    f"  {m.verdict}: {m.section}, {m.measure} ({m.subject}): {e:.4g} "
                    f"[{low:.4g}, {high:.4g}], baseline {m.baseline:.4g}"
                )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data; numbers that are not finite become None."""
        rows = [
            {k: _plain(v) for k, v in m.row().items()} | {"rule": m.rule} for m in self.measures
        ]
        made = None if self.provenance is None else json.loads(self.provenance.to_json())
        return {
            "passed": self.passed,
            "about": dict(self.about),
            "measures": rows,
            "provenance": made,
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """The report as JSON text, also written to ``path`` if given."""
        text = json.dumps(self.to_dict(), indent=1)
        if path is not None:
            _write(Path(path), text)
        return text

    def to_html(self, path: str | Path | None = None) -> str:
        """The report as one HTML page that needs no network, also written to ``path`` if given."""
        from molgen.auditing.page import render

        text = render(self)
        if path is not None:
            _write(Path(path), text)
        return text


def as_table(measures: Iterable[Measure]) -> pd.DataFrame:
    """Measures as a DataFrame with the columns of ``COLUMNS``."""
    import pandas as pd

    return pd.DataFrame([m.row() for m in measures], columns=list(COLUMNS))


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode("utf-8"))
    except OSError as error:
        raise ValueError(f"Cannot write {path}: {error.strerror}.") from error
