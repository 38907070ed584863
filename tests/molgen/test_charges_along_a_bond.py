"""One compound, written with a double bond or with charges, becomes one molecule."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgen.chem.identity import compound_key
from molgen.chem.parsing import parse
from molgen.chem.standardization import standardize

#: double-bonded and charge-separated groups between two carbons
GROUPS = (
    ("S(=O)", "[S+]([O-])"),
    ("S(=O)(=O)", "[S+2]([O-])([O-])"),
    ("S(=O)(=O)", "[S+](=O)([O-])"),
    ("[Se](=O)", "[Se+]([O-])"),
    ("P(=O)(C)", "[P+]([O-])(C)"),
    ("P(=S)(C)", "[P+]([S-])(C)"),
    ("S(=O)(=N)", "[S+]([O-])(=N)"),
    ("C(=[N+]=[N-])", "[C-]([N+]#N)"),
)
LEFT = ("C", "CC", "Oc1ccc(cc1)", "O=[N+]([O-])c1ccc(cc1)", "C[N+](C)(C)CC", "NC(=O)C")
RIGHT = ("C", "c1ccccn1", "Cc1ccccc1", "CC#N", "C1CC1", "CC(O)=O")


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(LEFT), st.sampled_from(RIGHT), st.lists(st.sampled_from(GROUPS), min_size=1,
    max_size=2), st.sampled_from(["", ".Cl", ".O"]),
)  # fmt: skip
def test_both_spellings_give_one_molecule(left, right, groups, salt):
    doubled = left + "C".join(g[0] for g in groups) + right + salt
    charged = left + "C".join(g[1] for g in groups) + right + salt
    one, two = standardize(doubled), standardize(charged)
    assert one.smiles == two.smiles, (doubled, charged)
    assert "charges along a bond joined" in two.steps[0]
    assert "charges along a bond joined" not in one.steps[0]
    assert compound_key(parse(doubled)) == compound_key(parse(charged))
    assert standardize([doubled, charged], deduplicate=True).n_out == 1


@pytest.mark.parametrize("mark", ["@", "@@"])
@pytest.mark.parametrize(("left", "right"), [("CC", "C"), ("c1ccccc1", "CC"), ("C", "c1ccncc1")])
def test_the_configuration_of_a_sulfoxide_is_kept(left, right, mark):
    given = f"{left}[S{mark}+]([O-]){right}"
    made = standardize(given).smiles[0]
    assert "=O" in made and "+" not in made

    def label(smiles: str) -> list[str]:
        mol = Chem.MolFromSmiles(smiles)
        return [c for _, c in Chem.FindMolChiralCenters(mol, useLegacyImplementation=False)]

    assert label(given) == label(made) and len(label(made)) == 1


@pytest.mark.parametrize(
    "smiles",
    ["C[N+](C)(C)[O-]", "[O-][n+]1ccccc1", "C[N+](=O)[O-]", "C[N+](C)(C)CC(=O)[O-]",
     "[O-][s+]1cccc1", "C[S+](C)(C)=O", "[N-]=[N+]=NC"],
)  # fmt: skip
def test_what_needs_its_charges_keeps_them(smiles):
    assert standardize(smiles).smiles[0] == Chem.CanonSmiles(smiles)
