"""Tests of intersections of hypotheses: Dunnett, Spiessens and Debois, Simes, Bonferroni, Šidák."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtr, ndtri

from trial_sim.base.arguments import between, one_of
from trial_sim.numerics.roots import solve_between
from trial_sim.sequential.integration import FloatArray
from trial_sim.sequential.multiplicity import (
    _NODES,
    _WEIGHTS,
    _product_structure,
    equicoordinate_critical_value,
    normal_orthant,
)

INTERSECTIONS = ("dunnett", "spiessens_debois", "simes", "bonferroni", "sidak")


MOST_HYPOTHESES = 8


_MANY = 600  # z-values of one correlation from which on the tail is read off a spline


def subsets(m: int) -> Iterator[tuple[int, ...]]:
    """Every intersection of m hypotheses, the smallest first."""
    return itertools.chain.from_iterable(
        itertools.combinations(range(m), size) for size in range(1, m + 1)
    )


def intersection_p_value(
    z: ArrayLike, intersection: str = "dunnett", correlation: ArrayLike | None = None
) -> Any:
    """One-sided p-value of the hypothesis that none of several effects is there.

    z: (..., m) statistics; NaN for a hypothesis that is not followed. Where all are NaN, NaN.
    intersection: "dunnett" and "spiessens_debois" (the largest z among correlated ones), "simes",
        "bonferroni" or "sidak".
    correlation: (m, m) of the z, for the first two. Arms of equal size against one control have
        one half; a stratum within all patients the square root of its share.

    Examples:
        >>> import trial_sim as ts
        >>> z = [2.0, 1.5, 0.3]
        >>> half = [[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]]
        >>> round(ts.intersection_p_value(z, "dunnett", half), 4)
        0.0575
        >>> [round(ts.intersection_p_value(z, m), 4) for m in ("simes", "bonferroni", "sidak")]
        [0.0683, 0.0683, 0.0667]
    """
    one_of("intersection", intersection, INTERSECTIONS)
    given = np.asarray(z, dtype=float)
    if given.ndim == 0 or given.shape[-1] == 0:
        raise ValueError(f"z must hold one number a hypothesis, got {z!r}")
    m = given.shape[-1]
    r = _checked_correlation(intersection, correlation, m)
    flat = given.reshape(-1, m)
    out = np.full(len(flat), np.nan)
    followed = ~np.isnan(flat)
    codes = followed @ (1 << np.arange(m))
    for code in np.unique(codes):
        if code == 0:
            continue
        rows = np.flatnonzero(codes == code)
        at = np.flatnonzero(followed[rows[0]])
        part = None if r is None else r[np.ix_(at, at)]
        out[rows] = _p_of(flat[np.ix_(rows, at)], intersection, part)
    shaped = out.reshape(given.shape[:-1])
    return float(shaped) if shaped.ndim == 0 else shaped


def _checked_correlation(intersection: str, correlation: Any, m: int) -> FloatArray | None:
    if intersection not in ("dunnett", "spiessens_debois"):
        return None
    if m == 1:
        return np.ones((1, 1))
    if correlation is None:
        raise ValueError(
            f"intersection {intersection!r} needs the correlation of the statistics; 'simes', "
            "'bonferroni' and 'sidak' do not"
        )
    r = np.asarray(correlation, dtype=float)
    if r.shape != (m, m):
        raise ValueError(f"correlation must be {m} by {m}, got shape {r.shape}")
    if not (np.isfinite(r).all() and np.allclose(r, r.T) and np.allclose(np.diag(r), 1.0)):
        raise ValueError(f"correlation must be symmetric with ones on its diagonal, got {r}")
    if np.linalg.eigvalsh(r)[0] < -1e-9:
        raise ValueError(f"no variables have the correlation {r.tolist()}")
    return r


def _p_of(z: FloatArray, intersection: str, r: FloatArray | None) -> FloatArray:
    """p-values (n,) of z (n, k) without NaN."""
    k = z.shape[1]
    if k == 1:
        return ndtr(-z[:, 0])
    if r is not None:
        return _largest_tail(z.max(axis=1), r)
    if intersection == "simes":
        ranked = np.sort(ndtr(-z), axis=1)
        return np.minimum((ranked * k / np.arange(1, k + 1)).min(axis=1), 1.0)
    smallest = ndtr(-z.max(axis=1))
    if intersection == "bonferroni":
        return np.minimum(k * smallest, 1.0)
    return -np.expm1(k * np.log1p(-smallest))


def _largest_tail(c: FloatArray, r: FloatArray) -> FloatArray:
    """P(max Z > c) for each c (n,), Z normal with correlation r."""
    if len(c) > _MANY:
        inside = (c > -4.5) & (c < 9.0)
        out = np.ones(len(c))
        out[inside] = ndtr(-_tail_spline(tuple(map(tuple, r.tolist())))(c[inside]))
        if not inside.all():
            out[~inside] = _tail_of(c[~inside], r)
        return out
    return _tail_of(c, r)


@lru_cache(maxsize=256)
def _tail_spline(r: tuple[tuple[float, ...], ...]) -> Any:
    from scipy.interpolate import CubicSpline

    grid = np.linspace(-4.5, 9.0, 541)
    return CubicSpline(grid, -ndtri(_tail_of(grid, np.array(r))))


def _tail_of(c: FloatArray, r: FloatArray) -> FloatArray:
    loadings = _product_structure(r)
    if len(r) == 2 and 0 < r[0, 1] < 1 - 1e-9:
        loadings = np.full(2, np.sqrt(r[0, 1]))
    if loadings is None:
        return np.array([1.0 - normal_orthant(np.full(len(r), v), r) for v in c])
    x = 9.0 * _NODES
    w = 9.0 * _WEIGHTS * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    rest = np.sqrt(1.0 - loadings**2)
    inside = log_ndtr((c[:, None, None] - np.outer(x, loadings)) / rest).sum(axis=-1)
    return np.clip(-np.expm1(inside) @ w, 0.0, 1.0)


def nested_population_levels(
    prevalence: float, alpha: float = 0.025, alpha_full: float | None = None
) -> tuple[float, float]:
    """Levels of a test in all patients and in a stratum that together have alpha.

    By the correlation of the two statistics, the square root of the stratum's share (Spiessens &
    Debois 2010), both may be tested at more than half of alpha.

    prevalence: share of the patients (of the events, for times) in the stratum.
    alpha_full: level in all patients; None for equal levels.

    Returns the level in all patients, and that in the stratum.

    Examples:
        >>> import trial_sim as ts
        >>> [round(level, 5) for level in ts.nested_population_levels(0.5)]
        [0.01469, 0.01469]
        >>> [round(level, 5) for level in ts.nested_population_levels(0.5, alpha_full=0.015)]
        [0.015, 0.01438]
    """
    share = between("prevalence", prevalence, 0.0, 1.0)
    alpha = between("alpha", alpha, 0.0, 0.5)
    root = float(np.sqrt(share))
    r = np.array([[1.0, root], [root, 1.0]])
    if alpha_full is None:
        level = float(ndtr(-equicoordinate_critical_value(r, alpha)))
        return level, level
    full = between("alpha_full", alpha_full, 0.0, alpha)
    c = -float(ndtri(full))
    z = solve_between(
        lambda b: 1.0 - normal_orthant([c, b], r) - alpha,
        -float(ndtri(alpha)),
        12.0,
        what="the level of the stratum",
    )
    return full, float(ndtr(-z))
