"""Competing risks: the Aalen–Johansen cumulative incidence and Gray's test."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtri

from trial_sim.statistics.validation import labels, merge_ties, non_negative, numeric

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CumulativeIncidence:
    """Aalen–Johansen estimate of the cumulative incidence of one cause.

    Attributes:
        time: (k,) times of events of any cause, ascending.
        incidence: (k,) probability of the cause by ``time``.
        standard_error: (k,) its standard error (Aalen 1978, with a correction for ties).
        lower, upper: (k,) pointwise limits on the log(−log) scale.
        survival: (k,) probability of no event of any cause after ``time``.
        n_at_risk: (k,) patients at risk just before ``time``.
        cause: the cause.
        level: coverage of the limits.
        last: end of the longest follow-up.

    Examples:
        >>> import trial_sim as ts
        >>> curve = ts.aalen_johansen([1, 2, 3, 4], [1, 2, 1, 0], of=2)
        >>> curve.time.tolist(), curve.incidence.round(3).tolist()
        ([1.0, 2.0, 3.0], [0.0, 0.25, 0.25])
        >>> curve.at([2.5]).tolist(), curve.standard_error_at([2.5]).round(3).tolist()
        ([0.25], [0.264])
        >>> curve.to_frame().columns.tolist()
        ['time', 'n_at_risk', 'incidence', 'standard_error', 'lower', 'upper']
    """

    time: Floats
    incidence: Floats
    standard_error: Floats
    lower: Floats
    upper: Floats
    survival: Floats
    n_at_risk: NDArray[np.int64]
    cause: int
    level: float
    last: float

    def at(self, times: ArrayLike) -> Floats:
        """Cumulative incidence at any times (NaN after the longest follow-up)."""
        return self._step(self.incidence, times)

    def standard_error_at(self, times: ArrayLike) -> Floats:
        """Standard error at any times (NaN after the longest follow-up)."""
        return self._step(self.standard_error, times)

    def _step(self, values: Floats, times: ArrayLike) -> Floats:
        wanted = np.atleast_1d(np.asarray(times, dtype=np.float64))
        steps = np.concatenate([[0.0], values])
        found = steps[np.searchsorted(self.time, wanted, side="right")]
        return np.where(wanted > self.last, np.nan, found)

    def to_frame(self) -> Any:
        """The curve as a DataFrame, one row a time."""
        import pandas as pd

        names = ("time", "n_at_risk", "incidence", "standard_error", "lower", "upper")
        return pd.DataFrame({name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class GrayTest:
    """Gray's K-sample test of equal cumulative incidence of one cause.

    Attributes:
        statistic: chi-square statistic.
        df: degrees of freedom, groups − 1.
        p_value_two_sided: its p-value.
        scores: (K,) observed minus expected of each group, in the order of ``groups``.
        groups: labels of the groups.
        z: for two groups, the signed root of the statistic, positive where the second group (the
            one coded 1) has the lower incidence; NaN for more groups.
        p_value: for two groups, one-sided; NaN for more groups.
        cause: the cause.
        n: number of patients.
        n_events: number of events of the cause.

    Examples:
        >>> import trial_sim as ts
        >>> result = ts.gray_test([1, 2, 3, 4, 5, 6], [1, 1, 2, 1, 2, 0], [0, 0, 0, 1, 1, 1])
        >>> result.groups, result.n_events
        ((0, 1), 3)
    """

    statistic: float
    df: int
    p_value_two_sided: float
    scores: tuple[float, ...]
    groups: tuple[Any, ...]
    z: float
    p_value: float
    cause: int
    n: int
    n_events: int

    def __str__(self) -> str:
        return (
            f"Gray's test, cause {self.cause}: chi-square = {self.statistic:.4f} on {self.df} df, "
            f"p = {self.p_value_two_sided:.4g}; n = {self.n}, events = {self.n_events}"
        )


def _causes(duration: ArrayLike, cause_of: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    """Durations, and causes as whole numbers with 0 for censored."""
    (times,) = merge_ties(non_negative(duration, "duration"))
    causes = numeric(cause_of, "cause", times.size)
    if np.any(causes != np.floor(causes)) or causes.min() < 0:
        raise ValueError("cause must hold whole numbers, 0 for censored and 1, 2, … for causes.")
    return times, causes.astype(np.int64)


def _need(causes: NDArray[np.int64], of: int) -> None:
    if not np.any(causes == of) or of < 1:
        known = ", ".join(str(value) for value in np.unique(causes[causes > 0])) or "none"
        raise ValueError(f"no event of cause {of}; the causes seen are {known}.")


def _counts(
    times: Floats, causes: NDArray[np.int64], of: int, grid: Floats
) -> tuple[Floats, Floats, Floats]:
    """At risk just before, events of the cause, and events of other causes at each grid time."""
    at_risk = times.size - np.searchsorted(np.sort(times), grid, side="left").astype(np.float64)
    both = []
    for chosen in (causes == of, (causes > 0) & (causes != of)):
        place = np.searchsorted(grid, times[chosen])
        both.append(np.bincount(place, minlength=grid.size).astype(np.float64))
    return at_risk, both[0], both[1]


def aalen_johansen(
    duration: ArrayLike, cause: ArrayLike, of: int = 1, level: float = 0.95
) -> CumulativeIncidence:
    """Cumulative incidence of one cause among competing causes, for one group.

    Args:
        duration: (n,) follow-up, ≥ 0.
        cause: (n,) 0 for censored, 1, 2, … for the cause of the first event.
        of: the cause whose incidence is wanted.
        level: coverage of the pointwise limits.

    Raises:
        ValueError, TypeError: for bad arrays, no event of the cause, or a level outside (0, 1).

    Examples:
        >>> import trial_sim as ts
        >>> curve = ts.aalen_johansen([1, 2, 3, 4], [1, 2, 1, 0])
        >>> curve.incidence.round(3).tolist()
        [0.25, 0.25, 0.5]
    """
    times, causes = _causes(duration, cause)
    _need(causes, of)
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}.")
    grid = np.unique(times[causes > 0])
    at_risk, own, other = _counts(times, causes, of, grid)
    survival = np.asarray(np.cumprod(1.0 - (own + other) / at_risk), dtype=np.float64)
    before = np.concatenate([[1.0], survival[:-1]])
    incidence = np.asarray(np.cumsum(before * own / at_risk), dtype=np.float64)
    # δF(s) = Σ [S(t−) − (F(s) − F(t)) q] dM₁/Y − (F(s) − F(t)) q dM₂/Y with q = S(t−)/S(t)
    safe = np.where(survival > 1e-14, survival, 1.0)
    ratio = np.where(survival > 1e-14, before / safe, 0.0)
    spread = np.maximum(at_risk - 1.0, 1.0)
    own_weight = own / at_risk**2 * np.where(own > 1, 1.0 - (own - 1.0) / spread, 1.0)
    other_weight = other / at_risk**2 * np.where(other > 1, 1.0 - (other - 1.0) / spread, 1.0)
    # expand the squares in F(s), so that all s come from cumulative sums
    shifted = before + incidence * ratio
    all_weight = own_weight + other_weight
    constant = np.cumsum(own_weight * shifted**2 + other_weight * (incidence * ratio) ** 2)
    linear = np.cumsum(own_weight * shifted * ratio + other_weight * incidence * ratio**2)
    square = np.cumsum(all_weight * ratio**2)
    variance = constant - 2.0 * incidence * linear + incidence**2 * square
    error = np.sqrt(np.maximum(variance, 0.0))
    inside = (incidence > 0) & (incidence < 1)
    kept = np.where(inside, incidence, 0.5)
    half = float(ndtri(0.5 + level / 2.0)) * error / (kept * np.abs(np.log(kept)))
    lower = np.where(inside, kept ** np.exp(half), incidence)
    upper = np.where(inside, kept ** np.exp(-half), incidence)
    return CumulativeIncidence(
        grid,
        incidence,
        error,
        lower,
        upper,
        survival,
        at_risk.astype(np.int64),
        int(of),
        level,
        float(times.max()),
    )


def gray_test(duration: ArrayLike, cause: ArrayLike, group: ArrayLike, of: int = 1) -> GrayTest:
    """Gray's test that the cumulative incidence of one cause is the same in K groups.

    Args:
        duration: (n,) follow-up, ≥ 0.
        cause: (n,) 0 for censored, 1, 2, … for the cause of the first event.
        group: (n,) labels of two or more groups.
        of: the cause that is compared.

    Returns:
        `GrayTest`, with rho = 0, unstratified; ties enter the variance as in cmprsk.

    Raises:
        ValueError, TypeError: for bad arrays, one group only, no event of the cause, or a singular
            variance.

    Source:
        Gray (1988), Annals of Statistics 16, 1141–1154.

    Examples:
        >>> import trial_sim as ts
        >>> result = ts.gray_test([1, 2, 3, 4, 5, 6], [1, 1, 2, 1, 2, 0], [0, 0, 0, 1, 1, 1])
        >>> round(result.statistic, 3), result.df
        (2.438, 1)
    """
    times, causes = _causes(duration, cause)
    codes, names = labels(group, "group", times.size)
    if len(names) < 2:
        raise ValueError(f"group must hold two or more labels, got {len(names)}.")
    _need(causes, of)
    scores, variance = _gray_sums(times, causes, codes, len(names), of)
    part, matrix = scores[:-1], variance[:-1, :-1]
    if np.linalg.matrix_rank(matrix) < len(part):
        raise ValueError("the variance of Gray's statistic is singular: a group is never at risk.")
    statistic = float(part @ np.linalg.solve(matrix, part))
    two = len(names) == 2
    z = float(-scores[1] / variance[1, 1] ** 0.5) if two else float("nan")
    p_two = float(chdtrc(len(names) - 1, statistic))
    return GrayTest(
        statistic,
        len(names) - 1,
        p_two,
        tuple(float(value) for value in scores),
        tuple(name.item() if hasattr(name, "item") else name for name in names),
        z,
        (p_two / 2 if z > 0 else 1 - p_two / 2) if two else float("nan"),
        int(of),
        times.size,
        int((causes == of).sum()),
    )


def _gray_sums(
    times: Floats, causes: NDArray[np.int64], codes: NDArray[np.int64], k: int, of: int
) -> tuple[Floats, Floats]:
    """Scores (k,) and their covariance (k, k)."""
    grid = np.unique(times[causes > 0])
    parts = [_counts(times[codes == r], causes[codes == r], of, grid) for r in range(k)]
    at_risk, own, other = (np.stack([part[i] for part in parts]) for i in range(3))
    there = at_risk > 0
    safe = np.where(there, at_risk, 1.0)
    survival = np.cumprod(np.where(there, 1.0 - (own + other) / safe, 1.0), axis=1)
    start = np.ones((k, 1))
    before = np.concatenate([start, survival[:, :-1]], axis=1)
    incidence = np.cumsum(np.where(there, before * own / safe, 0.0), axis=1)
    earlier = np.concatenate([0.0 * start, incidence[:, :-1]], axis=1)
    total = own.sum(axis=0)
    # h = Y/S(t−); R = h (1 − F(t−)) is the risk set of the subdistribution
    h = np.where(there & (before > 0), at_risk / np.where(before > 0, before, 1.0), 0.0)
    risk = h * (1.0 - earlier)
    scores = (own - risk * (total / risk.sum(axis=0))).sum(axis=1)
    # under the null hypothesis the groups share F, estimated from all of them
    all_h = h.sum(axis=0)
    step = total / all_h
    after = 1.0 - np.cumsum(step)
    hazard = step / (after + step)
    variance = np.zeros((k, k))
    for r in range(k):
        direct = h * ((np.arange(k) == r)[:, None] - h[r] / all_h)
        future = np.cumsum(direct * hazard, axis=1)
        future = future[:, -1:] - future
        alive = survival[r] > 1e-12
        ratio = np.where(alive, after / np.where(alive, survival[r], 1.0), 0.0)
        from_own = direct + np.where(alive, 1.0 - ratio, 0.0) * future
        from_other = -ratio * future
        inverse = np.where(h[r] > 0, 1.0 / np.where(h[r] > 0, h[r], 1.0), 0.0)
        tied_own = _tie(total, all_h * before[r])
        tied_other = _tie(other[r], at_risk[r])
        other_step = before[r] * np.where(there[r], other[r] / safe[r], 0.0)
        variance += (from_own * (tied_own * step * inverse)) @ from_own.T
        variance += (from_other * (tied_other * other_step * inverse)) @ from_other.T
    return scores, variance


def _tie(events: Floats, at_risk: Floats) -> Floats:
    """1 − (d − 1)/(n − 1) where events are tied, else 1."""
    rest = np.maximum(at_risk - 1.0, 1e-12)
    return np.where(events > 1, np.maximum(1.0 - (events - 1.0) / rest, 0.0), 1.0)
