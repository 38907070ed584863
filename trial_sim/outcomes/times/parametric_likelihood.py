"""Penalised maximum likelihood of a parametric survival family, and draws from a law not normal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trial_sim.outcomes.linear import RIDGE, arm_indicators
from trial_sim.outcomes.times.survival_families import AFT, cumulative, n_shapes, slope

WIDEST = 4.0  # shape of a generalised gamma law, and logarithm of its scale
DRAWS = 400  # of a likelihood that is far from normal
THINNED = 40  # steps from one of them to the next


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
