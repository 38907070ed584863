"""Delayed entry: patients who come under observation some time after the clock of the endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.data.schema import Column


@storable
@dataclass(frozen=True)
class DelayedEntry:
    """Where the baseline codes of a patient hold the time of entry.

    Attributes:
        column: its position among the baseline columns. levels: the values of a discrete column.
    """

    column: int
    levels: tuple[Any, ...] = ()

    @classmethod
    def of(cls, name: str, columns: Sequence[Column]) -> DelayedEntry:
        """The entry held in the baseline column ``name``."""
        k = [c.name for c in columns].index(name)
        return cls(k, columns[k].levels)

    def times(self, codes: np.ndarray) -> np.ndarray:
        """Entry (n,) of patients with baseline ``codes`` (n, n_columns)."""
        values = np.nan_to_num(codes[:, self.column])
        if self.levels:
            values = np.asarray(self.levels, dtype=float)[values.astype(int)]
        return values
