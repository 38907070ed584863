"""Further endpoints of the same patients, such as an early response beside survival."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.base.records import Record, as_number
from trial_sim.scenarios.populations import BySubgroup, WithCovariates, WithDrift
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch
from trial_sim.scenarios.responses import (
    BinaryResponse,
    ContinuousResponse,
    CountResponse,
    OrdinalResponse,
)
from trial_sim.scenarios.survival import PiecewiseExponential, SurvivalTable, Weibull

_TIMES = (PiecewiseExponential, Weibull, SurvivalTable)
_RESPONSES = (BinaryResponse, ContinuousResponse, CountResponse, OrdinalResponse)


@dataclass(frozen=True)
class WithEndpoints(Record):
    """Outcomes of a scenario, and other endpoints of the same patients that go along with them.

    Rules look at the others by ``Quantity(..., endpoint=name)``; a design tests a time among them
    by ``Design.endpoint``. Progression and death are better had from ``IllnessDeath``, where nobody
    progresses after death.

    Attributes:
        base: scenario of the tested endpoint: times, or one response a patient.
        others: name → scenario of that endpoint, of times or of one response a patient.
        correlation: name → correlation of the endpoint with the base, 0 unless named: of normal
            scores within an arm (a Gaussian copula). Above 0 those with a later time or a higher
            value by the one have it by the other.

    Examples:
        >>> import trial_sim as ts
        >>> outcomes = ts.WithEndpoints(
        ...     ts.PiecewiseExponential(12, hazard_ratio={"low": 0.9, "high": 0.7}),
        ...     {"response": ts.BinaryResponse(0.2, {"low": 0.3, "high": 0.45})},
        ...     correlation={"response": 0.4},
        ... )
        >>> outcomes.kind, outcomes.endpoint_kinds
        ('time_to_event', {'response': 'binary'})
        >>> ts.WithEndpoints.from_yaml(outcomes.to_yaml()) == outcomes
        True
    """

    base: Any
    others: Mapping[str, Any]
    correlation: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_known(self.base, "the base")
        if not isinstance(self.others, Mapping) or not self.others:
            raise ValueError(f"others must be name → scenario, one or more, got {self.others!r}")
        for name, other in self.others.items():
            _check_known(other, f"endpoint {name!r}")
            if _correlates_with_baseline(other):
                raise ValueError(
                    f"endpoint {name!r} has a baseline of its own, which is not simulated: leave "
                    "its correlation out"
                )
        if _correlates_with_baseline(self.base) and not isinstance(self.base, ContinuousResponse):
            raise ValueError(
                "a base of several parts whose response leans on its baseline is not simulated "
                "with other endpoints: leave its correlation out"
            )
        for name, value in self.correlation.items():
            if name not in self.others:
                raise ValueError(
                    f"correlation names the endpoint {name!r}{nearest(name, self.others)}"
                )
            if not -1 <= as_number(value, f"correlation of {name!r}") <= 1:
                raise ValueError(f"correlation of {name!r} must be in [-1, 1], got {value!r}")

    @property
    def kind(self) -> str:
        """That of the base."""
        return str(self.base.kind)

    @property
    def endpoint_kinds(self) -> dict[str, str]:
        """Other endpoint → its kind of outcome."""
        return {name: str(other.kind) for name, other in self.others.items()}

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """The base's outcomes, bit for bit, and the others'."""
        outcome = self.base.sample(batch)
        luck = _luck(self.base, batch)
        times, responses = dict(outcome.endpoints), dict(outcome.responses)
        for name, other in self.others.items():
            r = float(self.correlation.get(name, 0.0))
            streams: Any = _Along(batch.streams, name, luck, r, other.kind == "binary")
            own = other.sample(dataclasses.replace(batch, streams=streams))
            if own.time is not None:
                times[name] = own.time
            else:
                responses[name] = own.response
        return dataclasses.replace(outcome, endpoints=times, responses=responses)


def _leaves(scenario: Any) -> list[Any]:
    """The scenarios that draw, under those that change what others draw."""
    if isinstance(scenario, WithCovariates | WithDrift):
        return _leaves(scenario.base)
    if isinstance(scenario, BySubgroup):
        return [leaf for one in scenario.scenarios.values() for leaf in _leaves(one)]
    return [scenario]


def _check_known(scenario: Any, what: str) -> None:
    for leaf in _leaves(scenario):
        if not isinstance(leaf, _TIMES + _RESPONSES):
            known = ", ".join(one.__name__ for one in _TIMES + _RESPONSES)
            raise ValueError(f"{what} must be one of {known}, got {type(leaf).__name__}")


def _correlates_with_baseline(scenario: Any) -> bool:
    return any(getattr(leaf, "correlation", 0.0) != 0 for leaf in _leaves(scenario))


def _luck(base: Any, batch: PatientBatch) -> np.ndarray:
    """Normal scores (n_trials, n_patients) of the base's outcomes within an arm; more is later or
    higher."""
    from scipy.special import ndtri

    n = batch.n_patients
    if base.kind == "time_to_event":
        return -ndtri(batch.streams.uniform("event", n))
    own = batch.streams.normal("response", n)
    if base.kind == "binary":
        return -own
    if isinstance(base, ContinuousResponse) and base.correlation:
        c = base.correlation
        return c * batch.streams.normal("baseline", n) + np.sqrt(1 - c * c) * own
    return own


class _Along:
    """Streams of another endpoint, whose numbers go along with the luck of the base."""

    def __init__(self, streams: Any, name: str, luck: np.ndarray, r: float, falling: bool) -> None:
        self._streams, self._name, self._falling = streams, name, falling
        own = streams.normal(f"endpoint {name}", luck.shape[1])
        self._score = r * luck + np.sqrt(1.0 - r * r) * own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._streams, name)

    def uniform(self, quantity: str, n: int, draw: int = 0) -> np.ndarray:
        from scipy.special import ndtr

        if quantity not in ("event", "response"):
            return self._streams.uniform(f"{self._name} {quantity}", n, draw)  # type: ignore[no-any-return]
        return np.asarray(ndtr(-self._score if self._falling else self._score))

    def normal(self, quantity: str, n: int, draw: int = 0) -> np.ndarray:
        if quantity != "response":
            return self._streams.normal(f"{self._name} {quantity}", n, draw)  # type: ignore[no-any-return]
        return self._score

    def exponential(self, quantity: str, n: int, draw: int = 0) -> np.ndarray:
        from scipy.special import log_ndtr

        if quantity != "event":
            return self._streams.exponential(f"{self._name} {quantity}", n, draw)  # type: ignore[no-any-return]
        return np.asarray(-log_ndtr(-self._score))
