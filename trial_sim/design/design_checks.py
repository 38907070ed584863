"""Checks of a design: strata, the error over looks and comparisons, looks out of reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from trial_sim.adaptive.several_arms import MultiArmBounds
from trial_sim.base.records import as_floats, as_number, as_whole
from trial_sim.base.user_warnings import warn_user
from trial_sim.design.randomization import (
    Minimization,
)
from trial_sim.design.tests import TESTS, is_on_times
from trial_sim.sequential.design import GroupSequential
from trial_sim.sequential.family_bounds import (
    MOST_STEPWISE,
    STEPWISE,
    check_method,
)
from trial_sim.sequential.plain_bounds import Bounds

if TYPE_CHECKING:
    from trial_sim.design.design import Design

FRACTIONS_APART = 0.025  # rounding to whole events makes fractions differ by less
MOST_STRATA = 50_000  # every simulated trial keeps count of each


def check_error(design: Design) -> None:
    """Check boundaries, looks and comparisons together, and warn of an error that is not held."""
    _check_information(design)
    _warn_fractions(design)
    _check_multiplicity(design)
    _warn_unreachable(design)


def check_strata(design: Design) -> None:
    """Check that each factor has levels whose shares sum to 1."""
    if not isinstance(design.strata, Mapping):
        raise ValueError(f"strata must map factors to their levels, got {design.strata!r}")
    for factor, levels in design.strata.items():
        if not isinstance(levels, Mapping):
            raise ValueError(f"stratum {factor!r} must map levels to shares, got {levels!r}")
        if len(levels) < 2:
            raise ValueError(f"stratum {factor!r} needs two or more levels, got {dict(levels)}")
        shares = as_floats(list(levels.values()), f"prevalences of {factor!r}")
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(
                f"prevalences of {factor!r} must be 0 or more and sum to 1, got {dict(levels)}"
            )
    if design.strata_quota is not None:
        _check_quota(design)
    if design.n_strata > MOST_STRATA:
        sizes = {factor: len(levels) for factor, levels in design.strata.items()}
        raise ValueError(
            f"the factors' levels combine to {design.n_strata:,} strata, more than "
            f"{MOST_STRATA:,}: {sizes}"
        )
    if (design.stratified or isinstance(design.randomization, Minimization)) and not design.strata:
        raise ValueError("a stratified test or minimisation needs strata, got none")


def _check_quota(design: Design) -> None:
    quota = as_whole(design.strata_quota, "strata_quota", 2)
    object.__setattr__(design, "strata_quota", quota)
    if not design.strata:
        raise ValueError("strata_quota needs strata, got none")
    for factor, levels in design.strata.items():
        for level, share in levels.items():
            if abs(share * quota - round(share * quota)) > 1e-6:
                raise ValueError(
                    f"strata_quota {quota} has no whole number of {factor} {level!r}, whose share "
                    f"is {share:g}: give another quota or share"
                )


def _check_information(design: Design) -> None:
    if design.max_information is None:
        return
    if not 0 < as_number(design.max_information, "max_information") < np.inf:
        raise ValueError(
            f"max_information must be a positive number, got {design.max_information!r}"
        )
    if not isinstance(design.boundaries, GroupSequential):
        raise ValueError(
            "max_information needs boundaries from group_sequential, whose spending functions "
            f"it follows, got {design.boundaries!r}"
        )
    if design.boundaries.sided == 2 and design.boundaries.futility is not None:
        raise ValueError(
            "max_information follows one-sided futility bounds, got two-sided boundaries with "
            "futility: give sided=1, or no futility"
        )


def _warn_fractions(design: Design) -> None:
    """Warn of boundaries made for other information fractions than the looks have."""
    planned = design.looks.planned_fractions(is_on_times(design.test_name))
    if planned is None or design.boundaries is None or design.max_information is not None:
        return
    made_for = np.atleast_1d(np.asarray(design.boundaries.information_fractions, dtype=float))
    evenly = (np.arange(len(made_for)) + 1.0) / len(made_for)
    if isinstance(design.boundaries, Bounds) and np.allclose(made_for, evenly):
        return  # what Bounds have that were given without fractions
    if np.abs(made_for - planned).max() > FRACTIONS_APART:
        remedy = "make the boundaries for the looks' fractions"
        if isinstance(design.boundaries, GroupSequential):
            remedy += (
                f", or give max_information={design.looks.planned_information:g}, so that each "
                "trial's bounds follow the information at its looks"
            )
        warn_user(
            f"the boundaries are for information fractions {np.round(made_for, 3).tolist()}, "
            f"the looks have {np.round(planned, 3).tolist()}: the error is not what was "
            f"planned. {remedy[0].upper()}{remedy[1:]}"
        )


def _check_multiplicity(design: Design) -> None:
    check_method(design.multiplicity)
    n_comparisons = len(design.arms) - 1
    if isinstance(design.boundaries, MultiArmBounds):
        _check_multi_arm(design, design.boundaries)
    elif design.multiplicity == "boundaries":
        raise ValueError("multiplicity 'boundaries' needs those of multi_arm_bounds")
    if n_comparisons == 1 or design.multiplicity == "boundaries":
        return
    if design.multiplicity is None:
        warn_user(
            f"{n_comparisons} arms are compared with the control and multiplicity is not "
            f"named: each comparison has an error of {design.comparison_alpha:.3g}, any of them "
            f"about {design.unadjusted_error:.3g}. Name multiplicity='dunnett', 'bonferroni', "
            "'holm' or 'closed' to hold the error of the family, or 'unadjusted'"
        )
    if design.multiplicity in STEPWISE and n_comparisons > MOST_STEPWISE:
        raise ValueError(
            f"multiplicity {design.multiplicity!r} takes up to {MOST_STEPWISE} comparisons with "
            f"the control, got {n_comparisons}: name 'dunnett' or 'bonferroni'"
        )
    if design.max_information is not None and design.multiplicity in ("dunnett", *STEPWISE):
        raise ValueError(
            f"max_information, which gives every trial bounds of its own, goes with "
            f"multiplicity 'bonferroni' or 'unadjusted', got {design.multiplicity!r}"
        )


def _check_multi_arm(design: Design, bounds: MultiArmBounds) -> None:
    """That the boundaries are for these arms, and nothing else adjusts them."""
    if design.multiplicity is None:
        object.__setattr__(design, "multiplicity", "boundaries")
    elif design.multiplicity != "boundaries":
        raise ValueError(
            "the boundaries of multi_arm_bounds hold the error of the family: leave "
            f"multiplicity out, got {design.multiplicity!r}"
        )
    if bounds.n_arms != len(design.arms) - 1:
        raise ValueError(
            f"the boundaries are for {bounds.n_arms} arms beside the control, the design has "
            f"{len(design.arms) - 1}"
        )
    control, *others = bounds.sizes[-1]
    first, *shares = design.arms.values()
    for arm, made_for, share in zip(design.arm_names[1:], others, shares):
        if abs(made_for / control - share / first) > FRACTIONS_APART * share / first:
            warn_user(
                f"the boundaries are for {made_for / control:g} patients of {arm!r} for one "
                f"of the control, the allocation has {share / first:g}: the error is not what was "
                "planned"
            )
    if not design.follow_futility and any(np.isfinite(bounds.futility_bounds[:-1])):
        warn_user(
            "the boundaries count on the futility bounds (they are binding), and "
            "follow_futility=False ignores them: the error of the family is larger than "
            f"{bounds.alpha:g}"
        )


def _warn_unreachable(design: Design) -> None:
    missing = design.looks.unreachable(design.n_patients)
    if missing and "recurrent" not in TESTS[design.test_name].kinds:  # there events repeat
        which = ", ".join(map(str, missing))
        warn_user(
            f"look(s) {which} cannot be reached with {design.n_patients} patients; simulated "
            "trials are analysed for the last time when the last patient's follow-up ends"
        )
