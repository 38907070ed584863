"""Outcomes that are missing for some patients: a rate of gaps an arm, drawn with the rest."""

from __future__ import annotations

import numpy as np


def gap_counts(missing: np.ndarray, arm: np.ndarray, n_arms: int) -> np.ndarray:
    """(A, 2): patients with a gap and patients, by arm."""
    return np.array([[missing[arm == a].sum(), (arm == a).sum()] for a in range(n_arms)], float)


def draw_gaps(counts: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    """Gap rates (A,): observed, or a draw from their beta posterior (0 stays 0)."""
    rate = counts[:, 0] / counts[:, 1]
    if rng is None:
        return rate
    some = (counts[:, 0] > 0) & (counts[:, 0] < counts[:, 1])
    drawn = rng.beta(
        np.where(some, counts[:, 0], 1), np.where(some, counts[:, 1] - counts[:, 0], 1)
    )
    return np.where(some, drawn, rate)


def with_gaps(
    values: np.ndarray, arm: np.ndarray, rates: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """``values`` (n,) with gaps at the rate of each patient's arm."""
    if not rates.any():
        return values
    return np.where(rng.random(len(values)) < rates[arm], np.nan, values.astype(float))
