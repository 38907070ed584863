"""Prediction of trials of recurrent events: rates with frailty, patients carried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import gammaincinv

from trial_sim.base.arguments import nearest
from trial_sim.design.design import Design
from trial_sim.design.look_rules import CalendarLooks, EventLooks
from trial_sim.engine.batch import TrialBatch
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.assumptions import Change, Settings
from trial_sim.prediction.event_prediction import fit_dropout
from trial_sim.prediction.models.events import DrawnHazards, fit_hazards, residual_times
from trial_sim.prediction.models.recurrences import DrawnRates, fit_rates
from trial_sim.prediction.reading.recurrences import OngoingRecurrences
from trial_sim.prediction.rest_of_trial import (
    NEXT,
    Future,
    Rest,
    all_arms,
    all_factors,
    future_patients,
)
from trial_sim.scenarios.protocol import OutcomeBatch

_AHEAD = 24.0  # months after the cut-off for which events are drawn at least
_LONGEST = 480.0  # … and at most
_ENOUGH = 0.995  # share of draws in which the last look's events come before the horizon
_MOST_TIMES = 200_000_000  # events times patients times draws that fit into memory


@dataclass(frozen=True, eq=False)
class _Assumed:
    """Parameters with which a trial is carried on, a draw a row.

    Attributes:
        past: rates so far, which say what a patient's events tell of the frailty. rates: from the
            cut-off on. ending: cumulative hazards of the competing event; None without one.
        leaving: of drop-out.
    """

    past: DrawnRates
    rates: DrawnRates
    ending: DrawnHazards | None
    leaving: DrawnHazards


def rest_of_recurrences(
    trial: OngoingRecurrences,
    design: Design,
    outcomes: Any,
    settings: Settings,
    random: np.random.Generator,
    streams: Streams,
) -> Rest:
    """The rest of a trial of recurrent events; arguments as :func:`trial_sim.predict`.

    Events are drawn up to a horizon, in ``fits["horizon"]``: the end of follow-up, the last
    calendar look, or the month by which the last look's events have come.

    Raises:
        ValueError, TypeError: for what does not suit recurrent events.
    """
    if settings.model != "average":
        raise ValueError(
            f"model names hazards of a first event, got {settings.model!r}: rates of recurrent "
            "events are constant or changing, averaged"
        )
    if design.randomization.needs_outcomes:
        raise ValueError(
            f"{type(design.randomization).__name__} follows binary responses: no arms of patients "
            "to come can be predicted"
        )
    n_draws = streams.n_trials
    labels = ("pooled",) if trial.blinded else design.arm_names
    group = np.zeros(len(trial.arm), int) if trial.blinded else trial.arm
    fitted = fit_rates(trial.time, trial.who, trial.when, group, labels, random)
    dropout = fit_dropout(trial, design, random)
    future = future_patients(trial, design, settings, random, streams)
    ending = None
    if trial.competing is not None:
        ending = fit_hazards(trial.time, trial.competing, group, labels, random)
    change = settings.change
    past = fitted.draw(n_draws, random)
    drawn = _Assumed(
        past,
        _changed(past, change, labels),
        None if ending is None else ending.draw(n_draws, random),
        dropout.draw(n_draws, random).scaled(change.dropout_rate),
    )
    horizon = _horizon(trial, design, drawn, future, streams)

    def carry(assumed: _Assumed) -> Callable[[], TrialBatch]:
        return lambda: continue_recurrences(trial, design, assumed, future, streams, horizon)

    conditions: dict[str, Callable[[], TrialBatch]] = {}
    if not trial.blinded:
        n = len(labels)
        fixed = dropout.estimate().scaled(change.dropout_rate).repeated(n_draws, 1)
        estimate = fitted.estimate()
        ends = None if ending is None else ending.estimate().repeated(n_draws, n)
        conditions["trend"] = carry(
            _Assumed(
                estimate.repeated(n_draws, n),
                _changed(estimate, change, labels).repeated(n_draws, n), ends, fixed,
            )
        )  # fmt: skip
        everybody = np.zeros(len(group), int)
        pooled = fit_rates(trial.time, trial.who, trial.when, everybody, ("pooled",), random)
        null = pooled.estimate().repeated(n_draws, n)
        conditions["null"] = carry(_Assumed(null, null, ends, fixed))
        if outcomes is not None:
            rates, ends = _planned(outcomes, design, trial.competing is not None)
            rates = rates.repeated(n_draws, n)
            ends = None if ends is None else ends.repeated(n_draws, n)
            conditions["design"] = carry(_Assumed(rates, rates, ends, fixed))
    fits: dict[str, Any] = {"rates": fitted, "dropout": dropout, "enrolment": future.fit}
    if ending is not None:
        fits["competing"] = ending
    return Rest(carry(drawn)(), conditions, {**fits, "horizon": horizon})


def _changed(rates: DrawnRates, change: Change, labels: tuple[str, ...]) -> DrawnRates:
    """Rates from the cut-off on."""
    level, shape = np.array(rates.level) + np.log(change.event_rate), np.array(rates.shape)
    ratios = change.hazard_ratio
    if ratios is None:
        return DrawnRates(level, shape, rates.dispersion)
    if len(labels) == 1:
        raise ValueError("hazard_ratio needs the arms, and the patients are blinded")
    ratios = ratios if isinstance(ratios, dict) else dict.fromkeys(labels[1:], ratios)
    for arm, ratio in ratios.items():
        if arm not in labels[1:]:
            raise ValueError(f"hazard_ratio names an unknown arm {arm!r}{nearest(arm, labels[1:])}")
        k = labels.index(arm)
        level[:, k], shape[:, k] = level[:, 0] + np.log(ratio), shape[:, 0]
    return DrawnRates(level, shape, rates.dispersion)


def _planned(outcomes: Any, design: Design, ends: bool) -> tuple[DrawnRates, DrawnHazards | None]:
    """Rates, and hazards of the terminal event, that the trial was planned with; one draw."""
    if getattr(outcomes, "kind", None) != "recurrent":
        raise TypeError(f"outcomes must be RecurrentEvents, got {outcomes!r}")
    rates = outcomes.rates(design.arm_names)[None]
    drawn = DrawnRates(
        np.log(rates), np.ones(rates.shape), np.full(rates.shape, max(outcomes.dispersion, 1e-9))
    )
    if not ends:
        return drawn, None
    nodes = np.array([0.0, 1.0])
    return drawn, DrawnHazards(nodes, (outcomes.terminal_hazard * nodes)[None, None])


def _horizon(
    trial: OngoingRecurrences,
    design: Design,
    assumed: _Assumed,
    future: Future,
    streams: Streams,
) -> float:
    """The month up to which events are drawn."""
    least = trial.cutoff + _AHEAD
    if isinstance(design.looks, CalendarLooks):
        return max(least, float(design.looks.months[-1]))
    if not isinstance(design.looks, EventLooks):
        return max(least, float(design.max_duration or 0.0), trial.cutoff + 60.0)
    wanted = design.looks.events[-1]
    few = Streams(streams.seed, streams.scenario, streams.trials[:100])
    some = slice(0, few.n_trials)
    part = replace(
        future, enrolment=future.enrolment[some], arm=future.arm[some], donor=future.donor[some],
        factors={name: codes[some] for name, codes in future.factors.items()},
    )  # fmt: skip
    fewer = _Assumed(
        _rates_of(assumed.past, some),
        _rates_of(assumed.rates, some),
        None if assumed.ending is None else _hazards_of(assumed.ending, some),
        _hazards_of(assumed.leaving, some),
    )
    while least < trial.cutoff + _LONGEST:
        batch = continue_recurrences(trial, design, fewer, part, few, least)
        reached = (np.isfinite(batch.calendar_event).sum(axis=1) >= wanted).mean()
        over = (batch.exit < least - 1e-9).all()
        if reached >= _ENOUGH or over:
            break
        least = trial.cutoff + 1.6 * (least - trial.cutoff)
    return least


def _rates_of(drawn: DrawnRates, rows: slice) -> DrawnRates:
    """Some draws of rates."""
    return DrawnRates(drawn.level[rows], drawn.shape[rows], drawn.dispersion[rows])


def _hazards_of(drawn: DrawnHazards, rows: slice) -> DrawnHazards:
    """Some draws of hazards."""
    return DrawnHazards(drawn.nodes, drawn.cumulative[rows])


def continue_recurrences(
    trial: OngoingRecurrences,
    design: Design,
    assumed: _Assumed,
    future: Future,
    streams: Streams,
    horizon: float,
) -> TrialBatch:
    """The trial carried on to a month, once a draw; what has been observed is kept as it is."""
    old = len(trial.enrolment)
    arm = all_arms(trial, future)
    n_draws, n = arm.shape
    group = np.zeros(arm.shape, np.int64) if trial.blinded else arm.astype(np.int64)
    enrolment = np.hstack([np.tile(trial.enrolment, (n_draws, 1)), future.enrolment])
    now = np.concatenate([trial.time, np.zeros(n - old)])
    settled = np.flatnonzero(~trial.at_risk)

    def times(hazards: DrawnHazards, name: str, who: np.ndarray, groups: np.ndarray) -> np.ndarray:
        out = np.empty(arm.shape)
        to_come = np.array(streams.exponential(name, n))
        residual_times(hazards.nodes, hazards.cumulative, groups, now, to_come, out)
        out[:, settled] = np.where(who[settled], trial.time[settled], np.inf)
        return out

    terminal = np.full(arm.shape, np.inf)
    if assumed.ending is not None and trial.competing is not None:
        terminal = times(assumed.ending, "competing", trial.competing, group)
    ends = times(assumed.leaving, "dropout", trial.dropout, np.zeros(arm.shape, np.int64))
    ends = np.minimum(ends, terminal)
    if design.follow_up is not None:
        ends = np.minimum(ends, float(design.follow_up))
    seen = np.minimum(ends, np.maximum(horizon - enrolment, 0.0))

    def of_patients(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, group, axis=1)

    counts = np.bincount(trial.who, minlength=n)
    size = 1.0 / of_patients(assumed.past.dispersion)
    with np.errstate(divide="ignore"):
        logs = np.log(now)
    spent = np.exp(of_patients(assumed.past.level) + of_patients(assumed.past.shape) * logs)
    frailty = gammaincinv(size + counts, streams.uniform("frailty", n)) / (size + spent)
    level, shape = of_patients(assumed.rates.level), of_patients(assumed.rates.shape)
    layers = _drawn_times(streams, now, frailty, level, shape, seen)
    recurrences = _with_past(trial, counts, layers, arm.shape)
    calendar = np.where(
        recurrences <= seen[:, :, None], enrolment[:, :, None] + recurrences, np.inf
    )
    # What is late in the data comes to be known after the cut-off; what is known, is known.
    known = np.arange(recurrences.shape[2]) < counts[:, None]
    calendar = np.where(known, calendar, np.maximum(calendar, trial.cutoff + NEXT))
    batch = TrialBatch(
        design, streams, enrolment, arm, all_factors(trial, design, future),
        OutcomeBatch(time=terminal, recurrences=recurrences), seen,
        np.zeros(arm.shape, np.int8), enrolment + seen,
        np.ascontiguousarray(calendar.reshape(n_draws, -1)),
    )  # fmt: skip

    def redraw(arm: np.ndarray) -> TrialBatch:
        changed = replace(future, arm=arm[:, old:])
        return continue_recurrences(trial, design, assumed, changed, streams, horizon)

    return replace(batch, redraw=redraw)


def _drawn_times(
    streams: Streams,
    now: np.ndarray,
    frailty: np.ndarray,
    level: np.ndarray,
    shape: np.ndarray,
    until: np.ndarray,
) -> list[np.ndarray]:
    """Months on study of the events to come, one array (n_draws, n) for each next one, or inf."""
    n = until.shape[1]
    with np.errstate(divide="ignore"):
        reached = np.exp(level + shape * np.log(now))
    layers: list[np.ndarray] = []
    while True:
        reached = reached + streams.exponential("recurrence", n, len(layers)) / frailty
        months = np.exp((np.log(reached) - level) / shape)
        found = np.where(months <= until, months, np.inf)
        if not np.isfinite(found).any():
            return layers
        layers.append(found)
        if len(layers) * found.size > _MOST_TIMES:
            raise ValueError(
                f"patients have more than {len(layers)} events each in {len(found)} draws, which "
                "do not fit into memory: give fewer n_draws"
            )


def _with_past(
    trial: OngoingRecurrences, counts: np.ndarray, layers: list[np.ndarray], shape: tuple[int, int]
) -> np.ndarray:
    """Events so far and those to come, (n_draws, n, width), ascending, padded with inf.

    counts: (n,) events so far of each patient. layers: as by `_drawn_times`.
    """
    n_draws, n = shape
    to_come = [np.flatnonzero(np.isfinite(layer).any(axis=0)) for layer in layers]
    more = np.zeros(n, int)
    for patients in to_come:
        more[patients] += 1
    width = max(int((counts + more).max()), 1)
    if n_draws * n * width > _MOST_TIMES:
        raise ValueError(
            f"{n_draws} draws of {n} patients with up to {width} events each do not fit into "
            "memory: give fewer n_draws"
        )
    out = np.full((n_draws, n, width), np.inf)
    first = np.cumsum(counts) - counts
    order = np.lexsort((trial.when, trial.who))
    who = trial.who[order]
    out[:, who, np.arange(len(who)) - first[who]] = trial.when[order]
    for k, (layer, patients) in enumerate(zip(layers, to_come)):
        out[:, patients, counts[patients] + k] = layer[:, patients]
    return out
