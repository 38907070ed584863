"""An ongoing trial carried on to its end: who still comes, what happens to them, the decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.user_warnings import warn_user
from trial_sim.design.design import Design
from trial_sim.design.randomization import PermutedBlocks, stacked_codes
from trial_sim.engine.batch import TrialBatch
from trial_sim.engine.kernels import observe
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.assumptions import Settings
from trial_sim.prediction.models.enrolment import EnrolmentFit, fit_enrolment
from trial_sim.prediction.reading.ongoing import OngoingTrial
from trial_sim.scenarios.protocol import OutcomeBatch

NEXT = 1e-6  # months after the cut-off at which what is late in the data comes to be known


@dataclass(frozen=True, eq=False)
class Future:
    """The patients still to come, a draw a row; m of them, after n so far.

    Attributes:
        enrolment: (n_draws, m) months. arm: (n_draws, m) int8.
        factors: (n_draws, m) integer codes of each stratification factor; empty where not known.
        donor: (n_draws, n + m) int, for each patient the one so far whose baseline is taken over.
        fit: of enrolment; None where nobody comes any more.
    """

    enrolment: np.ndarray
    arm: np.ndarray
    factors: dict[str, np.ndarray]
    donor: np.ndarray
    fit: EnrolmentFit | None


@dataclass(frozen=True, eq=False)
class Rest:
    """The rest of a trial: carried on with drawn parameters, and under fixed assumptions.

    Attributes:
        drawn: parameters drawn; a ``Carried`` of ``under_rules`` for a design with rules.
        assumed: by assumption, what carries the trial on, parameters fixed. fits: the fitted
            models.
    """

    drawn: Any
    assumed: dict[str, Callable[[], Any]]
    fits: dict[str, Any]


def future_patients(
    trial: OngoingTrial,
    design: Design,
    settings: Settings,
    random: np.random.Generator,
    streams: Streams,
) -> Future:
    """Who still comes: at drawn rates, strata as those so far, arms by the design's rule."""
    n_draws, old = streams.n_trials, len(trial.enrolment)
    remaining = design.n_patients - old
    fit = None
    entered = np.empty((n_draws, 0))
    if remaining:
        if trial.cutoff <= 0:
            raise ValueError("nothing is known of enrolment at a cut-off of month 0")
        fit = fit_enrolment(
            trial.enrolment, trial.cutoff, design.accrual, settings.enrolment, settings.window,
            settings.prior_patients, trial.sites,
        )  # fmt: skip
        if settings.window is not None and fit.n_seen == 0:
            raise ValueError(
                f"nobody was enrolled in the window of {settings.window:g} months that is taken to "
                "go on: give a longer one, or enrolment='closed' if enrolment is over"
            )
        n_sites = None if trial.sites is None else len(trial.sites)
        factor = settings.change.enrolment_factor(fit, n_sites)
        entered = fit.draw(n_draws, remaining, random, factor)
    donor = np.empty((n_draws, design.n_patients), int)
    donor[:, :old] = np.arange(old)
    donor[:, old:] = (streams.uniform("baseline", design.n_patients) * old).astype(int)[:, old:]
    factors = {name: codes[donor[:, old:]] for name, codes in trial.factors.items()}
    return Future(
        enrolment=entered,
        arm=_future_arms(design, remaining, factors, streams, trial.blinded),
        factors=factors,
        donor=donor,
        fit=fit,
    )


def _future_arms(
    design: Design,
    remaining: int,
    factors: dict[str, np.ndarray],
    streams: Streams,
    blinded: bool,
) -> np.ndarray:
    """Arms of the patients to come, (n_draws, m); 0 where their responses decide them later."""
    if remaining == 0:
        return np.empty((streams.n_trials, 0), np.int8)
    rule = design.randomization
    if design.strata_quota is not None:
        warn_user(
            "strata_quota is not followed in a prediction: strata of patients to come are as "
            "frequent as among those so far"
        )
    if rule.needs_outcomes:
        return np.zeros((streams.n_trials, remaining), np.int8)
    if design.strata and not factors:
        if not blinded:
            warn_user(
                f"the patients have no columns of the strata {list(design.strata)}: arms of those "
                f"to come are drawn by permuted blocks without strata, not by "
                f"{type(rule).__name__} within them"
            )
        rule = PermutedBlocks()
    codes = stacked_codes(factors, (streams.n_trials, remaining))
    levels = [len(design.strata[name]) for name in factors]
    return rule.allocate(streams, design.quota, codes, np.array(levels, dtype=np.int64))


def all_arms(trial: OngoingTrial, future: Future) -> np.ndarray:
    """Arms of everybody, (n_draws, n + m) int8: those so far (0 when blinded), then the others."""
    known = np.zeros(len(trial.arm), np.int8) if trial.blinded else trial.arm.astype(np.int8)
    arms = future.arm
    return np.ascontiguousarray(np.hstack([np.tile(known, (len(arms), 1)), arms]))


def all_factors(trial: OngoingTrial, design: Design, future: Future) -> dict[str, np.ndarray]:
    """Codes of each factor for everybody, (n_draws, n + m); 0 where they are not known."""
    shape = (len(future.arm), design.n_patients)
    if not trial.factors:
        return {name: np.zeros(shape, np.int8) for name in design.strata}
    return {
        name: np.hstack([np.tile(codes, (shape[0], 1)), future.factors[name]])
        for name, codes in trial.factors.items()
    }


def all_covariates(trial: OngoingTrial, design: Design, future: Future) -> dict[str, np.ndarray]:
    """Covariates that the test adjusts for, of everybody, taken over from patients so far."""
    return {
        name: values[future.donor]
        for name, values in trial.covariates.items()
        if name.split("[")[0] in design.adjust
    }


def not_before_the_cut(
    trial: OngoingTrial, event: np.ndarray, exit_: np.ndarray, calendar: np.ndarray
) -> None:
    """Date what is not known at the cut-off after it; what is known, not after it."""
    late, open_ = trial.cutoff + NEXT, trial.at_risk
    # Who is followed to the cut-off has no event before it.
    behind = trial.enrolment + trial.time < trial.cutoff - 1e-9
    for i in np.flatnonzero(behind | ~open_):
        happens = event[:, i] == 1
        for months in (exit_[:, i], calendar[:, i]):
            if open_[i]:
                months[happens & (months < late)] = late
            else:
                months[happens & (months > trial.cutoff)] = trial.cutoff


def followed(
    trial: OngoingTrial,
    design: Design,
    latent: np.ndarray,
    lost: np.ndarray,
    future: Future,
    streams: Streams,
    outcome: OutcomeBatch,
) -> TrialBatch:
    """The trial as a batch, a draw a row, from everybody's months to the event and to dropout.

    Args:
        latent, lost: (n_draws, n + m) months from enrolment, patients so far first.
    """
    enrolment = np.hstack([np.tile(trial.enrolment, (len(latent), 1)), future.enrolment])
    time, exit_, calendar = (np.empty(latent.shape) for _ in range(3))
    event = np.empty(latent.shape, np.int8)
    limit = np.inf if design.follow_up is None else float(design.follow_up)
    observe(latent, lost, limit, enrolment, time, event, exit_, calendar)
    not_before_the_cut(trial, event, exit_, calendar)
    if outcome.cause is not None:
        event &= outcome.cause == 1
        calendar[event == 0] = np.inf
    if outcome.visits is not None:
        event &= np.isfinite(outcome.visits[:, :, -1])
        calendar[event == 0] = np.inf
    return TrialBatch(
        design, streams, enrolment, all_arms(trial, future), all_factors(trial, design, future),
        outcome, time, event, exit_, calendar,
    )  # fmt: skip
