"""An ongoing trial: when will it end, and will it succeed?

Parameters of the outcome, dropout and enrolment models are drawn. Given them and the future
enrolment, each patient has a probability of an event (or a known response) by a given month of his
own, so that their number is Poisson-binomial: it is computed exactly and averaged over the draws.
Look dates and the probability of success come from the same draws, each trial carried on patient by
patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.design.design import Design
from trial_sim.design.tests import is_on_times, tests_for
from trial_sim.engine.analysis_registry import analysis_for
from trial_sim.engine.batch import TrialBatch
from trial_sim.engine.interim_analyses import EFFICACY, conduct, look_schedule
from trial_sim.engine.survival_analyses import MAX_ARMS
from trial_sim.numerics.monte_carlo import Estimate, share
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.event_forecast import Forecast
from trial_sim.prediction.event_prediction import rest_of_events
from trial_sim.prediction.ongoing import OngoingTrial, from_trial, read_ongoing
from trial_sim.prediction.ongoing_responses import OngoingResponses, read_responses, read_visits
from trial_sim.prediction.prediction_tables import curve, date_of, look_table, summary
from trial_sim.prediction.response_forecast import rest_of_responses

_KINDS = {
    "time_to_event": tests_for("time_to_event"),
    "binary": ("chi_square", "fisher", "farrington_manning", "cmh"),
    "continuous": ("t_test", "ancova"),
    "ordinal": ("wilcoxon",),
    "count": ("negative_binomial",),
    "longitudinal": ("mmrm",),
}


@dataclass(frozen=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        """Looks, enrolment and chances of success in a screenful; nobody's arm."""
        percent = f"{100 * self.level:g} %"
        known = "events" if is_on_times(self.design.test_name) else "known responses"
        lines = [
            f"Prediction at month {self.trial.cutoff:.2f}: {len(self.trial.time)} of "
            f"{self.design.n_patients} patients, {int(self.trial.event.sum())} {known}"
            + (", blinded" if self.trial.blinded else "")
        ]
        if len(self.trial.time) < self.design.n_patients:
            lines.append(f"  enrolment complete: {self._when(self.enrolment)}")
        for row in self.looks.to_dict("records"):
            lines.append(
                f"  look {row['look']}: {self._when(row)}; reached in "
                f"{100 * row['probability_reached']:.0f} % of the draws"
            )
        lines.append(f"  in brackets: {percent} bands")
        if self.probability_of_success is not None:
            chance = self.probability_of_success
            lines.append(
                f"  probability of success {chance.estimate:.3f} (Monte-Carlo error "
                f"{chance.mcse:.3f})"
            )
        for name, value in self.conditional_power.items():
            lines.append(f"  conditional power, {name}: {value.estimate:.3f}")
        return "\n".join(lines)

    def _when(self, row: Mapping[Any, Any]) -> str:
        """Median and band of a month, as dates where the opening is known."""
        median, lower, upper = (row[f"month_{name}"] for name in ("median", "lower", "upper"))
        text = f"month {median:.1f} ({lower:.1f} to {upper:.1f})"
        if self.trial.opened is None or not np.isfinite(median):
            return text
        dates = [date_of(self.trial, month) for month in (median, lower, upper)]
        days = [f"{date:%Y-%m-%d}" for date in dates if date is not None]
        return f"{text}, {days[0]} ({' to '.join(days[1:])})"

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
    """Predict the rest of an ongoing trial: times to an event, responses, repeated measurements.

    Args:
        trial_so_far: patients so far, as :func:`read_ongoing` (times),
            :func:`trial_sim.prediction.ongoing_responses.read_responses` or ``read_visits`` (for an
            MMRM) takes them, or a ``Trial`` whose patients have a column ``enrolment``. A
            stratified test needs the columns of the strata.
        design: the design; its looks, boundaries, test, follow-up and accrual are obeyed.
        outcomes: the scenario the trial was planned with (with ``hazards``, such as
            PiecewiseExponential, or of the endpoint's kind), for conditional power under the
            design.
        model: ``"exponential"``, ``"weibull"`` or ``"piecewise_exponential"`` with ``breakpoints``
            within the follow-up; of times only.
        enrolment_window: months before the cut-off whose accrual is taken to go on; all by default.
        looks_held: looks that are over; by default those whose number of events has been seen.
        n_draws: draws of the parameters. level: of the bands. seed: of the random numbers.
        **data: ``cutoff``, ``opened``, ``columns`` for :func:`read_ongoing`; ``visit_months`` for
            an MMRM (the months of the planned outcomes if not given).

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
    if len(design.arm_names) > MAX_ARMS:
        raise ValueError(f"at most {MAX_ARMS} arms can be predicted, got {len(design.arm_names)}")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    if n_draws != int(n_draws) or n_draws < 2:
        raise ValueError(f"n_draws must be a whole number of at least 2, got {n_draws!r}")
    if kind == "longitudinal":
        data = {"visit_months": getattr(outcomes, "months", None), **data}
    trial = _read(trial_so_far, design, kind, data)
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x9ED1])))
    streams = Streams.span(seed, 0, n_draws)
    if isinstance(trial, OngoingResponses):
        rest = rest_of_responses(trial, design, kind, outcomes, enrolment_window, random, streams)
    else:
        rest = rest_of_events(
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


def _kind(design: Design) -> str:
    for kind, tests in _KINDS.items():
        if design.test_name in tests:
            return kind
    known = [name for tests in _KINDS.values() for name in tests]
    raise ValueError(
        f"prediction of test {design.test_name!r} is not known; it knows {', '.join(known)}"
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
    if kind != "longitudinal":
        return read_responses(trial_so_far, design, kind, **data)
    if data["visit_months"] is None:
        raise ValueError("an MMRM needs visit_months, the months of the visits after enrolment")
    return read_visits(trial_so_far, design, **data)


def looks_already_held(trial: OngoingTrial, design: Design, continued: TrialBatch) -> int:
    """Looks whose time lies at or before the cut-off in every continuation."""
    look_time, _, _ = look_schedule(continued)
    return int((look_time <= trial.cutoff + 1e-9).all(axis=0).sum())


def success_of(batch: TrialBatch, design: Design, kind: str, looks_held: int) -> Estimate:
    """Share of continued trials that reject in favour of an arm at a look still to come."""
    looks_held = min(looks_held, design.n_looks - 1)
    done = conduct(batch, analysis_for(design, kind), looks_held)
    hit = done.decision == EFFICACY
    if design.sided == 2:
        hit &= done.z > 0.0
    return share(hit.any(axis=(1, 2)))
