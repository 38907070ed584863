"""An ongoing trial: when will it end, and will it succeed?

Parameters of the outcome, dropout and enrolment models are drawn. Given them and the future
enrolment, each patient has a probability of an event (or a known response) by a given month of his
own, so that their number is Poisson-binomial: it is computed exactly and averaged over the draws.
Look dates and the probability of success come from the same draws, each trial carried on patient by
patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.analysis_names import TIME_TESTS
from trial_sim.conduct import look_schedule
from trial_sim.continuation import (
    all_arms,
    continue_events,
    future_arms,
    future_enrolment,
    looks_already_held,
    success_of,
)
from trial_sim.design import Design
from trial_sim.event_forecast import Forecast, ResponseForecast
from trial_sim.event_models import fit_hazard
from trial_sim.event_prediction import assumptions, event_forecast
from trial_sim.monte_carlo import Estimate
from trial_sim.ongoing import OngoingTrial, from_trial, read_ongoing
from trial_sim.ongoing_responses import OngoingResponses, read_responses
from trial_sim.prediction_tables import curve, date_of, look_table, summary
from trial_sim.random_streams import Streams
from trial_sim.response_models import (
    baselines,
    continue_responses,
    fit_responses,
    planned_responses,
    responses_to_come,
)
from trial_sim.trial_batch import TrialBatch

_KINDS = {
    "time_to_event": TIME_TESTS,
    "binary": ("chi_square", "fisher", "farrington_manning", "cmh"),
    "continuous": ("t_test", "ancova"),
}


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is expected of an ongoing trial.

    Attributes:
        trial, design: what was predicted from.
        looks: one row a look still to come: look, probability that it is held, month (median,
            lower, upper), days from the cut-off, calendar dates if known.
        enrolment: month at which enrolment completes: median, lower, upper (and dates).
        curve: month, and mean, median, lower, upper of patients and events (for endpoints that
            are not times, here and below: known responses).
        probability_of_success: share of continued trials that reject, parameters drawn.
        conditional_power: the same with parameters fixed, by assumption: ``trend`` (estimates),
            ``null`` (no difference, pooled), ``design`` (if design outcomes were given).
        fits: fitted models by arm, dropout and enrolment. level: of the bands.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.6)
        >>> rng = np.random.default_rng(0)
        >>> entered = np.sort(rng.uniform(0, 10, 150))
        >>> followed = 12 - entered
        >>> time = rng.exponential(17.0, 150)
        >>> so_far = pd.DataFrame(
        ...     {
        ...         "enrolment": entered,
        ...         "time": np.minimum(time, followed),
        ...         "event": time <= followed,
        ...         "arm": ["control", "treatment"] * 75,
        ...     }
        ... )
        >>> expected = ts.predict(so_far, design, cutoff=12.0, opened="2026-01-01", n_draws=50)
        >>> 0 <= expected.probability_of_events(60, month=20.0) <= 1
        True
        >>> sorted(expected.month_of_events(60)), expected.date(12.0).year
        (['lower', 'median', 'upper'], 2027)
        >>> expected.plot().get_ylabel()
        'number'
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
    _events: Forecast

    def probability_of_events(self, events: int, month: float) -> float:
        """Chance of at least ``events`` events (or known responses) in all by ``month``.

        Exact given the draws.

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
        return date_of(self.trial, month)

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
    """Predict the rest of an ongoing trial: times to an event, or binary or continuous responses.

    Args:
        trial_so_far: patients so far, as :func:`read_ongoing` (times) or
            :func:`trial_sim.ongoing_responses.read_responses` takes them, or a ``Trial`` whose
            patients have a column ``enrolment``.
        design: the design; its looks, boundaries, test, follow-up and accrual are obeyed.
        outcomes: the scenario the trial was planned with (with ``hazards``, such as
            PiecewiseExponential, or of the endpoint's kind), for conditional power under the
            design.
        model: ``"exponential"``, ``"weibull"`` or ``"piecewise_exponential"`` with ``breakpoints``;
            of times only.
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
    kind = _kind(design)
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    if n_draws != int(n_draws) or n_draws < 2:
        raise ValueError(f"n_draws must be a whole number of at least 2, got {n_draws!r}")
    trial = _read(trial_so_far, design, kind, data)
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x9ED1])))
    streams = Streams.span(seed, 0, n_draws)
    if isinstance(trial, OngoingResponses):
        rest = _rest_of_responses(trial, design, kind, outcomes, enrolment_window, random, streams)
    else:
        rest = _rest_of_events(
            trial, design, outcomes, model, breakpoints, enrolment_window, random, streams
        )
    if looks_held is None:
        looks_held = looks_already_held(trial, design, rest.drawn)
    look_time, triggered, final = look_schedule(rest.drawn)
    success = None
    if not trial.blinded:
        success = success_of(rest.drawn, design, kind, looks_held)
    return Prediction(
        trial=trial,
        design=design,
        looks=look_table(trial, design, look_time, triggered, final, looks_held, level),
        enrolment=summary(trial, rest.drawn.enrolment[:, -1], level),
        curve=curve(trial, rest.drawn, look_time, final, level),
        probability_of_success=success,
        conditional_power={
            name: success_of(batch, design, kind, looks_held)
            for name, batch in rest.assumed.items()
        },
        fits=rest.fits,
        level=level,
        _events=rest.forecast,
    )


@dataclass(frozen=True, eq=False)
class _Rest:
    """The rest of a trial: with drawn parameters, under fixed assumptions, and its exact law."""

    drawn: TrialBatch
    assumed: dict[str, TrialBatch]
    forecast: Forecast
    fits: dict[str, Any]


def _kind(design: Design) -> str:
    for kind, tests in _KINDS.items():
        if design.test_name in tests:
            return kind
    known = [name for tests in _KINDS.values() for name in tests]
    raise ValueError(
        f"prediction needs a test of times, or of binary or continuous responses, got "
        f"{design.test_name!r}; it knows {', '.join(known)}"
    )


def _read(trial_so_far: Any, design: Design, kind: str, data: dict[str, Any]) -> OngoingTrial:
    """The data checked, whatever form they come in."""
    wanted = OngoingTrial if kind == "time_to_event" else OngoingResponses
    if isinstance(trial_so_far, OngoingTrial):
        if not isinstance(trial_so_far, wanted):
            raise TypeError(f"test {design.test_name!r} needs patients with responses, got times")
        return trial_so_far
    if not isinstance(trial_so_far, pd.DataFrame):
        trial_so_far, data = from_trial(trial_so_far, data, kind)
    if kind == "time_to_event":
        return read_ongoing(trial_so_far, design, **data)
    return read_responses(trial_so_far, design, kind, **data)


def _rest_of_events(
    trial: OngoingTrial,
    design: Design,
    outcomes: Any,
    model: str,
    breakpoints: tuple[float, ...],
    window: float | None,
    random: np.random.Generator,
    streams: Streams,
) -> _Rest:
    n_draws = streams.n_trials
    labels = ("pooled",) if trial.blinded else design.arm_names
    group = np.zeros(len(trial.arm), int) if trial.blinded else trial.arm
    fits = [
        fit_hazard(trial.time[group == g], trial.event[group == g], model, breakpoints)
        for g in range(len(labels))
    ]
    dropout = fit_hazard(trial.time, trial.dropout)
    theta = [fit.draw(n_draws, random) for fit in fits]
    leaving = np.exp(dropout.draw(n_draws, random)[:, 0])
    future, accrual = future_enrolment(trial, design, window, n_draws, random)
    arms = future_arms(design, trial, streams)
    drawn = continue_events(trial, design, fits, theta, leaving, future, arms, streams)
    assumed = {}
    if not trial.blinded:
        fixed = np.exp(dropout.theta[0]) * np.ones(n_draws)
        given = assumptions(trial, design, fits, outcomes, model, breakpoints)
        for name, (models, values) in given.items():
            repeated = [np.tile(v, (n_draws, 1)) for v in values]
            assumed[name] = continue_events(
                trial, design, models, repeated, fixed, future, arms, streams
            )
    return _Rest(
        drawn,
        assumed,
        event_forecast(trial, design, fits, theta, leaving, future, arms),
        {"events": dict(zip(labels, fits)), "dropout": dropout, "enrolment": accrual},
    )


def _rest_of_responses(
    trial: OngoingResponses,
    design: Design,
    kind: str,
    outcomes: Any,
    window: float | None,
    random: np.random.Generator,
    streams: Streams,
) -> _Rest:
    n_draws = streams.n_trials
    adjust = design.test_name == "ancova"
    if adjust and (trial.baseline is None or design.adjust not in ((), ("baseline",))):
        raise ValueError(
            "prediction of an ANCOVA needs a column 'baseline', the only covariate it adjusts for; "
            f"got adjust={design.adjust!r}"
        )
    labels = ("pooled",) if trial.blinded else design.arm_names
    group = np.zeros(len(trial.arm), int) if trial.blinded else trial.arm
    dropout = fit_hazard(trial.time, trial.dropout)
    leaving = np.exp(dropout.draw(n_draws, random)[:, 0])
    future, accrual = future_enrolment(trial, design, window, n_draws, random)
    arms = future_arms(design, trial, streams)
    arm = all_arms(trial, arms)
    baseline = baselines(trial, streams, arm.shape[1]) if adjust else None
    fitted = fit_responses(trial, kind, group, labels, adjust)
    index = np.zeros_like(arm) if trial.blinded else arm

    def carried_on(parameters: Any, which: np.ndarray, rate: np.ndarray) -> TrialBatch:
        response = responses_to_come(trial, kind, parameters, which, baseline, streams)
        return continue_responses(trial, design, response, baseline, rate, future, arms, streams)

    assumed = {}
    fixed = np.exp(dropout.theta[0]) * np.ones(n_draws)
    if not trial.blinded:
        pooled = fit_responses(trial, kind, np.zeros(len(group), int), ("pooled",), adjust)
        assumed["trend"] = carried_on(fitted.fixed(n_draws), index, fixed)
        assumed["null"] = carried_on(pooled.fixed(n_draws), np.zeros_like(arm), fixed)
        if outcomes is not None:
            response, measured = planned_responses(
                trial, design, outcomes, kind, arm, baseline, streams
            )
            assumed["design"] = continue_responses(
                trial, design, response, measured, fixed, future, arms, streams
            )
    risk = trial.at_risk
    old = np.tile(trial.enrolment[risk], (n_draws, 1)), np.tile(trial.time[risk], (n_draws, 1))
    forecast = ResponseForecast(
        seen=int(trial.event.sum()),
        cutoff=trial.cutoff,
        readout=float(design.readout),
        dropout=leaving,
        entry=np.hstack([old[0], future]),
        now=np.hstack([old[1], np.zeros(future.shape)]),
    )
    fits = {"responses": fitted, "dropout": dropout, "enrolment": accrual}
    return _Rest(carried_on(fitted.draw(n_draws, random), index, leaving), assumed, forecast, fits)
