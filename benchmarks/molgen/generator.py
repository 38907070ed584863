"""Figures of a generator: MOSES metrics, exact reconstruction, speed, memory, start.

python -m benchmarks generator --model moses
python -m benchmarks generator --n 6000 --speed 6000 --reconstruct 1000      (a quick look)
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from rdkit import Chem, RDLogger

import molgen
from benchmarks.stored import append


def reconstruction(model, smiles: list[str]) -> dict[str, float]:
    """Exact reconstruction (canonical SMILES without stereo) from posterior means.

    Once by the likeliest choices and once by the search of ``decode``; the speed is of the former.
    """
    started = time.perf_counter()
    z = model.encode(smiles)
    encoded = time.perf_counter()
    decoded = model.decode(z, search=0)
    finished = time.perf_counter()
    flat = [Chem.CanonSmiles(a, 0) for a in smiles]
    return {
        "exact reconstruction": float(np.mean([a == b for a, b in zip(flat, decoded)])),
        "exact reconstruction by search": float(
            np.mean([a == b for a, b in zip(flat, model.decode(z))])
        ),
        "encode molecules/s": len(smiles) / (encoded - started),
        "decode molecules/s": len(smiles) / (finished - encoded),
    }


def sampling(model, n: int, jobs: int) -> tuple[list[str], dict[str, float]]:
    """``n`` molecules, and the speed of making them against RDKit reading and writing them once.

    Peak memory is that of this process and of the largest helper.
    """
    started = time.perf_counter()
    sample = model.sample(n, seed=0, n_jobs=jobs)
    made = time.perf_counter() - started
    started = time.perf_counter()
    for smiles in sample:
        Chem.MolToSmiles(Chem.MolFromSmiles(smiles))
    rdkit = time.perf_counter() - started
    return sample, {
        "sample molecules/s": n / made,
        "dropped": float(len(sample.dropped)),
        "speed / RDKit parse and write": rdkit / made,
        "peak memory, GB": sum(
            resource.getrusage(who).ru_maxrss
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        / 2**20,
    }


def start_up(model: str) -> dict[str, float]:
    """Seconds of ``import molgen``, and of a first molecule from a cold start."""
    timed = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
    code = {
        "import molgen, s": "import molgen",
        "first sample from a cold start, s": (
            f"import molgen; molgen.load_model({model!r}).sample(1)"
        ),
    }
    return {
        name: float(subprocess.check_output([sys.executable, "-c", timed.format(body)], text=True))
        for name, body in code.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="moses")
    parser.add_argument("--n", type=int, default=30_000)
    parser.add_argument("--speed", type=int, default=100_000, help="molecules that are timed")
    parser.add_argument("--reconstruct", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", help="append the figures to this file, one line of JSON a run")
    arguments = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    model = molgen.load_model(arguments.model)
    figures: dict[str, float] = {}
    sample, speed = sampling(model, max(arguments.n, arguments.speed), arguments.jobs)
    sample = sample[: arguments.n]  # blocks do not depend on how many are asked for
    figures |= speed
    figures |= start_up(arguments.model)
    if arguments.reconstruct:
        held_out = list(molgen.load_dataset("moses", split="test_scaffolds"))
        rng = np.random.default_rng(0)
        chosen = rng.choice(len(held_out), arguments.reconstruct, replace=False)
        figures |= reconstruction(model, [held_out[i] for i in chosen])
    figures |= molgen.evaluate(sample, reference="moses", n_jobs=arguments.jobs)
    train = list(molgen.load_dataset("moses", split="train"))
    rng = np.random.default_rng(0)
    real = [train[i] for i in rng.choice(len(train), arguments.n, replace=False)]
    floor = molgen.evaluate(real, reference="moses", metrics=["FCD"], n_jobs=arguments.jobs)
    figures["FCD/Test of as many training molecules"] = floor["FCD/Test"]
    print(f"model {arguments.model}: {arguments.n} samples, {arguments.reconstruct} reconstructed")
    for name, value in figures.items():
        print(f"{name:42s} {value:.4f}")
    if arguments.json:
        append(
            arguments.json,
            {"model": arguments.model, "sha256": model.card.get("sha256"), **figures},
        )


if __name__ == "__main__":
    main()
