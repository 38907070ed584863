"""The sets that an audit compares, read once: keys, fingerprints, scaffolds, one-change keys.

Molecules are compared without stereo, because a copy whose stereo was left out is still a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from rdkit import Chem

from molgen.base.parallel import map_chunks
from molgen.base.user_warnings import warn_user
from molgen.chem.fingerprints import fingerprints
from molgen.chem.parsing import abbreviate, as_smiles_list, parse_or_none, quiet_rdkit
from molgen.chem.ring_systems import scaffold
from molgen.chem.similarity import pack

MINIMUM = 50
#: A substituent of more heavy atoms than this is no "one change".
SMALL_SUBSTITUENT = 3
_CUTTABLE = Chem.MolFromSmarts("[!#0;!#1]-;!@[!#0;!#1]")


@dataclass(frozen=True)
class MoleculeSet:
    """Distinct molecules.

    smiles: canonical SMILES without stereo.
    packed: (n, 16) uint64 Morgan fingerprints of radius 2, 1,024 bits.
    scaffolds: Bemis-Murcko scaffolds, empty for molecules without rings.
    n_jobs: processes for what is computed later.
    """

    smiles: tuple[str, ...]
    packed: np.ndarray
    scaffolds: tuple[str, ...]
    n_jobs: int = 1

    def __len__(self) -> int:
        return len(self.smiles)

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what was worked out of them need not travel to another process."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def take(self, keep: np.ndarray) -> MoleculeSet:
        """The molecules at the positions ``keep``."""
        rows = [int(i) for i in keep]
        return MoleculeSet(
            tuple(self.smiles[i] for i in rows),
            self.packed[rows],
            tuple(self.scaffolds[i] for i in rows),
            self.n_jobs,
        )

    @cached_property
    def positions(self) -> dict[str, int]:
        """Place of each SMILES."""
        return {s: i for i, s in enumerate(self.smiles)}

    @cached_property
    def change_keys(self) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """For each molecule its cores with one small substituent cut off: open, and capped with
        hydrogen. Two molecules of one scaffold differ by one change when they share an open core,
        or when the capped core of one is the other."""
        return map_chunks(change_keys_chunk, list(self.smiles), n_jobs=self.n_jobs)


def read_sets(
    members: Iterable[str], non_members: Iterable[str], n_jobs: int = 1
) -> tuple[MoleculeSet, MoleculeSet, list[str]]:
    """Members and non-members, checked, and notes on what was left out.

    Duplicates (stereoisomers among them) are merged and unreadable rows left out, each with a
    warning and a note.

    Raises:
        ValueError: fewer than 50 molecules in a set, or molecules that are in both.
    """
    notes: list[str] = []
    read = [
        _read_set(m, name, n_jobs, notes)
        for m, name in ((members, "members"), (non_members, "non-members"))
    ]
    both = [s for s in read[1].smiles if s in read[0].positions]
    if both:
        raise ValueError(
            f"{len(both):,} molecules are both members and non-members (the first is "
            f"{abbreviate(both[0])}; stereo is not compared); take them out of the non-members, "
            "which must be molecules that the model was not trained on."
        )
    for one, name in zip(read, ("members", "non-members")):
        if len(one) < MINIMUM:
            raise ValueError(
                f"There are {len(one)} distinct readable {name}; an audit needs at least "
                f"{MINIMUM} (1,000 to say anything firm, 10,000 for a rate of .1 %)."
            )
    return read[0], read[1], notes


def read_generated(generated: Iterable[str], n_jobs: int = 1) -> tuple[MoleculeSet, np.ndarray]:
    """Distinct generated molecules, and (n_distinct,) how often each was generated.

    Raises:
        ValueError: nothing readable.
    """
    texts = as_smiles_list(generated)
    rows = [row for row in map_chunks(profile_chunk, texts, n_jobs=n_jobs) if row is not None]
    if not rows:
        raise ValueError(f"None of the {len(texts):,} generated molecules can be read.")
    counts: dict[str, int] = {}
    for row in rows:
        counts[row[0]] = counts.get(row[0], 0) + 1
    return _collect(rows, n_jobs), np.array(list(counts.values()))


def _read_set(molecules: Iterable[str], name: str, n_jobs: int, notes: list[str]) -> MoleculeSet:
    texts = as_smiles_list(molecules)
    rows = map_chunks(profile_chunk, texts, n_jobs=n_jobs)
    good = [row for row in rows if row is not None]
    if len(good) < len(rows):
        first = next(text for text, row in zip(texts, rows) if row is None)
        # notes go into the report, which names no molecule of the members
        notes.append(
            f"{len(rows) - len(good):,} of {len(rows):,} {name} cannot be read and are left out"
        )
        warn_user(f"{notes[-1]}; the first is {abbreviate(str(first))}.")
    result = _collect(good, n_jobs)
    if len(result) < len(good):
        notes.append(f"{len(good) - len(result):,} duplicates among the {name} are merged")
        warn_user(notes[-1] + ".")
    return result


def _collect(rows: Sequence[tuple[str, np.ndarray, str]], n_jobs: int) -> MoleculeSet:
    first: dict[str, tuple[str, np.ndarray, str]] = {}
    for row in rows:
        first.setdefault(row[0], row)
    kept = list(first.values())
    packed = np.stack([r[1] for r in kept]) if kept else np.zeros((0, 16), dtype=np.uint64)
    return MoleculeSet(tuple(r[0] for r in kept), packed, tuple(r[2] for r in kept), n_jobs)


def profile_chunk(texts: Sequence[object]) -> list[tuple[str, np.ndarray, str] | None]:
    """(SMILES without stereo, packed fingerprint, scaffold) of each text; None if unreadable."""
    mols = [parse_or_none(text) for text in texts]
    good = [mol for mol in mols if mol is not None]
    for mol in good:
        Chem.RemoveStereochemistry(mol)
    packed = iter(pack(fingerprints(good)))
    return [
        None if mol is None else (Chem.MolToSmiles(mol), next(packed), scaffold(mol))
        for mol in mols
    ]


def change_keys_chunk(smiles: Sequence[str]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Open and capped cores of each molecule; see ``MoleculeSet.change_keys``."""
    return [_change_keys(s) for s in smiles]


def _change_keys(smiles: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    mol = Chem.MolFromSmiles(smiles)
    opened, capped = set(), set()
    with quiet_rdkit():
        for begin, end in mol.GetSubstructMatches(_CUTTABLE):
            bond = mol.GetBondBetweenAtoms(begin, end).GetIdx()
            for core_atom, lost_atom in ((begin, end), (end, begin)):
                lost = _small_side(mol, lost_atom, core_atom)
                if lost is None:
                    continue
                core = _core(mol, bond, core_atom, lost)
                opened.add(core[0])
                if core[1]:
                    capped.add(core[1])
    return tuple(sorted(opened)), tuple(sorted(capped))


def _small_side(mol: Chem.Mol, start: int, without: int) -> set[int] | None:
    """Atoms on the ``start`` side of a bond, or None if it has rings or too many atoms."""
    side, front = {start}, [start]
    while front:
        atom = mol.GetAtomWithIdx(front.pop())
        if atom.IsInRing():
            return None
        for neighbour in atom.GetNeighbors():
            i = neighbour.GetIdx()
            if i not in side and not (atom.GetIdx() == start and i == without):
                side.add(i)
                front.append(i)
        if len(side) > SMALL_SUBSTITUENT:
            return None
    return side


def _core(mol: Chem.Mol, bond: int, core_atom: int, lost: set[int]) -> tuple[str, str]:
    """SMILES of what is left when ``lost`` is cut off: with a dummy, and with a hydrogen."""
    cut = Chem.FragmentOnBonds(mol, [bond], dummyLabels=[(0, 0)])
    keep = [i for part in Chem.GetMolFrags(cut) if core_atom in part for i in part]
    opened = Chem.MolFragmentToSmiles(cut, keep)
    capped = Chem.RWMol(mol)
    atom = capped.GetAtomWithIdx(core_atom)
    atom.SetNumExplicitHs(atom.GetNumExplicitHs() + int(atom.GetNoImplicit() or _is_pyrrole(atom)))
    for index in sorted(lost, reverse=True):
        capped.RemoveAtom(index)
    if Chem.SanitizeMol(capped, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return opened, ""
    return opened, Chem.MolToSmiles(capped)


def _is_pyrrole(atom: Chem.Atom) -> bool:
    """A substituted aromatic nitrogen, whose hydrogen must be written when it is left alone."""
    return atom.GetIsAromatic() and atom.GetSymbol() in ("N", "P")
