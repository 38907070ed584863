"""Graph edits: every product is sound, canonical and new; each move does what it says."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from molgen.chem.graph_edits import MUTATIONS, finished_smiles, kekule_copy, mutate
from molgen.optimization.graph_moves import FragmentTable, crossover, replace_branch

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def drugs():
    with gzip.open(DATA / "approved_drugs.smi.gz", "rt") as file:
        return file.read().split()[:150]


def sound(smiles):
    mol = Chem.MolFromSmiles(smiles)
    return mol is not None and Chem.MolToSmiles(mol) == smiles and "." not in smiles


def test_products_are_sound_and_new(drugs):
    rng = np.random.default_rng(0)
    table = FragmentTable.from_smiles(drugs[:50])
    made = 0
    for parent in drugs:
        other = drugs[int(rng.integers(len(drugs)))]
        for child in (
            mutate(parent, rng),
            mutate(parent, rng, 3),
            crossover(parent, other, rng),
            replace_branch(parent, table, rng),
        ):
            if child is not None:
                made += 1
                assert sound(child), child
                assert child != parent
                assert Chem.MolFromSmiles(child).GetNumAtoms() <= 60
    assert made > 300


@pytest.mark.parametrize("name", list(MUTATIONS))
def test_every_mutation_succeeds_somewhere(name, drugs):
    rng = np.random.default_rng(1)
    changed = 0
    for parent in drugs[:60]:
        mol = kekule_copy(parent)
        child = finished_smiles(MUTATIONS[name][0](mol, rng))
        changed += child is not None and child != parent
    assert changed >= 10


def test_sizes_change_as_the_moves_say():
    rng = np.random.default_rng(2)
    for _ in range(30):
        start = kekule_copy("CCCCCCO")
        grown = finished_smiles(MUTATIONS["append_atom"][0](start, rng))
        assert Chem.MolFromSmiles(grown).GetNumAtoms() == 8
        shrunk = finished_smiles(MUTATIONS["delete_atom"][0](kekule_copy("CCCCCCO"), rng))
        assert Chem.MolFromSmiles(shrunk).GetNumAtoms() == 6
        opened = finished_smiles(MUTATIONS["open_ring"][0](kekule_copy("C1CCCCC1"), rng))
        assert opened == "CCCCCC"


def test_moving_a_substituent_keeps_the_formula(drugs):
    from rdkit.Chem.rdMolDescriptors import CalcMolFormula

    rng = np.random.default_rng(3)
    for parent in drugs[:40]:
        child = finished_smiles(MUTATIONS["move_substituent"][0](kekule_copy(parent), rng))
        if child is not None:
            assert CalcMolFormula(Chem.MolFromSmiles(child)) == CalcMolFormula(
                Chem.MolFromSmiles(parent)
            )


def test_fragments_are_those_of_the_molecules():
    table = FragmentTable.from_smiles(["CCO"])
    assert set(table.branches) == {"C", "CO", "CC", "O"}
    assert table.cumulative[-1] == pytest.approx(1.0)
    assert FragmentTable.from_smiles(["not a molecule"]).branches == ()
    rng = np.random.default_rng(0)
    assert replace_branch("CCO", FragmentTable.from_smiles([]), rng) is None


def test_same_seed_same_children():
    parents = ("CCOc1ccccc1C(=O)N", "C1CCNCC1c1ccncc1")
    first = [crossover(*parents, np.random.default_rng(s)) for s in range(20)]
    assert first == [crossover(*parents, np.random.default_rng(s)) for s in range(20)]
    assert len(set(first)) > 5


def test_what_is_no_molecule_gives_nothing():
    rng = np.random.default_rng(0)
    assert mutate("C1CC", rng) is None
    assert crossover("CCO", "xyz", rng) is None
    assert kekule_copy("") is None
    assert finished_smiles(None) is None
