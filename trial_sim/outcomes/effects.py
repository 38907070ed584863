"""Estimates the effect between two arms of a trial, by one standard estimator a kind of endpoint.

Unadjusted, except for the baseline of a continuous or longitudinal endpoint (ANCOVA). Positive
means more of the outcome in the treated arm.
"""

from __future__ import annotations

import numbers
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
from trial_sim.statistics.arm_differences import Contrast


def no_effect(endpoint: Any) -> float:
    """The effect that is none: 0 where effects are differences of means, 1 where ratios.

    >>> no_effect(Continuous("score")), no_effect(Count("falls"))
    (0.0, 1.0)
    """
    means = endpoint.kind == "continuous" or getattr(endpoint, "family", "") == "gaussian"
    return 0.0 if means else 1.0


def checked_effect(endpoint: Any, effect: Any, name: str) -> float:
    """The effect as a number that a model of the endpoint can take.

    Raises:
        ValueError: it is no finite number, or a ratio that is not above 0.
    """
    ratio = no_effect(endpoint) == 1.0
    what = "a ratio (of hazards, odds or rates), a number above 0" if ratio else "a finite number"
    numeric = isinstance(effect, numbers.Real) and not isinstance(effect, bool | np.bool_)
    if not numeric or not np.isfinite(float(effect)) or (ratio and float(effect) <= 0):
        raise ValueError(f"the effect on {name!r} must be {what}, got {effect!r}")
    return float(effect)


def contrast(
    patients: pd.DataFrame, endpoint: Endpoint, arm: str, control: Any, treatment: Any
) -> tuple[float, float]:
    """Estimate and standard error of ``treatment`` against ``control`` (NaN if there is none).

    That of cause 1 for competing risks, and of all visits together for longitudinal outcomes.
    """
    table = patients[patients[arm].isin([control, treatment])]
    if isinstance(endpoint, Recurrent):
        by = table.groupby(endpoint.id, sort=False)
        treated = (by[arm].first() == treatment).to_numpy()
        exposure = (table[endpoint.stop] - table[endpoint.start]).groupby(table[endpoint.id])
        data = {
            "events": by[endpoint.event].sum().to_numpy(dtype=float),
            "exposure": exposure.sum().reindex(by.first().index).to_numpy(dtype=float),
        }
        return effects_of(endpoint, data, treated)["log rate ratio"]
    treated = (table[arm] == treatment).to_numpy()
    if isinstance(endpoint, Ordinal):
        levels = list(endpoint.ordered_levels(patients))
        codes = pd.Categorical(table[endpoint.column], categories=levels).codes.astype(float)
        data = {"value": np.where(codes >= 0, codes, np.nan)}
    else:
        data = arrays_of(endpoint, table)
    if isinstance(endpoint, CompetingRisks):
        return _of_cause(data, 1, treated)
    return list(effects_of(endpoint, data, treated).values())[-1]


def numbers_of(table: pd.DataFrame, column: str) -> np.ndarray:
    """A column as float64 (n,), NaN where it is missing."""
    return pd.to_numeric(table[column]).to_numpy(dtype=float, na_value=np.nan)


def arrays_of(endpoint: Endpoint, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Outcomes of an endpoint that has one row a patient, by role; ordinal ones excepted.

    Returns:
        (n,) arrays ``duration``, ``event``, ``cause``, ``entry``, ``value``, ``baseline`` and
        ``exposure``, and ``values`` (n, visits), as far as the kind of endpoint has them.

    Raises:
        TypeError: for another kind of endpoint.
    """
    if isinstance(endpoint, TimeToEvent | CompetingRisks):
        data = {"duration": numbers_of(table, endpoint.duration)}
        if isinstance(endpoint, TimeToEvent):
            data["event"] = numbers_of(table, endpoint.event) > 0
        else:
            data["cause"] = numbers_of(table, endpoint.cause).astype(int)
        if endpoint.entry is not None:
            data["entry"] = numbers_of(table, endpoint.entry)
        return data
    if isinstance(endpoint, Longitudinal):
        data = {"values": np.column_stack([numbers_of(table, c) for c in endpoint.columns])}
    elif isinstance(endpoint, Binary | Continuous | Count):
        data = {"value": numbers_of(table, endpoint.column)}
    else:
        raise TypeError(f"no arrays for endpoints of kind {type(endpoint).__name__}")
    baseline = getattr(endpoint, "baseline", None)
    if baseline is not None:
        data["baseline"] = numbers_of(table, baseline)
    if isinstance(endpoint, Count):
        data["exposure"] = (
            numbers_of(table, endpoint.exposure) if endpoint.exposure else np.ones(len(table))
        )
    return data


def _of_cause(data: dict[str, np.ndarray], cause: int, treated: np.ndarray) -> Contrast:
    """Log cause-specific hazard ratio."""
    return c.log_hazard_ratio(data["duration"], data["cause"] == cause, treated, data.get("entry"))


def effects_of(
    endpoint: Endpoint, data: dict[str, np.ndarray], treated: np.ndarray
) -> dict[str, Contrast]:
    """The effects of one outcome for a split into treated and control, by name of the scale.

    Args:
        data: arrays by role, as of :func:`arrays_of`; recurrent events have ``events`` and
            ``exposure`` a patient, ordinal outcomes the place of each level in ``value``.
        treated: (n,) boolean.
    """
    if isinstance(endpoint, TimeToEvent):
        fit = c.log_hazard_ratio(data["duration"], data["event"], treated, data.get("entry"))
        return {"log hazard ratio": fit}
    if isinstance(endpoint, CompetingRisks):
        return {
            "cause-specific log hazard ratio of "
            f"{endpoint.labels.get(str(cause), f'cause {cause}')}": _of_cause(data, cause, treated)
            for cause in sorted(set(data["cause"].tolist()) - {0})
        }
    if isinstance(endpoint, Recurrent):
        return {"log rate ratio": c.log_rate_ratio(data["events"], data["exposure"], treated)}
    if isinstance(endpoint, Longitudinal):
        return _longitudinal_effects(endpoint, data, treated)
    value = data["value"]
    seen = np.isfinite(value)
    if isinstance(endpoint, Binary):
        fit = c.log_odds_ratio(value[seen], np.ones(seen.sum()), treated[seen])
        return {"log odds ratio": fit}
    if isinstance(endpoint, Ordinal):
        fit = c.log_cumulative_odds_ratio(value[seen], treated[seen])
        return {"log cumulative odds ratio": fit}
    if isinstance(endpoint, Count):
        fit = c.log_rate_ratio(value[seen], data["exposure"][seen], treated[seen])
        return {"log rate ratio": fit}
    return {"mean difference": c.mean_difference(value, treated, data.get("baseline"))}


def _longitudinal_effects(
    endpoint: Longitudinal, data: dict[str, np.ndarray], treated: np.ndarray
) -> dict[str, Contrast]:
    """Effects of repeated visits; the last of them is of all visits together."""
    values = data["values"]
    seen = np.isfinite(values)
    count, total = seen.sum(axis=1).astype(float), np.where(seen, values, 0).sum(axis=1)
    some = count > 0
    if endpoint.family == "binomial":
        fit = c.log_odds_ratio(total[some], count[some], treated[some])
        return {"log odds ratio over visits": fit}
    if endpoint.family == "poisson":
        fit = c.log_rate_ratio(total[some], count[some], treated[some])
        return {"log rate ratio over visits": fit}
    baseline = data.get("baseline")
    mean = np.where(some, total / np.maximum(count, 1), np.nan)
    return {
        "mean difference at the last visit": c.mean_difference(values[:, -1], treated, baseline),
        "mean difference over visits": c.mean_difference(mean, treated, baseline),
    }
