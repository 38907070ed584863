"""Parquet files of patients and trials, written and read by pyarrow.

The types of pandas (whole numbers with gaps, time zones) are kept in the file as pandas itself
keeps them; levels of categories, of which pandas keeps those of text alone, in metadata of our own.
The same table gives the same bytes.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_GROUP = 65_536  # rows of a row group
_LEVELS = b"trial_sim_levels"


def write_parquet(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table; its index is left out.

    Raises:
        ValueError: columns of one name, or values that fit no column of Parquet.
        OSError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [str(c) for c in table.columns]
    if not names or "" in names or len(set(names)) < len(names):
        raise ValueError(f"columns of a Parquet file have a name each, got {names}")
    frame = table.set_axis(names, axis=1).apply(_plain)
    into = io.BytesIO()
    try:
        arrow = pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)
        held = {**(arrow.schema.metadata or {}), _LEVELS: json.dumps(_levels(frame)).encode()}
        arrow = arrow.replace_schema_metadata(held)
        pq.write_table(arrow, into, compression="zstd", row_group_size=_GROUP)
    except (pa.ArrowException, UnicodeError, TypeError, OverflowError) as error:
        raise ValueError(f"the table cannot be written as Parquet: {_told(error)}") from error
    with Path(path).open("wb") as file:
        file.write(into.getvalue())


def _plain(column: pd.Series) -> pd.Series:
    """The column, values of several kinds (numbers beside text) as their text."""
    import pandas as pd

    if not pd.api.types.is_object_dtype(column.dtype):
        return column
    held = pd.api.types.infer_dtype(column, skipna=True)
    if held in ("mixed", "mixed-integer", "complex", "unknown-array"):
        return column.map(str, na_action="ignore")
    return column.astype(float) if held == "mixed-integer-float" else column


def _levels(table: pd.DataFrame) -> dict[str, Any]:
    """Levels of each categorical column, and whether they are ordered."""
    import pandas as pd

    found = {}
    for name, column in table.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels = column.cat.categories.tolist()
            if all(isinstance(level, str | int | float | bool) for level in levels):
                found[str(name)] = {"levels": levels, "ordered": bool(column.cat.ordered)}
    return found


def read_parquet(path: str | Path, most_cells: int | None = None) -> pd.DataFrame:
    """The table of a Parquet file; an index and types that pandas kept in it come back.

    Raises:
        ValueError: it is not a readable Parquet file, or holds more than ``most_cells`` values.
        OSError: there is no such file, or it cannot be opened.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    with Path(path).open("rb") as stream:  # no such file, a folder, no right to read
        try:
            file = pq.ParquetFile(stream)
            n, width = file.metadata.num_rows, len(file.schema_arrow.names)
            # repeated values cost next to nothing in the file, not in memory
            if most_cells is not None and n * width > most_cells:
                raise ValueError(
                    f"it holds {n:,} rows of {width} columns, and a table of patients may "
                    f"have {most_cells:,} values; keep the columns that the trial needs"
                )
            arrow = file.read(use_threads=False)
        except (pa.ArrowException, OSError, UnicodeError, MemoryError) as error:
            raise ValueError(f"it is not a readable Parquet file: {_told(error)}") from error
    told = _parsed((arrow.schema.metadata or {}).get(_LEVELS, b"{}"))
    try:
        table = arrow.to_pandas()
    except (pa.ArrowException, AttributeError, KeyError, TypeError, ValueError):
        table = arrow.replace_schema_metadata(None).to_pandas()  # it speaks of other values
    for name in set(told) & set(table):
        try:
            kind = pd.CategoricalDtype(told[name]["levels"], told[name]["ordered"])
            table[name] = table[name].astype(kind)
        except (KeyError, TypeError, ValueError):
            continue
    return table


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _told(error: Any) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
