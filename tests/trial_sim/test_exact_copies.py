"""Exact copies: chance is estimated as it is, and one copy in a hundred is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.auditing.compared.comparison import compare
from trial_sim.auditing.compared.exposure import exposure
from trial_sim.auditing.compared.tables import MixedTable
from trial_sim.auditing.privacy.exact_copies import by_chance, exact_copies, matches


def halves(trial: ts.Trial, seed: int) -> tuple[ts.Trial, ts.Trial]:
    order = np.random.default_rng(seed).permutation(trial.n_patients)
    table = trial.patients.iloc[order].reset_index(drop=True)
    cut = len(table) // 2
    first, second = table[:cut], table[cut:].reset_index(drop=True)
    return replace(trial, patients=first), replace(trial, patients=second)


def lines(real: ts.Trial, made: ts.Trial):
    return exact_copies(exposure(compare(real, made, None, None, 0)))


@pytest.mark.parametrize("levels", [(2, 3), (2, 2, 5, 40), (3, 4, 6, 9, 200)])
def test_chance_is_what_independent_rows_give(levels) -> None:
    rng = np.random.default_rng(1)

    def drawn(n: int) -> MixedTable:
        codes = np.column_stack([rng.integers(k, size=n) for k in levels[:-1]])
        number = rng.integers(levels[-1], size=n) + 10.0 * codes[:, 0]  # the columns go together
        return MixedTable(number[:, None], codes)

    real = drawn(300)
    found = np.mean([matches(drawn(300), real) for _ in range(40)])
    expected = by_chance(real, 300)
    assert found / 1.3 - 0.1 <= expected <= 6 * found + 0.5


@pytest.mark.parametrize("name", ["colon", "gbsg2", "pbc"])
@pytest.mark.parametrize("kind", ["as they are", "32-bit", "shuffled"])
def test_one_copy_in_a_hundred_is_seen_and_an_honest_half_is_not(name, kind) -> None:
    real, honest = halves(ts.load_trial(name), 3)
    assert lines(real, honest).verdict == "green"
    n = max(round(0.01 * honest.n_patients), 1)
    copied = pd.concat([real.patients[:n], honest.patients[n:]], ignore_index=True)
    if kind == "32-bit":
        floats = copied.select_dtypes("float").columns
        copied[floats] = copied[floats].astype("float32")
    elif kind == "shuffled":
        copied = copied.sample(frac=1, random_state=1).reset_index(drop=True)
    assert lines(real, replace(honest, patients=copied)).verdict == "red"


def test_few_coarse_columns_coincide_without_a_copy() -> None:
    real, honest = halves(ts.load_trial("indo_rct"), 0)
    line = lines(real, honest)
    assert line.verdict == "green" and line.interval.estimate > 0.03
    assert "chance would give about" in line.reading
