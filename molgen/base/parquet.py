"""Parquet files, written and read by pyarrow: the one place of the package that does.

The same table gives the same bytes. Whole numbers and truth values come back as pandas has them
without extension types: with gaps they are floats and objects.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from molgen.base.errors import MolgenError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

GROUP = 65_536
"""Rows of a row group."""

_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")


class ParquetError(MolgenError):
    """A file that is no readable Parquet, or a table that has no place in one."""


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
        types: Arrow's type of columns whose values may all be missing, and are not text.

    Raises:
        ParquetError: columns of one name, or values that fit no column of Parquet.
        OSError: the file cannot be written.
    """
    content = parquet_bytes(table, metadata, types)
    with Path(path).open("wb") as file:
        file.write(content)


def parquet_bytes(
    table: pd.DataFrame,
    metadata: Mapping[str, str] | None = None,
    types: Mapping[str, str] | None = None,
) -> bytes:
    """The content of the file that :func:`write_parquet` would write."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [str(c) for c in table.columns]
    if not names or "" in names or len(set(names)) < len(names):
        raise ParquetError(f"Columns of a Parquet file have a name each, got {names}.")
    into = io.BytesIO()
    wished = types or {}
    try:
        columns = [
            pa.array(plain_values(table.iloc[:, i]), wished.get(name), from_pandas=True)
            for i, name in enumerate(names)
        ]
        arrow = pa.table(columns, names=names, metadata=dict(metadata or {}))
        pq.write_table(arrow, into, compression="zstd", row_group_size=GROUP)
    except (pa.ArrowException, UnicodeError, TypeError, ValueError, OverflowError) as error:
        raise ParquetError(f"The table cannot be written as Parquet: {_told(error)}.") from error
    return into.getvalue()


def join_parquet(
    parts: Sequence[Path], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write the rows of files of equal columns as one file, in memory that does not grow with them.

    Raises:
        ParquetError: a part cannot be read.
        OSError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with opened_parquet(parts[0]) as first:
        schema = first.schema_arrow.with_metadata(dict(metadata or {}))
    with (
        Path(path).open("wb") as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        held = schema.empty_table()
        for more in _row_groups(parts):
            held = pa.concat_tables([held, more.cast(schema)])
            while held.num_rows >= GROUP:
                writer.write_table(held.slice(0, GROUP), row_group_size=GROUP)
                held = held.slice(GROUP).combine_chunks()
        if held.num_rows:
            writer.write_table(held.combine_chunks(), row_group_size=GROUP)


def _row_groups(paths: Sequence[Path]) -> Iterator[pa.Table]:
    for path in paths:
        with opened_parquet(path) as file:
            for i in range(file.num_row_groups):
                yield file.read_row_group(i)


def plain_values(column: pd.Series) -> Any:
    """The values of a column as an array whose type is that of all values, not of a sample.

    Numbers stay numbers, text stays text; what has no place in Parquet becomes its text.
    """
    import numpy as np
    import pandas as pd

    kind = column.dtype
    if isinstance(kind, np.dtype) and kind.kind in "biufmM":
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
    source: str | Path | bytes, columns: Sequence[str] | None = None, nullable: bool = False
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table of a Parquet file, and its key-value metadata.

    Args:
        source: a file, or the content of one.
        columns: which to read; by default all, and an index that pandas kept becomes one again.
        nullable: whole numbers with gaps stay whole (pandas' ``Int64``).

    Raises:
        ParquetError: it is not a readable Parquet file.
        OSError: there is no such file, or it cannot be opened.
    """
    import pandas as pd
    import pyarrow as pa

    with opened_parquet(source) as file:
        found = file.schema_arrow.metadata or {}
        metadata = {
            key.decode("utf-8", "replace"): value.decode("utf-8", "replace")
            for key, value in found.items()
        }
        wanted = file.schema_arrow.names if columns is None else list(columns)
        arrow = file.read(wanted, use_threads=False).select(wanted)
        table = arrow.to_pandas(ignore_metadata=True)
        if nullable:
            for name in wanted:
                column = arrow.column(name)
                if column.null_count and pa.types.is_integer(column.type):
                    table[name] = pd.array(column.to_pylist(), dtype="Int64")
    return (table if columns is not None else _with_index(table, metadata)), metadata


def parquet_columns(source: str | Path | bytes) -> list[str]:
    """The names of a file's columns; raises as :func:`read_parquet`."""
    with opened_parquet(source) as file:
        return list(file.schema_arrow.names)


def parquet_rows(
    source: str | Path | bytes, columns: Sequence[str], n: int = 50_000
) -> Iterator[list[tuple[Any, ...]]]:
    """Rows as Python's own values, None for a gap, ``n`` at a time and never all at once.

    Raises as :func:`read_parquet`.
    """
    with opened_parquet(source) as file:
        for batch in file.iter_batches(n, columns=list(columns), use_threads=False):
            yield list(zip(*(batch.column(name).to_pylist() for name in columns)))


@contextmanager
def opened_parquet(source: str | Path | bytes) -> Iterator[pq.ParquetFile]:
    """A Parquet file, open; what pyarrow says of a damaged one becomes :class:`ParquetError`.

    Raises:
        OSError: there is no such file, or it cannot be opened.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # opened here: a folder, no such file and no right to read are told as of any file
    stream: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")  # noqa: SIM115
    with stream:
        try:
            yield pq.ParquetFile(stream)
        except (pa.ArrowException, OSError, UnicodeError, ValueError, MemoryError) as error:
            if isinstance(error, ParquetError):
                raise
            raise ParquetError(_told(error)) from error


def _told(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _with_index(table: pd.DataFrame, metadata: Mapping[str, str]) -> pd.DataFrame:
    """The table with the index that pandas wrote as columns, as its metadata says."""
    try:
        about = json.loads(metadata.get("pandas", "{}"))
    except ValueError:
        about = None
    listed = about.get("index_columns", []) if isinstance(about, dict) else []
    kept = [c for c in listed if isinstance(c, str) and c in table] if listed else []
    if kept:
        table = table.set_index(kept)
        table.index.names = [None if _UNNAMED_INDEX.fullmatch(c) else c for c in kept]
    return table
