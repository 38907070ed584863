"""Molecules as trees of motifs, and back.

Every acyclic single bond between heavy atoms is cut (bonds that separate opposite charges are
kept whole, so that a nitro group or an N-oxide stays one motif). What is left are ring systems,
small unsaturated groups and single atoms, each closed with hydrogens where it was cut. A motif
attaches by giving up one hydrogen at each end, so a molecule that is put together from motifs
while hydrogens last is always valid.

Jin, Barzilay, Jaakkola (2020), "Hierarchical generation of molecular graphs using structural
motifs"; Maziarz et al. (2022), "Learning to extend molecular scaffolds with structural motifs".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from rdkit import Chem
from rdkit.Chem import rdchem

from molgen.base.errors import MolgenError

TETRAHEDRAL = (
    rdchem.ChiralType.CHI_TETRAHEDRAL_CW,
    rdchem.ChiralType.CHI_TETRAHEDRAL_CCW,
)
_DOUBLE_STEREO = {
    rdchem.BondStereo.STEREOCIS: "cis",
    rdchem.BondStereo.STEREOZ: "cis",
    rdchem.BondStereo.STEREOTRANS: "trans",
    rdchem.BondStereo.STEREOE: "trans",
}
_ACYCLIC_SINGLE = Chem.MolFromSmarts("[!#0;!#1]-;!@[!#0;!#1]")
_CHARGED = Chem.MolFromSmarts("[!+0]")
_MAX_AUTOMORPHISMS = 256


class MotifError(MolgenError):
    """A molecule or a tree that cannot be written as motifs; the message says which and why."""


class Edge(NamedTuple):
    """One cut bond: ``child`` hangs from ``parent``; atoms are indices into the motifs' SMILES."""

    parent: int
    parent_atom: int
    child: int
    child_atom: int


@dataclass(frozen=True)
class MotifTree:
    """A molecule as motifs joined by single bonds.

    motifs: canonical SMILES of each motif, in depth-first order of the molecule's canonical
        SMILES; node 0 is the root and a parent always stands before its children.
    edges: one per node but the root, ``edges[i].child == i + 1``.
    centres: tetrahedral stereocentres as ``(node, atom, neighbours, clockwise)``, neighbours as
        ``(node, atom)`` in the order that ``clockwise`` refers to (RDKit's chiral-tag convention).
    double_bonds: ``(node, begin, end, reference_begin, reference_end, "cis" | "trans")`` with the
        references as ``(node, atom)``.
    dropped: a sentence for each stereo element that the tree cannot carry.
    """

    motifs: tuple[str, ...]
    edges: tuple[Edge, ...]
    centres: tuple[tuple[int, int, tuple[tuple[int, int], ...], bool], ...] = ()
    double_bonds: tuple[tuple[int, int, int, tuple[int, int], tuple[int, int], str], ...] = ()
    dropped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.motifs)


def cut_bonds(mol: Chem.Mol) -> list[tuple[int, int]]:
    """Atom pairs of the bonds that are cut: acyclic, single, between heavy atoms.

    A bond between opposite charges stays whole.
    """
    pairs = mol.GetSubstructMatches(_ACYCLIC_SINGLE, maxMatches=100_000)
    charged = {i for (i,) in mol.GetSubstructMatches(_CHARGED, maxMatches=100_000)}
    if not charged:
        return list(pairs)
    charge = [mol.GetAtomWithIdx(i).GetFormalCharge() for i in range(mol.GetNumAtoms())]
    return [(a, b) for a, b in pairs if charge[a] * charge[b] >= 0]


def decompose(mol: Chem.Mol) -> MotifTree:
    """The motif tree of ``mol`` (one connected, sanitised molecule).

    Raises MotifError for an empty or disconnected molecule.
    """
    return locate(mol)[0]


def locate(mol: Chem.Mol) -> tuple[MotifTree, list[tuple[int, int]]]:
    """The motif tree of ``mol``, and where each of its atoms stands in it: (node, atom)."""
    n_atoms = mol.GetNumAtoms()
    if n_atoms == 0:
        raise MotifError("an empty molecule has no motif tree; expected at least one atom")
    smiles = Chem.MolToSmiles(mol)
    if "." in smiles:
        raise MotifError(f"{smiles} has {smiles.count('.') + 1} components; expected one")
    if "->" in smiles or "<-" in smiles:
        raise MotifError(f"{smiles} has dative bonds (a metal complex), which motifs cannot carry")
    rank = [0] * n_atoms
    for position, atom in enumerate(output_order(mol)):
        rank[atom] = position

    cut_pairs = cut_bonds(mol)
    marked = any(mark in smiles for mark in "@/\\:")
    fragments, template_index, owner = _cut(mol, cut_pairs, marked)

    # Nodes in the order in which the canonical SMILES enters them: a depth-first preorder.
    first_seen = [n_atoms] * len(fragments)
    for atom in range(n_atoms):
        first_seen[owner[atom]] = min(first_seen[owner[atom]], rank[atom])
    order = sorted(range(len(fragments)), key=first_seen.__getitem__)
    node_of = {fragment: node for node, fragment in enumerate(order)}
    place = [(node_of[owner[a]], template_index[a]) for a in range(n_atoms)]

    by_child: dict[int, Edge] = {}
    for a, b in cut_pairs:
        (node_a, atom_a), (node_b, atom_b) = place[a], place[b]
        if first_seen[order[node_a]] < first_seen[order[node_b]]:
            by_child[node_b] = Edge(node_a, atom_a, node_b, atom_b)
        else:
            by_child[node_a] = Edge(node_b, atom_b, node_a, atom_a)
    edges = tuple(by_child[node] for node in range(1, len(order)))
    stereo = _read_stereo(mol, place) if marked or "|" in smiles else ((), (), ())
    return MotifTree(tuple(fragments[f] for f in order), edges, *stereo), place


def motifs_of(
    mol: Chem.Mol,
) -> tuple[list[tuple[int, int]], list[str], list[int], list[int]]:
    """The bonds that are cut in a molecule without stereo, and what its motifs are.

    Returns the pairs of atoms that are cut; the SMILES of each motif; each atom's place in its
    motif; and the motif that each atom belongs to. ``locate`` also puts the motifs in an order.
    """
    cut_pairs = cut_bonds(mol)
    return (cut_pairs, *_cut(mol, cut_pairs, marked=False))


def output_order(mol: Chem.Mol) -> list[int]:
    """Atom indices in the order of the SMILES that ``MolToSmiles`` last wrote of ``mol``."""
    return [int(i) for i in mol.GetProp("_smilesAtomOutputOrder")[1:-1].rstrip(",").split(",")]


def _cut(
    mol: Chem.Mol, cut_pairs: list[tuple[int, int]], marked: bool
) -> tuple[list[str], list[int], list[int]]:
    """Motif SMILES of each fragment; each atom's index in its motif's SMILES; its fragment."""
    editable = Chem.RWMol(mol)
    if marked:  # stereo marks and atom maps
        for atom in editable.GetAtoms():
            atom.SetAtomMapNum(0)
            atom.SetChiralTag(rdchem.ChiralType.CHI_UNSPECIFIED)
        for bond in editable.GetBonds():
            bond.SetStereo(rdchem.BondStereo.STEREONONE)
            bond.SetBondDir(rdchem.BondDir.NONE)
    # Hydrogens are set outright: left to themselves, S and P would settle for a lower valence.
    hydrogens: dict[int, int] = {}
    for a, b in cut_pairs:
        editable.RemoveBond(a, b)
        for index in (a, b):
            before = hydrogens.get(index, mol.GetAtomWithIdx(index).GetTotalNumHs())
            hydrogens[index] = before + 1
    for index, count in hydrogens.items():
        atom = editable.GetAtomWithIdx(index)
        atom.SetNoImplicit(True)
        atom.SetNumExplicitHs(count)
        atom.UpdatePropertyCache(strict=False)
    text = Chem.MolToSmiles(editable)
    order = output_order(editable)
    fragments, template_index, owner = [], [0] * mol.GetNumAtoms(), [0] * mol.GetNumAtoms()
    start = 0
    for number, fragment in enumerate(text.split(".")):
        canonical, position_of = canonical_motif(fragment)
        for offset, template in enumerate(position_of):
            template_index[order[start + offset]] = template
            owner[order[start + offset]] = number
        start += len(position_of)
        fragments.append(canonical)
    return fragments, template_index, owner


@lru_cache(maxsize=200_000)
def canonical_motif(fragment: str) -> tuple[str, tuple[int, ...]]:
    """The motif's own canonical SMILES, and where each atom of ``fragment`` stands in it.

    A fragment that was cut out of a molecule keeps traces of it (explicit hydrogens, ring
    information), so its text is read anew and written once more.
    """
    mol = Chem.MolFromSmiles(fragment, sanitize=True)
    if mol is None:
        raise MotifError(f"the fragment {fragment} is not a valid molecule on its own")
    canonical = Chem.MolToSmiles(mol)
    for _ in range(3):  # canonical text is a fixed point after one or two rounds
        again = Chem.MolFromSmiles(canonical)
        rewritten = Chem.MolToSmiles(again)
        if rewritten == canonical:
            break
        canonical = rewritten
    mapping = _output_positions(mol, canonical)
    return canonical, mapping


def _output_positions(mol: Chem.Mol, canonical: str) -> tuple[int, ...]:
    Chem.MolToSmiles(mol)
    order = output_order(mol)
    template = motif(canonical).mol
    positions = [0] * mol.GetNumAtoms()
    if Chem.MolToSmiles(mol) == canonical:
        for position, atom in enumerate(order):
            positions[atom] = position
        return tuple(positions)
    match = template.GetSubstructMatch(mol)
    if len(match) != mol.GetNumAtoms():
        raise MotifError(f"the fragment {canonical} has no stable canonical SMILES")
    return tuple(match)


def _read_stereo(mol: Chem.Mol, place: list[tuple[int, int]]) -> tuple[tuple, tuple, tuple]:
    centres, double_bonds, dropped = [], [], []
    for atom in mol.GetAtoms():
        tag = atom.GetChiralTag()
        if tag == rdchem.ChiralType.CHI_UNSPECIFIED:
            continue
        if tag not in TETRAHEDRAL:
            dropped.append(f"{tag.name} at atom {atom.GetIdx()} ({atom.GetSymbol()})")
            continue
        # RDKit's tag refers to the order of the atom's bonds.
        neighbours = tuple(place[b.GetOtherAtomIdx(atom.GetIdx())] for b in atom.GetBonds())
        clockwise = tag == rdchem.ChiralType.CHI_TETRAHEDRAL_CW
        centres.append((*place[atom.GetIdx()], neighbours, clockwise))
    for bond in mol.GetBonds():
        stereo = bond.GetStereo()
        if stereo in (rdchem.BondStereo.STEREONONE, rdchem.BondStereo.STEREOANY):
            continue
        if stereo not in _DOUBLE_STEREO:
            dropped.append(f"{stereo.name} at bond {bond.GetIdx()}")
            continue
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if len(bond.GetStereoAtoms()) != 2:  # a neighbour that it refers to was cut off
            dropped.append(f"{stereo.name} at bond {bond.GetIdx()}")
            continue
        first, second = bond.GetStereoAtoms()
        node, begin_atom = place[begin]
        double_bonds.append(
            (node, begin_atom, place[end][1], place[first], place[second], _DOUBLE_STEREO[stereo])
        )
    if mol.GetStereoGroups():
        dropped.append("enhanced stereo groups (relative or racemic centres)")
    return tuple(centres), tuple(double_bonds), tuple(dropped)


@dataclass(frozen=True, eq=False)
class Motif:
    """A motif: its SMILES, RDKit molecule, hydrogens an atom can give up, and its symmetries.

    hydrogens: hydrogens of each atom, in the order of the SMILES.
    automorphisms: permutations of the atoms that leave the motif unchanged (identity first).
    """

    smiles: str
    mol: Chem.Mol = field(repr=False)
    hydrogens: tuple[int, ...]

    @property
    def automorphisms(self) -> tuple[tuple[int, ...], ...]:
        """Renumberings of the atoms that leave the motif as it is."""
        return _automorphisms(self.smiles)


@lru_cache(maxsize=200_000)
def motif(smiles: str) -> Motif:
    """The motif written as ``smiles``; raises MotifError if RDKit cannot read it."""
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise MotifError(f"{smiles!r} is not a motif that RDKit can read")
    return Motif(smiles, mol, tuple(a.GetTotalNumHs() for a in mol.GetAtoms()))


@lru_cache(maxsize=200_000)
def _automorphisms(smiles: str) -> tuple[tuple[int, ...], ...]:
    template = motif(smiles)
    identity = tuple(range(template.mol.GetNumAtoms()))
    matches = template.mol.GetSubstructMatches(
        template.mol, uniquify=False, maxMatches=_MAX_AUTOMORPHISMS
    )
    label = [
        (a.GetAtomicNum(), a.GetFormalCharge(), a.GetTotalNumHs(), a.GetIsotope())
        for a in template.mol.GetAtoms()
    ]
    others = {
        m for m in matches if m != identity and all(label[i] == label[j] for i, j in enumerate(m))
    }
    return (identity, *sorted(others))
