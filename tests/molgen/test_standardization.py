"""Standardising: steps, refusals, options, independence of processes."""

import gzip
from pathlib import Path

import pytest

from molgen.chem.parsing import canonical
from molgen.chem.standardization import standardize

DATA = Path(__file__).parents[1] / "data"


def rows(name: str, n: int | None = None) -> list[str]:
    return gzip.decompress((DATA / f"{name}.smi.gz").read_bytes()).decode().split()[:n]


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
    result = standardize(text)
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
    result = standardize(["CC", text, "CCC"])
    assert result.smiles == ("CC", "CCC")
    assert result.lines == (1, 3)
    assert [(r.line, r.smiles) for r in result.rejected] == [(2, text)]
    assert reason in result.rejected[0].reason
    assert (result.n_in, result.n_out) == (3, 2)


def test_standardize_options():
    assert standardize("CC.O", largest_fragment=False).smiles == ("CC.O",)
    assert standardize("CC(=O)[O-]", neutralize=False).smiles == ("CC(=O)[O-]",)
    assert standardize("[13CH4]", keep_isotopes=True).smiles == ("[13CH4]",)
    assert standardize("Oc1ccccn1", canonical_tautomer=True).smiles == ("O=c1cccc[nH]1",)
    twice = standardize(["CCO", "OCC", "CC"], deduplicate=True)
    assert twice.smiles == ("CCO", "CC")
    assert twice.rejected[0].reason == "duplicate of line 1"
    numbered = standardize(["C1CC"], lines=[41])
    assert numbered.rejected[0].line == 41
    with pytest.raises(ValueError, match="lines has 1 numbers for 2 SMILES"):
        standardize(["C", "CC"], lines=[1])


def test_tautomers_keep_their_stereocentres():
    alanine = "C[C@H](N)C(=O)O"
    assert standardize(alanine, canonical_tautomer=True).smiles == (canonical(alanine),)


@pytest.mark.parametrize("source", ["moses_sample", "approved_drugs", "chembl_sample"])
def test_standardize_twice_changes_nothing_more(source):
    once = standardize(rows(source, 500))
    again = standardize(once.smiles)
    assert again.smiles == once.smiles
    assert not again.rejected
    assert not again.changes
    if source == "moses_sample":
        assert not once.rejected
        assert not once.changes


def test_standardize_report_reads_well():
    result = standardize(["CC.Cl", "C1CC", None, "[Fe]"])
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
    assert standardize(smiles, n_jobs=2) == standardize(smiles, n_jobs=1)
