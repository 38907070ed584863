"""Monotone drop-out as a process of its own: a logistic hazard at each visit after the first.

The chance to be missing from visit ``v`` on depends on the arm, the visit, the baseline covariates
and, arm by arm, the last value seen; skipped visits (seen again later) have one rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from trial_sim.outcomes.glm import fit_glm
from trial_sim.outcomes.linear import arm_indicators
from trial_sim.storage import storable


@storable
@dataclass(frozen=True)
class Dropout:
    """Fitted drop-out.

    Attributes:
        coefficients: (A + V + A + p,) arm, visit, last value by arm, features (0 without any
            drop-out).
        active: whether anyone dropped out. first: (A,) rate of patients without any visit.
        centre, scale: of the last value. skipped: rate of skipped visits.
    """

    coefficients: np.ndarray
    active: bool
    first: np.ndarray
    centre: float
    scale: float
    skipped: float

    @classmethod
    def fit(cls, visits: np.ndarray, arm: np.ndarray, features: np.ndarray, n_arms: int) -> Dropout:
        """Fit to ``visits`` (n, V) with NaN for gaps."""
        seen = ~np.isnan(visits)
        v = visits.shape[1]
        last = np.where(seen.any(axis=1), v - 1 - np.argmax(seen[:, ::-1], axis=1), -1)
        inside = np.arange(v) <= last[:, None]
        skipped = float((~seen & inside).sum() / max(inside.sum(), 1))
        first = np.array([(last[arm == a] < 0).mean() for a in range(n_arms)])
        filled = carried(visits)
        centre, scale = float(np.nanmean(visits)), float(np.nanstd(visits)) or 1.0
        rows, y = [], []
        for k in range(1, v):
            at = np.flatnonzero(last >= k - 1)
            rows.append(
                _design(k, v, arm[at], (filled[at, k - 1] - centre) / scale, features[at], n_arms)
            )
            y.append((last[at] < k).astype(float))
        x, target = np.vstack(rows), np.concatenate(y)
        if target.sum() == 0:
            return cls(np.zeros(x.shape[1]), False, first, centre, scale, skipped)
        ridge = np.r_[
            np.full(n_arms, 1e-3), np.full(v, 0.1), np.full(n_arms, 0.1), np.ones(features.shape[1])
        ]
        found = fit_glm(target, x, "binomial", ridge)
        return cls(found.coefficients, True, first, centre, scale, skipped)

    def apply(
        self, visits: np.ndarray, arm: np.ndarray, features: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """``visits`` (n, V) without gaps, with drop-out and skipped visits drawn."""
        n, v = visits.shape
        n_arms = len(self.first)
        out = visits.astype(float).copy()
        gone = rng.random(n) < self.first[arm]
        out[gone] = np.nan
        chance = rng.random((n, v))
        for k in range(1, v):
            if self.active:
                value = (visits[:, k - 1] - self.centre) / self.scale
                x = _design(k, v, arm, value, features, n_arms)
                gone |= chance[:, k] < expit(x @ self.coefficients)
            out[gone, k] = np.nan
        if self.skipped > 0:
            out[rng.random((n, v)) < self.skipped] = np.nan
        return out


def carried(visits: np.ndarray) -> np.ndarray:
    """Last value carried forward (NaN before the first)."""
    out = visits.copy()
    for k in range(1, visits.shape[1]):
        out[:, k] = np.where(np.isnan(out[:, k]), out[:, k - 1], out[:, k])
    overall = np.nanmean(visits)
    return np.where(np.isnan(out), overall, out)


def _design(k, v, arm, value, features, n_arms):
    """Arm, visit, last value (standardised) by arm, and features, (n, A + V + A + p)."""
    visit = np.zeros((len(arm), v))
    visit[:, k] = 1
    arms = arm_indicators(arm, n_arms)
    return np.hstack([arms, visit, arms * value[:, None], features])
