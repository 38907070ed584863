"""Outcome models against lifelines, statsmodels, published values and closed forms."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trial_sim as ts
from trial_sim.covariates.encoding import encode
from trial_sim.outcomes.dropout import FittedDropout
from trial_sim.outcomes.glm import binomial_intercept, fit_glm, negative_binomial_size
from trial_sim.outcomes.hazard_grid import (
    HazardGrid,
    choose_knots,
    conditional_hazards,
    invert,
    resolution_of,
    survival_on,
)
from trial_sim.outcomes.linear import RIDGE
from trial_sim.outcomes.responses.mmrm import fit_mmrm
from trial_sim.outcomes.responses.ordinal import fit_proportional_odds
from trial_sim.outcomes.responses.visits import wishart
from trial_sim.outcomes.responses.visits_copula import binary_pair
from trial_sim.outcomes.times.cause_hazards import shared_shape
from trial_sim.outcomes.times.cox import fit_cox
from trial_sim.outcomes.times.parametric_likelihood import maximise
from trial_sim.outcomes.times.recurrent import kept_apart, spaced


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def test_cox_matches_lifelines_with_strata_and_breslow_ties():
    from lifelines import CoxPHFitter

    frame = ts.load_trial("colon").patients[["age", "node4", "extent", "death_time", "death", "rx"]]
    frame = frame.assign(rx=frame["rx"].astype("category").cat.codes)
    frame["death_time"] += np.linspace(0, 0.5, len(frame))  # no ties: Efron and Breslow agree
    theirs = CoxPHFitter().fit(frame, "death_time", "death", strata=["rx"])
    x = frame[["age", "node4", "extent"]].to_numpy(dtype=float)
    ours = fit_cox(
        frame["death_time"].to_numpy(), frame["death"].to_numpy(), x, frame["rx"].to_numpy()
    )
    assert np.allclose(ours.coefficients, theirs.params_, atol=1e-4)
    assert np.allclose(np.sqrt(np.diag(ours.covariance)), theirs.standard_errors_, rtol=1e-3)


def test_shrunk_covariates_match_lifelines():
    from lifelines import CoxPHFitter

    fitted = ts.fit(
        ts.load_trial("veteran"), "death", model="cox_by_arm", covariate_model="cart",
        treatment_by=["karno"],
    )  # fmt: skip
    part, record, table = fitted.outcome_model.linear, fitted.endpoint, fitted.real.patients
    arm = table["trt"].astype("category").cat.codes.to_numpy().astype(int)
    x = part.design(encode(table, fitted.covariate_model.columns), arm)
    time = table[record.duration].to_numpy(float) + np.linspace(0, 1e-3, len(table))  # no ties
    event = table[record.event].to_numpy()
    frame = pd.DataFrame(x).assign(t=time, d=event, arm=arm)
    per_row = RIDGE / len(x) / x.std(axis=0, ddof=1) ** 2  # lifelines divides by n and scales x
    theirs = CoxPHFitter(penalizer=per_row).fit(frame, "t", "d", strata=["arm"]).params_
    ours = fit_cox(time, event, x, arm, RIDGE).coefficients
    assert ours == pytest.approx(theirs.to_numpy(), abs=1e-4)
    assert part.coefficients[0] == pytest.approx(ours, abs=0.02)  # by Breslow's ties


def test_andersen_gill_matches_r_survival_on_bladder():
    rows = ts.load_trial("bladder").patients
    x = np.column_stack([rows["rx"] == "thiotepa", rows["number"], rows["size"]]).astype(float)
    ours = fit_cox(
        rows["stop"].to_numpy(float),
        rows["event"].to_numpy(),
        x,
        entry=rows["start"].to_numpy(float),
    )
    # R survival, Breslow ties, bladder2: rx -.45979 (.19996), number .17164, size -.04256
    assert ours.coefficients == pytest.approx([-0.45979, 0.17164, -0.04256], abs=1e-4)
    assert ours.covariance[0, 0] ** 0.5 == pytest.approx(0.19996, abs=1e-4)


def test_glm_matches_statsmodels():
    import statsmodels.api as sm

    epil = ts.load_trial("epil").patients
    long = epil.melt(
        ["id", "trt", "base", "age"], [f"seizures_{k}" for k in range(1, 5)], "visit", "y"
    )
    lbase = np.log(long["base"] / 4) - np.log(epil["base"] / 4).mean()
    lage = np.log(long["age"]) - np.log(epil["age"]).mean()
    x = np.column_stack(
        [np.ones(len(long)), long["trt"] == "progabide", lbase, lage, long["visit"] == "seizures_4"]
    ).astype(float)
    y = long["y"].to_numpy(dtype=float)
    ours = fit_glm(y, x, "poisson")
    assert ours.coefficients[1:] == pytest.approx(
        [-0.016853944, 1.224222019, 0.578824308, -0.159769601], abs=1e-4
    )
    theirs = sm.GLM(y, x, family=sm.families.Poisson()).fit()
    assert np.allclose(np.sqrt(np.diag(ours.covariance)), theirs.bse, rtol=1e-4)
    z = (y > 5).astype(float)
    logit = sm.GLM(z, x, family=sm.families.Binomial()).fit()
    assert np.allclose(fit_glm(z, x, "binomial").coefficients, logit.params, atol=1e-4)


def test_proportional_odds_matches_polr_on_arthritis():
    frame = ts.load_trial("arthritis").patients
    codes = frame["improved"].map({"None": 0, "Some": 1, "Marked": 2}).to_numpy()
    x = np.column_stack(
        [frame["sex"] == "Male", frame["treatment"] == "Treated", frame["age"]]
    ).astype(float)
    cuts, beta, covariance = fit_proportional_odds(codes, x, 3)
    # MASS::polr(Improved ~ Sex + Treatment + Age): -1.25168 (.54636), 1.74529 (.47589), .03816
    assert beta == pytest.approx([-1.25168, 1.74529, 0.03816], abs=2e-4)
    assert np.sqrt(np.diag(covariance)) == pytest.approx([0.54636, 0.47589, 0.01842], abs=1e-3)
    assert cuts == pytest.approx([2.5319, 3.4309], abs=1e-3)


def test_mmrm_matches_nlme_on_btheb():
    # gls REML, unstructured, bdi ~ bdi.pre + treatment * month: BtheB at 2 months -3.9589 (1.7054).
    # Ours is maximum likelihood with the baseline free by visit: within a tenth of its error.
    frame = ts.load_trial("btheb").patients
    y = frame[["bdi_2m", "bdi_4m", "bdi_6m", "bdi_8m"]].to_numpy(dtype=float)
    x = np.column_stack(
        [np.ones(100), frame["treatment"] == "BtheB", frame["bdi_pre"] - frame["bdi_pre"].mean()]
    ).astype(float)
    seen = ~np.isnan(y).all(axis=1)
    found = fit_mmrm(y[seen], x[seen], np.zeros(3))
    assert found.coefficients[1, 0] == pytest.approx(-3.9589, abs=0.2)
    assert found.covariance[1, 1] ** 0.5 == pytest.approx(1.7054, rel=0.08)


def test_mmrm_without_gaps_is_least_squares():
    g = rng(1)
    x = np.column_stack([np.ones(80), g.normal(size=80)])
    y = x @ np.array([[1.0, 2.0], [0.5, -0.5]]) + g.multivariate_normal(
        [0, 0], [[1, 0.6], [0.6, 2]], 80
    )
    found = fit_mmrm(y, x, np.zeros(2))
    assert np.allclose(found.coefficients, np.linalg.lstsq(x, y, rcond=None)[0], atol=1e-5)


@pytest.mark.parametrize("family", ["weibull", "lognormal", "loglogistic"])
def test_parametric_families_match_lifelines(family):
    from lifelines import LogLogisticAFTFitter, LogNormalAFTFitter, WeibullAFTFitter

    frame = ts.load_trial("colon").patients
    frame = frame[frame["rx"] != "Lev"]
    arm = (frame["rx"] == "Lev+5FU").to_numpy().astype(int)
    t, d = frame["death_time"].to_numpy(float), frame["death"].to_numpy()
    theta, covariance, _ = maximise(family, t, d, arm, 2, np.zeros((len(t), 0)), np.zeros(5))
    kind = {
        "weibull": WeibullAFTFitter,
        "lognormal": LogNormalAFTFitter,
        "loglogistic": LogLogisticAFTFitter,
    }[family]()
    theirs = kind.fit(pd.DataFrame({"t": t, "d": d, "x": arm}), "t", "d")
    level, shape = theirs.params_.index.levels[0][0], theirs.params_.index.levels[0][1]
    first = {"weibull": "lambda_", "lognormal": "mu_", "loglogistic": "alpha_"}[family]
    second = level if shape == first else shape
    assert theta[0] == pytest.approx(theirs.params_[first]["Intercept"], abs=5e-3)
    assert theta[1] - theta[0] == pytest.approx(theirs.params_[first]["x"], abs=5e-3)
    sign = 1 if family == "lognormal" else -1
    assert sign * theta[2] == pytest.approx(theirs.params_[second]["Intercept"], abs=5e-3)
    error = (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) ** 0.5
    assert error == pytest.approx(theirs.standard_errors_[first]["x"], rel=0.02)
    if family == "weibull":  # R survreg: treatment .389644716, log scale -.012618636
        assert theta[1] - theta[0] == pytest.approx(0.389644716, abs=2e-3)
        assert theta[2] == pytest.approx(-0.012618636, abs=2e-3)


def test_generalized_gamma_holds_weibull_and_lognormal():
    from trial_sim.outcomes.times.survival_families import cumulative

    log_t, eta, arm = np.linspace(-2, 2, 9), np.zeros(9), np.zeros(9, dtype=int)
    knots = np.zeros(5)
    for q, other in ((1.0, "weibull"), (1e-5, "lognormal")):
        ours = cumulative("generalized_gamma", log_t, eta, np.array([-0.2, q]), arm, knots)
        assert np.allclose(ours, cumulative(other, log_t, eta, np.array([-0.2]), arm, knots), 1e-4)


def test_grid_survival_follows_kaplan_meier():
    from lifelines import KaplanMeierFitter

    frame = ts.load_trial("colon").patients
    t, d = frame["death_time"].to_numpy(float), frame["death"].to_numpy()
    knots = choose_knots(t, d, 1.0)
    grid = HazardGrid.build(t, d, np.zeros(len(t), int), 1, 1, knots)
    ours = survival_on(knots, grid.hazards()[0, :, 0], knots[:-1])
    theirs = KaplanMeierFitter().fit(t, d).predict(knots[:-1]).to_numpy()
    assert np.abs(ours - theirs)[:-1].max() < 0.004
    # in the last interval few are left (standard error of Kaplan-Meier there .02)
    assert np.abs(ours - theirs)[-1] < 0.02


@given(st.integers(0, 500), st.floats(0.1, 1.2), st.integers(1, 2))
@settings(max_examples=20, deadline=None)
def test_conditional_hazards_give_the_margin_back(seed, spread, causes):
    g = rng(seed)
    marginal = g.uniform(0, 0.3, (2, 12, causes))
    widths = g.uniform(0.2, 1, 12)
    risks = np.exp(g.normal(0, spread, (2, 300, causes)))
    found = conditional_hazards(marginal, widths, risks)
    # forward integration in fine steps, independent of the kernel
    for a in range(2):
        total = np.zeros(300)
        for k in range(12):
            alive_before = np.exp(-total).mean()
            total = total + widths[k] * risks[a] @ found[a, k]
            ratio = np.exp(-total).mean() / alive_before
            assert ratio == pytest.approx(np.exp(-widths[k] * marginal[a, k].sum()), abs=0.006)


@given(st.integers(0, 500))
@settings(max_examples=20, deadline=None)
def test_inversion_undoes_the_cumulative_hazard(seed):
    g = rng(seed)
    knots = np.r_[0, np.cumsum(g.uniform(0.1, 2, 6))]
    hazards = g.uniform(0, 1, (2, 6)) * (g.random((2, 6)) > 0.2)
    e, arm = g.exponential(1, 50), g.integers(0, 2, 50)
    t = invert(e, arm, knots, hazards)
    for i in np.flatnonzero(np.isfinite(t)):
        assert -np.log(survival_on(knots, hazards[arm[i]], t[i])) == pytest.approx(e[i], abs=1e-9)
    total = (hazards * np.diff(knots)).sum(axis=1)
    assert (np.isinf(t) == (e > total[arm])).all()


def test_shared_shape_is_the_poisson_fit():
    import statsmodels.api as sm

    g = rng(3)
    exposure = g.uniform(5, 50, (2, 6))
    counts = g.poisson(exposure * np.array([[1.0], [0.5]]) * 0.3).astype(float)
    found = shared_shape(counts, exposure)
    x = np.column_stack([np.tile(np.eye(6), (2, 1)), np.repeat([0, 1], 6)])
    fit = sm.GLM(
        counts.ravel(), x, family=sm.families.Poisson(), offset=np.log(exposure.ravel())
    ).fit()
    assert np.log(found[1, 0] / found[0, 0]) == pytest.approx(fit.params[-1], abs=1e-6)


@given(st.lists(st.floats(0.02, 0.98), min_size=1, max_size=4), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_binomial_intercept_gives_the_rate_back(targets, seed):
    eta = rng(seed).normal(0, 1.5, (len(targets), 200))
    found = binomial_intercept(np.array(targets), eta)
    assert np.allclose((1 / (1 + np.exp(-(found[:, None] + eta)))).mean(axis=1), targets, atol=1e-6)


def test_negative_binomial_size_is_found():
    g = rng(4)
    mean = np.full(20_000, 4.0)
    y = g.poisson(mean * g.standard_gamma(1.7, 20_000) / 1.7)
    size, error = negative_binomial_size(y, mean)
    assert size == pytest.approx(1.7, rel=0.06)
    assert abs(np.log(size / 1.7)) < 3 * error
    assert negative_binomial_size(g.poisson(mean).astype(float), mean)[0] > 100


def test_the_error_of_a_size_is_its_spread_over_samples():
    g, mean = rng(14), np.full(300, 3.0)
    found = np.array(
        [
            negative_binomial_size(g.poisson(mean * g.standard_gamma(1.5, 300) / 1.5) * 1.0, mean)
            for _ in range(150)
        ]
    )
    assert found[:, 1].mean() == pytest.approx(np.log(found[:, 0]).std(), rel=0.2)


def test_a_drawn_covariance_spreads_as_an_estimated_one():
    g, rho, degrees = rng(15), 0.6, 80
    drawn = np.array(
        [wishart(np.array([[4.0, 2 * rho], [2 * rho, 1.0]]), degrees, g) for _ in range(2000)]
    )
    assert drawn.mean(axis=0) == pytest.approx(np.array([[4, 1.2], [1.2, 1]]), rel=0.03)
    assert drawn[:, 0, 0].std() == pytest.approx(4 * (2 / degrees) ** 0.5, rel=0.07)
    fisher = np.arctanh(drawn[:, 0, 1] / np.sqrt(drawn[:, 0, 0] * drawn[:, 1, 1]))
    assert fisher.std() == pytest.approx((degrees - 2) ** -0.5, rel=0.07)  # no mean to estimate


@pytest.mark.parametrize("gone", [0.25, 0.0])
def test_drawn_drop_out_spreads_as_its_share_of_patients(gone):
    g, n, visits = rng(16), 120, 4
    arm = np.arange(n) % 2
    y = g.normal(size=(n, visits))
    lost = g.random(n) < gone
    first = np.where(lost, g.integers(1, visits, n), visits)
    y[np.arange(visits) >= first[:, None]] = np.nan
    features = g.normal(size=(n, 2))
    model = FittedDropout.fit(y, arm, features, 2)
    many = 4000
    arms, full = np.arange(many) % 2, g.normal(size=(many, visits))
    x = g.normal(size=(many, 2))

    def share(parameters):
        made = model.apply(full, arms, x, rng(17), parameters)
        return np.isnan(made[arms == 0, -1]).mean()

    real = np.isnan(y[arm == 0, -1]).mean()
    assert share(model.draw(None)) == pytest.approx(real, abs=0.02)
    spread = np.std([share(model.draw(g)) for _ in range(200)])
    assert spread == pytest.approx((real * (1 - real) / (n / 2)) ** 0.5, rel=0.25, abs=1e-9)


def test_binary_pair_recovers_the_latent_correlation():
    g = rng(5)
    z = g.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 40_000)
    p = np.tile([0.3, 0.55], (40_000, 1))
    from scipy.stats import norm

    y = (norm.cdf(z) > 1 - p).astype(float)
    assert binary_pair(y, p[:2000]) == pytest.approx(0.6, abs=0.03)


def test_tied_recurrences_move_on():
    who = np.array([0, 0, 0, 1])
    assert spaced(who, np.array([2.0, 2.0, 2.0, 2.0]), 1.0).tolist() == [2, 3, 4, 2]


def test_resolution():
    assert resolution_of(np.array([1.0, 5.0])) == 1.0
    assert resolution_of(np.array([1.5, 5.0])) == 0.5
    assert resolution_of(np.array([np.pi, 5.0])) == 0.0


def test_fine_gray_weights_match_the_published_toy():
    from trial_sim.outcomes.times.fine_gray import fine_gray_rows

    time = np.array([1, 2, 3, 4, 4, 4, 5, 5, 6, 8, 8, 9, 10, 12], dtype=float)
    cause = np.array([1, 2, 0, 1, 0, 0, 2, 1, 0, 0, 2, 0, 1, 0])
    index, _, stop, event, weight = fine_gray_rows(time, cause)
    extra = {(index[k] + 1, stop[k]): weight[k] for k in range(14, len(index))}
    # survival::finegray (Rout.save): id 2: 11/12, 11/15, 11/36; id 7: 5/12; id 11: 1/2
    assert extra[2, 4.0] == pytest.approx(11 / 12) and extra[2, 5.0] == pytest.approx(11 / 15)
    assert extra[2, 10.0] == pytest.approx(11 / 36)
    assert extra[7, 10.0] == pytest.approx(5 / 12) and extra[11, 10.0] == pytest.approx(1 / 2)
    assert len(extra) == 5 and event.sum() == 4


def test_weighted_risk_sets_give_aalen_johansen():
    """The weighted Kaplan-Meier of the rows equals one less the cumulative incidence."""
    from lifelines import AalenJohansenFitter

    from trial_sim.outcomes.times.fine_gray import fine_gray_rows

    frame = ts.load_trial("bmt").patients
    time = frame["time"].to_numpy(float) + np.linspace(0, 0.9, len(frame))  # no ties
    cause = frame["cause"].to_numpy()
    _, entry, stop, _, weight = fine_gray_rows(time, cause)
    times = np.unique(time[cause == 1])
    at_risk = np.array([weight[(entry < t) & (stop >= t)].sum() for t in times])
    weighted = 1 - np.cumprod(1 - 1 / at_risk)
    theirs = AalenJohansenFitter(calculate_variance=False).fit(time, cause, 1)
    assert np.allclose(weighted, theirs.predict(times), atol=1e-6)


def test_incidence_slopes_give_the_incidence_back():
    from trial_sim.outcomes.times.fine_gray import incidence_slopes

    hazards, widths = np.array([[[0.1, 0.2], [0.3, 0.05]]]), np.array([1.0, 2.0])
    first, second = incidence_slopes(hazards, widths)
    f1 = 0.1 / 0.3 * (1 - np.exp(-0.3))
    f2 = 0.2 / 0.3 * (1 - np.exp(-0.3))
    assert 1 - np.exp(-first[0, 0]) == pytest.approx(f1)
    end = f1 + np.exp(-0.3) * 0.3 / 0.35 * (1 - np.exp(-0.7))
    assert (1 - np.exp(-second[0, 0])) * (1 - end) == pytest.approx(f2)


def test_repeated_counts_keep_their_correlation_however_low_they_are():
    from scipy.stats import nbinom, norm

    rng, n = np.random.default_rng(0), 600
    wanted = np.array([[1, 0.7, 0.5], [0.7, 1, 0.7], [0.5, 0.7, 1]])
    uniform = norm.cdf(rng.multivariate_normal(np.zeros(3), wanted, n))
    table = pd.DataFrame(nbinom.ppf(uniform, 1.5, 1.5 / (1.5 + 0.7)), columns=["a", "b", "c"])
    table["arm"] = np.resize(["x", "y"], n)
    trial = ts.Trial(
        table, "arm", {"v": ts.Longitudinal(["a", "b", "c"], family="poisson")}, randomised=True
    )
    found = ts.fit(trial, "v", covariate_model="bootstrap").outcome_model.correlation
    assert np.abs(found - wanted).max() < 0.1


def test_sites_shrink_towards_their_mean_and_not_towards_one_of_them():
    rng, n = np.random.default_rng(1), 400
    site = rng.choice(10, n, p=[0.19, *[0.09] * 9])  # the largest is the extreme one
    time = rng.exponential(np.exp(-1.0 * (site == 0)))
    table = pd.DataFrame({"arm": np.resize(["x", "y"], n), "site": site.astype(str), "t": time})
    trial = ts.Trial(
        table.assign(d=1), "arm", {"e": ts.TimeToEvent("t", "d")}, strata=["site"],
        kinds={"site": "categorical"},
    )  # fmt: skip
    made = ts.fit(trial, "e", model="cox_by_arm", covariate_model="bootstrap")
    big = made.sample_trial({"x": 6000, "y": 6000}, uncertainty=False).patients
    ratio = [np.log(t[t["site"] == "0"]["t"].mean() / t[t["site"] != "0"]["t"].mean())
             for t in (trial.patients, big)]  # fmt: skip
    assert abs(ratio[0] - ratio[1]) < 0.12


def test_events_that_rounding_made_one_stay_apart() -> None:
    """A patient's intervals follow one another, none is empty, others do not move."""
    who = np.array([0, 0, 0, 1, 1])
    rows = np.array([[0, 2.5], [2.5, 2.5], [2.5, 4.0], [0, 2.5], [2.5, 3.0]])
    found = kept_apart(who, rows, 1)
    np.testing.assert_allclose(found, [[0, 2.5], [2.5, 2.6], [2.6, 4.0], [0, 2.5], [2.5, 3.0]])
    many = kept_apart(np.zeros(3, int), np.full((3, 2), 1.0), 2)
    np.testing.assert_allclose(many, [[1.0, 1.01], [1.01, 1.02], [1.02, 1.03]])
