"""Endpoints of any kind as arrays, with the curve, the contrast and the scale each kind has.

:class:`Outcome` holds one endpoint of one trial, one entry a patient in the order of
``trial.baseline``. :func:`curves` gives its outcome curves and :func:`effects` its contrasts, so
that the rest of the audit need not know the kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from trial_sim.auditing.compared import curves as weighted
from trial_sim.auditing.compared.curves import Curve
from trial_sim.auditing.compared.tables import as_text
from trial_sim.data.trial import (
    Binary,
    CompetingRisks,
    Count,
    Endpoint,
    Longitudinal,
    Ordinal,
    Recurrent,
    TimeToEvent,
    Trial,
)
from trial_sim.outcomes.effects import arrays_of, effects_of, numbers_of
from trial_sim.statistics.arm_differences import Contrast

GRID = 120


@dataclass(frozen=True, eq=False)
class Outcome:
    """One endpoint as arrays.

    Args:
        name: the endpoint's name.
        endpoint: its record.
        arm: (n,) arm as text, empty for a cohort.
        data: (n, ...) arrays by role: ``duration``, ``event``, ``cause``, ``value``, ``values``,
            ``baseline``, ``exposure``, ``events``, ``entry`` (delayed).
        intervals: for recurrent events the rows at risk: ``patient``, ``start``, ``stop``,
            ``event``, each (m,).
    """

    name: str
    endpoint: Endpoint
    arm: np.ndarray
    data: dict[str, np.ndarray]
    intervals: dict[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.arm)

    def rows(self, keep: np.ndarray) -> Outcome:
        """The patients of an index or mask (an index may repeat patients)."""
        index = np.flatnonzero(keep) if keep.dtype == bool else keep
        data = {key: value[index] for key, value in self.data.items()}
        if self.intervals is None:
            return replace(self, arm=self.arm[index], data=data)
        spans = self.intervals
        order = np.argsort(spans["patient"], kind="stable")
        first = np.searchsorted(spans["patient"][order], index, side="left")
        last = np.searchsorted(spans["patient"][order], index, side="right")
        lengths = last - first
        patient = np.repeat(np.arange(len(index)), lengths)
        offset = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        taken = order[np.repeat(first, lengths) + offset]
        moved = {key: value[taken] for key, value in spans.items()} | {"patient": patient}
        return replace(self, arm=self.arm[index], data=data, intervals=moved)


def joined(one: Outcome, two: Outcome) -> Outcome:
    """The patients of one outcome, then those of another of the same endpoint."""
    data = {key: np.concatenate([values, two.data[key]]) for key, values in one.data.items()}
    spans = None
    if one.intervals is not None and two.intervals is not None:
        moved = {**two.intervals, "patient": two.intervals["patient"] + len(one)}
        spans = {key: np.concatenate([v, moved[key]]) for key, v in one.intervals.items()}
    return replace(one, arm=np.concatenate([one.arm, two.arm]), data=data, intervals=spans)


def read_outcome(trial: Trial, name: str, levels: tuple[object, ...] | None = None) -> Outcome:
    """One endpoint of a trial as arrays.

    Args:
        trial: a checked trial.
        name: of the endpoint.
        levels: order of an ordinal endpoint's levels, from the real trial.
    """
    endpoint, table = trial.endpoint(name), trial.patients
    intervals = None
    if isinstance(endpoint, Recurrent):
        ids = table[trial.id]
        codes, _ = pd.factorize(ids)  # numbered in order of appearance, as trial.baseline is
        spans = {
            "patient": codes.astype(np.int64),
            "start": numbers_of(table, endpoint.start),
            "stop": numbers_of(table, endpoint.stop),
            "event": numbers_of(table, endpoint.event) > 0,
        }
        n = int(codes.max()) + 1
        data = {
            "events": np.bincount(codes, weights=spans["event"], minlength=n),
            "exposure": np.bincount(codes, weights=spans["stop"] - spans["start"], minlength=n),
        }
        intervals = spans
        table = table.drop_duplicates(trial.id)
    else:
        if trial.is_long:
            table = table.drop_duplicates(trial.id)
        data = _wide(endpoint, table, levels)
    arm = np.array(as_text(table[trial.arm]) if trial.arm else [""] * len(table), dtype=object)
    return Outcome(name, endpoint, arm, data, intervals)


def _wide(
    endpoint: Endpoint, table: pd.DataFrame, levels: tuple[object, ...] | None
) -> dict[str, np.ndarray]:
    """Arrays of an endpoint that has one row a patient."""
    if isinstance(endpoint, Ordinal):
        order = as_text(pd.Series(list(levels or endpoint.ordered_levels(table)), dtype=object))
        lookup = {level: float(k) for k, level in enumerate(order)}
        texts = as_text(table[endpoint.column])
        return {"value": np.array([lookup.get(v, np.nan) for v in texts])}
    return arrays_of(endpoint, table)


class OutcomeCurve(NamedTuple):
    """A curve of an outcome: what it shows, where it is read, and how it is drawn."""

    label: str  # what the curve shows
    grid: np.ndarray  # (g,) where it is read
    draw: Callable[[Outcome], Curve]  # outcome -> function of weights
    step: bool  # drawn as steps
    axis: str  # what the grid is
    scale: float  # divides the gap when it is shown as an effect size


def is_survival(endpoint: Endpoint) -> bool:
    """Whether the outcome is a time that may be censored."""
    return isinstance(endpoint, (TimeToEvent, CompetingRisks))


def horizon(*outcomes: Outcome) -> float:
    """The time up to which at least 5 % of the patients of every outcome are followed."""
    ends = []
    for outcome in outcomes:
        if outcome.intervals is not None:
            n = len(outcome)
            last = np.zeros(n)
            np.maximum.at(last, outcome.intervals["patient"], outcome.intervals["stop"])
        else:
            last = outcome.data["duration"]
        ends.append(float(np.quantile(last, 0.95)) if len(last) else 0.0)
    return min(ends)


def _incidence(cause: int, grid: np.ndarray) -> Callable[[Outcome], Curve]:
    """Cumulative incidence of one cause on a grid."""
    return lambda o: (
        lambda w: weighted.cumulative_incidence(
            o.data["duration"], o.data["cause"], cause, grid, w, o.data.get("entry")
        )
    )


def _survival(grid: np.ndarray) -> Callable[[Outcome], Curve]:
    """Survival on a grid."""
    return lambda o: (
        lambda w: weighted.survival(
            o.data["duration"], o.data["event"], grid, w, o.data.get("entry")
        )
    )


def curves(real: Outcome, synthetic: Outcome) -> list[OutcomeCurve]:
    """The curves by which two samples of an endpoint are compared, on a grid both cover."""
    endpoint = real.endpoint
    if isinstance(endpoint, TimeToEvent):
        grid = np.linspace(0, horizon(real, synthetic), GRID)
        return [
            OutcomeCurve(
                "survival",
                grid,
                _survival(grid),
                True,
                "time",
                1.0,
            )
        ]
    if isinstance(endpoint, CompetingRisks):
        grid = np.linspace(0, horizon(real, synthetic), GRID)
        causes = sorted(set(real.data["cause"].tolist()) - {0})
        return [
            OutcomeCurve(
                f"cumulative incidence of {endpoint.labels.get(str(cause), f'cause {cause}')}",
                grid,
                _incidence(cause, grid),
                True,
                "time",
                1.0,
            )
            for cause in causes
        ]
    if isinstance(endpoint, Recurrent):
        grid = np.linspace(0, horizon(real, synthetic), GRID)

        def mean_count(o: Outcome) -> Curve:
            spans = o.intervals
            assert spans is not None  # set by read_outcome for recurrent endpoints
            return lambda w: weighted.mean_cumulative_count(
                spans["patient"], spans["start"], spans["stop"], spans["event"], grid, w
            )

        return [OutcomeCurve("mean number of events", grid, mean_count, True, "time", 1.0)]
    if isinstance(endpoint, Longitudinal):
        visits = np.arange(real.data["values"].shape[1], dtype=float)
        spread = float(np.nanstd(real.data["values"])) or 1.0
        return [
            OutcomeCurve(
                "mean by visit",
                visits,
                lambda o: lambda w: weighted.visit_means(o.data["values"], w),
                False,
                "visit",
                spread,
            ),
            OutcomeCurve(
                "share observed by visit",
                visits,
                lambda o: (
                    lambda w: weighted.visit_means(np.isfinite(o.data["values"]).astype(float), w)
                ),
                False,
                "visit",
                1.0,
            ),
        ]
    values = real.data["value"]
    seen = np.unique(values[np.isfinite(values)])
    if isinstance(endpoint, Binary):
        seen = np.array([0.0])  # P(value <= 0): one point tells all
    elif len(seen) > GRID:
        seen = np.quantile(seen, np.linspace(0, 1, GRID))
    label = "share without the response" if isinstance(endpoint, Binary) else "distribution"
    return [
        OutcomeCurve(
            label,
            seen,
            lambda o: lambda w: weighted.distribution(o.data["value"], seen, w),
            True,
            "value",
            1.0,
        )
    ]


def effects(outcome: Outcome, control: str, treated: str) -> dict[str, Contrast]:
    """Contrasts of two arms on the natural scale of the endpoint, by name of the scale."""
    pair = (outcome.arm == control) | (outcome.arm == treated)
    part = outcome.rows(pair)
    return effects_of(part.endpoint, part.data, part.arm == treated)


def response(outcome: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """What a prediction model is trained on: (n,) response and (n,) weight (0 where missing).

    A rate for recurrent events and counts, the mean over visits for longitudinal outcomes; not for
    times to event, which need their censoring.
    """
    data = outcome.data
    if isinstance(outcome.endpoint, Recurrent):
        exposure = data["exposure"]
        return data["events"] / np.maximum(exposure, 1e-12), exposure
    if isinstance(outcome.endpoint, Count):
        value, exposure = data["value"], data["exposure"]
        seen = np.isfinite(value) & (exposure > 0)
        return np.where(seen, value / np.where(seen, exposure, 1), 0.0), np.where(
            seen, exposure, 0.0
        )
    if isinstance(outcome.endpoint, Longitudinal):
        seen = np.isfinite(data["values"])
        count = seen.sum(axis=1)
        total = np.where(seen, data["values"], 0).sum(axis=1)
        return total / np.maximum(count, 1), (count > 0).astype(float)
    value = data["value"]
    return np.where(np.isfinite(value), value, 0.0), np.isfinite(value).astype(float)
