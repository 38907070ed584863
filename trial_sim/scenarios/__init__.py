"""What happens to simulated patients: outcome scenarios, declared as frozen records.

protocol       OutcomeScenario (what the engine asks of a scenario), PatientBatch, OutcomeBatch
survival       PiecewiseExponential, Weibull, SurvivalTable, SampledTimes
multistate     IllnessDeath (PFS and OS), CompetingRisks
responses      BinaryResponse, ContinuousResponse, CountResponse, OrdinalResponse
recurrent      RecurrentEvents
longitudinal   LongitudinalResponse, with drop-out at random or not
populations    WithCovariates, BySubgroup: covariates, subgroups and their prevalence
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "OutcomeScenario": "protocol",
    "OutcomeBatch": "protocol",
    "PatientBatch": "protocol",
    "PiecewiseExponential": "survival",
    "Weibull": "survival",
    "SurvivalTable": "survival",
    "SampledTimes": "survival",
    "IllnessDeath": "multistate",
    "CompetingRisks": "multistate",
    "BinaryResponse": "responses",
    "ContinuousResponse": "responses",
    "CountResponse": "responses",
    "OrdinalResponse": "responses",
    "RecurrentEvents": "recurrent",
    "LongitudinalResponse": "longitudinal",
    "WithCovariates": "populations",
    "BySubgroup": "populations",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"trial_sim.scenarios.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'trial_sim.scenarios' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
