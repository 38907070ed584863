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
from trial_sim.outcomes.times.cause_hazards import HazardModel, HazardParameters
from trial_sim.outcomes.times.follow_up import FollowUp, FollowUpParameters

MODELS = ("illness_death",)
PROGRESSED_AT = "time of progression"


@storable
@dataclass(frozen=True)
class IllnessDeath(Endpoint):
    """Progression and death of the same patients, fitted jointly.

    Args:
        progression: time to progression, censored at death. death: time to death.
    """

    progression: TimeToEvent
    death: TimeToEvent
    kind: ClassVar[str] = "illness_death"

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
    """Parameters of the two stages and of the follow-up."""

    first: HazardParameters
    second: HazardParameters
    censoring: FollowUpParameters


@storable
@dataclass(frozen=True)
class MultistateModel:
    """Fitted transitions: ``first`` out of the well state, ``second`` after progression."""

    name: str
    columns: tuple[str, ...]
    unit: float
    first: HazardModel
    second: HazardModel
    follow_up: FollowUp
    notes: tuple[str, ...]

    def draw(self, rng: np.random.Generator | None) -> MultistateParameters:
        """Estimates, or one draw of every transition."""
        return MultistateParameters(
            self.first.draw(rng),
            self.second.draw(rng),
            self.follow_up.draw(rng, self.first.reference),
        )

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
        end = self.follow_up.ended(death, end)
        last = np.minimum(death, end)
        out = (
            np.minimum(progression, last),
            (progression <= last).astype(np.int64),
            last,
            (death <= end).astype(np.int64),
        )
        made = dict(zip(self.columns, out))
        for name in (self.columns[0], self.columns[2]):
            made[name] = recorded_up(made[name], self.unit)
        return made

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Log probability (n,) of the first transition."""
        table = stage_one(patients, self.columns)
        return self.first.log_likelihood(table, codes, arm)


def stage_one(patients: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Time and cause (1 progression, 2 death, 0 censored) of leaving the well state."""
    p_time, p_event, _, d_event = columns
    ill = patients[p_event].to_numpy(dtype=float) > 0
    dead = patients[d_event].to_numpy(dtype=float) > 0
    cause = np.where(ill, 1, np.where(dead, 2, 0))
    return pd.DataFrame({"time": patients[p_time].to_numpy(dtype=float), "cause": cause})


def fit(data: FitData, name: str) -> MultistateModel:
    """Fit the three transitions.

    Raises:
        ValueError: fewer than ten progressions, or delayed entry.
    """
    assert isinstance(data.endpoint, IllnessDeath)
    for part in (data.endpoint.progression, data.endpoint.death):
        if part.entry is not None:
            raise ValueError(
                f"the joint model takes no delayed entry (column {part.entry!r}); fit the "
                "endpoints one by one"
            )
    columns = data.endpoint.columns
    p_time, p_event, d_time, d_event = (data.patients[c].to_numpy(dtype=float) for c in columns)
    ill = np.flatnonzero(p_event > 0)
    if len(ill) < 10:
        raise ValueError(
            f"column {columns[1]!r} holds {len(ill)} progressions; a joint model needs at least 10"
        )
    one = stage_one(data.patients, columns)
    first = HazardModel.fit(
        replace(data, endpoint=CompetingRisks("time", "cause"), patients=one),
        "cause_specific_by_arm",
        proportional=False,
    )
    # The censoring grid counts the end of follow-up of everybody, dead or not.
    unit = min(first.unit, resolution_of(d_time))
    gone = (d_event == 0).astype(int)
    follow_up = FollowUp.fit(
        data, d_time, d_event > 0, gone, unit, EACH * data.n_arms, covariates=False
    )
    extra = Column(PROGRESSED_AT, "numeric", lower=0.0, upper=upper_end(p_time))
    schema = replace(data.schema, columns=(*data.schema.columns, extra))
    codes = np.column_stack([data.codes, p_time])[ill]
    features = FeatureMap.fit(codes, schema.columns, [*data.features.columns, PROGRESSED_AT])
    last = upper_end(d_time)
    # to twelve digits: equal gaps between subtracted times are ties, whatever the unit
    gap = np.round(np.maximum(d_time - p_time, 0)[ill] / last, 12) * last
    two = pd.DataFrame({"time": gap, "event": d_event[ill].astype(int)})
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
    return MultistateModel(name, columns, unit, first, second, follow_up, notes)
