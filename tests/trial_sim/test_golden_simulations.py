"""The reference values that are simulated, from fewer trials than the benchmark's 100,000.

`python -m benchmarks trial_agreement` is the same comparison at full size.
"""

import numpy as np
import pytest

from benchmarks.trial_sim.trial_agreement import REFERENCE_TRIALS, agreement, values
from trial_sim.numerics.monte_carlo import share

SIMULATED = {*REFERENCE_TRIALS, "mcse_power"}


@pytest.fixture(scope="module")
def rows():
    return agreement(20_000, seed=11)


@pytest.mark.parametrize("name", sorted(REFERENCE_TRIALS))
def test_value(name, rows):
    mine = [row for row in rows if row.reference == name]
    assert mine
    for row in mine:
        assert row.distance < 4, row


def test_every_printed_quantity_is_compared(rows):
    for name in REFERENCE_TRIALS:
        expected = values()[name]["expected"]
        numbers = (
            np.concatenate([np.ravel(value) for value in expected.values()])
            if isinstance(expected, dict)
            else np.ravel(expected)
        )
        compared = [row.expected for row in rows if row.reference == name]
        assert sorted(compared) == sorted(numbers.tolist()), name


def test_values_are_within_the_stated_tolerances(rows):
    power = {row.reference: row for row in rows if row.quantity == "power"}
    for name, row in power.items():
        tolerance = values()[name]["tolerance"]
        stated = tolerance["power"] if isinstance(tolerance, dict) else tolerance
        assert abs(row.ours - row.expected) <= stated


def test_mcse_of_power():
    entry = values()["mcse_power"]
    for p, n, expected in zip(
        entry["inputs"]["p"], entry["inputs"]["nsim"], entry["expected"], strict=True
    ):
        hits = np.arange(n) < round(p * n)
        assert share(hits).mcse == pytest.approx(expected, abs=entry["tolerance"])
