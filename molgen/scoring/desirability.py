"""Desirability: transforms of a raw value to [0, 1], and ways to combine several of them.

A transform is written as ``{"type": name, parameter: number, ...}`` so that it can stand in a file.
``sigmoid``, ``reverse_sigmoid``, ``double_sigmoid``, ``left_step``, ``right_step``, ``step``,
``exponential_decay`` and ``value_mapping`` have the names, parameters and values of REINVENT4
(logistic to base 10), so that an objective of its users can be carried over; ``range``, ``plateau``
and ``gaussian`` are added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from molgen.base.arguments import nearest_name

_INFINITY = math.inf


def _logistic(h: np.ndarray) -> np.ndarray:
    """1 / (1 + 10^-h), without overflow."""
    return 1.0 / (1.0 + np.power(10.0, np.clip(-h, -300.0, 300.0)))


# ---- shapes: x (n,) float64 -> (n,) in [0, 1] ----------------------------------------------------
def sigmoid(x: np.ndarray, low: float, high: float, k: float = 0.5) -> np.ndarray:
    """L(10 k (x - (low + high)/2) / (high - low)), rising."""
    return _logistic(10.0 * k * (x - (low + high) / 2.0) / (high - low))


def reverse_sigmoid(x: np.ndarray, low: float, high: float, k: float = 0.5) -> np.ndarray:
    """1 - sigmoid, falling."""
    return 1.0 - sigmoid(x, low, high, k)


def double_sigmoid(
    x: np.ndarray,
    low: float,
    high: float,
    coef_div: float = 100.0,
    coef_si: float = 150.0,
    coef_se: float = 150.0,
) -> np.ndarray:
    """Rising at ``low``, falling at ``high``; the halves meet at the mid-point."""
    rising = _logistic((x - low) * coef_si / coef_div)
    falling = 1.0 - _logistic((x - high) * coef_se / coef_div)
    return np.where(x < (low + high) / 2.0, rising, falling)


def left_step(x: np.ndarray, low: float) -> np.ndarray:
    """1 up to and including ``low``, otherwise 0."""
    return (x <= low).astype(float)


def right_step(x: np.ndarray, high: float) -> np.ndarray:
    """1 from ``high`` on, otherwise 0."""
    return (x >= high).astype(float)


def step(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """1 between the bounds, both included, otherwise 0."""
    return ((x >= low) & (x <= high)).astype(float)


def exponential_decay(x: np.ndarray, k: float) -> np.ndarray:
    """exp(-k x), and 1 below 0."""
    return np.exp(-k * np.maximum(x, 0.0))


def linear_range(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 at ``low``, linear to 1 at ``high``, constant outside; falls if ``low`` > ``high``."""
    return np.clip((x - low) / (high - low), 0.0, 1.0)


def plateau(
    x: np.ndarray, sigma: float, low: float = -_INFINITY, high: float = _INFINITY
) -> np.ndarray:
    """1 between the bounds, falling outside as a Gaussian of width ``sigma``."""
    below = np.where(x < low, low - np.minimum(x, low), 0.0) if math.isfinite(low) else 0.0
    above = np.where(x > high, np.maximum(x, high) - high, 0.0) if math.isfinite(high) else 0.0
    return np.exp(-0.5 * ((below + above) / sigma) ** 2)


def gaussian(x: np.ndarray, mean: float, sigma: float) -> np.ndarray:
    """exp(-0.5 ((x - mean)/sigma)²)."""
    return np.exp(-0.5 * ((x - mean) / sigma) ** 2)


def identity(x: np.ndarray) -> np.ndarray:
    """The value itself, cut to [0, 1]."""
    return np.clip(x, 0.0, 1.0)


def one_minus(x: np.ndarray) -> np.ndarray:
    """1 - x, cut to [0, 1]."""
    return np.clip(1.0 - x, 0.0, 1.0)


_SHAPES: dict[str, tuple[Callable[..., np.ndarray], tuple[str, ...], tuple[str, ...]]] = {
    # name: (function, required parameters, optional parameters)
    "sigmoid": (sigmoid, ("low", "high"), ("k",)),
    "reverse_sigmoid": (reverse_sigmoid, ("low", "high"), ("k",)),
    "double_sigmoid": (double_sigmoid, ("low", "high"), ("coef_div", "coef_si", "coef_se")),
    "left_step": (left_step, ("low",), ()),
    "right_step": (right_step, ("high",), ()),
    "step": (step, ("low", "high"), ()),
    "exponential_decay": (exponential_decay, ("k",), ()),
    "range": (linear_range, ("low", "high"), ()),
    "plateau": (plateau, ("sigma",), ("low", "high")),
    "gaussian": (gaussian, ("mean", "sigma"), ()),
    "identity": (identity, (), ()),
    "one_minus": (one_minus, (), ()),
}

TRANSFORMS: tuple[str, ...] = (*_SHAPES, "value_mapping", "custom")
"""The names that ``{"type": ...}`` may have; "custom" takes a callable as "function"."""


@dataclass(frozen=True)
class Transform:
    """A checked transform, made by :func:`make_transform` and called with an array.

    Attributes:
        name: One of :data:`TRANSFORMS`.
        parameters: Its numbers (a mapping for "value_mapping", a callable for "custom").

    Examples:
        >>> from molgen.scoring.desirability import make_transform
        >>> shape = make_transform({"type": "sigmoid", "low": 0, "high": 1})
        >>> shape.to_dict(), shape.describe()
        ({'type': 'sigmoid', 'low': 0.0, 'high': 1.0}, 'sigmoid(low 0, high 1)')
    """

    name: str
    parameters: Mapping[str, Any]

    def __post_init__(self) -> None:
        _check(self.name, self.parameters)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Desirabilities of (n,) raw values; NaN stays NaN."""
        x = np.asarray(values, dtype=float)
        if self.name == "value_mapping":
            table = {float(key): float(value) for key, value in self.parameters["mapping"].items()}
            result = np.array([table.get(float(value), 0.0) for value in x])
        elif self.name == "custom":
            result = np.array([float(self.parameters["function"](float(v))) for v in x])
        else:
            result = _SHAPES[self.name][0](x, **self.parameters)
        return np.where(np.isnan(x), np.nan, np.clip(result, 0.0, 1.0))

    def describe(self) -> str:
        """The transform in a few words, for the printed table."""
        inside = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, (int, float)) else f"{key} {value}"
            for key, value in self.parameters.items()
        )
        return f"{self.name}({inside})"

    def to_dict(self) -> dict[str, Any]:
        """``{"type": name, ...}``, ready for YAML; raises ValueError for a custom callable."""
        if self.name == "custom":
            raise ValueError(
                "a custom transform is a Python callable and cannot be written to a file: "
                f"use one of {', '.join(_SHAPES)}, value_mapping"
            )
        return {"type": self.name, **{k: _plain(v) for k, v in self.parameters.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): float(item) for key, item in value.items()}
    return float(value)


def make_transform(
    description: Mapping[str, Any] | Transform | Callable[[float], float],
) -> Transform:
    """A transform from ``{"type": name, ...}``, from a callable, or unchanged.

    Raises:
        ValueError: For an unknown name, missing, unknown or impossible parameters.
        TypeError: For anything else.
    """
    if isinstance(description, Transform):
        return description
    if callable(description):
        return Transform("custom", {"function": description})
    if not isinstance(description, Mapping):
        raise TypeError(
            "a transform is a mapping such as {'type': 'sigmoid', 'low': 0, 'high': 1} or a "
            f"callable; got {type(description).__name__}"
        )
    parameters = dict(description)
    name = parameters.pop("type", None)
    if name is None:
        raise ValueError(f"a transform needs 'type'; got {description!r}")
    return Transform(str(name), parameters)


def _check(name: str, parameters: Mapping[str, Any]) -> None:
    if name not in TRANSFORMS:
        raise ValueError(
            f"unknown transform {name!r}.{nearest_name(name, TRANSFORMS)} "
            f"The transforms are: {', '.join(TRANSFORMS)}"
        )
    if name == "custom":
        if set(parameters) != {"function"} or not callable(parameters["function"]):
            raise ValueError("a custom transform has one parameter, 'function', a callable")
        return
    if name == "value_mapping":
        if set(parameters) != {"mapping"} or not isinstance(parameters["mapping"], Mapping):
            raise ValueError(
                "transform value_mapping has one parameter, 'mapping', from raw values to scores"
            )
        return
    _, required, optional = _SHAPES[name]
    missing = [key for key in required if key not in parameters]
    unknown = [key for key in parameters if key not in (*required, *optional)]
    if missing or unknown:
        raise ValueError(
            f"transform {name} takes {', '.join((*required, *optional)) or 'no parameters'}; "
            + (f"missing: {', '.join(missing)}" if missing else f"unknown: {', '.join(unknown)}")
        )
    for key, value in parameters.items():
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise TypeError(f"transform {name}: {key} is a number; got {value!r}")
        if value != value or (isinstance(value, int) and abs(value) > 10**300):
            raise ValueError(f"transform {name}: {key} is {value!r:.40}; expected a number")
    _check_numbers(name, parameters)


def _check_numbers(name: str, parameters: Mapping[str, Any]) -> None:
    low, high = parameters.get("low"), parameters.get("high")
    if low is not None and high is not None:
        if name == "range":
            wrong = low == high
        elif name in ("step", "plateau"):
            wrong = low > high
        else:
            wrong = low >= high
        if wrong:
            raise ValueError(f"transform {name}: low {low} does not lie below high {high}")
    if "sigma" in parameters and not parameters["sigma"] > 0:
        raise ValueError(f"transform {name}: sigma is above 0; got {parameters['sigma']}")
    if name == "plateau" and low is None and high is None:
        raise ValueError("transform plateau needs low, high or both")
    if "k" in parameters and not parameters["k"] > 0:
        raise ValueError(f"transform {name}: k is above 0; got {parameters['k']}")


# ---- aggregation ---------------------------------------------------------------------------------
_ALIASES = {
    "arithmetic_mean": "arithmetic",
    "custom_sum": "arithmetic",
    "weighted_sum": "arithmetic",
    "mean": "arithmetic",
    "geometric_mean": "geometric",
    "custom_product": "geometric",
    "weighted_product": "geometric",
    "min": "minimum",
}
AGGREGATIONS: tuple[str, ...] = ("geometric", "arithmetic", "minimum", "product")
"""Ways to combine desirabilities; REINVENT's names are accepted as aliases."""

_FLOOR = 1e-8


def aggregation_name(name: str) -> str:
    """The plain name of an aggregation or of an alias.

    Raises:
        ValueError: For an unknown one.
    """
    plain = _ALIASES.get(name, name)
    if plain not in AGGREGATIONS:
        known = [*AGGREGATIONS, *_ALIASES]
        raise ValueError(
            f"unknown aggregation {name!r}.{nearest_name(name, known)} "
            f"The aggregations are: {', '.join(known)}"
        )
    return plain


def aggregate(desirabilities: np.ndarray, weights: Sequence[float], how: str) -> np.ndarray:
    """Combine desirabilities to one score a molecule.

    NaN entries are left out and the weights of the others renormalised, as in REINVENT; a molecule
    with nothing but NaN gets NaN.

    Args:
        desirabilities: (n, n_components) in [0, 1], NaN for missing.
        weights: (n_components,) at least 0; for "minimum" and "product" a weight of 0 leaves a
            component out and other weights act as exponents.
        how: One of :data:`AGGREGATIONS` or an alias. The geometric mean is exactly 0 where a
            component is 0, otherwise values are floored at 1e-8.

    Returns:
        (n,) scores in [0, 1].
    """
    plain = aggregation_name(how)
    values = np.asarray(desirabilities, dtype=float)
    present = ~np.isnan(values) & (np.asarray(weights, dtype=float) > 0)[None, :]
    weight = np.where(present, np.asarray(weights, dtype=float)[None, :], 0.0)
    filled = np.where(present, values, 1.0)
    total = weight.sum(1)
    share = weight / np.where(total > 0, total, 1.0)[:, None]
    if plain == "arithmetic":
        result = (share * filled).sum(1)
    elif plain == "geometric":
        result = np.exp((share * np.log(np.maximum(filled, _FLOOR))).sum(1))
    elif plain == "minimum":
        result = filled.min(1, initial=1.0)
    else:
        result = np.exp((weight * np.log(np.maximum(filled, _FLOOR))).sum(1))
    if plain in ("geometric", "product"):
        result = np.where((present & (filled <= 0.0)).any(1), 0.0, result)
    return np.where(total > 0, np.clip(result, 0.0, 1.0), np.nan)
