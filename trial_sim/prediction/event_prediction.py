"""Prediction of time-to-event trials: models by arm, assumptions, and the law of the events."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trial_sim.base.records import as_breakpoints, as_floats
from trial_sim.design.design import Design
from trial_sim.engine.batch import TrialBatch
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.event_forecast import EventForecast, Rest
from trial_sim.prediction.event_models import FittedHazard, cumulative, fit_hazard, invert
from trial_sim.prediction.ongoing import OngoingTrial, strata_of, stratified_test
from trial_sim.prediction.ongoing_strata import StratumEffects, stratum_effects
from trial_sim.prediction.rest_of_trial import (
    Future,
    all_arms,
    all_factors,
    followed,
    future_patients,
)
from trial_sim.scenarios.protocol import OutcomeBatch


@dataclass(frozen=True, eq=False)
class _Model:
    """Hazards of groups, and what strata make of them.

    Attributes:
        fits: one a group, at the estimated stratum effects. theta: their draws (n_draws, p) each.
        effects: of strata, or None. relative: (n_draws, n_strata) hazard ratios; (n_draws, 1) of
            ones without strata.
    """

    fits: list[FittedHazard]
    theta: list[np.ndarray]
    effects: StratumEffects | None
    relative: np.ndarray


def rest_of_events(
    trial: OngoingTrial,
    design: Design,
    outcomes: Any,
    model: str,
    breakpoints: tuple[float, ...],
    window: float | None,
    random: np.random.Generator,
    streams: Streams,
) -> Rest:
    """The rest of a trial of times to an event; arguments as :func:`trial_sim.predict`.

    Where the test is stratified, strata multiply the hazards of all arms by ratios of their own.

    Raises:
        ValueError: for an unknown model, or Weibull hazards under a stratified test.
    """
    if design.randomization.needs_outcomes:
        raise ValueError(
            f"{type(design.randomization).__name__} follows binary responses, which test "
            f"{design.test_name!r} does not have: no arms of patients to come can be predicted"
        )
    breakpoints = _checked(breakpoints, model, trial)
    n_draws = streams.n_trials
    labels = ("pooled",) if trial.blinded else design.arm_names
    group = np.zeros(len(trial.arm), int) if trial.blinded else trial.arm
    strata = None
    if stratified_test(design) and trial.factors:
        if model == "weibull":
            raise ValueError(
                "prediction under a stratified test needs model 'exponential' or "
                "'piecewise_exponential', got 'weibull'"
            )
        strata = strata_of(trial.factors, design)
    n_strata = int(np.prod([len(levels) for levels in design.strata.values()]))
    fitted = _fit(trial, group, len(labels), strata, n_strata, model, breakpoints, n_draws, random)
    dropout = fit_hazard(trial.time, trial.dropout)
    leaving = np.exp(dropout.draw(n_draws, random)[:, 0])
    future = future_patients(trial, design, window, random, streams)
    everyone = np.zeros((n_draws, design.n_patients), int)
    if strata is not None:
        everyone = strata_of(all_factors(trial, design, future), design)
    relative = np.take_along_axis(fitted.relative, everyone, axis=1)
    drawn = continue_events(
        trial, design, fitted.fits, fitted.theta, relative, leaving, future, streams
    )
    assumed = {}
    if not trial.blinded:
        fixed = np.exp(dropout.theta[0]) * np.ones(n_draws)
        pooled = _fit(
            trial, np.zeros(len(group), int), 1, strata, n_strata, model, breakpoints, 1, random
        )
        given = {"trend": _fixed(fitted), "null": _fixed(pooled, len(labels))}
        if outcomes is not None:
            given["design"] = _planned(outcomes, design)
        for name, (models, values, ratio) in given.items():
            repeated = [np.tile(v, (n_draws, 1)) for v in values]
            ratios = ratio[everyone] if len(ratio) > 1 else np.ones(everyone.shape)
            assumed[name] = continue_events(
                trial, design, models, repeated, ratios, fixed, future, streams
            )
    fits: dict[str, Any] = {
        "events": dict(zip(labels, fitted.fits)), "dropout": dropout, "enrolment": future.fit,
    }  # fmt: skip
    if fitted.effects is not None:
        fits["strata"] = fitted.effects
    return Rest(drawn, assumed, _forecast(trial, design, fitted, relative, leaving, future), fits)


def _checked(value: Any, model: str, trial: OngoingTrial) -> tuple[float, ...]:
    """Breakpoints that the model and the data can use.

    Raises:
        ValueError, TypeError: for some that are not increasing, positive and within the follow-up,
            or none in a piecewise model.

    Warns where the model has no use for them.
    """
    points = as_floats(value, "breakpoints") if np.size(value) else ()
    if model != "piecewise_exponential":
        if points:
            warnings.warn(
                f"breakpoints {list(points)} are not used by model {model!r}, only by "
                "'piecewise_exponential'",
                stacklevel=4,
            )
        return ()
    if not points:
        raise ValueError(
            "model 'piecewise_exponential' needs breakpoints, the months at which its hazard "
            "changes; without any it is 'exponential'"
        )
    as_breakpoints(points, len(points) + 1, "the model")
    longest = float(trial.time.max(initial=0.0))
    if points[-1] >= longest:
        raise ValueError(
            f"breakpoints must lie within the follow-up, whose longest is {longest:g} months: "
            f"nothing is known of the hazard after {points[-1]:g}"
        )
    return points


def _fit(
    trial: OngoingTrial,
    group: np.ndarray,
    n_groups: int,
    strata: np.ndarray | None,
    n_strata: int,
    model: str,
    breakpoints: tuple[float, ...],
    n_draws: int,
    random: np.random.Generator,
) -> _Model:
    """Hazards by group and their draws, beside stratum effects where ``strata`` (n,) is given."""
    masks = [group == g for g in range(n_groups)]
    if strata is None:
        fits = [fit_hazard(trial.time[m], trial.event[m], model, breakpoints) for m in masks]
        theta = [fit.draw(n_draws, random) for fit in fits]
        return _Model(fits, theta, None, np.ones((n_draws, 1)))
    starts = np.array([0.0, *(breakpoints if model == "piecewise_exponential" else ())])
    each = np.clip(trial.time[:, None], starts, np.append(starts[1:], np.inf)) - starts
    piece = np.maximum(np.searchsorted(starts, trial.time, side="left") - 1, 0)
    exposure = np.zeros((n_groups, len(starts), n_strata))
    events = np.zeros(exposure.shape)
    for g, m in enumerate(masks):
        np.add.at(exposure[g].T, strata[m], each[m])
        seen = m & trial.event
        np.add.at(events[g], (piece[seen], strata[seen]), 1.0)
    effects = stratum_effects(exposure.reshape(-1, n_strata), events.reshape(-1, n_strata))
    ratio = np.exp(effects.estimate)
    fits = [
        fit_hazard(trial.time[m], trial.event[m], model, breakpoints, ratio[strata[m]])
        for m in masks
    ]
    # Rates given the ratios: with other ratios the same events are spread over other exposures.
    drawn = np.exp(effects.draw(n_draws, random))
    theta = []
    for g, fit in enumerate(fits):
        spread = np.maximum(exposure[g] @ ratio, 1e-12)
        again = np.maximum(drawn @ exposure[g].T, 1e-12)
        theta.append(fit.draw(n_draws, random) + np.log(spread / again))
    return _Model(fits, theta, effects, drawn)


_Fixed = tuple[list[FittedHazard], list[np.ndarray], np.ndarray]


def _fixed(model: _Model, repeat: int = 1) -> _Fixed:
    """The estimates of a model: hazards, their parameters, and hazard ratios of strata."""
    ratio = np.ones(1) if model.effects is None else np.exp(model.effects.estimate)
    fits = model.fits * repeat
    return fits, [fit.theta for fit in fits], ratio


def _planned(outcomes: Any, design: Design) -> _Fixed:
    """The hazards that the trial was planned with."""
    if not hasattr(outcomes, "hazards"):
        raise TypeError(
            f"outcomes must have hazards, as PiecewiseExponential does, got {outcomes!r}"
        )
    starts, hazards = outcomes.hazards(design.arm_names)
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(hazards), -690.0)
    planned = [
        FittedHazard(
            "piecewise_exponential", row, np.zeros((len(row),) * 2), tuple(starts[1:]), 0, 0.0
        )
        for row in logs
    ]
    return planned, list(logs), np.ones(1)


def _forecast(
    trial: OngoingTrial,
    design: Design,
    model: _Model,
    relative: np.ndarray,
    leaving: np.ndarray,
    future: Future,
) -> EventForecast:
    """What the exact law of the number of events needs, from the drawn parameters."""
    risk = trial.at_risk
    n_draws, n_old = len(leaving), len(risk)
    old = np.zeros(int(risk.sum()), int) if trial.blinded else trial.arm[risk]
    new = np.zeros(future.arm.shape, int) if trial.blinded else future.arm.astype(int)
    entered = np.tile(trial.enrolment[risk], (n_draws, 1))
    followed = np.tile(trial.time[risk], (n_draws, 1))
    return EventForecast(
        seen=int(trial.event.sum()),
        cutoff=trial.cutoff,
        fits=model.fits,
        theta=model.theta,
        dropout=leaving,
        group=np.hstack([np.tile(old, (n_draws, 1)), new]),
        entry=np.hstack([entered, future.enrolment]),
        now=np.hstack([followed, np.zeros(future.enrolment.shape)]),
        follow_up=np.inf if design.follow_up is None else float(design.follow_up),
        relative=np.hstack([relative[:, :n_old][:, risk], relative[:, n_old:]]),
    )


def continue_events(
    trial: OngoingTrial,
    design: Design,
    fits: list[FittedHazard],
    theta: list[np.ndarray],
    relative: np.ndarray,
    leaving: np.ndarray,
    future: Future,
    streams: Streams,
) -> TrialBatch:
    """The trial carried on to its end, once a draw; what has been observed is kept as it is.

    relative: (n_draws, n + m) hazard of each patient over that of his arm.
    """
    n_draws, old = len(leaving), len(trial.enrolment)
    arm = all_arms(trial, future)
    n = arm.shape[1]
    latent, lost = np.full((n_draws, n), np.inf), np.full((n_draws, n), np.inf)
    event_draw, dropout_draw = streams.exponential("event", n), streams.exponential("dropout", n)
    event_draw = event_draw / relative
    now = np.concatenate([trial.time, np.zeros(n - old)])
    open_ = np.concatenate([trial.at_risk, np.ones(n - old, bool)])
    for d in range(n_draws):
        for g, fit in enumerate(fits):
            mine = open_ if trial.blinded else open_ & (arm[d] == g)
            start = cumulative(fit, theta[g][d], now[mine])
            latent[d, mine] = invert(fit, theta[g][d], start + event_draw[d, mine])
        lost[d, open_] = now[open_] + dropout_draw[d, open_] / leaving[d]
    latent[:, :old][:, trial.event] = trial.time[trial.event]
    lost[:, :old][:, trial.dropout] = trial.time[trial.dropout]
    batch = followed(trial, design, latent, lost, future, streams, OutcomeBatch(time=latent))

    def redraw(arm: np.ndarray) -> TrialBatch:
        changed = replace(future, arm=arm[:, old:])
        return continue_events(trial, design, fits, theta, relative, leaving, changed, streams)

    return replace(batch, redraw=redraw)
