"""Binary outcomes: logistic regression whose arm intercepts give each arm's response rate back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from trial_sim.base.storage import storable
from trial_sim.data.endpoints import Endpoint
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.gaps import draw_gaps, gap_counts, with_gaps
from trial_sim.outcomes.glm import binomial_intercept, fit_glm, log_likelihood
from trial_sim.outcomes.linear import LinearPart, arm_indicators

MODELS = ("logistic", "rates")


def models(endpoint: Endpoint) -> tuple[str, ...]:
    """ "logistic" uses the covariates, "rates" only the arm."""
    return MODELS


def candidates(data: FitData) -> tuple[str, ...]:
    """Models that "auto" compares."""
    return MODELS


class BinaryParameters(NamedTuple):
    """Coefficients (1, p), intercepts (A,), gap rates (A,), and whose interactions count (A,)."""

    coefficients: np.ndarray
    intercepts: np.ndarray
    gaps: np.ndarray
    acts_as: np.ndarray


@storable
@dataclass(frozen=True)
class BinaryModel:
    """A fitted binary outcome; ``counts`` (A, 2) are responders and patients seen;
    ``noise`` the standard deviation of privacy noise on them."""

    name: str
    column: str
    linear: LinearPart
    counts: np.ndarray
    gaps: np.ndarray
    reference: np.ndarray
    notes: tuple[str, ...]
    noise: float = 0.0

    def draw(self, rng: np.random.Generator | None) -> BinaryParameters:
        """Estimates, or one draw: normal coefficients, beta response rates."""
        yes, n = self.counts.T
        if rng is not None and self.noise:
            extra = self.noise * rng.standard_normal((2, len(yes)))
            no = np.maximum(n - yes + extra[1], 0.0)
            yes = np.maximum(yes + extra[0], 0.0)
            n = yes + no
        rate = yes / np.maximum(n, 1e-9)
        if rng is not None:
            # Jeffreys' halves keep the mean of the logit at the estimate
            rate = rng.beta(yes + 0.5, n - yes + 0.5)
        coefficients = self.linear.draw(rng)
        predictors = self.linear.by_arm(self.reference, coefficients)[:, :, 0]
        return BinaryParameters(
            coefficients,
            binomial_intercept(rate, predictors),
            draw_gaps(self.gaps, rng),
            np.arange(len(rate)),
        )

    def override(
        self, parameters: BinaryParameters, effects: Mapping[int, float]
    ) -> BinaryParameters:
        """Arm ``a`` gets the control's odds times ``effects[a]``, given the covariates."""
        intercepts, acts_as = parameters.intercepts.copy(), parameters.acts_as.copy()
        for a, ratio in effects.items():
            intercepts[a], acts_as[a] = intercepts[0] + np.log(ratio), 0
        return parameters._replace(intercepts=intercepts, acts_as=acts_as)

    def probability(self, codes: np.ndarray, arm: np.ndarray, p: BinaryParameters) -> np.ndarray:
        """Response probability (n,)."""
        eta = self.linear.predictors(codes, p.acts_as[arm], p.coefficients)[:, 0]
        return expit(p.intercepts[arm] + eta)

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """The outcome column, 0 or 1, NaN where missing."""
        chance = self.probability(codes, arm, parameters)
        y = (rng.random(len(arm)) < chance).astype(float)
        return {self.column: with_gaps(y, arm, parameters.gaps, rng)}

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Log probability (n,) of the outcomes (0 where missing)."""
        p = self.draw(None)
        chance = np.clip(self.probability(codes, arm, p), 1e-4, 1 - 1e-4)
        y = patients[self.column].to_numpy(dtype=float)
        return np.nan_to_num(log_likelihood(y, np.log(chance / (1 - chance)), "binomial"))


def fit(data: FitData, name: str) -> BinaryModel:
    """Fit to a `Binary` endpoint.

    Raises:
        ValueError: an arm without any outcome.
    """
    column = data.endpoint.columns[0]
    y = data.patients[column].to_numpy(dtype=float)
    seen = ~np.isnan(y)
    linear = LinearPart.empty(data.features, data.by, data.n_arms)
    design = linear.design(data.codes, data.arm)[seen]
    arms = arm_indicators(data.arm[seen], data.n_arms)
    ridge = np.r_[np.zeros(data.n_arms), linear.logit_ridge()]
    k = data.n_arms
    if name == "rates":
        coefficients, covariance = np.zeros(design.shape[1]), np.zeros((design.shape[1],) * 2)
    else:
        found = fit_glm(y[seen], np.hstack([arms, design]), "binomial", ridge)
        coefficients, covariance = found.coefficients[k:], found.covariance[k:, k:]
    counts = np.column_stack([arms.T @ y[seen], arms.sum(axis=0)])
    notes = list(data.features.notes)
    for a, (yes, n) in enumerate(counts):
        label = data.schema.arms[a] if data.schema.arms else "the cohort"
        if n == 0:
            raise ValueError(f"arm {label!r} has no outcome in column {column!r}")
        if yes in (0, n):
            notes.append(
                f"arm {label!r} has {int(yes)} responders of {int(n)}: its estimated rate "
                "is that, its drawn rates come from Jeffreys' prior"
            )
    return BinaryModel(
        name,
        column,
        linear.with_fits([(coefficients, covariance)]),
        counts,
        gap_counts(~seen, data.arm, data.n_arms),
        data.reference,
        tuple(notes),
    )
