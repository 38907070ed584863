"""Ongoing trials of adaptive designs, carried on under their rules, beside plain Python."""

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.assumptions import Settings
from trial_sim.prediction.event_prediction import rest_of_events
from trial_sim.prediction.reading.ongoing import read_ongoing
from trial_sim.prediction.under_rules import plain_design, queue_length

OUTCOMES = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
RATES = np.log(2) / 12 * np.array([1.0, 0.7])


def cut(rates, events, n=200, arms=("control", "treatment"), per_month=25.0, seed=4):
    """Patients of a simulated trial at its k-th event, and the month of it."""
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % len(arms)
    entry = np.cumsum(rng.exponential(1 / per_month, n))
    latent = rng.exponential(1.0, n) / np.asarray(rates)[arm]
    month = np.sort(entry + latent)[events - 1]
    there = entry <= month
    time = np.minimum(latent, month - entry)[there]
    event = (entry + latent <= month)[there].astype(int)
    names = np.array(arms)[arm[there]]
    table = {"arm": names, "enrolment": entry[there], "time": time, "event": event, "dropout": 0}
    return pd.DataFrame(table), float(month)


def growing(*rules, **changes):
    fields = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": 200,
        "accrual": ts.Accrual(rate=25),
        "looks": ts.EventLooks([60, 120]),
        "boundaries": ts.group_sequential((0.5, 1), efficacy="obrien_fleming"),
    }
    return ts.AdaptiveDesign(
        ts.Design(**fields | changes),
        [
            ts.Milestone("interim", ts.EventLooks([60]), rules),
            ts.Milestone("final", ts.EventLooks([120])),
        ],
        ts.ClosedTest(intersection="simes"),
    )


def score(table, calendar, at):
    """Log-rank score and variance of the treatment at a calendar month."""
    entry, arm = table["enrolment"].to_numpy(), (table["arm"] == "treatment").to_numpy(int)
    seen = entry < at
    time = np.minimum(calendar, at)[seen] - entry[seen]
    event = (calendar <= at)[seen]
    order = np.argsort(-time)
    at_risk, treated = np.arange(1, len(time) + 1), np.cumsum(arm[seen][order])
    share = (treated / at_risk)[event[order]]
    observed = arm[seen][order][event[order]]
    return -(observed - share).sum(), (share * (1 - share)).sum()


def test_success_is_that_of_trials_carried_on_by_hand():
    """Fixed hazards: the events grow to 160 where z is small, stages are combined."""
    design = growing(
        ts.Rule("z <= -0.5", ts.Stop("futility")),
        ts.Rule("z < 1.5", ts.Resize(events=160, by="most")),
    )
    table, month = cut(RATES, 50)
    assert len(table) == 200
    found = ts.predict(table, design, cutoff=month, outcomes=OUTCOMES, n_draws=600, seed=2)
    rng, hits, grown = np.random.default_rng(8), 0, 0
    n = 300
    bounds = design.efficacy_bounds
    entry = table["enrolment"].to_numpy()
    rate = RATES[(table["arm"] == "treatment").to_numpy(int)]
    for _ in range(n):
        extra = rng.exponential(1.0, 200) / rate
        calendar = entry + table["time"] + np.where(table["event"] == 1, 0.0, extra)
        ordered = np.sort(calendar)
        first, v1 = score(table, calendar, ordered[59])
        z1 = first / np.sqrt(v1)
        if z1 >= bounds[0]:
            hits += 1
        if z1 >= bounds[0] or z1 <= -0.5:
            continue
        more = z1 < 1.5
        grown += more
        last, v2 = score(table, calendar, ordered[159 if more else 119])
        z2 = (last - first) / np.sqrt(v2 - v1)
        hits += (z1 + z2) / np.sqrt(2) >= bounds[1]
    power = found.conditional_power["design"].estimate
    error = np.sqrt(power * (1 - power) * (1 / 600 + 1 / n))
    assert power == pytest.approx(hits / n, abs=3.5 * error)
    assert grown > 0 and "Resize" in str(found)
    assert found.looks["look"].tolist() == [1, 2]
    assert found.milestones()["milestone"].tolist() == ["200 patients", "60 events", "120 events"]


def test_milestones_before_the_cutoff_are_held_on_the_data():
    design = growing(ts.Rule("z < 5", ts.Resize(events=160, by="most")))
    table, month = cut(RATES, 80)
    found = ts.predict(table, design, cutoff=month, n_draws=50, seed=2)
    assert found.rules[["probability", "held"]].to_numpy().tolist() == [[1.0, True]]
    assert found.looks["look"].tolist() == [2]
    at = found._events[:, 159]
    assert found.looks["month_median"].iloc[0] == pytest.approx(np.median(at))
    again = found.what_if(event_rate=2.0)
    assert again.looks["month_median"].iloc[0] < found.looks["month_median"].iloc[0]
    assert "interim, if z &lt; 5" in found.to_html()


def test_nothing_known_changes_and_nobody_comes_to_a_dropped_arm():
    arms = ("control", "a", "b")
    design = growing(
        ts.Rule("rank > 1", "DropArm"),
        arms=dict.fromkeys(arms, 1),
        n_patients=300,
        looks=ts.EventLooks([40, 120]),
        boundaries=ts.group_sequential((1 / 3, 1), efficacy="obrien_fleming"),
        multiplicity="unadjusted",
    ).replace(
        milestones=[
            ts.Milestone("interim", ts.EventLooks([40]), ts.Rule("rank > 1", "DropArm")),
            ts.Milestone("final", ts.EventLooks([120])),
        ]
    )
    table, month = cut(np.log(2) / 10 * np.array([1, 0.9, 0.5]), 30, 300, arms)
    assert len(table) < 300
    wide = plain_design(design).replace(n_patients=queue_length(design))
    trial = read_ongoing(table, wide, cutoff=month)
    random, streams = np.random.default_rng(1), Streams.span(1, 0, 60)
    rest = rest_of_events(trial, wide, OUTCOMES, Settings(), random, streams, design)
    for carried in (rest.drawn, rest.assumed["trend"]()):
        batch, done = carried.batch, carried.conducted
        old = len(table)
        assert (batch.arm[:, :old] == trial.arm).all()
        assert (batch.enrolment[:, :old] == trial.enrolment).all()
        seen = trial.event
        known = trial.enrolment + trial.time
        assert np.allclose(batch.calendar_event[:, :old][:, seen], known[seen])
        open_ = batch.calendar_event[:, :old][:, ~seen]
        assert (open_ > month).all()
        assert (np.isfinite(batch.enrolment).sum(axis=1) == 300).all()
        for t in range(60):
            if done.last_look[t] == 0:
                continue
            closed = np.flatnonzero(done.shares[t, 0] == 0)
            late = batch.enrolment[t] > done.decision_time[t, 0]
            assert closed.size and not np.isin(batch.arm[t, late], closed).any()


def test_what_cannot_be_predicted_under_rules_is_said():
    design = growing(ts.Rule("z < 1", ts.Resize(events=160, by="most")))
    table, month = cut(RATES, 50)
    with pytest.raises(ValueError, match="the patients are blinded"):
        ts.predict(table.drop(columns="arm"), design, cutoff=month, n_draws=5)
    with pytest.raises(ValueError, match="looks_held is for designs without rules"):
        ts.predict(table, design, cutoff=month, looks_held=1, n_draws=5)
    late, after = cut(RATES, 80)
    over = growing(ts.Rule("z < 5", ts.Stop("futility")))
    with pytest.raises(ValueError, match="the trial ended at milestone 'interim'"):
        ts.predict(late, over, cutoff=after, n_draws=5)
    means = growing(
        ts.Rule("z < 1", ts.Resize(n=300, by="most")),
        test="t_test", looks=ts.EnrolmentLooks([100, 200]),
    ).replace(
        milestones=[
            ts.Milestone(
                "interim",
                ts.EnrolmentLooks([100]),
                ts.Rule("z < 1", ts.Resize(n=300, by="most")),
            ),
            ts.Milestone("final", ts.EnrolmentLooks([200])),
        ]
    )  # fmt: skip
    with pytest.raises(ValueError, match="are predicted for times to an event, not for outcomes"):
        ts.predict(table, means, cutoff=month, n_draws=5)
