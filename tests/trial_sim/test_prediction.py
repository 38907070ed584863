"""Prediction of ongoing trials against exact enumeration, simulation and printed values."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import trial_sim as ts
from trial_sim.design.design import Bounds, Design
from trial_sim.prediction.dates import DAYS_PER_MONTH
from trial_sim.prediction.models.events import fit_hazards, residual_times
from trial_sim.prediction.models.hazard_families import FAMILIES
from trial_sim.prediction.reading.ongoing import read_ongoing

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


# -- models ----------------------------------------------------------------------------------------


def fit_one(time, event, model, breakpoints=(), seed=0):
    """One group by one family: its posterior draws and mode."""
    random = np.random.default_rng(seed)
    group = np.zeros(len(time), int)
    found = fit_hazards(time, event, group, ("all",), random, model, breakpoints, compare=())
    return found, found.posteriors[model][0]


def test_exponential_fit_has_the_variance_that_eventpred_prints():
    # 183 events: theta is the log rate and its variance 1/183 = .005464 (eventPred's tests)
    random = np.random.default_rng(1)
    time, event = random.exponential(10, 300), np.arange(300) < 183
    found, post = fit_one(time, event, "exponential")
    assert post.mode[0] - np.log(found.month) == pytest.approx(np.log(183 / time.sum()), abs=1e-3)
    assert post.covariance[0, 0] == pytest.approx(0.005464, rel=0.01)
    assert post.resample(4000, random).var() == pytest.approx(0.005464, rel=0.1)
    # the evidence, integrated on a grid
    level = np.linspace(-3, 3, 4001)
    log_rate = level - np.log(found.month)
    log_likelihood = 183 * level - np.exp(log_rate) * time.sum()
    prior = norm.pdf(level, found.families["exponential"].mean[0], 1.5)
    top = log_likelihood.max()
    exact = top + np.log(np.trapezoid(np.exp(log_likelihood - top) * prior, level))
    assert post.log_evidence == pytest.approx(exact, abs=0.05)


def test_weibull_fit_agrees_with_lifelines():
    from lifelines import WeibullFitter

    random = np.random.default_rng(2)
    latent, censor = 20 * random.weibull(1.4, 1000), random.uniform(5, 40, 1000)
    time, event = np.minimum(latent, censor), latent <= censor
    found, post = fit_one(time, event, "weibull")
    other = WeibullFitter().fit(time, event)
    shape = np.exp(post.mode[1])
    assert shape == pytest.approx(other.rho_, rel=0.006)
    assert found.month * np.exp(-post.mode[0] / shape) == pytest.approx(other.lambda_, rel=0.006)
    error = shape * np.sqrt(post.covariance[1, 1])
    assert error == pytest.approx(np.sqrt(other.variance_matrix_.iloc[1, 1]), rel=0.03)


@pytest.mark.parametrize("shape", [0.7, 1.4])
def test_the_average_leans_to_the_family_that_made_the_data(shape):
    random = np.random.default_rng(4)
    latent, censor = 14 * random.weibull(shape, 1200), random.uniform(1, 30, 1200)
    time, event = np.minimum(latent, censor), latent <= censor
    found = fit_hazards(time, event, np.zeros(1200, int), ("all",), random)
    assert found.weights["exponential"] < 1e-3
    assert sum(found.weights.values()) == pytest.approx(1.0)
    months = np.array([2.0, 8.0, 20.0])
    truth = np.exp(-((months / 14) ** shape))
    assert np.exp(-found.estimate().at(months)[0, 0]) == pytest.approx(truth, abs=0.05)
    alone = fit_hazards(time, event, np.zeros(1200, int), ("all",), random, "exponential")
    assert "times as likely" in alone.misfit() and found.misfit() == ""


@pytest.mark.parametrize("model", FAMILIES)
def test_residual_times_follow_the_family(model):
    """Residual times given survival so far, against survival from the drawn hazards."""
    random = np.random.default_rng(3)
    time, event = random.exponential(10, 300), random.random(300) < 0.7
    found, _ = fit_one(time, event, model)
    hazards = found.draw(2, random)
    n = 20_000
    out = np.empty((2, n))
    group, now = np.zeros((2, n), np.int64), np.full(n, 4.0)
    residual_times(
        hazards.nodes, hazards.cumulative, group, now, random.exponential(1, (2, n)), out
    )
    assert (out >= 4.0).all()
    points = np.array([4.0, 6.0, 12.0, 40.0])
    at = hazards.at(points)[:, 0]
    expected = np.exp(-(at[:, 1:] - at[:, :1]))
    for d in range(2):
        survival = [(out[d] > t).mean() for t in points[1:]]
        assert survival == pytest.approx(expected[d], abs=0.015)


def test_no_events_leave_an_honest_uncertainty():
    found, post = fit_one(np.full(50, 10.0), np.zeros(50, bool), "exponential")
    rates = np.exp(post.resample(4000, np.random.default_rng(4))[:, 0]) / found.month
    # no event in 500 months: less than an event is expected, and more is not excluded
    assert np.median(rates) < 1 / 500 and np.quantile(rates, 0.975) > 1.5 / 500


def test_times_of_nought_are_half_a_day():
    random = np.random.default_rng(5)
    time, event = random.exponential(10, 300), np.ones(300, bool)
    with_noughts = np.where(np.arange(300) < 3, 0.0, time)
    _, plain = fit_one(time, event, "weibull")
    _, other = fit_one(with_noughts, event, "weibull")
    assert other.mode == pytest.approx(plain.mode, abs=0.12)


# -- the whole prediction --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prediction():
    seen, _ = so_far()
    return ts.predict(
        seen, DESIGN, cutoff=11.0, opened="2026-01-15", outcomes=OUTCOMES, n_draws=400, seed=1
    )


def test_looks_and_milestones_are_one_answer(prediction):
    exact = prediction.month_of_events(130)
    row = prediction.looks[prediction.looks["look"] == 2].iloc[0]
    for name, month in exact.items():
        assert row[f"month_{name}"] == month
    assert 0 < row["mcse_median"] < 0.2
    assert prediction.probability_of_events(130, exact["median"]) == pytest.approx(0.5, abs=0.01)
    assert prediction.probability_of_events(0, 11.0) == 1.0
    assert prediction.probability_of_events(300, 11.0) == 0.0
    days = (row["month_median"] - 11.0) * DAYS_PER_MONTH
    assert row["days_median"] == pytest.approx(days)
    opened = pd.Timestamp("2026-01-15")
    expected = (opened + pd.Timedelta(days=row["month_median"] * DAYS_PER_MONTH)).normalize()
    assert row["date_median"] == expected
    assert prediction.enrolment["date_upper"] > prediction.enrolment["date_lower"]


def test_chances_agree_with_the_curve(prediction):
    curve = prediction.curve
    for _, row in curve.iloc[[8, 16, 24]].iterrows():
        pivot = int(row["events_median"])
        assert prediction.probability_of_events(pivot, row["month"]) == pytest.approx(0.5, abs=0.08)


def test_intervals_cover_at_their_level():
    covered = []
    for trial in range(10):
        seen, truth = so_far(trial)
        found = ts.predict(seen, DESIGN, cutoff=11.0, n_draws=200, seed=trial)
        row = found.looks.iloc[-1]
        actual = np.sort(truth.loc[truth["event"], "end"])[199]
        covered.append(row["month_lower"] <= actual <= row["month_upper"])
    assert np.mean(covered) >= 0.7  # 90 % bands


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
    found = ts.predict(seen, design, cutoff=cutoff, outcomes=OUTCOMES, n_draws=2000)
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
            breakpoints=(5.0,) if model == "piecewise_exponential" else (),
            n_draws=100,
        )
        assert found.probability_of_success is None and found.conditional_power == {}
        assert found.fits["events"].groups == ("pooled",)
        month = found.looks["month_median"].iloc[-1]
        assert found.probability_of_events(200, month) == pytest.approx(0.5, abs=0.02)


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
    assert prediction.plot().get_xlabel() == "date"
