"""Run a batch of adaptive trials: milestones, data cuts, quantities, rules and what they change.

Every step works on arrays over the trials of the batch; what one trial does depends on nothing but
its own number, so that results have the same bytes whatever the chunks and workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from trial_sim.adaptive.rules import (
    Action,
    ClosedTest,
    Stop,
)
from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.milestones import Milestone, NotSimulated, is_bound
from trial_sim.engine.adapting.closed_testing import ClosedTesting
from trial_sim.engine.adapting.conducted import AdaptiveConducted
from trial_sim.engine.adapting.other_endpoints import OtherEndpoints
from trial_sim.engine.adapting.patients import Patients, among
from trial_sim.engine.adapting.plan import Plan
from trial_sim.engine.adapting.quantities import State
from trial_sim.engine.adapting.scores import count_arms
from trial_sim.engine.adapting.stages import Stages
from trial_sim.engine.adapting.timing import count_of, month_of
from trial_sim.engine.analysis_registry import analysis_for
from trial_sim.engine.interim_analyses import (
    CONTINUE,
    DROPPED,
    EFFICACY,
    FUTILITY,
    NOT_REJECTED,
)
from trial_sim.engine.kernels import count_looks
from trial_sim.numerics.buffers import recycling
from trial_sim.numerics.random_streams import Streams

Decide = Callable[[State], Iterable[tuple[np.ndarray, Action]]]


def run_adaptive_trials(
    adaptive: AdaptiveDesign,
    outcomes: Any,
    seed: int,
    scenario: int,
    first: int,
    stop: int,
    decide: Decide | None = None,
) -> AdaptiveConducted:
    """Simulate trials ``first`` to ``stop - 1`` of an adaptive design."""
    streams = Streams.span(seed, first, stop, scenario)
    with recycling((stop - first, adaptive.most_patients)):
        return Course(adaptive, outcomes, streams, decide).run()


class Course:
    """The course of a batch of trials, from the first milestone to the last decision."""

    def __init__(
        self,
        adaptive: AdaptiveDesign,
        outcomes: Any,
        streams: Streams,
        decide: Decide | None = None,
        patients: Patients | None = None,
    ) -> None:
        self.adaptive, self.decide = adaptive, decide
        self.design = adaptive.whole_design
        if self.design.randomization.needs_outcomes:
            raise NotSimulated(
                "a rule of randomisation that looks at outcomes does not go with milestones that "
                "change the trial: use Reallocate(by='neyman') or another rule at milestones"
            )
        self.test = adaptive.closed_test or ClosedTest("conventional", "unadjusted")
        self.outcomes, self.streams = outcomes, streams
        n, arms = streams.n_trials, len(adaptive.arms)
        self.n, self.n_arms, self.n_tests = n, arms, arms - 1
        self.milestones = adaptive.milestones
        n_looks, m = len(self.milestones), len(adaptive.hypothesis_names)
        self.analysis = analysis_for(self.design, outcomes.kind)
        self.patients = patients or Patients(adaptive, outcomes, streams)
        self.batch = self.patients.batch()
        self.of_patients = self.test.stages == "patients"
        self.stages = Stages(adaptive, self.analysis, outcomes.kind, n, self.of_patients)
        self.others = OtherEndpoints(adaptive, outcomes, self.patients, self.stages)
        self.testing = ClosedTesting(adaptive, self.test, n)
        self.rules = [
            (k, rule)
            for k, milestone in enumerate(self.milestones)
            for rule in milestone.rules
            if not is_bound(rule)
        ]
        looked_at = sum(len(list(rule.when.comparisons())) for _, rule in self.rules)
        self.counts = np.tile([count_of(one.when) for one in self.milestones], (n, 1))
        self.running = np.ones(n, bool)
        self.settled = np.zeros((n, self.n_tests), bool)
        self.dropped = np.zeros((n, self.n_tests), bool)
        self.population = np.zeros(n, np.int8)
        self.last_time = np.zeros(n)
        shape = (n, n_looks)
        self.look_time = np.full(shape, np.nan)
        self.decision_time = np.full(shape, np.nan)
        self.triggered = np.zeros(shape, bool)
        self.events = np.full((*shape, arms), -1, np.int64)
        self.enrolled = np.full(shape, -1, np.int64)
        self.by_arm = np.full((*shape, arms), -1, np.int64)
        self.z = np.full((*shape, self.n_tests), np.nan)
        self.decision = np.zeros((*shape, self.n_tests), np.int8)
        self.last_look = np.zeros(n, np.int64)
        self.efficacy, self.futility = np.full(shape, np.nan), np.full(shape, -np.inf)
        self.estimate = np.full((n, self.n_tests), np.nan)
        self.se = np.full((n, self.n_tests), np.nan)
        self.target = np.full(shape, -1, np.int64)
        self.populations = np.zeros(shape, np.int8)
        self.shares = np.full((*shape, arms), np.nan)
        self.stage_z, self.stage_estimate, self.stage_se = (
            np.full((*shape, m), np.nan) for _ in range(3)
        )
        self.fired = np.zeros((n, len(self.rules), self.n_tests), bool)
        self.value = np.full((n, looked_at, self.n_tests), np.nan, np.float32)

    # -- the loop -------------------------------------------------------------------------------

    def run(self) -> AdaptiveConducted:
        """Hold milestone after milestone until every trial has ended."""
        rule_at = value_at = 0
        for k, milestone in enumerate(self.milestones):
            if not self.running.any():
                break
            rule_at, value_at = self._hold(k, milestone, rule_at, value_at)
        held = np.isfinite(self.look_time)
        return AdaptiveConducted(
            trial=self.streams.trials.copy(),
            look_time=self.look_time,
            triggered=self.triggered & held,
            events=self.events,
            patients=self.enrolled,
            z=self.z,
            decision=self.decision,
            last_look=self.last_look,
            efficacy=self.efficacy,
            futility=np.where(held, self.futility, np.nan),
            estimate=self.estimate,
            se=self.se,
            decision_time=self.decision_time,
            patients_by_arm=self.by_arm,
            target=self.target,
            population=self.populations,
            shares=self.shares,
            rejected_at=self.testing.at.copy(),
            stage_z=self.stage_z,
            stage_estimate=self.stage_estimate,
            stage_se=self.stage_se,
            fired=self.fired,
            value=self.value,
        )

    def _open(self, month: np.ndarray) -> np.ndarray:
        """Comparisons still followed: opened by the month, not closed, not settled, (n, C)."""
        opened = self.patients.opened[:, 1:] < month[:, None]
        return opened & ~self.dropped & ~self.settled

    def _hold(self, k: int, milestone: Milestone, rule_at: int, value_at: int) -> tuple[int, int]:
        self.others.renew()
        n, now, is_last = self.n, *self._times(k, milestone)
        lag = float(getattr(milestone.when, "lag", 0.0))
        month = now + lag
        running = self.running.copy()
        self.look_time[running, k] = now[running]
        self.decision_time[running, k] = month[running]
        self.last_look[running] = k
        batch = self.batch
        events, patients = np.zeros((n, self.n_arms), np.int64), np.zeros(n, np.int64)
        count_looks(
            batch.enrolment, batch.calendar_event, batch.event_arm, now, month, running, events,
            patients,
        )  # fmt: skip
        self.events[running, k] = events[running]
        self.enrolled[running, k] = patients[running]
        came = np.zeros((n, 2, self.n_arms), np.int64)
        count_arms(batch.enrolment, batch.enrolment, batch.arm, month, month, came)
        self.by_arm[running, k] = came[running, 0]
        bound = np.where(is_last, self.testing.bounds[-1], self.testing.bounds[k])
        self.efficacy[running, k] = bound[running]

        comparing = self._open(now) & running[:, None]
        followed = np.concatenate(
            [
                comparing & ((self.population == 0) | (self.population == at))[:, None]
                for at in range(len(self.adaptive.tested_populations))
            ],
            axis=1,
        )
        m = followed.shape[1]  # hypotheses of the tested endpoint; after them those of others
        followed &= (self.testing.at[:, :m] == 0) | (self.test.stop == "all")
        stage = self.stages.at(batch, now, followed, self.patients.opened)
        for name in ("z", "estimate", "se"):
            getattr(self, f"stage_{name}")[running, k, :m] = getattr(stage, f"stage_{name}")[
                running
            ]
        rows = np.flatnonzero(running)
        sizes = stage.sizes if self.stages.of_patients else stage.all_sizes
        new = np.zeros(self.testing.at.shape, bool)
        if self.testing.graph is not None:
            z = np.where(followed, stage.z, np.nan)
            others = [
                np.where(comparing, self.others.z(name, now, running), np.nan)
                for name in self.adaptive.tested_endpoints
            ]
            new[rows] = self.testing.look_at_graph(
                k, is_last[rows], np.concatenate([z, *others], axis=1)[rows], rows
            )
        elif self.of_patients:
            new |= self._at_the_end(k, running & is_last, now, followed)
        else:
            new[rows] = self.testing.look(
                k, is_last[rows], np.where(followed, stage.stage_z, np.nan)[rows],
                np.where(followed, stage.z, np.nan)[rows], sizes[rows], stage.all_sizes[rows],
                rows,
            )  # fmt: skip
        combined = self.testing.combined
        if self.of_patients:
            combined = np.where(followed & ~is_last[:, None], stage.z, combined[:, :m])
        if self.test.combine == "conventional":
            combined = np.where(followed, stage.z, combined[:, :m])
        state = State(
            self.adaptive, milestone.name, k, self.streams.trials, now, running, comparing,
            patients, events, self.population, stage, combined, self.testing.at > 0,
            self.analysis.direction, self.outcomes.kind, batch, self.patients.target.copy(),
            self.others.state,
        )  # fmt: skip
        self._note_z(k, state, comparing)
        reached = self._by_arm(new)
        leaving = reached if self.test.stop == "each" else np.zeros_like(reached)
        here = self.decision[:, k]
        here[comparing] = CONTINUE
        here[comparing & reached] = EFFICACY

        plan = Plan(
            state, self.patients, self.counts, self.by_arm[:, k], self.population, leaving,
            self.of_patients,
        )  # fmt: skip
        for rule in milestone.rules:
            if is_bound(rule):
                continue
            asked = list(rule.when.comparisons())
            idle = (k + 1 == len(self.milestones)) and not isinstance(rule.action, Stop)
            if not idle:
                for v, one in enumerate(asked):
                    seen = state.of(one.quantity)
                    seen = seen if seen.ndim == 2 else seen[:, None]
                    width = seen.shape[1]
                    self.value[running, value_at + v, :width] = seen[running]
                hits = state.holds(rule.when)
                names = {q.name for one in asked for q in one.quantity.quantities}
                declares = self.test.combine == "conventional" and names != {"rejected"}
                done = plan.note(hits, rule.action, is_last, declares)
                self.fired[:, rule_at, : done.shape[1]] = done
            rule_at, value_at = rule_at + 1, value_at + len(asked)
        if self.decide is not None:
            for mask, action in _decided(self.decide, state):
                hits = np.asarray(mask)
                if hits.dtype != bool or hits.shape not in ((n,), (n, self.n_tests)):
                    raise ValueError(
                        f"decide must return masks of shape ({n},) or ({n}, {self.n_tests}) bool, "
                        f"got {hits.dtype} of shape {hits.shape}"
                    )
                declares = self.test.combine == "conventional"
                plan.note(hits, action, is_last, declares)
        self._settle(k, state, plan, reached, is_last, comparing)
        self._change(k, plan, month, lag)
        self.target[running, k] = self.patients.target[running]
        self.populations[running, k] = self.population[running]
        open_now = (self.patients.opened <= month[:, None]) & np.isinf(self.patients.closed)
        weights = np.where(open_now, self.patients.weights, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.shares[running, k] = (weights / weights.sum(axis=1, keepdims=True))[running]
        return rule_at, value_at

    def _at_the_end(
        self, k: int, ending: np.ndarray, now: np.ndarray, followed: np.ndarray
    ) -> np.ndarray:
        """Test the trials that end, stage by stage of their patients; newly rejected, (n, m)."""
        new = np.zeros(followed.shape, bool)
        rows = np.flatnonzero(ending)
        if rows.size == 0:
            return new
        parts = self.stages.of_cohorts(
            self.batch, now, ending, followed, self.patients.opened, self.decision_time[:, :k]
        )
        for c, part in enumerate(parts):
            for name in ("z", "estimate", "se"):
                value = getattr(part, name)[rows]
                getattr(self, f"stage_{name}")[rows, c] = np.where(
                    np.isfinite(value), value, np.nan
                )
        new[rows] = self.testing.look_at_cohorts(
            k, [part.z[rows] for part in parts], [part.sizes[rows] for part in parts], rows
        )
        return new

    def _note_z(self, k: int, state: State, comparing: np.ndarray) -> None:
        z = state._by_comparison(state.combined, None)
        self.z[:, k][comparing] = z[comparing]

    def _by_arm(self, by_hypothesis: np.ndarray) -> np.ndarray:
        """Whether any hypothesis of an arm is meant, (n, C)."""
        return np.asarray(by_hypothesis.reshape(self.n, -1, self.n_tests).any(axis=1))

    # -- when -----------------------------------------------------------------------------------

    def _times(self, k: int, milestone: Milestone) -> tuple[np.ndarray, np.ndarray]:
        """Month of the data cut, and whether it is the trial's last, (n,) each."""
        mine = None
        batch = self.batch
        if milestone.arms is not None:
            names = list(self.adaptive.arms)
            mine = np.isin(batch.arm, [names.index(arm) for arm in milestone.arms])
        if milestone.population is not None:
            inside = np.ones(batch.arm.shape, bool)
            for factor, codes in self.adaptive.members(milestone.population).items():
                inside &= among(batch.factors[factor], codes)
            mine = inside if mine is None else mine & inside
        counted = batch if milestone.endpoint is None else self.others.batch(milestone.endpoint)
        planned = np.maximum(month_of(milestone.when, counted, self.counts[:, k], mine), 0.0)
        planned = np.maximum(planned, self.last_time)
        end = np.full(self.n, np.inf)
        waiting = np.isinf(planned)
        if waiting.any():
            exits = batch.exit[waiting]
            last = np.where(np.isfinite(exits), exits, 0.0).max(axis=1)
            end[waiting] = np.maximum(last, self.last_time[waiting])
        if self.design.max_duration is not None:
            end = np.minimum(end, np.maximum(self.design.max_duration, self.last_time))
        met = planned <= end
        now = np.minimum(planned, end)
        self.triggered[self.running, k] = met[self.running]
        self.last_time = np.where(self.running, now, self.last_time)
        return now, ~met | (k + 1 == len(self.milestones))

    # -- what follows ---------------------------------------------------------------------------

    def _settle(
        self,
        k: int,
        state: State,
        plan: Plan,
        reached: np.ndarray,
        is_last: np.ndarray,
        comparing: np.ndarray,
    ) -> None:
        """Which comparisons and which trials end here."""
        running = state.running
        here = self.decision[:, k]
        success = plan.success & comparing & ~reached
        here[success] = EFFICACY
        self.testing.at[:, : self.n_tests][success & (self.testing.at[:, : self.n_tests] == 0)] = (
            k + 1
        )
        won = reached | success
        # rejected once every hypothesis of the arm that is still followed is
        pops = len(self.adaptive.tested_populations) + len(self.adaptive.tested_endpoints)
        at = self.testing.at.reshape(self.n, pops, self.n_tests) > 0
        now = np.where(plan.population > 0, plan.population, self.population)
        current = np.where(
            (now == 0)[:, None, None], True, np.arange(pops)[None, :, None] == now[:, None, None]
        )
        all_of_arm = (at | ~current).all(axis=1) & at.any(axis=1)
        futile = plan.futile & comparing & ~won
        drop = plan.drop & comparing
        left = comparing & ~futile & ~drop
        # also arms that wait to be opened, now or later, keep a trial going
        waiting = np.zeros(self.n, bool)
        if self.adaptive.later_arms and k + 1 < len(self.milestones):
            waiting = (plan.add.any(axis=1)) | self._still_to_open(k)
        over = is_last | plan.stopped
        if self.test.stop == "any":
            over = over | won.any(axis=1)
        over |= (~(left & ~all_of_arm)).all(axis=1) & ~waiting
        over &= running
        settled = futile | drop | (comparing & over[:, None])
        if self.test.stop == "each":
            settled |= comparing & all_of_arm
        here[futile] = FUTILITY
        here[drop & ~won] = DROPPED
        ended = settled & comparing & ~won & ~futile & ~drop & ~all_of_arm
        here[ended] = NOT_REJECTED
        self.dropped |= drop | futile
        # of the population in which it is tested now
        estimate = state._by_comparison(state.stage.estimate, None)
        se = state._by_comparison(state.stage.se, None)
        self.estimate[settled], self.se[settled] = estimate[settled], se[settled]
        self.settled |= settled
        self.running = running & ~over

    def _still_to_open(self, k: int) -> np.ndarray:
        """Trials in which an arm opens by the calendar after now."""
        later = self.patients.opened > self.look_time[:, [k]]
        return (later & np.isfinite(self.patients.opened)).any(axis=1)

    def _change(self, k: int, plan: Plan, month: np.ndarray, lag: float) -> None:
        """Make the changes of the trials that go on, for patients who arrive after the decision."""
        on = self.running
        patients = self.patients
        closing = np.zeros((self.n, self.n_arms), bool)
        closing[:, 1:] = (self.dropped | self.settled) & np.isinf(patients.closed[:, 1:])
        closing &= (patients.opened <= month[:, None]) & on[:, None]
        adding = np.zeros((self.n, self.n_arms), bool)
        adding[:, 1:] = plan.add & on[:, None]
        narrowed = on & (plan.population > 0) & (plan.population != self.population)
        paused = on & (plan.pause > 0)
        grown = on & (plan.target != patients.target)
        moved = on & plan.reallocated
        redrawn = closing.any(axis=1) | adding.any(axis=1) | narrowed | moved
        touched = redrawn | paused | grown
        if not touched.any():
            return
        rows = np.flatnonzero(touched)
        before, arrival = patients.arm[rows].copy(), patients.arrival[rows].copy()
        patients.closed = np.where(closing, month[:, None], patients.closed)
        patients.opened = np.where(adding, month[:, None], patients.opened)
        if plan.weights is not None:
            patients.weights = np.where(moved[:, None], plan.weights, patients.weights)
            patients.randomized_freely |= moved & plan.freely
            patients.randomized_freely &= ~(moved & ~plan.freely)
        patients.target = np.where(grown, plan.target, patients.target)
        for months in np.unique(plan.pause[paused]):
            mine = np.flatnonzero(paused & (plan.pause == months))
            patients.pause(mine, month[mine], float(months))
        for at in np.unique(plan.population[narrowed]):
            mine = np.flatnonzero(narrowed & (plan.population == at))
            name = self.adaptive.tested_populations[at]
            assert name is not None
            patients.restrict(mine, month[mine], name)
            self.population[mine] = at
        again = np.flatnonzero(redrawn)
        if again.size:
            patients.last_change[again] = month[again]
            patients.allocate(again)
        if patients.lengthen():
            self.batch = patients.batch()
            return
        patients.update(rows, before, arrival)
        self.batch = patients.batch(self.batch, rows)


def _decided(decide: Decide, state: State) -> list[tuple[Any, Action]]:
    """What a user's function asks for, as pairs.

    Raises:
        TypeError: if it gives anything else.
    """
    made = list(decide(state) or ())
    for pair in made:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], Action)):
            raise TypeError(
                "decide must return pairs of a mask over the trials and an action such as "
                f"DropArm(), got {pair!r}"
            )
    return made
