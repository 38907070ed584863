"""Real data in the shape that the statistics take, for the tests of trial_sim.statistics."""

import numpy as np

from trial_sim.qualification.real_data import colon, colon_two_arms, gehan, table, veteran

__all__ = ["colon", "colon_two_arms", "gehan", "survival_trials", "table", "veteran", "within"]


def survival_trials(
    n_trials: int, n: int, seed: int, ratio: float = 1.0, grid: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulated trials, 1:1, exponential with median 12, uniform censoring on (6, 36).

    Returns (n_trials, n) duration, event, group; ``grid`` rounds times up to make ties.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    group = np.tile(np.arange(n) % 2, (n_trials, 1)).astype(np.int8)
    time = rng.exponential(12 / np.log(2), (n_trials, n)) / np.where(group == 1, ratio, 1.0)
    censor = rng.uniform(6, 36, (n_trials, n))
    duration = np.minimum(time, censor)
    if grid:
        duration = np.ceil(duration / grid) * grid
    return duration, time <= censor, group


def within(rate: float, expected: float, n_trials: int, limit: float = 4.0) -> bool:
    """Whether a simulated rate lies within ``limit`` Monte-Carlo standard errors."""
    return abs(rate - expected) <= limit * (expected * (1 - expected) / n_trials) ** 0.5
