"""Compiled kernels of the log-rank family, for one trial and for batches of trials.

Every kernel works on contiguous arrays and allocates little; nothing is validated here (the public
functions of this package do that). Groups are coded 0 (control) and 1; statistics are positive when
group 1 has fewer events than expected. Three families:

``*_sorted``
    data of one trial already in ascending order of duration (ties in any order);
without suffix
    data of one trial in any order: sorted here;
``*_at_cutoff``
    a trial watched at calendar time ``cutoff``. The caller sorts each trial once by follow-up time
    and once by entry; each look is then a linear merge of the two orders, with no sort.

Ties are handled throughout: all subjects whose duration is at least t are at risk at t, and the
variance is hypergeometric (Mantel 1966).
"""

import numpy as np
from numba import njit

LOGRANK = 0
FLEMING_HARRINGTON = 1
MAGIRR_BURMAN = 2
MODESTLY_WEIGHTED = 3


@njit(cache=True, nogil=True)
def logrank_sums_sorted(duration, event, group):
    """Log-rank sums of one trial sorted by duration.

    Args:
        duration: (n,) float64, ascending.
        event: (n,) bool or integer, 1 where the event was seen.
        group: (n,) integer, 0 or 1.

    Returns:
        (expected minus observed events of group 1, its hypergeometric variance).
    """
    n = duration.shape[0]
    n_one = 0
    for i in range(n):
        n_one += group[i]
    numerator = 0.0
    variance = 0.0
    i = 0
    while i < n:
        time = duration[i]
        deaths = 0
        deaths_one = 0
        leaving_one = 0
        j = i
        while j < n and duration[j] == time:
            if event[j]:
                deaths += 1
                deaths_one += group[j]
            leaving_one += group[j]
            j += 1
        if deaths > 0:
            at_risk = n - i
            share = n_one / at_risk
            numerator += deaths * share - deaths_one
            if deaths == 1:
                variance += share * (1.0 - share)
            elif at_risk > 1:
                variance += deaths * share * (1.0 - share) * (at_risk - deaths) / (at_risk - 1.0)
        n_one -= leaving_one
        i = j
    return numerator, variance


@njit(cache=True, nogil=True)
def standardise(numerator, variance):
    """numerator / sqrt(variance); 0 where nothing was seen (variance 0)."""
    if variance > 0.0:
        return numerator / np.sqrt(variance)
    return 0.0


@njit(cache=True, nogil=True)
def logrank_z_sorted(duration, event, group):
    """Log-rank z of one trial sorted by duration; arguments as `logrank_sums_sorted`."""
    numerator, variance = logrank_sums_sorted(duration, event, group)
    return standardise(numerator, variance)


@njit(cache=True, nogil=True)
def logrank_z(duration, event, group):
    """Log-rank z of one trial in any order; arguments as `logrank_sums_sorted`."""
    order = np.argsort(duration)
    return logrank_z_sorted(duration[order], event[order], group[order])


@njit(cache=True, nogil=True)
def logrank_stratified_sums_sorted(duration, event, group, stratum, n_strata):
    """Stratified log-rank sums of one trial sorted by duration.

    Args:
        duration, event, group: as `logrank_sums_sorted`.
        stratum: (n,) integer in 0 … n_strata − 1.
        n_strata: number of strata.

    Returns:
        (expected minus observed events of group 1, variance), summed over strata.
    """
    n = duration.shape[0]
    at_risk = np.zeros(n_strata, np.int64)
    ones = np.zeros(n_strata, np.int64)
    deaths = np.zeros(n_strata, np.int64)
    deaths_one = np.zeros(n_strata, np.int64)
    for i in range(n):
        at_risk[stratum[i]] += 1
        ones[stratum[i]] += group[i]
    numerator = 0.0
    variance = 0.0
    i = 0
    while i < n:
        j = i + 1
        while j < n and duration[j] == duration[i]:
            j += 1
        if j == i + 1:  # no tie: the common case of simulated times
            s = stratum[i]
            if event[i]:
                share = ones[s] / at_risk[s]
                numerator += share - group[i]
                variance += share * (1.0 - share)
            at_risk[s] -= 1
            ones[s] -= group[i]
        else:
            for k in range(i, j):
                if event[k]:
                    deaths[stratum[k]] += 1
                    deaths_one[stratum[k]] += group[k]
            for k in range(i, j):
                s = stratum[k]
                if deaths[s] > 0:
                    share = ones[s] / at_risk[s]
                    numerator += deaths[s] * share - deaths_one[s]
                    if at_risk[s] > 1:
                        variance += (
                            deaths[s]
                            * share
                            * (1.0 - share)
                            * (at_risk[s] - deaths[s])
                            / (at_risk[s] - 1.0)
                        )
                    deaths[s] = 0
                    deaths_one[s] = 0
            for k in range(i, j):
                at_risk[stratum[k]] -= 1
                ones[stratum[k]] -= group[k]
        i = j
    return numerator, variance


@njit(cache=True, nogil=True)
def _weight(kind, first, second, survival, floor):
    """Weight at an event time, from the pooled Kaplan–Meier estimate just before it."""
    if kind == FLEMING_HARRINGTON:
        value = 1.0
        if first == 1.0:
            value = survival
        elif first == 0.5:
            value = np.sqrt(survival)
        elif first != 0.0:
            value = survival**first
        if second == 1.0:
            value *= 1.0 - survival
        elif second == 0.5:
            value *= np.sqrt(1.0 - survival)
        elif second != 0.0:
            value *= (1.0 - survival) ** second
        return value
    if kind == MAGIRR_BURMAN:
        return 1.0 / floor
    if kind == MODESTLY_WEIGHTED:
        return 1.0 / max(survival, first)
    return 1.0


@njit(cache=True, nogil=True, inline="always")
def _add_event_time(
    time, deaths, deaths_one, at_risk, n_one, survival, weights, w, floors, numerator, covariance
):
    """Add one event time to weighted log-rank sums; the lower half of ``covariance`` is filled.

    Args:
        deaths, at_risk: events at ``time`` and patients at risk; deaths_one, n_one: of group 1.
        survival: pooled Kaplan–Meier estimate just before ``time``.
        w, floors: (k,) scratch, kept from one event time to the next.

    Returns:
        the Kaplan–Meier estimate after ``time``.
    """
    share = n_one / at_risk
    difference = deaths * share - deaths_one
    piece = deaths * share * (1.0 - share)
    if deaths > 1:
        piece *= (at_risk - deaths) / (at_risk - 1.0)
    for a in range(w.shape[0]):
        kind = int(weights[a, 0])
        if kind == MAGIRR_BURMAN and time <= weights[a, 1]:
            floors[a] = survival
        w[a] = _weight(kind, weights[a, 1], weights[a, 2], survival, floors[a])
        numerator[a] += w[a] * difference
        weighted = w[a] * piece
        for b in range(a + 1):
            covariance[a, b] += weighted * w[b]
    return survival * (1.0 - deaths / at_risk)


@njit(cache=True, nogil=True)
def weighted_logrank_sorted(duration, event, group, weights, numerator, covariance):
    """Several weighted log-rank statistics of one trial and their covariance, in one pass.

    Weights use S, the pooled Kaplan–Meier estimate just before the event time:
    ``(LOGRANK, 0, 0)``: 1; ``(FLEMING_HARRINGTON, rho, gamma)``: S^rho (1 − S)^gamma;
    ``(MAGIRR_BURMAN, tau, 0)``: 1/S until tau, then held at its last value (Magirr and Burman 2019,
    in the convention of simtrial: S at the last event time not after tau);
    ``(MODESTLY_WEIGHTED, s, 0)``: 1/max(S, s).

    Args:
        duration, event, group: as `logrank_sums_sorted`.
        weights: (k, 3) float64 rows (kind, first parameter, second parameter).
        numerator: (k,) float64, filled: weighted expected minus observed events of group 1.
        covariance: (k, k) float64, filled: covariance matrix of ``numerator``.
    """
    n = duration.shape[0]
    k = weights.shape[0]
    numerator[:] = 0.0
    covariance[:, :] = 0.0
    w = np.ones(k)
    floors = np.ones(k)
    n_one = 0
    for i in range(n):
        n_one += group[i]
    survival = 1.0
    i = 0
    while i < n:
        time = duration[i]
        deaths = 0
        deaths_one = 0
        leaving_one = 0
        j = i
        while j < n and duration[j] == time:
            if event[j]:
                deaths += 1
                deaths_one += group[j]
            leaving_one += group[j]
            j += 1
        if deaths > 0:
            survival = _add_event_time(
                time, deaths, deaths_one, n - i, n_one, survival, weights, w, floors, numerator,
                covariance,
            )  # fmt: skip
        n_one -= leaving_one
        i = j
    for a in range(k):
        for b in range(a):
            covariance[b, a] = covariance[a, b]


@njit(cache=True, nogil=True)
def weighted_logrank_entered(duration, event, group, entry, weights, numerator, covariance):
    """`weighted_logrank_sorted` with delayed entry: a patient is at risk after ``entry`` (n,).

    A kernel of its own, since counting entries would slow down every look of a simulation.
    """
    n = duration.shape[0]
    k = weights.shape[0]
    numerator[:] = 0.0
    covariance[:, :] = 0.0
    w = np.ones(k)
    floors = np.ones(k)
    late = np.argsort(entry)
    entered = 0
    at_risk = 0
    n_one = 0
    survival = 1.0
    i = 0
    while i < n:
        time = duration[i]
        while entered < n and entry[late[entered]] < time:
            at_risk += 1
            n_one += group[late[entered]]
            entered += 1
        deaths = 0
        deaths_one = 0
        leaving_one = 0
        j = i
        while j < n and duration[j] == time:
            if event[j]:
                deaths += 1
                deaths_one += group[j]
            leaving_one += group[j]
            j += 1
        if deaths > 0:
            survival = _add_event_time(
                time, deaths, deaths_one, at_risk, n_one, survival, weights, w, floors, numerator,
                covariance,
            )  # fmt: skip
        at_risk -= j - i
        n_one -= leaving_one
        i = j
    for a in range(k):
        for b in range(a):
            covariance[b, a] = covariance[a, b]


@njit(cache=True, nogil=True)
def weighted_logrank_stratified(
    duration, event, group, stratum, n_strata, weights, numerator, covariance
):
    """Stratified `weighted_logrank_sorted`: data in any order, weights from each stratum's S."""
    k = weights.shape[0]
    numerator[:] = 0.0
    covariance[:, :] = 0.0
    part = np.zeros(k)
    part_covariance = np.zeros((k, k))
    order = np.argsort(duration)
    for s in range(n_strata):
        chosen = order[stratum[order] == s]
        weighted_logrank_sorted(
            duration[chosen], event[chosen], group[chosen], weights, part, part_covariance
        )
        numerator += part
        covariance += part_covariance
