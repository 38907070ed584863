"""Strata of an ongoing trial: read with its patients, and what they do to its hazards and rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    pass

# Strata differ by a log hazard ratio (or log odds ratio) of about one, unless the data say more:
# the standard deviation of a normal prior, which keeps a stratum without events finite.
PRIOR_SD = 1.0


@dataclass(frozen=True)
class StratumEffects:
    """Log hazard ratios of strata that all arms share.

    Attributes:
        estimate: (n_strata,) log hazard ratios, about 0 in the middle. covariance: of them.
    """

    estimate: np.ndarray
    covariance: np.ndarray

    def draw(self, n_draws: int, random: np.random.Generator) -> np.ndarray:
        """Draws from the normal approximation, (n_draws, n_strata)."""
        return random.multivariate_normal(self.estimate, self.covariance, n_draws)


def stratum_effects(exposure: np.ndarray, events: np.ndarray) -> StratumEffects:
    """Log hazard ratios of strata where each cell (arm and piece of time) has a rate of its own.

    Args:
        exposure: (n_cells, n_strata) months at risk. events: the same, events.

    The rates are maximised out of the Poisson likelihood, which leaves a concave function of the
    log ratios; with a normal prior of ``PRIOR_SD`` Newton's method finds its mode.
    """
    n_strata = exposure.shape[1]
    total, deaths = events.sum(axis=1), events.sum(axis=0)
    used = exposure.sum(axis=1) > 0
    total, exposure = total[used], exposure[used]
    effect = np.zeros(n_strata)
    precision = np.eye(n_strata) / PRIOR_SD**2
    for _ in range(100):
        weighted = exposure * np.exp(effect)
        share = weighted / weighted.sum(axis=1, keepdims=True)
        gradient = deaths - total @ share - effect / PRIOR_SD**2
        spread = np.diag(total @ share) - (share.T * total) @ share
        step = np.linalg.solve(spread + precision, gradient)
        effect = effect + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-10:
            break
    return StratumEffects(effect, np.linalg.inv(spread + precision))


@dataclass(frozen=True)
class CellRates:
    """Probabilities of a response by arm and stratum, additive on the logit scale.

    Attributes:
        design: (n_cells, p) indicators of arm and stratum, cells in the order arm by stratum.
        estimate: (p,) logits. covariance: (p, p).
    """

    design: np.ndarray
    estimate: np.ndarray
    covariance: np.ndarray

    def rates(self, coefficients: np.ndarray) -> np.ndarray:
        """Probabilities of the cells (..., n_cells) for coefficients (..., p)."""
        return np.asarray(1.0 / (1.0 + np.exp(-coefficients @ self.design.T)))

    def draw(self, n_draws: int, random: np.random.Generator) -> np.ndarray:
        """Probabilities drawn from the normal approximation, (n_draws, n_cells)."""
        drawn = random.multivariate_normal(self.estimate, self.covariance, n_draws)
        return self.rates(drawn)


def cell_rates(hits: np.ndarray, counts: np.ndarray) -> CellRates:
    """Fit the rates of (n_arms, n_strata) cells: ``hits`` responses of ``counts`` patients.

    Normal priors: of standard deviation 2.5 on the logit of an arm, ``PRIOR_SD`` on a stratum's.
    """
    n_arms, n_strata = hits.shape
    arm, stratum = np.divmod(np.arange(hits.size), n_strata)
    design = np.column_stack(
        [arm[:, None] == np.arange(n_arms), stratum[:, None] == np.arange(n_strata)]
    ).astype(float)
    precision = np.diag(np.repeat([1 / 2.5**2, 1 / PRIOR_SD**2], [n_arms, n_strata]))
    y, n = hits.ravel(), counts.ravel()
    beta = np.zeros(design.shape[1])
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-design @ beta))
        information = design.T @ (design * (n * p * (1 - p))[:, None]) + precision
        step = np.linalg.solve(information, design.T @ (y - n * p) - precision @ beta)
        beta = beta + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-10:
            break
    return CellRates(design, beta, np.linalg.inv(information))
