"""logP and what else adds up over atoms, from what was found out of equal atoms before.

RDKit's logP (Wildman and Crippen, J. Chem. Inf. Comput. Sci. 39:868, 1999) is a sum over atoms,
hydrogens included; what an atom contributes is decided by 110 patterns that look at its neighbours,
those of oxygen at the neighbours' neighbours too. So atoms with equal surroundings contribute the
same, and RDKit is asked once for each kind of surroundings. The sum runs in RDKit's order, so that
the value is RDKit's to the last digit.
"""

from __future__ import annotations

from typing import Any

from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from molgen.chem.typed_molecules import TypedMol

#: Contributions of an atom and of each of its hydrogens, by its surroundings.
_known: dict[Any, tuple[float, ...]] = {}
_OXYGEN = Chem.MolFromSmarts("[#8]")


def atom_logp(molecule: TypedMol) -> float:
    """logP of a molecule whose :attr:`TypedMol.is_plain` holds and whose hydrogens are no atoms."""
    found = [_known.get(key) for key in _surroundings(molecule)]
    if None in found:
        _learn(molecule)
        found = [_known[key] for key in _surroundings(molecule)]
    total = 0.0
    for parts in found:
        total += parts[0]  # type: ignore[index]
    for parts in found:  # AddHs puts the hydrogens behind, those of the first atom first
        for value in parts[1:]:  # type: ignore[index]
            total += value
    return total


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
    values = [logp for logp, _ in rdMolDescriptors._CalcCrippenContribs(whole)]
    after = len(molecule.atoms)
    for i, key in enumerate(_surroundings(molecule)):
        n_hydrogens = whole.GetAtomWithIdx(i).GetTotalNumHs(includeNeighbors=True)
        _known[key] = (values[i], *values[after : after + n_hydrogens])
        after += n_hydrogens
