"""Drawings of a what-if table: power curves, heat maps, tornado diagrams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trial_sim.base.arguments import nearest

if TYPE_CHECKING:
    import pandas as pd

    from trial_sim.exploration.what_if_result import WhatIf

KINDS = ("auto", "curve", "heatmap", "tornado", "scatter")


def draw(
    found: WhatIf,
    kind: str = "auto",
    value: str = "power",
    x: str | None = None,
    y: str | None = None,
    ax: Any = None,
) -> Any:
    """See :meth:`WhatIf.plot`.

    Raises:
        ValueError: for an unknown kind or column, or a table that the kind cannot show.
    """
    import matplotlib.pyplot as plt

    table = found.table
    if kind not in KINDS:
        raise ValueError(f"plot {kind!r} is unknown{nearest(kind, KINDS)}")
    for name in (value, x, y):
        if name is not None and name not in table.columns:
            raise ValueError(f"the table has no column {name!r}{nearest(name, table.columns)}")
    names = found.parameters
    if kind == "auto":
        sampling = found.sampling
        if sampling == "grid":
            kind = "curve" if len(names) == 1 else "heatmap"
        else:
            kind = "tornado" if sampling == "one_at_a_time" else "scatter"
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    if kind == "tornado":
        return _tornado(found, value, ax)
    x = x or names[0]
    y = y or (names[1] if len(names) > 1 else None)
    if kind == "curve":
        return _curve(table, value, x, y, ax)
    if kind == "heatmap":
        if y is None:
            raise ValueError("a heat map needs two fields; draw a curve of one")
        return _heatmap(table, value, x, y, ax)
    return _scatter(table, value, x, y, ax)


def _label(name: str) -> str:
    return name.replace("_", " ").replace(".", " ")


def _curve(table: pd.DataFrame, value: str, x: str, y: str | None, ax: Any) -> Any:
    groups = [("", table)] if y is None or y == x else list(table.groupby(y, sort=False))
    for label, rows in groups:
        rows = rows.groupby(x, sort=True).mean(numeric_only=True).reset_index()
        at = rows[x].to_numpy()
        error = 1.96 * rows[f"{value}_mcse"].to_numpy() if f"{value}_mcse" in rows else None
        ax.errorbar(
            at, rows[value], yerr=error, marker="o", ms=4, capsize=2, label=str(label) or None
        )
    ax.set_xlabel(_label(x))
    ax.set_ylabel(_label(value))
    if y is not None and y != x:
        ax.legend(title=_label(y), frameon=False)
    ax.grid(alpha=0.3)
    return ax


def _heatmap(table: pd.DataFrame, value: str, x: str, y: str, ax: Any) -> Any:
    grid = table.pivot_table(index=y, columns=x, values=value, sort=False)
    image = ax.imshow(grid.to_numpy(), aspect="auto", origin="lower", cmap="viridis")
    ax.set_xticks(range(len(grid.columns)), [str(c) for c in grid.columns])
    ax.set_yticks(range(len(grid.index)), [str(r) for r in grid.index])
    numbers = grid.to_numpy(dtype=float)
    middle = (np.nanmin(numbers) + np.nanmax(numbers)) / 2
    for i, j in np.ndindex(numbers.shape):
        number = float(numbers[i, j])
        colour = "white" if number < middle else "black"
        ax.text(j, i, f"{number:.3g}", ha="center", va="center", color=colour, fontsize=8)
    ax.set_xlabel(_label(x))
    ax.set_ylabel(_label(y))
    ax.figure.colorbar(image, ax=ax, label=_label(value))
    return ax


def _tornado(found: WhatIf, value: str, ax: Any) -> Any:
    table, base = found.table, found.base.get(value)
    if base is None or found.sampling != "one_at_a_time":
        raise ValueError('a tornado needs a table of sampling="one_at_a_time"')
    bars = {}
    for changed in dict.fromkeys(found.changed):
        rows = table.loc[[c == changed for c in found.changed]]
        label = ", ".join(_label(n) for n in changed)
        bars[label] = [(float(v), str(rows[changed[0]].iloc[i])) for i, v in enumerate(rows[value])]
    order = sorted(bars, key=lambda k: max(v for v, _ in bars[k]) - min(v for v, _ in bars[k]))
    for row, label in enumerate(order):
        for side, colour in (("left", "tab:blue"), ("right", "tab:orange")):
            mine = [bar for bar in bars[label] if (bar[0] >= base) == (side == "left")]
            if not mine:
                continue
            for number, _ in mine:
                ax.barh(row, number - base, left=base, color=colour, alpha=0.7, height=0.6)
            # one text a side, from the axis outwards, at the end of the longest bar
            mine.sort(key=lambda bar: abs(bar[0] - base), reverse=side == "right")
            end = max((number for number, _ in mine), key=lambda number: abs(number - base))
            text = ", ".join(text for _, text in mine)
            ax.text(end, row, f" {text} ", va="center", ha=side, fontsize=8)
    ax.axvline(base, color="black", lw=1)
    ax.set_yticks(range(len(order)), order)
    ax.set_xlabel(_label(value))
    ax.margins(x=0.15)
    return ax


def _scatter(table: pd.DataFrame, value: str, x: str, y: str | None, ax: Any) -> Any:
    if y is None:
        ax.scatter(table[x], table[value], s=18)
        ax.set_ylabel(_label(value))
    else:
        points = ax.scatter(table[x], table[y], c=table[value], s=28, cmap="viridis")
        ax.set_ylabel(_label(y))
        ax.figure.colorbar(points, ax=ax, label=_label(value))
    ax.set_xlabel(_label(x))
    return ax
