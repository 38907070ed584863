"""Repeated measurements: MMRM for numbers, a Gaussian copula of GLM margins for binary and counts.

Drop-out is a process of its own (`dropout`). The copula joins the visits of a patient: margins by
visit from a logistic or negative-binomial model, arm by visit intercepts calibrated to the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, ndtr, ndtri

from trial_sim.covariates.copula import nearest_correlation
from trial_sim.endpoints import Endpoint, Longitudinal
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.dropout import Dropout
from trial_sim.outcomes.glm import (
    binomial_intercept,
    fit_glm,
    log_likelihood,
    negative_binomial_size,
)
from trial_sim.outcomes.linear import RIDGE, LinearPart, arm_indicators, square_root
from trial_sim.outcomes.mmrm import COVARIANCES, fit_mmrm
from trial_sim.storage import storable
from trial_sim.trial import decimals

GAUSSIAN = tuple(f"mmrm_{kind}" for kind in COVARIANCES)
DISCRETE = {"binomial": ("logistic_copula",), "poisson": ("negative_binomial_copula",)}


def models(endpoint: Endpoint) -> tuple[str, ...]:
    """Names of the models of the endpoint's family."""
    assert isinstance(endpoint, Longitudinal)
    return DISCRETE.get(endpoint.family, GAUSSIAN)


def candidates(data: FitData) -> tuple[str, ...]:
    """Models that "auto" compares."""
    return models(data.endpoint)


class VisitParameters(NamedTuple):
    """Arm by visit levels (A, V), coefficients (R, p), whose interactions count (A,)."""

    levels: np.ndarray
    coefficients: np.ndarray
    acts_as: np.ndarray


@storable
@dataclass(frozen=True)
class MmrmModel:
    """A fitted multivariate normal outcome.

    Attributes:
        means: (A, V) at the mean covariates; mean_root: (A V, A V) square root of their covariance.
        sigma: (V, V); bounds, digits: observed range and digits.
    """

    name: str
    columns: tuple[str, ...]
    linear: LinearPart
    means: np.ndarray
    mean_root: np.ndarray
    sigma: np.ndarray
    bounds: tuple[float, float]
    digits: int
    dropout: Dropout
    reference: np.ndarray
    notes: tuple[str, ...]

    def draw(self, rng: np.random.Generator | None) -> VisitParameters:
        """Estimates, or one draw from the normal law of the coefficients; levels are then moved
        until rounding and the observed range leave the means unchanged."""
        wanted = self.means
        if rng is not None:
            noise = self.mean_root @ rng.standard_normal(self.means.size)
            wanted = wanted + noise.reshape(self.means.shape)
        coefficients = self.linear.draw(rng)
        eta = self._centred(coefficients)
        z = np.random.Generator(np.random.Philox(5)).standard_normal(eta.shape[1:])
        noise = z @ np.linalg.cholesky(self.sigma).T
        noise = noise - noise.mean(axis=0)
        levels = wanted.copy()
        for _ in range(5):
            raw = levels[:, None, :] + eta + noise
            levels = levels + wanted - np.clip(raw, *self.bounds).mean(axis=1)
        return VisitParameters(levels, coefficients, np.arange(len(levels)))

    def _centred(self, coefficients: np.ndarray) -> np.ndarray:
        eta = self.linear.by_arm(self.reference, coefficients)
        return eta - eta.mean(axis=1, keepdims=True)

    def override(
        self, parameters: VisitParameters, effects: Mapping[int, float]
    ) -> VisitParameters:
        """Arm ``a`` gets the control's means plus ``effects[a]`` at every visit."""
        return overridden(parameters, effects)

    def predicted(self, codes: np.ndarray, arm: np.ndarray, p: VisitParameters) -> np.ndarray:
        """Means (n, V)."""
        centre = self.linear.by_arm(self.reference, p.coefficients).mean(axis=1)
        eta = self.linear.predictors(codes, p.acts_as[arm], p.coefficients)
        return p.levels[arm] + eta - centre[p.acts_as[arm]]

    def complete(
        self, codes: np.ndarray, arm: np.ndarray, normal: np.ndarray, p: VisitParameters
    ) -> np.ndarray:
        """Visits (n, V) without gaps from standard normals (n, V)."""
        noise = normal @ np.linalg.cholesky(self.sigma).T
        return np.round(np.clip(self.predicted(codes, arm, p) + noise, *self.bounds), self.digits)

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """The visit columns, with drop-out."""
        normal = rng.standard_normal((len(arm), len(self.columns)))
        y = self.complete(codes, arm, normal, parameters)
        y = self.dropout.apply(y, parameters.acts_as[arm], self.linear.features.matrix(codes), rng)
        return {name: y[:, k] for k, name in enumerate(self.columns)}

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Normal log density (n,) of the visits seen."""
        y = patients[list(self.columns)].to_numpy(dtype=float)
        residual = y - self.predicted(codes, arm, self.draw(None))
        out = np.zeros(len(y))
        for i, row in enumerate(residual):
            seen = ~np.isnan(row)
            if seen.any():
                part = self.sigma[np.ix_(seen, seen)]
                _, log_det = np.linalg.slogdet(part)
                out[i] = -0.5 * float(row[seen] @ np.linalg.solve(part, row[seen]) + log_det)
        return out

    def nudged(self, arm: int, amount: np.ndarray) -> MmrmModel:
        """With the arm's means moved by ``amount`` (V,)."""
        means = self.means.copy()
        means[arm] += amount
        return replace(self, means=means)


@storable
@dataclass(frozen=True)
class CopulaModel:
    """Fitted binary or count visits.

    Attributes:
        means: (A, V) response rates or mean counts; mean_root: (A, V, V) square roots of the
            covariance of their links. correlation: (V, V) latent. size: of the negative binomial.
    """

    name: str
    columns: tuple[str, ...]
    family: str
    linear: LinearPart
    means: np.ndarray
    mean_root: np.ndarray
    correlation: np.ndarray
    size: float
    dropout: Dropout
    reference: np.ndarray
    notes: tuple[str, ...]

    def draw(self, rng: np.random.Generator | None) -> VisitParameters:
        """Estimates, or one draw of the links of the arm by visit means; levels calibrated."""
        coefficients = self.linear.draw(rng)
        eta = self.linear.by_arm(self.reference, coefficients)[:, :, 0]
        noise = np.zeros(self.means.shape)
        if rng is not None:
            z = rng.standard_normal(self.means.shape)
            noise = np.einsum("aij,aj->ai", self.mean_root, z)
        if self.family == "binomial":
            rates = expit(np.log(self.means / (1 - self.means)) + noise)
            shape = (*rates.shape, eta.shape[1])
            levels = binomial_intercept(rates, np.broadcast_to(eta[:, None, :], shape))
        else:
            levels = np.log(self.means) + noise - np.log(np.exp(eta).mean(axis=1))[:, None]
        return VisitParameters(levels, coefficients, np.arange(len(levels)))

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

        u = ndtr(normal @ np.linalg.cholesky(self.correlation).T)
        eta = p.levels[arm] + self.linear.predictors(codes, p.acts_as[arm], p.coefficients)
        if self.family == "binomial":
            return (u > 1 - expit(eta)).astype(float)
        mean = np.exp(np.minimum(eta, 15))
        u = np.clip(u, 1e-12, 1 - 1e-9)
        if np.isinf(self.size):
            return poisson.ppf(u, mean)
        return nbinom.ppf(u, self.size, self.size / (self.size + mean))

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """The visit columns, with drop-out."""
        normal = rng.standard_normal((len(arm), len(self.columns)))
        y = self.complete(codes, arm, normal, parameters)
        y = self.dropout.apply(y, parameters.acts_as[arm], self.linear.features.matrix(codes), rng)
        return {name: y[:, k] for k, name in enumerate(self.columns)}

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


def overridden(parameters: VisitParameters, shifts: Mapping[int, float]) -> VisitParameters:
    """Parameters in which arm ``a`` has the control's levels plus ``shifts[a]``."""
    levels, acts_as = parameters.levels.copy(), parameters.acts_as.copy()
    for a, by in shifts.items():
        levels[a], acts_as[a] = levels[0] + by, 0
    return parameters._replace(levels=levels, acts_as=acts_as)


def fit(data: FitData, name: str) -> Any:
    """Fit to a `Longitudinal` endpoint.

    Raises:
        ValueError: a visit that an arm was never seen at.
    """
    endpoint = data.endpoint
    assert isinstance(endpoint, Longitudinal)
    y = data.patients[list(endpoint.columns)].to_numpy(dtype=float)
    for k, visit in enumerate(endpoint.columns):
        for a in range(data.n_arms):
            if np.isnan(y[data.arm == a, k]).all():
                label = data.schema.arms[a] if data.schema.arms else "the cohort"
                raise ValueError(f"column {visit!r} has no value in arm {label!r}")
    linear = LinearPart.empty(data.features, data.by, data.n_arms)
    design = linear.design(data.codes, data.arm)
    dropout = Dropout.fit(y, data.arm, data.features.matrix(data.codes), data.n_arms)
    if endpoint.family == "gaussian":
        return _fit_mmrm(data, name, y, linear, design, dropout)
    return _fit_copula(data, name, endpoint.family, y, linear, design, dropout)


def _fit_mmrm(data, name, y, linear, design, dropout):
    k, v = data.n_arms, y.shape[1]
    arms = arm_indicators(data.arm, k)
    centre = design.mean(axis=0)
    x = np.hstack([arms, design - centre])
    ridge = np.r_[np.zeros(k), np.full(design.shape[1], RIDGE)]
    kind = name.removeprefix("mmrm_")
    found = fit_mmrm(y, x, ridge, kind)
    # The analysis model (arm by visit, baseline by visit) gives the arm means.
    analysis = arms
    if data.endpoint.inputs:
        base = data.patients[data.endpoint.inputs[0]].to_numpy(dtype=float)
        analysis = np.column_stack([arms, np.nan_to_num(base - np.nanmean(base))])
    means = fit_mmrm(y, analysis, np.zeros(analysis.shape[1]), kind)
    q, qa = x.shape[1], analysis.shape[1]
    at = np.array([[j * qa + a for j in range(v)] for a in range(k)]).ravel()
    fits = []
    for j in range(v):
        rows = slice(j * q + k, (j + 1) * q)
        fits.append((found.coefficients[k:, j], found.covariance[rows, rows]))
    n = len(y)
    sigma = found.sigma * n / max(n - q, n / 2)
    return MmrmModel(
        name,
        data.endpoint.columns,
        linear.with_fits(fits),
        means.coefficients[:k],
        square_root(means.covariance[np.ix_(at, at)]),
        sigma,
        (float(np.nanmin(y)), float(np.nanmax(y))),
        decimals(y[~np.isnan(y)]),
        dropout,
        data.reference,
        data.features.notes,
    )


def _fit_copula(data, name, family, y, linear, design, dropout):
    k, v = data.n_arms, y.shape[1]
    seen = ~np.isnan(y)
    who, visit = np.nonzero(seen)
    cells = arm_indicators(data.arm[who] * v + visit, k * v)
    x = np.hstack([cells, design[who]])
    ridge = np.r_[np.full(k * v, 1e-4), np.full(design.shape[1], RIDGE)]
    values, size = y[seen], np.inf
    found = fit_glm(values, x, family, ridge)
    if family == "poisson":
        for _ in range(3):
            mean = np.exp(np.clip(x @ found.coefficients, -20, 15))
            size = negative_binomial_size(values, mean)
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
        size,
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
    of the mid-probability residuals.
    """
    v = y.shape[1]
    out = np.eye(v)
    scores = None
    if family == "poisson":
        scores = mid_scores(y, eta, size)
    for i in range(v):
        for j in range(i):
            both = ~np.isnan(y[:, i]) & ~np.isnan(y[:, j])
            if both.sum() < 5:
                rho = 0.3
            elif scores is not None:
                rho = float(np.corrcoef(scores[both, i], scores[both, j])[0, 1])
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
