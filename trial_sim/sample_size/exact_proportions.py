"""Exact power of tests of two proportions, by summing over every pair of outcomes."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom, hypergeom, norm

from trial_sim.base.arguments import between, one_of
from trial_sim.sequential.integration import FloatArray

EXACT_TESTS = ("fisher", "pooled_z")


def rejection_region(n1: int, n2: int, alpha: float, test: str = "fisher") -> FloatArray:
    """Which outcomes reject in favour of the first arm, one-sided.

    Returns (n1 + 1, n2 + 1) bool: [x1, x2] for x1 and x2 responders of n1 and n2 patients.
    test: "fisher" (conditional exact) or "pooled_z" (score test without continuity correction).
    """
    one_of("test", test, EXACT_TESTS)
    x1, x2 = np.arange(n1 + 1)[:, None], np.arange(n2 + 1)[None, :]
    if test == "fisher":
        return hypergeom.sf(x1 - 1, n1 + n2, x1 + x2, n1) <= alpha * (1.0 + 1e-12)
    pooled = (x1 + x2) / (n1 + n2)
    spread = pooled * (1.0 - pooled) * (1.0 / n1 + 1.0 / n2)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(spread > 0, (x1 / n1 - x2 / n2) / np.sqrt(spread), 0.0)
    return z >= norm.isf(alpha) * (1.0 - 1e-12)


def exact_power_proportions(
    p1: float,
    p2: float,
    n1: int,
    n2: int,
    alpha: float = 0.025,
    test: str = "fisher",
    sided: int = 1,
) -> float:
    """Exact probability that a test of two proportions rejects.

    p1, n1: treatment. p2, n2: control. One-sided tests reject for more responders on treatment;
    two-sided ones reject in either direction, each at alpha / 2.

    Examples:
        >>> import trial_sim as ts
        >>> round(ts.exact_power_proportions(0.7, 0.3, 25, 25), 4)
        0.7822
    """
    p1, p2 = float(p1), float(p2)
    for name, p in (("p1", p1), ("p2", p2)):
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"{name} must be between 0 and 1, got {p}")
    for name, n in (("n1", n1), ("n2", n2)):
        if not (float(n).is_integer() and n >= 1):
            raise ValueError(f"{name} must be a whole number of at least 1, got {n!r}")
    if sided not in (1, 2):
        raise ValueError(f"sided must be 1 or 2, got {sided!r}")
    level = between("alpha", alpha, 0.0, 0.5 * sided) / sided
    first = binom.pmf(np.arange(int(n1) + 1), int(n1), p1)
    second = binom.pmf(np.arange(int(n2) + 1), int(n2), p2)
    reject = rejection_region(int(n1), int(n2), level, test)
    power = float(first @ reject @ second)
    if sided == 2:
        other = rejection_region(int(n2), int(n1), level, test)
        power += float(second @ other @ first)
    return power


def exact_sample_size(
    p1: float,
    p2: float,
    power: float,
    alpha: float,
    sided: int,
    allocation: float,
    test: str,
    guess: float,
) -> tuple[int, float]:
    """Smallest control arm from which on exact power stays at `power` for ten more patients.

    Exact power rises in a saw-tooth; the smallest size that reaches it once may lose it again.
    Returns the size and its power.
    """

    def power_of(n: int) -> float:
        treated = max(1, int(np.ceil(n * allocation - 1e-9)))
        return exact_power_proportions(p1, p2, treated, n, alpha, test, sided)

    n = max(2, int(0.8 * guess))
    while n > 2 and power_of(n) >= power:
        n = max(2, int(0.8 * n))
    held, first, reached = 0, n, 0.0
    while held <= 10:
        now = power_of(n)
        if now >= power:
            if held == 0:
                first, reached = n, now
            held += 1
        else:
            held = 0
        n += 1
    return first, reached
