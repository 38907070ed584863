"""The loss of a step against PyTorch's own, and its gradient from one process and from two."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from molgen.model.checkpoints import read_model
from molgen.model.large_softmax import large_cross_entropy
from molgen.motifs.atom_graphs import motif_numbers, writable
from molgen.motifs.tree_tables import build_table
from molgen.training.step import GradientProcesses, draw_shards
from molgen.training.whole_run import train
from tests.molgen.conftest import QUICK, SMALL
from tests.molgen.test_motifs import read
from tests.molgen.test_training import state_of


def test_cross_entropy_and_its_gradients_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((300, 8), (40, 8), (40,))
    ours = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    theirs = [value.detach().clone().requires_grad_() for value in ours]
    target = torch.randint(40, (300,), generator=generator)
    weight = torch.rand(300, generator=generator)
    loss = large_cross_entropy(*ours, target)
    query, table, bias = theirs
    expected = F.cross_entropy(query @ table.T + bias, target, reduction="none")
    torch.testing.assert_close(loss, expected)
    (loss * weight).sum().backward()
    (expected * weight).sum().backward()
    for mine, reference in zip(ours, theirs):
        torch.testing.assert_close(mine.grad, reference.grad)


def test_extreme_logits_stay_finite() -> None:
    query = torch.full((2, 1), 1e4)
    table = torch.tensor([[1.0], [-1.0]])
    loss = large_cross_entropy(query, table, torch.zeros(2), torch.tensor([0, 1]))
    assert loss.tolist() == [0.0, 2e4]


@pytest.fixture(scope="module")
def material(small_folder):
    network = read_model(small_folder)[0]
    table = build_table(read("moses_sample")[:200])[0]
    keep = np.flatnonzero(writable(table, network.vocabulary, 40))[:64]
    return network, table, motif_numbers(table, network.vocabulary), keep


def test_what_is_drawn_does_not_depend_on_the_number_of_shards(material) -> None:
    network, table, motif, keep = material
    (whole,) = draw_shards(network, table, motif, keep, QUICK, (0, 7), 1)
    parts = draw_shards(network, table, motif, keep, QUICK, (0, 7), 3)
    assert [len(part.level) for part in parts] == [22, 21, 21]
    np.testing.assert_array_equal(np.concatenate([p.level for p in parts]), whole.level)
    np.testing.assert_array_equal(np.concatenate([p.noise for p in parts], axis=1), whole.noise)
    np.testing.assert_array_equal(
        np.concatenate([p.growth.order for p in parts]), whole.growth.order
    )
    for i, size in enumerate(whole.growth.size[:22]):
        assert (parts[0].growth.token[i, :size] == whole.growth.token[i, :size]).all()


def test_two_processes_find_the_gradient_that_one_finds(material) -> None:
    network, table, motif, keep = material
    found = []
    for n in (1, 2):
        with GradientProcesses(network, n, 0.003, half=False) as processes:
            shards = draw_shards(network, table, motif, keep, QUICK, (0, 7), n)
            values = processes.accumulate(shards)
            gradient = [p.grad.clone() for p in network.parameters() if p.grad is not None]
            found.append((values, gradient))
    (one, alone), (two, together) = found
    assert one == pytest.approx(two, rel=1e-5)
    assert len(alone) <= len(together)
    named = dict(network.named_parameters())
    assert sum(p.grad is not None for p in named.values()) == len(together)
    for mine, other in zip(alone, together):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-6)


def test_training_in_two_processes_ends_near_training_in_one(tmp_path) -> None:
    config = replace(QUICK, n_steps=6, prior_steps=0, precision="float32")
    for n in (1, 2):
        train(
            read("moses_sample")[:200], tmp_path / str(n), config=config, model_config=SMALL,
            n_jobs=n, progress=False,
        )  # fmt: skip
    one, two = state_of(tmp_path / "1"), state_of(tmp_path / "2")
    for name, value in one.items():
        if name.startswith("averaged."):
            torch.testing.assert_close(two[name], value, rtol=1e-2, atol=1e-3, msg=name)


def test_a_helper_that_dies_is_named(material) -> None:
    network, table, motif, keep = material
    with GradientProcesses(network, 2, 0.003, half=False) as processes:
        shards = draw_shards(network, table, motif, keep, QUICK, (0, 7), 2)
        processes.accumulate(shards)
        process, _, _ = processes._helpers[0]
        process.kill()
        process.join()
        with pytest.raises(RuntimeError, match=r"training process ended \(exit codes \[-9\]\)"):
            processes.accumulate(shards)
