"""Sample size re-estimated at one interim look, unblinded or blinded.

Effects are written as `theta`, the mean of z of a trial of one patient: z of n patients has mean
theta * sqrt(n). For two equal arms and a difference d of standard deviation s, theta is d / (2 s).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from trial_sim.adaptive.binomial_sequences import _steps, _z
from trial_sim.base.arguments import between, number, one_of, positive
from trial_sim.base.records import Record, as_number, as_whole
from trial_sim.numerics.roots import solve_between
from trial_sim.sequential.design import GroupSequential
from trial_sim.sequential.integration import FloatArray

__all__ = [
    "BlindedRates",
    "PromisingZone",
    "ReestimationProbabilities",
    "SampleSizeReestimation",
    "blinded_sample_size_means",
    "smallest_promising_power",
]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
ZONES = ("unfavourable", "promising", "favourable")


@dataclass(frozen=True)
class ReestimationProbabilities(Record):
    """What a design with re-estimated sample size does at a true effect.

    power: chance of rejection by the test named. expected_n: mean patients of both arms.
    reestimated: chance that the interim look changes the size; stopped: that it ends the trial.
    power_fixed: without re-estimation, of the planned size.
    """

    power: float
    expected_n: float
    reestimated: float
    stopped: float
    power_fixed: float


def _pieces(low: float, high: float, breaks: Any, n: int = 24) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of Gauss-Legendre pieces between breaks, none wider than (high-low)/n."""
    edges = np.unique(np.r_[np.linspace(low, high, n + 1), [b for b in breaks if low < b < high]])
    centre, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    return (centre[:, None] + half[:, None] * _NODES).ravel(), (half[:, None] * _WEIGHTS).ravel()


@dataclass(frozen=True)
class PromisingZone(Record):
    """A two-stage trial that grows when the interim result is promising (Mehta & Pocock 2011).

    No early stop. When conditional power under the observed trend is at least ``lower`` and below
    ``target``, the second stage is enlarged to reach ``target``, up to ``n_max`` patients in all.

    Attributes:
        n_first: patients at the look. n_planned, n_max: in all, planned and at most.
        target: conditional power to reach, where the favourable zone begins.
        lower: conditional power where the promising zone begins; None for the least from which on
            the conventional test keeps its level (:func:`smallest_promising_power`).
        alpha: one-sided level.

    Examples:
        >>> import trial_sim as ts
        >>> zone = ts.PromisingZone(n_first=208, n_planned=442, n_max=884, lower=0.365)
        >>> zone.zone(1.2), zone.zone(0.3), round(float(zone.conditional_power(1.2)), 3)
        ('promising', 'unfavourable', 0.386)
        >>> zone.n_total([0.3, 1.2, 1.6]).round(1).tolist()
        [442.0, 884.0, 541.8]
        >>> result = zone.probabilities(theta=1.6 / (2 * 7.5), test="chw")
        >>> round(result.power, 4), round(result.expected_n, 1)
        (0.6573, 495.1)
        >>> round(float(zone.final_z(1.5, 1.4, test="chw")), 3)
        2.048
        >>> zone.promising_from
        0.365
    """

    n_first: float
    n_planned: float
    n_max: float
    target: float = 0.8
    lower: float | None = None
    alpha: float = 0.025

    def __post_init__(self) -> None:
        first, planned = positive("n_first", self.n_first), positive("n_planned", self.n_planned)
        most = as_number(self.n_max, "n_max")
        if not first < planned:
            raise ValueError(
                f"n_first must be below n_planned, got {first:g} and {planned:g}: the look comes "
                "before the planned end"
            )
        if not most >= planned:
            raise ValueError(f"n_max {most:g} is below n_planned {planned:g}")
        between("target", self.target, 0.0, 1.0)
        between("alpha", self.alpha, 0.0, 0.5)
        if self.lower is not None:
            between("lower", self.lower, 0.0, float(self.target))

    @property
    def promising_from(self) -> float:
        """Conditional power at which the promising zone begins."""
        if self.lower is not None:
            return float(self.lower)
        return smallest_promising_power(
            self.n_first / self.n_planned, self.n_max / self.n_planned, self.target, self.alpha
        )

    @property
    def _critical(self) -> float:
        return -float(ndtri(self.alpha))

    def conditional_power(self, z: ArrayLike) -> FloatArray:
        """Chance of rejection at the planned size, if the observed trend is the truth."""
        return _trend_power(
            np.asarray(z, dtype=float), self.n_first, self.n_planned, self._critical
        )

    def zone(self, z: float) -> str:
        """ "unfavourable", "promising" or "favourable"."""
        power = float(self.conditional_power(number("z", z)))
        return ZONES[int(power >= self.promising_from) + int(power >= self.target)]

    def n_total(self, z: ArrayLike) -> FloatArray:
        """Patients in all after the interim z; not rounded."""
        z = np.asarray(z, dtype=float)
        power = self.conditional_power(z)
        inside = (power >= self.promising_from) & (power < self.target)
        wanted = self.n_first + _trend_size(
            np.where(inside, z, 1.0), self.n_first, self.n_planned, self._critical, self.target
        )
        return np.where(inside, np.clip(wanted, self.n_planned, self.n_max), self.n_planned)

    def final_z(self, first: ArrayLike, second: ArrayLike, test: str = "chw") -> FloatArray:
        """Test statistic from the z-values of the two stages, each of its own patients.

        test: "chw", with the weights planned (Cui, Hung & Wang 1999; the test of the conditional
        error is the same), or "conventional", as if the size had been fixed (Chen et al. 2004).
        """
        one_of("test", test, ("chw", "conventional"))
        one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
        total = self.n_planned if test == "chw" else self.n_total(one)
        share = self.n_first / total
        return np.sqrt(share) * one + np.sqrt(1 - share) * two

    def probabilities(self, theta: float, test: str = "chw") -> ReestimationProbabilities:
        """Power and mean size at a true effect, by numerical integration."""
        one_of("test", test, ("chw", "conventional"))
        theta = number("theta", theta)
        mean, c = theta * np.sqrt(self.n_first), self._critical

        def z_of(power: float) -> float:
            return solve_between(lambda z: float(self.conditional_power(z)) - power, -30.0, 30.0)

        edges = [z_of(power) for power in (self.promising_from, self.target)]

        def unclipped(z: float) -> float:
            wanted = _trend_size(np.array(z), self.n_first, self.n_planned, c, self.target)
            return float(self.n_first + wanted) - self.n_max

        if np.isfinite(self.n_max) and unclipped(edges[0]) > 0 > unclipped(edges[1]):
            edges.append(solve_between(unclipped, edges[0], edges[1]))
        z, weight = _pieces(mean - 9.0, mean + 9.0, edges)
        chance = weight * np.exp(-0.5 * (z - mean) ** 2) / np.sqrt(2 * np.pi)
        total = self.n_total(z)
        share = self.n_first / (self.n_planned if test == "chw" else total)
        needed = (c - np.sqrt(share) * z) / np.sqrt(1 - share)
        power = ndtr(theta * np.sqrt(total - self.n_first) - needed)
        inside = np.array([self.promising_from, self.target])
        cp = self.conditional_power(z)
        return ReestimationProbabilities(
            float(chance @ power),
            float(chance @ total),
            float(chance @ ((cp >= inside[0]) & (cp < inside[1]))),
            0.0,
            float(ndtr(theta * np.sqrt(self.n_planned) - c)),
        )


def _trend_power(z: FloatArray, first: float, planned: float, c: float) -> FloatArray:
    rest = np.sqrt(planned - first)
    return ndtr(z * rest / np.sqrt(first) - (c * np.sqrt(planned) - z * np.sqrt(first)) / rest)


def _trend_size(z: FloatArray, first: float, planned: float, c: float, target: float) -> FloatArray:
    """Patients of a second stage with conditional power `target` under the observed trend."""
    needed = (c * np.sqrt(planned) - z * np.sqrt(first)) / np.sqrt(planned - first)
    return first / z**2 * (needed + float(ndtri(target))) ** 2


def smallest_promising_power(
    information: float, growth: float = np.inf, target: float = 0.8, alpha: float = 0.025
) -> float:
    """Least conditional power from which on a trial may grow and keep its conventional test.

    The lower end of the promising zone of Mehta & Pocock (2011): with at least this conditional
    power (observed trend), more patients do not raise the type I error of the usual test.

    information: share of the planned patients at the look. growth: largest size over the planned
    one; infinite for no limit. target: conditional power that the growth aims at.

    Examples:
        >>> import trial_sim as ts
        >>> round(ts.smallest_promising_power(0.5, growth=2), 4)
        0.3576
    """
    t = between("information", information, 0.0, 1.0)
    target = between("target", target, 0.0, 1.0)
    c = -float(ndtri(between("alpha", alpha, 0.0, 0.5)))
    if not growth > 1:
        raise ValueError(f"growth must be above 1, got {growth!r}")

    def excess(z: float) -> float:
        """How far the level-keeping critical value of the grown trial is above the usual one."""
        second = float(_trend_size(np.array(z), t, 1.0, c, target))
        second = max(min(second, growth - t), 1 - t)
        kept = np.sqrt(second / (1 - t)) * (c - z * np.sqrt(t)) + z * np.sqrt(t)
        return float(kept / np.sqrt(t + second)) - c

    top = solve_between(
        lambda z: float(_trend_power(np.array(z), t, 1.0, c)) - target, 0.0, 30.0, what="the target"
    )
    grid = np.linspace(1e-3, top - 1e-6, 400)
    above = [z for z in grid if excess(z) > 0]
    if not above:
        return float(_trend_power(np.array(grid[0]), t, 1.0, c))
    low = above[-1]
    high = grid[min(int(np.searchsorted(grid, low)) + 1, len(grid) - 1)]
    if excess(high) > 0:
        return target
    z = solve_between(excess, low, high, what="the lower end of the promising zone")
    return float(_trend_power(np.array(z), t, 1.0, c))


@dataclass(frozen=True)
class SampleSizeReestimation(Record):
    """A two-stage trial whose second stage is sized by conditional power, with a combination test.

    The inverse normal combination with the weights of ``design`` holds its level whatever the size.

    Attributes:
        design: ``group_sequential`` of two looks, one-sided; it may stop at the first.
        n_first: patients of the first stage. n_second_min, n_second_max: limits of the second.
        conditional_power: to reach. theta: the effect it is computed for, as in this module: a
            number, or "observed" for that of the first stage.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming")
        >>> rule = ts.SampleSizeReestimation(
        ...     design, n_first=221, n_second_min=221, n_second_max=663
        ... )
        >>> rule.n_second([0.5, 1.5, 2.0]).round(1).tolist()
        [663.0, 443.8, 221.0]
        >>> result = rule.probabilities(theta=1.6 / (2 * 7.5))
        >>> round(result.power, 4), round(result.expected_n, 1), round(result.stopped, 4)
        (0.7963, 633.4, 0.0843)
    """

    design: Any
    n_first: float
    n_second_min: float
    n_second_max: float
    conditional_power: float = 0.8
    theta: Any = "observed"

    def __post_init__(self) -> None:
        if isinstance(self.design, dict):
            object.__setattr__(self, "design", GroupSequential.from_dict(self.design))
        if not isinstance(self.design, GroupSequential):
            raise TypeError(f"design must come from group_sequential, got {self.design!r}")
        if self.design.n_looks != 2 or self.design.sided != 1:
            raise ValueError(
                f"design must have two looks and be one-sided, got {self.design.n_looks} look(s), "
                f"sided={self.design.sided}"
            )
        low = positive("n_second_min", self.n_second_min)
        high = positive("n_second_max", self.n_second_max)
        positive("n_first", self.n_first)
        if high < low:
            raise ValueError(f"n_second_max {high:g} is below n_second_min {low:g}")
        between("conditional_power", self.conditional_power, 0.0, 1.0)
        if self.theta != "observed":
            if isinstance(self.theta, str):
                raise ValueError(f"theta must be a number or 'observed', got {self.theta!r}")
            positive("theta", self.theta)

    @classmethod
    def _read_field(cls, name: str, value: Any) -> Any:
        return value if name == "design" else super()._read_field(name, value)

    def n_second(self, z: ArrayLike) -> FloatArray:
        """Patients of the second stage after the interim z, not rounded.

        With an observed effect of 0 or less, which no size would bear out, the largest.
        """
        z = np.asarray(z, dtype=float)
        theta = z / np.sqrt(self.n_first) if self.theta == "observed" else float(self.theta)
        wanted = np.maximum(self._needed(z) + float(ndtri(self.conditional_power)), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.where(theta > 0, (wanted / theta) ** 2, np.inf)
        return np.clip(size, self.n_second_min, self.n_second_max)

    def _needed(self, z: FloatArray) -> FloatArray:
        """z of the second stage at which the combination rejects."""
        t = float(self.design.information_fractions[0])
        return (float(self.design.efficacy_bounds[1]) - np.sqrt(t) * z) / np.sqrt(1 - t)

    def probabilities(self, theta: float) -> ReestimationProbabilities:
        """Power and mean size at a true effect, by numerical integration."""
        theta = number("theta", theta)
        mean = theta * np.sqrt(self.n_first)
        upper, lower = self.design.efficacy_bounds[0], self.design.futility_bounds[0]
        upper, lower = float(upper), float(lower)
        low, high = max(mean - 9.0, lower), min(mean + 9.0, upper)
        stopped = float(ndtr(mean - upper) + ndtr(lower - mean))
        grid = np.linspace(low, high, 4001)
        sizes = self.n_second(grid)
        flat = np.isclose(sizes, self.n_second_min) | np.isclose(sizes, self.n_second_max)
        turns = grid[:-1][flat[1:] != flat[:-1]]
        z, weight = _pieces(low, high, turns, n=200)
        chance = weight * np.exp(-0.5 * (z - mean) ** 2) / np.sqrt(2 * np.pi)
        second = self.n_second(z)
        power = ndtr(theta * np.sqrt(second) - self._needed(z))
        planned = self.n_first * (1 / float(self.design.information_fractions[0]) - 1)
        fixed = ndtr(theta * np.sqrt(planned) - self._needed(z))
        early = float(ndtr(mean - upper))
        return ReestimationProbabilities(
            early + float(chance @ power),
            self.n_first + float(chance @ second),
            float(chance @ (second > self.n_second_min)),
            stopped,
            early + float(chance @ fixed),
        )


def blinded_sample_size_means(
    difference: float,
    sd: float,
    power: float = 0.8,
    alpha: float = 0.025,
    allocation: float = 1.0,
    adjusted: bool = False,
) -> float:
    """Patients in all for a difference of means, from the standard deviation of all patients.

    Nobody's arm need be known. By the normal formula, not rounded.

    sd: of all patients together, both arms. adjusted: take off the part of the variance that the
        assumed difference would make (Zucker et al. 1999). allocation: treatment per control.

    Examples:
        >>> import trial_sim as ts
        >>> round(ts.blinded_sample_size_means(difference=5, sd=10), 2)
        125.58
        >>> round(ts.blinded_sample_size_means(difference=5, sd=10, adjusted=True), 2)
        117.73
    """
    difference, sd = number("difference", difference), positive("sd", sd)
    if difference == 0:
        raise ValueError("difference must not be 0: no size shows it")
    r = positive("allocation", allocation)
    level, power = between("alpha", alpha, 0.0, 0.5), between("power", power, 0.0, 1.0)
    variance = sd**2
    if adjusted:
        variance -= r / (1 + r) ** 2 * difference**2
        if variance <= 0:
            raise ValueError(
                f"a difference of {difference:g} makes more variance than sd {sd:g} has: nothing "
                "is left within the arms"
            )
    total = float(ndtri(power) - ndtri(level))
    return (1 + r) ** 2 / r * variance * (total / difference) ** 2


@dataclass(frozen=True)
class BlindedRates(Record):
    """A trial of two rates whose size follows the pooled rate, with exact error and power.

    After ``n_first`` patients, 1:1, the rate of both arms together sets the size of the chi-square
    test (Kieser & Friede 2000); the final test is the one-sided pooled z. Nothing is approximated.

    Attributes:
        n_first: patients of both arms at the look, an even number.
        difference: of the rates, that the size is to show. power, alpha: for the size and the test.
        n_max: most patients; None for no limit.

    Examples:
        >>> import trial_sim as ts
        >>> blinded = ts.BlindedRates(n_first=60, difference=0.2)
        >>> blinded.n_total(18), blinded.n_total(30)
        (164, 194)
        >>> blinded.probabilities(overall_rate=0.3).round(4).tolist()
        [0.7931, 160.9927]
        >>> blinded.probabilities(overall_rate=0.3, difference=0.0).round(4).tolist()
        [0.0252, 160.859]
    """

    n_first: int
    difference: float
    power: float = 0.8
    alpha: float = 0.025
    n_max: int | None = None

    def __post_init__(self) -> None:
        n = as_whole(self.n_first, "n_first", 2)
        if n % 2:
            raise ValueError(f"n_first must be even, the arms being equal, got {n}")
        between("difference", self.difference, 0.0, 1.0)
        between("power", self.power, 0.0, 1.0)
        between("alpha", self.alpha, 0.0, 0.5)
        if self.n_max is not None and as_whole(self.n_max, "n_max", 2) < n:
            raise ValueError(f"n_max {self.n_max} is below n_first {n}")

    def n_total(self, responders: int) -> int:
        """Patients in all, after so many responders among the first.

        At least the first; those, too, where the pooled rate leaves no room for the difference.
        """
        seen = as_whole(responders, "responders", 0)
        if seen > self.n_first:
            raise ValueError(f"{seen} responders of {self.n_first} patients cannot be")
        p, half = seen / self.n_first, 0.5 * self.difference
        if not half - 1e-9 <= p <= 1 - half + 1e-9:
            return int(self.n_first)
        high, low = min(p + half, 1.0), max(p - half, 0.0)
        spread = np.sqrt(high * (1 - high) + low * (1 - low))
        root = -ndtri(self.alpha) * np.sqrt(2 * p * (1 - p)) + ndtri(self.power) * spread
        n = 2 * int(np.ceil(float(root / self.difference) ** 2 - 1e-12))
        most = n if self.n_max is None else int(self.n_max) // 2 * 2
        return max(int(self.n_first), min(n, most))

    def probabilities(self, overall_rate: float, difference: float | None = None) -> FloatArray:
        """Exact chance of rejection, and mean patients, (2,), at a true rate of both arms together.

        difference: true one, treatment above control; that of the design unless given, 0 for the
        type I error.
        """
        true = self.difference if difference is None else number("difference", difference)
        rates = [between("overall_rate", overall_rate, 0.0, 1.0) + s * true / 2 for s in (1, -1)]
        if not all(0 <= rate <= 1 for rate in rates):
            raise ValueError(f"rates of {rates} are none: lower the difference")
        half = int(self.n_first) // 2
        one, two = (_steps(0, half, rate)[:, 0] for rate in rates)
        first = np.outer(one, two)
        total = np.add.outer(np.arange(half + 1), np.arange(half + 1))
        sizes = np.array([self.n_total(s) for s in range(2 * half + 1)])[total]
        critical = -float(ndtri(self.alpha))
        rejected = 0.0
        for n in np.unique(sizes):
            here = np.where(sizes == n, first, 0.0)
            last = _steps(half, n // 2, rates[0]) @ here @ _steps(half, n // 2, rates[1]).T
            rejected += last[_z(n // 2, n // 2, "pooled_z") >= critical].sum()
        return np.array([rejected, float((first * sizes).sum())])
