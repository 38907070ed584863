"""Correlated PFS and OS by illness–death, and competing risks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trial_sim.base.records import Record
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch
from trial_sim.scenarios.survival import check_hazard_ratio, effects_by_arm

_MOST_CAUSES = 127  # a cause is an int8, counted from 1


def _hazard(value: Any, what: str) -> float:
    if not 0 <= value < np.inf:
        raise ValueError(f"{what} must be 0 or more per month, got {value!r}")
    return float(value)


def _one_ratio(value: Any, what: str) -> Any:
    checked = check_hazard_ratio(value)
    members = checked.values() if isinstance(checked, Mapping) else [checked]
    if any(np.ndim(m) for m in members):
        raise ValueError(f"{what} takes one hazard ratio an arm, got {value!r}")
    return checked


def _by_arm(hazard: float, ratio: Any, batch: PatientBatch, what: str) -> np.ndarray:
    """Hazard of every patient, (n_trials, n_patients)."""
    effects = effects_by_arm(ratio, batch.arms, what)
    return (hazard * np.array([e[0] for e in effects]))[batch.arm]


@dataclass(frozen=True)
class IllnessDeath(Record):
    """Progression and death with constant transition hazards; gives ``"pfs"`` and ``"os"``.

    The clock of death after progression starts at progression. The design's ``endpoint`` chooses
    which of the two it counts and tests; PFS by default.

    Attributes:
        progression, death, death_after: control hazards per month of progression, death without
            it, and death after it.
        hr_progression, hr_death, hr_death_after: hazard ratios, numbers or mappings arm → number.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ...     endpoint="pfs",
        ... )
        >>> outcomes = ts.IllnessDeath(
        ...     progression=0.06, death=0.01, death_after=0.08, hr_progression=0.6
        ... )
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> 0 <= result.power <= 1
        True
    """

    progression: float
    death: float
    death_after: float
    hr_progression: Any = 1.0
    hr_death: Any = 1.0
    hr_death_after: Any = 1.0

    def __post_init__(self) -> None:
        for name in ("progression", "death", "death_after"):
            object.__setattr__(self, name, _hazard(getattr(self, name), name))
            ratio = f"hr_{name}"
            object.__setattr__(self, ratio, _one_ratio(getattr(self, ratio), ratio))
        if self.progression + self.death == 0:
            raise ValueError("progression and death are both zero, so no event can ever occur")

    @property
    def kind(self) -> str:
        """``"time_to_event"``."""
        return "time_to_event"

    @property
    def endpoint_kinds(self) -> dict[str, str]:
        """Both are times."""
        return {"pfs": "time_to_event", "os": "time_to_event"}

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Latent PFS and OS."""
        n = batch.n_patients
        first = _by_arm(self.progression, self.hr_progression, batch, "hr_progression")
        second = _by_arm(self.death, self.hr_death, batch, "hr_death")
        after = _by_arm(self.death_after, self.hr_death_after, batch, "hr_death_after")
        with np.errstate(divide="ignore"):
            progressed = batch.streams.exponential("progression", n) / first
            died = batch.streams.exponential("death", n) / second
            lived_on = batch.streams.exponential("death after progression", n) / after
        pfs = np.minimum(progressed, died)
        os = np.where(progressed < died, progressed + lived_on, died)
        return OutcomeBatch(time=pfs, endpoints={"pfs": pfs, "os": os})


@dataclass(frozen=True)
class CompetingEvents(Record):
    """Several causes with constant cause-specific hazards; the first is the one of interest.

    ``ts.CompetingRisks`` is the endpoint of a real trial that such events are.

    Attributes:
        control_hazards: one hazard per month for each cause.
        hazard_ratios: one effect for each cause, a number or a mapping arm → number.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> outcomes = ts.CompetingEvents([0.05, 0.02], [0.6, 1.0])
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> 0 <= result.power <= 1
        True
    """

    control_hazards: Any
    hazard_ratios: Any
    written_as: ClassVar[str] = "CompetingRisks"

    def __post_init__(self) -> None:
        hazards = tuple(_hazard(h, "control_hazards") for h in self.control_hazards)
        ratios = tuple(_one_ratio(r, "hazard_ratios") for r in self.hazard_ratios)
        if len(hazards) < 2 or len(ratios) != len(hazards):
            raise ValueError(
                "competing risks need two or more causes and one hazard ratio each, got "
                f"{len(hazards)} hazards and {len(ratios)} ratios"
            )
        if len(hazards) > _MOST_CAUSES:
            raise ValueError(f"at most {_MOST_CAUSES} causes can be simulated, got {len(hazards)}")
        if hazards[0] == 0:
            raise ValueError("the hazard of the first cause is zero, so it can never occur")
        object.__setattr__(self, "control_hazards", hazards)
        object.__setattr__(self, "hazard_ratios", ratios)

    @property
    def kind(self) -> str:
        """``"competing_risks"``."""
        return "competing_risks"

    def hazards_by_cause(self, arms: tuple[str, ...]) -> np.ndarray:
        """Hazard per month of each cause in each arm, (n_causes, n_arms).

        Examples:
            >>> import trial_sim as ts
            >>> outcomes = ts.CompetingEvents([0.05, 0.02], [0.5, 1.0])
            >>> outcomes.hazards_by_cause(("control", "treatment")).tolist()
            [[0.05, 0.025], [0.02, 0.02]]
        """
        effects = [effects_by_arm(ratio, arms, "hazard_ratios") for ratio in self.hazard_ratios]
        return np.array(
            [[h * e[0] for e in each] for h, each in zip(self.control_hazards, effects)], float
        )

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Latent time of the first of the causes, and which it is."""
        times = []
        for number, (hazard, ratio) in enumerate(zip(self.control_hazards, self.hazard_ratios)):
            rate = _by_arm(hazard, ratio, batch, "hazard_ratios")
            with np.errstate(divide="ignore"):
                times.append(batch.streams.exponential("cause", batch.n_patients, number) / rate)
        stacked = np.array(times)
        cause = (stacked.argmin(axis=0) + 1).astype(np.int8)
        return OutcomeBatch(time=stacked.min(axis=0), cause=cause)
