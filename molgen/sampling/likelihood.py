"""How probable a model finds molecules: of its decoder alone, or given their own latent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from molgen.model.graph_vae import kl_divergence
from molgen.model.spelling import vocabulary_for
from molgen.motifs.atom_graphs import atom_graphs, motif_numbers, writable
from molgen.motifs.tree_tables import TreeTable, build_table
from molgen.motifs.writing_orders import ANY_ORDER, CANONICAL, grow

if TYPE_CHECKING:
    from molgen.sampling.sampler import Sampler

_BATCH = 512


@torch.no_grad()
def negative_log_likelihood(
    model: Sampler,
    smiles: Sequence[str],
    given: str = "nothing",
    any_order: bool = False,
    n_draws: int = 1,
    seed: int = 0,
) -> np.ndarray:
    """-log p of writing each molecule, (n,) float64 nats; NaN where the vocabulary cannot write it.

    Args:
        given: "nothing" (the decoder without a latent), "posterior_mean" (the molecule's own
            latent), or "posterior" (latents drawn from its posterior, plus the KL divergence to
            the standard normal: the negative ELBO).
        any_order: score an order of growth drawn at random instead of the canonical one.
        n_draws: orders or latents to average over.
    """
    if given not in ("nothing", "posterior_mean", "posterior"):
        raise ValueError(f"given is {given!r}; expected 'nothing', 'posterior_mean' or 'posterior'")
    table, _, _ = build_table(list(smiles), stereo=model.network.has_stereo)
    scores = np.full(len(smiles), np.nan)
    if len(table):
        values = table_nll(model, table, given, any_order, n_draws, seed)
        scores[table.row] = values
    return scores


@torch.no_grad()
def table_nll(
    model: Sampler,
    table: TreeTable,
    given: str = "nothing",
    any_order: bool = False,
    n_draws: int = 1,
    seed: int = 0,
) -> np.ndarray:
    """The same for a table of motif trees, (n,) float64."""
    network = model.network
    vocabulary = vocabulary_for(network, table)
    motif = motif_numbers(table, vocabulary)
    usable = np.flatnonzero(writable(table, vocabulary, network.config.max_motifs))
    usable = usable[np.argsort(table.sizes[usable], kind="stable")]
    scores = np.full(len(table), np.nan)
    for start in range(0, len(usable), _BATCH):
        keep = usable[start : start + _BATCH]
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, start])))
        order = np.full(len(keep), ANY_ORDER if any_order else CANONICAL)
        total = torch.zeros(len(keep), dtype=torch.float64, device=model.device)
        graphs = None
        if given != "nothing" or network.has_stereo:
            graphs = atom_graphs(table, motif, vocabulary, keep)
        if given != "nothing":
            assert graphs is not None
            mu, logvar = network.posterior(graphs)
        for _ in range(n_draws):
            growth = grow(
                table, motif, vocabulary, keep, order, rng.integers(2**62, size=len(keep))
            )
            noise = rng.standard_normal((len(keep), model.latent_dim), dtype=np.float32)
            z = torch.from_numpy(noise).to(model.device)
            level = torch.ones(len(keep), device=model.device)
            if given != "nothing":
                level = torch.zeros_like(level)
                z = mu if given == "posterior_mean" else mu + (0.5 * logvar).exp() * z
            parts = network.negative_log_likelihood(growth, z, level, vocabulary, graphs=graphs)
            total += sum(p.double() for p in parts.values())
        total /= n_draws
        if given == "posterior":
            total += kl_divergence(mu, logvar).double()
        scores[keep] = total.cpu().numpy()
    return scores
