"""A small model, trained once a test session, for tests of behaviour rather than of quality."""

from dataclasses import replace
from pathlib import Path

import pytest

import molgen
from molgen.model.graph_vae import ModelConfig
from molgen.training.whole_run import TrainingConfig, train
from tests.molgen.stereo_molecules import ALL
from tests.molgen.test_motifs import read

SMALL = ModelConfig(
    latent_dim=16, encoder_width=32, encoder_layers=2, pooling_heads=2, width=64, layers=2,
    heads=2, feedforward=64, row_dim=32, site_dim=16, max_motifs=40,
)  # fmt: skip
QUICK = TrainingConfig(
    n_steps=60, batch_size=64, min_count=3, warmup=10, prior_steps=60, precision="float32"
)


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "small"
    train(read("moses_sample")[:1_000], folder, config=QUICK, model_config=SMALL, progress=False)
    return folder


@pytest.fixture(scope="session")
def small_model(small_folder):
    return molgen.load_model(small_folder)


SMALL_STEREO = replace(SMALL, stereo_layers=1, head_tokens=30, head_motifs=10, sketch_dim=8)


@pytest.fixture(scope="session")
def stereo_folder(tmp_path_factory) -> Path:
    """A model with stereo and spelling, of drugs of every kind."""
    folder = tmp_path_factory.mktemp("model") / "stereo"
    smiles = [*ALL.values(), *read("approved_drugs")[:300]]
    config = replace(QUICK, n_steps=40, batch_size=32, min_count=2, min_row_count=4, prior_steps=0)
    train(smiles, folder, config=config, model_config=SMALL_STEREO, progress=False)
    return folder


@pytest.fixture(scope="session")
def stereo_model(stereo_folder):
    return molgen.load_model(stereo_folder)
