"""Parametric survival laws of log time: cumulative hazard and its slope, family by family.

Accelerated failure time, ``T = exp(eta) T0``: weibull, lognormal, loglogistic, generalized_gamma.
Proportional hazards, ``H = exp(eta) H0``: gompertz, royston_parmar (log H0 a natural cubic spline
of log t; Royston and Parmar 2002). mixture_cure: a share of each arm never has the event, the
others follow a Weibull.
"""

from __future__ import annotations

import numpy as np
from scipy import special

AFT = ("weibull", "lognormal", "loglogistic", "generalized_gamma")
PH = ("gompertz", "royston_parmar")
FAMILIES = (*AFT, *PH, "mixture_cure")
SPLINE_KNOTS = 3  # inner knots of royston_parmar


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
