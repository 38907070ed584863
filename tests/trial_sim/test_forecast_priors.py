"""What a forecast takes for likely before the data speak: rates that change, steady drop-out."""

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.prediction.models.enrolment import fit_enrolment
from trial_sim.prediction.models.events import fit_hazards


def test_sites_that_close_unannounced_are_not_forecast_as_the_plan():
    """A third of the sites close at month 7 of a cut at 10; the plan says nothing of it."""
    inside = []
    for i in range(60):
        random = np.random.default_rng([i, 251])
        gaps = np.cumsum(random.exponential(1.0, 400))
        months = np.where(gaps < 210, gaps / 30, 7 + (gaps - 210) / 20)
        fit = fit_enrolment(months[months <= 10], 10.0, ts.Accrual(rate=30))
        ends = fit.draw(300, 400 - fit.n_seen, np.random.default_rng(i))[:, -1]
        low, high = np.quantile(ends, [0.1, 0.9])
        inside.append(low <= months[-1] <= high)
    assert np.mean(inside) >= 0.75 - 2 * np.sqrt(0.75 * 0.25 / 60)


def test_a_few_who_dropped_out_do_not_empty_the_trial():
    """Six of 250 left, all late in ten months: as months go on, drop-out stays what it is."""
    time = np.linspace(0.1, 10, 250)
    event = np.zeros(250, bool)
    event[[180, 200, 210, 225, 235, 245]] = True
    group, names = np.zeros(250, int), ("all",)
    rate = 6 / time.sum()
    spent = {}
    for steady in (False, True):
        random = np.random.default_rng(1)
        fitted = fit_hazards(
            time, event, group, names, random, ("exponential", "weibull"), compare=(),
            steady=steady,
        )  # fmt: skip
        drawn = fitted.draw(400, np.random.default_rng(2)).at(np.array([36.0]))[:, 0, 0]
        spent[steady] = np.median(drawn) / (rate * 36)
    assert 0.7 < spent[True] < 3 and spent[True] < 0.6 * spent[False]


def test_planned_events_count_as_events_seen_beside_the_data():
    """Of an exponential: events over months at risk, planned ones and theirs added."""
    time = np.linspace(0.5, 9, 40)
    event = np.arange(40) % 10 == 0
    planned = -12 * np.log1p(-(np.arange(40) + 0.5) / 40)  # mean 12 months
    for k in (0.0, 5.0, 400.0):
        fitted = fit_hazards(
            time, event, np.zeros(40, int), ("all",), np.random.default_rng(1), "exponential",
            compare=(), expected=planned[None], n_expected=k,
        )  # fmt: skip
        drawn = fitted.draw(4_000, np.random.default_rng(2)).at(np.array([1.0]))[:, 0, 0]
        wanted = (4 + k) / (time.sum() + k * planned.mean())
        # beside a vague normal prior of the log rate around the crude one
        assert abs(np.log(drawn).mean() - (np.log(wanted) - 0.5 / (4 + k))) < 0.06
        assert abs(np.log(drawn).std() / (4 + k) ** -0.5 - 1) < 0.12


def test_arms_have_alike_hazards_until_the_data_say_otherwise():
    """The log hazard ratio of 4 and 12 events: a normal prior (sd .52) and its likelihood."""
    time, group = np.full(120, 10.0), np.repeat([0, 1], 60)
    event = np.zeros(120, bool)
    event[:4] = event[60:72] = True
    fitted = fit_hazards(
        time, event, group, ("a", "b"), np.random.default_rng(1), "exponential", compare=()
    )
    drawn = fitted.draw(6_000, np.random.default_rng(2)).at(np.array([1.0]))[:, :, 0]
    ratio = np.log(drawn[:, 1] / drawn[:, 0])
    own, prior = 1 / 4 + 1 / 12, 2 * 1.5**2 * (1 - 0.94)
    assert abs(ratio.mean() - np.log(3) * prior / (prior + own)) < 0.1
    assert abs(ratio.std() / np.sqrt(prior * own / (prior + own)) - 1) < 0.1


def test_planned_events_need_a_plan_of_times():
    design = ts.Design(
        arms={"c": 1, "t": 1},
        n_patients=40,
        accrual=ts.Accrual(rate=10),
        looks=ts.EventLooks([20]),
    )
    table = pd.DataFrame(
        {"enrolment": np.arange(20) / 10, "time": 1.0, "event": [1, 0] * 10, "dropout": [0, 1] * 10,
         "arm": ["c", "c", "t", "t"] * 5}
    )  # fmt: skip
    with pytest.raises(ValueError, match="prior_events=5 needs times to an event and outcomes="):
        ts.predict(table, design, cutoff=4.0, prior_events=5)
    with pytest.raises(ValueError, match="prior_events must be 0 or more"):
        ts.predict(table, design, cutoff=4.0, prior_events=-1)
    plan = ts.PiecewiseExponential(control_median=1_000, hazard_ratio=1)
    months = [
        ts.predict(table, design, cutoff=4.0, outcomes=plan, prior_events=k, n_draws=200, seed=1)
        .month_of_events(15)["median"]
        for k in (0, 50)
    ]  # fmt: skip
    assert months[1] > 2 * months[0]
