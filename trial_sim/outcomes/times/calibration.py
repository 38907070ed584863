"""Calibration of parametric survival models: the expected Cox estimate is made the real one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from trial_sim.outcomes.base import FitData
from trial_sim.statistics.arm_differences import log_hazard_ratio

M = TypeVar("M", bound=Any)
GRID = 240  # points of the follow-up


def calibrated(
    model: M, times: np.ndarray, event: np.ndarray, data: FitData, direction: float
) -> M:
    """Move each arm's level until the expected Cox estimate is the real one (secant steps).

    Args:
        model: a `parametric.ParametricModel`. times, event: (n,).
        direction: 1 where a higher level is a higher hazard, else -1.
    """
    start = None if model.entry is None else model.entry.times(data.codes)
    for a in range(1, data.n_arms):
        pair = (data.arm == 0) | (data.arm == a)
        late = None if start is None else start[pair]
        real, _ = log_hazard_ratio(times[pair], event[pair] > 0, data.arm[pair] == a, late)
        if not np.isfinite(real):
            continue
        best, least, step = model, np.inf, 1.0
        for _ in range(12):
            gap = real - expected_log_hazard_ratio(model, a, data)
            if abs(gap) < least:
                best, least = model, abs(gap)
            else:
                step /= 2  # a level that overshoots
            nudge = model.nudge.copy()
            nudge[a] += direction * step * gap
            model = replace(model, nudge=nudge)
            if abs(gap) < 1e-4:
                break
        else:
            model = best
    return model


def expected_log_hazard_ratio(model: Any, a: int, data: FitData) -> float:
    """Solution of the expected Cox score of arm ``a`` against the control on a fine grid."""
    p = model.draw(None)
    grid = np.linspace(0, model.horizon, GRID + 1)
    middle = (grid[1:] + grid[:-1]) / 2
    share = [float((data.arm == k).mean()) for k in (0, a)]
    at_risk, deaths = [], []
    for k, part in zip((0, a), share):
        index = np.full(len(model.reference), k)
        eta = model.predictor(model.reference, index, p)
        spent = model.hazard_at(grid[None, :], eta[:, None], index, p)
        if model.entry is None:
            alive = np.exp(-spent).mean(axis=0)
            died = -np.diff(alive)
            alive = (alive[:-1] + alive[1:]) / 2
        else:
            start = model.entry.times(model.reference)
            before = model.hazard_at(start, eta, index, p)
            alone = np.exp(np.minimum(before[:, None] - spent, 0.0)) * (start[:, None] <= grid)
            alive = ((alone[:, :-1] + alone[:, 1:]) / 2).mean(axis=0)
            died = np.maximum(alone[:, :-1] - alone[:, 1:], 0.0).mean(axis=0)
        followed = model.follow_up.still_followed(model.reference, middle, k, p.censoring)
        at_risk.append(part * followed * alive)
        deaths.append(part * followed * died)
    total, beta = deaths[0] + deaths[1], 0.0
    for _ in range(60):
        weight = np.exp(beta) * at_risk[1]
        chance = weight / np.maximum(weight + at_risk[0], 1e-300)
        score = deaths[1].sum() - (total * chance).sum()
        information = (total * chance * (1 - chance)).sum()
        step = float(np.clip(score / max(information, 1e-12), -1, 1))
        beta += step
        if abs(step) < 1e-9:
            break
    return beta
