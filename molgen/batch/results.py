"""The results of a batch: its molecules as Parquet and CSV, the diverse choice, and the report.

Everything is written a row group at a time, so that memory does not grow with the run (but for the
digests of the rows, 16 characters each). What is written depends on the molecules alone: the same
bytes for any number of workers, size of chunks, or number of interruptions. The times are
therefore in ``run.json``, not in these files.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.base.parquet import GROUP, join_parquet, write_parquet
from molgen.batch.chunk import FINGERPRINT_BITS, HIDDEN
from molgen.batch.plan import Selection
from molgen.chem.diversity import choose_maxmin, choose_spheres
from molgen.files.provenance_records import MOST_LISTED, PackedDigests, Provenance
from molgen.files.tables import sidecar_path
from molgen.report.page import HISTOGRAMS, report

if TYPE_CHECKING:
    import pandas as pd

_DIGEST = 16  # hexadecimal digits, see row_digests
_PARQUET_KEY = "molgen_provenance"
_SHOWN, _COUNTED = 200, 5_000


def in_groups(tables: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The same rows in tables of 65,536, whatever the size of those given."""
    import pandas as pd

    held: list[pd.DataFrame] = []
    n = 0
    for table in tables:
        held.append(table)
        n += len(table)
        while n >= GROUP:
            joined = pd.concat(held, ignore_index=True)
            yield joined.iloc[:GROUP]
            held, n = [joined.iloc[GROUP:]], n - GROUP
    if n:
        yield pd.concat(held, ignore_index=True)


class MoleculeWriter:
    """Writes rows to ``<stem>.parquet`` and ``<stem>.csv``, and the record when all are there.

    The record goes into the Parquet file and holds the digests of all rows: until they are there,
    groups of rows lie in files of their own.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder, self._stem = folder, stem
        self._parts: list[Path] = []
        self._csv: Any = None
        self._digests = bytearray()

    @property
    def names(self) -> tuple[str, str, str]:
        """The files that are written."""
        csv = f"{self._stem}.csv"
        return f"{self._stem}.parquet", csv, sidecar_path(csv).name

    def write(self, table: pd.DataFrame) -> None:
        """Add rows (of a chunk's columns, hidden ones included)."""
        plain = table.drop(columns=[c for c in table.columns if c in HIDDEN])
        first = self._csv is None
        if first:
            self._scratch.mkdir()
            self._csv = (self._folder / self.names[1]).open("w", encoding="utf-8", newline="\n")
        self._parts.append(self._scratch / f"{len(self._parts):06d}.parquet")
        write_parquet(plain, self._parts[-1])
        plain.to_csv(self._csv, index=False, header=first, lineterminator="\n")
        self._digests += "".join(table["digest"]).encode()

    @property
    def _scratch(self) -> Path:
        return self._folder / f"{self._stem}.parts"

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
        self._csv.close()
        join_parquet(self._parts, self._folder / self.names[0], {_PARQUET_KEY: text})
        shutil.rmtree(self._scratch)
        (self._folder / self.names[2]).write_text(text, "utf-8")

    def abandon(self) -> None:
        """Close and clear what is there, after a failure."""
        with contextlib.suppress(OSError):  # the disk that failed fails again
            if self._csv is not None:
                self._csv.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def choose(folder: Path, tables: Iterator[pd.DataFrame], n: int, wish: Selection) -> pd.DataFrame:
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
        raw = b"".join(table["fingerprint"])
        prints[rows] = np.frombuffer(raw, dtype=np.uint8).reshape(-1, width)
        if "score" in table.columns:
            scores[rows] = table["score"].to_numpy()
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


def rows_of(tables: Iterator[pd.DataFrame], rows: np.ndarray) -> pd.DataFrame:
    """The given rows of the molecules of a batch, in the order asked for."""
    import pandas as pd

    ascending = np.argsort(rows, kind="stable")
    sought = rows[ascending]
    found = []
    at = 0
    for table in tables:
        here = sought[np.searchsorted(sought, at) : np.searchsorted(sought, at + len(table))]
        found.append(table.iloc[here - at])
        at += len(table)
    if not found:
        raise ValueError("There are no molecules to take rows from.")
    back = np.empty(len(rows), dtype=np.int64)
    back[ascending] = np.arange(len(rows))
    return pd.concat(found, ignore_index=True).iloc[back].reset_index(drop=True)


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
