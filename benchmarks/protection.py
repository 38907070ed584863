"""What protection costs: membership, canaries, FCD and reconstruction of small models.

    python -m benchmarks.protection                          # some CPU minutes
    python -m benchmarks.protection --n 2000 --steps 1500    # larger

One public model is trained on MOSES molecules that are in no other set; then, on ``n`` members with
canaries among them (eight planted once, eight four times): plain training, the same with one
molecule a scaffold, early stopping by audit, and DP-SGD from the public model. Each prints a line:
the area under the curve of the stronger likelihood attack (.5: nothing leaks) with its interval,
the mean exposure of the canaries in bits (1.44: as if not planted), FCD of samples to the hold-out
(lower is better), and the share of the hold-out that greedy decoding gives back. Each line goes to
benchmarks/results/protection.jsonl when it is done, and the same command goes on from there; with
``--folder DIR`` it also finds the public model again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import molgen
from benchmarks.stored import FOLDER, append
from molgen.auditing.canaries import CanaryRun, exposure, make_canaries
from molgen.auditing.molecules import MoleculeSet, read_sets
from molgen.auditing.shadows import one_thread
from molgen.chemnet import activations, frechet_distance, mean_and_covariance
from molgen.generation import Generator
from molgen.model import ModelConfig
from molgen.private_training import PrivateConfig, train_privately
from molgen.protection import strongest_attack, thin, train_audited
from molgen.training import train
from molgen.training_config import TrainingConfig

SMALL = ModelConfig(
    latent_dim=16, encoder_width=32, encoder_layers=2, pooling_heads=2, width=64, layers=2,
    heads=2, feedforward=128, row_dim=32, site_dim=16, max_motifs=40,
)  # fmt: skip
REPEATS = np.repeat([1, 4], 8)
KINDS = ("none", "plain", "scaffolds", "stopped", "epsilon-8", "epsilon-2")


def judge(
    name: str,
    model: Generator,
    public: Generator,
    sets: tuple[MoleculeSet, MoleculeSet],
    canaries: list[str],
    real: tuple[np.ndarray, np.ndarray],
    n_samples: int,
    began: float,
) -> dict[str, Any]:
    """One line of the table."""
    trained = time.process_time() - began
    attack, area = strongest_attack(model, *sets)
    planted = len(REPEATS)
    run = CanaryRun(tuple(canaries[:planted]), REPEATS, tuple(canaries[planted:]), model)
    bits = exposure(public, run)
    drawn = model.sample(n_samples, seed=1)
    fcd = frechet_distance(*mean_and_covariance(activations(list(drawn), device="cpu")), *real)
    held = list(sets[1].smiles)[:300]
    back = model.decode(model.encode(held))
    row = {
        "training": name,
        "AUC": round(area.estimate, 3),
        "95 %": [round(area.lower, 3), round(area.upper, 3)],
        "attack": attack,
        # a model has no advantage over itself
        "exposure x1": None if model is public else round(float(bits[REPEATS == 1].mean()), 2),
        "exposure x4": None if model is public else round(float(bits[REPEATS == 4].mean()), 2),
        "FCD": round(fcd, 2),
        "reconstruction": round(float(np.mean([a == b for a, b in zip(back, held)])), 3),
        "steps": model.card.get("steps"),
        "CPU s of training": round(trained, 1),
    }
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1_000, help="members, and hold-out")
    parser.add_argument("--steps", type=int, default=600, help="of plain training")
    parser.add_argument("--piece", type=int, default=10, help="steps between audits")
    parser.add_argument("--private-steps", type=int, default=150)
    parser.add_argument("--limit", type=float, default=0.55)
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--folder", type=Path, help="keep the public model here, to go on later")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, one_thread():
        table(given, given.folder or Path(scratch), Path(scratch))


def table(given: argparse.Namespace, kept: Path, scratch: Path) -> None:
    """Every line that is not yet among the results."""
    pool = list(molgen.load_dataset("moses", split="sample"))
    order = np.random.Generator(np.random.Philox(given.seed)).permutation(len(pool))
    shuffled = [pool[i] for i in order]
    n = given.n
    if len(pool) < 3 * n:
        raise SystemExit(f"--n {n} needs {3 * n} molecules; the sample has {len(pool)}")
    members, hold_out, others = shuffled[:n], shuffled[n : 2 * n], shuffled[2 * n :]
    plain = TrainingConfig(
        n_steps=given.steps, batch_size=128, warmup=50, average=0.98, prior_steps=0,
        precision="float32", min_count=2,
    )  # fmt: skip
    quiet: dict[str, Any] = {"seed": given.seed, "progress": False}
    start = kept / "public"
    began = time.process_time()
    if not (start / "model.json").is_file():
        train(
            others, start, config=replace(plain, n_steps=given.steps // 2), model_config=SMALL,
            **quiet,
        )  # fmt: skip
    public = molgen.load_model(start)
    sets = read_sets(members, hold_out)[:2]
    canaries = make_canaries(public, *sets, n=200, seed=given.seed)
    planted = [s for s, k in zip(canaries, REPEATS) for _ in range(k)]
    secret = [*members, *planted]
    real = mean_and_covariance(activations(hold_out, device="cpu"))

    def trained(kind: str) -> tuple[str, Generator]:
        folder = scratch / kind
        if kind == "none":
            return "none (public model)", public
        if kind == "plain":
            train(secret, folder, config=plain, start_from=start, **quiet)
            return kind, molgen.load_model(folder)
        if kind == "scaffolds":
            thinned = thin(secret, by="scaffold", seed=given.seed)
            train(thinned, folder, config=plain, start_from=start, **quiet)
            return f"one a scaffold ({len(thinned)} of {len(secret)})", molgen.load_model(folder)
        if kind == "stopped":
            run = train_audited(
                secret, hold_out, folder, limit=given.limit, piece=given.piece, config=plain,
                start_from=start, **quiet,
            )  # fmt: skip
            return f"stopped by audit at {given.limit}", molgen.load_model(run.folder)
        report = train_privately(
            secret, folder, epsilon=float(kind.removeprefix("epsilon-")), public_model=start,
            config=PrivateConfig(n_steps=given.private_steps, batch_size=64, clip=5.0), **quiet,
        )  # fmt: skip
        name = f"DP-SGD, epsilon {report.epsilon:.2f} at delta {report.delta:.0e}"
        return name, molgen.load_model(report.folder)

    key = {"n": n, "seed": given.seed, "plain steps": given.steps, "samples": given.samples}
    for kind in given.only:
        asked = {**key, "kind": kind}
        if kind.startswith("epsilon"):
            asked["private steps"] = given.private_steps
        if kind == "stopped":
            asked |= {"piece": given.piece, "limit": given.limit}
        if done(asked):
            continue
        if kind != "none":
            began = time.process_time()
        try:
            name, model = trained(kind)
        except ValueError as error:  # early stopping whose first piece is beyond the limit
            print(f"{kind}: {error}", flush=True)
            continue
        row = judge(name, model, public, sets, canaries, real, given.samples, began)
        append("protection", {**asked, **row})


def done(asked: dict[str, Any]) -> bool:
    """Whether the results hold the line already."""
    path = FOLDER / "protection.jsonl"
    rows = path.read_text("utf-8").splitlines() if path.is_file() else []
    return any(asked.items() <= _plain(json.loads(row)).items() for row in rows)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Without lists, which cannot be compared as items of a set."""
    return {k: v for k, v in row.items() if not isinstance(v, list)}


if __name__ == "__main__":
    main()
