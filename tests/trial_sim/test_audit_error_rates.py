"""Error rates after synthesis: the tests used, their level, and the spread of the effect."""

import numpy as np
import pytest
from scipy import stats

import trial_sim as ts
from benchmarks.trial_sim.arm_error_rates import pearson_size
from trial_sim.auditing.compared.comparison import compare
from trial_sim.auditing.compared.paired_outcomes import read_outcome
from trial_sim.auditing.utility.error_rates import contrasts_of, many_trials, no_effect
from trial_sim.auditing.utility.null_tests import logrank_z, null_scores, permutation_z, t_as_z
from trial_sim.statistics.arm_differences import Contrast

LIMIT = stats.norm.isf(0.025)


def test_the_survival_test_is_the_log_rank_test():
    outcome = read_outcome(ts.load_trial("veteran"), "death")
    t, d, x = outcome.data["duration"], outcome.data["event"], outcome.arm == "test"
    assert logrank_z(t, d, x) == pytest.approx(-ts.logrank(t, d, x).z)
    assert np.isnan(logrank_z(t, np.zeros(len(t), bool), x))


def test_permutation_z_is_pearson_for_flags_and_mann_whitney_for_ranks():
    rng = np.random.default_rng(4)
    x, y = np.arange(90) % 3 == 0, rng.integers(0, 2, 90) * 1.0
    table = [[((y == v) & (x == a)).sum() for v in (0, 1)] for a in (False, True)]
    pearson = stats.chi2_contingency(table, correction=False).statistic
    assert permutation_z(y, x) ** 2 == pytest.approx(pearson * 89 / 90)
    value = rng.integers(0, 6, 90) * 1.0
    ranked = permutation_z(stats.rankdata(value), x)
    reference = stats.mannwhitneyu(value[x], value[~x], method="asymptotic", use_continuity=False)
    assert 2 * stats.norm.sf(abs(ranked)) == pytest.approx(reference.pvalue)
    assert np.isnan(permutation_z(np.ones(10), np.arange(10) < 5))


def test_t_statistics_keep_their_tail_probability():
    z = t_as_z(Contrast(-2.4, 1.0), 12)
    assert stats.norm.cdf(z) == pytest.approx(stats.t.cdf(-2.4, 12))
    assert np.isnan(t_as_z(Contrast(float("nan"), 1.0), 12))


def test_scores_add_up_to_no_difference_in_all_patients():
    for name, endpoint in (
        ("epil", "seizures"),
        ("bladder", "recurrence"),
        ("respiratory", "good"),
    ):
        score = null_scores(read_outcome(ts.load_trial(name), endpoint))
        assert np.nansum(score) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize(
    ("name", "endpoint"), [("veteran", "death"), ("epil", "seizures"), ("strep_tb", "radiologic")]
)
def test_without_an_effect_trials_reject_at_the_nominal_rate(name, endpoint):
    """Within 3 Monte-Carlo errors (``synthetic_arms type_one`` asks it of every trial)."""
    fitted = ts.fit(ts.load_trial(name), endpoint=endpoint)
    comparison = compare(fitted.real, fitted.sample_trial(seed=1), endpoint=endpoint)
    n, null = 1000, no_effect(comparison.real, endpoint)
    for found in many_trials(fitted, comparison, endpoint, n, 81, null).values():
        for sign in (-1, 1):
            rate = (sign * found.z > LIMIT).mean()
            assert abs(rate - 0.025) < 3 * (0.025 * 0.975 / n) ** 0.5


@pytest.mark.long
@pytest.mark.parametrize(("name", "endpoint"), [("gehan", "relapse"), ("btheb", "bdi_2m")])
def test_over_500_trials_the_effect_spreads_by_both_errors(name, endpoint):
    """Standard deviation of the effect = sqrt(SE² + sampling²), within 3 Monte-Carlo errors."""
    fitted = ts.fit(ts.load_trial(name), endpoint=endpoint)
    comparison = compare(fitted.real, fitted.sample_trial(seed=1), endpoint=endpoint)
    n = 500
    real = contrasts_of(comparison.outcomes["real"][endpoint], comparison.arms)
    drawn = many_trials(fitted, comparison, endpoint, n, 91, None, trials_per_draw=1)
    plain = many_trials(fitted, comparison, endpoint, n, 92, None)
    for label, (_, se) in real.items():
        expected = np.hypot(se, plain[label].estimate.std(ddof=1))
        ratio = drawn[label].estimate.std(ddof=1) / expected
        assert abs(ratio - 1) < 3 * (2 / (2 * n)) ** 0.5


def test_exact_size_of_pearsons_test():
    """Against SciPy's chi-square of every table of two small arms, times (N - 1) / N."""
    n_arm, n_control, rate = 9, 7, 0.35
    below = above = 0.0
    for a in range(n_arm + 1):
        for b in range(n_control + 1):
            if 0 < a + b < n_arm + n_control:
                table = [[a, n_arm - a], [b, n_control - b]]
                square = stats.chi2_contingency(table, correction=False).statistic * 15 / 16
                p = stats.chi2.sf(square, 1)
                chance = stats.binom.pmf(a, n_arm, rate) * stats.binom.pmf(b, n_control, rate)
                below += chance * (p < 0.05 and a / n_arm < b / n_control)
                above += chance * (p < 0.05 and a / n_arm > b / n_control)
    assert pearson_size(n_arm, n_control, rate) == pytest.approx((below, above), rel=1e-9)
    large = pearson_size(2_000, 2_000, 0.4)
    assert large == pytest.approx((0.025, 0.025), abs=5e-4)
