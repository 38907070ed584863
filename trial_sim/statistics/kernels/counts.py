"""Compiled kernels for counts and recurrent events: negative binomial, two-group LWYY.

The negative binomial here is fitted with its dispersion, for a test; ``outcomes.glm`` fits the
coefficients with a ridge and then the dispersion, for a generator.
"""

import math

import numpy as np
from numba import njit

from trial_sim.numerics.small_matrices import invert


@njit(cache=True, nogil=True)
def _above(count):
    """How many counts are above j, for j = 0, 1, … up to the largest count: (max + 1,) float64."""
    largest = 0
    for i in range(count.shape[0]):
        largest = max(largest, int(count[i]))
    above = np.zeros(largest + 1)
    for i in range(count.shape[0]):
        above[int(count[i])] += 1.0
    later = 0.0
    for j in range(largest, -1, -1):
        here = above[j]
        above[j] = later
        later += here
    return above


@njit(cache=True, nogil=True)
def _dispersion_score(count, above, mean, k):
    """First and second derivative of the negative binomial log-likelihood in the dispersion k.

    The variance is μ + kμ²; Σ_i Σ_{j < y_i} j/(1 + kj) needs only how many counts are above j.
    """
    first = 0.0
    second = 0.0
    for j in range(1, above.shape[0]):
        part = j / (1.0 + k * j)
        first += above[j] * part
        second -= above[j] * part * part
    for i in range(count.shape[0]):
        mu = mean[i]
        u = k * mu
        inverse = 1.0 / (1.0 + u)
        if u < 1e-3:
            shape = 0.5 - u * (2.0 / 3.0 - u * (0.75 - u * 0.8))
            slope = -2.0 / 3.0 + u * (1.5 - u * 2.4)
        else:
            shape = (math.log1p(u) - u * inverse) / (u * u)
            slope = (inverse * inverse - 2.0 * shape) / u
        ratio = mu * inverse
        first += mu * mu * shape - count[i] * ratio
        second += mu * mu * mu * slope + count[i] * ratio * ratio
    return first, second


@njit(cache=True, nogil=True)
def _solve_dispersion(count, above, mean, start):
    """Root of the score in k by Newton's method within a bracket; 0 if not overdispersed."""
    low = 0.0
    high = np.inf
    k = start
    if k <= 0.0:
        first, second = _dispersion_score(count, above, mean, 0.0)
        if first <= 0.0:
            return 0.0
        k = -first / second if second < 0.0 else 0.1
    for _ in range(100):
        first, second = _dispersion_score(count, above, mean, k)
        if first > 0.0:
            low = k
        else:
            high = k
        proposal = k - first / second if second < 0.0 else np.inf
        if not low < proposal < high:
            if high < np.inf:
                proposal = 0.5 * (low + high)
            else:
                proposal = 4.0 * k
        if abs(proposal - k) < 1e-11 * (1.0 + k):
            return proposal
        k = proposal
        # towards the boundary: decide there
        near = k < 1e-9 and low == 0.0
        if near and _dispersion_score(count, above, mean, 0.0)[0] <= 0.0:
            return 0.0
        if k > 1e8:
            return k
    return k


@njit(cache=True, nogil=True)
def negative_binomial(count, exposure, design, beta, covariance):
    """Maximum-likelihood negative binomial regression with log link and exposure.

    Args:
        count: (n,) float64 of whole numbers; exposure: (n,) float64 > 0.
        design: (n, p) float64.
        beta: (p,) float64, filled with the estimates.
        covariance: (p, p) float64, filled with the inverse expected information given k.

    Returns:
        (dispersion k, with variance μ + kμ²; whether it converged).
    """
    n, p = design.shape
    rate = (count.sum() + 0.1) / exposure.sum()
    mean = exposure * rate
    beta[:] = 0.0
    linear = np.full(n, math.log(rate))
    information = np.empty((p, p))
    right = np.empty(p)
    above = _above(count)
    k = 0.0
    for sweep in range(100):
        previous_k = k
        k = _solve_dispersion(count, above, mean, k)
        change = 0.0
        for _ in range(50):
            information[:, :] = 0.0
            right[:] = 0.0
            for i in range(n):
                weight = mean[i] / (1.0 + k * mean[i])
                work = linear[i] + (count[i] - mean[i]) / mean[i]
                for a in range(p):
                    right[a] += weight * design[i, a] * work
                    for b in range(a + 1):
                        information[a, b] += weight * design[i, a] * design[i, b]
            for a in range(p):
                for b in range(a):
                    information[b, a] = information[a, b]
            if not invert(information, covariance):
                return k, False
            updated = covariance @ right
            change = np.max(np.abs(updated - beta))
            beta[:] = updated
            if np.max(np.abs(beta)) > 100.0:
                return k, False
            for i in range(n):
                linear[i] = 0.0
                for a in range(p):
                    linear[i] += design[i, a] * beta[a]
                mean[i] = exposure[i] * math.exp(linear[i])
            if change < 1e-9:
                break
        if sweep > 0 and abs(k - previous_k) < 1e-9 * (1.0 + k) and change < 1e-9:
            return k, True
    return k, False


@njit(cache=True, nogil=True)
def lwyy(follow_up, group, event_time, event_patient):
    """Proportional rates of two groups with robust variance (Lin, Wei, Yang and Ying 2000).

    Every patient is at risk from 0 to follow_up, for any number of events; Breslow ties.

    Args:
        follow_up: (n,) float64; group: (n,) integer, 0 or 1.
        event_time: (m,) float64, any order, each at most the follow-up of its patient.
        event_patient: (m,) integer, the patient's place in ``follow_up``.

    Returns:
        (log rate ratio, robust standard error, model standard error); NaN if a group has no event.
    """
    n = follow_up.shape[0]
    m = event_time.shape[0]
    order = np.argsort(event_time)
    ending = np.argsort(follow_up)
    zero = np.empty(m)
    one = np.empty(m)
    at_zero = 0.0
    at_one = 0.0
    for i in range(n):
        if group[i] == 1:
            at_one += 1.0
        else:
            at_zero += 1.0
    gone = 0
    events_one = 0
    for k in range(m):
        time = event_time[order[k]]
        while gone < n and follow_up[ending[gone]] < time:
            if group[ending[gone]] == 1:
                at_one -= 1.0
            else:
                at_zero -= 1.0
            gone += 1
        zero[k] = at_zero
        one[k] = at_one
        events_one += group[event_patient[order[k]]]
    if events_one == 0 or events_one == m:
        return np.nan, np.nan, np.nan
    beta = 0.0
    information = 0.0
    for _ in range(50):
        ratio = math.exp(beta)
        score = float(events_one)
        information = 0.0
        for k in range(m):
            share = one[k] * ratio / (zero[k] + one[k] * ratio)
            score -= share
            information += share * (1.0 - share)
        if information <= 0.0:
            return np.nan, np.nan, np.nan
        step = score / information
        beta += min(max(step, -2.0), 2.0)
        if abs(step) < 1e-10:
            break
    ratio = math.exp(beta)
    residual = np.zeros(n)
    hazard_zero = 0.0
    hazard_one = 0.0
    gone = 0
    for k in range(m):
        time = event_time[order[k]]
        while gone < n and follow_up[ending[gone]] < time:
            who = ending[gone]
            residual[who] -= hazard_one if group[who] == 1 else hazard_zero
            gone += 1
        total = zero[k] + one[k] * ratio
        share = one[k] * ratio / total
        who = event_patient[order[k]]
        residual[who] += group[who] - share
        hazard_zero -= share / total
        hazard_one += ratio * (1.0 - share) / total
    while gone < n:
        who = ending[gone]
        residual[who] -= hazard_one if group[who] == 1 else hazard_zero
        gone += 1
    squares = 0.0
    for i in range(n):
        squares += residual[i] * residual[i]
    return beta, math.sqrt(squares) / information, 1.0 / math.sqrt(information)
