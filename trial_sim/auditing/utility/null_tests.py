"""The usual test of "no difference" for every kind of outcome, as a z statistic.

Variances are those under the null hypothesis (log-rank, Pearson, rank-sum, score tests): Wald
tests of small trials with skewed outcomes reject too often whatever the generator does, and would
blame it for that. Positive means more of the outcome in the treated arm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from trial_sim.auditing.compared.paired_outcomes import Outcome
from trial_sim.data.trial import (
    Binary,
    CompetingRisks,
    Continuous,
    Longitudinal,
    Ordinal,
    TimeToEvent,
)
from trial_sim.outcomes.effects import effects_of
from trial_sim.statistics.arm_differences import Contrast
from trial_sim.statistics.kernels.logrank import logrank_z as favouring_treated
from trial_sim.statistics.survival_tests import logrank


class Analysis(NamedTuple):
    """Estimate and standard error of a contrast, and z of the test of no difference."""

    estimate: float
    error: float
    z: float


def analyses(outcome: Outcome, control: str, treated: str) -> dict[str, Analysis]:
    """Every contrast of two arms, by the scale names of `outcomes.effects`."""
    part = outcome.rows((outcome.arm == control) | (outcome.arm == treated))
    of_treated = part.arm == treated
    fits = effects_of(part.endpoint, part.data, of_treated)
    tests = pair_tests(part, of_treated, fits)
    return {scale: Analysis(*fit, tests[scale]) for scale, fit in fits.items()}


def pair_tests(part: Outcome, treated: np.ndarray, fits: dict[str, Contrast]) -> dict[str, float]:
    """The statistics of one outcome for a split into treated and control.

    Args:
        part: the outcome.
        treated: (n,) boolean.
        fits: `outcomes.effects.effects_of` of the same split, whose names are kept (and whose t
            statistics serve the differences of means).
    """
    endpoint, data = part.endpoint, part.data
    if isinstance(endpoint, TimeToEvent | CompetingRisks):
        causes = (
            [data["event"]]
            if isinstance(endpoint, TimeToEvent)
            else [data["cause"] == c for c in sorted(set(data["cause"].tolist()) - {0})]
        )
        entry = data.get("entry")
        found = [logrank_z(data["duration"], event, treated, entry) for event in causes]
        return dict(zip(fits, found))
    is_mean = isinstance(endpoint, Continuous) or (
        isinstance(endpoint, Longitudinal) and endpoint.family == "gaussian"
    )
    if is_mean:
        lost = 3 if "baseline" in data else 2
        values = data["values"] if isinstance(endpoint, Longitudinal) else data["value"][:, None]
        last = np.isfinite(values[:, -1]).sum()
        any_seen = np.isfinite(values).any(axis=1).sum()
        return {
            scale: t_as_z(fit, int(last if "last" in scale else any_seen) - lost)
            for scale, fit in fits.items()
        }
    score = null_scores(part)
    seen = np.isfinite(score)
    z = permutation_z(score[seen], treated[seen])
    return dict.fromkeys(fits, z)


def null_scores(part: Outcome) -> np.ndarray:
    """(n,) what each patient adds to the score statistic of no difference, NaN if nothing seen.

    Ranks of ordered values; else events less what the pooled rate (or share) expects in the
    patient's exposure (or number of observations), so that repeated events stay with the patient.
    """
    data = part.data
    if isinstance(part.endpoint, Ordinal):
        return np.asarray(stats.rankdata(data["value"], nan_policy="omit"))
    if isinstance(part.endpoint, Longitudinal):
        seen = np.isfinite(data["values"])
        total, exposure = np.where(seen, data["values"], 0).sum(axis=1), seen.sum(axis=1) * 1.0
    elif part.intervals is not None:
        total, exposure = data["events"], data["exposure"]
    elif isinstance(part.endpoint, Binary):
        total, exposure = data["value"], np.isfinite(data["value"]) * 1.0
    else:
        total, exposure = data["value"], data["exposure"]
    some = np.isfinite(total) & (exposure > 0)
    rate = total[some].sum() / max(float(exposure[some].sum()), 1e-300)
    return np.where(some, total - rate * exposure, np.nan)


def permutation_z(score: np.ndarray, treated: np.ndarray) -> float:
    """Sum of the treated arm's scores over its standard deviation when arms are dealt at random.

    With 0/1 scores this is Pearson's chi-square statistic times (n - 1)/n, with ranks the
    Wilcoxon-Mann-Whitney statistic with its correction for ties.
    """
    n, m = len(score), int(treated.sum())
    if n < 3 or m in (0, n):
        return float("nan")
    centred = score - score.mean()
    variance = m * (n - m) / (n * (n - 1)) * float(centred @ centred)
    return float(centred[treated].sum() / variance**0.5) if variance > 0 else float("nan")


def logrank_z(
    duration: np.ndarray, event: np.ndarray, treated: np.ndarray, entry: np.ndarray | None = None
) -> float:
    """Log-rank statistic, positive for a higher hazard in the treated arm."""
    if event.sum() == 0 or not treated.any() or treated.all():
        return float("nan")
    group = treated.astype(np.int64)
    if entry is not None:
        return -logrank(duration, event.astype(int), group, entry=entry).z
    z = favouring_treated(np.ascontiguousarray(duration, dtype=float), event.astype(bool), group)
    return -float(z)


def t_as_z(fit: Contrast, degrees: int) -> float:
    """The normal quantile at the tail probability of a t statistic."""
    if not np.isfinite(fit.estimate) or degrees < 1:
        return float("nan")
    t = fit.estimate / fit.error
    return float(np.sign(t) * stats.norm.isf(max(stats.t.sf(abs(t), degrees), 1e-300)))
