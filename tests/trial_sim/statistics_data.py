"""Real data in the shape that the statistics take, for the tests of trial_sim.statistics."""

from functools import cache

import numpy as np
import pandas as pd

import trial_sim


def colon(etype: str = "death") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Obs (0) against Lev+5FU (1), 619 patients: duration, event, group."""
    data = colon_two_arms()
    return (
        data[f"{etype}_time"].to_numpy(),
        data[etype].to_numpy(),
        (data.rx == "Lev+5FU").to_numpy().astype(int),
    )


@cache
def colon_two_arms() -> pd.DataFrame:
    data = trial_sim.load_trial("colon").patients
    return data[data.rx != "Lev"].reset_index(drop=True)


@cache
def table(name: str) -> pd.DataFrame:
    return trial_sim.load_trial(name).patients


def veteran() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data = table("veteran")
    return data.time.to_numpy(), data.status.to_numpy(), (data.trt == "test").to_numpy().astype(int)


def gehan() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data = table("gehan")
    return (
        data.time.to_numpy(),
        data.event.to_numpy(),
        (data.treat == "6-MP").to_numpy().astype(int),
    )


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
