"""Rules that look at another endpoint of the same patients: against patients and other programs."""

import warnings

import numpy as np
import pytest
from scipy.stats import norm

import trial_sim as ts
from trial_sim.engine.adapting.conduct import Course
from trial_sim.numerics.random_streams import Streams
from trial_sim.scenarios import PatientBatch
from trial_sim.sequential.plain_bounds import Bounds

FOUR = {"control": 1, "a": 1, "b": 1, "c": 1}
LAST = Bounds([None, 1.959964], information_fractions=[0.5, 1])
BEST = ts.Rule("rank of endpoint 'early' > 1", ts.DropArm(keep_size=False))


def seamless(rule=BEST, **changes):
    """Thirty an arm and stage; the early value is known at once, the final one six months later."""
    fields = {
        "arms": FOUR, "n_patients": 240, "accrual": ts.Accrual(rate=20), "test": ("z_test", 1),
        "looks": ts.EnrolmentLooks([120, 240]), "boundaries": LAST, "multiplicity": "unadjusted",
        "readout": 6,
    }  # fmt: skip
    return ts.AdaptiveDesign(
        ts.Design(**(fields | changes)),
        [
            ts.Milestone("interim", ts.EnrolmentLooks([120]), rule),
            ts.Milestone("final", ts.EnrolmentLooks([240], follow_up=6)),
        ],
        ts.ClosedTest(intersection="dunnett", stages="patients", stop="all"),
    )


def outcomes(final, early, correlation):
    return ts.WithEndpoints(
        ts.ContinuousResponse(dict(zip("abc", final))),
        {"early": ts.ContinuousResponse(dict(zip("abc", early)))},
        {"early": correlation},
    )


def by_means(n, final, early, correlation):
    """Chance of rejecting each arm: means of thirty patients, Dunnett's test by integration."""
    rng, s = np.random.default_rng(5), 1 / np.sqrt(30)

    def pair():
        x = rng.standard_normal(n)
        rest = rng.standard_normal(n)
        return s * x, s * (correlation * x + np.sqrt(1 - correlation**2) * rest)

    e0, f0 = pair()
    arms = [pair() for _ in early]
    seen = np.array([effect + e - e0 for effect, (e, _) in zip(early, arms)])
    z = np.array([(effect + f - f0) / (s * np.sqrt(2)) for effect, (_, f) in zip(final, arms)])
    best = seen.argmax(axis=0)
    first = z[best, np.arange(n)]
    second = (np.array(final)[best] + s * (rng.standard_normal((2, n)).T @ [1, -1])) / (
        s * np.sqrt(2)
    )
    x, w = np.polynomial.legendre.leggauss(60)
    x, w = 8 * x, 8 * w * norm.pdf(8 * x)
    rejected = np.ones(n, bool)
    for m in range(1, len(final) + 1):  # of a set only the best arm can have a small p-value
        inside = (w * norm.cdf(first[:, None] * np.sqrt(2) - x) ** m).sum(axis=1)
        q = -norm.ppf(np.clip(1 - inside, 1e-300, 1)) if m > 1 else first
        rejected &= (q + second) / np.sqrt(2) >= 1.959964
    return [float((rejected & (best == j)).mean()) for j in range(len(final))]


@pytest.mark.parametrize(
    ("final", "early", "correlation"),
    [((0.0, 0.3, 0.5), (0.1, 0.4, 0.5), 0.5), ((0.0, 0.0, 0.0), (0.2, 0.4, 0.6), 0.9)],
)
def test_selection_by_an_early_endpoint_has_the_power_of_means(final, early, correlation):
    n = 2_500
    result = ts.simulate(seamless(), outcomes(final, early, correlation), n, seed=3)
    wanted = np.array(by_means(60_000, final, early, correlation))
    se = np.sqrt(np.maximum(wanted * (1 - wanted), 1e-3) * (1 / n + 1 / 60_000))
    assert (np.abs(result.rejected.mean(axis=0) - wanted) <= 4 * se).all()
    assert result.power <= 0.025 + 3 * np.sqrt(0.025 / n) or max(final) > 0
    assert result.expected_patients == 180


def test_progression_selects_and_survival_is_tested():
    design = ts.Design(
        arms={"control": 1, "low": 1, "high": 1}, n_patients=240, accrual=ts.Accrual(rate=20),
        looks=ts.CalendarLooks([8, 30]), endpoint="os", boundaries=LAST, multiplicity="unadjusted",
    )  # fmt: skip
    rules = [
        ts.Rule("rank of endpoint 'pfs' > 1", "DropArm"),
        ts.Rule("z of endpoint 'pfs' < -9", ts.Stop("futility")),
        ts.Rule("events of endpoint 'pfs' < 0.5", ts.Stop("futility")),
    ]
    adaptive = ts.AdaptiveDesign(
        design,
        [
            ts.Milestone("select", ts.EventLooks([40]), rules, endpoint="pfs"),
            ts.Milestone("final", ts.CalendarLooks([30])),
        ],
        ts.ClosedTest(intersection="simes", stages="patients"),
    )
    assert ts.AdaptiveDesign.from_yaml(adaptive.to_yaml()) == adaptive
    illness = ts.IllnessDeath(0.08, 0.01, 0.1, hr_progression={"low": 0.9, "high": 0.6})
    course = Course(adaptive, illness, Streams.span(4, 0, 12))
    whole = illness.sample(course.patients._batch_of(np.arange(12)))
    before = course.patients.arm.copy()
    done = course.run()
    for t in range(12):
        month = done.look_time[t, 0]
        entered = course.patients.arrival[t] <= month
        enrolled, pfs = course.patients.arrival[t][entered], whole.endpoints["pfs"][t][entered]
        event = enrolled + pfs <= month
        assert event.sum() == 40 == done.value[t, 2, 0]
        time, arm = np.where(event, pfs, month - enrolled), before[t][entered]
        for c in (1, 2):
            mine = (arm == 0) | (arm == c)
            wanted = ts.logrank(time[mine], event[mine], arm[mine] == c).z
            assert done.value[t, 1, c - 1] == pytest.approx(wanted, abs=1e-4)
        # of the arm that is tested: stages are patients before and after the decision
        if done.last_look[t] != 1:
            continue
        best = int(np.nanargmin(done.value[t, 0]))
        batch = course.batch
        for c, part in enumerate((batch.enrolment[t] <= month, batch.enrolment[t] > month)):
            mine = part & np.isfinite(batch.enrolment[t]) & np.isin(batch.arm[t], [0, best + 1])
            seen = batch.calendar_event[t] <= 30
            mine &= batch.enrolment[t] <= 30
            until = np.minimum(batch.exit[t], 30) - batch.enrolment[t]
            survived = np.where(seen, batch.time[t], until)
            wanted = ts.logrank(survived[mine], seen[mine], batch.arm[t][mine] == best + 1).z
            assert done.stage_z[t, c, best] == pytest.approx(wanted, abs=1e-6)


def test_an_early_response_is_known_when_it_is_read():
    rule = ts.Rule("pooled_rate of endpoint 'early' >= 0", ts.Pause(1))
    adaptive = seamless(rule).replace(endpoints={"early": {"test": "chi_square", "readout": 2}})
    mixed = ts.WithEndpoints(
        ts.ContinuousResponse(0.3), {"early": ts.BinaryResponse(0.4, 0.6)}, {"early": 0.5}
    )
    course = Course(adaptive, mixed, Streams.span(2, 0, 20))
    done = course.run()
    response = course.patients.outcome.responses["early"]
    known = course.patients.arrival + 2 <= done.look_time[:, [0]]
    wanted = np.where(known, response, 0).sum(axis=1) / known.sum(axis=1)
    assert known.sum(axis=1).max() < 120
    assert done.value[:, 0, 0] == pytest.approx(wanted, abs=1e-6)


def test_other_endpoints_keep_the_base_and_have_the_correlation_named():
    arm = np.tile(np.array([0, 1], np.int8), (4, 2_000))
    batch = PatientBatch(Streams.span(6, 0, 4), ("control", "t"), arm, np.zeros(arm.shape))
    base = ts.ContinuousResponse(0.5, sd=2.0, correlation=0.6)
    both = ts.WithEndpoints(
        base,
        {
            "time": ts.PiecewiseExponential(10, hazard_ratio=0.5),
            "value": ts.ContinuousResponse(1.0),
            "response": ts.BinaryResponse(0.3, 0.5),
            "apart": ts.ContinuousResponse(0.0),
        },
        {"time": 0.6, "value": -0.4, "response": 0.7},
    )
    made, alone = both.sample(batch), base.sample(batch)
    assert made.response.tobytes() == alone.response.tobytes()
    luck = (made.response - 0.5 * arm) / 2
    rate = np.log(2) / 10 * np.where(arm == 1, 0.5, 1.0)
    score = -norm.ppf(np.exp(-rate * made.endpoints["time"]))
    for found, wanted in (
        (score, 0.6), (made.responses["value"] - arm, -0.4), (made.responses["apart"], 0.0),
    ):  # fmt: skip
        assert np.corrcoef(luck.ravel(), found.ravel())[0, 1] == pytest.approx(wanted, abs=0.03)
        assert np.std(found) == pytest.approx(1, abs=0.03)
    response = made.responses["response"]
    assert response[arm == 0].mean() == pytest.approx(0.3, abs=0.02)
    # biserial: mean score of responders is r * density over rate
    wanted = 0.7 * norm.pdf(norm.isf(0.3)) / 0.3
    assert luck[(arm == 0) & (response == 1)].mean() == pytest.approx(wanted, abs=0.06)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: seamless().replace(closed_test=ts.ClosedTest()),
            "by the endpoint 'early' of patients who are still followed is not controlled",
        ),
        (
            lambda: seamless(boundaries=ts.group_sequential((0.5, 1))),
            "stages='patients' tests when the trial ends",
        ),
        (lambda: ts.Quantity("rejected", endpoint="early"), "of the endpoint that the design"),
        (lambda: ts.ClosedTest("conventional", stages="patients"), "goes with combine"),
        (lambda: ts.ClosedTest(stages="patient"), "unknown stages 'patient'"),
        (
            lambda: seamless().replace(endpoints={"early": {"tests": "t_test"}}),
            "endpoint 'early' takes no 'tests'; did you mean 'test'",
        ),
        (
            lambda: seamless().replace(endpoints={"early": {"test": "ttest"}}),
            "endpoint 'early': test 'ttest' is unknown",
        ),
        (
            lambda: ts.simulate(seamless(), ts.ContinuousResponse(0.0), 5),
            "asks for the endpoint 'early', and the scenario ContinuousResponse gives no",
        ),
        (
            lambda: ts.simulate(
                seamless(), ts.WithEndpoints(ts.ContinuousResponse(0.0),
                                             {"erly": ts.ContinuousResponse(0.0)}), 5),
            "did you mean 'erly'",
        ),
        (
            lambda: ts.WithEndpoints(ts.ContinuousResponse(0.0),
                                     {"x": ts.IllnessDeath(0.1, 0.1, 0.1)}),
            "endpoint 'x' must be one of",
        ),
        (
            lambda: ts.WithEndpoints(ts.ContinuousResponse(0.0),
                                     {"x": ts.ContinuousResponse(0.0)}, {"y": 0.2}),
            "correlation names the endpoint 'y'",
        ),
    ],
)  # fmt: skip
def test_what_is_not_controlled_or_known_is_said_in_one_sentence(make, sentence):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=sentence) as caught:
            make()
    assert "\n" not in str(caught.value)
