"""When a trial is looked at: by events, calendar, enrolment, follow-up, or the first of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.records import Record, as_floats, as_number
from trial_sim.numerics.order_statistics import kth_smallest


@dataclass(frozen=True)
class Observed:
    """Calendar months of what happens in a batch of trials: enrolment, events, ends of follow-up.

    Attributes:
        enrolment: (n_trials, n) float64 calendar months, ascending.
        calendar_event: (n_trials, m) calendar month of each event, inf where it never happens; one
            a patient, except for recurrent events.
        calendar_exit: (n_trials, n) calendar month at which the patient's follow-up ends for good.
        had_event: (n_trials, n) whether it ends in the event.
    """

    enrolment: np.ndarray
    calendar_event: np.ndarray
    calendar_exit: np.ndarray
    had_event: np.ndarray


@dataclass(frozen=True)
class Looks(Record):
    """Base of the rules that say when the looks are taken.

    Examples:
        >>> import numpy as np
        >>> import trial_sim as ts
        >>> from trial_sim.design.look_rules import Observed
        >>> enrolled = np.array([[0.0, 1.0, 2.0]])
        >>> events = np.array([[4.0, 9.0, 6.0]])
        >>> seen = Observed(enrolled, events, events, np.ones((1, 3), bool))
        >>> looks = ts.EventLooks([2, 3])
        >>> looks.n_looks, looks.times(seen).tolist(), looks.unreachable(2)
        (2, [[6.0, 9.0]], [2])
        >>> looks.planned_information, looks.planned_fractions(times=True).round(3).tolist()
        (3.0, [0.667, 1.0])
    """

    @property
    def n_looks(self) -> int:
        """Number of planned looks."""
        raise NotImplementedError

    def times(self, observed: Observed) -> np.ndarray:
        """Calendar month of each look, (n_trials, n_looks); inf where it is never triggered."""
        raise NotImplementedError

    def unreachable(self, n_patients: int) -> list[int]:
        """Numbers (from 1) of the looks that no trial of this size can reach."""
        return []

    @property
    def planned_information(self) -> float:
        """Events or patients of the last look; NaN for rules that say nothing about them."""
        return np.nan

    def planned_fractions(self, times: bool) -> np.ndarray | None:
        """Information fractions (n_looks,) that the rule plans; None where it does not say.

        times: whether the endpoint is a time, so that events and not patients are information.
        """
        return None


def _increasing(values: tuple[float, ...], what: str) -> None:
    if not values:
        raise ValueError(f"{what} must name at least one look, got none")
    if values[0] <= 0 or any(b <= a for a, b in itertools.pairwise(values)):
        raise ValueError(f"{what} must be positive and increasing, got {list(values)}")


def _whole(value: Any, what: str) -> tuple[int, ...]:
    numbers = as_floats(value, what)
    if any(v != int(v) for v in numbers if np.isfinite(v)) or not np.all(np.isfinite(numbers)):
        raise ValueError(f"{what} must be whole numbers, got {list(numbers)}")
    return tuple(int(v) for v in numbers)


@dataclass(frozen=True)
class EventLooks(Looks):
    """A look when each number of events (all arms together) has been seen.

    Attributes:
        events: events at each look, increasing.
        lag: months from the data cut to the decision, in which accrual and follow-up go on.

    Examples:
        >>> import trial_sim as ts
        >>> looks = ts.EventLooks([110, 220, 331])
        >>> looks.n_looks, looks.planned_information
        (3, 331.0)
        >>> looks.planned_fractions(times=True).round(3).tolist()
        [0.332, 0.665, 1.0]
    """

    events: Any
    lag: float = 0.0

    def __post_init__(self) -> None:
        events = _whole(self.events, "events of the looks")
        _increasing(events, "events of the looks")
        object.__setattr__(self, "events", events)
        check_lag(self.lag)

    @property
    def n_looks(self) -> int:
        return len(self.events)

    def times(self, observed: Observed) -> np.ndarray:
        out = np.empty((observed.enrolment.shape[0], self.n_looks))
        kth_smallest(observed.calendar_event, np.array(self.events, dtype=np.int64), out)
        return out

    @property
    def planned_information(self) -> float:
        return float(self.events[-1])

    def planned_fractions(self, times: bool) -> np.ndarray | None:
        return np.array(self.events) / self.events[-1]

    def unreachable(self, n_patients: int) -> list[int]:
        return [k for k, events in enumerate(self.events, start=1) if events > n_patients]


@dataclass(frozen=True)
class CalendarLooks(Looks):
    """A look at each calendar month since the trial opened.

    Attributes:
        months: increasing. lag: months from the data cut to the decision.

    Examples:
        >>> import trial_sim as ts
        >>> ts.CalendarLooks([12, 24], lag=1.5).n_looks
        2
    """

    months: Any
    lag: float = 0.0

    def __post_init__(self) -> None:
        months = as_floats(self.months, "months of the looks")
        _increasing(months, "months of the looks")
        object.__setattr__(self, "months", months)
        check_lag(self.lag)

    @property
    def n_looks(self) -> int:
        return len(self.months)

    def times(self, observed: Observed) -> np.ndarray:
        return np.tile(np.array(self.months), (observed.enrolment.shape[0], 1))


@dataclass(frozen=True)
class EnrolmentLooks(Looks):
    """A look when each number of patients has been enrolled, plus some months of follow-up.

    Attributes:
        patients: increasing numbers of patients. follow_up: months after the last of them entered.
        lag: months from the data cut to the decision.

    Examples:
        >>> import trial_sim as ts
        >>> looks = ts.EnrolmentLooks([100, 200], follow_up=6)
        >>> looks.n_looks, looks.planned_information
        (2, 200.0)
        >>> looks.planned_fractions(times=False).tolist()
        [0.5, 1.0]
    """

    patients: Any
    follow_up: float = 0.0
    lag: float = 0.0

    def __post_init__(self) -> None:
        patients = _whole(self.patients, "patients of the looks")
        _increasing(patients, "patients of the looks")
        object.__setattr__(self, "patients", patients)
        if not 0 <= self.follow_up < np.inf:
            raise ValueError(f"follow_up must be 0 or more months, got {self.follow_up!r}")
        check_lag(self.lag)

    @property
    def n_looks(self) -> int:
        return len(self.patients)

    def times(self, observed: Observed) -> np.ndarray:
        n = observed.enrolment.shape[1]
        out = np.full((observed.enrolment.shape[0], self.n_looks), np.inf)
        for k, patients in enumerate(self.patients):
            if patients <= n:
                out[:, k] = observed.enrolment[:, patients - 1] + self.follow_up
        return out

    @property
    def planned_information(self) -> float:
        return float(self.patients[-1])

    def planned_fractions(self, times: bool) -> np.ndarray | None:
        return None if times else np.array(self.patients) / self.patients[-1]

    def unreachable(self, n_patients: int) -> list[int]:
        return [k for k, patients in enumerate(self.patients, start=1) if patients > n_patients]


@dataclass(frozen=True)
class FollowUpLooks(Looks):
    """A look when a number of patients have been followed for ``months``, event-free or not.

    A patient counts once ``months`` have passed since enrolment, unless lost before, event-free.

    Attributes:
        patients: increasing numbers of patients. months: follow-up wanted for each.
        lag: months from the data cut to the decision.

    Examples:
        >>> import trial_sim as ts
        >>> looks = ts.FollowUpLooks([100, 200], months=12)
        >>> looks.n_looks, looks.planned_information
        (2, 200.0)
        >>> looks.planned_fractions(times=False).tolist()
        [0.5, 1.0]
    """

    patients: Any
    months: float
    lag: float = 0.0

    def __post_init__(self) -> None:
        patients = _whole(self.patients, "patients of the looks")
        _increasing(patients, "patients of the looks")
        object.__setattr__(self, "patients", patients)
        if not 0 < self.months < np.inf:
            raise ValueError(f"months of follow-up must be positive, got {self.months!r}")
        check_lag(self.lag)

    @property
    def n_looks(self) -> int:
        return len(self.patients)

    def times(self, observed: Observed) -> np.ndarray:
        complete = observed.enrolment + self.months
        counted = (observed.calendar_exit >= complete) | observed.had_event
        complete = np.where(counted, complete, np.inf)
        out = np.empty((observed.enrolment.shape[0], self.n_looks))
        kth_smallest(complete, np.array(self.patients, dtype=np.int64), out)
        return out

    @property
    def planned_information(self) -> float:
        return float(self.patients[-1])

    def planned_fractions(self, times: bool) -> np.ndarray | None:
        return None if times else np.array(self.patients) / self.patients[-1]

    def unreachable(self, n_patients: int) -> list[int]:
        return [k for k, patients in enumerate(self.patients, start=1) if patients > n_patients]


@dataclass(frozen=True)
class JoinedLooks(Looks):
    """Base of looks that join several rules with the same number of looks."""

    rules: Any
    lag: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", _check_rules(self.rules, type(self).__name__))
        check_lag(self.lag)

    @property
    def n_looks(self) -> int:
        return self.rules[0].n_looks


@dataclass(frozen=True)
class FirstOf(JoinedLooks):
    """Each look at the earliest of several rules, such as 200 events or month 30.

    Attributes:
        rules: rules with the same number of looks. lag: months from the data cut to the decision.

    Examples:
        >>> import trial_sim as ts
        >>> ts.FirstOf([ts.EventLooks([200]), ts.CalendarLooks([30])]).n_looks
        1
    """

    def times(self, observed: Observed) -> np.ndarray:
        return np.minimum.reduce([rule.times(observed) for rule in self.rules])

    def unreachable(self, n_patients: int) -> list[int]:
        return sorted(set.intersection(*(set(r.unreachable(n_patients)) for r in self.rules)))


@dataclass(frozen=True)
class LastOf(JoinedLooks):
    """Each look when all of several rules are met, such as 200 events and month 24.

    Attributes:
        rules: rules with the same number of looks. lag: months from the data cut to the decision.

    Examples:
        >>> import trial_sim as ts
        >>> ts.LastOf([ts.EventLooks([200]), ts.CalendarLooks([24])]).n_looks
        1
    """

    def times(self, observed: Observed) -> np.ndarray:
        return np.maximum.reduce([rule.times(observed) for rule in self.rules])

    def unreachable(self, n_patients: int) -> list[int]:
        return sorted(set.union(*(set(r.unreachable(n_patients)) for r in self.rules)))


def check_lag(lag: float) -> None:
    """Raise ValueError unless ``lag`` is 0 or more months."""
    if not 0 <= as_number(lag, "lag") < np.inf:
        raise ValueError(f"lag must be 0 or more months, got {lag!r}")


def _check_rules(rules: Any, name: str) -> tuple[Looks, ...]:
    rules = tuple(rules)
    if len(rules) < 2 or not all(isinstance(rule, Looks) for rule in rules):
        raise ValueError(f"{name} needs two or more rules of looks, got {rules!r}")
    if len({rule.n_looks for rule in rules}) != 1:
        counts = [rule.n_looks for rule in rules]
        raise ValueError(f"the rules of {name} must have the same number of looks, got {counts}")
    return rules
