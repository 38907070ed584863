"""Inference during and after a group-sequential trial.

Conditional and predictive power at an interim look; p-values, median-unbiased estimates and
confidence intervals by the stagewise ordering (Tsiatis, Rosner & Mehta 1984) once the trial has
stopped; repeated intervals and p-values that hold at every look (Jennison & Turnbull 1989).

Effects are drifts (mean of Z at full information), divided by the square root of `information`
where the caller gives the full statistical information of an effect scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from trial_sim.base.arguments import between, number, one_of, positive
from trial_sim.numerics.roots import find_root
from trial_sim.sequential.boundaries import (
    continuation,
    efficacy_alone,
    exit_probabilities,
    power_of,
)
from trial_sim.sequential.integration import (
    FloatArray,
    PathDensity,
    advance,
    start,
    tail_above,
    tail_below,
)

if TYPE_CHECKING:
    import pandas as pd

    from trial_sim.sequential.design import GroupSequential

_THETAS = ("trend", "null", "design")


@dataclass(frozen=True)
class SequentialEstimate:
    """What a stopped trial says, by the stagewise ordering.

    p_value: one-sided, for an effect above zero. estimate: median-unbiased. lower, upper: the
    two-sided interval of `level`. naive: the estimate that ignores the interim looks.
    """

    look: int
    z: float
    p_value: float
    estimate: float
    lower: float
    upper: float
    level: float
    naive: float


def conditional_power(
    design: GroupSequential, look: int, z: float, theta: Any, futility: bool | None
) -> float:
    """See `GroupSequential.conditional_power`."""
    t, z = _interim(design, look, z)
    if isinstance(theta, str):
        one_of("theta", theta, _THETAS)
        drift = {"trend": z / np.sqrt(t), "null": 0.0, "design": design.drift}[theta]
    else:
        drift = number("theta", theta)
    return _rejection_after(design, look, z, float(drift), futility)


def predictive_power(
    design: GroupSequential,
    look: int,
    z: float,
    prior: tuple[float, float] | None,
    futility: bool | None,
) -> float:
    """See `GroupSequential.predictive_power`."""
    t, z = _interim(design, look, z)
    mean, precision = z / np.sqrt(t), t
    if prior is not None:
        prior_mean, prior_sd = number("prior mean", prior[0]), positive("prior sd", prior[1])
        precision = t + prior_sd**-2
        mean = (mean * t + prior_mean * prior_sd**-2) / precision
    # Conditional power rises from 0 to 1 over a width of 1 / sqrt(1 - t) in the drift, which
    # becomes narrower than the posterior only in late looks; 96 nodes on +-8.5 sd resolve both.
    nodes, weights = np.polynomial.legendre.leggauss(96)
    deviation = 8.5 * nodes
    density = np.exp(-0.5 * deviation**2) * weights * 8.5 / np.sqrt(2 * np.pi)
    drifts = mean + deviation / np.sqrt(precision)
    powers = [_rejection_after(design, look, z, float(d), futility) for d in drifts]
    return float(density @ np.array(powers))


def _rejection_after(
    design: GroupSequential, look: int, z: float, drift: float, futility: bool | None
) -> float:
    t = design.information_fractions
    obeyed = design.binding if futility is None else futility
    bounds = design.futility_bounds if obeyed else np.full(design.n_looks, -np.inf)
    here = start(z * float(np.sqrt(t[look - 1])), float(t[look - 1]))
    return power_of(
        exit_probabilities(
            t[look:],
            design.efficacy_bounds[look:],
            bounds[look:],
            drift,
            design.sided,
            here,
        )
    )


def _paths_before(
    design: GroupSequential, look: int, drift: float, below: bool = False
) -> tuple[PathDensity, float]:
    """Paths that reach `look`, and the probability of having rejected upwards (or, of a two-sided
    trial, ``below``) before it."""
    t, upper = design.information_fractions, design.efficacy_bounds
    lower = design.futility_bounds if design.binding else np.full(design.n_looks, -np.inf)
    paths, crossed = start(), 0.0
    for k in range(look - 1):
        tail, bound = (tail_below, -upper[k]) if below else (tail_above, upper[k])
        crossed += float(tail(paths, t[k], drift, bound)[0])
        segments = continuation(design.sided, upper[k], lower[k])
        paths = advance(paths, t[k], drift, segments, t[k + 1] - t[k])
    return paths, crossed


def stagewise_p_value(
    design: GroupSequential, look: int, z: ArrayLike, drift: float = 0.0
) -> FloatArray:
    """P(a result at least as favourable as `z` at `look`) under `drift`, for each z (n,).

    More favourable are: efficacy stops at earlier looks, and larger Z at the same look. Futility
    that is not binding is ignored, so that the p-value stays valid when it is overruled.
    """
    _check_look(design, look, last=True)
    z = np.atleast_1d(np.asarray(z, dtype=float))
    paths, crossed = _paths_before(design, look, drift)
    beyond = tail_above(paths, design.information_fractions[look - 1], drift, z)
    return np.clip(crossed + beyond, 0.0, 1.0)


def _lower_ordering(design: GroupSequential, look: int, z: FloatArray, drift: float) -> FloatArray:
    """P(a result at most as favourable as `z` at `look`): the p-value of the other direction.

    A two-sided trial that stopped on the lower side is ordered from below: earlier lower stops
    are more extreme. This is one minus the upper p-value whenever every path is ordered.
    """
    paths, crossed = _paths_before(design, look, drift, below=True)
    return crossed + tail_below(paths, design.information_fractions[look - 1], drift, z)


def estimate(
    design: GroupSequential, look: int, z: float, level: float, information: float
) -> SequentialEstimate:
    """See `GroupSequential.inference`."""
    t, z = _interim(design, look, z, last=True)
    level = between("level", level, 0.0, 1.0)
    information = positive("information", information)
    point, lower, upper = (
        _drift_with_p(design, look, z, p) for p in (0.5, (1 - level) / 2, (1 + level) / 2)
    )
    scale = 1.0 / float(np.sqrt(information))
    return SequentialEstimate(
        look,
        z,
        float(stagewise_p_value(design, look, [z])[0]),
        point * scale,
        lower * scale,
        upper * scale,
        level,
        z / float(np.sqrt(t)) * scale,
    )


def _tail_order(design: GroupSequential, look: int, z: FloatArray, drift: float) -> FloatArray:
    """The stagewise ordering as an increasing function of the drift, from either side."""
    downwards = design.sided == 2 and bool(np.all(z < 0))
    if downwards:
        return 1.0 - _lower_ordering(design, look, z, drift)
    return stagewise_p_value(design, look, z, drift)


def _drift_with_p(design: GroupSequential, look: int, z: float, p: float) -> float:
    t = float(design.information_fractions[look - 1])
    target = float(ndtri(p))
    at = np.array([z])

    def gap(drift: float) -> float:
        value = float(_tail_order(design, look, at, drift)[0])
        return float(ndtri(min(max(value, 1e-300), 1 - 1e-16))) - target

    guess = float((z + target) / np.sqrt(t))
    # Far out the ordering is flat at 0 or 1: its sign alone says where to go.
    step = 0.1 / float(np.sqrt(t)) * (1.0 if gap(guess) < 0 else -1.0)
    return float(find_root(gap, guess, step, xtol=1e-11, ftol=1e-11, what="the interval"))


def adjusted_estimates(
    design: GroupSequential,
    look: ArrayLike,
    z: ArrayLike,
    level: float = 0.95,
    information: float = 1.0,
) -> pd.DataFrame:
    """Stagewise estimates for many stopped trials at once, e.g. all trials of a simulation.

    look: (n,) int, 1 is the first look. z: (n,) float64, Z at the stop.
    Returns a DataFrame (n rows): p_value, estimate, lower, upper. The ordering is inverted on a
    grid of drifts and interpolated by a monotone cubic; differs from `estimate` by under 1e-5.
    """
    import pandas as pd
    from scipy.interpolate import PchipInterpolator

    level = between("level", level, 0.0, 1.0)
    information = positive("information", information)
    looks, values = np.atleast_1d(np.asarray(look, dtype=int)), np.atleast_1d(np.asarray(z, float))
    if looks.shape != values.shape or looks.ndim != 1:
        raise ValueError(f"look and z must have one shape (n,), got {looks.shape}, {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("z must be finite")
    levels = (0.5, (1 - level) / 2, (1 + level) / 2)
    targets = ndtri(levels)
    found = np.empty((len(values), 4))
    for k in np.unique(looks):
        _check_look(design, int(k), last=True)
        t = float(design.information_fractions[k - 1])
        for side in (values >= 0, values < 0):
            rows = np.flatnonzero((looks == k) & side)
            if rows.size == 0:
                continue
            mine = values[rows]
            # The answer is smooth and increasing in z: solve it on a few dozen z, then join.
            grid = np.unique(np.linspace(mine.min(), mine.max(), 65)) if rows.size > 65 else mine
            drifts = np.linspace(
                (grid.min() + targets.min() - 2.5) / np.sqrt(t),
                (grid.max() + targets.max() + 2.5) / np.sqrt(t),
                121,
            )
            order = np.array([_tail_order(design, int(k), grid, float(d)) for d in drifts])
            probit = ndtri(np.clip(order, 1e-300, 1 - 1e-16))
            solved = np.empty((len(grid), 3))
            for j in range(len(grid)):
                curve = probit[:, j]
                highest = np.append(-np.inf, np.maximum.accumulate(curve)[:-1])
                rising = curve > highest + 1e-9
                x, y = curve[rising], drifts[rising]
                if len(x) > 20 and x[0] < targets.min() and x[-1] > targets.max():
                    solved[j] = PchipInterpolator(x, y)(targets)
                else:  # an outcome that hardly ever happens: solve it by itself
                    solved[j] = [
                        _drift_with_p(design, int(k), float(grid[j]), float(p)) for p in levels
                    ]
            found[rows, 0] = stagewise_p_value(design, int(k), mine)
            if grid is mine or len(grid) == 1:
                found[rows, 1:] = solved
            else:
                found[rows, 1:] = PchipInterpolator(grid, solved)(mine)
    found[:, 1:] /= np.sqrt(information)
    return pd.DataFrame(found, columns=["p_value", "estimate", "lower", "upper"])


def repeated_interval(
    design: GroupSequential, look: int, z: float, information: float
) -> tuple[float, float]:
    """See `GroupSequential.repeated_confidence_interval`.

    Its level is 1 - alpha for two-sided designs and 1 - 2 alpha (each side alpha) for one-sided.
    """
    t, z = _interim(design, look, z, last=True)
    width = float(design.efficacy_bounds[look - 1])
    scale = np.sqrt(t * positive("information", information))
    return float((z - width) / scale), float((z + width) / scale)


def repeated_p_value(design: GroupSequential, look: int, z: float) -> float:
    """See `GroupSequential.repeated_p_value`."""
    _, z = _interim(design, look, z, last=True)
    if design.efficacy.kind == "custom":
        raise ValueError("a repeated p-value needs a rule for every alpha, not custom bounds")
    if design.efficacy.kind == "haybittle_peto" and look < design.n_looks:
        raise ValueError("interim bounds of 'haybittle_peto' do not depend on alpha")
    upper = 0.5 * design.sided - 1e-9
    magnitude = abs(z) if design.sided == 2 else z

    def gap(logit: float) -> float:
        alpha = upper / (1.0 + float(np.exp(-logit)))
        bounds = efficacy_alone(
            design.efficacy,
            design.information_fractions,
            design.spending_fractions,
            alpha,
            design.sided,
        )
        return float(np.clip(bounds[look - 1], -40.0, 40.0)) - magnitude

    if gap(14.0) > 0:
        return upper
    if gap(-60.0) < 0:
        return 0.0
    ratio = design.alpha / upper
    logit = find_root(
        gap, float(np.log(ratio / (1 - ratio))), 0.2, -60.0, 14.0, 1e-11, 1e-11, "alpha"
    )
    return upper / (1.0 + float(np.exp(-logit)))


def _check_look(design: GroupSequential, look: Any, last: bool) -> None:
    top = design.n_looks if last else design.n_looks - 1
    if isinstance(look, bool) or not isinstance(look, (int, np.integer)):
        raise TypeError(f"look must be an integer, got {look!r}")
    if not 1 <= look <= top:
        raise ValueError(f"look must be from 1 to {top}, got {look}")


def _interim(
    design: GroupSequential, look: int, z: float, last: bool = False
) -> tuple[float, float]:
    _check_look(design, look, last)
    return float(design.information_fractions[look - 1]), number("z", z)
