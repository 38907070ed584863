"""An ongoing trial from its ADaM tables: subjects (ADSL) and times to events (ADTTE)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.data.cdisc import censored, plain_values, rows_of, subjects, time_unit_of
from trial_sim.data.datasets import read_table
from trial_sim.design.design import Design
from trial_sim.prediction.dates import UNIT_MONTHS
from trial_sim.prediction.reading.covariates import covariate_names
from trial_sim.prediction.reading.ongoing import OngoingTrial, read_ongoing

_TEXTS = ("CNSDTDSC", "EVNTDESC")
_LOST_WORDS = (
    "lost", "withdr", "drop", "discontinu", "consent", "non-compl", "noncompl", "moved",
)  # fmt: skip
_ONGOING_WORDS = (
    "cut", "ongoing", "alive", "last contact", "last known", "last assess", "end of follow",
    "no event", "still", "follow-up", "last disease", "last tumor", "last tumour", "completed",
)  # fmt: skip


def ongoing_from_adam(
    adsl: Any,
    adtte: Any,
    design: Design,
    *,
    cutoff: Any,
    parameter: str | None = None,
    opened: Any = None,
    population: str | None = None,
    arm: str | None = "TRT01P",
    enrolment: str | None = None,
    strata: Mapping[str, str] | None = None,
    dropout: Any = None,
    lag: float = 0.0,
    last_seen: str | None = None,
    competing: Any = None,
    covariates: Sequence[str] = (),
) -> OngoingTrial:
    """Read an ongoing trial from ADSL and ADTTE.

    Args:
        adsl, adtte: tables, or paths of SAS transport or CSV files.
        design: the design. cutoff: date of the data cut.
        parameter: PARAMCD of the endpoint; the only one, or ``design.endpoint``, if None.
        opened: date of month 0; the first enrolment's if None.
        population: flag of the analysis set, such as ``"ITTFL"``; everybody with a date of
            enrolment if None.
        arm: column of the planned arm in ADSL; None to read the trial blinded.
        enrolment: column of the date of enrolment; RANDDT, else STARTDT of ADTTE, else TRTSDT.
        strata: factor of the design → column of ADSL; columns of the same name by default.
        dropout: descriptions (CNSDTDSC or EVNTDESC) of those who left; found by words such as
            "lost to follow-up" or "withdrew" if None.
        competing: descriptions (CNSDTDSC or EVNTDESC) of competing events, which end follow-up
            uncounted, such as ``["DEATH WITHOUT RELAPSE"]``, whatever their CNSR.
        covariates: columns of ADSL by which hazards differ.
        lag, last_seen: as in :func:`trial_sim.read_ongoing`.

    A subject without a date of enrolment is not randomised: left out, and said in ``notes``. So is
    what was taken for drop-out.

    Raises:
        ValueError: for what is missing, stands twice, or cannot be told.

    Examples:
        >>> import pandas as pd
        >>> import trial_sim as ts
        >>> adsl = pd.DataFrame(
        ...     {"USUBJID": ["1", "2", "3"], "TRT01P": ["control", "treatment", "control"],
        ...      "RANDDT": pd.to_datetime(["2026-01-05", "2026-01-20", None])}
        ... )  # fmt: skip
        >>> adtte = pd.DataFrame(
        ...     {"USUBJID": ["1", "2"], "PARAMCD": "OS", "AVAL": [30, 80], "AVALU": "DAYS",
        ...      "CNSR": [0, 1], "CNSDTDSC": ["", "ALIVE AT DATA CUT"]}
        ... )  # fmt: skip
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=4,
        ...     accrual=ts.Accrual(rate=1),
        ...     looks=ts.EventLooks([2]),
        ... )
        >>> trial = ts.ongoing_from_adam(adsl, adtte, design, cutoff="2026-04-09")
        >>> trial
        OngoingTrial(2 patients, 1 events, 0 lost, by month 3.09; unblinded, opened 2026-01-05)
        >>> trial.notes
        ('1 subjects of ADSL have no RANDDT and were left out, as not randomised',)
    """
    notes: list[str] = []
    people = subjects(_table(adsl), population, notes)
    times = _table(adtte)
    for name in ("USUBJID", "PARAMCD", "AVAL", "CNSR"):
        if name not in times:
            raise ValueError(f"adtte has no column {name!r}{nearest(name, times)}")
    code = _parameter(times, parameter, design)
    part = rows_of(times[times["PARAMCD"] == code], people["USUBJID"], set(_table(adsl)["USUBJID"]),
                   "adtte")  # fmt: skip
    again = part["USUBJID"].duplicated()
    if again.any():
        raise ValueError(
            f"adtte has two rows of {code!r} for subject {part['USUBJID'][again].iloc[0]!r}"
        )
    unit = time_unit_of(part, None, notes)
    start = enrolment
    if start is None:
        found = [c for c in ("RANDDT", "TRTSDT") if c in people]
        start = found[0] if "RANDDT" in found or "STARTDT" not in part else "STARTDT"
        start = start if found or "STARTDT" in part else ""
    if start == "STARTDT" and "STARTDT" not in people:
        people = people.merge(part[["USUBJID", "STARTDT"]], on="USUBJID", how="left")
    if start not in people:
        raise ValueError(f"adsl has no date of enrolment{f' {start!r}' if start else ''}: expected "
                         "RANDDT, or enrolment= the name of its column")  # fmt: skip
    out = people[start].isna()
    if out.any():
        notes.append(
            f"{int(out.sum())} subjects of ADSL have no {start} and were left out, as not "
            "randomised"
        )
        people = people[~out]
    missing = ~people["USUBJID"].isin(part["USUBJID"])
    if missing.any():
        raise ValueError(
            f"{int(missing.sum())} randomised subjects have no row of {code!r} in adtte, the first "
            f"{people['USUBJID'][missing].iloc[0]!r}; population= names the flag of the analysis "
            "set"
        )
    rows = part.set_index("USUBJID").loc[people["USUBJID"]].reset_index()
    other = _described(rows, competing)
    event = ~censored(rows) & ~other
    table = pd.DataFrame(
        {
            "id": people["USUBJID"].to_numpy(),
            "enrolment": _dates(people[start], start).to_numpy(),
            "time": pd.to_numeric(rows["AVAL"], errors="coerce").to_numpy() * UNIT_MONTHS[unit],
            "event": event.astype(int),
        }
    )
    if competing is not None:
        table["competing"] = other.astype(int)
    gone = _lost(rows, event | other, dropout, notes)
    if gone is not None:
        table["dropout"] = gone.astype(int)
    if arm is not None:
        if arm not in people:
            raise ValueError(
                f"adsl has no column {arm!r}{nearest(arm, people)}: arm=None reads blinded"
            )
        table["arm"] = people[arm].to_numpy()
    if "SITEID" in people:
        table["site"] = people["SITEID"].to_numpy()
    for factor in design.strata:
        column = (strata or {}).get(factor, factor)
        if column in people:
            table[factor] = people[column].to_numpy()
        elif strata and factor in strata:
            raise ValueError(f"adsl has no column {column!r} for stratum {factor!r}")
    for name in covariate_names(design, covariates):
        if name not in people:
            raise ValueError(f"adsl has no covariate {name!r}{nearest(name, people)}")
        table[name] = people[name].to_numpy()
    trial = read_ongoing(
        table, design, cutoff=cutoff, opened=opened, lag=lag, last_seen=last_seen,
        covariates=covariates,
    )  # fmt: skip
    changed = {f: getattr(trial, f) for f in trial.__dataclass_fields__}
    return OngoingTrial(**{**changed, "notes": (*notes, *trial.notes)})


def _table(value: Any) -> pd.DataFrame:
    """A table in memory, or read from a file."""
    return plain_values(value if isinstance(value, pd.DataFrame) else read_table(value))


def _parameter(times: pd.DataFrame, given: str | None, design: Design) -> str:
    """The PARAMCD of the endpoint."""
    codes = [str(c) for c in times["PARAMCD"].dropna().unique()]
    wanted = given
    if wanted is None and design.endpoint is not None:
        wanted = next((c for c in codes if c.lower() == design.endpoint.lower()), design.endpoint)
    if wanted is None:
        if len(codes) != 1:
            raise ValueError(f"adtte has the PARAMCDs {codes}: give parameter=")
        return codes[0]
    if wanted not in codes:
        raise ValueError(f"adtte has no PARAMCD {wanted!r}{nearest(wanted, codes)}; it has {codes}")
    return wanted


def _dates(values: pd.Series, name: str) -> pd.Series:
    """Dates as they are, or numbers as SAS dates (days since 1960)."""
    if pd.api.types.is_numeric_dtype(values):
        if not values.between(5_000, 40_000).all():
            raise ValueError(f"{name} must hold dates, got {values.iloc[0]!r}")
        return pd.to_datetime("1960-01-01") + pd.to_timedelta(values, unit="D")
    return values


def _described(rows: pd.DataFrame, names: Any) -> np.ndarray:
    """Whose event or censoring has one of these descriptions, (n,) bool.

    Raises:
        ValueError: for a description that no row has.
    """
    found = np.zeros(len(rows), bool)
    if names is None:
        return found
    texts = {c: rows[c].fillna("").astype(str).str.strip() for c in _TEXTS if c in rows}
    seen = sorted({text for column in texts.values() for text in column} - {""})
    for name in [names] if isinstance(names, str) else list(names):
        if name not in seen:
            raise ValueError(
                f"no row is described as {name!r}{nearest(name, seen)}: {' and '.join(_TEXTS)} "
                f"have {seen}"
            )
        for column in texts.values():
            found |= (column == name).to_numpy()
    return found


def _lost(rows: pd.DataFrame, event: np.ndarray, given: Any, notes: list[str]) -> np.ndarray | None:
    """Who left, from the descriptions of censoring; None where there are none.

    Raises:
        ValueError: for a description that says neither.
    """
    column = next((c for c in _TEXTS if c in rows), None)
    if column is None:
        return None
    texts = rows[column].fillna("").astype(str).str.strip()
    seen = sorted(set(texts[~event]) - {""})
    if given is not None:
        names = [given] if isinstance(given, str) else list(given)
        for name in names:
            if name not in seen:
                raise ValueError(f"{column} has no {name!r}{nearest(name, seen)}; it has {seen}")
        left = set(names)
    else:
        left = {t for t in seen if any(word in t.lower() for word in _LOST_WORDS)}
        unclear = [
            t for t in seen if t not in left and not any(w in t.lower() for w in _ONGOING_WORDS)
        ]
        if unclear:
            raise ValueError(
                f"{column} does not tell whether {unclear[0]!r} means that a subject has left: "
                "give dropout= the descriptions of those who have, or competing= those of "
                "competing events"
            )
        if left:
            notes.append(f"taken as drop-out by {column}: {', '.join(sorted(left))}")
    if (texts[~event] == "").all() and given is None:
        return None
    return texts.isin(left).to_numpy() & ~event
