"""Compiled kernels that watch a trial at a calendar time without sorting it again.

A patient enters at ``entry`` and would be followed for ``time`` (the earlier of event and dropout,
measured from entry), ending in an event or not. At calendar time ``cutoff`` the patient has entered
if ``entry <= cutoff``; the follow-up has ended if ``entry + time <= cutoff`` (written so that a
cut-off computed as ``entry + time`` of an event counts that event exactly), and is censored at
``cutoff - entry`` otherwise.

Ended patients appear in the order of ``time`` and running ones in the reverse order of ``entry``:
one merge of two orders that were sorted once a trial gives the data of any look in sorted order.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def sort_at_cutoff(
    time, event, entry, by_time, by_entry, cutoff, duration_out, event_out, index_out
):
    """Data of one look, in ascending order of duration.

    Args:
        time: (n,) float64, follow-up from entry to event or dropout.
        event: (n,) bool or integer, 1 where ``time`` ends in an event.
        entry: (n,) float64, calendar time of entry.
        by_time: (n,) integer, ``argsort(time)``.
        by_entry: (n,) integer, ``argsort(entry)``.
        cutoff: calendar time of the look.
        duration_out: (n,) float64, filled with the observed durations.
        event_out: (n,) same kind as event, filled: 1 where the event was seen by the cut-off.
        index_out: (n,) integer, filled with the patients' numbers.

    Returns:
        (number of patients entered, number of events seen): only the first n_entered places of the
        outputs are filled.
    """
    n = time.shape[0]
    last = n - 1
    while last >= 0 and entry[by_entry[last]] > cutoff:
        last -= 1
    a = 0
    filled = 0
    n_events = 0
    while True:
        while a < n and entry[by_time[a]] + time[by_time[a]] > cutoff:
            a += 1
        while last >= 0 and entry[by_entry[last]] + time[by_entry[last]] <= cutoff:
            last -= 1
        if a >= n and last < 0:
            return filled, n_events
        running = np.inf
        if last >= 0:
            running = cutoff - entry[by_entry[last]]
        if a < n and time[by_time[a]] <= running:
            who = by_time[a]
            duration_out[filled] = time[who]
            event_out[filled] = event[who]
            if event[who]:
                n_events += 1
            a += 1
        else:
            who = by_entry[last]
            duration_out[filled] = running
            event_out[filled] = 0
            last -= 1
        index_out[filled] = who
        filled += 1


@njit(cache=True, nogil=True)
def logrank_at_cutoff(time, event, group, entry, by_time, by_entry, cutoff):
    """Log-rank sums of one trial at a calendar time, without sorting or copying.

    Args:
        time, event, entry, by_time, by_entry, cutoff: as `sort_at_cutoff`.
        group: (n,) integer, 0 or 1.

    Returns:
        (expected minus observed events of group 1, variance, events seen, patients entered).
    """
    n = time.shape[0]
    last = n - 1
    while last >= 0 and entry[by_entry[last]] > cutoff:
        last -= 1
    entered = last + 1
    ones = 0
    for b in range(entered):
        ones += group[by_entry[b]]
    at_risk = entered
    numerator = 0.0
    variance = 0.0
    n_events = 0
    a = 0
    while a < n:
        now = time[by_time[a]]
        while last >= 0:  # running patients whose follow-up is shorter than now have left
            other = by_entry[last]
            if entry[other] + time[other] <= cutoff:
                last -= 1
            elif cutoff - entry[other] < now:
                at_risk -= 1
                ones -= group[other]
                last -= 1
            else:
                break
        deaths = 0
        deaths_one = 0
        leaving = 0
        leaving_one = 0
        while a < n and time[by_time[a]] == now:
            who = by_time[a]
            if entry[who] + time[who] <= cutoff:
                leaving += 1
                leaving_one += group[who]
                if event[who]:
                    deaths += 1
                    deaths_one += group[who]
            a += 1
        if deaths > 0:
            share = ones / at_risk
            numerator += deaths * share - deaths_one
            if deaths == 1:
                variance += share * (1.0 - share)
            elif at_risk > 1:
                variance += deaths * share * (1.0 - share) * (at_risk - deaths) / (at_risk - 1.0)
            n_events += deaths
        at_risk -= leaving
        ones -= leaving_one
    return numerator, variance, n_events, entered
