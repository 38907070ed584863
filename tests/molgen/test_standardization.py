"""Standardising: steps, refusals, options, independence of processes."""

import gzip
from pathlib import Path

import pytest
from rdkit import Chem

from molgen.chem.parsing import canonical, parse
from molgen.chem.standardization import standardize
from molgen.provenance.cases import SALTS

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
        "  rejected: a compound of the metal or unusual element Fe (iron): 1",
    ]
    assert result.rejected_table()["line"].tolist() == [2, 3, 4]


def test_several_processes_give_the_same_result():
    smiles = rows("chembl_sample", 1100)
    assert standardize(smiles, n_jobs=2) == standardize(smiles, n_jobs=1)


_ACIDS = [
    Chem.MolFromSmarts(s)
    for s in ("[CX3](=O)[OX2H1:1]", "[#15,#16](=O)[OX2H1:1]", "[nH:1]1nnnc1",
              "[NX3H1:1]([CX3]=O)[CX3]=O", "[NX3H1:1]S(=O)(=O)",
              "[OX2H1:1][#6X3]=,:[#6X3]", "[nH:1]")
]  # fmt: skip
_BASE = Chem.MolFromSmarts("[NX3;+0;H2,H1,H0;!$(N-[C,S,P]=[O,N,S]);!$(N-a);!$(N-N);!$(N[#6]=[#7])]")


def as_ions(smiles: str) -> str:
    """The molecule with its first acid given up, or its first amine protonated."""
    mol = Chem.RWMol(parse(smiles))
    for acid in _ACIDS:
        at = next(a.GetIdx() for a in acid.GetAtoms() if a.GetAtomMapNum())
        for match in mol.GetSubstructMatches(acid):
            atom = mol.GetAtomWithIdx(match[at])
            atom.SetFormalCharge(-1)
            atom.SetNumExplicitHs(0)
            Chem.SanitizeMol(mol)
            return canonical(mol.GetMol())
    for match in mol.GetSubstructMatches(_BASE):
        atom = mol.GetAtomWithIdx(match[0])
        atom.SetFormalCharge(1)
        atom.SetNumExplicitHs(atom.GetTotalNumHs() + 1)
        Chem.SanitizeMol(mol)
        return canonical(mol.GetMol())
    return smiles


@pytest.mark.parametrize("row", SALTS, ids=lambda row: row["salt"].replace(" ", "_"))
def test_parents_of_approved_salts(row):
    """The drug as in its label, written as acid and base, as ions, and in either order."""
    parent, counter = row["smiles"], row["counter"]
    if not parent:
        assert not standardize(counter).smiles, "the metal is the drug"
        symbol = row["metal"]
        assert f"{symbol} (" in standardize(counter).rejected[0].reason
        return
    ionic = as_ions(parent)
    assert canonical(standardize(ionic).smiles[0]) == canonical(parent)
    written = [f"{parent}.{counter}", f"{counter}.{parent}", f"{ionic}.{counter}"]
    written.append(".".join([ionic, *map(as_ions, counter.split("."))]))
    written.append(f"{parent}.{counter}.{parent}.O")
    result = standardize(written)
    assert set(result.smiles) == {canonical(parent)} and not result.rejected
    assert all(removed and not removed[0].startswith("molecule") for removed in result.removed)


def test_parents_are_molecules_of_the_list_of_approved_drugs():
    """The structures of the table against a list that others made; four drugs are not in it."""
    known = set()
    for source in ("approved_drugs", "chembl_sample"):
        known |= {Chem.CanonSmiles(s, 0) for s in standardize(rows(source)).smiles}
    missing = {
        r["parent"] for r in SALTS if r["smiles"] and Chem.CanonSmiles(r["smiles"], 0) not in known
    }
    assert missing == {"flunixin", "valproic acid", "ipragliflozin", "cloperastine"}


@pytest.mark.parametrize(
    ("salt", "parent", "removed"),
    [
        ("CC[NH3+].[O-]S(=O)(=O)C(F)(F)F", "CCN", "Triflate"),
        ("CCN(CC)CC.Cc1ccc(cc1)S(=O)(=O)O", "CCN(CC)CC", "Tosylate"),
        ("C[n+]1ccn(CC)c1.c1ccc(cc1)[B-](c1ccccc1)(c1ccccc1)c1ccccc1", "C[n+]1ccn(CC)c1",
         "Tetraphenylborate"),
        ("CCN.OCl(=O)(=O)=O", "CCN", "Perchlorate"),
        ("NCc1ccccc1.[N-]=[N+]=[N-].[H+]", "NCc1ccccc1", "Azide"),
        ("C[n+]1ccn(CC)c1.O=S(=O)([N-]S(=O)(=O)C(F)(F)F)C(F)(F)F", "C[n+]1ccn(CC)c1", "Triflimide"),
    ],
)  # fmt: skip
def test_an_anion_of_a_strong_acid_is_never_the_drug(salt, parent, removed):
    found = standardize(salt)
    assert found.smiles == (canonical(parent),) and removed in found.removed[0]


def test_every_row_says_what_was_removed():
    result = standardize(
        [
            "CC(=O)Oc1ccccc1C(=O)O.NCCCCC(N)C(=O)O.O",
            "CCO",
            "[Na+].[O-]C(=O)c1ccccc1.CCOCC",
            "CC(=O)Nc1ccc(O)cc1.Cn1c(=O)c2c(ncn2C)n(C)c1=O",
        ]
    )
    assert result.removed == (
        ("Lysine", "Water"),
        (),
        ("Diethyl ether", "Sodium"),
        ("molecule CC(=O)Nc1ccc(O)cc1",),
    )
    assert result.steps[3] == ("fragments removed", "another molecule removed")
    table = result.table()
    assert table["removed"].tolist()[0] == "Lysine; Water"
    assert table["changed"].tolist()[2] == "fragments removed; neutralised"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C1=CC=C[CH+]C=C1", "c1ccc[cH+]cc1"),
        ("[C+](c1ccccc1)(c1ccccc1)c1ccccc1.[Cl-]", "c1ccc([C+](c2ccccc2)c2ccccc2)cc1"),
        ("C[n+]1ccccc1.[I-]", "C[n+]1ccccc1"),
        ("[2H]O[2H].CCN.Cl", "CCN"),
    ],
)
def test_cations_without_a_proton_to_lose_get_no_hydride(text, expected):
    assert standardize(text).smiles == (expected,)


def test_two_enantiomers_side_by_side_are_the_racemate():
    amine = "N[C@@H]1C[C@H]1c1ccccc1"
    mirror = "N[C@H]1C[C@@H]1c1ccccc1"
    result = standardize([f"{amine}.{mirror}.OS(O)(=O)=O", amine, f"{amine} |&1:1,3|"])
    assert result.smiles[0] == result.smiles[2] != result.smiles[1]
    assert "|&1:" in result.smiles[0]
    mixed = standardize(f"{amine}.N[C@@H]1C[C@@H]1c1ccccc1")
    assert mixed.rejected[0].reason == "a mixture of stereoisomers"


def test_enantiomer_racemate_and_unknown_enantiomer_are_three_molecules():
    pure, racemate, unknown = (f"C[C@H](N)c1ccccc1.Cl{x}" for x in ("", " |&1:1|", " |o1:1|"))
    other = "[C@H](C)(c1ccccc1)N |&7:0|"  # the racemate, written otherwise
    result = standardize([pure, racemate, unknown, other], deduplicate=True)
    assert len(result.smiles) == 3
    assert result.rejected[0].reason == "duplicate of line 2"
    assert [parse(s).GetStereoGroups().__len__() for s in result.smiles] == [0, 1, 1]
    assert standardize(result.smiles).smiles == result.smiles
