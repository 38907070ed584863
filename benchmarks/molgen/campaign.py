"""How many of a docked library's best molecules a campaign finds after 6 % of the calls.

    python -m benchmarks campaign --library ../shared/data/enamine50k_scores.csv.gz --seeds 5

The library is Enamine50k of molpal (49,706 molecules; Graff, Shakhnovich and Coley, Chem. Sci.
12:7866, 2021), the measure the share of its 500 best (docking score, lower is better; ties at the
last place count) that are among the molecules paid for: six batches of 1 %, the first at random.
Beside it stand a random choice and a greedy random forest on Morgan bits.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd

import molgen
from molgen.chem.parsing import MoleculeError
from molgen.qsar.data import parent


def library(path: str) -> pd.DataFrame:
    """SMILES of parents and scores; of molecules with one parent the first."""
    table = pd.read_csv(path)
    parents = []
    for text in table["smiles"]:
        try:
            parents.append(parent(text))
        except MoleculeError:
            parents.append(None)
    table["smiles"] = parents
    return table.dropna().drop_duplicates("smiles").reset_index(drop=True)


def share_found(table: pd.DataFrame, paid: set[str], k: int) -> float:
    """Share of the k best that were paid for; any of those tied at the last place count."""
    cut = np.sort(table["score"].to_numpy())[k - 1]
    hits = int(table.loc[table["score"] <= cut, "smiles"].isin(paid).sum())
    return min(hits, k) / k


def run_campaign(table: pd.DataFrame, n: int, rounds: int, seed: int, k: int) -> list[float]:
    score = dict(zip(table["smiles"], table["score"]))
    campaign = molgen.Campaign("minimise score", library=table["smiles"].tolist(), seed=seed)
    shares, paid = [], set()
    for number in range(rounds):
        start = time.process_time()
        plate = campaign.suggest(n, diverse=False, explore=0.0)
        paid |= set(plate["smiles"])
        campaign.tell(pd.DataFrame({
            "smiles": plate["smiles"], "score": [score[s] for s in plate["smiles"]]
        }))  # fmt: skip
        shares.append(share_found(table, paid, k))
        spent = time.process_time() - start
        told = f"{len(paid):,} calls, {100 * shares[-1]:.1f} %, {spent:.0f} s"
        print(f"  campaign, seed {seed}, round {number + 1}: {told}", flush=True)
    return shares


def run_forest(table: pd.DataFrame, n: int, rounds: int, seed: int, k: int) -> list[float]:
    from sklearn.ensemble import RandomForestRegressor

    from molgen.chem.fingerprints import fingerprints

    bits = fingerprints(table["smiles"], n_bits=2048)
    y = table["score"].to_numpy()
    rng = np.random.default_rng(seed)
    paid = list(rng.permutation(len(y))[:n])
    shares = []
    for number in range(rounds):
        if number:
            forest = RandomForestRegressor(100, max_depth=8, min_samples_leaf=1, random_state=seed)
            forest.fit(bits[paid], y[paid])
            order = np.argsort(forest.predict(bits), kind="stable")
            have = set(paid)
            paid += [int(i) for i in order if int(i) not in have][:n]
        shares.append(share_found(table, set(table["smiles"].iloc[paid]), k))
    print(f"  forest, seed {seed}: {100 * shares[-1]:.1f} %", flush=True)
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--library", default="../shared/data/enamine50k_scores.csv.gz")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.01, help="of the library in a batch")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--top", type=int, default=500)
    parser.add_argument("--without-forest", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table = library(arguments.library)
    n = round(arguments.share * len(table))
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    methods = {"campaign": run_campaign}
    if not arguments.without_forest:
        methods["greedy forest"] = run_forest
    results = {
        name: [run(table, n, arguments.rounds, s, arguments.top)[-1] for s in seeds]
        for name, run in methods.items()
    }
    results["random"] = [n * arguments.rounds / len(table)]
    print(f"{len(table):,} molecules, {arguments.rounds} batches of {n}, top {arguments.top}")
    for name, shares in results.items():
        spread = f" +- {100 * np.std(shares, ddof=1):.1f}" if len(shares) > 1 else ""
        print(f"{name:14s} {100 * np.mean(shares):5.1f} %{spread}  ({len(shares)} seeds)")


if __name__ == "__main__":
    main()
