"""The k-th smallest of many numbers, compiled."""

from __future__ import annotations

import numba as nb
import numpy as np

_SMALL_BIN = 24


@nb.njit(nogil=True, cache=True, error_model="numpy")
def kth_smallest(values, ranks, out):
    """The ``ranks[l]``-th smallest finite value of each row, inf where a row has fewer.

    Values are counted into equal bins first, so that only the bin that holds a rank is sorted.

    Args:
        values: (n_trials, n) float64, inf where there is none.
        ranks: (n_looks,) integers from 1, ascending.
        out: (n_trials, n_looks), filled.
    """
    n_trials, n = values.shape
    n_looks = ranks.shape[0]
    n_bins = max(n, 16)
    ends = np.empty(n_bins + 1, np.int64)
    bin_of = np.empty(n, np.int64)
    held = np.empty(n)
    for t in range(n_trials):
        low = np.inf
        high = -np.inf
        n_finite = 0
        for i in range(n):
            v = values[t, i]
            if v < np.inf:
                low = min(low, v)
                high = max(high, v)
                n_finite += 1
        if n_finite == 0:
            out[t, :] = np.inf
            continue
        scale = 0.0
        if high > low:
            scale = (n_bins - 1) / (high - low)
            if not scale < np.inf:  # so close together that the division overflows: one bin
                scale = 0.0
        ends[:] = 0
        for i in range(n):
            v = values[t, i]
            if v < np.inf:
                b = int((v - low) * scale)
                bin_of[i] = b
                ends[b] += 1
            else:
                bin_of[i] = -1
        below = 0
        b = 0
        for k in range(n_looks):
            rank = ranks[k]
            if rank > n_finite:
                out[t, k] = np.inf
                continue
            while below + ends[b] < rank:
                below += ends[b]
                b += 1
            m = 0
            for i in range(n):
                if bin_of[i] == b:
                    held[m] = values[t, i]
                    m += 1
            wanted = rank - below - 1
            if m <= _SMALL_BIN:
                for i in range(1, m):
                    v = held[i]
                    j = i - 1
                    while j >= 0 and held[j] > v:
                        held[j + 1] = held[j]
                        j -= 1
                    held[j + 1] = v
            else:
                held[:m] = np.sort(held[:m])
            out[t, k] = held[wanted]
