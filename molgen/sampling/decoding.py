"""Writing molecules: the decoder run step by step, with cached keys and values.

``Writer`` holds everything about tokens and sites that does not depend on the molecule, worked
out once. A call grows many molecules side by side; those that are finished leave the batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from molgen.model.graph_vae import GraphVAE
from molgen.motifs.trees import Edge, MotifTree
from molgen.motifs.vocabulary import Vocabulary
from molgen.motifs.writing_orders import ANY_ORDER, CANONICAL
from molgen.sampling.choices import choose, in_groups
from molgen.sampling.partial_molecules import Closing, PartialMolecules, alike

_SHARED = 0.85


@dataclass(frozen=True, eq=False)
class Prefix:
    """A partial molecule that every molecule of a call starts from.

    token, parent, parent_site: (k,), as in ``growth.Growth``, in the Writer's vocabulary.
    exits: ``(motif number, atom)`` where growth may start, and the bonds that may be formed there;
        None for anywhere.
    fill: whether a molecule is finished only when each of these bonds is there.
    """

    token: np.ndarray
    parent: np.ndarray
    parent_site: np.ndarray
    exits: Mapping[tuple[int, int], int] | None = None
    fill: bool = True


@dataclass(frozen=True, eq=False)
class InputTables:
    """What the decoder reads of each token and of each site of a vocabulary.

    By token: token_input (tokens, width); its sites as numbers ``sites_of``, padded with 0, and
    their ``capacity_of``, each (tokens, most sites); ``site_count``. By site: site_input
    (sites, width); key_scale and key_shift (sites, site_dim); choose_site (sites, width), its part
    in the choice of a token.
    """

    token_input: Tensor
    sites_of: Tensor
    capacity_of: Tensor
    site_count: Tensor
    site_input: Tensor
    key_scale: Tensor
    key_shift: Tensor
    choose_site: Tensor


TOKEN_TABLES = ("token_input", "sites_of", "capacity_of", "site_count")
SITE_TABLES = ("site_input", "key_scale", "key_shift", "choose_site")


@torch.no_grad()
def input_tables(
    network: GraphVAE, vocabulary: Vocabulary, most_sites: int | None = None
) -> InputTables:
    """The tables of ``vocabulary``; ``most_sites`` columns, by default as many as are needed."""
    decoder = network.decoder
    described = network.describe_rows(vocabulary.site_row)
    scale, shift = decoder.site_key(described).chunk(2, dim=1)
    weight = decoder.choose.weight[:, 2 * network.config.width :]
    offset = torch.from_numpy(vocabulary.site_offset.astype(np.int64))
    capacity = torch.from_numpy(vocabulary.site_capacity.astype(np.int64))
    count = offset.diff()
    slots = torch.arange(int(count.max()) if most_sites is None else most_sites)
    held = slots < count.unsqueeze(1)
    sites = torch.where(held, offset[:-1].unsqueeze(1) + slots, 0)
    return InputTables(
        token_input=decoder.token(network.describe_rows(vocabulary.token_row)),
        sites_of=sites,
        capacity_of=torch.where(held, capacity[sites], 0),
        site_count=count,
        site_input=decoder.site(described),
        key_scale=scale,
        key_shift=shift,
        choose_site=described @ weight.T + decoder.choose.bias,
    )


class Writer:
    """The decoder of ``network``, ready to write with ``vocabulary`` (its own or an extension)."""

    @torch.no_grad()
    def __init__(self, network: GraphVAE, vocabulary: Vocabulary | None = None):
        self.network = network
        self.decoder = decoder = network.decoder
        self.vocabulary = vocabulary or network.vocabulary
        self.n_written = network.vocabulary.n_attached
        tokens = network.describe_rows(self.vocabulary.token_row)
        roots = tokens[self.vocabulary.n_attached :][: network.vocabulary.n_motifs]
        self.token_output = in_groups(tokens[: self.n_written], decoder.token_bias)
        self.root_output = in_groups(roots, decoder.root_bias)
        width, weight = network.config.width, decoder.choose.weight
        self.choose_hidden = weight[:, :width].T.contiguous()
        self.choose_parent = weight[:, width : 2 * width].T.contiguous()
        self.tables = input_tables(network, self.vocabulary)

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
        """Grow one molecule for each row of ``uniforms``.

        Args:
            z: (k, latent_dim) latents noised to ``level`` (k,); one for each n / k molecules in
                turn. What molecules of one latent have in common is worked out once.
            uniforms: (n, 2 * max_motifs + 1) numbers in [0, 1) that decide every choice.
            temperature: 1 draws from the model, 0 takes the most probable choice at each step.
            prefix: a partial molecule to start from, to which at least one motif is added; growth
                is in any order then.
            max_motifs: stop there at the latest; by default what the model was built for.
        """
        limit = min(max_motifs or self.network.config.max_motifs, self.network.config.max_motifs)
        n, decoder = len(uniforms), self.decoder
        canonical = prefix is None
        condition = decoder.condition(z, level)
        draws = torch.from_numpy(np.array(uniforms))
        state = PartialMolecules(len(z), limit, self.network.config)
        state.modulations = [block.modulation(condition) for block in decoder.layers]
        start = decoder.start.weight[CANONICAL if canonical else ANY_ORDER]
        x = (start + decoder.position.weight[0]).expand(len(z), 1, -1)
        alone = len(z) == n  # each molecule has a row of the state to itself
        molecule = torch.arange(n)
        at = torch.arange(n) // (n // len(z))
        if prefix is None:
            hidden = self._advance(state, x)[:, 0]
            logits = torch.addmm(self.root_output[1], decoder.root(hidden), self.root_output[0])
            root = choose(logits, draws[:, 0], temperature, at) + self.vocabulary.n_attached
            kept, root, at = alike(at, root, self.vocabulary.n_tokens, alone)
            state.take(kept)
            state.token[:, 0] = root
            inputs = self.tables.token_input[root] + decoder.parent.weight[0]
            x = (inputs + decoder.position.weight[1]).unsqueeze(1)
            state.placed = 1
            self._open_sites(state, root, 1)
        else:
            x = self._place_prefix(state, prefix, x)
        hidden = self._advance(state, x)[:, -1]
        # one room for all steps: fresh memory of this size costs as much as what is put into it
        state.logits = torch.empty(n, self.token_output[0].shape[1])
        done: list[MotifTree | None] = [None] * n
        while True:
            if not alone and len(state.token) > _SHARED * len(molecule):
                state.take(at)
                hidden, at, alone = hidden[at], torch.arange(len(molecule)), True
            slot, finished = self._choose_site(state, hidden, draws, temperature, limit, at)
            if finished.any():
                self._finish(state, at[finished], molecule[finished], done)
                if finished.all():
                    break
                if alone:
                    closing = Closing(finished)
                    state.close(closing)
                    slot, hidden, draws, molecule = map(closing, (slot, hidden, draws, molecule))
                    at = at[: closing.n]
                else:
                    slot, draws, molecule, at = (v[~finished] for v in (slot, draws, molecule, at))
            row, slot, at = alike(at, slot, state.site.shape[1], alone)
            logits = self._token_logits(state, row, slot, hidden)
            token = choose(logits, draws[:, 2 * state.placed], temperature, at)
            pair, token, at = alike(at, token, self.vocabulary.n_tokens, alone)
            if not alone:
                state.take(row[pair])
                slot = slot[pair]
            hidden = self._place(state, slot, token, canonical)
        assert all(tree is not None for tree in done)
        return done  # type: ignore[return-value]

    def _advance(self, state: PartialMolecules, x: Tensor) -> Tensor:
        """Run the transformer over new positions; returns their hidden states."""
        new, past = x.shape[1], state.hidden.length
        mask = torch.full((new, past + new), -1e9).triu(past + 1) if new > 1 else None
        for layer, block in enumerate(self.decoder.layers):
            x = block(x, state.modulations[layer], mask, partial(state.remember, layer))
        hidden = self.decoder.norm(x)
        state.hidden.append(hidden)
        self._key_sites(state, hidden, past)
        return hidden

    def _place_prefix(self, state: PartialMolecules, prefix: Prefix, start: Tensor) -> Tensor:
        n, k = len(state.token), len(prefix.token)
        decoder = self.decoder
        token = torch.from_numpy(prefix.token.astype(np.int64))
        parent = torch.from_numpy(prefix.parent.astype(np.int64))
        site = torch.from_numpy(prefix.parent_site.astype(np.int64))
        inputs = self.tables.token_input[token] + decoder.parent(parent)
        inputs = inputs + decoder.position.weight[1 : k + 1]
        inputs[1:] += self.tables.site_input[site[1:]]
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
            allowed = torch.zeros_like(state.left)
            for (number, exit_atom), bonds in prefix.exits.items():
                here = (state.site_position == number + 1) & (atom[state.site] == exit_atom)
                allowed += bonds * here
            state.left = torch.minimum(state.left, allowed)
            state.to_fill = state.left.shape[1] if prefix.fill else 0
        state.placed, state.least = k, k + 1
        return torch.cat([start, inputs.expand(n, -1, -1)], dim=1)

    def _open_sites(self, state: PartialMolecules, token: Tensor, position: int) -> None:
        sites, capacity = self.tables.sites_of[token], self.tables.capacity_of[token]
        most = int(self.tables.site_count[token].max()) if len(token) else 0
        state.site = torch.cat([state.site, sites[:, :most]], dim=1)
        state.left = torch.cat([state.left, capacity[:, :most]], dim=1)
        at = torch.full((len(token), most), position)
        state.site_position = torch.cat([state.site_position, at], dim=1)

    def _key_sites(self, state: PartialMolecules, hidden: Tensor, first: int) -> None:
        """Keys of the newest sites; their motifs' ``hidden`` stand at ``first`` and after."""
        new = slice(state.key.length, state.site.shape[1])
        site, at = state.site[:, new], state.site_position[:, new] - first
        tables, node_key = self.tables, self.decoder.node_key(hidden)
        of_motif = node_key.gather(1, at.unsqueeze(-1).expand(-1, -1, node_key.shape[-1]))
        scale, shift = tables.key_scale[site], tables.key_shift[site]
        state.key.append(torch.addcmul(of_motif + shift, of_motif, scale))

    def _choose_site(
        self,
        state: PartialMolecules,
        hidden: Tensor,
        draws: Tensor,
        temperature: float,
        limit: int,
        at: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Where each molecule grows next, of the sites of its row ``at``; and whether it stops."""
        placed = state.placed
        query = self.decoder.query(hidden).unsqueeze(2) / math.sqrt(state.key.values.shape[-1])
        logits = (state.key.values @ query).squeeze(2).masked_fill(state.left <= 0, -math.inf)
        stop = self.decoder.stop(hidden)
        if state.to_fill:  # the sites of the prefix stand first
            open_bonds = state.left[:, : state.to_fill].clamp(min=0).sum(1, keepdim=True)
            unfilled = open_bonds > 0
            marks = logits[:, : state.to_fill]  # where a molecule would stop, it fills one of them
            filling = torch.logaddexp(marks, stop + marks.log_softmax(1))
            logits[:, : state.to_fill] = torch.where(unfilled, filling, marks)
            stop = stop.masked_fill(unfilled, -math.inf)
            must = unfilled & (open_bonds >= limit - placed)
            logits[:, state.to_fill :].masked_fill_(must, -math.inf)
        if placed < state.least:
            stop = stop.masked_fill((state.left > 0).any(1, keepdim=True), -math.inf)
        logits = torch.cat([stop, logits], dim=1)
        choice = choose(logits, draws[:, 2 * placed - 1], temperature, at)
        finished = choice == 0 if placed < limit else torch.ones_like(choice, dtype=torch.bool)
        return choice - 1, finished

    def _token_logits(
        self, state: PartialMolecules, row: Tensor, slot: Tensor, hidden: Tensor
    ) -> Tensor:
        """Of what may hang from the site ``slot`` of each ``row``; in memory that is used again."""
        site, above = state.site[row, slot], state.site_position[row, slot]
        parent_hidden = state.hidden.values[row, above]
        joined = torch.addmm(self.tables.choose_site[site], hidden[row], self.choose_hidden)
        joined = F.gelu(joined.addmm_(parent_hidden, self.choose_parent), approximate="tanh")
        table, bias = self.token_output
        logits = state.logits[: len(row)]
        return torch.addmm(bias, self.decoder.write(joined), table, out=logits)

    def _place(
        self, state: PartialMolecules, slot: Tensor, token: Tensor, canonical: bool
    ) -> Tensor:
        """Hang ``token`` from the site ``slot`` of each row; returns the new hidden states."""
        decoder, i, rows = self.decoder, state.placed, torch.arange(len(slot))
        site, above = state.site[rows, slot], state.site_position[rows, slot]
        state.token[:, i], state.parent[:, i], state.parent_site[:, i] = token, above, site
        state.left[rows, slot] -= 1
        if canonical:  # depth-first: what was placed after the parent is finished
            state.left *= state.site_position <= above.unsqueeze(1)
        x = self.tables.token_input[token] + self.tables.site_input[site] + decoder.parent(above)
        x = (x + decoder.position.weight[i + 1]).unsqueeze(1)
        state.placed += 1
        self._open_sites(state, token, state.placed)
        return self._advance(state, x)[:, 0]

    def _finish(
        self, state: PartialMolecules, which: Tensor, molecule: Tensor, done: list[MotifTree | None]
    ) -> None:
        """The rows ``which`` are the finished trees of ``molecule``."""
        v, k = self.vocabulary, state.placed
        tokens = state.token[which, :k].numpy()
        parents = state.parent[which, :k].numpy()
        sites = state.parent_site[which, :k].numpy()
        motifs, atoms, child_atoms = v.token_motif[tokens], v.site_atom[sites], v.token_atom[tokens]
        columns = ((parents - 1)[:, 1:], atoms[:, 1:], child_atoms[:, 1:], motifs)
        numbers = range(1, k)
        for number, above, atom, child, chosen in zip(
            molecule.tolist(), *(column.tolist() for column in columns)
        ):
            edges = tuple(map(Edge, above, atom, numbers, child))
            done[number] = MotifTree(tuple([v.motifs[m] for m in chosen]), edges)
