"""Clusters molecules into chemotypes: those whose scaffolds are alike, one by one in their order.

A molecule belongs to the first cluster whose founder has a similar scaffold (Tanimoto similarity of
ECFP4 counts of the Bemis-Murcko scaffolds; without rings, of the molecules); where there is none it
founds one. The clusters of a list therefore depend on its order and on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molgen.chem.parsing import parse
from molgen.chem.ring_systems import scaffold

_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2)
SIMILAR = 0.5
"""Scaffolds at least so similar are one chemotype."""


class Chemotypes:
    """Clusters that grow as molecules come.

    Examples:
        >>> from molgen.chem.chemotypes import Chemotypes
        >>> chemotypes = Chemotypes()
        >>> [chemotypes.add(s) for s in ("Cc1ccccc1", "CCc1ccccc1O", "C1CCNCC1")]
        [0, 0, 1]
        >>> chemotypes.find("OC1CCNCC1"), chemotypes.find("c1cc[nH]c1"), chemotypes.sizes
        (1, None, [2, 1])
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._founders: list[Any] = []
        self._seen: dict[str, int] = {}

    def add(self, molecule: str | Chem.Mol) -> int:
        """Number of the molecule's cluster, which it joins or founds."""
        key, mol = _core(molecule)
        found = self._find(key, mol)
        if found is None:
            found = len(self.sizes)
            self.sizes.append(0)
            self._founders.append(_MORGAN.GetSparseCountFingerprint(mol))
        self._seen[key] = found
        self.sizes[found] += 1
        return found

    def find(self, molecule: str | Chem.Mol) -> int | None:
        """Number of the cluster that the molecule would join; None if it would found one."""
        return self._find(*_core(molecule))

    def _find(self, key: str, mol: Chem.Mol) -> int | None:
        if key in self._seen:
            return self._seen[key]
        if not self._founders:
            return None
        print_ = _MORGAN.GetSparseCountFingerprint(mol)
        alike = DataStructs.BulkTanimotoSimilarity(print_, self._founders)
        return next((i for i, value in enumerate(alike) if value >= SIMILAR), None)


def _core(molecule: str | Chem.Mol) -> tuple[str, Chem.Mol]:
    """The scaffold as SMILES and molecule; of a molecule without rings the molecule itself."""
    mol = molecule if isinstance(molecule, Chem.Mol) else parse(molecule)
    text = scaffold(mol)
    if not text:
        return Chem.MolToSmiles(mol), mol
    return text, parse(text)


def chemotypes_of(smiles: Iterable[str]) -> list[int]:
    """The number of each molecule's chemotype, in the order given."""
    chemotypes = Chemotypes()
    return [chemotypes.add(text) for text in smiles]
