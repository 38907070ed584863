"""What the decoder reads of tokens and sites: tables, or vectors worked out as they are met.

A vocabulary that fits into memory has tables of everything (:class:`InputTables`). Of an open one
the most frequent tokens have (:class:`FrequentVectors`), and the vectors of the others are computed
when they are met (:class:`OpenTables`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from molgen.model.decoder import MotifDecoder
from molgen.model.graph_vae import GraphVAE
from molgen.motifs.vocabulary import Vocabulary

_FREQUENT_TOKENS = 2_000  # of druglike 98 % of those that are written; 11,000 sites, 30 MB
_FREQUENT_ROOTS = 300

#: What is read of a site, from the decoder and the descriptions (s, row_dim) of sites.
_OF_SITES: dict[str, Callable[[MotifDecoder, Tensor], Tensor]] = {
    "site_input": lambda decoder, sites: decoder.site(sites),
    "key_scale": lambda decoder, sites: decoder.site_key(sites).chunk(2, dim=1)[0].contiguous(),
    "key_shift": lambda decoder, sites: decoder.site_key(sites).chunk(2, dim=1)[1].contiguous(),
    "choose_site": lambda decoder, sites: (
        sites @ decoder.choose.weight[:, 2 * decoder.choose.out_features :].T + decoder.choose.bias
    ),
}
TOKEN_TABLES = ("token_input", "sites_of", "capacity_of", "site_count")
SITE_TABLES = tuple(_OF_SITES)


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

    def sites_with_capacity(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """The sites of tokens (k,) and their capacities, each (k, most sites), padded with 0."""
        most = int(self.site_count[token].max()) if len(token) else 0
        return self.sites_of[token, :most], self.capacity_of[token, :most]


class _Vectors:
    """Vectors that are indexed by numbers: some held in a table, the others computed.

    Args:
        table: (k, width). place: (n,) where each number stands in it, -1 for those computed.
        compute: the vectors of different numbers.
    """

    def __init__(self, table: Tensor, place: Tensor, compute: Callable[[np.ndarray], Tensor]):
        self._table, self._place, self._compute = table, place, compute

    @torch.no_grad()
    def __getitem__(self, index: Tensor) -> Tensor:
        place = self._place[index]
        found = self._table[place]  # any row where there is none
        missing = place < 0
        if missing.any():
            distinct, at = np.unique(index[missing].cpu().numpy(), return_inverse=True)
            found[missing] = self._compute(distinct)[torch.from_numpy(at).to(index.device)]
        return found


class FrequentVectors:
    """The vectors of the most frequent tokens and sites of a network's own vocabulary.

    Worked out once and always in the same way, so that what is written does not depend on what
    was written before.

    token_input: (k, width). sites: one tensor (s, ...) for each of ``SITE_TABLES``.
    """

    @torch.no_grad()
    def __init__(self, network: GraphVAE):
        own = network.vocabulary
        self._n_tokens = min(_FREQUENT_TOKENS, own.n_attached)
        self._n_roots = min(_FREQUENT_ROOTS, own.n_motifs)
        tokens, sites = self._numbers(own)
        self.token_input = _token_input(network, own, tokens)
        self.sites = {name: _site_vectors(network, own, name, sites) for name in SITE_TABLES}

    def _numbers(self, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
        """The frequent tokens and their sites, in an extension of the network's vocabulary."""
        offset, root = vocabulary.site_offset, int(np.argmax(vocabulary.token_atom < 0))
        ranges = ((0, self._n_tokens), (root, root + self._n_roots))
        tokens = np.concatenate([np.arange(*both) for both in ranges])
        sites = np.concatenate([np.arange(offset[a], offset[b]) for a, b in ranges])
        return tokens, sites

    def places(self, vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
        """Which row each token (n_tokens,) and each site (n_sites,) of an extension of the
        network's vocabulary has here; -1 for none."""
        sizes = vocabulary.n_tokens, vocabulary.n_sites
        found = []
        for size, numbers in zip(sizes, self._numbers(vocabulary)):
            place = np.full(size, -1, np.int64)
            place[numbers] = np.arange(len(numbers))
            found.append(torch.from_numpy(place).to(self.token_input.device))
        return found[0], found[1]


class OpenTables:
    """What :class:`InputTables` holds, for a vocabulary too large for tables.

    Each member takes an index, as a tensor would.
    """

    def __init__(self, network: GraphVAE, vocabulary: Vocabulary, frequent: FrequentVectors):
        device = network.device
        self._offset = torch.from_numpy(vocabulary.site_offset.astype(np.int64)).to(device)
        self._capacity = torch.from_numpy(np.array(vocabulary.site_capacity)).to(device)
        self.site_count = self._offset.diff()
        of_token, of_site = frequent.places(vocabulary)
        self.token_input = _Vectors(
            frequent.token_input, of_token, partial(_token_input, network, vocabulary)
        )
        self.site_input, self.key_scale, self.key_shift, self.choose_site = (
            _Vectors(table, of_site, partial(_site_vectors, network, vocabulary, name))
            for name, table in frequent.sites.items()
        )

    def sites_with_capacity(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """The sites of tokens (k,) and their capacities, each (k, most sites), padded with 0."""
        count = self.site_count[token]
        most = int(count.max()) if len(token) else 0
        return _sites_in_columns(self._offset[token], count, self._capacity, most)


def _token_input(network: GraphVAE, vocabulary: Vocabulary, tokens: np.ndarray) -> Tensor:
    return network.decoder.token(network.describe_tokens(vocabulary, tokens))


def _site_vectors(
    network: GraphVAE, vocabulary: Vocabulary, name: str, sites: np.ndarray
) -> Tensor:
    """One of ``SITE_TABLES`` for some sites."""
    return _OF_SITES[name](network.decoder, network.describe_rows(vocabulary.site_row[sites]))


def _sites_in_columns(
    first: Tensor, count: Tensor, capacity: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    """Numbers of the sites of tokens, from the ``first`` (k,) on as many as ``count``, and their
    capacities, each (k, most), padded with 0."""
    slots = torch.arange(most, device=first.device)
    held = slots < count.unsqueeze(1)
    sites = torch.where(held, first.unsqueeze(1) + slots, 0)
    return sites, torch.where(held, capacity[sites].long(), 0)


@torch.no_grad()
def input_tables(
    network: GraphVAE, vocabulary: Vocabulary, most_sites: int | None = None
) -> InputTables:
    """The tables of ``vocabulary``; ``most_sites`` columns, by default as many as are needed."""
    decoder = network.decoder
    described = network.describe_rows(vocabulary.site_row)
    offset = torch.from_numpy(vocabulary.site_offset.astype(np.int64)).to(described.device)
    capacity = torch.from_numpy(vocabulary.site_capacity.astype(np.int64)).to(described.device)
    count = offset.diff()
    most = int(count.max()) if most_sites is None else most_sites
    sites_of, capacity_of = _sites_in_columns(offset[:-1], count, capacity, most)
    return InputTables(
        token_input=decoder.token(network.describe_rows(vocabulary.token_row)),
        sites_of=sites_of,
        capacity_of=capacity_of,
        site_count=count,
        **{name: vectors(decoder, described) for name, vectors in _OF_SITES.items()},
    )
