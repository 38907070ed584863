"""Sizes of the network: one frozen record."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network. ``row_dim`` is the width of token and site descriptions."""

    latent_dim: int = 128
    encoder_width: int = 128
    encoder_layers: int = 4
    pooling_heads: int = 8
    width: int = 256
    layers: int = 4
    heads: int = 4
    feedforward: int = 512
    row_dim: int = 96
    site_dim: int = 64
    max_motifs: int = 64

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; expected a positive whole number")
        if self.width % self.heads or self.encoder_width % self.pooling_heads:
            raise ValueError(
                f"width {self.width} must divide by heads {self.heads}, and encoder_width "
                f"{self.encoder_width} by pooling_heads {self.pooling_heads}"
            )
