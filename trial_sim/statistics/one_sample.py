"""One-sample log-rank test: the events of one arm against a known hazard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr
from scipy.stats import chi2

from trial_sim.base.arguments import between, one_of, positive
from trial_sim.base.records import Record
from trial_sim.statistics.validation import indicator, non_negative

__all__ = ["OneSampleLogrank", "one_sample_logrank"]


@dataclass(frozen=True)
class OneSampleLogrank(Record):
    """Outcome of a one-sample log-rank test.

    observed, expected: events seen, and those that the reference hazard foresees in the same
    follow-up. z: above 0 where fewer than expected came. p_value: one-sided, for fewer.
    ratio, lower, upper: observed over expected with the exact Poisson interval of `level`.

    Examples:
        >>> import trial_sim as ts
        >>> test = ts.one_sample_logrank([2, 5, 9, 12, 12], [1, 1, 0, 0, 0], reference=0.1)
        >>> round(test.ratio, 2), round(test.lower, 2), round(test.upper, 2)
        (0.5, 0.06, 1.81)
    """

    observed: int
    expected: float
    z: float
    p_value: float
    ratio: float
    lower: float
    upper: float
    level: float


def one_sample_logrank(
    duration: ArrayLike,
    event: ArrayLike,
    reference: float | Callable[[Any], Any],
    variance: str = "expected",
    level: float = 0.95,
) -> OneSampleLogrank:
    """Whether an arm has fewer events than a known hazard foresees (Breslow 1975).

    duration: (n,) follow-up. event: (n,) 1 at an event, 0 where censored.
    reference: hazard of the reference in the unit of duration, or a function that gives its
        cumulative hazard at times (n,).
    variance: of observed minus expected: "expected", or "average" of observed and expected (Wu
        2014), whose error is nearer to nominal in small samples.

    Examples:
        >>> import trial_sim as ts
        >>> test = ts.one_sample_logrank([2, 5, 9, 12, 12], [1, 1, 0, 0, 0], reference=0.1)
        >>> test.observed, round(test.expected, 2), round(test.z, 3), round(test.p_value, 3)
        (2, 4.0, 1.0, 0.159)
    """
    times = non_negative(duration, "duration")
    seen = indicator(event, "event", times.size)
    one_of("variance", variance, ("expected", "average"))
    level = between("level", level, 0.0, 1.0)
    if callable(reference):
        hazard = np.asarray(reference(times), dtype=float)
        if hazard.shape != times.shape or not np.isfinite(hazard).all() or (hazard < 0).any():
            raise ValueError(
                "reference must give one cumulative hazard, finite and not negative, for each of "
                f"{times.size} times, got an array of shape {hazard.shape}"
            )
    else:
        hazard = times * positive("reference", reference)
    observed, expected = int(seen.sum()), float(hazard.sum())
    if expected <= 0:
        raise ValueError("the reference expects no event in this follow-up: nothing to compare")
    spread = expected if variance == "expected" else 0.5 * (observed + expected)
    z = (expected - observed) / float(np.sqrt(spread))
    tail = 0.5 * (1 - level)
    lower = 0.5 * float(chi2.ppf(tail, 2 * observed)) if observed else 0.0
    upper = 0.5 * float(chi2.isf(tail, 2 * observed + 2))
    return OneSampleLogrank(
        observed,
        expected,
        z,
        float(ndtr(-z)),
        observed / expected,
        lower / expected,
        upper / expected,
        level,
    )
