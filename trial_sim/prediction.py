"""An ongoing trial: when will it end, and will it succeed?

Parameters of the event, dropout and enrolment models are drawn. Given them and the future
enrolment, each patient has a probability of an event by a given month of his own, so that the
number of future events is Poisson-binomial: it is computed exactly and averaged over the draws.
Look dates and the probability of success come from the same draws, each trial carried on patient by
patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.conduct import EFFICACY, analysis_for, conduct, look_schedule
from trial_sim.design import Bounds, Design
from trial_sim.engine_kernels import observe
from trial_sim.event_forecast import EventForecast
from trial_sim.event_models import FittedHazard, cumulative, fit_hazard, invert
from trial_sim.monte_carlo import Estimate, share
from trial_sim.ongoing import DAYS_PER_MONTH, OngoingTrial, from_trial, read_ongoing
from trial_sim.random_streams import Streams
from trial_sim.scenarios.protocol import OutcomeBatch
from trial_sim.trial_batch import TrialBatch


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is expected of an ongoing trial.

    Attributes:
        trial, design: what was predicted from.
        looks: one row a look still to come: look, probability that it is held, month (median,
            lower, upper), days from the cut-off, calendar dates if known.
        enrolment: month at which enrolment completes: median, lower, upper (and dates).
        curve: month, and mean, median, lower, upper of patients and events.
        probability_of_success: share of continued trials that reject, parameters drawn.
        conditional_power: the same with parameters fixed, by assumption: ``trend`` (estimates),
            ``null`` (no difference, pooled), ``design`` (if design outcomes were given).
        fits: fitted models by arm, dropout and enrolment. level: of the bands.
    """

    trial: OngoingTrial
    design: Design
    looks: pd.DataFrame
    enrolment: dict[str, Any]
    curve: pd.DataFrame
    probability_of_success: Estimate | None
    conditional_power: dict[str, Estimate]
    fits: dict[str, Any]
    level: float
    _events: EventForecast

    def probability_of_events(self, events: int, month: float) -> float:
        """Chance of at least ``events`` events in all by ``month``, exact given the draws.

        Args:
            events: total, those seen included. month: since opening, at or after the cut-off.
        """
        return float(self._events.reach(int(events), np.array([month]))[0])

    def month_of_events(self, events: int) -> dict[str, float]:
        """Month by which ``events`` events are there: median, lower, upper of the exact law.

        NaN where the chance of ever getting there is too small for the quantile.
        """
        return self._events.quantiles(int(events), self.level)

    def date(self, month: float) -> pd.Timestamp | None:
        """Calendar date of a month, if the trial's opening date is known."""
        return _date(self.trial, month)

    def plot(self, ax: Any = None) -> Any:
        """Enrolment and events, observed and predicted with bands; returns the Axes."""
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
        trial, curve = self.trial, self.curve
        seen = np.sort((trial.enrolment + trial.time)[trial.event])
        for name, past, colour in (
            ("patients", trial.enrolment, "tab:blue"), ("events", seen, "tab:red"),
        ):  # fmt: skip
            ax.step(past, np.arange(1, len(past) + 1), where="post", color=colour, label=name)
            ax.plot(curve["month"], curve[f"{name}_median"], color=colour, ls="--")
            band = curve[f"{name}_lower"], curve[f"{name}_upper"]
            ax.fill_between(curve["month"], *band, color=colour, alpha=0.2, lw=0)
        ax.axvline(trial.cutoff, color="grey", lw=1)
        ax.set_xlabel("months since opening")
        ax.set_ylabel("number")
        ax.legend(frameon=False)
        return ax


def _date(trial: OngoingTrial, month: float) -> pd.Timestamp | None:
    if trial.opened is None or not np.isfinite(month):
        return None
    return (trial.opened + pd.Timedelta(days=month * DAYS_PER_MONTH)).normalize()


def predict(
    trial_so_far: Any,
    design: Design,
    *,
    outcomes: Any = None,
    model: str = "exponential",
    breakpoints: tuple[float, ...] = (),
    enrolment_window: float | None = None,
    looks_held: int | None = None,
    n_draws: int = 400,
    level: float = 0.9,
    seed: int = 0,
    **data: Any,
) -> Prediction:
    """Predict the rest of an ongoing time-to-event trial.

    Args:
        trial_so_far: patients so far, as :func:`read_ongoing` takes them, or a ``Trial`` whose
            patients have a column ``enrolment``.
        design: the design; its looks, boundaries, test, follow-up and accrual are obeyed.
        outcomes: the scenario the trial was planned with (with ``hazards``, such as
            PiecewiseExponential), for conditional power under the design.
        model: ``"exponential"``, ``"weibull"`` or ``"piecewise_exponential"`` with ``breakpoints``.
        enrolment_window: months before the cut-off whose accrual is taken to go on; all by default.
        looks_held: looks that are over; by default those whose number of events has been seen.
        n_draws: draws of the parameters. level: of the bands. seed: of the random numbers.
        **data: ``cutoff``, ``opened``, ``columns`` for :func:`read_ongoing`.

    Returns:
        a :class:`Prediction`; success and conditional power only where the arms are known.

    Raises:
        ValueError, TypeError: for unsuitable data, design or model.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> import numpy as np
        >>> import pandas as pd
        >>> enrolled = np.arange(60) * 0.2
        >>> so_far = pd.DataFrame(
        ...     {
        ...         "arm": ["control", "treatment"] * 30,
        ...         "enrolment": enrolled,
        ...         "time": np.minimum(12 - enrolled, 1 + np.arange(60) % 7),
        ...         "event": (1 + np.arange(60) % 7 < 12 - enrolled).astype(int),
        ...     }
        ... )
        >>> found = ts.predict(so_far, design, cutoff=12.0, n_draws=20, seed=1)
        >>> found.month_of_events(60)["median"] > 12
        True
    """
    if design.test_name not in ("logrank", "fleming_harrington", "magirr_burman", "max_combo",
                                "modestly_weighted", "cox", "rmst", "milestone"):  # fmt: skip
        raise ValueError(f"prediction needs a time-to-event test, got {design.test_name!r}")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    if n_draws != int(n_draws) or n_draws < 2:
        raise ValueError(f"n_draws must be a whole number of at least 2, got {n_draws!r}")
    if isinstance(trial_so_far, OngoingTrial):
        trial = trial_so_far
    else:
        if not isinstance(trial_so_far, pd.DataFrame):
            trial_so_far, data = from_trial(trial_so_far, data)
        trial = read_ongoing(trial_so_far, design, **data)
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x9ED1])))
    groups = [0] if trial.blinded else list(range(len(design.arm_names)))
    group = np.zeros(len(trial.arm), int) if trial.blinded else trial.arm
    fits = [
        fit_hazard(trial.time[group == g], trial.event[group == g], model, breakpoints)
        for g in groups
    ]
    dropout = fit_hazard(trial.time, trial.dropout)
    theta = [fit.draw(n_draws, random) for fit in fits]
    leaving = np.exp(dropout.draw(n_draws, random)[:, 0])
    future, accrual = _future_enrolment(trial, design, enrolment_window, n_draws, random)
    streams = Streams.span(seed, 0, n_draws)
    arms = _future_arms(design, trial, streams)
    label = np.array(["pooled"] if trial.blinded else list(design.arm_names))
    continued = _continue(trial, design, fits, theta, leaving, future, arms, streams)
    if looks_held is None:
        looks_held = _looks_already_held(trial, design, continued)
    look_time, triggered, final = look_schedule(continued)
    forecast = _forecast(trial, design, fits, theta, leaving, future, arms)
    success, conditional = None, {}
    if not trial.blinded:
        success = _success(continued, design, looks_held)
        fixed = np.exp(dropout.theta[0]) * np.ones(n_draws)
        assumed = _assumptions(trial, design, fits, outcomes, model, breakpoints)
        for name, (models, values) in assumed.items():
            repeated = [np.tile(v, (n_draws, 1)) for v in values]
            batch = _continue(trial, design, models, repeated, fixed, future, arms, streams)
            conditional[name] = _success(batch, design, looks_held)
    return Prediction(
        trial=trial,
        design=design,
        looks=_look_table(trial, design, look_time, triggered, final, looks_held, level),
        enrolment=_summary(trial, continued.enrolment[:, -1], level),
        curve=_curve(trial, continued, look_time, final, level),
        probability_of_success=success,
        conditional_power=conditional,
        fits={"events": dict(zip(label.tolist(), fits)), "dropout": dropout, "enrolment": accrual},
        level=level,
        _events=forecast,
    )


def _future_enrolment(
    trial: OngoingTrial,
    design: Design,
    window: float | None,
    n_draws: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, dict[str, float]]:
    """Enrolment months of the patients to come, (n_draws, m): Poisson with a drawn rate.

    The log rate is normal with variance 1/n, n the patients it was estimated from, as in eventPred.
    """
    span = trial.cutoff if window is None else min(window, trial.cutoff)
    recent = int((trial.enrolment > trial.cutoff - span).sum())
    remaining = design.n_patients - len(trial.enrolment)
    if remaining and (recent == 0 or span <= 0):
        raise ValueError("nobody was enrolled in the window that is taken to go on")
    fit = {
        "log_rate": float(np.log(max(recent, 1) / max(span, 1e-12))),
        "variance": 1 / max(recent, 1),
    }
    rate = np.exp(random.normal(fit["log_rate"], np.sqrt(fit["variance"]), (n_draws, 1)))
    gaps = random.exponential(1.0, (n_draws, remaining)) / rate
    return trial.cutoff + np.cumsum(gaps, axis=1), fit


def _future_arms(design: Design, trial: OngoingTrial, streams: Streams) -> np.ndarray:
    """Arms of the patients to come, (n_draws, m), by the design's rule."""
    remaining = design.n_patients - len(trial.enrolment)
    if remaining == 0:
        return np.empty((streams.n_trials, 0), np.int8)
    none = np.zeros((0, streams.n_trials, remaining), np.int8)
    rule = design.randomization
    if design.strata or rule.needs_outcomes:
        from trial_sim.randomization import PermutedBlocks

        rule = PermutedBlocks()
    return rule.allocate(streams, design.quota, none, np.zeros(0, np.int64))


def _all_arms(trial: OngoingTrial, design: Design, arms: np.ndarray) -> np.ndarray:
    known = np.zeros(len(trial.arm), np.int8) if trial.blinded else trial.arm.astype(np.int8)
    return np.ascontiguousarray(np.hstack([np.tile(known, (len(arms), 1)), arms]))


def _continue(
    trial: OngoingTrial,
    design: Design,
    fits: list[FittedHazard],
    theta: list[np.ndarray],
    leaving: np.ndarray,
    future: np.ndarray,
    arms: np.ndarray,
    streams: Streams,
) -> TrialBatch:
    """The trial carried on to its end, once a draw; what has been observed is kept as it is."""
    n_draws, old = len(leaving), len(trial.enrolment)
    arm = _all_arms(trial, design, arms)
    enrolment = np.hstack([np.tile(trial.enrolment, (n_draws, 1)), future])
    n = enrolment.shape[1]
    latent, lost = np.full((n_draws, n), np.inf), np.full((n_draws, n), np.inf)
    event_draw, dropout_draw = streams.exponential("event", n), streams.exponential("dropout", n)
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
    time, exit_, calendar = (np.empty((n_draws, n)) for _ in range(3))
    event = np.empty((n_draws, n), np.int8)
    limit = np.inf if design.follow_up is None else float(design.follow_up)
    observe(latent, lost, limit, enrolment, time, event, exit_, calendar)
    factors = {
        name: np.zeros((n_draws, n), np.int8) for name in design.strata
    }  # strata of patients are not part of the data of an ongoing trial
    outcome = OutcomeBatch(time=latent)
    return TrialBatch(
        design, streams, enrolment, arm, factors, outcome, time, event, exit_, calendar
    )


def _looks_already_held(trial: OngoingTrial, design: Design, continued: TrialBatch) -> int:
    """Looks whose time lies at or before the cut-off in every continuation."""
    look_time, _, _ = look_schedule(continued)
    return int((look_time <= trial.cutoff + 1e-9).all(axis=0).sum())


def _success(batch: TrialBatch, design: Design, looks_held: int) -> Estimate:
    """Share of continued trials that reject at a look still to come."""
    efficacy, futility = design.efficacy_bounds.copy(), design.futility_bounds.copy()
    if looks_held >= design.n_looks:
        looks_held = design.n_looks - 1
    efficacy[:looks_held], futility[:looks_held] = np.inf, -np.inf
    n = design.n_looks
    changed = Bounds(
        efficacy, np.where(np.arange(n) == n - 1, -np.inf, futility), sided=design.sided
    )
    now = batch.__class__(
        design.replace(boundaries=changed, stratified=False, max_information=None),
        batch.streams, batch.enrolment, batch.arm, batch.factors, batch.outcome, batch.time, batch.event, batch.exit,
        batch.calendar_event,
    )  # fmt: skip
    done = conduct(now, analysis_for(now.design, "time_to_event"))
    return share((done.decision == EFFICACY).any(axis=(1, 2)))


def _assumptions(
    trial: OngoingTrial,
    design: Design,
    fits: list[FittedHazard],
    outcomes: Any,
    model: str,
    breakpoints: tuple[float, ...],
) -> dict[str, tuple[list[FittedHazard], list[np.ndarray]]]:
    """Fixed parameters: the estimates, no difference, and the design's own hazards."""
    pooled = fit_hazard(trial.time, trial.event, model, breakpoints)
    n_arms = len(design.arm_names)
    out = {
        "trend": (fits, [fit.theta for fit in fits]),
        "null": ([pooled] * n_arms, [pooled.theta] * n_arms),
    }
    if outcomes is not None:
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
        out["design"] = (planned, list(logs))
    return out


def _forecast(
    trial: OngoingTrial,
    design: Design,
    fits: list[FittedHazard],
    theta: list[np.ndarray],
    leaving: np.ndarray,
    future: np.ndarray,
    arms: np.ndarray,
) -> EventForecast:
    risk = trial.at_risk
    n_draws = len(leaving)
    old = np.zeros(int(risk.sum()), int) if trial.blinded else trial.arm[risk]
    new = np.zeros(arms.shape, int) if trial.blinded else arms.astype(int)
    return EventForecast(
        seen=int(trial.event.sum()),
        cutoff=trial.cutoff,
        fits=fits,
        theta=theta,
        dropout=leaving,
        group=np.hstack([np.tile(old, (n_draws, 1)), new]),
        entry=np.hstack([np.tile(trial.enrolment[risk], (n_draws, 1)), future]),
        now=np.hstack([np.tile(trial.time[risk], (n_draws, 1)), np.zeros(future.shape)]),
        follow_up=np.inf if design.follow_up is None else float(design.follow_up),
    )


def _summary(trial: OngoingTrial, months: np.ndarray, level: float) -> dict[str, Any]:
    """Median and band of months, as days from the cut-off and dates too."""
    out: dict[str, Any] = {}
    for name, p in (("median", 0.5), ("lower", (1 - level) / 2), ("upper", (1 + level) / 2)):
        month = float(np.quantile(months, p)) if len(months) else np.nan
        out[f"month_{name}"] = month
        out[f"days_{name}"] = (month - trial.cutoff) * DAYS_PER_MONTH
        if trial.opened is not None:
            out[f"date_{name}"] = _date(trial, month)
    return out


def _look_table(
    trial: OngoingTrial,
    design: Design,
    look_time: np.ndarray,
    triggered: np.ndarray,
    final: np.ndarray,
    looks_held: int,
    level: float,
) -> pd.DataFrame:
    """When the looks still to come are due, if nothing stops the trial before."""
    rows = []
    for k in range(looks_held, design.n_looks):
        due = final >= k
        rows.append(
            {
                "look": k + 1,
                "probability_reached": float((triggered[:, k]).mean()),
                **_summary(trial, look_time[due, k], level),
            }
        )
    return pd.DataFrame(rows)


def _curve(
    trial: OngoingTrial,
    continued: TrialBatch,
    look_time: np.ndarray,
    final: np.ndarray,
    level: float,
) -> pd.DataFrame:
    last = look_time[np.arange(len(final)), final]
    months = np.linspace(trial.cutoff, max(float(np.quantile(last, 0.95)), trial.cutoff), 40)
    tail = np.array([(1 - level) / 2, 0.5, (1 + level) / 2])
    table: dict[str, Any] = {"month": months}
    for name, when in (("patients", continued.enrolment), ("events", continued.calendar_event)):
        ordered = np.sort(when, axis=1)
        counts = np.array([np.searchsorted(row, months, side="right") for row in ordered])
        table[f"{name}_mean"] = counts.mean(axis=0)
        for label, curve in zip(("lower", "median", "upper"), np.quantile(counts, tail, axis=0)):
            table[f"{name}_{label}"] = curve
    return pd.DataFrame(table)
