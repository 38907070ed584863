"""What a fit was told, and the random streams of everything that is sampled from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.storage import storable

TAILS = ("horizon", "parametric")


@storable
@dataclass(frozen=True)
class Settings:
    """Everything that `fit` was told, so that `FittedTrial.refit` can repeat it."""

    endpoint: str | tuple[str, ...]
    model: str | dict[str, str] = "auto"
    covariate_model: str = "auto"
    treatment_by: tuple[str, ...] = ()
    stratify_by: str | None = None
    tail: str = "horizon"
    seed: int = 0
    epsilon: float | None = None
    delta: float = 1e-5

    def __post_init__(self) -> None:
        if self.tail not in TAILS:
            raise ValueError(f"tail must be one of {', '.join(TAILS)}, received {self.tail!r}")


def check_count(n: Any) -> int:
    """A number of patients, at least 1."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n must be a whole number of patients, at least 1; received {n!r}")
    return int(n)
