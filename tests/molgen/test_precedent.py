"""Parts and counts against RDKit's own cuts; what the verbs make of them is what was asked."""

import gzip
from collections import Counter
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

import molgen
from benchmarks.molgen.precedent import CoreCheck, kept_whole, ways
from molgen.chem.ring_systems import ring_systems_with_atoms
from molgen.cli.design import parse_limit, parse_limits, write_proposals
from molgen.generation.scaffolds.exit_vectors import exit_changes
from molgen.generation.scaffolds.partial_structures import cut_scaffold
from molgen.motifs.trees import cut_bonds
from molgen.precedent.composing import composed
from molgen.precedent.files import NAME, PrecedentTable, shipped_precedent
from molgen.precedent.fragment_cuts import MOST_ATOMS, contexts_of, read_flat
from molgen.precedent.proposals import Wish, unnumbered
from molgen.precedent.splicing import UNWANTED, joined, mark_contexts
from molgen.provenance import verify
from tests.molgen.test_motifs import read

DATA = Path(__file__).parents[1] / "data"
DRUGS = [s for s in gzip.decompress((DATA / "approved_drugs.smi.gz").read_bytes()).decode().split()
         if "." not in s]  # fmt: skip


MOLECULES = [s for s in read("chembl_sample")[:400] if "." not in s]


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> PrecedentTable:
    path = tmp_path_factory.mktemp("precedent") / NAME
    return molgen.build_precedent(MOLECULES, path, least=2, source="a test")


@pytest.fixture
def model(small_model, table):
    before = small_model.__dict__.get("precedent", "none")
    small_model.precedent = table
    yield small_model
    del small_model.__dict__["precedent"]
    if before != "none":
        small_model.precedent = before


# --- counting -------------------------------------------------------------------------------------
def by_rdkit(mol: Chem.Mol, k: int) -> Counter:
    """All parts with one or two marks, cut out with RDKit alone; direct bonds as ``**``."""
    found: Counter = Counter()
    bonds = [mol.GetBondBetweenAtoms(a, b).GetIdx() for a, b in cut_bonds(mol)]
    if k == 2:
        found["**"] += len(bonds)
    for chosen in combinations(bonds, k):
        cut = Chem.FragmentOnBonds(mol, chosen, dummyLabels=[(0, 0)] * k)
        for piece in Chem.GetMolFrags(cut, asMols=True):
            marks = sum(a.GetAtomicNum() == 0 for a in piece.GetAtoms())
            if marks == k and piece.GetNumHeavyAtoms() <= MOST_ATOMS[k]:
                found[Chem.MolToSmiles(piece)] += 1
    return found


@pytest.mark.parametrize("smiles", [*MOLECULES[:6], DRUGS[3], "CC(C)(C)C", "CC"])
def test_groups_and_linkers_are_those_that_rdkit_cuts(smiles, tmp_path) -> None:
    made = molgen.build_precedent(
        [smiles], tmp_path / NAME, least=1, least_at_context=1, folder=tmp_path / "cuts"
    )
    mol = read_flat(smiles)
    for k in (1, 2):
        s = made.parts(k).section
        counted = dict(zip(s.text, s.count.tolist()))
        assert counted == dict(+by_rdkit(mol, k))


def test_only_what_enough_molecules_share_is_kept(table) -> None:
    everywhere: Counter = Counter()
    for smiles in MOLECULES:
        everywhere.update(by_rdkit(read_flat(smiles), 1).keys())
    s = table.parts(1).section
    assert set(s.text) == {text for text, n in everywhere.items() if n >= 2}


def test_figures_of_parts_are_those_of_rdkit(table) -> None:
    for k in (2, 3):
        s = table.parts(k).section
        for i in range(0, len(s.text), 17):
            mol = Chem.MolFromSmiles(s.text[i])
            marks = [a.GetIdx() for a in mol.GetAtoms() if not a.GetAtomicNum()]
            distance = Chem.GetDistanceMatrix(mol)
            assert s.atoms[i] == mol.GetNumHeavyAtoms()
            assert s.rings[i] == mol.GetRingInfo().NumRings()
            assert s.length[i].tolist() == [distance[a, b] for a, b in combinations(marks, 2)]


def test_a_mark_has_the_surroundings_that_the_whole_molecule_had() -> None:
    for smiles in MOLECULES[:40]:
        mol = read_flat(smiles)
        for a, b in cut_bonds(mol)[:3]:
            number = mol.GetBondBetweenAtoms(a, b).GetIdx()
            cut = Chem.FragmentOnBonds(mol, [number], dummyLabels=[(1, 1)])
            where: list[tuple[int, ...]] = []
            pieces = Chem.GetMolFrags(cut, asMols=True, fragsMolAtomMapping=where)
            (kept,) = (p for p, atoms in zip(pieces, where) if a in atoms)
            (mark,) = (x.GetIdx() for x in kept.GetAtoms() if not x.GetAtomicNum())
            whole = contexts_of([mol], [[(a, b)]])[0]
            assert mark_contexts(kept, [mark])[0] == tuple(int(v) for v in whole)


def test_left_out_molecules_do_not_count(tmp_path) -> None:
    smiles = ["C[C@H](O)c1ccccc1", "CC(O)c1ccncc1", "CC(O)c1ccsc1", "FC(F)c1ccsc1"]
    left_out = ["C[C@@H](O)c1ccccc1"]
    made = molgen.build_precedent(smiles, tmp_path / NAME, left_out=left_out, least=1)
    assert made.card["left_out"] == 1 and made.card["molecules"] == 3
    assert "*c1ccccc1" not in made.parts(1).section.text
    assert "*c1ccncc1" in made.parts(1).section.text


def test_damaged_tables_are_named(table, tmp_path) -> None:
    whole = table.path.read_bytes()
    for number, content in enumerate((b"", b"text", whole[: len(whole) // 2])):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a table of precedent"):
            PrecedentTable(path)
    with pytest.raises(FileNotFoundError, match="no table"):
        PrecedentTable(tmp_path / "none.zip")
    with pytest.raises(ValueError, match="no molecules"):
        molgen.build_precedent([], tmp_path / "x.zip")


# --- joining --------------------------------------------------------------------------------------
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(DRUGS), st.randoms(use_true_random=False))
def test_what_was_cut_is_joined_again_with_all_stereo(smiles, random) -> None:
    mol = Chem.MolFromSmiles(smiles)
    usable = mol is not None and mol.GetNumHeavyAtoms() <= 60 and "Pt" not in smiles
    bonds = cut_bonds(mol) if usable else []
    if not bonds:
        return
    a, b = random.choice(bonds)
    apart = Chem.RWMol(mol)
    apart.RemoveBond(a, b)
    parts = [cut_scaffold(mol, atoms, "part").marked for atoms in Chem.GetMolFrags(apart)]
    assert Chem.MolToSmiles(joined(parts)) == Chem.CanonSmiles(Chem.MolToSmiles(mol))


# --- the verbs ------------------------------------------------------------------------------------
SCAFFOLDS = [
    "O=C(/C=C/[*:1])N[C@@H](Cc1ccccc1)c1nc([*:2])c[nH]1",
    "Oc1ccccc1[C@H]([*:1])[C@@H]([*:2])O[*:3]",
    "[*:1]N([*:2])c1ccccc1",
    "c1ccc2c(Nc3cccc([*:1])c3)ncnc2c1",
    "[*:1]c1cc[n+]([O-])cc1",
    "Clc1ccccc1/C([*:1])=C(/F)[*:2]",
    "[H]/N=c1/cc(C)n(CC/C=C/[*:1])c2ccccc12",
]


@pytest.mark.parametrize("own", [0.0, 1.0])
@pytest.mark.parametrize("scaffold", SCAFFOLDS)
def test_a_mark_is_one_bond_and_all_are_filled(model, scaffold, own) -> None:
    grown = model.sample_scaffold(scaffold, 12, seed=3, own=own)
    marked = Chem.MolFromSmiles(scaffold)
    assert len(set(grown)) == 12
    for smiles in grown:
        assert kept_whole(Chem.MolFromSmiles(smiles), marked), smiles


def test_each_group_keeps_its_limits(model) -> None:
    scaffold = "Fc1cc([*:1])ccc1[*:2]"
    grown = model.sample_scaffold(scaffold, 20, atoms={1: (1, 2), 2: 6}, rings={2: 1})
    for smiles in grown:
        mol = Chem.MolFromSmiles(smiles)
        matches = kept_whole(mol, Chem.MolFromSmiles(scaffold))
        assert any(group_sizes(mol, match, scaffold) for match in matches), smiles
    assert len(grown) == 20


def group_sizes(mol: Chem.Mol, match: tuple[int, ...], scaffold: str) -> bool:
    """Whether mark 1 has one or two heavy atoms, and mark 2 six with a ring."""
    marks = {a.GetAtomMapNum(): a.GetIdx() for a in Chem.MolFromSmiles(scaffold).GetAtoms()}
    inside = {j for i, j in enumerate(match) if i not in (marks[1], marks[2])}
    pieces = Chem.RWMol(mol)
    for atom in sorted(inside, reverse=True):
        pieces.RemoveAtom(atom)
    rest = [i for i in range(mol.GetNumAtoms()) if i not in inside]
    size, rings = {}, {}
    for piece in Chem.GetMolFrags(pieces):
        atoms = [rest[i] for i in piece]
        for number in (1, 2):
            if match[marks[number]] in atoms:
                size[number] = len(atoms)
                rings[number] = sum(mol.GetAtomWithIdx(i).IsInRing() for i in atoms)
    return size.get(1) in (1, 2) and size.get(2) == 6 and rings[2] > 0


@pytest.mark.parametrize("scaffold", ["O=C(O)/C=C\\c1ccccc1", "C[C@@H]1CCCN1"])
def test_a_scaffold_without_marks_keeps_its_stereo(model, scaffold) -> None:
    pattern = Chem.MolFromSmiles(scaffold)
    for smiles in model.sample_scaffold(scaffold, 15, seed=1):
        mol = Chem.MolFromSmiles(smiles)
        assert mol.HasSubstructMatch(pattern, useChirality=True), smiles


def test_marks_may_stay_open(model) -> None:
    grown = model.sample_scaffold("c1cc([*:1])cc([*:2])c1", 20, fill_exits=False)
    filled = [sum(a.GetDegree() > 2 for a in ring_atoms(s)) for s in grown]
    assert set(filled) <= {1, 2, 3} and 1 in filled
    assert not any("*" in s for s in grown)


def ring_atoms(smiles: str) -> list[Chem.Atom]:
    mol = Chem.MolFromSmiles(smiles)
    match = mol.GetSubstructMatch(Chem.MolFromSmiles("c1ccccc1"))
    return [mol.GetAtomWithIdx(i) for i in match]


@pytest.mark.parametrize("own", [0.0, 0.2, 1.0])
@pytest.mark.parametrize(
    "limits",
    [
        {"length": 1}, {"length": 2}, {"length": (3, 5), "rings": 0}, {"length": 7},
        {"atoms": (4, 6)}, {"atoms": 1}, {"rotors": (0, 3), "rings": (1, None)}, {"length": 19},
    ],
)  # fmt: skip
def test_linkers_keep_their_limits(model, limits, own) -> None:
    ends = "Fc1ccc([*:1])cc1", "[*:1]N1CCOCC1"
    first, second = (Chem.MolFromSmiles(e) for e in ends)
    got = model.link(*ends, 6, seed=1, own=own, **limits)
    assert got or limits["length"] == 19
    bounds = {k: v if isinstance(v, tuple) else (v, v) for k, v in limits.items()}
    for smiles in got:
        mol = Chem.MolFromSmiles(smiles)
        found = ways(mol, first, second)
        low, high = bounds.get("length", (1, None))
        assert any(low <= w <= (high or 99) for w in found), smiles
        n_atoms = mol.GetNumAtoms() - 13
        low, high = bounds.get("atoms", (0, None))
        assert low <= n_atoms <= (high or 99)
        low, high = bounds.get("rings", (0, None))
        assert low <= mol.GetRingInfo().NumRings() - 2 <= (99 if high is None else high)


def test_linkers_bring_no_aminals_hydrazines_or_peroxides(model) -> None:
    got = model.link("O=C(c1ccccc1)N[*:1]", "[*:1]N1CCOCC1", 60, own=0.5)
    for smiles in got:
        mol = Chem.MolFromSmiles(smiles)
        for name in ("aminal", "bond between nitrogens", "peroxide"):
            assert not mol.HasSubstructMatch(UNWANTED[name]), (name, smiles)
    hydrazide = model.link("O=C(c1ccccc1)NN[*:1]", "[*:1]C1CCOCC1", 5)
    assert len(hydrazide) == 5  # what the fragments have may stay


CORES = [
    ("Cc1ccc(cc1)-c1cc(nn1-c1ccc(cc1)S(N)(=O)=O)C(F)(F)F", "c1cnnc1"),
    ("COc1ccc(C(=O)N[C@@H]2CC2)cc1", "c1ccccc1"),
    ("C/C=C/c1ccc2c(c1)c(CN)cn2C", "c1ccc2[nH]ccc2c1"),
    ("CC1(C)CCC(NC(=O)c2ccccc2)CC1", "C1CCCCC1"),
]


@pytest.mark.parametrize("own", [0.0, 1.0])
@pytest.mark.parametrize(("lead", "core"), CORES)
def test_substituents_sit_on_the_new_core_only(model, lead, core, own) -> None:
    mol = Chem.MolFromSmiles(lead)
    (atoms,) = (
        a for _, a in ring_systems_with_atoms(mol)
        if set(mol.GetSubstructMatch(Chem.MolFromSmarts(core.replace("[nH]", "n")))) == set(a)
    )  # fmt: skip
    check = CoreCheck(mol, list(atoms))
    for smiles in model.replace_core(lead, list(atoms), 8, seed=2, own=own, max_draws=400):
        assert check(Chem.MolFromSmiles(smiles)), smiles


def test_a_core_may_come_back_only_when_asked(model) -> None:
    lead, core = "COc1ccc(C(=O)NC2CC2)cc1", "c1ccccc1"
    parts = model.replace_core(lead, core, 40)
    with_old = model.replace_core(lead, core, 40, include_old=True, atoms=6)
    pattern = Chem.MolFromSmiles(core)
    assert not any(Chem.MolFromSmiles(s).HasSubstructMatch(pattern) for s in parts)
    assert any(Chem.MolFromSmiles(s).HasSubstructMatch(pattern) for s in with_old)
    sized = model.replace_core(lead, core, 10, atoms=(5, 5))
    assert all(Chem.MolFromSmiles(s).GetNumAtoms() == 14 - 6 + 5 for s in sized)


def test_one_core_joins_three_fragments(model) -> None:
    fragments = ["C1CC1[*:1]", "Fc1ccccc1[*:1]", "NC(=O)[*:1]"]
    for smiles in model.connect(fragments, 10, ring=True):
        mol = Chem.MolFromSmiles(smiles)
        assert all(kept_whole(mol, Chem.MolFromSmiles(f)) for f in fragments)


def test_shares_are_told_and_the_same_seed_gives_the_same(model) -> None:
    first = model.link("Fc1ccc([*:1])cc1", "[*:1]N1CCOCC1", 20, seed=1)
    assert first == model.link("Fc1ccc([*:1])cc1", "[*:1]N1CCOCC1", 20, seed=1)
    assert len(first.precedent) == 20 and first.shares["own"] == pytest.approx(0.25)
    assert np.mean(np.array(first.precedent) > 0) == pytest.approx(first.shares["precedent"])
    only = model.link("Fc1ccc([*:1])cc1", "[*:1]N1CCOCC1", 20, own=0.0)
    assert all(only.precedent)


def test_impossible_requests_are_named(model) -> None:
    a, b = "Fc1ccc([*:1])cc1", "[*:1]N1CCOCC1"
    lead = "COc1ccc(C(=O)NC2CC2)cc1"
    for call, says in (
        (lambda: model.link(a, b, 3, length=(6, 4)), "the first number exceeds the second"),
        (lambda: model.link(a, b, 3, length=9, atoms=3), "at least 8 atoms"),
        (lambda: model.link(a, b, 3, length=0), "at least 1"),
        (lambda: model.connect([a, b, "C[*:1]"], 3, atoms=0), "at least 1"),
        (lambda: model.link(a, b, 3, rings="two"), "rings is 'two'"),
        (lambda: model.link(a, b, 3, own=2), "share from 0 to 1"),
        (lambda: model.sample_scaffold(a, 3, atoms={2: 4}), "names mark 2"),
        (lambda: model.sample_scaffold("CCO", 3, atoms={1: 4}), "no marks"),
        (lambda: model.replace_core(lead, [99], 3), "core names atom 99"),
        (lambda: model.replace_core("C1CC1CCC1CC1", "C1CC1CCC1CC1", 3), "no substituent"),
        (lambda: model.replace_core("O=C1CCCc2ccccc21", "c1ccccc1", 3), "ring bond"),
        (lambda: model.connect([a], 3), "expected 2 to 6"),
    ):
        with pytest.raises(ValueError, match=says):
            call()


def test_limits_of_the_command_line() -> None:
    assert parse_limit("4", "atoms") == 4 and parse_limit("2:8", "atoms") == (2, 8)
    assert parse_limit(":8", "atoms") == (None, 8) and parse_limit(None, "atoms") is None
    assert parse_limits(["1=2:8", "2=4"], "atoms") == {1: (2, 8), 2: 4}
    for wrong in ("a", "2-4", "1:x"):
        with pytest.raises(ValueError, match="expected for example"):
            parse_limit(wrong, "atoms")


# --- the shipped table ----------------------------------------------------------------------------
def test_a_table_ships_with_its_sources_and_every_model_finds_it() -> None:
    path = shipped_precedent()
    assert path is not None and path.stat().st_size < 15e6
    found = molgen.load_model("moses").precedent
    assert found is not None and found.path == path
    assert found.card["molecules"] > 200_000 and "ChEMBL (CC BY-SA 3.0)" in found.card["source"]
    assert found.parts(1).count_of("*C") > 10_000


def test_without_a_table_all_is_the_models_own(small_model) -> None:
    small_model.precedent = None
    try:
        grown = small_model.sample_scaffold("O=C(N[*:1])c1ccccc1", 3)
        assert not any(grown.precedent)
        assert small_model.near_table("CCOc1ccccc1", 3)["precedent"].isna().all()
    finally:
        del small_model.__dict__["precedent"]


def test_parts_put_together_are_ranked_and_new(table) -> None:
    scaffold = Chem.MolFromSmiles("O=C(N[*:1])c1ccccc1")
    groups, linkers = table.parts(1), table.parts(2)
    wish = Wish((4, 9))
    made = list(islice(composed(linkers, groups, groups, scaffold, 1, [], wish), 40))
    assert made and len({part.text for part in made}) == len(made)
    scores = [part.score for part in made]
    assert scores == sorted(scores, reverse=True)
    for part in made:
        assert not table.parts(1).count_of(unnumbered(part.text))
        assert 4 <= Chem.MolFromSmiles(part.text).GetNumHeavyAtoms() <= 9


def test_how_often_a_part_hung_on_such_an_atom(table) -> None:
    """By counting methyls on aromatic and other carbons with RDKit."""
    groups = table.parts(1)
    number = groups.number["*C"]
    for probe, pattern in (
        ("[*:1]c1ccccc1", "[CX4H3]-;!@[cX3H0]"), ("[*:1]N(C)C", "[CX4H3]-[NX3H0;+0;!R]")
    ):  # fmt: skip
        mol = Chem.MolFromSmiles(probe)
        ((code, *_),) = mark_contexts(mol, [0])
        query = Chem.MolFromSmarts(pattern)
        counted = sum(
            len(read_flat(s).GetSubstructMatches(query, maxMatches=1000)) for s in MOLECULES
        )
        assert groups.count_on(number, 0, code) == counted


def test_cores_tell_how_exits_turn_and_move(model) -> None:
    lead = "Cc1ccc(C(=O)Nc2ccc(F)cc2)cc1"
    table = model.core_table(lead, "Cc1ccc(C(=O)N)cc1", 4, atoms=(5, 12), own=0.0)
    assert list(table.columns) == ["smiles", "core", "precedent", "bonds", "angle", "distance"]
    para, meta = "[*:1]c1ccc([*:2])cc1", "[*:1]c1cccc([*:2])c1"
    angle, distance = exit_changes(para, meta)
    assert angle == pytest.approx(60, abs=8) and distance == pytest.approx(0.37, abs=0.15)
    assert exit_changes(para, "[*:1]C#C[*:2]")[0] < 5  # 180 degrees either way
    assert exit_changes("[*:1]C", "[*:1]CC") == (0.0, 0.0)
    drug = "CCOc1ccc(C(=O)NC2CC2)cc1"
    straight = model.core_table(drug, "c1ccccc1", 5, angle=25, distance=None)
    assert (straight["angle"] <= 25).all()
    with pytest.raises(ValueError, match="angle is -5"):
        model.replace_core(drug, "c1ccccc1", 2, angle=-5)


def test_near_tells_the_precedent_of_each_change(model) -> None:
    found = model.near_table("Cc1ccc(C(=O)NC2CC2)cc1Cl", 30)
    assert (found["precedent"] >= 0).all() and (found["precedent"] > 0).any()


def test_records_name_the_table_and_another_is_refused(model, table, tmp_path) -> None:
    got = model.link("Fc1ccc([*:1])cc1", "[*:1]N1CCOCC1", 4)
    arguments = {"a": "Fc1ccc([*:1])cc1", "b": "[*:1]N1CCOCC1", "n": 4}
    file = tmp_path / "linked.csv"
    write_proposals(got, file, model, "link", arguments, 0)
    assert table.sha256 in (tmp_path / "linked.csv.provenance.json").read_text()
    assert verify(file, model=model).passed
    other = tmp_path / "other.zip"
    model.precedent = molgen.build_precedent(MOLECULES[:200], other, least=2)
    assert "table of precedent at hand" in str(verify(file, model=model))
