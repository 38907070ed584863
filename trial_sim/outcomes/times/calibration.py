"""Calibration of parametric survival models: the expected Cox estimate is made the real one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.hazard_grid import survival_on
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
    for a in range(1, data.n_arms):
        pair = (data.arm == 0) | (data.arm == a)
        real, _ = log_hazard_ratio(times[pair], event[pair] > 0, data.arm[pair] == a)
        if not np.isfinite(real):
            continue
        for _ in range(12):
            gap = real - expected_log_hazard_ratio(model, a, data)
            nudge = model.nudge.copy()
            nudge[a] += direction * gap
            model = replace(model, nudge=nudge)
            if abs(gap) < 1e-4:
                break
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
        alive = np.exp(-model.hazard_at(grid[None, 1:], eta[:, None], index, p)).mean(axis=0)
        alive = np.r_[1.0, alive]
        followed = survival_on(model.censored.knots, p.censoring[k], middle)
        if model.cutoff is not None:
            followed = followed * model.cutoff.still_open(model.reference, middle)
        at_risk.append(part * followed * (alive[:-1] + alive[1:]) / 2)
        deaths.append(part * followed * -np.diff(alive))
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
