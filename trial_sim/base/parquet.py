"""Parquet files of patients and trials, written and read by DuckDB.

DuckDB takes a path for a pattern (``a[1].parquet`` would be ``a1.parquet``), folders called
``run=5`` for columns, and columns whose names differ in case alone for equal ones. Here a path is
the file of that name, and columns keep their names. The types of pandas that Parquet lacks
(categories with their order, whole numbers with gaps) are kept in the file's metadata.
"""

from __future__ import annotations

import errno
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_NAMES, _TYPES = "trial_sim_columns", "trial_sim_types"
_GROUP = 65_536  # rows of a row group
_NUMPY_KINDS = "biufmM"
_NULLABLE = re.compile(r"U?Int(8|16|32|64)|Float(32|64)|boolean")
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")


@contextmanager
def _connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of one's own, which loads nothing, and sees no variable of the caller."""
    import duckdb

    config: dict[str, Any] = {
        "threads": 1,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
        "enable_external_file_cache": False,
        "temp_directory": "",
    }
    with duckdb.connect(":memory:", config=config) as connection:
        yield connection


def _literal(path: str | Path) -> str:
    """The pattern that DuckDB finds this one file with, and no other."""
    whole = Path(os.path.abspath(path)).as_posix()
    if not re.search(r"[*?\[]", whole):
        return whole
    if "\\" in whole:
        raise ValueError(f"{whole} has a backslash and one of * ? [ in its path; rename it")
    return re.sub(r"[*?\[]", r"[\g<0>]", whole)


def _text(text: str) -> str:
    """A literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _name(name: str) -> str:
    """An identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def _told(error: Exception) -> str:
    """What DuckDB says, on one line and without the path, which the caller names."""
    line = str(error).strip().split("\n", 1)[0]
    line = re.sub(r"^[A-Z][A-Za-z ]* Error: ", "", line)
    return re.sub(r" ?(in|of)? ?file ['\"][^'\"]*['\"]", "", line, flags=re.I).strip().rstrip(".")


# --- Writing ----------------------------------------------------------------------------------


def write_parquet(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table; its index is left out.

    Raises:
        ValueError: columns of one name, or values that fit no column of Parquet.
        OSError: the file cannot be written.
    """
    import duckdb
    import pandas as pd

    names = [str(c) for c in table.columns]
    if not names or "" in names or len(set(names)) < len(names):
        raise ValueError(f"columns of a Parquet file have a name each, got {names}")
    columns = [table.iloc[:, i] for i in range(len(names))]
    frame = pd.DataFrame({f"c{i}": _plain(column) for i, column in enumerate(columns)})
    kept = {}
    if len({n.casefold() for n in names}) < len(names):
        kept[_NAMES] = json.dumps({"names": names})
    types = {name: _kept_type(column) for name, column in zip(names, columns)}
    types = {name: kind for name, kind in types.items() if kind is not None}
    if types:
        kept[_TYPES] = json.dumps(types)
    cells = ", ".join(f"c{i} AS {_name(name)}" for i, name in enumerate(names))
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_GROUP}, USE_TMP_FILE false"
    if kept:
        pairs = ", ".join(f"{_name(key)}: {_text(value)}" for key, value in kept.items())
        options += f", KV_METADATA {{{pairs}}}"
    with Path(path).open("wb"):  # says better than DuckDB why a file cannot be written
        pass
    target = _text(os.path.abspath(path))
    try:
        with _connected() as connection:
            connection.register("frame", frame)
            connection.execute(f"COPY (SELECT {cells} FROM frame) TO {target} ({options})")
    except duckdb.Error as error:
        Path(path).unlink(missing_ok=True)
        if os.strerror(errno.ENOSPC) in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise ValueError(f"the table cannot be written as Parquet: {_told(error)}") from error


def _plain(column: pd.Series) -> Any:
    """The values of a column as an array whose type DuckDB need not guess from a sample."""
    import numpy as np
    import pandas as pd

    kind = column.dtype
    if isinstance(kind, np.dtype) and kind.kind in _NUMPY_KINDS:
        return column.array
    if isinstance(kind, pd.DatetimeTZDtype) or _NULLABLE.fullmatch(str(kind)):
        return column.array
    values = column.astype(object)
    held = pd.api.types.infer_dtype(values, skipna=True)
    if held in ("date", "datetime", "datetime64", "timedelta", "time", "bytes"):
        return values.array
    if held == "boolean":
        return values.astype("boolean").array
    if held == "integer":
        try:
            return values.astype("Int64").array
        except (OverflowError, TypeError):
            return values.astype(float).array
    if held in ("floating", "mixed-integer-float", "decimal"):
        return values.astype(float).array
    if held not in ("string", "empty"):
        values = values.map(str, na_action="ignore")
    return values.astype(pd.StringDtype("python")).array


def _kept_type(column: pd.Series) -> Any:
    """What the metadata says of a column whose type Parquet lacks; None of all others."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        levels = column.cat.categories.tolist()
        plain = all(isinstance(level, str | int | float | bool) for level in levels)
        return {
            "levels": levels if plain else [str(level) for level in levels],
            "ordered": bool(column.cat.ordered),
        }
    return str(column.dtype) if _NULLABLE.fullmatch(str(column.dtype)) else None


# --- Reading ----------------------------------------------------------------------------------


def read_parquet(path: str | Path, most_cells: int | None = None) -> pd.DataFrame:
    """The table of a Parquet file; an index and types that pandas kept in it come back.

    Raises:
        ValueError: it is not a readable Parquet file, or holds more than ``most_cells`` values.
        OSError: there is no such file, or it cannot be opened.
    """
    import duckdb

    with Path(path).open("rb"):  # no such file, a folder, no right to read
        pass
    place = _literal(path)
    try:
        with _connected() as connection:
            found = connection.execute("SELECT key, value FROM parquet_kv_metadata(?)", [place])
            metadata = {_decoded(key): _decoded(value) for key, value in found.fetchall()}
            columns = _columns(connection, place, metadata)
            names = [name for name, _ in columns]
            # repeated values cost next to nothing in the file, not in memory
            counted = connection.execute("SELECT num_rows FROM parquet_file_metadata(?)", [place])
            n = sum(rows for (rows,) in counted.fetchall())
            if most_cells is not None and n * len(names) > most_cells:
                raise ValueError(
                    f"it holds {n:,} rows of {len(names)} columns, and a table of patients may "
                    f"have {most_cells:,} values; keep the columns that the trial needs"
                )
            whole = "SELECT * FROM read_parquet(?, hive_partitioning = false)"
            table = connection.execute(whole, [place]).df()
    except duckdb.Error as error:
        raise ValueError(f"it is not a readable Parquet file: {_told(error)}") from error
    table.columns = names
    about, types = _parsed(metadata.get("pandas")), _parsed(metadata.get(_TYPES))
    for entry in about.get("columns") or []:
        if isinstance(entry, dict) and entry.get("name") in names:
            types.setdefault(entry["name"], _type_by_pandas(entry))
    for name, in_utc in columns:
        column = _usual(table[name], in_utc)
        try:
            table[name] = _typed(column, types.get(name))
        except (TypeError, ValueError):  # the metadata speaks of other values
            table[name] = column
    return _with_index(table, about)


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _parsed(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _columns(
    connection: duckdb.DuckDBPyConnection, place: str, metadata: Mapping[str, str]
) -> list[tuple[str, bool]]:
    """The columns' names in the file, which DuckDB changes where they differ in case alone; and
    which are times in UTC, which DuckDB forgets where they are in nanoseconds."""
    fields = connection.execute(
        "SELECT name, num_children, logical_type FROM parquet_schema(?)", [place]
    ).fetchall()
    columns, at = [], 1
    while at < len(fields):  # depth first: the root, then each column with all below it
        columns.append((str(fields[at][0]), "isAdjustedToUTC=1" in str(fields[at][2])))
        left = 1
        while left > 0 and at < len(fields):
            left += (fields[at][1] or 0) - 1
            at += 1
    held = _parsed(metadata.get(_NAMES)).get("names")
    if isinstance(held, list) and len(held) == len(columns):
        return [(str(name), in_utc) for name, (_, in_utc) in zip(held, columns)]
    return columns


def _usual(column: pd.Series, in_utc: bool) -> pd.Series:
    """The column with the types that pandas gives by itself: with gaps, numbers are floats."""
    import pandas as pd

    kind = column.dtype
    if isinstance(kind, pd.DatetimeTZDtype):
        return column.dt.tz_convert("UTC")
    if in_utc and pd.api.types.is_datetime64_dtype(kind):
        return column.dt.tz_localize("UTC")
    if isinstance(kind, pd.BooleanDtype):
        return column.astype(object).where(column.notna(), None)
    if pd.api.types.is_extension_array_dtype(kind) and pd.api.types.is_integer_dtype(kind):
        return column.astype(float)
    if not pd.api.types.is_object_dtype(kind):
        return column
    first = column.first_valid_index()
    if first is not None and isinstance(column[first], bytearray):
        column = column.map(bytes, na_action="ignore")
    return column.where(column.notna(), None)


def _type_by_pandas(entry: Mapping[str, Any]) -> Any:
    """The type that pandas wrote of a column, as :func:`_typed` takes it."""
    if entry.get("pandas_type") == "categorical":
        ordered = (entry.get("metadata") or {}).get("ordered")
        return {"levels": None, "ordered": bool(ordered)}
    kind = str(entry.get("numpy_type"))
    return kind if _NULLABLE.fullmatch(kind) else None


def _typed(column: pd.Series, kind: Any) -> pd.Series:
    import pandas as pd

    if isinstance(kind, str) and _NULLABLE.fullmatch(kind):
        return column.astype(kind)  # type: ignore[call-overload]
    if not isinstance(kind, dict):
        return column
    if isinstance(kind.get("levels"), list):
        return column.astype(pd.CategoricalDtype(kind["levels"], bool(kind.get("ordered"))))
    if kind.get("ordered"):  # their order is nowhere but in pyarrow's own schema
        warnings.warn(
            f"column {column.name!r} was written as ordered categories, whose order is lost here: "
            "give its 'levels'",
            stacklevel=2,
        )
        return column
    return column.astype("category")


def _with_index(table: pd.DataFrame, about: Mapping[str, Any]) -> pd.DataFrame:
    """The table with the index that pandas wrote as columns, as its metadata says."""
    listed = about.get("index_columns") or []
    kept = [name for name in listed if isinstance(name, str) and name in table]
    if kept:
        table = table.set_index(kept)
        table.index.names = [None if _UNNAMED_INDEX.fullmatch(name) else name for name in kept]
    return table
