"""Partial molecules: scaffolds with exits, cores cut out of molecules, fragments to be joined.

What a chemist types or cuts out is checked once, here; ``prefixes`` beside it writes it in the
model's own steps, so that growing from it needs no search and keeps it by construction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from rdkit import Chem, rdBase

from molgen.chem.parsing import MoleculeError, abbreviate, parse
from molgen.motifs.trees import MotifError, MotifTree, cut_bonds, locate
from molgen.precedent.splicing import number_marks

MAX_HEAVY_ATOMS = 60


@dataclass(frozen=True, eq=False)
class Scaffold:
    """A partial molecule.

    marked: with a dummy atom for each mark, numbered from 1; stereo as it was given.
    mol: without dummy atoms. marks: for each mark in turn the atom of ``mol`` that it hangs on, an
        atom once for each bond that it may form; empty for growth anywhere.
    tree, place: its motif tree, and (node, atom) of each atom of ``mol``.
    """

    marked: Chem.Mol
    mol: Chem.Mol
    marks: tuple[int, ...]
    tree: MotifTree
    place: tuple[tuple[int, int], ...]

    @property
    def smiles(self) -> str:
        """Canonical SMILES, without marks."""
        return Chem.MolToSmiles(self.mol)

    @cached_property
    def has_stereo(self) -> bool:
        """Whether a centre or a double bond of it is stated."""
        return "@" in Chem.MolToSmiles(self.marked) or any(
            bond.GetStereo() != Chem.BondStereo.STEREONONE for bond in self.marked.GetBonds()
        )

    @property
    def exits(self) -> frozenset[int]:
        """Atoms of ``mol`` where growth may start; empty for anywhere."""
        return frozenset(self.marks)

    def mark_atoms(self) -> list[int]:
        """The dummy atoms of ``marked``, in the order of their numbers."""
        numbered = {
            a.GetAtomMapNum(): a.GetIdx() for a in self.marked.GetAtoms() if not a.GetAtomicNum()
        }
        return [numbered[n] for n in sorted(numbered)]

    def exit_sites(self) -> list[tuple[int, int]]:
        """What each mark hangs on, as (node, atom) of the tree."""
        return [self.place[a] for a in self.marks]


def parse_scaffold(text: str) -> Scaffold:
    """Read a scaffold from SMILES; dummy atoms (``*``, ``[*:1]``) mark exits, a bond each.

    Raises ValueError if it cannot be read, is in several pieces, is too large, has an exit that
    does not hang on one atom by a single bond, or has no hydrogen left to grow from.
    """
    try:
        mol = parse(text)
    except MoleculeError as error:
        raise ValueError(
            f"the scaffold {abbreviate(text)} is not a SMILES that RDKit can read: {error.reason}"
        ) from None
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum():
            continue
        bonds = atom.GetBonds()
        if len(bonds) != 1 or bonds[0].GetBondType() != Chem.BondType.SINGLE:
            raise ValueError(
                f"exit {atom.GetSmarts()} of the scaffold {text!r} must hang on exactly one atom "
                "by a single bond"
            )
        if bonds[0].GetOtherAtom(atom).GetAtomicNum() == 0:
            raise ValueError(f"the scaffold {text!r} has exits but no atoms")
    return make_scaffold(mol, text)


def cut_scaffold(mol: Chem.Mol, atoms: Iterable[int], name: str) -> Scaffold:
    """The part of ``mol`` made of ``atoms``, with a mark for each bond to the rest.

    Raises ValueError unless all bonds to the rest are single bonds outside rings.
    """
    kept = set(atoms)
    cuttable = {frozenset(pair) for pair in cut_bonds(mol)}
    numbers, labels = [], []
    for bond in mol.GetBonds():
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if (a in kept) == (b in kept):
            continue
        if frozenset((a, b)) not in cuttable:
            raise ValueError(
                f"{name} cannot be cut out of {Chem.MolToSmiles(mol)}: atoms {a} and {b} are "
                "joined by a ring bond or a multiple bond"
            )
        numbers.append(bond.GetIdx())
        # the first label goes to the dummy atom that takes the place of the bond's first atom
        labels.append((0, 1) if a in kept else (1, 0))
    if not numbers:
        return make_scaffold(mol, name) if len(kept) == mol.GetNumAtoms() else _nothing(name)
    cut = Chem.FragmentOnBonds(mol, numbers, dummyLabels=labels)
    where: list[tuple[int, ...]] = []
    with rdBase.BlockLogs():
        pieces = Chem.GetMolFrags(cut, asMols=True, fragsMolAtomMapping=where)
    own = [piece for piece, held in zip(pieces, where) if kept & set(held)]
    if len(own) > 1:
        raise ValueError(f"the scaffold {name!r} is in {len(own)} pieces; expected one")
    return make_scaffold(own[0], name)


def _nothing(name: str) -> Scaffold:
    raise ValueError(f"the scaffold {name!r} has no atoms")


def make_scaffold(mol: Chem.Mol, name: str) -> Scaffold:
    """Check a partial molecule, number its marks and find its motifs."""
    if mol.GetNumAtoms() == 0:
        _nothing(name)
    pieces = len(Chem.GetMolFrags(mol))
    if pieces > 1:
        raise ValueError(f"the scaffold {name!r} is in {pieces} pieces; expected one")
    if mol.GetNumHeavyAtoms() > MAX_HEAVY_ATOMS:
        raise ValueError(
            f"the scaffold {name!r} has {mol.GetNumHeavyAtoms()} heavy atoms; "
            f"at most {MAX_HEAVY_ATOMS} are supported"
        )
    marked = Chem.Mol(mol)
    dummies = number_marks(marked)
    if len(dummies) == mol.GetNumAtoms():
        raise ValueError(f"the scaffold {name!r} has exits but no atoms")
    anchors = [marked.GetAtomWithIdx(d).GetNeighbors()[0].GetIdx() for d in dummies]
    # hydrogens that stand as atoms, such as that of [H]/N=C, are hydrogens like others in a motif
    written = [
        a for a in mol.GetAtoms()
        if a.GetAtomicNum() == 1 and not a.GetIsotope() and a.GetDegree() == 1
    ]  # fmt: skip
    hydrogens = [(a.GetNeighbors()[0].GetIdx(), a.GetIdx()) for a in written]
    editable = Chem.RWMol(mol)
    _release(editable, [*zip(anchors, dummies), *hydrogens])
    bare, index = _without(editable, {*dummies, *(h for _, h in hydrogens)})
    if not dummies and not any(atom.GetTotalNumHs() for atom in bare.GetAtoms()):
        raise ValueError(f"the scaffold {name!r} has no hydrogen that growth could replace")
    try:
        tree, place = locate(bare)
    except MotifError as error:
        raise ValueError(f"the scaffold {name!r} cannot be used: {error}") from None
    return Scaffold(marked, bare, tuple(index[a] for a in anchors), tree, tuple(place))


def _release(editable: Chem.RWMol, pairs: Iterable[tuple[int, int]]) -> None:
    """Cut each (kept, dropped) bond and give the kept atom a hydrogen for it.

    Stereo that needs the dropped atom is left out.
    """
    for kept, dropped in pairs:
        for bond in editable.GetAtomWithIdx(kept).GetBonds():
            if dropped in bond.GetStereoAtoms():
                bond.SetStereo(Chem.BondStereo.STEREONONE)
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
