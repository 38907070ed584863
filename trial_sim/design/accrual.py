"""How patients arrive (``Accrual``) and leave (``Dropout``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numba as nb
import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.base.records import Record, as_breakpoints, as_floats
from trial_sim.numerics.piecewise_hazards import times_from_exponentials
from trial_sim.numerics.random_streams import Streams

PROCESSES = ("poisson", "uniform", "even")
_SEASONS_HORIZON = 600  # months over which a seasonal pattern is laid out


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _arrivals(target, gaps, starts, rates, out):
    """Times at which the cumulative accrual intensity reaches ``target``, ascending in each row.

    With ``gaps``, ``target`` holds the steps between targets instead of the targets. ``out`` may be
    ``target``.
    """
    n_trials, n = target.shape
    m = starts.shape[0]
    cumulative = np.zeros(m)
    for k in range(1, m):
        cumulative[k] = cumulative[k - 1] + rates[k - 1] * (starts[k] - starts[k - 1])
    for t in range(n_trials):
        k = 0
        reached = 0.0
        for i in range(n):
            reached = target[t, i] + (reached if gaps else 0.0)
            while k < m - 1 and cumulative[k + 1] <= reached:
                k += 1
            out[t, i] = starts[k] + (reached - cumulative[k]) / rates[k]


@dataclass(frozen=True)
class Accrual(Record):
    """Arrival of patients at a rate that may change, with seasons and uncertainty.

    Attributes:
        rate: patients per month; a list for pieces.
        breakpoints: months at which the rate changes, one fewer than the rates.
        process: ``"poisson"`` (random gaps, the default), ``"uniform"`` (the patients' order
            statistics over the planned accrual period) or ``"even"`` (equal gaps).
        rate_cv: coefficient of variation of the whole trial's rate around the plan; each simulated
            trial draws its own gamma factor of mean 1.
        seasonality: twelve factors, January first, multiplying the rate; empty for none.
        opening_month: calendar month (1 to 12) in which the trial opens, for ``seasonality``.

    Examples:
        >>> import trial_sim as ts
        >>> accrual = ts.Accrual(rate=[5, 20], breakpoints=[6])
        >>> round(float(accrual.expected_time(100)), 2)
        9.5
        >>> [part.tolist() for part in accrual.pieces()]
        [[0.0, 6.0], [5.0, 20.0]]
        >>> accrual.validate_for(100)  # the last rate goes on, so that they are reached
        >>> ts.Accrual.from_durations([6, 12], [5, 20]).pieces()[1].tolist()
        [5.0, 20.0]
        >>> ts.Accrual.from_sites([0, 1, 2], rate_per_site=2.0).pieces()[1].tolist()
        [2.0, 4.0, 6.0]
        >>> from trial_sim.numerics.random_streams import Streams
        >>> accrual.sample(Streams.span(0, 0, 3), 100).shape
        (3, 100)
    """

    rate: Any
    breakpoints: Any = ()
    process: str = "poisson"
    rate_cv: float = 0.0
    seasonality: Any = ()
    opening_month: int = 1

    def __post_init__(self) -> None:
        rates = as_floats(self.rate, "accrual rate")
        if any(r < 0 or np.isinf(r) for r in rates) or not any(r > 0 for r in rates):
            raise ValueError(
                f"accrual rate must be positive patients per month, got {self.rate!r}: "
                "this accrual never finishes"
            )
        object.__setattr__(self, "rate", rates[0] if np.ndim(self.rate) == 0 else rates)
        points = as_breakpoints(self.breakpoints, len(rates), "accrual")
        object.__setattr__(self, "breakpoints", points)
        if self.process not in PROCESSES:
            raise ValueError(
                f"accrual process {self.process!r} is unknown{nearest(self.process, PROCESSES)}"
            )
        if not self.rate_cv >= 0:
            raise ValueError(f"rate_cv must be 0 or more, got {self.rate_cv!r}")
        seasons = as_floats(self.seasonality, "seasonality") if np.size(self.seasonality) else ()
        if seasons and (len(seasons) != 12 or min(seasons) < 0 or max(seasons) == 0):
            raise ValueError(
                f"seasonality must be twelve factors of 0 or more, got {list(seasons)}"
            )
        object.__setattr__(self, "seasonality", seasons)
        if self.opening_month not in range(1, 13):
            raise ValueError(f"opening_month must be 1 to 12, got {self.opening_month!r}")

    @classmethod
    def from_sites(
        cls,
        activation: Sequence[float],
        rate_per_site: float,
        ramp: float = 0.0,
        **fields: Any,
    ) -> Accrual:
        """Accrual of sites that open one after another.

        Args:
            activation: month in which each site opens.
            rate_per_site: patients per month of an open site.
            ramp: months in which a new site climbs to its full rate, in four equal steps of rate.
            **fields: further fields of :class:`Accrual`.

        Raises:
            ValueError: if no site opens or a time is negative.
        """
        opens = np.sort(np.asarray(as_floats(activation, "site activation")))
        if len(opens) == 0 or opens[0] < 0 or ramp < 0:
            raise ValueError(
                f"sites must open at month 0 or later and ramp must be 0 or more, got "
                f"activation={activation!r}, ramp={ramp!r}"
            )
        steps = np.array([0.0]) if ramp == 0 else np.arange(4) * ramp / 4
        share = 1.0 / len(steps)
        jumps = np.sort((opens[:, None] + steps).ravel())
        times = np.unique(jumps)
        rates = rate_per_site * share * np.searchsorted(jumps, times, side="right")
        if times[0] > 0:
            times, rates = np.append(0.0, times), np.append(0.0, rates)
        return cls(rate=tuple(rates), breakpoints=tuple(times[1:]), **fields)

    @classmethod
    def from_durations(
        cls, durations: Sequence[float], rates: Sequence[float], **fields: Any
    ) -> Accrual:
        """Accrual written as (duration, rate) pieces, as gsDesign does; the last rate goes on."""
        durations = as_floats(durations, "durations")
        return cls(rate=tuple(rates), breakpoints=tuple(np.cumsum(durations)[:-1]), **fields)

    def pieces(self) -> tuple[np.ndarray, np.ndarray]:
        """Starts (m,) and rates (m,) of the constant pieces, seasons included; the last goes on."""
        starts = np.array([0.0, *self.breakpoints])
        rates = np.array(as_floats(self.rate, "accrual rate"))
        if not self.seasonality:
            return starts, rates
        horizon = float(_SEASONS_HORIZON) + starts[-1]
        grid = np.union1d(starts, np.arange(0.0, horizon))
        base = rates[np.searchsorted(starts, grid, side="right") - 1]
        month = (np.floor(grid).astype(int) + self.opening_month - 1) % 12
        return grid, base * np.array(self.seasonality)[month]

    def expected_time(self, n: float | np.ndarray) -> np.ndarray:
        """Month by which ``n`` patients are expected; inf if the accrual never gets there."""
        starts, rates = self.pieces()
        out = np.empty((1, np.size(n)))
        _arrivals(np.atleast_1d(np.asarray(n, float))[None, :], False, starts, rates, out)
        return out[0] if np.ndim(n) else out[0, 0]

    def validate_for(self, n_patients: int) -> None:
        """Raise ValueError if ``n_patients`` are never reached because the last rate is 0."""
        if not np.isfinite(self.expected_time(float(n_patients))):
            starts, rates = self.pieces()
            total = float((rates[:-1] * np.diff(starts)).sum())
            raise ValueError(
                f"accrual never finishes: the rates bring {total:g} patients and then stop, "
                f"but n_patients is {n_patients}"
            )

    def sample(self, streams: Streams, n_patients: int, planned: int | None = None) -> np.ndarray:
        """Enrolment times, (n_trials, n_patients) float64 months, ascending in each trial.

        planned: patients of the plan where more are drawn, of a trial that grows: the first so many
            come as they would without the others, who follow at the same rate.
        """
        n = n_patients if planned is None else planned
        if self.process == "poisson":
            target = streams.exponential("accrual", n_patients)
        elif self.process == "uniform":
            sums = np.cumsum(streams.exponential("accrual", max(n_patients, n) + 1), axis=1)
            target = sums[:, :n] * (n / sums[:, n : n + 1])
            if n_patients > n:
                later = n + sums[:, n + 1 :] - sums[:, n : n + 1]
                target = np.concatenate([target, later], axis=1)
        else:
            target = np.tile(np.arange(n_patients) + 0.5, (streams.n_trials, 1))
        if self.rate_cv > 0:
            from scipy.special import gammaincinv

            shape = self.rate_cv**-2
            factor = gammaincinv(shape, streams.uniform("accrual rate", 1)) / shape
            target = target / factor
        starts, rates = self.pieces()
        _arrivals(target, self.process == "poisson", starts, rates, target)
        return target


@dataclass(frozen=True)
class Dropout(Record):
    """Loss to follow-up with a piecewise-constant hazard, by arm if wanted.

    Attributes:
        rate: dropouts per patient-month; a list for pieces since randomisation.
        breakpoints: months since randomisation at which the hazard changes.
        by_arm: arm → rate (or list of rates, same pieces), for arms that differ from ``rate``.

    Examples:
        >>> import trial_sim as ts
        >>> round(float(ts.Dropout.from_probability(0.1, by=12).rate), 5)
        0.00878
        >>> dropout = ts.Dropout(rate=0.01)
        >>> [part.tolist() for part in dropout.hazards(("control", "treatment"))]
        [[0.0], [[0.01], [0.01]]]
        >>> import numpy as np
        >>> from trial_sim.numerics.random_streams import Streams
        >>> arm = np.array([[0, 1, 0, 1]], dtype=np.int8)
        >>> dropout.sample(Streams.span(0, 0, 1), arm, ("control", "treatment")).shape
        (1, 4)
    """

    rate: Any = 0.0
    breakpoints: Any = ()
    by_arm: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.by_arm, Mapping):
            raise ValueError(f"by_arm must be a mapping from arms to rates, got {self.by_arm!r}")
        rates = self._rates(self.rate, "dropout rate")
        object.__setattr__(self, "rate", rates[0] if np.ndim(self.rate) == 0 else rates)
        n_pieces = max([len(rates), *(np.size(r) for r in self.by_arm.values())])
        points = as_breakpoints(self.breakpoints, n_pieces, "dropout")
        object.__setattr__(self, "breakpoints", points)
        by_arm: dict[str, Any] = {}
        for arm, value in self.by_arm.items():
            own = self._rates(value, f"dropout rate of arm {arm!r}")
            if len(own) not in (1, n_pieces):
                raise ValueError(
                    f"dropout rate of arm {arm!r} must have {n_pieces} piece(s), got {value!r}"
                )
            by_arm[str(arm)] = own[0] if np.ndim(value) == 0 else own
        object.__setattr__(self, "by_arm", by_arm)

    @staticmethod
    def _rates(value: Any, what: str) -> tuple[float, ...]:
        rates = as_floats(value, what)
        if any(r < 0 or np.isinf(r) for r in rates):
            raise ValueError(f"{what} must be 0 or more per month, got {value!r}")
        return rates

    @classmethod
    def from_probability(cls, probability: float, by: float = 12.0) -> Dropout:
        """Constant hazard under which ``probability`` of the patients drop out ``by`` a month."""
        if not 0 <= probability < 1 or not by > 0:
            raise ValueError(
                f"probability must be in [0, 1) and by positive, got {probability!r} by {by!r}"
            )
        return cls(rate=float(-np.log1p(-probability) / by))

    def hazards(self, arms: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Starts (m,) and hazards (n_arms, m).

        Raises:
            ValueError: if ``by_arm`` names an arm that is not there.
        """
        for arm in self.by_arm:
            if arm not in arms:
                raise ValueError(f"dropout names an unknown arm {arm!r}{nearest(arm, arms)}")
        starts = np.array([0.0, *self.breakpoints])
        rows = [
            np.broadcast_to(as_floats(self.by_arm.get(a, self.rate), "rate"), starts.shape)
            for a in arms
        ]
        return starts, np.array(rows, dtype=float)

    def sample(self, streams: Streams, arm: np.ndarray, arms: Sequence[str]) -> np.ndarray | None:
        """Months from randomisation to dropout, (n_trials, n_patients); None if nobody leaves."""
        starts, hazards = self.hazards(arms)
        if not hazards.any():
            return None
        exponential = streams.exponential("dropout", arm.shape[1])
        return times_from_exponentials(exponential, arm, starts, hazards)
