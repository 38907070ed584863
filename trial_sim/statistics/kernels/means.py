"""Compiled kernels for means: least squares of one trial, t tests and ANCOVA of batches."""

import math

import numpy as np
from numba import njit

from trial_sim.numerics.small_matrices import invert


@njit(cache=True, nogil=True)
def linear_model(outcome, design):
    """Least squares by the normal equations of scaled columns.

    Args:
        outcome: (n,) float64.
        design: (n, p) float64 with p small; treatment in column 0, a column of ones elsewhere.

    Returns:
        (coefficient of column 0, its standard error); (0, 0) where the columns are collinear.
    """
    n, p = design.shape
    cross = np.zeros((p, p))
    right = np.zeros(p)
    inverse = np.empty((p, p))
    centre = outcome.mean()
    for i in range(n):
        y = outcome[i] - centre
        for a in range(p):
            right[a] += design[i, a] * y
            for b in range(a + 1):
                cross[a, b] += design[i, a] * design[i, b]
    scale = np.ones(p)
    for a in range(p):
        if cross[a, a] > 0.0:
            scale[a] = 1.0 / math.sqrt(cross[a, a])
    for a in range(p):
        for b in range(a + 1):
            cross[a, b] *= scale[a] * scale[b]
            cross[b, a] = cross[a, b]
        right[a] *= scale[a]
    if not invert(cross, inverse):
        return 0.0, 0.0
    beta = (inverse @ right) * scale
    rss = 0.0
    for i in range(n):
        fitted = centre
        for a in range(p):
            fitted += design[i, a] * beta[a]
        rss += (outcome[i] - fitted) ** 2
    return beta[0], math.sqrt(inverse[0, 0] * rss / (n - p)) * scale[0]
