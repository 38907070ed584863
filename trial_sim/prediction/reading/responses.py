"""Patient data of an ongoing trial whose endpoint is a response, or repeated measurements."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.base.records import as_floats
from trial_sim.design.design import Design
from trial_sim.prediction.reading.columns import indicator, our_columns
from trial_sim.prediction.reading.ongoing import OngoingTrial, read_ongoing


@dataclass(frozen=True, repr=False)
class OngoingResponses(OngoingTrial):
    """Patients enrolled so far; ``event`` says whose response is known, ``time`` is of follow-up.

    Attributes:
        response: (n,) float64, NaN where not known. baseline: (n,) float64, or None.
        visits: (n, T) float64 repeated measurements, NaN where missing, the last of them the
            response; or None. visit_months: (T,) since enrolment.
    """

    response: np.ndarray = field(kw_only=True)
    baseline: np.ndarray | None = None
    visits: np.ndarray | None = None
    visit_months: tuple[float, ...] = ()


def read_responses(
    patients: pd.DataFrame,
    design: Design,
    kind: str,
    cutoff: Any = None,
    opened: Any = None,
    columns: Mapping[str, str] | None = None,
    readout: float | None = None,
) -> OngoingResponses:
    """Check patient data of an ongoing trial with one response a patient.

    Args:
        patients: one row a patient with columns ``enrolment`` (months from opening, or dates),
            ``response`` (NaN: not known yet), ``arm`` (absent: blinded), ``dropout`` (0/1, lost
            without a response; absent: none), ``time`` (months until dropout; the readout, or the
            cut-off if earlier, when absent), ``baseline`` (for an ANCOVA that adjusts for it).
        design: the design. readout: months after which a response is known; the design's if None.
        kind: ``"binary"`` (0/1), ``"continuous"``, ``"ordinal"`` (numbers in order) or ``"count"``
            (whole numbers, over the same exposure in all patients).
        cutoff, opened, columns: as in :func:`trial_sim.prediction.reading.ongoing.read_ongoing`.

    A response that is due by the cut-off and missing counts as lost.

    Raises:
        ValueError: for missing columns, a response that cannot be known yet, or values that do not
            suit the kind.
    """
    table = our_columns(patients, design, columns, ("response", "baseline"))
    for name in ("enrolment", "response"):
        if name not in table:
            raise ValueError(f"patients need a column {name!r}{nearest(name, patients.columns)}")
    response = _numbers(table["response"], "response")
    known = ~np.isnan(response)
    if kind == "binary" and not np.isin(response[known], (0, 1)).all():
        raise ValueError("response must be 0, 1 or missing for every patient of a binary endpoint")
    if kind == "count" and ((response[known] < 0) | (response[known] % 1 != 0)).any():
        raise ValueError("response must be a whole number of 0 or more, or missing, for counts")
    if not np.isfinite(response[known]).all():
        raise ValueError("response must be a finite number or missing, got infinity")
    lost = np.zeros(len(table), bool)
    if "dropout" in table:
        lost = indicator(table["dropout"], "dropout")
    if (lost & known).any():
        raise ValueError("a patient cannot both have a response and have dropped out")
    readout = float(design.readout if readout is None else readout)
    # First as if only those who are settled were followed: that places the cut-off.
    given = _numbers(table["time"], "time") if "time" in table else np.full(len(table), np.nan)
    given = np.where(known, readout, given)
    settled = known | lost
    first = table.drop(columns=[c for c in ("status", "end") if c in table]).assign(
        time=np.where(settled & ~np.isnan(given), given, 0.0), event=known.astype(int),
        dropout=lost.astype(int),
    )  # fmt: skip
    unlimited = design if design.follow_up is None else design.replace(follow_up=None)
    placed = read_ongoing(first, unlimited, cutoff=cutoff, opened=opened, last_seen="followed")
    assert placed.rows is not None
    order = placed.rows
    response, known, lost, given = (v[order] for v in (response, known, lost, given))
    passed = placed.cutoff - placed.enrolment
    overdue = ~known & ~lost & (passed >= readout - 1e-9)
    lost = lost | overdue
    until = np.minimum(readout, passed)
    time = np.where(np.isnan(given), until, np.minimum(given, until))
    # A dropout at the very readout would be a response: the loss comes a hair before.
    time = np.where(lost, np.minimum(time, readout * (1 - 1e-9)), time)
    baseline = None
    if "baseline" in table:
        baseline = _numbers(table["baseline"], "baseline")[order]
        if not np.isfinite(baseline).all():
            raise ValueError("baseline must be a number for every patient, got NaN or infinity")
    base = {f.name: getattr(placed, f.name) for f in fields(OngoingTrial)}
    return OngoingResponses(
        **{**base, "time": time, "event": known, "dropout": lost},
        response=response, baseline=baseline,
    )  # fmt: skip


def read_visits(
    patients: pd.DataFrame,
    design: Design,
    visit_months: Sequence[float],
    cutoff: Any = None,
    opened: Any = None,
    columns: Mapping[str, Any] | None = None,
) -> OngoingResponses:
    """Check patient data of an ongoing trial with repeated measurements.

    Args:
        patients: as for :func:`read_responses`, with a column a visit (``visit_1``, ``visit_2``, …)
            in place of ``response``; NaN: not measured, or not yet.
        visit_months: months of the visits since enrolment, increasing.
        columns: as in :func:`read_responses`; ``visits`` may map to a list of columns.

    Raises:
        ValueError: as :func:`read_responses`; for a visit that cannot have taken place yet.
    """
    months = as_floats(visit_months, "visit_months")
    if len(months) < 2 or months[0] <= 0 or any(b <= a for a, b in itertools.pairwise(months)):
        raise ValueError(
            f"visit_months must be two or more increasing months above 0, got {list(months)}"
        )
    columns = dict(columns or {})
    names = list(columns.pop("visits", [f"visit_{k + 1}" for k in range(len(months))]))
    if len(names) != len(months):
        raise ValueError(f"there are {len(names)} columns of visits for {len(months)} months")
    for name in names:
        if name not in patients:
            raise ValueError(f"patients need a column {name!r}{nearest(name, patients.columns)}")
    visits = np.column_stack([_numbers(patients[name], name) for name in names])
    if np.isinf(visits).any():
        raise ValueError("visits must be finite numbers or missing, got infinity")
    last = max(float(design.readout), months[-1])
    table = patients.assign(response=visits[:, -1])
    read = read_responses(table, design, "continuous", cutoff, opened, columns, last)
    assert read.rows is not None
    visits = visits[read.rows]
    seen = ~np.isnan(visits)
    when = read.enrolment[:, None] + np.array(months)
    if (seen & (when > read.cutoff + 1e-6)).any():
        k = int(np.flatnonzero((seen & (when > read.cutoff + 1e-6)).any(axis=0))[0])
        raise ValueError(
            f"a patient has a value in {names[k]!r}, {months[k]:g} months after enrolment, which "
            f"lies after the cut-off {read.cutoff:.2f}"
        )
    # Who has a visit was there: a loss comes after it.
    reached = np.where(seen, np.array(months), 0.0).max(axis=1)
    return replace(
        read, visits=visits, visit_months=tuple(months), time=np.maximum(read.time, reached)
    )


def _numbers(values: pd.Series, name: str) -> np.ndarray:
    """A column as (n,) float64, NaN where missing; text that is no number is refused by name."""
    found = pd.to_numeric(values, errors="coerce")
    wrong = found.isna() & values.notna() & (values.astype(str).str.strip() != "")
    if wrong.any():
        raise ValueError(
            f"{name} must be a number or missing, got {values[wrong].iloc[0]!r} in row "
            f"{values.index[wrong][0]!r}"
        )
    return found.to_numpy(dtype=float, na_value=np.nan)
