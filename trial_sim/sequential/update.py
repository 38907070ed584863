"""A group-sequential design once the information at its looks is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trial_sim.base.arguments import fractions_of
from trial_sim.sequential.boundaries import continuation, efficacy_alone
from trial_sim.sequential.futility import FutilityProblem
from trial_sim.sequential.integration import FloatArray, advance, start, tail_above, z_for_tail
from trial_sim.sequential.spending import BoundaryRule

if TYPE_CHECKING:
    from trial_sim.sequential.design import GroupSequential

MOST_INFORMATION = 3.0  # times the planned information; more is taken for a count


def updated_design(
    design: GroupSequential, actual_information: Sequence[float], final: bool
) -> GroupSequential:
    """See `GroupSequential.update`."""
    actual = fractions_of("actual_information", actual_information, ends_at_one=False)
    if actual[-1] > MOST_INFORMATION:
        raise ValueError(
            "actual_information is in fractions of the planned full information (1 is all of it), "
            f"got {actual.tolist()}: divide numbers of events or patients by the planned number"
        )
    planned = design.information_fractions
    # The looks held stand for the first looks of the plan; the final analysis always comes.
    skipped = min(len(actual), design.n_looks - 1)
    kept = (
        [] if final else [k for k in range(skipped, len(planned)) if planned[k] > actual[-1] + 1e-6]
    )
    later = planned[kept]
    # Which look of the plan each look is; bounds given as numbers belong to a look of the plan.
    which = [*range(len(actual)), *kept]
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
    known = np.full(len(fractions), -np.inf)
    if futility_rule is not None and futility_rule.kind == "custom":
        known[:-1] = _numbers(futility_rule, which[:-1], design.n_looks, -np.inf)
        futility_rule = BoundaryRule("custom", tuple(known.tolist()))
    obeyed = known if design.binding else np.full(len(fractions), -np.inf)
    if rule.kind == "custom":
        interim = _numbers(rule, which[:-1], design.n_looks, np.inf)
        last = bound_of_what_is_left(fractions, interim, design.alpha, design.sided, obeyed)
        rule = BoundaryRule("custom", (*interim, last))
    if futility_rule is None or futility_rule.kind == "custom":
        alone = efficacy_alone(rule, fractions, efficacy_clock, design.alpha, design.sided, obeyed)
        bounds = np.minimum(known, alone - 1e-9)
        if futility_rule is not None:
            bounds[-1] = alone[-1]
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
        # either way, and a tiny distance keeps the two decisions apart.
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
    """Rules of efficacy and futility (None without one) that hold at any information.

    Spending functions do; so do bounds given as numbers, one a look, and Haybittle and Peto's,
    whose last efficacy bound spends what is left of alpha. A Wang-Tsiatis boundary gets the
    spending function that spends, at the planned looks, what it spends there, with straight lines
    between.
    """
    planned = design.information_fractions
    rule, futility_rule = design.efficacy, design.futility
    if rule.kind == "wang_tsiatis":
        shares = np.minimum(design.alpha_spent / design.alpha_spent[-1], 1.0)
        rule = BoundaryRule("user_spending", tuple(zip(planned.tolist(), shares.tolist())))
    if futility_rule is not None and futility_rule.kind == "wang_tsiatis":
        shares = np.minimum(design.beta_spent / design.beta_spent[-1], 1.0)
        futility_rule = BoundaryRule("user_spending", tuple(zip(planned.tolist(), shares.tolist())))
    return rule, futility_rule


def _numbers(
    rule: BoundaryRule, looks: list[int], n_planned: int, none: float
) -> tuple[float, ...]:
    """The numbers of a custom rule at interim looks; ``none`` at looks that were not planned."""
    return tuple(float(rule.parameter[k]) if k < n_planned - 1 else none for k in looks)


def bound_of_what_is_left(
    information: FloatArray,
    efficacy: tuple[float, ...],
    alpha: float,
    sided: int,
    futility: FloatArray,
) -> float:
    """The last efficacy bound, which spends the alpha that the interim bounds leave.

    efficacy: (n_looks - 1,) interim bounds. futility: (n_looks,) binding bounds, -inf for none.
    """
    paths, left = start(), alpha / sided
    for k, bound in enumerate(efficacy):
        left -= float(tail_above(paths, information[k], 0.0, bound)[0])
        segments = continuation(sided, bound, futility[k])
        gap = float(information[k + 1] - information[k])
        paths = advance(paths, information[k], 0.0, segments, gap)
    if left <= 0.0:
        raise ValueError("the interim bounds spend all of alpha: raise them or alpha")
    return float(z_for_tail(paths, information[-1], 0.0, left))


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
