"""Aggregate data behind the report's figures: curves with bands, histograms, forest rows.

No frame holds a patient's record; histogram bins with one to four real patients are kept as
counts only in the synthetic column's scale (shares), as in any published figure.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from trial_sim.auditing.compared.comparison import Comparison
from trial_sim.auditing.compared.curves import simultaneous_band
from trial_sim.auditing.compared.paired_outcomes import curves, is_survival
from trial_sim.auditing.compared.tables import Schema
from trial_sim.auditing.fidelity.effects import forest

BINS = 24
RISK_TIMES = 6


def figure_data(comparison: Comparison, effects: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All frames: ``curves``, ``at_risk``, ``margins``, ``forest``."""
    return {
        "curves": outcome_curves(comparison),
        "at_risk": numbers_at_risk(comparison),
        "margins": margins(comparison),
        "forest": forest(effects),
    }


def outcome_curves(comparison: Comparison) -> pd.DataFrame:
    """Every outcome curve of every arm for real and synthetic patients, with the real band.

    Columns: endpoint, curve, arm, source, axis, step, x, y, lower, upper.
    """
    parts = []
    for e, name in enumerate(comparison.real.endpoints):
        real, synthetic = (comparison.outcomes[r][name] for r in ("real", "synthetic"))
        for a, arm in enumerate(comparison.arms):
            mine, theirs = real.rows(real.arm == arm), synthetic.rows(synthetic.arm == arm)
            if min(len(mine), len(theirs)) < 2:
                continue
            rng = comparison.rng(200_000 + 100 * e + a)
            for curve in curves(mine, theirs):
                for source, outcome in (("real", mine), ("synthetic", theirs)):
                    y, low, high = simultaneous_band(curve.draw(outcome), len(outcome), rng)
                    if curve.label != "mean by visit":
                        top = np.inf if curve.label == "mean number of events" else 1.0
                        low, high = np.clip(low, 0, top), np.clip(high, 0, top)
                    parts.append(
                        pd.DataFrame(
                            {
                                "endpoint": name,
                                "curve": curve.label,
                                "arm": arm,
                                "source": source,
                                "axis": curve.axis,
                                "step": curve.step,
                                "x": curve.grid,
                                "y": y,
                                "lower": low,
                                "upper": high,
                            }
                        )
                    )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def numbers_at_risk(comparison: Comparison) -> pd.DataFrame:
    """Patients at risk at round times. Columns: endpoint, arm, source, x, n."""
    rows = []
    for name, endpoint in comparison.real.endpoints.items():
        if not is_survival(endpoint):
            continue
        pair = {r: comparison.outcomes[r][name] for r in ("real", "synthetic")}
        last = min(float(np.quantile(o.data["duration"], 0.95)) for o in pair.values())
        for arm in comparison.arms:
            for source, outcome in pair.items():
                duration = outcome.data["duration"][outcome.arm == arm]
                for x in np.linspace(0, last, RISK_TIMES):
                    rows.append((name, arm, source, float(x), int((duration >= x).sum())))
    return pd.DataFrame(rows, columns=["endpoint", "arm", "source", "x", "n"])


def margins(comparison: Comparison) -> pd.DataFrame:
    """Shares by bin or level of every column. Columns: column, kind, label, x, width, real,
    synthetic (shares of all patients)."""
    schema = comparison.schema
    real, synthetic = comparison.tables["real"], comparison.tables["synthetic"]
    rows: list[tuple[str, str, str, float, float, float, float]] = []
    for j, name in enumerate(schema.numeric):
        a, b = real.numeric[:, j], synthetic.numeric[:, j]
        seen = np.concatenate([a[np.isfinite(a)], b[np.isfinite(b)]])
        if len(seen) == 0:
            continue
        edges = _edges(seen, name in schema.orders)
        for k in range(len(edges) - 1):
            low, high = edges[k], edges[k + 1]
            end = np.less_equal if k == len(edges) - 2 else np.less
            with np.errstate(invalid="ignore"):
                shares = [float(((x >= low) & end(x, high)).mean()) for x in (a, b)]
            middle, width = float((low + high) / 2), float(high - low)
            label = f"{middle:.4g}"
            if name in schema.orders:
                label = str(schema.orders[name][min(max(round(middle), 0), n_levels(schema, name))])
            rows.append((name, "numeric", label, middle, width, shares[0], shares[1]))
    for j, name in enumerate(schema.categorical):
        levels = [*schema.levels[name], "missing"]
        for k, level in enumerate(levels):
            code = -1 if level == "missing" and k == len(levels) - 1 else k
            shares = [float((t.codes[:, j] == code).mean()) for t in (real, synthetic)]
            if code >= 0 or max(shares) > 0:
                rows.append((name, "categorical", str(level), float(k), 1.0, shares[0], shares[1]))
    return pd.DataFrame(
        rows, columns=["column", "kind", "label", "x", "width", "real", "synthetic"]
    )


def n_levels(schema: Schema, name: str) -> int:
    """Index of the highest level of an ordered column."""
    return len(schema.orders[name]) - 1


def _edges(seen: np.ndarray, ordered: bool) -> np.ndarray:
    """Bin edges: one bin a value where there are few, else equal bins over the central 99 %."""
    values = np.unique(seen)
    if ordered or (len(values) <= BINS and np.allclose(values, np.round(values))):
        return np.arange(values[0] - 0.5, values[-1] + 1.0)
    if np.allclose(values, np.round(values)):
        # bins of whole width, or some would hold one more value than their neighbours
        width = float(np.ceil((values[-1] - values[0] + 1) / BINS))
        return np.arange(values[0] - 0.5, values[-1] + width, width)
    low, high = np.quantile(seen, [0.005, 0.995])
    if high <= low:
        low, high = seen.min() - 0.5, seen.max() + 0.5
    edges = np.linspace(low, high, BINS + 1)
    edges[0], edges[-1] = min(seen.min(), low), max(seen.max(), high)
    # long tails are folded into the outermost bins, which keep their drawn width
    return edges
