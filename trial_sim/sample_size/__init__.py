"""Sample size in one place: every function returns a `SampleSize`, unrounded.

    means                sample_size_means, sample_size_equivalence_means
    proportions          sample_size_proportions, sample_size_equivalence_proportions
    exact_proportions    exact_power_proportions
    survival             events_required, power_of_events, sample_size_survival
    counts               sample_size_counts, sample_size_recurrent
    ordinal              sample_size_ordinal
    here                 sample_size_rmst, a survival method
    average_hazard, group_sequential_survival, assurance    found here too, imported on first use

Leave out one of size, power, effect (and, where there is one, duration): it is solved. Pass
``boundaries=group_sequential(...)`` for the maximum size of a group-sequential trial.
"""

from __future__ import annotations

from typing import Any

from trial_sim.base.fronts import find
from trial_sim.sample_size.counts import sample_size_counts, sample_size_recurrent
from trial_sim.sample_size.exact_proportions import exact_power_proportions
from trial_sim.sample_size.means import sample_size_equivalence_means, sample_size_means
from trial_sim.sample_size.ordinal import sample_size_ordinal
from trial_sim.sample_size.proportions import (
    sample_size_equivalence_proportions,
    sample_size_proportions,
)
from trial_sim.sample_size.record import SampleSize
from trial_sim.sample_size.survival import events_required, power_of_events, sample_size_survival

__all__ = [
    "BetaMixture",
    "SampleSize",
    "average_hazard_ratio",
    "borrowing_power",
    "events_required",
    "exact_power_proportions",
    "expected_events",
    "power_of_events",
    "probability_of_success",
    "sample_size_counts",
    "sample_size_equivalence_means",
    "sample_size_equivalence_proportions",
    "sample_size_means",
    "sample_size_ordinal",
    "sample_size_prognostic",
    "sample_size_proportions",
    "sample_size_recurrent",
    "sample_size_rmst",
    "sample_size_survival",
    "survival_expectations",
    "survival_scenario",
]


def __getattr__(name: str) -> Any:
    return find(__name__, name)


def __dir__() -> list[str]:
    return __all__


def sample_size_rmst(
    hazard_ratio: Any, tau: float, power: float | None = 0.9, alpha: float = 0.025, **survival: Any
) -> SampleSize:
    """Size, power, effect or duration for a difference of restricted mean survival to `tau`.

    The other arguments are those of `sample_size_survival`.

    Examples:
        >>> import trial_sim as ts
        >>> plan = ts.sample_size_rmst(
        ...     0.7, tau=24, control_median=12, accrual_duration=12, study_duration=36
        ... )
        >>> round(plan.n_total, 1)
        548.1
    """
    return sample_size_survival(
        hazard_ratio, power, alpha, method="rmst", milestone=tau, **survival
    )
