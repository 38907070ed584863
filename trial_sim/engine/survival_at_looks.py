"""Compiled loops over the trials of a batch for the tests of times: one look, every active trial.

Each takes the sorted arrays of a :class:`~trial_sim.engine.batch.TrialBatch`, cuts the data of each
trial at its look, and calls the kernels of ``trial_sim.statistics`` on them.
"""

# mypy takes some NumPy integers of compiled code for others.
# mypy: disable-error-code="assignment"

from __future__ import annotations

import numba as nb
import numpy as np

from trial_sim.engine.kernels import data_at_look
from trial_sim.engine.logrank_scan import cox_newton_two_groups
from trial_sim.engine.responses_at_looks import drop_constant
from trial_sim.statistics.kernels import (
    cox_fast_z_sorted,
    cox_z_sorted,
    logrank_stratified_sums_sorted,
    max_combo_p,
    milestone_sorted,
    order_by_stratum,
    reach_sorted,
    rmst_sorted,
    weighted_logrank_sorted,
)


@nb.njit(nogil=True, cache=True)
def two_arm_arrays(n):
    """Empty arrays for :func:`two_arms_at_look`: rows of all arms, then of two arms duration,
    event, group, stratum and patient."""
    return (
        np.empty((n, 3)), np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64),
        np.empty(n, np.int64), np.empty(n, np.int64),
    )  # fmt: skip


@nb.njit(nogil=True, cache=True)
def two_arms_at_look(
    s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, treated, look, t, arrays
):
    """Fill ``arrays`` with the patients of control and ``treated`` that trial t shows at its look.

    Args:
        s_time to stratum: arrays of a batch, (n_trials, n). look: (n_trials,) calendar months.
        arrays: from :func:`two_arm_arrays`.

    Returns:
        number of patients, in ascending order of observed time.
    """
    rows, duration, event, group, layer, patient = arrays
    found = data_at_look(
        s_time[t], s_exit[t], s_code[t], s_patient[t], enrolment[t], exit_[t], look[t], rows
    )
    codes = arm[t]
    strata = stratum[t]
    m = 0
    for r in range(found):
        i = np.int64(rows[r, 2])
        if codes[i] == 0 or codes[i] == treated:
            duration[m] = rows[r, 0]
            event[m] = np.int64(rows[r, 1])
            group[m] = np.int64(codes[i] == treated)
            layer[m] = strata[i]
            patient[m] = i
            m += 1
    return m


@nb.njit(nogil=True, cache=True)
def _weighted_sums(arrays, m, n_strata, weights, numerator, covariance, part, part_covariance):
    """Weighted log-rank sums, stratified or not, of the first m patients of ``arrays``; filled."""
    _, duration, event, group, layer, _ = arrays
    if n_strata == 1:
        weighted_logrank_sorted(duration[:m], event[:m], group[:m], weights, numerator, covariance)
    elif weights.shape[0] == 1 and weights[0, 0] == 0.0:
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


@nb.njit(nogil=True, cache=True)
def weighted_looks(
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
    arrays = two_arm_arrays(n)
    numerator, part = np.empty(k), np.empty(k)
    covariance, part_covariance = np.empty((k, k)), np.empty((k, k))
    for t in range(n_trials):
        if not active[t]:
            continue
        m = two_arms_at_look(
            s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, treated, look, t,
            arrays,
        )  # fmt: skip
        _weighted_sums(arrays, m, n_strata, weights, numerator, covariance, part, part_covariance)
        if k == 1:
            v = covariance[0, 0]
            z[t] = numerator[0] / np.sqrt(v) if v > 0.0 else 0.0
        else:
            z[t] = max_combo_p(numerator, covariance, path)[1]


@nb.njit(nogil=True, cache=True)
def weighted_score_looks(
    s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, n_strata, weights, treated,
    look, active, score, covariance,
):  # fmt: skip
    """Weighted scores (expected minus observed events) of every active trial at its look.

    Args:
        weights: (k, 3) as of `weighted_looks`. score: (n_trials, k), and covariance: (n_trials, k,
            k) of it, filled where active.
    """
    n_trials, n = s_time.shape
    k = weights.shape[0]
    arrays = two_arm_arrays(n)
    part, part_covariance = np.empty(k), np.empty((k, k))
    for t in range(n_trials):
        if not active[t]:
            continue
        m = two_arms_at_look(
            s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, treated, look, t,
            arrays,
        )  # fmt: skip
        _weighted_sums(arrays, m, n_strata, weights, score[t], covariance[t], part, part_covariance)


@nb.njit(nogil=True, cache=True)
def max_combo_tails(score, covariance, path, active, p):
    """One-sided p-values (n_trials,) of the largest of several scores, filled where active."""
    for t in range(score.shape[0]):
        if active[t]:
            p[t] = max_combo_p(score[t], covariance[t], path)[1]


@nb.njit(nogil=True, cache=True, error_model="numpy")
def stratified_looks(
    s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, tied, stratum, n_strata, treated,
    look, active, z, beta, se,
):  # fmt: skip
    """Stratified log-rank z and stratified Cox estimate of every active trial at its look.

    Numbers at risk are counted stratum by stratum in one pass over all patients; the two-group
    likelihood needs nothing else. Trials with ties go through the general kernels.
    """
    n_trials, n = s_time.shape
    arrays = two_arm_arrays(n)
    _, duration, event, group, layer, _ = arrays
    risk = np.empty((n + 1, 2))
    zero = np.empty(n_strata, np.int64)
    one = np.empty(n_strata, np.int64)
    x = np.zeros((n, 3))
    start = np.zeros(3)
    for t in range(n_trials):
        if not active[t]:
            continue
        m = two_arms_at_look(
            s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, treated, look, t,
            arrays,
        )  # fmt: skip
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
def _curve_difference(duration, event, group, tau, milestone):
    """Difference of restricted means, or of survival at ``tau``, and its variance."""
    if milestone:
        s0, g0, s1, g1 = milestone_sorted(duration, event, group, tau)
        return s1 - s0, s0 * s0 * g0 + s1 * s1 * g1
    m0, v0, m1, v1 = rmst_sorted(duration, event, group, tau, True)
    return m1 - m0, v0 + v1


@nb.njit(nogil=True, cache=True)
def curve_looks(
    s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, n_strata, tau, milestone,
    treated, look, active, difference, se,
):  # fmt: skip
    """RMST or milestone difference (treated minus control) and its standard error.

    With ``n_strata`` above 1 that of the strata, weighted by their patients; a stratum without
    both arms is left out. NaN where ``tau`` lies beyond the follow-up of an arm, whose curve is not
    known there.
    """
    n_trials, n = s_time.shape
    arrays = two_arm_arrays(n)
    _, duration, event, group, layer, _ = arrays
    for t in range(n_trials):
        if not active[t]:
            continue
        m = two_arms_at_look(
            s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, treated, look, t,
            arrays,
        )  # fmt: skip
        if tau > reach_sorted(duration[:m], event[:m], group[:m]):
            difference[t] = np.nan
            se[t] = np.nan
            continue
        if n_strata == 1:
            difference[t], variance = _curve_difference(
                duration[:m], event[:m], group[:m], tau, milestone
            )
            se[t] = np.sqrt(variance)
            continue
        order = order_by_stratum(layer[:m], n_strata, np.arange(m))
        total = 0.0
        total_variance = 0.0
        weight = 0
        a = 0
        while a < m:
            b = a
            ones = 0
            while b < m and layer[order[b]] == layer[order[a]]:
                ones += group[order[b]]
                b += 1
            size = b - a
            if 0 < ones < size:
                chosen = order[a:b]
                gap, variance = _curve_difference(
                    duration[chosen], event[chosen], group[chosen], tau, milestone
                )
                total += size * gap
                total_variance += size * size * variance
                weight += size
            a = b
        difference[t] = total / weight if weight > 0 else np.nan
        se[t] = np.sqrt(total_variance) / weight if weight > 0 else np.nan


@nb.njit(nogil=True, cache=True)
def cox_looks(
    s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, n_strata, covariates,
    treated, look, active, beta_out, se_out,
):  # fmt: skip
    """Cox log hazard ratio of ``treated``, adjusted and stratified, and its standard error.

    Args:
        covariates: (p, n_trials, n) float64.
    """
    n_trials, n = s_time.shape
    arrays = two_arm_arrays(n)
    _, duration, event, group, layer, patient = arrays
    width = max(1 + covariates.shape[0], 3)
    x = np.zeros((n, width))
    beta = np.zeros(width)
    for t in range(n_trials):
        if not active[t]:
            continue
        m = two_arms_at_look(
            s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, treated, look, t,
            arrays,
        )  # fmt: skip
        for r in range(m):
            x[r, 0] = group[r]
            for c in range(covariates.shape[0]):
                x[r, c + 1] = covariates[c, t, patient[r]]
        p = drop_constant(x, m, 1, 1 + covariates.shape[0])
        beta[:] = 0.0
        if n_strata == 1:
            d, e, xx, s = duration[:m], event[:m], x[:m], layer[:m]
        else:
            order = order_by_stratum(layer[:m], n_strata, np.arange(m))
            d, e, xx, s = duration[order], event[order], x[order], layer[order]
        if p <= 3:
            _, beta_out[t], error = cox_fast_z_sorted(d, e, xx, s, p, beta)
        else:
            covariance = np.empty((p, p))
            z = cox_z_sorted(d, e, np.ascontiguousarray(xx[:, :p]), s, beta[:p], covariance)
            beta_out[t] = beta[0]
            error = np.inf if z == 0.0 else np.sqrt(covariance[0, 0])
        se_out[t] = error
        if not error < np.inf:
            beta_out[t] = np.nan
            se_out[t] = np.nan
