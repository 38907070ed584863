"""An arm that did not exist: the effects of several arms put together on the model's own scale.

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
COPIED = ("censoring", "gaps", "sizes", "zeros", "residuals")


def combined(parameters: Any, parts: tuple[int, ...]) -> Any:
    """``parameters`` with one more arm (the last) that joins the arms at ``parts``.

    Raises:
        ValueError: a model whose parameters cannot be combined.
    """
    new: dict[str, Any] = {}
    for name in parameters._fields:
        value = getattr(parameters, name)
        if name == "acts_as":
            new[name] = np.append(value, 0)
        elif name in ADDED:
            row = value[0] + sum(value[a] - value[0] for a in parts)
            new[name] = np.concatenate([value, row[None]] if value.ndim > 1 else [value, [row]])
        elif name in MULTIPLIED:
            row = value[0].astype(float)
            for a in parts:
                base = value[0]
                row = row * np.divide(
                    value[a], base, out=np.ones_like(row), where=np.asarray(base) > 0
                )
            new[name] = np.concatenate([value, np.asarray(row)[None]])
        elif name in COPIED:
            new[name] = np.concatenate([value, value[:1]])
        elif name in ("first", "second"):
            new[name] = combined(value, parts)
    return parameters._replace(**new)
