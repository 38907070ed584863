"""Estimates from simulated values, each with its Monte-Carlo standard error and interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A simulated quantity with its Monte-Carlo error.

    Attributes:
        estimate: the value. mcse: its Monte-Carlo standard error.
        lower, upper: 95 % interval (Wilson for shares, normal otherwise).
    """

    estimate: float
    mcse: float
    lower: float
    upper: float


def share(hits: np.ndarray) -> Estimate:
    """A proportion from 0/1 values, with Wilson's interval."""
    n = len(hits)
    p = float(np.mean(hits))
    centre = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * np.sqrt(p * (1 - p) / n + Z95**2 / (4 * n * n))
    # Rounding would leave 1e-19 where nothing, or everything, was a hit.
    lower = 0.0 if p == 0.0 else max(float(centre - half), 0.0)
    upper = 1.0 if p == 1.0 else min(float(centre + half), 1.0)
    return Estimate(p, float(np.sqrt(p * (1 - p) / n)), lower, upper)


def average(values: np.ndarray) -> Estimate:
    """A mean; NaN values are left out."""
    values = values[np.isfinite(values)]
    n = len(values)
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, np.nan)
    mean = float(values.mean())
    mcse = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return Estimate(mean, mcse, mean - Z95 * mcse, mean + Z95 * mcse)


def quantile(values: np.ndarray, probability: float) -> Estimate:
    """A quantile, with the distribution-free interval of order statistics.

    The MCSE is that interval's width over twice 1.96.
    """
    values = np.sort(values[np.isfinite(values)])
    n = len(values)
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, np.nan)
    half = Z95 * np.sqrt(n * probability * (1 - probability))
    low = int(np.clip(np.floor(n * probability - half), 0, n - 1))
    high = int(np.clip(np.ceil(n * probability + half), 0, n - 1))
    point = float(np.quantile(values, probability))
    lower, upper = float(values[low]), float(values[high])
    return Estimate(point, (upper - lower) / (2 * Z95), lower, upper)


def root_mean_square(errors: np.ndarray) -> Estimate:
    """Root of the mean of squares, MCSE by the delta method."""
    squares = average(errors**2)
    root = float(np.sqrt(squares.estimate))
    mcse = squares.mcse / (2 * root) if root > 0 else np.nan
    return Estimate(root, mcse, root - Z95 * mcse, root + Z95 * mcse)
