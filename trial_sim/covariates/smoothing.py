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

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

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
        support: (m, 2) sorted distinct values and their counts.
    """
    upto = np.cumsum(support[:, 1]) / support[:, 1].sum()
    return np.concatenate([[0.0], upto[:-1]]), upto


def leaf_scores(
    values: np.ndarray, start: np.ndarray, stop: np.ndarray, support: np.ndarray
) -> LeafScores:
    """Summaries of the leaves ``values[start:stop]`` (values ascend within a leaf)."""
    below, upto = shares(support)
    place = np.searchsorted(support[:, 0], values)
    score = ndtri((below[place] + upto[place]) / 2)
    size = np.maximum(stop - start, 1).astype(float)
    first = np.concatenate([[0.0], np.cumsum(score)])
    second = np.concatenate([[0.0], np.cumsum(score**2)])
    mean = (first[stop] - first[start]) / size
    spread = np.sqrt(np.maximum((second[stop] - second[start]) / size - mean**2, 0.0))
    last = np.maximum(stop - 1, 0)
    return LeafScores(
        mean, spread, below[place[np.minimum(start, len(place) - 1)]], upto[place[last]], size
    )


def smoothed(
    drawn: np.ndarray,
    leaf: np.ndarray,
    scores: LeafScores,
    support: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Values (n,) of the column near the ``drawn`` ones (n,), within the range of their leaf.

    The kernel is shrunk towards the leaf's mean, so that the spread stays; what leaves the range
    of the leaf is reflected, so that a column that others determine stays determined.
    """
    below, upto = shares(support)
    place = np.searchsorted(support[:, 0], drawn)
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
