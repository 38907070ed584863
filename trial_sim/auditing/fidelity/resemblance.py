"""How alike two patient tables are: margins, associations, and propensity to be told apart.

Distances between distributions are never zero in samples. Their intervals are the estimate plus
and minus the 95 % quantile of the same distance between two samples of one distribution, so that
an honest sample of any size keeps the lower end near zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from trial_sim.auditing.compared import intervals
from trial_sim.auditing.compared.intervals import Interval
from trial_sim.auditing.compared.tables import MixedTable, Schema, model_matrix

FOLDS = 5
CLEAR = 0.15  # rank correlation from which two columns clearly go together


def ks_distance(real: np.ndarray, synthetic: np.ndarray) -> tuple[Interval, float]:
    """Kolmogorov-Smirnov distance of two samples and its 95 % null quantile.

    Missing values are left out.
    """
    a, b = np.sort(real[np.isfinite(real)]), np.sort(synthetic[np.isfinite(synthetic)])
    if len(a) == 0 or len(b) == 0:
        both_empty = len(a) == len(b)
        return Interval(0.0 if both_empty else 1.0, 0.0, 1.0), 1.0
    at = np.concatenate([a, b])
    gap = np.abs(
        np.searchsorted(a, at, side="right") / len(a)
        - np.searchsorted(b, at, side="right") / len(b)
    )
    distance = float(gap.max())
    null = 1.358 * np.sqrt(1 / len(a) + 1 / len(b))  # Smirnov's asymptotic 5 % point
    return Interval(distance, max(distance - null, 0.0), min(distance + null, 1.0)), float(null)


def total_variation(
    real: np.ndarray, synthetic: np.ndarray, rng: np.random.Generator, draws: int = 200
) -> tuple[Interval, float]:
    """Total variation distance of two samples of codes and its 95 % null quantile.

    Args:
        real, synthetic: integer codes, -1 for missing (a level of its own here).
        rng: draws of the null, multinomial from the pooled shares.
        draws: their number.
    """
    levels = np.unique(np.concatenate([real, synthetic]))
    count_real = (real[:, None] == levels).sum(axis=0)
    count_synthetic = (synthetic[:, None] == levels).sum(axis=0)
    n, m = max(len(real), 1), max(len(synthetic), 1)
    distance = float(np.abs(count_real / n - count_synthetic / m).sum() / 2)
    pooled = (count_real + count_synthetic) / (n + m)
    drawn = rng.multinomial(n, pooled, draws) / n - rng.multinomial(m, pooled, draws) / m
    null = float(np.quantile(np.abs(drawn).sum(axis=1) / 2, 0.95))
    return Interval(distance, max(distance - null, 0.0), min(distance + null, 1.0)), null


def quantile_distance(
    real: np.ndarray, synthetic: np.ndarray, rng: np.random.Generator, draws: int = 200
) -> tuple[Interval, float]:
    """Mean absolute difference of the 5 to 95 % quantiles, in real standard deviations.

    This is the Wasserstein-1 distance with its tails trimmed; the null is by pooling and
    splitting again.
    """
    a, b = real[np.isfinite(real)], synthetic[np.isfinite(synthetic)]
    if len(a) < 2 or len(b) < 2:
        return Interval(float("nan"), 0.0, float("inf")), float("nan")
    levels = np.linspace(0.05, 0.95, 19)
    scale = a.std() or 1.0
    distance = float(np.abs(np.quantile(a, levels) - np.quantile(b, levels)).mean() / scale)
    pooled = np.concatenate([a, b])
    n, m = min(len(a), 2000), min(len(b), 2000)
    first = np.quantile(pooled[rng.integers(len(pooled), size=(draws, n))], levels, axis=1)
    second = np.quantile(pooled[rng.integers(len(pooled), size=(draws, m))], levels, axis=1)
    null = float(np.quantile(np.abs(first - second).mean(axis=0) / scale, 0.95))
    return Interval(distance, max(distance - null, 0.0), distance + null), null


class AssociationError(NamedTuple):
    """Differences of pairwise associations between two tables."""

    largest: Interval
    largest_null: float
    typical: Interval
    typical_null: float
    pair: str  # where the largest difference stands


def association_error(
    schema: Schema,
    real: MixedTable,
    synthetic: MixedTable,
    rng: np.random.Generator,
    draws: int = 100,
) -> AssociationError:
    """Largest and root-mean-square difference of rank correlations over pairs of columns.

    Numbers enter by their ranks, categories by one indicator a level (levels under 2 % of the real
    rows are left out), missingness by an indicator; pairs within one column are not counted.
    The null distribution is by permuting the labels real and synthetic.
    """
    a, owners, names = _ranked(schema, real, real)
    b, _, _ = _ranked(schema, synthetic, real)
    if a.shape[1] < 2 or len(a) < 3 or len(b) < 3:
        nothing = Interval(float("nan"), float("nan"), float("nan"))
        return AssociationError(nothing, np.nan, nothing, np.nan, "")
    pairs = np.triu(owners[:, None] != owners[None, :], 1)

    def difference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.abs(_correlation(x) - _correlation(y))[pairs]

    observed = difference(a, b)
    if len(observed) == 0:
        nothing = Interval(float("nan"), float("nan"), float("nan"))
        return AssociationError(nothing, np.nan, nothing, np.nan, "")
    both, n = np.vstack([a, b]), len(a)
    null_max, null_rms = np.empty(draws), np.empty(draws)
    for k in range(draws):
        order = rng.permutation(len(both))
        gap = difference(both[order[:n]], both[order[n:]])
        null_max[k], null_rms[k] = gap.max(), np.sqrt((gap**2).mean())
    top, rms = float(observed.max()), float(np.sqrt((observed**2).mean()))
    q_max, q_rms = float(np.quantile(null_max, 0.95)), float(np.quantile(null_rms, 0.95))
    rows, columns = np.nonzero(pairs)
    where = int(observed.argmax())
    return AssociationError(
        Interval(top, max(top - q_max, 0.0), min(top + q_max, 2.0)),
        q_max,
        Interval(rms, max(rms - q_rms, 0.0), min(rms + q_rms, 2.0)),
        q_rms,
        f"{names[rows[where]]} × {names[columns[where]]}",
    )


def associations_kept(
    schema: Schema,
    real: MixedTable,
    synthetic: MixedTable,
    rng: np.random.Generator,
    draws: int = 60,
    only: Sequence[str] | None = None,
) -> tuple[Interval, int]:
    """Synthetic rank correlations over real ones, of the pairs that clearly go together; of the
    columns named in ``only``, where it is given.

    The slope through the origin of the synthetic on the real correlations of pairs whose real one
    is at least `CLEAR` and four standard errors; its interval by resampling patients of both.

    Returns:
        The slope with its interval, and the number of pairs (none: a slope of NaN).
    """
    a, owners, _ = _ranked(schema, real, real)
    b, _, _ = _ranked(schema, synthetic, real)
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    if a.shape[1] < 2 or len(a) < 10 or len(b) < 10:
        return nothing, 0
    mine = _correlation(a)
    pairs = np.triu(owners[:, None] != owners[None, :], 1)
    pairs &= np.abs(mine) >= max(CLEAR, 4 / len(a) ** 0.5)
    if only is not None:
        columns = [*schema.numeric, *schema.categorical]
        asked = np.isin(np.array(columns, dtype=object)[owners].astype(str), list(only))
        pairs &= asked[:, None] & asked[None, :]
    if not pairs.any():
        return nothing, 0

    def slope(x: np.ndarray, y: np.ndarray) -> float:
        return float((x[pairs] * y[pairs]).sum() / (x[pairs] ** 2).sum())

    found = slope(mine, _correlation(b))
    again = [
        slope(
            _correlation(a[rng.integers(len(a), size=len(a))]),
            _correlation(b[rng.integers(len(b), size=len(b))]),
        )
        for _ in range(draws)
    ]
    half = 1.96 * float(np.std(again))
    return Interval(found, found - half, found + half), int(pairs.sum())


def never_seen(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n,) whether a row of ``left`` (n, k) holds a pair of levels that no row of ``right`` does.

    Levels are whole numbers; -1 is a gap, a level of its own.
    """
    out = np.zeros(len(left), dtype=bool)
    for i in range(left.shape[1]):
        for j in range(i):
            known = set(map(tuple, right[:, [i, j]].tolist()))
            out |= np.array([pair not in known for pair in map(tuple, left[:, [i, j]].tolist())])
    return out


def alone_in_a_pair(codes: np.ndarray) -> np.ndarray:
    """(n,) whether a row of ``codes`` (n, k) holds a pair of levels that no other row does: their
    share is what one more patient of the same kind would have (Good 1953)."""
    out = np.zeros(len(codes), dtype=bool)
    for i in range(codes.shape[1]):
        for j in range(i):
            _, place, counts = np.unique(
                codes[:, [i, j]], axis=0, return_inverse=True, return_counts=True
            )
            out |= counts[place.ravel()] == 1
    return out


def _ranked(
    schema: Schema, table: MixedTable, real: MixedTable
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Ranks and indicators (n, k), the column each came from, and names."""
    out: list[np.ndarray] = []
    owners: list[int] = []
    names: list[str] = []
    p = len(schema.numeric)
    for j, name in enumerate(schema.numeric):
        x = table.numeric[:, j]
        missing = np.isnan(x)
        ranks = np.full(len(x), np.nan)
        if (~missing).any():
            ranks[~missing] = stats.rankdata(x[~missing]) / (~missing).sum()
        out.append(np.where(missing, 0.5, ranks))
        owners.append(j)
        names.append(name)
        if np.isnan(real.numeric[:, j]).mean() >= 0.02:
            out.append(missing.astype(float))
            owners.append(j)
            names.append(f"{name} missing")
    for j, name in enumerate(schema.categorical):
        for k, level in enumerate(schema.levels[name]):
            if (real.codes[:, j] == k).mean() >= 0.02:
                out.append((table.codes[:, j] == k).astype(float))
                owners.append(p + j)
                names.append(f"{name}={level}")
    if not out:
        return np.empty((len(table), 0)), np.empty(0, dtype=int), []
    return np.column_stack(out), np.array(owners), names


def _correlation(x: np.ndarray) -> np.ndarray:
    """Pearson correlations with 0 for a constant column."""
    centred = x - x.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    scaled = centred / np.where(norm > 1e-12, norm, np.inf)
    return scaled.T @ scaled


class Propensity(NamedTuple):
    """Can a classifier tell synthetic from real?"""

    logistic: Interval  # cross-fitted AUC
    trees: Interval  # cross-fitted AUC
    pmse_ratio: float  # over its null expectation


def propensity(
    schema: Schema,
    real: MixedTable,
    synthetic: MixedTable,
    seed: int,
    *,
    rows: int = 1500,
) -> Propensity:
    """Cross-fitted propensity AUC (logistic and boosted trees) and the pMSE ratio.

    pMSE = mean (p - c)^2 of an in-sample logistic model, over its null expectation
    df c (1 - c)^2 / N (Snoke et al. 2018), 1 under the null. Duplicate rows may not fall on two
    sides of a fold: the folds are made over distinct records, else a bootstrap would look better
    than a fresh sample.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(np.random.SeedSequence([seed, 71]))
    real, synthetic = _thin(real, rows, rng), _thin(synthetic, rows, rng)
    x = np.vstack([model_matrix(schema, real)[0], model_matrix(schema, synthetic)[0]])
    y = np.repeat([0, 1], [len(real), len(synthetic)])
    x = x[:, x.std(axis=0) > 0] if len(x) else x
    if x.shape[1] == 0 or min(len(real), len(synthetic)) < 2 * FOLDS:
        nothing = Interval(float("nan"), float("nan"), float("nan"))
        return Propensity(nothing, nothing, float("nan"))
    fold = _grouped_folds(x, rng)
    centre, spread = x.mean(axis=0), x.std(axis=0)
    z = (x - centre) / spread
    scores = np.zeros((2, len(y)))
    for k in range(FOLDS):
        train, test = fold != k, fold == k
        if not test.any() or len(np.unique(y[train])) < 2:
            continue
        logistic = LogisticRegression(C=1.0, max_iter=200).fit(z[train], y[train])
        trees = HistGradientBoostingClassifier(
            max_iter=40,
            max_leaf_nodes=8,
            learning_rate=0.1,
            min_samples_leaf=15,
            early_stopping=False,
            random_state=seed,
        ).fit(x[train], y[train])
        # within a fold only: the level of one fold's scores says nothing about another's
        base = y[train].mean()
        scores[0, test] = logistic.predict_proba(z[test])[:, 1] - base
        scores[1, test] = trees.predict_proba(x[test])[:, 1] - base
    full = LogisticRegression(C=np.inf, max_iter=500, tol=1e-6).fit(z, y)
    p, c = full.predict_proba(z)[:, 1], y.mean()
    df = np.linalg.matrix_rank(z)
    expected = df * c * (1 - c) ** 2 / len(y)
    ratio = float(((p - c) ** 2).mean() / expected) if expected > 0 else float("nan")
    return Propensity(
        intervals.auc(scores[0, y == 1], scores[0, y == 0]),
        intervals.auc(scores[1, y == 1], scores[1, y == 0]),
        ratio,
    )


def _thin(table: MixedTable, rows: int, rng: np.random.Generator) -> MixedTable:
    if len(table) <= rows:
        return table
    return table.rows(np.sort(rng.choice(len(table), rows, replace=False)))


def _grouped_folds(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) fold of each row; equal rows share a fold."""
    _, group = np.unique(x.round(9), axis=0, return_inverse=True)
    group = group.ravel()
    labels = rng.permutation(group.max() + 1) % FOLDS
    return labels[group]
