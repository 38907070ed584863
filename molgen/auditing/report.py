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
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molgen.auditing.intervals import Interval
from molgen.auditing.measures import SECTIONS, VERDICTS, Measure, as_table
from molgen.auditing.power import power_in_words
from molgen.base.output_places import check_format
from molgen.base.whole_files import write_atomically
from molgen.files.provenance_records import Provenance
from molgen.report.templating import environment, script_safe

if TYPE_CHECKING:
    import pandas as pd

INTRODUCTIONS = {
    "memorisation": "Does a large sample hold training molecules, or near copies of them, more "
    "often than it holds molecules of a hold-out of the same size, which can only come by chance?",
    "membership": "Can an attacker tell training molecules from a hold-out? An area under the "
    "curve of .5 is a coin; the true-positive rates say how many members are found while hardly "
    "any outsider is accused. Each attack says what the attacker must have.",
    "canaries": "Unusual molecules, planted 1, 4 and 16 times in a small training run of the same "
    "recipe: how much more likely than their unplanted siblings does the model find them "
    "(exposure, in bits), and do they come out?",
    "inversion": "Given the scaffold or the property profile of a series, does the model write "
    "its secret members more often than it writes members of series that it never saw?",
    "utility": "Does a property model that learned from generated molecules, labelled by a model "
    "of the real ones, predict real unseen molecules as well as one that learned from real "
    "molecules?",
    "fidelity": "Is the sample like the hold-out, as far as training molecules are?",
    "balance": "Are rare chemotypes still there, or has the model kept only what is common?",
}

_RULES = {
    "limit": "upper end at most",
    "excess": "99.9 % interval not above",
    "least": "99.9 % interval not below",
    "": "",
}


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    measures: every line.
    about: what was audited: sizes, seed, model, notes (plain data).
    provenance: function, arguments, seed, versions, hashes, time.

    No molecule of the members stands in it, so that it can be shared with the model.

    Examples:
        >>> from molgen.auditing.measures import Interval, Measure
        >>> from molgen.auditing.report import AuditReport
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

    @property
    def attacked(self) -> str:
        """What was attacked, the first line of the page."""
        asked = ", ".join(dict.fromkeys(m.section for m in self.measures if m.rule))
        what = self.about.get("model")
        what = "a sample of molecules" if what is None else f"the model {what} and its samples"
        files = self.about.get("files")
        if files:
            listed = files if len(files) < 200 else f"{files[:200]}…"
            what = f"the folder ({listed}): {what}, vocabulary, tables and texts"
        return f"Attacked: {what} (judged: {asked or 'nothing'})."

    def __str__(self) -> str:
        counts = {v: sum(m.verdict == v for m in self.measures) for v in VERDICTS}
        head = "passed" if self.passed else "did NOT pass"
        lines = [
            self.attacked,
            f"Audit {head}: {counts['pass']} measures pass, {counts['fail']} fail, "
            f"{counts['unclear']} unclear, {counts['note']} notes",
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
            "power": power_in_words(self.measures),
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
        check_format(path, ".html", "the page")
        text = render(self)
        if path is not None:
            _write(Path(path), text)
        return text


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode("utf-8"))
    except OSError as error:
        raise ValueError(f"Cannot write {path}: {error.strerror}.") from error


def render(report: AuditReport) -> str:
    """The HTML page of a report."""
    template = environment().get_template("audit.html")
    made = None if report.provenance is None else json.loads(report.provenance.to_json())
    text = "null" if made is None else json.dumps(made)
    return template.render(
        passed=report.passed,
        attacked=report.attacked,
        facts=[(k.replace("_", " "), _fact(v)) for k, v in report.about.items() if v != ""],
        counts={v: sum(m.verdict == v for m in report.measures) for v in VERDICTS},
        conclusion=conclusion(report),
        power=power_in_words(report.measures),
        failures=[_row(m) for m in report.measures if m.verdict in ("fail", "unclear")],
        sections=[
            {
                "name": name,
                "introduction": INTRODUCTIONS[name],
                "verdict": section_verdict(report, name),
                **_folded([m for m in report.measures if m.section == name]),
                "chart": _chart([m for m in report.measures if m.section == name]),
            }
            for name in SECTIONS
            if any(m.section == name for m in report.measures)
        ],
        provenance=made,
        provenance_json=script_safe(text),
    )


def section_verdict(report: AuditReport, name: str) -> str:
    """The verdict of a section; where no rule judges anything it is "not assessed"."""
    found = {m.verdict for m in report.measures if m.section == name and m.rule}
    for verdict, words in (("fail", "failed"), ("unclear", "unclear"), ("pass", "passed")):
        if verdict in found:
            return words
    return "not assessed"


def conclusion(report: AuditReport) -> list[str]:
    """What was audited, the result, what was not assessed, and what the page is for."""
    verdicts = {name: section_verdict(report, name) for name in SECTIONS}
    skipped = [name for name, verdict in verdicts.items() if verdict == "not assessed"]
    wrong = [name for name, verdict in verdicts.items() if verdict in ("failed", "unclear")]
    out = []
    if report.passed:
        judged = [name for name, verdict in verdicts.items() if verdict == "passed"]
        out.append(f"Nothing that was judged ({', '.join(judged) or 'nothing'}) breaks its rule.")
    else:
        out.append(f"The audit does not pass because of: {', '.join(wrong)}.")
    if skipped:
        out.append(f"Not assessed at all: {', '.join(skipped)}.")
    out.append(
        "Intended use: to decide whom the model, or molecules drawn from it, may be given to. An "
        "attack that nobody has thought of yet is not excluded, and nothing is said of whether the "
        "molecules can be made or work."
    )
    return out


def _folded(measures: list[Measure]) -> dict[str, Any]:
    """The lines to show at once, and those that pass, folded, with how many there are of each."""
    kinds = Counter(m.measure for m in measures if m.verdict == "pass")
    return {
        "rows": [_row(m) for m in measures if m.verdict != "pass"],
        "green": [_row(m) for m in measures if m.verdict == "pass"],
        "kinds": ", ".join(f"{kind} ({n})" if n > 1 else kind for kind, n in kinds.items()),
    }


def _fact(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _row(m: Measure) -> dict[str, Any]:
    limit = m.baseline if m.rule == "excess" else m.threshold
    return {
        "section": m.section,
        "measure": m.measure,
        "subject": m.subject,
        "verdict": m.verdict,
        "order": VERDICTS.index(m.verdict),
        "estimate": number(m.interval.estimate),
        "key": "" if math.isnan(m.interval.estimate) else m.interval.estimate,
        "interval": interval(m.interval),
        "baseline": number(m.baseline),
        "rule": f"{_RULES[m.rule]} {number(limit)}" if m.rule else "",
        "reading": m.reading,
        "attacker": m.attacker,
    }


def number(value: float) -> str:
    """Three significant digits; a dash for none."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = "0" if value == 0 else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return text.replace("-", "−")


def interval(value: Interval) -> str:
    """An interval as text, empty where there is none."""
    if math.isnan(value.lower) or math.isnan(value.upper):
        return ""
    return f"{number(value.lower)} to {number(value.upper)}"


def _chart(measures: list[Measure]) -> list[dict[str, Any]]:
    """Places of the intervals of the attacks' areas on a scale from .3 to 1, in percent."""

    def place(value: float) -> float:
        return 100 * (min(max(value, 0.3), 1.0) - 0.3) / 0.7

    return [
        {
            "label": m.subject,
            "verdict": m.verdict,
            "left": place(m.interval.lower),
            "width": max(place(m.interval.upper) - place(m.interval.lower), 0.6),
            "dot": place(m.interval.estimate),
            "chance": place(0.5),
            "limit": place(m.threshold),
            "text": f"{number(m.interval.estimate)} ({interval(m.interval)})",
        }
        for m in measures
        if m.section == "membership" and m.measure == "AUC" and m.rule == "limit"
    ]
