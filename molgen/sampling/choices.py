"""Picks from the decoder's logits by random numbers that are given."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_GROUP = 64


def in_groups(vectors: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """(width, k) and (k,) for logits of ``vectors``, k a multiple of 64; what is added is never
    chosen."""
    missing = -len(vectors) % _GROUP
    table = F.pad(vectors, (0, 0, 0, missing)).T.contiguous()
    return table, F.pad(bias, (0, missing), value=-math.inf)


def choose(logits: Tensor, uniform: Tensor, temperature: float, at: Tensor) -> Tensor:
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
        last = ((weight > 0) * torch.arange(weight.shape[1], device=weight.device)).amax(1)
        column = torch.where(empty, last, column)
    return column
