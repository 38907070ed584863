"""Patients who differ: covariates that act on outcomes, subgroups with outcomes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.base.records import Record
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch


@dataclass(frozen=True)
class WithCovariates(Record):
    """Covariates that multiply the hazard, or shift a continuous outcome, of another scenario.

    Times are transformed exactly: a patient with relative hazard r has cumulative hazard
    ``r H(t)``, which asks the base scenario for a time at 1/r of the exponential. This works for
    scenarios that invert one exponential called ``"event"``: PiecewiseExponential, Weibull,
    SurvivalTable.

    Attributes:
        base: the scenario without covariates.
        covariates: name → ``"normal"`` (standard normal), or a prevalence in (0, 1) for yes/no
            (coded 1/0); factors of the design's strata may be named in ``effects`` too.
        effects: name → log hazard ratio per unit (shift of a continuous outcome per unit); for a
            factor, a mapping level → effect.
        interactions: the same, acting in treated arms only: how the treatment effect differs.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> outcomes = ts.WithCovariates(
        ...     ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7),
        ...     covariates={"age": "normal", "mutated": 0.3},
        ...     effects={"age": 0.2, "mutated": 0.5},
        ... )
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> 0 <= result.power <= 1
        True
    """

    base: Any
    covariates: Mapping[str, Any] = field(default_factory=dict)
    effects: Mapping[str, Any] = field(default_factory=dict)
    interactions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.base.kind not in ("time_to_event", "continuous"):
            raise ValueError(
                f"covariates act on times or continuous outcomes, got a base of {self.base.kind}"
            )
        for name, law in self.covariates.items():
            if law != "normal" and not (isinstance(law, float) and 0 < law < 1):
                raise ValueError(
                    f'covariate {name!r} must be "normal" or a prevalence in (0, 1), got {law!r}'
                )

    @property
    def kind(self) -> str:
        """That of the base."""
        return self.base.kind

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Outcomes and covariates.

        Raises:
            ValueError: if an effect names neither a covariate nor a factor of the design.
        """
        n = batch.n_patients
        drawn: dict[str, np.ndarray] = {}
        for name, law in self.covariates.items():
            if law == "normal":
                drawn[name] = batch.streams.normal(f"covariate {name}", n)
            else:
                u = batch.streams.uniform(f"covariate {name}", n)
                drawn[name] = (u < law).astype(float)
        shift = self._linear(self.effects, drawn, batch)
        shift = shift + np.where(batch.arm > 0, self._linear(self.interactions, drawn, batch), 0.0)
        if self.kind == "continuous":
            outcome = self.base.sample(batch)
            changed = {"response": outcome.response + shift}
        else:
            streams = _Scaled(batch.streams, np.exp(-shift))
            outcome = self.base.sample(_with_streams(batch, streams))
            changed = {}
        return _replace(outcome, covariates={**outcome.covariates, **drawn}, **changed)

    def _linear(
        self, effects: Mapping[str, Any], drawn: Mapping[str, np.ndarray], batch: PatientBatch
    ) -> np.ndarray:
        total = np.zeros(batch.arm.shape)
        for name, effect in effects.items():
            if name in drawn:
                total += float(effect) * drawn[name]
            elif name in batch.factors:
                levels = batch.levels[name]
                for level in effect:
                    if level not in levels:
                        raise ValueError(
                            f"factor {name!r} has no level {level!r}{nearest(level, levels)}"
                        )
                total += np.array([effect.get(level, 0.0) for level in levels])[batch.factors[name]]
            else:
                known = [*drawn, *batch.factors]
                raise ValueError(f"there is no covariate or factor {name!r}{nearest(name, known)}")
        return total


class _Scaled:
    """Streams whose exponential of the event is multiplied patient by patient."""

    def __init__(self, streams: Any, factor: np.ndarray) -> None:
        self._streams = streams
        self._factor = factor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._streams, name)

    def exponential(self, quantity: str, n: int, draw: int = 0) -> np.ndarray:
        drawn = self._streams.exponential(quantity, n, draw)
        return drawn * self._factor if quantity == "event" else drawn


def _with_streams(batch: PatientBatch, streams: Any) -> PatientBatch:
    return PatientBatch(
        streams, batch.arms, batch.arm, batch.enrolment, batch.factors, batch.levels
    )


def _replace(outcome: OutcomeBatch, **changes: Any) -> OutcomeBatch:
    values = {f.name: getattr(outcome, f.name) for f in fields(OutcomeBatch)}
    return OutcomeBatch(**{**values, **changes})


@dataclass(frozen=True)
class BySubgroup(Record):
    """A scenario of its own for each level of one of the design's strata.

    The prevalence of the subgroups is that of the design's strata. Covariates that all scenarios
    have are kept for tests that adjust for them.

    Attributes:
        factor: name of the stratification factor. scenarios: level → scenario, all of one kind.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ...     strata={"marker": {"+": 0.4, "-": 0.6}},
        ... )
        >>> outcomes = ts.BySubgroup(
        ...     "marker",
        ...     {
        ...         "+": ts.PiecewiseExponential(control_median=12, hazard_ratio=0.6),
        ...         "-": ts.PiecewiseExponential(control_median=12),
        ...     },
        ... )
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> 0 <= result.power <= 1
        True
    """

    factor: str
    scenarios: Mapping[str, Any]

    def __post_init__(self) -> None:
        kinds = {scenario.kind for scenario in self.scenarios.values()}
        if len(kinds) != 1:
            raise ValueError(f"the subgroups' scenarios must be of one kind, got {sorted(kinds)}")
        if kinds & {"recurrent", "longitudinal"}:
            raise ValueError(f"subgroups of {kinds.pop()} outcomes are not supported")

    @property
    def kind(self) -> str:
        """That of the subgroups' scenarios."""
        return next(iter(self.scenarios.values())).kind

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Each patient's outcome from the scenario of the subgroup.

        Raises:
            ValueError: if the design lacks the factor, or a level has no scenario.
        """
        if self.factor not in batch.factors:
            raise ValueError(
                f"the design has no stratum {self.factor!r}{nearest(self.factor, batch.factors)}"
            )
        levels = batch.levels[self.factor]
        for level in levels:
            if level not in self.scenarios:
                raise ValueError(
                    f"there is no scenario for {self.factor} {level!r}"
                    f"{nearest(level, self.scenarios)}"
                )
        merged: dict[str, Any] = {}
        covariates: list[dict[str, np.ndarray]] = []
        for code, level in enumerate(levels):
            outcome = self.scenarios[level].sample(batch)
            mine = batch.factors[self.factor] == code
            covariates.append(dict(outcome.covariates))
            for name in ("time", "cause", "response", "baseline", "dropout"):
                values = getattr(outcome, name)
                if values is not None:
                    merged.setdefault(name, np.array(values))[mine] = values[mine]
            for what in ("endpoints", "responses"):
                for name, values in getattr(outcome, what).items():
                    ends = merged.setdefault(what, {})
                    ends.setdefault(name, np.array(values))[mine] = values[mine]
        # A covariate that some subgroup lacks is unknown for its patients: nobody has it.
        shared = [name for name in covariates[0] if all(name in own for own in covariates)]
        codes = batch.factors[self.factor]
        for name in shared:
            values = np.array(covariates[0][name], dtype=float)
            for code in range(1, len(levels)):
                values[codes == code] = covariates[code][name][codes == code]
            merged.setdefault("covariates", {})[name] = values
        return OutcomeBatch(**merged)


@dataclass(frozen=True)
class WithDrift(Record):
    """Outcomes that change with the calendar, in all arms alike: another scenario with a drift.

    Attributes:
        base: a scenario of times (PiecewiseExponential, Weibull, SurvivalTable), of a continuous
            response, or of a binary one.
        per_month: change a month of enrolment of the log hazard, of the mean, or of the log odds.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EnrolmentLooks([200]),
        ...     test="t_test",
        ... )
        >>> outcomes = ts.WithDrift(ts.ContinuousResponse(0.4), per_month=0.05)
        >>> 0 <= ts.simulate(design, outcomes, n_trials=50, seed=1).power <= 1
        True
    """

    base: Any
    per_month: float

    def __post_init__(self) -> None:
        if self.base.kind not in ("time_to_event", "continuous", "binary"):
            raise ValueError(
                f"a drift acts on times, continuous or binary outcomes, got {self.base.kind}"
            )
        if not np.isfinite(self.per_month):
            raise ValueError(f"per_month must be a number, got {self.per_month!r}")

    @property
    def kind(self) -> str:
        """That of the base."""
        return self.base.kind

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Outcomes of the base, moved by each patient's month of enrolment."""
        month = np.where(np.isfinite(batch.enrolment), batch.enrolment, 0.0)
        shift = self.per_month * month
        if self.kind == "continuous":
            outcome = self.base.sample(batch)
            return _replace(outcome, response=outcome.response + shift)
        if self.kind == "time_to_event":
            return self.base.sample(_with_streams(batch, _Scaled(batch.streams, np.exp(-shift))))
        return self.base.sample(_with_streams(batch, _Shifted(batch.streams, shift)))


class _Shifted:
    """Streams whose uniform of the response is moved, patient by patient, on the logit scale."""

    def __init__(self, streams: Any, shift: np.ndarray) -> None:
        self._streams = streams
        self._shift = shift

    def __getattr__(self, name: str) -> Any:
        return getattr(self._streams, name)

    def uniform(self, quantity: str, n: int, draw: int = 0) -> np.ndarray:
        drawn = self._streams.uniform(quantity, n, draw)
        if quantity != "response":
            return drawn
        return drawn / (drawn + (1.0 - drawn) * np.exp(self._shift))
