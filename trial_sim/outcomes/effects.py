"""Estimates the effect between two arms of a trial, by one standard estimator a kind of endpoint.

Unadjusted, except for the baseline of a continuous or longitudinal endpoint (ANCOVA). Positive
means more of the outcome in the treated arm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from trial_sim.data.endpoints import (
    Binary,
    CompetingRisks,
    Continuous,
    Count,
    Endpoint,
    Longitudinal,
    Ordinal,
    Recurrent,
    TimeToEvent,
)
from trial_sim.statistics import arm_differences as c

NAMES = {
    "time_to_event": "log hazard ratio",
    "competing_risks": "log cause-specific hazard ratio",
    "recurrent": "log rate ratio",
    "binary": "log odds ratio",
    "ordinal": "log cumulative odds ratio",
    "continuous": "difference of means",
    "count": "log rate ratio",
    "longitudinal": "effect averaged over visits",
}


def contrast(
    patients: pd.DataFrame, endpoint: Endpoint, arm: str, control: Any, treatment: Any
) -> tuple[float, float]:
    """Estimate and standard error of ``treatment`` against ``control`` (NaN if there is none)."""
    table = patients[patients[arm].isin([control, treatment])]
    if isinstance(endpoint, Recurrent):
        by = table.groupby(endpoint.id, sort=False)
        treated = (by[arm].first() == treatment).to_numpy()
        exposure = (table[endpoint.stop] - table[endpoint.start]).groupby(table[endpoint.id])
        time = exposure.sum().reindex(by.first().index).to_numpy(dtype=float)
        return c.log_rate_ratio(by[endpoint.event].sum().to_numpy(dtype=float), time, treated)
    treated = (table[arm] == treatment).to_numpy()

    def column(name: str) -> np.ndarray:
        return pd.to_numeric(table[name]).to_numpy(dtype=float)

    if isinstance(endpoint, TimeToEvent | CompetingRisks):
        entry = column(endpoint.entry) if endpoint.entry else None
        seen = column(endpoint.columns[1]) == 1
        return c.log_hazard_ratio(column(endpoint.duration), seen, treated, entry)
    if isinstance(endpoint, Ordinal):
        levels = list(endpoint.ordered_levels(patients))
        codes = pd.Categorical(table[endpoint.column], categories=levels).codes.astype(float)
        known = codes >= 0
        return c.log_cumulative_odds_ratio(codes[known], treated[known])
    if isinstance(endpoint, Continuous):
        base = column(endpoint.baseline) if endpoint.baseline else None
        return c.mean_difference(column(endpoint.column), treated, base)
    if isinstance(endpoint, Binary):
        y = column(endpoint.column)
        seen = ~np.isnan(y)
        return c.log_odds_ratio(y[seen], np.ones(seen.sum()), treated[seen])
    if isinstance(endpoint, Count):
        y = column(endpoint.column)
        time = column(endpoint.exposure) if endpoint.exposure else np.ones(len(y))
        seen = ~np.isnan(y)
        return c.log_rate_ratio(y[seen], time[seen], treated[seen])
    assert isinstance(endpoint, Longitudinal)
    visits = np.column_stack([column(v) for v in endpoint.columns])
    seen_visits = (~np.isnan(visits)).sum(axis=1).astype(float)
    total = np.nansum(visits, axis=1)
    any_seen = seen_visits > 0
    if endpoint.family == "binomial":
        return c.log_odds_ratio(total[any_seen], seen_visits[any_seen], treated[any_seen])
    if endpoint.family == "poisson":
        return c.log_rate_ratio(total[any_seen], seen_visits[any_seen], treated[any_seen])
    base = column(endpoint.baseline) if endpoint.baseline else None
    mean = np.where(any_seen, total / np.maximum(seen_visits, 1), np.nan)
    return c.mean_difference(mean, treated, base)
