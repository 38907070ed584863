"""Cheap necessary conditions of a substructure match, checked before RDKit's search."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from rdkit import Chem

from molgen.chem.typed_molecules import AtomType, TypedMol, count_rings

#: What a query may ask of an atom so that atoms of one type answer alike, and of a bond. Queries
#: that ask for anything else (environments, above all) are taken to match whatever there is.
_OF_ATOMS = frozenset(
    {
        "AtomAnd", "AtomOr", "AtomType", "AtomAtomicNum", "AtomHCount", "AtomTotalDegree",
        "AtomExplicitDegree", "AtomIsAromatic", "AtomIsAliphatic", "AtomFormalCharge", "AtomNull",
        "AtomInRing", "AtomInNRings", "AtomIsotope",
    }
)  # fmt: skip

_OF_BONDS = frozenset(
    {"BondAnd", "BondOr", "BondOrder", "SingleOrAromaticBond", "BondNull", "BondInRing"}
)


class _QueryAtom:
    """An atom of queries, and the atom types that it matches."""

    def __init__(self, atom: Chem.Atom) -> None:
        self._atom = atom
        asked = set(re.findall(r"Atom\w+|Recursive\w+", atom.DescribeQuery()))
        self.asks = bool(asked) and asked <= _OF_ATOMS
        self._known: dict[AtomType, bool] = {}

    def matches(self, kind: AtomType, atom: Chem.Atom) -> bool:
        """Whether it may match ``atom``, which is of the type ``kind``."""
        if not self.asks:
            return True
        if kind not in self._known:
            self._known[kind] = bool(self._atom.Match(atom))
        return self._known[kind]


@dataclass(frozen=True)
class _QueryArm:
    """A bond of queries seen from one of its ends."""

    here: _QueryAtom
    there: _QueryAtom
    bond: Chem.Bond
    in_ring: bool
    asks: bool

    def matches(
        self, kinds: tuple[AtomType, AtomType], ends: tuple[Chem.Atom, Chem.Atom], bond: Chem.Bond
    ) -> bool:
        """Whether it may match a bond between two atoms of a molecule."""
        return (
            self.here.matches(kinds[0], ends[0])
            and self.there.matches(kinds[1], ends[1])
            and (not self.in_ring or bond.IsInRing())
            and (not self.asks or bool(self.bond.Match(bond)))
        )


class Screen:
    """Queries that can be ruled out by the atoms and angles that they need."""

    def __init__(self, queries: Mapping[str, Chem.Mol]) -> None:
        """Queries by their names."""
        self._names, self._queries = list(queries), list(queries.values())
        self._atoms: dict[str, _QueryAtom] = {}
        self._arms: dict[tuple[object, ...], int] = {}
        self._arm_list: list[_QueryArm] = []
        # what queries need, by number: an atom, or two arms of one atom (-1 for no second)
        self._needs: dict[str | tuple[int, int], int] = {}
        wanted = [self._needs_of(query) for query in self._queries]
        self._n_bytes = 8 * (len(self._needs) // 64 + 1)
        self._needed = np.stack([self._words(bits) for bits in wanted])
        self._angles: dict[int, list[tuple[int, int]]] = {}
        for need, k in self._needs.items():
            if not isinstance(need, str):
                self._angles.setdefault(need[0], []).append((need[1], 1 << k))
        self._counts = np.stack([_counts(query) for query in self._queries])
        # what was found out of atoms, bonds and angles of molecules, as bits
        self._of_atoms: dict[AtomType, int] = {}
        self._of_arms: dict[int, int] = {-1: 0}
        self._of_angles: dict[tuple[int, int], int] = {}

    # --- What a query needs -------------------------------------------------------------------

    def _needs_of(self, query: Chem.Mol) -> int:
        Chem.FastFindRings(query)
        bits = 0
        for atom in query.GetAtoms():
            if self._query_atom(atom).asks:
                bits |= self._need(atom.DescribeQuery())
            arms = [self._arm(atom, bond) for bond in atom.GetBonds()]
            if len(arms) == 1:
                bits |= self._need((-1, arms[0]))
            for k, first in enumerate(arms):
                for second in arms[k + 1 :]:
                    bits |= self._need((min(first, second), max(first, second)))
        return bits

    def _need(self, need: str | tuple[int, int]) -> int:
        return 1 << self._needs.setdefault(need, len(self._needs))

    def _query_atom(self, atom: Chem.Atom) -> _QueryAtom:
        return self._atoms.setdefault(atom.DescribeQuery(), _QueryAtom(atom))

    def _arm(self, atom: Chem.Atom, bond: Chem.Bond) -> int:
        other = bond.GetOtherAtom(atom)
        ring = bond.IsInRing()
        key = (atom.DescribeQuery(), other.DescribeQuery(), bond.DescribeQuery(), ring)
        if key not in self._arms:
            ends = self._query_atom(atom), self._query_atom(other)
            asked = set(re.findall(r"\w*Bond\w*", bond.DescribeQuery()))
            asks = bool(asked) and asked <= _OF_BONDS
            self._arms[key] = len(self._arm_list)
            self._arm_list.append(_QueryArm(*ends, bond, ring, asks))
        return self._arms[key]

    def _words(self, bits: int) -> np.ndarray:
        return np.frombuffer(bits.to_bytes(self._n_bytes, "little"), dtype=np.uint64)

    # --- What a molecule has ------------------------------------------------------------------

    def _not_ruled_out(self, molecule: TypedMol) -> list[int]:
        if not molecule.is_plain:
            return list(range(len(self._queries)))
        met = 0
        for i, kind in enumerate(molecule.atoms):
            bits = self._of_atoms.get(kind)
            if bits is None:
                bits = self._of_atoms[kind] = self._fitting_atom(kind, molecule, i)
            met |= bits
        for angle, place in molecule.angles.items():
            bits = self._of_angles.get(angle)
            if bits is None:
                bits = self._of_angles[angle] = self._fitting_angle(angle, molecule, place)
            met |= bits
        lacking = self._needed & ~self._words(met)
        possible = ~lacking.any(axis=1) & (self._counts <= molecule.counts).all(axis=1)
        result: list[int] = np.flatnonzero(possible).tolist()
        return result

    def _fitting_atom(self, kind: AtomType, molecule: TypedMol, i: int) -> int:
        atom = molecule.mol.GetAtomWithIdx(i)
        return sum(
            self._need(name)
            for name, one in self._atoms.items()
            if name in self._needs and one.matches(kind, atom)
        )

    def _fitting_angle(
        self, angle: tuple[int, int], molecule: TypedMol, place: tuple[int, int, int]
    ) -> int:
        first, second = (
            self._fitting_arms(number, molecule, place[0], other)
            for number, other in zip(angle, place[1:])
        )
        bits = 0
        for one, other in ((first, second), (second, first)):
            for a in (-1, *_places(one)):
                for b, bit in self._angles.get(a, ()):
                    if other >> b & 1:
                        bits |= bit
        return bits

    def _fitting_arms(self, number: int, molecule: TypedMol, here: int, there: int) -> int:
        """The query arms that a bond meets, as bits."""
        if number not in self._of_arms:
            kinds = molecule.atoms[here], molecule.atoms[there]
            ends = molecule.mol.GetAtomWithIdx(here), molecule.mol.GetAtomWithIdx(there)
            bond = molecule.mol.GetBondBetweenAtoms(here, there)
            self._of_arms[number] = sum(
                1 << k for k, arm in enumerate(self._arm_list) if arm.matches(kinds, ends, bond)
            )
        return self._of_arms[number]

    # --- Answers ------------------------------------------------------------------------------

    def candidates(self, molecule: TypedMol) -> list[Chem.Mol]:
        """The queries that the molecule may have."""
        return [self._queries[i] for i in self._not_ruled_out(molecule)]

    def matches(self, molecule: TypedMol) -> list[str]:
        """The names of the queries that the molecule has."""
        return [
            self._names[i]
            for i in self._not_ruled_out(molecule)
            if molecule.mol.HasSubstructMatch(self._queries[i])
        ]

    def count(self, molecule: TypedMol) -> int:
        """How many of the queries the molecule has."""
        return sum(molecule.mol.HasSubstructMatch(q) for q in self.candidates(molecule))

    def any_match(self, molecule: TypedMol) -> bool:
        """Whether the molecule has any of the queries."""
        return any(molecule.mol.HasSubstructMatch(q) for q in self.candidates(molecule))


def _counts(query: Chem.Mol) -> np.ndarray:
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in query.GetBonds() if b.IsInRing()]
    return count_rings(query.GetNumAtoms(), bonds)


def _places(bits: int) -> Iterator[int]:
    """The places of the bits that are set."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
