"""`SampleSize`: what every sample-size function returns, and the checks that they share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from trial_sim.base.arguments import between, nearest
from trial_sim.base.written import Written
from trial_sim.sample_size.design_summary import summary_of
from trial_sim.sequential.boundaries import drift_for_power

if TYPE_CHECKING:
    import pandas as pd

    from trial_sim.sample_size.average_hazard import SurvivalScenario
    from trial_sim.sequential.design import GroupSequential


@dataclass(frozen=True)
class SampleSize(Written):
    """The size of one trial, unrounded, with what it assumes.

    method: the formula. effect_name, effect: the alternative, e.g. ("hazard_ratio", 0.7).
    power, alpha, sided: alpha is of both sides together when sided is 2.
    n_per_arm: patients in the control arm (in each arm at allocation 1; in the only arm of a
        one-arm trial). allocation: treatment patients per control patient.
    n_arms: 2, or 1. events: expected events (event-driven endpoints). duration: months from the
        first patient to the final analysis. accrual_duration: months of enrolment.
    inflation_factor: maximum over fixed size, already in n and events (1 for a fixed design).
    details: further numbers of the method, by name.

    Examples:
        >>> import trial_sim as ts
        >>> size = ts.sample_size_means(0.5)
        >>> round(size.n_per_arm, 2), round(size.n_treatment, 2), round(size.n_total, 2)
        (85.03, 85.03, 170.06)
        >>> size.rounded().n_total
        172.0
        >>> type(size).from_dict(size.to_dict()) == type(size).from_json(size.to_json())
        True
    """

    method: str
    effect_name: str
    effect: float
    power: float
    alpha: float
    sided: int
    n_per_arm: float
    allocation: float = 1.0
    n_arms: int = 2
    events: float | None = None
    duration: float | None = None
    accrual_duration: float | None = None
    inflation_factor: float = 1.0
    details: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.generic):
                object.__setattr__(self, item.name, value.item())
        if not (np.isfinite(self.n_per_arm) and self.n_per_arm > 0):
            raise ValueError(f"n_per_arm must be above 0 and finite, got {self.n_per_arm}")

    @property
    def n_treatment(self) -> float:
        """Patients in the treatment arm, unrounded; 0 for a one-arm trial."""
        return self.n_per_arm * self.allocation if self.n_arms == 2 else 0.0

    @property
    def n_total(self) -> float:
        """Patients in all, unrounded."""
        return self.n_per_arm + self.n_treatment

    def rounded(self) -> SampleSize:
        """Whole patients, each arm (and the events) rounded up; power is left as it was."""
        control = ceil(self.n_per_arm - 1e-9)
        treatment = ceil(self.n_treatment - 1e-9)
        events = None if self.events is None else float(ceil(self.events - 1e-9))
        ratio = treatment / control if self.n_arms == 2 else self.allocation
        return replace(self, n_per_arm=float(control), allocation=ratio, events=events)

    def summary(
        self, boundaries: GroupSequential, scenario: SurvivalScenario | None = None
    ) -> pd.DataFrame:
        """The group-sequential design look by look, as a protocol shows it.

        Args:
            boundaries: those that the size was found with.
            scenario: of a survival trial (`survival_scenario`), to add months and patients.

        Columns: information; patients, or events (of a scenario both, and months); each bound as
        z, as one-sided p and as the effect observed there (``_other``: on the other side, of a
        two-sided test); cumulative alpha and power; the chance to cross each bound at the look
        under no effect (``_h0``) and under the planned one (``_h1``). Bounds on the effect: of
        means by sd and t (or normal) quantile, of proportions by the pooled test at ``p2``, of
        survival by Schoenfeld's variance, else (and for other null values) in proportion to the
        planned effect.

        Raises:
            ValueError: for boundaries of another error; a scenario of what is no survival trial.

        Examples:
            >>> import trial_sim as ts
            >>> gs = ts.group_sequential((0.5, 1), efficacy="obrien_fleming")
            >>> size = ts.sample_size_means(2, sd=5, boundaries=gs)
            >>> size.summary(gs)[["patients", "efficacy_difference"]].round(1).to_numpy().tolist()
            [[133.3, 2.5], [266.5, 1.2]]
        """
        return summary_of(self, boundaries, scenario)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and names; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> SampleSize:
        """A record from `to_dict`. Raises ValueError for an unknown key."""
        known = [item.name for item in fields(cls)]
        for key in plain:
            if key not in known:
                raise ValueError(f"unknown key {key!r} of a sample size{nearest(key, known)}")
        return cls(**plain)

    def __repr__(self) -> str:
        side = "one" if self.sided == 1 else "two"
        lines = [
            f"SampleSize ({self.method}): {self.effect_name} {self.effect:.6g}, "
            f"power {self.power:.4f}, {side}-sided alpha {self.alpha:g}"
        ]
        if self.n_arms == 1:
            lines.append(f"  n {self.n_total:.3f}")
        else:
            lines.append(
                f"  n {self.n_total:.3f} = {self.n_per_arm:.3f} control "
                f"+ {self.n_treatment:.3f} treatment"
            )
        if self.events is not None:
            lines.append(f"  events {self.events:.3f}")
        if self.duration is not None:
            lines.append(f"  duration {self.duration:.3f} months")
        if self.inflation_factor != 1.0:
            lines.append(f"  maximum / fixed {self.inflation_factor:.4f} (group-sequential)")
        lines.extend(f"  {name} {value:.6g}" for name, value in self.details.items())
        return "\n".join(lines)


@dataclass(frozen=True)
class ErrorLevel:
    """Error rates of a test, from the caller's arguments or from group-sequential boundaries."""

    alpha: float
    sided: int
    boundaries: GroupSequential | None = None

    @property
    def z_alpha(self) -> float:
        """Critical value of the fixed test."""
        return float(-ndtri(self.alpha / self.sided))

    def inflation(self, power: float) -> float:
        """Maximum over fixed sample size at `power`."""
        if self.boundaries is None:
            return 1.0
        if abs(power - self.boundaries.power) < 1e-12:
            return self.boundaries.inflation_factor
        gs = self.boundaries
        fixed = float(ndtri(power)) + self.z_alpha
        drift = drift_for_power(
            gs.information_fractions,
            gs.efficacy_bounds,
            gs.futility_bounds,
            power,
            gs.sided,
            fixed,
        )
        return (drift / fixed) ** 2

    def power_of_fixed(self, fixed_power: float) -> float:
        """Power with the boundaries, of the trial whose final analysis alone has `fixed_power`."""
        if self.boundaries is None:
            return fixed_power
        drift = float(ndtri(min(max(fixed_power, 1e-15), 1 - 1e-15))) + self.z_alpha
        return self.boundaries.power_at(drift)


def error_level(alpha: Any, sided: Any, boundaries: GroupSequential | None) -> ErrorLevel:
    """Check alpha and sided, or take them from `boundaries` where given."""
    if boundaries is not None:
        return ErrorLevel(boundaries.alpha, boundaries.sided, boundaries)
    if sided not in (1, 2) or isinstance(sided, bool):
        raise ValueError(f"sided must be 1 or 2, got {sided!r}")
    return ErrorLevel(between("alpha", alpha, 0.0, 0.5 * sided), int(sided))


def normal_power(drift: float, level: ErrorLevel) -> float:
    """Power of a fixed z-test whose statistic has mean `drift` (both tails when two-sided)."""
    power = float(ndtr(drift - level.z_alpha))
    return power + float(ndtr(-drift - level.z_alpha)) if level.sided == 2 else power
