"""Audit of a generator: time and memory of every part, and the figures that matter.

    python -m benchmarks.molecule_audit                      # shipped checkpoint, 10,000 each
    python -m benchmarks.molecule_audit --model DIR --n 2000 --members train.smi --others test.smi
    python -m benchmarks.molecule_audit --honest             # real molecules as the sample

Members and non-members of the shipped checkpoint are drawn from MOSES's training and test split.
``--honest`` audits real molecules of the test split, the best sample there can be: it should pass.
"""

from __future__ import annotations

import argparse
import logging
import resource
import time

import numpy as np

import molgen


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
    print(f"of the processor, in this process: {report.about['processor_seconds']}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{minutes:.1f} minutes, peak memory {peak:.1f} GB (this process)")
    if options.output:
        report.to_html(options.output)


if __name__ == "__main__":
    main()
