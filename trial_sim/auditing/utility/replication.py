"""Replication over many synthetic trials: mean, spread, sign and coverage of the effect."""

from __future__ import annotations

import numpy as np
from scipy import stats

from trial_sim.auditing.compared.comparison import Comparison, aligned, read_outcomes
from trial_sim.auditing.compared.intervals import Interval, wilson
from trial_sim.auditing.compared.measure import Measure, not_assessed
from trial_sim.auditing.utility.error_rates import contrasts_of
from trial_sim.auditing.utility.refits import Generator, seed_of


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
            control=0.0,
        ),
        Measure(
            "effect spread / expected",
            label,
            Interval(ratio, ratio * (1 - slack), ratio * (1 + slack)),
            "Standard deviation of the effect over synthetic trials with parameter uncertainty, "
            "over √(SE² + sampling²); 1 is honest, .7 has no parameter uncertainty.",
            control=1.0,
        ),
        Measure(
            "coverage of the real estimate",
            label,
            Interval(*(value - right for value in covered)),
            f"Share of synthetic 95 % intervals that hold the real estimate ({covered.estimate:.3f}"
            f"), less the share that theory gives for predictive draws ({right:.3f}).",
            control=0.0,
        ),
        Measure(
            "sign agreement over synthetic trials",
            label,
            Interval(*(value - signs for value in agree)),
            f"Share of synthetic trials whose effect points the real way ({agree.estimate:.3f}), "
            f"less the share that theory gives ({signs:.3f}).",
            control=0.0,
        ),
    ]
