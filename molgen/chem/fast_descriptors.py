"""Computes many descriptors of one molecule at once: RDKit's values, with shared steps done once.

QED counts the alerts that :mod:`molgen.filters.fast_filters` leaves, its acceptors in one pass, its
aromatic rings by arithmetic, and takes from the other descriptors what it shares with them. logP
and molar refractivity are the sums of what equal atoms contributed before. The SA and NP scores
share one fingerprint; stereocentres are those that were found when the molecule was read.
The values are those of RDKit to the last digit, which the tests hold on odd and ordinary molecules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

from molgen.chem.properties import compute, np_fragments, sa_fragments
from molgen.chem.screens import Screen
from molgen.chem.typed_molecules import TypedMol, count_rings

#: Contributions of an atom and of each of its hydrogens to logP and molar refractivity, by its
#: surroundings.
_known: dict[Any, tuple[tuple[float, float], ...]] = {}
_CRIPPEN = ("logp", "mr")

_OXYGEN = Chem.MolFromSmarts("[#8]")


_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2)
# the eleven acceptors of QED (rdkit.Chem.QED.AcceptorSmarts); no atom is two of them
_ACCEPTOR = Chem.MolFromSmarts(
    "[o&H0&X2,O&H1&X2&v2,O&H0&X2&v2,O&H0&X1&v2,O&-1&X1,S&H0&X2&v2,S&H0&X1&v2,S&-1&X1,n&H0&X2,"
    "N&H0&X1&v3,$([N;+0;X3;v3])&!$(N[C,S]=O)]"
)
_SHARED_BY_QED = ("mw", "logp", "tpsa", "hbd", "rotatable_bonds")


def describe_fast(
    molecule: TypedMol, names: Sequence[str], values: Mapping[str, float]
) -> dict[str, float]:
    """The named descriptors, taking those in ``values`` from there."""
    asked = [n for n in names if n not in values]
    slow = [n for n in asked if n not in ("qed", "sa_score", "np_score")]
    if "qed" in asked:
        slow += [n for n in _SHARED_BY_QED if n not in values and n not in slow]
    known = {**values, **quick_values(molecule, slow)}
    if "qed" in asked:
        known["qed"] = qed(molecule, known)
    if "sa_score" in asked or "np_score" in asked:
        bits = _MORGAN.GetSparseCountFingerprint(molecule.mol).GetNonzeroElements()
        if "sa_score" in asked:
            known["sa_score"] = sa_score(molecule, bits)
        if "np_score" in asked:
            known["np_score"] = np_score(molecule, bits)
    return {n: known[n] for n in names}


def quick_values(molecule: TypedMol, names: Sequence[str]) -> dict[str, float]:
    """The named descriptors as ``properties.compute`` gives them, logP and refractivity faster."""
    mol = molecule.mol
    # hydrogens that are atoms, and bonds that the types do not tell apart, are left to RDKit
    quick = [n for n in names if n in _CRIPPEN]
    if not quick or not molecule.is_plain or not _hydrogens_are_implicit(mol):
        return compute(mol, names)
    values = compute(mol, [n for n in names if n not in _CRIPPEN])
    known = dict(zip(_CRIPPEN, atom_crippen(molecule)))
    return values | {n: known[n] for n in quick}


# --- QED ------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _qed_alerts() -> Screen:
    from rdkit.Chem import QED

    return Screen({str(i): q for i, q in enumerate(QED.StructuralAlerts)})


def qed(molecule: TypedMol, values: Mapping[str, float]) -> float:
    """QED exactly as RDKit computes it, from descriptors that are there (``mw``, ``logp``,
    ``tpsa``, ``hbd``, ``rotatable_bonds``)."""
    from rdkit.Chem import QED

    mol = molecule.mol
    if not _hydrogens_are_implicit(mol):
        return compute(mol, ["qed"])["qed"]  # hydrogens that are atoms must be taken off first
    properties = QED.QEDproperties(
        MW=values["mw"],
        ALOGP=values["logp"],
        HBA=len(mol.GetSubstructMatches(_ACCEPTOR)),
        HBD=values["hbd"],
        PSA=values["tpsa"],
        ROTB=values["rotatable_bonds"],
        AROM=count_qed_rings(molecule),
        ALERTS=_qed_alerts().count(molecule),
    )
    return float(QED.qed(mol, qedProperties=properties))


def count_qed_rings(molecule: TypedMol) -> int:
    """The rings that are left when aliphatic ring atoms with a single bond to a non-aromatic atom
    are removed, which is what QED takes for its aromatic rings."""
    atoms, bonds = molecule.atoms, molecule.bonds
    in_ring = {i for ring in molecule.rings for i in ring}
    removed = set()
    for a, b, order, _ in bonds:
        for one, other in ((a, b), (b, a)) if order < 2 else ():
            if one in in_ring and not atoms[one][1] and not atoms[other][1]:
                removed.add(one)
    left = [(a, b) for a, b, _, ring in bonds if ring and not {a, b} & removed]
    return int(count_rings(len(atoms), left)[3])


# --- SA and NP score ------------------------------------------------------------------------------


def sa_score(molecule: TypedMol, bits: Mapping[int, int]) -> float:
    """Synthetic accessibility, 1 to 10, as RDKit's Contrib computes it (Ertl and Schuffenhauer,
    J. Cheminform. 1:8, 2009), from the counts of a Morgan fingerprint of radius 2."""
    mol, known = molecule.mol, sa_fragments()
    n_atoms = mol.GetNumAtoms()
    fragments = 0.0
    for bit, count in bits.items():
        fragments += known.get(bit, -4) * count
    fragments /= sum(bits.values())
    complexity = (
        0.0
        - (n_atoms**1.005 - n_atoms)
        - math.log10(_count_stereocenters(mol) + 1)
        - math.log10(rdMolDescriptors.CalcNumSpiroAtoms(mol) + 1)
        - math.log10(rdMolDescriptors.CalcNumBridgeheadAtoms(mol) + 1)
        - (math.log10(2) if any(len(ring) > 8 for ring in molecule.rings) else 0.0)
    )
    symmetry = math.log(float(n_atoms) / len(bits)) * 0.5 if n_atoms > len(bits) else 0.0
    low, high = -4.0, 2.5
    score = 11.0 - (fragments + complexity + symmetry - low + 1) / (high - low) * 9.0
    if score > 8.0:
        score = 8.0 + math.log(score + 1.0 - 9.0)
    return min(max(score, 1.0), 10.0)


def _count_stereocenters(mol: Chem.Mol) -> int:
    """Stereocentres, unassigned ones included."""
    if mol.HasProp("_StereochemDone"):  # reading it found the possible ones
        return int(rdMolDescriptors.CalcNumAtomStereoCenters(mol))
    return len(Chem.FindMolChiralCenters(mol, includeUnassigned=True))


def _hydrogens_are_implicit(mol: Chem.Mol) -> bool:
    return bool(mol.GetNumHeavyAtoms() == mol.GetNumAtoms())


def np_score(molecule: TypedMol, bits: Iterable[int]) -> float:
    """Natural-product likeness, about -5 to 5, as RDKit's Contrib computes it (Ertl, Roggo and
    Schuffenhauer, J. Chem. Inf. Model. 48:68, 2008), from the bits of a Morgan fingerprint of
    radius 2."""
    known = np_fragments()
    score = 0.0
    for bit in bits:
        if bit in known:
            score += known[bit]
    score /= float(molecule.mol.GetNumAtoms())
    if score > 4:
        return 4.0 + math.log10(score - 4.0 + 1.0)
    if score < -4:
        return -4.0 - math.log10(-4.0 - score + 1.0)
    return score


def atom_crippen(molecule: TypedMol) -> tuple[float, float]:
    """logP and molar refractivity of a molecule whose :attr:`TypedMol.is_plain` holds and whose
    hydrogens are no atoms."""
    keys = _surroundings(molecule)
    found = [_known.get(key) for key in keys]
    if None in found:
        _learn(molecule)
        found = [_known[key] for key in keys]
    logp = refractivity = 0.0
    for parts in found:
        logp += parts[0][0]  # type: ignore[index]
        refractivity += parts[0][1]  # type: ignore[index]
    for parts in found:  # AddHs puts the hydrogens behind, those of the first atom first
        for one, other in parts[1:]:  # type: ignore[index]
            logp += one
            refractivity += other
    return logp, refractivity


def _surroundings(molecule: TypedMol) -> list[Any]:
    """For each atom a key that is equal for atoms of equal surroundings."""
    own = [tuple(sorted([number for number, _ in arms])) for arms in molecule.arms]
    keys: list[Any] = list(own)
    for (i,) in molecule.mol.GetSubstructMatches(_OXYGEN, maxMatches=100_000):
        keys[i] = (own[i], *sorted([own[there] for _, there in molecule.arms[i]]))
    for i, arms in enumerate(molecule.arms):
        if not arms:
            keys[i] = molecule.atoms[i]
    return keys


def _learn(molecule: TypedMol) -> None:
    whole = Chem.AddHs(molecule.mol)
    values = rdMolDescriptors._CalcCrippenContribs(whole)
    after = len(molecule.atoms)
    for i, key in enumerate(_surroundings(molecule)):
        n_hydrogens = whole.GetAtomWithIdx(i).GetTotalNumHs(includeNeighbors=True)
        _known[key] = (values[i], *values[after : after + n_hydrogens])
        after += n_hydrogens
