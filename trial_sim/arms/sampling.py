"""From drawn parameters to synthetic patients: who they are, and the table that describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from trial_sim.arms.settings import check_count
from trial_sim.covariates.conditions import balanced_counts, sample_codes, shifted
from trial_sim.covariates.encoding import as_dtype, decode
from trial_sim.data.schema import Column, TrialSchema


class Parts(Protocol):
    """What sampling needs of a `trial_sim.arms.fitted.FittedTrial`."""

    @property
    def trial_schema(self) -> TrialSchema:
        """Names, levels and bounds of the trial."""

    @property
    def covariate_model(self) -> Any:
        """The fitted generator."""

    @property
    def outcome_model(self) -> Any:
        """The fitted outcomes."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Order of the columns of a table."""

    @property
    def types(self) -> tuple[Column, ...]:
        """Types of the columns that hold id, arm and outcomes."""

    @property
    def constraints(self) -> tuple[str, ...]:
        """Rules that hold in every row."""


def draw_codes(
    fitted: Parts,
    n: int,
    rng: np.random.Generator,
    parameters: Any,
    where: Mapping[str, Any] | None,
    balance: Mapping[str, Mapping[Any, float]] | None,
    shift: Mapping[str, float] | None,
) -> np.ndarray:
    """Baseline codes (n, n_columns) of patients under the what-if rules of `sample_arm`."""
    n = check_count(n)
    columns, rules = fitted.trial_schema.columns, fitted.constraints
    parts = [(where or {}, n)]
    if balance is not None:
        parts = [
            ({**(where or {}), **rule}, count)
            for rule, count in balanced_counts(columns, balance, n)
        ]
    codes = np.concatenate(
        [
            sample_codes(fitted.covariate_model, count, rng, parameters, rule, rules)
            for rule, count in parts
            if count > 0
        ]
    )
    if balance is not None:
        codes = codes[rng.permutation(len(codes))]
    return shifted(codes, columns, shift)


def as_table(
    fitted: Parts,
    codes: np.ndarray,
    arm: np.ndarray,
    rng: np.random.Generator,
    parameters: Any,
    names: tuple[Any, ...] | None = None,
) -> pd.DataFrame:
    """Patients with baseline ``codes`` (n, n_columns) in ``arm`` (n,), given their outcomes.

    Args:
        parameters: of the outcome model. names: of the arms, where not the trial's own.
    """
    schema = fitted.trial_schema
    outcome = fitted.outcome_model.sample(codes, arm, rng, parameters)
    table = decode(codes, schema.columns)
    types = {column.name: column for column in fitted.types}
    if schema.id is not None:
        number = np.arange(1, len(codes) + 1)
        numeric = schema.id in types and is_numeric_dtype(types[schema.id].dtype)
        table[schema.id] = number if numeric else [f"S{k:06d}" for k in number]
    if schema.arm is not None:
        names = names or schema.arms
        labels = np.empty(len(names), dtype=object)
        labels[:] = names
        table[schema.arm] = pd.Series(labels[arm]).infer_objects()
    rows = outcome.pop("row", None)
    if rows is not None:
        table = table.iloc[rows].reset_index(drop=True)
    for name, values in outcome.items():
        table[name] = np.asarray(values)
    for name, column in types.items():
        if name != schema.arm or set(table[name]) <= set(column.levels or table[name]):
            table[name] = as_dtype(table[name], column)
    return table[list(fitted.columns)]
