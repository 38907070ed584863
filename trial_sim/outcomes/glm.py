"""Generalised linear models with a ridge on chosen terms, and intercepts calibrated to a margin.

statsmodels fits the same models without the ridge; they agree at ridge 0 (tested). The negative
binomial that tests a trial is ``statistics.kernels.counts``.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from scipy.special import expit

FAMILIES = ("gaussian", "binomial", "poisson")
T = TypeVar("T", float, np.ndarray)


class GlmFit(NamedTuple):
    """Coefficients (p,) and covariance (p, p), the latter for unit dispersion if not gaussian."""

    coefficients: np.ndarray
    covariance: np.ndarray


def fit_glm(
    y: np.ndarray,
    x: np.ndarray,
    family: str,
    ridge: np.ndarray | float = 0.0,
    offset: np.ndarray | float = 0.0,
    size: float = np.inf,
) -> GlmFit:
    """Maximise the penalised likelihood with the canonical (for counts: log) link.

    Args:
        y: (n,). x: (n, p). ridge: penalty ``ridge/2 * b**2``, a number or (p,).
        offset: added to the linear predictor. size: of a negative binomial (inf: Poisson).
    """
    n, p = x.shape
    penalty = np.broadcast_to(np.asarray(ridge, dtype=float), (p,))
    if p == 0:
        return GlmFit(np.zeros(0), np.zeros((0, 0)))
    if family == "gaussian":
        information = x.T @ x + np.diag(penalty)
        inverse = np.linalg.pinv(information)
        beta = inverse @ x.T @ (y - offset)
        residual = y - offset - x @ beta
        variance = float(residual @ residual) / max(n - p, 1)
        return GlmFit(beta, variance * inverse)
    beta = np.zeros(p)
    information = np.eye(p)
    objective = -np.inf
    for _ in range(100):
        eta = np.clip(x @ beta + offset, -30, 30)
        if family == "binomial":
            mean = expit(eta)
            weight, residual = mean * (1 - mean), y - mean
        else:
            mean = np.exp(eta)
            shrink = 1 / (1 + mean / size)
            weight, residual = mean * shrink, (y - mean) * shrink
        information = (x * weight[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.lstsq(information, x.T @ residual - penalty * beta, rcond=None)[0]
        step *= min(1.0, 5 / max(float(np.abs(step).max()), 1e-12))
        scale = 1.0
        for _ in range(12):
            new = log_likelihood(y, x @ (beta + scale * step) + offset, family, size)
            value = float(new.sum()) - 0.5 * float(penalty @ (beta + scale * step) ** 2)
            if value >= objective - 1e-10:
                break
            scale /= 2
        beta = np.clip(beta + scale * step, -20, 20)
        if abs(value - objective) < 1e-10 * (1 + abs(value)):
            break
        objective = value
    return GlmFit(beta, np.linalg.pinv(information))


def log_likelihood(y: np.ndarray, eta: np.ndarray, family: str, size: float = np.inf) -> np.ndarray:
    """Log probability (n,) of binary or count outcomes at linear predictors ``eta``."""
    from scipy.special import gammaln, log_expit

    eta = np.clip(eta, -30, 30)
    if family == "binomial":
        return y * log_expit(eta) + (1 - y) * log_expit(-eta)
    mean = np.exp(eta)
    if np.isinf(size):
        return y * eta - mean - gammaln(y + 1)
    return (
        gammaln(y + size)
        - gammaln(size)
        - gammaln(y + 1)
        - size * np.log1p(mean / size)
        + y * (eta - np.log(size + mean))
    )


def binomial_intercept(target: np.ndarray, predictors: np.ndarray) -> np.ndarray:
    """Intercepts (...,) at which the mean of expit(intercept + predictor) is ``target``.

    Args:
        target: (...,) probabilities. predictors: (..., M) linear predictors.

    Targets of 0 and 1 give intercepts of -40 and 40.
    """
    low, high = np.full(np.shape(target), -40.0), np.full(np.shape(target), 40.0)
    for _ in range(60):
        middle = (low + high) / 2
        above = expit(middle[..., None] + predictors).mean(axis=-1) > target
        high = np.where(above, middle, high)
        low = np.where(above, low, middle)
    return (low + high) / 2


def negative_binomial_size(y: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
    """Maximum-likelihood size (1 / overdispersion) at fitted means, and the standard error of its
    logarithm (by the observed information); inf and 0 without overdispersion."""
    from scipy.optimize import minimize_scalar

    eta = np.log(np.maximum(mean, 1e-12))

    def loss(log_size: float) -> float:
        return -float(log_likelihood(y, eta, "poisson", float(np.exp(log_size))).sum())

    found = minimize_scalar(loss, bounds=(-6, 9), method="bounded")
    poisson = -float(log_likelihood(y, eta, "poisson").sum())
    if found.fun >= poisson - 1e-6 or found.x >= 8.9:
        return np.inf, 0.0
    step = 0.05
    bend = (loss(found.x + step) + loss(found.x - step) - 2 * loss(found.x)) / step**2
    return float(np.exp(found.x)), min(max(bend, 1e-12) ** -0.5, 1.0)


def fit_negative_binomial(
    y: np.ndarray, x: np.ndarray, ridge: np.ndarray | float, offset: np.ndarray
) -> tuple[GlmFit, float, float]:
    """Coefficients and size of counts with a log link, by turns from Poisson's; and the standard
    error of the size's logarithm.

    Args:
        y: (n,). x: (n, p). ridge: see :func:`fit_glm`. offset: (n,), logarithms of exposures.
    """
    found, size, error = fit_glm(y, x, "poisson", ridge, offset), np.inf, 0.0
    for _ in range(4):
        mean = np.exp(np.clip(x @ found.coefficients + offset, -30, 20))
        size, error = negative_binomial_size(y, mean)
        found = fit_glm(y, x, "poisson", ridge, offset, size)
    return found, size, error


def drawn_size(size: T, error: float, rng: np.random.Generator | None) -> T:
    """The size (or sizes that share one error), or one drawn: its logarithm is normal."""
    return size if rng is None else size * float(np.exp(error * rng.standard_normal()))


def standardised(values: np.ndarray) -> np.ndarray:
    """A column (n,) with mean 0 and standard deviation 1, gaps at the mean (all 0 if constant)."""
    moved = values - np.nanmean(values)
    spread = float(np.nanstd(moved))
    if spread <= 1e-12 * float(np.nanmax(np.abs(values))):
        return np.zeros(len(values))
    return np.round(np.nan_to_num(moved / spread), 12)
