"""The border with RDKit: reading, stereoisomers."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgen.chem import parsing as chem

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
        "from rdkit import Chem\nfrom molgen.chem import parsing as chem\n"
        "chem.parse_or_none('C1CC')\nimport sys\nsys.stderr.flush()\n"
        "print('between', file=sys.stderr, flush=True)\nChem.MolFromSmiles('C1CC')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = done.stderr.split("between")
    assert before == ""
    assert "unclosed ring" in after


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


def test_inchi_mol_blocks_and_keys_at_the_border() -> None:
    alanine = Chem.MolFromSmiles("C[C@H](N)C(=O)O")
    block = Chem.MolToMolBlock(alanine)
    for text in (Chem.MolToInchi(alanine), block, block.strip(), block.replace("\n", "\r\n")):
        assert chem.canonical(text) == "C[C@H](N)C(=O)O"
    with pytest.raises(chem.MoleculeError, match="RDKit cannot read this InChI"):
        chem.parse("InChI=1S/C2H6O/nonsense")
    with pytest.raises(chem.MoleculeError, match="it is an InChIKey"):
        chem.parse(Chem.MolToInchiKey(alanine))
    with pytest.raises(chem.MoleculeError, match="at most 500,000 are read"):
        chem.parse(block + "\n" * 600_000 + "M  END")
