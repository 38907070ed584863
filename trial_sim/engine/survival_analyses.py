"""Batched tests of time-to-event endpoints at a look, over the kernels of ``trial_sim.statistics``.

Each analysis has ``evaluate(batch, treated, look, active)``: the z statistic of control against
the arm ``treated`` in every active trial, positive where the arm does better, and the effect with
its standard error where they are a by-product; ``estimate`` (same arguments) is for where not.
"""

# mypy takes a compiled function called with unpacked arrays for one of no arguments.
# mypy: disable-error-code="call-arg"

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.user_warnings import warn_user
from trial_sim.engine.analysis import Evaluation
from trial_sim.engine.batch import TrialBatch
from trial_sim.engine.logrank_scan import logrank_looks, standardised
from trial_sim.engine.survival_at_looks import (
    cox_looks,
    curve_looks,
    max_combo_tails,
    stratified_looks,
    weighted_looks,
    weighted_score_looks,
)
from trial_sim.statistics import kernels

# Arms and events are packed into one int8: 2 * 63 + 1 = 127.
MAX_ARMS = 63

_WEIGHTS = {
    "logrank": kernels.LOGRANK,
    "fleming_harrington": kernels.FLEMING_HARRINGTON,
    "magirr_burman": kernels.MAGIRR_BURMAN,
    "modestly_weighted": kernels.MODESTLY_WEIGHTED,
}


def _arrays(batch: TrialBatch) -> Any:
    return (*batch.sorted, batch.enrolment, batch.exit, batch.arm)


def _unfilled(batch: TrialBatch) -> np.ndarray:
    return np.full(batch.n_trials, np.nan)


def logrank_scores(
    batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Log-rank score (expected minus observed events), its variance, log hazard ratio and its
    standard error of every active trial; score and variance are 0 elsewhere, the others NaN."""
    score, variance = np.zeros(batch.n_trials), np.zeros(batch.n_trials)
    beta, se = _unfilled(batch), _unfilled(batch)
    time, exit_, code, _ = batch.sorted
    logrank_looks(
        time, exit_, code, batch.tied, batch.enrolment, batch.exit, batch.arm, treated, look,
        active, score, variance, beta, se,
    )  # fmt: skip
    return score, variance, beta, se


class Logrank:
    """The plain log-rank test, with the Cox estimate, in one scan a look."""

    scale = "log hazard ratio"
    direction = -1.0

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, log hazard ratio, standard error."""
        score, variance, beta, se = logrank_scores(batch, treated, look, active)
        return standardised(score, variance), beta, se

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log hazard ratio of the Cox model and its standard error."""
        _, beta, se = Logrank.evaluate(self, batch, treated, look, active)
        assert beta is not None and se is not None
        return beta, se


class StratifiedLogrank(Logrank):
    """The log-rank test stratified by all strata, with the stratified Cox estimate."""

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, log hazard ratio, standard error."""
        z, beta, se = np.zeros(batch.n_trials), _unfilled(batch), _unfilled(batch)
        stratified_looks(
            *_arrays(batch), batch.tied, batch.stratum, batch.n_strata, treated, look, active,
            z, beta, se,
        )  # fmt: skip
        return z, beta, se


@dataclass(frozen=True)
class WeightedLogrank(Logrank):
    """Weighted and stratified log-rank tests; several weights make a MaxCombo.

    Attributes:
        weights: (k, 3) float64 rows (kind, first, second parameter). stratified: by all strata.
    """

    weights: np.ndarray
    stratified: bool

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z; the effect is left to :meth:`estimate`."""
        z = np.zeros(batch.n_trials)
        n_strata = batch.n_strata if self.stratified else 1
        weighted_looks(
            *_arrays(batch), batch.stratum, n_strata, self.weights, kernels.COARSE_PATH,
            treated, look, active, z,
        )  # fmt: skip
        if len(self.weights) > 1:
            from scipy.special import ndtri

            z[active] = -ndtri(z[active])
        return z, None, None

    def scores(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores (n_trials, k) by the weights, and their covariance; 0 elsewhere."""
        n, k = batch.n_trials, len(self.weights)
        score, covariance = np.zeros((n, k)), np.zeros((n, k, k))
        n_strata = batch.n_strata if self.stratified else 1
        weighted_score_looks(
            *_arrays(batch), batch.stratum, n_strata, self.weights, treated, look, active, score,
            covariance,
        )  # fmt: skip
        return score, covariance

    def z_of(self, score: np.ndarray, covariance: np.ndarray, active: np.ndarray) -> np.ndarray:
        """z (n_trials,) of scores, such as their growth from one look to the next; of several
        weights that of the exact p-value of the largest."""
        from scipy.special import ndtri

        variance = np.einsum("tkk->tk", covariance)
        with np.errstate(divide="ignore", invalid="ignore"):
            if score.shape[1] == 1:
                z = score[:, 0] / np.sqrt(variance[:, 0])
                return np.where(variance[:, 0] > 1e-12, z, 0.0)
            kept = variance > 1e-12
            scale = np.where(kept, np.sqrt(np.maximum(variance, 1e-300)), 1.0)
            r = covariance / (scale[:, :, None] * scale[:, None, :])
        r = np.where(kept[:, :, None] & kept[:, None, :], r, 0.0)
        at = np.arange(r.shape[1])
        r[:, at, at] = np.where(kept, 1.0, 0.0)
        # a growth of estimated covariances may be none of any variables by a hair: mended
        least = np.linalg.eigvalsh(r + np.einsum("tk,kl->tkl", ~kept, np.eye(len(at))))[:, 0]
        mend = np.maximum(1e-9 - least, 0.0)[:, None, None]
        off = r / (1.0 + mend)
        off[:, at, at] = r[:, at, at]
        p = np.ones(len(score))
        max_combo_tails(np.where(kept, score / scale, 0.0), off, kernels.COARSE_PATH, active, p)
        return np.where(active, -ndtri(np.clip(p, 1e-300, 1.0)), 0.0)

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log hazard ratio of the (stratified) Cox model and its standard error."""
        if self.stratified:
            _, beta, se = StratifiedLogrank().evaluate(batch, treated, look, active)
            assert beta is not None and se is not None
            return beta, se
        return super().estimate(batch, treated, look, active)


@dataclass(frozen=True)
class Cox(Logrank):
    """Wald test of the Cox model.

    Attributes:
        adjust: covariates of the scenario. stratified: by all strata.
    """

    adjust: tuple[str, ...]
    stratified: bool

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, log hazard ratio, standard error."""
        beta, se = self.estimate(batch, treated, look, active)
        return np.nan_to_num(-beta / se), beta, se

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log hazard ratio and its standard error."""
        if not self.adjust and not self.stratified:
            return super().estimate(batch, treated, look, active)
        covariates = covariate_array(batch, self.adjust)
        beta, se = _unfilled(batch), _unfilled(batch)
        n_strata = batch.n_strata if self.stratified else 1
        stratum = batch.stratum if self.stratified else np.zeros_like(batch.stratum)
        cox_looks(*_arrays(batch), stratum, n_strata, covariates, treated, look, active, beta, se)
        return beta, se


@dataclass(frozen=True)
class CurveDifference:
    """Difference of restricted means, or of survival at a month.

    Attributes:
        tau: months. milestone: survival at ``tau`` instead of the mean up to it.
        stratified: the differences of the strata, weighted by their patients.
    """

    tau: float
    milestone: bool
    stratified: bool = False
    direction = 1.0

    @property
    def scale(self) -> str:
        """Name of the estimate."""
        return "survival difference" if self.milestone else "RMST difference"

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, difference, standard error."""
        difference, se = self.estimate(batch, treated, look, active)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = difference / se
        self._check_reach(np.isnan(se) & active, look, active)
        return np.where(se > 0, z, 0.0), difference, se

    def _check_reach(self, unknown: np.ndarray, look: np.ndarray, active: np.ndarray) -> None:
        """Refuse a look that comes before ``tau`` months have passed in every trial; say where
        single trials have no patient at risk that long."""
        if not unknown.any():
            return
        name = "milestone" if self.milestone else "RMST"
        if (look[active] < self.tau).all():
            raise ValueError(
                f"{name} at {self.tau:g} months lies beyond the follow-up: the look comes by month "
                f"{look[active].max():.1f}, so that no patient is followed that long; choose a "
                "smaller tau or later looks"
            )
        warn_user(
            f"{name} at {self.tau:g} months lies beyond the follow-up of an arm in simulated "
            "trials; there it cannot be estimated, and they count as not significant"
        )

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Difference and its standard error."""
        difference, se = _unfilled(batch), _unfilled(batch)
        curve_looks(
            *_arrays(batch), batch.stratum, batch.n_strata if self.stratified else 1, self.tau,
            self.milestone, treated, look, active, difference, se,
        )  # fmt: skip
        return difference, se


def covariate_array(batch: TrialBatch, names: tuple[str, ...]) -> np.ndarray:
    """The named covariates, (p, n_trials, n_patients) float64.

    A factor of the design is an indicator of each of its levels but the most frequent one, and so
    is a covariate of which the scenario gives indicators (``site[2]``).

    Raises:
        ValueError: for a name that neither the scenario nor the design's strata have.
    """
    columns = []
    known = {*batch.factors, *batch.outcome.covariates}
    for name in names:
        if name == "baseline" and batch.outcome.baseline is not None:
            columns.append(batch.outcome.baseline)
        elif name in batch.outcome.covariates:
            columns.append(np.asarray(batch.outcome.covariates[name], dtype=float))
        elif name in batch.factors:
            shares = list(batch.design.strata[name].values())
            usual = 0 if len(shares) == 2 else int(np.argmax(shares))
            others = [code for code in range(len(shares)) if code != usual]
            columns += [(batch.factors[name] == code).astype(float) for code in others]
        elif levels := [k for k in batch.outcome.covariates if k.startswith(f"{name}[")]:
            columns += [np.asarray(batch.outcome.covariates[k], dtype=float) for k in levels]
        else:
            raise ValueError(
                f"the scenario has no covariate {name!r} to adjust for; it has {sorted(known)}"
            )
    return np.array(columns, dtype=float).reshape(-1, *batch.arm.shape)


def _weight_rows(weights: tuple | list) -> np.ndarray:
    rows = np.zeros((len(weights), 3))
    for row, (name, *parameters) in zip(rows, weights):
        row[0] = _WEIGHTS[name]
        row[1 : 1 + len(parameters)] = parameters
    return rows
