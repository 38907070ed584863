"""Which analysis a test's name stands for."""

from __future__ import annotations

from typing import Any

from trial_sim.design.design import Design
from trial_sim.design.tests import TIME_TESTS
from trial_sim.engine.analysis import Analysis
from trial_sim.engine.response_analyses import (
    CountRatio,
    Gray,
    KnownSpread,
    MeanDifference,
    MixedModel,
    Proportions,
    Ranks,
    RateRatio,
)
from trial_sim.engine.survival_analyses import (
    _WEIGHTS,
    Cox,
    CurveDifference,
    Logrank,
    StratifiedLogrank,
    WeightedLogrank,
    _weight_rows,
)

_KIND_TESTS = {
    "time_to_event": TIME_TESTS,
    "competing_risks": ("logrank", "gray", "cox"),
    "recurrent": ("lwyy",),
    "binary": ("chi_square", "fisher", "farrington_manning", "cmh"),
    "continuous": ("t_test", "z_test", "ancova"),
    "ordinal": ("wilcoxon",),
    "count": ("negative_binomial",),
    "longitudinal": ("mmrm", "ancova", "t_test"),
}


def analysis_for(design: Design, kind: str) -> Analysis:
    """The analysis of a design for outcomes of a kind.

    Raises:
        ValueError: if the design's test does not suit the outcomes.
    """
    allowed = _KIND_TESTS.get(kind)
    if allowed is None:
        raise ValueError(f"outcomes are of unknown kind {kind!r}; known: {sorted(_KIND_TESTS)}")
    if design.test_name not in allowed:
        raise ValueError(
            f"test {design.test_name!r} does not suit {kind} outcomes; use one of "
            f"{', '.join(map(repr, allowed))}"
        )
    if kind == "time_to_event" or design.test_name in ("logrank", "cox"):
        return survival_analysis(design)
    return response_analysis(design, kind)


def response_analysis(design: Design, kind: str) -> Any:
    """The analysis that a design's test names, for endpoints that are not times."""
    name, parameters = design.test_name, design.test_parameters
    better = design.better or ("lower" if name == "negative_binomial" else "higher")
    direction = 1.0 if better == "higher" else -1.0
    if name in ("t_test", "ancova"):
        if name == "t_test":
            return MeanDifference((), direction)
        return MeanDifference(design.adjust or ("baseline",), direction, design.stratified)
    if name == "z_test":
        return KnownSpread(float(parameters[0]), direction)
    if name in ("chi_square", "fisher", "farrington_manning", "cmh"):
        margin = float(parameters[0]) if parameters else 0.0
        return Proportions(name, margin, direction)
    if name == "wilcoxon":
        return Ranks(direction, design.stratified)
    if name == "negative_binomial":
        return CountRatio(direction, design.adjust, design.stratified)
    if name == "lwyy":
        return RateRatio()
    if name == "gray":
        return Gray()
    others = tuple(adjusted for adjusted in design.adjust if adjusted != "baseline")
    return MixedModel(direction, others, design.stratified)


def survival_analysis(design: Design) -> Analysis:
    """The analysis that a design's test names, for time-to-event endpoints."""
    name, parameters = design.test_name, design.test_parameters
    if name == "logrank":
        return StratifiedLogrank() if design.stratified else Logrank()
    if name in _WEIGHTS:
        return WeightedLogrank(_weight_rows([(name, *parameters)]), design.stratified)
    if name == "max_combo":
        return WeightedLogrank(_weight_rows(parameters[0]), design.stratified)
    if name == "cox":
        return Cox(design.adjust, design.stratified)
    return CurveDifference(float(parameters[0]), name == "milestone", design.stratified)
