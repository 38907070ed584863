"""Paths of molecules from one to another: similarity to the start falls, to the end it rises.

The steps are made of both ends: parts of the one hung on parts of the other, with places of either
changed by the small steps of ``molgen.generation.leads.changes``. Of what comes out, the path is
chosen whose similarities change most evenly, over molecules that the model finds likely.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem

from molgen.base.random_streams import seeded
from molgen.chem.fingerprints import fingerprints, tanimoto
from molgen.chem.parsing import canonical, parse_whole
from molgen.chem.refusals import Refusal
from molgen.filters.lead_test import filter_test
from molgen.generation.leads.changes import (
    Analogue,
    Change,
    Lead,
    apply,
    branch_parts,
    small_changes,
)
from molgen.generation.leads.ranking import merit, relative_likelihood
from molgen.motifs.stereo import flat_smiles
from molgen.sampling.molecules import Molecules

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

logger = logging.getLogger(__name__)
_SINGLES, _PAIRS = 500, 300
_STRETCHES, _LOOKED = 12, 16
_BITS = (1024, 2048)
_ROUNDS = 30
_PER_NAT, _EVEN, _WRONG = 0.03, 2.0, 5.0


def interpolate(
    model: Generator,
    start: str | Chem.Mol,
    end: str | Chem.Mol,
    n_steps: int = 8,
    seed: int = 0,
    filters: Any = "default",
) -> Molecules:
    """``n_steps`` molecules that lead from ``start`` to ``end``; these two are first and last.

    The steps differ; similarity (Tanimoto, ECFP4) to the start falls along the path and that to the
    end rises. Where there is no such path among the molecules tried, the nearest to one comes back
    and ``dropped`` says so.

    Args:
        filters: a step fails none of these that both ends pass; None for no filters.

    Raises ValueError if a molecule cannot be read or ``n_steps`` is below 2.
    """
    if n_steps < 2:
        raise ValueError(f"n_steps is {n_steps}; expected at least 2 (the two ends)")
    ends = [Lead(parse_whole(s)) for s in (start, end)]
    texts = [canonical(lead.mol) for lead in ends]
    wanted = n_steps - 2
    if not wanted:
        return Molecules(texts)
    pools = _between(ends[0], ends[1], seed) if ends[0].flat != ends[1].flat else ([], [])
    pool = [*pools[0], *pools[1]]
    points = _Points(ends, [a.mol for a in pool])
    looked = points.nearest()
    cost = np.full(len(pool), np.inf)
    first = np.arange(len(pool)) < len(pools[0])
    for lead, own in ((ends[0], looked[first[looked]]), (ends[1], looked[~first[looked]])):
        chosen = [pool[i] for i in own]
        cost[own] = -_PER_NAT * merit(chosen, relative_likelihood(model, lead, chosen))
    passes = filter_test([lead.mol for lead in ends], filters)
    path: list[int] = []
    alive = np.ones(len(pool), dtype=bool)
    for _ in range(_ROUNDS):
        path = points.path(wanted, np.where(alive, cost, np.inf))
        failed = [i for i in path if not passes(pool[i].mol)]
        if not failed:
            break
        alive[failed] = False
    steps = [pool[i].smiles for i in path if passes(pool[i].mol)]
    reasons = points.complaints(path)
    if len(steps) < wanted:
        reasons = [
            f"only {len(steps)} different molecules were found between the ends; they repeat"
        ]
        known = [texts[0], *steps, texts[1]]
        at = np.linspace(0, len(known) - 1, n_steps).round().astype(int)
        steps = [known[i] for i in at[1:-1]]
    for reason in reasons:
        logger.warning("%s to %s: %s", *texts, reason)
    dropped = [Refusal(0, f"{texts[0]} to {texts[1]}", reason) for reason in reasons]
    return Molecules([texts[0], *steps, texts[1]], dropped)


def _between(first: Lead, second: Lead, seed: int) -> tuple[list[Analogue], list[Analogue]]:
    """Different molecules made of both ends: changes of the first, and changes of the second."""
    first.allow(second)
    second.allow(first)
    found: dict[str, Analogue] = {}
    pools: list[list[Analogue]] = []
    largest = max(first.n_heavy, second.n_heavy) + 3
    for stream, (lead, other) in enumerate(((first, second), (second, first))):
        rng = seeded(seed, stream, 13)
        changes = _exchanges(lead, other)
        changes += small_changes(lead, range(lead.n_atoms), lead.n_heavy - 1)
        order = rng.permutation(len(changes))[:_SINGLES]
        sound = [changes[i] for i in order if _add(lead, other, (changes[i],), found, largest)]
        for _ in range(_PAIRS if len(sound) > 1 else 0):
            one, two = (sound[int(i)] for i in rng.integers(len(sound), size=2))
            if not one.place & two.place:
                _add(lead, other, (one, two), found, largest)
        pools.append(list(found.values())[sum(map(len, pools)) :])
    return pools[0], pools[1]


def _add(
    lead: Lead, other: Lead, changes: tuple[Change, ...], found: dict[str, Analogue], largest: int
) -> bool:
    gone = frozenset().union(*(c.removed for c in changes))
    if lead.n_heavy - len(gone) + sum(c.added for c in changes) > largest:
        return False
    mol = apply(lead, changes)
    if mol is None:
        return False
    text = canonical(mol)
    flat = flat_smiles(mol, text)
    if flat in (lead.flat, other.flat):
        return False
    found.setdefault(flat, Analogue(mol, text, flat, changes))
    return True


def _exchanges(lead: Lead, other: Lead) -> list[Change]:
    """Each branch, and each hydrogen, of ``lead`` for each branch of ``other``."""
    parts = branch_parts(other)
    places: dict[tuple[int, int], tuple[int, int, frozenset[int]]] = {}
    for anchor, first, atoms in lead.branches():
        places.setdefault((lead.rank[anchor], lead.rank[first]), (anchor, first, atoms))
    for atom, hydrogens in enumerate(lead.hydrogens):
        if hydrogens:
            places.setdefault((lead.rank[atom], -1), (atom, -1, frozenset()))
    return [
        Change(
            "exchange" if atoms else "add",
            atoms | {anchor},
            removed=atoms,
            cuts=((anchor, first),) if atoms else (),
            fragment=(anchor, text),
            added=size,
        )
        for anchor, first, atoms in places.values()
        if anchor not in lead.charged
        for text, size in parts.items()
    ]


class _Points:
    """Molecules by their similarity to both ends of a path."""

    def __init__(self, ends: Sequence[Lead], mols: Sequence[Chem.Mol]) -> None:
        # at two lengths, so that no step is nearer by a collision of folded bits alone
        prints = [(fingerprints(mols, 2, n), n) for n in _BITS]
        own = [fingerprints([lead.mol for lead in ends], 2, n) for n in _BITS]
        both = np.stack([tanimoto(o, p).astype(float) for (p, _), o in zip(prints, own)])
        self.apart = np.stack([tanimoto(o, o)[0, 1] for o in own])
        self.to_start, self.to_end = both[:, 0], both[:, 1]  # each (bits, n)
        self.along = (self.to_end - self.to_start).mean(0)

    def nearest(self) -> np.ndarray:
        """Numbers of those most similar to both ends, of each stretch of the way."""
        both = (self.to_start + self.to_end).mean(0)
        stretch = np.clip((self.along + 1) / 2 * _STRETCHES, 0, _STRETCHES - 1).astype(int)
        chosen = []
        for number in range(_STRETCHES):
            members = np.flatnonzero(stretch == number)
            chosen.append(members[np.argsort(-both[members], kind="stable")][:_LOOKED])
        return np.concatenate(chosen)

    def path(self, n: int, cost: np.ndarray) -> list[int]:
        """The cheapest ``n`` molecules in order, those of finite ``cost``: evenly spaced, each
        less similar to the start and more similar to the end than the one before."""
        usable = np.flatnonzero(np.isfinite(cost))
        usable = usable[np.argsort(self.along[usable], kind="stable")]
        n = min(n, len(usable))
        if n == 0:
            return []
        k = len(usable)
        to_start = np.concatenate([np.ones((len(_BITS), 1)), self.to_start[:, usable]], axis=1)
        to_end = np.concatenate([self.apart[:, None], self.to_end[:, usable]], axis=1)
        back = np.maximum(to_start[:, None, 1:] - to_start[:, :, None], 0).sum(0)
        back += np.maximum(to_end[:, :, None] - to_end[:, None, 1:], 0).sum(0)
        step = _WRONG * (back > 1e-9) + 10 * back  # (k + 1, k): from the start or a molecule
        step[1:][np.tril_indices(k)] = np.inf
        reach = 1 - self.apart.mean()
        last = _WRONG * (self.to_start[:, usable] < self.apart[:, None]).any(0)
        total = np.full(k, np.inf)
        came: list[np.ndarray] = []
        for number in range(1, n + 1):
            goal = -reach + 2 * reach * number / (n + 1)
            here = cost[usable] + _EVEN * (self.along[usable] - goal) ** 2
            before = step[:1] if number == 1 else total[:, None] + step[1:]
            came.append(np.argmin(before, axis=0))
            total = before.min(0) + here
        total = total + last
        path = [int(np.argmin(total))]
        for column in reversed(came[1:]):
            path.append(int(column[path[-1]]))
        return [int(usable[i]) for i in reversed(path)]

    def complaints(self, path: Sequence[int]) -> list[str]:
        """In words, where similarity goes the wrong way along the path."""
        start = [np.ones(len(_BITS)), *self.to_start.T[list(path)], self.apart]
        end = [self.apart, *self.to_end.T[list(path)], np.ones(len(_BITS))]
        wrong = [
            i + 1
            for i in range(1, len(start))
            if (start[i] > start[i - 1] + 1e-9).any() or (end[i] < end[i - 1] - 1e-9).any()
        ]
        if not wrong:
            return []
        return [f"step {', '.join(map(str, wrong))} is farther from the end or nearer to the start"]
