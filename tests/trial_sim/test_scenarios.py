"""Outcome scenarios against their analytic distributions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import trial_sim as ts
from trial_sim import scenarios
from trial_sim.base.records import Record
from trial_sim.numerics.piecewise_hazards import times_from_exponentials
from trial_sim.numerics.random_streams import Streams
from trial_sim.scenarios import (
    BinaryResponse,
    BySubgroup,
    CompetingEvents,
    ContinuousResponse,
    CountResponse,
    IllnessDeath,
    LongitudinalResponse,
    OrdinalResponse,
    OutcomeScenario,
    PatientBatch,
    PiecewiseExponential,
    RecurrentEvents,
    SampledTimes,
    SurvivalTable,
    Weibull,
    WithCovariates,
)

ARMS = ("control", "treatment")


def batch(n_trials=100, n=400, arms=ARMS, seed=5, factors=None, levels=None):
    streams = Streams.span(seed, 0, n_trials)
    arm = np.tile(np.arange(n) % len(arms), (n_trials, 1)).astype(np.int8)
    enrolment = np.tile(np.arange(n) / 20, (n_trials, 1))
    return PatientBatch(streams, arms, arm, enrolment, factors or {}, levels or {})


def by_arm(values, patients):
    return [values[patients.arm == code] for code in range(len(patients.arms))]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.001, 2.0), min_size=1, max_size=4),
    st.lists(st.floats(0.1, 10.0), min_size=3, max_size=3),
    st.floats(1e-6, 8.0),
)
def test_piecewise_inversion_undoes_the_cumulative_hazard(hazards, widths, exponential):
    starts = np.concatenate([[0.0], np.cumsum(widths)])[: len(hazards)]
    rates = np.array([hazards])
    time = times_from_exponentials(
        np.array([[exponential]]), np.zeros((1, 1), np.int8), starts, rates
    )
    spent = np.clip(time[0, 0], starts, np.append(starts[1:], np.inf)) - starts
    assert (spent * rates[0]).sum() == pytest.approx(exponential, rel=1e-9)


def test_delayed_effect_and_cure():
    scenario = PiecewiseExponential(control_median=12, breakpoints=[4], hazard_ratio=[1.0, 0.6])
    patients = batch()
    control, treated = by_arm(scenario.sample(patients).time, patients)
    rate = np.log(2) / 12
    assert stats.kstest(control, stats.expon(scale=1 / rate).cdf).pvalue > 1e-4

    def cdf(t):
        return -np.expm1(-rate * (np.minimum(t, 4) + 0.6 * np.maximum(t - 4, 0)))

    assert stats.kstest(treated, cdf).pvalue > 1e-4
    cured = PiecewiseExponential(control_median=12, cured=0.25).sample(patients).time
    assert np.isinf(cured).mean() == pytest.approx(0.25, abs=0.01)
    plateau = PiecewiseExponential(control_hazard=[0.1, 0.0], breakpoints=[10]).sample(patients)
    assert np.isinf(plateau.time).mean() == pytest.approx(np.exp(-1), abs=0.01)
    assert plateau.time[np.isfinite(plateau.time)].max() <= 10


def test_weibull_and_tables():
    patients = batch()
    control, treated = by_arm(Weibull(12, 1.5, 0.7).sample(patients).time, patients)
    scale = 12 / np.log(2) ** (1 / 1.5)
    assert stats.kstest(control, stats.weibull_min(1.5, scale=scale).cdf).pvalue > 1e-4
    scale *= 0.7 ** (-1 / 1.5)
    assert stats.kstest(treated, stats.weibull_min(1.5, scale=scale).cdf).pvalue > 1e-4
    months = np.array([3.0, 9.0, 20.0])
    table = SurvivalTable(months, np.exp(-0.1 * months), 0.5, tail="hazard")
    control, treated = by_arm(table.sample(patients).time, patients)
    assert stats.kstest(control, stats.expon(scale=10).cdf).pvalue > 1e-4
    assert stats.kstest(treated, stats.expon(scale=20).cdf).pvalue > 1e-4
    stepped = SurvivalTable(months, {"control": [0.8, 0.5, 0.2], "treatment": [0.9, 0.9, 0.0]},
                            interpolation="steps")  # fmt: skip
    control, treated = by_arm(stepped.sample(patients).time, patients)
    assert set(np.unique(control)) == {3.0, 9.0, 20.0, np.inf}
    assert (control == 9.0).mean() == pytest.approx(0.3, abs=0.015)
    assert set(np.unique(treated)) == {3.0, 20.0}


def test_illness_death():
    patients = batch()
    outcome = IllnessDeath(0.08, 0.02, 0.1, hr_progression=0.5).sample(patients)
    pfs, os = by_arm(outcome.endpoints["pfs"], patients), by_arm(outcome.endpoints["os"], patients)
    assert (outcome.endpoints["os"] >= outcome.endpoints["pfs"]).all()
    assert stats.kstest(pfs[0], stats.expon(scale=10).cdf).pvalue > 1e-4
    assert stats.kstest(pfs[1], stats.expon(scale=1 / 0.06).cdf).pvalue > 1e-4
    # E(OS) = E(PFS) + P(progression first) / (hazard after)
    assert os[0].mean() == pytest.approx(10 + 0.8 * 10, rel=0.03)


def test_competing_risks_and_recurrent_events():
    patients = batch()
    outcome = CompetingEvents([0.06, 0.04], [0.5, 1.0]).sample(patients)
    first = outcome.cause == 1
    assert first[patients.arm == 0].mean() == pytest.approx(0.6, abs=0.015)
    assert first[patients.arm == 1].mean() == pytest.approx(3 / 7, abs=0.015)
    repeated = RecurrentEvents(0.2, 0.5, horizon=24, dispersion=0.8)
    counts = np.isfinite(repeated.sample(patients).recurrences).sum(axis=2)
    control, treated = by_arm(counts, patients)
    assert control.mean() == pytest.approx(4.8, rel=0.03)
    assert treated.mean() == pytest.approx(2.4, rel=0.03)
    assert control.var() == pytest.approx(4.8 + 0.8 * 4.8**2, rel=0.06)


def test_responses():
    patients = batch()
    control, treated = by_arm(BinaryResponse(0.3, 0.5).sample(patients).response, patients)
    assert (control.mean(), treated.mean()) == pytest.approx((0.3, 0.5), abs=0.014)
    outcome = ContinuousResponse(2.0, sd=3.0, correlation=0.6).sample(patients)
    assert np.corrcoef(outcome.response[patients.arm == 0], outcome.baseline[patients.arm == 0])[
        0, 1
    ] == pytest.approx(0.6, abs=0.02)
    control, treated = by_arm(outcome.response, patients)
    assert (control.std(), treated.mean()) == pytest.approx((3, 2), abs=0.06)
    control, treated = by_arm(
        CountResponse(0.2, 0.5, exposure=10, dispersion=0.5).sample(patients).response, patients
    )
    assert (control.mean(), treated.mean()) == pytest.approx((2, 1), rel=0.03)
    assert control.var() == pytest.approx(2 + 0.5 * 4, rel=0.05)
    shares = [0.2, 0.3, 0.5]
    control, treated = by_arm(OrdinalResponse(shares, 2.0).sample(patients).response, patients)
    assert np.bincount(control.astype(int)) / len(control) == pytest.approx(shares, abs=0.015)
    for k in (1, 2):
        odds = [np.mean(x >= k) / np.mean(x < k) for x in (control, treated)]
        assert odds[1] / odds[0] == pytest.approx(2.0, rel=0.1)


def test_longitudinal_profile_and_dropout():
    patients = batch(n_trials=50)
    scenario = LongitudinalResponse([1, 2, 3], [0, 0, 0], [1, 2, 3], sd=2, correlation=0.5)
    outcome = scenario.sample(patients)
    complete = np.concatenate([outcome.baseline[..., None], outcome.visits], axis=2)
    residual = complete - np.where(patients.arm[..., None] == 1, [0, 1, 2, 3], 0)
    empirical = np.cov(residual.reshape(-1, 4).T)
    assert empirical == pytest.approx(scenario.covariance(), abs=0.15)
    leaving = {"dropout_rate": 0.1, "dropout_slope": 1.5}
    for mechanism, place in (("mar", 0), ("mnar", 1)):
        gone = LongitudinalResponse(
            [1, 2, 3], [0, 0, 0], [0, 0, 0], correlation=0.5, mechanism=mechanism, **leaving
        ).sample(patients)
        missing = np.isnan(gone.visits)
        assert (np.diff(missing.astype(int), axis=2) >= 0).all()  # monotone
        full = LongitudinalResponse([1, 2, 3], [0, 0, 0], [0, 0, 0], correlation=0.5)
        values = np.concatenate([gone.baseline[..., None], full.sample(patients).visits], axis=2)[
            ..., place
        ]
        low = values < np.quantile(values, 0.25)
        assert missing[..., 0][low].mean() > 3 * missing[..., 0][~low].mean()


def test_covariates_act_on_the_hazard():
    base = PiecewiseExponential(control_median=12)
    scenario = WithCovariates(
        base, {"age": "normal", "male": 0.4}, {"male": np.log(2), "age": 0.0},
        interactions={"male": np.log(0.5)},
    )  # fmt: skip
    patients = batch()
    outcome = scenario.sample(patients)
    male = outcome.covariates["male"] == 1
    assert male.mean() == pytest.approx(0.4, abs=0.01)
    rate = np.log(2) / 12
    for arm, expected in ((0, 2 * rate), (1, rate)):
        times = outcome.time[male & (patients.arm == arm)]
        assert stats.kstest(times, stats.expon(scale=1 / expected).cdf).pvalue > 1e-4
    same = base.sample(patients).time
    assert np.allclose(outcome.time[~male], same[~male], rtol=1e-12)


def test_subgroups():
    factors = {"marker": (np.arange(400) % 4 == 0).astype(np.int8)[None].repeat(100, axis=0)}
    patients = batch(factors=factors, levels={"marker": ("negative", "positive")})
    scenario = BySubgroup(
        "marker",
        {
            "negative": PiecewiseExponential(control_median=12),
            "positive": PiecewiseExponential(control_median=12, hazard_ratio=0.25),
        },
    )
    time = scenario.sample(patients).time
    chosen = (factors["marker"] == 1) & (patients.arm == 1)
    if chosen.any():
        assert np.median(time[chosen]) == pytest.approx(48, rel=0.1)
    assert np.median(time[factors["marker"] == 0]) == pytest.approx(12, rel=0.05)


def test_protocol_and_round_trips():
    scenarios = [
        PiecewiseExponential(
            control_median=12, hazard_ratio={"treatment": [1, 0.6]}, breakpoints=[4]
        ),
        Weibull(12, 1.5, 0.7),
        SurvivalTable([1, 2], [0.5, 0.2]),
        IllnessDeath(0.1, 0.1, 0.1),
        CompetingEvents([0.1, 0.2], [0.5, {"treatment": 1}]),
        RecurrentEvents(0.1, 0.7, 24),
        BinaryResponse(0.1, 0.2),
        ContinuousResponse(0.5),
        CountResponse(0.1, 0.7),
        OrdinalResponse([0.5, 0.5]),
        LongitudinalResponse([1, 2], [0, 0], [0, 1]),
        WithCovariates(Weibull(12, 1.5), {"age": "normal"}, {"age": 0.2}),
        BySubgroup("m", {"a": Weibull(12, 1.0), "b": Weibull(6, 1.0)}),
    ]
    for scenario in scenarios:
        assert isinstance(scenario, OutcomeScenario)
        assert Record.from_json(scenario.to_json()) == scenario


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: PiecewiseExponential(), "control_median or control_hazard"),
        (lambda: PiecewiseExponential(control_median=0), "must be positive, got 0"),
        (lambda: PiecewiseExponential(control_median=np.nan), "must be positive"),
        (lambda: PiecewiseExponential(control_median=12, hazard_ratio=0), "positive, got 0"),
        (lambda: PiecewiseExponential(control_hazard=0.0), "no event can ever occur"),
        (lambda: PiecewiseExponential(control_hazard=[0.0, 0.0], breakpoints=[2]), "no event"),
        (lambda: PiecewiseExponential(control_median=12, hazard_ratio=[1, 0.6]), "need 1 pieces"),
        (lambda: PiecewiseExponential(control_median=12, breakpoints=[3]), "need 2 pieces"),
        (lambda: Weibull(12, 0), "shape must be positive"),
        (lambda: SurvivalTable([1, 2], [0.5, 0.6]), "must fall"),
        (lambda: SurvivalTable([2, 1], [0.5, 0.4]), "increasing"),
        (lambda: CompetingEvents([0.1], [1.0]), "two or more causes"),
        (lambda: BinaryResponse(0.3, 1.3), r"in \[0, 1\], got 1.3"),
        (lambda: ContinuousResponse(0.3, sd=0), "sd must be positive"),
        (lambda: OrdinalResponse([0.5, 0.6]), "sum to 1"),
        (lambda: LongitudinalResponse([1, 2], [0], [0, 0]), "control_means must have 2"),
        (lambda: Record.from_dict({"type": "PiecewiseExponental"}), "did you mean 'PiecewiseEx"),
        (lambda: Record.from_dict({"type": "Weibull", "shap": 1}), "did you mean 'shape'"),
        (lambda: Record.from_dict({"type": "Weibull", "shape": 1}), "needs control_median"),
    ],
)
def test_bad_scenarios(make_it, message):
    with pytest.raises(ValueError, match=message):
        make_it()


def test_bad_samplers_and_arms():
    patients = batch(4, 10)
    with pytest.raises(ValueError, match=r"shape \(4, 10\).*got \(4,\)"):
        SampledTimes(lambda b: np.ones(4)).sample(patients)
    with pytest.raises(ValueError, match="negative or NaN"):
        SampledTimes(lambda b: np.full((4, 10), np.nan)).sample(patients)
    with pytest.raises(ValueError, match="did you mean 'treatment'"):
        PiecewiseExponential(control_median=12, hazard_ratio={"treatmen": 1}).sample(patients)
    with pytest.raises(ValueError, match="no stratum 'marker'"):
        BySubgroup("marker", {"a": Weibull(12, 1.0)}).sample(patients)


def test_competing_events_keep_their_earlier_name_in_files_and_in_the_room():
    events = CompetingEvents([0.1, 0.2], [0.5, 1.0])
    assert events.to_dict()["type"] == "CompetingRisks"
    assert CompetingEvents.from_yaml(events.to_yaml()) == events
    assert scenarios.CompetingRisks is ts.CompetingEvents is CompetingEvents
    assert ts.CompetingRisks("time", "cause").kind == "competing_risks"
