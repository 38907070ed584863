"""Sample size for counts and recurrent events: negative binomial and LWYY rate ratios."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from trial_sim.base.arguments import between, number, one_of, positive
from trial_sim.numerics.roots import find_root
from trial_sim.sample_size.record import ErrorLevel, SampleSize, error_level

if TYPE_CHECKING:
    from trial_sim.sequential.design import GroupSequential


def sample_size_counts(
    rate_ratio: float | None = None,
    control_rate: float = 1.0,
    power: float | None = 0.9,
    alpha: float = 0.025,
    *,
    dispersion: float = 0.0,
    exposure: float = 1.0,
    null_ratio: float = 1.0,
    allocation: float = 1.0,
    null_variance: str = "maximum_likelihood",
    sided: int = 1,
    n_per_arm: float | None = None,
    boundaries: GroupSequential | None = None,
) -> SampleSize:
    """Size, power or rate ratio for counts, negative binomial with a common exposure.

    rate_ratio: treatment over control. control_rate: events per unit of exposure.
    dispersion: k with variance = mean + k * mean**2; 0 is Poisson. exposure: per patient.
    null_variance: how variance under the null is set (Zhu & Lakkis 2014): "control" (both arms at
        the control rate), "truth" (as under the alternative) or "maximum_likelihood" (both at the
        average rate).

    Examples:
        >>> import trial_sim as ts
        >>> round(ts.sample_size_counts(0.7, control_rate=0.8, dispersion=0.5).n_per_arm, 1)
        328.6
    """
    null_variance = one_of(
        "null_variance", null_variance, ("control", "truth", "maximum_likelihood")
    )
    rate, exposure = positive("control_rate", control_rate), positive("exposure", exposure)
    k = _not_negative("dispersion", dispersion)
    r = positive("allocation", allocation)
    null = positive("null_ratio", null_ratio)

    def sds(ratio: float) -> tuple[float, float]:
        mean0 = rate * exposure
        mean1 = mean0 * ratio
        true = (1.0 / mean0 + k) + (1.0 / mean1 + k) / r
        if null_variance == "truth":
            return true, true
        base = mean0
        if null_variance == "maximum_likelihood":
            base = (mean0 + r * mean1) / (1.0 + r * null)
        return (1.0 / base + k) + (1.0 / (base * null) + k) / r, true

    return _rate_ratio_design(
        "counts, negative binomial",
        rate_ratio,
        power,
        alpha,
        sided,
        null,
        r,
        n_per_arm,
        boundaries,
        sds,
        {"control_rate": rate, "dispersion": k, "exposure": exposure},
    )


def sample_size_recurrent(
    rate_ratio: float | None = None,
    control_rate: float = 1.0,
    power: float | None = 0.9,
    alpha: float = 0.025,
    *,
    dispersion: float = 0.0,
    accrual_duration: float = 0.0,
    study_duration: float | None = 12.0,
    dropout: float = 0.0,
    null_ratio: float = 1.0,
    allocation: float = 1.0,
    method: str = "negative_binomial",
    sided: int = 1,
    n_per_arm: float | None = None,
    boundaries: GroupSequential | None = None,
) -> SampleSize:
    """Size, power, rate ratio or duration for recurrent events with follow-up that varies.

    Patients enter uniformly over accrual_duration, are followed to study_duration and drop out at
    hazard `dropout`; given a gamma frailty of variance `dispersion`, events are Poisson.
    method: "negative_binomial" (model-based variance) or "lwyy" (robust variance of the Andersen-
        Gill rate model of Lin, Wei, Yang & Ying 2000; see Tang 2018).
    Give study_duration=None with n_per_arm and power to solve the duration.

    Examples:
        >>> import trial_sim as ts
        >>> plan = ts.sample_size_recurrent(
        ...     0.7, control_rate=0.1, dispersion=0.5, accrual_duration=6, study_duration=18
        ... )
        >>> round(plan.n_total, 1)
        434.0
    """
    method = one_of("method", method, ("negative_binomial", "lwyy"))
    rate, k = positive("control_rate", control_rate), _not_negative("dispersion", dispersion)
    accrual = _not_negative("accrual_duration", accrual_duration)
    loss = _not_negative("dropout", dropout)
    r, null = positive("allocation", allocation), positive("null_ratio", null_ratio)

    def sds_at(duration: float) -> Any:
        followed, weight = _follow_up(accrual, duration, loss)

        def variance(lam: float) -> float:
            mean = lam * followed
            if method == "negative_binomial":
                return 1.0 / float(weight @ (mean / (1.0 + k * mean)))
            return float(weight @ (mean + k * mean**2)) / float(weight @ mean) ** 2

        def sds(ratio: float) -> tuple[float, float]:
            true = variance(rate) + variance(rate * ratio) / r
            return true, true

        return sds

    def design(duration: float) -> SampleSize:
        return _rate_ratio_design(
            f"recurrent events, {method}",
            rate_ratio,
            power,
            alpha,
            sided,
            null,
            r,
            n_per_arm,
            boundaries,
            sds_at(duration),
            {"control_rate": rate, "dispersion": k},
            duration,
            accrual,
        )

    if study_duration is not None:
        duration = positive("study_duration", study_duration)
        if duration < accrual:
            raise ValueError(
                f"study_duration {duration:g} must not be below accrual_duration {accrual:g}"
            )
        return design(duration)
    if n_per_arm is None or power is None or rate_ratio is None:
        raise ValueError("study_duration is solved from n_per_arm, power and rate_ratio")
    wanted = between("power", power, error_level(alpha, sided, boundaries).alpha, 1.0)
    # With a robust variance power may fall again when few are left: take the first crossing.
    shortest = max(accrual, 1e-3)
    trials = shortest + np.concatenate([[0.0], np.geomspace(0.05, 1200.0, 80)])
    powers = np.array([design(float(t)).power for t in trials])
    reached = np.flatnonzero(powers >= wanted)
    if reached.size == 0:
        raise ValueError(
            f"{n_per_arm:g} patients per arm never reach power {wanted:g}: it is at most "
            f"{powers.max():.4f}"
        )
    first = int(reached[0])
    if first == 0:
        raise ValueError(
            f"{n_per_arm:g} patients per arm reach power {wanted:g} before month {shortest:g}, "
            "when the last of them is enrolled: shorten accrual or lower n_per_arm"
        )
    duration = find_root(
        lambda t: design(t).power - wanted,
        float(trials[first - 1]),
        float(trials[first] - trials[first - 1]),
        float(trials[first - 1]),
        float(trials[first]),
        ftol=1e-12,
        what="the study duration",
    )
    return design(duration)


def _follow_up(accrual: float, duration: float, loss: float) -> tuple[np.ndarray, np.ndarray]:
    """Follow-up times (n,) and their probabilities (n,), quadrature of the continuous parts."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    entered = accrual * 0.5 * (nodes + 1.0) if accrual > 0 else np.zeros(1)
    share = 0.5 * weights if accrual > 0 else np.ones(1)
    longest = duration - entered
    if loss == 0.0:
        return longest, share
    early = longest[:, None] * 0.5 * (nodes + 1.0)
    density = share[:, None] * loss * np.exp(-loss * early) * longest[:, None] * 0.5 * weights
    times = np.concatenate([early.ravel(), longest])
    return times, np.concatenate([density.ravel(), share * np.exp(-loss * longest)])


def _rate_ratio_design(
    method: str,
    rate_ratio: float | None,
    power: float | None,
    alpha: float,
    sided: int,
    null: float,
    allocation: float,
    n_per_arm: float | None,
    boundaries: GroupSequential | None,
    sds: Any,
    details: dict[str, float],
    duration: float | None = None,
    accrual: float | None = None,
) -> SampleSize:
    """n, power or ratio from the variances of the log rate ratio per root control patient."""
    level = error_level(alpha, sided, boundaries)
    inflation = 1.0
    if rate_ratio is None:
        if n_per_arm is None or power is None:
            raise ValueError("give two of rate_ratio, power and n_per_arm")
        n = positive("n_per_arm", n_per_arm)
        wanted = between("power", power, level.alpha, 1.0)
        log_ratio = find_root(
            lambda x: _power(x, n, null, sds, level) - wanted,
            float(np.log(null)) - 0.3,
            0.05,
            -10.0,
            float(np.log(null)) - 1e-9,
            ftol=1e-11,
            what="the rate ratio",
        )
        rate_ratio = float(np.exp(log_ratio))
    ratio = positive("rate_ratio", rate_ratio)
    distance = abs(float(np.log(ratio / null)))
    if distance == 0.0:
        raise ValueError(f"rate_ratio {ratio:g} is the null ratio: no size finds it")
    if n_per_arm is None:
        wanted = between("power", power, level.alpha, 1.0)
        under, true = (float(np.sqrt(v)) for v in sds(ratio))
        inflation = level.inflation(wanted)
        n = ((level.z_alpha * under + float(ndtri(wanted)) * true) / distance) ** 2 * inflation
    else:
        n = positive("n_per_arm", n_per_arm)
        wanted = _power(float(np.log(ratio)), n, null, sds, level)
    return SampleSize(
        method,
        "rate_ratio",
        ratio,
        wanted,
        level.alpha,
        level.sided,
        n,
        allocation,
        duration=duration,
        accrual_duration=accrual,
        inflation_factor=inflation,
        details=details,
    )


def _power(log_ratio: float, n: float, null: float, sds: Any, level: ErrorLevel) -> float:
    under, true = (float(np.sqrt(v)) for v in sds(float(np.exp(log_ratio))))
    root = float(np.sqrt(n)) * abs(log_ratio - float(np.log(null)))
    return level.power_of_fixed(float(ndtr((root - level.z_alpha * under) / true)))


def _not_negative(name: str, value: Any) -> float:
    found = number(name, value)
    if found < 0:
        raise ValueError(f"{name} must not be negative, got {found:g}")
    return found
