"""Sequential trees: each column is drawn from a leaf of a tree grown on the columns before it.

The method of synthpop (Nowok, Raab and Dibben 2016), with four changes: gaps are drawn by a tree
of their own, numbers are smoothed within their leaf (see `smoothing`), values that few patients
share are blurred, and the leaf weights can be drawn from their posterior (a Bayesian bootstrap
within each leaf). The trees are grown on, and cut at, values that may be told (see
`encoding.told`), and a leaf holds means of at least five patients: no patient's own number and no
row of the table can be read from a fitted generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.covariates.encoding import blur_rare, told
from trial_sim.covariates.smoothing import leaf_scores, smoothed, told_scores
from trial_sim.data.schema import Column

Allowed = Mapping[str, Callable[[np.ndarray], np.ndarray]]
SENTINEL_STEPS = 1.0  # a gap is coded this many ranges below the minimum
PRUNE = 6.0  # chi-square that a split must gain (per leaf more) to be kept
SMALL = 400  # patients below which it must gain more: a chance split of few shows who they are
PRUNE_SMALL = 10.0
POOL = 512  # values of each leaf among which those that meet a condition are sought


@storable
@dataclass(frozen=True)
class Tree:
    """A binary tree and the values in its leaves.

    Attributes:
        left, right: (n_nodes,) int32 children, -1 in a leaf; feature: (n_nodes,) int32;
        threshold: (n_nodes,) float64, "go left if at or below".
        start, stop: (n_nodes,) int32 range of a leaf in ``values`` (n,) float64: codes of levels,
            of numbers `told_scores` in a fitted generator.
    """

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    values: np.ndarray

    def leaves(self, predictors: np.ndarray) -> np.ndarray:
        """Leaf of each row of ``predictors`` (n, n_predictors)."""
        node = np.zeros(len(predictors), dtype=np.int32)
        rows = np.arange(len(predictors))
        if self.left[0] < 0:
            return node
        active = rows
        while len(active):
            here = node[active]
            goes = predictors[active, self.feature[here]] <= self.threshold[here]
            there = np.where(goes, self.left[here], self.right[here])
            node[active] = there
            active = active[self.left[there] >= 0]
        return node

    def draw(
        self, leaf: np.ndarray, weights: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values drawn from each row's leaf (n,) by ``weights``, and the weight of that leaf."""
        cumulative = np.concatenate([[0.0], np.cumsum(weights)])
        low, high = cumulative[self.start[leaf]], cumulative[self.stop[leaf]]
        target = low + rng.random(len(leaf)) * (high - low)
        place = np.searchsorted(cumulative, target, side="right") - 1
        place = np.clip(place, self.start[leaf], self.stop[leaf] - 1)
        return self.values[place], high - low


def grow(
    predictors: np.ndarray, values: np.ndarray, classify: bool, leaf: int, prune: float, seed: int
) -> Tree:
    """A scikit-learn tree of ``values`` on ``predictors``, with the values kept by leaf.

    Args:
        leaf: smallest leaf. prune: chi-square that a split must gain to be kept.
    """
    from scipy.stats import rankdata
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if predictors.shape[1] == 0 or len(values) < 2 * leaf:
        one = np.array([-1], dtype=np.int32)
        zero = np.zeros(1, dtype=np.int32)
        stop = np.array([len(values)], dtype=np.int32)
        return Tree(one, one, zero, np.zeros(1), zero, stop, np.sort(values))
    kind = DecisionTreeClassifier if classify else DecisionTreeRegressor
    target: Any = values.astype(int) if classify else rankdata(values)
    share = np.bincount(target) / len(target) if classify else None
    impurity = float(target.var()) if share is None else 1 - float(share @ share)
    model = kind(
        min_samples_leaf=leaf, random_state=seed, ccp_alpha=prune * impurity / len(values)
    ).fit(predictors, target)
    inner = model.tree_
    at: Any = model.apply(predictors)
    order = np.lexsort((values, at))
    first = np.searchsorted(at[order], np.arange(inner.node_count), side="left")
    last = np.searchsorted(at[order], np.arange(inner.node_count), side="right")
    return Tree(
        left=inner.children_left.astype(np.int32),
        right=inner.children_right.astype(np.int32),
        feature=np.maximum(inner.feature, 0).astype(np.int32),
        # scikit-learn compares in float32; the next float64 up keeps the same side for our data
        threshold=np.nextafter(inner.threshold.astype(float), np.inf),
        start=first.astype(np.int32),
        stop=last.astype(np.int32),
        values=values[order],
    )


@storable
@dataclass(frozen=True)
class SequentialCart:
    """A fitted sequence of trees, one (or two, with gaps) a column."""

    columns: tuple[Column, ...]
    value_trees: tuple[Tree | None, ...]
    gap_trees: tuple[Tree | None, ...]
    supports: tuple[np.ndarray, ...]
    name = "cart"
    copies_rows = False

    @classmethod
    def fit(
        cls, codes: np.ndarray, columns: Sequence[Column], seed: int, leaf: int | None = None
    ) -> SequentialCart:
        """Grow the trees on ``codes`` (n, n_columns) of `encoding.encode`.

        Args:
            leaf: smallest leaf; by default max(10, sqrt(n)): on colon this halved what attacks
                gain over 0.6 sqrt(n), at no cost in propensity or utility.
        """
        size = leaf or max(10, round(len(codes) ** 0.5))
        prune = PRUNE if len(codes) >= SMALL else PRUNE_SMALL
        value_trees: list[Tree | None] = []
        gap_trees: list[Tree | None] = []
        predictors = np.empty((len(codes), 0))
        found = [told(codes[:, k], c) for k, c in enumerate(columns)]
        supports = tuple(support for support, _ in found)
        codes = np.column_stack([became for _, became in found]) if found else codes
        for k, column in enumerate(columns):
            gaps = np.isnan(codes[:, k])
            gap_tree = (
                grow(predictors, gaps.astype(float), True, size, prune, seed)
                if gaps.any()
                else None
            )
            seen = ~gaps
            tree = None
            if seen.any():
                nominal = column.kind == "categorical"
                tree = grow(predictors[seen], codes[seen, k], nominal, size, prune, seed)
                if not column.discrete and len(supports[k]) >= 3:
                    tree = replace(tree, values=told_scores(tree, supports[k]))
            value_trees.append(tree)
            gap_trees.append(gap_tree)
            predictors = np.column_stack([predictors, *as_predictors(codes[:, k], column)])
        return cls(tuple(columns), tuple(value_trees), tuple(gap_trees), supports)

    def draw(self, rng: np.random.Generator | None) -> list[tuple[np.ndarray, np.ndarray]]:
        """Leaf weights of (value tree, gap tree) for each column.

        ``None`` gives equal weights (plug-in); a generator gives one draw of the Bayesian
        bootstrap (Rubin 1981) within each leaf.
        """
        weights = []
        for tree, gap in zip(self.value_trees, self.gap_trees):
            pair = []
            for one in (tree, gap):
                size = 0 if one is None else len(one.values)
                pair.append(np.ones(size) if rng is None else rng.standard_exponential(size))
            weights.append((pair[0], pair[1]))
        return weights

    def sample(
        self, n: int, rng: np.random.Generator, parameters: Any, allowed: Allowed | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows column by column.

        Args:
            parameters: from `draw`.
            allowed: for a column name, a predicate on its codes; values that it refuses are not
                drawn, and the row's weight is multiplied by the leaf's share of allowed values.

        Returns:
            codes (n, n_columns) and importance weights (n,); with ``allowed`` the rows stand for
            the conditional distribution once resampled by their weights.
        """
        allowed = allowed or {}
        out = np.empty((n, len(self.columns)))
        weight = np.ones(n)
        predictors = np.empty((n, 0))
        for k, column in enumerate(self.columns):
            tree, gap = self.value_trees[k], self.gap_trees[k]
            tree_weights, gap_weights = parameters[k]
            keep = allowed.get(column.name)
            missing = np.zeros(n, dtype=bool)
            if gap is not None:
                usable = gap_weights
                if keep is not None and not bool(keep(np.array([np.nan]))[0]):
                    usable = np.where(gap.values > 0, 0.0, gap_weights)
                leaf = gap.leaves(predictors)
                drawn, mass = gap.draw(leaf, usable, rng)
                missing = drawn > 0
                if keep is not None:
                    weight = weight * mass / gap.draw(leaf, gap_weights, rng)[1]
            values = np.full(n, np.nan)
            if tree is not None:
                leaf = tree.leaves(predictors)
                if keep is None:
                    drawn = self._values(k, leaf, tree_weights, rng)
                else:
                    drawn, mass = self._kept(k, leaf, tree_weights, keep, rng)
                    weight = weight * np.where(missing, 1.0, mass)
                values = np.where(missing, np.nan, drawn)
            out[:, k] = values
            predictors = np.column_stack([predictors, *as_predictors(values, column)])
        return out, weight

    def _values(
        self, k: int, leaf: np.ndarray, weights: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Values (n,) of column ``k``: drawn from the leaves, smoothed, rare ones blurred."""
        tree, column, support = self.value_trees[k], self.columns[k], self.supports[k]
        assert tree is not None  # callers ask for columns that have values
        drawn = tree.draw(leaf, weights, rng)[0]
        if column.discrete or len(support) < 3:
            return blur_rare(drawn, column, support, rng)
        scores = leaf_scores(tree, support)
        return blur_rare(smoothed(drawn, leaf, scores, support, rng), column, support, rng)

    def _kept(
        self,
        k: int,
        leaf: np.ndarray,
        weights: np.ndarray,
        keep: Callable[[np.ndarray], np.ndarray],
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values (n,) that ``keep`` takes, and the share (n,) of their leaf's values that it takes.

        They come from a pool of each leaf, since smoothing moves values across the condition.
        """
        used, which = np.unique(leaf, return_inverse=True)
        pool = self._values(k, np.repeat(used, POOL), weights, rng)
        taken = keep(pool).reshape(len(used), POOL)
        count = taken.sum(axis=1)
        first = np.concatenate([[0], np.cumsum(count)[:-1]])
        good = np.append(pool[taken.ravel()], pool[0])  # one more: a place for leaves without any
        place = first[which] + np.floor(rng.random(len(leaf)) * count[which]).astype(int)
        return good[place], count[which] / POOL


def as_predictors(values: np.ndarray, column: Column) -> list[np.ndarray]:
    """A column as tree predictors: nominal levels one by one, a gap far below the minimum."""
    if column.kind == "categorical" and len(column.levels) > 2:
        return [(values == k).astype(float) for k in range(len(column.levels))]
    low = 0.0 if column.discrete or column.lower is None else column.lower
    high = len(column.levels) if column.discrete else (column.upper or 0.0)
    return [np.where(np.isnan(values), low - SENTINEL_STEPS * (high - low) - 1, values)]
