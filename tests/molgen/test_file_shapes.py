"""Files of every shape that users bring: each row is in the output or among the rejects."""

from __future__ import annotations

import bz2
import csv
import datetime
import gzip
import io
import lzma
import os
import re
import sys
import warnings
from dataclasses import dataclass
from html import unescape

import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rdkit import Chem
from typer.testing import CliRunner

import molgen
from molgen.cli import app
from molgen.files.molecule_files import read_molecules
from molgen.qsar.model import fit_qsar
from molgen.qsar.saved import load_qsar

#: `SHAPES=5000 pytest tests/molgen/test_file_shapes.py` tries so many files.
N_SHAPES = int(os.environ.get("SHAPES", "0"))

GOOD = [
    "CCO", "c1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "C/C=C/C", "CC(=O)[O-].[Na+]", "CCN.Cl",
    "C[C@H](O)CC |o1:1|", "C[C@H](O)CC |&1:1|", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "[2H]C(Cl)(Cl)Cl",
    "OC(=O)/C=C\\C(=O)O.C1CCNCC1",
]  # fmt: skip
BAD = ["C1CC", "c1cccc1", "[Pt](Cl)Cl.N", "*CC", "n.d.", "C(C)(C)(C)(C)C"]
MEASURED = [f"{'C' * i}{end}" for i in range(3, 13) for end in ("O", "N", "c1ccccc1")]
NAMES = st.text(st.sampled_from("abcXYZ019-_.,;'\"|()[]{} µéαß#\\/"), min_size=1, max_size=9).map(
    lambda text: "k" + text.strip()
)


@dataclass
class Shape:
    """A file as bytes, and its rows: line, SMILES and identifier."""

    content: bytes
    suffix: str
    rows: list[tuple[int, str, str]]
    has_ids: bool
    what: str


@st.composite
def shapes(draw, measured: bool = False) -> Shape:
    """A file; ``measured``: with thirty further molecules and a column of numbers."""
    kinds = ["smi", "csv", "csv", "tsv", "sdf", "parquet", "xlsx"]
    kind = draw(st.sampled_from(kinds[measured:]))
    n = draw(st.integers(1, 7))
    smiles = draw(st.lists(st.sampled_from(GOOD + BAD), min_size=n, max_size=n))
    if measured:
        smiles = draw(st.permutations(smiles + MEASURED))
        n = len(smiles)
    if (
        kind in ("csv", "tsv", "xlsx") and smiles[0] in BAD
    ):  # without a header nothing tells what it holds
        smiles[0] = "CCO"
    ids = [f"{i}-{name}" for i, name in enumerate(draw(st.lists(NAMES, min_size=n, max_size=n)))]
    has_ids = draw(st.booleans()) or kind in ("csv", "tsv", "xlsx")
    pack = draw(st.sampled_from(["", "", ".gz", ".xz", ".bz2"]))
    encoding = draw(
        st.sampled_from(
            ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "cp1252"]
        )
    )
    if encoding == "cp1252":  # ßµ would be a letter of UTF-8, too
        ids = [name.replace("α", "a").replace("ßµ", "ß") for name in ids]
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    rows: list[tuple[int, str, str]] = []
    if kind == "parquet":
        rows = [(i, s, name) for i, (s, name) in enumerate(zip(smiles, ids), start=1)]
        content, encoding = _parquet(draw, smiles, ids), "binary"
    elif kind == "xlsx":
        content, rows = _workbook(draw, smiles, ids)
        encoding = "binary"
    elif kind == "sdf":
        content, rows = _sdf(draw, smiles, ids, end)
        encoding = "utf-8"
    elif kind == "smi":
        lines = draw(st.sampled_from([[], ["# made by hand"], ["SMILES\tName"], [""]]))
        if lines == ["SMILES\tName"] and not has_ids:
            lines = ["smiles"]
        separator = draw(st.sampled_from([" ", "\t", "   "]))
        text = list(lines)
        for s, name in zip(smiles, ids):
            if "n.d." in s or (has_ids and separator != "\t" and name.startswith("|")):
                s = "C1CC"
            text.append(f"{s}{separator}{name}" if has_ids else s)
            rows.append((len(text), s, name))
        content = end.join([*text, ""] if draw(st.booleans()) else text).encode(encoding)
    else:
        content, rows, has_ids = _table(draw, kind, smiles, ids, end, encoding)
    packed = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}[pack]
    what = f"{kind}{pack} {encoding} {end!r}"
    return Shape(packed(content), f".{kind}{pack}", rows, has_ids, what)


def _parquet(draw, smiles, ids) -> bytes:
    """A table of Parquet, with text and numbers of the kinds that pandas has for them."""
    table = pd.DataFrame({"Compound ID": ids, "value": range(len(ids)), "Smiles": smiles})
    text = draw(st.sampled_from(["object", "string", "category", "string[pyarrow]"]))
    table = table.astype({"Smiles": text, "Compound ID": text})
    number = draw(st.sampled_from(["int64", "Int32", "Float64", "float32", "uint8[pyarrow]"]))
    table = table.astype({"value": number})
    if number == "Int32" and len(ids) < 8:  # a gap, where no model is fitted to the column
        table.loc[0, "value"] = pd.NA
    indexed = draw(st.sampled_from([None, "Compound ID"]))
    if indexed:
        table = table.set_index(indexed)
    return table.to_parquet(compression=draw(st.sampled_from(["snappy", "zstd", None])))


def _workbook(draw, smiles, ids) -> tuple[bytes, list[tuple[int, str, str]]]:
    """A sheet with numbers, dates, empty rows, a title above, and cells of several lines."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    if draw(st.booleans()):
        sheet.append(["Export of plate 7"])
        sheet.append([])
    names = draw(st.permutations(["Compound ID", "Smiles", "value", "note", "made"]))
    sheet.append(names)
    gaps = draw(st.booleans())
    rows = []
    for i, (s, name) in enumerate(zip(smiles, ids)):
        if gaps and i == 1:
            sheet.append([])
        values = {
            "Compound ID": name, "Smiles": s, "value": draw(st.sampled_from([i, i + 0.5])),
            "note": draw(st.sampled_from([None, "two\nlines", 'with "quotes"'])),
            "made": datetime.date(2024, 1, 1 + i % 28),
        }  # fmt: skip
        sheet.append([values[n] for n in names])
        rows.append((sheet.max_row, s, name))
    if draw(st.booleans()):
        book.create_sheet("legend")["A1"] = "what the colours mean"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue(), rows


def _sdf(draw, smiles, ids, end) -> tuple[bytes, list[tuple[int, str, str]]]:
    text, rows, line = "", [], 1
    gap = draw(st.sampled_from(["", " ", "\t "]))
    write = draw(st.sampled_from([Chem.MolToMolBlock, Chem.MolToV3KMolBlock]))
    for i, (s, name) in enumerate(zip(smiles, ids)):
        mol = Chem.MolFromSmiles(s)
        rows.append((line, s, name))
        if mol is None:
            block = f"{name}\n\n\n  9  9  0  0  0  0            999 V2000\nnonsense\nM  END\n"
        else:
            mol.SetProp("_Name", name)
            block = write(mol)
        record = f"{block}>  <value>\n{i}\n\n>  <note>\ntwo\nlines\n\n$$$${gap}\n"
        text += record
        line += record.count("\n")
    if draw(st.booleans()):  # the last record may have no end
        text = text[: text.rindex("$$$$")]
    return text.replace("\n", end).encode(), rows


def _table(draw, kind, smiles, ids, end, encoding):
    """Content, rows, and whether anything tells which column holds the identifiers."""
    delimiter = "\t" if kind == "tsv" else draw(st.sampled_from([",", ";", "\t"]))
    header = len(ids) > 7 or draw(st.booleans())
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    extra = draw(st.sampled_from([[], ["pIC50"], ["mw", "note"]]))
    if len(ids) > 7:
        extra = ["pIC50"]
    words = ["smiles", "SMILES", "Canonical Smiles", "isomeric_smiles", "Structure"]
    named = draw(st.sampled_from(words[: 5 if smiles[0] not in BAD else 4]))
    names = ["Molecule ChEMBL ID", *extra, named]
    columns = [ids, *[[f"5{i},{k}" for i in range(len(ids))] for k in range(len(extra))], smiles]
    order = draw(st.permutations(range(len(names))))
    out = io.StringIO()
    above = draw(st.sampled_from(["", "", "sep", "titles", "blank"])) if header else ""
    if above == "sep" and kind == "csv":
        out.write(f"sep={delimiter}{end}")
    elif above == "blank":
        out.write(end)
    elif above == "titles" and (extra or named != "Structure"):
        fill = delimiter * draw(st.sampled_from([0, len(names) - 1]))
        out.write(f"Export of plate 7{fill}{end}{fill}{end}")
    more = draw(st.integers(0, 2)) if header else 0  # empty columns at the right, as of a sheet
    gaps = draw(st.booleans())
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    if header:
        writer.writerow([*[names[k] for k in order], *[""] * more])
    # a quote that is opened and never closed, at the start of a cell of its own
    spoilt = draw(st.sampled_from([None, None, len(ids) - 1, 0])) if header else None
    rows = []
    for i, (s, name) in enumerate(zip(smiles, ids)):
        rows.append((len(out.getvalue().split(end)), s, name))
        cells = [*[columns[k][i] for k in order], *[""] * more]
        if i == spoilt and quoting == csv.QUOTE_MINIMAL and extra:
            at = order.index(1)
            cells[at] = "MARK"
            plain = io.StringIO()
            csv.writer(plain, delimiter=delimiter, lineterminator=end).writerow(cells)
            out.write(plain.getvalue().replace("MARK", '"12" plate'))
        else:
            writer.writerow(cells)
        if gaps and i == 0:
            out.write(end)
    return out.getvalue().encode(encoding), rows, header or not extra


def read_shape(shape: Shape, path, as_stream: bool, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if as_stream:
            stream = io.TextIOWrapper(io.BytesIO(shape.content))
            monkeypatch.setattr(sys, "stdin", stream)
            return read_molecules("-")
        path = path / f"molecules{shape.suffix}"
        path.write_bytes(shape.content)
        return read_molecules(path)


@given(shape=shapes(), as_stream=st.booleans())
@settings(
    max_examples=N_SHAPES or 60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_row_is_read_or_rejected(tmp_path, monkeypatch, shape, as_stream):
    read = read_shape(shape, tmp_path, as_stream, monkeypatch)
    found = dict(zip(read.lines, zip(read.smiles, read.names)))
    rejected = {r.line: r for r in read.rejected}
    assert len(found) + len(rejected) == len(read.smiles) + len(read.rejected)
    for line, smiles, name in shape.rows:
        if line in found:
            text, label = found[line]
            if ".sdf" in shape.suffix:
                mol = Chem.MolFromSmiles(smiles)
                assert Chem.CanonSmiles(text) == Chem.MolToSmiles(mol), shape.what
            else:
                assert text == smiles, shape.what
            if shape.has_ids:
                assert label in (name, ""), shape.what
        else:
            assert rejected[line].reason and rejected[line].smiles, (line, shape.what)
    assert set(found) | set(rejected) == {line for line, _, _ in shape.rows}, shape.what


@pytest.fixture(scope="session")
def qsar_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qsar") / "model"
    values = [float(len(s)) for s in MEASURED]
    fit_qsar(MEASURED, values, model="random_forest", n_folds=2).save(folder)
    return folder


def table_of(path) -> tuple[int, set[str]]:
    """Rows of a table, and their cells."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return len(table), {cell for column in table.columns for cell in table[column]}


def latents_of(path) -> tuple[int, set[str]]:
    table = pd.read_parquet(path)
    own = [c for c in table.columns if not c.startswith("z")]
    return len(table), {str(cell) for column in own for cell in table[column]}


def picture_of(path) -> tuple[int, set[str]]:
    text = path.read_text("utf-8")
    return text.count("<g transform"), {unescape(t) for t in re.findall(r">([^<>]+)</text>", text)}


def page_of(path) -> tuple[int, set[str]]:
    text = path.read_text("utf-8")
    cells = {unescape(t).strip() for t in re.findall(r">([^<>]+)<", text)}
    return text.count('<td class="left s"'), cells


#: Verb: its arguments, the ending of what it writes, how that is counted.
VERBS = {
    "standardize": ([], ".csv", table_of),
    "describe": (["-p", "mw,rings"], ".csv", table_of),
    "filter": (["-f", "veber", "--all"], ".csv", table_of),
    "score": (["-g", "maximise qed"], ".csv", table_of),
    "draw": ([], ".svg", picture_of),
    "report": (["-r", "none"], ".html", page_of),
    "encode": (["-m", "{model}"], ".parquet", latents_of),
    "near": (["-m", "{model}", "-n", "1", "--radius", "1", "--filters", "none"], ".csv", table_of),
    "scaffold": (["-m", "{model}", "-n", "1"], ".csv", table_of),
    "qsar predict": (["{qsar}"], ".csv", table_of),
}


@given(shape=shapes(), verb=st.sampled_from(sorted(VERBS)), as_stream=st.booleans())
@settings(
    max_examples=N_SHAPES or 20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
def test_every_verb_accounts_for_every_row(
    tmp_path, small_folder, qsar_folder, shape, verb, as_stream
):
    options, suffix, count = VERBS[verb]
    path, rejects = tmp_path / f"in{shape.suffix}", tmp_path / "bad.csv"
    output = tmp_path / f"out{suffix}"
    path.write_bytes(shape.content)
    output.unlink(missing_ok=True)
    filled = [o.format(model=small_folder, qsar=qsar_folder) for o in options]
    source, stdin = ("-", shape.content) if as_stream else (str(path), None)
    lead = [*filled, source] if verb == "qsar predict" else [source, *filled]
    arguments = [*verb.split(), *lead, "--rejects", str(rejects), "-o", str(output)]
    outcome = CliRunner().invoke(app, arguments, input=stdin)
    whole = outcome.exit_code in (0, 1)
    assert isinstance(outcome.exception, SystemExit | None), outcome.exc_info
    assert whole or "Error: " in outcome.output, (outcome.output, outcome.exception)
    n_kept, cells = count(output) if output.exists() else (0, set())
    bad = pd.read_csv(rejects, dtype=str, keep_default_na=False)
    assert n_kept + len(bad) == len(shape.rows), (shape.what, outcome.output)
    assert whole or not n_kept
    assert set(bad["line"].astype(int)) <= {line for line, _, _ in shape.rows}
    assert all(bad["reason"]) and all(bad["smiles"])
    if shape.has_ids and n_kept:
        cells |= set(bad["name"]) | set(bad["smiles"])
        for _, _, name in shape.rows:
            assert any(name in cell or cell in name for cell in cells if cell), (name, shape.what)


@given(shape=shapes(measured=True), as_stream=st.booleans())
@settings(
    max_examples=N_SHAPES or 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
def test_fitting_accounts_for_every_row(tmp_path, shape, as_stream):
    path, rejects = tmp_path / f"in{shape.suffix}", tmp_path / "bad.csv"
    path.write_bytes(shape.content)
    source, stdin = ("-", shape.content) if as_stream else (str(path), None)
    target = "pIC50" if shape.suffix[:4] in (".csv", ".tsv") else "value"
    arguments = ["qsar", "fit", source, "--target", target, "--model", "random_forest"]
    arguments += ["--folds", "2", "--rejects", str(rejects), "-o", str(tmp_path / "model")]
    outcome = CliRunner().invoke(app, arguments, input=stdin)
    assert outcome.exit_code == 0, (shape.what, outcome.output)
    data = load_qsar(tmp_path / "model").training_set
    bad = set(pd.read_csv(rejects)["line"])
    assert bad <= {line for line, _, _ in shape.rows}
    assert len(data.smiles) + data.n_joined + len(bad) == len(shape.rows), outcome.output


@given(shape=shapes())
@settings(
    max_examples=N_SHAPES or 3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
def test_evaluating_and_training_account_for_every_row(tmp_path, small_folder, shape):
    path, rejects = tmp_path / f"in{shape.suffix}", tmp_path / "bad.csv"
    path.write_bytes(shape.content)
    lines = {line for line, _, _ in shape.rows}
    known = tmp_path / "known.smi"
    known.write_text("CCO\nCCN\n")
    arguments = ["evaluate", str(path), "-r", str(known), "--metrics", "valid"]
    arguments += ["--rejects", str(rejects)]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.output
    bad = pd.read_csv(rejects)
    if len(bad) < len(lines):
        valid = 1 - len(bad) / len(lines)
        assert f"valid  {valid:.4f}" in outcome.output, shape.what
    folder = tmp_path / "trained"
    arguments = ["train", str(path), "-o", str(folder), "--from", str(small_folder)]
    arguments += ["--steps", "1", "--prior-steps", "0", "--rejects", str(rejects)]
    outcome = CliRunner().invoke(app, arguments)
    if outcome.exit_code == 2:
        assert "can be used; the first: " in outcome.output
        return
    used = re.search(r"([0-9,]+) molecules used", outcome.output)
    bad = pd.read_csv(rejects)
    assert used and int(used[1]) + len(bad) == len(lines), (shape.what, outcome.output)


@pytest.mark.parametrize(
    ("name", "content", "smiles", "lines"),
    [
        ("m.smi", b"CCO a\rCCN b\rCCC c\r", ("CCO", "CCN", "CCC"), (1, 2, 3)),
        ("m.csv", b"CCO,ethanol\nCCN,amine\n", ("CCO", "CCN"), (1, 2)),
        ("m.csv", b"ethanol,CCO\namine,CCN\n", ("CCO", "CCN"), (1, 2)),
        ("m.csv", b"sep=;\r\nid;smiles\r\n1;CCO\r\n2;CCN\r\n", ("CCO", "CCN"), (3, 4)),
        ("m.csv", b'id,smiles\n1,CCO\n"2,CCN\n3,CCC\n', ("CCO", "CCC"), (2, 4)),
        ("m.csv", b'smiles,note\nCCO,"12\nCCN,x\nCCC,"y"\n', ("CCO", "CCN", "CCC"), (2, 3, 4)),
        ("m.csv", b'smiles,note\nCCO,"two\nlines"\nCCN,x\n', ("CCO", "CCN"), (2, 4)),
        ("m.csv", "id,smiles\n1,CCO\n2,CCN\n".encode("utf-16"), ("CCO", "CCN"), (2, 3)),
        ("m.txt", "id\tsmiles\n1\tCCO\n".encode("utf-16-le"), ("CCO",), (2,)),
        ("m.smi", b"CCO,ethanol\nCCN,amine\n", ("CCO", "CCN"), (1, 2)),
        ("m.csv", b"molecule,SMI\naspirin,CCO\nibuprofen,CCN\n", ("CCO", "CCN"), (2, 3)),
        ("m.csv", b"Name;Smiles;Type\nx;CCO;small, old\n", ("CCO",), (2,)),
        (
            "m.csv",
            b"Project;;\nNo;Assay;\nID;SMILES;p\n1;CCO;5\n;;\n2;CCN;6\n",
            ("CCO", "CCN"),
            (4, 6),
        ),
        (
            "m.csv",
            b"My export,,\n,,\nCompound,Structure,pIC50\n1,CCO,5\n2,CCN,6\n",
            ("CCO", "CCN"),
            (4, 5),
        ),
        ("m.csv", b"Run 7;;\nNo;Molecule;p (-)\n1;CCO;5\n2;CCN;6\n", ("CCO", "CCN"), (3, 4)),
        ("m.csv", b"smiles id\nCCO 1\nCCN 2\n", ("CCO", "CCN"), (2, 3)),
        ("m.csv", b"Canonical Smiles\nCCO\nCCN\n", ("CCO", "CCN"), (2, 3)),
        ("m.csv", b"Canonical Smiles\nCCO |a| x\nCCN\n", ("CCO |a| x", "CCN"), (2, 3)),
        ("m.smi", b"C[C@H](O)CC |o1:1| mine\n", ("C[C@H](O)CC |o1:1|",), (1,)),
    ],
)
def test_files_that_lost_rows(tmp_path, name, content, smiles, lines):
    path = tmp_path / name
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = read_molecules(path)
    assert read.smiles == smiles
    assert read.lines == lines


def test_identifiers_below_titles_and_behind_blanks_are_kept(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("My export,,\n,,\nCompound,Structure,pIC50\n1,CCO,5\n2,CCN,6\n")
    with pytest.warns(UserWarning, match="has its header in line 3; what stands above it is left"):
        read = read_molecules(path)
    assert read.names == ("1", "2") and read.columns["pIC50"] == ["5", "6"]
    path.write_text("smiles id\nCCO 1\nCCN 2\n")
    assert read_molecules(path).names == ("1", "2")
    # a row that is no molecule below a header of few words is a row
    path.write_text(",Structure,p\n0,n.d.,low\n1,CCO,5\n")
    assert read_molecules(path).lines == (2, 3)


def test_a_byte_that_is_not_utf8_in_a_name_costs_no_row(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes("name,smiles\ncaf\xe9,CCO\nµM,CCN\n".encode("cp1252"))
    with pytest.warns(UserWarning, match="2 texts with bytes that are not UTF-8"):
        read = read_molecules(path)
    assert read.names == ("café", "µM")
    outcome = CliRunner().invoke(app, ["describe", str(path), "-p", "mw"])
    assert outcome.exit_code == 0 and "café" in outcome.stdout


def test_sdf_with_blanks_after_its_ends_and_data_fields(tmp_path):
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
    record = f"{block}>  <ID>\nx-1\n\n>  <note>\ntwo\nlines\n\n$$$$ \n"
    path = tmp_path / "m.sdf"
    path.write_text(record + record.replace("x-1", "x-2") + "\n")
    read = read_molecules(path)
    assert read.smiles == ("CCO", "CCO")
    assert read.names == ("x-1", "x-2")
    assert read.columns["note"] == ["two\nlines"] * 2
    path.write_text(f"{block}$$$$\n\n{block}$$$$\n")  # a blank line before the next record
    assert read_molecules(path).smiles == ("CCO", "CCO")


def test_enhanced_stereo_of_sdf_is_kept(tmp_path):
    mol = Chem.MolFromSmiles("C[C@H](O)CC |o1:1|")
    path = tmp_path / "m.sdf"
    path.write_text(Chem.MolToV3KMolBlock(mol) + "$$$$\n")
    read = read_molecules(path)
    assert read.smiles == (Chem.MolToCXSmiles(mol),) and "|o1:" in read.smiles[0]
    output = tmp_path / "out.sdf"
    CliRunner().invoke(app, ["describe", str(path), "-p", "mw", "-o", str(output)])
    assert read_molecules(output).smiles == read.smiles


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress, bytes])
def test_streams_of_every_kind(monkeypatch, pack):
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO")) + "$$$$\n"
    table = pd.DataFrame({"id": ["a"], "smiles": ["CCO"]})
    contents = [b"CCO a\n", b"id;smiles\na;CCO\n", block.encode(), table.to_parquet(index=False)]
    contents += [b"Plate 7\n\nid,smiles\na,CCO\n", b"Plate 7\n\nCmpd;Struktur;pH\na;CCO;7\n"]
    for content in contents:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pack(content))))
        assert read_molecules("-").smiles == ("CCO",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x28\xb5\x2f\xfd\x00", "packed with zstandard|damaged"),
        (b"PK\x03\x04....xl/workbook.xml", "damaged or cut off"),
        (b"PK\x03\x04....word/document.xml", "a zip archive"),
        (b"%PDF-1.7", "is a PDF"),
        (b'{"provenance": {}, "rows": []}', "is JSON"),
        (b'[{"smiles": "C"}]', "is JSON"),
        (gzip.compress(b"CCO\n" * 999, mtime=0)[:-9], "damaged or cut off"),
        ("CCO\n".encode("utf-16")[:-1], "damaged"),
    ],
)
def test_streams_of_another_kind_are_refused_by_name(monkeypatch, content, message):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(ValueError, match=message):
        read_molecules("-")


def test_columns_travel_and_names_are_not_taken(tmp_path):
    path, output = tmp_path / "m.csv", tmp_path / "out.csv"
    path.write_text("Molecule ChEMBL ID;Smiles;mw;pIC50\nCHEMBL545;CCO;007;5,6\nx;C1CC;1;2\n")
    outcome = CliRunner().invoke(app, ["describe", str(path), "-p", "mw", "-o", str(output)])
    assert "columns mw are written as input_mw" in outcome.stderr
    table = pd.read_csv(output, dtype=str)
    assert table.columns.tolist() == ["smiles", "Molecule ChEMBL ID", "input_mw", "pIC50", "mw"]
    assert table.iloc[0].tolist()[:4] == ["CCO", "CHEMBL545", "007", "5,6"]
    assert CliRunner().invoke(app, ["verify", str(output)]).exit_code == 0
    piped = CliRunner().invoke(app, ["filter", str(path), "-f", "veber"])
    assert piped.stdout == 'smiles,Molecule ChEMBL ID,mw,pIC50\nCCO,CHEMBL545,007,"5,6"\n'
    again = CliRunner().invoke(app, ["standardize", "-"], input=piped.stdout)
    assert again.stdout == piped.stdout


def test_what_was_read_is_a_table(tmp_path):
    path = tmp_path / "m.smi"
    path.write_text("CCO one\nCCN two\n")
    table = read_molecules(path).table()
    assert table.index.tolist() == [1, 2] and table["name"].tolist() == ["one", "two"]


def test_format_says_what_nothing_tells(tmp_path):
    path = tmp_path / "export.dat"
    path.write_text("id,smiles\na,CCO\n")
    with pytest.raises(ValueError, match=r"Cannot tell what export\.dat is"):
        read_molecules(path)
    assert read_molecules(path, format="csv").smiles == ("CCO",)
    with pytest.raises(ValueError, match="format must be one of"):
        read_molecules(path, format="excel")


DRAWN = ["CCO", "C[C@H](N)C(=O)O", "O=C(O)c1ccccc1", "C/C=C/C"]
NOTATIONS = {
    "InChI": Chem.MolToInchi,
    "Molfile": Chem.MolToMolBlock,
    "mol block": Chem.MolToV3KMolBlock,
}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".xlsx"])
@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("ids_first", [True, False])
def test_inchi_and_mol_blocks_stand_for_smiles(tmp_path, notation, suffix, ids_first) -> None:
    """Also in quoted cells of several lines, by RDKit's own writers."""
    written = [NOTATIONS[notation](Chem.MolFromSmiles(s)) for s in DRAWN]
    names = [f"k{i}" for i in range(len(DRAWN))]
    columns = {"id": names, notation: [*written[:-1], "InChI=1S/none"], "value": range(len(DRAWN))}
    table = pd.DataFrame({n: columns[n] for n in (columns if ids_first else reversed(columns))})
    path = tmp_path / f"a{suffix}"
    write = {".parquet": table.to_parquet, ".xlsx": table.to_excel}.get(suffix, table.to_csv)
    write(path, index=False, **({"sep": "\t"} if suffix == ".tsv" else {}))
    read = read_molecules(path)
    assert list(read) == [*DRAWN[:-1], "InChI=1S/none"] and read.names == tuple(names)
    assert read.smiles_column == notation and not read.rejected
    told = molgen.describe(read, properties=["mw"])["mw"]
    assert told.isna().tolist() == [False] * 3 + [True]


def test_inchi_in_a_file_of_smiles(tmp_path) -> None:
    lines = [f"{Chem.MolToInchi(Chem.MolFromSmiles(s))} k{i}" for i, s in enumerate(DRAWN)]
    (tmp_path / "a.smi").write_text("\n".join(["CCN amine", *lines]))
    assert list(read_molecules(tmp_path / "a.smi")) == ["CCN", *DRAWN]
