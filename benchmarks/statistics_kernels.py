"""Time of each compiled statistic on one thread, in microseconds a trial, sorting included.

    OMP_NUM_THREADS=1 python -m benchmarks.statistics_kernels [n_patients] [n_trials]

Trials are exponential with median 12 months, hazard ratio 0.7, uniform entry over 24 months and
1:1 allocation; the three looks are at 110/500, 220/500 and 331/500 events a patient. The first call
of each kernel compiles and is not timed.
"""

import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from trial_sim.engine.kernels import sort_trials
from trial_sim.engine.logrank_scan import logrank_looks
from trial_sim.numerics.order_statistics import kth_smallest
from trial_sim.statistics import kernels as k

FOUR = np.array([[1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]], dtype=float)


def _three_looks(  # type: ignore[no-untyped-def]
    latent, event, group, entry, planned
):
    """Sort each trial once, find its event-driven looks, and test at each, as the engine does."""
    shape, n_trials = latent.shape, len(latent)
    status = event.astype(np.int8)
    calendar = entry + latent
    look = np.empty((n_trials, len(planned)))
    kth_smallest(np.where(event, calendar, np.inf), planned, look)
    time, exit_ = np.empty(shape), np.empty(shape)
    code, patient = np.empty(shape, np.int8), np.empty(shape, np.int32)
    tied, held = np.empty(n_trials, np.bool_), np.ones(n_trials, np.bool_)
    sort_trials(latent, calendar, status, group, time, exit_, code, patient, tied)
    z, beta, se = np.empty((3, n_trials))
    for month in look.T.copy():
        logrank_looks(time, exit_, code, tied, entry, calendar, group, 1, month, held, z, beta, se)
    return z


def _seconds(call: Callable[..., Any], *columns: Any) -> float:
    """Seconds a trial, best of three; arrays whose first axis is trials are cut for the warm-up."""
    n_trials = columns[0].shape[0]
    call(*(c[:2] if getattr(c, "shape", (0,))[0] == n_trials else c for c in columns))
    best = float("inf")
    for _ in range(3):
        start = perf_counter()
        call(*columns)
        best = min(best, perf_counter() - start)
    return best / n_trials


def main(n: int = 500, n_trials: int = 2_000) -> None:
    rng = np.random.Generator(np.random.Philox(1))
    shape = (n_trials, n)
    group = np.tile(np.arange(n) % 2, (n_trials, 1)).astype(np.int8)
    x1, x2 = rng.normal(size=(2, *shape))
    rate = np.log(2) / 12 * np.where(group == 1, 0.7, 1.0) * np.exp(0.3 * x1)
    time, dropout = rng.exponential(1 / rate), rng.exponential(500, shape)
    entry = np.sort(rng.uniform(0, 24, shape), axis=1)
    event, latent = time <= dropout, np.minimum(time, dropout)
    end = 36 - entry
    seen, duration = event & (latent <= end), np.minimum(latent, end)
    strata = rng.integers(0, 6, shape).astype(np.int8)
    flat = np.zeros_like(strata)
    design = np.ascontiguousarray(np.stack([group, x1, x2], axis=2).astype(float))
    planned = np.round(np.array([110, 220, 331]) * n / 500).astype(np.int64)
    sums = k.weighted_logrank_batch(duration, seen, group, FOUR)
    visits = rng.normal(size=(*shape, 1)) + rng.normal(size=(*shape, 4))
    late = rng.uniform(size=(*shape, 4)) < 0.08
    visits[np.maximum.accumulate(late, axis=2) & (np.arange(4) > 0)] = np.nan
    fixed = np.ascontiguousarray(np.stack([np.ones(shape), group, x1], axis=2))
    counts = rng.poisson(rng.gamma(1.5, 1.0, shape)).astype(float)
    causes = rng.integers(1, 3, shape).astype(np.int8)
    rows: list[tuple[str, float]] = []
    sort = _seconds(lambda t: np.argsort(t, axis=1), latent)
    rows.append(("argsort of one row (numpy)", sort))
    looks = _seconds(_three_looks, latent, event, group, entry, planned)
    rows.append(("log-rank and Cox, 3 event-driven looks, sort and cut", looks))
    for name, call, columns in (
        ("log-rank", k.logrank_z_batch, (duration, seen, group)),
        ("log-rank, 6 strata", k.logrank_stratified_z_batch, (duration, seen, group, strata, 6)),
        ("4 weighted log-ranks", k.weighted_logrank_batch, (duration, seen, group, FOUR)),
        ("MaxCombo p-value of 4, coarse", k.max_combo_p_batch, (*sums, k.COARSE_PATH)),
        ("MaxCombo p-value of 4, fine", k.max_combo_p_batch, (*sums, k.FINE_PATH)),
        ("RMST", k.rmst_batch, (duration, seen, group, 20.0)),
        ("milestone", k.milestone_batch, (duration, seen, group, 20.0)),
        ("Cox, 3 covariates, fast", k.cox_fast_batch, (duration, seen, design, flat, 1, 3)),
        ("Cox, 3 covariates, 6 strata, fast", k.cox_fast_batch,
         (duration, seen, design, strata, 6, 3)),
        ("Cox, 3 covariates, general", k.cox_batch, (duration, seen, design, flat, 1)),
        ("ANCOVA", k.ancova_batch, (visits[:, :, 0].copy(), fixed)),
        ("negative binomial", k.negative_binomial_batch, (counts, np.ones(shape), group)),
        ("Gray's test", k.gray_z_batch, (duration, seen * causes, group, 1)),
        ("MMRM, 4 visits, unstructured", k.mmrm_batch, (visits, fixed, 1, 3)),
    ):  # fmt: skip
        rows.append((name, _seconds(call, *columns)))
    print(f"{n_trials} trials of {n} patients, one thread")
    for name, seconds in rows:
        print(f"{name:52s} {1e6 * seconds:9.2f} µs {1 / seconds:12,.0f} /s")


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:3]))
