"""What came of a batch of adaptive trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trial_sim.engine.interim_analyses import (
    Conducted,
)


@dataclass(frozen=True)
class AdaptiveConducted(Conducted):
    """What came of a batch of adaptive trials; beside ``Conducted``, for H hypotheses, R rules and
    V comparisons of quantities in them (rules and comparisons of all milestones in their order):

    Attributes:
        decision_time: (n, L) month of the decision of each look; NaN where not held.
        patients_by_arm: (n, L, A) patients enrolled by the decision. target: (n, L) patients to
            enrol in all after it. population: (n, L) int8, index of the population enrolled after
            it, 0 for all. shares: (n, L, A) allocation after it, 0 for an arm that takes nobody.
        rejected_at: (n, H) int8 look at which the hypothesis was rejected, from 1; 0 for none.
        stage_z, stage_estimate, stage_se: (n, L, H) of each stage alone; NaN where not followed.
        fired: (n, R, C) bool, whether the rule fired for the comparison (the first column if it is
            not of single comparisons). value: (n, V, C) float32 what it looked at; NaN if it did
            not.
    """

    decision_time: np.ndarray
    patients_by_arm: np.ndarray
    target: np.ndarray
    population: np.ndarray
    shares: np.ndarray
    rejected_at: np.ndarray
    stage_z: np.ndarray
    stage_estimate: np.ndarray
    stage_se: np.ndarray
    fired: np.ndarray
    value: np.ndarray
