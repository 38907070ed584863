"""Figures of the audit: they show what the frames hold, and refuse what they lack."""

import re
import xml.dom.minidom

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.auditing import plots
from trial_sim.auditing.compared.comparison import compare
from trial_sim.auditing.figures import margins, numbers_at_risk, outcome_curves


@pytest.fixture(scope="module")
def comparison():
    trial = ts.load_trial("veteran")
    order = np.random.default_rng(0).permutation(trial.n_patients)
    return compare(trial.subset(np.sort(order[:70])), trial.subset(np.sort(order[70:])))


def test_curves_have_a_panel_for_each_arm_and_the_numbers_at_risk(comparison):
    curves, at_risk = outcome_curves(comparison), numbers_at_risk(comparison)
    figure = plots.plot_curves(curves, at_risk, "death", time_unit="days")
    assert [axis.get_title() for axis in figure.axes[:2]] == ["standard", "test"]
    first = at_risk[at_risk["x"] == 0].set_index(["arm", "source"])["n"]
    for arm, source, trial in (
        ("standard", "real", comparison.real),
        ("test", "synthetic", comparison.synthetic),
    ):
        expected = (trial.patients[trial.arm].astype(str) == arm).sum()
        assert first[(arm, source)] == expected
    shown = {text.get_text() for axis in figure.axes for text in axis.texts}
    assert {str(n) for n in first} <= shown


def test_an_unknown_curve_is_refused_with_the_known_ones(comparison):
    with pytest.raises(ValueError, match="death, survival"):
        plots.plot_curves(outcome_curves(comparison), None, "death", "hazard")


def test_margins_are_shares_that_sum_to_one(comparison):
    frame = margins(comparison)
    sums = frame.groupby("column")[["real", "synthetic"]].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(sums.shape))
    figure = plots.plot_margins(frame, ["age", "celltype"])
    assert [axis.get_title() for axis in figure.axes] == ["age", "celltype"]
    with pytest.raises(ValueError, match="no margins of the columns \\['weight'\\]"):
        plots.plot_margins(frame, ["weight"])


def test_empty_frames_are_refused():
    with pytest.raises(ValueError, match="at least one contrast"):
        plots.plot_forest(pd.DataFrame())
    empty = pd.DataFrame(columns=["measure", "estimate", "subject"])
    with pytest.raises(ValueError, match="no risks"):
        plots.plot_privacy(empty)


def test_svg_is_well_formed_follows_the_page_and_keeps_identifiers_apart(comparison):
    pictures = [
        plots.svg(plots.plot_margins(margins(comparison)), title)
        for title in ("one", "two & <three>")
    ]
    for text in pictures:
        xml.dom.minidom.parseString(text.replace("xlink:href", "href"))
        assert "currentColor" in text and plots.INK not in text
        assert "http://purl.org" not in text  # no metadata block
    one, two = (set(re.findall(r'id="([^"]+)"', text)) for text in pictures)
    assert one and not one & two
    for text in pictures:
        used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
        assert used <= set(re.findall(r'id="([^"]+)"', text))


def test_plot_outcome_takes_two_trials():
    trial = ts.load_trial("indo_rct")
    figure = plots.plot_outcome(trial, trial, "pancreatitis")
    assert len(figure.axes) == 2
