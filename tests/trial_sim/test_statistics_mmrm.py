"""MMRM against nlme and lmerTest on BtheB, exact cases, and its level under missing data."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from scipy.stats import multivariate_normal
from scipy.stats import t as student_t

import trial_sim as ts
import trial_sim.statistics as stats
from tests.trial_sim import batch_kernels
from tests.trial_sim.statistics_data import table, within
from trial_sim.statistics import kernels
from trial_sim.statistics.mmrm_covariance import STRUCTURES, structure

MONTHS = ["bdi_2m", "bdi_4m", "bdi_6m", "bdi_8m"]


def _btheb() -> dict:
    data = table("btheb")
    long = data.melt(
        id_vars=["id", "treatment", "bdi_pre"],
        value_vars=MONTHS,
        var_name="month",
        value_name="bdi",
    )
    return {
        "outcome": long.bdi,
        "subject": long.id,
        "visit": long.month,
        "group": (long.treatment == "BtheB").astype(int),
        "covariates": long[["bdi_pre"]],
        "higher_is_better": False,
    }


def test_unstructured_on_btheb():
    # nlme 3.1-162: gls(bdi ~ bdi.pre + treatment*month, corSymm, varIdent, REML): mmrm_btheb
    fit = stats.mmrm(**_btheb(), at="bdi_2m")
    assert fit.estimate == pytest.approx(-3.95890753, abs=2e-6)
    assert fit.se == pytest.approx(1.7054352174, abs=1e-5)
    assert fit.coefficients["group:bdi_8m"][0] == pytest.approx(2.904265723, abs=1e-5)
    assert fit.coefficients["bdi_pre"][0] == pytest.approx(0.599471164, abs=1e-6)
    assert fit.log_likelihood == pytest.approx(-926.127238, abs=1e-5)
    # lmerTest: lmer(… + (0 + month | id)), whose spare residual variance goes to about 0
    expected = {"group": 94.2499, "group:bdi_8m": 59.2899, "bdi_pre": 96.0474}
    for name, df in expected.items():
        assert fit.coefficients[name][2] == pytest.approx(df, abs=2e-3)
    assert fit.z > 0 and fit.visit == "bdi_2m" and fit.n == 97 and fit.n_rows == 280
    frame = fit.to_frame()
    assert list(frame.visit) == MONTHS
    assert frame.estimate[3] == pytest.approx(fit.estimate + fit.coefficients["group:bdi_8m"][0])


def test_compound_symmetry_is_the_random_intercept_model():
    # lme / lmerTest: bdi ~ bdi.pre + treatment*month + (1 | id), REML: lme_btheb
    fit = stats.mmrm(**_btheb(), at="bdi_2m", covariance="compound_symmetry")
    assert fit.estimate == pytest.approx(-3.9354708963, abs=1e-6)
    assert fit.se == pytest.approx(1.8056343046, abs=1e-6)
    assert fit.df == pytest.approx(138.69772, abs=1e-3)
    assert fit.coefficients["group:bdi_8m"][2] == pytest.approx(193.71082, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "reml", "ml"),
    [
        # nlme gls(): corCompSymm, corAR1, with and without varIdent(~ 1 | month)
        ("unstructured", -926.1272376, -932.7413178),
        ("compound_symmetry", -928.4615546, -935.1505014),
        ("ar1", -935.8117091, -942.7574547),
        ("heterogeneous_ar1", -934.7150149, -941.6143632),
        ("heterogeneous_compound_symmetry", -927.450813, -934.124509),
    ],
)
def test_log_likelihoods_against_nlme(name, reml, ml):
    for method, expected in (("reml", reml), ("ml", ml)):
        fit = stats.mmrm(**_btheb(), covariance=name, method=method)
        assert fit.log_likelihood == pytest.approx(expected, abs=5e-6)


@pytest.mark.parametrize("name", ["toeplitz", "antedependence", "heterogeneous_antedependence"])
def test_other_structures_against_a_direct_search(name):
    """ML of the stacked normal density by a derivative-free search gives the same maximum."""
    data = _btheb()
    fit = stats.mmrm(**data, covariance=name, method="ml")
    shape = structure(name, 4)
    y = data["outcome"].to_numpy()
    seen = np.isfinite(y)
    visit = pd.factorize(data["visit"], sort=True)[0]
    dummies = (visit[:, None] == np.arange(1, 4)).astype(float)
    g = data["group"].to_numpy()[:, None]
    x = np.column_stack([np.ones(y.size), dummies, g, g * dummies, data["covariates"].to_numpy()])
    rows = [np.flatnonzero(seen & (data["subject"].to_numpy() == s)) for s in range(1, 101)]
    rows = [r for r in rows if r.size]

    def minus(theta):
        sigma = shape.sigma(theta)
        inverse = [np.linalg.inv(sigma[np.ix_(visit[r], visit[r])]) for r in rows]
        beta = np.linalg.solve(
            sum(x[r].T @ v @ x[r] for r, v in zip(rows, inverse)),
            sum(x[r].T @ v @ y[r] for r, v in zip(rows, inverse)),
        )
        return -sum(
            multivariate_normal.logpdf(y[r] - x[r] @ beta, cov=sigma[np.ix_(visit[r], visit[r])])
            for r in rows
        )

    start = np.concatenate([np.full(shape.n_parameters - 3, np.log(9.0)), np.full(3, 0.9)])
    best = optimize.minimize(minus, start, method="BFGS", options={"gtol": 1e-3, "maxiter": 60})
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-4)


def test_complete_data_give_the_t_test_at_each_visit():
    """Without missing data an unstructured MMRM is ANOVA by visit, with n − 2 exact df."""
    rng = np.random.default_rng(3)
    n, k = 40, 3
    group = np.arange(n) % 2
    y = rng.multivariate_normal([0, 1, 2], [[1, 0.6, 0.3], [0.6, 2, 1], [0.3, 1, 3]], n)
    y += 0.4 * group[:, None]
    fit = stats.mmrm(
        y.ravel(), np.repeat(np.arange(n), k), np.tile(np.arange(k), n), np.repeat(group, k)
    )
    for j in range(k):
        t = stats.t_test(y[:, j], group)
        assert fit.effects[j] == pytest.approx(t.estimate, abs=1e-9)
        assert fit.effect_errors[j] == pytest.approx(t.se, rel=1e-7)
        assert fit.effect_df[j] == pytest.approx(n - 2, abs=1e-3)
    residual = y - np.where(group[:, None], y[group == 1].mean(0), y[group == 0].mean(0))
    np.testing.assert_allclose(fit.covariance, residual.T @ residual / (n - 2), rtol=1e-5)


def test_scale_shift_and_order_do_not_matter():
    data = _btheb()
    fit = stats.mmrm(**data)
    shuffle = np.random.default_rng(1).permutation(len(data["outcome"]))
    moved = {k: v.iloc[shuffle] if hasattr(v, "iloc") else v for k, v in data.items()}
    moved["outcome"] = 1000.0 * moved["outcome"] + 5e4
    other = stats.mmrm(**moved)
    assert other.estimate == pytest.approx(1000 * fit.estimate, rel=1e-6)
    assert other.df == pytest.approx(fit.df, rel=1e-4)
    assert other.p_value == pytest.approx(fit.p_value, rel=1e-5)


def test_covariates_by_visit():
    data = _btheb()
    each = stats.mmrm(**data, covariates_by_visit=True)
    assert "bdi_pre:bdi_8m" in each.coefficients
    assert len(each.coefficients) == 12
    assert len(stats.mmrm(**data).coefficients) == 9


def test_kernel_equals_the_public_function():
    data = _btheb()
    fit = stats.mmrm(**data, covariates_by_visit=True)
    wide = table("btheb")
    design = np.column_stack(
        [np.ones(100), (wide.treatment == "BtheB").astype(float), wide.bdi_pre]
    )
    y = wide[MONTHS].to_numpy(float)
    for visit in range(4):
        estimate, error, df, converged = kernels.mmrm_unstructured(y, design, 1, visit)
        assert converged
        assert estimate == pytest.approx(fit.effects[visit], abs=1e-5)
        assert error == pytest.approx(fit.effect_errors[visit], rel=1e-5)
        assert df == pytest.approx(fit.effect_df[visit], rel=1e-4)


@pytest.mark.long
def test_kernel_level_with_missing_at_random():
    """Drop-out that depends on the last value seen: the batch keeps its level."""
    rng = np.random.Generator(np.random.Philox(13))
    n_trials, n = 3_000, 100
    root = np.linalg.cholesky([[1, 0.6, 0.4], [0.6, 1, 0.6], [0.4, 0.6, 1]])
    y = rng.normal(size=(n_trials, n, 3)) @ root.T
    for j in (1, 2):
        gone = rng.uniform(size=(n_trials, n)) < 1 / (1 + np.exp(2.0 - y[:, :, j - 1]))
        y[:, :, j] = np.where(gone | np.isnan(y[:, :, j - 1]), np.nan, y[:, :, j])
    group = np.tile(np.arange(n) % 2, (n_trials, 1)).astype(float)
    design = np.ascontiguousarray(np.stack([np.ones_like(group), group], axis=2))
    out = batch_kernels.mmrm_batch(y, design, 1, 2)
    assert out[:, 3].all()
    p = 2 * student_t.sf(np.abs(out[:, 0] / out[:, 1]), out[:, 2])
    assert within(np.mean(p <= 0.05), 0.05, n_trials)


def test_kernel_with_too_few_measurements():
    y = np.full((6, 2), np.nan)
    y[:, 0] = np.arange(6.0)
    design = np.column_stack([np.ones(6), np.arange(6) % 2]).astype(float)
    assert not kernels.mmrm_unstructured(y, design, 1, 1)[3]


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_are_positive_definite_and_smooth(name):
    rng = np.random.default_rng(0)
    shape = structure(name, 5)
    for _ in range(20):
        theta = rng.normal(0, 1, shape.n_parameters)
        sigma = shape.sigma(theta)
        assert np.linalg.eigvalsh(sigma).min() > 0
        np.testing.assert_allclose(sigma, sigma.T)
        derivative = shape.derivative(theta)
        for a in range(shape.n_parameters):
            step = np.zeros_like(theta)
            step[a] = 1e-6
            numeric = (shape.sigma(theta + step) - shape.sigma(theta - step)) / 2e-6
            np.testing.assert_allclose(derivative[a], numeric, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"covariance": "unstructred"}, "did you mean 'unstructured'"),
        ({"method": "mle"}, "did you mean 'ml'"),
        ({"at": "bdi_9m"}, "at must be one of the visits bdi_2m"),
        ({"visit": ["a"] * 400}, "two visits or more"),
        ({"subject": [1] * 400}, "two rows at the same visit"),
        ({"outcome": np.full(400, np.inf)}, "infinite values"),
        ({"outcome": np.full(400, np.nan)}, "group 0 has no measurement at visit bdi_2m"),
        ({"outcome": ["x"] * 400}, "must hold numbers"),
        ({"covariates": np.ones(400)}, "collinear"),
        ({"group": np.tile([0, 1], 200)}, "got|both groups"),
    ],
)
def test_bad_input(change, message):
    if "group" in change:  # patient 1 in one arm at two visits and in the other at the rest
        change["group"] = np.repeat([0, 1], 200)
    with pytest.raises((ValueError, TypeError), match=message):
        stats.mmrm(**(_btheb() | change))


def _three_visits():
    rng = np.random.default_rng(5)
    subject, visit = np.repeat(np.arange(60), 3), np.tile([0, 1, 2], 60)
    outcome = rng.normal(size=180) + np.repeat(rng.normal(size=60), 3) + visit * (subject % 2)
    return outcome, subject, visit, subject % 2


WEEKS = ["Week 4", "Week 12", "Week 104"]


@pytest.mark.parametrize("as_type", [list, np.array, pd.Series, pd.Categorical, "object", "string"])
@pytest.mark.parametrize(
    "names",
    [
        WEEKS,
        ["Baseline", "Week 2", "Week 10"],
        ["Day 3", "Week 2", "Month 1"],
        ["visit_9", "visit_10", "visit_11"],
        ["12 weeks", "24 weeks", "104 weeks"],
        ["-7", "0", "14"],
        ["Day -14", "Day -7", "Day 1"],
        ["V0.5", "V2", "V10"],
        [9, 10, 101],
        [0.5, 9.25, 10.0],
        list(pd.to_datetime(["2024-01-02", "2024-02-01", "2025-01-01"])),
    ],
)
def test_visits_come_in_order_of_time(as_type, names):
    outcome, subject, visit, group = _three_visits()
    expected = ts.mmrm(outcome, subject, visit, group)
    assert abs(expected.effects[0] - expected.effects[2]) > 1
    labelled = [names[v] for v in visit]
    if isinstance(as_type, str):
        if as_type == "string" and not isinstance(names[0], str):
            pytest.skip("texts only")
        labelled = pd.Series(labelled, dtype=as_type)
    else:
        labelled = as_type(labelled)
    found = ts.mmrm(outcome, subject, labelled, group)
    assert found.effects == pytest.approx(expected.effects)
    assert [str(v) for v in found.visits] == [str(v) for v in names]
    assert found.estimate == pytest.approx(expected.estimate)
    assert ts.mmrm(outcome, subject, labelled, group, at=names[0]).estimate == pytest.approx(
        expected.effects[0]
    )


def test_the_order_of_categories_and_the_order_given_come_first():
    outcome, subject, visit, group = _three_visits()
    expected = ts.mmrm(outcome, subject, visit, group).effects
    for names in (["pre", "mid", "end"], ["c", "a", "b"], ["Week 12", "Week 104", "Week 4"]):
        labelled = [names[v] for v in visit]
        for ordered in (True, False):
            column = pd.Categorical(labelled, names, ordered=ordered)
            assert ts.mmrm(outcome, subject, column, group).effects == pytest.approx(expected)
        given = ts.mmrm(outcome, subject, labelled, group, visits=names)
        assert given.effects == pytest.approx(expected) and given.visits == tuple(names)
    # an order that is that of the alphabet counts where the user says that it is one
    names = ["Week 104", "Week 12", "Week 4"]
    column = pd.Categorical([names[v] for v in visit], names, ordered=True)
    assert ts.mmrm(outcome, subject, column, group).visits == tuple(names)


@pytest.mark.parametrize(
    "names",
    [
        ["pre", "mid", "end"],
        ["Week 4", "week 04", "Week 8"],
        ["A1", "B2", "C3"],
        ["W1D1", "W1D8", "W2"],
    ],
)
def test_an_order_that_labels_do_not_tell_is_asked_for(names):
    outcome, subject, visit, group = _three_visits()
    for column in ([names[v] for v in visit], pd.Categorical([names[v] for v in visit])):
        with pytest.raises(ValueError, match="order of the labels of visit cannot be told"):
            ts.mmrm(outcome, subject, column, group)
    with pytest.raises(ValueError, match="the order given for visit lacks"):
        ts.mmrm(outcome, subject, [names[v] for v in visit], group, visits=[names[0], names[2]])


def test_unordered_grades_are_asked_for():
    table = pd.DataFrame({"grade": ["mild", "none", "severe"]}).astype("category")
    with pytest.raises(ValueError, match="'grade' holds text without an order"):
        ts.Ordinal("grade").ordered_levels(table)
    table["grade"] = table["grade"].cat.reorder_categories(["none", "mild", "severe"])
    assert ts.Ordinal("grade").ordered_levels(table) == ("none", "mild", "severe")


@pytest.mark.parametrize("n_visits", [3, 7, 12])
def test_too_few_patients_for_an_unstructured_covariance_are_refused_early(n_visits):
    n = n_visits + 1
    rng = np.random.default_rng(0)
    subject, visit = np.repeat(np.arange(n), n_visits), np.tile(np.arange(n_visits), n)
    outcome = rng.normal(size=n * n_visits) + np.repeat(rng.normal(size=n), n_visits)
    with pytest.raises(ValueError, match=f"{n_visits} visits needs {n_visits + 2} patients"):
        ts.mmrm(outcome, subject, visit, subject % 2)
    assert ts.mmrm(outcome, subject, visit, subject % 2, covariance="ar1").n == n


@pytest.mark.parametrize("covariance", ["unstructured", "heterogeneous_ar1"])
@pytest.mark.parametrize("value", [0.0, 7.5])
def test_a_visit_without_variance_is_named(covariance, value):
    outcome, subject, visit, group = _three_visits()
    outcome = np.where(visit == 1, value * (1 + group), outcome)
    with pytest.raises(ValueError, match="does not vary within the groups at visit Week 12"):
        labels = [WEEKS[v] for v in visit]
        ts.mmrm(outcome, subject, labels, group, covariance=covariance)
