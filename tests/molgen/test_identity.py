"""What is known is recognised, drawn with stereo, salts, charges or isotopes or without."""

import random
import warnings

import pandas as pd
import pytest
from rdkit import Chem

import molgen
from molgen.batch.known import _keys, keys_of_drawn
from molgen.chem.identity import compound_key, compound_keys
from tests.molgen.test_motifs import read

FLAT = "CC(N)C(=O)Nc1ccccc1"
DRAWINGS = [
    FLAT,
    "C[C@H](N)C(=O)Nc1ccccc1",
    "C[C@@H](N)C(=O)Nc1ccccc1.Cl",
    "C[C@H]([NH3+])C(=O)Nc1ccccc1.[Cl-]",
    "[2H]C(N)C(=O)Nc1ccccc1".replace("[2H]C", "[2H]CC"),
    "O=C(Nc1ccccc1)C(C)[15NH2]",
]


def test_drawings_of_one_compound_share_a_key_without_stereo() -> None:
    assert len(set(compound_keys(DRAWINGS, stereo=False))) == 1
    hands = compound_keys(DRAWINGS[:3], stereo=True)
    assert len(set(hands)) == 3
    assert compound_keys(DRAWINGS[3:4]) == hands[1:2]  # the salt is the same hand
    assert compound_keys(["XX", ""]) == [None, None]


def test_other_compounds_have_other_keys() -> None:
    smiles = list(dict.fromkeys(read("moses_sample")[:300]))
    keys = compound_keys(smiles, stereo=False)
    truth = [Chem.MolToInchiKey(Chem.MolFromSmiles(s))[:14] for s in smiles]
    assert keys == truth
    assert compound_key(Chem.MolFromSmiles("CCO")) != compound_key(Chem.MolFromSmiles("CCN"))


@pytest.mark.parametrize("drawn", DRAWINGS[1:])
def test_novelty_knows_a_flat_molecule_however_it_was_drawn(drawn) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = molgen.evaluate([FLAT, "CCO"], [drawn, "CCCC"], metrics=["Novelty"])
    assert scores["Novelty"] == 0.5


def test_novelty_says_when_it_leaves_stereo_out() -> None:
    with pytest.warns(UserWarning, match="Novelty compares without stereo"):
        molgen.evaluate([FLAT], [DRAWINGS[1], "CCO"], metrics=["Novelty"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = molgen.evaluate([DRAWINGS[1]], [DRAWINGS[2], "CCO"], metrics=["Novelty"])
    assert other["Novelty"] == 1.0  # the other hand is another compound


def test_known_sets_are_recognised_in_every_drawing() -> None:
    rng = random.Random(0)
    plain = [s for s in read("moses_sample")[:40] if "N" in s]
    known = [f"{s}.{rng.choice(['Cl', 'OC(=O)C(F)(F)F', 'CS(=O)(=O)O'])}" for s in plain]
    keys = [Chem.MolToInchiKey(Chem.MolFromSmiles(s)) for s in plain]
    table = pd.DataFrame({"smiles": plain, "inchikey": keys})
    for stereo in (False, True):
        drawn = keys_of_drawn(table, stereo).tolist()
        assert drawn == _keys(known, stereo) == _keys(keys, stereo)
    hand = Chem.MolToInchiKey(Chem.MolFromSmiles(DRAWINGS[1]))
    flat = pd.DataFrame({"smiles": [FLAT], "inchikey": [""]})  # as where InChI fails
    assert (
        keys_of_drawn(flat, False).tolist() == _keys([hand], False) == _keys(DRAWINGS[1:2], False)
    )
    assert keys_of_drawn(flat, True).tolist() != _keys([hand], True)
