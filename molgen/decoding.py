"""Writing molecules: the decoder run step by step, with cached keys and values.

``Writer`` holds everything about tokens and sites that does not depend on the molecule, worked
out once. A call grows many molecules side by side; those that are finished leave the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from molgen.batches import ANY_ORDER, CANONICAL
from molgen.model import GraphVAE
from molgen.motifs import Edge, MotifTree
from molgen.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Prefix:
    """A partial molecule that every molecule of a call starts from.

    token, parent, parent_site: (k,), as in ``batches.Growth``, in the Writer's vocabulary.
    exits: (k, atoms) pairs ``(motif number, atom)`` where growth may start; None for anywhere.
    """

    token: np.ndarray
    parent: np.ndarray
    parent_site: np.ndarray
    exits: frozenset[tuple[int, int]] | None = None


class Writer:
    """The decoder of ``network``, ready to write with ``vocabulary`` (its own or an extension)."""

    @torch.no_grad()
    def __init__(self, network: GraphVAE, vocabulary: Vocabulary | None = None):
        self.network = network
        self.decoder = decoder = network.decoder
        self.vocabulary = vocabulary or network.vocabulary
        self.n_written = network.vocabulary.n_attached
        width = network.config.width
        tokens = network.describe_rows(self.vocabulary.token_row)
        sites = network.describe_rows(self.vocabulary.site_row)
        self.token_input = decoder.token(tokens)
        self.site_input = decoder.site(sites)
        self.key_scale, self.key_shift = decoder.site_key(sites).chunk(2, dim=1)
        self.token_output = tokens[: self.n_written].T.contiguous()
        self.root_output = tokens[self.vocabulary.n_attached :][: network.vocabulary.n_motifs].T
        weight = decoder.choose.weight
        self.choose_hidden = weight[:, :width].T.contiguous()
        self.choose_parent = weight[:, width : 2 * width].T.contiguous()
        self.choose_site = sites @ weight[:, 2 * width :].T + decoder.choose.bias
        offset = torch.from_numpy(self.vocabulary.site_offset.astype(np.int64))
        count = offset.diff()
        self.most_sites = int(count.max())
        slots = torch.arange(self.most_sites)
        held = slots < count.unsqueeze(1)
        self.sites_of = torch.where(held, offset[:-1].unsqueeze(1) + slots, 0)
        capacity = torch.from_numpy(self.vocabulary.site_capacity.astype(np.int64))
        self.capacity_of = torch.where(held, capacity[self.sites_of], 0)
        self.site_count = count

    @torch.no_grad()
    def write(
        self,
        z: Tensor,
        level: Tensor,
        uniforms: np.ndarray,
        temperature: float = 1.0,
        prefix: Prefix | None = None,
        max_motifs: int | None = None,
    ) -> list[MotifTree]:
        """Grow one molecule for each row of ``z``.

        Args:
            z: (n, latent_dim) latents noised to ``level`` (n,).
            uniforms: (n, 2 * max_motifs + 1) numbers in [0, 1) that decide every choice.
            temperature: 1 draws from the model, 0 takes the most probable choice at each step.
            prefix: a partial molecule to start from; growth is in any order then.
            max_motifs: stop there at the latest; by default what the model was built for.
        """
        limit = min(max_motifs or self.network.config.max_motifs, self.network.config.max_motifs)
        n, decoder = len(z), self.decoder
        order = ANY_ORDER if prefix is not None else CANONICAL
        condition = decoder.condition(z, level)
        modulations = [block.modulation(condition) for block in decoder.layers]
        draws = torch.from_numpy(np.ascontiguousarray(uniforms))
        state = _State(n, limit, self.network.config)
        start = decoder.start.weight[order] + decoder.position.weight[0]
        x = start.expand(n, 1, -1)
        if prefix is None:
            hidden = self._advance(state, x, modulations)[:, 0]
            logits = decoder.root(hidden) @ self.root_output + decoder.root_bias
            root = _choose(logits, draws[:, 0], temperature)
            state.token[:, 0] = root + self.vocabulary.n_attached
            inputs = self.token_input[state.token[:, 0]] + decoder.parent.weight[0]
            x = (inputs + decoder.position.weight[1]).unsqueeze(1)
            state.placed = 1
            self._open_sites(state, state.token[:, 0], 1)
        else:
            x = self._place_prefix(state, prefix, x)
        hidden = self._advance(state, x, modulations)[:, -1]
        self._key_sites(state)
        done: list[MotifTree | None] = [None] * n
        while len(state.row):
            finished = self._step(state, hidden, draws, temperature, order, limit)
            self._finish(state, finished, done)
            keep = (~finished).nonzero().squeeze(1)
            if not len(keep):
                break
            if len(keep) < len(finished):
                state.select(keep)
                draws = draws[keep]
                modulations = [tuple(part[keep] for part in m) for m in modulations]
            hidden = self._place(state, modulations)
        assert all(tree is not None for tree in done)
        return done  # type: ignore[return-value]

    def _advance(self, state: _State, x: Tensor, modulations) -> Tensor:
        """Run the transformer over new positions; returns their hidden states."""
        new = x.shape[1]
        past = state.length
        mask = torch.full((new, past + new), -1e9).triu(past + 1)
        for layer, block in enumerate(self.decoder.layers):
            x, state.cache[layer] = block(x, modulations[layer], mask, state.cache[layer])
        hidden = self.decoder.norm(x)
        state.hidden = torch.cat([state.hidden, hidden], dim=1)
        return hidden

    def _place_prefix(self, state: _State, prefix: Prefix, start: Tensor) -> Tensor:
        n, k = len(state.row), len(prefix.token)
        decoder = self.decoder
        token = torch.from_numpy(prefix.token.astype(np.int64))
        parent = torch.from_numpy(prefix.parent.astype(np.int64))
        site = torch.from_numpy(prefix.parent_site.astype(np.int64))
        inputs = self.token_input[token] + decoder.parent(parent)
        inputs = inputs + decoder.position.weight[1 : k + 1]
        inputs[1:] += self.site_input[site[1:]]
        state.token[:, :k] = token
        state.parent[:, :k] = parent
        state.parent_site[:, :k] = site
        for i in range(k):
            if i:
                used = (state.site_position == parent[i]) & (state.site == site[i])
                state.left -= used.long()
            self._open_sites(state, token[i].expand(n), i + 1)
        if prefix.exits is not None:
            atom = torch.from_numpy(self.vocabulary.site_atom.astype(np.int64))
            allowed = torch.zeros_like(state.left, dtype=torch.bool)
            for number, exit_atom in prefix.exits:
                allowed |= (state.site_position == number + 1) & (atom[state.site] == exit_atom)
            state.left *= allowed
        state.placed = k
        return torch.cat([start, inputs.expand(n, -1, -1)], dim=1)

    def _open_sites(self, state: _State, token: Tensor, position: int) -> None:
        sites, capacity = self.sites_of[token], self.capacity_of[token]
        most = int(self.site_count[token].max()) if len(token) else 0
        state.site = torch.cat([state.site, sites[:, :most]], dim=1)
        state.left = torch.cat([state.left, capacity[:, :most]], dim=1)
        at = torch.full((len(token), most), position)
        state.site_position = torch.cat([state.site_position, at], dim=1)

    def _key_sites(self, state: _State) -> None:
        """Keys of the sites that have none yet."""
        new = slice(state.key.shape[1], state.site.shape[1])
        site, at = state.site[:, new], state.site_position[:, new]
        node_key = self.decoder.node_key(state.hidden)
        of_motif = node_key.gather(1, at.unsqueeze(-1).expand(-1, -1, node_key.shape[-1]))
        key = of_motif * (1 + self.key_scale[site]) + self.key_shift[site]
        state.key = torch.cat([state.key, key], dim=1)

    def _step(
        self,
        state: _State,
        hidden: Tensor,
        draws: Tensor,
        temperature: float,
        order: int,
        limit: int,
    ) -> Tensor:
        """Choose where to grow and what to place; returns (rows,) bool: stopped."""
        decoder, placed = self.decoder, state.placed
        query = decoder.query(hidden)
        logits = torch.einsum("nk,nsk->ns", query, state.key) / math.sqrt(query.shape[1])
        logits = logits.masked_fill(state.left <= 0, -math.inf)
        logits = torch.cat([decoder.stop(hidden), logits], dim=1)
        choice = _choose(logits, draws[:, 2 * placed - 1], temperature)
        finished = choice == 0
        if placed >= limit:
            finished[:] = True
        rows = torch.arange(len(choice))
        slot = (choice - 1).clamp(min=0)
        site, above = state.site[rows, slot], state.site_position[rows, slot]
        parent_hidden = state.hidden[rows, above]
        joined = hidden @ self.choose_hidden + parent_hidden @ self.choose_parent
        joined = F.gelu(joined + self.choose_site[site], approximate="tanh")
        token_logits = decoder.write(joined) @ self.token_output + decoder.token_bias
        token = _choose(token_logits, draws[:, 2 * placed], temperature)
        if placed < limit:
            state.token[:, placed] = token
            state.parent[:, placed] = above
            state.parent_site[:, placed] = site
        state.left[rows, slot] -= 1
        if order == CANONICAL:  # depth-first: what was placed after the parent is finished
            state.left *= state.site_position <= above.unsqueeze(1)
        return finished

    def _place(self, state: _State, modulations) -> Tensor:
        decoder, i = self.decoder, state.placed
        token, above, site = state.token[:, i], state.parent[:, i], state.parent_site[:, i]
        x = self.token_input[token] + self.site_input[site] + decoder.parent(above)
        x = (x + decoder.position.weight[i + 1]).unsqueeze(1)
        state.placed += 1
        self._open_sites(state, token, state.placed)
        hidden = self._advance(state, x, modulations)[:, 0]
        self._key_sites(state)
        return hidden

    def _finish(self, state: _State, finished: Tensor, done: list[MotifTree | None]) -> None:
        v, k = self.vocabulary, state.placed
        which = finished.nonzero().squeeze(1)
        tokens = state.token[which, :k].numpy()
        parents = state.parent[which, :k].numpy()
        sites = state.parent_site[which, :k].numpy()
        motifs, atoms, child_atoms = v.token_motif[tokens], v.site_atom[sites], v.token_atom[tokens]
        for j, row in enumerate(state.row[which].tolist()):
            edges = tuple(
                Edge(int(parents[j, i]) - 1, int(atoms[j, i]), i, int(child_atoms[j, i]))
                for i in range(1, k)
            )
            done[row] = MotifTree(tuple(v.motifs[m] for m in motifs[j]), edges)


class _State:
    """The partial molecules of a batch."""

    def __init__(self, n: int, limit: int, config):
        self.row = torch.arange(n)
        self.placed = 0
        self.token = torch.zeros(n, limit, dtype=torch.long)
        self.parent = torch.zeros(n, limit, dtype=torch.long)
        self.parent_site = torch.zeros(n, limit, dtype=torch.long)
        self.site = torch.zeros(n, 0, dtype=torch.long)
        self.site_position = torch.zeros(n, 0, dtype=torch.long)
        self.left = torch.zeros(n, 0, dtype=torch.long)
        self.key = torch.zeros(n, 0, config.site_dim)
        self.hidden = torch.zeros(n, 0, config.width)
        self.cache: list[tuple[Tensor, Tensor] | None] = [None] * config.layers

    @property
    def length(self) -> int:
        return self.hidden.shape[1]

    def select(self, keep: Tensor) -> None:
        for name in (
            "row", "token", "parent", "parent_site", "site", "site_position", "left", "key",
            "hidden",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name)[keep])
        self.cache = [None if c is None else (c[0][keep], c[1][keep]) for c in self.cache]


def _choose(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """One choice a row of ``logits``, by inversion of the cumulative probabilities."""
    if temperature == 0:
        return logits.argmax(1)
    probability = torch.softmax(logits / temperature, dim=1)
    cumulative = probability.cumsum(1)
    threshold = uniform.to(cumulative.dtype) * cumulative[:, -1]
    return (
        torch.searchsorted(cumulative, threshold.unsqueeze(1), right=True)
        .squeeze(1)
        .clamp(max=logits.shape[1] - 1)
    )
