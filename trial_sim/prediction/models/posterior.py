"""Draws from the posterior law of a few parameters, and the evidence of their model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

_DEGREES = 6.0  # of the multivariate t that proposes
_STEP = 1e-3  # of finite differences


@dataclass(frozen=True, eq=False)
class Posterior:
    """A posterior law as weighted draws.

    Attributes:
        draws: (k, p) parameters. weights: (k,) of them, summing to 1. log_evidence: log of the mean
            likelihood under the prior. mode: (p,). covariance: (p, p) at the mode.
    """

    draws: np.ndarray
    weights: np.ndarray
    log_evidence: float
    mode: np.ndarray
    covariance: np.ndarray

    @property
    def effective(self) -> float:
        """Number of equally weighted draws that would tell as much."""
        return float(1.0 / (self.weights**2).sum())

    def resample(self, n: int, random: np.random.Generator) -> np.ndarray:
        """Equally weighted draws (n, p), in random order."""
        edges = np.cumsum(self.weights)
        points = (np.arange(n) + random.random()) / max(n, 1)
        place = np.minimum(np.searchsorted(edges, points), len(edges) - 1)
        return self.draws[random.permutation(place)]


def sample_posterior(
    log_density: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    n: int,
    random: np.random.Generator,
) -> Posterior:
    """Draw from a density by importance sampling from a t law around its mode.

    Args:
        log_density: (k, p) parameters → (k,) log densities, not normalised. start: (p,).
        n: draws.
    """
    mode, covariance = _mode(log_density, np.asarray(start, float))
    centre, spread = mode, covariance
    for attempt in range(3):
        draws, log_proposal = _propose(centre, spread, n, random)
        log_weights = log_density(draws) - log_proposal
        log_weights = np.where(np.isfinite(log_weights), log_weights, -np.inf)
        total = float(logsumexp(log_weights))
        weights = np.exp(log_weights - total)
        if attempt == 2 or 1.0 / (weights**2).sum() > 0.4 * n:
            break
        centre = weights @ draws
        rest = draws - centre
        spread = (weights[:, None] * rest).T @ rest * 1.2 + 1e-10 * np.eye(len(mode))
    return Posterior(draws, weights, total - np.log(n), mode, covariance)


def _mode(
    log_density: Callable[[np.ndarray], np.ndarray], at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Newton's method with finite differences, all points of a step at once."""
    p = len(at)
    value = float(log_density(at[None])[0])
    steps = np.eye(p) * _STEP
    pairs = [(i, j) for i in range(p) for j in range(i)]
    covariance = np.eye(p)
    for _ in range(30):
        corners = [at + a * steps[i] + b * steps[j] for i, j in pairs for a, b in _CORNERS]
        found = log_density(np.array([*(at + steps), *(at - steps), *corners]))
        up, down = found[:p], found[p : 2 * p]
        gradient = (up - down) / (2 * _STEP)
        hessian = np.diag((up + down - 2 * value) / _STEP**2)
        for k, (i, j) in enumerate(pairs):
            a, b, c, d = found[2 * p + 4 * k : 2 * p + 4 * k + 4]
            hessian[i, j] = hessian[j, i] = (a - b - c + d) / (4 * _STEP**2)
        if not np.isfinite(hessian).all():
            break
        roots, vectors = np.linalg.eigh(-hessian)
        roots = np.maximum(np.abs(roots), 0.05)
        covariance = (vectors / roots) @ vectors.T
        move = covariance @ gradient
        move *= min(1.0, 3.0 / max(float(np.abs(move).max()), 1e-12))
        sizes = 0.5 ** np.arange(8)
        tried = log_density(at + sizes[:, None] * move)
        tried = np.where(np.isfinite(tried), tried, -np.inf)
        best = int(np.argmax(tried))
        if tried[best] <= value + 1e-8:
            break
        at, value = at + sizes[best] * move, float(tried[best])
    return at, covariance


_CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


def _propose(
    centre: np.ndarray, spread: np.ndarray, n: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws (n, p) of a multivariate t and their log density."""
    p = len(centre)
    root = np.linalg.cholesky(spread)
    z = random.normal(size=(n, p))
    mixing = random.chisquare(_DEGREES, n) / _DEGREES
    z /= np.sqrt(mixing)[:, None]
    squares = (z * z).sum(axis=1)
    log_density = (
        gammaln((_DEGREES + p) / 2) - gammaln(_DEGREES / 2) - 0.5 * p * np.log(_DEGREES * np.pi)
        - np.log(np.diag(root)).sum() - 0.5 * (_DEGREES + p) * np.log1p(squares / _DEGREES)
    )  # fmt: skip
    return centre + z @ root.T, log_density
