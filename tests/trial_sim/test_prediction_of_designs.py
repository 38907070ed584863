"""What a prediction makes of a design: adaptive and stopped arms, breakpoints; how it prints."""

import warnings

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.assumptions import Settings
from trial_sim.prediction.event_prediction import rest_of_events
from trial_sim.prediction.reading.ongoing import read_ongoing
from trial_sim.prediction.reading.responses import read_responses
from trial_sim.prediction.response_forecast import rest_of_responses


def binary(rule, n=200, **changes):
    fields = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": n,
        "accrual": ts.Accrual(rate=20.0),
        "looks": ts.EnrolmentLooks([n // 2, n], follow_up=2.0),
        "boundaries": ts.group_sequential((0.5, 1)),
        "readout": 2.0,
        "test": "chi_square",
        "randomization": rule,
    }
    return ts.Design(**{**fields, **changes})


def responses(design, n=100, month=6.0, seed=0):
    rng = np.random.default_rng(seed)
    enrolled = np.sort(rng.uniform(0, month, n))
    arm = np.where(rng.random(n) < 0.5, "treatment", "control")
    response = (rng.random(n) < np.where(arm == "treatment", 0.8, 0.2)).astype(float)
    response[enrolled + 2.0 > month] = np.nan
    return pd.DataFrame({"enrolment": enrolled, "arm": arm, "response": response})


@pytest.mark.parametrize("rule", ["rsihr", "neyman"])
def test_arms_to_come_follow_the_responses_known_by_then(rule):
    """Arm by arm again, in plain Python, from the rule as published."""
    adaptive = ts.ResponseAdaptive(rule, burn_in=10)
    design = binary(adaptive)
    trial = read_responses(responses(design), design, "binary", cutoff=6.0)
    streams, random = Streams.span(3, 0, 4), np.random.default_rng(1)
    rest = rest_of_responses(trial, design, "binary", None, Settings(), random, streams)
    for batch in (rest.drawn, *(carry() for carry in rest.assumed.values())):
        uniform = streams.uniform("allocation", 200)
        for draw in range(4):
            arm, entry = batch.arm[draw], batch.enrolment[draw]
            response = batch.outcome.response[draw]
            assert (arm[:100] == trial.arm).all()
            for i in range(100, 200):
                known = entry[:i] + 2.0 <= entry[i]
                share = []
                for a in (0, 1):
                    mine = known & (arm[:i] == a)
                    p = (response[:i][mine].sum() + 1) / (mine.sum() + 2)
                    share.append(np.sqrt(p * (1 - p)) if rule == "neyman" else np.sqrt(p))
                least = adaptive.least
                first = least + (1 - 2 * least) * share[0] / sum(share)
                assert arm[i] == int(uniform[draw, i] >= first)
    if rule == "rsihr":
        assert rest.assumed["trend"]().arm[:, 100:].mean() > 0.55


def test_adaptive_arms_of_times_are_refused():
    design = ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=100, accrual=ts.Accrual(rate=20),
        looks=ts.EventLooks([40]), randomization=ts.ResponseAdaptive(),
    )  # fmt: skip
    with pytest.raises(ValueError, match="ResponseAdaptive follows binary responses"):
        ts.predict(times(design), design, cutoff=12.0, n_draws=5)


def times(design, n=60, seed=0):
    rng = np.random.default_rng(seed)
    entered = np.sort(rng.uniform(0, 10, n))
    latent = rng.exponential(12.0, n)
    arms = design.arm_names
    return pd.DataFrame(
        {
            "arm": [arms[i % len(arms)] for i in range(n)],
            "enrolment": entered,
            "time": np.minimum(latent, 12 - entered),
            "event": latent <= 12 - entered,
        }
    )


def test_strata_without_columns_are_said():
    strata = {"site": {"a": 0.5, "b": 0.5}}
    design = ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=100, accrual=ts.Accrual(rate=20),
        looks=ts.EventLooks([60]), randomization=ts.Minimization(), strata=strata,
    )  # fmt: skip
    table = times(design)
    with pytest.warns(UserWarning, match="no columns of the strata.*not by Minimization"):
        ts.predict(table, design, cutoff=12.0, n_draws=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ts.predict(table.assign(site=["a", "b"] * 30), design, cutoff=12.0, n_draws=5)
        ts.predict(table.drop(columns="arm"), design, cutoff=12.0, n_draws=5)


def test_an_arm_that_stops_takes_no_patient_to_come():
    design = ts.Design(
        arms={"control": 1, "a": 1, "b": 1}, n_patients=150, accrual=ts.Accrual(rate=6),
        looks=ts.EventLooks([40, 90]), multiplicity="bonferroni",
        boundaries=ts.group_sequential((40 / 90, 1), futility=[0.5]),
    )  # fmt: skip
    from trial_sim.engine.analysis_registry import analysis_for
    from trial_sim.engine.interim_analyses import FUTILITY, conduct_batch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trial = read_ongoing(times(design), design, cutoff=12.0)
    streams, random = Streams.span(3, 0, 60), np.random.default_rng(1)
    rest = rest_of_events(trial, design, None, Settings("exponential"), random, streams)
    done, batch = conduct_batch(rest.drawn, analysis_for(design, "time_to_event"))
    stopped = (done.decision[:, 0] == FUTILITY) & (done.last_look > 0)[:, None]
    assert stopped.any(axis=1).sum() > 3
    for draw, arm in zip(*np.nonzero(stopped)):
        mine = batch.arm[draw] == arm + 1
        assert batch.enrolment[draw, mine].max() <= done.look_time[draw, 0]
    kept = ~stopped.any(axis=1)
    np.testing.assert_array_equal(batch.arm[kept], rest.drawn.arm[kept])
    assert (
        0
        <= ts.predict(
            times(design), design, cutoff=12.0, n_draws=30, model="exponential"
        ).probability_of_success.estimate
        <= 1
    )


def test_two_sided_success_is_in_favour_of_treatment():
    """A treatment that harms is no success, though a two-sided test rejects."""
    design = ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=120, accrual=ts.Accrual(rate=12),
        looks=ts.EventLooks([90]), boundaries=ts.group_sequential((1.0,), alpha=0.05, sided=2),
    )  # fmt: skip
    rng = np.random.default_rng(2)
    entered = np.sort(rng.uniform(0, 10, 120))
    arm = np.array(["control", "treatment"] * 60)
    latent = rng.exponential(np.where(arm == "control", 30.0, 6.0))
    table = pd.DataFrame({"arm": arm, "enrolment": entered, "event": latent <= 12 - entered,
                          "time": np.minimum(latent, 12 - entered)})  # fmt: skip
    found = ts.predict(table, design, cutoff=12.0, n_draws=50)
    assert found.probability_of_success.estimate == 0


@pytest.mark.parametrize(
    ("breakpoints", "message"),
    [
        ((float("nan"),), "NaN"),
        ((6.0, 3.0), "positive and increasing"),
        ((3.0, 3.0), "positive and increasing"),
        ((-1.0,), "positive and increasing"),
        ((float("inf"),), "within the follow-up"),
        ((40.0,), "within the follow-up"),
        (("a",), "list of numbers"),
    ],
)
def test_breakpoints_that_no_model_has(breakpoints, message):
    design = ts.Design(arms={"control": 1, "treatment": 1}, n_patients=100,
                       accrual=ts.Accrual(rate=20), looks=ts.EventLooks([60]))  # fmt: skip
    with pytest.raises((ValueError, TypeError), match=message):
        ts.predict(times(design), design, cutoff=12.0, n_draws=5, model="piecewise_exponential",
                   breakpoints=breakpoints)  # fmt: skip
    with pytest.raises(ValueError, match=r"breakpoints.*are not used by model 'exponential'"):
        ts.predict(times(design), design, cutoff=12.0, n_draws=5, model="exponential",
                   breakpoints=(3.0,))  # fmt: skip


def test_a_prediction_prints_on_a_screen_and_tells_no_arm():
    design = ts.Design(arms={"placebo arm": 1, "drug X": 1}, n_patients=100,
                       accrual=ts.Accrual(rate=20), looks=ts.EventLooks([40, 80]))  # fmt: skip
    found = ts.predict(times(design), design, cutoff=12.0, opened="2026-01-01", n_draws=20)
    text = repr(found)
    assert str(found) == text and len(text.splitlines()) < 17
    for name in design.arm_names:
        assert name not in text and name not in repr(found.trial)
    assert "look 2: month" in text and "2027" in text
    blinded = ts.predict(times(design).drop(columns="arm"), design, cutoff=12.0, n_draws=20)
    assert "blinded" in repr(blinded) and "success" not in repr(blinded)
    responses_so_far = read_responses(
        responses(None).drop(columns="arm"), binary(ts.PermutedBlocks()), "binary", cutoff=6.0
    )
    assert len(repr(responses_so_far)) < 200
