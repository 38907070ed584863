"""An ongoing trial: when will it end, and will it succeed?

Models of events, drop-out and enrolment are fitted, averaged by how well each fits, and drawn with
their parameters. Given a draw the trial is carried on patient by patient, by the design's own
engine: every date, number and chance of a prediction comes from these continued trials.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.base.records import as_whole
from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.design import Design
from trial_sim.design.tests import tests_for
from trial_sim.engine.analysis_registry import analysis_for
from trial_sim.engine.batch import TrialBatch
from trial_sim.engine.interim_analyses import EFFICACY, conduct, look_schedule
from trial_sim.engine.survival_analyses import MAX_ARMS
from trial_sim.numerics.monte_carlo import Estimate, share
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.assumptions import Change, Settings, changes_of
from trial_sim.prediction.event_prediction import rest_of_events
from trial_sim.prediction.prediction import Prediction, no_rules
from trial_sim.prediction.prediction_tables import curve, look_table, summary
from trial_sim.prediction.reading.ongoing import OngoingTrial, read_ongoing
from trial_sim.prediction.reading.recurrences import OngoingRecurrences, read_recurrences
from trial_sim.prediction.reading.responses import OngoingResponses, read_responses, read_visits
from trial_sim.prediction.reading.trials import from_recurrent_trial, from_trial
from trial_sim.prediction.recurrence_forecast import rest_of_recurrences
from trial_sim.prediction.response_forecast import rest_of_responses
from trial_sim.prediction.under_rules import (
    Carried,
    check_rules,
    held_already,
    plain_design,
    queue_length,
    rule_table,
    success_under_rules,
)

_KINDS = {
    "time_to_event": (*tests_for("time_to_event"), "gray"),
    "binary": ("chi_square", "fisher", "farrington_manning", "cmh"),
    "continuous": ("t_test", "welch", "z_test", "ancova"),
    "ordinal": ("wilcoxon",),
    "count": ("negative_binomial",),
    "longitudinal": ("mmrm",),
    "recurrent": ("lwyy",),
}

# kind of outcomes → what its patients are read as, and by; responses for all others
_READERS: dict[str, tuple[type[OngoingTrial], Callable[..., OngoingTrial]]] = {
    "time_to_event": (OngoingTrial, read_ongoing),
    "recurrent": (OngoingRecurrences, read_recurrences),
    "longitudinal": (OngoingResponses, read_visits),
}

_OF_SOME = {"covariates": "times to an event", "recurrences": "recurrent events"}


def predict(
    trial_so_far: Any,
    design: Design | AdaptiveDesign,
    *,
    outcomes: Any = None,
    model: Any = "average",
    breakpoints: Any = (),
    enrolment: Any = "average",
    enrolment_window: float | None = None,
    prior_patients: float = 4.0,
    prior_events: float = 0.0,
    looks_held: int | None = None,
    change: Mapping[str, Any] | Change | None = None,
    n_draws: int = 1000,
    level: float = 0.9,
    seed: int = 0,
    **data: Any,
) -> Prediction:
    """Predict the rest of an ongoing trial: times to an event, recurrent events, responses.

    Args:
        trial_so_far: a table of the patients so far, as :func:`read_ongoing` (times),
            :func:`trial_sim.prediction.reading.responses.read_responses` or ``read_visits`` (for an
            MMRM) takes them; what they or ``ongoing_from_adam`` return; or a ``Trial`` with an
            entry. A stratified test needs the columns of the strata.
        design: the design; its looks, boundaries, test, follow-up and accrual are obeyed. The
            rules of an ``AdaptiveDesign`` are, too, for times to an event: its milestones are held
            in every continued trial (those before the cut-off on the data), arms dropped, sizes
            changed, and success is what its closed test says. Of other endpoints, stops by z.
        outcomes: the scenario the trial was planned with (with ``hazards``, such as
            PiecewiseExponential, or of the endpoint's kind), for conditional power under the
            design.
        model: of times to the event: ``"average"`` over all by how well each fits, or
            ``"exponential"``, ``"weibull"``, ``"log_logistic"``, ``"log_normal"``,
            ``"piecewise_exponential"``, ``"spline"``, ``"cure"``, or a list of these.
        breakpoints: months within the follow-up at which the piecewise exponential changes; by
            numbers of events if none are given.
        enrolment: ``"average"``, ``"constant"``, ``"plan"``, ``"ramp"``, ``"decay"``, ``"step"``,
            ``"sites"``, a list of these, or ``"closed"`` if nobody comes any more.
        enrolment_window: months before the cut-off whose enrolment is looked at; all by default.
        prior_patients: patients that the planned rate of enrolment counts for.
        prior_events: events that ``outcomes`` count for beside those seen, all arms together, of
            times to an event: ten or so steady a trial with few events yet.
        looks_held: looks that are over; by default those whose number of events has been seen.
        change: what is supposed to change at the cut-off, as ``Prediction.what_if`` takes it.
        n_draws: continued trials. level: of the bands. seed: of the random numbers.
        **data: how the table is read: ``cutoff``, ``opened``, ``columns``, ``time_unit``, ``lag``,
            ``last_seen``, ``covariates`` of :func:`read_ongoing`; ``visit_months`` for an MMRM
            (the months of the planned outcomes if not given); ``recurrences``, the table of events
            of :func:`trial_sim.prediction.reading.recurrences.read_recurrences`, for ``lwyy``.

    Returns:
        a :class:`Prediction`; success and conditional power only where the arms are known.

    Raises:
        ValueError, TypeError: for unsuitable data, design, model or keyword.

    Warns:
        UserWarning: of a named model that another fits much better, of strata without columns, of
            patients who were last seen long before the cut-off.

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
    adaptive, design = _with_rules(design)
    kind = _kind(design)
    if adaptive is not None:
        _check_with_rules(kind, looks_held)
        design = design.replace(n_patients=adaptive.most_patients)
    if len(design.arm_names) > MAX_ARMS:
        raise ValueError(f"at most {MAX_ARMS} arms can be predicted, got {len(design.arm_names)}")
    if not isinstance(level, int | float) or not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    n_draws = as_whole(n_draws, "n_draws", 2)
    seed = as_whole(seed, "seed", 0)
    changed = change if isinstance(change, Change) else changes_of(change or {})
    settings = Settings(
        model, breakpoints, enrolment, enrolment_window, prior_patients, prior_events, changed
    )
    if prior_events and (outcomes is None or kind != "time_to_event"):
        raise ValueError(
            f"prior_events={prior_events:g} needs times to an event and outcomes=, the scenario "
            f"that the trial was planned with; got kind {kind!r} and outcomes={outcomes!r}"
        )
    trial = _read(trial_so_far, design, kind, outcomes, data, enrolment == "closed")
    if adaptive is not None:
        check_rules(adaptive, trial, enrolment == "closed")
    elif enrolment == "closed" and len(trial.time) != design.n_patients:
        design = _closed(design, trial)
    if kind == "time_to_event":
        kind = _kind_of_times(design, trial)
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x9ED1])))
    streams = Streams.span(seed, 0, n_draws)
    if isinstance(trial, OngoingRecurrences):
        rest = rest_of_recurrences(trial, design, outcomes, settings, random, streams)
    elif isinstance(trial, OngoingResponses):
        rest = rest_of_responses(trial, design, kind, outcomes, settings, random, streams)
    elif adaptive is not None:
        wide = design.replace(n_patients=max(queue_length(adaptive), len(trial.time)))
        rest = rest_of_events(trial, wide, outcomes, settings, random, streams, adaptive)
    else:
        rest = rest_of_events(trial, design, outcomes, settings, random, streams)
    rules = None
    if adaptive is not None:
        drawn, look_time, triggered = _under_rules(rest.drawn)
        design = design.replace(n_patients=adaptive.design.n_patients)
        looks_held = held_already(rest.drawn, trial)
        rules = rule_table(adaptive, rest.drawn, looks_held)
        complete = np.where(np.isfinite(drawn.enrolment), drawn.enrolment, -np.inf).max(axis=1)
    else:
        drawn = rest.drawn
        look_time, triggered, _ = look_schedule(drawn)
        complete = drawn.enrolment[:, -1]
    if looks_held is None:
        looks_held = looks_already_held(trial, look_time, triggered)
    looks_held = as_whole(looks_held, "looks_held", 0)
    if looks_held > design.n_looks:
        raise ValueError(
            f"looks_held must be 0 to {design.n_looks}, the looks of the design, got {looks_held}"
        )
    events = np.sort(drawn.calendar_event, axis=1)

    def chance(carried: Any) -> Estimate:
        if adaptive is not None:
            return success_under_rules(carried)
        return success_of(carried, design, kind, looks_held)

    success, power = None, {}
    if not trial.blinded:
        success = chance(rest.drawn)
        for name, carry in rest.assumed.items():
            power[name] = chance(carry())

    def again(other: Change) -> Prediction:
        return predict(
            trial, adaptive or design, outcomes=outcomes, model=model, breakpoints=breakpoints,
            enrolment="average" if enrolment == "closed" else enrolment,
            enrolment_window=enrolment_window, prior_patients=prior_patients,
            prior_events=prior_events,
            looks_held=None if adaptive is not None else looks_held,
            change=other, n_draws=n_draws, level=level, seed=seed,
        )  # fmt: skip

    return Prediction(
        trial=trial,
        design=design,
        settings=settings,
        looks=look_table(trial, design, look_time, triggered, looks_held, level),
        enrolment=summary(trial, complete, level),
        curve=curve(trial, drawn, events, look_time, triggered, level, complete),
        probability_of_success=success,
        conditional_power=power,
        fits=rest.fits,
        level=float(level),
        _patients=drawn.enrolment,
        _events=events,
        _again=again,
        rules=no_rules() if rules is None else rules,
    )


def _with_rules(design: Any) -> tuple[AdaptiveDesign | None, Design]:
    """An adaptive design whose rules do more than stop by z, or None; and the design to predict.

    Raises:
        TypeError: for something else than a design.
    """
    if isinstance(design, AdaptiveDesign):
        if design.needs_engine:
            return design, plain_design(design)
        return None, design.as_design()
    if not isinstance(design, Design):
        raise TypeError(f"design must be a Design, got {type(design).__name__}")
    return None, design


def _check_with_rules(kind: str, looks_held: int | None) -> None:
    if kind != "time_to_event":
        raise ValueError(
            "rules that drop or add arms, resize or restrict a trial are predicted for times to an "
            f"event, not for outcomes of kind {kind!r}: an AdaptiveDesign whose rules stop by z is"
        )
    if looks_held is not None:
        raise ValueError(
            "looks_held is for designs without rules: milestones before the cut-off are held on "
            "the data"
        )


def _under_rules(carried: Carried) -> tuple[TrialBatch, np.ndarray, np.ndarray]:
    """Continued trials as a batch, each patient in his place by month, and the milestones."""
    batch, done = carried.batch, carried.conducted
    came = replace(batch, enrolment=np.sort(batch.enrolment, axis=1))
    return came, done.look_time, done.triggered


def _kind(design: Design) -> str:
    for kind, tests in _KINDS.items():
        if design.test_name in tests:
            return kind
    known = [name for tests in _KINDS.values() for name in tests]
    raise ValueError(
        f"prediction of test {design.test_name!r} is not known; it knows {', '.join(known)}"
    )


def _kind_of_times(design: Design, trial: OngoingTrial) -> str:
    """``time_to_event``, or ``competing_risks`` where the patients have competing events.

    Raises:
        ValueError: for a test that does not know competing events, or that needs them.
    """
    if trial.competing is None:
        if design.test_name == "gray":
            raise ValueError(
                "Gray's test needs a column 'competing' (0/1), or a status 'competing', of events "
                "that end follow-up"
            )
        return "time_to_event"
    known = tests_for("competing_risks")
    if design.test_name not in known:
        raise ValueError(
            f"test {design.test_name!r} with competing events is not predicted: use one of "
            f"{', '.join(known)}, or count competing events as drop-out"
        )
    return "competing_risks"


def _read(
    trial_so_far: Any,
    design: Design,
    kind: str,
    outcomes: Any,
    data: dict[str, Any],
    closed: bool,
) -> OngoingTrial:
    """The data checked, whatever form they come in."""
    wanted, reader = _READERS.get(kind, (OngoingResponses, read_responses))
    known = [
        n for n in inspect.signature(reader).parameters if n not in ("patients", "design", "kind")
    ]
    for name in data:
        if name in _OF_SOME and name not in known:
            raise TypeError(
                f"{name} are for {_OF_SOME[name]}; test {design.test_name!r} is of another kind"
            )
        if name not in known:
            raise TypeError(f"predict does not know {name!r}{nearest(name, known)}")
    if isinstance(trial_so_far, OngoingTrial):
        if type(trial_so_far) is not wanted:
            raise TypeError(
                f"test {design.test_name!r} needs patients of kind {wanted.__name__}, got "
                f"{type(trial_so_far).__name__}"
            )
        if data:
            raise TypeError(
                f"{', '.join(data)} say how a table is read, and these patients have been read: "
                "give them to read_ongoing"
            )
        if len(trial_so_far.time) > design.n_patients and not closed:
            raise ValueError(
                f"{len(trial_so_far.time)} patients are enrolled, more than the design's "
                f"{design.n_patients}"
            )
        return trial_so_far
    if kind == "longitudinal":
        data = {"visit_months": getattr(outcomes, "months", None), **data}
    if not isinstance(trial_so_far, pd.DataFrame):
        if kind == "recurrent":
            trial_so_far, data = from_recurrent_trial(trial_so_far, data, design.endpoint)
        else:
            trial_so_far, data = from_trial(trial_so_far, data, kind, design.endpoint)
    if closed and len(trial_so_far) > design.n_patients:
        design = design.replace(n_patients=len(trial_so_far))
    if kind in ("time_to_event", "recurrent"):
        return reader(trial_so_far, design, **data)  # type: ignore[operator, no-any-return]
    if kind != "longitudinal":
        return read_responses(trial_so_far, design, kind, **data)
    if data["visit_months"] is None:
        raise ValueError("an MMRM needs visit_months, the months of the visits after enrolment")
    return read_visits(trial_so_far, design, **data)


def _closed(design: Design, trial: OngoingTrial) -> Design:
    """The design with as many patients as have come."""
    if len(trial.time) < 2:
        raise ValueError("enrolment is closed, and fewer than 2 patients have come")
    return design.replace(n_patients=len(trial.time))


def looks_already_held(trial: OngoingTrial, look_time: np.ndarray, triggered: np.ndarray) -> int:
    """Looks whose trigger is met at or before the cut-off in every continuation."""
    met = triggered & (look_time <= trial.cutoff + 1e-9)
    return int(met.all(axis=0).sum())


def success_of(batch: TrialBatch, design: Design, kind: str, looks_held: int) -> Estimate:
    """Share of continued trials that reject in favour of an arm at a look still to come."""
    looks_held = min(looks_held, design.n_looks - 1)
    done = conduct(batch, analysis_for(design, kind), looks_held)
    hit = done.decision == EFFICACY
    if design.sided == 2:
        hit &= done.z > 0.0
    return share(hit.any(axis=(1, 2)))
