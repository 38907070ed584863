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
from scipy.special import ndtr, ndtri

from trial_sim.base.errors import TrialSimError
from trial_sim.numerics.roots import find_root
from trial_sim.sequential.integration import (
    FloatArray,
    PathDensity,
    Segment,
    advance,
    start,
    tail_above,
    tail_below,
    z_for_tail,
)
from trial_sim.sequential.spending import BoundaryRule


@dataclass(frozen=True, eq=False)
class StageProbabilities:
    """Probability of each decision at each look; every field is (n_looks,) float64.

    upper: rejection in favour of the treatment. lower: rejection in the other direction (two-sided
    designs; zero otherwise). futility: stopped at a futility bound (zero at a look without one).

    Examples:
        >>> import trial_sim as ts
        >>> gs = ts.group_sequential(information_fractions=(0.5, 1), alpha=0.025, power=0.9)
        >>> at_design = gs.stage_probabilities(gs.drift)
        >>> round(float(at_design.rejection.sum()), 3), round(float(at_design.stop.sum()), 3)
        (0.9, 1.0)
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
    return float(min(max(probabilities.upper.sum(), 0.0), 1.0))  # rounding may pass the ends


def error_of(probabilities: StageProbabilities) -> float:
    """Overall probability of rejecting in either direction."""
    return float(probabilities.rejection.sum())


def error_and_power(
    information: FloatArray, efficacy: FloatArray, futility: FloatArray, drift: float, sided: int
) -> tuple[float, float]:
    """`error_of` under the null and `power_of` under `drift`, from one walk over the looks.

    The paths are carried with half the drift: by the likelihood ratio of Brownian motions, their
    mass under a drift that is larger by d is the mass times exp(d * score - (change of half the
    squared drift) * time), node by node.
    """
    half = 0.5 * drift
    # So far from either mean the grid would be cut where mass still lies: two walks then.
    if half * np.sqrt(information[-1]) > 2.5:
        at_null, at_drift = (
            exit_probabilities(information, efficacy, futility, slope, sided)
            for slope in (0.0, drift)
        )
        return error_of(at_null), power_of(at_drift)
    paths, before = start(), 0.0
    under_null, under_drift = 0.0, 0.0
    last = len(information) - 1
    for k, time in enumerate(information.tolist()):
        if paths.score.size == 0:
            break
        step = time - before
        root = float(np.sqrt(step))
        tilt = np.exp(half * paths.score)
        null = paths.mass / tilt * float(np.exp(0.5 * half * half * before))
        alternative = paths.mass * tilt * float(np.exp(-1.5 * half * half * before))
        level = float(efficacy[k] * np.sqrt(time))
        above = (paths.score - level) / root
        under_null += float(ndtr(above) @ null)
        under_drift += float(ndtr(above + drift * root) @ alternative)
        if sided == 2:
            under_null += float(ndtr((-level - paths.score) / root) @ null)
        if k < last:
            segments = continuation(sided, efficacy[k], futility[k])
            paths = advance(paths, time, half, segments, float(information[k + 1]) - time)
        before = time
    return under_null, under_drift


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
        if alpha < 1e-6 or np.isfinite(none).any():
            exits = exit_probabilities(information, constant * shape, none, 0.0, sided)
            reached = error_of(exits)
        else:
            reached = _error_without_futility(information, constant * shape, sided)
        # On the probit scale the error is nearly a straight line in the constant.
        return target - float(ndtri(min(max(reached / sided, 1e-300), 1.0 - 1e-16)))

    target = float(ndtri(alpha / sided))
    guess = constant_guess(rule.delta, len(shape), alpha / sided)
    return find_root(gap, guess, 0.01, 0.0, 40.0, 1e-14, 1e-12, "the boundary constant") * shape


def constant_guess(delta: float, n_looks: int, error: float) -> float:
    """Approximate last bound of a Wang-Tsiatis test with one-sided `error` and no futility.

    Within a few thousandths of tabulated constants for 2 to 20 equal looks.
    """
    return -float(ndtri(error)) * (1.0 + float(np.log(n_looks)) * (0.028 + 0.208 * delta))


def _error_without_futility(information: FloatArray, efficacy: FloatArray, sided: int) -> float:
    """`error_of` under the null from the paths that never cross: no tails at the looks before.

    Loses digits relative to an error far below 1e-6.
    """
    paths = start()
    last = len(information) - 1
    for k in range(last):
        gap = information[k + 1] - information[k]
        segments = continuation(sided, efficacy[k], -np.inf)
        paths = advance(paths, information[k], 0.0, segments, gap)
    bounds = [efficacy[last], -efficacy[last]] if sided == 2 else [efficacy[last], -np.inf]
    tails = tail_above(paths, information[last], 0.0, bounds)
    return 1.0 - float(tails[1] - tails[0])


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
    looks = NullPaths(rule, information, spending, alpha, sided)
    for k in range(n):
        bounds[k] = looks.bound(k)
        looks.pass_look(k, bounds[k], futility[k])
    return bounds


class NoErrorLeft(TrialSimError):
    """Binding futility has stopped so many paths that alpha can no longer be spent."""


class NullPaths:
    """Walks the looks under the null and gives each its efficacy bound.

    Call `bound(k)`, then `pass_look(k, efficacy, futility)`, for k = 0, 1, ...
    """

    def __init__(
        self,
        rule: BoundaryRule,
        information: FloatArray,
        spending: FloatArray,
        alpha: float,
        sided: int,
    ) -> None:
        self.rule, self.information, self.sided = rule, information, sided
        self.left = alpha / sided
        self.increments = error_increments(rule, spending, alpha / sided)
        self.paths = start()

    def bound(self, k: int, near: float | None = None) -> float:
        """Efficacy bound of look k (from 0); near is a value to start the search from."""
        time = self.information[k]
        if self.rule.kind == "custom":
            return float(self.rule.parameter[k])
        if self.rule.kind == "spending":
            spend = float(self.increments[k])
        elif k + 1 < len(self.information):
            return float(self.rule.parameter)
        else:
            spend = self.left
        if spend <= 0.0 and self.rule.kind == "haybittle_peto":
            raise ValueError("the interim bounds spend all of alpha: raise them or alpha")
        found = z_for_tail(self.paths, time, 0.0, spend, near=near)
        if found == -np.inf:
            raise NoErrorLeft(
                f"binding futility leaves less than the error to spend at look {k + 1}: "
                "make futility weaker or non-binding"
            )
        return found

    def pass_look(self, k: int, efficacy: float, futility: float) -> None:
        """Go on to the next look with these bounds at look k."""
        time = self.information[k]
        if self.rule.kind == "haybittle_peto":
            self.left -= float(tail_above(self.paths, time, 0.0, efficacy)[0])
        if k + 1 < len(self.information):
            gap = self.information[k + 1] - time
            segments = continuation(self.sided, efficacy, futility)
            self.paths = advance(self.paths, time, 0.0, segments, gap)


def error_increments(rule: BoundaryRule, spending: FloatArray, total: float) -> FloatArray:
    """Error that a spending rule spends at each look (n_looks,); zero for other rules."""
    if rule.kind != "spending":
        return np.zeros(len(spending))
    return np.diff(rule.spent(spending, total), prepend=0.0)
