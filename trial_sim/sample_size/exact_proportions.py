"""Exact power of tests of two proportions, by summing over every pair of outcomes."""

from __future__ import annotations

import numba as nb
import numpy as np
from scipy.stats import binom, hypergeom, norm

from trial_sim.base.arguments import between, one_of
from trial_sim.sequential.integration import FloatArray
from trial_sim.statistics.kernels.proportions import fisher_p

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


@nb.njit(cache=True, nogil=True)
def _fisher_criticals(n1, n2, first, last, level):
    """For each x2 = first to last the fewest responders x1 that Fisher's test rejects with.

    n1 + 1 where none does. The p-value falls in x1 and rises in x2, so that one walk finds all.
    """
    out = np.empty(last - first + 1, np.int64)
    low = -1  # does not reject
    x1 = n1 + 1
    while x1 - low > 1:
        middle = (low + x1) // 2
        if fisher_p(first, n2, middle, n1) > level:
            low = middle
        else:
            x1 = middle
    for x2 in range(first, last + 1):
        while x1 <= n1 and fisher_p(x2, n2, x1, n1) > level:
            x1 += 1
        out[x2 - first] = x1
    return out


def _power_one_sided(p1: float, p2: float, n1: int, n2: int, level: float, test: str) -> float:
    """Probability of rejecting for more responders of the first arm."""
    second = binom.pmf(np.arange(n2 + 1), n2, p2)
    if test == "fisher":
        seen = np.flatnonzero(second > 1e-20)
        first, last = int(seen[0]), int(seen[-1])
        # The logarithms of factorials are good to 1e-10; a p-value may equal the level exactly.
        critical = _fisher_criticals(n1, n2, first, last, level * (1.0 + 1e-9))
        return float(second[first : last + 1] @ binom.sf(critical - 1, n1, p1))
    first = binom.pmf(np.arange(n1 + 1), n1, p1)
    return float(first @ rejection_region(n1, n2, level, test) @ second)


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
    one_of("test", test, EXACT_TESTS)
    power = _power_one_sided(p1, p2, int(n1), int(n2), level, test)
    if sided == 2:
        power += _power_one_sided(p2, p1, int(n2), int(n1), level, test)
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
