"""Solves futility boundaries, together with the efficacy boundaries when futility is binding.

For a trial drift the bounds follow; the drift is then moved until efficacy and futility meet at the
last look with the wanted type II error. Spending rules settle both bounds look by look in a single
pass. Rules of the Wang-Tsiatis family tie all looks to the last bound: it and the drift are solved
for together, or one inside the other where the guess is too far off for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from trial_sim.numerics.roots import find_root, solve_pair
from trial_sim.sequential.boundaries import (
    NoErrorLeft,
    NullPaths,
    constant_guess,
    continuation,
    efficacy_alone,
    error_and_power,
    error_increments,
    error_of,
    exit_probabilities,
    power_of,
)
from trial_sim.sequential.integration import (
    FloatArray,
    PathDensity,
    advance,
    half_width_for,
    start,
    tail_above,
    z_for_tail,
)
from trial_sim.sequential.spending import BoundaryRule


@dataclass(frozen=True, eq=False)
class Solution:
    """Bounds of one drift: efficacy and futility, (n_looks,) float64, and the power at it."""

    efficacy: FloatArray
    futility: FloatArray
    power: float


@dataclass(frozen=True)
class FutilityProblem:
    """A design whose futility rule depends on the alternative.

    efficacy_rule, futility_rule: the rules. information, efficacy_spending, futility_spending:
    (n_looks,) float64 clocks. alpha, beta, sided, binding: as in `group_sequential`.
    """

    efficacy_rule: BoundaryRule
    futility_rule: BoundaryRule
    information: FloatArray
    efficacy_spending: FloatArray
    futility_spending: FloatArray
    alpha: float
    beta: float
    sided: int
    binding: bool

    @cached_property
    def alone(self) -> FloatArray:
        """(n_looks,) efficacy bounds without futility."""
        return efficacy_alone(
            self.efficacy_rule, self.information, self.efficacy_spending, self.alpha, self.sided
        )

    @property
    def tied(self) -> bool:
        """Whether one unknown number ties all looks: a Wang-Tsiatis rule beside binding futility.

        Of efficacy, it is the last efficacy bound; of futility alone, the bound where both meet.
        """
        rules = self.efficacy_rule.kind, self.futility_rule.kind
        return self.binding and rules[0] != "custom" and "wang_tsiatis" in rules

    def bounds_for(self, drift: float, near: Solution | None = None) -> Solution:
        """Bounds for a drift, and the power they have at it.

        near: the solution for a drift close by, whose bounds the search starts from. The last
        futility bound is left at -inf.
        Raises NoErrorLeft when binding futility stops too much.
        """
        if not self.binding or self.efficacy_rule.kind == "custom":
            return self._given_efficacy(drift, self.alone, near)
        if not self.tied:
            return self._look_by_look(drift, near)

        def gap(last: float) -> float:
            try:
                return self.tied_bounds(drift, last)[0]
            except NoErrorLeft:
                return 8.0 + last  # so much futility calls for a lower bound

        guess = self.guesses()[0] if near is None else float(near.efficacy[-1])
        least = 0.0 if self.efficacy_rule.kind == "wang_tsiatis" else -8.0
        last = find_root(
            gap, guess, -0.02, least, 40.0, 1e-13, 1e-12, "the last efficacy bound", slope=1.0
        )
        return self.tied_bounds(drift, last)[1]

    def guesses(self) -> tuple[float, float]:
        """Approximate values of the number that ties the looks, and of the drift.

        Lines through solved designs of 3 and 10 equal looks; within a few hundredths of them.
        """
        looks = float(np.log(len(self.information)))
        fixed = float(ndtri(1.0 - self.beta) - ndtri(self.alpha / self.sided))
        if self.efficacy_rule.kind != "wang_tsiatis":
            futility = _usual(self.futility_rule.delta)
            lower, higher = 0.03 + 0.064 * futility, 0.021 + 0.2 * futility
            return float(self.alone[-1]) * (1.0 - lower * looks), fixed * (1.0 + higher * looks)
        efficacy = self.efficacy_rule.delta
        alone = constant_guess(efficacy, len(self.information), self.alpha / self.sided)
        if self.futility_rule.kind != "wang_tsiatis":
            higher = 0.021 + 0.2 * _usual(efficacy)
            return alone * (1.0 - 0.01 * looks), fixed * (1.0 + higher * looks)
        futility = self.futility_rule.delta
        lower = 0.016 - 0.023 * efficacy + 0.062 * futility - 0.1 * efficacy * futility
        higher = 0.028 + 0.117 * efficacy + 0.11 * futility
        return alone * (1.0 - lower * looks), fixed * (1.0 + higher * looks)

    def tied_slopes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Rough derivatives of the gaps in alpha and power by the tying number and the drift.

        Lines through those of solved designs of 3 and 10 equal looks.
        """
        looks = float(np.log(len(self.information)))
        if self.efficacy_rule.kind != "wang_tsiatis":
            futility = _usual(self.futility_rule.delta)
            level = 0.57 + 0.56 * looks + futility * (1.05 * looks - 0.57)
            across = (0.04 - 0.1 * looks) * (1.0 + 1.9 * futility)
            return (level, across), (-0.07 - 0.19 * looks - 0.7 * futility, 1.08)
        if self.futility_rule.kind != "wang_tsiatis":
            efficacy = _usual(self.efficacy_rule.delta)
            across = (0.21 * looks - 1.03) * (1.0 - 0.87 * efficacy)
            power = (1.02 - 0.23 * looks) * (1.0 - 0.94 * efficacy)
            return (1.05 - 0.06 * looks, 0.09 * looks - 0.025), (across, power)
        return (1.05, 0.05), (-1.15, 1.1)

    def tied_bounds(
        self, drift: float, last: float, near: Solution | None = None
    ) -> tuple[float, Solution]:
        """Bounds for a drift where `last` is the number that ties the looks.

        Returns how far `last` lies above the value at which alpha is spent, roughly and of the
        right sign, and the bounds.
        """
        if self.efficacy_rule.kind != "wang_tsiatis":
            efficacy, futility = self._beside_shaped_futility(drift, last, near)
            # One walk for error and power is quicker than one that counts the stops for futility.
            _, power = error_and_power(self.information, efficacy, futility, drift, self.sided)
            return last - float(efficacy[-1]), Solution(efficacy, futility, power)
        efficacy = last * self.information ** (self.efficacy_rule.delta - 0.5)
        if self.futility_rule.kind == "wang_tsiatis":
            futility = self._wang_tsiatis(drift, efficacy)
            error, power = error_and_power(self.information, efficacy, futility, drift, self.sided)
            found = Solution(efficacy, futility, power)
        else:
            found = self._given_efficacy(drift, efficacy, near)
            error = error_of(
                exit_probabilities(self.information, efficacy, found.futility, 0.0, self.sided)
            )
        # On the probit scale the error is nearly a straight line in the constant.
        reached = float(ndtri(min(max(error / self.sided, 1e-300), 1.0 - 1e-16)))
        return float(ndtri(self.alpha / self.sided)) - reached, found

    def _look_by_look(self, drift: float, near: Solution | None) -> Solution:
        n = len(self.information)
        efficacy, futility = np.empty(n), np.full(n, -np.inf)
        null = NullPaths(
            self.efficacy_rule, self.information, self.efficacy_spending, self.alpha, self.sided
        )
        alternative = _AlternativePaths(self, drift)
        for k in range(n):
            efficacy[k] = null.bound(k, None if near is None else float(near.efficacy[k]))
            futility[k] = alternative.bound(
                k, efficacy[k], None if near is None else float(near.futility[k])
            )
            null.pass_look(k, efficacy[k], futility[k])
        return Solution(efficacy, futility, alternative.power)

    def _given_efficacy(
        self, drift: float, efficacy: FloatArray, near: Solution | None = None
    ) -> Solution:
        if self.futility_rule.kind == "wang_tsiatis":
            return self._measured(drift, efficacy, self._wang_tsiatis(drift, efficacy))
        alternative = _AlternativePaths(self, drift)
        bounds = [
            alternative.bound(k, float(bound), None if near is None else float(near.futility[k]))
            for k, bound in enumerate(efficacy)
        ]
        return Solution(efficacy, np.array(bounds), alternative.power)

    def _measured(self, drift: float, efficacy: FloatArray, futility: FloatArray) -> Solution:
        exits = exit_probabilities(self.information, efficacy, futility, drift, self.sided)
        return Solution(efficacy, futility, power_of(exits))

    def _wang_tsiatis(
        self, drift: float, efficacy: FloatArray, last: float | None = None
    ) -> FloatArray:
        """Pampallona & Tsiatis (1994): futility that meets efficacy, or `last`, at the end."""
        t = self.information
        last = float(efficacy[-1]) if last is None else last
        bounds = drift * np.sqrt(t) - (drift - last) * t ** (self.futility_rule.delta - 0.5)
        bounds[-1] = -np.inf
        if self.sided == 2:
            bounds[bounds <= 0.0] = -np.inf
        return np.minimum(bounds, efficacy)

    def _beside_shaped_futility(
        self, drift: float, last: float, near: Solution | None
    ) -> tuple[FloatArray, FloatArray]:
        """Spending efficacy beside Wang-Tsiatis futility that would meet it at `last`."""
        n = len(self.information)
        futility = self._wang_tsiatis(drift, np.full(n, np.inf), last)
        null = NullPaths(
            self.efficacy_rule, self.information, self.efficacy_spending, self.alpha, self.sided
        )
        efficacy = np.empty(n)
        for k in range(n):
            efficacy[k] = null.bound(k, None if near is None else float(near.efficacy[k]))
            futility[k] = min(futility[k], efficacy[k])
            null.pass_look(k, efficacy[k], futility[k])
        return efficacy, futility


class _AlternativePaths:
    """Walks the looks under the alternative, gives each its futility bound, and adds up the power.

    Call `bound(k, efficacy)` for k = 0, 1, ...; after the last look `power` is complete.
    """

    def __init__(self, problem: FutilityProblem, drift: float) -> None:
        self.problem, self.drift = problem, drift
        self.increments = error_increments(
            problem.futility_rule, problem.futility_spending, problem.beta
        )
        self.paths = start()
        self.power = 0.0

    def bound(self, k: int, efficacy: float, near: float | None = None) -> float:
        """Futility bound of look k (from 0; -inf at the last), then on to the next look.

        Never above efficacy: a drift tried on the way may ask for that; nobody is left then.
        """
        information, sided = self.problem.information, self.problem.sided
        time = float(information[k])
        self.power += float(tail_above(self.paths, time, self.drift, efficacy)[0])
        if k + 1 == len(information):
            return -np.inf
        spent = _spend(self.paths, time, self.drift, float(self.increments[k]), sided, near)
        found = min(spent, efficacy)
        segments = continuation(sided, efficacy, found)
        gap = float(information[k + 1]) - time
        self.paths = advance(self.paths, time, self.drift, segments, gap)
        return found


def _usual(delta: float) -> float:
    """The shape `delta`, moved into the range to which `guesses` and `tied_slopes` were fitted."""
    return min(max(delta, 0.0), 0.5)


def _spend(
    paths: PathDensity, time: float, drift: float, error: float, sided: int, near: float | None
) -> float:
    """The futility bound that stops `error` of the running paths."""
    if sided == 1:
        return z_for_tail(paths, time, drift, error, upper=False, near=near)
    if error <= 0.0:
        return -np.inf
    if error >= paths.probability * (1.0 - 1e-12):
        return np.inf
    return half_width_for(paths, time, drift, error, near)


def _extrapolated(tried: dict[float, Solution], drift: float) -> Solution | None:
    """Where the bounds for a drift lie by a straight line through those of the two nearest."""
    nearest = sorted(tried, key=lambda other: abs(other - drift))[:2]
    if len(nearest) < 2:
        return tried[nearest[0]] if nearest else None
    a, b = (tried[other] for other in nearest)
    share = (drift - nearest[0]) / (nearest[1] - nearest[0])
    with np.errstate(invalid="ignore"):  # looks without a bound: infinity less infinity
        return Solution(
            a.efficacy + share * (b.efficacy - a.efficacy),
            a.futility + share * (b.futility - a.futility),
            a.power,
        )


def solve_with_futility(problem: FutilityProblem) -> tuple[FloatArray, FloatArray, float]:
    """Bounds that meet at the last look with type II error `beta`, and the drift at which they do.

    Returns efficacy (n_looks,), futility (n_looks,), drift.
    """
    solved = _solve_both(problem) if problem.tied else None
    found, drift = _solve_drift(problem) if solved is None else solved
    efficacy, futility = found.efficacy, found.futility.copy()
    futility[-1] = efficacy[-1]
    crossed = np.flatnonzero(futility[:-1] >= efficacy[:-1])
    if crossed.size or abs(found.power - (1.0 - problem.beta)) > 1e-7:
        k = int(crossed[0]) if crossed.size else len(futility) - 2
        raise ValueError(
            f"futility bound {futility[k]:.4g} is not below the efficacy bound {efficacy[k]:.4g} "
            f"at look {k + 1}: this futility rule ends the trial before its last look"
        )
    return efficacy, futility, drift


def _solve_drift(problem: FutilityProblem) -> tuple[Solution, float]:
    """The drift at which the power is right; bounds are solved anew for every drift tried."""
    tried: dict[float, Solution] = {}

    def gap(drift: float) -> float:
        try:
            found = problem.bounds_for(drift, _extrapolated(tried, drift))
        except NoErrorLeft:
            return 8.0  # futility rises with the drift: this one is too large
        tried[drift] = found
        return _power_gap(problem, found)

    meeting = (
        "a drift at which futility meets efficacy (weaker or non-binding futility may have one)"
    )
    looks = float(np.log(len(problem.information)))
    fixed = float(ndtri(1.0 - problem.beta) - ndtri(problem.alpha / problem.sided))
    guess, slope = fixed * (1.0 + 0.023 * looks), max(0.92 - 0.13 * looks, 0.5)
    drift = find_root(gap, guess, 0.05, 1e-6, 60.0, 1e-13, 1e-12, meeting, slope=slope)
    return tried[drift], drift


def _solve_both(problem: FutilityProblem) -> tuple[Solution, float] | None:
    """Drift and tied bounds at once; None where they lie too far from the guess for that."""
    latest: list[Solution] = []
    drifts: list[float] = []

    def gaps(last: float, drift: float) -> tuple[float, float]:
        if drift <= 0.0 or last <= 0.0:
            return np.nan, np.nan
        try:
            spent, found = problem.tied_bounds(drift, last, latest[-1] if latest else None)
        except NoErrorLeft:
            return np.nan, np.nan
        latest.append(found)
        drifts.append(drift)
        return spent, _power_gap(problem, found)

    reached = solve_pair(gaps, problem.guesses(), problem.tied_slopes(), 1e-11)
    return (latest[-1], drifts[-1]) if reached else None


def _power_gap(problem: FutilityProblem, found: Solution) -> float:
    """Power less that wanted, on the probit scale, where it is nearly straight in the drift."""
    reached = float(ndtri(min(max(found.power, 1e-300), 1 - 1e-16)))
    return reached - float(ndtri(1.0 - problem.beta))
