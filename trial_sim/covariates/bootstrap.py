"""The bootstrap: rows drawn again. A baseline to compare with, which copies patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.data.schema import Column


@storable
@dataclass(frozen=True)
class Bootstrap:
    """The fitted table itself, ``rows`` (n, n_columns) of codes."""

    columns: tuple[Column, ...]
    rows: np.ndarray
    name = "bootstrap"
    copies_rows = True

    @classmethod
    def fit(cls, codes: np.ndarray, columns: Sequence[Column], seed: int) -> Bootstrap:
        """Keep the table (``seed`` is not used; every generator takes one)."""
        return cls(tuple(columns), codes)

    def draw(self, rng: np.random.Generator | None) -> np.ndarray:
        """Weights of the rows, equal or drawn by the Bayesian bootstrap."""
        n = len(self.rows)
        weights = np.ones(n) if rng is None else rng.standard_exponential(n)
        return weights / weights.sum()

    def sample(
        self, n: int, rng: np.random.Generator, parameters: np.ndarray, allowed: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows by weight; with ``allowed`` (predicates by column) only those that satisfy them."""
        weights = parameters
        for k, column in enumerate(self.columns):
            if allowed and column.name in allowed:
                weights = np.where(allowed[column.name](self.rows[:, k]), weights, 0.0)
        total = weights.sum()
        if total <= 0:
            return self.rows[np.zeros(n, dtype=int)], np.zeros(n)
        return self.rows[rng.choice(len(self.rows), n, p=weights / total)], np.full(n, total)
