"""Counts: Poisson, negative binomial, zero-inflated; arm rates calibrated to the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.data.endpoints import Count, Endpoint
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.gaps import draw_gaps, gap_counts, with_gaps
from trial_sim.outcomes.glm import drawn_size, fit_glm, fit_negative_binomial, log_likelihood
from trial_sim.outcomes.linear import RIDGE, LinearPart, arm_indicators

MODELS = ("negative_binomial", "poisson", "zero_inflated")


def models(endpoint: Endpoint) -> tuple[str, ...]:
    """Names of the models."""
    return MODELS


def candidates(data: FitData) -> tuple[str, ...]:
    """Models that "auto" compares."""
    return MODELS


class CountParameters(NamedTuple):
    """Coefficients (1, p), log rates (A,) at predictor 0, sizes (A,), zero shares (A,), gaps (A,),
    acts_as (A,)."""

    coefficients: np.ndarray
    intercepts: np.ndarray
    sizes: np.ndarray
    zeros: np.ndarray
    gaps: np.ndarray
    acts_as: np.ndarray


@storable
@dataclass(frozen=True)
class CountModel:
    """A fitted count.

    Attributes:
        rates: (A,) events per unit of exposure; errors: (A,) robust standard errors of their logs.
        sizes: (A,) of the negative binomial (inf: Poisson); size_error: of their logarithm.
        zeros: (A,) extra zeros.
        exposure: index of the exposure among the baseline columns, or -1; its value is
            ``levels[code]`` if that column is discrete.
    """

    name: str
    column: str
    linear: LinearPart
    rates: np.ndarray
    errors: np.ndarray
    sizes: np.ndarray
    size_error: float
    zeros: np.ndarray
    exposure: int
    levels: tuple[Any, ...]
    gaps: np.ndarray
    reference: np.ndarray
    notes: tuple[str, ...]

    def exposures(self, codes: np.ndarray) -> np.ndarray:
        """Exposure (n,) of each patient."""
        return exposures(codes, self.exposure, self.levels)

    def draw(self, rng: np.random.Generator | None) -> CountParameters:
        """Estimates, or one draw: normal coefficients, log rates and log size."""
        coefficients = self.linear.draw(rng)
        rates = self.rates
        if rng is not None:
            rates = rates * np.exp(self.errors * rng.standard_normal(len(rates)))
        eta = self.linear.by_arm(self.reference, coefficients)[:, :, 0]
        time = self.exposures(self.reference)
        mean = (np.exp(eta) * time).sum(axis=1) / time.sum() * (1 - self.zeros)
        with np.errstate(divide="ignore"):
            intercepts = np.log(rates / mean)
        return CountParameters(
            coefficients,
            intercepts,
            drawn_size(self.sizes, self.size_error, rng),
            self.zeros,
            draw_gaps(self.gaps, rng),
            np.arange(len(rates)),
        )

    def override(
        self, parameters: CountParameters, effects: Mapping[int, float]
    ) -> CountParameters:
        """Arm ``a`` gets the control's rate times ``effects[a]``."""
        new = {
            k: getattr(parameters, k).copy() for k in ("intercepts", "sizes", "zeros", "acts_as")
        }
        for a, ratio in effects.items():
            for values in new.values():
                values[a] = values[0]
            new["intercepts"][a] += np.log(ratio)
        return parameters._replace(**new)

    def means(self, codes: np.ndarray, arm: np.ndarray, p: CountParameters) -> np.ndarray:
        """Mean count (n,) of patients who are not extra zeros."""
        eta = self.linear.predictors(codes, p.acts_as[arm], p.coefficients)[:, 0]
        log_mean = p.intercepts[arm] + eta + np.log(self.exposures(codes))
        return np.exp(np.minimum(log_mean, 20))

    def quantiles(
        self, codes: np.ndarray, arm: np.ndarray, uniform: np.ndarray, p: CountParameters
    ) -> np.ndarray:
        """Counts (n,) from uniforms (n,), by inversion."""
        from scipy.stats import nbinom, poisson

        mean, zero, out = self.means(codes, arm, p), p.zeros[arm], np.zeros(len(arm))
        # the extra zeros take the lowest uniforms
        u = np.clip((uniform - zero) / np.maximum(1 - zero, 1e-9), 0.0, 1 - 1e-12)
        for a in range(len(self.rates)):
            mine = (arm == a) & (uniform > zero)
            size = p.sizes[a]
            if np.isinf(size):
                out[mine] = poisson.ppf(u[mine], mean[mine])
            else:
                out[mine] = nbinom.ppf(u[mine], size, size / (size + mean[mine]))
        return np.maximum(out, 0)

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """The outcome column, missing at each arm's rate."""
        p = parameters
        mean = self.means(codes, arm, p)
        size = p.sizes[arm]
        over = np.isfinite(size)
        shape = np.where(over, size, 1.0)
        mean = np.where(over, mean * rng.standard_gamma(shape) / shape, mean)
        y = rng.poisson(mean).astype(float)
        y[rng.random(len(y)) < p.zeros[arm]] = 0
        return {self.column: with_gaps(y, arm, p.gaps, rng)}

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Log probability (n,) of the outcomes (0 where missing)."""
        p = self.draw(None)
        y = patients[self.column].to_numpy(dtype=float)
        eta = np.log(np.maximum(self.means(codes, arm, p), 1e-12))
        out = np.zeros(len(y))
        for a in range(len(self.rates)):
            mine = (arm == a) & ~np.isnan(y)
            log = log_likelihood(y[mine], eta[mine], "poisson", self.sizes[a])
            chance = (1 - p.zeros[a]) * np.exp(log) + p.zeros[a] * (y[mine] == 0)
            out[mine] = np.log(np.maximum(chance, 1e-8))
        return out


def exposures(codes: np.ndarray, index: int, levels: tuple[Any, ...]) -> np.ndarray:
    """Exposure (n,): 1, a numeric column, or the value of a discrete column's level."""
    if index < 0:
        return np.ones(len(codes))
    if levels:
        return np.asarray(levels, dtype=float)[codes[:, index].astype(int)]
    return codes[:, index]


def fit(data: FitData, name: str) -> CountModel:
    """Fit to a `Count` endpoint.

    Raises:
        ValueError: an arm without any outcome.
    """
    endpoint = data.endpoint
    assert isinstance(endpoint, Count)
    y_all = data.patients[endpoint.column].to_numpy(dtype=float)
    seen = ~np.isnan(y_all)
    y, arm = y_all[seen], data.arm[seen]
    names = [c.name for c in data.schema.columns]
    index = names.index(endpoint.exposure) if endpoint.exposure else -1
    levels = data.schema.columns[index].levels if index >= 0 else ()
    time = exposures(data.codes, index, levels)[seen]
    k = data.n_arms
    arms = arm_indicators(arm, k)
    notes = list(data.features.notes)
    rates, errors = np.zeros(k), np.zeros(k)
    for a in range(k):
        mine = arm == a
        label = data.schema.arms[a] if data.schema.arms else "the cohort"
        if not mine.any():
            raise ValueError(f"arm {label!r} has no outcome in column {endpoint.column!r}")
        total = y[mine].sum()
        if total == 0:
            notes.append(f"arm {label!r} has no events: its rate is taken as that of half an event")
            total = 0.5
        rates[a] = total / time[mine].sum()
        errors[a] = np.sqrt(max(((y[mine] - rates[a] * time[mine]) ** 2).sum(), total)) / total
    linear = LinearPart.empty(data.features, data.by, k)
    design = linear.design(data.codes, data.arm)[seen]
    x = np.hstack([arms, design])
    ridge = np.r_[np.zeros(k), np.full(design.shape[1], RIDGE)]
    offset = np.log(time)
    offset = offset - offset.mean()  # the intercepts take the unit of the exposure
    if name == "negative_binomial":
        found, size, size_error = fit_negative_binomial(y, x, ridge, offset)
    else:
        found, size, size_error = fit_glm(y, x, "poisson", ridge, offset), np.inf, 0.0
    mean = np.exp(np.clip(x @ found.coefficients + offset, -30, 20))
    zeros = np.zeros(k)
    if name == "zero_inflated":
        for a in range(k):
            expected = float(np.exp(-mean[arm == a]).mean())
            observed = float((y[arm == a] == 0).mean())
            zeros[a] = max(0.0, (observed - expected) / max(1 - expected, 1e-9))
    # With independent robust errors the covariance of the coefficients is that of the fit scaled
    # by the Pearson dispersion, which is 1 when the variance function holds.
    variance = mean + (mean**2 / size if np.isfinite(size) else 0)
    dispersion = max(1.0, float(((y - mean) ** 2 / variance).sum() / max(len(y) - x.shape[1], 1)))
    return CountModel(
        name,
        endpoint.column,
        linear.with_fits([(found.coefficients[k:], found.covariance[k:, k:] * dispersion)]),
        rates,
        errors,
        np.full(k, size),
        size_error,
        zeros,
        index,
        tuple(levels),
        gap_counts(~seen, data.arm, k),
        data.reference,
        tuple(notes),
    )
