"""Analogues of a lead: most of it stays, one or two places are changed.

Changes are of two sorts. Small ones are listed: another element, an atom more or less in a chain
or a ring, a branch taken away or moved (``molgen.generation.lead_changes``). Larger ones are
written by the model: a branch is cut off and the rest of the lead's own motif tree, or the part of
it around the cut, is the beginning from which the model writes another. Nothing passes through the
latent, so leads that the model cannot give back have analogues, too. What has been made is ranked
by similarity to the lead and by how likely the model finds it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rdkit import Chem

from molgen.base.arguments import check_count, check_temperature
from molgen.base.random_streams import seeded
from molgen.chem.fingerprints import fingerprints, tanimoto
from molgen.chem.parsing import canonical, parse_whole
from molgen.chem.properties import compute
from molgen.chem.refusals import Refusal
from molgen.chem.typed_molecules import as_typed
from molgen.filters.fast_filters import refuses
from molgen.filters.filter_sets import as_filter_set
from molgen.generation.cutting import find_parts
from molgen.generation.lead_changes import (
    Change,
    Lead,
    apply,
    branch_smiles,
    flat_smiles,
    n_open_stereo,
    small_changes,
)
from molgen.generation.near_precedent import known_changes, occurrences
from molgen.generation.partial_structures import cut_scaffold, make_scaffold
from molgen.generation.prefixes import prepare_prefix
from molgen.motifs.assembly import to_smiles
from molgen.motifs.trees import Edge, MotifError, MotifTree, locate
from molgen.sampling.likelihood import negative_log_likelihood
from molgen.sampling.molecules import Molecules
from molgen.sampling.unwritten import tell

if TYPE_CHECKING:
    import pandas as pd

    from molgen.generation.generator import Generator

logger = logging.getLogger(__name__)
_PLACES, _DRAWS = 6, 48
_MOST_ATOMS, _MOST_NODES, _PART_MOTIFS = 40, 24, 5
_CONTEXT = 2
_NEAR_ENOUGH = 0.7  # beyond this similarity, likelihood alone ranks
_NATS_PER_ATOM, _UNKNOWN = 1.2, -12.0
_PLACEHOLDER = "[AtH]"
_PER_LOG_COUNT, _MOST_LOG_COUNT = 0.02, 5.0
COLUMNS = ("smiles", "similarity", "kept", "kind", "change", "precedent", "log_likelihood")


@dataclass(frozen=True, eq=False)
class Analogue:
    """A changed lead: its molecule, SMILES (with and without stereo) and what was changed."""

    mol: Chem.Mol
    smiles: str
    flat: str
    changes: tuple[Change, ...]

    @property
    def changed(self) -> frozenset[int]:
        """Atoms of the lead that it does not have."""
        return frozenset().union(*(c.changed for c in self.changes))


def sample_near(
    model: Generator,
    smiles: str | Chem.Mol,
    n: int,
    radius: float = 0.3,
    seed: int = 0,
    temperature: float = 1.0,
    keep: str | Iterable[int] | None = None,
    change: str | Iterable[int] | None = None,
    filters: Any = "default",
) -> Molecules:
    """``n`` analogues of ``smiles``, best first: the SMILES of :func:`near_table`."""
    table = near_table(model, smiles, n, radius, seed, temperature, keep, change, filters)
    return Molecules(table["smiles"], table.attrs["dropped"], table.attrs["notes"])


def _one_part(mol: Chem.Mol) -> Chem.Mol:
    """The molecule, unless it is a salt or a mixture."""
    parts = Chem.MolToSmiles(mol).split(".")
    if len(parts) > 1:
        raise ValueError(
            f"{'.'.join(parts)} has {len(parts)} parts; expected the drug alone, as "
            "molgen.standardize gives it"
        )
    return mol


def near_table(
    model: Generator,
    smiles: str | Chem.Mol,
    n: int,
    radius: float = 0.3,
    seed: int = 0,
    temperature: float = 1.0,
    keep: str | Iterable[int] | None = None,
    change: str | Iterable[int] | None = None,
    filters: Any = "default",
) -> pd.DataFrame:
    """``n`` different analogues of a lead with one or two places changed, and what was changed.

    Args:
        radius: the share of the lead's heavy atoms that may go, be exchanged or moved, and about as
            many that may come, above 0 and up to 1; at least one atom may always change.
        keep: atoms that stay as they are, hydrogens included, as SMARTS (every match) or as atom
            numbers; a group that hangs on them may still be exchanged.
        change: the only atoms that may change, as SMARTS (every match) or as atom numbers.
        filters: what ``filter_molecules`` takes; an analogue fails none that the lead passes.
            None for no filters.
        temperature: below 1 more typical groups, above 1 more varied ones.

    Returns:
        DataFrame, best first: ``smiles``; ``similarity`` to the lead (Tanimoto, ECFP4); ``kept``,
        the share of the lead's heavy atoms that stayed in place; ``kind`` of change (exchange,
        add, remove, element, insert, delete, move); ``change`` in words, with the lead's atom
        numbers; ``precedent``, how often known molecules have what is new there on such atoms
        (the rarest of several; missing without a table); ``log_likelihood`` in nats, how much
        likelier than the lead the model finds it (NaN where it cannot say). ``attrs["dropped"]``
        has the reason where there are fewer than ``n``, ``attrs["notes"]`` what of the lead could
        not be carried over.

    Raises:
        ValueError: the molecule cannot be read, ``radius`` is not a share, or ``keep`` and
            ``change`` leave nothing to change.
    """
    import pandas as pd

    check_count(n)
    check_temperature(temperature)
    if not 0 < radius <= 1:
        raise ValueError(
            f"radius is {radius}; expected the share of the lead's atoms that may change, "
            "above 0 and at most 1"
        )
    lead = Lead(_one_part(parse_whole(smiles)))
    free = _free_atoms(lead, keep, change)
    most = max(1, round(radius * lead.n_heavy))
    dropped: list[Refusal] = []
    chosen: list[_Ranked] = []
    if n:
        found = _proposals(model, lead, free, most, n, seed, temperature)
        ranked = _rank(model, lead, found, n, seeded(seed, 0, 12))
        chosen = _choose(lead, ranked, n, filters)
    if len(chosen) < n:
        reason = (
            f"only {len(chosen)} of {n} analogues with at most {most} of "
            f"{lead.n_heavy} heavy atoms changed; a larger radius gives more"
        )
        logger.warning("%s", reason)
        dropped.append(Refusal(0, Chem.MolToSmiles(lead.mol), reason))
    rows = [
        (
            a.smiles,
            similarity,
            1 - len(a.changed) / lead.n_heavy,
            " and ".join(c.kind for c in a.changes),
            "; ".join(c.told for c in a.changes),
            _precedent(model, a) if known is None else known,
            likelihood,
        )
        for a, similarity, known, likelihood in chosen
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"precedent": "Int64"})
    table.attrs["dropped"] = dropped
    table.attrs["notes"] = tell(*_open_centres(lead, [a for a, *_ in chosen]))
    return table


def _open_centres(lead: Lead, analogues: Sequence[Analogue]) -> list[str]:
    """In words, how many analogues have a centre without a hand where the lead's has one, and how
    many have centres that the lead has not."""
    lost = [any(lead.is_stereo(a) for c in analogue.changes for a in c.place - c.removed)
            for analogue in analogues]  # fmt: skip
    before = n_open_stereo(lead.mol)
    new = sum(n_open_stereo(a.mol) > before for a, gone in zip(analogues, lost) if not gone)
    told = []
    if any(lost):
        told.append(
            f"in {sum(lost):,} of {len(analogues):,} analogues a stereocentre or double bond at "
            "the changed place is left unspecified"
        )
    if new:
        told.append(
            f"in {new:,} of {len(analogues):,} analogues what is new brings stereocentres or "
            "double bonds that are left unspecified"
        )
    return told


def _free_atoms(
    lead: Lead, keep: str | Iterable[int] | None, change: str | Iterable[int] | None
) -> set[int]:
    """Atoms that may change."""
    free = set(range(lead.n_atoms))
    if change is not None:
        free &= named_atoms(lead.mol, change, "change")
    if keep is not None:
        free -= named_atoms(lead.mol, keep, "keep")
    if not free:
        raise ValueError(
            f"keep={keep!r} and change={change!r} leave no atom of "
            f"{Chem.MolToSmiles(lead.mol)} that may change"
        )
    return free


def named_atoms(mol: Chem.Mol, named: str | Iterable[int], argument: str) -> set[int]:
    """Atoms of every match of a SMARTS, or of a list of atom numbers.

    Raises ValueError for a pattern that is not there and for numbers that the molecule lacks.
    """
    text = Chem.MolToSmiles(mol)
    if isinstance(named, str):
        return {a for match in find_parts(mol, named, text) for a in match}
    atoms = {int(a) for a in named}
    bad = sorted(a for a in atoms if not 0 <= a < mol.GetNumAtoms())
    if bad:
        raise ValueError(f"{argument} names atom {bad[0]}; {text} has {mol.GetNumAtoms()} atoms")
    return atoms


# --- proposals ------------------------------------------------------------------------------------
def _proposals(
    model: Generator,
    lead: Lead,
    free: set[int],
    most: int,
    n: int,
    seed: int,
    temperature: float,
) -> list[Analogue]:
    """Different molecules with one change, and as many again with two where that is needed."""
    rng = seeded(seed, 0, 11)
    singles = small_changes(lead, free, most)
    singles += _written_changes(model, lead, free, most, n, rng, temperature)
    singles = [c for c in singles if len(c.changed) <= most and c.added <= len(c.removed) + most]
    found: dict[str, Analogue] = {}
    sound = [c for c in singles if _keep_analogue(lead, (c,), found)]
    wanted = max(4 * n, len(found) + n)
    pairs = 0
    while sound and len(found) < wanted and pairs < 8 * wanted:
        pairs += 1
        first, second = (sound[int(i)] for i in rng.integers(len(sound), size=2))
        together = first.changed | second.changed
        if first.place & second.place or not 1 <= len(together) <= most:
            continue
        if first.added + second.added > most:
            continue
        _keep_analogue(lead, (first, second), found)
    return list(found.values())


def _keep_analogue(lead: Lead, changes: tuple[Change, ...], found: dict[str, Analogue]) -> bool:
    mol = apply(lead, changes)
    if mol is None:
        return False
    text = canonical(mol)
    flat = flat_smiles(mol, text)
    if flat == lead.flat:
        return False
    found.setdefault(flat, Analogue(mol, text, flat, changes))
    return True


def _written_changes(
    model: Generator,
    lead: Lead,
    free: set[int],
    most: int,
    n: int,
    rng: np.random.Generator,
    temperature: float,
) -> list[Change]:
    """Branches in place of others, and of hydrogens: those with precedent, and the model's."""
    flat = Chem.Mol(lead.mol)
    Chem.RemoveStereochemistry(flat)
    try:
        tree, place = locate(flat)
    except MotifError:
        return []
    changes: list[Change] = []
    places: list[tuple[int, int, frozenset[int]]] = [
        b
        for b in lead.branches()
        if b[2] <= free and len(b[2]) <= most and b[0] not in lead.charged
    ]
    open_atoms = [a for a in sorted(free - lead.charged) if lead.hydrogens[a]]
    places += [(a, -1, frozenset()) for a in open_atoms]
    seen: dict[tuple[object, ...], tuple[int, int, frozenset[int]]] = {}
    for anchor, first, atoms in places:
        key = (lead.rank[anchor], first >= 0 and lead.rank[first], len(atoms))
        seen.setdefault(key, (anchor, first, atoms))
    places = list(seen.values())
    if model.precedent is not None:
        changes += known_changes(model.precedent, lead, flat, places, most)
    chosen = rng.permutation(len(places))[: max(_PLACES, n // 4)]
    for number in sorted(chosen):
        anchor, first, atoms = places[int(number)]
        parts = _written_parts(
            model, flat, tree, place, anchor, atoms, most + len(atoms), rng, temperature
        )
        for text, size in parts:
            old = branch_smiles(lead, first, atoms) if atoms else "*[H]"
            if text == old:
                continue
            changes.append(
                Change(
                    "exchange" if atoms else "add",
                    atoms | {anchor},
                    removed=atoms,
                    cuts=((anchor, first),) if atoms else (),
                    fragment=(anchor, text),
                    added=size,
                    what=f"{old} -> {text}",
                )
            )
    return changes


def _written_parts(
    model: Generator,
    flat: Chem.Mol,
    tree: MotifTree,
    place: Sequence[tuple[int, int]],
    anchor: int,
    without: frozenset[int],
    most: int,
    rng: np.random.Generator,
    temperature: float,
) -> list[tuple[str, int]]:
    """Different branches (SMILES with ``*``, heavy atoms) that the model hangs on ``anchor``."""
    around = _neighbourhood(tree, place, anchor, without)
    uniforms = model.uniforms(_DRAWS, rng)  # drawn even where nothing is written: streams agree
    try:
        part = cut_scaffold(flat, around, "the part around the cut").mol
        scaffold = make_scaffold(_marked(part, around.index(anchor)), "the part around the cut")
        writer, prefix = prepare_prefix(model, scaffold)
    except ValueError:
        return []
    limit = len(prefix.token) + min(most, _PART_MOTIFS)
    z, level = torch.zeros(1, model.latent_dim), torch.ones(1)
    trees = writer.write(z, level, uniforms, temperature, prefix, limit)
    found: dict[str, int] = {}
    for grown in trees:
        branch = _grown_branch(grown, len(prefix.token))
        if branch is not None and branch[1] <= most:
            found.setdefault(*branch)
    return list(found.items())


def _marked(mol: Chem.Mol, atom: int) -> Chem.Mol:
    """The molecule with an open mark in place of a hydrogen of ``atom``.

    Raises ValueError if the atom has no hydrogen.
    """
    anchor = mol.GetAtomWithIdx(atom)
    if not anchor.GetTotalNumHs():
        raise ValueError("there is no hydrogen to replace")
    editable = Chem.RWMol(mol)
    own = editable.GetAtomWithIdx(atom)
    own.SetNumExplicitHs(max(own.GetNumExplicitHs() - 1, 0))
    editable.AddBond(atom, editable.AddAtom(Chem.Atom(0)), Chem.BondType.SINGLE)
    Chem.SanitizeMol(editable)
    return editable.GetMol()


def _neighbourhood(
    tree: MotifTree,
    place: Sequence[tuple[int, int]],
    anchor: int,
    without: frozenset[int],
) -> list[int]:
    """Atoms of the motifs around ``anchor``, nearest first, as many as the model is to be shown."""
    members: dict[int, list[int]] = defaultdict(list)
    for atom, (node, _) in enumerate(place):
        members[node].append(atom)
    neighbours: dict[int, list[int]] = defaultdict(list)
    for edge in tree.edges:
        neighbours[edge.parent].append(edge.child)
        neighbours[edge.child].append(edge.parent)
    barred = {place[a][0] for a in without}
    queue, atoms = [place[anchor][0]], 0
    taken: list[int] = []
    while queue and len(taken) < _MOST_NODES:
        node = queue.pop(0)
        if taken and atoms + len(members[node]) > _MOST_ATOMS:
            break
        taken.append(node)
        atoms += len(members[node])
        queue += [o for o in neighbours[node] if o not in barred and o not in taken + queue]
    return sorted(a for node in taken for a in members[node])


def _grown_branch(tree: MotifTree, n_prefix: int) -> tuple[str, int] | None:
    """What hangs on the prefix, where it is one branch: its SMILES with ``*``, its heavy atoms."""
    joints = [e for e in tree.edges if e.parent < n_prefix <= e.child]
    if len(joints) != 1:
        return None
    new = {node: node - n_prefix for node in range(n_prefix, len(tree))}
    edges = tuple(
        Edge(new[e.parent], e.parent_atom, new[e.child], e.child_atom)
        for e in tree.edges
        if e.parent >= n_prefix
    )
    text = _with_star(tuple(tree.motifs[n_prefix:]), edges, joints[0].child_atom)
    return text


@lru_cache(maxsize=20_000)
def _graft(
    tree: MotifTree, site: tuple[int, int], fragment: MotifTree, exit_site: tuple[int, int]
) -> MotifTree:
    """``fragment`` hung on ``site`` of ``tree`` by its own ``exit_site``."""
    start = len(tree)
    new_number: dict[int, int] = {}
    edges: list[Edge] = []
    joined: dict[int, list[tuple[int, int, int]]] = {}
    for e in fragment.edges:
        joined.setdefault(e.parent, []).append((e.child, e.parent_atom, e.child_atom))
        joined.setdefault(e.child, []).append((e.parent, e.child_atom, e.parent_atom))
    queue = [(exit_site[0], *site, exit_site[1])]
    motifs = list(tree.motifs)
    while queue:
        node, parent, parent_atom, atom = queue.pop(0)
        if node in new_number:
            continue
        new_number[node] = start + len(new_number)
        motifs.append(fragment.motifs[node])
        edges.append(Edge(parent, parent_atom, new_number[node], atom))
        for other, mine, theirs in joined.get(node, []):
            if other not in new_number:
                queue.append((other, new_number[node], mine, theirs))
    return MotifTree(tuple(motifs), (*tree.edges, *edges))


def _with_star(
    motifs: tuple[str, ...], edges: tuple[Edge, ...], atom: int
) -> tuple[str, int] | None:
    whole = _graft(MotifTree((_PLACEHOLDER,), ()), (0, 0), MotifTree(motifs, edges), (0, atom))
    mol = Chem.MolFromSmiles(to_smiles(whole))
    if mol is None:
        return None
    star = next(a for a in mol.GetAtoms() if a.GetSymbol() == "At")
    star.SetAtomicNum(0)
    star.SetNoImplicit(True)
    return Chem.MolToSmiles(mol, rootedAtAtom=star.GetIdx()), mol.GetNumHeavyAtoms()


# --- ranking and choice ---------------------------------------------------------------------------
#: An analogue, its similarity, its precedent (None without a table), and how much likelier than the
#: lead it is.
_Ranked = tuple[Analogue, float, int | None, float]


def _rank(
    model: Generator, lead: Lead, found: list[Analogue], n: int, rng: np.random.Generator
) -> list[_Ranked]:
    """The analogues, best first."""
    if not found:
        return []
    similarity = tanimoto(fingerprints([a.mol for a in found]), fingerprints([lead.mol]))[
        :, 0
    ].astype(float)
    # The model is asked about the nearest of each kind of change only: it is the slow part.
    likely = np.full(len(found), np.nan)
    shortlist = _mixed(found, similarity, n + n // 2 + 20)
    likely[shortlist] = relative_likelihood(model, lead, [found[i] for i in shortlist])
    known: list[int | None] = [None] * len(found)
    for i in shortlist:
        known[i] = _precedent(model, found[i])
    size = np.array([sum(c.added - len(c.removed) for c in a.changes) for a in found])
    value = np.minimum(similarity, _NEAR_ENOUGH) + 0.04 * merit(found, likely)
    value += 0.03 * rng.gumbel(size=len(found))
    logs = np.log1p(np.array([count or 0 for count in known]))
    value += _PER_LOG_COUNT * np.minimum(logs, _MOST_LOG_COUNT)
    value -= 0.03 * np.maximum(np.abs(size) - 3, 0)  # rings that only come or go are no small step
    order = sorted(shortlist, key=lambda i: -value[i])
    order += sorted(set(range(len(found))) - set(shortlist), key=lambda i: -value[i])
    return [(found[i], float(similarity[i]), known[i], float(likely[i])) for i in order]


def _precedent(model: Generator, analogue: Analogue) -> int | None:
    """How often known molecules have what the changes brought, on such atoms; see the table."""
    if model.precedent is None:
        return None
    mol = analogue.mol
    changed = [a.GetIdx() for a in mol.GetAtoms() if not a.HasProp("lead")]
    if not changed:  # something went, or moved
        place = frozenset().union(*(c.place for c in analogue.changes))
        changed = [a.GetIdx() for a in mol.GetAtoms() if a.GetIntProp("lead") in place]
    try:
        motif_of = [node for node, _ in locate(mol)[1]]
    except MotifError:
        return 0
    return occurrences(model.precedent, mol, motif_of, changed)


def _mixed(found: Sequence[Analogue], similarity: np.ndarray, n: int) -> list[int]:
    """Numbers of ``n`` analogues: the nearest of every kind of change in turn."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for i in sorted(range(len(found)), key=lambda i: -similarity[i]):
        changes = found[i].changes
        kinds[changes[0].kind if len(changes) == 1 else "two"].append(i)
    chosen: list[int] = []
    depth = 0
    while len(chosen) < min(n, len(found)):
        chosen += [numbers[depth] for numbers in kinds.values() if depth < len(numbers)]
        depth += 1
    return chosen[:n]


def relative_likelihood(model: Generator, lead: Lead, analogues: Sequence[Analogue]) -> np.ndarray:
    """How much likelier than the lead the model finds analogues, (n,) nats.

    Compared are the motifs within two steps of what changed, as far as the model knows them, in
    the analogue and in the lead; NaN where it does not know what changed.
    """
    known = set(model.network.vocabulary.motifs)
    own = _Parts(lead.mol, known)
    texts: list[str] = []
    number: dict[str, int] = {}

    def ask(text: str | None) -> int:
        if text is None:
            return -1
        if text not in number:
            number[text] = len(texts)
            texts.append(text)
        return number[text]

    pairs = []
    for analogue in analogues:
        place = frozenset().union(*(c.place for c in analogue.changes))
        new = _Parts(analogue.mol, known)
        kept = {
            a.GetIntProp("lead"): a.GetIdx() for a in analogue.mol.GetAtoms() if a.HasProp("lead")
        }
        touched = {kept[a] for a in place if a in kept}
        touched |= {a.GetIdx() for a in analogue.mol.GetAtoms() if not a.HasProp("lead")}
        pairs.append((ask(new.around(touched)), ask(own.around(set(place)))))
    scores = np.append(negative_log_likelihood(model, texts), np.nan)
    return np.array([scores[before] - scores[after] for after, before in pairs])


class _Parts:
    """A molecule's motif tree, from which the part around some atoms can be taken."""

    def __init__(self, mol: Chem.Mol, known: set[str]) -> None:
        self.tree, self.place = locate(mol)
        self.known = [m in known for m in self.tree.motifs]
        self.neighbours: dict[int, list[int]] = defaultdict(list)
        for edge in self.tree.edges:
            self.neighbours[edge.parent].append(edge.child)
            self.neighbours[edge.child].append(edge.parent)
        self._texts: dict[frozenset[int], str] = {}

    def around(self, atoms: set[int]) -> str | None:
        """SMILES of the known motifs within two steps of the motifs of ``atoms``."""
        start = {self.place[a][0] for a in atoms}
        if not start or not all(self.known[node] for node in start):
            start = {node for node in start if self.known[node]}
            if not start:
                return None
        nodes = self._connected(start)
        if nodes is None:
            return None
        for _ in range(_CONTEXT):
            nodes |= {o for node in nodes for o in self.neighbours[node] if self.known[o]}
        key = frozenset(nodes)
        if key not in self._texts:
            self._texts[key] = to_smiles(_subtree(self.tree, sorted(key)))
        return self._texts[key]

    def _connected(self, nodes: set[int]) -> set[int] | None:
        """``nodes`` and those between them; None where an unknown motif stands between."""
        parent = {e.child: e.parent for e in self.tree.edges}
        paths = []
        for node in nodes:
            path = [node]
            while path[-1] in parent:
                path.append(parent[path[-1]])
            paths.append(path)
        common = set(paths[0]).intersection(*map(set, paths[1:]))
        top = max(common)
        joined = {node for path in paths for node in path[: path.index(top) + 1]}
        return joined if all(self.known[node] for node in joined) else None


def _subtree(tree: MotifTree, nodes: Sequence[int]) -> MotifTree:
    new = {node: i for i, node in enumerate(nodes)}
    edges = tuple(
        Edge(new[e.parent], e.parent_atom, new[e.child], e.child_atom)
        for e in tree.edges
        if e.parent in new and e.child in new
    )
    return MotifTree(tuple(tree.motifs[node] for node in nodes), edges)


def _choose(lead: Lead, ranked: list[_Ranked], n: int, filters: Any) -> list[_Ranked]:
    """The first ``n`` that fail no filter that the lead passes, not too many at one place."""
    passes = filter_test([lead.mol], filters)
    return list(islice((e for e in _spread(ranked) if passes(e[0].mol)), n))


def _spread(ranked: list[_Ranked]) -> list[_Ranked]:
    """In turn from each place and kind of change, the places of the best first."""
    groups: dict[tuple[object, ...], list[_Ranked]] = defaultdict(list)
    for entry in ranked:
        key = tuple((c.kind, *sorted(c.changed or c.place)) for c in entry[0].changes)
        groups[key if len(key) == 1 else ("two",)].append(entry)
    ordered: list[_Ranked] = []
    depth = 0
    while len(ordered) < len(ranked):
        ordered += [g[depth] for g in groups.values() if depth < len(g)]
        depth += 1
    return ordered


def filter_test(mols: Sequence[Chem.Mol], filters: Any) -> Callable[[Chem.Mol], bool]:
    """Whether a molecule fails none of ``filters`` but those that one of ``mols`` fails, too."""
    if filters is None:
        return lambda mol: True
    chosen = as_filter_set(filters)
    failed = {reason.filter for mol in mols for reason in chosen.refuse(mol)}
    asked = [f for f in chosen.filters if f.name not in failed]
    names = list(dict.fromkeys(d for f in asked for d in f.descriptors))

    def passes(mol: Chem.Mol) -> bool:
        typed, values = as_typed(mol), compute(mol, names)
        return not any(refuses(f, typed, values) for f in asked)

    return passes


def merit(analogues: Sequence[Analogue], likelihood: np.ndarray) -> np.ndarray:
    """How much likelier than its lead each analogue is for its size, (n,), between -12 and 3.

    An atom costs some nats wherever it is: what counts is to be likelier than so many atoms are.
    """
    size = np.array([sum(c.added - len(c.removed) for c in a.changes) for a in analogues])
    value = np.nan_to_num(likelihood, nan=_UNKNOWN) + _NATS_PER_ATOM * size
    return np.clip(value, _UNKNOWN, 3.0)
