"""The measures of ``benchmarks.trial_sim.arm_holdouts`` on tables whose answer is known."""

import numpy as np
import pytest

from benchmarks.trial_sim.arm_holdouts import (
    add_pairs,
    conclusion,
    mean_interval,
    pair_area,
    verdict,
)
from trial_sim.auditing.compared.intervals import Interval


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def test_pairs_of_several_refits_give_the_area_over_all_of_them():
    g, n = rng(1), 40
    won, right, pairs = np.zeros((2, n, n)), 0.0, 0
    for _ in range(6):
        member = g.permutation(n) < 32
        score = np.round(g.normal(size=n) + 0.5 * member, 1)  # with ties
        add_pairs(won, member, score[member], score[~member])
        for a in score[member]:
            right += (a > score[~member]).sum() + 0.5 * (a == score[~member]).sum()
            pairs += (~member).sum()
    found = pair_area(won, rng(2))
    assert found.estimate == pytest.approx(right / pairs)
    assert found.lower < found.estimate < found.upper


def test_interval_of_the_area_is_over_patients_not_refits():
    """Refits without end cannot narrow it below what so few patients say."""
    g, n = rng(3), 30
    level = g.normal(size=n)  # each patient leaks as much in every refit
    widths = []
    for refits in (5, 80):
        won = np.zeros((2, n, n))
        for _ in range(refits):
            member = g.permutation(n) < 24
            score = level * member + 0.01 * g.normal(size=n)
            add_pairs(won, member, score[member], score[~member])
        found = pair_area(won, rng(4))
        widths.append(found.upper - found.lower)
    assert widths[1] > 0.1 and widths[1] > 0.3 * widths[0]


def test_verdicts_say_what_the_interval_leaves_open():
    assert verdict("privacy", Interval(0.51, 0.49, 0.53)) == "goal met"
    assert (
        verdict("privacy", Interval(0.53, 0.50, 0.56)) == "floor met, interval includes the floor"
    )
    assert verdict("privacy", Interval(0.58, 0.56, 0.60)) == "floor missed"
    assert verdict("utility", Interval(0.90, 0.80, 0.96)).startswith("floor missed, interval")
    assert verdict("utility", Interval(1.01, 0.97, 1.05)) == "goal met"
    assert verdict("propensity", Interval(0.60, 0.57, 0.63)) == "floor met"
    assert mean_interval([Interval(1, 0, 2), Interval(3, 2, 4)]) == (2, 1, 3)


def test_conclusion_names_where_a_floor_is_missed():
    import pandas as pd

    table = pd.DataFrame(
        {
            "trial": ["a", "b"],
            "endpoint": ["x", "y"],
            "verdict": ["goal met", "floor missed, interval includes the floor"],
        }
    )
    said = conclusion("privacy", table)
    assert "met in 1 (missed: b/y)" in said and "include the floor: 1" in said
