"""A small model with stereo and spelling: what it learns, writes, keeps and tells apart."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from rdkit import Chem

import molgen
from molgen.generation.generator import Generator
from molgen.model.checkpoints import read_model
from molgen.model.graph_vae import GraphVAE
from molgen.model.spelling import read_spelling, spell
from molgen.motifs.assembly import to_smiles
from molgen.motifs.atom_graphs import atom_graphs, motif_numbers, writable
from molgen.motifs.stereo import has_marks
from molgen.motifs.tree_tables import build_table, stereo_parts
from molgen.motifs.trees import Edge, MotifTree
from molgen.motifs.vocabulary import Vocabulary, open_vocabulary
from molgen.motifs.vocabulary_growth import complete, needed_tokens
from molgen.motifs.writing_orders import ANY_ORDER, CANONICAL, grow
from molgen.sampling.likelihood import negative_log_likelihood, vocabulary_for
from molgen.sampling.stereo_writing import N_UNIFORMS, give_stereo
from molgen.training.run_state import carry_over, read_snapshot
from molgen.training.step import draw_rare
from molgen.training.whole_run import train
from tests.molgen.conftest import QUICK, SMALL_STEREO
from tests.molgen.stereo_molecules import ALL, DRUGS
from tests.molgen.test_motifs import read


def mirror(smiles: str) -> str:
    mol = Chem.MolFromSmiles(smiles)
    for atom in mol.GetAtoms():
        atom.InvertChirality()
    return Chem.MolToSmiles(mol)


def states_of(smiles: str) -> list[int]:
    return [p.state for p in stereo_parts(Chem.MolFromSmiles(smiles)).places]


def test_samples_are_valid_and_repeat(stereo_model) -> None:
    def drawn(seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        z = torch.from_numpy(rng.standard_normal((24, stereo_model.latent_dim), np.float32))
        return stereo_model.write_latents(z, torch.full((24,), 0.5), rng)

    smiles = drawn(1)
    assert all(Chem.CanonSmiles(s) == s for s in smiles)
    assert any(has_marks(s) for s in smiles)
    assert smiles == drawn(1) != drawn(2)


def test_what_is_decoded_does_not_depend_on_what_else_is_spelled(stereo_model) -> None:
    """Spelled motifs join the vocabulary of one call only."""
    z = stereo_model.encode([*DRUGS.values()][:8])
    before = stereo_model.network.vocabulary
    together = stereo_model.decode(z, search=0)
    assert [stereo_model.decode(row[None], search=0)[0] for row in z] == list(together)
    assert stereo_model.network.vocabulary is stereo_model.writer.vocabulary is before


def test_the_latent_tells_enantiomers_apart_and_not_orders_of_atoms(stereo_model) -> None:
    chiral = [s for s in map(Chem.CanonSmiles, DRUGS.values()) if mirror(s) != s]
    assert len(chiral) > 15
    z, reflected = stereo_model.encode(chiral), stereo_model.encode([mirror(s) for s in chiral])
    assert (np.abs(z - reflected).max(axis=1) > 1e-3).all()
    rng = np.random.default_rng(0)
    shuffled = []
    for smiles in chiral:
        mol = Chem.MolFromSmiles(smiles)
        order = rng.permutation(mol.GetNumAtoms()).tolist()
        shuffled.append(Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False))
    np.testing.assert_array_equal(stereo_model.encode(shuffled), z)


@pytest.mark.parametrize("smiles", ["CC(O)C(C)N", "CC=CC(C)F", "OC1CCC(O)CC1"])
def test_probabilities_of_all_states_add_up(stereo_model, smiles) -> None:
    """Independent truth: one flat molecule, all its lists of three states."""
    network = stereo_model.network
    parts = stereo_parts(Chem.MolFromSmiles(smiles))
    n = len(parts.places)
    table, _, _ = build_table([smiles] * 3**n, stereo=True)
    table.stereo.state[:] = np.array(list(itertools.product((0, 1, 2), repeat=n))).ravel()
    vocabulary = vocabulary_for(network, table)
    graphs = atom_graphs(table, motif_numbers(table, vocabulary), vocabulary, np.arange(3**n))
    z = torch.zeros(3**n, stereo_model.latent_dim)
    with torch.no_grad():
        condition = network.decoder.condition(z, torch.ones(3**n))
        rows = network.describe_rows(graphs.row)
        nats = network.stereo.negative_log_likelihood(graphs, rows, condition)
    assert nats.neg().double().exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_stereo_is_drawn_by_its_probabilities(stereo_model) -> None:
    n = 4_000
    rng = np.random.default_rng(0)
    z, level = torch.zeros(1, stereo_model.latent_dim), torch.ones(1)
    draws = rng.random((n, N_UNIFORMS), dtype=np.float32)
    drawn = give_stereo(stereo_model.network, ["CC(F)Cl"] * n, z, level, draws)
    found = {s: drawn.count(s) / n for s in sorted(set(drawn))}
    for smiles, share in found.items():
        table, _, _ = build_table([smiles], stereo=True)
        vocabulary = vocabulary_for(stereo_model.network, table)
        graphs = atom_graphs(table, motif_numbers(table, vocabulary), vocabulary, np.arange(1))
        with torch.no_grad():
            nats = stereo_model.network.stereo.negative_log_likelihood(
                graphs,
                stereo_model.network.describe_rows(graphs.row),
                stereo_model.network.decoder.condition(z, level),
            )
        expected = float(nats.neg().exp())
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / n) + 1e-3
    assert sum(found.values()) == pytest.approx(1)


def test_stereo_that_is_stated_is_kept_and_closed_atoms_stay_open(stereo_model) -> None:
    smiles = [Chem.CanonSmiles(s) for s in ALL.values()]
    z, level = torch.zeros(1, stereo_model.latent_dim), torch.ones(1)
    draws = np.random.default_rng(1).random((len(smiles), N_UNIFORMS), dtype=np.float32)
    given = give_stereo(stereo_model.network, smiles, z, level, draws)
    for before, after in zip(smiles, given):
        mol, query = Chem.MolFromSmiles(after), Chem.MolFromSmiles(before)
        assert mol.HasSubstructMatch(query, useChirality=True), (before, after)
    everything = [range(Chem.MolFromSmiles(s).GetNumAtoms()) for s in smiles]
    closed = give_stereo(stereo_model.network, smiles, z, level, draws, closed=everything)
    assert closed == smiles


def test_stereo_is_added_to_molecules(stereo_model, small_model) -> None:
    given = stereo_model.add_stereo(["CC(F)Cl", "OC(F)CC(Cl)Br"] * 20, seed=1)
    assert {Chem.CanonSmiles(s, 0) for s in given[::2]} == {"CC(F)Cl"}
    assert given == stereo_model.add_stereo(["CC(F)Cl", "OC(F)CC(Cl)Br"] * 20, seed=1)
    assert len(set(given)) > 3
    with pytest.raises(ValueError, match="has no stereo to add"):
        small_model.add_stereo(["CCO"])


def test_an_open_vocabulary_is_stored_small_and_whole(stereo_model) -> None:
    vocabulary = stereo_model.network.vocabulary
    stored = vocabulary.to_arrays()
    again = Vocabulary.from_arrays(stored)
    assert again.motifs == vocabulary.motifs and "site_row" not in stored
    for name, array in vars(vocabulary).items():
        if name != "motifs":
            np.testing.assert_array_equal(getattr(again, name), array)
            assert getattr(again, name).dtype == array.dtype


def test_unlisted_motifs_are_spelled_and_read_back() -> None:
    table, _, _ = build_table([*ALL.values(), *read("approved_drugs")[:900]], stereo=True)
    silent = {smiles for smiles, atom in needed_tokens(table) if not spell(smiles, atom)}
    for smiles, atom in needed_tokens(table):
        if smiles not in silent:
            assert read_spelling(spell(smiles, atom)[:-1], atom >= 0) == (smiles, atom)
    for smiles in silent:  # metals and radicals
        mol = Chem.MolFromSmiles(smiles)
        odd = any(a.GetNumRadicalElectrons() or a.GetAtomicNum() > 20 for a in mol.GetAtoms())
        assert odd or len(smiles) > 80
    assert read_spelling([ord(c) - 32 for c in "C1CC"], True) is None
    assert read_spelling([ord(c) - 32 for c in "CCc1ccccc1"], True) is None  # two motifs
    assert read_spelling([ord(c) - 32 for c in "O=S(=O)=O"], True) is None  # no hydrogen


def test_a_completed_vocabulary_writes_every_tree(stereo_model) -> None:
    """Growths in either order, read back as molecules."""
    smiles = [*ALL.values(), *read("approved_drugs")[300:700]]
    table, _, _ = build_table(smiles, stereo=True)
    own = stereo_model.network.vocabulary
    assert writable(table, own, 40).mean() < 0.7
    vocabulary = complete(own, needed_tokens(table))
    assert complete(vocabulary, needed_tokens(table)) is vocabulary
    np.testing.assert_array_equal(
        vocabulary.token_row[: own.n_attached], own.token_row[: own.n_attached]
    )
    fits = np.flatnonzero(table.sizes <= 40)
    assert writable(table, vocabulary, 40)[fits].all()
    motif = motif_numbers(table, vocabulary)
    for order in (CANONICAL, ANY_ORDER):
        growth = grow(table, motif, vocabulary, fits, np.full(len(fits), order), fits)
        assert (growth.order == order).all()
        for i, number in enumerate(fits):
            k = growth.size[i]
            token, parent, site = growth.token[i, :k], growth.parent[i], growth.parent_site[i]
            tree = MotifTree(
                tuple(vocabulary.motifs[m] for m in vocabulary.token_motif[token]),
                tuple(
                    Edge(
                        int(parent[c]) - 1,
                        int(vocabulary.site_atom[site[c]]),
                        c,
                        int(vocabulary.token_atom[token[c]]),
                    )
                    for c in range(1, k)
                ),
            )
            assert Chem.CanonSmiles(to_smiles(tree)) == Chem.CanonSmiles(
                to_smiles(table.tree(number))
            )


def test_likelihood_of_everything_and_sampled_comparison_agrees(stereo_model) -> None:
    network = stereo_model.network
    smiles = [*ALL.values(), *read("approved_drugs")[300:400]]
    nats = negative_log_likelihood(stereo_model, smiles, given="posterior_mean")
    assert np.isfinite(nats[: len(ALL)]).all()  # each motif is listed or can be spelled
    table, _, _ = build_table(smiles, stereo=True)
    network.written = vocabulary_for(network, table)
    try:
        keep = np.flatnonzero(writable(table, network.written, 40))
        motif = motif_numbers(table, network.written)
        growth = grow(table, motif, network.written, keep, np.zeros(len(keep), int), keep)
        graphs = atom_graphs(table, motif, network.written, keep)
        level = torch.zeros(len(keep))
        sampled = []
        with torch.no_grad():
            z, _ = network.posterior(graphs)
            whole = network.negative_log_likelihood(
                growth, z, level, network.written, graphs=graphs
            )
            for seed in range(20):
                rare = draw_rare(network, np.random.default_rng(seed))
                parts = network.negative_log_likelihood(
                    growth, z, level, network.written, graphs=graphs, rare=rare
                )
                parts.pop("practice")
                sampled.append(torch.stack(list(parts.values())).sum(0).mean())
    finally:
        network.written = network.vocabulary
    exact = torch.stack(list(whole.values())).sum(0)
    np.testing.assert_allclose(exact.numpy(), nats[table.row[keep]], rtol=1e-3)
    assert float(torch.stack(sampled).mean()) == pytest.approx(float(exact.mean()), rel=2e-3)


def test_scaffolds_of_drugs_are_grown_from(stereo_model) -> None:
    for name in ("testosterone", "morphine", "neostigmine", "griseofulvin", "erythromycin ring"):
        scaffold = Chem.CanonSmiles(DRUGS[name])
        grown = stereo_model.sample_scaffold(scaffold, 2, seed=0, temperature=0.5)
        bare = Chem.MolFromSmiles(scaffold)
        assert len(grown) == 2
        assert all(Chem.MolFromSmiles(s).HasSubstructMatch(bare) for s in grown)


def test_fine_tuning_takes_motifs_that_the_model_never_saw(stereo_folder, tmp_path) -> None:
    series = [f"[O-][n+]1ccc2c(c1)sc1c2[nH]nc1C(=O)N[C@@H](C)c1ccc({x})cc1" for x in "CNOF"] * 4
    config = replace(QUICK, n_steps=2, batch_size=8, prior_steps=0)
    report = train(series, tmp_path, config=config, start_from=stereo_folder, progress=False)
    assert report.n_molecules == len(series) and not report.refused and not report.flattened
    assert np.isfinite(negative_log_likelihood(molgen.load_model(tmp_path), series[:1])).all()


def test_a_run_with_stereo_goes_on_exactly(tmp_path) -> None:
    smiles = [*ALL.values(), *read("approved_drugs")[:60]]
    config = replace(QUICK, n_steps=6, batch_size=16, min_count=2, cooldown=0.0, prior_steps=0)
    settings = {"model_config": SMALL_STEREO, "progress": False}
    train(smiles, tmp_path / "whole", config=config, **settings)
    train(smiles, tmp_path / "parts", config=replace(config, n_steps=3), **settings)
    train(smiles, tmp_path / "parts", config=config, resume=True, **settings)
    whole, parts = (read_snapshot(tmp_path / name).state_dict() for name in ("whole", "parts"))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=0, atol=0, msg=name)


def test_weights_go_over_to_a_larger_vocabulary(stereo_folder) -> None:
    old = read_model(stereo_folder)[0]
    drugs = read("approved_drugs")
    table, _, _ = build_table([*ALL.values(), *drugs[:300], *drugs[400:500]], stereo=True)
    new = GraphVAE(open_vocabulary(table, 2, 4), old.config)
    smiles = [*drugs[400:440]]
    trained, blank = (negative_log_likelihood(Generator(n), smiles) for n in (old, new))
    carry_over(old, new)
    carried = negative_log_likelihood(Generator(new), smiles)
    assert np.nanmean(blank) - np.nanmean(carried) > 0.7 * (np.nanmean(blank) - np.nanmean(trained))
