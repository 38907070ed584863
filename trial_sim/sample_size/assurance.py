"""Assurance, probability of success, robust borrowing for a proportion, prognostic adjustment.

"Probability of success" has many definitions (Kunzmann et al. 2021 count seventeen); each function
here names the one it gives:

    "unconditional"            P(trial succeeds), effect drawn from the prior (O'Hagan 2005)
    "conditional_on_benefit"   P(trial succeeds | effect above the threshold)
    "joint"                    P(trial succeeds and effect above the threshold)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaln, ndtr, ndtri
from scipy.stats import binom

from trial_sim.base.arguments import between, number, one_of, positive
from trial_sim.sample_size.record import SampleSize, error_level
from trial_sim.sequential.integration import FloatArray
from trial_sim.sequential.multiplicity import normal_orthant

if TYPE_CHECKING:
    from trial_sim.sequential.design import GroupSequential

DEFINITIONS = ("unconditional", "conditional_on_benefit", "joint")


def assurance(
    prior_mean: float,
    prior_sd: float,
    standard_error: float,
    alpha: float = 0.025,
    definition: str = "unconditional",
    threshold: float = 0.0,
) -> float:
    """Closed-form assurance of a one-sided z-test under a normal prior on the effect.

    Effects above 0 favour treatment (for a log hazard ratio pass minus its mean).
    prior_mean, prior_sd: of the true effect. standard_error: of the trial's estimate.
    threshold: effect that counts as benefit in the definitions that need one.

    >>> round(assurance(0.3, 0.15, 0.1), 6)
    0.717999
    """
    mean, sd = number("prior_mean", prior_mean), number("prior_sd", prior_sd)
    if sd < 0:
        raise ValueError(f"prior_sd must not be negative, got {sd:g}")
    error = positive("standard_error", standard_error)
    alpha = between("alpha", alpha, 0.0, 0.5)
    definition = one_of("definition", definition, DEFINITIONS)
    threshold = number("threshold", threshold)
    spread = float(np.hypot(sd, error))
    success = (mean + float(ndtri(alpha)) * error) / spread
    if definition == "unconditional":
        return float(ndtr(success))
    if sd == 0.0:
        benefit, joint = float(mean > threshold), float(ndtr(success)) * (mean > threshold)
    else:
        above = (mean - threshold) / sd
        benefit = float(ndtr(above))
        rho = sd / spread
        joint = normal_orthant([success, above], [[1.0, rho], [rho, 1.0]])
    if definition == "joint":
        return joint
    if benefit == 0.0:
        raise ValueError(f"the prior puts no weight on an effect above {threshold:g}")
    return joint / benefit


def probability_of_success(
    design: GroupSequential,
    prior: tuple[float, float] | None = None,
    *,
    drifts: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    definition: str = "unconditional",
    threshold: float = 0.0,
) -> float:
    """Probability that a group-sequential trial rejects, averaged over a prior on its drift.

    prior: (mean, sd) of a normal prior on the drift (mean of Z at full information); or
    drifts, weights: (n,) a discrete prior, e.g. draws with equal weights, which sum to 1.

    Examples:
        >>> import trial_sim as ts
        >>> gs = ts.group_sequential(
        ...     information_fractions=(0.5, 1),
        ...     alpha=0.025,
        ...     power=0.9,
        ...     efficacy="obrien_fleming",
        ... )
        >>> round(ts.probability_of_success(gs, prior=(3.0, 1.0)), 3)
        0.767
    """
    definition = one_of("definition", definition, DEFINITIONS)
    if (prior is None) == (drifts is None):
        raise ValueError("give either prior=(mean, sd) or drifts with weights")
    if prior is not None:
        mean, sd = number("prior mean", prior[0]), positive("prior sd", prior[1])
        nodes, w = np.polynomial.legendre.leggauss(80)
        low = -8.0 if definition == "unconditional" else max(-8.0, (threshold - mean) / sd)
        if low >= 8.0:
            raise ValueError(f"the prior puts no weight on a drift above {threshold:g}")
        x = low + 0.5 * (8.0 - low) * (nodes + 1.0)
        grid = mean + sd * x
        mass = 0.5 * (8.0 - low) * w * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    else:
        grid = np.atleast_1d(np.asarray(drifts, dtype=float))
        mass = (
            np.full(len(grid), 1.0 / len(grid))
            if weights is None
            else np.asarray(weights, dtype=float)
        )
        if mass.shape != grid.shape or (mass < 0).any() or abs(mass.sum() - 1.0) > 1e-6:
            raise ValueError("weights must be as many as drifts, not negative, and sum to 1")
        if definition != "unconditional":
            mass = np.where(grid > threshold, mass, 0.0)
    powers = np.array([design.power_at(float(d)) for d in grid])
    joint = float(mass @ powers)
    if definition != "conditional_on_benefit":
        return joint
    if mass.sum() <= 0:
        raise ValueError(f"the prior puts no weight on a drift above {threshold:g}")
    return joint / float(mass.sum())


@dataclass(frozen=True, eq=False)
class BetaMixture:
    """A mixture of beta distributions for a proportion; every field is (n_components,) float64.

    Examples:
        >>> import trial_sim as ts
        >>> prior = ts.BetaMixture([0.8, 0.2], [12, 1], [28, 1])
        >>> round(prior.mean, 3), round(prior.posterior(4, 20).mean, 3)
        (0.34, 0.263)
        >>> prior.cdf([0.5]).round(3).tolist(), prior.robust(0.2).weights.round(2).tolist()
        ([0.896], [0.64, 0.16, 0.2])
    """

    weights: FloatArray
    a: FloatArray
    b: FloatArray

    def __post_init__(self) -> None:
        for name in ("weights", "a", "b"):
            values = np.atleast_1d(np.array(getattr(self, name), dtype=float))
            if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any():
                raise ValueError(f"{name} must be finite and not negative, got {values.tolist()}")
            object.__setattr__(self, name, values)
        if not len(self.weights) == len(self.a) == len(self.b):
            raise ValueError("weights, a and b must have one length")
        if (self.a <= 0).any() or (self.b <= 0).any():
            raise ValueError("a and b must be above 0")
        if abs(self.weights.sum() - 1.0) > 1e-9:
            raise ValueError(f"weights must sum to 1, got {self.weights.sum():g}")

    @property
    def mean(self) -> float:
        """Mean of the proportion."""
        return float(self.weights @ (self.a / (self.a + self.b)))

    def cdf(self, x: ArrayLike) -> FloatArray:
        """P(proportion <= x) for x (n,). Returns (n,) float64."""
        points = np.clip(np.atleast_1d(np.asarray(x, dtype=float)), 0.0, 1.0)
        return betainc(self.a, self.b, points[:, None]) @ self.weights

    def posterior(self, responders: int, n: int) -> BetaMixture:
        """The mixture after `responders` of `n` patients; weights follow their evidence."""
        if not 0 <= responders <= n:
            raise ValueError(f"responders must be from 0 to n = {n}, got {responders}")
        a, b = self.a + responders, self.b + (n - responders)
        with np.errstate(divide="ignore"):
            evidence = np.log(self.weights) + betaln(a, b) - betaln(self.a, self.b)
        weights = np.exp(evidence - evidence.max())
        return BetaMixture(weights / weights.sum(), a, b)

    def robust(self, weight: float = 0.2) -> BetaMixture:
        """The mixture with a uniform component of `weight` (Schmidli et al. 2014)."""
        w = between("weight", weight, 0.0, 1.0)
        return BetaMixture(
            np.append(self.weights * (1.0 - w), w), np.append(self.a, 1.0), np.append(self.b, 1.0)
        )


def _quadrature() -> tuple[FloatArray, FloatArray]:
    """Angles on (0, pi / 2) for p = sin(angle)**2, which tames the ends of beta densities."""
    nodes, weights = np.polynomial.legendre.leggauss(600)
    return 0.25 * np.pi * (nodes + 1.0), 0.25 * np.pi * weights


def _angle_density(a: FloatArray, b: FloatArray, angle: FloatArray) -> FloatArray:
    """Density of the angle (n_angles, n) when sin(angle)**2 is beta(a, b)."""
    log_sin, log_cos = np.log(np.sin(angle))[:, None], np.log(np.cos(angle))[:, None]
    return 2.0 * np.exp((2.0 * a - 1.0) * log_sin + (2.0 * b - 1.0) * log_cos - betaln(a, b))


def borrowing_power(
    treatment_rate: float | Sequence[float],
    control_rate: float | Sequence[float],
    n_treatment: int,
    n_control: int,
    treatment_prior: BetaMixture,
    control_prior: BetaMixture,
    critical: float = 0.975,
    difference: float = 0.0,
) -> FloatArray:
    """Exact probability of declaring success with borrowed control data.

    Success: P(treatment - control > difference | data) > critical. Rates are scalars or (n,).
    Returns (n,) float64, summed over every outcome of both arms.

    Examples:
        >>> import trial_sim as ts
        >>> vague, history = ts.BetaMixture([1], [1], [1]), ts.BetaMixture([1], [12], [28])
        >>> ts.borrowing_power(0.6, 0.3, 30, 20, vague, history).round(3).tolist()
        [0.829]
    """
    critical = between("critical", critical, 0.0, 1.0)
    angle, weight = _quadrature()
    p = np.sin(angle) ** 2
    tails = np.array(
        [
            1.0 - treatment_prior.posterior(y, n_treatment).cdf(p + difference)
            for y in range(n_treatment + 1)
        ]
    )
    densities = np.empty((len(angle), n_control + 1))
    for y in range(n_control + 1):
        after = control_prior.posterior(y, n_control)
        densities[:, y] = _angle_density(after.a, after.b, angle) @ after.weights
    success = (tails * weight) @ densities > critical
    rates = np.broadcast_arrays(treatment_rate, control_rate)
    return np.array(
        [
            binom.pmf(np.arange(n_treatment + 1), n_treatment, rt)
            @ success
            @ binom.pmf(np.arange(n_control + 1), n_control, rc)
            for rt, rc in zip(np.ravel(rates[0]), np.ravel(rates[1]))
        ]
    )


def sample_size_prognostic(
    effect: float,
    correlation: float | tuple[float, float],
    power: float | None = 0.9,
    alpha: float = 0.025,
    *,
    sd: float | tuple[float, float] = 1.0,
    deflation: float = 1.0,
    allocation: float = 1.0,
    sided: int = 1,
    n_total: float | None = None,
) -> SampleSize:
    """Size or power with a prognostic score or a baseline covariate in the model (PROCOVA).

    effect: difference of means. correlation: of the covariate with the outcome, one number or
    (control, treatment). sd: of the outcome, likewise. deflation: multiplies the correlations, to
    allow for a score that predicts worse in the new trial (.8 to .9 is a common sensitivity).

    n * variance = sd0^2 / pi0 + sd1^2 / pi1 - pi0 pi1 (rho0 sd0 / pi0 + rho1 sd1 / pi1)^2, the
    asymptotic variance of ANCOVA with treatment-covariate interaction; with equal arms, sd and
    rho the size falls by 1 - rho^2 (Schuler et al. 2022).

    Examples:
        >>> import trial_sim as ts
        >>> plain, adjusted = (ts.sample_size_prognostic(0.3, r).n_total for r in (0.0, 0.5))
        >>> round(adjusted / plain, 2)
        0.75
    """
    level = error_level(alpha, sided, None)
    shift = abs(number("effect", effect))
    if shift == 0.0:
        raise ValueError("effect must not be 0: no size finds it")
    rho = _pair("correlation", correlation)
    sds = _pair("sd", sd)
    if min(sds) <= 0:
        raise ValueError(f"sd must be above 0, got {sd!r}")
    if max(abs(x) for x in rho) >= 1:
        raise ValueError(f"correlation must be between -1 and 1, got {correlation!r}")
    kept = between("deflation", deflation, 0.0, 1.0 + 1e-12)
    r = positive("allocation", allocation)
    pi0, pi1 = 1.0 / (1.0 + r), r / (1.0 + r)
    joint = kept * (rho[0] * sds[0] / pi0 + rho[1] * sds[1] / pi1)
    unit = sds[0] ** 2 / pi0 + sds[1] ** 2 / pi1 - pi0 * pi1 * joint**2
    if n_total is None:
        power = between("power", power, level.alpha, 1.0)
        n = ((level.z_alpha + float(ndtri(power))) / shift) ** 2 * unit
    else:
        n = positive("n_total", n_total)
        power = float(ndtr(shift * np.sqrt(n / unit) - level.z_alpha))
    return SampleSize(
        "means, prognostic adjustment",
        "difference",
        effect,
        float(power),
        level.alpha,
        level.sided,
        n / (1.0 + r),
        r,
        details={"variance_per_patient": unit, "deflation": kept},
    )


def _pair(name: str, value: Any) -> tuple[float, float]:
    values = [number(name, x) for x in np.atleast_1d(value)]
    if len(values) not in (1, 2):
        raise ValueError(f"{name} must be one number or (control, treatment), got {value!r}")
    return values[0], values[-1]
