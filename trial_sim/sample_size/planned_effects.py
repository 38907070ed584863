"""Effect of a survival trial per root patient: what size, power and duration follow from.

Each method gives an effect whose estimate has standard deviation `null_sd / sqrt(n)` under the null
and `sd / sqrt(n)` under the alternative; MaxCombo gives the joint normal law of its tests instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from trial_sim.numerics.roots import find_root
from trial_sim.sample_size.average_hazard import (
    SurvivalScenario,
    average_hazard_ratio,
    events_by_piece,
)
from trial_sim.sample_size.record import ErrorLevel
from trial_sim.sample_size.survival_moments import logrank_moments, milestone_moments, rmst_moments
from trial_sim.sequential.integration import FloatArray
from trial_sim.sequential.multiplicity import equicoordinate_critical_value, normal_orthant

EVENT_METHODS = ("schoenfeld", "freedman")
SURVIVAL_METHODS = (
    "schoenfeld",
    "freedman",
    "lachin_foulkes",
    "average_hazard_ratio",
    "weighted_logrank",
    "max_combo",
    "milestone",
    "rmst",
)


@dataclass(frozen=True, eq=False)
class PatientEffect:
    """Effect of one design per root patient.

    effect, null_sd, sd: see the module. events: expected events per patient enrolled.
    details: numbers to report. drifts (m,), correlation (m, m), critical: of MaxCombo's tests.
    """

    effect: float
    null_sd: float
    sd: float
    events: float
    details: dict[str, float]
    drifts: FloatArray | None = None
    correlation: FloatArray | None = None
    critical: float = 0.0

    def power(self, n: float, level: ErrorLevel) -> float:
        """Power of a trial of `n` patients."""
        root = float(np.sqrt(n))
        if self.drifts is not None and self.correlation is not None:
            return 1.0 - normal_orthant(self.critical - root * self.drifts, self.correlation)
        effect = abs(self.effect) if level.sided == 2 else self.effect
        fixed = float(ndtr((root * effect - level.z_alpha * self.null_sd) / self.sd))
        return level.power_of_fixed(fixed)

    def size(self, power: float, level: ErrorLevel) -> float:
        """Patients of a fixed design with `power`.

        Raises ValueError for an effect that the test cannot find: none, or, one-sided, of the
        wrong sign.
        """
        effect = abs(self.effect) if level.sided == 2 else self.effect
        if effect <= 0.0:
            raise ValueError(
                "the effect does not favour treatment: no size reaches the power, one-sided"
            )
        guess = ((level.z_alpha * self.null_sd + float(ndtri(power)) * self.sd) / effect) ** 2
        if self.drifts is None:
            return guess
        return find_root(
            lambda n: self.power(n, level) - power,
            guess,
            0.05 * guess,
            1.0,
            1e9,
            xtol=1e-10,
            ftol=1e-9,
            what="the sample size",
        )


def effect_per_event(
    ratio: float, null: float, allocation: float, method: str
) -> tuple[float, float]:
    """Effect, positive where it favours treatment, and its standard deviation per root event."""
    if method == "freedman":
        if null != 1.0:
            raise ValueError("method 'freedman' tests superiority only: use 'schoenfeld'")
        return 1.0 - ratio, (1.0 + allocation * ratio) / float(np.sqrt(allocation))
    return -float(np.log(ratio / null)), (1.0 + allocation) / float(np.sqrt(allocation))


def patient_effect(
    scenario: SurvivalScenario,
    time: float,
    method: str,
    null_ratio: float,
    weight: Any,
    milestone: float | None,
    level: ErrorLevel,
) -> PatientEffect:
    """Effect per root patient, data cut at calendar `time`; methods of `sample_size_survival`."""
    enrolled = float(scenario.enrolled(time)[0])
    control, treated = (x.sum() / enrolled for x in events_by_piece(scenario, time))
    events = float(control + treated)
    share = scenario.treatment_share
    if method in ("weighted_logrank", "max_combo"):
        weights = [weight] if method == "weighted_logrank" else list(weight)
        moments = logrank_moments(scenario, time, weights)
        variances = np.diag(moments.covariance)
        best = int(np.argmax(moments.effect))
        details = {
            f"average_hazard_ratio_{k + 1}" if len(weights) > 1 else "average_hazard_ratio": float(
                x
            )
            for k, x in enumerate(moments.average_hazard_ratio)
        }
        if method == "max_combo":
            if level.boundaries is not None or level.sided == 2:
                raise ValueError("method 'max_combo' is one-sided and without boundaries")
            critical = equicoordinate_critical_value(moments.correlation, level.alpha)
            details["critical_value"] = critical
            return PatientEffect(
                float(moments.effect[best]),
                1.0,
                1.0,
                events,
                details,
                moments.effect,
                moments.correlation,
                critical,
            )
        # theta = drift / variance has variance 1 / information under either hypothesis
        return PatientEffect(
            float(moments.drift[0] / variances[0]),
            float(1.0 / np.sqrt(moments.null_variance[0])),
            float(1.0 / np.sqrt(variances[0])),
            events,
            details,
        )
    if method in ("milestone", "rmst") and milestone is not None:
        find = milestone_moments if method == "milestone" else rmst_moments
        difference, variance = find(scenario, time, milestone)
        sd = float(np.sqrt(variance))
        return PatientEffect(
            difference, sd, sd, events, {"difference": difference, "time": milestone}
        )
    ahr = float(average_hazard_ratio(scenario, time)["ahr"].iloc[0])
    details = {"average_hazard_ratio": ahr}
    if method in EVENT_METHODS:
        effect, per_event = effect_per_event(ahr, null_ratio, scenario.allocation, method)
        sd = per_event / float(np.sqrt(events))
        return PatientEffect(effect, sd, sd, events, details)
    effect = float(np.log(null_ratio / ahr))
    if method == "lachin_foulkes":
        null = _null_scenario(scenario, null_ratio)
        null_control, null_treated = (x.sum() / enrolled for x in events_by_piece(null, time))
        return PatientEffect(
            effect,
            float(np.sqrt(1.0 / null_control + 1.0 / null_treated)),
            float(np.sqrt(1.0 / control + 1.0 / treated)),
            events,
            details,
        )
    row = average_hazard_ratio(scenario, time).iloc[0]
    null_sd = 1.0 / np.sqrt(events * share * (1.0 - share))
    return PatientEffect(
        effect, float(null_sd), float(np.sqrt(enrolled / row["information"])), events, details
    )


def _null_scenario(scenario: SurvivalScenario, null_ratio: float) -> SurvivalScenario:
    """Hazards with ratio `null_ratio` and the same average over the patients of both arms."""
    average = scenario.control_hazards + scenario.allocation * scenario.treatment_hazards
    control = average / (1.0 + scenario.allocation * null_ratio)
    return replace(
        scenario,
        control_hazards=control,
        hazard_ratios=np.full(len(control), null_ratio),
    )
