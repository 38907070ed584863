"""Compiled Kaplan–Meier kernels: restricted mean survival and survival at a milestone, two arms.

Data of one trial are in ascending order of duration; group is 0 or 1. Variances are Greenwood's.
Beyond the last follow-up of an arm its curve is carried forward; `reach_sorted` says until when
both curves are known. One number of each arm, for simulated trials: whole curves with limits are
``statistics.survival_curves``, curves under many case weights ``auditing.compared.curves``.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def reach_sorted(duration, event, group):
    """Until when both Kaplan–Meier curves are known: infinite for a curve that ends at 0."""
    reach = np.inf
    for arm in range(2):
        last = -1.0
        ends_at_zero = False
        for i in range(duration.shape[0] - 1, -1, -1):
            if group[i] != arm:
                continue
            if last < 0.0:
                last = duration[i]
            if duration[i] < last:
                break
            if event[i]:
                ends_at_zero = True
            else:
                ends_at_zero = False
                break
        if not ends_at_zero:
            reach = min(reach, last)
    return reach


@njit(cache=True, nogil=True)
def _until(duration, event, group, arm, tau):
    """Kaplan–Meier curve of one arm until tau, and the sums of Greenwood's formula.

    Returns:
        (survival at tau, area under the curve, Σh, Σh a, Σh a², number of events), where
        h = d / n(n − d) and a is the area until the event time.
    """
    n = duration.shape[0]
    at_risk = 0
    for i in range(n):
        if group[i] == arm:
            at_risk += 1
    survival = 1.0
    area = 0.0
    before = 0.0
    sum_h = 0.0
    sum_ha = 0.0
    sum_haa = 0.0
    total = 0
    i = 0
    while i < n and duration[i] <= tau:
        time = duration[i]
        deaths = 0
        leaving = 0
        while i < n and duration[i] == time:
            if group[i] == arm:
                leaving += 1
                if event[i]:
                    deaths += 1
            i += 1
        total += deaths
        if deaths > 0:
            area += survival * (time - before)
            before = time
            if deaths < at_risk:
                h = deaths / (at_risk * (at_risk - float(deaths)))
                sum_h += h
                sum_ha += h * area
                sum_haa += h * area * area
            survival *= 1.0 - deaths / at_risk
        at_risk -= leaving
    area += survival * (tau - before)
    return survival, area, sum_h, sum_ha, sum_haa, total


@njit(cache=True, nogil=True)
def rmst_sorted(duration, event, group, tau, corrected):
    """Restricted mean survival time to tau of each arm.

    Args:
        duration: (n,) float64, ascending; event: (n,) bool or integer; group: (n,) integer, 0 or 1.
        tau: horizon, in the units of duration.
        corrected: multiply each variance by m/(m − 1), m the events of the arm until tau.

    Returns:
        (mean of group 0, its variance, mean of group 1, its variance).
    """
    out = np.empty(4)
    for arm in range(2):
        _, area, sum_h, sum_ha, sum_haa, total = _until(duration, event, group, arm, tau)
        # Var = Σ h (A − a)², A the whole area
        variance = area * area * sum_h - 2.0 * area * sum_ha + sum_haa
        if corrected and total > 1:
            variance *= total / (total - 1.0)
        out[2 * arm] = area
        out[2 * arm + 1] = max(variance, 0.0)
    return out[0], out[1], out[2], out[3]


@njit(cache=True, nogil=True)
def milestone_sorted(duration, event, group, tau):
    """Kaplan–Meier survival at tau of each arm, with Greenwood's sum.

    Args as `rmst_sorted`.

    Returns:
        (S₀, g₀, S₁, g₁), where Var(S) = S² g.
    """
    survival, _, greenwood, _, _, _ = _until(duration, event, group, 0, tau)
    other, _, other_greenwood, _, _, _ = _until(duration, event, group, 1, tau)
    return survival, greenwood, other, other_greenwood
