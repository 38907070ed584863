"""Patients of a ``Trial`` as the table that a prediction reads."""

from __future__ import annotations

from typing import Any

import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.base.user_warnings import warn_user

_ENDPOINTS = {
    "time_to_event": "TimeToEvent",
    "binary": "Binary",
    "continuous": "Continuous",
    "ordinal": "Ordinal",
    "count": "Count",
    "longitudinal": "Longitudinal",
    "recurrent": "Recurrent",
}
_EVENT, _COMPETING = "the first cause", "another cause"


def from_trial(
    trial: Any, data: dict[str, Any], kind: str = "time_to_event", wanted: str | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Patients of a ``Trial``, with its arm, entry, unit and endpoint as our columns.

    Args:
        kind: of the endpoint, such as ``"time_to_event"`` or ``"binary"``.
        wanted: name of the endpoint; the only one of its kind, or the first, if None.

    Raises:
        TypeError: for something else than a trial.
        ValueError: if it has no such endpoint, or one with delayed entry, or counts over exposures
            that differ.
    """
    if not hasattr(trial, "patients") or not hasattr(trial, "endpoints"):
        raise TypeError(f"trial_so_far must be a DataFrame or a Trial, got {trial!r}")
    known = {_ENDPOINTS[kind], *(("CompetingRisks",) if kind == "time_to_event" else ())}
    found = {n: e for n, e in trial.endpoints.items() if type(e).__name__ in known}
    if not found:
        raise ValueError(f"the trial has no {kind.replace('_', '-')} endpoint to predict")
    if wanted is not None and wanted not in found:
        raise ValueError(
            f"the design's endpoint {wanted!r} is no {kind.replace('_', '-')} endpoint of the trial"
            f"{nearest(wanted, found)}; it has {list(found)}"
        )
    name = next(iter(found)) if wanted is None else wanted
    if wanted is None and len(found) > 1:
        warn_user(
            f"the trial has the endpoints {list(found)}: {name!r} is predicted, which "
            "design.endpoint can name"
        )
    endpoint, patients = found[name], trial.patients
    columns: dict[str, Any] = {"arm": trial.arm}
    if getattr(trial, "entry", None) is not None:
        columns["enrolment"] = trial.entry
    if getattr(trial, "site", None) is not None:
        columns["site"] = trial.site
    if getattr(trial, "id", None) is not None:
        columns["id"] = trial.id
    if kind == "time_to_event":
        columns["time"] = endpoint.duration
        if endpoint.kind == "competing_risks":
            cause = patients[endpoint.cause]
            patients = patients.assign(**{_EVENT: cause == 1, _COMPETING: cause > 1})
            columns |= {"event": _EVENT, "competing": _COMPETING}
        else:
            columns["event"] = endpoint.event
        if endpoint.entry is not None:
            raise ValueError(
                f"endpoint {name!r} has delayed entry ({endpoint.entry!r}), which a prediction "
                "does not take: patients are under observation from enrolment"
            )
        data = {"time_unit": trial.time_unit, **data}
    elif kind == "recurrent":
        data = {"time_unit": trial.time_unit, **data, "endpoint": endpoint}
    elif kind == "longitudinal":
        columns["visits"] = list(endpoint.columns)
    else:
        columns["response"] = endpoint.column
    if getattr(endpoint, "exposure", None) is not None:
        raise ValueError(
            f"prediction takes counts over the same exposure in all patients, but the endpoint has "
            f"the exposure {endpoint.exposure!r}"
        )
    if kind == "ordinal":
        levels = list(endpoint.ordered_levels(patients))
        ranks = patients[endpoint.column].map({level: k for k, level in enumerate(levels)})
        patients = patients.assign(**{endpoint.column: ranks.astype(float)})
    if getattr(endpoint, "baseline", None) is not None:
        columns["baseline"] = endpoint.baseline
    return patients, {**data, "columns": {**columns, **data.get("columns", {})}}


def from_recurrent_trial(
    trial: Any, data: dict[str, Any], wanted: str | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Patients of a ``Trial`` with recurrent events, one row each, and how they are read.

    Args:
        wanted: name of the endpoint; the only one of its kind if None.

    Raises:
        TypeError: for something else than a trial.
        ValueError: if it has no such endpoint, or gaps in which patients are not at risk.
    """
    rows, read = from_trial(trial, {k: v for k, v in data.items() if k != "columns"}, "recurrent",
                            wanted)  # fmt: skip
    endpoint = read.pop("endpoint")
    rows = rows.sort_values([endpoint.id, endpoint.start], kind="stable")
    before = rows.groupby(endpoint.id)[endpoint.stop].shift().fillna(0.0)
    gap = rows[endpoint.start] > before + 1e-9
    if gap.any():
        raise ValueError(
            f"patient {rows[endpoint.id][gap].iloc[0]!r} is not at risk for some time, which a "
            "prediction does not take: follow-up must have no gap"
        )
    last = rows.groupby(endpoint.id, sort=False).last().reset_index()
    happened = rows[rows[endpoint.event].astype(float) == 1]
    events = pd.DataFrame({"id": happened[endpoint.id], "time": happened[endpoint.stop]})
    named = {v: k for k, v in {**read.pop("columns"), "time": endpoint.stop}.items()}
    table = last.rename(columns={**named, endpoint.id: "id"}).drop(columns=endpoint.event)
    columns = {} if "columns" not in data else {"columns": data["columns"]}
    return table, {**read, "recurrences": events, **columns}
