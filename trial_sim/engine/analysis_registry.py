"""Which analysis a test's name stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trial_sim.design.design import Design
from trial_sim.design.tests import RATIOS, TESTS, Statistic, tests_for
from trial_sim.engine.analysis import Analysis, Evaluation
from trial_sim.engine.batch import TrialBatch
from trial_sim.engine.response_analyses import (
    CountRatio,
    Gray,
    KnownSpread,
    MeanDifference,
    MixedModel,
    Proportions,
    Ranks,
    RateRatio,
    WelchDifference,
)
from trial_sim.engine.survival_analyses import (
    Cox,
    CurveDifference,
    Logrank,
    StratifiedLogrank,
    WeightedLogrank,
    _weight_rows,
)

#: Builds a test's analysis from the design and the kind of outcomes.
Builder = Callable[[Design, str], Any]


def _better(design: Design) -> float:
    """1 where higher values are better, -1 where lower ones are."""
    better = design.better or ("lower" if design.test_name == "negative_binomial" else "higher")
    return 1.0 if better == "higher" else -1.0


def _weighted(design: Design, kind: str) -> WeightedLogrank:
    weights = (
        design.test_parameters[0]
        if design.test_name == "max_combo"
        else [(design.test_name, *design.test_parameters)]
    )
    return WeightedLogrank(_weight_rows(weights), design.stratified)


def _curves(design: Design, kind: str) -> CurveDifference:
    milestone = design.test_name == "milestone"
    return CurveDifference(float(design.test_parameters[0]), milestone, design.stratified)


def _proportions(design: Design, kind: str) -> Proportions:
    margin = float(design.test_parameters[0]) if design.test_parameters else 0.0
    return Proportions(design.test_name, margin, _better(design))


def _mixed_model(design: Design, kind: str) -> MixedModel:
    others = tuple(adjusted for adjusted in design.adjust if adjusted != "baseline")
    return MixedModel(_better(design), others, design.stratified)


_BUILDERS: dict[str, Builder] = {
    "logrank": lambda design, kind: StratifiedLogrank() if design.stratified else Logrank(),
    "fleming_harrington": _weighted,
    "magirr_burman": _weighted,
    "modestly_weighted": _weighted,
    "max_combo": _weighted,
    "cox": lambda design, kind: Cox(design.adjust, design.stratified),
    "rmst": _curves,
    "milestone": _curves,
    "gray": lambda design, kind: Gray(),
    "lwyy": lambda design, kind: RateRatio(),
    "t_test": lambda design, kind: MeanDifference((), _better(design)),
    "welch": lambda design, kind: WelchDifference(_better(design)),
    "z_test": lambda design, kind: KnownSpread(float(design.test_parameters[0]), _better(design)),
    "ancova": lambda design, kind: MeanDifference(
        design.adjust or ("baseline",), _better(design), design.stratified
    ),
    "chi_square": _proportions,
    "fisher": _proportions,
    "farrington_manning": _proportions,
    "cmh": _proportions,
    "wilcoxon": lambda design, kind: Ranks(_better(design), design.stratified),
    "negative_binomial": lambda design, kind: CountRatio(
        _better(design), design.adjust, design.stratified
    ),
    "mmrm": _mixed_model,
}


def register_test(name: str, statistic: Statistic, build: Builder) -> None:
    """Make a test statistic of one's own known by name to designs and to ``simulate``.

    Args:
        name: what ``Design(test=...)`` then takes.
        statistic: for which kinds of outcomes, with how many parameters.
        build: from design and kind of outcomes to an analysis
            (:class:`trial_sim.engine.analysis.Analysis`).

    Raises:
        ValueError: there is such a test already. With ``backend="processes"`` each process must
            register it, so do it in a module that they import.
    """
    if name in TESTS:
        raise ValueError(f"there is a test {name!r} already")
    TESTS[name] = statistic
    _BUILDERS[name] = build


def analysis_for(design: Design, kind: str) -> Analysis:
    """The analysis of a design for outcomes of a kind.

    Raises:
        ValueError: if the design's test does not suit the outcomes.
    """
    if kind not in TESTS[design.test_name].kinds:
        allowed = tests_for(kind)
        if not allowed:
            kinds = sorted({k for statistic in TESTS.values() for k in statistic.kinds})
            raise ValueError(f"outcomes are of unknown kind {kind!r}; known: {kinds}")
        raise ValueError(
            f"test {design.test_name!r} does not suit {kind} outcomes; use one of "
            f"{', '.join(map(repr, allowed))}"
        )
    analysis = _BUILDERS[design.test_name](design, kind)
    if design.margin is None:
        return analysis  # type: ignore[no-any-return]
    null = null_effect(design.test_name, design.margin, analysis.direction)
    if isinstance(analysis, MeanDifference | WelchDifference | MixedModel):
        return replace(analysis, null=null)  # type: ignore[return-value]
    return AgainstMargin(analysis, null)


def null_effect(name: str, margin: float, direction: float) -> float:
    """The effect of treatment under the null hypothesis of a non-inferiority margin.

    Args:
        margin: a ratio beyond 1 on the bad side, or a positive difference by which treatment may be
            worse. direction: 1 where a greater effect is better, else -1.

    Raises:
        ValueError: a ratio on the good side of 1.
    """
    if name not in RATIOS:
        return -direction * margin
    if direction * np.log(margin) >= 0:
        raise ValueError(
            f"the margin of test {name!r} is the ratio up to which treatment may be worse, which "
            f"is {'below' if direction > 0 else 'above'} 1 here; got {margin!r}"
        )
    return float(np.log(margin))


@dataclass(frozen=True)
class AgainstMargin:
    """Another analysis, tested by z = (effect - null) over standard error.

    Attributes:
        analysis: the other. null: the effect under the null hypothesis.
    """

    analysis: Any
    null: float

    @property
    def scale(self) -> str:
        """Scale of the estimate, that of the other analysis."""
        return str(self.analysis.scale)

    @property
    def direction(self) -> float:
        """1 or -1, as of the other analysis."""
        return float(self.analysis.direction)

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z, effect, standard error."""
        _, effect, se = self.analysis.evaluate(batch, treated, look, active)
        if effect is None or se is None:
            effect, se = self.estimate(batch, treated, look, active)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = self.direction * (effect - self.null) / se
        return np.where(np.isfinite(z), z, 0.0), effect, se

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Effect and standard error of the other."""
        effect, se = self.analysis.estimate(batch, treated, look, active)
        return effect, se
