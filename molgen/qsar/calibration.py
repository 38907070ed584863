"""Metrics of a QSAR model, and intervals of its predictions that have the coverage they state.

Metrics with bootstrap intervals; conformal intervals for values (Vovk, Gammerman and Shafer 2005);
Venn-Abers probability intervals for classes (Vovk and Petej 2014).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

PROBABILITY_GRID = np.linspace(0.0, 1.0, 101)


def compute_metrics(y: np.ndarray, predicted: np.ndarray, task: str) -> dict[str, float]:
    """RMSE, MAE, R² and Spearman correlation; or ROC AUC, PR AUC, balanced accuracy and Brier."""
    from scipy.stats import spearmanr
    from sklearn import metrics

    if task == "regression":
        error = predicted - y
        return {
            "rmse": float(np.sqrt(np.mean(error**2))),
            "mae": float(np.mean(np.abs(error))),
            "r2": float(1.0 - np.sum(error**2) / max(np.sum((y - y.mean()) ** 2), 1e-300)),
            "spearman": float(spearmanr(y, predicted).statistic) if predicted.std() > 0 else 0.0,
        }
    if len(set(y.tolist())) < 2:
        return dict.fromkeys(("roc_auc", "pr_auc", "balanced_accuracy", "brier"), math.nan)
    return {
        "roc_auc": float(metrics.roc_auc_score(y, predicted)),
        "pr_auc": float(metrics.average_precision_score(y, predicted)),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(y, predicted >= 0.5)),
        "brier": float(np.mean((predicted - y) ** 2)),
    }


def metric_table(
    y: np.ndarray, predicted: np.ndarray, task: str, seed: int = 0, n_bootstrap: int = 300
) -> pd.DataFrame:
    """Metrics with 95 % intervals by bootstrap over molecules: metric, estimate, lower, upper."""
    import pandas as pd

    estimate = compute_metrics(y, predicted, task)
    rng = np.random.default_rng([seed, 41])
    draws: dict[str, list[float]] = {name: [] for name in estimate}
    for _ in range(n_bootstrap):
        chosen = rng.integers(len(y), size=len(y))
        for name, value in compute_metrics(y[chosen], predicted[chosen], task).items():
            draws[name].append(value)
    rows = [
        (name, value, *np.nanquantile(draws[name], [0.025, 0.975]))
        for name, value in estimate.items()
    ]
    return pd.DataFrame(rows, columns=["metric", "estimate", "lower", "upper"])


# ---- calibration ---------------------------------------------------------------------------------
def conformal_factor(residuals: np.ndarray, spreads: np.ndarray, coverage: float) -> float:
    """The factor q such that mean ± q·spread held ``coverage`` of the held-out molecules.

    The ceil((n + 1)·coverage)-th smallest of |residual| / spread; infinite if n is too small.
    """
    ratios = np.sort(np.abs(residuals) / spreads)
    rank = math.ceil((len(ratios) + 1) * coverage)
    return float(ratios[rank - 1]) if rank <= len(ratios) else math.inf


def venn_abers(held_out: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Lower and upper probability of class 1 for the scores 0, 0.01, ... 1; (2, 101) float64.

    Each score joins the held-out ones once as class 0 and once as class 1, and isotonic regression
    says what it is worth (Vovk and Petej 2014).

    Args:
        held_out: (n,) out-of-fold scores in [0, 1].
        labels: (n,) their classes, 0 or 1.
    """
    from sklearn.isotonic import IsotonicRegression

    bounds = np.empty((2, len(PROBABILITY_GRID)))
    for label in (0, 1):
        for index, point in enumerate(PROBABILITY_GRID):
            fit = IsotonicRegression(out_of_bounds="clip")
            fit.fit(np.append(held_out, point), np.append(labels, label))
            bounds[label, index] = fit.predict([point])[0]
    return bounds
