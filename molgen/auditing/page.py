"""The audit as one offline HTML page: verdict, chart of intervals, tables, how to read each."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from molgen.auditing.intervals import Interval
from molgen.auditing.report import SECTIONS, VERDICTS, Measure

if TYPE_CHECKING:
    from molgen.auditing.report import AuditReport

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
_RULES = {"limit": "upper end at most", "excess": "not above", "least": "at least", "": ""}


def render(report: AuditReport) -> str:
    """The HTML page of a report."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("molgen"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    template = environment.get_template("audit.html")
    made = None if report.provenance is None else json.loads(report.provenance.to_json())
    text = "null" if made is None else json.dumps(made)
    return template.render(
        passed=report.passed,
        facts=[(k.replace("_", " "), _fact(v)) for k, v in report.about.items() if v != ""],
        counts={v: sum(m.verdict == v for m in report.measures) for v in VERDICTS},
        failures=[_row(m) for m in report.measures if m.verdict in ("fail", "unclear")],
        sections=[
            {
                "name": name,
                "introduction": INTRODUCTIONS[name],
                "rows": [_row(m) for m in report.measures if m.section == name],
                "chart": _chart([m for m in report.measures if m.section == name]),
            }
            for name in SECTIONS
            if any(m.section == name for m in report.measures)
        ],
        provenance=made,
        provenance_json=_script_safe(text),
    )


def _script_safe(text: str) -> Any:
    """JSON that cannot close the script element that it stands in."""
    from markupsafe import Markup

    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


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
