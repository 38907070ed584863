"""Illness and death together: progression and death that are consistent with each other.

Three transitions with hazards of their own by arm: well to progressed, well to dead (competing
risks), progressed to dead (time since progression; the time of progression is a covariate). One
end of follow-up a patient. So progression-free and overall survival come from one history: nobody
progresses after death, and both curves of every arm are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from trial_sim.base.storage import storable
from trial_sim.data.endpoints import CompetingRisks, Endpoint, TimeToEvent
from trial_sim.data.schema import Column
from trial_sim.numerics.told import upper_end
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.features import FeatureMap
from trial_sim.outcomes.hazard_grid import EACH, recorded_up, resolution_of
from trial_sim.outcomes.linear import RIDGE
from trial_sim.outcomes.times.cause_hazards import HazardModel, HazardParameters
from trial_sim.outcomes.times.cox import fit_cox
from trial_sim.outcomes.times.follow_up import FollowUp, FollowUpParameters
from trial_sim.statistics.arm_differences import log_hazard_ratio

MODELS = ("illness_death",)
PROGRESSED_AT = "time of progression"
CALIBRATION, ROUNDS = 20_000, 4  # synthetic patients an arm that tell deaths and the effect on it
THINNED = 4  # of so many of them one tells the slopes


@storable
@dataclass(frozen=True)
class ProgressionAndDeath(Endpoint):
    """Progression and death of the same patients, fitted jointly.

    Args:
        progression: time to progression, censored at death; or progression-free survival.
        death: time to death. composite: whether death is an event of the first, too.
    """

    progression: TimeToEvent
    death: TimeToEvent
    composite: bool = False
    kind: ClassVar[str] = "illness_death"
    stored_as: ClassVar[str] = "IllnessDeath"

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.progression.columns, *self.death.columns)

    def check(self, table: pd.DataFrame) -> None:
        self.progression.check(table)
        self.death.check(table)
        late = table[self.progression.duration] > table[self.death.duration]
        if late.any():
            row = int(np.argmax(late.to_numpy()))
            raise ValueError(
                f"column {self.progression.duration!r} must not exceed {self.death.duration!r}; "
                f"row {row} holds {table[self.progression.duration].iloc[row]:g} and "
                f"{table[self.death.duration].iloc[row]:g}"
            )


def models(endpoint: Endpoint) -> tuple[str, ...]:
    """Names of the models."""
    return MODELS


def candidates(data: FitData) -> tuple[str, ...]:
    """Models that "auto" compares."""
    return MODELS


class MultistateParameters(NamedTuple):
    """Parameters of the two stages, of the follow-up, and of the end of assessments before it."""

    first: HazardParameters
    second: HazardParameters
    censoring: FollowUpParameters
    assessed: FollowUpParameters | None = None


@storable
@dataclass(frozen=True)
class MultistateModel:
    """Fitted transitions: ``first`` out of the well state, ``second`` after progression.

    ``composite``: death is an event of both times. ``assessments``: when patients are no longer
    assessed for progression though still followed for death, or None if that never happens.
    """

    name: str
    columns: tuple[str, ...]
    unit: float
    first: HazardModel
    second: HazardModel
    follow_up: FollowUp
    notes: tuple[str, ...]
    composite: bool = False
    assessments: FollowUp | None = None

    def draw(self, rng: np.random.Generator | None) -> MultistateParameters:
        """Estimates, or one draw of every transition."""
        return MultistateParameters(
            self.first.draw(rng),
            self.second.draw(rng),
            self.follow_up.draw(rng, self.first.reference),
            None if self.assessments is None else self.assessments.draw(rng, self.first.reference),
        )

    def override_each(
        self, parameters: MultistateParameters, a: int, ratios: Mapping[int, float]
    ) -> MultistateParameters:
        """Arm ``a``: the control's hazards of progression times ``ratios[0]``, and of death in
        either state times ``ratios[1]``; what is not named stays as fitted. Where death is an event
        of the first time, ``ratios[0]`` alone changes both ways out of the well state."""
        first, second = parameters.first, parameters.second
        hazards, later = first.hazards.copy(), second.hazards.copy()
        tail, after = first.tail.copy(), second.tail.copy()
        of_cause = {0: ratios.get(0), 1: ratios.get(1)}
        if self.composite and of_cause[1] is None:
            of_cause[1] = of_cause[0]
        for c, ratio in of_cause.items():
            if ratio is not None and c < hazards.shape[2]:
                hazards[a, :, c], tail[a, c] = hazards[0, :, c] * ratio, tail[0, c] * ratio
        acts = first.acts_as.copy()
        if 0 in ratios:
            acts[a] = 0
        if 1 in ratios:
            later[a], after[a] = later[0] * ratios[1], after[0] * ratios[1]
            acted = second.acts_as.copy()
            acted[a] = 0
            second = second._replace(hazards=later, tail=after, acts_as=acted)
        first = first._replace(hazards=hazards, tail=tail, acts_as=acts)
        return parameters._replace(first=first, second=second)

    def override(
        self, parameters: MultistateParameters, effects: Mapping[int, float]
    ) -> MultistateParameters:
        """Arm ``a``: the control's hazard of progression times ``effects[a]``, else as there."""
        return parameters._replace(
            first=self.first.override(parameters.first, effects),
            second=self.second.override(parameters.second, dict.fromkeys(effects, 1.0)),
        )

    def histories(
        self, codes: np.ndarray, arm: np.ndarray, exponential: np.ndarray, p: MultistateParameters
    ) -> tuple[np.ndarray, np.ndarray]:
        """Latent times of progression (inf: never) and death (n,), from exponentials (n, 3)."""
        time, cause = self.first.latent(codes, arm, exponential[:, :2], p.first)
        progression = np.where((cause == 1) & np.isfinite(time), time, np.inf)
        death = np.where(cause == 2, time, np.inf)
        ill = np.flatnonzero(np.isfinite(progression))
        if len(ill):
            more = np.column_stack([codes[ill], progression[ill]])
            gap, _ = self.second.latent(more, arm[ill], exponential[ill, 2:], p.second)
            death[ill] = progression[ill] + gap
        return progression, death

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """Observed duration and event of progression and of death."""
        n = len(arm)
        progression, death = self.histories(
            codes, arm, rng.standard_exponential((n, 3)), parameters
        )
        end = self.follow_up.times(codes, arm, rng, parameters.censoring)
        return self.observed(progression, death, codes, arm, end, rng, parameters)

    def observed(
        self,
        progression: np.ndarray,
        death: np.ndarray,
        codes: np.ndarray,
        arm: np.ndarray,
        end: np.ndarray,
        rng: np.random.Generator,
        p: MultistateParameters,
    ) -> dict[str, np.ndarray]:
        """What is seen of latent times (n,) up to the ends of follow-up (n,)."""
        end = self.follow_up.ended(death, end)
        last = np.minimum(death, end)
        dead = death <= end
        assessed = last
        if self.assessments is not None and p.assessed is not None:
            stop = self.assessments.times(codes, arm, rng, p.assessed, closes=False)
            assessed = np.minimum(last, stop)
        both = self.composite & dead & (last <= assessed)
        out = (
            np.minimum(progression, assessed),
            ((progression <= assessed) | both).astype(np.int64),
            last,
            dead.astype(np.int64),
        )
        made = dict(zip(self.columns, out))
        for name in (self.columns[0], self.columns[2]):
            made[name] = recorded_up(made[name], self.unit)
        return made

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Log probability (n,) of the first transition."""
        p_time, p_event, d_time, d_event = self.columns
        record = ProgressionAndDeath(
            TimeToEvent(p_time, p_event), TimeToEvent(d_time, d_event), self.composite
        )
        return self.first.log_likelihood(stage_one(patients, record), codes, arm)


def states(patients: pd.DataFrame, record: ProgressionAndDeath) -> tuple[np.ndarray, ...]:
    """Times of progression and of death (n,), and whether each was seen, each (n,)."""
    times = [patients[c].to_numpy(dtype=float) for c in record.columns]
    p_time, p_event, d_time, d_event = times
    ill, dead = p_event > 0, d_event > 0
    if record.composite:
        ill &= ~(dead & at_once(p_time, d_time))
    return p_time, d_time, ill, dead


def at_once(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(n,) whether two times are equal but for rounding."""
    return np.abs(one - two) <= 1e-9 * np.maximum(np.abs(one), np.abs(two))


def stage_one(patients: pd.DataFrame, record: ProgressionAndDeath) -> pd.DataFrame:
    """Time and cause (1 progression, 2 death, 0 censored) of leaving the well state."""
    p_time, d_time, ill, dead = states(patients, record)
    first = dead & ~ill & at_once(p_time, d_time)
    return pd.DataFrame({"time": p_time, "cause": np.where(ill, 1, np.where(first, 2, 0))})


def stage_two(
    patients: pd.DataFrame, record: ProgressionAndDeath, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of those who progressed (m,): their places, codes with the time of progression, time from
    there to death or the end, and whether they died."""
    p_time, d_time, ill, dead = states(patients, record)
    at = np.flatnonzero(ill)
    last = float(d_time.max())
    # to twelve digits: equal gaps between subtracted times are ties, whatever the unit
    gap = np.round(np.maximum(d_time - p_time, 0)[at] / last, 12) * last
    return at, np.column_stack([codes, p_time])[at], gap, dead[at].astype(float)


def fit(data: FitData, name: str) -> MultistateModel:
    """Fit the three transitions.

    Raises:
        ValueError: fewer than ten progressions, or delayed entry.
    """
    record = data.endpoint
    assert isinstance(record, ProgressionAndDeath)
    for part in (record.progression, record.death):
        if part.entry is not None:
            raise ValueError(
                f"the joint model takes no delayed entry (column {part.entry!r}); fit the "
                "endpoints one by one"
            )
    columns = record.columns
    p_time, d_time, _, dead = states(data.patients, record)
    ill, codes, gap, died = stage_two(data.patients, record, data.codes)
    if len(ill) < 10:
        raise ValueError(
            f"column {columns[1]!r} holds {len(ill)} progressions; a joint model needs at least 10"
        )
    first = HazardModel.fit(
        replace(
            data,
            endpoint=CompetingRisks("time", "cause"),
            patients=stage_one(data.patients, record),
        ),
        "cause_specific_by_arm",
        proportional=False,
    )
    # The censoring grid counts the end of follow-up of everybody, dead or not.
    unit = min(first.unit, resolution_of(d_time))
    each = EACH * data.n_arms
    follow_up = FollowUp.fit(data, d_time, dead, (~dead).astype(int), unit, each, covariates=False)
    watched = data.patients[columns[1]].to_numpy(dtype=float) > 0
    unwatched = ~watched & (p_time < d_time) & ~at_once(p_time, d_time)
    assessments = None
    if unwatched.any():
        assessments = FollowUp.fit(
            data, p_time, ~unwatched, unwatched.astype(int), unit, each, covariates=False
        )
    extra = Column(PROGRESSED_AT, "numeric", lower=0.0, upper=upper_end(p_time))
    schema = replace(data.schema, columns=(*data.schema.columns, extra))
    features = FeatureMap.fit(codes, schema.columns, [*data.features.columns, PROGRESSED_AT])
    two = pd.DataFrame({"time": gap, "event": died.astype(int)})
    rng = np.random.Generator(np.random.Philox(51))
    pool = np.tile(data.reference, (4, 1))
    arm = rng.integers(0, data.n_arms, len(pool))
    draws = rng.standard_exponential((len(pool), first.events.counts.shape[2]))
    time, cause = first.latent(pool, arm, draws, first.draw(None))
    done = (cause == 1) & np.isfinite(time)
    reference = np.column_stack([pool, time])[done]
    second = HazardModel.fit(
        replace(
            data,
            schema=schema,
            endpoint=TimeToEvent("time", "event"),
            patients=two,
            codes=codes,
            arm=data.arm[ill],
            features=features,
            reference=reference if len(reference) >= 30 else codes,
        ),
        "cox_by_arm",
        proportional=False,
    )
    notes = tuple(dict.fromkeys([*first.notes, *second.notes]))
    model = MultistateModel(
        name, columns, unit, first, second, follow_up, notes, record.composite, assessments
    )
    return calibrated(model, data)


def calibrated(model: MultistateModel, data: FitData) -> MultistateModel:
    """With each arm's hazard after progression scaled until a big synthetic trial has the real
    share of deaths in the control arm, and the real log hazard ratios of death; and with its
    slopes moved until the same trial has the real slopes of death on the covariates, which three
    transitions that are right one by one need not have together."""
    d_time, d_event = (data.patients[c].to_numpy(dtype=float) for c in model.columns[2:])
    features = model.second.linear.features
    at = features.positions(features.columns[:-1])  # the last is the time of progression

    def terms(codes: np.ndarray) -> np.ndarray:
        return features.matrix(np.column_stack([codes, np.zeros(len(codes))]))[:, at]

    slopes = fit_cox(d_time, d_event, terms(data.codes), data.arm, RIDGE).coefficients
    for _ in range(ROUNDS):
        rng = np.random.Generator(np.random.Philox(52))
        arm = np.repeat(np.arange(data.n_arms), CALIBRATION)
        codes = data.reference[rng.integers(0, len(data.reference), len(arm))]
        sampled = model.sample(codes, arm, rng, model.draw(None))
        time, event = (sampled[c] for c in model.columns[2:])
        shift = np.zeros(data.n_arms)
        real, made = d_event[data.arm == 0].mean(), event[arm == 0].mean()
        if 0 < real < 1 and 0 < made < 1:
            shift[0] = np.clip(np.log(np.log1p(-real) / np.log1p(-made)), -1, 1)
        for a in range(1, data.n_arms):
            mine, theirs = np.isin(data.arm, (0, a)), np.isin(arm, (0, a))
            wanted, _ = log_hazard_ratio(d_time[mine], d_event[mine] > 0, data.arm[mine] == a)
            found, _ = log_hazard_ratio(time[theirs], event[theirs] > 0, arm[theirs] == a)
            if np.isfinite(wanted - found):
                shift[a] = np.clip(wanted - found, -1, 1) + shift[0]
        second = model.second
        counts = second.events.counts * np.exp(shift)[:, None, None]
        coefficients = second.linear.coefficients.copy()
        few = slice(None, None, THINNED)
        now = fit_cox(time[few], event[few], terms(codes[few]), arm[few], RIDGE).coefficients
        coefficients[0, at] += np.clip(slopes - now, -1, 1)
        second = replace(
            second,
            events=replace(second.events, counts=counts),
            linear=replace(second.linear, coefficients=coefficients),
        )
        model = replace(model, second=second)
    return model
