"""Rates of recurrent events: gamma-mixed Poisson processes, constant or changing, drawn.

A patient's events come at rate ``z a b t^(b - 1)``, with a frailty ``z`` that is gamma distributed
with mean 1 and a variance (``dispersion``) of its own in each group; ``b`` is 1 in the model
``constant``. Integrated over the frailty the likelihood of a patient with k events in T months is
negative binomial in k (Cook and Lawless, The Statistical Analysis of Recurrent Events, 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln, logsumexp

from trial_sim.prediction.models.events import SHORTEST, Together, together
from trial_sim.prediction.models.hazard_families import STEADY_SD, Family
from trial_sim.prediction.models.posterior import Posterior, sample_posterior

MODELS = ("constant", "changing")
_PROPOSALS = 1200
_LEVEL_SD = 1.5  # of the log of a rate around the crude one
_DISPERSION = (np.log(0.5), 1.2)  # mean and standard deviation of the log of the frailty's variance


@dataclass(frozen=True, eq=False)
class DrawnRates:
    """Draws of the rates of groups: cumulative rate ``exp(level) t^shape`` at frailty 1.

    Attributes:
        level, shape, dispersion: (n_draws, n_groups).
    """

    level: np.ndarray
    shape: np.ndarray
    dispersion: np.ndarray

    def repeated(self, n_draws: int, n_groups: int) -> DrawnRates:
        """One draw, of one or all groups, as many times."""
        size = (n_draws, n_groups)
        return DrawnRates(
            *(np.broadcast_to(v, size) for v in (self.level, self.shape, self.dispersion))
        )


@dataclass(frozen=True, eq=False)
class FittedRates:
    """Rates of recurrent events by group.

    Attributes:
        groups: (n_groups,) their names. posteriors: model → one posterior a group, of log
            cumulative rate at one month, log shape (``changing``) and log dispersion.
        joint: model → draws of the groups together, shapes and dispersions alike; none for one
            group. weights: posterior probability of each model. log_evidence: of it.
    """

    groups: tuple[str, ...]
    posteriors: dict[str, list[Posterior]]
    joint: dict[str, Together]
    weights: dict[str, float]
    log_evidence: dict[str, float]

    @property
    def table(self) -> pd.DataFrame:
        """One row a model: weight, log evidence, and estimates by group."""
        rows = []
        for name, posts in self.posteriors.items():
            found = self._rates(name, np.array([post.mode for post in posts])[None])
            row: dict[str, Any] = {
                "model": name, "weight": self.weights[name], "log_evidence": self.log_evidence[name]
            }  # fmt: skip
            for g, group in enumerate(self.groups):
                row[group] = (
                    f"rate {np.exp(found.level[0, g]):.3g}, shape {found.shape[0, g]:.2f}, "
                    f"dispersion {found.dispersion[0, g]:.2f}"
                )
            rows.append(row)
        return pd.DataFrame(rows).sort_values("weight", ascending=False, ignore_index=True)

    def draw(self, n_draws: int, random: np.random.Generator) -> DrawnRates:
        """Draws of model and parameters."""
        points = (np.arange(n_draws) + random.random()) / n_draws
        edges = np.cumsum([self.weights[name] for name in MODELS])
        model = random.permutation(np.minimum(np.searchsorted(edges, points), len(MODELS) - 1))
        out = [np.empty((n_draws, len(self.groups))) for _ in range(3)]
        for k, name in enumerate(MODELS):
            rows = np.flatnonzero(model == k)
            if not rows.size:
                continue
            if name in self.joint:
                parameters = self.joint[name].resample(len(rows), random)
            else:
                posts = self.posteriors[name]
                parameters = np.stack([p.resample(len(rows), random) for p in posts], axis=1)
            found = self._rates(name, parameters)
            for values, drawn in zip(out, (found.level, found.shape, found.dispersion)):
                values[rows] = drawn
        return DrawnRates(*out)

    def estimate(self) -> DrawnRates:
        """One draw: the more probable model at its modes."""
        name = max(MODELS, key=lambda one: self.weights[one])
        return self._rates(name, np.array([post.mode for post in self.posteriors[name]])[None])

    def _rates(self, name: str, parameters: np.ndarray) -> DrawnRates:
        """Rates of parameters (n_draws, n_groups, p)."""
        shape = np.ones(parameters.shape[:2])
        if name == "changing":
            shape = np.exp(parameters[..., 1])
        return DrawnRates(parameters[..., 0], shape, np.exp(parameters[..., -1]))


def fit_rates(
    time: np.ndarray,
    who: np.ndarray,
    when: np.ndarray,
    group: np.ndarray,
    groups: Sequence[str],
    random: np.random.Generator,
) -> FittedRates:
    """Fit rates of recurrent events.

    Args:
        time: (n,) months of follow-up. who, when: (k,) patient and month on study of each event.
        group: (n,) index into ``groups``.
    """
    time, when = np.maximum(time, SHORTEST), np.maximum(when, SHORTEST)
    crude = float(np.log((len(when) + 0.5) / time.sum()))
    posteriors: dict[str, list[Posterior]] = {}
    joint: dict[str, Together] = {}
    evidence: dict[str, float] = {}
    for name in MODELS:
        prior = _prior(name, crude)
        found = []
        for g in range(len(groups)):
            mine = group == g
            density = _density(prior, time[mine], np.bincount(who, minlength=len(time))[mine],
                               when[mine[who]])  # fmt: skip
            found.append(sample_posterior(density, prior.mean, _PROPOSALS, random))
        posteriors[name] = found
        evidence[name] = float(sum(post.log_evidence for post in found))
        if len(found) > 1:
            joint[name] = together(prior, found, random)
            evidence[name] += joint[name].log_ratio
    total = float(logsumexp(list(evidence.values())))
    weights = {name: float(np.exp(value - total)) for name, value in evidence.items()}
    return FittedRates(tuple(groups), posteriors, joint, weights, evidence)


def _prior(name: str, crude: float) -> Family:
    """The normal priors of a model's parameters; its hazard is that of the middle frailty."""
    mean, sd = [crude, _DISPERSION[0]], [_LEVEL_SD, _DISPERSION[1]]
    labels = ["log rate", "log dispersion"]
    if name == "changing":
        mean.insert(1, 0.0)
        sd.insert(1, STEADY_SD)
        labels.insert(1, "log shape")
    return Family(name, np.array(mean), np.array(sd), _hazard, tuple(labels))


def _hazard(parameters: np.ndarray, months: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative rate and log rate at frailty 1, (k, m) each."""
    level = parameters[:, :1]
    log_shape = parameters[:, 1:2] if parameters.shape[1] == 3 else np.zeros_like(level)
    logs = np.log(months)
    log_cumulative = level + np.exp(log_shape) * logs
    return np.exp(np.minimum(log_cumulative, 700.0)), log_cumulative + log_shape - logs


def _density(prior: Family, time: np.ndarray, counts: np.ndarray, when: np.ndarray) -> Any:
    """Log posterior density of a group's parameters."""
    values, times = np.unique(counts, return_counts=True)

    def log_density(parameters: np.ndarray) -> np.ndarray:
        size = np.exp(-np.clip(parameters[:, -1], -30.0, 30.0))  # 1 / dispersion
        cumulative, _ = _hazard(parameters, time)
        rates = _hazard(parameters, when)[1].sum(axis=1) if len(when) else 0.0
        grown = gammaln(values + size[:, None]) - gammaln(size)[:, None]
        grown -= values * np.log(size)[:, None]
        over = np.log1p(cumulative / size[:, None])
        found = rates + grown @ times - ((counts + size[:, None]) * over).sum(axis=1)
        return np.asarray(found + prior.log_prior(parameters))

    return log_density
