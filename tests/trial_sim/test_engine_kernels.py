"""The engine's compiled loops against plain definitions, with ties, crowds and infinite times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trial_sim.engine.kernels import data_at_look, observe, sort_trials
from trial_sim.engine.logrank_scan import logrank_looks, standardised
from trial_sim.numerics.order_statistics import kth_smallest
from trial_sim.statistics.kernels import logrank_sums_sorted


def prepared(latent, dropout, enrolment, arm, follow_up=np.inf):
    """One trial through observe and sort."""
    latent, enrolment = (np.atleast_2d(np.asarray(v, float)) for v in (latent, enrolment))
    dropout = np.empty((0, 0)) if dropout is None else np.atleast_2d(np.asarray(dropout, float))
    arm = np.atleast_2d(np.asarray(arm, np.int8))
    time, exit_, calendar = (np.empty_like(latent) for _ in range(3))
    event = np.empty(latent.shape, np.int8)
    observe(latent, dropout, follow_up, enrolment, time, event, exit_, calendar)
    s_time, s_exit = np.empty_like(time), np.empty_like(time)
    code, patient = np.empty(time.shape, np.int8), np.empty(time.shape, np.int32)
    tied = np.empty(len(time), np.bool_)
    sort_trials(time, exit_, event, arm, s_time, s_exit, code, patient, tied)
    return {
        "time": time, "event": event, "exit": exit_, "calendar": calendar, "tied": tied,
        "enrolment": enrolment, "arm": arm, "sorted": (s_time, s_exit, code, patient),
    }  # fmt: skip


def statistics_of(p, look):
    score, variance, beta, se = np.full((4, 1), np.nan)
    s_time, s_exit, code, _ = p["sorted"]
    logrank_looks(
        s_time, s_exit, code, p["tied"], p["enrolment"], p["exit"], p["arm"], 1, np.array([look]),
        np.array([True]), score, variance, beta, se,
    )  # fmt: skip
    return standardised(score, variance)[0], beta[0], se[0]


times = st.one_of(
    st.floats(0.001, 50),
    st.sampled_from([1.0, 2.0, 3.0, 5.0]),  # ties
    st.just(np.inf),
    st.just(1e8),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(times, times, st.booleans()), min_size=2, max_size=90), st.floats(0, 60))
def test_any_trial_at_any_look(patients, look):
    latent, dropout, arm = (np.array(v) for v in zip(*patients))
    enrolment = np.arange(len(latent)) / 4
    p = prepared(latent, dropout, enrolment, arm)
    s_time, s_exit, code, patient = (v[0] for v in p["sorted"])
    # sorted, a permutation, and consistent
    assert (np.diff(s_time[np.isfinite(s_time)]) >= 0).all()
    assert sorted(patient) == list(range(len(latent)))
    assert np.array_equal(s_time, p["time"][0][patient])
    assert np.array_equal(s_exit, p["exit"][0][patient])
    assert np.array_equal(code, 2 * p["arm"][0][patient] + p["event"][0][patient])
    finite = s_time[np.isfinite(s_time)]
    assert p["tied"][0] == (len(np.unique(finite)) < len(finite))
    # the data of the look, patient by patient
    rows = np.empty((len(latent), 3))
    found = data_at_look(s_time, s_exit, code, patient, enrolment, p["exit"][0], look, rows)
    assert found == (enrolment <= look).sum()
    assert (np.diff(rows[:found, 0]) >= 0).all()
    for time, event, who in rows[:found]:
        i = int(who)
        ended = p["exit"][0][i] <= look
        assert time == (p["time"][0][i] if ended else look - enrolment[i])
        assert event == (ended and p["event"][0][i] == 1)
    # the statistic, from data cut and sorted by hand
    z, _, _ = statistics_of(p, look)
    entered = enrolment <= look
    ended = p["exit"][0] <= look
    duration = np.where(ended, p["time"][0], look - enrolment)[entered]
    event = ((p["event"][0] == 1) & ended)[entered]
    order = np.argsort(duration, kind="stable")
    numerator, variance = logrank_sums_sorted(
        duration[order], event[order], p["arm"][0][entered][order]
    )
    assert event.sum() == rows[:found, 1].sum()
    expected = numerator / np.sqrt(variance) if variance > 0 else 0.0
    assert z == pytest.approx(expected, abs=1e-10)


@settings(max_examples=100, deadline=None)
@given(st.lists(times, min_size=1, max_size=80), st.sets(st.integers(1, 90), min_size=1))
def test_order_statistics(values, ranks):
    row, wanted = np.array([values], float), np.array(sorted(ranks))
    out = np.empty((1, len(wanted)))
    kth_smallest(row, wanted, out)
    finite = np.sort(row[np.isfinite(row)])
    expected = [finite[k - 1] if k <= len(finite) else np.inf for k in wanted]
    assert out[0].tolist() == expected


def test_a_look_at_an_event_counts_it_in_spite_of_rounding():
    random = np.random.default_rng(5)
    enrolment = np.sort(random.random(400) * 30)
    p = prepared(random.exponential(9, 400), None, enrolment, np.arange(400) % 2)
    for k in range(1, 400, 7):
        look = np.sort(p["calendar"][0])[k - 1]
        s_time, s_exit, code, patient = (v[0] for v in p["sorted"])
        rows = np.empty((400, 3))
        found = data_at_look(s_time, s_exit, code, patient, enrolment, p["exit"][0], look, rows)
        assert rows[:found, 1].sum() == k


def test_follow_up_and_dropout_end_observation():
    p = prepared([5, 5, 5], [9, 4, 9], [0, 1, 2], [0, 1, 1], follow_up=4.5)
    assert p["time"][0].tolist() == [4.5, 4.0, 4.5] and not p["event"].any()
    p = prepared([5, 5], [5, 6], [0, 0], [0, 1], follow_up=5.0)  # the event wins a tie
    assert p["event"][0].tolist() == [1, 1]


def test_no_information_is_no_evidence():
    p = prepared([1.0, 2.0], None, [0, 0], [1, 1])  # one arm only
    z, beta, se = statistics_of(p, 10.0)
    assert z == 0 and np.isnan(beta) and np.isnan(se)
    z, beta, _ = statistics_of(prepared([1.0, 2.0, 9.0], None, [0, 0, 0], [0, 0, 1]), 5.0)
    assert z > 0 and np.isnan(beta)  # all events in one arm: no finite estimate


def test_a_crowded_bin_is_sorted_too():
    random = np.random.default_rng(6)
    latent = np.append(random.random(300) * 1e-9, [1e7])
    p = prepared(random.permutation(latent), None, np.zeros(301), np.arange(301) % 2)
    assert np.array_equal(p["sorted"][0][0], np.sort(latent))
