"""The choice of a covariate generator: the most faithful one that copies nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.column_checks import nearest
from trial_sim.covariates.bootstrap import Bootstrap
from trial_sim.covariates.cart import SequentialCart
from trial_sim.covariates.copula import GaussianCopula
from trial_sim.schema import Column

GENERATORS: dict[str, Any] = {
    "cart": SequentialCart,
    "copula": GaussianCopula,
    "bootstrap": Bootstrap,
}
CANDIDATES = ("cart", "copula")  # of "auto": the bootstrap copies patients and is never chosen


def fit_generator(
    codes: np.ndarray, columns: Sequence[Column], model: str, seed: int
) -> tuple[Any, pd.DataFrame]:
    """Fit the generator named ``model``, or choose one with "auto".

    Returns:
        The generator, and the table of the comparison (one row a candidate: margin, the mean
        distance of margins; pairs, the mean error of rank correlations; propensity_auc, how well
        trees tell synthetic rows from held-out real ones; chosen).

    Raises:
        ValueError: an unknown name.
    """
    if model != "auto":
        if model not in GENERATORS:
            raise ValueError(
                f"unknown covariate_model {model!r}{nearest(model, [*GENERATORS, 'auto'])}"
            )
        return GENERATORS[model].fit(codes, columns, seed), pd.DataFrame()
    if len(columns) <= 1 or len(codes) < 40:
        return SequentialCart.fit(codes, columns, seed), pd.DataFrame()
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 11])))
    order = rng.permutation(len(codes))
    half = order[: len(order) // 2], order[len(order) // 2 :]
    rows = []
    for name in CANDIDATES:
        generator = GENERATORS[name].fit(codes[half[0]], columns, seed)
        made = generator.sample(len(half[1]), rng, generator.draw(None))[0]
        rows.append({"model": name, **resemblance(codes[half[1]], made, columns, seed)})
    table = pd.DataFrame(rows)
    table["score"] = table["margin"] + table["pairs"] + (table["propensity_auc"] - 0.5).clip(0)
    table["chosen"] = table["score"] == table["score"].min()
    best = str(table["model"].iloc[int(table["score"].argmin())])
    return GENERATORS[best].fit(codes, columns, seed), table


def resemblance(
    real: np.ndarray, made: np.ndarray, columns: Sequence[Column], seed: int
) -> dict[str, float]:
    """How far ``made`` (m, n_columns) is from ``real`` (n, n_columns); 0, 0 and .5 are best."""
    from scipy.stats import ks_2samp
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

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
    forest = RandomForestClassifier(40, min_samples_leaf=5, random_state=seed)
    guess = cross_val_predict(forest, x, y, cv=3, method="predict_proba")[:, 1]
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
