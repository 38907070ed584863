"""Parametric survival families with covariates and free arm effects, by maximum likelihood.

Accelerated failure time, ``T = exp(eta) T0``: weibull, lognormal, loglogistic, generalized_gamma.
Proportional hazards, ``H = exp(eta) H0``: gompertz, royston_parmar (log H0 a natural cubic spline
of log t; Royston and Parmar 2002). mixture_cure: a share of each arm never has the event, the
others follow a Weibull. lifelines fits some of these; one likelihood for all gives them one
interface and takes fractions of a second, and is tested against lifelines.

After the fit each arm's level is moved until the expected unadjusted Cox estimate of a trial of
such patients (with the real censoring) is the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from scipy import special

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
from trial_sim.outcomes.linear import RIDGE, LinearPart, arm_indicators, square_root
from trial_sim.outcomes.times.calibration import calibrated
from trial_sim.outcomes.times.cause_hazards import event_notes, tail_of
from trial_sim.outcomes.times.follow_up import (
    FollowUp,
    FollowUpParameters,
    followed_times,
    later_than,
    near,
)

AFT = ("weibull", "lognormal", "loglogistic", "generalized_gamma")
PH = ("gompertz", "royston_parmar")
FAMILIES = (*AFT, *PH, "mixture_cure")
WIDEST = 4.0  # shape of a generalised gamma law, and logarithm of its scale
SPLINE_KNOTS = 3  # inner knots of royston_parmar
DRAWS = 400  # of a likelihood that is far from normal
THINNED = 40  # steps from one of them to the next


def n_shapes(family: str, n_arms: int) -> int:
    """Number of shape parameters."""
    if family == "generalized_gamma":
        return 2
    if family == "royston_parmar":
        return SPLINE_KNOTS + 1
    return 1 + n_arms if family == "mixture_cure" else 1


def cumulative(
    family: str,
    log_t: np.ndarray,
    eta: np.ndarray,
    shape: np.ndarray,
    arm: np.ndarray,
    knots: np.ndarray,
) -> np.ndarray:
    """Cumulative hazard at exp(``log_t``).

    Args:
        log_t, eta: of one broadcast shape; ``arm`` (first axis) matters to mixture_cure only.
        shape: shape parameters on their working scale. knots: (m,) log times of royston_parmar.
    """
    if family == "royston_parmar":
        # the first shape makes the slope in log t, positive; the rest bend the spline
        base = np.exp(shape[0]) * log_t + spline(log_t, knots) @ shape[1:]
        return np.exp(np.clip(base + eta, -50, 50))
    if family == "gompertz":
        rate = shape[0]
        t = np.exp(log_t)
        grown = t if abs(rate) < 1e-9 else np.expm1(np.clip(rate * t, -50, 50)) / rate
        return np.exp(np.clip(eta, -50, 50)) * grown
    z = (log_t - eta) * np.exp(-shape[0])
    if family == "weibull":
        return np.exp(np.clip(z, -50, 50))
    if family == "loglogistic":
        return np.logaddexp(0.0, z)
    if family == "lognormal":
        return -special.log_ndtr(-z)
    if family == "mixture_cure":
        uncured = special.expit(shape[1:])[arm]
        uncured = uncured.reshape(uncured.shape + (1,) * (z.ndim - uncured.ndim))
        alive = 1 - uncured + uncured * np.exp(-np.exp(np.clip(z, -50, 50)))
        return -np.log(np.maximum(alive, 1e-300))
    q = shape[1]
    if abs(q) < 1e-3:
        return -special.log_ndtr(-z)
    k = q**-2
    w = k * np.exp(np.clip(q * z, -50, 50))
    alive = special.gammaincc(k, w) if q > 0 else special.gammainc(k, w)
    return -np.log(np.maximum(alive, 1e-300))


def slope(
    family: str,
    log_t: np.ndarray,
    eta: np.ndarray,
    shape: np.ndarray,
    arm: np.ndarray,
    knots: np.ndarray,
) -> np.ndarray:
    """Derivative of `cumulative` in log time (n,): the hazard times the time."""
    if family == "royston_parmar":
        steep = np.exp(shape[0]) + spline(log_t, knots, derivative=True) @ shape[1:]
        return cumulative(family, log_t, eta, shape, arm, knots) * steep
    if family == "gompertz":
        return np.exp(np.clip(eta + shape[0] * np.exp(log_t), -50, 50) + log_t)
    pace = np.exp(-shape[0])
    z = (log_t - eta) * pace
    if family == "weibull":
        return pace * np.exp(np.clip(z, -50, 50))
    if family == "loglogistic":
        return pace * special.expit(z)
    if family == "mixture_cure":
        uncured, spent = special.expit(shape[1:])[arm], np.exp(np.clip(z, -50, 50))
        alive = 1 - uncured + uncured * np.exp(-spent)
        return pace * uncured * spent * np.exp(-spent) / np.maximum(alive, 1e-300)
    q = shape[1] if family == "generalized_gamma" else 0.0
    if abs(q) < 1e-3:  # log-normal
        return pace * np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - special.log_ndtr(-z))
    k = q**-2
    log_w = np.log(k) + np.clip(q * z, -50, 50)
    w = np.exp(log_w)
    alive = special.gammaincc(k, w) if q > 0 else special.gammainc(k, w)
    density = np.exp(k * log_w - w - special.gammaln(k))
    return pace * abs(q) * density / np.maximum(alive, 1e-300)


def spline(log_t: np.ndarray, knots: np.ndarray, derivative: bool = False) -> np.ndarray:
    """Natural cubic spline terms (..., m - 2) of `log_t`, or their derivatives; zero slope added
    beyond the boundary."""
    low, high = knots[0], knots[-1]

    def bent(knot: float) -> np.ndarray:
        over = np.maximum(log_t - knot, 0)
        # over the squared range, so that the terms are of the size of log time
        return (3 * over**2 if derivative else over**3) / (high - low) ** 2

    terms = []
    for knot in knots[1:-1]:
        part = (high - knot) / (high - low)
        terms.append(bent(knot) - part * bent(low) - (1 - part) * bent(high))
    return np.stack(terms, axis=-1)


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


def maximise(family, times, event, arm, n_arms, design, knots, entry=None):
    """Penalised maximum likelihood: ``theta`` (A + s + p,), its covariance, and draws (`DRAWS`,
    A + s + p) where its law is far from normal, else none.

    ``entry`` (n,) are times from which patients are at risk, or None.
    """
    from scipy.optimize import minimize

    a, s, p = n_arms, n_shapes(family, n_arms), design.shape[1]
    arms = arm_indicators(arm, n_arms)
    log_t = np.log(times)
    log_entry = None if entry is None else np.log(np.maximum(entry, 1e-12))
    penalty = np.r_[np.full(a, 1e-6), np.full(s, 1e-3), np.full(p, RIDGE)]
    scale = 1.0 if family in (*AFT, "mixture_cure") else -1.0
    start = np.zeros(a + s + p)
    start[:a] = (
        np.log(times[event > 0]).mean() + 0.5 if scale > 0 else (np.log(event.sum() / times.sum()))
    )
    if family == "royston_parmar":
        start[:a] = -np.log(times).max()
    if family == "generalized_gamma":
        start[a + 1] = 0.5
    if family == "mixture_cure":
        start[a + 1 : a + s] = 2.0
        penalty[a + 1 : a + s] = 0.02
    if family == "gompertz":
        penalty[a] = 1e-6

    def pieces(eta: np.ndarray, shape: np.ndarray) -> np.ndarray:
        """Log likelihood (n,): event log hazard less cumulative hazard."""
        spent = cumulative(family, log_t, eta, shape, arm, knots)
        if log_entry is not None:
            spent = spent - cumulative(family, log_entry, eta, shape, arm, knots)
        steep = slope(family, log_t, eta, shape, arm, knots)
        return event * (np.log(np.maximum(steep, 1e-12)) - log_t) - spent

    units = np.ones(a + s + p)
    if family == "gompertz":
        units[a] = 1 / times.max()
    centre = start * (penalty == 1e-6)
    x_all = np.hstack([arms, np.zeros((len(times), s)), design])

    def penalised(scaled: np.ndarray) -> float:
        theta = scaled * units
        likelihood = pieces(x_all @ theta, theta[a : a + s]).sum()
        return float(likelihood - 0.5 * penalty @ (theta - centre) ** 2)

    def loss(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        """Penalised loss and gradient; derivatives by central differences of each patient's
        likelihood in its linear predictor and in the shapes."""
        theta = scaled * units
        eta, shape = x_all @ theta, theta[a : a + s]
        value = penalised(scaled)
        h = 1e-4
        gradient = x_all.T @ ((pieces(eta + h, shape) - pieces(eta - h, shape)) / (2 * h))
        for j in range(s):
            e = np.zeros(s)
            e[j] = h * units[a + j]
            difference = (pieces(eta, shape + e) - pieces(eta, shape - e)).sum()
            gradient[a + j] = difference / (2 * e[j])
        gradient -= penalty * (theta - centre)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return 1e10, np.zeros(len(scaled))
        return -float(value), -gradient * units

    found = minimize(loss, start / units, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    if np.abs(found.jac).max() > 1e-4 * len(times):
        found = minimize(loss, found.x, jac=True, method="BFGS", options={"maxiter": 200})
    if family == "generalized_gamma" and np.abs(found.x[a : a + s]).max() > WIDEST:
        # few patients, entering late, can make a likelihood without a maximum: a Weibull law
        start[a + 1] = 1.0
        box = [(None, None)] * a + [(-WIDEST, WIDEST), (1.0, 1.0)] + [(None, None)] * p
        found = minimize(
            loss, start / units, jac=True, method="L-BFGS-B", bounds=box, options={"maxiter": 500}
        )
    x, h = found.x, 1e-3
    hessian = np.stack(
        [(loss(x + h * e)[1] - loss(x - h * e)[1]) / (2 * h) for e in np.eye(len(x))]
    )
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    if values[0] > 0:
        # to the maximum itself, so that rounding in the data does not show in the estimate
        value, gradient = loss(x)
        for _ in range(25):
            move = vectors @ ((vectors.T @ gradient) / values)
            lower, new = loss(x - move)
            if lower > value + 1e-9 * abs(value):
                break
            x, value, gradient = x - move, lower, new
            if np.abs(move).max() < 1e-12:
                break
    inverse = (vectors / np.maximum(values, 1e-3)) @ vectors.T
    draws = np.empty((0, len(x)))
    if family == "mixture_cure":
        draws = likely(penalised, x, inverse) * units
    return x * units, inverse * np.outer(units, units), draws


def likely(
    log_likelihood: Callable[[np.ndarray], float], centre: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """`DRAWS` parameters (`DRAWS`, p) from their law given the data, by a Metropolis chain.

    The normal law around the estimate is wrong where the data bound a parameter on one side only,
    as the cured share of an arm that may be 0. Steps have the covariance of that normal law and a
    size that varies, and every `THINNED`-th place is kept.
    """
    rng = np.random.Generator(np.random.Philox(0))
    steps = (DRAWS + 1) * THINNED
    root = np.linalg.cholesky(covariance) * 2.38 / len(centre) ** 0.5
    moves = (
        rng.standard_normal((steps, len(centre))) * np.exp(rng.normal(-0.5, 0.7, steps))[:, None]
    )
    moves, chance = moves @ root.T, -rng.standard_exponential(steps)
    kept = np.empty((DRAWS + 1, len(centre)))
    here, now = centre, log_likelihood(centre)
    for k in range(steps):
        then = log_likelihood(here + moves[k])
        if then - now > chance[k]:
            here, now = here + moves[k], then
        kept[k // THINNED] = here
    return kept[1:]  # after the first places, all near the estimate
