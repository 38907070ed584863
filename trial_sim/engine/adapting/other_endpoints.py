"""What rules see of endpoints that the design does not test: other outcomes of the same patients.

Of each, all data so far, tested by the usual test of its kind or the one that the adaptive design
names for it. Nothing of it goes into the closed test.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.tests import TESTS
from trial_sim.engine.adapting.patients import Patients
from trial_sim.engine.adapting.quantities import State
from trial_sim.engine.adapting.scores import count_arms
from trial_sim.engine.adapting.stages import Stage, Stages, with_arms
from trial_sim.engine.analysis_registry import analysis_for
from trial_sim.engine.batch import TrialBatch
from trial_sim.scenarios.protocol import OutcomeBatch


class OtherEndpoints:
    """The other endpoints of a batch of trials, worked out when a rule or a milestone asks."""

    def __init__(
        self, adaptive: AdaptiveDesign, scenario: Any, patients: Patients, stages: Stages
    ) -> None:
        self.adaptive, self.scenario = adaptive, scenario
        self.patients, self.stages = patients, stages
        self.renew()

    def renew(self) -> None:
        """Forget what was worked out: the trials have gone on."""
        self._batches: dict[str, TrialBatch] = {}
        self._stages: dict[str, tuple[Stage, np.ndarray]] = {}

    def kind(self, name: str) -> str:
        """Kind of an endpoint's outcomes.

        Raises:
            ValueError: if the scenario has no such endpoint, or it is a response of unknown kind.
        """
        outcome = self.patients.outcome
        declared = getattr(self.scenario, "endpoint_kinds", {})
        known = sorted({*outcome.endpoints, *outcome.responses})
        if name not in known:
            raise ValueError(
                f"a rule asks for the endpoint {name!r}, and the scenario "
                f"{type(self.scenario).__name__} gives "
                + (f"{known}{nearest(name, known)}" if known else "no endpoint but the tested one")
            )
        if name in outcome.endpoints:
            return "time_to_event"
        if name in declared:
            return str(declared[name])
        if "test" not in self.adaptive.endpoints.get(name, {}):
            raise ValueError(
                f"the scenario does not say of what kind the endpoint {name!r} is: name its test, "
                f"as in AdaptiveDesign(endpoints={{{name!r}: {{'test': 't_test'}}}})"
            )
        return TESTS[self.adaptive.design_of(name).test_name].kinds[0]

    def batch(self, name: str) -> TrialBatch:
        """The trials with this endpoint in place of the tested one."""
        if name not in self._batches:
            kind, outcome = self.kind(name), self.patients.outcome
            mine = OutcomeBatch(covariates=outcome.covariates, dropout=outcome.dropout)
            if kind == "time_to_event":
                mine = replace(mine, time=np.ascontiguousarray(outcome.endpoints[name]))
            else:
                mine = replace(mine, response=np.ascontiguousarray(outcome.responses[name]))
            design = self.adaptive.design_of(name, kind)
            self._batches[name] = self.patients.batch_of(design, mine)
        return self._batches[name]

    def state(self, state: State, name: str) -> State:
        """The state with this endpoint in place of the tested one."""
        stage, events = self._look(name, state.month, state.running)
        batch, kind = self.batch(name), self.kind(name)
        return replace(
            state, stage=stage, combined=stage.z, events=events,
            direction=analysis_for(batch.design, kind).direction,
            kind=kind, batch=batch, elsewhere=None,
        )  # fmt: skip

    def z(self, name: str, month: np.ndarray, running: np.ndarray) -> np.ndarray:
        """Statistics of the arms by this endpoint, all patients, (n_trials, n_arms - 1)."""
        stage, _ = self._look(name, month, running)
        return stage.z[:, : len(self.adaptive.arms) - 1]

    def _look(self, name: str, month: np.ndarray, running: np.ndarray) -> tuple[Stage, np.ndarray]:
        """All data by the cut, of each arm that takes part; events or known responses by arm."""
        if name not in self._stages:
            batch = self.batch(name)
            analysis = analysis_for(batch.design, self.kind(name))
            self._stages[name] = self._at(batch, analysis, month, running)
        return self._stages[name]

    def _at(
        self, batch: TrialBatch, analysis: Any, month: np.ndarray, running: np.ndarray
    ) -> tuple[Stage, np.ndarray]:
        n = len(month)
        stage = Stage.unknown(n, len(self.stages.hypotheses))
        opened = self.patients.opened
        for h, (arm, population) in enumerate(self.stages.hypotheses):
            active = running & (opened[:, arm] < month)
            if not active.any():
                continue
            outside = self.stages.outsiders(batch, arm, population, opened)
            mine = batch
            if outside is not None:
                nobody = np.int8(self.stages.nobody)
                mine = with_arms(batch, np.where(outside, nobody, batch.arm))
            z, effect, se = analysis.evaluate(mine, arm, month, active)
            if effect is None or se is None:
                effect, se = analysis.estimate(mine, arm, month, active)
            for values, found in ((stage.z, z), (stage.estimate, effect), (stage.se, se)):
                values[active, h] = found[active]
        events = np.zeros((n, 2, self.stages.nobody), np.int64)
        count_arms(batch.enrolment, batch.calendar_event, batch.arm, month, month, events)
        return stage, events[:, 0]
