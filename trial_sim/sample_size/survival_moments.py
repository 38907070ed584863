"""Large-sample moments of survival tests in a trial with piecewise constant rates.

For follow-up x, pi_j(x) is the chance that a patient is in arm j and at risk at x when the data are
cut at calendar time T: share of the arm, times survival, times not dropped out, times enrolled
early enough. All moments are integrals over x of these (Yung & Liu 2020), taken by Gauss-Legendre
between the break points and given per enrolled patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.arguments import number, positive
from trial_sim.numerics.roots import find_root
from trial_sim.sample_size.average_hazard import (
    SurvivalScenario,
    piecewise_survival,
    restricted_mean,
)
from trial_sim.sequential.integration import FloatArray

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


@dataclass(frozen=True, eq=False)
class RiskProfile:
    """Both arms at risk on a grid of follow-up times, all (n_nodes,) float64.

    time, weight: quadrature. survival0, survival1: event-free. risk0, risk1: pi of each arm.
    hazard0, hazard1: event hazards.
    """

    time: FloatArray
    weight: FloatArray
    survival0: FloatArray
    survival1: FloatArray
    risk0: FloatArray
    risk1: FloatArray
    hazard0: FloatArray
    hazard1: FloatArray
    share: float

    @property
    def events(self) -> FloatArray:
        """(n_nodes,) density of events of both arms."""
        return self.risk0 * self.hazard0 + self.risk1 * self.hazard1

    @property
    def pooled_survival(self) -> FloatArray:
        """(n_nodes,) event-free share of both arms together."""
        return (1.0 - self.share) * self.survival0 + self.share * self.survival1


def risk_profile(
    scenario: SurvivalScenario, time: float, null: bool = False, until: float | None = None
) -> RiskProfile:
    """Who is at risk when the data are cut at calendar `time`.

    null: both arms under the average of the two hazards. until: stop at this follow-up.
    """
    top = time if until is None else min(time, until)
    accrual_edges = time - np.append(0.0, np.cumsum(scenario.accrual_durations))
    edges = np.concatenate([[0.0, top], scenario.breakpoints, accrual_edges])
    edges = np.unique(edges[(edges >= 0.0) & (edges <= top)])
    # Short panels keep weights such as (1 - S)**0.5 accurate, whose slope is infinite at zero.
    first = edges[0] + (edges[1] - edges[0]) * np.array([1e-6, 1e-4, 1e-2, 0.2])
    edges = np.unique(np.concatenate([edges, first]))
    half = 0.5 * np.diff(edges)
    grid = ((edges[:-1] + half)[:, None] + half[:, None] * _NODES).ravel()
    weight = (half[:, None] * _WEIGHTS).ravel()
    share = scenario.treatment_share
    control, treated = scenario.control_hazards, scenario.treatment_hazards
    if null:
        control = treated = (1.0 - share) * control + share * treated
    piece = np.searchsorted(scenario.breakpoints, grid, side="right")
    enrolled = scenario.enrolled(time - grid) / scenario.enrolled(time)[0]
    breaks = scenario.breakpoints
    survival0 = piecewise_survival(control, breaks, grid)
    survival1 = piecewise_survival(treated, breaks, grid)
    stay0 = piecewise_survival(scenario.control_dropout, breaks, grid)
    stay1 = piecewise_survival(scenario.treatment_dropout, breaks, grid)
    return RiskProfile(
        grid,
        weight,
        survival0,
        survival1,
        (1.0 - share) * survival0 * stay0 * enrolled,
        share * survival1 * stay1 * enrolled,
        control[piece],
        treated[piece],
        share,
    )


def weight_function(profile: RiskProfile, weight: Any) -> FloatArray:
    """(n_nodes,) weight function of a weighted log-rank test on the grid.

    weight: "logrank", ("fleming_harrington", rho, gamma) or ("magirr_burman", tau).
    """
    survival = profile.pooled_survival
    if weight == "logrank":
        return np.ones_like(survival)
    if isinstance(weight, (tuple, list)) and weight:
        if weight[0] == "fleming_harrington" and len(weight) == 3:
            rho, gamma = number("rho", weight[1]), number("gamma", weight[2])
            if rho < 0 or gamma < 0:
                raise ValueError(f"rho and gamma must not be negative, got {rho:g}, {gamma:g}")
            return survival**rho * (1.0 - survival) ** gamma
        if weight[0] == "magirr_burman" and len(weight) == 2:
            tau = positive("tau", weight[1])
            at_tau = np.interp(tau, profile.time, survival)
            return 1.0 / np.maximum(survival, at_tau)
    raise ValueError(
        f"unknown weight {weight!r}: expected 'logrank', ('fleming_harrington', rho, gamma) or "
        "('magirr_burman', tau)"
    )


@dataclass(frozen=True, eq=False)
class LogrankMoments:
    """Moments per enrolled patient of m weighted log-rank tests of one data cut.

    drift: (m,) mean of the score, above 0 when treatment is better. covariance: (m, m) of the
    scores under the alternative. null_variance: (m,) under the average of the two hazards.
    average_hazard_ratio: (m,) weighted average. events: expected events.
    """

    drift: FloatArray
    covariance: FloatArray
    null_variance: FloatArray
    average_hazard_ratio: FloatArray
    events: float

    @property
    def correlation(self) -> FloatArray:
        """(m, m) correlation of the test statistics."""
        sd = np.sqrt(np.diag(self.covariance))
        return self.covariance / np.outer(sd, sd)

    @property
    def effect(self) -> FloatArray:
        """(m,) mean of each Z per root of the number of patients."""
        return self.drift / np.sqrt(np.diag(self.covariance))


def logrank_moments(
    scenario: SurvivalScenario, time: float, weights: Sequence[Any] = ("logrank",)
) -> LogrankMoments:
    """Moments of weighted log-rank tests when the data are cut at calendar `time`."""
    profile = risk_profile(scenario, time)
    null = risk_profile(scenario, time, null=True)
    values = np.array([weight_function(profile, w) for w in weights])
    null_values = np.array([weight_function(null, w) for w in weights])
    q, events = profile.weight, profile.events
    drift = values @ (_product(profile) * (profile.hazard0 - profile.hazard1) * q)
    spread = _mixing(profile) * events * q
    with np.errstate(divide="ignore", invalid="ignore"):
        ahr = np.exp(-drift / (values @ spread))
    return LogrankMoments(
        drift,
        (values * spread) @ values.T,
        (null_values**2) @ (_mixing(null) * null.events * null.weight),
        ahr,
        float(events @ q),
    )


def _product(profile: RiskProfile) -> FloatArray:
    both = profile.risk0 + profile.risk1
    return np.divide(profile.risk0 * profile.risk1, both, out=np.zeros_like(both), where=both > 0)


def _mixing(profile: RiskProfile) -> FloatArray:
    both = profile.risk0 + profile.risk1
    return np.divide(
        profile.risk0 * profile.risk1, both**2, out=np.zeros_like(both), where=both > 0
    )


def milestone_moments(
    scenario: SurvivalScenario, time: float, milestone: float
) -> tuple[float, float]:
    """Difference of survival at `milestone` and its variance per enrolled patient (Greenwood)."""
    _check_followed(scenario, time, milestone, "milestone")
    profile = risk_profile(scenario, time, until=milestone)
    s0 = float(piecewise_survival(scenario.control_hazards, scenario.breakpoints, milestone)[0])
    s1 = float(piecewise_survival(scenario.treatment_hazards, scenario.breakpoints, milestone)[0])
    q = profile.weight
    variance = s0**2 * float(q @ (profile.hazard0 / profile.risk0))
    variance += s1**2 * float(q @ (profile.hazard1 / profile.risk1))
    return s1 - s0, variance


def rmst_moments(scenario: SurvivalScenario, time: float, tau: float) -> tuple[float, float]:
    """Difference of restricted mean survival to `tau` and its variance per enrolled patient."""
    _check_followed(scenario, time, tau, "tau")
    profile = risk_profile(scenario, time, until=tau)
    breaks = scenario.breakpoints
    difference, variance = 0.0, 0.0
    for sign, hazards, hazard, risk in (
        (-1.0, scenario.control_hazards, profile.hazard0, profile.risk0),
        (1.0, scenario.treatment_hazards, profile.hazard1, profile.risk1),
    ):
        total = restricted_mean(hazards, breaks, tau)
        left = np.array([total - restricted_mean(hazards, breaks, t) for t in profile.time])
        difference += sign * total
        variance += float(profile.weight @ (left**2 * hazard / risk))
    return difference, variance


def _check_followed(scenario: SurvivalScenario, time: float, until: float, name: str) -> None:
    if not 0.0 < until < time:
        raise ValueError(f"{name} must be between 0 and the study duration {time:g}, got {until:g}")


def cox_hazard_ratio(scenario: SurvivalScenario, time: float) -> float:
    """The hazard ratio that a Cox model estimates from the data cut at calendar `time`.

    Solves the expected score equation; equals the hazard ratio when that is constant.
    """
    profile = risk_profile(scenario, time)
    treated = profile.weight * profile.risk1 * profile.hazard1
    events = profile.weight * profile.events

    def score(log_ratio: float) -> float:
        at_risk = profile.risk1 * np.exp(log_ratio)
        both = profile.risk0 + at_risk
        share = np.divide(at_risk, both, out=np.zeros_like(both), where=both > 0)
        return float(treated.sum() - events @ share)

    return float(np.exp(find_root(score, 0.0, 0.1, -20.0, 20.0, what="the Cox hazard ratio")))
