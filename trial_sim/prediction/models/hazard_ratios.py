"""What strata and covariates do to a hazard: log hazard ratios that all arms share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Strata, and patients one standard deviation of a covariate apart, differ by a log hazard ratio of
# about one, unless the data say more: the standard deviation of a normal prior, which keeps a
# stratum without events finite.
PRIOR_SD = 1.0
_PIECES = 4  # of time, in each of which an arm has a rate of its own


@dataclass(frozen=True, eq=False)
class HazardRatios:
    """Log hazard ratios of the patients so far, by their strata and covariates.

    Attributes:
        names: (p,) of the columns. values: (n, p) columns of the patients; covariates in standard
            deviations (``scale``, (p,); 1 for indicators).
        estimate: (p,) log hazard ratios. covariance: of them.
    """

    names: tuple[str, ...]
    values: np.ndarray
    scale: np.ndarray
    estimate: np.ndarray
    covariance: np.ndarray

    def draw(self, n_draws: int, random: np.random.Generator) -> np.ndarray:
        """Draws of the log ratios from their normal approximation, (n_draws, p)."""
        return random.multivariate_normal(self.estimate, self.covariance, n_draws)

    def of_patients(self, logs: np.ndarray) -> np.ndarray:
        """Hazard ratios (..., n) of the patients so far for log ratios (..., p)."""
        return np.asarray(np.exp(logs @ self.values.T))


def fit_hazard_ratios(
    time: np.ndarray,
    event: np.ndarray,
    group: np.ndarray,
    n_groups: int,
    names: tuple[str, ...],
    values: np.ndarray,
    scale: np.ndarray,
) -> HazardRatios:
    """Fit log hazard ratios of columns to months at risk.

    Args:
        time: (n,) months at risk. event: (n,) bool. group: (n,) 0 to ``n_groups`` - 1.
        names, values, scale: as in :class:`HazardRatios`.

    Each group has a rate of its own in each of four pieces of time.
    """
    cuts = np.empty(0)
    if event.sum() >= 2 * _PIECES:
        cuts = np.unique(np.quantile(time[event], np.arange(1, _PIECES) / _PIECES))
    starts = np.array([0.0, *cuts])
    each = np.clip(time[:, None], starts, np.append(starts[1:], np.inf)) - starts
    piece = np.maximum(np.searchsorted(starts, time, side="left") - 1, 0)
    exposure = np.zeros((n_groups, len(starts), len(time)))
    events = np.zeros(exposure.shape)
    patients = np.arange(len(time))
    exposure[group, :, patients] = each
    events[group[event], piece[event], patients[event]] = 1.0
    shape = (-1, len(time))
    estimate, covariance = log_ratios(exposure.reshape(shape), events.reshape(shape), values)
    return HazardRatios(names, values, scale, estimate, covariance)


def log_ratios(
    exposure: np.ndarray, events: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log hazard ratios of columns where each cell (arm and piece of time) has a rate of its own.

    Args:
        exposure: (n_cells, n) months at risk of each patient (or stratum). events: the same,
            events. values: (n, p) columns.

    Returns:
        estimate (p,) and covariance (p, p). The rates are maximised out of the Poisson likelihood,
        which leaves a concave function of the log ratios; with a normal prior of ``PRIOR_SD``
        Newton's method finds its mode.
    """
    total, deaths = events.sum(axis=1), events.sum(axis=0)
    used = exposure.sum(axis=1) > 0
    total, exposure = total[used], exposure[used]
    effect = np.zeros(values.shape[1])
    precision = np.eye(len(effect)) / PRIOR_SD**2
    seen = deaths @ values
    spread = np.zeros_like(precision)
    for _ in range(100):
        weighted = exposure * np.exp(values @ effect)
        share = weighted / weighted.sum(axis=1, keepdims=True)
        mean = share @ values
        gradient = seen - total @ mean - effect / PRIOR_SD**2
        spread = values.T @ (values * (total @ share)[:, None]) - (mean.T * total) @ mean
        step = np.linalg.solve(spread + precision, gradient)
        effect = effect + np.clip(step, -1.0, 1.0)
        if np.abs(step).max(initial=0.0) < 1e-10:
            break
    return effect, np.linalg.inv(spread + precision)
