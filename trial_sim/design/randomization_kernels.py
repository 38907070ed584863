"""Compiled loops of the rules of allocation, over the trials of a batch."""

# Loop counters become NumPy integers inside compiled code, which mypy cannot follow.
# mypy: disable-error-code="assignment"

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(nogil=True, cache=True)
def blocks(u, stratum, block, n_strata, out):
    """Permuted blocks: draw without replacement from an urn that holds one block per stratum."""
    n_trials, n = u.shape
    n_arms = block.shape[0]
    size = block.sum()
    left = np.empty((n_strata, n_arms), np.int64)
    total = np.empty(n_strata, np.int64)
    for t in range(n_trials):
        total[:] = 0
        for i in range(n):
            s = stratum[t, i]
            if total[s] == 0:
                left[s, :] = block
                total[s] = size
            pick = u[t, i] * total[s]
            a = 0
            reached = left[s, 0]
            while reached <= pick and a < n_arms - 1:
                a += 1
                reached += left[s, a]
            left[s, a] -= 1
            total[s] -= 1
            out[t, i] = a


@nb.njit(nogil=True, cache=True)
def two_arm_blocks(u, block, out):
    """The same for two arms and no strata, without branches; same uniforms, same arms."""
    n_trials, n = u.shape
    size = block[0] + block[1]
    for t in range(n_trials):
        i = 0
        while i < n:
            zero = block[0]
            for j in range(i, min(i + size, n)):
                a = np.int64(u[t, j] * (size - (j - i)) >= zero)
                zero -= 1 - a
                out[t, j] = a
            i += size


@nb.njit(nogil=True, cache=True)
def complete(u, shares, out):
    """Complete randomisation: each patient's arm into ``out`` (trials, patients) by one uniform."""
    n_trials, n = u.shape
    for t in range(n_trials):
        for i in range(n):
            a = 0
            reached = shares[0]
            while u[t, i] >= reached and a < shares.shape[0] - 1:
                a += 1
                reached += shares[a]
            out[t, i] = a


@nb.njit(nogil=True, cache=True)
def biased_coin(u, stratum, quota, n_strata, probability, out):
    """Efron's coin, for several arms: the arm furthest behind its quota with ``probability``."""
    n_trials, n = u.shape
    n_arms = quota.shape[0]
    counts = np.empty((n_strata, n_arms), np.int64)
    gap = np.empty(n_arms)
    for t in range(n_trials):
        counts[:, :] = 0
        for i in range(n):
            s = stratum[t, i]
            for a in range(n_arms):
                gap[a] = counts[s, a] / quota[a]
            a = favour_lowest(gap, quota, probability, u[t, i])
            counts[s, a] += 1
            out[t, i] = a


@nb.njit(nogil=True, cache=True)
def minimise(u, codes, n_levels, quota, probability, out):
    """Pocock and Simon (1975): least total range over the patient's factor levels."""
    n_factors, n_trials, n = codes.shape
    n_arms = quota.shape[0]
    most = n_levels.max()
    counts = np.empty((n_factors, most, n_arms), np.int64)
    imbalance = np.empty(n_arms)
    for t in range(n_trials):
        counts[:, :, :] = 0
        for i in range(n):
            for a in range(n_arms):
                total = 0.0
                for f in range(n_factors):
                    high = -np.inf
                    low = np.inf
                    for b in range(n_arms):
                        share = (counts[f, codes[f, t, i], b] + (a == b)) / quota[b]
                        high = max(high, share)
                        low = min(low, share)
                    total += high - low
                imbalance[a] = total
            a = favour_lowest(imbalance, quota, probability, u[t, i])
            for f in range(n_factors):
                counts[f, codes[f, t, i], a] += 1
            out[t, i] = a


@nb.njit(nogil=True, cache=True)
def favour_lowest(score, quota, probability, u):
    """An arm of the lowest score with ``probability``, ties and the rest by quota."""
    n_arms = score.shape[0]
    low = score.min()
    favoured = 0.0
    others = 0.0
    for a in range(n_arms):
        if score[a] <= low + 1e-12:
            favoured += quota[a]
        else:
            others += quota[a]
    reached = 0.0
    last = 0
    for a in range(n_arms):
        if others == 0.0:
            share = quota[a] / favoured
        elif score[a] <= low + 1e-12:
            share = probability * quota[a] / favoured
        else:
            share = (1.0 - probability) * quota[a] / others
        reached += share
        last = a
        if u < reached:
            break
    return last


@nb.njit(nogil=True, cache=True)
def adapt(u, potential, enrolment, readout, burn_in, rule, least, closed, first, out):
    """Allocate patient by patient, from the responses known when each one arrives.

    Args:
        u: (n_trials, n) uniforms. potential: (n_trials, n, n_arms) response under each arm.
        rule: 0 Neyman, 1 RSIHR. least: smallest share of any arm that is open.
        closed: (n_trials, n_arms) month after which an arm takes nobody.
        first: patients before this one keep the arm that ``out`` holds.

    A response that never comes is NaN.
    """
    n_trials, n, n_arms = potential.shape
    successes = np.empty(n_arms)
    known = np.empty(n_arms)
    share = np.empty(n_arms)
    for t in range(n_trials):
        successes[:] = 0.0
        known[:] = 0.0
        arrived = 0
        for i in range(n):
            while arrived < i and enrolment[t, arrived] + readout <= enrolment[t, i]:
                a = out[t, arrived]
                if not np.isnan(potential[t, arrived, a]):
                    successes[a] += potential[t, arrived, a]
                    known[a] += 1.0
                arrived += 1
            if i < first:
                continue
            if i < burn_in * n_arms:
                share[:] = 1.0
            else:
                for a in range(n_arms):
                    p = (successes[a] + 1.0) / (known[a] + 2.0)
                    share[a] = np.sqrt(p * (1.0 - p)) if rule == 0 else np.sqrt(p)
            n_open = 0
            for a in range(n_arms):
                if enrolment[t, i] > closed[t, a]:
                    share[a] = 0.0
                else:
                    n_open += 1
            total = share.sum()
            reached = 0.0
            last = 0
            for a in range(n_arms):
                if enrolment[t, i] <= closed[t, a]:
                    reached += least + (1.0 - n_open * least) * share[a] / total
                    last = a
                    if u[t, i] < reached:
                        break
            out[t, i] = last
