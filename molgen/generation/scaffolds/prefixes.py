"""Turns a scaffold into the model's first steps, and gives the decoder motifs that it has not seen.

Motifs that training never saw (or saw attached elsewhere only) get vectors from their atoms'
environments. A model keeps what it was once extended by: the tables of its decoder have room for
further rows, which are filled and never changed again, so that a new scaffold costs a millisecond
and not the tables over again.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch

from molgen.generation.scaffolds.partial_structures import MAX_HEAVY_ATOMS, Scaffold, parse_scaffold
from molgen.model.graph_vae import GraphVAE
from molgen.motifs.assembly import branch_to_smiles
from molgen.motifs.trees import MotifTree, motif
from molgen.motifs.vocabulary import Vocabulary, attachments, build_vocabulary
from molgen.motifs.vocabulary_growth import append, extend
from molgen.sampling.decoding import Prefix, Writer
from molgen.sampling.input_tables import SITE_TABLES, TOKEN_TABLES, InputTables, input_tables

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

_ROOM_FOR_TOKENS = 1_024
_ROOM_FOR_SITES = 8_192


def prepare_prefix(
    model: Generator, scaffold: str | Scaffold, fill: bool = True
) -> tuple[Writer, Prefix]:
    """What is needed to grow from ``scaffold``: a writer that knows its motifs, and its steps.

    fill: a molecule is finished only when something hangs at each mark of the scaffold.

    Raises ValueError if it has as many motifs as the model writes at all, or cannot be used.
    """
    parsed = parse_scaffold(scaffold) if isinstance(scaffold, str) else scaffold
    most = model.network.config.max_motifs
    if len(parsed.tree) + max(len(parsed.marks), 1) > most:
        raise ValueError(
            f"the scaffold {parsed.smiles} has {len(parsed.tree)} motifs and "
            f"{len(parsed.marks)} marks; the model writes {most} motifs at the most"
        )
    steps = _Steps(parsed)
    writer = model.writer
    if any(_token(writer.vocabulary, smiles, atom) < 0 for smiles, atom in steps.tokens):
        if writer.open:
            longer = extend(writer.vocabulary, [smiles for smiles, _ in steps.tokens])
            writer = writer.extended(longer)
            return writer, _to_prefix(parsed, steps, longer, fill)
        tables = _tables_of(model)
        tables.add([smiles for smiles, _ in steps.tokens])
        writer = tables.writer
    return writer, _to_prefix(parsed, steps, writer.vocabulary, fill)


# --- a scaffold's steps ---------------------------------------------------------------------------
class _Steps:
    """The tokens (motif, attachment atom; -1 for the first) that write a scaffold.

    Atoms are numbered up to a symmetry of their motif, chosen so that they are those that the
    vocabulary lists.
    """

    def __init__(self, scaffold: Scaffold) -> None:
        tree = scaffold.tree
        attachment = {e.child: e.child_atom for e in tree.edges}
        self.symmetry: list[tuple[int, ...]] = []
        for node, smiles in enumerate(tree.motifs):
            joined = [e.parent_atom for e in tree.edges if e.parent == node]
            if node in attachment:
                joined.insert(0, attachment[node])
            best = min(motif(smiles).automorphisms, key=lambda p: [p[a] for a in joined])
            self.symmetry.append(best)
        self.tokens = [(tree.motifs[0], -1)]
        self.tokens += [
            (tree.motifs[c], self.symmetry[c][attachment[c]]) for c in range(1, len(tree))
        ]

    def sites(self, scaffold: Scaffold) -> list[tuple[int, int]]:
        """What each mark hangs on, (node, atom), in this numbering."""
        return [(node, self.symmetry[node][atom]) for node, atom in scaffold.exit_sites()]


def _to_prefix(scaffold: Scaffold, steps: _Steps, vocabulary: Vocabulary, fill: bool) -> Prefix:
    n = len(scaffold.tree)
    token = np.array([_token(vocabulary, s, a) for s, a in steps.tokens], dtype=np.int64)
    parent = np.zeros(n, dtype=np.int64)
    parent_site = np.full(n, -1, dtype=np.int64)
    for edge in scaffold.tree.edges:
        parent[edge.child] = edge.parent + 1
        parent_site[edge.child] = _site(
            vocabulary, int(token[edge.parent]), steps.symmetry[edge.parent][edge.parent_atom]
        )
    exits = Counter(steps.sites(scaffold)) if scaffold.marks else None
    return Prefix(token, parent, parent_site, exits, fill)


def groups_of(scaffold: Scaffold, tree: MotifTree) -> list[str]:
    """What hangs at each mark of ``scaffold`` in a molecule grown from it, as SMILES with ``*``.

    An empty text stands for a mark at which nothing hangs.
    """
    first = len(scaffold.tree)
    hanging: dict[tuple[int, int], list[int]] = {}
    for edge in tree.edges:
        if edge.parent < first <= edge.child:
            hanging.setdefault((edge.parent, edge.parent_atom), []).append(edge.child)
    groups = []
    for site in _Steps(scaffold).sites(scaffold):
        nodes = hanging.get(site)
        groups.append(f"*{branch_to_smiles(tree, nodes.pop(0))}" if nodes else "")
    return groups


def _token(vocabulary: Vocabulary, smiles: str, atom: int) -> int:
    """Number of a token, or -1; where a motif was entered twice, the later entry is complete."""
    index = len(vocabulary.motifs) - 1
    while index >= 0 and vocabulary.motifs[index] != smiles:
        index -= 1
    if index < 0:
        return -1
    if atom >= 0:
        return int(vocabulary.atom_token[vocabulary.atom_offset[index] + atom])
    starts = (vocabulary.token_motif == index) & (vocabulary.token_atom < 0)
    return int(np.flatnonzero(starts)[0])


def _site(vocabulary: Vocabulary, token: int, atom: int) -> int:
    start, stop = vocabulary.site_offset[token], vocabulary.site_offset[token + 1]
    return int(start + np.flatnonzero(vocabulary.site_atom[start:stop] == atom)[0])


def branches_of(scaffold: Scaffold, tree: MotifTree) -> list[tuple[int, str]]:
    """All that hangs on ``scaffold`` in a molecule grown from it: atom, and SMILES with ``*``."""
    first, symmetry = len(scaffold.tree), _Steps(scaffold).symmetry
    atom_at = {(n, symmetry[n][a]): atom for atom, (n, a) in enumerate(scaffold.place)}
    return [
        (atom_at[edge.parent, edge.parent_atom], f"*{branch_to_smiles(tree, edge.child)}")
        for edge in tree.edges
        if edge.parent < first <= edge.child
    ]


# --- a decoder with room for more motifs ----------------------------------------------------------
_TABLES: WeakKeyDictionary[GraphVAE, _RoomyTables] = WeakKeyDictionary()


def _tables_of(model: Generator) -> _RoomyTables:
    if model.network not in _TABLES:
        _TABLES[model.network] = _RoomyTables(model.writer)
    return _TABLES[model.network]


class _RoomyTables:
    """The tables of a writer with spare rows; ``writer`` sees the rows filled so far.

    New tokens stand after all others, those that start a molecule included: enough for a prefix,
    but not the order that sampling without one expects.
    """

    def __init__(self, writer: Writer) -> None:
        self.base = self.writer = writer
        self.environment = writer.network.vocabulary.environment
        self.order = np.argsort(self.environment)
        self._allocate(writer)

    def _allocate(self, writer: Writer, tokens: int = 0, sites: int = 0) -> None:
        self.tables: dict[str, torch.Tensor] = {}
        for names, room in (
            (TOKEN_TABLES, max(tokens, _ROOM_FOR_TOKENS)),
            (SITE_TABLES, max(sites, _ROOM_FOR_SITES)),
        ):
            for name in names:
                old = getattr(writer.tables, name)
                shape = [len(old) + room, *old.shape[1:]]
                if name in ("sites_of", "capacity_of"):
                    shape[1] = max(shape[1], MAX_HEAVY_ATOMS)
                table = old.new_zeros(shape)
                table[tuple(slice(0, size) for size in old.shape)] = old
                self.tables[name] = table

    def add(self, motifs: Sequence[str]) -> None:
        """Make room for ``motifs``, each attachable by any atom with a hydrogen."""
        added = [m for m in dict.fromkeys(motifs) if not self._is_complete(m)]
        if not added:
            return
        tokens = [(m, a) for m in added for a in attachments(m)]
        new = self._with_known_rows(build_vocabulary(added, tokens))
        old = self.writer.vocabulary
        full = old.n_tokens + new.n_tokens > len(
            self.tables["token_input"]
        ) or old.n_sites + new.n_sites > len(self.tables["site_input"])
        if full:  # writers handed out before keep the tables that they have
            self.writer = self.base
            self._allocate(self.base, new.n_tokens, new.n_sites)
            old = self.base.vocabulary
        self._fill(new, old.n_tokens, old.n_sites)
        self.writer = self._view(append(old, new))

    def _is_complete(self, smiles: str) -> bool:
        vocabulary = self.writer.vocabulary
        return _token(vocabulary, smiles, -1) >= 0 and all(
            _token(vocabulary, smiles, atom) >= 0 for atom in attachments(smiles)
        )

    def _with_known_rows(self, new: Vocabulary) -> Vocabulary:
        """``new`` with its description rows numbered as the model's; 0 for what is unknown."""
        place = np.searchsorted(self.environment, new.environment, sorter=self.order)
        place = self.order[np.minimum(place, len(self.order) - 1)]
        known = np.where(self.environment[place] == new.environment, place + 1, 0)
        row_of = np.concatenate([[0], known]).astype(np.int32)
        names = ("atom_row", "token_row", "site_row")
        return replace(new, **{name: row_of[getattr(new, name)] for name in names})

    def _fill(self, new: Vocabulary, first_token: int, first_site: int) -> None:
        room = self.tables["sites_of"].shape[1]
        made = vars(input_tables(self.base.network, new, room))
        held = torch.arange(room) < made["site_count"].unsqueeze(1)
        made["sites_of"] += first_site * held
        for names, first in ((TOKEN_TABLES, first_token), (SITE_TABLES, first_site)):
            for name in names:
                self.tables[name][first : first + len(made[name])] = made[name]

    def _view(self, vocabulary: Vocabulary) -> Writer:
        writer = copy.copy(self.base)
        writer.vocabulary = vocabulary
        sizes = dict.fromkeys(TOKEN_TABLES, vocabulary.n_tokens)
        sizes |= dict.fromkeys(SITE_TABLES, vocabulary.n_sites)
        writer.tables = InputTables(**{k: self.tables[k][:size] for k, size in sizes.items()})
        return writer
