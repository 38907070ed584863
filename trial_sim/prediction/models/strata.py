"""Rates of a response by arm and stratum, for trials whose test is stratified."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trial_sim.prediction.models.hazard_ratios import PRIOR_SD


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
