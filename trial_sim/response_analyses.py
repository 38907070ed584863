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

import numba as nb
import numpy as np

from trial_sim.design import Design
from trial_sim.statistics.kernels import (
    farrington_manning_z,
    fisher_p,
    linear_model,
    lwyy,
    negative_binomial_batch,
    pooled_z,
)
from trial_sim.survival_analyses import Evaluation, covariate_array
from trial_sim.trial_batch import TrialBatch

logger = logging.getLogger(__name__)
Effect = tuple[np.ndarray, np.ndarray]


@nb.njit(nogil=True, cache=True)
def _linear_looks(response, known, arm, treated, covariates, active, effect, se, df):
    """Difference of means, adjusted for ``covariates`` (p, n_trials, n), by least squares."""
    n_trials, n = response.shape
    p = covariates.shape[0]
    for t in range(n_trials):
        if not active[t]:
            continue
        y = np.empty(n)
        x = np.empty((n, 2 + p))
        m = 0
        ones = 0
        for i in range(n):
            if known[t, i] and (arm[t, i] == 0 or arm[t, i] == treated):
                y[m] = response[t, i]
                x[m, 0] = arm[t, i] == treated
                x[m, 1] = 1.0
                for c in range(p):
                    x[m, 2 + c] = covariates[c, t, i]
                ones += arm[t, i] == treated
                m += 1
        df[t] = m - 2 - p
        if ones < 1 or m - ones < 1 or df[t] < 1:
            effect[t] = np.nan
            se[t] = np.nan
        else:
            effect[t], se[t] = linear_model(y[:m], x[:m])


@nb.njit(nogil=True, cache=True)
def _table_looks(response, known, arm, treated, stratum, active, table):
    """Counts (x0, n0, x1, n1) of each stratum: table (n_trials, n_strata, 4)."""
    n_trials, n = response.shape
    for t in range(n_trials):
        if not active[t]:
            continue
        table[t, :, :] = 0.0
        for i in range(n):
            if known[t, i] and (arm[t, i] == 0 or arm[t, i] == treated):
                g = 2 * np.int64(arm[t, i] == treated)
                table[t, stratum[t, i], g] += response[t, i]
                table[t, stratum[t, i], g + 1] += 1.0


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _proportion_z(table, kind, margin, z):
    """z of control against treated from tables (n_trials, n_strata, 4); Fisher's p for kind 1."""
    for t in range(table.shape[0]):
        x0 = table[t, :, 0].sum()
        n0 = table[t, :, 1].sum()
        x1 = table[t, :, 2].sum()
        n1 = table[t, :, 3].sum()
        if n0 == 0.0 or n1 == 0.0:
            z[t] = 1.0 if kind == 1 else 0.0
        elif kind == 0:
            z[t] = pooled_z(x0, n0, x1, n1)
        elif kind == 1:
            z[t] = fisher_p(x0, n0, x1, n1)
        elif kind == 2:
            z[t] = farrington_manning_z(x0, n0, x1, n1, margin)
        else:
            total = 0.0
            variance = 0.0
            for s in range(table.shape[1]):
                a, m0, b, m1 = table[t, s, 0], table[t, s, 1], table[t, s, 2], table[t, s, 3]
                m = m0 + m1
                if m > 1.0:
                    x = a + b
                    total += b - m1 * x / m
                    variance += m0 * m1 * x * (m - x) / (m * m * (m - 1.0))
            z[t] = total / np.sqrt(variance) if variance > 0.0 else 0.0


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _rank_looks(response, known, arm, treated, active, effect, se):
    """P(treated > control) + P(tie)/2 - 1/2 and its null standard error with ties."""
    n_trials, n = response.shape
    for t in range(n_trials):
        if not active[t]:
            continue
        y = np.empty(n)
        g = np.empty(n, np.int64)
        m = 0
        for i in range(n):
            if known[t, i] and (arm[t, i] == 0 or arm[t, i] == treated):
                y[m] = response[t, i]
                g[m] = arm[t, i] == treated
                m += 1
        order = np.argsort(y[:m])
        n1 = g[:m].sum()
        n0 = m - n1
        effect[t] = np.nan
        se[t] = np.nan
        if n0 < 1 or n1 < 1:
            continue
        ranks = 0.0
        ties = 0.0
        a = 0
        while a < m:
            b = a
            ones = 0
            while b < m and y[order[b]] == y[order[a]]:
                ones += g[order[b]]
                b += 1
            size = b - a
            ranks += ones * (a + b + 1) / 2.0
            ties += float(size) ** 3 - size
            a = b
        u = ranks - n1 * (n1 + 1) / 2.0
        variance = n0 * n1 / 12.0 * (m + 1.0 - ties / (m * (m - 1.0)))
        effect[t] = u / (float(n0) * n1) - 0.5
        se[t] = np.sqrt(variance) / (float(n0) * n1)


@nb.njit(nogil=True, cache=True)
def _lwyy_looks(recurrences, time, enrolment, arm, treated, look, active, effect, se):
    """Log rate ratio of recurrent events and robust standard error at each look."""
    n_trials, n, most = recurrences.shape
    for t in range(n_trials):
        if not active[t]:
            continue
        follow_up = np.empty(n)
        group = np.empty(n, np.int64)
        when = np.empty(n * most)
        who = np.empty(n * most, np.int64)
        m = 0
        k = 0
        for i in range(n):
            if enrolment[t, i] <= look[t] and (arm[t, i] == 0 or arm[t, i] == treated):
                follow_up[m] = min(time[t, i], look[t] - enrolment[t, i])
                group[m] = arm[t, i] == treated
                for j in range(most):
                    if recurrences[t, i, j] <= follow_up[m]:
                        when[k] = recurrences[t, i, j]
                        who[k] = m
                        k += 1
                m += 1
        effect[t], se[t], _ = lwyy(follow_up[:m], group[:m], when[:k], who[:k])


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
        _linear_looks(response, known, batch.arm, treated, covariates, active, effect, se, df)
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
        _table_looks(
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
        _proportion_z(tables, kind, self.margin, z)
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
        _rank_looks(
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
        _lwyy_looks(
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
        from trial_sim.statistics.mmrm import mmrm

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
