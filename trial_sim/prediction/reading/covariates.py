"""Covariates of the patients of an ongoing trial, as columns of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.design.design import Design
from trial_sim.design.tests import is_on_times

_MOST_LEVELS = 20
_OURS = ("id", "arm", "enrolment", "time", "end", "event", "dropout", "status", "competing")


def covariate_names(design: Design, wanted: Any) -> tuple[str, ...]:
    """The covariates asked for and those that the test adjusts for, without the strata.

    Raises:
        TypeError, ValueError: for something else than names, or a column with a meaning of its own.
    """
    given = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(given, Sequence) or not all(isinstance(name, str) for name in given):
        raise TypeError(f"covariates must be names of columns, got {wanted!r}")
    for name in given:
        if name in _OURS:
            raise ValueError(f"covariates names {name!r}, which is no covariate of a patient")
    adjusted = design.adjust if is_on_times(design.test_name) else ()
    names = dict.fromkeys([*given, *adjusted])
    return tuple(name for name in names if name not in design.strata)


def read_covariates(
    patients: pd.DataFrame, names: Sequence[str], notes: list[str]
) -> dict[str, np.ndarray]:
    """Columns of numbers (n,) of the covariates, in the order of the table.

    Numbers stay as they are, gaps filled by their mean; anything else becomes an indicator of each
    level but the most frequent one (``region[north]``), gaps a level of their own. What is filled
    or left out is said in ``notes``.

    Raises:
        ValueError: for a column that is missing, holds dates or more than 20 levels.
    """
    out: dict[str, np.ndarray] = {}
    for name in names:
        if name not in patients:
            raise ValueError(
                f"there is no column of the covariate {name!r}"
                f"{nearest(name, [str(c) for c in patients.columns])}"
            )
        values = patients[name]
        if pd.api.types.is_datetime64_any_dtype(values):
            raise ValueError(f"covariate {name!r} holds dates: give a number, such as an age")
        found = _columns(name, values, notes)
        if not found:
            notes.append(f"covariate {name!r} is the same for all patients and was left out")
        out |= found
    return out


def _columns(name: str, values: pd.Series, notes: list[str]) -> Mapping[str, np.ndarray]:
    gaps = values.isna().to_numpy()
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        if np.isinf(numbers).any():
            raise ValueError(f"covariate {name!r} must be finite numbers, got infinity")
        if gaps.any() and not gaps.all():
            numbers = np.where(gaps, np.nanmean(numbers), numbers)
            notes.append(
                f"covariate {name!r} is missing for {int(gaps.sum())} patients: taken as its mean"
            )
        return {name: numbers} if not gaps.all() and np.ptp(numbers) > 0 else {}
    words = values.astype(str).str.strip().where(~gaps, "missing")
    counts = words.value_counts()
    if len(counts) > _MOST_LEVELS:
        raise ValueError(
            f"covariate {name!r} has {len(counts)} levels, more than {_MOST_LEVELS}: group them, "
            "or give it as a number"
        )
    if gaps.any():
        notes.append(f"covariate {name!r} is missing for {int(gaps.sum())} patients: a level")
    others = sorted(counts.index.drop(counts.index[0]))
    return {f"{name}[{level}]": (words == level).to_numpy(dtype=float) for level in others}


def columns_of(
    covariates: Mapping[str, np.ndarray],
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names (p,), columns (n, p) in standard deviations, indicators as they are, and scales."""
    names = tuple(covariates)
    if not names:
        return (), np.empty((0, 0)), np.empty(0)
    # of a subset of the patients, as at a past cut, a column may be the same for all
    scale = np.array(
        [
            1.0 if set(np.unique(v)) <= {0.0, 1.0} else float(v.std()) or 1.0
            for v in covariates.values()
        ]
    )
    values = np.column_stack(list(covariates.values())) / scale
    return names, values - values.mean(axis=0), scale
