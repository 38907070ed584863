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
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from molgen.model.config import ModelConfig
from molgen.model.decoder import Block, MotifDecoder
from molgen.model.encoder import GraphEncoder
from molgen.model.large_softmax import large_cross_entropy
from molgen.model.spelling import Speller, padded, spell
from molgen.model.stereo_decoder import StereoDecoder
from molgen.motifs.atom_graphs import AtomGraphs
from molgen.motifs.vocabulary import SKETCH_ROWS, Vocabulary
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
        if self.config.sketch_dim:
            self.sketch = nn.EmbeddingBag(
                SKETCH_ROWS, self.config.sketch_dim, mode="sum", padding_idx=0
            )
            self.of_sketch = nn.Linear(self.config.sketch_dim, self.config.row_dim, bias=False)
        self.decoder = MotifDecoder(self.config, vocabulary.n_attached, vocabulary.n_motifs)
        width = self.config.encoder_width
        sizes = replace(self.config, width=width, heads=4, feedforward=2 * width)
        if self.config.stereo_layers:
            self.stereo = StereoDecoder(self.config, [Block(sizes) for _ in range(2)])
        if self.has_rare:
            self.speller = Speller(self.config.width, width, [Block(sizes) for _ in range(2)])
        self.written = vocabulary
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
            if self.config.sketch_dim:
                nn.init.normal_(self.sketch.weight, 0, 0.1, generator=generator)
                self.sketch.weight[0].zero_()
            if self.has_rare:
                self._start_from_counts()
            blocks = [m for m in self.modules() if isinstance(m, Block)]
            for block in blocks:
                block.condition.weight.mul_(0.1)
                for layer in (block.project, block.down):
                    layer.weight.mul_(1 / math.sqrt(2 * self.config.layers))

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.rows.weight.device

    @property
    def has_rare(self) -> bool:
        """Whether rarer tokens are chosen in a second step, and unlisted ones spelled."""
        return self.config.head_tokens > 0

    @property
    def has_stereo(self) -> bool:
        """Whether the model learns stereo."""
        return self.config.stereo_layers > 0

    def _start_from_counts(self) -> None:
        """Give the choices' biases the logarithms of how often each was made in the data."""
        counts = torch.from_numpy(np.array(self.vocabulary.token_count))
        first = self.vocabulary.n_attached
        for bias, part in (
            (self.decoder.token_bias, counts[:first]),
            (self.decoder.root_bias, counts[first : first + self.vocabulary.n_motifs]),
        ):
            n = len(bias) - 2
            rarer = part[n:].sum().view(1)
            held = torch.cat([part[:n], rarer, rarer / 4])
            bias.copy_((held / held.sum()).log())

    def describe_tokens(self, vocabulary: Vocabulary, tokens: np.ndarray | None = None) -> Tensor:
        """Vectors (k, row_dim) of ``tokens`` of a vocabulary, by default all."""
        some = slice(None) if tokens is None else tokens
        vectors = self.describe_rows(vocabulary.token_row[some])
        if self.config.sketch_dim:
            assert vocabulary.token_sketch is not None
            vectors = vectors + self._describe_sketches(vocabulary.token_sketch[some])
        return vectors

    def _describe_sketches(self, sketches: np.ndarray) -> Tensor:
        index = torch.from_numpy(np.ascontiguousarray(sketches, dtype=np.int64))
        return self.of_sketch(self.sketch(index.to(self.device)))

    def describe_rows(self, rows: np.ndarray) -> Tensor:
        """Sums of row embeddings: (…, k) row numbers to (…, row_dim)."""
        index = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
        index = index.to(self.device)
        return self.rows(index.view(-1, index.shape[-1])).view(*index.shape[:-1], -1)

    def describe_batch(
        self,
        growth: Growth,
        graphs: AtomGraphs | None = None,
        vocabulary: Vocabulary | None = None,
        rare: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Vectors of the batch's tokens, of each motif's parent site, of the sites, and of atoms.

        All in one lookup: its gradient is as large as the table of environments, and is then
        written once. Shapes: (``len(tokens_of_batch(...))``, row_dim), (n, t, row_dim),
        (n, s, row_dim) and (n_atoms, row_dim), the last empty without ``graphs``.
        """
        vocabulary = vocabulary or self.vocabulary
        tokens = self.tokens_of_batch(growth, vocabulary, rare)
        parts = [
            vocabulary.token_row if tokens is None else vocabulary.token_row[tokens],
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
        if self.config.sketch_dim:
            assert vocabulary.token_sketch is not None
            sketches = vocabulary.token_sketch
            token = token + self._describe_sketches(
                sketches if tokens is None else sketches[tokens]
            )
        return token, parent, site, atom

    def tokens_of_batch(
        self,
        growth: Growth,
        vocabulary: Vocabulary,
        rare: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray | None:
        """The tokens that a batch needs vectors of; None for all.

        First those that can be chosen at once, tokens and then motifs to start with; the ``rare``
        ones that are drawn to stand for all rarer ones; those of the growth.
        """
        if not self.has_rare:
            return None
        first = vocabulary.n_attached
        at_once = [
            np.arange(len(self.decoder.token_bias) - 2),
            np.arange(first, first + len(self.decoder.root_bias) - 2),
        ]
        return np.concatenate([*at_once, *(rare or ()), np.unique(growth.token)])

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
        graphs: AtomGraphs | None = None,
        rare: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> dict[str, Tensor]:
        """-log p(growth | z, level) in its parts ``root``, ``site``, ``token``, each (n,) nats.

        With ``graphs`` and a model that learns stereo also ``stereo``; with ``rare`` also
        ``practice``, -log p of spelling tokens that were chosen otherwise.

        Args:
            growth: n molecules. z: (n, latent_dim), already noised. level: (n,) in [0, 1].
            vocabulary: of the growth, if it is an extension of the model's own.
            vectors: from ``describe_batch``, where the caller has them already.
            gain: (n, layers, 2, width) of the blocks' updates, in training only.
            graphs: the molecules' atom graphs.
            rare: tokens and starting tokens drawn by their counts, with which rarer ones are
                compared in training in place of all.
        """
        vocabulary = vocabulary or self.vocabulary
        decoder = self.decoder
        device = z.device
        size = torch.from_numpy(growth.size).to(device)
        token = torch.from_numpy(growth.token).to(device)
        parent = torch.from_numpy(growth.parent).to(device)
        n, t = token.shape

        if vectors is None:
            vectors = self.describe_batch(growth, graphs, vocabulary, rare)
        token_vectors, site_of_parent, site_vectors, atom_vectors = vectors
        numbers = self.tokens_of_batch(growth, vocabulary, rare)
        held_at = token
        if numbers is not None:
            place = np.empty(vocabulary.n_tokens, np.int64)
            place[numbers] = np.arange(len(numbers))
            held_at = torch.from_numpy(place[growth.token]).to(device)
        joined = (torch.arange(t, device=device) > 0).view(1, t, 1)
        site_of_parent = site_of_parent * joined
        start = decoder.start(torch.from_numpy(growth.order).to(device)).unsqueeze(1)
        placed = decoder.inputs(
            token_vectors[held_at], site_of_parent, parent, torch.arange(1, t + 1, device=device)
        )
        x = torch.cat([start + decoder.position.weight[0], placed], dim=1)
        condition = decoder.condition(z, level)
        mask = torch.full((t + 1, t + 1), -1e9, device=device).triu(1)
        for number, block in enumerate(decoder.layers):
            kept = None if gain is None else gain[:, number]
            x = block(x, block.modulation(condition), mask, gain=kept)
        hidden = decoder.norm(x)

        n_tokens, n_roots = len(decoder.token_bias), len(decoder.root_bias)
        if numbers is None:
            token_table = token_vectors[: vocabulary.n_attached]
            root_table = token_vectors[vocabulary.n_attached :]
        else:
            token_table = torch.cat([token_vectors[: n_tokens - 2], decoder.rare.weight[:2]])
            root_table = token_vectors[n_tokens - 2 :][: n_roots - 2]
            root_table = torch.cat([root_table, decoder.rare.weight[2:]])
        start_motif = token[:, 0] - vocabulary.n_attached
        root_choice = start_motif
        if numbers is not None:
            root_choice = start_motif.clamp(max=n_roots - 2)
            root_choice = root_choice + (start_motif >= self.vocabulary.n_motifs)
        root = large_cross_entropy(
            decoder.root(hidden[:, 0]), root_table, decoder.root_bias, root_choice
        )
        practice = torch.zeros(n, device=device)
        if numbers is not None:
            seconds = self._second_step(
                1, hidden[:, 0], token[:, 0], root_choice, token_vectors, held_at[:, 0],
                vocabulary, rare,
            )  # fmt: skip
            root = root + seconds[0]
            practice = practice + seconds[1]

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
        state = decoder.at_site(
            hidden[which, when + 1], hidden[which, parents], site_of_parent[which, when + 1]
        )
        chosen = token[which, when + 1]
        choice = chosen
        if numbers is not None:
            choice = chosen.clamp(max=n_tokens - 2) + (chosen >= self.vocabulary.n_attached)
        loss = large_cross_entropy(decoder.write(state), token_table, decoder.token_bias, choice)
        if numbers is not None:
            seconds = self._second_step(
                0, state, chosen, choice, token_vectors, held_at[which, when + 1],
                vocabulary, rare,
            )  # fmt: skip
            loss = loss + seconds[0]
            practice = practice.index_add(0, which, seconds[1])
        token_loss = torch.zeros(n, device=device).index_add(0, which, loss)
        parts = {"root": root, "site": site, "token": token_loss}
        if self.has_stereo and graphs is not None:
            parts["stereo"] = self.stereo.negative_log_likelihood(graphs, atom_vectors, condition)
        if rare is not None:
            parts["practice"] = practice
        return parts

    def _second_step(
        self,
        kind: int,
        state: Tensor,
        token: Tensor,
        choice: Tensor,
        token_vectors: Tensor,
        held_at: Tensor,
        vocabulary: Vocabulary,
        rare: tuple[np.ndarray, np.ndarray] | None,
    ) -> tuple[Tensor, Tensor]:
        """-log p of tokens, given that they are rarer ones or not listed; and of spelling both.

        Args:
            kind: 0 for tokens, 1 for motifs to start with. state: (k, width) of the decoder.
            token, choice: (k,) numbers of the tokens and of the first step's choices.
            token_vectors, held_at: the batch's vectors, and where those of ``token`` stand in them.

        Returns (k,) nats, 0 where the first step was all; and (k,) of spelling the rarer ones,
        which is for practice.
        """
        decoder, own = self.decoder, self.vocabulary
        n_tokens, n_roots = len(decoder.token_bias), len(decoder.root_bias)
        last = n_roots - 2 if kind else n_tokens - 2
        loss = torch.zeros(len(token), device=token.device)
        practice = torch.zeros_like(loss)
        among = (last, own.n_attached)
        if kind:
            among = (own.n_attached + last, own.n_tokens)
        shift = (vocabulary.n_attached - own.n_attached) * kind
        rarer = (choice == last).nonzero().squeeze(1)
        drawn = None
        if rare is not None:
            start = n_tokens + n_roots - 4 + kind * len(rare[0])
            drawn = rare[kind] - shift, token_vectors[start : start + len(rare[kind])]
        write = decoder.root_rare if kind else decoder.write_rare
        loss = loss.index_add(
            0,
            rarer,
            self._rare_loss(
                write(state[rarer]), token[rarer] - shift, token_vectors[held_at[rarer]],
                among, drawn,
            ),
        )  # fmt: skip
        unlisted = (choice == last + 1).nonzero().squeeze(1)
        spelled = unlisted if rare is None else torch.cat([unlisted, rarer])
        numbers = token[spelled].cpu().numpy()
        texts = [
            spell(vocabulary.motifs[vocabulary.token_motif[t]], int(vocabulary.token_atom[t]))
            for t in numbers
        ]
        letters = torch.from_numpy(padded(texts)).to(token.device)
        nats = self.speller.negative_log_likelihood(state[spelled], letters, kind == 0)
        loss = loss.index_add(0, unlisted, nats[: len(unlisted)])
        practice = practice.index_add(0, rarer[: len(nats) - len(unlisted)], nats[len(unlisted) :])
        return loss, practice

    def _rare_loss(
        self,
        query: Tensor,
        chosen: Tensor,
        vectors: Tensor,
        among: tuple[int, int],
        drawn: tuple[np.ndarray, Tensor] | None,
    ) -> Tensor:
        """-log p of the ``chosen`` tokens (k,), given that one of those ``among`` is taken.

        Args:
            query, vectors: (k, row_dim), the latter of the chosen tokens.
            among: first and last but one of the rarer tokens.
            drawn: some of them, drawn by their counts, with their vectors; by default all are
                compared with.
        """
        if not len(chosen):
            return query.float().sum(1)
        device = query.device
        counts = torch.from_numpy(np.array(self.vocabulary.token_count)).to(device)
        total = counts[slice(*among)].sum()
        if drawn is None:
            logits = (query @ self.rare_table(among).t()).float() + counts[slice(*among)].log()
            return F.cross_entropy(logits, chosen - among[0], reduction="none")
        numbers = torch.from_numpy(drawn[0]).to(device)
        own = (query * vectors).sum(1).float() + counts[chosen].log()
        others = (query @ drawn[1].t()).float() + (total / len(numbers)).log()
        others = others.masked_fill(numbers == chosen.unsqueeze(1), -1e9)
        return torch.cat([own.unsqueeze(1), others], dim=1).logsumexp(1) - own

    def rare_table(self, among: tuple[int, int]) -> Tensor:
        """Vectors of the tokens from the first of ``among`` up to the second."""
        return self.describe_tokens(self.vocabulary, np.arange(*among))


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, I)) of each molecule, (n,) nats."""
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum(1)
