"""Compiled loops of the engine: follow each patient, sort each trial once, cut the data of a look.

At a look at calendar month L a patient's data are the time to event or dropout if that has happened
by L, and otherwise censoring at L minus enrolment. Patients who have ended come in the order of
their time; patients still running come in the reverse order of enrolment. So the data of any look
are a merge of two orders that are known once a trial has been sorted: no look needs a sort.

Arrays of a batch: ``enrolment``, ``exit`` (n_trials, n) in order of enrolment; ``sorted_time``,
``sorted_exit``, ``sorted_patient`` the same patients in order of time on study. ``exit`` is the
calendar month of the end of follow-up, computed once as enrolment + time and compared as such, so
that a look at the k-th event counts exactly k events.
"""

# Loop counters become NumPy integers inside compiled code, which mypy cannot follow.
# mypy: disable-error-code="assignment"

from __future__ import annotations

import numba as nb
import numpy as np

_LARGE_BIN = 64
_SAMPLE = 64  # patients that tell the typical time, which only places the bins


@nb.njit(nogil=True, cache=True, error_model="numpy")
def observe(latent, dropout, follow_up, enrolment, time, event, exit_, calendar_event):
    """Time on study, event indicator and calendar months of every patient.

    Args:
        latent: (n_trials, n) months to the event. dropout: the same to dropout, or (0, 0) for none.
        follow_up: months after which a patient's follow-up ends; inf for no end.
        enrolment: (n_trials, n) calendar months.
        time, event, exit_, calendar_event: (n_trials, n), filled; ``event`` is int8.
    """
    n_trials, n = latent.shape
    leaves = dropout.shape[0] > 0
    for t in range(n_trials):
        for i in range(n):
            limit = follow_up
            if leaves:
                limit = min(limit, dropout[t, i])
            x = latent[t, i]
            e = np.int8(x <= limit and x < np.inf)
            x = min(x, limit)
            time[t, i] = x
            event[t, i] = e
            out = enrolment[t, i] + x
            exit_[t, i] = out
            calendar_event[t, i] = out if e else np.inf


@nb.njit(nogil=True, cache=True, error_model="numpy")
def sort_trials(
    time, exit_, event, arm, sorted_time, sorted_exit, sorted_code, sorted_patient, tied
):
    """Sort the patients of each trial by time on study.

    Times are spread over bins by x / (x + typical), nearly even for exponential-like times, and
    one insertion pass puts the nearly sorted patients in order; a trial with a crowded bin is
    sorted by merging instead.

    Args:
        time, exit_: (n_trials, n) float64; event, arm: (n_trials, n) int8.
        sorted_time, sorted_exit: (n_trials, n), filled.
        sorted_code: (n_trials, n) int8, filled with 2 * arm + event.
        sorted_patient: (n_trials, n) int32, filled with patients' numbers.
        tied: (n_trials,) bool, filled: whether two finite times are equal.
    """
    n_trials, n = time.shape
    n_bins = 2 * n
    ends = np.empty(n_bins + 1, np.int32)
    bin_of = np.empty(n, np.int32)
    for t in range(n_trials):
        row = time[t]
        times = sorted_time[t]
        patients = sorted_patient[t]
        total = 0.0
        finite = 0
        for i in range(min(n, _SAMPLE)):
            if row[i] < np.inf:
                total += row[i]
                finite += 1
        typical = total / finite if total > 0.0 else 1.0
        for i in range(n):
            bin_of[i] = np.int32(n_bins - n_bins * (typical / (row[i] + typical)))
        ends[:] = 0
        for i in range(n):
            ends[np.uintp(bin_of[i])] += 1
        most = np.int32(0)
        filled = np.int32(0)
        for b in range(n_bins + 1):
            count = ends[b]
            ends[b] = filled
            filled += count
            most = max(most, count)
        if most > _LARGE_BIN:
            order = np.argsort(row, kind="mergesort")
            for k in range(n):
                times[k] = row[order[k]]
                patients[k] = order[k]
        else:
            for i in range(n):
                b = np.uintp(bin_of[i])
                place = np.uintp(ends[b])
                times[place] = row[i]
                patients[place] = i
                ends[b] += 1
            for k in range(1, n):
                x = times[k]
                if x < times[k - 1]:
                    who = patients[k]
                    j = k
                    while j > 0 and times[j - 1] > x:
                        times[j] = times[j - 1]
                        patients[j] = patients[j - 1]
                        j -= 1
                    times[j] = x
                    patients[j] = who
        equal = 0
        for k in range(1, n):
            equal += (times[k] == times[k - 1]) & (times[k] < np.inf)
        tied[t] = equal > 0
        for k in range(n):
            i = np.uintp(patients[k])
            sorted_exit[t, k] = exit_[t, i]
            sorted_code[t, k] = 2 * arm[t, i] + event[t, i]


@nb.njit(nogil=True, cache=True, error_model="numpy")
def count_looks(enrolment, calendar_event, arm, look, decision, active, events, patients):
    """Events by arm at each trial's look, and patients enrolled by its decision.

    Args:
        look, decision: (n_trials,) calendar months. active: (n_trials,) bool.
        events: (n_trials, n_arms) int64, filled. patients: (n_trials,) int64, filled.
    """
    n_trials, n = enrolment.shape
    m = calendar_event.shape[1]
    n_arms = events.shape[1]
    for t in range(n_trials):
        if not active[t]:
            continue
        events[t, :] = 0
        if n_arms == 2:
            zero = 0
            one = 0
            for i in range(m):
                seen = np.int64(calendar_event[t, i] <= look[t])
                one += seen * arm[t, i]
                zero += seen
            events[t, 0] = zero - one
            events[t, 1] = one
        else:
            for i in range(m):
                if calendar_event[t, i] <= look[t]:
                    events[t, arm[t, i]] += 1
        entered = np.int64(0)
        for i in range(n):
            entered += enrolment[t, i] <= decision[t]
        patients[t] = entered


@nb.njit(nogil=True, cache=True, error_model="numpy")
def data_at_look(
    sorted_time, sorted_exit, sorted_code, sorted_patient, enrolment, exit_, look, out
):
    """The patients of one trial that a look shows, in ascending order of observed time.

    Args:
        out: (n, 3) float64, filled with observed time, event and patient number.

    Returns:
        number of patients entered by the look; only so many rows of ``out`` are filled.
    """
    n = sorted_time.shape[0]
    last = n - 1
    while last >= 0 and enrolment[last] > look:
        last -= 1
    filled = 0
    a = 0
    while True:
        while a < n and sorted_exit[a] > look:
            a += 1
        while last >= 0 and exit_[last] <= look:
            last -= 1
        if a >= n and last < 0:
            return filled
        if last < 0 or (a < n and sorted_time[a] <= look - enrolment[last]):
            out[filled, 0] = sorted_time[a]
            out[filled, 1] = sorted_code[a] & 1
            out[filled, 2] = sorted_patient[a]
            a += 1
        else:
            out[filled, 0] = look - enrolment[last]
            out[filled, 1] = 0.0
            out[filled, 2] = last
            last -= 1
        filled += 1
