"""Patient tables as arrays: mixed types, missing values, and distances between records.

A :class:`Schema` is learned once from the real table (and the levels of the others), and encodes
any table with the same columns into a :class:`MixedTable`. The distance is Gower's: for a numeric
column abs(difference)/range of the real column, capped at 1; for a category 0 or 1; missing against
missing is 0 and missing against a value is 1; the mean over columns, optionally weighted.

``data.schema.TrialSchema`` describes a checked trial for generators; here any table is read, such
as one that another program made and that has levels which the trial does not know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

CHUNK_CELLS = 4_000_000


@dataclass(frozen=True, eq=False)
class MixedTable:
    """A table as arrays.

    Args:
        numeric: (n, p) float64, NaN where missing.
        codes: (n, q) int64, the level of each category, -1 where missing.
    """

    numeric: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.numeric)

    def rows(self, index: np.ndarray) -> MixedTable:
        """The rows of an index or mask."""
        return MixedTable(self.numeric[index], self.codes[index])

    def columns(self, schema: Schema, part: Schema) -> MixedTable:
        """The columns of a part of the schema that the table was encoded with."""
        numeric = [schema.numeric.index(name) for name in part.numeric]
        codes = [schema.categorical.index(name) for name in part.categorical]
        return MixedTable(self.numeric[:, numeric], self.codes[:, codes])


@dataclass(frozen=True, eq=False)
class Schema:
    """Types, ranges and levels by which tables are encoded.

    Args:
        numeric: names of the numeric columns (ordered categories and dates among them).
        categorical: names of the others.
        levels: for every categorical column the levels, as text.
        orders: for every ordered column its levels from low to high.
        lower, upper: (p,) smallest and largest real value of each numeric column.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    orders: dict[str, tuple[object, ...]]
    lower: np.ndarray
    upper: np.ndarray

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, numeric first."""
        return self.numeric + self.categorical

    @property
    def ranges(self) -> np.ndarray:
        """(p,) range of each numeric column in the real table, 1 where it is constant."""
        width = self.upper - self.lower
        return np.where(width > 0, width, 1.0)

    def encode(self, frame: pd.DataFrame) -> MixedTable:
        """Encode a table that has the schema's columns."""
        n = len(frame)
        numeric = np.full((n, len(self.numeric)), np.nan)
        for j, name in enumerate(self.numeric):
            numeric[:, j] = as_numbers(frame[name], self.orders.get(name))
        codes = np.full((n, len(self.categorical)), -1, dtype=np.int64)
        for j, name in enumerate(self.categorical):
            lookup = {level: k for k, level in enumerate(self.levels[name])}
            # a level that no table had when the schema was learned equals no other level
            codes[:, j] = [lookup.get(v, len(lookup)) if v else -1 for v in as_text(frame[name])]
        return MixedTable(numeric, codes)

    def select(self, names: tuple[str, ...]) -> Schema:
        """The schema of some columns only."""
        keep = [j for j, name in enumerate(self.numeric) if name in names]
        return Schema(
            tuple(self.numeric[j] for j in keep),
            tuple(name for name in self.categorical if name in names),
            {k: v for k, v in self.levels.items() if k in names},
            {k: v for k, v in self.orders.items() if k in names},
            self.lower[keep],
            self.upper[keep],
        )


def as_numbers(values: pd.Series, order: tuple[object, ...] | None = None) -> np.ndarray:
    """A column as float64: ranks for an ordered category, days for dates, NaN where missing."""
    if order is not None:
        lookup = {str(level): float(k) for k, level in enumerate(order)}
        return np.array([lookup.get(v, np.nan) if v else np.nan for v in as_text(values)])
    if pd.api.types.is_datetime64_any_dtype(values):
        days = values.to_numpy(dtype="datetime64[ns]").astype("int64") / 86_400e9
        return np.where(values.isna().to_numpy(), np.nan, days)
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def as_text(values: pd.Series) -> list[str]:
    """A column's levels as text, the empty string where missing; 1, 1.0 and True agree."""
    codes, levels = pd.factorize(values)
    texts = np.array([*(_level_text(level) for level in levels), ""], dtype=object)
    return list(texts[codes])  # a missing value has the code -1, the last text


def _level_text(value: object) -> str:
    if isinstance(value, bool | int | float | np.number | np.bool_):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    return str(value)


def learn_schema(real: pd.DataFrame, *others: pd.DataFrame) -> Schema:
    """Types and ranges from the real table; levels from all tables.

    A numeric column with at most two distinct values counts as categorical, because half of its
    range means nothing.
    """
    numeric, categorical = [], []
    levels: dict[str, tuple[str, ...]] = {}
    orders: dict[str, tuple[object, ...]] = {}
    for name in map(str, real.columns):
        column = real[name]
        if isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered:
            orders[name] = tuple(column.dtype.categories)
            numeric.append(name)
            continue
        is_number = pd.api.types.is_datetime64_any_dtype(column) or (
            pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        )
        if is_number and column.nunique() > 2:
            numeric.append(name)
        else:
            categorical.append(name)
            seen = {v for table in (real, *others) for v in as_text(table[name]) if v}
            levels[name] = tuple(sorted(seen))
    bounds = np.array(
        [
            (np.nanmin(x), np.nanmax(x)) if np.isfinite(x).any() else (0.0, 0.0)
            for x in (as_numbers(real[name], orders.get(name)) for name in numeric)
        ]
    ).reshape(-1, 2)
    return Schema(tuple(numeric), tuple(categorical), levels, orders, bounds[:, 0], bounds[:, 1])


def gower(
    left: MixedTable, right: MixedTable, ranges: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Gower distances between two tables.

    Args:
        left: n records.
        right: m records.
        ranges: (p,) of the numeric columns (:attr:`Schema.ranges`).
        weights: (p + q,) of the columns, numeric first; equal when None.

    Returns:
        (n, m) float32 in [0, 1].
    """
    p, q = left.numeric.shape[1], left.codes.shape[1]
    weights = np.ones(p + q) if weights is None else np.asarray(weights, dtype=float)
    weights = (weights / weights.sum()).astype(np.float32)
    out = np.zeros((len(left), len(right)), dtype=np.float32)
    left_numeric = (left.numeric / ranges).astype(np.float32)
    right_numeric = (right.numeric / ranges).astype(np.float32)
    step = max(1, CHUNK_CELLS // max(1, len(right)))
    for start in range(0, len(left), step):
        rows = slice(start, start + step)
        block = out[rows]
        for j in range(p):
            a, b = left_numeric[rows, j], right_numeric[:, j]
            gap = np.abs(a[:, None] - b[None, :])
            np.minimum(gap, 1, out=gap)
            a_missing, b_missing = np.isnan(a), np.isnan(b)
            if a_missing.any() or b_missing.any():
                gap[np.isnan(gap)] = 1
                gap[np.ix_(a_missing, b_missing)] = 0
            gap *= weights[j]
            block += gap
        for j in range(q):
            differs = left.codes[rows, j][:, None] != right.codes[:, j][None, :]
            block += weights[p + j] * differs
    return out


def model_matrix(schema: Schema, table: MixedTable) -> tuple[np.ndarray, list[str]]:
    """Columns for regressions: numbers scaled to the real range with the middle where missing,
    missing indicators, and one column a level.

    Returns:
        (n, k) float64 and the k names.
    """
    columns, names = [], []
    for j, name in enumerate(schema.numeric):
        x = (table.numeric[:, j] - schema.lower[j]) / schema.ranges[j]
        missing = np.isnan(x)
        columns.append(np.where(missing, 0.5, np.clip(x, -1, 2)))
        names.append(name)
        columns.append(missing.astype(float))
        names.append(f"{name} missing")
    for j, name in enumerate(schema.categorical):
        for k, level in enumerate(schema.levels[name]):
            columns.append((table.codes[:, j] == k).astype(float))
            names.append(f"{name}={level}")
        columns.append((table.codes[:, j] < 0).astype(float))
        names.append(f"{name} missing")
    if not columns:
        return np.empty((len(table), 0)), []
    return np.column_stack(columns), names
