"""Atoms and bonds of a molecule as small numbers, read with few calls into RDKit.

Reading 25 atoms and 27 bonds one property at a time costs more than most of what one wants to know
of them. Four calls for the whole molecule tell the same: the hash of each atom's element, isotope,
charge, hydrogens, degree and ring membership; which atoms are aromatic; the matrix of bond orders;
and the rings. Equal atoms get equal numbers, so that what was found out of one is known of all:
which queries it matches (:mod:`molgen.filters.fast_filters`), which ring system it is part of
(:mod:`molgen.filters.ring_frequency`).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

_AROMATIC = Chem.MolFromSmarts("a")
_DATIVE, _ISOTOPE = Chem.MolFromSmarts("*->*"), Chem.MolFromSmarts("[!0*]")
_ORDERS = (1.0, 1.5, 2.0, 3.0)

AtomType = tuple[int, bool, int]
"""Hash of an atom's properties, whether it is aromatic, and in how many rings it is."""

#: Number of each kind of bond that was met, seen from one of its ends: type of that atom, type of
#: the other, order, whether in a ring.
_numbers: dict[tuple[AtomType, AtomType, float, bool], int] = {}


class TypedMol:
    """A molecule and what is worked out of it when first asked for."""

    def __init__(self, mol: Chem.Mol, smiles: str | None = None) -> None:
        """``smiles``: the text that ``mol`` was read from, if at hand: it tells of stereo."""
        self.mol = mol
        self._smiles = smiles

    @cached_property
    def has_stereo(self) -> bool:
        """Whether the molecule may have atoms or bonds with stereo."""
        if self._smiles is not None:
            return any(c in self._smiles for c in "@/\\")
        none = (Chem.ChiralType.CHI_UNSPECIFIED, Chem.BondStereo.STEREONONE)
        return any(a.GetChiralTag() != none[0] for a in self.mol.GetAtoms()) or any(
            b.GetStereo() != none[1] for b in self.mol.GetBonds()
        )

    @cached_property
    def atoms(self) -> list[AtomType]:
        """The type of each atom."""
        hashes = rdMolDescriptors.GetConnectivityInvariants(self.mol, True)
        aromatic = [False] * len(hashes)
        for (i,) in self.mol.GetSubstructMatches(_AROMATIC, maxMatches=100_000):
            aromatic[i] = True
        n_rings = [0] * len(hashes)
        for ring in self.rings:
            for i in ring:
                n_rings[i] += 1
        return list(zip(hashes, aromatic, n_rings))

    @cached_property
    def rings(self) -> tuple[tuple[int, ...], ...]:
        """Atoms of each ring, in order around it."""
        return self.mol.GetRingInfo().AtomRings()

    @cached_property
    def bonds(self) -> list[tuple[int, int, float, bool]]:
        """Both ends (the smaller first), order, and whether in a ring, of each bond."""
        orders = Chem.GetAdjacencyMatrix(self.mol, useBO=True)
        first, second = np.nonzero(np.triu(orders))
        in_ring = {
            (a, b) if a < b else (b, a)
            for ring in self.rings
            for a, b in zip(ring, (*ring[1:], ring[0]))
        }
        return [
            (a, b, order, (a, b) in in_ring)
            for a, b, order in zip(first.tolist(), second.tolist(), orders[first, second].tolist())
        ]

    @cached_property
    def arms(self) -> list[list[tuple[int, int]]]:
        """For each atom its bonds: the number of the bond's kind seen from here, and the atom at
        its other end."""
        atoms = self.atoms
        found: list[list[tuple[int, int]]] = [[] for _ in atoms]
        for a, b, order, ring in self.bonds:
            for here, there in ((a, b), (b, a)):
                kind = (atoms[here], atoms[there], order, ring)
                number = _numbers.get(kind)
                if number is None:
                    number = _numbers[kind] = len(_numbers)
                found[here].append((number, there))
        return found

    @cached_property
    def angles(self) -> dict[tuple[int, int], tuple[int, int, int]]:
        """The kinds of two bonds at one atom (the smaller number first; -1 for none), each with
        one such place: the atom, and the other ends of both bonds."""
        found: dict[tuple[int, int], tuple[int, int, int]] = {}
        for here, arms in enumerate(self.arms):
            for k, (first, b) in enumerate(arms):
                found[-1, first] = (here, here, b)
                for second, c in arms[k + 1 :]:
                    if first <= second:
                        found[first, second] = (here, b, c)
                    else:
                        found[second, first] = (here, c, b)
        return found

    @cached_property
    def counts(self) -> np.ndarray:
        """(4,) int64: atoms, bonds in rings, atoms with three and more of these, rings."""
        return count_rings(len(self.atoms), [(a, b) for a, b, _, ring in self.bonds if ring])

    @cached_property
    def is_plain(self) -> bool:
        """Whether the types say all: single, double, triple and aromatic bonds, no isotopes."""
        return (
            len(self.bonds) == self.mol.GetNumBonds()  # bonds of order zero are not in the matrix
            and all(order in _ORDERS for _, _, order, _ in self.bonds)
            and not self.mol.HasSubstructMatch(_DATIVE)
            and not self.mol.HasSubstructMatch(_ISOTOPE)  # the hash knows the heavier ones only
        )


def as_typed(mol: Chem.Mol | TypedMol) -> TypedMol:
    """``mol`` itself, or wrapped."""
    return mol if isinstance(mol, TypedMol) else TypedMol(mol)


def count_rings(n_atoms: int, ring_bonds: list[tuple[int, int]]) -> np.ndarray:
    """(4,) int64: atoms, bonds in rings, atoms with three and more of these, rings (Euler: bonds -
    atoms + components). No part of a molecule has more of any than the molecule."""
    degree: dict[int, int] = {}
    root: dict[int, int] = {}

    def find(i: int) -> int:
        while root.setdefault(i, i) != i:
            i = root[i]
        return i

    rings = 0
    for a, b in ring_bonds:
        degree[a], degree[b] = degree.get(a, 0) + 1, degree.get(b, 0) + 1
        x, y = find(a), find(b)
        rings += x == y
        root[x] = y
    junctions = sum(d > 2 for d in degree.values())
    return np.array([n_atoms, len(ring_bonds), junctions, rings])
