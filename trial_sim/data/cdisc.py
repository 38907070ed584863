"""CDISC analysis data sets (ADSL, ADTTE, ADAE, any BDS) as one row a subject with endpoints.

`read_sas` reads the files; the others each turn one kind of data set into columns of the subject
table and endpoint records. What is left out or chosen is said in a list of notes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.data.column_checks import first_row, numbers, plain
from trial_sim.data.endpoints import (
    Binary,
    Continuous,
    Count,
    Endpoint,
    Longitudinal,
    Ordinal,
    TimeToEvent,
)
from trial_sim.data.texts import find_arm
from trial_sim.statistics.validation import visit_order

SUBJECT, TIME, CENSOR, PARAMETER = "USUBJID", "AVAL", "CNSR", "PARAMCD"
SAS_SUFFIXES = (".xpt", ".sas7bdat")
SAS_ZERO = 2.0**-260  # what pandas makes of SAS's zero, 5.4e-79
SAS_EPOCH = "1960-01-01"
DATE_FORMATS = ("DATE", "YYMMDD", "MMDDYY", "DDMMYY", "E8601DA", "MONYY", "WEEKDATE", "WORDDATE")
TIMESTAMP_FORMATS = ("DATETIME", "E8601DT")
CONTROL_WORDS = re.compile(r"placebo|control|sham|vehicle|standard of care|observation", re.I)
UNIT_DAYS = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12, "years": 365.25}
ORDINAL_LEVELS = 11  # a scale of whole numbers with at most so many values has ordinal endpoints


def read_sas(path: str | Path) -> pd.DataFrame:
    """A SAS file (.xpt or .sas7bdat) as a DataFrame with texts, dates and zeros as they were.

    Blank texts are gaps; ``.attrs["labels"]`` holds the labels of an .xpt file's variables.

    Raises:
        ValueError: a file that is no SAS file.
    """
    path = Path(path)
    kind: Any = "xport" if path.suffix.lower() == ".xpt" else "sas7bdat"
    try:
        with pd.read_sas(path, format=kind, iterator=True) as reader:
            if kind == "xport":
                reader.nobs = _records(path, reader)
            table = reader.read()
            fields = list(getattr(reader, "fields", ()))
    except (ValueError, OSError, EOFError, KeyError, IndexError, UnicodeError) as error:
        raise ValueError(f"{str(path)!r} cannot be read as a SAS file: {error}") from error
    labels = {}
    for field in fields:
        name, form = _text(field["name"]), _text(field.get("nform", b"")).upper()
        labels[name] = _text(field.get("label", b""))
        if form.startswith(TIMESTAMP_FORMATS):
            table[name] = pd.to_datetime(table[name], unit="s", origin=SAS_EPOCH)
        elif form.startswith(DATE_FORMATS):
            table[name] = pd.to_datetime(table[name], unit="D", origin=SAS_EPOCH)
    table = plain_values(table)
    table.attrs["labels"] = labels
    return table


def _records(path: Path, reader: Any) -> int:
    """Rows of an .xpt file; pandas takes blank texts of the last row for padding and loses it."""
    with path.open("rb") as file:
        file.seek(reader.record_start)
        filled = len(file.read().rstrip(b" "))
    return -(-filled // reader.record_length)


def plain_values(table: pd.DataFrame) -> pd.DataFrame:
    """A table read from SAS with byte strings as text, blank text as gaps, and zeros as zeros.

    pandas gives texts as bytes and zero as 5.4e-79; a table without either comes back as it was.
    """
    table = table.copy()
    for name in table.columns:
        values = table[name]
        if pd.api.types.is_float_dtype(values):
            table[name] = values.mask(values.abs() == SAS_ZERO, 0.0)
        elif values.map(lambda v: isinstance(v, bytes | str)).any():
            text = values.map(_text)
            table[name] = text.mask(text.map(lambda v: isinstance(v, str) and not v))
    return table


def _text(value: Any) -> Any:
    """Bytes as text (UTF-8, else Latin-1) without trailing blanks; anything else as it is."""
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            value = value.decode("latin-1")
    return value.strip() if isinstance(value, str) else value


def censored(table: pd.DataFrame, column: str = CENSOR) -> np.ndarray:
    """(n,) boolean: rows censored by a CDISC flag, 0 for an event and 1, 2, ... for censoring.

    Raises:
        ValueError: any other value, with its row.
    """
    codes = numbers(table, column, missing=False)
    wrong = (codes < 0) | (codes != np.round(codes))
    if wrong.any():
        row = first_row(wrong)
        raise ValueError(
            f"column {column!r} must be 0 (event) or a whole number above 0 (censored); row "
            f"{row} holds {codes.iloc[row]:g}"
        )
    return (codes > 0).to_numpy()


def subjects(adsl: pd.DataFrame, population: str | None, notes: list[str]) -> pd.DataFrame:
    """The subject table with each subject once, in the analysis set that ``population`` flags.

    Raises:
        ValueError: a subject without or with two rows, a flag other than Y and N.
    """
    needs(adsl, [SUBJECT, *([population] if population else [])], "adsl")
    if adsl[SUBJECT].isna().any():
        raise ValueError(f"adsl has no {SUBJECT} at row {first_row(adsl[SUBJECT].isna())}")
    twice = adsl[SUBJECT].duplicated()
    if twice.any():
        raise ValueError(
            f"adsl has two rows of subject {plain(adsl[SUBJECT].iloc[first_row(twice)])!r}; one "
            "row a subject is expected"
        )
    if population is None:
        return adsl.reset_index(drop=True)
    flag = adsl[population]
    known = flag.isna() | flag.isin(["Y", "N"])
    if not known.all():
        row = first_row(~known)
        raise ValueError(
            f"adsl {population!r} must hold Y or N; row {row} holds {flag.iloc[row]!r}"
        )
    if not (flag == "Y").all():
        notes.append(
            f"{int((flag != 'Y').sum())} of {len(adsl)} subjects are not in the analysis set "
            f"{population} and were left out"
        )
    return adsl[flag == "Y"].reset_index(drop=True)


def needs(frame: pd.DataFrame, names: Sequence[str], title: str) -> None:
    """Refuse a table that lacks one of the columns."""
    for name in names:
        if name not in frame.columns:
            raise ValueError(f"{title} has no column {name!r}{nearest(name, list(frame))}")


def arm_order(adsl: pd.DataFrame, arm: str, control: Any, notes: list[str]) -> list[Any]:
    """The arms with the control first, and how it was found in ``notes`` unless it was given.

    Without ``control``: the arm whose name says so (placebo, sham ...); else the first by the
    numeric code beside the arm (TRT01PN beside TRT01P); else the first by name.
    """
    present = adsl[[arm]].dropna().drop_duplicates()[arm].tolist()
    code = f"{arm}N"
    if code in adsl.columns:
        pairs = adsl[[arm, code]].dropna(subset=[arm]).drop_duplicates()
        twice = pairs[arm].duplicated()
        if twice.any() or pairs[code].isna().any() or pairs[code].duplicated().any():
            notes.append(f"{code} and {arm} do not go together one to one: {code} was not used")
            code = ""
        else:
            present = pairs.sort_values(code)[arm].tolist()
    if code not in adsl.columns:
        present = sorted(present, key=str)
    if control is not None:
        control = find_arm(control, present)
    else:
        named = [a for a in present if CONTROL_WORDS.search(str(a))]
        control = named[0] if len(named) == 1 else present[0]
        if len(named) != 1:
            by = f"the lowest {code}" if code in adsl.columns else "the first by name"
            notes.append(f"arm {control!r} was taken as the control ({by}); control= names another")
    return [control, *[a for a in present if a != control]]


def time_unit_of(adtte: pd.DataFrame, given: str | None, notes: list[str]) -> str:
    """The unit of AVAL: as AVALU, PARAM or the dates ADT and STARTDT say, else as given, else days.

    Raises:
        ValueError: two units, or one given that the table contradicts.
    """
    found: set[str] = set()
    if "AVALU" in adtte.columns:
        found |= {str(u).strip().lower() for u in adtte["AVALU"].dropna().unique()}
    elif "PARAM" in adtte.columns:
        texts = " ".join(map(str, adtte["PARAM"].dropna().unique())).lower()
        found |= set(re.findall(r"\((days?|weeks?|months?|years?)\)", texts))
    units = {f"{u.rstrip('s')}s" for u in found if u}
    if not units and {"ADT", "STARTDT"} <= set(adtte.columns):
        dates = adtte[["ADT", "STARTDT"]]
        if all(pd.api.types.is_datetime64_any_dtype(dates[c]) for c in dates):
            days = (dates["ADT"] - dates["STARTDT"]).dt.days + 1
            share = (days / pd.to_numeric(adtte[TIME], errors="coerce")).median()
            units = {u for u, length in UNIT_DAYS.items() if abs(share / length - 1) < 0.1}
    if len(units) > 1:
        raise ValueError(
            f"adtte holds times in {' and '.join(sorted(units))}; a trial has one unit of time: "
            "give the PARAMCDs of one unit in parameters"
        )
    if units and given is not None and units != {given}:
        raise ValueError(f"times of adtte are in {units.pop()}, time_unit says {given}")
    if given is None and not units:
        notes.append("no unit of time was found in adtte (AVALU): times were taken as days")
    return given or (units.pop() if units else "days")


def codes_of(frame: pd.DataFrame, title: str) -> list[Any]:
    """The PARAMCDs of a table, none of them missing."""
    if frame[PARAMETER].isna().any():
        raise ValueError(f"{title} has no PARAMCD at row {first_row(frame[PARAMETER].isna())}")
    return frame[PARAMETER].unique().tolist()


def names_of(codes: Sequence[Any], given: Mapping[str, str] | None) -> dict[Any, str]:
    """Endpoint name by PARAMCD: as given, else the code in lower case.

    Raises:
        ValueError: an unknown code, or two codes under one name.
    """
    chosen = dict(given) if given else {code: str(code).lower() for code in codes}
    for code in chosen:
        if code not in codes:
            raise ValueError(f"there is no PARAMCD {code!r}{nearest(code, codes)}")
    by_name: dict[str, Any] = {}
    for code, name in chosen.items():
        if name in by_name:
            raise ValueError(
                f"PARAMCD {by_name[name]!r} and {code!r} would both be endpoint {name!r}; give "
                "each a name in parameters"
            )
        by_name[name] = code
    return chosen


def rows_of(frame: pd.DataFrame, known: pd.Series, all_known: set[Any], title: str) -> pd.DataFrame:
    """The rows of the subjects that were kept.

    Raises:
        ValueError: a subject that adsl does not have at all, or a row without one.
    """
    ids = frame[SUBJECT]
    if ids.isna().any():
        raise ValueError(f"{title} has no {SUBJECT} at row {first_row(ids.isna())}")
    strange = ~ids.isin(all_known)
    if strange.any():
        names = ids[strange].unique()
        raise ValueError(
            f"{len(names)} subject(s) of {title} are not in adsl, the first "
            f"{plain(names[0])!r} (adsl has {SUBJECT} such as {plain(known.iloc[0])!r})"
        )
    return frame[ids.isin(known)]


def time_endpoints(
    table: pd.DataFrame, adtte: pd.DataFrame, names: Mapping[Any, str]
) -> dict[str, Endpoint]:
    """A time-to-event endpoint for each PARAMCD; ``table`` gets its time and event columns.

    Raises:
        ValueError: an unreadable CNSR or AVAL, two rows of a subject, a subject without one.
    """
    records: dict[str, Endpoint] = {}
    flags = adtte[[SUBJECT, PARAMETER]].assign(
        event=(~censored(adtte)).astype(int), time=numbers(adtte, TIME, missing=False)
    )
    for code, name in names.items():
        part = flags[flags[PARAMETER] == code].set_index(SUBJECT)
        if part.empty:
            continue
        twice = part.index.duplicated()
        if twice.any():
            raise ValueError(
                f"adtte has two rows of {code!r} for subject "
                f"{plain(part.index[first_row(twice)])!r}"
            )
        without = ~table[SUBJECT].isin(part.index)
        if without.any():
            raise ValueError(
                f"{int(without.sum())} subject(s) of adsl have no row of {code!r} in adtte, the "
                f"first {plain(table[SUBJECT].iloc[first_row(without)])!r}; population= names "
                "the flag of the analysis set, such as 'ITTFL'"
            )
        for column in ("time", "event"):
            put(table, f"{name}_{column}", table[SUBJECT].map(part[column]))
        records[name] = TimeToEvent(f"{name}_time", f"{name}_event")
    return records


def visit_endpoints(
    table: pd.DataFrame, bds: pd.DataFrame, names: Mapping[Any, str], notes: list[str]
) -> dict[str, Endpoint]:
    """Repeated measurements of each PARAMCD: a longitudinal endpoint, and one for every visit.

    Columns ``NAME_VISIT`` are added to ``table`` in the order of AVISITN, and ``NAME_baseline``
    where there is BASE or a baseline record. Only observed analysis records are used. Endpoints of
    single visits are ordinal for scales of a few whole numbers, else continuous.

    Raises:
        ValueError: two analysis records of a subject at one visit.
    """
    records: dict[str, Endpoint] = {}
    for column, good, words in (
        ("ANL01FL", lambda v: v == "Y", "are not flagged for analysis (ANL01FL)"),
        ("DTYPE", lambda v: v.isna(), "are imputed or derived (DTYPE)"),
        ("AVISIT", lambda v: v.notna(), "have no analysis visit (AVISIT)"),
    ):
        if column in bds.columns:
            kept = good(bds[column])
            if not kept.all():
                notes.append(f"{int((~kept).sum())} records that {words} were left out")
            bds = bds[kept]
    for code, name in names.items():
        part = bds[bds[PARAMETER] == code]
        if part.empty:
            continue
        first = part["AVISIT"].astype(str).str.fullmatch(r"(?i)\s*baseline\s*")
        if "ABLFL" in part.columns:
            first |= part["ABLFL"] == "Y"
        baseline = _baseline(table, part, first, name)
        part = part[~first]
        twice = part.duplicated([SUBJECT, "AVISIT"])
        if twice.any():
            row = part[twice].iloc[0]
            raise ValueError(
                f"two analysis records of {code!r} at {row['AVISIT']!r} for subject "
                f"{plain(row[SUBJECT])!r}"
            )
        values = part.assign(value=numbers(part, TIME, missing=True))
        wide = values.pivot(index=SUBJECT, columns="AVISIT", values="value")
        if "AVISITN" in part.columns and part["AVISITN"].notna().all():
            order = part.groupby("AVISIT")["AVISITN"].min().sort_values().index.tolist()
        else:
            order = list(visit_order(list(wide.columns), "AVISIT"))
        columns = []
        for visit in order:
            column = f"{name}_{re.sub(r'[^a-z0-9]+', '_', str(visit).lower()).strip('_')}"
            put(table, column, table[SUBJECT].map(wide[visit]))
            columns.append(column)
            seen = table[column].dropna()
            whole = bool((seen == seen.round()).all()) and seen.nunique() <= ORDINAL_LEVELS
            records[column] = Ordinal(column) if whole else Continuous(column, baseline)
        if len(columns) > 1:
            records[name] = Longitudinal(columns, baseline=baseline)
    return records


def _baseline(table: pd.DataFrame, part: pd.DataFrame, first: pd.Series, name: str) -> str | None:
    """Put the baseline of one PARAMCD into ``table``; the column, or None where there is none."""
    if "BASE" in part.columns and part["BASE"].notna().any():
        values = part.dropna(subset=["BASE"]).groupby(SUBJECT)["BASE"]
        if (values.nunique() > 1).any():
            who = values.nunique().idxmax()
            raise ValueError(f"BASE of {name!r} changes within subject {plain(who)!r}")
        base = values.first()
    elif first.any():
        base = part[first].groupby(SUBJECT)[TIME].last()
    else:
        return None
    put(table, f"{name}_baseline", table[SUBJECT].map(base))
    return f"{name}_baseline"


def adverse_event_endpoints(
    table: pd.DataFrame, adae: pd.DataFrame, notes: list[str]
) -> dict[str, Endpoint]:
    """Treatment-emergent adverse events of each subject: how many, whether any, whether serious.

    Subjects without a row had none, unless SAFFL says that they were not treated. The count has no
    exposure: days on treatment are an outcome of the arm, and who stops early has many events.
    """
    if "TRTEMFL" in adae.columns:
        emergent = adae["TRTEMFL"] == "Y"
        if not emergent.all():
            notes.append(
                f"{int((~emergent).sum())} adverse events are not treatment-emergent (TRTEMFL) "
                "and were left out"
            )
        adae = adae[emergent]
    treated = table["SAFFL"] == "Y" if "SAFFL" in table.columns else np.ones(len(table), dtype=bool)
    count = table[SUBJECT].map(adae[SUBJECT].value_counts()).fillna(0)
    put(table, "adverse_events", count.where(treated))
    put(table, "any_adverse_event", (count > 0).astype(float).where(treated))
    records: dict[str, Endpoint] = {
        "adverse_events": Count("adverse_events"),
        "any_adverse_event": Binary("any_adverse_event"),
    }
    if "AESER" in adae.columns:
        serious = table[SUBJECT].isin(adae.loc[adae["AESER"] == "Y", SUBJECT])
        put(table, "serious_adverse_event", serious.astype(float).where(treated))
        records["serious_adverse_event"] = Binary("serious_adverse_event")
    return records


def put(table: pd.DataFrame, column: str, values: pd.Series) -> None:
    """Add a column that is not there yet, as whole numbers where it holds nothing else."""
    if column in table.columns:
        raise ValueError(f"adsl has a column {column!r} already; give the PARAMCD another name")
    if values.notna().all() and (values == values.round()).all():
        values = values.astype(int)
    table[column] = values
