"""Ranking of a lead's analogues, and the choice among them.

Ranked by similarity to the lead, by how likely the model finds what is new (compared with the lead)
and by its precedent in known molecules; chosen in turn from each place and kind of change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem

from molgen.chem.fingerprints import fingerprints, tanimoto
from molgen.filters.lead_test import filter_test
from molgen.generation.leads.changes import Analogue, Lead
from molgen.generation.leads.precedent import occurrences
from molgen.motifs.assembly import to_smiles
from molgen.motifs.trees import Edge, MotifError, MotifTree, locate
from molgen.sampling.likelihood import negative_log_likelihood

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

_CONTEXT = 2
_NEAR_ENOUGH = 0.7  # beyond this similarity, likelihood alone ranks
_NATS_PER_ATOM, _UNKNOWN = 1.2, -12.0
_PER_LOG_COUNT, _MOST_LOG_COUNT = 0.02, 5.0
#: An analogue, its similarity, its precedent (None without a table), and how much likelier than the
#: lead it is.
Ranked = tuple[Analogue, float, int | None, float]


def rank(
    model: Generator, lead: Lead, found: list[Analogue], n: int, rng: np.random.Generator
) -> list[Ranked]:
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
        known[i] = precedent_of(model, found[i])
    size = np.array([sum(c.added - len(c.removed) for c in a.changes) for a in found])
    value = np.minimum(similarity, _NEAR_ENOUGH) + 0.04 * merit(found, likely)
    value += 0.03 * rng.gumbel(size=len(found))
    logs = np.log1p(np.array([count or 0 for count in known]))
    value += _PER_LOG_COUNT * np.minimum(logs, _MOST_LOG_COUNT)
    value -= 0.03 * np.maximum(np.abs(size) - 3, 0)  # rings that only come or go are no small step
    order = sorted(shortlist, key=lambda i: -value[i])
    order += sorted(set(range(len(found))) - set(shortlist), key=lambda i: -value[i])
    return [(found[i], float(similarity[i]), known[i], float(likely[i])) for i in order]


def precedent_of(model: Generator, analogue: Analogue) -> int | None:
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


def choose(lead: Lead, ranked: list[Ranked], n: int, filters: Any) -> list[Ranked]:
    """The first ``n`` that fail no filter that the lead passes, not too many at one place."""
    passes = filter_test([lead.mol], filters)
    return list(islice((e for e in _spread(ranked) if passes(e[0].mol)), n))


def _spread(ranked: list[Ranked]) -> list[Ranked]:
    """In turn from each place and kind of change, the places of the best first."""
    groups: dict[tuple[object, ...], list[Ranked]] = defaultdict(list)
    for entry in ranked:
        key = tuple((c.kind, *sorted(c.changed or c.place)) for c in entry[0].changes)
        groups[key if len(key) == 1 else ("two",)].append(entry)
    ordered: list[Ranked] = []
    depth = 0
    while len(ordered) < len(ranked):
        ordered += [g[depth] for g in groups.values() if depth < len(g)]
        depth += 1
    return ordered


def merit(analogues: Sequence[Analogue], likelihood: np.ndarray) -> np.ndarray:
    """How much likelier than its lead each analogue is for its size, (n,), between -12 and 3.

    An atom costs some nats wherever it is: what counts is to be likelier than so many atoms are.
    """
    size = np.array([sum(c.added - len(c.removed) for c in a.changes) for a in analogues])
    value = np.nan_to_num(likelihood, nan=_UNKNOWN) + _NATS_PER_ATOM * size
    return np.clip(value, _UNKNOWN, 3.0)
