"""Compiled tests of two proportions from counts: pooled z, Farrington–Manning, Fisher."""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def pooled_z(x0, n0, x1, n1):
    """(p₁ − p₀) over its pooled standard error; 0 where nobody or everybody responded."""
    pooled = (x0 + x1) / (n0 + n1)
    variance = pooled * (1.0 - pooled) * (1.0 / n0 + 1.0 / n1)
    if variance <= 0.0:
        return 0.0
    return (x1 / n1 - x0 / n0) / math.sqrt(variance)


@njit(cache=True, nogil=True)
def farrington_manning_z(x0, n0, x1, n1, margin):
    """Score z of p₁ − p₀ > −margin; infinite or NaN where the null variance is 0.

    The restricted estimates solve the cubic of Farrington and Manning (1990), in closed form.
    """
    if margin == 0.0:
        pooled = (x0 + x1) / (n0 + n1)
        variance = pooled * (1.0 - pooled) * (1.0 / n0 + 1.0 / n1)
        return (x1 / n1 - x0 / n0) / math.sqrt(variance) if variance > 0.0 else np.nan
    p1 = x1 / n1
    p0 = x0 / n0
    s = -margin  # difference p₁ − p₀ under the null hypothesis
    theta = n0 / n1
    a = 1.0 + theta
    b = -(1.0 + theta + p1 + theta * p0 + s * (theta + 2.0))
    c = s * s + s * (2.0 * p1 + theta + 1.0) + p1 + theta * p0
    d = -p1 * s * (1.0 + s)
    v = b**3 / (3.0 * a) ** 3 - b * c / (6.0 * a * a) + d / (2.0 * a)
    u = math.copysign(math.sqrt(max(b * b / (3.0 * a) ** 2 - c / (3.0 * a), 0.0)), v)
    ratio = 1.0 if u == 0.0 else min(max(v / u**3, -1.0), 1.0)
    w = (math.pi + math.acos(ratio)) / 3.0
    q1 = 2.0 * u * math.cos(w) - b / (3.0 * a)
    q1 = min(max(q1, max(0.0, s)), min(1.0, 1.0 + s))
    q0 = q1 - s
    variance = q1 * (1.0 - q1) / n1 + q0 * (1.0 - q0) / n0
    if variance <= 1e-15:
        return np.nan
    return (p1 - p0 - s) / math.sqrt(variance)


@njit(cache=True, nogil=True)
def fisher_p(x0, n0, x1, n1):
    """One-sided Fisher p-value: P(X₁ ≥ x₁) given the margins."""
    total = x0 + x1
    high = min(total, n1)
    n = n0 + n1
    fixed = (
        math.lgamma(n1 + 1.0)
        + math.lgamma(n0 + 1.0)
        + math.lgamma(total + 1.0)
        + math.lgamma(n - total + 1.0)
        - math.lgamma(n + 1.0)
    )
    x = x1
    mass = math.exp(
        fixed
        - math.lgamma(x + 1.0)
        - math.lgamma(n1 - x + 1.0)
        - math.lgamma(total - x + 1.0)
        - math.lgamma(n0 - total + x + 1.0)
    )
    tail = mass
    while x < high:
        mass *= (n1 - x) * (total - x) / ((x + 1.0) * (n0 - total + x + 1.0))
        x += 1
        tail += mass
        if mass < 1e-18 * tail:
            break
    return min(tail, 1.0)
