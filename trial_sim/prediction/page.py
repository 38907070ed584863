"""A prediction as a figure and as one HTML page without outside references."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.output_places import write_text
from trial_sim.base.pages import page_environment
from trial_sim.prediction.saved import SavedPrediction, compared

_COLOURS = {"patients": "tab:blue", "events": "tab:red"}


def chart(prediction: Any, ax: Any, earlier: SavedPrediction | None) -> Any:
    """The forecast fan on an Axes: seen, predicted with bands, looks, and last month's forecast."""
    trial, curve = prediction.trial, prediction.curve
    seen = trial.event_months
    for name, past in (("patients", trial.enrolment), ("events", seen)):
        colour = _COLOURS[name]
        label = name if name == "patients" else prediction.counted
        ax.step(_when(prediction, past), np.arange(1, len(past) + 1), where="post", color=colour,
                label=label)  # fmt: skip
        months = _when(prediction, curve["month"])
        ax.plot(months, curve[f"{name}_median"], color=colour, ls="--")
        edges = curve[f"{name}_lower"], curve[f"{name}_upper"]
        ax.fill_between(months, *edges, color=colour, alpha=0.2, lw=0)
        if earlier is not None:
            before = _when(prediction, earlier.curve["month"])
            ax.plot(before, earlier.curve[f"{name}_median"], color=colour, ls=":", lw=1,
                    label=f"{label}, forecast of month {earlier.cutoff:.1f}")  # fmt: skip
    for row in prediction.looks.to_dict("records"):
        month = row["month_median"]
        if np.isfinite(month) and month <= float(curve["month"].max()):
            ax.axvline(_when(prediction, [month])[0], color="tab:grey", lw=0.8, ls=":")
            ax.annotate(f"look {row['look']}", (_when(prediction, [month])[0], 1.0),
                        xycoords=("data", "axes fraction"), rotation=90, va="top", ha="right",
                        fontsize=8)  # fmt: skip
    ax.axvline(_when(prediction, [trial.cutoff])[0], color="grey", lw=1)
    ax.set_xlabel("months since opening" if trial.opened is None else "date")
    ax.set_ylabel("number")
    ax.legend(frameon=False, fontsize=8)
    if trial.opened is not None:
        for label in ax.get_xticklabels():
            label.set_rotation(30)
    return ax


def _when(prediction: Any, months: Any) -> Any:
    """Months as they are drawn: as dates where the opening is known."""
    if prediction.trial.opened is None:
        return np.asarray(months, dtype=float)
    return [prediction.date(float(m)) for m in months]


def _fit_chart(prediction: Any) -> Any:
    """The fitted survival over Kaplan and Meier's, a panel a group."""
    from matplotlib.figure import Figure

    fit = prediction.fit
    groups = list(fit["group"].unique())
    figure = Figure(figsize=(3.2 * max(len(groups), 1) + 1, 3.2), layout="constrained")
    axes = figure.subplots(1, max(len(groups), 1), squeeze=False)[0]
    for ax, group in zip(axes, groups):
        mine = fit[fit["group"] == group]
        ax.step(mine["month"], mine["kaplan_meier"], where="post", color="tab:grey", label="seen")
        ax.fill_between(mine["month"], mine["lower"], mine["upper"], step="post", alpha=0.2,
                        color="tab:grey", lw=0)  # fmt: skip
        ax.plot(mine["month"], mine["fitted"], color="tab:blue", label="fitted")
        ax.set_title(group, fontsize=9)
        ax.set_xlabel("months on study")
        ax.set_ylim(0, 1)
    if groups:
        axes[0].set_ylabel("without event")
        axes[0].legend(frameon=False, fontsize=8)
    return figure


def prediction_page(prediction: Any, earlier: SavedPrediction | None, path: Any) -> str:
    """The page as text, written to ``path`` too if given."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.6), layout="constrained")
    chart(prediction, figure.subplots(), earlier)
    band = f"{100 * prediction.level:g} %"
    figures = [
        {
            "caption": f"Seen (steps) and expected (dashed) numbers with {band} bands; the "
            "vertical line is the data cut.",
            "image": _image(figure),
        }
    ]
    if len(prediction.fit):
        caption = "Fitted survival and Kaplan and Meier's estimate with its 95 % interval."
        figures.append({"caption": caption, "image": _image(_fit_chart(prediction))})
    chances = []
    if prediction.probability_of_success is not None:
        found = {"probability of success": prediction.probability_of_success}
        found |= {f"conditional power, {k}": v for k, v in prediction.conditional_power.items()}
        chances = [
            {"quantity": k, "estimate": f"{v.estimate:.3f}", "Monte-Carlo error": f"{v.mcse:.3f}"}
            for k, v in found.items()
        ]
    context = {
        "title": "Prediction of an ongoing trial",
        "summary": repr(prediction).split("\n"),
        "milestones": _milestones(prediction),
        "chances": chances,
        "figures": figures,
        "models": [
            {**row, "model": row["model"].replace("_", " ")}
            for row in _rows(
                prediction.models[["quantity", "model", "weight"]].query("weight > 0.005")
            )
        ],
        "ratios": [
            {
                "events": row["of"],
                "of": row["column"],
                "hazard ratio": f"{row['hazard_ratio']:.2f}",
                "band": f"{row['lower']:.2f} to {row['upper']:.2f}",
            }
            for row in prediction.ratios.to_dict("records")
        ],
        "changes": [] if earlier is None else _changes(compared(earlier, prediction.saved())),
        "earlier": "" if earlier is None else f"month {earlier.cutoff:.2f}",
        "band": band,
        "draws": f"{len(prediction._events):,}",
        "notes": list(prediction.trial.notes),
    }
    text = _render(context)
    if path is not None:
        write_text(path, text)
    return text


def _milestones(prediction: Any) -> list[dict[str, str]]:
    dated = prediction.trial.opened is not None
    rows = []
    for row in prediction.milestones().to_dict("records"):
        found = {"milestone": row["milestone"]}
        for name in ("median", "lower", "upper"):
            month = row[f"month_{name}"]
            date = prediction.date(month) if dated and np.isfinite(month) else None
            shown = "never" if not np.isfinite(month) else f"{month:.1f}"
            found[name] = shown if date is None else f"{date:%Y-%m-%d} (month {shown})"
        error = row["mcse_median"]
        found["Monte-Carlo error, months"] = "" if not np.isfinite(error) else f"{error:.2f}"
        found["reached in"] = (
            "the data" if row["reached"] else f"{100 * row['probability_reached']:.0f} % of draws"
        )
        rows.append(found)
    return rows


def _changes(table: pd.DataFrame) -> list[dict[str, str]]:
    """Each milestone as it was foreseen and as it is now, with bands, and the shift."""

    def said(row: dict[Any, Any], when: str) -> str:
        month, date = row[f"{when}_median"], row.get(f"date_{when}_median")
        if not np.isfinite(month):
            return "never"
        dated = f"{date:%Y-%m-%d}, " if isinstance(date, pd.Timestamp) else ""
        low, high = (row[f"{when}_{end}"] for end in ("lower", "upper"))
        return f"{dated}month {month:.1f} ({low:.1f} to {high:.1f})"

    return [
        {
            "milestone": row["milestone"],
            "foreseen": said(row, "earlier"),
            "now": "reached, " + said(row, "now") if row["reached"] else said(row, "now"),
            "months later": f"{row['months_later']:+.1f}"
            if np.isfinite(row["months_later"])
            else "",
        }
        for row in table.to_dict("records")
    ]


def _rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """A table as text, for the page."""

    def text(value: Any) -> str:
        if value is None or value is pd.NaT:
            return ""
        if isinstance(value, pd.Timestamp):
            return f"{value:%Y-%m-%d}"
        if isinstance(value, float):
            return "" if not np.isfinite(value) else f"{value:.2f}"
        return str(value)

    names = {c: str(c).replace("_", " ") for c in table}
    return [{names[k]: text(v) for k, v in row.items()} for row in table.to_dict("records")]


def _image(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _render(context: dict[str, Any]) -> str:
    return page_environment().get_template("prediction.html.j2").render(**context)
