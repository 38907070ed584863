"""Fine-tuning on a series: how near its samples come, what is set aside, in how many minutes.

python -m benchmarks fine_tuning --series FILE --core SMARTS --kept-back FILE --steps 25 100 400
python -m benchmarks fine_tuning --data FOLDER --core SMARTS --size 600      (a series of its own)

One row for each number of steps: molecules used and set aside, the share of samples with the core,
with stereo, different, new (not in the series), how many of the kept-back ones are among them, and
the membership AUC of the best attack (0.5 where samples give nothing away).

With ``--data`` (the folder of druglike_train.smi.xz) the series is what of it has the core:
``--size`` molecules to learn from, as many kept back.
"""

from __future__ import annotations

import argparse
import lzma
import tempfile
import time
from pathlib import Path

import numpy as np
from rdkit import Chem, RDLogger

import molgen
from benchmarks.stored import append
from molgen.auditing.early_stopping import strongest_attack
from molgen.auditing.sets import read_sets
from molgen.motifs.stereo import has_marks
from molgen.training.config import FINE_TUNING


def with_core(path: Path, core: Chem.Mol, n: int, seed: int) -> list[str]:
    """``n`` molecules of a file that hold the core, in random order."""
    found = []
    with lzma.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            smiles = line.split()[0]
            if Chem.MolFromSmiles(smiles).HasSubstructMatch(core):
                found.append(smiles)
            if len(found) == 2 * n:  # a file in random order: the first are any
                break
    return [found[i] for i in np.random.default_rng(seed).permutation(len(found))[:n]]


def measure(
    model: str, series: list[str], kept_back: list[str], core: Chem.Mol, steps: int, n: int,
    max_minutes: float | None, audit: bool,
) -> dict[str, float]:  # fmt: skip
    """One row of figures."""
    with tempfile.TemporaryDirectory() as folder:
        cpu, started = time.process_time(), time.perf_counter()
        report = molgen.train(
            series, folder, start_from=model, config=FINE_TUNING.given(n_steps=steps),
            max_minutes=max_minutes, progress=False,
        )  # fmt: skip
        minutes = (time.perf_counter() - started) / 60
        processor = (time.process_time() - cpu) / 60
        tuned = molgen.load_model(folder)
        sample = tuned.sample(n, seed=0)
        known = {Chem.CanonSmiles(s) for s in series}
        back = {Chem.CanonSmiles(s) for s in kept_back}
        row = {
            "steps": float(report.steps),
            "molecules used": float(report.n_molecules),
            "set aside": float(len(report.refused)),
            "stereo left out": float(report.flattened),
            "minutes": minutes,
            "processor minutes": processor,
            "samples with the core": float(
                np.mean([Chem.MolFromSmiles(s).HasSubstructMatch(core) for s in sample])
            ),
            "samples with stereo": float(np.mean([has_marks(s) for s in sample])),
            "series with stereo": float(np.mean([has_marks(s) for s in series])),
            "different samples": len(set(sample)) / n,
            "new samples": float(np.mean([s not in known for s in sample])),
            "kept-back molecules written": float(len(back & set(sample))),
            "of kept back": float(len(back)),
        }
        if audit and kept_back:
            inside, outside, _ = read_sets(series, kept_back)
            row["membership AUC of the best attack"] = strongest_attack(tuned, inside, outside)[
                1
            ].estimate
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--series", type=Path, help="molecules to learn from")
    parser.add_argument("--kept-back", type=Path, help="others of the series, to be found again")
    parser.add_argument("--data", type=Path, help="folder of druglike_train.smi.xz")
    parser.add_argument("--core", default="[NX3;H1](c1ncnc2ccccc12)c", help="SMARTS")
    parser.add_argument("--size", type=int, default=600)
    parser.add_argument("--steps", type=int, nargs="+", default=[25, 100, 400])
    parser.add_argument("--max-minutes", type=float)
    parser.add_argument("--n", type=int, default=2_000, help="molecules drawn")
    parser.add_argument("--audit", action="store_true", help="measure what was memorised, too")
    parser.add_argument(
        "--json", type=Path, help="append the figures to this file, one line of JSON a run"
    )
    arguments = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    core = Chem.MolFromSmarts(arguments.core)
    if core is None:
        parser.error(f"--core {arguments.core!r} is not a SMARTS that RDKit can read")
    if arguments.series:
        series = list(molgen.read_molecules(arguments.series).smiles)
        path = arguments.kept_back
        back = list(molgen.read_molecules(path).smiles) if path else []
    elif arguments.data:
        size = arguments.size
        both = with_core(arguments.data / "druglike_train.smi.xz", core, 2 * size, 0)
        series, back = both[:size], both[size:]
    else:
        parser.error("--series or --data is needed")
    print(f"{len(series)} molecules of the series, {len(back)} kept back")
    for steps in arguments.steps:
        row = measure(
            arguments.model, series, back, core, steps, arguments.n, arguments.max_minutes,
            arguments.audit,
        )  # fmt: skip
        print(f"\n{steps} steps")
        for name, value in row.items():
            print(f"  {name:36s} {value:9.3f}", flush=True)
        if arguments.json:
            about = {"model": arguments.model, "core": arguments.core, "series": len(series)}
            append(arguments.json, about | row)


if __name__ == "__main__":
    main()
