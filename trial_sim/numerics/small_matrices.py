"""Compiled inverse of a small symmetric positive definite matrix, by Gauss-Jordan elimination."""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def invert_block(matrix, size, inverse, least):
    """Inverse of the leading block; its log determinant, or NaN where it is not positive definite.

    Elimination without pivoting; on the Cholesky factor it would be no faster at these sizes.

    Args:
        matrix: (p, p) float64, p at least ``size``.
        inverse: (q, q) float64, q at least ``size``; its leading block is filled.
        least: least pivot, in parts of the diagonal, of a matrix that counts as positive definite.
    """
    work = matrix[:size, :size].copy()
    for a in range(size):
        for b in range(size):
            inverse[a, b] = 1.0 if a == b else 0.0
    log_determinant = 0.0
    for a in range(size):
        pivot = work[a, a]
        if not pivot > least * matrix[a, a] or pivot <= 0.0:
            return np.nan
        log_determinant += math.log(pivot)
        for b in range(size):
            work[a, b] /= pivot
            inverse[a, b] /= pivot
        for c in range(size):
            if c != a:
                factor = work[c, a]
                if factor != 0.0:
                    for b in range(size):
                        work[c, b] -= factor * work[a, b]
                        inverse[c, b] -= factor * inverse[a, b]
    return log_determinant


@njit(cache=True, nogil=True)
def invert(matrix, inverse):
    """Fill ``inverse`` (p, p); False where ``matrix`` (p, p) is not positive definite."""
    return not np.isnan(invert_block(matrix, matrix.shape[0], inverse, 1e-11))
