"""A continuous outcome by ANCOVA, with normal or empirical residuals.

Arm means come from the analysis model (arm, and the baseline if there is one), so that its
treatment effect is given back; the other covariates move patients about those means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.covariates.encoding import told_numbers
from trial_sim.data.endpoints import Endpoint
from trial_sim.data.schema import Column
from trial_sim.numerics.told import averaged, told_range
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.gaps import draw_gaps, gap_counts, with_gaps
from trial_sim.outcomes.glm import fit_glm, standardised
from trial_sim.outcomes.linear import RIDGE, LinearPart, arm_indicators, square_root

MODELS = ("ancova_residuals", "ancova")
QUANTILES = np.linspace(0.005, 0.995, 100)


def models(endpoint: Endpoint) -> tuple[str, ...]:
    """Names of the models."""
    return MODELS


def candidates(data: FitData) -> tuple[str, ...]:
    """Models that "auto" compares."""
    return MODELS


class ContinuousParameters(NamedTuple):
    """Coefficients (1, p), arm means (A,), residual quantiles (A, 100), gaps (A,), acts_as (A,)."""

    coefficients: np.ndarray
    means: np.ndarray
    residuals: np.ndarray
    gaps: np.ndarray
    acts_as: np.ndarray


@storable
@dataclass(frozen=True)
class ContinuousModel:
    """A fitted continuous outcome.

    Attributes:
        means: (A,) adjusted arm means; root: (A, A) square root of their covariance.
        residuals: (A, 100) residual quantiles. bounds, grid: range and grid of the values seen.
        degrees: residual degrees of freedom, for draws of the residual scale.
    """

    name: str
    column: str
    linear: LinearPart
    means: np.ndarray
    root: np.ndarray
    residuals: np.ndarray
    bounds: tuple[float, float]
    grid: Column
    degrees: int
    gaps: np.ndarray
    reference: np.ndarray
    notes: tuple[str, ...]

    def draw(self, rng: np.random.Generator | None) -> ContinuousParameters:
        """Estimates, or one draw: normal means and coefficients, chi-square residual scale.

        The arm means are then moved until rounding and the observed range leave them unchanged on
        average.
        """
        coefficients = self.linear.draw(rng)
        wanted, scale = self.means, 1.0
        if rng is not None:
            wanted = self.means + self.root @ rng.standard_normal(len(self.means))
            scale = float(np.sqrt(self.degrees / rng.chisquare(self.degrees)))
        eta = self.linear.by_arm(self.reference, coefficients)[:, :, 0]
        eta = eta - eta.mean(axis=1, keepdims=True)
        residuals, means = self.residuals * scale, wanted.copy()
        few = residuals[:, 2::5]  # the middle of every five quantiles, so that their mean is 0
        few = few - few.mean(axis=1, keepdims=True)
        for _ in range(6):
            raw = means[:, None, None] + eta[:, :, None] + few[:, None, :]
            means = means + wanted - self.rounded(raw).mean(axis=(1, 2))
        return ContinuousParameters(
            coefficients, means, residuals, draw_gaps(self.gaps, rng), np.arange(len(means))
        )

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Within the observed range, on the observed grid."""
        return self.grid.rounded(np.clip(values, *self.bounds))

    def override(
        self, parameters: ContinuousParameters, effects: Mapping[int, float]
    ) -> ContinuousParameters:
        """Arm ``a`` gets the control's mean plus ``effects[a]``."""
        means, residuals = parameters.means.copy(), parameters.residuals.copy()
        acts_as = parameters.acts_as.copy()
        for a, difference in effects.items():
            means[a], residuals[a], acts_as[a] = means[0] + difference, residuals[0], 0
        return parameters._replace(means=means, residuals=residuals, acts_as=acts_as)

    def predicted(self, codes: np.ndarray, arm: np.ndarray, p: ContinuousParameters) -> np.ndarray:
        """Mean (n,) of each patient."""
        centre = self.linear.by_arm(self.reference, p.coefficients)[:, :, 0].mean(axis=1)
        eta = self.linear.predictors(codes, p.acts_as[arm], p.coefficients)[:, 0]
        return p.means[arm] + eta - centre[p.acts_as[arm]]

    def values(
        self, codes: np.ndarray, arm: np.ndarray, uniform: np.ndarray, p: ContinuousParameters
    ) -> np.ndarray:
        """Outcomes (n,) from uniforms (n,)."""
        place = np.clip(uniform * 100 - 0.5, 0, 99)
        low = np.minimum(place.astype(int), 98)
        table = p.residuals[arm]
        rows = np.arange(len(arm))
        part = place - low
        noise = table[rows, low] * (1 - part) + table[rows, low + 1] * part
        return self.rounded(self.predicted(codes, arm, p) + noise)

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """The outcome column, missing at each arm's rate."""
        y = self.values(codes, arm, rng.random(len(arm)), parameters)
        return {self.column: with_gaps(y, arm, parameters.gaps, rng)}

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Minus the continuous ranked probability score (n,), a proper score for any shape."""
        p = self.draw(None)
        y = patients[self.column].to_numpy(dtype=float)
        made = self.rounded(self.predicted(codes, arm, p)[:, None] + p.residuals[arm])
        near = np.abs(made - y[:, None]).mean(axis=1)
        ordered = np.sort(made, axis=1)
        weight = 2 * np.arange(1, 101) - 101
        spread = (ordered * weight).sum(axis=1) / 100**2
        return np.nan_to_num(-(near - spread))


def fit(data: FitData, name: str) -> ContinuousModel:
    """Fit to a `Continuous` endpoint.

    Raises:
        ValueError: an arm with fewer than three outcomes.
    """
    from scipy.special import ndtri

    column = data.endpoint.columns[0]
    y_all = data.patients[column].to_numpy(dtype=float)
    seen = ~np.isnan(y_all)
    y, arm = y_all[seen], data.arm[seen]
    for a in range(data.n_arms):
        if (arm == a).sum() < 3:
            label = data.schema.arms[a] if data.schema.arms else "the cohort"
            raise ValueError(f"arm {label!r} has fewer than three outcomes in column {column!r}")
    arms = arm_indicators(arm, data.n_arms)
    analysis = arms
    if data.endpoint.inputs:
        base = data.patients[data.endpoint.inputs[0]].to_numpy(dtype=float)
        base = standardised(base)[seen]
        analysis = np.column_stack([arms, base]) if np.ptp(base) > 0 else arms
    means = fit_glm(y, analysis, "gaussian")
    k = data.n_arms
    linear = LinearPart.empty(data.features, data.by, data.n_arms, identity=True)
    design = linear.design(data.codes, data.arm)[seen]
    ridge = np.r_[np.zeros(k), np.full(design.shape[1], RIDGE)]
    found = fit_glm(y, np.hstack([arms, design]), "gaussian", ridge)
    residual = y - np.hstack([arms, design]) @ found.coefficients
    degrees = max(len(y) - k - design.shape[1], 1)
    inflate = (len(y) / degrees) ** 0.5
    quantiles = np.empty((k, 100))
    for a in range(k):
        mine = residual[arm == a] - residual[arm == a].mean()
        if name == "ancova":
            quantiles[a] = ndtri(QUANTILES) * residual.std() * inflate
        else:
            quantiles[a] = np.quantile(averaged(mine), QUANTILES) * inflate
        quantiles[a] -= quantiles[a].mean()
    return ContinuousModel(
        name,
        column,
        linear.with_fits([(found.coefficients[k:], found.covariance[k:, k:])]),
        means.coefficients[:k],
        square_root(means.covariance[:k, :k]),
        quantiles,
        told_range(y),
        told_numbers(column, y),
        degrees,
        gap_counts(~seen, data.arm, data.n_arms),
        data.reference,
        data.features.notes,
    )
