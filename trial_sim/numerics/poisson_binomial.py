"""The exact distribution of a sum of independent 0/1 variables with probabilities of their own."""

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(nogil=True, cache=True)
def _convolve(p, pmf):
    """Fill ``pmf`` (n + 1,) with the distribution of the sum; ``p`` (n,)."""
    n = p.shape[0]
    pmf[:] = 0.0
    pmf[0] = 1.0
    low = 0
    high = 0
    for i in range(n):
        q = 1.0 - p[i]
        high += 1
        pmf[high] = pmf[high - 1] * p[i]
        for k in range(high - 1, low, -1):
            pmf[k] = pmf[k] * q + pmf[k - 1] * p[i]
        pmf[low] *= q
        # Mass this small can no longer reach the twelfth digit of anything.
        while low < high and pmf[low] < 1e-30:
            pmf[low] = 0.0
            low += 1
        while high > low and pmf[high] < 1e-30:
            pmf[high] = 0.0
            high -= 1


@nb.njit(nogil=True, cache=True)
def tails(p, wanted, out):
    """Chance that each row's sum reaches ``wanted``.

    Args:
        p: (m, n) probabilities. wanted: whole number. out: (m,), filled.
    """
    m, n = p.shape
    pmf = np.empty(n + 1)
    for r in range(m):
        if wanted <= 0:
            out[r] = 1.0
        elif wanted > n:
            out[r] = 0.0
        else:
            _convolve(p[r], pmf)
            above = 0.0
            below = 0.0
            for k in range(n + 1):
                if k >= wanted:
                    above += pmf[k]
                else:
                    below += pmf[k]
            out[r] = above if above < 0.5 else 1.0 - below


def poisson_binomial_pmf(probabilities: np.ndarray) -> np.ndarray:
    """Distribution of the number of successes, (n + 1,), by convolution one variable at a time.

    Args:
        probabilities: (n,), each in [0, 1].

    Raises:
        ValueError: for probabilities outside [0, 1] or NaN.
    """
    p = np.ascontiguousarray(probabilities, dtype=float).ravel()
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("probabilities must be in [0, 1]")
    pmf = np.empty(len(p) + 1)
    _convolve(p, pmf)
    return pmf
