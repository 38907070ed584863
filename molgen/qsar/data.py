"""Measured values made ready for QSAR: one row a compound, two classes or numbers, nothing lost.

A compound is its parent: salts and solvents are taken off and charges neutralised, so that a base
and its hydrochloride are one. Rows that cannot be used are listed with their line and reason;
compounds that came with different values are listed as conflicts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from molgen.chem.parsing import MoleculeError, abbreviate, as_smiles_list, canonical, parse
from molgen.chem.standardization import standardize_mol
from molgen.qsar.assay_values import QsarError, Values, read_values

MIN_MOLECULES = 20


@dataclass(frozen=True)
class TrainingSet:
    """What is left of the input after cleaning.

    Attributes:
        smiles: Canonical SMILES of the parents, unique.
        y: (n,) float64; 0 and 1 for a classification; the limit where a value is only bounded.
        classes: The two labels behind 0 and 1 (1 is the class predicted), or () for a regression.
        rejected: Rows left out: line (from 1), smiles, reason.
        conflicts: Compounds that came with different values: smiles, lines, values, used.
        relations: (n,) "=", ">" (the true value lies above ``y``) or "<"; () means "=" throughout.
        n_joined: Rows that were joined to another row of the same compound.
        n_parted: Rows whose counter-ion, solvent or charge was taken off.
        mirrored: Compounds that differ from another one in stereo alone.
        remarks: What the user should know, one sentence each.
    """

    smiles: tuple[str, ...]
    y: np.ndarray
    classes: tuple[Any, ...]
    rejected: tuple[dict[str, Any], ...]
    conflicts: tuple[dict[str, Any], ...]
    relations: tuple[str, ...] = ()
    n_joined: int = 0
    n_parted: int = 0
    mirrored: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def exact(self) -> np.ndarray:
        """(n,) bool: True where the value itself is known, not only a limit."""
        if not self.relations:
            return np.ones(len(self.smiles), dtype=bool)
        return np.array([relation == "=" for relation in self.relations])


def parent(smiles: str) -> str:
    """Canonical SMILES of a compound without counter-ions, solvents and charges.

    What cannot be standardised (a molecule without carbon, a metal) is kept as it is written.

    Raises:
        MoleculeError: For what is no molecule, or has an open mark (``*``).

    >>> parent("CC(C)NCC(O)c1ccccc1.Cl") == parent("CC(C)[NH2+]CC(O)c1ccccc1.[Br-]")
    True
    """
    if not isinstance(smiles, str):
        raise MoleculeError("Not a string.", f"not a string ({type(smiles).__name__})")
    return _parent(smiles)


@lru_cache(maxsize=100_000)  # a table, a library and each plate ask for the same molecules
def _parent(smiles: str) -> str:
    mol = parse(smiles)
    if any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms()):
        raise MoleculeError("Not a whole molecule.", "an open mark (*), not a whole molecule")
    with suppress(MoleculeError):
        mol, _ = standardize_mol(mol, keep_isotopes=True)
    return canonical(mol)


def clean_training_set(
    smiles: Iterable[str],
    y: Iterable[Any],
    task: str = "auto",
    duplicates: str = "median",
    positive: Any = None,
    relation: Iterable[Any] | None = None,
) -> tuple[TrainingSet, str]:
    """One row a compound with its value, and the task.

    Args:
        smiles: Molecules.
        y: Their values; None, NaN and words such as "n.d." are missing; ">10000" is a limit.
        task: "regression", "classification" or "auto" (two classes mean classification).
        duplicates: "median" joins repeated compounds (of a classification: the majority; a tie is
            left out), "raise" refuses those whose values differ.
        positive: The class to predict, see :func:`molgen.qsar.assay_values.read_values`.
        relation: "=", ">" or "<" beside each value, or None.

    Raises:
        QsarError: If nothing can be learned, with the reason.
    """
    if duplicates not in ("median", "raise"):
        raise QsarError(f"duplicates is 'median' or 'raise'; got {duplicates!r}")
    texts = as_smiles_list(smiles)
    given = list(y)
    if len(texts) != len(given):
        raise QsarError(f"smiles has {len(texts)} rows, y has {len(given)}")
    read = read_values(given, task, positive, relation)
    groups, rejected, n_parted = group_compounds(texts, read)
    kept, conflicts = join_compounds(groups, read, duplicates)
    _check_enough(kept, read.task, len(texts), rejected)
    data = TrainingSet(
        tuple(kept),
        np.array([value for value, _ in kept.values()]),
        read.classes,
        tuple(rejected),
        tuple(conflicts),
        tuple(relation for _, relation in kept.values()),
        n_joined=sum(len(rows) - 1 for rows in groups.values()),
        n_parted=n_parted,
        mirrored=_mirrored(kept),
        remarks=read.remarks,
    )
    return data, read.task


def group_compounds(
    texts: Sequence[Any], read: Values
) -> tuple[dict[str, list[int]], list[dict[str, Any]], int]:
    """Rows by their parent, the rows that cannot be used, and how many were salts or charged."""
    groups: dict[str, list[int]] = {}
    rejected: list[dict[str, Any]] = []
    n_parted = 0
    for row, (text, reason) in enumerate(zip(texts, read.reasons)):
        try:
            key = parent(text)
        except MoleculeError as error:
            reason = f"not a molecule: {error.reason}"
        if reason:
            rejected.append({"line": row + 1, "smiles": str(text), "reason": reason})
            continue
        n_parted += key != canonical(parse(text))
        groups.setdefault(key, []).append(row)
    return groups, rejected, n_parted


def join_compounds(
    groups: dict[str, list[int]], read: Values, duplicates: str
) -> tuple[dict[str, tuple[float, str]], list[dict[str, Any]]]:
    """One (value, relation) a compound, and the compounds whose rows contradict each other."""
    kept: dict[str, tuple[float, str]] = {}
    conflicts: list[dict[str, Any]] = []
    for key, rows in groups.items():
        found = [float(read.values[row]) for row in rows]
        signs = [read.relations[row] for row in rows]
        value, relation, agree = _one_value(found, signs)
        if read.task == "classification" and value == 0.5:
            value = math.nan  # as many rows say one class as the other
        if not agree:
            shown = [f"{'' if s == '=' else s}{v:g}" for v, s in zip(found, signs)]
            if duplicates == "raise":
                raise QsarError(
                    f"{key} stands in the data {len(found)} times with different values "
                    f"({', '.join(shown[:4])}): correct them, or join them with "
                    "duplicates='median'"
                )
            used = None if math.isnan(value) else value
            lines = [row + 1 for row in rows]
            conflicts.append({"smiles": key, "lines": lines, "values": found, "used": used})
        if not math.isnan(value):
            kept[key] = value, relation
    return kept, conflicts


def _one_value(found: Sequence[float], signs: Sequence[str]) -> tuple[float, str, bool]:
    """The value of several rows, its relation, and whether the rows agree.

    The median of the exact values; of limits alone the tightest; NaN for limits on both sides.
    """
    exact = [v for v, sign in zip(found, signs) if sign == "="]
    above = [v for v, sign in zip(found, signs) if sign == ">"]
    below = [v for v, sign in zip(found, signs) if sign == "<"]
    if exact:
        centre = float(np.median(exact))
        agree = max(exact) == min(exact)
        agree = agree and max(above, default=-math.inf) <= centre <= min(below, default=math.inf)
        return centre, "=", agree
    if above and below:
        return math.nan, "=", False
    return (max(above), ">", True) if above else (min(below), "<", True)


def _mirrored(kept: Iterable[str]) -> tuple[str, ...]:
    """The compounds that differ from another one in stereo alone, beside each other."""
    flat: dict[str, list[str]] = {}
    for key in kept:
        flat.setdefault(canonical(key, stereo=False), []).append(key)
    return tuple(key for keys in flat.values() if len(keys) > 1 for key in keys)


def _check_enough(
    kept: dict[str, tuple[float, str]], task: str, n_rows: int, rejected: list[dict[str, Any]]
) -> None:
    exact = [value for value, relation in kept.values() if relation == "="]
    if len(exact) < MIN_MOLECULES:
        limits = len(kept) - len(exact)
        beside = f" (beside {limits} of which only a limit is known)" if limits else ""
        first = "".join(
            f"; set aside, for example, {abbreviate(str(r['smiles']))}: {r['reason']}"
            for r in rejected[:1]
        )
        raise QsarError(
            f"{len(exact)} different molecules with a value are left of {n_rows} rows{beside}; a "
            f"model needs at least {MIN_MOLECULES}{first}"
        )
    if max(exact) - min(exact) <= 0:
        raise QsarError(f"y is constant ({exact[0]:g} for every molecule): nothing to learn")
