"""Arm x interval events and person-time: the sufficient statistics of survival outcomes.

Time is cut at knots; within an interval the hazard of a cause in an arm is constant. From the
counts ``d`` and the person-time ``e`` follow

- the plug-in hazard ``d / e`` and its posterior draw ``Gamma(d) / e`` (the piecewise-exponential
  likelihood with the flat prior on log hazard), independent over intervals;
- the *conditional* hazards of a model with relative risks: baseline hazards are chosen, interval by
  interval, so that the average over the covariates of the patients still at risk gives the
  *marginal* hazard back. So each arm's Kaplan-Meier curve and the unadjusted effect are kept
  whatever the covariate model does, and chance imbalance between the real arms is not mistaken for
  an effect.

Nothing is known beyond the last knot, where times become infinite; hazards whose last piece has no
end are in ``numerics.piecewise_hazards``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np

from trial_sim.base.storage import storable
from trial_sim.numerics.told import TOGETHER, running, significant, unowned, upper_end

EACH = 8  # events an interval; with fewer, the times of single patients show in the hazards
FINEST = 1e-5  # of the longest time: the finest unit that is told from a continuum
DIGITS = 4  # of person-time
LEAST = 6  # intervals, with as many events in each: the shape of a curve takes that many


def resolution_of(times: np.ndarray) -> float:
    """The unit to which times were recorded, a power of ten or half of one: 1 for whole numbers
    with units in their last digit, 0 for a continuum (finer than `FINEST` of the longest)."""
    longest = float(np.abs(times).max()) if len(times) else 0.0
    if longest == 0:
        return 1.0
    top = int(np.floor(np.log10(longest)))
    for power in range(top, top + int(np.log10(FINEST)) - 1, -1):
        for unit in (10.0**power, 5 * 10.0 ** (power - 1)):
            steps = times / unit
            if np.abs(steps - np.round(steps)).max() <= 1e-9 * longest / unit:
                return unit
    return 0.0


def recorded_up(times: np.ndarray, unit: float) -> np.ndarray:
    """Times rounded up to ``unit`` (0: left as they are)."""
    if not unit:
        return times
    digits = 8 - int(np.floor(np.log10(unit)))
    return np.round(np.ceil(times / unit - 1e-9) * unit, digits)


def midpoints(times: np.ndarray, unit: float) -> np.ndarray:
    """Times recorded by rounding up to ``unit``, put in the middle of their unit.

    Times of 0, as of a death on the day of randomisation, are put at a quarter of the unit; of a
    continuum at half of the shortest time above 0, where a parametric law can bear them.
    """
    if unit:
        return np.maximum(times - unit / 2, unit / 4)
    above = times[times > 0]
    return np.maximum(times, above.min() / 2 if len(above) else 1e-9)


def choose_knots(
    times: np.ndarray, event: np.ndarray, unit: float, most: int = 40, each: int = EACH
) -> np.ndarray:
    """Knots (k + 1,) from 0 to the last time: quantiles of the event times, ``each`` or more
    events an interval on average but no fewer than `LEAST` intervals, on whole units. No knot is
    the time of one patient (see `numerics.told`)."""
    last = upper_end(times)
    happened = times[event > 0]
    seen = running(happened)
    count = int(np.clip(max(len(seen) // each, min(LEAST, len(seen) // LEAST)), 1, most))
    inner = np.quantile(seen, np.arange(1, count) / count) if len(seen) else np.array([])
    end = [min(upper_end(happened), last)] if len(seen) else []
    inner = np.concatenate([inner, end])
    if unit:
        inner, last = np.ceil(inner / unit - 1e-9) * unit, np.ceil(last / unit - 1e-9) * unit
        inner = unowned(inner, times, unit)
    knots = np.unique(np.concatenate([[0.0], inner, [last]]))
    return knots[knots <= last] if len(knots) > 1 else np.array([0.0, max(last, unit or 1.0)])


@storable
@dataclass(frozen=True)
class HazardGrid:
    """Counts and person-time.

    Attributes:
        knots: (K + 1,) ascending, first 0. counts: (A, K, C) events by arm, interval and cause.
        exposure: (A, K) person-time. noise: standard deviation of privacy noise on the counts.
    """

    knots: np.ndarray
    counts: np.ndarray
    exposure: np.ndarray
    noise: float = 0.0

    @classmethod
    def build(
        cls,
        times: np.ndarray,
        cause: np.ndarray,
        arm: np.ndarray,
        n_arms: int,
        n_causes: int,
        knots: np.ndarray,
        entry: np.ndarray | None = None,
    ) -> HazardGrid:
        """Count events (``cause`` 1..n_causes; 0 none) and person-time after ``entry``."""
        k = len(knots) - 1
        counts = np.zeros((n_arms, k, n_causes))
        exposure = np.zeros((n_arms, k))
        start = np.zeros(len(times)) if entry is None else entry
        place = np.clip(np.searchsorted(knots, times, side="left") - 1, 0, k - 1)
        np.add.at(counts, (arm[cause > 0], place[cause > 0], cause[cause > 0].astype(int) - 1), 1)
        for a in range(n_arms):
            t, s = times[arm == a], start[arm == a]
            inside = np.clip(t[:, None], knots[:-1], knots[1:])
            inside = inside - np.clip(s[:, None], knots[:-1], knots[1:])
            inside = inside.clip(min=0)
            leaving = place[arm == a][:, None] == np.arange(k)
            exposure[a] = (inside * ~leaving).sum(axis=0)
            exposure[a] += of_few((inside * leaving).sum(axis=0), leaving.sum(axis=0))
        return cls(knots, counts, significant(exposure, DIGITS))

    @property
    def widths(self) -> np.ndarray:
        """(K,) lengths of the intervals."""
        return np.diff(self.knots)

    def hazards(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """Marginal hazards (A, K, C): plug-in, or one posterior draw.

        An arm without any event of a cause has a plug-in hazard of zero; its draws stand for half
        an event in the pooled shape (Jeffreys), so that its uncertainty is not zero too.
        """
        counts = self.counts
        if rng is not None:
            none = counts.sum(axis=1) == 0
            if self.noise:
                counts = np.maximum(counts + self.noise * rng.standard_normal(counts.shape), 0.0)
            pooled = counts.sum(axis=0) / np.maximum(counts.sum(axis=(0, 1)), 1)
            counts = rng.standard_gamma(counts + none[:, None, :] * 0.5 * pooled)
        seen = self.exposure > 0
        return np.where(seen, 1 / np.where(seen, self.exposure, 1), 0)[:, :, None] * counts


def of_few(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums (K,) of the times of ``counts`` (K,) patients, to one digit where they are one or two,
    to two where they are fewer than `TOGETHER`: further digits would be those patients' own."""
    few = np.where(counts < TOGETHER, significant(sums, 2), sums)
    return np.where(counts < 3, significant(sums, 1), few)


def conditional_hazards(
    marginal: np.ndarray, widths: np.ndarray, risks: np.ndarray, enters: np.ndarray | None = None
) -> np.ndarray:
    """Baseline hazards whose average over patients at risk is the marginal hazard.

    Args:
        marginal: (A, K, C). widths: (K,).
        risks: (A, M, C) relative risks of M reference patients, by arm and cause.
        enters: (M,) interval in which each comes under observation (None: all in the first).

    Returns:
        (A, K, C) hazards of a patient with relative risk 1.

    Marches through the intervals; within one, causes are weighed by the mean of both ends, and all
    hazards scaled until survival falls exactly as the margin says: at the end of the interval, or,
    where more than a factor e is lost in it, at the time by which that is (at its far end only
    those at low risk are left, and to match them would hurry all others).
    """
    out = np.zeros_like(marginal)
    if enters is None:
        enters = np.zeros(risks.shape[1], dtype=np.int64)
    risks = np.ascontiguousarray(risks, dtype=np.float64)
    march(np.ascontiguousarray(marginal), widths, risks, enters.astype(np.int64), out)
    return out


@nb.njit(nogil=True, cache=True, error_model="numpy")
def march(marginal, widths, risks, enters, out):
    """Fill ``out`` (A, K, C); the kernel of `conditional_hazards`."""
    n_arms, n_intervals, n_causes = marginal.shape
    m = risks.shape[1]
    total = np.zeros(m)
    before = np.ones(m)
    after = np.ones(m)
    hazard = np.zeros(n_causes)
    mean = np.zeros(n_causes)
    for a in range(n_arms):
        total[:] = 0.0
        before[:] = 0.0
        for k in range(n_intervals):
            for i in range(m):
                if enters[i] == k:
                    before[i] = 1.0
            after[:] = before
            start = before.sum()
            if start == 0.0:
                out[a, k] = marginal[a, k]
                continue
            wanted = 0.0
            for c in range(n_causes):
                wanted += widths[k] * marginal[a, k, c]
            reach = widths[k]
            if wanted > 1.0:
                reach, wanted = reach / wanted, 1.0
            factor = 1.0
            for _ in range(5):
                weight = 0.0
                mean[:] = 0.0
                for i in range(m):
                    w = 0.5 * (before[i] + after[i])
                    weight += w
                    for c in range(n_causes):
                        mean[c] += w * risks[a, i, c]
                for c in range(n_causes):
                    hazard[c] = factor * marginal[a, k, c] * weight / max(mean[c], 1e-300)
                for i in range(m):
                    step = 0.0
                    for c in range(n_causes):
                        step += risks[a, i, c] * hazard[c]
                    if enters[i] <= k:
                        after[i] = np.exp(-min(total[i] + reach * step, 600.0))
                spent = np.log(start / max(after.sum(), 1e-290))
                if spent > 0.0:
                    factor *= wanted / spent
            for c in range(n_causes):
                out[a, k, c] = hazard[c]
            for i in range(m):
                step = 0.0
                for c in range(n_causes):
                    step += risks[a, i, c] * hazard[c]
                if enters[i] > k:
                    continue
                total[i] += widths[k] * step
                before[i] = max(np.exp(-min(total[i], 600.0)), 1e-260)


def invert(
    exponential: np.ndarray, arm: np.ndarray, knots: np.ndarray, hazards: np.ndarray
) -> np.ndarray:
    """Times at which the cumulative hazard of the patient's arm reaches ``exponential``.

    Args:
        exponential: (n,) unit exponentials over relative risks. arm: (n,) rows of ``hazards``.
        hazards: (A, K).

    Returns:
        (n,) times; inf beyond the last knot.
    """
    out = np.empty(len(exponential))
    total = cumulative_at_knots(hazards, np.diff(knots))
    for a in range(len(hazards)):
        mine = np.flatnonzero(arm == a)
        if not len(mine):
            continue
        cumulative = total[a]
        e = exponential[mine]
        k = np.searchsorted(cumulative, e, side="left") - 1
        inside = k < len(hazards[a])
        k = np.clip(k, 0, len(hazards[a]) - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = knots[k] + (e - cumulative[k]) / hazards[a][k]
        out[mine] = np.where(inside & (hazards[a][k] > 0), t, np.inf)
    return out


def cumulative_at_knots(hazards: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Cumulative hazards (A, K + 1, ...) at the knots of intervals of ``widths`` (K,), from
    hazards (A, K, ...)."""
    wide = widths.reshape(-1, *[1] * (hazards.ndim - 2))
    steps = np.cumsum(hazards * wide, axis=1)
    return np.concatenate([np.zeros_like(steps[:, :1]), steps], axis=1)


def cumulative_at(
    times: np.ndarray, arm: np.ndarray, knots: np.ndarray, hazards: np.ndarray
) -> np.ndarray:
    """Cumulative hazards (n,) of the patients' arms at ``times`` (n,); ``hazards`` (A, K)."""
    total = cumulative_at_knots(hazards, np.diff(knots))
    out = np.empty(len(times))
    for a in range(len(hazards)):
        out[arm == a] = np.interp(times[arm == a], knots, total[a])
    return out


def survival_on(knots: np.ndarray, hazards: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Survival at ``times`` of a piecewise-constant hazard (K,)."""
    (total,) = cumulative_at_knots(hazards[None], np.diff(knots))
    return np.exp(-np.interp(times, knots, total))
