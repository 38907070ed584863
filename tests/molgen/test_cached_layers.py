"""What writing keeps between its steps is what would be worked out afresh."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from torch.nn import functional as F

from molgen.model.cached_attention import CachedAttention, Closing, attend
from molgen.motifs.stereo import set_states, write_states
from molgen.motifs.tree_tables import stereo_parts
from molgen.motifs.vocabulary_growth import extend
from molgen.sampling import input_tables
from molgen.sampling.decoding import Writer
from tests.molgen.stereo_molecules import ALL


@given(
    st.integers(0, 2**31), st.sampled_from([(1, 8), (2, 32), (4, 64), (3, 5)]), st.integers(1, 40)
)
@settings(max_examples=25, deadline=None)
def test_attention_position_by_position_is_attention_to_all_at_once(seed, shape, steps) -> None:
    (heads, each), rng = shape, torch.Generator().manual_seed(seed)
    width = heads * each
    rows = torch.randn(6, steps, 3 * width, generator=rng)
    q, k, v = (part.unflatten(2, (heads, each)).transpose(1, 2) for part in rows.chunk(3, dim=2))
    whole = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    mask = torch.full((steps, steps), -1e9).triu(1)
    torch.testing.assert_close(
        attend(*rows.chunk(3, dim=2), heads, mask), whole, rtol=1e-4, atol=1e-5
    )
    held, first = CachedAttention(6, width, heads, torch.device("cpu")), steps // 3
    if first:
        attended = held(rows[:, :first], mask[:first, :first])
        torch.testing.assert_close(attended, whole[:, :first], rtol=1e-4, atol=1e-5)
    here = torch.arange(6)
    for step in range(first, steps):
        attended = held(rows[here, step : step + 1].contiguous(), None)
        torch.testing.assert_close(attended[:, 0], whole[here, step], rtol=1e-4, atol=1e-5)
        if step == first + 1:
            finished = torch.tensor([False, True, False, False, True, True])
            closing = Closing(finished)
            held.close(closing)
            here = closing(here.clone())
        if step == first + 2:
            again = torch.tensor([0, 0, 2, 1])
            held.take(again)
            here = here[again]


@pytest.mark.parametrize("more", [[], ["C1CC2(C1)CCNC2", "[SiH4]"]])
def test_held_vectors_are_those_of_the_vocabulary(stereo_model, monkeypatch, more) -> None:
    network = stereo_model.network
    vocabulary = extend(network.vocabulary, more)
    every = torch.arange(vocabulary.n_tokens), torch.arange(vocabulary.n_sites)
    found = []
    for n_tokens, n_roots in ((7, 3), (10**6, 10**6)):
        monkeypatch.setattr(input_tables, "_FREQUENT_TOKENS", n_tokens)
        monkeypatch.setattr(input_tables, "_FREQUENT_ROOTS", n_roots)
        tables = Writer(network).extended(vocabulary).tables
        assert isinstance(tables, input_tables.OpenTables)
        of_sites = [getattr(tables, name)[every[1]] for name in input_tables.SITE_TABLES]
        found.append([tables.token_input[every[0]], *of_sites])
    for few, all_held in zip(*found):
        torch.testing.assert_close(few, all_held)
    with torch.no_grad():
        described = network.describe_tokens(vocabulary, np.arange(vocabulary.n_tokens))
        torch.testing.assert_close(found[0][0], network.decoder.token(described))
    tables = Writer(network).extended(vocabulary).tables
    sites, capacity = tables.sites_with_capacity(every[0])
    for token, (own, left) in enumerate(zip(sites, capacity)):
        here = range(*vocabulary.site_offset[token : token + 2].tolist())
        assert own[: len(here)].tolist() == list(here)
        assert left.tolist() == [*vocabulary.site_capacity[here], *[0] * (len(own) - len(here))]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(ALL)), st.integers(0, 2**31))
def test_states_are_written_as_rdkit_writes_them_after_reading(name, seed) -> None:
    smiles = Chem.CanonSmiles(ALL[name])
    parts = stereo_parts(Chem.MolFromSmiles(smiles), smiles)
    drawn = np.random.default_rng(seed).integers(0, 3, len(parts.places)).tolist()
    text = write_states(parts.flat, [p._replace(state=s) for p, s in zip(parts.places, drawn)])
    assert Chem.CanonSmiles(text) == text
    states = [p._replace(state=s) for p, s in zip(parts.places, drawn)]
    assert text == Chem.MolToSmiles(set_states(parts.flat, states))
    bare = Chem.MolFromSmiles(text)
    Chem.RemoveStereochemistry(bare)
    assert Chem.MolToSmiles(bare) == Chem.MolToSmiles(parts.flat)
