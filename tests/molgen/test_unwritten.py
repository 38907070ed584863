"""What a model does not write is said once, with the count, and stands in the record."""

import json
import warnings

import numpy as np
import pytest
from rdkit import Chem
from typer.testing import CliRunner

from molgen.cli import app

SAYS = {
    "C[C@H](N)C(=O)Nc1ccccc1": "stereo",
    "C/C=C/c1ccccc1": "stereo",
    "C[N+](C)(C)CCO": "charges",
    "OB(O)c1ccccc1": "element B",
    "[13CH3]c1ccccc1": "isotopes",
    "C1CCCCCCCCCCCC1": "ring systems or groups that it has not learnt",
}


def said(caught) -> list[str]:
    return [str(w.message) for w in caught if "does not write" in str(w.message)]


@pytest.mark.parametrize(("smiles", "kind"), SAYS.items())
def test_each_kind_is_named(small_model, smiles, kind) -> None:
    says = f"The molecule has what this model does not write: {kind}; "
    with pytest.warns(UserWarning, match=says):
        z = small_model.encode(smiles)
    assert np.isfinite(z).all()


def test_what_the_model_writes_is_not_spoken_of(small_model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small_model.encode(small_model.sample(300, seed=1))
        small_model.encode(["XX"])


def test_it_is_said_once_with_the_count(small_model) -> None:
    many = [*SAYS, *small_model.sample(700, seed=2)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small_model.encode(many)
    (sentence,) = said(caught)
    assert sentence.startswith("6 of 706 molecules have") and "stereo (2)" in sentence


def test_latent_walks_say_what_they_start_from(small_model) -> None:
    lead = "C[C@H](N)C(=O)Nc1ccccc1"
    with pytest.warns(UserWarning, match="the model gives back C"):
        near = small_model.sample_near_latent(lead, 3)
    assert Chem.CanonSmiles(lead) in near.notes[0]
    with pytest.warns(UserWarning, match="the model gives back"):
        assert small_model.interpolate_latent(lead, "CCO", 3).notes


def test_open_centres_stand_in_the_record(small_folder, tmp_path) -> None:
    from molgen.provenance import load_table, verify

    path = tmp_path / "near.csv"
    lead = "C[C@H](N)C(=O)Nc1ccccc1"
    arguments = ["near", lead, "-n", "12", "-m", str(small_folder), "-o", str(path)]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0
    assert outcome.stderr.count("left unspecified") == 1
    (note,) = load_table(path)[1].notes
    assert "of 12 analogues" in note
    assert verify(path).passed


def test_records_without_notes_are_read() -> None:
    from molgen.files.provenance_records import Provenance, record

    old = json.loads(record("sample", {"n": 1}, seed=0).to_json())
    del old["notes"]
    assert Provenance.from_json(json.dumps(old)).notes == ()
