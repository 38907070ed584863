"""One synthetic arm audited as an external control; folds of whole sites; effects kept or lost."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import trial_sim as ts
from trial_sim.auditing.fidelity.effects import contrast_measures
from trial_sim.auditing.one_arm import MEASURE
from trial_sim.auditing.utility.refits import allot_whole
from trial_sim.statistics.arm_differences import Contrast, log_hazard_ratio


@pytest.fixture(scope="module")
def veteran():
    return ts.load_trial("veteran")


@pytest.fixture(scope="module")
def fitted(veteran):
    return ts.fit(veteran, "death", model="cox", covariate_model="copula", seed=0)


def test_a_table_of_one_arm_is_audited_against_that_arm_alone(veteran, fitted):
    control, treated = veteran.arms
    table = fitted.sample_arm(control, 60, seed=3)
    report = ts.audit(veteran, table, endpoint="death", seed=0, arm=control)
    n = int((veteran.patients[veteran.arm] == control).sum())
    assert (report.about["n_real"], report.about["n_synthetic"]) == (n, 60)
    # the effect against the synthetic arm, by hand
    real = veteran.patients[veteran.patients[veteran.arm] == treated]
    both = pd.concat([table, real])
    name = veteran.endpoint("death")
    arm = (both[veteran.arm] == treated).to_numpy()
    time, event = both[name.duration].to_numpy(float), both[name.event].to_numpy() > 0
    mixed, _ = log_hazard_ratio(time, event, arm)
    every = veteran.patients
    arm = (every[veteran.arm] == treated).to_numpy()
    whole, error = log_hazard_ratio(
        every[name.duration].to_numpy(float), every[name.event].to_numpy() > 0, arm
    )
    line = report.effects[report.effects["measure"] == MEASURE].iloc[0]
    assert line["estimate"] == pytest.approx((mixed - whole) / error, abs=1e-6)
    assert line["lower"] < line["estimate"] < line["upper"] and line["red"] > line["threshold"]


def test_a_synthetic_control_that_lives_too_long_is_red(veteran, fitted):
    control = veteran.arms[0]
    table = fitted.sample_arm(control, 200, seed=3)
    table["time"] *= 4
    report = ts.audit(veteran, table, endpoint="death", seed=0, arm=control)
    assert MEASURE in set(report.failures["measure"])
    honest = ts.audit(veteran, fitted.sample_trial(seed=4), endpoint="death", seed=0, arm=control)
    assert MEASURE not in set(honest.failures["measure"])


def test_a_fitted_arm_is_attacked_by_refits_without_its_patients(veteran, fitted):
    options = {"n_folds": 2, "n_repeats": 1, "n_trials": 0, "n_null": 0}
    report = fitted.audit(seed=0, arm=veteran.arms[0], **options)
    assert report.attacked.startswith("Attacked: the synthetic table, tables of 2 refits")
    attacked = report.privacy[report.privacy["measure"] == "membership inference AUC"]
    assert (attacked["verdict"] != "grey").any()
    assert MEASURE in set(report.effects["measure"])


def test_folds_keep_sites_together(veteran, fitted):
    rng = np.random.default_rng(0)
    site = rng.integers(0, 11, 300).astype(str)
    part = allot_whole(site, 4, rng)
    assert pd.Series(part).groupby(site).nunique().max() == 1
    assert (
        np.bincount(part, minlength=4).min()
        >= 300 / 4 - np.unique(site, return_counts=True)[1].max()
    )
    with pytest.raises(ValueError, match="4 of them or more; there are 2"):
        allot_whole(np.array(["a", "b"]), 4, rng)
    options = {"n_folds": 2, "n_repeats": 1, "n_trials": 0, "n_null": 0}
    report = fitted.audit(seed=0, folds_by="celltype", **options)
    assert any("whole levels of 'celltype'" in note for note in report.about["notes"])
    with pytest.raises(ValueError, match=r"folds_by names 'cell', .*celltype"):
        fitted.audit(seed=0, folds_by="cell", **options)


def test_an_arm_that_the_trial_lacks_is_refused(veteran, fitted):
    with pytest.raises(ValueError, match=r"no arm 'placebo'"):
        ts.audit(veteran, fitted.sample_trial(seed=1), arm="placebo")
    cohort = replace(veteran, arm=None, arms=())
    with pytest.raises(ValueError, match="cohort without arms"):
        ts.audit(cohort, cohort, arm="test")


@pytest.mark.parametrize("z", [3.1, 7.0])
@pytest.mark.parametrize("honest", [1.0, 2**0.5])  # drawn at the estimates, or as fresh patients
def test_a_lost_effect_is_no_pass_and_an_honest_one_no_failure(z, honest):
    """Without effect at most one in twenty is green, with it at most one in forty is red."""
    rng, n = np.random.default_rng(5), 800
    said = {"removed": [], "kept": []}
    for _ in range(n):
        for what, estimate in (
            ("removed", rng.standard_normal()),
            ("kept", z + honest * rng.standard_normal()),
        ):
            lines = contrast_measures(Contrast(z, 1.0), Contrast(estimate, 1.0), "e: b v a, x")
            of = {m.measure: m for m in lines}
            red = of["effect lost"].verdict == "red"
            assert red != ("effect shown" in of)
            said[what].append("red" if red else of["effect shown"].verdict)
    removed, kept = (pd.Series(said[k]).value_counts(normalize=True) for k in said)
    slack = 3 * (0.05 * 0.95 / n) ** 0.5
    assert removed.get("green", 0.0) <= 0.05 + slack
    assert kept.get("red", 0.0) <= 0.025 + slack
    right = stats.norm.cdf(1.96 * 2**0.5 - z)  # by hand: not red without effect
    assert 1 - removed.get("red", 0.0) == pytest.approx(right, abs=0.06)
    if z == 7.0:
        assert kept["green"] > 0.95 and removed["red"] > 0.99
