"""Report of a simulation study: HTML without outside references, Word, LaTeX, Markdown, JSON.

Ordered after ADEMP (aims, data-generating mechanisms, estimands, methods, performance measures:
Morris, White and Crowther 2019) and the FDA's guidance on complex innovative trial designs (2020):
design, rationale, scenarios, operating characteristics with Monte-Carlo error, example trials,
sensitivity, software and seeds.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.output_places import replacing, write_text
from trial_sim.base.pages import page_environment
from trial_sim.base.records import to_plain
from trial_sim.exploration.report_documents import (
    latex_document,
    narrowed,
    need_word,
    report_blocks,
    write_word,
)
from trial_sim.exploration.report_rows import bound_rows, course_rows, headlines, under_null
from trial_sim.exploration.report_words import (
    analysis_sentences,
    design_facts,
    error_held,
    outcome_facts,
    protocol_sentences,
    when,
)
from trial_sim.exploration.what_if_result import WhatIf
from trial_sim.simulation.adaptive_result import AdaptiveResult
from trial_sim.simulation.operating_characteristics import SimulationResult


@dataclass(frozen=True, eq=False)
class SimulationReport:
    """Everything a report shows. Make it with :func:`simulation_report`.

    Attributes:
        title, rationale: text. results: scenario name → result; the first is the planned one.
        what_if: sensitivity table, or None. examples: numbers of the trials shown.
        error: table of ``family_wise_error``, or None.
        null: the design simulated without effect, for the type I error; None where what no effect
            is, is not known. null_note: why.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.6)
        >>> from trial_sim.exploration.report import simulation_report
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> report = simulation_report(result, title="Mine")
        >>> sorted(report.to_dict())[:2], report.to_json()[:1], report.to_markdown()[:6]
        (['design', 'example_trials'], '{', '# Mine')
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     print(report.to_html(Path(folder) / "report.html")[:15])
        <!DOCTYPE html>
    """

    title: str
    rationale: str
    results: Mapping[str, SimulationResult]
    what_if: WhatIf | None
    examples: Sequence[int]
    error: pd.DataFrame | None = None
    null: SimulationResult | None = None
    null_note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, which is also what :meth:`to_json` writes."""
        first = next(iter(self.results.values()))
        adaptations = _adaptations(first)
        return {
            "title": self.title,
            "rationale": self.rationale,
            "headlines": headlines(first, self.null, self.null_note),
            "looks": {
                "bounds": bound_rows(first),
                "course": course_rows(first, self.null),
            },
            "sentences": {
                "protocol": protocol_sentences(first, self.null),
                "analysis_plan": analysis_sentences(first),
            },
            "design": to_plain(first.declared),
            "scenarios": {
                name: {
                    "outcomes": to_plain(result.outcomes),
                    "estimand": result.scale,
                    "operating_characteristics": _records(result.operating_characteristics),
                    "provenance": result.provenance,
                }
                for name, result in self.results.items()
            },
            "example_trials": [
                {
                    "trial": number,
                    "looks": _records(first.replay(number).looks),
                    "patients_per_arm": first.replay(number)
                    .patients["arm"]
                    .value_counts()
                    .to_dict(),
                }
                for number in self.examples
            ],
            **({} if adaptations is None else {"adaptations": adaptations}),
            **({} if self.error is None else {"family_wise_error": _records(self.error)}),
            "sensitivity": None if self.what_if is None else _records(self.what_if.table),
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """JSON text, written to ``path`` too if given."""
        text = json.dumps(_finite(self.to_dict()), indent=2, default=str)
        return _write(text, path)

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Markdown text, written to ``path`` too if given."""
        return _write(_render("simulation_report.md.j2", self._context(False)), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """HTML text with its figures inside, written to ``path`` too if given."""
        return _write(_render("simulation_report.html.j2", self._context(True)), path)

    def to_word(self, path: str | Path) -> Path:
        """A Word file with figures; needs python-docx (the extra ``word``).

        Raises:
            ValueError: python-docx is not installed.
        """
        blocks = report_blocks(self._context(True))
        with replacing(path) as made:
            write_word(self.title, blocks, made)
        return Path(path)

    def to_latex(self, path: str | Path | None = None) -> str:
        """A LaTeX document, written to ``path`` too if given, its figures (PNG) beside it."""
        blocks = report_blocks(self._context(True))
        return _write(
            latex_document(self.title, blocks, None if path is None else Path(path)), path
        )

    def write(self, path: str | Path) -> Path:
        """Write the report, by the ending of the path: .html, .md, .json, .docx or .tex.

        Raises:
            ValueError: for another ending, or without python-docx for .docx.
        """
        path = Path(path)
        check_ending(path)
        ways: dict[str, Any] = {
            ".html": self.to_html, ".md": self.to_markdown, ".json": self.to_json,
            ".docx": self.to_word, ".tex": self.to_latex,
        }  # fmt: skip
        ways[path.suffix](path)
        return path

    def _context(self, figures: bool) -> dict[str, Any]:
        first = next(iter(self.results.values()))
        context: dict[str, Any] = {
            "title": self.title,
            "rationale": self.rationale
            or "To describe the operating characteristics of the design below by simulation.",
            "design": design_facts(first.design, getattr(first, "adaptive", None)),
            "headlines": headlines(first, self.null, self.null_note),
            "glance": [_at_a_glance(name, result) for name, result in self.results.items()],
            "bounds": bound_rows(first),
            "course": course_rows(first, self.null),
            "protocol": protocol_sentences(first, self.null),
            "analysis": analysis_sentences(first),
            "adaptations": _adaptations(first),
            "error": None if self.error is None else _formatted(self.error),
            "scenarios": [
                {
                    "name": name,
                    "outcomes": outcome_facts(result.outcomes),
                    "estimand": result.scale,
                    "n_trials": f"{result.n_trials:,}",
                    "interrupted": result.interrupted,
                    "rows": _labelled(result),
                    "provenance": _text(result.provenance["versions"]),
                    "hash": result.provenance["hash"],
                    "seed": result.seed,
                    "seconds": f"{result.seconds:.1f}",
                    "more": f"{result.power_to(0.001):,}",
                }
                for name, result in self.results.items()
            ],
            "examples": [
                {"number": n, "rows": _formatted(first.replay(n).looks)} for n in self.examples
            ],
            "sensitivity": None if self.what_if is None else _formatted(short_table(self.what_if)),
            "figures": _figures(first, self.what_if) if figures else [],
        }
        return context


def simulation_report(
    results: SimulationResult | Mapping[str, SimulationResult],
    title: str = "Simulated trial",
    rationale: str = "",
    what_if: WhatIf | None = None,
    examples: Sequence[int] | None = None,
    error: pd.DataFrame | None = None,
    null: SimulationResult | None = None,
) -> SimulationReport:
    """Gather a report for a protocol's appendix: type I error and power, looks, bounds, sentences.

    Args:
        results: a result, or scenario name → result with the planned one first.
        title, rationale: text. what_if: a sensitivity table.
        examples: numbers of the example trials; by default one that succeeds and one that fails.
        error: what :func:`family_wise_error` gave.
        null: the design simulated without effect. By default a scenario of ``results`` without
            effect, or else as many trials as planned, simulated now.

    Raises:
        ValueError: without results, or for an example that is not among the trials.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> text = ts.simulation_report(result, title="Example").to_markdown()
        >>> text.splitlines()[0]
        '# Example'
    """
    named = {"planned": results} if isinstance(results, SimulationResult) else dict(results)
    if not named:
        raise ValueError("a report needs at least one result, got none")
    first = next(iter(named.values()))
    if examples is None:
        trials = first.conducted.trial
        chosen = [trials[first.success][:1], trials[~first.success][:1]]
        examples = [int(t) for t in np.concatenate(chosen)]
    for number in examples:
        if number not in first.conducted.trial:
            raise ValueError(f"example trial {number!r} is not among the trials of the result")
    note = ""
    if null is None:
        null, note = under_null(named)
    return SimulationReport(title, rationale, named, what_if, tuple(examples), error, null, note)


ENDINGS = (".html", ".md", ".json", ".docx", ".tex")


def check_ending(path: Path) -> None:
    """Raise ValueError where a report cannot be written under such a name."""
    if path.suffix not in ENDINGS:
        known = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
        raise ValueError(f"a report ends in {known}, got {path.name!r}")
    if path.suffix == ".docx":
        need_word()


def _adaptations(result: SimulationResult) -> dict[str, Any] | None:
    """What an adaptive trial may change: rules in words, how often they fired, who was enrolled."""
    if not isinstance(result, AdaptiveResult):
        return None
    adaptive = result.adaptive
    sections = []
    for milestone in adaptive.milestones:
        mine = result.adaptations.loc[result.adaptations["milestone"] == milestone.name]
        plain = {rule.in_words: rule.plain for rule in milestone.rules}
        rows = [
            {
                "rule": plain[row["rule"]],
                "arm": row["arm"] or "all",
                "fired": f"{row['estimate']:.4f}",
                "95 % interval": f"{row['lower']:.4f} to {row['upper']:.4f}",
            }
            for row in mine.to_dict("records")
        ]
        sections.append({"name": milestone.name, "when": when(milestone.when), "rows": rows})
    return {
        "method": error_held(adaptive),
        "milestones": sections,
        "patients": result.patients_by_milestone().to_dict("records"),
    }


def _render(template: str, context: Mapping[str, Any]) -> str:
    pages = page_environment()
    pages.filters["narrowed"] = narrowed
    return pages.get_template(template).render(**context)


def _write(text: str, path: str | Path | None) -> str:
    if path is not None:
        write_text(path, text)
    return text


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return pd.DataFrame(table).to_dict("records")  # type: ignore[return-value]


def _finite(value: Any) -> Any:
    """The same with infinite and NaN numbers as None, which JSON lacks."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _labelled(result: SimulationResult) -> list[dict[str, str]]:
    """Operating characteristics as text; estimates at the stop are called naive."""
    rows = _formatted(result.operating_characteristics)
    start = f"mean {result.scale}"
    if result.design.n_looks > 1:
        for row in rows:
            if row["quantity"].startswith(start):
                what = row["quantity"].removeprefix("mean ")
                row["quantity"] = f"mean of the naive estimates of the {what}, at the stop"
    return rows


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        kind = value.get("type")
        inner = ", ".join(
            f"{k}: {_text(v)}" for k, v in value.items() if k != "type" and v not in (None, [], {})
        )
        return f"{kind} ({inner})" if kind else inner
    if isinstance(value, list):
        return ", ".join(_text(v) for v in value) if value else "none"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def _at_a_glance(name: str, result: SimulationResult) -> dict[str, str]:
    """What a reader asks first, in one row a scenario."""
    several = len(result.design.arm_names) > 2
    power = result.quantity("disjunctive power" if several else "power")
    return {
        "scenario": name,
        "power": f"{power.estimate:.3f} ({power.lower:.3f} to {power.upper:.3f})",
        "expected months": f"{result.expected_duration:.1f}",
        "expected patients": f"{result.expected_patients:.0f}",
        "expected events": f"{result.expected_events:.0f}",
    }


def look_rows(result: SimulationResult) -> list[dict[str, str]]:
    """The looks of a simulated design as text: bounds as z, p and hazard ratio, and when.

    The hazard ratio at a bound is Schoenfeld's, for two arms and looks at numbers of events.
    """
    from scipy.special import ndtr

    design = result.design
    events = getattr(design.looks, "events", ())
    ratios = events and result.scale == "log hazard ratio" and len(design.quota) == 2
    rows = []
    uppers, lowers = result.planned_bounds
    for k in range(design.n_looks):
        upper, lower = uppers[k], lowers[k]
        row = {
            "look": str(k + 1),
            "efficacy z": f"{upper:.4f}" if np.isfinite(upper) else "none",
            "one-sided p": f"{ndtr(-upper):.6f}" if np.isfinite(upper) else "none",
            "futility z": f"{lower:.4f}" if np.isfinite(lower) else "none",
        }
        if ratios:
            r = design.quota[1] / design.quota[0]
            se = (1.0 + r) / np.sqrt(r * events[k])
            for name, bound in (("efficacy", upper), ("futility", lower)):
                seen = np.isfinite(bound)
                row[f"{name} HR"] = f"{np.exp(-bound * se):.3f}" if seen else "none"
        rows.append(row | {"mean month": f"{result.look_times[k]:.1f}"})
    return rows


def _formatted(table: pd.DataFrame) -> list[dict[str, str]]:
    return [{str(k).replace("_", " "): _cell(v) for k, v in row.items()} for row in _records(table)]


def _cell(value: Any) -> str:
    """A cell as text: no bound where it is infinite, empty where it is missing."""
    if isinstance(value, float):
        return "" if np.isnan(value) else "none" if np.isinf(value) else f"{value:.4g}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def short_table(found: WhatIf) -> pd.DataFrame:
    """The columns of a what-if table that are read first."""
    columns = [*found.parameters, "power", "power_mcse", "power_difference",
               "power_difference_mcse", "expected_events", "expected_patients",
               "expected_duration"]  # fmt: skip
    return found.table[[c for c in columns if c in found.table]]


def _figures(result: SimulationResult, what_if: WhatIf | None) -> list[dict[str, str]]:
    from matplotlib.figure import Figure

    figures = []
    curves = result.curves(n_trials=min(200, result.n_trials))
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    ax = figure.subplots()
    for name, colour in (("patients", "tab:blue"), ("events", "tab:red")):
        ax.plot(curves["month"], curves[f"{name}_median"], color=colour, label=name)
        band = curves[f"{name}_lower"], curves[f"{name}_upper"]
        ax.fill_between(curves["month"], *band, color=colour, alpha=0.2, lw=0)
    ax.set_xlabel("months since opening")
    ax.set_ylabel("number")
    ax.legend(frameon=False)
    caption = "Accrual and events over simulated trials that go on to the end: median, 90 % band."
    figures.append({"caption": caption, "image": _image(figure)})
    if what_if is not None:
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        what_if.plot(ax=figure.subplots())
        figures.append({"caption": "Sensitivity of the power.", "image": _image(figure)})
    return figures


def _image(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
