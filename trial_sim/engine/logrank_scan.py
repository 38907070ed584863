"""Compiled log-rank test and two-group Cox estimate of sorted trials: one scan a look.

The arrays are those of ``trial_sim.engine.kernels``: patients in order of time on study, and the
same patients in order of enrolment. A look is a merge of the two, so nothing is sorted again.
"""

# Loop counters become NumPy integers inside compiled code, which mypy cannot follow.
# mypy: disable-error-code="assignment"

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _risk_sets(
    sorted_time, sorted_exit, sorted_code, enrolment, exit_, arm, treated, look, scratch, risk, hit
):
    """Numbers at risk at each event of one trial without ties, in a merge without branches.

    Args:
        scratch: four (n + 2,) arrays: ended times and their codes, running times and arms.
        risk: (n + 1, 2) float64, filled with patients at risk in control and in ``treated``; the
            last row is a scratch.
        hit: (n + 1,) float64, filled with 1 where the event is in ``treated``.

    Returns:
        number of events.
    """
    ended, ended_code, running, running_one = scratch
    step = np.uintp(1)
    n = sorted_time.shape[0]
    treated_code = np.int64(2 * treated)
    ones = np.int64(0)
    n_events = np.int64(0)
    n_ended = np.uintp(1)  # places 0 and n + 1 are sentinels
    for k in range(n):
        code = np.int64(sorted_code[k])
        group = code & ~1
        hits = np.int64(group == treated_code)
        ended[n_ended] = sorted_time[k]
        ended_code[n_ended] = 2 * hits + (code & 1)
        kept = np.int64((sorted_exit[k] <= look) & ((group == 0) | (group == treated_code)))
        n_ended += np.uintp(kept)
        ones += hits & kept
        n_events += code & kept
    low = 0
    high = n
    while low < high:  # enrolment is ascending: those before `low` have entered
        middle = (low + high) // 2
        if enrolment[middle] <= look:
            low = middle + 1
        else:
            high = middle
    n_running = np.uintp(1)
    for i in range(low - 1, -1, -1):
        hits = np.int64(arm[i] == treated)
        running[n_running] = look - enrolment[i]
        running_one[n_running] = hits
        kept = np.int64((exit_[i] > look) & ((arm[i] == 0) | (arm[i] == treated)))
        n_running += np.uintp(kept)
        ones += hits & kept
    ended[n_ended] = np.inf
    running[n_running] = np.inf
    # Times are not negative, so their bits order as they do; integers keep the compiler from
    # turning the comparison, which no processor can predict, into a branch.
    ended_bits = ended.view(np.int64)
    running_bits = running.view(np.int64)
    ended_bits[0] = -1
    running_bits[0] = -1
    total = np.int64(n_ended + n_running) - 2
    # The merge runs from both ends at once, two chains of steps that do not wait for each other.
    spare = np.uintp(n)
    at_front = total
    one_front = ones
    event_front = np.uintp(0)
    a = step
    b = step
    at_back = np.int64(0)
    one_back = np.int64(0)
    event_back = np.uintp(n_events)
    c = n_ended - step
    d = n_running - step
    for _ in range((total + 1) >> 1):
        takes = ((ended_bits[a] - running_bits[b] - 1) >> 63) & 1  # 1 where ended <= running
        code = ended_code[a]
        group = running_one[b] + takes * ((code >> 1) - running_one[b])
        seen = np.uintp(takes & code)
        place = spare + seen * (event_front - spare)  # censored ones go to a spare row
        risk[place, 0] = at_front - one_front
        risk[place, 1] = one_front
        hit[place] = group
        event_front += seen
        one_front -= group
        at_front -= 1
        a += np.uintp(takes)
        b += step - np.uintp(takes)

        takes = 1 - (((ended_bits[c] - running_bits[d] - 1) >> 63) & 1)  # 1 where ended is later
        code = ended_code[c]
        group = running_one[d] + takes * ((code >> 1) - running_one[d])
        at_back += 1
        one_back += group
        seen = np.uintp(takes & code)
        event_back -= seen
        place = spare + seen * (event_back - spare)
        risk[place, 0] = at_back - one_back
        risk[place, 1] = one_back
        hit[place] = group
        c -= np.uintp(takes)
        d -= step - np.uintp(takes)
    return n_events


@nb.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _sums(risk, hit, n_events):
    """Log-rank sums from the numbers at risk: (expected minus observed, variance, observed)."""
    numerator = 0.0
    variance = 0.0
    observed = 0.0
    for j in range(n_events):
        share = risk[j, 1] / (risk[j, 0] + risk[j, 1])
        numerator += share - hit[j]
        variance += share * (1.0 - share)
        observed += hit[j]
    return numerator, variance, observed


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _scan(sorted_time, sorted_exit, sorted_code, enrolment, exit_, arm, treated, look, risk):
    """Log-rank sums of one trial at one look, with ties: one group of equal times after another.

    Args:
        risk: (n, 2) float64, filled with the patients at risk in control and in ``treated`` at each
            event (Efron's shares where events tie), which is what a Cox likelihood needs.

    Returns:
        (expected minus observed events of ``treated``, variance, events, events of ``treated``).
    """
    n = sorted_time.shape[0]
    last = n - 1
    while last >= 0 and enrolment[last] > look:
        last -= 1
    zero = 0
    one = 0
    for i in range(last + 1):
        zero += arm[i] == 0
        one += arm[i] == treated
    numerator = 0.0
    variance = 0.0
    n_events = 0
    n_treated = 0
    a = 0
    while a < n:
        if sorted_exit[a] > look:
            a += 1
            continue
        now = sorted_time[a]
        while last >= 0 and look - enrolment[last] < now:
            if exit_[last] > look:
                zero -= arm[last] == 0
                one -= arm[last] == treated
            last -= 1
        # Ties: everybody whose time is `now` is at risk, and leaves together.
        deaths = 0
        deaths_one = 0
        leaving = 0
        leaving_one = 0
        while a < n and sorted_time[a] == now:
            group = sorted_code[a] >> 1
            if sorted_exit[a] <= look and (group == 0 or group == treated):
                leaving += 1
                leaving_one += group == treated
                if sorted_code[a] & 1:
                    deaths += 1
                    deaths_one += group == treated
            a += 1
        if deaths > 0:
            at_risk = zero + one
            share = one / at_risk
            numerator += deaths * share - deaths_one
            if at_risk > 1:
                variance += deaths * share * (1.0 - share) * (at_risk - deaths) / (at_risk - 1.0)
            for j in range(deaths):
                risk[n_events + j, 0] = zero - j * (deaths - deaths_one) / deaths
                risk[n_events + j, 1] = one - j * deaths_one / deaths
            n_events += deaths
            n_treated += deaths_one
        zero -= leaving - leaving_one
        one -= leaving_one
    return numerator, variance, n_events, n_treated


@nb.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _cox_sums(risk, n_events, factor):
    expected = 0.0
    information = 0.0
    for j in range(n_events):
        weighted = risk[j, 1] * factor
        share = weighted / (risk[j, 0] + weighted)
        expected += share
        information += share * (1.0 - share)
    return expected, information


@nb.njit(nogil=True, cache=True, error_model="numpy")
def cox_newton_two_groups(risk, n_events, n_treated, start):
    """Log hazard ratio of a single 0/1 covariate and its standard error, by Newton's method."""
    beta = start
    information = 0.0
    for _ in range(50):
        expected, information = _cox_sums(risk, n_events, np.exp(beta))
        if information <= 0.0:
            return np.nan, np.nan
        step = (n_treated - expected) / information
        step = min(max(step, -2.0), 2.0)
        beta += step
        if abs(beta) > 15.0:
            return np.nan, np.nan
        if abs(step) < 1e-7:  # and the information has converged to as much
            break
    return beta, 1.0 / np.sqrt(information)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def logrank_looks(
    sorted_time, sorted_exit, sorted_code, tied, enrolment, exit_, arm, treated, look, active,
    score, variance, beta, se,
):  # fmt: skip
    """Log-rank score, its variance, and the Cox estimate (Efron ties) of ``treated`` at a look.

    Args:
        look: (n_trials,) calendar months. active: (n_trials,) bool.
        score, variance, beta, se: (n_trials,), filled where active: score is expected minus
            observed events of ``treated``; beta, the log hazard ratio, and se are NaN where an
            arm has no events.
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
def standardised(score, variance):
    """Score over the root of its variance, (n_trials,); 0 where there is no information."""
    z = np.zeros(score.shape[0])
    for t in range(score.shape[0]):
        if variance[t] > 0.0:
            z[t] = score[t] / np.sqrt(variance[t])
    return z
