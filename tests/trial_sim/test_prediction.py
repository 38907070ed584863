"""Prediction of ongoing trials against exact enumeration, simulation and printed values."""

import itertools

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.design.design import Bounds, Design
from trial_sim.numerics.poisson_binomial import poisson_binomial_pmf, tails
from trial_sim.prediction.event_models import cumulative, fit_hazard, invert
from trial_sim.prediction.ongoing import DAYS_PER_MONTH, read_ongoing

OUTCOMES = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
DESIGN = Design(
    arms={"control": 1, "treatment": 1},
    n_patients=300,
    accrual=ts.Accrual(rate=20.0),
    dropout=ts.Dropout(rate=0.004),
    looks=ts.EventLooks([60, 130, 200]),
    boundaries=Bounds([3.71, 2.51, 1.99]),
)


def so_far(trial=3, cutoff=11.0, design=DESIGN, seed=4):
    """Patients of a simulated trial at a cut-off, and the whole truth."""
    truth = ts.simulate(design, OUTCOMES, trial + 1, seed=seed).replay(trial).patients
    seen = truth[truth["enrolment"] <= cutoff].copy()
    ended = seen["end"] <= cutoff
    seen["dropout"] = (ended & ~seen["event"]).astype(int)
    seen["event"] = (ended & seen["event"]).astype(int)
    seen["time"] = np.where(ended, seen["time"], cutoff - seen["enrolment"])
    return seen[["arm", "enrolment", "time", "event", "dropout"]], truth


# -- the Poisson-binomial law ----------------------------------------------------------------------


def test_poisson_binomial_by_enumeration():
    p = np.array([0.05, 0.3, 0.5, 0.9, 0.99, 0.2])
    exact = np.zeros(7)
    for outcome in itertools.product((0, 1), repeat=6):
        exact[sum(outcome)] += np.prod(np.where(outcome, p, 1 - p))
    assert poisson_binomial_pmf(p) == pytest.approx(exact, abs=1e-15)
    out = np.empty(1)
    for wanted in range(-1, 9):
        tails(p[None, :], wanted, out)
        assert out[0] == pytest.approx(exact[max(wanted, 0) :].sum(), abs=1e-14)


def test_poisson_binomial_with_equal_probabilities_is_binomial():
    from scipy import stats

    pmf = poisson_binomial_pmf(np.full(800, 0.37))
    assert pmf == pytest.approx(stats.binom.pmf(np.arange(801), 800, 0.37), rel=1e-9, abs=1e-25)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        poisson_binomial_pmf(np.array([0.5, 1.2]))


# -- models ----------------------------------------------------------------------------------------


def test_exponential_fit_has_the_variance_that_eventpred_prints():
    # 183 events: theta is the log rate and its variance 1/183 = .005464 (eventPred's tests)
    random = np.random.default_rng(1)
    time, event = random.exponential(10, 300), np.arange(300) < 183
    fit = fit_hazard(time, event)
    assert fit.theta[0] == pytest.approx(np.log(183 / time.sum()))
    assert fit.covariance[0, 0] == pytest.approx(0.005464, abs=1e-6)
    assert fit.log_likelihood == pytest.approx(183 * np.log(183 / time.sum()) - 183)


def test_weibull_fit_agrees_with_lifelines():
    from lifelines import WeibullFitter

    random = np.random.default_rng(2)
    latent, censor = 20 * random.weibull(1.4, 400), random.uniform(5, 40, 400)
    time, event = np.minimum(latent, censor), latent <= censor
    fit = fit_hazard(time, event, "weibull")
    other = WeibullFitter().fit(time, event)
    assert np.exp(fit.theta[0]) == pytest.approx(other.lambda_, rel=1e-4)
    assert np.exp(-fit.theta[1]) == pytest.approx(other.rho_, rel=1e-4)
    assert fit.log_likelihood == pytest.approx(other.log_likelihood_, abs=1e-5)
    # delta method: Var(lambda) = lambda^2 Var(log lambda)
    errors = np.sqrt(np.diag(fit.covariance)) * [other.lambda_, other.rho_]
    assert errors == pytest.approx(np.sqrt(np.diag(other.variance_matrix_)), rel=1e-3)


@pytest.mark.parametrize("model", ["exponential", "weibull", "piecewise_exponential"])
def test_models_invert_and_draw(model):
    random = np.random.default_rng(3)
    time, event = random.exponential(10, 300), random.random(300) < 0.7
    fit = fit_hazard(time, event, model, (4.0, 9.0))
    t = np.array([0.5, 3.0, 5.0, 20.0])
    assert invert(fit, fit.theta, cumulative(fit, fit.theta, t)) == pytest.approx(t)
    draws = fit.draw(4000, random)
    assert draws.mean(axis=0) == pytest.approx(fit.theta, abs=0.02)
    assert np.cov(draws.T) == pytest.approx(fit.covariance.squeeze(), abs=0.004)


def test_no_events_leave_an_honest_uncertainty():
    fit = fit_hazard(np.full(50, 10.0), np.zeros(50, bool))
    draws = np.exp(fit.draw(4000, np.random.default_rng(4))[:, 0])
    assert draws.mean() == pytest.approx(0.5 / 500, rel=0.1) and (draws > 0).all()


# -- the whole prediction --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prediction():
    seen, _ = so_far()
    return ts.predict(
        seen, DESIGN, cutoff=11.0, opened="2026-01-15", outcomes=OUTCOMES, n_draws=400, seed=1
    )


def test_look_dates_agree_with_the_exact_law_and_cover_the_truth(prediction):
    exact = prediction.month_of_events(130)
    row = prediction.looks[prediction.looks["look"] == 2].iloc[0]
    assert row["month_median"] == pytest.approx(exact["median"], abs=0.35)
    assert row["month_lower"] == pytest.approx(exact["lower"], abs=0.6)
    assert row["month_upper"] == pytest.approx(exact["upper"], abs=0.6)
    assert prediction.probability_of_events(130, exact["median"]) == pytest.approx(0.5, abs=0.01)
    assert prediction.probability_of_events(0, 11.0) == 1.0
    assert prediction.probability_of_events(300, 11.0) == 0.0
    days = (row["month_median"] - 11.0) * DAYS_PER_MONTH
    assert row["days_median"] == pytest.approx(days)
    opened = pd.Timestamp("2026-01-15")
    expected = (opened + pd.Timedelta(days=row["month_median"] * DAYS_PER_MONTH)).normalize()
    assert row["date_median"] == expected
    assert prediction.enrolment["date_upper"] > prediction.enrolment["date_lower"]


def test_exact_law_agrees_with_continued_trials(prediction):
    # chance of 130 events by each month, from the draws of the whole trial
    curve = prediction.curve
    for _, row in curve.iloc[[8, 16, 24]].iterrows():
        pivot = int(row["events_median"])
        assert prediction.probability_of_events(pivot, row["month"]) == pytest.approx(0.5, abs=0.08)


def test_intervals_cover_at_their_level():
    covered = []
    for trial in range(40):
        seen, truth = so_far(trial)
        found = ts.predict(seen, DESIGN, cutoff=11.0, n_draws=200, seed=trial)
        row = found.looks.iloc[-1]
        actual = np.sort(truth.loc[truth["event"], "end"])[199]
        covered.append(row["month_lower"] <= actual <= row["month_upper"])
    assert np.mean(covered) >= 0.75  # 90 % bands


def test_probability_of_success_moves_with_the_evidence(prediction):
    power = prediction.conditional_power
    assert power["null"].estimate < power["design"].estimate
    assert 0 <= prediction.probability_of_success.estimate <= 1
    seen, _ = so_far()
    reversed_arms = seen.assign(
        arm=seen["arm"].map({"control": "treatment", "treatment": "control"})
    )
    other = ts.predict(reversed_arms, DESIGN, cutoff=11.0, n_draws=200)
    assert other.probability_of_success.estimate != prediction.probability_of_success.estimate
    total = other.conditional_power["trend"].estimate + power["trend"].estimate
    assert total < 1.2


def test_conditional_power_agrees_with_the_closed_form():
    gs = ts.group_sequential(
        information_fractions=(0.3, 0.65, 1), alpha=0.025, efficacy="lan_demets_obrien_fleming"
    )
    design = DESIGN.replace(boundaries=gs, dropout=ts.Dropout())
    seen, truth = so_far(7, 11.0, design)
    cutoff = float(np.sort(truth.loc[truth["event"], "end"])[59])
    seen, _ = so_far(7, cutoff, design)
    z = ts.logrank(seen["time"], seen["event"], (seen["arm"] == "treatment").astype(int)).z
    found = ts.predict(seen, design, cutoff=cutoff, outcomes=OUTCOMES, n_draws=3000)
    assert found.looks["look"].tolist() == [2, 3]
    drift = -np.log(0.7) * np.sqrt(200) / 2
    exact = gs.conditional_power(1, z, theta=drift)
    assert found.conditional_power["design"].estimate == pytest.approx(exact, abs=0.05)


def test_blinded_data_and_other_models():
    seen, _ = so_far()
    for model in ("weibull", "piecewise_exponential"):
        found = ts.predict(
            seen.drop(columns="arm"),
            DESIGN,
            cutoff=11.0,
            model=model,
            breakpoints=(5.0,),
            n_draws=100,
        )
        assert found.probability_of_success is None and found.conditional_power == {}
        assert list(found.fits["events"]) == ["pooled"]
        month = found.looks["month_median"].iloc[-1]
        assert found.probability_of_events(200, month) == pytest.approx(0.5, abs=0.12)


def test_dates_as_input_give_the_same():
    seen, _ = so_far()
    opened = pd.Timestamp("2026-01-15")
    dated = seen.assign(
        enrolment=opened + pd.to_timedelta(seen["enrolment"] * DAYS_PER_MONTH, unit="D")
    )
    cutoff = opened + pd.Timedelta(days=11.0 * DAYS_PER_MONTH)
    a = read_ongoing(seen, DESIGN, cutoff=11.0)
    b = read_ongoing(dated, DESIGN, cutoff=str(cutoff), opened="2026-01-15")
    assert b.cutoff == pytest.approx(a.cutoff, abs=1e-6)
    assert b.enrolment == pytest.approx(a.enrolment, abs=1e-6)
    renamed = read_ongoing(
        seen.rename(columns={"time": "tte"}), DESIGN, cutoff=11.0, columns={"time": "tte"}
    )
    assert np.array_equal(renamed.time, a.time)


def test_a_trial_can_be_predicted():
    seen, _ = so_far()
    table = seen.rename(columns={"time": "tte", "event": "died", "arm": "rx"})
    trial = ts.Trial(patients=table, arm="rx", endpoints={"death": ts.TimeToEvent("tte", "died")})
    found = ts.predict(trial, DESIGN, cutoff=11.0, n_draws=50)
    same = ts.predict(seen, DESIGN, cutoff=11.0, n_draws=50)
    assert found.looks.equals(same.looks)
    with pytest.raises(TypeError, match="DataFrame or a Trial"):
        ts.predict(5, DESIGN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop(columns="time"), "need a column 'time'"),
        (lambda d: d.assign(time=np.nan), "time must be 0 or more"),
        (lambda d: d.assign(event=2), "event must be 0 or 1"),
        (lambda d: d.assign(event=1, dropout=1), "both have the event and drop out"),
        (lambda d: d.assign(arm="contrl"), "did you mean 'control'"),
        (lambda d: d.assign(time=50.0), "after the cut-off"),
        (lambda d: pd.concat([d] * 3), "more than the design's 300"),
    ],
)
def test_bad_data(change, message):
    seen, _ = so_far()
    with pytest.raises(ValueError, match=message):
        ts.predict(change(seen), DESIGN, cutoff=11.0)


def test_bad_calls():
    seen, _ = so_far()
    with pytest.raises(ValueError, match="did you mean 'weibull'"):
        ts.predict(seen, DESIGN, cutoff=11.0, model="weibul")
    with pytest.raises(TypeError, match="must have hazards"):
        ts.predict(seen, DESIGN, cutoff=11.0, outcomes=0.7)
    with pytest.raises(ValueError, match="n_draws"):
        ts.predict(seen, DESIGN, cutoff=11.0, n_draws=1)
    with pytest.raises(ValueError, match="needs the date of opening"):
        ts.predict(seen, DESIGN, cutoff="2027-01-01")


def test_plot(prediction):
    import matplotlib

    matplotlib.use("Agg")
    assert prediction.plot().get_xlabel() == "months since opening"
