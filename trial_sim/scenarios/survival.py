"""Times to one event: piecewise exponential, Weibull, any survival table, a user's sampler."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.base.records import Record, as_breakpoints, as_floats
from trial_sim.numerics.piecewise_hazards import times_from_exponentials
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch, check_arms

_KIND = "time_to_event"


def effects_by_arm(value: Any, arms: tuple[str, ...], what: str) -> list[tuple[float, ...]]:
    """The effect of each arm against the first: pieces of hazard ratios, 1 for the control.

    Args:
        value: a number, a list (pieces), or a mapping arm → number or list.
        arms: arm names, control first. what: name used in errors.
    """
    if isinstance(value, Mapping):
        check_arms(value, arms, what)
        return [(1.0,)] + [as_floats(value[arm], what) for arm in arms[1:]]
    return [(1.0,)] + [as_floats(value, what)] * (len(arms) - 1)


def check_hazard_ratio(value: Any) -> Any:
    """Hazard ratios positive and finite; returns them as floats in the shape received."""
    if isinstance(value, Mapping):
        return {arm: check_hazard_ratio(v) for arm, v in value.items()}
    ratios = as_floats(value, "hazard_ratio")
    if any(r <= 0 or np.isinf(r) for r in ratios):
        raise ValueError(f"hazard_ratio must be positive, got {value!r}")
    return ratios[0] if np.ndim(value) == 0 else ratios


@dataclass(frozen=True)
class PiecewiseExponential(Record):
    """Piecewise-constant hazards with piecewise hazard ratios: delayed, crossing, fading, cure.

    Attributes:
        control_median: median of a constant control hazard, months; or give ``control_hazard``.
        hazard_ratio: against control; a list for pieces, or a mapping arm → number or list.
        breakpoints: months at which hazard or effect changes, one fewer than the pieces.
        control_hazard: events per month, a list for pieces; a last piece of 0 makes a cure.
        cured: share of patients of every arm who never have the event.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> outcomes = ts.PiecewiseExponential(
        ...     control_median=12, breakpoints=[4], hazard_ratio=[1.0, 0.6]
        ... )
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> 0 <= result.power <= 1
        True
        >>> [part.round(4).tolist() for part in outcomes.hazards(("control", "treatment"))]
        [[0.0, 4.0], [[0.0578, 0.0578], [0.0578, 0.0347]]]
    """

    control_median: float | None = None
    hazard_ratio: Any = 1.0
    breakpoints: Any = ()
    control_hazard: Any = None
    cured: float = 0.0

    def __post_init__(self) -> None:
        if (self.control_median is None) == (self.control_hazard is None):
            raise ValueError(
                "give either control_median or control_hazard, got "
                f"{self.control_median!r} and {self.control_hazard!r}"
            )
        if self.control_median is not None and not 0 < self.control_median < np.inf:
            raise ValueError(f"control_median must be positive, got {self.control_median!r}")
        if self.control_median is not None:
            object.__setattr__(self, "control_median", float(self.control_median))
        if self.control_hazard is not None:
            hazards = as_floats(self.control_hazard, "control_hazard")
            if any(h < 0 or np.isinf(h) for h in hazards):
                raise ValueError(f"control_hazard must be 0 or more, got {self.control_hazard!r}")
            if not any(hazards):
                raise ValueError("control_hazard is zero throughout, so no event can ever occur")
            scalar = np.ndim(self.control_hazard) == 0
            object.__setattr__(self, "control_hazard", hazards[0] if scalar else hazards)
        object.__setattr__(self, "hazard_ratio", check_hazard_ratio(self.hazard_ratio))
        points = as_floats(self.breakpoints, "breakpoints")
        if points:
            as_breakpoints(points, len(points) + 1, "PiecewiseExponential")
        object.__setattr__(self, "breakpoints", points)
        ratios = self.hazard_ratio
        pieces = [ratios] if not isinstance(ratios, dict) else list(ratios.values())
        if self.control_hazard is not None:
            pieces.append(self.control_hazard)
        if any(np.size(p) not in (1, len(points) + 1) for p in pieces) or (
            points and all(np.size(p) == 1 for p in pieces)
        ):
            sizes = sorted({int(np.size(p)) for p in pieces})
            raise ValueError(
                f"{len(points)} breakpoint(s) need {len(points) + 1} pieces of hazard or hazard "
                f"ratio, got {sizes}"
            )
        if not 0 <= self.cured < 1:
            raise ValueError(f"cured must be in [0, 1), got {self.cured!r}")

    @property
    def kind(self) -> str:
        """``"time_to_event"``."""
        return _KIND

    def hazards(self, arms: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Starts (m,) and hazards (n_arms, m) of the patients who can have the event."""
        starts = np.array([0.0, *self.breakpoints])
        if self.control_median is not None:
            control = np.full(len(starts), np.log(2) / self.control_median)
        else:
            control = np.broadcast_to(as_floats(self.control_hazard, "control_hazard"), len(starts))
        effects = effects_by_arm(self.hazard_ratio, arms, "hazard_ratio")
        return starts, np.array([control * np.broadcast_to(e, len(starts)) for e in effects])

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Latent event times."""
        starts, hazards = self.hazards(batch.arms)
        exponential = batch.streams.exponential("event", batch.n_patients)
        time = times_from_exponentials(exponential, batch.arm, starts, hazards)
        if self.cured:
            time[batch.streams.uniform("cured", batch.n_patients) < self.cured] = np.inf
        return OutcomeBatch(time=time)


@dataclass(frozen=True)
class Weibull(Record):
    """Weibull times with proportional hazards.

    Survival of the control is ``exp(-(t/scale)^shape)``, with the scale set by the median.

    Attributes:
        control_median: months. shape: 1 is exponential, above 1 a rising hazard.
        hazard_ratio: number, or a mapping arm → number.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> outcomes = ts.Weibull(control_median=12, shape=1.3, hazard_ratio=0.7)
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> 0 <= result.power <= 1
        True
    """

    control_median: float
    shape: float
    hazard_ratio: Any = 1.0

    def __post_init__(self) -> None:
        for name in ("control_median", "shape"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")
            object.__setattr__(self, name, float(getattr(self, name)))
        ratios = check_hazard_ratio(self.hazard_ratio)
        values = ratios.values() if isinstance(ratios, dict) else [ratios]
        if any(np.ndim(v) for v in values):
            raise ValueError(f"Weibull takes one hazard ratio an arm, got {self.hazard_ratio!r}")
        object.__setattr__(self, "hazard_ratio", ratios)

    @property
    def kind(self) -> str:
        """``"time_to_event"``."""
        return _KIND

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Latent event times."""
        effects = effects_by_arm(self.hazard_ratio, batch.arms, "hazard_ratio")
        # H(t) = ln 2 * HR * (t / median)^shape
        factor = np.array([(np.log(2) * e[0]) for e in effects])
        exponential = batch.streams.exponential("event", batch.n_patients)
        ratio = exponential / factor[batch.arm]
        return OutcomeBatch(time=self.control_median * ratio ** (1 / self.shape))


@dataclass(frozen=True)
class SurvivalTable(Record):
    """Any survival curve given as a table, one a arm or one for control with a hazard ratio.

    Attributes:
        time: increasing months, from above 0.
        survival: control survival at ``time``, non-increasing in [0, 1]; or a mapping arm → list.
        hazard_ratio: applied to the control curve for arms without a curve of their own.
        interpolation: ``"hazard"``, constant hazard between points (log-linear), or ``"steps"``,
            events only at the points, as in a Kaplan–Meier table (ties).
        tail: what follows the last point: ``"none"`` (no events: censored at the horizon by whoever
            looks) or ``"hazard"`` (the last interval's hazard goes on).

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> outcomes = ts.SurvivalTable(
        ...     [6, 12, 24, 48], [0.8, 0.55, 0.3, 0.05], hazard_ratio=0.7
        ... )
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> 0 <= result.power <= 1
        True
    """

    time: Any
    survival: Any
    hazard_ratio: Any = 1.0
    interpolation: str = "hazard"
    tail: str = "none"

    def __post_init__(self) -> None:
        time = as_floats(self.time, "time")
        if time[0] <= 0 or any(b <= a for a, b in itertools.pairwise(time)):
            raise ValueError(f"time must be positive and increasing, got {list(time)}")
        object.__setattr__(self, "time", time)
        by_arm = isinstance(self.survival, Mapping)
        curves = dict(self.survival) if by_arm else {"": self.survival}
        for arm, curve in curves.items():
            values = as_floats(curve, "survival")
            if len(values) != len(time):
                raise ValueError(
                    f"survival must have {len(time)} values, one a time, got {len(values)}"
                )
            falling = all(b <= a for a, b in zip((1.0, *values), values))
            if not falling or values[-1] < 0:
                raise ValueError(f"survival must fall from at most 1 to at least 0, got {curve!r}")
            curves[arm] = values
        object.__setattr__(self, "survival", curves if by_arm else curves[""])
        object.__setattr__(self, "hazard_ratio", check_hazard_ratio(self.hazard_ratio))
        for name, known in (("interpolation", ("hazard", "steps")), ("tail", ("none", "hazard"))):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise ValueError(f"{name} {value!r} is unknown{nearest(value, known)}")

    @property
    def kind(self) -> str:
        """``"time_to_event"``."""
        return _KIND

    def _curves(self, arms: tuple[str, ...]) -> list[tuple[np.ndarray, float]]:
        """Cumulative hazard at ``time`` and hazard ratio, for each arm."""
        effects = effects_by_arm(self.hazard_ratio, arms, "hazard_ratio")
        curves = []
        for arm, effect in zip(arms, effects):
            if isinstance(self.survival, dict):
                if arm not in self.survival:
                    raise ValueError(
                        f"survival has no curve for arm {arm!r}{nearest(arm, self.survival)}"
                    )
                values, effect = self.survival[arm], (1.0,)
            else:
                values = self.survival
            with np.errstate(divide="ignore"):
                curves.append((-np.log(np.array(values)), effect[0]))
        return curves

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Latent event times."""
        exponential = batch.streams.exponential("event", batch.n_patients)
        knots = np.array(self.time)
        out = np.full(exponential.shape, np.inf)
        for code, (hazard, ratio) in enumerate(self._curves(batch.arms)):
            mine = batch.arm == code
            target = exponential[mine] / ratio
            if self.interpolation == "steps":
                place = np.searchsorted(hazard, target, side="left")
                times = np.append(knots, np.inf)[place]
            else:
                times = _invert_linear(target, knots, hazard)
            if self.tail == "hazard" and np.isfinite(hazard[-1]):
                last = hazard[-1] - (hazard[-2] if len(hazard) > 1 else 0.0)
                width = knots[-1] - (knots[-2] if len(knots) > 1 else 0.0)
                beyond = target > hazard[-1]
                if last > 0:
                    times[beyond] = knots[-1] + (target[beyond] - hazard[-1]) * width / last
            out[mine] = times
        return OutcomeBatch(time=out)


def _invert_linear(target: np.ndarray, knots: np.ndarray, hazard: np.ndarray) -> np.ndarray:
    """Invert a cumulative hazard that is linear between knots; inf beyond the last.

    Where the survival reaches 0 the hazard is infinite: the event falls on the interval's end.
    """
    x = np.concatenate([[0.0], knots])
    h = np.concatenate([[0.0], hazard])
    place = np.searchsorted(h, target, side="left")
    inside = place < len(h)
    k = np.minimum(place, len(h) - 1)
    low, high = h[np.maximum(k - 1, 0)], h[k]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(np.isinf(high), 1.0, (target - low) / (high - low))
    times = x[np.maximum(k - 1, 0)] + share * (x[k] - x[np.maximum(k - 1, 0)])
    return np.where(inside, times, np.inf)


@dataclass(frozen=True)
class SampledTimes(Record):
    """A user's own sampler.

    Attributes:
        sampler: function of a :class:`~trial_sim.scenarios.PatientBatch` that returns latent times
            (n_trials, n_patients). Draw randomness from ``batch.streams`` only.

    Examples:
        >>> import trial_sim as ts
        >>> import numpy as np
        >>> def sampler(batch):
        ...     uniform = batch.streams.uniform("event", batch.arm.shape[1])
        ...     return -np.log(uniform) * np.where(batch.arm == 0, 15.0, 20.0)
        ...
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> outcomes = ts.SampledTimes(sampler)
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> 0 <= result.power <= 1
        True
    """

    sampler: Callable[[PatientBatch], np.ndarray]

    def __post_init__(self) -> None:
        if not callable(self.sampler):
            raise TypeError(f"sampler must be a function, got {self.sampler!r}")

    @property
    def kind(self) -> str:
        """``"time_to_event"``."""
        return _KIND

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Latent event times from the user's function.

        Raises:
            TypeError: if they are not numbers.
            ValueError: if they have the wrong shape, or are negative or NaN.
        """
        drawn = self.sampler(batch)
        try:
            time = np.asarray(drawn, dtype=float)
        except (TypeError, ValueError):
            raise TypeError(
                f"the sampler must return an array of times, got {type(drawn).__name__}"
            ) from None
        if time.shape != batch.arm.shape:
            raise ValueError(
                f"the sampler must return times of shape {batch.arm.shape} (trials, patients), "
                f"got {time.shape}"
            )
        if np.isnan(time).any() or (time < 0).any():
            raise ValueError("the sampler must return times of 0 or more, got negative or NaN")
        return OutcomeBatch(time=time)
