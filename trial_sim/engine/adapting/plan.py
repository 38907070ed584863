"""What the rules of one milestone ask of each trial of a batch: stops, arms, sizes, allocation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trial_sim.adaptive.rules import (
    Action,
    AddArm,
    DropArm,
    Pause,
    Reallocate,
    Resize,
    Restrict,
    Stop,
)
from trial_sim.base.user_warnings import warn_user
from trial_sim.design.look_rules import (
    EnrolmentLooks,
    EventLooks,
    FirstOf,
    FollowUpLooks,
    LastOf,
)
from trial_sim.design.milestones import NotSimulated
from trial_sim.engine.adapting.patients import Patients, small_blocks
from trial_sim.engine.adapting.quantities import State
from trial_sim.engine.adapting.sizes import blinded_size, more_information, new_shares


class Plan:
    """What the rules of one milestone change in each trial, noted before it is done.

    Attributes:
        stopped: (n,) bool, trials that end here.
        success, futile, drop, add: (n, C) bool, comparisons that are stopped, and arms that close
            and open.
        population: (n,) int8, index of the population enrolled from now on, 0 where none is named.
        pause: (n,) months. target: (n,) patients to enrol in all.
        weights: (n, n_arms) allocation of the trials that are ``reallocated``, drawn patient by
            patient where ``freely``.
    """

    def __init__(
        self,
        state: State,
        patients: Patients,
        counts: np.ndarray,
        enrolled: np.ndarray,
        population: np.ndarray,
        leaving: np.ndarray,
        of_patients: bool,
    ) -> None:
        """Nothing is changed yet.

        Args:
            counts: (n, n_milestones) what each milestone counts; moved where sizes change.
            enrolled: (n, n_arms) patients by the decision. population: (n,) enrolled until now.
            leaving: (n, C) arms that are rejected here and close: not sized or allocated for.
            of_patients: whether a stage of the closed test is of patients.
        """
        self.state, self.adaptive, self.patients = state, state.adaptive, patients
        self.counts, self.enrolled, self.leaving = counts, enrolled, leaving
        self.enrolling, self.of_patients = population, of_patients
        n, n_tests = state.open.shape
        self.stopped = np.zeros(n, bool)
        self.success, self.futile, self.drop, self.add = (
            np.zeros((n, n_tests), bool) for _ in range(4)
        )
        self.population = np.zeros(n, np.int8)
        self.pause = np.zeros(n)
        self.target = patients.target.astype(np.int64)
        self.reallocated, self.freely = np.zeros(n, bool), np.zeros(n, bool)
        self.weights: np.ndarray | None = None

    def note(
        self, hits: np.ndarray, action: Action, is_last: np.ndarray, declares: bool
    ) -> np.ndarray:
        """Note what an action changes; (n, C) or (n, 1) bool, for whom it was done.

        declares: whether a stop for efficacy is itself a rejection, not only the end of the trial.
        """
        state, single = self.state, hits.ndim == 2
        going = state.running & ~self.stopped
        on = (hits & state.open if single else hits[:, None]) & going[:, None]
        any_on = on.any(axis=1)
        if isinstance(action, Stop):
            if action.reason == "futility":
                self.futile |= on & state.open
            elif declares:
                self.success |= on & state.open
            if single:
                state.open = state.open & ~on
            else:
                self.stopped |= any_on
            return on
        on = on & ~is_last[:, None]
        any_on = on.any(axis=1)
        if isinstance(action, DropArm):
            if action.arm is not None:
                column = self._column(action.arm)
                on = any_on[:, None] & state.open[:, [column]]
                gone = np.zeros_like(self.drop)
                gone[:, column] = on[:, 0]
            elif single or self.drop.shape[1] == 1:
                on = gone = on & state.open
            else:
                raise ValueError(
                    f"milestone {state.milestone!r}: DropArm() without a name needs a condition of "
                    "each arm in turn"
                )
            if not action.keep_size:
                self._shrink(gone)
            self.drop |= gone
            state.open = state.open & ~gone
        elif isinstance(action, AddArm):
            column = self._column(action.arm)
            fresh = any_on & np.isinf(self.patients.opened[:, column + 1])
            on = fresh[:, None]
            self.add[:, column] |= fresh
            over = state.patients >= self.target
            if (fresh & over).any():
                warn_user(
                    f"milestone {state.milestone!r} opens the arm {action.arm!r} in simulated "
                    "trials whose patients have all come: nobody joins it there, and it counts as "
                    "not rejected"
                )
        elif isinstance(action, Resize):
            on = self._resize(any_on, action)[:, None]
        elif isinstance(action, Restrict):
            at = self.adaptive.tested_populations.index(action.population)
            fresh = any_on & (self.enrolling != at)
            self.population[fresh] = at
            on = fresh[:, None]
        elif isinstance(action, Reallocate):
            self._reallocate(any_on, action)
            on = any_on[:, None]
        elif isinstance(action, Pause):
            self.pause[any_on] += float(action.months)
            on = any_on[:, None]
        else:
            raise NotSimulated(f"{action.in_words} is not simulated")
        return on

    def _column(self, arm: str) -> int:
        names = list(self.adaptive.arms)[1:]
        if arm not in names:
            raise ValueError(f"there is no arm {arm!r} beside the control; arms: {names}")
        return names.index(arm)

    def _staying(self) -> State:
        """The state without the arms that are rejected now and close."""
        return replace(self.state, open=self.state.open & ~self.leaving)

    def _resize(self, on: np.ndarray, action: Resize) -> np.ndarray:
        """New sizes; (n,) bool, whose changed."""
        if not on.any():
            return on
        state, k = self._staying(), self.state.k
        counted_events = action.events is not None
        most = float(action.events if counted_events else action.n)  # type: ignore[arg-type]
        here = np.column_stack([np.ones(len(self.pause), bool), state.open])
        if counted_events:
            so_far = np.where(here, state.events, 0).sum(axis=1)
            reached = state.events.sum(axis=1).astype(float)
            last = self.counts[:, self._last_of(EventLooks)]
        else:
            known = state.events if self.of_patients else self.enrolled
            so_far = np.where(here, known, 0).sum(axis=1)
            counting = isinstance(self.adaptive.milestones[k].when, EnrolmentLooks | FollowUpLooks)
            reached = self.counts[:, k] if counting else state.patients.astype(float)
            last = self.target.astype(float)
        if action.by == "most":
            wanted = np.full(len(self.pause), most)
        elif action.by == "blinded":
            wanted = blinded_size(state, action)
        else:
            wanted = reached + so_far * more_information(state, action)
        wanted = np.where(np.isnan(wanted), last, np.ceil(wanted - 1e-9))
        wanted = np.clip(wanted, last, np.maximum(most, last))
        changed = on & (wanted > last)
        kinds: Any = EventLooks if counted_events else EnrolmentLooks | FollowUpLooks
        for later, milestone in enumerate(self.adaptive.milestones):
            if later <= k:
                continue
            if isinstance(milestone.when, FirstOf | LastOf):
                raise NotSimulated(
                    f"milestone {milestone.name!r} joins several rules, whose counts are not "
                    "changed by a Resize"
                )
            if not isinstance(milestone.when, kinds):
                continue
            old = self.counts[:, later]
            with np.errstate(divide="ignore", invalid="ignore"):
                part = np.where(last > reached, (old - reached) / (last - reached), 1.0)
            moved = np.round(reached + np.clip(part, 0.0, 1.0) * (wanted - reached))
            self.counts[changed, later] = np.maximum(moved, old)[changed]
        if not counted_events:
            self.target[changed] = wanted[changed].astype(np.int64)
        return changed

    def _shrink(self, gone: np.ndarray) -> None:
        """Make trials smaller by what the arms that go would still have had."""
        state, k = self.state, self.state.k
        on = gone.any(axis=1)
        if not on.any():
            return
        open_now = np.column_stack([np.ones(len(self.pause), bool), state.open])
        weights = np.where(open_now, self.patients.weights, 0.0)
        left = 1.0 - (weights[:, 1:] * gone).sum(axis=1) / weights.sum(axis=1)
        counting = isinstance(self.adaptive.milestones[k].when, EnrolmentLooks | FollowUpLooks)
        reached = self.counts[:, k] if counting else state.patients.astype(float)
        for later in range(k + 1, len(self.adaptive.milestones)):
            if isinstance(self.adaptive.milestones[later].when, EnrolmentLooks | FollowUpLooks):
                old = self.counts[:, later]
                moved = np.round(reached + np.maximum(old - reached, 0.0) * left)
                self.counts[on, later] = moved[on]
        wanted = np.round(reached + np.maximum(self.target - reached, 0.0) * left)
        wanted = np.maximum(wanted, state.patients).astype(np.int64)
        self.target = np.where(on, wanted, self.target)

    def _last_of(self, kind: type) -> int:
        found = [i for i, one in enumerate(self.adaptive.milestones) if isinstance(one.when, kind)]
        if not found:
            raise ValueError("a Resize of events needs a milestone that counts events")
        return found[-1]

    def _reallocate(self, on: np.ndarray, action: Reallocate) -> None:
        if not on.any():
            return
        self.reallocated |= on
        if action.by is None:
            names = list(self.adaptive.arms)
            weights = self.patients.weights.copy()
            for name, weight in action.weights.items():
                weights[on, names.index(name)] = float(weight)
            row = weights[np.flatnonzero(on)[0]]
            if not small_blocks(self.adaptive.whole_design, row[row > 0]):
                self.freely |= on
            self.weights = np.where(on[:, None], weights, _or(self.weights, weights))
            return
        shares = new_shares(self._staying(), action)
        old = self.patients.weights
        self.weights = np.where(on[:, None], shares, _or(self.weights, old))
        self.freely |= on


def _or(values: np.ndarray | None, other: np.ndarray) -> np.ndarray:
    return other if values is None else values
