"""Stereo as states: exact both ways, the same for every order of atoms, complete by enumeration."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem.EnumerateStereoisomers import EnumerateStereoisomers, StereoEnumerationOptions

from molgen.motifs.atom_graphs import atom_graphs, motif_numbers
from molgen.motifs.stereo import ONE, OTHER, UNSPECIFIED, dropped_stereo, with_states
from molgen.motifs.tree_tables import TreeTable, build_table, join_tables, stereo_parts
from molgen.motifs.vocabulary import build_vocabulary
from tests.molgen.stereo_molecules import ALL, DRUGS


def parts_of(smiles: str):
    return stereo_parts(Chem.MolFromSmiles(smiles), smiles)


@pytest.mark.parametrize("name", ALL)
def test_a_flat_molecule_and_its_states_are_the_molecule(name) -> None:
    smiles = Chem.CanonSmiles(ALL[name])
    parts = parts_of(smiles)
    flat = Chem.MolToSmiles(parts.flat)
    bare = Chem.MolFromSmiles(smiles)
    Chem.RemoveStereochemistry(bare)
    assert flat == Chem.CanonSmiles(Chem.MolToSmiles(bare))
    states = [place.state for place in parts.places]
    assert Chem.MolToSmiles(with_states(flat, states)) == smiles


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(ALL)), st.integers(0, 2**32))
def test_places_and_states_do_not_depend_on_the_order_of_atoms(name, seed) -> None:
    mol = Chem.MolFromSmiles(ALL[name])
    order = list(range(mol.GetNumAtoms()))
    random.Random(seed).shuffle(order)
    text = Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False)
    one, other = parts_of(ALL[name]), parts_of(text)
    assert one.tree == other.tree
    assert one.numbered_places() == other.numbered_places()


@pytest.mark.parametrize(
    "flat",
    [
        "CC(O)C(C)N", "CC=CC(C)O", "OC1CCC(O)CC1", "OC(C(=O)O)C(O)C(=O)O", "CC1CC(C)CC(C)C1",
        "CC=NO", "CC(F)C=CC=CC", "C1CC2CCC1O2", "OCC(O)C(O)C(O)CO", "CS(=O)CC(C)O",
    ],
)  # fmt: skip
def test_all_states_are_all_stereoisomers(flat) -> None:
    flat = Chem.CanonSmiles(flat)
    places = parts_of(flat).places
    assert all(place.state == UNSPECIFIED for place in places)
    made = {
        Chem.MolToSmiles(with_states(flat, states))
        for states in itertools.product((ONE, OTHER), repeat=len(places))
    }
    options = StereoEnumerationOptions(unique=True)
    expected = {
        Chem.MolToSmiles(isomer)
        for isomer in EnumerateStereoisomers(Chem.MolFromSmiles(flat), options=options)
    }
    assert {Chem.CanonSmiles(s) for s in made} == {Chem.CanonSmiles(s) for s in expected}


def test_three_states_are_counted_as_they_stand_in_the_text() -> None:
    smiles = [Chem.CanonSmiles(s) for s in ALL.values()]
    table, refused, dropped = build_table(smiles, stereo=True)
    assert not refused and not dropped
    assert table.stereo is not None
    stated = 0
    for text in smiles:
        mol = Chem.MolFromSmiles(text)
        stated += len(Chem.FindMolChiralCenters(mol, useLegacyImplementation=False))
        stated += sum(b.GetStereo() > Chem.BondStereo.STEREOANY for b in mol.GetBonds())
    counts = np.bincount(table.stereo.state, minlength=3)
    assert counts[1] + counts[2] == stated
    # glycopyrronium 2; quinine (nitrogen), zopiclone, thalidomide, tropicamide, two half open 1
    assert counts[UNSPECIFIED] == 8


def test_enantiomers_have_opposite_states_of_centres() -> None:
    for smiles in DRUGS.values():
        mol = Chem.MolFromSmiles(smiles)
        for atom in mol.GetAtoms():
            atom.InvertChirality()
        mirror = Chem.MolToSmiles(mol)
        one, other = parts_of(Chem.CanonSmiles(smiles)), parts_of(mirror)
        if Chem.CanonSmiles(smiles) == mirror:
            assert one.numbered_places() == other.numbered_places()
            continue
        assert one.numbered_places() != other.numbered_places()
        assert one.tree == other.tree


def test_what_states_cannot_carry_is_named() -> None:
    assert not dropped_stereo(Chem.MolFromSmiles(ALL["testosterone"]))
    square = "C[Pt@SP1](F)(Cl)Br"
    (told,) = dropped_stereo(Chem.MolFromSmiles(square))
    assert "CHI_SQUAREPLANAR" in told
    params = Chem.SmilesParserParams()
    racemate = Chem.MolFromSmiles("C[C@H](O)F |&1:1|", params)
    assert any("stereo groups" in told for told in dropped_stereo(racemate))


def test_tables_keep_stereo(tmp_path) -> None:
    smiles = [Chem.CanonSmiles(s) for s in ALL.values()]
    table, _, _ = build_table(smiles, stereo=True)
    table.save(tmp_path)
    again = TreeTable.load(tmp_path)
    some = np.array([7, 2, 30])
    halves = [build_table(part, stereo=True)[0] for part in (smiles[:11], smiles[11:])]
    for other in (again, join_tables(halves)):
        assert other.stereo is not None
        for name in ("offsets", "atom", "reference", "state"):
            for mine, theirs in ((table, other), (table.take(some), other.take(some))):
                np.testing.assert_array_equal(
                    getattr(mine.stereo, name), getattr(theirs.stereo, name)
                )
    assert build_table(smiles)[0].stereo is None


def test_graphs_mark_each_place_and_what_it_refers_to() -> None:
    table, _, _ = build_table(["C[C@H](N)/C=C/F", "CCO"], stereo=True)
    vocabulary = build_vocabulary(table.motifs, [(m, 0) for m in table.motifs])
    graphs = atom_graphs(table, motif_numbers(table, vocabulary), vocabulary, np.arange(2))
    places = graphs.places
    assert places is not None
    assert sorted(places.kind[places.kind > 0]) in ([2, 6, 6], [3, 6, 6])
    assert places.molecule.tolist() == [0, 0] and places.number.tolist() == [0, 1]
    order = places.edge_code // 6
    centre = int(places.atom[places.atom[:, 1] < 0, 0][0])
    into = graphs.edge_index[1] == centre
    assert sorted(order[into]) == [1, 2, 3]
    assert (order == 5).sum() == 2 and (order[~into] % 5 == 0).all()
