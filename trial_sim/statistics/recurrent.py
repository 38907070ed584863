"""Recurrent events: the Andersen–Gill model with robust variance (Lin, Wei, Yang and Ying 2000)."""

import numpy as np
from numpy.typing import ArrayLike

from trial_sim.statistics.regression import CoxRegression, fit_cox
from trial_sim.statistics.validation import (
    choice,
    indicator,
    labels,
    merge_ties,
    numeric,
    two_groups,
)


def andersen_gill(
    subject: ArrayLike,
    start: ArrayLike,
    stop: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    covariates: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    ties: str = "efron",
    robust: bool = True,
) -> CoxRegression:
    """Proportional rates of recurrent events; with ``robust`` the LWYY model.

    Args:
        subject: (n,) labels of patients; each row is one interval of one patient.
        start, stop: (n,) the interval (start, stop] under observation; a patient's intervals do not
            overlap.
        event: (n,) 1 where the interval ends in an event.
        group: (n,) 1 for the treated, 0 for control.
        covariates, strata, ties: as `cox`.
        robust: sum score residuals over each patient (Lin et al. 2000) rather than take the
            intervals as independent (Andersen and Gill 1982).

    Returns:
        ``estimate``: log rate ratio; ``z`` > 0 where treatment lowers the rate.

    Raises:
        ValueError, TypeError: for bad arrays, empty or overlapping intervals, or a patient in two
            groups.

    Examples:
        >>> import trial_sim as ts
        >>> subject, start, stop = [1, 1, 2, 3, 3, 4], [0, 3, 0, 0, 5, 0], [3, 8, 9, 5, 7, 9]
        >>> event, group = [1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]
        >>> round(ts.andersen_gill(subject, start, stop, event, group).estimate, 3)
        -0.948
    """
    begin = numeric(start, "start")
    begin, end = merge_ties(begin, numeric(stop, "stop", begin.size))
    seen = indicator(event, "event", begin.size)
    arm = two_groups(group, begin.size)
    who, names = labels(subject, "subject", begin.size)
    wrong = np.flatnonzero(end <= begin)
    if wrong.size:
        row = wrong[0]
        raise ValueError(f"row {row}: stop {end[row]:g} must be after start {begin[row]:g}.")
    order = np.lexsort((begin, who))
    same = who[order][1:] == who[order][:-1]
    overlap = np.flatnonzero(same & (begin[order][1:] < end[order][:-1]))
    if overlap.size:
        raise ValueError(f"intervals of subject {names[who[order][overlap[0]]]} overlap.")
    mixed = np.flatnonzero(same & (arm[order][1:] != arm[order][:-1]))
    if mixed.size:
        raise ValueError(f"subject {names[who[order][mixed[0]]]} appears in both groups.")
    return fit_cox(
        begin,
        end,
        seen,
        arm,
        covariates,
        strata,
        who if robust else None,
        choice(ties, "ties", ("efron", "breslow")),
        "Andersen-Gill, robust (LWYY)" if robust else "Andersen-Gill",
    )
