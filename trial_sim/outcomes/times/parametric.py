"""A fitted parametric survival model with covariates and free arm effects: draw, sample, score.

The laws are in `survival_families`, their likelihood in `parametric_likelihood`. lifelines fits
some of them; one likelihood for all gives them one interface and takes fractions of a second, and
is tested against lifelines.

After the fit each arm's level is moved until the expected unadjusted Cox estimate of a trial of
such patients (with the real censoring) is the real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.numerics.told import running, upper_end
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.delayed_entry import DelayedEntry
from trial_sim.outcomes.hazard_grid import (
    EACH,
    choose_knots,
    midpoints,
    resolution_of,
)
from trial_sim.outcomes.linear import LinearPart, square_root
from trial_sim.outcomes.times.calibration import calibrated
from trial_sim.outcomes.times.cause_hazards import event_notes, tail_of
from trial_sim.outcomes.times.follow_up import (
    FollowUp,
    FollowUpParameters,
    followed_times,
    later_than,
    near,
)
from trial_sim.outcomes.times.parametric_likelihood import maximise
from trial_sim.outcomes.times.survival_families import PH, SPLINE_KNOTS, cumulative, n_shapes


class ParametricParameters(NamedTuple):
    """Arm levels (A,), coefficients (1, p), shapes (s,), the follow-up's, acts_as (A,), ratios
    (A,): hazard ratios laid over the hazard of the arm that is acted as."""

    levels: np.ndarray
    coefficients: np.ndarray
    shapes: np.ndarray
    censoring: FollowUpParameters
    acts_as: np.ndarray
    ratios: np.ndarray


@storable
@dataclass(frozen=True)
class ParametricModel:
    """A fitted family.

    Attributes:
        theta: (A + s + p,) arm levels, shapes, coefficients; root: square root of the covariance.
        nudge: (A,) calibration of the levels. knots: of the spline (log parts of the
            horizon). horizon: last time, the unit in which levels, shapes and knots stand.
        silent: (A,) for an arm without events, the events expected in it with the hazard of the
            arm ``acts_as``; else 0.
        draws: (m, A + s + p) parameters given the data, where their law is far from normal.
    """

    name: str
    columns: tuple[str, str]
    unit: float
    linear: LinearPart
    theta: np.ndarray
    root: np.ndarray
    nudge: np.ndarray
    knots: np.ndarray
    horizon: float
    follow_up: FollowUp
    reference: np.ndarray
    score_edges: np.ndarray
    tail: str
    notes: tuple[str, ...]
    silent: np.ndarray
    acts_as: np.ndarray
    entry: DelayedEntry | None = None
    draws: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    def draw(self, rng: np.random.Generator | None) -> ParametricParameters:
        """Estimates, or one draw from their law given the data: that around the maximum-likelihood
        estimate, normal but for the families with ``draws``.

        An arm without events has the hazard zero; its draws are half an event (Jeffreys) over the
        events expected there.
        """
        theta = self.theta
        if rng is not None and len(self.draws):
            theta = self.draws[rng.integers(len(self.draws))]
        elif rng is not None:
            theta = theta + self.root @ rng.standard_normal(len(theta))
        a = self.linear.n_arms
        s = n_shapes(self.name, a)
        censoring = self.follow_up.draw(rng, self.reference)
        ratios = np.where(self.silent > 0, 0.0, 1.0)
        if rng is not None and (self.silent > 0).any():
            drawn = rng.standard_gamma(0.5, a) / np.maximum(self.silent, 1e-9)
            ratios = np.where(self.silent > 0, drawn, 1.0)
        return ParametricParameters(
            theta[:a] + self.nudge,
            theta[None, a + s :],
            theta[a : a + s],
            censoring,
            self.acts_as.copy(),
            ratios,
        )

    def override(
        self, parameters: ParametricParameters, effects: Mapping[int, float]
    ) -> ParametricParameters:
        """Arm ``a`` gets the control's hazard times ``effects[a]``."""
        acts_as, ratios = parameters.acts_as.copy(), parameters.ratios.copy()
        for a, ratio in effects.items():
            acts_as[a], ratios[a] = acts_as[0], ratios[0] * ratio
        return parameters._replace(acts_as=acts_as, ratios=ratios)

    def hazard_at(
        self, times: np.ndarray, eta: np.ndarray, arm: np.ndarray, p: ParametricParameters
    ) -> np.ndarray:
        """Cumulative hazard; ``times`` (n,) with ``eta`` (n,), or (1, g) with (n, 1)."""
        log_t = np.log(np.maximum(times / self.horizon, 1e-12))
        return cumulative(self.name, log_t, eta, p.shapes, arm, self.knots)

    def predictor(self, codes: np.ndarray, arm: np.ndarray, p: ParametricParameters) -> np.ndarray:
        """Level plus covariates (n,)."""
        acts = p.acts_as[arm]
        return p.levels[acts] + self.linear.predictors(codes, acts, p.coefficients)[:, 0]

    def latent_from_risk(
        self, risk: np.ndarray, arm: np.ndarray, exponential: np.ndarray, p: ParametricParameters
    ) -> tuple[np.ndarray, np.ndarray]:
        """Uncensored times (n,) from exp(covariate predictor) (n, 1) and exponentials (n, 1)."""
        acts = p.acts_as[arm]
        eta = p.levels[acts] + np.log(risk[:, 0])
        with np.errstate(divide="ignore"):
            target = exponential[:, 0] / p.ratios[arm]
        return self.first_at(target, eta, acts, p)

    def first_at(
        self, target: np.ndarray, eta: np.ndarray, acts: np.ndarray, p: ParametricParameters
    ) -> tuple[np.ndarray, np.ndarray]:
        """Times (n,) at which the cumulative hazard reaches ``target``, and causes (all 1)."""
        low, high = np.full(len(acts), -12.0), np.full(len(acts), 12.0)  # log parts of the horizon
        never = cumulative(self.name, high, eta, p.shapes, acts, self.knots) < target
        for _ in range(50):
            middle = (low + high) / 2
            below = cumulative(self.name, middle, eta, p.shapes, acts, self.knots) < target
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        time = np.where(never, np.inf, self.horizon * np.exp((low + high) / 2))
        if self.tail == "horizon":
            time = np.where(time > self.horizon, np.inf, time)
        return time, np.ones(len(acts), dtype=int)

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """Observed duration and event."""
        p, acts = parameters, parameters.acts_as[arm]
        exponential = rng.standard_exponential((len(arm), 1))[:, 0]
        start = None if self.entry is None else self.entry.times(codes)
        eta = self.predictor(codes, arm, p)
        with np.errstate(divide="ignore"):
            target = exponential / p.ratios[arm]
        if start is not None:
            target = target + self.hazard_at(start, eta, acts, p)
        time, _ = self.first_at(target, eta, acts, p)
        end = self.follow_up.times(codes, arm, rng, p.censoring, start)
        observed, seen = self.follow_up.observed(time, end, self.unit, start)
        return {self.columns[0]: observed, self.columns[1]: seen.astype(np.int64)}

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Log probability (n,): the fifth of the follow-up with the event, or survival."""
        p = self.draw(None)
        duration, event = (patients[c].to_numpy(dtype=float) for c in self.columns)
        edges = self.score_edges
        time = np.minimum(midpoints(duration, self.unit), edges[-1])
        eta = self.predictor(codes, arm, p)
        bins = np.clip(np.searchsorted(edges, time) - 1, 0, len(edges) - 2)
        acts, ratio = p.acts_as[arm], p.ratios[arm]
        start = np.zeros(len(time)) if self.entry is None else self.entry.times(codes)
        low, high, here, before = (
            ratio * self.hazard_at(t, eta, acts, p)
            for t in (edges[bins], edges[bins + 1], time, start)
        )
        chance = (np.exp(-low) - np.exp(-high)) * np.exp(np.minimum(before, low))
        return np.where(event > 0, np.log(np.maximum(chance, 1e-3)), before - here)


def fit(data: FitData, family: str) -> ParametricModel:
    """Fit the family to a `TimeToEvent` endpoint.

    Raises:
        ValueError: no event at all.
    """
    duration, event = data.endpoint.columns
    recorded = data.patients[duration].to_numpy(dtype=float)
    seen = data.patients[event].to_numpy(dtype=float).astype(int)
    if seen.sum() == 0:
        raise ValueError(f"column {event!r} holds no event; {family} cannot be fitted")
    unit = resolution_of(recorded)
    entry = data.delayed_entry()
    start = None if entry is None else entry.times(data.codes)
    a, s = data.n_arms, n_shapes(family, data.n_arms)
    gone = data.dropped_out(seen == 0)
    follow_up = FollowUp.fit(data, recorded, seen > 0, gone, unit, EACH * a, start)
    times = followed_times(recorded, unit, (gone > 0) & near(recorded, follow_up.ends))
    times = later_than(times, start)
    linear = LinearPart.empty(data.features, data.by, data.n_arms)
    design = linear.design(data.codes, data.arm)
    horizon = upper_end(recorded)
    # all in parts of the horizon, to twelve digits: the fit is the same in days and in years
    scaled = np.round(times / horizon, 12)
    entered = None if start is None else np.round(start / horizon, 12)
    knots = np.log(np.quantile(running(scaled[seen > 0]), np.linspace(0, 1, SPLINE_KNOTS + 2)))
    knots = np.unique(knots)
    if len(knots) < SPLINE_KNOTS + 2:
        knots = np.linspace(knots[0] - 1e-3, knots[-1] + 1e-3, SPLINE_KNOTS + 2)
    deaths = np.bincount(data.arm[seen > 0], minlength=a)
    # an arm without events tells nothing of level or shape: it is left out, and acts as another
    use = deaths[data.arm] > 0
    theta, covariance, draws = maximise(
        family,
        scaled[use],
        seen[use],
        data.arm[use],
        a,
        design[use],
        knots,
        None if entered is None else entered[use],
    )
    linear = linear.with_fits([(theta[a + s :], covariance[a + s :, a + s :])])
    acts_as = np.arange(a)
    acts_as[deaths == 0] = int(np.argmax(deaths))
    silent = np.zeros(a)
    tail, said = tail_of(data.tail, seen)
    at_once = int(((recorded == 0) & (seen > 0)).sum())
    if at_once:
        place = f"{times[recorded == 0].min():.3g}"
        said = [*said, f"{at_once} events at time 0 are taken at {place}: no such law has one at 0"]
    if family == "generalized_gamma" and theta[a + 1] == 1.0:
        said = [*said, "the patients tell no second shape of a generalised gamma: a Weibull law"]
    model = ParametricModel(
        family,
        (duration, event),
        unit,
        linear,
        theta,
        square_root(covariance),
        np.zeros(a),
        knots,
        horizon,
        follow_up,
        data.reference,
        choose_knots(recorded, seen > 0, unit, most=5),
        tail,
        (*data.features.notes, *event_notes(seen, data.arm, data.schema.arms, 1), *said),
        silent,
        acts_as,
        entry,
        draws,
    )
    direction = 1.0 if family in PH else -1.0
    model = calibrated(model, recorded, seen, data, direction)
    if (deaths == 0).any():
        p = model.draw(None)
        eta = model.predictor(data.codes, data.arm, p)
        acts = acts_as[data.arm]
        spent = model.hazard_at(times, eta, acts, p)
        if start is not None:
            spent = spent - model.hazard_at(start, eta, acts, p)
        expected = np.bincount(data.arm, spent, minlength=a)
        model = replace(model, silent=np.where(deaths == 0, np.maximum(expected, 1e-9), 0.0))
    return model
