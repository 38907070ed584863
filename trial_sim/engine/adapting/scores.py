"""Compiled loops over trials: log-rank scores of which stages are the increments, sums, counts."""

# Loop counters become NumPy integers inside compiled code, which mypy cannot follow.
# mypy: disable-error-code="assignment"

from __future__ import annotations

import numba as nb
import numpy as np

from trial_sim.engine.survival_at_looks import two_arm_arrays, two_arms_at_look
from trial_sim.numerics.order_statistics import kth_smallest
from trial_sim.statistics.kernels import logrank_stratified_sums_sorted


@nb.njit(nogil=True, cache=True, error_model="numpy")
def stratified_score_looks(
    s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, n_strata, treated, look,
    active, score, variance,
):  # fmt: skip
    """Stratified log-rank score (expected minus observed events) and its variance at a look.

    Args:
        look: (n_trials,) calendar months. active: (n_trials,) bool.
        score, variance: (n_trials,), filled where active.
    """
    n_trials, n = s_time.shape
    arrays = two_arm_arrays(n)
    _, duration, event, group, layer, _ = arrays
    for t in range(n_trials):
        if not active[t]:
            continue
        m = two_arms_at_look(
            s_time, s_exit, s_code, s_patient, enrolment, exit_, arm, stratum, treated, look, t,
            arrays,
        )  # fmt: skip
        score[t], variance[t] = logrank_stratified_sums_sorted(
            duration[:m], event[:m], group[:m], layer[:m], n_strata
        )


@nb.njit(nogil=True, cache=True, error_model="numpy")
def kth_smallest_by_row(values, k, out):
    """The k-th smallest of each row, k (n_rows,) of each row's own; inf where it has fewer."""
    ranks = np.ones(1, np.int64)
    found = np.empty((1, 1))
    for t in range(values.shape[0]):
        if k[t] < 1:
            out[t] = np.inf
            continue
        ranks[0] = k[t]
        kth_smallest(values[t : t + 1], ranks, found)
        out[t] = found[0, 0]


@nb.njit(nogil=True, cache=True, error_model="numpy")
def tally_looks(response, calendar_event, enrolment, arm, before, look, active, out):
    """Numbers, sums and sums of squares of the responses known, by arm, before the last look and
    since.

    Args:
        before, look: (n_trials,) months of the last look and of this one.
        out: (n_trials, 2, n_arms, 3), filled where active; the responses are taken from each
            trial's first one, which keeps the sums of squares exact. Other arm codes count nowhere.
    """
    n_trials, n = arm.shape
    n_arms = out.shape[2]
    for t in range(n_trials):
        if not active[t]:
            continue
        out[t] = 0.0
        shift = response[t, 0] if response[t, 0] == response[t, 0] else 0.0
        for i in range(n):
            if enrolment[t, i] > look[t]:
                break
            when = calendar_event[t, i]
            a = arm[t, i]
            y = response[t, i] - shift
            if when <= look[t] and a < n_arms and y == y:
                s = 1 if when > before[t] else 0
                out[t, s, a, 0] += 1.0
                out[t, s, a, 1] += y
                out[t, s, a, 2] += y * y


@nb.njit(nogil=True, cache=True, error_model="numpy")
def count_arms(enrolment, calendar, arm, month, before, out):
    """Patients by arm who came by a month, and those of them for whom ``calendar`` is later than
    ``before``; out (n_trials, 2, n_arms), filled."""
    n_trials, n = arm.shape
    n_arms = out.shape[2]
    for t in range(n_trials):
        out[t] = 0
        for i in range(n):
            if enrolment[t, i] > month[t]:
                break
            a = arm[t, i]
            if a < n_arms and calendar[t, i] <= month[t]:
                out[t, 0, a] += 1
                if calendar[t, i] > before[t]:
                    out[t, 1, a] += 1


@nb.njit(nogil=True, cache=True, error_model="numpy")
def first_chosen(chosen, out):
    """Places of the chosen of each row in their order, then of the others; out as ``chosen``."""
    n_rows, n = chosen.shape
    for t in range(n_rows):
        place = 0
        for i in range(n):
            if chosen[t, i]:
                out[t, place] = i
                place += 1
        for i in range(n):
            if not chosen[t, i]:
                out[t, place] = i
                place += 1
