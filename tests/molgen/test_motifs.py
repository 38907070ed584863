"""Motif trees: lossless on real molecules, valid by construction, honest about what is left out."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, rdBase

from molgen.motifs.assembly import assemble, to_smiles
from molgen.motifs.trees import Edge, MotifError, MotifTree, decompose, motif

DATA = Path(__file__).parent.parent / "data"
SOURCES = ("moses_sample", "chembl_sample", "approved_drugs")


def read(name: str) -> list[str]:
    with gzip.open(DATA / f"{name}.smi.gz", "rt", encoding="utf-8") as stream:
        return [line.split()[0] for line in stream if line.strip()]


def canonical(smiles: str) -> str:
    # Twice: RDKit settles some stereo marks only when its own output is read again.
    return Chem.CanonSmiles(Chem.CanonSmiles(smiles))


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_round_trip_is_lossless_on_real_molecules(source: str) -> None:
    wrong, refused, tried = [], [], 0
    for smiles in read(source)[:: 1 if source == "approved_drugs" else 2]:
        with rdBase.BlockLogs():
            mol = Chem.MolFromSmiles(smiles)
        if mol is None or "." in smiles:
            continue
        tried += 1
        try:
            tree = decompose(mol)
        except MotifError as error:
            refused.append(str(error))
            continue
        if not tree.dropped and Chem.MolToSmiles(assemble(tree)) != canonical(smiles):
            wrong.append(smiles)
    assert tried > 1_200
    assert wrong == []
    assert all("dative" in reason for reason in refused) and len(refused) < 10


def test_the_three_sources_hold_ten_thousand_molecules() -> None:
    assert sum(len(read(source)) for source in SOURCES) >= 10_000


@pytest.mark.parametrize(
    "smiles",
    [
        "C",
        "c1ccc2[nH]ccc2c1",
        "Cn1cccc1",
        "O=[N+]([O-])c1ccccc1",
        "C[N+](C)(C)CC(=O)[O-]",
        "CS(=O)(=O)N",
        "CP(=O)(OC)OC",
        "C[S@](=O)c1ccccc1",
        "F/C=C/F",
        "C/C=C\\C(=O)N",
        "C[C@H](N)C(=O)O",
        "C[C@@]1(O)CC[C@H](N)CC1",
        "[2H]C([2H])([2H])O",
        "C[Si](C)(C)C#C",
        "OB(O)c1ccccc1",
        "C1CC2(C1)CC2",
        "[13CH3]C",
    ],
)
def test_round_trip_of_hard_cases(smiles: str) -> None:
    tree = decompose(Chem.MolFromSmiles(smiles))
    assert tree.dropped == ()
    assert Chem.MolToSmiles(assemble(tree)) == canonical(smiles)


def test_opposite_charges_stay_together_and_rings_stay_whole() -> None:
    tree = decompose(Chem.MolFromSmiles("O=[N+]([O-])c1ccc(CCO)cc1"))
    assert sorted(tree.motifs) == ["C", "C", "O", "O=[NH+][O-]", "c1ccccc1"]


def test_nodes_are_a_depth_first_preorder() -> None:
    for smiles in read("moses_sample")[:300]:
        tree = decompose(Chem.MolFromSmiles(smiles))
        path = [0]
        for number, edge in enumerate(tree.edges, start=1):
            assert edge.child == number and edge.parent < number
            while path[-1] != edge.parent:
                path.pop()  # raises IndexError if the parent was already left
            path.append(number)


def test_text_and_atom_by_atom_assembly_agree() -> None:
    from molgen.motifs.assembly import _assemble_atoms

    for smiles in read("moses_sample")[:500]:
        tree = decompose(Chem.MolFromSmiles(smiles))
        assert Chem.CanonSmiles(to_smiles(tree)) == Chem.MolToSmiles(_assemble_atoms(tree))


def test_symmetries_of_known_motifs() -> None:
    assert len(motif("c1ccccc1").automorphisms) == 12
    assert len(motif("c1ccncc1").automorphisms) == 2
    assert len(motif("c1c[nH]cn1").automorphisms) == 1  # the two nitrogens differ by a hydrogen
    assert motif("c1ccccc1").automorphisms[0] == tuple(range(6))


def test_enhanced_stereo_is_named_not_dropped_in_silence() -> None:
    mol = Chem.MolFromSmiles("C[C@H](N)CO |&1:1|")
    assert any("enhanced stereo" in reason for reason in decompose(mol).dropped)


@pytest.mark.parametrize(
    ("smiles", "says"),
    [("CC.O", "2 components"), ("", "empty"), ("[NH3]->[Pt](Cl)(Cl)<-[NH3]", "dative")],
)
def test_what_has_no_tree_is_said(smiles: str, says: str) -> None:
    with pytest.raises(MotifError, match=says):
        decompose(Chem.MolFromSmiles(smiles))


def test_too_many_attachments_are_refused() -> None:
    tree = MotifTree(("F", "C", "C"), (Edge(0, 0, 1, 0), Edge(0, 0, 2, 0)))
    with pytest.raises(MotifError, match="2 motifs hang from atom 0 of F"):
        assemble(tree)


MOTIFS = ("C", "N", "O", "C=O", "c1ccccc1", "c1c[nH]cn1", "O=[SH2]=O", "C1CCNCC1", "O=[NH+][O-]")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_anything_built_while_hydrogens_last_is_valid(data: st.DataObject) -> None:
    motifs = data.draw(st.lists(st.sampled_from(MOTIFS), min_size=1, max_size=12))
    left = [list(motif(m).hydrogens) for m in motifs]
    edges: list[Edge] = []
    kept = [0]
    for child in range(1, len(motifs)):
        sites = [(n, a) for n in kept for a, h in enumerate(left[n]) if h]
        own = [a for a, h in enumerate(left[child]) if h]
        if not sites:
            break
        parent, atom = data.draw(st.sampled_from(sites))
        mine = data.draw(st.sampled_from(own))
        left[parent][atom] -= 1
        left[child][mine] -= 1
        edges.append(Edge(parent, atom, child, mine))
        kept.append(child)
    tree = MotifTree(tuple(motifs[: len(kept)]), tuple(edges))
    mol = assemble(tree)
    again = assemble(decompose(mol))
    assert Chem.MolToSmiles(again) == Chem.MolToSmiles(mol)
    expected = sum(motif(m).mol.GetNumHeavyAtoms() for m in tree.motifs)
    assert mol.GetNumHeavyAtoms() == expected
