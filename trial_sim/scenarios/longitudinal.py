"""Repeated measurements with drop-out: at random (MAR), or depending on what is not seen (MNAR)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.base.records import Record, as_floats
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch

CORRELATIONS = ("ar1", "compound_symmetry")


@dataclass(frozen=True)
class LongitudinalResponse(Record):
    """A multivariate normal profile over a baseline and visits.

    Attributes:
        months: of the visits after baseline, increasing. control_means: mean at each visit.
        difference: against control at each visit, a list or a mapping arm → list.
        sd: at baseline and every visit. baseline_mean: mean at baseline.
        correlation: ρ. structure: ``"ar1"`` (ρ to the power of the number of visits apart) or
            ``"compound_symmetry"``.
        dropout_rate: probability of dropping out before a visit for a patient with average values.
        dropout_slope: log odds ratio of dropping out per standard deviation by which the value
            lies below the control mean; 0 is missing completely at random.
        mechanism: ``"mar"``: the value of the visit before decides; ``"mnar"``: the value that
            would have been measured at this visit decides.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EnrolmentLooks([200], follow_up=6),
        ...     test="mmrm",
        ... )
        >>> outcomes = ts.LongitudinalResponse(
        ...     [3, 6], control_means=[1.0, 1.5], difference=[0.2, 0.5]
        ... )
        >>> result = ts.simulate(design, outcomes, n_trials=10, seed=1)
        >>> 0 <= result.power <= 1
        True
        >>> outcomes.covariance().shape
        (3, 3)
    """

    months: Any
    control_means: Any
    difference: Any
    sd: float = 1.0
    baseline_mean: float = 0.0
    correlation: float = 0.5
    structure: str = "ar1"
    dropout_rate: float = 0.0
    dropout_slope: float = 0.0
    mechanism: str = "mar"

    def __post_init__(self) -> None:
        months = as_floats(self.months, "months")
        if months[0] <= 0 or any(b <= a for a, b in itertools.pairwise(months)):
            raise ValueError(f"months must be positive and increasing, got {list(months)}")
        object.__setattr__(self, "months", months)
        means = as_floats(self.control_means, "control_means")
        effects = self.difference
        effects = dict(effects) if isinstance(effects, Mapping) else {"": effects}
        effects = {arm: as_floats(v, "difference") for arm, v in effects.items()}
        for what, values in (
            ("control_means", means),
            *(("difference", v) for v in effects.values()),
        ):
            if len(values) != len(months):
                raise ValueError(f"{what} must have {len(months)} values, got {len(values)}")
        object.__setattr__(self, "control_means", means)
        named = isinstance(self.difference, Mapping)
        object.__setattr__(self, "difference", effects if named else effects[""])
        if not 0 < self.sd < np.inf:
            raise ValueError(f"sd must be positive, got {self.sd!r}")
        if not 0 <= self.correlation < 1:
            raise ValueError(f"correlation must be in [0, 1), got {self.correlation!r}")
        if not 0 <= self.dropout_rate < 1:
            raise ValueError(f"dropout_rate must be in [0, 1), got {self.dropout_rate!r}")
        for name, known in (("structure", CORRELATIONS), ("mechanism", ("mar", "mnar"))):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} {value!r} is unknown{nearest(value, known)}")

    @property
    def kind(self) -> str:
        """``"longitudinal"``."""
        return "longitudinal"

    def covariance(self) -> np.ndarray:
        """Covariance of baseline and visits, (1 + n_visits, 1 + n_visits)."""
        k = 1 + len(self.months)
        apart = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        if self.structure == "compound_symmetry":
            apart = np.minimum(apart, 1)
        return self.sd**2 * self.correlation**apart

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Baseline and visits, NaN from drop-out on."""
        n, k = batch.n_patients, len(self.months)
        normal = [batch.streams.normal("visit", n, v) for v in range(k + 1)]
        factor = np.linalg.cholesky(self.covariance())
        noise = np.einsum("vw,wtn->tnv", factor, np.array(normal))
        profile = np.zeros((len(batch.arms), k))
        for code, arm in enumerate(batch.arms[1:], start=1):
            if isinstance(self.difference, dict):
                if arm not in self.difference:
                    raise ValueError(
                        f"difference is missing for arm {arm!r}{nearest(arm, self.difference)}"
                    )
                profile[code] = self.difference[arm]
            else:
                profile[code] = self.difference
        baseline = self.baseline_mean + noise[..., 0]
        visits = np.array(self.control_means) + profile[batch.arm] + noise[..., 1:]
        if self.dropout_rate:
            self._drop(batch, baseline, visits)
        return OutcomeBatch(visits=visits, visit_months=self.months, baseline=baseline)

    def _drop(self, batch: PatientBatch, baseline: np.ndarray, visits: np.ndarray) -> None:
        from scipy.special import expit, logit

        centre = np.array([self.baseline_mean, *self.control_means])
        complete = np.concatenate([baseline[..., None], visits], axis=2)
        gone = np.zeros(baseline.shape, bool)
        for v in range(visits.shape[2]):
            place = v + 1 if self.mechanism == "mnar" else v
            low = (centre[place] - complete[..., place]) / self.sd
            chance = expit(logit(self.dropout_rate) + self.dropout_slope * low)
            gone |= batch.streams.uniform("leaving", batch.n_patients, v) < chance
            visits[gone, v] = np.nan
