"""Fréchet ChemNet Distance: activations of ChemNet, and the distance between two sets of them.

The network and its weights are ``fcd_torch``'s; the loop over batches and the distance are written
here, because its own use functions that NumPy and SciPy are about to remove. Preuer et al.,
J. Chem. Inf. Model. 58:1736 (2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from tqdm import tqdm

from molgen.base.devices import choose_device


@lru_cache(maxsize=2)
def _network(device: str) -> Any:
    from fcd_torch import FCD

    return FCD(device=device, n_jobs=1, canonize=False).model.to(device).eval()


def activations(
    smiles: Sequence[str], *, device: str = "auto", batch_size: int = 512, progress: bool = False
) -> np.ndarray:
    """ChemNet's penultimate activations.

    Args:
        smiles: canonical SMILES.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or another torch device.
        batch_size: molecules at a time.
        progress: show a progress bar on standard error.

    Returns:
        (n, 512) float32.
    """
    import torch
    from fcd_torch.utils import SmilesDataset

    chosen = str(choose_device(device))
    network = _network(chosen)
    features = SmilesDataset(list(smiles), canonize=False)
    rows = []
    bar = tqdm(total=len(smiles), desc="ChemNet", unit="mol", disable=not progress, leave=False)
    with bar, torch.no_grad():
        for start in range(0, len(smiles), batch_size):
            stop = min(start + batch_size, len(smiles))
            batch = np.stack([features[i] for i in range(start, stop)]).astype(np.float32)
            inputs = torch.from_numpy(batch).transpose(1, 2).to(chosen)
            rows.append(network(inputs).cpu().numpy())
            bar.update(stop - start)
    return np.concatenate(rows) if rows else np.zeros((0, 512), dtype=np.float32)


def mean_and_covariance(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d), float64, of activations (n, d), n at least 2."""
    if len(values) < 2:
        raise ValueError(f"FCD needs at least two molecules, got {len(values)}.")
    return values.mean(axis=0, dtype=np.float64), np.cov(values.T)


def frechet_distance(
    mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray
) -> float:
    """Squared Fréchet distance between two normal distributions.

    ``|a - b|² + tr(A + B - 2 (A B)^½)``; the trace of the root is the sum of the square roots of
    the eigenvalues of the symmetric ``A^½ B A^½``, which are those of ``A B``.

    Args:
        mean_a, mean_b: (d,).
        covariance_a, covariance_b: (d, d) symmetric, non-negative.
    """
    eigenvalues, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.clip(eigenvalues, 0, None))) @ vectors.T
    product = np.linalg.eigvalsh(root @ covariance_b @ root)
    difference = np.asarray(mean_a, dtype=np.float64) - mean_b
    return float(
        difference @ difference
        + np.trace(covariance_a)
        + np.trace(covariance_b)
        - 2 * np.sqrt(np.clip(product, 0, None)).sum()
    )
