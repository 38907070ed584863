"""What is known of molecules: what the lists' own packages say, wrong no oftener than told."""

from __future__ import annotations

import random
import string

import pandas as pd
import pytest
from typer.testing import CliRunner

import molgen
from molgen.cli import app
from molgen.filters.known_molecules import FALSE_YES, _filter, _stock

pytest.importorskip("molbloom")
chembl_gen_check = pytest.importorskip("chembl_gen_check")

MOLECULES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "CCN(CC)C(=O)C[C@H]1C[C@@H]1c1ccccc1",
    "C1CC2(C1)C1CC21C1OS1",
    "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O",
    "CCO",
]


def test_the_lists_say_what_their_own_packages_say() -> None:
    from molbloom import buy

    table = molgen.find_known(MOLECULES)
    for source in ("chembl", "surechembl"):
        checker = chembl_gen_check.Checker(source)
        for row in table.itertuples():
            checker.load_smiles(row.smiles)
            if "1" not in row.smiles:  # no ring: nothing to look up
                assert getattr(row, f"{source}_scaffold") is pd.NA
                continue
            assert getattr(row, f"{source}_ring_system") == checker.check_ring_systems()
            assert getattr(row, f"{source}_scaffold") == checker.check_scaffold()
            assert getattr(row, f"{source}_skeleton") == checker.check_skeleton()
    stock = [buy(s, catalog="zinc-instock-mini", check_common=False) for s in MOLECULES]
    assert table["in_stock"].tolist() == stock


def test_a_wrong_yes_is_as_rare_as_told() -> None:
    rng = random.Random(1)
    texts = ["".join(rng.choices(string.ascii_letters, k=20)) for _ in range(20_000)]
    share = sum(text in _stock() for text in texts) / len(texts)
    assert abs(share - FALSE_YES["in_stock"]) < 0.01
    scaffolds = _filter("chembl", "scaffold")
    assert sum(text in scaffolds for text in texts) <= 4  # expected 0.5


def test_the_command_keeps_columns_and_tells_of_bad_rows(tmp_path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("name,smiles\naspirin,CC(=O)Oc1ccccc1C(=O)O\nbad,xx\n")
    done = CliRunner().invoke(
        app,
        ["known", str(file), "-o", f"{tmp_path}/k.csv", "--rejects", f"{tmp_path}/r.csv"],
    )
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "k.csv", comment="#")
    assert table["name"].tolist() == ["aspirin"] and table["in_stock"].tolist() == [True]
    assert "xx" in (tmp_path / "r.csv").read_text()


def test_a_table_with_gaps_agrees_with_its_record(tmp_path) -> None:
    file, table = tmp_path / "m.smi", tmp_path / "k.csv"
    file.write_text("CCN amine\nc1ccccc1 benzene\n")
    assert CliRunner().invoke(app, ["known", str(file), "-o", str(table)]).exit_code == 0
    done = CliRunner().invoke(app, ["verify", str(table), "--no-again"])
    assert done.exit_code == 0, done.output
