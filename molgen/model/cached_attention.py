"""Attention of new positions to all before them, whose keys and values are held.

Rows of a batch grow by a position at each step of writing; they leave when they are finished, and
where rows that were alike go on differently, a row becomes several.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numba import njit
from torch import Tensor


class Rows:
    """A tensor (n, m, width) that grows along its second axis without being copied often."""

    def __init__(self, n: int, width: int, device: torch.device):
        self.length = 0
        self._held = torch.empty(n, 8, width, device=device)

    @property
    def values(self) -> Tensor:
        """The values held, (n, length, width)."""
        return self._held[:, : self.length]

    def make_room(self, n: int) -> Tensor:
        """Lengthen all rows by ``n`` positions, whose values are not set; returns all values."""
        start, self.length = self.length, self.length + n
        if self.length > self._held.shape[1]:
            old = self._held
            size = max(self.length, old.shape[1] * 3 // 2)
            self._held = torch.empty(len(old), size, old.shape[2], device=old.device)
            self._held[:, :start] = old[:, :start]
        return self.values

    def append(self, new: Tensor) -> Tensor:
        """Returns all values, the ``new`` ones (n, t, width) last."""
        values = self.make_room(new.shape[1])
        values[:, -new.shape[1] :] = new
        return values

    def take(self, rows: Tensor) -> None:
        """Keep the rows named, in their order; a row may be named several times."""
        size = min(self.length + 3, self._held.shape[1])
        self._held = self._held[:, :size].index_select(0, rows)

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


class CachedAttention(Rows):
    """Multi-head attention of a layer's new positions to themselves and all before.

    Calling it with queries, keys and values side by side (n, t, 3 width), and the mask (t, total)
    where t is above 1, gives (n, t, width).
    """

    def __init__(self, n: int, width: int, heads: int, device: torch.device):
        super().__init__(n, 2 * width, device)
        self._heads = heads
        self._once = _attend_once(heads, width // heads)

    def __call__(self, qkv: Tensor, mask: Tensor | None) -> Tensor:
        n, t, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        if t > 1 or qkv.device.type != "cpu" or qkv.dtype != torch.float32:
            queries, new = qkv.split([width, 2 * width], dim=2)
            keys, values = self.append(new).chunk(2, dim=2)
            return attend(queries, keys, values, self._heads, mask)
        self.make_room(1)
        attended = torch.empty(n, 1, width, device=qkv.device)
        flat = qkv.view(n, 3 * width).numpy()
        self._once(flat, self._held.numpy(), self.length, attended.view(n, width).numpy())
        return attended


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, heads: int, mask: Tensor | None
) -> Tensor:
    """Multi-head attention (Vaswani et al. 2017) of queries (n, t, width) to keys and values
    (n, total, width); ``mask`` (t, total) is added to the scores."""
    n, t, width = queries.shape
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (queries, keys, values))
    scores = (q @ k.transpose(-2, -1)) / math.sqrt(width / heads)
    if mask is not None:
        scores = scores + mask
    attended = (scores.float().softmax(-1).to(v.dtype) @ v).transpose(1, 2)
    return attended.reshape(n, t, width)


@cache
def _attend_once(heads: int, each: int) -> Callable[..., None]:
    """A function for one new position a row: its key and value join those held, and it attends to
    all that are there. Compiled for heads of ``each`` columns, without which loops are slow.

    It takes qkv (n, 3 width); what is held (n, m or more, 2 width), of which position m - 1 is
    written; m; and the room for the result (n, width).
    """

    @njit(cache=True, fastmath=True, error_model="numpy")
    def attend_once(qkv, held, m, attended):
        n, width = len(qkv), heads * each
        scale = np.float32(1 / math.sqrt(each))
        weight = np.empty((m, heads), np.float32)
        for i in range(n):
            query, row, out = qkv[i], held[i], attended[i]
            for c in range(2 * width):
                row[m - 1, c] = query[width + c]
            for j in range(m):
                for h in range(heads):
                    score = np.float32(0)
                    for c in range(h * each, (h + 1) * each):
                        score += query[c] * row[j, c]
                    weight[j, h] = score * scale
            for h in range(heads):
                top = weight[0, h]
                for j in range(1, m):
                    top = max(top, weight[j, h])
                total = np.float32(0)
                for j in range(m):
                    weight[j, h] = math.exp(weight[j, h] - top)
                    total += weight[j, h]
                for j in range(m):
                    weight[j, h] /= total
            for c in range(width):
                out[c] = 0
            for j in range(m):
                for h in range(heads):
                    share = weight[j, h]
                    for c in range(h * each, (h + 1) * each):
                        out[c] += share * row[j, width + c]

    return attend_once


#: Attention of a layer: of queries, keys and values side by side, by a mask.
Attention = Callable[[Tensor, Tensor | None], Tensor]
