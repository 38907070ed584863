"""Matched pairs: what was removed, what was added, and pictures of it."""

import pytest
from rdkit import Chem

from molgen.report.analogues import compare_analogues, draw_pairs, draw_path, match_pair

LEAD = "Cc1ccc(C(=O)NC2CC2)cc1Cl"


def test_what_changed_is_named() -> None:
    table = compare_analogues(LEAD, [LEAD, "Cc1ccc(C(=O)NC2CC2)cc1", "Cc1ccc(C(=O)NC2CC2)cc1OC"])
    assert table["removed"].tolist() == ["[H]", "Cl", "Cl"]
    assert table["added"].tolist()[:2] == ["[H]", "[H]"]
    assert Chem.CanonSmiles(table["added"][2]) == "CO"
    assert table["similarity"][0] == 1.0 and (table["similarity"][1:] < 1).all()
    assert table["common_atoms"].tolist() == [14, 13, 13]


def test_common_and_changed_atoms_cover_both_molecules() -> None:
    pair = match_pair(LEAD, "O=C(c1ccncc1)N1CCOCC1")
    assert len(pair.common) + len(pair.removed) == pair.first.GetNumAtoms()
    assert len(pair.common) + len(pair.added) == pair.second.GetNumAtoms()
    for a, b in pair.common:
        symbols = [m.GetAtomWithIdx(i).GetSymbol() for m, i in ((pair.first, a), (pair.second, b))]
        assert symbols[0] == symbols[1]


def test_nothing_in_common_is_everything_changed() -> None:
    pair = match_pair("FF", "[Na+].[Cl-]")
    assert pair.common == () and pair.removed == [0, 1]


def test_analogues_are_drawn_in_the_pose_of_the_lead(tmp_path) -> None:
    svg = draw_pairs(LEAD, ["Cc1ccc(C(=O)NC2CC2)cc1F", "CCO"], path=tmp_path / "p.svg")
    assert svg.count("<g ") == 3 and "Cl → F" in svg
    assert (tmp_path / "p.svg").read_text() == svg
    with pytest.raises(ValueError, match="no analogues"):
        draw_pairs(LEAD, [])


def test_a_path_shows_each_molecule_once(tmp_path) -> None:
    svg = draw_path([LEAD, LEAD, "Cc1ccc(C(=O)NC2CC2)cc1", "CCO"], columns=2)
    assert svg.count("<g ") == 3
    assert "steps 1 to 2" in svg and "to end 1.00" in svg
    with pytest.raises(ValueError, match="at least two"):
        draw_path([LEAD])
    with pytest.raises(ValueError, match="at least 1"):
        draw_path([LEAD, "CCO"], columns=0)
