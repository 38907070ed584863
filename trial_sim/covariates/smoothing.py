"""A smoothed bootstrap within the leaves of a tree, on the scale of normal scores.

Values drawn straight from a leaf are a dozen patients' own: on a trial of a hundred patients whole
baselines come back, and an attacker sees who took part. Here a drawn value is turned into the
normal score of its rank in the column, moved by a normal kernel of its leaf's width, and turned
back into a value of the column at that rank. So the column keeps its margin with spikes, skewness
and digit preference, the leaf keeps its mean and spread, and the single patient's value is lost. A
spike is one of the whole column: one that only some leaves have shows, weaker, in the others whose
range covers it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from trial_sim.numerics.told import TOGETHER

WIDTH = 1.06  # Silverman's rule: 1.06 standard deviations times n^(-1/5)


class LeafScores(NamedTuple):
    """Where the leaves lie on the scale of ranks, by node of the tree, each (n_nodes,).

    Attributes:
        mean, spread: of the normal scores of a leaf's values.
        low, high: shares of the column below the leaf's smallest and up to its largest value.
        size: number of values.
    """

    mean: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray
    size: np.ndarray


def shares(support: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the column below each value, and up to it, (m,) both.

    Args:
        support: (m, 4) of `encoding.told`.
    """
    upto = np.cumsum(support[:, 1]) / support[:, 1].sum()
    return np.concatenate([[0.0], upto[:-1]]), upto


def told_scores(tree: Any, support: np.ndarray) -> np.ndarray:
    """Normal scores (n,) for the values of a tree's leaves: means of at least `TOGETHER` neighbours
    within the leaf, spread as the leaf is.

    Args:
        tree: a `cart.Tree` whose values ascend within a leaf. support: (m, 4) of `told`.
    """
    below, upto = shares(support)
    place = np.clip(np.searchsorted(support[:, 0], tree.values), 0, len(support) - 1)
    score = ndtri((below[place] + upto[place]) / 2)
    out = score.copy()
    for a, b in zip(tree.start, tree.stop):
        if b <= a:
            continue
        mine = score[a:b]
        parts = np.array_split(np.arange(b - a), max((b - a) // TOGETHER, 1))
        means = np.concatenate([np.full(len(p), mine[p].mean()) for p in parts])
        spread, left = mine.std(), means.std()
        if left > 0:
            means = mine.mean() + (means - mine.mean()) * spread / left
        out[a:b] = means
    return np.round(out, 3)


def leaf_scores(tree: Any, support: np.ndarray) -> LeafScores:
    """Summaries of the leaves of a tree that holds `told_scores`."""
    below, upto = shares(support)
    start, stop = tree.start, tree.stop
    size = np.maximum(stop - start, 1).astype(float)
    first = np.concatenate([[0.0], np.cumsum(tree.values)])
    second = np.concatenate([[0.0], np.cumsum(tree.values**2)])
    mean = (first[stop] - first[start]) / size
    spread = np.sqrt(np.maximum((second[stop] - second[start]) / size - mean**2, 0.0))
    low, high = np.zeros(len(start)), np.ones(len(start))
    for k, (a, b) in enumerate(zip(start, stop)):
        if b <= a:
            continue
        ranks = np.unique(ndtr(tree.values[a:b]))
        # half a step beyond the lowest and the highest mean, and on to the end of a told value
        ends = [ranks[0], ranks[-1]]
        if len(ranks) > 1:
            ends = [ranks[0] - (ranks[1] - ranks[0]) / 2, ranks[-1] + (ranks[-1] - ranks[-2]) / 2]
        inside = np.clip(ends, 1e-6, 1 - 1e-6)
        place = np.minimum(np.searchsorted(upto, inside), len(upto) - 1)
        low[k], high[k] = below[place[0]], upto[place[1]]
    return LeafScores(mean, np.maximum(spread, 0.0), low, high, size)


def smoothed(
    drawn: np.ndarray,
    leaf: np.ndarray,
    scores: LeafScores,
    support: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Values (n,) of the column near the ``drawn`` scores (n,), within the range of their leaf.

    The kernel is shrunk towards the leaf's mean, so that the spread stays; what leaves the range
    of the leaf is reflected, so that a column that others determine stays determined.
    """
    below, upto = shares(support)
    place = np.minimum(np.searchsorted(upto, ndtr(drawn)), len(upto) - 1)
    # a value that many share covers a range of ranks: any of them
    rank = below[place] + rng.random(len(drawn)) * (upto[place] - below[place])
    score = ndtri(np.clip(rank, 1e-9, 1 - 1e-9))
    width = WIDTH * scores.size[leaf] ** -0.2
    moved = (
        score - scores.mean[leaf] + width * scores.spread[leaf] * rng.standard_normal(len(drawn))
    )
    rank = ndtr(scores.mean[leaf] + moved / np.sqrt(1 + width**2))
    low, span = scores.low[leaf], scores.high[leaf] - scores.low[leaf]
    inside = np.mod(rank - low, 2 * span)
    rank = low + np.where(inside > span, 2 * span - inside, inside)
    return support[np.minimum(np.searchsorted(upto, rank), len(upto) - 1), 0]
