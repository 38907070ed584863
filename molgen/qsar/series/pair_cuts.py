"""Cutting a molecule into a constant and a variable part, as matched molecular pairs need it.

The algorithm of Hussain and Rea (J. Chem. Inf. Model. 50:339, 2010) with the bonds that mmpdb cuts:
one to three single bonds outside rings, at a carbon, none inside an amide, an ester or an alkyl
chain. With one cut either side is the variable part; with two or three the part between them is.
An atom of the constant part that becomes a stereocentre through the cut is also written with each
of its configurations, so that CH(CH3)2 pairs with either enantiomer of CH(CH3)F.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rdkit import Chem

from molgen.chem.parsing import parse, quiet_rdkit

_CUT = Chem.MolFromSmarts("[#6+0;!$(*=,#[!#6])]!@!=!#[!#0;!#1;!$([CH2]);!$([CH3][CH2])]")
_ROTATABLE = Chem.MolFromSmarts("[!$([NH]!@C(=O))&!D1&!$(*#*)]-&!@[!$([NH]!@C(=O))&!D1&!$(*#*)]")
_TAGS = (Chem.CHI_UNSPECIFIED, Chem.CHI_TETRAHEDRAL_CW, Chem.CHI_TETRAHEDRAL_CCW)
_MAX_ISOMERS = 1000


@dataclass(frozen=True)
class PairCut:
    """One way to cut a molecule.

    Attributes:
        constant: SMILES of the constant parts, sorted, each with one open bond ``*``.
        bonds: The bonds cut, in the order of ``constant``.
        size: Heavy atoms of the variable part.
        enumerated: Whether a configuration was written that the molecule does not state.
    """

    constant: tuple[str, ...]
    bonds: tuple[int, ...]
    size: int
    enumerated: bool = False


def count_rotatable(mol: Chem.Mol) -> int:
    """Rotatable bonds as mmpdb counts them."""
    return len(mol.GetSubstructMatches(_ROTATABLE, uniquify=True, maxMatches=10_000))


class CutMolecule:
    """A molecule whose cuts are worked out when they are asked for.

    Args:
        smiles: The molecule.
    """

    def __init__(self, smiles: str) -> None:
        self.mol = parse(smiles)
        self.bonds: list[tuple[int, int, int]] = []
        self._near: list[int] = []  # atoms on the side of the bond's first atom, as bits
        for a, b in self.mol.GetSubstructMatches(_CUT, uniquify=True, maxMatches=10_000):
            self.bonds.append((self.mol.GetBondBetweenAtoms(a, b).GetIdx(), a, b))
            self._near.append(self._side(a, b))
        self._all = (1 << self.mol.GetNumAtoms()) - 1
        self._written: dict[tuple[int, bool], tuple[str, ...]] = {}
        self._prochiral = self._prochiral_atoms()

    def _side(self, start: int, away: int) -> int:
        seen, stack = {start}, [start]
        while stack:
            for atom in self.mol.GetAtomWithIdx(stack.pop()).GetNeighbors():
                index = atom.GetIdx()
                if index not in seen and index != away:  # the bond is in no ring
                    seen.add(index)
                    stack.append(index)
        return sum(1 << index for index in seen)

    def _prochiral_atoms(self) -> list[int]:
        """Atoms that could be stereocentres if two alike neighbours were not alike."""
        found: list[int] = []
        ranks: Sequence[int] | None = None
        for atom in self.mol.GetAtoms():
            if atom.GetChiralTag() in _TAGS[1:] or atom.GetDegree() < 3:
                continue
            if not _may_be_centre(atom):
                continue
            if ranks is None:
                ranks = list(Chem.CanonicalRankAtoms(self.mol, breakTies=False))
            near = [ranks[n.GetIdx()] for n in atom.GetNeighbors()]
            if len(set(near)) < len(near):
                found.append(atom.GetIdx())
        return found

    def side_atoms(self, cut: int, near: bool) -> int:
        """The atoms on one side of a cut, as bits."""
        return self._near[cut] if near else self._all & ~self._near[cut]

    def written(self, cut: int, near: bool) -> tuple[str, ...]:
        """SMILES of one side of a cut with ``*``, then with new stereocentres spelled out."""
        key = cut, near
        if key not in self._written:
            bond, a, b = self.bonds[cut]
            parts = Chem.FragmentOnBonds(self.mol, [bond], dummyLabels=[(0, 0)])
            with quiet_rdkit():
                Chem.AssignStereochemistry(parts, cleanIt=True, force=True)
            for side in (True, False):
                self._written[cut, side] = self._isomers(parts, a if side else b)
        return self._written[key]

    def _isomers(self, parts: Chem.Mol, anchor: int) -> tuple[str, ...]:
        atoms = next(f for f in Chem.GetMolFrags(parts) if anchor in f)
        plain = _fragment_smiles(parts, atoms)
        inside = set(atoms)
        open_ = [a for a in self._prochiral if a in inside]
        if open_:
            parts.UpdatePropertyCache(strict=False)
            ranks = list(Chem.CanonicalRankAtoms(parts, breakTies=False))
            open_ = [a for a in open_ if _all_differ(parts, a, ranks)]
        if not open_ or 3 ** len(open_) > _MAX_ISOMERS:
            return (plain,)
        texts = [plain]
        for tags in itertools.product(_TAGS, repeat=len(open_)):
            for atom, tag in zip(open_, tags):
                parts.GetAtomWithIdx(atom).SetChiralTag(tag)
            text = _fragment_smiles(parts, atoms)
            if text not in texts:
                texts.append(text)
        for atom in open_:
            parts.GetAtomWithIdx(atom).SetChiralTag(Chem.CHI_UNSPECIFIED)
        return tuple(texts)

    def cuts(self, max_variable: int, max_cuts: int) -> Iterator[PairCut]:
        """Every cut whose variable part has at most ``max_variable`` heavy atoms."""
        n = self.mol.GetNumAtoms()
        for i in range(len(self.bonds)):
            for near in (True, False):
                size = n - self.side_atoms(i, near).bit_count()
                if size <= max_variable:
                    yield from self._spelled(((i, near),), size)
        for k in range(2, max_cuts + 1):
            for chosen in itertools.combinations(range(len(self.bonds)), k):
                outer = self._outer_sides(chosen)
                if outer is None:
                    continue
                size = n - sum(self.side_atoms(i, near).bit_count() for i, near in outer)
                if size <= max_variable:
                    yield from self._spelled(outer, size)

    def _outer_sides(self, chosen: Sequence[int]) -> tuple[tuple[int, bool], ...] | None:
        """For each cut the side without the other cuts; None where a cut lies between two."""
        outer = []
        for i in chosen:
            sides = {bool(self._near[i] >> self.bonds[j][1] & 1) for j in chosen if j != i}
            if len(sides) > 1:
                return None
            outer.append((i, not sides.pop()))
        return tuple(outer)

    def _spelled(self, outer: Sequence[tuple[int, bool]], size: int) -> Iterator[PairCut]:
        seen = set()
        ways = [self.written(i, near) for i, near in outer]
        for texts in itertools.product(*ways):
            pieces = sorted(zip(texts, (i for i, _ in outer)))
            constant = tuple(text for text, _ in pieces)
            if constant in seen:
                continue
            seen.add(constant)
            plain = texts == tuple(way[0] for way in ways)
            yield PairCut(constant, tuple(i for _, i in pieces), size, not plain)

    def variable(self, cut: PairCut) -> str:
        """The variable part, its open bonds ``[*:1]`` ... numbered like the constant parts.

        Constant parts that are alike leave a choice, of which the first SMILES is taken.
        """
        n = len(cut.bonds)
        texts = [self._core(cut.bonds, order) for order in _orders(cut.constant)]
        return min(texts) if n > 1 else texts[0]

    def _core(self, cuts: Sequence[int], labels: Sequence[int]) -> str:
        bonds, marks, inner = [], [], self._all
        for at, (cut, label) in enumerate(zip(cuts, labels)):
            bond, a, _ = self.bonds[cut]
            other = cuts[at - 1] if len(cuts) > 1 else None
            if other is None:
                raise ValueError("one cut has no core")
            near = bool(self._near[cut] >> self.bonds[other][1] & 1)
            inner &= self.side_atoms(cut, near)
            # a mark names the atom that it stands for: the first mark goes to the bond's end atom
            begin = self.mol.GetBondWithIdx(bond).GetBeginAtomIdx()
            core_first = near == (begin == a)
            marks.append((100 + label, label) if core_first else (label, 100 + label))
            bonds.append(bond)
        parts = Chem.FragmentOnBonds(self.mol, bonds, dummyLabels=marks)
        keep = [i for i in range(self.mol.GetNumAtoms()) if inner >> i & 1]
        for atom in parts.GetAtoms():
            if atom.GetAtomicNum() == 0 and atom.GetIdx() >= self.mol.GetNumAtoms():
                if inner >> atom.GetNeighbors()[0].GetIdx() & 1:
                    keep.append(atom.GetIdx())
                    atom.SetAtomMapNum(atom.GetIsotope() % 100)
                atom.SetIsotope(0)
        with quiet_rdkit():
            Chem.AssignStereochemistry(parts, cleanIt=True, force=True)
        return _fragment_smiles(parts, keep)

    def single_variable(self, cut: PairCut) -> str:
        """The variable part of a molecule cut once."""
        (i,) = cut.bonds
        for near in (True, False):
            if cut.constant[0] in self.written(i, near):
                other = self.written(i, not near)[0]
                size = self.side_atoms(i, not near).bit_count()
                if size == cut.size:
                    return mark_single(other)
        raise ValueError(f"{cut.constant[0]} is no part of the molecule")


def _may_be_centre(atom: Chem.Atom) -> bool:
    if atom.GetTotalDegree() not in (3, 4) or atom.GetIsAromatic():
        return False
    if atom.GetDegree() == 4:
        return True
    return atom.GetDegree() == 3 and atom.GetTotalNumHs() == 1


def _all_differ(mol: Chem.Mol, index: int, ranks: Sequence[int]) -> bool:
    near = [ranks[n.GetIdx()] for n in mol.GetAtomWithIdx(index).GetNeighbors()]
    return len(set(near)) == len(near)


def _orders(constant: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """Numberings of the constant parts: parts that are alike may change places."""
    places = range(1, len(constant) + 1)
    for order in itertools.permutations(places):
        if all(constant[i] == constant[label - 1] for i, label in enumerate(order)):
            yield order


def _fragment_smiles(mol: Chem.Mol, atoms: Sequence[int]) -> str:
    return Chem.MolFragmentToSmiles(mol, list(atoms))


def mark_single(text: str) -> str:
    """A part with one open bond, its ``*`` written ``[*:1]``."""
    return text.replace("*", "[*:1]", 1)


@lru_cache(maxsize=200_000)
def with_hydrogen(part: str) -> str:
    """The molecule that a part with one open bond is with hydrogen there."""
    mol = Chem.MolFromSmiles(part.replace("*", "[H]", 1))
    return "" if mol is None else Chem.MolToSmiles(mol)
