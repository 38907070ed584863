"""1,000 docks of a search against 1,000 docks of random drug-like molecules, on three targets.

python -m benchmarks docking_search --folder RUN --molecules druglike_train.smi.xz
python -m benchmarks docking_search --folder RUN --molecules FILE --targets DRD2 --docks 20  (quick)

Both sides have QED >= .5 and SA <= 4; the search (``molgen.optimize``) also asks the default
filters, and starts from the same molecules as any search: none of the random ones. The figure is by
how much the mean score of its ten best is better than the best random molecule, in kcal/mol (floor
1, goal 2); the ten best random ones stand beside it. Every dock is kept in ``--folder``: the same
command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
from pathlib import Path

import numpy as np
from rdkit import Chem, RDLogger

import molgen
from benchmarks.stored import append

WINDOW = {"qed": (0.5, None), "sa_score": (None, 4)}
TARGETS = ("DRD2", "F2", "KIT")


def random_molecules(path: Path, n: int, seed: int) -> list[str]:
    """``n`` molecules of a file that lie in the window."""
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as stream:
        everything = [line.split()[0] for line in stream if line.strip()]
    found: list[str] = []
    for i in np.random.default_rng(seed).permutation(len(everything)):
        smiles = everything[i]
        mol = Chem.MolFromSmiles(smiles)
        if mol is None or "." in smiles:
            continue
        table = molgen.describe([smiles])
        if table["qed"][0] >= 0.5 and table["sa_score"][0] <= 4:
            found.append(smiles)
        if len(found) == n:
            break
    return found


def docked(docking: molgen.Docking, smiles: list[str], path: Path) -> dict[str, float]:
    """Scores in kcal/mol; each is written to ``path`` when it is there."""
    scores: dict[str, float] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            text, value = line.split("\t")
            scores[text] = float(value)
    left = [s for s in smiles if s not in scores]
    for start in range(0, len(left), 8):
        part = left[start : start + 8]
        made = dict(zip(part, (-value for value in docking(part))))
        with path.open("a", encoding="utf-8") as stream:
            stream.writelines(f"{text}\t{value}\n" for text, value in made.items())
        scores |= made
    return {s: scores[s] for s in smiles}


def measure(target: str, arguments: argparse.Namespace) -> dict[str, float]:
    """One row: the best of the search, and of random molecules."""
    docking = molgen.Docking(
        target, seed=0, exhaustiveness=arguments.exhaustiveness, n_poses=1, timeout=300,
        n_jobs=arguments.jobs,
    )  # fmt: skip
    chosen = random_molecules(arguments.molecules, arguments.docks, arguments.seed)
    by_chance = docked(docking, chosen, arguments.folder / f"{target}_random.tsv")
    values = np.sort([v for v in by_chance.values() if math.isfinite(v)])

    def score(smiles: list[str]) -> list[float]:
        return docking(smiles)

    found = molgen.optimize(
        score, n_calls=arguments.docks, seed=arguments.seed, model=arguments.model,
        filters=["default", WINDOW], log=arguments.folder / f"{target}_search.jsonl",
    )  # fmt: skip
    best = -found["score"].dropna().to_numpy()[:10]
    window = molgen.describe(found["smiles"].head(10))
    return {
        "random, best": float(values[0]), "random, ten best": float(values[:10].mean()),
        "search, ten best": float(best.mean()), "search, best": float(best[0]),
        "better than the best random one": float(values[0] - best.mean()),
        "better than the ten best random ones": float(values[:10].mean() - best.mean()),
        "lowest QED": float(window["qed"].min()), "highest SA": float(window["sa_score"].max()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="where every dock is kept")
    parser.add_argument("--molecules", type=Path, required=True, help="drug-like SMILES, or .xz")
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--docks", type=int, default=1_000)
    parser.add_argument("--exhaustiveness", type=int, default=2)
    parser.add_argument("--model", default="moses")
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="append the figures to this file")
    arguments = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for target in arguments.targets:
        row = measure(target, arguments)
        print(target, json.dumps({k: round(v, 2) for k, v in row.items()}), flush=True)
        if arguments.json:
            about = {"docks": arguments.docks, "exhaustiveness": arguments.exhaustiveness}
            append(arguments.json, {"target": target} | about | row)


if __name__ == "__main__":
    main()
