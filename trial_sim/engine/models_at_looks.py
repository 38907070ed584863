"""Compiled loops over the trials of a batch for models: negative binomial, Gray's test, MMRM.

As in ``trial_sim.engine.responses_at_looks``, each fills its results where a trial is active; a
trial whose data are too few for the model is left without an effect (NaN), which counts as no
evidence.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from trial_sim.engine.kernels import data_at_look
from trial_sim.engine.responses_at_looks import add_strata, drop_constant
from trial_sim.statistics.kernels import gray_z_sorted, mmrm_unstructured, negative_binomial


@nb.njit(nogil=True, cache=True)
def count_ratio_looks(
    response, known, arm, treated, covariates, stratum, n_strata, active, effect, se
):
    """Log rate ratio of negative binomial counts and its standard error.

    With ``n_strata`` above 1 each stratum has a rate of its own; a stratum without any event says
    nothing about the ratio and is left out.

    Args:
        response: (n_trials, n) counts. known: (n_trials, n) bool. covariates: (p, n_trials, n).
        effect, se: (n_trials,), filled.
    """
    n_trials, n = response.shape
    count = np.empty(n)
    exposure = np.ones(n)
    p = covariates.shape[0]
    design = np.ones((n, 1 + p + n_strata))
    layer = np.empty(n, np.int64)
    events = np.empty(n_strata)
    for t in range(n_trials):
        if not active[t]:
            continue
        if n_strata > 1:
            events[:] = 0.0
            for i in range(n):
                if known[t, i] and (arm[t, i] == 0 or arm[t, i] == treated):
                    events[stratum[t, i]] += response[t, i]
        m = 0
        ones = 0
        for i in range(n):
            if known[t, i] and (arm[t, i] == 0 or arm[t, i] == treated):
                if n_strata > 1 and events[stratum[t, i]] == 0.0:
                    continue
                count[m] = response[t, i]
                design[m, 0] = arm[t, i] == treated
                for c in range(p):
                    design[m, 2 + c] = covariates[c, t, i]
                layer[m] = stratum[t, i]
                ones += arm[t, i] == treated
                m += 1
        q = drop_constant(design, m, 2, 2 + p)
        if n_strata > 1:
            q = add_strata(layer, m, n_strata, design, q)
        effect[t] = np.nan
        se[t] = np.nan
        if 0 < ones < m:
            beta = np.empty(q)
            covariance = np.empty((q, q))
            _, converged = negative_binomial(
                count[:m], exposure[:m], np.ascontiguousarray(design[:m, :q]), beta, covariance
            )
            if converged:
                effect[t] = beta[0]
                se[t] = np.sqrt(max(covariance[0, 0], 0.0))


@nb.njit(nogil=True, cache=True)
def gray_looks(
    s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, time, latent, cause, treated, look,
    active, z,
):  # fmt: skip
    """Signed root of Gray's statistic for cause 1 of every active trial at its look.

    Args:
        s_time to arm: sorted and unsorted arrays of a batch. time: (n_trials, n) months on study.
        latent: (n_trials, n) months to the first event of any cause. cause: its cause.
    """
    n_trials, n = arm.shape
    rows = np.empty((n, 3))
    duration = np.empty(n)
    seen = np.empty(n, np.int64)
    group = np.empty(n, np.int64)
    for t in range(n_trials):
        if not active[t]:
            continue
        found = data_at_look(
            s_time[t], s_exit[t], s_code[t], s_patient[t], enrolment[t], exit_[t], look[t], rows
        )
        m = 0
        ones = 0
        events = 0
        for r in range(found):
            i = np.int64(rows[r, 2])
            if arm[t, i] == 0 or arm[t, i] == treated:
                duration[m] = rows[r, 0]
                failed = exit_[t, i] <= look[t] and latent[t, i] <= time[t, i]
                seen[m] = cause[t, i] if failed else 0
                group[m] = arm[t, i] == treated
                ones += group[m]
                events += seen[m] == 1
                m += 1
        z[t] = 0.0
        if events > 0 and 0 < ones < m:
            z[t] = gray_z_sorted(duration[:m], seen[:m], group[:m], 1)


@nb.njit(nogil=True, cache=True)
def mmrm_looks(
    visits, months, baseline, covariates, stratum, n_strata, enrolment, exit_, arm, treated, look,
    active, effect, se, df,
):  # fmt: skip
    """Difference at the last visit by MMRM: unstructured, covariates by visit, REML.

    With ``n_strata`` above 1 each stratum has levels of its own.

    Args:
        visits: (n_trials, n, T) float64, NaN where missing. months: (T,) from enrolment.
        baseline: (n_trials, n). covariates: (p, n_trials, n), further ones.
        effect, se, df: (n_trials,), filled; df are Satterthwaite's.
    """
    n_trials, n, n_visits = visits.shape
    last = n_visits - 1
    outcome = np.empty((n, n_visits))
    p = covariates.shape[0]
    design = np.ones((n, 2 + p + n_strata))
    layer = np.empty(n, np.int64)
    for t in range(n_trials):
        if not active[t]:
            continue
        m = 0
        complete = 0
        ones = 0
        for i in range(n):
            if arm[t, i] != 0 and arm[t, i] != treated:
                continue
            until = min(exit_[t, i], look[t]) + 1e-9
            some = False
            for v in range(n_visits):
                value = visits[t, i, v]
                if not enrolment[t, i] + months[v] <= until:
                    value = np.nan
                outcome[m, v] = value
                some |= not np.isnan(value)
            if some:
                design[m, 1] = arm[t, i] == treated
                design[m, 2] = baseline[t, i]
                for c in range(p):
                    design[m, 3 + c] = covariates[c, t, i]
                layer[m] = stratum[t, i]
                if not np.isnan(outcome[m, last]):
                    complete += 1
                    ones += arm[t, i] == treated
                m += 1
        q = drop_constant(design, m, 3, 3 + p)
        if n_strata > 1:
            q = add_strata(layer, m, n_strata, design, q)
        effect[t] = np.nan
        se[t] = np.nan
        df[t] = 1.0
        if complete >= 4 and 0 < ones < complete:
            estimate, error, freedom, converged = mmrm_unstructured(
                outcome[:m], np.ascontiguousarray(design[:m, :q]), 1, last
            )
            if converged:
                effect[t] = estimate
                se[t] = error
                df[t] = freedom
