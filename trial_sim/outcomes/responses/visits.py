"""What the two kinds of models of repeated visits share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from trial_sim.outcomes.dropout import DropoutParameters


class VisitParameters(NamedTuple):
    """Arm by visit levels (A, V), coefficients (R, p), whose interactions count (A,), lower
    Cholesky factor (V, V) of the visits' covariance (counts, responses: of their latent
    correlation), drop-out, size of negative binomial counts."""

    levels: np.ndarray
    coefficients: np.ndarray
    acts_as: np.ndarray
    factor: np.ndarray
    dropout: DropoutParameters
    size: float = float("inf")


def wishart(covariance: np.ndarray, degrees: int, rng: np.random.Generator) -> np.ndarray:
    """A covariance (V, V) as estimated from ``degrees`` normal rows with this one."""
    v = len(covariance)
    rows = rng.standard_normal((max(degrees, v + 1), v)) @ np.linalg.cholesky(covariance).T
    return rows.T @ rows / len(rows)


def overridden(parameters: VisitParameters, shifts: Mapping[int, float]) -> VisitParameters:
    """Parameters in which arm ``a`` has the control's levels plus ``shifts[a]``."""
    levels, acts_as = parameters.levels.copy(), parameters.acts_as.copy()
    for a, by in shifts.items():
        levels[a], acts_as[a] = levels[0] + by, 0
    return parameters._replace(levels=levels, acts_as=acts_as)
