"""Membership inference: was this patient in the data that the generator was fitted to?

Three attacks, each with the records themselves in hand: the distance to the nearest synthetic
record, the density ratio of DOMIAS (van Breugel et al. 2023), and shadow models in the manner of
LiRA (Carlini et al. 2022), which know the generator and refit it with and without each record.
"""

from __future__ import annotations

import numpy as np

from trial_sim.auditing.compared import intervals
from trial_sim.auditing.compared.intervals import Interval


def distance_score(to_synthetic: np.ndarray) -> np.ndarray:
    """(n,) minus the distance to the nearest synthetic record: higher means member."""
    return -to_synthetic.min(axis=1)


def bandwidth(among_reference: np.ndarray) -> float:
    """A fifth of the median nearest-neighbour distance of reference records (infinite diagonal).

    On copies and bootstraps of colon the attack gains nothing from narrower kernels and loses
    with wider ones (AUC .83 at a fifth, .84 at a twentieth, .79 at a half).
    """
    value = 0.2 * float(np.median(among_reference.min(axis=1)))
    return value if value > 0 else 0.2 / among_reference.shape[0]


def log_density(to_sample: np.ndarray, width: float) -> np.ndarray:
    """(n,) log kernel density from Gower distances.

    exp(-d / width) of a sum of column distances is a product kernel: Laplace for numbers and
    Aitchison-Aitken's form for categories.
    """
    scaled = -to_sample.astype(float) / width
    top = scaled.max(axis=1, keepdims=True)
    return (top + np.log(np.exp(scaled - top).mean(axis=1, keepdims=True)))[:, 0]


def density_ratio_score(
    to_synthetic: np.ndarray, to_reference: np.ndarray, width: float
) -> np.ndarray:
    """(n,) DOMIAS score log p_S(x) - log p_R(x).

    The reference must be disjoint from members and non-members alike; :func:`reference_split`
    makes it so.
    """
    return log_density(to_synthetic, width) - log_density(to_reference, width)


def reference_split(n: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two ways to split the unseen records into a reference and non-members to test on.

    The parts are disjoint at any n (synthcity takes the first and last rows of one set, which
    overlap in small sets).
    """
    order = rng.permutation(n)
    a, b = np.sort(order[: n // 2]), np.sort(order[n // 2 :])
    return [(a, b), (b, a)]


def shadow_score(
    scores: np.ndarray, member: np.ndarray, group: np.ndarray | None = None
) -> np.ndarray:
    """Log-likelihood ratio of membership from scores under models with and without each record.

    For every model in turn the others are the attacker's shadow models. A record's score is set
    against the middle of its means under the shadow models that held it and those that did not,
    times the gap between these means; with a handful of models a record's own gap is mostly
    noise, so it is shrunk towards the mean gap of all records by its estimated reliability. The
    log-likelihood ratio of two normals of one variance is linear in the score.

    Args:
        scores: (models, n) score of each record under each model's synthetic data.
        member: (models, n) boolean, True where the model was fitted to the record.
        group: (models,) label of models whose training sets complete one another (the folds of one
            repeat), which are left out together: otherwise the number of shadow models that held a
            record would itself betray the membership.

    Returns:
        (models, n), NaN for a record with fewer than two shadow models on either side.
    """
    models = len(scores)
    group = np.arange(models) if group is None else group
    # a model's general level and spread are known to the attacker and say nothing of a record
    level = np.median(scores, axis=1, keepdims=True)
    low, high = np.quantile(scores, [0.25, 0.75], axis=1, keepdims=True)
    z = (scores - level) / np.where(high > low, high - low, 1.0)
    out = np.full(scores.shape, np.nan)
    for target in range(models):
        others = (group != group[target])[:, None]
        inside, outside = member & others, ~member & others
        n_in, n_out = inside.sum(axis=0), outside.sum(axis=0)
        usable = (n_in >= 2) & (n_out >= 2)
        if not usable.any():
            continue
        mean_in = np.where(inside, z, 0).sum(axis=0) / np.maximum(n_in, 1)
        mean_out = np.where(outside, z, 0).sum(axis=0) / np.maximum(n_out, 1)
        residual = np.where(inside, z - mean_in, 0) ** 2 + np.where(outside, z - mean_out, 0) ** 2
        degrees = (n_in + n_out - 2)[usable].sum()
        variance = max(float(residual[:, usable].sum()) / max(float(degrees), 1.0), 1e-12)
        gap = (mean_in - mean_out)[usable]
        noise = variance * float((1 / n_in[usable] + 1 / n_out[usable]).mean())
        reliability = max(0.0, 1 - noise / max(float(gap.var()), 1e-12))
        shrunk = gap.mean() + reliability * (gap - gap.mean())
        centre = (mean_in + mean_out)[usable] / 2
        out[target, usable] = shrunk * (z[target, usable] - centre) / variance
    return out


def average(values: list[Interval]) -> Interval:
    """Mean of independent estimates (folds), with the interval of the mean."""
    values = [v for v in values if np.isfinite(v.estimate)]
    if not values:
        return Interval(float("nan"), 0.0, 1.0)
    estimate = float(np.mean([v.estimate for v in values]))
    half = np.sqrt(sum(((v.upper - v.lower) / 2) ** 2 for v in values)) / len(values)
    return Interval(estimate, float(max(estimate - half, 0.0)), float(min(estimate + half, 1.0)))


def pooled_rate(
    members: np.ndarray, others: np.ndarray, repeats: float, false_rate: float = 0.01
) -> Interval:
    """True-positive rate at a false-positive rate of scores pooled over models.

    Args:
        members, others: scores over all models.
        repeats: how often each patient occurs among the members, since repeats of one patient do
            not narrow the interval.
        false_rate: share of the others that may be accused.
    """
    rate = intervals.true_positive_rate(members, others, false_rate).estimate
    patients = len(members) / max(repeats, 1)
    return intervals.wilson(rate * patients, patients)
