"""Parts for the marks of scaffolds: from a table of precedent, of two such parts, or the model.

Each function gives parts for all marks at once, without end or until its source is used up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from molgen.base.random_streams import seeded
from molgen.generation.scaffolds.partial_structures import Scaffold
from molgen.generation.scaffolds.prefixes import groups_of, prepare_prefix
from molgen.motifs.trees import MotifTree
from molgen.precedent.composing import composed
from molgen.precedent.proposals import (
    Part,
    Wish,
    best_first,
    count_of,
    group_part,
    opened,
    precedented,
)
from molgen.precedent.splicing import mark_contexts
from molgen.precedent.tables import Lookup

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

UNIT = 64  # molecules that share a stream of random numbers
_MOST_UNITS = 8
_LINKER_MOTIFS = 5
_LIKELY = 20


def grown_trees(
    model: Generator,
    scaffold: Scaffold,
    seed: int,
    temperature: float,
    near: str | None = None,
    radius: float = 1.0,
    limit: int = 10_000,
    max_motifs: int | None = None,
    wanted: int = UNIT * _MOST_UNITS,
    fill: bool = True,
) -> Iterator[MotifTree]:
    """Molecules grown from ``scaffold``: as many at first as are ``wanted``, then more.

    Random numbers belong to units of 64 molecules, however many units are written together.
    """
    writer, prefix = prepare_prefix(model, scaffold, fill)
    mu = None if near is None else model.encode_one(near)
    level = radius / (1 + radius) if near is not None else 1.0
    stop = None if max_motifs is None else len(prefix.token) + max_motifs
    n_units = -(-limit // UNIT)
    together = min(-(-wanted // UNIT), _MOST_UNITS)
    shape = (1 if mu is None else UNIT, model.latent_dim)  # without a guide one serves a unit
    for first in range(0, n_units, together):
        streams = [seeded(seed, u, 2) for u in range(first, min(first + together, n_units))]
        z = torch.from_numpy(
            np.concatenate([r.standard_normal(shape, np.float32) for r in streams])
        )
        if mu is not None:
            z = torch.lerp(mu.expand(len(z), -1), z, level)
        uniforms = np.concatenate([model.uniforms(UNIT, rng) for rng in streams])
        levels = torch.full((len(z),), level)
        yield from writer.write(z, levels, uniforms, temperature, prefix, stop)


def decorations(
    table: Lookup, scaffold: Scaffold, wishes: Sequence[Wish], n: int, fill: bool
) -> Iterator[tuple[Part, ...]]:
    """Groups for all marks of a scaffold, those with most precedent first."""
    contexts = mark_contexts(scaffold.marked, scaffold.mark_atoms())
    most = 20 * n + 500
    choices = []
    for number, (context, wish) in enumerate(zip(contexts, wishes), 1):
        parts = list(precedented(table, [context], wish, most, first=number))
        if len(contexts) > 1:  # by rank, so that all marks vary, however clear the first of one is
            parts = [replace(p, score=-math.log(1 + rank)) for rank, p in enumerate(parts)]
        choices.append(parts)
    if fill:
        yield from best_first(choices)
        return
    for number, parts in enumerate(choices, 1):  # hydrogen is as likely as the likeliest group
        best = parts[0].score if parts else 0.0
        parts.insert(0, Part(f"[*:{number}]", 0, best))
    for chosen in best_first(choices):
        if any(part.count for part in chosen):
            yield tuple(chosen)


def composed_decorations(
    model: Generator, scaffold: Scaffold, wishes: Sequence[Wish], seed: int
) -> Iterator[tuple[Part, ...]]:
    """Groups for all marks, one of them put together of two halves, the others likely ones."""
    table = model.precedent
    assert table is not None
    contexts = mark_contexts(scaffold.marked, scaffold.mark_atoms())
    likely = [
        list(precedented(table.parts(1), [context], wish, _LIKELY, first=number))
        for number, (context, wish) in enumerate(zip(contexts, wishes), 1)
    ]
    sources = [
        halves_of(model, scaffold, number, [], wish, seed) for number, wish in enumerate(wishes, 1)
    ]
    rng = seeded(seed, 1, 5)
    while sources and all(likely):
        for mark, source in enumerate(sources):
            (part,) = next(source, (None,))
            if part is None:
                return
            others = [parts[int(rng.integers(len(parts)))] for parts in likely]
            yield (*others[:mark], part, *others[mark + 1 :])


def own_decorations(
    trees: Iterator[MotifTree], scaffold: Scaffold, wishes: Sequence[Wish], table: Lookup | None
) -> Iterator[tuple[Part, ...] | None]:
    """The groups that the model grew at the marks; None for a draw outside the limits."""
    for tree in trees:
        groups = groups_of(scaffold, tree)
        parts = []
        for number, (text, wish) in enumerate(zip(groups, wishes), 1):
            if not text:
                parts.append(Part(f"[*:{number}]", -1))
                continue
            part = group_part(text, number, wish)
            if part is None:
                break
            parts.append(Part(part.text, count_of(table, part.text)))
        yield tuple(parts) if len(parts) == len(groups) else None


def halves_of(
    model: Generator,
    fragment: Scaffold,
    number: int,
    others: Sequence[Sequence[int]],
    wish: Wish,
    seed: int,
) -> Iterator[tuple[Part, ...]]:
    """Parts put together of two that have precedent, for one fragment or between two."""
    table = model.precedent
    assert table is not None
    wholes = table.parts(1 + len(others))
    groups, linkers = table.parts(1), table.parts(2)
    for part in composed(linkers, groups, wholes, fragment.marked, number, others, wish):
        yield (part,)


def own_cores(
    model: Generator,
    fragment: Scaffold,
    number: int,
    k: int,
    wish: Wish,
    seed: int,
    temperature: float,
    most: int,
    n: int,
    table: Lookup | None,
) -> Iterator[tuple[Part, ...] | None]:
    """What the model grows from one fragment, with marks for the others; None for a misfit."""
    motifs = 1 if wish.bare else max(_LINKER_MOTIFS, wish.length[0][0] + 1 if wish.length else 0)
    trees = grown_trees(model, fragment, seed, temperature, limit=most, max_motifs=motifs, wanted=n)
    for i, tree in enumerate(trees):
        (text,) = groups_of(fragment, tree)
        if k == 1:
            part = group_part(text, 1, wish)
        else:
            part = opened(text, k, number, wish, seeded(seed, i, 3))
        yield None if part is None else (Part(part.text, count_of(table, part.text)),)
