"""The motifs, tokens and attachment sites that a model can write, as flat arrays.

A *token* is a motif together with the atom by which it attaches (one token for each class of
equivalent atoms), or a motif that starts a molecule. A *site* is an atom of a placed token that
still has a hydrogen to give up.

Tokens and sites are described by shared rows: the circular environments of their atom at radius
0, 1 and 2, the motif, and the thing itself. Their vectors in the model are sums of the rows'
embeddings, so that rare tokens borrow from common ones, and a motif that training never saw still
has a vector made of the environments that it shares with others.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from rdkit import Chem

from molgen.motifs.tree_tables import TreeTable
from molgen.motifs.trees import MotifError, motif

ELEMENTS = (
    "C", "N", "O", "S", "F", "Cl", "Br", "I", "P", "B", "Si", "Se", "H", "As", "Te", "Ge",
)  # fmt: skip
OTHER_ELEMENT = len(ELEMENTS)
BOND_TYPES = {
    Chem.BondType.SINGLE: 0,
    Chem.BondType.DOUBLE: 1,
    Chem.BondType.TRIPLE: 2,
    Chem.BondType.AROMATIC: 3,
}
JOINING_BOND = 4  # the single bond between two motifs
OTHER_BOND = 5
N_BOND_TYPES = 6
_MAX_DISTANCE = 12
_RADII = 3
SKETCH_ROWS = 16_384
_SKETCH_ATOMS = 24
_NEVER_SEEN = 0.3


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Motifs with everything about them that batches and the model need.

    Tokens ``0 .. n_attached - 1`` attach; token ``n_attached + m`` starts a molecule with motif m.

    motifs: (n_motifs,) SMILES.
    atom_offset: (n_motifs + 1,) int32; motif ``m`` owns motif-atoms ``[offset[m], offset[m+1])``.
    atom_feature: (n_motif_atoms, 5) int16: element, charge + 4, hydrogens, aromatic, in ring.
    atom_row: (n_motif_atoms, 3) int32 environment rows, radius 0 to 2 (0 is unknown).
    atom_token: (n_motif_atoms,) int32 token that attaches by this atom, or -1.
    bond_offset, bond_begin, bond_end, bond_type: the motifs' bonds, in the same way.
    symmetry_offset: (n_motifs + 1,) int32 into the rows of ``symmetry``, one permutation a run of
        the motif's number of atoms; ``symmetry_start`` is where a motif's run begins.
    token_motif, token_atom: (n_tokens,) int32; the atom is -1 for tokens that start a molecule.
    token_row: (n_tokens, 5) int32 description rows.
    site_offset: (n_tokens + 1,) int32; site_atom, site_capacity: (n_sites,) int16;
    site_row: (n_sites, 5) int32 description rows.
    environment: (n_environments,) int64 hashes; row ``r`` of a description is ``environment[r-1]``.
    token_sketch: (n_tokens, 24) int16, a number below SKETCH_ROWS for each atom of the motif, by
        its surroundings and its distance from the attachment atom; 0 is padding.
    token_count: (n_tokens,) float32, how often training saw it, at least a little.
    """

    motifs: tuple[str, ...]
    atom_offset: np.ndarray
    atom_feature: np.ndarray
    atom_row: np.ndarray
    atom_token: np.ndarray
    bond_offset: np.ndarray
    bond_begin: np.ndarray
    bond_end: np.ndarray
    bond_type: np.ndarray
    symmetry_count: np.ndarray
    symmetry_start: np.ndarray
    symmetry: np.ndarray
    token_motif: np.ndarray
    token_atom: np.ndarray
    token_row: np.ndarray
    site_offset: np.ndarray
    site_atom: np.ndarray
    site_capacity: np.ndarray
    site_row: np.ndarray
    environment: np.ndarray
    token_sketch: np.ndarray | None = None
    token_count: np.ndarray | None = None

    @cached_property
    def number_of(self) -> dict[str, int]:
        """The number of each motif; of one that was entered twice the later."""
        return {motif: number for number, motif in enumerate(self.motifs)}

    @property
    def n_motifs(self) -> int:
        """Number of motifs."""
        return len(self.motifs)

    @property
    def n_tokens(self) -> int:
        """Number of tokens: ways to enter a motif."""
        return len(self.token_motif)

    @property
    def n_attached(self) -> int:
        """Tokens that attach to something (the others start a molecule)."""
        return int((self.token_atom >= 0).sum())

    @property
    def n_sites(self) -> int:
        """Number of sites: atoms of motifs that can be bonded to another motif."""
        return len(self.site_atom)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays (the motif SMILES as UTF-8 JSON bytes), for a safetensors file."""
        arrays = {
            f.name: np.ascontiguousarray(getattr(self, f.name))
            for f in fields(self)
            if f.name != "motifs" and getattr(self, f.name) is not None
        }
        if self.token_sketch is not None:  # sites of rarer tokens are described alike
            distinct, number = np.unique(arrays.pop("site_row"), axis=0, return_inverse=True)
            arrays |= {
                "site_row_distinct": distinct,
                "site_row_number": number.ravel().astype(np.int32),
            }
            arrays["token_sketch"] = self.token_sketch.astype(np.int16)
            for name, array in arrays.items():
                if array.dtype == np.int16 and np.abs(array).max(initial=0) < 128:
                    arrays[name] = array.astype(np.int8)
        arrays["motifs"] = np.frombuffer(json.dumps(list(self.motifs)).encode(), dtype=np.uint8)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Vocabulary:
        """The inverse of ``to_arrays``; raises ValueError naming a missing array."""
        if "site_row_distinct" in arrays:
            rows = arrays["site_row_distinct"][arrays["site_row_number"]]
            arrays = arrays | {"site_row": rows}
        missing = [f.name for f in fields(cls) if f.name not in arrays and f.default is MISSING]
        if missing:
            raise ValueError(f"not a vocabulary: the arrays {', '.join(missing)} are missing")
        rest: dict[str, Any] = {
            f.name: arrays.get(f.name) for f in fields(cls) if f.name != "motifs"
        }
        for name, array in rest.items():
            if array is not None and array.dtype == np.int8:
                rest[name] = array.astype(np.int16)
        return cls(tuple(json.loads(arrays["motifs"].tobytes().decode())), **rest)


def count_tokens(table: TreeTable) -> dict[tuple[str, int], int]:
    """How often each (motif, attachment atom) stands at either end of a joining bond.

    Equivalent atoms are counted together under the first of them.
    """
    joined = table.parent >= 0
    sizes = table.sizes
    starts = np.repeat(table.offsets[:-1], sizes)
    child_motif = table.motif[joined].astype(np.int64)
    parent_motif = table.motif[(starts + table.parent)[joined]].astype(np.int64)
    ends = np.concatenate(
        [
            child_motif * 4096 + table.child_atom[joined],
            parent_motif * 4096 + table.parent_atom[joined],
        ]
    )
    counts: dict[tuple[str, int], int] = {}
    for key, count in zip(*np.unique(ends, return_counts=True)):
        smiles = table.motifs[int(key) // 4096]
        token = (smiles, first_equivalent(smiles, int(key) % 4096))
        counts[token] = counts.get(token, 0) + int(count)
    return counts


def first_equivalent(smiles: str, atom: int) -> int:
    """The first atom of the motif that symmetry makes equivalent to ``atom``."""
    return min(permutation[atom] for permutation in motif(smiles).automorphisms)


def attachments(smiles: str) -> list[int]:
    """Atoms by which a motif can attach: those with a hydrogen, one of each equivalent class."""
    return [
        atom
        for atom, hydrogens in enumerate(motif(smiles).hydrogens)
        if hydrogens and first_equivalent(smiles, atom) == atom
    ]


def choose_tokens(table: TreeTable, min_count: int = 5) -> tuple[list[str], list[tuple[str, int]]]:
    """Motifs and tokens seen at least ``min_count`` times, most frequent first."""
    counts = count_tokens(table)
    tokens = [t for t, c in sorted(counts.items(), key=lambda i: (-i[1], i[0])) if c >= min_count]
    occurrences = np.bincount(table.motif, minlength=len(table.motifs))
    usable = {t[0] for t in tokens}
    order = np.argsort(-occurrences, kind="stable")
    motifs = [
        table.motifs[m] for m in order if occurrences[m] >= min_count and table.motifs[m] in usable
    ]
    kept = set(motifs)
    return motifs, [t for t in tokens if t[0] in kept]


def build_vocabulary(
    motifs: Sequence[str],
    tokens: Sequence[tuple[str, int]],
    environment: np.ndarray | None = None,
    sketches: bool = False,
    plain: Container[tuple[str, int]] = (),
) -> Vocabulary:
    """Lay out ``motifs`` and ``tokens`` (motif, first equivalent attachment atom) as arrays.

    Args:
        environment: known environment hashes (of a trained model); new ones are unknown then.
            By default all environments met become known.
        sketches: whether tokens get sketches.
        plain: tokens that have no rows of their own, nor do their sites.

    Raises MotifError if a token's motif is not among ``motifs`` or its atom has no hydrogen.
    """
    index_of = {m: i for i, m in enumerate(motifs)}
    known: dict[int, int] = {}  # codes of rows, by the order in which they are met

    def row(key: tuple) -> int:
        return known.setdefault(_hash(key), len(known) + 1)

    features, atom_rows, atom_offset = [], [], [0]
    begins, ends, types, bond_offset = [], [], [], [0]
    symmetry_count, symmetry_start = [], []
    symmetry: list[int] = []
    for smiles in motifs:
        template = motif(smiles)
        for atom, environments in zip(template.mol.GetAtoms(), _environments(smiles, -1)):
            features.append(atom_feature(atom))
            atom_rows.append([row(("environment", r, e)) for r, e in enumerate(environments)])
        for bond in template.mol.GetBonds():
            begins.append(bond.GetBeginAtomIdx())
            ends.append(bond.GetEndAtomIdx())
            types.append(BOND_TYPES.get(bond.GetBondType(), OTHER_BOND))
        atom_offset.append(len(features))
        bond_offset.append(len(begins))
        permutations = template.automorphisms
        symmetry_count.append(len(permutations))
        symmetry_start.append(len(symmetry))
        for permutation in permutations:
            symmetry.extend(permutation)

    atom_token = np.full(len(features), -1, dtype=np.int32)
    token_motif, token_atom, token_rows = [], [], []
    site_offset, site_atom, site_capacity, site_rows = [0], [], [], []
    everything = [*tokens, *((m, -1) for m in motifs)]
    for number, (smiles, attachment) in enumerate(everything):
        if smiles not in index_of:
            raise MotifError(f"the motif of token ({smiles}, {attachment}) is not listed")
        index, template = index_of[smiles], motif(smiles)
        own = (smiles, attachment) not in plain
        if attachment >= 0:
            if not template.hydrogens[attachment]:
                raise MotifError(f"token ({smiles}, {attachment}): the atom has no hydrogen")
            atom_token[atom_offset[index] + attachment] = number
        token_motif.append(index)
        token_atom.append(attachment)
        token_rows.append(
            [
                *(
                    atom_rows[atom_offset[index] + attachment]
                    if attachment >= 0
                    else [row(("root", r)) for r in range(_RADII)]
                ),
                row(("motif", smiles)),
                row(("token", smiles, attachment)) if own else 0,
            ]
        )
        distances = _distances(smiles, attachment)
        for other, environments in enumerate(_environments(smiles, attachment)):
            capacity = template.hydrogens[other] - (other == attachment)
            if capacity <= 0:
                continue
            site_atom.append(other)
            site_capacity.append(capacity)
            site_rows.append(
                [
                    *(row(("environment", r, e)) for r, e in enumerate(environments)),
                    row(("distance", distances[other])),
                    row(("site", smiles, attachment, other)) if own else 0,
                ]
            )
        site_offset.append(len(site_atom))
    met = np.fromiter(known, dtype=np.int64, count=len(known))
    row_of = np.arange(len(known) + 1, dtype=np.int32)
    if environment is None:
        environment = met
    else:
        row_of[1:] = _rows_among(environment, met)
    return Vocabulary(
        motifs=tuple(motifs),
        atom_offset=np.array(atom_offset, np.int32),
        atom_feature=np.array(features, np.int16).reshape(-1, 5),
        atom_row=row_of[np.array(atom_rows, np.int32).reshape(-1, _RADII)],
        atom_token=atom_token,
        bond_offset=np.array(bond_offset, np.int32),
        bond_begin=np.array(begins, np.int16),
        bond_end=np.array(ends, np.int16),
        bond_type=np.array(types, np.int16),
        symmetry_count=np.array(symmetry_count, np.int32),
        symmetry_start=np.array(symmetry_start, np.int32),
        symmetry=np.array(symmetry, np.int16),
        token_motif=np.array(token_motif, np.int32),
        token_atom=np.array(token_atom, np.int32),
        token_row=row_of[np.array(token_rows, np.int32).reshape(-1, _RADII + 2)],
        site_offset=np.array(site_offset, np.int32),
        site_atom=np.array(site_atom, np.int16),
        site_capacity=np.array(site_capacity, np.int16),
        site_row=row_of[np.array(site_rows, np.int32).reshape(-1, _RADII + 2)],
        environment=np.asarray(environment, np.int64),
        token_sketch=_sketches(everything) if sketches else None,
        token_count=np.full(len(everything), _NEVER_SEEN, np.float32) if sketches else None,
    )


def _rows_among(environment: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n,) the row of each of ``codes`` (all different) in ``environment``, from 1; 0 for none."""
    rows = np.zeros(len(codes), np.int32)
    if len(codes):
        order = np.argsort(codes)
        place = np.searchsorted(codes, environment, sorter=order)
        at = order[np.minimum(place, len(codes) - 1)]
        found = np.flatnonzero(codes[at] == environment)
        rows[at[found]] = found + 1
    return rows


def open_vocabulary(table: TreeTable, min_count: int, min_row_count: int) -> Vocabulary:
    """Motifs and tokens that ``table`` has at least ``min_count`` times, frequent ones first.

    Tokens and sites are described by the rows that the molecules of ``table`` meet at least
    ``min_row_count`` times, and tokens by their sketches.
    """
    motifs, tokens = choose_tokens(table, min_count)
    counts = count_tokens(table)
    plain = {token for token in tokens if counts[token] < min_row_count}
    full = build_vocabulary(motifs, tokens, sketches=True, plain=plain)
    number = {m: i for i, m in enumerate(table.motifs)}
    occurrences = np.bincount(table.motif, minlength=len(table.motifs))
    roots = np.bincount(table.motif[table.offsets[:-1]], minlength=len(table.motifs))
    token_count = np.array(
        [*(counts[t] for t in tokens), *(roots[number[m]] for m in motifs)], np.float64
    )
    weight = np.zeros(len(full.environment) + 1)
    of_site = np.repeat(token_count, np.diff(full.site_offset))
    of_atom = np.repeat([occurrences[number[m]] for m in motifs], np.diff(full.atom_offset))
    for rows, counted in (
        (full.token_row, token_count),
        (full.site_row, of_site),
        (full.atom_row, of_atom),
    ):
        np.add.at(weight, rows, counted[:, None])
    kept = weight >= min_row_count
    kept[0] = False
    row_of = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return replace(
        full,
        atom_row=row_of[full.atom_row],
        token_row=row_of[full.token_row],
        site_row=row_of[full.site_row],
        environment=full.environment[kept[1:]],
        token_count=np.maximum(token_count, _NEVER_SEEN).astype(np.float32),
    )


def _sketches(tokens: Sequence[tuple[str, int]]) -> np.ndarray:
    sketches = np.zeros((len(tokens), _SKETCH_ATOMS), np.int16)
    for number, (smiles, attachment) in enumerate(tokens):
        codes = np.array(_graph(smiles).layers[1]).astype(np.uint64) & np.uint64(0xFFFFFFFF)
        distances = np.array(_distances(smiles, attachment))
        nearest = np.lexsort((codes, distances))[:_SKETCH_ATOMS]
        sketches[number, : len(nearest)] = sketch_rows(codes[nearest], distances[nearest])
    return sketches


def sketch_rows(codes: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Rows from 1 below SKETCH_ROWS for atoms by the low 32 bits of their environments of radius 1
    (uint64) and their distances from the attachment atom."""
    mixed = codes * np.uint64(16) + (distances + 1).astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = (mixed * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return (1 + mixed % np.uint64(SKETCH_ROWS - 1)).astype(np.int16)


def atom_feature(atom: Chem.Atom) -> list[int]:
    """Element, charge + 4 (kept in 0..8), hydrogens (at most 4), aromatic, in a ring."""
    symbol = atom.GetSymbol()
    return [
        ELEMENTS.index(symbol) if symbol in ELEMENTS else OTHER_ELEMENT,
        min(max(atom.GetFormalCharge() + 4, 0), 8),
        min(atom.GetTotalNumHs(), 4),
        int(atom.GetIsAromatic()),
        int(atom.IsInRing()),
    ]


def _environments(smiles: str, attachment: int) -> list[tuple[int, ...]]:
    """Hashes of each atom's circular environments, the attachment atom being marked."""
    graph = _graph(smiles)
    layers = graph.layers
    if attachment >= 0:
        changed = {attachment}
        current = list(layers[0])
        current[attachment] = _hash((*graph.features[attachment], True))
        marked = [current]
        for unmarked in layers[1:]:
            changed |= {other for atom in changed for _, other in graph.neighbours[atom]}
            following = list(unmarked)
            for atom in changed:
                following[atom] = graph.wider(current, atom)
            current = following
            marked.append(current)
        layers = marked
    return list(zip(*layers))


@dataclass(frozen=True, eq=False)
class _Graph:
    """A motif's atoms and bonds, and the hashes of its unmarked environments by radius."""

    features: list[tuple[int, ...]]
    neighbours: list[list[tuple[int, int]]]
    layers: list[list[int]]

    def wider(self, layer: list[int], atom: int) -> int:
        """The hash of an atom's environment one bond wider than those of ``layer``."""
        around = sorted((bond, layer[other]) for bond, other in self.neighbours[atom])
        return _hash((layer[atom], *around))


@lru_cache(maxsize=20_000)
def _graph(smiles: str) -> _Graph:
    mol = motif(smiles).mol
    atoms = list(mol.GetAtoms())
    graph = _Graph(
        [(*atom_feature(a), a.GetIsotope(), a.GetDegree()) for a in atoms],
        [
            [
                (BOND_TYPES.get(b.GetBondType(), OTHER_BOND), b.GetOtherAtomIdx(a.GetIdx()))
                for b in a.GetBonds()
            ]
            for a in atoms
        ],
        [],
    )
    graph.layers.append([_hash((*feature, False)) for feature in graph.features])
    for _ in range(_RADII - 1):
        before = graph.layers[-1]
        graph.layers.append([graph.wider(before, atom) for atom in range(len(before))])
    return graph


def _distances(smiles: str, attachment: int) -> list[int]:
    neighbours = _graph(smiles).neighbours
    distance = [-1] * len(neighbours)
    if attachment < 0:
        return distance
    distance[attachment] = 0
    queue = deque([attachment])
    while queue:
        atom = queue.popleft()
        for _, other in neighbours[atom]:
            if distance[other] < 0:
                distance[other] = min(distance[atom] + 1, _MAX_DISTANCE)
                queue.append(other)
    return distance


@lru_cache(maxsize=2_000_000)
def _hash(key: tuple) -> int:
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
