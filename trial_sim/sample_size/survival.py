"""Sample size for survival trials: events, log-rank, weighted log-rank, MaxCombo, milestone, RMST.

Every method gives a number per root patient: an effect and its standard deviation under the null
and under the alternative; size, power and duration follow from these alike. Accrual keeps its
pattern: with n patients the accrual rates are scaled to enrol n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from trial_sim.base.arguments import between, number, one_of, positive
from trial_sim.numerics.roots import find_root
from trial_sim.sample_size.average_hazard import (
    SurvivalScenario,
    average_hazard_ratio,
    survival_scenario,
)
from trial_sim.sample_size.planned_effects import (
    EVENT_METHODS,
    SURVIVAL_METHODS,
    PatientEffect,
    effect_per_event,
    patient_effect,
)
from trial_sim.sample_size.record import ErrorLevel, SampleSize, error_level

if TYPE_CHECKING:
    from trial_sim.sequential.design import GroupSequential


def events_required(
    hazard_ratio: float,
    power: float = 0.9,
    alpha: float = 0.025,
    allocation: float = 1.0,
    method: str = "schoenfeld",
    *,
    sided: int = 1,
    null_ratio: float = 1.0,
    boundaries: GroupSequential | None = None,
) -> float:
    """Events, unrounded, for a log-rank test to find a hazard ratio.

    hazard_ratio: treatment over control; a one-sided test finds ratios below the null ratio only.
    allocation: treatment patients per control patient.
    method: "schoenfeld" (1981) or "freedman" (1982). null_ratio: hazard ratio under the null, the
    margin for non-inferiority. boundaries: group-sequential; gives the maximum number of events.

    >>> round(events_required(0.7), 4)
    330.3779
    """
    level = error_level(alpha, sided, boundaries)
    power = between("power", power, level.alpha, 1.0)
    ratio, null = positive("hazard_ratio", hazard_ratio), positive("null_ratio", null_ratio)
    allocation = positive("allocation", allocation)
    method = one_of("method", method, EVENT_METHODS)
    effect, sd = effect_per_event(ratio, null, allocation, method)
    if effect == 0.0:
        raise ValueError(f"hazard_ratio {ratio:g} is the null ratio: no number of events finds it")
    if effect < 0.0 and level.sided == 1:
        raise ValueError(
            f"hazard_ratio {ratio:g} is above {null:g}: the effect does not favour treatment, and "
            "no number of events finds it in a one-sided test (sided=2 tests both directions)"
        )
    fixed = ((level.z_alpha + float(ndtri(power))) * sd / effect) ** 2
    return fixed * level.inflation(power)


def power_of_events(
    events: float,
    hazard_ratio: float,
    alpha: float = 0.025,
    allocation: float = 1.0,
    method: str = "schoenfeld",
    *,
    sided: int = 1,
    null_ratio: float = 1.0,
    boundaries: GroupSequential | None = None,
) -> float:
    """Power of a log-rank test with `events` events; the inverse of `events_required`.

    Examples:
        >>> import trial_sim as ts
        >>> round(ts.power_of_events(331, 0.7), 3)
        0.901
    """
    level = error_level(alpha, sided, boundaries)
    effect, sd = effect_per_event(
        positive("hazard_ratio", hazard_ratio),
        positive("null_ratio", null_ratio),
        positive("allocation", allocation),
        one_of("method", method, EVENT_METHODS),
    )
    effect = abs(effect) if level.sided == 2 else effect
    drift = float(np.sqrt(positive("events", events))) * effect / sd
    return level.power_of_fixed(float(ndtr(drift - level.z_alpha)))


def sample_size_survival(
    hazard_ratio: float | Sequence[float] | None = None,
    power: float | None = 0.9,
    alpha: float = 0.025,
    *,
    control_median: float | Sequence[float] | None = None,
    control_hazard: float | Sequence[float] | None = None,
    accrual_duration: float | Sequence[float] = 12.0,
    accrual_rates: float | Sequence[float] = 1.0,
    study_duration: float | None = None,
    dropout: float | Sequence[float] = 0.0,
    treatment_dropout: float | Sequence[float] | None = None,
    breakpoints: Sequence[float] = (),
    allocation: float = 1.0,
    null_ratio: float = 1.0,
    method: str = "schoenfeld",
    weight: Any = "logrank",
    milestone: float | None = None,
    sided: int = 1,
    n_total: float | None = None,
    boundaries: GroupSequential | None = None,
) -> SampleSize:
    """Size, power, effect or duration of a survival trial; gives the one that is missing.

    n from the rest; power from n_total; one hazard ratio from n_total and power with hazard_ratio
    None; the study duration from n_total and power with study_duration None.

    control_median or control_hazard, hazard_ratio, dropout, treatment_dropout: scalars, or one
        value for each piece between `breakpoints`. Hazards are per month.
    accrual_duration: months of enrolment (of each period), accrual_rates: their relative rates.
    study_duration: months from the first patient to the final analysis, at least the accrual's.
    allocation: treatment patients per control patient. null_ratio: 1, or a margin.
    method: "schoenfeld", "freedman", "lachin_foulkes" (1986), "average_hazard_ratio" (of
        gsDesign2), "weighted_logrank" (`weight`), "max_combo" (`weight` is a list of weights),
        "milestone" (survival at `milestone`) or "rmst" (restricted mean to `milestone`).
    weight: "logrank", ("fleming_harrington", rho, gamma), ("magirr_burman", tau).
    boundaries: a group-sequential design, whose alpha and sides are used; sizes are the maximum.

    Examples:
        >>> import trial_sim as ts
        >>> plan = ts.sample_size_survival(
        ...     0.7, control_median=12, accrual_duration=24, study_duration=48
        ... )
        >>> round(plan.n_total, 1)
        407.3
    """
    level = error_level(alpha, sided, boundaries)
    method = one_of("method", method, SURVIVAL_METHODS)
    null_ratio = positive("null_ratio", null_ratio)
    if null_ratio != 1.0 and method not in ("schoenfeld", "lachin_foulkes", "average_hazard_ratio"):
        raise ValueError(f"method {method!r} tests superiority only, not null_ratio {null_ratio:g}")
    if method in ("milestone", "rmst"):
        milestone = positive("milestone", milestone)
    rates = np.broadcast_to(accrual_rates, np.shape(np.atleast_1d(accrual_duration)))

    def scenario_for(ratio: Any) -> SurvivalScenario:
        return survival_scenario(
            rates,
            accrual_duration,
            control_median,
            ratio,
            breakpoints,
            control_hazard,
            dropout,
            treatment_dropout,
            allocation,
        )

    def parts(scenario: SurvivalScenario, time: float) -> PatientEffect:
        return patient_effect(scenario, time, method, null_ratio, weight, milestone, level)

    if hazard_ratio is None:
        if n_total is None or study_duration is None or power is None:
            raise ValueError("hazard_ratio is solved from n_total, study_duration and power")
        duration = _study_duration(study_duration, scenario_for(1.0))
        n = positive("n_total", n_total)
        wanted = between("power", power, level.alpha, 1.0)
        log_ratio = find_root(
            lambda x: parts(scenario_for(float(np.exp(x))), duration).power(n, level) - wanted,
            float(np.log(null_ratio)) - 0.35,
            0.05,
            -12.0,
            float(np.log(null_ratio)) - 1e-6,
            ftol=1e-11,
            what="the hazard ratio",
        )
        scenario = scenario_for(float(np.exp(log_ratio)))
    else:
        scenario = scenario_for(hazard_ratio)
        if study_duration is None:
            if n_total is None or power is None:
                raise ValueError("study_duration is missing; it is solved from n_total and power")
            n, wanted = positive("n_total", n_total), between("power", power, level.alpha, 1.0)
            duration = _solve_duration(scenario, parts, n, wanted, level, milestone)
        else:
            duration = _study_duration(study_duration, scenario)
            if n_total is None:
                wanted = between("power", power, level.alpha, 1.0)
                found = parts(scenario, duration)
                inflation = level.inflation(wanted)
                return _record(
                    found,
                    found.size(wanted, level) * inflation,
                    wanted,
                    inflation,
                    scenario,
                    duration,
                    method,
                    level,
                )
            n = positive("n_total", n_total)
            wanted = parts(scenario, duration).power(n, level)
    return _record(parts(scenario, duration), n, wanted, 1.0, scenario, duration, method, level)


def _study_duration(value: float, scenario: SurvivalScenario) -> float:
    duration = positive("study_duration", value)
    if duration < scenario.accrual_duration * (1.0 - 1e-12):
        raise ValueError(
            f"study_duration {duration:g} must not be below accrual_duration "
            f"{scenario.accrual_duration:g}: patients who come later would never be seen"
        )
    return duration


def _solve_duration(
    scenario: SurvivalScenario,
    parts: Any,
    n: float,
    power: float,
    level: ErrorLevel,
    milestone: float | None,
) -> float:
    """Calendar time of the analysis at which n patients give `power`, all of them enrolled."""
    least = max(scenario.accrual_duration, (milestone or 0.0) * (1.0 + 1e-9))
    if parts(scenario, least).power(n, level) >= power:
        raise ValueError(
            f"{n:g} patients reach power {power:g} before month {least:g}, when the last of them "
            "is enrolled: shorten accrual or lower n_total"
        )
    limit = least + 1200.0
    # Some tests stop gaining once everybody is followed to the milestone: hence the tolerance.
    if parts(scenario, limit).power(n, level) < power - 1e-9:
        raise ValueError(
            f"{n:g} patients never reach power {power:g}: it stays at "
            f"{parts(scenario, limit).power(n, level):.4f} however long they are followed"
        )
    return find_root(
        lambda t: parts(scenario, t).power(n, level) - power,
        least + 6.0,
        2.0,
        least,
        limit,
        ftol=1e-9,
        what="the study duration",
    )


def _record(
    found: PatientEffect,
    n: float,
    power: float,
    inflation: float,
    scenario: SurvivalScenario,
    duration: float,
    method: str,
    level: ErrorLevel,
) -> SampleSize:
    ratios = scenario.hazard_ratios
    constant = bool(np.all(ratios == ratios[0]))
    effect = float(ratios[0]) if constant else found.details.get("average_hazard_ratio", np.nan)
    name = "hazard_ratio" if constant else "average_hazard_ratio"
    if not np.isfinite(effect):
        effect = float(average_hazard_ratio(scenario, duration)["ahr"].iloc[0])
    return SampleSize(
        f"survival, {method}",
        name,
        number(name, effect),
        float(power),
        level.alpha,
        level.sided,
        n / (1.0 + scenario.allocation),
        scenario.allocation,
        events=n * found.events,
        duration=duration,
        accrual_duration=scenario.accrual_duration,
        inflation_factor=inflation,
        details=found.details,
    )
