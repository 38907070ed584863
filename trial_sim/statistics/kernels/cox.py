"""Compiled Cox regression: Newton's method with strata, ties by Efron or Breslow, delayed entry.

Rows are in ascending order of (stratum, stop). With delayed entry or recurrent events each row is
an interval (start, stop], and ``by_start`` holds the row numbers in ascending order of
(stratum, start); without, ``by_start`` is an empty integer array and ``start`` is not read.

This is the general partial likelihood. Special ones stand apart because each is several times as
fast at what it can do, and because other sums would change last digits: `cox_fast` (three
covariates, no ties), ``engine.logrank_scan`` (two groups, from numbers at risk that a look has
counted anyway), ``statistics.arm_differences`` (two groups of one data set, in NumPy). With a ridge
and case weights, in NumPy: ``outcomes.times.cox``, which an audit has without late entry, too.
"""

import math

import numpy as np
from numba import njit

from trial_sim.numerics.small_matrices import invert


@njit(cache=True, nogil=True)
def cox_derivatives(
    start, stop, event, x, stratum, by_start, efron, beta, risk, score, information
):
    """Partial log-likelihood, score and information at beta.

    Args:
        start, stop: (n,) float64, ascending in (stratum, stop).
        event: (n,) bool or integer; x: (n, p) float64; stratum: (n,) integer.
        by_start: (n,) or (0,) integer.
        efron: True for Efron's treatment of ties, False for Breslow's.
        beta: (p,) float64.
        risk: (n,) float64, filled with exp(x·beta).
        score: (p,), information: (p, p) float64, filled.

    Returns:
        the log partial likelihood.
    """
    n, p = x.shape
    score[:] = 0.0
    information[:, :] = 0.0
    s1 = np.zeros(p)
    s2 = np.zeros((p, p))
    e1 = np.zeros(p)
    e2 = np.zeros((p, p))
    mean = np.zeros(p)
    loglik = 0.0
    s0 = 0.0
    i = n - 1
    leaving = by_start.shape[0] - 1
    while i >= 0:
        if i == n - 1 or stratum[i] != stratum[i + 1]:
            s0 = 0.0
            s1[:] = 0.0
            s2[:, :] = 0.0
            while leaving >= 0 and stratum[by_start[leaving]] > stratum[i]:
                leaving -= 1
        time = stop[i]
        here = stratum[i]
        deaths = 0
        e0 = 0.0
        while i >= 0 and stop[i] == time and stratum[i] == here:
            eta = 0.0
            for a in range(p):
                eta += x[i, a] * beta[a]
            r = math.exp(eta)
            risk[i] = r
            s0 += r
            for a in range(p):
                rx = r * x[i, a]
                s1[a] += rx
                for b in range(a + 1):
                    s2[a, b] += rx * x[i, b]
            if event[i]:
                deaths += 1
                loglik += eta
                for a in range(p):
                    score[a] += x[i, a]
                if efron:
                    if deaths == 1:
                        e0 = 0.0
                        e1[:] = 0.0
                        e2[:, :] = 0.0
                    e0 += r
                    for a in range(p):
                        rx = r * x[i, a]
                        e1[a] += rx
                        for b in range(a + 1):
                            e2[a, b] += rx * x[i, b]
            i -= 1
        if deaths == 0:
            continue
        while leaving >= 0:  # rows that start at or after this time are not yet at risk
            row = by_start[leaving]
            if stratum[row] != here or start[row] < time:
                break
            r = risk[row]
            s0 -= r
            for a in range(p):
                rx = r * x[row, a]
                s1[a] -= rx
                for b in range(a + 1):
                    s2[a, b] -= rx * x[row, b]
            leaving -= 1
        if deaths == 1 or not efron:
            loglik -= deaths * math.log(s0)
            inverse = 1.0 / s0
            for a in range(p):
                mean[a] = s1[a] * inverse
                score[a] -= deaths * mean[a]
                for b in range(a + 1):
                    information[a, b] += deaths * (s2[a, b] * inverse - mean[a] * mean[b])
        else:
            for k in range(deaths):
                part = k / deaths
                denominator = s0 - part * e0
                loglik -= math.log(denominator)
                inverse = 1.0 / denominator
                for a in range(p):
                    mean[a] = (s1[a] - part * e1[a]) * inverse
                    score[a] -= mean[a]
                    for b in range(a + 1):
                        second = (s2[a, b] - part * e2[a, b]) * inverse
                        information[a, b] += second - mean[a] * mean[b]
    for a in range(p):
        for b in range(a):
            information[b, a] = information[a, b]
    return loglik


@njit(cache=True, nogil=True)
def cox_newton(start, stop, event, x, stratum, by_start, efron, beta, covariance, max_steps=25):
    """Maximise the partial likelihood by Newton's method with step halving.

    Args:
        start … efron: as `cox_derivatives`.
        beta: (p,) float64, start value, replaced by the estimate.
        covariance: (p, p) float64, filled with the inverse information.
        max_steps: number of Newton steps after which the search ends.

    Returns:
        (log partial likelihood, whether it converged).
    """
    n, p = x.shape
    risk = np.empty(n)
    score = np.empty(p)
    information = np.empty((p, p))
    step = np.empty(p)
    loglik = cox_derivatives(
        start, stop, event, x, stratum, by_start, efron, beta, risk, score, information
    )
    # spread of each covariate among those at risk: makes the size of a step free of units
    spread = np.zeros(p)
    deaths = 0
    for i in range(n):
        if event[i]:
            deaths += 1
    for a in range(p):
        spread[a] = math.sqrt(max(information[a, a], 0.0) / max(deaths, 1))
    converged = False
    for _ in range(max_steps):
        if not invert(information, covariance):
            return loglik, False
        for a in range(p):
            step[a] = 0.0
            for b in range(p):
                step[a] += covariance[a, b] * score[b]
        decrement = 0.0
        largest = 0.0
        for a in range(p):
            decrement += step[a] * score[a]
            largest = max(largest, abs(step[a]) * spread[a])
        # the quadratic approximation of what the next step would gain; where an estimate is
        # infinite the gain dies out while the steps stay near 1
        if decrement < 1e-10 and largest < 0.01:
            beta += step  # Newton's error is squared at each step
            converged = True
            break
        beta += step
        previous = loglik
        loglik = cox_derivatives(
            start, stop, event, x, stratum, by_start, efron, beta, risk, score, information
        )
        halvings = 0
        while not loglik >= previous - 1e-9 * abs(previous) and halvings < 20:
            step *= 0.5
            beta -= step
            loglik = cox_derivatives(
                start, stop, event, x, stratum, by_start, efron, beta, risk, score, information
            )
            halvings += 1
    if not invert(information, covariance):
        return loglik, False
    return loglik, converged


@njit(cache=True, nogil=True)
def order_by_stratum(stratum, n_strata, order):
    """Stable counting sort of ``order`` by stratum: rows sorted by time become (stratum, time)."""
    counts = np.zeros(n_strata + 1, np.int64)
    for i in range(order.shape[0]):
        counts[stratum[order[i]] + 1] += 1
    for s in range(n_strata):
        counts[s + 1] += counts[s]
    out = np.empty(order.shape[0], np.int64)
    for i in range(order.shape[0]):
        s = stratum[order[i]]
        out[counts[s]] = order[i]
        counts[s] += 1
    return out


@njit(cache=True, nogil=True)
def cox_score_z(duration, event, x, stratum):
    """Score statistic of column 0 at hazard ratio 1, positive where it lowers the hazard."""
    n = duration.shape[0]
    one = np.empty((n, 1))
    for i in range(n):
        one[i, 0] = x[i, 0]
    score = np.empty(1)
    information = np.empty((1, 1))
    cox_derivatives(
        duration,
        duration,
        event,
        one,
        stratum,
        np.empty(0, np.int64),
        True,
        np.zeros(1),
        np.empty(n),
        score,
        information,
    )
    if information[0, 0] <= 0.0:
        return 0.0
    return -score[0] / math.sqrt(information[0, 0])


@njit(cache=True, nogil=True)
def cox_z_sorted(duration, event, x, stratum, beta, covariance):
    """Wald z of the first covariate (treatment), positive where it lowers the hazard; Efron ties.

    Args:
        duration, event, stratum: (n,), ascending in (stratum, duration).
        x: (n, p) float64, treatment in column 0.
        beta: (p,) float64, start value (zeros, or the estimate of the look before), replaced.
        covariance: (p, p) float64, filled.

    Returns:
        z; where the estimate is infinite (all events in one arm) the score statistic of treatment
        alone; 0 without events.
    """
    nothing = np.empty(0, np.int64)
    _, converged = cox_newton(
        duration, duration, event, x, stratum, nothing, True, beta, covariance
    )
    if not converged:
        beta[:] = 0.0
        return cox_score_z(duration, event, x, stratum)
    return -beta[0] / math.sqrt(covariance[0, 0])


@njit(cache=True, nogil=True)
def cox_score_residuals(start, stop, event, x, stratum, efron, beta, residual):
    """Score residuals of each row, whose sum is the score (Therneau and Grambsch 2000, §4.6).

    Args:
        start, stop, event, x, stratum, efron, beta: as `cox_derivatives`; start is read.
        residual: (n, p) float64, filled.
    """
    n, p = x.shape
    residual[:, :] = 0.0
    risk = np.empty(n)
    for i in range(n):
        eta = 0.0
        for a in range(p):
            eta += x[i, a] * beta[a]
        risk[i] = math.exp(eta)
    s1 = np.empty(p)
    e1 = np.empty(p)
    mean = np.empty(p)
    low = 0
    while low < n:
        high = low
        while high < n and stratum[high] == stratum[low]:
            high += 1
        i = low
        while i < high:
            time = stop[i]
            first = i
            deaths = 0
            while i < high and stop[i] == time:
                if event[i]:
                    deaths += 1
                i += 1
            if deaths == 0:
                continue
            s0 = 0.0
            e0 = 0.0
            s1[:] = 0.0
            e1[:] = 0.0
            for k in range(first, high):
                if start[k] < time:
                    s0 += risk[k]
                    for a in range(p):
                        s1[a] += risk[k] * x[k, a]
            for k in range(first, i):
                if event[k]:
                    e0 += risk[k]
                    for a in range(p):
                        e1[a] += risk[k] * x[k, a]
            for d in range(deaths):
                part = d / deaths if efron else 0.0
                denominator = s0 - part * e0
                for a in range(p):
                    mean[a] = (s1[a] - part * e1[a]) / denominator
                for k in range(first, high):
                    if start[k] >= time:
                        continue
                    own = risk[k] / denominator
                    dying = k < i and event[k]
                    if dying:
                        own *= 1.0 - part
                    for a in range(p):
                        difference = x[k, a] - mean[a]
                        residual[k, a] -= own * difference
                        if dying:
                            residual[k, a] += difference / deaths
        low = high
