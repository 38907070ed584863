"""Branches that take the place of a lead's branches and hydrogens, written by the model.

The part of the lead's motif tree around the place is the beginning from which the model writes on;
what known molecules have at such a place (``molgen.generation.leads.precedent``) comes beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from rdkit import Chem

from molgen.generation.leads.changes import Change, Lead, branch_smiles
from molgen.generation.leads.precedent import known_changes
from molgen.generation.scaffolds.partial_structures import cut_scaffold, make_scaffold
from molgen.generation.scaffolds.prefixes import prepare_prefix
from molgen.motifs.assembly import to_smiles
from molgen.motifs.trees import Edge, MotifError, MotifTree, locate

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

_PLACES, _DRAWS = 6, 48
_MOST_ATOMS, _MOST_NODES, _PART_MOTIFS = 40, 24, 5
_PLACEHOLDER = "[AtH]"


def written_changes(
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
    uniforms = model.uniforms(_DRAWS, rng)  # drawn always: later numbers stay the same
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
