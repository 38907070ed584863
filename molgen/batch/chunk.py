"""One chunk of a batch: draw, deduplicate, filter and describe, as the bytes of a file.

A chunk is decided by the task and its number alone, whoever computes it and whenever. Each molecule
is parsed once; what is dear (descriptors, InChIKey) is computed for those that passed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem

from molgen.base.errors import BatchError
from molgen.base.parallel import one_thread
from molgen.base.parquet import parquet_bytes, read_parquet
from molgen.batch.plan import BLOCK, Task
from molgen.batch.starts import Starts, draws_from
from molgen.chem.fast_descriptors import describe_fast, quick_values
from molgen.chem.fingerprints import fingerprints
from molgen.chem.parsing import parse, quiet_rdkit
from molgen.chem.properties import whole_counts
from molgen.chem.typed_molecules import TypedMol
from molgen.files.provenance_records import Provenance, row_digests
from molgen.filters.fast_filters import refuses
from molgen.filters.filter_sets import FilterSet, as_filter_set

if TYPE_CHECKING:
    import pandas as pd

    from molgen.generation.generator import Generator


META = "molgen_batch_chunk"
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
    begun = [c for c in ("start", "start_name") if c in table]
    table = table[[*lead, *begun, *task.properties, "passed"]]
    hidden = {
        "key": np.array([hash_key(k) for k in keys], dtype=np.uint64),
        "digest": np.array(row_digests(table), dtype=object),
    }
    for name, column in hidden.items():
        table[name] = column
    if task.fingerprints:
        bits = np.packbits(fingerprints(mols, 2, FINGERPRINT_BITS), 1)
        table["fingerprint"] = np.array([row.tobytes() for row in bits], dtype=object)
    meta = {"identity": task.identity, "chunk": number, "counts": counts}
    types = {"fingerprint": "binary"} if task.fingerprints else {}
    return parquet_bytes(table, {META: json.dumps(meta)}, types)


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
    starts = None if task.start is None else Starts.from_dict(task.start)
    for draw, smiles, which in draws(_model(task.model_folder), task, number, counts):
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
        rows.append((smiles, draw, *_start(starts, which), *described.values()))
    begun = _start_columns(starts)
    table = pd.DataFrame(rows, columns=["smiles", "draw", *begun, *task.properties])
    types = {
        "smiles": object,
        "draw": np.int64,
        **dict.fromkeys(begun, object),
        **dict.fromkeys(task.properties, float),
    }
    return mols, whole_counts(table.astype(types)), counts


def _start_columns(starts: Starts | None) -> list[str]:
    """The columns that say what a molecule was started from."""
    if starts is None:
        return []
    return ["start", "start_name"] if starts.names else ["start"]


def _start(starts: Starts | None, which: int) -> tuple[str, ...]:
    if starts is None:
        return ()
    return (starts.texts[which], starts.names[which]) if starts.names else (starts.texts[which],)


def draws(
    model: Generator, task: Task, number: int, counts: dict[str, Any]
) -> Iterator[tuple[int, str, int]]:
    """(place, SMILES, which start) of the draws of a chunk; ``counts`` is brought up to date."""
    blocks = range(number * task.blocks_per_chunk, (number + 1) * task.blocks_per_chunk)
    if task.start is not None:
        starts = Starts.from_dict(task.start)
        yield from draws_from(starts, model, blocks, task.seed, task.temperature, counts)
        return
    for block in blocks:
        smiles, dropped = model.sample_block(block, task.seed, task.temperature)
        counts["drawn"] += len(smiles)
        counts["unreadable"] += len(dropped)
        for draw, text in enumerate(smiles, start=block * BLOCK):
            yield draw, text, -1


def hash_key(text: str) -> int:
    """64 bits of BLAKE2b: among ten million molecules two share them with probability 3e-6."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@lru_cache(maxsize=1)
def _model(folder: str) -> Generator:
    from molgen.generation.generator import load_model

    return load_model(folder)


@lru_cache(maxsize=2)
def _filters(plain: str) -> FilterSet:
    return as_filter_set(json.loads(plain) or [])


# --- The file of a chunk ----------------------------------------------------------------------


def read_chunk(
    source: Path | bytes, task: Task, number: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table of a chunk's file, or of its content, and its counts.

    Raises:
        BatchError: the file is damaged, or belongs to another task or number.
    """
    try:
        table, metadata = read_parquet(source)
        meta = json.loads(metadata[META])
        if meta["identity"] != task.identity or meta["chunk"] != number:
            raise BatchError(f"chunk {number} belongs to another run.")
    except (KeyError, ValueError) as error:
        raise BatchError(f"chunk {number} is damaged: {error}") from error
    return table, meta["counts"]


def draw_again(
    table: pd.DataFrame,
    provenance: Provenance,
    model: Generator,
    rows: Sequence[int],
    max_blocks: int = 2,
) -> tuple[int, list[tuple[int, str]]]:
    """Draw again the blocks of 512 that some rows of a batch came from.

    Args:
        table: as ``load_table`` gives it, with ``smiles`` and ``draw``.
        provenance: its record, of ``run_batch``.
        model: the generator that the record names.
        rows: positions to begin with; every row of their blocks is compared.
        max_blocks: blocks to draw again at most.

    Returns:
        how many rows were compared; and for each that differs its position and what differs.

    Raises:
        ValueError: the table has no column ``draw``, or the record is not of a batch.
    """
    if "draw" not in table.columns or not provenance.function.startswith("run_batch"):
        raise ValueError("Only a table that a batch wrote, with its column draw, is drawn again.")
    draws = table["draw"].astype("int64").to_numpy()
    temperature = float(provenance.arguments.get("temperature", 1.0))
    compared, different = 0, []
    start = provenance.arguments.get("start")
    starts = None if start is None else Starts.from_dict(start)
    size = BLOCK if starts is None else starts.turns * starts.each
    blocks = list(dict.fromkeys(int(draws[row]) // size for row in rows))[:max_blocks]
    for block in blocks:
        with one_thread():
            if starts is None:
                drawn = model.sample_block(block, provenance.seed or 0, temperature)[0]
                smiles = dict(enumerate(drawn, start=block * BLOCK))
            else:
                found, _, _ = starts.block(model, block, provenance.seed or 0, temperature)
                smiles = {place: text for place, text, _ in found}
        for row in (draws // size == block).nonzero()[0].tolist():
            compared += 1
            new = smiles.get(int(draws[row]), "nothing")
            if str(table["smiles"].iloc[row]) != new:
                old = table["smiles"].iloc[row]
                different.append((row, f"draw {int(draws[row])} is {old}, drawn again it is {new}"))
    return compared, different
