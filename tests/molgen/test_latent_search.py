"""Decoding by search gives back what the latent tells, and never what is farther than before."""

from collections import Counter

import numpy as np
import pytest
from rdkit import Chem

import molgen
from molgen.motifs.stereo import flat_of
from molgen.motifs.trees import decompose
from molgen.sampling import latent_search
from molgen.sampling.rearranging import rearranged
from tests.molgen.stereo_molecules import DRUGS
from tests.molgen.test_motifs import read


def distances(model, z: np.ndarray, smiles: list[str]) -> np.ndarray:
    return np.linalg.norm(model.encode_posterior(list(smiles))[0] - z, axis=1)


def test_the_search_finds_drugs_that_the_likeliest_choices_miss() -> None:
    model = molgen.load_model("druglike")
    drugs = [Chem.CanonSmiles(s) for s in DRUGS.values()]
    z = model.encode(drugs)
    likeliest, searched = model.decode(z, search=0), model.decode(z, search=48)
    far = distances(model, z, searched)
    assert (far <= distances(model, z, likeliest) + 1e-5).all()
    before, after = (np.array([a == b for a, b in zip(drugs, f)]) for f in (likeliest, searched))
    assert before.sum() + 5 < after.sum() and (before <= after).all()
    assert after.tolist() == (far < 1e-4).tolist()


def test_a_latent_of_no_molecule_gets_the_nearest_that_was_drawn(small_model) -> None:
    z = small_model.encode(["CCOC(=O)c1ccccc1", "CN1CCN(C)CC1"]).mean(0, keepdims=True)
    few, many = (small_model.decode(z, search=n) for n in (16, 64))
    assert distances(small_model, z, many) <= distances(small_model, z, few)


def test_rows_do_not_depend_on_each_other(small_model) -> None:
    z = small_model.encode(read("moses_sample")[40:46])
    together = small_model.decode(z, search=20)
    assert [small_model.decode(row[None], search=20)[0] for row in z] == list(together)


@pytest.mark.parametrize("lead", ["C[C@H](N)C(=O)Nc1ccccc1", "C/C(=N\\O)c1ccccc1"])
def test_both_mirror_images_come_back(lead: str) -> None:
    model = molgen.load_model("druglike")
    other = lead.translate(str.maketrans({"\\": "/"})).replace("[C@H]", "[C@@H]")
    both = [Chem.CanonSmiles(lead), Chem.CanonSmiles(other)]
    assert both[0] != both[1]
    assert model.decode(model.encode(both)) == both


@pytest.mark.parametrize(
    "smiles", ["Cc1ccc(F)cc1O", "CCOC(=O)C1CC1", "OCCNC(=O)c1ccncc1", "C[C@H](O)c1ccccc1F"]
)
def test_rearranged_molecules_have_the_same_motifs_and_lead_back(smiles: str) -> None:
    flat = flat_of(Chem.CanonSmiles(smiles))
    parts = Counter(decompose(Chem.MolFromSmiles(flat)).motifs)
    others = rearranged(smiles, 10_000)
    assert others and flat not in others and len(set(others)) == len(others)
    for other in others:
        assert Counter(decompose(Chem.MolFromSmiles(other)).motifs) == parts
        assert flat in rearranged(other, 10_000)
    assert rearranged(smiles, 3) == others[:3]


def test_one_part_elsewhere_and_two_in_each_others_place_are_rearranged() -> None:
    on_the_ring = {"Oc1cccc(F)c1", "Oc1ccccc1F"}
    assert set(rearranged("Oc1ccc(F)cc1", 100)) == on_the_ring | {"FOc1ccccc1"}
    here, there = "O=C(NCc1ccncc1)c1ccccc1", "O=C(NCc1ccccc1)c1ccncc1"
    assert Chem.CanonSmiles(there) in rearranged(here, 1_000)
    assert rearranged("c1ccccc1", 5) == []


def test_what_is_rearranged_brings_nothing_farther(stereo_model, monkeypatch) -> None:
    z = stereo_model.encode(list(DRUGS.values())[:4])
    monkeypatch.setattr(latent_search, "_LIKE", 0.0)
    plain = distances(stereo_model, z, stereo_model.decode(z, search=8))
    monkeypatch.setattr(latent_search, "_LIKE", 100.0)
    monkeypatch.setattr(latent_search, "_MOST_REARRANGED", 40)
    monkeypatch.setattr(latent_search, "_MOST_STEPS", 1)
    further = distances(stereo_model, z, stereo_model.decode(z, search=8))
    assert (further <= plain + 1e-5).all() and (further < plain - 1e-3).any()


def test_a_search_is_a_whole_number(small_model) -> None:
    with pytest.raises(ValueError, match="search is -1; expected a whole number"):
        small_model.decode(np.zeros((1, small_model.latent_dim)), search=-1)
