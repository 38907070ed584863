"""Strata of an ongoing trial: read with its patients, and what they do to its hazards and rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trial_sim.base.records import nearest

if TYPE_CHECKING:
    import pandas as pd

    from trial_sim.design.design import Design

# Strata differ by a log hazard ratio (or log odds ratio) of about one, unless the data say more:
# the standard deviation of a normal prior, which keeps a stratum without events finite.
PRIOR_SD = 1.0


def stratified_test(design: Design) -> bool:
    """Whether the test of a design looks at the strata."""
    return bool(design.strata) and (design.stratified or design.test_name == "cmh")


def read_factors(table: pd.DataFrame, design: Design) -> dict[str, np.ndarray]:
    """Codes of the design's stratification factors, (n,) int8 each, in the order of the table.

    Empty where a factor is missing and the test does not need it.

    Raises:
        ValueError: if a stratified test lacks a factor, or a patient has an unknown level.
    """
    missing = [name for name in design.strata if name not in table]
    if missing and "arm" in table and stratified_test(design):
        raise ValueError(
            f"the test is stratified: patients need a column {missing[0]!r} with the levels "
            f"{list(design.strata[missing[0]])}"
        )
    if missing:
        return {}
    factors = {}
    for name, shares in design.strata.items():
        levels = [str(level) for level in shares]
        values = table[name].astype(str)
        for value in values.unique():
            if value not in levels:
                raise ValueError(f"{name} has an unknown level {value!r}{nearest(value, levels)}")
        factors[name] = values.map({v: k for k, v in enumerate(levels)}).to_numpy(dtype=np.int8)
    return factors


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


def strata_of(factors: Any, design: Design) -> np.ndarray:
    """Joint stratum of each patient from factor codes of any shape, int64."""
    from trial_sim.design.randomization import joint_stratum

    n_levels = np.array([len(levels) for levels in design.strata.values()], dtype=np.int64)
    return joint_stratum(np.array([factors[name] for name in design.strata]), n_levels)
