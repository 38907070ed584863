"""The latent prior: a velocity field that carries Gaussian noise to the latents of real molecules.

Flow matching (Lipman et al. 2023) on the straight path ``z_t = (1 - t) z + t e``: the network
learns ``E[e - z | z_t, t]``, and following it from ``t = 1`` turns noise into latents. It is
stopped at the noise level at which the decoder takes over.
"""

from __future__ import annotations

import math
import time
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm


class _Residual(nn.Module):
    """One residual step of the velocity field, shifted by the noise level."""

    def __init__(self, width: int):
        super().__init__()
        self.enter = nn.Linear(width, width)
        self.shift = nn.Linear(width, width)
        self.leave = nn.Linear(width, width)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        h = F.layer_norm(x, x.shape[1:])
        return 0.1 * self.leave(F.silu(self.enter(h) + self.shift(t)))


class VelocityField(nn.Module):
    """A residual network: (n, latent_dim) and levels (n,) to velocities (n, latent_dim)."""

    def __init__(self, latent_dim: int, width: int = 384, blocks: int = 3):
        super().__init__()
        self.width = width
        self.enter = nn.Linear(latent_dim, width)
        self.time = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(_Residual(width) for _ in range(blocks))
        self.leave = nn.Linear(width, latent_dim)
        generator = torch.Generator().manual_seed(0)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(
                    module.weight, 0, 1 / math.sqrt(module.in_features), generator=generator
                )
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.leave.weight.mul_(0.1)

    def forward(self, z: Tensor, level: Tensor) -> Tensor:
        """Velocities (n, latent_dim) at ``z`` (n, latent_dim) and noise levels ``level`` (n,)."""
        frequency = torch.exp(torch.linspace(0, math.log(100.0), 16, device=z.device))
        angle = level.unsqueeze(1) * frequency
        t = F.silu(self.time(torch.cat([angle.sin(), angle.cos()], dim=1)))
        x = self.enter(z)
        for block in self.blocks:
            x = x + block(x, t)
        return self.leave(F.layer_norm(x, (self.width,)))


def fit_prior(
    mu: Tensor,
    logvar: Tensor,
    seed: int = 0,
    n_steps: int = 6_000,
    batch_size: int = 1_024,
    learning_rate: float = 1e-3,
    width: int = 384,
    blocks: int = 3,
    max_minutes: float | None = None,
    progress: bool = False,
) -> VelocityField:
    """Fit a velocity field to posteriors of real molecules.

    Args:
        mu, logvar: (n, latent_dim) posteriors of training molecules.
        max_minutes: stop (with the learning rate brought to zero) after this time.

    Returns the averaged weights. Deterministic in ``seed`` unless ``max_minutes`` cuts it short.
    """
    field = VelocityField(mu.shape[1], width, blocks)
    averaged = VelocityField(mu.shape[1], width, blocks)
    averaged.load_state_dict(field.state_dict())
    optimizer = torch.optim.AdamW(field.parameters(), lr=learning_rate, weight_decay=0.01)
    generator = torch.Generator().manual_seed(seed)
    sigma = (0.5 * logvar).exp()
    started = time.monotonic()
    for step in tqdm(range(n_steps), disable=not progress, desc="latent prior"):
        done = step / n_steps
        if max_minutes is not None:
            done = max(done, (time.monotonic() - started) / (60 * max_minutes))
            if done >= 1:
                break
        rate = learning_rate * min(1.0, (step + 1) / 200) * min(1.0, 2 * (1 - done))
        optimizer.param_groups[0]["lr"] = rate
        pick = torch.randint(len(mu), (batch_size,), generator=generator)
        z = mu[pick] + sigma[pick] * torch.randn(batch_size, mu.shape[1], generator=generator)
        noise = torch.randn(z.shape, generator=generator)
        level = torch.sigmoid(torch.randn(batch_size, generator=generator))
        noised = torch.lerp(z, noise, level.unsqueeze(1))
        loss = F.mse_loss(field(noised, level), noise - z)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(field.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            decay = min(0.999, (step + 1) / (step + 10))
            for old, new in zip(averaged.parameters(), field.parameters()):
                old.lerp_(new, 1 - decay)
    return averaged.eval()


@torch.no_grad()
def flow(field: VelocityField, z: Tensor, start: float, stop: float, n_steps: int) -> Tensor:
    """Carry latents (n, latent_dim) from noise level ``start`` to ``stop`` by Heun's method."""
    levels = torch.linspace(start, stop, n_steps + 1).tolist()
    for level, following in pairwise(levels):
        width = following - level
        slope = field(z, z.new_full((len(z),), level))
        guess = z + width * slope
        z = z + 0.5 * width * (slope + field(guess, z.new_full((len(z),), following)))
    return z
