"""Curves and contrasts of the audit against lifelines and statsmodels, on real trials."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from lifelines import AalenJohansenFitter, CoxPHFitter, KaplanMeierFitter
from statsmodels.miscmodels.ordinal_model import OrderedModel

import trial_sim as ts
from trial_sim.auditing.compared import curves
from trial_sim.auditing.compared.paired_outcomes import effects, read_outcome
from trial_sim.outcomes.times.cox import ridge_cox
from trial_sim.statistics import arm_differences as contrasts


def test_survival_is_kaplan_meier():
    table = ts.load_trial("veteran").patients
    outcome = read_outcome(ts.load_trial("veteran"), "death")
    t, d = outcome.data["duration"], outcome.data["event"]
    grid = np.linspace(0, 600, 61)
    expected = KaplanMeierFitter().fit(t, d).survival_function_at_times(grid).to_numpy()
    found = curves.survival(t, d, grid, curves.unit_weights(len(table)))[0]
    assert found == pytest.approx(expected, abs=1e-12)


def test_cumulative_incidence_is_aalen_johansen():
    trial = ts.load_trial("mgus2")
    outcome = read_outcome(trial, "progression")
    t, cause = outcome.data["duration"], outcome.data["cause"]
    # lifelines jitters ties at random: compare on times made distinct beforehand
    t = t + np.random.default_rng(0).permutation(len(t)) * 1e-7
    grid = np.linspace(1, 300, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = AalenJohansenFitter(calculate_variance=False).fit(t, cause, event_of_interest=1)
    table = fit.cumulative_density_
    index = np.searchsorted(table.index.to_numpy(), grid, side="right") - 1
    found = curves.cumulative_incidence(t, cause, 1, grid, curves.unit_weights(len(t)))[0]
    assert found == pytest.approx(table.to_numpy()[index, 0], abs=1e-9)


def test_cumulative_incidence_of_the_bmt_trial_is_the_published_one():
    """AML low risk: 4/54, 7/54, 8/54, 9/54 at 1, 1.5, 2, 3 years (CAMIS, survival_cif)."""
    outcome = read_outcome(ts.load_trial("bmt"), "relapse")
    part = outcome.rows(outcome.arm == "AML low risk")
    unit = 365.25 if part.data["duration"].max() > 100 else 1.0
    grid = np.array([1, 1.5, 2, 3]) * unit
    found = curves.cumulative_incidence(
        part.data["duration"], part.data["cause"], 1, grid, curves.unit_weights(len(part))
    )[0]
    assert found == pytest.approx(np.array([4, 7, 8, 9]) / 54, abs=1e-4)


def test_mean_cumulative_count_by_hand():
    """Three patients, all at risk to 3, 2 and 1; events at 1 (of three) and 2 (of two)."""
    patient = np.array([0, 0, 1, 1, 2])
    start = np.array([0.0, 1, 0, 2, 0])
    stop = np.array([1.0, 3, 2, 2.5, 1])
    event = np.array([True, False, True, False, False])
    found = curves.mean_cumulative_count(
        patient, start, stop, event, np.array([0.5, 1, 1.5, 2, 3]), curves.unit_weights(3)
    )[0]
    assert found == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3 + 1 / 2, 1 / 3 + 1 / 2])


@pytest.mark.parametrize("name", ["survival", "incidence", "distribution", "count"])
def test_whole_weights_are_repeated_patients(name):
    rng = np.random.default_rng(3)
    n = 30
    t, cause = rng.integers(1, 9, n).astype(float), rng.integers(0, 3, n)
    times = rng.integers(1, 4, n)
    repeated = np.repeat(np.arange(n), times)
    grid, w, one = np.arange(10.0), times[None, :].astype(float), curves.unit_weights
    if name == "survival":
        weighted = curves.survival(t, cause == 1, grid, w)
        plain = curves.survival(t[repeated], cause[repeated] == 1, grid, one(len(repeated)))
    elif name == "incidence":
        weighted = curves.cumulative_incidence(t, cause, 2, grid, w)
        plain = curves.cumulative_incidence(
            t[repeated], cause[repeated], 2, grid, one(len(repeated))
        )
    elif name == "distribution":
        weighted = curves.distribution(t, grid, w)
        plain = curves.distribution(t[repeated], grid, one(len(repeated)))
    else:
        weighted = curves.mean_cumulative_count(np.arange(n), t * 0, t, cause == 1, grid, w)
        plain = curves.mean_cumulative_count(
            np.arange(len(repeated)),
            t[repeated] * 0,
            t[repeated],
            cause[repeated] == 1,
            grid,
            one(len(repeated)),
        )
    assert weighted == pytest.approx(plain)


def test_band_is_exceeded_by_an_honest_sample_once_in_twenty():
    rng = np.random.default_rng(5)
    grid = np.linspace(0, 1.5, 30)

    def draw(n):
        t, c = rng.exponential(1, n), rng.exponential(2, n)
        time, event = np.minimum(t, c), t <= c
        return lambda w: curves.survival(time, event, grid, w)

    over = [
        curves.largest_gap(draw(80), draw(120), 80, 120, rng, 150).ratio > 1 for _ in range(150)
    ]
    assert 0.01 <= np.mean(over) <= 0.11


def test_log_hazard_ratio_is_lifelines_with_ties():
    for name, endpoint in (("colon", "death"), ("gehan", "relapse"), ("veteran", "death")):
        trial = ts.load_trial(name)
        outcome = read_outcome(trial, endpoint)
        control, treated = str(trial.arms[0]), str(trial.arms[-1])
        part = outcome.rows((outcome.arm == control) | (outcome.arm == treated))
        frame = pd.DataFrame(
            {
                "t": part.data["duration"],
                "d": part.data["event"].astype(int),
                "x": (part.arm == treated).astype(float),
            }
        )
        fit = CoxPHFitter().fit(frame, "t", "d")
        found = effects(outcome, control, treated)["log hazard ratio"]
        # lifelines stops early: veteran is .01774 in R survival, ours, and .01770 in lifelines
        assert found.estimate == pytest.approx(fit.params_["x"], abs=1e-4)
        assert found.error == pytest.approx(fit.standard_errors_["x"], abs=1e-5)


def test_the_effect_of_colon_is_the_published_one():
    found = effects(read_outcome(ts.load_trial("colon"), "death"), "Obs", "Lev+5FU")
    assert found["log hazard ratio"].estimate == pytest.approx(-0.3724, abs=5e-4)


def test_log_cumulative_odds_ratio_is_statsmodels():
    outcome = read_outcome(ts.load_trial("arthritis"), "improved")
    x = (outcome.arm == "Treated").astype(float)
    fit = OrderedModel(outcome.data["value"].astype(int), x[:, None], distr="logit").fit(
        method="bfgs", disp=False
    )
    found = contrasts.log_cumulative_odds_ratio(outcome.data["value"], x > 0)
    assert found.estimate == pytest.approx(fit.params[0], abs=1e-3)
    assert found.error == pytest.approx(fit.bse[0], rel=0.02)


def test_log_odds_ratio_is_logistic_regression():
    outcome = read_outcome(ts.load_trial("indo_rct"), "pancreatitis")
    x = (outcome.arm == "indomethacin").astype(float)
    fit = sm.Logit(outcome.data["value"], sm.add_constant(x)).fit(disp=False)
    found = effects(outcome, "placebo", "indomethacin")["log odds ratio"]
    assert (found.estimate, found.error) == pytest.approx((fit.params[1], fit.bse[1]), abs=1e-6)


def test_log_odds_ratio_over_visits_is_gee_with_independence():
    trial = ts.load_trial("respiratory")
    outcome = read_outcome(trial, "good")
    long = pd.DataFrame(outcome.data["values"]).assign(arm=outcome.arm)
    long = long.melt(id_vars="arm", ignore_index=False).reset_index().dropna()
    x = sm.add_constant((long["arm"] == "treatment").astype(float))
    gee = sm.GEE(long["value"], x, groups=long["index"], family=sm.families.Binomial())
    fit = gee.fit()
    found = effects(outcome, "placebo", "treatment")["log odds ratio over visits"]
    assert (found.estimate, found.error) == pytest.approx(
        (fit.params.iloc[1], fit.bse.iloc[1]), abs=1e-4
    )


def test_log_rate_ratio_is_poisson_regression_with_robust_errors():
    outcome = read_outcome(ts.load_trial("epil"), "seizures")
    x = (outcome.arm == "progabide").astype(float)
    model = sm.GLM(
        outcome.data["value"],
        sm.add_constant(x),
        family=sm.families.Poisson(),
        offset=np.log(outcome.data["exposure"]),
    )
    fit = model.fit(cov_type="HC0")
    found = effects(outcome, "placebo", "progabide")["log rate ratio"]
    assert found.estimate == pytest.approx(fit.params[1], abs=1e-8)
    assert found.error == pytest.approx(fit.bse[1], rel=0.03)  # ours has n / (n - 1)


def test_mean_difference_is_ancova():
    outcome = read_outcome(ts.load_trial("btheb"), "bdi_2m")
    y, b = outcome.data["value"], outcome.data["baseline"]
    x = (outcome.arm == "BtheB").astype(float)
    seen = np.isfinite(y) & np.isfinite(b)
    fit = sm.OLS(y[seen], sm.add_constant(np.column_stack([x, b])[seen])).fit()
    found = effects(outcome, "TAU", "BtheB")["mean difference"]
    assert (found.estimate, found.error) == pytest.approx((fit.params[1], fit.bse[1]), abs=1e-8)


def test_contrasts_that_cannot_be_estimated_are_nan():
    t, x = np.arange(1.0, 11), np.arange(10) < 5
    assert np.isnan(contrasts.log_hazard_ratio(t, x, x).estimate)  # events in one arm only
    assert np.isnan(contrasts.log_hazard_ratio(t, np.ones(10, bool), x).estimate)  # separated
    assert np.isnan(contrasts.log_cumulative_odds_ratio(np.ones(10), x).estimate)
    assert np.isnan(contrasts.log_rate_ratio(x * 1.0, np.ones(10), x).estimate)
    assert np.isnan(contrasts.mean_difference(np.full(10, np.nan), x).estimate)


def test_log_odds_ratio_of_an_empty_cell_takes_haldanes_half():
    x = np.arange(40) < 20
    found = contrasts.log_odds_ratio((x & (np.arange(40) < 5)) * 1.0, np.ones(40), x)
    # treated 5 of 20, control 0 of 20 with half a success and half a failure added
    assert found.estimate == pytest.approx(np.log(5 / 15) - np.log(0.5 / 20.5))


def test_ridge_cox_is_lifelines_without_a_penalty():
    trial = ts.load_trial("veteran")
    frame = trial.patients[["karno", "age"]].astype(float)
    outcome = read_outcome(trial, "death")
    # distinct times: lifelines takes Efron's ties, the ridge fit Breslow's
    t = outcome.data["duration"] + np.arange(len(frame)) * 1e-6
    fit = CoxPHFitter().fit(frame.assign(t=t, d=outcome.data["event"].astype(int)), "t", "d")
    x = frame.to_numpy() - frame.to_numpy().mean(axis=0)
    beta, inverse = ridge_cox(x, t, outcome.data["event"], penalty=1e-9)
    assert beta == pytest.approx(fit.params_.to_numpy(), abs=1e-5)
    assert np.sqrt(np.diag(inverse)) == pytest.approx(fit.standard_errors_.to_numpy(), rel=1e-3)


def test_rows_of_recurrent_events_keep_their_intervals():
    outcome = read_outcome(ts.load_trial("bladder"), "recurrence")
    index = np.array([5, 3, 5])
    part = outcome.rows(index)
    assert part.data["events"] == pytest.approx(outcome.data["events"][index])
    counted = np.bincount(part.intervals["patient"], weights=part.intervals["event"], minlength=3)
    assert counted == pytest.approx(outcome.data["events"][index])
