"""The end of follow-up: administrative ends and drop-out, kept apart by every model of times."""

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.numerics.told import upper_end
from trial_sim.outcomes.hazard_grid import recorded_up, resolution_of
from trial_sim.outcomes.times.follow_up import administrative_ends, calibrated_chances, refined

N = 400
BIG = {"A": 4000, "B": 4000}


def times(end, drop_out=0.0, unit=0.0, seed=0, n=N):
    """Exponential times (means 20 and 30) of ``n`` patients: table of arm, age, time, event."""
    rng = np.random.default_rng(seed)
    arm = rng.permutation(n) % 2
    death = rng.exponential(np.where(arm, 30, 20), n)
    last = end(rng, n) if callable(end) else np.full(n, end)
    if drop_out:
        last = np.minimum(last, rng.exponential(1 / drop_out, n))
    time = np.minimum(death, last)
    if unit:
        time = np.ceil(time / unit) * unit
    names = np.where(arm, "B", "A")
    return pd.DataFrame({"arm": names, "age": rng.normal(60, 9, n).round(), "t": time,
                         "d": (death <= last).astype(int)})  # fmt: skip


def trial_of(table, endpoint=None):
    return ts.Trial(
        table, "arm", {"e": endpoint or ts.TimeToEvent("t", "d")}, ["age"], arms=["A", "B"]
    )


SHAPES = {
    "month 12 for all": {"end": 12.0},
    "the same, drop-out beside": {"end": 12.0, "drop_out": 0.03},
    "the same in whole months": {"end": 12.0, "drop_out": 0.03, "unit": 1.0},
    "two cohorts": {"end": lambda rng, n: rng.choice([6.0, 12.0], n)},
    "nobody censored": {"end": np.inf},
    "drop-out only": {"end": np.inf, "drop_out": 0.03},
    "staggered entry": {"end": lambda rng, n: rng.uniform(24, 36, n)},
    "staggered entry, few patients": {"end": lambda rng, n: rng.uniform(24, 36, n), "n": 50},
}


@pytest.mark.parametrize("model", ["cox_by_arm", "weibull"])
@pytest.mark.parametrize("shape", SHAPES)
def test_events_and_follow_up_are_those_of_the_trial(shape, model):
    table = times(**SHAPES[shape])
    fitted = ts.fit(trial_of(table), "e", model=model, covariate_model="bootstrap")
    made = fitted.sample_trial(BIG, uncertainty=False).patients
    for arm in "AB":
        real, synthetic = (t[t["arm"] == arm] for t in (table, made))
        error = np.sqrt(real["d"].var() / len(real) + 1e-4)
        assert abs(synthetic["d"].mean() - real["d"].mean()) < 2 * error
        error = np.sqrt(real["t"].var() / len(real))
        assert abs(synthetic["t"].mean() - real["t"].mean()) < 2 * error
    half = table["t"].max() / 2  # followed for half the time
    share = [(t["t"] > half).mean() for t in (table, made)]
    assert abs(share[0] - share[1]) < 2 * 0.5 / len(table) ** 0.5
    assert made["t"].max() <= upper_end(table["t"]) * (1 + 1e-9) or shape == "nobody censored"


def test_the_printed_fit_names_both():
    fitted = ts.fit(trial_of(times(12.0, 0.03)), "e", model="cox", covariate_model="bootstrap")
    assert "the administrative end at 12 months (all), drop-out of 0.0" in repr(fitted)
    fitted = ts.fit(trial_of(times(np.inf)), "e", model="cox", covariate_model="bootstrap")
    assert "follow-up ends by the event alone" in repr(fitted)
    assert any("nobody is censored" in note for note in fitted.notes)


@pytest.mark.parametrize("model", ["cause_specific_by_arm", "cause_specific", "fine_gray"])
@pytest.mark.parametrize("end", [12.0, np.inf])
def test_competing_risks(model, end):
    table = times(end, 0.02 if np.isfinite(end) else 0.0)
    rng = np.random.default_rng(1)
    table["d"] *= rng.choice([1, 2], len(table), p=[0.6, 0.4])
    trial = trial_of(table, ts.CompetingRisks("t", "d"))
    fitted = ts.fit(trial, "e", model=model, covariate_model="bootstrap")
    made = fitted.sample_trial(BIG, uncertainty=False).patients
    for cause in (0, 1, 2):
        share = [(t["d"] == cause).mean() for t in (table, made)]
        assert abs(share[0] - share[1]) < (0.03 if share[0] else 0.002)
    assert abs(made["t"].mean() / table["t"].mean() - 1) < 0.06


def test_progression_and_death_with_fixed_follow_up():
    rng = np.random.default_rng(2)
    table = times(np.inf)
    death = table["t"] + rng.exponential(8, N)
    ill, end = rng.random(N) < 0.7, 12.0
    first = np.where(ill, table["t"], death)
    table = pd.DataFrame({
        "arm": table["arm"], "age": table["age"],
        "pt": np.minimum(first, end), "pd": (ill & (first <= end)).astype(int),
        "dt": np.minimum(death, end), "dd": (death <= end).astype(int),
    })  # fmt: skip
    both = {"p": ts.TimeToEvent("pt", "pd"), "d": ts.TimeToEvent("dt", "dd")}
    fitted = ts.fit(ts.Trial(table, "arm", both, ["age"]), ["p", "d"], covariate_model="bootstrap")
    made = fitted.sample_trial(BIG, uncertainty=False).patients
    for name in ("pd", "dd"):
        assert abs(made[name].mean() - table[name].mean()) < 0.035
    assert abs((made["dt"] == 12).mean() - (table["dt"] == 12).mean()) < 0.035


@pytest.mark.parametrize("drop_out", [0.0, 0.4])
def test_differential_privacy_keeps_the_administrative_end(drop_out):
    table = times(12.0, drop_out / 12, n=4000)
    fitted = ts.fit(trial_of(table), "e", epsilon=50.0, noise_seed=0)
    made = fitted.sample_trial(BIG, uncertainty=False).patients
    assert abs(made["d"].mean() - table["d"].mean()) < 0.02
    assert abs((made["t"] == 12).mean() - (table["t"] == 12).mean()) < 0.02
    assert "administrative end 1 in [12, 12]" in str(fitted.privacy)


def test_ends_are_found_among_smooth_drop_out():
    rng = np.random.default_rng(3)
    smooth = np.ceil(rng.uniform(12, 36, 500))
    censored = np.ones(500, dtype=bool)
    assert len(administrative_ends(smooth, censored, 1.0)) == 0
    many = np.where(rng.random(500) < 0.4, 24.0, smooth)
    assert administrative_ends(many, censored, 1.0).tolist() == [24.0]
    assert administrative_ends(np.array([1.0, 2, 3]), np.zeros(3, bool), 1.0).tolist() == []


def test_intervals_split_where_drop_out_starts():
    rng = np.random.default_rng(4)
    time = np.r_[rng.uniform(24, 36, 20), rng.uniform(0, 36, 40)]
    lost = np.arange(60) < 20
    knots = refined(np.array([0.0, 36.0]), time, lost, 0.0, None)
    assert 22 < knots[1] < 26
    even = refined(np.array([0.0, 36.0]), rng.uniform(0, 36, 60), lost, 0.0, None)
    assert len(even) <= 4


def test_calibrated_chances_average_to_the_share():
    risks = np.exp(np.random.default_rng(5).normal(0, 1, (1, 500)))
    chance = calibrated_chances(np.array([[0.3, 1.0, 0.0]]), risks)
    mean = (1 - (1 - chance[0][:, None]) ** risks[0]).mean(axis=1)
    assert mean == pytest.approx([0.3, 1.0, 0.0], abs=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_units_of_records_whatever_the_scale(scale):
    for unit in (1.0, 0.5, 0.1, 0.05, 0.01, 10.0):
        recorded = np.array([3, 7, 11, 117]) * unit * scale
        assert resolution_of(recorded) == pytest.approx(unit * scale)
        assert recorded_up(recorded * (1 - 1e-6), unit * scale) == pytest.approx(recorded, 1e-12)
    assert resolution_of(np.random.default_rng(0).exponential(20, 50) * scale) == 0.0
