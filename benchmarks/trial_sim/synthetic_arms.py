"""Synthetic arms beside the real trials: effects, curves, speed, privacy and utility.

    python -m benchmarks synthetic_arms effects      # 500 synthetic trials: bias and spread
    python -m benchmarks synthetic_arms curves       # largest KM gap over the 95 % band
    python -m benchmarks synthetic_arms speed        # fit colon, sample 100,000 patients
    python -m benchmarks synthetic_arms privacy      # membership inference, best of four attacks
    python -m benchmarks synthetic_arms propensity   # told apart from a real hold-out?
    python -m benchmarks synthetic_arms utility      # trained on synthetic, tested on unseen
    python -m benchmarks synthetic_arms epsilon      # effect against epsilon
    python -m benchmarks synthetic_arms coverage     # 95 % intervals where the truth is known
    python -m benchmarks synthetic_arms type_one     # 2,000 trials without an effect, each endpoint

Each prints a table and its pass or fail against the figures of the project, and appends its rows
to ``benchmarks/results/arms_<part>.jsonl``; all but curves, speed and epsilon take up an
interrupted run again.
"""

import argparse
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd

import trial_sim as ts
from benchmarks import stored
from benchmarks.trial_sim import arm_holdouts
from benchmarks.trial_sim.arm_error_rates import effects, type_one
from benchmarks.trial_sim.arm_intervals import coverage
from trial_sim.arms.fitting import FittedTrial
from trial_sim.auditing.compared.curves import simultaneous_band, survival, unit_weights
from trial_sim.data.datasets import list_trials
from trial_sim.data.trial import TimeToEvent, Trial
from trial_sim.outcomes.effects import contrast

FLOOR, GOAL = 0.25, 0.1


def curve_gaps(trial: Trial, fitted: FittedTrial, endpoint: str, n: int = 6000) -> pd.DataFrame:
    """Largest gap between real and synthetic Kaplan-Meier curves over the half-width of the real
    curve's 95 % simultaneous band, in every arm and every level of each categorical covariate.

    The synthetic trial has ``n`` patients an arm and estimated parameters, so that its own noise is
    small beside the band.
    """
    record = trial.endpoints[endpoint]
    assert isinstance(record, TimeToEvent)
    shares = np.array(trial.schema().arm_sizes) / max(trial.schema().arm_sizes)
    sizes = {a: int(n * s) for a, s in zip(trial.arms, shares)}
    made = fitted.sample_trial(sizes, seed=1, uncertainty=False).patients
    groups = [(trial.arm, a) for a in trial.arms]
    for column in trial.schema().columns:
        if column.discrete and column.name in trial.covariates:
            groups += [(column.name, level) for level in column.levels]
    rng = np.random.Generator(np.random.Philox(7))
    rows = []
    for column_name, level in groups:
        real = trial.patients[trial.patients[column_name] == level]
        synthetic = made[made[column_name] == level]
        if len(real) < 10 or len(synthetic) < 50:
            continue
        t, d = real[record.duration].to_numpy(float), real[record.event].to_numpy() > 0
        grid = np.unique(np.quantile(t, np.linspace(0.02, 0.95, 60)))

        def curve(w: np.ndarray, t=t, d=d, grid=grid) -> np.ndarray:
            return survival(t, d, grid, w)

        estimate, low, high = simultaneous_band(curve, len(t), rng)
        ours = survival(
            synthetic[record.duration].to_numpy(float),
            synthetic[record.event].to_numpy() > 0,
            grid,
            unit_weights(len(synthetic)),
        )[0]
        half = np.nanmax((high - low) / 2)
        gap = np.nanmax(np.abs(ours - estimate))
        rows.append(
            {"group": column_name, "level": level, "n": len(real), "gap": gap, "ratio": gap / half}
        )
    return pd.DataFrame(rows)


def curves() -> pd.DataFrame:
    """`curve_gaps` of every time-to-event endpoint with arms."""
    parts = []
    for name in list_trials()["name"]:
        trial = ts.load_trial(name)
        for endpoint, record in trial.endpoints.items():
            if trial.arm is None or not isinstance(record, TimeToEvent):
                continue
            fitted = ts.fit(trial, endpoint=endpoint)
            part = curve_gaps(trial, fitted, endpoint)
            part.insert(0, "trial", f"{name}/{endpoint}/{fitted.outcome_model.name}")
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def speed() -> pd.DataFrame:
    """Seconds to fit colon/death and to sample 100,000 patients, by the clock and of the processor
    (the second run without imports)."""
    trial = ts.load_trial("colon")
    rows = []
    for run in ("first", "second"):
        clocks = [(time.perf_counter(), time.process_time())]
        fitted = ts.fit(trial, endpoint="death")
        clocks.append((time.perf_counter(), time.process_time()))
        fitted.sample_arm("Lev+5FU", 100_000)
        clocks.append((time.perf_counter(), time.process_time()))
        wall, cpu = np.diff(np.array(clocks), axis=0).T
        rows.append(
            {
                "run": run,
                "fit_s": wall[0],
                "sample_s": wall[1],
                "fit_cpu_s": cpu[0],
                "sample_cpu_s": cpu[1],
            }
        )
    return pd.DataFrame(rows)


def epsilon(n_trials: int = 200) -> pd.DataFrame:
    """Colon, Lev+5FU against Obs: effect and spread against epsilon, mean of ten noisy fits."""
    trial = ts.load_trial("colon")
    args = (trial.endpoints["death"], "rx", "Obs", "Lev+5FU")
    real, error = contrast(trial.patients, *args)
    rows = [{"epsilon": np.inf, "estimate": real, "rmse": 0.0, "spread": error, "noise_error": 0.0}]
    for budget in (1.0, 3.0, 10.0, 30.0):
        means, spreads, noise = [], [], 0.0
        for seed in range(10):
            fitted = ts.fit(trial, "death", epsilon=budget, noise_seed=seed)
            noise = fitted.privacy.noise_error
            found = [
                contrast(fitted.sample_trial(seed=s).patients, *args)[0]
                for s in range(n_trials // 10)
            ]
            means.append(np.mean(found))
            spreads.append(np.std(found))
        rmse = float(np.sqrt(np.mean((np.array(means) - real) ** 2)))
        rows.append(
            {
                "epsilon": budget,
                "estimate": float(np.mean(means)),
                "rmse": rmse,
                "spread": float(np.mean(spreads)),
                "noise_error": noise,
            }
        )
    return pd.DataFrame(rows)


PARTS: dict[str, Any] = {
    "effects": effects,
    "curves": curves,
    "speed": speed,
    "privacy": arm_holdouts.privacy,
    "propensity": arm_holdouts.propensity,
    "utility": arm_holdouts.utility,
    "epsilon": epsilon,
    "coverage": coverage,
    "type_one": type_one,
}
RESUMED = ("effects", "coverage", "type_one", *arm_holdouts.FLOORS)


def conclusion(part: str, table: pd.DataFrame) -> str:
    """One line that holds a table against the figures to reach."""
    if part == "effects":
        within = [(table[c].abs() <= w).sum() for w in (FLOOR, GOAL) for c in ("bias", "plug_in")]
        off = (table["ratio"] - 1).abs() / table["error"]
        return (
            f"of {len(table)} contrasts within {FLOOR} SE: {within[0]} (plug-in {within[1]}), "
            f"within {GOAL} SE: {within[2]} (plug-in {within[3]}); ratio of the spread within 3 "
            f"Monte-Carlo errors of 1: {(off <= 3).sum()}, {table['ratio'].min():.2f} to "
            f"{table['ratio'].max():.2f}"
        )
    if part in arm_holdouts.FLOORS:
        return arm_holdouts.conclusion(part, table)
    if part == "curves":
        return f"inside the band: {(table['ratio'] <= 1).sum()} of {len(table)}"
    if part == "type_one":
        return (
            f"within 3 Monte-Carlo errors of .025: {(table['worst'] <= 3).sum()} of {len(table)}; "
            f"within 2: {(table['worst'] <= 2).sum()}; of the exact size of Pearson's test where "
            f"the endpoint is binary, of .025 elsewhere, within 3: "
            f"{(table['from_size'] <= 3).sum()}, within 2: {(table['from_size'] <= 2).sum()}"
        )
    if part == "coverage":
        inside = table[["covers_next_trial", "covers_truth"]].iloc[0]
        return f"between 93 and 97 %: {((inside >= 0.93) & (inside <= 0.97)).sum()} of 2"
    return ""


def main() -> None:
    """Run the named parts (default: all)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument(
        "--run",
        default=stored.today(),
        help="name under which rows are stored and resumed (default: the date)",
    )
    parser.add_argument(
        "--covariate-model",
        default="auto",
        help="generator for privacy, propensity and utility (default: auto)",
    )
    parser.add_argument(
        "--trials", nargs="+", default=(), help="of privacy, propensity and utility (default: all)"
    )
    parser.add_argument(
        "--folds",
        type=int,
        default=arm_holdouts.MEMBER_FOLDS,
        help="of privacy: each refit is without one of so many parts (default: %(default)s)",
    )
    parser.add_argument(
        "--keep",
        default="",
        choices=["covariate_model", "outcome_model"],
        help="of privacy: the part that stays as fitted to all patients (default: none)",
    )
    given = parser.parse_args()
    asked = arm_holdouts.Asked(given.run, given.covariate_model, tuple(given.trials))
    warnings.simplefilter("ignore")
    for part in given.parts or PARTS:
        if part in arm_holdouts.FLOORS:
            options: dict[str, Any] = {}
            if part == "privacy":
                options = {"folds": given.folds, "kept": given.keep}
            table = PARTS[part](asked, **options)
        elif part in RESUMED:
            table = PARTS[part](given.run)
        else:
            table = PARTS[part]()
            for row in table.to_dict("records"):
                stored.append(f"arms_{part}", {"run": given.run, **row})
        print(f"\n## {part}\n{table.round(3).to_string(index=False)}\n{conclusion(part, table)}")


if __name__ == "__main__":
    main()
