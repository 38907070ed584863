"""Re-estimated sample sizes against published and independently computed values."""

import numpy as np
import pytest
from scipy import stats

import trial_sim as ts


@pytest.mark.parametrize(
    ("delta", "conventional", "chw", "expected_n"),
    [  # Mehta & Pocock 2011; Simpson's rule over the jumps of the zone, good to about 5e-6
        (0.0, 0.0244470165, 0.025, 463.86599),
        (1.6, 0.6547749152, 0.6573113675, 495.04859),
        (1.8, 0.7521567944, 0.7539969534, 492.31603),
        (1.9, 0.7943773245, 0.7958888955, 490.33981),
    ],
)
def test_promising_zone_of_mehta_and_pocock(delta, conventional, chw, expected_n):
    zone = ts.PromisingZone(n_first=208, n_planned=442, n_max=884, lower=0.365)
    theta = delta / (2 * 7.5)
    usual, weighted = (zone.probabilities(theta, test) for test in ("conventional", "chw"))
    assert usual.power == pytest.approx(conventional, abs=5e-6)
    assert weighted.power == pytest.approx(chw, abs=5e-6)
    assert usual.expected_n == pytest.approx(expected_n, abs=0.005)
    fixed = stats.norm.sf(1.959963985 - theta * np.sqrt(442))
    assert usual.power_fixed == pytest.approx(fixed, abs=1e-8)
    # the chance of the zone in closed form: conditional power is monotone in z
    first, rest = np.sqrt(208), np.sqrt(442 - 208)
    low, high = (
        (stats.norm.ppf(cp) + stats.norm.isf(0.025) * np.sqrt(442) / rest)
        / (rest / first + first / rest)
        for cp in (0.365, 0.8)
    )
    share = stats.norm.cdf(high - theta * first) - stats.norm.cdf(low - theta * first)
    assert usual.reestimated == pytest.approx(share, abs=1e-10)
    assert ts.PromisingZone.from_yaml(zone.to_yaml()) == zone


def test_promising_zone_in_simulated_trials():
    zone = ts.PromisingZone(n_first=208, n_planned=442, n_max=884)
    theta, n = 1.7 / 15, 400_000
    rng = np.random.default_rng(5)
    one = rng.normal(theta * np.sqrt(208), 1, n)
    total = zone.n_total(one)
    two = rng.normal(theta * np.sqrt(total - 208), 1)
    for test in ("chw", "conventional"):
        power = (zone.final_z(one, two, test) > stats.norm.isf(0.025)).mean()
        exact = zone.probabilities(theta, test)
        assert power == pytest.approx(exact.power, abs=4 * np.sqrt(0.2 / n))
    assert total.mean() == pytest.approx(exact.expected_n, abs=4 * total.std() / np.sqrt(n))


def test_a_re_estimation_goes_to_yaml_and_back():
    design = ts.group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming")
    rule = ts.SampleSizeReestimation(design, 221, 221, 663, theta="observed")
    assert ts.SampleSizeReestimation.from_yaml(rule.to_yaml()) == rule


def test_blinded_rates_go_to_yaml_and_back():
    blinded = ts.BlindedRates(n_first=60, difference=0.2)
    assert ts.BlindedRates.from_yaml(blinded.to_yaml()) == blinded


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: ts.PromisingZone(442, 442, 884), "n_first must be below n_planned"),
        (lambda: ts.PromisingZone(208, 442, 400), "n_max 400 is below n_planned 442"),
        (lambda: ts.PromisingZone(208, 442, 884, lower=0.9), "lower must be between 0 and 0.8"),
        (lambda: ts.smallest_promising_power(0.5, 1.0), "growth must be above 1"),
        (
            lambda: ts.SampleSizeReestimation(ts.group_sequential(), 50, 50, 100),
            "must have two looks",
        ),
        (lambda: ts.BlindedRates(61, 0.2), "n_first must be even"),
        (lambda: ts.BlindedRates(60, 0.2).n_total(70), "70 responders of 60 patients cannot be"),
        (lambda: ts.BlindedRates(60, 0.2).probabilities(0.05), "lower the difference"),
        (lambda: ts.blinded_sample_size_means(0, 1), "difference must not be 0"),
        (
            lambda: ts.blinded_sample_size_means(10, 1, adjusted=True),
            "nothing is left within the arms",
        ),
    ],
)
def test_what_cannot_be_sized_is_named(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong()
