"""Kaplan–Meier curves, and comparisons of two of them: restricted mean and milestone survival."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from trial_sim.base.figures import new_figure
from trial_sim.base.user_warnings import warn_user
from trial_sim.statistics.comparison import Comparison, upper_tail
from trial_sim.statistics.kernels.curves import milestone_sorted, reach_sorted, rmst_sorted
from trial_sim.statistics.validation import (
    choice,
    entries,
    indicator,
    merge_ties,
    non_negative,
    two_groups,
)


@dataclass(frozen=True)
class SurvivalCurve:
    """Kaplan–Meier estimate.

    Attributes:
        time: (k,) times at which the event was seen or follow-up ended, ascending.
        survival: (k,) probability to be free of the event after ``time``.
        standard_error: (k,) Greenwood's standard error of ``survival``.
        lower, upper: (k,) pointwise limits.
        n_at_risk: (k,) patients at risk just before ``time``.
        n_events: (k,) events at ``time``.
        level: coverage of the limits.

    Examples:
        >>> import trial_sim as ts
        >>> curve = ts.kaplan_meier([2, 3, 5, 8], [1, 0, 1, 1])
        >>> curve.n_at_risk.tolist(), curve.n_events.tolist()
        ([4, 3, 2, 1], [1, 0, 1, 1])
        >>> curve.at([4]).tolist(), curve.median, curve.quantile(0.25)
        ([0.75], 5.0, 3.5)
        >>> curve.to_frame().columns.tolist()
        ['time', 'n_at_risk', 'n_events', 'survival', 'standard_error', 'lower', 'upper']
    """

    time: NDArray[np.float64]
    survival: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    n_at_risk: NDArray[np.int64]
    n_events: NDArray[np.int64]
    level: float

    def plot(self, ax: Any = None, label: str | None = None) -> Any:
        """The curve as steps with its limits shaded, and marks where patients were censored.

        Args:
            ax: matplotlib axes to draw on (another curve's, say); None makes a figure.
            label: for the legend.

        Returns:
            The figure.

        Examples:
            >>> import trial_sim as ts
            >>> figure = ts.kaplan_meier([2, 3, 5, 8], [1, 0, 1, 1]).plot(label="all")
            >>> figure.axes[0].get_ylabel()
            'survival'
        """
        axes = new_figure(figsize=(6, 4), layout="constrained").add_subplot() if ax is None else ax
        time = np.concatenate([[0.0], self.time])
        steps = [np.concatenate([[1.0], v]) for v in (self.survival, self.lower, self.upper)]
        (line,) = axes.step(time, steps[0], where="post", label=label)
        axes.fill_between(
            time, steps[1], steps[2], step="post", alpha=0.2, color=line.get_color(), linewidth=0
        )
        at_risk = np.concatenate([self.n_at_risk[1:], [0]])
        left = self.n_at_risk - self.n_events > at_risk
        axes.plot(self.time[left], self.survival[left], "+", color=line.get_color())
        axes.set(xlabel="time", ylabel="survival", ylim=(0, 1.02), xlim=(0, None))
        if label is not None:
            axes.legend()
        return axes.figure

    def at(self, times: ArrayLike) -> NDArray[np.float64]:
        """Survival at any times (NaN after the last one, unless the curve has reached 0)."""
        wanted = np.atleast_1d(np.asarray(times, dtype=np.float64))
        steps = np.concatenate([[1.0], self.survival])
        values = steps[np.searchsorted(self.time, wanted, side="right")]
        if self.survival[-1] > 0:
            values = np.where(wanted > self.time[-1], np.nan, values)
        return values

    def quantile(self, probability: float) -> float:
        """Time by which ``probability`` of patients had the event; infinite if not reached.

        Where the curve is flat at 1 − probability, the middle of the flat stretch, as R does.
        """
        if not 0 < probability < 1:
            raise ValueError(f"probability must be between 0 and 1, got {probability}.")
        target = 1.0 - probability
        below = np.flatnonzero(self.survival < target + 1e-12)
        if below.size == 0:
            return float("inf")
        first = below[0]
        if abs(self.survival[first] - target) < 1e-12:
            lower_still = np.flatnonzero(self.survival < target - 1e-12)
            if lower_still.size:
                return float((self.time[first] + self.time[lower_still[0]]) / 2.0)
        return float(self.time[first])

    @property
    def median(self) -> float:
        """Median time to the event; infinite if not reached."""
        return self.quantile(0.5)

    def to_frame(self) -> Any:
        """The curve as a DataFrame, one row a time."""
        import pandas as pd

        names = ("time", "n_at_risk", "n_events", "survival", "standard_error", "lower", "upper")
        return pd.DataFrame({name: getattr(self, name) for name in names})


def kaplan_meier(
    duration: ArrayLike,
    event: ArrayLike,
    level: float = 0.95,
    interval: str = "log",
    entry: ArrayLike | None = None,
) -> SurvivalCurve:
    """Kaplan–Meier estimate of one group.

    Args:
        duration: (n,) follow-up, ≥ 0.
        event: (n,) 1 for the event, 0 for censored.
        level: coverage of the pointwise limits.
        interval: scale of the limits: "log" (R's default), "log-log" or "plain".
        entry: (n,) time from which each patient is at risk (delayed entry), or None.

    Raises:
        ValueError, TypeError: for bad arrays, a level outside (0, 1), an unknown scale, or entry
            not before duration.

    Warns:
        UserWarning: everybody at risk has the event while others are still to enter; the curve is 0
            from there.

    Examples:
        >>> import trial_sim as ts
        >>> curve = ts.kaplan_meier([2, 3, 5, 8], [1, 0, 1, 1])
        >>> curve.survival.round(3).tolist()
        [0.75, 0.75, 0.375, 0.0]
    """
    (times,) = merge_ties(non_negative(duration, "duration"))
    begin, times = entries(entry, times)
    seen = indicator(event, "event", times.size)
    choice(interval, "interval", ("log", "log-log", "plain"))
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}.")
    unique, inverse = np.unique(times, return_inverse=True)
    leaving = np.bincount(inverse, minlength=unique.size)
    deaths = np.bincount(inverse, weights=seen, minlength=unique.size).astype(np.int64)
    at_risk = times.size - np.concatenate([[0], np.cumsum(leaving)[:-1]])
    if begin is not None:
        to_come = times.size - np.searchsorted(np.sort(begin), unique, side="left")
        at_risk = at_risk - to_come
        empty = (deaths == at_risk) & (to_come > 0) & (deaths > 0)
        if empty.any():
            warn_user(
                f"all {at_risk[empty][0]} at risk at {unique[empty][0]:g} have the event there "
                "while others are still to enter: the curve is 0 from then on"
            )
    survival = np.cumprod(1.0 - deaths / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(deaths / (at_risk * (at_risk - deaths.astype(float))))
        error = np.where(survival > 0, survival * np.sqrt(greenwood), 0.0)
        quantile = float(ndtri(0.5 + level / 2.0))
        half = quantile * np.sqrt(greenwood)
        if interval == "log":
            lower = survival * np.exp(-half)
            upper = np.minimum(survival * np.exp(half), 1.0)
        elif interval == "plain":
            lower = np.maximum(survival - quantile * error, 0.0)
            upper = np.minimum(survival + quantile * error, 1.0)
        else:
            scale = half / np.abs(np.log(survival))
            lower = survival ** np.exp(scale)
            upper = survival ** np.exp(-scale)
    certain = (survival == 1.0) & (np.cumsum(deaths) == 0)
    lower = np.where(certain, 1.0, np.where(survival > 0, lower, np.nan))
    upper = np.where(certain, 1.0, np.where(survival > 0, upper, np.nan))
    return SurvivalCurve(unique, survival, error, lower, upper, at_risk, deaths, level)


def _two_curves(
    duration: ArrayLike, event: ArrayLike, group: ArrayLike, tau: float, name: str
) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.int8]]:
    """Sorted data of both groups, with tau within the follow-up of both."""
    (times,) = merge_ties(non_negative(duration, "duration"))
    seen = indicator(event, "event", times.size)
    arm = two_groups(group, times.size)
    if not 0 < tau < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {tau}.")
    order = np.argsort(times, kind="stable")
    times, seen, arm = times[order], seen[order], arm[order]
    reach = reach_sorted(times, seen, arm)
    if tau > reach:
        raise ValueError(
            f"{name} of {tau:g} lies beyond the follow-up of one group, whose survival curve is "
            f"known until {reach:g}; choose {name} ≤ {reach:g}."
        )
    return times, seen, arm


def rmst_difference(
    duration: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    tau: float,
    variance: str = "corrected",
) -> Comparison:
    """Difference of restricted mean survival times, group 1 minus group 0.

    Args:
        duration, event, group: as `logrank`.
        tau: horizon, in the units of duration, within the follow-up of both groups.
        variance: "corrected" multiplies Greenwood's variance of each arm by m/(m − 1), m its events
            until tau (as simtrial and SAS do); "greenwood" does not (as survRM2).

    Returns:
        ``estimate``: difference of the areas under the two Kaplan–Meier curves until tau (Royston
        and Parmar 2013).

    Raises:
        ValueError, TypeError: as `logrank`, for an unknown variance, and for tau beyond the
            follow-up of a group.

    Examples:
        >>> import trial_sim as ts
        >>> time, event, group = (
        ...     [2, 4, 6, 8, 3, 7, 9, 12],
        ...     [1, 1, 1, 1, 1, 1, 0, 0],
        ...     [0, 0, 0, 0, 1, 1, 1, 1],
        ... )
        >>> result = ts.rmst_difference(time, event, group, tau=8)
        >>> round(result.estimate, 3), round(result.se, 3)
        (1.5, 1.947)
    """
    choice(variance, "variance", ("corrected", "greenwood"))
    times, seen, arm = _two_curves(duration, event, group, tau, "tau")
    corrected = variance == "corrected"
    mean0, variance0, mean1, variance1 = rmst_sorted(times, seen, arm, float(tau), corrected)
    total = variance0 + variance1
    if total <= 0:
        raise ValueError(f"no event before tau = {tau:g}: the restricted means have no variance.")
    z = (mean1 - mean0) / total**0.5
    return Comparison(
        test=f"RMST to {tau:g}",
        z=z,
        p_value=upper_tail(z),
        estimate=mean1 - mean0,
        se=total**0.5,
        scale="difference of restricted means",
        n=times.size,
        n_events=int(seen.sum()),
    )


def milestone_difference(
    duration: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    tau: float,
    scale: str = "survival",
) -> Comparison:
    """Difference of Kaplan–Meier survival at a milestone, group 1 minus group 0.

    Args:
        duration, event, group: as `logrank`.
        tau: the milestone, within the follow-up of both groups.
        scale: "survival" (plain difference), or "log-log", on which the test keeps its level better
            in small groups (Klein et al. 2007); there the estimate is the difference of
            log(−log S), and negative values favour group 1.

    Raises:
        ValueError, TypeError: as `rmst_difference`; for "log-log" also if a curve is 0 or 1 at tau.

    Examples:
        >>> import trial_sim as ts
        >>> time, event, group = (
        ...     [2, 4, 6, 8, 3, 7, 9, 12],
        ...     [1, 1, 1, 1, 1, 1, 0, 0],
        ...     [0, 0, 0, 0, 1, 1, 1, 1],
        ... )
        >>> round(ts.milestone_difference(time, event, group, tau=6).estimate, 3)
        0.5
    """
    choice(scale, "scale", ("survival", "log-log"))
    times, seen, arm = _two_curves(duration, event, group, tau, "tau")
    survival0, sum0, survival1, sum1 = milestone_sorted(times, seen, arm, float(tau))
    if scale == "survival":
        estimate = survival1 - survival0
        variance = survival0**2 * sum0 + survival1**2 * sum1
        sign = 1.0
    else:
        if not (0 < survival0 < 1 and 0 < survival1 < 1):
            raise ValueError(
                f"the log-log scale needs survival strictly between 0 and 1 at {tau:g}, got "
                f"{survival0:g} and {survival1:g}."
            )
        estimate = float(np.log(-np.log(survival1)) - np.log(-np.log(survival0)))
        variance = float(sum0 / np.log(survival0) ** 2 + sum1 / np.log(survival1) ** 2)
        sign = -1.0
    if variance <= 0:
        raise ValueError(f"no event before {tau:g}: the difference has no variance.")
    z = sign * estimate / variance**0.5
    return Comparison(
        test=f"survival at {tau:g}",
        z=z,
        p_value=upper_tail(z),
        estimate=estimate,
        se=variance**0.5,
        scale="difference of survival" if scale == "survival" else "difference of log(-log S)",
        n=times.size,
        n_events=int(seen.sum()),
    )
