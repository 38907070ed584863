"""Cross entropy over a large table of vectors, without holding all logits at once.

The choice among some ten thousand motifs dominates the memory traffic of a training step when
logits, their softmax and both gradients are each written out whole. Here rows are taken in chunks
that stay in the processor's cache, and the backward pass computes each chunk's logits again
(Chen et al. 2016, training deep nets with sublinear memory cost).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_CHUNK = {"cpu": 128, "cuda": 8192}


def large_cross_entropy(query: Tensor, table: Tensor, bias: Tensor, target: Tensor) -> Tensor:
    """-log softmax(query @ table.T + bias)[target] of each row.

    Args:
        query: (n, d) float. table: (k, d) float. bias: (k,) float32. target: (n,) int64 in [0, k).

    Returns: (n,) float32. Products are taken in the autocast precision where that is on, sums and
    exponentials in float32.
    """
    kind = query.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    return _Loss.apply(query.to(dtype), table.to(dtype), bias, target)


def _logits(query: Tensor, table: Tensor, bias: Tensor) -> Tensor:
    return torch.mm(query, table.t()).float().add_(bias)


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, table: Tensor, bias: Tensor, target: Tensor) -> Tensor:
        chunk = _CHUNK.get(query.device.type, 1024)
        normaliser = torch.empty(len(query), device=query.device)
        chosen = torch.empty(len(query), device=query.device)
        for i in range(0, len(query), chunk):
            part = slice(i, i + chunk)
            logits = _logits(query[part], table, bias)
            chosen[part] = logits.gather(1, target[part].unsqueeze(1)).squeeze(1)
            top = logits.amax(1, keepdim=True)
            sums = logits.sub_(top).exp_().sum(1)
            normaliser[part] = sums.log_().add_(top.squeeze(1))
        ctx.save_for_backward(query, table, bias, target, normaliser)
        return normaliser - chosen

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, table, bias, target, normaliser = ctx.saved_tensors
        (weight,) = gradients
        chunk = _CHUNK.get(query.device.type, 1024)
        of_query = torch.empty_like(query)
        of_table = torch.zeros_like(table, dtype=torch.float32)
        of_bias = torch.zeros_like(bias)
        for i in range(0, len(query), chunk):
            part = slice(i, i + chunk)
            share = _logits(query[part], table, bias).sub_(normaliser[part].unsqueeze(1)).exp_()
            rows = torch.arange(len(share), device=share.device)
            share[rows, target[part]] -= 1.0
            share.mul_(weight[part].unsqueeze(1))
            of_bias += share.sum(0)
            share = share.to(query.dtype)
            torch.mm(share, table, out=of_query[part])
            of_table += torch.mm(share.t(), query[part])
        return of_query, of_table.to(table.dtype), of_bias, None
