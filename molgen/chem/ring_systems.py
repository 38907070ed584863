"""Ring systems and Bemis-Murcko scaffolds of molecules."""

from __future__ import annotations

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molgen.chem.parsing import parse, quiet_rdkit


def scaffold(smiles: str | Chem.Mol, generic: bool = False) -> str:
    """Bemis–Murcko scaffold as canonical SMILES; empty for a molecule without rings.

    Args:
        smiles: SMILES or molecule.
        generic: make every atom carbon and every bond single (the framework of Bemis and Murcko,
            J. Med. Chem. 39:2887, 1996, after which the atoms that only made a double bond to the
            frame are cut off once more).

    >>> scaffold("CCc1ccc(CCN2CCOCC2)cc1")
    'c1ccc(CCN2CCOCC2)cc1'
    """
    mol = smiles if isinstance(smiles, Chem.Mol) else parse(smiles)
    if mol.GetRingInfo().NumRings() == 0:  # RDKit takes minutes over a chain of thousands
        return ""
    with quiet_rdkit():
        core = MurckoScaffold.GetScaffoldForMol(mol)
        if generic and core.GetNumAtoms():
            core = MurckoScaffold.GetScaffoldForMol(MurckoScaffold.MakeScaffoldGeneric(core))
        return Chem.MolToSmiles(core)


def ring_systems(smiles: str | Chem.Mol, stereo: bool = False) -> list[str]:
    """Canonical SMILES of each ring system: fused and spiro rings together, bare of substituents.

    Atoms doubly bonded to a ring from outside (the oxygen of a lactam) belong to the system, other
    substituents are replaced by hydrogen: the convention of Walters's ``useful_rdkit_utils`` and
    of Ertl's ring analyses.

    >>> ring_systems("CN1CCCC1=O")
    ['O=C1CCCN1']
    """
    return [text for text, _ in ring_systems_with_atoms(smiles, stereo)]


def ring_systems_with_atoms(
    smiles: str | Chem.Mol, stereo: bool = False
) -> list[tuple[str, tuple[int, ...]]]:
    """Like :func:`ring_systems`, each with the indices of its atoms in the molecule."""
    mol = smiles if isinstance(smiles, Chem.Mol) else parse(smiles)
    if mol.GetRingInfo().NumRings() == 0:
        return []
    # two ring systems joined by a double bond are one system, as in useful_rdkit_utils
    cuts = [
        b.GetIdx()
        for b in mol.GetBonds()
        if not b.IsInRing() and b.GetBondType() == Chem.BondType.SINGLE
    ]
    n_atoms = mol.GetNumAtoms()
    with quiet_rdkit():
        cut = Chem.FragmentOnBonds(mol, cuts) if cuts else Chem.Mol(mol)
        indices: list[list[int]] = []
        parts = Chem.GetMolFrags(cut, asMols=True, sanitizeFrags=False, fragsMolAtomMapping=indices)
        found = []
        for part, atoms in zip(parts, indices):
            inside = [i for i in atoms if i < n_atoms]
            if not any(mol.GetAtomWithIdx(i).IsInRing() for i in inside):
                continue
            system = Chem.RWMol(part)
            for atom in system.GetAtoms():
                if atom.GetAtomicNum() == 0 and atoms[atom.GetIdx()] >= n_atoms:
                    atom.SetAtomicNum(1)
                    atom.SetIsotope(0)
            if not stereo:
                Chem.RemoveStereochemistry(system)
            try:
                bare = Chem.RemoveAllHs(system)
                found.append((Chem.MolToSmiles(bare, isomericSmiles=stereo), tuple(inside)))
            except Chem.MolSanitizeException:
                continue
    return found
