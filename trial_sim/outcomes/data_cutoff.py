"""Times of entry and the data cutoff: follow-up that ends on one day for everybody.

Patients who enter late are followed for less time. Where a trial names its entry times and its
censored patients were mostly censored on one calendar day, that day is the data cutoff: a
synthetic patient's follow-up ends there, counted from a sampled entry, and only the censoring
before it (drop-out) has hazards of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.data.schema import TrialSchema
from trial_sim.outcomes.hazard_grid import resolution_of

DAYS = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12, "years": 365.25}
FEWEST = 5  # patients censored at a cutoff
SHARE = 0.2  # of the censored patients that a cutoff must explain
TOLERANCE = 0.01  # of the longest follow-up: rounding of times


@storable
@dataclass(frozen=True)
class DataCutoff:
    """The calendar time at which follow-up ends.

    Attributes:
        column: position of the entry times among the baseline columns.
        at: the cutoff, in the codes of that column (days for dates).
        per_unit: of those in one unit of the durations.
        least: the shortest follow-up, for an entry on the last day.
    """

    column: int
    at: float
    per_unit: float
    least: float

    def longest(self, codes: np.ndarray) -> np.ndarray:
        """Longest follow-up (n,) of patients with ``codes`` (inf where entry is missing)."""
        time = (self.at - codes[:, self.column]) / self.per_unit
        return np.where(np.isnan(time), np.inf, np.maximum(time, self.least))

    def still_open(self, codes: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Share (m,) of patients whose follow-up may reach each of the ``times`` (m,)."""
        longest = np.sort(self.longest(codes))
        return 1 - np.searchsorted(longest, times, side="left") / len(longest)


def find_cutoff(
    schema: TrialSchema, codes: np.ndarray, duration: np.ndarray, censored: np.ndarray
) -> tuple[DataCutoff | None, np.ndarray, Sequence[str]]:
    """The cutoff of a trial that names its entry times.

    Args:
        schema: of the trial. codes: (n, n_columns). duration: (n,). censored: (n,) boolean.

    Returns:
        The cutoff or None, the patients (n,) boolean censored at it, and a note on what was found.
    """
    nobody = np.zeros(len(codes), dtype=bool)
    if schema.entry is None:
        return None, nobody, ()
    names = [c.name for c in schema.columns]
    k = names.index(schema.entry)
    per_unit = DAYS[schema.time_unit] if schema.columns[k].kind == "date" else 1.0
    calendar = codes[:, k] / per_unit + duration
    known = np.isfinite(calendar)
    if not known.any():
        return None, nobody, (f"column {schema.entry!r} (entry) holds no time",)
    end = float(calendar[known].max())
    slack = max(resolution_of(duration), TOLERANCE * float(duration.max()))
    at_end = censored & known & (calendar >= end - slack)
    needed = max(FEWEST, SHARE * censored.sum())
    if at_end.sum() < needed:
        return (
            None,
            nobody,
            (
                f"entry times: {int(at_end.sum())} of {int(censored.sum())} censored patients were "
                "followed to the last day, so that no data cutoff is taken; entry is sampled as a "
                "covariate on which censoring may depend",
            ),
        )
    note = (
        f"follow-up ends at a data cutoff ({int(at_end.sum())} of {int(censored.sum())} censored "
        "patients); entry times are sampled, and earlier censoring has hazards of its own"
    )
    least = max(resolution_of(duration), 1e-4 * float(duration.max()))
    return DataCutoff(k, end * per_unit, per_unit, least), at_end, (note,)
