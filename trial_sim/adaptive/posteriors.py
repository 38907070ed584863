"""Which arm is the best, as posterior probabilities, and the allocation that follows them.

Rates have Beta(1, 1) priors; everything else is normal with a flat prior. All functions take many
trials at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaln, ndtr

from trial_sim.sequential.integration import FloatArray

__all__ = [
    "allocation_shares",
    "best_of_normals",
    "best_of_rates",
    "neyman_shares",
    "rate_better",
    "rsihr_shares",
    "thompson_shares",
]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_REACH = 9.0  # standard deviations of a posterior that are integrated over


def _panel(low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    half = 0.5 * (high - low)[..., None]
    return low[..., None] + half * (_NODES + 1.0), half * _WEIGHTS


def best_of_rates(responders: ArrayLike, patients: ArrayLike, open_arms: Any = None) -> FloatArray:
    """Posterior chance that each arm has the highest response rate, (..., n_arms).

    responders, patients: (..., n_arms) so far; the priors are Beta(1, 1).
    open_arms: (..., n_arms) bool, the arms that take part; all by default, others get 0.

    Examples:
        >>> from trial_sim.adaptive.posteriors import best_of_rates
        >>> best_of_rates([5, 9, 12], [20, 20, 20]).round(4).tolist()
        [0.0071, 0.175, 0.8179]
    """
    x, n = np.asarray(responders, dtype=float), np.asarray(patients, dtype=float)
    a, b = x + 1.0, n - x + 1.0
    here = np.ones(x.shape, bool) if open_arms is None else np.asarray(open_arms)
    mean = a / (a + b)
    sd = np.sqrt(mean * (1 - mean) / (a + b + 1))
    p, w = _panel(np.maximum(mean - _REACH * sd, 0.0), np.minimum(mean + _REACH * sd, 1.0))
    with np.errstate(divide="ignore"):
        log = (a[..., None] - 1) * np.log(p) + (b[..., None] - 1) * np.log1p(-p)
    density = np.exp(log - betaln(a, b)[..., None])
    return _best(
        density * w, lambda j: betainc(a[..., j, None, None], b[..., j, None, None], p), here
    )


def best_of_normals(mean: ArrayLike, sd: ArrayLike, open_arms: Any = None) -> FloatArray:
    """The same of independent normal posteriors of which the larger is the better.

    Examples:
        >>> from trial_sim.adaptive.posteriors import best_of_normals
        >>> best_of_normals([0.0, 0.5], [0.3, 0.4]).round(4).tolist()
        [0.1587, 0.8413]
    """
    m, s = np.asarray(mean, dtype=float), np.asarray(sd, dtype=float)
    here = np.ones(m.shape, bool) if open_arms is None else np.asarray(open_arms)
    m, s = np.where(here, m, 0.0), np.where(here, s, 1.0)
    x, w = _panel(m - _REACH * s, m + _REACH * s)
    density = np.exp(-0.5 * ((x - m[..., None]) / s[..., None]) ** 2)
    density /= s[..., None] * np.sqrt(2 * np.pi)
    return _best(
        density * w, lambda j: ndtr((x - m[..., j, None, None]) / s[..., j, None, None]), here
    )


def _best(mass: FloatArray, below: Any, here: np.ndarray) -> FloatArray:
    """Chance of each arm, from its posterior on nodes of its own and the others' below them."""
    n_arms = mass.shape[-2]
    for j in range(n_arms):
        share = below(j)
        share = np.where(here[..., j, None, None], share, 1.0)
        keep = np.arange(n_arms) == j
        mass = mass * np.where(keep[:, None], 1.0, share)
    found = np.where(here, mass.sum(axis=-1), 0.0)
    with np.errstate(invalid="ignore"):
        return found / found.sum(axis=-1, keepdims=True)


def rate_better(
    control: tuple[ArrayLike, ArrayLike], treated: tuple[ArrayLike, ArrayLike], margin: float = 0.0
) -> FloatArray:
    """Posterior chance that the treated rate exceeds the control's by more than a margin.

    control, treated: (responders, patients); the priors are Beta(1, 1).

    Examples:
        >>> from trial_sim.adaptive.posteriors import rate_better
        >>> float(rate_better((5, 20), (9, 20)).round(4))
        0.9014
    """
    (x0, n0), (x1, n1) = control, treated
    a0, b0 = np.asarray(x0, dtype=float) + 1, np.asarray(n0, dtype=float) - np.asarray(x0) + 1
    a1, b1 = np.asarray(x1, dtype=float) + 1, np.asarray(n1, dtype=float) - np.asarray(x1) + 1
    mean = a1 / (a1 + b1)
    sd = np.sqrt(mean * (1 - mean) / (a1 + b1 + 1))
    p, w = _panel(np.maximum(mean - _REACH * sd, 0.0), np.minimum(mean + _REACH * sd, 1.0))
    log = (a1[..., None] - 1) * np.log(p) + (b1[..., None] - 1) * np.log1p(-p)
    density = np.exp(log - betaln(a1, b1)[..., None])
    below = betainc(a0[..., None], b0[..., None], np.clip(p - margin, 0.0, 1.0))
    return (density * w * below).sum(axis=-1)


def thompson_shares(best: ArrayLike, power: ArrayLike = 1.0) -> FloatArray:
    """Allocation in proportion to a power of the chance to be the best, (..., n_arms).

    power: 1 is Thompson's; 0 equal; (n so far) / (2 n planned) grows with the trial.

    Examples:
        >>> from trial_sim.adaptive.posteriors import thompson_shares
        >>> thompson_shares([0.0071, 0.175, 0.8179], 0.5).round(3).tolist()
        [0.06, 0.297, 0.643]
    """
    p = np.asarray(best, dtype=float)
    c = np.asarray(power, dtype=float)
    raised = np.where(p > 0, np.maximum(p, 1e-300) ** c[..., None], 0.0)
    return raised / raised.sum(axis=-1, keepdims=True)


def neyman_shares(rates: ArrayLike) -> FloatArray:
    """Allocation of rates in proportion to their standard deviations, for power.

    Examples:
        >>> from trial_sim.adaptive.posteriors import neyman_shares
        >>> neyman_shares([0.25, 0.5]).round(4).tolist()
        [0.4641, 0.5359]
    """
    p = np.asarray(rates, dtype=float)
    spread = np.sqrt(p * (1 - p))
    return spread / spread.sum(axis=-1, keepdims=True)


def rsihr_shares(rates: ArrayLike) -> FloatArray:
    """Allocation in proportion to the square root of the rates: fewest expected failures.

    Examples:
        >>> from trial_sim.adaptive.posteriors import rsihr_shares
        >>> rsihr_shares([0.25, 0.5]).round(4).tolist()
        [0.4142, 0.5858]
    """
    root = np.sqrt(np.asarray(rates, dtype=float))
    return root / root.sum(axis=-1, keepdims=True)


def allocation_shares(
    wanted: ArrayLike, open_arms: np.ndarray, least: float = 0.0, control_share: float | None = None
) -> FloatArray:
    """Shares of the open arms, none of them below a least one, the control's fixed if wanted.

    wanted: (n_trials, n_arms) in any scale, the control first. open_arms: (n_trials, n_arms) bool.

    Examples:
        >>> import numpy as np
        >>> from trial_sim.adaptive.posteriors import allocation_shares
        >>> allocation_shares([[0.02, 0.3, 0.68]], np.ones((1, 3), bool), 0.1).round(3).tolist()
        [[0.1, 0.276, 0.624]]
    """
    shares = np.where(open_arms, np.asarray(wanted, dtype=float), 0.0)
    free = open_arms.copy()
    total = np.ones(len(shares))
    fixed = np.zeros_like(shares)
    if control_share is not None:
        alone = ~open_arms[:, 1:].any(axis=1)
        fixed[:, 0] = np.where(alone, 1.0, control_share)
        free[:, 0] = False
        total = total - fixed[:, 0]
    for _ in range(shares.shape[1]):
        part = np.where(free, shares, 0.0)
        sums = part.sum(axis=1, keepdims=True)
        even = free / np.maximum(free.sum(axis=1, keepdims=True), 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.where(sums > 0, part / sums, even) * total[:, None]
        low = free & (part < least - 1e-12)
        if not low.any():
            return fixed + part
        fixed[low] = least
        free &= ~low
        total = np.maximum(1.0 - fixed.sum(axis=1), 0.0)
    return fixed
