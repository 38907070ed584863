"""Precedent: which groups, linkers and cores many molecules have, by what they hang on.

A table holds every part that enough molecules share (``molgen.precedent.fragment_counts``).
``ranked`` asks it for the parts that fit between given surroundings: a part's own frequency, times
how much more often than chance each of its marks hung on an atom with these surroundings, at radius
0 to 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations

import numpy as np

from molgen.precedent.fragment_counts import Section
from molgen.precedent.limits import within

#: Weight, in occurrences, of what the next smaller radius says.
PRIOR = (20.0, 10.0, 5.0, 5.0)
_MOST_LIFTS = 24


@dataclass(frozen=True, eq=False)
class Ranked:
    """Parts in falling order of precedent.

    part: (n,) numbers in the section. order: (n, k): mark ``order[i, j]`` of part ``i`` hangs on
    the ``j``-th place asked for. score: (n,) log of precedent.
    """

    part: np.ndarray
    order: np.ndarray
    score: np.ndarray


class Lookup:
    """A section of a table of precedent, with indices by which parts are looked up.

    Examples:
        >>> import molgen, tempfile, pathlib, numpy as np
        >>> from rdkit import Chem
        >>> from molgen.precedent.splicing import mark_contexts
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "precedent.zip"
        >>> smiles = ["Cc1ccccc1", "Cc1ccncc1", "Cc1ccsc1", "NCCc1ccccc1", "OCCN"]
        >>> groups = molgen.build_precedent(smiles, file, least=1).parts(1)
        >>> groups.count_of("*C"), groups.count_of("*Br")
        (3, 0)
        >>> scaffold = Chem.MolFromSmiles("[*:1]c1ccncc1")
        >>> (context,) = mark_contexts(scaffold, [0])
        >>> everything = np.ones(len(groups), bool)
        >>> best = groups.ranked([context], everything, (), 1)
        >>> groups.section.text[best.part[0]]
        '*C'
        >>> bool(groups.lift(context)[best.part[0]] > 0)
        True
        >>> groups.count_on(int(best.part[0]), 0, context[0])
        3
        >>> bool(groups.log_mass(context) > 0)
        True
        >>> part, mark, score = groups.ranked_on_one(context, everything)
        >>> len(part) == len(groups)
        True
    """

    def __init__(self, section: Section):
        self.section = section
        self.k = section.k
        self._lifts: dict[tuple[int, ...], np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.section.text)

    @cached_property
    def site_count(self) -> np.ndarray:
        """(n k,) occurrences of each site; equivalent marks count as the first of them."""
        s = self.section
        site = np.arange(len(self))[:, None] * self.k + s.same
        weight = np.repeat(s.count, self.k)
        return np.bincount(site.ravel(), weights=weight, minlength=len(self) * self.k)

    @cached_property
    def site_of(self) -> np.ndarray:
        """(n, k) the site of each mark."""
        return np.arange(len(self))[:, None] * self.k + self.section.same

    @cached_property
    def _never(self) -> np.ndarray:
        """(n k,) the lift of each site where it never hung on what is asked for."""
        return np.log(PRIOR[0] / (self.site_count + PRIOR[0]))

    def lift(self, context: Sequence[int]) -> np.ndarray:
        """(n k,) log of how much more often than chance each site hung on ``context``.

        At each radius the counts are weighed against what the next smaller one says.
        """
        key = tuple(context)
        if key not in self._lifts:
            if len(self._lifts) >= _MOST_LIFTS:
                self._lifts.pop(next(iter(self._lifts)))
            self._lifts[key] = self._lift(key)
        return self._lifts[key]

    def _lift(self, context: tuple[int, ...]) -> np.ndarray:
        lift = np.zeros(len(self.site_count))
        site = above = np.empty(0)
        n_above = float(self.site_count.sum())
        for radius, (code, rows) in enumerate(zip(context, self.section.contexts)):
            at = int(np.searchsorted(rows.code, code))
            if at == len(rows.code) or rows.code[at] != code:
                break
            here = slice(rows.offset[at], rows.offset[at + 1])
            total, prior = float(rows.total[at]), PRIOR[radius]
            if radius == 0:
                lift = self._never.copy()
            else:  # sites that never hung on the smaller surroundings are left as they are
                lift[site] += np.log(prior / (above + prior))
            chance = total / n_above
            site, above, n_above = rows.site[here], rows.count[here].astype(float), total
            lift[site] += np.log1p(above / (prior * chance))
        return lift

    def log_mass(self, context: Sequence[int]) -> float:
        """Log of how many occurrences of all parts together are expected on ``context``."""
        lift = self.lift(context)[self.site_of].max(axis=1)
        logs = self.log_count + lift
        return float(logs.max() + np.log(np.exp(logs - logs.max()).sum()))

    @cached_property
    def log_count(self) -> np.ndarray:
        """(n,) log of how often each part occurred."""
        return np.log(self.section.count)

    @cached_property
    def number(self) -> dict[str, int]:
        """The number of each part, by its SMILES."""
        return {text: i for i, text in enumerate(self.section.text)}

    def count_of(self, text: str) -> int:
        """How often the part ``text`` (canonical, marks as ``*``) occurred; 0 for never."""
        at = self.number.get(text)
        return 0 if at is None else int(self.section.count[at])

    def count_on(self, part: int, mark: int, code: int) -> int:
        """How often a part hung by a mark on atoms like ``code``, surroundings of radius 0."""
        rows = self.section.contexts[0]
        at = int(np.searchsorted(rows.code, code))
        if at == len(rows.code) or rows.code[at] != code:
            return 0
        sites = rows.site[rows.offset[at] : rows.offset[at + 1]]
        site = int(self.site_of[part, mark])
        place = int(np.searchsorted(sites, site))
        held = place < len(sites) and sites[place] == site
        return int(rows.count[rows.offset[at] + place]) if held else 0

    def ranked_on_one(
        self, context: Sequence[int], allowed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parts ``allowed`` that hang on ``context`` by one mark, whatever hangs on the others.

        Returns parts, their marks at ``context`` and scores, each (m,), in no order.
        """
        part = np.flatnonzero(allowed)
        lift = self.lift(context)
        base = self.log_count[part]
        score = [base + lift[self.site_of[part, mark]] for mark in range(self.k)]
        mark = np.repeat(np.arange(self.k), len(part))
        return np.tile(part, self.k), mark, np.concatenate(score)

    def ranked(
        self,
        contexts: Sequence[Sequence[int]],
        allowed: np.ndarray,
        length: Sequence[tuple[int, int]],
        most: int,
    ) -> Ranked:
        """The ``most`` likeliest of the parts ``allowed`` (n,) on these surroundings.

        length: limits of the bonds between each pair of places, in the order of ``Section``.
        """
        s = self.section
        part = np.flatnonzero(allowed)
        lifts = [self.lift(context) for context in contexts]
        pairs = list(combinations(range(self.k), 2))
        chosen, orders, scores = [], [], []
        for order in permutations(range(self.k)):
            good = np.ones(len(part), bool)
            for (a, b), bounds in zip(pairs, length):
                first, second = sorted((order[a], order[b]))
                good &= within(s.length[part, pairs.index((first, second))], bounds)
            best = part[good]
            score = self.log_count[best]
            score = score + sum(lift[self.site_of[best, m]] for lift, m in zip(lifts, order))
            if len(best) > most:
                kept = np.argpartition(-score, most)[:most]
                best, score = best[kept], score[kept]
            chosen.append(best)
            orders.append(np.tile(order, (len(best), 1)))
            scores.append(score)
        rows = np.argsort(-np.concatenate(scores), kind="stable")[:most]
        return Ranked(
            np.concatenate(chosen)[rows], np.concatenate(orders)[rows], np.concatenate(scores)[rows]
        )
