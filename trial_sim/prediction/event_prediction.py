"""Prediction of time-to-event trials: models by arm, assumptions, patients carried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
from trial_sim.prediction.models.strata import StratumEffects, stratum_effects
from trial_sim.prediction.reading.ongoing import OngoingTrial
from trial_sim.prediction.reading.strata import strata_of, stratified_test
from trial_sim.prediction.rest_of_trial import (
    Future,
    Rest,
    all_arms,
    all_factors,
    followed,
    future_patients,
)
from trial_sim.prediction.under_rules import carry_on
from trial_sim.scenarios.protocol import OutcomeBatch

DROPOUT_MODELS = ("exponential", "weibull")
_PIECES = 4  # of time, in each of which strata share a rate


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
    rest is carried on under its rules. Where the test is stratified, strata multiply the hazards of
    all arms by ratios of their own.

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
    strata, n_strata = None, design.n_strata
    if stratified_test(design) and trial.factors:
        strata = strata_of(trial.factors, design)
    effects = None
    if strata is not None:
        effects = stratum_effects(*_cells(trial, group, len(labels), strata, n_strata))
    fitted = _fit(trial, group, labels, strata, effects, settings, random)
    if said := fitted.misfit():
        warn_user(said)
    dropout = fit_dropout(trial, design, random)
    leaving = dropout.draw(n_draws, random).scaled(settings.change.dropout_rate)
    hazards, ratios = _drawn(trial, group, fitted, strata, n_strata, effects, n_draws, random)
    hazards = DrawnHazards(hazards.nodes, settings.change.hazards(hazards.cumulative, labels))
    future = future_patients(trial, design, settings, random, streams)
    everyone = np.zeros((n_draws, design.n_patients), int)
    if strata is not None:
        everyone = strata_of(all_factors(trial, design, future), design)
    relative = np.take_along_axis(ratios, everyone, axis=1) if strata is not None else None

    def carried(cumulative: DrawnHazards, relative: Any, leaving: DrawnHazards) -> Any:
        if adaptive is not None:
            return carry_on(adaptive, trial, cumulative, relative, leaving, future, streams)
        return continue_events(trial, design, cumulative, relative, leaving, future, streams)

    drawn = carried(hazards, relative, leaving)
    assumed: dict[str, Callable[[], Any]] = {}
    if not trial.blinded:
        fixed = dropout.estimate().scaled(settings.change.dropout_rate).repeated(n_draws, 1)
        ratio = None if effects is None else np.exp(effects.estimate)[everyone]
        n = len(labels)

        def carry(cumulative: DrawnHazards, relative: Any) -> Callable[[], Any]:
            many = cumulative.repeated(n_draws, n)
            return lambda: carried(many, relative, fixed)

        estimate = fitted.estimate()
        changed = settings.change.hazards(estimate.cumulative, labels)
        pooled = _fit(
            trial, np.zeros(len(group), int), ("pooled",), strata, effects, settings, random
        )
        assumed["trend"] = carry(DrawnHazards(estimate.nodes, changed), ratio)
        assumed["null"] = carry(pooled.estimate(), ratio)
        if outcomes is not None:
            assumed["design"] = carry(_planned(outcomes, design), None)
    fits: dict[str, Any] = {"events": fitted, "dropout": dropout, "enrolment": future.fit}
    if effects is not None:
        fits["strata"] = effects
    return Rest(drawn, assumed, fits)


def fit_dropout(trial: OngoingTrial, design: Design, random: np.random.Generator) -> FittedHazards:
    """Drop-out of all arms together, its prior centred at the design's mean rate."""
    _, planned = design.dropout.hazards(design.arm_names)
    return fit_hazards(
        trial.time, trial.dropout, np.zeros(len(trial.time), int), ("all",), random,
        DROPOUT_MODELS, planned=float(planned.mean()), compare=(), steady=True,
    )  # fmt: skip


def _fit(
    trial: OngoingTrial,
    group: np.ndarray,
    labels: tuple[str, ...],
    strata: np.ndarray | None,
    effects: StratumEffects | None,
    settings: Settings,
    random: np.random.Generator,
) -> FittedHazards:
    relative = None
    if strata is not None and effects is not None:
        relative = np.exp(effects.estimate)[strata]
    return fit_hazards(
        trial.time, trial.event, group, labels, random, settings.model, settings.breakpoints,
        relative,
    )  # fmt: skip


def _cells(
    trial: OngoingTrial, group: np.ndarray, n_groups: int, strata: np.ndarray, n_strata: int
) -> tuple[np.ndarray, np.ndarray]:
    """Months at risk and events, (n_groups * pieces, n_strata), by pieces of time."""
    cuts = np.empty(0)
    if trial.event.sum() >= 2 * _PIECES:
        cuts = np.unique(np.quantile(trial.time[trial.event], np.arange(1, _PIECES) / _PIECES))
    starts = np.array([0.0, *cuts])
    each = np.clip(trial.time[:, None], starts, np.append(starts[1:], np.inf)) - starts
    piece = np.maximum(np.searchsorted(starts, trial.time, side="left") - 1, 0)
    exposure = np.zeros((n_groups, len(starts), n_strata))
    events = np.zeros(exposure.shape)
    for g in range(n_groups):
        mine = group == g
        np.add.at(exposure[g].T, strata[mine], each[mine])
        seen = mine & trial.event
        np.add.at(events[g], (piece[seen], strata[seen]), 1.0)
    return exposure.reshape(-1, n_strata), events.reshape(-1, n_strata)


def _drawn(
    trial: OngoingTrial,
    group: np.ndarray,
    fitted: FittedHazards,
    strata: np.ndarray | None,
    n_strata: int,
    effects: StratumEffects | None,
    n_draws: int,
    random: np.random.Generator,
) -> tuple[DrawnHazards, np.ndarray]:
    """Hazards of groups, and hazard ratios of strata (n_draws, n_strata)."""
    hazards = fitted.draw(n_draws, random)
    if effects is None or strata is None:
        return hazards, np.ones((n_draws, 1))
    ratios = np.exp(effects.draw(n_draws, random))
    # With other ratios the same events are spread over other exposures.
    months = np.zeros((len(fitted.groups), n_strata))
    np.add.at(months, (group, strata), trial.time)
    spread = np.maximum(months @ np.exp(effects.estimate), 1e-12)
    again = np.maximum(ratios @ months.T, 1e-12)
    return hazards.scaled((spread / again)[:, :, None]), ratios


def _planned(outcomes: Any, design: Design) -> DrawnHazards:
    """The hazards that the trial was planned with, one draw."""
    if not hasattr(outcomes, "hazards"):
        raise TypeError(
            f"outcomes must have hazards, as PiecewiseExponential does, got {outcomes!r}"
        )
    starts, hazards = outcomes.hazards(design.arm_names)
    nodes = np.unique([*starts, starts[-1] + 1.0])
    widths = np.diff(nodes)
    steps = hazards * widths
    cumulative = np.concatenate([np.zeros((len(hazards), 1)), np.cumsum(steps, axis=1)], axis=1)
    return DrawnHazards(nodes, cumulative[None])


def continue_events(
    trial: OngoingTrial,
    design: Design,
    hazards: DrawnHazards,
    relative: np.ndarray | None,
    leaving: DrawnHazards,
    future: Future,
    streams: Streams,
) -> TrialBatch:
    """The trial carried on to its end, once a draw; what has been observed is kept as it is.

    relative: (n_draws, n + m) hazard of each patient over that of the arm; None for 1.
    """
    old = len(trial.enrolment)
    arm = all_arms(trial, future)
    n = arm.shape[1]
    group = np.zeros(arm.shape, np.int64) if trial.blinded else arm.astype(np.int64)
    now = np.concatenate([trial.time, np.zeros(n - old)])
    to_come = np.array(streams.exponential("event", n))
    if relative is not None:
        to_come /= relative
    latent, lost = np.empty(arm.shape), np.empty(arm.shape)
    residual_times(hazards.nodes, hazards.cumulative, group, now, to_come, latent)
    to_leave = np.array(streams.exponential("dropout", n))
    everyone = np.zeros(arm.shape, np.int64)
    residual_times(leaving.nodes, leaving.cumulative, everyone, now, to_leave, lost)
    settled = np.flatnonzero(~trial.at_risk)
    latent[:, settled] = np.where(trial.event[settled], trial.time[settled], np.inf)
    lost[:, settled] = np.where(trial.dropout[settled], trial.time[settled], np.inf)
    batch = followed(trial, design, latent, lost, future, streams, OutcomeBatch(time=latent))

    def redraw(arm: np.ndarray) -> TrialBatch:
        changed = replace(future, arm=arm[:, old:])
        return continue_events(trial, design, hazards, relative, leaving, changed, streams)

    return replace(batch, redraw=redraw)
