"""Batched tests of endpoints that are not times: means, proportions, counts, ranks, profiles.

Each class has ``evaluate`` as :class:`trial_sim.engine.analysis.Analysis` asks.
Patients are analysed once their response is known: ``readout`` has passed since enrolment, and they
have not dropped out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trial_sim.engine.analysis import Evaluation
from trial_sim.engine.batch import TrialBatch
from trial_sim.engine.models_at_looks import count_ratio_looks, gray_looks, mmrm_looks
from trial_sim.engine.responses_at_looks import (
    linear_looks,
    lwyy_looks,
    proportion_z,
    rank_looks,
    table_looks,
    van_elteren_looks,
)
from trial_sim.engine.survival_analyses import covariate_array

Effect = tuple[np.ndarray, np.ndarray]

MOST_VISITS = 16  # the kernel keeps the visits that a patient has as bits


def known_by(batch: TrialBatch, look: np.ndarray) -> np.ndarray:
    """Whose response is known by each trial's look, (n_trials, n_patients) bool."""
    return batch.calendar_event <= look[:, None]


def _empty(batch: TrialBatch) -> Effect:
    return np.full(batch.n_trials, np.nan), np.full(batch.n_trials, np.nan)


def _strata(batch: TrialBatch, stratified: bool) -> tuple[np.ndarray, int]:
    """Joint strata and their number, or one stratum for all."""
    return batch.stratum, batch.n_strata if stratified else 1


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
        stratified: a level for each stratum. null: the difference under the null hypothesis.
    """

    adjust: tuple[str, ...]
    direction: float
    stratified: bool = False
    null: float = 0.0
    scale = "mean difference"

    def _fit(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        effect, se = _empty(batch)
        df = np.ones(batch.n_trials)
        covariates = covariate_array(batch, self.adjust)
        response = final_response(batch)
        known = known_by(batch, look) & np.isfinite(response)
        linear_looks(
            response, known, batch.arm, treated, covariates, *_strata(batch, self.stratified),
            active, effect, se, df,
        )  # fmt: skip
        return effect, se, df

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, difference, standard error."""
        effect, se, df = self._fit(batch, treated, look, active)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = t_to_z(self.direction * (effect - self.null) / se, df)
        return z, effect, se


@dataclass(frozen=True)
class WelchDifference:
    """Welch's t test of two means whose standard deviations differ, with Satterthwaite's degrees of
    freedom; z is the normal quantile of its p-value.

    Attributes:
        direction: 1 if higher is better, else -1. null: the difference under the null hypothesis.
    """

    direction: float
    null: float = 0.0
    scale = "mean difference"

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, difference, standard error."""
        response = final_response(batch)
        known = known_by(batch, look) & np.isfinite(response)
        means, squares, below = [], [], []
        with np.errstate(divide="ignore", invalid="ignore"):
            for code in (0, treated):
                mine = known & (batch.arm == code)
                n = mine.sum(axis=1)
                mean = np.where(mine, response, 0.0).sum(axis=1) / n
                away = np.where(mine, response - mean[:, None], 0.0)
                square = (away**2).sum(axis=1) / (n - 1) / n
                means.append(mean)
                squares.append(square)
                below.append(square**2 / (n - 1))
            effect, variance = means[1] - means[0], squares[0] + squares[1]
            se, df = np.sqrt(variance), variance**2 / (below[0] + below[1])
            z = t_to_z(self.direction * (effect - self.null) / se, df)
        return z, effect, se


@dataclass(frozen=True)
class KnownSpread(_Wald):
    """Difference of means whose standard deviation is known, as formulas of planning take it.

    Attributes:
        sd: standard deviation in both arms. direction: 1 if higher is better, else -1.
    """

    sd: float
    direction: float
    scale = "mean difference"

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Effect:
        """Difference of means, and its error for the spread that is taken as known."""
        response = final_response(batch)
        known = known_by(batch, look) & np.isfinite(response)
        means, rest = [], 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            for code in (0, treated):
                mine = known & (batch.arm == code)
                n = mine.sum(axis=1)
                means.append(np.where(mine, response, 0.0).sum(axis=1) / n)
                rest = rest + 1.0 / n
        return means[1] - means[0], self.sd * np.sqrt(rest)


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
        by_stratum = self.method == "cmh"
        table = np.zeros((batch.n_trials, batch.n_strata if by_stratum else 1, 4))
        stratum = batch.stratum if by_stratum else np.zeros_like(batch.stratum)
        response = final_response(batch)
        response = response if self.direction > 0 else 1.0 - response
        table_looks(response, known_by(batch, look), batch.arm, treated, stratum, active, table)
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
    """Wilcoxon–Mann–Whitney, normal with ties; stratified, van Elteren's test.

    Attributes:
        direction: 1 if higher is better, else -1. stratified: by all strata.
    """

    direction: float
    stratified: bool = False
    scale = "probability index minus 1/2"

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Effect:
        """Probability index less 1/2, and its standard error."""
        effect, se = _empty(batch)
        data = final_response(batch), known_by(batch, look), batch.arm, treated
        if self.stratified:
            van_elteren_looks(*data, *_strata(batch, True), active, effect, se)
        else:
            rank_looks(*data, active, effect, se)
        return effect, se


@dataclass(frozen=True)
class CountRatio(_Wald):
    """Negative binomial regression of counts; fewer are better unless the design says otherwise.

    Attributes:
        direction: 1 if more events are better, else -1. adjust: covariates. stratified: a rate for
            each stratum.
    """

    direction: float
    adjust: tuple[str, ...] = ()
    stratified: bool = False
    scale = "log rate ratio"

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Effect:
        """Log rate ratio of counts, and its standard error."""
        effect, se = _empty(batch)
        count_ratio_looks(
            final_response(batch), known_by(batch, look), batch.arm, treated,
            covariate_array(batch, self.adjust), *_strata(batch, self.stratified), active, effect,
            se,
        )  # fmt: skip
        return effect, se


@dataclass(frozen=True)
class RateRatio(_Wald):
    """Recurrent events by LWYY."""

    scale = "log rate ratio"
    direction = -1.0

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Effect:
        """Log rate ratio of repeated events, and its robust standard error."""
        effect, se = _empty(batch)
        lwyy_looks(
            batch.outcome.recurrences, batch.time, batch.enrolment, batch.arm, treated, look,
            active, effect, se,
        )  # fmt: skip
        return effect, se


@dataclass(frozen=True)
class Gray:
    """Gray's test of the cumulative incidence of cause 1; it estimates no effect."""

    scale = "not estimated"
    direction = -1.0

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, positive where the arm has the lower incidence; effect and standard error NaN."""
        assert batch.outcome.cause is not None and batch.outcome.time is not None
        z = np.zeros(batch.n_trials)
        gray_looks(
            *batch.sorted, batch.enrolment, batch.exit, batch.arm, batch.time, batch.outcome.time,
            batch.outcome.cause, treated, look, active, z,
        )  # fmt: skip
        return z, *_empty(batch)


@dataclass(frozen=True)
class MixedModel:
    """MMRM of repeated measurements: unstructured covariance, baseline by visit, REML.

    z is the normal quantile of the t test with Satterthwaite's degrees of freedom.

    Attributes:
        direction: 1 if higher is better, else -1. adjust: covariates beside the baseline.
        stratified: levels of each visit for each stratum. null: the difference under the null
            hypothesis.
    """

    direction: float
    adjust: tuple[str, ...] = ()
    stratified: bool = False
    null: float = 0.0
    scale = "mean difference at the last visit"

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, difference at the last visit, standard error."""
        visits, baseline = batch.outcome.visits, batch.outcome.baseline
        assert visits is not None and baseline is not None
        if visits.shape[2] > MOST_VISITS:
            raise ValueError(
                f"an MMRM in simulated trials takes up to {MOST_VISITS} visits, the scenario has "
                f"{visits.shape[2]}"
            )
        # A scenario that does not say when its visits are has them all at the readout.
        months = np.full(visits.shape[2], float(batch.design.readout))
        if batch.outcome.visit_months:
            months = np.asarray(batch.outcome.visit_months, dtype=float)
        effect, se = _empty(batch)
        df = np.ones(batch.n_trials)
        mmrm_looks(
            np.ascontiguousarray(visits), months, baseline, covariate_array(batch, self.adjust),
            *_strata(batch, self.stratified), batch.enrolment, batch.exit, batch.arm, treated,
            look, active, effect, se, df,
        )  # fmt: skip
        with np.errstate(divide="ignore", invalid="ignore"):
            z = t_to_z(self.direction * (effect - self.null) / se, df)
        return z, effect, se
