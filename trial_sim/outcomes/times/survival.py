"""Models of a time to event: Cox with one baseline an arm or one for all, and parametric ones."""

from __future__ import annotations

from typing import Any

from trial_sim.data.endpoints import Endpoint
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.times import parametric
from trial_sim.outcomes.times.cause_hazards import HazardModel
from trial_sim.outcomes.times.survival_families import FAMILIES

COX = ("cox_by_arm", "cox", "piecewise_exponential")
MODELS = (*COX, *FAMILIES)
COMPARED = ("cox_by_arm", "cox", "weibull")


def models(endpoint: Endpoint) -> tuple[str, ...]:
    """Names of the models."""
    return MODELS


def candidates(data: FitData) -> tuple[str, ...]:
    """Models that "auto" compares, from the fewest assumptions on the effect to the most."""
    return COMPARED if data.n_arms > 1 else (COMPARED[0], *COMPARED[2:])


def fit(data: FitData, name: str) -> Any:
    """Fit the named model of a `TimeToEvent` endpoint."""
    if name == "cox_by_arm":
        return HazardModel.fit(data, name, proportional=False)
    if name == "cox":
        return HazardModel.fit(data, name, proportional=True)
    if name == "piecewise_exponential":
        return HazardModel.fit(data, name, proportional=True, most_knots=6)
    return parametric.fit(data, name)
