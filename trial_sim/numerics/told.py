"""Numbers that may be told of patients: means of several in place of one's own.

A fitted model is saved and shared. What it holds of times, outcomes and covariates passes through
here (or through `covariates.encoding.told`), so that no number in it is one patient's.
"""

from __future__ import annotations

import numpy as np

TOGETHER = 5  # patients of whom a told number is at least the mean


def averaged(values: np.ndarray) -> np.ndarray:
    """Sorted values (n,), every `TOGETHER` or more neighbours replaced by their mean; then spread
    about their mean as before. What is positive stays so."""
    ordered = np.sort(np.asarray(values, dtype=float))
    if not len(ordered):
        return ordered
    parts = np.array_split(ordered, max(len(ordered) // TOGETHER, 1))
    means = np.concatenate([np.full(len(p), p.mean()) for p in parts])
    left = means.std()
    if left == 0:
        return means
    out = means.mean() + (means - means.mean()) * ordered.std() / left
    return np.maximum(out, means[0] / 2) if ordered[0] >= 0 else out


def running(values: np.ndarray) -> np.ndarray:
    """Sorted values (n,), each replaced by the mean of `TOGETHER` around it. For few of them only:
    the whole series gives the values away."""
    ordered = np.sort(np.asarray(values, dtype=float))
    if len(ordered) <= TOGETHER:
        return np.full(len(ordered), ordered.mean()) if len(ordered) else ordered
    total = np.concatenate([[0.0], np.cumsum(ordered)])
    first = np.clip(np.arange(len(ordered)) - TOGETHER // 2, 0, len(ordered) - TOGETHER)
    return (total[first + TOGETHER] - total[first]) / TOGETHER


def upper_end(values: np.ndarray, width: float | None = None) -> float:
    """The greatest value if `TOGETHER` share it, else the next round number above it (a step of at
    most a tenth of ``width``, by default of the value itself)."""
    last = float(np.max(values))
    if (values == last).sum() >= TOGETHER or last == 0:
        return last
    step = round_step(abs(last) if width is None else width)
    return float(np.round(np.floor(last / step + 1 + 1e-9) * step, 12))


def told_range(values: np.ndarray) -> tuple[float, float]:
    """Ends of the values, each shared by `TOGETHER` or the next round number outside; what is
    never negative stays so."""
    width = float(np.ptp(values)) or abs(float(np.max(values))) or 1.0
    low, high = -upper_end(-values, width), upper_end(values, width)
    return (max(low, 0.0) if float(np.min(values)) >= 0 else low), high


def round_step(width: float) -> float:
    """The greatest of 1, 2 and 5 times a power of ten that is at most a tenth of ``width``."""
    power = 10.0 ** np.floor(np.log10(width / 10) + 1e-9)
    return float(power * max(m for m in (1, 2, 5) if m * power <= width / 10 * (1 + 1e-9)))


def unowned(places: np.ndarray, values: np.ndarray, unit: float) -> np.ndarray:
    """Rising places (k,), those that are one of the ``values`` which fewer than `TOGETHER`
    patients share moved up by as many units as it takes (a continuum: as they are)."""
    if not unit:
        return places
    whole, counts = np.unique(np.round(values / unit), return_counts=True)
    own = set(whole[counts < TOGETHER].tolist())
    out = np.round(places / unit)
    for k, place in enumerate(out):
        end = out[k + 1] if k + 1 < len(out) else np.inf
        while place in own and place + 1 < end:
            place += 1
        out[k] = place if place not in own else out[k]
    return np.where(out == np.round(places / unit), places, out * unit)


def roundest(low: float, high: float) -> float:
    """The number between two others (neither of them) with the fewest digits."""
    middle = (low + high) / 2
    power = np.floor(np.log10(max(abs(low), abs(high), high - low, 1e-300))) + 1
    for digits in range(18):
        for part in (1.0, 0.5):
            step = part * 10.0 ** (power - digits)
            found = float(np.round(np.round(middle / step) * step, 12))
            if low < found < high:
                return found
    return middle


def significant(values: np.ndarray, digits: int) -> np.ndarray:
    """Values rounded to so many significant digits."""
    safe = np.where(values == 0, 1.0, np.abs(values))
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(safe) + 1e-9))
    return half_up(values * scale) / scale


def half_up(values: np.ndarray) -> np.ndarray:
    """Whole numbers nearest to the values, halves up, whatever the last bits say: so that the same
    numbers in another unit are rounded alike."""
    return np.floor(np.round(values, 6) + 0.5)
