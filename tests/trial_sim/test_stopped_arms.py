"""Designs with several arms: what a stopped arm still gets, and the error of the family."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

import trial_sim as ts
from trial_sim.design.design import Bounds
from trial_sim.engine.batch import draw_batch
from trial_sim.engine.interim_analyses import EFFICACY, FUTILITY
from trial_sim.engine.stopped_arms import close_arms
from trial_sim.numerics.random_streams import Streams
from trial_sim.scenarios import (
    BinaryResponse,
    ContinuousResponse,
    CountResponse,
    LongitudinalResponse,
    OrdinalResponse,
    RecurrentEvents,
)
from trial_sim.sequential.family_bounds import (
    bounds_at_share,
    dunnett_bounds,
    family_error,
    intersections,
)

ARMS = {"control": 2, "low": 1, "high": 3}
TIMES = ts.PiecewiseExponential(control_median=9, hazard_ratio={"low": 1.1, "high": 0.8})


def make(**changes):
    fields = {
        "arms": ARMS,
        "n_patients": 240,
        "accrual": ts.Accrual(rate=10.0),
        "looks": ts.EventLooks([40, 90, 150], lag=0.7),
        "boundaries": Bounds([4.0, 3.0, 2.0], [0.3, 0.6, -np.inf]),
        "multiplicity": "unadjusted",
        "dropout": ts.Dropout(rate=0.01),
    }
    return ts.Design(**{**fields, **changes})


def closings(result, trial):
    """Arm → month of the decision that stopped it before the trial's last look."""
    c, lag = result.conducted, result.design.lag
    found = {}
    for k, arm in enumerate(result.design.arm_names[1:]):
        looks = np.flatnonzero(np.isin(c.decision[trial, :, k], (EFFICACY, FUTILITY)))
        if looks.size and looks[0] < c.last_look[trial]:
            found[arm] = c.look_time[trial, looks[0]] + lag
    return found


def check_trials(result, least=5):
    """Nobody joins a stopped arm and nobody in it counts; others keep everything they had."""
    design = result.design
    n_stopped = 0
    for trial in range(result.n_trials):
        stopped = closings(result, trial)
        n_stopped += bool(stopped)
        if not stopped:
            continue
        replay = result.replay(trial)
        patients = replay.patients
        assert len(patients) == design.n_patients
        for arm, month in stopped.items():
            mine = patients[patients["arm"] == arm]
            assert (mine["enrolment"] <= month).all()
            assert (mine["end"] <= month + 1e-9).all()
        last_stop = max(stopped.values())
        later = patients[patients["enrolment"] > last_stop]
        open_arms = [arm for arm in design.arm_names if arm not in stopped]
        assert set(later["arm"]) <= set(open_arms)
    assert n_stopped >= least


def test_nobody_joins_a_stopped_arm_and_its_events_trigger_nothing():
    result = ts.simulate(make(), TIMES, n_trials=60, seed=5)
    check_trials(result)
    wanted = make().looks.events
    for trial in range(60):
        patients = result.replay(trial).patients
        for look in range(1, result.conducted.last_look[trial] + 1):
            month = result.conducted.look_time[trial, look]
            counted = patients["event"] & (patients["end"] <= month)
            assert counted.sum() == result.conducted.events[trial, look].sum()
            if result.conducted.triggered[trial, look]:
                assert counted.sum() == wanted[look]
        # an arm's events stay at what they were at its decision
        for arm, month in closings(result, trial).items():
            mine = patients[(patients["arm"] == arm) & patients["event"]]
            code = result.design.arm_names.index(arm)
            final = result.conducted.events[trial, result.conducted.last_look[trial], code]
            assert final == (mine["end"] <= month).sum() == len(mine)


def test_the_others_are_allocated_in_their_ratio_and_keep_their_outcomes():
    design = make(randomization=ts.PermutedBlocks(block_size=6))
    result = ts.simulate(design, TIMES, n_trials=60, seed=5)
    unstopped = ts.simulate(design.replace(follow_futility=False), TIMES, n_trials=60, seed=5)
    seen = 0
    for trial in range(60):
        stopped = closings(result, trial)
        if set(stopped) != {"low"}:
            continue
        seen += 1
        patients = result.replay(trial).patients
        later = patients[patients["enrolment"] > stopped["low"]]["arm"]
        # 2 : 3 is left, blocks of the default size 10: never more than a block out of balance
        running = np.cumsum(np.where(later == "high", 2, -3))
        assert np.abs(running).max(initial=0) <= 12
        assert np.abs(running[9::10]).max(initial=0) == 0
        before = unstopped.replay(trial).patients
        same = (before["arm"] == patients["arm"]) & (patients["arm"] != "low")
        assert (before.loc[same, "time"] == patients.loc[same, "time"]).all()
    assert seen > 10


def test_chunks_do_not_matter_once_arms_have_stopped():
    whole = ts.simulate(make(), TIMES, n_trials=60, seed=5).conducted
    parts = ts.simulate(make(), TIMES, n_trials=60, seed=5, chunk_trials=7, n_jobs=2).conducted
    for a, b in zip(vars(whole).values(), vars(parts).values()):
        np.testing.assert_array_equal(a, b)


READOUT = {"looks": ts.EnrolmentLooks([60, 120, 240], follow_up=3), "readout": 3.0}
STRATA = {"site": {"a": 0.2, "b": 0.5, "c": 0.3}}


@pytest.mark.parametrize(
    ("outcomes", "changes"),
    [
        (BinaryResponse(0.4, {"low": 0.35, "high": 0.5}), {"test": "chi_square", **READOUT}),
        (BinaryResponse(0.4, {"low": 0.35, "high": 0.5}),
         {"test": "chi_square", "randomization": ts.ResponseAdaptive("rsihr"), **READOUT}),
        (ContinuousResponse({"low": -0.1, "high": 0.3}), {"test": "t_test", **READOUT}),
        (OrdinalResponse([0.4, 0.4, 0.2], {"low": 0.9, "high": 1.5}),
         {"test": "wilcoxon", **READOUT}),
        (CountResponse(0.2, {"low": 1.1, "high": 0.8}, exposure=3.0),
         {"test": "negative_binomial", **READOUT}),
        (RecurrentEvents(0.2, {"low": 1.1, "high": 0.7}, horizon=40, dispersion=0.4),
         {"test": "lwyy", "looks": ts.CalendarLooks([9, 16, 30])}),
        (LongitudinalResponse([1, 3], [0.0, 0.0], {"low": [0, -0.1], "high": [0, 0.4]}),
         {"test": "mmrm", **READOUT}),
        (TIMES, {"strata": STRATA, "stratified": True, "randomization": ts.Minimization()}),
        (TIMES, {"strata": STRATA}),
        (TIMES, {"randomization": ts.BiasedCoin(), "looks": ts.FollowUpLooks([40, 80, 160], 3)}),
        (TIMES, {"randomization": ts.CompleteRandomization()}),
    ],
    ids=["binary", "adaptive", "continuous", "ordinal", "count", "recurrent", "mmrm", "minimised",
         "blocks in strata", "coin", "complete"],
)  # fmt: skip
def test_arms_stop_for_every_endpoint_and_rule(outcomes, changes):
    check_trials(ts.simulate(make(**changes), outcomes, n_trials=40, seed=2), least=3)


@settings(max_examples=12, deadline=None)
@given(
    shares=st.lists(st.integers(1, 3), min_size=3, max_size=5),
    futility=st.floats(-0.5, 1.5),
    lag=st.sampled_from([0.0, 1.3]),
    looks=st.sampled_from(["events", "calendar", "patients", "follow-up"]),
    rule=st.sampled_from(
        [ts.PermutedBlocks(), ts.CompleteRandomization(), ts.BiasedCoin(), ts.Minimization()]
    ),
    method=st.sampled_from(["unadjusted", "dunnett", "bonferroni", "holm", "closed"]),
    stratified=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_shapes_of_designs(shares, futility, lag, looks, rule, method, stratified, seed):
    """Whatever the arms, shares, looks and rule: stopped arms get nothing and trigger nothing."""
    arms = {"control": shares[0]} | {f"arm {k}": share for k, share in enumerate(shares[1:], 1)}
    rules = {
        "events": ts.EventLooks([30, 80, 140], lag=lag),
        "calendar": ts.CalendarLooks([8, 16, 30], lag=lag),
        "patients": ts.EnrolmentLooks([60, 140, 240], follow_up=2, lag=lag),
        "follow-up": ts.FollowUpLooks([40, 120, 200], months=3, lag=lag),
    }
    design = make(
        arms=arms, looks=rules[looks], randomization=rule, multiplicity=method,
        strata={"sex": {"f": 0.5, "m": 0.5}}, stratified=stratified,
        boundaries=Bounds([4.0, 3.0, 2.0], [futility, futility, -np.inf]),
    )  # fmt: skip
    ratios = {arm: 1.0 - 0.1 * k for k, arm in enumerate(list(arms)[1:])}
    outcomes = ts.PiecewiseExponential(control_median=9, hazard_ratio=ratios)
    result = ts.simulate(design, outcomes, n_trials=6, seed=seed)
    check_trials(result, least=0)
    again = ts.simulate(design, outcomes, n_trials=6, seed=seed, chunk_trials=1)
    for a, b in zip(vars(result.conducted).values(), vars(again.conducted).values()):
        np.testing.assert_array_equal(a, b)


def test_information_of_a_stopped_arm_does_not_grow():
    gs = ts.group_sequential((1 / 3, 2 / 3, 1), efficacy="lan_demets_obrien_fleming",
                             futility=[0.3, 0.6])  # fmt: skip
    design = make(boundaries=gs, looks=ts.CalendarLooks([10, 18, 30]), max_information=150)
    result = ts.simulate(design, TIMES, n_trials=60, seed=5)
    check_trials(result)
    assert (np.diff(np.where(result.conducted.events < 0, 0, result.conducted.events), axis=1)
            [result.conducted.last_look == 2] >= 0).all()  # fmt: skip


# -- the error of the family -----------------------------------------------------------------------


def correlations(ratios, fractions):
    loading = np.sqrt(np.array(ratios) / (1 + np.array(ratios)))
    between = np.outer(loading, loading)
    np.fill_diagonal(between, 1.0)
    t = np.array(fractions)
    return np.kron(between, np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t)))


@settings(max_examples=8, deadline=None)
@given(
    ratios=st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=1, max_size=3),
    first=st.floats(0.2, 0.8),
    sided=st.sampled_from([1, 2]),
)
def test_dunnett_bounds_spend_the_familys_error(ratios, first, sided):
    fractions = (first, 1.0)
    spent = ts.group_sequential(fractions, alpha=0.025, efficacy="pocock").alpha_spent
    bounds = dunnett_bounds(fractions, spent, ratios, sided)
    every = np.tile(bounds, len(ratios))
    for used, wanted in (([0], spent[0]), ([0, 1], spent[1])):
        chosen = [2 * j + k for j in range(len(ratios)) for k in used]
        matrix = correlations(ratios, fractions)[np.ix_(chosen, chosen)]
        low = None if sided == 1 else -every[chosen]
        inside = multivariate_normal.cdf(
            every[chosen], cov=matrix, lower_limit=low, abseps=1e-7, releps=0, maxpts=400_000
        )
        assert 1 - inside == pytest.approx(wanted, abs=2e-5)


def test_published_values_of_several_arms():
    """MAMS's first example (Jaki, Pallmann and Magirr 2019), and the closed form of two arms."""
    assert dunnett_bounds([1.0], [0.05], [1, 1, 1])[0] == pytest.approx(2.062, abs=5e-4)
    assert family_error(0.025, [1, 1]) == pytest.approx(0.0453777177, abs=1e-9)
    assert dunnett_bounds([1.0], [0.025], [1, 1])[0] == pytest.approx(2.212135093, abs=1e-8)


def test_bonferroni_is_the_same_rule_at_a_share_of_the_level():
    for rule in ("obrien_fleming", "lan_demets_pocock", ("haybittle_peto", 3.0)):
        gs = ts.group_sequential((0.4, 1), alpha=0.025, efficacy=rule)
        half = ts.group_sequential((0.4, 1), alpha=0.0125, efficacy=rule)
        design = make(looks=ts.EventLooks([40, 90]), boundaries=gs, multiplicity="bonferroni")
        np.testing.assert_allclose(design.efficacy_bounds, half.efficacy_bounds, atol=1e-9)
    plain = bounds_at_share(Bounds([2.2, 2.0]), 2, 0.025, 0.5)
    spent = [1 - norm.cdf(2.2), None]
    assert 1 - norm.cdf(plain[0]) == pytest.approx(spent[0] / 2, rel=1e-6)


NORMAL = {"low": 0.0, "high": 0.0}


def means(method, n_trials=12_000, **changes):
    """Two looks at normal means, N = 120, exact t tests."""
    fields = {
        "arms": {"control": 1, "low": 1, "high": 1},
        "n_patients": 120,
        "accrual": ts.Accrual(rate=50.0, process="even"),
        "looks": ts.EnrolmentLooks([60, 120]),
        "boundaries": ts.group_sequential((0.5, 1), alpha=0.025, efficacy="pocock"),
        "test": "t_test",
        "multiplicity": method,
        "dropout": ts.Dropout(),
    }
    effects = changes.pop("difference", NORMAL)
    design = ts.Design(**{**fields, **changes})
    return ts.simulate(design, ContinuousResponse(effects), n_trials=n_trials, seed=11)


@pytest.mark.parametrize(
    ("method", "wanted"),
    [("unadjusted", 0.0465), ("dunnett", 0.025), ("closed", 0.025), ("bonferroni", 0.0243),
     ("holm", 0.0243)],
)  # fmt: skip
def test_error_of_any_false_rejection(method, wanted):
    """Under the null; Bonferroni's error and that without adjustment by multivariate normals."""
    result = means(method)
    if method in ("bonferroni", "unadjusted"):
        bounds = np.tile(result.design.efficacy_bounds, 2)
        inside = multivariate_normal.cdf(bounds, cov=correlations([1, 1], [0.5, 1]))
        wanted = 1 - inside
    assert result.power == pytest.approx(wanted, abs=3.5 * np.sqrt(wanted / 12_000))


def test_step_down_methods_reject_more_and_hold_the_error_of_true_hypotheses():
    """One arm works: the other's error is at most alpha; the single-step methods reject less."""
    effect = {"low": 0.0, "high": 1.2}
    found = {m: means(m, 6_000, difference=effect).rejected for m in ("dunnett", "closed", "holm")}
    for rejected in found.values():
        assert rejected[:, 0].mean() <= 0.025 + 3 * np.sqrt(0.025 / 6_000)
    assert found["closed"][:, 0].mean() > found["dunnett"][:, 0].mean()
    assert found["holm"][:, 0].mean() > found["dunnett"][:, 0].mean()


@pytest.mark.parametrize("method", ["holm", "closed"])
def test_closed_tests_by_hand(method):
    """Every decision again from the z statistics, intersection by intersection."""
    result = means(method, 400, difference={"low": 0.3, "high": 0.5})
    bounds, sets = result.design.intersection_bounds, intersections(2)
    c = result.conducted
    for trial in range(400):
        done = np.zeros(len(sets), bool)
        for look in range(c.last_look[trial] + 1):
            z = np.nan_to_num(c.z[trial, look], nan=-np.inf)
            for i, members in enumerate(sets):
                done[i] |= z[members].max() >= bounds[i, look]
            for j in range(2):
                wins = np.isfinite(z[j]) and done[sets[:, j]].all()
                assert (c.decision[trial, look, j] == EFFICACY) == wins
    assert result.rejected.all(axis=1).any() and (result.rejected.sum(axis=1) == 1).any()


def test_what_is_not_named_is_said():
    with pytest.warns(UserWarning, match=r"multiplicity is not named.*0\.025.*0\.0454"):
        design = make(arms={"control": 1, "a": 1, "b": 1}, boundaries=None, multiplicity=None)
    assert "0.0454" in str(design)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named = make(multiplicity="dunnett")
        ts.Design(arms={"c": 1, "t": 1}, n_patients=400, accrual=ts.Accrual(9), looks=design.looks)
    assert "Dunnett" in str(named) and ts.Design.from_yaml(named.to_yaml()) == named
    result = ts.simulate(named, TIMES, n_trials=20, seed=1)
    assert "Dunnett" in repr(result)
    assert "Dunnett" in ts.simulation_report(result).to_markdown()
    with pytest.raises(ValueError, match="did you mean 'dunnett'"):
        make(multiplicity="dunett")
    gs = ts.group_sequential((0.3, 0.6, 1))
    with pytest.raises(ValueError, match="bonferroni"):
        make(boundaries=gs, max_information=150, multiplicity="closed")


@pytest.mark.parametrize("unit", [1.0, 30.4, 1e-3, 1e7])
def test_the_event_that_makes_a_look_stays_where_its_arm_stops_at_it(unit):
    """In any unit of time: a stopped arm keeps its events up to the look, that one included."""
    design = make(
        arms={"control": 1, "a": 1, "b": 1, "d": 1},
        accrual=ts.Accrual(rate=10.0 / unit),
        dropout=ts.Dropout(),
    )
    times = ts.PiecewiseExponential(control_median=9 * unit)
    drawn = draw_batch(design, times, Streams.span(5, 0, 150))
    month = np.sort(drawn.calendar_event, axis=1)[:, 39]  # of the 40th event
    everywhere = np.ones((150, 3), dtype=bool)
    closed = close_arms(drawn, np.arange(150), everywhere, month)
    before = (drawn.event > 0) & (drawn.calendar_event <= month[:, None])
    assert (before.sum(axis=1) == 40).all()
    assert (closed.event[before] > 0).all()
    late = (drawn.arm > 0) & (drawn.enrolment <= month[:, None]) & ~before
    assert late.any() and (closed.event[late] == 0).all()
