"""A design look by look against what rpact prints (3.3.4, its own output to ten digits)."""

import numpy as np
import pytest

import trial_sim as ts

# getDesignGroupSequential(kMax = 3, informationRates = c(.33, .7, 1), alpha = .025, beta = .1,
#   typeOfDesign = "asOF", futilityBounds = c(-.5, .3), bindingFutility = FALSE)
GS = ts.group_sequential(
    (0.33, 0.7, 1), efficacy="lan_demets_obrien_fleming", futility=[-0.5, 0.3], power=0.9
)
TWO = ts.group_sequential((0.5, 1), efficacy="obrien_fleming", alpha=0.05, sided=2, power=0.8)
SURVIVAL = {
    "hazard_ratio": 0.7, "control_median": 12, "accrual_duration": 12, "study_duration": 30
}  # fmt: skip
RPACT = {
    "getSampleSizeMeans(d, alternative = 2, stDev = 5)": (
        ts.sample_size_means(2, sd=5, boundaries=GS), "patients", "difference",
        [89.60695562, 190.07536041, 271.53622915],
        [4.115429869, 1.786045814, 1.219427361], [-0.53009026, 0.21791529],
    ),
    "getSampleSizeMeans(d, alternative = 2, stDev = 5, normalApproximation = TRUE)": (
        ts.sample_size_means(2, sd=5, boundaries=GS, method="normal"), "patients", "difference",
        [88.95152974, 188.68506309, 269.55009013],
        [3.955574570, 1.776056735, 1.218235805], [-0.53014332, 0.21839993],
    ),
    "getSampleSizeRates(d, pi1 = .4, pi2 = .25)": (
        ts.sample_size_proportions(0.4, 0.25, boundaries=GS), "patients", "difference",
        [137.3521634, 291.3530739, 416.2186770],
        [0.31268928175, 0.13295141238, 0.08939134403], [-0.0360165, 0.0153738],
    ),
    "getSampleSizeRates(d, pi1 = .25, pi2 = .4, riskRatio = TRUE)": (
        ts.sample_size_proportions(0.25, 0.4, boundaries=GS, scale="ratio"), "patients", "ratio",
        [137.3521634, 291.3530739, 416.2186770],
        [0.3015862811, 0.6632877877, 0.7657174715], [1.10532018, 0.95710939],
    ),
    "getSampleSizeSurvival(d, hazardRatio = .7, lambda2 = log(2) / 12, accrualTime = c(0, 12), "
    'followUpTime = 18, typeOfComputation = "Schoenfeld")': (
        ts.sample_size_survival(**SURVIVAL, boundaries=GS), "events", "hazard_ratio",
        [111.8737512, 237.3079571, 339.0113674],
        [0.4938975514, 0.7285219902, 0.8047230535], [1.09915799, 0.96179986],
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", RPACT)
def test_looks_as_rpact_prints_them(call):
    size, counted, effect, numbers, efficacy, futility = RPACT[call]
    table = size.summary(GS)
    np.testing.assert_allclose(table[counted], numbers, rtol=1e-6)
    np.testing.assert_allclose(table[f"efficacy_{effect}"], efficacy, rtol=2e-7)
    np.testing.assert_allclose(table[f"futility_{effect}"][:2], futility, rtol=3e-7)
    levels = [9.548739973e-05, 7.350969499e-03, 2.274488492e-02]
    np.testing.assert_allclose(table["efficacy_p"], levels, rtol=1e-6)
    np.testing.assert_allclose(table["futility_p"][:2], [0.6914624613, 0.3820885778], rtol=1e-8)
    np.testing.assert_allclose(
        table["efficacy_h1"], [0.03256367732, 0.58832867209, 0.27910765059], atol=1e-8
    )
    np.testing.assert_allclose(
        table["futility_h1"][:2], [0.008509838686, 0.005320057751], atol=1e-8
    )
    # summary() prints .0001, .0074, .0250; .0326, .6209, .9000; .3085, .3364 and .0073
    np.testing.assert_allclose(table["cumulative_alpha"], [0.0001, 0.0074, 0.025], atol=6e-5)
    np.testing.assert_allclose(table["cumulative_power"], [0.0326, 0.6209, 0.9], atol=6e-5)
    np.testing.assert_allclose(table["futility_h0"][:2], [0.3085, 0.3364], atol=6e-5)
    assert table["efficacy_h0"][2] == pytest.approx(0.0073, abs=6e-5)


def test_both_sides_as_rpact_prints_them():
    rates = ts.sample_size_proportions(0.4, 0.25, boundaries=TWO, power=0.8).summary(TWO)
    np.testing.assert_allclose(
        rates["efficacy_difference"], [0.2167917830, 0.1037725565], rtol=1e-7
    )
    lower = rates["efficacy_difference_other"]
    np.testing.assert_allclose(lower, [-0.16817875381, -0.09115942772], rtol=1e-7)
    means = ts.sample_size_means(2, sd=5, boundaries=TWO, power=0.8, method="normal").summary(TWO)
    np.testing.assert_allclose(means["efficacy_difference"], [2.812375254, 1.406187627], rtol=1e-7)
    assert "futility_z" not in means


def test_months_and_patients_of_a_survival_trial():
    size = ts.sample_size_survival(**SURVIVAL, boundaries=GS)
    scenario = ts.survival_scenario(
        accrual_rates=size.n_total / 12, accrual_durations=12, control_median=12, hazard_ratio=0.7
    )
    table = size.summary(GS, scenario)
    np.testing.assert_allclose(table["month"], [11.49297793, 19.62666763, 30.0], rtol=1e-6)
    np.testing.assert_allclose(
        table["patients"], [476.6726848, 497.7014878, 497.7014878], rtol=1e-6
    )
    # non-binding futility gives no error back: the last is what the bounds spend without it
    assert table["cumulative_alpha"].iloc[-1] == pytest.approx(0.025, abs=5e-5)


@pytest.mark.parametrize(
    "size",
    [
        ts.sample_size_counts(0.5, 0.7, dispersion=0.5, exposure=2.0, boundaries=GS),
        ts.sample_size_means(0.4, sd=1, null_value=-0.2, boundaries=GS),
        ts.sample_size_proportions(0.6, 0.58, null_value=-0.1, boundaries=GS),
    ],
)
def test_effects_of_other_kinds_lie_between_null_and_more(size):
    """An efficacy bound is beyond the null towards the planned effect, less so at each look."""
    table = size.summary(GS)
    null = size.details.get("null_value", 1.0)
    found = table[f"efficacy_{size.effect_name}"].to_numpy()
    towards = np.sign(size.effect - null)
    assert (towards * (found - null) > 0).all()
    assert (np.diff(towards * (found - null)) < 0).all()
    # at the last look the bound is nearer to the null than the planned effect: power is above .5
    assert abs(found[-1] - null) < abs(size.effect - null)


def test_the_drift_follows_the_power_of_the_size():
    size = ts.sample_size_means(2, sd=5, boundaries=GS, power=0.8)
    table = size.summary(GS)
    assert table["cumulative_power"].iloc[-1] == pytest.approx(0.8, abs=1e-9)


def test_what_a_summary_refuses():
    size = ts.sample_size_means(2, sd=5, boundaries=GS)
    with pytest.raises(ValueError, match="2-sided alpha"):
        size.summary(TWO)
    scenario = ts.survival_scenario(
        accrual_rates=20, accrual_durations=10, control_median=12, hazard_ratio=0.7
    )
    with pytest.raises(ValueError, match="survival trials"):
        size.summary(GS, scenario)
