"""Activity cliffs: pairs of compounds that look alike and differ much in value.

The structure-activity landscape index of Guha and Van Drie (J. Chem. Inf. Model. 48:646, 2008) is
the difference of two values over the distance of the two structures.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rdkit.Chem import rdFingerprintGenerator

from molgen.chem.parsing import parse

if TYPE_CHECKING:
    import pandas as pd

_N_BITS = 2048
_BLOCK = 1_000
#: Two compounds that the fingerprint does not tell apart stand so far from each other.
_CLOSEST = 0.01
_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=_N_BITS, includeChirality=True)


def find_cliffs(
    smiles: Sequence[str],
    y: np.ndarray,
    relations: Sequence[str],
    n: int = 100,
    min_similarity: float = 0.0,
) -> pd.DataFrame:
    """The ``n`` steepest pairs.

    A limit counts with the difference that it makes certain: 7.2 and <5 differ by more than 2.2;
    two limits on the same side, or limits that overlap, are no pair.

    Args:
        smiles: Compounds.
        y: (n_compounds,) values and limits.
        relations: (n_compounds,) of "=", ">" or "<".
        n: Pairs at most.
        min_similarity: Pairs less alike are left out.

    Returns:
        first, second (positions; the second has the higher value), smiles_1, smiles_2, similarity
        (Tanimoto, ECFP4 with configuration), difference, relation (">" where a limit is in it),
        sali (difference / (1 - similarity), the latter at least 0.01).
    """
    import pandas as pd

    values = np.asarray(y, dtype=float)
    sign = np.array([{"=": 0, ">": 1, "<": -1}[r] for r in relations])
    low = np.where(sign < 0, -np.inf, values)  # the least that the true value may be
    high = np.where(sign > 0, np.inf, values)
    bits = np.zeros((len(smiles), _N_BITS), dtype=np.float32)
    for i, text in enumerate(smiles):
        bits[i] = _MORGAN.GetFingerprintAsNumPy(parse(text))
    sizes = bits.sum(1)
    heap: list[tuple[float, int, int, float, float]] = []
    for start in range(0, len(smiles), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(smiles)))
        shared = bits[rows] @ bits[start:].T
        either = sizes[rows][:, None] + sizes[None, start:] - shared
        alike = np.divide(shared, either, out=np.ones_like(shared), where=either > 0)
        certain = np.maximum(
            low[rows][:, None] - high[None, start:], low[None, start:] - high[rows][:, None]
        )
        index = certain / np.maximum(1.0 - alike, _CLOSEST)
        allowed = np.triu(np.ones_like(alike, dtype=bool), 1)
        allowed &= (certain > 0) & np.isfinite(certain) & (alike >= min_similarity)
        index[~allowed] = -1.0
        flat = index.ravel()
        keep = np.argpartition(-flat, min(n, len(flat) - 1))[: n + 1]
        for at in keep:
            if flat[at] > 0:
                i, j = divmod(int(at), index.shape[1])
                item = (float(flat[at]), -(start + i), -(start + j), float(alike[i, j]),
                        float(certain[i, j]))  # fmt: skip
                if len(heap) < n:
                    heapq.heappush(heap, item)
                else:
                    heapq.heappushpop(heap, item)
    rows_out = []
    for sali, i, j, similarity, difference in sorted(heap, reverse=True):
        first, second = sorted((-i, -j), key=lambda k: values[k])
        limited = sign[first] != 0 or sign[second] != 0
        rows_out.append({
            "first": first, "second": second, "smiles_1": smiles[first],
            "smiles_2": smiles[second], "similarity": similarity, "difference": difference,
            "relation": ">" if limited else "=", "sali": sali,
        })  # fmt: skip
    columns = [
        "first", "second", "smiles_1", "smiles_2", "similarity", "difference", "relation", "sali",
    ]  # fmt: skip
    return pd.DataFrame(rows_out, columns=columns)
