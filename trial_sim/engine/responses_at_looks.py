"""Compiled loops over the trials of a batch for means, proportions, ranks and recurrent events."""

from __future__ import annotations

import numba as nb
import numpy as np

from trial_sim.statistics.kernels import (
    farrington_manning_z,
    fisher_p,
    linear_model,
    lwyy,
    pooled_z,
)


@nb.njit(nogil=True, cache=True)
def drop_constant(x, m, first, last):
    """Move the columns ``first`` to ``last - 1`` of x that vary over m rows together.

    A covariate of nobody, such as a level without patients, has no coefficient.

    Returns:
        the number of columns that are left, those before ``first`` included.
    """
    kept = first
    for c in range(first, last):
        varies = False
        for r in range(1, m):
            if x[r, c] != x[0, c]:
                varies = True
                break
        if varies:
            if kept < c:
                for r in range(m):
                    x[r, kept] = x[r, c]
            kept += 1
    return kept


@nb.njit(nogil=True, cache=True)
def add_strata(layer, m, n_strata, x, first):
    """Fill columns of x from ``first`` on with indicators of the strata of m rows, but for one.

    Returns:
        the number of columns that are used, those before ``first`` included.
    """
    place = np.full(n_strata, -2)
    found = 0
    for r in range(m):
        if place[layer[r]] == -2:
            place[layer[r]] = found - 1
            found += 1
    for r in range(m):
        for c in range(found - 1):
            x[r, first + c] = 0.0
        if place[layer[r]] >= 0:
            x[r, first + place[layer[r]]] = 1.0
    return first + max(found - 1, 0)


@nb.njit(nogil=True, cache=True)
def linear_looks(
    response, known, arm, treated, covariates, stratum, n_strata, active, effect, se, df
):
    """Difference of means, adjusted for ``covariates`` (p, n_trials, n), by least squares.

    With ``n_strata`` above 1 each stratum has a level of its own.
    """
    n_trials, n = response.shape
    p = covariates.shape[0]
    for t in range(n_trials):
        if not active[t]:
            continue
        y = np.empty(n)
        x = np.empty((n, 1 + p + n_strata))
        layer = np.empty(n, np.int64)
        m = 0
        ones = 0
        for i in range(n):
            if known[t, i] and (arm[t, i] == 0 or arm[t, i] == treated):
                y[m] = response[t, i]
                x[m, 0] = arm[t, i] == treated
                x[m, 1] = 1.0
                for c in range(p):
                    x[m, 2 + c] = covariates[c, t, i]
                layer[m] = stratum[t, i]
                ones += arm[t, i] == treated
                m += 1
        q = drop_constant(x, m, 2, 2 + p)
        if n_strata > 1:
            q = add_strata(layer, m, n_strata, x, q)
        df[t] = m - q
        effect[t] = np.nan
        se[t] = np.nan
        if ones >= 1 and m - ones >= 1 and df[t] >= 1:
            estimate, error = linear_model(y[:m], np.ascontiguousarray(x[:m, :q]))
            if error > 0.0:
                effect[t] = estimate
                se[t] = error


@nb.njit(nogil=True, cache=True)
def table_looks(response, known, arm, treated, stratum, active, table):
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
def proportion_z(table, kind, margin, z):
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
def rank_looks(response, known, arm, treated, active, effect, se):
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


@nb.njit(nogil=True, cache=True, error_model="numpy")
def van_elteren_looks(response, known, arm, treated, stratum, n_strata, active, effect, se):
    """Wilcoxon's test stratified as van Elteren (1960): strata weighted by 1 / (patients + 1).

    The effect is the average of the strata's P(treated > control) + P(tie)/2 - 1/2, each weighted
    by its pairs over (patients + 1); se its null standard error with ties.
    """
    n_trials, n = response.shape
    for t in range(n_trials):
        if not active[t]:
            continue
        y = np.empty(n)
        g = np.empty(n, np.int64)
        layer = np.empty(n, np.int64)
        m = 0
        for i in range(n):
            if known[t, i] and (arm[t, i] == 0 or arm[t, i] == treated):
                y[m] = response[t, i]
                g[m] = arm[t, i] == treated
                layer[m] = stratum[t, i]
                m += 1
        by_value = np.argsort(y[:m], kind="mergesort")
        order = by_value[np.argsort(layer[by_value], kind="mergesort")]
        pairs = 0.0
        total = 0.0
        variance = 0.0
        a = 0
        while a < m:
            b = a
            n1 = 0
            while b < m and layer[order[b]] == layer[order[a]]:
                n1 += g[order[b]]
                b += 1
            size = b - a
            n0 = size - n1
            ranks = 0.0
            ties = 0.0
            c = a
            while c < b:
                d = c
                ones = 0
                while d < b and y[order[d]] == y[order[c]]:
                    ones += g[order[d]]
                    d += 1
                same = d - c
                ranks += ones * (c - a + d - a + 1) / 2.0
                ties += float(same) ** 3 - same
                c = d
            if n0 > 0 and n1 > 0:
                weight = 1.0 / (size + 1.0)
                total += weight * (ranks - n1 * (size + 1.0) / 2.0)
                pairs += weight * n0 * n1
                spread = n0 * n1 / 12.0 * (size + 1.0 - ties / (size * (size - 1.0)))
                variance += weight * weight * spread
            a = b
        effect[t] = total / pairs if pairs > 0.0 else np.nan
        se[t] = np.sqrt(variance) / pairs if pairs > 0.0 else np.nan


@nb.njit(nogil=True, cache=True)
def lwyy_looks(recurrences, time, enrolment, arm, treated, look, active, effect, se):
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
