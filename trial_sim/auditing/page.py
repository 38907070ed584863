"""The audit as one offline HTML page: figures, traffic lights, sortable tables, how to read."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from trial_sim.auditing import plots
from trial_sim.auditing.compared.intervals import interval, number
from trial_sim.auditing.compared.rules import limit_words
from trial_sim.base.output_places import check_format, write_text
from trial_sim.base.pages import page_environment

if TYPE_CHECKING:
    from trial_sim.auditing.report import AuditReport


SEVERITY = {"red": 0, "amber": 1, "green": 2, "grey": 3}
INTRODUCTIONS = {
    "fidelity": "Do the synthetic patients look like the real ones, column by column, in pairs, "
    "and in their outcomes?",
    "effects": "Does the analysis of the synthetic trial give the answer of the real one?",
    "utility": "Does a model trained on synthetic patients predict real ones as well as one "
    "trained on real patients?",
    "privacy": "What do the synthetic records give away about the patients behind them? Distances "
    "are a cheap alarm: data that pass them can still be open to membership inference, so the "
    "attacks with a control are the gate.",
    "error_rates": "Do tests on synthetic trials reject as often as they should, under no effect "
    "and under the fitted effect?",
    "balance": "Are subgroups present in their real shares, and as faithful as the whole?",
}


def write_html(report: AuditReport, path: str | Path) -> Path:
    """Write a report as one HTML file that needs no network, and return its path."""
    path = Path(path)
    check_format(path, ".html", "the page")
    write_text(path, render(report))
    return path


def render(report: AuditReport) -> str:
    """The HTML page of a report."""
    environment = page_environment()
    return environment.get_template("audit.html").render(
        passed=report.passed,
        verdict=report.verdict,
        conclusion=conclusion(report),
        today=f"{date.today():%Y-%m-%d}",
        attacked=report.attacked,
        caught=report.about.get("caught", []),
        unseen=rows_of(report.unseen),
        tradeoff=tradeoff_figure(report),
        about=report.about,
        facts=facts(report.about),
        counts=[
            {
                "section": str(name),
                "title": title_of(str(name)),
                "verdict": section_verdict(report, str(name)),
                **row.to_dict(),
            }
            for name, row in report.counts().iterrows()
        ],
        failures=rows_of(report.failures),
        sections=[
            {
                "name": name,
                "title": title_of(name),
                "introduction": INTRODUCTIONS[name],
                "verdict": section_verdict(report, name),
                **folded(rows_of(getattr(report, name))),
                "figures": figures,
            }
            for name, figures in figures_of(report).items()
        ],
        version=installed_version(),
    )


NOT_ASSESSED = "not assessed"
_CONCLUSIONS = {
    "failed": "The audit FAILED: at least one measure breaks its rule by more than chance "
    "explains.",
    "privacy not assessed": "No measure fails, but whether the records betray who was in the "
    "trial was NOT ASSESSED: no attack could tell members from unseen patients.",
    "could not have seen": "No measure fails, but with these numbers of patients some faults that "
    "are asked for WOULD NOT HAVE BEEN SEEN; they are listed below.",
    "passed": "The audit passed: no measure breaks its rule, and attacks for membership found no "
    "more than chance.",
}


def verdict_of(counts: Any) -> str:
    """The verdict of a section from its numbers of lights: what nothing judged is not assessed."""
    if counts["red"]:
        return "failed"
    if not counts["green"] and not counts["amber"]:
        return NOT_ASSESSED
    return "passed, with doubts" if counts["amber"] else "passed"


def section_verdict(report: AuditReport, name: str) -> str:
    """The verdict of a section; privacy without an attack for membership is not assessed."""
    counts = report.counts()
    found = verdict_of(counts.loc[name]) if name in counts.index else NOT_ASSESSED
    unattacked = name == "privacy" and report.verdict == "privacy not assessed"
    return "membership not assessed" if unattacked and found != "failed" else found


def conclusion(report: AuditReport) -> list[str]:
    """What was audited, the result, what it can and cannot exclude, and what it is for."""
    about, out = report.about, []
    endpoints = ", ".join(map(str, about.get("endpoints", {}))) or "all endpoints"
    model = f" The model: {about['model']}." if about.get("model") else ""
    out.append(
        f"{report.attacked} {about.get('n_synthetic', '?')} synthetic patients were compared with "
        f"{about.get('n_real', '?')} real ones ({endpoints}).{model}"
    )
    out.append(_CONCLUSIONS[report.verdict])
    if len(report.unseen) and report.verdict == "privacy not assessed":
        out.append(
            "With these numbers of patients some faults that are asked for would not have been "
            "seen, either; they are listed below."
        )
    skipped = [
        title_of(str(name)).lower()
        for name, row in report.counts().iterrows()
        if verdict_of(row) == NOT_ASSESSED
    ]
    if skipped:
        out.append(f"Not assessed at all: {', '.join(skipped)}.")
    if about.get("caught"):
        out.append(
            "What the audit would have found, had it been there, and what it could not have seen, "
            "stands under the summary. An attack that nobody has thought of yet is not excluded."
        )
    out.append(
        "Intended use: to decide whether these synthetic patients may stand in for the real ones "
        "in the analyses named here, and whom they may be given to. It is no evidence of efficacy."
    )
    return out


def folded(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows to show at once, and the green ones, folded, with how many there are of each kind."""
    green = [row for row in rows if row["verdict"] == "green"]
    kinds = Counter(row["measure"] for row in green)
    told = ", ".join(f"{kind} ({n})" if n > 1 else kind for kind, n in kinds.items())
    return {
        "rows": [row for row in rows if row["verdict"] != "green"],
        "green": green,
        "kinds": told,
    }


def installed_version() -> str:
    """Version of the package, for the foot of the page."""
    try:
        return version("digital-double")
    except PackageNotFoundError:
        return "unknown"


def title_of(section: str) -> str:
    """Heading of a section."""
    return section.replace("_", " ").capitalize()


def facts(about: dict[str, Any]) -> list[tuple[str, str]]:
    """What was compared, as label and text."""
    endpoints = about.get("endpoints", {})
    entries = [
        ("Compared", about.get("mode", "")),
        ("Model", about.get("model", "")),
        ("Real patients", f"{about.get('n_real', '')}"),
        ("Synthetic patients", f"{about.get('n_synthetic', '')}"),
        ("Unseen patients", f"{about['n_holdout']}" if about.get("n_holdout") else ""),
        ("Arms", ", ".join(map(str, about.get("arms", [])))),
        ("Endpoints", ", ".join(f"{k} ({v.replace('_', ' ')})" for k, v in endpoints.items())),
        ("Covariates", ", ".join(map(str, about.get("covariates", [])))),
        ("Seed", f"{about.get('seed', '')}"),
        ("Notes", "; ".join(about.get("notes", []))),
        ("Source of the real data", about.get("citation", "")),
    ]
    return [(label, text) for label, text in entries if text]


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table of measures as texts and sort keys, the worst first."""
    out = []
    for row in table.to_dict("records"):
        out.append(
            {
                "section": row.get("section", ""),
                "measure": row["measure"],
                "subject": row["subject"],
                "verdict": row["verdict"],
                "severity": SEVERITY[row["verdict"]],
                "estimate": number(row["estimate"]),
                "key": sort_key(row["estimate"]),
                "interval": interval(row["lower"], row["upper"]),
                "width": sort_key(row["upper"] - row["lower"]),
                "control": number(row["control"]),
                "control_key": sort_key(row["control"]),
                "rule": limit_words(row["better"], row["threshold"], row["red"]),
                "reading": row["reading"],
            }
        )
    return sorted(out, key=lambda row: row["severity"])


def sort_key(value: float) -> float:
    """A number that the page can sort by (missing last)."""
    return -1e300 if math.isnan(value) else max(min(value, 1e300), -1e300)


def tradeoff_figure(report: AuditReport) -> dict[str, str] | None:
    """Privacy against utility in one picture, and what it says; None where either is unmeasured."""
    points = plots.tradeoff(report.table)
    if points.empty:
        return None
    trial = points[points["kind"] == "trial"]
    caption = (
        "Each point by how much of its rule it uses up: to the right what synthetic patients lose, "
        "upwards what they give away; inside the shaded square both rules are kept. A line leads "
        "to what real patients against real ones reach by chance (19 of 20 times, where chance is "
        "known). Points beyond 2 lie on the edge."
    )
    if len(trial):
        caption += f" The trial's worst lines: {trial['name'].iloc[0]}."
    drawn = plots.svg(plots.plot_tradeoff(points), "Privacy against utility")
    return {"svg": drawn, "title": "Privacy against utility", "caption": caption}


def figures_of(report: AuditReport) -> dict[str, list[dict[str, Any]]]:
    """Inline figures of each section with a caption."""
    frames, unit = report.figures, str(report.about.get("time_unit", ""))
    out: dict[str, list[dict[str, Any]]] = {name: [] for name in INTRODUCTIONS}

    def add(section: str, figure: Any, title: str, caption: str) -> None:
        drawn = plots.svg(figure, title)
        out[section].append({"svg": drawn, "pieces": [], "title": title, "caption": caption})

    curves = frames.get("curves", pd.DataFrame())
    if len(curves):
        pairs = curves[["endpoint", "curve"]].drop_duplicates()
        for endpoint, curve in pairs.itertuples(index=False):
            add(
                "fidelity",
                plots.plot_curves(curves, frames.get("at_risk"), endpoint, curve, unit),
                f"{endpoint}: {curve}",
                "Solid blue: real patients with their 95 % simultaneous band. Dashed orange: "
                "synthetic patients. Inside the band the two cannot be told apart.",
            )
    margins = frames.get("margins", pd.DataFrame())
    if len(margins):
        names = list(dict.fromkeys(margins["column"]))
        title = "Margins of every column"
        out["fidelity"].append(
            {
                "title": title,
                # two side by side can still be read on a telephone
                "pieces": [
                    plots.svg(plots.plot_margins(margins, names[k : k + 2]), title)
                    for k in range(0, len(names), 2)
                ],
                "caption": "Share of patients in each level or interval: bars real, line or "
                "diamonds synthetic.",
            }
        )
    forest = frames.get("forest", pd.DataFrame())
    if len(forest):
        add(
            "effects",
            plots.plot_forest(forest),
            "Treatment effects",
            "The same analysis of both trials. The synthetic interval should hold the real "
            "estimate.",
        )
    seen = report.privacy[report.privacy["estimate"].notna()]
    if seen["measure"].str.endswith("normalised risk").any():
        add(
            "privacy",
            plots.plot_privacy(report.privacy),
            "Attacks",
            "Left: share of the possible gain over the control that each attack makes. Right, "
            "where it could be measured: membership inference, .5 is a coin.",
        )
    return out
