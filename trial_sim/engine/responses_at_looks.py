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
def linear_looks(response, known, arm, treated, covariates, active, effect, se, df):
    """Difference of means, adjusted for ``covariates`` (p, n_trials, n), by least squares."""
    n_trials, n = response.shape
    p = covariates.shape[0]
    for t in range(n_trials):
        if not active[t]:
            continue
        y = np.empty(n)
        x = np.empty((n, 2 + p))
        m = 0
        ones = 0
        for i in range(n):
            if known[t, i] and (arm[t, i] == 0 or arm[t, i] == treated):
                y[m] = response[t, i]
                x[m, 0] = arm[t, i] == treated
                x[m, 1] = 1.0
                for c in range(p):
                    x[m, 2 + c] = covariates[c, t, i]
                ones += arm[t, i] == treated
                m += 1
        df[t] = m - 2 - p
        if ones < 1 or m - ones < 1 or df[t] < 1:
            effect[t] = np.nan
            se[t] = np.nan
        else:
            effect[t], se[t] = linear_model(y[:m], x[:m])


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
