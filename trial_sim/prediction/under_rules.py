"""An ongoing trial carried on under the rules of its adaptive design.

The adaptive engine runs, with queues of patients that begin with those who are there. What is known
of them stays as it is, whatever a rule decides; those to come follow the drawn models. Milestones
before the cut-off are held again on the data, so that their stages and decisions are those seen.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.design import Design
from trial_sim.design.look_rules import EventLooks
from trial_sim.design.milestones import NotSimulated, is_bound
from trial_sim.engine.adapting.conduct import AdaptiveConducted, Course
from trial_sim.engine.adapting.patients import Patients, likely_arrivals
from trial_sim.engine.batch import TrialBatch, until_closed
from trial_sim.engine.interim_analyses import EFFICACY
from trial_sim.engine.kernels import observe
from trial_sim.numerics.monte_carlo import Estimate, share
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.models.events import DrawnHazards, residual_times
from trial_sim.prediction.reading.ongoing import OngoingTrial
from trial_sim.prediction.rest_of_trial import (
    Future,
    all_arms,
    all_covariates,
    all_factors,
    not_before_the_cut,
)
from trial_sim.scenarios.protocol import OutcomeBatch

_EXTRA_ARRIVALS = 1.5  # queues cannot be made longer later


@dataclass(frozen=True, eq=False)
class Carried:
    """Continued trials: what the rules did, and how each patient was followed."""

    conducted: AdaptiveConducted
    batch: TrialBatch


class _Drawn:
    """Stands where the engine expects a scenario: outcomes come from the drawn models."""

    kind = "time_to_event"


class PatientsSoFar(Patients):
    """Queues that begin with the patients who are there, whose arm and entry no rule changes."""

    def __init__(
        self,
        adaptive: AdaptiveDesign,
        trial: OngoingTrial,
        hazards: DrawnHazards,
        relative: np.ndarray | None,
        leaving: DrawnHazards,
        future: Future,
        streams: Streams,
    ) -> None:
        self.trial, self.future = trial, future
        self.old = len(trial.enrolment)
        self.hazards, self.relative = hazards, relative
        n = self.old + future.enrolment.shape[1]
        self.now = np.concatenate([trial.time, np.zeros(n - self.old)])
        self.settled = np.flatnonzero(~trial.at_risk)
        self.covariates = all_covariates(trial, adaptive.whole_design, future)
        shape = (streams.n_trials, n)
        self.to_come = np.array(streams.exponential("event", n))
        if relative is not None:
            self.to_come /= relative
        self.lost = np.empty(shape)
        residual_times(
            leaving.nodes, leaving.cumulative, np.zeros(shape, np.int64), self.now,
            np.array(streams.exponential("dropout", n)), self.lost,
        )  # fmt: skip
        seen = trial.dropout[self.settled]
        self.lost[:, self.settled] = np.where(seen, trial.time[self.settled], np.inf)
        super().__init__(adaptive, _Drawn(), streams)

    def _draw(self, width: int) -> None:
        n = self.old + self.future.enrolment.shape[1]
        if width > n:
            raise ValueError(
                f"a rule asks for more patients than the {n} who were predicted: the population "
                "to which it restricts enrolment is too rare"
            )
        self.width = n
        trial, draws = self.trial, self.streams.n_trials
        self.arrival = np.hstack([np.tile(trial.enrolment, (draws, 1)), self.future.enrolment])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wide = self.design.replace(n_patients=n)
        self.factors = all_factors(trial, wide, self.future)
        self.admitted = np.ones((draws, n), bool)
        for change in self.changes:
            self._apply(change)

    def _apply(self, change: Any) -> None:
        after = np.maximum(change.month, self.trial.cutoff)
        super()._apply(replace(change, month=after))

    def _as_planned(self) -> np.ndarray:
        arm = super()._as_planned()
        arm[:, : self.old] = all_arms(self.trial, self.future)[:, : self.old]
        return arm

    def _allocate(self, plan: Any) -> None:
        known = self.arm[:, : self.old].copy()
        super()._allocate(plan)
        self.arm[:, : self.old] = known

    def _sample(self, rows: np.ndarray) -> OutcomeBatch:
        latent = np.empty((len(rows), self.width))
        residual_times(
            self.hazards.nodes, np.ascontiguousarray(self.hazards.cumulative[rows]),
            self.arm[rows].astype(np.int64), self.now, self.to_come[rows], latent,
        )  # fmt: skip
        seen = self.trial.event[self.settled]
        latent[:, self.settled] = np.where(seen, self.trial.time[self.settled], np.inf)
        adjusted = {name: values[rows] for name, values in self.covariates.items()}
        return OutcomeBatch(time=latent, covariates=adjusted)

    def _follow(
        self, rows: np.ndarray, outcome: OutcomeBatch, design: Design | None = None
    ) -> tuple[np.ndarray, ...]:
        assert outcome.time is not None
        lost, arrival = self.lost[rows], self.arrival[rows]
        if np.isfinite(self.closed[rows]).any():
            lost = np.minimum(lost, until_closed(self.closed[rows], self.arm[rows], arrival))
        shape = arrival.shape
        time, exit_, calendar = (np.empty(shape) for _ in range(3))
        event = np.empty(shape, np.int8)
        limit = np.inf if self.design.follow_up is None else float(self.design.follow_up)
        observe(outcome.time, lost, limit, arrival, time, event, exit_, calendar)
        not_before_the_cut(self.trial, event, exit_, calendar)
        return time, event, exit_, calendar


def queue_length(adaptive: AdaptiveDesign) -> int:
    """Patients, those so far included, whom a prediction draws for a trial under rules."""
    most, likely = adaptive.most_patients, likely_arrivals(adaptive)
    return likely if likely == most else int(_EXTRA_ARRIVALS * likely)


def check_rules(adaptive: AdaptiveDesign, trial: OngoingTrial, closed: bool) -> None:
    """Raise NotSimulated or ValueError where a trial cannot be carried on under the rules."""
    if trial.blinded:
        raise ValueError(
            "the rules of the design look at arms, and the patients are blinded: predict the plain "
            "design (adaptive.design) for dates, or give the arms"
        )
    if trial.competing is not None:
        raise NotSimulated("competing events are not predicted under rules: predict the plain "
                           "design (adaptive.design)")  # fmt: skip
    if closed and len(trial.time) < adaptive.design.n_patients:
        raise ValueError(
            f"enrolment='closed' with {len(trial.time)} of {adaptive.design.n_patients} patients "
            "does not go with rules that look at the size: give a design of that size"
        )
    if adaptive.tested_endpoints or any(
        q.endpoint is not None for m in adaptive.milestones for r in m.rules for q in r.quantities
    ):
        raise NotSimulated("rules that look at another endpoint are not predicted")


def plain_design(adaptive: AdaptiveDesign) -> Design:
    """Arms, test and size as a design, with the milestones as its looks."""
    whole = adaptive.whole_design
    whens = [one.when for one in adaptive.milestones]
    counts = [w.events[0] for w in whens if isinstance(w, EventLooks)]
    if len(counts) == len(whens) and all(a < b for a, b in itertools.pairwise(counts)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return whole.replace(looks=EventLooks(counts))
    return whole


def carry_on(
    adaptive: AdaptiveDesign,
    trial: OngoingTrial,
    hazards: DrawnHazards,
    relative: np.ndarray | None,
    leaving: DrawnHazards,
    future: Future,
    streams: Streams,
) -> Carried:
    """Hold the milestones of every continued trial, and do what the rules say."""
    patients = PatientsSoFar(adaptive, trial, hazards, relative, leaving, future, streams)
    course = Course(adaptive, _Drawn(), streams, patients=patients)
    done = course.run()
    last = done.last_look
    ended = np.take_along_axis(done.decision_time, last[:, None], axis=1)[:, 0]
    if (ended <= trial.cutoff + 1e-9).all():
        k = int(last[0])
        raise ValueError(
            f"by its rules the trial ended at milestone {adaptive.milestones[k].name!r} (month "
            f"{ended[0]:.4g}), before the cut-off at month {trial.cutoff:.4g}: nothing is left to "
            "predict"
        )
    return Carried(done, course.batch)


def success_under_rules(carried: Carried) -> Estimate:
    """Share of continued trials in which an arm is found better."""
    return share(np.asarray((carried.conducted.decision == EFFICACY).any(axis=(1, 2))))


def held_already(carried: Carried, trial: OngoingTrial) -> int:
    """Milestones that were held by the cut-off in every continuation."""
    met = carried.conducted.look_time <= trial.cutoff + 1e-9
    return int((met & carried.conducted.triggered).all(axis=0).sum())


def rule_table(adaptive: AdaptiveDesign, carried: Carried, held: int) -> pd.DataFrame:
    """One row a rule: milestone, rule in words, chance that it fires, whether that is over."""
    rows = []
    place = 0
    for k, milestone in enumerate(adaptive.milestones):
        for rule in milestone.rules:
            if is_bound(rule):
                continue
            fired = carried.conducted.fired[:, place].any(axis=1)
            found = share(np.asarray(fired))
            rows.append((milestone.name, rule.in_words, found.estimate, found.mcse, k < held))
            place += 1
    return pd.DataFrame(rows, columns=["milestone", "rule", "probability", "mcse", "held"])
