"""Fingerprints against RDKit's old interface; scaffolds and ring systems of known molecules."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem

from molgen.chem import parsing as chem
from molgen.chem.fingerprints import fingerprints, tanimoto
from molgen.chem.ring_systems import ring_systems, ring_systems_with_atoms, scaffold

DATA = Path(__file__).parents[1] / "data"


def rows(name: str, n: int | None = None) -> list[str]:
    return gzip.decompress((DATA / f"{name}.smi.gz").read_bytes()).decode().split()[:n]


def test_fingerprints_and_tanimoto_agree_with_rdkit():
    smiles = rows("approved_drugs", 60)
    mols = [Chem.MolFromSmiles(s) for s in smiles]
    with chem.quiet_rdkit():
        old = [AllChem.GetMorganFingerprintAsBitVect(m, 2, nBits=1024) for m in mols]
    ours = fingerprints(smiles)
    assert ours.dtype == np.uint8
    assert ours.tolist() == [list(fp) for fp in old]
    expected = [DataStructs.BulkTanimotoSimilarity(fp, old) for fp in old]
    np.testing.assert_allclose(tanimoto(ours, ours), expected, atol=1e-6)
    assert fingerprints([]).shape == (0, 1024)
    with pytest.raises(ValueError, match="equally long"):
        tanimoto(ours, ours[:, :10])


@pytest.mark.parametrize(
    ("text", "plain", "generic"),
    [
        ("CCc1ccc(CCN2CCOCC2)cc1", "c1ccc(CCN2CCOCC2)cc1", "C1CCC(CCC2CCCCC2)CC1"),
        ("CC(=O)C1CCC(=O)N1", "O=C1CCCN1", "C1CCCC1"),
        ("CCCC", "", ""),
    ],
)
def test_scaffolds(text, plain, generic):
    assert scaffold(text) == plain
    assert scaffold(text, generic=True) == generic


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CCCC", []),
        ("CN1CCCC1=O", ["O=C1CCCN1"]),
        ("Cn1cccc1", ["c1cc[nH]c1"]),
        ("c1ccc2c(c1)CC1(CCNCC1)N2", ["c1ccc2c(c1)CC1(CCNCC1)N2"]),
        ("c1ccccc1-c1ccccn1", ["c1ccccc1", "c1ccncc1"]),
        ("O=S1(=O)CCN(CC2CC2)CC1", ["O=S1(=O)CCNCC1", "C1CC1"]),
        ("CN=C1CCCCC1", ["N=C1CCCCC1"]),
        ("C[n+]1ccccc1", ["c1cc[nH+]cc1"]),
    ],
)
def test_ring_systems(text, expected):
    assert sorted(ring_systems(text)) == sorted(expected)


def test_ring_systems_cover_every_ring_atom_once():
    for smiles in rows("approved_drugs", 400):
        mol = chem.parse(smiles)
        found = ring_systems_with_atoms(mol)
        atoms = [a for _, inside in found for a in inside]
        assert len(atoms) == len(set(atoms))
        assert {a.GetIdx() for a in mol.GetAtoms() if a.IsInRing()} <= set(atoms)
