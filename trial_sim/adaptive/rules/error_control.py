"""The method by which an adaptive trial holds the error of all its hypotheses together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.adaptive.intersections import INTERSECTIONS
from trial_sim.base.arguments import one_of
from trial_sim.base.records import Record, as_floats

__all__ = ["ClosedTest"]

COMBINATIONS = ("inverse_normal", "fisher", "conditional_error", "conventional")
UNADJUSTED = "unadjusted"
WEIGHTED = ("bonferroni", "simes")  # intersections that a graph weights
STOPS = ("all", "any", "each")
STAGES = ("increments", "patients")


@dataclass(frozen=True)
class ClosedTest(Record):
    """How an adaptive trial holds the error of all its hypotheses together.

    Each intersection of hypotheses is tested at each stage from the patients (for times, the
    information) of that stage alone; the stages are combined with weights fixed beforehand.

    Attributes:
        combine: the stages: "inverse_normal", "fisher", "conditional_error" (two milestones, no
            rejection at the first: the conditional error of the planned Dunnett test), or
            "conventional": the usual test of all patients so far at the same bounds, which holds no
            error by itself; for promising zones, and to compare.
        intersection: the hypotheses: "dunnett", "simes", "bonferroni", "spiessens_debois", "sidak";
            "unadjusted" tests each hypothesis at full alpha, as platforms often do.
        weights: of the stages, planned, for "inverse_normal"; None for those that the information
            fractions of the design's boundaries give.
        graph: hypothesis → {other: share of alpha passed on when it is rejected}; None for equal
            hypotheses that are tested together. A hypothesis is called by its arm, ``"arm in
            population"``, or its endpoint (``AdaptiveDesign.hypothesis_names`` has the names). With
            "conventional" each is tested at its group-sequential bounds for its share of alpha
            (Maurer & Bretz 2013), which holds the error as long as no rule adapts by the effect;
            with "inverse_normal" or "fisher" each intersection by a weighted Bonferroni or Simes
            test. shares: hypothesis → share of alpha at the start; None for equal ones.
        stages: what a stage is: "increments" of what is known since the last milestone, or
            "patients": those enrolled since the last decision, with all that is known of them when
            the trial ends. The latter is needed where rules look at another endpoint of patients
            who are still followed (Jenkins, Stone & Jennison 2011); nothing is rejected before the
            last milestone then.
        stop: when rejections end the trial: "each" (a rejected arm takes no patient any more, and
            the trial ends when none is left), "all" (rejected arms go on until all that are still
            followed are rejected), "any" (the first rejection ends it).

    Examples:
        >>> import trial_sim as ts
        >>> test = ts.ClosedTest(intersection="simes", weights=[1, 1])
        >>> ts.ClosedTest.from_yaml(test.to_yaml()) == test
        True
    """

    combine: str = "inverse_normal"
    intersection: str = "dunnett"
    weights: Any = None
    graph: Any = None
    stop: str = "each"
    stages: str = "increments"
    shares: Any = None

    def __post_init__(self) -> None:
        one_of("combine", self.combine, COMBINATIONS)
        one_of("intersection", self.intersection, (*INTERSECTIONS, UNADJUSTED))
        one_of("stop", self.stop, STOPS)
        one_of("stages", self.stages, STAGES)
        if self.stages == "patients" and self.combine not in ("inverse_normal", "fisher"):
            raise ValueError(
                "stages='patients' goes with combine 'inverse_normal' or 'fisher', got "
                f"{self.combine!r}"
            )
        if self.weights is not None:
            if self.combine != "inverse_normal":
                raise ValueError(f"weights go with combine 'inverse_normal', not {self.combine!r}")
            weights = as_floats(self.weights, "weights of the closed test")
            if not all(0 < w < np.inf for w in weights):
                raise ValueError(f"weights of the closed test must be above 0, got {list(weights)}")
            object.__setattr__(self, "weights", weights)
        if self.graph is not None and not isinstance(self.graph, Mapping):
            raise TypeError(f"graph must be hypothesis → {{other: share}}, got {self.graph!r}")
        if self.shares is not None:
            if self.graph is None:
                raise ValueError("shares of alpha go with a graph: give graph={...}, or no shares")
            if not isinstance(self.shares, Mapping):
                raise TypeError(f"shares must be hypothesis → share of alpha, got {self.shares!r}")
        if self.graph is not None:
            fitting = ("bonferroni",) if self.combine == "conventional" else WEIGHTED
            if self.combine == "conditional_error":
                raise ValueError("a graph does not go with combine='conditional_error'")
            if self.intersection not in fitting:
                raise ValueError(
                    f"a graph goes with intersection {' or '.join(map(repr, fitting))} where "
                    f"combine is {self.combine!r}, got {self.intersection!r}"
                )
        if self.combine == "conditional_error" and self.intersection not in (
            "dunnett",
            UNADJUSTED,
        ):
            raise ValueError(
                "combine='conditional_error' goes with intersection 'dunnett', got "
                f"{self.intersection!r}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The fields; ``stages`` and ``shares`` only where they are not as by default."""
        plain = super().to_dict()
        if self.shares is None:
            del plain["shares"]
        if self.stages == "increments":
            del plain["stages"]
        return plain
