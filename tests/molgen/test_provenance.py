"""Provenance in every format, and what verify finds."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgen.chem.description import describe
from molgen.files.provenance_records import PackedDigests
from molgen.filters.filter_sets import filter_molecules
from molgen.provenance import (
    Provenance,
    canonical_text,
    load_table,
    record,
    row_digests,
    save_table,
    sidecar_path,
    verify,
)

SMILES = ["CCO", "c1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "C[N+](C)(C)C", "O=C1C=CC(=O)C=C1"]
FORMATS = [".csv", ".csv.gz", ".tsv", ".parquet", ".json", ".sdf", ".sdf.gz"]


@pytest.fixture
def table() -> pd.DataFrame:
    made = filter_molecules(SMILES, ["veber", "pains"])
    return made.join(describe(SMILES, properties=["mw", "logp", "rings"]).drop(columns="smiles"))


@pytest.fixture
def made() -> Provenance:
    return record("filter", {"filters": ["veber", "pains"]}, seed=3, data_sha256="00" * 32)


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_carries_the_record_and_verifies(tmp_path, table, made, ending):
    path = save_table(table, tmp_path / f"m{ending}", made)
    again, held = load_table(path)
    assert again["smiles"].tolist() == SMILES
    assert list(again.columns) == list(table.columns)
    assert held.row_digests == row_digests(table)
    assert (held.function, held.seed, held.created) == ("filter", 3, made.created)
    outcome = verify(path)
    assert outcome.passed, str(outcome)
    assert len(outcome.checks) == 3
    assert "agrees with its record" in str(outcome)


def test_other_programs_read_the_files_as_usual(tmp_path, table, made):
    save_table(table, tmp_path / "m.csv", made)
    read = pd.read_csv(tmp_path / "m.csv")
    assert read.columns.tolist() == table.columns.tolist()
    assert read["passed"].tolist() == table["passed"].tolist()
    np.testing.assert_allclose(read["mw"], table["mw"], rtol=1e-15)
    assert json.loads(sidecar_path(tmp_path / "m.csv").read_text())["function"] == "filter"
    save_table(table, tmp_path / "m.parquet", made)
    assert pd.read_parquet(tmp_path / "m.parquet")["mw"].tolist() == table["mw"].tolist()
    assert b"molgen_provenance" in pq.read_schema(tmp_path / "m.parquet").metadata
    save_table(table, tmp_path / "m.sdf", made)
    mols = list(Chem.SDMolSupplier(str(tmp_path / "m.sdf")))
    assert [Chem.MolToSmiles(m) for m in mols] == [Chem.CanonSmiles(s) for s in SMILES]
    assert float(mols[1].GetProp("mw")) == pytest.approx(table["mw"][1])
    assert json.loads(mols[4].GetProp("molgen_provenance"))["seed"] == 3
    save_table(table, tmp_path / "m.smi", made)
    assert (tmp_path / "m.smi").read_text().split() == SMILES


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".json", ".sdf"])
def test_a_changed_value_is_found(tmp_path, table, made, ending):
    path = save_table(table, tmp_path / f"m{ending}", made)
    text = path.read_text()
    changed, n_changes = re.subn(r"122\.12\d*", "99.123", text, count=1)
    assert n_changes == 1
    path.write_text(changed)
    outcome = verify(path)
    assert not outcome.passed
    assert {d.row for d in outcome.discrepancies} == {2}
    assert any("digest differs" in d.what for d in outcome.discrepancies)
    assert any("computed again it is 122.123" in d.what for d in outcome.discrepancies)


def test_a_forged_digest_is_found_by_computing_again(tmp_path, table, made):
    table.loc[2, "logp"] += 1
    table.loc[4, "passed"] = True
    path = save_table(table, tmp_path / "m.csv", made)  # digests now agree with the forgery
    found = {(d.row, d.what.split()[0]) for d in verify(path).discrepancies}
    assert found == {(3, "logp"), (5, "passed")}


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".json", ".sdf"])
def test_control_characters_in_bad_rows_do_no_harm(tmp_path, made, ending):
    bad = ["C\x00C", "C\rC", "C\nC", "é", 'a"b,c', ""]
    path = save_table(pd.DataFrame({"smiles": ["CCO", *bad]}), tmp_path / f"m{ending}", made)
    again, _ = load_table(path)
    assert again["smiles"].tolist() == ["CCO", r"C\x00C", r"C\x0dC", r"C\x0aC", *bad[3:]]
    assert verify(path).passed


def test_rows_taken_out_or_put_in_are_found(tmp_path, table, made):
    path = save_table(table, tmp_path / "m.csv", made)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3] + lines[4:]))
    outcome = verify(path)
    assert outcome.discrepancies[0].row == 0
    assert "4 rows, the record has 5" in str(outcome)
    path.write_text("".join([*lines, "CCCC,True,,58.1,1.8,0.0\n"]))
    assert not verify(path).passed


class FakeModel:
    """Samples from a list, as a model does from a seed."""

    def __init__(self, sha256: str = "aa" * 32) -> None:
        self.card = {"sha256": sha256}

    def sample(self, n, seed=0, temperature=1.0):
        return [f"{'C' * (i + 1 + seed)}O" for i in range(n)]

    def sample_near(self, smiles, n, radius=1.0, seed=0, keep=None):
        return [smiles + "C" * (i + seed) for i in range(n)]


def test_samples_are_drawn_again(tmp_path):
    model = FakeModel()
    table = pd.DataFrame({"smiles": model.sample(20, seed=2)})
    made = record("sample", {"n": 20, "temperature": 0.5}, seed=2, checkpoint_sha256="aa" * 32)
    path = save_table(table, tmp_path / "s.csv", made)
    outcome = verify(path, model=model, n_rows=10)
    assert outcome.passed
    assert "the first 10 molecules, made again by sample" in outcome.checks
    table.loc[4, "smiles"] = "CCN"
    save_table(table, path, made)
    assert [d.row for d in verify(path, model=model).discrepancies] == [5]
    other = FakeModel("bb" * 32)
    assert "the checkpoint at hand is bbbb" in str(verify(path, model=other))


def test_neighbours_are_made_again(tmp_path):
    model = FakeModel()
    table = pd.DataFrame({"smiles": model.sample_near("CO", 5, seed=1)})
    arguments = {"model": "moses", "smiles": "CO", "n": 5, "radius": 0.5, "keep": None}
    path = save_table(table, tmp_path / "near.csv", record("sample_near", arguments, seed=1))
    assert verify(path, model=model, n_rows=2).passed
    save_table(table, path, record("sample_near", arguments, seed=2))
    assert len(verify(path, model=model).discrepancies) == 5


def test_bad_files(tmp_path, table, made):
    with pytest.raises(ValueError, match=r"Cannot tell how to write m\.xlsx"):
        save_table(table, tmp_path / "m.xlsx", made)
    with pytest.raises(ValueError, match="no column 'smi'; it has smiles, passed"):
        save_table(table, tmp_path / "m.csv", made, smiles_column="smi")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="Cannot write"):
        save_table(table, tmp_path / "file" / "m.csv", made)
    with pytest.raises(ValueError, match="Cannot read"):
        verify(tmp_path / "none.csv")
    (tmp_path / "plain.csv").write_text("smiles\nC\n")
    with pytest.raises(ValueError, match=r"provenance\.json is not beside it"):
        verify(tmp_path / "plain.csv")
    (tmp_path / "plain.csv.provenance.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        verify(tmp_path / "plain.csv")
    (tmp_path / "plain.csv.provenance.json").write_text('{"other": 1}')
    with pytest.raises(ValueError, match="lacks its fields"):
        verify(tmp_path / "plain.csv")
    table[["smiles"]].to_parquet(tmp_path / "plain.parquet")
    with pytest.raises(ValueError, match="no provenance record in its metadata"):
        verify(tmp_path / "plain.parquet")
    (tmp_path / "plain.sdf").write_text("x\n\n\n$$$$\n")
    with pytest.raises(ValueError, match="no provenance record in its data fields"):
        verify(tmp_path / "plain.sdf")
    (tmp_path / "plain.json").write_text("[]")
    with pytest.raises(ValueError, match="no provenance record"):
        verify(tmp_path / "plain.json")
    (tmp_path / "cut.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged or cut off"):
        verify(tmp_path / "cut.json")


def test_records():
    made = record("sample", {"n": 3}, seed=1)
    assert Provenance.from_json(made.to_json()) == made
    assert made.version
    assert made.environment["rdkit"]
    with pytest.raises(ValueError, match="name of the function"):
        Provenance("")
    with pytest.raises(ValueError, match="plain data"):
        record("sample", {"model": object()})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        ("1.0", "1"),
        (0.1 + 0.2, "0.3"),
        (float("nan"), ""),
        (None, ""),
        (pd.NA, ""),
        (pd.NaT, ""),
        (True, "True"),
        (np.bool_(False), "False"),
        ("CCO", "CCO"),
        (np.float32(0.5), "0.5"),
        ("", ""),
    ],
)
def test_canonical_text(value, text):
    assert canonical_text(value) == text


@given(
    st.lists(
        st.tuples(
            st.sampled_from(SMILES),
            st.floats(allow_nan=True, allow_infinity=True, width=32),
            st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=8),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([".csv", ".parquet", ".tsv"]),
)
@settings(max_examples=100, deadline=None)
def test_any_values_survive_writing_and_reading(tmp_path_factory, values, ending):
    table = pd.DataFrame(values, columns=["smiles", "number", "note"])
    path = tmp_path_factory.mktemp("p") / f"m{ending}"
    save_table(table, path, record("x"))
    again, held = load_table(path)
    assert row_digests(again) == held.row_digests


def test_digests_of_millions_of_rows_are_packed(tmp_path, monkeypatch):
    """With the limit lowered: readers of Parquet refuse metadata of more than 100 MB."""
    monkeypatch.setattr("molgen.files.provenance_records.MOST_LISTED", 50)
    monkeypatch.setattr("molgen.provenance.verification._ROWS_AT_ONCE", 40)
    table = pd.DataFrame({"smiles": ["C" * (1 + i % 30) for i in range(120)], "x": range(120)})
    for name in ("big.parquet", "big.csv", "big.json"):
        save_table(table, tmp_path / name, record("made"))
        read, provenance = load_table(tmp_path / name)
        assert isinstance(provenance.row_digests, PackedDigests)
        assert len(provenance.row_digests) == 120 and len(provenance.row_digests.text) == 960
        assert verify(tmp_path / name).passed
    read.loc[77, "x"] = 5_000
    content = _parquet_with(tmp_path / "big.parquet", read)
    (tmp_path / "forged.parquet").write_bytes(content)
    found = verify(tmp_path / "forged.parquet").discrepancies
    assert [d.row for d in found] == [78]
    with pytest.raises(ValueError, match="not a multiple of 8"):
        PackedDigests("123")
    assert PackedDigests("aaaaaaaabbbbbbbb")[-1] == "bbbbbbbb"


def _parquet_with(path, table) -> bytes:
    """A Parquet file with the record of another and other rows."""
    import io

    import pyarrow
    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata
    sink = io.BytesIO()
    arrow = pyarrow.Table.from_pandas(table, preserve_index=False)
    pq.write_table(arrow.replace_schema_metadata(metadata), sink)
    return sink.getvalue()


def test_comparing_fingerprints_leaves_the_threads_of_pytorch_alone():
    import torch

    from molgen.chem.similarity import nearest

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        prints = np.random.default_rng(0).integers(0, 2**63, (3_000, 16)).astype(np.uint64)
        similarity, index = nearest(prints, prints)
        assert (similarity == 1).all() and (index == np.arange(3_000)).all()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
