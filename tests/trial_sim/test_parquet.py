"""Tables of patients as Parquet files: every type comes back, damage is one sentence."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from trial_sim.base.parquet import read_parquet, write_parquet
from trial_sim.data.datasets import read_table


def patients(n: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"p'{i}" for i in range(n)],
            "age": [50.5, np.nan, 70.0, 61.0][:n],
            "visits": [1, 2, 3, 4][:n],
            "grade": pd.Categorical(
                ["mild", None, "severe", "mild"][:n], ["severe", "none", "mild"], ordered=True
            ),
            "site": pd.Categorical(["B", "A", None, "B"][:n], ["B", "A"]),
            "stage": pd.Categorical([2, 1, 2, 2][:n], [2, 1]),
            "gaps": pd.array([1, None, 3, 4][:n], dtype="Int64"),
            "maybe": pd.array([True, None, False, True][:n], dtype="boolean"),
            "entry": pd.to_datetime(["2024-01-31", None, "2024-02-29", "2023-12-01"][:n]),
            "none": pd.Series([None] * n, dtype=object),
            "died": [True, False, True, True][:n],
            "Time (months)": [1.0, 2.0, 3.0, np.inf][:n],
            "time (months)": [1.0, 2.0, 3.0, 4.0][:n],
        }
    )


@pytest.mark.parametrize("n", [4, 1, 0])
def test_every_type_comes_back_as_it_was(tmp_path, n):
    table = patients(n)
    write_parquet(table, tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "t.parquet"), table)
    first = (tmp_path / "t.parquet").read_bytes()
    write_parquet(table, tmp_path / "t.parquet")
    assert first == (tmp_path / "t.parquet").read_bytes()


def test_pandas_reads_the_same_and_writes_what_is_read(tmp_path):
    table = patients()
    write_parquet(table, tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "t.parquet"), table.astype({"stage": int})
    )
    table.to_parquet(tmp_path / "t.parquet")
    as_pandas = pd.read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), as_pandas)
    table.set_index("id")[["age"]].to_parquet(tmp_path / "i.parquet")
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "i.parquet"), table.set_index("id")[["age"]]
    )


def test_numbers_beside_text_are_text(tmp_path):
    table = pd.DataFrame({"dose": [1, "2 mg", None], "large": [1.5, 2**70, 3]}, dtype=object)
    write_parquet(table, tmp_path / "t.parquet")
    again = read_parquet(tmp_path / "t.parquet")
    assert again["dose"].tolist() == ["1", "2 mg", None]
    assert again["large"].tolist() == [1.5, 2.0**70, 3.0]


@pytest.mark.parametrize("name", ["a[1]", "we?ird", "st*r", "it's", "arm=1", "b\\c"])
def test_paths_are_names_and_not_patterns(tmp_path, name):
    for decoy in ("a1", "weXird", "stXXr", "bc"):
        write_parquet(pd.DataFrame({"x": ["wrong"]}), tmp_path / f"{decoy}.parquet")
    path = tmp_path / f"{name}.parquet"
    write_parquet(pd.DataFrame({"x": [name]}), path)
    assert read_table(path).to_dict("list") == {"x": [name]}


def test_a_full_disk_and_damaged_files_are_one_sentence(tmp_path):
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="No space left"):
            write_parquet(patients(), "/dev/full")
    path = tmp_path / "t.parquet"
    write_parquet(patients(), path)
    for content in (b"", b"PAR1", b"a,b\n1,2\n" * 9, path.read_bytes()[:-9]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="it is not a readable Parquet file") as caught:
            read_table(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="a name each"):
        write_parquet(pd.DataFrame([[1, 2]], columns=["a", "a"]), path)


def test_metadata_that_speaks_of_other_values_is_passed_over(tmp_path):
    import pyarrow
    import pyarrow.parquet as pq

    arrow = pyarrow.table({"a": ["x", "y"], "b": [1, 2]})
    for told in ('{"a": "Int64", "b": {"levels": [[1]]}}', "[1]", "{", '{"a": {"levels": 3}}'):
        metadata = {"trial_sim_levels": told, "pandas": told}
        pq.write_table(arrow.replace_schema_metadata(metadata), tmp_path / "t.parquet")
        assert read_parquet(tmp_path / "t.parquet")["a"].tolist() == ["x", "y"]
