"""What the two kinds of models of repeated visits share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class VisitParameters(NamedTuple):
    """Arm by visit levels (A, V), coefficients (R, p), whose interactions count (A,)."""

    levels: np.ndarray
    coefficients: np.ndarray
    acts_as: np.ndarray


def overridden(parameters: VisitParameters, shifts: Mapping[int, float]) -> VisitParameters:
    """Parameters in which arm ``a`` has the control's levels plus ``shifts[a]``."""
    levels, acts_as = parameters.levels.copy(), parameters.acts_as.copy()
    for a, by in shifts.items():
        levels[a], acts_as[a] = levels[0] + by, 0
    return parameters._replace(levels=levels, acts_as=acts_as)
