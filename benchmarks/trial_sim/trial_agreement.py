"""Simulated trials against the published and independently run values of other simulators.

    OMP_NUM_THREADS=1 python -m benchmarks trial_agreement [--trials 100000] [--json out.jsonl]

Each row gives the distance of our value from the reference in Monte-Carlo standard errors of the
difference, which counts the trials of both. The references are those of ``trial-sim qualify``,
which compares the same from fewer trials.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from benchmarks.stored import append
from trial_sim.qualification.simulated import agreement


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--json", type=Path, default=None, help="append the rows to this file")
    options = parser.parse_args()
    rows = agreement(options.trials, options.seed)
    print(f"{'reference':30s} {'quantity':22s} {'value':>10s} {'ours':>10s} {'MCSE apart':>10s}")
    for row in rows:
        print(
            f"{row.reference:30s} {row.quantity:22s} {row.expected:10.5g} {row.ours:10.5g} "
            f"{row.distance:10.2f}"
        )
    worst = max(rows, key=lambda row: row.distance)
    within = sum(row.distance <= 3 for row in rows)
    print(
        f"{within} of {len(rows)} values within 3 Monte-Carlo standard errors, {options.trials} "
        f"trials each; farthest: {worst.reference}, {worst.quantity}, {worst.distance:.2f}"
    )
    if options.json:
        for row in rows:
            about = {"distance": row.distance, "trials": options.trials}
            append(options.json, {**asdict(row), **about})


if __name__ == "__main__":
    main()
