"""Expected events, average hazard ratio and paper trials, against simulation and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from trial_sim.sample_size.average_hazard import (
    average_hazard_ratio,
    events_by_piece,
    expected_events,
    piecewise_quantile,
    piecewise_survival,
    restricted_mean,
    survival_scenario,
    time_to_events,
)
from trial_sim.sample_size.group_sequential_survival import (
    sequential_max_combo,
    survival_expectations,
)
from trial_sim.sample_size.survival_moments import cox_hazard_ratio, logrank_moments
from trial_sim.sequential.design import group_sequential

SCENARIO = survival_scenario(
    [3, 0, 9],
    [2, 2, 10],
    [9, 18],
    [0.9, 0.6],
    [3],
    dropout=[0.0, 0.02],
    treatment_dropout=0.01,
    allocation=2.0,
)


def test_expected_events_by_quadrature():
    """One arm's events by integrating over entry and over follow-up, numerically."""
    time = 17.0
    edges, rates = np.cumsum([0, 2, 2, 10]), [3, 0, 9]

    def events(hazards, dropout):
        total = np.zeros(2)
        for low, high, rate in zip(edges[:-1], edges[1:], rates):
            for piece in (0, 1):

                def risk(x, piece=piece):
                    gone = piecewise_survival(np.add(hazards, dropout), [3], x)[0]
                    return hazards[piece] * gone

                def upto(entry, piece=piece, risk=risk):
                    start, stop = (0, 3) if piece == 0 else (3, np.inf)
                    end = min(time - entry, stop)
                    return quad(risk, start, end)[0] if end > start else 0.0

                total[piece] += rate * quad(upto, low, min(high, time), limit=200)[0]
        return total

    control, treated = events_by_piece(SCENARIO, time)
    expected = events(SCENARIO.control_hazards, SCENARIO.control_dropout) / 3
    np.testing.assert_allclose(control, expected, rtol=1e-7)
    expected = events(SCENARIO.treatment_hazards, SCENARIO.treatment_dropout) * 2 / 3
    np.testing.assert_allclose(treated, expected, rtol=1e-7)


@settings(max_examples=30, deadline=None)
@given(st.floats(1.0, 80.0), st.floats(0.0, 0.2), st.floats(0.2, 1.5))
def test_events_grow_and_average_lies_between(time, dropout, ratio):
    scenario = survival_scenario(10, 12, 15, [1.0, ratio], [4], dropout=dropout)
    events = expected_events(scenario, [time, time + 1, time + 5])
    assert (np.diff(events) > 0).all() and events[-1] < scenario.n_patients
    ahr = average_hazard_ratio(scenario, time)["ahr"].iloc[0]
    assert min(1.0, ratio) - 1e-12 <= ahr <= max(1.0, ratio) + 1e-12
    assert expected_events(scenario, time_to_events(scenario, events[1]))[0] == pytest.approx(
        events[1], abs=1e-8
    )


def test_proportional_hazards_have_one_ratio():
    scenario = survival_scenario(20, 12, [9, 18], 0.7, [3], dropout=0.01)
    assert average_hazard_ratio(scenario, 20)["ahr"].iloc[0] == pytest.approx(0.7)
    assert cox_hazard_ratio(scenario, 20) == pytest.approx(0.7, abs=1e-10)


def test_zero_hazard_in_a_piece():
    scenario = survival_scenario(10, 10, control_hazard=[0.0, 0.1], breakpoints=[2])
    assert expected_events(scenario, 2.0)[0] == 0.0
    assert expected_events(scenario, 30.0)[0] > 80


def test_survival_curves():
    s = piecewise_survival([0.1, 0.3], [2], [0, 1, 2, 4])
    np.testing.assert_allclose(s, np.exp([-0.0, -0.1, -0.2, -0.8]))
    assert piecewise_quantile([0.1, 0.3], [2], 0.1) == pytest.approx(-np.log(0.9) / 0.1)
    median = piecewise_quantile([0.1, 0.3], [2])
    assert piecewise_survival([0.1, 0.3], [2], median)[0] == pytest.approx(0.5)
    assert piecewise_quantile([0.1, 0.0], [2]) == np.inf
    area = quad(lambda t: piecewise_survival([0.1, 0.0, 0.3], [2, 5], t)[0], 0, 9, points=[2, 5])[0]
    assert restricted_mean([0.1, 0.0, 0.3], [2, 5], 9.0) == pytest.approx(area, abs=1e-10)


def simulate_logrank(scenario_hr, delay, n, accrual, time, trials, seed):
    """Log-rank z of simulated trials cut at calendar `time` (control median 12, 1:1)."""
    rng = np.random.Generator(np.random.Philox(seed))
    hazard = np.log(2) / 12
    z = np.empty(trials)
    arm = np.tile([0, 1], n // 2)
    for k in range(trials):
        unit = rng.exponential(size=n)
        late = delay + (unit - hazard * delay) / (hazard * np.where(arm == 1, scenario_hr, 1.0))
        survival = np.where(unit < hazard * delay, unit / hazard, late)
        limit = np.minimum(time - rng.uniform(0, accrual, n), rng.exponential(1 / 0.01, n))
        observed, event = np.minimum(survival, limit), survival <= limit
        order = np.argsort(observed)
        a, d = arm[order], event[order]
        risk = np.arange(n, 0, -1)
        share = np.cumsum(a[::-1])[::-1] / risk
        z[k] = (share - a)[d].sum() / np.sqrt((share * (1 - share))[d].sum())
    return z


def test_delayed_effect_against_simulation():
    scenario = survival_scenario(300 / 12, 12, 12, [1, 0.5], [3], dropout=0.01)
    z = simulate_logrank(0.5, 3, 300, 12, 24.0, 3000, 5)
    moments = logrank_moments(scenario, 24.0)
    expected = float(moments.effect[0]) * np.sqrt(300)
    assert z.mean() == pytest.approx(expected, abs=4 * z.std() / np.sqrt(3000) + 0.02)
    power = survival_expectations(scenario, group_sequential([1.0]), times=[24.0]).power
    assert (z > 1.959964).mean() == pytest.approx(power, abs=0.035)


def test_three_looks_agree_with_lrstat_and_rpact_simulations():
    """lrstat, 60,000 simulated trials: sim_lrstat_gs3_ph_60000 of the golden values."""
    scenario = survival_scenario(500 / 24, 24, 12, 0.7)
    design = group_sequential(efficacy="lan_demets_obrien_fleming")
    found = survival_expectations(scenario, design, events=[110, 220, 331])
    assert found.power == pytest.approx(0.8971, abs=0.006)
    np.testing.assert_allclose(found.stage_rejection, [0.03198, 0.51605, 0.34907], atol=0.01)
    np.testing.assert_allclose(found.times, [16.69542, 25.11051, 35.62714], atol=0.05)
    assert found.expected_duration == pytest.approx(29.56497, abs=0.12)
    assert found.table().loc[3, "events"] == pytest.approx(331)


def test_max_combo_with_one_test_is_the_group_sequential_test():
    scenario = survival_scenario(25, 12, 10, 0.65)
    design = group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming")
    times = [time_to_events(scenario, x) for x in (90, 180)]
    paper = survival_expectations(scenario, design, times=times)
    again = group_sequential(
        paper.information, efficacy="lan_demets_obrien_fleming", spending_fractions=(0.5, 1)
    )
    found = sequential_max_combo(
        scenario, times, [["logrank"], ["logrank"]], design.alpha_spent.tolist()
    )
    np.testing.assert_allclose(found.critical_values, again.efficacy_bounds, atol=1e-7)
    same = survival_expectations(scenario, again, times=times)
    np.testing.assert_allclose(found.rejection, same.stage_rejection, atol=1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: survival_scenario(10, 12), "give control_median or control_hazard"),
        (lambda: survival_scenario(10, 12, 12, 0.0), "hazard ratios must be above 0"),
        (lambda: survival_scenario(10, 12, 12, np.nan), "hazard_ratios must be finite"),
        (lambda: survival_scenario(0, 12, 12), "accrual needs periods longer than 0"),
        (lambda: survival_scenario(10, [6, 6], 12), "must have one length, got 1 and 2"),
        (lambda: survival_scenario(10, 12, 12, [1, 0.5]), "hazard_ratios needs 1 values for 0"),
        (lambda: survival_scenario(10, 12, 12, 0.7, [5, 3]), "breakpoints must increase"),
        (lambda: survival_scenario(10, 12, 12, allocation=0), "allocation must be above 0"),
        (
            lambda: survival_scenario(10, 12, 12, dropout=-1),
            "control_dropout must be finite and",
        ),
        (lambda: time_to_events(survival_scenario(10, 1, 12), 11), "11 events are never expected"),
        (
            lambda: survival_expectations(
                survival_scenario(10, 10, 12), group_sequential((0.5, 1)), events=[60, 120]
            ),
            "look 2 cannot be reached: 120 events are never expected: at most 100.0 of 100",
        ),
        (lambda: average_hazard_ratio(survival_scenario(10, 1, 12), -1), "time must be above 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
