"""When two molecules are the same compound: parents are compared, with stereo or without.

The parent of a molecule is what is left when salts are stripped, charges neutralised and isotope
labels set aside. A model that writes no stereo can only be told from what is known without it: then
both are compared by the first block of their InChIKeys, which holds formula and connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rdkit import Chem

from molgen.chem.parsing import MoleculeError, parse, quiet_rdkit
from molgen.chem.standardization import standardize_mol


def parent(mol: Chem.Mol) -> Chem.Mol:
    """The parent, or the molecule itself where it has none (metals, radicals, no carbon)."""
    try:
        return standardize_mol(mol)[0]
    except (MoleculeError, ValueError, RuntimeError):
        return mol


def compound_key(mol: Chem.Mol, stereo: bool = True) -> str:
    """A text that is equal for molecules of one compound.

    Of the parent's InChIKey both blocks, or the first without ``stereo``; where InChI fails (rare:
    exotic valences), the parent's canonical SMILES.

    >>> from molgen.chem.parsing import parse
    >>> key = compound_key(parse("C[C@H](N)C(=O)O.Cl"), stereo=False)
    >>> key == compound_key(parse("CC([NH3+])C([O-])=O"), stereo=False)
    True
    """
    whole = parent(mol)
    with quiet_rdkit():
        key = Chem.MolToInchiKey(whole)
    if key:
        return cut_inchikey(key, stereo)
    whole = Chem.Mol(whole)
    if not stereo:
        Chem.RemoveStereochemistry(whole)
    return Chem.MolToSmiles(whole)


def cut_inchikey(key: str, stereo: bool = True) -> str:
    """The part of an InChIKey by which compounds are compared: no protonation, stereo if wanted."""
    return key[:25] if stereo else key[:14]


def compound_keys(smiles: Sequence[str], stereo: bool = True) -> list[str | None]:
    """The key of each text; None for what is not a molecule."""
    keys: list[str | None] = []
    for text in smiles:
        try:
            keys.append(compound_key(parse(text), stereo))
        except (MoleculeError, TypeError):
            keys.append(None)
    return keys


def any_stereo(smiles: Iterable[str]) -> bool:
    """Whether any of these SMILES gives a stereocentre or the geometry of a double bond."""
    return any(mark in text for text in smiles for mark in "@/\\")
