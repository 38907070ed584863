"""Verdicts, the report record, JSON and the HTML page."""

import html
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.auditing.compared.intervals import Interval, number
from trial_sim.auditing.compared.measure import (
    COLUMNS,
    UNSEEN,
    Measure,
    as_table,
    not_assessed,
)
from trial_sim.auditing.compared.rules import RULES, judge, words
from trial_sim.auditing.page import render
from trial_sim.auditing.report import AuditReport

NAN = float("nan")


@pytest.mark.parametrize(
    ("interval", "threshold", "better", "verdict"),
    [
        (Interval(0.05, 0.01, 0.2), 0.1, "low", "green"),
        (Interval(0.12, 0.08, 0.2), 0.1, "low", "amber"),
        (Interval(0.4, 0.3, 0.5), 0.1, "low", "red"),
        (Interval(0.12, 0.101, 0.2), 0.1, "low", "amber"),  # 99.9 % still reaches the rule
        (Interval(0.97, 0.9, 1.0), 0.95, "high", "green"),
        (Interval(0.5, 0.45, 0.55), 0.95, "high", "red"),
        (Interval(-0.02, -0.1, 0.1), 0.05, "zero", "green"),
        (Interval(-0.3, -0.35, -0.25), 0.05, "zero", "red"),
        (Interval(12.0, NAN, NAN), 10.0, "low", "red"),
        (Interval(NAN, NAN, NAN), 10.0, "low", "grey"),
        (Interval(0.3, 0.2, 0.4), None, "", "grey"),
    ],
)
def test_traffic_lights(interval, threshold, better, verdict):
    assert judge(interval, threshold, better) == verdict


def test_measures_refuse_unknown_rules_and_verdicts():
    with pytest.raises(ValueError, match="better is 'up'"):
        Measure("m", "s", Interval(0, 0, 0), "r", 1.0, "up")
    with pytest.raises(ValueError, match="is declared as 'at most 0"):
        Measure("KS distance", "s", Interval(0, 0, 0), "r", 0.2, "low")


def test_a_line_without_numbers_takes_its_declared_rule():
    line = Measure("subgroup curve gap / band", "s", Interval(1.95, 1, 3), "r")
    assert (line.threshold, line.better, line.red, line.verdict) == (1.0, "low", 1.9, "red")
    draw = replace(line, informs=True)
    assert draw.verdict == "grey" and draw.threshold is None


def test_rules_read_as_they_are_applied():
    """From the words alone, parsed back, follows the verdict: of every rule in numbers."""
    rng = np.random.default_rng(0)
    for name, rule in RULES.items():
        if isinstance(rule.threshold, str) or isinstance(rule.red, str):
            continue
        side, number_, after = re.fullmatch(
            r"(at most|at least|within ±) ?([\d.]+); red (.*)", rule.words
        ).groups()
        limit = float(number_)
        for estimate in [*rng.normal(limit, 0.3 * limit + 0.1, 20), -2 * limit, 3 * limit]:
            half = rng.uniform(0, 0.5 * limit + 0.01)
            found = Measure(name, "s", Interval(estimate, estimate - half, estimate + half), "r")
            low, high = estimate - 1.68 * half, estimate + 1.68 * half
            if not after.startswith("if the 99.9 %"):
                low = high = estimate
            beyond = limit if after.startswith("if") else float(after.split()[-1].strip("±"))
            kept, broken = {
                "at most": (estimate <= limit, low > beyond),
                "at least": (estimate >= limit, high < beyond),
                "within ±": (abs(estimate) <= limit, low > beyond or high < -beyond),
            }[side]
            wanted = "green" if kept else "red" if broken else "amber"
            assert found.verdict == wanted, (name, rule.words, found.interval)


@pytest.mark.parametrize("copies", [False, True])
def test_every_page_shows_the_rule_that_was_applied(copies):
    trial = ts.load_trial("gehan")
    fitted = ts.fit(trial, "relapse", model="weibull", covariate_model="bootstrap", seed=0)
    made = trial if copies else fitted.sample_trial(seed=1)
    audited = ts.audit(trial, made, endpoint="relapse", seed=0)
    page = html.unescape(render(audited))
    assert page.index("Attacked: the synthetic table.") < page.index("Summary")
    for row in audited.table.to_dict("records"):
        interval = (row["estimate"], row["lower"], row["upper"])
        threshold = None if np.isnan(row["threshold"]) else row["threshold"]
        assert row["verdict"] == judge(interval, threshold, row["better"], row["red"]), row
        said = words(row["better"], row["threshold"], row["red"])
        # the key says once what makes most lines red
        said = said.removesuffix("; red if the 99.9 % interval breaks this as a whole")
        assert bool(said) == (threshold is not None) and said in page
        rule = RULES.get(row["measure"])
        assert rule is not None or threshold is None, row["measure"]
        if threshold is not None and isinstance(rule.threshold, float):
            assert threshold == rule.threshold and row["better"] == rule.better
    assert audited.verdict == ("failed" if copies else "privacy not assessed")
    assert not copies or not audited.passed


def test_a_verdict_is_green_only_where_privacy_was_judged_and_faults_would_have_shown():
    attacked = Measure("membership inference AUC", "distance", Interval(0.5, 0.4, 0.6), "r")
    hidden = Measure("effect lost", "e", Interval(0, -2, 2), f"{UNSEEN}: too few", informs=True)
    assert report(attacked).verdict == "passed"
    assert report(attacked, hidden).verdict == "could not have seen"
    assert "could not have seen: effect lost [e]" in repr(report(attacked, hidden))
    assert report(hidden).verdict == "privacy not assessed"


def report(*measures):
    empty = as_table([])
    return AuditReport(
        as_table(measures), empty, empty, empty, empty, empty, {}, {"n_real": 10, "title": "<T&>"}
    )


def test_a_report_fails_by_its_red_measures_only():
    good = Measure("KS distance", "age", Interval(0.01, 0, 0.1), "small", 0.1, "low")
    bad = Measure("KS distance", "sex <b>", Interval(0.9, 0.8, 1.0), "large", 0.1, "low")
    unknown = not_assessed("membership inference AUC", "all", "no hold-out")
    assert report(good, unknown).passed
    failed = report(good, bad, unknown)
    assert not failed.passed
    assert failed.failures["subject"].tolist() == ["sex <b>"]
    assert list(failed.table.columns) == ["section", *COLUMNS]
    assert "FAILED" in repr(failed) and "sex <b>" in repr(failed)
    assert "passed" not in repr(report(good))  # privacy was not assessed
    assert failed.counts().loc["fidelity"].to_dict() == {
        "green": 1,
        "amber": 0,
        "red": 1,
        "grey": 1,
    }


def test_json_holds_every_measure_and_no_nan(tmp_path):
    endless = Interval(1.0, 0.5, float("inf"))
    made = report(not_assessed("m", "s", "why"), Measure("n", "s", endless, "r"))
    path = made.to_json(tmp_path / "report.json")
    text = path.read_text()
    assert "NaN" not in text and "Infinity" not in text
    found = json.loads(text)
    assert found["passed"] is True
    assert [row["measure"] for row in found["fidelity"]] == ["m", "n"]
    assert found["fidelity"][0]["estimate"] is None


def test_the_page_is_offline_and_escapes_what_it_is_given():
    page = render(report(Measure("n", "<script>x</script>", Interval(1.0, 0.5, 2.0), "read me")))
    assert "<script>x" not in page and "&lt;script&gt;x" in page
    assert "&lt;T&amp;&gt;" in page
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    assert "read me" in page and "prefers-color-scheme: dark" in page and "@media print" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NAN, "–"),
        (0.0, "0"),
        (0.12345, "0.123"),
        (-1.5, "−1.50"),
        (123.4, "123"),
        (12345.6, "12,346"),
        (0.00012, "0.0001"),
        (np.inf, "∞"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_figures_of_an_empty_report_are_left_out():
    assert "<figure>" not in render(report())
    assert pd.DataFrame(report().figures).empty


def test_the_page_begins_with_a_conclusion_and_folds_what_is_green():
    good = Measure("kept", "a", Interval(0.1, 0.0, 0.2), "fine", threshold=0.5, better="low")
    found = report(good, Measure("no rule", "b", Interval(1.0, 0.5, 2.0), "read me"))
    page = render(found)
    assert found.verdict == "privacy not assessed"
    top = page.index("NOT ASSESSED")
    assert top < page.index(">Summary<") and "Intended use" in page
    assert re.search(r"<time datetime=\"\d{4}-\d\d-\d\d\">", page)
    fold = page[page.index("<details") : page.index("</details>")]
    assert "1 green: kept" in fold and "fine" in fold and "read me" not in fold
    titles = dict(re.findall(r"<h2>(\w[\w ]*): ([^<]*)</h2>", page))
    assert titles["Fidelity"] == "passed" and titles["Utility"] == "not assessed"
    assert "passed" not in titles["Privacy"]
    # at 420 px a row is a card whose cells say what they are
    assert 'data-label="95 % interval"' in page and "@page { size:A4" in page
