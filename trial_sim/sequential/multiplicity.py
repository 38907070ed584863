"""Several comparisons at once: Dunnett, MaxCombo-type maxima, graphical procedures.

`normal_orthant` is the one integral behind them: P(Z_1 <= b_1, ..., Z_m <= b_m) for a multivariate
normal. Up to three dimensions and for the product structure of Dunnett's problem it is a
one-dimensional integral to 1e-10 or better; else Genz's quasi-Monte-Carlo with a fixed seed. The
compiled probabilities of ``numerics.normal_kernels`` are for statistics of simulated trials, up to
four of them and to 1e-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from trial_sim.base.arguments import between, one_of, positive
from trial_sim.numerics.roots import find_root
from trial_sim.sequential.integration import FloatArray

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def normal_orthant(limits: ArrayLike, correlation: ArrayLike) -> float:
    """P(Z <= limits) for Z normal with mean zero. limits: (m,). correlation: (m, m)."""
    b = np.asarray(limits, dtype=float)
    r = np.asarray(correlation, dtype=float)
    if r.shape != (len(b), len(b)):
        raise ValueError(f"correlation must be {len(b)} by {len(b)}, got shape {r.shape}")
    if len(b) == 1:
        return float(ndtr(b[0]))
    if len(b) == 2:
        return _bivariate(float(b[0]), float(b[1]), float(r[0, 1]))
    loadings = _product_structure(r)
    if loadings is not None:
        return _one_factor(b, loadings)
    if len(b) == 3:
        return _trivariate(b, r)
    from scipy.stats import multivariate_normal

    seed = np.random.default_rng(np.random.Philox(20_240_601))
    return float(
        multivariate_normal.cdf(
            b, cov=r, allow_singular=True, maxpts=200_000 * len(b), abseps=1e-7, releps=0, rng=seed
        )
    )


def _bivariate(h: float, k: float, rho: float) -> float:
    if rho >= 1.0 - 1e-14:
        return float(ndtr(min(h, k)))
    if rho <= -1.0 + 1e-14:
        return float(max(ndtr(h) + ndtr(k) - 1.0, 0.0))
    # Plackett's identity in the angle (Drezner & Wesolowsky 1990): smooth up to high correlation.
    angle = float(np.arcsin(rho))
    theta = 0.5 * angle * (_NODES + 1.0)
    sine = np.sin(theta)
    value = np.exp(-(h * h + k * k - 2.0 * h * k * sine) / (2.0 * (1.0 - sine * sine)))
    return float(ndtr(h) * ndtr(k) + 0.5 * angle * (_WEIGHTS @ value) / (2.0 * np.pi))


def _trivariate(b: FloatArray, r: FloatArray) -> float:
    """Condition on the first variable: an integral of bivariate probabilities."""
    low, high = -9.0, min(float(b[0]), 9.0)
    if high <= low:
        return 0.0
    x = low + 0.5 * (high - low) * (_NODES + 1.0)
    w = 0.5 * (high - low) * _WEIGHTS * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    s1, s2 = np.sqrt(max(1.0 - r[0, 1] ** 2, 0.0)), np.sqrt(max(1.0 - r[0, 2] ** 2, 0.0))
    if min(s1, s2) < 1e-7:  # two of the three are one variable
        twin, other = (1, 2) if s1 < s2 else (2, 1)
        joint = float(b[0]) if r[0, twin] > 0 else None
        if joint is None:
            return max(
                _bivariate(float(b[0]), float(b[other]), float(r[0, other]))
                - _bivariate(-float(b[twin]), float(b[other]), float(r[0, other])),
                0.0,
            )
        return _bivariate(min(joint, float(b[twin])), float(b[other]), float(r[0, other]))
    partial = float(np.clip((r[1, 2] - r[0, 1] * r[0, 2]) / (s1 * s2), -1.0, 1.0))
    values = [
        _bivariate(float((b[1] - r[0, 1] * t) / s1), float((b[2] - r[0, 2] * t) / s2), partial)
        for t in x
    ]
    return float(w @ np.array(values))


def _product_structure(r: FloatArray) -> FloatArray | None:
    """Loadings l with r_ij = l_i l_j off the diagonal (positive), or None."""
    if len(r) < 3 or (r[~np.eye(len(r), dtype=bool)] <= 0).any():
        return None
    first = np.sqrt(r[0, 1] * r[0, 2] / r[1, 2])
    loadings = np.append(first, r[0, 1:] / first)
    built = np.outer(loadings, loadings)
    np.fill_diagonal(built, 1.0)
    if loadings.max() >= 1.0 - 1e-9 or np.abs(built - r).max() > 1e-12:
        return None
    return loadings


def _one_factor(b: FloatArray, loadings: FloatArray) -> float:
    x = 9.0 * _NODES
    w = 9.0 * _WEIGHTS * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    rest = np.sqrt(1.0 - loadings**2)
    return float(w @ np.prod(ndtr((b - np.outer(x, loadings)) / rest), axis=1))


def equicoordinate_critical_value(correlation: ArrayLike, alpha: float) -> float:
    """The c with P(max Z_j > c) = alpha for Z normal with mean zero (one-sided)."""
    r = np.asarray(correlation, dtype=float)
    alpha = between("alpha", alpha, 0.0, 1.0)
    low, high = float(-ndtri(alpha)), float(-ndtri(alpha / len(r)))
    if high - low < 1e-13:
        return low
    return find_root(
        lambda c: 1.0 - normal_orthant(np.full(len(r), c), r) - alpha,
        0.5 * (low + high),
        0.1 * (high - low),
        low - 1e-9,
        high + 1e-9,
        ftol=1e-12,
        what="the critical value",
    )


def dunnett_critical_value(
    n_comparisons: int,
    alpha: float = 0.025,
    df: float = np.inf,
    allocation: float | Sequence[float] = 1.0,
    sided: int = 1,
) -> float:
    """Critical value for several arms against one control (Dunnett 1955).

    allocation: treatment patients per control patient, one number or one an arm (1 gives the
        correlation of one half). df: error degrees of freedom, infinite for known variance.

    Examples:
        >>> import trial_sim as ts
        >>> round(ts.dunnett_critical_value(3, alpha=0.025), 3)
        2.349
    """
    if not (float(n_comparisons).is_integer() and n_comparisons >= 1):
        raise ValueError(f"n_comparisons must be a whole number above 0, got {n_comparisons!r}")
    if sided not in (1, 2):
        raise ValueError(f"sided must be 1 or 2, got {sided!r}")
    alpha = between("alpha", alpha, 0.0, 0.5 * sided)
    ratios = np.broadcast_to(np.asarray(allocation, dtype=float), (int(n_comparisons),))
    if (ratios <= 0).any() or not np.isfinite(ratios).all():
        raise ValueError(f"allocation must be above 0, got {allocation!r}")
    loadings = np.sqrt(ratios / (1.0 + ratios))
    rest = np.sqrt(1.0 - loadings**2)
    x = 9.0 * _NODES
    w = 9.0 * _WEIGHTS * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    scale, mass = np.ones(1), np.ones(1)
    if np.isfinite(positive("df", df) if df != np.inf else df):
        from scipy.stats import chi2

        low, high = np.sqrt(chi2.ppf([1e-14, 1 - 1e-14], df) / df)
        scale = low + 0.5 * (high - low) * (_NODES + 1.0)
        mass = 0.5 * (high - low) * _WEIGHTS * chi2.pdf(df * scale**2, df) * 2.0 * df * scale

    def missed(c: float) -> float:
        total = 0.0
        for s, m in zip(scale, mass):
            inside = ndtr((c * s - np.outer(x, loadings)) / rest)
            if sided == 2:
                inside = inside - ndtr((-c * s - np.outer(x, loadings)) / rest)
            total += m * float(w @ np.prod(inside, axis=1))
        return 1.0 - total - alpha

    return find_root(missed, 2.2, 0.2, 0.0, 1e4, ftol=1e-12, what="Dunnett's critical value")


@dataclass(frozen=True)
class GraphicalTest:
    """Outcome of a graphical multiple-testing procedure.

    adjusted_p: adjusted p-value of each hypothesis. rejected: at the overall alpha. order: indices
    of the hypotheses in the order of the sequentially rejective steps.
    """

    adjusted_p: tuple[float, ...]
    rejected: tuple[bool, ...]
    order: tuple[int, ...]
    alpha: float


def graphical_test(
    p_values: ArrayLike,
    weights: ArrayLike,
    transitions: ArrayLike,
    alpha: float = 0.025,
    test: str = "bonferroni",
) -> GraphicalTest:
    """Graphical procedure of Bretz, Maurer, Brannath & Posch (2009) for several hypotheses.

    p_values: (m,). weights: (m,) shares of alpha, sum at most 1. transitions: (m, m), row i says
    where the alpha of hypothesis i goes when it is rejected; zero diagonal, row sums at most 1.
    test: of the intersections: "bonferroni", or "simes" (the closed test of all of them, up to 12
    hypotheses; its order is that of the adjusted p-values), for p-values not negatively dependent.

    Examples:
        >>> import trial_sim as ts
        >>> result = ts.graphical_test(
        ...     [0.01, 0.02], weights=[0.5, 0.5], transitions=[[0, 1], [1, 0]]
        ... )
        >>> result.rejected
        (True, True)
    """
    p = _row("p_values", p_values)
    w = _row("weights", weights).copy()
    g = np.array(transitions, dtype=float)
    m = len(p)
    alpha = between("alpha", alpha, 0.0, 1.0)
    if len(w) != m or g.shape != (m, m):
        raise ValueError(
            f"{m} p_values need {m} weights and {m} by {m} transitions, got {len(w)} and {g.shape}"
        )
    if not np.isfinite(g).all() or (g < 0).any() or (g.sum(axis=1) > 1 + 1e-12).any():
        raise ValueError("transitions must be finite, not negative, and rows sum to at most 1")
    if np.diag(g).any():
        raise ValueError("transitions must have a zero diagonal")
    if w.sum() > 1 + 1e-12:
        raise ValueError(f"weights must sum to at most 1, got {w.sum():g}")
    if (p > 1).any():
        raise ValueError(f"p_values must be at most 1, got {p.tolist()}")
    one_of("test", test, ("bonferroni", "simes"))
    if test == "simes":
        if m > 12:
            raise ValueError(f"test 'simes' takes up to 12 hypotheses, got {m}: use 'bonferroni'")
        closed = _closed_simes(p, w, g)
        ranked = tuple(int(i) for i in np.argsort(closed, kind="stable"))
        falls = tuple(bool(x <= alpha * (1 + 1e-12)) for x in closed)
        return GraphicalTest(tuple(closed.tolist()), falls, ranked, alpha)
    left = list(range(m))
    adjusted = np.ones(m)
    order: list[int] = []
    reached = 0.0
    while left:
        ratio = [p[i] / w[i] if w[i] > 0 else np.inf for i in left]
        best = left[int(np.argmin(ratio))]
        smallest = min(ratio)
        if not np.isfinite(smallest):
            break
        reached = max(reached, min(smallest, 1.0))
        adjusted[best] = reached
        order.append(best)
        left.remove(best)
        w, g = _pass_on(best, left, w, g)
    rejected = tuple(bool(x <= alpha * (1 + 1e-12)) for x in adjusted)
    return GraphicalTest(tuple(adjusted.tolist()), rejected, tuple(order), alpha)


def _closed_simes(p: FloatArray, w: FloatArray, g: FloatArray) -> FloatArray:
    """Adjusted p-values (m,): the largest weighted Simes p-value of the intersections of each."""
    m = len(p)
    adjusted = np.zeros(m)
    for code in range(1, 1 << m):
        members = [i for i in range(m) if code >> i & 1]
        left, weights, graph = list(range(m)), w, g
        for gone in range(m):
            if gone not in members:
                left.remove(gone)
                weights, graph = _pass_on(gone, left, weights, graph)
        reached = [float(weights[[j for j in members if p[j] <= p[i]]].sum()) for i in members]
        value = min((p[i] / r for i, r in zip(members, reached) if r > 0), default=1.0)
        adjusted[members] = np.maximum(adjusted[members], min(value, 1.0))
    return adjusted


def _pass_on(
    gone: int, left: list[int], w: FloatArray, g: FloatArray
) -> tuple[FloatArray, FloatArray]:
    weights, graph = w.copy(), np.zeros_like(g)
    for i in left:
        weights[i] = w[i] + w[gone] * g[gone, i]
        for j in left:
            back = g[i, gone] * g[gone, i]
            if i != j and back < 1.0:
                graph[i, j] = (g[i, j] + g[i, gone] * g[gone, j]) / (1.0 - back)
    weights[gone] = 0.0
    return weights, graph


def adjust_p_values(p_values: ArrayLike, method: str = "holm") -> NDArray[np.float64]:
    """Adjusted p-values (m,): "bonferroni", "holm", "hochberg", "hommel" or "fixed_sequence".

    Raises:
        ValueError: a value outside [0, 1], with its position; an unknown method.

    Examples:
        >>> import trial_sim as ts
        >>> ts.adjust_p_values([0.01, 0.04, 0.03], method="holm").round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = probabilities("p_values", p_values)
    m = len(p)
    one_of("method", method, ("bonferroni", "holm", "hochberg", "hommel", "fixed_sequence"))
    if method == "bonferroni":
        return np.minimum(p * m, 1.0)
    if method == "fixed_sequence":
        return np.maximum.accumulate(p)
    order = np.argsort(p, kind="stable")
    ranked, out = p[order], np.empty(m)
    if method == "holm":
        out[order] = np.minimum(np.maximum.accumulate(ranked * (m - np.arange(m))), 1.0)
        return out
    if method == "hochberg":
        steps = ranked * (m - np.arange(m))
        out[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
        return out
    adjusted = np.full(m, np.min(m * ranked / np.arange(1, m + 1)))  # Wright (1992)
    for size in range(m - 1, 1, -1):
        tail = np.arange(m - size + 1, m)
        bound = np.min(size * ranked[tail] / np.arange(2, size + 1))
        head = np.arange(m - size + 1)
        adjusted[head] = np.maximum(adjusted[head], np.minimum(bound, size * ranked[head]))
        adjusted[tail] = np.maximum(adjusted[tail], adjusted[m - size])
    out[order] = np.minimum(np.maximum(adjusted, ranked), 1.0)
    return out


def probabilities(name: str, values: Any) -> FloatArray:
    """Numbers (m,) between 0 and 1; an error that names the first other one."""
    row = _row(name, values)
    if (row > 1).any():
        place = int((row > 1).argmax())
        raise ValueError(f"{name} must be between 0 and 1, got {row[place]:g} at position {place}")
    return row


def _row(name: str, values: Any) -> FloatArray:
    row = np.asarray(values, dtype=float)
    if row.ndim != 1 or row.size == 0:
        raise ValueError(f"{name} must hold numbers in one row, got shape {row.shape}")
    if not np.isfinite(row).all() or (row < 0).any():
        raise ValueError(f"{name} must be finite and not negative, got {row.tolist()}")
    return row
