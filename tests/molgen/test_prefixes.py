"""Scaffolds in the model's steps: new motifs get the vectors that a decoder built anew gives."""

import numpy as np
import pytest
import torch

from molgen.generation.scaffolds.partial_structures import parse_scaffold
from molgen.generation.scaffolds.prefixes import prepare_prefix
from molgen.motifs.vocabulary import Vocabulary
from molgen.motifs.vocabulary_growth import extend
from molgen.sampling.decoding import Writer

SELENIUM = "c1ccc2c(c1)[se]c1ccccc12"


def site_rows(vocabulary: Vocabulary, token: int) -> slice:
    return slice(int(vocabulary.site_offset[token]), int(vocabulary.site_offset[token + 1]))


@pytest.mark.parametrize("scaffold", [SELENIUM, "CC(C)N1CCC2(CC1)OC[Si](C)(C)O2", "C1CC2(C1)CCNC2"])
def test_new_motifs_have_the_vectors_of_a_decoder_built_anew(small_model, scaffold) -> None:
    writer, prefix = prepare_prefix(small_model, scaffold)
    tree = parse_scaffold(scaffold).tree
    whole = extend(small_model.network.vocabulary, tree.motifs)
    fresh = Writer(small_model.network, whole)
    mine_of, theirs_of = vars(writer.tables), vars(fresh.tables)
    for token in prefix.token:
        motif = int(writer.vocabulary.token_motif[token])
        smiles, atom = writer.vocabulary.motifs[motif], int(writer.vocabulary.token_atom[token])
        index = len(whole.motifs) - 1 - whole.motifs[::-1].index(smiles)
        same = (whole.token_motif == index) & (whole.token_atom == atom)
        (other,) = np.flatnonzero(same)
        torch.testing.assert_close(mine_of["token_input"][token], theirs_of["token_input"][other])
        mine, theirs = site_rows(writer.vocabulary, token), site_rows(whole, other)
        assert int(writer.tables.site_count[token]) == mine.stop - mine.start
        assert writer.vocabulary.site_atom[mine].tolist() == whole.site_atom[theirs].tolist()
        n = int(writer.tables.site_count[token])
        assert writer.tables.sites_of[token, :n].tolist() == list(range(mine.start, mine.stop))
        assert torch.equal(mine_of["capacity_of"][token, :n], theirs_of["capacity_of"][other, :n])
        for name in ("site_input", "key_scale", "key_shift", "choose_site"):
            torch.testing.assert_close(mine_of[name][mine], theirs_of[name][theirs])


def test_every_table_of_a_decoder_that_knows_more_is_longer(small_model) -> None:
    writer, _ = prepare_prefix(small_model, SELENIUM)
    for name, value in vars(small_model.writer.tables).items():
        assert len(vars(writer.tables)[name]) > len(value), name


def test_what_was_added_before_changes_nothing(small_model) -> None:
    before = small_model.sample_scaffold(SELENIUM, 10, seed=3)
    for other in ("C1CC2(C1)CCOC2", "B1OCCO1", "C1CCCCCCCCCCCCC1"):
        small_model.sample_scaffold(other, 2)
    assert small_model.sample_scaffold(SELENIUM, 10, seed=3) == before


def test_room_that_is_used_up_is_made_anew(small_model, monkeypatch) -> None:
    from molgen.generation.scaffolds import prefixes

    before = small_model.sample_scaffold(SELENIUM, 5, seed=3)
    monkeypatch.setattr(prefixes, "_ROOM_FOR_SITES", 150)
    monkeypatch.setattr(prefixes, "_TABLES", type(prefixes._TABLES)())
    for size in range(12, 18):
        ring = "C1" + "C" * (size - 2) + "[SiH2]1"
        grown = small_model.sample_scaffold(ring, 2, seed=1)
        assert len(grown) == 2
    assert small_model.sample_scaffold(SELENIUM, 5, seed=3) == before
