"""One chunk of a batch: draw, deduplicate, filter and describe, as the bytes of a file.

A chunk is decided by the task and its number alone, whoever computes it and whenever. Each molecule
is parsed once; what is dear (descriptors, InChIKey) is computed for those that passed.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem

from molgen.alert_screen import refuses
from molgen.batch_checks import BatchError
from molgen.batch_plan import BLOCK, Task
from molgen.chem import parse, quiet_rdkit
from molgen.fast_descriptors import describe_fast, quick_values
from molgen.filters import FilterSet, as_filter_set
from molgen.fingerprints import fingerprints
from molgen.mol_types import TypedMol
from molgen.provenance import row_digests

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

    from molgen.generation import Generator

META = b"molgen_batch_chunk"
HIDDEN = ("key", "digest", "fingerprint")
"""Columns of a chunk that do not go into the output."""

FINGERPRINT_BITS = 1024


def compute_chunk(task: Task, number: int) -> bytes:
    """Chunk ``number`` of the task, as the content of a Parquet file.

    Columns: ``smiles``, ``inchikey`` (if asked for), ``draw`` (place in the endless sample of the
    seed), descriptors, ``passed``; and hidden ones: ``key`` (uint64, equal for equal molecules),
    ``digest`` of the row, ``fingerprint``. No molecule occurs twice.
    """
    mols, table, counts = _draw_and_filter(task, number)
    with quiet_rdkit():
        if task.deduplicate == "inchikey":
            table["inchikey"] = [Chem.MolToInchiKey(m) for m in mols]
            # where InChI fails (rare: exotic valences), the SMILES stands in
            keys = [k or s for k, s in zip(table["inchikey"], table["smiles"])]
        else:
            keys = list(table["smiles"])
        first = list(dict(zip(reversed(keys), reversed(range(len(keys))))).values())[::-1]
        counts["duplicates"] += len(keys) - len(first)
        first.sort()
        mols, keys = [mols[i] for i in first], [keys[i] for i in first]
        table = table.iloc[first].reset_index(drop=True)
    table["passed"] = np.ones(len(table), dtype=bool)
    lead = ["smiles", *(["inchikey"] if "inchikey" in table else []), "draw"]
    table = table[[*lead, *task.properties, "passed"]]
    hidden = {
        "key": np.array([hash_key(k) for k in keys], dtype=np.uint64),
        "digest": np.array(row_digests(table), dtype=object),
    }
    for name, column in hidden.items():
        table[name] = column
    bits = np.packbits(fingerprints(mols, 2, FINGERPRINT_BITS), 1) if task.fingerprints else None
    meta = {"identity": task.identity, "chunk": number, "counts": counts}
    return _to_parquet(table, bits, meta)


def _draw_and_filter(
    task: Task, number: int
) -> tuple[list[Chem.Mol], pd.DataFrame, dict[str, Any]]:
    """The molecules that pass, a table of them, and how many fell where."""
    import pandas as pd

    filters = _filters(json.dumps(task.filters))
    names = [f.name for f in filters.filters]
    counts: dict[str, Any] = {
        "drawn": 0, "unreadable": 0, "duplicates": 0, "fell": dict.fromkeys(names, 0),
    }  # fmt: skip
    seen: set[str] = set()
    mols: list[Chem.Mol] = []
    rows: list[tuple[Any, ...]] = []
    for draw, smiles in draws(_model(task.model_folder), task, number, counts):
        if smiles in seen:
            counts["duplicates"] += 1
            continue
        seen.add(smiles)
        molecule = TypedMol(parse(smiles), smiles)
        values = quick_values(molecule, filters.descriptors)
        with quiet_rdkit():
            refused = next((f.name for f in filters.filters if refuses(f, molecule, values)), None)
        if refused is not None:
            counts["fell"][refused] += 1
            continue
        described = describe_fast(molecule, task.properties, values)
        mols.append(molecule.mol)
        rows.append((smiles, draw, *described.values()))
    table = pd.DataFrame(rows, columns=["smiles", "draw", *task.properties])
    types = {"smiles": object, "draw": np.int64, **dict.fromkeys(task.properties, float)}
    return mols, table.astype(types), counts


def draws(
    model: Generator, task: Task, number: int, counts: dict[str, Any]
) -> Iterator[tuple[int, str]]:
    """(place, SMILES) of the draws of a chunk; ``counts`` is brought up to date."""
    for block in range(number * task.blocks_per_chunk, (number + 1) * task.blocks_per_chunk):
        smiles, dropped = model.sample_block(block, task.seed, task.temperature)
        counts["drawn"] += len(smiles)
        counts["unreadable"] += len(dropped)
        yield from enumerate(smiles, start=block * BLOCK)


def hash_key(text: str) -> int:
    """64 bits of BLAKE2b: among ten million molecules two share them with probability 3e-6."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@lru_cache(maxsize=1)
def _model(folder: str) -> Generator:
    from molgen.generation import load_model

    return load_model(folder)


@lru_cache(maxsize=2)
def _filters(plain: str) -> FilterSet:
    return as_filter_set(json.loads(plain) or [])


@contextmanager
def single_thread() -> Iterator[None]:
    """One thread for PyTorch inside the block: sums in another order would draw others."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --- The file of a chunk ----------------------------------------------------------------------


def _to_parquet(table: pd.DataFrame, bits: np.ndarray | None, meta: dict[str, Any]) -> bytes:
    import pyarrow
    import pyarrow.parquet as pq

    arrow = pyarrow.Table.from_pandas(table, schema=_schema(list(table.columns)))
    if bits is not None:
        kind = pyarrow.binary(FINGERPRINT_BITS // 8)
        arrow = arrow.append_column(
            "fingerprint", pyarrow.array([b.tobytes() for b in bits], type=kind)
        )
    arrow = arrow.replace_schema_metadata({META: json.dumps(meta).encode()})
    sink = io.BytesIO()
    pq.write_table(arrow, sink, compression="zstd")
    return sink.getvalue()


def _schema(columns: Sequence[str]) -> pyarrow.Schema:
    """The types of the columns by their names, so that an empty chunk has them too."""
    import pyarrow

    text = ("smiles", "inchikey", "digest")
    special = {"draw": pyarrow.int64(), "passed": pyarrow.bool_(), "key": pyarrow.uint64()}
    kinds = {**dict.fromkeys(text, pyarrow.string()), **special}
    return pyarrow.schema([(c, kinds.get(c, pyarrow.float64())) for c in columns])


def read_chunk(content: bytes, task: Task, number: int) -> tuple[pyarrow.Table, dict[str, Any]]:
    """The table of a chunk's file and its counts.

    Raises:
        BatchError: the file is damaged, or belongs to another task or number.
    """
    import pyarrow
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pyarrow.BufferReader(content))
        meta = json.loads((table.schema.metadata or {})[META])
        if meta["identity"] != task.identity or meta["chunk"] != number:
            raise BatchError(f"chunk {number} belongs to another run.")
    except (pyarrow.ArrowException, OSError, KeyError, ValueError) as error:
        raise BatchError(f"chunk {number} is damaged: {error}") from error
    return table, meta["counts"]
