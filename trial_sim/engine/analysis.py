"""What an analysis of simulated trials offers the engine, and what it returns."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from trial_sim.engine.batch import TrialBatch

# z, and effect and standard error or None.
Evaluation = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]


class Analysis(Protocol):
    """A test at a look, over a batch of trials.

    Attributes:
        scale: what ``estimate`` estimates, such as ``"log hazard ratio"``.
        direction: 1 where a positive estimate favours treatment, -1 where a negative one does.
    """

    @property
    def scale(self) -> str:
        """What ``estimate`` estimates."""

    @property
    def direction(self) -> float:
        """1 where a positive estimate favours treatment, -1 where a negative one does."""

    def evaluate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> Evaluation:
        """z (n_trials,), meaningful where active; effect and se where they are a by-product."""
        ...

    def estimate(
        self, batch: TrialBatch, treated: int, look: np.ndarray, active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Effect and standard error, (n_trials,) each; NaN where not estimable.

        Asked for only where :meth:`evaluate` gave None for them.
        """
        ...
