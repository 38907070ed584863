"""A picture of a search: the best score so far, call by call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.base.figures import new_figure
from molgen.report.charts import running_best

if TYPE_CHECKING:
    import pandas as pd


def plot_search(table: pd.DataFrame, path: str | Path | None = None) -> Any:
    """Each call as a dot, the best score so far, and the mean of the ten best so far.

    Args:
        table: from :func:`molgen.optimize`, with ``call`` and ``score``.
        path: also save the figure here (.svg, .png, .pdf).

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: a table without calls or scores, or a file that cannot be written.

    Examples:
        >>> import molgen
        >>> from molgen.optimization.curve_plot import plot_search
        >>> found = molgen.optimize(
        ...     ["maximise qed"], model=None, n_calls=20, start=["CCO"], seed=0
        ... )
        >>> plot_search(found).axes[0].get_xlabel()
        'calls'
    """
    if not {"call", "score"} <= set(table.columns):
        raise ValueError("The table has no columns call and score: it is not of a search.")
    calls, scores = (table[name].to_numpy(dtype=float) for name in ("call", "score"))
    order = np.argsort(calls, kind="stable")
    calls, scores = calls[order], scores[order]
    whole = np.isfinite(scores)
    calls, scores = calls[whole], scores[whole]
    if not len(calls):
        raise ValueError("The table has no call with a score.")
    best, ten = running_best(scores, 10)
    figure = new_figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(calls, scores, ".", color="#9aa5ad", markersize=3, alpha=0.5, label="a call")
    axes.step(calls, best, where="post", color="#2f6f8f", label="best so far")
    axes.step(calls, ten, where="post", color="#b45309", label="mean of the ten best")
    axes.set_xlabel("calls")
    axes.set_ylabel("score")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    if path is not None:
        try:
            figure.savefig(path)
        except OSError as error:
            raise ValueError(f"Cannot write {path}: {error.strerror}.") from error
    return figure
