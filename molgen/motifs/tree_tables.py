"""Motif trees as flat arrays: millions of molecules in a few arrays that can be memory-mapped.

A tree is written node by node (depth-first, as ``motifs.decompose`` gives it), and the nodes of
all molecules stand behind one another. Nothing else is stored: atom graphs are rebuilt from the
motifs when a batch is made.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path

import numpy as np
from rdkit import Chem, RDLogger
from tqdm.auto import tqdm

from molgen.base.output_places import replacing, write_text
from molgen.chem.parsing import MoleculeError, parse
from molgen.chem.refusals import Refusal
from molgen.motifs.stereo import Place, dropped_stereo, find_places, flatten, has_marks, read_states
from molgen.motifs.trees import Edge, MotifError, MotifTree, decompose, locate, motif, output_order

_CHUNK = 4_000
_ARRAYS = ("offsets", "motif", "parent", "parent_atom", "child_atom", "row")
_MOST_NEIGHBOURS = 4


@dataclass(frozen=True, eq=False)
class StereoPlaces:
    """The atoms and double bonds of ``n`` molecules that can carry stereo, and their states.

    Atoms are numbered through a molecule's motifs, in the order of its nodes.

    offsets: (n + 1,) int64; molecule ``i`` owns places ``offsets[i]:offsets[i + 1]``.
    atom: (m, 2) int16, a centre and -1, or the ends of a double bond.
    reference: (m, 4) int16, the neighbours that the state refers to, padded with -1.
    state: (m,) int8, 0 unspecified, 1 or 2 (see ``molgen.motifs.stereo``).
    """

    offsets: np.ndarray
    atom: np.ndarray
    reference: np.ndarray
    state: np.ndarray

    def take(self, keep: np.ndarray) -> StereoPlaces:
        """Those of the molecules whose indices are in ``keep``, in that order."""
        offsets, rows = _rows_of(self.offsets, keep)
        return StereoPlaces(offsets, self.atom[rows], self.reference[rows], self.state[rows])


_STEREO_ARRAYS = tuple(f"stereo_{f.name}" for f in fields(StereoPlaces))


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
    stereo: what can carry stereo, and its states; None for a table of flat molecules.
    """

    motifs: tuple[str, ...]
    offsets: np.ndarray
    motif: np.ndarray
    parent: np.ndarray
    parent_atom: np.ndarray
    child_atom: np.ndarray
    row: np.ndarray
    stereo: StereoPlaces | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> np.ndarray:
        """(n,) int64: motifs a molecule."""
        return np.diff(self.offsets)

    def tree(self, index: int) -> MotifTree:
        """Molecule ``index`` as a MotifTree, flat."""
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
        offsets, nodes = _rows_of(self.offsets, keep)
        return TreeTable(
            self.motifs,
            offsets,
            self.motif[nodes],
            self.parent[nodes],
            self.parent_atom[nodes],
            self.child_atom[nodes],
            self.row[keep],
            None if self.stereo is None else self.stereo.take(keep),
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if self.stereo is not None:
            arrays |= {f"stereo_{name}": array for name, array in vars(self.stereo).items()}
        return arrays

    def save(self, folder: str | Path) -> None:
        """Write one ``.npy`` file an array and ``motifs.json``; the latter last, as the seal."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in self._arrays().items():
            with replacing(folder / f"{name}.npy") as made:
                np.save(made, array)
        write_text(folder / "motifs.json", json.dumps(list(self.motifs)))

    @classmethod
    def load(cls, folder: str | Path) -> TreeTable:
        """Read what ``save`` wrote, memory-mapped."""
        folder = Path(folder)
        motifs = tuple(json.loads((folder / "motifs.json").read_text(encoding="utf-8")))
        held = (folder / f"{_STEREO_ARRAYS[0]}.npy").is_file()
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in (*_ARRAYS, *(_STEREO_ARRAYS if held else ()))
        }
        stereo = StereoPlaces(*(arrays.pop(name) for name in _STEREO_ARRAYS)) if held else None
        return cls(motifs, **arrays, stereo=stereo)


def build_table(
    smiles: Iterable[str], n_jobs: int = 1, progress: bool = False, stereo: bool = False
) -> tuple[TreeTable, list[Refusal], list[Refusal]]:
    """The motif trees of ``smiles``.

    Args:
        smiles: molecules, read once and in order.
        n_jobs: processes; the result does not depend on it.
        progress: show a progress bar.
        stereo: whether the table holds stereo; trees are those of the flat molecules then.

    Returns:
        The table; the molecules that were refused; those of which stereo is left out of the
        table (they are in it without).
    """
    numbered = enumerate(smiles)
    chunks = iter(lambda: list(islice(numbered, _CHUNK)), [])
    parts: list[TreeTable] = []
    refused: list[Refusal] = []
    flattened: list[Refusal] = []
    total = len(smiles) if isinstance(smiles, Sequence) else None
    build = _build_stereo_chunk if stereo else _build_chunk
    with tqdm(total=total, unit=" mol", disable=not progress, desc="motif trees") as bar:
        for table, bad, flat in _map(build, chunks, n_jobs):
            parts.append(table)
            refused += bad
            flattened += flat
            bar.update(len(table) + len(bad))
    return join_tables(parts or [pack_trees([], [], [] if stereo else None)]), refused, flattened


def join_tables(parts: Sequence[TreeTable]) -> TreeTable:
    """Tables one behind the other as one; motifs are numbered as they first appear."""
    index_of: dict[str, int] = {}
    motif_of = []
    for part in parts:
        translate = [index_of.setdefault(m, len(index_of)) for m in part.motifs]
        motif_of.append(np.array(translate, dtype=np.int32)[part.motif.astype(np.int64)])

    def one(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    stereo = [part.stereo for part in parts if part.stereo is not None]
    together = None
    if len(stereo) == len(parts):
        together = StereoPlaces(
            _offsets([np.diff(places.offsets) for places in stereo]),
            np.concatenate([places.atom for places in stereo]),
            np.concatenate([places.reference for places in stereo]),
            np.concatenate([places.state for places in stereo]),
        )
    return TreeTable(
        motifs=tuple(index_of),
        offsets=_offsets([part.sizes for part in parts]),
        motif=np.concatenate(motif_of),
        parent=one("parent"),
        parent_atom=one("parent_atom"),
        child_atom=one("child_atom"),
        row=one("row"),
        stereo=together,
    )


def _rows_of(offsets: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and rows of the molecules ``keep``, of arrays in which molecule i owns the rows
    ``offsets[i]:offsets[i + 1]``."""
    sizes = np.diff(offsets)[keep]
    kept = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return kept, np.repeat(offsets[keep] - kept[:-1], sizes) + np.arange(kept[-1])


def _offsets(sizes: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64)


def _map(function, items: Iterator, n_jobs: int) -> Iterator:
    if n_jobs <= 1:
        yield from map(function, items)
        return
    with multiprocessing.get_context("spawn").Pool(n_jobs) as pool:
        yield from pool.imap(function, items)


_Chunk = tuple[TreeTable, list[Refusal], list[Refusal]]


def _build_chunk(chunk: list[tuple[int, str]]) -> _Chunk:
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
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
    return pack_trees(trees, rows), refused, flattened


def _build_stereo_chunk(chunk: list[tuple[int, str]]) -> _Chunk:
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    trees, rows, places = [], [], []
    refused: list[Refusal] = []
    flattened: list[Refusal] = []
    for row, smiles in chunk:
        mol = Chem.MolFromSmiles(smiles) if smiles else None
        if mol is None:
            refused.append(Refusal(row, smiles, "RDKit cannot read it"))
            continue
        try:
            parts = stereo_parts(mol, smiles)
        except MotifError as error:
            refused.append(Refusal(row, smiles, str(error)))
            continue
        dropped = dropped_stereo(mol)
        if dropped:
            flattened.append(Refusal(row, smiles, "; ".join(dropped)))
        trees.append(parts.tree)
        rows.append(row)
        places.append(parts.numbered_places())
    return pack_trees(trees, rows, places), refused, flattened


@dataclass(frozen=True, eq=False)
class StereoParts:
    """A molecule as a flat one with its motif tree, and places with states.

    flat, places: numbered alike. number: of each atom of ``flat``, counted through the motifs.
    """

    flat: Chem.Mol
    tree: MotifTree
    places: list[Place]
    number: list[int]

    def numbered_places(self) -> list[Place]:
        """The places, numbered through the motifs."""
        number = self.number
        return [
            Place(
                number[p.begin],
                number[p.end] if p.end >= 0 else -1,
                tuple(number[a] for a in p.reference),
                p.state,
            )
            for p in self.places
        ]


def stereo_parts(mol: Chem.Mol, smiles: str = "") -> StereoParts:
    """The flat molecule, motif tree and places of ``mol``.

    The same for every order of the atoms: equals are told apart by the canonical SMILES.
    ``smiles`` saves a reading where ``mol`` was read from it and it is canonical.
    """
    text = Chem.MolToSmiles(mol)
    if text != smiles:
        mol = Chem.MolFromSmiles(text) or mol
    flat = flatten(mol) if has_marks(text) else mol
    tree, where = locate(flat)
    position = [0] * flat.GetNumAtoms()
    for number, atom in enumerate(output_order(flat)):
        position[atom] = number
    places = read_states(mol, find_places(flat, position))
    return StereoParts(flat, tree, places, atom_numbers(tree, where))


def atom_numbers(tree: MotifTree, where: Sequence[tuple[int, int]]) -> list[int]:
    """Atoms (node, atom) as numbers, counted through the motifs of ``tree``."""
    start = [0]
    for name in tree.motifs:
        start.append(start[-1] + len(motif(name).hydrogens))
    return [start[node] + atom for node, atom in where]


def pack_trees(
    trees: list[MotifTree], rows: list[int], places: list[list[Place]] | None = None
) -> TreeTable:
    """A table of ``trees``, their rows in the input, and their places numbered through motifs."""
    index_of: dict[str, int] = {}
    motif_of, parent, parent_atom, child_atom = [], [], [], []
    for tree in trees:
        motif_of += [index_of.setdefault(m, len(index_of)) for m in tree.motifs]
        parent.append(-1)
        parent_atom.append(-1)
        child_atom.append(-1)
        for edge in tree.edges:
            parent.append(edge.parent)
            parent_atom.append(edge.parent_atom)
            child_atom.append(edge.child_atom)
    return TreeTable(
        tuple(index_of),
        _offsets([np.array([len(t) for t in trees], dtype=np.int64)]),
        np.array(motif_of, dtype=np.int32),
        np.array(parent, dtype=np.int16),
        np.array(parent_atom, dtype=np.int16),
        np.array(child_atom, dtype=np.int16),
        np.array(rows, dtype=np.int64),
        None if places is None else _pack_places(places),
    )


def _pack_places(places: list[list[Place]]) -> StereoPlaces:
    flat = [place for found in places for place in found]
    reference = np.full((len(flat), _MOST_NEIGHBOURS), -1, dtype=np.int16)
    for number, place in enumerate(flat):
        reference[number, : len(place.reference)] = place.reference
    return StereoPlaces(
        _offsets([np.array([len(found) for found in places], dtype=np.int64)]),
        np.array([(p.begin, p.end) for p in flat], dtype=np.int16).reshape(-1, 2),
        reference,
        np.array([p.state for p in flat], dtype=np.int8),
    )
