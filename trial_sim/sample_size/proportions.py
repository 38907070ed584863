"""Sample size for two proportions: score (Farrington-Manning), Wald, arcsine and exact tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from trial_sim.base.arguments import between, number, one_of, positive
from trial_sim.numerics.roots import find_root, solve_between
from trial_sim.sample_size.exact_proportions import exact_power_proportions, exact_sample_size
from trial_sim.sample_size.record import ErrorLevel, SampleSize, error_level

if TYPE_CHECKING:
    from trial_sim.sequential.design import GroupSequential

METHODS = ("score", "unpooled", "arcsine", "fisher", "pooled_z_exact")


def restricted_proportions(
    p1: float, p2: float, null_value: float, allocation: float, scale: str = "difference"
) -> tuple[float, float]:
    """Maximum likelihood proportions under the null of Farrington & Manning (1990).

    Of one design and for ratios too; the test of simulated trials,
    ``statistics.kernels.farrington_manning_z``, solves the same cubic compiled.

    p1 treatment, p2 control; allocation treatment per control. The null is p1 - p2 = null_value
    ("difference") or p1 / p2 = null_value ("ratio").
    """
    r = 1.0 / allocation  # control patients per treatment patient
    if scale == "ratio":
        a = 1.0 + r
        b = -(null_value * (1.0 + r * p2) + r + p1)
        c = null_value * (p1 + r * p2)
        under = (-b - np.sqrt(b * b - 4.0 * a * c)) / (2.0 * a)
        return float(under), float(under / null_value)
    s = null_value
    a = 1.0 + r
    b = -(1.0 + r + p1 + r * p2 + s * (r + 2.0))
    c = s * s + s * (2.0 * p1 + r + 1.0) + p1 + r * p2
    d = -p1 * s * (1.0 + s)
    v = (b / (3 * a)) ** 3 - b * c / (6 * a * a) + d / (2 * a)
    sign = 1.0 if v >= 0 else -1.0
    u = sign * np.sqrt(max((b / (3 * a)) ** 2 - c / (3 * a), 0.0))
    if u == 0.0:
        under = -b / (3 * a)
    else:
        w = (np.pi + np.arccos(np.clip(v / u**3, -1.0, 1.0))) / 3.0
        under = 2.0 * u * np.cos(w) - b / (3 * a)
    under = float(np.clip(under, max(0.0, s), min(1.0, 1.0 + s)))
    return under, under - s


def sample_size_proportions(
    p1: float | None = None,
    p2: float | None = None,
    power: float | None = 0.9,
    alpha: float = 0.025,
    *,
    sided: int = 1,
    null_value: float | None = None,
    scale: str = "difference",
    allocation: float = 1.0,
    method: str = "score",
    n_per_arm: float | None = None,
    boundaries: GroupSequential | None = None,
) -> SampleSize:
    """Size, power or smallest effect of a trial that compares two proportions.

    Gives what is missing: n from p1, p2, power; power from p1, p2, n_per_arm; p1 from p2,
    n_per_arm, power. Either direction is tested: p1 below p2 asks for fewer responders.

    p1: treatment. p2: control. n_per_arm: patients in the control arm.
    null_value: p1 - p2 (or p1 / p2 on scale "ratio") under the null: 0 (1) for superiority, minus
        the margin for non-inferiority of a response that is good. (Tests of a design or of a trial
        take the margin itself, a positive number.)
    method: "score" (Farrington & Manning 1990; pooled variance for superiority), "unpooled"
        (Wald), "arcsine", or exact by enumeration: "fisher", "pooled_z_exact".
    boundaries: a group-sequential design, whose alpha and sides are used; n is then the maximum.

    Examples:
        >>> import trial_sim as ts
        >>> round(ts.sample_size_proportions(0.6, 0.4, power=0.9).n_per_arm, 1)
        129.3
    """
    level = error_level(alpha, sided, boundaries)
    allocation = positive("allocation", allocation)
    method = one_of("method", method, METHODS)
    scale = one_of("scale", scale, ("difference", "ratio"))
    null = number(
        "null_value", (0.0 if scale == "difference" else 1.0) if null_value is None else null_value
    )
    if scale == "ratio" and null <= 0:
        raise ValueError(f"null_value must be above 0 on scale 'ratio', got {null:g}")
    if p2 is None:
        raise ValueError("p2, the proportion of the control arm, is always needed")
    p2 = between("p2", p2, 0.0, 1.0)
    exact = method in ("fisher", "pooled_z_exact")
    superiority = null == (0.0 if scale == "difference" else 1.0)
    if not superiority and (exact or method == "arcsine"):
        raise ValueError(f"method {method!r} tests superiority only: use 'score' for a null_value")
    if exact and boundaries is not None:
        raise ValueError(f"method {method!r} does not go with boundaries: use 'score'")
    test = "fisher" if method == "fisher" else "pooled_z"
    inflation = 1.0
    if p1 is None:
        if n_per_arm is None or power is None or exact:
            raise ValueError("p1 can be solved from n_per_arm and power, by a method not exact")
        n = positive("n_per_arm", n_per_arm)
        start = p2 + null if scale == "difference" else p2 * null
        if not 0.0 < start < 1.0:
            raise ValueError(f"null_value {null:g} puts p1 at {start:g}, outside (0, 1)")
        wanted = between("power", power, level.alpha, 1.0)
        p1 = solve_between(
            lambda p: (
                level.power_of_fixed(_power(p, p2, n, null, scale, allocation, method, level))
                - wanted
            ),
            start + 1e-9,
            1.0 - 1e-9,
            ftol=1e-12,
            what="p1",
        )
    p1 = between("p1", p1, 0.0, 1.0)
    if n_per_arm is None:
        wanted = between("power", power, level.alpha, 1.0)
        difference, null_sd, true_sd = _parts(p1, p2, null, scale, allocation, method)
        if difference == 0.0:
            raise ValueError(f"p1 {p1:g} and p2 {p2:g} lie on the null: no size finds that")
        z_beta = float(ndtri(wanted))
        n = ((level.z_alpha * null_sd + z_beta * true_sd) / difference) ** 2
        power = wanted
        if exact:
            high, low = max(p1, p2), min(p1, p2)
            if p1 >= p2 or allocation == 1.0:
                size, power = exact_sample_size(
                    high, low, wanted, level.alpha, level.sided, allocation, test, n
                )
            else:  # mirror: fewer responders on treatment are more non-responders
                size, power = exact_sample_size(
                    1.0 - p1, 1.0 - p2, wanted, level.alpha, level.sided, allocation, test, n
                )
            n = float(size)
        else:
            inflation = level.inflation(wanted)
            n *= inflation
    else:
        n = positive("n_per_arm", n_per_arm)
        if exact:
            treated = n * allocation
            first, second = (p1, p2) if p1 >= p2 else (1.0 - p1, 1.0 - p2)
            power = exact_power_proportions(
                first, second, round(treated), int(n), level.alpha, test, level.sided
            )
        else:
            power = level.power_of_fixed(_power(p1, p2, n, null, scale, allocation, method, level))
    return SampleSize(
        f"proportions, {method}",
        "difference" if scale == "difference" else "ratio",
        p1 - p2 if scale == "difference" else p1 / p2,
        float(power) if power is not None else float("nan"),
        level.alpha,
        level.sided,
        n,
        allocation,
        inflation_factor=inflation,
        details={"p1": p1, "p2": p2, "null_value": null},
    )


def _parts(
    p1: float, p2: float, null: float, scale: str, allocation: float, method: str
) -> tuple[float, float, float]:
    """Distance from the null, and its sd per root control patient under the null and in truth."""
    if method == "arcsine":
        distance = 2.0 * abs(float(np.arcsin(np.sqrt(p1)) - np.arcsin(np.sqrt(p2))))
        sd = float(np.sqrt(1.0 + 1.0 / allocation))
        return distance, sd, sd
    weight = 1.0 if scale == "difference" else null * null
    distance = abs(p1 - p2 - null) if scale == "difference" else abs(p1 - null * p2)
    true = p1 * (1 - p1) / allocation + weight * p2 * (1 - p2)
    under = true
    if method != "unpooled":
        q1, q2 = restricted_proportions(p1, p2, null, allocation, scale)
        under = q1 * (1 - q1) / allocation + weight * q2 * (1 - q2)
    return distance, float(np.sqrt(under)), float(np.sqrt(true))


def _power(
    p1: float,
    p2: float,
    n: float,
    null: float,
    scale: str,
    allocation: float,
    method: str,
    level: ErrorLevel,
) -> float:
    distance, null_sd, true_sd = _parts(p1, p2, null, scale, allocation, method)
    root = float(np.sqrt(n)) * distance
    power = float(ndtr((root - level.z_alpha * null_sd) / true_sd))
    if level.sided == 2:
        power += float(ndtr((-root - level.z_alpha * null_sd) / true_sd))
    return power


def sample_size_equivalence_proportions(
    p1: float,
    p2: float,
    margin: float,
    power: float | None = 0.9,
    alpha: float = 0.025,
    *,
    allocation: float = 1.0,
    n_per_arm: float | None = None,
) -> SampleSize:
    """Size or power of two one-sided score tests that proportions differ by less than `margin`.

    Examples:
        >>> import trial_sim as ts
        >>> round(ts.sample_size_equivalence_proportions(0.6, 0.6, margin=0.15).n_per_arm, 1)
        274.2
    """
    level = error_level(alpha, 1, None)
    p1, p2 = between("p1", p1, 0.0, 1.0), between("p2", p2, 0.0, 1.0)
    margin = between("margin", margin, 0.0, 1.0)
    allocation = positive("allocation", allocation)
    if abs(p1 - p2) >= margin:
        raise ValueError(f"the difference {p1 - p2:g} must lie inside the margin {margin:g}")

    def power_of(n: float) -> float:
        both = 0.0
        for null in (-margin, margin):
            both += _power(p1, p2, n, null, "difference", allocation, "score", level)
        return max(both - 1.0, 0.0)

    if n_per_arm is None:
        wanted = power = between("power", power, 0.0, 1.0)
        n = find_root(
            lambda m: power_of(m) - wanted,
            10.0 / (margin - abs(p1 - p2)) ** 2,
            10.0,
            1.0,
            1e9,
            ftol=1e-12,
            what="the sample size",
        )
    else:
        n = positive("n_per_arm", n_per_arm)
        power = power_of(n)
    return SampleSize(
        "equivalence of proportions, score",
        "difference",
        p1 - p2,
        float(power),
        level.alpha,
        1,
        n,
        allocation,
        details={"p1": p1, "p2": p2, "margin": margin},
    )
