"""What stands in an assay's column: class words, limits, commas, blanks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molgen.qsar.assay_values import QsarError, read_values

#: (the class that is meant, the other one): understood without being told
UNDERSTOOD = [
    ("active", "inactive"), ("Active", "INACTIVE"), ("ACTIVE ", " inactive"),
    ("active", "not active"), ("active", "decoy"), ("yes", "no"), ("Y", "N"), ("True", "False"),
    (True, False), (np.True_, np.False_), ("T", "F"), ("pos", "neg"), ("Positive", "Negative"),
    ("+", "-"), ("hit", "non-hit"), ("Hit", "nonhit"), ("hit", "no hit"), ("hit", "not a hit"),
    ("toxic", "non-toxic"), ("Toxic", "nontoxic"), ("toxic", "not toxic"), ("toxic", "safe"),
    ("binder", "non binder"), ("inhibitor", "non_inhibitor"), ("blocker", "Non-Blocker"),
    ("soluble", "insoluble"), ("stable", "unstable"), ("permeable", "impermeable"),
    ("BBB+", "BBB-"), ("Ames positive", "Ames negative"), (1, 0), (1.0, 0.0), ("1", "0"),
    ("1.0", "0.0"), (1, -1), (np.int64(1), np.int64(0)), ("high", "low"),
    ("mutagenic", "non-mutagenic"), ("responder", "non-responder"), ("confirmed", "unconfirmed"),
    ("selective", "unselective"), ("hERG blocker", "hERG non-blocker"), ("p_np 1", "p_np 0"),
    ("cytotoxic", "Non-Cytotoxic"), ("significant", "not significant"), ("event", "no event"),
    ("aktiv", "inaktiv"), ("+", "\u2212"), ("hit", "inactive"), ("effective", "ineffective"),
    ("ok", "not ok"),
]  # fmt: skip
#: nothing says which of them is meant
REFUSED = [
    (1, 2), ("1", "2"), (0, 2), ("A", "B"), ("class 1", "class 2"), ("agonist", "antagonist"),
    ("red", "blue"), ("R", "S"), ("wt", "mutant"), (3.0, 7.0), ("pass", "fail"), ("strong", "weak"),
    ("approved", "withdrawn"), ("died", "alive"), ("above", "below"), ("ja", "nein"), ("P", "N"),
    ("more active", "less active"), ("inhibits", "does not inhibit"), ("active", "active?"),
    ("Most-Concern", "No-Concern"), ("inhibitor", "activator"),
]  # fmt: skip


@pytest.mark.parametrize(("meant", "other"), UNDERSTOOD)
def test_known_words_say_which_class_is_meant(meant, other):
    for order in ([meant, other], [other, meant]):
        read = read_values(order * 10)
        assert read.task == "classification"
        assert read.values.tolist() == [float(label == meant) for label in order * 10]
        shown = meant.strip() if isinstance(meant, str) else meant
        assert read.classes[1] == shown


@pytest.mark.parametrize(("one", "other"), REFUSED)
def test_other_words_are_refused_until_the_class_is_named(one, other):
    for order in ([one, other], [other, one]):
        with pytest.raises(QsarError, match="positive="):
            read_values(order * 10)
        for meant in order:
            read = read_values(order * 10, positive=meant)
            assert read.values.tolist() == [float(label == meant) for label in order * 10]
            assert read.classes[1] == meant


@given(
    st.sampled_from([p for p in UNDERSTOOD if isinstance(p[0], str)]),
    st.sampled_from([str.upper, str.lower, str.title, str.strip]),
    st.sampled_from(["", " ", "\t", "  "]),
    st.lists(st.booleans(), min_size=2, max_size=12).filter(lambda t: len(set(t)) == 2),
    st.lists(st.sampled_from([None, math.nan, "", "n.d.", " NA "]), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_case_blanks_order_and_gaps_change_nothing(pair, case, blank, truth, gaps):
    words = [blank + case(pair[0] if yes else pair[1]) + blank for yes in truth]
    read = read_values(words + gaps)
    assert read.values[: len(truth)].tolist() == [float(yes) for yes in truth]
    assert np.isnan(read.values[len(truth) :]).all()
    assert read.reasons[len(truth) :] == ("no value",) * len(gaps)


def test_a_minus_of_a_word_processor_is_a_minus():
    read = read_values(["\u22121.5", "-2", "\u2212 3", ">\u22124", "5e\u22123"] * 5)
    assert read.values[[0, 1, 3, 4]].tolist() == [-1.5, -2.0, -4.0, 0.005]
    assert read.relations[3] == ">"


def test_what_is_said_of_classes_is_checked():
    with pytest.raises(
        QsarError, match=r"positive='activ' is no class of y\. Did you mean 'active'"
    ):
        read_values(["active", "inactive"], positive="activ")
    assert read_values(["active", "inactive"], positive="Inactive").classes[1] == "inactive"
    with pytest.raises(QsarError, match="has 3: 'active', 'inactive', 'weak'"):
        read_values(["active", "inactive", "weak"])
    with pytest.raises(QsarError, match="task is 'regression'"):
        read_values([1.5, 2.5, 3.5], task="regression", positive=1)
    with pytest.raises(QsarError, match="constant"):
        read_values(["active", " Active"])
    # two classes and cells without an answer are two classes
    assert read_values(["active", "inactive", "Inconclusive"]).classes == ("inactive", "active")
    # codes with three values are taken as amounts, and that is said
    assert "taken as amounts" in read_values([1, 2, 3] * 10).remarks[0]


@pytest.mark.parametrize(
    ("cell", "number", "relation"),
    [
        (5.2, 5.2, "="), ("5.2", 5.2, "="), (" 7 ", 7, "="), (">10000", 10_000, ">"),
        ("> 10 000", 10_000, ">"), (">=4", 4, ">"), ("≥ 4.5", 4.5, ">"), ("<0.1", 0.1, "<"),
        ("<= 1e-9", 1e-9, "<"), ("≤3", 3, "<"), ("~5", 5, "="), ("=6", 6, "="), ("0,12", 0.12, "="),
        ("<0,05", 0.05, "<"), ("1,234,567", 1_234_567, "="), ("1,234.5", 1_234.5, "="),
        ("1'234.5", 1_234.5, "="), ("-1.5E+3", -1_500, "="), ("3,14159", 3.14159, "="),
        ("1\u00a0234", 1234, "="), (np.float32(2.5), 2.5, "="), (np.int64(3), 3, "="),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(cell, number, relation):
    read = read_values([cell, 1.0, 2.0])
    assert read.task == "regression"
    assert read.values[0] == pytest.approx(number) and read.relations[0] == relation


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "no value"), (math.nan, "no value"), ("", "no value"), ("  ", "no value"),
        ("n.d.", "no value"), ("ND", "no value"), ("N/A", "no value"), ("-", "no value"),
        ("not determined", "no value"), ("#N/A", "no value"), ("5 uM", "'5 uM', not a number"),
        ("5.2 ± 0.3", "not a number"), ("3-5", "not a number"), ("inf", "y is inf"),
        ("1,234", "a decimal comma, or thousands"),
    ],
)  # fmt: skip
def test_cells_without_a_number_say_why(cell, reason):
    read = read_values([cell, 1.0, 2.0, 3.5])
    assert np.isnan(read.values[0]) and reason in read.reasons[0]
    assert read.values[1:].tolist() == [1.0, 2.0, 3.5]


def test_the_column_shows_what_its_commas_mean():
    assert read_values(["1,234", "5,6", "7"]).values.tolist() == [1.234, 5.6, 7]
    assert read_values(["1,234", "5,678.5", "7"]).values.tolist() == [1234, 5678.5, 7]
    both = read_values(["1,234", "5,6", "5,678.5"])
    assert np.isnan(both.values[0]) and both.values[1:].tolist() == [5.6, 5678.5]


def test_relations_of_a_column_beside():
    read = read_values([5, 6, 7, "8"], relation=[">", "=", "'<'", None])
    assert read.relations == (">", "=", "<", "=")
    read = read_values([5, "<6", 7.5], relation=["≈≈", ">", "="])
    assert "relation '≈≈'" in read.reasons[0] and "its relation is '>'" in read.reasons[1]
    with pytest.raises(QsarError, match="relation has 2 rows, y has 3"):
        read_values([5, 6, 7], relation=[">", "<"])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", ">", "<", ">=", "≤", "~", "= "]),
            st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 3)),
        ),
        min_size=3,
        max_size=20,
        unique_by=lambda pair: pair[1],
    )
)
@settings(max_examples=60, deadline=None)
def test_every_written_number_comes_back(cells):
    read = read_values([f"{sign}{value!r}" for sign, value in cells], task="regression")
    assert read.values.tolist() == [value for _, value in cells]
    wanted = [">" if ">" in s else "<" if s in ("<", "≤") else "=" for s, _ in cells]
    assert list(read.relations) == wanted


def test_numbers_among_words_are_not_guessed():
    with pytest.raises(QsarError, match="1 numbers and 2 texts such as 'weak'"):
        read_values([5.5, "weak", "strong"])
    read = read_values([5.5, 6.5, 7.5, "see note"])
    assert read.task == "regression" and "'see note', not a number" in read.reasons[3]
