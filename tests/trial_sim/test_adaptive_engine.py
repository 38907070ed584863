"""Adaptive trials as they run: against independent programs, today's engine, their own rules."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import trial_sim as ts
from trial_sim import scenarios
from trial_sim.cli import app
from trial_sim.design.milestones import NotSimulated
from trial_sim.engine.adapting.conduct import Course
from trial_sim.exploration.family_error import without_effect
from trial_sim.exploration.study import read_study
from trial_sim.numerics.random_streams import Streams
from trial_sim.sequential.plain_bounds import Bounds

Q = ts.Quantity
TWO = {"control": 1, "treatment": 1}
FOUR = {"control": 1, "a": 1, "b": 1, "c": 1}
OBF = ts.group_sequential((0.5, 1), efficacy="obrien_fleming")


def design(**changes):
    fields = {
        "arms": TWO,
        "n_patients": 200,
        "accrual": ts.Accrual(rate=20),
        "looks": ts.EventLooks([60, 120]),
        "boundaries": OBF,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ts.Design(**(fields | changes))


def milestones(first, last, *rules):
    return [ts.Milestone("interim", first, rules), ts.Milestone("final", last)]


def near(found, expected, n, reference=2_000_000, sigmas=4.0):
    """Whether shares of n trials agree with those of a reference's trials."""
    expected = np.asarray(expected, dtype=float)
    se = np.sqrt(expected * (1 - expected) * (1 / n + 1 / reference))
    return (np.abs(np.asarray(found) - expected) <= sigmas * se + 1e-12).all()


# -- several arms ---------------------------------------------------------------------------------


def arms_trial(intersection, *rules, stop="all", **changes):
    fields = {"arms": FOUR, "n_patients": 240, "looks": ts.EnrolmentLooks([120, 240]),
              "test": ("z_test", 15)}  # fmt: skip
    final = 180 if any("rank" in rule.in_words for rule in rules) else 240
    return ts.AdaptiveDesign(
        design(**(fields | changes)),
        milestones(ts.EnrolmentLooks([120]), ts.EnrolmentLooks([final]), *rules),
        ts.ClosedTest("inverse_normal", intersection, stop=stop),
    )


EFFECTS = {"a": 10 / 3, "b": 20 / 3, "c": 10.0}
NULL = dict.fromkeys("abc", 0.0)
BEST = ts.Rule(Q("rank") > 1, ts.DropArm())


@pytest.mark.parametrize(
    ("intersection", "rules", "effects", "wanted", "patients"),
    [  # 2,000,000 trials of an independent program: any, each arm, mean patients
        ("bonferroni", [BEST], EFFECTS, (0.875198, 0.0259, 0.18746, 0.74702), 160.877),
        ("simes", [BEST], NULL, (0.022065, 0.00749, 0.00742, 0.00744), 179.847),
        ("dunnett", [], EFFECTS, (0.893936, 0.21032, 0.55657, 0.87933), 238.582),
    ],
)
def test_selection_of_arms_with_closed_tests(intersection, rules, effects, wanted, patients):
    n = 2_500
    adaptive = arms_trial(intersection, *rules)
    result = ts.simulate(adaptive, ts.ContinuousResponse(effects, sd=15), n, seed=24)
    assert near([result.power, *result.rejected.mean(axis=0)], wanted, n)
    spread = result.patients.std() / np.sqrt(n)
    assert result.expected_patients == pytest.approx(patients, abs=4 * spread + 0.1)


def test_nobody_joins_a_dropped_arm_and_none_of_its_later_events_count():
    adaptive = ts.AdaptiveDesign(
        design(arms=FOUR, n_patients=300, looks=ts.EventLooks([80, 160])),
        milestones(
            ts.EventLooks([80], lag=0.5),
            ts.EventLooks([160], lag=0.5),
            ts.Rule(Q("rank") > 1, ts.DropArm()),
        ),
        ts.ClosedTest(intersection="simes"),
    )
    outcomes = ts.PiecewiseExponential(12, hazard_ratio={"a": 0.9, "b": 0.8, "c": 0.7})
    course = Course(adaptive, outcomes, Streams.span(1, 0, 150))
    done = course.run()
    batch = course.batch
    both = done.last_look == 1
    assert both.mean() > 0.5
    decided = done.decision_time[both, 0][:, None]
    dropped = done.fired[both, 0]
    arm, enrolled = batch.arm[both], batch.enrolment[both]
    gone = np.take_along_axis(np.c_[np.zeros(len(dropped), bool), dropped], arm.astype(int), axis=1)
    assert (gone & (enrolled > decided) & np.isfinite(enrolled)).sum() == 0
    assert (gone & (batch.calendar_event[both] > decided)
            & np.isfinite(batch.calendar_event[both])).sum() == 0  # fmt: skip
    later = done.patients_by_arm[both, 1] - done.patients_by_arm[both, 0]
    assert (later[:, 1:][dropped] == 0).all()
    events = done.events[both, 1] - done.events[both, 0]
    # between data cut and decision an arm is still followed
    between = (gone & (batch.calendar_event[both] > done.look_time[both, 0][:, None])
               & (batch.calendar_event[both] <= decided)).sum()  # fmt: skip
    assert events[:, 1:][dropped].sum() == between
    assert (events[:, 0] > 0).all()
    # decided at the data cut: the event that made it stays counted, and nothing is added
    at_once = adaptive.replace(
        milestones=milestones(
            ts.EventLooks([80]), ts.EventLooks([160]), *adaptive.milestones[0].rules
        )
    )
    done = ts.simulate(at_once, outcomes, 150, seed=1).conducted
    both, dropped = done.last_look == 1, done.fired[:, 0]
    events = done.events[both, 1] - done.events[both, 0]
    assert (events[:, 1:][dropped[both]] == 0).all()
    assert (done.events[both, 1].sum(axis=1) == 160).all()


def test_a_changed_arm_redraws_nobody_else():
    adaptive = arms_trial("simes", BEST)
    outcomes = ts.ContinuousResponse(EFFECTS, sd=15)
    course = Course(adaptive, outcomes, Streams.span(3, 0, 50))
    before, arms = course.patients.outcome.response.copy(), course.patients.arm.copy()
    course.run()
    after, now = course.patients.outcome.response, course.patients.arm
    shift = np.array([0.0, *EFFECTS.values()])
    assert (now != arms).any()
    assert np.array_equal(after[now == arms], before[now == arms])
    assert after - shift[now] == pytest.approx(before - shift[arms], abs=1e-9)


def test_several_arms_may_go_on_or_reach_a_threshold():
    two_best = arms_trial("simes", ts.Rule(Q("rank") > 2, ts.DropArm()))
    near_best = arms_trial("simes", ts.Rule(Q("below_best") > 3, ts.DropArm()))
    good = arms_trial("simes", ts.Rule(Q("estimate") < 3, ts.DropArm()))
    outcomes = ts.ContinuousResponse(EFFECTS, sd=15)
    for adaptive, kept in ((two_best, (2, 2)), (near_best, (1, 3)), (good, (0, 3))):
        result = ts.simulate(adaptive, outcomes, 200, seed=2)
        left = 3 - result.conducted.fired[:, 0].sum(axis=1)
        assert (left.min(), left.max()) == kept
        if kept[0] == 0:  # no arm is good enough: the trial ends at the interim look
            assert (result.conducted.last_look[left == 0] == 0).all()


# -- more patients --------------------------------------------------------------------------------


def sized(rule, fractions, n, boundaries, combine="inverse_normal", test=("z_test", 7.5)):
    first = round(fractions * n)
    return ts.AdaptiveDesign(
        design(n_patients=n, looks=ts.EnrolmentLooks([first, n]), test=test, boundaries=boundaries),
        milestones(ts.EnrolmentLooks([first]), ts.EnrolmentLooks([n]), rule),
        ts.ClosedTest(combine),
    )


def test_sizes_by_conditional_power_have_the_power_of_numerical_integration():
    gs = ts.group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming")
    n = 3_000
    for by, power, patients in (
        ("conditional_power", 0.7963309697, 633.4468), (2.0, 0.717742338, 533.6825)
    ):  # fmt: skip
        adaptive = sized(ts.Rule(Q("n") >= 0, ts.Resize(n=884, by=by)), 0.5, 442, gs)
        result = ts.simulate(adaptive, ts.ContinuousResponse(1.6, sd=7.5), n, seed=5)
        assert near([result.power, result.stage_rejection[0]], [power, 0.0842755972], n)
        spread = result.patients.std() / np.sqrt(n)
        assert result.expected_patients == pytest.approx(patients, abs=4 * spread + 1)
        assert result.patients.max() <= 884
        assert (result.conducted.target[:, 0] == result.conducted.patients[:, 1])[
            result.conducted.last_look == 1
        ].all()


@pytest.mark.parametrize("combine", ["inverse_normal", "conditional_error", "conventional"])
def test_a_promising_zone_has_the_power_of_numerical_integration(combine):
    n, power = 3_000, Q("conditional_power")
    rule = ts.Rule((power >= 0.365) & (power < 0.8), ts.Resize(n=884))
    bounds = Bounds([None, 1.959964], (), [208 / 442, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adaptive = sized(rule, 208 / 442, 442, bounds, combine)
    result = ts.simulate(adaptive, ts.ContinuousResponse(1.6, sd=7.5), n, seed=6)
    exact = ts.PromisingZone(208, 442, 884, lower=0.365).probabilities(
        1.6 / 15, "conventional" if combine == "conventional" else "chw"
    )
    assert near([result.power, result.adaptations["estimate"][0]],
                [exact.power, exact.reestimated], n)  # fmt: skip
    spread = result.patients.std() / np.sqrt(n)
    assert result.expected_patients == pytest.approx(exact.expected_n, abs=4 * spread + 1)


def test_blinded_sizes_follow_the_exact_distribution():
    rule = ts.Rule(Q("n") >= 0, ts.Resize(n=400, by="blinded", effect=0.2))
    adaptive = ts.AdaptiveDesign(
        design(n_patients=62, looks=ts.EnrolmentLooks([62]), test="chi_square", boundaries=None),
        milestones(ts.EnrolmentLooks([60]), ts.EnrolmentLooks([62]), rule),
    )
    exact = ts.BlindedRates(60, 0.2, n_max=400).probabilities(0.3)
    n = 3_000
    result = ts.simulate(adaptive, ts.BinaryResponse(0.2, 0.4), n, seed=7)
    assert near([result.power], [exact[0]], n)
    spread = result.patients.std() / np.sqrt(n)
    assert result.expected_patients == pytest.approx(exact[1], abs=4 * spread + 0.5)


def test_events_and_patients_grow_alone_or_together():
    power = Q("conditional_power")
    rules = [
        ts.Rule(power < 0.9, ts.Resize(events=180, by="most")),
        ts.Rule(power < 0.9, ts.Resize(n=260, by="most")),
    ]
    adaptive = ts.AdaptiveDesign(
        design(), milestones(ts.EventLooks([60]), ts.EventLooks([120]), *rules), ts.ClosedTest()
    )
    result = ts.simulate(adaptive, ts.PiecewiseExponential(12, hazard_ratio=0.8), 200, seed=8)
    grown = result.conducted.fired[:, 0, 0]
    assert 0 < grown.mean() < 1
    assert set(result.events[grown & (result.conducted.last_look == 1)]) == {180}
    assert set(result.events[~grown & (result.conducted.last_look == 1)]) == {120}
    assert (result.patients[grown] <= 260).all()
    assert result.patients[grown].max() > 200


# -- populations ----------------------------------------------------------------------------------


def enrichment(intersection="spiessens_debois"):
    gap = Q("estimate", population="S") - Q("estimate")
    rules = [
        ts.Rule(gap > 0.15, ts.Restrict("S")),
        ts.Rule((gap <= 0.15) & (Q("rejected") >= 1), ts.Stop("efficacy")),
    ]
    return ts.AdaptiveDesign(
        design(
            n_patients=400,
            looks=ts.EnrolmentLooks([200, 400]),
            test=("z_test", 1),
            strata={"marker": {"S": 0.5, "not S": 0.5}},
        ),
        milestones(ts.EnrolmentLooks([200]), ts.EnrolmentLooks([400]), *rules),
        ts.ClosedTest(intersection=intersection, stop="all"),
    )


def test_enrichment_with_a_closed_test():
    n = 2_500
    outcomes = ts.BySubgroup(
        "marker", {"S": ts.ContinuousResponse(0.4), "not S": ts.ContinuousResponse(0.0)}
    )
    result = ts.simulate(enrichment(), outcomes, n, seed=9)
    full, stratum = result.rejected_hypotheses.mean(axis=0)
    narrowed = result.adaptations["estimate"][0]
    wanted = (0.82481, 0.80271, 0.22317, 0.63805)
    assert near([result.power, stratum, full, narrowed], wanted, n)
    assert near([(result.conducted.last_look == 0).mean()], [0.17881], n)
    # nobody outside the stratum is enrolled after the decision
    course = Course(enrichment(), outcomes, Streams.span(9, 0, 60))
    done = course.run()
    narrow = done.population[:, 0] == 1
    late = course.batch.enrolment > done.decision_time[:, [0]]
    late &= np.isfinite(course.batch.enrolment)
    assert narrow.any()
    assert (course.batch.factors["marker"][narrow][late[narrow]] == 0).all()
    assert late[narrow].sum(axis=1).min() == 200
    assert len(set(course.batch.factors["marker"][~narrow][late[~narrow]])) == 2


# -- allocation, new arms, pauses -----------------------------------------------------------------


def test_allocation_follows_the_responses():
    adaptive = ts.AdaptiveDesign(
        design(
            arms={"control": 1, "a": 1, "b": 1}, n_patients=300, boundaries=None,
            looks=ts.EnrolmentLooks([300]), test="chi_square",
        ),
        [
            ts.Milestone(f"look {k}", ts.EnrolmentLooks([60 * k]),
                         ts.Rule(Q("n") >= 60, ts.Reallocate(by="thompson", least=0.1)))
            for k in range(1, 5)
        ] + [ts.Milestone("final", ts.EnrolmentLooks([300]))],
        ts.ClosedTest(intersection="simes", weights=[1] * 5),
    )  # fmt: skip
    result = ts.simulate(adaptive, ts.BinaryResponse(0.2, {"a": 0.3, "b": 0.5}), 300, seed=1)
    shares = result.patients_by_arm.mean(axis=0) / 300
    assert shares[2] > 0.5 > 0.25 > shares[1]
    done = result.conducted
    assert np.nanmin(done.shares) >= 0.1 - 1e-9
    assert (done.patients_by_arm[:, 0] == 20).all()  # burnt in with equal chances
    null = ts.simulate(adaptive, ts.BinaryResponse(0.3, 0.3), 1_500, seed=2)
    assert null.power <= 0.025 + 4 * np.sqrt(0.025 / 1_500)


def test_the_share_of_the_control_is_kept_whatever_is_rejected():
    rule = ts.Rule("n >= 0", ts.Reallocate(by="thompson", control_share=0.3))
    adaptive = arms_trial("simes", rule, stop="each")
    effects = {"a": 0.0, "b": 5.0, "c": 14.0}  # c is often rejected at the interim look
    done = ts.simulate(adaptive, ts.ContinuousResponse(effects, sd=15), 200, seed=3).conducted
    went_on = done.last_look == 1
    assert (done.decision[went_on, 0, 2] == 2).mean() > 0.3
    assert done.shares[went_on, 0, 0] == pytest.approx(0.3)


def test_weights_that_are_given_are_kept_from_the_decision_on():
    rule = ts.Rule(Q("n") >= 0, ts.Reallocate({"control": 1, "treatment": 3}))
    adaptive = ts.AdaptiveDesign(
        design(n_patients=280, looks=ts.EnrolmentLooks([80, 280]), test="t_test"),
        milestones(ts.EnrolmentLooks([80]), ts.EnrolmentLooks([280]), rule),
        ts.ClosedTest(weights=[1, 1]),
    )
    result = ts.simulate(adaptive, ts.ContinuousResponse(0.0), 30, seed=1)
    later = result.conducted.patients_by_arm[:, 1] - result.conducted.patients_by_arm[:, 0]
    reached = result.conducted.last_look == 1
    assert (later[reached] == [50, 150]).all()


def platform(controls, drift=0.0):
    outcomes = ts.ContinuousResponse({"a": 0.0, "b": 0.0})
    if drift:
        outcomes = ts.WithDrift(outcomes, per_month=drift)
    adaptive = ts.AdaptiveDesign(
        design(
            arms={"control": 1, "a": 1}, n_patients=300, looks=ts.EnrolmentLooks([150, 300]),
            test="t_test",
        ),
        milestones(
            ts.EnrolmentLooks([150]), ts.EnrolmentLooks([300]), ts.Rule(Q("n") >= 0, ts.AddArm("b"))
        ),
        ts.ClosedTest(intersection="unadjusted"),
        [ts.Arm("b")],
        controls=controls,
    )  # fmt: skip
    return adaptive, outcomes


def test_an_arm_that_enters_is_compared_with_concurrent_controls():
    adaptive, outcomes = platform("concurrent", drift=0.1)
    result = ts.simulate(adaptive, outcomes, 1_500, seed=11)
    by_arm = result.conducted.patients_by_arm
    assert (by_arm[:, 0, 2] == 0).all()
    assert by_arm[:, 1].sum(axis=1).max() == 300
    assert np.isnan(result.conducted.z[:, 0, 1]).all()
    # a drift of the outcome leaves concurrent controls alone, and biases all controls
    assert near([result.rejected[:, 1].mean()], [0.025], 1_500)
    everybody, outcomes = platform("all", drift=0.1)
    biased = ts.simulate(everybody, outcomes, 300, seed=11)
    assert biased.conducted.estimate[:, 1].mean() > 0.1
    assert biased.rejected[:, 1].mean() > 0.06
    assert abs(result.conducted.estimate[:, 1].mean()) < 0.05


def test_a_pause_puts_off_those_who_come_later():
    rule = ts.Rule(Q("n") >= 0, ts.Pause(4))
    adaptive = ts.AdaptiveDesign(
        design(looks=ts.EnrolmentLooks([100, 200]), test="t_test"),
        milestones(ts.EnrolmentLooks([100]), ts.EnrolmentLooks([200]), rule),
        ts.ClosedTest(),
    )
    paused = Course(adaptive, ts.ContinuousResponse(0.0), Streams.span(1, 0, 20))
    done = paused.run()
    plain = design(looks=ts.EnrolmentLooks([100, 200]), test="t_test")
    other = plain.accrual.sample(Streams.span(1, 0, 20), 200)
    went_on = done.last_look == 1
    assert paused.batch.enrolment[:, :100] == pytest.approx(other[:, :100])
    assert paused.batch.enrolment[went_on, 100:] == pytest.approx(other[went_on, 100:] + 4)


# -- what must not change -------------------------------------------------------------------------


@pytest.mark.parametrize("test", ["logrank", "t_test", "chi_square", "cox"])
def test_stops_alone_decide_as_in_a_design_of_looks(test):
    times = test in ("logrank", "cox")
    looks = ts.EventLooks([60, 120]) if times else ts.EnrolmentLooks([100, 200])
    outcomes = {
        "t_test": ts.ContinuousResponse(0.35),
        "chi_square": ts.BinaryResponse(0.3, 0.5),
    }.get(test, ts.PiecewiseExponential(12, hazard_ratio=0.6))
    plain = design(looks=looks, test=test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adaptive = ts.AdaptiveDesign(plain, ts.milestones_of(plain), ts.ClosedTest("conventional"))
    one = ts.simulate(plain, outcomes, 200, seed=3)
    other = ts.simulate(adaptive, outcomes, 200, seed=3)
    assert np.array_equal(one.conducted.decision, other.conducted.decision)
    assert np.array_equal(one.conducted.events, other.conducted.events)
    assert one.conducted.z == pytest.approx(other.conducted.z, abs=1e-8, nan_ok=True)
    assert one.conducted.look_time == pytest.approx(other.conducted.look_time, nan_ok=True)
    assert np.array_equal(one.patients, other.patients)


@pytest.mark.parametrize("what", ["arms", "sizes", "populations", "allocation", "platform"])
def test_chunks_workers_and_the_first_trial_change_no_byte(what):
    power = Q("conditional_power")
    outcomes = ts.ContinuousResponse(EFFECTS, sd=15)
    if what == "arms":
        adaptive = arms_trial("dunnett", BEST)
    elif what == "sizes":
        adaptive = ts.AdaptiveDesign(
            design(accrual=ts.Accrual(20, process="uniform")),
            milestones(
                ts.EventLooks([60]), ts.EventLooks([120]),
                ts.Rule(power < 0.8, ts.Resize(n=240)), ts.Rule(power < 0.8, ts.Resize(events=170)),
            ),
            ts.ClosedTest(),
        )  # fmt: skip
        outcomes = ts.PiecewiseExponential(12, hazard_ratio=0.8)
    elif what == "populations":
        adaptive = enrichment()
        outcomes = ts.ContinuousResponse(0.2)
    elif what == "allocation":
        adaptive = arms_trial("simes", ts.Rule(Q("n") >= 0, ts.Reallocate(by="neyman")))
    else:
        adaptive, outcomes = platform("concurrent")
    one = ts.simulate(adaptive, outcomes, 40, seed=4, chunk_trials=40)
    other = ts.simulate(adaptive, outcomes, 40, seed=4, chunk_trials=7, n_jobs=2)
    rest = ts.simulate(adaptive, outcomes, 15, seed=4, first_trial=25)
    for name, values in vars(one.conducted).items():
        assert values.tobytes() == getattr(other.conducted, name).tobytes(), name
        assert values[25:].tobytes() == getattr(rest.conducted, name).tobytes(), name


def test_a_logged_trial_is_replayed():
    adaptive = arms_trial("dunnett", BEST)
    result = ts.simulate(adaptive, ts.ContinuousResponse(EFFECTS, sd=15), 20, seed=4)
    for trial in (0, 13):
        log = result.log(trial)
        assert log["fired"].tolist() == (log["value"] > 1).tolist()
        again = result.replay(trial)
        row = result.trials.loc[result.trials["trial"] == trial]
        assert len(again.patients) == row["patients"].max() or len(again.patients) == 240
        data = again.data[0]
        means = data.groupby("arm")["response"].mean()
        ranked = (means.drop("control") - means["control"]).rank(ascending=False)
        assert ranked[log["arm"]].tolist() == log["value"].tolist()
    with pytest.raises(ValueError, match="trial 20 is not among the 20 trials"):
        result.log(20)


def test_a_users_function_decides_on_arrays():
    adaptive = arms_trial("simes")
    seen = []

    def decide(state):
        seen.append((state.milestone, len(state.trial)))
        return [(state.value("rank") > 1, ts.DropArm())]

    outcomes = ts.ContinuousResponse(EFFECTS, sd=15)
    one = ts.simulate(adaptive, outcomes, 30, seed=4, decide=decide)
    rule = adaptive.replace(
        milestones=milestones(ts.EnrolmentLooks([120]), ts.EnrolmentLooks([240]), BEST)
    )
    other = ts.simulate(rule, outcomes, 30, seed=4)
    assert seen[0] == ("interim", 30)
    assert np.array_equal(one.conducted.decision, other.conducted.decision)
    assert np.array_equal(one.patients_by_arm, other.patients_by_arm)

    def decide_one(milestone, patients):
        if milestone != "interim":
            return []
        effect = patients.groupby("arm")["response"].mean().drop("control")
        return [ts.DropArm(arm) for arm in effect.index if arm != effect.idxmax()]

    slow = ts.simulate(adaptive, outcomes, 30, seed=4, decide_one=decide_one)
    assert np.array_equal(slow.conducted.decision, other.conducted.decision)
    assert np.array_equal(slow.patients_by_arm, other.patients_by_arm)
    with pytest.raises(ValueError, match="no method holds the type I error"):
        ts.simulate(
            ts.AdaptiveDesign(design(), ts.milestones_of(design())),
            ts.PiecewiseExponential(12), 5, decide=decide,
        )  # fmt: skip


def test_estimates_after_an_adaptation():
    gs = ts.group_sequential((0.5, 1), efficacy="pocock")
    adaptive = sized(ts.Rule(Q("n") >= 0, ts.Resize(n=400)), 0.5, 200, gs, test=("z_test", 1.0))
    result = ts.simulate(adaptive, ts.ContinuousResponse(0.3), 4_000, seed=12)
    table = result.estimate_performance(0.3).set_index(["method", "quantity"])["estimate"]
    mcse = result.estimate_performance(0.3).set_index(["method", "quantity"])["mcse"]
    # stopping early and growing bias the naive estimate; the stagewise one is median unbiased
    assert table["naive", "bias"] > 5 * mcse["naive", "bias"]
    unbiased = "median-unbiased"
    assert abs(table[unbiased, "median bias"]) < 4 * mcse[unbiased, "median bias"]
    assert table[unbiased, "coverage"] == pytest.approx(0.95, abs=4 * mcse[unbiased, "coverage"])


# -- around it -------------------------------------------------------------------------------------

STUDY = """
title: The best of three doses
design:
  design:
    arms: {control: 1, a: 1, b: 1, c: 1}
    n_patients: 180
    accrual: {rate: 20}
    looks: {type: EnrolmentLooks, patients: [120, 180]}
    test: t_test
    multiplicity: unadjusted
    boundaries: {type: Bounds, efficacy_bounds: [2.7965, 1.9774], information_fractions: [0.5, 1]}
  milestones:
    - name: interim
      when: {type: EnrolmentLooks, patients: [120]}
      rules: [{when: rank > 1, action: DropArm}]
    - {name: final, when: {type: EnrolmentLooks, patients: [180]}}
  closed_test: {intersection: dunnett}
outcomes: {type: ContinuousResponse, difference: {a: 0.2, b: 0.4, c: 0.7}}
simulation: {n_trials: 40, seed: 1}
what_if: {variations: {interim.rules.1.when.value: [1, 2]}, n_trials: 40}
"""


def test_a_study_file_runs_an_adaptive_trial(tmp_path):
    (tmp_path / "study.yml").write_text(STUDY)
    runner = CliRunner()
    told = runner.invoke(app, ["design", str(tmp_path / "study.yml")])
    assert told.exit_code == 0, told.output
    assert "2.7965" in told.output
    report = tmp_path / "report.md"
    told = runner.invoke(
        app, ["simulate", str(tmp_path / "study.yml"), "--no-progress", "--report", str(report)]
    )
    assert told.exit_code == 0, told.output
    text = report.read_text()
    assert "| if rank > 1: drop arm | a |" in text
    assert "inverse normal combination of the stages; closed test" in text
    assert "Held at 120 patients enrolled." in text
    told = runner.invoke(app, ["what-if", str(tmp_path / "study.yml"), "--no-progress"])
    assert told.exit_code == 0, told.output
    study = read_study(tmp_path / "study.yml")
    assert ts.AdaptiveDesign.from_yaml(study.design.to_yaml()) == study.design


def test_any_field_of_a_rule_is_varied():
    power = Q("conditional_power")
    rule = ts.Rule((power >= 0.3) & (power < 0.8), ts.Resize(n=300))
    adaptive = sized(rule, 0.5, 200, OBF)
    table = ts.what_if(
        adaptive, ts.ContinuousResponse(2.5, sd=7.5),
        {"interim.rules.1.action.n": [240, 400],
         "interim.rules.1.when.conditions.1.value": [0.05, 0.5]}, 60, seed=1,
    )  # fmt: skip
    patients = table["expected_patients"].tolist()
    assert patients[2] > patients[0] > patients[1]
    with pytest.raises(ValueError, match="nor outcomes have a field"):
        ts.what_if(adaptive, ts.ContinuousResponse(2.5), {"interim.rules.2.action.n": [1]}, 5)


@pytest.mark.parametrize("intersection", ["dunnett", "simes"])
def test_the_error_of_every_configuration_of_nulls(intersection):
    n = 1_200
    table = ts.family_wise_error(
        arms_trial(intersection, BEST), ts.ContinuousResponse(EFFECTS, sd=15), n, seed=5
    )
    assert len(table) == 7
    assert (table["error"] <= 0.025 + 4 * np.sqrt(0.025 * 0.975 / n)).all()
    assert table.attrs["worst"]["error"] == table["error"].max()
    stratum = ts.BySubgroup(
        "marker", {"S": ts.ContinuousResponse(0.4), "not S": ts.ContinuousResponse(0.4)}
    )
    table = ts.family_wise_error(enrichment(), stratum, 300, seed=5)
    assert table["true_nulls"].tolist() == [
        "treatment, treatment in S", "treatment in S"
    ]  # fmt: skip
    assert (table["error"] <= 0.025 + 4 * np.sqrt(0.025 * 0.975 / 300)).all()
    delayed = ts.PiecewiseExponential(12, breakpoints=[4], hazard_ratio=[1.0, 0.6])
    none = without_effect(delayed, ("control", "treatment"), ("treatment",))
    assert none.hazard_ratio == {"treatment": (1.0, 1.0)}
    with pytest.raises(ValueError, match="what no effect is in SampledTimes is not known"):
        ts.family_wise_error(design(), ts.SampledTimes(lambda batch: batch.enrolment), 5)


PAGES = sorted(Path(__file__).parents[2].glob("docs/how-to/adaptive*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.filterwarnings("ignore:success is declared by rules")
def test_the_pages_on_adaptive_trials_run(page, capsys):
    names = {}
    for code in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        fewer = re.sub(r"n_trials=([\d_]+)", "n_trials=60", code)
        run = compile(fewer, page.name, "exec")
        exec(run, names)
    assert capsys.readouterr().out


# -- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: ts.AdaptiveDesign(
                design(), milestones(ts.EventLooks([60]), ts.EventLooks([120]),
                                     ts.Rule(Q("z") > 0, ts.Restrict("positive"))), ts.ClosedTest()
            ),
            "there is no population 'positive'",
        ),
        (
            lambda: ts.AdaptiveDesign(
                design(), milestones(ts.EventLooks([60]), ts.EventLooks([120]),
                                     ts.Rule(Q("z") > 0, ts.Resize(events=400))), ts.ClosedTest()
            ),
            "Resize to 400 events can never be reached with 200 patients",
        ),
        (
            lambda: ts.AdaptiveDesign(
                design(), milestones(ts.EventLooks([60]), ts.EventLooks([120]),
                                     ts.Rule(Q("posterior") > 0.99, ts.Stop())), ts.ClosedTest()
            ),
            "a stop for efficacy by posterior > 0.99 is not controlled by the closed test",
        ),
        (
            lambda: ts.AdaptiveDesign(
                design(arms=FOUR), milestones(ts.EventLooks([60]), ts.EventLooks([120]),
                                              ts.Rule(Q("n") > 0, ts.Pause(1)))
            ),
            "the error of the family is not controlled",
        ),
        (
            lambda: ts.AdaptiveDesign(design(), milestones(ts.EventLooks([60]),
                                      ts.EventLooks([120])), ts.ClosedTest("conditional_error")),
            "two milestones and no rejection at the first",
        ),
        (lambda: ts.Resize(n=100, by="blinded"), "goes with the effect to be shown"),
        (lambda: ts.Reallocate(), "weights of arms, or by"),
        (lambda: ts.Reallocate(by="thompsen"), "unknown by 'thompsen'"),
        (lambda: ts.Quantity("z", at=0.3), "at goes with conditional_power and posterior"),
        (lambda: ts.ClosedTest(stop="never"), "unknown stop 'never'"),
        (lambda: ts.ClosedTest("conditional_error", "simes"), "goes with intersection 'dunnett'"),
    ],
)  # fmt: skip
def test_what_is_no_adaptive_trial_is_said_in_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_test_without_independent_stages_is_named():
    adaptive = ts.AdaptiveDesign(
        design(test="gray"),
        milestones(ts.EventLooks([60]), ts.EventLooks([120]),
                   ts.Rule(Q("conditional_power") < 0.5, ts.Resize(n=300))),
        ts.ClosedTest(),
    )  # fmt: skip
    risks = scenarios.CompetingRisks([0.05, 0.02], [1.0, 1.0])
    with pytest.raises(NotSimulated, match="'gray' has no stages"):
        ts.simulate(adaptive, risks, 5)
    by_patients = adaptive.replace(
        design=adaptive.design.replace(boundaries=Bounds([None, 1.96])),
        closed_test=ts.ClosedTest(stages="patients", weights=[1, 1]),
    )
    assert ts.simulate(by_patients, risks, 20, seed=1).n_trials == 20


def test_milestones_of_several_kinds_and_of_some_patients():
    mixed = ts.AdaptiveDesign(
        design(strata={"marker": {"S": 0.5, "not S": 0.5}}),
        [
            ts.Milestone("early", ts.EventLooks([30]), ts.Rule("z <= -1", ts.Stop("futility")),
                         population="S"),
            ts.Milestone("year", ts.CalendarLooks([14])),
        ],
    )  # fmt: skip
    course = Course(mixed, ts.PiecewiseExponential(12), Streams.span(1, 0, 40))
    done = course.run()
    batch = course.batch
    seen = (batch.calendar_event <= done.look_time[:, [0]]) & (batch.factors["marker"] == 0)
    assert (seen.sum(axis=1) == 30).all()
    assert set(done.look_time[done.last_look == 1, 1]) == {14.0}
    assert ts.simulate(mixed, ts.PiecewiseExponential(12), 40, seed=1).n_trials == 40


def test_an_arm_that_opens_when_all_have_come_is_told():
    adaptive = ts.AdaptiveDesign(
        design(),
        milestones(ts.EventLooks([100]), ts.EventLooks([140]), ts.Rule("n >= 0", ts.AddArm("b"))),
        ts.ClosedTest(intersection="simes"),
        [ts.Arm("b")],
    )
    with pytest.warns(UserWarning, match="opens the arm 'b' in simulated trials whose patients"):
        result = ts.simulate(adaptive, ts.PiecewiseExponential(12, hazard_ratio=0.6), 20, seed=1)
    assert not result.rejected[:, 1].any()


def test_an_arm_opens_by_the_calendar():
    adaptive = ts.AdaptiveDesign(
        design(arms={"control": 1, "a": 1}, looks=ts.EnrolmentLooks([120, 240]), n_patients=240,
               test="t_test"),
        milestones(ts.EnrolmentLooks([120]), ts.EnrolmentLooks([240])),
        ts.ClosedTest(intersection="simes"),
        [ts.Arm("b", opens=3), ts.Arm("c", opens=8, share=2)],
    )  # fmt: skip
    course = Course(adaptive, ts.ContinuousResponse(0.0), Streams.span(1, 0, 30))
    course.run()
    batch = course.batch
    for code, month in ((2, 3.0), (3, 8.0)):
        assert batch.enrolment[batch.arm == code].min() > month
    late = batch.enrolment > 8
    shares = [(late & (batch.arm == code)).sum() for code in range(4)]
    assert shares[3] / shares[0] == pytest.approx(2, rel=0.15)


def test_bounds_above_alpha_are_said():
    with pytest.warns(UserWarning, match=r"have a level of 0\.0\d+, above alpha 0.025"):
        ts.AdaptiveDesign(
            design(),
            [
                ts.Milestone("a", ts.EventLooks([60]), ts.Rule(Q("z") >= 1.96, ts.Stop())),
                ts.Milestone("b", ts.EventLooks([120]), ts.Rule(Q("z") >= 1.96, ts.Stop())),
            ],
            ts.ClosedTest(),
        )
