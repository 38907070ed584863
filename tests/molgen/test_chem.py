"""The border with RDKit: reading, standardising, stereoisomers."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgen import chem

DATA = Path(__file__).parents[1] / "data"


def rows(name: str, n: int | None = None) -> list[str]:
    return gzip.decompress((DATA / f"{name}.smi.gz").read_bytes()).decode().split()[:n]


# --- parse ---


def test_parse_agrees_with_rdkit_on_real_molecules():
    for smiles in rows("approved_drugs", 300):
        assert chem.canonical(smiles) == Chem.CanonSmiles(smiles)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("C1CC", "ring closure 1 is never closed"),
        ("CC(C", "unbalanced parenthesis"),
        ("[CH3", "unbalanced bracket"),
        ("CC name", "blank or control character at position 3"),
        ("C\x00C", "blank or control character at position 2"),
        ("Cé", "character 'é' at position 2 is not SMILES"),
        ("CC(C)(C)(C)C", "explicit valence for atom # 1 C, 5, is greater than permitted"),
        ("c1cccc1", "can't kekulize mol"),
        ("[Xx]", "not SMILES syntax"),
        ("C" * 5001, "5,001 characters, at most 5,000 are read"),
        ("(" * 5000, "unbalanced parenthesis"),
    ],
)
def test_parse_says_what_is_wrong(text, reason):
    with pytest.raises(chem.MoleculeError) as caught:
        chem.parse(text)
    assert reason in caught.value.reason
    assert str(caught.value).startswith("Cannot read SMILES")
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [None, 3, 2.5, b"CC", ["CC"]])
def test_parse_refuses_what_is_not_text(value):
    with pytest.raises(TypeError, match="Expected a SMILES string"):
        chem.parse(value)


def test_five_thousand_atoms_do_not_bring_the_process_down():
    assert chem.canonical("C" * 5000) == "C" * 5000


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_parse_survives_any_text(text):
    try:
        mol = chem.parse(text)
    except chem.MoleculeError as error:
        assert error.reason
    else:
        assert chem.canonical(chem.canonical(mol)) == chem.canonical(mol)


@given(st.text(alphabet="CNOSPFclnos()[]=#@+-123%Br*:/\\.H", max_size=30))
@settings(max_examples=500, deadline=None)
def test_parse_survives_near_smiles(text):
    try:
        assert chem.parse(text).GetNumAtoms() > 0
    except chem.MoleculeError as error:
        assert error.reason


def test_rdkit_is_silent_inside_and_speaks_again_outside():
    code = (
        "from rdkit import Chem\nfrom molgen import chem\n"
        "chem.parse_or_none('C1CC')\nimport sys\nsys.stderr.flush()\n"
        "print('between', file=sys.stderr, flush=True)\nChem.MolFromSmiles('C1CC')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = done.stderr.split("between")
    assert before == ""
    assert "unclosed ring" in after


# --- standardise ---


@pytest.mark.parametrize(
    ("text", "expected", "changes"),
    [
        ("CC(=O)[O-].[Na+]", "CC(=O)O", {"fragments removed": 1, "neutralised": 1}),
        (
            "[Na]OC(=O)c1ccccc1",
            "O=C(O)c1ccccc1",
            {"metal bonds broken": 1, "fragments removed": 1, "neutralised": 1},
        ),
        ("C[N+](C)(C)CC([O-])=O", "C[N+](C)(C)CC(=O)[O-]", {}),
        ("c1ccccc1[N+](=O)[O-]", "O=[N+]([O-])c1ccccc1", {}),
        ("[13CH3]O", "CO", {"isotope labels removed": 1}),
        ("[2H]OC([2H])([2H])C", "CCO", {"isotope labels removed": 1}),
        ("C", "C", {}),
        ("CCO.CCCO.O", "CCCO", {"fragments removed": 1}),
    ],
)
def test_standardize_steps(text, expected, changes):
    result = chem.standardize(text)
    assert result.smiles == (expected,)
    assert result.changes == changes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[Fe]", "metal or unusual element Fe"),
        ("[Na+].[Cl-]", "no carbon atom"),
        ("O", "no carbon atom"),
        ("[CH3]", "radical on C"),
        ("*CC", "dummy atom"),
        ("not smiles at all", "blank or control character at position 4"),
        ("", "empty"),
    ],
)
def test_standardize_reports_what_it_cannot_keep(text, reason):
    result = chem.standardize(["CC", text, "CCC"])
    assert result.smiles == ("CC", "CCC")
    assert result.lines == (1, 3)
    assert [(r.line, r.smiles) for r in result.rejected] == [(2, text)]
    assert reason in result.rejected[0].reason
    assert (result.n_in, result.n_out) == (3, 2)


def test_standardize_options():
    assert chem.standardize("CC.O", largest_fragment=False).smiles == ("CC.O",)
    assert chem.standardize("CC(=O)[O-]", neutralize=False).smiles == ("CC(=O)[O-]",)
    assert chem.standardize("[13CH4]", keep_isotopes=True).smiles == ("[13CH4]",)
    assert chem.standardize("Oc1ccccn1", canonical_tautomer=True).smiles == ("O=c1cccc[nH]1",)
    twice = chem.standardize(["CCO", "OCC", "CC"], deduplicate=True)
    assert twice.smiles == ("CCO", "CC")
    assert twice.rejected[0].reason == "duplicate of line 1"
    numbered = chem.standardize(["C1CC"], lines=[41])
    assert numbered.rejected[0].line == 41
    with pytest.raises(ValueError, match="lines has 1 numbers for 2 SMILES"):
        chem.standardize(["C", "CC"], lines=[1])


def test_tautomers_keep_their_stereocentres():
    alanine = "C[C@H](N)C(=O)O"
    assert chem.standardize(alanine, canonical_tautomer=True).smiles == (chem.canonical(alanine),)


@pytest.mark.parametrize("source", ["moses_sample", "approved_drugs", "chembl_sample"])
def test_standardize_twice_changes_nothing_more(source):
    once = chem.standardize(rows(source, 500))
    again = chem.standardize(once.smiles)
    assert again.smiles == once.smiles
    assert not again.rejected
    assert not again.changes
    if source == "moses_sample":
        assert not once.rejected
        assert not once.changes


def test_standardize_report_reads_well():
    result = chem.standardize(["CC.Cl", "C1CC", None, "[Fe]"])
    assert str(result).splitlines() == [
        "4 rows in, 1 out, 3 rejected",
        "  changed: fragments removed: 1",
        "  rejected: ring closure 1 is never closed: 1",
        "  rejected: not a string (NoneType): 1",
        "  rejected: metal or unusual element Fe: 1",
    ]
    assert result.rejected_table()["line"].tolist() == [2, 3, 4]


def test_several_processes_give_the_same_result():
    smiles = rows("chembl_sample", 1100)
    assert chem.standardize(smiles, n_jobs=2) == chem.standardize(smiles, n_jobs=1)


def test_enumerate_stereo():
    assert chem.enumerate_stereo("CC(F)C(Cl)O") == sorted(
        Chem.CanonSmiles(s)
        for s in [
            "C[C@H](F)[C@H](Cl)O",
            "C[C@H](F)[C@@H](Cl)O",
            "C[C@@H](F)[C@H](Cl)O",
            "C[C@@H](F)[C@@H](Cl)O",
        ]
    )
    assert chem.enumerate_stereo("C[C@H](F)Cl") == ["C[C@H](F)Cl"]
    assert len(chem.enumerate_stereo("FC(Cl)C(F)(Br)C(O)(N)C=CC", max_isomers=5)) == 5
    with pytest.raises(ValueError, match="max_isomers"):
        chem.enumerate_stereo("CC", max_isomers=0)
