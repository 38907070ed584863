"""The exact law of the number of events, or responses, of an ongoing trial over draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.engine.batch import TrialBatch
from trial_sim.numerics.poisson_binomial import tails
from trial_sim.prediction.event_models import FittedHazard, cumulative


@dataclass(frozen=True, eq=False)
class Forecast:
    """The law of a number of events of which each patient has a probability of his own.

    Attributes:
        seen: events so far. cutoff: month of the data cut.
    """

    seen: int
    cutoff: float

    def probabilities(self, month: float) -> np.ndarray:
        """Chance of each patient's event between the cut-off and ``month``, (n_draws, m)."""
        raise NotImplementedError

    def reach(self, events: int, months: np.ndarray) -> np.ndarray:
        """P(at least ``events`` in all by each month), averaged over the draws."""
        wanted = events - self.seen
        out = np.empty(len(months))
        for k, month in enumerate(months):
            each = self.probabilities(float(month))
            chance = np.empty(len(each))
            tails(each, wanted, chance)
            out[k] = chance.mean()
        return out

    def quantiles(self, events: int, level: float) -> dict[str, float]:
        """Months by which ``events`` have their median and band chance, by bisection."""
        out = {}
        for name, p in (("median", 0.5), ("lower", (1 - level) / 2), ("upper", (1 + level) / 2)):
            low, high = self.cutoff, self.cutoff + 1.0
            if self.reach(events, np.array([low]))[0] >= p:
                out[name] = low
                continue
            while self.reach(events, np.array([high]))[0] < p and high < self.cutoff + 1200:
                low, high = high, self.cutoff + 2 * (high - self.cutoff)
            if self.reach(events, np.array([high]))[0] < p:
                out[name] = np.nan
                continue
            for _ in range(16):  # to within a thousandth of a month
                middle = (low + high) / 2
                if self.reach(events, np.array([middle]))[0] < p:
                    low = middle
                else:
                    high = middle
            out[name] = (low + high) / 2
        return out


@dataclass(frozen=True, eq=False)
class EventForecast(Forecast):
    """Everything that the exact law of the number of events needs, one row a draw.

    Attributes:
        fits: model of each group; theta: its draws (n_draws, p). dropout: rates (n_draws,).
        group: (n_draws, m) group of each patient who can still have the event.
        entry: (n_draws, m) month of enrolment. now: (n_draws, m) months on study at the cut-off.
        relative: (n_draws, m) hazard of each patient over that of the group.
    """

    fits: list[FittedHazard]
    theta: list[np.ndarray]
    dropout: np.ndarray
    group: np.ndarray
    entry: np.ndarray
    now: np.ndarray
    follow_up: float
    relative: np.ndarray

    def probabilities(self, month: float) -> np.ndarray:
        """Chance of each patient's event between the cut-off and ``month``, (n_draws, m).

        Piece by piece in closed form; the Weibull hazard is integrated against dropout with 32
        Gauss–Legendre points.
        """
        end = np.minimum(np.maximum(month - self.entry, self.now), self.follow_up)
        if self.fits[0].model == "weibull":
            return self._integrate(end)
        starts = np.array([0.0, *self.fits[0].breakpoints])
        rates = np.exp(np.array(self.theta))  # (n_groups, n_draws, n_pieces)
        draw = np.arange(len(end))[:, None]
        leaving = self.dropout[:, None]
        total = np.zeros(end.shape)
        gone = np.zeros(end.shape)  # cumulative hazard of leaving in either way
        for k, (start, stop) in enumerate(zip(starts, np.append(starts[1:], np.inf))):
            width = np.clip(end, start, stop) - np.clip(self.now, start, stop)
            rate = rates[self.group, draw, k] * self.relative
            both = rate + leaving
            total += np.exp(-gone) * rate / both * -np.expm1(-both * width)
            gone += both * width
        return np.clip(total, 0.0, 1.0)

    def _integrate(self, end: np.ndarray) -> np.ndarray:
        out = np.empty(end.shape)
        nodes, weights = np.polynomial.legendre.leggauss(32)
        nodes, weights = (nodes + 1) / 2, weights / 2
        for draw in range(len(out)):
            for g, fit in enumerate(self.fits):
                mine = self.group[draw] == g
                a, b = self.now[draw, mine], end[draw, mine]
                theta, rate = self.theta[g][draw], self.dropout[draw]
                ratio = self.relative[draw, mine]
                base = ratio * cumulative(fit, theta, a)
                # ∫ f(t) G(t) dt = 1 - S(b) G(b) - ∫ S(t) g(t) dt, all given survival to a
                t = a[:, None] + (b - a)[:, None] * nodes
                hazard = ratio[:, None] * cumulative(fit, theta, t)
                s = np.exp(base[:, None] - hazard - rate * (t - a[:, None]))
                lost = rate * (b - a) * (s @ weights)
                kept = np.exp(base - ratio * cumulative(fit, theta, b) - rate * (b - a))
                out[draw, mine] = np.clip(1 - kept - lost, 0.0, 1.0)
        return out


@dataclass(frozen=True, eq=False)
class ResponseForecast(Forecast):
    """The same for responses, which are known ``readout`` months after enrolment unless lost.

    Attributes:
        readout: months. dropout: rates (n_draws,). entry, now: (n_draws, m), as for events.
    """

    readout: float
    dropout: np.ndarray
    entry: np.ndarray
    now: np.ndarray

    def probabilities(self, month: float) -> np.ndarray:
        """Chance that each response still to come is known by ``month``, (n_draws, m)."""
        stay = np.exp(-self.dropout[:, None] * (self.readout - self.now))
        return np.where(self.entry + self.readout <= month, stay, 0.0)


@dataclass(frozen=True, eq=False)
class Rest:
    """The rest of a trial: carried on with drawn parameters and under fixed assumptions, its law.

    Attributes:
        drawn: parameters drawn. assumed: by assumption, parameters fixed.
        forecast: the exact law of the number of events or responses. fits: the fitted models.
    """

    drawn: TrialBatch
    assumed: dict[str, TrialBatch]
    forecast: Forecast
    fits: dict[str, Any]
