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
from collections.abc import Sequence
from dataclasses import dataclass, fields

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

    @property
    def n_motifs(self) -> int:
        return len(self.motifs)

    @property
    def n_tokens(self) -> int:
        return len(self.token_motif)

    @property
    def n_attached(self) -> int:
        """Tokens that attach to something (the others start a molecule)."""
        return int((self.token_atom >= 0).sum())

    @property
    def n_sites(self) -> int:
        return len(self.site_atom)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays (the motif SMILES as UTF-8 JSON bytes), for a safetensors file."""
        arrays = {
            f.name: np.ascontiguousarray(getattr(self, f.name))
            for f in fields(self)
            if f.name != "motifs"
        }
        arrays["motifs"] = np.frombuffer(json.dumps(list(self.motifs)).encode(), dtype=np.uint8)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Vocabulary:
        """The inverse of ``to_arrays``; raises ValueError naming a missing array."""
        missing = [f.name for f in fields(cls) if f.name not in arrays]
        if missing:
            raise ValueError(f"not a vocabulary: the arrays {', '.join(missing)} are missing")
        rest = {f.name: arrays[f.name] for f in fields(cls) if f.name != "motifs"}
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
) -> Vocabulary:
    """Lay out ``motifs`` and ``tokens`` (motif, first equivalent attachment atom) as arrays.

    Args:
        environment: known environment hashes (of a trained model); new ones are unknown then.
            By default all environments met become known.

    Raises MotifError if a token's motif is not among ``motifs`` or its atom has no hydrogen.
    """
    index_of = {m: i for i, m in enumerate(motifs)}
    known = {} if environment is None else {int(h): r + 1 for r, h in enumerate(environment)}
    frozen = environment is not None

    def row(key: tuple) -> int:
        code = _hash(key)
        if not frozen:
            return known.setdefault(code, len(known) + 1)
        return known.get(code, 0)

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
                row(("token", smiles, attachment)),
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
                    row(("site", smiles, attachment, other)),
                ]
            )
        site_offset.append(len(site_atom))
    if not frozen:
        environment = np.fromiter(known, dtype=np.int64, count=len(known))
    return Vocabulary(
        motifs=tuple(motifs),
        atom_offset=np.array(atom_offset, np.int32),
        atom_feature=np.array(features, np.int16).reshape(-1, 5),
        atom_row=np.array(atom_rows, np.int32).reshape(-1, _RADII),
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
        token_row=np.array(token_rows, np.int32).reshape(-1, _RADII + 2),
        site_offset=np.array(site_offset, np.int32),
        site_atom=np.array(site_atom, np.int16),
        site_capacity=np.array(site_capacity, np.int16),
        site_row=np.array(site_rows, np.int32).reshape(-1, _RADII + 2),
        environment=np.asarray(environment, np.int64),
    )


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
    mol = motif(smiles).mol
    current = [
        _hash((*atom_feature(a), a.GetIsotope(), a.GetDegree(), a.GetIdx() == attachment))
        for a in mol.GetAtoms()
    ]
    layers = [current]
    for _ in range(_RADII - 1):
        current = [
            _hash(
                (
                    current[a.GetIdx()],
                    *sorted(
                        (
                            BOND_TYPES.get(b.GetBondType(), OTHER_BOND),
                            current[b.GetOtherAtomIdx(a.GetIdx())],
                        )
                        for b in a.GetBonds()
                    ),
                )
            )
            for a in mol.GetAtoms()
        ]
        layers.append(current)
    return list(zip(*layers))


def _distances(smiles: str, attachment: int) -> list[int]:
    mol = motif(smiles).mol
    distance = [-1] * mol.GetNumAtoms()
    if attachment < 0:
        return distance
    distance[attachment] = 0
    queue = deque([attachment])
    while queue:
        atom = queue.popleft()
        for neighbour in mol.GetAtomWithIdx(atom).GetNeighbors():
            if distance[neighbour.GetIdx()] < 0:
                distance[neighbour.GetIdx()] = min(distance[atom] + 1, _MAX_DISTANCE)
                queue.append(neighbour.GetIdx())
    return distance


def _hash(key: tuple) -> int:
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
