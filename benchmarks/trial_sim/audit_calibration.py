"""Does the audit fail what it must, pass what it must, and how long does it take?

    python -m benchmarks audit_calibration honest [--splits 20]   # real patients as synthetic ones
    python -m benchmarks audit_calibration cheats                  # planted cheats on colon
    python -m benchmarks audit_calibration time                    # fitted audit of colon, seconds

``honest`` splits every built-in trial at random into halves and audits one as the synthetic trial
of the other: such an audit must pass, but for a few in a hundred.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter

import numpy as np
import pandas as pd

import trial_sim as ts
from trial_sim.auditing.compared import distances
from trial_sim.auditing.compared.comparison import compare
from trial_sim.auditing.compared.tables import gower


def numbered(trial: ts.Trial, table: pd.DataFrame) -> ts.Trial:
    """The trial with another table, its patients numbered afresh."""
    return trial.with_patients(table.reset_index(drop=True).assign(id=np.arange(1, len(table) + 1)))


def honest(splits: int) -> pd.DataFrame:
    """Share of passed audits of real halves, and what failed the others."""
    rows = []
    for name in ts.list_trials()["name"]:
        trial, passed, failed = ts.load_trial(name), 0, Counter()
        for seed in range(splits):
            order = np.random.default_rng(seed).permutation(trial.n_patients)
            half = trial.n_patients // 2
            parts = (trial.subset(np.sort(order[:half])), trial.subset(np.sort(order[half:])))
            report = ts.audit(*parts, seed=seed)
            passed += report.passed
            failed.update(set(report.failures["measure"]))
        blame = ", ".join(f"{measure} ({n})" for measure, n in failed.most_common(3))
        rows.append({"trial": name, "passed": passed, "of": splits, "failed by": blame})
    return pd.DataFrame(rows).set_index("trial")


def cheats() -> pd.DataFrame:
    """Red measures that each planted cheat gets, by section."""
    trial = ts.load_trial("colon")
    table, n, rng = trial.patients, trial.n_patients, np.random.default_rng(0)
    order = rng.permutation(n)
    real, other = trial.subset(np.sort(order[: n // 2])), trial.subset(np.sort(order[n // 2 :]))
    both = compare(real, other)
    among = gower(both.tables["real"], both.tables["real"], both.schema.ranges)
    lonely = distances.isolated(distances.without_self(among))
    no_effect = table.iloc[rng.integers(n, size=8 * n)]
    few = table.iloc[order[:20]]
    planted = {
        "memoriser": (trial, table),
        "row bootstrap": (trial, table.iloc[rng.integers(n, size=n)]),
        "effect removed": (trial, no_effect.assign(rx=rng.permutation(no_effect["rx"].to_numpy()))),
        "independent columns": (
            trial,
            pd.DataFrame({c: rng.permutation(table[c].to_numpy()) for c in table}),
        ),
        "fitted on 20 patients": (trial, few.iloc[rng.integers(20, size=n)]),
        "copies only outliers": (
            real,
            pd.concat([other.patients.iloc[len(lonely) :], real.patients.iloc[lonely]]),
        ),
        "honest sample": (real, other.patients),
    }
    rows = {}
    for label, (truth, made) in planted.items():
        report = ts.audit(truth, numbered(trial, made))
        rows[label] = report.failures["section"].value_counts().to_dict() | {
            "verdict": "passed" if report.passed else "failed"
        }
    return pd.DataFrame(rows).T.fillna(0)


def timing() -> pd.DataFrame:
    """Wall-clock and processor seconds of the fitted audit of colon."""
    fitted = ts.fit(ts.load_trial("colon"), endpoint="death")
    wall, cpu = time.perf_counter(), time.process_time()
    report = fitted.audit()
    return pd.DataFrame(
        {
            "wall s": [time.perf_counter() - wall],
            "cpu s": [time.process_time() - cpu],
            "passed": [report.passed],
        }
    )


def main() -> None:
    """Parse the command line and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["honest", "cheats", "time"])
    parser.add_argument("--splits", type=int, default=20)
    given = parser.parse_args()
    with warnings.catch_warnings(), pd.option_context("display.width", 200):
        warnings.simplefilter("ignore")
        pd.set_option("display.max_colwidth", 120)
        table = {"honest": lambda: honest(given.splits), "cheats": cheats, "time": timing}[
            given.what
        ]()
        print(table.to_string())


if __name__ == "__main__":
    main()
