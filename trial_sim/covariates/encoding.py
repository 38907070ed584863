"""Tables as float arrays, and back with types, levels, bounds and digits restored.

A categorical or ordered column is coded 0, 1, ... in the order of its levels, a date as days since
1970-01-01, a gap as NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtri

from trial_sim.data.column_checks import plain_series
from trial_sim.data.schema import Column

KEPT_FROM = 5  # a spike shared by this many patients is no one's own and may be given back exactly
COMMON = 10  # so may any value that this many share
WIDTH = 1.0  # of the smoothing of quantiles, in normal scores, times n^(-1/5)
GRID_END = 4.0  # of the normal scores at which they are smoothed


def encode(table: pd.DataFrame, columns: Sequence[Column]) -> np.ndarray:
    """The columns as (n, n_columns) float64.

    Raises:
        ValueError: a value that is none of the levels.
    """
    out = np.empty((len(table), len(columns)))
    for k, column in enumerate(columns):
        values = plain_series(table[column.name])
        if column.discrete:
            codes = pd.Categorical(values, categories=list(column.levels)).codes
            unknown = (codes < 0) & values.notna().to_numpy()
            if unknown.any():
                row = int(np.argmax(unknown))
                raise ValueError(
                    f"column {column.name!r}: row {row} holds {values.iloc[row]!r}, which is none "
                    f"of the levels {list(column.levels)}"
                )
            out[:, k] = np.where(codes < 0, np.nan, codes)
        elif column.kind == "date":
            days = (pd.to_datetime(values) - pd.Timestamp(0)) / pd.Timedelta(days=1)
            out[:, k] = days.to_numpy(dtype=float)
        else:
            out[:, k] = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float)
    return out


def decode(values: np.ndarray, columns: Sequence[Column]) -> pd.DataFrame:
    """The table of (n, n_columns) codes, with the dtypes, levels and digits of ``columns``."""
    out = {}
    for k, column in enumerate(columns):
        out[column.name] = decode_column(values[:, k], column)
    return pd.DataFrame(out)


def decode_column(values: np.ndarray, column: Column) -> pd.Series:
    """One column of codes as a typed series."""
    missing = np.isnan(values)
    if column.discrete:
        levels = list(column.levels)
        codes = np.where(missing, -1, values).astype(int)
        if column.dtype == "category":
            ordered = column.kind == "ordered"
            return pd.Series(pd.Categorical.from_codes(codes, levels, ordered=ordered))  # type: ignore[call-overload]
        if column.dtype != "object" and all(isinstance(v, bool | int | float) for v in levels):
            numbers = np.append(np.asarray(levels, dtype=float), np.nan)[codes]
            return as_dtype(pd.Series(numbers), column)
        taken = np.empty(len(levels) + 1, dtype=object)
        taken[:-1], taken[-1] = levels, np.nan
        return as_dtype(pd.Series(taken[codes]), column)
    if column.kind == "date":
        days = np.round(values) if column.step is None else values
        clock = pd.Series(pd.Timestamp(0) + pd.to_timedelta(days, unit="D"))
        return as_dtype(clock if column.step is None else clock.dt.round("s"), column)
    digits = 0 if column.kind == "integer" else column.decimals
    return as_dtype(pd.Series(np.round(values, digits)), column)


def as_dtype(values: pd.Series, column: Column) -> pd.Series:
    """The values in the type of the column; numpy's integers and flags with gaps as floats."""
    if column.dtype == "category":
        ordered = column.kind == "ordered"
        return pd.Series(pd.Categorical(values, categories=list(column.levels), ordered=ordered))
    if column.dtype == "object":
        return values
    dtype = pd.api.types.pandas_dtype(column.dtype)
    if isinstance(dtype, pd.DatetimeTZDtype):
        # an hour that the clock skips becomes the next, one that it repeats the first of the two
        first = np.ones(len(values), dtype=bool)
        there = values.dt.tz_localize(dtype.tz, ambiguous=first, nonexistent="shift_forward")
        return there.astype(dtype)
    if isinstance(dtype, np.dtype) and dtype.kind in "iub" and values.isna().any():
        return values.astype(float)
    return values.astype(dtype)


def blur_rare(
    drawn: np.ndarray, column: Column, support: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Move values that few patients share to a smooth curve through the column's quantiles.

    Args:
        drawn: (n,) values without gaps, taken from the fitted data.
        support: (m, 2) sorted distinct values and how many patients had each.

    Values that `COMMON` patients share stay, and so do spikes (digit preference) that at least
    `KEPT_FROM` share; a unique value (an outlier above all) is never given back for certain. The
    value comes from a random rank of those that the drawn one covers.
    """
    if column.discrete or len(support) < 3:
        return drawn
    place = np.clip(np.searchsorted(support[:, 0], drawn), 0, len(support) - 1)
    rare = ~shared(support[:, 1])[place] & (support[place, 0] == drawn)
    if not rare.any():
        return drawn
    upto = np.cumsum(support[:, 1]) / support[:, 1].sum()
    rank = upto[place] - rng.random(len(drawn)) * support[place, 1] / support[:, 1].sum()
    at, curve = smooth_quantiles(support)
    moved = np.interp(ndtri(np.clip(rank, 1e-9, 1 - 1e-9)), at, curve)
    return np.where(rare, column.rounded(moved), drawn)


def smooth_quantiles(support: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The column's quantiles against normal scores, smoothed: scores (k,) and values (k,).

    A line is fitted around each score with normal weights of the width `WIDTH` n^(-1/5) (Fan and
    Gijbels 1996), so that no value of the curve hangs on one patient. Values enter as they are or
    by their logarithm, whichever is nearer to normal, since a line overstates a convex curve; what
    leaves the range of the data is reflected.
    """
    value, count = support[:, 0], support[:, 1]
    n, low, width = count.sum(), value[0], value[-1] - value[0]
    score = ndtri((np.cumsum(count) - count / 2) / n)
    middle = np.interp(0.0, score, value) - low
    logs = np.log(value - low + 0.1 * middle + 1e-3 * width)
    skewed = abs(np.corrcoef(logs, score)[0, 1]) > abs(np.corrcoef(value, score)[0, 1])
    at = np.linspace(-GRID_END, GRID_END, 161)
    gap = score[None, :] - at[:, None]
    scaled = (gap / (WIDTH * n**-0.2)) ** 2
    # relative to the nearest value, so that weights do not vanish far from all of them
    weight = count * np.exp((scaled.min(axis=1, keepdims=True) - scaled) / 2)
    # weighted least squares of the values on the gap: its intercept is the curve
    moments = [(weight * gap**k).sum(axis=1) for k in range(3)]
    target = logs if skewed else value
    first, second = ((weight * gap**k) @ target for k in range(2))
    spread = moments[0] * moments[2] - moments[1] ** 2
    flat = spread < 1e-6 * moments[0] * moments[2]
    line = (moments[2] * first - moments[1] * second) / np.where(flat, 1.0, spread)
    curve = np.where(flat, first / moments[0], line)
    if skewed:
        curve = np.exp(curve) + low - 0.1 * middle - 1e-3 * width
    turned = np.mod(curve - low, 2 * width)
    return at, low + np.minimum(turned, 2 * width - turned)


def shared(counts: np.ndarray) -> np.ndarray:
    """(m,) boolean: counts of `COMMON` or more, or of `KEPT_FROM` or more and three Poisson errors
    above the mean of the two values to either side (a spike, not the run of the data)."""
    padded = np.pad(counts.astype(float), 2, mode="reflect" if len(counts) > 2 else "edge")
    around = (padded[:-4] + padded[1:-3] + padded[3:-1] + padded[4:]) / 4
    spike = (counts >= KEPT_FROM) & (counts > around + 3 * np.sqrt(around))
    return spike | (counts >= COMMON)


def support_of(values: np.ndarray) -> np.ndarray:
    """(m, 2): sorted distinct values of the non-missing entries, and their counts."""
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return np.column_stack([distinct, counts]).astype(float)
