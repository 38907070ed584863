"""Piecewise-constant hazards by arm: times of events, for batches of trials.

The last piece has no end. Hazards that end at a last knot, beyond which nothing is known, are those
of fitted models (``outcomes.hazard_grid``); closed forms of a planned trial are in
``sample_size.average_hazard``.
"""

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(nogil=True, cache=True, error_model="numpy")
def invert_constant(exponential, arm, hazards, out):
    """Times with constant hazards: ``exponential / hazards[arm]``; inf where the hazard is 0."""
    n_trials, n = exponential.shape
    for t in range(n_trials):
        for i in range(n):
            out[t, i] = exponential[t, i] / hazards[arm[t, i]]


@nb.njit(nogil=True, cache=True, error_model="numpy")
def invert_piecewise(exponential, arm, starts, hazards, out):
    """Times at which the cumulative hazard of the patient's arm reaches ``exponential``.

    Args:
        exponential: (n_trials, n) unit exponentials.
        arm: (n_trials, n) integers, rows of ``hazards``.
        starts: (m,) start of each piece, the first 0.
        hazards: (n_arms, m) hazard in each piece.
        out: (n_trials, n), filled; inf where the cumulative hazard never gets there. May be
            ``exponential``.
    """
    n_trials, n = exponential.shape
    m = starts.shape[0]
    n_arms = hazards.shape[0]
    cumulative = np.zeros((n_arms, m))
    inverse = np.empty((n_arms, m))
    for a in range(n_arms):
        for k in range(m):
            if k > 0:
                width = starts[k] - starts[k - 1]
                cumulative[a, k] = cumulative[a, k - 1] + hazards[a, k - 1] * width
            inverse[a, k] = 1.0 / hazards[a, k]
    for t in range(n_trials):
        for i in range(n):
            a = arm[t, i]
            e = exponential[t, i]
            k = m - 1
            while k > 0 and cumulative[a, k] > e:
                k -= 1
            # Pieces of zero hazard hold no time: the piece is left at its start by a tie.
            while k > 0 and hazards[a, k] == 0.0 and cumulative[a, k] == e:
                k -= 1
            out[t, i] = starts[k] + (e - cumulative[a, k]) * inverse[a, k]


def times_from_exponentials(
    exponential: np.ndarray, arm: np.ndarray, starts: np.ndarray, hazards: np.ndarray
) -> np.ndarray:
    """Invert the cumulative hazard of each patient's arm.

    Args:
        exponential: (n_trials, n_patients) unit exponentials, overwritten by the times.
        arm: (n_trials, n_patients) int8, rows of ``hazards``.
        starts: (m,) start of each piece, the first 0, months.
        hazards: (n_arms, m), events per month.

    Returns:
        ``exponential``, now months; inf where the event never happens.
    """
    if len(starts) == 1:
        invert_constant(exponential, arm, np.ascontiguousarray(hazards[:, 0]), exponential)
    else:
        invert_piecewise(exponential, arm, starts, hazards, exponential)
    return exponential
