"""Prediction of time-to-event trials: models by arm, assumptions, patients carried on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trial_sim.base.user_warnings import warn_user
from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.design import Design
from trial_sim.engine.batch import TrialBatch
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.assumptions import Settings
from trial_sim.prediction.models.events import (
    DrawnHazards,
    FittedHazards,
    fit_hazards,
    residual_times,
)
from trial_sim.prediction.models.hazard_ratios import HazardRatios, fit_hazard_ratios
from trial_sim.prediction.reading.covariates import columns_of
from trial_sim.prediction.reading.ongoing import OngoingTrial
from trial_sim.prediction.reading.strata import strata_of, stratified_test
from trial_sim.prediction.rest_of_trial import (
    Future,
    Rest,
    all_arms,
    all_covariates,
    followed,
    future_patients,
)
from trial_sim.prediction.under_rules import carry_on
from trial_sim.scenarios.protocol import OutcomeBatch

_PLANNED = 40  # times at which the planned events of an arm are put
DROPOUT_MODELS = ("exponential", "weibull")


@dataclass(frozen=True, eq=False)
class CauseModel:
    """Hazards of one kind of event by group, and what strata and covariates do to them.

    Attributes:
        fitted: hazards by group, of a patient in the middle of the strata and covariates.
        ratios: of strata and covariates; None where there are none.
        group, time: (n,) group and months at risk of the patients so far.
    """

    fitted: FittedHazards
    ratios: HazardRatios | None
    group: np.ndarray
    time: np.ndarray

    @property
    def of_patients(self) -> np.ndarray:
        """Estimated hazard of each patient so far over that of the group, (n,)."""
        if self.ratios is None:
            return np.ones(len(self.time))
        return self.ratios.of_patients(self.ratios.estimate)

    def draw(
        self, n_draws: int, random: np.random.Generator
    ) -> tuple[DrawnHazards, np.ndarray | None]:
        """Hazards of groups, and hazard ratios of the patients so far (n_draws, n) or None."""
        hazards = self.fitted.draw(n_draws, random)
        if self.ratios is None:
            return hazards, None
        drawn = self.ratios.of_patients(self.ratios.draw(n_draws, random))
        # With other ratios the same events are spread over other exposures.
        mine = self.group == np.arange(len(self.fitted.groups))[:, None]
        months = mine * self.time
        spread = np.maximum(months @ self.of_patients, 1e-12)
        again = np.maximum(drawn @ months.T, 1e-12)
        return hazards.scaled((spread / again)[:, :, None]), drawn


@dataclass(frozen=True, eq=False)
class Course:
    """Hazards with which events of one kind come, a draw a row.

    Attributes:
        hazards: of the groups. relative: (n_draws, n) hazard of each patient over the group's; None
            for 1.
    """

    hazards: DrawnHazards
    relative: np.ndarray | None = None


def rest_of_events(
    trial: OngoingTrial,
    design: Design,
    outcomes: Any,
    settings: Settings,
    random: np.random.Generator,
    streams: Streams,
    adaptive: AdaptiveDesign | None = None,
) -> Rest:
    """The rest of a trial of times to an event; arguments as :func:`trial_sim.predict`.

    With an adaptive design, ``design`` is its arms and test with everybody who may come, and the
    rest is carried on under its rules. Strata of a stratified test, and covariates, multiply the
    hazards of all arms by ratios of their own; patients to come have those of patients so far,
    drawn at random. Competing events have hazards of their own, by arm.

    Raises:
        ValueError: for an unknown model, or arms that follow responses.
    """
    if design.randomization.needs_outcomes:
        raise ValueError(
            f"{type(design.randomization).__name__} follows binary responses, which test "
            f"{design.test_name!r} does not have: no arms of patients to come can be predicted"
        )
    n_draws = streams.n_trials
    labels = ("pooled",) if trial.blinded else design.arm_names
    group = np.zeros(len(trial.arm), int) if trial.blinded else trial.arm
    columns = _columns(trial, design)
    plan: list[np.ndarray | None] = [None, None]
    if settings.prior_events:
        plan = [
            _planned_times(h, design, trial.blinded)
            for h in _planned(outcomes, design, trial.competing is not None)
        ] + [None]
    model = _fit(trial, trial.event, group, labels, columns, settings, random, plan[0])
    if said := model.fitted.misfit():
        warn_user(said)
    dropout = fit_dropout(trial, design, random)
    leaving = dropout.draw(n_draws, random).scaled(settings.change.dropout_rate)
    hazards, ratios = model.draw(n_draws, random)
    hazards = DrawnHazards(hazards.nodes, settings.change.hazards(hazards.cumulative, labels))
    future = future_patients(trial, design, settings, random, streams)
    other = drawn_other = None
    if trial.competing is not None:
        beside = Settings(prior_events=settings.prior_events)
        other = _fit(trial, trial.competing, group, labels, columns, beside, random, plan[1])
        found, relative = other.draw(n_draws, random)
        drawn_other = Course(found, _everyone(relative, future))

    def carried(course: Course, other: Course | None, leaving: DrawnHazards) -> Any:
        if adaptive is not None:
            return carry_on(
                adaptive, trial, course.hazards, course.relative, leaving, future, streams
            )
        return continue_events(trial, design, course, other, leaving, future, streams)

    drawn = carried(Course(hazards, _everyone(ratios, future)), drawn_other, leaving)
    assumed: dict[str, Callable[[], Any]] = {}
    if not trial.blinded:
        fixed = dropout.estimate().scaled(settings.change.dropout_rate).repeated(n_draws, 1)

        def at_estimate(model: CauseModel | None, change: Any = None) -> Course | None:
            """Every draw the same: the estimates of a model."""
            if model is None:
                return None
            found = model.fitted.estimate()
            if change is not None:
                found = DrawnHazards(found.nodes, change.hazards(found.cumulative, labels))
            ratios = None
            if model.ratios is not None:
                ratios = _everyone(np.tile(model.of_patients, (n_draws, 1)), future)
            return Course(found.repeated(n_draws, len(labels)), ratios)

        def carry(course: Any, other: Any = None) -> Callable[[], Any]:
            return lambda: carried(course, other, fixed)

        everybody = np.zeros(len(group), int)
        pooled = [
            _fit(trial, event, everybody, ("pooled",), columns, used, random)
            for event, used in ((trial.event, settings), (trial.competing, Settings()))
            if event is not None
        ]
        assumed["trend"] = carry(at_estimate(model, settings.change), at_estimate(other))
        assumed["null"] = carry(*(at_estimate(one) for one in pooled))
        if outcomes is not None:
            assumed["design"] = carry(
                *(Course(h.repeated(n_draws, len(labels)))
                  for h in _planned(outcomes, design, trial.competing is not None))
            )  # fmt: skip
    fits: dict[str, Any] = {
        "events": model.fitted,
        "dropout": dropout,
        "enrolment": future.fit,
        "ratios": {},
    }
    if other is not None:
        fits["competing"] = other.fitted
    if columns is not None:
        fits["ratios"] = {"events": model.ratios, **({"competing": other.ratios} if other else {})}
    return Rest(drawn, assumed, fits)


def fit_dropout(trial: OngoingTrial, design: Design, random: np.random.Generator) -> FittedHazards:
    """Drop-out of all arms together, its prior centred at the design's mean rate."""
    _, planned = design.dropout.hazards(design.arm_names)
    return fit_hazards(
        trial.time, trial.dropout, np.zeros(len(trial.time), int), ("all",), random,
        DROPOUT_MODELS, planned=float(planned.mean()), compare=(), steady=True,
    )  # fmt: skip


def _columns(
    trial: OngoingTrial, design: Design
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray] | None:
    """Names, values (n, p) and scales of what multiplies hazards; None if nothing does."""
    names, values, scale = columns_of(trial.covariates)
    if not (stratified_test(design) and trial.factors):
        return (names, values, scale) if names else None
    codes = strata_of(trial.factors, design)
    strata = np.eye(design.n_strata)[codes]
    labels = [", ".join(map(str, level)) for level in itertools.product(*design.strata.values())]
    words = tuple(f"{'/'.join(design.strata)}[{label}]" for label in labels)
    if not names:
        return words, strata, np.ones(len(words))
    return (*words, *names), np.hstack([strata, values]), np.append(np.ones(len(words)), scale)


def _fit(
    trial: OngoingTrial,
    event: np.ndarray,
    group: np.ndarray,
    labels: tuple[str, ...],
    columns: tuple[tuple[str, ...], np.ndarray, np.ndarray] | None,
    settings: Settings,
    random: np.random.Generator,
    planned: np.ndarray | None = None,
) -> CauseModel:
    """The model of one kind of events, which end follow-up of those with ``event``.

    planned: (n_groups, m) months of the events that were planned, for the prior.
    """
    ratios = relative = None
    if columns is not None:
        ratios = fit_hazard_ratios(trial.time, event, group, len(labels), *columns)
        relative = ratios.of_patients(ratios.estimate)
    fitted = fit_hazards(
        trial.time, event, group, labels, random, settings.model, settings.breakpoints, relative,
        expected=planned, n_expected=settings.prior_events / len(labels),
    )  # fmt: skip
    return CauseModel(fitted, ratios, group, trial.time)


def _everyone(ratios: np.ndarray | None, future: Future) -> np.ndarray | None:
    """Hazard ratios of everybody from those of the patients so far, (n_draws, n + m)."""
    return None if ratios is None else np.take_along_axis(ratios, future.donor, axis=1)


def _planned(outcomes: Any, design: Design, competing: bool) -> list[DrawnHazards]:
    """The hazards that the trial was planned with, of events and of competing ones; one draw."""
    if competing:
        if not hasattr(outcomes, "hazards_by_cause"):
            raise TypeError(
                "there are competing events, and the planned outcomes have none: expected "
                f"CompetingEvents, got {outcomes!r}"
            )
        by_cause = outcomes.hazards_by_cause(design.arm_names)
        each = [by_cause[0], by_cause[1:].sum(axis=0)]
        starts, parts = np.zeros(1), [hazards[:, None] for hazards in each]
    else:
        if not hasattr(outcomes, "hazards"):
            raise TypeError(
                f"outcomes must have hazards, as PiecewiseExponential does, got {outcomes!r}"
            )
        starts, hazards = outcomes.hazards(design.arm_names)
        parts = [hazards]
    nodes = np.unique([*starts, starts[-1] + 1.0])
    found = []
    for hazards in parts:
        steps = np.cumsum(hazards * np.diff(nodes), axis=1)
        cumulative = np.concatenate([np.zeros((len(hazards), 1)), steps], axis=1)
        found.append(DrawnHazards(nodes, cumulative[None]))
    return found


def _planned_times(planned: DrawnHazards, design: Design, blinded: bool) -> np.ndarray:
    """Months (n_groups, m) of equally likely events by the planned hazards of the arms, inf for
    those that never come; blinded, of all arms together by their shares."""
    places = (np.arange(_PLANNED) + 0.5) / _PLANNED
    arms = len(planned.cumulative[0])
    times = np.empty((1, arms * _PLANNED))
    residual_times(
        planned.nodes, planned.cumulative, np.repeat(np.arange(arms), _PLANNED)[None],
        np.zeros(arms * _PLANNED), np.tile(-np.log1p(-places), arms)[None], times,
    )  # fmt: skip
    by_arm = times.reshape(arms, _PLANNED)
    if not blinded:
        return by_arm
    shares = np.array(list(design.arms.values()), dtype=float)
    counts = np.maximum(np.round(shares / shares.sum() * 10), 1).astype(int)
    return np.repeat(by_arm, counts, axis=0).reshape(1, -1)


def continue_events(
    trial: OngoingTrial,
    design: Design,
    course: Course,
    other: Course | None,
    leaving: DrawnHazards,
    future: Future,
    streams: Streams,
) -> TrialBatch:
    """The trial carried on to its end, once a draw; what has been observed is kept as it is.

    Args:
        course: of the events that are counted. other: of competing ones; None if there are none.
    """
    old = len(trial.enrolment)
    arm = all_arms(trial, future)
    n = arm.shape[1]
    group = np.zeros(arm.shape, np.int64) if trial.blinded else arm.astype(np.int64)
    now = np.concatenate([trial.time, np.zeros(n - old)])
    settled = np.flatnonzero(~trial.at_risk)

    def times(hazards: DrawnHazards, relative: Any, name: str, who: Any, groups: Any) -> np.ndarray:
        """Months to something, (n_draws, n); inf for the settled, to whom it did not happen."""
        to_come = np.array(streams.exponential(name, n))
        if relative is not None:
            to_come /= relative
        out = np.empty(arm.shape)
        residual_times(hazards.nodes, hazards.cumulative, groups, now, to_come, out)
        out[:, settled] = np.where(who[settled], trial.time[settled], np.inf)
        return out

    everyone = np.zeros(arm.shape, np.int64)
    latent = times(course.hazards, course.relative, "event", trial.event, group)
    lost = times(leaving, None, "dropout", trial.dropout, everyone)
    cause = None
    if other is not None:
        competes = times(other.hazards, other.relative, "competing", trial.competing, group)
        cause = np.where(latent <= competes, np.int8(1), np.int8(2))
        latent = np.minimum(latent, competes)
    outcome = OutcomeBatch(
        time=latent, cause=cause, covariates=all_covariates(trial, design, future)
    )
    batch = followed(trial, design, latent, lost, future, streams, outcome)

    def redraw(arm: np.ndarray) -> TrialBatch:
        changed = replace(future, arm=arm[:, old:])
        return continue_events(trial, design, course, other, leaving, changed, streams)

    return replace(batch, redraw=redraw)
