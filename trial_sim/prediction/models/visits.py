"""Repeated measurements of an ongoing trial: a multivariate normal, and the visits still to come.

Visits have means of their own in each group, a slope of the baseline, and any covariance, as the
MMRM assumes. What is missing is taken as missing at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.models.responses import counts_of
from trial_sim.prediction.reading.responses import OngoingResponses
from trial_sim.scenarios.longitudinal import LongitudinalResponse

# Draws of a Gibbs sampler that are passed over: at the start, and between two that are kept.
_BURN_IN = 100
_THIN = 4

# Means (n_draws, n_groups, T) at the baseline `centre`, slopes (n_draws, T), covariances
# (n_draws, T, T).
VisitParameters = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class VisitModel:
    """A fitted model of T visits.

    Attributes:
        estimate: (n_groups, T) means at the baseline ``centre``. slope: (T,) of the baseline.
        covariance: (T, T), residual. centre: mean baseline.
        outcome: (n, T) measurements it was fitted to, NaN where missing. design: (n, n_groups + 1)
            indicators of the groups, and the centred baseline.
    """

    estimate: np.ndarray
    slope: np.ndarray
    covariance: np.ndarray
    centre: float
    outcome: np.ndarray
    design: np.ndarray

    def fixed(self, n_draws: int) -> VisitParameters:
        """The estimates, a row a draw."""
        return (
            np.tile(self.estimate, (n_draws, 1, 1)),
            np.tile(self.slope, (n_draws, 1)),
            np.tile(self.covariance, (n_draws, 1, 1)),
        )

    def draw(self, n_draws: int, random: np.random.Generator) -> VisitParameters:
        """Draws of the posterior, flat on means and slopes, Jeffreys on the covariance.

        Gibbs sampling (Schafer 1997, chapter 5): missing visits given the parameters, then the
        parameters given complete visits, inverse Wishart and matrix normal.
        """
        x, (n, n_visits) = self.design, self.outcome.shape
        unscaled = np.linalg.inv(x.T @ x)
        root = np.linalg.cholesky(unscaled)
        beta, sigma = np.vstack([self.estimate, self.slope]), self.covariance
        degrees = n - x.shape[1]
        kept_beta = np.empty((n_draws, *beta.shape))
        kept_sigma = np.empty((n_draws, n_visits, n_visits))
        groups = _patterns(self.outcome)
        for step in range(_BURN_IN + _THIN * n_draws):
            complete = self.outcome.copy()
            mean = x @ beta
            for rows, seen in groups:
                spread, coefficients = _conditional(sigma, seen)
                noise = random.normal(size=(len(rows), int((~seen).sum())))
                rest = self.outcome[np.ix_(rows, seen)] - mean[np.ix_(rows, seen)]
                filled = mean[np.ix_(rows, ~seen)] + rest @ coefficients
                complete[np.ix_(rows, ~seen)] = filled + noise @ np.linalg.cholesky(spread).T
            centre = unscaled @ (x.T @ complete)
            residual = complete - x @ centre
            sigma = _inverse_wishart(residual.T @ residual, degrees, random)
            noise = random.normal(size=beta.shape)
            beta = centre + root @ noise @ np.linalg.cholesky(sigma).T
            place = step - _BURN_IN
            if place >= 0 and place % _THIN == 0:
                kept_beta[place // _THIN], kept_sigma[place // _THIN] = beta, sigma
        return kept_beta[:, :-1], kept_beta[:, -1], kept_sigma


def _inverse_wishart(scale: np.ndarray, degrees: int, random: np.random.Generator) -> np.ndarray:
    """A draw from the inverse Wishart law, by Bartlett's decomposition of the Wishart's."""
    size = len(scale)
    bartlett = np.tril(random.normal(size=(size, size)), -1)
    np.fill_diagonal(bartlett, np.sqrt(random.chisquare(degrees - np.arange(size))))
    half = np.linalg.solve(bartlett, np.linalg.cholesky(scale).T)
    return half.T @ half


def _patterns(outcome: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Patients with the same visits missing: (their rows, (T,) bool which are there)."""
    seen = ~np.isnan(outcome)
    kinds, which = np.unique(seen, axis=0, return_inverse=True)
    which = which.reshape(-1)
    found = [(np.flatnonzero(which == k), kind) for k, kind in enumerate(kinds)]
    return [(rows, kind) for rows, kind in found if not kind.all()]


def _conditional(sigma: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of the missing visits given the others, and coefficients on those.

    sigma: (..., T, T). Returns (..., m, m) and (..., T - m, m).
    """
    among = sigma[..., seen, :][..., :, seen]
    across = sigma[..., seen, :][..., :, ~seen]
    rest = sigma[..., ~seen, :][..., :, ~seen]
    coefficients = np.linalg.solve(among, across)
    return rest - np.swapaxes(across, -1, -2) @ coefficients, coefficients


def fit_visits(trial: OngoingResponses, group: np.ndarray, labels: tuple[str, ...]) -> VisitModel:
    """Maximum likelihood by the EM algorithm; the covariance over residual degrees of freedom.

    Args:
        group: (n,) index into ``labels``.

    Raises:
        ValueError: if a group has nobody with the last visit, or there are too few patients.
    """
    assert trial.visits is not None and trial.baseline is not None
    counts_of(group[trial.event], labels)
    used = ~np.isnan(trial.visits).all(axis=1)
    outcome = trial.visits[used]
    n, n_visits = outcome.shape
    centre = float(trial.baseline.mean())
    x = np.column_stack(
        [group[used][:, None] == np.arange(len(labels)), trial.baseline[used] - centre]
    ).astype(float)
    if n - x.shape[1] <= n_visits:
        raise ValueError(
            f"{n} patients with a visit are too few for {n_visits} visits in {len(labels)} arms "
            "with a covariance of any shape"
        )
    unscaled = np.linalg.inv(x.T @ x)
    missing = np.isnan(outcome)
    start = np.where(missing, np.nanmean(outcome, axis=0), outcome)
    beta = unscaled @ (x.T @ start)
    sigma = np.cov(start - x @ beta, rowvar=False) + 1e-6 * np.diag(np.nanvar(outcome, axis=0))
    groups = _patterns(outcome)
    for _ in range(500):
        mean, complete = x @ beta, outcome.copy()
        extra = np.zeros((n_visits, n_visits))
        for rows, seen in groups:
            spread, coefficients = _conditional(sigma, seen)
            rest = outcome[np.ix_(rows, seen)] - mean[np.ix_(rows, seen)]
            complete[np.ix_(rows, ~seen)] = mean[np.ix_(rows, ~seen)] + rest @ coefficients
            extra[np.ix_(~seen, ~seen)] += len(rows) * spread
        following = unscaled @ (x.T @ complete)
        residual = complete - x @ following
        moved = float(np.abs(following - beta).max())
        beta, sigma = following, (residual.T @ residual + extra) / n
        if moved < 1e-9 * np.sqrt(np.trace(sigma)):
            break
    sigma = sigma * (n / (n - x.shape[1]))
    return VisitModel(beta[:-1], beta[-1], sigma, centre, outcome, x)


def planned_visits(outcomes: Any, arms: tuple[str, ...], centre: float) -> VisitParameters:
    """Parameters of a planned ``LongitudinalResponse``, one draw.

    Raises:
        TypeError: for another scenario, whose visits given those seen are not known.
    """
    if not isinstance(outcomes, LongitudinalResponse):
        raise TypeError(f"outcomes must be a LongitudinalResponse, got {outcomes!r}")
    covariance = outcomes.covariance()
    slope = covariance[0, 1:] / covariance[0, 0]
    control = np.array(outcomes.control_means) + slope * (centre - outcomes.baseline_mean)
    effects = outcomes.difference
    rows = [control]
    for arm in arms[1:]:
        rows.append(control + np.array(effects[arm] if isinstance(effects, dict) else effects))
    residual = covariance[1:, 1:] - np.outer(slope, covariance[0, 1:])
    return np.array(rows)[None], slope[None], residual[None]


def visits_to_come(
    trial: OngoingResponses,
    parameters: VisitParameters,
    group: np.ndarray,
    baseline: np.ndarray,
    centre: float,
    streams: Streams,
) -> np.ndarray:
    """Visits of everybody, (n_draws, n, T): those seen kept, those to come given those seen.

    A visit that was due by the cut-off and is missing stays missing, as does all that follows a
    loss.

    Args:
        group: (n_draws, n) index into the groups of the parameters. baseline: (n_draws, n).
    """
    assert trial.visits is not None
    means, slopes, covariances = parameters
    n_draws, n = group.shape
    old, n_visits = trial.visits.shape
    noise = np.stack([streams.normal("visit", n, v) for v in range(n_visits)], axis=2)
    centred = (baseline - centre)[..., None] * slopes[:, None, :]
    mean = np.take_along_axis(means, group[..., None], axis=1) + centred
    values = mean + np.einsum("dvw,dnw->dnv", np.linalg.cholesky(covariances), noise)
    values[:, :old] = trial.visits
    due = trial.enrolment[:, None] + np.array(trial.visit_months) > trial.cutoff + 1e-9
    coming = due & trial.at_risk[:, None] & np.isnan(trial.visits)
    for rows, seen in _patterns(trial.visits):
        spread, coefficients = _conditional(covariances, seen)
        rest = trial.visits[np.ix_(rows, seen)] - mean[:, rows][:, :, seen]
        root = np.linalg.cholesky(spread)
        drawn = mean[:, rows][:, :, ~seen] + np.einsum("dns,dsm->dnm", rest, coefficients)
        drawn = drawn + np.einsum("dvw,dnw->dnv", root, noise[:, rows][:, :, ~seen])
        kept = np.where(coming[rows][:, ~seen], drawn, np.nan)
        values[np.ix_(np.arange(n_draws), rows, np.flatnonzero(~seen))] = kept
    return values
