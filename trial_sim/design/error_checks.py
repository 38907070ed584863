"""Checks of an adaptive design: whether and how its type I error is held."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trial_sim.adaptive.intersections import MOST_HYPOTHESES
from trial_sim.adaptive.rules import (
    UNADJUSTED,
    ClosedTest,
    Stop,
)
from trial_sim.adaptive.sequential_graph import nominal_levels
from trial_sim.base.user_warnings import warn_user
from trial_sim.design.milestones import NotSimulated, bound_at, is_bound, succeeds_by_rules
from trial_sim.sequential.boundaries import exit_probabilities
from trial_sim.sequential.design import GroupSequential

if TYPE_CHECKING:
    from trial_sim.design.adaptive_design import AdaptiveDesign

__all__ = ["check_error"]


def check_error(adaptive: AdaptiveDesign) -> None:
    """Check that the type I error of an adaptive design is held, or warn that it is not.

    Raises:
        ValueError: naming what holds no error, and what would. NotSimulated: for what is declared
            but not simulated.
    """
    unblinded = [
        (milestone, rule)
        for milestone in adaptive.milestones
        for rule in milestone.rules
        if rule.action.unblinds and not rule.blinded
    ]
    test = adaptive.closed_test
    if succeeds_by_rules(adaptive.milestones) and (test is None or test.combine == "conventional"):
        warn_user(
            "success is declared by rules that hold no type I error by themselves: "
            "family_wise_error(...) shows it, and what_if(...) over the rules' values "
            "calibrates them"
        )
    if test is None and adaptive.needs_engine and len(adaptive.arms) > 2:
        raise ValueError(
            f"{len(adaptive.arms) - 1} arms are compared with the control, and the error of the "
            "family is not controlled: give closed_test=ClosedTest(...), or "
            "ClosedTest(intersection='unadjusted') to have all of alpha for each"
        )
    if unblinded and test is None:
        milestone, rule = unblinded[0]
        raise ValueError(
            f"milestone {milestone.name!r}: {type(rule.action).__name__} by "
            f"{rule.when.in_words} needs a method for the type I error, which is not "
            "controlled otherwise: give closed_test=ClosedTest(...)"
        )
    if test is None:
        return
    for milestone in adaptive.milestones:
        for rule in milestone.rules:
            if test.combine == "conventional" or is_bound(rule):
                continue
            names = {q.name for q in rule.quantities}
            if rule.action == Stop("efficacy") and "rejected" not in names:
                raise ValueError(
                    f"milestone {milestone.name!r}: a stop for efficacy by "
                    f"{rule.when.in_words} is not controlled by the closed test: stop by "
                    "Quantity('z') at or above a bound or by Quantity('rejected'), or name "
                    "combine='conventional', which holds no error"
                )
    _check_graph(adaptive, test)
    if adaptive.design.sided != 1:
        raise ValueError("a closed test is one-sided: make the boundaries with sided=1")
    if test.weights is not None and len(test.weights) != len(adaptive.milestones):
        raise ValueError(
            f"the closed test has {len(test.weights)} weights for {len(adaptive.milestones)} "
            "milestones: one a stage is needed"
        )
    weighted = test.weights is not None or adaptive.design.boundaries is not None
    if unblinded and test.combine == "inverse_normal" and not weighted:
        raise ValueError(
            "the closed test has no weights for its stages: give ClosedTest(weights=[...]), "
            "or boundaries whose information fractions say them"
        )
    _check_stages(adaptive, test)
    _check_other_endpoints(adaptive, test)


def _check_graph(adaptive: AdaptiveDesign, test: ClosedTest) -> None:
    if adaptive.tested_endpoints and (test.graph is None or test.combine != "conventional"):
        raise ValueError(
            f"the endpoint {adaptive.tested_endpoints[0]!r} has boundaries, and the error of "
            "several endpoints is held by a graph alone: give ClosedTest('conventional', "
            "'bonferroni', graph={...}), or leave its boundaries out"
        )
    if test.graph is None:
        return
    if adaptive.tested_endpoints and len(adaptive.tested_populations) > 1:
        raise NotSimulated("several endpoints and populations in one graph are not simulated")
    assert adaptive.graph is not None
    for endpoint in adaptive.tested_endpoints:
        adaptive.looks_of(endpoint)
        bounds = adaptive.endpoints[endpoint]["boundaries"]
        if abs(bounds.alpha - adaptive.alpha) > 1e-12:
            raise ValueError(
                f"endpoint {endpoint!r}: its boundaries are for alpha {bounds.alpha:g}, the "
                f"trial has {adaptive.alpha:g}: the graph gives each its share"
            )
    if test.combine == "conventional":
        _check_levels(adaptive)


def _check_levels(adaptive: AdaptiveDesign) -> None:
    """That the bounds of each hypothesis are known at any share of alpha."""
    if any(np.isfinite(bound_at(one)) for one in adaptive.milestones):
        raise ValueError(
            "with a graph each hypothesis has bounds of its own: leave out the rules of z that "
            "stop for efficacy"
        )
    bounds = adaptive.design.boundaries
    if bounds is None:
        return
    if not isinstance(bounds, GroupSequential):
        raise ValueError(
            "a graph needs bounds at any share of alpha: give boundaries from "
            f"group_sequential with a spending function, got {type(bounds).__name__}"
        )
    nominal_levels(bounds, adaptive.alpha / 2)  # refuses bounds that are known at one alpha alone


def _check_other_endpoints(adaptive: AdaptiveDesign, test: ClosedTest) -> None:
    if test.stages == "patients":
        early = adaptive.efficacy_bounds[:-1]
        if test.combine == "inverse_normal" and np.isfinite(early).any():
            raise ValueError(
                "stages='patients' tests when the trial ends: give no efficacy bound before "
                "the last milestone, such as Bounds([None, 1.96])"
            )
        return
    if test.combine == "conventional":
        return  # holds no error, and says so
    for milestone in adaptive.milestones:
        for rule in milestone.rules:
            others = {
                q.endpoint
                for q in rule.quantities
                if q.endpoint not in (None, adaptive.design.endpoint) and not q.blinded
            }
            if others and rule.action.unblinds:
                raise ValueError(
                    f"milestone {milestone.name!r}: {type(rule.action).__name__} by the "
                    f"endpoint {min(map(str, others))!r} of patients who are still followed is "
                    "not controlled where stages are increments: give "
                    "ClosedTest(stages='patients')"
                )


def _check_stages(adaptive: AdaptiveDesign, test: ClosedTest) -> None:
    n_stages, bounds = len(adaptive.milestones), adaptive.design.boundaries
    given = n_stages if bounds is None else len(np.atleast_1d(bounds.efficacy_bounds))
    if given != n_stages:
        raise ValueError(f"boundaries have {given} look(s) for {n_stages} milestones")
    several = len(adaptive.arms) > 2 and len(adaptive.tested_populations) > 1
    nested = len(adaptive.tested_populations) > 2
    if test.intersection in ("dunnett", "spiessens_debois") and (several or nested):
        raise ValueError(
            f"intersection {test.intersection!r} is for several arms or for one population "
            "within all patients, not for more: name 'simes', 'bonferroni' or 'sidak'"
        )
    if len(adaptive.hypotheses) > MOST_HYPOTHESES and test.intersection != UNADJUSTED:
        raise ValueError(
            f"a closed test takes up to {MOST_HYPOTHESES} hypotheses, got "
            f"{len(adaptive.hypotheses)}"
        )
    if test.combine == "fisher":
        if any(np.isfinite(bound_at(one)) for one in adaptive.milestones):
            raise ValueError(
                "Fisher's combination has bounds of its own: leave out the rules of z that "
                "stop for efficacy"
            )
        return
    efficacy = adaptive.efficacy_bounds
    if test.combine == "conditional_error" and (n_stages != 2 or np.isfinite(efficacy[0])):
        raise ValueError(
            "combine='conditional_error' takes two milestones and no rejection at the first: "
            "give no boundaries, or Bounds([None, 1.96])"
        )
    if not np.isfinite(efficacy).any() and not succeeds_by_rules(adaptive.milestones):
        raise ValueError("the closed test never rejects: no milestone has an efficacy bound")
    level = _level(adaptive)
    if level > adaptive.alpha + 1e-4:
        warn_user(
            f"the bounds {np.round(efficacy, 4).tolist()} at information fractions "
            f"{np.round(adaptive.fractions, 4).tolist()} have a level of {level:.4f}, above alpha "
            f"{adaptive.alpha:g}: the error is not held at alpha"
        )
    if test.combine == "conventional" and any(
        rule.action.unblinds and not rule.blinded
        for milestone in adaptive.milestones
        for rule in milestone.rules
    ):
        warn_user(
            "combine='conventional' holds no error by itself: family_wise_error(...) shows it"
        )


def _level(adaptive: AdaptiveDesign) -> float:
    """Level of the efficacy bounds, futility ignored."""
    none = np.full(len(adaptive.milestones), -np.inf)
    exits = exit_probabilities(adaptive.fractions, adaptive.efficacy_bounds, none, 0.0, 1)
    return float(exits.rejection.sum())
