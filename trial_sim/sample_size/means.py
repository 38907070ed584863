"""Sample size for means: two-sample and one-sample t tests (exact), z tests, equivalence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import chi2, nct
from scipy.stats import t as student

from trial_sim.base.arguments import between, number, one_of, positive
from trial_sim.numerics.roots import find_root
from trial_sim.sample_size.record import ErrorLevel, SampleSize, error_level, normal_power

if TYPE_CHECKING:
    from trial_sim.sequential.design import GroupSequential

_SMALLEST = 1.5


def sample_size_means(
    effect_size: float | None = None,
    power: float | None = 0.9,
    alpha: float = 0.025,
    *,
    sided: int = 1,
    sd: float = 1.0,
    null_value: float = 0.0,
    allocation: float = 1.0,
    n_arms: int = 2,
    method: str = "t",
    n_per_arm: float | None = None,
    boundaries: GroupSequential | None = None,
) -> SampleSize:
    """Size, power or smallest effect of a trial that compares means.

    Gives what is missing: n from effect and power; power from effect and n_per_arm; effect from
    n_per_arm and power.

    effect_size: difference of means, treatment minus control (mean, for n_arms=1), in the unit of
        `sd`; with sd=1 it is Cohen's d.
    null_value: difference under the null; minus the margin for non-inferiority.
    allocation: treatment patients per control patient. n_per_arm: patients in the control arm.
    method: "t" (exact, noncentral t) or "normal".
    boundaries: a group-sequential design, whose alpha and sides are used; n is then the maximum.

    Examples:
        >>> import trial_sim as ts
        >>> plan = ts.sample_size_means(0.5, power=0.9, alpha=0.025)
        >>> round(plan.n_per_arm, 2), plan.power
        (85.03, 0.9)
    """
    level = error_level(alpha, sided, boundaries)
    sd, null_value = positive("sd", sd), number("null_value", null_value)
    allocation = positive("allocation", allocation)
    method = one_of("method", method, ("t", "normal"))
    if n_arms not in (1, 2):
        raise ValueError(f"n_arms must be 1 or 2, got {n_arms!r}")

    def fixed_power(shift: float, n: float) -> float:
        return _power(shift / sd, n, allocation, n_arms, method, level)

    inflation = 1.0
    if n_per_arm is None:
        if effect_size is None or power is None:
            raise ValueError("give two of effect_size, power and n_per_arm")
        effect_size = number("effect_size", effect_size)
        shift = _shift(effect_size - null_value, level.sided)
        power = between("power", power, level.alpha, 1.0)
        guess = _normal_n(shift / sd, power, allocation, n_arms, level)
        n = guess
        if method == "t":
            n = _solve_n(lambda m: fixed_power(shift, m), power, guess)
        inflation = level.inflation(power)
        n *= inflation
    else:
        n = positive("n_per_arm", n_per_arm)
        if n <= 1.0 and method == "t":
            raise ValueError(f"n_per_arm must be above 1 to estimate a variance, got {n:g}")
        if effect_size is None:
            wanted = power = between("power", power, level.alpha, 1.0)
            guess = (float(ndtri(power)) + level.z_alpha) * sd * _root(allocation, n_arms, n)
            shift = find_root(
                lambda d: level.power_of_fixed(fixed_power(d, n)) - wanted,
                guess,
                0.02 * guess,
                0.0,
                ftol=1e-12,
                what="the effect",
            )
            effect_size = null_value + shift
        else:
            effect_size = number("effect_size", effect_size)
            shift = effect_size - null_value
            power = level.power_of_fixed(fixed_power(abs(shift) if sided == 2 else shift, n))
    return SampleSize(
        f"means, {method}",
        "difference",
        effect_size,
        float(power),
        level.alpha,
        level.sided,
        n,
        allocation,
        n_arms,
        inflation_factor=inflation,
        details={"sd": sd, "null_value": null_value},
    )


def _shift(difference: float, sided: int) -> float:
    shift = abs(difference) if sided == 2 else difference
    if shift <= 0:
        raise ValueError(
            f"the effect must lie above the null value for a test to find it, got a difference "
            f"of {difference:g} from it"
        )
    return shift


def _root(allocation: float, n_arms: int, n: float) -> float:
    """Standard error of the difference per unit sd."""
    return float(np.sqrt((1.0 + 1.0 / allocation) / n if n_arms == 2 else 1.0 / n))


def _normal_n(
    shift: float, power: float, allocation: float, n_arms: int, level: ErrorLevel
) -> float:
    unit = _root(allocation, n_arms, 1.0)
    return ((float(ndtri(power)) + level.z_alpha) * unit / shift) ** 2


def _power(
    shift: float, n: float, allocation: float, n_arms: int, method: str, level: ErrorLevel
) -> float:
    centre = shift / _root(allocation, n_arms, n)
    if method == "normal":
        return normal_power(centre, level)
    df = n * (1.0 + allocation) - 2.0 if n_arms == 2 else n - 1.0
    if df <= 0:
        return 0.0
    critical = float(student.isf(level.alpha / level.sided, df))
    reached = float(nct.sf(critical, df, centre))
    if level.sided == 2:
        other = float(nct.cdf(-critical, df, centre))
        reached += other if np.isfinite(other) else 0.0
    return reached


def _solve_n(power_of: Callable[[float], float], power: float, guess: float) -> float:
    """The real n per arm at which `power_of(n)` is `power`; at least 1.5, for a variance."""
    if power_of(_SMALLEST) >= power:
        return _SMALLEST
    near, step = max(guess + 1.0, 2.5), 1.0
    if power_of(near) >= power:
        near, step = _SMALLEST, near - _SMALLEST
    return find_root(
        lambda n: power_of(n) - power,
        near,
        step,
        _SMALLEST,
        1e9,
        xtol=1e-12,
        ftol=1e-13,
        what="the sample size",
    )


def sample_size_equivalence_means(
    margin: float,
    difference: float = 0.0,
    power: float | None = 0.9,
    alpha: float = 0.025,
    *,
    sd: float = 1.0,
    allocation: float = 1.0,
    method: str = "t",
    n_per_arm: float | None = None,
) -> SampleSize:
    """Size or power of two one-sided tests that means differ by less than `margin`.

    margin: (-margin, margin) is equivalent. difference: the true difference.
    alpha: of each one-sided test. method: "t" (exact: the power integral over the variance,
    Owen 1965; Phillips 1990) or "normal".

    Examples:
        >>> import trial_sim as ts
        >>> round(ts.sample_size_equivalence_means(0.5).n_per_arm, 2)
        104.93
    """
    level = error_level(alpha, 1, None)
    margin, sd = positive("margin", margin), positive("sd", sd)
    difference = abs(number("difference", difference))
    allocation = positive("allocation", allocation)
    method = one_of("method", method, ("t", "normal"))
    if difference >= margin:
        raise ValueError(f"difference {difference:g} must lie inside the margin {margin:g}")

    def power_of(n: float) -> float:
        se = sd * _root(allocation, 2, n)
        if method == "normal":
            width = level.z_alpha * np.ones(1)
            weights = np.ones(1)
        else:
            df = n * (1.0 + allocation) - 2.0
            if df <= 0:
                return 0.0
            # u = s / sigma, by Gauss-Legendre over the bulk of its distribution
            low, high = np.sqrt(chi2.ppf([1e-13, 1 - 1e-13], df) / df)
            nodes, weights = np.polynomial.legendre.leggauss(120)
            u = low + 0.5 * (high - low) * (nodes + 1.0)
            weights = 0.5 * (high - low) * weights * chi2.pdf(df * u * u, df) * 2.0 * df * u
            width = student.isf(level.alpha, df) * u
        inside = ndtr((margin - difference) / se - width) - ndtr(
            (-margin - difference) / se + width
        )
        return float(weights @ np.maximum(inside, 0.0))

    if n_per_arm is None:
        power = between("power", power, 0.0, 1.0)
        guess = (
            (float(ndtri(0.5 + 0.5 * power)) + level.z_alpha)
            * sd
            * _root(allocation, 2, 1.0)
            / (margin - difference)
        ) ** 2
        n = _solve_n(power_of, power, guess)
    else:
        n = positive("n_per_arm", n_per_arm)
        power = power_of(n)
    return SampleSize(
        f"equivalence of means, {method}",
        "difference",
        difference,
        float(power),
        level.alpha,
        1,
        n,
        allocation,
        details={"margin": margin, "sd": sd},
    )
