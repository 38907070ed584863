"""GraphVAE: a graph encoder, a latent vector, and a decoder that writes motif trees.

encoder   message passing over the atom graph, pooled to ``mu`` (on the sphere of radius
          sqrt(latent_dim)) and ``logvar``
latent    ``z = mu + sigma * noise``; the decoder is given ``z_t = (1 - t) z + t * noise`` together
          with the noise level ``t``: at 0 it reconstructs, at 1 it is an unconditional language
          model of motif trees, and in between it fills in what the noise has hidden
decoder   a causal transformer over the motifs placed so far; each step points at a site of the
          partial molecule (or stops) and picks a motif with its attachment atom
prior     a velocity field that carries noise to latents (``molgen.model.latent_prior``),
          fitted afterwards; it need only be integrated down to the noise level at which the
          decoder takes over
One noise-aware decoder is what lets one checkpoint both reconstruct exactly and sample the
training distribution: the prior never has to hit the fine detail of a latent.

Sources: Kingma and Welling (2014), auto-encoding variational Bayes; Lipman et al. (2023), flow
matching (the path from latent to noise); Hu et al. (2020), GINE convolution; Vinyals et al.
(2015), pointer networks; Peebles and Xie (2023), conditioning by adaptive layer normalisation.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from molgen.model.config import ModelConfig
from molgen.model.decoder import MotifDecoder
from molgen.model.encoder import GraphEncoder
from molgen.model.large_softmax import large_cross_entropy
from molgen.motifs.atom_graphs import AtomGraphs
from molgen.motifs.vocabulary import Vocabulary
from molgen.motifs.writing_orders import Growth


class GraphVAE(nn.Module):
    """The whole model; ``molgen.generation.generator`` gives it the methods that users call.

    Examples:
        >>> import molgen
        >>> network = molgen.load_model("moses").network
        >>> isinstance(network, molgen.GraphVAE)
        True
        >>> import numpy as np
        >>> from molgen.motifs.atom_graphs import atom_graphs, motif_numbers
        >>> from molgen.motifs.writing_orders import CANONICAL, grow
        >>> from molgen.motifs.tree_tables import build_table
        >>> network.describe_rows(network.vocabulary.token_row[:3]).shape[0]
        3
        >>> table, _, _ = build_table(["CCO", "c1ccccc1"])
        >>> motif = motif_numbers(table, network.vocabulary)
        >>> graphs = atom_graphs(table, motif, network.vocabulary, np.arange(2))
        >>> mu, logvar = network.posterior(graphs)
        >>> mu.shape == logvar.shape == (2, network.config.latent_dim)
        True
        >>> keep = np.arange(2)
        >>> order = np.full(2, CANONICAL)
        >>> growth = grow(table, motif, network.vocabulary, keep, order, keep)
        >>> len(network.describe_batch(growth, graphs))
        4
        >>> sorted(network.negative_log_likelihood(growth, mu, mu.new_zeros(2)))
        ['root', 'site', 'token']
    """

    def __init__(self, vocabulary: Vocabulary, config: ModelConfig | None = None, seed: int = 0):
        super().__init__()
        self.vocabulary = vocabulary
        self.config = config or ModelConfig()
        self.rows = nn.EmbeddingBag(
            len(vocabulary.environment) + 1, self.config.row_dim, mode="sum", padding_idx=0
        )
        self.encoder = GraphEncoder(self.config)
        self.decoder = MotifDecoder(self.config, vocabulary.n_attached, vocabulary.n_motifs)
        self._initialise(seed)

    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                std = 1 / math.sqrt(module.in_features)
                nn.init.normal_(module.weight, 0, std, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, 0, 0.1, generator=generator)
        nn.init.normal_(self.rows.weight, 0, 0.1, generator=generator)
        with torch.no_grad():
            self.rows.weight[0].zero_()
            for block in self.decoder.layers:
                block.condition.weight.mul_(0.1)
                for layer in (block.project, block.down):
                    layer.weight.mul_(1 / math.sqrt(2 * self.config.layers))

    def describe_rows(self, rows: np.ndarray) -> Tensor:
        """Sums of row embeddings: (…, k) row numbers to (…, row_dim)."""
        index = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
        index = index.to(self.rows.weight.device)
        return self.rows(index.view(-1, index.shape[-1])).view(*index.shape[:-1], -1)

    def describe_batch(
        self, growth: Growth, graphs: AtomGraphs | None = None, vocabulary: Vocabulary | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Vectors of all tokens, of each motif's parent site, of the sites, and of the atoms.

        All in one lookup: its gradient is as large as the table of environments, and is then
        written once. Shapes: (n_tokens, row_dim), (n, t, row_dim), (n, s, row_dim) and
        (n_atoms, row_dim), the last empty without ``graphs``.
        """
        vocabulary = vocabulary or self.vocabulary
        parts = [
            vocabulary.token_row,
            vocabulary.site_row[growth.parent_site],
            vocabulary.site_row[growth.site],
            np.zeros((0, 1), np.int64) if graphs is None else graphs.row,
        ]
        width = max(part.shape[-1] for part in parts)
        flat = [part.reshape(-1, part.shape[-1]) for part in parts]
        rows = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in flat]
        vectors = self.describe_rows(np.concatenate(rows)).split([len(part) for part in rows])
        token, parent, site, atom = (
            vector.view(*part.shape[:-1], vector.shape[-1]) for vector, part in zip(vectors, parts)
        )
        return token, parent, site, atom

    def posterior(
        self,
        graphs: AtomGraphs,
        atom_vectors: Tensor | None = None,
        gain: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """mu and logvar, each (n, latent_dim).

        Args:
            atom_vectors: from ``describe_batch``, where the caller has them already.
            gain: (n, encoder_layers, encoder_width) of the layers' updates, in training only.
        """
        if atom_vectors is None:
            atom_vectors = self.describe_rows(graphs.row)
        return self.encoder(graphs, atom_vectors, gain)

    def negative_log_likelihood(
        self,
        growth: Growth,
        z: Tensor,
        level: Tensor,
        vocabulary: Vocabulary | None = None,
        vectors: tuple[Tensor, Tensor, Tensor, Tensor] | None = None,
        gain: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """-log p(growth | z, level) in its parts ``root``, ``site``, ``token``, each (n,) nats.

        Args:
            growth: n molecules. z: (n, latent_dim), already noised. level: (n,) in [0, 1].
            vocabulary: of the growth, if it is an extension of the model's own.
            vectors: from ``describe_batch``, where the caller has them already.
            gain: (n, layers, 2, width) of the blocks' updates, in training only.
        """
        vocabulary = vocabulary or self.vocabulary
        decoder = self.decoder
        device = z.device
        size = torch.from_numpy(growth.size).to(device)
        token = torch.from_numpy(growth.token).to(device)
        parent = torch.from_numpy(growth.parent).to(device)
        n, t = token.shape

        if vectors is None:
            vectors = self.describe_batch(growth, vocabulary=vocabulary)
        token_vectors, site_of_parent, site_vectors, _ = vectors
        joined = (torch.arange(t, device=device) > 0).view(1, t, 1)
        site_of_parent = site_of_parent * joined
        start = decoder.start(torch.from_numpy(growth.order).to(device)).unsqueeze(1)
        placed = decoder.inputs(
            token_vectors[token], site_of_parent, parent, torch.arange(1, t + 1, device=device)
        )
        x = torch.cat([start + decoder.position.weight[0], placed], dim=1)
        condition = decoder.condition(z, level)
        mask = torch.full((t + 1, t + 1), -1e9, device=device).triu(1)
        for number, block in enumerate(decoder.layers):
            kept = None if gain is None else gain[:, number]
            x = block(x, block.modulation(condition), mask, gain=kept)
        hidden = decoder.norm(x)

        root = large_cross_entropy(
            decoder.root(hidden[:, 0]),
            token_vectors[vocabulary.n_attached :],
            decoder.root_bias,
            token[:, 0] - vocabulary.n_attached,
        )

        # Where to grow: at each position that holds a motif, one of the open sites, or stop.
        held = torch.arange(t, device=device) < size.unsqueeze(1)
        site_position = torch.from_numpy(growth.site_position).to(device)
        of_motif = hidden.gather(1, site_position.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        keys = decoder.site_keys(of_motif, site_vectors)
        logits = decoder.query(hidden[:, 1:]) @ keys.transpose(1, 2) / math.sqrt(keys.shape[-1])
        open_sites = torch.from_numpy(growth.site_open).to(device)
        logits = logits.float().masked_fill(~open_sites, -1e9)
        logits = torch.cat([logits, decoder.stop(hidden[:, 1:]).float()], dim=-1)
        target = torch.from_numpy(growth.site_target).to(device)
        site = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
        site = (site.view(n, t) * held).sum(1)

        # What to place there: the motif at position i + 2 is chosen at position i + 1.
        which, when = held[:, 1:].nonzero(as_tuple=True)
        parents = parent[which, when + 1]
        query = decoder.token_query(
            hidden[which, when + 1], hidden[which, parents], site_of_parent[which, when + 1]
        )
        loss = large_cross_entropy(
            query,
            token_vectors[: vocabulary.n_attached],
            decoder.token_bias,
            token[which, when + 1],
        )
        token_loss = torch.zeros(n, device=device).index_add(0, which, loss)
        return {"root": root, "site": site, "token": token_loss}


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, I)) of each molecule, (n,) nats."""
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum(1)
