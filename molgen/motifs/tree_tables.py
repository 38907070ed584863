"""Motif trees as flat arrays: millions of molecules in a few arrays that can be memory-mapped.

A tree is written node by node (depth-first, as ``motifs.decompose`` gives it), and the nodes of
all molecules stand behind one another. Nothing else is stored: atom graphs are rebuilt from the
motifs when a batch is made.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from rdkit import RDLogger
from tqdm.auto import tqdm

from molgen.chem.parsing import MoleculeError, parse
from molgen.chem.refusals import Refusal
from molgen.motifs.trees import Edge, MotifError, MotifTree, decompose

_CHUNK = 4_000
_ARRAYS = ("offsets", "motif", "parent", "parent_atom", "child_atom", "row")


@dataclass(frozen=True, eq=False)
class TreeTable:
    """The motif trees of ``n`` molecules.

    motifs: motif SMILES; the ``motif`` array indexes it.
    offsets: (n + 1,) int64; molecule ``i`` owns nodes ``offsets[i]:offsets[i + 1]``.
    motif: (n_nodes,) int32.
    parent: (n_nodes,) int16, index within the molecule; -1 at the root.
    parent_atom, child_atom: (n_nodes,) int16, atoms of the parent's and the node's own motif that
        the bond joins; -1 at the root.
    row: (n,) int64, each molecule's row in the input it was read from.
    """

    motifs: tuple[str, ...]
    offsets: np.ndarray
    motif: np.ndarray
    parent: np.ndarray
    parent_atom: np.ndarray
    child_atom: np.ndarray
    row: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> np.ndarray:
        """(n,) int64: motifs a molecule."""
        return np.diff(self.offsets)

    def tree(self, index: int) -> MotifTree:
        """Molecule ``index`` as a MotifTree (without stereo, which the table does not hold)."""
        part = slice(self.offsets[index], self.offsets[index + 1])
        edges = tuple(
            Edge(int(p), int(pa), child, int(ca))
            for child, (p, pa, ca) in enumerate(
                zip(self.parent[part], self.parent_atom[part], self.child_atom[part])
            )
            if p >= 0
        )
        return MotifTree(tuple(self.motifs[m] for m in self.motif[part]), edges)

    def take(self, keep: np.ndarray) -> TreeTable:
        """The molecules whose indices are in ``keep``, in that order."""
        sizes = self.sizes[keep]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        nodes = np.repeat(self.offsets[keep] - offsets[:-1], sizes) + np.arange(offsets[-1])
        return TreeTable(
            self.motifs,
            offsets,
            self.motif[nodes],
            self.parent[nodes],
            self.parent_atom[nodes],
            self.child_atom[nodes],
            self.row[keep],
        )

    def save(self, folder: str | Path) -> None:
        """Write one ``.npy`` file an array and ``motifs.json``; the latter last, as the seal."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            temporary = folder / f".{name}.tmp.npy"
            np.save(temporary, getattr(self, name))
            os.replace(temporary, folder / f"{name}.npy")
        temporary = folder / ".motifs.tmp"
        temporary.write_text(json.dumps(list(self.motifs)), encoding="utf-8")
        os.replace(temporary, folder / "motifs.json")

    @classmethod
    def load(cls, folder: str | Path) -> TreeTable:
        """Read what ``save`` wrote, memory-mapped."""
        folder = Path(folder)
        motifs = tuple(json.loads((folder / "motifs.json").read_text(encoding="utf-8")))
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in _ARRAYS
        }
        return cls(motifs, **arrays)


def build_table(
    smiles: Iterable[str], n_workers: int = 1, progress: bool = False
) -> tuple[TreeTable, list[Refusal], list[Refusal]]:
    """The motif trees of ``smiles``.

    Args:
        smiles: molecules, read once and in order.
        n_workers: processes; the result does not depend on it.
        progress: show a progress bar.

    Returns:
        The table; the molecules that were refused; those of which stereo is left out of the
        table (they are in it, flat).
    """
    numbered = enumerate(smiles)
    chunks = iter(lambda: list(islice(numbered, _CHUNK)), [])
    index_of: dict[str, int] = {}
    parts: list[tuple[np.ndarray, ...]] = []
    refused: list[Refusal] = []
    flattened: list[Refusal] = []
    total = len(smiles) if isinstance(smiles, Sequence) else None
    with tqdm(total=total, unit=" mol", disable=not progress, desc="motif trees") as bar:
        for motifs, arrays, bad, flat in _map(_build_chunk, chunks, n_workers):
            translate = np.array(
                [index_of.setdefault(m, len(index_of)) for m in motifs], dtype=np.int32
            )
            sizes, motif, *rest = arrays
            parts.append((sizes, translate[motif] if len(motif) else motif, *rest))
            refused += bad
            flattened += flat
            bar.update(len(sizes) + len(bad))
    if not parts:
        parts = [_pack([], [])]
    sizes, motif, parent, parent_atom, child_atom, row = (
        np.concatenate(column) for column in zip(*parts)
    )
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    table = TreeTable(tuple(index_of), offsets, motif, parent, parent_atom, child_atom, row)
    return table, refused, flattened


def _map(function, items: Iterator, n_workers: int) -> Iterator:
    if n_workers <= 1:
        yield from map(function, items)
        return
    with multiprocessing.get_context("spawn").Pool(n_workers) as pool:
        yield from pool.imap(function, items)


def _build_chunk(chunk: list[tuple[int, str]]):
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    index_of: dict[str, int] = {}
    trees, rows = [], []
    refused: list[Refusal] = []
    flattened: list[Refusal] = []
    for row, smiles in chunk:
        try:
            mol = parse(smiles)
        except (MoleculeError, TypeError) as error:
            refused.append(Refusal(row, smiles, getattr(error, "reason", "not a text")))
            continue
        try:
            tree = decompose(mol)
        except MotifError as error:
            refused.append(Refusal(row, smiles, str(error)))
            continue
        if tree.centres or tree.double_bonds or tree.dropped:
            what = f"{len(tree.centres)} stereocentres, {len(tree.double_bonds)} double bonds"
            flattened.append(Refusal(row, smiles, "; ".join((what, *tree.dropped))))
        trees.append(tree)
        rows.append(row)
        for smiles_of_motif in tree.motifs:
            index_of.setdefault(smiles_of_motif, len(index_of))
    return list(index_of), _pack(trees, rows, index_of), refused, flattened


def _pack(
    trees: list[MotifTree], rows: list[int], index_of: dict[str, int] | None = None
) -> tuple[np.ndarray, ...]:
    index_of = index_of or {}
    parent, parent_atom, child_atom = [], [], []
    for tree in trees:
        parent.append(-1)
        parent_atom.append(-1)
        child_atom.append(-1)
        for edge in tree.edges:
            parent.append(edge.parent)
            parent_atom.append(edge.parent_atom)
            child_atom.append(edge.child_atom)
    return (
        np.array([len(t) for t in trees], dtype=np.int64),
        np.array([index_of[m] for t in trees for m in t.motifs], dtype=np.int32),
        np.array(parent, dtype=np.int16),
        np.array(parent_atom, dtype=np.int16),
        np.array(child_atom, dtype=np.int16),
        np.array(rows, dtype=np.int64),
    )
