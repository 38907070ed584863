"""Compiled Gray test of two groups, for simulated trials with competing risks."""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _tie(events, at_risk):
    """1 − (d − 1)/(n − 1) where events are tied, else 1."""
    if events > 1.0:
        return max(1.0 - (events - 1.0) / max(at_risk - 1.0, 1e-12), 0.0)
    return 1.0


@njit(cache=True, nogil=True)
def gray_z_sorted(duration, cause, group, of):
    """Signed root of Gray's statistic of one trial; the same computation as `gray_test`.

    Args:
        duration: (n,) float64, ascending.
        cause: (n,) integer, 0 for censored.
        group: (n,) integer, 0 or 1.
        of: the cause that is compared.

    Returns:
        z, positive where group 1 has the lower incidence; 0 where nothing was seen.
    """
    n = duration.shape[0]
    # one row an event time: h, survival before and after, at risk, other events, of each group
    h = np.empty((n, 2))
    before = np.empty((n, 2))
    after = np.empty((n, 2))
    at_risk = np.empty((n, 2))
    other = np.empty((n, 2))
    total = np.empty(n)
    risk = np.zeros(2)
    for i in range(n):
        risk[group[i]] += 1.0
    survival = np.ones(2)
    incidence = np.zeros(2)
    own_here = np.zeros(2)
    other_here = np.zeros(2)
    leaving = np.zeros(2)
    score = 0.0
    m = 0
    i = 0
    while i < n:
        time = duration[i]
        own_here[:] = 0.0
        other_here[:] = 0.0
        leaving[:] = 0.0
        while i < n and duration[i] == time:
            g = group[i]
            leaving[g] += 1.0
            if cause[i] == of:
                own_here[g] += 1.0
            elif cause[i] > 0:
                other_here[g] += 1.0
            i += 1
        events = own_here[0] + own_here[1]
        if events + other_here[0] + other_here[1] > 0.0:
            subdistribution = np.zeros(2)
            for g in range(2):
                before[m, g] = survival[g]
                at_risk[m, g] = risk[g]
                other[m, g] = other_here[g]
                h[m, g] = 0.0
                if risk[g] > 0.0:
                    if survival[g] > 0.0:
                        h[m, g] = risk[g] / survival[g]
                    subdistribution[g] = h[m, g] * (1.0 - incidence[g])
                    incidence[g] += survival[g] * own_here[g] / risk[g]
                    survival[g] *= 1.0 - (own_here[g] + other_here[g]) / risk[g]
                after[m, g] = survival[g]
            total[m] = events
            if events > 0.0:
                share = subdistribution[1] / (subdistribution[0] + subdistribution[1])
                score += own_here[1] - events * share
            m += 1
        for g in range(2):
            risk[g] -= leaving[g]
    # the common cumulative incidence under the null hypothesis, then a pass back in time
    free = np.empty(m)
    step = np.empty(m)
    left = 1.0
    for t in range(m):
        step[t] = total[t] / (h[t, 0] + h[t, 1])
        left -= step[t]
        free[t] = left
    future = np.zeros(2)
    variance = 0.0
    for t in range(m - 1, -1, -1):
        all_h = h[t, 0] + h[t, 1]
        for g in range(2):
            direct = h[t, 1] * ((1.0 if g == 1 else 0.0) - h[t, g] / all_h)
            if h[t, g] > 0.0:
                alive = after[t, g] > 1e-12
                ratio = free[t] / after[t, g] if alive else 0.0
                if total[t] > 0.0:
                    effect = direct + ((1.0 - ratio) * future[g] if alive else 0.0)
                    tie = _tie(total[t], all_h * before[t, g])
                    variance += effect * effect * tie * step[t] / h[t, g]
                if other[t, g] > 0.0:
                    effect = ratio * future[g]
                    tie = _tie(other[t, g], at_risk[t, g])
                    lost = before[t, g] * other[t, g] / at_risk[t, g]
                    variance += effect * effect * tie * lost / h[t, g]
            if total[t] > 0.0:
                future[g] += direct * step[t] / (free[t] + step[t])
    if variance <= 0.0:
        return 0.0
    return -score / math.sqrt(variance)
