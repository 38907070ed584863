"""Figures of real beside synthetic patients: outcome curves, margins, forest, privacy.

Each function takes the aggregate frames that an audit keeps (``report.figures``) or its table
``report.privacy``, and returns a matplotlib figure; :func:`plot_outcome` takes two trials.
:func:`svg` turns a figure into inline SVG whose text and lines follow the page's colours, light or
dark.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from trial_sim.auditing.compared.comparison import compare
from trial_sim.auditing.figures import numbers_at_risk, outcome_curves
from trial_sim.base.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trial_sim.data.trial import Trial

REAL, SYNTHETIC = "#3b7dd8", "#e0702b"  # blue and orange: distinct to the colour-blind
INK, FAINT = "#0a0b0c", "#9a9b9c"  # stand-ins that svg() turns into the page's colours
LIGHTS = {"green": "#2e9e5b", "amber": "#d99a00", "red": "#d64545", "grey": "#9a9b9c"}


def _figure(width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure without pyplot (no global state) with the axes of ``subplots``."""
    import matplotlib

    style: dict[Any, Any] = {
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "grid.color": FAINT,
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "grid.linewidth": 0.4,
        "grid.alpha": 0.35,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "legend.frameon": False,
    }
    with matplotlib.rc_context(style):
        figure = new_figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(squeeze=False, **options)
        for axis in axes.ravel():
            axis.tick_params(width=0.6, length=3)
    return figure, axes


def plot_curves(
    curves: pd.DataFrame,
    at_risk: pd.DataFrame | None = None,
    endpoint: str | None = None,
    curve: str | None = None,
    time_unit: str = "",
) -> Figure:
    """Outcome curves, one panel an arm: real with its 95 % band, synthetic over it, risk table.

    Args:
        curves: the frame ``report.figures["curves"]``.
        at_risk: the frame ``report.figures["at_risk"]``, for survival endpoints.
        endpoint, curve: which to draw; the first when None.
        time_unit: for the label of the axis.

    Raises:
        ValueError: when the frame holds no such curve.
    """
    data = curves
    if endpoint is not None:
        data = data[data["endpoint"] == endpoint]
    if curve is not None:
        data = data[data["curve"] == curve]
    if data.empty:
        raise ValueError(
            f"no curve {curve!r} of endpoint {endpoint!r}; there are: "
            + "; ".join(sorted({f"{e}, {c}" for e, c in zip(curves["endpoint"], curves["curve"])}))
        )
    endpoint, curve = str(data["endpoint"].iloc[0]), str(data["curve"].iloc[0])
    data = data[(data["endpoint"] == endpoint) & (data["curve"] == curve)]
    arms = list(dict.fromkeys(data["arm"]))
    risk = None
    if at_risk is not None and len(at_risk):
        risk = at_risk[at_risk["endpoint"] == endpoint]
    tabled = risk is not None and len(risk) > 0
    figure, axes = _figure(
        max(3.0 * len(arms), 4.5),
        3.4 if tabled else 2.9,
        nrows=2 if tabled else 1,
        ncols=len(arms),
        sharex="col",
        gridspec_kw={"height_ratios": [5, 1]} if tabled else None,
    )
    is_share = curve in ("survival", "distribution") or "share" in curve or "incidence" in curve
    for k, arm in enumerate(arms):
        axis = axes[0, k]
        for source, colour, line in (("real", REAL, "-"), ("synthetic", SYNTHETIC, "--")):
            part = data[(data["arm"] == arm) & (data["source"] == source)]
            _draw(axis, part, colour, line, source, band=source == "real")
        axis.set_title(f"{arm}" if arm else endpoint)
        axis.grid(True, axis="y")
        if is_share:
            axis.set_ylim(-0.02, 1.02)
        if k == 0:
            axis.set_ylabel(curve)
            axis.legend(loc="best", handlelength=1.8, labelcolor=INK, frameon=False)
        if tabled and risk is not None:
            _risk_rows(axes[1, k], risk[risk["arm"] == arm], first=k == 0)
        kind = str(data["axis"].iloc[0])
        label = {"time": f"{time_unit or 'time'}", "visit": "visit", "value": endpoint}[kind]
        axes[-1, k].set_xlabel(label)
        if kind == "visit":
            axis.set_xticks(sorted(data["x"].unique()))
            axis.set_xticklabels([f"{x + 1:g}" for x in sorted(data["x"].unique())])
    return figure


def _draw(axis: Axes, part: pd.DataFrame, colour: str, line: str, label: str, band: bool) -> None:
    """One curve, as steps or as a line with points, with its band behind."""
    x, y = part["x"].to_numpy(), part["y"].to_numpy()
    low, high = part["lower"].to_numpy(), part["upper"].to_numpy()
    if len(part) and bool(part["step"].iloc[0]) and len(x) > 1:
        axis.step(x, y, where="post", color=colour, linestyle=line, linewidth=1.5, label=label)
        if band:
            axis.fill_between(x, low, high, step="post", color=colour, alpha=0.16, linewidth=0)
    elif len(x) == 1:
        shift = -0.15 if band else 0.15
        axis.errorbar(
            [shift],
            y,
            yerr=[y - low, high - y],
            fmt="o" if band else "s",
            color=colour,
            capsize=3,
            label=label,
        )
        axis.set_xlim(-1, 1)
        axis.set_xticks([])
    else:
        axis.plot(x, y, color=colour, linestyle=line, marker="o", markersize=3.5, label=label)
        if band:
            axis.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)


def _risk_rows(axis: Axes, risk: pd.DataFrame, first: bool) -> None:
    """Numbers at risk under a panel: real above, synthetic below."""
    axis.set_ylim(0, 2)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.set_yticks([1.5, 0.5], ["real", "synth."] if first else ["", ""])
    axis.tick_params(left=False)
    for source, height, colour in (("real", 1.5, REAL), ("synthetic", 0.5, SYNTHETIC)):
        rows = risk[risk["source"] == source]
        for x, n in zip(rows["x"], rows["n"]):
            axis.text(x, height, f"{n}", color=colour, ha="center", va="center", fontsize=8)
    if first:
        axis.set_title("at risk", loc="left", fontsize=8, pad=1)


def plot_margins(margins: pd.DataFrame, columns: list[str] | None = None) -> Figure:
    """Small panels of every column: real as filled bars, synthetic as a line or markers.

    Args:
        margins: the frame ``report.figures["margins"]``.
        columns: which columns; all when None.

    Raises:
        ValueError: when there is no such column.
    """
    names = list(dict.fromkeys(margins["column"])) if columns is None else columns
    missing = [name for name in names if name not in set(margins["column"])]
    if missing or not names:
        raise ValueError(f"no margins of the columns {missing or names}")
    across = min(4, len(names))
    down = -(-len(names) // across)
    figure, axes = _figure(2.5 * across, 1.75 * down, nrows=down, ncols=across)
    for axis, name in zip(axes.ravel(), names):
        part = margins[margins["column"] == name]
        x, width = part["x"].to_numpy(), part["width"].to_numpy()
        real, synthetic = part["real"].to_numpy(), part["synthetic"].to_numpy()
        axis.bar(x, real, width * 0.92, color=REAL, alpha=0.45, label="real", linewidth=0)
        if part["kind"].iloc[0] == "numeric":
            edges = np.append(x - width / 2, x[-1] + width[-1] / 2)
            axis.stairs(synthetic, edges, color=SYNTHETIC, linewidth=1.5, label="synthetic")
            if len(x) <= 6:
                axis.set_xticks(x, [str(text) for text in part["label"]])
        else:
            axis.plot(x, synthetic, "D", color=SYNTHETIC, markersize=4.5, label="synthetic")
            axis.set_xticks(x)
            labels = [str(text) for text in part["label"]]
            crowded = sum(map(len, labels)) > 26
            axis.set_xticklabels(
                [text if len(text) < 14 else text[:12] + "…" for text in labels],
                rotation=30 if crowded else 0,
                ha="right" if crowded else "center",
            )
        axis.set_title(name, fontsize=9)
        axis.set_ylim(0, None)
        axis.tick_params(labelsize=7)
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    for axis in axes.ravel()[len(names) :]:
        axis.set_visible(False)
    axes[0, 0].legend(fontsize=7, handlelength=1.2, labelcolor=INK, frameon=False)
    return figure


def plot_forest(forest: pd.DataFrame) -> Figure:
    """Forest plot: every contrast in the real and in the synthetic trial with 95 % intervals.

    Args:
        forest: the frame ``report.figures["forest"]``.

    Raises:
        ValueError: when it is empty.
    """
    if forest.empty:
        raise ValueError("the forest plot needs at least one contrast")
    n = len(forest)
    figure, axes = _figure(7.6, 0.62 * n + 0.9, ncols=1)
    axis = axes[0, 0]
    for source, colour, shift, marker in (
        ("real", REAL, 0.14, "o"),
        ("synthetic", SYNTHETIC, -0.14, "s"),
    ):
        y = np.arange(n)[::-1] + shift
        middle = forest[f"estimate_{source}"].to_numpy()
        low = forest[f"lower_{source}"].to_numpy()
        high = forest[f"upper_{source}"].to_numpy()
        axis.errorbar(
            middle,
            y,
            xerr=[middle - low, high - middle],
            fmt=marker,
            color=colour,
            markersize=5,
            capsize=2.5,
            linewidth=1.4,
            label=source,
        )
    axis.axvline(0, color=INK, linewidth=0.7)
    axis.set_yticks(np.arange(n)[::-1], [_wrap(str(s)) for s in forest["subject"]])
    axis.set_ylim(-0.6, n - 0.4)
    axis.grid(True, axis="x")
    axis.set_xlabel("effect against control (0 is none), 95 % interval")
    axis.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 1 + 0.42 / (0.62 * n)),
        ncols=2,
        labelcolor=INK,
        frameon=False,
    )
    return figure


def _wrap(text: str) -> str:
    """A long label on two lines, broken at its last comma."""
    head, _, tail = text.rpartition(", ")
    return f"{head}\n{tail}" if head and len(text) > 28 else text


def plot_privacy(privacy: pd.DataFrame) -> Figure:
    """Normalised risks and membership AUCs with intervals, thresholds and chance.

    Args:
        privacy: the table ``report.privacy``.

    Raises:
        ValueError: when it holds neither.
    """
    seen = privacy[privacy["estimate"].notna()]
    risks = seen[seen["measure"].str.endswith("normalised risk")]
    areas = seen[seen["measure"] == "membership inference AUC"]
    parts = [(risks, 0.0, (0.0, 1.0), "risk over the control")]
    if len(areas):
        parts.append((areas, 0.5, (0.4, 1.0), "membership inference AUC"))
    parts = [part for part in parts if len(part[0])]
    if not parts:
        raise ValueError("the privacy table holds no risks and no membership attacks")
    tallest = max(len(part[0]) for part in parts)
    figure, axes = _figure(4.6 * len(parts), 0.24 * tallest + 1.1, ncols=len(parts))
    for axis, (rows, chance, limits, title) in zip(axes[0], parts):
        n = len(rows)
        y = np.arange(n)[::-1]
        for height, (_, row) in zip(y, rows.iterrows()):
            colour = LIGHTS[row["verdict"]]
            axis.plot([row["lower"], row["upper"]], [height, height], color=colour, linewidth=2)
            axis.plot(row["estimate"], height, "o", color=colour, markersize=5)
        axis.axvline(float(rows["threshold"].iloc[0]), color=INK, linewidth=0.8, linestyle=":")
        axis.axvline(chance, color=INK, linewidth=0.6)
        labels = [
            str(r["measure"]).replace(", normalised risk", "").replace("attribute inference", "")
            if len(rows) > 1
            else str(r["measure"])
            for _, r in rows.iterrows()
        ]
        subjects = [str(s) for s in rows["subject"]]
        axis.set_yticks(
            y,
            [
                s if title.startswith("membership") else (label or f"infer {s}")
                for label, s in zip(labels, subjects)
            ],
        )
        highest = max(limits[0] + 0.25, float(rows["upper"].max()) * 1.05)
        axis.set_xlim(limits[0], min(limits[1], highest))
        axis.set_ylim(-0.7, n - 0.3)
        axis.tick_params(labelsize=8)
        axis.set_title(f"{title} (dotted: threshold)", fontsize=9)
        axis.grid(True, axis="x")
    return figure


#: What a measure is where nothing is lost and nothing given away, where that is not zero.
_NEUTRAL = {
    "membership inference AUC": 0.5,
    "membership inference AUC, saved file": 0.5,
    "nearer to training than to hold-out": 0.5,
    "adversarial accuracy": 0.5,
    "distance to closest record, ratio": 1.0,
    "ε-identifiability": 0.5,
    "TSTR / TRTR": 1.0,
}


def used_up(row: Any, value: float) -> float:
    """How much of what its rule allows a value uses up: 0 nothing, 1 all, above 1 it is broken.

    NaN where there is no value, no rule, or the rule has no number.
    """
    threshold, neutral = row["threshold"], _NEUTRAL.get(str(row["measure"]), 0.0)
    allowed = threshold - neutral if row["better"] != "zero" else threshold
    if not np.isfinite(value) or not np.isfinite(allowed) or not allowed:
        return float("nan")
    far = abs(value) if row["better"] == "zero" else value - neutral
    return max(float(far / allowed), 0.0)


def tradeoff(table: pd.DataFrame) -> pd.DataFrame:
    """What each column, and the trial, loses in likeness and gives away of patients.

    Args:
        table: measures of an audit, with ``section``, ``measure``, ``subject``, ``better``,
            ``threshold``, ``estimate`` and ``control``.

    Returns:
        One row a point: ``name``, ``kind`` ("column" or "trial"), ``lost`` and ``given_away``, each
        as the share of its rule that is used up, and ``by_chance``, what of ``lost`` real patients
        reach against real ones. Of the trial the worst line of either kind counts.
    """
    table = table[table["estimate"].notna() & table["better"].ne("")]
    table = table.assign(
        used=[used_up(row, row["estimate"]) for _, row in table.iterrows()],
        expected=[used_up(row, row["control"]) for _, row in table.iterrows()],
    )
    table = table[np.isfinite(table["used"])]
    margins = table[table["measure"].isin(("KS distance", "total variation"))]
    inferred = table[table["measure"].str.startswith("attribute inference")]
    points = []
    for name in dict.fromkeys(margins["subject"]):
        its = inferred[inferred["subject"] == name]
        if len(its):
            mine = margins[margins["subject"] == name].nlargest(1, "used").iloc[0]
            points.append((str(name), "column", mine["used"], its["used"].max(), mine["expected"]))
    useful = table[table["section"].isin(("utility", "effects"))]
    private = table[table["section"] == "privacy"]
    attacks = private[private["measure"].str.contains("membership inference AUC|normalised risk")]
    if len(useful) and len(attacks):
        lost, given = (part.nlargest(1, "used").iloc[0] for part in (useful, attacks))
        name = "; ".join(f"{w['measure']} [{w['subject']}]" for w in (lost, given))
        points.append((name, "trial", lost["used"], given["used"], lost["expected"]))
    return pd.DataFrame(points, columns=["name", "kind", "lost", "given_away", "by_chance"])


def plot_tradeoff(points: pd.DataFrame) -> Figure:
    """Privacy against utility: what is lost to the right, what is given away upwards.

    Args:
        points: what :func:`tradeoff` gave.

    Raises:
        ValueError: without points.
    """
    if points.empty:
        raise ValueError("the picture needs lines on utility and attacks on privacy")
    most = 2.0
    figure, axes = _figure(5.6, 3.9)
    axis = axes[0, 0]
    axis.fill_between([0, 1], 0, 1, color=LIGHTS["green"], alpha=0.10, linewidth=0)
    axis.plot([1, 1, 0], [0, 1, 1], color=INK, linewidth=0.7, linestyle=":")
    places = {c: points[c].clip(0, most).to_numpy() for c in ("lost", "given_away", "by_chance")}
    x, y, chance = places["lost"], places["given_away"], places["by_chance"]
    for i in np.flatnonzero(np.isfinite(chance)):
        axis.plot([x[i], chance[i]], [y[i], y[i]], color=REAL, linewidth=0.9, clip_on=False)
    axis.scatter(chance, y, 22, "none", "o", edgecolors=REAL, clip_on=False, zorder=3,
                 label="real patients against real ones")  # fmt: skip
    for kind, marker, size, label in (
        ("column", "o", 26, "a column: likeness of its values, inference of them"),
        ("trial", "D", 60, "the trial: its worst line of either kind"),
    ):
        part = (points["kind"] == kind).to_numpy()
        if part.any():
            axis.scatter(x[part], y[part], size, SYNTHETIC, marker, label=label, clip_on=False,
                         zorder=4)  # fmt: skip
    for i in np.flatnonzero((points["kind"] == "column") & ((x > 0.7) | (y > 0.3))):
        axis.annotate(str(points["name"].iloc[i]), (x[i], y[i]), (3, 4), fontsize=7, color=INK,
                      textcoords="offset points")  # fmt: skip
    axis.set_xlim(0, most)
    axis.set_ylim(0, most)
    axis.set_xticks([0, 0.5, 1, 1.5, 2])
    axis.set_yticks([0, 0.5, 1, 1.5, 2])
    axis.set_xlabel("utility lost, share of what its rule allows")
    axis.set_ylabel("privacy given away, share of its rule")
    axis.grid(True)
    figure.legend(loc="outside upper left", fontsize=8, labelcolor=INK, frameon=False)
    return figure


def plot_outcome(real: Trial, synthetic: Trial, endpoint: str, seed: int = 0) -> Figure:
    """Overlaid outcome curves of two trials with the real band and numbers at risk.

    Args:
        real, synthetic: trials with the same columns.
        endpoint: which endpoint.
        seed: of the bootstrap that makes the band.
    """
    comparison = compare(real, synthetic, endpoint=endpoint, seed=seed)
    return plot_curves(
        outcome_curves(comparison), numbers_at_risk(comparison), endpoint, None, real.time_unit
    )


def svg(figure: Figure, title: str) -> str:
    """A figure as inline SVG that scales with the page and takes its colours.

    Args:
        figure: from any function here.
        title: said by screen readers; also keeps the identifiers of several figures apart.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = text.replace(INK, "currentColor").replace(FAINT, "var(--faint, #9a9b9c)")
    text = re.sub(r"font: (\d+(?:\.\d+)?)px [^;\"]*", r"font: \1px system-ui, sans-serif", text)
    text = re.sub(r'<svg height="[^"]*"', "<svg", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    # identifiers of several figures on one page must differ
    salt = re.sub(r"\W+", "-", title)
    text = re.sub(r'id="([^"]+)"', rf'id="{salt}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{salt}-\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{salt}-\1"', text)
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
