"""Competing risks by cause-specific hazards (see `hazards`)."""

from __future__ import annotations

from trial_sim.endpoints import Endpoint
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.hazards import HazardModel

MODELS = ("cause_specific_by_arm", "cause_specific")


def models(endpoint: Endpoint) -> tuple[str, ...]:
    """Names of the models."""
    return MODELS


def candidates(data: FitData) -> tuple[str, ...]:
    """Models that "auto" compares (one arm: nothing to choose)."""
    return MODELS if data.n_arms > 1 else MODELS[:1]


def fit(data: FitData, name: str) -> HazardModel:
    """Fit the named model of a `CompetingRisks` endpoint."""
    return HazardModel.fit(data, name, proportional=name == "cause_specific")
