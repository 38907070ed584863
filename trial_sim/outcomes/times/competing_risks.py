"""Competing risks: cause-specific hazards (see `hazards`), or Fine and Gray (see `fine_gray`)."""

from __future__ import annotations

from typing import Any

from trial_sim.data.endpoints import Endpoint
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.times import fine_gray
from trial_sim.outcomes.times.cause_hazards import HazardModel

MODELS = ("cause_specific_by_arm", "cause_specific", "fine_gray")


def models(endpoint: Endpoint) -> tuple[str, ...]:
    """Names of the models."""
    return MODELS


def candidates(data: FitData) -> tuple[str, ...]:
    """Models that "auto" compares (Fine and Gray's with two causes and no delayed entry)."""
    n_causes = int(data.patients[data.endpoint.columns[1]].max())
    names = MODELS[:2] if data.n_arms > 1 else MODELS[:1]
    late = data.delayed_entry() is not None
    return (*names, MODELS[2]) if n_causes == 2 and not late else names


def fit(data: FitData, name: str) -> Any:
    """Fit the named model of a `CompetingRisks` endpoint."""
    if name == "fine_gray":
        return fine_gray.fit(data, name)
    return HazardModel.fit(data, name, proportional=name == "cause_specific")
