"""Wishes in a chemist's words: what is understood, how it is bound, what is refused with a hint."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgen.chem.property_words import CONTINUOUS, SYNONYMS, groups, property_named
from molgen.scoring.kinds import KINDS
from molgen.scoring.objectives import Component, Objective, score
from molgen.scoring.wishes import read_wish

LEAD = "CC(=O)Nc1ccc(O)cc1"


@pytest.mark.parametrize(
    ("text", "field", "goal", "low", "high"),
    [
        ("mw < 400", "mw", "at most", None, 400),
        ("MW<400", "mw", "at most", None, 400),
        ("molecular weight under 400 Da", "mw", "at most", None, 400),
        ("300 < MW <= 450", "mw", "within", 300, 450),
        ("MW 300-450", "mw", "within", 300, 450),
        ("clogp 1 to 3", "logp", "within", 1, 3),
        ("logP between -1 and 3.5", "logp", "within", -1, 3.5),
        ("logp in [1, 3]", "logp", "within", 1, 3),
        ("TPSA: 40..90 Å2", "tpsa", "within", 40, 90),
        ("rotatable bonds at most 5", "rotatable_bonds", "at most", None, 5),
        ("no more than five rotors", "rotatable_bonds", "at most", None, 5),
        ("one hbd at most", "hbd", "at most", None, 1),
        ("fewer than three H-bond donors", "hbd", "at most", None, 2),
        ("HBD < 3", "hbd", "at most", None, 2),
        ("more than 1 ring", "rings", "at least", 2, None),
        ("2 to 3 aromatic rings", "aromatic_rings", "within", 2, 3),
        ("two rings", "rings", "within", 2, 2),
        ("charge 0", "formal_charge", "within", 0, 0),
        ("no halogens", "halogens", "at most", None, 0),
        ("maximise QED", "qed", "maximise", None, None),
        ("high qed", "qed", "maximise", None, None),
        ("minimize synthetic accessibility", "sa_score", "minimise", None, None),
        ("tpsa at_least 40", "tpsa", "at least", 40, None),
        ("logp within 1, 3", "logp", "within", 1, 3),
        ("at most 1 nitrile", "substructure_count", "at most", None, 1),
    ],
)
def test_properties_and_bounds(text, field, goal, low, high):
    part = Component.parse(text)
    assert (part.property, part.goal, part.low, part.high) == (field, goal, low, high)


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("contains c1ccncc1", "Cc1ccncc1", "Cc1ccccc1"),
        ("contains a pyridine", "Cc1ccncc1", "Cc1ccccc1"),
        ("no aniline", "CC(=O)Nc1ccccc1", "Nc1ccccc1"),
        ("without nitro groups", "Nc1ccccc1", "O=[N+]([O-])c1ccccc1"),
        ("no c1ccccc1", "C1CCCCC1", "Cc1ccccc1"),
        ("no Michael acceptor", "CCC(=O)NC", "C=CC(=O)NC"),
        ("avoid carboxylic acids", "CC(=O)OC", "CC(=O)O"),
        ("passes lipinski", LEAD, "C" * 40),
        ("no PAINS", LEAD, "O=C1C=CC(=O)C=C1"),
        ("no alerts", "CCO", "O=[N+]([O-])c1ccccc1"),
        (f"similar to {LEAD}", LEAD, "CCCCCC"),
        (f"similar to {LEAD} at least 0.5", LEAD, "CCCCCC"),
        (f"unlike {LEAD}", "CCCCCC", LEAD),
    ],
)
def test_structures(text, good, bad):
    table = score([good, bad], Objective([text]))
    assert table["score"][0] > 0.9 and table["score"][1] < 0.1


@given(
    st.sampled_from(sorted(SYNONYMS)),
    st.sampled_from([str.upper, str.title, str.lower]),
    st.integers(0, 500),
    st.sampled_from(["{p} < {n}", "{p} at most {n}", "at most {n} {p}", "{p} below {n}"]),
)
@settings(max_examples=80, deadline=None)
def test_every_name_in_every_sentence(words, case, number, sentence):
    found = read_wish(sentence.format(p=case(words), n=number))
    strict = "<" in sentence or "below" in sentence
    count = SYNONYMS[words] not in CONTINUOUS
    assert found["property"] == SYNONYMS[words] == property_named(case(words))
    assert found["high"] == (number - 1 if strict and count else number)


def test_weights_and_conditions():
    assert Component.parse("maximise qed, weight 2").weight == 2
    assert Component.parse("mw < 400 hard").hard and Component.parse("must have mw < 400").hard
    both = Objective(["200 < mw < 400", "no aniline", "passes pains", "similar to CCO"])
    assert Objective.from_dict(both.to_dict()) == both


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("MW", "names mw but not what is wanted"),
        ("maximise qde", "Did you mean 'qed'"),
        ("lgop < 3", "Did you mean 'logp'"),
        ("passes pain", "did you mean 'pains'"),
        ("no analine", "Did you mean 'aniline'"),
        ("similar to foo", "'foo' in the wish .* is not a molecule"),
        ("contains c1ccncc", "neither a group .* nor a SMARTS"),
        ("qed", "names qed but not what is wanted"),
        ("as good as possible", "cannot read the statement"),
    ],
)
def test_what_is_not_understood_says_what_would_be(text, hint):
    with pytest.raises(ValueError, match=hint):
        Component.parse(text)


def test_names_of_other_case_find_their_property():
    import molgen

    with pytest.raises(ValueError, match="did you mean 'mw'"):
        molgen.describe(["CCO"], properties=["MW"])
    with pytest.raises(ValueError, match="Did you mean 'qed'"):
        Component("QED")


def test_every_group_is_a_pattern():
    assert len(groups()) > 100
    assert all(Chem.MolFromSmarts(smarts) is not None for smarts in groups().values())


def test_the_page_of_wishes_is_whole():
    page = (Path(__file__).parents[2] / "docs/how-to/wishes.md").read_text("utf-8")
    assert all(f"| `{name}` |" in page for name in KINDS)
    sentences = page.split("## Sentences")[1].split("## Weight")[0]
    for text in re.findall(r"`([^`]+)`", sentences):
        if text not in ("< 3", "molgen.filter_molecules"):
            read_wish(text.replace("SMILES", LEAD))
