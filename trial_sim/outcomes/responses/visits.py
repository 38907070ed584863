"""What the two kinds of models of repeated visits share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

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


def sample_visits(
    model: Any, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, p: VisitParameters
) -> dict[str, np.ndarray]:
    """The visit columns of a model of visits, with gaps after drop-out."""
    normal = rng.standard_normal((len(arm), len(model.columns)))
    y = model.complete(codes, arm, normal, p)
    features = model.linear.features.matrix(codes)
    y = model.dropout.apply(y, p.acts_as[arm], features, rng, p.dropout)
    return {name: y[:, k] for k, name in enumerate(model.columns)}


def unmixed(residual: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The independent normals (n, V) of which residuals (n, V) are the mixture by the lower factor
    (V, V); gaps count as what the visits seen make likely."""
    sigma, filled = factor @ factor.T, np.nan_to_num(residual)
    seen = ~np.isnan(residual)
    for pattern in np.unique(seen, axis=0):
        if pattern.all() or not pattern.any():
            continue
        rows = np.flatnonzero((seen == pattern).all(axis=1))
        gain = np.linalg.solve(sigma[np.ix_(pattern, pattern)], sigma[np.ix_(pattern, ~pattern)])
        filled[np.ix_(rows, ~pattern)] = filled[np.ix_(rows, pattern)] @ gain
    return np.linalg.solve(factor, filled.T).T
