"""Find what columns say of each other: determined columns, combinations that never occur, order."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import gammaln

from trial_sim.covariates.encoding import told_columns
from trial_sim.covariates.relations import (
    Combined,
    Determined,
    Difference,
    Fitting,
    Relations,
    same_codes,
)
from trial_sim.data.constraints import parse
from trial_sim.data.schema import Column, decimals, grid_step
from trial_sim.numerics.told import roundest

BY_CHANCE = 1e-6  # probability below which a relation is no chance finding


FEW_LEVELS = 12  # levels up to which columns are searched for combinations that never occur


MOST_COMBINATIONS = 40  # of levels that one column stands for


EXPECTED = 9.0  # patients, and the logarithm of the cells searched, that chance would put in a cell


def find_relations(
    codes: np.ndarray, columns: Sequence[Column], constraints: Sequence[str] = ()
) -> Relations:
    """The relations of a table of ``codes`` (n, n_columns), and those that constraints state."""
    determined = determined_columns(codes, columns)
    by_number = {d.target: d.source for d in determined if not columns[d.source].discrete}
    follows = {d.target for d in determined}
    free = [k for k in range(len(columns)) if k not in follows or k in by_number]
    combined = [
        Combined(tuple(group), np.unique(codes[:, group], axis=0))
        for group in combinations(codes, columns, free, by_number)
    ]
    joined = {m for c in combined for m in c.members}
    free = [k for k in free if k not in follows or k in joined]
    drawn = [d for d in determined if d.target in joined]
    determined = [d for d in determined if d.target not in joined]
    fitting = []
    for source in dict.fromkeys(d.source for d in drawn):
        rules = [d for d in drawn if d.source == source]
        targets = tuple(d.target for d in rules)
        seen = ~np.isnan(codes[:, source])
        part = codes[np.ix_(seen, list(targets))]
        fitting.append(Fitting.of(source, targets, codes[seen, source], part, columns[source]))
    kept = tuple(k for k in free if k not in joined)
    differences = stated_differences(codes, columns, constraints, kept)
    base = {d.target: d.base for d in differences}
    inner = [
        difference_column(columns[k], codes[:, k] - codes[:, base[k]]) if k in base else columns[k]
        for k in kept
    ]
    for c in combined:
        name = " and ".join(columns[m].name for m in c.members)
        inner.append(Column(name, "categorical", tuple(range(len(c.codes))), dtype="int64"))
    return Relations(
        tuple(columns),
        kept,
        tuple(determined),
        tuple(combined),
        tuple(differences),
        tuple(fitting),
        tuple(inner),
    )


def determined_columns(codes: np.ndarray, columns: Sequence[Column]) -> list[Determined]:
    """Columns with levels that another column determines, beyond what chance would do."""
    out: list[Determined] = []
    follows: set[int] = set()
    n_levels = [len(np.unique(codes[~np.isnan(codes[:, k]), k])) for k in range(len(columns))]
    for target in range(
        len(columns) - 1, -1, -1
    ):  # of two that determine each other the first stays
        coded = columns[target].discrete or n_levels[target] <= FEW_LEVELS  # 1, 2, 3 of strata
        if not coded or n_levels[target] < 2:
            continue
        # numbers first: what else a number determines is then kept, too
        for source in sorted(range(len(columns)), key=lambda k: columns[k].discrete):
            wide = n_levels[source] > n_levels[target] or (
                n_levels[source] == n_levels[target] and source < target
            )
            if source == target or source in follows or (not wide and columns[source].discrete):
                continue
            found = determined(codes, columns, target, source)
            if found is not None and all(d.source != target for d in out):
                out.append(found)
                follows.add(target)
                break
    return out


def determined(
    codes: np.ndarray, columns: Sequence[Column], target: int, source: int
) -> Determined | None:
    """The rule by which ``source`` determines ``target``, or None."""
    x, y = codes[:, source], codes[:, target]
    gap = np.isnan(x)
    here = y[gap]
    at_gap = here[0] if len(here) else np.nan
    if not same_codes(here, np.full(len(here), at_gap)).all():
        return None
    if np.isnan(y[~gap]).any():
        return None
    values, place = np.unique(x[~gap], return_inverse=True)
    low, high = np.full(len(values), np.inf), np.full(len(values), -np.inf)
    np.minimum.at(low, place, y[~gap])
    np.maximum.at(high, place, y[~gap])
    if (low != high).any():
        return None
    levels, counts = np.unique(np.where(np.isnan(y), -1.0, y), return_counts=True)
    n = len(y)
    if columns[source].discrete or len(values) <= len(levels):
        sizes = np.append(np.bincount(place, minlength=len(values)), gap.sum())
        share = counts / n
        chance = np.log((share[None, :] ** sizes[sizes > 0, None]).sum(axis=1)).sum()
    else:
        runs = 1 + int((np.diff(low) != 0).sum())
        if runs > len(levels):
            return None
        # orders of the levels among all arrangements of the patients
        chance = gammaln(len(levels) + 1) - (gammaln(n + 1) - gammaln(counts + 1).sum())
        ties = np.bincount(place)
        chance += float(np.log(ties).max(initial=0.0))
    if chance > np.log(BY_CHANCE):
        return None
    change = np.flatnonzero(low[1:] != low[:-1]) + 1
    cuts = np.array([roundest(values[k - 1], values[k]) for k in change])
    results = low[np.r_[0, change]] if len(low) else low
    return Determined(target, source, cuts, results, float(at_gap))


def combinations(
    codes: np.ndarray,
    columns: Sequence[Column],
    free: Sequence[int],
    by_number: Mapping[int, int],
) -> list[list[int]]:
    """Groups of columns with combinations of levels that never occur and chance would make.

    ``by_number`` gives the number that determines a column; columns of one number exclude levels
    of one another anyhow.
    """
    few = [k for k in free if columns[k].discrete and 2 <= len(columns[k].levels) <= FEW_LEVELS]
    n = len(codes)
    member = {}
    for k in few:
        filled = np.where(np.isnan(codes[:, k]), len(columns[k].levels), codes[:, k]).astype(int)
        member[k] = np.eye(len(columns[k].levels) + 1)[filled]
    pairs = [
        (a, b)
        for i, a in enumerate(few)
        for b in few[i + 1 :]
        if a not in by_number or by_number[a] != by_number.get(b)
    ]
    cells = sum(member[a].shape[1] * member[b].shape[1] for a, b in pairs)
    found = []
    for a, b in pairs:
        seen = member[a].T @ member[b]
        expected = np.outer(member[a].sum(axis=0), member[b].sum(axis=0)) / n
        never = expected[seen == 0]
        if never.max(initial=0.0) >= EXPECTED + np.log(cells):
            found.append((float(never.max()), a, b))
    group = {k: [k] for k in few}
    for _, a, b in sorted(found, reverse=True):
        both = sorted({*group[a], *group[b]})
        if len(np.unique(codes[:, both], axis=0)) <= MOST_COMBINATIONS:
            for k in both:
                group[k] = both
    return [g for k, g in group.items() if len(g) > 1 and g[0] == k]


def stated_differences(
    codes: np.ndarray, columns: Sequence[Column], constraints: Sequence[str], kept: Sequence[int]
) -> list[Difference]:
    """Differences of two numbers or dates whose order a constraint states, bases first."""
    place = {columns[k].name: k for k in kept if not columns[k].discrete}
    base: dict[int, int] = {}
    for less, more in [pair for rule in constraints for pair in ordered_pairs(rule)]:
        if less not in place or more not in place:
            continue
        a, b = place[less], place[more]
        if (columns[a].kind == "date") != (columns[b].kind == "date"):
            continue
        gaps = np.isnan(codes)
        for target, source in ((b, a), (a, b)):
            above, at = [source], source
            while at in base:
                at = base[at]
                above.append(at)
            # a value without the other would be lost with their difference
            if target in base or target in above or (gaps[:, source] & ~gaps[:, target]).any():
                continue
            base[target] = source
            break
    order: list[int] = []
    while len(order) < len(base):
        order += [t for t, s in base.items() if t not in order and (s not in base or s in order)]
    return [Difference(t, base[t]) for t in order]


def ordered_pairs(rule: str) -> list[tuple[str, str]]:
    """(less, more) of each comparison of two columns that must hold for the rule to hold."""
    parts = [parse(rule)]
    pairs: list[tuple[str, str]] = []
    while parts:
        node = parts.pop()
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            parts += node.values
        if not isinstance(node, ast.Compare):
            continue
        for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators):
            if isinstance(left, ast.Name) and isinstance(right, ast.Name):
                if isinstance(op, ast.Lt | ast.LtE):
                    pairs.append((left.id, right.id))
                elif isinstance(op, ast.Gt | ast.GtE):
                    pairs.append((right.id, left.id))
    return pairs


def difference_column(column: Column, values: np.ndarray) -> Column:
    """The column that holds the differences (n,) in place of the numbers."""
    seen = values[~np.isnan(values)]
    if column.kind == "numeric":
        digits = decimals(seen)
    else:
        digits = 0
    kind = "integer" if column.kind == "date" and column.step is None else column.kind
    if column.kind == "date" and column.step is not None:
        kind, digits = "numeric", decimals(seen)
    found = replace(
        column,
        kind=kind,
        lower=float(seen.min()) if len(seen) else None,
        upper=float(seen.max()) if len(seen) else None,
        missing=bool(np.isnan(values).any()),
        dtype="float64",
        decimals=digits,
        step=grid_step(seen, 10.0**-digits),
    )
    return told_columns(values[:, None], [found])[0]
