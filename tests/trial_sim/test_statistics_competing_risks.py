"""Aalen–Johansen and Gray's test against cmprsk, and against exact identities."""

import numpy as np
import pytest

import trial_sim.statistics as stats
from tests.trial_sim import batch_kernels
from tests.trial_sim.statistics_data import survival_trials, table, within
from trial_sim.statistics import kernels

# a small trial with heavy ties: time 1–6, cause 0–2, two groups of 20
TIED = np.array(
    [
        [1, 1, 0], [1, 2, 0], [1, 1, 1], [2, 0, 1], [2, 1, 0], [2, 1, 0], [2, 2, 1], [2, 1, 1],
        [3, 2, 0], [3, 2, 0], [3, 1, 1], [3, 0, 0], [3, 1, 0], [4, 1, 1], [4, 2, 1], [4, 2, 1],
        [4, 1, 0], [4, 0, 0], [5, 1, 0], [5, 1, 1], [5, 2, 0], [5, 0, 1], [5, 2, 1], [6, 1, 1],
        [6, 2, 0], [6, 0, 0], [6, 0, 1], [1, 0, 1], [2, 0, 0], [3, 0, 1], [4, 0, 1], [5, 0, 0],
        [6, 0, 0], [1, 1, 0], [2, 1, 0], [3, 2, 1], [4, 0, 0], [5, 0, 1], [6, 0, 1], [6, 1, 1],
    ]
)  # fmt: skip


def _competing(n_trials, n, seed, grid=0.0):
    """Two causes, the same in both groups: (n_trials, n) duration, cause, group."""
    rng = np.random.Generator(np.random.Philox(seed))
    group = np.tile(np.arange(n) % 2, (n_trials, 1)).astype(np.int8)
    cause = np.where(rng.uniform(size=(n_trials, n)) < 0.6, 1, 2)
    time = rng.exponential(1.0, (n_trials, n))
    censor = rng.uniform(0.5, 3.0, (n_trials, n))
    duration = np.minimum(time, censor)
    if grid:
        duration = np.ceil(duration / grid) * grid
    return duration, np.where(time <= censor, cause, 0).astype(np.int8), group


def test_gray_on_bmt():
    # cmprsk 2.2-11: cuminc(t2, cause, group)$Tests; also in CAMIS
    data = table("bmt")
    relapse = stats.gray_test(data.time, data.cause, data.group)
    assert relapse.statistic == pytest.approx(11.92288204859, abs=1e-10)
    assert relapse.p_value_two_sided == pytest.approx(0.0025762, abs=5e-8)
    death = stats.gray_test(data.time, data.cause, data.group, of=2)
    assert death.statistic == pytest.approx(0.13741078327, abs=1e-10)
    assert death.p_value_two_sided == pytest.approx(0.9336017, abs=5e-8)
    assert sum(relapse.scores) == pytest.approx(0, abs=1e-9)
    assert np.isnan(relapse.z)


@pytest.mark.parametrize(("of", "statistic"), [(1, 0.27552554953023), (2, 4.5699238e-07)])
def test_gray_with_heavy_ties(of, statistic):
    # cmprsk 2.2-11: cuminc(TIED[, 1], TIED[, 2], TIED[, 3])$Tests
    result = stats.gray_test(*TIED.T, of=of)
    assert result.statistic == pytest.approx(statistic, abs=1e-10)
    swapped = stats.gray_test(TIED[:, 0], TIED[:, 1], 1 - TIED[:, 2], of=of)
    assert swapped.z == pytest.approx(-result.z, rel=1e-10)
    assert result.z**2 == pytest.approx(result.statistic, rel=1e-10)


def test_gray_without_competing_events_is_near_the_logrank_test():
    # the risk sets are the same; only the variance estimate differs (under equal incidence)
    duration, event, group = (a[0] for a in survival_trials(1, 400, seed=2, ratio=0.8))
    gray = stats.gray_test(duration, event.astype(int), group)
    assert gray.z == pytest.approx(stats.logrank(duration, event, group).z, abs=0.03)


@pytest.mark.parametrize("grid", [0.0, 0.2])
def test_gray_kernel_equals_the_public_test(grid):
    for seed in range(20):
        duration, cause, group = (a[0] for a in _competing(1, 60, seed, grid))
        for of in (1, 2):
            z = batch_kernels.gray_z_batch(duration[None], cause[None], group[None], of)[0]
            assert z == pytest.approx(stats.gray_test(duration, cause, group, of=of).z, abs=1e-10)
    assert kernels.gray_z_sorted(np.arange(4.0), np.zeros(4, int), np.arange(4) % 2, 1) == 0.0


def test_gray_level():
    n_trials = 10_000
    z = batch_kernels.gray_z_batch(*_competing(n_trials, 120, 12), 1)
    assert within(np.mean(z > 1.959963985), 0.025, n_trials)


def test_incidence_on_bmt():
    # tidycmprsk / cmprsk (CAMIS): AML low risk, relapse at .5, 1, 1.5, 2, 3 years
    data = table("bmt")
    low = data[data.group == "AML low risk"]
    curve = stats.aalen_johansen(low.time, low.cause)
    years = np.array([0.5, 1, 1.5, 2, 3]) * 365.25
    np.testing.assert_allclose(curve.at(years), [0, 4 / 54, 7 / 54, 8 / 54, 9 / 54], atol=1e-12)
    np.testing.assert_allclose(
        curve.standard_error_at(years)[1:],
        [0.036037355718003, 0.046258315963851, 0.048937621089491, 0.051358974920326],
        rtol=1e-10,
    )
    row = np.searchsorted(curve.time, 365.25, side="right") - 1
    assert (curve.lower[row], curve.upper[row]) == pytest.approx((0.0234, 0.1646), abs=5e-5)


def test_incidence_variance_with_ties():
    # cmprsk: timepoints(cuminc(TIED[TIED[, 3] == 1, 1], ...), c(1, 2, 3, 5))$var
    expected = [0.0025, 0.005015432098765, 0.007567009602195, 0.01313718239155]
    one = TIED[TIED[:, 2] == 1]
    curve = stats.aalen_johansen(one[:, 0], one[:, 1])
    np.testing.assert_allclose(curve.standard_error_at([1, 2, 3, 5]) ** 2, expected, rtol=1e-9)


def test_incidences_and_survival_add_to_one():
    data = table("mgus2")
    first, second = (stats.aalen_johansen(data.time, data.cause, of=k) for k in (1, 2))
    np.testing.assert_allclose(first.incidence + second.incidence + first.survival, 1, atol=1e-10)
    free = stats.kaplan_meier(data.time, data.cause > 0)
    np.testing.assert_allclose(free.at(first.time), first.survival, rtol=1e-12)
    assert np.isnan(first.at(1e6)[0]) and first.at(0.0)[0] == 0
    assert len(first.to_frame()) == first.time.size


def test_incidence_of_a_single_cause_is_kaplan_meier():
    duration, event, _ = (a[0] for a in survival_trials(1, 100, seed=4))
    incidence = stats.aalen_johansen(duration, event.astype(int))
    curve = stats.kaplan_meier(duration, event)
    np.testing.assert_allclose(1 - incidence.incidence, curve.at(incidence.time), rtol=1e-10)


def test_bad_input():
    with pytest.raises(ValueError, match="no event of cause 3; the causes seen are 1, 2"):
        stats.gray_test(*TIED.T, of=3)
    with pytest.raises(ValueError, match="whole numbers"):
        stats.aalen_johansen([1, 2], [0.5, 1])
    with pytest.raises(ValueError, match="two or more labels"):
        stats.gray_test([1, 2], [1, 1], ["a", "a"])
    with pytest.raises(ValueError, match="level must be between"):
        stats.aalen_johansen([1, 2], [1, 1], level=95)
