"""Parquet files, written and read by DuckDB: the one place of the package that does.

DuckDB takes a path for a pattern (``a[1].parquet`` would be ``a1.parquet``), folders called
``run=5`` for columns, and columns whose names differ in case alone for equal ones. Here a path is
the file of that name, and columns keep their names. The same table gives the same bytes.
"""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

GROUP = 65_536
"""Rows of a row group."""

_NAMES = "molgen_columns"  # true names, where some differ in case alone
_NUMPY_KINDS = "biufmM"
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")


class ParquetError(ValueError):
    """A file that is no readable Parquet, or a table that has no place in one."""


_HELD: ContextVar[list[duckdb.DuckDBPyConnection] | None] = ContextVar("_HELD", default=None)


@contextmanager
def one_connection() -> Iterator[None]:
    """Let what this thread reads and writes inside the block share a connection.

    Opening and closing one takes 30 ms of the processor.
    """
    held: list[duckdb.DuckDBPyConnection] = []
    token = _HELD.set(held)
    try:
        yield
    finally:
        _HELD.reset(token)
        for connection in held:
            connection.close()


@contextmanager
def _connected() -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    held = _HELD.get()
    if held is None:
        with _connect() as connection:
            yield connection
        return
    if not held:
        held.append(_connect())
    cursor = held[0].cursor()
    try:
        yield cursor
    except (duckdb.Error, ParquetError, OSError):
        held.clear()  # after an error of its own, DuckDB may refuse all further work
        raise
    finally:
        cursor.close()


def _connect() -> duckdb.DuckDBPyConnection:
    """A connection that loads nothing, keeps no file, and sees no variable of the caller."""
    import duckdb

    config: dict[str, Any] = {
        "threads": 1,  # more would change the order of rows and groups
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
        "enable_external_file_cache": False,
        "temp_directory": "",
    }
    return duckdb.connect(":memory:", config=config)


def literal_path(path: str | Path) -> str:
    """The pattern that DuckDB finds this one file with, and no other.

    Raises:
        ParquetError: a path with both a backslash and one of ``*?[`` cannot be told to DuckDB.
    """
    whole = Path(os.path.abspath(path)).as_posix()
    if not re.search(r"[*?\[]", whole):
        return whole
    if "\\" in whole:
        raise ParquetError(f"{whole} has a backslash and one of * ? [ in its path; rename it")
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


def write_parquet(
    table: pd.DataFrame,
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    types: Mapping[str, str] | None = None,
) -> None:
    """Write a table; its index is left out.

    Args:
        table: columns with different names.
        path: replaced where it is there.
        metadata: goes into the file's key-value metadata.
        types: DuckDB's type of columns whose values may all be missing, and are not text.

    Raises:
        ParquetError: columns of one name, or values that fit no column of Parquet.
        OSError: the file cannot be written.
    """
    import duckdb
    import pandas as pd

    names = [str(c) for c in table.columns]
    if not names or "" in names or len(set(names)) < len(names):
        raise ParquetError(f"Columns of a Parquet file have a name each, got {names}.")
    kept = dict(metadata or {})
    if len({n.casefold() for n in names}) < len(names):
        kept[_NAMES] = json.dumps(names)
    frame = pd.DataFrame({f"c{i}": _plain(table.iloc[:, i]) for i in range(len(names))})
    wished = types or {}
    cells = [
        f"{f'CAST(c{i} AS {wished[n]})' if n in wished else f'c{i}'} AS {_name(n)}"
        for i, n in enumerate(names)
    ]
    with _connected() as connection:
        try:
            connection.register("frame", frame)
        except duckdb.Error as error:
            raise ParquetError(f"A column fits no Parquet file: {_told(error)}.") from error
        _copy(connection, f"SELECT {', '.join(cells)} FROM frame", Path(path), kept)


def parquet_bytes(
    table: pd.DataFrame,
    metadata: Mapping[str, str] | None = None,
    types: Mapping[str, str] | None = None,
) -> bytes:
    """The content of the file that :func:`write_parquet` would write."""
    with tempfile.TemporaryDirectory(prefix="molgen-") as folder:
        path = Path(folder) / "table.parquet"
        write_parquet(table, path, metadata, types)
        return path.read_bytes()


def join_parquet(
    parts: Sequence[Path], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write the rows of files of equal columns as one file, in memory that does not grow with them.

    Raises:
        ParquetError: a part cannot be read.
        OSError: the file cannot be written.
    """
    with _connected() as connection:
        names = _names(connection, literal_path(parts[0]))
        kept = dict(metadata or {})
        if len({n.casefold() for n in names}) < len(names):
            kept[_NAMES] = json.dumps(names)
        cells = ", ".join(f"#{i} AS {_name(n)}" for i, n in enumerate(names, start=1))
        listed = ", ".join(_text(literal_path(p)) for p in parts)
        query = f"SELECT {cells} FROM read_parquet([{listed}], hive_partitioning = false)"
        _copy(connection, query, Path(path), kept)


def _copy(
    connection: duckdb.DuckDBPyConnection, query: str, path: Path, metadata: Mapping[str, str]
) -> None:
    import duckdb

    with path.open("wb"):  # says better than DuckDB why a file cannot be written
        pass
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {GROUP}, USE_TMP_FILE false"
    if metadata:
        pairs = ", ".join(f"{_name(k)}: {_text(v)}" for k, v in metadata.items())
        options += f", KV_METADATA {{{pairs}}}"
    try:
        connection.execute(f"COPY ({query}) TO {_text(os.path.abspath(path))} ({options})")
    except duckdb.Error as error:
        path.unlink(missing_ok=True)
        for code in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(code) in str(error):
                raise OSError(code, os.strerror(code), str(path)) from error
        raise ParquetError(f"The table cannot be written as Parquet: {_told(error)}.") from error


def _plain(column: pd.Series) -> Any:
    """The values of a column as an array whose type DuckDB need not guess from a sample."""
    import numpy as np
    import pandas as pd

    kind = column.dtype
    if isinstance(kind, np.dtype) and kind.kind in _NUMPY_KINDS:
        return column.array
    numbers = r"U?Int(8|16|32|64)|Float(32|64)|boolean"
    if isinstance(kind, pd.DatetimeTZDtype) or re.fullmatch(numbers, str(kind)):
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


# --- Reading ----------------------------------------------------------------------------------


def read_parquet(
    source: str | Path | bytes, columns: Sequence[str] | None = None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table of a Parquet file, and its key-value metadata.

    Whole numbers and truth values come as pandas has them without extension types: with gaps they
    are floats and objects.

    Args:
        source: a file, or the content of one.
        columns: which to read; by default all, and an index that pandas kept becomes one again.

    Raises:
        ParquetError: it is not a readable Parquet file.
        OSError: there is no such file, or it cannot be opened.
    """
    with _opened(source) as (connection, place):
        metadata = _metadata(connection, place)
        found = _columns(connection, place)
        names = [name for name, _ in found]
        wanted = names if columns is None else list(columns)
        cells = ", ".join(f"#{names.index(c) + 1}" for c in wanted)
        table = connection.execute(_select(cells), [place]).df()
    table.columns = wanted
    for name, in_utc in found:
        if name in wanted:
            table[name] = _usual(table[name], in_utc)
    return (table if columns is not None else _with_index(table, metadata)), metadata


def parquet_columns(source: str | Path | bytes) -> list[str]:
    """The names of a file's columns; raises as :func:`read_parquet`."""
    with _opened(source) as (connection, place):
        return _names(connection, place)


def parquet_rows(
    source: str | Path | bytes, columns: Sequence[str], n: int = 50_000
) -> Iterator[list[tuple[Any, ...]]]:
    """Rows as Python's own values, None for a gap, ``n`` at a time and never all at once.

    Raises as :func:`read_parquet`.
    """
    with _opened(source) as (connection, place):
        names = _names(connection, place)
        cells = ", ".join(f"#{names.index(c) + 1}" for c in columns)
        cursor = connection.execute(_select(cells), [place])
        while rows := cursor.fetchmany(n):
            yield rows


def _select(cells: str) -> str:
    return f"SELECT {cells} FROM read_parquet(?, hive_partitioning = false)"


@contextmanager
def _opened(source: str | Path | bytes) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """A connection, and the file as it knows it; its errors become :class:`ParquetError`."""
    import duckdb

    if isinstance(source, bytes):
        with tempfile.TemporaryDirectory(prefix="molgen-") as folder:
            path = Path(folder) / "table.parquet"
            path.write_bytes(source)
            with _opened(path) as opened:
                yield opened
        return
    with Path(source).open("rb"):  # no such file, a folder, no right to read
        pass
    try:
        with _connected() as connection:
            yield connection, literal_path(source)
    except duckdb.Error as error:
        raise ParquetError(_told(error)) from error


def _metadata(connection: duckdb.DuckDBPyConnection, place: str) -> dict[str, str]:
    rows = connection.execute("SELECT key, value FROM parquet_kv_metadata(?)", [place]).fetchall()
    return {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in rows}


def _names(connection: duckdb.DuckDBPyConnection, place: str) -> list[str]:
    return [name for name, _ in _columns(connection, place)]


def _columns(connection: duckdb.DuckDBPyConnection, place: str) -> list[tuple[str, bool]]:
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
    held = _parsed(_metadata(connection, place).get(_NAMES, "[]"))
    if isinstance(held, list) and len(held) == len(columns):
        return [(str(name), in_utc) for name, (_, in_utc) in zip(held, columns)]
    return columns


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _usual(column: pd.Series, in_utc: bool) -> pd.Series:
    """The column with the types that pandas gives by itself."""
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


def _with_index(table: pd.DataFrame, metadata: Mapping[str, str]) -> pd.DataFrame:
    """The table with the index that pandas wrote as columns, as its metadata says."""
    about = _parsed(metadata.get("pandas", "{}"))
    listed = about.get("index_columns", []) if isinstance(about, dict) else []
    kept = [c for c in listed if isinstance(c, str) and c in table] if listed else []
    if kept:
        table = table.set_index(kept)
        table.index.names = [None if _UNNAMED_INDEX.fullmatch(c) else c for c in kept]
    return table
