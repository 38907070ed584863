"""The calendar month at which each trial of a batch meets its next milestone."""

from __future__ import annotations

import numpy as np

from trial_sim.design.look_rules import (
    CalendarLooks,
    EnrolmentLooks,
    EventLooks,
    FirstOf,
    FollowUpLooks,
    LastOf,
    Looks,
)
from trial_sim.design.milestones import NotSimulated
from trial_sim.engine.adapting.scores import kth_smallest_by_row
from trial_sim.engine.batch import TrialBatch


def month_of(
    rule: Looks, batch: TrialBatch, counts: np.ndarray, mine: np.ndarray | None
) -> np.ndarray:
    """Calendar month at which a rule of one look is met, (n,), with each trial's own count."""
    n = batch.n_trials
    if isinstance(rule, FirstOf | LastOf):
        parts = [month_of(one, batch, np.full(n, count_of(one)), mine) for one in rule.rules]
        return (np.minimum if isinstance(rule, FirstOf) else np.maximum).reduce(parts)
    if isinstance(rule, CalendarLooks):
        return np.full(n, float(rule.months[0]))
    whole = np.nan_to_num(counts).astype(np.int64)
    if isinstance(rule, EnrolmentLooks) and mine is None:
        width = batch.enrolment.shape[1]
        at = np.minimum(whole, width) - 1
        found = np.where(whole <= width, batch.enrolment[np.arange(n), at], np.inf)
        return found + rule.follow_up
    if isinstance(rule, EnrolmentLooks):
        values = batch.enrolment + rule.follow_up
    elif isinstance(rule, FollowUpLooks):
        complete = batch.enrolment + rule.months
        counted = (batch.exit >= complete) | (batch.event == 1)
        values = np.where(counted, complete, np.inf)
    elif isinstance(rule, EventLooks):
        values = batch.calendar_event
        if mine is not None:
            repeats = values.shape[1] // mine.shape[1]
            mine = mine if repeats == 1 else np.repeat(mine, repeats, axis=1)
    else:
        raise NotSimulated(f"milestones of kind {type(rule).__name__} are not simulated")
    if mine is not None:
        values = np.where(mine, values, np.inf)
    out = np.empty(n)
    kth_smallest_by_row(np.ascontiguousarray(values), whole, out)
    return out


def count_of(rule: Looks) -> float:
    """What a rule of one look counts; NaN for the calendar and for joined rules."""
    if isinstance(rule, EventLooks):
        return float(rule.events[0])
    if isinstance(rule, EnrolmentLooks | FollowUpLooks):
        return float(rule.patients[0])
    return np.nan
