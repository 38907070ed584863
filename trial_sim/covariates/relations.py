"""Relations between columns that hold in every patient, found in the data and kept.

Three kinds: a column that another determines (a stratum that is a cut of a number, a recoding, a
flag of a count), combinations of levels that never occur though chance would make many, and the
order of two numbers that a constraint states. A generator sees none of them: it is fitted to a
table without the determined columns, with one column in place of several levels that exclude one
another, and with the difference in place of the greater number; what it draws is turned back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.covariates.encoding import told
from trial_sim.data.schema import Column
from trial_sim.numerics.told import TOGETHER, roundest

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
        change = np.flatnonzero((~same_codes(table[1:], table[:-1])).any(axis=1)) + 1
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
        wrong = ~same_codes(now, levels).all(axis=1) | np.isnan(x)
        for level in np.unique(levels[wrong], axis=0):
            rows = wrong & same_codes(levels, level).all(axis=1)
            fits = np.asarray(same_codes(self.results, level).all(axis=1))[self.run]
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
            same = same_codes(codes[:, None, list(c.members)], c.codes[None]).all(axis=2)
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


def broken(codes: np.ndarray, relations: Relations, real: np.ndarray) -> np.ndarray:
    """(n,) boolean: rows of ``codes`` that break a rule of determination or hold a combination of
    two levels that ``real`` (m, n_columns) never does, of the columns that relations name."""
    out = np.zeros(len(codes), dtype=bool)
    for d in relations.determined:
        out |= ~same_codes(codes[:, d.target], d.of(codes[:, d.source]))
    for f in relations.fitting:
        out |= ~same_codes(f.moved(codes), codes[:, f.source])
    for c in relations.combined:
        for i, a in enumerate(c.members):
            for b in c.members[i + 1 :]:
                seen = np.unique(real[:, [a, b]], axis=0)
                known = np.asarray(same_codes(codes[:, None, [a, b]], seen[None]).all(axis=2)).any(
                    axis=1
                )
                out |= ~known
    return out


def same_codes(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Whether codes are equal, a gap being equal to a gap."""
    return (left == right) | (np.isnan(left) & np.isnan(right))
