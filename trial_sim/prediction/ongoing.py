"""Patient data of an ongoing trial, checked at the border."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.design.design import Design
from trial_sim.design.randomization import code_type, joint_stratum

if TYPE_CHECKING:
    import pandas as pd

    from trial_sim.design.design import Design

DAYS_PER_MONTH = 30.4375
_COLUMNS = ("arm", "enrolment", "time", "event", "dropout")


@dataclass(frozen=True, repr=False)
class OngoingTrial:
    """Patients enrolled so far, at a data cut.

    Attributes:
        enrolment: (n,) months from the opening of the trial, ascending.
        arm: (n,) codes, 0 the control; -1 throughout when blinded.
        time: (n,) months on study at the cut. event, dropout: (n,) bool, how follow-up ended.
        cutoff: month of the cut. opened: calendar date of month 0, or None.
        factors: (n,) integer codes of each stratification factor; empty where they are not known.
    """

    enrolment: np.ndarray
    arm: np.ndarray
    time: np.ndarray
    event: np.ndarray
    dropout: np.ndarray
    cutoff: float
    opened: pd.Timestamp | None = None
    factors: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __repr__(self) -> str:
        """One line that tells nobody's arm."""
        known = "blinded" if self.blinded else "unblinded"
        since = "" if self.opened is None else f", opened {self.opened.date()}"
        return (
            f"{type(self).__name__}({len(self.time)} patients, {int(self.event.sum())} events, "
            f"{int(self.dropout.sum())} lost, by month {self.cutoff:.2f}; {known}{since})"
        )

    @property
    def blinded(self) -> bool:
        """Whether the arms are unknown."""
        return bool((self.arm < 0).all())

    @property
    def at_risk(self) -> np.ndarray:
        """Who is still followed, (n,) bool."""
        return ~self.event & ~self.dropout


def read_ongoing(
    patients: pd.DataFrame,
    design: Design,
    cutoff: Any = None,
    opened: Any = None,
    columns: Mapping[str, str] | None = None,
) -> OngoingTrial:
    """Check patient data of an ongoing trial.

    Args:
        patients: one row a patient with columns ``enrolment`` (months from opening, or dates),
            ``time`` (months on study),
            ``event``, ``dropout`` (0/1; absent: none), ``arm`` (names of the design; absent:
            blinded), and one a stratification factor of the design (needed for a stratified test).
        design: the design.
        cutoff: month (or date) of the data cut; the last known moment by default.
        opened: date of month 0; the first enrolment's date by default when enrolment is in dates.
        columns: our name → name in ``patients``.

    Raises:
        ValueError: for missing columns, unknown arms, NaN, or times beyond the cut-off.
    """
    columns = dict(columns or {})
    for name in columns:
        known = (*_COLUMNS, *design.strata)
        if name not in known:
            raise ValueError(f"there is no column {name!r} to map{nearest(name, known)}")
    table = patients.rename(columns={v: k for k, v in columns.items()})
    for name in ("enrolment", "time", "event"):
        if name not in table:
            raise ValueError(f"patients need a column {name!r}{nearest(name, table.columns)}")
    start = None if opened is None else pd.Timestamp(opened)
    entered = table["enrolment"]
    if pd.api.types.is_datetime64_any_dtype(entered):
        start = entered.min() if start is None else start
        entered = (entered - start).dt.total_seconds() / 86_400 / DAYS_PER_MONTH
    enrolment = entered.to_numpy(dtype=float)
    time = table["time"].to_numpy(dtype=float)
    for name, values in (("enrolment", enrolment), ("time", time)):
        if np.isnan(values).any() or (values < 0).any():
            raise ValueError(f"{name} must be 0 or more for every patient, got NaN or negative")
    event = _indicator(table["event"], "event")
    gone = _indicator(table["dropout"], "dropout") if "dropout" in table else np.zeros_like(event)
    if (event & gone).any():
        raise ValueError("a patient cannot both have the event and drop out")
    if "arm" in table:
        names = list(design.arm_names)
        for arm in table["arm"].unique():
            if arm not in names:
                raise ValueError(f"patients are in an unknown arm {arm!r}{nearest(arm, names)}")
        arms = table["arm"].map({a: k for k, a in enumerate(names)}).to_numpy(dtype=int)
    else:
        arms = np.full(len(table), -1)
    last = float((enrolment + time).max(initial=0.0))
    if cutoff is None:
        cut = last
    elif isinstance(cutoff, int | float):
        cut = float(cutoff)
    else:
        if start is None:
            raise ValueError("a cut-off date needs the date of opening: give opened")
        cut = (pd.Timestamp(cutoff) - start).total_seconds() / 86_400 / DAYS_PER_MONTH
    if last > cut + 1e-6:
        raise ValueError(
            f"a patient is followed until month {last:.2f}, after the cut-off {cut:.2f}"
        )
    if len(table) > design.n_patients:
        raise ValueError(
            f"{len(table)} patients are enrolled, more than the design's {design.n_patients}"
        )
    order = np.argsort(enrolment, kind="stable")
    factors = {name: codes[order] for name, codes in read_factors(table, design).items()}
    return OngoingTrial(
        enrolment[order], arms[order], time[order], event[order], gone[order], cut, start, factors
    )


def _indicator(values: pd.Series, name: str) -> np.ndarray:
    numbers = values.to_numpy()
    if not np.isin(numbers, (0, 1)).all():
        raise ValueError(f"{name} must be 0 or 1 for every patient, got {pd.unique(values)!r}")
    return numbers.astype(bool)


_ENDPOINTS = {
    "time_to_event": "TimeToEvent",
    "binary": "Binary",
    "continuous": "Continuous",
    "ordinal": "Ordinal",
    "count": "Count",
    "longitudinal": "Longitudinal",
}


def from_trial(
    trial: Any, data: dict[str, Any], kind: str = "time_to_event"
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Patients of a ``Trial``, with its arm and first endpoint of the kind as our columns.

    Args:
        kind: of the endpoint, such as ``"time_to_event"`` or ``"binary"``.

    Raises:
        TypeError: for something else than a trial.
        ValueError: if it has no such endpoint, or counts over exposures that differ.
    """
    if not hasattr(trial, "patients") or not hasattr(trial, "endpoints"):
        raise TypeError(f"trial_so_far must be a DataFrame or a Trial, got {trial!r}")
    found = [e for e in trial.endpoints.values() if type(e).__name__ == _ENDPOINTS[kind]]
    if not found:
        raise ValueError(f"the trial has no {kind.replace('_', '-')} endpoint to predict")
    endpoint, patients = found[0], trial.patients
    columns = {"arm": trial.arm}
    if kind == "time_to_event":
        columns |= {"time": endpoint.duration, "event": endpoint.event}
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


def stratified_test(design: Design) -> bool:
    """Whether the test of a design looks at the strata."""
    return bool(design.strata) and (design.stratified or design.test_name == "cmh")


def read_factors(table: pd.DataFrame, design: Design) -> dict[str, np.ndarray]:
    """Codes of the design's stratification factors, (n,) each, in the order of the table.

    Empty where a factor is missing and the test does not need it.

    Raises:
        ValueError: if a stratified test lacks a factor, or a patient has an unknown level.
    """
    missing = [name for name in design.strata if name not in table]
    if missing and "arm" in table and stratified_test(design):
        raise ValueError(
            f"the test is stratified: patients need a column {missing[0]!r} with the levels "
            f"{list(design.strata[missing[0]])}"
        )
    if missing:
        return {}
    factors = {}
    for name, shares in design.strata.items():
        levels = [str(level) for level in shares]
        values = table[name].astype(str)
        for value in values.unique():
            if value not in levels:
                raise ValueError(f"{name} has an unknown level {value!r}{nearest(value, levels)}")
        codes = values.map({v: k for k, v in enumerate(levels)})
        factors[name] = codes.to_numpy(dtype=code_type(len(levels)))
    return factors


def strata_of(factors: Any, design: Design) -> np.ndarray:
    """Joint stratum of each patient from factor codes of any shape, int64."""
    n_levels = np.array([len(levels) for levels in design.strata.values()], dtype=np.int64)
    return joint_stratum(np.array([factors[name] for name in design.strata]), n_levels)
