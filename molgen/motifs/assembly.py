"""Motif trees put together again: as molecules with stereo, and as SMILES texts."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from rdkit import Chem
from rdkit.Chem import rdchem

from molgen.motifs.trees import TETRAHEDRAL, Edge, MotifError, MotifTree, motif, output_order

_SMILES_ATOM = re.compile(r"\[[^\]]+\]|Br|Cl|[BCNOPSFIbcnops*]")
_BRACKET_HYDROGENS = re.compile(r"(?<=[A-Za-z*@])H(\d*)")


def assemble(tree: MotifTree) -> Chem.Mol:
    """The sanitised molecule of ``tree``, stereo included.

    Raises MotifError if an attachment needs a hydrogen that its atom does not have.
    """
    check_hydrogens(tree)
    if not (tree.centres or tree.double_bonds):
        text = to_smiles(tree)
        mol = Chem.MolFromSmiles(text)
        if mol is None:
            raise MotifError(f"the assembled SMILES {text} cannot be read by RDKit")
        return mol
    return _assemble_atoms(tree)


def check_hydrogens(tree: MotifTree) -> None:
    """Raise MotifError where more motifs hang from an atom than it has hydrogens."""
    used: dict[tuple[int, int], int] = {}
    for edge in tree.edges:
        for end in ((edge.parent, edge.parent_atom), (edge.child, edge.child_atom)):
            used[end] = used.get(end, 0) + 1
    for (node, atom), count in used.items():
        hydrogens = motif(tree.motifs[node]).hydrogens
        if not 0 <= atom < len(hydrogens):
            raise MotifError(f"motif {tree.motifs[node]} has no atom {atom}")
        if count > hydrogens[atom]:
            raise MotifError(
                f"{count} motifs hang from atom {atom} of {tree.motifs[node]}, "
                f"which has {hydrogens[atom]} hydrogens"
            )


def _assemble_atoms(tree: MotifTree) -> Chem.Mol:
    editable = Chem.RWMol()
    starts = []
    for smiles in tree.motifs:
        starts.append(editable.GetNumAtoms())
        editable.InsertMol(motif(smiles).mol)
    for edge in tree.edges:
        a, b = starts[edge.parent] + edge.parent_atom, starts[edge.child] + edge.child_atom
        editable.AddBond(a, b, rdchem.BondType.SINGLE)
        for index in (a, b):
            atom = editable.GetAtomWithIdx(index)
            if atom.GetNumExplicitHs():
                atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
    for node, atom_index, neighbours, clockwise in tree.centres:
        atom = editable.GetAtomWithIdx(starts[node] + atom_index)
        reference = [starts[n] + a for n, a in neighbours]
        present = [b.GetOtherAtomIdx(atom.GetIdx()) for b in atom.GetBonds()]
        flip = _is_odd([reference.index(p) for p in present])
        tag = TETRAHEDRAL[0] if clockwise != flip else TETRAHEDRAL[1]
        atom.SetChiralTag(tag)
    for node, begin, end, first, second, geometry in tree.double_bonds:
        bond = editable.GetBondBetweenAtoms(starts[node] + begin, starts[node] + end)
        ends = (starts[first[0]] + first[1], starts[second[0]] + second[1])
        if bond.GetBeginAtomIdx() != starts[node] + begin:
            ends = ends[::-1]
        bond.SetStereoAtoms(*ends)
        bond.SetStereo(
            rdchem.BondStereo.STEREOCIS if geometry == "cis" else rdchem.BondStereo.STEREOTRANS
        )
    mol = editable.GetMol()
    Chem.SanitizeMol(mol)
    Chem.SetDoubleBondNeighborDirections(mol)
    # Rewriting settles which stereo marks are real, as for any molecule read from a file.
    return Chem.MolFromSmiles(Chem.MolToSmiles(mol))


def _is_odd(permutation: list[int]) -> bool:
    inversions = sum(
        permutation[i] > permutation[j]
        for i in range(len(permutation))
        for j in range(i + 1, len(permutation))
    )
    return inversions % 2 == 1


def to_smiles(tree: MotifTree) -> str:
    """``tree`` as a (not canonical) SMILES without stereo, by splicing the motifs' texts."""
    return _splice(tree.motifs, _children(tree), 0, 0, False, 0, [])[0]


def to_ordered_smiles(tree: MotifTree) -> tuple[str, list[tuple[int, int]]]:
    """The same SMILES, and which atom of which motif each of its atoms is: (node, atom)."""
    order: list[tuple[int, int]] = []
    return _splice(tree.motifs, _children(tree), 0, 0, False, 0, order)[0], order


def _children(tree: MotifTree) -> list[list[Edge]]:
    children: list[list[Edge]] = [[] for _ in tree.motifs]
    for edge in tree.edges:
        children[edge.parent].append(edge)
    return children


def branch_to_smiles(tree: MotifTree, node: int) -> str:
    """``node`` and all that hangs from it, as a SMILES that begins with its attachment atom."""
    attachment = next((edge.child_atom for edge in tree.edges if edge.child == node), 0)
    return _splice(tree.motifs, _children(tree), node, attachment, True, 0, [])[0]


def _splice(
    motifs: tuple[str, ...],
    children: list[list[Edge]],
    node: int,
    root_atom: int,
    attached: bool,
    n_rings: int,
    order: list[tuple[int, int]],
) -> tuple[str, int]:
    """The text of a node and what hangs from it, and how many ring numbers are taken after it.

    ``order`` is lengthened by the (node, atom) of the text's atoms.
    """
    if not children[node]:
        text, n_rings, atoms = _bare(motifs[node], root_atom, attached, n_rings)
        order += [(node, atom) for atom in atoms]
        return text, n_rings
    pieces, own_rings, tail = _split(motifs[node], root_atom)
    offset = n_rings
    n_rings += own_rings
    hanging: dict[int, list[Edge]] = {}
    for edge in children[node]:
        hanging.setdefault(edge.parent_atom, []).append(edge)
    out = []
    for atom, before, by_lost, rings in pieces:
        here = hanging.get(atom, ())
        lost = len(here) + (attached and atom == root_atom)
        order.append((node, atom))
        out.append(before)
        out.append(by_lost[lost] if lost < len(by_lost) else by_lost[-1])
        for bond, ring in rings:
            out.append(bond + _ring_label(ring + offset))
        for edge in here:
            branch, n_rings = _splice(
                motifs, children, edge.child, edge.child_atom, True, n_rings, order
            )
            out.append(f"({branch})")
    out.append(tail)
    return "".join(out), n_rings


@lru_cache(maxsize=200_000)
def _bare(
    smiles: str, root_atom: int, attached: bool, n_rings: int
) -> tuple[str, int, tuple[int, ...]]:
    """``_splice`` of a motif from which nothing hangs, and the order of its atoms."""
    pieces, own_rings, tail = _split(smiles, root_atom)
    out = []
    for atom, before, by_lost, rings in pieces:
        out.append(before)
        out.append(by_lost[min(int(attached and atom == root_atom), len(by_lost) - 1)])
        out += [bond + _ring_label(ring + n_rings) for bond, ring in rings]
    return "".join(out) + tail, n_rings + own_rings, tuple(piece[0] for piece in pieces)


def _ring_label(number: int) -> str:
    if number > 99:
        raise MotifError("more than 99 rings: the molecule is too large for a SMILES text")
    return str(number) if number < 10 else f"%{number}"


@lru_cache(maxsize=200_000)
def _split(smiles: str, root_atom: int) -> tuple[tuple, int, str]:
    """The motif's SMILES rooted at ``root_atom``, split at its atoms.

    Each piece is (atom, text before it, the atom's text by hydrogens lost, ring closures), ring
    closures as (bond symbol, number from 1). Also: how many ring numbers it uses; the text after
    the last atom.
    """
    template = Chem.Mol(motif(smiles).mol)
    text = Chem.MolToSmiles(template, rootedAtAtom=root_atom)
    order = output_order(template)
    atoms = list(_SMILES_ATOM.finditer(text))
    if len(atoms) != len(order):
        raise MotifError(f"cannot split the motif SMILES {text} at its atoms")
    # Ring numbers are reused inside a SMILES; give each ring of the motif its own.
    open_rings: dict[int, int] = {}
    n_rings = 0
    pieces = []
    before = text[: atoms[0].start()]
    gaps = [text[a.end() : b.start()] for a, b in pairwise(atoms)] + [text[atoms[-1].end() :]]
    for match, gap, atom in zip(atoms, gaps, order):
        rings = []
        position = 0
        while True:
            found = re.match(r"([-=#:/\\]?)(?:%(\d\d)|(\d))", gap[position:])
            if not found:
                break
            number = int(found.group(2) or found.group(3))
            if number in open_rings:
                ring = open_rings.pop(number)
            else:
                n_rings += 1
                ring = open_rings[number] = n_rings
            rings.append((found.group(1), ring))
            position += found.end()
        hydrogens = motif(smiles).hydrogens[atom]
        by_lost = tuple(_with_fewer_hydrogens(match.group(), lost) for lost in range(hydrogens + 1))
        pieces.append((atom, before, by_lost, tuple(rings)))
        before = gap[position:]
    return tuple(pieces), n_rings, before


def _with_fewer_hydrogens(atom_text: str, lost: int) -> str:
    """``[nH]`` less one hydrogen is ``[n]``; atoms without brackets adjust by themselves."""
    if not atom_text.startswith("[") or lost == 0:
        return atom_text
    found = _BRACKET_HYDROGENS.search(atom_text)
    if not found:
        return atom_text
    left = int(found.group(1) or 1) - lost
    replacement = "" if left == 0 else "H" if left == 1 else f"H{left}"
    return atom_text[: found.start()] + replacement + atom_text[found.end() :]
