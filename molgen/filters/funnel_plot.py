"""Plots of filter results with matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from molgen.base.figures import new_figure
from molgen.filters.filter_sets import funnel_table

if TYPE_CHECKING:
    import pandas as pd


def plot_funnel(funnel: pd.DataFrame, path: str | Path | None = None) -> Any:
    """How many molecules were left after each filter, and how many fell at it.

    Args:
        funnel: from ``filters.funnel_table``, or a table from ``filter_molecules``.
        path: also save the figure here (.svg, .png, .pdf).

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: a table without a funnel, or a file that cannot be written.
    """
    if "fell" not in funnel.columns:
        funnel = funnel_table(funnel)
    figure = new_figure(figsize=(7, 0.42 * len(funnel) + 1.1), layout="constrained")
    axes = figure.subplots()
    positions = list(range(len(funnel)))
    axes.barh(positions, funnel["passed"], color="#2f6f8f", label="left")
    axes.barh(positions, funnel["fell"], left=funnel["passed"], color="#f3c9a5", label="fell here")
    for position, (entered, fell) in enumerate(zip(funnel["entered"], funnel["fell"])):
        if fell:
            axes.text(entered, position, f" −{fell:,}", va="center", fontsize=9)
    axes.set_yticks(positions, funnel["filter"])
    axes.invert_yaxis()
    axes.set_xlim(0, max(int(funnel["entered"].max()), 1) * 1.12)
    axes.set_xlabel("molecules")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    if path is not None:
        try:
            figure.savefig(path)
        except OSError as error:
            raise ValueError(f"Cannot write {path}: {error.strerror}.") from error
    return figure
