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

from molgen.growth import ANY_ORDER, CANONICAL
from molgen.model import GraphVAE
from molgen.motifs import Edge, MotifTree
from molgen.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Prefix:
    """A partial molecule that every molecule of a call starts from.

    token, parent, parent_site: (k,), as in ``growth.Growth``, in the Writer's vocabulary.
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
        roots = tokens[self.vocabulary.n_attached :][: network.vocabulary.n_motifs]
        self.token_output = _in_groups(tokens[: self.n_written], decoder.token_bias)
        self.root_output = _in_groups(roots, decoder.root_bias)
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
        """Grow one molecule for each row of ``uniforms``.

        Args:
            z: (n, latent_dim) latents noised to ``level`` (n,); or one, (1, latent_dim), that all
                molecules share, so that what they begin with is worked out once.
            uniforms: (n, 2 * max_motifs + 1) numbers in [0, 1) that decide every choice.
            temperature: 1 draws from the model, 0 takes the most probable choice at each step.
            prefix: a partial molecule to start from; growth is in any order then.
            max_motifs: stop there at the latest; by default what the model was built for.
        """
        limit = min(max_motifs or self.network.config.max_motifs, self.network.config.max_motifs)
        n, decoder = len(uniforms), self.decoder
        canonical = prefix is None
        condition = decoder.condition(z, level)
        modulations = [block.modulation(condition) for block in decoder.layers]
        draws = torch.from_numpy(np.array(uniforms))
        state = _State(len(z), limit, self.network.config)
        start = decoder.start.weight[CANONICAL if canonical else ANY_ORDER]
        x = (start + decoder.position.weight[0]).expand(len(z), 1, -1)
        alone = len(z) == n  # each molecule has a row of the state to itself
        molecule = torch.arange(n)
        at = torch.arange(n) if alone else torch.zeros(n, dtype=torch.long)
        if prefix is None:
            hidden = self._advance(state, x, modulations)[:, 0]
            logits = torch.addmm(self.root_output[1], decoder.root(hidden), self.root_output[0])
            root = _choose(logits, draws[:, 0], temperature, at) + self.vocabulary.n_attached
            kept, root, at = _alike(at, root, self.vocabulary.n_tokens, alone)
            state.take(kept)
            state.token[:, 0] = root
            inputs = self.token_input[root] + decoder.parent.weight[0]
            x = (inputs + decoder.position.weight[1]).unsqueeze(1)
            state.placed = 1
            self._open_sites(state, root, 1)
        else:
            x = self._place_prefix(state, prefix, x)
        hidden = self._advance(state, x, modulations)[:, -1]
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
                    closing = _Closing(finished)
                    state.close(closing)
                    slot, hidden, draws, molecule = map(closing, (slot, hidden, draws, molecule))
                    at = at[: closing.n]
                    if len(z) > 1:
                        modulations = [tuple(map(closing, m)) for m in modulations]
                else:
                    slot, draws, molecule, at = (v[~finished] for v in (slot, draws, molecule, at))
            row, slot, at = _alike(at, slot, state.site.shape[1], alone)
            logits = self._token_logits(state, row, slot, hidden)
            token = _choose(logits, draws[:, 2 * state.placed], temperature, at)
            pair, token, at = _alike(at, token, self.vocabulary.n_tokens, alone)
            if not alone:
                state.take(row[pair])
                slot = slot[pair]
            hidden = self._place(state, slot, token, canonical, modulations)
        assert all(tree is not None for tree in done)
        return done  # type: ignore[return-value]

    def _advance(self, state: _State, x: Tensor, modulations) -> Tensor:
        """Run the transformer over new positions; returns their hidden states."""
        new, past = x.shape[1], state.hidden.length
        mask = torch.full((new, past + new), -1e9).triu(past + 1) if new > 1 else None
        for layer, block in enumerate(self.decoder.layers):
            keys, values = state.keys[layer], state.values[layer]
            x = block(x, modulations[layer], mask, lambda k, v: (keys.append(k), values.append(v)))  # noqa: B023
        hidden = self.decoder.norm(x)
        state.hidden.append(hidden)
        self._key_sites(state, hidden, past)
        return hidden

    def _place_prefix(self, state: _State, prefix: Prefix, start: Tensor) -> Tensor:
        n, k = len(state.token), len(prefix.token)
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

    def _key_sites(self, state: _State, hidden: Tensor, first: int) -> None:
        """Keys of the newest sites; their motifs' ``hidden`` stand at ``first`` and after."""
        new = slice(state.key.length, state.site.shape[1])
        site, at = state.site[:, new], state.site_position[:, new] - first
        node_key = self.decoder.node_key(hidden)
        of_motif = node_key.gather(1, at.unsqueeze(-1).expand(-1, -1, node_key.shape[-1]))
        state.key.append(
            torch.addcmul(of_motif + self.key_shift[site], of_motif, self.key_scale[site])
        )

    def _choose_site(
        self,
        state: _State,
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
        logits = torch.cat([self.decoder.stop(hidden), logits], dim=1)
        choice = _choose(logits, draws[:, 2 * placed - 1], temperature, at)
        finished = choice == 0 if placed < limit else torch.ones_like(choice, dtype=torch.bool)
        return choice - 1, finished

    def _token_logits(self, state: _State, row: Tensor, slot: Tensor, hidden: Tensor) -> Tensor:
        """Of what may hang from the site ``slot`` of each ``row``; in memory that is used again."""
        site, above = state.site[row, slot], state.site_position[row, slot]
        parent_hidden = state.hidden.values[row, above]
        joined = torch.addmm(self.choose_site[site], hidden[row], self.choose_hidden)
        joined = F.gelu(joined.addmm_(parent_hidden, self.choose_parent), approximate="tanh")
        table, bias = self.token_output
        logits = state.logits[: len(row)]
        return torch.addmm(bias, self.decoder.write(joined), table, out=logits)

    def _place(
        self, state: _State, slot: Tensor, token: Tensor, canonical: bool, modulations
    ) -> Tensor:
        """Hang ``token`` from the site ``slot`` of each row; returns the new hidden states."""
        decoder, i, rows = self.decoder, state.placed, torch.arange(len(slot))
        site, above = state.site[rows, slot], state.site_position[rows, slot]
        state.token[:, i], state.parent[:, i], state.parent_site[:, i] = token, above, site
        state.left[rows, slot] -= 1
        if canonical:  # depth-first: what was placed after the parent is finished
            state.left *= state.site_position <= above.unsqueeze(1)
        x = self.token_input[token] + self.site_input[site] + decoder.parent(above)
        x = (x + decoder.position.weight[i + 1]).unsqueeze(1)
        state.placed += 1
        self._open_sites(state, token, state.placed)
        return self._advance(state, x, modulations)[:, 0]

    def _finish(
        self, state: _State, which: Tensor, molecule: Tensor, done: list[MotifTree | None]
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


def _alike(at: Tensor, chosen: Tensor, n_choices: int, alone: bool) -> tuple[Tensor, ...]:
    """Molecules that stood at one row and chose the same go on as one.

    Returns the row that each new row comes from, what was chosen there, and the new row of each
    molecule. ``alone``: each molecule has a row of its own, so that nothing changes.
    """
    if alone:
        return at, chosen, at
    code, now = torch.unique(at * n_choices + chosen, return_inverse=True)
    return code // n_choices, code % n_choices, now


class _Rows:
    """A tensor (n, ..., m, width) that grows along its axis ``axis`` without being copied often."""

    def __init__(self, shape: tuple[int, ...], axis: int):
        self.axis, self.length = axis, 0
        self._held = torch.empty(*shape[:axis], 8, *shape[axis:])

    @property
    def values(self) -> Tensor:
        return self._held.narrow(self.axis, 0, self.length)

    def append(self, new: Tensor) -> Tensor:
        """Returns all values, the new ones last."""
        start, self.length = self.length, self.length + new.shape[self.axis]
        if self.length > self._held.shape[self.axis]:
            size = list(self._held.shape)
            size[self.axis] = max(self.length, size[self.axis] * 3 // 2)
            old, self._held = self._held.narrow(self.axis, 0, start), torch.empty(size)
            self._held.narrow(self.axis, 0, start).copy_(old)
        self._held.narrow(self.axis, start, self.length - start).copy_(new)
        return self.values

    def take(self, rows: Tensor) -> None:
        size = min(self.length + 3, self._held.shape[self.axis])
        self._held = self._held.narrow(self.axis, 0, size).index_select(0, rows)

    def close(self, closing: _Closing) -> None:
        closing(self.values)
        self._held = self._held[: closing.n]


class _Closing:
    """Rows leave a batch: rows from its end take their places, so that few are moved.

    ``n`` is the number of rows that stay.
    """

    def __init__(self, finished: Tensor):
        self.n = len(finished) - int(finished.sum())
        self._holes = finished[: self.n].nonzero().squeeze(1)
        self._movers = (~finished[self.n :]).nonzero().squeeze(1) + self.n

    def __call__(self, rows: Tensor) -> Tensor:
        rows[self._holes] = rows[self._movers]
        return rows[: self.n]


_BY_ROW = ("token", "parent", "parent_site", "site", "site_position", "left")


class _State:
    """The partial molecules of a batch."""

    def __init__(self, n: int, limit: int, config):
        self.placed = 0
        self.token = torch.zeros(n, limit, dtype=torch.long)
        self.parent = torch.zeros(n, limit, dtype=torch.long)
        self.parent_site = torch.zeros(n, limit, dtype=torch.long)
        self.site = torch.zeros(n, 0, dtype=torch.long)
        self.site_position = torch.zeros(n, 0, dtype=torch.long)
        self.left = torch.zeros(n, 0, dtype=torch.long)
        self.key = _Rows((n, config.site_dim), 1)
        self.hidden = _Rows((n, config.width), 1)
        heads = (n, config.heads, config.width // config.heads)
        self.keys = [_Rows(heads, 2) for _ in range(config.layers)]
        self.values = [_Rows(heads, 2) for _ in range(config.layers)]
        self.logits = torch.empty(0, 0)

    def take(self, rows: Tensor) -> None:
        """The new rows are the old ones of these numbers."""
        for name in _BY_ROW:
            setattr(self, name, getattr(self, name)[rows])
        for held in (self.key, self.hidden, *self.keys, *self.values):
            held.take(rows)

    def close(self, closing: _Closing) -> None:
        for name in _BY_ROW:
            setattr(self, name, closing(getattr(self, name)))
        for held in (self.key, self.hidden, *self.keys, *self.values):
            held.close(closing)


_GROUP = 64
_SHARED = 0.85


def _in_groups(vectors: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """(width, k) and (k,) for logits of ``vectors``, k a multiple of 64; what is added is never
    chosen."""
    missing = -len(vectors) % _GROUP
    table = F.pad(vectors, (0, 0, 0, missing)).T.contiguous()
    return table, F.pad(bias, (0, missing), value=-math.inf)


def _choose(logits: Tensor, uniform: Tensor, temperature: float, at: Tensor) -> Tensor:
    """A choice for each of ``uniform``, by inversion of the cumulative probabilities.

    ``at`` is the row of ``logits`` (which are overwritten) that each chooses from. Where there are
    many columns, in two strides: among groups of 64, then within one.
    """
    if temperature == 0:
        return logits.argmax(1)[at]
    if temperature != 1:
        logits.div_(temperature)
    weight = logits.sub_(logits.amax(1, keepdim=True)).exp_()
    if weight.shape[1] % _GROUP:
        return _invert(weight[at], uniform * weight.sum(1)[at])
    weight = weight.view(len(weight), -1, _GROUP)
    sums = weight.sum(2)
    threshold = uniform * sums.sum(1)[at]
    group = _invert(sums[at], threshold)
    before = (sums.cumsum(1) - sums)[at, group]
    return group * _GROUP + _invert(weight[at, group], threshold - before)


def _invert(weight: Tensor, threshold: Tensor) -> Tensor:
    """The column at which a row's cumulative weight passes ``threshold``, one of weight > 0."""
    cumulative = weight.cumsum(1)
    column = torch.searchsorted(cumulative, threshold.unsqueeze(1), right=True).squeeze(1)
    column.clamp_(max=weight.shape[1] - 1)
    # rounding may lead past the last column that has any weight
    empty = weight.gather(1, column.unsqueeze(1)).squeeze(1) <= 0
    if empty.any():
        last = ((weight > 0) * torch.arange(weight.shape[1])).amax(1)
        column = torch.where(empty, last, column)
    return column
