"""Decoding by search: of molecules written from a latent, the one whose own latent is nearest.

The encoder tells molecules apart that the decoder still confuses: a decoder that finds the right
molecule with probability .1 names it among 32 draws almost always, and only the right one is
encoded to the latent that was given. So candidates are drawn from the decoder, encoded again and
compared, until one has that latent or the draws are used up. Of the nearest one the other
stereoisomers are compared, too; and where it is near enough to be the right one but for a part that
hangs elsewhere, so are all molecules that differ by this, from the nearest to one nearer still.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from rdkit import Chem
from rdkit.Chem.EnumerateStereoisomers import EnumerateStereoisomers, StereoEnumerationOptions

from molgen.base.random_streams import seeded
from molgen.chem.refusals import Refusal
from molgen.model.config import BLOCK
from molgen.motifs.stereo import flat_of
from molgen.sampling.rearranging import rearranged
from molgen.sampling.stereo_writing import N_UNIFORMS

if TYPE_CHECKING:
    from molgen.sampling.sampler import Sampler

logger = logging.getLogger(__name__)
_ROUND = 16  # draws of a latent before their latents are compared
_SAME = 1e-4  # encoded twice, a molecule moves by 2e-6; its nearest neighbours are at .1 and more
_MOST_ISOMERS = 16
_LIKE = 0.22  # of the latents' radius; a molecule with one part elsewhere is at .1 mostly
_MOST_STEPS = 4
_MOST_REARRANGED = 600
_MOST_COMPARED = 8  # of them with all stereoisomers


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
    search.offer_rearranged()
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
        for row in self.unfinished().tolist():
            found = self._isomers(row, flat_of(self.best[row]))
            molecules += found
            rows += [row] * len(found)
        self.offer(np.array(rows, dtype=np.int64), molecules)

    def _isomers(self, row: int, flat: str) -> list[str]:
        """Stereoisomers of ``flat``; none the second time that they are asked for."""
        if flat in self.spread[row]:
            return []
        self.spread[row].add(flat)
        options = StereoEnumerationOptions(onlyUnassigned=False, maxIsomers=_MOST_ISOMERS)
        isomers = EnumerateStereoisomers(Chem.MolFromSmiles(flat), options=options)
        return [Chem.MolToSmiles(isomer) for isomer in isomers]

    def offer_rearranged(self) -> None:
        """Compare what differs from the nearest molecules by where one part hangs, as long as that
        brings nearer ones."""
        like = _LIKE * math.sqrt(self.z.shape[1])
        for row in self.unfinished().tolist():
            met: set[str] = set()
            for _ in range(_MOST_STEPS):
                if not _SAME < self.distance[row] < like:
                    break
                before = self.distance[row]
                some = [s for s in rearranged(self.best[row], _MOST_REARRANGED) if s not in met]
                if not some:
                    break
                met.update(some)
                nearest = self.best[row]
                latents = self.sampler.encode_posterior([nearest, flat_of(nearest), *some])[0]
                of_stereo = latents[0] - latents[1]  # about the same in those that are alike
                distances = np.linalg.norm(latents[2:] + of_stereo - self.z[row], axis=1)
                molecules: list[str] = []
                for number in np.argsort(distances, kind="stable")[:_MOST_COMPARED].tolist():
                    if self.sampler.network.has_stereo:
                        molecules += self._isomers(row, some[number])
                    molecules.append(some[number])
                self.offer(np.full(len(molecules), row), molecules)
                if not self.distance[row] < before:
                    break
