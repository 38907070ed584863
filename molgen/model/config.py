"""Sizes of the network: one frozen record."""

from __future__ import annotations

from dataclasses import dataclass

BLOCK = 512
"""Molecules that are drawn together, from one stream of random numbers."""

DEFAULT_MODEL = "druglike"
"""The shipped model that is taken where none is named."""

SEARCH = 128
"""Molecules that ``decode`` draws and compares for a latent at most."""

_MAY_BE_NONE = ("stereo_layers", "head_tokens", "head_motifs", "sketch_dim")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network. ``row_dim`` is the width of token and site descriptions.

    stereo_layers: layers of the part that gives stereo; 0 for a model of flat molecules.
    head_tokens, head_motifs: how many of the most frequent tokens, and motifs to start with, are
        chosen at once; the others are chosen among themselves, in a second step. 0 for all.
        Motifs that the vocabulary does not list are spelled then, too.
    sketch_dim: width of what is learned of each atom at each distance in a token's motif; 0 for
        nothing.
    """

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
    stereo_layers: int = 0
    head_tokens: int = 0
    head_motifs: int = 0
    sketch_dim: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, int) or value < (name not in _MAY_BE_NONE):
                raise ValueError(f"{name} is {value!r}; expected a positive whole number")
        if self.width % self.heads or self.encoder_width % self.pooling_heads:
            raise ValueError(
                f"width {self.width} must divide by heads {self.heads}, and encoder_width "
                f"{self.encoder_width} by pooling_heads {self.pooling_heads}"
            )


def choices_at_once(config: ModelConfig, n_attached: int, n_motifs: int) -> tuple[int, int]:
    """Numbers of tokens, and of motifs to start with, among which the first step chooses.

    Where the model writes others, too, the last two choices stand for all rarer ones that the
    vocabulary lists, and for those that it does not list.
    """
    if not config.head_tokens:
        return n_attached, n_motifs
    head = min(config.head_tokens, n_attached - 1), min(config.head_motifs, n_motifs - 1)
    return head[0] + 2, head[1] + 2
