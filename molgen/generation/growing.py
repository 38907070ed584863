"""Growing from what a chemist has: scaffolds, exits, fragments to link, cores to replace.

Each function asks for ``n`` different molecules. What many known molecules have at such a place
comes first, in the order of its precedent (``molgen.precedent.tables``); a share is left to what
the model grows and no table holds; and what is missing then is the model's, too, until
``max_draws`` have been drawn. A shortfall comes back with its reason. Without a table all is the
model's.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rdkit import Chem, rdBase

from molgen.base.arguments import check_count, check_temperature
from molgen.base.random_streams import seeded
from molgen.chem.properties import DESCRIPTORS
from molgen.chem.refusals import Refusal
from molgen.filters.lead_test import filter_test
from molgen.generation.cutting import connected_pieces, cut_core, find_part, read_molecule
from molgen.generation.exit_vectors import exit_changes
from molgen.generation.lead_changes import flat_smiles, n_open_stereo
from molgen.generation.partial_structures import Scaffold, cut_scaffold, parse_scaffold
from molgen.generation.prefixes import branches_of, groups_of, prepare_prefix
from molgen.motifs.assembly import to_smiles
from molgen.motifs.trees import MotifTree
from molgen.precedent.composing import composed, widened
from molgen.precedent.fragment_counts import PartFigures, describe_part
from molgen.precedent.fragment_cuts import MOST_MARKS
from molgen.precedent.limits import Limit, limit
from molgen.precedent.proposals import (
    ANY,
    Part,
    Wish,
    best_first,
    count_of,
    group_part,
    opened,
    precedented,
)
from molgen.precedent.splicing import (
    UNPROVEN,
    is_wanted,
    joined,
    label,
    mark_contexts,
    number_marks,
    unwanted,
)
from molgen.precedent.tables import Lookup
from molgen.sampling.molecules import Molecules

if TYPE_CHECKING:
    import pandas as pd

    from molgen.generation.generator import Generator

logger = logging.getLogger(__name__)
_UNIT = 64
_MOST_UNITS = 8
_LINKER_MOTIFS = 5
_DRAWS_FOR_OWN = 12
_LIKELY = 20
_PATIENCE = 512  # draws of the model without anything new
_FILTERS = ("unsound", "pains", "moses_mcf", "ring_systems")
_MOST_SA = 4.0
OWN = 0.2
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
    atoms: Limit | Mapping[int, Limit] = None,
    rings: Limit | Mapping[int, Limit] = None,
    fill_exits: bool = True,
    own: float = OWN,
    unusual: bool = False,
) -> Molecules:
    """``n`` different molecules that contain ``scaffold``, grown from its exits.

    Args:
        scaffold: SMILES; each ``[*:1]`` marks one bond that is to be formed, the other hydrogens
            of its atom stay. Without any mark growth may start at every hydrogen. Ring systems
            that training never saw are fine.
        near: a molecule whose latent, noised by ``radius``, guides the growth, which then is the
            model's alone.
        max_draws: molecules that the model may draw at the most (default: 40 n, at least 20,000).
        atoms, rings: limits of each group, a number or a pair (least, most), or these by the
            number of the mark, such as ``{1: (1, 4), 2: 6}``. Without marks: of all that grows.
        fill_exits: fill every mark. False leaves hydrogen at some of them, at least one is filled.
        own: share of the molecules that is left to groups of the model's own, which no table holds.
        unusual: allow aminals, bonds between nitrogens and peroxides that the scaffold has not.

    ``precedent`` of the result says for each molecule how often training molecules have its
    groups (the rarest of them); 0 for what only the model proposes. ``seed`` decides the model's
    share, what has precedent stands in its order.

    Raises ValueError for a scaffold that cannot be used, naming what is wrong with it.
    """
    check_count(n)
    check_temperature(temperature)
    parsed = parse_scaffold(scaffold) if isinstance(scaffold, str) else scaffold
    most = max_draws or max(40 * n, 20_000)
    if not parsed.marks:
        return _grown_anywhere(
            model, parsed, n, seed, temperature, near, radius, most, (atoms, rings)
        )
    sizes = _by_mark(atoms, "atoms", 1, parsed)
    wishes = [Wish(a, r) for a, r in zip(sizes, _by_mark(rings, "rings", 0, parsed))]
    table = None if near is not None or model.precedent is None else model.precedent.parts(1)
    joiner = _Joiner([parsed], unusual)
    known = _decorations(table, parsed, wishes, n, fill_exits) if table else iter(())
    trees = _grown(model, parsed, seed, temperature, near, radius, most, None, n, fill_exits)
    grown = _own_decorations(trees, parsed, wishes, table)
    halves = _composed_decorations(model, parsed, wishes, seed) if table else iter(())
    share = own if table else 1.0
    return _gather(joiner, known, grown, halves, n, share, most, parsed.smiles)


def link(
    model: Generator,
    a: str,
    b: str,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    max_draws: int | None = None,
    length: Limit = None,
    atoms: Limit = None,
    rings: Limit = None,
    rotors: Limit = None,
    own: float = OWN,
    unusual: bool = False,
) -> Molecules:
    """``n`` different molecules in which a linker joins two fragments at their marks ``[*:1]``.

    Args:
        length: bonds on the shortest way from the one fragment to the other; 1 is a direct bond,
            2 one atom between them.
        atoms, rings: heavy atoms and rings of the linker. rotors: bonds that turn, those to the
            fragments included.
        own, unusual, max_draws: as in ``sample_scaffold``.

    Each limit is a number or a pair (least, most), and is kept. Raises ValueError unless each
    fragment has exactly one mark, and for limits that contradict each other.
    """
    parts = [_fragment(text) for text in (a, b)]
    lengths, sizes = limit(length, "length", 1), limit(atoms, "atoms")
    if lengths[0] - 1 > sizes[1]:
        raise ValueError(
            f"a linker of length {length!r} has at least {lengths[0] - 1} atoms; atoms is {atoms!r}"
        )
    wish = Wish(sizes, limit(rings, "rings"), limit(rotors, "rotors"), (lengths,))
    return _connect(model, parts, n, seed, temperature, max_draws, wish, own, unusual)


def connect(
    model: Generator,
    fragments: Sequence[str],
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    max_draws: int | None = None,
    atoms: Limit = None,
    rings: Limit = None,
    ring: bool = False,
    own: float = OWN,
    unusual: bool = False,
) -> Molecules:
    """``n`` different molecules in which one core joins two to six fragments at their marks.

    ring: the core is one ring system and the fragments sit on it. Other arguments as in ``link``.
    """
    if not 2 <= len(fragments) <= MOST_MARKS:
        raise ValueError(f"{len(fragments)} fragments; expected 2 to {MOST_MARKS}")
    parts = [_fragment(text) for text in fragments]
    apart = tuple((3 if ring or len(parts) > 2 else 1, 255) for _ in combinations(parts, 2))
    sizes = limit(atoms, "atoms", 1 if ring or len(parts) > 2 else 0)
    wish = Wish(sizes, limit(rings, "rings"), ANY, apart, ring)
    return _connect(model, parts, n, seed, temperature, max_draws, wish, own, unusual)


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
    core: str | Iterable[int],
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    max_draws: int | None = None,
    atoms: Limit = None,
    ring: bool | None = None,
    include_old: bool = False,
    distance: int | None = 1,
    angle: float | None = None,
    own: float = OWN,
    unusual: bool = False,
) -> Molecules:
    """``n`` different molecules that keep the substituents of ``smiles`` around another core.

    The substituents sit on the new core only, at different atoms where they did so before.

    Args:
        core: SMARTS or SMILES (its first match is replaced), or atom numbers.
        atoms: heavy atoms of the new core, a number or a pair (least, most).
        ring: the new core is one ring system with the substituents on it; by default where the
            old one was.
        include_old: whether the old core, alone or as a part of the new one, may come back.
        distance: bonds by which the way between two substituents may differ from the old one;
            None for any.
        angle: degrees by which the angle between two substituents' bonds may differ from the old
            one, in RDKit conformers of the two cores; None for any.
        own, unusual, max_draws: as in ``sample_scaffold``.

    ``parts`` of the result has each molecule's new core with the marks of the substituents.

    Raises ValueError if the core is not in the molecule, cannot be cut out by single bonds, has no
    substituents or more than six, or one that is attached to it twice.
    """
    check_count(n)
    if angle is not None and not angle > 0:
        raise ValueError(f"angle is {angle!r}; expected degrees above 0")
    old, parts = _taken_apart(smiles, core)
    figures = describe_part(old.marked, old.mark_atoms())
    on_ring = all(old.mol.GetAtomWithIdx(a).IsInRing() for a in old.marks)
    stays_ring = bool(figures.rings) and on_ring if ring is None else ring
    bounds = tuple(_around(d, distance) for d in figures.length)
    without = None if include_old else _query(old.mol)
    wish = Wish(limit(atoms, "atoms", 1), ANY, ANY, bounds, stays_ring, without)
    text = Chem.MolToSmiles(old.marked)

    def turned_little(new: str) -> bool:
        return angle is None or exit_changes(text, new)[0] <= angle

    return _connect(
        model, parts, n, seed, temperature, max_draws, wish, own, unusual, turned_little
    )


def core_table(
    model: Generator, smiles: str, core: str | Iterable[int], n: int, seed: int = 0, **limits: Any
) -> pd.DataFrame:
    """The molecules of ``replace_core`` (which says what ``limits`` are) beside the old core.

    Returns:
        DataFrame: ``smiles``; ``core``, the new one with the marks of the substituents;
        ``precedent``; ``bonds``, the largest change of the way between two substituents;
        ``angle`` and ``distance``, the largest changes of the angle (degrees) between two
        substituents' bonds and of the distance (Å) of the atoms that they hang on, in RDKit
        conformers; NaN where there are none. ``attrs["dropped"]`` says why there are fewer than
        ``n``.
    """
    import pandas as pd

    old = _taken_apart(smiles, core)[0]
    text = Chem.MolToSmiles(old.marked)
    own_ways = describe_part(old.marked, old.mark_atoms()).length
    found = replace_core(model, smiles, core, n, seed, **limits)
    rows = []
    for molecule, new, count in zip(found, found.parts, found.precedent):
        mol = Chem.MolFromSmiles(new)
        ways = describe_part(mol, number_marks(mol)).length
        change = max((abs(a - b) for a, b in zip(own_ways, ways)), default=0)
        rows.append((molecule, new, count, change, *exit_changes(text, new)))
    columns = ["smiles", "core", "precedent", "bonds", "angle", "distance"]
    table = pd.DataFrame(rows, columns=columns)
    table.attrs["dropped"] = found.dropped
    return table


def _taken_apart(smiles: str, core: str | Iterable[int]) -> tuple[Scaffold, list[Scaffold]]:
    """The core of a molecule with its marks, and the substituent of each mark."""
    mol = read_molecule(smiles)
    matched = _matched(mol, core, smiles)
    name = core if isinstance(core, str) else f"atoms {sorted(matched)}"
    rest = set(range(mol.GetNumAtoms())) - set(matched)
    if not rest:
        raise ValueError(f"{name!r} is all of {smiles}; there is no substituent to keep")
    return _core_and_parts(mol, matched, rest, name, smiles)


def _around(old: int, distance: int | None) -> tuple[int, int]:
    """Bonds between two substituents; those at different atoms stay at different atoms."""
    least = 3 if old >= 3 else 2
    return (least, 255) if distance is None else (max(old - distance, least), old + distance)


def _matched(mol: Chem.Mol, core: str | Iterable[int], smiles: str) -> tuple[int, ...]:
    if isinstance(core, str):
        return find_part(mol, core, smiles)
    atoms = tuple(int(a) for a in core)
    bad = [a for a in atoms if not 0 <= a < mol.GetNumAtoms()]
    if bad:
        raise ValueError(f"core names atom {bad[0]}; {smiles} has {mol.GetNumAtoms()} atoms")
    return atoms


def _core_and_parts(
    mol: Chem.Mol, matched: Sequence[int], rest: set[int], name: str, smiles: str
) -> tuple[Scaffold, list[Scaffold]]:
    """The old core with its marks, and the substituent of each mark."""
    old = cut_scaffold(mol, matched, name)
    pieces = connected_pieces(mol, rest)
    parts = [cut_scaffold(mol, piece, f"substituent {i + 1}") for i, piece in enumerate(pieces)]
    if any(len(p.marks) != 1 for p in parts):
        raise ValueError(f"a substituent of {name!r} in {smiles} is attached to it twice")
    if len(parts) > MOST_MARKS:
        raise ValueError(
            f"{name!r} has {len(parts)} substituents in {smiles}; at most {MOST_MARKS} can be "
            "placed on a new core; take some of them into the core"
        )
    # The marks of the old core are in the order of the bonds that were cut; so shall the parts be.
    kept = set(matched)
    outer = [
        b if a in kept else a
        for a, b in ((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds())
        if (a in kept) != (b in kept)
    ]
    of_atom = {atom: part for piece, part in zip(pieces, parts) for atom in piece}
    return old, [of_atom[atom] for atom in outer]


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
    fill: bool = True,
) -> Iterator[MotifTree]:
    """Molecules grown from ``scaffold``: as many at first as are ``wanted``, then more.

    Random numbers belong to units of 64 molecules, however many units are written together.
    """
    writer, prefix = prepare_prefix(model, scaffold, fill)
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


def _grown_anywhere(
    model: Generator,
    scaffold: Scaffold,
    n: int,
    seed: int,
    temperature: float,
    near: str | None,
    radius: float,
    most: int,
    limits: tuple[Limit | Mapping[int, Limit], Limit | Mapping[int, Limit]],
) -> Molecules:
    """Molecules grown from any hydrogen of a scaffold without marks."""
    for value, name in zip(limits, ("atoms", "rings")):
        if isinstance(value, Mapping):
            raise ValueError(f"{name} is {value!r}, by mark; {scaffold.smiles} has no marks")
    sizes, rings = limit(limits[0], "atoms", 1), limit(limits[1], "rings")  # type: ignore[arg-type]
    trees = _grown(model, scaffold, seed, temperature, near, radius, most, wanted=n)
    n_atoms, n_rings = scaffold.mol.GetNumAtoms(), scaffold.mol.GetRingInfo().NumRings()

    def inside(found: _Candidate) -> bool:
        if isinstance(found, Refusal):
            return True
        more = found[1].GetRingInfo().NumRings() - n_rings
        atoms = found[1].GetNumAtoms() - n_atoms
        return sizes[0] <= atoms <= sizes[1] and rings[0] <= more <= rings[1]

    stereo = "@" in Chem.MolToSmiles(scaffold.marked) or any(
        bond.GetStereo() != Chem.BondStereo.STEREONONE for bond in scaffold.marked.GetBonds()
    )
    finished = (_with_stereo(scaffold, t) for t in trees) if stereo else map(_finished, trees)
    candidates = filter(inside, finished)
    own = {scaffold.smiles, flat_smiles(scaffold.mol)}
    found = _collect(candidates, n, own, _query(scaffold.mol), scaffold.smiles, most)
    found.precedent = (0,) * len(found)
    return found


def _with_stereo(scaffold: Scaffold, tree: MotifTree) -> _Candidate:
    """What grew from a scaffold without marks, joined to the scaffold as it was given."""
    whole = Chem.RWMol(Chem.AddHs(scaffold.marked))
    parts = []
    for number, (atom, text) in enumerate(branches_of(scaffold, tree), 1):
        neighbours = whole.GetAtomWithIdx(atom).GetNeighbors()
        hydrogen = next(
            a for a in neighbours if a.GetAtomicNum() == 1 and not a.GetIsotope()
        )  # fmt: skip
        hydrogen.SetAtomicNum(0)
        hydrogen.SetAtomMapNum(number)
        parts.append(Chem.MolFromSmiles(label(text, [number])))
    mol = joined([whole.GetMol(), *parts])
    if mol is None:
        return Refusal(0, to_smiles(tree), "RDKit cannot read the assembled molecule")
    return Chem.MolToSmiles(mol), mol


# --- parts around which something is put ----------------------------------------------------------
def _fragment(text: str) -> Scaffold:
    part = parse_scaffold(text)
    if len(part.marks) != 1:
        raise ValueError(
            f"the fragment {text!r} has {len(part.marks)} exits; expected one, such as [*:1]"
        )
    return part


def _by_mark(
    value: Limit | Mapping[int, Limit], name: str, least: int, scaffold: Scaffold
) -> list[tuple[int, int]]:
    """The limits of the group at each mark."""
    marks = range(1, len(scaffold.marks) + 1)
    if not isinstance(value, Mapping):
        return [limit(value, name, least)] * len(marks)
    by_mark = {str(mark): one for mark, one in value.items()}  # a record has them as text
    unknown = set(by_mark) - set(map(str, marks))
    if unknown:
        raise ValueError(
            f"{name} names mark {min(unknown)}; {scaffold.smiles} has the marks 1 to {len(marks)}"
        )
    return [limit(by_mark.get(str(mark)), f"{name} of mark {mark}", least) for mark in marks]


class _Joiner:
    """Molecules of fragments and the parts put between or onto them."""

    def __init__(
        self,
        fragments: Sequence[Scaffold],
        unusual: bool,
        fits: Callable[[str], bool] = lambda part: True,
    ):
        self.fragments = []
        self.fits = fits
        self.own = dict.fromkeys(UNPROVEN, 0)
        for number, fragment in enumerate(fragments, 1):
            marked = Chem.Mol(fragment.marked)
            if len(fragments) > 1:
                (mark,) = (a for a in marked.GetAtoms() if not a.GetAtomicNum())
                mark.SetAtomMapNum(number)
            self.fragments.append(marked)
            for name, count in unwanted(marked).items():
                self.own[name] += count
        self.unusual = unusual
        bare = [fragment.mol for fragment in fragments]
        self.passes = filter_test(bare, _FILTERS)
        self.most_sa = max(_MOST_SA, *(DESCRIPTORS["sa_score"].function(mol) for mol in bare))

    def __call__(self, parts: Sequence[Part], proven: bool = True) -> str | None:
        """Canonical SMILES, or None for what cannot or should not be made.

        proven: the parts have precedent; else the molecule must also pass the structural filters
        that its fragments pass, and look as if it could be made.
        """
        mol = joined([*self.fragments, *(Chem.MolFromSmiles(part.text) for part in parts)])
        if mol is None or not all(self.fits(part.text) for part in parts):
            return None
        if self.unusual:
            return Chem.MolToSmiles(mol)
        if not is_wanted(mol, self.own, proven) or not (proven or self._looks_sound(mol)):
            return None
        return Chem.MolToSmiles(mol)

    def notes(self, rows: Sequence[tuple[str, object]]) -> list[str]:
        """In words, how many molecules have centres that their fragments did not have, and that are
        left open."""
        before = sum(n_open_stereo(fragment) for fragment in self.fragments)
        n = sum(n_open_stereo(Chem.MolFromSmiles(smiles)) > before for smiles, _ in rows)
        if not n:
            return []
        return [
            f"in {n:,} of {len(rows):,} molecules what was put in brings stereocentres or double "
            "bonds that are left unspecified"
        ]

    def _looks_sound(self, mol: Chem.Mol) -> bool:
        return self.passes(mol) and DESCRIPTORS["sa_score"].function(mol) <= self.most_sa


def _decorations(
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


def _composed_decorations(
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
        _halves(model, scaffold, number, [], wish, seed) for number, wish in enumerate(wishes, 1)
    ]
    rng = seeded(seed, 1, 5)
    while sources and all(likely):
        for mark, source in enumerate(sources):
            (part,) = next(source, (None,))
            if part is None:
                return
            others = [parts[int(rng.integers(len(parts)))] for parts in likely]
            yield (*others[:mark], part, *others[mark + 1 :])


def _own_decorations(
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


def _connect(
    model: Generator,
    parts: list[Scaffold],
    n: int,
    seed: int,
    temperature: float,
    max_draws: int | None,
    wish: Wish,
    own: float,
    unusual: bool,
    fits: Callable[[str], bool] = lambda part: True,
) -> Molecules:
    """Molecules in which something that fits ``wish`` joins ``parts``."""
    check_count(n)
    check_temperature(temperature)
    most = max_draws or max(4 * n, 1_000)
    table = None if model.precedent is None else model.precedent.parts(len(parts))
    known: Iterator[tuple[Part, ...]] = iter(())
    if table:
        contexts = [mark_contexts(p.marked, p.mark_atoms())[0] for p in parts]
        known = ((part,) for part in precedented(table, contexts, wish, 20 * n + 2_000))
    largest = max(range(len(parts)), key=lambda i: parts[i].mol.GetNumAtoms())
    grown = _own_cores(model, parts[largest], largest + 1, len(parts), wish, seed, temperature,
                       most, n, table)  # fmt: skip
    name = " and ".join(p.smiles for p in parts)
    joiner = _Joiner(parts, unusual, fits)
    halves: Iterator[tuple[Part, ...]] = iter(())
    if table and len(parts) <= 2 and not wish.bare:
        halves = _halves(model, parts[0], 1, contexts[1:], wish, seed)
    elif table and model.precedent is not None and len(parts) > 1:
        smaller = model.precedent.parts(len(parts) - 1)
        halves = ((part,) for part in widened(smaller, table, contexts, wish))
    if wish.atoms[1] == 0 or any(high < 2 for _, high in wish.length):
        grown = halves = iter(())  # a direct bond is all that there is
        direct = PartFigures(atoms=0, rings=0, rotors=1, bare=0, length=(1,), same=(0, 0))
        if wish.fits(direct):
            known = itertools.chain(known, [(Part("[*:1][*:2]", 0),)])
    return _gather(joiner, known, grown, halves, n, own if table else 1.0, most, name)


def _halves(
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


def _own_cores(
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
    trees = _grown(model, fragment, seed, temperature, limit=most, max_motifs=motifs, wanted=n)
    for i, tree in enumerate(trees):
        (text,) = groups_of(fragment, tree)
        if k == 1:
            part = group_part(text, 1, wish)
        else:
            part = opened(text, k, number, wish, seeded(seed, i, 3))
        yield None if part is None else (Part(part.text, count_of(table, part.text)),)


# --- gathering ------------------------------------------------------------------------------------
def _gather(
    joiner: _Joiner,
    known: Iterator[tuple[Part, ...]],
    grown: Iterator[tuple[Part, ...] | None],
    halves: Iterator[tuple[Part, ...]],
    n: int,
    own: float,
    most: int,
    name: str,
) -> Molecules:
    """``n`` different molecules: what has precedent, and a share ``own`` of what has none.

    What has none is grown by the model, and where that does not fit often enough it is made of
    what has precedent (``halves``: ``molgen.precedent.composing``).
    """
    if not 0 <= own <= 1:
        raise ValueError(f"own is {own!r}; expected a share from 0 to 1")
    wanted = round(own * n)
    new: dict[str, tuple[int, str]] = {}  # by SMILES: precedent, and what was put in
    spare: dict[str, tuple[int, str]] = {}
    found: dict[str, tuple[int, str]] = {}
    drawn = in_vain = 0
    lenient = own == 1  # about what has no precedent
    patience = _PATIENCE if own < 1 else most
    dropped: list[Refusal] = []

    def draw(enough: int, until: int) -> None:
        nonlocal drawn, in_vain
        while drawn < until and len(new) < enough and in_vain < patience:
            try:
                parts: tuple[Part, ...] | None = next(grown, ())
            except ValueError as error:  # the model cannot start from it, a table may serve
                if own == 1:
                    raise
                dropped.append(Refusal(0, name, f"the model grows nothing: {error}"))
                return
            if parts == ():
                return
            drawn += 1
            in_vain += 1
            if not parts:
                continue
            count = min(p.count for p in parts if p.count >= 0)
            smiles = joiner(parts, bool(count) or lenient)
            if smiles is not None:
                held = spare if count else new
                if smiles not in held:
                    held[smiles], in_vain = (count, _put_in(parts)), 0

    def compose(enough: int) -> None:
        while len(new) < enough and (put := next(halves, None)) is not None:
            smiles = joiner(put, lenient)
            if smiles is not None:
                new.setdefault(smiles, (0, _put_in(put)))

    compose(wanted // 2)
    draw(wanted, min(most, _DRAWS_FOR_OWN * wanted + _UNIT) if own < 1 else most)
    compose(wanted)
    for chosen in known if len(new) < n else ():
        smiles = joiner(chosen)
        if smiles is not None and smiles not in new:
            count = min((p.count for p in chosen if p.count), default=0)
            found.setdefault(smiles, (count, _put_in(chosen)))
        if len(found) + len(new) >= n:
            break
    if len(found) + len(new) + len(spare) < n:
        lenient, in_vain = True, 0
        compose(n - len(found))
        draw(n - len(found), most)
    for smiles, made in spare.items():
        if len(found) + len(new) < n and smiles not in new:
            found.setdefault(smiles, made)
    rows = [*found.items(), *new.items()][:n]
    if len(rows) < n:
        reason = (
            f"{len(rows)} of {n} different molecules from {name}, {drawn} of them drawn by the "
            f"model (limit {most}); wider limits or max_draws give more"
        )
        logger.warning("%s", reason)
        dropped.append(Refusal(0, name, reason))
    result = Molecules([smiles for smiles, _ in rows], dropped, joiner.notes(rows))
    result.precedent = tuple(count for _, (count, _) in rows)
    result.parts = tuple(text for _, (_, text) in rows)
    return result


def _put_in(parts: Sequence[Part]) -> str:
    return ".".join(part.text for part in parts)


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
