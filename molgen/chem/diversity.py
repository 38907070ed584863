"""A diverse choice among millions of molecules, on packed fingerprints.

Both methods compare each molecule chosen with all others once: n_chosen x n_molecules comparisons,
in the memory of the packed bits (128 bytes a molecule; a memory-mapped file will do).
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from rdkit import DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molgen.chem.chemotypes import Chemotypes
from molgen.chem.parsing import parse
from molgen.chem.similarity import popcount

_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2)


@numba.njit(cache=True)
def _similarity_to(prints, bits, chosen, result):  # type: ignore[no-untyped-def]
    """Tanimoto similarity of every print to the ``chosen`` one, into ``result`` (n,) float32."""
    n_words = prints.shape[1]
    for i in range(prints.shape[0]):
        both = np.int64(0)
        for k in range(n_words):
            both += np.int64(popcount(prints[i, k] & prints[chosen, k]))  # type: ignore[call-arg]
        either = bits[i] + bits[chosen] - both
        result[i] = both / either if either > 0 else 1.0


def _checked(prints: np.ndarray, order: np.ndarray, n: int) -> np.ndarray:
    if prints.ndim != 2 or prints.dtype != np.uint64:
        raise TypeError(
            f"Packed fingerprints are (n, words) uint64, got {prints.shape} {prints.dtype}."
        )
    if n < 1:
        raise ValueError(f"At least one molecule must be chosen, got n = {n}.")
    if len(order) and (order.min() < 0 or order.max() >= len(prints)):
        raise ValueError(f"order names positions outside 0 to {len(prints) - 1}.")
    counts = np.empty(len(prints), dtype=np.int64)
    for start in range(0, len(prints), 100_000):
        counts[start : start + 100_000] = np.bitwise_count(prints[start : start + 100_000]).sum(1)
    return counts


def choose_maxmin(prints: np.ndarray, order: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """MaxMin (Ashton et al., Quant. Struct.-Act. Relat. 21:598, 2002): spread as wide as possible.

    The first of ``order`` is taken; then, again and again, the molecule whose most similar chosen
    one is least similar to it; among equals the one that comes first in ``order``.

    Args:
        prints: (n_molecules, words) uint64, packed fingerprints.
        order: (m,) positions to choose from, in order of preference.
        n: how many.

    Returns:
        (k,) positions in the order of choice, k = min(n, m); and (k,) float32, the similarity of
        each to its most similar one among those chosen before (nan for the first).
    """
    bits = _checked(prints, order, n)
    if not len(order):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    nearest = np.full(len(prints), -1.0, dtype=np.float32)
    similar = np.empty(len(prints), dtype=np.float32)
    chosen = [int(order[0])]
    at_choice = [float("nan")]
    while len(chosen) < min(n, len(order)):
        _similarity_to(prints, bits, chosen[-1], similar)
        np.maximum(nearest, similar, out=nearest)
        nearest[chosen[-1]] = 2.0  # never again, not even where all others are its equals
        best = int(order[np.argmin(nearest[order])])
        at_choice.append(float(nearest[best]))
        chosen.append(best)
    return np.array(chosen), np.array(at_choice, dtype=np.float32)


def choose_spheres(
    prints: np.ndarray, order: np.ndarray, n: int, max_similarity: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sphere exclusion: in ``order``, take a molecule and strike out all that are too like it.

    Args:
        prints: (n_molecules, words) uint64, packed fingerprints.
        order: (m,) positions to choose from, best first.
        n: how many.
        max_similarity: two chosen molecules are at most so similar.

    Returns:
        as :func:`choose_maxmin`; fewer than ``n`` where no more are unlike enough.
    """
    bits = _checked(prints, order, n)
    nearest = np.full(len(prints), -1.0, dtype=np.float32)
    similar = np.empty(len(prints), dtype=np.float32)
    chosen: list[int] = []
    at_choice: list[float] = []
    limit = np.float32(max_similarity)
    for position in order:
        if nearest[position] > limit:
            continue
        chosen.append(int(position))
        at_choice.append(float(nearest[position]) if len(chosen) > 1 else float("nan"))
        if len(chosen) == n:
            break
        _similarity_to(prints, bits, position, similar)
        np.maximum(nearest, similar, out=nearest)
    return np.array(chosen, dtype=np.int64), np.array(at_choice, dtype=np.float32)


def select_diverse(
    smiles: Sequence[str],
    scores: Sequence[float] | np.ndarray,
    n: int,
    max_similarity: float = 0.6,
    per_chemotype: int | None = None,
) -> list[int]:
    """Positions of up to ``n`` molecules: the best first, each unlike all taken before it.

    Sphere exclusion in the order of the scores: a molecule is taken if its Tanimoto similarity
    (ECFP4 counts) to every molecule taken so far is at most ``max_similarity``.

    Args:
        smiles: Valid SMILES.
        scores: (n_molecules,) their scores; ties keep the order given.
        n: How many are wanted.
        max_similarity: 1 takes the ``n`` best whatever they look like.
        per_chemotype: At most so many of one chemotype (:mod:`molgen.chem.chemotypes`); None for no
            limit.

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
    if per_chemotype is not None and per_chemotype < 1:
        raise ValueError(f"per_chemotype is at least 1; got {per_chemotype}")
    taken: list[int] = []
    prints: list[object] = []
    chemotypes = Chemotypes()
    for position in np.argsort(-values, kind="stable"):
        mol = parse(smiles[int(position)])
        if per_chemotype is not None:
            home = chemotypes.find(mol)
            if home is not None and chemotypes.sizes[home] >= per_chemotype:
                continue
        fingerprint = _MORGAN.GetSparseCountFingerprint(mol)
        nearest = max(DataStructs.BulkTanimotoSimilarity(fingerprint, prints), default=-1.0)
        if nearest <= max_similarity:
            chemotypes.add(mol)
            taken.append(int(position))
            prints.append(fingerprint)
            if len(taken) == n:
                break
    return taken
