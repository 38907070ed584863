"""Writing molecules: the decoder run step by step, with cached keys and values.

``Writer`` holds everything about tokens and sites that does not depend on the molecule, worked
out once. A call grows many molecules side by side; those that are finished leave the batch.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from molgen.model.cached_attention import Closing
from molgen.model.graph_vae import GraphVAE
from molgen.model.spelling import MAX_LETTERS, read_spelling
from molgen.motifs.trees import Edge, MotifTree
from molgen.motifs.vocabulary import Vocabulary, build_vocabulary
from molgen.motifs.vocabulary_growth import append, token_number
from molgen.motifs.writing_orders import ANY_ORDER, CANONICAL
from molgen.sampling.choices import choose, in_groups
from molgen.sampling.input_tables import FrequentVectors, InputTables, OpenTables, input_tables
from molgen.sampling.partial_molecules import PartialMolecules, alike

_SHARED = 0.85
_ATTEMPTS = 4


@dataclass(frozen=True, eq=False)
class Prefix:
    """A partial molecule that every molecule of a call starts from.

    token, parent, parent_site: (k,), as in ``molgen.motifs.writing_orders.Growth``, in the
        Writer's vocabulary.
    exits: ``(motif number, atom)`` where growth may start, and the bonds that may be formed there;
        None for anywhere.
    fill: whether a molecule is finished only when each of these bonds is there.
    """

    token: np.ndarray
    parent: np.ndarray
    parent_site: np.ndarray
    exits: Mapping[tuple[int, int], int] | None = None
    fill: bool = True


def n_uniforms(network: GraphVAE) -> int:
    """How many numbers decide the choices of one molecule."""
    most = network.config.max_motifs
    return 2 * most + 1 + (most + 1 if network.has_rare else 0)


class Writer:
    """The decoder of ``network``, ready to write with ``vocabulary`` (its own or an extension)."""

    @torch.no_grad()
    def __init__(self, network: GraphVAE, vocabulary: Vocabulary | None = None):
        self.network = network
        self.decoder = decoder = network.decoder
        self.vocabulary = vocabulary or network.vocabulary
        self.n_written = network.vocabulary.n_attached
        self.device = network.device
        self.open = network.has_rare
        self._listed = self.vocabulary  # before a call's spelled tokens have joined it
        self._spelled: dict[tuple[str, int], int] | None = None
        if self.open:
            at_once = self._chosen_at_once(network.vocabulary)
            self.token_output = in_groups(at_once[0], decoder.token_bias)
            self.root_output = in_groups(at_once[1], decoder.root_bias)
            self._rare_output = self._scored_later()
        else:
            tokens = network.describe_rows(self.vocabulary.token_row)
            roots = tokens[self.vocabulary.n_attached :][: network.vocabulary.n_motifs]
            self.token_output = in_groups(tokens[: self.n_written], decoder.token_bias)
            self.root_output = in_groups(roots, decoder.root_bias)
        width, weight = network.config.width, decoder.choose.weight
        self.choose_hidden = weight[:, :width].T.contiguous()
        self.choose_parent = weight[:, width : 2 * width].T.contiguous()
        self.tables: InputTables | OpenTables
        if self.open:
            self._frequent = FrequentVectors(network)
            self.tables = OpenTables(network, self.vocabulary, self._frequent)
        else:
            self.tables = input_tables(network, self.vocabulary)

    def extended(self, vocabulary: Vocabulary) -> Writer:
        """A writer for a longer ``vocabulary``, of a model with an open one."""
        longer = copy.copy(self)
        longer.vocabulary = longer._listed = vocabulary
        longer.tables = OpenTables(self.network, vocabulary, self._frequent)
        return longer

    def _chosen_at_once(self, vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
        """Vectors of the tokens, and motifs to start with, of the first choice."""
        decoder, first = self.decoder, vocabulary.n_attached

        def held(start: int, n: int, rare: Tensor) -> Tensor:
            listed = self.network.describe_tokens(vocabulary, np.arange(start, start + n - 2))
            return torch.cat([listed, rare])

        return (
            held(0, len(decoder.token_bias), decoder.rare.weight[:2]),
            held(first, len(decoder.root_bias), decoder.rare.weight[2:]),
        )

    def _scored_later(self) -> list[tuple[Tensor, Tensor]]:
        """For tokens and for motifs to start with: what scores the rarer ones."""
        own, decoder = self.network.vocabulary, self.decoder
        assert own.token_count is not None
        first = own.n_attached
        ends = (
            (len(decoder.token_bias) - 2, first),
            (first + len(decoder.root_bias) - 2, own.n_tokens),
        )
        return [
            in_groups(
                self.network.rare_table(among),
                torch.from_numpy(np.log(own.token_count[slice(*among)])).to(self.device),
            )
            for among in ends
        ]

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
            uniforms: (n, ``n_uniforms``) numbers in [0, 1) that decide every choice.
            temperature: 1 draws from the model, 0 takes the most probable choice at each step.
            prefix: a partial molecule to start from, to which at least one motif is added; growth
                is in any order then.
            max_motifs: stop there at the latest; by default what the model was built for.
        """
        if self.open and self._spelled is None:  # what is spelled is known to this call only
            caller = copy.copy(self)
            caller._spelled = {}
            return caller.write(z, level, uniforms, temperature, prefix, max_motifs)
        limit = min(max_motifs or self.network.config.max_motifs, self.network.config.max_motifs)
        n, decoder = len(uniforms), self.decoder
        canonical = prefix is None
        device = self.device
        condition = decoder.condition(z.to(device), level.to(device))
        draws = torch.from_numpy(np.array(uniforms)).to(device)
        state = PartialMolecules(len(z), limit, self.network.config, device)
        state.modulations = [block.modulation(condition) for block in decoder.layers]
        start = decoder.start.weight[CANONICAL if canonical else ANY_ORDER]
        x = (start + decoder.position.weight[0]).expand(len(z), 1, -1)
        alone = len(z) == n  # each molecule has a row of the state to itself
        molecule = torch.arange(n, device=device)
        at = molecule // (n // len(z))
        if prefix is None:
            hidden = self._advance(state, x)[:, 0]
            logits = torch.addmm(self.root_output[1], decoder.root(hidden), self.root_output[0])
            root = choose(logits, draws[:, 0], temperature, at)
            if self.open:
                root = self._second_step(1, root, hidden, draws, 0, temperature, at)
            else:
                root = root + self.vocabulary.n_attached
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
        state.logits = torch.empty(n, self.token_output[0].shape[1], device=device)
        done: list[MotifTree | None] = [None] * n
        while True:
            if not alone and len(state.token) > _SHARED * len(molecule):
                state.take(at)
                hidden, alone = hidden[at], True
                at = torch.arange(len(molecule), device=device)
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
            joined = self._at_site(state, row, slot, hidden)
            logits = self._token_logits(state, joined, temperature)
            token = choose(logits, draws[:, 2 * state.placed], float(temperature > 0), at)
            if self.open:
                token = self._second_step(0, token, joined, draws, state.placed, temperature, at)
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
        mask = None
        if new > 1:
            mask = torch.full((new, past + new), -1e9, device=self.device).triu(past + 1)
        for layer, block in enumerate(self.decoder.layers):
            x = block(x, state.modulations[layer], mask, state.attentions[layer])
        hidden = self.decoder.norm(x)
        state.hidden.append(hidden)
        self._key_sites(state, hidden, past)
        return hidden

    def _place_prefix(self, state: PartialMolecules, prefix: Prefix, start: Tensor) -> Tensor:
        n, k = len(state.token), len(prefix.token)
        decoder = self.decoder
        token, parent, site = (
            torch.from_numpy(numbers.astype(np.int64)).to(self.device)
            for numbers in (prefix.token, prefix.parent, prefix.parent_site)
        )
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
            atom = torch.from_numpy(self.vocabulary.site_atom.astype(np.int64)).to(self.device)
            allowed = torch.zeros_like(state.left)
            for (number, exit_atom), bonds in prefix.exits.items():
                here = (state.site_position == number + 1) & (atom[state.site] == exit_atom)
                allowed += bonds * here
            state.left = torch.minimum(state.left, allowed)
            state.to_fill = state.left.shape[1] if prefix.fill else 0
        state.placed, state.least = k, k + 1
        return torch.cat([start, inputs.expand(n, -1, -1)], dim=1)

    def _open_sites(self, state: PartialMolecules, token: Tensor, position: int) -> None:
        sites, capacity = self.tables.sites_with_capacity(token)
        state.site = torch.cat([state.site, sites], dim=1)
        state.left = torch.cat([state.left, capacity], dim=1)
        at = torch.full_like(sites, position)
        state.site_position = torch.cat([state.site_position, at], dim=1)

    def _key_sites(self, state: PartialMolecules, hidden: Tensor, first: int) -> None:
        """Keys of the newest sites; their motifs' ``hidden`` stand at ``first`` and after."""
        new = slice(state.key.length, state.site.shape[1])
        row, slot = (state.left[:, new] > 0).nonzero(as_tuple=True)
        site, at = state.site[:, new][row, slot], state.site_position[:, new][row, slot] - first
        of_motif = self.decoder.node_key(hidden)[row, at]
        scale, shift = self.tables.key_scale[site], self.tables.key_shift[site]
        keys = state.key.make_room(new.stop - new.start)[:, new]
        keys.zero_()
        keys[row, slot] = torch.addcmul(of_motif + shift, of_motif, scale)

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

    def _token_logits(self, state: PartialMolecules, joined: Tensor, temperature: float) -> Tensor:
        """Logits of what may hang from each chosen site, by what is known ``_at_site``; divided by
        the temperature if there is one, in memory used again."""
        table, bias = self.token_output
        logits, share = state.logits[: len(joined)], 1 / (temperature or 1)
        query = self.decoder.write(joined)
        return torch.addmm(bias, query, table, beta=share, alpha=share, out=logits)

    def _at_site(
        self, state: PartialMolecules, row: Tensor, slot: Tensor, hidden: Tensor
    ) -> Tensor:
        """(k, width) of the site ``slot`` of each ``row``, from which a token is chosen."""
        site, above = state.site[row, slot], state.site_position[row, slot]
        parent_hidden = state.hidden.values[row, above]
        joined = torch.addmm(self.tables.choose_site[site], hidden[row], self.choose_hidden)
        return F.gelu(joined.addmm_(parent_hidden, self.choose_parent), approximate="tanh")

    def _second_step(
        self,
        kind: int,
        chosen: Tensor,
        state: Tensor,
        draws: Tensor,
        placed: int,
        temperature: float,
        at: Tensor,
    ) -> Tensor:
        """Token numbers of what was ``chosen`` in the first step: (n,).

        Where that was "a rarer one" or "one that is not listed", it is chosen among these, or
        spelled; what is spelled joins the vocabulary, and what spells no motif is one of the
        rarer ones.

        Args:
            kind: 0 for tokens, 1 for motifs to start with.
            state: (k, width) for each row that molecules stand ``at``. placed: motifs so far.
        """
        decoder, first = self.decoder, kind * self.network.vocabulary.n_attached
        last = len(decoder.root_bias if kind else decoder.token_bias) - 2
        token = chosen + first
        which = (chosen == last + 1).nonzero().squeeze(1)
        rarer = [(chosen == last).nonzero().squeeze(1)]
        if len(which):
            spelled = self._spell(
                kind == 0, state[at[which]], self._extra(draws, placed)[which], temperature
            )
            found = torch.tensor([number >= 0 for number in spelled], device=self.device)
            numbers = torch.tensor(
                [n for n in spelled if n >= 0], dtype=torch.long, device=self.device
            )
            token = token.index_put((which[found],), numbers)
            rarer.append(which[~found])
        rare = torch.cat(rarer)
        if len(rare):
            write = decoder.root_rare if kind else decoder.write_rare
            table, offset = self._rare_output[kind]
            logits = torch.addmm(offset, write(state[at[rare]]), table)
            rows = torch.arange(len(rare), device=self.device)
            picked = choose(logits, self._extra(draws, placed)[rare], temperature, rows)
            token = token.index_put((rare,), first + last + picked)
        return token

    def _extra(self, draws: Tensor, placed: int) -> Tensor:
        """The random numbers of second steps, (n,)."""
        return draws[:, 2 * self.network.config.max_motifs + 1 + placed]

    def _spell(
        self, attached: bool, state: Tensor, uniform: Tensor, temperature: float
    ) -> list[int]:
        """Numbers of spelled tokens, -1 where no motif was spelled in a few attempts.

        All attempts are written side by side; of each token the first that spells a motif counts.
        """
        n, each = len(state), _ATTEMPTS if temperature else 1
        streams = [np.random.Philox(int(u * 2**24)) for u in uniform.tolist()]
        drawn = [np.random.Generator(s).random((each, MAX_LETTERS), np.float32) for s in streams]
        draws = torch.from_numpy(np.concatenate(drawn)).to(self.device)
        rows, letter = torch.arange(n * each, device=self.device), itertools.count()

        def pick(logits: Tensor) -> Tensor:
            return choose(logits, draws[:, next(letter)], temperature, rows)

        tokens: list[tuple[str, int] | None] = [None] * n
        tried = [0] * n
        unread = list(range(n))
        for texts in self.network.speller.write(state.repeat_interleave(each, 0), attached, pick):
            for i in list(unread):
                for text in texts[i * each + tried[i] : (i + 1) * each]:
                    if text is None or tokens[i] is not None:
                        break
                    tokens[i] = read_spelling(text, attached)
                    tried[i] += 1
                if tokens[i] is not None or tried[i] == each:
                    unread.remove(i)
            if not unread:
                break
        return self._enter(tokens)

    def _enter(self, tokens: Sequence[tuple[str, int] | None]) -> list[int]:
        """The numbers of tokens, which join this writer's vocabulary if they were not there; -1
        for None."""
        known = self._spelled
        assert known is not None
        for token in tokens:
            if token is not None and token not in known:
                number = token_number(self._listed, *token)
                if number >= 0:
                    known[token] = number
        new = [t for t in dict.fromkeys(tokens) if t is not None and t not in known]
        if new:
            motifs = list(dict.fromkeys(smiles for smiles, _ in new))
            attached = [token for token in new if token[1] >= 0]
            own = self.vocabulary
            added = build_vocabulary(
                motifs, attached, own.environment, sketches=True, plain=attached
            )
            entered = [*attached, *((smiles, -1) for smiles in motifs)]
            known |= {token: own.n_tokens + i for i, token in enumerate(entered)}
            self.vocabulary = append(own, added)
            self.tables = OpenTables(self.network, self.vocabulary, self._frequent)
        return [-1 if token is None else known[token] for token in tokens]

    def _place(
        self, state: PartialMolecules, slot: Tensor, token: Tensor, canonical: bool
    ) -> Tensor:
        """Hang ``token`` from the site ``slot`` of each row; returns the new hidden states."""
        decoder, i = self.decoder, state.placed
        rows = torch.arange(len(slot), device=self.device)
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
        tokens = state.token[which, :k].cpu().numpy()
        parents = state.parent[which, :k].cpu().numpy()
        sites = state.parent_site[which, :k].cpu().numpy()
        motifs, atoms, child_atoms = v.token_motif[tokens], v.site_atom[sites], v.token_atom[tokens]
        columns = ((parents - 1)[:, 1:], atoms[:, 1:], child_atoms[:, 1:], motifs)
        numbers = range(1, k)
        for number, above, atom, child, chosen in zip(
            molecule.tolist(), *(column.tolist() for column in columns)
        ):
            edges = tuple(map(Edge, above, atom, numbers, child))
            done[number] = MotifTree(tuple([v.motifs[m] for m in chosen]), edges)
