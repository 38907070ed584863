"""A batch of simulated trials: patients drawn once, then watched at every look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from trial_sim.design.design import Design
from trial_sim.design.look_rules import Observed
from trial_sim.design.randomization import joint_stratum, stacked_codes
from trial_sim.engine.kernels import observe, sort_trials
from trial_sim.numerics.buffers import empty
from trial_sim.numerics.random_streams import Streams
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch

_NOBODY = np.empty((0, 0))


@dataclass(frozen=True)
class TrialBatch:
    """Everything that ever happens to the patients of a batch; nothing here is redrawn later.

    All arrays are (n_trials, n_patients), patients in order of enrolment.

    Attributes:
        design: the design. streams: the random numbers.
        enrolment: calendar months. arm: int8 codes, 0 is the control.
        factors: stratification factors, integer codes.
        outcome: what the scenario drew.
        time: months on study until event, dropout or end of follow-up (until the response is known,
            for endpoints that are not times).
        event: int8, 1 where ``time`` ends in the event (or the response is known).
        exit: calendar month of the end of follow-up. calendar_event: that of the event, or inf;
            for recurrent events (n_trials, n_patients * n_max), all of them.
        scenario: what drew the outcomes; None where they were not drawn by one, and ``redraw``
            gives the batch with other arms instead.
        closed: (n_trials, n_arms) calendar month in which an arm was stopped, inf while open; None
            while all are.
    """

    design: Design
    streams: Streams
    enrolment: np.ndarray
    arm: np.ndarray
    factors: Mapping[str, np.ndarray]
    outcome: OutcomeBatch
    time: np.ndarray
    event: np.ndarray
    exit: np.ndarray
    calendar_event: np.ndarray
    scenario: Any = None
    closed: np.ndarray | None = None
    redraw: Callable[[np.ndarray], TrialBatch] | None = None

    @property
    def n_trials(self) -> int:
        """Number of trials in the batch."""
        return self.arm.shape[0]

    def observed_of(self, rows: Any) -> Observed:
        """What the rules of the looks need, of some trials (an index of the first axis)."""
        return Observed(
            self.enrolment[rows], self.calendar_event[rows], self.exit[rows], self.event[rows] == 1
        )

    @property
    def sorted(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Time, exit, 2 * arm + event, and patient, each in order of time within its trial."""
        time, exit_, code, patient, _ = self._sorted
        return time, exit_, code, patient

    @property
    def tied(self) -> np.ndarray:
        """Whether two times of a trial are equal, (n_trials,) bool."""
        return self._sorted[4]

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, ...]:
        shape = self.time.shape
        time, exit_ = empty(shape), empty(shape)
        code, patient = empty(shape, np.int8), empty(shape, np.int32)
        tied = np.empty(self.n_trials, np.bool_)
        sort_trials(self.time, self.exit, self.event, self.arm, time, exit_, code, patient, tied)
        return time, exit_, code, patient, tied

    @property
    def event_arm(self) -> np.ndarray:
        """Arm of each entry of ``calendar_event``."""
        repeats = self.calendar_event.shape[1] // self.arm.shape[1]
        return self.arm if repeats == 1 else np.repeat(self.arm, repeats, axis=1)

    @cached_property
    def stratum(self) -> np.ndarray:
        """Joint stratum of each patient, int64; all 0 without strata."""
        return joint_stratum(stacked_codes(self.factors, self.arm.shape), self.n_levels)

    @property
    def n_levels(self) -> np.ndarray:
        """Number of levels of each stratification factor."""
        return np.array([len(levels) for levels in self.design.strata.values()], dtype=np.int64)

    @property
    def n_strata(self) -> int:
        """Number of joint strata."""
        return self.design.n_strata


def draw_batch(design: Design, outcomes: Any, streams: Streams) -> TrialBatch:
    """Enrol, randomise, and draw the outcomes and dropout of a batch of trials.

    Raises:
        ValueError: if the scenario returns arrays of the wrong shape.
    """
    n = design.n_patients
    enrolment = design.accrual.sample(streams, n)
    factors = design.draw_strata(streams)
    codes = stacked_codes(factors, (streams.n_trials, n))
    n_levels = np.array([len(levels) for levels in design.strata.values()], dtype=np.int64)
    patients = PatientBatch(
        streams=streams,
        arms=design.arm_names,
        arm=np.zeros((streams.n_trials, n), np.int8),
        enrolment=enrolment,
        factors=factors,
        levels={factor: tuple(levels) for factor, levels in design.strata.items()},
    )
    if design.randomization.needs_outcomes:
        arm = design.randomization.allocate_adaptively(patients, outcomes, design)
    else:
        arm = design.randomization.allocate(streams, design.quota, codes, n_levels)
    patients = PatientBatch(
        streams, design.arm_names, arm, enrolment, patients.factors, patients.levels
    )
    outcome = outcomes.sample(patients)
    followed = follow(design, patients, outcome)
    return TrialBatch(design, streams, enrolment, arm, factors, outcome, *followed, outcomes)


_MOMENT = 1e-12  # relative: an event at the very moment of a decision is seen, despite rounding


def until_closed(closed: np.ndarray, arm: np.ndarray, enrolment: np.ndarray) -> np.ndarray:
    """Months (n_trials, n_patients) that patients are followed until their arm closes.

    Args:
        closed: (n_trials, n_arms) calendar month at which an arm closes, inf for never.
    """
    ends = np.take_along_axis(closed, arm.astype(np.int64), axis=1)
    return np.maximum(ends * (1 + _MOMENT) - enrolment, 0.0)


def follow(
    design: Design,
    patients: PatientBatch,
    outcome: OutcomeBatch,
    limit: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Time, event, exit and calendar month of the event of every patient.

    Args:
        limit: (n_trials, n_patients) months after which a patient is not followed; None for no end.
    """
    enrolment, arm = patients.enrolment, patients.arm
    dropout = design.dropout.sample(patients.streams, arm, design.arm_names)
    for other in (outcome.dropout, limit):
        if other is not None:
            dropout = other if dropout is None else np.minimum(dropout, other)
    latent = _latent(design, outcome, arm.shape)
    time, exit_ = empty(latent.shape), empty(latent.shape)
    calendar_event, event = empty(latent.shape), empty(latent.shape, np.int8)
    follow_up = np.inf if design.follow_up is None else float(design.follow_up)
    left = _NOBODY if dropout is None else dropout
    observe(latent, left, follow_up, enrolment, time, event, exit_, calendar_event)
    if outcome.cause is not None:
        event &= outcome.cause == 1
        calendar_event[event == 0] = np.inf
    if outcome.visits is not None:
        event &= np.isfinite(outcome.visits[:, :, -1])
        calendar_event[event == 0] = np.inf
    if outcome.recurrences is not None:
        event[:] = 0
        seen = outcome.recurrences <= time[:, :, None]
        calendar_event = np.where(seen, enrolment[:, :, None] + outcome.recurrences, np.inf)
        calendar_event = np.ascontiguousarray(calendar_event.reshape(len(time), -1))
    return time, event, exit_, calendar_event


def _latent(design: Design, outcome: OutcomeBatch, shape: tuple[int, ...]) -> np.ndarray:
    """Months from enrolment to what the design counts: the event, or the known response."""
    if design.endpoint is not None:
        if design.endpoint not in outcome.endpoints:
            known = sorted(outcome.endpoints)
            raise ValueError(f"the scenario has no endpoint {design.endpoint!r}; it has {known}")
        latent = outcome.endpoints[design.endpoint]
    elif outcome.time is not None:
        latent = outcome.time
    elif outcome.visit_months:
        return np.full(shape, max(design.readout, outcome.visit_months[-1]))
    else:
        return np.full(shape, design.readout)
    if latent.shape != shape:
        raise ValueError(
            f"the scenario must return times of shape {shape} (trials, patients), got "
            f"{latent.shape}"
        )
    return np.ascontiguousarray(latent, dtype=float)
