"""Error rates after synthesis: do tests on synthetic trials reject as often as they should?

With the effect set to zero a one-sided test at 2.5 % must reject 2.5 % of synthetic trials. With
the fitted effect it must reject as often as theory says for the effect and the standard errors at
hand. Published generators of synthetic arms fail the first, and nobody reports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from trial_sim.auditing.comparison import Comparison, aligned, read_outcomes
from trial_sim.auditing.intervals import Interval, wilson
from trial_sim.auditing.outcomes import Outcome, effects
from trial_sim.auditing.record import Measure, not_assessed
from trial_sim.auditing.refits import Generator, seed_of
from trial_sim.trial import Continuous, Longitudinal, Trial

LEVEL = 0.025
CHUNK_PATIENTS = 150_000


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
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Estimates and standard errors of every contrast in many plug-in synthetic trials.

    Large samples are drawn and dealt into trials of the real sizes, since one call for each trial
    would spend its time on the calls.

    Args:
        generator: the fitted trial.
        comparison: of the real trial with any synthetic one.
        name: the endpoint.
        n_trials: how many trials.
        purpose: number of the random stream.
        effect: of every arm against the control, or None for the fitted ones.

    Returns:
        (n_trials,) estimates and errors by ``"arm v control, scale"``.
    """
    real = comparison.real
    arm_values = list(real.arms)
    arm = comparison.outcomes["real"][name].arm
    sizes = {value: int((arm == text).sum()) for value, text in zip(arm_values, comparison.arms)}
    per_chunk = max(1, min(n_trials, CHUNK_PATIENTS // max(1, sum(sizes.values()))))
    options: dict[str, Any] = {"uncertainty": False}
    if effect is not None:
        options["effects"] = dict.fromkeys(arm_values[1:], effect)
    found: dict[str, list[tuple[float, float]]] = {}
    for chunk, start in enumerate(range(0, n_trials, per_chunk)):
        k = min(per_chunk, n_trials - start)
        drawn = generator.sample_trial(
            {value: n * k for value, n in sizes.items()},
            seed=seed_of(comparison.seed, purpose, chunk),
            **options,
        )
        outcome = read_outcomes(aligned(drawn, real, "synthetic"), real)[name]
        for part in deal(outcome, comparison.arms, list(sizes.values()), k):
            for label, fit in contrasts_of(part, comparison.arms).items():
                found.setdefault(label, []).append(fit)
    return {
        label: (np.array([f[0] for f in fits]), np.array([f[1] for f in fits]))
        for label, fits in found.items()
    }


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
        for label, (estimate, spread) in null.items():
            out += null_measures(f"{name}: {label}", estimate, spread, level.get(label, LEVEL))
        for label, (estimate, spread) in fitted.items():
            if label in real and np.isfinite(real[label]).all():
                out += power_measures(f"{name}: {label}", estimate, spread, real[label])
    return out


def level_of_test(comparison: Comparison, name: str, draws: int) -> dict[str, float]:
    """What the tests themselves reject when the arms of the real trial are dealt at random.

    Wald tests of small trials are liberal; that is no fault of the generator.
    """
    outcome, rng = comparison.outcomes["real"][name], comparison.rng(83)
    found: dict[str, list[float]] = {}
    for _ in range(draws):
        dealt = replace(outcome, arm=rng.permutation(outcome.arm))
        for label, (estimate, error) in contrasts_of(dealt, comparison.arms).items():
            found.setdefault(label, []).append(estimate / error)
    limit = float(stats.norm.isf(LEVEL))
    return {
        label: float((np.abs(np.array(z)[np.isfinite(z)]) > limit).mean()) / 2
        for label, z in found.items()
        if np.isfinite(z).sum() >= 20
    }


def null_measures(
    label: str, estimate: np.ndarray, error: np.ndarray, level: float = LEVEL
) -> list[Measure]:
    """Rejections on either side under no effect, and the bias of the statistic.

    Args:
        label: of the contrast.
        estimate, error: of every synthetic trial.
        level: what the test rejects when the real patients' arms are dealt at random.
    """
    z = estimate / error
    seen = np.isfinite(z)
    n = int(seen.sum())
    if n < 20:
        why = f"only {n} of {len(z)} synthetic trials gave an estimate"
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
            0.1,
            "zero",
            0.0,
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
            0.1,
            "zero",
            0.0,
        )
    ]


def replication(generator: Generator, comparison: Comparison, n_trials: int) -> list[Measure]:
    """Mean, spread and coverage of the effect over synthetic trials with parameter uncertainty."""
    if len(comparison.arms) < 2:
        return []
    out: list[Measure] = []
    drawn: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for k in range(n_trials):
        trial = generator.sample_trial(seed=seed_of(comparison.seed, 91, k))
        outcomes = read_outcomes(aligned(trial, comparison.real, "synthetic"), comparison.real)
        for name, outcome in outcomes.items():
            for label, fit in contrasts_of(outcome, comparison.arms).items():
                drawn.setdefault(name, {}).setdefault(label, []).append(fit)
    for name, labels in drawn.items():
        real = contrasts_of(comparison.outcomes["real"][name], comparison.arms)
        for label, fits in labels.items():
            if label in real and np.isfinite(real[label]).all():
                out += replication_measures(f"{name}: {label}", np.array(fits), real[label])
    return out


def replication_measures(label: str, fits: np.ndarray, real: tuple[float, float]) -> list[Measure]:
    """Bias, spread, sign and coverage of (n, 2) estimates and errors about the real ones."""
    fits = fits[np.isfinite(fits).all(axis=1)]
    n = len(fits)
    if n < 10:
        return [
            not_assessed("mean effect bias", label, "too few synthetic trials gave an estimate")
        ]
    estimate, error = fits[:, 0], fits[:, 1]
    # the median resists the rare trial that all but separates the arms
    gap = (estimate - real[0]) / real[1]
    trimmed = gap[np.abs(gap - np.median(gap)) <= 5 * max(float(np.std(gap)), 1e-12)]
    bias, half = float(trimmed.mean()), 1.96 * float(trimmed.std(ddof=1)) / np.sqrt(len(trimmed))
    expected = float(np.hypot(real[1], np.median(error)))
    ratio = float(np.std(estimate, ddof=1)) / expected
    slack = 1.96 / np.sqrt(2 * (n - 1))
    covered = wilson(int((np.abs(estimate - real[0]) <= 1.96 * error).sum()), n)
    # predictive draws scatter with both errors, so that 95 % intervals hold the estimate less often
    right = float(2 * stats.norm.cdf(1.96 * np.median(error) / expected) - 1)
    agree = wilson(int((np.sign(estimate) == np.sign(real[0])).sum()), n)
    signs = float(stats.norm.cdf(abs(real[0]) / expected))
    return [
        Measure(
            "mean effect bias, in real standard errors",
            label,
            Interval(bias, bias - half, bias + half),
            f"Mean of {n} synthetic trials less the real estimate ({real[0]:.3g}), over its "
            f"standard error ({real[1]:.3g}); the goal is .1.",
            0.25,
            "zero",
            0.0,
        ),
        Measure(
            "effect spread / expected",
            label,
            Interval(ratio, ratio * (1 - slack), ratio * (1 + slack)),
            "Standard deviation of the effect over synthetic trials with parameter uncertainty, "
            "over √(SE² + sampling²); 1 is honest, .7 has no parameter uncertainty.",
            0.8,
            "high",
            1.0,
        ),
        Measure(
            "coverage of the real estimate",
            label,
            Interval(*(value - right for value in covered)),
            f"Share of synthetic 95 % intervals that hold the real estimate ({covered.estimate:.3f}"
            f"), less the share that theory gives for predictive draws ({right:.3f}).",
            0.1,
            "zero",
            0.0,
        ),
        Measure(
            "sign agreement over synthetic trials",
            label,
            Interval(*(value - signs for value in agree)),
            f"Share of synthetic trials whose effect points the real way ({agree.estimate:.3f}), "
            f"less the share that theory gives ({signs:.3f}).",
            0.1,
            "zero",
            0.0,
        ),
    ]
