"""The fast verdicts against the slow ones: RDKit's own catalogue and QED."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import QED

from molgen.alert_screen import ScreenedMol, describe_fast, pains_screen, refuses
from molgen.alerts import alert_catalog
from molgen.chem import quiet_rdkit
from molgen.filters import as_filter_set
from molgen.properties import DESCRIPTORS, compute
from tests.molgen.test_motifs import read


@pytest.fixture(scope="module")
def culprits():
    """Molecules drawn from the PAINS patterns themselves, so that nearly all of them match."""
    mols = []
    with quiet_rdkit():
        for query in pains_screen()._queries:
            text = Chem.MolToSmiles(query).replace("*", "C").replace("~", "")
            mol = Chem.MolFromSmiles(text)
            if mol is not None:
                mols.append(mol)
    return mols


def test_the_screened_pains_are_those_of_the_catalogue(culprits):
    catalog = alert_catalog("pains")
    screen = pains_screen()
    met = set()
    for mol in culprits:
        expected = {m.name for m in catalog.matches(mol)}
        assert set(screen.matches(ScreenedMol(mol))) == expected
        met |= expected
    assert len(met) > 150  # patterns that were really put to the test


@pytest.mark.parametrize("preset", ["default", "lead_like"])
def test_refusal_agrees_with_the_reasons(culprits, preset):
    filters = as_filter_set(preset)
    mols = [*culprits[::3], *(Chem.MolFromSmiles(s) for s in read("moses_sample")[:60])]
    verdicts = []
    for mol in mols:
        values = compute(mol, filters.descriptors)
        for one in filters.filters:
            verdicts.append(bool(one.refuse(mol, values)))
            assert refuses(one, ScreenedMol(mol), values) == verdicts[-1]
    assert 0.02 < np.mean(verdicts) < 0.98


def test_qed_is_rdkits_to_the_last_digit(culprits):
    mols = [*culprits[::2], *(Chem.MolFromSmiles(s) for s in read("moses_sample")[:100])]
    for mol in mols:
        fast = describe_fast(ScreenedMol(mol), ["qed"], {})["qed"]
        assert fast == QED.qed(mol)


def test_descriptors_are_taken_from_what_is_known_and_computed_otherwise():
    mol = Chem.MolFromSmiles("CC(=O)Nc1ccc(O)cc1")
    names = list(DESCRIPTORS)
    assert describe_fast(ScreenedMol(mol), names, {}) == compute(mol, names)
    assert describe_fast(ScreenedMol(mol), ["mw", "rings"], {"mw": -1.0, "hbd": 9}) == {
        "mw": -1.0,
        "rings": 1.0,
    }
