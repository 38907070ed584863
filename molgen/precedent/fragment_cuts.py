"""Cuts of one molecule at acyclic single bonds: groups, linkers and cores, and what they hung on.

A molecule is a tree of motifs (``molgen.motifs.trees``), so that every part that one, two or more
cuts leave is a piece of that tree. Parts are told apart by keys worked out on the tree; writing
their SMILES is left to those that turn out to be common. Stereo is left aside.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rdkit import Chem, rdBase

from molgen.motifs.trees import MotifError, motif, motifs_of

RADII = (0, 1, 2, 3)
MOST_ATOMS = {1: 16, 2: 16, 3: 10}
MOST_MARKS = 6
_MARK = 1
_STEREO = re.compile(r"@(?:TH|AL|SP|TB|OH)\d+|@+|[/\\]")
Edges = tuple[int, ...]


@dataclass(frozen=True)
class Cuts:
    """The parts of one molecule.

    bonds: (outer atom, inner atom) of every cut, each bond twice, once from either side; edge
        ``e ^ 1`` is edge ``e`` from the other side. The outer atom stays, the inner one belongs to
        the part.
    parts: (key, edges) of each part, one edge a mark, in an order that equal parts share.
    """

    bonds: list[tuple[int, int]]
    parts: list[tuple[int, Edges]]


def without_stereo(smiles: str) -> str:
    """``smiles`` without marks of tetrahedral centres and double bonds."""
    return _STEREO.sub("", smiles)


def read_flat(smiles: str) -> Chem.Mol | None:
    """The molecule without stereo, or None if RDKit cannot read it."""
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(without_stereo(smiles))


def cut_everywhere(mol: Chem.Mol) -> Cuts:
    """All groups, linkers and cores of a molecule without stereo.

    Groups hang by one bond and have at most 16 heavy atoms, linkers by two and have at most 16;
    cores are single motifs with 3 to 6 bonds (ring systems above all), and pairs of motifs of at
    most ten atoms with 3. A direct bond is a linker without atoms.

    Raises MotifError for a molecule that has no motif tree.
    """
    tree = _Tree(mol)
    parts = [*tree.groups(), *tree.linkers(), *tree.cores(), *tree.small_cores()]
    return Cuts(tree.bonds, parts)


# --- what a part hangs on -------------------------------------------------------------------------
def contexts_of(mols: Sequence[Chem.Mol], bonds: Sequence[Sequence[tuple[int, int]]]) -> np.ndarray:
    """For each (outer, inner) bond of each molecule, what surrounds the outer atom.

    Returns hashes (bonds of all molecules, radii) uint32. Radius 0 is the atom itself (element,
    bonds, hydrogens, charge, ring), 1 its neighbours too, and so on; nothing beyond the bond
    counts. The numbers are the same on every machine and with every version of RDKit.
    """
    atoms: list[int] = []
    source: list[int] = []
    target: list[int] = []
    kinds: list[int] = []
    wanted: list[int] = []
    for mol, pairs in zip(mols, bonds):
        first = len(atoms)
        place: dict[tuple[int, int], int] = {}
        for atom in mol.GetAtoms():
            ring = 2 * atom.GetIsAromatic() + atom.IsInRing()
            charge = atom.GetFormalCharge() + 8
            number, degree, hydrogens = (
                atom.GetAtomicNum(),
                atom.GetDegree(),
                atom.GetTotalNumHs(),
            )
            atoms.append(number | degree << 8 | hydrogens << 12 | charge << 16 | ring << 20)
        for bond in mol.GetBonds():
            a, b, order = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), int(bond.GetBondType())
            place[a, b] = len(source)
            place[b, a] = len(source) + 1
            source += [first + a, first + b]
            target += [first + b, first + a]
            kinds += [order, order]
        wanted += [place[pair] for pair in pairs]
    code = _mixed(np.array(atoms, np.uint64))
    at, to = np.array(source, np.int64), np.array(target, np.int64)
    kind = np.array(kinds, np.uint64)
    chosen = np.array(wanted, np.int64)
    if not len(chosen):
        return np.zeros((0, len(RADII)), np.uint32)
    back = np.arange(len(at)) ^ 1
    message: np.ndarray = code[at]
    columns = [message[chosen]]
    for _ in RADII[1:]:
        term = _mixed(message ^ _mixed(kind))
        arriving = np.zeros(len(code), np.uint64)
        np.add.at(arriving, to, term)
        message = _mixed(code[at] + _mixed(arriving[at] - term[back]))
        columns.append(message[chosen])
    return (np.stack(columns, axis=1) >> np.uint64(32)).astype(np.uint32)


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: equal numbers stay equal, others become unlike."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


# --- the tree of motifs ---------------------------------------------------------------------------
@lru_cache(maxsize=200_000)
def _motif_code(smiles: str) -> tuple[int, int]:
    """A number for a motif that does not depend on the process, and its heavy atoms."""
    return zlib.crc32(smiles.encode()), motif(smiles).mol.GetNumAtoms()


class _Tree:
    """A molecule's motif tree with its cuts numbered as in ``Cuts``."""

    def __init__(self, mol: Chem.Mol):
        cut, self.motifs, atom_in_motif, owner = motifs_of(mol)
        codes = [_motif_code(s) for s in self.motifs]
        self.code = [c for c, _ in codes]
        self.atoms = [n for _, n in codes]
        joined: list[list[tuple[int, int, int]]] = [[] for _ in self.motifs]
        for a, b in cut:
            joined[owner[a]].append((a, b, owner[b]))
            joined[owner[b]].append((b, a, owner[a]))
        self.bonds: list[tuple[int, int]] = []
        self.node: list[int] = []  # that an edge enters
        self.enters: list[int] = []  # at this atom of its motif
        self.leaving: list[list[int]] = [[] for _ in self.motifs]  # edges out of a node
        order, seen = [0], {0}
        for parent in order:
            for a, b, child in joined[parent]:
                if child not in seen:
                    seen.add(child)
                    order.append(child)
                    self.bonds += [(a, b), (b, a)]
                    self.node += [child, parent]
                    self.enters += [atom_in_motif[b], atom_in_motif[a]]
                    self.leaving[parent].append(len(self.bonds) - 2)
                    self.leaving[child].append(len(self.bonds) - 1)
        if len(seen) < len(self.motifs):
            raise MotifError("the molecule is in several pieces; expected one")
        n_edges = len(self.bonds)
        self._size = [0] * n_edges
        self._key = [0] * n_edges
        self.total = sum(self.atoms)
        for edge in range(0, n_edges, 2)[::-1]:  # children before their parents
            self._finish(edge)
        for edge in range(1, n_edges, 2):  # parents before their children
            self._finish(edge)

    def _finish(self, edge: int) -> None:
        node = self.node[edge]
        below = [e for e in self.leaving[node] if e != edge ^ 1]
        self._size[edge] = self.atoms[node] + sum(self._size[e] for e in below)
        children = [(self.enters[e ^ 1], self._key[e]) for e in below]
        self._key[edge] = _rooted(self.code[node], self.motifs[node], self.enters[edge], children)

    def groups(self) -> list[tuple[int, Edges]]:
        """What hangs by one bond."""
        most = MOST_ATOMS[1]
        return [
            (hash((1, self._key[e])), (e,)) for e in range(len(self.bonds)) if self._size[e] <= most
        ]

    def linkers(self) -> list[tuple[int, Edges]]:
        """What hangs by two bonds; a direct bond, too."""
        most = MOST_ATOMS[2]
        half: dict[tuple[int, int], int] = {}
        for out in range(len(self.bonds)):
            size_out, source = self._size[out], self.node[out ^ 1]
            queue = [(source, out, _MARK)]
            while queue:
                node, toward, key_toward = queue.pop()
                for back in self.leaving[node]:
                    if back == toward:
                        continue
                    enter = back ^ 1
                    if self._size[enter] - size_out > most:
                        continue
                    children = [
                        (self.enters[e ^ 1], self._key[e])
                        for e in self.leaving[node]
                        if e not in (back, toward)
                    ]
                    children.append((self.enters[toward ^ 1], -key_toward))
                    key = _rooted(self.code[node], self.motifs[node], self.enters[enter], children)
                    half[enter, out] = key
                    queue.append((self.node[back], enter, key))
        found: list[tuple[int, Edges]] = []
        for (enter, out), key in half.items():
            if enter < out ^ 1:
                other = half[out ^ 1, enter ^ 1]
                if key <= other:
                    found.append((hash((2, key)), (enter, out ^ 1)))
                else:
                    found.append((hash((2, other)), (out ^ 1, enter)))
        found += [(0, (e, e ^ 1)) for e in range(0, len(self.bonds), 2)]
        return found

    def cores(self) -> list[tuple[int, Edges]]:
        """Single motifs with three bonds and more."""
        found = []
        for node, leaving in enumerate(self.leaving):
            if 3 <= len(leaving) <= MOST_MARKS:
                sites = tuple([self.enters[e ^ 1] for e in leaving])
                key, order = _bare(self.code[node], self.motifs[node], sites)
                found.append((key, tuple([leaving[i] ^ 1 for i in order])))
        return found

    def small_cores(self) -> list[tuple[int, Edges]]:
        """Pairs of motifs with three bonds."""
        most = MOST_ATOMS[3]
        found = []
        for edge in range(0, len(self.bonds), 2):
            nodes = (self.node[edge], self.node[edge ^ 1])
            if self.atoms[nodes[0]] + self.atoms[nodes[1]] <= most:
                out = [e for n in nodes for e in self.leaving[n] if e >> 1 != edge >> 1]
                if len(out) == 3:
                    found.append(self._small_core(tuple(out)))
        return found

    def _small_core(self, out: Edges) -> tuple[int, Edges]:
        best: tuple[int, Edges] | None = None
        for first in out:
            others = tuple([e for e in out if e != first])
            key, order = self._below(first ^ 1, others)
            if best is None or key < best[0]:
                best = (key, (first ^ 1, *[e ^ 1 for e in order]))
        assert best is not None
        return hash((3, best[0])), best[1]

    def _below(self, edge: int, marks: Edges) -> tuple[int, list[int]]:
        """The key of the part that ``edge`` enters, down to ``marks``, and these in its order."""
        node = self.node[edge]
        children, orders = [], []
        for e in self.leaving[node]:
            if e == edge ^ 1:
                continue
            if e in marks:
                key, order = -_MARK, [e]
            else:
                key, order = self._below(e, marks)
                key = -key if order else self._key[e]
            children.append((self.enters[e ^ 1], key))
            orders.append(order)
        if not any(orders):
            return self._key[edge], []
        smiles, enters = self.motifs[node], self.enters[edge]
        best = min(
            motif(smiles).automorphisms,
            key=lambda p: (p[enters], sorted((p[a], k) for a, k in children)),
        )
        place = sorted(range(len(children)), key=lambda i: (best[children[i][0]], children[i][1]))
        key = _rooted(self.code[node], smiles, enters, children)
        return key, [e for i in place for e in orders[i]]


def _rooted(code: int, smiles: str, enters: int, children: list[tuple[int, int]]) -> int:
    children.sort()
    return _rooted_key(code, smiles, enters, tuple(children))


@lru_cache(maxsize=2_000_000)
def _rooted_key(code: int, smiles: str, enters: int, children: tuple) -> int:
    """A number that equal rooted parts share: the atoms are numbered up to the symmetries."""
    best = min(
        (p[enters], sorted([(p[atom], key) for atom, key in children]))
        for p in motif(smiles).automorphisms
    )
    return abs(hash((code, best[0], *best[1]))) or 1


@lru_cache(maxsize=500_000)
def _bare(code: int, smiles: str, sites: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """The key of a motif with bonds at ``sites``, and the order of these that equal ones share."""
    best = min(motif(smiles).automorphisms, key=lambda p: sorted(p[s] for s in sites))
    order = sorted(range(len(sites)), key=lambda i: best[sites[i]])
    return hash((4, code, *[best[sites[i]] for i in order])), tuple(order)
