"""Built-in real trials, and trials read from a table and a small YAML description.

>>> load_trial("colon").n_patients
929
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from trial_sim.base import workbooks
from trial_sim.base.arguments import nearest
from trial_sim.base.parquet import read_parquet
from trial_sim.base.plain_yaml import read_plain
from trial_sim.base.user_warnings import warn_user
from trial_sim.data import cdisc
from trial_sim.data.endpoints import Endpoint, endpoint_from_dict, flags_of
from trial_sim.data.texts import as_dates, as_flag, find_arm, read_text_table
from trial_sim.data.trial import Trial

# CDISC (ADSL/ADTTE) names that are taken without being spelt out.
CDISC_ARM = "TRT01P"
#: Bytes of a table's text, at most: a few kilobytes of gzip can hold terabytes.
LARGEST = 512 * 1024**2
MOST_CELLS = 100_000_000  # values of a Parquet table, at most, for the same reason
TABLE_SUFFIXES = (
    ".csv", ".txt", ".tsv", ".parquet", ".pq", *workbooks.SUFFIXES, *cdisc.SAS_SUFFIXES,
)  # fmt: skip
SPEC_FIELDS = (
    "data",
    "arm",
    "arms",
    "control",
    "id",
    "covariates",
    "endpoints",
    "strata",
    "site",
    "entry",
    "time_unit",
    "kinds",
    "levels",
    "constraints",
    "dictionary",
    "rename",
    "title",
    "citation",
    "randomised",
)


@lru_cache(maxsize=1)
def _catalogue() -> dict[str, dict[str, Any]]:
    return json.loads((files("trial_sim") / "data" / "trials.json").read_text())


def list_trials() -> pd.DataFrame:
    """The built-in trials.

    Returns:
        One row a trial: name, title, patients, arms, endpoints (with their kinds), time_unit,
        randomised, licence, origin, citation.

    Examples:
        >>> import trial_sim as ts
        >>> trials = ts.list_trials()
        >>> "colon" in set(trials["name"])
        True
    """
    rows = []
    for name, entry in _catalogue().items():
        trial = load_trial(name)
        kinds = [f"{e} ({trial.endpoints[e].kind})" for e in trial.endpoints]
        rows.append(
            {
                "name": name,
                "title": entry["title"],
                "patients": trial.n_patients,
                "arms": ", ".join(trial.arms),
                "endpoints": ", ".join(kinds),
                **{k: entry[k] for k in ("time_unit", "randomised", "licence", "origin")},
                "citation": entry["citation"],
            }
        )
    return pd.DataFrame(rows)


def load_trial(name: str) -> Trial:
    """A built-in real trial.

    Raises:
        ValueError: no trial of that name.

    Examples:
        >>> import trial_sim as ts
        >>> trial = ts.load_trial("colon")
        >>> trial.arms, trial.n_patients
        (('Obs', 'Lev', 'Lev+5FU'), 929)
    """
    catalogue = _catalogue()
    if name not in catalogue:
        raise ValueError(f"no built-in trial {name!r}{nearest(name, list(catalogue))}")
    entry = catalogue[name]
    with (files("trial_sim") / "data" / f"{name}.csv").open(encoding="utf-8") as handle:
        table = pd.read_csv(handle, keep_default_na=False, na_values=[""])
    return Trial(
        patients=table,
        arm=entry["arm"],
        arms=entry["arms"],
        endpoints={k: endpoint_from_dict(v) for k, v in entry["endpoints"].items()},
        covariates=entry["covariates"],
        id=entry["id"],
        strata=entry.get("strata", ()),
        site=entry.get("site"),
        time_unit=entry["time_unit"],
        kinds=entry["kinds"],
        levels=entry.get("levels", {}),
        dictionary=entry["dictionary"],
        title=entry["title"],
        citation=entry["citation"],
        randomised=entry["randomised"],
    )


def read_table(path: str | Path) -> pd.DataFrame:
    """A CSV or TSV (each plain or with gzip), workbook, Parquet or SAS file as a DataFrame.

    Of a workbook (.xlsx, .xls, .ods) the first visible sheet that holds anything is read.

    Raises:
        ValueError: no such file, another ending, a file that cannot be parsed, or one that holds
            more than `LARGEST` bytes of text or `MOST_CELLS` values.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"no file {str(path)!r}")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in TABLE_SUFFIXES:
        raise ValueError(
            f"{str(path)!r} must end in .csv, .txt or .tsv (each with or without .gz), "
            f"{', '.join(workbooks.SUFFIXES)}, .parquet, .xpt or .sas7bdat"
        )
    if suffix in cdisc.SAS_SUFFIXES:
        return cdisc.read_sas(path)
    try:
        if suffix in (".parquet", ".pq"):
            return read_parquet(path, MOST_CELLS)
        if suffix in workbooks.SUFFIXES:
            return _read_workbook(_bytes_of(path), path.name)
        usual = "\t" if suffix == ".tsv" else ","
        return read_text_table(_bytes_of(path), usual, path.name)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{str(path)!r} cannot be read as a table: {error}") from error


def _read_workbook(content: bytes, name: str) -> pd.DataFrame:
    rows, note = workbooks.read_sheet(content)
    if note:
        warn_user(f"{name}: {note}")
    filled = [sum(map(bool, row)) for row in rows]
    header = next((k for k, n in enumerate(filled) if n > 1), filled.index(max(filled)))
    if any(filled[:header]):
        warn_user(f"{name} has its header in row {header + 1}; what stands above it is left out")
    rows = [row for row, n in zip(rows[header:], filled[header:]) if n]
    # behind a semicolon, so that numbers typed as text may have decimal commas
    text = io.StringIO()
    csv.writer(text, delimiter=";").writerows([["sep=", ""], *rows])
    return read_text_table(text.getvalue().encode(), ";", name)


def _bytes_of(path: Path) -> bytes:
    """The bytes of a file, decompressed when it is gzip, `LARGEST` of them at most."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        source: Any = gzip.GzipFile(fileobj=file) if packed else file
        text: bytes = source.read(LARGEST + 1)
    if len(text) > LARGEST:
        unpacked = " once decompressed" if packed else ""
        raise ValueError(
            f"it holds more than {LARGEST:,} bytes{unpacked}, the most that a table of patients "
            "may have; keep the columns that the trial needs"
        )
    return text


def read_spec(spec: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """A trial description as a dictionary, from YAML text in a file or a mapping."""
    if isinstance(spec, Mapping):
        fields = dict(spec)
    else:
        import yaml

        try:
            fields = read_plain(Path(spec).read_text("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{str(spec)!r} is not text: expected a YAML description of a trial"
            ) from error
        except (OSError, yaml.YAMLError) as error:
            raise ValueError(f"{str(spec)!r} cannot be read as YAML: {error}") from error
        if not isinstance(fields, dict):
            table = Path(spec).suffix.lower() in (*TABLE_SUFFIXES, ".gz")
            raise ValueError(
                f"{str(spec)!r} is a table: a description (YAML) that says what its columns are "
                "must go with it"
                if table
                else f"{str(spec)!r} must hold a mapping of fields, such as 'arm: rx'"
            )
    for name in fields:
        if name not in SPEC_FIELDS:
            raise ValueError(
                f"unknown field {name!r} in the description{nearest(name, SPEC_FIELDS)}"
            )
    return fields


def read_trial(path: str | Path, spec: str | Path | Mapping[str, Any] | None = None) -> Trial:
    """A trial from a CSV or Parquet file and a description.

    The description (YAML file or mapping) has the fields of `Trial`; ``data`` names the table,
    beside the YAML file, if ``path`` is the YAML file itself. A time-to-event endpoint may give
    ``censor`` (1 = censored, as CDISC's CNSR) in place of ``event``; events and answers in words
    (yes and no, dead and alive) become 1 and 0, with a warning; a Cox-ready CDISC table with
    AVAL, CNSR and TRT01P needs no endpoint and no arm spelt out.

    Raises:
        ValueError: a file, field, column or value that does not fit, named.

    Examples:
        >>> import trial_sim as ts
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "mine.csv"
        >>> _ = path.write_text(
        ...     "drug,age,time,dead\\nA,50,3.5,1\\nB,61,8,0\\nA,47,2,0\\nB,58,6,1\\n"
        ... )
        >>> fields = {
        ...     "arm": "drug",
        ...     "covariates": ["age"],
        ...     "endpoints": {
        ...         "death": {"kind": "time_to_event", "duration": "time", "event": "dead"}
        ...     },
        ... }
        >>> ts.read_trial(path, fields).n_patients
        4
        >>> folder.cleanup()
    """
    path = Path(path)
    if spec is None:
        fields = read_spec(path)
        if "data" not in fields:
            raise ValueError(f"{str(path)!r} needs the field 'data' that names the table")
        table = read_table(path.parent / fields["data"])
    else:
        fields = read_spec(spec)
        table = read_table(path)
    return trial_from_table(table, fields)


def trial_from_table(table: pd.DataFrame, fields: Mapping[str, Any]) -> Trial:
    """A trial from a table and the fields of a description (see `read_trial`)."""
    fields = {k: v for k, v in fields.items() if k != "data"}
    if "rename" in fields:
        table = table.rename(columns=fields.pop("rename"))
    if "arm" not in fields and CDISC_ARM in table.columns:
        fields["arm"] = CDISC_ARM
    if "id" not in fields and cdisc.SUBJECT in table.columns:
        fields["id"] = cdisc.SUBJECT
    endpoints = fields.pop("endpoints", None)
    if endpoints is None and {cdisc.TIME, cdisc.CENSOR} <= set(table.columns):
        codes = table[cdisc.PARAMETER].unique() if cdisc.PARAMETER in table.columns else ()
        if len(codes) > 1:
            shown = ", ".join(map(repr, codes[:5]))
            raise ValueError(
                f"the table holds {len(codes)} endpoints (PARAMCD {shown}) "
                "in rows of their own; keep the rows of one, or give ADSL and ADTTE to "
                "trial_sim.trial_from_cdisc"
            )
        endpoints = {
            "event": {"kind": "time_to_event", "duration": cdisc.TIME, "censor": cdisc.CENSOR}
        }
    if not endpoints:
        raise ValueError("the description needs 'endpoints', each with a 'kind' and its columns")
    for what, value in (("endpoints", endpoints), ("kinds", fields.get("kinds", {}))):
        if not isinstance(value, Mapping):
            raise ValueError(f"{what!r} must be a mapping by name, got {value!r}")
    table, records, used = table.copy(), {}, set()
    for name, record in endpoints.items():
        record = dict(record)
        if "censor" in record:
            flag = record.pop("censor")
            used.add(flag)
            if flag not in table.columns:
                raise ValueError(f"no column {flag!r}{nearest(flag, list(table.columns))}")
            record["event"] = f"{flag}_event"
            table[record["event"]] = (~cdisc.censored(table, flag)).astype(int)
        records[name] = endpoint_from_dict(record)
        for column in flags_of(records[name]):
            if column in table.columns:
                table[column] = as_flag(table[column])
    control = fields.pop("control", None)
    if control is not None or "arms" in fields:
        fields["arms"] = _arms_in_order(table, fields, control)
    entry = fields.get("entry")
    if entry in table.columns and table[entry].dtype == object:
        table[entry] = as_dates(table[entry])
    trial = Trial(patients=table, endpoints=records, **fields)
    used |= {trial.arm, trial.id, trial.entry, *trial.baseline_columns}
    used |= {c for e in records.values() for c in (*e.columns, *e.inputs)}
    left = [str(c) for c in table.columns if c not in used]
    if left:
        more = f" and {len(left) - 8} more" if len(left) > 8 else ""
        warn_user(f"not declared, so not in the trial: {', '.join(left[:8])}{more}")
    return trial


def _arms_in_order(table: pd.DataFrame, fields: Mapping[str, Any], control: Any) -> list[Any]:
    """The arms as the table holds them, in the order of the description, or its control first."""
    column = fields.get("arm")
    if column not in table.columns:
        if column is None:
            raise ValueError("the description needs 'arm', the column of the arms")
        raise ValueError(f"no column {column!r}{nearest(column, list(table.columns))}")
    found = sorted(table[column].dropna().unique().tolist(), key=str)
    named = fields.get("arms")
    if named is not None:
        if isinstance(named, str) or not isinstance(named, Sequence):
            raise ValueError(f"'arms' must be a list, control first, got {named!r}")
        return [_known(arm, found) for arm in named]
    control = find_arm(control, found)
    return [control, *[a for a in found if a is not control]]


def _known(arm: Any, found: list[Any]) -> Any:
    """The arm as the table holds it; one that no patient has as it is written."""
    try:
        return find_arm(arm, found)
    except ValueError:
        return arm


def trial_from_cdisc(
    adsl: pd.DataFrame | str | Path,
    adtte: pd.DataFrame | str | Path | None = None,
    covariates: Sequence[str] = (),
    arm: str = CDISC_ARM,
    parameters: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    control: Any = None,
    population: str | None = None,
    bds: pd.DataFrame | str | Path | Sequence[pd.DataFrame | str | Path] = (),
    adae: pd.DataFrame | str | Path | None = None,
    **fields: Any,
) -> Trial:
    """A trial from CDISC analysis data sets, given as tables or as files (SAS's .xpt, CSV ...).

    Args:
        adsl: one row a subject, with USUBJID, the arm and the covariates.
        adtte: times to events, one row a subject and PARAMCD, with AVAL and CNSR. Each endpoint
            gets columns ``NAME_time`` and ``NAME_event`` = 1 where CNSR is 0.
        parameters: endpoint name by PARAMCD; by default every PARAMCD in lower case.
        time_unit: of the times; by default as AVALU or PARAM says, else days.
        control: the control arm; by default the arm whose name says so (placebo, sham ...), else
            the first by its numeric code (TRT01PN), else the first by name, with a note.
        population: flag of ADSL that is Y for those who take part, such as "ITTFL".
        bds: tables of repeated measurements (basic data structure), with PARAMCD, AVISIT and AVAL:
            a longitudinal endpoint a PARAMCD, and an ordinal or continuous one a visit.
        adae: adverse events, one row each: endpoints ``adverse_events`` (count),
            ``any_adverse_event`` and ``serious_adverse_event``.
        fields: passed to `Trial`.

    What was left out or chosen stands in ``.notes`` of the trial.

    Raises:
        ValueError: a subject that adsl lacks, or that has no or two rows of an endpoint; a CNSR
            that is no whole number from 0; two PARAMCDs under one name; units that disagree.

    Examples:
        >>> import trial_sim as ts
        >>> import pandas as pd
        >>> adsl = pd.DataFrame(
        ...     {
        ...         "USUBJID": ["1", "2", "3", "4"],
        ...         "TRT01P": ["Placebo", "Drug"] * 2,
        ...         "AGE": [50, 61, 47, 58],
        ...     }
        ... )
        >>> adtte = pd.DataFrame(
        ...     {
        ...         "USUBJID": ["1", "2", "3", "4"],
        ...         "PARAMCD": "OS",
        ...         "AVAL": [100, 90, 30, 200],
        ...         "CNSR": [0, 1, 0, 1],
        ...     }
        ... )
        >>> trial = ts.trial_from_cdisc(adsl, adtte, covariates=["AGE"])
        >>> list(trial.endpoints), trial.control, trial.n_patients
        (['os'], 'Placebo', 4)
    """
    notes: list[str] = list(fields.pop("notes", ()))
    everyone, many = (
        _cdisc_table(adsl),
        [bds] if isinstance(bds, pd.DataFrame | str | Path) else bds,
    )
    cdisc.needs(everyone, [cdisc.SUBJECT, arm, *covariates], "adsl")
    table = cdisc.subjects(everyone, population, notes)
    known = set(everyone[cdisc.SUBJECT])

    def read(source: pd.DataFrame | str | Path, title: str, names: Sequence[str]) -> pd.DataFrame:
        frame = _cdisc_table(source)
        cdisc.needs(frame, [cdisc.SUBJECT, *names], title)
        return cdisc.rows_of(frame, table[cdisc.SUBJECT], known, title)

    value = [cdisc.PARAMETER, cdisc.TIME]
    times = None if adtte is None else read(adtte, "adtte", [*value, cdisc.CENSOR])
    visits = [read(source, "bds", [*value, "AVISIT"]) for source in many]
    tables = [*([] if times is None else [times]), *visits]
    codes = [c for k, t in enumerate(tables) for c in cdisc.codes_of(t, "bds" if k else "adtte")]
    names = cdisc.names_of(list(dict.fromkeys(codes)), parameters)
    records: dict[str, Endpoint] = {}
    if times is not None:
        times = times[times[cdisc.PARAMETER].isin(names)]
        time_unit = cdisc.time_unit_of(times, time_unit, notes)
        records |= cdisc.time_endpoints(table, times, names)
    for repeated in visits:
        records |= cdisc.visit_endpoints(table, repeated, names, notes)
    if adae is not None:
        records |= cdisc.adverse_event_endpoints(table, read(adae, "adae", []), notes)
    if not records:
        raise ValueError("a trial needs endpoints: give adtte, bds or adae")
    if "arms" not in fields:
        fields["arms"] = cdisc.arm_order(table, arm, control, notes)
    elif control is not None:
        raise ValueError("give arms or control, not both")
    labels = everyone.attrs.get("labels", {})
    used = [arm, *covariates, *fields.get("strata", ())]
    fields.setdefault("dictionary", {n: labels[n] for n in used if labels.get(n)})
    return Trial(
        patients=table,
        arm=arm,
        endpoints=records,
        covariates=covariates,
        id=cdisc.SUBJECT,
        time_unit=time_unit or "days",
        notes=notes,
        **fields,
    )


def _cdisc_table(source: pd.DataFrame | str | Path) -> pd.DataFrame:
    return cdisc.plain_values(source if isinstance(source, pd.DataFrame) else read_table(source))
