"""Keys of known molecules, computed once a file and kept in the work folder.

Known and new molecules are compared as compounds (``molgen.chem.identity``): their parents, and
without stereo where the model writes none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from molgen.base.errors import BatchError
from molgen.base.parallel import map_chunks
from molgen.base.parquet import ParquetError, parquet_bytes, parquet_columns, parquet_rows
from molgen.base.whole_files import hash_file
from molgen.batch.chunk import hash_key
from molgen.batch.folder import BatchFolder
from molgen.chem.identity import compound_keys, cut_inchikey
from molgen.chem.parsing import SMILES_COLUMNS, STRUCTURE_COLUMNS
from molgen.files.datasets import hash_smiles, load_dataset
from molgen.files.molecule_files import read_molecules

if TYPE_CHECKING:
    import pandas as pd

_PIECE = 50_000


def known_hash(name: str) -> str:
    """SHA-256 of a known set's content: of the file, or of the data set's SMILES.

    Raises:
        BatchError: no such file or data set.
    """
    if name == "moses":
        return hash_smiles(_moses())
    try:
        return hash_file(name)
    except OSError as error:
        raise BatchError(f"Cannot read the known set {name}: {error.strerror}.") from error


def known_keys(
    folder: BatchFolder,
    names: Sequence[str],
    hashes: Sequence[str],
    n_jobs: int,
    progress: bool,
    stereo: bool = True,
) -> list[Path]:
    """Parquet files with the keys of each known set; those that are there are not made again.

    Raises:
        BatchError: a set cannot be read, or holds no molecule.
    """
    import pandas as pd

    store = folder.work / "known"
    store.mkdir(exist_ok=True)
    paths = []
    for name, digest in zip(names, hashes):
        path = store / f"{digest}.{'stereo' if stereo else 'flat'}.parquet"
        paths.append(path)
        if path.is_file():
            continue
        bar = f"known {Path(name).name}" if progress else None
        keys: list[np.ndarray] = []
        for piece in _pieces(name):
            found = map_chunks(_keys, piece, (stereo,), n_jobs=max(n_jobs, 1), progress=bar)
            keys.append(np.array([k for k in found if k is not None], dtype=np.uint64))
        unique = np.unique(np.concatenate(keys)) if keys else np.zeros(0, np.uint64)
        if not len(unique):
            raise BatchError(f"The known set {name} holds no molecule that can be read.")
        folder.write(path, parquet_bytes(pd.DataFrame({"key": unique})))
    return paths


def _pieces(name: str) -> Iterator[Sequence[str]]:
    """The SMILES of a known set, a piece at a time; Parquet files are never read whole."""
    if name.lower().endswith((".parquet", ".pq")):
        yield from _parquet_pieces(name)
        return
    try:
        smiles = _moses() if name == "moses" else read_molecules(name).smiles
    except ValueError as error:
        raise BatchError(f"known: {error}") from error
    for start in range(0, len(smiles), _PIECE):
        yield smiles[start : start + _PIECE]


def _parquet_pieces(name: str) -> Iterator[Sequence[str]]:
    """SMILES, or InChIKeys where the file has a column of them (ten thousand times as fast)."""
    try:
        columns = {c.lower(): c for c in parquet_columns(name)}
        wanted = next(
            (columns[c] for c in ("inchikey", *SMILES_COLUMNS, *STRUCTURE_COLUMNS) if c in columns),
            None,
        )
        if wanted is None:
            raise BatchError(f"known: {name} has neither a column inchikey nor one of SMILES.")
        for piece in parquet_rows(name, [wanted], _PIECE):
            yield [v for (v,) in piece if isinstance(v, str)]
    except (ParquetError, OSError) as error:
        raise BatchError(f"known: {name} is not a readable Parquet file: {error}.") from error


def _moses() -> list[str]:
    try:
        return load_dataset("moses", split="train")
    except (OSError, ValueError) as error:
        raise BatchError(f"known: the MOSES training set cannot be loaded: {error}") from error


def _keys(texts: Sequence[str], stereo: bool) -> list[int | None]:
    """The key of each SMILES or InChIKey; None for what is neither."""
    found = [
        cut_inchikey(text, stereo) if _is_inchikey(text) else compound_keys([text], stereo)[0]
        for text in texts
    ]
    return [None if key is None else hash_key(key) for key in found]


def _is_inchikey(text: str) -> bool:
    return len(text) == 27 and text[14] == "-" == text[25] and text.isupper()


def keys_of_drawn(table: pd.DataFrame, stereo: bool) -> np.ndarray:
    """(m,) uint64 by which the molecules of a chunk are looked for among the known.

    table: with ``smiles`` and ``inchikey``, which is empty where InChI fails.
    """
    keys = [
        cut_inchikey(key, stereo) if key else compound_keys([smiles], stereo)[0] or ""
        for smiles, key in zip(table["smiles"], table["inchikey"])
    ]
    return np.array([hash_key(key) for key in keys], dtype=np.uint64)
