"""Summaries of simulations: Monte-Carlo errors, intervals, performance of estimates."""

import numpy as np
import pytest
from scipy import stats

import trial_sim as ts
from trial_sim.design.design import Bounds, Design
from trial_sim.numerics.monte_carlo import average, quantile, root_mean_square, share

OUTCOMES = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)


@pytest.fixture(scope="module")
def design():
    return Design(
        arms={"control": 1, "treatment": 1},
        n_patients=300,
        accrual=ts.Accrual(rate=20.0),
        dropout=ts.Dropout(rate=0.004),
        looks=ts.EventLooks([100, 200]),
        boundaries=ts.group_sequential(
            information_fractions=(0.5, 1), alpha=0.025, efficacy="pocock"
        ),
    )


@pytest.fixture(scope="module")
def result(design):
    return ts.simulate(design, OUTCOMES, 4000, seed=1)


def test_intervals_are_those_of_their_definitions():
    hits = np.array([1] * 30 + [0] * 70)
    found = share(hits)
    wilson = stats.binomtest(30, 100).proportion_ci(method="wilson")
    assert (found.lower, found.upper) == pytest.approx((wilson.low, wilson.high), abs=1e-12)
    assert found.mcse == pytest.approx(np.sqrt(0.3 * 0.7 / 100))
    values = np.random.default_rng(1).normal(5, 2, 4000)
    assert average(values).mcse == pytest.approx(2 / np.sqrt(4000), rel=0.05)
    assert average(np.array([1.0, np.nan, 3.0])).estimate == 2
    # standard error of a normal median: 1.2533 sd / sqrt(n)
    assert quantile(values, 0.5).mcse == pytest.approx(1.2533 * 2 / np.sqrt(4000), rel=0.2)
    assert root_mean_square(np.array([3.0, -3.0])).estimate == 3


def test_quantile_interval_covers():
    random = np.random.default_rng(3)
    covered = [
        (lambda q: q.lower <= stats.norm.ppf(0.9) <= q.upper)(
            quantile(random.normal(size=400), 0.9)
        )
        for _ in range(500)
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)


def test_the_table_agrees_with_the_attributes(result):
    table = result.operating_characteristics
    assert list(table.columns) == ["quantity", "estimate", "mcse", "lower", "upper"]
    values = table.set_index("quantity")["estimate"]
    assert values["power"] == result.power == pytest.approx(result.stage_rejection.sum())
    assert values["expected duration"] == pytest.approx(result.expected_duration)
    assert values["expected events"] == pytest.approx(result.expected_events)
    assert values["expected patients"] == pytest.approx(result.expected_patients)
    assert table["mcse"].notna().all() and (table["lower"] <= table["upper"]).all()
    trials = result.trials
    assert len(trials) == int(np.isfinite(result.conducted.look_time).sum())
    last = trials.groupby("trial").last()
    assert (last["decision"] == "efficacy").mean() == result.power
    assert last["month"].mean() == pytest.approx(result.expected_duration)
    assert set(trials.columns) >= {"events_control", "events_treatment", "patients", "z"}


def test_mcse_is_the_spread_between_repeated_simulations(design):
    powers, durations = [], []
    for seed in range(40):
        again = ts.simulate(design, OUTCOMES, 250, seed=seed)
        powers.append(again.power)
        durations.append(again.expected_duration)
    assert np.std(powers) == pytest.approx(again.mcse("power"), rel=0.35)
    assert np.std(durations) == pytest.approx(again.mcse("expected duration"), rel=0.35)


def test_power_to_says_how_many_more(result):
    more = result.power_to(mcse=0.002)
    p, n = result.power, result.n_trials + more
    assert np.sqrt(p * (1 - p) / n) <= 0.002 < np.sqrt(p * (1 - p) / (n - 2))
    assert result.power_to(mcse=0.4) == 0
    hopeless = ts.simulate(
        result.design, ts.PiecewiseExponential(control_median=12, hazard_ratio=2), 200
    )
    assert hopeless.power == 0 and hopeless.power_to(0.001) > 0
    with pytest.raises(ValueError, match="mcse must be between"):
        result.power_to(mcse=0)


def test_estimates_are_biased_at_the_stop_and_adjusted_ones_less(result):
    table = result.estimate_performance(np.log(0.7)).set_index(["method", "quantity"])["estimate"]
    assert table["naive", "bias"] < -0.02  # stopping early for efficacy exaggerates
    assert abs(table["adjusted", "median bias"]) < 0.012 < abs(table["naive", "median bias"])
    assert table["adjusted", "coverage"] == pytest.approx(0.95, abs=0.012)
    assert table["naive", "rmse"] > 0


def test_no_adjustment_without_group_sequential_boundaries(result):
    plain = result.design.replace(boundaries=Bounds([2.5, 2.0]))
    table = ts.simulate(plain, OUTCOMES, 100).estimate_performance(np.log(0.7))
    assert set(table["method"]) == {"naive"}


def test_paired_comparison(result, design):
    other = ts.simulate(design.replace(n_patients=280), OUTCOMES, 2000, seed=1)
    found = other.compare(result, "duration")
    difference = other.duration - result.duration[:2000]
    assert found.estimate == pytest.approx(difference.mean())
    assert found.mcse == pytest.approx(difference.std(ddof=1) / np.sqrt(2000))
    later = ts.simulate(design, OUTCOMES, 10, seed=1, first_trial=9000)
    with pytest.raises(ValueError, match="no trials in common"):
        later.compare(result)


def test_unknown_quantity_names_the_nearest(result):
    with pytest.raises(ValueError, match="did you mean 'expected duration'"):
        result.mcse("expected durations")


def test_curves_show_accrual_and_events(result):
    curves = result.curves(months=[0, 5, 10, 40], n_trials=300)
    assert curves["patients_mean"].tolist()[:3] == pytest.approx([0, 100, 200], abs=3)
    assert curves["patients_mean"].iloc[3] == 300
    assert (curves["events_lower"] <= curves["events_upper"]).all()
    assert curves["events_mean"].is_monotonic_increasing


def test_a_saved_run_can_be_read_and_repeated(result, tmp_path):
    import json

    import pandas as pd

    folder = result.save(tmp_path / "run")
    run = json.loads((folder / "run.json").read_text())
    outcomes = ts.PiecewiseExponential.from_dict(run["outcomes"])
    again = ts.simulate(Design.from_dict(run["design"]), outcomes, 50, seed=run["seed"])
    trials = pd.read_parquet(folder / "trials.parquet")
    pd.testing.assert_frame_equal(trials[trials["trial"] < 50], again.trials)
    assert run["hash"] == result.provenance["hash"]
    assert (folder / "operating_characteristics.csv").exists()


def test_provenance_identifies_the_run(result, design):
    same = ts.simulate(design, OUTCOMES, 10, seed=1).provenance["hash"]
    assert same == result.provenance["hash"]
    assert ts.simulate(design, OUTCOMES, 10, seed=2).provenance["hash"] != same
    assert "4000 trials" in repr(result)
