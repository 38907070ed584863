"""Patient data of an ongoing trial of recurrent events: patients, and a table of their events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.design.design import Design
from trial_sim.prediction.dates import DAY_OF_GRACE, months_between, read_moments
from trial_sim.prediction.reading.columns import unit_months
from trial_sim.prediction.reading.ongoing import OngoingTrial, read_ongoing


@dataclass(frozen=True, repr=False)
class OngoingRecurrences(OngoingTrial):
    """Patients enrolled so far and their events; ``time`` is of follow-up, which no event ends.

    Attributes:
        who: (k,) index of each event's patient. when: (k,) months on study of it.
    """

    who: np.ndarray = field(kw_only=True)
    when: np.ndarray = field(kw_only=True)

    @property
    def event_months(self) -> np.ndarray:
        """Calendar months of the events so far, ascending."""
        return np.sort(self.enrolment[self.who] + self.when)


def read_recurrences(
    patients: pd.DataFrame,
    design: Design,
    recurrences: pd.DataFrame | None = None,
    *,
    cutoff: Any = None,
    opened: Any = None,
    columns: Mapping[str, str] | None = None,
    time_unit: str = "months",
    lag: float = 0.0,
    last_seen: str | None = None,
) -> OngoingRecurrences:
    """Check patient data of an ongoing trial of recurrent events.

    Args:
        patients: one row a patient, as for :func:`trial_sim.read_ongoing` but without ``event``:
            ``id``, ``enrolment``, ``time`` on study or its ``end``, ``dropout``, ``competing`` (an
            event that ends follow-up, such as death), ``arm``, ``site``.
        recurrences: one row an event, with the patient's ``id`` and its ``time`` on study (in
            ``time_unit``) or its ``date``.
        cutoff, opened, columns, time_unit, lag, last_seen: as in :func:`trial_sim.read_ongoing`.

    Raises:
        ValueError, TypeError: as that function; for events of unknown patients, or outside their
            follow-up.

    Examples:
        >>> import pandas as pd
        >>> import trial_sim as ts
        >>> from trial_sim.prediction.reading.recurrences import read_recurrences
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=4,
        ...     accrual=ts.Accrual(rate=1),
        ...     looks=ts.CalendarLooks([24]),
        ...     test="lwyy",
        ... )
        >>> patients = pd.DataFrame(
        ...     {"id": ["a", "b"], "enrolment": [0.0, 1.0], "time": [9.0, 8.0], "dropout": [0, 0]}
        ... )
        >>> events = pd.DataFrame({"id": ["b", "b"], "time": [2.0, 7.0]})
        >>> trial = read_recurrences(patients, design, events, cutoff=9.0)
        >>> trial.n_events, trial.event_months.tolist()
        (2, [3.0, 8.0])
    """
    if recurrences is None:
        raise ValueError(
            f"test {design.test_name!r} is of recurrent events: give recurrences=, a table with "
            "one row an event, of the patient's id and its time on study or date"
        )
    if not isinstance(recurrences, pd.DataFrame):
        raise TypeError(f"recurrences must be a DataFrame, got {type(recurrences).__name__}")
    named = dict(columns or {})
    _check_patients(patients, named)
    table = patients.drop(columns=[c for c in ("event",) if c in patients]).assign(event=0)
    read = read_ongoing(
        table, design, cutoff=cutoff, opened=opened, columns=columns, time_unit=time_unit, lag=lag,
        last_seen=last_seen,
    )  # fmt: skip
    assert read.rows is not None
    ids = patients[named.get("id", "id")].iloc[read.rows]
    column = named.get("id", "id")
    if column not in recurrences:
        raise ValueError(
            f"recurrences need a column {column!r}{nearest(column, map(str, recurrences.columns))}"
        )
    place = pd.Series(np.arange(len(ids)), index=ids.astype(str).to_numpy())
    who = place.reindex(recurrences[column].astype(str)).to_numpy(dtype=float)
    if np.isnan(who).any():
        unknown = recurrences[column][np.isnan(who)]
        raise ValueError(
            f"{len(unknown)} events are of patients who are not in the table, the first of "
            f"{unknown.iloc[0]!r}"
        )
    index = who.astype(int)
    when = _times(recurrences, read, index, unit_months(time_unit))
    _check_times(recurrences[column], when, read, index)
    when = np.clip(when, 0.0, read.time[index])
    order = np.lexsort((when, index))
    base = {f.name: getattr(read, f.name) for f in fields(OngoingTrial)}
    return OngoingRecurrences(**base, who=index[order], when=when[order])


def _check_patients(patients: Any, named: Mapping[str, str]) -> None:
    if not isinstance(patients, pd.DataFrame):
        raise TypeError(f"patients must be a DataFrame, got {type(patients).__name__}")
    if named.get("id", "id") not in patients:
        raise ValueError("patients need a column 'id', by which their events are found")
    if "event" in named or ("event" in patients and patients["event"].astype(bool).any()):
        raise ValueError(
            "patients have a column 'event', but recurrent events stand in recurrences=; an event "
            "that ends follow-up is called 'competing'"
        )


def _times(
    recurrences: pd.DataFrame, read: OngoingTrial, who: np.ndarray, unit: float
) -> np.ndarray:
    """Months on study of the events, (k,)."""
    given = [name for name in ("time", "date") if name in recurrences]
    if len(given) != 1:
        raise ValueError(
            "recurrences need one column 'time' (on study) or 'date', got "
            f"{', '.join(map(str, recurrences.columns))}"
        )
    if not len(recurrences):
        return np.empty(0)
    values, dated = read_moments(recurrences[given[0]], f"{given[0]} of recurrences")
    if given[0] == "time":
        if dated:
            raise ValueError("'time' of recurrences holds dates: call the column 'date'")
        return np.asarray(values * unit, dtype=float)
    if not dated:
        return np.asarray(values * unit - read.enrolment[who], dtype=float)
    if read.opened is None:
        raise ValueError(
            "'date' of recurrences holds dates: give enrolment in dates, or the date opened"
        )
    return months_between(read.opened, values) - read.enrolment[who]


def _check_times(ids: pd.Series, when: np.ndarray, read: OngoingTrial, who: np.ndarray) -> None:
    """Raise ValueError for events before enrolment or after the end of follow-up."""
    early, late = when < -DAY_OF_GRACE, when > read.time[who] + DAY_OF_GRACE
    for wrong, said in ((early, "before enrolment"), (late, "after the end of follow-up")):
        if wrong.any():
            k = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"{int(wrong.sum())} events come {said}: the first is of patient "
                f"{ids.iloc[k]!r}, {when[k]:.2f} months after enrolment, who is followed for "
                f"{read.time[who[k]]:.2f}"
            )
