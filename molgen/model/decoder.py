"""The decoder: a causal transformer over placed motifs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from molgen.model.cached_attention import Attention, CachedAttention, attend
from molgen.model.config import ModelConfig, choices_at_once


class Block(nn.Module):
    """A causal transformer layer whose norms are shifted and scaled by the latent."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, config.feedforward)
        self.down = nn.Linear(config.feedforward, width)
        self.condition = nn.Linear(width, 4 * width)

    def modulation(self, condition: Tensor) -> tuple[Tensor, ...]:
        """Gains and shifts of the two norms, each (n, 1, width)."""
        gain_a, shift_a, gain_b, shift_b = self.condition(condition).unsqueeze(1).chunk(4, dim=-1)
        return 1 + gain_a, shift_a, 1 + gain_b, shift_b

    def attention(self, n: int, device: torch.device) -> CachedAttention:
        """What holds the keys and values of ``n`` rows that grow position by position."""
        return CachedAttention(n, self.qkv.in_features, self.heads, device)

    def forward(
        self,
        x: Tensor,
        modulation: tuple[Tensor, ...],
        mask: Tensor | None,
        attention: Attention | None = None,
        gain: Tensor | None = None,
    ) -> Tensor:
        """x: (n, t, width); mask: (t, t_total) additive.

        attention: what holds the keys and values of the positions before, by default none are.
        gain: (n, 2, width), what the two updates are multiplied by (dropout).
        """
        gain_a, shift_a, gain_b, shift_b = modulation
        width = x.shape[2]
        qkv = self.qkv(torch.addcmul(shift_a, F.layer_norm(x, (width,)), gain_a))
        if attention is None:
            query, key, value = qkv.chunk(3, dim=2)
            attended = attend(query, key, value, self.heads, mask)
        else:
            attended = attention(qkv, mask)
        update = self.project(attended)
        x = x + (update if gain is None else update * gain[:, :1])
        h = torch.addcmul(shift_b, F.layer_norm(x, (width,)), gain_b)
        update = self.down(F.gelu(self.up(h), approximate="tanh"))
        return x + (update if gain is None else update * gain[:, 1:])


class MotifDecoder(nn.Module):
    """Given a latent and its noise level, the probability of each step of a growth."""

    def __init__(self, config: ModelConfig, n_attached: int, n_motifs: int):
        super().__init__()
        self.config = config
        width, site_dim = config.width, config.site_dim
        self.latent = nn.Sequential(
            nn.Linear(config.latent_dim + 6, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.start = nn.Embedding(2, width)
        self.token = nn.Linear(config.row_dim, width, bias=False)
        self.site = nn.Linear(config.row_dim, width, bias=False)
        self.position = nn.Embedding(config.max_motifs + 1, width)
        self.parent = nn.Embedding(config.max_motifs + 1, width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.root = nn.Linear(width, config.row_dim)
        self.query = nn.Linear(width, site_dim)
        self.node_key = nn.Linear(width, site_dim)
        self.site_key = nn.Linear(config.row_dim, 2 * site_dim)
        self.stop = nn.Linear(width, 1)
        self.choose = nn.Linear(2 * width + config.row_dim, width)
        self.write = nn.Linear(width, config.row_dim)
        n_tokens, n_roots = choices_at_once(config, n_attached, n_motifs)
        self.token_bias = nn.Parameter(torch.zeros(n_tokens))
        self.root_bias = nn.Parameter(torch.zeros(n_roots))
        if config.head_tokens:  # one of the rarer tokens, one to be spelled; the same for roots
            self.rare = nn.Embedding(4, config.row_dim)
            self.write_rare = nn.Linear(width, config.row_dim)
            self.root_rare = nn.Linear(width, config.row_dim)

    @property
    def layers(self) -> list[Block]:
        """The transformer layers, first to last."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def condition(self, z: Tensor, level: Tensor) -> Tensor:
        """(n, width) from the noised latent (n, latent_dim) and its level (n,) in [0, 1]."""
        angle = level.unsqueeze(1) * math.pi
        features = torch.cat(
            [level.unsqueeze(1), 1 - level.unsqueeze(1)]
            + [f for k in (1, 2) for f in (torch.sin(k * angle), torch.cos(k * angle))],
            dim=1,
        )
        return self.latent(torch.cat([z, features], dim=1))

    def inputs(self, token: Tensor, site: Tensor, parent: Tensor, position: Tensor) -> Tensor:
        """Input vectors of placed motifs: their token and site vectors, and places in the tree."""
        return self.token(token) + self.site(site) + self.parent(parent) + self.position(position)

    def site_keys(self, hidden: Tensor, site: Tensor) -> Tensor:
        """Keys of sites from their motif's hidden state (…, width) and own vector (…, row_dim)."""
        scale, shift = self.site_key(site).chunk(2, dim=-1)
        return self.node_key(hidden) * (1 + scale) + shift

    def at_site(self, hidden: Tensor, parent_hidden: Tensor, site: Tensor) -> Tensor:
        """(…, width), from which ``write`` makes what is multiplied with token vectors."""
        joined = torch.cat([hidden, parent_hidden, site], dim=-1)
        return F.gelu(self.choose(joined), approximate="tanh")
