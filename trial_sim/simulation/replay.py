"""One simulated trial shown in full, and accrual and event curves over many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trial_sim.design.design import Design
from trial_sim.engine.analysis_registry import analysis_for
from trial_sim.engine.batch import TrialBatch, draw_batch
from trial_sim.engine.interim_analyses import conduct_batch
from trial_sim.numerics.random_streams import Streams

if TYPE_CHECKING:
    import pandas as pd

    from trial_sim.simulation.operating_characteristics import SimulationResult


@dataclass(frozen=True, eq=False)
class TrialReplay:
    """A trial as a reviewer would go through it.

    Attributes:
        trial: its number.
        patients: one row a patient: patient, arm, factors, enrolment (calendar month), time (months
            on study), event, end (calendar month), and responses or covariates if there are any.
        looks: one row a look held: month, events, patients, z, bounds, decision.
        data: for each look held, the data that the look showed: patient, arm, time, event.
    """

    trial: int
    patients: pd.DataFrame
    looks: pd.DataFrame
    data: tuple[pd.DataFrame, ...]


def replay(result: SimulationResult, trial: int) -> TrialReplay:
    """Simulate trial ``trial`` of a result again and keep everything.

    Raises:
        ValueError: if the result has no such trial.
    """
    if trial not in result.conducted.trial:
        raise ValueError(f"trial {trial!r} is not among the {result.n_trials} trials of the result")
    design = result.design
    streams = Streams(result.seed, result.scenario, np.array([trial], dtype=np.int64))
    batch = draw_batch(design, result.outcomes, streams)
    again, batch = conduct_batch(batch, analysis_for(design, result.outcomes.kind))
    patients = patient_table(design, batch)
    mine = result.trials.loc[result.trials["trial"] == trial].copy()
    data = data_shown(batch, patients, again)
    return TrialReplay(trial, patients, mine.reset_index(drop=True), data)


def data_shown(
    batch: TrialBatch, patients: pd.DataFrame, conducted: Any
) -> tuple[pd.DataFrame, ...]:
    """What each look held in the first trial of a batch showed, one table a look."""
    last = int(conducted.last_look[0])
    months = conducted.look_time[0, : last + 1]
    return tuple(snapshot(batch, patients, float(month)) for month in months)


def patient_table(design: Design, batch: TrialBatch) -> pd.DataFrame:
    """One row a patient of the first trial of a batch."""
    import pandas as pd

    names = np.array(design.arm_names, dtype=object)
    columns: dict[str, Any] = {
        "patient": np.arange(batch.arm.shape[1]),
        "arm": names[batch.arm[0]],
    }
    for factor, codes in batch.factors.items():
        columns[factor] = np.array(list(design.strata[factor]), dtype=object)[codes[0]]
    for name, values in batch.outcome.covariates.items():
        columns[name] = values[0]
    columns |= {
        "enrolment": batch.enrolment[0],
        "time": batch.time[0],
        "event": batch.event[0].astype(bool),
        "end": batch.exit[0],
    }
    for name in ("baseline", "response"):
        values = getattr(batch.outcome, name)
        if values is not None:
            columns[name] = values[0]
    if batch.outcome.visits is not None:
        for k in range(batch.outcome.visits.shape[2]):
            columns[f"visit_{k + 1}"] = batch.outcome.visits[0, :, k]
    if batch.outcome.cause is not None and batch.outcome.time is not None:
        failed = batch.outcome.time[0] <= batch.time[0]
        columns["cause"] = np.where(failed, batch.outcome.cause[0], 0)
    return pd.DataFrame(columns)


def snapshot(batch: TrialBatch, patients: pd.DataFrame, month: float) -> pd.DataFrame:
    """The patients enrolled by ``month``, censored at it."""
    shown = patients.loc[batch.enrolment[0] <= month].copy()
    entered = shown.index.to_numpy()
    ended = batch.exit[0, entered] <= month
    shown["time"] = np.where(ended, batch.time[0, entered], month - batch.enrolment[0, entered])
    shown["event"] = ended & (batch.event[0, entered] == 1)
    if "cause" in shown:
        shown["cause"] = np.where(ended, shown["cause"], 0)
    for k, after in enumerate(batch.outcome.visit_months):
        due = batch.enrolment[0, entered] + after
        there = due <= np.minimum(batch.exit[0, entered], month) + 1e-9
        shown[f"visit_{k + 1}"] = np.where(there, shown[f"visit_{k + 1}"], np.nan)
    if "response" in shown:
        shown["response"] = np.where(shown["event"], shown["response"], np.nan)
    return shown.drop(columns="end").reset_index(drop=True)


def calendar_curves(
    result: SimulationResult, months: Any, n_trials: int, level: float
) -> pd.DataFrame:
    """See :meth:`SimulationResult.curves`."""
    chosen = result.conducted.trial[: max(1, int(n_trials))]
    streams = Streams(result.seed, result.scenario, chosen)
    batch = draw_batch(result.design, result.outcomes, streams)
    return curves_of(batch, result, months, level)


def curves_of(
    batch: TrialBatch, result: SimulationResult, months: Any, level: float
) -> pd.DataFrame:
    """Patients and events by month of a batch of trials."""
    import pandas as pd

    if months is None:
        horizon = np.nanmax(result.conducted.look_time) + result.design.lag
        months = np.linspace(0, horizon, 50)
    months = np.asarray(months, dtype=float)
    tails = np.array([(1 - level) / 2, 0.5, (1 + level) / 2])
    table: dict[str, Any] = {"month": months}
    for name, when in (("patients", batch.enrolment), ("events", batch.calendar_event)):
        ordered = np.sort(when, axis=1)
        counts = np.array([np.searchsorted(row, months, side="right") for row in ordered])
        table[f"{name}_mean"] = counts.mean(axis=0)
        for label, curve in zip(("lower", "median", "upper"), np.quantile(counts, tails, axis=0)):
            table[f"{name}_{label}"] = curve
    return pd.DataFrame(table)
