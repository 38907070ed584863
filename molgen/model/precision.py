"""Which precision products of matrices are faster in, and the Muon optimiser in that precision.

On processors without bfloat16 instructions a product in bfloat16 takes a hundred times as long as
one in float32, and ``torch.optim.Muon`` makes its updates orthogonal in bfloat16 always.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

_SIZE = 256
_GAIN = 1.3  # what bfloat16 must win in a product to be worth the conversions around it


@lru_cache(maxsize=4)
def half_is_faster(kind: str = "cpu") -> bool:
    """Whether bfloat16 products are faster than float32 ones on a device of this ``kind``.

    On a CPU a few products are timed, which takes a tenth of a second at the most.
    """
    if kind != "cpu":
        return True
    fastest = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for dtype in (torch.float32, torch.bfloat16):
            matrix = torch.ones(_SIZE, _SIZE, dtype=dtype)
            times = []
            for _ in range(4):  # the first makes the kernel
                started = time.perf_counter()
                matrix @ matrix
                times.append(time.perf_counter() - started)
            fastest[dtype] = min(times)
    finally:
        torch.set_num_threads(threads)
    return fastest[torch.float32] > _GAIN * fastest[torch.bfloat16]


class Muon(torch.optim.Muon):
    """``torch.optim.Muon``, which makes updates orthogonal in float32 where that is faster."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step for all parameters that have a gradient."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        if not parameters or half_is_faster(parameters[0].device.type):
            return super().step(closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum, buffer = group["momentum"], state["momentum_buffer"]
        buffer.lerp_(gradient, 1 - momentum)
        update = gradient.lerp(buffer, momentum) if group["nesterov"] else buffer
        update = orthogonal(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rate = group["lr"] * _adjustment(group["adjust_lr_fn"], parameter.shape)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-rate)


def orthogonal(
    matrix: Tensor, coefficients: tuple[float, float, float], n_steps: int, eps: float
) -> Tensor:
    """A matrix with the singular vectors of ``matrix`` and singular values near 1.

    Newton-Schulz iteration (Jordan et al. 2024) in the precision of ``matrix``.
    """
    a, b, c = coefficients
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / wide.norm().clamp(min=eps)
    for _ in range(n_steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


def _adjustment(kind: str | None, shape: torch.Size) -> float:
    """What the learning rate is multiplied by for a matrix, as in ``torch.optim.Muon``."""
    rows, columns = shape[:2]
    if kind == "match_rms_adamw":
        return float(0.2 * max(rows, columns) ** 0.5)
    return float(max(1.0, rows / columns) ** 0.5)
