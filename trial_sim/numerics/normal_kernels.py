"""Compiled normal probabilities: univariate, bivariate, and of the maximum of up to four values.

Bivariate probabilities come from Owen's T function (Owen 1956), integrated by Gauss–Legendre
quadrature. Three and four dimensions follow Plackett's (1954) identity: along the path t·R from
independence to the wanted correlation R, the derivative of the probability in each correlation is a
bivariate density times a probability with two dimensions fewer. The substitution t = 1 − (1 − u)²
removes the singular end point of rank-deficient R (the four usual Fleming–Harrington weights are
linearly dependent).
"""

import math

import numpy as np
from numba import njit

# eight nodes on (0, 1): Owen's T to 3e-12
_x, _w = np.polynomial.legendre.leggauss(8)
_T_NODES, _T_WEIGHTS = 0.5 + 0.5 * _x, 0.5 * _w


def path_nodes(n):
    """(n, 2) quadrature nodes and weights on the path; t = 1 − (1 − u)² with u Gauss–Legendre."""
    x, w = np.polynomial.legendre.leggauss(n)
    rest = 0.5 - 0.5 * x
    return np.column_stack([1.0 - rest**2, w * rest])


# Errors for the four usual Fleming–Harrington weights at 2.0 and at .5: 12 nodes 2e-7 and 6e-6,
# 128 nodes below 1e-9.
COARSE_PATH = path_nodes(12)
FINE_PATH = path_nodes(128)


@njit(cache=True, nogil=True)
def normal_cdf(x):
    """Standard normal distribution function, accurate in both tails."""
    return 0.5 * math.erfc(-x * 0.7071067811865476)


@njit(cache=True, nogil=True)
def owen_t(h, a):
    """Owen's T function, (1/2π) ∫₀ᵃ exp(−h²(1 + x²)/2)/(1 + x²) dx."""
    h = abs(h)
    sign = 1.0
    if a < 0.0:
        sign = -1.0
        a = -a
    if a > 1.0:
        upper = 0.5 * math.erfc(h * 0.7071067811865476)
        if np.isinf(a):
            return sign * 0.5 * upper
        scaled = 0.5 * math.erfc(h * a * 0.7071067811865476)
        # T(h, a) + T(ah, 1/a) = (Q(h) + Q(ah))/2 − Q(h) Q(ah), with Q the upper tail
        return sign * (0.5 * (upper + scaled) - upper * scaled - _owen_t_small(h * a, 1.0 / a))
    return sign * _owen_t_small(h, a)


@njit(cache=True, nogil=True)
def _owen_t_small(h, a):
    """Owen's T for h ≥ 0 and 0 ≤ a ≤ 1."""
    half = -0.5 * h * h
    if half < -745.0:
        return 0.0
    total = 0.0
    for i in range(_T_NODES.shape[0]):
        x = a * _T_NODES[i]
        square = 1.0 + x * x
        total += _T_WEIGHTS[i] * math.exp(half * square) / square
    return total * a * 0.15915494309189535


@njit(cache=True, nogil=True)
def bivariate_normal_cdf(h, k, rho):
    """P(X ≤ h, Y ≤ k) for standard normal X, Y of correlation rho (including ±1)."""
    rest = 1.0 - rho * rho
    if rest <= 1e-15:
        if rho > 0.0:
            return normal_cdf(min(h, k))
        return max(0.0, normal_cdf(h) + normal_cdf(k) - 1.0)
    if h == 0.0 and k == 0.0:
        return 0.25 + math.asin(rho) * 0.15915494309189535
    root = math.sqrt(rest)
    if h == 0.0:
        first = math.copysign(0.25, k)
    else:
        first = owen_t(h, (k - rho * h) / (h * root))
    if k == 0.0:
        second = math.copysign(0.25, h)
    else:
        second = owen_t(k, (h - rho * k) / (k * root))
    value = 0.5 * (normal_cdf(h) + normal_cdf(k)) - first - second
    if h * k < 0.0 or (h * k == 0.0 and h + k < 0.0):
        value -= 0.5
    return min(max(value, 0.0), 1.0)


@njit(cache=True, nogil=True)
def bivariate_normal_cdfs(h, k, rho):
    """:func:`bivariate_normal_cdf` of many limits, h and k (n,)."""
    out = np.empty(h.shape[0])
    for i in range(h.shape[0]):
        out[i] = bivariate_normal_cdf(h[i], k[i], rho)
    return out


@njit(cache=True, nogil=True)
def _path_integral(limit, correlation, path):
    """P(all Z ≤ limit) minus the same under independence, for 3 or 4 dimensions (Plackett 1954)."""
    k = limit.shape[0]
    total = 0.0
    for i in range(k):
        for j in range(i):
            rho_end = correlation[i, j]
            if rho_end == 0.0:
                continue
            p = -1
            q = -1
            for other in range(k):  # the one or two dimensions that remain
                if other != i and other != j:
                    if p < 0:
                        p = other
                    else:
                        q = other
            hi = limit[i]
            hj = limit[j]
            for node in range(path.shape[0]):
                t = path[node, 0]
                rho = t * rho_end
                rest = 1.0 - rho * rho
                density = (
                    math.exp(-0.5 * (hi * hi + hj * hj - 2.0 * rho * hi * hj) / rest)
                    * 0.15915494309189535
                    / math.sqrt(rest)
                )
                pi = t * correlation[p, i]
                pj = t * correlation[p, j]
                to_i = (pi - rho * pj) / rest
                to_j = (pj - rho * pi) / rest
                variance_p = max(1.0 - to_i * pi - to_j * pj, 1e-300)
                scaled_p = (limit[p] - to_i * hi - to_j * hj) / math.sqrt(variance_p)
                if q < 0:
                    inner = normal_cdf(scaled_p)
                else:
                    qi = t * correlation[q, i]
                    qj = t * correlation[q, j]
                    from_i = (qi - rho * qj) / rest
                    from_j = (qj - rho * qi) / rest
                    variance_q = max(1.0 - from_i * qi - from_j * qj, 1e-300)
                    scaled_q = (limit[q] - from_i * hi - from_j * hj) / math.sqrt(variance_q)
                    joint = t * correlation[p, q] - to_i * qi - to_j * qj
                    joint /= math.sqrt(variance_p * variance_q)
                    inner = bivariate_normal_cdf(scaled_p, scaled_q, min(max(joint, -1.0), 1.0))
                total += path[node, 1] * rho_end * density * inner
    return total


@njit(cache=True, nogil=True)
def multivariate_normal_cdf(limit, correlation, path):
    """P(Z ≤ limit) for one to four standard normals; ``correlation`` may be rank-deficient.

    Args:
        limit: (k,) float64, k ≤ 4.
        correlation: (k, k) float64, no two statistics identical up to sign (|rho| < 1).
        path: `COARSE_PATH` or `FINE_PATH`.
    """
    k = limit.shape[0]
    if k == 1:
        return normal_cdf(limit[0])
    if k == 2:
        return bivariate_normal_cdf(limit[0], limit[1], correlation[0, 1])
    value = 1.0
    for i in range(k):
        value *= normal_cdf(limit[i])
    return min(max(value + _path_integral(limit, correlation, path), 0.0), 1.0)


@njit(cache=True, nogil=True)
def maximum_tail(value, correlation, path):
    """P(max Z > value) for one to four standard normals, small tails kept to relative accuracy.

    Args:
        value: the observed maximum.
        correlation: (k, k) float64, k ≤ 4, |rho| < 1 off the diagonal; may be rank-deficient.
        path: `COARSE_PATH` (fast) or `FINE_PATH`.
    """
    k = correlation.shape[0]
    upper = 0.5 * math.erfc(value * 0.7071067811865476)
    if k == 1:
        return upper
    if k == 2:
        rho = correlation[0, 1]
        # P(X > c, Y > c) = Q(c) − 2 T(c, sqrt((1 − ρ)/(1 + ρ))) for equal limits
        if rho >= 1.0 - 1e-15:
            return upper
        both = upper - 2.0 * owen_t(value, math.sqrt((1.0 - rho) / (1.0 + rho)))
        if rho <= -1.0 + 1e-15:
            both = 0.0 if value >= 0.0 else 2.0 * upper - 1.0
        return 2.0 * upper - both
    limit = np.full(k, value)
    independent = -math.expm1(k * math.log1p(-upper)) if upper < 1.0 else 1.0
    tail = independent - _path_integral(limit, correlation, path)
    return min(max(tail, upper), 1.0)


@njit(cache=True, nogil=True)
def max_combo_p(numerator, covariance, path):
    """Largest z of several weighted log-rank statistics and its one-sided p-value.

    Statistics of variance 0, and repeats of an earlier one (correlation 1), are left out.

    Args:
        numerator: (k,) float64; covariance: (k, k) float64, from `weighted_logrank_sorted`.
        path: `COARSE_PATH` or `FINE_PATH`.

    Returns:
        (largest z, P(max Z > z) under the null hypothesis); (0, 1) where nothing was seen. The
        p-value is NaN where more than four different statistics are left.
    """
    correlation, largest = distinct_statistics(numerator, covariance)
    if correlation.shape[0] == 0:
        return 0.0, 1.0
    if correlation.shape[0] > 4:
        return largest, np.nan
    return largest, maximum_tail(largest, correlation, path)


@njit(cache=True, nogil=True)
def distinct_statistics(numerator, covariance):
    """Correlation matrix of the different statistics of positive variance, and the largest z."""
    k = numerator.shape[0]
    kept = np.empty(k, np.int64)
    n_kept = 0
    largest = -np.inf
    for a in range(k):
        if covariance[a, a] <= 0.0:
            continue
        largest = max(largest, numerator[a] / math.sqrt(covariance[a, a]))
        repeated = False
        for c in range(n_kept):
            b = kept[c]
            product = covariance[a, a] * covariance[b, b]
            if covariance[a, b] >= (1.0 - 1e-10) * math.sqrt(product):
                repeated = True
        if not repeated:
            kept[n_kept] = a
            n_kept += 1
    correlation = np.empty((n_kept, n_kept))
    for c in range(n_kept):
        for d in range(n_kept):
            a = kept[c]
            b = kept[d]
            correlation[c, d] = covariance[a, b] / math.sqrt(covariance[a, a] * covariance[b, b])
    return correlation, largest
