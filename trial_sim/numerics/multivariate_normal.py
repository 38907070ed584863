"""Deterministic normal probabilities in five and six dimensions, by the recursion of Plackett.

One to four dimensions are compiled in ``numerics.normal_kernels``; any number of dimensions, for
critical values of several comparisons, is ``sequential.multiplicity.normal_orthant``.
"""

from math import expm1, log1p

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from trial_sim.numerics.normal_kernels import FINE_PATH, multivariate_normal_cdf


def _path_integral(limit: NDArray[np.float64], correlation: NDArray[np.float64]) -> float:
    """P(Z ≤ limit) minus the same under independence (Plackett 1954)."""
    k = limit.size
    total = 0.0
    for i in range(k):
        for j in range(i):
            rest = [m for m in range(k) if m not in (i, j)]
            pair = [i, j]
            for t, weight in FINE_PATH:
                moved = t * correlation
                np.fill_diagonal(moved, 1.0)
                rho = moved[i, j]
                inside = 1.0 - rho * rho
                square = limit[i] ** 2 + limit[j] ** 2 - 2.0 * rho * limit[i] * limit[j]
                density = np.exp(-0.5 * square / inside) / (2.0 * np.pi * np.sqrt(inside))
                slope = moved[np.ix_(rest, pair)] @ np.linalg.inv(moved[np.ix_(pair, pair)])
                covariance = moved[np.ix_(rest, rest)] - slope @ moved[np.ix_(pair, rest)]
                spread = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
                scaled = (limit[rest] - slope @ limit[pair]) / spread
                inner = covariance / np.outer(spread, spread)
                np.clip(inner, -1.0, 1.0, out=inner)
                np.fill_diagonal(inner, 1.0)
                value = multivariate_normal_cdf(scaled, inner, FINE_PATH)
                total += weight * correlation[i, j] * density * value
    return total


def maximum_tail_many(value: float, correlation: NDArray[np.float64]) -> float:
    """P(max Z > value) for five or six standard normals with the correlation matrix given."""
    k = correlation.shape[0]
    upper = float(ndtr(-value))
    independent = -expm1(k * log1p(-upper))
    tail = independent - _path_integral(np.full(k, value), correlation)
    return float(min(max(tail, upper), 1.0))
