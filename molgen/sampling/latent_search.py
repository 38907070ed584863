"""Decoding by search: of molecules written from a latent, the one whose own latent is nearest.

The encoder tells molecules apart that the decoder still confuses: a decoder that finds the right
molecule with probability .1 names it among 32 draws almost always, and only the right one is
encoded to the latent that was given. So candidates are drawn from the decoder, encoded again and
compared, until one has that latent or the draws are used up. Of the nearest one the other
stereoisomers are compared, too.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from rdkit import Chem
from rdkit.Chem.EnumerateStereoisomers import EnumerateStereoisomers, StereoEnumerationOptions

from molgen.base.random_streams import seeded
from molgen.chem.refusals import Refusal
from molgen.model.config import BLOCK
from molgen.motifs.stereo import flat_smiles
from molgen.sampling.stereo_writing import N_UNIFORMS

if TYPE_CHECKING:
    from molgen.sampling.sampler import Sampler

logger = logging.getLogger(__name__)
_ROUND = 16  # draws of a latent before their latents are compared
_SAME = 1e-4  # encoded twice, a molecule moves by 2e-6; its nearest neighbours are at .1 and more
_MOST_ISOMERS = 16


def nearest_molecules(
    sampler: Sampler, z: np.ndarray, first: Sequence[str], n_draws: int
) -> list[str]:
    """The molecule with the nearest latent, for each of the latents ``z`` (n, latent_dim).

    The same draws are used for each latent, so that a molecule does not depend on what is decoded
    beside it.

    Args:
        first: (n,) SMILES of the likeliest choices, which are compared with what is drawn.
        n_draws: candidates of a latent at most.
    """
    search = _Search(sampler, z, first)
    for start in range(0, n_draws, _ROUND):
        left = search.unfinished()
        if not len(left):
            break
        logger.info(
            "%d of %d latents have their molecule; up to %d draws for each of the others",
            len(z) - len(left), len(z), n_draws - start,
        )  # fmt: skip
        rng = seeded(0, start, 5)
        draws = min(_ROUND, n_draws - start)
        uniforms = sampler.uniforms(draws, rng)
        stereo = rng.random((draws, N_UNIFORMS), dtype=np.float32)
        at_once = max(BLOCK // draws, 1)
        for some in (left[i : i + at_once] for i in range(0, len(left), at_once)):
            rows = np.repeat(some, draws)
            written = sampler.write_at(
                torch.from_numpy(z[rows]), np.tile(uniforms, (len(some), 1)),
                np.tile(stereo, (len(some), 1)),
            )  # fmt: skip
            search.offer(rows, written)
        if sampler.network.has_stereo:
            search.offer_isomers()
    return search.best


class _Search:
    """The nearest molecules so far, and which were compared."""

    def __init__(self, sampler: Sampler, z: np.ndarray, first: Sequence[str]):
        self.sampler, self.z = sampler, z
        self.best = list(first)
        self.distance = np.full(len(z), np.inf)
        self.seen: list[set[str]] = [set() for _ in z]
        self.spread: list[set[str]] = [set() for _ in z]
        self.offer(np.arange(len(z)), first)

    def unfinished(self) -> np.ndarray:
        """Rows whose latent none of the molecules has, (k,)."""
        return np.flatnonzero(self.distance > _SAME)

    def offer(self, rows: np.ndarray, molecules: Sequence[str | Refusal]) -> None:
        """Compare ``molecules`` (k,) with the latents of ``rows`` (k,); refused ones are passed."""
        new = []
        for row, smiles in zip(rows.tolist(), molecules):
            if isinstance(smiles, str) and smiles not in self.seen[row]:
                self.seen[row].add(smiles)
                new.append((row, smiles))
        if not new:
            return
        latents = self.sampler.encode_posterior([smiles for _, smiles in new])[0]
        distances = np.linalg.norm(latents - self.z[[row for row, _ in new]], axis=1)
        for (row, smiles), distance in zip(new, distances):
            if distance < self.distance[row]:  # never of one that has no latent (NaN)
                self.distance[row], self.best[row] = distance, smiles

    def offer_isomers(self) -> None:
        """Compare the stereoisomers of the nearest molecules, once of each flat structure."""
        rows: list[int] = []
        molecules: list[str] = []
        options = StereoEnumerationOptions(onlyUnassigned=False, maxIsomers=_MOST_ISOMERS)
        for row in self.unfinished().tolist():
            flat = flat_smiles(Chem.MolFromSmiles(self.best[row]))
            if flat in self.spread[row]:
                continue
            self.spread[row].add(flat)
            isomers = EnumerateStereoisomers(Chem.MolFromSmiles(flat), options=options)
            for isomer in isomers:
                rows.append(row)
                molecules.append(Chem.MolToSmiles(isomer))
        self.offer(np.array(rows, dtype=np.int64), molecules)
