"""Property windows and rare chemotypes: how many raw proposals are inside, how diverse they are.

``python -m benchmarks property_targets [--model moses] [--n 500]``

Each window holds about 5 % of MOSES's training molecules (the share is counted again over the
packaged sample and printed). *Inside* is the share of the raw proposals, before anything is thrown
away, that satisfy the window, counted by RDKit anew; internal diversity (MOSES's IntDiv) is that of
the molecules returned, beside that of as many plain samples of the same model and of the MOSES
molecules that are inside. For rare chemotypes the share among plain samples and among proposals is
printed: what oversampling buys.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from rdkit import Chem, RDLogger

import molgen
from benchmarks.stored import append
from molgen.chem.properties import compute
from molgen.generation.windows import CHEMOTYPES

WINDOWS: dict[str, dict[str, Any]] = {
    "logp high": {"logp": (3.72, None)},
    "tpsa low": {"tpsa": (None, 38.1)},
    "qed high": {"qed": (0.927, None)},
    "sa_score low": {"sa_score": (None, 1.834)},
    "logp and tpsa": {"logp": (1, 2.4), "tpsa": (40, 58)},
    "three properties": {"logp": (2, 3), "mw": (300, 325), "rings": (3, 3)},
    "fsp3 high": {"fsp3": (0.666, None)},
}


def inside(smiles: list[str], window: dict[str, Any]) -> np.ndarray:
    """(n,) bool: computed from the molecules anew, independently of the sampler."""
    verdicts = []
    for text in smiles:
        values = compute(Chem.MolFromSmiles(text), list(window))
        verdicts.append(
            all(
                (low is None or values[name] >= low) and (high is None or values[name] <= high)
                for name, (low, high) in window.items()
            )
        )
    return np.array(verdicts)


def diversity(smiles: list[str]) -> float:
    """MOSES's IntDiv."""
    return float(molgen.evaluate(smiles, reference=smiles, metrics=["IntDiv"])["IntDiv"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="moses")
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--windows", nargs="*", default=list(WINDOWS), choices=list(WINDOWS))
    parser.add_argument("--chemotypes", nargs="*", default=list(CHEMOTYPES))
    parser.add_argument("--json", help="append the figures to this file, one line of JSON a row")
    options = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    model = molgen.load_model(options.model)
    label = {"model": options.model, "sha256": model.card.get("sha256"), "n": options.n}
    plain = list(model.sample(options.n, seed=options.seed + 1))
    plain_diversity = diversity(plain)
    real = list(molgen.load_dataset("moses", split="sample"))
    print(f"plain samples: IntDiv {plain_diversity:.4f}")
    print(
        f"{'window':18s} {'in MOSES':>8s} {'in plain':>8s} {'inside':>7s} {'found':>6s} "
        f"{'IntDiv':>7s} {'less':>7s} {'MOSES':>7s} {'CPU s':>6s}"
    )
    for name in options.windows:
        window = WINDOWS[name]
        within = inside(real, window)
        started = time.process_time()
        found = model.sample_where(window, options.n, seed=options.seed)
        cpu = time.process_time() - started
        assert inside(list(found), window).all()
        row = {
            "window": name,
            "in MOSES": round(float(within.mean()), 4),
            "in plain samples": round(float(inside(plain, window).mean()), 4),
            "inside": round(found.acceptance, 4),
            "found": len(found),
            "IntDiv": round(diversity(list(found)), 4),
            "IntDiv plain": round(plain_diversity, 4),
            "IntDiv MOSES inside": round(
                diversity([s for s, good in zip(real, within) if good]), 4
            ),
            "cpu_seconds": round(cpu, 1),
        }
        if options.json:
            append(options.json, label | row)
        print(
            f"{name:18s} {row['in MOSES']:8.3f} {row['in plain samples']:8.3f} "
            f"{row['inside']:7.3f} {row['found']:6d} {row['IntDiv']:7.4f} "
            f"{plain_diversity - row['IntDiv']:7.4f} {row['IntDiv MOSES inside']:7.4f} {cpu:6.1f}",
            flush=True,
        )
    print(f"{'chemotype':18s} {'in MOSES':>8s} {'in plain':>8s} {'inside':>7s} {'found':>6s}")
    n_rare = max(options.n // 5, 1)
    for name in options.chemotypes:
        pattern = Chem.MolFromSmarts(CHEMOTYPES[name])
        share = [
            float(np.mean([Chem.MolFromSmiles(s).HasSubstructMatch(pattern) for s in group]))
            for group in (real, plain)
        ]
        started = time.process_time()
        found = model.sample_where({"chemotype": name}, n_rare, seed=options.seed)
        cpu = time.process_time() - started
        row = {
            "chemotype": name,
            "in MOSES": round(share[0], 4),
            "in plain samples": round(share[1], 4),
            "inside": round(found.acceptance, 4),
            "found": len(found),
            "asked for": n_rare,
            "cpu_seconds": round(cpu, 1),
        }
        if options.json:
            append(options.json, label | row)
        print(
            f"{name:18s} {share[0]:8.4f} {share[1]:8.4f} {row['inside']:7.3f} {row['found']:6d} "
            f"{cpu:6.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
