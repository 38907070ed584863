"""Speed of the trial engine, one thread, and side by side with rpact where R has it.

    OMP_NUM_THREADS=1 python -m benchmarks trial_engine [--trials 20000] [--json out.jsonl]

Wall-clock and processor time are both printed: on a machine shared with other work the second is
the fairer figure. Every row is the best of several runs after one that compiles. Agreement with
other simulators is in ``benchmarks.trial_sim.trial_agreement``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import trial_sim as ts
from benchmarks.stored import append
from trial_sim.design.design import Design, EnrolmentLooks, Minimization
from trial_sim.scenarios import (
    CompetingEvents,
    CountResponse,
    LongitudinalResponse,
    WithCovariates,
)
from trial_sim.simulation.operating_characteristics import SimulationResult

FH = "fleming_harrington"
OUTCOMES = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
STRATA = {"region": {"a": 0.5, "b": 0.3, "c": 0.2}, "sex": {"f": 0.5, "m": 0.5}}

RPACT = """
suppressMessages(library(rpact))
design <- getDesignGroupSequential(kMax = 3, informationRates = c(110, 220, 331) / 331,
  alpha = 0.025, beta = 0.1, sided = 1, typeOfDesign = "asOF")
run <- function(n) getSimulationSurvival(design, hazardRatio = 0.7, lambda2 = log(2) / 12,
  dropoutRate1 = 0.0119284, dropoutRate2 = 0.0119284, dropoutTime = 12,
  plannedEvents = c(110, 220, 331), accrualTime = c(0, 24), maxNumberOfSubjects = 500,
  directionUpper = FALSE, maxNumberOfIterations = n, seed = 1)
invisible(run(100))
n <- 2000
t <- system.time(x <- run(n))
cat(n / t[["elapsed"]], n / (t[["user.self"]] + t[["sys.self"]]), x$overallReject, "\\n")
"""


def base(**changes: Any) -> Design:
    """N = 500, dropout, three event-driven looks."""
    gs = ts.group_sequential(
        information_fractions=(110 / 331, 220 / 331, 1), alpha=0.025, power=0.9,
        efficacy="lan_demets_obrien_fleming",
    )  # fmt: skip
    fields: dict[str, Any] = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": 500,
        "accrual": ts.Accrual(rate=500 / 24),
        "dropout": ts.Dropout(rate=0.001),
        "looks": ts.EventLooks([110, 220, 331]),
        "boundaries": gs,
    }
    return Design(**{**fields, **changes})


def fitted_cox() -> tuple[Design, Any]:
    """Arms from a Cox model with five covariates fitted to the colon trial, N = 600, one look."""
    trial = ts.load_trial("colon")
    fitted = ts.fit(trial, endpoint="death", model="cox", seed=0)
    outcomes = fitted.outcomes(control="Obs", treatment="Lev+5FU")
    design = base(
        n_patients=600, looks=ts.EventLooks([250]), boundaries=None, accrual=ts.Accrual(rate=25.0)
    )
    return design, outcomes


def cases() -> dict[str, tuple[Callable[[], tuple[Design, Any]], float]]:
    """Name → (what to run, its share of the trials)."""
    covariates = WithCovariates(OUTCOMES, {"age": "normal", "male": 0.5}, {"age": 0.3, "male": 0.2})
    four = ("max_combo", [(FH, 0, 0), (FH, 0, 1), (FH, 1, 0), (FH, 1, 1)])
    stratified = {"strata": STRATA, "stratified": True}
    large = {
        "n_patients": 20_000,
        "accrual": ts.Accrual(rate=20_000 / 24),
        "looks": ts.EventLooks([4400, 8800, 13_240]),
        "boundaries": None,
    }
    return {
        "log-rank, 3 looks, N = 500": (lambda: (base(), OUTCOMES), 1.0),
        "the same, 6 strata": (lambda: (base(**stratified), OUTCOMES), 0.5),
        "the same, minimised": (
            lambda: (base(**stratified, randomization=Minimization()), OUTCOMES), 0.5,
        ),
        "MaxCombo of 4": (lambda: (base(test=four), OUTCOMES), 0.3),
        "Cox, 2 covariates": (
            lambda: (base(test="cox", adjust=("age", "male")), covariates), 0.3,
        ),
        "RMST": (lambda: (base(test=("rmst", 18.0)), OUTCOMES), 0.5),
        "log-rank, 3 looks, N = 500, all held": (lambda: (base(boundaries=None), OUTCOMES), 0.5),
        "log-rank, 3 looks, N = 20,000, all held": (lambda: (base(**large), OUTCOMES), 0.0125),
        **responses(),
        "fitted Cox arms, 5 covariates, N = 600": (fitted_cox, 0.1),
    }  # fmt: skip


def responses() -> dict[str, tuple[Callable[[], tuple[Design, Any]], float]]:
    """Models fitted at every look, N = 300, one look."""

    def one_look(test: Any, looks: Any, outcomes: Any, **fields: Any) -> Callable:
        design = base(test=test, looks=looks, boundaries=None, n_patients=300, **fields)
        return lambda: (design, outcomes)

    visits = LongitudinalResponse([1, 2, 3, 4], [0] * 4, [0.1, 0.2, 0.3, 0.4], dropout_rate=0.05)
    risks = CompetingEvents([0.05, 0.03], [0.6, 1.2])
    counts = CountResponse(0.2, 0.7, 12, 0.5)
    return {
        "MMRM of 4 visits, N = 300": (
            one_look("mmrm", EnrolmentLooks([300], follow_up=4.0), visits), 0.1,
        ),
        "Gray, N = 300": (one_look("gray", ts.EventLooks([80]), risks), 0.3),
        "negative binomial, N = 300": (
            one_look("negative_binomial", ts.EventLooks([250]), counts, readout=3.0), 0.2,
        ),
    }  # fmt: skip


def measure(
    design: Design, outcomes: Any, n_trials: int, repeats: int = 3, **options: Any
) -> tuple[float, float, SimulationResult]:
    """Trials a second by wall clock and by processor, best of ``repeats``, and the result."""
    ts.simulate(design, outcomes, n_trials=min(64, n_trials), seed=0, **options)
    wall, processor = np.inf, np.inf
    for _ in range(repeats):
        t, p = time.perf_counter(), time.process_time()
        result = ts.simulate(design, outcomes, n_trials=n_trials, seed=1, **options)
        wall = min(wall, time.perf_counter() - t)
        processor = min(processor, time.process_time() - p)
    return n_trials / wall, n_trials / processor, result


def two_workers(n_trials: int, pairs: int = 5) -> dict[str, float]:
    """Time of one worker over that of two, and processor time of two over one.

    Several pairs, the two runs of each one after the other; the median of their ratios, since
    other work on the machine moves single ones either way.
    """
    design = base()
    ratios, costs = [], []
    for _ in range(pairs):
        seconds, used = {}, {}
        for jobs in (1, 2):
            t, p = time.perf_counter(), time.process_time()
            ts.simulate(design, OUTCOMES, n_trials=n_trials, seed=1, n_jobs=jobs)
            seconds[jobs], used[jobs] = time.perf_counter() - t, time.process_time() - p
        ratios.append(seconds[1] / seconds[2])
        costs.append(used[2] / used[1])
    return {
        "wall": float(np.median(ratios)), "wall_least": min(ratios), "wall_most": max(ratios),
        "processor": float(np.median(costs)),
    }  # fmt: skip


def rpact() -> tuple[float, float, float] | None:
    """Trials a second (wall, processor) and power of rpact's simulator; None without it."""
    if shutil.which("Rscript") is None:
        return None
    done = subprocess.run(["Rscript", "-e", RPACT], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    wall, processor, power = (float(v) for v in done.stdout.split()[-3:])
    return wall, processor, power


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--json", type=str, default=None)
    parser.add_argument("--skip-fitted", action="store_true")
    options = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    print(f"{'case':44s} {'trials/s':>10s} {'per cpu s':>10s} {'power':>7s}")
    for name, (make, part) in cases().items():
        if "fitted" in name and options.skip_fitted:
            continue
        design, outcomes = make()
        n = max(20, int(options.trials * part))
        wall, processor, result = measure(design, outcomes, n)
        rows[name] = {"wall": wall, "processor": processor, "power": result.power}
        print(f"{name:44s} {wall:10.0f} {processor:10.0f} {result.power:7.4f}", flush=True)
    small = rows["log-rank, 3 looks, N = 500, all held"]["processor"] * 500
    large = rows["log-rank, 3 looks, N = 20,000, all held"]["processor"] * 20_000
    print(f"cost per patient, N = 20,000 against 500: {small / large:.2f} x")
    rows["two workers"] = two_workers(5 * options.trials)
    pair = rows["two workers"]
    print(
        f"two workers against one, {5 * options.trials} trials: {pair['wall']:.2f} x by wall clock "
        f"(median of five pairs, {pair['wall_least']:.2f} to {pair['wall_most']:.2f}); processor "
        f"time {pair['processor']:.2f} x"
    )
    peer = rpact()
    ours = rows["log-rank, 3 looks, N = 500"]
    if peer is None:
        print("rpact: Rscript with rpact is not installed")
    else:
        print(
            f"rpact: {peer[0]:.0f} trials/s, {peer[1]:.0f} per cpu s, power {peer[2]:.4f}; "
            f"ours is {ours['wall'] / peer[0]:.1f} x by wall, "
            f"{ours['processor'] / peer[1]:.1f} x by cpu"
        )
        rows["rpact"] = {"wall": peer[0], "processor": peer[1], "power": peer[2]}
    if options.json:
        for name, row in rows.items():
            append(options.json, {"case": name, "trials": options.trials, **row})


if __name__ == "__main__":
    main()
