"""Solves efficacy and futility boundaries look by look, and exit probabilities under any drift.

Bounds are on the Z scale. `drift` is the mean of Z at full information. One-sided designs reject
for Z above efficacy and stop for futility below futility; two-sided designs use the magnitude of Z
in both places (the inner wedge of Pampallona & Tsiatis 1994 for futility).

Non-binding futility leaves the efficacy bounds alone; binding futility gives its share of type I
error back to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from trial_sim.integration import (
    FloatArray,
    PathDensity,
    Segment,
    advance,
    start,
    tail_above,
    tail_below,
    z_for_tail,
)
from trial_sim.roots import find_root
from trial_sim.spending import BoundaryRule


@dataclass(frozen=True, eq=False)
class StageProbabilities:
    """Probability of each decision at each look; every field is (n_looks,) float64.

    upper: rejection in favour of the treatment. lower: rejection in the other direction (two-sided
    designs; zero otherwise). futility: stopped at a futility bound (zero at a look without one).
    """

    upper: FloatArray
    lower: FloatArray
    futility: FloatArray

    @property
    def rejection(self) -> FloatArray:
        """Rejection in either direction, by look."""
        return self.upper + self.lower

    @property
    def stop(self) -> FloatArray:
        """Probability that the trial ends at each look; the last look takes all that is left."""
        ended = (self.rejection + self.futility)[:-1]
        return np.append(ended, 1.0 - ended.sum())


def continuation(sided: int, efficacy: float, futility: float) -> list[Segment]:
    """The intervals of Z in which a trial goes on after a look."""
    if sided == 1:
        return [(futility, efficacy)]
    if futility <= 0.0:
        return [(-efficacy, efficacy)]
    return [(-efficacy, -futility), (futility, efficacy)]


def exit_probabilities(
    information: FloatArray,
    efficacy: FloatArray,
    futility: FloatArray,
    drift: float | FloatArray,
    sided: int,
    begin: PathDensity | None = None,
) -> StageProbabilities:
    """Decision probabilities at each look for a given drift.

    information, efficacy, futility: (n_looks,) float64, futility -inf where there is none.
    drift: one number, or (n_looks,) drifts on the way to each look where the effect changes with
        time (the mean of the score grows by drift * increment of information).
    begin: paths at an earlier time to go on from (an interim result); default the origin.
    """
    n = len(information)
    upper, lower, stopped = np.zeros(n), np.zeros(n), np.zeros(n)
    paths = start() if begin is None else begin
    slopes = np.broadcast_to(drift, (n,)).tolist()
    for k, time in enumerate(information):
        if paths.score.size == 0:
            break
        slope = slopes[k]
        upper[k] = tail_above(paths, time, slope, efficacy[k])[0]
        if sided == 1:
            if futility[k] > -np.inf:
                stopped[k] = tail_below(paths, time, slope, futility[k])[0]
        else:
            lower[k] = tail_below(paths, time, slope, -efficacy[k])[0]
            if futility[k] > 0.0:
                inner = tail_above(paths, time, slope, [-futility[k], futility[k]])
                stopped[k] = inner[0] - inner[1]
        if k + 1 < n:
            gap = information[k + 1] - time
            paths = advance(paths, time, slope, continuation(sided, efficacy[k], futility[k]), gap)
    return StageProbabilities(upper, lower, stopped)


def power_of(probabilities: StageProbabilities) -> float:
    """Overall probability of rejecting in favour of the treatment (Z above the bound)."""
    return float(probabilities.upper.sum())


def error_of(probabilities: StageProbabilities) -> float:
    """Overall probability of rejecting in either direction."""
    return float(probabilities.rejection.sum())


def drift_for_power(
    information: FloatArray,
    efficacy: FloatArray,
    futility: FloatArray,
    power: float,
    sided: int,
    guess: float,
) -> float:
    """The drift at which given boundaries reject with probability `power`."""
    target = ndtri(power)

    def gap(drift: float) -> float:
        reached = power_of(exit_probabilities(information, efficacy, futility, drift, sided))
        # On the probit scale power is nearly a straight line in the drift.
        return float(ndtri(min(max(reached, 1e-300), 1 - 1e-16))) - target

    return find_root(gap, guess, 0.05, lower=0.0, xtol=1e-13, ftol=1e-12, what="the drift")


def efficacy_alone(
    rule: BoundaryRule,
    information: FloatArray,
    spending: FloatArray,
    alpha: float,
    sided: int,
    futility: FloatArray | None = None,
) -> FloatArray:
    """Efficacy bounds that spend `alpha`. Returns (n_looks,) float64.

    information, spending: (n_looks,) float64, fractions of information and of spending time.
    futility: (n_looks,) known binding bounds, whose stops lower the error; None for none.
    """
    none = np.full(len(information), -np.inf) if futility is None else futility
    if rule.kind == "custom":
        return np.array(rule.parameter)
    if rule.kind != "wang_tsiatis":
        return _sequential(rule, information, spending, alpha, sided, none)
    shape = information ** (rule.delta - 0.5)

    def gap(constant: float) -> float:
        reached = error_of(exit_probabilities(information, constant * shape, none, 0.0, sided))
        return float(np.log(max(reached, 1e-300) / alpha))

    guess = -float(ndtri(alpha / sided))
    constant = find_root(gap, guess * 1.04, 0.05, 0.0, 40.0, 1e-13, 1e-13, "the boundary constant")
    return constant * shape


def _sequential(
    rule: BoundaryRule,
    information: FloatArray,
    spending: FloatArray,
    alpha: float,
    sided: int,
    futility: FloatArray,
) -> FloatArray:
    """Bounds that need one pass: each look spends its own error, with paths under the null."""
    n = len(information)
    bounds = np.empty(n)
    increments = _increments(rule, spending, alpha / sided)
    paths = start()
    spent = 0.0
    for k, time in enumerate(information):
        if rule.kind == "spending":
            bounds[k] = z_for_tail(paths, time, 0.0, float(increments[k]))
        elif k + 1 < n:
            bounds[k] = float(rule.parameter)
            spent += float(tail_above(paths, time, 0.0, bounds[k])[0])
        else:
            bounds[k] = _last(paths, time, alpha / sided - spent)
        if bounds[k] == -np.inf:
            raise ValueError(
                f"binding futility leaves less than the error to spend at look {k + 1}: "
                "make futility weaker or non-binding"
            )
        if k + 1 < n:
            gap = information[k + 1] - time
            paths = advance(paths, time, 0.0, continuation(sided, bounds[k], futility[k]), gap)
    return bounds


def _last(paths: PathDensity, time: float, left: float) -> float:
    if left <= 0.0:
        raise ValueError("the interim bounds spend all of alpha: raise them or alpha")
    return z_for_tail(paths, time, 0.0, left)


def _increments(rule: BoundaryRule, spending: FloatArray, total: float) -> FloatArray:
    if rule.kind != "spending":
        return np.zeros(len(spending))
    return np.diff(rule.spent(spending, total), prepend=0.0)


@dataclass(frozen=True)
class FutilityProblem:
    """What is needed to solve futility bounds; see `solve_with_futility`."""

    efficacy_rule: BoundaryRule
    futility_rule: BoundaryRule
    information: FloatArray
    efficacy_spending: FloatArray
    futility_spending: FloatArray
    alpha: float
    beta: float
    sided: int
    binding: bool

    def futility_under(self, drift: float, efficacy: FloatArray) -> FloatArray:
        """Futility bounds for a drift, given efficacy bounds; the last look is left at -inf."""
        information, n = self.information, len(self.information)
        bounds = np.full(n, -np.inf)
        if self.futility_rule.kind == "wang_tsiatis":
            width = (drift - efficacy[-1]) * information ** (self.futility_rule.delta - 0.5)
            bounds[:-1] = (drift * np.sqrt(information) - width)[:-1]
        else:
            increments = _increments(self.futility_rule, self.futility_spending, self.beta)
            paths = start()
            for k in range(n - 1):
                time = information[k]
                bounds[k] = self._spend(paths, time, drift, float(increments[k]))
                # A drift tried on the way may push futility past efficacy; nobody is left then.
                bounds[k] = min(bounds[k], efficacy[k])
                gap = information[k + 1] - time
                paths = advance(
                    paths, time, drift, continuation(self.sided, efficacy[k], bounds[k]), gap
                )
        if self.sided == 2:
            bounds[bounds <= 0.0] = -np.inf
        return np.minimum(bounds, efficacy)

    def _spend(self, paths: PathDensity, time: float, drift: float, probability: float) -> float:
        if self.sided == 1:
            return z_for_tail(paths, time, drift, probability, upper=False)
        if probability <= 0.0:
            return -np.inf
        if probability >= paths.probability:
            return np.inf

        def gap(bound: float) -> float:
            inner = tail_above(paths, time, drift, [-bound, bound])
            return float(inner[0] - inner[1]) / probability - 1.0

        return find_root(gap, 0.1, 0.1, 0.0, 40.0, 1e-12, 1e-12, "a futility bound")

    def efficacy_for(self, drift: float, alone: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Efficacy and futility bounds (each (n_looks,)) for a drift, as binding or not."""
        if not self.binding:
            return alone, self.futility_under(drift, alone)
        if self.efficacy_rule.kind == "wang_tsiatis":
            return self._binding_shape(drift, alone)
        efficacy = alone
        for _ in range(200):  # a contraction: futility moves efficacy by a few percent of itself
            futility = self.futility_under(drift, efficacy)
            if self.efficacy_rule.kind == "custom":
                return efficacy, futility
            following = _sequential(
                self.efficacy_rule,
                self.information,
                self.efficacy_spending,
                self.alpha,
                self.sided,
                futility,
            )
            finite = np.isfinite(following)
            moved = np.abs(following[finite] - efficacy[finite]).max(initial=0.0)
            efficacy = following
            if moved < 1e-12:
                break
        return efficacy, self.futility_under(drift, efficacy)

    def _binding_shape(self, drift: float, alone: FloatArray) -> tuple[FloatArray, FloatArray]:
        shape = self.information ** (self.efficacy_rule.delta - 0.5)

        def gap(constant: float) -> float:
            bounds = constant * shape
            futility = self.futility_under(drift, bounds)
            exits = exit_probabilities(self.information, bounds, futility, 0.0, self.sided)
            return float(np.log(max(error_of(exits), 1e-300) / self.alpha))

        constant = find_root(gap, alone[-1], -0.02, 0.0, 40.0, 1e-13, 1e-12, "efficacy constant")
        return constant * shape, self.futility_under(drift, constant * shape)


def solve_with_futility(
    problem: FutilityProblem, alone: FloatArray, guess: float
) -> tuple[FloatArray, FloatArray, float]:
    """Bounds that meet at the last look with type II error `beta`, and the drift at which they do.

    alone: (n_looks,) efficacy bounds without futility. guess: drift to start from.
    Returns efficacy (n_looks,), futility (n_looks,), drift.
    """
    target = ndtri(1.0 - problem.beta)

    def gap(drift: float) -> float:
        efficacy, futility = problem.efficacy_for(drift, alone)
        exits = exit_probabilities(problem.information, efficacy, futility, drift, problem.sided)
        return float(ndtri(min(max(power_of(exits), 1e-300), 1 - 1e-16))) - target

    drift = find_root(gap, guess, 0.05, 1e-6, 60.0, 1e-13, 1e-12, "drift with futility")
    efficacy, futility = problem.efficacy_for(drift, alone)
    futility = futility.copy()
    futility[-1] = efficacy[-1]
    crossed = np.flatnonzero(futility[:-1] >= efficacy[:-1])
    if crossed.size:
        k = int(crossed[0])
        raise ValueError(
            f"futility bound {futility[k]:.4g} is not below the efficacy bound {efficacy[k]:.4g} "
            f"at look {k + 1}: this futility rule spends type II error too early"
        )
    return efficacy, futility, drift
