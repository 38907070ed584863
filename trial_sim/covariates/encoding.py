"""Tables as float arrays, and back with types, levels, bounds and digits restored.

A categorical or ordered column is coded 0, 1, ... in the order of its levels, a date as days since
1970-01-01, a gap as NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from trial_sim.data.column_checks import plain_series
from trial_sim.data.schema import Column, numbers_of
from trial_sim.numerics.told import TOGETHER, half_up, significant

KEPT_FROM = 5  # a spike shared by this many patients is no one's own and may be given back exactly
COMMON = 10  # so may any value that this many share
STEEPEST = 1.5  # power of an exponential law that a tail may follow
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
    return values.astype(holding(dtype, values))


def holding(dtype: Any, values: pd.Series) -> Any:
    """The type, or the widest of its kind where the values are beyond what it can hold.

    The models know no bounds of a type: a count of 140 does not fit into ``int8``, nor -1 into
    ``uint16``, and a cast would wrap it around.

    >>> holding(np.dtype("int8"), pd.Series([3.0, 127.0])), holding("Int8", pd.Series([128.0]))
    (dtype('int8'), Int64Dtype())
    """
    dtype = pd.api.types.pandas_dtype(dtype)
    there = values.dropna()
    if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        return dtype
    if not len(there) or not pd.api.types.is_numeric_dtype(there.dtype):
        return dtype
    plain = getattr(dtype, "numpy_dtype", dtype)
    if not isinstance(plain, np.dtype) or plain.kind not in "iuf":
        return dtype
    if _holds(plain, there):
        return dtype
    wide = next(
        (w for w in ("int64", "uint64") if plain.kind != "f" and _holds(w, there)), "float64"
    )
    if isinstance(dtype, np.dtype):
        return np.dtype(wide)
    of_arrow, of_pandas = _WIDE[wide]
    return pd.api.types.pandas_dtype(of_arrow if "pyarrow" in str(dtype) else of_pandas)


#: Names of the wide types in Arrow and among the nullable ones of pandas.
_WIDE = {
    "int64": ("int64[pyarrow]", "Int64"),
    "uint64": ("uint64[pyarrow]", "UInt64"),
    "float64": ("double[pyarrow]", "Float64"),
}


def _holds(dtype: Any, values: pd.Series) -> bool:
    """Whether a type of numpy has room for the least and the greatest value."""
    bounds = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
    return float(bounds.min) <= float(values.min()) and float(values.max()) <= float(bounds.max)


def blur_rare(
    drawn: np.ndarray, column: Column, support: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Move values that few patients share to a smooth curve through the column's quantiles.

    Args:
        drawn: (n,) values without gaps, taken from the fitted data.
        support: (m, 4) of `told`.

    Values that `COMMON` patients share stay, and so do spikes (digit preference) that at least
    `KEPT_FROM` share; a unique value (an outlier above all) is never given back for certain. The
    value comes from a random rank of those that the drawn one covers.
    """
    if column.discrete or not len(support):
        return drawn
    place = np.clip(np.searchsorted(support[:, 0], drawn), 0, len(support) - 1)
    rare = (support[place, 2] == 0) & (support[place, 0] == drawn)
    if not rare.any():
        return drawn
    low, high = bounds_of(support)
    if not high > low:
        return np.where(rare, column.rounded(drawn), drawn)
    upto = np.cumsum(support[:, 1]) / support[:, 1].sum()
    rank = upto[place] - rng.random(len(drawn)) * support[place, 1] / support[:, 1].sum()
    at, curve = smooth_quantiles(support)
    moved = np.interp(ndtri(np.clip(rank, 1e-9, 1 - 1e-9)), at, curve)
    return np.where(rare, column.rounded(moved), drawn)


def smooth_quantiles(support: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The column's quantiles against normal scores, smoothed: scores (k,) and values (k,).

    A line is fitted around each score with normal weights of the width `WIDTH` n^(-1/5) (Fan and
    Gijbels 1996), so that no value of the curve hangs on one patient, and what it leaves is
    smoothed once more and added (twicing, Tukey 1977), so that tails are not cut. Values enter as
    they are or by their logarithm, whichever is nearer to normal, since a line overstates a convex
    curve; what leaves the range of the data is reflected.
    """
    value, count = tailed(support)
    low, high = bounds_of(support)
    value = np.clip(value, low, high)
    n, width = count.sum(), high - low
    score = ndtri((np.cumsum(count) - count / 2) / n)
    middle = np.interp(0.0, score, value) - low
    logs = np.log(value - low + 0.1 * middle + 1e-3 * width)
    skewed = abs(np.corrcoef(logs, score)[0, 1]) > abs(np.corrcoef(value, score)[0, 1])
    at = np.linspace(-GRID_END, GRID_END, 161)
    target = logs if skewed else value
    left = target - smoothed_line(score, target, count, score)
    curve = smoothed_line(score, target, count, at) + smoothed_line(score, left, count, at)
    if skewed:
        curve = np.exp(curve) + low - 0.1 * middle - 1e-3 * width
    turned = np.mod(curve - low, 2 * width)
    return at, low + np.minimum(turned, 2 * width - turned)


def smoothed_line(
    score: np.ndarray, target: np.ndarray, count: np.ndarray, at: np.ndarray
) -> np.ndarray:
    """Intercepts (k,) of lines fitted to ``target`` (m,) around each of ``at`` (k,)."""
    gap = score[None, :] - at[:, None]
    scaled = (gap / (WIDTH * count.sum() ** -0.2)) ** 2
    # relative to the nearest value, so that weights do not vanish far from all of them
    weight = count * np.exp((scaled.min(axis=1, keepdims=True) - scaled) / 2)
    # weighted least squares of the values on the gap: its intercept is the curve
    moments = [(weight * gap**k).sum(axis=1) for k in range(3)]
    first, second = ((weight * gap**k) @ target for k in range(2))
    spread = moments[0] * moments[2] - moments[1] ** 2
    flat = spread < 1e-6 * moments[0] * moments[2]
    line = (moments[2] * first - moments[1] * second) / np.where(flat, 1.0, spread)
    return np.where(flat, first / moments[0], line)


def tailed(support: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (k,) and counts (k,) of what is told, the lowest and the highest group laid out.

    Of these two the mean and the standard deviation are told; `TOGETHER` points of a smooth tail
    stand for them, since one mean would cut the tail off.
    """
    value, count, kept, spread = support.T
    ends = [k for k in {0, len(value) - 1} if not kept[k]]
    parts = [(value[[k]], count[[k]]) for k in range(len(value))]
    for k in ends:
        inside = 1 if k == 0 else k - 1
        edge = value[inside] if len(value) > 1 else None
        points = tail_points(value[k], spread[k], edge)
        parts[k] = (points, np.full(len(points), count[k] / len(points)))
    return np.concatenate([v for v, _ in parts]), np.concatenate([c for _, c in parts])


def tail_points(mean: float, spread: float, edge: float | None) -> np.ndarray:
    """`TOGETHER` rising values with this mean and standard deviation, beyond ``edge``.

    Their distances from it are powers of the expected exponential order statistics. The power is
    at most `STEEPEST`: of patients one of whom lies far out the mean is kept, not the place of that
    one.
    """
    if edge is None:
        score = ndtri((np.arange(TOGETHER) + 0.5) / TOGETHER)
        return mean + spread * score / score.std()
    if mean == edge:
        return np.full(TOGETHER, mean)
    powers = np.linspace(0.02, STEEPEST, 100)
    shape = np.cumsum(1 / np.arange(TOGETHER, 0, -1)) ** powers[:, None]
    power = np.searchsorted(shape.std(axis=1) / shape.mean(axis=1), spread / abs(mean - edge))
    chosen = shape[min(int(power), len(powers) - 1)]
    return np.sort(edge + (mean - edge) * chosen / chosen.mean())


def shared(counts: np.ndarray) -> np.ndarray:
    """(m,) boolean: counts of `COMMON` or more, or of `KEPT_FROM` or more and three Poisson errors
    above the mean of the two values to either side (a spike, not the run of the data)."""
    padded = np.pad(counts.astype(float), 2, mode="reflect" if len(counts) > 2 else "edge")
    around = (padded[:-4] + padded[1:-3] + padded[3:-1] + padded[4:]) / 4
    spike = (counts >= KEPT_FROM) & (counts > around + 3 * np.sqrt(around))
    return spike | (counts >= COMMON)


def told(values: np.ndarray, column: Column) -> tuple[np.ndarray, np.ndarray]:
    """What may be told of a column: values that many share, and means of at least `TOGETHER`.

    Args:
        values: (n,) codes, NaN for gaps.

    Returns:
        support (m, 4): rising values, patients each stands for, 1 where it is one that they share,
        0 where it is the mean of neighbours (never a value that the column may hold), and the
        standard deviation of the lowest and of the highest such neighbours, else 0; and what each
        patient's value became (n,), NaN for gaps.

    Levels keep their names; one of fewer than `TOGETHER` patients counts as half as many, however
    many there are.
    """
    seen = ~np.isnan(values)
    if not seen.any():
        return np.empty((0, 4)), np.full(len(values), np.nan)
    distinct, place, counts = np.unique(values[seen], return_inverse=True, return_counts=True)
    became = np.full(len(values), np.nan)
    if column.discrete:
        weight = np.where(counts < TOGETHER, TOGETHER / 2, counts)
        became[seen] = distinct[place]
        ones = np.ones(len(distinct))
        return np.column_stack([distinct, weight, ones, 0 * ones]).astype(float), became
    group = grouped(distinct, counts, shared(counts))
    sizes = np.bincount(group, weights=counts)
    means = np.bincount(group, weights=counts * distinct) / sizes
    spread = np.bincount(group, weights=counts * (distinct - means[group]) ** 2) / sizes
    spread = significant(np.sqrt(spread), 3)
    spread[1:-1] = 0.0
    kept = np.zeros(len(sizes))
    for k in np.flatnonzero(shared(counts)):
        kept[group[k]], means[group[k]], spread[group[k]] = 1.0, distinct[k], 0.0
    means = np.where(kept > 0, means, off_grid(means, column))
    if counts.sum() < TOGETHER:
        means, spread = significant(means, 1), 0 * means
    became[seen] = means[group[place]]
    return np.column_stack([means, sizes, kept, spread]), became


def runs_of(places: Sequence[int], counts: np.ndarray) -> list[list[int]]:
    """Neighbouring places in runs of at least `TOGETHER` patients, as few as that at both ends;
    what is left over goes to the middle. One run where there are too few patients."""
    below: list[list[int]] = []
    above: list[list[int]] = []
    left = list(places)
    while counts[left].sum() >= TOGETHER:
        upwards = len(below) <= len(above)
        order = left if upwards else left[::-1]
        size = int(np.searchsorted(np.cumsum(counts[order]), TOGETHER)) + 1
        run = sorted(order[:size])
        left = left[size:] if upwards else left[:-size]
        (below if upwards else above).append(run)
    parts = below + above[::-1]
    if left and parts:
        below[-1].extend(left)
    return parts or [left]


def off_grid(values: np.ndarray, column: Column) -> np.ndarray:
    """Numbers moved to tenths of the column's grid, but never onto a number that it may hold: what
    is told of several patients is then no patient's value even by coincidence."""
    grid = grid_of(column)
    start = column.lower or 0.0
    place = np.round((values - start) / grid * 10, 6)
    tenth = half_up(place)
    on = np.mod(tenth, 10) == 0
    tenth = np.where(on, tenth + np.where(place >= tenth, 1, -1), tenth)
    return start + tenth * grid / 10


def grouped(distinct: np.ndarray, counts: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Group (m,), rising, of each distinct value: a kept value has its own, those between have
    groups of at least `TOGETHER` patients; fewer than that go to the kept value next to them."""
    groups: list[list[int]] = []
    loose: list[int] = []

    def close(after: bool) -> None:
        few = bool(loose) and counts[loose].sum() < TOGETHER
        if few and groups:
            groups[-1].extend(loose)
        elif few and after:
            return  # they wait for the kept value to come
        elif loose:
            groups.extend(runs_of(loose, counts))
        loose.clear()

    for k in range(len(distinct)):
        if kept[k]:
            close(after=True)
            groups.append([*loose, k])
            loose.clear()
        else:
            loose.append(k)
    close(after=False)
    out = np.zeros(len(distinct), dtype=int)
    for g, members in enumerate(groups):
        out[members] = g
    return out


def bounds_of(support: np.ndarray) -> tuple[float, float]:
    """Ends of a column as told: those of its smooth tails. A positive column stays so."""
    value, _, kept, _ = support.T
    points, _ = tailed(support)
    low, high = float(points[0]), float(points[-1])
    if not kept[0] and value[0] > 0:
        low = max(low, float(value[0]) / 2)
    if not kept[-1] and value[-1] < 0:
        high = min(high, float(value[-1]) / 2)
    return low, high


def told_columns(codes: np.ndarray, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns with bounds that may be told in place of the lowest and highest patient's."""
    out = []
    for k, column in enumerate(columns):
        if column.discrete or column.lower is None:
            out.append(column)
            continue
        support, _ = told(codes[:, k], column)
        distinct, counts = np.unique(codes[:, k], return_counts=True)
        own = distinct[counts < TOGETHER]
        low, high = column.rounded(np.array(bounds_of(support)))
        while np.isclose(low, own, rtol=1e-12).any():
            low = column.rounded(np.array([low - grid_of(column)]))[0]
        while np.isclose(high, own, rtol=1e-12).any():
            high = column.rounded(np.array([high + grid_of(column)]))[0]
        out.append(replace(column, lower=float(low), upper=float(high)))
    return tuple(out)


def told_numbers(name: str, values: np.ndarray) -> Column:
    """The `Column` of outcomes (n,), gaps left out, with bounds that may be told."""
    return told_columns(values.reshape(-1, 1), [numbers_of(name, values)])[0]


def grid_of(column: Column) -> float:
    """Distance of neighbouring numbers that a column may hold."""
    return column.step or (10.0**-column.decimals if column.kind == "numeric" else 1.0)
