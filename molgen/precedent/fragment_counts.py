"""How often each group, linker and core occurs in many molecules, and on what it hung.

First every molecule is cut (``cut_chunk``), in chunks that are kept as files, so that a long run
can be stopped and go on; then the parts are counted, the rare ones are left out, and the others
are written as SMILES (``count_parts``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase

from molgen.motifs.trees import MotifError, output_order
from molgen.precedent.fragment_cuts import MOST_MARKS, RADII, contexts_of, cut_everywhere, read_flat

_MOST_ATOMS_READ = 120


def cut_chunk(smiles: Sequence[str]) -> dict[str, np.ndarray]:
    """The parts of many molecules as arrays.

    Returns: by edge: ``molecule`` (e,) its row, ``bond`` (e, 2) outer and inner atom, ``context``
    (e, 4) hashes of the surroundings; by part with k marks: ``key_k`` (n,) and ``edges_k`` (n, k);
    ``refused``: rows that could not be cut.
    """
    molecule: list[int] = []
    bonds: list[tuple[int, int]] = []
    mols: list[Chem.Mol] = []
    cut_at: list[list[tuple[int, int]]] = []
    keys: dict[int, list[int]] = {k: [] for k in range(1, MOST_MARKS + 1)}
    edges: dict[int, list[tuple[int, ...]]] = {k: [] for k in range(1, MOST_MARKS + 1)}
    refused = []
    for row, text in enumerate(smiles):
        mol = read_flat(text)
        if mol is None or not 0 < mol.GetNumAtoms() <= _MOST_ATOMS_READ:
            refused.append(row)
            continue
        try:
            cuts = cut_everywhere(mol)
        except MotifError:
            refused.append(row)
            continue
        first = len(bonds)
        bonds += cuts.bonds
        mols.append(mol)
        cut_at.append(cuts.bonds)
        molecule += [row] * len(cuts.bonds)
        for key, part_edges in cuts.parts:
            keys[len(part_edges)].append(key)
            edges[len(part_edges)].append(tuple([first + e for e in part_edges]))
    arrays: dict[str, np.ndarray] = {
        "molecule": np.array(molecule, np.uint32),
        "bond": np.array(bonds, np.uint8).reshape(-1, 2),
        "context": contexts_of(mols, cut_at),
        "refused": np.array(refused, np.uint32),
    }
    for k in keys:
        arrays[f"key_{k}"] = np.array(keys[k], np.int64)
        arrays[f"edges_{k}"] = np.array(edges[k], np.uint32).reshape(-1, k)
    return arrays


# --- counting -------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Section:
    """All parts with ``k`` marks that were common enough, the commonest first.

    text: SMILES of each, marks as ``*``; mark ``j`` is the ``j``-th of the text.
    count: (n,) occurrences. atoms, rings, rotors: (n,) of the part alone; ``rotors`` counts the
        bonds at the marks. bare: (n,) one ring system and nothing else.
    length: (n, k (k - 1) / 2) bonds between what hangs on two marks, in the order (0, 1), (0, 2),
        (1, 2), ...; a direct bond has 1.
    same: (n, k) the first mark that each mark is equivalent to.
    contexts: by radius, sorted hashes (c,), their totals (c,), offsets (c + 1,) into the rows:
        site (number of the part times k, plus the mark) and count.
    """

    k: int
    text: list[str]
    count: np.ndarray
    atoms: np.ndarray
    rings: np.ndarray
    rotors: np.ndarray
    bare: np.ndarray
    length: np.ndarray
    same: np.ndarray
    contexts: list[Contexts]


@dataclass(frozen=True, eq=False)
class Contexts:
    """For each context of one radius the parts that hung on it; see ``Section``."""

    code: np.ndarray
    total: np.ndarray
    offset: np.ndarray
    site: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class Least:
    """What is too rare to be kept: molecules a part, and occurrences a context at radius 0 to 3."""

    molecules: int = 3
    at_context: tuple[int, int, int, int] = (1, 1, 2, 2)


class _Chunks:
    """The chunks of ``cut_chunk``, one kind of array at a time; ``left_out`` rows are skipped."""

    def __init__(self, files: Sequence[Path], first_row: Sequence[int], left_out: Iterable[int]):
        self.files, self.first_row = files, first_row
        self.left_out = np.array(sorted(left_out), np.uint32)
        self.first_edge = np.zeros(len(files) + 1, np.int64)
        molecules = []
        for i, file in enumerate(files):
            with np.load(file) as arrays:
                molecules.append(arrays["molecule"] + np.uint32(first_row[i]))
            self.first_edge[i + 1] = self.first_edge[i] + len(molecules[-1])
        self.molecule = np.concatenate(molecules)

    def edges(self, name: str) -> np.ndarray:
        """``bond`` or ``context`` of all edges."""
        parts = []
        for file in self.files:
            with np.load(file) as arrays:
                parts.append(arrays[name])
        return np.concatenate(parts)

    def parts(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys (n,) and edges (n, k) of all parts with ``k`` marks."""
        keys, edges = [], []
        for i, file in enumerate(self.files):
            with np.load(file) as arrays:
                key, edge = arrays[f"key_{k}"], arrays[f"edges_{k}"].astype(np.int64)
            edge += self.first_edge[i]
            if len(self.left_out):
                kept = ~np.isin(self.molecule[edge[:, 0]], self.left_out)
                key, edge = key[kept], edge[kept]
            keys.append(key)
            edges.append(edge)
        return np.concatenate(keys), np.concatenate(edges)


def count_parts(
    files: Sequence[Path],
    first_row: Sequence[int],
    smiles: Sequence[str],
    left_out: Iterable[int] = (),
    least: Least = Least(),
) -> list[Section]:
    """Count the parts that ``cut_chunk`` found; rows of ``smiles`` in ``left_out`` do not count.

    files: chunks written with ``numpy.savez``; chunk ``i`` begins at row ``first_row[i]``.
    """
    chunks = _Chunks(files, first_row, left_out)
    bonds, contexts = chunks.edges("bond"), chunks.edges("context")
    return [
        _count_section(k, chunks, bonds, contexts, smiles, least) for k in range(1, MOST_MARKS + 1)
    ]


def _count_section(
    k: int,
    chunks: _Chunks,
    bonds: np.ndarray,
    contexts: np.ndarray,
    smiles: Sequence[str],
    least: Least,
) -> Section:
    key, edges = chunks.parts(k)
    names, first, number = np.unique(key, return_index=True, return_inverse=True)
    rows = chunks.molecule[edges[:, 0]] if len(edges) else np.zeros(0, np.uint32)
    n_molecules = _distinct(number, rows, len(names))
    kept = np.flatnonzero(n_molecules >= least.molecules)
    written = _write_parts(k, kept, edges[first[kept]], chunks, bonds, smiles)
    figures_of = {text: figures for text, _, figures in written.values()}
    texts = sorted(figures_of)
    place = {text: i for i, text in enumerate(texts)}
    part_of = np.full(len(names), -1, np.int64)
    mark_of = np.zeros((len(names), k), np.int64)
    for name, (text, order, _) in written.items():
        part_of[name], mark_of[name] = place[text], order
    known = part_of[number] >= 0
    number, edges = number[known], edges[known]
    count = np.bincount(part_of[number], minlength=len(texts))
    rank = np.argsort(-count, kind="stable")
    new = np.empty_like(rank)
    new[rank] = np.arange(len(rank))
    texts = [texts[i] for i in rank]
    described = [figures_of[text] for text in texts]
    same = np.array([d.same for d in described], np.uint8).reshape(-1, k)
    part = new[part_of[number]]
    site = np.stack([part * k + same[part, mark_of[number, j]] for j in range(k)], axis=1)
    by_radius = [
        _count_contexts(contexts[:, r][edges].ravel(), site.ravel(), least.at_context[i])
        for i, r in enumerate(RADII)
    ]
    columns = {
        name: np.array([getattr(d, name) for d in described], np.uint8)
        for name in ("atoms", "rings", "rotors", "bare")
    }
    length = np.array([d.length for d in described], np.uint8).reshape(len(texts), k * (k - 1) // 2)
    return Section(k, texts, count[rank], **columns, length=length, same=same, contexts=by_radius)


def _distinct(number: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """Different rows of each number, (n,)."""
    pairs = np.unique((number.astype(np.uint64) << np.uint64(32)) | rows.astype(np.uint64))
    return np.bincount((pairs >> np.uint64(32)).astype(np.int64), minlength=n)


def _count_contexts(context: np.ndarray, site: np.ndarray, least: int) -> Contexts:
    codes, total = np.unique(context, return_counts=True)
    pair = (context.astype(np.uint64) << np.uint64(32)) | site.astype(np.uint64)
    pairs, count = np.unique(pair, return_counts=True)
    kept = count >= least
    pairs, count = pairs[kept], count[kept]
    of = (pairs >> np.uint64(32)).astype(np.uint32)
    held, start = np.unique(of, return_index=True)
    total = total[np.searchsorted(codes, held)]
    return Contexts(
        held,
        total.astype(np.uint32),
        np.append(start, len(of)).astype(np.int64),
        (pairs & np.uint64(0xFFFFFFFF)).astype(np.uint32),
        count.astype(np.uint32),
    )


# --- writing --------------------------------------------------------------------------------------
def _write_parts(
    k: int,
    names: np.ndarray,
    edges: np.ndarray,
    chunks: _Chunks,
    bonds: np.ndarray,
    smiles: Sequence[str],
) -> dict[int, tuple[str, list[int], PartFigures]]:
    """What ``write_part`` says of each part, cut from one molecule that has it."""
    written = {}
    rows = chunks.molecule[edges[:, 0]] if len(edges) else np.zeros(0, np.uint32)
    row, mol = -1, None
    for i in np.argsort(rows, kind="stable"):
        if rows[i] != row:
            row = int(rows[i])
            mol = read_flat(smiles[row])
        assert mol is not None  # it was cut before
        pairs = [(int(a), int(b)) for a, b in bonds[edges[i]]]
        part = write_part(mol, pairs)
        if part is not None:
            written[int(names[i])] = part
    return written


def write_part(
    mol: Chem.Mol, pairs: Sequence[tuple[int, int]]
) -> tuple[str, list[int], PartFigures] | None:
    """The part of ``mol`` inside the (outer, inner) bonds, with a ``*`` for each outer atom.

    Returns its canonical SMILES, which ``*`` of the text stands for each bond, and its figures;
    None where RDKit cannot read what it wrote.
    """
    if len(pairs) == 2 and pairs[0] == pairs[1][::-1]:
        return "**", [0, 1], PartFigures(0, 0, 1, 0, (1,), (0, 0))
    numbers, labels = [], []
    for i, (outer, inner) in enumerate(pairs, 1):
        bond = mol.GetBondBetweenAtoms(outer, inner)
        numbers.append(bond.GetIdx())
        # FragmentOnBonds gives the first label to the dummy that replaces the bond's first atom
        labels.append((i, 0) if bond.GetBeginAtomIdx() == outer else (0, i))
    cut = Chem.FragmentOnBonds(mol, numbers, dummyLabels=labels)
    where: list[tuple[int, ...]] = []
    pieces = Chem.GetMolFrags(cut, asMols=True, sanitizeFrags=False, fragsMolAtomMapping=where)
    inner = pairs[0][1]
    piece = next(p for p, atoms in zip(pieces, where) if inner in atoms)
    mark_at = {}
    for atom in piece.GetAtoms():
        if atom.GetAtomicNum() == 0:
            mark_at[atom.GetIdx()] = atom.GetIsotope() - 1
            atom.SetIsotope(0)
    text = Chem.MolToSmiles(piece)
    order = [mark_at[a] for a in output_order(piece) if a in mark_at]
    with rdBase.BlockLogs():
        again = Chem.MolFromSmiles(text)
    if again is None:
        return None
    # RDKit numbers the atoms of what it reads in the order of the text
    marks = [a.GetIdx() for a in again.GetAtoms() if a.GetAtomicNum() == 0]
    return text, [order.index(i) for i in range(len(pairs))], describe_part(again, marks)


@dataclass(frozen=True)
class PartFigures:
    """What ``Section`` holds of one part."""

    atoms: int
    rings: int
    rotors: int
    bare: int
    length: tuple[int, ...]
    same: tuple[int, ...]


def describe_part(mol: Chem.Mol, marks: Sequence[int]) -> PartFigures:
    """Figures of a part whose dummy atoms are ``marks``, in this order."""
    distance = Chem.GetDistanceMatrix(mol)
    rank = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    classes = [rank[m] for m in marks]
    inner = len(mol.GetSubstructMatches(_INNER_SINGLE))
    rings = mol.GetRingInfo().NumRings()
    return PartFigures(
        atoms=mol.GetNumAtoms() - len(marks),
        rings=rings,
        rotors=len(mol.GetSubstructMatches(_ROTOR)) - len(mol.GetSubstructMatches(_AMIDE)),
        bare=int(rings > 0 and inner == 0),
        length=tuple(int(distance[a, b]) for a, b in combinations(marks, 2)),
        same=tuple(classes.index(c) for c in classes),
    )


_INNER_SINGLE = Chem.MolFromSmarts("[!#0]-;!@[!#0]")
_ROTOR = Chem.MolFromSmarts("[!D1,#0;!$(*#*)]-;!@[!D1,#0;!$(*#*)]")
_AMIDE = Chem.MolFromSmarts("[#6X3](=[O,S])-;!@[#7X3]")
