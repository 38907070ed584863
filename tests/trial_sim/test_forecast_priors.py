"""What a forecast takes for likely before the data speak: rates that change, steady drop-out."""

import numpy as np

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
