"""Predicts an arm that the trial did not have, by adding effects of its arms on the model's scale.

The assumption is no interaction: hazard and rate ratios multiply, log odds and differences of means
add, given the covariates; censoring, drop-out, gaps and residuals are the control's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ASSUMPTION = (
    "effects against control combine without interaction (ratios multiply, differences add); "
    "censoring, drop-out and residuals as in the control arm"
)
ADDED = ("intercepts", "cuts", "means", "levels")
MULTIPLIED = ("hazards", "tail", "rates", "ratios")
COPIED = ("gaps", "sizes", "zeros", "residuals")


def combined(model: Any, parameters: Any, parts: tuple[int, ...]) -> Any:
    """``parameters`` with one more arm (the last) that joins the arms at ``parts``.

    A ratio of hazards or rates that changes over time is averaged over the arm's person-time.
    """
    new: dict[str, Any] = {}
    for name in parameters._fields:
        value = getattr(parameters, name)
        if name == "acts_as":
            new[name] = np.append(value, 0)
        elif name == "censoring":
            new[name] = value.with_another_arm()
        elif name in ADDED:
            row = value[0] + sum(value[a] - value[0] for a in parts)
            new[name] = np.concatenate([value, row[None]] if value.ndim > 1 else [value, [row]])
        elif name in MULTIPLIED:
            row = value[0].astype(float)
            for a in parts:
                row = row * average_ratio(model, name, value, a)
            new[name] = np.concatenate([value, np.asarray(row)[None]])
        elif name in COPIED:
            new[name] = np.concatenate([value, value[:1]])
        elif name in ("first", "second"):
            new[name] = combined(getattr(model, name), value, parts)
    return parameters._replace(**new)


def average_ratio(model: Any, name: str, value: np.ndarray, a: int) -> np.ndarray:
    """Ratio of arm ``a`` to the control: events of the arm over those that the control's hazards
    would give in the arm's person-time, by cause if there are several."""
    treated, control = np.asarray(value[a], dtype=float), np.asarray(value[0], dtype=float)
    if name in ("hazards", "rates"):
        time = model.events.exposure[a]
        treated, control = np.tensordot(time, treated, 1), np.tensordot(time, control, 1)
    treated, control = np.asarray(treated), np.asarray(control)
    return np.divide(treated, control, out=np.ones_like(treated), where=control > 0)
