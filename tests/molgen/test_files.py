"""Reading the user's files, good and bad."""

from __future__ import annotations

import gzip
import io
import sys

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgen.files.molecule_files import MoleculeFile, read_molecules

SMILES = ["CCO", "c1ccccc1", "C[N+](C)(C)CC(=O)[O-]"]


def write(path, content: bytes):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("kind", [".smi", ".csv", ".tsv", ".sdf", ".parquet"])
def test_every_format_gives_the_same_molecules(tmp_path, kind, ending):
    names = ["a", "b", "c"]
    path = tmp_path / f"molecules{kind}{ending}"
    table = pd.DataFrame({"id": names, "SMILES": SMILES, "value": [1, 2, 3]})
    if kind == ".smi":
        content = "".join(f"{s} {n}\n" for s, n in zip(SMILES, names)).encode()
    elif kind == ".csv":
        content = table.to_csv(index=False).encode()
    elif kind == ".tsv":
        content = table.to_csv(index=False, sep="\t").encode()
    elif kind == ".parquet":
        content = table.to_parquet(index=False)
    else:
        blocks = []
        for smiles, name in zip(SMILES, names):
            mol = Chem.MolFromSmiles(smiles)
            mol.SetProp("_Name", name)
            blocks.append(Chem.MolToMolBlock(mol) + f">  <SMILES>\n{smiles}\n\n$$$$\n")
        content = "".join(blocks).encode()
    read = read_molecules(write(path, content))
    assert isinstance(read, MoleculeFile)
    assert list(read) == [Chem.CanonSmiles(s) for s in SMILES]
    assert read.names == ("a", "b", "c")
    assert not read.rejected
    assert read[0] == "CCO"
    assert len(read[1:]) == 2
    if kind != ".smi":
        assert read_molecules(path, column="SMILES").smiles == tuple(SMILES)


def test_line_numbers_and_rejects_of_a_smi_file(tmp_path):
    path = write(tmp_path / "m.smi", b"# made by hand\nCCO one\n\n \t\nC\xff\xfe\nCCC\r\nc1ccccc1")
    read = read_molecules(path)
    assert read.smiles == ("CCO", "CCC", "c1ccccc1")
    assert read.lines == (2, 6, 7)
    assert [(r.line, r.reason) for r in read.rejected] == [(5, "bytes that are not UTF-8")]


def test_line_numbers_and_rejects_of_a_csv_file(tmp_path):
    content = b'name,smiles,note\na,CCO,"two\nlines"\nb,,\nc,C\xff,x\n\nd\ne,CCC,y\n'
    read = read_molecules(write(tmp_path / "m.csv", content))
    assert read.smiles == ("CCO", "CCC")
    assert read.lines == (2, 8)
    assert read.names == ("a", "e")
    assert [(r.line, r.reason) for r in read.rejected] == [
        (4, "no value in column 'smiles'"),
        (5, "bytes that are not UTF-8"),
        (7, "no value in column 'smiles'"),
    ]


def test_broken_sdf_records_are_set_aside(tmp_path):
    good = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO")) + "$$$$\n"
    bad = "broken\n\n\n  9  9  0  0  0  0            999 V2000\nnonsense\nM  END\n$$$$\n"
    read = read_molecules(write(tmp_path / "m.sdf", (good + bad + good).encode()))
    assert read.smiles == ("CCO", "CCO")
    assert read.lines == (1, 1 + good.count("\n") + bad.count("\n"))
    assert read.rejected[0].line == 1 + good.count("\n")
    assert "SDF record" in read.rejected[0].reason


def test_columns_are_found_or_asked_for(tmp_path):
    path = tmp_path / "m.csv"
    pd.DataFrame({"canonical_smiles": ["C"], "other": ["CC"]}).to_csv(path, index=False)
    assert read_molecules(path).smiles == ("C",)
    assert read_molecules(path, column="other").smiles == ("CC",)
    with pytest.raises(ValueError, match=r"no column 'othr'. Did you mean 'other'\?"):
        read_molecules(path, column="othr")
    pd.DataFrame({"a": ["C"], "b": ["CC"]}).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"Cannot tell which column .* one of a, b"):
        read_molecules(path)
    path.write_text("smiles;activity\nCCO;3,5\n")
    assert read_molecules(path).smiles == ("CCO",)
    path.write_text("SMILES\nCCO\n")
    assert read_molecules(path).smiles == ("CCO",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.smi", b"", "is empty"),
        ("m.smi", b"\n\n  \n", "is empty"),
        ("m.smi", b"# only a comment\n", "holds no molecules"),
        ("m.csv", b"smiles,id\n", "holds no molecules"),
        ("m.csv", b"", "is empty"),
        ("m.sdf", b"", "is empty"),
        ("m.parquet", b"PAR1 but not really", "not a readable Parquet file"),
        ("m.smi.gz", b"\x1f\x8b\x08\x00broken", "damaged or cut off"),
        ("m.docx", b"CCO", "Cannot tell what m.docx is"),
        ("noending", b"CCO", "Cannot tell what noending is"),
    ],
)
def test_bad_files_get_one_clear_sentence(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_molecules(path)
    assert "\n" not in str(caught.value)


def test_truncated_gzip(tmp_path):
    path = tmp_path / "m.smi.gz"
    path.write_bytes(gzip.compress(b"CCO\n" * 5000)[:-20])
    with pytest.raises(ValueError, match="damaged or cut off"):
        read_molecules(path)


def test_missing_files_and_folders(tmp_path):
    (tmp_path / "library.smi").write_text("C\n")
    with pytest.raises(
        ValueError, match=r"There is no file .*librray.smi. Did you mean 'library.smi'"
    ):
        read_molecules(tmp_path / "librray.smi")
    (tmp_path / "folder.smi").mkdir()
    with pytest.raises(ValueError, match="Cannot read"):
        read_molecules(tmp_path / "folder.smi")
    with pytest.raises(ValueError, match="without columns"):
        read_molecules(tmp_path / "library.smi", column="smiles")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"CCO a\nCCC b\n", ("CCO", "CCC")), (b"id,smiles\n1,CCO\n", ("CCO",))],
)
def test_standard_input(monkeypatch, content, expected):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert read_molecules("-").smiles == expected


def test_empty_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(ValueError, match="Standard input is empty"):
        read_molecules("-")


@given(content=st.binary(max_size=200), kind=st.sampled_from([".smi", ".csv", ".sdf", ".parquet"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused_in_one_sentence(tmp_path_factory, content, kind):
    path = tmp_path_factory.mktemp("fuzz") / f"m{kind}"
    path.write_bytes(content)
    try:
        read = read_molecules(path)
    except ValueError as error:
        assert str(error)
    else:
        assert len(read.smiles) == len(read.lines) == len(read.names)
        assert all(line >= 1 for line in read.lines)


# pandas writes a lone carriage return without quotes, which CSV readers take for a new line
TEXT = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(TEXT, min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_any_csv_cells_survive(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("fuzz") / "m.csv"
    pd.DataFrame({"smiles": cells, "x": range(len(cells))}).to_csv(
        path, index=False, encoding="utf-8", errors="surrogatepass"
    )
    read = read_molecules(path)
    assert len(read.smiles) + len(read.rejected) <= len(cells)
    assert len(read.smiles) <= sum(bool(c.strip()) for c in cells)


def test_a_record_is_named_by_its_data_field_once(tmp_path):
    """Where records have no title of their own, the field is the column of identifiers."""
    record = Chem.MolToMolBlock(Chem.MolFromSmiles("CC[*:1]")) + ">  <ELN Ref>\nEXP-4\n\n$$$$\n"
    (tmp_path / "eln.sdf").write_text(record * 2)
    read = read_molecules(tmp_path / "eln.sdf")
    assert read.names == ("EXP-4",) * 2 and read.name_column == "ELN Ref"
    assert list(read.table().columns) == ["smiles", "ELN Ref"]
