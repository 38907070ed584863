"""Where the bonds of a core point: angles and distances between its exits, in RDKit conformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom

_CONFORMERS = 5
_SEED = 0xC0DE


@lru_cache(maxsize=4_000)
def exit_geometry(core: str) -> np.ndarray | None:
    """Angles (degrees) between the bonds at each pair of marks, and distances (Å) of the atoms that
    they hang on: (conformers, 2, pairs); None where RDKit finds no conformer.

    core: SMILES with the marks ``[*:1]``, ``[*:2]``, ...; a methyl stands for each of them.
    """
    mol = Chem.MolFromSmiles(core)
    marks = sorted((a for a in mol.GetAtoms() if not a.GetAtomicNum()), key=_number)
    ends = [(a.GetNeighbors()[0].GetIdx(), a.GetIdx()) for a in marks]
    for atom in marks:
        atom.SetAtomicNum(6)
        atom.SetAtomMapNum(0)
        atom.SetNoImplicit(False)
    Chem.SanitizeMol(mol)
    mol = Chem.AddHs(mol)
    settings: Any = rdDistGeom.ETKDGv3()
    settings.randomSeed = _SEED
    settings.maxIterations = 50
    if not list(rdDistGeom.EmbedMultipleConfs(mol, _CONFORMERS, settings)):
        return None
    return np.array([_figures(c.GetPositions(), ends) for c in mol.GetConformers()])


def _number(atom: Chem.Atom) -> int:
    return atom.GetAtomMapNum()


def _figures(at: np.ndarray, ends: Sequence[tuple[int, int]]) -> tuple[list[float], list[float]]:
    vectors = [at[mark] - at[atom] for atom, mark in ends]
    angles, distances = [], []
    for i, j in combinations(range(len(ends)), 2):
        cosine = vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j])
        angles.append(float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))))
        distances.append(float(np.linalg.norm(at[ends[i][0]] - at[ends[j][0]])))
    return angles, distances


def exit_changes(old: str, new: str) -> tuple[float, float]:
    """The largest change of an angle (degrees) and of a distance (Å) between two cores' exits.

    Of all pairs of conformers the one in which the angles change least is told; NaN where a core
    has no conformer, 0 where it has one exit.
    """
    first, second = exit_geometry(old), exit_geometry(new)
    if first is None or second is None:
        return float("nan"), float("nan")
    if not first.shape[2]:
        return 0.0, 0.0
    change = np.abs(first[:, None] - second[None]).max(axis=-1).reshape(-1, 2)
    best = change[np.argmin(change[:, 0])]
    return float(best[0]), float(best[1])
