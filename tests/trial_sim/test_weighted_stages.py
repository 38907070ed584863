"""Weighted log-rank tests over the stages of an adaptive trial, against a second program."""

import warnings

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

import trial_sim as ts
from trial_sim.engine.adapting.conduct import Course
from trial_sim.numerics.random_streams import Streams

LATE = ("fleming_harrington", 0, 1)
COMBO = ("max_combo", [("fleming_harrington", 0, 0), LATE])


def trial(test, **changes):
    fields = {
        "arms": {"control": 1, "treatment": 1}, "n_patients": 160, "accrual": ts.Accrual(rate=10),
        "looks": ts.EventLooks([55, 110]), "boundaries": ts.group_sequential((0.5, 1)),
        "test": test,
    }  # fmt: skip
    rule = ts.Rule("conditional_power < 0.9", ts.Resize(events=140))
    return ts.AdaptiveDesign(
        ts.Design(**(fields | changes)),
        [
            ts.Milestone("interim", ts.EventLooks([55]), rule),
            ts.Milestone("final", ts.EventLooks([110])),
        ],
        ts.ClosedTest(),
    )


def scores(time, event, group, powers):
    """Scores and covariance by weights S^rho (1 - S)^gamma, each event time in turn."""
    survival, u, v = 1.0, np.zeros(len(powers)), np.zeros((len(powers),) * 2)
    for t in np.sort(time[event]):
        risk = time >= t
        n, one = risk.sum(), (risk & (group == 1)).sum()
        w = np.array([survival**rho * (1 - survival) ** gamma for rho, gamma in powers])
        share = one / n
        u += w * (share - group[(time == t) & event][0])
        v += np.outer(w, w) * share * (1 - share)
        survival *= 1 - 1 / n
    return u, v


@pytest.mark.parametrize(("test", "powers"), [(LATE, [(0, 1)]), (COMBO, [(0, 0), (0, 1)])])
def test_a_stage_is_the_growth_of_the_scores(test, powers):
    course = Course(
        trial(test), ts.PiecewiseExponential(10, hazard_ratio=0.8), Streams.span(1, 0, 8)
    )
    done = course.run()
    batch = course.batch
    for t in range(8):
        before = (np.zeros(len(powers)), np.zeros((len(powers),) * 2))
        for k in range(done.last_look[t] + 1):
            month = done.look_time[t, k]
            here = batch.enrolment[t] < month
            until = np.minimum(batch.exit[t], month) - batch.enrolment[t]
            event = batch.calendar_event[t] <= month
            now = scores(until[here], event[here], batch.arm[t][here], powers)
            u, v = now[0] - before[0], now[1] - before[1]
            z = u / np.sqrt(np.diag(v))
            if len(powers) > 1:
                r = v / np.sqrt(np.outer(np.diag(v), np.diag(v)))
                z = [norm.ppf(multivariate_normal([0, 0], r).cdf([z.max()] * 2))]
            assert done.stage_z[t, k, 0] == pytest.approx(z[0], abs=2e-4)
            before = now


@pytest.mark.parametrize("test", [LATE, COMBO])
def test_stages_are_independent_and_hold_the_error_whatever_the_size(test):
    n = 1_500
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adaptive = trial(test)
    result = ts.simulate(adaptive, ts.PiecewiseExponential(10), n, seed=2)
    z = result.conducted.stage_z[:, :, 0]
    both = z[np.isfinite(z).all(axis=1)]
    assert len(both) > 1_400
    # correlation of a stage with the next: none; spread one, but for the few stopped early
    assert abs(np.corrcoef(both.T)[0, 1]) < 4 / np.sqrt(n)
    assert np.std(both[:, 1]) == pytest.approx(1, abs=0.08)
    assert result.power <= 0.025 + 4 * np.sqrt(0.025 * 0.975 / n)
    assert result.power >= 0.025 - 4 * np.sqrt(0.025 * 0.975 / n)
    assert result.conducted.fired.mean() > 0.5
    assert "naive" in result.estimate_performance(0.0)["method"].tolist()
