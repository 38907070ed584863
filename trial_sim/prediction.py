"""An ongoing trial: when will it end, and will it succeed?

Parameters of the event, dropout and enrolment models are drawn. Given them and the future
enrolment, each patient has a probability of an event by a given month of his own, so that the
number of future events is Poisson-binomial: it is computed exactly and averaged over the draws.
Look dates and the probability of success come from the same draws, each trial carried on patient by
patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.conduct import EFFICACY, analysis_for, conduct, look_schedule
from trial_sim.design import Bounds, Design
from trial_sim.engine_kernels import observe
from trial_sim.event_models import FittedHazard, cumulative, fit_hazard, invert
from trial_sim.operating_characteristics import Estimate, share
from trial_sim.poisson_binomial import tails
from trial_sim.random_streams import Streams
from trial_sim.records import nearest
from trial_sim.scenarios.protocol import OutcomeBatch
from trial_sim.trial_batch import TrialBatch

DAYS_PER_MONTH = 30.4375
_COLUMNS = ("arm", "enrolment", "time", "event", "dropout")


@dataclass(frozen=True)
class OngoingTrial:
    """Patients enrolled so far, at a data cut.

    Attributes:
        enrolment: (n,) months from the opening of the trial, ascending.
        arm: (n,) codes, 0 the control; -1 throughout when blinded.
        time: (n,) months on study at the cut. event, dropout: (n,) bool, how follow-up ended.
        cutoff: month of the cut. opened: calendar date of month 0, or None.
    """

    enrolment: np.ndarray
    arm: np.ndarray
    time: np.ndarray
    event: np.ndarray
    dropout: np.ndarray
    cutoff: float
    opened: pd.Timestamp | None = None

    @property
    def blinded(self) -> bool:
        """Whether the arms are unknown."""
        return bool((self.arm < 0).all())

    @property
    def at_risk(self) -> np.ndarray:
        """Who is still followed, (n,) bool."""
        return ~self.event & ~self.dropout


def read_ongoing(
    patients: pd.DataFrame,
    design: Design,
    cutoff: Any = None,
    opened: Any = None,
    columns: Mapping[str, str] | None = None,
) -> OngoingTrial:
    """Check patient data of an ongoing trial.

    Args:
        patients: one row a patient with columns ``enrolment`` (months from opening, or dates),
            ``time`` (months on study; taken from the cut-off when absent and nobody has ended),
            ``event``, ``dropout`` (0/1; absent: none), ``arm`` (names of the design; absent:
            blinded).
        design: the design.
        cutoff: month (or date) of the data cut; the last known moment by default.
        opened: date of month 0; the first enrolment's date by default when enrolment is in dates.
        columns: our name → name in ``patients``.

    Raises:
        ValueError: for missing columns, unknown arms, NaN, or times beyond the cut-off.
    """
    columns = dict(columns or {})
    for name in columns:
        if name not in _COLUMNS:
            raise ValueError(f"there is no column {name!r} to map{nearest(name, _COLUMNS)}")
    table = patients.rename(columns={v: k for k, v in columns.items()})
    for name in ("enrolment", "time", "event"):
        if name not in table:
            raise ValueError(f"patients need a column {name!r}{nearest(name, table.columns)}")
    start = None if opened is None else pd.Timestamp(opened)
    entered = table["enrolment"]
    if pd.api.types.is_datetime64_any_dtype(entered):
        start = entered.min() if start is None else start
        entered = (entered - start).dt.total_seconds() / 86_400 / DAYS_PER_MONTH
    enrolment = entered.to_numpy(dtype=float)
    time = table["time"].to_numpy(dtype=float)
    for name, values in (("enrolment", enrolment), ("time", time)):
        if np.isnan(values).any() or (values < 0).any():
            raise ValueError(f"{name} must be 0 or more for every patient, got NaN or negative")
    event = _indicator(table["event"], "event")
    gone = _indicator(table["dropout"], "dropout") if "dropout" in table else np.zeros_like(event)
    if (event & gone).any():
        raise ValueError("a patient cannot both have the event and drop out")
    if "arm" in table:
        names = list(design.arm_names)
        for arm in table["arm"].unique():
            if arm not in names:
                raise ValueError(f"patients are in an unknown arm {arm!r}{nearest(arm, names)}")
        arms = table["arm"].map({a: k for k, a in enumerate(names)}).to_numpy(dtype=int)
    else:
        arms = np.full(len(table), -1)
    last = float((enrolment + time).max(initial=0.0))
    if cutoff is None:
        cut = last
    elif isinstance(cutoff, int | float):
        cut = float(cutoff)
    else:
        if start is None:
            raise ValueError("a cut-off date needs the date of opening: give opened")
        cut = (pd.Timestamp(cutoff) - start).total_seconds() / 86_400 / DAYS_PER_MONTH
    if last > cut + 1e-6:
        raise ValueError(
            f"a patient is followed until month {last:.2f}, after the cut-off {cut:.2f}"
        )
    if len(table) > design.n_patients:
        raise ValueError(
            f"{len(table)} patients are enrolled, more than the design's {design.n_patients}"
        )
    order = np.argsort(enrolment, kind="stable")
    return OngoingTrial(
        enrolment[order], arms[order], time[order], event[order], gone[order], cut, start
    )


def _indicator(values: pd.Series, name: str) -> np.ndarray:
    numbers = values.to_numpy()
    if not np.isin(numbers, (0, 1)).all():
        raise ValueError(f"{name} must be 0 or 1 for every patient, got {pd.unique(values)!r}")
    return numbers.astype(bool)


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
    _events: _EventForecast

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


@dataclass(frozen=True, eq=False)
class _EventForecast:
    """Everything that the exact law of the number of events needs, one row a draw.

    Attributes:
        seen: events so far. cutoff: month.
        fits: model of each group; theta: its draws (n_draws, p). dropout: rates (n_draws,).
        group: (n_draws, m) group of each patient who can still have the event.
        entry: (n_draws, m) month of enrolment. now: (n_draws, m) months on study at the cut-off.
    """

    seen: int
    cutoff: float
    fits: list[FittedHazard]
    theta: list[np.ndarray]
    dropout: np.ndarray
    group: np.ndarray
    entry: np.ndarray
    now: np.ndarray
    follow_up: float

    def probabilities(self, month: float) -> np.ndarray:
        """Chance of each patient's event between the cut-off and ``month``, (n_draws, m).

        Piece by piece in closed form; the Weibull hazard is integrated against dropout with 32
        Gauss–Legendre points.
        """
        end = np.minimum(np.maximum(month - self.entry, self.now), self.follow_up)
        if self.fits[0].model == "weibull":
            return self._integrate(end)
        starts = np.array([0.0, *self.fits[0].breakpoints])
        rates = np.exp(np.array(self.theta))  # (n_groups, n_draws, n_pieces)
        draw = np.arange(len(end))[:, None]
        leaving = self.dropout[:, None]
        total = np.zeros(end.shape)
        gone = np.zeros(end.shape)  # cumulative hazard of leaving in either way
        for k, (start, stop) in enumerate(zip(starts, np.append(starts[1:], np.inf))):
            width = np.clip(end, start, stop) - np.clip(self.now, start, stop)
            rate = rates[self.group, draw, k]
            both = rate + leaving
            total += np.exp(-gone) * rate / both * -np.expm1(-both * width)
            gone += both * width
        return np.clip(total, 0.0, 1.0)

    def _integrate(self, end: np.ndarray) -> np.ndarray:
        out = np.empty(end.shape)
        nodes, weights = np.polynomial.legendre.leggauss(32)
        nodes, weights = (nodes + 1) / 2, weights / 2
        for draw in range(len(out)):
            for g, fit in enumerate(self.fits):
                mine = self.group[draw] == g
                a, b = self.now[draw, mine], end[draw, mine]
                theta, rate = self.theta[g][draw], self.dropout[draw]
                base = cumulative(fit, theta, a)
                # ∫ f(t) G(t) dt = 1 - S(b) G(b) - ∫ S(t) g(t) dt, all given survival to a
                t = a[:, None] + (b - a)[:, None] * nodes
                s = np.exp(base[:, None] - cumulative(fit, theta, t) - rate * (t - a[:, None]))
                lost = rate * (b - a) * (s @ weights)
                kept = np.exp(base - cumulative(fit, theta, b) - rate * (b - a))
                out[draw, mine] = np.clip(1 - kept - lost, 0.0, 1.0)
        return out

    def reach(self, events: int, months: np.ndarray) -> np.ndarray:
        """P(at least ``events`` in all by each month), averaged over the draws."""
        wanted = events - self.seen
        out = np.empty(len(months))
        for k, month in enumerate(months):
            chance = np.empty(len(self.entry))
            tails(self.probabilities(float(month)), wanted, chance)
            out[k] = chance.mean()
        return out

    def quantiles(self, events: int, level: float) -> dict[str, float]:
        """Months by which ``events`` have their median and band chance, by bisection."""
        out = {}
        for name, p in (("median", 0.5), ("lower", (1 - level) / 2), ("upper", (1 + level) / 2)):
            low, high = self.cutoff, self.cutoff + 1.0
            if self.reach(events, np.array([low]))[0] >= p:
                out[name] = low
                continue
            while self.reach(events, np.array([high]))[0] < p and high < self.cutoff + 1200:
                low, high = high, self.cutoff + 2 * (high - self.cutoff)
            if self.reach(events, np.array([high]))[0] < p:
                out[name] = np.nan
                continue
            for _ in range(16):  # to within a thousandth of a month
                middle = (low + high) / 2
                if self.reach(events, np.array([middle]))[0] < p:
                    low = middle
                else:
                    high = middle
            out[name] = (low + high) / 2
        return out


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
            trial_so_far, data = _from_trial(trial_so_far, data)
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


def _from_trial(trial: Any, data: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Patients of a ``Trial``, with its arm and first time-to-event endpoint as our columns."""
    if not hasattr(trial, "patients") or not hasattr(trial, "endpoints"):
        raise TypeError(f"trial_so_far must be a DataFrame or a Trial, got {trial!r}")
    times = [e for e in trial.endpoints.values() if hasattr(e, "duration") and hasattr(e, "event")]
    if not times:
        raise ValueError("the trial has no time-to-event endpoint to predict")
    columns = {"arm": trial.arm, "time": times[0].duration, "event": times[0].event}
    return trial.patients, {**data, "columns": {**columns, **data.get("columns", {})}}


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
        design.replace(boundaries=changed, stratified=False), batch.streams, batch.enrolment,
        batch.arm, batch.factors, batch.outcome, batch.time, batch.event, batch.exit,
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
) -> _EventForecast:
    risk = trial.at_risk
    n_draws = len(leaving)
    old = np.zeros(int(risk.sum()), int) if trial.blinded else trial.arm[risk]
    new = np.zeros(arms.shape, int) if trial.blinded else arms.astype(int)
    return _EventForecast(
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
