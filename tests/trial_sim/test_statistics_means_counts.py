"""Means, proportions and counts: R, scipy, exact enumeration, and level of the tests."""

import numpy as np
import pytest
from scipy import optimize
from scipy import stats as scipy_stats

import trial_sim.statistics as stats
from tests.trial_sim import batch_kernels
from tests.trial_sim.statistics_data import table, within
from trial_sim.statistics import kernels


def _arms_from_counts(x0, n0, x1, n1):
    response = np.concatenate([np.arange(n0) < x0, np.arange(n1) < x1]).astype(int)
    return response, np.repeat([0, 1], [n0, n1])


def _indo():
    data = table("indo_rct")
    return data.pancreatitis, (data.rx == "indomethacin").astype(int), data.site


def _btheb():
    data = table("btheb").dropna(subset=["bdi_2m"])
    return data.bdi_2m, (data.treatment == "BtheB").astype(int), data


def test_t_tests_on_btheb():
    y, group, _ = _btheb()
    # R: t.test(bdi.2m ~ treatment, var.equal = TRUE), and Welch
    student = stats.t_test(y, group, higher_is_better=False)
    assert (student.z, student.df) == pytest.approx((2.2085369, 95), abs=1e-7)
    assert student.p_value_two_sided == pytest.approx(0.02961192, abs=1e-8)
    assert student.interval() == pytest.approx((-9.0295069028, -0.4807495074), abs=1e-9)
    welch = stats.t_test(y, group, equal_variance=False, higher_is_better=False)
    assert (welch.z, welch.df) == pytest.approx((2.1941474, 90.025069), abs=1e-6)
    assert stats.t_test(y, group).p_value == pytest.approx(1 - student.p_value)
    shifted = stats.t_test(y, group, margin=2.0)
    assert shifted.z == pytest.approx((student.estimate + 2) / student.se)


def test_ancova_on_btheb():
    y, group, data = _btheb()
    # R: summary(lm(bdi.2m ~ treatment + bdi.pre + drug))
    fit = stats.ancova(y, group, data.bdi_pre, strata=data.drug, higher_is_better=False)
    assert (fit.estimate, fit.se, fit.df) == pytest.approx(
        (-2.9825943822, 1.78925650942, 93), abs=1e-9
    )
    assert fit.p_value_two_sided == pytest.approx(9.888952927e-02, abs=1e-10)
    with pytest.raises(ValueError, match="collinear"):
        stats.ancova(y, group, np.column_stack([data.bdi_pre, 2 * data.bdi_pre]))
    with pytest.raises(ValueError, match="3 patients are too few"):
        stats.ancova([1, 2, 3], [0, 1, 1], [4, 5, 7])


def test_ancova_with_a_large_offset_is_stable():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 2))
    group = np.arange(60) % 2
    y = x @ [1.0, 2.0] + group + rng.normal(size=60)
    plain = stats.ancova(y, group, x)
    far = stats.ancova(y + 1e6, group, x + 1e5)
    assert far.estimate == pytest.approx(plain.estimate, abs=1e-6)
    assert far.se == pytest.approx(plain.se, rel=1e-6)


def test_batches_of_means():
    n_trials, n = 5_000, 60
    rng = np.random.Generator(np.random.Philox(4))
    y = rng.normal(size=(n_trials, n))
    x = rng.normal(size=(n_trials, n))
    group = np.tile(np.arange(n) % 2, (n_trials, 1)).astype(np.int8)
    t = batch_kernels.t_batch(y, group)
    critical = scipy_stats.t.isf(0.025, n - 2)
    assert within(np.mean(t[:, 0] > critical), 0.025, n_trials)
    design = np.ascontiguousarray(np.stack([group, np.ones_like(x), x], axis=2).astype(float))
    a = batch_kernels.ancova_batch(y + x, design)
    assert within(np.mean(a[:, 0] > scipy_stats.t.isf(0.025, n - 3)), 0.025, n_trials)
    assert t[9, 0] == pytest.approx(stats.t_test(y[9], group[9]).z, rel=1e-10)
    assert a[9, 0] == pytest.approx(stats.ancova(y[9] + x[9], group[9], x[9]).z, rel=1e-9)


def test_proportions_on_indo_rct():
    y, group, site = _indo()
    # reference id indo_rct_2x2; R: chisq.test, fisher.test(alternative = "less"), mantelhaen.test
    chi = stats.chi_square_test(y, group, higher_is_better=False)
    assert chi.p_value_two_sided == pytest.approx(0.0046816, abs=5e-8)
    corrected = stats.chi_square_test(y, group, higher_is_better=False, continuity=True)
    assert corrected.p_value_two_sided == pytest.approx(0.006780611923, abs=1e-12)
    fisher = stats.fisher_test(y, group, higher_is_better=False)
    assert fisher.p_value_two_sided == pytest.approx(0.00533905, abs=5e-9)
    assert fisher.p_value == pytest.approx(0.003210639077, abs=1e-12)
    cmh = stats.cmh_test(y, group, site, higher_is_better=False)
    assert cmh.chi_square == pytest.approx(7.5637076, abs=5e-8)
    assert np.exp(cmh.estimate) == pytest.approx(0.4993441296, abs=1e-10)
    assert np.exp(cmh.interval()) == pytest.approx((0.3027607930, 0.8235695159), abs=1e-9)
    both = [y[group == k].mean() for k in (0, 1)]
    assert both[1] / both[0] == pytest.approx(0.540352, abs=5e-7)


@pytest.mark.parametrize("margin", [-0.1, 0.02, 0.1, 0.3])
def test_farrington_manning_restricted_estimate(margin):
    """The closed form of the cubic equals a numerical maximum of the restricted likelihood."""
    for x0, n0, x1, n1 in [(60, 100, 55, 90), (3, 40, 5, 80), (39, 40, 38, 40), (0, 20, 3, 30)]:

        def minus_loglik(p0, x0=x0, n0=n0, x1=x1, n1=n1):
            p1 = p0 - margin
            terms = [(x0, p0), (n0 - x0, 1 - p0), (x1, p1), (n1 - x1, 1 - p1)]
            return -sum(x * np.log(max(p, 1e-300)) for x, p in terms)

        low, high = max(0, margin), min(1, 1 + margin)
        p0 = optimize.minimize_scalar(
            minus_loglik, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
        ).x
        p1 = p0 - margin
        expected = (x1 / n1 - x0 / n0 + margin) / np.sqrt(p0 * (1 - p0) / n0 + p1 * (1 - p1) / n1)
        z = stats.farrington_manning_test(*_arms_from_counts(x0, n0, x1, n1), margin).z
        assert z == pytest.approx(expected, rel=2e-4)


def test_farrington_manning_margin_zero_and_direction():
    y, group = _arms_from_counts(30, 100, 45, 110)
    plain = stats.chi_square_test(y, group).z
    assert stats.farrington_manning_test(y, group, 0.0).z == pytest.approx(plain, rel=1e-12)
    assert stats.farrington_manning_test(y, group, 1e-9).z == pytest.approx(plain, rel=1e-6)
    good = stats.farrington_manning_test(y, group, 0.1)
    bad = stats.farrington_manning_test(1 - y, group, 0.1, higher_is_better=False)
    assert good.z == pytest.approx(bad.z, rel=1e-10)
    with pytest.raises(ValueError, match="margin must be between -1 and 1"):
        stats.farrington_manning_test(y, group, 5)


def test_exact_power_and_size_by_enumeration():
    """Reference ids fisher_exact_power, fisher_exact_size, pooled_z_exact_power and _size."""
    n = 100
    grid0, grid1 = (a.ravel() for a in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    sizes = np.full(grid0.size, n)
    results = batch_kernels.proportions_batch(grid0, sizes, grid1, sizes, 0.0)
    for p1, fisher, pooled in [
        (0.4, 0.844467081845, 0.879730879113),
        (0.2, 0.016425736357, 0.025660319399),
    ]:
        law = scipy_stats.binom(n, 0.2).pmf(grid0) * scipy_stats.binom(n, p1).pmf(grid1)
        assert law[results[:, 2] <= 0.025].sum() == pytest.approx(fisher, abs=1e-10)
        critical = scipy_stats.norm.isf(0.025)
        assert law[results[:, 0] > critical].sum() == pytest.approx(pooled, abs=1e-10)


def test_fisher_kernel_against_scipy():
    rng = np.random.default_rng(2)
    for _ in range(200):
        n0, n1 = (int(v) for v in rng.integers(1, 60, 2))
        x0, x1 = int(rng.integers(0, n0 + 1)), int(rng.integers(0, n1 + 1))
        truth = scipy_stats.fisher_exact(
            [[x1, n1 - x1], [x0, n0 - x0]], alternative="greater"
        ).pvalue
        assert kernels.fisher_p(x0, n0, x1, n1) == pytest.approx(truth, rel=1e-9)
    y, group = _arms_from_counts(8, 10, 1, 9)
    two_sided = scipy_stats.fisher_exact([[8, 2], [1, 8]]).pvalue
    assert stats.fisher_test(y, group).p_value_two_sided == pytest.approx(two_sided, rel=1e-9)


def test_negative_binomial_on_epil():
    data = table("epil")
    # MASS::glm.nb(seizures ~ progabide + base + age + offset(log(weeks)))
    fit = stats.negative_binomial_test(
        data.seizures,
        (data.trt == "progabide").astype(int),
        exposure=data.weeks,
        covariates=data[["base", "age"]],
    )
    assert fit.coefficients == pytest.approx(
        (-0.19253183365, -0.14105725954, 0.02770552492, 0.01657929096), abs=1e-8
    )
    assert fit.se == pytest.approx(0.154161428918, rel=1e-7)
    assert 1 / fit.dispersion == pytest.approx(3.367237642, rel=1e-7)
    assert fit.z == pytest.approx(1.2488975680, abs=1e-6)
    assert fit.rate_ratio == pytest.approx(np.exp(fit.estimate))


def test_negative_binomial_without_overdispersion_is_poisson():
    count = np.array([1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4])
    group = np.repeat([0, 1], 6)
    fit = stats.negative_binomial_test(count, group)
    assert fit.dispersion == 0
    assert fit.estimate == pytest.approx(np.log(21 / 9))
    assert fit.se == pytest.approx(np.sqrt(1 / 21 + 1 / 9))
    assert fit.z < 0  # more events are worse unless told otherwise


def test_negative_binomial_against_direct_maximum():
    rng = np.random.default_rng(5)
    group = np.arange(80) % 2
    time = rng.uniform(0.3, 2.0, 80)
    count = rng.poisson(2 * time * np.where(group, 0.6, 1.0) * rng.gamma(2, 0.5, 80))
    fit = stats.negative_binomial_test(count, group, exposure=time)

    def minus_loglik(theta):
        mean = time * np.exp(theta[0] + theta[1] * group)
        size = np.exp(-theta[2])
        return -scipy_stats.nbinom.logpmf(count, size, size / (size + mean)).sum()

    best = optimize.minimize(
        minus_loglik,
        [0.5, -0.4, -0.5],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 5000},
    )
    assert fit.estimate == pytest.approx(best.x[1], abs=1e-6)
    assert fit.dispersion == pytest.approx(np.exp(best.x[2]), rel=1e-5)


def test_negative_binomial_level():
    n_trials, n = 2_000, 150
    rng = np.random.Generator(np.random.Philox(6))
    group = np.tile(np.arange(n) % 2, (n_trials, 1)).astype(np.int8)
    count = rng.poisson(1.2 * rng.gamma(1.5, 1 / 1.5, (n_trials, n)))
    out = batch_kernels.negative_binomial_batch(count, np.ones((n_trials, n)), group)
    assert out[:, 3].all()
    level = np.mean(np.abs(out[:, 0] / out[:, 1]) > 1.959963985)
    # a Wald test with an estimated dispersion: slightly liberal at this size
    assert abs(level - 0.05) < 4 * np.sqrt(0.05 * 0.95 / n_trials) + 0.005
    single = stats.negative_binomial_test(count[3], group[3])
    assert out[3, 0] == pytest.approx(single.estimate, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.t_test([1, 2, 3], [0, 0, 1]), "got 2 and 1"),
        (lambda: stats.t_test([1, 1, 2, 2], [0, 0, 1, 1]), "does not vary"),
        (lambda: stats.t_test([1, 2, 3, 4], [0, 0, 1, 1], margin=-1), "margin must be"),
        (lambda: stats.chi_square_test([1, 1, 1], [0, 0, 1]), "3 of 3 patients responded"),
        (lambda: stats.chi_square_test([1, 0.5, 1], [0, 0, 1]), "coded 0 and 1, got 0.5"),
        (lambda: stats.cmh_test([1, 0, 1, 0], [0, 0, 1, 1], [1, 2, 3, 4]), "no stratum holds"),
        (lambda: stats.negative_binomial_test([1, 2.5], [0, 1]), "whole numbers, got 2.5"),
        (lambda: stats.negative_binomial_test([1, 0], [0, 1]), "needs an event, got 1 and 0"),
        (lambda: stats.negative_binomial_test([1, 2], [0, 1], exposure=[0, 1]), "must be positive"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
