"""An arm that stops takes no more patients, and those in it are no longer followed.

Patients who come after the decision go to the control and the arms still open, in their ratio. What
happens to them there comes from the random numbers that they would have had anywhere, so patients
whose arm stays the same are never drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from trial_sim.design.design import Design, whole_quota
from trial_sim.design.randomization import PermutedBlocks, RandomizationRule, stacked_codes
from trial_sim.engine.batch import TrialBatch, follow, until_closed
from trial_sim.numerics.random_streams import Streams
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch


def close_arms(
    batch: TrialBatch, rows: np.ndarray, stopping: np.ndarray, month: np.ndarray
) -> TrialBatch:
    """The batch with some arms of some trials stopped.

    Args:
        rows: (k,) trials of the batch. stopping: (k, n_arms - 1) bool, arms but for the control.
        month: (k,) calendar month of the decision.
    """
    design, n_arms = batch.design, len(batch.design.arm_names)
    closed = np.full((batch.n_trials, n_arms), np.inf) if batch.closed is None else batch.closed
    closed = closed.copy()
    at = closed[rows]
    at[:, 1:] = np.where(stopping, np.minimum(at[:, 1:], month[:, None]), at[:, 1:])
    closed[rows] = at
    before = PatientBatch(
        Streams(batch.streams.seed, batch.streams.scenario, batch.streams.trials[rows]),
        design.arm_names,
        batch.arm[rows],
        batch.enrolment[rows],
        {name: codes[rows] for name, codes in batch.factors.items()},
        {factor: tuple(levels) for factor, levels in design.strata.items()},
    )
    arm = _allocated(design, before, batch.scenario, at, month)
    if batch.redraw is not None:
        return _cut(batch.redraw(_put(batch.arm, rows, arm)), closed)
    outcome = rows_of(batch.outcome, rows)
    patients = replace(before, arm=arm)
    changed = arm != before.arm
    if changed.any():
        outcome = where_changed(changed, batch.scenario.sample(patients), outcome)
    limit = until_closed(at, arm, patients.enrolment)
    followed = follow(design, patients, outcome, limit)
    everything = put_outcome(batch.outcome, rows, outcome)
    calendar = batch.calendar_event
    if everything.recurrences is not None:  # a patient may have more events in another arm
        calendar = calendar.reshape(*batch.arm.shape, -1)
        calendar = _wider(calendar, everything.recurrences.shape[2]).reshape(len(calendar), -1)
    time, event, exit_, months = followed
    return replace(
        batch,
        arm=_put(batch.arm, rows, arm),
        outcome=everything,
        time=_put(batch.time, rows, time),
        event=_put(batch.event, rows, event),
        exit=_put(batch.exit, rows, exit_),
        calendar_event=_put(calendar, rows, months),
        closed=closed,
    )


def _cut(batch: TrialBatch, closed: np.ndarray) -> TrialBatch:
    """The batch with the follow-up of stopped arms ended."""
    limit = until_closed(closed, batch.arm, batch.enrolment)
    over = batch.time > limit
    late = over
    if batch.outcome.recurrences is not None:
        late = (batch.outcome.recurrences > limit[:, :, None]).reshape(len(limit), -1)
    return replace(
        batch,
        time=np.where(over, limit, batch.time),
        event=np.where(over, np.int8(0), batch.event),
        exit=np.where(over, batch.enrolment + limit, batch.exit),
        calendar_event=np.where(late, np.inf, batch.calendar_event),
        closed=closed,
    )


def _allocated(
    design: Design, patients: PatientBatch, scenario: Any, closed: np.ndarray, month: np.ndarray
) -> np.ndarray:
    """Arms once those of ``closed`` (k, n_arms) take nobody after their month."""
    if design.randomization.needs_outcomes:
        if scenario is None:
            raise ValueError(
                "an arm stops while response-adaptive allocation goes on: the rest of such a trial "
                "is not predicted"
            )
        return design.randomization.allocate_adaptively(patients, scenario, design, closed)
    n = patients.n_patients
    first = (patients.enrolment <= month[:, None]).sum(axis=1)
    arm = patients.arm.copy()
    shares = np.array(list(design.arms.values()), dtype=float)
    codes = stacked_codes(patients.factors, arm.shape)
    n_levels = np.array([len(levels) for levels in design.strata.values()], dtype=np.int64)
    open_arms = np.isinf(closed)
    for pattern in np.unique(open_arms, axis=0):
        mine = np.flatnonzero((open_arms == pattern).all(axis=1) & (first < n))
        if mine.size == 0:
            continue
        left = np.flatnonzero(pattern)
        # Patients are shifted so that the first one after the decision is the first of the rule.
        place = first[mine, None] + np.arange(n)
        after = place < n
        place = np.minimum(place, n - 1)
        streams = Later(
            Streams(
                patients.streams.seed, patients.streams.scenario, patients.streams.trials[mine]
            ),
            place,
        )
        quota = whole_quota(tuple(shares[left].tolist()))
        here = (
            np.stack([np.take_along_axis(c[mine], place, axis=1) for c in codes])
            if len(codes)
            else codes[:, mine]
        )
        rule = rule_for(design.randomization, quota)
        drawn = rule.allocate(streams, quota, here, n_levels)  # type: ignore[arg-type]
        row = np.broadcast_to(mine[:, None], place.shape)
        arm[row[after], place[after]] = left[drawn[after]]
    return arm


def rule_for(rule: RandomizationRule, quota: np.ndarray) -> RandomizationRule:
    """The design's rule; blocks of its default size where the given one fits no more."""
    if isinstance(rule, PermutedBlocks) and rule.block_size is not None:
        return rule if rule.block_size % quota.sum() == 0 else PermutedBlocks()
    return rule


class Later:
    """Streams that begin with a later patient of each trial."""

    def __init__(self, streams: Streams, place: np.ndarray) -> None:
        self._streams, self._place = streams, place
        self.n_trials = streams.n_trials

    def uniform(self, quantity: str, n: int, draw: int = 0) -> np.ndarray:
        """As ``Streams.uniform``, shifted."""
        drawn = self._streams.uniform(quantity, n, draw)
        return np.take_along_axis(drawn, self._place[:, :n], axis=1)


def rows_of(outcome: OutcomeBatch, rows: np.ndarray) -> OutcomeBatch:
    """The outcomes of the trials ``rows`` of a batch."""
    return each_array(outcome, lambda values: values[rows])


def each_array(outcome: OutcomeBatch, change: Any) -> OutcomeBatch:
    """The outcome with a change made to each of its arrays."""
    found: dict[str, Any] = {}
    for item in fields(OutcomeBatch):
        value = getattr(outcome, item.name)
        if isinstance(value, np.ndarray):
            value = change(value)
        elif isinstance(value, Mapping):
            value = {name: change(np.asarray(values)) for name, values in value.items()}
        found[item.name] = value
    return OutcomeBatch(**found)


def where_changed(changed: np.ndarray, new: OutcomeBatch, old: OutcomeBatch) -> OutcomeBatch:
    """New values for the patients whose arm has changed, the old ones for the others."""
    found: dict[str, Any] = {}
    for item in fields(OutcomeBatch):
        after, before = getattr(new, item.name), getattr(old, item.name)
        if isinstance(after, np.ndarray) and isinstance(before, np.ndarray):
            after = _chosen(changed, after, before)
        elif isinstance(after, Mapping):
            after = {
                name: _chosen(changed, np.asarray(values), np.asarray(before[name]))
                for name, values in after.items()
            }
        found[item.name] = after
    return OutcomeBatch(**found)


def _chosen(changed: np.ndarray, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    if new.ndim == 3:
        changed = changed[:, :, None]
        most = max(new.shape[2], old.shape[2])
        new, old = _wider(new, most), _wider(old, most)
    return np.ascontiguousarray(np.where(changed, new, old))


def _wider(values: np.ndarray, most: int) -> np.ndarray:
    """Recurrences padded with inf to ``most`` a patient."""
    gap = ((0, 0), (0, 0), (0, most - values.shape[2]))
    return np.pad(values, gap, constant_values=np.inf) if most > values.shape[2] else values


def _put(everybody: np.ndarray, rows: np.ndarray, some: np.ndarray) -> np.ndarray:
    """A copy with other rows."""
    out = everybody.copy()
    out[rows] = some
    return out


def put_outcome(everybody: OutcomeBatch, rows: np.ndarray, some: OutcomeBatch) -> OutcomeBatch:
    """``everybody`` with the trials ``rows`` taken from ``some``."""
    found: dict[str, Any] = {}
    for item in fields(OutcomeBatch):
        value, new = getattr(everybody, item.name), getattr(some, item.name)
        if item.name == "recurrences" and value is not None:
            value = _wider(value, new.shape[2])
        if isinstance(value, np.ndarray):
            value = _put(value, rows, new)
        elif isinstance(value, Mapping):
            value = {name: _put(np.asarray(v), rows, new[name]) for name, v in value.items()}
        found[item.name] = value
    return OutcomeBatch(**found)
