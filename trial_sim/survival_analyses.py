"""Batched tests of time-to-event endpoints at a look, over the kernels of ``trial_sim.statistics``.

Each analysis has ``evaluate(batch, treated, look, active)``: the z statistic of control against
the arm ``treated`` in every active trial, positive where the arm does better, and the effect with
its standard error where they are a by-product; ``estimate`` (same arguments) is for where not.
"""

# mypy takes a compiled function called with unpacked arrays for one of no arguments.
# mypy: disable-error-code="call-arg"

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numba as nb
import numpy as np

from trial_sim.design import Design
from trial_sim.engine_kernels import cox_newton_two_groups, data_at_look, logrank_looks
from trial_sim.statistics import kernels
from trial_sim.statistics.kernels import (
    cox_fast_z_sorted,
    cox_z_sorted,
    logrank_stratified_sums_sorted,
    max_combo_p,
    milestone_sorted,
    order_by_stratum,
    rmst_sorted,
    weighted_logrank_sorted,
)
from trial_sim.trial_batch import TrialBatch

# Arms and events are packed into one int8: 2 * 63 + 1 = 127.
MAX_ARMS = 63

_WEIGHTS = {
    "logrank": kernels.LOGRANK,
    "fleming_harrington": kernels.FLEMING_HARRINGTON,
    "magirr_burman": kernels.MAGIRR_BURMAN,
    "modestly_weighted": kernels.MODESTLY_WEIGHTED,
}


# z, and effect and standard error or None.
Evaluation = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]


class Analysis(Protocol):
    """A test at a look, over a batch of trials.

    Attributes:
        scale: what ``estimate`` estimates, such as ``"log hazard ratio"``.
        direction: 1 where a positive estimate favours treatment, -1 where a negative one does.
    """

    @property
    def scale(self) -> str: ...

    @property
    def direction(self) -> float: ...

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z (n_trials,), meaningful where active; effect and se where they come for free."""
        ...

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Effect and standard error, (n_trials,) each; NaN where not estimable.

        Asked for only where :meth:`evaluate` gave None for them.
        """
        ...


@nb.njit(nogil=True, cache=True)
def _two_arms(rows, n_rows, arm, stratum, treated, duration, event, group, layer, patient):
    """Copy the patients of control and ``treated`` out of ``rows``; returns how many."""
    m = 0
    for r in range(n_rows):
        i = np.int64(rows[r, 2])
        if arm[i] == 0 or arm[i] == treated:
            duration[m] = rows[r, 0]
            event[m] = np.int64(rows[r, 1])
            group[m] = np.int64(arm[i] == treated)
            layer[m] = stratum[i]
            patient[m] = i
            m += 1
    return m


@nb.njit(nogil=True, cache=True)
def _weighted_looks(
    s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, n_strata, weights, path,
    treated, look, active, z,
):  # fmt: skip
    """Weighted, stratified or MaxCombo statistics of every active trial at its look.

    Args:
        weights: (k, 3) rows (kind, first, second parameter); k above 1 means MaxCombo, whose exact
            p-value is put back on the z scale by the caller (``z`` then holds p-values).
    """
    n_trials, n = s_time.shape
    k = weights.shape[0]
    rows = np.empty((n, 3))
    duration = np.empty(n)
    event = np.empty(n, np.int64)
    group = np.empty(n, np.int64)
    layer = np.empty(n, np.int64)
    patient = np.empty(n, np.int64)
    numerator = np.empty(k)
    covariance = np.empty((k, k))
    part = np.empty(k)
    part_covariance = np.empty((k, k))
    for t in range(n_trials):
        if not active[t]:
            continue
        found = data_at_look(
            s_time[t], s_exit[t], s_code[t], s_patient[t], enrolment[t], exit_[t], look[t], rows
        )
        m = _two_arms(
            rows, found, arm[t], stratum[t], treated, duration, event, group, layer, patient
        )
        if n_strata == 1:
            weighted_logrank_sorted(
                duration[:m], event[:m], group[:m], weights, numerator, covariance
            )
        elif k == 1 and weights[0, 0] == 0.0:
            numerator[0], covariance[0, 0] = logrank_stratified_sums_sorted(
                duration[:m], event[:m], group[:m], layer[:m], n_strata
            )
        else:
            order = order_by_stratum(layer[:m], n_strata, np.arange(m))
            numerator[:] = 0.0
            covariance[:, :] = 0.0
            a = 0
            while a < m:
                b = a
                while b < m and layer[order[b]] == layer[order[a]]:
                    b += 1
                chosen = order[a:b]
                weighted_logrank_sorted(
                    duration[chosen], event[chosen], group[chosen], weights, part, part_covariance
                )
                numerator += part
                covariance += part_covariance
                a = b
        if k == 1:
            v = covariance[0, 0]
            z[t] = numerator[0] / np.sqrt(v) if v > 0.0 else 0.0
        else:
            z[t] = max_combo_p(numerator, covariance, path)[1]


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _stratified_looks(
    s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, tied, stratum, n_strata, treated,
    look, active, z, beta, se,
):  # fmt: skip
    """Stratified log-rank z and stratified Cox estimate of every active trial at its look.

    Numbers at risk are counted stratum by stratum in one pass over all patients; the two-group
    likelihood needs nothing else. Trials with ties go through the general kernels.
    """
    n_trials, n = s_time.shape
    rows = np.empty((n, 3))
    duration = np.empty(n)
    event = np.empty(n, np.int64)
    group = np.empty(n, np.int64)
    layer = np.empty(n, np.int64)
    patient = np.empty(n, np.int64)
    risk = np.empty((n + 1, 2))
    zero = np.empty(n_strata, np.int64)
    one = np.empty(n_strata, np.int64)
    x = np.zeros((n, 3))
    start = np.zeros(3)
    for t in range(n_trials):
        if not active[t]:
            continue
        found = data_at_look(
            s_time[t], s_exit[t], s_code[t], s_patient[t], enrolment[t], exit_[t], look[t], rows
        )
        m = _two_arms(
            rows, found, arm[t], stratum[t], treated, duration, event, group, layer, patient
        )
        z[t] = 0.0
        beta[t] = np.nan
        se[t] = np.nan
        if tied[t]:
            numerator, variance = logrank_stratified_sums_sorted(
                duration[:m], event[:m], group[:m], layer[:m], n_strata
            )
            order = order_by_stratum(layer[:m], n_strata, np.arange(m))
            x[:m, 0] = group[:m]
            start[:] = 0.0
            _, estimate, error = cox_fast_z_sorted(
                duration[order], event[order], x[order], layer[order], 1, start
            )
            if error < np.inf:
                beta[t] = estimate
                se[t] = error
        else:
            zero[:] = 0
            one[:] = 0
            for r in range(m):
                one[layer[r]] += group[r]
                zero[layer[r]] += 1 - group[r]
            numerator = 0.0
            variance = 0.0
            n_events = 0
            n_treated = 0
            for r in range(m):
                s = np.uintp(layer[r])
                hit = group[r]
                if event[r]:
                    share = one[s] / (zero[s] + one[s])
                    numerator += share - hit
                    variance += share * (1.0 - share)
                    risk[n_events, 0] = zero[s]
                    risk[n_events, 1] = one[s]
                    n_events += 1
                    n_treated += hit
                one[s] -= hit
                zero[s] -= 1 - hit
            if variance > 0.0 and 0 < n_treated < n_events:
                beta[t], se[t] = cox_newton_two_groups(
                    risk, n_events, n_treated, -numerator / variance
                )
        if variance > 0.0:
            z[t] = numerator / np.sqrt(variance)


@nb.njit(nogil=True, cache=True)
def _curve_looks(
    s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, tau, milestone, treated,
    look, active, difference, se,
):  # fmt: skip
    """RMST or milestone difference (treated minus control) and its standard error."""
    n_trials, n = s_time.shape
    rows = np.empty((n, 3))
    duration = np.empty(n)
    event = np.empty(n, np.int64)
    group = np.empty(n, np.int64)
    layer = np.empty(n, np.int64)
    patient = np.empty(n, np.int64)
    for t in range(n_trials):
        if not active[t]:
            continue
        found = data_at_look(
            s_time[t], s_exit[t], s_code[t], s_patient[t], enrolment[t], exit_[t], look[t], rows
        )
        m = _two_arms(
            rows, found, arm[t], stratum[t], treated, duration, event, group, layer, patient
        )
        if milestone:
            s0, g0, s1, g1 = milestone_sorted(duration[:m], event[:m], group[:m], tau)
            difference[t] = s1 - s0
            se[t] = np.sqrt(s0 * s0 * g0 + s1 * s1 * g1)
        else:
            m0, v0, m1, v1 = rmst_sorted(duration[:m], event[:m], group[:m], tau, True)
            difference[t] = m1 - m0
            se[t] = np.sqrt(v0 + v1)


@nb.njit(nogil=True, cache=True)
def _cox_looks(
    s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, n_strata, covariates,
    treated, look, active, beta_out, se_out,
):  # fmt: skip
    """Cox log hazard ratio of ``treated``, adjusted and stratified, and its standard error.

    Args:
        covariates: (p, n_trials, n) float64.
    """
    n_trials, n = s_time.shape
    p = 1 + covariates.shape[0]
    rows = np.empty((n, 3))
    duration = np.empty(n)
    event = np.empty(n, np.int64)
    group = np.empty(n, np.int64)
    layer = np.empty(n, np.int64)
    patient = np.empty(n, np.int64)
    x = np.zeros((n, max(p, 3)))
    beta = np.zeros(max(p, 3))
    covariance = np.empty((p, p))
    for t in range(n_trials):
        if not active[t]:
            continue
        found = data_at_look(
            s_time[t], s_exit[t], s_code[t], s_patient[t], enrolment[t], exit_[t], look[t], rows
        )
        m = _two_arms(
            rows, found, arm[t], stratum[t], treated, duration, event, group, layer, patient
        )
        for r in range(m):
            x[r, 0] = group[r]
            for c in range(p - 1):
                x[r, c + 1] = covariates[c, t, patient[r]]
        beta[:] = 0.0
        if n_strata == 1:
            d, e, xx, s = duration[:m], event[:m], x[:m], layer[:m]
        else:
            order = order_by_stratum(layer[:m], n_strata, np.arange(m))
            d, e, xx, s = duration[order], event[order], x[order], layer[order]
        if p <= 3:
            _, beta_out[t], error = cox_fast_z_sorted(d, e, xx, s, p, beta)
        else:
            z = cox_z_sorted(d, e, xx, s, beta, covariance)
            beta_out[t] = beta[0]
            error = np.inf if z == 0.0 else np.sqrt(covariance[0, 0])
        se_out[t] = error
        if not error < np.inf:
            beta_out[t] = np.nan
            se_out[t] = np.nan


def _arrays(batch: TrialBatch) -> Any:
    return (*batch.sorted, batch.enrolment, batch.exit, batch.arm)


def _unfilled(batch: TrialBatch) -> np.ndarray:
    return np.full(batch.n_trials, np.nan)


class Logrank:
    """The plain log-rank test, with the Cox estimate, in one scan a look."""

    scale = "log hazard ratio"
    direction = -1.0

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, log hazard ratio, standard error."""
        z, beta, se = np.zeros(batch.n_trials), _unfilled(batch), _unfilled(batch)
        time, exit_, code, _ = batch.sorted
        logrank_looks(
            time, exit_, code, batch.tied, batch.enrolment, batch.exit, batch.arm, treated, look,
            active, z, beta, se,
        )  # fmt: skip
        return z, beta, se

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
        _stratified_looks(
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
        _weighted_looks(
            *_arrays(batch), batch.stratum, n_strata, self.weights, kernels.COARSE_PATH,
            treated, look, active, z,
        )  # fmt: skip
        if len(self.weights) > 1:
            from scipy.special import ndtri

            z[active] = -ndtri(z[active])
        return z, None, None

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
        _cox_looks(*_arrays(batch), stratum, n_strata, covariates, treated, look, active, beta, se)
        return beta, se


@dataclass(frozen=True)
class CurveDifference:
    """Difference of restricted means, or of survival at a month.

    Attributes:
        tau: months. milestone: survival at ``tau`` instead of the mean up to it.
    """

    tau: float
    milestone: bool
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
        return np.where(se > 0, z, 0.0), difference, se

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Difference and its standard error."""
        difference, se = _unfilled(batch), _unfilled(batch)
        _curve_looks(
            *_arrays(batch), batch.stratum, self.tau, self.milestone, treated, look, active,
            difference, se,
        )  # fmt: skip
        return difference, se


def covariate_array(batch: TrialBatch, names: tuple[str, ...]) -> np.ndarray:
    """The named covariates, (p, n_trials, n_patients) float64; factors of the design count too.

    Raises:
        ValueError: for a name that neither the scenario nor the design's strata have.
    """
    columns = []
    for name in names:
        known = {**batch.factors, **batch.outcome.covariates}
        if name == "baseline" and batch.outcome.baseline is not None:
            columns.append(batch.outcome.baseline)
        elif name in known:
            columns.append(np.asarray(known[name], dtype=float))
        else:
            raise ValueError(
                f"the scenario has no covariate {name!r} to adjust for; it has {sorted(known)}"
            )
    return np.array(columns, dtype=float).reshape(-1, *batch.arm.shape)


def survival_analysis(design: Design) -> Analysis:
    """The analysis that a design's test names, for time-to-event endpoints."""
    name, parameters = design.test_name, design.test_parameters
    if name == "logrank":
        return StratifiedLogrank() if design.stratified else Logrank()
    if name in _WEIGHTS:
        return WeightedLogrank(_weight_rows([(name, *parameters)]), design.stratified)
    if name == "max_combo":
        return WeightedLogrank(_weight_rows(parameters[0]), design.stratified)
    if name == "cox":
        return Cox(design.adjust, design.stratified)
    return CurveDifference(float(parameters[0]), name == "milestone")


def _weight_rows(weights: tuple | list) -> np.ndarray:
    rows = np.zeros((len(weights), 3))
    for row, (name, *parameters) in zip(rows, weights):
        row[0] = _WEIGHTS[name]
        row[1 : 1 + len(parameters)] = parameters
    return rows
