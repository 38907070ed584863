"""Combination tests of adaptive designs: Fisher's product (Bauer & Koehne 1994), inverse normal.

With x = -log of the product of the stage p-values, x grows by independent standard exponentials
under the null. The density of x on paths still running is exp(-x) times a piecewise polynomial g,
and each stage integrates g up to the earlier bound: error spent and critical values are exact. With
weights (powers of the p-values) the exponentials have several rates, and g is a piecewise Chebyshev
series, exact to 1e-12.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import ArrayLike
from scipy.special import gammaincc, gammainccinv, ndtr, ndtri

from trial_sim.base.arguments import between, one_of
from trial_sim.numerics.roots import find_root, solve_between
from trial_sim.sequential.integration import FloatArray

METHODS = ("equal_alpha", "full_alpha", "no_interaction")

_Piece = tuple[float, float, Polynomial]
_Series = tuple[float, float, Any]


@dataclass(frozen=True, eq=False)
class FisherDesign:
    """Critical values for the product of stage p-values; each field is (n_stages,) float64.

    critical_values: reject at a stage when the product so far is at most this.
    stage_levels: the level of that product test by itself. alpha_spent: cumulative error.
    futility_p: stop for futility when a stage's own p-value is above this (1 for never).
    alpha, method, weights: what :func:`fisher_design` was asked for.

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
    weights: FloatArray | None = None

    def statistic(self, p_values: ArrayLike) -> float:
        """-log of the product of the stage p-values, each to the power of its weight."""
        p = np.asarray(p_values, dtype=float)
        powers = np.ones(len(p)) if self.weights is None else self.weights[: len(p)]
        with np.errstate(divide="ignore"):
            return -float((powers * np.log(p)).sum())

    def reject(self, p_values: Sequence[float]) -> tuple[bool, int]:
        """Run the design on stage p-values: whether it rejects, and at which stage it ends."""
        for stage, p in enumerate(p_values, start=1):
            if not 0.0 <= p <= 1.0:
                raise ValueError(f"p_values must be between 0 and 1, got {p}")
            product = float(np.exp(-self.statistic(p_values[:stage])))
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
    weights: Sequence[float] | None = None,
) -> FisherDesign:
    """Fisher's combination test: critical values for the product of the stage p-values.

    futility_p: binding stop of a stage when its p-value is above this (one number, or one for each
        stage but the last).
    method: "equal_alpha", the product test has the same level at every stage; "full_alpha", at the
        last stage it has all of alpha, and one level at the earlier ones; "no_interaction", all of
        alpha at the last stage, and a stage between the first and the last rejects where any
        next p-value that goes on would.
    weights: powers of the p-values in the product, one a stage, for stages of unequal size: the
        square root of a stage's information over that of the first. None for equal ones.

    Examples:
        >>> import trial_sim as ts
        >>> ts.fisher_design(n_stages=2, alpha=0.025).critical_values.round(5).tolist()
        [0.01579, 0.00222]
        >>> design = ts.fisher_design(2, alpha=0.05, futility_p=0.5, method="full_alpha")
        >>> design.critical_values.round(5).tolist()
        [0.02331, 0.0087]
        >>> thirds = [1, 2**0.5, 7**0.5]  # of information .1, .2, .7
        >>> ts.fisher_design(3, 0.025, (0.7, 0.5), weights=thirds).critical_values.round(6).tolist()
        [0.011824, 0.000367, 0.0]
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
    powers = _checked_weights(weights, int(n_stages), method)

    def product_test(level: float) -> FloatArray:
        if powers is None:  # x after k stages is gamma with shape k
            return np.exp(-gammainccinv(stages, level))
        return np.array([_weighted_critical(powers[:k], level) for k in stages])

    last = float(product_test(alpha)[-1])

    def critical_at(level: float) -> FloatArray:
        critical = product_test(level)
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
            lambda p: float(_error_spent(critical_at(p), stops, weights=powers)[-1]) - alpha,
            alpha / n_stages**0.7,
            0.1 * alpha,
            alpha / n_stages * 0.5,
            alpha,
            ftol=1e-15,
            what="the stage level",
        )
    else:
        least = float(_product_levels(np.full(n_stages, last), powers)[0])
        level = solve_between(
            lambda p: float(_error_spent(critical_at(p), stops, weights=powers)[-1]) - alpha,
            least,
            alpha,
            xtol=1e-16,
            what="the level of the earlier stages",
        )
    critical = critical_at(level)
    return FisherDesign(
        critical,
        _product_levels(critical, powers),
        _error_spent(critical, stops, weights=powers),
        stops,
        alpha,
        method,
        powers,
    )


def _checked_weights(weights: Any, n_stages: int, method: str) -> FloatArray | None:
    if weights is None:
        return None
    powers = np.asarray(weights, dtype=float)
    if powers.shape != (n_stages,) or not (np.isfinite(powers) & (powers > 0)).all():
        raise ValueError(f"weights must be {n_stages} numbers above 0, got {weights!r}")
    if method == "no_interaction":
        raise ValueError("weights go with method 'equal_alpha' or 'full_alpha'")
    if (powers / powers[0]).max() > 20 or (powers / powers[0]).min() < 0.05:
        raise ValueError(f"weights must be within 20 times the first, got {powers.tolist()}")
    return None if (powers == 1).all() else powers


def _product_levels(critical: FloatArray, powers: FloatArray | None) -> FloatArray:
    """Level of the product test of each number of stages by itself, (n_stages,)."""
    stages = np.arange(1, len(critical) + 1)
    if powers is None:
        return np.asarray(gammaincc(stages, -np.log(critical)))
    return np.array([_weighted_level(powers[:k], float(critical[k - 1])) for k in stages])


def _weighted_level(powers: FloatArray, critical: float) -> float:
    """Chance that the whole product is at most ``critical``: it only falls from stage to stage."""
    k = len(powers)
    return float(_error_spent(np.full(k, critical), np.ones(k), weights=powers)[-1])


def _weighted_critical(powers: FloatArray, level: float) -> float:
    """The product that is reached with chance ``level`` after all the stages."""
    far = float(gammainccinv(len(powers), level)) * float(powers.max())
    near = float(gammainccinv(len(powers), level)) * float(powers.min())
    if len(powers) == 1 or near == far:
        return float(np.exp(-far))
    x = solve_between(
        lambda x: np.log(_weighted_level(powers, float(np.exp(-x))) / level),
        near,
        far,
        xtol=1e-14,
        what="a critical value",
    )
    return float(np.exp(-x))


def _error_spent(
    critical: FloatArray,
    stops: FloatArray,
    so_far: float = 0.0,
    weights: FloatArray | None = None,
) -> FloatArray:
    """Cumulative chance of rejection at the stages, given -log of the product before them."""
    if weights is None and (np.diff(critical) > 0).any():
        weights = np.ones(len(critical))  # the closed form takes bounds that only fall
    if weights is not None:
        return _weighted_error_spent(critical, stops, so_far, weights)
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


def _weighted_error_spent(
    critical: FloatArray, stops: FloatArray, so_far: float, weights: FloatArray
) -> FloatArray:
    """As :func:`_error_spent`, with exponentials of means ``weights``."""
    bounds, rates = -np.log(critical), 1.0 / weights
    shifts = -weights * np.log(stops)
    spent = [min(float(np.exp(-rates[0] * (bounds[0] - so_far))), 1.0)]
    pieces = _fitted(
        lambda x: rates[0] * np.exp(-rates[0] * (x - so_far)),
        [so_far + shifts[0], float(bounds[0])],
    )
    for k in range(1, len(critical)):
        chance, pieces = _weighted_stage(
            pieces, float(rates[k]), float(shifts[k]), float(bounds[k])
        )
        spent.append(chance)
    return np.cumsum(spent)


def _weighted_stage(
    pieces: list[_Series], rate: float, shift: float, bound: float
) -> tuple[float, list[_Series]]:
    """Chance that the next stage passes ``bound``, and the density of those that go on."""
    if not pieces:
        return 0.0, []
    sums = [_tilted(piece, rate) for piece in pieces]

    def reached(x: Any, shift: float) -> Any:
        """The integral of the density times rate * exp(-rate * (x - y)), y up to x - shift."""
        total = np.zeros_like(np.asarray(x, dtype=float))
        for (low, high, _), integral in zip(pieces, sums):
            total += integral(np.clip(x - shift, low, high)) * np.exp(-rate * (x - high))
        return rate * total

    beyond = sum(
        float(f.integ(lbnd=max(low, bound))(high)) for low, high, f in pieces if high > bound
    )
    chance = float(reached(bound, 0.0)) / rate + beyond
    edges = [pieces[0][0] + shift, *(high + shift for _, high, _ in pieces)]
    inside = [edge for edge in edges if edge < bound]
    return chance, _fitted(lambda x: reached(x, shift), [*inside, bound]) if inside else []


def _tilted(piece: _Series, rate: float) -> Any:
    """The integral, from the start of a piece, of its density times exp(rate * (y - end))."""
    low, high, density = piece
    series = Chebyshev.interpolate(
        lambda y: density(y) * np.exp(rate * (y - high)), _DEGREE, [low, high]
    )
    return series.integ(lbnd=low)


_DEGREE = 48
_LONGEST = 6.0


def _fitted(density: Any, edges: list[float]) -> list[_Series]:
    """Chebyshev series of a density that is smooth between edges."""
    found: list[_Series] = []
    for low, high in itertools.pairwise(edges):
        parts = max(1, int(np.ceil((high - low) / _LONGEST))) if high > low else 0
        cuts = np.linspace(low, high, parts + 1)
        for a, b in itertools.pairwise(cuts.tolist()):
            if b - a > 1e-13:
                found.append((a, b, Chebyshev.interpolate(density, _DEGREE, [a, b])))
    return found


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
