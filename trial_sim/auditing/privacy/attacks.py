"""Attacks on single records: singling out, linkability, attribute inference, near copies.

Each attack takes a *source* table (what was published: synthetic records, or for the control real
records that stand in for an honest independent sample) and a *target* table (the people attacked),
and returns successes and attempts. With ``itself=True`` the source is the target and no record may
be attacked with its own row. Definitions follow anonymeter (Giomi et al. 2023); where its code
has a fault ours differs, as each docstring says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trial_sim.auditing.compared.tables import MixedTable, Schema, gower

RELATIVE_TOLERANCE = 0.05


class Attack(NamedTuple):
    """Successes among attempts."""

    successes: float
    attempts: float


def _matches(schema: Schema, table: MixedTable, column: int, op: str, value: float) -> np.ndarray:
    """(n,) boolean: the rows that satisfy one predicate."""
    p = len(schema.numeric)
    if column >= p:
        return table.codes[:, column - p] == value
    x = table.numeric[:, column]
    if op == "missing":
        return np.isnan(x)
    with np.errstate(invalid="ignore"):
        return x <= value if op == "<=" else x >= value if op == ">=" else x == value


def singling_out_univariate(schema: Schema, source: MixedTable, target: MixedTable) -> Attack:
    """Predicates on one column that single out one source row: do they single out a target?

    Predicates: missing (where exactly one row is), at most the minimum, at least the maximum,
    equal to a value that occurs once. All of them are tried.
    """
    p = len(schema.numeric)
    predicates: list[tuple[int, str, float]] = []
    for j in range(p):
        x = source.numeric[:, j]
        values, counts = np.unique(x[~np.isnan(x)], return_counts=True)
        if np.isnan(x).sum() == 1:
            predicates.append((j, "missing", np.nan))
        if len(values):
            predicates += [(j, "<=", values[0]), (j, ">=", values[-1])]
        predicates += [(j, "==", v) for v in values[counts == 1]]
    for j in range(len(schema.categorical)):
        values, counts = np.unique(source.codes[:, j], return_counts=True)
        predicates += [(p + j, "==", v) for v in values[counts == 1]]
    successes = attempts = 0
    for predicate in predicates:
        if _matches(schema, source, *predicate).sum() == 1:
            attempts += 1
            successes += int(_matches(schema, target, *predicate).sum() == 1)
    return Attack(successes, attempts)


def singling_out_multivariate(
    schema: Schema,
    source: MixedTable,
    target: MixedTable,
    rng: np.random.Generator,
    attempts: int = 500,
    columns: int = 3,
) -> Attack:
    """Random conjunctions read off a source row: do those unique there single out a target?

    A random row and ``columns`` random columns; a number gives ``>=`` where it lies above the
    source's median and ``<=`` otherwise, a category gives equality. Twenty candidates are drawn for
    each attempt wanted, and the predicates that match one source row are kept.
    """
    p, width = len(schema.numeric), len(schema.columns)
    columns = min(columns, width)
    # one attack a record at most: repeated attacks on few records are not independent
    attempts = min(attempts, len(source), len(target))
    if columns == 0 or len(source) == 0:
        return Attack(0, 0)
    medians = np.array(
        [np.median(x[~np.isnan(x)]) if (~np.isnan(x)).any() else 0.0 for x in source.numeric.T]
    )
    successes = made = 0
    for _ in range(20 * attempts):
        if made == attempts:
            break
        row = int(rng.integers(len(source)))
        chosen = rng.choice(width, size=columns, replace=False)
        in_source = np.ones(len(source), dtype=bool)
        in_target = np.ones(len(target), dtype=bool)
        for j in chosen:
            if j >= p:
                op, value = "==", float(source.codes[row, j - p])
            else:
                value = source.numeric[row, j]
                op = "missing" if np.isnan(value) else ">=" if value > medians[j] else "<="
            in_source &= _matches(schema, source, j, op, value)
            if in_source.sum() < 1:
                break
            in_target &= _matches(schema, target, j, op, value)
        if in_source.sum() == 1:
            made += 1
            successes += int(in_target.sum() == 1)
    return Attack(successes, made)


def _nearest(distance: np.ndarray, rng: np.random.Generator, k: int = 1) -> np.ndarray:
    """(n, k) columns of the nearest, ties broken at random (never by file order)."""
    jitter = rng.random(distance.shape, dtype=np.float32) * np.float32(1e-6)
    jittered = distance + jitter
    if k == 1:
        return jittered.argmin(axis=1)[:, None]
    return np.argpartition(jittered, k - 1, axis=1)[:, :k]


def linkability(
    schema: Schema,
    source: MixedTable,
    target: MixedTable,
    rng: np.random.Generator,
    *,
    itself: bool = False,
    k: int = 1,
) -> Attack:
    """Two halves of a record's columns: do their nearest source rows coincide?

    The columns are dealt alternately into two sets. Missing against missing is distance 0 (in
    anonymeter 1), and no attack is drawn with replacement, so that any number of targets will do.
    """
    names = schema.columns
    if len(names) < 2 or len(source) <= k:
        return Attack(0, 0)
    found = []
    for half in (names[::2], names[1::2]):
        part = schema.select(half)
        distance = gower(target.columns(schema, part), source.columns(schema, part), part.ranges)
        if itself:
            np.fill_diagonal(distance, np.inf)
        found.append(_nearest(distance, rng, k))
    shared = (found[0][:, :, None] == found[1][:, None, :]).any(axis=(1, 2))
    return Attack(int(shared.sum()), len(target))


def tolerance(guess: np.ndarray, width: float) -> np.ndarray:
    """How near a numeric guess must come to count as right.

    5 % of the absolute guess, but no less than .5 % and no more than 5 % of the column's range.
    anonymeter divides by the signed guess, so that every negative guess counts as a success.
    """
    return RELATIVE_TOLERANCE * np.clip(np.abs(guess), 0.1 * width, width)


def guessed(schema: Schema, column: int, guess: MixedTable, truth: MixedTable) -> np.ndarray:
    """(n,) boolean: guesses of one column that are right; missing is right for missing."""
    p = len(schema.numeric)
    if column >= p:
        return np.asarray(guess.codes[:, column - p] == truth.codes[:, column - p])
    g, t = guess.numeric[:, column], truth.numeric[:, column]
    with np.errstate(invalid="ignore"):
        near = np.abs(g - t) <= tolerance(g, float(schema.ranges[column]))
    return np.asarray(near | (np.isnan(g) & np.isnan(t)))


def attribute_inference(
    schema: Schema,
    source: MixedTable,
    target: MixedTable,
    rng: np.random.Generator,
    *,
    itself: bool = False,
) -> dict[str, Attack]:
    """Guess each column from the nearest source row on all the others.

    Returns:
        One attack a column. Controls must come from the same function on records that the source
        does not hold.
    """
    if len(schema.columns) < 2 or len(source) < 2:
        return {}
    width = len(schema.columns)
    total = gower(target, source, schema.ranges) * width
    out = {}
    for j, name in enumerate(schema.columns):
        single = schema.select((name,))
        others = total - gower(
            target.columns(schema, single), source.columns(schema, single), single.ranges
        )
        if itself:
            np.fill_diagonal(others, np.inf)
        nearest = _nearest(others, rng)[:, 0]
        right = guessed(schema, j, source.rows(nearest), target)
        out[name] = Attack(int(right.sum()), len(target))
    return out


def identical(
    schema: Schema,
    source: MixedTable,
    target: MixedTable,
    *,
    itself: bool = False,
    relative: float = 0.01,
) -> np.ndarray:
    """(n_source,) boolean: source rows that match a target row in every column.

    Numbers match within 1 % of the source's value, missing matches missing.
    """
    same: np.ndarray = np.ones((len(source), len(target)), dtype=bool)
    for j in range(len(schema.numeric)):
        a, b = source.numeric[:, j][:, None], target.numeric[:, j][None, :]
        with np.errstate(invalid="ignore"):
            near = np.abs(a - b) <= relative * np.abs(a) + 1e-12
        same &= near | (np.isnan(a) & np.isnan(b))
    for j in range(len(schema.categorical)):
        same &= source.codes[:, j][:, None] == target.codes[:, j][None, :]
    if itself:
        np.fill_diagonal(same, False)
    return np.asarray(same.any(axis=1))
