"""Tables of a prediction: look dates, enrolment, and curves with bands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from trial_sim.design.design import Design
from trial_sim.engine.batch import TrialBatch
from trial_sim.prediction.ongoing import DAYS_PER_MONTH, OngoingTrial


def date_of(trial: OngoingTrial, month: float) -> pd.Timestamp | None:
    """Calendar date of a month of the trial, if its opening date is known."""
    if trial.opened is None or not np.isfinite(month):
        return None
    return (trial.opened + pd.Timedelta(days=month * DAYS_PER_MONTH)).normalize()


def summary(trial: OngoingTrial, months: np.ndarray, level: float) -> dict[str, Any]:
    """Median and band of months, as days from the cut-off and dates too."""
    out: dict[str, Any] = {}
    for name, p in (("median", 0.5), ("lower", (1 - level) / 2), ("upper", (1 + level) / 2)):
        month = float(np.quantile(months, p)) if len(months) else np.nan
        out[f"month_{name}"] = month
        out[f"days_{name}"] = (month - trial.cutoff) * DAYS_PER_MONTH
        if trial.opened is not None:
            out[f"date_{name}"] = date_of(trial, month)
    return out


def look_table(
    trial: OngoingTrial,
    design: Design,
    look_time: np.ndarray,
    triggered: np.ndarray,
    final: np.ndarray,
    looks_held: int,
    level: float,
) -> pd.DataFrame:
    """When the looks still to come are due, if nothing stops the trial before."""
    rows = []
    for k in range(looks_held, design.n_looks):
        due = final >= k
        rows.append(
            {
                "look": k + 1,
                "probability_reached": float((triggered[:, k]).mean()),
                **summary(trial, look_time[due, k], level),
            }
        )
    return pd.DataFrame(rows)


def curve(
    trial: OngoingTrial,
    continued: TrialBatch,
    look_time: np.ndarray,
    final: np.ndarray,
    level: float,
) -> pd.DataFrame:
    """Patients and events (or known responses) by month: mean, median and band."""
    last = look_time[np.arange(len(final)), final]
    months = np.linspace(trial.cutoff, max(float(np.quantile(last, 0.95)), trial.cutoff), 40)
    tail = np.array([(1 - level) / 2, 0.5, (1 + level) / 2])
    table: dict[str, Any] = {"month": months}
    for name, when in (("patients", continued.enrolment), ("events", continued.calendar_event)):
        ordered = np.sort(when, axis=1)
        counts = np.array([np.searchsorted(row, months, side="right") for row in ordered])
        table[f"{name}_mean"] = counts.mean(axis=0)
        for label, curve in zip(("lower", "median", "upper"), np.quantile(counts, tail, axis=0)):
            table[f"{name}_{label}"] = curve
    return pd.DataFrame(table)
