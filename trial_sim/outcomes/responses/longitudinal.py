"""Repeated measurements: MMRM for numbers, a Gaussian copula of GLM margins for binary and counts.

Drop-out is a process of its own (`dropout`). The copula joins the visits of a patient: margins by
visit from a logistic or negative-binomial model, arm by visit intercepts calibrated to the data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trial_sim.data.endpoints import Endpoint, Longitudinal
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.dropout import FittedDropout
from trial_sim.outcomes.linear import LinearPart
from trial_sim.outcomes.responses.mmrm import COVARIANCES
from trial_sim.outcomes.responses.visits_copula import fit_copula
from trial_sim.outcomes.responses.visits_normal import fit_normal

GAUSSIAN = tuple(f"mmrm_{kind}" for kind in COVARIANCES)
DISCRETE = {"binomial": ("logistic_copula",), "poisson": ("negative_binomial_copula",)}


def models(endpoint: Endpoint) -> tuple[str, ...]:
    """Names of the models of the endpoint's family."""
    assert isinstance(endpoint, Longitudinal)
    return DISCRETE.get(endpoint.family, GAUSSIAN)


def candidates(data: FitData) -> tuple[str, ...]:
    """Models that "auto" compares."""
    return models(data.endpoint)


def fit(data: FitData, name: str) -> Any:
    """Fit to a `Longitudinal` endpoint.

    Raises:
        ValueError: a visit that an arm was never seen at.
    """
    endpoint = data.endpoint
    assert isinstance(endpoint, Longitudinal)
    y = data.patients[list(endpoint.columns)].to_numpy(dtype=float)
    for k, visit in enumerate(endpoint.columns):
        for a in range(data.n_arms):
            if np.isnan(y[data.arm == a, k]).all():
                label = data.schema.arms[a] if data.schema.arms else "the cohort"
                raise ValueError(f"column {visit!r} has no value in arm {label!r}")
    gaussian = endpoint.family == "gaussian"
    linear = LinearPart.empty(data.features, data.by, data.n_arms, identity=gaussian)
    design = linear.design(data.codes, data.arm)
    dropout = FittedDropout.fit(y, data.arm, data.features.matrix(data.codes), data.n_arms)
    if gaussian:
        return fit_normal(data, name, y, linear, design, dropout)
    return fit_copula(data, name, endpoint.family, y, linear, design, dropout)
