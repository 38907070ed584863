"""Growing from what a chemist has: scaffolds, exits, fragments to link, cores to replace.

Each function asks for ``n`` different molecules and goes on until it has them or has drawn
``max_draws``; a shortfall comes back with its reason.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from rdkit import Chem, rdBase

from molgen.base.arguments import check_count, check_temperature
from molgen.base.random_streams import seeded
from molgen.chem.refusals import Refusal
from molgen.generation.cutting import connected_pieces, cut_core, find_part, read_molecule
from molgen.generation.partial_structures import (
    Scaffold,
    cut_scaffold,
    free_sites,
    graft,
    parse_scaffold,
)
from molgen.generation.prefixes import prepare_prefix
from molgen.motifs.assembly import to_smiles
from molgen.motifs.trees import MotifTree
from molgen.sampling.molecules import Molecules

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

logger = logging.getLogger(__name__)
_BLOCK = 256
_UNIT = 64
_MOST_UNITS = 8
_LINKER_MOTIFS = 4
_CANDIDATES = 8
_Candidate = tuple[str, Chem.Mol] | Refusal


def sample_scaffold(
    model: Generator,
    scaffold: str | Scaffold,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    near: str | None = None,
    radius: float = 1.0,
    max_draws: int | None = None,
) -> Molecules:
    """``n`` different molecules that contain ``scaffold``, grown from its exits.

    Args:
        scaffold: SMILES; ``[*:1]`` marks where growth may start, without any mark it may start at
            every hydrogen. Ring systems that training never saw are fine.
        near: a molecule whose latent, noised by ``radius``, guides the growth.
        max_draws: molecules to draw at the most (default: 40 n, at least 20,000).

    Raises ValueError for a scaffold that cannot be used, naming what is wrong with it.
    """
    check_count(n)
    check_temperature(temperature)
    parsed = parse_scaffold(scaffold) if isinstance(scaffold, str) else scaffold
    pattern = _query(parsed.mol)
    limit = max_draws or max(40 * n, 20_000)
    trees = _grown(model, parsed, seed, temperature, near, radius, limit, wanted=n)
    candidates = map(_finished, trees)
    own = {parsed.smiles, Chem.CanonSmiles(parsed.smiles, useChiral=0)}
    return _collect(candidates, n, own, pattern, parsed.smiles, limit)


def link(
    model: Generator,
    fragment_a: str,
    fragment_b: str,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    max_draws: int | None = None,
) -> Molecules:
    """``n`` different molecules in which a linker joins two fragments at their exits ``[*:1]``.

    Linkers are grown from the first fragment; the second is hung on the site of the linker that
    the model finds likeliest.

    Raises ValueError unless each fragment has exactly one exit.
    """
    parts = [parse_scaffold(f) for f in (fragment_a, fragment_b)]
    for text, part in zip((fragment_a, fragment_b), parts):
        if len(part.exits) != 1:
            raise ValueError(
                f"the fragment {text!r} has {len(part.exits)} exits; expected one, such as [*:1]"
            )
    return _join(model, parts, n, seed, temperature, max_draws)


def replace_substituents(
    model: Generator,
    smiles: str,
    core: str,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    near: bool = False,
    radius: float = 1.0,
) -> Molecules:
    """``n`` different molecules that keep the ``core`` of ``smiles`` (SMILES or SMARTS) and grow
    new substituents where it had them. ``near``: guided by the molecule itself."""
    scaffold = cut_core(smiles, core)
    guide = smiles if near else None
    return sample_scaffold(model, scaffold, n, seed, temperature, guide, radius)


def replace_core(
    model: Generator,
    smiles: str,
    core: str,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    max_draws: int | None = None,
) -> Molecules:
    """``n`` different molecules that keep the substituents of ``smiles`` around another core.

    Raises ValueError if the core is not in the molecule, cannot be cut out by single bonds, or
    has no substituents.
    """
    mol = read_molecule(smiles)
    matched = find_part(mol, core, smiles)
    rest = set(range(mol.GetNumAtoms())) - set(matched)
    if not rest:
        raise ValueError(f"{core!r} is all of {smiles}; there is no substituent to keep")
    pieces = connected_pieces(mol, rest)
    parts = [cut_scaffold(mol, piece, f"substituent {i + 1}") for i, piece in enumerate(pieces)]
    parts.sort(key=lambda s: -s.mol.GetNumAtoms())
    if any(len(p.exits) != 1 for p in parts):
        raise ValueError(f"a substituent of {core!r} in {smiles} is attached to it twice")
    core_mol = cut_scaffold(mol, matched, core).mol
    if len(parts) == 1:
        return sample_scaffold(model, parts[0], n, seed, temperature, max_draws=max_draws)
    return _join(model, parts, n, seed, temperature, max_draws, without=core_mol)


def draw_scaffold(
    model: Generator,
    scaffold: str | Scaffold,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
) -> list[str]:
    """The first ``n`` raw draws behind ``sample_scaffold``, repetitions included.

    One that RDKit refuses is left out.
    """
    check_count(n)
    parsed = parse_scaffold(scaffold) if isinstance(scaffold, str) else scaffold
    trees = islice(_grown(model, parsed, seed, temperature, limit=n, wanted=n), n)
    drawn = (_finished(tree) for tree in trees)
    return [found[0] for found in drawn if not isinstance(found, Refusal)]


def _grown(
    model: Generator,
    scaffold: Scaffold,
    seed: int,
    temperature: float,
    near: str | None = None,
    radius: float = 1.0,
    limit: int = 10_000,
    max_motifs: int | None = None,
    wanted: int = _UNIT * _MOST_UNITS,
) -> Iterator[MotifTree]:
    """Molecules grown from ``scaffold``: as many at first as are ``wanted``, then more.

    Random numbers belong to units of 64 molecules, however many units are written together.
    """
    writer, prefix = prepare_prefix(model, scaffold)
    mu = None if near is None else model.encode_one(near)
    level = radius / (1 + radius) if near is not None else 1.0
    stop = None if max_motifs is None else len(prefix.token) + max_motifs
    n_units = -(-limit // _UNIT)
    together = min(-(-wanted // _UNIT), _MOST_UNITS)
    shape = (1 if mu is None else _UNIT, model.latent_dim)  # without a guide one serves a unit
    for first in range(0, n_units, together):
        streams = [seeded(seed, u, 2) for u in range(first, min(first + together, n_units))]
        z = torch.from_numpy(
            np.concatenate([r.standard_normal(shape, np.float32) for r in streams])
        )
        if mu is not None:
            z = torch.lerp(mu.expand(len(z), -1), z, level)
        uniforms = np.concatenate([model.uniforms(_UNIT, rng) for rng in streams])
        levels = torch.full((len(z),), level)
        yield from writer.write(z, levels, uniforms, temperature, prefix, stop)


def _join(
    model: Generator,
    parts: list[Scaffold],
    n: int,
    seed: int,
    temperature: float,
    max_draws: int | None,
    without: Chem.Mol | None = None,
) -> Molecules:
    """Grow from the first part, and hang the others where the model finds it likeliest."""
    check_count(n)
    first, others = parts[0], parts[1:]
    limit = max_draws or max(10 * n, 4_000)
    patterns = [_query(p.mol) for p in parts]

    def candidates() -> Iterator[_Candidate]:
        trees = _grown(
            model, first, seed, temperature, limit=limit, max_motifs=_LINKER_MOTIFS + len(others)
        )
        batch: list[MotifTree] = []
        for tree in trees:
            if len(tree) > len(first.tree):
                batch.append(tree)
            if len(batch) == _BLOCK:
                yield from _hang(model, batch, others, len(first.tree), seed)
                batch = []
        yield from _hang(model, batch, others, len(first.tree), seed)

    unwanted = None if without is None else _query(without)
    found = (
        s
        for s in candidates()
        if isinstance(s, Refusal) or unwanted is None or not s[1].HasSubstructMatch(unwanted)
    )
    name = " and ".join(p.smiles for p in parts)
    return _collect(found, n, set(), patterns, name, limit)


def _hang(
    model: Generator, trees: list[MotifTree], others: list[Scaffold], n_first: int, seed: int
) -> Iterator[_Candidate]:
    """Each tree with all other fragments, hung one after another on the likeliest free site."""
    from molgen.sampling.likelihood import negative_log_likelihood

    for number, other in enumerate(others):
        (exit_site,) = other.exit_sites()
        rng = seeded(seed, number, 3)
        options: list[list[MotifTree]] = []
        for tree in trees:
            sites = free_sites(tree, n_first)
            if len(sites) > _CANDIDATES:
                chosen = rng.choice(len(sites), _CANDIDATES, replace=False)
                sites = [sites[i] for i in sorted(chosen)]
            options.append([graft(tree, site, other.tree, exit_site) for site in sites])
        texts = [to_smiles(t) for group in options for t in group]
        scores = negative_log_likelihood(model, texts)
        scores = np.where(np.isnan(scores), np.inf, scores)
        start, kept = 0, []
        for group in options:
            if group:
                kept.append(group[int(np.argmin(scores[start : start + len(group)]))])
            start += len(group)
        trees = kept
    for tree in trees:
        yield _finished(tree)


def _collect(
    candidates: Iterable[_Candidate],
    n: int,
    unwanted: set[str],
    patterns: Chem.Mol | list[Chem.Mol],
    name: str,
    limit: int,
) -> Molecules:
    """The first ``n`` different candidates with all ``patterns``, and why there are fewer."""
    patterns = patterns if isinstance(patterns, list) else [patterns]
    found: dict[str, None] = {}
    dropped: list[Refusal] = []
    drawn = 0
    for candidate in candidates if n else ():
        drawn += 1
        if isinstance(candidate, Refusal):
            dropped.append(candidate)
        elif candidate[0] not in found and candidate[0] not in unwanted:
            if all(candidate[1].HasSubstructMatch(p) for p in patterns):
                found[candidate[0]] = None
            else:
                reason = "the scaffold is not in the molecule"
                dropped.append(Refusal(drawn, candidate[0], reason))
        if len(found) == n:
            break
    if len(found) < n:
        reason = (
            f"{len(found)} of {n} different molecules in {drawn} draws from {name} "
            f"(limit {limit}); more exits, a higher temperature or max_draws give more"
        )
        logger.warning("%s", reason)
        dropped.append(Refusal(0, name, reason))
    return Molecules(found, dropped)


def _query(mol: Chem.Mol) -> Chem.Mol:
    """A substructure query for ``mol`` in which only what is drawn counts, not hydrogens."""
    query = Chem.RWMol(mol)
    for atom in query.GetAtoms():
        atom.SetNoImplicit(False)
        atom.SetNumExplicitHs(0)
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    query.UpdatePropertyCache(strict=False)
    return query.GetMol()


def _finished(tree: MotifTree) -> _Candidate:
    """Canonical SMILES and molecule of a tree, or why there is none."""
    text = to_smiles(tree)
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
    if mol is None:
        return Refusal(0, text, "RDKit cannot read the assembled molecule")
    return Chem.MolToSmiles(mol), mol
