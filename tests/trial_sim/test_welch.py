"""Welch's test in simulated trials, beside scipy; figures of designs and curves."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import trial_sim as ts
from trial_sim.engine.response_analyses import WelchDifference, t_to_z


def design(**options):
    settings = {
        "arms": {"control": 1, "treatment": 3}, "n_patients": 80, "accrual": ts.Accrual(rate=20),
        "looks": ts.EnrolmentLooks([80]), "test": "welch",
    }  # fmt: skip
    return ts.Design(**{**settings, **options})


def test_unequal_spreads_hold_the_level_under_welch_and_not_under_student():
    outcomes = ts.ContinuousResponse(difference=0.0, sd={"control": 3.0, "treatment": 1.0})
    rates = {
        test: ts.simulate(design(test=test), outcomes, n_trials=8000, seed=1).power
        for test in ("welch", "t_test")
    }
    assert abs(rates["welch"] - 0.025) < 3 * (0.025 * 0.975 / 8000) ** 0.5
    assert rates["t_test"] > 0.05  # the small arm is the one that varies more


def test_each_trial_is_scipys_welch_test():
    rng = np.random.default_rng(2)
    response = rng.normal(0, 1, (5, 30)) + 0.3
    response[:, :9] *= 4
    arm = np.broadcast_to((np.arange(30) >= 9).astype(np.int8), (5, 30))

    batch = SimpleNamespace(
        arm=arm, calendar_event=np.zeros((5, 30)), outcome=SimpleNamespace(response=response)
    )
    z, effect, se = WelchDifference(1.0).evaluate(batch, 1, np.ones(5), np.ones(5, bool))
    for k in range(5):
        one, two = response[k, 9:], response[k, :9]
        found = stats.ttest_ind(one, two, equal_var=False)
        assert z[k] == pytest.approx(float(t_to_z(np.array(found.statistic), found.df)), abs=1e-9)
        assert effect[k] == pytest.approx(one.mean() - two.mean())
        assert se[k] == pytest.approx(effect[k] / found.statistic)


def test_a_margin_moves_the_null():
    outcomes = ts.ContinuousResponse(difference=-0.5, sd={"control": 1.0, "treatment": 1.5})
    at_margin = ts.simulate(design(margin=0.5), outcomes, n_trials=6000, seed=3).power
    assert abs(at_margin - 0.025) < 3 * (0.025 * 0.975 / 6000) ** 0.5


def test_figures_show_the_designs_numbers():
    made = ts.group_sequential(
        (0.4, 0.7, 1), efficacy="lan_demets_obrien_fleming", futility=("hwang_shih_decani", -2)
    )
    lines = made.plot().axes[0].lines
    np.testing.assert_allclose(lines[0].get_ydata(), made.efficacy_bounds)
    np.testing.assert_allclose(lines[1].get_ydata(), made.futility_bounds)
    x, y = made.plot("power").axes[0].lines[0].get_data()
    assert np.interp(1.0, x, y) == pytest.approx(made.power, abs=2e-3)
    x, y = made.plot("size").axes[0].lines[0].get_data()
    assert np.interp(1.0, x, y) == pytest.approx(made.power, abs=2e-3)
    assert made.plot("alpha").axes[0].lines[0].get_ydata()[-1] == pytest.approx(made.alpha)
    with pytest.raises(ValueError, match="one of bounds, alpha, power, size"):
        made.plot("bound")


def test_a_curve_is_drawn_with_its_censored_patients():
    curve = ts.kaplan_meier([2, 3, 5, 5, 8], [1, 0, 1, 0, 1])
    axes = curve.plot(label="a").axes[0]
    assert axes.lines[0].get_ydata()[0] == 1.0
    assert axes.lines[1].get_xdata().tolist() == [3, 5]
