"""What a fitted outcome model offers, and what a fit is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd

from trial_sim.data.endpoints import Endpoint, Recurrent
from trial_sim.data.schema import TrialSchema
from trial_sim.outcomes.data_cutoff import DataCutoff
from trial_sim.outcomes.delayed_entry import DelayedEntry
from trial_sim.outcomes.features import FeatureMap


@dataclass(frozen=True)
class FitData:
    """The real trial as arrays, for the fit of one outcome model.

    Attributes:
        schema: of the trial. endpoint: the record. patients: the real table (one row a patient, or
            an interval for recurrent events). codes: (n, n_columns) baseline codes. arm: (n,)
            index of the arm (0 for a cohort). features: of the codes. reference: (M, n_columns)
            codes from the covariate generator, over which margins are calibrated.
        by: covariates that modify the treatment effect. tail: "horizon" or "parametric".
        cutoff: the data cutoff, if the trial names entry times; at_cutoff: (n,) boolean, the
            patients censored at it.
        options: ``held_out`` is set for fits that only score other patients.
    """

    schema: TrialSchema
    endpoint: Endpoint
    patients: pd.DataFrame
    codes: np.ndarray
    arm: np.ndarray
    features: FeatureMap
    reference: np.ndarray
    by: tuple[str, ...] = ()
    tail: str = "horizon"
    cutoff: DataCutoff | None = None
    at_cutoff: np.ndarray | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def dropped_out(self, censored: np.ndarray) -> np.ndarray:
        """(n,) 0/1: those of the ``censored`` (n,) whose follow-up ended before the cutoff."""
        before = censored if self.at_cutoff is None else censored & ~self.at_cutoff
        return before.astype(int)

    def delayed_entry(self) -> DelayedEntry | None:
        """Where patients' times of entry stand, if the endpoint has delayed entry."""
        name = getattr(self.endpoint, "entry", None)
        return None if name is None else DelayedEntry.of(name, self.schema.columns)

    @property
    def n_arms(self) -> int:
        """Number of arms (1 for a cohort)."""
        return max(len(self.schema.arms), 1)

    def rows_of(self, index: np.ndarray) -> pd.DataFrame:
        """Rows of ``patients`` that belong to the patients at these positions."""
        if not isinstance(self.endpoint, Recurrent):
            return self.patients.iloc[index].reset_index(drop=True)
        ids = self.patients[self.endpoint.id].drop_duplicates().to_numpy()[index]
        return self.patients[self.patients[self.endpoint.id].isin(ids)].reset_index(drop=True)


class OutcomeModel(Protocol):
    """A fitted model of one endpoint."""

    name: str
    notes: tuple[str, ...]

    def draw(self, rng: np.random.Generator | None) -> Any:
        """Parameters: estimates for None, else one draw from their approximate posterior."""

    def override(self, parameters: Any, effects: Mapping[int, float]) -> Any:
        """Parameters in which arm ``a`` has the given effect against the control arm.

        The effect is a ratio (hazard, rate, odds) or a difference of means; 1 or 0 is none.
        """

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """The endpoint's columns for patients with baseline ``codes`` (n, n_columns) in ``arm``."""
