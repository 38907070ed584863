"""Fitting several endpoints together: each part alone, their common end, their correlation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.data.endpoints import CompetingRisks, Endpoint, Longitudinal, TimeToEvent
from trial_sim.outcomes import registry
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.hazard_grid import EACH, resolution_of
from trial_sim.outcomes.joint.correlation import corrected, driver_ranges, latent_correlation
from trial_sim.outcomes.joint.model import JointModel, apart
from trial_sim.outcomes.joint.record import Joint, numbers, without_deaths
from trial_sim.outcomes.times import multistate
from trial_sim.outcomes.times.cause_hazards import HazardModel
from trial_sim.outcomes.times.follow_up import FollowUp
from trial_sim.outcomes.times.multistate import MultistateModel, ProgressionAndDeath, at_once

SAME = 0.95  # share of patients censored twice whose two times agree, if the end is one


def fit(
    data: FitData, models: str | Mapping[str, str], seed: int
) -> tuple[JointModel, pd.DataFrame]:
    """Fit every part, then the correlation of their drivers.

    Args:
        models: "auto", or the model of some of the endpoints that are no times.

    Raises:
        ValueError: an unknown endpoint or model; see the parts.
    """
    record = data.endpoint
    assert isinstance(record, Joint)
    chosen = {} if isinstance(models, str) else dict(models)
    if isinstance(models, str) and models != "auto":
        raise ValueError(
            f"several endpoints take model='auto' or a mapping from endpoints to models, received "
            f"{models!r}"
        )
    free = [n[0] for n, part in zip(record.names, record.parts) if not _is_time(part)]
    for name in chosen:
        if name not in free:
            raise ValueError(
                f"model names {name!r}: among several endpoints only those that are not times "
                f"take a model{nearest(name, free)}"
            )
    fitted: list[Any] = []
    selections: list[pd.DataFrame] = []
    for k, (part, names) in enumerate(zip(record.parts, record.names)):
        one = replace(data, endpoint=part)
        if isinstance(part, ProgressionAndDeath):
            fitted.append(multistate.fit(one, "illness_death"))
        elif isinstance(part, TimeToEvent | CompetingRisks):
            if record.fatal[k]:
                one = replace(one, patients=without_deaths(data.patients, record, k))
            causes = isinstance(part, CompetingRisks)
            name = "cause_specific_by_arm" if causes else "cox_by_arm"
            fitted.append(HazardModel.fit(one, name, proportional=False))
        else:
            name = chosen.get(names[0], "auto")
            registry.check(part, name)
            model, table = registry.choose(one, name, seed)
            fitted.append(model)
            selections.append(table.assign(endpoint=names[0]))
    shared, follow_up = common_end(data, record, fitted)
    gaps = tuple(_has_gaps(model) for model in fitted)
    notes = tuple(dict.fromkeys(n for model in fitted for n in model.notes))
    if any(isinstance(part, Longitudinal) for part in record.parts) and follow_up is not None:
        notes += ("visits have no times: they are not ended by events of other endpoints",)
    model = JointModel(
        "joint",
        record,
        tuple(fitted),
        shared,
        follow_up,
        gaps,
        np.eye(1),
        len(data.codes),
        data.reference,
        notes,
    )
    low, high = driver_ranges(model, data)
    blocks = model.blocks()
    rng = np.random.Generator(np.random.Philox(61))
    found = latent_correlation(low, high, blocks, rng)
    model = replace(model, correlation=apart(found, blocks))
    selection = pd.concat(selections, ignore_index=True) if selections else pd.DataFrame()
    return corrected(model, data), selection


def _is_time(part: Endpoint) -> bool:
    return isinstance(part, ProgressionAndDeath | TimeToEvent | CompetingRisks)


def _has_gaps(model: Any) -> bool:
    counts = getattr(model, "gaps", None)
    return counts is not None and bool(counts[:, 0].any())


def common_end(
    data: FitData, record: Joint, models: Sequence[Any]
) -> tuple[tuple[bool, ...], FollowUp | None]:
    """Which parts end at one time, and the model of that end.

    Two times end together if they agree in nearly all patients in whom both are censored.
    """
    table = data.patients
    ends: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for k, part in enumerate(record.parts):
        if isinstance(part, ProgressionAndDeath):
            ends[k] = numbers(table, part.death)
        elif isinstance(part, TimeToEvent):
            ends[k] = numbers(table, part)
        elif isinstance(part, CompetingRisks):
            time, cause = (table[c].to_numpy(dtype=float) for c in part.columns)
            ends[k] = time, cause > 0
    shared = [False] * len(record.parts)
    if not ends:
        return tuple(shared), None
    lead = next((e for e in record.ended if e >= 0), min(ends))
    time, seen = ends[lead]
    for k, (t, s) in ends.items():
        both = ~seen & ~s
        shared[k] = k == lead or bool(both.sum() < 3 or at_once(time, t)[both].mean() >= SAME)
    if isinstance(models[lead], MultistateModel | HazardModel) and sum(shared) == 1:
        return tuple(shared), models[lead].follow_up
    # an end is known where a time is censored, else it is later than all events
    last, known = np.zeros(len(table)), np.zeros(len(table), dtype=bool)
    for k, (t, s) in ends.items():
        if shared[k] and (k == lead or record.ended[k] != lead):
            last, known = np.maximum(last, t), known | ~s
    unit = resolution_of(last)
    gone = data.dropped_out(known)
    each = EACH * data.n_arms
    return tuple(shared), FollowUp.fit(data, last, ~known, gone, unit, each, covariates=False)
