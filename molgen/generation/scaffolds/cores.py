"""Replacing the core of a molecule: another one that joins the same substituents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rdkit import Chem

from molgen.base.arguments import check_count
from molgen.generation.scaffolds.cutting import connected_pieces, find_part, read_molecule
from molgen.generation.scaffolds.exit_vectors import exit_changes
from molgen.generation.scaffolds.growing import OWN, connect_parts, drawn_query
from molgen.generation.scaffolds.partial_structures import Scaffold, cut_scaffold
from molgen.precedent.fragment_counts import describe_part
from molgen.precedent.fragment_cuts import MOST_MARKS
from molgen.precedent.limits import Limit, limit
from molgen.precedent.proposals import ANY, Wish
from molgen.precedent.splicing import number_marks
from molgen.sampling.molecules import Molecules

if TYPE_CHECKING:
    import pandas as pd

    from molgen.generation.generator import Generator


def replace_core(
    model: Generator,
    smiles: str,
    core: str | Iterable[int],
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    max_draws: int | None = None,
    atoms: Limit = None,
    ring: bool | None = None,
    include_old: bool = False,
    distance: int | None = 1,
    angle: float | None = None,
    own: float = OWN,
    unusual: bool = False,
) -> Molecules:
    """``n`` different molecules that keep the substituents of ``smiles`` around another core.

    The substituents sit on the new core only, at different atoms where they did so before.

    Args:
        core: SMARTS or SMILES (its first match is replaced), or atom numbers.
        atoms: heavy atoms of the new core, a number or a pair (least, most).
        ring: the new core is one ring system with the substituents on it; by default where the
            old one was.
        include_old: whether the old core, alone or as a part of the new one, may come back.
        distance: bonds by which the way between two substituents may differ from the old one;
            None for any.
        angle: degrees by which the angle between two substituents' bonds may differ from the old
            one, in RDKit conformers of the two cores; None for any.
        own, unusual, max_draws: as in ``sample_scaffold``.

    ``parts`` of the result has each molecule's new core with the marks of the substituents.

    Raises ValueError if the core is not in the molecule, cannot be cut out by single bonds, has no
    substituents or more than six, or one that is attached to it twice.
    """
    check_count(n)
    if angle is not None and not angle > 0:
        raise ValueError(f"angle is {angle!r}; expected degrees above 0")
    old, parts = _taken_apart(smiles, core)
    figures = describe_part(old.marked, old.mark_atoms())
    on_ring = all(old.mol.GetAtomWithIdx(a).IsInRing() for a in old.marks)
    stays_ring = bool(figures.rings) and on_ring if ring is None else ring
    bounds = tuple(_around(d, distance) for d in figures.length)
    without = None if include_old else drawn_query(old.mol)
    wish = Wish(limit(atoms, "atoms", 1), ANY, ANY, bounds, stays_ring, without)
    text = Chem.MolToSmiles(old.marked)

    def turned_little(new: str) -> bool:
        return angle is None or exit_changes(text, new)[0] <= angle

    return connect_parts(
        model, parts, n, seed, temperature, max_draws, wish, own, unusual, turned_little
    )


def core_table(
    model: Generator, smiles: str, core: str | Iterable[int], n: int, seed: int = 0, **limits: Any
) -> pd.DataFrame:
    """The molecules of ``replace_core`` (which says what ``limits`` are) beside the old core.

    Returns:
        DataFrame: ``smiles``; ``core``, the new one with the marks of the substituents;
        ``precedent``; ``bonds``, the largest change of the way between two substituents;
        ``angle`` and ``distance``, the largest changes of the angle (degrees) between two
        substituents' bonds and of the distance (Å) of the atoms that they hang on, in RDKit
        conformers; NaN where there are none. ``attrs["dropped"]`` says why there are fewer than
        ``n``.
    """
    import pandas as pd

    old = _taken_apart(smiles, core)[0]
    text = Chem.MolToSmiles(old.marked)
    own_ways = describe_part(old.marked, old.mark_atoms()).length
    found = replace_core(model, smiles, core, n, seed, **limits)
    rows = []
    for molecule, new, count in zip(found, found.parts, found.precedent):
        mol = Chem.MolFromSmiles(new)
        ways = describe_part(mol, number_marks(mol)).length
        change = max((abs(a - b) for a, b in zip(own_ways, ways)), default=0)
        rows.append((molecule, new, count, change, *exit_changes(text, new)))
    columns = ["smiles", "core", "precedent", "bonds", "angle", "distance"]
    table = pd.DataFrame(rows, columns=columns)
    table.attrs["dropped"] = found.dropped
    return table


def _taken_apart(smiles: str, core: str | Iterable[int]) -> tuple[Scaffold, list[Scaffold]]:
    """The core of a molecule with its marks, and the substituent of each mark."""
    mol = read_molecule(smiles)
    matched = _matched(mol, core, smiles)
    name = core if isinstance(core, str) else f"atoms {sorted(matched)}"
    rest = set(range(mol.GetNumAtoms())) - set(matched)
    if not rest:
        raise ValueError(f"{name!r} is all of {smiles}; there is no substituent to keep")
    return _core_and_parts(mol, matched, rest, name, smiles)


def _around(old: int, distance: int | None) -> tuple[int, int]:
    """Bonds between two substituents; those at different atoms stay at different atoms."""
    least = 3 if old >= 3 else 2
    return (least, 255) if distance is None else (max(old - distance, least), old + distance)


def _matched(mol: Chem.Mol, core: str | Iterable[int], smiles: str) -> tuple[int, ...]:
    if isinstance(core, str):
        return find_part(mol, core, smiles)
    atoms = tuple(int(a) for a in core)
    bad = [a for a in atoms if not 0 <= a < mol.GetNumAtoms()]
    if bad:
        raise ValueError(f"core names atom {bad[0]}; {smiles} has {mol.GetNumAtoms()} atoms")
    return atoms


def _core_and_parts(
    mol: Chem.Mol, matched: Sequence[int], rest: set[int], name: str, smiles: str
) -> tuple[Scaffold, list[Scaffold]]:
    """The old core with its marks, and the substituent of each mark."""
    old = cut_scaffold(mol, matched, name)
    pieces = connected_pieces(mol, rest)
    parts = [cut_scaffold(mol, piece, f"substituent {i + 1}") for i, piece in enumerate(pieces)]
    if any(len(p.marks) != 1 for p in parts):
        raise ValueError(f"a substituent of {name!r} in {smiles} is attached to it twice")
    if len(parts) > MOST_MARKS:
        raise ValueError(
            f"{name!r} has {len(parts)} substituents in {smiles}; at most {MOST_MARKS} can be "
            "placed on a new core; take some of them into the core"
        )
    # The marks of the old core are in the order of the bonds that were cut, and so must the parts.
    kept = set(matched)
    outer = [
        b if a in kept else a
        for a, b in ((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds())
        if (a in kept) != (b in kept)
    ]
    of_atom = {atom: part for piece, part in zip(pieces, parts) for atom in piece}
    return old, [of_atom[atom] for atom in outer]
