"""Prediction of time-to-event trials: models by arm, assumptions, and the law of the events."""

from __future__ import annotations

from typing import Any

import numpy as np

from trial_sim.design import Design
from trial_sim.event_forecast import EventForecast
from trial_sim.event_models import FittedHazard, fit_hazard
from trial_sim.ongoing import OngoingTrial


def assumptions(
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


def event_forecast(
    trial: OngoingTrial,
    design: Design,
    fits: list[FittedHazard],
    theta: list[np.ndarray],
    leaving: np.ndarray,
    future: np.ndarray,
    arms: np.ndarray,
) -> EventForecast:
    """What the exact law of the number of events needs, from the drawn parameters."""
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
