"""Outcome curves with case weights, and simultaneous bands for the difference of two of them.

Every function takes weights of shape (B, n), so that one call gives B bootstrap curves. Weights
of one give the usual estimates: Kaplan-Meier, Aalen-Johansen, mean cumulative function,
distribution function, means by visit. Curves of one data set with their limits are
``statistics.survival_curves`` and ``statistics.competing_risks``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Curve = Callable[[np.ndarray], np.ndarray]  # weights (B, n) -> values (B, len(grid))


def unit_weights(n: int) -> np.ndarray:
    """(1, n) weights of one."""
    return np.ones((1, n))


def bayesian_weights(n: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(draws, n) exponential weights with mean one: Rubin's Bayesian bootstrap (1981)."""
    weights = rng.standard_exponential((draws, n))
    return weights / weights.mean(axis=1, keepdims=True)


def _steps(times: np.ndarray, values: np.ndarray, grid: np.ndarray, start: float) -> np.ndarray:
    """Right-continuous step functions (B, len(times)) read at the grid."""
    index = np.searchsorted(times, grid, side="right")
    padded = np.concatenate([np.full((len(values), 1), start), values], axis=1)
    return padded[:, index]


def _risk_sets(
    duration: np.ndarray, weights: np.ndarray, entry: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Order, distinct times, their first positions, and weighted numbers at risk (B, k)."""
    order = np.argsort(duration, kind="stable")
    times, start = np.unique(duration[order], return_index=True)
    risk = np.cumsum(weights[:, order][:, ::-1], axis=1)[:, ::-1][:, start]
    if entry is not None:
        late = np.argsort(entry, kind="stable")
        sums = np.cumsum(weights[:, late], axis=1)
        sums = np.concatenate([np.zeros((len(weights), 1)), sums], axis=1)
        entered = sums[:, np.searchsorted(entry[late], times, side="left")]
        risk = risk - (sums[:, -1:] - entered)
    return order, times, start, risk


def survival(
    duration: np.ndarray,
    event: np.ndarray,
    grid: np.ndarray,
    weights: np.ndarray,
    entry: np.ndarray | None = None,
) -> np.ndarray:
    """Weighted Kaplan-Meier survival, flat after the last time.

    Args:
        duration: (n,) times.
        event: (n,) True where the event was seen.
        grid: (g,) times to read at.
        weights: (B, n).
        entry: (n,) times from which patients are at risk, or None.

    Returns:
        (B, g).
    """
    if len(duration) == 0:
        return np.full((len(weights), len(grid)), np.nan)
    order, times, start, risk = _risk_sets(duration, weights, entry)
    died = np.add.reduceat(weights[:, order] * event[order], start, axis=1)
    return _steps(times, np.cumprod(1 - died / np.maximum(risk, 1e-300), axis=1), grid, 1.0)


def cumulative_incidence(
    duration: np.ndarray,
    cause: np.ndarray,
    which: int,
    grid: np.ndarray,
    weights: np.ndarray,
    entry: np.ndarray | None = None,
) -> np.ndarray:
    """Weighted Aalen-Johansen cumulative incidence of one cause.

    Args:
        duration: (n,) times.
        cause: (n,) integers, 0 for censored.
        which: the cause.
        grid: (g,) times to read at.
        weights: (B, n).
        entry: as `survival`.
    """
    if len(duration) == 0:
        return np.full((len(weights), len(grid)), np.nan)
    order, times, start, risk = _risk_sets(duration, weights, entry)
    risk = np.maximum(risk, 1e-300)
    sorted_weights = weights[:, order]
    any_event = np.add.reduceat(sorted_weights * (cause[order] != 0), start, axis=1) / risk
    this = np.add.reduceat(sorted_weights * (cause[order] == which), start, axis=1) / risk
    alive = np.cumprod(1 - any_event, axis=1)
    before = np.concatenate([np.ones((len(weights), 1)), alive[:, :-1]], axis=1)
    return _steps(times, np.cumsum(before * this, axis=1), grid, 0.0)


def mean_cumulative_count(
    patient: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    event: np.ndarray,
    grid: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Weighted Nelson mean cumulative function of recurrent events.

    Args:
        patient: (m,) row of each interval's patient in the weights.
        start, stop: (m,) ends of the intervals at risk, (start, stop].
        event: (m,) True where an event ends the interval.
        grid: (g,) times to read at.
        weights: (B, n) one weight a patient.
    """
    if not event.any():
        return np.zeros((len(weights), len(grid)))
    w = weights[:, patient]
    times = np.unique(stop[event])

    def entered(at: np.ndarray) -> np.ndarray:
        """Weight of the intervals whose time is at or after each event time."""
        order = np.argsort(at, kind="stable")
        sums = np.concatenate(
            [np.cumsum(w[:, order][:, ::-1], axis=1)[:, ::-1], np.zeros((len(w), 1))], axis=1
        )
        return sums[:, np.searchsorted(at[order], times, side="left")]

    risk = np.maximum(entered(stop) - entered(start), 1e-300)
    where = np.searchsorted(times, stop[event])
    order = np.argsort(where, kind="stable")
    first = np.unique(where[order], return_index=True)[1]
    counts = np.add.reduceat(w[:, event][:, order], first, axis=1)
    return _steps(times, np.cumsum(counts / risk, axis=1), grid, 0.0)


def distribution(values: np.ndarray, grid: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted distribution function P(value <= grid), missing values left out."""
    seen = np.isfinite(values)
    if not seen.any():
        return np.full((len(weights), len(grid)), np.nan)
    order = np.argsort(values[seen], kind="stable")
    w = weights[:, seen][:, order]
    cumulative = np.cumsum(w, axis=1)
    return _steps(values[seen][order], cumulative / cumulative[:, -1:], grid, 0.0)


def visit_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of each visit over the patients seen there.

    Args:
        values: (n, visits), NaN where missing.
        weights: (B, n).

    Returns:
        (B, visits), NaN for a visit that nobody made.
    """
    seen = np.isfinite(values)
    total = weights @ np.where(seen, values, 0.0)
    count = weights @ seen.astype(float)
    return np.where(count > 0, total / np.where(count > 0, count, 1.0), np.nan)


class Gap(NamedTuple):
    """Largest gap of two curves beside the 95 % simultaneous band of their difference."""

    gap: float
    band: float  # half-width: the largest gap that chance gives in 95 % of draws
    ratio: float  # gap / band


def largest_gap(
    real: Curve,
    synthetic: Curve,
    n_real: int,
    n_synthetic: int,
    rng: np.random.Generator,
    draws: int = 300,
) -> Gap:
    """Largest gap between two curves against a simultaneous band of constant width.

    The band is the 95 % quantile of sup|D* - D| over Bayesian-bootstrap draws of both samples,
    so it carries the sampling error of both; with a very large synthetic sample it is the band of
    the real curve alone.

    Args:
        real, synthetic: functions from weights to curves on one grid.
        n_real, n_synthetic: patients in each.
        rng: source of the weights.
        draws: bootstrap draws.
    """
    difference = synthetic(unit_weights(n_synthetic)) - real(unit_weights(n_real))
    drawn = synthetic(bayesian_weights(n_synthetic, draws, rng)) - real(
        bayesian_weights(n_real, draws, rng)
    )
    if not np.isfinite(difference).any():
        return Gap(float("nan"), float("nan"), float("nan"))
    sups = np.nanmax(np.abs(drawn - difference), axis=1)
    gap, band = float(np.nanmax(np.abs(difference))), float(np.quantile(sups, 0.95))
    return Gap(gap, band, gap / band if band > 0 else (0.0 if gap == 0 else float("inf")))


def simultaneous_band(
    curve: Curve, n: int, rng: np.random.Generator, draws: int = 300
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A curve with the ends of its 95 % simultaneous band of constant width, (g,) each."""
    estimate = curve(unit_weights(n))[0]
    drawn = curve(bayesian_weights(n, draws, rng))
    if not np.isfinite(estimate).any():
        return estimate, estimate, estimate
    half = np.quantile(np.nanmax(np.abs(drawn - estimate), axis=1), 0.95)
    return estimate, estimate - half, estimate + half
