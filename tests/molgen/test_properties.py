"""Descriptors against published values and RDKit's own."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors, Lipinski

from molgen.chem.description import describe
from molgen.chem.properties import DESCRIPTORS, np_score, sa_score

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def drugs() -> list[str]:
    return gzip.decompress((DATA / "approved_drugs.smi.gz").read_bytes()).decode().split()[500:540]


def test_aspirin_and_morphine_against_published_values():
    table = describe(
        ["CC(=O)Oc1ccccc1C(=O)O", "CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5"]
    )
    aspirin, morphine = table.iloc[0], table.iloc[1]
    assert aspirin.mw == pytest.approx(180.16, abs=0.01)  # IUPAC atomic weights
    assert aspirin.tpsa == pytest.approx(63.6, abs=0.05)  # Ertl et al. 2000, table 3
    assert (aspirin.lipinski_hbd, aspirin.lipinski_hba) == (1, 4)  # Lipinski's counts
    assert aspirin.rings == aspirin.aromatic_rings == 1
    assert aspirin.fsp3 == pytest.approx(1 / 9)
    assert morphine.mw == pytest.approx(285.34, abs=0.01)
    assert morphine.tpsa == pytest.approx(52.9, abs=0.05)  # Ertl et al. 2000
    assert (morphine.rings, morphine.stereocenters) == (5, 5)
    assert morphine.heavy_atoms == 21
    assert morphine.atoms == 40
    # Ertl 2009 calls morphine hard to make and Ertl 2008 calls it natural
    assert morphine.sa_score > 4 > 2 > aspirin.sa_score
    assert morphine.np_score > 1.5 > aspirin.np_score


def test_scores_against_rdkits_unit_tests():
    """Values in RDKit's Contrib/SA_Score/data (zim.100) and its documentation of NP score."""
    assert sa_score(Chem.MolFromSmiles("c1ccccc1")) == pytest.approx(1.0)
    for smiles in ("CCO", "CC(C)Cc1ccc(cc1)C(C)C(=O)O"):
        assert 1 <= sa_score(Chem.MolFromSmiles(smiles)) <= 10
        assert -5 <= np_score(Chem.MolFromSmiles(smiles)) <= 5


def test_columns(drugs):
    table = describe(drugs)
    assert len(table) == len(drugs)
    assert len(DESCRIPTORS) >= 20
    assert list(table.columns) == ["smiles", *DESCRIPTORS]
    promised = [
        "mw",
        "logp",
        "tpsa",
        "hbd",
        "hba",
        "rotatable_bonds",
        "rings",
        "fsp3",
        "qed",
        "sa_score",
        "np_score",
    ]
    assert set(promised) <= set(table.columns)
    mols = [Chem.MolFromSmiles(s) for s in drugs]
    np.testing.assert_allclose(table.mw, [Descriptors.MolWt(m) for m in mols])
    np.testing.assert_allclose(table.logp, [Crippen.MolLogP(m) for m in mols])
    np.testing.assert_allclose(table.mr, [Crippen.MolMR(m) for m in mols])
    np.testing.assert_allclose(table.hbd, [Lipinski.NumHDonors(m) for m in mols])
    np.testing.assert_allclose(table.lipinski_hba, [Lipinski.NOCount(m) for m in mols])
    np.testing.assert_allclose(table.lipinski_hbd, [Lipinski.NHOHCount(m) for m in mols])
    assert (table.rotatable_bonds <= table.rotatable_bonds_loose).all()
    assert (table.aromatic_rings + table.aliphatic_rings == table.rings).all()


def test_bad_rows_are_kept_with_nan_and_reported():
    with pytest.warns(UserWarning, match="3 of 4 rows are not molecules .* row 2: ring closure 1"):
        table = describe(["CCO", "C1CC", None, ""], properties=["mw", "qed"])
    assert table.smiles.tolist() == ["CCO", "C1CC", None, ""]
    assert table.mw.notna().tolist() == [True, False, False, False]
    assert [r["line"] for r in table.attrs["rejected"]] == [2, 3, 4]
    assert table.attrs["rejected"][2]["reason"] == "empty"


def test_odd_molecules_get_values():
    table = describe(["C", "[Na+].[Cl-]", "[CH3]", "[2H]C", "[Fe]", "[H][H]"])
    assert table.mw.notna().all()
    assert table.fsp3.iloc[0] == 1
    assert not table.attrs["rejected"]


def test_empty_and_single_input():
    assert len(describe([])) == 0
    assert list(describe([], properties=["mw"]).columns) == ["smiles", "mw"]
    assert len(describe("CCO")) == 1
    with pytest.raises(ValueError, match="Unknown property 'logP'; did you mean 'logp'"):
        describe("CCO", properties=["logP"])
    with pytest.raises(TypeError, match="Expected SMILES strings, received int"):
        describe(3)
    with pytest.raises(ValueError, match="n_jobs"):
        describe("CCO", n_jobs=0)


def test_processes_do_not_change_the_table(drugs):
    many = drugs * 15  # more than one chunk
    names = ["mw", "logp", "rings"]
    pd.testing.assert_frame_equal(
        describe(many, properties=names, n_jobs=2), describe(many, properties=names)
    )


def test_sa_score_reaches_ten_for_the_unmakeable():
    assert math.isfinite(sa_score(Chem.MolFromSmiles("C" * 200)))
