"""Distance measures between real and synthetic records: quick warnings that decide nothing.

Data that pass all of these can still be open to membership inference ("The DCR Delusion",
arXiv 2505.01524). All functions take distance matrices, so that each is computed once.
"""

from __future__ import annotations

import numpy as np

from trial_sim.auditing.compared.intervals import Z95, Interval
from trial_sim.auditing.compared.tables import MixedTable, Schema


def without_self(distance: np.ndarray) -> np.ndarray:
    """A copy of a square distance matrix whose diagonal is infinite."""
    out = distance.copy()
    np.fill_diagonal(out, np.inf)
    return out


def closest_share(to_real: np.ndarray, to_holdout: np.ndarray) -> Interval:
    """Share of synthetic records nearer to the training records than to the hold-out.

    Ties count one half (SDMetrics counts them for the hold-out, which biases the share down for
    categorical data). The number of training and hold-out records should be equal. The interval
    allows for several synthetic records that share one nearest neighbour.

    Args:
        to_real: (n_synthetic, n) distances.
        to_holdout: (n_synthetic, n) distances.
    """
    real, holdout = to_real.min(axis=1), to_holdout.min(axis=1)
    score = (real < holdout) + 0.5 * (real == holdout)
    n_real, n_holdout = to_real.shape[1], to_holdout.shape[1]
    nearest = np.where(real <= holdout, to_real.argmin(axis=1), n_real + to_holdout.argmin(axis=1))
    counts = np.bincount(nearest, minlength=n_real + n_holdout)
    # under exchange of the labels each record's block of neighbours moves together
    error = 0.5 * float(np.sqrt((counts.astype(float) ** 2).sum())) / len(real)
    share = float(score.mean())
    return Interval(share, max(share - Z95 * error, 0.0), min(share + Z95 * error, 1.0))


def closest_ratio(
    to_real: np.ndarray, among_real: np.ndarray, rng: np.random.Generator, draws: int = 200
) -> Interval:
    """Median distance to the closest record over the same among the real records (mDCR).

    Args:
        to_real: (n_synthetic, n) distances from synthetic to real records.
        among_real: (n, n) distances with an infinite diagonal.
        rng: bootstrap of the rows.
        draws: bootstrap draws.
    """
    near, base = to_real.min(axis=1), among_real.min(axis=1)

    def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        top, bottom = np.median(a, axis=-1), np.median(b, axis=-1)
        # repeated records make both medians zero: no nearer than real records to each other
        safe = np.where(bottom > 0, bottom, 1.0)
        return np.where(bottom > 0, top / safe, np.where(top > 0, np.inf, 1.0))

    drawn = ratio(
        near[rng.integers(len(near), size=(draws, len(near)))],
        base[rng.integers(len(base), size=(draws, len(base)))],
    )
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return Interval(float(ratio(near, base)), float(low), float(high))


def neighbour_ratio(distance: np.ndarray) -> np.ndarray:
    """(n,) distance to the nearest over that to the second nearest column (NNDR), 1 for 0/0."""
    if distance.shape[1] < 2:
        return np.ones(len(distance))
    two = np.partition(distance, 1, axis=1)[:, :2]
    return np.where(two[:, 1] > 0, two[:, 0] / np.where(two[:, 1] > 0, two[:, 1], 1), 1.0)


def mean_loss(control: np.ndarray, values: np.ndarray) -> Interval:
    """Mean of the control less the mean of the values, with a normal interval."""
    error = np.sqrt(control.var(ddof=1) / len(control) + values.var(ddof=1) / len(values))
    loss = float(control.mean() - values.mean())
    return Interval(loss, float(loss - Z95 * error), float(loss + Z95 * error))


def adversarial_accuracy(
    cross: np.ndarray, among_real: np.ndarray, among_synthetic: np.ndarray
) -> Interval:
    """Nearest-neighbour adversarial accuracy (Yale et al. 2020); .5 is ideal, 0 is copying.

    Args:
        cross: (n_real, n_synthetic) distances, equal numbers of both.
        among_real, among_synthetic: square, with infinite diagonals.
    """

    def away(other: np.ndarray, own: np.ndarray) -> np.ndarray:
        a, b = other.min(axis=1), own.min(axis=1)
        return (a > b) + 0.5 * (a == b)

    real = away(cross, among_real)
    synthetic = away(cross.T, among_synthetic)
    value = float(real.mean() + synthetic.mean()) / 2
    error = 0.5 * np.sqrt(real.var() / len(real) + synthetic.var() / len(synthetic))
    # neighbours are shared, which about doubles the variance of independent rows
    error = float(max(error * np.sqrt(2), 1.5 / len(real)))
    return Interval(value, max(value - Z95 * error, 0.0), min(value + Z95 * error, 1.0))


def entropy_weights(schema: Schema, table: MixedTable) -> np.ndarray:
    """(p + q,) inverse entropies of the columns (numbers in 20 bins), as in ε-identifiability.

    synthcity computes such weights and then overwrites them with ones; here they are used.
    A constant column gets no weight.
    """
    out = []
    for j in range(len(schema.numeric)):
        x = table.numeric[:, j]
        out.append(_entropy(np.histogram(x[~np.isnan(x)], bins=20)[0]))
    for j in range(len(schema.categorical)):
        out.append(_entropy(np.unique(table.codes[:, j], return_counts=True)[1]))
    entropy = np.array(out)
    weights = np.where(entropy > 1e-9, 1 / np.maximum(entropy, 1e-9), 0.0)
    return weights if weights.sum() > 0 else np.ones(len(weights))


def _entropy(counts: np.ndarray) -> float:
    p = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(p * np.log(p)).sum())


def nearer_than_real(to_synthetic: np.ndarray, among_real: np.ndarray) -> np.ndarray:
    """(n,) 1 where a real record is nearer to a synthetic one than to the next real one, ties .5.

    The mean with entropy weights is ε-identifiability; an independent sample gives one half.
    """
    synthetic, real = to_synthetic.min(axis=1), among_real.min(axis=1)
    return (synthetic < real) + 0.5 * (synthetic == real)


def isolated(among_real: np.ndarray, share: float = 0.1, least: int = 10) -> np.ndarray:
    """Index of the most isolated records: farthest from their nearest other real record."""
    alone = among_real.min(axis=1)
    count = min(len(alone), max(least, round(share * len(alone))))
    return np.argsort(-alone, kind="stable")[:count]


def copied(to_source: np.ndarray, alone: np.ndarray, fraction: float = 0.25) -> np.ndarray:
    """(n,) True where a source row lies within a fraction of a record's own isolation.

    Args:
        to_source: (n, m) distances from the records to the source rows.
        alone: (n,) distances of the records to their nearest other real record.
        fraction: how near, in units of the isolation.
    """
    return to_source.min(axis=1) <= fraction * alone
