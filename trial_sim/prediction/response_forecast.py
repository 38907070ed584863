"""Prediction of trials whose endpoint is a response, or repeated measurements, at a readout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from trial_sim.design.design import Design
from trial_sim.design.randomization import ResponseAdaptive
from trial_sim.engine.batch import TrialBatch
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.assumptions import Settings
from trial_sim.prediction.event_prediction import fit_dropout
from trial_sim.prediction.models.events import DrawnHazards, residual_times
from trial_sim.prediction.models.responses import fit_responses
from trial_sim.prediction.models.visits import fit_visits, planned_visits, visits_to_come
from trial_sim.prediction.reading.responses import OngoingResponses
from trial_sim.prediction.reading.strata import strata_of, stratified_test
from trial_sim.prediction.rest_of_trial import (
    Future,
    Rest,
    all_arms,
    all_factors,
    followed,
    future_patients,
)
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch


def rest_of_responses(
    trial: OngoingResponses,
    design: Design,
    kind: str,
    outcomes: Any,
    settings: Settings,
    random: np.random.Generator,
    streams: Streams,
) -> Rest:
    """The rest of a trial of responses; arguments as :func:`trial_sim.predict`.

    Raises:
        ValueError, TypeError: for data or outcomes that do not suit the test.
    """
    n_draws = streams.n_trials
    adjust = design.test_name in ("ancova", "mmrm")
    if adjust and (trial.baseline is None or design.adjust not in ((), ("baseline",))):
        raise ValueError(
            f"prediction of an {design.test_name.upper()} needs a column 'baseline', the only "
            f"covariate it adjusts for; got adjust={design.adjust!r}"
        )
    if design.stratified and kind != "binary":
        raise ValueError(
            f"prediction under a stratified test is for times and binary responses, got test "
            f"{design.test_name!r}: predict with stratified=False"
        )
    change = settings.change
    if change.hazard_ratio is not None or change.event_rate != 1.0:
        raise ValueError("hazard_ratio and event_rate are for times to an event, not responses")
    dropout = fit_dropout(trial, design, random)
    leaving = dropout.draw(n_draws, random).scaled(change.dropout_rate)
    future = future_patients(trial, design, settings, random, streams)
    predicted = _Predicted(trial, design, kind, future, streams, adjust)
    fitted = predicted.fit(pooled=trial.blinded)
    fixed = dropout.estimate().scaled(change.dropout_rate).repeated(n_draws, 1)
    assumed: dict[str, Callable[[], TrialBatch]] = {}
    if not trial.blinded:
        pooled = predicted.fit(pooled=True)
        assumed["trend"] = lambda: predicted.batch(fitted, fitted.fixed(n_draws), False, fixed)
        assumed["null"] = lambda: predicted.batch(pooled, pooled.fixed(n_draws), True, fixed)
        if outcomes is not None:
            predicted.check_planned(outcomes)
            assumed["design"] = lambda: predicted.planned(outcomes, fixed)
    drawn = predicted.batch(fitted, fitted.draw(n_draws, random), trial.blinded, leaving)
    fits = {"responses": fitted, "dropout": dropout, "enrolment": future.fit}
    return Rest(drawn, assumed, fits)


class _Predicted:
    """The trial and its future patients, to be carried on under one set of parameters or other."""

    def __init__(
        self,
        trial: OngoingResponses,
        design: Design,
        kind: str,
        future: Future,
        streams: Streams,
        adjust: bool,
    ) -> None:
        self.trial, self.design, self.kind = trial, design, kind
        self.future, self.streams, self.adjust = future, streams, adjust
        self.arm = all_arms(trial, future).astype(int)
        self.baseline = None
        if adjust:
            assert trial.baseline is not None
            self.baseline = trial.baseline[future.donor]
        self.readout = float(design.readout)
        if kind == "longitudinal":
            self.readout = max(self.readout, trial.visit_months[-1])
        self.by_stratum = stratified_test(design) and bool(trial.factors)
        self.n_strata = int(np.prod([len(levels) for levels in design.strata.values()]))

    def fit(self, pooled: bool) -> Any:
        """The model of the responses known, by arm or as if there were one."""
        n = len(self.trial.arm)
        group = np.zeros(n, int) if pooled else self.trial.arm
        labels = ("pooled",) if pooled else self.design.arm_names
        if self.kind == "longitudinal":
            return fit_visits(self.trial, group, labels)
        stratum = strata_of(self.trial.factors, self.design) if self.by_stratum else None
        return fit_responses(
            self.trial, self.kind, group, labels, self.adjust, stratum, self.n_strata
        )

    def batch(self, model: Any, parameters: Any, pooled: bool, leaving: DrawnHazards) -> TrialBatch:
        """The trial carried on with these parameters and hazards of drop-out."""
        stratum = None
        if self.by_stratum:
            factors = all_factors(self.trial, self.design, self.future)
            stratum = strata_of(factors, self.design)

        def respond(arm: np.ndarray) -> OutcomeBatch:
            group = np.zeros_like(arm) if pooled else arm
            if self.kind == "longitudinal":
                return self._visits(parameters, group, model.centre)
            if stratum is not None:
                group = group * self.n_strata + stratum
            uniform = self.streams.uniform("response", arm.shape[1])
            values = model.values(parameters, group, self.baseline, uniform)
            return self._responses(values, self.baseline)

        return self._carried_on(respond, leaving)

    def check_planned(self, outcomes: Any) -> None:
        """Raise TypeError for a scenario of another kind."""
        if getattr(outcomes, "kind", None) != self.kind:
            raise TypeError(
                f"outcomes must be a scenario of {self.kind} responses, got {outcomes!r}"
            )

    def planned(self, outcomes: Any, leaving: DrawnHazards) -> TrialBatch:
        """The trial carried on with the scenario that it was planned with."""
        shape = self.arm.shape
        if self.kind == "longitudinal":
            assert self.trial.baseline is not None
            centre = float(self.trial.baseline.mean())
            one = planned_visits(outcomes, self.design.arm_names, centre)
            if one[0].shape[2] != len(self.trial.visit_months):
                raise ValueError(
                    f"the outcomes have {one[0].shape[2]} visits, the patients "
                    f"{len(self.trial.visit_months)}"
                )
            profile = tuple(np.repeat(values, shape[0], axis=0) for values in one)
            return self._carried_on(lambda arm: self._visits(profile, arm, centre), leaving)
        factors = all_factors(self.trial, self.design, self.future)
        levels = {name: tuple(shares) for name, shares in self.design.strata.items()}

        def respond(arm: np.ndarray) -> OutcomeBatch:
            patients = PatientBatch(
                self.streams, self.design.arm_names, arm.astype(np.int8), np.zeros(shape), factors,
                levels,
            )  # fmt: skip
            drawn = outcomes.sample(patients)
            baseline = self.baseline
            if baseline is not None and drawn.baseline is not None:
                # with its response a patient's baseline comes from the scenario, so that they
                # belong
                kept = np.zeros(shape, bool)
                kept[:, : len(self.trial.event)] = self.trial.event
                baseline = np.where(kept, baseline, drawn.baseline)
            return self._responses(drawn.response, baseline)

        return self._carried_on(respond, leaving)

    def _visits(self, parameters: Any, group: np.ndarray, centre: float) -> OutcomeBatch:
        assert self.baseline is not None
        values = visits_to_come(self.trial, parameters, group, self.baseline, centre, self.streams)
        return OutcomeBatch(
            visits=values, visit_months=self.trial.visit_months, baseline=self.baseline
        )

    def _responses(self, values: np.ndarray | None, baseline: np.ndarray | None) -> OutcomeBatch:
        """Responses (n_draws, n), those known in place of drawn ones."""
        known = self.trial.event
        values = np.array(values, dtype=float)
        values[:, : len(known)][:, known] = self.trial.response[known]
        return OutcomeBatch(response=values, baseline=baseline)

    def _arms(self, respond: Callable[[np.ndarray], OutcomeBatch]) -> np.ndarray:
        """Arms of everybody, (n_draws, n): those to come as responses bring, if the rule asks."""
        rule = self.design.randomization
        if not rule.needs_outcomes or self.trial.blinded:
            return self.arm
        if not isinstance(rule, ResponseAdaptive) or self.kind != "binary":
            raise ValueError(
                f"arms of patients to come by {type(rule).__name__} cannot be predicted with test "
                f"{self.design.test_name!r}: response-adaptive allocation needs binary responses"
            )
        shape, old = self.arm.shape, len(self.trial.enrolment)
        each = [respond(np.full(shape, code)).response for code in range(len(self.design.arms))]
        potential = np.stack([np.asarray(one) for one in each], axis=2)
        potential[:, :old][:, self.trial.dropout] = np.nan
        enrolment = np.hstack([np.tile(self.trial.enrolment, (shape[0], 1)), self.future.enrolment])
        return rule.go_on(self.design, self.streams, potential, enrolment, self.arm, old).astype(
            int
        )

    def _carried_on(
        self, respond: Callable[[np.ndarray], OutcomeBatch], leaving: DrawnHazards
    ) -> TrialBatch:
        """The trial with the outcomes that ``respond`` gives for arms (n_draws, n)."""

        def redraw(arm: np.ndarray) -> TrialBatch:
            return self._with(arm, respond(arm), leaving, redraw)

        return redraw(self._arms(respond))

    def _with(
        self,
        arm: np.ndarray,
        outcome: OutcomeBatch,
        leaving: DrawnHazards,
        redraw: Callable[[np.ndarray], TrialBatch],
    ) -> TrialBatch:
        trial, (n_draws, n) = self.trial, self.arm.shape
        old = len(trial.enrolment)
        latent = np.full((n_draws, n), self.readout)
        now = np.concatenate([trial.time, np.zeros(n - old)])
        to_leave = np.array(self.streams.exponential("dropout", n))
        lost = np.empty((n_draws, n))
        everyone = np.zeros((n_draws, n), np.int64)
        residual_times(leaving.nodes, leaving.cumulative, everyone, now, to_leave, lost)
        lost[:, :old][:, trial.event] = np.inf
        lost[:, :old][:, trial.dropout] = trial.time[trial.dropout]
        future = replace(self.future, arm=arm[:, old:].astype(np.int8))
        batch = followed(trial, self.design, latent, lost, future, self.streams, outcome)
        return replace(batch, redraw=redraw)
