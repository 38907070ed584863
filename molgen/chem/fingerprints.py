"""Morgan fingerprints of molecules, and Tanimoto similarity between a few of them.

For large sets use :mod:`molgen.chem.similarity`, which counts packed bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from molgen.chem.parsing import parse


@lru_cache(maxsize=16)
def _morgan_generator(radius: int, n_bits: int):  # type: ignore[no-untyped-def]
    return rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=n_bits)


def fingerprints(mols: Iterable[str | Chem.Mol], radius: int = 2, n_bits: int = 1024) -> np.ndarray:
    """Morgan fingerprints (ECFP for radius 2: ECFP4) as bits.

    Args:
        mols: molecules or SMILES.
        radius: bonds around each atom.
        n_bits: length after folding.

    Returns:
        (n, n_bits) uint8 of zeros and ones.
    """
    generator = _morgan_generator(radius, n_bits)
    rows = [
        generator.GetFingerprintAsNumPy(m if isinstance(m, Chem.Mol) else parse(m)) for m in mols
    ]
    return np.stack(rows).astype(np.uint8) if rows else np.zeros((0, n_bits), dtype=np.uint8)


def tanimoto(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Tanimoto similarity of every fingerprint of ``a`` to every one of ``b``.

    Args:
        a: (n, n_bits) zeros and ones.
        b: (m, n_bits) zeros and ones.

    Returns:
        (n, m) float32; two empty fingerprints have similarity 1, as in MOSES.
    """
    x = np.asarray(a, dtype=np.float32)
    y = np.asarray(b, dtype=np.float32)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"Fingerprints must be two-dimensional and equally long, got shapes "
            f"{x.shape} and {y.shape}."
        )
    both = x @ y.T
    either = x.sum(1)[:, None] + y.sum(1)[None, :] - both
    return np.divide(both, either, out=np.ones_like(both), where=either > 0)
