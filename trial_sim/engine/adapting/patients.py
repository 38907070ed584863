"""All patients who may enter a batch of adaptive trials, with random numbers of their own.

A trial has a queue of arrivals. The trial's decisions say which of them are enrolled (up to its
size, from the population that is open, after a pause) and in which arm. A patient's outcome comes
from the patient's own random numbers, so that it is the same in every course of the trial in which
the arm is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.design import Design, whole_quota
from trial_sim.design.randomization import PermutedBlocks, stacked_codes
from trial_sim.engine.adapting.scores import first_chosen
from trial_sim.engine.batch import TrialBatch, follow, until_closed
from trial_sim.engine.kernels import sort_trials
from trial_sim.engine.stopped_arms import (
    Later,
    each_array,
    put_outcome,
    rows_of,
    rule_for,
    where_changed,
)
from trial_sim.numerics.buffers import empty
from trial_sim.numerics.random_streams import Streams
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch

_WIDEST = 64  # times the size of a trial: more arrivals than that are not waited for
_LARGEST_BLOCK = 24


@dataclass
class _Change:
    """One decision about who comes: trials, month, and months of pause or a population."""

    rows: np.ndarray
    month: np.ndarray
    months: float = 0.0
    members: dict[str, tuple[int, ...]] | None = None


@dataclass
class _Allocation:
    """Shares of the arms of some trials from a month on."""

    rows: np.ndarray
    month: np.ndarray
    shares: np.ndarray
    freely: np.ndarray


class Patients:
    """The queues of a batch of trials, and the plan of each trial for those still to come.

    Attributes:
        target: (n_trials,) patients to enrol. opened, closed: (n_trials, n_arms) months between
            which an arm takes patients; inf for not yet. weights: (n_trials, n_arms) allocation.
        arm: (n_trials, width) int8, of the queue. arrival: (n_trials, width) months.
    """

    def __init__(self, adaptive: AdaptiveDesign, scenario: Any, streams: Streams) -> None:
        self.adaptive, self.design = adaptive, adaptive.whole_design
        self.scenario, self.streams = scenario, streams
        n, names = streams.n_trials, self.design.arm_names
        self.n_arms = len(names)
        self.target = np.full(n, self.design.n_patients)
        self.weights = np.tile(np.array(list(self.design.arms.values()), dtype=float), (n, 1))
        waiting = waiting_arms(adaptive)
        self.first = np.array([name not in waiting for name in names])
        self.opened = np.tile(np.where(self.first, 0.0, np.inf), (n, 1))
        self.closed = np.full((n, self.n_arms), np.inf)
        self.last_change = np.full(n, -np.inf)
        self.randomized_freely = np.zeros(n, bool)
        self.changes: list[_Change] = []
        self.allocations: list[_Allocation] = []
        self.restricted = np.zeros(n, bool)
        self.levels = {factor: tuple(levels) for factor, levels in self.design.strata.items()}
        self.n_levels = np.array([len(levels) for levels in self.levels.values()], dtype=np.int64)
        self._draw(likely_arrivals(adaptive))
        self.arm = self._as_planned()
        every = np.arange(n)
        for name, month in sorted(waiting.items(), key=lambda item: item[1]):
            if np.isfinite(month):
                self.open(every, names.index(name), np.full(n, month))
        self.outcome = self._sample(every)
        self.followed = self._follow(every, self.outcome)

    # -- the queue ------------------------------------------------------------------------------

    def _draw(self, width: int) -> None:
        """Arrivals and strata of a queue of this length."""
        design = self.design
        planned = design.n_patients
        self.width = width
        self.arrival = design.accrual.sample(self.streams, width, planned)
        self.factors = design.draw_strata(self.streams, width)
        self.admitted = np.ones((self.streams.n_trials, width), bool)
        for change in self.changes:
            self._apply(change)

    def _apply(self, change: _Change) -> None:
        rows = change.rows
        later = self.arrival[rows] > change.month[:, None]
        if change.members is None:
            self.arrival[rows] += np.where(later, change.months, 0.0)
            return
        inside = np.ones(later.shape, bool)
        for factor, codes in change.members.items():
            inside &= among(self.factors[factor][rows], codes)
        self.admitted[rows] &= inside | ~later

    def _as_planned(self) -> np.ndarray:
        """Arms of the queue by the design's own rule, with the arms open at the start."""
        shares = np.array(list(self.design.arms.values()))[self.first]
        codes = stacked_codes(self.factors, self.arrival.shape)
        quota = whole_quota(tuple(shares.tolist()))
        rule = self.design.randomization
        drawn = rule.allocate(self.streams, quota, codes, self.n_levels)
        return np.flatnonzero(self.first).astype(np.int8)[drawn]

    def streams_of(self, rows: np.ndarray) -> Streams:
        """The random numbers of some trials."""
        return Streams(self.streams.seed, self.streams.scenario, self.streams.trials[rows])

    def _sample(self, rows: np.ndarray) -> OutcomeBatch:
        return self.scenario.sample(self._batch_of(rows))

    def _batch_of(self, rows: np.ndarray) -> PatientBatch:
        return PatientBatch(
            self.streams_of(rows),
            self.design.arm_names,
            self.arm[rows],
            self.arrival[rows],
            {name: codes[rows] for name, codes in self.factors.items()},
            self.levels,
        )

    def _follow(
        self, rows: np.ndarray, outcome: OutcomeBatch, design: Design | None = None
    ) -> tuple[np.ndarray, ...]:
        limit = None
        if np.isfinite(self.closed[rows]).any():
            limit = until_closed(self.closed[rows], self.arm[rows], self.arrival[rows])
        return follow(design or self.design, self._batch_of(rows), outcome, limit)

    # -- decisions ------------------------------------------------------------------------------

    def open(self, rows: np.ndarray, arm: int, month: np.ndarray) -> None:
        """Open an arm to those who come after the month."""
        self.opened[rows, arm] = month
        self.last_change[rows] = np.maximum(self.last_change[rows], month)
        self.allocate(rows)

    def pause(self, rows: np.ndarray, month: np.ndarray, months: float) -> None:
        """Put off everybody who would come after the month."""
        self._record(_Change(rows, month, months))

    def restrict(self, rows: np.ndarray, month: np.ndarray, population: str) -> None:
        """Turn away, after the month, those outside a population."""
        self.restricted[rows] = True
        self._record(_Change(rows, month, members=self.adaptive.members(population)))

    def _record(self, change: _Change) -> None:
        self.changes.append(change)
        self._apply(change)

    def allocate(self, rows: np.ndarray) -> None:
        """Draw the arms of those who come after each trial's last change, by its present plan."""
        month = self.last_change[rows]
        open_now = (self.opened[rows] <= month[:, None]) & np.isinf(self.closed[rows])
        shares = np.where(open_now, self.weights[rows], 0.0)
        plan = _Allocation(rows, month, shares, self.randomized_freely[rows])
        self.allocations.append(plan)
        self._allocate(plan)

    def _allocate(self, plan: _Allocation) -> None:
        rows, shares, freely = plan.rows, plan.shares, plan.freely
        coming = (self.arrival[rows] > plan.month[:, None]) & self.admitted[rows]
        count = coming.sum(axis=1)
        order = np.empty(coming.shape, np.int64)
        first_chosen(coming, order)
        after = np.arange(self.width) < count[:, None]
        if freely.any():
            mine = np.flatnonzero(freely)
            u = self.streams_of(rows[mine]).uniform("allocation", self.width)
            edges = np.cumsum(shares[mine], axis=1)
            edges /= edges[:, -1:]
            drawn = (u[:, :, None] >= edges[:, None, :-1]).sum(axis=2).astype(np.int8)
            use = coming[mine]
            self.arm[rows[mine]] = np.where(use, drawn, self.arm[rows[mine]])
        if freely.all():
            return
        codes = stacked_codes(self.factors, self.arm.shape)
        for pattern in np.unique(shares[~freely], axis=0):
            mine = np.flatnonzero((shares == pattern).all(axis=1) & ~freely & (count > 0))
            if mine.size == 0:
                continue
            left = np.flatnonzero(pattern)
            place = order[mine]
            streams = Later(self.streams_of(rows[mine]), place)
            quota = whole_quota(tuple(pattern[left].tolist()))
            here = (
                np.stack([np.take_along_axis(c[rows[mine]], place, axis=1) for c in codes])
                if len(codes)
                else codes[:, rows[mine]]
            )
            rule = rule_for(self.design.randomization, quota)
            drawn = rule.allocate(streams, quota, here, self.n_levels)  # type: ignore[arg-type]
            row = np.broadcast_to(rows[mine][:, None], place.shape)
            use = after[mine]
            self.arm[row[use], place[use]] = left[drawn[use]]

    # -- what came of it ------------------------------------------------------------------------

    def update(self, rows: np.ndarray, before: np.ndarray, arrival: np.ndarray) -> None:
        """Outcomes and follow-up of some trials, anew where arm or arrival changed.

        before, arrival: (k, width) arms and arrivals as they were when last observed.
        """
        outcome = rows_of(self.outcome, rows)
        changed = (self.arm[rows] != before) | (self.arrival[rows] != arrival)
        if changed.any():
            outcome = where_changed(changed, self._sample(rows), outcome)
            self.outcome = _put_outcome(self.outcome, rows, outcome)
        elif not np.isfinite(self.closed[rows]).any():
            return
        self._store(rows, outcome)

    def _store(self, rows: np.ndarray, outcome: OutcomeBatch) -> None:
        found = self._follow(rows, outcome)
        self.followed = tuple(
            _put(old, rows, new, self.width) for old, new in zip(self.followed, found)
        )

    def lengthen(self) -> bool:
        """Make the queues long enough for all trials; whether they had to be."""
        wanted = self._missing()
        if not wanted:
            return False
        width = self.width
        while wanted:
            if width > _WIDEST * max(int(self.target.max()), 1):
                raise ValueError(
                    f"the population to which enrolment is restricted is so rare that {width:,} "
                    f"arrivals do not fill a trial of {int(self.target.max())} patients"
                )
            width = max(int(width * 1.5) if self.restricted.any() else 0, width + wanted)
            self._draw(width)
            self.arm = self._as_planned()
            for plan in self.allocations:
                self._allocate(plan)
            wanted = self._missing()
        every = np.arange(self.streams.n_trials)
        self.outcome = self._sample(every)
        self.followed = self._follow(every, self.outcome)
        return True

    def _missing(self) -> int:
        """Arrivals that the trial with the shortest queue lacks."""
        if not self.restricted.any():
            return max(0, int(self.target.max()) - self.width)
        return max(0, int((self.target - self.admitted.sum(axis=1)).max()))

    def batch_of(self, design: Design, outcome: OutcomeBatch) -> TrialBatch:
        """The enrolled with another endpoint of theirs, watched as a design says."""
        every = np.arange(self.streams.n_trials)
        followed = self._follow(every, outcome, design)
        return replace(
            self._enrolled(None, int(self.target.max()), outcome, followed), design=design
        )

    def batch(self, old: TrialBatch | None = None, rows: np.ndarray | None = None) -> TrialBatch:
        """The enrolled as a batch; with ``old``, only some rows are made anew, in its place."""
        n = int(self.target.max())
        if old is not None and rows is not None and old.arm.shape[1] == n:
            part = self._enrolled(rows, n)
            arrays: dict[str, Any] = {
                item.name: _put(getattr(old, item.name), rows, getattr(part, item.name), n)
                for item in fields(TrialBatch)
                if isinstance(getattr(old, item.name), np.ndarray) and item.name != "closed"
            }
            factors = {
                name: _put(codes, rows, part.factors[name]) for name, codes in old.factors.items()
            }
            outcome = _put_outcome(old.outcome, rows, part.outcome)
            made = replace(old, **arrays, factors=factors, outcome=outcome)
            if "_sorted" in old.__dict__:
                for values, some in zip(old._sorted, _sorted_of(part)):
                    values[rows] = some
                made.__dict__["_sorted"] = old._sorted
            return made
        return self._enrolled(None, n)

    def _enrolled(
        self,
        some: np.ndarray | None,
        n: int,
        outcome: OutcomeBatch | None = None,
        followed: tuple[np.ndarray, ...] | None = None,
    ) -> TrialBatch:
        """The first ``n`` enrolled of some trials (None: of all), those beyond a trial's size never
        coming; copies. With another outcome, and what was followed of it, those."""
        rows: Any = slice(None) if some is None else some
        order = None
        if self.restricted[rows].any():
            order = np.empty(self.admitted[rows].shape, np.int64)
            first_chosen(self.admitted[rows], order)
            order = order[:, :n]

        def of(values: np.ndarray) -> np.ndarray:
            mine = values[rows]
            if mine.ndim == 2 and mine.shape[1] != self.width:
                return picked(mine.reshape(len(mine), self.width, -1)).reshape(len(mine), -1)
            return picked(mine)

        def picked(mine: np.ndarray) -> np.ndarray:
            if order is not None:
                at = order if mine.ndim == 2 else order[:, :, None]
                return np.take_along_axis(mine, at, axis=1)
            out = empty((len(mine), n, *mine.shape[2:]), mine.dtype)
            out[...] = mine[:, :n]
            return out

        arrival, arm, time, event, exit_, calendar = (
            of(values) for values in (self.arrival, self.arm, *(followed or self.followed))
        )
        beyond = np.arange(arrival.shape[1]) >= self.target[rows][:, None]
        if beyond.any():
            arrival[beyond] = np.inf
            exit_[beyond] = np.inf
            event[beyond] = 0
            repeats = calendar.shape[1] // arrival.shape[1]
            calendar[np.repeat(beyond, repeats, axis=1)] = np.inf
        return TrialBatch(
            self.design,
            self.streams if some is None else self.streams_of(some),
            arrival,
            arm,
            {name: of(codes) for name, codes in self.factors.items()},
            each_array(outcome or self.outcome, of),
            time,
            event,
            exit_,
            calendar,
            self.scenario,
        )


def waiting_arms(adaptive: AdaptiveDesign) -> dict[str, float]:
    """Arms that are not open from the start → the month in which they open, inf if a rule does."""
    return {
        arm.name: np.inf if arm.name in adaptive.added_arms else float(arm.opens)
        for arm in adaptive.later_arms
        if arm.opens > 0 or arm.name in adaptive.added_arms
    }


def likely_arrivals(adaptive: AdaptiveDesign) -> int:
    """How long the queues are made at first, so that few have to be made longer."""
    most = adaptive.most_patients
    strata = adaptive.design.strata
    rarest = 1.0
    for population in adaptive.tested_populations[1:]:
        assert population is not None
        share = 1.0
        for factor, codes in adaptive.members(population).items():
            shares = list(strata[factor].values())
            share *= sum(shares[code] for code in codes)
        rarest = min(rarest, share)
    if rarest == 1.0:
        return most
    return most + int(min(1.1 * (1.0 / max(rarest, 0.05) - 1.0), 8.0) * most) + 20


def among(codes: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
    """Whether each code is one of those wanted."""
    found = codes == wanted[0]
    for code in wanted[1:]:
        found |= codes == code
    return found


def small_blocks(design: Any, shares: np.ndarray) -> bool:
    """Whether shares can be had by the design's blocks, so that no coin is needed."""
    if not isinstance(design.randomization, PermutedBlocks):
        return True
    return int(whole_quota(tuple(shares.tolist())).sum()) <= _LARGEST_BLOCK


def _sorted_of(batch: TrialBatch) -> tuple[np.ndarray, ...]:
    shape = batch.time.shape
    made = empty(shape), empty(shape), empty(shape, np.int8), empty(shape, np.int32)
    tied = np.empty(len(batch.time), np.bool_)
    sort_trials(batch.time, batch.exit, batch.event, batch.arm, *made, tied)
    return (*made, tied)


def _put(
    everybody: np.ndarray, rows: np.ndarray, some: np.ndarray, n_patients: int = 0
) -> np.ndarray:
    """Put other rows in place; of recurrences, as many a patient as either has."""
    if everybody.shape[1:] != some.shape[1:]:
        most = max(everybody.shape[1], some.shape[1]) // n_patients
        everybody, some = (_as_many(values, n_patients, most) for values in (everybody, some))
    everybody[rows] = some
    return everybody


def _put_outcome(everybody: OutcomeBatch, rows: np.ndarray, some: OutcomeBatch) -> OutcomeBatch:
    if everybody.recurrences is not None:
        return put_outcome(everybody, rows, some)
    for item in fields(OutcomeBatch):
        value, new = getattr(everybody, item.name), getattr(some, item.name)
        if isinstance(value, np.ndarray):
            value[rows] = new
        elif isinstance(value, Mapping):
            for name, values in value.items():
                values[rows] = new[name]
    return everybody


def _as_many(values: np.ndarray, n_patients: int, most: int) -> np.ndarray:
    each = values.reshape(len(values), n_patients, -1)
    gap = ((0, 0), (0, 0), (0, most - each.shape[2]))
    return np.pad(each, gap, constant_values=np.inf).reshape(len(values), -1)
