"""Chooses the generator of covariates: of those that pass the privacy check, the most faithful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.covariates.bootstrap import Bootstrap
from trial_sim.covariates.cart import SMALL, SequentialCart
from trial_sim.covariates.copula import GaussianCopula
from trial_sim.covariates.relation_search import find_relations
from trial_sim.covariates.relations import Related
from trial_sim.data.schema import Column

GENERATORS: dict[str, Any] = {
    "cart": SequentialCart,
    "copula": GaussianCopula,
    "bootstrap": Bootstrap,
}
# Of "auto"; the bootstrap copies patients and is never chosen. Of those that tie the first is
# taken: trees follow any dependence, which few patients do not show, and a copula betrays less.
CANDIDATES = ("cart", "copula")
CANDIDATES_SMALL = ("copula", "cart")  # of a trial of fewer than SMALL patients
DIVISIONS = 5  # into halves, of a trial of fewer than SMALL patients
HARMLESS = 0.52  # membership AUC that rules nothing out
SLACK = 0.02  # two candidates' membership AUCs differ by as much by chance
TIE = 0.02  # and so do their propensity AUCs,
TIE_SMALL = 0.05  # which of a trial of fewer than SMALL patients come from halves of a few dozen


def fit_generator(
    codes: np.ndarray,
    columns: Sequence[Column],
    model: str,
    seed: int,
    constraints: Sequence[str] = (),
) -> tuple[Any, pd.DataFrame]:
    """Fit the generator named ``model``, or choose one with "auto".

    Relations between columns that hold in every patient, found in the table or stated by
    ``constraints``, are kept by all but the bootstrap, which keeps whole rows (see `relations`).

    "auto" fits each candidate to halves of the table that take turns. Those that betray who was
    in the half (``membership_auc`` above `HARMLESS` and more than `SLACK` above the best
    candidate's, both by more than its standard error) are out; of the others the one that boosted
    trees tell least from the other half is taken, and of those that tie with it sequential trees,
    but the copula where there are fewer than `SMALL` patients.

    Returns:
        The generator, and the table of the comparison (one row a candidate: margin, the mean
        distance of margins; pairs, the mean error of rank correlations; propensity_auc, how well
        boosted trees tell synthetic rows from held-out real ones; membership_auc, how well the
        distance to the nearest synthetic row tells fitted rows from held-out ones; chosen).

    Raises:
        ValueError: an unknown name.
    """
    if model not in (*GENERATORS, "auto"):
        raise ValueError(
            f"unknown covariate_model {model!r}{nearest(model, [*GENERATORS, 'auto'])}"
        )
    if model != "bootstrap":
        relations = find_relations(codes, columns, constraints)
        if relations.found:
            inside, table = chosen(relations.inwards(codes), relations.inner, model, seed)
            return Related(inside, relations), table
    return chosen(codes, columns, model, seed)


def chosen(
    codes: np.ndarray, columns: Sequence[Column], model: str, seed: int
) -> tuple[Any, pd.DataFrame]:
    """The generator named, or the better one, fitted; and the comparison (see `fit_generator`)."""
    if model != "auto":
        return GENERATORS[model].fit(codes, columns, seed), pd.DataFrame()
    if len(columns) <= 1 or len(codes) < 40:
        return SequentialCart.fit(codes, columns, seed), pd.DataFrame()
    candidates, tie = (CANDIDATES, TIE) if len(codes) >= SMALL else (CANDIDATES_SMALL, TIE_SMALL)
    table = pd.DataFrame([compared(name, codes, columns, seed) for name in candidates])
    # the standard error of an area between two halves; small trials take the mean of many
    error = (3 * len(codes)) ** -0.5 if len(codes) >= SMALL else 0.0
    limit = max(HARMLESS, table["membership_auc"].min() + SLACK) + error
    apart = table["propensity_auc"].clip(lower=0.5).where(table["membership_auc"] <= limit)
    best = int((apart <= apart.min() + tie).argmax())
    table["chosen"] = np.arange(len(table)) == best
    return GENERATORS[str(table["model"].iloc[best])].fit(codes, columns, seed), table


def compared(
    name: str, codes: np.ndarray, columns: Sequence[Column], seed: int
) -> dict[str, float | str]:
    """A row of the comparison: one candidate, fitted to halves of ``codes`` (n, n_columns).

    All candidates see the same halves. The fewer the patients, the more divisions it takes.
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 11])))
    faithful: list[dict[str, float]] = []
    areas = []
    for _ in range(DIVISIONS if len(codes) < SMALL else 1):
        order = rng.permutation(len(codes))
        first, second = codes[order[: len(order) // 2]], codes[order[len(order) // 2 :]]
        for inside, outside in ((first, second), (second, first)):
            generator = GENERATORS[name].fit(inside, columns, seed)
            draws = np.random.Generator(np.random.Philox(rng.integers(2**31)))
            made = generator.sample(len(outside), draws, generator.draw(None))[0]
            faithful.append(resemblance(outside, made, columns, seed))
            areas.append(membership_auc(inside, outside, made, columns))
    fidelity = pd.DataFrame(faithful).mean()
    return {"model": name, **fidelity, "membership_auc": float(np.mean(areas))}


def membership_auc(
    inside: np.ndarray, outside: np.ndarray, made: np.ndarray, columns: Sequence[Column]
) -> float:
    """Chance that a fitted row lies nearer to its closest synthetic row than one that was not.

    Args:
        inside, outside, made: (n, n_columns), (m, n_columns), (k, n_columns) codes.
        columns: a step between nominal levels counts 1, between numbers its share of the range.
    """
    from scipy.spatial.distance import cdist
    from scipy.stats import rankdata

    rows = [filled(part, columns) for part in (inside, outside, made)]
    both = np.vstack(rows[:2])
    nominal = np.array([c.kind == "categorical" for c in columns])
    width = np.where(np.ptp(both, axis=0) > 0, np.ptp(both, axis=0), 1.0)
    far = cdist((both / width)[:, ~nominal], (rows[2] / width)[:, ~nominal], "cityblock")
    if nominal.any():
        far += nominal.sum() * cdist(both[:, nominal], rows[2][:, nominal], "hamming")
    rank = rankdata(-far.min(axis=1))[: len(inside)].sum()
    n, m = len(inside), len(outside)
    return float((rank - n * (n + 1) / 2) / (n * m))


def resemblance(
    real: np.ndarray, made: np.ndarray, columns: Sequence[Column], seed: int
) -> dict[str, float]:
    """How far ``made`` (m, n_columns) is from ``real`` (n, n_columns); 0, 0 and .5 are best."""
    from scipy.stats import ks_2samp
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    filled_real, filled_made = filled(real, columns), filled(made, columns)
    margin = np.mean(
        [
            ks_2samp(filled_real[:, k], filled_made[:, k], method="asymp").statistic
            for k in range(real.shape[1])
        ]
    )
    pairs = np.abs(rank_correlation(filled_real) - rank_correlation(filled_made))
    upper = pairs[np.triu_indices(len(pairs), 1)]
    x = np.vstack([filled_real, filled_made])
    y = np.repeat([0, 1], [len(real), len(made)])
    trees = HistGradientBoostingClassifier(
        max_iter=40, max_leaf_nodes=8, min_samples_leaf=15, early_stopping=False, random_state=seed
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    guess = cross_val_predict(trees, x, y, cv=folds, method="predict_proba")[:, 1]
    return {
        "margin": float(margin),
        "pairs": float(upper.mean()),
        "propensity_auc": float(roc_auc_score(y, guess)),
    }


def filled(codes: np.ndarray, columns: Sequence[Column]) -> np.ndarray:
    """Gaps set one step below the lowest value, so that they count as a value of their own."""
    low = np.array([-1.0 if c.discrete or c.lower is None else c.lower - 1 for c in columns])
    return np.where(np.isnan(codes), low, codes)


def rank_correlation(values: np.ndarray) -> np.ndarray:
    """Spearman correlations (d, d); a constant column has none (0)."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=0)
    ranks -= ranks.mean(axis=0)
    norm = np.linalg.norm(ranks, axis=0)
    scaled = ranks / np.where(norm > 0, norm, 1)
    return scaled.T @ scaled
