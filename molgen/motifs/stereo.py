"""Stereo as states of a flat molecule: for each centre and double bond none stated, one, other.

The flat molecule (the same graph, all stereo taken off) says which atoms and bonds can carry
stereo; these *places* stand in the order of its canonical SMILES. A state refers to an order of
neighbours that the flat molecule settles too: by rank of Cahn, Ingold and Prelog as RDKit has it,
equals by their place in the canonical SMILES. A flat molecule and its states are therefore one
molecule with stereo, and every such molecule has one list of states for each numbering of its
equals; from canonical SMILES always the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rdkit import Chem, rdBase
from rdkit.Chem import rdchem

from molgen.motifs.trees import TETRAHEDRAL

UNSPECIFIED, ONE, OTHER = 0, 1, 2
N_STATES = 3
_CIS = (rdchem.BondStereo.STEREOCIS, rdchem.BondStereo.STEREOZ)
_TRANS = (rdchem.BondStereo.STEREOTRANS, rdchem.BondStereo.STEREOE)


class Place(NamedTuple):
    """An atom or double bond that can carry stereo.

    begin, end: the bond's atoms; ``end`` is -1 for a centre.
    reference: a centre's neighbours in the order that its state refers to; of a double bond one
        neighbour of ``begin`` and one of ``end``.
    state: UNSPECIFIED; ONE is clockwise (RDKit's tag, were the bonds in this order) or cis.
    """

    begin: int
    end: int
    reference: tuple[int, ...]
    state: int = UNSPECIFIED


def has_marks(smiles: str) -> bool:
    """Whether a SMILES states any stereo."""
    return any(mark in smiles for mark in "@/\\|")


def flatten(mol: Chem.Mol) -> Chem.Mol:
    """``mol`` without any stereo."""
    flat = Chem.Mol(mol)
    Chem.RemoveStereochemistry(flat)
    return flat


def flat_smiles(mol: Chem.Mol, written: str | None = None) -> str:
    """Canonical SMILES without stereo; ``written`` is that with stereo, where it is at hand."""
    written = written or Chem.MolToSmiles(mol)
    if not any(mark in written for mark in "@/\\"):
        return written
    return Chem.MolToSmiles(flatten(mol))  # isotopes stay, which isomericSmiles=False would drop


def flat_of(smiles: str) -> str:
    """A canonical SMILES without its stereo."""
    marked = any(mark in smiles for mark in "@/\\")
    return flat_smiles(Chem.MolFromSmiles(smiles)) if marked else smiles


def n_open_stereo(mol: Chem.Mol) -> int:
    """How many stereocentres and double bonds of a molecule are left unspecified."""
    open_ones = Chem.StereoSpecified.Unspecified
    return sum(i.specified == open_ones for i in Chem.FindPotentialStereo(Chem.Mol(mol)))


def find_places(flat: Chem.Mol, position: Sequence[int]) -> list[Place]:
    """The places of a flat molecule, all unspecified, in order.

    Args:
        position: of each atom in the flat molecule's canonical SMILES.
    """
    with rdBase.BlockLogs():
        found = Chem.FindPotentialStereo(flat, cleanIt=False, flagPossible=True)
    wanted = (rdchem.StereoType.Atom_Tetrahedral, rdchem.StereoType.Bond_Double)
    found = [info for info in found if info.type in wanted]
    if not found:
        return []
    Chem.AssignStereochemistry(flat, cleanIt=True, force=True, flagPossibleStereoCenters=True)
    atoms = list(flat.GetAtoms())
    ranked = all(atom.HasProp("_CIPRank") for atom in atoms)
    rank = (
        [int(atom.GetProp("_CIPRank")) for atom in atoms]
        if ranked
        else list(Chem.CanonicalRankAtoms(flat, breakTies=False))
    )

    def around(atom: int, without: int) -> list[int]:
        near = [n.GetIdx() for n in atoms[atom].GetNeighbors() if n.GetIdx() != without]
        return sorted(near, key=lambda n: (-rank[n], position[n]))

    places = []
    for info in found:
        if info.type == rdchem.StereoType.Atom_Tetrahedral:
            atom = info.centeredOn
            places.append(Place(atom, -1, tuple(around(atom, -1))))
            continue
        bond = flat.GetBondWithIdx(info.centeredOn)
        ends = sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()), key=position.__getitem__)
        sides = [around(ends[0], ends[1]), around(ends[1], ends[0])]
        if all(sides):
            places.append(Place(ends[0], ends[1], (sides[0][0], sides[1][0])))
    places.sort(key=lambda p: (position[p.begin], p.end))
    return places


def read_states(mol: Chem.Mol, places: Sequence[Place]) -> list[Place]:
    """``places`` with their states in ``mol``, whose atoms are numbered as in the places."""
    return [place._replace(state=_state(mol, place)) for place in places]


def _state(mol: Chem.Mol, place: Place) -> int:
    if place.end < 0:
        atom = mol.GetAtomWithIdx(place.begin)
        tag = atom.GetChiralTag()
        if tag not in TETRAHEDRAL:
            return UNSPECIFIED
        present = [bond.GetOtherAtomIdx(place.begin) for bond in atom.GetBonds()]
        clockwise = tag == rdchem.ChiralType.CHI_TETRAHEDRAL_CW
        return ONE if clockwise != _is_odd(present, place.reference) else OTHER
    bond = mol.GetBondBetweenAtoms(place.begin, place.end)
    stereo = bond.GetStereo()
    if stereo not in _CIS and stereo not in _TRANS:
        return UNSPECIFIED
    flips = sum(atom not in place.reference for atom in bond.GetStereoAtoms())
    return ONE if (stereo in _CIS) != (flips % 2 == 1) else OTHER


def dropped_stereo(mol: Chem.Mol) -> list[str]:
    """A sentence for each kind of stereo in ``mol`` that states do not carry."""
    dropped = [
        f"{atom.GetChiralTag().name} at atom {atom.GetIdx()} ({atom.GetSymbol()})"
        for atom in mol.GetAtoms()
        if atom.GetChiralTag() not in (*TETRAHEDRAL, rdchem.ChiralType.CHI_UNSPECIFIED)
    ]
    known = (*_CIS, *_TRANS, rdchem.BondStereo.STEREONONE, rdchem.BondStereo.STEREOANY)
    dropped += [
        f"{bond.GetStereo().name} at bond {bond.GetIdx()}"
        for bond in mol.GetBonds()
        if bond.GetStereo() not in known
    ]
    if mol.GetStereoGroups():
        dropped.append("enhanced stereo groups (relative or racemic centres)")
    return dropped


def _is_odd(order: Sequence[int], reference: Sequence[int]) -> bool:
    numbers = [reference.index(atom) for atom in order]
    inversions = sum(a > b for i, a in enumerate(numbers) for b in numbers[i + 1 :])
    return inversions % 2 == 1


def with_states(flat_smiles: str, states: Sequence[int]) -> Chem.Mol:
    """The molecule of a canonical SMILES without stereo and the ``states`` of its places."""
    flat = Chem.MolFromSmiles(flat_smiles)
    places = find_places(flat, range(flat.GetNumAtoms()))
    return set_states(flat, [p._replace(state=s) for p, s in zip(places, states, strict=True)])


def set_states(flat: Chem.Mol, places: Sequence[Place]) -> Chem.Mol:
    """``flat`` with the states of ``places``; those that turn out to be none are taken off."""
    if not any(place.state for place in places):
        return flat
    # Rewriting settles which marks are real, as for any molecule read from a file.
    return Chem.MolFromSmiles(Chem.MolToSmiles(_marked(flat, places)))


def write_states(flat: Chem.Mol, places: Sequence[Place]) -> str:
    """Canonical SMILES of ``flat`` with the states of ``places``."""
    if not any(place.state for place in places):
        return Chem.MolToSmiles(flat)
    mol = _marked(flat, places)
    text = Chem.MolToSmiles(mol)
    # Where each centre has neighbours of different ranks its mark is real, and stays when the text
    # is read again; a ring's centres depend on one another.
    if all(
        mol.GetAtomWithIdx(place.begin).HasProp("_CIPCode")
        for place in places
        if place.state and place.end < 0
    ):
        return text
    return Chem.MolToSmiles(Chem.MolFromSmiles(text))


def _marked(flat: Chem.Mol, places: Sequence[Place]) -> Chem.Mol:
    """``flat`` with the marks of ``places``, of which at least one is stated."""
    editable = Chem.RWMol(flat)
    for begin, end, reference, state in places:
        if state == UNSPECIFIED:
            continue
        if end < 0:
            atom = editable.GetAtomWithIdx(begin)
            present = [bond.GetOtherAtomIdx(begin) for bond in atom.GetBonds()]
            clockwise = (state == ONE) != _is_odd(present, reference)
            atom.SetChiralTag(TETRAHEDRAL[0] if clockwise else TETRAHEDRAL[1])
        else:
            bond = editable.GetBondBetweenAtoms(begin, end)
            ends = reference if bond.GetBeginAtomIdx() == begin else reference[::-1]
            bond.SetStereoAtoms(*ends)
            bond.SetStereo(_CIS[0] if state == ONE else _TRANS[0])
    mol = editable.GetMol()
    Chem.SetDoubleBondNeighborDirections(mol)
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    return mol
