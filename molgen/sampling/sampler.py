"""A trained model at work: draws molecules, and carries them to latents and back.

Molecules are made in blocks of fixed size, and everything random about molecule ``i`` is drawn
from (seed, block, place), so that the same seed gives the same list whatever is asked for beside
it and however many processes share the work.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from rdkit import Chem

from molgen.base.arguments import check_count, check_temperature, renamed
from molgen.base.devices import choose_device
from molgen.base.parallel import count_workers
from molgen.base.random_streams import seeded
from molgen.chem.parsing import abbreviate, as_smiles_list, parse_whole, refusal_reason
from molgen.chem.refusals import Refusal
from molgen.model.checkpoints import read_model
from molgen.model.config import BLOCK, SEARCH
from molgen.model.graph_vae import GraphVAE
from molgen.model.latent_prior import VelocityField, flow
from molgen.motifs.atom_graphs import AtomGraphs, atom_graphs, motif_numbers
from molgen.motifs.tree_tables import build_table
from molgen.motifs.trees import MotifTree
from molgen.motifs.vocabulary_growth import with_motifs
from molgen.sampling.decoding import Writer, n_uniforms
from molgen.sampling.latent_search import nearest_molecules
from molgen.sampling.model_processes import draw_blocks
from molgen.sampling.molecules import Molecules, to_canonical
from molgen.sampling.stereo_writing import N_UNIFORMS, give_stereo, write_with_stereo
from molgen.sampling.unwritten import table_note, tell

logger = logging.getLogger(__name__)
_MAX_ROUNDS = 50


@dataclass(frozen=True)
class PriorSettings:
    """How free samples are drawn: noise is carried to ``level`` in ``steps`` steps.

    At level 1 the prior is not used and the decoder writes without a latent. ``temperature``
    multiplies that of ``sample``: the one at which the samples of this model are most like its
    training molecules, where errors that pile up make this less than 1.
    """

    level: float = 0.5
    steps: int = 4
    temperature: float = 1.0


class Sampler:
    """A trained network that draws, encodes and decodes.

    ``card`` is the model card (a dict); ``latent_dim`` the size of a latent.

    Examples:
        >>> import numpy as np
        >>> import torch
        >>> from molgen.model.cards import find_model
        >>> from molgen.sampling.sampler import Sampler
        >>> sampler = Sampler.load(find_model("moses"))
        >>> rng = np.random.default_rng(0)
        >>> latent, level = torch.zeros(1, sampler.latent_dim), torch.ones(1)
        >>> trees = sampler.writer.write(latent, level, sampler.uniforms(2, rng))
        >>> len(sampler.finished(trees, latent, level, rng))
        2
        >>> sampler.device
        device(type='cpu')
        >>> z = torch.from_numpy(sampler.encode(["CCOc1ccccc1"]))
        >>> len(sampler.write_at(z, sampler.uniforms(1, rng), rng.random((1, 64))))
        1
    """

    def __init__(
        self,
        network: GraphVAE,
        prior: VelocityField | None = None,
        card: dict[str, Any] | None = None,
        folder: str | os.PathLike | None = None,
    ):
        self.network = network.eval()
        self.prior = prior
        self.card = card or {}
        self.folder = None if folder is None else Path(folder)
        settings = self.card.get("sampling", {})
        self.settings = PriorSettings(**settings) if settings else PriorSettings()

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Self:
        """The generator whose files lie in ``folder``, at work on ``device``."""
        network, prior, card = read_model(folder)
        chosen = choose_device(device)
        return cls(network.to(chosen), None if prior is None else prior.to(chosen), card, folder)

    def __repr__(self) -> str:
        where = self.card.get("name", "unnamed")
        v = self.network.vocabulary
        return (
            f"{type(self).__name__}({where!r}, {v.n_motifs} motifs, latent_dim={self.latent_dim})"
        )

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.network.device

    @property
    def latent_dim(self) -> int:
        """Length of a latent vector."""
        return self.network.config.latent_dim

    @cached_property
    def writer(self) -> Writer:
        """The decoder, ready to write."""
        return Writer(self.network)

    @renamed(n_workers="n_jobs")
    def sample(self, n: int, seed: int = 0, temperature: float = 1.0, n_jobs: int = 1) -> Molecules:
        """Draw ``n`` molecules from the model (``Molecules``: a list of SMILES).

        Args:
            temperature: below 1 more typical, above 1 more varied molecules.
            n_jobs: processes, this one included, -1 for all cores; worth their start from some
                thousands of molecules on. A model on a GPU draws in this process alone.
        """
        check_count(n)
        check_temperature(temperature)
        parts = draw_blocks(self, -(-n // BLOCK), seed, temperature, count_workers(n_jobs))
        smiles = [s for part, _ in parts for s in part]
        dropped = [d for _, part in parts for d in part]
        return Molecules(smiles[:n], dropped)

    def sample_block(
        self, block: int, seed: int = 0, temperature: float = 1.0
    ) -> tuple[list[str], list[Refusal]]:
        """Block ``block`` of an endless sample (512 molecules), and what was dropped."""
        temperature = temperature * self.settings.temperature
        smiles: list[str | None] = [None] * BLOCK
        dropped: list[Refusal] = []
        for attempt in range(_MAX_ROUNDS):
            missing = [i for i, s in enumerate(smiles) if s is None]
            if not missing:
                break
            rng = seeded(seed, block, attempt)
            z, level = self._draw_latents(len(missing), rng)
            trees = self.writer.write(z, level, self.uniforms(len(missing), rng), temperature)
            for i, result in zip(missing, self.finished(trees, z, level, rng, temperature)):
                if isinstance(result, Refusal):
                    dropped.append(Refusal(block * BLOCK + i, result.smiles, result.reason))
                else:
                    smiles[i] = result
        return [s for s in smiles if s is not None], dropped

    def _draw_latents(self, n: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, latent_dim) and (n,); one row for all where the decoder writes without a latent."""
        settings = self.settings
        if self.prior is None or settings.level >= 1:
            noise = rng.standard_normal((1, self.latent_dim), dtype=np.float32)
            return torch.from_numpy(noise), torch.ones(1)
        z = torch.from_numpy(rng.standard_normal((n, self.latent_dim), dtype=np.float32))
        z = flow(self.prior, z.to(self.device), 1.0, settings.level, settings.steps)
        return z, torch.full((n,), settings.level)

    def uniforms(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """The numbers that decide every choice of ``n`` molecules, (n, ``n_uniforms``)."""
        return rng.random((n, n_uniforms(self.network)), dtype=np.float32)

    def finished(
        self,
        trees: Sequence[MotifTree],
        z: torch.Tensor,
        level: torch.Tensor,
        rng: np.random.Generator,
        temperature: float = 1.0,
    ) -> list[str | Refusal]:
        """Canonical SMILES of written trees, with stereo where the model learned it.

        Args:
            z, level: what they were written from, a row for each or one for all.
            rng: draws what decides the stereo.
        """
        if not self.network.has_stereo:
            return [to_canonical(tree) for tree in trees]
        uniforms = rng.random((len(trees), N_UNIFORMS), dtype=np.float32)
        return write_with_stereo(self.network, trees, z, level, uniforms, temperature)

    def add_stereo(
        self,
        smiles: Sequence[str],
        seed: int = 0,
        temperature: float = 1.0,
        closed: Sequence[Iterable[int]] | None = None,
    ) -> list[str]:
        """``smiles`` with stereo drawn for what they leave open; what they state is kept.

        Args:
            closed: of each molecule the atoms whose centres and double bonds stay as they are.

        Raises ValueError if the model did not learn stereo, or RDKit cannot read a molecule.
        """
        if not self.network.has_stereo:
            raise ValueError(f"{self!r} writes flat molecules; it has no stereo to add")
        done: list[str] = []
        texts = [Chem.CanonSmiles(text) for text in smiles] if closed is None else list(smiles)
        for start in range(0, len(texts), BLOCK):
            part = texts[start : start + BLOCK]
            rng = seeded(seed, start // BLOCK, 4)
            uniforms = rng.random((len(part), N_UNIFORMS), dtype=np.float32)
            z = torch.zeros(1, self.latent_dim)
            kept = None if closed is None else [set(c) for c in closed[start : start + BLOCK]]
            done += give_stereo(self.network, part, z, torch.ones(1), uniforms, temperature, kept)
        return done

    def encode(self, smiles: str | Sequence[str]) -> np.ndarray:
        """Posterior means, (n, latent_dim) float32; a row of NaN (and a warning) for a molecule
        that RDKit or the motif tree refuses.

        A warning says how many molecules have what the model does not write (stereo, unknown
        charges, elements, isotopes, ring systems): decoding gives another molecule there.
        """
        mean, _, note = self._encode(smiles)
        tell(note)
        return mean

    def encode_posterior(self, smiles: str | Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Posterior means and log variances, each (n, latent_dim) float32; nothing is said of
        what the model does not write."""
        return self._encode(smiles)[:2]

    @torch.no_grad()
    def _encode(self, smiles: str | Sequence[str]) -> tuple[np.ndarray, np.ndarray, str]:
        smiles = as_smiles_list(smiles)
        reasons = [refusal_reason(s) for s in smiles]
        mean = np.full((len(smiles), self.latent_dim), np.nan, dtype=np.float32)
        logvar = np.full_like(mean, np.nan)
        read = ["" if reason else s for s, reason in zip(smiles, reasons)]
        table, refused, flattened = build_table(read, stereo=self.network.has_stereo)
        for refusal in refused:
            reason = reasons[refusal.row] or refusal.reason
            given = abbreviate(str(smiles[refusal.row]))
            logger.warning("row %d (%s) is not encoded: %s", refusal.row, given, reason)
        if not len(table):
            return mean, logvar, ""
        vocabulary = with_motifs(self.network.vocabulary, table.motifs)
        motif = motif_numbers(table, vocabulary)
        for start in range(0, len(table), BLOCK):
            keep = np.arange(start, min(start + BLOCK, len(table)))
            graphs: AtomGraphs = atom_graphs(table, motif, vocabulary, keep)
            mu, spread = self.network.posterior(graphs)
            mean[table.row[keep]] = mu.cpu().numpy()
            logvar[table.row[keep]] = spread.cpu().numpy()
        note = table_note(self, table, flattened, "decoding does not give it back")
        return mean, logvar, note

    def decode(
        self, z: np.ndarray, seed: int = 0, temperature: float = 0.0, search: int = SEARCH
    ) -> Molecules:
        """Molecules of latents (n, latent_dim).

        Args:
            seed, temperature: draws of the decoder, one a latent, where ``temperature`` is above 0.
            search: at temperature 0, how many molecules are drawn for a latent at most, until one
                has this very latent; the nearest one is returned, or what is nearer still of the
                molecules that have its motifs joined in another way. 0 takes the likeliest
                choices, which is faster, above all where latents are no molecule's own.

        Raises ValueError for another shape or for values that are not finite.
        """
        z = np.asarray(z, dtype=np.float32)
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(f"z has shape {z.shape}; expected (n, {self.latent_dim})")
        if not np.isfinite(z).all():
            row = int(np.flatnonzero(~np.isfinite(z).all(axis=1))[0])
            raise ValueError(f"row {row} of z has values that are not finite numbers")
        check_temperature(temperature)
        check_count(search, "search")
        decoded = self._decode(torch.from_numpy(z), torch.zeros(len(z)), seed, temperature)
        if temperature or not search:
            return decoded
        return Molecules(nearest_molecules(self, z, decoded, search), decoded.dropped)

    def _decode(
        self, z: torch.Tensor, level: torch.Tensor, seed: int, temperature: float
    ) -> Molecules:
        smiles: list[str] = []
        dropped: list[Refusal] = []
        for start in range(0, len(z), BLOCK):
            rng = seeded(seed, start // BLOCK, 0)
            part = slice(start, start + BLOCK)
            uniforms = self.uniforms(len(z[part]), rng)
            trees = self.writer.write(z[part], level[part], uniforms, temperature)
            results = self.finished(trees, z[part], level[part], rng, temperature)
            for row, (tree, result) in enumerate(zip(trees, results), start):
                if isinstance(result, Refusal):
                    dropped.append(Refusal(row, result.smiles, result.reason))
                    result = to_canonical(MotifTree(tree.motifs[:1], ()))
                    assert isinstance(result, str)
                smiles.append(result)
        return Molecules(smiles, dropped)

    def write_at(
        self, z: torch.Tensor, uniforms: np.ndarray, stereo_uniforms: np.ndarray
    ) -> list[str | Refusal]:
        """A molecule of each latent (n, latent_dim), decided by ``uniforms`` (n, ...) alone."""
        level = torch.zeros(len(z))
        trees = self.writer.write(z, level, uniforms)
        if not self.network.has_stereo:
            return [to_canonical(tree) for tree in trees]
        return write_with_stereo(self.network, trees, z, level, stereo_uniforms)

    def write_latents(
        self, z: torch.Tensor, level: torch.Tensor, rng: np.random.Generator
    ) -> list[str]:
        """Molecules of latents (n, latent_dim) noised to ``level`` (n,), drawn with ``rng``."""
        trees = self.writer.write(z, level, self.uniforms(len(z), rng))
        return [s for s in self.finished(trees, z, level, rng) if isinstance(s, str)]

    def encode_one(self, smiles: str | Chem.Mol) -> torch.Tensor:
        """The latent of one molecule, (1, latent_dim); raises ValueError if it has none."""
        z = self.encode_posterior([Chem.MolToSmiles(parse_whole(smiles))])[0]
        if not np.isfinite(z).all():
            raise ValueError(
                f"{smiles!r} cannot be encoded: expected one valid, connected molecule"
            )
        return torch.from_numpy(z)
