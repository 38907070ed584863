"""Parts that no molecule of the table has, made of those that many have.

Groups and linkers are put together of two halves: the first is likely on what it hangs on, the
second between the first half's other end and what is beyond it. Cores get a mark more in the place
of a hydrogen.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from rdkit import Chem

from molgen.precedent.fragment_counts import describe_part
from molgen.precedent.limits import within
from molgen.precedent.proposals import Part, Wish, count_of, precedented, with_marks
from molgen.precedent.splicing import joined, label, mark_contexts
from molgen.precedent.tables import Lookup

_BETWEEN = 99
_HALVES = 120
_SECONDS = 12
_WIDENED = 150


def composed(
    linkers: Lookup,
    groups: Lookup,
    wholes: Lookup,
    fragment: Chem.Mol,
    number: int,
    others: Sequence[Sequence[int]],
    wish: Wish,
) -> Iterator[Part]:
    """Parts of two halves that fit ``wish`` and that ``wholes`` does not hold, likeliest first.

    The score of a part is that of its first half on ``fragment``, plus the log of how often its
    second half is what follows on the end of the first.

    Args:
        linkers: the table's parts with two marks; groups: those with one; wholes: those with one
            mark more than ``others``.
        fragment: hangs on the part by its mark ``number``; its other marks are left alone.
        others: what surrounds the atoms beyond the part's further marks, ``number + 1`` and so on.
    """
    s = linkers.section
    most = wish.length[0][1] if wish.length else 255
    lengths = s.length[:, 0].astype(int)
    allowed = within(s.atoms, (1, max(wish.atoms[1] - 1, 1))) & (lengths <= most)
    allowed &= within(s.rings, (0, wish.rings[1]))
    mark = _mark(fragment, number)
    part, end, score = linkers.ranked_on_one(mark_contexts(fragment, [mark])[0], allowed)
    bound = sum(float(wholes.lift(other).max(initial=0.0)) for other in others)
    pool: list[tuple[float, int, str, str]] = []  # a heap of cost and both halves
    seen: set[str] = set()

    def taken(limit: float) -> Iterator[Part]:
        while pool and -pool[0][0] >= limit:
            cost, _, first, second = heapq.heappop(pool)
            text = _whole(first, second, number, 1 + len(others), wish)
            if text is not None and text not in seen and not count_of(wholes, text):
                seen.add(text)
                yield Part(text, 0, -cost)

    for i in np.argsort(-score, kind="stable")[:_HALVES]:
        yield from taken(score[i] + bound)  # nothing later can come before these
        row = part[i]
        rest = _rest(wish, int(s.atoms[row]), int(s.rings[row]), int(lengths[row]))
        first = label(s.text[row], [number, _BETWEEN] if end[i] == 0 else [_BETWEEN, number])
        begun = joined([fragment, Chem.MolFromSmiles(first)])
        if begun is None:
            continue
        here = mark_contexts(begun, [_mark(begun, _BETWEEN)])[0]
        always = groups.log_mass(here)  # whatever follows on the end of the first half
        for second in precedented(wholes, [here, *others], rest, _SECONDS, first=number):
            follows = min(second.score - always, bound)
            heapq.heappush(pool, (-float(score[i]) - follows, len(pool), first, second.text))
    yield from taken(-np.inf)


def _whole(first: str, second: str, number: int, k: int, wish: Wish) -> str | None:
    """Both halves as one part with ``k`` marks from ``number`` on, if it fits."""
    second = second.replace(f"[*:{number}]", f"[*:{_BETWEEN}]")
    whole = joined([Chem.MolFromSmiles(first), Chem.MolFromSmiles(second)])
    if whole is None or wish.keeps_out(whole):
        return None
    marks = [_mark(whole, number + j) for j in range(k)]
    return Chem.MolToSmiles(whole) if wish.fits(describe_part(whole, marks)) else None


def widened(
    smaller: Lookup, wholes: Lookup, contexts: Sequence[Sequence[int]], wish: Wish
) -> Iterator[Part]:
    """Parts of ``smaller`` with one mark more, likeliest first, that ``wholes`` does not hold.

    Mark ``i + 1`` is for ``contexts[i]``; each of them is the added one in turn.
    """
    k = len(contexts)
    pairs = list(combinations(range(k), 2))
    found: list[Part] = []
    for added in range(k):
        rest = [i for i in range(k) if i != added]
        length = tuple(b for pair, b in zip(pairs, wish.length) if added not in pair)
        fewer = replace(wish, length=length)
        numbers = [i + 1 for i in rest]
        for part in precedented(smaller, [contexts[i] for i in rest], fewer, _WIDENED):
            text = part.text
            for old, new in zip(range(k - 1, 0, -1), numbers[::-1]):  # new is never below old
                text = text.replace(f"[*:{old}]", f"[*:{new}]")
            for made in _with_one_more(Chem.MolFromSmiles(text), added + 1):
                marks = [_mark(made, i + 1) for i in range(k)]
                if not wish.keeps_out(made) and wish.fits(describe_part(made, marks)):
                    found.append(Part(Chem.MolToSmiles(made), 0, part.score))
    found.sort(key=lambda part: -part.score)
    seen = set()
    for part in found:
        if part.text not in seen and not count_of(wholes, part.text):
            seen.add(part.text)
            yield part


def _with_one_more(mol: Chem.Mol, number: int) -> Iterator[Chem.Mol]:
    """``mol`` with mark ``number`` at each atom that has a hydrogen, once for equivalent atoms."""
    rank = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    seen = set()
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() and atom.GetTotalNumHs() and rank[atom.GetIdx()] not in seen:
            seen.add(rank[atom.GetIdx()])
            made = with_marks(mol, {number: atom.GetIdx()})
            if made is not None:
                yield made


def _rest(wish: Wish, atoms: int, rings: int, length: int) -> Wish:
    """What the second half must be when the first has so many atoms, rings and bonds."""

    def less(limits: tuple[int, int], taken: int, least: int) -> tuple[int, int]:
        most = limits[1] if limits[1] == 255 else limits[1] - taken
        return max(limits[0] - taken, least), most

    return Wish(
        less(wish.atoms, atoms, 1),
        less(wish.rings, rings, 0),
        length=tuple(less(bounds, length - 1, 2) for bounds in wish.length),
    )


def _mark(mol: Chem.Mol, number: int) -> int:
    return next(
        a.GetIdx() for a in mol.GetAtoms() if not a.GetAtomicNum() and a.GetAtomMapNum() == number
    )
