"""The fast verdicts against the slow ones: RDKit's own catalogue and QED."""

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, RDConfig
from rdkit.Chem import QED

from molgen.chem.fast_descriptors import describe_fast
from molgen.chem.parsing import quiet_rdkit
from molgen.chem.properties import DESCRIPTORS, compute
from molgen.chem.ring_systems import ring_systems_with_atoms
from molgen.chem.typed_molecules import TypedMol
from molgen.filters.alerts import alert_catalog
from molgen.filters.fast_filters import pains_screen, refuses
from molgen.filters.filter_sets import as_filter_set
from molgen.filters.ring_frequency import find_ring_systems
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
        assert set(screen.matches(TypedMol(mol))) == expected
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
            assert refuses(one, TypedMol(mol), values) == verdicts[-1]
    assert 0.02 < np.mean(verdicts) < 0.98


def test_qed_is_rdkits_to_the_last_digit(culprits):
    mols = [*culprits[::2], *(Chem.MolFromSmiles(s) for s in read("moses_sample")[:100])]
    for mol in mols:
        fast = describe_fast(TypedMol(mol), ["qed"], {})["qed"]
        assert fast == QED.qed(mol)


def test_descriptors_are_taken_from_what_is_known_and_computed_otherwise():
    mol = Chem.MolFromSmiles("CC(=O)Nc1ccc(O)cc1")
    names = list(DESCRIPTORS)
    assert describe_fast(TypedMol(mol), names, {}) == compute(mol, names)
    assert describe_fast(TypedMol(mol), ["mw", "rings"], {"mw": -1.0, "hbd": 9}) == {
        "mw": -1.0,
        "rings": 1.0,
    }


@pytest.fixture(scope="module")
def odd():
    """400 molecules of the NCI collection that RDKit ships: metals, isotopes, charges, stereo."""
    lines = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text().splitlines()
    texts = [line.split()[0] for line in lines[::12] if line.strip()]
    texts += ["CC[13CH2]OC1CO[C@H](C)O1", "[2H]OC", "O=[N+]([O-])OC.[PH4+]", "CN([O-])[NH3+]"]
    with quiet_rdkit():
        pairs = [(text, Chem.MolFromSmiles(text)) for text in texts]
    return [(text, mol) for text, mol in pairs if mol is not None and mol.GetNumAtoms()]


@pytest.mark.long
def test_fast_values_are_rdkits_on_odd_molecules_too(odd):
    catalog, names = alert_catalog("pains"), ["logp", "qed", "sa_score", "np_score", "rings"]
    assert len(odd) > 380
    ordinary = [(text, Chem.MolFromSmiles(text)) for text in read("moses_sample")[:300]]
    with quiet_rdkit():
        for text, mol in [*odd, *ordinary, *odd]:  # what is remembered holds for later ones
            molecule = TypedMol(mol, text)
            assert describe_fast(molecule, names, {}) == compute(mol, names), text
            assert pains_screen().any_match(molecule) == catalog.any_match(mol), text


def test_remembered_ring_systems_are_those_that_are_found(odd):
    with quiet_rdkit():
        for again in range(2):
            for text, mol in odd:
                expected = ring_systems_with_atoms(mol)
                found = [(s.smiles, s.atoms) for s in find_ring_systems(TypedMol(mol, text))]
                assert found == expected, (text, again)
