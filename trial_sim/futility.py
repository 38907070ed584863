"""Solves futility boundaries, together with the efficacy boundaries when futility is binding.

For a trial drift the bounds follow; the drift is then moved until efficacy and futility meet at the
last look with the wanted type II error. Spending rules settle both bounds look by look in a single
pass. Rules of the Wang-Tsiatis family tie all looks to the last bound, which is solved for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from trial_sim.boundaries import (
    NoErrorLeft,
    NullPaths,
    continuation,
    error_increments,
    error_of,
    exit_probabilities,
    power_of,
)
from trial_sim.integration import (
    FloatArray,
    PathDensity,
    advance,
    half_width_for,
    start,
    tail_above,
    z_for_tail,
)
from trial_sim.roots import find_root
from trial_sim.spending import BoundaryRule


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

    def bounds_for(self, drift: float, alone: FloatArray, near: Solution | None = None) -> Solution:
        """Bounds for a drift, and the power they have at it.

        alone: efficacy bounds without futility. The last futility bound is left at -inf.
        near: the solution for a drift close by, whose bounds the search starts from.
        Raises NoErrorLeft when binding futility stops too much.
        """
        if not self.binding or self.efficacy_rule.kind == "custom":
            return self._given_efficacy(drift, alone, near)
        if self.efficacy_rule.kind == "wang_tsiatis":
            return self._shaped_efficacy(drift, alone, near)
        if self.futility_rule.kind == "wang_tsiatis":
            return self._shaped_futility(drift, alone, near)
        return self._look_by_look(drift, near)

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

    def _shaped_futility(self, drift: float, alone: FloatArray, near: Solution | None) -> Solution:
        """Spending efficacy with Wang-Tsiatis futility: solve for the bound where they meet."""

        def bounds(last: float) -> tuple[FloatArray, FloatArray]:
            futility = self._wang_tsiatis(drift, np.full(len(alone), np.inf), last)
            null = NullPaths(
                self.efficacy_rule,
                self.information,
                self.efficacy_spending,
                self.alpha,
                self.sided,
            )
            efficacy = np.empty(len(alone))
            for k in range(len(alone)):
                efficacy[k] = null.bound(k)
                futility[k] = min(futility[k], efficacy[k])
                null.pass_look(k, efficacy[k], futility[k])
            return efficacy, futility

        def gap(last: float) -> float:
            try:
                return float(bounds(last)[0][-1]) - last
            except NoErrorLeft:
                return -8.0 - last  # so much futility calls for a lower bound

        guess = float(alone[-1] if near is None else near.efficacy[-1])
        found = find_root(
            gap, guess, -0.02, -8.0, 40.0, 1e-13, 1e-12, "the last efficacy bound", slope=-1.2
        )
        return self._measured(drift, *bounds(found))

    def _shaped_efficacy(self, drift: float, alone: FloatArray, near: Solution | None) -> Solution:
        """Wang-Tsiatis efficacy: solve for the constant that spends alpha beside futility."""
        shape = self.information ** (self.efficacy_rule.delta - 0.5)

        def gap(constant: float) -> float:
            futility = self._given_efficacy(drift, constant * shape).futility
            exits = exit_probabilities(
                self.information, constant * shape, futility, 0.0, self.sided
            )
            return float(np.log(max(error_of(exits), 1e-300) / self.alpha))

        guess = float(alone[-1] if near is None else near.efficacy[-1])
        constant = find_root(
            gap, guess, -0.02, 0.0, 40.0, 1e-13, 1e-12, "the efficacy constant", slope=-2.3
        )
        return self._given_efficacy(drift, constant * shape)


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


def solve_with_futility(
    problem: FutilityProblem, alone: FloatArray, guess: float
) -> tuple[FloatArray, FloatArray, float]:
    """Bounds that meet at the last look with type II error `beta`, and the drift at which they do.

    alone: (n_looks,) efficacy bounds without futility. guess: drift to start from.
    Returns efficacy (n_looks,), futility (n_looks,), drift.
    """
    target = float(ndtri(1.0 - problem.beta))
    tried: dict[float, Solution] = {}

    def gap(drift: float) -> float:
        try:
            found = problem.bounds_for(drift, alone, _extrapolated(tried, drift))
        except NoErrorLeft:
            return 8.0  # futility rises with the drift: this one is too large
        tried[drift] = found
        return float(ndtri(min(max(found.power, 1e-300), 1 - 1e-16))) - target

    meeting = (
        "a drift at which futility meets efficacy (weaker or non-binding futility may have one)"
    )
    drift = find_root(gap, guess, 0.05, 1e-6, 60.0, 1e-13, 1e-12, meeting, slope=0.9)
    found = tried[drift]
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
