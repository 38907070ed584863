"""The grid of molecules in a notebook: what it shows, finds and gives back."""

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from rdkit import Chem

import molgen
from molgen.sampling.molecules import Molecules

SMILES = ["CCO", "CCN", "c1ccccc1O", "C1CC"]
TEMPLATES = Path(molgen.__file__).parent / "report" / "templates"
SCRIPT = "".join((TEMPLATES / name).read_text("utf-8") for name in ("table.js", "viewer.js"))


@pytest.fixture
def grid():
    pytest.importorskip("anywidget")
    values = {"smiles": SMILES, "id": list("abcd"), "mw": [46.07, float("nan"), 94.11, None]}
    return molgen.view(pd.DataFrame(values, index=[10, 11, 12, 13]))


def test_what_is_selected_comes_back_as_a_table(grid):
    grid.selected = [2, 0]
    assert grid.selection["id"].tolist() == ["c", "a"] and grid.selection.index.tolist() == [12, 10]
    with pytest.raises(Exception, match="positions from 0 to 3"):
        grid.selected = [4]


@pytest.mark.parametrize("smarts", ["[OX2H]", "c", "[#7]", "F"])
def test_a_substructure_is_found_as_rdkit_finds_it(grid, smarts):
    grid.substructure = smarts
    query = Chem.MolFromSmarts(smarts)
    mols = [Chem.MolFromSmiles(s) for s in SMILES[:3]]
    assert grid.matching == [i for i, m in enumerate(mols) if m.HasSubstructMatch(query)]


def test_what_is_not_smarts_is_told(grid):
    grid.substructure = "C1("
    assert grid.matching is None and grid.problem == "'C1(' is not SMARTS"
    grid.substructure = ""
    assert grid.matching is None and grid.problem == ""


def test_pictures_are_drawn_when_asked_for_and_missing_values_are_null(grid):
    assert grid.pictures == {} and grid.rows == [
        ["a", 46.07],
        ["b", None],
        ["c", 94.11],
        ["d", None],
    ]
    grid.wanted = [0, 3]
    assert set(grid.pictures) == {"0", "3"} and "not a molecule" in grid.pictures["3"]
    json.dumps(grid.get_state()["rows"], allow_nan=False)
    assert "http" not in SCRIPT  # nothing is fetched


def test_wrong_tables_are_refused():
    pytest.importorskip("anywidget")
    with pytest.raises(ValueError, match="has no column 'qed'"):
        molgen.view(["CCO"], ["qed"])
    with pytest.raises(ValueError, match="no molecules"):
        molgen.view([])


@pytest.mark.skipif(shutil.which("node") is None, reason="runs the grid's script")
def test_the_script_filters_and_sorts(tmp_path):
    (tmp_path / "viewer.mjs").write_text(SCRIPT + "export { parseFilter, compare, rounded };\n")
    (tmp_path / "run.mjs").write_text(
        """import { parseFilter, compare, rounded } from "./viewer.mjs";
        const names = ["id", "mw"], rows =
          [["a1", 46.07], ["b", null], ["Amide", 94.1], ["d", 300]];
        const fits = (text) => (i) => parseFilter(text, names)(rows[i]);
        const kept = (text) => [0, 1, 2, 3].filter(fits(text));
        const sorted = (sign) =>
          [0, 1, 2, 3].sort((i, k) => compare(rows[i][1], rows[k][1], sign));
        console.log(JSON.stringify([kept("mw<100"), kept("mw>=94.1"), kept("amide"),
          kept("mw<100 a"),
          kept("id=b"), kept("mw=300"), kept(""), sorted(1), sorted(-1),
          [1230.4, 500.04, 46.07, 0.00012345, 12, "x"].map(rounded)]));"""
    )
    done = subprocess.run(
        ["node", tmp_path / "run.mjs"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [
        [0, 2], [2, 3], [2], [0, 2], [1], [3], [0, 1, 2, 3], [0, 2, 3, 1], [3, 2, 0, 1],
        ["1230", "500", "46.07", "0.0001234", "12", "x"],
    ]  # fmt: skip


def test_molecules_are_pictures_in_a_notebook():
    html = Molecules(["CCO"] * 30)._repr_html_()
    assert html.count("<g transform") == 24 and "and 6 more" in html
    assert Molecules([])._repr_html_() == "<p>no molecules</p>"
