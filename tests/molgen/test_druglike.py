"""The shipped `druglike`: stereo, charges and real drugs' sizes, by every verb."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

import molgen
from molgen.batch.plan import RunPlan
from molgen.files.tables import save_table
from molgen.motifs.stereo import has_marks
from molgen.motifs.trees import decompose
from molgen.provenance import record, verify

STEROID = "C[C@]12CC[C@H]3[C@@H](CC[C@@H]4CC(=O)CC[C@@]34C)[C@@H]1CC[C@@H]2O"
NICOTINIUM = "C[N+]1(C)CCC[C@H]1c1cccnc1"
IMATINIB = "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"


@pytest.fixture(scope="module")
def model():
    return molgen.load_model("druglike")


@pytest.fixture(scope="module")
def sample(model):
    return model.sample(300, seed=0)


def test_it_is_small_enough_to_ship(model) -> None:
    assert sum(p.stat().st_size for p in Path(model.folder).iterdir()) <= 40e6
    assert model.network.has_stereo and model.network.has_rare


def test_it_is_taken_where_no_model_is_named(model, tmp_path) -> None:
    assert molgen.load_model().card["sha256"] == model.card["sha256"]
    assert RunPlan.from_dict({"n": 5}).model == "druglike"
    for name in ("moses", "druglike"):  # a record that names none: by its checkpoint
        held = molgen.load_model(name)
        made = record("sample", {"n": 3}, seed=1, checkpoint_sha256=held.card["sha256"])
        table = pd.DataFrame({"smiles": list(held.sample(3, seed=1))})
        verdict = verify(save_table(table, tmp_path / f"{name}.csv", made))
        assert verdict.passed and any("made again" in line for line in verdict.checks), verdict


def test_what_it_spells_is_not_called_unwritten(model, sample) -> None:
    listed = set(model.network.vocabulary.motifs)
    strange = "OC1(CC1)C1CCC2(CC1)C1CC3CC(C1)CC2C3"
    assert not set(decompose(Chem.MolFromSmiles(strange)).motifs) <= listed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.encode([*sample, strange])


def test_samples_are_valid_with_stereo_and_sizes_of_drugs(model, sample) -> None:
    assert not sample.dropped and len(set(sample)) > 290
    mols = [Chem.MolFromSmiles(s) for s in sample]
    assert [Chem.MolToSmiles(mol) for mol in mols] == list(sample)
    sizes = np.array([mol.GetNumHeavyAtoms() for mol in mols])
    assert np.percentile(sizes, 10) < 20 < np.median(sizes) < np.percentile(sizes, 90) < 50
    assert 0.2 < np.mean([has_marks(s) for s in sample]) < 0.6
    assert model.sample(300, seed=0) == list(sample)


def test_drugs_come_back_from_their_latents(model) -> None:
    leads = [IMATINIB, "CC(=O)Oc1ccccc1C(=O)O", "CN1CCN(CC1)c1ccccc1", "Nc1ncnc2[nH]cnc12"]
    assert model.decode(model.encode(leads)) == [Chem.CanonSmiles(s) for s in leads]


@pytest.mark.parametrize("lead", [STEROID, NICOTINIUM, IMATINIB])
def test_analogues_keep_charge_and_the_rest_of_the_stereo(model, lead: str) -> None:
    near = model.sample_near(lead, 8, seed=0)
    assert len(near) == 8
    charge = Chem.GetFormalCharge(Chem.MolFromSmiles(lead))
    assert sum(Chem.GetFormalCharge(Chem.MolFromSmiles(s)) == charge for s in near) >= 6


def test_a_chiral_charged_scaffold_is_kept(model) -> None:
    for scaffold in ("C1CC[C@H]2CCCC[C@@H]2C1", "C1CC[N+]2(C1)CCCC2", "O=C1NC2(CCNCC2)C(=O)N1"):
        query = Chem.MolFromSmiles(scaffold)
        grown = model.sample_scaffold(scaffold, 6, seed=0)
        assert len(grown) == 6
        mols = map(Chem.MolFromSmiles, grown)
        assert all(mol.HasSubstructMatch(query, useChirality=True) for mol in mols)


def test_open_centres_are_stated(model) -> None:
    (stated,) = model.add_stereo(["CC(N)c1ccccc1"], seed=0)
    assert "@" in stated and Chem.CanonSmiles(stated.replace("@", "")) == "CC(N)c1ccccc1"
