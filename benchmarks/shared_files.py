"""What a saved trial model tells of its patients: ``python -m benchmarks.shared_files [--quick]``.

Half of each trial is fitted and saved, the other half never seen. "Are my values in it?" is asked
of the file for every patient (`trial_sim.auditing.privacy.shared_files`), beside what a synthetic
table of the same model gives away to the nearest-neighbour attack. .5 is nothing.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import trial_sim as ts
from trial_sim.auditing.privacy.shared_files import attack_file
from trial_sim.covariates.encoding import encode
from trial_sim.covariates.selection import membership_auc

TRIALS = {
    "veteran": ("death", "cox"),
    "pbc": ("death", "cause_specific"),
    "gbsg2": ("recurrence", "weibull"),
}
SPLITS = 3


def halves(trial: ts.Trial, seed: int) -> tuple[ts.Trial, ts.Trial]:
    """A trial divided in two at random, by arm."""
    from dataclasses import replace

    table = trial.patients.reset_index(drop=True)
    rng = np.random.default_rng(seed)
    first = np.zeros(len(table), bool)
    groups = [table.index] if trial.arm is None else table.groupby(trial.arm).groups.values()
    for rows in groups:
        rows = rng.permutation(np.asarray(rows))
        first[rows[: len(rows) // 2]] = True
    return tuple(
        replace(trial, patients=table[keep].reset_index(drop=True)) for keep in (first, ~first)
    )


def numbers(trial: ts.Trial, endpoint: str) -> np.ndarray:
    """(n, k) columns of numbers, levels coded, durations last."""
    codes = encode(trial.baseline, trial.schema().columns)
    keep = [k for k, c in enumerate(trial.schema().columns) if not c.discrete]
    times = trial.patients[list(trial.endpoint(endpoint).columns)].to_numpy(dtype=float)
    return np.column_stack([codes[:, keep], times[:, 0]])


def run(quick: bool = False) -> pd.DataFrame:
    """One row for each trial and generator."""
    rows = []
    for name, (endpoint, model) in TRIALS.items():
        whole = ts.load_trial(name)
        for generator in ("copula", "cart"):
            found = []
            for split in range(1 if quick else SPLITS):
                inside, outside = halves(whole, split)
                fitted = ts.fit(
                    inside, endpoint, model=model, covariate_model=generator, seed=split
                )
                with tempfile.TemporaryDirectory() as folder:
                    path = fitted.save(Path(folder) / "model.npz")
                    got = attack_file(
                        path, numbers(inside, endpoint), numbers(outside, endpoint), split
                    )
                made = fitted.sample_trial(seed=split)
                columns = whole.schema().columns
                table = membership_auc(
                    *(encode(t.baseline, columns) for t in (inside, outside, made)), columns
                )
                found.append([got.exact, got.near, table, got.alone, got.alone_of_others])
            mean = np.mean(found, axis=0)
            rows.append([name, generator, model, *mean])
    return pd.DataFrame(
        rows,
        columns=[
            "trial",
            "covariates",
            "outcome",
            "file_exact",
            "file_near",
            "table",
            "alone",
            "alone_others",
        ],
    )


if __name__ == "__main__":
    print(run("--quick" in sys.argv).round(3).to_string(index=False))
