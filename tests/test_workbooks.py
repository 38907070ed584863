"""Workbooks (.xlsx, .xls, .ods) are read by both packages, cell by cell as they show."""

from __future__ import annotations

import datetime
import gzip
import io
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
import xlwt

import molgen
import trial_sim as ts
from trial_sim.data.datasets import read_table

ROOT = Path(molgen.__file__).parent.parent
ROWS = [
    ["Compound ID", "SMILES", "pIC50", "made", "active"],
    ["A-1", "CCO", 5.0, datetime.date(2024, 1, 31), True],
    ["A-2", "C1CC", 5.25, datetime.date(2024, 2, 1), False],
    ["007", "c1ccccc1", None, None, True],
]
MANIFEST = (
    '<?xml version="1.0"?><manifest:manifest '
    'xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
    '<manifest:file-entry manifest:full-path="/" '
    'manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/>'
    "</manifest:manifest>"
)


def xlsx(rows=ROWS, *, above=(), more=()) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in [*above, *rows]:
        sheet.append(row)
    for name, cell in more:
        book.create_sheet(name)["B2"] = cell
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def xls(rows=ROWS) -> bytes:
    book = xlwt.Workbook()
    sheet = book.add_sheet("first")
    dated = xlwt.easyxf(num_format_str="YYYY-MM-DD")
    for i, row in enumerate(rows):
        for k, cell in enumerate(row):
            if isinstance(cell, datetime.date):
                sheet.write(i, k, cell, dated)
            elif cell is not None:
                sheet.write(i, k, cell)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def ods(rows=ROWS) -> bytes:
    def written(cell) -> str:
        if cell is None:
            return "<table:table-cell/>"
        if isinstance(cell, bool):
            held = f'office:value-type="boolean" office:boolean-value="{str(cell).lower()}"'
        elif isinstance(cell, float):
            held = f'office:value-type="float" office:value="{cell}"'
        elif isinstance(cell, datetime.date):
            held = f'office:value-type="date" office:date-value="{cell}"'
        else:
            held = 'office:value-type="string"'
        return f"<table:table-cell {held}><text:p>{cell}</text:p></table:table-cell>"

    body = "".join(
        f"<table:table-row>{''.join(map(written, row))}</table:table-row>" for row in rows
    )
    spaces = " ".join(
        f'xmlns:{n}="urn:oasis:names:tc:opendocument:xmlns:{n}:1.0"'
        for n in ("office", "table", "text")
    )
    content = (
        f'<?xml version="1.0"?><office:document-content {spaces}><office:body><office:spreadsheet>'
        f'<table:table table:name="first">{body}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", MANIFEST)
        archive.writestr("content.xml", content)
    return out.getvalue()


def test_the_two_packages_read_workbooks_by_the_same_code() -> None:
    texts = [(ROOT / p / "base/workbooks.py").read_text() for p in ("molgen", "trial_sim")]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name, content", [("a.xlsx", xlsx()), ("a.xls", xls()), ("a.ods", ods())])
def test_molecules_of_a_workbook(tmp_path, name, content) -> None:
    for path, data in ((name, content), (f"{name}.gz", gzip.compress(content))):
        (tmp_path / path).write_bytes(data)
        read = molgen.read_molecules(tmp_path / path)
        assert list(read) == ["CCO", "C1CC", "c1ccccc1"] and read.lines == (2, 3, 4)
        assert read.names == ("A-1", "A-2", "007") and not read.rejected
        assert read.columns["pIC50"] == ["5", "5.25", ""]
        assert read.columns["made"] == ["2024-01-31", "2024-02-01", ""]
        assert [v.upper() for v in read.columns["active"]] == ["TRUE", "FALSE", "TRUE"]


def test_rows_of_a_sheet_are_those_the_user_sees(tmp_path) -> None:
    """Titles, empty rows and cells of several lines stand above; other sheets are told."""
    rows = [ROWS[0], ["A\nB", "CCO", 1.0], [], ["A-2", None, 2.0], ["A-3", "CCN", 3.0]]
    above = [["Plate 7"], [None], ["made by hand"]]
    (tmp_path / "a.xlsx").write_bytes(xlsx(rows, above=above, more=[("legend", "red is bad")]))
    with pytest.warns(UserWarning) as told:
        read = molgen.read_molecules(tmp_path / "a.xlsx")
    assert read.lines == (5, 8) and [r.line for r in read.rejected] == [7]
    texts = " ".join(str(w.message) for w in told)
    assert "'Sheet' is read; not read: 'legend'" in texts and "header in line 4" in texts


def test_patients_of_a_workbook(tmp_path) -> None:
    trial = ts.load_trial("veteran")
    table = trial.patients
    trial_rows = [list(table.columns), *table.astype(object).values.tolist()]
    for name, content in (("v.xlsx", xlsx(trial_rows)), ("v.xls", xls(trial_rows))):
        (tmp_path / name).write_bytes(content)
        pd.testing.assert_frame_equal(read_table(tmp_path / name), table, check_dtype=False)


def test_a_patient_sheet_has_its_header_below_a_title_and_numbers_typed_as_text(tmp_path) -> None:
    rows = [["site", "score", "n"], ["01", "1,5", 3], ["12", "2,25", None]]
    (tmp_path / "a.xlsx").write_bytes(xlsx(rows, above=[["Study 12"], []]))
    with pytest.warns(UserWarning, match="header in row 3"):
        table = read_table(tmp_path / "a.xlsx")
    assert table["site"].tolist() == ["01", "12"] and table["score"].tolist() == [1.5, 2.25]
    assert table["n"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    "content, told",
    [
        (xlsx()[:3000], "damaged or cut off"),
        (xlsx([[]]), "without a cell that holds anything"),
        (b"PK\x03\x04 xl/workbook and nothing more", "damaged or cut off"),
    ],
)
def test_what_is_no_workbook_is_refused_by_name(tmp_path, content, told) -> None:
    (tmp_path / "a.xlsx").write_bytes(content)
    with pytest.raises(ValueError, match=told):
        molgen.read_molecules(tmp_path / "a.xlsx")
    with pytest.raises(ValueError, match=told):
        read_table(tmp_path / "a.xlsx")


def test_other_documents_are_no_workbooks(tmp_path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    (tmp_path / "a.smi").write_bytes(out.getvalue())
    with pytest.raises(ValueError, match="zip archive"):
        molgen.read_molecules(tmp_path / "a.smi")
