"""Scaffolds, exits, linkers and cores: what must stay stays, and shortfalls have reasons."""

import pytest
from rdkit import Chem

from molgen.generation.scaffolds.partial_structures import parse_scaffold
from tests.molgen.test_motifs import read


def holds(smiles: str, pattern: str) -> bool:
    return Chem.MolFromSmiles(smiles).HasSubstructMatch(Chem.MolFromSmarts(pattern))


@pytest.mark.parametrize(
    "scaffold",
    [
        "c1ccc2[nH]ccc2c1",
        "O=C1CCCN1",
        "c1ccc2c(c1)[se]c1ccccc12",
        "C1CCCCCCCCCCCCC1",
        "C1CC2(C1)CCNC2",
        "CC(=O)Nc1ccc(O)cc1",
        "O=C(NCc1ccccc1)C1CCNCC1",
    ],
)
def test_every_molecule_contains_the_scaffold(small_model, scaffold) -> None:
    grown = small_model.sample_scaffold(scaffold, 25, seed=2)
    pattern = Chem.MolFromSmiles(scaffold)
    assert len(set(grown)) == 25
    for smiles in grown:
        mol = Chem.MolFromSmiles(smiles)
        assert mol.HasSubstructMatch(pattern)
        assert mol.GetNumAtoms() > pattern.GetNumAtoms() and "." not in smiles


def test_growth_starts_at_the_exits_only(small_model) -> None:
    grown = small_model.sample_scaffold("O=C(N[*:1])c1ccc(F)cc1", 25, seed=1)
    only_there = "O=C([N;!$([N]([#6])[#6](=O)c1ccc(F)cc1)])"
    for smiles in grown:
        assert holds(smiles, "O=C(N*)c1[cH][cH]c(F)[cH][cH]1"), smiles
    assert only_there


def test_scaffolds_of_approved_drugs_are_all_accepted(small_model) -> None:
    from rdkit.Chem.Scaffolds import MurckoScaffold

    tried = 0
    for smiles in read("approved_drugs")[::40]:
        mol = Chem.MolFromSmiles(smiles)
        if mol is None or "." in smiles or "[Pt" in smiles:
            continue
        Chem.RemoveStereochemistry(mol)
        core = MurckoScaffold.GetScaffoldForMol(mol)
        if not 5 < core.GetNumHeavyAtoms() <= 40:
            continue
        tried += 1
        grown = small_model.sample_scaffold(Chem.MolToSmiles(core), 5, seed=1)
        assert len(grown) == 5
        assert all(Chem.MolFromSmiles(s).HasSubstructMatch(core) for s in grown)
    assert tried > 20


def test_linked_molecules_hold_both_fragments(small_model) -> None:
    linked = small_model.link("Fc1ccc([*:1])cc1", "[*:1]N1CCOCC1", 8, seed=1)
    assert len(set(linked)) == 8
    for smiles in linked:
        assert holds(smiles, "Fc1ccc(*)cc1") and holds(smiles, "C1COCCN1*") and "." not in smiles


def test_new_substituents_keep_the_core(small_model) -> None:
    lead = "Cc1ccc(C(=O)NC2CC2)nc1"
    for smiles in small_model.replace_substituents(lead, "c1ccncc1", 10, seed=1):
        assert holds(smiles, "c1ccncc1")


def test_a_new_core_keeps_the_substituents(small_model) -> None:
    hopped = small_model.replace_core("Fc1ccc(CC2CCN(C)CC2)cc1", "C1CCNCC1", 5, seed=1)
    assert hopped
    for smiles in hopped:
        assert holds(smiles, "Fc1ccc(C)cc1") and not holds(smiles, "C1CCNCC1")


def test_only_the_rest_changes(small_model) -> None:
    lead = "Cc1ccc(C(=O)NC2CC2)cc1Cl"
    analogues = small_model.sample_near(lead, 10, keep="C(=O)NC1CC1", seed=1)
    assert len(analogues) == 10 and Chem.CanonSmiles(lead) not in analogues
    assert all(holds(s, "C(=O)NC1CC1") for s in analogues)


@pytest.mark.parametrize(
    ("scaffold", "says"),
    [
        ("", "not a SMILES"),
        ("not a molecule", "not a SMILES"),
        ("c1ccccc1.CCO", "2 pieces"),
        ("[*:1]", "exactly one atom"),
        ("C=[*:1]", "single bond"),
        ("FC(F)(F)F", "no hydrogen"),
        ("C" * 61, "61 heavy atoms"),
    ],
)
def test_impossible_scaffolds_are_one_clear_sentence(small_model, scaffold, says) -> None:
    with pytest.raises(ValueError, match=says):
        small_model.sample_scaffold(scaffold, 3)


def test_other_bad_input_is_named(small_model) -> None:
    with pytest.raises(ValueError, match="2 exits; expected one"):
        small_model.link("[*:1]c1ccc([*:2])cc1", "[*:1]C", 1)
    with pytest.raises(ValueError, match="is not a part of"):
        small_model.replace_core("CCO", "c1ccccc1", 1)
    with pytest.raises(ValueError, match="ring bond or a multiple bond"):
        small_model.replace_substituents("c1ccc2ccccc2c1", "cccc", 1)
    with pytest.raises(ValueError, match="keep names atom 9"):
        small_model.sample_near("CCO", 1, keep=[9])


def test_a_shortfall_comes_with_its_reason(small_model) -> None:
    from molgen.generation.scaffolds.growing import sample_scaffold

    few = sample_scaffold(small_model, "FC(F)(F)O[*:1]", 500, max_draws=256, atoms=1)
    assert len(few) < 500
    assert any("256 of them drawn by the model" in d.reason for d in few.dropped)


def test_exits_may_share_an_atom() -> None:
    scaffold = parse_scaffold("C([*:1])([*:2])c1ccccc1")
    assert len(scaffold.exits) == 1 and scaffold.smiles == "Cc1ccccc1"
