"""What happens to simulated patients: outcome scenarios, declared as frozen records.

protocol       OutcomeScenario (what the engine asks of a scenario), PatientBatch, OutcomeBatch
survival       PiecewiseExponential, Weibull, SurvivalTable, SampledTimes
multistate     IllnessDeath (PFS and OS), CompetingEvents
responses      BinaryResponse, ContinuousResponse, CountResponse, OrdinalResponse
recurrent      RecurrentEvents
longitudinal   LongitudinalResponse, with drop-out at random or not
populations    WithCovariates, BySubgroup, WithDrift: covariates, subgroups, the calendar
endpoints      WithEndpoints: further endpoints of the same patients
"""

from typing import Any

from trial_sim.scenarios.endpoints import WithEndpoints
from trial_sim.scenarios.longitudinal import LongitudinalResponse
from trial_sim.scenarios.multistate import CompetingEvents, IllnessDeath
from trial_sim.scenarios.populations import BySubgroup, WithCovariates, WithDrift
from trial_sim.scenarios.protocol import OutcomeBatch, OutcomeScenario, PatientBatch
from trial_sim.scenarios.recurrent import RecurrentEvents
from trial_sim.scenarios.responses import (
    BinaryResponse,
    ContinuousResponse,
    CountResponse,
    OrdinalResponse,
)
from trial_sim.scenarios.survival import PiecewiseExponential, SampledTimes, SurvivalTable, Weibull

__all__ = [
    "BinaryResponse",
    "BySubgroup",
    "CompetingEvents",
    "ContinuousResponse",
    "CountResponse",
    "IllnessDeath",
    "LongitudinalResponse",
    "OrdinalResponse",
    "OutcomeBatch",
    "OutcomeScenario",
    "PatientBatch",
    "PiecewiseExponential",
    "RecurrentEvents",
    "SampledTimes",
    "SurvivalTable",
    "Weibull",
    "WithCovariates",
    "WithDrift",
    "WithEndpoints",
]


def __getattr__(name: str) -> Any:
    if name == "CompetingRisks":  # its name until ts.CompetingRisks alone was the endpoint
        return CompetingEvents
    raise AttributeError(f"module 'trial_sim.scenarios' has no attribute {name!r}")
