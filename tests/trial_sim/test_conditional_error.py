"""Combination tests, their conditional errors and repeated p-values against rpact's values.

The inputs and values are of rpact's own tests (f_analysis_base_means.R and its siblings).
"""

import numpy as np
import pytest
from scipy import stats

import trial_sim as ts
from trial_sim.adaptive.conditional_errors import combined_z, crossing_after

N, MEANS, SDS = np.array([20, 30, 30]), np.array([45, 51, 45]), np.array([130, 140, 120])


def stage_p(null=10.0):
    """One-sided p-values of the stages, one-sample t-tests."""
    return stats.t.sf((MEANS - null) / (SDS / np.sqrt(N)), N - 1)


@pytest.fixture(scope="module")
def inverse_normal():
    return ts.group_sequential(
        (0.25, 0.5, 0.75, 1), efficacy=("wang_tsiatis", 0.4), futility=[0.5244] * 3
    )


@pytest.fixture(scope="module")
def fisher():
    return ts.fisher_design(4, 0.025, futility_p=0.4)


def overall_z(n, means, sds, null):
    """z of the t-test on all patients so far, from the summaries of the stages."""
    n, means, sds = (np.asarray(v, dtype=float) for v in (n, means, sds))
    total = np.cumsum(n)
    mean = np.cumsum(n * means) / total
    squares = [
        (((n - 1) * sds**2)[:k].sum() + (n * (means - mean[k - 1]) ** 2)[:k].sum())
        for k in range(1, len(n) + 1)
    ]
    t = (mean - null) / np.sqrt(np.array(squares) / (total - 1) / total)
    return stats.norm.isf(stats.t.sf(t, total - 1))


def test_inverse_normal_combination(inverse_normal):
    p = stage_p()
    assert p[:2] == pytest.approx([0.12168078, 0.059770605], abs=1e-8)
    z = combined_z(inverse_normal, stats.norm.isf(p))
    assert z[:2] == pytest.approx([1.1666257, 1.9256836], abs=1e-7)
    two = ts.combine_p_values(p[:2])
    assert two == pytest.approx(stats.norm.sf(1.9256836), abs=1e-7)
    assert np.cumprod(p)[:2] == pytest.approx([0.12168078, 0.007272934], abs=1e-8)


def test_conditional_error_of_the_inverse_normal_combination(inverse_normal):
    p = stage_p()
    found = [ts.conditional_error(inverse_normal, p[:k]) for k in (1, 2, 3)]
    assert found == pytest.approx([0.046837862, 0.16190673, 0.42383694], abs=1e-8)


def test_repeated_p_values_of_the_inverse_normal_combination(inverse_normal):
    p = stage_p()
    found = [ts.repeated_p_value(inverse_normal, p[:k]) for k in (1, 2, 3)]
    # rpact's root is found to about 1e-6
    assert found == pytest.approx([0.28074785, 0.070627118, 0.016069426], abs=1e-6)
    for level, k in zip(found, (1, 2, 3)):
        again = ts.group_sequential(
            (0.25, 0.5, 0.75, 1), alpha=level, power=0.95, efficacy=("wang_tsiatis", 0.4)
        )
        z = combined_z(inverse_normal, stats.norm.isf(p[:k]))[-1]
        assert again.efficacy_bounds[k - 1] == pytest.approx(z, abs=1e-8)


def test_conditional_error_and_repeated_p_values_of_fishers_test(fisher):
    p = stage_p()
    found = [ts.conditional_error(fisher, p[:k]) for k in (1, 2, 3)]
    assert found == pytest.approx([0.029249394, 0.067046868, 0.15552139], abs=1e-8)
    repeated = [ts.repeated_p_value(fisher, p[:k]) for k in (1, 2, 3)]
    assert repeated == pytest.approx([0.165096, 0.068572907, 0.029926287], abs=1e-6)


def test_conditional_power_of_planned_stages(inverse_normal):
    p = stage_p()
    last = ts.conditional_error(inverse_normal, p, expected_z=0.4 * np.sqrt(30))
    assert last == pytest.approx(0.97718516, abs=1e-8)
    wanted = [
        0.16190431, 0.25577971, 0.37352079, 0.50571299, 0.6381983, 0.75647047, 0.85036513,
        0.91657165, 0.95799515, 0.98097554, 0.99227303, 0.99719255, 0.99908935, 0.99973672,
        0.99993224,
    ]  # fmt: skip
    curve = [
        ts.conditional_error(inverse_normal, p[:2], (mean - 10) / 100 * np.sqrt([30, 20]))
        for mean in range(10, 85, 5)
    ]
    # rpact's curve differs by 2e-6 from its own conditional error where the mean is the null's
    assert curve == pytest.approx(wanted, abs=5e-6)


def test_conditional_error_of_group_sequential_tests():
    three = ts.group_sequential((1 / 3, 2 / 3, 1), efficacy=("wang_tsiatis", 0.4))
    z = overall_z([120, 130], [45, 41], [130, 140], 25)
    found = [three.conditional_power(k + 1, z[k], "null") for k in range(2)]
    assert found == pytest.approx([0.10127313, 0.20204948], abs=1e-8)
    planned = crossing_after(three, 2, z[1], np.array([-0.03 * np.sqrt(130)]))
    assert planned == pytest.approx(0.11972239, abs=1e-8)

    four = ts.group_sequential((0.25, 0.5, 0.75, 1), efficacy=("wang_tsiatis", 0.4))
    z = overall_z([20] * 3, MEANS, SDS, 10)
    found = [four.conditional_power(k + 1, z[k], "null") for k in range(3)]
    assert found == pytest.approx([0.046837862, 0.11518708, 0.2468754], abs=1e-8)
    found = [four.repeated_p_value(k + 1, z[k]) for k in range(3)]
    assert found == pytest.approx([0.28074785, 0.098382799, 0.033210734], abs=1e-6)

    survival = ts.group_sequential((0.2, 0.4, 1), efficacy=("wang_tsiatis", 0.25))
    z = [1.52, 1.38, 2.9]
    found = [survival.conditional_power(k + 1, z[k], "null") for k in range(2)]
    assert found == pytest.approx([0.076909306, 0.067473058], abs=1e-8)
    found = [survival.repeated_p_value(k + 1, z[k]) for k in range(3)]
    assert found == pytest.approx([0.22249182, 0.19345822, 0.0019646115], abs=1e-6)
    final = survival.inference(3, 2.9, information=38 / 4)
    assert final.p_value == pytest.approx(0.0074535505, abs=1e-8)
    assert np.exp([final.lower, final.estimate, final.upper]) == pytest.approx(
        [1.222663, 2.4764002, 4.752454], abs=2e-6
    )

    rates = ts.group_sequential((0.2, 1), efficacy=("kim_demets", 2.8))
    z = stats.norm.isf(stats.binom.sf(22, 33, 0.4))
    assert rates.conditional_power(1, z, "null") == pytest.approx(0.28801679, abs=1e-6)
    assert rates.repeated_p_value(1, z) == pytest.approx(0.048557231, abs=1e-6)


def test_critical_values_of_fishers_test_by_method():
    full = ts.fisher_design(2, 0.05, futility_p=0.5, method="full_alpha")
    assert full.critical_values == pytest.approx([0.023314852, 0.0087049407], abs=1e-9)
    none = ts.fisher_design(4, 0.025, futility_p=[0.7, 0.6, 0.5], method="no_interaction")
    wanted = [0.00051915905, 0.00031149543, 0.00015574772]
    assert none.critical_values[1:] == pytest.approx(wanted, abs=1e-10)
    # rpact prints a first value of .0098603693, with which the error is .0250110 by quadrature
    assert none.critical_values[0] == pytest.approx(0.0098603693, abs=2e-5)
    assert spent_by_quadrature(none.critical_values, [0.7, 0.6, 0.5]) == pytest.approx(
        0.025, abs=1e-9
    )
    assert none.alpha_spent[-1] == pytest.approx(0.025, abs=1e-12)


def spent_by_quadrature(c, stops):
    """Error of four stages: two nested integrals over log p, the last two stages in closed form."""
    x, w = np.polynomial.legendre.leggauss(200)

    def nodes(low, high):
        return 0.5 * (low + high) + 0.5 * (high - low) * x, 0.5 * (high - low) * w

    def third(product):
        low = np.minimum(c[2] / product, stops[2])
        further = low + c[3] / product * np.log(stops[2] / low)
        return np.where(c[2] / product < stops[2], further, np.minimum(c[2] / product, 1.0))

    total = c[0]
    for log1, weight in zip(*nodes(np.log(c[0]), np.log(stops[0]))):
        p1 = np.exp(log1)
        log2, weight2 = nodes(np.log(c[1] / p1), np.log(stops[1]))
        p2 = np.exp(log2)
        total += weight * p1 * (c[1] / p1 + weight2 @ (p2 * third(p1 * p2)))
    return total


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda d: ts.conditional_error(d, [0.1] * 4), "of 4 stages leaves none after 4"),
        (lambda d: ts.conditional_error(d, [1.1]), "p_values must be between 0 and 1"),
        (lambda d: ts.conditional_error(d, [0.1], expected_z=[1, 2]), "must hold 3 numbers"),
        (
            lambda d: ts.conditional_error(ts.fisher_design(2), [0.1], expected_z=1.0),
            "not with Fisher's",
        ),
        (
            lambda d: ts.conditional_error(ts.group_sequential((0.5, 1), 0.05, sided=2), [0.1]),
            "a combination test is one-sided",
        ),
        (lambda d: ts.fisher_design(2, method="full"), "unknown method 'full'"),
    ],
)
def test_what_has_no_conditional_error_is_named(inverse_normal, wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong(inverse_normal)
