"""Verdicts, the report record, JSON and the HTML page."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from trial_sim.auditing.compared.intervals import Interval, number
from trial_sim.auditing.compared.measure import COLUMNS, Measure, as_table, judge, not_assessed
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
    with pytest.raises(ValueError, match="verdict is 'blue'"):
        Measure("m", "s", Interval(0, 0, 0), "r", verdict="blue")


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
    assert "passed" in repr(report(good))
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
