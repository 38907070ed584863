"""Parts with marks, joined to molecules: every atom keeps its stereo, charge and hydrogens.

A mark is a dummy atom, ``[*:1]``, and stands for exactly one bond.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rdkit import Chem, rdBase

from molgen.precedent.fragment_cuts import contexts_of

#: What no joined part may bring: aminals, bonds between nitrogens, peroxides, alkyl halides and
#: their like.
UNWANTED = {
    name: Chem.MolFromSmarts(pattern)
    for name, pattern in {
        "aminal": "[#7]-;!@[CX4]-[#7]",
        "hemiaminal": "[#7]-;!@[CX4]-;!@[OX2]",
        "acetal": "[OX2]-;!@[CX4;!$(C(F)F)]-;!@[OX2]",
        "bond between nitrogens": "[#7]-;!@[#7]",
        "hydroxylamine": "[NX3;!$(N-[#6]=[O,S]);!$(N-S(=O)=O)]-;!@[OX2]",
        "peroxide": "[#8]-[#8,#16X2]",
        "halogen at a heteroatom": "[F,Cl,Br,I]-[#7,#8,#16X2]",
        "trifluoromethyl at nitrogen": "[#7]-;!@[CX4](F)(F)F",
        "halogen on a saturated carbon": "[Cl,Br,I]-[CX4]",
        "permanent charge at nitrogen": "[#7+;H0;!$([#7+]-[O-]);!$([#7+]=[#7-]);!$([#7+]#*)]",
        "halogen beside an amine": "[NX3;!a]-;!@[CX4][F,Cl,Br,I]",
    }.items()
}
#: What a part without precedent must not bring either.
UNPROVEN = UNWANTED | {
    name: Chem.MolFromSmarts(pattern)
    for name, pattern in {
        "aminal in a ring": "[#7;!a]-;@[CX4]-;@[#7;!a]",
        "hemiaminal in a ring": "[#7;!a]-;@[CX4]-;@[OX2]",
        "heteroatoms bonded in a ring": "[#7,#8,#16;!a;!$([#16]=O)]-;@[#7,#8,#16;!a;!$([#16]=O)]",
        "aminonitrile": "[NX3;!a;!$(N-[#6,#16]=O)]-[CX4]C#N",
    }.items()
}


_CIS_TRANS = {
    Chem.BondStereo.STEREOCIS: Chem.BondStereo.STEREOCIS,
    Chem.BondStereo.STEREOZ: Chem.BondStereo.STEREOCIS,
    Chem.BondStereo.STEREOTRANS: Chem.BondStereo.STEREOTRANS,
    Chem.BondStereo.STEREOE: Chem.BondStereo.STEREOTRANS,
}


def number_marks(mol: Chem.Mol) -> list[int]:
    """Number the dummy atoms of ``mol`` 1, 2, ... by their map numbers, then by their places.

    Returns their indices in that order.
    """
    marks = [a for a in mol.GetAtoms() if a.GetAtomicNum() == 0]
    marks.sort(key=lambda a: (a.GetAtomMapNum() or a.GetIsotope() or 10_000, a.GetIdx()))
    for number, atom in enumerate(marks, 1):
        atom.SetIsotope(0)
        atom.SetAtomMapNum(number)
    return [a.GetIdx() for a in marks]


def label(text: str, numbers: Iterable[int]) -> str:
    """``text`` with its ``*`` numbered: the first of ``numbers`` for the first ``*``."""
    pieces = text.split("*")
    marks = "".join(f"[*:{n}]{piece}" for n, piece in zip(numbers, pieces[1:]))
    return pieces[0] + marks


def mark_contexts(mol: Chem.Mol, marks: Sequence[int]) -> list[tuple[int, ...]]:
    """What surrounds the atom that each mark hangs on, as in a table of precedent."""
    bonds = [(mol.GetAtomWithIdx(m).GetNeighbors()[0].GetIdx(), m) for m in marks]
    return [tuple(int(v) for v in row) for row in contexts_of([mol], [bonds])]


def joined(parts: Sequence[Chem.Mol]) -> Chem.Mol | None:
    """One molecule from ``parts``, joined at marks of one number; None where RDKit refuses.

    A part that is two marks and nothing else is a direct bond; one that is a single mark leaves
    hydrogen at the mark of its number.
    """
    solid = [p for p in parts if p.GetNumHeavyAtoms()]
    for part in parts:
        if not part.GetNumHeavyAtoms():
            one, *others = [a.GetAtomMapNum() for a in part.GetAtoms()]
            solid = [_renumbered(p, one, others[0] if others else None) for p in solid]
    whole = solid[0]
    for part in solid[1:]:
        whole = Chem.CombineMols(whole, part)
    mol = _bound(whole)
    with rdBase.BlockLogs():
        if Chem.SanitizeMol(mol, catchErrors=True):
            return None
        Chem.SetDoubleBondNeighborDirections(mol)
        return Chem.MolFromSmiles(Chem.MolToSmiles(mol))


def _bound(whole: Chem.Mol) -> Chem.Mol:
    """``whole`` with a bond in the place of each pair of marks of one number, not sanitised.

    The new neighbour takes the mark's place in everything that stereo refers to.
    """
    double_bonds = []
    editable = Chem.RWMol(whole)
    for bond in editable.GetBonds():
        bond.SetBondDir(Chem.BondDir.NONE)
        stereo = _CIS_TRANS.get(bond.GetStereo())
        ends = tuple(bond.GetStereoAtoms())
        if stereo is not None and len(ends) == 2:
            pair = (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
            double_bonds.append((pair, ends, stereo))
            bond.SetStereo(Chem.BondStereo.STEREONONE)
    marks: dict[int, list[Chem.Atom]] = {}
    for atom in whole.GetAtoms():
        if atom.GetAtomicNum() == 0 and atom.GetAtomMapNum():
            marks.setdefault(atom.GetAtomMapNum(), []).append(atom)
    instead: dict[int, int] = {}
    for both in marks.values():
        if len(both) != 2:
            continue
        first, second = (atom.GetIdx() for atom in both)
        a, b = (atom.GetNeighbors()[0].GetIdx() for atom in both)
        _move_last(editable.GetAtomWithIdx(a), first)
        _move_last(editable.GetAtomWithIdx(b), second)
        editable.RemoveBond(a, first)
        editable.RemoveBond(b, second)
        editable.AddBond(a, b, Chem.BondType.SINGLE)
        instead |= {first: b, second: a}
    for (begin, end), ends, stereo in double_bonds:
        bond = editable.GetBondBetweenAtoms(begin, end)
        bond.SetStereoAtoms(*(instead.get(atom, atom) for atom in ends))
        bond.SetStereo(stereo)
    for index in sorted(instead, reverse=True):
        editable.RemoveAtom(index)
    return editable.GetMol()


def _move_last(atom: Chem.Atom, neighbour: int) -> None:
    """The tetrahedral mark of ``atom`` as it reads when its bond to ``neighbour`` stands last."""
    others = [b.GetOtherAtomIdx(atom.GetIdx()) for b in atom.GetBonds()]
    if (len(others) - 1 - others.index(neighbour)) % 2:
        atom.InvertChirality()


def _renumbered(mol: Chem.Mol, old: int, new: int | None) -> Chem.Mol:
    """The mark ``old`` is ``new``, or hydrogen."""
    mol = Chem.Mol(mol)
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0 and atom.GetAtomMapNum() == old:
            atom.SetAtomMapNum(new or 0)
            if new is None:
                atom.SetAtomicNum(1)
    return mol


def unwanted(mol: Chem.Mol) -> dict[str, int]:
    """How often each of ``UNPROVEN`` is in ``mol``."""
    return {name: len(mol.GetSubstructMatches(query)) for name, query in UNPROVEN.items()}


def is_wanted(mol: Chem.Mol, own: dict[str, int], proven: bool = True) -> bool:
    """Whether ``mol`` has none of ``UNWANTED`` beyond what its parts had of their ``own``.

    proven: the part that was put in has precedent; else it has none of ``UNPROVEN`` either.
    """
    asked = UNWANTED if proven else UNPROVEN
    return all(len(mol.GetSubstructMatches(q)) <= own[name] for name, q in asked.items())
