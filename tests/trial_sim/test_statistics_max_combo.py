"""MaxCombo and the normal probabilities under it."""

import numpy as np
import pytest
from scipy.special import owens_t
from scipy.stats import multivariate_normal, norm

import trial_sim.statistics as stats
from tests.trial_sim import batch_kernels
from tests.trial_sim.statistics_data import (
    colon,
    colon_two_arms,
    gehan,
    survival_trials,
    veteran,
    within,
)
from trial_sim.numerics.multivariate_normal import maximum_tail_many
from trial_sim.numerics.normal_kernels import owen_t, path_nodes
from trial_sim.statistics import kernels

FOUR = np.array([[1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]], dtype=float)


def test_owen_t_against_scipy():
    rng = np.random.default_rng(1)
    for h, a in rng.normal(0, 3, (500, 2)):
        assert owen_t(h, a) == pytest.approx(owens_t(h, a), abs=1e-11)


@pytest.mark.parametrize("rho", [-1.0, -0.999, -0.5, 0.0, 0.3, 0.9, 0.999999, 1.0])
def test_bivariate_normal(rho):
    for h, k in [(0.0, 0.0), (1.2, -0.4), (0.0, 1.0), (-2.0, 0.0), (2.1, 2.1), (-1.0, 1.0)]:
        law = multivariate_normal(cov=[[1, rho], [rho, 1]], allow_singular=True)
        value = kernels.bivariate_normal_cdf(h, k, rho)
        assert value == pytest.approx(law.cdf([h, k]), abs=2e-8)


@pytest.mark.parametrize("value", [0.5, 2.0, 3.4])
@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
def test_maximum_of_equicorrelated_normals(k, value):
    """Equal correlation ½ is one shared factor: a one-dimensional integral is the truth."""
    x, w = np.polynomial.hermite_e.hermegauss(120)
    inner = norm.cdf((value - np.sqrt(0.5) * x) / np.sqrt(0.5)) ** k
    truth = 1 - (w @ inner) / np.sqrt(2 * np.pi)
    correlation = np.full((k, k), 0.5) + 0.5 * np.eye(k)
    if k <= 4:
        tail = kernels.maximum_tail(value, correlation, kernels.FINE_PATH)
    else:
        tail = maximum_tail_many(value, correlation)
    assert tail == pytest.approx(truth, abs=1e-9)


def _rank_three_tail(value, correlation, n=400):
    """P(max > value) where the correlation has rank 3, by a grid: an independent computation."""
    w, v = np.linalg.eigh(correlation)
    a = v[:, w > 1e-8] * np.sqrt(w[w > 1e-8])
    assert a.shape[1] == 3
    nodes, weights = np.polynomial.legendre.leggauss(4)
    edges = np.linspace(-8, 8, n + 1)
    x = (edges[:-1, None] + (nodes + 1) * (edges[1] - edges[0]) / 2).ravel()
    w1 = np.tile(weights, n) * (edges[1] - edges[0]) / 2 * norm.pdf(x)
    low = np.full((x.size, x.size), -40.0)
    high = np.full((x.size, x.size), 40.0)
    for row in a:
        bound = (value - row[0] * x[:, None] - row[1] * x[None, :]) / row[2]
        if row[2] > 0:
            np.minimum(high, bound, out=high)
        else:
            np.maximum(low, bound, out=low)
    inside = np.where(high > low, norm.cdf(high) - norm.cdf(low), 0.0)
    return 1 - w1 @ inside @ w1


@pytest.mark.parametrize(
    ("data", "simtrial", "tight"),
    [
        # simtrial 1.0.2 maxcombo(), whose Genz integration stops at an error of about 1e-3:
        # R's pmvnorm(upper = z, corr = R) at default settings gives .00050 to .00087 for colon
        # by seed, and .000713 to .000716 with abseps = 1e-9. "tight" is from a grid in the test.
        (colon, 0.00062119, 0.000714074),
        (veteran, 0.31166853, 0.311679367),
        (gehan, 3.5434e-05, 5.49335e-05),
    ],
)
def test_real_data(data, simtrial, tight):
    result = stats.max_combo(*data())
    assert result.z == max(result.components)
    assert result.p_value == pytest.approx(tight, abs=1e-6, rel=1e-5)
    assert result.p_value == pytest.approx(simtrial, abs=2.5e-4)
    grid = _rank_three_tail(result.z, np.array(result.correlation))
    assert result.p_value == pytest.approx(grid, abs=1e-6)


def test_one_weight_is_the_logrank_test():
    one = stats.max_combo(*colon(), weights=["logrank"])
    assert one.p_value == pytest.approx(stats.logrank(*colon()).p_value, rel=1e-12)
    repeated = stats.max_combo(*colon(), weights=["logrank", ("fleming_harrington", 0, 0)])
    assert repeated.p_value == pytest.approx(one.p_value, rel=1e-12)


def test_pairs_and_strata():
    pairs = stats.max_combo(*colon(), weights=[(0, 0), (0, 1), (1, 0), (1, 1)])
    assert pairs.p_value == stats.max_combo(*colon()).p_value
    strata = colon_two_arms().extent
    stratified = stats.max_combo(*colon(), weights=[(0, 0), (1, 0)], strata=strata)
    expected = [stats.logrank(*colon(), weight=(rho, 0), strata=strata).z for rho in (0, 1)]
    assert stratified.components == pytest.approx(expected, rel=1e-12)
    assert stratified.correlation[0][1] == stratified.correlation[1][0] < 1


def test_coarse_path_is_enough_for_the_engine():
    duration, event, group = survival_trials(300, 200, seed=5)
    sums = batch_kernels.weighted_logrank_batch(duration, event, group, FOUR)
    coarse = batch_kernels.max_combo_p_batch(*sums, kernels.COARSE_PATH)[:, 1]
    fine = batch_kernels.max_combo_p_batch(*sums, kernels.FINE_PATH)[:, 1]
    assert np.abs(coarse - fine).max() < 3e-5
    low = fine < 0.1
    assert np.abs(coarse - fine)[low].max() < 1e-6
    single = stats.max_combo(duration[3], event[3], group[3])
    assert single.p_value == pytest.approx(fine[3], abs=1e-12)


def test_type_one_error():
    n_trials = 10_000
    duration, event, group = survival_trials(n_trials, 200, seed=21)
    sums = batch_kernels.weighted_logrank_batch(duration, event, group, FOUR)
    p = batch_kernels.max_combo_p_batch(*sums, kernels.COARSE_PATH)[:, 1]
    # the normal approximation of the late-weighted tests is slightly liberal at 200 patients
    assert abs(np.mean(p <= 0.025) - 0.025) < 4 * np.sqrt(0.025 * 0.975 / n_trials) + 0.002
    assert within(np.mean(p <= 0.5), 0.5, n_trials, 5)


def test_nearly_identical_weights():
    """Statistics of correlation .99 to .9999999 keep the public p-value within 1e-6."""
    survival = np.linspace(0.999, 0.3, 300)
    for powers in ([(0, 0), (0.05, 0), (0, 1), (1, 1)], [(0, 0), (1e-3, 0), (2e-3, 0), (1, 1)]):
        w = np.array([survival**rho * (1 - survival) ** gamma for rho, gamma in powers])
        spread = np.sqrt((w**2).sum(axis=1))
        correlation = w @ w.T / np.outer(spread, spread)
        np.fill_diagonal(correlation, 1.0)
        for value in (0.5, 2.0, 3.5):
            fine = kernels.maximum_tail(value, correlation, kernels.FINE_PATH)
            finer = kernels.maximum_tail(value, correlation, path_nodes(2048))
            assert fine == pytest.approx(finer, abs=1e-6, rel=1e-5)


def test_six_weights_lie_between_their_bounds():
    six = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0.5), (0.5, 0)]
    four = stats.max_combo(*colon(), weights=six[:4])
    result = stats.max_combo(*colon(), weights=six)
    # FH(0, ½) has the largest z on colon; more statistics can only raise the tail at one value
    assert result.z == pytest.approx(3.42690024, abs=1e-7)
    correlation = np.array(four.correlation)
    lower = kernels.maximum_tail(result.z, correlation, kernels.FINE_PATH)
    assert lower < result.p_value < lower + 2 * norm.sf(result.z)
    rng = np.random.default_rng(1)
    draws = rng.multivariate_normal(np.zeros(6), np.array(result.correlation), 400_000)
    for value in (1.0, 2.0):
        tail = maximum_tail_many(value, np.array(result.correlation))
        assert within(np.mean(draws.max(axis=1) > value), tail, 400_000)


def test_nothing_seen():
    assert kernels.max_combo_p(np.zeros(4), np.zeros((4, 4)), kernels.COARSE_PATH) == (0.0, 1.0)


def test_bad_weights():
    with pytest.raises(ValueError, match="one or more weights"):
        stats.max_combo([1, 2], [1, 1], [0, 1], weights=[])
    with pytest.raises(ValueError, match="one or more weights"):
        stats.max_combo([1, 2], [1, 1], [0, 1], weights="logrank")
    many = [("fleming_harrington", 0.2 * a, 0.3 * a) for a in range(7)]
    with pytest.raises(ValueError, match="at most six"):
        stats.max_combo(*veteran(), weights=many)
