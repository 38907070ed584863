"""Log-rank family: published and R values on real data, exact tiny cases, level of the tests."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from trial_sim.statistics import kernels

FH = "fleming_harrington"


@pytest.mark.parametrize(
    ("rho", "gamma", "expected"),
    [
        (0, 0, 3.15684427),
        (0, 1, 3.28273341),
        (1, 0, 2.9126861),
        (1, 1, 3.38861782),
        (0, 0.5, 3.42690024),
    ],
)
def test_fleming_harrington_on_colon(rho, gamma, expected):
    # simtrial 1.0.2: wlr(weight = fh(rho, gamma)), sign flipped (reference id fh_colon)
    assert stats.logrank(*colon(), weight=(FH, rho, gamma)).z == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("data", "delay", "expected"),
    [(colon, 365.25, 3.1817009), (veteran, 6, -0.0847100572), (gehan, 6, 4.01440938)],
)
def test_magirr_burman(data, delay, expected):
    # simtrial 1.0.2: wlr(weight = mb(delay)) (reference id magirr_burman_z)
    z = stats.logrank(*data(), weight=("magirr_burman", delay)).z
    assert z == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("data", "rho", "chi_square"),
    [
        # survival 3.5-3: survdiff(Surv(time, status) ~ arm, rho = rho)
        (colon, 0, 9.9656657),
        (colon, 1, 8.4837403),
        (veteran, 0, 0.0082273432),
        (veteran, 1, 0.87120949),
        (gehan, 0, 16.792941),
        (gehan, 1, 14.457151),
    ],
)
def test_against_survdiff(data, rho, chi_square):
    # simtrial and survdiff take S before the event alike
    assert stats.logrank(*data(), weight=(FH, rho, 0)).chi_square == pytest.approx(
        chi_square, rel=1e-6
    )


def test_stratified_against_survdiff():
    # survdiff(Surv(death_time, death) ~ g + strata(extent), colon[rx != "Lev"], rho = 0)
    strata = colon_two_arms().extent
    assert stats.logrank(*colon(), strata=strata).chi_square == pytest.approx(9.158989158, rel=1e-9)
    # weights from each stratum's own curve; survdiff's rho = 1 uses the same
    z = stats.logrank(*colon(), weight=(FH, 1, 0), strata=strata).chi_square
    assert z == pytest.approx(7.3348966859, rel=1e-9)


def test_hand_computed_case():
    # deaths at 1 (arm 0; 2 of 4 at risk in arm 1) and 2 (arm 1; 2 of 3): O − E = 0 + 1 − 1/2 − 2/3
    result = stats.logrank([1, 2, 3, 4], [1, 1, 0, 0], [0, 1, 0, 1])
    variance = 1 / 4 + 2 / 9
    assert result.z == pytest.approx((1 / 2 + 2 / 3 - 1) / variance**0.5, rel=1e-12)
    assert result.estimate == pytest.approx(-(1 / 2 + 2 / 3 - 1) / variance, rel=1e-12)
    assert result.n_events == 2


def test_exact_permutation_variance():
    """Over all allocations, the score has mean 0 and variance as computed, without censoring."""
    from itertools import combinations

    duration = np.array([1.0, 2.0, 3.5, 4.0, 6.0, 7.0])
    event = np.ones(6, np.int8)
    scores = []
    for chosen in combinations(range(6), 3):
        group = np.zeros(6, np.int8)
        group[list(chosen)] = 1
        scores.append(kernels.logrank_sums_sorted(duration, event, group)[0])
    assert np.mean(scores) == pytest.approx(0, abs=1e-12)
    # Savage scores: 1 − cumulative hazard; permutation variance n1 n0 / (n (n − 1)) Σ a²
    savage = 1 - np.cumsum(1 / np.arange(6, 0, -1.0))
    assert np.var(scores) == pytest.approx(3 * 3 / (6 * 5) * np.sum(savage**2), rel=1e-12)


def test_modestly_weighted_limits():
    data = colon()
    plain = stats.logrank(*data).z
    assert stats.logrank(*data, weight=("modestly_weighted", 1.0)).z == pytest.approx(plain)
    assert stats.logrank(*data, weight=("magirr_burman", 0.0)).z == pytest.approx(plain)
    late = stats.logrank(*data, weight=("magirr_burman", 1e9)).z
    assert stats.logrank(*data, weight=("modestly_weighted", 1e-9)).z == pytest.approx(late)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 5.0]), st.integers(4, 60))
def test_invariances(seed, grid, n):
    """Swapping groups flips the sign; order, time scale and relabelled strata do not matter."""
    duration, event, group = (a[0] for a in survival_trials(1, n, seed, 0.7, grid))
    if not event.any():
        return
    weights = np.array([[1, 0, 0], [1, 0.3, 0.7], [2, 8.0, 0], [3, 0.6, 0]])
    event8 = event.astype(np.int8)

    def sums(t, e, g):
        order = np.argsort(t, kind="stable")
        numerator, covariance = np.zeros(4), np.zeros((4, 4))
        kernels.weighted_logrank_sorted(
            t[order], e[order], g[order], weights, numerator, covariance
        )
        return numerator, covariance

    numerator, covariance = sums(duration, event8, group)
    swapped, same = sums(duration, event8, (1 - group).astype(np.int8))
    np.testing.assert_allclose(swapped, -numerator, atol=1e-9)
    np.testing.assert_allclose(same, covariance, atol=1e-9)
    shuffle = np.random.default_rng(seed).permutation(n)
    np.testing.assert_allclose(
        sums(duration[shuffle], event8[shuffle], group[shuffle])[0], numerator
    )
    assert np.linalg.eigvalsh(covariance).min() >= -1e-9
    plain = kernels.logrank_sums_sorted(
        np.sort(duration), event8[np.argsort(duration)], group[np.argsort(duration)]
    )
    assert plain[0] == pytest.approx(numerator[0], abs=1e-9)
    assert plain[1] == pytest.approx(covariance[0, 0], abs=1e-9)
    one = np.zeros((1, n), np.int8)
    z = batch_kernels.logrank_stratified_z_batch(duration[None], event8[None], group[None], one, 1)
    assert z[0] == pytest.approx(kernels.logrank_z(duration, event8, group), abs=1e-9)


def test_type_one_error_and_batches():
    n_trials = 20_000
    duration, event, group = survival_trials(n_trials, 100, seed=11)
    z = batch_kernels.logrank_z_batch(duration, event, group)
    assert within(np.mean(z > 1.959963985), 0.025, n_trials)
    strata = np.tile((np.arange(100) // 2) % 4, (n_trials, 1)).astype(np.int8)
    stratified = batch_kernels.logrank_stratified_z_batch(duration, event, group, strata, 4)
    assert within(np.mean(stratified > 1.959963985), 0.025, n_trials)
    for i in (0, 7):
        single = stats.logrank(duration[i], event[i], group[i])
        assert z[i] == pytest.approx(single.z, rel=1e-12)
        assert stratified[i] == pytest.approx(
            stats.logrank(duration[i], event[i], group[i], strata=strata[i]).z, rel=1e-12
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration": [1, 2, np.nan, 4]}, "duration has 1 missing"),
        ({"duration": [1, 2, -3, 4]}, "duration must not be negative"),
        ({"duration": [1, 2, 3]}, "event has 4 values where 3"),
        ({"duration": ["a", "b", "c", "d"]}, "duration must hold numbers"),
        ({"duration": []}, "duration is empty"),
        ({"event": [1, 2, 0, 1]}, "event must be coded 0 and 1, got 2"),
        ({"event": [0, 0, 0, 0]}, "0 events"),
        ({"group": [1, 1, 1, 1]}, "group must hold both 0 and 1"),
        ({"group": [1, 2, 1, 2]}, "group must be coded 0 and 1, got 2"),
        ({"weight": "log_rank"}, "did you mean 'logrank'"),
        ({"weight": ("flemming_harrington", 0, 1)}, "did you mean 'fleming_harrington'"),
        ({"weight": (FH, 0)}, "takes 2 parameters"),
        ({"weight": (FH, -1, 0)}, "must not be negative"),
        ({"weight": ("modestly_weighted", 2)}, r"must be in \(0, 1\]"),
        ({"strata": [1, 2]}, r"strata must have shape \(4,\)"),
        ({"strata": ["a", None, "b", "b"]}, "strata has 1 missing"),
    ],
)
def test_bad_input(change, message):
    data = {"duration": [1, 2, 3, 4], "event": [1, 1, 0, 1], "group": [0, 1, 0, 1]} | change
    with pytest.raises((ValueError, TypeError), match=message):
        stats.logrank(**data)


def test_unknown_name_of_the_package():
    with pytest.raises(AttributeError, match="has no attribute 'log_rank'"):
        stats.log_rank  # noqa: B018
