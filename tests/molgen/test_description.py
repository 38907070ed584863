"""Long lists are described and filtered with shared steps: the values and reasons stay the same."""

import pandas as pd
import pytest
from rdkit import Chem

import molgen
from molgen.chem.parsing import parse_whole
from molgen.chem.properties import DESCRIPTORS, compute
from molgen.filters.filter_sets import MANY, as_filter_set
from tests.molgen.test_motifs import read

#: Hydrogen alone, isotopes, ions, salts, metals, dative bonds, racemates, odd valences.
ODD = [
    "[H][H]", "[2H]OC", "[13CH4]", "C", "[Na+].[Cl-]", "[NH4+]", "N->[Cu]", "[O-][n+]1ccccc1",
    "C[C@H](O)[C@@H](F)CC |o1:1,&2:3|", "F/C=C/F", "[H]c1ccccc1", "C[N+](C)(C)C", "O=[N+]([O-])C",
    "[CH2]C", "OO", "C1CCCCCCCCCCC1", "C1CC12CC2", "O=C1C=CC(=O)C=C1", "O=C1C(=Cc2ccccc2)SC(=S)N1",
    "CS(=N)(=O)C", "B(O)O", "c1ccc2c(c1)[nH]c1ccccc12", "[Fe]", "C#N", "P(=O)(O)(O)O",
]  # fmt: skip


@pytest.fixture(scope="module")
def molecules():
    drugs = [line.split()[0] for line in read("approved_drugs")[::40]]
    return [*ODD, *drugs, "C1CC", "", "*CC"]


def test_descriptors_of_a_long_list_are_rdkits(molecules):
    assert len(molecules) >= MANY
    with pytest.warns(UserWarning, match="3 of"):
        table = molgen.describe(molecules)
    for text, row in zip(molecules, table.itertuples(index=False)):
        found = dict(zip(table.columns[1:], row[1:]))
        if text in ("C1CC", "", "*CC"):
            assert all(pd.isna(v) for v in found.values())
            continue
        # each of a molecule of its own: what one leaves behind must not change another
        alone = {k: v for n in DESCRIPTORS for k, v in compute(parse_whole(text), [n]).items()}
        backwards = compute(parse_whole(text), list(DESCRIPTORS)[::-1])
        for other in (alone, backwards):
            expected = {k: v for k, v in other.items() if not pd.isna(v)}
            assert {k: v for k, v in found.items() if not pd.isna(v)} == expected, text


def test_the_sa_score_does_not_depend_on_what_else_is_asked():
    """Quinuclidine's bridgehead was one stereocentre less where `stereocenters` came first."""
    drug = "O=C1c2cccc3c2[C@H](CCC3)CN1[C@@H]1CN2CCC1CC2"
    for properties in (["sa_score"], ["stereocenters", "sa_score"]):
        table = molgen.describe([drug] * MANY, properties=properties)
        assert table["sa_score"].tolist() == pytest.approx([4.068808961972568] * MANY)


@pytest.mark.parametrize("preset", ["default", "strict"])
def test_reasons_of_a_long_list_are_those_of_each_molecule(molecules, preset):
    table = molgen.filter_molecules(molecules, preset)
    filters = as_filter_set(preset)
    for text, reasons in zip(molecules, table["reasons"]):
        if text in ("C1CC", "", "*CC"):
            continue
        assert list(reasons.items) == filters.refuse(Chem.MolFromSmiles(text.split()[0])), text
    assert 0.1 < table["passed"].mean() < 0.9
