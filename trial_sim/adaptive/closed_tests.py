"""Closed combination tests of several hypotheses: arms dropped, populations narrowed, error held.

Every intersection of hypotheses has a test of its own at each stage, of the hypotheses still
followed there; the stages are combined by a rule fixed in advance. A hypothesis is rejected when
all intersections that hold it are. That holds the family-wise error whatever was selected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from trial_sim.adaptive.combination_tests import FisherDesign
from trial_sim.adaptive.conditional_errors import (
    combined_z,
    conditional_error,
    repeated_p_value,
)
from trial_sim.adaptive.intersections import (
    INTERSECTIONS,
    MOST_HYPOTHESES,
    _checked_correlation,
    _p_of,
    _tail_of,
    intersection_p_value,
    subsets,
)
from trial_sim.base.arguments import between, one_of
from trial_sim.numerics.roots import solve_between
from trial_sim.sequential.design import GroupSequential
from trial_sim.sequential.integration import FloatArray
from trial_sim.sequential.multiplicity import (
    equicoordinate_critical_value,
    normal_orthant,
)

__all__ = [
    "ClosedTestResult",
    "closed_combination_test",
    "closed_rejections",
    "conditional_dunnett",
    "repeated_intervals",
]


@dataclass(frozen=True)
class ClosedTestResult:
    """Outcome of a closed combination test after the stages held, one entry a hypothesis.

    rejected: at any stage so far. at_stage: the stage of rejection, 0 for none.
    conditional_error: (n_stages, m) chance under the null that the hypothesis is rejected at a
    later stage: the smallest of its intersections; None where it is no longer followed, and at the
    design's last stage. repeated_p: (n_stages, m) overall level at which it would be rejected at
    that stage; None where it is not followed.
    """

    rejected: tuple[bool, ...]
    at_stage: tuple[int, ...]
    conditional_error: tuple[tuple[float | None, ...], ...]
    repeated_p: tuple[tuple[float | None, ...], ...]


def closed_rejections(
    stage_z: ArrayLike,
    design: GroupSequential | FisherDesign,
    intersection: str = "dunnett",
    correlation: ArrayLike | None = None,
) -> np.ndarray:
    """Stage at which a closed combination test rejects each hypothesis, of many trials at once.

    stage_z: (n_trials, n_stages held, m) z-values of the stages, each from its own patients; NaN
        for a hypothesis that is not followed at that stage.
    correlation: (m, m), or (n_stages, m, m) where it changes from stage to stage.

    Returns (n_trials, m) int8: the stage, 0 for none. A hypothesis not followed at a stage cannot
    be rejected there.

    Examples:
        >>> import trial_sim as ts
        >>> from trial_sim.adaptive.closed_tests import closed_rejections
        >>> design = ts.group_sequential((0.5, 1), efficacy="obrien_fleming")
        >>> z = [[[1.0, 2.1], [float("nan"), 2.3]]]
        >>> closed_rejections(z, design, correlation=[[1, 0.5], [0.5, 1]]).tolist()
        [[0, 2]]
    """
    z, correlations = _checked_stages(stage_z, design, intersection, correlation)
    _, n_stages, m = z.shape
    out = np.zeros((len(z), m), dtype=np.int8)
    never = n_stages + 1
    latest = np.zeros((len(z), m), dtype=np.int8)  # stage by which all its intersections fell
    for members in subsets(m):
        fell = np.full(len(z), never, dtype=np.int8)
        p = _stage_p(z, members, intersection, correlations)
        for k in range(n_stages - 1, -1, -1):
            held = ~np.isnan(p[:, : k + 1]).any(axis=1)
            fell[held & _crosses(design, p[:, : k + 1])] = k + 1
        for i in members:
            np.maximum(latest[:, i], fell, out=latest[:, i])
    for k in range(1, n_stages + 1):
        now = (out == 0) & (latest <= k) & ~np.isnan(z[:, k - 1, :])
        out[now] = k
    return out


def _checked_stages(
    stage_z: Any, design: Any, intersection: str, correlation: Any
) -> tuple[FloatArray, list[FloatArray | None]]:
    one_of("intersection", intersection, INTERSECTIONS)
    z = np.asarray(stage_z, dtype=float)
    if z.ndim != 3:
        raise ValueError(f"stage z-values must be (trials, stages, hypotheses), got {z.shape}")
    n_stages, m = z.shape[1:]
    if not 1 <= m <= MOST_HYPOTHESES:
        raise ValueError(f"a closed test takes 1 to {MOST_HYPOTHESES} hypotheses, got {m}")
    if not isinstance(design, GroupSequential | FisherDesign):
        raise TypeError(f"design must come from group_sequential or fisher_design, got {design!r}")
    if isinstance(design, GroupSequential) and design.sided != 1:
        raise ValueError("a combination test is one-sided: make the design with sided=1")
    planned = len(_bounds_of(design))
    if not 1 <= n_stages <= planned:
        raise ValueError(f"the design has {planned} stage(s), got z-values of {n_stages}")
    back = np.isnan(z[:, :-1]) & ~np.isnan(z[:, 1:])
    if back.any():
        _, k, i = np.argwhere(back)[0]
        raise ValueError(
            f"hypothesis {i} has no z-value at stage {k + 1} but one at stage {k + 2}: what was "
            "dropped cannot come back"
        )
    if correlation is not None and np.ndim(correlation) == 3:
        if len(np.asarray(correlation)) != n_stages:
            raise ValueError(f"correlation must hold {n_stages} matrices, one a stage")
        rows = [_checked_correlation(intersection, r, m) for r in np.asarray(correlation)]
        return z, rows
    return z, [_checked_correlation(intersection, correlation, m)] * n_stages


def _bounds_of(design: GroupSequential | FisherDesign) -> FloatArray:
    if isinstance(design, FisherDesign):
        return design.critical_values
    return design.efficacy_bounds


def _stage_p(
    z: FloatArray,
    members: tuple[int, ...],
    intersection: str,
    correlations: list[FloatArray | None],
) -> FloatArray:
    """p-values (n_trials, n_stages) of one intersection; NaN at a stage that follows none."""
    at = list(members)
    return np.stack(
        [
            intersection_p_value(
                z[:, k, at], intersection, None if r is None else r[np.ix_(at, at)]
            )
            for k, r in enumerate(correlations)
        ],
        axis=1,
    )


def _crosses(design: GroupSequential | FisherDesign, p: FloatArray) -> np.ndarray:
    """Whether the combination of p (n_trials, stages so far) rejects at the last of them."""
    k = p.shape[1] - 1
    if isinstance(design, FisherDesign):
        gone = (p[:, :-1] > design.futility_p[:k]).any(axis=1)
        return (p.prod(axis=1) <= design.critical_values[k]) & ~gone
    with np.errstate(invalid="ignore"):
        return combined_z(design, -ndtri(p))[:, -1] >= design.efficacy_bounds[k]


def closed_combination_test(
    stage_z: ArrayLike,
    design: GroupSequential | FisherDesign,
    intersection: str = "dunnett",
    correlation: ArrayLike | None = None,
    futility: bool | None = None,
) -> ClosedTestResult:
    """Test several hypotheses after the stages held of an adaptive trial, with strong control.

    stage_z: (n_stages held, m) z-values of the stages, each from the patients of its stage alone,
        above 0 in favour of the treatment; NaN for a hypothesis that was dropped before the stage.
    design: `group_sequential`, one-sided: the inverse normal combination with weights planned by
        its information fractions; or `fisher_design`.
    intersection: "dunnett", "spiessens_debois", "simes", "bonferroni" or "sidak".
    correlation: (m, m) of the z of a stage, or one a stage, for the first two.
    futility: whether conditional errors count on futility bounds to come; by default only where
        they are binding. (rpact counts on them in trials of several arms, and not in others.)

    Raises:
        ValueError: a hypothesis that comes back after it was dropped; more stages than planned.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.group_sequential((0.5, 1), efficacy="obrien_fleming")
        >>> dropped = float("nan")
        >>> result = ts.closed_combination_test(
        ...     [[1.2, 0.4, 2.0], [dropped, dropped, 2.2]], design, "simes"
        ... )
        >>> result.rejected, result.at_stage
        ((False, False, True), (0, 0, 2))
        >>> round(result.repeated_p[1][2], 4)
        0.0046
    """
    z = np.asarray(stage_z, dtype=float)
    if z.ndim != 2:
        raise ValueError(f"stage_z must be (stages held, hypotheses), got shape {z.shape}")
    checked, correlations = _checked_stages(z[None], design, intersection, correlation)
    at_stage = closed_rejections(checked, design, intersection, correlation)[0]
    n_stages, m = z.shape
    last = len(_bounds_of(design))
    error: list[list[float | None]] = [[None] * m for _ in range(n_stages)]
    repeated: list[list[float | None]] = [[None] * m for _ in range(n_stages)]
    for members in subsets(m):
        p = _stage_p(checked, members, intersection, correlations)[0]
        for k in range(n_stages):
            if np.isnan(p[: k + 1]).any():
                break
            left = (
                conditional_error(design, p[: k + 1], futility=futility) if k + 1 < last else None
            )
            level = repeated_p_value(design, p[: k + 1])
            for i in members:
                if np.isnan(z[k, i]):
                    continue
                before, so_far = error[k][i], repeated[k][i]
                if left is not None:
                    error[k][i] = left if before is None else min(before, left)
                repeated[k][i] = level if so_far is None else max(so_far, level)
    return ClosedTestResult(
        tuple(bool(s) for s in at_stage),
        tuple(int(s) for s in at_stage),
        tuple(map(tuple, error)),
        tuple(map(tuple, repeated)),
    )


def repeated_intervals(
    estimates: ArrayLike,
    standard_errors: ArrayLike,
    design: GroupSequential,
    intersection: str = "dunnett",
    correlation: ArrayLike | None = None,
) -> list[tuple[float, float] | None]:
    """Repeated confidence intervals of several effects at the last stage held of a closed test.

    They hold together, at every stage and whatever was selected, with level 1 - 2 alpha: all the
    effects that the single-step test of the combination does not reject.

    estimates, standard_errors: (n_stages held, m) of each stage alone, estimates NaN where dropped.
    The other arguments are those of `closed_combination_test`; "simes" has no single-step test.

    Returns (lower, upper) of each hypothesis, None for one that was dropped.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.group_sequential((0.5, 1), efficacy="obrien_fleming")
        >>> found = ts.repeated_intervals(
        ...     [[0.3, 0.5], [float("nan"), 0.4]], [[0.2, 0.2], [0.2, 0.2]], design, "bonferroni"
        ... )
        >>> found[0], [round(x, 3) for x in found[1]]
        (None, [0.137, 0.772])
    """
    if intersection == "simes":
        raise ValueError("'simes' has no single-step test, so no interval: name another one")
    theta, se = np.asarray(estimates, dtype=float), np.asarray(standard_errors, dtype=float)
    if theta.ndim != 2 or se.shape != theta.shape:
        raise ValueError(
            f"estimates and standard_errors must be (stages, hypotheses), got {theta.shape} and "
            f"{se.shape}"
        )
    followed = ~np.isnan(theta)
    if not (se[followed] > 0).all():
        raise ValueError("standard_errors must be above 0 wherever there is an estimate")
    if not isinstance(design, GroupSequential):
        raise ValueError("intervals go with an inverse normal combination: give group_sequential")
    _, correlations = _checked_stages(theta[None], design, intersection, correlation)
    n_stages, m = theta.shape
    bound = float(design.efficacy_bounds[n_stages - 1])
    found: list[tuple[float, float] | None] = []
    for i in range(m):
        if not followed[-1, i]:
            found.append(None)
            continue

        def combined(value: float, sign: float, i: int = i) -> float:
            z = []
            for k in range(n_stages):
                at = np.flatnonzero(followed[k])
                r = correlations[k]
                part = None if r is None else r[np.ix_(at, at)]
                alone = np.full(len(at), sign * (theta[k, i] - value) / se[k, i])
                # the same z for all: the single-step p-value of the largest
                z.append(-ndtri(_p_of(alone[None], intersection, part)[0]))
            with np.errstate(invalid="ignore"):
                together = float(combined_z(design, np.maximum(z, -38.0))[-1])
            return min(together, 38.0) - bound

        if not np.isfinite(bound):
            found.append((-np.inf, np.inf))
            continue
        middle = float(theta[followed[:, i], i].mean())
        reach = 12.0 * float(se[followed[:, i], i].max()) + float(np.ptp(theta[:, i]))
        lower = solve_between(
            lambda v: combined(v, 1.0), middle - reach, middle + reach, what="the lower limit"
        )
        upper = solve_between(
            lambda v: combined(v, -1.0), middle - reach, middle + reach, what="the upper limit"
        )
        found.append((lower, upper))
    return found


def conditional_dunnett(
    first_z: ArrayLike,
    second_z: ArrayLike,
    information: float,
    correlation: ArrayLike,
    alpha: float = 0.025,
    conditioned: bool = True,
) -> tuple[list[float], list[float | None]]:
    """Conditional errors and adjusted p-values of Dunnett's test with selection between its stages.

    One interim look, no early rejection (Koenig et al. 2008). Each intersection's conditional error
    is that of its planned Dunnett test; the intersection is rejected when the p-value of the second
    stage, of the arms still followed, is at most that error.

    first_z, second_z: (m,) of the stages alone; NaN in the second for an arm that was dropped.
    information: share of the planned information in the first stage. correlation: (m, m), as
        planned, or one for each stage.
    conditioned: the second stage's p-value is the chance, given the first stage, of a larger
        maximum of the statistics of both stages; False: Dunnett's, of the second stage alone.

    Returns the smallest conditional error of each hypothesis over its intersections, and its
    adjusted p-value: the smallest alpha at which all of them are rejected; None for a dropped one.

    Examples:
        >>> import trial_sim as ts
        >>> half = [[1, 0.5], [0.5, 1]]
        >>> error, p = ts.conditional_dunnett([1.0, 1.8], [float("nan"), 2.0], 0.5, half)
        >>> [round(e, 4) for e in error], round(p[1], 4)
        ([0.0382, 0.101], 0.0065)
        >>> _, both = ts.conditional_dunnett([1.0, 1.8], [1.5, 2.0], 0.5, half)
        >>> _, alone = ts.conditional_dunnett([1.0, 1.8], [1.5, 2.0], 0.5, half, conditioned=False)
        >>> round(both[1], 4), round(alone[1], 4)
        (0.0069, 0.0109)
    """
    one, two = np.asarray(first_z, dtype=float), np.asarray(second_z, dtype=float)
    t = between("information", information, 0.0, 1.0)
    alpha = between("alpha", alpha, 0.0, 0.5)
    m = len(one)
    if one.ndim != 1 or two.shape != one.shape or np.isnan(one).any():
        raise ValueError(
            "first_z and second_z must hold one number a hypothesis, first without NaN"
        )
    given = np.asarray(correlation, dtype=float)
    planned, later = (
        _checked_correlation("dunnett", r, m) for r in (given if given.ndim == 3 else (given,) * 2)
    )
    assert planned is not None
    assert later is not None
    error = np.full(m, np.inf)
    p: list[float | None] = [None] * m
    for members in subsets(m):
        at = list(members)
        part = planned[np.ix_(at, at)]

        def left(c: float, at: list[int] = at, part: FloatArray = part) -> float:
            return 1.0 - normal_orthant((c - np.sqrt(t) * one[at]) / np.sqrt(1.0 - t), part)

        error[at] = np.minimum(error[at], left(equicoordinate_critical_value(part, alpha)))
        left_in = [i for i in at if not np.isnan(two[i])]
        if not left_in:
            continue
        if conditioned:
            total = np.sqrt(t) * one[left_in] + np.sqrt(1.0 - t) * two[left_in]
            limits = (total.max() - np.sqrt(t) * one[left_in]) / np.sqrt(1.0 - t)
            here = 1.0 - normal_orthant(limits, later[np.ix_(left_in, left_in)])
        else:
            here = float(intersection_p_value(two[at], "dunnett", later[np.ix_(at, at)]))
        if here <= 1e-12:
            level = 0.0
        elif here >= 1 - 1e-12:
            level = 1.0
        else:

            def above(c: float, left: Callable[[float], float] = left, here: float = here) -> float:
                return left(c) - here

            critical = solve_between(above, -40.0, 60.0, what="the p-value")
            level = float(_tail_of(np.array([critical]), part)[0])
        for i in members:
            if not np.isnan(two[i]):
                before = p[i]
                p[i] = level if before is None else max(before, level)
    return error.tolist(), p
