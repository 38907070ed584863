"""Ordered categories: cumulative logits, with cut points by arm or one treatment shift.

The covariates come from a proportional-odds fit with free treatment coefficients; cut points are
then calibrated to each arm's shares (``by_arm``), or to the shares of a proportional-odds model of
the arms alone (``proportional_odds``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from trial_sim.base.storage import storable
from trial_sim.data.endpoints import Endpoint, Ordinal
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.gaps import draw_gaps, gap_counts, with_gaps
from trial_sim.outcomes.glm import binomial_intercept
from trial_sim.outcomes.linear import LinearPart, arm_indicators
from trial_sim.statistics.arm_differences import log_cumulative_odds_ratio

MODELS = ("by_arm", "proportional_odds")
SMALL = 400  # patients below which the small-sample bias is worked out
REPEATS = 500


def models(endpoint: Endpoint) -> tuple[str, ...]:
    """Names of the models."""
    return MODELS


def candidates(data: FitData) -> tuple[str, ...]:
    """Models that "auto" compares."""
    return MODELS


def _cuts(theta: np.ndarray, n_levels: int) -> np.ndarray:
    """Ascending cut points (L - 1,) from the first of them and the logarithms of their steps."""
    return np.r_[theta[0], theta[0] + np.cumsum(np.exp(theta[1 : n_levels - 1]))]


def fit_proportional_odds(
    codes: np.ndarray, x: np.ndarray, n_levels: int, ridge: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P(Y <= l) = expit(cut_l - x b), by maximum (penalised) likelihood.

    For covariates: the arms alone need only counts (:func:`margins`, and for two arms with the
    error of their difference ``statistics.arm_differences.log_cumulative_odds_ratio``).

    Args:
        codes: (n,) levels 0..L-1. x: (n, p). ridge: a number or (p,).

    Returns:
        cuts (L - 1,), coefficients (p,), covariance of the coefficients (p, p).
    """
    from scipy.optimize import minimize

    p = x.shape[1]
    penalty = np.broadcast_to(np.asarray(ridge, dtype=float), (p,))
    share = np.cumsum(np.bincount(codes, minlength=n_levels)[:-1] + 0.5) / (
        len(codes) + 0.5 * n_levels
    )
    start = np.log(share / (1 - share))
    first = np.r_[start[0], np.log(np.maximum(np.diff(start), 1e-3)), np.zeros(p)]

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        cuts, beta = _cuts(theta, n_levels), theta[n_levels - 1 :]
        edges = np.r_[-np.inf, cuts, np.inf]
        eta = x @ beta
        upper, lower = expit(edges[codes + 1] - eta), expit(edges[codes] - eta)
        chance = np.maximum(upper - lower, 1e-300)
        du, dl = upper * (1 - upper) / chance, lower * (1 - lower) / chance
        d_cut = np.zeros(n_levels - 1)
        np.add.at(d_cut, codes[codes < n_levels - 1], du[codes < n_levels - 1])
        np.add.at(d_cut, codes[codes > 0] - 1, -dl[codes > 0])
        d_theta = np.r_[
            d_cut.sum(),
            [d_cut[j:].sum() * np.exp(theta[j]) for j in range(1, n_levels - 1)],
        ]
        d_beta = -x.T @ (du - dl)
        value = -np.log(chance).sum() + 0.5 * float(penalty @ beta**2)
        return float(value), -np.r_[d_theta, d_beta - penalty * beta]

    found = minimize(loss, first, jac=True, method="BFGS", options={"gtol": 1e-6})
    theta = found.x
    step = 1e-5
    hessian = np.column_stack(
        [
            (loss(theta + step * e)[1] - loss(theta - step * e)[1]) / (2 * step)
            for e in np.eye(len(theta))
        ]
    )
    covariance = np.linalg.pinv((hessian + hessian.T) / 2)
    return _cuts(theta, n_levels), theta[n_levels - 1 :], covariance[n_levels - 1 :, n_levels - 1 :]


class OrdinalParameters(NamedTuple):
    """Coefficients (1, p), cuts (A, L - 1), gap rates (A,), whose interactions count (A,)."""

    coefficients: np.ndarray
    cuts: np.ndarray
    gaps: np.ndarray
    acts_as: np.ndarray


@storable
@dataclass(frozen=True)
class OrdinalModel:
    """A fitted ordinal outcome; ``counts`` (A, L) are patients by arm and level; ``noise``
    the standard deviation of privacy noise on them; ``nudge`` (A,) shifts of the log odds that undo
    the small-sample bias of the proportional-odds estimate (see `small_sample_bias`)."""

    name: str
    column: str
    levels: tuple[Any, ...]
    linear: LinearPart
    counts: np.ndarray
    gaps: np.ndarray
    reference: np.ndarray
    notes: tuple[str, ...]
    noise: float = 0.0
    nudge: np.ndarray | None = None

    def draw(self, rng: np.random.Generator | None) -> OrdinalParameters:
        """Estimates, or one draw: normal coefficients, Dirichlet shares."""
        counts = self.counts
        if rng is not None:
            # one patient spread over the levels keeps the mean of the logits (digamma) unbiased
            if self.noise:
                counts = np.maximum(counts + self.noise * rng.standard_normal(counts.shape), 0.0)
            counts = rng.standard_gamma(counts + 1 / counts.shape[1])
        cumulative = np.cumsum(counts, axis=1)[:, :-1] / counts.sum(axis=1)[:, None]
        if self.name == "proportional_odds":
            scaled = counts / counts.sum(axis=1)[:, None] * self.counts.sum(axis=1)[:, None]
            cuts, shifts = margins(scaled)
            cumulative = expit(cuts - shifts[:, None])
        if self.nudge is not None:
            inside = np.clip(cumulative, 1e-9, 1 - 1e-9)
            cumulative = expit(np.log(inside / (1 - inside)) - self.nudge[:, None])
        coefficients = self.linear.draw(rng)
        predictors = self.linear.by_arm(self.reference, coefficients)[:, None, :, 0]
        shape = (*cumulative.shape, predictors.shape[-1])
        cuts = binomial_intercept(cumulative, np.broadcast_to(-predictors, shape))
        return OrdinalParameters(
            coefficients, cuts, draw_gaps(self.gaps, rng), np.arange(len(counts))
        )

    def override(
        self, parameters: OrdinalParameters, effects: Mapping[int, float]
    ) -> OrdinalParameters:
        """Arm ``a`` gets the control's odds of a higher level times ``effects[a]``."""
        cuts, acts_as = parameters.cuts.copy(), parameters.acts_as.copy()
        for a, ratio in effects.items():
            cuts[a], acts_as[a] = cuts[0] - np.log(ratio), 0
        return parameters._replace(cuts=cuts, acts_as=acts_as)

    def cumulative(self, codes: np.ndarray, arm: np.ndarray, p: OrdinalParameters) -> np.ndarray:
        """P(Y <= level), (n, L - 1)."""
        eta = self.linear.predictors(codes, p.acts_as[arm], p.coefficients)
        return expit(p.cuts[arm] - eta)

    def level_codes(
        self, codes: np.ndarray, arm: np.ndarray, uniform: np.ndarray, p: OrdinalParameters
    ) -> np.ndarray:
        """Levels 0..L-1 (n,) from uniforms (n,)."""
        return (uniform[:, None] > self.cumulative(codes, arm, p)).sum(axis=1)

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """The outcome column in its own levels, missing at each arm's rate."""
        at = self.level_codes(codes, arm, rng.random(len(arm)), parameters).astype(float)
        return {self.column: self.named(with_gaps(at, arm, parameters.gaps, rng))}

    def named(self, at: np.ndarray) -> np.ndarray:
        """Levels (n,) at the places ``at`` (n,), NaN for a gap."""
        missing = np.isnan(at)
        if all(isinstance(v, int | float) for v in self.levels):
            numbers = np.asarray(self.levels, dtype=float)[np.nan_to_num(at).astype(int)]
            return np.where(missing, np.nan, numbers)
        labels = np.empty(len(self.levels), dtype=object)
        labels[:] = self.levels
        values = labels[np.nan_to_num(at).astype(int)]
        values[missing] = np.nan
        return values

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Log probability (n,) of the outcomes (0 where missing)."""
        import pandas as pd

        at = pd.Categorical(patients[self.column], categories=list(self.levels)).codes
        cumulative = self.cumulative(codes, arm, self.draw(None))
        edges = np.column_stack([np.zeros(len(arm)), cumulative, np.ones(len(arm))])
        chance = np.diff(edges, axis=1)[np.arange(len(arm)), np.maximum(at, 0)]
        return np.where(at < 0, 0.0, np.log(np.maximum(chance, 1e-4)))


def margins(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Proportional-odds cuts (L - 1,) and arm shifts (A,), the first 0, from counts (A, L)."""
    from scipy.optimize import minimize

    n_arms, n_levels = counts.shape
    share = (np.cumsum(counts.sum(axis=0))[:-1] + 0.5) / (counts.sum() + 1)
    start = np.log(share / (1 - share))

    def loss(theta: np.ndarray) -> float:
        cuts = _cuts(theta, n_levels)
        shifts = np.r_[0.0, theta[n_levels - 1 :]]
        cumulative = expit(cuts - shifts[:, None])
        edges = np.column_stack([np.zeros(n_arms), cumulative, np.ones(n_arms)])
        return -float((counts * np.log(np.maximum(np.diff(edges, axis=1), 1e-12))).sum())

    first = np.r_[start[0], np.log(np.maximum(np.diff(start), 1e-2)), np.zeros(n_arms - 1)]
    theta = minimize(loss, first, method="BFGS").x
    return _cuts(theta, n_levels), np.r_[0.0, theta[n_levels - 1 :]]


def small_sample_bias(counts: np.ndarray) -> np.ndarray:
    """Bias (A,) of each arm's log odds ratio when trials of this size are drawn at its estimate.

    The maximum-likelihood estimate lies too far from zero in small trials, by as much as a quarter
    of its error at 40 patients an arm; synthetic trials would add that bias to the real one's.
    """
    rng = np.random.Generator(np.random.Philox(71))
    sizes = counts.sum(axis=1).astype(int)
    shares = counts / counts.sum(axis=1, keepdims=True)
    levels = np.arange(counts.shape[1], dtype=float)
    out = np.zeros(len(counts))
    if sizes.sum() >= SMALL:
        return out

    def estimate(table: np.ndarray, a: int) -> float:
        values = np.concatenate([np.repeat(levels, table[k].astype(int)) for k in (0, a)])
        treated = np.repeat([False, True], [int(table[0].sum()), int(table[a].sum())])
        return log_cumulative_odds_ratio(values, treated)[0]

    drawn = [
        np.stack([rng.multinomial(n, p) for n, p in zip(sizes, shares)]) for _ in range(REPEATS)
    ]
    for a in range(1, len(counts)):
        found = np.array([estimate(table, a) for table in drawn])
        gap = np.nanmean(found) - estimate(counts, a)
        out[a] = gap if np.isfinite(gap) else 0.0
    return out


def fit(data: FitData, name: str) -> OrdinalModel:
    """Fit to an `Ordinal` endpoint.

    Raises:
        ValueError: an arm without any outcome, or a single level.
    """
    import pandas as pd

    endpoint = data.endpoint
    assert isinstance(endpoint, Ordinal)
    levels = endpoint.ordered_levels(data.patients)
    if len(levels) < 2:
        raise ValueError(f"column {endpoint.column!r} has a single level {list(levels)}")
    at = pd.Categorical(data.patients[endpoint.column], categories=list(levels)).codes.astype(int)
    seen = at >= 0
    counts = np.zeros((data.n_arms, len(levels)))
    np.add.at(counts, (data.arm[seen], at[seen]), 1)
    for a in range(data.n_arms):
        if counts[a].sum() == 0:
            label = data.schema.arms[a] if data.schema.arms else "the cohort"
            raise ValueError(f"arm {label!r} has no outcome in column {endpoint.column!r}")
    linear = LinearPart.empty(data.features, data.by, data.n_arms)
    design = linear.design(data.codes, data.arm)[seen]
    arms = arm_indicators(data.arm[seen], data.n_arms)[:, 1:]
    ridge = np.r_[np.full(arms.shape[1], 1e-6), linear.logit_ridge()]
    k = arms.shape[1]
    used, dense = np.unique(at[seen], return_inverse=True)
    coefficients, covariance = np.zeros(design.shape[1]), np.zeros((design.shape[1],) * 2)
    if design.shape[1] and len(used) > 1:
        _, beta, full = fit_proportional_odds(dense, np.hstack([arms, design]), len(used), ridge)
        coefficients, covariance = beta[k:], full[k:, k:]
    return OrdinalModel(
        name,
        endpoint.column,
        tuple(levels),
        linear.with_fits([(coefficients, covariance)]),
        counts,
        gap_counts(~seen, data.arm, data.n_arms),
        data.reference,
        data.features.notes,
        nudge=None if data.options.get("held_out") else -small_sample_bias(counts),
    )
