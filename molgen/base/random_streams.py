"""Random generators from seeds."""

from __future__ import annotations

import numpy as np


def seeded(seed: int, block: int, stream: int) -> np.random.Generator:
    """The random stream of a block; ``stream`` tells uses apart."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, block, stream])))
