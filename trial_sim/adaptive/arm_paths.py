"""Chances of several arms that share a control, stage by stage: the recursion under the bounds.

Given the path of the control's sum the arms are independent. So every chance is an average over
paths of the control (Gauss-Hermite nodes) of products of one-dimensional recursions (Gauss-Legendre
nodes); to 1e-8 or better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from trial_sim.sequential.integration import FloatArray

__all__ = ["MultiArmChances", "chances_of", "error_of_best", "none_rejected"]

_REACH = 8.0  # standard deviations beyond which a normal tail is cut off
_NODES_OF_CONTROL = {1: 96, 2: 48, 3: 28, 4: 18, 5: 12}
_NODES_ABOVE = 32  # of an arm's sum above its bound
_LEAST_WEIGHT = 1e-14  # of a path of the control
_AT_ONCE = 1 << 21  # numbers in the largest array


@dataclass(frozen=True)
class MultiArmChances:
    """What a trial with :class:`MultiArmBounds` does; arms in their order, without the control.

    any_rejected: (n_stages,) chance that the first rejection comes at that stage. rejected:
    (n_arms,) that the arm is rejected when the trial ends, alone or with others. selected:
    (n_arms,) that it is, and has the largest z. futility: that the trial ends without a rejection.
    patients: (n_arms + 1,) expected patients, the control first; expected_n: their sum.
    """

    any_rejected: tuple[float, ...]
    rejected: tuple[float, ...]
    selected: tuple[float, ...]
    futility: float
    patients: tuple[float, ...]

    @property
    def expected_n(self) -> float:
        """Expected patients of all arms together."""
        return float(sum(self.patients))


@dataclass(eq=False)
class _Arms:
    """Arms alike in size and effect, given each path of the control so far.

    score, mass: (n_paths, n_nodes) nodes of the arm's own sum among those that go on, and their
    weights. dropped: (n_paths,) chance that it was dropped.
    """

    members: list[int]
    n: FloatArray
    effect: float
    score: FloatArray
    mass: FloatArray
    dropped: FloatArray

    def pass_stage(
        self, k: int, parent: FloatArray, low: FloatArray, high: FloatArray, last: bool
    ) -> tuple[FloatArray, FloatArray]:
        """Go on to stage k: chance to reject there and to go on, each (n_paths,)."""
        step = self.n[k] - (self.n[k - 1] if k else 0.0)
        root, drift = np.sqrt(step), self.effect * step
        spread, center = np.sqrt(self.n[k]), self.effect * self.n[k]
        low = np.clip(low, center - _REACH * spread, center + _REACH * spread)
        high = np.clip(high, low, center + _REACH * spread)
        below, above = np.empty(len(parent)), np.empty(len(parent))
        narrow = root if last else min(root, np.sqrt(self.n[k + 1] - self.n[k]))
        nodes, weights = np.polynomial.legendre.leggauss(
            int(min(160, 16 + 2.0 * float(np.max(high - low, initial=0.0)) / narrow))
        )
        half = 0.5 * (high - low)
        score = np.empty((0, 0)) if last else low[:, None] + half[:, None] * (nodes + 1.0)
        mass = np.empty_like(score)
        for part in _parts(len(parent), self.score.shape[1] * (1 if last else len(nodes))):
            old, own = self.score[parent[part]] + drift, self.mass[parent[part]]
            below[part] = (ndtr((low[part, None] - old) / root) * own).sum(axis=1)
            above[part] = (ndtr((old - high[part, None]) / root) * own).sum(axis=1)
            if not last:
                apart = (score[part, :, None] - old[:, None, :]) / root
                density = (np.exp(-0.5 * apart * apart) * own[:, None, :]).sum(axis=2)
                mass[part] = density * weights * half[part, None]
        left = self.mass.sum(axis=1)[parent] - below - above
        self.dropped = self.dropped[parent] + below
        if not last:
            self.score, self.mass = score, mass / (root * np.sqrt(2.0 * np.pi))
        return above, np.maximum(left, 0.0)


class _Paths:
    """Paths of the control's sum, stage by stage, and the arms given each."""

    def __init__(self, n: FloatArray, effects: FloatArray) -> None:
        self.n = n
        self.arms: list[_Arms] = []
        for k, effect in enumerate(effects, start=1):
            alike = [a for a in self.arms if a.effect == effect and (a.n == n[:, k]).all()]
            if alike:
                alike[0].members.append(k - 1)
            else:
                begin = (np.zeros((1, 1)), np.ones((1, 1)), np.zeros(1))
                self.arms.append(_Arms([k - 1], n[:, k], float(effect), *begin))
        self.sum, self.weight = np.zeros(1), np.ones(1)
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES_OF_CONTROL[len(n)])
        self.nodes, self.masses = nodes, weights / weights.sum()

    def grow(self, k: int) -> np.ndarray:
        """Take the control's sum to stage k; the earlier path (by number) of each."""
        step = self.n[k, 0] - (self.n[k - 1, 0] if k else 0.0)
        parent = np.repeat(np.arange(len(self.sum)), len(self.nodes))
        weight = np.outer(self.weight, self.masses).ravel()
        total = (self.sum[:, None] + np.sqrt(step) * self.nodes).ravel()
        kept = weight > _LEAST_WEIGHT
        self.sum, self.weight = total[kept], weight[kept]
        return parent[kept]

    def limit(self, k: int, arm: _Arms, bound: float | FloatArray) -> FloatArray:
        """The arm's own sum at which its z at stage k is ``bound``, (n_paths,) or wider."""
        n, control = float(arm.n[k]), float(self.n[k, 0])
        shift = self.sum / control
        value = np.asarray(bound)
        shift = shift.reshape(shift.shape + (1,) * max(value.ndim - 1, 0))
        return np.asarray(n * (value * np.sqrt(1.0 / n + 1.0 / control) + shift))


def none_rejected(n: FloatArray, upper: FloatArray, lower: FloatArray) -> float:
    """Chance under the null that no arm reaches an efficacy bound."""
    paths = _Paths(n, np.zeros(n.shape[1] - 1))
    for k in range(len(n)):
        parent, last = paths.grow(k), k + 1 == len(n)
        quiet = np.ones(len(parent))
        for arm in paths.arms:
            low, high = paths.limit(k, arm, lower[k]), paths.limit(k, arm, upper[k])
            _, on = arm.pass_stage(k, parent, low, high, last)
            quiet *= (on + arm.dropped) ** len(arm.members)
    return float(paths.weight @ quiet)


def chances_of(
    n: FloatArray,
    upper: FloatArray,
    lower: FloatArray,
    effects: FloatArray,
    only_first: bool = False,
) -> MultiArmChances:
    """Every chance of a trial that ends with its first rejection."""
    n_arms = n.shape[1] - 1
    paths = _Paths(n, effects)
    first = np.zeros(len(n))
    rejected, selected = np.zeros(n_arms), np.zeros(n_arms)
    patients = n[0].copy()
    quiet = [np.ones(1) for _ in paths.arms]  # of one arm: not rejected so far
    for k in range(len(n)):
        parent, last = paths.grow(k), k + 1 == len(n)
        quiet = [q[parent] for q in quiet]
        before = _product(paths.arms, quiet)
        for place, arm in enumerate(paths.arms):
            if not only_first or 0 in arm.members:
                chance = _largest(paths, k, place, parent, float(upper[k]))
                selected[arm.members] += float(paths.weight @ chance)
        going = []
        for place, arm in enumerate(paths.arms):
            low, high = paths.limit(k, arm, lower[k]), paths.limit(k, arm, upper[k])
            above, on = arm.pass_stage(k, parent, low, high, last)
            others = _product(paths.arms, quiet, without=place)
            rejected[arm.members] += float(paths.weight @ (above * others))
            going.append(on)
        quiet = [on + arm.dropped for on, arm in zip(going, paths.arms)]
        after = _product(paths.arms, quiet)
        first[k] = float(paths.weight @ (before - after))
        if not last:
            step = n[k + 1] - n[k]
            gone = _product(paths.arms, [arm.dropped for arm in paths.arms])
            patients[0] += step[0] * float(paths.weight @ (after - gone))
            for place, arm in enumerate(paths.arms):
                others = _product(paths.arms, quiet, without=place)
                goes_on = float(paths.weight @ (going[place] * others))
                for member in arm.members:
                    patients[member + 1] += step[member + 1] * goes_on
    return MultiArmChances(
        tuple(first.tolist()),
        tuple(rejected.tolist()),
        tuple(selected.tolist()),
        float(1.0 - first.sum()),
        tuple(patients.tolist()),
    )


def _product(arms: list[_Arms], chances: list[FloatArray], without: int = -1) -> FloatArray:
    """Product over all arms of a chance of each, (n_paths,); one arm of a group left out."""
    total = np.ones(len(chances[0]))
    for place, (arm, chance) in enumerate(zip(arms, chances)):
        total *= chance ** (len(arm.members) - (place == without))
    return total


def _largest(paths: _Paths, k: int, place: int, parent: np.ndarray, bound: float) -> FloatArray:
    """Given each path: one arm of a group reaches ``bound`` at stage k, with the largest z."""
    arm = paths.arms[place]
    total = np.empty(len(parent))
    spread, center = np.sqrt(arm.n[k]), arm.effect * arm.n[k]
    nodes, weights = np.polynomial.legendre.leggauss(_NODES_ABOVE)
    at = paths.limit(k, arm, bound)
    for part in _parts(len(parent), _NODES_ABOVE * arm.score.shape[1]):
        low = np.maximum(at[part], center - _REACH * spread)
        half = 0.5 * np.maximum(center + _REACH * spread - low, 0.0)
        own = low[:, None] + half[:, None] * (nodes + 1.0)  # sums of the arm, (n_paths, nodes)
        value = _density(arm, k, parent[part], own) * weights * half[:, None]
        n, control = float(arm.n[k]), float(paths.n[k, 0])
        z = (own / n - paths.sum[part, None] / control) / np.sqrt(1.0 / n + 1.0 / control)
        for other_place, other in enumerate(paths.arms):
            count = len(other.members) - (other_place == place)
            if count:
                m = float(other.n[k])
                limit = m * (z * np.sqrt(1.0 / m + 1.0 / control) + paths.sum[part, None] / control)
                value *= _at_most(other, k, parent[part], limit) ** count
        total[part] = value.sum(axis=1)
    return total


def _parts(n: int, width: int) -> Iterator[slice]:
    rows = max(1, _AT_ONCE // width)
    return (slice(a, a + rows) for a in range(0, n, rows))


def _step_of(arm: _Arms, k: int) -> float:
    return float(arm.n[k] - (arm.n[k - 1] if k else 0.0))


def _density(arm: _Arms, k: int, parent: np.ndarray, own: FloatArray) -> FloatArray:
    """Density of the arm's sum at stage k among those that went on, (n_paths, n_nodes)."""
    step = _step_of(arm, k)
    apart = own[:, :, None] - (arm.score[parent] + arm.effect * step)[:, None, :]
    density = (np.exp(-0.5 * apart * apart / step) * arm.mass[parent][:, None, :]).sum(axis=2)
    return np.asarray(density / np.sqrt(2.0 * np.pi * step))


def _at_most(arm: _Arms, k: int, parent: np.ndarray, limit: FloatArray) -> FloatArray:
    """Chance that an arm was dropped, or has a sum of at most ``limit`` at stage k."""
    step = _step_of(arm, k)
    apart = (limit[:, :, None] - (arm.score[parent] + arm.effect * step)[:, None, :]) / np.sqrt(
        step
    )
    inside = (ndtr(apart) * arm.mass[parent][:, None, :]).sum(axis=2)
    return np.asarray(arm.dropped[parent][:, None] + inside)


def error_of_best(n: FloatArray, upper: FloatArray, lower: FloatArray) -> float:
    """Error over two stages under the null where the best promising arm alone goes on."""
    early = 1.0 - none_rejected(n[:1], upper[:1], upper[:1])
    paths = _Paths(n, np.zeros(n.shape[1] - 1))
    start = paths.grow(0)
    shift, weight = paths.sum.copy(), paths.weight.copy()
    nodes, weights = np.polynomial.legendre.leggauss(64)
    low_z = max(float(lower[0]), -_REACH)
    half = 0.5 * (min(float(upper[0]), _REACH) - low_z)
    z = low_z + half * (nodes + 1.0)
    control, late = float(n[0, 0]), float(n[1, 0] - n[0, 0])
    total = 0.0
    for place, arm in enumerate(paths.arms):
        m, more = float(arm.n[0]), float(arm.n[1] - arm.n[0])
        scale = np.sqrt(1.0 / m + 1.0 / control)
        own = m * (z * scale + shift[:, None] / control)
        value = _density(arm, 0, start, own) * m * scale * weights * half
        for other_place, other in enumerate(paths.arms):
            count = len(other.members) - (other_place == place)
            if count:
                s = float(other.n[0])
                limit = s * (z * np.sqrt(1.0 / s + 1.0 / control) + shift[:, None] / control)
                value *= _at_most(other, 0, start, limit) ** count
        # the best arm's mean at the end, less the control's, given both sums at the first stage
        mean = own / arm.n[1] - shift[:, None] / n[1, 0]
        sd = np.sqrt(more / arm.n[1] ** 2 + late / n[1, 0] ** 2)
        needed = float(upper[1]) * np.sqrt(1.0 / arm.n[1] + 1.0 / n[1, 0])
        value *= ndtr((mean - needed) / sd)
        total += len(arm.members) * float(weight @ value.sum(axis=1))
    return early + total
