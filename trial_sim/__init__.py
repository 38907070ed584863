"""trial_sim: synthetic patient arms fitted to real trials, and whole trials run in silico.

The modules, in the order in which data flows:

    trial, datasets       Trial, endpoints, validation at the border; built-in real trials
    covariates            joint covariate generators
    outcomes/             one module a kind of endpoint: fitted models that sample
    fitting               model choice, parameter uncertainty, FittedTrial
    spending, group_sequential, sample_size    exact boundaries and closed-form designs
    statistics/           log-rank family, MaxCombo, RMST, Cox, means, proportions, counts, MMRM
    design, scenarios     declarative designs; declarative outcome scenarios
    engine, operating_characteristics    batched simulation; summaries with Monte-Carlo error
    what_if, prediction   grids of scenarios; an ongoing trial
    auditing/             fidelity, utility, privacy, balance of synthetic arms
    report, cli

Names are imported on first use, so that ``import trial_sim`` stays fast.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_HOMES = {
    "Trial": "trial",
    "TimeToEvent": "trial",
    "CompetingRisks": "trial",
    "Recurrent": "trial",
    "Binary": "trial",
    "Ordinal": "trial",
    "Continuous": "trial",
    "Count": "trial",
    "Longitudinal": "trial",
    "load_trial": "datasets",
    "list_trials": "datasets",
    "read_trial": "datasets",
    "fit": "fitting",
    "FittedTrial": "fitting",
    "load_fitted": "fitting",
    "audit": "auditing",
    "group_sequential": "group_sequential",
    "GroupSequential": "group_sequential",
    "events_required": "sample_size",
    "sample_size_means": "sample_size",
    "sample_size_proportions": "sample_size",
    "sample_size_survival": "sample_size",
    "logrank": "statistics",
    "max_combo": "statistics",
    "rmst_difference": "statistics",
    "Design": "design",
    "Accrual": "design",
    "Dropout": "design",
    "EventLooks": "design",
    "CalendarLooks": "design",
    "PiecewiseExponential": "scenarios",
    "simulate": "engine",
    "what_if": "what_if",
    "predict": "prediction",
}

try:
    __version__ = version("digital-double")
except PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"trial_sim.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(
        f"module 'trial_sim' has no attribute {name!r}; it has: {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return __all__
