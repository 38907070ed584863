"""Blinded sizes of counts and times: each trial's by formulas from its own patients."""

import warnings

import numpy as np
import pytest
from statsmodels.discrete.discrete_model import NegativeBinomial

import trial_sim as ts
from trial_sim.engine.adapting.conduct import Course
from trial_sim.numerics.random_streams import Streams


def trial(effect, most, **changes):
    fields = {
        "arms": {"control": 1, "treatment": 2}, "n_patients": 240, "accrual": ts.Accrual(rate=20),
        "looks": ts.EnrolmentLooks([120, 240], follow_up=12), "readout": 12, "better": "lower",
        "test": "negative_binomial",
    }  # fmt: skip
    rule = ts.Rule("n >= 0", ts.Resize(n=most, by="blinded", effect=effect, target=0.9))
    return ts.AdaptiveDesign(
        ts.Design(**(fields | changes)),
        [
            ts.Milestone("interim", ts.EnrolmentLooks([120], follow_up=12), rule),
            ts.Milestone("final", ts.EnrolmentLooks([240], follow_up=12)),
        ],
    )


def test_counts_are_sized_by_their_pooled_mean_and_dispersion():
    adaptive = trial(float(np.log(0.7)), 2_000)
    watched = adaptive.replace(
        milestones=[
            adaptive.milestones[0].replace(
                rules=[*adaptive.milestones[0].rules, ts.Rule("pooled_dispersion < 0.01 and "
                                                              "pooled_rate > 9", ts.Pause(1))]
            ),
            adaptive.milestones[1],
        ]
    )  # fmt: skip
    outcomes = ts.CountResponse(0.1, 0.7, exposure=12, dispersion=0.8)
    course = Course(watched, outcomes, Streams.span(1, 0, 15))
    done = course.run()
    response = course.patients.outcome.response
    for t in range(15):
        known = course.patients.arrival[t, :240] + 12 <= done.look_time[t, 0]
        y = response[t, :240][known]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            k = NegativeBinomial(y, np.ones(len(y))).fit(disp=0).params[1]
        assert done.value[t, 1, 0] == pytest.approx(k, rel=2e-3)
        assert done.value[t, 2, 0] == pytest.approx(y.mean(), rel=1e-6)
        control = y.mean() * 3 / (1 + 2 * 0.7)
        size = ts.sample_size_counts(0.7, control, power=0.9, dispersion=k, allocation=2)
        wanted = min(2_000, max(240, size.n_total))
        assert done.target[t, 0] == pytest.approx(wanted, abs=3)  # the fit of k ends at 1e-4


def test_times_are_sized_by_the_pooled_rates_of_events_and_drop_out():
    adaptive = trial(
        float(np.log(0.6)), 3_000, test="logrank", readout=0.0, better=None, follow_up=12,
        dropout=ts.Dropout(rate=0.02),
    )  # fmt: skip
    outcomes = ts.PiecewiseExponential(control_median=30, hazard_ratio=0.6)
    course = Course(adaptive, outcomes, Streams.span(2, 0, 15))
    before = course.batch
    time, event, enrolment = before.time.copy(), before.event.copy(), before.enrolment.copy()
    done = course.run()
    needed = ts.events_required(0.6, power=0.9, allocation=2)
    for t in range(15):
        month = done.look_time[t, 0]
        here = enrolment[t] <= month
        seen = np.minimum(time[t], month - enrolment[t])[here]
        ended = time[t][here] <= month - enrolment[t][here]
        events = (ended & (event[t][here] == 1)).sum()
        left = (ended & (event[t][here] == 0) & (time[t][here] < 12)).sum()
        total = (events + left) / seen.sum()
        chance = events / (events + left) * (1 - np.exp(-total * 12))
        wanted = max(240, np.ceil(needed / chance - 1e-9))
        assert done.target[t, 0] == pytest.approx(wanted, abs=1.01)


def test_blinded_sizes_of_counts_reach_their_power_and_hold_the_error():
    adaptive = trial(float(np.log(0.6)), 1_200, arms={"control": 1, "treatment": 1})
    for ratio, wanted in ((0.6, 0.9), (1.0, 0.025)):
        # twice the dispersion that 240 patients have power for
        outcomes = ts.CountResponse(0.06, ratio, exposure=12, dispersion=1.5)
        n = 600
        result = ts.simulate(adaptive, outcomes, n, seed=4)
        assert result.power == pytest.approx(
            wanted, abs=4 * np.sqrt(wanted * (1 - wanted) / n) + 0.01
        )
        assert result.expected_patients > 300


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: trial(0.3, 500, test="logrank", better=None), "give Design\\(follow_up=months\\)"),
        (lambda: trial(0.3, 500, test="wilcoxon", better=None), "not for the test 'wilcoxon'"),
        (
            lambda: trial(0.3, 500, arms={"control": 1, "a": 1, "b": 1}),
            "simulated for two arms alone",
        ),
    ],
)
def test_what_cannot_be_sized_blinded_is_said_in_one_sentence(make, sentence):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=sentence) as caught:
            make()
    assert "\n" not in str(caught.value)


def test_pooled_rates_of_counts_and_times_may_be_above_one():
    assert ts.Rule("pooled_rate > 1.2", ts.Pause(1)).blinded
    with pytest.raises(ValueError, match="pooled_rate is at most 1 here, and it asks for"):
        trial(0.2, 500, test="chi_square").replace(
            milestones=[
                ts.Milestone("a", ts.EnrolmentLooks([9]), ts.Rule("pooled_rate > 1", ts.Pause(1))),
                ts.Milestone("b", ts.EnrolmentLooks([240])),
            ]
        )
