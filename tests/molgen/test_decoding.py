"""The writer's choices follow the probabilities that the logits say, to the edges of [0, 1)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import molgen
from molgen.generation.scaffolds.prefixes import prepare_prefix
from molgen.model.cached_attention import Closing
from molgen.sampling.choices import choose, in_groups

LAST = float(np.nextafter(np.float32(1), np.float32(0)))


@given(st.integers(0, 2**31), st.sampled_from([5, 64, 128, 200, 5_376]), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_choices_are_those_of_the_cumulative_probabilities(seed, width, closed_every) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (20, width))
    logits[:, rng.random(width) < 1 - 1 / closed_every] = -np.inf
    logits[:, rng.integers(width)] = 0.0
    uniform = rng.random(20).astype(np.float32)
    uniform[:2] = 0.0, LAST
    chosen = choose(
        torch.tensor(logits, dtype=torch.float32), torch.tensor(uniform), 1.0, torch.arange(20)
    )
    probability = np.exp(logits - logits.max(1, keepdims=True))
    probability /= probability.sum(1, keepdims=True)
    above = probability.cumsum(1)
    for row, column in enumerate(chosen.tolist()):
        assert probability[row, column] > 0
        assert above[row, column] >= uniform[row] - 1e-5
        assert above[row, column] - probability[row, column] <= uniform[row] + 1e-5


def test_what_fills_up_a_group_is_never_chosen() -> None:
    table, bias = in_groups(torch.zeros(70, 3), torch.zeros(70))
    assert table.shape == (3, 128)
    logits = torch.addmm(bias, torch.ones(1_000, 3), table)
    uniform = torch.linspace(0, LAST, 1_000)
    chosen = choose(logits, uniform, 1.0, torch.arange(1_000))
    assert chosen.max() == 69 and torch.bincount(chosen).min() >= 13


def test_one_row_of_logits_serves_all() -> None:
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(0, 3, (1, 128)), dtype=torch.float32)
    uniform = torch.tensor(rng.random(500), dtype=torch.float32)
    one = choose(logits.clone(), uniform, 1.0, torch.zeros(500, dtype=torch.long))
    assert one.tolist() == choose(logits.repeat(500, 1), uniform, 1.0, torch.arange(500)).tolist()
    assert one.unique().numel() > 5


def test_temperature() -> None:
    uniform, first = torch.linspace(0, LAST, 1_000), torch.zeros(1_000, dtype=torch.long)
    for temperature in (0.5, 2.0):
        share = (
            choose(torch.tensor([[0.0, 1.0]]), uniform, temperature, first).float().mean().item()
        )
        assert abs(share - 1 / (1 + np.exp(-1 / temperature))) < 2e-3
    assert choose(torch.tensor([[0.0, 1.0]]), uniform, 0, first).tolist() == [1] * 1_000


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_closing_keeps_the_rows_that_are_not_finished(finished) -> None:
    closing = Closing(torch.tensor(finished))
    left = closing(torch.arange(len(finished)))
    assert sorted(left.tolist()) == [i for i, done in enumerate(finished) if not done]


@pytest.mark.parametrize("scaffold", [None, "c1ccc2[nH]ccc2c1"])
def test_molecules_of_one_latent_are_those_of_as_many_copies_of_it(scaffold) -> None:
    model = molgen.load_model("moses")
    writer, prefix = model.writer, None
    if scaffold is not None:
        writer, prefix = prepare_prefix(model, scaffold)
    rng = np.random.default_rng(3)
    z = torch.tensor(rng.standard_normal((2, model.latent_dim)), dtype=torch.float32)
    uniforms = model.uniforms(200, rng)
    shared = writer.write(z, torch.ones(2), uniforms, prefix=prefix)
    copies = z.repeat_interleave(100, 0)
    single = writer.write(copies, torch.ones(200), uniforms, prefix=prefix)
    # other shapes of a matrix product may round otherwise, and so tip a rare choice
    assert sum(a == b for a, b in zip(shared, single)) >= 198
    if prefix is not None:
        assert min(map(len, shared)) > len(prefix.token)
