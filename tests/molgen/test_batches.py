"""Tables, vocabularies and batches: whatever the order of growth, the molecule is the same."""

import numpy as np
import pytest
from rdkit import Chem

from molgen.motifs.assembly import to_smiles
from molgen.motifs.atom_graphs import atom_graphs, bucketed, motif_numbers, writable
from molgen.motifs.tree_tables import TreeTable, build_table
from molgen.motifs.trees import Edge, MotifTree
from molgen.motifs.vocabulary import Vocabulary, build_vocabulary, choose_tokens
from molgen.motifs.vocabulary_growth import extend
from molgen.motifs.writing_orders import grow
from tests.molgen.test_motifs import read


@pytest.fixture(scope="module")
def smiles() -> list[str]:
    return read("moses_sample")[:1_500]


@pytest.fixture(scope="module")
def table(smiles: list[str]) -> TreeTable:
    return build_table(smiles)[0]


@pytest.fixture(scope="module")
def vocabulary(table: TreeTable) -> Vocabulary:
    return build_vocabulary(*choose_tokens(table, min_count=2))


def rebuilt(growth, row: int, v: Vocabulary) -> str:
    n = growth.size[row]
    tokens = growth.token[row, :n]
    edges = tuple(
        Edge(
            int(growth.parent[row, i]) - 1,
            int(v.site_atom[growth.parent_site[row, i]]),
            i,
            int(v.token_atom[tokens[i]]),
        )
        for i in range(1, n)
    )
    tree = MotifTree(tuple(v.motifs[v.token_motif[t]] for t in tokens), edges)
    return Chem.CanonSmiles(to_smiles(tree))


@pytest.mark.parametrize("any_order", [0, 1])
def test_growth_in_any_order_is_the_same_molecule(smiles, table, vocabulary, any_order) -> None:
    keep = np.flatnonzero(writable(table, vocabulary, 32))[:400]
    order = np.full(len(keep), any_order)
    growth = grow(table, motif_numbers(table, vocabulary), vocabulary, keep, order, keep)
    for row, index in enumerate(keep):
        assert rebuilt(growth, row, vocabulary) == Chem.CanonSmiles(smiles[index])
        for i in range(growth.size[row] - 1):
            assert growth.site_open[row, i, growth.site_target[row, i]]
        last = growth.size[row] - 1
        assert growth.site_target[row, last] == growth.site.shape[1]  # stop


def test_any_order_depends_on_its_seed_only(table, vocabulary) -> None:
    keep = np.flatnonzero(writable(table, vocabulary, 32))[:64]
    motif = motif_numbers(table, vocabulary)
    order, seeds = np.ones(64, int), np.arange(64)
    whole = grow(table, motif, vocabulary, keep, order, seeds)
    part = grow(table, motif, vocabulary, keep[10:11], order[:1], seeds[10:11])
    n = part.size[0]
    assert (part.token[0, :n] == whole.token[10, :n]).all()
    other = grow(table, motif, vocabulary, keep, order, seeds + 1000)
    assert (whole.token[:, 0] != other.token[:, 0]).any()


def test_atom_graphs_are_rdkits(smiles, table, vocabulary) -> None:
    keep = np.flatnonzero(writable(table, vocabulary, 32))[:200]
    graphs = atom_graphs(table, motif_numbers(table, vocabulary), vocabulary, keep)
    for row, index in enumerate(keep):
        mol = Chem.MolFromSmiles(smiles[index])
        mine = graphs.molecule == row
        assert mine.sum() == mol.GetNumAtoms()
        degree = np.bincount(graphs.edge_index[0], minlength=len(mine))[mine]
        hydrogens = graphs.feature[mine, 2]
        expected = sorted((a.GetDegree(), a.GetTotalNumHs()) for a in mol.GetAtoms())
        assert sorted(zip(degree.tolist(), hydrogens.tolist())) == expected


def test_workers_do_not_change_the_table(smiles, table) -> None:
    parallel = build_table(smiles, n_jobs=2)[0]
    assert parallel.motifs == table.motifs
    for name in ("offsets", "motif", "parent", "parent_atom", "child_atom", "row"):
        assert (getattr(parallel, name) == getattr(table, name)).all()


def test_table_survives_the_disk(table, tmp_path) -> None:
    table.save(tmp_path)
    again = TreeTable.load(tmp_path)
    assert isinstance(again.motif, np.memmap)
    assert all(again.tree(i) == table.tree(i) for i in (0, 5, len(table) - 1))
    assert again.take(np.array([7, 3])).tree(1) == table.tree(3)


def test_refused_and_flattened_molecules_are_reported() -> None:
    table, refused, flattened = build_table(["CCO", "not a molecule", "", "C.C", "C[C@H](N)O"])
    assert [r.row for r in refused] == [1, 2, 3]
    assert [f.row for f in flattened] == [4]
    assert table.row.tolist() == [0, 4]


def test_vocabulary_survives_arrays(vocabulary) -> None:
    again = Vocabulary.from_arrays(vocabulary.to_arrays())
    assert again.motifs == vocabulary.motifs
    with pytest.raises(ValueError, match="token_row"):
        Vocabulary.from_arrays(
            {k: v for k, v in vocabulary.to_arrays().items() if k != "token_row"}
        )


def test_extension_keeps_what_was_and_knows_the_new(vocabulary) -> None:
    larger = extend(vocabulary, ["c1cc[se]c1", "C"])
    assert larger.motifs[: vocabulary.n_motifs] == vocabulary.motifs
    n = vocabulary.n_attached
    assert (larger.token_row[:n] == vocabulary.token_row[:n]).all()
    old = vocabulary.site_offset[n]
    assert (larger.site_row[:old] == vocabulary.site_row[:old]).all()
    table = build_table(["Cc1cc[se]c1"])[0]
    assert not writable(table, vocabulary, 32)[0]
    assert writable(table, larger, 32)[0]
    growth = grow(table, motif_numbers(table, larger), larger, [0], np.zeros(1, int), [0])
    assert rebuilt(growth, 0, larger) == "Cc1cc[se]c1"


def test_buckets_are_one_pass_and_even() -> None:
    sizes = np.random.default_rng(0).integers(3, 19, 5_000)
    batches = list(bucketed(sizes, 64, seed=1, epoch=0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(5_000))
    assert np.mean([np.ptp(sizes[b]) for b in batches]) < 1.5
    again = list(bucketed(sizes, 64, seed=1, epoch=0))
    assert all((a == b).all() for a, b in zip(batches, again))
