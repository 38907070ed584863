"""Parts that may fill a place: from the table of precedent, or grown by the model.

A place has one or more fragments around it, each with a mark; a part has a mark for each of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from rdkit import Chem

from molgen.precedent.fragment_counts import PartFigures, describe_part
from molgen.precedent.limits import within
from molgen.precedent.splicing import label
from molgen.precedent.tables import Lookup

ANY = (0, 255)
_MOST_OPENINGS = 400


@dataclass(frozen=True)
class Part:
    """A part with numbered marks, how often many molecules had it, and its score."""

    text: str
    count: int
    score: float = 0.0


@dataclass(frozen=True, eq=False)
class Wish:
    """What a part must be. Each limit is (least, most).

    atoms: heavy atoms. rotors: bonds that turn, those at the marks included. length: bonds
    between what hangs on two marks, one limit for each pair of marks. bare: one ring system, and
    the marks on it. without: no substructure of this kind.
    """

    atoms: tuple[int, int] = ANY
    rings: tuple[int, int] = ANY
    rotors: tuple[int, int] = ANY
    length: tuple[tuple[int, int], ...] = ()
    bare: bool = False
    without: Chem.Mol | None = None

    def allowed(self, lookup: Lookup) -> np.ndarray:
        """Which parts of a table are allowed, leaving aside ``length`` and ``without``."""
        s = lookup.section
        good = within(s.atoms, self.atoms) & within(s.rings, self.rings)
        good &= within(s.rotors, self.rotors)
        return good & (s.bare == 1) if self.bare else good

    def fits(self, figures: PartFigures) -> bool:
        """Whether a part with these figures is allowed, leaving aside ``without``."""
        limits = [(figures.atoms, self.atoms), (figures.rings, self.rings)]
        limits += [(figures.rotors, self.rotors), *zip(figures.length, self.length)]
        inside = all(low <= value <= high for value, (low, high) in limits)
        return inside and bool(figures.bare or not self.bare)

    def keeps_out(self, mol: Chem.Mol) -> bool:
        """Whether a part has what it must be ``without``."""
        return self.without is not None and mol.HasSubstructMatch(self.without)


# --- from the table -------------------------------------------------------------------------------
def precedented(
    lookup: Lookup, contexts: Sequence[Sequence[int]], wish: Wish, most: int, first: int = 1
) -> Iterator[Part]:
    """Parts of the table for a place, likeliest first.

    Mark ``first + i`` of a part is for ``contexts[i]``.
    """
    ranked = lookup.ranked(contexts, wish.allowed(lookup), wish.length, most)
    seen = set()
    for part, order, score in zip(ranked.part.tolist(), ranked.order, ranked.score.tolist()):
        same = (part, tuple(lookup.section.same[part][order].tolist()))
        if same in seen:
            continue
        seen.add(same)
        numbers = [0] * len(order)
        for place, mark in enumerate(order, first):
            numbers[mark] = place
        text = label(lookup.section.text[part], numbers)
        if wish.without is not None and wish.keeps_out(Chem.MolFromSmiles(text)):
            continue
        yield Part(text, int(lookup.section.count[part]), score)


def best_first(choices: Sequence[Sequence[Part]]) -> Iterator[tuple[Part, ...]]:
    """One part of each of ``choices`` (each in falling order of score), best sum first."""
    if not all(choices):
        return
    start = (0,) * len(choices)

    def cost(chosen: tuple[int, ...]) -> float:
        return -sum(parts[i].score for parts, i in zip(choices, chosen))

    queue, seen = [(cost(start), start)], {start}
    while queue:
        _, chosen = heapq.heappop(queue)
        yield tuple([parts[i] for parts, i in zip(choices, chosen)])
        for place, i in enumerate(chosen):
            after = (*chosen[:place], i + 1, *chosen[place + 1 :])
            if i + 1 < len(choices[place]) and after not in seen:
                seen.add(after)
                heapq.heappush(queue, (cost(after), after))


# --- from what a model grew -----------------------------------------------------------------------
def count_of(lookup: Lookup | None, text: str) -> int:
    """How often many molecules had this part, its marks' numbers aside; 0 for never."""
    if lookup is None:
        return 0
    return lookup.count_of(unnumbered(text))


def unnumbered(text: str) -> str:
    """The canonical SMILES of a part, without stereo and with ``*`` for marks."""
    mol = Chem.MolFromSmiles(text)
    Chem.RemoveStereochemistry(mol)
    for atom in mol.GetAtoms():
        if not atom.GetAtomicNum():
            atom.SetAtomMapNum(0)
    return Chem.MolToSmiles(mol)


def group_part(text: str, number: int, wish: Wish) -> Part | None:
    """A grown group (``*`` and what hangs on it) as a part with mark ``number``, if it fits."""
    mol = Chem.MolFromSmiles(label(text, [number]))
    if mol is None or wish.keeps_out(mol):
        return None
    marks = [a.GetIdx() for a in mol.GetAtoms() if not a.GetAtomicNum()]
    return Part(Chem.MolToSmiles(mol), 0) if wish.fits(describe_part(mol, marks)) else None


def opened(text: str, k: int, number: int, wish: Wish, rng: np.random.Generator) -> Part | None:
    """A grown group with ``k - 1`` further marks in place of hydrogens, so that it fits.

    The group hangs at mark ``number``. Which hydrogens are taken is drawn at random among all that
    fit; None if none do. No marks but the group's own (``*``) are in ``text``.
    """
    mol = Chem.MolFromSmiles(label(text, [number]))
    if mol is None or wish.keeps_out(mol):
        return None
    if not wish.atoms[0] <= mol.GetNumAtoms() - 1 <= wish.atoms[1]:
        return None
    sites = [
        a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() for _ in range(a.GetTotalNumHs())
    ]
    others = [m for m in range(1, k + 1) if m != number]
    ways = sorted(set(combinations(sites, k - 1)))
    for i in rng.permutation(len(ways))[:_MOST_OPENINGS]:
        made = with_marks(mol, dict(zip(others, rng.permutation(ways[i]).tolist())))
        if made is None:
            continue
        at = {a.GetAtomMapNum(): a.GetIdx() for a in made.GetAtoms() if not a.GetAtomicNum()}
        if wish.fits(describe_part(made, [at[m] for m in range(1, k + 1)])):
            return Part(Chem.MolToSmiles(made), 0)
    return None


def with_marks(mol: Chem.Mol, atom_of: Mapping[int, int]) -> Chem.Mol | None:
    """``mol`` with numbered marks in place of hydrogens of atoms; None where it cannot be."""
    editable = Chem.RWMol(mol)
    for number, index in atom_of.items():
        atom = editable.GetAtomWithIdx(index)
        if atom.GetNumExplicitHs():
            atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
        mark = editable.AddAtom(Chem.Atom(0))
        editable.GetAtomWithIdx(mark).SetAtomMapNum(number)
        editable.AddBond(index, mark, Chem.BondType.SINGLE)
    made = editable.GetMol()
    return made if Chem.SanitizeMol(made, catchErrors=True) == 0 else None
