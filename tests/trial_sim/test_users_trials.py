"""Strata in the outcome model, arms without events, skipped visits, looks beyond the follow-up."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.outcomes.times.cox import fit_cox
from trial_sim.outcomes.times.survival_families import FAMILIES


def stratified_trial(n=600):
    """Log hazard ratio .7 of stratum "high", and treatment that works there only."""
    rng = np.random.default_rng(0)
    arm, high = rng.permutation(n) % 2, rng.integers(0, 2, n)
    death = rng.exponential(20 * np.exp(-0.7 * high + 0.8 * arm * high))
    table = pd.DataFrame({
        "arm": np.where(arm, "B", "A"), "age": rng.normal(60, 9, n).round(),
        "risk": np.where(high, "high", "low"), "t": np.minimum(death, 24), "d": death <= 24,
    }).astype({"d": int})  # fmt: skip
    return ts.Trial(table, "arm", {"e": ts.TimeToEvent("t", "d")}, ["age"], strata=["risk"])


def stratum_effects(table):
    high, arm = (table["risk"] == "high").to_numpy(float), (table["arm"] == "B").to_numpy(float)
    x = np.column_stack([arm, high, arm * high])
    return fit_cox(table["t"].to_numpy(), table["d"].to_numpy(), x).coefficients


@pytest.mark.parametrize("model", ["cox_by_arm", "weibull"])
def test_strata_are_in_the_outcome_model_and_may_modify_the_effect(model):
    trial = stratified_trial()
    fitted = ts.fit(trial, "e", model=model, covariate_model="bootstrap", treatment_by=["risk"])
    made = fitted.sample_trial({"A": 5000, "B": 5000}, uncertainty=False).patients
    real, synthetic = stratum_effects(trial.patients), stratum_effects(made)
    assert np.abs(real - synthetic).max() < 0.15  # errors of the real ones: .13 to .19
    plain = ts.fit(trial, "e", model=model, covariate_model="bootstrap")
    made = plain.sample_trial({"A": 5000, "B": 5000}, uncertainty=False).patients
    assert abs(stratum_effects(made)[2]) < 0.12  # unless told, the effect is the same for all


def test_what_cannot_modify_the_effect_is_refused():
    trial = stratified_trial()
    constant = trial.patients.assign(same="x")
    other = dataclasses.replace(trial, patients=constant, covariates=["age", "same"])
    with pytest.raises(ValueError, match="treatment_by names 'same', which has no term"):
        ts.fit(other, "e", model="cox", treatment_by=["same"])
    with pytest.raises(ValueError, match="so that treatment_by cannot be kept"):
        ts.fit(trial, "e", epsilon=3.0, treatment_by=["risk"])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("events", [0, 2])
def test_an_arm_with_no_or_few_events_keeps_them_few(family, events):
    rng = np.random.default_rng(1)
    n = 200
    arm = rng.permutation(n) % 2
    death, end = rng.exponential(20, n), rng.uniform(12, 24, n)
    dead = death <= end
    dead[np.flatnonzero(dead & (arm == 1))[events:]] = False
    time = np.where(dead, death, end)
    table = pd.DataFrame({"arm": np.where(arm, "B", "A"), "age": rng.normal(60, 9, n), "t": time,
                          "d": dead.astype(int)})  # fmt: skip
    trial = ts.Trial(table, "arm", {"e": ts.TimeToEvent("t", "d")}, ["age"])
    fitted = ts.fit(trial, "e", model=family, covariate_model="bootstrap")
    big = {"A": 3000, "B": 3000}
    plug = fitted.sample_trial(big, uncertainty=False).patients.groupby("arm")
    real = table.groupby("arm")
    assert (plug["d"].mean() - real["d"].mean()).abs().max() < 0.05
    assert (plug["t"].mean() - real["t"].mean()).abs().max() < 1.0
    drawn = [fitted.sample_trial(seed=k).patients.groupby("arm")["d"].mean() for k in range(12)]
    assert max(d["B"] for d in drawn) < 0.15
    if not events:
        assert plug["d"].mean()["B"] == 0
        half = fitted.sample_arm("B", 3000, uncertainty=False, hazard_ratio=0.5)
        assert 0.1 < half["d"].mean() < table[table["arm"] == "A"]["d"].mean()


@pytest.mark.parametrize("cured", [0.0, 0.4])
def test_draws_of_a_cured_share_are_centred_on_the_data(cured):
    """Where nobody is cured the share is bounded on one side; a normal law lost a fifth of the
    events."""
    rng = np.random.default_rng(3)
    n = 300
    arm = rng.permutation(n) % 2
    death = np.where(rng.random(n) < cured, np.inf, rng.exponential(np.where(arm, 30, 20)))
    end = np.minimum(rng.exponential(60, n), 36)
    table = pd.DataFrame({"arm": np.where(arm, "B", "A"), "t": np.minimum(death, end),
                          "d": (death <= end).astype(int)})  # fmt: skip
    trial = ts.Trial(table, "arm", {"e": ts.TimeToEvent("t", "d")})
    fitted = ts.fit(trial, "e", model="mixture_cure")
    drawn = [fitted.sample_trial(seed=k).patients.groupby("arm")["d"].mean() for k in range(60)]
    share, real = pd.DataFrame(drawn), table.groupby("arm")["d"].mean()
    error = np.sqrt(real * (1 - real) / (n / 2))
    assert ((share.mean() - real).abs() < 0.6 * error).all()
    # of a trial given an estimate from a trial: two sampling errors, of one size
    assert (share.std() / error / 2**0.5).between(0.75, 1.3).all()


def test_skipped_visits_add_nothing_to_drop_out():
    rng = np.random.default_rng(2)
    n, names = 1000, [f"v{k}" for k in range(5)]
    arm = rng.permutation(n) % 2
    y = (20 + rng.normal(0, 2, n)[:, None] + rng.normal(0, 1, (n, 5))).round(1)
    leaves = np.where(rng.random(n) < 0.2, rng.integers(1, 5, n), 5)
    y[np.arange(5) >= leaves[:, None]] = np.nan
    y[rng.random((n, 5)) < np.where(arm, 0.12, 0.04)[:, None]] = np.nan
    table = pd.DataFrame(y, columns=names).assign(arm=np.where(arm, "B", "A"))
    trial = ts.Trial(table, "arm", {"e": ts.Longitudinal(names)})
    fitted = ts.fit(trial, "e", model="mmrm_unstructured", covariate_model="bootstrap")
    made = fitted.sample_trial({"A": 6000, "B": 6000}, uncertainty=False).patients
    real, synthetic = (t[names].isna().groupby(t["arm"]).mean() for t in (table, made))
    assert (real - synthetic).abs().to_numpy().max() < 0.025  # errors of the real ones: to .02
    assert (real - synthetic).abs().mean().mean() < 0.012


def test_rmst_and_milestone_beyond_the_follow_up():
    design = ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=200, accrual=ts.Accrual(rate=25.0),
        looks=ts.CalendarLooks([24]), test=("rmst", 12),
    )  # fmt: skip
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ts.simulate(design, outcomes, n_trials=50, seed=1).power > 0.1
    for test in ("rmst", "milestone"):
        beyond = dataclasses.replace(design, test=(test, 36))
        with pytest.raises(ValueError, match="at 36 months lies beyond the follow-up"):
            ts.simulate(beyond, outcomes, n_trials=50, seed=1)
        late = dataclasses.replace(design, test=(test, 23.9))
        with pytest.warns(UserWarning, match="cannot be estimated"):
            ts.simulate(late, outcomes, n_trials=50, seed=1)


def test_looks_beyond_the_fitted_horizon_warn_in_both_units():
    fitted = ts.fit(ts.load_trial("colon"), "death", model="cox", covariate_model="bootstrap")
    outcomes = fitted.outcomes(control="Obs", treatment="Lev+5FU")
    assert "times in months, fitted in days, followed for 111.7 months" in repr(outcomes)
    design = ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=100, accrual=ts.Accrual(rate=20.0),
        looks=ts.CalendarLooks([80.0]), test="logrank",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ts.simulate(design, outcomes, n_trials=5, seed=1)
    days = dataclasses.replace(design, looks=ts.CalendarLooks([2400.0]))
    with pytest.warns(UserWarning, match=r"month 2400.0, .* 111.7 months \(3400 days\)"):
        ts.simulate(days, outcomes, n_trials=5, seed=1)
