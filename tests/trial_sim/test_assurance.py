"""Assurance, borrowing and prognostic adjustment: published tables, closed forms, simulation."""

import numpy as np
import pytest
from scipy.stats import beta, norm

from trial_sim.adaptive.combination_tests import combine_p_values, fisher_design
from trial_sim.sample_size.assurance import (
    BetaMixture,
    assurance,
    borrowing_power,
    probability_of_success,
    sample_size_prognostic,
)
from trial_sim.sequential.design import group_sequential

UNIFORM = BetaMixture([1], [1], [1])
RATES = np.arange(1, 7) / 10


def test_assurance_of_the_log_hazard_ratio():
    values = [assurance(-np.log(0.7), s, 2 / np.sqrt(331)) for s in (0.0, 0.1, 0.2)]
    np.testing.assert_allclose(values, [0.900534, 0.829008, 0.731966], atol=1e-6)
    assert assurance(0.3, 0.0, 0.1) == pytest.approx(0.850838, abs=1e-6)


def test_definitions_of_success_against_simulation():
    rng = np.random.Generator(np.random.Philox(6))
    n = 1_000_000
    effect = rng.normal(0.2, 0.25, n)
    success = effect + rng.normal(0, 0.12, n) > norm.isf(0.025) * 0.12
    above = effect > 0.1
    expected = {
        "unconditional": success.mean(),
        "joint": (success & above).mean(),
        "conditional_on_benefit": success[above].mean(),
    }
    for name, value in expected.items():
        found = assurance(0.2, 0.25, 0.12, definition=name, threshold=0.1)
        assert found == pytest.approx(value, abs=0.0025)


def test_probability_of_success_of_one_look_is_the_closed_form():
    fixed = group_sequential([1.0])
    for definition in ("unconditional", "joint", "conditional_on_benefit"):
        found = probability_of_success(
            fixed, prior=(2.0, 1.3), definition=definition, threshold=0.5
        )
        closed = assurance(2.0, 1.3, 1.0, definition=definition, threshold=0.5)
        assert found == pytest.approx(closed, abs=1e-9)
    draws = [1.0, 2.0, 3.0]
    assert probability_of_success(fixed, drifts=draws) == pytest.approx(
        np.mean(norm.cdf(np.array(draws) - norm.isf(0.025)))
    )


def test_borrowing_of_schmidli_table_2():
    """RBesT's tests print Schmidli's table 2 with tolerance .025; exact enumeration to 1e-3."""
    prior = BetaMixture([1], [4], [16])
    null = borrowing_power(RATES, RATES, 40, 20, UNIFORM, prior)
    np.testing.assert_allclose(null, [0, 0.016, 0.061, 0.137, 0.260, 0.444], atol=0.025)
    np.testing.assert_allclose(null, [0.0007, 0.0165, 0.0606, 0.1335, 0.2610, 0.4488], atol=1e-3)
    effect = borrowing_power(RATES + 0.3, RATES, 40, 20, UNIFORM, prior)
    np.testing.assert_allclose(effect, [0.8152, 0.8721, 0.9319, 0.9787, 0.9968, 0.9999], atol=1e-3)


def test_uniform_control_prior():
    null = borrowing_power(RATES, RATES, 40, 38, UNIFORM, UNIFORM)
    np.testing.assert_allclose(null, [0.0181, 0.0240, 0.0234, 0.0232, 0.0268, 0.0272], atol=1e-3)
    effect = borrowing_power(RATES + 0.3, RATES, 40, 38, UNIFORM, UNIFORM)
    np.testing.assert_allclose(effect, [0.8891, 0.7979, 0.7727, 0.7860, 0.8118, 0.8842], atol=1e-3)


@pytest.mark.parametrize(
    ("responders", "n", "weight", "mean"),
    [(1, 6, 0.904416, 0.245386), (6, 24, 0.936779, 0.254711), (15, 24, 0.125214, 0.586920)],
)
def test_robust_mixture(responders, n, weight, mean):
    prior = BetaMixture([1], [11], [32]).robust(0.2)
    after = prior.posterior(responders, n)
    assert after.weights[0] == pytest.approx(weight, abs=1e-6)
    assert after.mean == pytest.approx(mean, abs=1e-6)
    x = np.array([0.1, 0.3])
    expected = after.weights[0] * beta.cdf(x, after.a[0], after.b[0]) + after.weights[1] * beta.cdf(
        x, after.a[1], after.b[1]
    )
    np.testing.assert_allclose(after.cdf(x), expected)


def test_prognostic_score():
    sizes = [sample_size_prognostic(0.3, rho).n_total for rho in (0, 0.3, 0.5, 0.7)]
    np.testing.assert_allclose(sizes, [467.0, 425.0, 350.2, 238.2], atol=0.06)
    powers = [sample_size_prognostic(0.3, rho, n_total=468).power for rho in (0, 0.3, 0.5, 0.7)]
    np.testing.assert_allclose(powers, [0.9006, 0.9253, 0.9630, 0.9951], atol=5e-5)
    deflated = sample_size_prognostic(0.3, 0.5, deflation=0.8)
    assert deflated.n_total == pytest.approx(sample_size_prognostic(0.3, 0.4).n_total)


def test_prognostic_variance_by_simulation():
    """ANCOVA with interaction, unequal arms, sd and correlation: variance of the estimate."""
    rng = np.random.Generator(np.random.Philox(2))
    n0, n1, trials = 100, 200, 4000
    sd, rho = (1.0, 1.6), (0.7, 0.4)
    x0, x1 = rng.normal(size=(trials, n0)), rng.normal(size=(trials, n1))
    y0 = sd[0] * (rho[0] * x0 + np.sqrt(1 - rho[0] ** 2) * rng.normal(size=x0.shape))
    y1 = sd[1] * (rho[1] * x1 + np.sqrt(1 - rho[1] ** 2) * rng.normal(size=x1.shape))
    centre = (x0.sum(axis=1) + x1.sum(axis=1)) / (n0 + n1)

    def predicted(x, y):
        slope = ((x - x.mean(1)[:, None]) * y).sum(1) / ((x - x.mean(1)[:, None]) ** 2).sum(1)
        return y.mean(1) + slope * (centre - x.mean(1))

    variance = (predicted(x1, y1) - predicted(x0, y0)).var()
    found = sample_size_prognostic(0.3, rho, sd=sd, allocation=2.0, n_total=300)
    assert found.details["variance_per_patient"] / 300 == pytest.approx(variance, rel=0.1)


def test_fisher_design_holds_alpha_in_simulation():
    design = fisher_design(3, 0.025, futility_p=0.6)
    rng = np.random.Generator(np.random.Philox(9))
    p = rng.uniform(size=(400_000, 3))
    product = np.cumprod(p, axis=1)
    running = np.ones(len(p), dtype=bool)
    rejected = np.zeros(3)
    for k in range(3):
        now = running & (product[:, k] <= design.critical_values[k])
        rejected[k] = now.mean()
        running &= ~now & (p[:, k] <= design.futility_p[k])
    np.testing.assert_allclose(
        np.cumsum(rejected), design.alpha_spent, atol=4 * np.sqrt(0.025 / 400_000)
    )
    assert design.alpha_spent[-1] == pytest.approx(0.025, abs=1e-13)
    assert design.reject([0.3, 0.001]) == (True, 2)
    assert design.reject([0.7, 0.001]) == (False, 1)
    assert design.reject([0.3, 0.4, 0.2]) == (False, 3)


def test_combined_p_values():
    assert combine_p_values([0.04, 0.03], weights=[1, 1]) == pytest.approx(
        norm.sf((norm.isf(0.04) + norm.isf(0.03)) / np.sqrt(2))
    )
    from scipy.stats import combine_pvalues

    assert combine_p_values([0.04, 0.03, 0.5], "fisher") == pytest.approx(
        combine_pvalues([0.04, 0.03, 0.5])[1]
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: assurance(0.3, -1, 0.1), "prior_sd must not be negative, got -1"),
        (lambda: assurance(0.3, 1, 0), "standard_error must be above 0, got 0"),
        (lambda: assurance(0.3, 1, 1, definition="jiont"), "did you mean 'joint'"),
        (lambda: probability_of_success(group_sequential()), "give either prior"),
        (
            lambda: probability_of_success(group_sequential(), drifts=[1, 2], weights=[1, 1]),
            "sum to 1",
        ),
        (lambda: BetaMixture([0.5], [1], [1]), "weights must sum to 1"),
        (lambda: BetaMixture([1], [0], [1]), "a and b must be above 0"),
        (lambda: UNIFORM.posterior(5, 4), "responders must be from 0 to n = 4, got 5"),
        (lambda: sample_size_prognostic(0.3, 1.0), "correlation must be between -1 and 1"),
        (lambda: sample_size_prognostic(0, 0.5), "effect must not be 0"),
        (lambda: fisher_design(0), "n_stages must be a whole number from 1 to 10"),
        (lambda: fisher_design(2, futility_p=0.01), "futility_p must be above alpha"),
        (lambda: combine_p_values([0.1, 1.2]), "p_values must be numbers between 0 and 1"),
        (lambda: combine_p_values([0.1], "stouffer"), "unknown method 'stouffer'"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
