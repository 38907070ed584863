"""One gate: molecules in any usual form, and the reason by name where it is none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from rdkit import Chem

import molgen
from molgen.chem.parsing import as_smiles_list, parse, parse_whole, structure_column

TWO = ["CCO", "c1ccccc1"]
FORMS = {
    "list": TWO,
    "tuple": tuple(TWO),
    "generator": (s for s in TWO),
    "Series": pd.Series(TWO, index=[7, 3]),
    "array": np.array(TWO),
    "text with gaps": pd.Series(TWO, dtype="string"),
    "categories": pd.Series(TWO, dtype="category"),
    "Arrow": pa.array(TWO),
    "Arrow in chunks": pa.chunked_array([TWO[:1], TWO[1:]]),
    "molecules": [Chem.MolFromSmiles(s) for s in TWO],
    "mixed": ["CCO", Chem.MolFromSmiles("c1ccccc1")],
    "table": pd.DataFrame({"id": [1, 2], "SMILES": TWO}),
    "table of molecules": pd.DataFrame({"ROMol": 0, "mol": [Chem.MolFromSmiles(s) for s in TWO]}),
    "names beside SMI": pd.DataFrame({"molecule": ["ethanol", "benzene"], "SMI": TWO}),
    "names under molecule": pd.DataFrame({"structure": ["ethanol", "benzene"], "Mol": TWO}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_taken(form) -> None:
    assert as_smiles_list(FORMS[form]) == TWO


@pytest.mark.parametrize("array", [np.array("CCO"), np.array([TWO])])
def test_an_array_of_another_shape_is_refused(array) -> None:
    with pytest.raises(ValueError, match="received an array of"):
        molgen.describe(array)


def test_one_molecule_is_a_list_of_one() -> None:
    assert as_smiles_list("CCO") == as_smiles_list(Chem.MolFromSmiles("OCC")) == ["CCO"]


@pytest.mark.parametrize(
    "verb",
    [
        molgen.describe,
        molgen.filter_molecules,
        lambda table: molgen.score(table, ["maximise qed"]),
        molgen.draw,
        lambda table: molgen.evaluate(table, ["CCO"], metrics=["valid"]),
        lambda table: molgen.compare_analogues("CCO", table),
        lambda table: molgen.load_model().encode(table),
    ],
)
def test_a_tables_column_names_are_never_taken_for_molecules(verb) -> None:
    table = pd.DataFrame({"C": ["a", "b"], "N": [1, 2]})
    with pytest.raises(ValueError, match=r"no column of structures .* it has C, N"):
        verb(table)
    verb(pd.DataFrame({"C": ["a", "b"], "smiles": TWO}))


def test_a_table_of_names_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="no column of structures"):
        structure_column(pd.DataFrame({"molecule": ["ethanol", "benzene"]}))


def test_files_and_mappings_are_told_apart_from_molecules(tmp_path) -> None:
    path = tmp_path / "mine.smi"
    path.write_text("CCO\n")
    for given in (path, str(path), Path("x.csv")):
        with pytest.raises(ValueError, match=r"names a file; pass molgen\.read_molecules"):
            molgen.describe(given)
    assert molgen.describe(molgen.read_molecules(path))["smiles"].tolist() == ["CCO"]
    for given in ({"smiles": TWO}, 3, None, b"CCO"):
        with pytest.raises(TypeError, match="Expected SMILES"):
            molgen.describe(given)


REASONS = {
    "C1CC": "ring closure 1 is never closed",
    "c1ccccc1R1": r"R1 is not an atom; an open place is written [*:1]",
    "c1ccccc1[R]": r"[R] is not an atom; an open place is written [*:1]",
    "CC[R2]": r"[R2] is not an atom; an open place is written [*:1]",
    "[#6;R]1ccccc1": "it is a SMARTS pattern; expected the SMILES of a molecule",
    "C~C": "it is a SMARTS pattern; expected the SMILES of a molecule",
    "C*": "atom 1 is an open mark; a whole molecule is needed",
    "[1*]CC": "atom 0 is an open mark; a whole molecule is needed",
    "CC[*:1]": "atom 2 is an open mark; a whole molecule is needed",
    "CC[#0]": "atom 2 is an open mark; a whole molecule is needed",
    "CC |$;star_e$|": "atom 1 is an open mark; a whole molecule is needed",
    "CCO |$Q_e;;$|": "atom 0 is an open mark; a whole molecule is needed",
    "C" * 6_000: "6,000 characters, at most 5,000 are read",
    "C(C)(C)(C)(C)C": "explicit valence for atom # 0 C, 5, is greater than permitted",
}


@pytest.mark.parametrize("text", REASONS, ids=lambda t: t[:20])
def test_the_reason_comes_from_every_verb(small_model, text, caplog) -> None:
    reason = REASONS[text]
    with pytest.warns(UserWarning):
        assert molgen.describe(text).attrs["rejected"][0]["reason"] == reason
    assert reason in molgen.filter_molecules(text)["reasons"][0]
    assert reason in molgen.score(text, ["maximise qed"])["problems"][0]
    small_model.encode(text)
    assert reason in caplog.text
    for verb in (
        lambda: small_model.sample_near(text, 2),
        lambda: small_model.sample_near_latent(text, 2),
        lambda: small_model.interpolate("CCO", text),
        lambda: small_model.interpolate_latent(text, "CCO"),
        lambda: small_model.replace_core(text, "CC", 2),
        lambda: small_model.replace_substituents(text, "CC", 2),
    ):
        with pytest.raises(ValueError) as error:
            verb()
        assert reason in str(error.value)


@pytest.mark.parametrize("text", ["[Rb+].[Br-]", "[Ru]", "[Re]", "[Rn]", "[Rh+3]", "BrCCl", "[Ra]"])
def test_elements_that_begin_with_r_are_no_groups(text) -> None:
    assert parse(text).GetNumAtoms()


def test_molecules_pass_the_gate() -> None:
    mol = Chem.MolFromSmiles("CCO")
    assert parse_whole(mol) is mol
    with pytest.raises(ValueError, match="open mark"):
        parse_whole(Chem.MolFromSmiles("*C"))


def test_a_table_says_by_its_columns_name_that_it_holds_inchi_or_mol_blocks():
    mol = Chem.MolFromSmiles("CCO")
    for name, text in (("Mol Block", Chem.MolToMolBlock(mol)), ("InChI", Chem.MolToInchi(mol))):
        table = pd.DataFrame({"id": ["a"], name: [text]})
        assert as_smiles_list(table) == ["CCO"]
