"""Patient data of an ongoing trial whose endpoint is a response known at a readout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.design import Design
from trial_sim.ongoing import OngoingTrial, read_ongoing
from trial_sim.records import nearest

_COLUMNS = ("arm", "enrolment", "response", "dropout", "time", "baseline")


@dataclass(frozen=True)
class OngoingResponses(OngoingTrial):
    """Patients enrolled so far; ``event`` says whose response is known, ``time`` is of follow-up.

    Attributes:
        response: (n,) float64, NaN where not known. baseline: (n,) float64, or None.
    """

    response: np.ndarray = field(kw_only=True)
    baseline: np.ndarray | None = None


def read_responses(
    patients: pd.DataFrame,
    design: Design,
    kind: str,
    cutoff: Any = None,
    opened: Any = None,
    columns: Mapping[str, str] | None = None,
) -> OngoingResponses:
    """Check patient data of an ongoing trial with a binary or continuous endpoint.

    Args:
        patients: one row a patient with columns ``enrolment`` (months from opening, or dates),
            ``response`` (NaN: not known yet), ``arm`` (absent: blinded), ``dropout`` (0/1, lost
            without a response; absent: none), ``time`` (months until dropout; the readout, or the
            cut-off if earlier, when absent), ``baseline`` (for an ANCOVA that adjusts for it).
        design: the design; ``readout`` says when a response is known.
        kind: ``"binary"`` (0/1) or ``"continuous"``.
        cutoff, opened, columns: as in :func:`trial_sim.ongoing.read_ongoing`.

    A response that is due by the cut-off and missing counts as lost.

    Raises:
        ValueError: for missing columns, a response that cannot be known yet, or values that do not
            suit the kind.
    """
    columns = dict(columns or {})
    for name in columns:
        if name not in _COLUMNS:
            raise ValueError(f"there is no column {name!r} to map{nearest(name, _COLUMNS)}")
    table = patients.rename(columns={v: k for k, v in columns.items()}).copy()
    for name in ("enrolment", "response"):
        if name not in table:
            raise ValueError(f"patients need a column {name!r}{nearest(name, table.columns)}")
    response = table["response"].to_numpy(dtype=float)
    known = ~np.isnan(response)
    if kind == "binary" and not np.isin(response[known], (0, 1)).all():
        raise ValueError("response must be 0, 1 or missing for every patient of a binary endpoint")
    if not np.isfinite(response[known]).all():
        raise ValueError("response must be a finite number or missing, got infinity")
    lost = table["dropout"].to_numpy() == 1 if "dropout" in table else np.zeros(len(table), bool)
    if (lost & known).any():
        raise ValueError("a patient cannot both have a response and have dropped out")
    readout = float(design.readout)
    # First as if only those who are settled were followed: that places the cut-off.
    given = table["time"].to_numpy(dtype=float) if "time" in table else np.full(len(table), np.nan)
    given = np.where(known, readout, given)
    settled = known | lost
    first = table.assign(
        time=np.where(settled & ~np.isnan(given), given, 0.0), event=known.astype(int),
        dropout=lost.astype(int),
    )  # fmt: skip
    placed = read_ongoing(first, design, cutoff, opened)
    order = np.argsort(first["enrolment"].to_numpy(), kind="stable")
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
        baseline = table["baseline"].to_numpy(dtype=float)[order]
        if not np.isfinite(baseline).all():
            raise ValueError("baseline must be a number for every patient, got NaN or infinity")
    base = {f.name: getattr(placed, f.name) for f in fields(OngoingTrial)}
    return OngoingResponses(
        **{**base, "time": time, "event": known, "dropout": lost},
        response=response, baseline=baseline,
    )  # fmt: skip
