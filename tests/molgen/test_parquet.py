"""Parquet files: types, names, damage, and the same bytes for the same table."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from molgen.base.parquet import (
    GROUP,
    ParquetError,
    join_parquet,
    parquet_bytes,
    parquet_columns,
    parquet_rows,
    read_parquet,
    write_parquet,
)
from molgen.files.molecule_files import read_molecules
from molgen.provenance import load_table, record, row_digests, save_table


def every_type(n: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": ["CCO", None, 'it\'s "é"'] * n,
            "real": [1.5, np.nan, -np.inf] * n,
            "single": np.array([0.1, 2.0, 3.0] * n, dtype=np.float32),
            "whole": np.array([1, -2, 2**62] * n),
            "key": np.array([2**64 - 1, 0, 7] * n, dtype=np.uint64),
            "truth": [True, False, True] * n,
            "blob": [b"\x00\xff", None, b""] * n,
            "day": pd.to_datetime(["2024-02-29", None, "1677-09-22"] * n),
            "a b": range(3 * n),
            "a \"b\", 'c'; --": range(3 * n),
            "Case": range(3 * n),
            "case": ["x"] * 3 * n,
        }
    )


def test_every_type_comes_back_as_it_was(tmp_path):
    table = every_type()
    write_parquet(table, tmp_path / "t.parquet", {"who": "me'\"\n"})
    again, metadata = read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(again, table)
    assert metadata["who"] == "me'\"\n"
    content = parquet_bytes(table, {"who": "me'\"\n"})
    assert content == (tmp_path / "t.parquet").read_bytes()
    pd.testing.assert_frame_equal(read_parquet(content)[0], table)
    some = read_parquet(content, ["case", "Case", "key"])[0]
    pd.testing.assert_frame_equal(some, table[["case", "Case", "key"]])


def test_pyarrow_reads_the_same(tmp_path):
    table = every_type().drop(columns="Case")
    write_parquet(table, tmp_path / "t.parquet", {"who": "me"})
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table)
    assert pq.read_schema(tmp_path / "t.parquet").metadata[b"who"] == b"me"


def test_what_pyarrow_writes_is_read_as_pandas_reads_it(tmp_path):
    table = every_type()
    table["gaps"] = pd.Series([1, None, 3] * 3, dtype="Int64")
    table["maybe"] = np.array([True, None, False] * 3, dtype=object)
    table.to_parquet(tmp_path / "t.parquet")
    again, _ = read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(again, table.astype({"gaps": float}))
    assert parquet_columns(tmp_path / "t.parquet") == list(table.columns)
    zoned = pd.DataFrame({"at": pd.to_datetime(["2024-01-01"]).tz_localize("Europe/Berlin")})
    zoned.to_parquet(tmp_path / "z.parquet")
    assert read_parquet(tmp_path / "z.parquet")[0]["at"].tolist() == zoned["at"].tolist()
    odd = table.set_index(["Case", "case"])[["real"]]
    odd.to_parquet(tmp_path / "i.parquet")
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "i.parquet")[0], odd)
    some = table[["real"]].iloc[[4, 6]]
    some.to_parquet(tmp_path / "s.parquet")
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "s.parquet")[0], some)


def test_types_are_not_guessed_from_the_first_rows(tmp_path):
    n = 5_000
    table = pd.DataFrame(
        {
            "none": [None] * n,
            "late": [None] * (n - 1) + ["x"],
            "late_number": [None] * (n - 1) + [1.5],
            "late_blob": [None] * (n - 1) + [b"x"],
            "mixed": [1] * (n - 1) + ["x"],
            "large": [1] * (n - 1) + [2**70],
            "digits": ["1"] * (n - 1) + ["x"],
        },
        dtype=object,
    )
    again, _ = read_parquet(parquet_bytes(table))
    for name in ("none", "late", "late_blob", "digits"):
        assert again[name].tolist() == table[name].tolist(), name
    assert again["late_number"].iloc[-1] == 1.5 and again["late_number"].isna().sum() == n - 1
    assert again["mixed"].iloc[-2:].tolist() == ["1", "x"]
    assert again["large"].iloc[-1] == 2.0**70


def test_empty_tables_keep_their_types(tmp_path):
    table = every_type()[:0]
    write_parquet(table, tmp_path / "t.parquet", types={"blob": "binary"})
    again, _ = read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(again, table)
    assert str(pq.read_schema(tmp_path / "t.parquet").field("blob").type) == "binary"
    assert str(pq.read_schema(tmp_path / "t.parquet").field("text").type) == "string"


NAMES = ["a[1]", "we?ird", "st*r", "**", "it's", "[!a]", "{a,b}", "run=5", "é ü", "b\\c", "%41"]


@pytest.mark.parametrize("folder", ["plain", "x[1]", "a*", "seed=5"])
def test_paths_are_names_and_not_patterns(tmp_path, folder):
    place = tmp_path / folder
    for decoy in (place, tmp_path / "x1", tmp_path / "ab"):
        decoy.mkdir(exist_ok=True)
        for name in ("a1", "weXird", "stXXr", "b", "a", "bc"):
            write_parquet(pd.DataFrame({"smiles": ["wrong"]}), decoy / f"{name}.parquet")
    for name in NAMES:
        path = place / f"{name}.parquet"
        write_parquet(pd.DataFrame({"smiles": [name]}), path)
        table, _ = read_parquet(path)
        assert table.to_dict("list") == {"smiles": [name]}
        join_parquet([path, path], place / f"{name}.joined")
        assert read_parquet(place / f"{name}.joined")[0]["smiles"].tolist() == [name] * 2
        save_table(table, path, record("made"))
        assert load_table(path)[0]["smiles"].tolist() == [name]
        assert list(read_molecules(path)) == [name]


def test_parts_are_joined_in_their_order_and_groups(tmp_path):
    sizes = [GROUP, GROUP, 10]
    parts, at = [], 0
    for i, n in enumerate(sizes):
        rows = np.arange(at, at + n)
        table = pd.DataFrame({"Row": rows, "row": [f"r{r}" for r in rows], "real": rows / 3})
        parts.append(tmp_path / f"{i}.parquet")
        write_parquet(table, parts[-1])
        at += n
    join_parquet(parts, tmp_path / "all.parquet", {"about": "x"})
    table, metadata = read_parquet(tmp_path / "all.parquet")
    assert list(table.columns) == ["Row", "row", "real"] and metadata["about"] == "x"
    assert table["Row"].tolist() == list(range(at)) and table["row"].iloc[-1] == f"r{at - 1}"
    held = pq.read_metadata(tmp_path / "all.parquet")
    assert [held.row_group(i).num_rows for i in range(held.num_row_groups)] == sizes
    join_parquet(parts, tmp_path / "again.parquet", {"about": "x"})
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "all.parquet").read_bytes()
    pieces = list(parquet_rows(tmp_path / "all.parquet", ["row", "Row"], 50_000))
    assert max(map(len, pieces)) <= 50_000
    assert [row for piece in pieces for row in piece][-1] == (f"r{at - 1}", at - 1)


def test_a_long_record_survives(tmp_path):
    """Of two million rows."""
    text = json.dumps({"note": 'it\'s \\ "é"', "digests": "0123456789abcdef" * 2_000_000})
    write_parquet(pd.DataFrame({"x": [1]}), tmp_path / "t.parquet", {"record": text})
    assert read_parquet(tmp_path / "t.parquet")[1]["record"] == text
    assert pq.read_schema(tmp_path / "t.parquet").metadata[b"record"] == text.encode()


def test_damaged_files_are_one_sentence(tmp_path):
    good = parquet_bytes(every_type(100))
    for content in (b"", b"PAR1", b"a,b\n1,2\n" * 9, good[:-9], good[: len(good) // 2]):
        with pytest.raises(ParquetError) as caught:
            read_parquet(content)
        assert "\n" not in str(caught.value) and "/tmp" not in str(caught.value)
    draw = random.Random(0)
    refused = 0
    for _ in range(300):
        content = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            content[len(content) - 1 - draw.randrange(1_500)] = draw.randrange(256)
        try:
            read_parquet(bytes(content))
        except ParquetError:
            refused += 1
    assert refused > 100


def test_files_that_are_not_there_or_cannot_be_written(tmp_path):
    table = pd.DataFrame({"x": [1]})
    with pytest.raises(FileNotFoundError):
        read_parquet(tmp_path / "none.parquet")
    with pytest.raises(IsADirectoryError):
        read_parquet(tmp_path)
    with pytest.raises(FileNotFoundError):
        write_parquet(table, tmp_path / "none" / "t.parquet")
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="No space left"):
            write_parquet(table, "/dev/full")
    assert list(tmp_path.iterdir()) == []


def test_tables_without_a_place_in_parquet():
    for table in (
        pd.DataFrame(),
        pd.DataFrame({"": [1]}),
        pd.DataFrame([[1, 2]], columns=list("aa")),
    ):
        with pytest.raises(ParquetError, match="a name each"):
            parquet_bytes(table)
    with pytest.raises(ParquetError, match="cannot be written"):
        parquet_bytes(pd.DataFrame({"x": ["\ud800"]}))
    odd = pd.DataFrame({"x": [1 + 2j], "y": pd.period_range("2024", periods=1), "z": [[1, 2]]})
    assert read_parquet(parquet_bytes(odd))[0].iloc[0].tolist() == [
        "(1+2j)",
        "2024-01-01",
        "[1, 2]",
    ]
    kinds = pd.DataFrame({"c": pd.Categorical(["a", None]), "i": pd.Categorical([2, None])})
    again, _ = read_parquet(parquet_bytes(kinds))
    assert again["c"].tolist() == ["a", None] and again["i"].iloc[0] == 2.0


def test_digests_hold_with_columns_that_differ_in_case(tmp_path):
    table = pd.DataFrame({"smiles": ["C"], "pIC50": [7.0], "pic50": [None], "id": [3]})
    save_table(table, tmp_path / "m.parquet", record("made"))
    again, held = load_table(tmp_path / "m.parquet")
    assert list(again.columns) == list(table.columns)
    assert row_digests(again) == held.row_digests


def test_molecules_without_a_smiles_are_set_aside(tmp_path):
    table = pd.DataFrame({"smiles": ["CCO", None, " ", "C"], "id": pd.array([7, 8, 9, None])})
    table.to_parquet(tmp_path / "m.parquet")
    read = read_molecules(tmp_path / "m.parquet")
    assert read.smiles == ("CCO", "C") and read.names == ("7", "")
    assert [r.line for r in read.rejected] == [2, 3]
    pd.DataFrame({"smiles": [b"CCO", b"\xff"]}).to_parquet(tmp_path / "b.parquet")
    read = read_molecules(tmp_path / "b.parquet")
    assert [r.smiles for r in read.rejected] == ["b'CCO'", "b'\\xff'"]


def test_importing_the_package_loads_neither():
    code = (
        "import sys, molgen, molgen.files.molecule_files\n"
        "print({'duckdb', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
