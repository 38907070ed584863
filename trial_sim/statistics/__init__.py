"""Tests and estimators of single trials, and the compiled kernels under them.

    comparison, validation           what every function returns; checks at the border
    survival_tests                   logrank, max_combo
    survival_curves                  kaplan_meier, rmst_difference, milestone_difference
    regression, recurrent            cox; andersen_gill (LWYY)
    competing_risks                  aalen_johansen, gray_test
    one_sample                       one_sample_logrank: one arm against a known hazard
    means, proportions, counts       t_test, ancova; chi_square_test, fisher_test, ...
    mixed_models, mmrm_covariance    mixed model for repeated measures
    kernels/                         what an engine calls in a loop over trials

Every test has ``.z > 0`` where the group coded 1 does better, and a one-sided ``.p_value``. Names
are imported on first use.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Comparison": "comparison",
    "MaxCombo": "comparison",
    "weight_row": "validation",
    "logrank": "survival_tests",
    "max_combo": "survival_tests",
    "SurvivalCurve": "survival_curves",
    "kaplan_meier": "survival_curves",
    "rmst_difference": "survival_curves",
    "milestone_difference": "survival_curves",
    "CoxRegression": "regression",
    "cox": "regression",
    "andersen_gill": "recurrent",
    "CumulativeIncidence": "competing_risks",
    "GrayTest": "competing_risks",
    "aalen_johansen": "competing_risks",
    "gray_test": "competing_risks",
    "t_test": "means",
    "ancova": "means",
    "chi_square_test": "proportions",
    "fisher_test": "proportions",
    "farrington_manning_test": "proportions",
    "cmh_test": "proportions",
    "OneSampleLogrank": "one_sample",
    "one_sample_logrank": "one_sample",
    "negative_binomial_test": "counts",
    "MixedModel": "mixed_models",
    "mmrm": "mixed_models",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"trial_sim.statistics.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(
        f"module 'trial_sim.statistics' has no attribute {name!r}; it has: {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return __all__
