"""Growing from what a chemist has: scaffolds with exits, and fragments to link or to connect.

Each function asks for ``n`` different molecules. What many known molecules have at such a place
comes first, in the order of its precedent (``molgen.precedent.tables``); a share is left to what
the model grows and no table holds; and what is missing then is the model's, too, until
``max_draws`` have been drawn. A shortfall comes back with its reason. Without a table all is the
model's.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice
from typing import TYPE_CHECKING

from rdkit import Chem, rdBase

from molgen.base.arguments import check_count, check_temperature
from molgen.chem.refusals import Refusal
from molgen.generation.scaffolds.cutting import cut_core
from molgen.generation.scaffolds.gathering import Joiner, gather
from molgen.generation.scaffolds.partial_structures import Scaffold, parse_scaffold
from molgen.generation.scaffolds.prefixes import branches_of, groups_of
from molgen.generation.scaffolds.sources import (
    composed_decorations,
    decorations,
    grown_trees,
    halves_of,
    own_cores,
    own_decorations,
)
from molgen.motifs.assembly import to_smiles
from molgen.motifs.stereo import flat_smiles
from molgen.motifs.trees import MotifTree
from molgen.precedent.composing import widened
from molgen.precedent.fragment_counts import PartFigures
from molgen.precedent.fragment_cuts import MOST_MARKS
from molgen.precedent.limits import Limit, limit
from molgen.precedent.proposals import (
    ANY,
    Part,
    Wish,
    precedented,
)
from molgen.precedent.splicing import (
    joined,
    label,
    mark_contexts,
)
from molgen.sampling.molecules import Molecules

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

logger = logging.getLogger(__name__)
OWN = 0.25
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
    joiner = Joiner([parsed], unusual)
    known = decorations(table, parsed, wishes, n, fill_exits) if table else iter(())
    trees = grown_trees(model, parsed, seed, temperature, near, radius, most, None, n, fill_exits)
    grown = own_decorations(trees, parsed, wishes, table)
    halves = composed_decorations(model, parsed, wishes, seed) if table else iter(())
    share = own if table else 1.0
    return gather(joiner, known, grown, halves, n, share, most, parsed.smiles)


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
    return connect_parts(model, parts, n, seed, temperature, max_draws, wish, own, unusual)


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
    return connect_parts(model, parts, n, seed, temperature, max_draws, wish, own, unusual)


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
    trees = islice(grown_trees(model, parsed, seed, temperature, limit=n, wanted=n), n)
    drawn = (_finished(tree) for tree in trees)
    return [found[0] for found in drawn if not isinstance(found, Refusal)]


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
    trees = grown_trees(model, scaffold, seed, temperature, near, radius, most, wanted=n)
    n_atoms, n_rings = scaffold.mol.GetNumAtoms(), scaffold.mol.GetRingInfo().NumRings()

    def inside(found: _Candidate) -> bool:
        if isinstance(found, Refusal):
            return True
        more = found[1].GetRingInfo().NumRings() - n_rings
        atoms = found[1].GetNumAtoms() - n_atoms
        return sizes[0] <= atoms <= sizes[1] and rings[0] <= more <= rings[1]

    candidates = filter(inside, (grown_molecule(scaffold, tree) for tree in trees))
    own = {scaffold.smiles, flat_smiles(scaffold.mol)}
    found = _collect(candidates, n, own, drawn_query(scaffold.mol), scaffold.smiles, most)
    found.precedent = (0,) * len(found)
    return found


def grown_molecule(scaffold: Scaffold, tree: MotifTree) -> _Candidate:
    """Canonical SMILES and molecule of what grew from ``scaffold``, whose stereo is kept."""
    if not scaffold.has_stereo:
        return _finished(tree)
    if scaffold.marks:
        groups = enumerate(groups_of(scaffold, tree), 1)
        texts = [label(text, [number]) if text else f"[*:{number}]" for number, text in groups]
        return _checked(joined([scaffold.marked, *map(Chem.MolFromSmiles, texts)]), tree)
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
    return _checked(joined([whole.GetMol(), *parts]), tree)


def _checked(mol: Chem.Mol | None, tree: MotifTree) -> _Candidate:
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


def connect_parts(
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
    grown = own_cores(model, parts[largest], largest + 1, len(parts), wish, seed, temperature,
                       most, n, table)  # fmt: skip
    name = " and ".join(p.smiles for p in parts)
    joiner = Joiner(parts, unusual, fits)
    halves: Iterator[tuple[Part, ...]] = iter(())
    if table and len(parts) <= 2 and not wish.bare:
        halves = halves_of(model, parts[0], 1, contexts[1:], wish, seed)
    elif table and model.precedent is not None and len(parts) > 1:
        smaller = model.precedent.parts(len(parts) - 1)
        halves = ((part,) for part in widened(smaller, table, contexts, wish))
    if wish.atoms[1] == 0 or any(high < 2 for _, high in wish.length):
        grown = halves = iter(())  # a direct bond is all that there is
        direct = PartFigures(atoms=0, rings=0, rotors=1, bare=0, length=(1,), same=(0, 0))
        if wish.fits(direct):
            known = itertools.chain(known, [(Part("[*:1][*:2]", 0),)])
    return gather(joiner, known, grown, halves, n, own if table else 1.0, most, name)


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


def drawn_query(mol: Chem.Mol) -> Chem.Mol:
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
    with rdBase.BlockLogs():
        return _checked(Chem.MolFromSmiles(to_smiles(tree)), tree)
