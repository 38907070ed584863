"""Correlation of the normals behind several endpoints, from the outcomes of real patients.

A known outcome says where its normal lies, a censored time or a category between which values (data
augmentation; Albert and Chib 1993, Hoff 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from trial_sim.covariates.copula import nearest_correlation
from trial_sim.data.endpoints import Endpoint, Longitudinal, Ordinal
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.hazard_grid import midpoints
from trial_sim.outcomes.joint.model import JointModel, apart, respond
from trial_sim.outcomes.joint.record import Joint, without_deaths
from trial_sim.outcomes.times import multistate
from trial_sim.outcomes.times.cause_hazards import HazardModel
from trial_sim.outcomes.times.multistate import MultistateModel, ProgressionAndDeath

SWEEPS, SETTLING = 160, 40  # of the data augmentation
STEPS = 100  # levels of the uniform at which a response is looked up
PROBE, PROBES = 20_000, 3  # patients and rounds of the last correction of the correlations


def driver_ranges(model: JointModel, data: FitData) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits, (n, d) each, of the drivers of the real patients."""
    low, high = [], []
    for k, one in enumerate(model.models):
        table = data.patients
        if model.record.fatal[k]:
            table = without_deaths(table, model.record, k)
        for a, b in _ranges(one, model.record.parts[k], table, data, one.draw(None)):
            low.append(a)
            high.append(b)
        if model.gaps[k]:
            missing = np.isnan(_coded(one, model.record.parts[k], table))
            rate = np.clip(one.gaps[:, 0] / one.gaps[:, 1], 1e-9, 1 - 1e-9)
            cut = ndtri(rate)[data.arm]
            low.append(np.where(missing, -np.inf, cut))
            high.append(np.where(missing, cut, np.inf))
    return np.column_stack(low), np.column_stack(high)


def _coded(model: Any, part: Endpoint, table: pd.DataFrame) -> np.ndarray:
    """A response as numbers (n,), NaN where missing."""
    if isinstance(part, Ordinal):
        at = pd.Categorical(table[part.column], categories=list(model.levels)).codes
        return np.where(at < 0, np.nan, at.astype(float))
    return pd.to_numeric(table[part.columns[0]]).to_numpy(dtype=float)


def _ranges(model: Any, part: Endpoint, table: pd.DataFrame, data: FitData, p: Any):
    """(low, high), (n,) both, of each driver of a part."""
    n, free = len(data.codes), (np.full(len(data.codes), -np.inf), np.full(len(data.codes), np.inf))
    if isinstance(model, HazardModel):
        time, cause = (table[c].to_numpy(dtype=float) for c in model.columns)
        yield from _hazard_ranges(model, data.codes, data.arm, time, cause, p)
    elif isinstance(model, MultistateModel):
        assert isinstance(part, ProgressionAndDeath)
        one = multistate.stage_one(table, part)
        found = list(
            _hazard_ranges(
                model.first, data.codes, data.arm, one["time"].to_numpy(),
                one["cause"].to_numpy(dtype=float), p.first,
            )
        )  # fmt: skip
        yield from [*found, free][:2] if len(found) == 1 else found
        ill, codes, gap, dead = multistate.stage_two(table, part, data.codes)
        low, high = free[0].copy(), free[1].copy()
        for a, b in _hazard_ranges(model.second, codes, data.arm[ill], gap, dead, p.second):
            low[ill], high[ill] = a, b
        yield low, high
    elif hasattr(model, "complete"):
        y = table[list(model.columns)].to_numpy(dtype=float)
        scores = model.scores(y, data.codes, data.arm, p)
        for k in range(y.shape[1]):
            seen = ~np.isnan(y[:, k])
            yield np.where(seen, scores[:, k], -np.inf), np.where(seen, scores[:, k], np.inf)
    else:
        y = _coded(model, part, table)
        below, upto = np.zeros(n), np.zeros(n)
        slack = 1e-9 * max(float(np.nanmax(np.abs(y))), 1e-300)
        for u in (np.arange(STEPS) + 0.5) / STEPS:
            made = respond(model, data.codes, data.arm, np.full(n, u), p)
            below += made < y - slack
            upto += made <= y + slack
        thin = upto - below < 1
        low = np.clip((below - 0.5 * thin) / STEPS, 0, 1)
        high = np.clip((upto + 0.5 * thin) / STEPS, 0, 1)
        gone = np.isnan(y)
        yield np.where(gone, -np.inf, ndtri(low)), np.where(gone, np.inf, ndtri(high))


def _hazard_ranges(model, codes, arm, time, cause, p):
    """Limits of the driver of each cause: where it was the event its value, else that or more."""
    spent = model.spent(codes, arm, midpoints(time, model.unit), p)
    at = -ndtri(np.clip(np.exp(-spent), 1e-9, 1 - 1e-9))
    for c in range(spent.shape[1]):
        yield at[:, c], np.where(cause == c + 1, at[:, c], np.inf)


def latent_correlation(
    low: np.ndarray, high: np.ndarray, blocks: Sequence[slice], rng: np.random.Generator
) -> np.ndarray:
    """Correlation (d, d) of normals known to lie between ``low`` and ``high`` (n, d).

    Each sweep draws every column given the others, within its range, and takes the correlation of
    what was drawn; the answer is the mean over sweeps. Drivers of one part are held independent,
    as its model has them: of some pairs no patient tells.
    """
    n, d = low.shape
    within = np.zeros((d, d), dtype=bool)
    for block in blocks:
        within[block, block] = True
    np.fill_diagonal(within, False)
    first, last = ndtr(low), ndtr(high)
    z = ndtri(np.clip((first + last) / 2, 1e-9, 1 - 1e-9))
    total, current = np.zeros((d, d)), np.eye(d)
    for sweep in range(SWEEPS):
        precision = np.linalg.inv(current)
        for j in range(d):
            sd = precision[j, j] ** -0.5
            mean = z[:, j] - (z @ precision[:, j]) * sd**2
            a, b = (low[:, j] - mean) / sd, (high[:, j] - mean) / sd
            flip = a > 0  # upper tails by their mirror image, where digits are left
            a, b = np.where(flip, -b, a), np.where(flip, -a, b)
            u = ndtr(a) + rng.random(n) * (ndtr(b) - ndtr(a))
            x = ndtri(np.clip(u, 1e-300, 1 - 1e-16))
            z[:, j] = np.clip(mean + sd * np.where(flip, -x, x), low[:, j], high[:, j])
        raw = z.T @ z / n
        scale = np.sqrt(np.diag(raw))
        found = np.where(within, 0.0, raw / np.outer(scale, scale))
        current = nearest_correlation(found, floor=1e-3)
        if sweep >= SETTLING:
            total += current
    return nearest_correlation(total, floor=1e-3)


def corrected(model: JointModel, data: FitData) -> JointModel:
    """With correlations between parts scaled until a big synthetic trial has the rank correlations
    of the real endpoints (a few rounds; never beyond twice what was found)."""
    record, blocks = model.record, model.blocks()
    wanted = rank_correlations(record, data.patients, data.arm)
    rng = np.random.Generator(np.random.Philox(62))
    arm = rng.choice(data.arm, PROBE)
    codes = data.reference[rng.integers(0, len(data.reference), PROBE)]
    # of illness and death the drivers of the first time, and that of death after it
    owner = np.concatenate(
        [
            np.array([0, 0, 1]) + at
            if isinstance(one, MultistateModel)
            else np.full(block.stop - block.start, at)
            for one, block, at in zip(model.models, blocks, _first_columns(record))
        ]
    )
    factor, start = np.ones(wanted.shape), model.correlation
    other = np.ones(start.shape, dtype=bool)
    for block in blocks:
        other[block, block] = False
    for _ in range(PROBES):
        made = pd.DataFrame(
            model.sample(codes, arm, np.random.Generator(np.random.Philox(63)), model.draw(None))
        )
        found = rank_correlations(record, made, arm)
        clear = (np.abs(wanted) > 0.05) & (wanted * found > 0)
        factor = np.clip(factor * np.where(clear, wanted / np.where(clear, found, 1), 1), 0.5, 2)
        scaled = np.where(other, start * factor[np.ix_(owner, owner)], start)
        model = replace(model, correlation=apart(nearest_correlation(scaled, 1e-3), blocks))
    return model


def _first_columns(record: Joint) -> np.ndarray:
    """Place of each part's first column in `rank_correlations`."""
    sizes = [len(names) for names in record.names]
    return np.cumsum([0, *sizes[:-1]])


def rank_correlations(record: Joint, table: pd.DataFrame, arm: np.ndarray) -> np.ndarray:
    """Spearman's correlations (endpoints, endpoints) within arms, of times as they were observed
    and of responses; of visits their mean. Endpoints are in the order of the record's parts."""
    columns = []
    for part in record.parts:
        if isinstance(part, ProgressionAndDeath):
            columns.append(table[part.progression.duration].to_numpy(dtype=float))
            columns.append(table[part.death.duration].to_numpy(dtype=float))
        elif isinstance(part, Ordinal):
            levels = list(part.ordered_levels(table))
            at = pd.Categorical(table[part.column], categories=levels).codes.astype(float)
            columns.append(np.where(at < 0, np.nan, at))
        elif isinstance(part, Longitudinal):
            y = table[list(part.columns)]
            columns.append(y.mean(axis=1).to_numpy(dtype=float))
        else:
            columns.append(pd.to_numeric(table[part.columns[0]]).to_numpy(dtype=float))
    return within_arms(columns, arm)


def within_arms(columns: Sequence[np.ndarray], arm: np.ndarray) -> np.ndarray:
    """Spearman's correlations of columns (n,) with gaps, the mean over arms by their patients."""
    k = len(columns)
    out = np.eye(k)
    for i in range(k):
        for j in range(i):
            both = ~np.isnan(columns[i]) & ~np.isnan(columns[j])
            total, weight = 0.0, 0.0
            for a in np.unique(arm):
                rows = both & (arm == a)
                one, two = (rankdata(columns[c][rows]) for c in (i, j))
                if rows.sum() > 3 and np.ptp(one) > 0 and np.ptp(two) > 0:
                    total += rows.sum() * float(np.corrcoef(one, two)[0, 1])
                    weight += rows.sum()
            out[i, j] = out[j, i] = total / weight if weight else 0.0
    return out
