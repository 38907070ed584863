"""Families of hazards that a prediction averages: how each makes a cumulative hazard of parameters.

Every family takes months as shares ``u`` of one typical month and returns the cumulative hazard and
the log hazard (per unit of ``u``), so that a likelihood, a curve and residual times need nothing
else. Its parameters have independent normal priors, which keep a model with few events in bounds
without deciding it: the shapes that trials are planned with lie within one standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, log_ndtr, ndtri

# Prior chance of each family in an average, before the data speak.
WEIGHTS = {
    "exponential": 0.05,
    "weibull": 0.43,
    "log_logistic": 0.06,
    "log_normal": 0.03,
    "piecewise_exponential": 0.12,
    "spline": 0.1,
    "cure": 0.21,
}
FAMILIES = tuple(WEIGHTS)
SHAPE_SD = 0.5  # of the log of a Weibull shape: .6 and 1.65 lie one standard deviation from 1
STEADY_SD = 0.25  # the same of drop-out, which has little to do with the time on study
_LEVEL_SD = 1.5  # of the log of a rate around the crude one
_STEP_SD = 0.4  # of the log hazard from one piece to the next

Hazard = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Family:
    """A parametric hazard with a prior.

    Attributes:
        name: one of :data:`FAMILIES`. mean, sd: (p,) of the normal priors of its parameters.
        hazard: parameters (k, p) and shares u (m,) → cumulative hazard and log hazard, (k, m) each.
        labels: (p,) what each parameter is. breakpoints: shares u at which the hazard jumps.
    """

    name: str
    mean: np.ndarray
    sd: np.ndarray
    hazard: Hazard
    labels: tuple[str, ...]
    breakpoints: tuple[float, ...] = ()

    def log_prior(self, parameters: np.ndarray) -> np.ndarray:
        """Normal log density of parameters (k, p), (k,)."""
        z = (parameters - self.mean) / self.sd
        constant = np.log(self.sd).sum() + 0.5 * len(self.sd) * np.log(2 * np.pi)
        return np.asarray(-0.5 * (z * z).sum(axis=1) - constant)


def family(
    name: str,
    crude: float,
    breakpoints: Any = (),
    knots: Any = (),
    shape_sd: float = SHAPE_SD,
) -> Family:
    """A family around a crude cumulative hazard at u = 1.

    Args:
        name: one of :data:`FAMILIES`. breakpoints: shares u, of a piecewise exponential.
        knots: three shares u, of a spline: its log cumulative hazard bends between them.
        shape_sd: of the log of a Weibull shape around 0.
    """
    level = float(np.log(crude))
    if name == "exponential":
        return Family(name, np.array([level]), np.array([_LEVEL_SD]), _exponential, ("log rate",))
    if name == "weibull":
        mean, sd = np.array([level, 0.0]), np.array([_LEVEL_SD, shape_sd])
        return Family(name, mean, sd, _weibull, ("log hazard", "log shape"))
    if name == "log_logistic":
        mean, sd = np.array([np.log(np.expm1(crude)), 0.15]), np.array([_LEVEL_SD, SHAPE_SD])
        return Family(name, mean, sd, _log_logistic, ("log odds", "log shape"))
    if name == "log_normal":
        middle = float(ndtri(np.clip(-np.expm1(-crude), 1e-6, 1 - 1e-6)))
        mean, sd = np.array([middle, 0.15]), np.array([1.0, SHAPE_SD])
        return Family(name, mean, sd, _log_normal, ("probit", "log sd"))
    if name == "cure":
        mean, sd = np.array([level + 0.2, 0.0, -1.3]), np.array([_LEVEL_SD, 0.25, 0.8])
        return Family(name, mean, sd, _cure, ("log hazard", "log shape", "logit cured"))
    if name == "spline":
        mean, sd = np.array([level, 0.0, 0.0]), np.array([_LEVEL_SD, SHAPE_SD, 0.25])
        return Family(name, mean, sd, _spline(np.log(knots)), ("log hazard", "log shape", "bend"))
    points = tuple(float(p) for p in breakpoints)
    mean = np.array([level, *np.zeros(len(points))])
    sd = np.array([_LEVEL_SD, *np.full(len(points), _STEP_SD)])
    labels = ("log rate", *(f"step {k + 1}" for k in range(len(points))))
    return Family(name, mean, sd, _pieces(points), labels, points)


def _exponential(parameters: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    level = parameters[:, :1]
    return np.exp(level) * u, np.broadcast_to(level, (len(level), len(u)))


def _weibull(parameters: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    level, log_shape = parameters[:, :1], parameters[:, 1:2]
    shape, log_u = np.exp(log_shape), np.log(u)
    log_cumulative = np.minimum(level + shape * log_u, 700.0)
    return np.exp(log_cumulative), log_cumulative + log_shape - log_u


def _log_logistic(parameters: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    level, log_shape = parameters[:, :1], parameters[:, 1:2]
    log_u = np.log(u)
    odds = level + np.exp(log_shape) * log_u
    cumulative = np.logaddexp(0.0, odds)
    return cumulative, odds + log_shape - log_u - cumulative


def _log_normal(parameters: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle, log_sd = parameters[:, :1], parameters[:, 1:2]
    log_u = np.log(u)
    z = middle + log_u * np.exp(-log_sd)
    cumulative = -log_ndtr(-z)
    log_density = -0.5 * z * z - 0.5 * np.log(2 * np.pi) - log_sd - log_u
    return cumulative, log_density + cumulative


def _cure(parameters: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    latent, log_hazard = _weibull(parameters[:, :2], u)
    cured = expit(parameters[:, 2:3])
    survival = cured + (1 - cured) * np.exp(-latent)
    with np.errstate(divide="ignore"):
        return -np.log(survival), np.log1p(-cured) + log_hazard - latent - np.log(survival)


def _spline(knots: np.ndarray) -> Hazard:
    """Log cumulative hazard: a line in log u, and a bend between three knots (Royston, Parmar)."""
    low, middle, high = knots
    share = (high - middle) / (high - low)
    scale = (high - low) ** 2

    def hazard(parameters: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = np.log(u)
        steps = [np.maximum(x - k, 0.0) for k in (low, middle, high)]
        weights = (-share, 1.0, share - 1.0)
        bend = sum(w * s**3 for w, s in zip(weights, steps)) / scale * 6.0
        turn = sum(w * 3 * s**2 for w, s in zip(weights, steps)) / scale * 6.0
        shape = np.exp(parameters[:, 1:2])
        log_cumulative = np.minimum(
            parameters[:, :1] + shape * x + parameters[:, 2:3] * bend, 700.0
        )
        slope = shape + parameters[:, 2:3] * turn
        with np.errstate(invalid="ignore", divide="ignore"):
            log_hazard = np.where(slope > 0, log_cumulative - x + np.log(slope), -np.inf)
        return np.exp(log_cumulative), log_hazard

    return hazard


def _pieces(points: tuple[float, ...]) -> Hazard:
    starts = np.array([0.0, *points])
    ends = np.append(starts[1:], np.inf)

    def hazard(parameters: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logs = np.cumsum(parameters, axis=1)
        spent = np.clip(u[:, None], starts, ends) - starts
        piece = np.maximum(np.searchsorted(starts, u, side="left") - 1, 0)
        return np.exp(logs) @ spent.T, logs[:, piece]

    return hazard
