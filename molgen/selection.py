"""The final set of a search: high scores that are not all the same molecule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rdkit import DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molgen.chem.parsing import parse

_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2)


def select_diverse(
    smiles: Sequence[str],
    scores: Sequence[float] | np.ndarray,
    n: int,
    max_similarity: float = 0.6,
) -> list[int]:
    """Positions of up to ``n`` molecules: the best first, each unlike all taken before it.

    Sphere exclusion in the order of the scores: a molecule is taken if its Tanimoto similarity
    (ECFP4 counts) to every molecule taken so far is at most ``max_similarity``.

    Args:
        smiles: Valid SMILES.
        scores: (n_molecules,) their scores; ties keep the order given.
        n: How many are wanted.
        max_similarity: 1 takes the ``n`` best whatever they look like.

    Returns:
        Positions in ``smiles``; fewer than ``n`` if no more are unlike enough.

    Raises:
        ValueError: For lengths that differ, ``n`` below 1 or a similarity outside [0, 1].
    """
    values = np.asarray(scores, dtype=float)
    if len(smiles) != len(values):
        raise ValueError(f"smiles has {len(smiles)} molecules, scores has {len(values)}")
    if n < 1:
        raise ValueError(f"n is the number of molecules wanted, at least 1; got {n}")
    if not 0 <= max_similarity <= 1:
        raise ValueError(f"max_similarity lies between 0 and 1; got {max_similarity}")
    taken: list[int] = []
    prints: list[object] = []
    for position in np.argsort(-values, kind="stable"):
        fingerprint = _MORGAN.GetSparseCountFingerprint(parse(smiles[int(position)]))
        nearest = max(DataStructs.BulkTanimotoSimilarity(fingerprint, prints), default=-1.0)
        if nearest <= max_similarity:
            taken.append(int(position))
            prints.append(fingerprint)
            if len(taken) == n:
                break
    return taken
