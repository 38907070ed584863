"""The compiled kernels, one trial after another, over arrays of many trials: what tests compare.

The engine has loops of its own; these are kept to hold kernels against each other and against
references on (n_trials, n_patients) arrays in any order.
"""

import math

import numpy as np
from numba import njit

from trial_sim.numerics.normal_kernels import max_combo_p
from trial_sim.statistics.kernels.counts import negative_binomial
from trial_sim.statistics.kernels.cox import cox_newton, order_by_stratum
from trial_sim.statistics.kernels.cox_fast import cox_fast_z_sorted
from trial_sim.statistics.kernels.curves import milestone_sorted, rmst_sorted
from trial_sim.statistics.kernels.gray import gray_z_sorted
from trial_sim.statistics.kernels.logrank import (
    logrank_stratified_sums_sorted,
    logrank_z_sorted,
    standardise,
    weighted_logrank_sorted,
)
from trial_sim.statistics.kernels.means import linear_model
from trial_sim.statistics.kernels.mmrm import mmrm_unstructured
from trial_sim.statistics.kernels.proportions import farrington_manning_z, fisher_p, pooled_z


@njit(cache=True, nogil=True)
def _cox_rows(duration, event, x, stratum, n_strata, order):
    n_trials, _, p = x.shape
    out = np.empty((n_trials, 3))
    beta = np.empty(p)
    covariance = np.empty((p, p))
    nothing = np.empty(0, np.int64)
    for i in range(n_trials):
        o = order[i]
        if n_strata > 1:
            o = order_by_stratum(stratum[i], n_strata, o)
        times = duration[i][o]
        beta[:] = 0.0
        _, converged = cox_newton(
            times, times, event[i][o], x[i][o], stratum[i][o], nothing, True, beta, covariance
        )
        out[i, 0] = beta[0]
        out[i, 1] = math.sqrt(max(covariance[0, 0], 0.0)) if converged else np.inf
        out[i, 2] = converged
    return out


def cox_batch(duration, event, x, stratum, n_strata):
    """Cox regression of each row of (n_trials, n_patients) arrays, any order; Efron ties.

    Args:
        duration, event, stratum: (n_trials, n_patients).
        x: (n_trials, n_patients, p) float64, treatment in column 0.
        n_strata: number of strata.

    Returns:
        (n_trials, 3) float64: log hazard ratio of treatment, its standard error, 1 if converged.
    """
    return _cox_rows(duration, event, x, stratum, n_strata, np.argsort(duration, axis=1))


@njit(cache=True, nogil=True)
def _cox_fast_rows(duration, event, x, stratum, n_strata, n_active, order):
    n_trials = duration.shape[0]
    out = np.empty((n_trials, 3))
    beta = np.empty(3)
    for i in range(n_trials):
        o = order[i]
        if n_strata > 1:
            o = order_by_stratum(stratum[i], n_strata, o)
        beta[:] = 0.0
        out[i] = cox_fast_z_sorted(
            duration[i][o], event[i][o], x[i][o], stratum[i][o], n_active, beta
        )
    return out


def cox_fast_batch(duration, event, x, stratum, n_strata, n_active):
    """`cox_fast_z_sorted` of each row of (n_trials, n_patients) arrays, any order; (n, 3)."""
    order = np.argsort(duration, axis=1)
    return _cox_fast_rows(duration, event, x, stratum, n_strata, n_active, order)


@njit(cache=True, nogil=True)
def t_batch(outcome, group):
    """Student's t of each row of (n_trials, n_patients) arrays: (n_trials, 3).

    Columns: t (group 1 minus group 0), difference of means, standard error; df is n − 2.
    """
    n_trials, n = outcome.shape
    out = np.empty((n_trials, 3))
    for i in range(n_trials):
        count = 0
        sum0 = 0.0
        sum1 = 0.0
        for j in range(n):
            if group[i, j] == 1:
                count += 1
                sum1 += outcome[i, j]
            else:
                sum0 += outcome[i, j]
        mean0 = sum0 / (n - count)
        mean1 = sum1 / count
        rss = 0.0
        for j in range(n):
            rss += (outcome[i, j] - (mean1 if group[i, j] == 1 else mean0)) ** 2
        out[i, 1] = mean1 - mean0
        out[i, 2] = math.sqrt(rss / (n - 2) * (1.0 / count + 1.0 / (n - count)))
        out[i, 0] = out[i, 1] / out[i, 2]
    return out


@njit(cache=True, nogil=True)
def ancova_batch(outcome, design):
    """`linear_model` of each row: (n_trials, n), (n_trials, n, p) → (n_trials, 3) as `t_batch`."""
    n_trials = outcome.shape[0]
    out = np.zeros((n_trials, 3))
    for i in range(n_trials):
        out[i, 1], out[i, 2] = linear_model(outcome[i], design[i])
        if out[i, 2] > 0.0:
            out[i, 0] = out[i, 1] / out[i, 2]
    return out


@njit(cache=True, nogil=True)
def _gray_rows(duration, cause, group, of, order):
    z = np.empty(duration.shape[0])
    for i in range(duration.shape[0]):
        o = order[i]
        z[i] = gray_z_sorted(duration[i][o], cause[i][o], group[i][o], of)
    return z


def gray_z_batch(duration, cause, group, of):
    """`gray_z_sorted` of each row of (n_trials, n_patients) arrays, any order: (n_trials,)."""
    return _gray_rows(duration, cause, group, of, np.argsort(duration, axis=1))


@njit(cache=True, nogil=True)
def mmrm_batch(outcome, design, column, visit):
    """`mmrm_unstructured` of each trial: (n_trials, n, T), (n_trials, n, q) → (n_trials, 4).

    Columns: estimate, standard error, degrees of freedom, 1 if converged.
    """
    out = np.empty((outcome.shape[0], 4))
    for i in range(outcome.shape[0]):
        estimate, error, df, converged = mmrm_unstructured(outcome[i], design[i], column, visit)
        out[i, 0] = estimate
        out[i, 1] = error
        out[i, 2] = df
        out[i, 3] = converged
    return out


@njit(cache=True, nogil=True)
def negative_binomial_batch(count, exposure, group):
    """Two-group negative binomial test of each row of (n_trials, n_patients) arrays.

    Returns:
        (n_trials, 4): log rate ratio (group 1 to 0), standard error, dispersion, 1 if converged.
    """
    n_trials, n = count.shape
    out = np.empty((n_trials, 4))
    design = np.ones((n, 2))
    beta = np.empty(2)
    covariance = np.empty((2, 2))
    values = np.empty(n)
    for i in range(n_trials):
        for j in range(n):
            design[j, 0] = group[i, j]
            values[j] = count[i, j]
        k, converged = negative_binomial(values, exposure[i], design, beta, covariance)
        out[i, 0] = beta[0]
        out[i, 1] = math.sqrt(max(covariance[0, 0], 0.0)) if converged else np.inf
        out[i, 2] = k
        out[i, 3] = converged
    return out


@njit(cache=True, nogil=True)
def _logrank_rows(duration, event, group, order):
    z = np.empty(duration.shape[0])
    for i in range(duration.shape[0]):
        o = order[i]
        z[i] = logrank_z_sorted(duration[i][o], event[i][o], group[i][o])
    return z


def logrank_z_batch(duration, event, group):
    """Log-rank z of each row of (n_trials, n_patients) arrays, any order: (n_trials,) float64."""
    return _logrank_rows(duration, event, group, np.argsort(duration, axis=1))


@njit(cache=True, nogil=True)
def _stratified_rows(duration, event, group, stratum, n_strata, order):
    z = np.empty(duration.shape[0])
    for i in range(duration.shape[0]):
        o = order[i]
        numerator, variance = logrank_stratified_sums_sorted(
            duration[i][o], event[i][o], group[i][o], stratum[i][o], n_strata
        )
        z[i] = standardise(numerator, variance)
    return z


def logrank_stratified_z_batch(duration, event, group, stratum, n_strata):
    """Stratified log-rank z of each row of (n_trials, n_patients) arrays: (n_trials,) float64."""
    order = np.argsort(duration, axis=1)
    return _stratified_rows(duration, event, group, stratum, n_strata, order)


@njit(cache=True, nogil=True)
def _weighted_rows(duration, event, group, weights, order):
    n_trials = duration.shape[0]
    k = weights.shape[0]
    numerator = np.empty((n_trials, k))
    covariance = np.empty((n_trials, k, k))
    for i in range(n_trials):
        o = order[i]
        weighted_logrank_sorted(
            duration[i][o], event[i][o], group[i][o], weights, numerator[i], covariance[i]
        )
    return numerator, covariance


def weighted_logrank_batch(duration, event, group, weights):
    """Weighted log-rank statistics of each row of (n_trials, n_patients) arrays, any order.

    Returns:
        numerator (n_trials, k) and covariance (n_trials, k, k).
    """
    return _weighted_rows(duration, event, group, weights, np.argsort(duration, axis=1))


@njit(cache=True, nogil=True)
def proportions_batch(x0, n0, x1, n1, margin):
    """(n_trials, 3): pooled z, Farrington–Manning z, Fisher's p, of (n_trials,) integer counts."""
    out = np.empty((x0.shape[0], 3))
    for i in range(x0.shape[0]):
        out[i, 0] = pooled_z(x0[i], n0[i], x1[i], n1[i])
        out[i, 1] = farrington_manning_z(x0[i], n0[i], x1[i], n1[i], margin)
        out[i, 2] = fisher_p(x0[i], n0[i], x1[i], n1[i])
    return out


@njit(cache=True, nogil=True)
def _rmst_rows(duration, event, group, tau, order):
    out = np.empty((duration.shape[0], 4))
    for i in range(duration.shape[0]):
        o = order[i]
        out[i] = rmst_sorted(duration[i][o], event[i][o], group[i][o], tau, True)
    return out


def rmst_batch(duration, event, group, tau):
    """`rmst_sorted`, corrected, of each row of (n_trials, n_patients) arrays, any order; (n, 4)."""
    return _rmst_rows(duration, event, group, tau, np.argsort(duration, axis=1))


@njit(cache=True, nogil=True)
def _milestone_rows(duration, event, group, tau, order):
    out = np.empty((duration.shape[0], 4))
    for i in range(duration.shape[0]):
        o = order[i]
        out[i] = milestone_sorted(duration[i][o], event[i][o], group[i][o], tau)
    return out


def milestone_batch(duration, event, group, tau):
    """`milestone_sorted` of each row of (n_trials, n_patients) arrays, any order: (n_trials, 4)."""
    return _milestone_rows(duration, event, group, tau, np.argsort(duration, axis=1))


@njit(cache=True, nogil=True)
def max_combo_p_batch(numerator, covariance, path):
    """`max_combo_p` of each row of (n_trials, k) numerators and covariances: (n_trials, 2)."""
    out = np.empty((numerator.shape[0], 2))
    for i in range(numerator.shape[0]):
        out[i, 0], out[i, 1] = max_combo_p(numerator[i], covariance[i], path)
    return out
