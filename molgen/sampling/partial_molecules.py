"""The partial molecules that the decoder writes side by side: rows of a state.

Rows grow by a position at each step; they leave when their molecules are finished; and where
molecules that were alike go on differently, a row becomes several.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from molgen.model.cached_attention import CachedAttention, Closing, Rows
from molgen.model.config import ModelConfig

_BY_ROW = ("token", "parent", "parent_site", "site", "site_position", "left")


class PartialMolecules:
    """The partial molecules of a batch."""

    def __init__(self, n: int, limit: int, config: ModelConfig, device: torch.device):
        self.placed = self.least = self.to_fill = 0
        self.modulations: list[tuple[Tensor, ...]] = []
        self.token, self.parent, self.parent_site = (
            torch.zeros(n, limit, dtype=torch.long, device=device) for _ in range(3)
        )
        self.site, self.site_position, self.left = (
            torch.zeros(n, 0, dtype=torch.long, device=device) for _ in range(3)
        )
        self.key = Rows(n, config.site_dim, device)
        self.hidden = Rows(n, config.width, device)
        self.attentions = [
            CachedAttention(n, config.width, config.heads, device) for _ in range(config.layers)
        ]
        self.logits = torch.empty(0, 0, device=device)

    def take(self, rows: Tensor) -> None:
        """Keep the rows named, in their order; a row may be named several times."""
        for name in _BY_ROW:
            setattr(self, name, getattr(self, name)[rows])
        for held in (self.key, self.hidden, *self.attentions):
            held.take(rows)
        self._modulate(lambda part: part[rows])

    def close(self, closing: Closing) -> None:
        """Let molecules leave the batch that ``closing`` lets leave."""
        for name in _BY_ROW:
            setattr(self, name, closing(getattr(self, name)))
        for held in (self.key, self.hidden, *self.attentions):
            held.close(closing)
        self._modulate(closing)

    def _modulate(self, rows: Callable[[Tensor], Tensor]) -> None:
        if len(self.modulations[0][0]) > 1:  # one serves all
            self.modulations = [tuple(map(rows, parts)) for parts in self.modulations]


def alike(at: Tensor, chosen: Tensor, n_choices: int, alone: bool) -> tuple[Tensor, ...]:
    """Let molecules that shared a row and made the same choice share a row again.

    Returns the row that each new row comes from, what was chosen there, and the new row of each
    molecule. ``alone``: each molecule has a row of its own, so that nothing changes.
    """
    if alone:
        return at, chosen, at
    code, now = torch.unique(at * n_choices + chosen, return_inverse=True)
    return code // n_choices, code % n_choices, now
