"""Repeated numbers: a fitted MMRM (see `mmrm`) that samples rounded visits within their range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.covariates.encoding import told_numbers
from trial_sim.data.schema import Column
from trial_sim.numerics.told import told_range
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.dropout import FittedDropout
from trial_sim.outcomes.glm import standardised
from trial_sim.outcomes.linear import RIDGE, LinearPart, arm_indicators, square_root
from trial_sim.outcomes.responses.mmrm import fit_mmrm, structured
from trial_sim.outcomes.responses.visits import (
    VisitParameters,
    overridden,
    sample_visits,
    unmixed,
    wishart,
)


@storable
@dataclass(frozen=True)
class MmrmModel:
    """A fitted multivariate normal outcome.

    Attributes:
        means: (A, V) at the mean covariates; mean_root: (A V, A V) square root of their covariance.
        sigma: (V, V), of the structure ``kind``, on ``degrees`` of freedom.
        bounds, grid: range and grid of the observed values.
    """

    name: str
    columns: tuple[str, ...]
    linear: LinearPart
    means: np.ndarray
    mean_root: np.ndarray
    sigma: np.ndarray
    kind: str
    degrees: int
    bounds: tuple[float, float]
    grid: Column
    dropout: FittedDropout
    reference: np.ndarray
    notes: tuple[str, ...]

    def draw(self, rng: np.random.Generator | None) -> VisitParameters:
        """Estimates, or one draw: coefficients from their normal law, the covariance from
        Wishart's; levels are then moved until rounding and the observed range leave the means
        unchanged."""
        wanted, sigma = self.means, self.sigma
        if rng is not None:
            noise = self.mean_root @ rng.standard_normal(self.means.size)
            wanted = wanted + noise.reshape(self.means.shape)
            sigma = structured(wishart(sigma, self.degrees, rng), self.kind)
        factor = np.linalg.cholesky(sigma)
        coefficients = self.linear.draw(rng)
        eta = self._centred(coefficients)
        z = np.random.Generator(np.random.Philox(5)).standard_normal(eta.shape[1:])
        noise = z @ factor.T
        noise = noise - noise.mean(axis=0)
        levels = wanted.copy()
        for _ in range(5):
            raw = levels[:, None, :] + eta + noise
            levels = levels + wanted - np.clip(raw, *self.bounds).mean(axis=1)
        return VisitParameters(
            levels, coefficients, np.arange(len(levels)), factor, self.dropout.draw(rng)
        )

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
        made = self.predicted(codes, arm, p) + normal @ p.factor.T
        return self.grid.rounded(np.clip(made, *self.bounds))

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """The visit columns, with drop-out."""
        return sample_visits(self, codes, arm, rng, parameters)

    def scores(
        self, y: np.ndarray, codes: np.ndarray, arm: np.ndarray, p: VisitParameters
    ) -> np.ndarray:
        """Standard normals (n, V) that `complete` would make visits ``y`` (n, V) from."""
        return unmixed(y - self.predicted(codes, arm, p), p.factor)

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


def fit_normal(
    data: FitData,
    name: str,
    y: np.ndarray,
    linear: LinearPart,
    design: np.ndarray,
    dropout: FittedDropout,
) -> MmrmModel:
    """Fit to visits ``y`` (n, V) with NaN for gaps; ``design`` (n, p)."""
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
        if np.ptp(standardised(base)) > 0:
            analysis = np.column_stack([arms, standardised(base)])
    means = fit_mmrm(y, analysis, np.zeros(analysis.shape[1]), kind)
    q, qa = x.shape[1], analysis.shape[1]
    at = np.array([[j * qa + a for j in range(v)] for a in range(k)]).ravel()
    fits = []
    for j in range(v):
        rows = slice(j * q + k, (j + 1) * q)
        fits.append((found.coefficients[k:, j], found.covariance[rows, rows]))
    n = len(y)
    degrees = max(n - q, n // 2)
    return MmrmModel(
        name,
        data.endpoint.columns,
        linear.with_fits(fits),
        means.coefficients[:k],
        square_root(means.covariance[np.ix_(at, at)]),
        found.sigma * n / degrees,
        kind,
        degrees,
        told_range(y[~np.isnan(y)]),
        told_numbers(name, y),
        dropout,
        data.reference,
        data.features.notes,
    )
