"""Pictures of molecules."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pandas as pd
import pytest

from molgen.filters.filter_sets import filter_molecules
from molgen.report.drawing import Drawing, draw, draw_structure

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "F/C=C/F", "C[N+](C)(C)CC(=O)[O-]"]
SVG = "{http://www.w3.org/2000/svg}"


def test_grid_is_well_formed_and_complete(tmp_path):
    drawing = draw(
        SMILES,
        scores={"qed": [0.1, 0.2, 0.3, 0.4]},
        names=list("abcd"),
        columns=2,
        path=tmp_path / "grid.svg",
    )
    assert isinstance(drawing, Drawing)
    assert drawing._repr_svg_() == (tmp_path / "grid.svg").read_text() == drawing
    root = ElementTree.fromstring(drawing)
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert texts == ["a", "qed 0.1", "b", "qed 0.2", "c", "qed 0.3", "d", "qed 0.4"]
    assert len(list(root.iter(f"{SVG}g"))) == 4
    assert root.get("width") == "480"


def test_alerts_are_highlighted_and_named():
    plain = draw(["O=C1C=CC(=O)C=C1"])
    marked = draw(["O=C1C=CC(=O)C=C1"], highlight="pains")
    assert "#FCB76B" not in plain
    assert "#FCB76B" in marked
    assert "⚠ quinone_A(370)" in marked
    table = filter_molecules(["O=C1C=CC(=O)C=C1", "CC"], "pains")
    assert draw(table).count("⚠") == 1


def test_scores_from_a_table():
    table = pd.DataFrame({"smiles": ["CC", "CCO"], "mw": [30.07, 46.07], "tag": ["x", "<y>"]})
    drawing = draw(table, scores=["mw", "tag"])
    assert "mw 30.1" in drawing
    assert "tag &lt;y&gt;" in drawing


@pytest.mark.parametrize("smiles", ["nonsense", "", "C", "[Fe]", "*CC", "[2H]C", "CC.CC"])
def test_odd_molecules_are_drawn_or_named(smiles):
    svg = draw_structure(smiles)
    ElementTree.fromstring(svg)
    assert ("not a molecule" in svg) == (smiles in ("nonsense", ""))


def test_structures_are_small_and_themed():
    svg = draw_structure(SMILES[0], atoms=[0, 1, 99])
    assert len(svg) < 8000
    assert "currentColor" in svg
    assert "#000000" not in svg
    assert "style=" not in svg


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="no molecules to draw"):
        draw([])
    with pytest.raises(ValueError, match="columns must be at least 1"):
        draw("CC", columns=0)
    with pytest.raises(ValueError, match="2 names for 1 molecules"):
        draw("CC", names=["a", "b"])
    with pytest.raises(ValueError, match="has 2 values for 1 molecules"):
        draw("CC", scores={"x": [1, 2]})
    with pytest.raises(ValueError, match="need a table"):
        draw("CC", scores=["mw"])
    with pytest.raises(ValueError, match="no column 'mw'"):
        draw(pd.DataFrame({"smiles": ["CC"]}), scores=["mw"])
    with pytest.raises(ValueError, match="no column of structures"):
        draw(pd.DataFrame({"x": ["CC"]}))
    with pytest.raises(ValueError, match="Cannot write"):
        draw("CC", path=tmp_path / "no" / "such.svg")
