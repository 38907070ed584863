"""Patient data of an ongoing trial, checked at the border."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.base.user_warnings import warn_user
from trial_sim.design.design import Design
from trial_sim.design.randomization import code_type, joint_stratum
from trial_sim.prediction.dates import (
    DAY_OF_GRACE,
    DAYS_PER_MONTH,
    UNIT_MONTHS,
    as_timestamp,
    is_number,
    month_of,
    months_between,
    read_moments,
)
from trial_sim.statistics.validation import merge_ties

_COLUMNS = (
    "id", "arm", "site", "enrolment", "time", "end", "event", "dropout", "status",
)  # fmt: skip
_YES = {"1", "1.0", "yes", "y", "true", "event", "died", "dead", "death"}
_NO = {"0", "0.0", "no", "n", "false", "censored", "alive", "none"}
_LIKE_DROPOUT = {"dropout", "dropouts", "droppedout", "lost", "ltfu", "discontinued", "withdrawn"}
_LIKE_ARM = {"arm", "arms", "treatmentarm", "trt01p", "trt01a", "treatment", "group"}
_SHORT = 0.5 / DAYS_PER_MONTH  # months: what a time of 0 days means, somewhere in that day
_WORTH_SAYING = 0.5  # months between last contact and cut-off


@dataclass(frozen=True, repr=False)
class OngoingTrial:
    """Patients enrolled so far, at a data cut. Made by :func:`trial_sim.read_ongoing`.

    Attributes:
        enrolment: (n,) months from the opening of the trial, ascending.
        arm: (n,) codes, 0 the control; -1 throughout when blinded.
        time: (n,) months on study until the event or drop-out, else until which the patient is
            known to have had neither. event, dropout: (n,) bool, how follow-up ended.
        cutoff: month of the cut. opened: calendar date of month 0, or None.
        factors: (n,) integer codes of each stratification factor; empty where they are not known.
        sites: month in which each site enrolled its first patient; None where sites are not known.
        rows: (n,) place of each patient in the table that was read.
        notes: what was taken for granted in reading, in words.

    Examples:
        >>> import pandas as pd
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=4,
        ...     accrual=ts.Accrual(rate=1),
        ...     looks=ts.EventLooks([2]),
        ... )
        >>> patients = pd.DataFrame(
        ...     {"enrolment": ["2026-01-05", "2026-02-01"], "end": ["2026-03-01", "2026-06-01"],
        ...      "event": ["yes", "no"], "dropout": 0}
        ... )  # fmt: skip
        >>> trial = ts.read_ongoing(patients, design, cutoff="2026-06-01")
        >>> trial
        OngoingTrial(2 patients, 1 events, 0 lost, by month 4.83; blinded, opened 2026-01-05)
        >>> trial.blinded, trial.at_risk.tolist()
        (True, [False, True])
    """

    enrolment: np.ndarray
    arm: np.ndarray
    time: np.ndarray
    event: np.ndarray
    dropout: np.ndarray
    cutoff: float
    opened: pd.Timestamp | None = None
    factors: Mapping[str, np.ndarray] = field(default_factory=dict)
    sites: np.ndarray | None = None
    rows: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.enrolment)
        for name in ("arm", "time", "event", "dropout"):
            if len(getattr(self, name)) != n:
                raise ValueError(
                    f"an ongoing trial needs one {name} a patient: got {len(getattr(self, name))} "
                    f"for {n} patients"
                )

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
    *,
    cutoff: Any = None,
    opened: Any = None,
    columns: Mapping[str, str] | None = None,
    time_unit: str = "months",
    lag: float = 0.0,
    last_seen: str | None = None,
) -> OngoingTrial:
    """Check patient data of an ongoing trial of times to an event.

    Args:
        patients: one row a patient with columns ``enrolment`` (a date, or a number since the
            opening); ``time`` on study or its ``end`` (a date, or a number since the opening);
            ``event`` and ``dropout`` (0/1, yes/no), or a ``status`` of event, dropout or ongoing;
            ``arm`` (names of the design; absent: blinded); ``site``, ``id``; and one a
            stratification factor of the design (needed for a stratified test).
        design: the design.
        cutoff: date of the data cut, or its month since the opening; the last known moment if None.
        opened: date of month 0; the first enrolment's by default when enrolment is in dates.
        columns: our name → name in ``patients``.
        time_unit: days, weeks, months or years: of ``time``, and of ``enrolment`` and ``end`` where
            they are numbers.
        lag: months until an event is in the data. A patient without one is known to be free of it
            until the cut-off less this, or the last contact if that is later. 0: events are
            reported at once, so that whoever has none reported has had none.
        last_seen: ``"lost"`` or ``"followed"``: what patients are whose follow-up ends before the
            cut-off without an event. Needed where there is no ``dropout`` and there are any.

    Returns:
        the patients in order of enrolment.

    Raises:
        ValueError, TypeError: for missing columns, unknown arms, values that cannot be read, times
            beyond the cut-off, or what only the caller can know.

    Examples:
        >>> import pandas as pd
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=4,
        ...     accrual=ts.Accrual(rate=1),
        ...     looks=ts.EventLooks([2]),
        ... )
        >>> patients = pd.DataFrame(
        ...     {"enrolment": [0.0, 1.0], "days": [61, 122], "event": [1, 0], "dropout": [0, 0]}
        ... )
        >>> patients["time"] = patients.pop("days") / 30.4375
        >>> ts.read_ongoing(patients, design, cutoff=5.5, lag=0.3).time.round(2).tolist()
        [2.0, 4.2]
    """
    table = our_columns(patients, design, columns)
    unit = _unit(time_unit)
    if not is_number(lag) or not 0 <= lag < np.inf:
        raise ValueError(f"lag must be 0 or more months, got {lag!r}")
    if last_seen not in (None, "lost", "followed"):
        raise ValueError(f"last_seen must be 'lost' or 'followed', got {last_seen!r}")
    if len(table) == 0:
        raise ValueError("there are no patients so far: nothing to predict from")
    enrolment, start = _enrolled(table, opened, unit)
    event, gone, status = _how_it_ended(table)
    time = _times(table, enrolment, start, unit)
    arms = _arms(table, design)
    last = float((enrolment + time).max(initial=0.0))
    cut = last if cutoff is None else month_of(cutoff, start, "cutoff")
    where = _names(table)
    late = enrolment > cut + DAY_OF_GRACE
    if late.any():
        raise ValueError(
            f"{int(late.sum())} patients are enrolled after the cut-off {cut:.2f}: the first is "
            f"{where(late)}, month {enrolment[late][0]:.2f}"
        )
    enrolment = np.minimum(enrolment, cut)
    beyond = enrolment + time > cut + DAY_OF_GRACE
    if beyond.any():
        hint = _other_unit(time, cut - enrolment, np.ones(len(time), bool))
        raise ValueError(
            f"{int(beyond.sum())} patients are followed until after the cut-off {cut:.2f}: "
            f"{where(beyond)} until month {(enrolment + time)[beyond].max():.2f}{hint}"
        )
    open_ = ~event & ~gone
    hint = _other_unit(time, cut - enrolment, open_)
    if hint:
        raise ValueError(
            f"patients without event or drop-out are followed for a small share of the time since "
            f"their enrolment{hint}"
        )
    notes = []
    short = open_ & (enrolment + time < cut - lag - DAY_OF_GRACE)
    if design.follow_up is not None:
        limit = float(design.follow_up)
        long = event & (time > limit + DAY_OF_GRACE)
        if long.any():
            raise ValueError(
                f"{int(long.sum())} events come after the design's follow-up of {limit:g} months: "
                f"{where(long)} at {time[long].max():.2f} months; design.replace(follow_up=...) "
                "mends a wrong one"
            )
        short &= time < limit - DAY_OF_GRACE
        time = np.minimum(time, limit)
    if short.any() and last_seen is None and not status:
        raise ValueError(
            f"{int(short.sum())} patients without event were last seen before the cut-off, by up "
            f"to {(cut - enrolment - time)[short].max():.1f} months, and there is no column "
            "'dropout': give one, or last_seen='lost' if they have left, or last_seen='followed' "
            "if they are still in the trial"
        )
    if last_seen == "lost":
        gone = gone | short
    else:
        gap = (cut - enrolment - time)[short]
        if last_seen is None and gap.size and np.median(gap) > _WORTH_SAYING:
            until = "the cut-off" if lag == 0 else f"{lag:g} months before the cut-off"
            notes.append(
                f"{int(short.sum())} patients without event or drop-out were last seen before the "
                f"cut-off (median {np.median(gap):.1f} months): taken as free of the event until "
                f"{until}; lag= says how late events are reported"
            )
    known_until = cut - enrolment - lag
    if design.follow_up is not None:
        known_until = np.minimum(known_until, float(design.follow_up))
    followed = np.minimum(np.maximum(time, known_until), cut - enrolment)
    time = np.where(~event & ~gone, followed, time)
    settled = np.minimum(np.maximum(time, _SHORT), np.maximum(cut - enrolment, 0.0))
    # times from subtracted dates differ in their last digits where the days were the same
    (time,) = merge_ties(np.where(event | gone, settled, time))
    for note in notes:
        warn_user(note)
    if len(table) > design.n_patients:
        raise ValueError(
            f"{len(table)} patients are enrolled, more than the design's {design.n_patients}: give "
            f"design.replace(n_patients={len(table)}), or more if enrolment goes on"
        )
    order = np.argsort(enrolment, kind="stable")
    factors = {name: codes[order] for name, codes in read_factors(table, design).items()}
    sites = None
    if "site" in table:
        first = pd.Series(enrolment).groupby(table["site"].astype(str).to_numpy()).min()
        sites = np.sort(first.to_numpy(dtype=float))
    return OngoingTrial(
        enrolment[order], arms[order], time[order], event[order], gone[order], cut, start, factors,
        sites, order, tuple(notes),
    )  # fmt: skip


def our_columns(
    patients: pd.DataFrame, design: Design, columns: Mapping[str, str] | None, more: Any = ()
) -> pd.DataFrame:
    """The columns that a prediction knows, under our names; others are left out.

    Raises:
        ValueError: for a mapping of or to a column that is not there, for a column that is nearly
            named as one that would change the answer, and for patients who stand there twice.
    """
    if not isinstance(patients, pd.DataFrame):
        raise TypeError(f"patients must be a DataFrame, got {type(patients).__name__}")
    columns = dict(columns or {})
    known = (*_COLUMNS, *more, *design.strata)
    twice = patients.columns[patients.columns.duplicated()]
    if len(twice):
        raise ValueError(f"patients have two columns {twice[0]!r}")
    for name, source in columns.items():
        if name not in known:
            raise ValueError(f"there is no column {name!r} to map{nearest(name, known)}")
        if source not in patients:
            raise ValueError(
                f"columns maps {name!r} to {source!r}, which patients do not have"
                f"{nearest(str(source), [str(c) for c in patients.columns])}"
            )
    found = {n: columns.get(n, n) for n in known if columns.get(n, n) in patients}
    table = pd.DataFrame({name: patients[source] for name, source in found.items()})
    used = set(found.values())
    plain = {c: re.sub(r"[^a-z0-9]", "", str(c).lower()) for c in patients.columns if c not in used}
    if "arm" not in table:
        names = set(design.arm_names)
        for column, word in plain.items():
            values = _few_values(patients[column])
            if (
                word == "arm"
                or (values and values <= names)
                or (word in _LIKE_ARM and values & names)
            ):
                raise ValueError(
                    f"there is no column 'arm', but {column!r} looks like it: give "
                    f"columns={{'arm': {column!r}}}, or leave it out to predict blinded"
                )
    if "dropout" not in table and "status" not in table:
        for column, word in plain.items():
            if word in _LIKE_DROPOUT:
                raise ValueError(
                    f"there is no column 'dropout', but {column!r} looks like it: give "
                    f"columns={{'dropout': {column!r}}}, or leave it out"
                )
    if "id" in table:
        again = table["id"].duplicated()
        if again.any():
            raise ValueError(
                f"patient {table['id'][again].iloc[0]!r} stands in several rows; one "
                "row a patient is expected"
            )
    return table


def _few_values(column: pd.Series) -> set[Any]:
    """The values of a column that has few of them; none of one that could not name arms."""
    if pd.api.types.is_float_dtype(column) or pd.api.types.is_bool_dtype(column):
        return set()
    try:
        found = column.dropna().unique()
        return set(found) if len(found) <= 50 else set()
    except TypeError:
        return set()


def _unit(time_unit: str) -> float:
    if time_unit not in UNIT_MONTHS:
        raise ValueError(f"time_unit must be one of {', '.join(UNIT_MONTHS)}, got {time_unit!r}")
    return UNIT_MONTHS[time_unit]


def _names(table: pd.DataFrame) -> Any:
    """A function that names the first of some patients."""

    def name(which: np.ndarray) -> str:
        row = int(np.flatnonzero(which)[0])
        if "id" in table:
            return f"patient {table['id'].iloc[row]!r}"
        return f"row {table.index[row]!r}"

    return name


def _enrolled(
    table: pd.DataFrame, opened: Any, unit: float
) -> tuple[np.ndarray, pd.Timestamp | None]:
    """Months of enrolment (n,), and the date of month 0."""
    if "enrolment" not in table:
        raise ValueError("patients need a column 'enrolment' (a date, or months since the opening)")
    start = None if opened is None else as_timestamp(opened, "opened")
    values, dated = read_moments(table["enrolment"], "enrolment")
    if dated:
        if start is None:
            start = pd.Timestamp(values.min())
        values = months_between(start, values)
    else:
        values = values * unit
    early = values < 0
    if early.any():
        what = f" {start:%Y-%m-%d}" if start is not None else ""
        raise ValueError(
            f"enrolment must be 0 or more for every patient: {int(early.sum())} came before the "
            f"opening{what}, the first is {_names(table)(early)}"
        )
    return values.astype(float), start


def _times(
    table: pd.DataFrame, enrolment: np.ndarray, start: pd.Timestamp | None, unit: float
) -> np.ndarray:
    """Months on study (n,), from ``time`` or ``end``, or from both where they agree."""
    if "time" not in table and "end" not in table:
        raise ValueError("patients need a column 'time' (on study) or 'end' (its date)")
    if "time" not in table:
        return _times_to_end(table, enrolment, start, unit)
    values = pd.to_numeric(table["time"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    bad = np.isnan(values) | (values < 0) | np.isinf(values)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"time must be 0 or more for every patient, got {table['time'].iloc[row]!r} "
            f"({_names(table)(bad)}; NaN or negative in {int(bad.sum())})"
        )
    times = values * unit
    if "end" in table:
        apart = np.abs(_times_to_end(table, enrolment, start, unit) - times) > 2 * DAY_OF_GRACE
        if apart.any():
            raise ValueError(
                "patients have both 'time' and 'end', which say different things of "
                f"{_names(table)(apart)}: give one of them"
            )
    return times


def _times_to_end(
    table: pd.DataFrame, enrolment: np.ndarray, start: pd.Timestamp | None, unit: float
) -> np.ndarray:
    """Months from enrolment to ``end`` (n,)."""
    values, dated = read_moments(table["end"], "end")
    if dated:
        if start is None:
            raise ValueError("'end' holds dates: give enrolment in dates, or the date opened")
        values = months_between(start, values)
    else:
        values = values * unit
    time = values - enrolment
    bad = time < -DAY_OF_GRACE
    if bad.any():
        raise ValueError(f"end must not come before enrolment: it does for {_names(table)(bad)}")
    return np.maximum(time, 0.0)


def _how_it_ended(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, bool]:
    """Events and drop-outs (n,) bool, and whether drop-outs were told."""
    if "status" in table:
        if "event" in table or "dropout" in table:
            raise ValueError("patients have 'status' beside 'event' or 'dropout': give one of them")
        words = table["status"].astype(str).str.strip().str.lower()
        known = ("event", "dropout", "ongoing")
        for word in words.unique():
            if word not in known:
                raise ValueError(f"status must be one of {', '.join(known)}, got {word!r}")
        return (words == "event").to_numpy(), (words == "dropout").to_numpy(), True
    if "event" not in table:
        raise ValueError("patients need a column 'event' (0/1), or 'status'")
    event = indicator(table["event"], "event")
    if "dropout" not in table:
        return event, np.zeros_like(event), False
    gone = indicator(table["dropout"], "dropout")
    if (event & gone).any():
        raise ValueError(
            f"a patient cannot both have the event and drop out: {_names(table)(event & gone)} does"
        )
    return event, gone, True


def _arms(table: pd.DataFrame, design: Design) -> np.ndarray:
    """Codes of the arms (n,); -1 where nobody's is given."""
    if "arm" not in table or table["arm"].isna().all():
        return np.full(len(table), -1)
    names = list(design.arm_names)
    missing = table["arm"].isna().to_numpy()
    if missing.any():
        raise ValueError(
            f"{int(missing.sum())} of {len(table)} patients have no arm, the first is "
            f"{_names(table)(missing)}: give all, or none to predict blinded"
        )
    for arm in table["arm"].unique():
        if arm not in names:
            raise ValueError(
                f"patients are in an unknown arm {arm!r}{nearest(str(arm), names)}; the design has "
                f"{names}"
            )
    return table["arm"].map({a: k for k, a in enumerate(names)}).to_numpy(dtype=int)


def _other_unit(time: np.ndarray, since: np.ndarray, open_: np.ndarray) -> str:
    """A hint if the times look as if they were in another unit than enrolment; empty if not."""
    used = open_ & (since > 1.0)
    if used.sum() < 5:
        return ""
    share = time[used] / since[used]
    for name, factor in (
        ("years", 1 / 12),
        ("days", DAYS_PER_MONTH),
        ("weeks", DAYS_PER_MONTH / 7),
    ):
        if (np.abs(share / factor - 1) < 0.12).mean() > 0.6:
            return f": are the times in {name}? enrolment and time need one unit (time_unit)"
    return ""


def indicator(values: pd.Series, name: str) -> np.ndarray:
    """A column of 0 and 1, or of yes and no, as (n,) bool.

    Raises:
        ValueError: for any other value, or a missing one.
    """
    words = values.astype(str).str.strip().str.lower()
    yes, no = words.isin(_YES).to_numpy(), words.isin(_NO).to_numpy()
    if not (yes | no).all():
        wrong = values[~(yes | no)]
        raise ValueError(
            f"{name} must be 0 or 1 (or yes, no) for every patient, got {wrong.iloc[0]!r} in row "
            f"{wrong.index[0]!r}"
        )
    return yes


_ENDPOINTS = {
    "time_to_event": "TimeToEvent",
    "binary": "Binary",
    "continuous": "Continuous",
    "ordinal": "Ordinal",
    "count": "Count",
    "longitudinal": "Longitudinal",
}


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
    found = {n: e for n, e in trial.endpoints.items() if type(e).__name__ == _ENDPOINTS[kind]}
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
        columns |= {"time": endpoint.duration, "event": endpoint.event}
        if endpoint.entry is not None:
            raise ValueError(
                f"endpoint {name!r} has delayed entry ({endpoint.entry!r}), which a prediction "
                "does not take: patients are under observation from enrolment"
            )
        data = {"time_unit": trial.time_unit, **data}
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
