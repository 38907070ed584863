"""`group_sequential(...)`: exact group-sequential designs, any looks, any family of boundaries.

Boundaries are solved in `trial_sim.sequential.boundaries`, the record is `trial_sim.sequential.design`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trial_sim.base.arguments import MAX_LOOKS, between, fractions_of
from trial_sim.sequential.boundaries import efficacy_alone, error_of, exit_probabilities
from trial_sim.sequential.design import GroupSequential
from trial_sim.sequential.futility import FutilityProblem, solve_with_futility
from trial_sim.sequential.integration import FloatArray
from trial_sim.sequential.spending import parse_rule

__all__ = ["MAX_LOOKS", "GroupSequential", "group_sequential"]


def group_sequential(
    information_fractions: Sequence[float] | ArrayLike = (1 / 3, 2 / 3, 1.0),
    alpha: float = 0.025,
    power: float = 0.9,
    sided: int = 1,
    efficacy: Any = "obrien_fleming",
    futility: Any = None,
    binding: bool = False,
    spending_fractions: Sequence[float] | None = None,
    futility_spending_fractions: Sequence[float] | None = None,
) -> GroupSequential:
    """A group-sequential design with exact boundaries.

    information_fractions: 1 to 50 increasing numbers that end at 1.
    alpha: overall type I error (both sides together when sided is 2).
    power: power of the design alternative, which sets drift, inflation and futility.
    sided: 1, or 2 for symmetric boundaries.
    efficacy, futility: "obrien_fleming", "pocock", ("wang_tsiatis", delta),
        "lan_demets_obrien_fleming", "lan_demets_pocock", ("hwang_shih_decani", gamma),
        ("kim_demets", rho), ("user_spending", callable or (time, share) pairs), or a list of
        z-values (None at a look without one); efficacy also ("haybittle_peto", 3.0). Futility
        spends type II error; as a Wang-Tsiatis family it is Pampallona & Tsiatis's (1994).
    binding: whether futility must be obeyed; if so it lowers the efficacy bounds.
    spending_fractions, futility_spending_fractions: clock of the spending functions when it is
        not information, e.g. calendar time over planned duration.

    With custom efficacy bounds alpha is what they spend, whatever was passed.
    Raises ValueError or TypeError, in one sentence, for anything that makes no design.

    >>> gs = group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming")
    >>> gs.efficacy_bounds.round(4).tolist()
    [2.9626, 1.9686]
    """
    information = fractions_of("information_fractions", information_fractions)
    if sided not in (1, 2) or isinstance(sided, bool):
        raise ValueError(f"sided must be 1 or 2, got {sided!r}")
    if not isinstance(binding, (bool, np.bool_)):
        raise TypeError(f"binding must be True or False, got {binding!r}")
    alpha = between("alpha", alpha, 0.0, 0.5 * sided)
    power = between("power", power, 0.0, 1.0)
    if power <= alpha:
        raise ValueError(f"power must be above alpha, got power {power} and alpha {alpha}")
    n = len(information)
    spending = information
    if spending_fractions is not None:
        spending = fractions_of("spending_fractions", spending_fractions, n)
    futility_spending = spending
    if futility_spending_fractions is not None:
        futility_spending = fractions_of(
            "futility_spending_fractions", futility_spending_fractions, n
        )
    rule = parse_rule(efficacy, "efficacy")
    futility_rule = None if futility is None else parse_rule(futility, "futility")
    if rule.kind == "custom" and len(rule.parameter) != n:
        raise ValueError(f"custom efficacy needs {n} bounds, one a look, got {len(rule.parameter)}")
    if futility_rule is not None and futility_rule.kind == "haybittle_peto":
        raise ValueError("futility cannot be 'haybittle_peto': it is a family of efficacy bounds")

    drift = None
    if futility_rule is not None and futility_rule.kind != "custom" and n > 1:
        if rule.kind == "custom":
            alpha = _alpha_of(information, np.array(rule.parameter), sided)
        problem = FutilityProblem(
            rule,
            futility_rule,
            information,
            spending,
            futility_spending,
            alpha,
            1.0 - power,
            sided,
            bool(binding),
        )
        alone, bounds, drift = solve_with_futility(problem)
    else:
        bounds = np.full(n, -np.inf)
        known = None
        if futility_rule is not None and futility_rule.kind == "custom":
            if len(futility_rule.parameter) not in (n - 1, n):
                raise ValueError(
                    f"custom futility needs {n - 1} or {n} bounds, got "
                    f"{len(futility_rule.parameter)}"
                )
            bounds[:-1] = futility_rule.parameter[: n - 1]
            known = bounds if binding else None
        alone = efficacy_alone(rule, information, spending, alpha, sided, known)
        if rule.kind == "custom":
            alpha = _alpha_of(information, alone, sided, known)
        if futility_rule is not None:
            _check_below(bounds, alone)
            bounds[-1] = alone[-1]
    return GroupSequential(
        information,
        alone,
        bounds,
        alpha,
        power,
        int(sided),
        bool(binding),
        rule,
        futility_rule,
        spending,
        futility_spending,
        drift,
    )


def _alpha_of(
    information: FloatArray, efficacy: FloatArray, sided: int, futility: FloatArray | None = None
) -> float:
    """Error that custom efficacy bounds spend, beside known binding futility or none."""
    none = np.full(len(information), -np.inf) if futility is None else futility
    reached = error_of(exit_probabilities(information, efficacy, none, 0.0, sided))
    return between("alpha spent by the custom efficacy bounds", reached, 0.0, 0.5 * sided)


def _check_below(futility: FloatArray, efficacy: FloatArray) -> None:
    above = np.flatnonzero(futility[:-1] >= efficacy[:-1])
    if above.size:
        k = int(above[0])
        raise ValueError(
            f"futility bound {futility[k]:g} is not below the efficacy bound {efficacy[k]:g} "
            f"at look {k + 1}"
        )
