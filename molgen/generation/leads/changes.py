"""Changes of one molecule, told as data: which atoms go, what comes, and where.

A :class:`Change` touches one place of a lead. Changes whose places are apart can be made together.
What they do not touch stays as it is: charges, isotopes and stereocentres included; a stereocentre
at a changed place is left unspecified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rdkit import Chem

from molgen.chem.graph_edits import branch_side
from molgen.chem.parsing import quiet_rdkit
from molgen.motifs.stereo import flat_smiles
from molgen.motifs.trees import cut_bonds

#: Bonds and groups that a change may not bring in: a lead's own are left alone.
_UNWANTED = {
    "two heteroatoms bonded to each other": "[N,O,S,P;!$(N(=O)O);!$([N+](=O)[O-])]-;!@[N,O,S]",
    "nitrogen bonded to oxygen or sulfur in a ring": "[N;!a]-;@[O,S,N;!a]",
    "aminal or hemiaminal": "[NX3;!$(N-C=[O,S,N]);!$(N-S(=O)=O);!a][CX4;!R][N,O,S;!$(N-C=[O,S,N])]",
    "acetal outside a ring": "[O,S][CX4;!R;!$(C(F)F)][O,S]",
    "halogen beside a heteroatom": "[F,Cl,Br,I]-[!#6]",
    "aliphatic halide": "[Cl,Br,I][CX4]",
    "fluorine and a heteroatom on one carbon": "F[CX4;!$(C(F)F)][N,O,S]",
    "fluorine beside a hydroxyl or an amine": "F[CX4][$([OX2H]),$([NX3;!a])]",
    "enol or enamine hydrogen": "[OX2H,NX3H2,SX2H][CX3]=[CX3;!a]",
    "imine": "[CX3;!$(C-[N,O,S]);!R]=[NX2;!a]",
    "N-acyl halide or acid halide": "[CX3](=O)[F,Cl,Br,I]",
    "aldehyde": "[CX3H1](=O)[#6]",
    "thiol or thiocarbonyl": "[SX2H,$([#6]=[SX1]),$([SX1]=[#6])]",
    "P or S with a hydrogen": "[$([P;!H0]),$([S;!H0;v4,v6])]",
    "cumulated double bonds": "*=[#6]=*",
    "alkyne or allene in a ring": "[R]#[R]",
    "small ring with a double bond": "[r3,r4]=[r3,r4]",
    "hydroxyl on nitrogen or sulfur": "[OX2H][N,S;!$(S(=O)=O)]",
    "anhydride-like": "C(=O)[O,S]C(=O)",
    "N-N=O": "[N,O][NX2]=O",
}


@lru_cache(maxsize=1)
def _unwanted() -> tuple[Chem.Mol, ...]:
    return tuple(Chem.MolFromSmarts(text) for text in _UNWANTED.values())


def unwanted_counts(mol: Chem.Mol) -> list[int]:
    """How often the molecule has each group that no change may bring in."""
    return [len(mol.GetSubstructMatches(pattern)) for pattern in _unwanted()]


@dataclass(frozen=True)
class Change:
    """One change at one place of a lead; atoms are numbered as in the lead.

    kind: "exchange" (a branch for another), "add" (at a hydrogen), "remove" (a branch for a
        hydrogen), "element", "insert", "delete" (an atom of a chain or ring), "move" (a branch).
    place: atoms with other bonds, or another element, than before; atoms that go included.
    removed: atoms that go. moved: atoms of a branch that hangs elsewhere.
    elements: (atom, new atomic number).
    cuts, bonds: pairs of atoms whose single bond goes or comes.
    inserted: (atomic number, its two neighbours).
    fragment: (atom, SMILES in which ``*`` stands for that atom), or None.
    added: heavy atoms that come.
    what: the change in words that a chemist reads, for example ``"*Cl -> *OC"``.
    """

    kind: str
    place: frozenset[int]
    removed: frozenset[int] = frozenset()
    moved: frozenset[int] = frozenset()
    elements: tuple[tuple[int, int], ...] = ()
    cuts: tuple[tuple[int, int], ...] = ()
    bonds: tuple[tuple[int, int], ...] = ()
    inserted: tuple[int, tuple[int, int]] | None = None
    fragment: tuple[int, str] | None = None
    added: int = 0
    what: str = ""

    @property
    def changed(self) -> frozenset[int]:
        """Atoms of the lead that are no longer there, or elsewhere."""
        return self.removed | self.moved | {a for a, _ in self.elements}

    @property
    def told(self) -> str:
        """The change with the atoms at which it is made."""
        at = sorted(self.place - self.removed) or sorted(self.place)
        return f"{self.what} at {','.join(map(str, at))}"


class Lead:
    """A molecule that is to be changed, prepared once.

    mol: as read, stereo included. kekule: the same with alternating bonds, to be edited.
    """

    def __init__(self, mol: Chem.Mol) -> None:
        self.mol = mol
        self.n_atoms = mol.GetNumAtoms()
        self.n_heavy = mol.GetNumHeavyAtoms()
        self.kekule = _editable(mol)
        self.unwanted = unwanted_counts(mol)
        self.radicals = _radicals(mol)
        self.largest_ring = max((len(r) for r in mol.GetRingInfo().AtomRings()), default=0)
        self.hydrogens = [a.GetTotalNumHs() for a in mol.GetAtoms()]
        self.charged = {a.GetIdx() for a in mol.GetAtoms() if a.GetFormalCharge()}
        self.rank = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
        self.flat = flat_smiles(mol)

    def is_stereo(self, index: int) -> bool:
        """Whether an atom is a given stereocentre, or at a double bond of given geometry."""
        atom = self.mol.GetAtomWithIdx(index)
        return bool(atom.GetChiralTag()) or any(
            b.GetStereo() not in (Chem.BondStereo.STEREONONE, Chem.BondStereo.STEREOANY)
            for b in atom.GetBonds()
        )

    def allow(self, other: Lead) -> None:
        """Take groups and ring sizes that ``other`` has for those of the lead itself."""
        self.unwanted = [max(pair) for pair in zip(self.unwanted, other.unwanted)]
        self.largest_ring = max(self.largest_ring, other.largest_ring)
        self.radicals = max(self.radicals, other.radicals)

    def branches(self) -> list[tuple[int, int, frozenset[int]]]:
        """(anchor, first atom, atoms) of what hangs on each acyclic single bond, both sides."""
        found = []
        for pair in cut_bonds(self.mol):
            for anchor, first in (pair, pair[::-1]):
                found.append((anchor, first, frozenset(branch_side(self.mol, first, anchor))))
        return found


def _editable(mol: Chem.Mol) -> Chem.RWMol:
    editable = Chem.RWMol(mol)
    Chem.Kekulize(editable, clearAromaticFlags=True)
    for atom in editable.GetAtoms():
        atom.SetIntProp("lead", atom.GetIdx())
        if atom.GetFormalCharge() == 0 and not atom.GetNumRadicalElectrons():
            # hydrogens of neutral atoms follow from the valence after a change
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
    return editable


def _radicals(mol: Chem.Mol) -> int:
    return sum(a.GetNumRadicalElectrons() for a in mol.GetAtoms())


@lru_cache(maxsize=20_000)
def _fragment(smiles: str) -> tuple[Chem.Mol, int]:
    """A fragment without its ``*``, as Kekulé molecule, and the atom that the ``*`` marked."""
    mol = Chem.RWMol(Chem.MolFromSmiles(smiles))
    Chem.Kekulize(mol, clearAromaticFlags=True)
    star = next(a for a in mol.GetAtoms() if a.GetAtomicNum() == 0)
    (neighbour,) = star.GetNeighbors()
    for atom in mol.GetAtoms():
        if atom.GetFormalCharge() == 0:
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
    neighbour.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    at = neighbour.GetIdx()
    mol.RemoveAtom(star.GetIdx())
    return mol.GetMol(), at - (at > star.GetIdx())


def apply(lead: Lead, changes: Sequence[Change]) -> Chem.Mol | None:
    """The lead with ``changes`` made, or None where that is no sound molecule.

    Atoms that are the lead's carry its numbers as the property ``lead``.
    """
    mol = Chem.RWMol(lead.kekule)
    gone: set[int] = set()
    for change in changes:
        for index in change.place:
            mol.GetAtomWithIdx(index).SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
        for a, b in change.cuts:
            mol.RemoveBond(a, b)
        for index, number in change.elements:
            atom = mol.GetAtomWithIdx(index)
            atom.SetAtomicNum(number)
            atom.SetIsotope(0)
            atom.ClearProp("lead")
        for a, b in change.bonds:
            if mol.GetBondBetweenAtoms(a, b) is not None:
                return None
            mol.AddBond(a, b, Chem.BondType.SINGLE)
        if change.inserted is not None:
            number, ends = change.inserted
            new = mol.AddAtom(Chem.Atom(number))
            for end in ends:
                mol.AddBond(end, new, Chem.BondType.SINGLE)
        if change.fragment is not None:
            anchor, text = change.fragment
            part, at = _fragment(text)
            start = mol.GetNumAtoms()
            mol.InsertMol(part)
            mol.AddBond(anchor, start + at, Chem.BondType.SINGLE)
        gone |= change.removed
    mol.BeginBatchEdit()
    for index in gone:
        mol.RemoveAtom(index)
    mol.CommitBatchEdit()
    return _sound(mol, lead)


def _sound(mol: Chem.RWMol, lead: Lead) -> Chem.Mol | None:
    product = mol.GetMol()
    if not product.GetNumAtoms():
        return None
    try:
        with quiet_rdkit():
            Chem.SanitizeMol(product)
            Chem.AssignStereochemistry(product, cleanIt=True, force=True)
    except (ValueError, RuntimeError):  # RDKit's sanitisation errors are ValueErrors
        return None
    if len(Chem.GetMolFrags(product)) > 1:
        return None
    if any(len(r) > max(8, lead.largest_ring + 1) for r in product.GetRingInfo().AtomRings()):
        return None
    if any(
        len(product.GetSubstructMatches(pattern, maxMatches=n + 1)) > n
        for pattern, n in zip(_unwanted(), lead.unwanted)
    ):
        return None
    return None if _radicals(product) > lead.radicals else product


# --- changes that can be listed -------------------------------------------------------------------
_C, _N, _O, _F, _S, _CL, _BR = 6, 7, 8, 9, 16, 17, 35
_BY_VALENCE = {1: (_C, _N, _O, _F, _CL), 2: (_C, _N, _O, _S), 3: (_C, _N)}
_SYMBOL = {_C: "C", _N: "N", _O: "O", _F: "F", _S: "S", _CL: "Cl", _BR: "Br"}


def small_changes(lead: Lead, free: Iterable[int], most: int) -> list[Change]:
    """All small changes at the atoms ``free``, of which ``most`` may go at the most."""
    allowed = set(free)
    changes = [*_elements(lead, allowed), *_insertions(lead, allowed), *_deletions(lead, allowed)]
    for anchor, first, atoms in lead.branches():
        if not atoms <= allowed or len(atoms) >= lead.n_atoms:
            continue
        if len(atoms) <= most:
            changes.append(_removal(lead, anchor, first, atoms))
            changes += _moves(lead, anchor, first, atoms, allowed)
    seen: set[tuple[object, ...]] = set()
    kept = []
    for change in changes:  # one for each class of equivalent atoms
        rank = lead.rank
        key = (
            change.kind,
            tuple(sorted(rank[a] for a in change.place)),
            tuple(sorted(rank[a] for a in change.removed)),
            tuple((rank[a], z) for a, z in change.elements),
            tuple((rank[a], rank[b]) for a, b in change.bonds),
            change.inserted and change.inserted[0],
        )
        if key not in seen:
            seen.add(key)
            kept.append(change)
    return kept


def _elements(lead: Lead, allowed: set[int]) -> list[Change]:
    found = []
    for index in sorted(allowed - lead.charged):
        atom = lead.kekule.GetAtomWithIdx(index)
        number = atom.GetAtomicNum()
        if number not in _SYMBOL or not atom.GetDegree():
            continue
        aromatic = lead.mol.GetAtomWithIdx(index).GetIsAromatic()
        if not aromatic and any(b.GetBondTypeAsDouble() > 1 for b in atom.GetBonds()):
            continue
        used = int(sum(b.GetBondTypeAsDouble() for b in atom.GetBonds()))
        for new in _BY_VALENCE.get(used, ()):
            if new == number:
                continue
            old_symbol, new_symbol = _SYMBOL[number], _SYMBOL[new]
            if aromatic:
                old_symbol, new_symbol = old_symbol.lower(), new_symbol.lower()
            found.append(
                Change(
                    "element",
                    frozenset([index]),
                    elements=((index, new),),
                    added=1,
                    what=f"{old_symbol} -> {new_symbol}",
                )
            )
    return found


def _insertions(lead: Lead, allowed: set[int]) -> list[Change]:
    found = []
    for bond in lead.mol.GetBonds():
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if bond.GetBondType() != Chem.BondType.SINGLE or bond.GetIsAromatic():
            continue
        if not {a, b} <= allowed or {a, b} & lead.charged:
            continue
        for number in (_C, _N, _O):
            found.append(
                Change(
                    "insert",
                    frozenset([a, b]),
                    cuts=((a, b),),
                    inserted=(number, (a, b)),
                    added=1,
                    what=f"insert {_SYMBOL[number]}",
                )
            )
    return found


def _deletions(lead: Lead, allowed: set[int]) -> list[Change]:
    found = []
    rings = lead.mol.GetRingInfo()
    for index in sorted(allowed - lead.charged):
        atom = lead.mol.GetAtomWithIdx(index)
        if atom.GetDegree() != 2 or atom.GetIsAromatic():
            continue
        if any(b.GetBondType() != Chem.BondType.SINGLE for b in atom.GetBonds()):
            continue
        if atom.IsInRing() and rings.MinAtomRingSize(index) < 5:
            continue
        a, b = (n.GetIdx() for n in atom.GetNeighbors())
        if not {a, b} <= allowed or {a, b} & lead.charged:
            continue
        found.append(
            Change(
                "delete",
                frozenset([index, a, b]),
                removed=frozenset([index]),
                bonds=((a, b),),
                what=f"delete {atom.GetSymbol()}",
            )
        )
    return found


def _removal(lead: Lead, anchor: int, first: int, atoms: frozenset[int]) -> Change:
    return Change(
        "remove",
        atoms | {anchor},
        removed=atoms,
        cuts=((anchor, first),),
        what=f"{branch_smiles(lead, first, atoms)} -> *[H]",
    )


def _moves(
    lead: Lead, anchor: int, first: int, atoms: frozenset[int], allowed: set[int]
) -> list[Change]:
    """The branch hung on an atom with a hydrogen up to three bonds away, of the same ring."""
    found = []
    distance = Chem.GetDistanceMatrix(lead.mol)[anchor]
    rings = lead.mol.GetRingInfo()
    for target in sorted(allowed - atoms - lead.charged - {anchor}):
        if not lead.hydrogens[target] or not 1 <= distance[target] <= 3:
            continue
        together = rings.AreAtomsInSameRing(anchor, target)
        if not together and distance[target] > 1:
            continue
        steps = int(distance[target])
        found.append(
            Change(
                "move",
                frozenset([anchor, first, target]),
                moved=atoms,
                cuts=((anchor, first),),
                bonds=((target, first),),
                what=f"move {branch_smiles(lead, first, atoms)} by {steps}",
            )
        )
    return found


def branch_smiles(lead: Lead, first: int, atoms: Iterable[int]) -> str:
    """A branch as SMILES, ``*`` in front of its first atom."""
    text = Chem.MolFragmentToSmiles(lead.mol, list(atoms), rootedAtAtom=first, isomericSmiles=False)
    return "*" + text


def branch_parts(lead: Lead) -> dict[str, int]:
    """What hangs on each acyclic single bond, stereo included: SMILES with ``*``, heavy atoms."""
    parts: dict[str, int] = {}
    for a, b in cut_bonds(lead.mol):
        bond = lead.mol.GetBondBetweenAtoms(a, b).GetIdx()
        with quiet_rdkit():
            cut = Chem.FragmentOnBonds(lead.mol, [bond], dummyLabels=[(0, 0)])
            for part in Chem.GetMolFrags(cut, asMols=True):
                parts.setdefault(Chem.MolToSmiles(part), part.GetNumHeavyAtoms())
    return {text: size for text, size in parts.items() if text.count("*") == 1}


@dataclass(frozen=True, eq=False)
class Analogue:
    """A changed lead: its molecule, SMILES (with and without stereo) and what was changed."""

    mol: Chem.Mol
    smiles: str
    flat: str
    changes: tuple[Change, ...]

    @property
    def changed(self) -> frozenset[int]:
        """Atoms of the lead that it does not have."""
        return frozenset().union(*(c.changed for c in self.changes))
