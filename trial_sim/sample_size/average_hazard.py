"""Expected events and average hazard ratio of a trial with piecewise-constant rates.

A `SurvivalScenario` holds piecewise constant accrual, hazards, hazard ratios and dropout. All the
integrals are closed forms: with S(x) the chance of being event-free and in the study at follow-up x
and A(u) the patients enrolled by calendar time u, the events expected by calendar time T with
follow-up in a piece where the hazard is h are ``h * integral of S(x) A(T - x) dx``, an exponential
times a straight line between the break points.

The average hazard ratio weights the log hazard ratio of each piece by its events, as gsDesign2 does
(Zhao, Zhang & Yang 2024, average hazard ratio under non-proportional hazards).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from trial_sim.numerics.roots import find_root
from trial_sim.sequential.integration import FloatArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class SurvivalScenario:
    """A two-arm survival trial with constant rates between break points. Times in months.

    accrual_rates: (n_periods,) patients per month, both arms together.
    accrual_durations: (n_periods,) months of each period.
    control_hazards: (n_pieces,) event hazard of the control arm per month.
    hazard_ratios: (n_pieces,) treatment over control.
    breakpoints: (n_pieces - 1,) follow-up times at which the hazards change.
    control_dropout, treatment_dropout: (n_pieces,) dropout hazards per month; scalars are repeated.
    allocation: treatment patients per control patient.

    Examples:
        >>> import trial_sim as ts
        >>> scenario = ts.survival_scenario(
        ...     accrual_rates=20, accrual_durations=10, control_median=12, hazard_ratio=0.7
        ... )
        >>> scenario.treatment_hazards.round(4).tolist(), scenario.accrual_duration
        ([0.0404], 10.0)
        >>> scenario.n_patients, scenario.treatment_share, scenario.enrolled(5).tolist()
        (200.0, 0.5, [100.0])
        >>> scenario.scaled_to(100).n_patients
        100.0
    """

    accrual_rates: FloatArray
    accrual_durations: FloatArray
    control_hazards: FloatArray
    hazard_ratios: FloatArray
    breakpoints: FloatArray
    control_dropout: FloatArray
    treatment_dropout: FloatArray
    allocation: float = 1.0

    def __post_init__(self) -> None:
        rates = _vector("accrual_rates", self.accrual_rates)
        lengths = _vector("accrual_durations", self.accrual_durations)
        if rates.shape != lengths.shape:
            raise ValueError(
                f"accrual_rates and accrual_durations must have one length, got {len(rates)} "
                f"and {len(lengths)}"
            )
        if (lengths <= 0).any() or rates.sum() <= 0:
            raise ValueError(
                "accrual needs periods longer than 0 and some patients, got durations "
                f"{lengths.tolist()} and rates {rates.tolist()}"
            )
        breaks = _vector("breakpoints", self.breakpoints, empty=True)
        if breaks.size and (breaks[0] <= 0 or (np.diff(breaks) <= 0).any()):
            raise ValueError(f"breakpoints must increase from above 0, got {breaks.tolist()}")
        n = len(breaks) + 1
        stored: dict[str, Any] = {
            "accrual_rates": rates,
            "accrual_durations": lengths,
            "breakpoints": breaks,
        }
        for name in ("control_hazards", "hazard_ratios", "control_dropout", "treatment_dropout"):
            values = _vector(name, getattr(self, name))
            if len(values) == 1:
                values = np.repeat(values, n)
            if len(values) != n:
                raise ValueError(
                    f"{name} needs {n} values for {n - 1} breakpoints, got {len(values)}"
                )
            stored[name] = values
        if (stored["hazard_ratios"] <= 0).any():
            raise ValueError(
                f"hazard ratios must be above 0, got {stored['hazard_ratios'].tolist()}"
            )
        if stored["control_hazards"].sum() <= 0:
            raise ValueError("control_hazards are all 0: no event would ever happen")
        ratio = float(self.allocation)
        if not (np.isfinite(ratio) and ratio > 0):
            raise ValueError(f"allocation must be above 0, got {self.allocation}")
        stored["allocation"] = ratio
        for name, value in stored.items():
            object.__setattr__(self, name, value)

    @property
    def treatment_hazards(self) -> FloatArray:
        """(n_pieces,) event hazard of the treatment arm per month."""
        return self.control_hazards * self.hazard_ratios

    @property
    def accrual_duration(self) -> float:
        """Months from the first to the last patient."""
        return float(self.accrual_durations.sum())

    @property
    def n_patients(self) -> float:
        """Patients enrolled when accrual is complete, both arms together."""
        return float(self.accrual_rates @ self.accrual_durations)

    @property
    def treatment_share(self) -> float:
        """Share of patients on treatment."""
        return self.allocation / (1.0 + self.allocation)

    def enrolled(self, time: ArrayLike) -> FloatArray:
        """Patients enrolled by calendar `time` (n,), both arms together. Returns (n,) float64."""
        edges = np.append(0.0, np.cumsum(self.accrual_durations))
        counts = np.append(0.0, np.cumsum(self.accrual_rates * self.accrual_durations))
        return np.interp(np.atleast_1d(np.asarray(time, dtype=float)), edges, counts)

    def scaled_to(self, n_patients: float) -> SurvivalScenario:
        """The same scenario with accrual rates multiplied to enrol `n_patients` in all."""
        from dataclasses import replace

        return replace(self, accrual_rates=self.accrual_rates * (n_patients / self.n_patients))


def survival_scenario(
    accrual_rates: Any = 1.0,
    accrual_durations: Any = 12.0,
    control_median: Any = None,
    hazard_ratio: Any = 1.0,
    breakpoints: Sequence[float] = (),
    control_hazard: Any = None,
    dropout: Any = 0.0,
    treatment_dropout: Any = None,
    allocation: float = 1.0,
) -> SurvivalScenario:
    """A `SurvivalScenario` from scalars or sequences.

    control_median or control_hazard: one of the two, for the whole follow-up or for each piece
        (a median of a piece is log 2 over its hazard).
    dropout: dropout hazard per month (for each piece); of both arms unless treatment_dropout.

    Examples:
        >>> import trial_sim as ts
        >>> scenario = ts.survival_scenario(
        ...     accrual_rates=20,
        ...     accrual_durations=25,
        ...     control_median=12,
        ...     hazard_ratio=[1.0, 0.6],
        ...     breakpoints=[4],
        ... )
        >>> ts.expected_events(scenario, [12, 24, 48]).round(1).tolist()
        [62.3, 199.9, 396.3]
    """
    if (control_median is None) == (control_hazard is None):
        raise ValueError("give control_median or control_hazard, and not both")
    if control_hazard is None:
        medians = _vector("control_median", control_median)
        if (medians <= 0).any():
            raise ValueError(f"control_median must be above 0, got {medians.tolist()}")
        control_hazard = np.log(2.0) / medians
    return SurvivalScenario(
        accrual_rates,
        accrual_durations,
        control_hazard,
        hazard_ratio,
        np.asarray(breakpoints, dtype=float),
        dropout,
        dropout if treatment_dropout is None else treatment_dropout,
        allocation,
    )


def events_by_piece(scenario: SurvivalScenario, time: float) -> tuple[FloatArray, FloatArray]:
    """Expected events by calendar `time`: control (n_pieces,) and treatment (n_pieces,)."""
    share = scenario.treatment_share
    control = _events(scenario, scenario.control_hazards, scenario.control_dropout, time)
    treated = _events(scenario, scenario.treatment_hazards, scenario.treatment_dropout, time)
    return (1.0 - share) * control, share * treated


def _events(
    scenario: SurvivalScenario, hazards: FloatArray, dropout: FloatArray, time: float
) -> FloatArray:
    accrual_edges = time - np.append(0.0, np.cumsum(scenario.accrual_durations))
    edges = np.concatenate([[0.0, time], scenario.breakpoints, accrual_edges])
    edges = np.unique(edges[(edges >= 0.0) & (edges <= time)])
    if len(edges) < 2:
        return np.zeros(len(hazards))
    width = np.diff(edges)
    piece = np.searchsorted(scenario.breakpoints, edges[:-1], side="right")
    total = (hazards + dropout)[piece]
    remaining = np.exp(-np.append(0.0, np.cumsum(total * width))[:-1])
    enrolled = scenario.enrolled(time - edges)
    slope = np.diff(enrolled) / width
    # integral over a stretch of exp(-h y) (a + b y), with series where h y is small
    hy = total * width
    small = hy < 1e-4
    safe = np.where(small, 1.0, hy)
    first = np.where(small, 1.0 - hy / 2.0 + hy**2 / 6.0, -np.expm1(-safe) / safe)
    second = np.where(
        small,
        0.5 - hy / 3.0 + hy**2 / 8.0,
        (-np.expm1(-safe) - safe * np.exp(-safe)) / safe**2,
    )
    amount = (
        hazards[piece]
        * remaining
        * (enrolled[:-1] * width * first + slope * width * width * second)
    )
    return np.bincount(piece, weights=amount, minlength=len(hazards)).astype(float)


def expected_events(scenario: SurvivalScenario, time: ArrayLike) -> FloatArray:
    """Expected events of both arms by calendar `time` (n,). Returns (n,) float64.

    Examples:
        >>> import trial_sim as ts
        >>> scenario = ts.survival_scenario(
        ...     accrual_rates=20, accrual_durations=25, control_median=12, hazard_ratio=0.7
        ... )
        >>> ts.expected_events(scenario, [24]).round(2).tolist()
        [196.55]
    """
    times = np.atleast_1d(np.asarray(time, dtype=float))
    return np.array([np.concatenate(events_by_piece(scenario, float(t))).sum() for t in times])


def average_hazard_ratio(scenario: SurvivalScenario, time: ArrayLike) -> pd.DataFrame:
    """Average hazard ratio at calendar times (n,), one row each.

    Columns: time, ahr, n (patients enrolled), events, information (of the log hazard ratio under
    the alternative), information0 (under the null, events * share * (1 - share)).

    Examples:
        >>> import trial_sim as ts
        >>> scenario = ts.survival_scenario(
        ...     accrual_rates=20,
        ...     accrual_durations=25,
        ...     control_median=12,
        ...     hazard_ratio=[1.0, 0.6],
        ...     breakpoints=[4],
        ... )
        >>> ts.average_hazard_ratio(scenario, [24, 48])["ahr"].round(3).tolist()
        [0.757, 0.685]
    """
    import pandas as pd

    rows = []
    log_ratios = np.log(scenario.hazard_ratios)
    share = scenario.treatment_share
    for t in np.atleast_1d(np.asarray(time, dtype=float)):
        if not (np.isfinite(t) and t > 0):
            raise ValueError(f"time must be above 0, got {t}")
        control, treated = events_by_piece(scenario, float(t))
        both = control + treated
        with np.errstate(invalid="ignore", divide="ignore"):
            information = np.where(both > 0, control * treated / both, 0.0)
        total = float(information.sum())
        rows.append(
            (
                t,
                float(np.exp(log_ratios @ both / both.sum())) if total > 0 else np.nan,
                float(scenario.enrolled(t)[0]),
                float(both.sum()),
                total,
                float(both.sum()) * share * (1.0 - share),
            )
        )
    return pd.DataFrame(rows, columns=["time", "ahr", "n", "events", "information", "information0"])


def time_to_events(scenario: SurvivalScenario, events: float) -> float:
    """Calendar time at which `events` are expected, both arms together.

    Raises ValueError when they are never expected.
    """
    if not (np.isfinite(events) and events > 0):
        raise ValueError(f"events must be above 0, got {events}")
    limit = float(expected_events(scenario, 1e5)[0])
    if events >= limit:
        raise ValueError(
            f"{events:g} events are never expected: at most {limit:.1f} of "
            f"{scenario.n_patients:g} patients have one"
        )
    return find_root(
        lambda t: float(expected_events(scenario, t)[0]) - events,
        scenario.accrual_duration,
        1.0,
        1e-9,
        1e5,
        xtol=1e-12,
        ftol=1e-9,
        what="the time to the events",
    )


def piecewise_survival(hazards: ArrayLike, breakpoints: ArrayLike, time: ArrayLike) -> FloatArray:
    """Survival at `time` (n,) under hazards (n_pieces,) that change at breakpoints."""
    rates = np.atleast_1d(np.asarray(hazards, dtype=float))
    edges = np.append(0.0, np.asarray(breakpoints, dtype=float))
    t = np.atleast_1d(np.asarray(time, dtype=float))
    ends = np.append(edges[1:], np.inf)
    spent = np.clip(t[:, None], edges, ends) - edges
    return np.exp(-spent @ rates)


def piecewise_quantile(hazards: ArrayLike, breakpoints: ArrayLike, share: float = 0.5) -> float:
    """Time by which `share` of patients have had the event (0.5: the median); inf if never."""
    rates = np.atleast_1d(np.asarray(hazards, dtype=float))
    edges = np.append(0.0, np.asarray(breakpoints, dtype=float))
    wanted = -float(np.log1p(-share))
    cumulative = np.append(0.0, np.cumsum(rates[:-1] * np.diff(edges)))
    k = int(np.searchsorted(cumulative, wanted, side="right")) - 1
    if rates[k] == 0.0:
        return np.inf
    return float(edges[k] + (wanted - cumulative[k]) / rates[k])


def restricted_mean(hazards: ArrayLike, breakpoints: ArrayLike, tau: float) -> float:
    """Restricted mean survival time to `tau` under piecewise constant hazards."""
    rates = np.atleast_1d(np.asarray(hazards, dtype=float))
    edges = np.append(0.0, np.asarray(breakpoints, dtype=float))
    if len(rates) != len(edges):
        raise ValueError(f"{len(edges) - 1} breakpoints need {len(edges)} hazards")
    starts = edges[edges < tau]
    widths = np.diff(np.append(starts, tau))
    rates = rates[: len(starts)]
    remaining = piecewise_survival(rates, starts[1:], starts)
    hy = rates * widths
    safe = np.where(hy > 1e-12, hy, 1.0)
    share = np.where(hy > 1e-12, -np.expm1(-safe) / safe, 1.0)
    return float(remaining @ (widths * share))


def _vector(name: str, values: Any, empty: bool = False) -> FloatArray:
    try:
        vector = np.array(np.atleast_1d(values), dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number or a sequence, got {values!r}") from None
    if vector.ndim != 1 or (vector.size == 0 and not empty):
        raise ValueError(f"{name} must hold numbers in one row, got {values!r}")
    if not np.isfinite(vector).all() or (vector < 0).any():
        raise ValueError(f"{name} must be finite and not negative, got {vector.tolist()}")
    vector.flags.writeable = False
    return vector
