"""Records that equal a patient's in every column: how many are there, how many would chance give?

Two patients who agree in ten columns, one of them a time in days, are so rare that a single copied
record in a hundred can be told. How rare is estimated from the real patients: pairs that agree are
counted column by column, the coarsest first, and where no pairs are left to count, three times the
share of pairs that agree in the next column by itself stands in (columns go together, so that its
share alone would be too few).
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from trial_sim.auditing.compared.exposure import Exposure
from trial_sim.auditing.compared.intervals import wilson
from trial_sim.auditing.compared.measure import Measure
from trial_sim.auditing.compared.tables import MixedTable

AMBER, RED = 0.975, 0.9995  # what chance exceeds once in forty, and once in two thousand audits
_SAFETY = 3.0


def exact_copies(tables: Exposure) -> Measure:
    """The share of synthetic records that equal a real one in every column, exactly."""
    n = len(tables.synthetic)
    found, expected = matches(tables.synthetic, tables.members), by_chance(tables.members, n)
    if tables.others is not None:
        unseen = matches(tables.others, tables.members)
        expected = max(expected, unseen * n / max(len(tables.others), 1))
    amber, red = limits(expected)
    return Measure(
        "exact copies",
        "all columns",
        wilson(found, n),
        f"{found} of {n} synthetic records equal a real patient's in every column; chance would "
        f"give about {expected:.2g}, and more than {amber:.0f} once in forty audits, more than "
        f"{red:.0f} once in two thousand.",
        amber / n,
        "low",
        expected / n,
        red / n,
    )


def limits(expected: float) -> tuple[float, float]:
    """The most copies that chance gives in all but one of forty, and of two thousand, audits."""
    return float(stats.poisson.ppf(AMBER, expected)), float(stats.poisson.ppf(RED, expected))


def matches(source: MixedTable, target: MixedTable) -> int:
    """How many rows of ``source`` equal one of ``target`` in every column."""
    stacked = MixedTable(*(np.vstack(pair) for pair in zip(_parts(target), _parts(source))))
    codes = _codes(stacked)
    held = {row.tobytes() for row in codes[: len(target)]}
    return sum(row.tobytes() in held for row in codes[len(target) :])


def by_chance(real: MixedTable, n: int) -> float:
    """How many of ``n`` rows from the population of ``real`` equal one of its patients."""
    return n * min(1.0, len(real) * chance_of_a_pair(_codes(real)))


def chance_of_a_pair(codes: np.ndarray) -> float:
    """Chance that two different rows of (n, p) integer codes agree in every column."""
    n = len(codes)
    pairs = n * (n - 1) / 2
    if not pairs:
        return 1.0
    alone = np.array([_agreeing(np.unique(column, return_counts=True)[1]) for column in codes.T])
    alone = np.maximum(alone, _SAFETY) / pairs
    chance, left = 1.0, pairs
    group = np.zeros(n, dtype=np.int64)
    for j in np.argsort(-alone):
        joined = np.stack([group, codes[:, j]])
        _, group, counts = np.unique(joined, axis=1, return_inverse=True, return_counts=True)
        agree = _agreeing(counts)
        by_itself = min(1.0, _SAFETY * alone[j])
        if left:
            by_itself = min((agree + _SAFETY) / left, max(agree / left, by_itself), 1.0)
        chance *= by_itself
        left = agree
    return chance


def _agreeing(counts: np.ndarray) -> float:
    """Pairs within groups of these sizes."""
    return float((counts * (counts - 1.0) / 2).sum())


def _parts(table: MixedTable) -> tuple[np.ndarray, np.ndarray]:
    return table.numeric, table.codes


def _codes(table: MixedTable) -> np.ndarray:
    """(n, p) int64: numbers alike to seven digits have one code, missing ones one of their own.

    A copy that went through a file of 32-bit floats is a copy.
    """
    numbers = np.nan_to_num(table.numeric.astype(np.float32), nan=np.inf)
    columns = [np.unique(column, return_inverse=True)[1] for column in numbers.T]
    return np.column_stack([*columns, *table.codes.T]).astype(np.int64)
