"""Series whose groups begin with the same atom, in chains and in rings; tables with odd headers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from typer.testing import CliRunner

from molgen.cli import app
from molgen.files.delimited import choose_name, names_identifiers
from molgen.qsar.series.r_groups import decompose, find_core

CHAINS = ("C", "CC", "C(C)C", "CCO", "CC(F)(F)F", "CCN(C)C", "C(=O)C")
RINGS = ("C1CC1", "C1CCCCC1", "C1CCOCC1", "c1ccccc1", "c1ccncc1", "c1ccc2ccccc2c1", "c1nccs1")
OTHERS = ("[H]", "F", "Cl", "OC", "C#N", "N(C)C")
CORES = (
    "O=C(N{a})c9ccc({b})cc9", "O({a})c9ccc({b})cc9", "O=S(=O)({a})c9ccc({b})cc9",
    "c9({a})ccc({b})cc9", "O=C9CN({a})C(=O)N9{b}",
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(CORES),
    st.lists(st.sampled_from(CHAINS + RINGS), min_size=3, max_size=6, unique=True),
    st.lists(st.sampled_from(CHAINS + OTHERS), min_size=2, max_size=4, unique=True),
)
def test_every_compound_of_a_series_is_taken_apart_or_told(core, firsts, seconds):
    smiles = sorted(
        {
            Chem.CanonSmiles(core.format(a=a, b=b).replace("([H])", "").replace("[H]", ""))
            for a in firsts
            for b in seconds
        }
    )
    made = decompose(smiles)
    told = [entry["row"] for entry in made.unmatched]
    assert sorted([*made.rows, *told]) == list(range(len(smiles)))
    assert all(entry["reason"] for entry in made.unmatched)


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("n_chains", [2, 4])
def test_a_found_core_has_no_chain_atom_in_a_ring_of_most_compounds(core, n_chains):
    groups = [*CHAINS[:n_chains], *RINGS[2:6]]
    smiles = [Chem.CanonSmiles(core.format(a=a, b="C")) for a in groups]
    found = Chem.MolFromSmiles(find_core(smiles))
    chain = [a.GetIdx() for a in found.GetAtoms() if not a.IsInRing()]
    having = 0
    for text in smiles:
        mol = Chem.MolFromSmiles(text)
        matches = mol.GetSubstructMatches(found, uniquify=False)
        having += any(not any(mol.GetAtomWithIdx(m[i]).IsInRing() for i in chain) for m in matches)
    assert having >= 0.8 * len(smiles), (Chem.MolToSmiles(found), smiles)


def test_a_core_that_cuts_a_ring_is_told_by_compound():
    smiles = ["O=C(NC)c1ccccc1", "O=C(NCC)c1ccccc1", "O=C(Nc1ccccc1)c1ccccc1"]
    made = decompose(smiles, "CNC(=O)c1ccccc1")
    assert made.rows == (0, 1)
    assert "aromatic ring" in made.unmatched[0]["reason"]


@pytest.mark.parametrize(
    "header",
    ["Cmpd ID", "CompoundID", "Batch No.", "SUPPLIER_ID", "Lab ID", "Entry No", "cpd", "MolID",
     "Catalogue Number", "Vendor code", "Structure ID"],
)  # fmt: skip
@pytest.mark.parametrize("values", [("001", "002", "003", "004"), ("7", "9", "12", "5")])
def test_identifiers_are_no_measured_values(tmp_path, header, values):
    assert names_identifiers(header)
    assert choose_name([header, "SMILES", "pIC50"], 1) == 0
    table = tmp_path / "t.csv"
    smiles = ["Cc1ccccc1C", "Cc1ccccc1O", "Cc1ccccc1N", "Cc1ccccc1F"]
    rows = [f"{v},{s},{5 + k / 2}" for k, (v, s) in enumerate(zip(values, smiles))]
    table.write_text("\n".join([f"{header},SMILES,pIC50", *rows]) + "\n")
    done = CliRunner().invoke(app, ["sar", str(table), "-o", str(tmp_path / "desk")])
    assert done.exit_code == 0, done.output
    assert "4 compounds with pIC50" in done.output + done.stderr
    # the measured value lost: nothing else is taken for it
    table.write_text("\n".join([f"{header},SMILES,IC50", *(r + " uM" for r in rows)]) + "\n")
    done = CliRunner().invoke(app, ["sar", str(table), "-o", str(tmp_path / "desk")])
    assert done.exit_code == 2 and "no column of numbers" in done.stderr


@pytest.mark.parametrize("header", ["grid", "fluid", "pIC50", "Hill number", "amide", "IC50 (nM)"])
def test_values_are_no_identifiers(header):
    assert not names_identifiers(header)
    assert choose_name([header, "SMILES"], 1) is None
