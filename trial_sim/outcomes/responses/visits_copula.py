"""Repeated binary outcomes and counts: GLM margins by visit joined by a Gaussian copula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit, ndtr, ndtri

from trial_sim.base.storage import storable
from trial_sim.covariates.copula import TERMS, nearest_correlation
from trial_sim.covariates.copula import latent_correlation as of_cut_normals
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.dropout import FittedDropout
from trial_sim.outcomes.glm import (
    binomial_intercept,
    drawn_size,
    fit_glm,
    log_likelihood,
    negative_binomial_size,
)
from trial_sim.outcomes.linear import RIDGE, LinearPart, arm_indicators, square_root
from trial_sim.outcomes.responses.visits import (
    VisitParameters,
    overridden,
    sample_visits,
    unmixed,
    wishart,
)

# A latent correlation read off two halved normals is as sure as one of this share of the normals
# themselves: (2 / pi) squared (Pearson 1900, for medians as cuts and no correlation).
TETRACHORIC = 0.405
KEPT_FROM, HERMITE = 8000, 5  # simulated patients that tell what counting leaves of a correlation


@storable
@dataclass(frozen=True)
class CopulaModel:
    """Fitted binary or count visits.

    Attributes:
        means: (A, V) response rates or mean counts; mean_root: (A, V, V) square roots of the
            covariance of their links. correlation: (V, V) latent, from ``degrees`` patients.
        size: of the negative binomial; size_error: of its logarithm.
    """

    name: str
    columns: tuple[str, ...]
    family: str
    linear: LinearPart
    means: np.ndarray
    mean_root: np.ndarray
    correlation: np.ndarray
    degrees: int
    size: float
    size_error: float
    dropout: FittedDropout
    reference: np.ndarray
    notes: tuple[str, ...]

    def draw(self, rng: np.random.Generator | None) -> VisitParameters:
        """Estimates, or one draw: links of the arm by visit means, the correlation as estimated
        from as many patients again; levels calibrated."""
        coefficients = self.linear.draw(rng)
        eta = self.linear.by_arm(self.reference, coefficients)[:, :, 0]
        noise, correlation, size = np.zeros(self.means.shape), self.correlation, self.size
        if rng is not None:
            z = rng.standard_normal(self.means.shape)
            noise = np.einsum("aij,aj->ai", self.mean_root, z)
            size = drawn_size(size, self.size_error, rng)
            correlation = nearest_correlation(wishart(correlation, self.degrees, rng))
        if self.family == "binomial":
            rates = expit(np.log(self.means / (1 - self.means)) + noise)
            shape = (*rates.shape, eta.shape[1])
            levels = binomial_intercept(rates, np.broadcast_to(eta[:, None, :], shape))
        else:
            levels = np.log(self.means) + noise - np.log(np.exp(eta).mean(axis=1))[:, None]
        factor = np.linalg.cholesky(correlation)
        dropout = self.dropout.draw(rng)
        return VisitParameters(levels, coefficients, np.arange(len(levels)), factor, dropout, size)

    def override(
        self, parameters: VisitParameters, effects: Mapping[int, float]
    ) -> VisitParameters:
        """Arm ``a`` gets the control's odds or rate times ``effects[a]`` at every visit."""
        return overridden(parameters, {a: float(np.log(r)) for a, r in effects.items()})

    def complete(
        self, codes: np.ndarray, arm: np.ndarray, normal: np.ndarray, p: VisitParameters
    ) -> np.ndarray:
        """Visits (n, V) without gaps from standard normals (n, V)."""
        from scipy.stats import nbinom, poisson

        u = ndtr(normal @ p.factor.T)
        eta = p.levels[arm] + self.linear.predictors(codes, p.acts_as[arm], p.coefficients)
        if self.family == "binomial":
            return (u > 1 - expit(eta)).astype(float)
        mean = np.exp(np.minimum(eta, 15))
        u = np.clip(u, 1e-12, 1 - 1e-9)
        if np.isinf(p.size):
            return poisson.ppf(u, mean)
        return nbinom.ppf(u, p.size, p.size / (p.size + mean))

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """The visit columns, with drop-out."""
        return sample_visits(self, codes, arm, rng, parameters)

    def scores(
        self, y: np.ndarray, codes: np.ndarray, arm: np.ndarray, p: VisitParameters
    ) -> np.ndarray:
        """Standard normals (n, V) that `complete` might make visits ``y`` (n, V) from: those in the
        middle of the range of each."""
        eta = p.levels[arm] + self.linear.predictors(codes, p.acts_as[arm], p.coefficients)
        if self.family == "binomial":
            chance = expit(eta)
            middle = np.where(np.isnan(y), np.nan, np.where(y > 0, 2 - chance, 1 - chance) / 2)
            found = ndtri(np.clip(middle, 1e-6, 1 - 1e-6))
        else:
            found = mid_scores(y, eta, p.size)
        return unmixed(found, p.factor)

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Sum over visits of the marginal log probabilities (n,)."""
        p = self.draw(None)
        y = patients[list(self.columns)].to_numpy(dtype=float)
        eta = p.levels[arm] + self.linear.predictors(codes, p.acts_as[arm], p.coefficients)
        family = "binomial" if self.family == "binomial" else "poisson"
        return np.nansum(log_likelihood(y, eta, family, self.size), axis=1)

    def nudged(self, arm: int, amount: np.ndarray) -> CopulaModel:
        """With the links of the arm's means moved by ``amount`` (V,)."""
        means = self.means.copy()
        if self.family == "binomial":
            means[arm] = expit(np.log(means[arm] / (1 - means[arm])) + amount)
        else:
            means[arm] *= np.exp(amount)
        return replace(self, means=means)


def fit_copula(
    data: FitData,
    name: str,
    family: str,
    y: np.ndarray,
    linear: LinearPart,
    design: np.ndarray,
    dropout: FittedDropout,
) -> CopulaModel:
    """Fit to visits ``y`` (n, V) with NaN for gaps; ``design`` (n, p)."""
    k, v = data.n_arms, y.shape[1]
    seen = ~np.isnan(y)
    who, visit = np.nonzero(seen)
    cells = arm_indicators(data.arm[who] * v + visit, k * v)
    x = np.hstack([cells, design[who]])
    ridge = np.r_[np.full(k * v, 1e-4), np.full(design.shape[1], RIDGE)]
    values, size, size_error = y[seen], np.inf, 0.0
    found = fit_glm(values, x, family, ridge)
    if family == "poisson":
        for _ in range(3):
            mean = np.exp(np.clip(x @ found.coefficients, -20, 15))
            size, size_error = negative_binomial_size(values, mean)
            found = fit_glm(values, x, family, ridge, size=size)
    beta = found.coefficients[k * v :]
    eta = np.full(y.shape, np.nan)
    eta[seen] = x @ found.coefficients
    correlation = latent_correlation(y, eta, family, size)
    # Observations of a patient are correlated: inflate the covariance of the coefficients.
    inflate = 1 + (v - 1) * max(float(np.mean(correlation[np.triu_indices(v, 1)])), 0.0)
    means, roots = np.zeros((k, v)), np.zeros((k, v, v))
    for a in range(k):
        part = y[data.arm == a]
        n = (~np.isnan(part)).sum(axis=0)
        edge = 0.5 * ((np.nansum(part, axis=0) == 0) | (np.nansum(part, axis=0) == n))
        if family == "poisson":
            edge = 0.5 * (np.nansum(part, axis=0) == 0)
            means[a] = (np.nansum(part, axis=0) + edge) / n
            slope = 1 / means[a]
        else:
            means[a] = (np.nansum(part, axis=0) + edge) / (n + 2 * edge)
            slope = 1 / (means[a] * (1 - means[a]))
        roots[a] = square_root(pair_covariance(part) * np.outer(slope, slope))
    return CopulaModel(
        name,
        data.endpoint.columns,
        family,
        linear.with_fits([(beta, found.covariance[k * v :, k * v :] * inflate)]),
        means,
        roots,
        correlation,
        max(round(len(y) * (TETRACHORIC if family == "binomial" else 1)), 2),
        size,
        size_error,
        dropout,
        data.reference,
        data.features.notes,
    )


def pair_covariance(y: np.ndarray) -> np.ndarray:
    """Covariance (V, V) of the visit means of ``y`` (n, V), gaps allowed."""
    seen = (~np.isnan(y)).astype(float)
    n = seen.sum(axis=0)
    centred = np.where(seen > 0, y - np.nanmean(y, axis=0), 0.0)
    both = seen.T @ seen
    covariance = centred.T @ centred / np.maximum(both - 1, 1)
    return covariance * both / np.outer(n, n)


def latent_correlation(y: np.ndarray, eta: np.ndarray, family: str, size: float) -> np.ndarray:
    """Correlation (V, V) of the latent normals, pair by pair.

    Binary pairs: the correlation at which the expected number of double responders, over the
    patients' fitted probabilities, is the observed one. Counts: the correlation of normal scores
    of the mid-probability residuals, from which that of the normals follows.
    """
    v = y.shape[1]
    out = np.eye(v)
    scores, kept = None, np.zeros((v, TERMS))
    if family == "poisson":
        scores = mid_scores(y, eta, size)
        kept = score_coefficients(eta, size)
    for i in range(v):
        for j in range(i):
            both = ~np.isnan(y[:, i]) & ~np.isnan(y[:, j])
            if both.sum() < 5:
                rho = 0.3
            elif scores is not None:
                rho = float(np.corrcoef(scores[both, i], scores[both, j])[0, 1])
                pair = np.array([[1.0, rho], [rho, 1.0]])
                rho = float(of_cut_normals(pair, kept[[i, j]])[0, 1])
            else:
                rho = binary_pair(y[both][:, [i, j]], expit(eta[both][:, [i, j]]))
            out[i, j] = out[j, i] = np.clip(np.nan_to_num(rho), -0.95, 0.97)
    return nearest_correlation(out, floor=1e-3)


def binary_pair(y: np.ndarray, p: np.ndarray) -> float:
    """Latent correlation at which the mean of P(both) over patients is the observed share."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    cuts = ndtri(np.clip(p, 1e-6, 1 - 1e-6))
    target = float((y[:, 0] * y[:, 1]).mean())

    def both(rho: float) -> float:
        root, rest = np.sqrt(abs(rho)), np.sqrt(1 - abs(rho))
        one = ndtr((cuts[:, :1] + root * nodes) / rest)
        two = ndtr((cuts[:, 1:] + np.sign(rho) * root * nodes) / rest)
        return float(((one * two) @ weights).mean())

    low, high = -0.95, 0.97
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if both(middle) < target else (low, middle)
    return (low + high) / 2


def mid_scores(y: np.ndarray, eta: np.ndarray, size: float) -> np.ndarray:
    """Normal scores of the mid-probabilities of counts, (n, V), NaN where missing."""
    from scipy.stats import nbinom, poisson

    mean = np.exp(np.clip(eta, -20, 15))
    law = poisson(mean) if np.isinf(size) else nbinom(size, size / (size + mean))
    middle = (law.cdf(y) + law.cdf(y - 1)) / 2
    return ndtri(np.clip(middle, 1e-6, 1 - 1e-6))


def score_coefficients(eta: np.ndarray, size: float) -> np.ndarray:
    """Coefficients (V, `TERMS`) of the mid-probability scores of counts as functions of the normals
    they come from, of the normalised Hermite polynomials up to `HERMITE`, by simulation."""
    from scipy.stats import nbinom, poisson

    rng = np.random.Generator(np.random.Philox(53))
    eta = np.tile(eta, (max(1, -(-KEPT_FROM // len(eta))), 1))
    z = rng.standard_normal(eta.shape)
    mean, u = np.exp(np.clip(eta, -20, 15)), np.clip(ndtr(z), 1e-12, 1 - 1e-9)
    law = poisson(mean) if np.isinf(size) else nbinom(size, size / (size + mean))
    scores = mid_scores(law.ppf(u), eta, size)
    scores = (scores - scores.mean(axis=0)) / np.maximum(scores.std(axis=0), 1e-9)
    out = np.zeros((eta.shape[1], TERMS))
    before, now = np.ones(z.shape), z
    for k in range(1, HERMITE + 1):
        out[:, k - 1] = (scores * now).mean(axis=0)
        before, now = now, (z * now - k**0.5 * before) / (k + 1) ** 0.5
    return out
