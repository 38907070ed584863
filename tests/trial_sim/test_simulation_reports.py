"""Reports and commands of simulation studies."""

import json
import re

import docx
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint
from typer.testing import CliRunner

import trial_sim as ts
from trial_sim.cli import app
from trial_sim.design.design import Bounds, Design
from trial_sim.exploration.report import simulation_report
from trial_sim.exploration.report_documents import WIDEST, narrowed
from trial_sim.exploration.study import read_study

STUDY = """
title: Delayed <effect>
rationale: The effect starts after four months.
design:
  arms: {control: 1, treatment: 1}
  n_patients: 300
  accrual: {rate: 20}
  dropout: {rate: 0.004}
  looks: {events: [100, 200]}
  boundaries: {information_fractions: [0.5, 1], alpha: 0.025, efficacy: pocock}
outcomes: {control_median: 12, breakpoints: [4], hazard_ratio: [1.0, 0.6]}
scenarios:
  null effect: {control_median: 12}
simulation: {n_trials: 300, seed: 3}
what_if:
  n_trials: 50
  variations: {n_patients: [250, 300]}
"""
RUN = CliRunner()


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def report():
    design = Design(
        arms={"control": 1, "treatment": 1}, n_patients=300, accrual=ts.Accrual(rate=20.0),
        looks=ts.EventLooks([100, 200]), boundaries=Bounds([2.8, 1.98]),
    )  # fmt: skip
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
    result = ts.simulate(design, outcomes, 300, seed=1)
    table = ts.what_if(design, outcomes, {"n_patients": [250, 300]}, n_trials=50)
    return simulation_report(result, "A <trial>", "Because.", table)


def test_html_stands_alone_and_escapes(report):
    html = report.to_html()
    assert "A &lt;trial&gt;" in html and "A <trial>" not in html
    assert not re.search(r'(src|href)="(?!data:)', html) and "http" not in html
    assert html.count("data:image/png;base64,") == 2
    result = report.results["planned"]
    assert f"{result.power:.4g}" in html and result.provenance["hash"] in html
    for heading in (
        "Aims",
        "Data-generating",
        "Estimands",
        "Performance",
        "Example",
        "Sensitivity",
    ):
        assert heading in html


def test_markdown_and_json(report, tmp_path):
    text = report.to_markdown(tmp_path / "r.md")
    assert (tmp_path / "r.md").read_text() == text
    assert "| quantity | estimate | mcse | lower | upper |" in text
    plain = json.loads(report.to_json())
    rows = {r["quantity"]: r for r in plain["scenarios"]["planned"]["operating_characteristics"]}
    assert rows["power"]["estimate"] == report.results["planned"].power
    assert Design.from_dict(plain["design"]) == report.results["planned"].design
    assert len(plain["example_trials"]) == 2 and len(plain["sensitivity"]) == 2
    decisions = [t["looks"][-1]["decision"] for t in plain["example_trials"]]
    assert decisions == ["efficacy", "not rejected"]


def test_bad_examples(report):
    with pytest.raises(ValueError, match="example trial 999"):
        simulation_report(report.results, examples=[999])
    with pytest.raises(ValueError, match="at least one result"):
        simulation_report({})


def test_design_command(study, tmp_path):
    done = RUN.invoke(app, ["design", str(study), "-o", str(tmp_path / "d.yaml")])
    assert done.exit_code == 0, done.output
    assert "2.1783" in done.output and "efficacy HR" in done.output
    again = Design.from_yaml(tmp_path / "d.yaml")
    assert again == read_study(study).design


def test_simulate_command(study, tmp_path):
    out, page = tmp_path / "oc.csv", tmp_path / "report.html"
    arguments = ["simulate", str(study), "--no-progress", "-o", str(out), "--report", str(page)]
    done = RUN.invoke(app, arguments)
    assert done.exit_code == 0, done.output
    table = pd.read_csv(out)
    assert set(table["scenario"]) == {"planned", "null effect"}
    loaded = read_study(study)
    power = ts.simulate(loaded.design, loaded.outcomes, 300, seed=3).power
    mine = table[(table["scenario"] == "planned") & (table["quantity"] == "power")]
    assert mine["estimate"].item() == pytest.approx(power)
    assert "Delayed &lt;effect&gt;" in page.read_text()


def test_report_command(study, tmp_path):
    for name in ("r.html", "r.md", "r.json"):
        done = RUN.invoke(
            app, ["report", str(study), str(tmp_path / name), "--n-trials", "60", "--no-progress"]
        )
        assert done.exit_code == 0, done.output
    plain = json.loads((tmp_path / "r.json").read_text())
    assert list(plain["scenarios"]) == ["planned", "null effect"]
    assert "## Sensitivity" in (tmp_path / "r.md").read_text()
    done = RUN.invoke(app, ["report", str(study), str(tmp_path / "r.pdf")])
    assert done.exit_code == 2 and "ends in .html, .md, .json, .docx or .tex" in done.output


# -- for a protocol's appendix ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def appendix():
    bounds = ts.group_sequential(
        (0.5, 1), efficacy="lan_demets_obrien_fleming", futility=("hwang_shih_decani", -2)
    )
    design = Design(
        arms={"control": 1, "treatment": 2}, n_patients=300, accrual=ts.Accrual(rate=20.0),
        looks=ts.EventLooks([100, 200]), boundaries=bounds,
    )  # fmt: skip
    outcomes = ts.PiecewiseExponential(
        control_median=12, breakpoints=[4], hazard_ratio=[1.0, 0.6], cured=0.0
    )
    result = ts.simulate(design, outcomes, 400, seed=1)
    null = ts.simulate(design, outcomes.replace(hazard_ratio=[1.0, 1.0]), 400, seed=1)
    return result, null, simulation_report(result, "A_trial & more")


def test_headlines_are_type_one_error_and_power_with_intervals(appendix):
    result, null, report = appendix
    error, power = report.to_dict()["headlines"][:2]
    for row, made in ((error, null), (power, result)):
        share = made.success.mean()
        low, high = proportion_confint(made.success.sum(), made.n_trials, method="wilson")
        assert row["value"] == f"{share:.4f} ({low:.4f} to {high:.4f})"
    assert report.null.power == null.power  # simulated with the seed of the planned one
    for text in (report.to_html(), report.to_markdown()):
        assert f"{null.power:.4f}" in text and text.index("type I error") < text.index("rationale")


def test_bounds_by_look_against_published_values_and_formulas(appendix):
    """gsDesign's sfLDOF at halves of .025: 2.963 and 1.969, .00153 spent; Schoenfeld's effects."""
    report = appendix[2]
    rows = report.to_dict()["looks"]["bounds"]
    assert [float(r["efficacy z"]) for r in rows] == pytest.approx([2.9626, 1.9686], abs=2e-4)
    spent = [2 * (1 - norm.cdf(norm.ppf(1 - 0.0125) / np.sqrt(t))) for t in (0.5, 1.0)]
    assert [float(r["alpha spent"]) for r in rows] == pytest.approx(spent, abs=2e-6)
    for row, events in zip(rows, (100, 200), strict=True):
        z = float(row["efficacy z"])
        assert float(row["efficacy p"]) == pytest.approx(norm.sf(z), abs=2e-6)
        effect = np.exp(-z / np.sqrt(events * (1 / 3) * (2 / 3)))
        assert float(row["efficacy, hazard ratio about"]) == pytest.approx(effect, abs=6e-4)


def test_course_by_look_counts_the_trials(appendix):
    result, null, report = appendix
    rows = report.to_dict()["looks"]["course"]
    for name, made in (("H1", result), ("H0", null)):
        first = made.trials.query("decision == 'efficacy'").drop_duplicates("trial")
        futile = made.trials.query("decision == 'futility'").drop_duplicates("trial")
        for k, row in enumerate(rows, start=1):
            crossed = (first["look"] == k).mean() * len(first) / made.n_trials
            assert float(row[f"crosses efficacy, {name}"]) == pytest.approx(crossed, abs=6e-5)
            stopped = (futile["look"] == k).sum() / made.n_trials
            assert float(row[f"stops for futility, {name}"]) == pytest.approx(stopped, abs=6e-5)
    assert float(rows[-1]["power so far"]) == pytest.approx(result.power, abs=6e-5)
    assert float(rows[-1]["type I error so far"]) == pytest.approx(null.power, abs=6e-5)
    held = result.trials.query("look == 2")
    assert float(rows[1]["month"]) == pytest.approx(held["month"].mean(), abs=0.06)
    assert float(rows[1]["events"]) == 200


def test_words_in_place_of_code(appendix):
    _, _, report = appendix
    text = report.to_markdown()
    for said in (
        "permuted blocks", "the log-rank test", "allocated 1:2",
        "1 until month 4, 0.6 from month 4",
        "100 and 200 events", "not binding", "dropout: none assumed", "naive estimates",
    ):  # fmt: skip
        assert said in text, said
    for code in (
        "cured",
        "-inf",
        "inf |",
        "nan",
        "PermutedBlocks",
        "EventLooks",
        "None",
        "{",
        "[]",
    ):
        assert code not in text, code


@pytest.mark.parametrize(
    "outcomes, test",
    [
        (ts.BinaryResponse(0.3, 0.5), "chi_square"),
        (ts.ContinuousResponse(0.5), "t_test"),
        (ts.CountResponse(1.2, 0.7, dispersion=0.5), "negative_binomial"),
        (ts.OrdinalResponse([0.3, 0.4, 0.3], 1.8), "wilcoxon"),
        (ts.Weibull(12, 1.3, 0.7), "cox"),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_every_kind_of_outcome_has_its_type_one_error_and_words(outcomes, test):
    times = hasattr(outcomes, "hazard_ratio")
    design = Design(
        arms={"control": 1, "treatment": 1}, n_patients=120, accrual=ts.Accrual(rate=20.0),
        looks=ts.CalendarLooks([12, 20]) if times else ts.EnrolmentLooks([60, 120]),
        boundaries=ts.group_sequential((0.5, 1), efficacy="pocock"), test=test,
    )  # fmt: skip
    report = simulation_report(ts.simulate(design, outcomes, 60, seed=2))
    assert report.null is not None and report.null.power < 0.2, report.null_note
    text = report.to_markdown()
    assert "inf" not in text.replace("information", "") and "type(" not in text
    rows = report.to_dict()["looks"]["bounds"]
    assert any(" about" in name for name in rows[0])


def test_a_margin_is_its_own_null_hypothesis():
    design = Design(
        arms={"control": 1, "treatment": 1}, n_patients=200, accrual=ts.Accrual(rate=20.0),
        looks=ts.EventLooks([120]), margin=1.4,
    )  # fmt: skip
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=1.0)
    report = simulation_report(ts.simulate(design, outcomes, 300, seed=2))
    assert report.null.outcomes.hazard_ratio == {"treatment": 1.4}
    assert report.null.power == pytest.approx(0.025, abs=0.03)
    rates = Design(
        arms={"control": 1, "treatment": 1}, n_patients=100, accrual=ts.Accrual(rate=20.0),
        looks=ts.EnrolmentLooks([100]), test=("farrington_manning", 0.1),
    )  # fmt: skip
    report = simulation_report(ts.simulate(rates, ts.BinaryResponse(0.5, 0.5), 40, seed=2))
    headline = report.to_dict()["headlines"][0]
    assert headline["value"] == "not assessed" and "margin" in headline["meaning"]


def test_word_and_latex_hold_what_the_page_holds(appendix, tmp_path):
    _, null, report = appendix
    place = report.write(tmp_path / "r.docx")
    document = docx.Document(str(place))
    words = "\n".join(p.text for p in document.paragraphs)
    cells = [c.text for t in document.tables for row in t.rows for c in row.cells]
    assert f"{null.power:.4f}" in " ".join(cells) and "permuted blocks" in words
    assert "at least 2.9626" in words and len(document.inline_shapes) == 1
    assert document.sections[0].page_width.mm == pytest.approx(210, abs=0.1)
    widest = max(len(t.columns) for t in document.tables)
    assert widest <= 9, widest
    text = report.write(tmp_path / "r.tex").read_text("utf-8")
    assert r"A\_trial \& more" in text and "at least 2.9626" in text
    for name in ("document", "longtable", "center"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") > 0
    assert (tmp_path / "r-figure-1.png").read_bytes()[:4] == b"\x89PNG"
    body = text[text.index(r"\begin{document}") :]
    assert not re.search(r"(?<!\\)[%#]", body) and body.count("{") == body.count("}")
    for table in re.findall(r"\\begin\{longtable\}.*?\\end\{longtable\}", text, re.S):
        columns = table.split("\n")[0].count("p{")
        widths = [float(w) for w in re.findall(r"p\{([\d.]+)\\textwidth\}", table)]
        assert sum(widths) <= 0.95 and len(widths) == columns
        for line in table.split("\n"):
            if line.endswith(r"\\"):
                assert len(re.findall(r"(?<!\\)&", line)) == columns - 1, line


def test_without_python_docx_the_error_says_what_to_install(appendix, tmp_path, monkeypatch):
    from trial_sim.exploration import report_documents

    monkeypatch.setattr(report_documents, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'digital-double\[word\]'"):
        appendix[2].write(tmp_path / "r.docx")
    assert not (tmp_path / "r.docx").exists()


def test_what_if_command(study, tmp_path):
    out, figure = tmp_path / "grid.csv", tmp_path / "grid.png"
    done = RUN.invoke(
        app,
        ["what-if", str(study), "--no-progress", "-o", str(out), "--plot", str(figure),
         "--power", "0.5", "--max-duration", "60"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert len(pd.read_csv(out)) == 2 and figure.stat().st_size > 1000
    assert "cheapest: n_patients=250" in done.output


def test_predict_command(study, tmp_path):
    loaded = read_study(study)
    truth = ts.simulate(loaded.design, loaded.outcomes, 1, seed=3).replay(0).patients
    seen = truth[truth["enrolment"] <= 10].copy()
    ended = seen["end"] <= 10
    seen["dropout"] = (ended & ~seen["event"]).astype(int)
    seen["event"] = (ended & seen["event"]).astype(int)
    seen["time"] = seen["time"].where(ended, 10 - seen["enrolment"])
    seen["end"] = seen["end"].clip(upper=10)
    path = tmp_path / "patients.csv"
    seen.to_csv(path, index=False)
    done = RUN.invoke(
        app,
        ["predict", str(study), str(path), "--cutoff", "10", "--opened", "2026-03-01",
         "--n-draws", "50", "-o", str(tmp_path / "curve.csv")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "probability of success" in done.output and "date_median" in done.output
    curve = pd.read_csv(tmp_path / "curve.csv")
    assert curve["month"].iloc[0] == 10 and curve["events_median"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_patients: 300", "n_patient: 300", "did you mean 'n_patients'"),
        ("simulation:", "simulations:", "did you mean 'simulation'"),
        ("seed: 3", "sed: 3", "did you mean 'seed'"),
        (
            "control_median: 12, breakpoints",
            "control_medain: 12, breakpoints",
            "did you mean 'control_m",
        ),
        ("rate: 20", "rate: 0", "never finishes"),
        ("[1.0, 0.6]", "[1.0, 0]", "must be positive"),
        ("efficacy: pocock", "efficacy: pokock", "pocock"),
        ("title: Delayed <effect>", "title: [", "not valid YAML"),
    ],
)
def test_bad_study_files(study, old, new, message):
    study.write_text(STUDY.replace(old, new, 1))
    done = RUN.invoke(app, ["design", str(study)])
    assert done.exit_code == 2
    assert message in done.output and "Traceback" not in done.output


def test_missing_study_file(tmp_path):
    done = RUN.invoke(app, ["design", str(tmp_path / "none.yaml")])
    assert done.exit_code == 2 and "error:" in done.output


@pytest.mark.parametrize(
    "command",
    [
        ["design", "STUDY", "-o", "PLACE"],
        ["simulate", "STUDY", "-o", "PLACE"],
        ["simulate", "STUDY", "--report", "PLACE.md"],
        ["report", "STUDY", "PLACE.md"],
        ["what-if", "STUDY", "-o", "PLACE"],
        ["what-if", "STUDY", "--plot", "PLACE.png"],
        ["predict", "STUDY", "none.csv", "-o", "PLACE"],
        ["fit", "colon", "-o", "FILE/m.npz"],
        ["sample", "none.npz", "-o", "PLACE"],
        ["audit", "colon", "--model", "none.npz", "-o", "PLACE"],
    ],
    ids=lambda command: " ".join(command[:1] + command[2:3]),
)
def test_a_place_is_tried_before_the_work(study, tmp_path, command, monkeypatch):
    """No folder to write in: said at once, before anything is read, fitted or simulated."""

    def never(*args, **kwargs):
        raise AssertionError("work began before the place was tried")

    for name in (
        "trial_sim.simulation.simulate.run_jobs",
        "trial_sim.arms.fitting.fit",
        "trial_sim.exploration.study.read_study",
    ):
        monkeypatch.setattr(name, never)
    file = tmp_path / "a file"
    file.write_text("kept")
    names = {"STUDY": str(study), "PLACE": str(tmp_path / "no folder" / "x"), "FILE": str(file)}
    words = []
    for word in command:
        for old, new in names.items():
            word = word.replace(old, new)
        words.append(word)
    done = RUN.invoke(app, words)
    assert done.exit_code == 2, done.output
    assert "no folder" in done.output or "cannot be written" in done.output
    assert file.read_text() == "kept"


def test_what_cannot_be_finished_leaves_nothing_behind(tmp_path):
    from trial_sim.base.output_places import replacing, try_place

    place = tmp_path / "out.csv"
    place.write_text("before")
    with pytest.raises(OSError, match="No space"), replacing(place) as made:
        made.write_text("half of it")
        raise OSError(28, "No space left on device")
    assert place.read_text() == "before" and list(tmp_path.iterdir()) == [place]
    with replacing(place) as made:
        made.write_text("after")
    assert place.read_text() == "after" and list(tmp_path.iterdir()) == [place]
    with pytest.raises(ValueError, match="is a folder"):
        try_place(tmp_path)
    try_place("/dev/null")
    with replacing("/dev/null") as made:
        made.write_text("x")


@pytest.mark.parametrize(
    ("field", "value"),
    [("control_median", "12 months"), ("cured", "none"), ("control_median", [12])],
)
def test_a_number_with_its_unit_is_told(field, value):
    with pytest.raises(TypeError, match=rf"{field} must be a number, got"):
        ts.PiecewiseExponential(**{"control_median": 12, field: value})


def test_every_numeric_field_of_every_record_says_its_name():
    """Wherever a record declares a number, text is refused by the name of the field."""
    import dataclasses

    from trial_sim import scenarios
    from trial_sim.base.records import _CLASSES

    for name in scenarios.__all__:
        getattr(scenarios, name)
    checked = 0
    for record in _CLASSES.values():
        for item in dataclasses.fields(record):
            if item.type == "float" and "__post_init__" in vars(record):
                empty = {
                    f.name: 1.0 if f.type == "float" else None
                    for f in dataclasses.fields(record)
                    if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
                }
                with pytest.raises(TypeError, match=f"{item.name} must be a number"):
                    record(**{**empty, item.name: "a year"})
                checked += 1
    assert checked > 20


@pytest.mark.parametrize("n_rows", [1, 2, 4, 6, 7, 12])
@pytest.mark.parametrize("n_columns", [3, 8, 15])
@pytest.mark.parametrize("levels", [1, 2, 50])
def test_a_wide_table_is_turned_or_cut_and_loses_nothing(
    n_rows: int, n_columns: int, levels: int
) -> None:
    rows = [
        {"a": str(k % levels), "b": str(k // levels % 3)}
        | {f"c{c}": f"{k}.{c}" for c in range(n_columns - 2)}
        for k in range(n_rows)
    ]
    parts = narrowed(rows)
    assert all(len(part[0]) <= WIDEST for part in parts)
    held = [text for part in parts for row in part for text in (*row, *row.values())]
    seen = {word for text in held for word in text.split("; ")}
    assert {value for row in rows for value in row.values()} <= seen
    for part in parts:
        assert all(list(row) == list(part[0]) for row in part)
