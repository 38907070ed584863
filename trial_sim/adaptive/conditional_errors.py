"""Conditional error of a combination test: what the stages held so far leave to be decided.

An inverse normal combination is a group-sequential statistic: the stage z-values, weighted by the
square roots of the planned increments of information, add up to a score whose bounds are those of
the design. Its conditional error is the chance, under the null, of crossing a later bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from trial_sim.adaptive.combination_tests import FisherDesign, _error_spent, fisher_design
from trial_sim.base.arguments import number
from trial_sim.numerics.roots import solve_between
from trial_sim.sequential.design import GroupSequential
from trial_sim.sequential.integration import FloatArray, advance, start, tail_above
from trial_sim.sequential.multiplicity import probabilities

__all__ = ["combined_z", "conditional_error", "repeated_p_value"]


def combined_z(design: GroupSequential, stage_z: ArrayLike) -> FloatArray:
    """Inverse normal combination after each stage, from the z-values of the stages alone.

    stage_z: (..., n_stages held); the weights are the planned information of each stage.

    Examples:
        >>> import trial_sim as ts
        >>> from trial_sim.adaptive.conditional_errors import combined_z
        >>> combined_z(ts.group_sequential((0.5, 1)), [1.0, 2.0]).round(4).tolist()
        [1.0, 2.1213]
    """
    z = np.asarray(stage_z, dtype=float)
    t = design.information_fractions
    if z.shape[-1] > len(t):
        raise ValueError(f"the design has {len(t)} stage(s), got {z.shape[-1]} z-values")
    t = t[: z.shape[-1]]
    return np.cumsum(z * np.sqrt(np.diff(t, prepend=0.0)), axis=-1) / np.sqrt(t)


def conditional_error(
    design: GroupSequential | FisherDesign,
    p_values: ArrayLike,
    expected_z: Any = None,
    futility: bool | None = None,
) -> float:
    """Chance that a combination test rejects at a later stage, given the stages so far.

    Under the null: the conditional rejection probability, which is the level that any later design
    may use (Mueller & Schaefer 2001). With `expected_z` it is a conditional power.

    design: `group_sequential` (one-sided), whose bounds hold for the inverse normal combination, or
        `fisher_design`.
    p_values: one-sided p-values of the stages held, each from the patients of its stage alone.
    expected_z: mean of the z-value of each stage to come, or one number for all of them; None for
        the null. A stage of n patients an arm and a difference d of sd 1 has d * sqrt(n / 2).
    futility: whether later futility bounds are obeyed; by default where they are binding.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.group_sequential((0.5, 1), efficacy="obrien_fleming")
        >>> round(ts.conditional_error(design, [0.1]), 4)
        0.0649
        >>> round(ts.conditional_error(design, [0.1], expected_z=2.5), 4)
        0.8377
    """
    p = probabilities("p_values", p_values)
    n_stages = len(design.critical_values) if isinstance(design, FisherDesign) else design.n_looks
    if len(p) >= n_stages:
        raise ValueError(f"a design of {n_stages} stages leaves none after {len(p)} p-values")
    if isinstance(design, FisherDesign):
        if expected_z is not None:
            raise ValueError("expected_z goes with an inverse normal design, not with Fisher's")
        so_far = design.statistic(p)
        if not np.isfinite(so_far):
            return 1.0
        held = len(p)
        weights = None if design.weights is None else design.weights[held:]
        critical, stops = design.critical_values[held:], design.futility_p[held:]
        after = _error_spent(critical, stops, so_far, weights)
        return float(min(after[-1], 1.0))
    _check_design(design)
    z = float(combined_z(design, -ndtri(p))[-1])
    left = n_stages - len(p)
    means = np.zeros(left)
    if expected_z is not None:
        given = np.asarray(expected_z, dtype=float)
        if given.shape not in ((), (left,)):
            raise ValueError(
                f"expected_z must hold {left} numbers, one a stage to come, got {given.tolist()}"
            )
        means[:] = given
    obeyed = design.binding if futility is None else futility
    return crossing_after(design, len(p), z, means, obeyed)


def crossing_after(
    design: GroupSequential, look: int, z: float, means: FloatArray, futility: bool = False
) -> float:
    """Chance of crossing an efficacy bound after `look`, where the combined z is `z`.

    means: expected z of each stage to come, (n_looks - look,).
    """
    if not np.isfinite(z):
        return 1.0 if z > 0 else 0.0
    t = design.information_fractions
    lower = design.futility_bounds if futility else np.full(len(t), -np.inf)
    paths, crossed = start(z * float(np.sqrt(t[look - 1])), float(t[look - 1])), 0.0
    for k in range(look, len(t)):
        drift = float(means[k - look] / np.sqrt(t[k] - t[k - 1]))
        upper = float(design.efficacy_bounds[k])
        crossed += float(tail_above(paths, t[k], drift, upper)[0])
        if k + 1 < len(t):
            paths = advance(paths, t[k], drift, [(float(lower[k]), upper)], t[k + 1] - t[k])
    return min(crossed, 1.0)


def repeated_p_value(design: GroupSequential | FisherDesign, p_values: ArrayLike) -> float:
    """Smallest overall level at which a combination test would reject at the last stage held.

    Valid at every stage, whatever was adapted before it and whether the trial goes on or not.

    design, p_values: as of `conditional_error`. A p-value above a bound of futility of Fisher's
    design is no hindrance: its bounds are taken as they are.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.group_sequential((0.5, 1), efficacy="obrien_fleming")
        >>> round(ts.repeated_p_value(design, [0.1, 0.01]), 4)
        0.0054
    """
    p = probabilities("p_values", p_values)
    if isinstance(design, FisherDesign):
        n_stages = len(design.critical_values)
        if len(p) > n_stages:
            raise ValueError(f"the design has {n_stages} stages, got {len(p)} p-values")
        product = float(np.exp(-design.statistic(p)))
        stops = design.futility_p[:-1]
        top = min(0.5, float(stops.min(initial=1.0))) * (1 - 1e-9)

        def gap(level: float) -> float:
            weights = None if design.weights is None else design.weights.tolist()
            again = fisher_design(n_stages, level, stops.tolist(), design.method, weights)
            return float(again.critical_values[len(p) - 1]) - product

        if gap(top) < 0:
            return top
        if product < 1e-14:
            return 0.0
        return solve_between(gap, 1e-12, top, xtol=1e-13, what="the repeated p-value")
    _check_design(design)
    if len(p) > design.n_looks:
        raise ValueError(f"the design has {design.n_looks} stages, got {len(p)} p-values")
    z = float(combined_z(design, -ndtri(p))[-1])
    if not np.isfinite(z):
        return 0.0 if z > 0 else 1.0
    return design.repeated_p_value(len(p), number("z", z))


def _check_design(design: Any) -> None:
    if not isinstance(design, GroupSequential):
        raise TypeError(f"design must come from group_sequential or fisher_design, got {design!r}")
    if design.sided != 1:
        raise ValueError("a combination test is one-sided: make the design with sided=1")
