"""Log-rank scores and their variances at a look, trial by trial: what stages are the increments of."""

# Loop counters become NumPy integers inside compiled code, which mypy cannot follow.
# mypy: disable-error-code="assignment"

from __future__ import annotations

import numba as nb
import numpy as np

from trial_sim.engine.kernels import data_at_look
from trial_sim.engine.logrank_scan import _risk_sets, _scan, _sums, cox_newton_two_groups
from trial_sim.engine.survival_at_looks import _two_arms
from trial_sim.statistics.kernels import logrank_stratified_sums_sorted


@nb.njit(nogil=True, cache=True, error_model="numpy")
def score_looks(
    sorted_time, sorted_exit, sorted_code, tied, enrolment, exit_, arm, treated, look, active,
    score, variance, beta, se,
):  # fmt: skip
    """Log-rank score (expected minus observed events), its variance, and the Cox estimate.

    Args:
        look: (n_trials,) calendar months. active: (n_trials,) bool.
        score, variance, beta, se: (n_trials,), filled where active.
    """
    n_trials, n = sorted_time.shape
    scratch = (
        np.empty(n + 2), np.empty(n + 2, np.int64), np.empty(n + 2), np.empty(n + 2, np.int64)
    )  # fmt: skip
    risk = np.empty((n + 1, 2))
    hit = np.empty(n + 1)
    for t in range(n_trials):
        if not active[t]:
            continue
        if tied[t]:
            u, v, n_events, n_treated = _scan(
                sorted_time[t], sorted_exit[t], sorted_code[t], enrolment[t], exit_[t], arm[t],
                treated, look[t], risk,
            )  # fmt: skip
        else:
            n_events = _risk_sets(
                sorted_time[t], sorted_exit[t], sorted_code[t], enrolment[t], exit_[t], arm[t],
                treated, look[t], scratch, risk, hit,
            )  # fmt: skip
            u, v, observed = _sums(risk, hit, n_events)
            n_treated = np.int64(observed)
        score[t] = u
        variance[t] = v
        beta[t] = np.nan
        se[t] = np.nan
        if v > 0.0 and 0 < n_treated < n_events:
            beta[t], se[t] = cox_newton_two_groups(risk, n_events, n_treated, -u / v)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def stratified_score_looks(
    s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, n_strata, treated, look,
    active, score, variance,
):  # fmt: skip
    """The same, stratified, without the estimate."""
    n_trials, n = s_time.shape
    rows = np.empty((n, 3))
    duration = np.empty(n)
    event = np.empty(n, np.int64)
    group = np.empty(n, np.int64)
    layer = np.empty(n, np.int64)
    patient = np.empty(n, np.int64)
    for t in range(n_trials):
        if not active[t]:
            continue
        found = data_at_look(
            s_time[t], s_exit[t], s_code[t], s_patient[t], enrolment[t], exit_[t], look[t], rows
        )
        m = _two_arms(
            rows, found, arm[t], stratum[t], treated, duration, event, group, layer, patient
        )
        score[t], variance[t] = logrank_stratified_sums_sorted(
            duration[:m], event[:m], group[:m], layer[:m], n_strata
        )


@nb.njit(nogil=True, cache=True, error_model="numpy")
def kth_smallest_by_row(values, k, out):
    """The k-th smallest of each row, k (n_rows,) of each row's own; inf where it has fewer."""
    n, m = values.shape
    kept = np.empty(m)
    for t in range(n):
        found = 0
        for i in range(m):
            if values[t, i] < np.inf:
                kept[found] = values[t, i]
                found += 1
        if k[t] < 1 or k[t] > found:
            out[t] = np.inf
        else:
            out[t] = np.partition(kept[:found], k[t] - 1)[k[t] - 1]
