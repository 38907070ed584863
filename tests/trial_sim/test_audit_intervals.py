"""Intervals of the audit against anonymeter's test values, statsmodels and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from trial_sim.auditing.compared import intervals


@pytest.mark.parametrize(
    ("successes", "rate", "error"), [(850, 0.849, 0.022), (0, 0.002, 0.002), (1000, 0.998, 0.002)]
)
def test_wilson_centre_gives_the_values_of_anonymeters_tests(successes, rate, error):
    found = intervals.wilson_centre(successes, 1000)
    assert found == (pytest.approx(rate, abs=5e-4), pytest.approx(error, abs=5e-4))


def test_residual_risk_gives_the_values_of_anonymeters_tests():
    found = intervals.residual_risk(0.9, 0.02, 0.85, 0.02)
    assert found.estimate == pytest.approx(1 / 3, abs=1e-3)
    assert (found.upper - found.lower) / 2 == pytest.approx(0.16, abs=5e-3)
    assert intervals.residual_risk(0.9, 0, 0.8, 0).estimate == pytest.approx(0.5)


def test_wilson_agrees_with_statsmodels():
    found = intervals.wilson(17, 60)
    assert (found.lower, found.upper) == pytest.approx(proportion_confint(17, 60, method="wilson"))


def test_share_difference_agrees_with_newcombe_in_statsmodels():
    found = intervals.share_difference(56, 70, 48, 80)
    expected = confint_proportions_2indep(56, 70, 48, 80, method="newcomb", compare="diff")
    assert (found.lower, found.upper) == pytest.approx(expected, abs=1e-6)


def test_a_normalised_risk_without_excess_is_zero_and_total_success_is_one():
    assert intervals.normalised_risk((30, 100), (40, 100)).estimate == 0
    assert intervals.normalised_risk((1000, 1000), (10, 1000)).estimate > 0.99


def test_auc_agrees_with_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 80).astype(float) + 1, rng.integers(0, 9, 120).astype(float)
    expected = roc_auc_score(np.repeat([1, 0], [80, 120]), np.concatenate([a, b]))
    assert intervals.auc(a, b).estimate == pytest.approx(expected)


def test_auc_interval_covers_the_truth():
    """AUC of N(1, 1) against N(0, 1) is Phi(1 / sqrt 2) = .7602."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        found = intervals.auc(rng.normal(1, 1, 40), rng.normal(0, 1, 60))
        hits += found.lower <= 0.7602 <= found.upper
    assert 0.92 <= hits / 400 <= 0.98


def test_auc_of_a_perfect_attack_has_an_interval_below_one():
    found = intervals.auc(np.ones(50), np.zeros(50))
    assert found.estimate == 1 and 0.9 < found.lower < 1


def test_true_positive_rate_never_lets_ties_count():
    assert intervals.true_positive_rate(np.zeros(50), np.zeros(100), 0.01).estimate == 0
    found = intervals.true_positive_rate(np.arange(100.0), np.arange(100.0) - 50, 0.01)
    assert found.estimate == pytest.approx(0.51)  # one false alarm allowed: threshold 48


@given(st.integers(0, 200), st.integers(1, 200), st.integers(0, 200), st.integers(1, 200))
def test_intervals_hold_their_estimates(a, n, b, m):
    a, b = min(a, n), min(b, m)
    for found in (
        intervals.wilson(a, n),
        intervals.share_difference(a, n, b, m),
        intervals.normalised_risk((a, n), (b, m)),
    ):
        assert found.lower - 1e-12 <= found.estimate <= found.upper + 1e-12
