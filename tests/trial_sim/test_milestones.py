"""The words of adaptive designs: exact round trips, refusals, and the bytes of today's designs."""

import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import trial_sim as ts
from trial_sim.adaptive.rules import RANGES, Condition
from trial_sim.sequential.plain_bounds import Bounds

PLANNED = ts.group_sequential((0.5, 1))  # made once


def design(**changes):
    fields = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": 200,
        "accrual": ts.Accrual(rate=20),
        "looks": ts.EventLooks([60, 120]),
        "boundaries": PLANNED,
    }
    return ts.Design(**(fields | changes))


@pytest.mark.parametrize(
    "plain",
    [
        design(boundaries=ts.group_sequential((0.5, 1), futility=[0.3])),
        design(boundaries=None, looks=ts.EventLooks([120])),
        design(boundaries=Bounds([2.8, 1.98], [0.0, None], [0.5, 1.0])),
        design(
            test="t_test",
            looks=ts.EnrolmentLooks([100, 200], follow_up=3, lag=1),
            readout=3,
        ),
        design(looks=ts.CalendarLooks([8, 20])),
    ],
)
def test_stops_at_milestones_have_the_bytes_of_looks_and_boundaries(plain):
    adaptive = ts.AdaptiveDesign(plain, ts.milestones_of(plain))
    again = ts.AdaptiveDesign.from_yaml(adaptive.to_yaml())
    assert again == adaptive
    assert again.hash == adaptive.hash
    outcomes = (
        ts.ContinuousResponse(0.4)
        if plain.test_name == "t_test"
        else ts.PiecewiseExponential(control_median=12, hazard_ratio=0.6)
    )
    one = ts.simulate(plain, outcomes, n_trials=300, seed=4)
    other = ts.simulate(again, outcomes, n_trials=300, seed=4)
    assert one.trials.equals(other.trials)
    assert one.power == other.power


def interim(*rules, when=None):
    last = ts.Milestone("final", ts.EventLooks([120]), ts.Rule(ts.Quantity("z") >= 1.98, ts.Stop()))
    return [ts.Milestone("interim", when or ts.EventLooks([60]), rules), last]


Z = ts.Quantity("z")
TEST = ts.ClosedTest(intersection="bonferroni")
CONVENTIONAL = ts.ClosedTest("conventional", "bonferroni")
LATER = [ts.Arm("high", opens=3, dose=20.0)]
ACTIONS = [
    ts.Stop("efficacy"), ts.Stop("futility"), ts.DropArm("treatment"), ts.DropArm(),
    ts.AddArm("high"), ts.Resize(n=400), ts.Resize(events=180, by=-0.3, target=0.9),
    ts.Resize(n=400, by="most"), ts.Reallocate(by="thompson", tuning="n/2N", least=0.1),
    ts.Restrict("positive"), ts.Reallocate({"control": 1, "treatment": 2.5}), ts.Pause(2.5),
]  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS, ids=repr)
def test_actions_go_to_yaml_and_back_and_are_simulated(action):
    adaptive = ts.AdaptiveDesign(
        design(strata={"marker": {"positive": 0.6, "negative": 0.4}}),
        interim(ts.Rule(ts.Quantity("estimate") >= -0.5, action)),
        CONVENTIONAL if action == ts.Stop("efficacy") else TEST,
        LATER,
    )
    assert ts.AdaptiveDesign.from_yaml(adaptive.to_yaml()) == adaptive
    assert ts.AdaptiveDesign.from_json(adaptive.to_json()) == adaptive
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.6)
    result = ts.simulate(adaptive, outcomes, n_trials=10)
    fired = result.conducted.fired[:, 0]
    assert fired.any()
    assert result.adaptations["rule"][0].startswith("if estimate >= -0.5: ")


comparisons = st.builds(
    lambda name, sign, value: {
        ">=": ts.Quantity(name) >= value,
        ">": ts.Quantity(name) > value,
        "<=": ts.Quantity(name) <= value,
        "<": ts.Quantity(name) < value,
    }[sign],
    st.sampled_from(["z", "p", "n", "conditional_power"]),
    st.sampled_from([">=", ">", "<=", "<"]),
    st.integers(-1, 2),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=6,
)


def holds(condition, values):
    kind = type(condition).__name__
    if kind == "Comparison":
        x, c = values[condition.quantity.name], condition.value
        return {">=": x >= c, ">": x > c, "<=": x <= c, "<": x < c}[condition.sign]
    if kind == "NotSo":
        return not holds(condition.condition, values)
    parts = [holds(one, values) for one in condition.conditions]
    return all(parts) if kind == "AllOf" else any(parts)


@settings(max_examples=60, deadline=None)
@given(conditions)
@example(~((ts.Quantity("z") >= 0) | (ts.Quantity("z") < 0)))
@example((ts.Quantity("z") > 0) & (ts.Quantity("z") < 0.5) & (ts.Quantity("z") <= 0))
def test_conditions_can_hold_just_when_some_values_meet_them(condition):
    grid = [v / 2 for v in range(-4, 7)]  # between and at all the numbers compared with
    names = sorted({one.quantity.name for one in condition.comparisons()})
    inside = [[v for v in grid if RANGES[n][0] <= v <= RANGES[n][1]] for n in names]
    points = np.array(np.meshgrid(*inside)).reshape(len(names), -1).T
    met = any(holds(condition, dict(zip(names, point))) for point in points)
    assert condition.can_hold() == met
    assert Condition.from_yaml(condition.to_yaml()) == condition
    if met:  # words are read to a condition that says the same
        again = ts.Rule(condition.in_words, ts.Stop()).when
        for point in points:
            values = dict(zip(names, point))
            assert holds(again, values) == holds(condition, values)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ts.Rule(ts.Quantity("p") > 1, ts.Stop()), "the rule can never fire: .* p > 1"),
        (lambda: ts.Rule((Z > 2) & (Z < 1), ts.Stop()), "the rule can never fire"),
        (
            lambda: interim(ts.Rule(Z > 2, ts.Stop()), ts.Rule(Z > 2, ts.Stop("futility"))),
            "two rules if z > 2 contradict",
        ),
        (
            lambda: interim(ts.Rule(Z > 2, ts.DropArm("a")), ts.Rule(Z > 2, ts.AddArm("a"))),
            "arm 'a' is dropped and added",
        ),
        (lambda: ts.CalendarLooks([0]), "positive and increasing"),
        (
            lambda: ts.AdaptiveDesign(design(), interim(when=ts.EventLooks([130])), TEST),
            "milestone 'final' at 120 events comes after milestone 'interim' at 130",
        ),
        (
            lambda: ts.AdaptiveDesign(design(), interim(when=ts.CalendarLooks([0.01])), TEST),
            "at month 0.01 comes before the first patient, expected in month 0.05",
        ),
        (
            lambda: ts.AdaptiveDesign(
                design(test="t_test", readout=6, looks=ts.CalendarLooks([2, 20])),
                [
                    ts.Milestone("a", ts.CalendarLooks([2])),
                    ts.Milestone("b", ts.CalendarLooks([20])),
                ],
            ),
            "milestone 'a' at month 2 comes before any response is known",
        ),
        (
            lambda: ts.AdaptiveDesign(
                design(),
                [
                    ts.Milestone("a", ts.EventLooks([60])),
                    ts.Milestone("b", ts.EventLooks([120]), ts.Rule(Z > 1, ts.Resize(n=300))),
                ],
                TEST,
            ),
            "milestone 'b' is the last and ends the trial: its rule .* can never be done",
        ),
        (
            lambda: ts.AdaptiveDesign(
                design(), interim(), ts.ClosedTest(intersection="simes"), [ts.Arm("b", opens=60)]
            ),
            "the later arm 'b' opens at month 60, after enrolment ended",
        ),
        (
            lambda: ts.AdaptiveDesign(design(), interim(ts.Rule("rank > 1", "DropArm")), TEST),
            "the rule can never fire: rank is at most 1 here",
        ),
        (
            lambda: ts.AdaptiveDesign(design(), interim(ts.Rule("n > 500", ts.Pause(1))), TEST),
            "the rule can never fire: n is at most 200 here",
        ),
        (
            lambda: interim(ts.Rule(Z >= 1, ts.Stop()), ts.Rule(Z <= 2, ts.Stop("futility"))),
            "z >= 1 and z <= 2 hold at once",
        ),
        (lambda: ts.Milestone("m", ts.EventLooks([1, 2])), "must be one look, its rule has 2"),
        (
            lambda: ts.AdaptiveDesign(design(), interim(ts.Rule(Z > 1, ts.Resize(n=150))), TEST),
            "Resize to at most 150 patients is below the 200 planned",
        ),
        (
            lambda: ts.AdaptiveDesign(design(), interim(ts.Rule(Z > 1, ts.Resize(n=300)))),
            "milestone 'interim': Resize by z > 1 needs a method for the type I error",
        ),
        (
            lambda: ts.AdaptiveDesign(
                design(boundaries=None, looks=ts.EventLooks([120])),
                interim(ts.Rule(Z > 1, ts.Resize(n=300))),
                TEST,
            ),
            "the closed test has no weights for its stages",
        ),
        (
            lambda: ts.AdaptiveDesign(
                design(),
                interim(ts.Rule(Z > 1, ts.Resize(n=300))),
                ts.ClosedTest(weights=[1, 1, 1]),
            ),
            "3 weights for 2 milestones",
        ),
        (
            lambda: ts.AdaptiveDesign(
                design(),
                interim(ts.Rule(Z > 1, ts.AddArm("high")), when=ts.EnrolmentLooks([200])),
                TEST,
                [ts.Arm("high")],
            ),
            "adds the arm 'high' after enrolment ended",
        ),
        (
            lambda: ts.AdaptiveDesign(design(), interim(ts.Rule(Z > 1, ts.AddArm("high"))), TEST),
            "which later_arms does not have",
        ),
        (
            lambda: ts.AdaptiveDesign(
                design(), interim(ts.Rule(Z < 0, ts.DropArm("treatmnt"))), TEST
            ),
            "names the arm 'treatmnt'; did you mean 'treatment'",
        ),
        (
            lambda: ts.AdaptiveDesign(
                design(), interim(ts.Rule(Z < 0, ts.DropArm("control"))), TEST
            ),
            "drops the control 'control'",
        ),
        (lambda: ts.ClosedTest(combine="fisher", weights=[1, 1]), "weights go with combine"),
        (lambda: ts.ClosedTest(intersection="holm"), "unknown intersection 'holm'"),
        (lambda: ts.Quantity("zscore"), "unknown quantity 'zscore'"),
        (lambda: ts.Resize(n=100, events=100), "one of them"),
        (lambda: ts.Reallocate({"a": -1}), "weights must be 0 or more"),
        (lambda: ts.Pause(0), "months must be above 0"),
        (lambda: ts.Rule("z >>= 2", "Stop"), "a number was expected, not '>='"),
        (lambda: ts.Rule("z >= 2 and", "Stop"), "a quantity was expected, not its end"),
        (lambda: ts.Rule("(z >= 2", "Stop"), "a bracket is not closed"),
        (lambda: ts.Rule("z of arms 'a' >= 2", "Stop"), "arm, population or endpoint"),
        (lambda: ts.Rule("z >= 2 ; p < 1", "Stop"), "cannot be read at '; p < 1'"),
        (lambda: ts.Rule("z >= 2 n", "Stop"), "nothing more was expected before 'n'"),
        (lambda: ts.Rule("z >= 2", "DropArms"), "there is no record 'DropArms'"),
        (lambda: ts.Arm("a", opens=-1), "must open at month 0 or later"),
        (lambda: ts.Rule.from_yaml("when: {type: Comparson}\naction: {type: Stop}"), "Comparison"),
    ],
)
def test_what_makes_no_adaptive_trial_is_said_in_one_sentence(make, sentence):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=sentence) as caught:
            make()
    assert "\n" not in str(caught.value)


def test_a_blinded_adaptation_needs_no_closed_test():
    rule = ts.Rule(ts.Quantity("pooled_sd") > 12, ts.Resize(n=400, by="blinded", effect=5))
    assert rule.blinded
    assert not ts.Rule(ts.Quantity("pooled_sd") > 12, ts.Resize(n=400)).blinded
    means = design(test="t_test", looks=ts.EnrolmentLooks([100, 200]))
    assert ts.AdaptiveDesign(means, interim(rule)).closed_test is None
    with pytest.raises(
        ValueError, match="asks for the pooled_sd, which outcomes of the test 'logr"
    ):
        ts.AdaptiveDesign(design(), interim(ts.Rule("pooled_sd > 12", ts.Pause(1))))


def test_every_quantity_is_read_from_its_words():
    gap = ts.Quantity("estimate", population="S +") - ts.Quantity("z", arm="a b")
    for condition in (
        gap > -0.15,
        ts.Quantity("conditional_power", arm="high", at=-0.3) < 1e-3,
        ts.Quantity("posterior", at=2.0) >= 0.975,
    ):
        rule = ts.Rule(condition, ts.DropArm())
        assert ts.Rule(condition.in_words, "DropArm") == rule
        assert ts.Rule.from_yaml(rule.to_yaml()) == rule
