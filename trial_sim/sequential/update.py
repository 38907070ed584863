"""A group-sequential design once the information at its looks is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trial_sim.base.arguments import fractions_of
from trial_sim.sequential.boundaries import efficacy_alone
from trial_sim.sequential.futility import FutilityProblem
from trial_sim.sequential.integration import FloatArray
from trial_sim.sequential.spending import BoundaryRule

if TYPE_CHECKING:
    from trial_sim.sequential.design import GroupSequential


def updated_design(
    design: GroupSequential, actual_information: Sequence[float], final: bool
) -> GroupSequential:
    """See `GroupSequential.update`."""
    actual = fractions_of("actual_information", actual_information, ends_at_one=False)
    planned = design.information_fractions
    # The looks held stand for the first looks of the plan; the final analysis always comes.
    later = planned[min(len(actual), design.n_looks - 1) :]
    later = planned[:0] if final else later[later > actual[-1] + 1e-6]
    information = np.concatenate([actual, later])
    top = float(information[-1])
    clock = _spending_clock(information)
    efficacy_clock, futility_clock = clock, clock
    if not np.array_equal(design.spending_fractions, planned):
        efficacy_clock = _planned_clock(design.spending_fractions, len(actual), len(clock))
    if not np.array_equal(design.futility_spending_fractions, planned):
        futility_clock = _planned_clock(design.futility_spending_fractions, len(actual), len(clock))
    drift = design.drift * float(np.sqrt(top))
    rule, futility_rule = spending_rules(design)
    fractions = information / top
    if futility_rule is None:
        bounds = np.full(len(fractions), -np.inf)
        alone = efficacy_alone(rule, fractions, efficacy_clock, design.alpha, design.sided)
    else:
        problem = FutilityProblem(
            rule,
            futility_rule,
            fractions,
            efficacy_clock,
            futility_clock,
            design.alpha,
            1.0 - design.power,
            design.sided,
            design.binding,
        )
        solution = problem.bounds_for(drift)
        alone, bounds = solution.efficacy, solution.futility
        bounds = bounds.copy()
        # With more information than planned futility may reach efficacy: the look ends the trial
        # either way, and a hair's breadth keeps the two decisions apart.
        bounds[:-1] = np.minimum(bounds[:-1], alone[:-1] - 1e-9)
        bounds[-1] = alone[-1]
    return type(design)(
        fractions,
        alone,
        bounds,
        design.alpha,
        design.power,
        design.sided,
        design.binding,
        rule,
        futility_rule,
        efficacy_clock,
        futility_clock,
        drift,
        design.relative_information * top,
    )


def spending_rules(design: GroupSequential) -> tuple[BoundaryRule, BoundaryRule | None]:
    """Spending functions of efficacy and futility (None without one).

    A boundary without a spending function gets the one that spends, at the planned looks, what it
    spends there, with straight lines between.
    """
    planned = design.information_fractions
    rule, futility_rule = design.efficacy, design.futility
    if rule.kind != "spending":
        shares = np.minimum(design.alpha_spent / design.alpha_spent[-1], 1.0)
        rule = BoundaryRule("user_spending", tuple(zip(planned.tolist(), shares.tolist())))
    if futility_rule is not None and futility_rule.kind != "spending":
        shares = np.minimum(design.beta_spent / design.beta_spent[-1], 1.0)
        futility_rule = BoundaryRule("user_spending", tuple(zip(planned.tolist(), shares.tolist())))
    return rule, futility_rule


def _spending_clock(information: FloatArray) -> FloatArray:
    """Spending time of each look: information, with the last look (n_looks,) at 1.

    Should several looks pass the planned maximum, what is left of alpha is shared out among them
    by their information.
    """
    clock = np.minimum(information, 1.0)
    late = np.flatnonzero(information >= 1.0)
    if late.size > 1:
        before = float(information[late[0] - 1]) if late[0] > 0 else 0.0
        share = (information[late] - before) / (information[-1] - before)
        clock[late] = before + (1.0 - before) * share
    clock[-1] = 1.0
    return clock


def _planned_clock(clock: FloatArray, held: int, wanted: int) -> FloatArray:
    kept = np.append(clock[:held], clock[len(clock) - (wanted - held) :])
    kept[-1] = 1.0
    return kept
