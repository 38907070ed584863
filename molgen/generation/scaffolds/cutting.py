"""Parts of molecules, found by a pattern and cut out."""

from __future__ import annotations

from rdkit import Chem, rdBase

from molgen.base.user_warnings import warn_user
from molgen.chem.parsing import parse_or_none, parse_whole
from molgen.generation.scaffolds.partial_structures import Scaffold, cut_scaffold


def read_molecule(smiles: str | Chem.Mol) -> Chem.Mol:
    """The whole molecule; raises ValueError naming what cannot be read, or is open."""
    return parse_whole(smiles)


def find_part(mol: Chem.Mol, pattern: str, smiles: str) -> tuple[int, ...]:
    """Atoms of the first match of ``pattern`` (SMARTS, or else SMILES) in ``mol``.

    Warns where it is found at several places that symmetry does not make equal. Raises ValueError
    if it cannot be read or is not there; ``smiles`` names the molecule.
    """
    matches = find_parts(mol, pattern, smiles)
    rank = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    first = sorted(rank[a] for a in matches[0])
    others = [m for m in matches[1:] if sorted(rank[a] for a in m) != first]
    if others:
        shown = ", ".join(map(str, sorted(matches[0])))
        warn_user(
            f"{pattern!r} is found {len(others) + 1} times in {smiles}; atoms {shown} are taken. "
            "A larger pattern, such as one with a neighbouring atom, tells them apart."
        )
    return matches[0]


def find_parts(mol: Chem.Mol, pattern: str, smiles: str) -> tuple[tuple[int, ...], ...]:
    """Atoms of every match of ``pattern`` (SMARTS, or else SMILES) in ``mol``, at least one.

    Raises ValueError if it cannot be read or is not there; ``smiles`` names the molecule.
    """
    with rdBase.BlockLogs():
        query = Chem.MolFromSmarts(pattern) if pattern else None
    if query is None:
        raise ValueError(f"{pattern!r} is not a SMARTS that RDKit can read")
    matches = mol.GetSubstructMatches(query)
    if not matches:
        with rdBase.BlockLogs():
            as_smiles = parse_or_none(pattern)
        matches = mol.GetSubstructMatches(as_smiles) if as_smiles is not None else ()
    if not matches:
        raise ValueError(f"{pattern!r} is not a part of {smiles}")
    return matches


def cut_core(smiles: str, core: str) -> Scaffold:
    """The ``core`` of ``smiles``, with exits where its substituents were."""
    mol = read_molecule(smiles)
    scaffold = cut_scaffold(mol, find_part(mol, core, smiles), core)
    if not scaffold.exits:
        raise ValueError(f"{core!r} is all of {smiles}; there is no substituent to replace")
    return scaffold


def connected_pieces(mol: Chem.Mol, atoms: set[int]) -> list[set[int]]:
    """The connected pieces of ``atoms`` in ``mol``."""
    left, pieces = set(atoms), []
    while left:
        stack, piece = [left.pop()], set()
        while stack:
            atom = stack.pop()
            piece.add(atom)
            for neighbour in mol.GetAtomWithIdx(atom).GetNeighbors():
                if neighbour.GetIdx() in left:
                    left.discard(neighbour.GetIdx())
                    stack.append(neighbour.GetIdx())
        pieces.append(piece)
    return pieces
