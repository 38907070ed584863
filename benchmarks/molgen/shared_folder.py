"""Can secret molecules be told from the folder that is shared of a model which learned from them?

python -m benchmarks shared_folder [--n 500] [--molecules ../shared/data/druglike_train.smi.xz]

``n`` secret molecules and as many unseen ones are drawn from a file. The shipped model is tuned on
the secret ones, stopped by its audit (``train_audited``), with a table of precedent in which a part
needs five molecules; what ``export_model`` writes is then attacked as a folder: samples, decoder,
encoder, vocabulary, table, texts, and the table alone made with one molecule a part, which shows
that the attack sees something. Floor: no attack above .60; goal .53.
"""

from __future__ import annotations

import argparse
import lzma
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from rdkit import Chem

import molgen
from benchmarks.stored import append, today
from molgen.auditing.intervals import attack_result
from molgen.auditing.sets import read_sets
from molgen.auditing.shared_folder import groups_held
from molgen.precedent.files import NAME
from molgen.sampling.likelihood import negative_log_likelihood
from molgen.training.config import FINE_TUNING

LIMIT, GOAL = 0.60, 0.53


def drawn(path: Path, n: int, seed: int) -> tuple[list[str], list[str]]:
    """Secret and unseen molecules of a file, without stereo, that the shipped model can write."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        texts = [line.split()[0] for line in lines]
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(texts))
    model = molgen.load_model("moses")
    kept: list[str] = []
    for start in range(0, len(order), 4 * n):
        part = [texts[i] for i in order[start : start + 4 * n]]
        flat = molgen.standardize(part, deduplicate=True).smiles
        flat = [Chem.CanonSmiles(s, useChiral=0) for s in flat]
        written = np.isfinite(negative_log_likelihood(model, flat))
        kept = list(dict.fromkeys([*kept, *(s for s, good in zip(flat, written) if good)]))
        if len(kept) >= 2 * n:
            break
    return kept[:n], kept[n : 2 * n]


def main() -> int:
    """Print the area of every attack; 1 where one is above the floor."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--steps", type=int, default=200, help="at most")
    parser.add_argument("--piece", type=int, default=10, help="steps between two audits")
    parser.add_argument("--seed", type=int, default=0)
    source = Path("../shared/data/druglike_train.smi.xz")
    parser.add_argument("--molecules", type=Path, default=source)
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    secret, unseen = drawn(options.molecules, options.n, options.seed)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        plan = replace(FINE_TUNING, n_steps=options.steps)
        run = molgen.train_audited(
            secret, unseen, home / "tuned", start_from="moses", piece=options.piece, config=plan,
            seed=options.seed, progress=False,
        )  # fmt: skip
        print(f"tuned for {run.n_steps} steps\n{run.history.to_string(index=False)}", flush=True)
        shared = molgen.export_model(home / "tuned", home / "shared")
        molgen.build_precedent(secret, shared / NAME, least=5, least_at_context=5)
        report = molgen.audit(
            shared, secret, unseen, seed=options.seed, shadow_models=0, canaries=0, series=0
        )
        one = molgen.build_precedent(secret, home / "one.zip", least=1, least_at_context=1)
        inside, outside, _ = read_sets(secret, unseen)
        alone = attack_result(groups_held(one, inside), groups_held(one, outside), 0).auc
    print(report.attacked)
    table = report.table
    areas = table[table["measure"] == "AUC"].sort_values("estimate", ascending=False)
    print(areas[["subject", "estimate", "lower", "upper"]].to_string(index=False))
    print(table[table["subject"] == "the shared folder"][["measure", "estimate"]].to_string())
    print(f"a table with one molecule a part (never share it): {alone.estimate:.3f}")
    worst = areas.iloc[0]
    print(f"best attack {worst['estimate']:.3f} ({worst['subject']}); floor {LIMIT}, goal {GOAL}")
    row = {"n": options.n, "steps": run.n_steps, "best": round(float(worst["estimate"]), 4)}
    append("shared_folder", {"date": today(), **row, "attack": worst["subject"]})
    return int(worst["estimate"] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
