"""`Column` and `TrialSchema`: a description of a trial that holds none of its rows.

Generators, outcome models and audits read it, and a saved model carries it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.base.storage import storable
from trial_sim.data.column_checks import plain, plain_series, type_name
from trial_sim.data.endpoints import Endpoint, endpoint_from_dict

FEWEST_ON_GRID = 4  # distinct values from which a grid is read: three lie on one by chance
COLUMN_KINDS = ("numeric", "integer", "categorical", "ordered", "date")


@storable
@dataclass(frozen=True)
class Column:
    """What one covariate column is.

    Attributes:
        name: column name.
        kind: "numeric", "integer", "categorical", "ordered" or "date".
        levels: the values of a categorical or ordered column, in order; else empty.
        lower, upper: observed bounds of a numeric, integer or date column (dates in days since
            1970-01-01); None otherwise or if no value was seen.
        missing: whether gaps occur.
        dtype: pandas dtype to give back.
        decimals: digits after the point seen in a numeric column.
        step: distance of which all distances between values are multiples, where it is not what
            ``decimals`` says (5 for ages by five, 1/3, a minute of a date in days).
    """

    name: str
    kind: str
    levels: tuple[Any, ...] = ()
    lower: float | None = None
    upper: float | None = None
    missing: bool = False
    dtype: str = "object"
    decimals: int = 0
    step: float | None = None

    @property
    def discrete(self) -> bool:
        """Whether the column has levels."""
        return self.kind in ("categorical", "ordered")

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Numbers (n,) moved to the nearest ones that the column may hold."""
        digits = self.decimals if self.kind == "numeric" else 0
        if self.step is None or self.lower is None:
            return np.round(values, digits)
        on_grid = self.lower + np.round((values - self.lower) / self.step) * self.step
        return on_grid if self.kind == "date" else np.round(on_grid, digits)


@storable
@dataclass(frozen=True)
class TrialSchema:
    """A trial without its rows: names, levels, bounds, endpoints, provenance.

    Examples:
        >>> import trial_sim as ts
        >>> schema = ts.load_trial("gehan").schema()
        >>> schema.control, schema.from_dict(schema.to_dict()) == schema
        ('control', True)
    """

    columns: tuple[Column, ...]
    arm: str | None
    arms: tuple[Any, ...]
    arm_sizes: tuple[int, ...]
    endpoints: Mapping[str, Endpoint]
    covariates: tuple[str, ...]
    id: str | None = None
    strata: tuple[str, ...] = ()
    site: str | None = None
    time_unit: str = "months"
    title: str = ""
    citation: str = ""
    randomised: bool = True
    entry: str | None = None

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise ValueError(
            f"no covariate column {name!r}{nearest(name, [c.name for c in self.columns])}"
        )

    @property
    def control(self) -> Any:
        """The first arm, the reference of every contrast (None for a cohort)."""
        return self.arms[0] if self.arms else None

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        out = {name: getattr(self, name) for name in self.__dataclass_fields__}
        out["columns"] = [dict(c.__dict__, levels=list(c.levels)) for c in self.columns]
        out["endpoints"] = {name: e.to_dict() for name, e in self.endpoints.items()}
        for name in ("arms", "arm_sizes", "covariates", "strata"):
            out[name] = list(out[name])
        return out

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialSchema:
        """The schema that `to_dict` wrote."""
        fields = dict(values)
        fields["columns"] = tuple(
            Column(**dict(c, levels=tuple(c["levels"]))) for c in fields["columns"]
        )
        fields["endpoints"] = {k: endpoint_from_dict(v) for k, v in fields["endpoints"].items()}
        for name in ("arms", "arm_sizes", "covariates", "strata"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


def describe_column(values: pd.Series, kind: str | None, levels: Sequence[Any] = ()) -> Column:
    """The `Column` of a series; ``kind`` overrides what its type suggests."""
    name, dtype, values = str(values.name), values.dtype, plain_series(values)
    present = values.dropna()
    if pd.api.types.is_datetime64_any_dtype(values):
        kind = kind or "date"
    elif isinstance(values.dtype, pd.CategoricalDtype):
        kind = kind or ("ordered" if values.cat.ordered else "categorical")
        levels = levels or tuple(values.cat.categories)
    elif (
        pd.api.types.is_bool_dtype(values)
        or not pd.api.types.is_numeric_dtype(values)
        or present.nunique() <= 2
    ):
        kind = kind or "categorical"
    else:
        whole = bool((present == np.round(present)).all())
        kind = kind or ("integer" if whole else "numeric")
    if kind not in COLUMN_KINDS:
        raise ValueError(f"column {name!r}: unknown kind {kind!r}{nearest(kind, COLUMN_KINDS)}")
    found: dict[str, Any] = {"missing": bool(values.isna().any()), "dtype": type_name(dtype)}
    if isinstance(dtype, pd.CategoricalDtype):
        found["dtype"] = "category"
    if kind in ("categorical", "ordered"):
        seen = levels or sorted(present.unique().tolist(), key=lambda v: (str(type(v)), v))
        return Column(name, kind, tuple(plain(v) for v in seen), **found)
    if kind == "date":
        days = (pd.to_datetime(present) - pd.Timestamp(0)) / pd.Timedelta(days=1)
        present = pd.Series(days, dtype=float)
    if len(present):
        found |= {"lower": float(present.min()), "upper": float(present.max())}
    numbers = present.to_numpy(dtype=float)
    if kind == "numeric":
        found["decimals"] = decimals(numbers)
    found["step"] = grid_step(numbers, 10.0 ** -found.get("decimals", 0))
    if kind == "date" and found["step"] is None and (numbers != np.round(numbers)).any():
        found["step"] = 1 / 86_400
    return Column(name, kind, **found)


def numbers_of(name: str, values: np.ndarray) -> Column:
    """The `Column` of the numbers (n,), whole or not, gaps left out: their range and grid."""
    return describe_column(pd.Series(values[~np.isnan(values)], name=name), "numeric")


def decimals(values: np.ndarray, most: int = 6) -> int:
    """Digits after the point that tell all values apart, negative for whole tens and hundreds; at
    most ``most`` after the first digit of the spread of the values, whatever their unit.

    Examples:
        >>> decimals(np.array([120.5, 80.0])), decimals(np.array([1.2e-4, 8.05e-5]))
        (1, 7)
        >>> decimals(np.array([1200.0, 300.0]))
        -2
    """
    largest = float(np.abs(values).max()) if len(values) else 0.0
    if largest == 0:
        return 0
    spread = float(np.ptp(values)) or largest
    last = most - int(np.floor(np.log10(spread)))
    rounding = _rounding(values)
    for digits in range(-int(np.floor(np.log10(largest))), last):
        if np.abs(values - np.round(values, digits)).max() <= rounding:
            return digits
    return last


def _rounding(values: np.ndarray) -> float:
    """How far values may be from a grid by the computer's rounding: a billionth of their spread
    (of themselves where all are one), and their own last digits."""
    largest = float(np.abs(values).max())
    return 1e-9 * (float(np.ptp(values)) or largest) + 8 * float(np.finfo(float).eps) * largest


def grid_step(values: np.ndarray, known: float) -> float | None:
    """Greatest distance of which all distances between values are multiples, if it is not
    ``known`` already and at least `FEWEST_ON_GRID` values tell it."""
    distinct = np.unique(values)
    if len(distinct) < FEWEST_ON_GRID:
        return None
    gaps = np.diff(distinct)
    gaps = gaps[gaps > _rounding(distinct)]
    if not len(gaps):
        return None
    for part in range(1, 11):
        step = float(gaps.min()) / part
        steps = (distinct - distinct[0]) / step
        if np.abs(steps - np.round(steps)).max() < 1e-3 * min(1.0, 1e3 / steps[-1]) + 1e-6:
            step = float((distinct[-1] - distinct[0]) / np.round(steps[-1]))  # all digits of it
            return None if np.isclose(step, known, rtol=1e-6, atol=0) else step
    return None
