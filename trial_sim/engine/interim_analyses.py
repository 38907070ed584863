"""Run a batch of trials look by look: data cut, test, decision, patients and months used."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from trial_sim.design.design import Design
from trial_sim.engine.analysis import Analysis
from trial_sim.engine.analysis_registry import analysis_for
from trial_sim.engine.batch import TrialBatch, draw_batch
from trial_sim.engine.kernels import count_looks
from trial_sim.engine.stopped_arms import close_arms
from trial_sim.numerics.buffers import recycling
from trial_sim.numerics.random_streams import Streams
from trial_sim.sequential.family_bounds import intersections
from trial_sim.sequential.observed_spending import ObservedSpending

# Decisions about one arm at one look.
NOT_HELD, CONTINUE, EFFICACY, FUTILITY, NOT_REJECTED, DROPPED = 0, 1, 2, 3, 4, 5
DECISIONS = ("not held", "continue", "efficacy", "futility", "not rejected", "dropped")


@dataclass(frozen=True)
class Conducted:
    """What came of a batch of trials; L looks, A arms, C = A - 1 comparisons with control.

    Attributes:
        trial: (n,) trial numbers.
        look_time: (n, L) calendar month of each data cut; NaN where not held.
        triggered: (n, L) bool, whether the planned trigger was met at the look (False where the
            trial ended without it and was analysed with what there was).
        events: (n, L, A) events (or known responses) at each look; -1 where not held.
        patients: (n, L) patients enrolled by the decision; -1 where not held.
        z: (n, L, C) statistics; NaN where not held or the arm had stopped.
        decision: (n, L, C) int8, codes of :data:`DECISIONS`.
        last_look: (n,) index of the last look held.
        efficacy, futility: (n, L) bounds on the z scale that were in force; NaN where not held. Of
            a step-down method the bound of the hypotheses that were not yet rejected, together.
        estimate, se: (n, C) effect and standard error at the look that settled the arm.
    """

    trial: np.ndarray
    look_time: np.ndarray
    triggered: np.ndarray
    events: np.ndarray
    patients: np.ndarray
    z: np.ndarray
    decision: np.ndarray
    last_look: np.ndarray
    efficacy: np.ndarray
    futility: np.ndarray
    estimate: np.ndarray
    se: np.ndarray

    @classmethod
    def join(cls, parts: list[Conducted]) -> Conducted:
        """Several batches as one, in the order of the trials."""
        order = np.argsort(np.concatenate([p.trial for p in parts]), kind="stable")
        kind = type(parts[0])
        return kind(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts])[order]
               for f in fields(kind)}
        )  # fmt: skip


def look_schedule(
    batch: TrialBatch, rows: Any = slice(None)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """When each look is taken, and which is the last.

    A trial ends at the last planned look, at ``max_duration``, or when the last patient's follow-up
    has ended, whichever comes first; a look whose trigger is never reached is then held at that
    end, as the last one, with the data that there are.

    Args:
        rows: the trials wanted; all by default.

    Returns:
        look_time (n_trials, L); triggered (n_trials, L) bool; final (n_trials,) index of the look
        that is the last if nothing stops the trial before.
    """
    design = batch.design
    planned = batch.design.looks.times(batch.observed_of(rows))
    planned = np.maximum.accumulate(planned, axis=1)
    end = planned[:, -1]
    waiting = np.isinf(end)
    if waiting.any():
        exits = batch.exit[rows][waiting]
        last_exit = np.where(np.isfinite(exits), exits, 0.0).max(axis=1)
        reached = planned[waiting]
        reached = np.where(np.isfinite(reached), reached, 0.0).max(axis=1)
        end = end.copy()
        end[waiting] = np.maximum(last_exit, reached)
    if design.max_duration is not None:
        end = np.minimum(end, design.max_duration)
    triggered = planned <= end[:, None]
    look_time = np.minimum(planned, end[:, None])
    final = np.minimum(triggered.sum(axis=1), design.n_looks - 1)
    return look_time, triggered, final


def conduct(batch: TrialBatch, analysis: Analysis, looks_held: int = 0) -> Conducted:
    """Hold every look of every trial until it stops.

    looks_held: looks that are over and stopped nothing; they decide nothing here.
    """
    return conduct_batch(batch, analysis, looks_held)[0]


def conduct_batch(
    batch: TrialBatch, analysis: Analysis, looks_held: int = 0
) -> tuple[Conducted, TrialBatch]:
    """What :func:`conduct` gives, and the batch with its patients as arms stopped."""
    design = batch.design
    n, n_looks, n_arms = batch.n_trials, design.n_looks, len(design.arm_names)
    n_tests = n_arms - 1
    look_time, triggered, final = look_schedule(batch)
    planned = design.efficacy_bounds, design.futility_bounds
    family = None if design.intersection_bounds is None else _Family(design, n)
    spending = None
    if design.max_information is not None:
        spending = ObservedSpending(design.boundaries_in_force, float(design.max_information))
    efficacy, futility = np.full((n, n_looks), np.nan), np.full((n, n_looks), np.nan)
    fractions = np.full((n, n_looks), np.nan)
    events = np.full((n, n_looks, n_arms), -1, np.int64)
    patients = np.full((n, n_looks), -1, np.int64)
    z = np.full((n, n_looks, n_tests), np.nan)
    decision = np.zeros((n, n_looks, n_tests), np.int8)
    estimate, se = np.full((n, n_tests), np.nan), np.full((n, n_tests), np.nan)
    last_look = final.copy()
    open_arms = np.ones((n, n_tests), bool)
    for k in range(n_looks):
        running = open_arms.any(axis=1) & (final >= k)
        if not running.any():
            break
        now = np.ascontiguousarray(look_time[:, k])
        held_events, held_patients = np.empty((n, n_arms), np.int64), np.empty(n, np.int64)
        count_looks(
            batch.enrolment, batch.calendar_event, batch.event_arm, now, now + design.lag, running,
            held_events, held_patients,
        )  # fmt: skip
        events[running, k] = held_events[running]
        patients[running, k] = held_patients[running]
        is_last = final == k
        if spending is None:
            # A look that has become the last one is judged by the bound of the last look.
            upper = np.where(is_last, planned[0][-1], planned[0][k])
            lower = np.where(is_last, -np.inf, planned[1][k])
            if family is not None:
                upper = family.first_bounds(k, is_last)
        else:
            fractions[running, k] = spending.fraction(held_events[running].sum(axis=1))
            is_last |= fractions[:, k] >= 1.0
            upper, lower = np.full(n, np.nan), np.full(n, np.nan)
            upper[running], lower[running] = spending.bounds(
                fractions[running, : k + 1], efficacy[running, :k], futility[running, :k],
                is_last[running],
            )  # fmt: skip
        efficacy[running, k], futility[running, k] = upper[running], lower[running]
        if not design.follow_futility:
            lower = np.full(n, -np.inf)
        if k < looks_held:
            upper, lower = np.full(n, np.inf), np.full(n, -np.inf)
        found = [
            analysis.evaluate(batch, c + 1, now, running & open_arms[:, c]) for c in range(n_tests)
        ]
        active = running[:, None] & open_arms
        if design.sided == 2:
            strength = np.column_stack([np.abs(value) for value, _, _ in found])
        else:
            strength = np.column_stack([value for value, _, _ in found])
        if family is None or k < looks_held:
            rejected = active & (strength >= upper[:, None])
        else:
            rejected = family.reject(k, is_last, strength, active)
        futile = active & ~rejected & (strength <= lower[:, None])
        ended = active & ~rejected & is_last[:, None]
        here = decision[:, k]
        here[active] = CONTINUE
        here[rejected] = EFFICACY
        here[futile] = FUTILITY
        here[ended] = NOT_REJECTED
        settled = rejected | futile | ended
        for c, (value, effect, error) in enumerate(found):
            z[active[:, c], k, c] = value[active[:, c]]
            mine = settled[:, c]
            if mine.any():
                if effect is None or error is None:
                    effect, error = analysis.estimate(batch, c + 1, now, mine)
                estimate[mine, c] = effect[mine]
                se[mine, c] = error[mine]
        open_arms &= ~settled
        stopped = running & ~open_arms.any(axis=1)
        last_look[stopped] = k
        goes_on = running & ~stopped & settled.any(axis=1)
        if goes_on.any():
            rows = np.flatnonzero(goes_on)
            batch = close_arms(batch, rows, settled[rows], now[rows] + design.lag)
            later, met, last = look_schedule(batch, rows)
            look_time[rows, k + 1 :], triggered[rows, k + 1 :] = later[:, k + 1 :], met[:, k + 1 :]
            final[rows] = last_look[rows] = last
    held = np.arange(n_looks) <= last_look[:, None]
    done = Conducted(
        trial=batch.streams.trials.copy(),
        look_time=np.where(held, look_time, np.nan),
        triggered=triggered & held,
        events=events,
        patients=patients,
        z=z,
        decision=decision,
        last_look=last_look,
        efficacy=efficacy,
        futility=futility,
        estimate=estimate,
        se=se,
    )
    return done, batch


class _Family:
    """The closed test of a batch: which intersections of hypotheses are rejected so far."""

    def __init__(self, design: Design, n_trials: int) -> None:
        bounds = design.intersection_bounds
        assert bounds is not None
        self.bounds = bounds
        self.sets = intersections(len(design.arm_names) - 1)
        self.rejected = np.zeros((n_trials, len(self.sets)), bool)

    def _bounds(self, k: int, is_last: np.ndarray) -> np.ndarray:
        """Bounds of all intersections at look k of each trial, (n_trials, n_sets)."""
        return np.where(is_last[:, None], self.bounds[:, -1], self.bounds[:, k])

    def _hypotheses(self) -> np.ndarray:
        """Which hypotheses are rejected: all intersections that hold them are, (n_trials, m)."""
        holding = [self.rejected[:, self.sets[:, c]] for c in range(self.sets.shape[1])]
        return np.column_stack([some.all(axis=1) for some in holding])

    def first_bounds(self, k: int, is_last: np.ndarray) -> np.ndarray:
        """The bound of all hypotheses not yet rejected together, (n_trials,)."""
        left = (~self._hypotheses() * 2 ** np.arange(self.sets.shape[1])).sum(axis=1)
        return self._bounds(k, is_last)[np.arange(len(left)), np.maximum(left, 1) - 1]

    def reject(
        self, k: int, is_last: np.ndarray, strength: np.ndarray, active: np.ndarray
    ) -> np.ndarray:
        """Hypotheses rejected now, (n_trials, m), from the statistics of the arms still open."""
        seen = np.where(active, strength, -np.inf)
        bounds = self._bounds(k, is_last)
        for i, members in enumerate(self.sets):
            self.rejected[:, i] |= seen[:, members].max(axis=1) >= bounds[:, i]
        return active & self._hypotheses()


def run_trials(
    design: Design, outcomes: Any, seed: int, scenario: int, first: int, stop: int
) -> Conducted:
    """Simulate trials ``first`` to ``stop - 1``: the unit of work of the engine."""
    streams = Streams.span(seed, first, stop, scenario)
    with recycling((stop - first, design.n_patients)):
        batch = draw_batch(design, outcomes, streams)
        return conduct(batch, analysis_for(design, outcomes.kind))
