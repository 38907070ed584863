"""Molecules in a property window."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, rdMolDescriptors

from molgen.chem.fingerprints import fingerprints, tanimoto
from molgen.generation.windows import _Prints, sample_where


def test_molecules_are_inside_the_window(small_model) -> None:
    found = small_model.sample_where({"logp": (1, 3), "tpsa": (40, 90)}, 60, seed=1)
    assert len(set(found)) == 60 and 0 < found.acceptance <= 1
    for smiles in found:
        mol = Chem.MolFromSmiles(smiles)
        assert 1 <= Crippen.MolLogP(mol) <= 3 and 40 <= rdMolDescriptors.CalcTPSA(mol) <= 90


@pytest.mark.long
def test_a_narrow_window_is_as_diverse_as_plain_samples_unless_the_likely_are_asked_for(
    small_model,
) -> None:
    def diversity(smiles) -> float:
        prints = fingerprints(smiles)
        return 1 - tanimoto(prints, prints)[np.triu_indices(len(smiles), 1)].mean()

    window = {"smarts": "S(=O)(=O)N"}  # what shares a group is more alike than plain samples
    apart = small_model.sample_where(window, 60, seed=2)
    likely = small_model.sample_where(window, 60, seed=2, diverse=False)
    pattern = Chem.MolFromSmarts("S(=O)(=O)N")
    for found in (apart, likely):
        assert len(set(found)) == 60
        assert all(Chem.MolFromSmiles(s).HasSubstructMatch(pattern) for s in found)
    plain = diversity(small_model.sample(500, seed=3))
    assert diversity(likely) < plain - 0.02
    assert abs(diversity(apart) - plain) < 0.03
    assert list(apart) == list(small_model.sample_where(window, 60, seed=2))


def test_a_window_and_a_scaffold_together(small_model) -> None:
    core = "c1ccc2[nH]ccc2c1"
    found = small_model.sample_where({"mw": (200, 350)}, 20, seed=1, scaffold=core)
    assert len(found) == 20
    for smiles in found:
        mol = Chem.MolFromSmiles(smiles)
        assert mol.HasSubstructMatch(Chem.MolFromSmiles(core))
        assert 200 <= rdMolDescriptors._CalcMolWt(mol) <= 350


def test_substructures_on_demand(small_model) -> None:
    found = small_model.sample_where({"chemotype": "sulfonamide"}, 20, seed=1)
    pattern = Chem.MolFromSmarts("S(=O)(=O)N")
    assert all(Chem.MolFromSmiles(s).HasSubstructMatch(pattern) for s in found)


@pytest.mark.long
def test_a_class_that_was_never_seen_is_grown_from_its_cores(small_model) -> None:
    found = small_model.sample_where({"chemotype": "boron", "mw": (None, 450)}, 9, seed=1)
    assert len(set(found)) == 9 and found.acceptance > 0
    for smiles in found:
        mol = Chem.MolFromSmiles(smiles)
        assert any(atom.GetSymbol() == "B" for atom in mol.GetAtoms())
        assert rdMolDescriptors._CalcMolWt(mol) <= 450


def test_a_bound_on_the_draws_that_leaves_too_few_is_said(small_model) -> None:
    window = {"chemotype": "sulfonamide", "mw": (None, 260)}
    found = sample_where(small_model, window, 5_000, seed=1, max_draws=1)
    assert len(found) < 5_000 and f"{len(found)} of 5000" in found.dropped[0].reason


@pytest.mark.parametrize("goal", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_found", [0, 1, 3])
def test_a_choice_among_few_or_none_loses_nothing(goal, n_found) -> None:
    found = ["CCO", "c1ccccc1", "CC(=O)N"][:n_found]
    assert sorted(_Prints().as_diverse(found, 5, goal)) == sorted(found)


@pytest.mark.long
def test_a_window_that_nothing_reaches_says_how_near_it_came(small_model) -> None:
    found = small_model.sample_where({"mw": (5000, None)}, 5, seed=1)
    assert found == [] and "the nearest is" in found.dropped[0].reason


@pytest.mark.parametrize(
    ("window", "says"),
    [
        ({"logp": (9, 1)}, "low must not exceed high"),
        ("logp < 3", "properties with limits"),
        ({"lgop": (1, 2)}, "logp"),
        ({}, "empty"),
        ({"chemotype": "spyro"}, "spiro"),
        ({"smarts": "c1ccc("}, "not a SMARTS"),
        ({"logp": 3}, r"expected \(low, high\)"),
    ],
)
def test_contradictory_windows_are_named(small_model, window, says) -> None:
    with pytest.raises(ValueError, match=says):
        small_model.sample_where(window, 1)


def test_a_charge_that_no_motif_has_is_said_at_once(small_model, monkeypatch) -> None:
    from molgen.generation.windows import _Source, sample_where

    monkeypatch.setattr(_Source, "plain", None)  # nothing is drawn
    found = sample_where(small_model, {"formal_charge": (1, 1)}, 5)
    assert found == [] and "writes no motif with such a charge" in found.dropped[0].reason
