"""Classes in the shares asked for, counted by RDKit anew."""

import pytest
from rdkit import Chem

from molgen.generation.balancing import sample_balanced
from molgen.generation.windows import CHEMOTYPES


@pytest.mark.long
def test_each_class_has_its_share(small_model) -> None:
    table = sample_balanced(small_model, {"sulfonamide": 0.3, "c1ccncc1": 0.2}, 40, seed=1)
    assert len(table) == table["smiles"].nunique() == 40
    for name, pattern, least in (
        ("sulfonamide", CHEMOTYPES["sulfonamide"], 12),
        ("c1ccncc1", "c1ccncc1", 8),
    ):
        query = Chem.MolFromSmarts(pattern)
        held = [Chem.MolFromSmiles(s).HasSubstructMatch(query) for s in table["smiles"]]
        assert held == table[name].tolist() and sum(held) >= least
    balance = table.attrs["balance"].set_index("class")
    assert balance.loc["sulfonamide", "achieved"] == pytest.approx(table["sulfonamide"].mean())
    assert balance.loc["sulfonamide", "plain"] < balance.loc["sulfonamide", "achieved"]


@pytest.mark.parametrize(
    ("balance", "says"),
    [
        ({}, "balance is empty"),
        ({"spyro": 0.5}, "'spyro' is neither a chemotype"),
        ({"spiro": 0.0}, r"share of spiro is 0.0; expected a number in \(0, 1\]"),
        ({"spiro": 0.7, "boron": 0.6}, "1.3 in all"),
    ],
)
def test_impossible_balances_are_named(small_model, balance, says) -> None:
    with pytest.raises(ValueError, match=says):
        sample_balanced(small_model, balance, 5)
