"""Non-inferiority margins and unequal standard deviations, against the normal approximation."""

import numpy as np
import pytest
from scipy.stats import norm

import trial_sim as ts

N_TRIALS = 2000


def plan(test, looks, n=200, **options):
    return ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=n, accrual=ts.Accrual(rate=100),
        looks=looks, test=test, **options,
    )  # fmt: skip


def holds(power, expected, slack=0.0):
    return abs(power - expected) < 3.5 * (expected * (1 - expected) / N_TRIALS) ** 0.5 + slack


@pytest.mark.parametrize("sd", [1.0, {"control": 1.0, "treatment": 2.0}])
@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("difference", [0.0, -0.4])
def test_a_difference_of_means(sd, better, difference):
    sign = 1 if better == "higher" else -1
    outcomes = ts.ContinuousResponse(difference=sign * difference, sd=sd)
    design = plan("t_test", ts.EnrolmentLooks([200]), margin=0.4, better=better)
    se = ((1 + 1) if sd == 1.0 else (1 + 4)) ** 0.5 / 10
    expected = norm.cdf((difference + 0.4) / se - norm.isf(0.025))
    power = ts.simulate(design, outcomes, N_TRIALS, seed=1).power
    assert holds(power, expected, 0.006)  # Student's t in place of the normal


@pytest.mark.parametrize("test", ["logrank", "cox"])
@pytest.mark.parametrize("ratio", [1.0, 1.3])
def test_a_hazard_ratio(test, ratio):
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=ratio)
    design = plan(test, ts.EventLooks([400]), n=600, margin=1.3)
    information = 400 * (ratio * 0.25 / ((1 + ratio) / 2) ** 2)
    expected = norm.cdf(np.log(1.3 / ratio) * information**0.5 - norm.isf(0.025))
    power = ts.simulate(design, outcomes, N_TRIALS, seed=2).power
    assert holds(power, expected, 0.01)


def test_a_rate_ratio_keeps_its_level():
    outcomes = ts.CountResponse(control_rate=2.0, rate_ratio=1.25, dispersion=0.5)
    design = plan("negative_binomial", ts.EnrolmentLooks([400]), n=400, margin=1.25)
    assert holds(ts.simulate(design, outcomes, N_TRIALS, seed=3).power, 0.025, 0.006)


def test_wrong_margins_are_refused():
    looks = ts.EventLooks([100])
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=1.0)
    with pytest.raises(ValueError, match=r"above 1 here; got 0\.8"):
        ts.simulate(plan("cox", looks, margin=0.8), outcomes, 10)
    with pytest.raises(ValueError, match="takes no margin; its margin is a parameter"):
        plan(("farrington_manning", 0.1), looks, margin=0.1)
    with pytest.raises(ValueError, match="takes no margin"):
        plan(("fleming_harrington", 0, 1), looks, margin=1.2)
    for wrong in (-0.2, 0, float("nan")):
        with pytest.raises(ValueError, match="margin must be positive"):
            plan("cox", looks, margin=wrong)
    with pytest.raises(ValueError, match="sd is missing for arm 'control'"):
        ts.simulate(
            plan("t_test", ts.EnrolmentLooks([200])),
            ts.ContinuousResponse(difference=0, sd={"treatment": 2.0}), 10,
        )  # fmt: skip
    design = plan("cox", looks, margin=1.3)
    assert ts.Design.from_dict(design.to_dict()) == design
