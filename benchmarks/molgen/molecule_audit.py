"""Audit of a generator: time and memory of every part, and the figures that matter.

    python -m benchmarks molecule_audit                      # shipped checkpoint, 10,000 each
    python -m benchmarks molecule_audit --model DIR --n 2000 --members train.smi --others test.smi
    python -m benchmarks molecule_audit --honest             # real molecules as the sample

With ``--save`` the figures are appended to ``results/molecule_audit.jsonl``.
Members and non-members of the shipped checkpoint are drawn from MOSES's training and test split.
``--honest`` audits real molecules of the test split, the best sample there can be: it should pass.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import resource
import time
from typing import Any

import numpy as np

import molgen
from benchmarks.stored import append, today


def draw(source: str | None, split: str, n: int, seed: int) -> list[str]:
    """``n`` molecules at random from a file or from a MOSES split."""
    rows = (
        list(molgen.read_molecules(source).smiles)
        if source
        else molgen.load_dataset("moses", split=split)
    )
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(rows))[:n]
    return [rows[i] for i in order]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="moses")
    parser.add_argument("--members")
    parser.add_argument("--others")
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--shadow-models", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--honest", action="store_true")
    parser.add_argument("--output")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("molgen.auditing").setLevel(logging.INFO)
    members = draw(options.members, "train", options.n, options.seed)
    others = draw(options.others, "test", 2 * options.n if options.honest else options.n, 1)
    started = time.perf_counter()
    if options.honest:
        report = molgen.audit_samples(
            others[options.n :], members, others[: options.n], seed=options.seed,
            n_jobs=options.jobs,
        )  # fmt: skip
    else:
        report = molgen.audit(
            options.model, members, others, seed=options.seed,
            shadow_models=options.shadow_models, n_jobs=options.jobs,
        )  # fmt: skip
    minutes = (time.perf_counter() - started) / 60
    columns = ["measure", "subject", "estimate", "lower", "upper", "baseline", "verdict"]
    print(report.table[columns].to_string(index=False, float_format=lambda v: f"{v:.4f}"))
    print(report)
    print(f"seconds: {report.about['seconds']}")
    print(f"of the processor, in the process that did it: {report.about['processor_seconds']}")
    peak = [
        resource.getrusage(who).ru_maxrss / 2**20
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    print(
        f"{minutes:.1f} minutes, {sum(os.times()[:4]) / 60:.1f} of the processor; peak memory "
        f"{peak[0]:.1f} GB (this process), {peak[1]:.1f} GB (the largest other)"
    )
    if options.output:
        report.to_html(options.output)
    if options.save:
        append("molecule_audit", _row(options, report, minutes, peak))


def _row(
    options: argparse.Namespace, report: molgen.AuditReport, minutes: float, peak: list[float]
) -> dict[str, Any]:
    """The figures as plain data."""
    return {
        "date": today(),
        "model": "real molecules" if options.honest else options.model,
        "checkpoint": getattr(report.provenance, "checkpoint_sha256", "")[:16],
        "n": options.n,
        "jobs": options.jobs,
        "passed": report.passed,
        "minutes": round(minutes, 2),
        "processor minutes": round(sum(os.times()[:4]) / 60, 2),
        "seconds by part": report.about["seconds"],
        "processor seconds by part": report.about["processor_seconds"],
        "peak memory, GB": [round(p, 2) for p in peak],
        "load average": os.getloadavg()[0],
        "measures": {
            f"{m.measure}, {m.subject}": [
                None if math.isnan(v) else round(float(v), 4) for v in m.interval
            ]
            + [m.verdict]
            for m in report.measures
        },
    }


if __name__ == "__main__":
    main()
