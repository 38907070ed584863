"""Training: it learns, it continues exactly, it survives, and it says what it could not use."""

import csv
import json
import logging
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from rdkit import Chem

from molgen.model.checkpoints import read_model, read_tensors
from molgen.motifs.atom_graphs import atom_graphs, motif_numbers, writable
from molgen.motifs.tree_tables import build_table
from molgen.motifs.writing_orders import grow
from molgen.sampling.likelihood import negative_log_likelihood
from molgen.training.learning_curve import plot_training, read_log
from molgen.training.step import draw_gains, draw_shards, shard_loss
from molgen.training.whole_run import TrainingConfig, train
from tests.molgen.conftest import QUICK, SMALL
from tests.molgen.test_motifs import read


def state_of(folder) -> dict[str, torch.Tensor]:
    card = json.loads((folder / "state.json").read_text())
    return read_tensors(folder / card["weights"])


def test_the_loss_falls(small_folder, small_model) -> None:
    with (small_folder / "log.csv").open() as stream:
        first = next(csv.DictReader(stream))
    trained = np.nanmean(negative_log_likelihood(small_model, read("moses_sample")[:100]))
    untrained, _, _ = read_model(small_folder)
    from molgen.generation.generator import Generator
    from molgen.model.graph_vae import GraphVAE

    blank = Generator(GraphVAE(untrained.vocabulary, untrained.config))
    before = np.nanmean(negative_log_likelihood(blank, read("moses_sample")[:100]))
    assert trained < 0.7 * before
    assert float(first["loss"]) > 0


def test_the_log_is_read_and_drawn(small_folder, tmp_path) -> None:
    table = read_log(small_folder)
    assert list(table["step"]) == list(range(50, 50 * len(table) + 1, 50))
    assert (small_folder / "learning_curve.svg").read_text(encoding="utf-8").count("<path") > 5
    figure = plot_training(small_folder, tmp_path / "curve.png")
    drawn = figure.axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(drawn, table["blind"])
    with pytest.raises(ValueError, match="no training log"):
        plot_training(tmp_path)


def test_an_interrupted_run_ends_as_an_unbroken_one(tmp_path) -> None:
    smiles = read("moses_sample")[:300]
    config = replace(QUICK, n_steps=12, prior_steps=0, cooldown=0.0)
    train(smiles, tmp_path / "whole", config=config, model_config=SMALL, progress=False)
    half = replace(config, n_steps=5)
    train(smiles, tmp_path / "parts", config=half, model_config=SMALL, progress=False)
    train(
        smiles, tmp_path / "parts", config=config, model_config=SMALL, resume=True, progress=False
    )
    whole, parts = state_of(tmp_path / "whole"), state_of(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=0, atol=0, msg=name)


def test_a_run_cannot_be_resumed_as_another(tmp_path) -> None:
    smiles = read("moses_sample")[:200]
    config = replace(QUICK, n_steps=2, prior_steps=0)
    train(smiles, tmp_path, config=config, model_config=SMALL, progress=False)
    with pytest.raises(ValueError, match="its seed is 0, this run's is 1"):
        train(smiles, tmp_path, seed=1, config=config, resume=True, progress=False)


def test_bad_rows_are_set_aside_and_counted(tmp_path) -> None:
    smiles = [*read("moses_sample")[:200], "not a molecule", "CC.O", "C[C@H](N)O"]
    config = replace(QUICK, n_steps=1, prior_steps=0)
    report = train(smiles, tmp_path, config=config, model_config=SMALL, progress=False)
    unread = [r.row for r in report.refused if "which the model does not have" not in r.reason]
    assert unread == [200, 201]
    assert report.flattened == 1
    assert report.n_molecules + len(report.refused) == len(smiles)  # nothing is lost in silence
    rare = [r for r in report.refused if "which the model does not have" in r.reason]
    for r in rare:
        assert Chem.CanonSmiles(r.smiles) == Chem.CanonSmiles(smiles[r.row])


def test_fine_tuning_names_what_the_model_cannot_write(small_folder, tmp_path) -> None:
    odd = "c1ccc2c(c1)[nH]c1c2ccc2[nH]c3ccccc3c21"  # a ring system that no small sample has
    smiles = [*read("moses_sample")[:40], odd, "CC.O"]
    config = replace(QUICK, n_steps=1, batch_size=16, prior_steps=0)
    report = train(smiles, tmp_path, config=config, start_from=small_folder, progress=False)
    told = {r.row: r for r in report.refused}
    assert told[40].reason == f"it needs the motif {odd}, which the model does not have"
    assert Chem.CanonSmiles(told[40].smiles) == Chem.CanonSmiles(odd)
    assert [r.row for r in report.refused] == sorted(told)
    assert report.n_molecules + len(told) == len(smiles)


def test_what_is_set_aside_is_told_before_training_begins(
    small_folder, tmp_path, caplog, monkeypatch
) -> None:
    # other libraries, imported by other tests, switch loggers off
    monkeypatch.setattr(logging.getLogger("molgen.training.whole_run"), "disabled", False)
    caplog.set_level(logging.WARNING, "molgen.training.whole_run")
    long = "C" + "OCC" * 20  # 60 motifs; this model writes 40
    odd = "c1ccc2c(c1)[nH]c1c2ccc2[nH]c3ccccc3c21"
    smiles = [*read("moses_sample")[:20], long, odd, odd, "CC.O"]
    config = replace(QUICK, n_steps=2, batch_size=16, prior_steps=0, learning_rate=1e30, warmup=1)
    with pytest.raises(FloatingPointError):  # a run that ends badly has told it all the same
        train(
            smiles, tmp_path, config=replace(config, n_steps=60), start_from=small_folder,
            progress=False,
        )  # fmt: skip
    with (tmp_path / "refused.csv").open(encoding="utf-8") as stream:
        rows = {int(r["row"]): r for r in csv.DictReader(stream)}
    assert "61 motifs; the model writes 40 at the most" in rows[20]["reason"]
    assert rows[21]["reason"] == rows[22]["reason"] != rows[23]["reason"]
    (told,) = [r.message for r in caplog.records if "set aside" in r.message]
    assert "2: it needs the motif" in told and str(tmp_path / "refused.csv") in told


def test_a_run_keeps_to_its_minutes(small_folder, tmp_path, capsys) -> None:
    started = time.monotonic()
    config = replace(QUICK, n_steps=100_000, batch_size=16, prior_steps=6_000)
    report = train(
        read("moses_sample")[:200], tmp_path, config=config, start_from=small_folder,
        max_minutes=0.2,
    )  # fmt: skip
    assert report.stopped == "0.2 minutes over"
    assert time.monotonic() - started < 1.6 * 12 + 5  # 12 seconds, with the plot on a busy machine
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    assert len(lines) == report.steps // 50
    assert all(" of 100,000, " in line and "loss " in line for line in lines)


def test_the_prior_of_few_molecules_takes_few_steps() -> None:
    config = TrainingConfig()
    assert config.prior_steps_for(70) == 100
    assert config.prior_steps_for(20_000) == 2_000
    assert config.prior_steps_for(10**6) == config.prior_steps
    assert replace(config, prior_steps=60).prior_steps_for(10**6) == 60


def test_nothing_to_learn_from_is_one_clear_sentence(tmp_path) -> None:
    with pytest.raises(ValueError, match="no motif occurs 3 times among 1 molecules"):
        train(["CCO"], tmp_path, config=QUICK, model_config=SMALL, progress=False)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_model(tmp_path) -> None:
    config = replace(QUICK, n_steps=60, prior_steps=0, learning_rate=1e30, warmup=1)
    with pytest.raises(FloatingPointError, match="last good checkpoint"):
        train(
            read("moses_sample")[:200], tmp_path, config=config, model_config=SMALL, progress=False
        )
    read_model(tmp_path)


def test_fine_tuning_moves_towards_the_new_molecules(small_folder, tmp_path) -> None:
    series = [f"O=C(Nc1ccc({x})cc1)c1ccccc1" for x in ("F", "Cl", "Br", "C", "OC", "N", "CC")] * 4
    config = replace(QUICK, n_steps=25, batch_size=16, prior_steps=0)
    train(series, tmp_path, config=config, start_from=small_folder, progress=False)
    from molgen.generation.generator import load_model

    before = np.nanmean(negative_log_likelihood(load_model(small_folder), series[:7]))
    after = np.nanmean(negative_log_likelihood(load_model(tmp_path), series[:7]))
    assert after < before - 3


def test_dropout_is_drawn_per_molecule_and_leaves_the_mean_update(small_folder) -> None:
    config = read_model(small_folder)[0].config
    gains = draw_gains(config, 400, 0.25, torch.Generator().manual_seed(1))
    assert gains[0].shape == (400, config.encoder_layers, config.encoder_width)
    assert gains[1].shape == (400, config.layers, 2, config.width)
    for gain in gains:
        np.testing.assert_allclose(np.unique(gain), [0, 1 / 0.75], rtol=1e-6)
        assert abs(gain.mean() - 1) < 5 * np.sqrt(0.25 / 0.75 / gain.size)


def test_dropout_moves_the_loss_and_a_gain_of_one_does_not(small_folder) -> None:
    network = read_model(small_folder)[0]
    table = build_table(read("moses_sample")[:60])[0]
    motif = motif_numbers(table, network.vocabulary)
    keep = np.flatnonzero(writable(table, network.vocabulary, 40))

    def shards(dropout: float, n_shards: int = 1):
        config = replace(QUICK, dropout=dropout)
        return draw_shards(network, table, motif, keep, config, (0, 1), n_shards)

    def loss(parts) -> float:
        return sum(shard_loss(network, part, 0.01, half=False)[0].item() for part in parts)

    plain, dropped = shards(0.0), shards(0.5)
    assert plain[0].gains is None
    np.testing.assert_array_equal(plain[0].noise, dropped[0].noise)
    ones = tuple(np.ones_like(gain) for gain in dropped[0].gains)
    assert loss([replace(dropped[0], gains=ones)]) == pytest.approx(loss(plain), rel=1e-6)
    assert loss(dropped) > loss(plain) + 0.1
    # the same draws whatever the number of processes
    assert loss(shards(0.5, 3)) == pytest.approx(loss(dropped), rel=1e-5)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match=r"dropout is 1\.0; expected at least 0 and below 1"):
        TrainingConfig(dropout=1.0)
    with pytest.raises(ValueError, match="precision is 'half'"):
        TrainingConfig(precision="half")
    with pytest.raises(ValueError, match="sum of at most 1"):
        TrainingConfig(clean=0.8, blind=0.5)


def test_likelihood_is_the_product_of_the_writers_own_steps(small_model) -> None:
    """Teacher forcing in one pass must agree with the step-by-step writer's probabilities."""
    network = small_model.network
    smiles = [s for s in small_model.sample(64, seed=5) if len(s) < 40][:16]
    table = build_table(smiles)[0]
    vocabulary = network.vocabulary
    keep = np.flatnonzero(writable(table, vocabulary, 40))
    motif = motif_numbers(table, vocabulary)
    growth = grow(table, motif, vocabulary, keep, np.zeros(len(keep), int), keep)
    graphs = atom_graphs(table, motif, vocabulary, keep)
    with torch.no_grad():
        mu, _ = network.posterior(graphs)
        level = torch.zeros(len(keep))
        together = network.negative_log_likelihood(growth, mu, level)
        total = sum(together.values())
        alone = []
        for i in range(len(keep)):
            one = grow(table, motif, vocabulary, keep[i : i + 1], np.zeros(1, int), keep[:1])
            parts = network.negative_log_likelihood(one, mu[i : i + 1], level[:1])
            alone.append(sum(parts.values()))
    torch.testing.assert_close(total, torch.cat(alone), rtol=1e-4, atol=1e-4)
