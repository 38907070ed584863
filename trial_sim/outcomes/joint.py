"""Several endpoints of the same patients: a model for each, joined by a Gaussian copula.

Each endpoint keeps its own model given covariates and arm, so that margins and effects are those of
a fit of it alone. What a model draws from (an exponential of a hazard, a uniform of a response, the
normals of visits) is a standard normal, its driver; drivers of different endpoints correlate. The
correlation comes from the real patients: a known outcome says where its driver lies, a censored
time or a category between which values (data augmentation; Albert and Chib 1993, Hoff 2007).

Progression and death have a model of their own (illness and death, see `times.multistate`), so that
nobody progresses after death; its three drivers join the copula. Another time that never exceeds
the time of death is ended by death. Times that end at one time in the real patients share their
end of follow-up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import log_ndtr, ndtr, ndtri
from scipy.stats import rankdata

from trial_sim.base.arguments import nearest
from trial_sim.base.storage import storable
from trial_sim.covariates.copula import nearest_correlation
from trial_sim.data.endpoints import (
    CompetingRisks,
    Endpoint,
    Longitudinal,
    Ordinal,
    Recurrent,
    TimeToEvent,
)
from trial_sim.outcomes import registry
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.gaps import with_gaps
from trial_sim.outcomes.hazard_grid import EACH, midpoints, recorded_up, resolution_of
from trial_sim.outcomes.responses.binary import BinaryModel
from trial_sim.outcomes.responses.continuous import ContinuousModel
from trial_sim.outcomes.responses.ordinal import OrdinalModel
from trial_sim.outcomes.times import multistate
from trial_sim.outcomes.times.cause_hazards import HazardModel
from trial_sim.outcomes.times.follow_up import FollowUp
from trial_sim.outcomes.times.multistate import IllnessDeath, MultistateModel, at_once

SWEEPS, SETTLING = 160, 40  # of the data augmentation
STEPS = 100  # levels of the uniform at which a response is looked up
SAME = 0.95  # share of patients censored twice whose two times agree, if the end is one
FEW_LATE = 0.02  # share of patients whose order of two times is taken for a mistake
FEWEST = 10  # events of a progression modelled with death
PROBE, PROBES = 20_000, 3  # patients and rounds of the last correction of the correlations
NONE = {"continuous": 0.0}  # effect that is none, if not 1


@storable
@dataclass(frozen=True)
class Joint(Endpoint):
    """Endpoints fitted together.

    Attributes:
        parts: the records, two of them as one `IllnessDeath`. names: of the endpoints of each.
        ended: for each part, the place of the part whose death ends it, or -1. fatal: whether
            that death is one of its own events.
    """

    parts: tuple[Endpoint, ...]
    names: tuple[tuple[str, ...], ...]
    ended: tuple[int, ...]
    fatal: tuple[bool, ...]
    kind: ClassVar[str] = "joint"

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(c for part in self.parts for c in part.columns)

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c for part in self.parts for c in part.inputs))

    def check(self, table: pd.DataFrame) -> None:
        for part in self.parts:
            part.check(table)


def joint_of(table: pd.DataFrame, records: Mapping[str, Endpoint]) -> Endpoint:
    """The record of several endpoints: `IllnessDeath` for progression and death, else `Joint`.

    Raises:
        ValueError: endpoints that share a column, are recurrent, have delayed entry, or three times
            in an order that no model keeps.
    """
    names = list(records)
    owner: dict[str, str] = {}
    for name, record in records.items():
        if isinstance(record, Recurrent):
            raise ValueError(
                f"endpoint {name!r} is recurrent: it has several rows a patient and is fitted alone"
            )
        if getattr(record, "entry", None) is not None:
            raise ValueError(
                f"endpoint {name!r} has delayed entry (column {record.entry!r}), which a joint "  # type: ignore[attr-defined]
                "fit does not take; fit the endpoints one by one"
            )
        for column in record.columns:
            if column in owner:
                raise ValueError(
                    f"endpoints {owner[column]!r} and {name!r} share column {column!r}: one of "
                    "them says nothing more"
                )
            owner[column] = name
    times = {n: r for n, r in records.items() if isinstance(r, TimeToEvent)}
    for a in times:
        for b in times:
            if a != b:
                _check_order(table, times[a], times[b])
    below = {b: [a for a in times if a != b and _within(table, times[a], times[b])] for b in times}
    death = max(below, key=lambda b: len(below[b])) if below else ""
    early = below.get(death, [])
    first = next((a for a in early if _own_events(table, times[a], times[death]) >= FEWEST), "")
    for c in early:
        if first and c != first and (first in below[c] or c in below[first]):
            raise ValueError(
                f"times of {first!r}, {c!r} and {death!r} follow one another in every patient; "
                "a joint fit keeps the order of two: leave one of them out"
            )
    parts: list[Endpoint] = []
    of: list[tuple[str, ...]] = []
    for name in names:
        if first and name == death:
            continue
        if first and name == first:
            both = _composite(table, times[first], times[death])
            parts.append(IllnessDeath(times[first], times[death], both))
            of.append((first, death))
        else:
            parts.append(records[name])
            of.append((name,))
    if len(parts) == 1:
        return parts[0]
    place = next((k for k, group in enumerate(of) if death in group), -1)
    ended = tuple(place if group[0] in early and len(group) == 1 else -1 for group in of)
    fatal = tuple(
        e >= 0 and _composite(table, times[group[0]], times[death]) for e, group in zip(ended, of)
    )
    return Joint(tuple(parts), tuple(of), ended, fatal)


def _numbers(table: pd.DataFrame, record: TimeToEvent) -> tuple[np.ndarray, np.ndarray]:
    time, event = (table[c].to_numpy(dtype=float) for c in record.columns)
    return time, event > 0


def _within(table: pd.DataFrame, one: TimeToEvent, two: TimeToEvent) -> bool:
    """Whether the first time never exceeds the second, and is not always it."""
    a, b = _numbers(table, one)[0], _numbers(table, two)[0]
    same = at_once(a, b)
    return bool(((a < b) | same).all() and not same.all())


def _check_order(table: pd.DataFrame, one: TimeToEvent, two: TimeToEvent) -> None:
    """Refuse times that are always one, and a few patients in whom the first exceeds the second if
    in no other it does.

    Raises:
        ValueError: names the columns, and the first such row.
    """
    a, b = _numbers(table, one)[0], _numbers(table, two)[0]
    if at_once(a, b).all():
        raise ValueError(
            f"columns {one.duration!r} and {two.duration!r} hold one time in every patient: leave "
            "one of the endpoints out"
        )
    late = (a > b) & ~at_once(a, b)
    if 0 < late.sum() <= FEW_LATE * len(table) and (a < b).any():
        row = int(np.argmax(late))
        raise ValueError(
            f"column {one.duration!r} must not exceed {two.duration!r}, as in the other patients; "
            f"row {row} holds {a[row]:g} and {b[row]:g}"
        )


def _composite(table: pd.DataFrame, one: TimeToEvent, death: TimeToEvent) -> bool:
    """Whether death is an event of the first endpoint, too (progression-free survival)."""
    (a, seen), (b, dead) = _numbers(table, one), _numbers(table, death)
    both = at_once(a, b) & dead
    return bool(both.any() and seen[both].mean() > 0.5)


def _own_events(table: pd.DataFrame, one: TimeToEvent, death: TimeToEvent) -> int:
    """Events of the first endpoint that are not deaths."""
    (a, seen), (b, dead) = _numbers(table, one), _numbers(table, death)
    if _composite(table, one, death):
        seen = seen & ~(at_once(a, b) & dead)
    return int(seen.sum())


class JointParameters(NamedTuple):
    """Parameters of each part, the root (d, d) of the drivers' correlation, the follow-up's."""

    parts: tuple[Any, ...]
    root: np.ndarray
    censoring: Any


@storable
@dataclass(frozen=True)
class JointModel:
    """Fitted parts and the correlation (d, d) of their drivers, from ``degrees`` patients.

    Attributes:
        shared: whether a part ends at the common end of follow-up. follow_up: that end, or None.
        gaps: whether a part has a driver more, of its missing values.
    """

    name: str
    record: Joint
    models: tuple[Any, ...]
    shared: tuple[bool, ...]
    follow_up: FollowUp | None
    gaps: tuple[bool, ...]
    correlation: np.ndarray
    degrees: int
    reference: np.ndarray
    notes: tuple[str, ...]

    @property
    def choice(self) -> dict[str, str]:
        """Model of each endpoint that is no time, as `fit` takes it."""
        return {
            names[0]: model.name
            for names, model in zip(self.record.names, self.models)
            if not isinstance(model, HazardModel | MultistateModel)
        }

    def blocks(self) -> list[slice]:
        """Places of each part's drivers."""
        out, at = [], 0
        for model, gaps in zip(self.models, self.gaps):
            size = n_drivers(model) + gaps
            out.append(slice(at, at + size))
            at += size
        return out

    def draw(self, rng: np.random.Generator | None) -> JointParameters:
        """Estimates, or one draw of every part and of the correlation."""
        parts = tuple(model.draw(rng) for model in self.models)
        correlation = self.correlation
        if rng is not None:
            z = rng.standard_normal((max(self.degrees, len(correlation) + 1), len(correlation)))
            z = z @ np.linalg.cholesky(correlation).T
            correlation = apart(np.atleast_2d(np.corrcoef(z.T)), self.blocks())
        censoring = None if self.follow_up is None else self.follow_up.draw(rng, self.reference)
        return JointParameters(parts, np.linalg.cholesky(correlation), censoring)

    def override(self, parameters: JointParameters, effects: Mapping[int, Any]) -> JointParameters:
        """Arm ``a`` has the effects ``effects[a]``, a mapping from endpoints, and keeps its fitted
        effect on those not named; 1 or 0 in its place: no effect on any."""
        parts = list(parameters.parts)
        for a, told in effects.items():
            if not isinstance(told, Mapping):
                if told not in (0, 1):
                    raise ValueError(
                        f"the fit has several endpoints: say of which {told!r} is the effect, as "
                        f"in {{{self.record.names[0][0]!r}: {told!r}}}"
                    )
                told = {n: None for names in self.record.names for n in names}
            known = [n for names in self.record.names for n in names]
            for name in told:
                if name not in known:
                    raise ValueError(f"no fitted endpoint {name!r}{nearest(name, known)}")
            for k, (names, model) in enumerate(zip(self.record.names, self.models)):
                mine = {n: told[n] for n in names if n in told}
                if not mine:
                    continue
                none = NONE.get(self.record.parts[k].kind, 1.0)
                if getattr(self.record.parts[k], "family", "") == "gaussian":
                    none = 0.0
                size = [none if v is None else float(v) for v in mine.values()]
                if isinstance(model, MultistateModel):
                    by_stage = dict(zip((names.index(n) for n in mine), size))
                    parts[k] = model.override_each(parts[k], a, by_stage)
                else:
                    parts[k] = model.override(parts[k], {a: size[0]})
        return parameters._replace(parts=tuple(parts))

    def latent(
        self, codes: np.ndarray, arm: np.ndarray, normal: np.ndarray, p: JointParameters
    ) -> list[Any]:
        """What each part makes of independent normals (n, d): times and causes, the times of
        progression and death, or responses without gaps."""
        z = normal @ p.root.T
        out: list[Any] = []
        for model, block, part in zip(self.models, self.blocks(), p.parts):
            mine = z[:, block][:, : n_drivers(model)]
            if isinstance(model, HazardModel):
                out.append(model.latent(codes, arm, -log_ndtr(-mine), part))
            elif isinstance(model, MultistateModel):
                out.append(model.histories(codes, arm, -log_ndtr(-mine), part))
            elif hasattr(model, "complete"):
                out.append(model.complete(codes, arm, mine, part))
            else:
                out.append(respond(model, codes, arm, ndtr(mine[:, 0]), part))
        return out

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """The columns of all endpoints."""
        normal = rng.standard_normal((len(arm), len(parameters.root)))
        made = self.latent(codes, arm, normal, parameters)
        z, key = normal @ parameters.root.T, int(rng.integers(2**62))

        def followed(model: Any, p: Any) -> np.ndarray:
            # the same numbers for every part: who leaves one endpoint early leaves the others
            one = np.random.Generator(np.random.Philox(key))
            return np.asarray(model.times(codes, arm, one, p))

        end = np.zeros(0)
        if self.follow_up is not None:
            end = followed(self.follow_up, parameters.censoring)
        out: dict[str, np.ndarray] = {}
        deaths: dict[int, np.ndarray] = {}
        order = sorted(range(len(self.models)), key=lambda k: self.record.ended[k] >= 0)
        for k in order:
            model, p = self.models[k], parameters.parts[k]
            if isinstance(model, MultistateModel):
                last = end if self.shared[k] else followed(model.follow_up, p.censoring)
                progression, deaths[k] = made[k]
                out |= model.observed(progression, deaths[k], codes, arm, last, rng, p)
            elif isinstance(model, HazardModel):
                time, cause = made[k]
                last = end if self.shared[k] else followed(model.follow_up, p.censoring)
                last = model.follow_up.ended(time, last)
                deaths[k] = time
                fatal = np.zeros(len(arm), dtype=bool)
                if self.record.ended[k] >= 0:
                    death = deaths[self.record.ended[k]]
                    fatal = (death <= last) & (death < time) & self.record.fatal[k]
                    last = np.minimum(last, death)
                seen = time <= last
                out[model.columns[0]] = recorded_up(np.where(seen, time, last), model.unit)
                out[model.columns[1]] = np.where(seen, cause, fatal.astype(int))
            elif hasattr(model, "complete"):
                features = model.linear.features.matrix(codes)
                y = model.dropout.apply(made[k], p.acts_as[arm], features, rng, p.dropout)
                out |= {name: y[:, j] for j, name in enumerate(model.columns)}
            else:
                y = made[k].astype(float)
                if self.gaps[k]:
                    y[ndtr(z[:, self.blocks()[k]][:, -1]) < p.gaps[arm]] = np.nan
                else:
                    y = with_gaps(y, arm, p.gaps, rng)
                out[model.column] = model.named(y) if isinstance(model, OrdinalModel) else y
        return out


def n_drivers(model: Any) -> int:
    """Normals that a model draws one patient's outcome from."""
    if isinstance(model, HazardModel):
        return int(model.events.counts.shape[2])
    if isinstance(model, MultistateModel):
        return 3
    return len(model.columns) if hasattr(model, "complete") else 1


def respond(
    model: Any, codes: np.ndarray, arm: np.ndarray, uniform: np.ndarray, p: Any
) -> np.ndarray:
    """The response (n,) that rises with the uniform (n,); of an ordinal one the level's place."""
    if isinstance(model, BinaryModel):
        return (uniform > 1 - model.probability(codes, arm, p)).astype(float)
    if isinstance(model, OrdinalModel):
        return model.level_codes(codes, arm, uniform, p).astype(float)
    if isinstance(model, ContinuousModel):
        return model.values(codes, arm, uniform, p)
    return np.asarray(model.quantiles(codes, arm, uniform, p))


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
                f"model names {name!r}: of several endpoints those that are no times may be given "
                f"a model{nearest(name, free)}"
            )
    fitted: list[Any] = []
    selections: list[pd.DataFrame] = []
    for k, (part, names) in enumerate(zip(record.parts, record.names)):
        one = replace(data, endpoint=part)
        if isinstance(part, IllnessDeath):
            fitted.append(multistate.fit(one, "illness_death"))
        elif isinstance(part, TimeToEvent | CompetingRisks):
            if record.fatal[k]:
                one = replace(one, patients=_without_deaths(data.patients, record, k))
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
    return isinstance(part, IllnessDeath | TimeToEvent | CompetingRisks)


def _has_gaps(model: Any) -> bool:
    counts = getattr(model, "gaps", None)
    return counts is not None and bool(counts[:, 0].any())


def _terminal(record: Joint, k: int) -> TimeToEvent:
    """The endpoint of death that ends part ``k``."""
    part = record.parts[record.ended[k]]
    death = part.death if isinstance(part, IllnessDeath) else part
    assert isinstance(death, TimeToEvent)
    return death


def _without_deaths(table: pd.DataFrame, record: Joint, k: int) -> pd.DataFrame:
    """The table with the events of part ``k`` that are deaths censored."""
    part = record.parts[k]
    assert isinstance(part, TimeToEvent)
    (time, seen), (last, dead) = _numbers(table, part), _numbers(table, _terminal(record, k))
    own = seen & ~(at_once(time, last) & dead)
    return table.assign(**{part.event: own.astype(int)})


def common_end(
    data: FitData, record: Joint, models: Sequence[Any]
) -> tuple[tuple[bool, ...], FollowUp | None]:
    """Which parts end at one time, and the model of that end.

    Two times end together if they agree in nearly all patients in whom both are censored.
    """
    table = data.patients
    ends: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for k, part in enumerate(record.parts):
        if isinstance(part, IllnessDeath):
            ends[k] = _numbers(table, part.death)
        elif isinstance(part, TimeToEvent):
            ends[k] = _numbers(table, part)
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


def driver_ranges(model: JointModel, data: FitData) -> tuple[np.ndarray, np.ndarray]:
    """Between which values (n, d) and (n, d) the drivers of the real patients lie."""
    low, high = [], []
    for k, one in enumerate(model.models):
        table = data.patients
        if model.record.fatal[k]:
            table = _without_deaths(table, model.record, k)
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
        assert isinstance(part, IllnessDeath)
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
    """Of each cause: the driver where it was the event, else anything above."""
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


def apart(correlation: np.ndarray, blocks: Sequence[slice]) -> np.ndarray:
    """The correlation with drivers of one part made independent of one another, as its model has
    them: whitened within each block."""
    whitened = np.eye(len(correlation))
    for block in blocks:
        root = np.linalg.cholesky(correlation[block, block])
        whitened[block, block] = np.linalg.inv(root)
    out = whitened @ correlation @ whitened.T
    np.fill_diagonal(out, 1.0)
    return out


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
        if isinstance(part, IllnessDeath):
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
