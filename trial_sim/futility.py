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
from trial_sim.integration import FloatArray, PathDensity, advance, start, tail_above, z_for_tail
from trial_sim.roots import find_root
from trial_sim.spending import BoundaryRule


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

    def bounds_for(self, drift: float, alone: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Efficacy and futility bounds, each (n_looks,), for a drift.

        alone: efficacy bounds without futility. The last futility bound is left at -inf.
        Raises NoErrorLeft when binding futility stops too much.
        """
        if not self.binding or self.efficacy_rule.kind == "custom":
            return alone, self._given_efficacy(drift, alone)
        if self.efficacy_rule.kind == "wang_tsiatis":
            return self._shaped_efficacy(drift, alone)
        if self.futility_rule.kind == "wang_tsiatis":
            return self._shaped_futility(drift, alone)
        return self._look_by_look(drift)

    def _look_by_look(self, drift: float) -> tuple[FloatArray, FloatArray]:
        n = len(self.information)
        efficacy, futility = np.empty(n), np.full(n, -np.inf)
        null = NullPaths(
            self.efficacy_rule, self.information, self.efficacy_spending, self.alpha, self.sided
        )
        alternative = _AlternativePaths(self, drift)
        for k in range(n):
            efficacy[k] = null.bound(k)
            if k + 1 < n:
                futility[k] = alternative.bound(k, efficacy[k])
                null.pass_look(k, efficacy[k], futility[k])
        return efficacy, futility

    def _given_efficacy(self, drift: float, efficacy: FloatArray) -> FloatArray:
        n = len(self.information)
        if self.futility_rule.kind == "wang_tsiatis":
            return self._wang_tsiatis(drift, efficacy[-1], efficacy)
        bounds = np.full(n, -np.inf)
        alternative = _AlternativePaths(self, drift)
        for k in range(n - 1):
            bounds[k] = alternative.bound(k, efficacy[k])
        return bounds

    def _wang_tsiatis(self, drift: float, last: float, efficacy: FloatArray) -> FloatArray:
        """Pampallona & Tsiatis (1994): futility that meets the bound `last` at the last look."""
        t = self.information
        bounds = drift * np.sqrt(t) - (drift - last) * t ** (self.futility_rule.delta - 0.5)
        bounds[-1] = -np.inf
        if self.sided == 2:
            bounds[bounds <= 0.0] = -np.inf
        return np.minimum(bounds, efficacy)

    def _shaped_futility(self, drift: float, alone: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Spending efficacy with Wang-Tsiatis futility: solve for the bound where they meet."""

        def bounds(last: float) -> tuple[FloatArray, FloatArray]:
            futility = self._wang_tsiatis(drift, last, np.full(len(alone), np.inf))
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

        found = find_root(
            gap, float(alone[-1]), -0.02, -8.0, 40.0, 1e-13, 1e-12, "the last efficacy bound"
        )
        return bounds(found)

    def _shaped_efficacy(self, drift: float, alone: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Wang-Tsiatis efficacy: solve for the constant that spends alpha beside futility."""
        shape = self.information ** (self.efficacy_rule.delta - 0.5)

        def gap(constant: float) -> float:
            futility = self._given_efficacy(drift, constant * shape)
            exits = exit_probabilities(
                self.information, constant * shape, futility, 0.0, self.sided
            )
            return float(np.log(max(error_of(exits), 1e-300) / self.alpha))

        constant = find_root(
            gap, float(alone[-1]), -0.02, 0.0, 40.0, 1e-13, 1e-12, "the efficacy constant"
        )
        return constant * shape, self._given_efficacy(drift, constant * shape)


class _AlternativePaths:
    """Walks the looks under the alternative and gives each its futility bound."""

    def __init__(self, problem: FutilityProblem, drift: float) -> None:
        self.problem, self.drift = problem, drift
        self.increments = error_increments(
            problem.futility_rule, problem.futility_spending, problem.beta
        )
        self.paths = start()

    def bound(self, k: int, efficacy: float) -> float:
        """Futility bound of look k (from 0, not the last), then on to the next look.

        Never above efficacy: a drift tried on the way may ask for that; nobody is left then.
        """
        information, sided = self.problem.information, self.problem.sided
        time = float(information[k])
        found = min(_spend(self.paths, time, self.drift, self.increments[k], sided), efficacy)
        segments = continuation(sided, efficacy, found)
        gap = float(information[k + 1]) - time
        self.paths = advance(self.paths, time, self.drift, segments, gap)
        return found


def _spend(paths: PathDensity, time: float, drift: float, error: float, sided: int) -> float:
    """The futility bound that stops `error` of the running paths."""
    if sided == 1:
        return z_for_tail(paths, time, drift, float(error), upper=False)
    if error <= 0.0:
        return -np.inf
    if error >= paths.probability * (1.0 - 1e-12):
        return np.inf

    def gap(bound: float) -> float:
        inner = tail_above(paths, time, drift, [-bound, bound])
        return float(np.log(max(inner[0] - inner[1], 1e-300) / error))

    return find_root(gap, 0.1, 0.1, 0.0, 40.0, 1e-13, 1e-12, "a futility bound")


def solve_with_futility(
    problem: FutilityProblem, alone: FloatArray, guess: float
) -> tuple[FloatArray, FloatArray, float]:
    """Bounds that meet at the last look with type II error `beta`, and the drift at which they do.

    alone: (n_looks,) efficacy bounds without futility. guess: drift to start from.
    Returns efficacy (n_looks,), futility (n_looks,), drift.
    """
    target = float(ndtri(1.0 - problem.beta))

    def gap(drift: float) -> float:
        try:
            efficacy, futility = problem.bounds_for(drift, alone)
        except NoErrorLeft:
            return 8.0  # futility rises with the drift: this one is too large
        exits = exit_probabilities(problem.information, efficacy, futility, drift, problem.sided)
        return float(ndtri(min(max(power_of(exits), 1e-300), 1 - 1e-16))) - target

    meeting = (
        "a drift at which futility meets efficacy (weaker or non-binding futility may have one)"
    )
    drift = find_root(gap, guess, 0.05, 1e-6, 60.0, 1e-13, 1e-12, meeting)
    efficacy, futility = problem.bounds_for(drift, alone)
    reached = exit_probabilities(problem.information, efficacy, futility, drift, problem.sided)
    futility = futility.copy()
    futility[-1] = efficacy[-1]
    crossed = np.flatnonzero(futility[:-1] >= efficacy[:-1])
    if crossed.size or abs(power_of(reached) - (1.0 - problem.beta)) > 1e-7:
        k = int(crossed[0]) if crossed.size else len(futility) - 2
        raise ValueError(
            f"futility bound {futility[k]:.4g} is not below the efficacy bound {efficacy[k]:.4g} "
            f"at look {k + 1}: this futility rule ends the trial before its last look"
        )
    return efficacy, futility, drift
