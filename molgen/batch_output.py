"""The results of a batch: its molecules as Parquet and CSV, the diverse choice, and the report.

Everything is written a row group at a time, so that memory does not grow with the run (but for the
digests of the rows, 16 characters each). What is written depends on the molecules alone: the same
bytes for any number of workers, size of chunks, or number of interruptions. The times are
therefore in ``run.json``, not in these files.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.batch_chunk import FINGERPRINT_BITS, HIDDEN
from molgen.batch_plan import Selection
from molgen.batch_selection import choose_maxmin, choose_spheres
from molgen.provenance import Provenance, sidecar_path
from molgen.provenance_records import MOST_LISTED, PackedDigests

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

_GROUP = 65_536
_DIGEST = 16  # hexadecimal digits, see row_digests
_PARQUET_KEY = b"molgen_provenance"
_SHOWN, _COUNTED = 200, 5_000


def in_groups(tables: Iterator[pyarrow.Table]) -> Iterator[pyarrow.Table]:
    """The same rows in tables of 65,536, whatever the size of those given."""
    import pyarrow

    held: list[pyarrow.Table] = []
    n = 0
    for table in tables:
        held.append(table)
        n += len(table)
        while n >= _GROUP:
            joined = pyarrow.concat_tables(held)
            yield joined.slice(0, _GROUP).combine_chunks()
            held, n = [joined.slice(_GROUP)], n - _GROUP
    if n:
        yield pyarrow.concat_tables(held).combine_chunks()


class MoleculeWriter:
    """Writes rows to ``<stem>.parquet`` and ``<stem>.csv``, and the record when all are there."""

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder, self._stem = folder, stem
        self._parquet: Any = None
        self._csv: Any = None
        self._digests = bytearray()

    @property
    def names(self) -> tuple[str, str, str]:
        """The files that are written."""
        csv = f"{self._stem}.csv"
        return f"{self._stem}.parquet", csv, sidecar_path(csv).name

    def write(self, table: pyarrow.Table) -> None:
        """Add rows (of a chunk's columns, hidden ones included)."""
        import pyarrow.parquet as pq

        plain = table.drop_columns([c for c in table.column_names if c in HIDDEN])
        plain = plain.replace_schema_metadata(None)
        first = self._parquet is None
        if first:
            parquet, csv, _ = self.names
            self._parquet = pq.ParquetWriter(
                self._folder / parquet, plain.schema, compression="zstd", store_schema=False
            )
            self._csv = (self._folder / csv).open("w", encoding="utf-8", newline="\n")
        self._parquet.write_table(plain, row_group_size=_GROUP)
        plain.to_pandas().to_csv(self._csv, index=False, header=first, lineterminator="\n")
        self._digests += "".join(table.column("digest").to_pylist()).encode()

    def close(self, provenance: Provenance) -> None:
        """Write the record into the Parquet file and beside the CSV file, and close both."""
        # (n, 16) characters; as millions of texts they would take as much memory as all else
        rows = np.frombuffer(bytes(self._digests), dtype=np.uint8).reshape(-1, _DIGEST)
        held: Sequence[str]
        if len(rows) > MOST_LISTED:
            held = PackedDigests(rows[:, : PackedDigests.WIDTH].tobytes().decode())
        else:
            held = tuple(row.tobytes().decode() for row in rows)
        text = replace(provenance, row_digests=held).to_json()
        self._parquet.add_key_value_metadata({_PARQUET_KEY: text.encode()})
        self._parquet.close()
        self._csv.close()
        (self._folder / self.names[2]).write_text(text, "utf-8")

    def abandon(self) -> None:
        """Close the files as they are, after a failure."""
        for handle in (self._csv, self._parquet):
            with contextlib.suppress(OSError):  # the disk that failed fails again
                if handle is not None:
                    handle.close()
        if self._parquet is not None:
            self._parquet.is_open = False


def choose(folder: Path, tables: Iterator[pyarrow.Table], n: int, wish: Selection) -> pd.DataFrame:
    """The diverse choice among ``n`` molecules of a batch.

    Args:
        folder: for a scratch file of the fingerprints (128 bytes a molecule).
        tables: the molecules of the batch.
        n: how many there are.
        wish: the selection.

    Returns:
        DataFrame with ``row`` (position among the molecules) in the order of choice, and
        ``similarity`` to the most similar one chosen before (nan for the first).
    """
    import pandas as pd

    width = FINGERPRINT_BITS // 8
    path = folder / "fingerprints.tmp"
    prints = np.memmap(path, dtype=np.uint8, mode="w+", shape=(max(n, 1), width))
    scores = np.full(n, np.nan)
    at = 0
    for table in tables:
        rows = slice(at, at + len(table))
        raw = b"".join(table.column("fingerprint").to_pylist())
        prints[rows] = np.frombuffer(raw, dtype=np.uint8).reshape(-1, width)
        if "score" in table.column_names:
            scores[rows] = table.column("score").to_numpy()
        at += len(table)
    order = np.arange(n)
    if not np.isnan(scores).all():
        order = np.argsort(-scores, kind="stable")
        if wish.min_score is not None:
            order = order[scores[order] >= wish.min_score]
    packed = prints.view(np.uint64)
    if wish.method == "maxmin":
        rows_chosen, similarity = choose_maxmin(packed, order, wish.n)
    else:
        rows_chosen, similarity = choose_spheres(packed, order, wish.n, wish.max_similarity)
    del packed, prints
    path.unlink()
    return pd.DataFrame({"row": rows_chosen, "similarity": similarity.astype(float)})


def rows_of(tables: Iterator[pyarrow.Table], rows: np.ndarray) -> pyarrow.Table:
    """The given rows of the molecules of a batch, in the order asked for."""
    import pyarrow

    ascending = np.argsort(rows, kind="stable")
    sought = rows[ascending]
    found = []
    at = 0
    schema = None
    for table in tables:
        here = sought[np.searchsorted(sought, at) : np.searchsorted(sought, at + len(table))]
        found.append(table.take(pyarrow.array(here - at)))
        schema = table.schema
        at += len(table)
    if schema is None:
        raise ValueError("There are no molecules to take rows from.")
    back = np.empty(len(rows), dtype=np.int64)
    back[ascending] = np.arange(len(rows))
    return pyarrow.concat_tables(found).take(pyarrow.array(back))


def funnel(counts: Mapping[str, Any], filters: Sequence[str]) -> list[dict[str, Any]]:
    """What became of the draws, as the steps that a report shows."""
    steps = []
    left = counts["drawn"]
    fallen = [
        ("duplicate", counts["duplicates"]),
        *((name, counts["fell"].get(name, 0)) for name in filters),
        ("known", counts["known"]),
        ("beyond n", counts["surplus"]),
    ]
    for name, fell in fallen:
        steps.append({"filter": name, "entered": left, "fell": fell, "passed": left - fell,
                      "fell_alone": fell})  # fmt: skip
        left -= fell
    return steps


def write_report(
    folder: Path,
    table: pd.DataFrame,
    n: int,
    steps: list[dict[str, Any]],
    provenance: Provenance,
) -> str:
    """``report.html`` on up to 5,000 molecules of the batch; its name."""
    from molgen.report import HISTOGRAMS, report

    table.attrs["funnel"] = [
        {"filter": "not a molecule", "entered": steps[0]["entered"], "fell": 0,
         "passed": steps[0]["entered"], "fell_alone": 0},
        *steps,
    ]  # fmt: skip
    sampled = "" if len(table) == n else f", of which {len(table):,} are shown here"
    shown = [c for c in HISTOGRAMS if c in table.columns]
    report(
        table, folder / "report.html", title=f"Batch of {n:,} molecules{sampled}",
        provenance=provenance, properties=shown, max_structures=_SHOWN,
    )  # fmt: skip
    return "report.html"


def shown_rows(n: int) -> np.ndarray:
    """The rows that the report is on: evenly spaced, at most 5,000."""
    return np.unique(np.linspace(0, n - 1, min(n, _COUNTED)).astype(np.int64))


def counts_text(counts: Mapping[str, Any]) -> str:
    """The counts as JSON, keys in order."""
    return json.dumps(counts, sort_keys=True)
