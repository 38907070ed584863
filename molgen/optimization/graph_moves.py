"""Parts of molecules that change places: branches from a table, and crossover of two parents.

Edits act on Kekulé copies, as in ``molgen.chem.graph_edits``, whose rules on what is a
sound product hold here, too. Crossover joins parts of two parents at acyclic bonds or inside a ring
(Jensen, Chem. Sci. 10:3567, 2019).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rdkit import Chem

from molgen.chem.graph_edits import (
    atom_with_hydrogen,
    branch_side,
    cuttable_bonds,
    finished_smiles,
    kekule_copy,
    normalised,
)


# ---- fragments -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class FragmentTable:
    """Branches seen in a set of molecules, each a SMILES whose first atom is the attachment.

    Attributes:
        branches: SMILES, the attachment atom first.
        cumulative: Running sum of the branches' probabilities, which are proportional to the
            square root of their counts; the last is 1.
    """

    branches: tuple[str, ...]
    cumulative: np.ndarray

    @classmethod
    def from_smiles(cls, molecules: Iterable[str], max_heavy_atoms: int = 14) -> FragmentTable:
        """Cut every acyclic single bond of ``molecules`` and keep sides of limited size."""
        counts: Counter[str] = Counter()
        for smiles in molecules:
            mol = kekule_copy(smiles)
            if mol is None:
                continue
            for ends in cuttable_bonds(mol):
                for start, other in (ends, ends[::-1]):
                    atoms = branch_side(mol, start, other)
                    if len(atoms) <= max_heavy_atoms:
                        counts[
                            Chem.MolFragmentToSmiles(
                                mol, atomsToUse=list(atoms), rootedAtAtom=start, canonical=True
                            )
                        ] += 1
        if not counts:
            return cls((), np.zeros(0))
        branches = tuple(counts)
        weights = normalised([counts[branch] ** 0.5 for branch in branches])
        return cls(branches, np.cumsum(weights))

    def draw(self, rng: np.random.Generator) -> Chem.Mol | None:
        """A random branch as a Kekulé molecule whose atom 0 is the attachment."""
        if not self.branches:
            return None
        index = int(np.searchsorted(self.cumulative, rng.random(), side="right"))
        return kekule_copy(self.branches[min(index, len(self.branches) - 1)])


def _joined(left: Chem.Mol, left_atom: int, right: Chem.Mol, right_atom: int) -> Chem.RWMol:
    both = Chem.RWMol(Chem.CombineMols(left, right))
    both.AddBond(left_atom, left.GetNumAtoms() + right_atom, Chem.BondType.SINGLE)
    return both


def _part(mol: Chem.Mol, atoms: set[int], anchor: int) -> tuple[Chem.RWMol, int]:
    """The sub-molecule of ``atoms`` and the new number of ``anchor`` in it."""
    part = Chem.RWMol(mol)
    part.BeginBatchEdit()
    for index in range(mol.GetNumAtoms()):
        if index not in atoms:
            part.RemoveAtom(index)
    part.CommitBatchEdit()
    return part, sum(index < anchor for index in atoms)


@lru_cache(maxsize=10_000)  # parents are cut many times
def _cuts(smiles: str) -> list[tuple[int, int]]:
    """The bonds at which a molecule may be cut."""
    mol = kekule_copy(smiles)
    return [] if mol is None else cuttable_bonds(mol)


@lru_cache(maxsize=20_000)
def _side(smiles: str, cut: int, side: int) -> tuple[Chem.Mol, int]:
    """What is left on one side of a cut, and its atom that was cut."""
    mol = kekule_copy(smiles)
    assert mol is not None  # it had cuts
    ends = _cuts(smiles)[cut]
    return _part(mol, branch_side(mol, ends[side], ends[1 - side]), ends[side])


def replace_branch(smiles: str, table: FragmentTable, rng: np.random.Generator) -> str | None:
    """Put a branch of the table in place of a branch, or of a hydrogen, of the molecule."""
    mol = kekule_copy(smiles)
    branch = table.draw(rng)
    if mol is None or branch is None or branch.GetAtomWithIdx(0).GetTotalNumHs() == 0:
        return None
    if rng.random() < 0.3:
        at = atom_with_hydrogen(mol, rng)
        return None if at is None else finished_smiles(_joined(mol, at, branch, 0))
    cuts = _cuts(smiles)
    if not cuts:
        return None
    chosen, larger = int(rng.integers(len(cuts))), rng.random() >= 0.1
    part, anchor = _side(smiles, chosen, 0)
    if (part.GetNumAtoms() * 2 < mol.GetNumAtoms()) == larger:
        part, anchor = _side(smiles, chosen, 1)
    product = finished_smiles(_joined(part, anchor, branch, 0))
    return None if product == smiles else product


# ---- crossover -----------------------------------------------------------------------------------
def _random_cut(smiles: str, rng: np.random.Generator) -> tuple[Chem.Mol, int] | None:
    cuts = _cuts(smiles)
    return _side(smiles, int(rng.integers(len(cuts))), int(rng.integers(2))) if cuts else None


def _ring_cut(mol: Chem.RWMol, rng: np.random.Generator) -> list[tuple[Chem.RWMol, int, int]]:
    """Parts left by cutting two bonds of one ring, each with the two atoms that were cut."""
    rings = mol.GetRingInfo().BondRings()
    if not rings:
        return []
    ring = rings[int(rng.integers(len(rings)))]
    first, second = rng.choice(len(ring), size=2, replace=False)
    cut = Chem.RWMol(mol)
    ends: list[int] = []
    for index in (ring[int(first)], ring[int(second)]):
        bond = mol.GetBondWithIdx(index)
        if bond.GetBondType() != Chem.BondType.SINGLE:
            return []
        ends += [bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()]
        cut.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
    parts = []
    for atoms in Chem.GetMolFrags(cut):
        members = set(atoms)
        inside = [end for end in ends if end in members]
        if len(inside) == 2:
            part, left = _part(cut, members, inside[0])
            parts.append((part, left, sum(index < inside[1] for index in members)))
    return parts if len(parts) == 2 else []


def crossover(first: str, second: str, rng: np.random.Generator) -> str | None:
    """A child with a part of each parent, joined at an acyclic bond or through a ring."""
    left, right = kekule_copy(first), kekule_copy(second)
    if left is None or right is None:
        return None
    if rng.random() < 0.75:
        cut_left, cut_right = _random_cut(first, rng), _random_cut(second, rng)
        if cut_left is None or cut_right is None:
            return None
        child = _joined(cut_left[0], cut_left[1], cut_right[0], cut_right[1])
    else:
        parts_left, parts_right = _ring_cut(left, rng), _ring_cut(right, rng)
        if not parts_left or not parts_right:
            return None
        part_left, a, b = parts_left[int(rng.integers(2))]
        part_right, c, d = parts_right[int(rng.integers(2))]
        if rng.random() < 0.5:
            c, d = d, c
        child = _joined(part_left, a, part_right, c)
        other = part_left.GetNumAtoms() + d
        if b == other or child.GetBondBetweenAtoms(b, other) is not None:
            return None
        child.AddBond(b, other, Chem.BondType.SINGLE)
    product = finished_smiles(child)
    return None if product in (first, second) else product
