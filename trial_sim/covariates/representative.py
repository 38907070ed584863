"""A small table of synthetic patients whose means are those of many."""

from __future__ import annotations

import numpy as np

POOL, LEAST, MOST = 8, 2400, 16_000  # a pool of so many times the real patients, in bounds
SWAPS = 120


def pool_size(n_patients: int) -> int:
    """Synthetic patients to choose from: their means are off by a third of the error of those of
    ``n_patients`` real ones."""
    return min(max(POOL * n_patients, LEAST), MOST)


def representative(terms: np.ndarray, n: int) -> np.ndarray:
    """Places (n,) of rows of ``terms`` (m, p) whose means are those of all rows.

    Begins with the first rows; the row that takes the sum farthest from its place is exchanged for
    the one that brings it nearest, until none does.
    """
    spread = terms.std(axis=0)
    scaled = (terms - terms.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    chosen = np.arange(len(terms)) < n
    if chosen.all() or not terms.shape[1]:
        return np.arange(min(n, len(terms)))
    lengths = (scaled**2).sum(axis=1)
    excess = scaled[chosen].sum(axis=0)
    for _ in range(SWAPS):
        inside, outside = np.flatnonzero(chosen), np.flatnonzero(~chosen)
        away = lengths[inside] - 2 * scaled[inside] @ excess
        out = inside[int(away.argmin())]
        rest = excess - scaled[out]
        back = lengths[outside] + 2 * scaled[outside] @ rest
        come = outside[int(back.argmin())]
        new = rest + scaled[come]
        if not new @ new < (excess @ excess) * (1 - 1e-9):
            break
        chosen[out], chosen[come], excess = False, True, new
    return np.flatnonzero(chosen)
