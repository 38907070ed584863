"""How a model is trained: one frozen record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained.

    n_steps: steps of ``batch_size`` molecules; None for 20 passes over the data (at most 200,000
        steps; at least 2,000, or 100 where the run starts from a model).
    learning_rate rises over ``warmup`` steps, stays, and falls to zero over the last
        ``cooldown`` share of the steps (or of ``max_minutes`` where that ends the run).
    kl_weight: weight of KL(posterior || N(0, I)), in nats against nats.
    any_order: share of molecules written in any order instead of the canonical one.
    clean, blind: shares of molecules whose latent the decoder sees without noise, and not at all;
        the others get a uniform noise level.
    dropout: chance in [0, 1) that a molecule goes without a channel of a layer's update, in the
        encoder and in the decoder (`molgen.training.step.draw_gains`).
    min_count: how often a motif or token must occur to enter the vocabulary.
    min_row_count: how often an atom environment must be met to be described by a row of its own,
        in a model that also spells motifs.
    prior_steps: steps of training the latent prior at the most; fewer for few molecules
        (``prior_steps_for``); 0 for no prior. prior_molecules: how many it is fitted to.
    precision: "bfloat16", "float32", or "auto" for the one in which this machine
        multiplies matrices faster.
    """

    n_steps: int | None = None
    batch_size: int = 512
    learning_rate: float = 2e-3
    warmup: int = 300
    cooldown: float = 0.25
    weight_decay: float = 0.01
    kl_weight: float = 0.003
    any_order: float = 0.3
    clean: float = 0.4
    blind: float = 0.2
    average: float = 0.9995
    clip: float = 1.0
    dropout: float = 0.0
    min_count: int = 5
    min_row_count: int = 25
    precision: str = "auto"
    prior_steps: int = 6_000
    prior_molecules: int = 200_000

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "bfloat16", "float32"):
            raise ValueError(
                f"precision is {self.precision!r}; expected 'auto', 'bfloat16' or 'float32'"
            )
        if self.clean < 0 or self.blind < 0 or self.clean + self.blind > 1:
            raise ValueError(
                f"clean {self.clean} and blind {self.blind} are shares; expected a sum of at most 1"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; expected at least 0 and below 1")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; expected at least 1")

    def given(self, **settings: Any) -> TrainingConfig:
        """With those of the ``settings`` that are not None."""
        return replace(self, **{k: v for k, v in settings.items() if v is not None})

    def steps_for(self, n_molecules: int, fine_tunes: bool) -> int:
        """``n_steps``, or as many as the data ask for."""
        least = 100 if fine_tunes else 2_000
        return self.n_steps or min(max(20 * n_molecules // self.batch_size, least), 200_000)

    def prior_steps_for(self, n_molecules: int) -> int:
        """Steps of the latent prior's training for so many latents: a hundred for a thousand."""
        return min(self.prior_steps, max(100, n_molecules // 10))


#: For going on with a trained model on some hundreds or thousands of molecules: measured by
#: ``python -m benchmarks protection --wheel FILE``.
FINE_TUNING = TrainingConfig(
    batch_size=128, learning_rate=5e-4, warmup=50, average=0.98, prior_steps=1_500
)


def usual_config(fine_tunes: bool) -> TrainingConfig:
    """What a run takes that is given no settings, anew or from a trained model."""
    return FINE_TUNING if fine_tunes else TrainingConfig()
