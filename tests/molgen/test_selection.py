"""Score and diversity together: sphere exclusion in the order of the scores."""

import pytest

from molgen.chem.diversity import select_diverse

SERIES = ["CCCCCCCCO", "CCCCCCCCCO", "c1ccncc1", "Cc1ccncc1", "OC(=O)CC#N"]


def test_likes_are_left_out_and_the_best_come_first():
    chosen = select_diverse(SERIES, [0.9, 0.8, 0.7, 0.95, 0.1], 5, max_similarity=0.35)
    assert chosen[0] == 3 and 0 in chosen
    assert 1 not in chosen  # nonanol is octanol over again
    assert select_diverse(SERIES, [0.9, 0.8, 0.7, 0.95, 0.1], 2, max_similarity=1.0) == [3, 0]


def test_ties_keep_the_order_and_identical_molecules_are_one():
    assert select_diverse(["CCO", "OCC", "C#N"], [0.5, 0.5, 0.5], 3, 0.9) == [0, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["C"], [0.1, 0.2], 1), "1 molecules, scores has 2"),
        ((["C"], [0.1], 0), "at least 1"),
        ((["C"], [0.1], 1, 1.5), "between 0 and 1"),
        ((["C1CC"], [0.1], 1), "C1CC"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        select_diverse(*arguments)
