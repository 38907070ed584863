"""Parts that no molecule of the table has, made of those that many have.

Groups and linkers are put together of two halves: the first is drawn by what it hangs on; the
second is looked up between the first half's other end and what is beyond it. Cores get a mark more
in the place of a hydrogen.
"""

from __future__ import annotations

from collections import deque
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
_HALVES = 40
_SECONDS = 12
_WIDENED = 60


def composed(
    linkers: Lookup,
    wholes: Lookup,
    fragment: Chem.Mol,
    number: int,
    others: Sequence[Sequence[int]],
    wish: Wish,
    rng: np.random.Generator,
) -> Iterator[Part]:
    """Parts of two halves that fit ``wish`` and that ``wholes`` does not hold, in a random order.

    Args:
        linkers: the table's parts with two marks; wholes: those with one mark more than ``others``.
        fragment: hangs on the part by its mark ``number``; its other marks are left alone.
        others: what surrounds the atoms beyond the part's further marks, ``number + 1`` and so on.
    """
    s = linkers.section
    most = wish.length[0][1] if wish.length else 255
    small = (1, max(wish.atoms[1] - 1, 1))
    allowed = within(s.atoms, small) & within(s.rings, (0, wish.rings[1]))
    lengths = s.length[:, 0].astype(int)
    allowed &= lengths <= most
    if wish.length and most < 255:  # halves of about the same length
        allowed &= np.abs(2 * lengths - (wish.length[0][0] + 1)) <= 6
    part, mark, score = linkers.ranked_on_one(
        next(iter(mark_contexts(fragment, [_mark(fragment, number)]))), allowed
    )
    drawn = np.argsort(-(score + rng.gumbel(size=len(score))), kind="stable")[:_HALVES]
    queue = deque(
        _wholes(
            label(s.text[part[i]], [number, _BETWEEN] if mark[i] == 0 else [_BETWEEN, number]),
            wholes,
            fragment,
            number,
            others,
            wish,
            _rest(wish, int(s.atoms[part[i]]), int(s.rings[part[i]]), int(lengths[part[i]])),
        )
        for i in drawn
    )
    seen = set()
    while queue:  # one of each first half in turn
        source = queue.popleft()
        text = next(source, None)
        if text is None:
            continue
        queue.append(source)
        if text not in seen and not count_of(wholes, text):
            seen.add(text)
            yield Part(text, 0)


def _wholes(
    first: str,
    wholes: Lookup,
    fragment: Chem.Mol,
    number: int,
    others: Sequence[Sequence[int]],
    wish: Wish,
    rest: Wish,
) -> Iterator[str]:
    """``first`` with each of the likeliest second halves, as far as they fit together."""
    half = Chem.MolFromSmiles(first)
    begun = joined([fragment, half])
    if begun is None:
        return
    here = mark_contexts(begun, [_mark(begun, _BETWEEN)])[0]
    for second in precedented(wholes, [here, *others], rest, _SECONDS, first=number):
        text = second.text.replace(f"[*:{number}]", f"[*:{_BETWEEN}]")
        whole = joined([half, Chem.MolFromSmiles(text)])
        if whole is None or wish.keeps_out(whole):
            continue
        marks = [_mark(whole, number + j) for j in range(1 + len(others))]
        if wish.fits(describe_part(whole, marks)):
            yield Chem.MolToSmiles(whole)


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
