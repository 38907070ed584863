"""Makes small changes to a molecular graph: the steps of an evolutionary search.

Mutations follow the published description of Graph GA (Jensen, Chem. Sci. 10:3567, 2019: append,
insert and delete an atom, change an element or a bond order, open and close a ring), with three
moves added that cross barriers which single-atom edits do not: a substituent moves to another
position, a ring changes between saturated and aromatic, and (``molgen.optimization.graph_moves``) a
branch is replaced by a fragment of a table. Crossover stands there, too.

All edits act on a Kekulé copy and are sanitised afterwards; a move that cannot be made, or whose
product is refused, gives None. Every function takes its random numbers from a
``numpy.random.Generator``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from rdkit import Chem
from rdkit.Chem.Descriptors import NumRadicalElectrons

MAX_HEAVY_ATOMS = 60
_ELEMENTS = ("C", "N", "O", "F", "S", "Cl", "Br", "P", "I")
_ELEMENT_WEIGHTS = np.array([0.40, 0.20, 0.18, 0.07, 0.06, 0.04, 0.025, 0.015, 0.01])
_VALENCES = {"C": 4, "N": 3, "O": 2, "F": 1, "S": 6, "Cl": 1, "Br": 1, "P": 5, "I": 1}
_BOND_TYPES = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
_REFUSED = [
    Chem.MolFromSmarts(pattern)
    for pattern in (
        "[R]=[R]=[R]",  # allene inside a ring
        "[r3,r4,r5,r6,r7]#[r3,r4,r5,r6,r7]",  # alkyne inside a small ring
        "[O,S;X2]-[O;X2]-[O,S;X2]",
    )
]

_CUTTABLE = Chem.MolFromSmarts("*-;!@*")

_Item = TypeVar("_Item")
Mutation = Callable[[Chem.RWMol, np.random.Generator], Chem.RWMol | None]


# ---- border --------------------------------------------------------------------------------------
def kekule_copy(smiles: str) -> Chem.RWMol | None:
    """An editable molecule with alternating bonds and no stereo, or None if it cannot be parsed."""
    mol = _kekule(smiles)
    return None if mol is None else Chem.RWMol(mol)


@lru_cache(maxsize=10_000)  # parents are edited many times
def _kekule(smiles: str) -> Chem.Mol | None:
    mol = Chem.MolFromSmiles(smiles)
    if mol is None or mol.GetNumAtoms() == 0:
        return None
    return _editable(mol)


def _editable(mol: Chem.Mol) -> Chem.RWMol:
    editable = Chem.RWMol(mol)
    Chem.RemoveStereochemistry(editable)
    Chem.Kekulize(editable, clearAromaticFlags=True)
    for index in range(editable.GetNumAtoms()):
        # Hydrogens of neutral atoms follow from the valence after an edit.
        atom = editable.GetAtomWithIdx(index)
        if atom.GetNoImplicit() and atom.GetFormalCharge() == 0:
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
        elif atom.GetNumExplicitHs() and atom.GetFormalCharge() == 0:
            atom.SetNumExplicitHs(0)
    return editable


def finished_smiles(mol: Chem.RWMol | None, max_heavy_atoms: int = MAX_HEAVY_ATOMS) -> str | None:
    """Canonical SMILES of an edited molecule, or None if it is not a sound connected molecule."""
    if mol is None or not 2 <= mol.GetNumAtoms() <= max_heavy_atoms:
        return None
    try:
        plain = mol.GetMol()
        Chem.SanitizeMol(plain)
        smiles = Chem.MolToSmiles(plain)
    except (ValueError, RuntimeError):  # RDKit's sanitisation errors are ValueErrors
        return None
    if "." in smiles:
        return None
    rings = plain.GetRingInfo()
    if any(len(ring) > 8 for ring in rings.AtomRings()):
        return None
    if any(plain.HasSubstructMatch(pattern) for pattern in _REFUSED):
        return None
    if "[" in smiles and NumRadicalElectrons(plain):
        return None
    return smiles


# ---- mutations -----------------------------------------------------------------------------------
def pick(rng: np.random.Generator, items: Sequence[_Item]) -> _Item | None:
    """A random item, or None of none."""
    return items[int(rng.integers(len(items)))] if items else None


def _hydrogens(mol: Chem.RWMol, index: int) -> int:
    return mol.GetAtomWithIdx(index).GetTotalNumHs()


def atom_with_hydrogen(mol: Chem.RWMol, rng: np.random.Generator) -> int | None:
    """A random atom that has a hydrogen, drawn until one has: faster than listing them all."""
    for _ in range(12):
        index = int(rng.integers(mol.GetNumAtoms()))
        if _hydrogens(mol, index):
            return index
    return None


def _cumulative_for(least_valence: int) -> np.ndarray:
    can_hold = np.array([_VALENCES[symbol] >= least_valence for symbol in _ELEMENTS])
    weights = np.cumsum(_ELEMENT_WEIGHTS * can_hold)
    return weights / weights[-1]


_CUMULATIVE = [_cumulative_for(valence) for valence in range(7)]


def _random_element(rng: np.random.Generator, least_valence: int) -> str:
    return _ELEMENTS[int(np.searchsorted(_CUMULATIVE[least_valence], rng.random(), side="right"))]


def append_atom(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    """Hang a new atom on an atom that has a hydrogen."""
    at = atom_with_hydrogen(mol, rng)
    if at is None:
        return None
    most = min(_hydrogens(mol, at), 3)
    order = int(rng.choice([1, 2, 3][:most], p=normalised([0.75, 0.2, 0.05][:most])))
    new = mol.AddAtom(Chem.Atom(_random_element(rng, order)))
    mol.AddBond(at, new, _BOND_TYPES[order])
    return mol


def insert_atom(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    """Put a new atom into a single bond."""
    singles = [b.GetIdx() for b in mol.GetBonds() if b.GetBondType() == Chem.BondType.SINGLE]
    chosen = pick(rng, singles)
    if chosen is None:
        return None
    bond = mol.GetBondWithIdx(chosen)
    begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    new = mol.AddAtom(Chem.Atom(_random_element(rng, 2)))
    mol.RemoveBond(begin, end)
    mol.AddBond(begin, new, Chem.BondType.SINGLE)
    mol.AddBond(new, end, Chem.BondType.SINGLE)
    return mol


def delete_atom(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    """Remove an atom with at most three neighbours; its neighbours join each other."""
    at = int(rng.integers(mol.GetNumAtoms()))
    if mol.GetAtomWithIdx(at).GetDegree() > 3 or mol.GetNumAtoms() < 3:
        return None
    neighbours = [n.GetIdx() for n in mol.GetAtomWithIdx(at).GetNeighbors()]
    for other in neighbours[1:]:
        if mol.GetBondBetweenAtoms(neighbours[0], other) is None:
            mol.AddBond(neighbours[0], other, Chem.BondType.SINGLE)
    mol.RemoveAtom(at)
    return mol


def change_element(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    """Give an uncharged atom another element that can hold its bonds."""
    atom = mol.GetAtomWithIdx(int(rng.integers(mol.GetNumAtoms())))
    if atom.GetFormalCharge() != 0:
        return None
    used = atom.GetTotalValence() - atom.GetTotalNumHs()
    if used > 5:
        return None
    symbol = _random_element(rng, used)
    if symbol == atom.GetSymbol():
        return None
    atom.SetAtomicNum(Chem.GetPeriodicTable().GetAtomicNumber(symbol))
    return mol


def change_bond_order(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    """Set a bond to another order that its hydrogens allow."""
    bond = mol.GetBondWithIdx(int(rng.integers(mol.GetNumBonds()))) if mol.GetNumBonds() else None
    if bond is None:
        return None
    order = int(bond.GetBondTypeAsDouble())
    spare = min(bond.GetBeginAtom().GetTotalNumHs(), bond.GetEndAtom().GetTotalNumHs())
    options = [new for new in (1, 2, 3) if new != order and new - order <= spare]
    if not options:
        return None
    bond.SetBondType(_BOND_TYPES[int(rng.choice(options))])
    return mol


def open_ring(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    """Remove a ring bond."""
    ring_bonds = [b.GetIdx() for b in mol.GetBonds() if b.IsInRing()]
    chosen = pick(rng, ring_bonds)
    if chosen is None:
        return None
    bond = mol.GetBondWithIdx(chosen)
    mol.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
    return mol


def close_ring(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    """Bond two atoms that are 2 to 6 bonds apart (5- and 6-rings preferred)."""
    free = [a.GetIdx() for a in mol.GetAtoms() if a.GetTotalNumHs() > 0]
    start = pick(rng, free)
    if start is None:
        return None
    distance = int(rng.choice([2, 3, 4, 5, 6], p=[0.08, 0.07, 0.35, 0.4, 0.1]))
    distances = Chem.GetDistanceMatrix(mol, force=True)  # the cached one is of before the edits
    end = pick(rng, [other for other in free if distances[start, other] == distance])
    if end is None:
        return None
    mol.AddBond(start, end, Chem.BondType.SINGLE)
    return mol


def toggle_aromatic(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    """Saturate a ring of 5 or 6, or give a saturated one alternating double bonds."""
    rings = [ring for ring in mol.GetRingInfo().BondRings() if len(ring) in (5, 6)]
    if not rings:
        return None
    bonds = [mol.GetBondWithIdx(index) for index in rings[int(rng.integers(len(rings)))]]
    if any(bond.GetBondType() == Chem.BondType.DOUBLE for bond in bonds):
        for bond in bonds:
            bond.SetBondType(Chem.BondType.SINGLE)
        return mol
    shift = int(rng.integers(len(bonds)))
    ordered = bonds[shift:] + bonds[:shift]
    for bond in ordered[::2][: len(bonds) // 2]:
        if min(bond.GetBeginAtom().GetTotalNumHs(), bond.GetEndAtom().GetTotalNumHs()) > 0:
            bond.SetBondType(Chem.BondType.DOUBLE)
    return mol


def cuttable_bonds(mol: Chem.Mol) -> list[tuple[int, int]]:
    """The acyclic single bonds, each as the indices of its atoms."""
    return list(mol.GetSubstructMatches(_CUTTABLE, maxMatches=10_000))


def branch_side(mol: Chem.Mol, start: int, without: int) -> set[int]:
    """Atoms reached from ``start`` when the bond to ``without`` is cut."""
    seen, stack = {start}, [start]
    while stack:
        atom = mol.GetAtomWithIdx(stack.pop())
        for neighbour in atom.GetNeighbors():
            index = neighbour.GetIdx()
            if index in seen or (atom.GetIdx() == start and index == without):
                continue
            seen.add(index)
            stack.append(index)
    return seen


def move_substituent(mol: Chem.RWMol, rng: np.random.Generator) -> Chem.RWMol | None:
    """Cut an acyclic single bond and bind the smaller part to another atom with a hydrogen."""
    chosen = pick(rng, cuttable_bonds(mol))
    if chosen is None:
        return None
    begin, end = chosen
    branch = branch_side(mol, end, begin)
    if len(branch) * 2 > mol.GetNumAtoms():
        begin, end = end, begin
        branch = set(range(mol.GetNumAtoms())) - branch
    targets = [
        atom.GetIdx()
        for atom in mol.GetAtoms()
        if atom.GetIdx() not in branch and atom.GetIdx() != begin and atom.GetTotalNumHs() > 0
    ]
    # One step along the graph half of the time: the smallest change of position there is.
    if rng.random() < 0.5:
        near = [t for t in targets if mol.GetBondBetweenAtoms(t, begin) is not None]
        targets = near or targets
    target = pick(rng, targets)
    if target is None:
        return None
    mol.RemoveBond(begin, end)
    mol.AddBond(target, end, Chem.BondType.SINGLE)
    return mol


def normalised(weights: Sequence[float]) -> np.ndarray:
    """Weights that sum to 1."""
    array = np.asarray(weights, dtype=float)
    return array / array.sum()


MUTATIONS: dict[str, tuple[Mutation, float]] = {
    "append_atom": (append_atom, 0.15),
    "insert_atom": (insert_atom, 0.12),
    "delete_atom": (delete_atom, 0.15),
    "change_element": (change_element, 0.16),
    "change_bond_order": (change_bond_order, 0.10),
    "open_ring": (open_ring, 0.05),
    "close_ring": (close_ring, 0.08),
    "toggle_aromatic": (toggle_aromatic, 0.04),
    "move_substituent": (move_substituent, 0.15),
}
"""Name -> (edit, share of the random choices)."""


def _drawn_edit(rng: np.random.Generator) -> Mutation:
    """An edit of :data:`MUTATIONS` as it stands now, each by its share."""
    edits = list(MUTATIONS.values())
    shares = np.cumsum(normalised([share for _, share in edits]))
    shares[-1] = 1.0
    return edits[int(np.searchsorted(shares, rng.random(), side="right"))][0]


def mutate(smiles: str, rng: np.random.Generator, n_edits: int = 1) -> str | None:
    """A molecule ``n_edits`` random graph edits away from ``smiles``, or None if an edit failed."""
    mol = kekule_copy(smiles)
    for step in range(n_edits):
        if mol is None:
            return None
        mol = _drawn_edit(rng)(mol, rng)
        if mol is not None and step + 1 < n_edits:
            try:
                mol.UpdatePropertyCache()
                Chem.FastFindRings(mol)
            except ValueError:
                return None
    product = finished_smiles(mol)
    return None if product == smiles else product
