"""Recurrent events with frailty, and a terminal event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.records import Record
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch
from trial_sim.scenarios.responses import values_by_arm
from trial_sim.scenarios.survival import check_hazard_ratio

_MOST = 10_000


@dataclass(frozen=True)
class RecurrentEvents(Record):
    """A Poisson process for each patient, whose rate carries a gamma frailty.

    Attributes:
        control_rate: events per month. rate_ratio: number, or mapping arm → number.
        horizon: months since randomisation after which no event is generated; at least the longest
            follow-up of the design.
        dispersion: variance of the frailty (mean 1); 0 for none.
        terminal_hazard: hazard per month of an event that ends follow-up, in every arm.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.CalendarLooks([24]),
        ...     test="lwyy",
        ... )
        >>> outcomes = ts.RecurrentEvents(0.1, 0.7, horizon=24, dispersion=0.4)
        >>> result = ts.simulate(design, outcomes, n_trials=50, seed=1)
        >>> 0 <= result.power <= 1
        True
    """

    control_rate: float
    rate_ratio: Any
    horizon: float
    dispersion: float = 0.0
    terminal_hazard: float = 0.0

    def __post_init__(self) -> None:
        for name in ("control_rate", "horizon"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")
        object.__setattr__(self, "rate_ratio", check_hazard_ratio(self.rate_ratio))
        for name in ("dispersion", "terminal_hazard"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)!r}")

    @property
    def kind(self) -> str:
        """``"recurrent"``."""
        return "recurrent"

    def rates(self, arms: tuple[str, ...]) -> np.ndarray:
        """Events per month of each arm at frailty 1, (n_arms,).

        Examples:
            >>> import trial_sim as ts
            >>> outcomes = ts.RecurrentEvents(0.1, 0.7, horizon=24)
            >>> outcomes.rates(("control", "treatment")).round(3).tolist()
            [0.1, 0.07]
        """
        return self.control_rate * values_by_arm(1.0, self.rate_ratio, arms, "rate_ratio")

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Event times, padded with inf, and the time of the terminal event.

        Raises:
            ValueError: if a patient would have more than 10,000 events by the horizon.
        """
        from scipy.special import gammaincinv

        n = batch.n_patients
        rate = self.rates(batch.arms)[batch.arm]
        if self.dispersion:
            shape = 1 / self.dispersion
            rate = rate * gammaincinv(shape, batch.streams.uniform("frailty", n)) / shape
        if rate.max() * self.horizon > _MOST:
            raise ValueError(
                f"rate and horizon would give a patient some {rate.max() * self.horizon:.0f} "
                f"events; at most {_MOST} are simulated"
            )
        with np.errstate(divide="ignore"):
            gap_scale = 1 / rate
        reached = np.zeros(batch.arm.shape)
        layers: list[np.ndarray] = []
        while True:
            draw = len(layers)
            reached = reached + batch.streams.exponential("recurrence", n, draw) * gap_scale
            layers.append(np.where(reached <= self.horizon, reached, np.inf))
            if not np.isfinite(layers[-1]).any():
                break
        terminal = np.full(batch.arm.shape, np.inf)
        if self.terminal_hazard:
            terminal = batch.streams.exponential("terminal", n) / self.terminal_hazard
        return OutcomeBatch(time=terminal, recurrences=np.stack(layers, axis=2))
