"""Interval estimates for the audit: shares, differences of shares, and attacks.

Every function returns an :class:`Interval`. Bootstraps weight the ranked scores by multinomial
counts, so that a thousand resamples of twenty thousand scores take a second.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

FALSE_POSITIVE_RATES = (0.01, 0.001)
_RESAMPLES_AT_ONCE = 50


class Interval(NamedTuple):
    """A point estimate with the ends of its 95 % confidence interval."""

    estimate: float
    lower: float
    upper: float


class AttackResult(NamedTuple):
    """What an attack achieves: area under the ROC curve, and true positives at two false-positive
    rates, 1 % and 0.1 %."""

    auc: Interval
    tpr_at_1_percent: Interval
    tpr_at_01_percent: Interval


def wilson(successes: float, trials: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share (Wilson 1927); all of [0, 1] for no trials."""
    if trials <= 0:
        return Interval(math.nan, 0.0, 1.0)
    z = float(stats.norm.ppf((1 + confidence) / 2))
    p = successes / trials
    centre = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials**2))
    return Interval(p, max(min(centre - half, p), 0.0), min(max(centre + half, p), 1.0))


def share_difference(a: float, n_a: float, b: float, n_b: float) -> Interval:
    """a/n_a - b/n_b with Newcombe's hybrid score interval (Newcombe 1998, method 10)."""
    first, second = wilson(a, n_a), wilson(b, n_b)
    gap = first.estimate - second.estimate
    low = math.hypot(first.estimate - first.lower, second.upper - second.estimate)
    high = math.hypot(first.upper - first.estimate, second.estimate - second.lower)
    return Interval(float(gap), float(max(gap - low, -1.0)), float(min(gap + high, 1.0)))


def bootstrap_mean(values: np.ndarray, seed: int = 0, n_resamples: int = 2_000) -> Interval:
    """Mean of ``values`` (n,) with its percentile bootstrap interval; NaN without values."""
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        return Interval(math.nan, math.nan, math.nan)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 11])))
    means = values[rng.integers(len(values), size=(n_resamples, len(values)))].mean(axis=1)
    lower, upper = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean()), float(lower), float(upper))


def attack_result(
    member_scores: np.ndarray, other_scores: np.ndarray, seed: int = 0, n_resamples: int = 1_000
) -> AttackResult:
    """AUC and true-positive rates of an attack, with bootstrap intervals.

    Members and non-members are resampled apart. A true-positive rate is the share of members above
    the lowest threshold at which no more than the given share of non-members is; its interval is
    never narrower than Wilson's at that threshold, because a bootstrap of no successes has no
    width.

    Args:
        member_scores: (n,) larger means "member"; minus infinity is allowed.
        other_scores: (m,) the same of non-members.

    Raises:
        ValueError: a NaN among the scores, or no scores.
    """
    members = np.asarray(member_scores, dtype=np.float64)
    others = np.asarray(other_scores, dtype=np.float64)
    if not len(members) or not len(others):
        raise ValueError(
            f"An attack needs scores of members and non-members; got {len(members)} and "
            f"{len(others)}."
        )
    if np.isnan(members).any() or np.isnan(others).any():
        raise ValueError("Scores of an attack must not be NaN.")
    pooled = np.concatenate([members, others])
    levels, place = np.unique(-pooled, return_inverse=True)  # from the highest score down
    n_levels = len(levels)
    first, second = place[: len(members)], place[len(members) :]
    once = _roc_values(
        np.bincount(first, minlength=n_levels)[None, :],
        np.bincount(second, minlength=n_levels)[None, :],
    )[0]
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 12])))
    draws = []
    for start in range(0, n_resamples, _RESAMPLES_AT_ONCE):
        n = min(_RESAMPLES_AT_ONCE, n_resamples - start)
        draws.append(
            _roc_values(_resampled(first, n, n_levels, rng), _resampled(second, n, n_levels, rng))
        )
    lower, upper = np.quantile(np.concatenate(draws), [0.025, 0.975], axis=0)
    results = [Interval(float(once[0]), float(lower[0]), float(upper[0]))]
    for k in (1, 2):
        score = wilson(float(once[k]) * len(members), len(members))
        results.append(
            Interval(
                float(once[k]),
                min(float(lower[k]), score.lower),
                max(float(upper[k]), score.upper),
            )
        )
    return AttackResult(*results)


def _resampled(
    place: np.ndarray, n_resamples: int, n_levels: int, rng: np.random.Generator
) -> np.ndarray:
    """(n_resamples, n_levels) how often each level occurs in bootstrap samples of ``place``."""
    counts = np.empty((n_resamples, n_levels), dtype=np.int32)
    for row in range(n_resamples):
        drawn = place[rng.integers(len(place), size=len(place))]
        counts[row] = np.bincount(drawn, minlength=n_levels)
    return counts


def _roc_values(member_counts: np.ndarray, other_counts: np.ndarray) -> np.ndarray:
    """(r, 3) AUC and the two true-positive rates of ``r`` samples of counts a level, high first."""
    true = np.cumsum(member_counts, axis=1) / member_counts.sum(axis=1, keepdims=True)
    false = np.cumsum(other_counts, axis=1) / other_counts.sum(axis=1, keepdims=True)
    rise = np.diff(false, axis=1, prepend=0.0)
    before = np.concatenate([np.zeros((len(true), 1)), true[:, :-1]], axis=1)
    columns = [(rise * (true + before) / 2).sum(axis=1)]
    for rate in FALSE_POSITIVE_RATES:
        allowed = false <= rate + 1e-12
        columns.append(np.where(allowed, true, 0.0).max(axis=1))
    return np.stack(columns, axis=1)
