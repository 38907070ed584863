"""Error rates after synthesis: do tests on synthetic trials reject as often as they should?

With the effect set to zero a one-sided test at 2.5 % must reject 2.5 % of synthetic trials. With
the fitted effect it must reject as often as theory says for the effect and the standard errors at
hand. Published generators of synthetic arms fail the first, and nobody reports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from trial_sim.auditing.compared.comparison import Comparison, aligned, read_outcomes
from trial_sim.auditing.compared.intervals import Interval, wilson
from trial_sim.auditing.compared.measure import Measure, not_assessed
from trial_sim.auditing.compared.paired_outcomes import Outcome, effects
from trial_sim.auditing.utility.null_tests import Analysis, analyses
from trial_sim.auditing.utility.refits import Generator, seed_of
from trial_sim.data.trial import Continuous, Longitudinal, Trial

LEVEL = 0.025
CHUNK_PATIENTS = 150_000


class Replicates(NamedTuple):
    """One contrast in many synthetic trials, each (n_trials,): estimate, its standard error, and
    the z statistic of the usual test of no difference (`null_tests`)."""

    estimate: np.ndarray
    error: np.ndarray
    z: np.ndarray


def no_effect(trial: Trial, name: str) -> float:
    """The value of an effect that is none: 0 for a difference of means, 1 for a ratio."""
    endpoint = trial.endpoints[name]
    is_difference = isinstance(endpoint, Continuous) or (
        isinstance(endpoint, Longitudinal) and endpoint.family == "gaussian"
    )
    return 0.0 if is_difference else 1.0


def many_trials(
    generator: Generator,
    comparison: Comparison,
    name: str,
    n_trials: int,
    purpose: int,
    effect: float | None,
    trials_per_draw: int | None = None,
) -> dict[str, Replicates]:
    """Every contrast in many synthetic trials of the real sizes.

    Large samples are drawn and dealt into trials, since one call for each trial would spend its
    time on the calls.

    Args:
        generator: the fitted trial.
        comparison: of the real trial with any synthetic one.
        name: the endpoint.
        n_trials: how many trials.
        purpose: number of the random stream.
        effect: of every arm against the control, or None for the fitted ones.
        trials_per_draw: None for the estimated parameters; else parameters are drawn, once for
            this many trials.

    Returns:
        `Replicates` by ``"arm v control, scale"``.
    """
    real = comparison.real
    arm_values = list(real.arms)
    arm = comparison.outcomes["real"][name].arm
    sizes = {value: int((arm == text).sum()) for value, text in zip(arm_values, comparison.arms)}
    per_chunk = max(1, min(n_trials, CHUNK_PATIENTS // max(1, sum(sizes.values()))))
    if trials_per_draw is not None:
        per_chunk = min(per_chunk, trials_per_draw)
    options: dict[str, Any] = {"uncertainty": trials_per_draw is not None}
    if effect is not None:
        options["effects"] = dict.fromkeys(arm_values[1:], effect)
    found: dict[str, list[Analysis]] = {}
    for chunk, start in enumerate(range(0, n_trials, per_chunk)):
        k = min(per_chunk, n_trials - start)
        drawn = generator.sample_trial(
            {value: n * k for value, n in sizes.items()},
            seed=seed_of(comparison.seed, purpose, chunk),
            **options,
        )
        outcome = read_outcomes(aligned(drawn, real, "synthetic"), real)[name]
        for part in deal(outcome, comparison.arms, list(sizes.values()), k):
            for label, fit in analyses_of(part, comparison.arms).items():
                found.setdefault(label, []).append(fit)
    return {label: Replicates(*np.array(fits).T) for label, fits in found.items()}


def deal(outcome: Outcome, arms: Sequence[str], sizes: Sequence[int], trials: int) -> list[Outcome]:
    """Deal one large sample into trials with the given arm sizes."""
    blocks = [
        np.flatnonzero(outcome.arm == arm)[: size * trials].reshape(trials, size)
        for arm, size in zip(arms, sizes)
    ]
    order = np.argsort(np.concatenate([b.ravel() for b in blocks]), kind="stable")
    if outcome.intervals is None or len(order) == 0:
        return [outcome.rows(np.concatenate([b[k] for b in blocks])) for k in range(trials)]
    # recurrent events: bring every trial's patients together first, then cut
    whole = outcome.rows(
        np.concatenate([np.concatenate([b[k] for b in blocks]) for k in range(trials)])
    )
    return split_outcome(whole, sum(sizes), trials)


def split_outcome(outcome: Outcome, size: int, parts: int) -> list[Outcome]:
    """Cut an outcome with intervals into consecutive blocks of patients."""
    spans = outcome.intervals
    assert spans is not None  # callers pass recurrent outcomes only
    edges = np.searchsorted(spans["patient"], np.arange(parts + 1) * size)
    out = []
    for k in range(parts):
        rows = slice(edges[k], edges[k + 1])
        cut = {key: value[rows] for key, value in spans.items()}
        cut["patient"] = cut["patient"] - k * size
        people = slice(k * size, (k + 1) * size)
        data = {key: value[people] for key, value in outcome.data.items()}
        out.append(Outcome(outcome.name, outcome.endpoint, outcome.arm[people], data, cut))
    return out


def contrasts_of(outcome: Outcome, arms: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Every contrast with the control, by ``"arm v control, scale"``."""
    control, *treated = arms
    return {
        f"{arm} v {control}, {scale}": (fit.estimate, fit.error)
        for arm in treated
        for scale, fit in effects(outcome, control, arm).items()
    }


def analyses_of(outcome: Outcome, arms: Sequence[str]) -> dict[str, Analysis]:
    """Every contrast with the control and its test, by ``"arm v control, scale"``."""
    control, *treated = arms
    return {
        f"{arm} v {control}, {scale}": fit
        for arm in treated
        for scale, fit in analyses(outcome, control, arm).items()
    }


def error_rates(generator: Generator, comparison: Comparison, n_trials: int) -> list[Measure]:
    """Type I error and power of the one-sided 2.5 % test in synthetic trials.

    Both sides of the null are counted, since the test in either direction must keep its level.
    """
    if len(comparison.arms) < 2:
        return [not_assessed("type I error after synthesis", "all", "a cohort has no arms")]
    out: list[Measure] = []
    for name in comparison.real.endpoints:
        try:
            null = many_trials(
                generator, comparison, name, n_trials, 81, no_effect(comparison.real, name)
            )
            fitted = many_trials(generator, comparison, name, n_trials, 82, None)
        except ValueError as error:
            out.append(not_assessed("type I error after synthesis", name, str(error)))
            continue
        real = contrasts_of(comparison.outcomes["real"][name], comparison.arms)
        level = level_of_test(comparison, name, n_trials)
        for label, trials in null.items():
            out += null_measures(f"{name}: {label}", trials.z, level.get(label, LEVEL))
        for label, trials in fitted.items():
            if label in real and np.isfinite(real[label]).all():
                out += power_measures(
                    f"{name}: {label}", trials.estimate, trials.error, real[label]
                )
    return out


def level_of_test(comparison: Comparison, name: str, draws: int) -> dict[str, float]:
    """What the tests themselves reject when the arms of the real trial are dealt at random.

    In small trials a z statistic is not quite normal; that is no fault of the generator.
    """
    outcome, rng = comparison.outcomes["real"][name], comparison.rng(83)
    found: dict[str, list[float]] = {}
    for _ in range(draws):
        dealt = replace(outcome, arm=rng.permutation(outcome.arm))
        for label, fit in analyses_of(dealt, comparison.arms).items():
            found.setdefault(label, []).append(fit.z)
    limit = float(stats.norm.isf(LEVEL))
    return {
        label: float((np.abs(np.array(values)[np.isfinite(values)]) > limit).mean()) / 2
        for label, values in found.items()
        if np.isfinite(values).sum() >= 20
    }


def null_measures(label: str, z: np.ndarray, level: float = LEVEL) -> list[Measure]:
    """Rejections on either side under no effect, and the bias of the statistic.

    Args:
        label: of the contrast.
        z: (n_trials,) statistic of every synthetic trial.
        level: what the test rejects when the real patients' arms are dealt at random.
    """
    seen = np.isfinite(z)
    n = int(seen.sum())
    if n < 20:
        why = f"only {n} of {len(z)} synthetic trials gave a statistic"
        return [not_assessed("type I error after synthesis", label, why)]
    z = z[seen]
    limit = float(stats.norm.isf(LEVEL))
    rejected = int((np.abs(z) > limit).sum())
    rate = wilson(rejected, n)
    shift = float(z.mean())
    half = 1.96 * float(z.std(ddof=1)) / np.sqrt(n)
    sides = f"{(z < -limit).mean():.4f} below and {(z > limit).mean():.4f} above"
    return [
        Measure(
            "type I error after synthesis",
            label,
            Interval(rate.estimate / 2, rate.lower / 2, rate.upper / 2),
            f"Rejections of the one-sided 2.5 % test in {n} synthetic trials whose effect was set "
            f"to none, mean of both directions ({sides}). The same test rejects {level:.4f} when "
            "the arms of the real patients are dealt at random; the rule allows 1 % more than that "
            "or than the nominal level.",
            max(level, LEVEL) + 0.01,
            "low",
            level,
        ),
        Measure(
            "bias of the test statistic under no effect",
            label,
            Interval(shift, shift - half, shift + half),
            "Mean z statistic of the same trials, in its own standard deviations; 0 is unbiased.",
            control=0.0,
        ),
    ]


def power_measures(
    label: str, estimate: np.ndarray, error: np.ndarray, real: tuple[float, float]
) -> list[Measure]:
    """Rejections with the fitted effect beside the rate that theory gives for the real estimate."""
    z = estimate / error
    seen = np.isfinite(z)
    if seen.sum() < 20:
        return []
    limit = float(stats.norm.isf(LEVEL))
    sign = -1.0 if real[0] < 0 else 1.0
    rate = wilson(int((sign * z[seen] > limit).sum()), int(seen.sum()))
    theory = float(stats.norm.cdf(abs(real[0]) / float(np.median(error[seen])) - limit))
    return [
        Measure(
            "power after synthesis, less theory",
            label,
            Interval(rate.estimate - theory, rate.lower - theory, rate.upper - theory),
            f"Share of synthetic trials with the fitted effect that reject in the direction of "
            f"the real estimate ({rate.estimate:.3f}), less what theory gives for that estimate "
            f"and the standard error of these trials ({theory:.3f}).",
            control=0.0,
        )
    ]
