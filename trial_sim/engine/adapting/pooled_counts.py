"""Dispersion of counts of all arms together, trial by trial, in a compiled loop."""

# Loop counters become NumPy integers inside compiled code, which mypy cannot follow.
# mypy: disable-error-code="assignment"

from __future__ import annotations

import numba as nb
import numpy as np

from trial_sim.statistics.kernels.counts import negative_binomial


@nb.njit(nogil=True, cache=True, error_model="numpy")
def pooled_dispersions(response, known, out):
    """Dispersion k of one negative binomial law of all known counts (Friede & Schmidli 2010).

    Args:
        response, known: (n_trials, n) counts, and whether each is known yet.
        out: (n_trials,), filled; 0 where the counts vary no more than Poisson ones, NaN where none
            is known.
    """
    beta, covariance = np.empty(1), np.empty((1, 1))
    for t in range(response.shape[0]):
        count = response[t][known[t]]
        if count.size == 0:
            out[t] = np.nan
            continue
        n = count.size
        out[t], _ = negative_binomial(count, np.ones(n), np.ones((n, 1)), beta, covariance)
