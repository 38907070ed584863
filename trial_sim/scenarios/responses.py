"""Outcomes that are one value a patient: binary, ordinal, continuous, count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.base.records import Record, as_floats
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch, check_arms


def values_by_arm(control: float, treated: Any, arms: tuple[str, ...], what: str) -> np.ndarray:
    """One value an arm, (n_arms,): the control's, and one number or a mapping for the others."""
    if isinstance(treated, Mapping):
        check_arms(treated, arms, what)
        return np.array([control, *(float(treated[arm]) for arm in arms[1:])])
    return np.array([control, *[float(treated)] * (len(arms) - 1)])


def _all_values(value: Any) -> list[float]:
    return [float(v) for v in (value.values() if isinstance(value, Mapping) else [value])]


@dataclass(frozen=True)
class BinaryResponse(Record):
    """Response or none.

    Attributes:
        control_rate: probability of a response. treatment_rate: number, or mapping arm → number.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EnrolmentLooks([200]),
        ...     test="chi_square",
        ... )
        >>> outcomes = ts.BinaryResponse(0.3, 0.5)
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> 0 <= result.power <= 1
        True
    """

    control_rate: float
    treatment_rate: Any

    def __post_init__(self) -> None:
        for rate in [self.control_rate, *_all_values(self.treatment_rate)]:
            if not 0 <= rate <= 1:
                raise ValueError(f"response rates must be in [0, 1], got {rate!r}")

    @property
    def kind(self) -> str:
        """``"binary"``."""
        return "binary"

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Responses 0 or 1."""
        rate = values_by_arm(self.control_rate, self.treatment_rate, batch.arms, "treatment_rate")
        u = batch.streams.uniform("response", batch.n_patients)
        return OutcomeBatch(response=(u < rate[batch.arm]).astype(float))


@dataclass(frozen=True)
class ContinuousResponse(Record):
    """A normal outcome, with a baseline (or prognostic score) that explains part of it.

    Attributes:
        difference: mean against control, a number or a mapping arm → number.
        sd: standard deviation of the outcome, a number or a mapping arm → number (the control among
            them). control_mean: its mean in control.
        correlation: of the baseline and the outcome, in each arm.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EnrolmentLooks([200]),
        ...     test="ancova",
        ... )
        >>> outcomes = ts.ContinuousResponse(difference=0.4, sd=1.0, correlation=0.5)
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> 0 <= result.power <= 1
        True
    """

    difference: Any
    sd: Any = 1.0
    control_mean: float = 0.0
    correlation: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 < sd < np.inf for sd in _all_values(self.sd)):
            raise ValueError(f"sd must be positive, got {self.sd!r}")
        if not -1 < self.correlation < 1:
            raise ValueError(f"correlation must be between -1 and 1, got {self.correlation!r}")
        if not np.all(np.isfinite([self.control_mean, *_all_values(self.difference)])):
            raise ValueError(
                f"means must be finite, got {self.control_mean!r}, {self.difference!r}"
            )

    @property
    def kind(self) -> str:
        """``"continuous"``."""
        return "continuous"

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Outcome, and baseline on the scale of its own standard deviation ``sd`` (of unequal ones
        the control's)."""
        shift = values_by_arm(0.0, self.difference, batch.arms, "difference")
        baseline = batch.streams.normal("baseline", batch.n_patients)
        rest = batch.streams.normal("response", batch.n_patients)
        noise = self.correlation * baseline + np.sqrt(1 - self.correlation**2) * rest
        sd = self.spreads(batch.arms)
        response = self.control_mean + shift[batch.arm] + sd[batch.arm] * noise
        return OutcomeBatch(response=response, baseline=sd[0] * baseline)

    def spreads(self, arms: tuple[str, ...]) -> np.ndarray:
        """Standard deviation of each arm, (n_arms,)."""
        if not isinstance(self.sd, Mapping):
            return np.full(len(arms), float(self.sd))
        for arm in self.sd:
            if arm not in arms:
                raise ValueError(f"sd names an unknown arm {arm!r}{nearest(arm, arms)}")
        missing = [arm for arm in arms if arm not in self.sd]
        if missing:
            raise ValueError(f"sd is missing for arm {missing[0]!r}")
        return np.array([float(self.sd[arm]) for arm in arms])


@dataclass(frozen=True)
class CountResponse(Record):
    """Numbers of events over a fixed exposure, Poisson or negative binomial.

    Attributes:
        control_rate: events per month. rate_ratio: number, or mapping arm → number.
        exposure: months over which they are counted.
        dispersion: k of the variance ``μ + k μ²``; 0 is Poisson.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EnrolmentLooks([200]),
        ...     test="negative_binomial",
        ...     better="lower",
        ... )
        >>> outcomes = ts.CountResponse(0.1, 0.5, exposure=12, dispersion=0.5)
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> result.power > 0.8
        True
    """

    control_rate: float
    rate_ratio: Any
    exposure: float = 12.0
    dispersion: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (
            ("control_rate", self.control_rate),
            ("exposure", self.exposure),
            *(("rate_ratio", r) for r in _all_values(self.rate_ratio)),
        ):
            if not 0 < value < np.inf:
                raise ValueError(f"{name} must be positive, got {value!r}")
        if not 0 <= self.dispersion < np.inf:
            raise ValueError(f"dispersion must be 0 or more, got {self.dispersion!r}")

    @property
    def kind(self) -> str:
        """``"count"``."""
        return "count"

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Counts, by inversion of the distribution function of each arm."""
        from scipy.stats import nbinom, poisson

        ratio = values_by_arm(1.0, self.rate_ratio, batch.arms, "rate_ratio")
        u = batch.streams.uniform("response", batch.n_patients)
        response = np.empty_like(u)
        for code, mean in enumerate(self.control_rate * self.exposure * ratio):
            if self.dispersion:
                size = 1 / self.dispersion
                law = nbinom(size, size / (size + mean))
            else:
                law = poisson(mean)
            steps = law.cdf(np.arange(int(law.isf(1e-16)) + 2))
            mine = batch.arm == code
            response[mine] = np.searchsorted(steps, u[mine], side="left")
        return OutcomeBatch(response=response)


@dataclass(frozen=True)
class OrdinalResponse(Record):
    """Ordered categories 0, 1, 2, … with proportional odds.

    Attributes:
        control: probability of each category in control, worst first, as ``sample_size_ordinal``
            takes them; they sum to 1.
        odds_ratio: odds of a higher category against control, number or mapping arm → number.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EnrolmentLooks([200]),
        ...     test="wilcoxon",
        ... )
        >>> outcomes = ts.OrdinalResponse([0.3, 0.4, 0.2, 0.1], odds_ratio=1.8)
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> 0 <= result.power <= 1
        True
    """

    control: Any
    odds_ratio: Any = 1.0

    def __post_init__(self) -> None:
        shares = as_floats(self.control, "control")
        if len(shares) < 2 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(
                f"control must be two or more probabilities that sum to 1, got {list(shares)}"
            )
        for ratio in _all_values(self.odds_ratio):
            if not 0 < ratio < np.inf:
                raise ValueError(f"odds_ratio must be positive, got {ratio!r}")
        object.__setattr__(self, "control", shares)

    @property
    def kind(self) -> str:
        """``"ordinal"``."""
        return "ordinal"

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Categories as numbers from 0."""
        ratio = values_by_arm(1.0, self.odds_ratio, batch.arms, "odds_ratio")
        below = np.cumsum(self.control)[:-1]
        u = batch.streams.uniform("response", batch.n_patients)
        response = np.empty_like(u)
        for code, r in enumerate(ratio):
            edges = below / (below + r * (1 - below))  # odds of being at or below, divided by r
            mine = batch.arm == code
            response[mine] = np.searchsorted(edges, u[mine], side="right")
        return OutcomeBatch(response=response)
