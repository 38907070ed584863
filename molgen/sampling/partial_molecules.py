"""The partial molecules that the decoder writes side by side: rows of a state.

Rows grow by a position at each step; they leave when their molecules are finished; and where
molecules that were alike go on differently, a row becomes several.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from molgen.model.config import ModelConfig


class Rows:
    """A tensor (n, ..., m, width) that grows along its axis ``axis`` without being copied often."""

    def __init__(self, shape: tuple[int, ...], axis: int, device: torch.device):
        self.axis, self.length = axis, 0
        self._held = torch.empty(*shape[:axis], 8, *shape[axis:], device=device)

    @property
    def values(self) -> Tensor:
        """The values held, (n, ..., length, width)."""
        return self._held.narrow(self.axis, 0, self.length)

    def append(self, new: Tensor) -> Tensor:
        """Returns all values, the new ones last."""
        start, self.length = self.length, self.length + new.shape[self.axis]
        if self.length > self._held.shape[self.axis]:
            size = list(self._held.shape)
            size[self.axis] = max(self.length, size[self.axis] * 3 // 2)
            old = self._held.narrow(self.axis, 0, start)
            self._held = torch.empty(size, device=old.device)
            self._held.narrow(self.axis, 0, start).copy_(old)
        self._held.narrow(self.axis, start, self.length - start).copy_(new)
        return self.values

    def take(self, rows: Tensor) -> None:
        """Keep the rows named, in their order; a row may be named several times."""
        size = min(self.length + 3, self._held.shape[self.axis])
        self._held = self._held.narrow(self.axis, 0, size).index_select(0, rows)

    def close(self, closing: Closing) -> None:
        """Let the rows leave that ``closing`` lets leave."""
        closing(self.values)
        self._held = self._held[: closing.n]


class Closing:
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
        self.key = Rows((n, config.site_dim), 1, device)
        self.hidden = Rows((n, config.width), 1, device)
        heads = (n, config.heads, config.width // config.heads)
        self.keys = [Rows(heads, 2, device) for _ in range(config.layers)]
        self.values = [Rows(heads, 2, device) for _ in range(config.layers)]
        self.logits = torch.empty(0, 0, device=device)

    def remember(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer so far, the new ones last."""
        return self.keys[layer].append(keys), self.values[layer].append(values)

    def take(self, rows: Tensor) -> None:
        """Keep the rows named, in their order; a row may be named several times."""
        for name in _BY_ROW:
            setattr(self, name, getattr(self, name)[rows])
        for held in (self.key, self.hidden, *self.keys, *self.values):
            held.take(rows)
        self._modulate(lambda part: part[rows])

    def close(self, closing: Closing) -> None:
        """Let molecules leave the batch that ``closing`` lets leave."""
        for name in _BY_ROW:
            setattr(self, name, closing(getattr(self, name)))
        for held in (self.key, self.hidden, *self.keys, *self.values):
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
