"""Batched tests of endpoints that are not times: means, proportions, counts, ranks, profiles.

Each class has ``evaluate`` as :class:`trial_sim.survival_analyses.Analysis` asks.
Patients are analysed once their response is known: ``readout`` has passed since enrolment, and they
have not dropped out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.design import Design
from trial_sim.response_looks import (
    linear_looks,
    lwyy_looks,
    proportion_z,
    rank_looks,
    table_looks,
)
from trial_sim.statistics.kernels import negative_binomial_batch
from trial_sim.survival_analyses import Evaluation, covariate_array
from trial_sim.trial_batch import TrialBatch

logger = logging.getLogger(__name__)
Effect = tuple[np.ndarray, np.ndarray]


def known_by(batch: TrialBatch, look: np.ndarray) -> np.ndarray:
    """Whose response is known by each trial's look, (n_trials, n_patients) bool."""
    return batch.calendar_event <= look[:, None]


def _empty(batch: TrialBatch) -> Effect:
    return np.full(batch.n_trials, np.nan), np.full(batch.n_trials, np.nan)


class _Wald:
    """z = effect over standard error, signed so that positive favours treatment."""

    direction: float

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Effect:
        """Effect and standard error."""
        raise NotImplementedError

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, effect, standard error."""
        effect, se = self.estimate(batch, treated, look, active)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = self.direction * effect / se
        return np.where(np.isfinite(z), z, 0.0), effect, se


@dataclass(frozen=True)
class MeanDifference:
    """Student's t test or ANCOVA; z is the normal quantile of the t test's p-value.

    Attributes:
        adjust: covariates of the ANCOVA. direction: 1 if higher is better, else -1.
    """

    adjust: tuple[str, ...]
    direction: float
    scale = "mean difference"

    def _fit(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        effect, se = _empty(batch)
        df = np.ones(batch.n_trials)
        covariates = covariate_array(batch, self.adjust)
        response = final_response(batch)
        known = known_by(batch, look) & np.isfinite(response)
        linear_looks(response, known, batch.arm, treated, covariates, active, effect, se, df)
        return effect, se, df

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, difference, standard error."""
        effect, se, df = self._fit(batch, treated, look, active)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = t_to_z(self.direction * effect / se, df)
        return z, effect, se


def t_to_z(t: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Normal quantile with the same tail probability as a t statistic; 0 where it is NaN."""
    from scipy.special import ndtri, stdtr

    z = -np.sign(t) * ndtri(stdtr(df, -np.abs(t)))
    return np.where(np.isnan(z), 0.0, z)


def final_response(batch: TrialBatch) -> np.ndarray:
    """The response, or the last visit of repeated measurements, (n_trials, n_patients)."""
    if batch.outcome.response is not None:
        return batch.outcome.response
    assert batch.outcome.visits is not None
    return np.ascontiguousarray(batch.outcome.visits[:, :, -1])


@dataclass(frozen=True)
class Proportions:
    """Tests of two proportions.

    Attributes:
        method: ``"chi_square"``, ``"fisher"``, ``"farrington_manning"`` or ``"cmh"``.
        margin: of Farrington–Manning. direction: 1 if a response is good, else -1.
    """

    method: str
    margin: float
    direction: float
    scale = "risk difference"

    def _tables(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> np.ndarray:
        table = np.zeros((batch.n_trials, batch.n_strata, 4))
        response = final_response(batch)
        response = response if self.direction > 0 else 1.0 - response
        table_looks(
            response, known_by(batch, look), batch.arm, treated, batch.stratum, active, table
        )
        return table

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, risk difference, standard error."""
        from scipy.special import ndtri

        z = np.zeros(batch.n_trials)
        kind = ("chi_square", "fisher", "farrington_manning", "cmh").index(self.method)
        tables = self._tables(batch, treated, look, active)
        proportion_z(tables, kind, self.margin, z)
        if kind == 1:
            z = -ndtri(np.minimum(z, 1.0))
        x0, n0, x1, n1 = tables.sum(axis=1).T
        with np.errstate(divide="ignore", invalid="ignore"):
            p0, p1 = x0 / n0, x1 / n1
            se = np.sqrt(p0 * (1 - p0) / n0 + p1 * (1 - p1) / n1)
        return np.where(np.isnan(z), 0.0, z), self.direction * (p1 - p0), se


@dataclass(frozen=True)
class Ranks(_Wald):
    """Wilcoxon–Mann–Whitney, normal with ties.

    Attributes:
        direction: 1 if higher is better, else -1.
    """

    direction: float
    scale = "probability index minus 1/2"

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Effect:
        effect, se = _empty(batch)
        rank_looks(
            final_response(batch), known_by(batch, look), batch.arm, treated, active, effect, se
        )
        return effect, se


@dataclass(frozen=True)
class CountRatio(_Wald):
    """Negative binomial regression of counts; fewer are better unless the design says otherwise.

    Attributes:
        direction: 1 if more events are better, else -1.
    """

    direction: float
    scale = "log rate ratio"

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Effect:
        effect, se = _empty(batch)
        response, known = final_response(batch), known_by(batch, look)
        for t in np.flatnonzero(active):
            chosen = known[t] & ((batch.arm[t] == 0) | (batch.arm[t] == treated))
            group = (batch.arm[t][chosen] == treated).astype(np.int64)
            if 0 < group.sum() < len(group):
                count = response[t][chosen][None, :]
                fit = negative_binomial_batch(count, np.ones_like(count), group[None, :])[0]
                if fit[3]:
                    effect[t], se[t] = fit[0], fit[1]
        return effect, se


@dataclass(frozen=True)
class RateRatio(_Wald):
    """Recurrent events by LWYY."""

    scale = "log rate ratio"
    direction = -1.0

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Effect:
        effect, se = _empty(batch)
        lwyy_looks(
            batch.outcome.recurrences, batch.time, batch.enrolment, batch.arm, treated, look,
            active, effect, se,
        )  # fmt: skip
        return effect, se


@dataclass(frozen=True)
class PerTrial:
    """A test that fits each trial by itself in Python: exact, but slow.

    Attributes:
        fit: function of (batch, trial, treated, month) that returns (z, effect, se).
        scale, direction: as the other analyses.
    """

    fit: Callable[[TrialBatch, int, int, float], tuple[float, float, float]]
    scale: str
    direction: float

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, effect, standard error."""
        out = np.full((batch.n_trials, 3), np.nan)
        out[:, 0] = 0.0
        for t in np.flatnonzero(active):
            try:
                out[t] = self.fit(batch, int(t), treated, float(look[t]))
            except ValueError as error:  # too little data for the model: no evidence, z = 0
                logger.debug("trial %d cannot be analysed: %s", batch.streams.trials[t], error)
        return out[:, 0], out[:, 1], out[:, 2]


def _fit_gray(
    batch: TrialBatch, trial: int, treated: int, month: float
) -> tuple[float, float, float]:
    """Gray's test as a signed z; it estimates no effect."""
    from trial_sim.statistics.competing_risks import gray_test

    arm, enrolment = batch.arm[trial], batch.enrolment[trial]
    chosen = (enrolment <= month) & ((arm == 0) | (arm == treated))
    ended = batch.exit[trial] <= month
    time = np.where(ended, batch.time[trial], month - enrolment)[chosen]
    assert batch.outcome.cause is not None
    assert batch.outcome.time is not None
    failed = ended & (batch.outcome.time[trial] <= batch.time[trial])
    cause = np.where(failed, batch.outcome.cause[trial], 0)[chosen]
    group = (arm[chosen] == treated).astype(int)
    if not (cause == 1).any() or group.min() == group.max():
        return 0.0, np.nan, np.nan
    test = gray_test(time, cause, group)
    return float(test.z), np.nan, np.nan


@dataclass(frozen=True)
class _MixedModel:
    """Fit of an MMRM to one trial at one look.

    Attributes:
        direction: 1 if higher is better.
    """

    direction: float

    def __call__(
        self, batch: TrialBatch, trial: int, treated: int, month: float
    ) -> tuple[float, float, float]:
        from trial_sim.statistics.mixed_models import mmrm

        visits = batch.outcome.visits
        assert visits is not None and batch.outcome.baseline is not None
        # A scenario that does not say when its visits are has them all at the readout.
        months = np.full(visits.shape[2], batch.design.readout)
        if batch.outcome.visit_months:
            months = np.asarray(batch.outcome.visit_months)
        arm, enrolment = batch.arm[trial], batch.enrolment[trial]
        chosen = (arm == 0) | (arm == treated)
        seen = enrolment[:, None] + months <= np.minimum(batch.exit[trial], month)[:, None] + 1e-9
        seen &= np.isfinite(visits[trial]) & chosen[:, None]
        who, visit = np.nonzero(seen)
        group = (arm[who] == treated).astype(int)
        final = group[visit == len(months) - 1]
        if len(final) < 4 or final.min() == final.max():
            return 0.0, np.nan, np.nan
        fitted = mmrm(
            visits[trial][who, visit],
            who,
            visit,
            group,
            covariates=batch.outcome.baseline[trial][who],
            higher_is_better=self.direction > 0,
        )
        z = t_to_z(np.array([self.direction * fitted.estimate / fitted.se]), np.array([fitted.df]))
        return float(z[0]), float(fitted.estimate), float(fitted.se)


def response_analysis(design: Design, kind: str) -> Any:
    """The analysis that a design's test names, for endpoints that are not times."""
    name, parameters = design.test_name, design.test_parameters
    direction = 1.0 if design.better == "higher" else -1.0
    if name in ("t_test", "ancova"):
        return MeanDifference(_adjusted(design) if name == "ancova" else (), direction)
    if name in ("chi_square", "fisher", "farrington_manning", "cmh"):
        margin = float(parameters[0]) if parameters else 0.0
        return Proportions(name, margin, direction)
    if name == "wilcoxon":
        return Ranks(direction)
    if name == "negative_binomial":
        return CountRatio(-1.0 if design.better == "higher" else 1.0)
    if name == "lwyy":
        return RateRatio()
    if name == "gray":
        return PerTrial(_fit_gray, "not estimated", -1.0)
    return PerTrial(_MixedModel(direction), "mean difference at the last visit", direction)


def _adjusted(design: Design) -> tuple[str, ...]:
    return design.adjust or ("baseline",)
