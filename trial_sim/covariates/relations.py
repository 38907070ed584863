"""Relations between columns that hold in every patient, found in the data and kept.

Three kinds: a column that another determines (a stratum that is a cut of a number, a recoding, a
flag of a count), combinations of levels that never occur though chance would make many, and the
order of two numbers that a constraint states. A generator sees none of them: it is fitted to a
table without the determined columns, with one column in place of several levels that exclude one
another, and with the difference in place of the greater number; what it draws is turned back.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import gammaln

from trial_sim.base.storage import storable
from trial_sim.covariates.encoding import told, told_columns
from trial_sim.data.constraints import parse
from trial_sim.data.schema import Column, decimals, grid_step
from trial_sim.numerics.told import TOGETHER, roundest

BY_CHANCE = 1e-6  # probability below which a relation is no chance finding
FEW_LEVELS = 12  # levels up to which columns are searched for combinations that never occur
MOST_COMBINATIONS = 40  # of levels that one column stands for
EXPECTED = 9.0  # patients, and the logarithm of the cells searched, that chance would put in a cell

Allowed = Mapping[str, Callable[[np.ndarray], np.ndarray]]


@storable
@dataclass(frozen=True)
class Determined:
    """Column ``target`` follows from column ``source``.

    Attributes:
        cuts: (m - 1,) rising source codes; results: (m,) the target's code up to the first cut,
            to the second, and so on. at_gap: the target's code where the source is a gap.
    """

    target: int
    source: int
    cuts: np.ndarray
    results: np.ndarray
    at_gap: float

    def of(self, source: np.ndarray) -> np.ndarray:
        """The target's codes (n,) for source codes (n,)."""
        if not len(self.results):
            return np.full(len(source), self.at_gap)
        place = np.searchsorted(self.cuts, np.nan_to_num(source, nan=-np.inf), side="left")
        return np.where(np.isnan(source), self.at_gap, self.results[place])


@storable
@dataclass(frozen=True)
class Combined:
    """Columns ``members`` (k,) drawn as one; ``codes`` (m, k) are the combinations seen."""

    members: tuple[int, ...]
    codes: np.ndarray


@storable
@dataclass(frozen=True)
class Fitting:
    """Numbers of column ``source`` that go with the levels of columns that it determines.

    Of those columns some combinations with others never occur, so that they are drawn, and the
    number moved to where it fits.

    Attributes:
        targets: (k,) columns. cuts: (r - 1,) rising numbers; results: (r, k) codes of the targets
            up to the first, to the second, and so on. values, counts: (m,) numbers that may be
            told, and their patients; run: (m,) between which cuts they lie.
    """

    source: int
    targets: tuple[int, ...]
    cuts: np.ndarray
    results: np.ndarray
    values: np.ndarray
    counts: np.ndarray
    run: np.ndarray

    @classmethod
    def of(
        cls, source: int, targets: tuple[int, ...], x: np.ndarray, table: np.ndarray, column: Column
    ) -> Fitting:
        """From the numbers x (n,) without gaps and the codes (n, k) of the targets."""
        order = np.argsort(x, kind="stable")
        x, table = x[order], table[order]
        change = np.flatnonzero((~_same(table[1:], table[:-1])).any(axis=1)) + 1
        cuts = np.array([roundest(x[k - 1], x[k]) for k in change])
        values, counts, run = [], [], []
        for r, rows in enumerate(np.split(np.arange(len(x)), change)):
            support, _ = told(x[rows], column)
            if len(rows) < TOGETHER:  # a place of the run, whoever is in it
                ends = [cuts[r - 1]] if r else []
                ends += [cuts[r]] if r < len(cuts) else []
                aside = column.step or 10.0**-column.decimals
                away = -aside if not r else aside if r == len(cuts) else 0.0
                support = np.array([[np.mean(ends or [support[:, 0].mean()]) + away, len(rows), 0]])
            values += support[:, 0].tolist()
            counts += support[:, 1].tolist()
            run += [r] * len(support)
        first = np.r_[0, change]
        return cls(
            source, targets, cuts, table[first], np.array(values), np.array(counts), np.array(run)
        )

    def moved(self, codes: np.ndarray) -> np.ndarray:
        """(n,) numbers of the table ``codes`` (n, n_columns): those that do not fit their levels
        at the same rank among those that do."""
        x, levels = codes[:, self.source].copy(), codes[:, list(self.targets)]
        upto = np.cumsum(self.counts) / self.counts.sum()
        rank = upto[np.clip(np.searchsorted(self.values, x), 0, len(upto) - 1)]
        spread = np.mod((np.arange(len(x)) + 0.5) * 0.618034, 1.0)
        rank = np.where(np.isnan(x), spread, rank)
        now = self.results[np.searchsorted(self.cuts, np.nan_to_num(x, nan=-np.inf))]
        wrong = ~_same(now, levels).all(axis=1) | np.isnan(x)
        for level in np.unique(levels[wrong], axis=0):
            rows = wrong & _same(levels, level).all(axis=1)
            fits = np.asarray(_same(self.results, level).all(axis=1))[self.run]
            if not fits.any():
                x[rows] = np.nan
                continue
            share = np.cumsum(self.counts[fits]) / self.counts[fits].sum()
            if len(np.unique(self.run[fits])) == 1:  # on a line through the told values
                middle = share - self.counts[fits] / self.counts[fits].sum() / 2
                x[rows] = np.interp(rank[rows], middle, self.values[fits])
                continue
            place = np.minimum(np.searchsorted(share, rank[rows]), fits.sum() - 1)
            x[rows] = self.values[fits][place]
        return x


@storable
@dataclass(frozen=True)
class Difference:
    """Column ``target`` is column ``base`` plus a difference of one sign."""

    target: int
    base: int


@storable
@dataclass(frozen=True)
class Relations:
    """What was found in a table, and how to leave it out and put it back.

    Attributes:
        columns: of the table. kept: columns that the generator sees as they are. determined,
            combined, differences, fitting: the relations. inner: what the generator sees.
    """

    columns: tuple[Column, ...]
    kept: tuple[int, ...]
    determined: tuple[Determined, ...]
    combined: tuple[Combined, ...]
    differences: tuple[Difference, ...]
    fitting: tuple[Fitting, ...]
    inner: tuple[Column, ...]

    @property
    def found(self) -> bool:
        """Whether there is a relation at all."""
        return bool(self.determined or self.combined or self.differences)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on each relation."""
        name = [c.name for c in self.columns]
        return (
            *(f"{name[d.target]!r} follows from {name[d.source]!r}" for d in self.determined),
            *(
                f"{name[t]!r} follows from {name[f.source]!r}"
                for f in self.fitting
                for t in f.targets
            ),
            *(
                f"some combinations of {', '.join(repr(name[m]) for m in c.members)} never occur: "
                "they are drawn together"
                for c in self.combined
            ),
            *(
                f"{name[d.target]!r} is drawn as its difference from {name[d.base]!r}"
                for d in self.differences
            ),
        )

    def inwards(self, codes: np.ndarray) -> np.ndarray:
        """The table that the generator is fitted to, of ``codes`` (n, n_columns)."""
        base = {d.target: d.base for d in self.differences}
        out = [codes[:, k] - codes[:, base[k]] if k in base else codes[:, k] for k in self.kept]
        for c in self.combined:
            same = _same(codes[:, None, list(c.members)], c.codes[None]).all(axis=2)
            out.append(same.argmax(axis=1).astype(float))
        return np.column_stack(out)

    def outwards(self, inner: np.ndarray, fit: bool = True) -> np.ndarray:
        """Codes (n, n_columns) of what was drawn; ``fit`` moves numbers to their levels."""
        out = np.full((len(inner), len(self.columns)), np.nan)
        out[:, list(self.kept)] = inner[:, : len(self.kept)]
        for j, c in enumerate(self.combined, start=len(self.kept)):
            out[:, list(c.members)] = c.codes[inner[:, j].astype(int)]
        for d in self.differences:
            column, gap = self.columns[d.target], self.inner[self.kept.index(d.target)]
            sums = np.clip(out[:, d.base] + out[:, d.target], column.lower, column.upper)
            # where bases lie that far out that only patients with a gap had them, the difference
            # stays in its range and the number leaves its own
            out[:, d.target] = np.clip(
                sums, out[:, d.base] + (gap.lower or 0.0), out[:, d.base] + (gap.upper or 0.0)
            )
        for f in self.fitting if fit else ():
            drawn = out[:, f.source].copy()
            moved = f.moved(out)
            rounded = self.columns[f.source].rounded(moved)
            inside = np.searchsorted(f.cuts, rounded) == np.searchsorted(f.cuts, moved)
            rounded = np.where(inside, rounded, moved)
            out[:, f.source] = np.where(moved == drawn, drawn, rounded)
        for rule in self.determined:
            out[:, rule.target] = rule.of(out[:, rule.source])
        return out

    def allowed_inside(self, allowed: Allowed) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Conditions on columns as conditions on what the generator draws, as far as one of its
        columns decides them; the others are left to a check of the rows."""
        moved = {k for d in self.differences for k in (d.target,)}
        out: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
        for j, column in enumerate(self.inner):
            of = (
                (self.kept[j],) if j < len(self.kept) else self.combined[j - len(self.kept)].members
            )
            decided = {*of} - moved
            for d in self.determined:
                if d.source in decided:
                    decided.add(d.target)
            names = [self.columns[k].name for k in decided if self.columns[k].name in allowed]
            if names:
                out[column.name] = self._test(j, names, allowed)
        return out

    def _test(
        self, place: int, names: Sequence[str], allowed: Allowed
    ) -> Callable[[np.ndarray], np.ndarray]:
        where = {c.name: k for k, c in enumerate(self.columns)}

        def passes(codes: np.ndarray) -> np.ndarray:
            inner = np.full((len(codes), len(self.inner)), np.nan)
            inner[:, len(self.kept) :] = 0
            inner[:, place] = codes
            gap = np.isnan(codes) if place >= len(self.kept) else np.zeros(len(codes), dtype=bool)
            inner[gap, place] = 0
            table = self.outwards(inner, fit=False)
            good = ~gap
            for name in names:
                good &= allowed[name](table[:, where[name]])
            return good

        return passes


@storable
@dataclass(frozen=True)
class Related:
    """A generator fitted to a table without its relations, which are put back into its draws."""

    generator: Any
    relations: Relations

    @property
    def name(self) -> str:
        """Name of the generator inside."""
        return str(self.generator.name)

    @property
    def copies_rows(self) -> bool:
        """Whether the generator inside copies patients."""
        return bool(self.generator.copies_rows)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of the table."""
        return self.relations.columns

    def draw(self, rng: np.random.Generator | None) -> Any:
        """Parameters of the generator inside."""
        return self.generator.draw(rng)

    def sample(
        self, n: int, rng: np.random.Generator, parameters: Any, allowed: Allowed | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of codes (n, n_columns) and their weights (n,), as of every generator."""
        inside = self.relations.allowed_inside(allowed or {})
        inner, weight = self.generator.sample(n, rng, parameters, inside)
        codes = self.relations.outwards(inner)
        for k, column in enumerate(self.columns):
            if allowed and column.name in allowed:
                weight = weight * allowed[column.name](codes[:, k])
        return codes, weight


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
    if not _same(here, np.full(len(here), at_gap)).all():
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


def broken(codes: np.ndarray, relations: Relations, real: np.ndarray) -> np.ndarray:
    """(n,) boolean: rows of ``codes`` that break a rule of determination or hold a combination of
    two levels that ``real`` (m, n_columns) never does, of the columns that relations name."""
    out = np.zeros(len(codes), dtype=bool)
    for d in relations.determined:
        out |= ~_same(codes[:, d.target], d.of(codes[:, d.source]))
    for f in relations.fitting:
        out |= ~_same(f.moved(codes), codes[:, f.source])
    for c in relations.combined:
        for i, a in enumerate(c.members):
            for b in c.members[i + 1 :]:
                seen = np.unique(real[:, [a, b]], axis=0)
                known = np.asarray(_same(codes[:, None, [a, b]], seen[None]).all(axis=2)).any(
                    axis=1
                )
                out |= ~known
    return out


def _same(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Whether codes are equal, a gap being equal to a gap."""
    return (left == right) | (np.isnan(left) & np.isnan(right))
