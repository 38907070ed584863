"""Partial molecules: scaffolds with exits, cores cut out of molecules, fragments to be joined.

What a chemist types or cuts out is checked once, here; ``molgen.generation.prefixes`` writes it in
the model's own steps, so that growing from it needs no search and keeps it by construction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rdkit import Chem

from molgen.chem.parsing import MoleculeError, abbreviate, parse
from molgen.motifs.trees import Edge, MotifError, MotifTree, cut_bonds, locate, motif

MAX_HEAVY_ATOMS = 60


@dataclass(frozen=True, eq=False)
class Scaffold:
    """A partial molecule.

    mol: without dummy atoms. exits: atoms of ``mol`` where growth may start; empty for anywhere.
    tree, place: its motif tree, and (node, atom) of each atom of ``mol``.
    """

    mol: Chem.Mol
    exits: frozenset[int]
    tree: MotifTree
    place: tuple[tuple[int, int], ...]

    @property
    def smiles(self) -> str:
        """Canonical SMILES, without exits."""
        return Chem.MolToSmiles(self.mol)

    def exit_sites(self) -> frozenset[tuple[int, int]]:
        """The exits as (node, atom) of the tree."""
        return frozenset(self.place[a] for a in self.exits)


def parse_scaffold(text: str) -> Scaffold:
    """Read a scaffold from SMILES; dummy atoms (``*``, ``[*:1]``) mark exits.

    Raises ValueError if it cannot be read, is in several pieces, is too large, has an exit that
    does not hang on one atom by a single bond, or has no hydrogen left to grow from.
    """
    try:
        mol = parse(text)
    except MoleculeError as error:
        raise ValueError(
            f"the scaffold {abbreviate(text)} is not a SMILES that RDKit can read: {error.reason}"
        ) from None
    editable = Chem.RWMol(mol)
    exits, dummies = [], []
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum():
            continue
        bonds = atom.GetBonds()
        if len(bonds) != 1 or bonds[0].GetBondType() != Chem.BondType.SINGLE:
            raise ValueError(
                f"exit {atom.GetSmarts()} of the scaffold {text!r} must hang on exactly one atom "
                "by a single bond"
            )
        exits.append(bonds[0].GetOtherAtomIdx(atom.GetIdx()))
        dummies.append(atom.GetIdx())
    if len(dummies) == mol.GetNumAtoms() or any(e in dummies for e in exits):
        raise ValueError(f"the scaffold {text!r} has exits but no atoms")
    _release(editable, zip(exits, dummies))
    core, index = _without(editable, set(dummies))
    return make_scaffold(core, {index[e] for e in exits}, text)


def cut_scaffold(mol: Chem.Mol, atoms: Iterable[int], name: str) -> Scaffold:
    """The part of ``mol`` made of ``atoms``, with exits where the rest was attached.

    Raises ValueError unless all bonds to the rest are single bonds outside rings.
    """
    kept = set(atoms)
    cuttable = {frozenset(pair) for pair in cut_bonds(mol)}
    crossing = []
    for bond in mol.GetBonds():
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if (a in kept) == (b in kept):
            continue
        if frozenset((a, b)) not in cuttable:
            raise ValueError(
                f"{name} cannot be cut out of {Chem.MolToSmiles(mol)}: atoms {a} and {b} are "
                "joined by a ring bond or a multiple bond"
            )
        crossing.append((a, b) if a in kept else (b, a))
    editable = Chem.RWMol(mol)
    _release(editable, crossing)
    core, index = _without(editable, set(range(mol.GetNumAtoms())) - kept)
    return make_scaffold(core, {index[a] for a, _ in crossing}, name)


def make_scaffold(mol: Chem.Mol, exits: Iterable[int], name: str) -> Scaffold:
    """Check a partial molecule and find its motifs."""
    if mol.GetNumAtoms() == 0:
        raise ValueError(f"the scaffold {name!r} has no atoms")
    pieces = len(Chem.GetMolFrags(mol))
    if pieces > 1:
        raise ValueError(f"the scaffold {name!r} is in {pieces} pieces; expected one")
    if mol.GetNumHeavyAtoms() > MAX_HEAVY_ATOMS:
        raise ValueError(
            f"the scaffold {name!r} has {mol.GetNumHeavyAtoms()} heavy atoms; "
            f"at most {MAX_HEAVY_ATOMS} are supported"
        )
    exits = frozenset(exits)
    open_atoms = exits or range(mol.GetNumAtoms())
    for atom in exits:
        if not mol.GetAtomWithIdx(atom).GetTotalNumHs():
            raise ValueError(f"an exit of {name!r} is on an atom without a hydrogen to replace")
    if not any(mol.GetAtomWithIdx(a).GetTotalNumHs() for a in open_atoms):
        raise ValueError(f"the scaffold {name!r} has no hydrogen that growth could replace")
    try:
        tree, place = locate(mol)
    except MotifError as error:
        raise ValueError(f"the scaffold {name!r} cannot be used: {error}") from None
    return Scaffold(mol, exits, tree, tuple(place))


def _release(editable: Chem.RWMol, pairs: Iterable[tuple[int, int]]) -> None:
    """Cut each (kept, dropped) bond and give the kept atom a hydrogen for it."""
    for kept, dropped in pairs:
        atom = editable.GetAtomWithIdx(kept)
        hydrogens = atom.GetTotalNumHs() + 1
        editable.RemoveBond(kept, dropped)
        atom.SetNoImplicit(True)
        atom.SetNumExplicitHs(hydrogens)
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)


def _without(editable: Chem.RWMol, dropped: set[int]) -> tuple[Chem.Mol, dict[int, int]]:
    index, new = {}, 0
    for old in range(editable.GetNumAtoms()):
        if old not in dropped:
            index[old] = new
            new += 1
    for old in sorted(dropped, reverse=True):
        editable.RemoveAtom(old)
    mol = editable.GetMol()
    try:
        Chem.SanitizeMol(mol)
    except Chem.MolSanitizeException as error:
        raise ValueError(f"what is left is not a valid molecule: {error}") from None
    return mol, index


def free_sites(tree: MotifTree, first_node: int = 0) -> list[tuple[int, int]]:
    """(node, atom) with a hydrogen left, one for each class of equivalent atoms of a motif."""
    used: dict[tuple[int, int], int] = {}
    for edge in tree.edges:
        for end in ((edge.parent, edge.parent_atom), (edge.child, edge.child_atom)):
            used[end] = used.get(end, 0) + 1
    sites = []
    for node in range(first_node, len(tree)):
        template = motif(tree.motifs[node])
        for atom, hydrogens in enumerate(template.hydrogens):
            if hydrogens > used.get((node, atom), 0):
                sites.append((node, atom))
    return sites


def graft(
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
