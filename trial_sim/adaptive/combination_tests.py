"""Combination tests of adaptive designs: Fisher's product (Bauer & Koehne 1994), inverse normal.

With x = -log of the product of the stage p-values, x grows by independent standard exponentials
under the null. The density of x on paths still running is exp(-x) times a piecewise polynomial g,
and each stage integrates g up to the earlier bound: error spent and critical values are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import ArrayLike
from scipy.special import gammaincc, gammainccinv, ndtr, ndtri

from trial_sim.base.arguments import between, one_of
from trial_sim.numerics.roots import find_root, solve_between
from trial_sim.sequential.integration import FloatArray

METHODS = ("equal_alpha", "full_alpha", "no_interaction")

_Piece = tuple[float, float, Polynomial]


@dataclass(frozen=True, eq=False)
class FisherDesign:
    """Critical values for the product of stage p-values; each field is (n_stages,) float64.

    critical_values: reject at a stage when the product so far is at most this.
    stage_levels: the level of that product test by itself. alpha_spent: cumulative error.
    futility_p: stop for futility when a stage's own p-value is above this (1 for never).
    alpha, method: what :func:`fisher_design` was asked for.

    Examples:
        >>> from trial_sim.adaptive.combination_tests import fisher_design
        >>> fisher_design(n_stages=2, alpha=0.025).reject([0.04, 0.01])
        (True, 2)
    """

    critical_values: FloatArray
    stage_levels: FloatArray
    alpha_spent: FloatArray
    futility_p: FloatArray
    alpha: float = 0.025
    method: str = "equal_alpha"

    def reject(self, p_values: Sequence[float]) -> tuple[bool, int]:
        """Run the design on stage p-values: whether it rejects, and at which stage it ends."""
        product = 1.0
        for stage, p in enumerate(p_values, start=1):
            if not 0.0 <= p <= 1.0:
                raise ValueError(f"p_values must be between 0 and 1, got {p}")
            product *= p
            if product <= self.critical_values[stage - 1]:
                return True, stage
            if stage < len(self.critical_values) and p > self.futility_p[stage - 1]:
                return False, stage
        return False, min(len(list(p_values)), len(self.critical_values))


def fisher_design(
    n_stages: int = 3,
    alpha: float = 0.025,
    futility_p: float | Sequence[float] = 1.0,
    method: str = "equal_alpha",
) -> FisherDesign:
    """Fisher's combination test: critical values for the product of the stage p-values.

    futility_p: binding stop of a stage when its p-value is above this (one number, or one for each
        stage but the last).
    method: "equal_alpha", the product test has the same level at every stage; "full_alpha", at the
        last stage it has all of alpha, and one level at the earlier ones; "no_interaction", all of
        alpha at the last stage, and a stage between the first and the last rejects where any
        next p-value that goes on would.

    Examples:
        >>> import trial_sim as ts
        >>> ts.fisher_design(n_stages=2, alpha=0.025).critical_values.round(5).tolist()
        [0.01579, 0.00222]
        >>> design = ts.fisher_design(2, alpha=0.05, futility_p=0.5, method="full_alpha")
        >>> design.critical_values.round(5).tolist()
        [0.02331, 0.0087]
    """
    if not (float(n_stages).is_integer() and 1 <= n_stages <= 10):
        raise ValueError(f"n_stages must be a whole number from 1 to 10, got {n_stages!r}")
    alpha = between("alpha", alpha, 0.0, 0.5)
    one_of("method", method, METHODS)
    stops = np.ones(int(n_stages))
    stops[:-1] = futility_p
    if (stops <= alpha).any() or (stops > 1.0).any():
        raise ValueError(f"futility_p must be above alpha and at most 1, got {futility_p!r}")
    stages = np.arange(1, int(n_stages) + 1)
    last = float(np.exp(-gammainccinv(n_stages, alpha)))

    def critical_at(level: float) -> FloatArray:
        # product test of k stages: x is gamma with shape k
        critical = np.exp(-gammainccinv(stages, level))
        if method != "equal_alpha":
            critical[-1] = last
        if method == "no_interaction":
            for k in range(len(stages) - 2, 0, -1):
                critical[k] = critical[k + 1] / stops[k]
        return critical

    if n_stages == 1:
        level = alpha
    elif method == "equal_alpha":
        level = find_root(
            lambda p: float(_error_spent(critical_at(p), stops)[-1]) - alpha,
            alpha / n_stages**0.7,
            0.1 * alpha,
            alpha / n_stages * 0.5,
            alpha,
            ftol=1e-15,
            what="the stage level",
        )
    else:
        level = solve_between(
            lambda p: float(_error_spent(critical_at(p), stops)[-1]) - alpha,
            last,
            alpha,
            xtol=1e-16,
            what="the level of the earlier stages",
        )
    critical = critical_at(level)
    return FisherDesign(
        critical,
        gammaincc(stages, -np.log(critical)),
        _error_spent(critical, stops),
        stops,
        alpha,
        method,
    )


def _error_spent(critical: FloatArray, stops: FloatArray, so_far: float = 0.0) -> FloatArray:
    """Cumulative chance of rejection at the stages, given -log of the product before them."""
    grown = float(np.exp(so_far))
    bounds = -np.log(critical)
    spent = [min(critical[0] * grown, 1.0)]
    least = so_far - float(np.log(stops[0]))
    pieces: list[_Piece] = [(least, float(bounds[0]), Polynomial([grown]))]
    for k in range(1, len(critical)):
        total = _integral(pieces)
        spent.append(critical[k] * total)
        shift = -float(np.log(stops[k]))
        pieces = _next_pieces(pieces, total, shift, float(bounds[k]))
    return np.cumsum(spent)


def _integral(pieces: list[_Piece]) -> float:
    return sum(float(p.integ()(high) - p.integ()(low)) for low, high, p in pieces if high > low)


def _next_pieces(pieces: list[_Piece], total: float, shift: float, bound: float) -> list[_Piece]:
    """g of the next stage: the integral of g up to x - shift, for x below the new bound."""
    result: list[_Piece] = []
    gathered, moved = 0.0, Polynomial([-shift, 1.0])
    top = shift
    for low, high, p in pieces:
        if high <= low:
            continue
        integral = p.integ()
        result.append(
            (low + shift, min(high + shift, bound), integral(moved) - integral(low) + gathered)
        )
        gathered += float(integral(high) - integral(low))
        top = high + shift
    if bound > top:
        result.append((top, bound, Polynomial([total])))
    return [piece for piece in result if piece[1] > piece[0]]


def combine_p_values(
    p_values: ArrayLike, method: str = "inverse_normal", weights: ArrayLike | None = None
) -> float:
    """One p-value from independent one-sided stage p-values (n_stages,).

    method: "inverse_normal" with weights (equal unless given; their squares are scaled to sum
        to 1), or "fisher".

    Examples:
        >>> import trial_sim as ts
        >>> round(ts.combine_p_values([0.05, 0.10]), 4)
        0.0193
    """
    p = np.asarray(p_values, dtype=float)
    if p.ndim != 1 or p.size == 0 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p_values must be numbers between 0 and 1, got {p.tolist()}")
    if method == "fisher":
        with np.errstate(divide="ignore"):
            return float(gammaincc(len(p), -np.log(p).sum()))
    if method != "inverse_normal":
        raise ValueError(f"unknown method {method!r}: expected 'inverse_normal' or 'fisher'")
    w = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != p.shape or (w <= 0).any():
        raise ValueError(f"weights must be {len(p)} positive numbers, got {w.tolist()}")
    return float(ndtr(w @ ndtri(p) / np.sqrt(w @ w)))
