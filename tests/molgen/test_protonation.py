"""Charged forms at a pH: textbook groups, nothing lost, a bad row its own."""

from __future__ import annotations

import pytest
from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize
from typer.testing import CliRunner

import molgen
from molgen.cli import app

pytest.importorskip("dimorphite_dl")

# charge at pH 2, 7.4 and 12, by the pKa of the group (Clayden, Organic Chemistry, chapter 8)
GROUPS = {
    "CC(=O)O": (0, -1, -1),  # 4.8
    "CCCN": (1, 1, 0),  # 10.6
    "c1ccncc1": (1, 0, 0),  # 5.2
    "Oc1ccccc1": (0, 0, -1),  # 10
    "C[C@H](N)C(=O)O": (1, 0, -1),  # alanine
    "CCO": (0, 0, 0),
    "C[N+](C)(C)C": (1, 1, 1),
    "CC(=O)[O-]": (0, -1, -1),
}


@pytest.mark.parametrize("at, ph", enumerate((2.0, 7.4, 12.0)))
def test_groups_have_the_charges_of_their_pka(at: int, ph: float) -> None:
    table = molgen.protonate(list(GROUPS), ph=ph)
    assert table["charge"].tolist() == [charges[at] for charges in GROUPS.values()]
    uncharge = rdMolStandardize.Uncharger()
    for given, form in zip(table["given"], table["smiles"]):
        same = [uncharge.uncharge(Chem.MolFromSmiles(s)) for s in (given, form)]
        assert Chem.MolToSmiles(same[0]) == Chem.MolToSmiles(same[1])


def test_a_bad_row_and_a_bad_ph_are_told(tmp_path) -> None:
    table = molgen.protonate(["CCN", "xx"])
    assert table["smiles"].tolist() == ["CC[NH3+]", ""] and table["problem"][1]
    with pytest.raises(ValueError, match="from 0 to 14"):
        molgen.protonate("CCN", ph=17)
    file = tmp_path / "m.smi"
    file.write_text("CCN amine\nxx bad\n")
    done = CliRunner().invoke(app, ["protonate", str(file), "--rejects", f"{tmp_path}/r.csv"])
    assert done.exit_code == 0 and "CC[NH3+]" in done.output
    assert "bad" in (tmp_path / "r.csv").read_text()
