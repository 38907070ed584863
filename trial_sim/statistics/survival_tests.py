"""Log-rank tests of two groups: plain, weighted, stratified, and MaxCombo."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trial_sim.numerics.multivariate_normal import maximum_tail_many
from trial_sim.numerics.normal_kernels import FINE_PATH, distinct_statistics, maximum_tail
from trial_sim.statistics.comparison import Comparison, MaxCombo, upper_tail
from trial_sim.statistics.kernels.logrank import (
    weighted_logrank_entered,
    weighted_logrank_sorted,
    weighted_logrank_stratified,
)
from trial_sim.statistics.validation import (
    Weight,
    entries,
    indicator,
    labels,
    merge_ties,
    non_negative,
    two_groups,
    weight_row,
)

_FOUR = (
    ("fleming_harrington", 0, 0),
    ("fleming_harrington", 0, 1),
    ("fleming_harrington", 1, 0),
    ("fleming_harrington", 1, 1),
)


def _sums(
    duration: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    weights: Sequence[Weight],
    strata: ArrayLike | None,
    entry: ArrayLike | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], int, int]:
    """Numerators (k,), covariance (k, k), patients and events."""
    (times,) = merge_ties(non_negative(duration, "duration"))
    seen = indicator(event, "event", times.size)
    arm = two_groups(group, times.size)
    rows = np.array([weight_row(weight) for weight in weights])
    numerator = np.zeros(len(rows))
    covariance = np.zeros((len(rows), len(rows)))
    begin, times = entries(entry, times)
    if begin is not None:
        codes = np.zeros(times.size, dtype=np.int64)
        if strata is not None:
            codes, _ = labels(strata, "strata", times.size)
        for code in np.unique(codes):
            rows_of = np.flatnonzero(codes == code)
            at = rows_of[np.argsort(times[rows_of], kind="stable")]
            part, square = np.zeros_like(numerator), np.zeros_like(covariance)
            weighted_logrank_entered(times[at], seen[at], arm[at], begin[at], rows, part, square)
            numerator += part
            covariance += square
    elif strata is None:
        order = np.argsort(times, kind="stable")
        weighted_logrank_sorted(times[order], seen[order], arm[order], rows, numerator, covariance)
    else:
        codes, names = labels(strata, "strata", times.size)
        weighted_logrank_stratified(
            times, seen, arm, codes, len(names), rows, numerator, covariance
        )
    return numerator, covariance, times.size, int(seen.sum())


def logrank(
    duration: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    weight: Weight = "logrank",
    strata: ArrayLike | None = None,
    entry: ArrayLike | None = None,
) -> Comparison:
    """Log-rank test, plain or weighted, with or without strata.

    All weights use the Kaplan–Meier estimate S of both groups together (of the stratum, if there
    are strata) just before the event time. Ties are handled with the hypergeometric variance.

    Args:
        duration: (n,) follow-up, ≥ 0.
        event: (n,) 1 where follow-up ended in the event, 0 where it was censored.
        group: (n,) 1 for the group whose benefit is tested, 0 for control.
        weight: "logrank"; ("fleming_harrington", rho, gamma): S^rho (1 − S)^gamma;
            ("magirr_burman", tau): 1/S until tau and constant thereafter;
            ("modestly_weighted", s): 1/max(S, s). A bare pair (rho, gamma) is Fleming–Harrington.
        strata: (n,) labels, or None.
        entry: (n,) time from which each patient is at risk (delayed entry), or None.

    Returns:
        ``z`` > 0 where group 1 has fewer events than expected. For the unweighted test ``estimate``
        is the one-step (Peto) log hazard ratio (O − E)/V, with ``se`` 1/√V.

    Raises:
        ValueError, TypeError: for arrays of unequal length, missing values, other codes than 0 and
            1, one group only, an unknown weight, or data without events.

    Sources:
        Mantel (1966); Fleming and Harrington (1991); Magirr and Burman (2019).

    >>> logrank([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 0, 1], [0, 0, 1, 0, 1, 1]).z > 0
    True
    """
    numerator, covariance, n, n_events = _sums(duration, event, group, [weight], strata, entry)
    variance = float(covariance[0, 0])
    if variance <= 0:
        raise ValueError(
            f"the log-rank statistic has variance 0: {n_events} events, none of them at a time at "
            "which both groups were at risk with positive weight."
        )
    z = float(numerator[0]) / variance**0.5
    plain = weight == "logrank"
    return Comparison(
        test="log-rank" if plain else f"weighted log-rank {weight}",
        z=z,
        p_value=upper_tail(z),
        estimate=-float(numerator[0]) / variance if plain else float("nan"),
        se=variance**-0.5 if plain else float("nan"),
        scale="log hazard ratio (one-step)" if plain else "",
        n=n,
        n_events=n_events,
    )


def max_combo(
    duration: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    weights: Sequence[Weight] = _FOUR,
    strata: ArrayLike | None = None,
    entry: ArrayLike | None = None,
) -> MaxCombo:
    """MaxCombo test: the largest of several weighted log-rank statistics.

    The p-value is the exact multivariate-normal probability that the largest of the statistics is
    exceeded, with their estimated correlation matrix (Karrison 2016; Lin et al. 2020). It is
    deterministic and correct to 1e-6 or better.

    Args:
        duration, event, group, strata, entry: as `logrank`.
        weights: one to six weights, as `logrank`; default Fleming–Harrington (0, 0), (0, 1),
            (1, 0), (1, 1).

    Raises:
        ValueError, TypeError: as `logrank`, and for no weight or more than six different ones.

    Examples:
        >>> import trial_sim as ts
        >>> time, event, group = (
        ...     [2, 4, 6, 8, 3, 7, 9, 12],
        ...     [1, 1, 1, 1, 1, 1, 0, 0],
        ...     [0, 0, 0, 0, 1, 1, 1, 1],
        ... )
        >>> result = ts.max_combo(
        ...     time, event, group, weights=["logrank", ("fleming_harrington", 0, 1)]
        ... )
        >>> round(result.z, 3), round(result.p_value, 3)
        (1.36, 0.125)
    """
    if isinstance(weights, str) or len(weights) == 0:
        raise ValueError(f"weights must be a list of one or more weights, got {weights!r}.")
    numerator, covariance, n, n_events = _sums(duration, event, group, list(weights), strata, entry)
    spread = np.sqrt(np.diag(covariance))
    if not np.any(spread > 0):
        raise ValueError(f"no weighted log-rank statistic has a variance: {n_events} events.")
    correlation, largest = distinct_statistics(numerator, covariance)
    if correlation.shape[0] > 6:
        raise ValueError(f"at most six different weights, got {correlation.shape[0]}.")
    if correlation.shape[0] <= 4:
        p_value = maximum_tail(largest, correlation, FINE_PATH)
    else:
        p_value = maximum_tail_many(largest, correlation)
    safe = np.where(spread > 0, spread, 1.0)
    matrix = covariance / np.outer(safe, safe)
    return MaxCombo(
        test="MaxCombo",
        z=float(largest),
        p_value=float(p_value),
        n=n,
        n_events=n_events,
        components=tuple(float(value) for value in numerator / safe),
        correlation=tuple(tuple(float(value) for value in row) for row in matrix),
        weights=tuple(tuple(w) if not isinstance(w, str) else w for w in weights),
    )
