"""Bounds of several arms compared with one control, so that the error of the whole family holds.

The statistics of the comparisons share the control: given the path of the control's score they are
independent, so the chance that none of them crosses is an average, over control paths, of products
of one-dimensional recursions (Dunnett 1955 at one look; Magirr, Jaki and Whitehead 2012 at
several). Information is taken to grow alike in all arms. Futility is ignored, which errs on the
safe side whether it is obeyed or not.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from trial_sim.base.arguments import nearest
from trial_sim.numerics.roots import find_root
from trial_sim.sequential.boundaries import efficacy_alone, exit_probabilities
from trial_sim.sequential.design import GroupSequential
from trial_sim.sequential.integration import FloatArray
from trial_sim.sequential.plain_bounds import Bounds
from trial_sim.sequential.spending import BoundaryRule

METHODS = ("dunnett", "bonferroni", "holm", "closed", "unadjusted", "boundaries")
STEPWISE = ("holm", "closed")
MOST_STEPWISE = 8  # comparisons: a closed test looks at every subset of them

_REACH = 7.5  # standard deviations beyond which a normal tail is cut off
_PATHS_AT_ONCE = 1024
_NODES_OF_CONTROL = {1: 96, 2: 48, 3: 26}  # more looks: that many quasi-random paths
_QUASI_RANDOM_PATHS = 1 << 13


def check_method(method: Any) -> None:
    """Raise ValueError unless ``method`` is None or a name of :data:`METHODS`."""
    if method is not None and method not in METHODS:
        raise ValueError(f"multiplicity {method!r} is unknown{nearest(str(method), METHODS)}")


def in_words(method: str | None) -> str:
    """What a report says about the error of a design with several comparisons."""
    return {
        "dunnett": "Dunnett: family-wise error held, all comparisons at one common bound",
        "bonferroni": "Bonferroni: each comparison at its equal share of alpha",
        "holm": "Holm: as Bonferroni, and the alpha of a rejected comparison goes to the others",
        "closed": "closed test of Dunnett's tests of all intersections (step-down)",
        "unadjusted": "unadjusted: alpha is that of each comparison",
        "boundaries": "the boundaries hold the family-wise error (generalised Dunnett test)",
        None: "not named: alpha is that of each comparison, the family's error is larger",
    }[method]


def spent_by_look(boundaries: Any, n_looks: int, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Information fractions and cumulative error (both sides together) of one comparison.

    Args:
        boundaries: of a design; None for one test of one-sided level ``alpha`` at the last look.
    """
    if boundaries is None:
        information = (np.arange(n_looks) + 1.0) / n_looks
        return information, np.append(np.zeros(n_looks - 1), alpha)
    information = np.atleast_1d(np.asarray(boundaries.information_fractions, dtype=float))
    if isinstance(boundaries, GroupSequential):
        return information, boundaries.alpha_spent
    efficacy = np.atleast_1d(np.asarray(boundaries.efficacy_bounds, dtype=float))
    none = np.full(n_looks, -np.inf)
    exits = exit_probabilities(information, efficacy, none, 0.0, int(boundaries.sided))
    return information, np.cumsum(exits.rejection)


def bounds_at_share(boundaries: Any, n_looks: int, alpha: float, share: float) -> FloatArray:
    """Efficacy bounds (n_looks,) of one comparison at ``share`` of its level, by the same rule.

    Bounds given as numbers have no rule: at each look the same share of their error is spent.
    """
    if boundaries is None:
        return np.append(np.full(n_looks - 1, np.inf), -ndtri(alpha * share))
    if isinstance(boundaries, GroupSequential) and boundaries.efficacy.kind != "custom":
        return efficacy_alone(
            boundaries.efficacy, boundaries.information_fractions, boundaries.spending_fractions,
            boundaries.alpha * share, boundaries.sided,
        )  # fmt: skip
    information, spent = spent_by_look(boundaries, n_looks, alpha)
    table = tuple(zip(information.tolist(), (spent / spent[-1]).tolist()))
    rule = BoundaryRule("user_spending", table)
    return efficacy_alone(
        rule, information, information, float(spent[-1]) * share, int(boundaries.sided)
    )


def with_efficacy(boundaries: Any, efficacy: FloatArray, level: float) -> Any:
    """Boundaries with other efficacy bounds and level; futility and alternative as planned."""
    if isinstance(boundaries, GroupSequential):
        futility = boundaries.futility_bounds.copy()
        if np.isfinite(futility[-1]):
            futility[-1] = efficacy[-1]
        return replace(
            boundaries, efficacy_bounds=efficacy, futility_bounds=futility, alpha=level,
            solved_drift=boundaries.drift,
            efficacy=BoundaryRule("custom", tuple(efficacy.tolist()))
            if boundaries.efficacy.kind == "custom" else boundaries.efficacy,
        )  # fmt: skip
    if boundaries is None:
        return Bounds(efficacy.tolist())
    return Bounds(
        efficacy.tolist(),
        np.atleast_1d(boundaries.futility_bounds).tolist(),
        np.atleast_1d(boundaries.information_fractions).tolist(),
        int(boundaries.sided),
        bool(boundaries.binding),
    )


def dunnett_bounds(information: Any, spent: Any, ratios: Any, sided: int = 1) -> FloatArray:
    """Common efficacy bounds (n_looks,) that spend a family's error look by look.

    Args:
        information: (n_looks,) fractions. spent: (n_looks,) cumulative error of the family.
        ratios: patients of each arm for one patient of the control.
        sided: 1, or 2 for bounds on the magnitude of Z.
    """
    plain = (tuple(np.asarray(x, dtype=float).tolist()) for x in (information, spent))
    shares = tuple(sorted(round(float(r), 12) for r in ratios))
    return np.array(_dunnett_bounds(*plain, shares, int(sided)))


@lru_cache(maxsize=512)
def _dunnett_bounds(
    information: tuple[float, ...], spent: tuple[float, ...], ratios: tuple[float, ...], sided: int
) -> tuple[float, ...]:
    increments = np.diff(spent, prepend=0.0)
    used = np.flatnonzero(increments > 1e-14)
    bounds = np.full(len(spent), np.inf)
    if used.size:
        paths = _FamilyPaths(np.array(information)[used], ratios, sided)
        for k, look in enumerate(used):
            bounds[look] = paths.bound(k, spent[look], float(increments[look]))
            paths.pass_look(k, bounds[look])
    return tuple(bounds.tolist())


def family_error(level: float, ratios: Any, sided: int = 1) -> float:
    """Error of any false rejection if each comparison is tested once at ``level`` on its own."""
    paths = _FamilyPaths(np.ones(1), tuple(float(r) for r in ratios), sided)
    return 1.0 - paths.inside(0, float(-ndtri(level / sided)))


class _FamilyPaths:
    """Paths of all comparisons under the null, given paths of the control's score.

    Call ``bound(k, ...)``, then ``pass_look(k, bound)``, for k = 0, 1, ...
    """

    def __init__(self, information: FloatArray, ratios: tuple[float, ...], sided: int) -> None:
        self.time, self.sided = information, sided
        self.step = np.diff(information, prepend=0.0)
        self.control, self.weight = _control_paths(self.step)
        values, self.count = np.unique(np.array(ratios), return_counts=True)
        self.shared = np.sqrt(values / (1.0 + values))  # loading on the control
        self.own = np.sqrt(1.0 / (1.0 + values))
        n = len(self.control)
        self.score = [np.zeros((n, 1)) for _ in values]
        self.mass = [np.ones((n, 1)) for _ in values]

    def _limits(self, k: int, g: int, bound: float) -> tuple[FloatArray, FloatArray]:
        """Own scores (n_paths,) between which an arm of group ``g`` does not cross at look k."""
        reach, shift = bound * np.sqrt(self.time[k]), self.shared[g] * self.control[:, k]
        high = (reach - shift) / self.own[g]
        low = (-reach - shift) / self.own[g] if self.sided == 2 else np.full(len(high), -np.inf)
        return low, high

    def inside(self, k: int, bound: float) -> float:
        """Chance that no arm has crossed by look k if the bound there is ``bound``."""
        total = self.weight.copy()
        root = np.sqrt(self.step[k])
        for g, count in enumerate(self.count):
            low, high = self._limits(k, g, bound)
            kept = ndtr((high[:, None] - self.score[g]) / root)
            if self.sided == 2:
                kept = kept - ndtr((low[:, None] - self.score[g]) / root)
            total *= (kept * self.mass[g]).sum(axis=1) ** count
        return float(total.sum())

    def bound(self, k: int, spent: float, increment: float) -> float:
        """The bound at look k with which ``spent`` of the error is spent by then."""
        before = self.inside(k, np.inf)

        def gap(bound: float) -> float:
            left = max(before - self.inside(k, bound), 1e-300)
            return float(np.log(increment / left))

        guess = float(-ndtri(increment / (self.sided * self.count.sum())))
        return find_root(
            gap, guess, 0.05, -8.0, 40.0, 1e-11, 1e-10, "a bound of the family", slope=guess + 0.5
        )

    def pass_look(self, k: int, bound: float) -> None:
        """Go on to the next look: the scores of paths that have not crossed."""
        if k + 1 == len(self.time):
            return
        spread, step = np.sqrt(self.time[k]), np.sqrt(self.step[k])
        narrow = min(step, float(np.sqrt(self.step[k + 1])))
        nodes, weights = np.polynomial.legendre.leggauss(
            int(min(160, 24 + 1.5 * 2 * _REACH * spread / narrow))
        )
        for g in range(len(self.count)):
            low, high = self._limits(k, g, bound)
            low = np.clip(low, -_REACH * spread, _REACH * spread)
            high = np.clip(high, low, _REACH * spread)
            half = 0.5 * (high - low)
            score = low[:, None] + half[:, None] * (nodes + 1.0)
            mass = np.empty_like(score)
            for a in range(0, len(score), _PATHS_AT_ONCE):
                b = a + _PATHS_AT_ONCE
                gap = (score[a:b, :, None] - self.score[g][a:b, None, :]) / step
                density = np.exp(-0.5 * gap * gap) @ self.mass[g][a:b, :, None]
                mass[a:b] = density[:, :, 0] * weights * half[a:b, None]
            self.score[g], self.mass[g] = score, mass / (step * np.sqrt(2.0 * np.pi))


def _control_paths(step: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scores of the control at each look (n_paths, n_looks), and the paths' weights."""
    n = len(step)
    if n in _NODES_OF_CONTROL:
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES_OF_CONTROL[n])
        grids = np.meshgrid(*[nodes] * n, indexing="ij")
        normal = np.stack([grid.ravel() for grid in grids], axis=1)
        masses = np.meshgrid(*[weights / weights.sum()] * n, indexing="ij")
        weight = np.prod([m.ravel() for m in masses], axis=0)
        kept = weight > 1e-18
        normal, weight = normal[kept], weight[kept] / weight[kept].sum()
    else:
        from scipy.stats import qmc

        rng = np.random.default_rng(np.random.Philox(20_261_130))
        drawn = qmc.Sobol(n, rng=rng).random(_QUASI_RANDOM_PATHS)
        normal = ndtri(np.clip(drawn, 1e-12, 1 - 1e-12))
        weight = np.full(len(normal), 1.0 / len(normal))
    return np.cumsum(normal * np.sqrt(step), axis=1), weight


def intersections(n_comparisons: int) -> np.ndarray:
    """Every set of hypotheses but the empty one, (2**m - 1, m) bool; row i is the bits of i + 1."""
    number = np.arange(1, 2**n_comparisons)[:, None]
    return (number >> np.arange(n_comparisons)) & 1 == 1


def stepwise_bounds(
    method: str, boundaries: Any, n_looks: int, alpha: float, sided: int, ratios: Any
) -> FloatArray:
    """Bounds of every intersection of :func:`intersections`, (2**m - 1, n_looks).

    An intersection is rejected when the largest of its statistics reaches its bound; a hypothesis,
    when all intersections that hold it are.
    """
    sets = intersections(len(ratios))
    if method == "holm":
        sizes = sets.sum(axis=1)
        by_size = [
            bounds_at_share(boundaries, n_looks, alpha, 1.0 / size)
            for size in range(1, len(ratios) + 1)
        ]
        return np.array([by_size[size - 1] for size in sizes])
    information, spent = spent_by_look(boundaries, n_looks, alpha)
    chosen = np.asarray(ratios, dtype=float)
    return np.array([dunnett_bounds(information, spent, chosen[s], sided) for s in sets])
