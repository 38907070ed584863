"""What-if on who is sampled: ``where``, ``balance``, ``shift``, and constraints that always hold.

``where={"age": "> 65", "sex": "female", "nodes": (1, 3), "differ": [2, 3]}``: an expression with
<, <=, >, >=, ==, !=; one value; an interval (both ends in); a list of values.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.covariates.encoding import decode
from trial_sim.data.constraints import constraint_columns, holds
from trial_sim.data.schema import Column

OPERATORS = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
BATCH = 4096
MOST_DRAWS = 4_000_000  # bound of the search, so that it never hangs
NOBODY = 150_000  # after this many without one, nobody is taken to satisfy the conditions


def predicate(column: Column, rule: Any) -> Callable[[np.ndarray], np.ndarray]:
    """A rule on a column as a test of its codes (gaps never satisfy a rule).

    Raises:
        ValueError: a rule that cannot be read, or a value that is no level of the column.
    """
    if isinstance(rule, str) and (found := re.match(r"\s*(<=|>=|==|!=|<|>)\s*(.+?)\s*$", rule)):
        compare, value = OPERATORS[found.group(1)], code_of(column, found.group(2))
        return lambda codes: compare(codes, value) & ~np.isnan(codes)
    if isinstance(rule, tuple) and len(rule) == 2 and not column.discrete:
        low, high = code_of(column, rule[0]), code_of(column, rule[1])
        if low > high:
            raise ValueError(f"where {column.name!r}: the interval {rule!r} is empty")
        return lambda codes: (codes >= low) & (codes <= high)
    if isinstance(rule, list | tuple | set | frozenset):
        values = np.array([code_of(column, v) for v in rule])
        return lambda codes: np.isin(codes, values)
    value = code_of(column, rule)
    return lambda codes: codes == value


def code_of(column: Column, value: Any) -> float:
    """The code of a value or of its text."""
    if column.discrete:
        for k, level in enumerate(column.levels):
            if level == value or str(level) == str(value):
                return float(k)
        raise ValueError(
            f"column {column.name!r} has no level {value!r}{nearest(value, column.levels)}"
        )
    try:
        if column.kind == "date":
            return float(
                (pd.Timestamp(value).tz_localize(None) - pd.Timestamp(0)) / pd.Timedelta(days=1)
            )
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {column.name!r}: {value!r} is no {column.kind} value") from error


def predicates(
    columns: Sequence[Column], where: Mapping[str, Any] | None
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """`predicate` for every column that ``where`` names."""
    if where is not None and not isinstance(where, Mapping):
        raise ValueError(f"where must be a mapping from covariates to conditions, got {where!r}")
    known = {c.name: c for c in columns}
    out = {}
    for name, rule in (where or {}).items():
        if name not in known:
            raise ValueError(f"where names no covariate: {name!r}{nearest(name, list(known))}")
        out[name] = predicate(known[name], rule)
    return out


def sample_codes(
    generator: Any,
    n: int,
    rng: np.random.Generator,
    parameters: Any,
    where: Mapping[str, Any] | None = None,
    constraints: Sequence[str] = (),
) -> np.ndarray:
    """Codes (n, n_columns) of patients that satisfy ``where`` and the trial's constraints.

    Rows are drawn in growing batches with the conditions built into the draw, resampled by their
    importance weight, and checked; the search is bounded.

    Raises:
        ValueError: nobody satisfies the conditions, or too few in `MOST_DRAWS` rows.
    """
    allowed = predicates(generator.columns, where)
    if not allowed and not constraints:
        return generator.sample(n, rng, parameters)[0]
    kept: list[np.ndarray] = []
    found, drawn, size = 0, 0, max(2 * n, 256)
    while found < n and drawn < MOST_DRAWS:
        codes, weight = generator.sample(size, rng, parameters, allowed)
        drawn += size
        good = weight > 0
        for k, column in enumerate(generator.columns):
            if column.name in allowed:
                good &= allowed[column.name](codes[:, k])
        if constraints:
            good &= satisfied(decode(codes, generator.columns), constraints)
        if allowed and good.any():
            # rejection by weight: what is left is an exact draw from the conditional law
            good &= rng.random(size) * weight[good].max() < weight
        kept.append(codes[good])
        found += int(good.sum())
        size = min(max(2 * size, BATCH), 250_000)
        if found == 0 and drawn > NOBODY:
            break
    if found < n:
        rule = ", ".join([*(f"{k} {v}" for k, v in (where or {}).items()), *constraints])
        raise ValueError(
            f"where ({rule}) is satisfied by {found} of {drawn:,} patients drawn from this "
            f"generator; {n} were asked for"
        )
    return np.concatenate(kept)[:n]


def satisfied(table: pd.DataFrame, constraints: Sequence[str]) -> np.ndarray:
    """Mask (n,) of rows in which every constraint holds (gaps and absent columns pass)."""
    good = np.ones(len(table), dtype=bool)
    for rule in constraints:
        names = constraint_columns(rule)
        if not names <= set(table.columns):
            continue  # a rule on outcome columns: kept by the outcome model
        good &= holds(table, rule) | table[sorted(names)].isna().any(axis=1).to_numpy()
    return good


def balanced_counts(
    columns: Sequence[Column], balance: Mapping[str, Mapping[Any, float]], n: int
) -> list[tuple[dict[str, Any], int]]:
    """``balance`` as (where, count) pairs that add up to ``n``.

    Levels that are not named share what is left in their natural proportions. One column.

    Raises:
        ValueError: more than one column, an unknown level, shares below 0 or above 1 in total.
    """
    if len(balance) != 1:
        raise ValueError(f"balance takes one column at a time, received {list(balance)}")
    (name, shares), known = next(iter(balance.items())), {c.name: c for c in columns}
    if name not in known:
        raise ValueError(f"balance names no covariate: {name!r}{nearest(name, list(known))}")
    column = known[name]
    if not column.discrete:
        raise ValueError(f"balance needs a categorical column; {name!r} is {column.kind}")
    total = float(sum(shares.values()))
    if any(s < 0 for s in shares.values()) or total > 1 + 1e-9:
        raise ValueError(f"shares of balance {name!r} must lie in [0, 1] and add up to at most 1")
    parts, used = [], 0
    for level, share in shares.items():
        code_of(column, level)
        count = round(n * share)
        parts.append(({name: level}, count))
        used += count
    rest = [v for v in column.levels if str(v) not in {str(level) for level in shares}]
    if used < n and rest and total < 1 - 1e-9:
        parts.append(({name: rest}, n - used))
    elif parts:
        parts[0] = (parts[0][0], parts[0][1] + n - used)
    return parts


def shifted(
    codes: np.ndarray, columns: Sequence[Column], shift: Mapping[str, float] | None
) -> np.ndarray:
    """Add the shift to numeric columns, keeping whole numbers whole."""
    known = {c.name: k for k, c in enumerate(columns)}
    out = codes.copy()
    for name, by in (shift or {}).items():
        if name not in known:
            raise ValueError(f"shift names no covariate: {name!r}{nearest(name, list(known))}")
        column = columns[known[name]]
        if column.discrete:
            raise ValueError(
                f"shift needs a numeric column; {name!r} is {column.kind} (use balance)"
            )
        out[:, known[name]] += float(by)
    return out
