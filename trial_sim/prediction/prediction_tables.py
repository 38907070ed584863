"""Tables of a prediction: dates of milestones with bands and Monte-Carlo error, and curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from trial_sim.design.design import Design
from trial_sim.engine.batch import TrialBatch
from trial_sim.prediction.dates import DAYS_PER_MONTH, date_of
from trial_sim.prediction.reading.ongoing import OngoingTrial

_POINTS = 61  # of a curve


def band(level: float) -> tuple[tuple[str, float], ...]:
    """Names and probabilities of median and band."""
    return ("median", 0.5), ("lower", (1 - level) / 2), ("upper", (1 + level) / 2)


def quantile_of(values: np.ndarray, p: float) -> tuple[float, float]:
    """A quantile of draws of which some are infinite, and its Monte-Carlo error.

    Infinite where it lies among the infinite ones, its error then NaN. The error is half the width
    between the order statistics one standard deviation of the rank apart.
    """
    n = len(values)
    if n == 0:
        return np.nan, np.nan
    ordered = np.sort(values)
    place = p * (n - 1)
    low = int(np.floor(place))
    high = min(low + 1, n - 1)
    found = ordered[low]
    if place > low:
        found = (
            found + (place - low) * (ordered[high] - found)
            if np.isfinite(ordered[high])
            else np.inf
        )
    if not np.isfinite(found):
        return np.inf, np.nan
    spread = np.sqrt(n * p * (1 - p))
    ends = ordered[np.clip(np.rint([place - spread, place + spread]).astype(int), 0, n - 1)]
    error = (ends[1] - ends[0]) / 2 if np.isfinite(ends[1]) else np.nan
    return float(found), float(error)


def summary(trial: OngoingTrial, months: np.ndarray, level: float) -> dict[str, Any]:
    """Median and band of months (inf: never), as days from the cut-off and dates too."""
    out: dict[str, Any] = {}
    errors = {}
    for name, p in band(level):
        month, error = quantile_of(months, p)
        out[f"month_{name}"] = month
        errors[f"mcse_{name}"] = error
        out[f"days_{name}"] = (month - trial.cutoff) * DAYS_PER_MONTH
        if trial.opened is not None:
            out[f"date_{name}"] = date_of(trial.opened, month)
    return {**out, **errors}


def look_table(
    trial: OngoingTrial,
    design: Design,
    look_time: np.ndarray,
    triggered: np.ndarray,
    looks_held: int,
    level: float,
) -> pd.DataFrame:
    """When the looks still to come are due, if nothing stops the trial before.

    A look whose trigger is not met in a draw never comes there: its month is infinite where
    more of the draws than the quantile leaves never meet it.
    """
    rows = []
    for k in range(looks_held, design.n_looks):
        met = triggered[:, k]
        rows.append(
            {
                "look": k + 1,
                "probability_reached": float(met.mean()),
                **summary(trial, np.where(met, look_time[:, k], np.inf), level),
            }
        )
    names = ["look", "probability_reached", *summary(trial, np.array([trial.cutoff]), level)]
    return pd.DataFrame(rows, columns=names)


def counts_by(ordered: np.ndarray, months: np.ndarray) -> np.ndarray:
    """How many of each draw's months (n_draws, n), ascending, have come, (n_draws, m)."""
    return np.array([np.searchsorted(row, months, side="right") for row in ordered])


def curve(
    trial: OngoingTrial,
    continued: TrialBatch,
    events: np.ndarray,
    look_time: np.ndarray,
    triggered: np.ndarray,
    level: float,
    complete: np.ndarray,
) -> pd.DataFrame:
    """Patients and events (or known responses) by month: mean, median and band."""
    met = triggered[:, -1]
    ends = look_time[met, -1] if met.any() else np.array([trial.cutoff + max(12.0, trial.cutoff)])
    last = max(float(np.quantile(ends, 0.9)), float(np.quantile(complete, 0.9)))
    last = min(max(last, trial.cutoff + 1.0), trial.cutoff + 240.0)
    months = np.linspace(trial.cutoff, last, _POINTS)
    tail = np.array([(1 - level) / 2, 0.5, (1 + level) / 2])
    table: dict[str, Any] = {"month": months}
    if trial.opened is not None:
        table["date"] = [date_of(trial.opened, month) for month in months]
    for name, ordered in (("patients", continued.enrolment), ("events", events)):
        counts = counts_by(ordered, months)
        table[f"{name}_mean"] = counts.mean(axis=0)
        for label, values in zip(("lower", "median", "upper"), np.quantile(counts, tail, axis=0)):
            table[f"{name}_{label}"] = values
    return pd.DataFrame(table)
