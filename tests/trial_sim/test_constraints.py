"""Constraints are a small language that is read, never executed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trial_sim.data.constraints import constraint_columns, holds

TABLE = pd.DataFrame(
    {"start": [0, 5, 9], "stop": [3, 5, 4], "sex": ["F", "M", "F"], "both": [3, 10, 13]}
)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("stop > start", [True, False, False]),
        ("stop >= start", [True, True, False]),
        ("start + stop == both", [True, True, True]),
        ("0 <= start < 6", [True, True, False]),
        ("sex == 'F' and stop > 3", [False, False, True]),
        ("not sex == 'F' or start / 3 > 2", [False, True, True]),
        ("-start <= 0", [True, True, True]),
    ],
)
def test_rules_mean_what_they_say(rule, expected) -> None:
    assert holds(TABLE, rule).tolist() == expected


def test_columns_of_a_rule() -> None:
    assert constraint_columns("stop > start + 1") == {"stop", "start"}


@pytest.mark.parametrize(
    "rule",
    [
        "__import__('os').system('true')",
        "start.__class__",
        "@np.sum(start)",
        "start[0] > 1",
        "[x for x in start]",
        "(lambda: 1)() > 0",
        "start",
        "stop >",
        "nodes >= 0",
        "sex > 3",
        "1 < 2",
        "",
    ],
)
def test_anything_else_is_refused_in_one_sentence(rule) -> None:
    with pytest.raises(ValueError, match="constraint"):
        holds(TABLE, rule)


@given(st.text(max_size=60))
def test_no_text_does_anything_but_answer_or_refuse(rule) -> None:
    try:
        answer = holds(TABLE, rule)
    except ValueError:
        return
    assert answer.dtype == np.bool_ and len(answer) == len(TABLE)
