"""Patient data of an ongoing trial, checked at the border."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.user_warnings import warn_user
from trial_sim.design.design import Design
from trial_sim.prediction.dates import (
    DAY_OF_GRACE,
    DAYS_PER_MONTH,
    is_number,
    month_of,
)
from trial_sim.prediction.reading.columns import (
    arms_of,
    ends_of,
    enrolment_of,
    first_of,
    opening_of_sites,
    other_unit,
    our_columns,
    times_of,
    unit_months,
)
from trial_sim.prediction.reading.covariates import covariate_names, read_covariates
from trial_sim.prediction.reading.strata import read_factors
from trial_sim.statistics.validation import merge_ties

_SHORT = 0.5 / DAYS_PER_MONTH  # months: what a time of 0 days means, somewhere in that day
_NO_CHANCE = 0.01  # of an arm without a patient
_WORTH_SAYING = 0.5  # months between last contact and cut-off


@dataclass(frozen=True, repr=False)
class OngoingTrial:
    """Patients enrolled so far, at a data cut. Made by :func:`trial_sim.read_ongoing`.

    Attributes:
        enrolment: (n,) months from the opening of the trial, ascending.
        arm: (n,) codes, 0 the control; -1 throughout when blinded.
        time: (n,) months on study until the event or drop-out, else until which the patient is
            known to have had neither. event, dropout: (n,) bool, how follow-up ended.
        cutoff: month of the cut. opened: calendar date of month 0, or None.
        factors: (n,) integer codes of each stratification factor; empty where they are not known.
        sites: month in which each site enrolled its first patient; None where sites are not known.
        rows: (n,) place of each patient in the table that was read.
        notes: what was taken for granted in reading, in words.
        competing: (n,) bool, whose follow-up ended in a competing event; None where none are known.
        covariates: name → (n,) float64; an indicator a level (``region[north]``) for text.

    Examples:
        >>> import pandas as pd
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=4,
        ...     accrual=ts.Accrual(rate=1),
        ...     looks=ts.EventLooks([2]),
        ... )
        >>> patients = pd.DataFrame(
        ...     {"enrolment": ["2026-01-05", "2026-02-01"], "end": ["2026-03-01", "2026-06-01"],
        ...      "event": ["yes", "no"], "dropout": 0}
        ... )  # fmt: skip
        >>> trial = ts.read_ongoing(patients, design, cutoff="2026-06-01")
        >>> trial
        OngoingTrial(2 patients, 1 events, 0 lost, by month 4.83; blinded, opened 2026-01-05)
        >>> trial.blinded, trial.at_risk.tolist()
        (True, [False, True])
        >>> trial.n_events, trial.event_months.round(1).tolist()
        (1, [1.8])
    """

    enrolment: np.ndarray
    arm: np.ndarray
    time: np.ndarray
    event: np.ndarray
    dropout: np.ndarray
    cutoff: float
    opened: pd.Timestamp | None = None
    factors: Mapping[str, np.ndarray] = field(default_factory=dict)
    sites: np.ndarray | None = None
    rows: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    competing: np.ndarray | None = None
    covariates: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.enrolment)
        for name in ("arm", "time", "event", "dropout"):
            if len(getattr(self, name)) != n:
                raise ValueError(
                    f"an ongoing trial needs one {name} a patient: got {len(getattr(self, name))} "
                    f"for {n} patients"
                )

    def __repr__(self) -> str:
        """One line that tells nobody's arm."""
        known = "blinded" if self.blinded else "unblinded"
        since = "" if self.opened is None else f", opened {self.opened.date()}"
        other = "" if self.competing is None else f"{int(self.competing.sum())} competing, "
        return (
            f"{type(self).__name__}({len(self.time)} patients, {self.n_events} events, {other}"
            f"{int(self.dropout.sum())} lost, by month {self.cutoff:.2f}; {known}{since})"
        )

    @property
    def event_months(self) -> np.ndarray:
        """Calendar months of the events counted so far, ascending."""
        return np.sort((self.enrolment + self.time)[self.event])

    @property
    def n_events(self) -> int:
        """Events counted so far."""
        return len(self.event_months)

    @property
    def blinded(self) -> bool:
        """Whether the arms are unknown."""
        return bool((self.arm < 0).all())

    @property
    def at_risk(self) -> np.ndarray:
        """Who is still followed, (n,) bool."""
        over = self.event | self.dropout
        return ~over if self.competing is None else ~(over | self.competing)


def read_ongoing(
    patients: pd.DataFrame,
    design: Design,
    *,
    cutoff: Any = None,
    opened: Any = None,
    columns: Mapping[str, str] | None = None,
    time_unit: str = "months",
    lag: float = 0.0,
    last_seen: str | None = None,
    covariates: Sequence[str] = (),
) -> OngoingTrial:
    """Check patient data of an ongoing trial of times to an event.

    Args:
        patients: one row a patient with columns ``enrolment`` (a date, or a number since the
            opening); ``time`` on study or its ``end`` (a date, or a number since the opening);
            ``event``, ``dropout`` and ``competing`` (0/1, yes/no), or a ``status`` of event,
            competing, dropout or ongoing, where a competing event ends follow-up uncounted; ``arm``
            (names of the design; absent: blinded); ``site`` and ``site_opened`` (a date, or a
            number), ``id``; and one a stratification factor of the design (needed for a stratified
            test). Who is followed to the end of the design's follow-up has completed it, also
            where ``dropout`` says otherwise.
        design: the design.
        cutoff: date of the data cut, or its month since the opening; the last known moment if None.
        opened: date of month 0; the first enrolment's by default when enrolment is in dates.
        columns: our name → name in ``patients``.
        time_unit: days, weeks, months or years: of ``time``, and of ``enrolment`` and ``end`` where
            they are numbers.
        lag: months until an event is in the data. A patient without one is known to be free of it
            until the cut-off less this, or the last contact if that is later. 0: events are
            reported at once, so that whoever has none reported has had none.
        last_seen: ``"lost"`` or ``"followed"``: what patients are whose follow-up ends before the
            cut-off without an event. Needed where there is no ``dropout`` and there are any.
        covariates: columns by which patients' hazards differ; those that the test adjusts for are
            read in any case. Text is taken as levels, numbers as a line in the log hazard.

    Returns:
        the patients in order of enrolment.

    Raises:
        ValueError, TypeError: for missing columns, unknown arms, values that cannot be read, times
            beyond the cut-off, or what only the caller can know.

    Examples:
        >>> import pandas as pd
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=4,
        ...     accrual=ts.Accrual(rate=1),
        ...     looks=ts.EventLooks([2]),
        ... )
        >>> patients = pd.DataFrame(
        ...     {"enrolment": [0.0, 1.0], "days": [61, 122], "event": [1, 0], "dropout": [0, 0]}
        ... )
        >>> patients["time"] = patients.pop("days") / 30.4375
        >>> ts.read_ongoing(patients, design, cutoff=5.5, lag=0.3).time.round(2).tolist()
        [2.0, 4.2]
    """
    table = our_columns(patients, design, columns)
    unit = unit_months(time_unit)
    if not is_number(lag) or not 0 <= lag < np.inf:
        raise ValueError(f"lag must be 0 or more months, got {lag!r}")
    if last_seen not in (None, "lost", "followed"):
        raise ValueError(f"last_seen must be 'lost' or 'followed', got {last_seen!r}")
    if len(table) == 0:
        raise ValueError("there are no patients so far: nothing to predict from")
    enrolment, start = enrolment_of(table, opened, unit)
    event, gone, competing, told = ends_of(table)
    ended = event | gone if competing is None else event | gone | competing
    time = times_of(table, enrolment, start, unit)
    arms = arms_of(table, design)
    last = float((enrolment + time).max(initial=0.0))
    cut = last if cutoff is None else month_of(cutoff, start, "cutoff")
    if cutoff is not None and is_number(cutoff):
        _check_unit_of_cutoff(float(cutoff), last, unit, time_unit)
    where = first_of(table)
    late = enrolment > cut + DAY_OF_GRACE
    if late.any():
        raise ValueError(
            f"{int(late.sum())} patients are enrolled after the cut-off {cut:.2f}: the first is "
            f"{where(late)}, month {enrolment[late][0]:.2f}. Of a later table, ts.backtest "
            "predicts from past cut-offs"
        )
    enrolment = np.minimum(enrolment, cut)
    beyond = enrolment + time > cut + DAY_OF_GRACE
    if beyond.any():
        hint = other_unit(time, cut - enrolment, np.ones(len(time), bool))
        raise ValueError(
            f"{int(beyond.sum())} patients are followed until after the cut-off {cut:.2f}: "
            f"{where(beyond)} until month {(enrolment + time)[beyond].max():.2f}{hint}"
        )
    open_ = ~ended
    hint = other_unit(time, cut - enrolment, open_)
    if hint:
        raise ValueError(
            f"patients without event or drop-out are followed for a small share of the time since "
            f"their enrolment{hint}"
        )
    notes: list[str] = []
    short = open_ & (enrolment + time < cut - lag - DAY_OF_GRACE)
    if design.follow_up is not None:
        limit = float(design.follow_up)
        long = ended & ~gone & (time > limit + DAY_OF_GRACE)
        if long.any():
            raise ValueError(
                f"{int(long.sum())} events come after the design's follow-up of {limit:g} months: "
                f"{where(long)} at {time[long].max():.2f} months; design.replace(follow_up=...) "
                "mends a wrong one"
            )
        short &= time < limit - DAY_OF_GRACE
        # Who was followed to the end has completed, whatever the table calls it.
        completed = gone & (time >= limit - DAY_OF_GRACE)
        gone, ended = gone & ~completed, ended & ~completed
        time = np.where(completed, limit, time)
        time = np.minimum(time, limit)
    if short.any() and last_seen is None and not told:
        raise ValueError(
            f"{int(short.sum())} patients without event were last seen before the cut-off, by up "
            f"to {(cut - enrolment - time)[short].max():.1f} months, and there is no column "
            "'dropout': give one, or last_seen='lost' if they have left, or last_seen='followed' "
            "if they are still in the trial"
        )
    if last_seen == "lost":
        gone, ended = gone | short, ended | short
    else:
        gap = (cut - enrolment - time)[short]
        if last_seen is None and gap.size and np.median(gap) > _WORTH_SAYING:
            until = "the cut-off" if lag == 0 else f"{lag:g} months before the cut-off"
            notes.append(
                f"{int(short.sum())} patients without event or drop-out were last seen before the "
                f"cut-off (median {np.median(gap):.1f} months): taken as free of the event until "
                f"{until}; lag= says how late events are reported"
            )
    known_until = cut - enrolment - lag
    if design.follow_up is not None:
        known_until = np.minimum(known_until, float(design.follow_up))
    followed = np.minimum(np.maximum(time, known_until), cut - enrolment)
    time = np.where(ended, time, followed)
    settled = np.minimum(np.maximum(time, _SHORT), np.maximum(cut - enrolment, 0.0))
    # times from subtracted dates differ in their last digits where the days were the same
    (time,) = merge_ties(np.where(ended, settled, time))
    extra = read_covariates(patients, covariate_names(design, covariates), notes)
    notes += _empty_arms(arms, design)
    for note in notes:
        warn_user(note)
    if len(table) > design.n_patients:
        raise ValueError(
            f"{len(table)} patients are enrolled, more than the design's {design.n_patients}: give "
            f"design.replace(n_patients={len(table)}), or more if enrolment goes on"
        )
    order = np.argsort(enrolment, kind="stable")
    factors = {name: codes[order] for name, codes in read_factors(table, design).items()}
    sites = opening_of_sites(table, enrolment, start, unit)
    return OngoingTrial(
        enrolment[order], arms[order], time[order], event[order], gone[order], cut, start, factors,
        sites, order, tuple(notes), None if competing is None else competing[order],
        {name: values[order] for name, values in extra.items()},
    )  # fmt: skip


def _check_unit_of_cutoff(cutoff: float, last: float, unit: float, time_unit: str) -> None:
    """Raise ValueError for a cut-off that is a month only if the trial was idle for long.

    Args:
        last: the last known month.
    """
    meant = cutoff * unit
    off = max(0.1 * last, 1.0)
    if unit != 1.0 and abs(meant - last) <= off and abs(cutoff - last) > 2 * off:
        raise ValueError(
            f"cutoff is a month or a date, and the last patient is known until month {last:.2f}: "
            f"is {cutoff:g} in {time_unit}? Then give cutoff={meant:.2f}"
        )


def _empty_arms(arms: np.ndarray, design: Design) -> list[str]:
    """A note of an arm that no patient is in, where that is no chance."""
    names = list(design.arm_names)
    shares = np.array([design.arms[name] for name in names], dtype=float)
    if (arms < 0).all():
        return []
    chance = (1.0 - shares / shares.sum()) ** len(arms)
    empty = [
        name for k, name in enumerate(names) if chance[k] < _NO_CHANCE and not (arms == k).any()
    ]
    return [f"none of the {len(arms)} patients is in arm {name!r}" for name in empty]
