"""Many synthetic trials of every real one: effect and its spread, rejections without an effect.

Parts of ``python -m benchmarks synthetic_arms`` (``effects``, ``type_one``). Both store a row for
each contrast in ``benchmarks/results`` and take up where an interrupted run of the same name
stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import trial_sim as ts
from benchmarks import stored
from trial_sim.auditing.compared.comparison import Comparison, aligned, compare, read_outcomes
from trial_sim.auditing.utility.error_rates import contrasts_of, many_trials, no_effect
from trial_sim.data.datasets import list_trials
from trial_sim.data.trial import Binary, Trial

LIMIT = float(stats.norm.isf(0.025))
MCSES = 3.0  # Monte-Carlo standard errors that a rate may lie from its nominal value


def every_endpoint() -> Iterator[tuple[str, str, Trial]]:
    """Name, endpoint and trial (with that endpoint only) of every built-in randomised contrast."""
    for name in list_trials()["name"]:
        trial = ts.load_trial(name)
        if trial.arm is not None:
            for endpoint, record in trial.endpoints.items():
                yield name, endpoint, replace(trial, endpoints={endpoint: record})


def resumed(
    store: str,
    run: str,
    n_trials: int,
    rows_of: Callable[[str, Any, Comparison], Iterator[dict]],
) -> pd.DataFrame:
    """Rows of every trial and endpoint, computed, or found stored under the name of the run."""
    table: list[dict] = []
    for name, endpoint, trial in every_endpoint():
        key = {"run": run, "trial": name, "endpoint": endpoint, "n_trials": n_trials}
        old = stored.rows(store, **key)
        if not old:
            fitted = ts.fit(trial, endpoint=endpoint)
            comparison = compare(trial, fitted.sample_trial(seed=1))
            for row in rows_of(endpoint, fitted, comparison):
                old.append({**key, "model": fitted.outcome_model.name, **row})
                stored.append(store, old[-1])
        table += old
        shown = pd.DataFrame(old).drop(columns=["run", "revision", "n_trials"], errors="ignore")
        print(shown.round(4).to_string(index=False, header=len(table) == len(old)), flush=True)
    return pd.DataFrame(table)


def type_one(run: str, n_trials: int = 2000) -> pd.DataFrame:
    """Rejections of the one-sided 2.5 % test in synthetic trials whose effect was set to none.

    ``below`` and ``above`` are the two directions with estimated parameters, ``drawn`` the mean of
    both with parameters drawn once in 20 trials, ``wald`` the mean of both for estimate over
    standard error. The test is the one of `trial_sim.auditing.utility.null_tests` (log-rank,
    Pearson, score, t). ``worst`` is the larger distance of below and above from .025 in Monte-Carlo
    errors.

    Pearson's test of two arms rejects at .025 only roughly, in real trials too. For a binary
    endpoint ``size_below`` and ``size_above`` are its exact rates for arms of these sizes without
    an effect, and ``from_size`` is the larger distance from them.
    """

    def rows_of(endpoint: str, fitted: Any, comparison: Comparison) -> Iterator[dict]:
        null = no_effect(comparison.real, endpoint)
        sizes = exact_sizes(endpoint, fitted, comparison, null)
        plain = many_trials(fitted, comparison, endpoint, n_trials, 81, null)
        drawn = many_trials(fitted, comparison, endpoint, n_trials, 82, null, trials_per_draw=20)
        for label, found in plain.items():
            size = sizes.get(label, (0.025, 0.025))
            below, above = (float((sign * found.z > LIMIT).mean()) for sign in (-1, 1))
            with np.errstate(invalid="ignore"):
                wald = float((np.abs(found.estimate / found.error) > LIMIT).mean()) / 2
            yield {
                "contrast": label,
                "below": below,
                "above": above,
                "worst": furthest((below, above), (0.025, 0.025), n_trials),
                "drawn": float((np.abs(drawn[label].z) > LIMIT).mean()) / 2,
                "wald": wald,
                "undefined": float((~np.isfinite(found.z)).mean()),
                "size_below": size[0],
                "size_above": size[1],
                "from_size": furthest((below, above), size, n_trials),
            }

    return resumed("arms_type_one", run, n_trials, rows_of)


def furthest(found: tuple[float, float], asked: tuple[float, float], n_trials: int) -> float:
    """The larger distance of two rates from those asked for, in Monte-Carlo errors of these."""
    return max(abs(f - a) / (a * (1 - a) / n_trials) ** 0.5 for f, a in zip(found, asked))


def exact_sizes(
    endpoint: str, fitted: Any, comparison: Comparison, null: float
) -> dict[str, tuple[float, float]]:
    """`pearson_size` of every contrast of a binary endpoint; empty for the others.

    The rate is that of 100,000 synthetic patients of the control.
    """
    outcome = comparison.outcomes["real"][endpoint]
    if not isinstance(outcome.endpoint, Binary):
        return {}
    first, *others = comparison.real.arms
    made = fitted.sample_trial(
        {first: 100_000}, seed=84, uncertainty=False, effects=dict.fromkeys(others, null)
    )
    drawn = read_outcomes(aligned(made, comparison.real, "synthetic"), comparison.real)
    rate = float(drawn[endpoint].data["value"].mean())
    n = [int((outcome.arm == arm).sum()) for arm in comparison.arms]
    labels = contrasts_of(outcome, comparison.arms)
    return {label: pearson_size(other, n[0], rate) for label, other in zip(labels, n[1:])}


def pearson_size(n_arm: int, n_control: int, rate: float) -> tuple[float, float]:
    """Chances that the z of two arms with the same ``rate`` lies below -1.96 and above 1.96, by
    enumeration of all pairs of counts: Pearson's chi-square times (N - 1) / N, as in `null_tests`.
    """
    a, b = np.arange(n_arm + 1), np.arange(n_control + 1)
    chance = np.outer(stats.binom.pmf(a, n_arm, rate), stats.binom.pmf(b, n_control, rate))
    pooled = (a[:, None] + b) / (n_arm + n_control)
    total = n_arm + n_control
    error = np.sqrt(pooled * (1 - pooled) * (1 / n_arm + 1 / n_control) * total / (total - 1))
    gap = a[:, None] / n_arm - b / n_control
    return float(chance[gap < -LIMIT * error].sum()), float(chance[gap > LIMIT * error].sum())


def effects(run: str, n_trials: int = 500) -> pd.DataFrame:
    """Bias and spread of the effect over synthetic trials of the real sizes, for every contrast.

    ``bias`` is the mean of ``n_trials`` estimates, parameters drawn for each, less the real one in
    real standard errors, ``mcse`` its Monte-Carlo error; ``plug_in`` the bias of twice as many
    trials with estimated parameters. ``ratio`` is the standard deviation of the former over
    sqrt(SE² + sampling²), where sampling is that of the latter, ``error`` its Monte-Carlo error;
    estimates more than five robust spreads from the median (arms all but separated) are left out
    of it and counted in ``wild``.
    """

    def rows_of(endpoint: str, fitted: Any, comparison: Comparison) -> Iterator[dict]:
        real = contrasts_of(comparison.outcomes["real"][endpoint], comparison.arms)
        drawn = many_trials(fitted, comparison, endpoint, n_trials, 91, None, trials_per_draw=1)
        plain = many_trials(fitted, comparison, endpoint, 2 * n_trials, 92, None)
        for label, (estimate, se) in real.items():
            total, lost = trimmed_spread(drawn[label].estimate)
            sampling, _ = trimmed_spread(plain[label].estimate)
            yield {
                "contrast": label,
                "real": estimate,
                "se": se,
                "bias": (np.nanmean(drawn[label].estimate) - estimate) / se,
                "mcse": total / se / n_trials**0.5,
                "plug_in": (np.nanmean(plain[label].estimate) - estimate) / se,
                "ratio": total / float(np.hypot(se, sampling)),
                "error": 1 / (2 * n_trials) ** 0.5,
                "wild": lost,
            }

    return resumed("arms_effects", run, n_trials, rows_of)


def trimmed_spread(values: np.ndarray) -> tuple[float, int]:
    """Standard deviation without values beyond five robust spreads of the median, and how many
    those (and the undefined ones) were."""
    seen = values[np.isfinite(values)]
    middle = np.median(seen)
    scale = 1.4826 * float(np.median(np.abs(seen - middle)))
    kept = seen[np.abs(seen - middle) <= 5 * scale]
    return float(kept.std(ddof=1)), len(values) - len(kept)
