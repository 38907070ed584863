"""Generation: valid by construction, the same for the same seed, and clear about bad input."""

import copy
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from rdkit import Chem

import molgen
from molgen.model.checkpoints import read_model
from tests.molgen.test_motifs import read


def test_every_molecule_is_valid_and_canonical(small_model) -> None:
    sample = small_model.sample(1_200, seed=1)
    assert len(sample) == 1_200 and sample.dropped == ()
    assert all(Chem.CanonSmiles(s) == s for s in sample)
    assert len(set(sample)) > 1_000


def test_the_shipped_model_writes_valid_new_molecules() -> None:
    sample = molgen.load_model("moses").sample(1_000, seed=0)
    assert all(Chem.MolFromSmiles(s) is not None for s in sample)
    assert len(set(sample)) > 990


def test_the_same_seed_gives_the_same_list(small_model, small_folder) -> None:
    sample = small_model.sample(1_100, seed=3)
    assert small_model.sample(30, seed=3) == sample[:30]
    assert small_model.sample(30, seed=4) != sample[:30]
    assert molgen.load_model(small_folder).sample(1_100, seed=3, n_jobs=2) == sample
    with pytest.warns(DeprecationWarning, match="n_workers is called n_jobs now"):
        assert molgen.load_model(small_folder).sample(5, seed=3, n_workers=1) == sample[:5]


def test_a_models_own_temperature_multiplies_the_one_asked_for(small_model) -> None:
    own = copy.copy(small_model)
    own.settings = replace(small_model.settings, temperature=0.5)
    assert own.sample(20, seed=1) == small_model.sample(20, seed=1, temperature=0.5)
    assert own.sample(20, seed=1, temperature=2.0) == small_model.sample(20, seed=1)


def test_temperature_zero_repeats_the_likeliest_choice(small_model) -> None:
    z = small_model.encode(read("moses_sample")[:20])
    for search in (0, 16):
        assert small_model.decode(z, 1, search=search) == small_model.decode(z, 2, search=search)


def test_latents_have_the_promised_shape(small_model) -> None:
    z = small_model.encode(["CCO", "c1ccccc1C(=O)N"])
    assert z.shape == (2, small_model.latent_dim) and z.dtype == np.float32
    assert np.allclose(np.square(z).sum(1), small_model.latent_dim, rtol=1e-3)


def test_encoding_does_not_depend_on_the_company_or_the_spelling(small_model) -> None:
    alone = small_model.encode(["OCc1ccccc1"])
    together = small_model.encode(["CCN", "c1ccc(CO)cc1", "CCCCCCCCO"])[1:2]
    assert np.allclose(alone, together, atol=1e-4)


def test_molecules_with_unknown_motifs_are_encoded(small_model) -> None:
    z = small_model.encode(["c1ccc2c(c1)[se]c1ccccc12", "C1CCCCCCCCCCCCC1"])
    assert np.isfinite(z).all()


def test_bad_rows_are_nan_and_named(small_model, caplog) -> None:
    z = small_model.encode(["CCO", "XX", "C.C", ""])
    assert np.isfinite(z[0]).all() and np.isnan(z[1:]).all()
    assert "row 1 ('XX')" in caplog.text and "2 components" in caplog.text


def test_a_latent_walk_gives_different_molecules(small_model) -> None:
    lead = "Cc1ccc(C(=O)NC2CC2)cc1Cl"
    near = small_model.sample_near_latent(lead, 20, radius=0.5, seed=1)
    assert len(set(near)) == 20 and Chem.CanonSmiles(lead) not in near


def test_interpolation_of_latents_has_their_ends(small_model) -> None:
    a, b = "CCOC(=O)c1ccccc1", "CN1CCN(C)CC1"
    path = small_model.interpolate_latent(a, b, 5, search=16)
    ends = small_model.decode(small_model.encode([a, b]), search=16)
    assert len(path) == 5 and [path[0], path[-1]] == ends


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: m.sample(-1), "n is -1"),
        (lambda m: m.sample(2.5), "n is 2.5"),
        (lambda m: m.sample(1, temperature=-1), "temperature is -1"),
        (lambda m: m.decode(np.zeros((2, 3))), r"shape \(2, 3\); expected \(n, 16\)"),
        (lambda m: m.decode(np.full((1, 16), np.nan)), "row 0 of z"),
        (lambda m: m.sample_near("XX", 1), "Cannot read SMILES 'XX'"),
        (lambda m: m.sample_near_latent("XX", 1), "Cannot read SMILES 'XX'"),
        (lambda m: m.sample_near_latent("CCO", 1, radius=-1), "radius is -1"),
        (lambda m: m.interpolate_latent("CCO", "CCN", 1), "n_steps is 1"),
    ],
)
def test_bad_arguments_are_one_clear_sentence(small_model, call, says) -> None:
    with pytest.raises(ValueError, match=says):
        call(small_model)


def test_nothing_is_asked_and_nothing_comes(small_model) -> None:
    assert small_model.sample(0) == []


def test_damaged_and_foreign_checkpoints_are_named(small_folder, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="shipped models"):
        molgen.load_model("no-such-model")
    broken = tmp_path / "broken"
    shutil.copytree(small_folder, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1_000])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        molgen.load_model(broken)
    weights.unlink()
    with pytest.raises(ValueError, match="missing"):
        molgen.load_model(broken)
    card = json.loads((broken / "model.json").read_text())
    (broken / "model.json").write_text(json.dumps(card | {"format": 99}))
    with pytest.raises(ValueError, match="model format 99"):
        molgen.load_model(broken)
    (broken / "model.json").write_text("{")
    with pytest.raises(ValueError, match="not a model card"):
        molgen.load_model(broken)
    swapped = tmp_path / "swapped"
    shutil.copytree(small_folder, swapped)
    card["config"]["width"] = 32
    (swapped / "model.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="does not fit its card"):
        read_model(swapped)


def test_the_encoder_convolves_as_gine_does() -> None:
    convolution = molgen.load_model("moses").network.encoder.convolutions[0]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 128, generator=generator)
    edge = torch.randn(8, 128, generator=generator)
    edge_index = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 4], [1, 0, 2, 1, 3, 2, 4, 3]])
    weights = convolution.nn[0].weight.clone()
    summed = x.clone().index_add_(0, edge_index[1], torch.relu(x[edge_index[0]] + edge))
    torch.testing.assert_close(convolution(x, edge_index, edge), convolution.nn(summed))
    assert torch.equal(convolution.nn[0].weight, weights)  # which are not drawn anew


def test_writing_molecules_loads_no_graph_library() -> None:
    code = (
        "import sys, molgen; molgen.load_model('moses').sample(1); "
        "print(sorted(m for m in sys.modules if m == 'torch_geometric'))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
