"""Speed and memory of training, and what each setting does to it.

python -m benchmarks training speed  --trees FOLDER     molecules/s and peak memory
python -m benchmarks training ablate --trees FOLDER     one setting changed at a time, equal steps

``speed`` is that of the settings that the shipped model was trained with. Ablations are short runs
with batches of 256, so that they make many steps; they show which way a setting pulls, not where a
long run ends.

FOLDER holds the motif trees of MOSES's training split; they are made there the first time, which
takes minutes.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from rdkit import Chem, RDLogger

import molgen
from benchmarks.stored import append
from molgen.model.graph_vae import ModelConfig
from molgen.motifs.tree_tables import TreeTable, build_table
from molgen.training.config import TrainingConfig
from molgen.training.learning_curve import read_log

SHIPPED = TrainingConfig(batch_size=1_024, average=0.999, clean=0.45, blind=0.35, prior_steps=0)
VARIANTS: dict[str, tuple[dict, dict]] = {
    "as shipped": ({}, {}),
    "kl_weight 0.0003": ({"kl_weight": 0.0003}, {}),
    "kl_weight 0.03": ({"kl_weight": 0.03}, {}),
    "latent_dim 64": ({}, {"latent_dim": 64}),
    "width 128, feedforward 256": ({}, {"width": 128, "feedforward": 256}),
    "layers 2": ({}, {"layers": 2}),
    "canonical order only": ({"any_order": 0.0}, {}),
    "latent never noised": ({"clean": 1.0, "blind": 0.0}, {}),
}


def trees_of_moses(folder: Path, jobs: int) -> Path:
    """The folder of motif trees, filled first if it is empty."""
    if not (folder / "motifs.json").is_file():
        table, _, _ = build_table(list(molgen.load_dataset("moses", split="train")), jobs, True)
        table.save(folder)
    return folder


class PeakMemory:
    """The largest memory of this process and its children together, sampled every .2 s, in GB."""

    def __enter__(self) -> PeakMemory:
        self.peak = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        own = psutil.Process()
        while not self._over.wait(0.2):
            total = 0
            for process in [own, *own.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total / 2**30)


def run(trees: Path, output: Path, config: TrainingConfig, model: ModelConfig, jobs: int) -> dict:
    """Train for ``config.n_steps``; speed is that of the steps after the first 50."""
    with PeakMemory() as memory:
        started = time.perf_counter()
        molgen.train(trees, output, config=config, model_config=model, n_jobs=jobs, progress=False)
        seconds = time.perf_counter() - started
    log = read_log(output)
    first, last = log.iloc[0], log.iloc[-1]
    minutes = last["minutes"] - first["minutes"]
    molecules = last["molecules"] - first["molecules"]
    return {
        "molecules/s": round(molecules / minutes / 60, 1) if minutes else float("nan"),
        "peak memory, GB": round(memory.peak, 2),
        "seconds in all": round(seconds, 1),
        "clean": round(float(log["clean"].tail(4).mean()), 3),
        "blind": round(float(log["blind"].tail(4).mean()), 3),
    }


def quality(folder: Path, n: int) -> dict:
    """FCD of ``n`` samples and exact reconstruction of ``n // 4`` molecules of test_scaffolds."""
    model = molgen.load_model(folder)
    held_out = list(molgen.load_dataset("moses", split="test_scaffolds"))
    chosen = np.random.default_rng(0).choice(len(held_out), n // 4, replace=False)
    some = [held_out[i] for i in chosen]
    decoded = model.decode(model.encode(some), search=0)
    exact = np.mean([Chem.CanonSmiles(a, 0) == b for a, b in zip(some, decoded)])
    found = molgen.evaluate(list(model.sample(n, seed=0)), reference="moses", metrics=["FCD"])
    return {"FCD/Test": round(found["FCD/Test"], 3), "reconstruction": round(float(exact), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("speed", "ablate"))
    parser.add_argument("--trees", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--n", type=int, default=2_000, help="samples of each variant")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    parser.add_argument("--json", default="benchmarks/results/training.jsonl")
    arguments = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    trees = trees_of_moses(arguments.trees, arguments.jobs)
    names = ["as shipped"] if arguments.what == "speed" else arguments.only
    speed = arguments.what == "speed"
    steps = arguments.steps or (100 if speed else 300)
    batch = SHIPPED.batch_size if speed else 256
    print(
        f"{len(TreeTable.load(trees)):,} molecules, {steps} steps of {batch}, {arguments.jobs} jobs"
    )
    for name in names:
        training, sizes = VARIANTS[name]
        config = replace(SHIPPED, n_steps=steps, batch_size=batch, warmup=steps // 4)
        config = replace(config, average=1 - 10 / steps, **training)
        with tempfile.TemporaryDirectory() as folder:
            figures = run(trees, Path(folder), config, ModelConfig(**sizes), arguments.jobs)
            if arguments.what == "ablate":
                figures |= quality(Path(folder), arguments.n)
        print(f"{name:28s} " + "  ".join(f"{k} {v}" for k, v in figures.items()), flush=True)
        record = {"what": arguments.what, "variant": name, "steps": steps, "batch": batch}
        append(arguments.json, record | figures)


if __name__ == "__main__":
    main()
