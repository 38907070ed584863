"""One-arm phase II designs of a response rate: Simon's two stages, and predictive probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import beta as beta_distribution
from scipy.stats import betabinom, binom

from trial_sim.adaptive.binomial_sequences import BinomialSequence
from trial_sim.base.arguments import between, number, positive
from trial_sim.base.records import Record, as_whole
from trial_sim.sequential.integration import FloatArray

__all__ = ["SimonDesign", "SimonDesigns", "predictive_probability_design", "simon_designs"]


@dataclass(frozen=True)
class SimonDesign(Record):
    """A two-stage design of Simon (1989), with its exact properties.

    Stop after ``n1`` patients with at most ``r1`` responders; after ``n`` patients more than ``r``
    responders make the treatment promising. expected_n, early_stop: mean patients and
    chance of the early stop at the rate of no interest. type_one_error, power: at the rates
    of no and of great interest.
    """

    r1: int
    n1: int
    r: int
    n: int
    expected_n: float
    early_stop: float
    type_one_error: float
    power: float

    @property
    def sequence(self) -> BinomialSequence:
        """The design as a :class:`BinomialSequence`, for chances at any rate."""
        return BinomialSequence((self.n1, self.n), (self.r1, self.r), (None, self.r + 1))


@dataclass(frozen=True)
class SimonDesigns(Record):
    """Simon's two-stage designs for one question. Made by :func:`simon_designs`.

    optimal: fewest patients expected at ``p0``. minimax: fewest patients at most, then fewest
    expected. admissible: those of both kinds and between (Jung et al. 2004): each has, for some
    weight q, the least q * n + (1 - q) * expected_n; from minimax to optimal.
    """

    p0: float
    p1: float
    alpha: float
    beta: float
    optimal: SimonDesign
    minimax: SimonDesign
    admissible: tuple[SimonDesign, ...]
    max_n: int


def simon_designs(
    p0: float, p1: float, alpha: float = 0.05, beta: float = 0.2, max_n: int | None = None
) -> SimonDesigns:
    """Two-stage designs of a single-arm trial that may stop early for futility (Simon 1989).

    Every design is enumerated; nothing is approximated.

    p0: response rate of no interest. p1: of great interest, above p0. alpha: largest chance of a
    positive trial at p0. beta: largest chance of a negative one at p1.
    max_n: largest number of patients that is tried; twice that of one stage unless given.

    Raises:
        ValueError: when no design of at most max_n patients holds both errors.

    Examples:
        >>> import trial_sim as ts
        >>> designs = ts.simon_designs(0.1, 0.3)
        >>> best = designs.optimal
        >>> best.r1, best.n1, best.r, best.n, round(best.expected_n, 2)
        (1, 10, 5, 29, 15.01)
        >>> [(d.n, round(d.expected_n, 1)) for d in designs.admissible]
        [(25, 19.5), (26, 16.8), (27, 15.8), (29, 15.0)]
        >>> round(best.sequence.probabilities(0.3).power, 3)
        0.805
    """
    p0 = between("p0", p0, 0.0, 1.0)
    p1 = between("p1", p1, 0.0, 1.0)
    if p1 <= p0:
        raise ValueError(f"p1, the rate of interest, must be above p0, got {p1:g} and {p0:g}")
    alpha, beta = between("alpha", alpha, 0.0, 0.5), between("beta", beta, 0.0, 0.5)
    most = 2 * _one_stage(p0, p1, alpha, beta) if max_n is None else as_whole(max_n, "max_n", 2)
    best: dict[int, tuple[float, int, int, int]] = {}
    tables = [_tables(p, most) for p in (p0, p1)]
    for n in range(2, most + 1):
        found = min(
            (d for n1 in range(1, n) if (d := _best_of(n1, n, tables, alpha, beta)) is not None),
            default=None,
        )
        if found is not None:
            best[n] = found
    if not best:
        raise ValueError(
            f"no two-stage design of at most {most} patients has type I error {alpha:g} at "
            f"{p0:g} and power {1 - beta:g} at {p1:g}: raise max_n"
        )
    designs = {n: _design(n1, r1, n, r, p0, p1) for n, (_, n1, r1, r) in best.items()}
    minimax = designs[min(designs)]
    optimal = min(designs.values(), key=lambda d: (d.expected_n, d.n))
    between_them = [d for d in designs.values() if minimax.n <= d.n <= optimal.n]
    return SimonDesigns(
        p0, p1, alpha, beta, optimal, minimax, tuple(_lower_hull(between_them)), most
    )


def _one_stage(p0: float, p1: float, alpha: float, beta: float) -> int:
    for n in range(1, 2_001):
        if binom.sf(binom.isf(alpha, n, p0), n, p1) >= 1 - beta:
            return max(n, 5)
    raise ValueError(
        f"rates {p0:g} and {p1:g} are too near for an exact two-stage design: one stage alone "
        "needs more than 2000 patients"
    )


def _tables(p: float, most: int) -> tuple[FloatArray, FloatArray]:
    """Chances of x and of more than x responders among n: [n, x], both (most + 1, most + 1)."""
    n = np.arange(most + 1)[:, None]
    x = np.arange(most + 1)
    return binom.pmf(x, n, p), binom.sf(x, n, p)


def _best_of(
    n1: int, n: int, tables: list[tuple[FloatArray, FloatArray]], alpha: float, beta: float
) -> tuple[float, int, int, int] | None:
    """(expected n, n1, r1, r) of the best design of these sizes, or None."""
    more = np.arange(n)[None, :] - np.arange(n1 + 1)[:, None]  # r - x1: needed of the second stage
    rejected = []
    for exactly, above in tables:
        second = np.where(more < 0, 1.0, above[n - n1][np.maximum(more, 0)])
        joint = exactly[n1, : n1 + 1, None] * second
        beyond = np.cumsum(joint[::-1], axis=0)[::-1]  # row x: first stage at least x
        rejected.append(beyond[1:])  # row r1: first stage above r1
    level, power = rejected
    fits = (level <= alpha) & (power >= 1 - beta) & (more[:-1] >= 0)
    rows = np.flatnonzero(fits.any(axis=1))
    if not rows.size:
        return None
    r1 = int(rows[-1])  # the early stop is likelier, the larger r1
    go_on = float(tables[0][1][n1, r1])
    return n1 + go_on * (n - n1), n1, r1, int(np.argmax(fits[r1]))


def _design(n1: int, r1: int, n: int, r: int, p0: float, p1: float) -> SimonDesign:
    sequence = BinomialSequence((n1, n), (r1, r), (None, r + 1))
    null, hoped = sequence.probabilities(p0), sequence.probabilities(p1)
    return SimonDesign(r1, n1, r, n, null.expected_n, null.early_futility, null.power, hoped.power)


def _lower_hull(designs: list[SimonDesign]) -> list[SimonDesign]:
    """Those on the lower convex hull of expected over largest n, from minimax to optimal."""
    hull: list[SimonDesign] = []
    for new in sorted(designs, key=lambda d: d.n):
        while len(hull) > 1 and _turns_up(hull[-2], hull[-1], new):
            hull.pop()
        hull.append(new)
    return hull


def _turns_up(a: SimonDesign, b: SimonDesign, c: SimonDesign) -> bool:
    """Whether b lies on or above the line from a to c."""
    line = (c.expected_n - a.expected_n) / (c.n - a.n)
    return b.expected_n >= a.expected_n + line * (b.n - a.n)


def predictive_probability_design(
    p0: float,
    n_max: int,
    prior: tuple[float, float] = (0.5, 0.5),
    success: float = 0.95,
    stop_below: float = 0.05,
    stop_above: float = 1.0,
    first_look: int = 10,
    cohort: int = 1,
) -> BinomialSequence:
    """Stopping bounds of a one-arm trial by predictive probability (Lee & Liu 2008).

    The trial succeeds if the posterior probability of a rate above p0 is above `success` at n_max
    patients. A look ends it when the chance of that, given the responders so far, is below
    `stop_below`, and for success when it is above `stop_above` (1: never).

    prior: the two numbers of the beta prior. first_look: patients at the first look. cohort:
    patients from look to look.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.predictive_probability_design(
        ...     0.2, 36, prior=(0.2, 0.8), success=0.922, stop_below=0.001
        ... )
        >>> null = design.probabilities(0.2)
        >>> design.reject_at[-1], round(null.power, 3), round(null.expected_n, 2)
        (11, 0.088, 27.67)
    """
    p0 = between("p0", p0, 0.0, 1.0)
    n_max = as_whole(n_max, "n_max", 2)
    first, step = as_whole(first_look, "first_look", 1), as_whole(cohort, "cohort", 1)
    if first > n_max:
        raise ValueError(f"first_look must be at most n_max {n_max}, got {first}")
    if np.shape(prior) != (2,):
        raise ValueError(f"prior must be the two numbers of a beta distribution, got {prior!r}")
    a, b = positive("prior", prior[0]), positive("prior", prior[1])
    success = between("success", success, 0.0, 1.0)
    low, high = number("stop_below", stop_below), number("stop_above", stop_above)
    if not 0.0 <= low < high <= 1.0:
        raise ValueError(
            f"stop_below must be below stop_above, both from 0 to 1, got {low:g} and {high:g}"
        )
    posterior = beta_distribution.sf(p0, a + np.arange(n_max + 1), b + n_max - np.arange(n_max + 1))
    enough = np.flatnonzero(posterior > success)
    if not enough.size:
        raise ValueError(
            f"not even {n_max} responders of {n_max} make a rate above {p0:g} more likely than "
            f"{success:g}: raise n_max or lower success"
        )
    needed = int(enough[0])
    looks = sorted({*range(first, n_max, step), n_max})
    stops: list[int] = []
    rejects: list[Any] = []
    for n in looks[:-1]:
        x = np.arange(n + 1)
        chance = betabinom.sf(needed - 1 - x, n_max - n, a + x, b + n - x)
        stops.append(int((chance < low).sum()) - 1)
        above = np.flatnonzero(chance > high)
        rejects.append(int(above[0]) if above.size else None)
    return BinomialSequence(looks, (*stops, needed - 1), (*rejects, needed))
