"""Models of events and dropout of an ongoing trial: fitted by maximum likelihood, with uncertainty.

Every model is a cumulative hazard with an inverse, so that residual times given survival so far are
exact: H(T) = H(now) + an exponential.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trial_sim.base.arguments import nearest

MODELS = ("exponential", "weibull", "piecewise_exponential")


@dataclass(frozen=True)
class FittedHazard:
    """A hazard with parameters on the log scale.

    Attributes:
        model: one of :data:`MODELS`.
        theta: (p,) log rates of the pieces; for Weibull (log scale, log of 1/shape), the
            parameters of survreg.
        covariance: (p, p).
        breakpoints: of the pieces. n_events: events used. log_likelihood: at the maximum.
    """

    model: str
    theta: np.ndarray
    covariance: np.ndarray
    breakpoints: tuple[float, ...]
    n_events: int
    log_likelihood: float

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return 2 * len(self.theta) - 2 * self.log_likelihood

    def draw(self, n_draws: int, random: np.random.Generator) -> np.ndarray:
        """Parameters, (n_draws, p): multivariate normal around the estimate.

        A rate whose events number none is drawn from its Jeffreys gamma posterior (stored as the
        log of its mean with an infinite variance), since it has no normal approximation.
        """
        finite = np.isfinite(np.diag(self.covariance))
        out = np.tile(self.theta, (n_draws, 1))
        if finite.any():
            block = self.covariance[np.ix_(finite, finite)]
            out[:, finite] = random.multivariate_normal(self.theta[finite], block, n_draws)
        for k in np.flatnonzero(~finite):
            mean = np.exp(self.theta[k])
            out[:, k] = np.log(np.maximum(random.gamma(0.5, mean / 0.5, n_draws), 1e-300))
        return out


def fit_hazard(
    time: np.ndarray,
    event: np.ndarray,
    model: str = "exponential",
    breakpoints: tuple[float, ...] = (),
    relative: np.ndarray | None = None,
) -> FittedHazard:
    """Fit a hazard by maximum likelihood.

    Args:
        time: (n,) months at risk. event: (n,) bool. model: one of :data:`MODELS`.
        breakpoints: months at which a piecewise exponential changes.
        relative: (n,) known hazard of each over that of the group (not for Weibull); None for 1.

    Raises:
        ValueError: for an unknown model, or Weibull with fewer than two events.
    """
    if model not in MODELS:
        raise ValueError(f"model {model!r} is unknown{nearest(model, MODELS)}")
    if model == "weibull":
        return _fit_weibull(time, event)
    starts = np.array([0.0, *(breakpoints if model == "piecewise_exponential" else ())])
    ends = np.append(starts[1:], np.inf)
    each = np.clip(time[:, None], starts, ends) - starts
    exposure = each.sum(axis=0) if relative is None else relative @ each
    piece = np.searchsorted(starts, time[event], side="left") - 1
    counts = np.bincount(np.maximum(piece, 0), minlength=len(starts)).astype(float)
    # No event in a piece: half an event (Jeffreys), over the exposure there, or overall if none.
    spread = np.where(exposure > 0, exposure, max(exposure.sum(), 1e-12))
    theta = np.log(np.where(counts > 0, counts, 0.5) / spread)
    variance = np.where(counts > 0, 1 / np.maximum(counts, 1), np.inf)
    covariance = np.zeros((len(starts), len(starts)))
    np.fill_diagonal(covariance, variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(counts > 0, counts * np.log(counts / spread) - counts, 0.0)
    return FittedHazard(
        model, theta, covariance, tuple(starts[1:]), int(event.sum()), float(terms.sum())
    )


def _fit_weibull(time: np.ndarray, event: np.ndarray) -> FittedHazard:
    """Weibull by maximum likelihood in (log scale, log 1/shape), as R's survreg writes it."""
    if event.sum() < 2:
        raise ValueError(f"a Weibull model needs two events or more, got {int(event.sum())}")
    from scipy.optimize import minimize

    t = np.maximum(time, 1e-9)
    log_t = np.log(t)
    events = event.astype(float)

    def minus_log_likelihood(theta: np.ndarray) -> tuple[float, np.ndarray]:
        sigma = np.exp(theta[1])
        w = (log_t - theta[0]) / sigma
        e = np.exp(np.minimum(w, 700))
        value = -np.sum(events * (w - theta[1] - log_t) - e)
        gradient = np.array([np.sum(events - e) / sigma, np.sum(events * (w + 1) - w * e)])
        return float(value), gradient

    start = np.array([np.log(t.sum() / events.sum()), 0.0])
    found = minimize(minus_log_likelihood, start, jac=True, method="BFGS", options={"gtol": 1e-8})
    theta = found.x
    sigma = np.exp(theta[1])
    w = (log_t - theta[0]) / sigma
    e = np.exp(w)
    information = np.array(
        [
            [np.sum(e), np.sum(w * e - (events - e))],
            [np.sum(w * e - (events - e)), np.sum(w * w * e + w * e - events * w)],
        ]
    )
    information[0, 0] /= sigma**2
    information[0, 1] = information[1, 0] = information[0, 1] / sigma
    return FittedHazard(
        "weibull", theta, np.linalg.inv(information), (), int(events.sum()), -float(found.fun)
    )


def cumulative(fit: FittedHazard, theta: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Cumulative hazard: ``theta`` (p,), ``time`` any shape."""
    if fit.model == "weibull":
        with np.errstate(divide="ignore"):
            return np.exp((np.log(time) - theta[0]) / np.exp(theta[1]))
    starts = np.array([0.0, *fit.breakpoints])
    ends = np.append(starts[1:], np.inf)
    total = np.zeros(np.shape(time))
    for start, end, rate in zip(starts, ends, np.exp(theta)):
        total = total + rate * (np.clip(time, start, end) - start)
    return total


def invert(fit: FittedHazard, theta: np.ndarray, hazard: np.ndarray) -> np.ndarray:
    """Time at which the cumulative hazard is ``hazard`` (any shape)."""
    if fit.model == "weibull":
        with np.errstate(divide="ignore"):
            return np.exp(theta[0] + np.exp(theta[1]) * np.log(hazard))
    starts = np.array([0.0, *fit.breakpoints])
    rates = np.exp(theta)
    reached = np.concatenate([[0.0], np.cumsum(rates[:-1] * np.diff(starts))])
    piece = np.maximum(np.searchsorted(reached, hazard, side="right") - 1, 0)
    return starts[piece] + (hazard - reached[piece]) / rates[piece]
