"""The SAR desk: how often Free-Wilson intervals cover the truth, and 10,000 molecules timed.

python -m benchmarks series_desk coverage --series 1000
python -m benchmarks series_desk speed --molecules druglike_test.smi.xz -n 10000

``coverage``: series whose values are additive by construction, with exact values and with a fifth
of them as limits; the share of 95 % intervals that hold the true share of their group (floor: 93 to
97 %). ``speed``: R-group tables of 10,000 compounds of one core with made-up values (Free-Wilson,
SAR matrix, cliffs, pairs: all that ``molgen sar`` makes), and matched pairs of as many molecules
of every kind (floor: 5 minutes together).
"""

from __future__ import annotations

import argparse
import itertools
import lzma
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from rdkit import Chem, RDLogger

import molgen
from benchmarks.stored import append
from molgen.qsar.series.free_wilson import fit_free_wilson
from molgen.qsar.series.matched_pairs import find_pairs
from molgen.qsar.series.r_groups import RGroups

GROUPS = (
    "C", "CC", "F", "Cl", "Br", "OC", "N", "C#N", "C(F)(F)F", "C(C)C", "C1CC1", "OCC", "NC", "CO",
    "c1ccccc1", "c1ccncc1", "C(N)=O", "S(C)(=O)=O", "N1CCOCC1", "N1CCCC1", "C(C)(C)C", "OC(F)F",
)  # fmt: skip
CORE = "c1c([*:1])cc2c(c1[*:2])ccn2[*:3]"


def coverage(arguments: argparse.Namespace) -> dict[str, float]:
    """Shares of intervals that hold the truth, for exact values and with limits."""
    figures = {}
    for limits in (False, True):
        held = 0
        asked = 0
        for seed in range(arguments.series):
            rng = np.random.default_rng(seed)
            shares = [rng.normal(size=5) for _ in range(3)]
            names = list(itertools.product(range(5), repeat=3))
            at = rng.permutation(len(names))[: arguments.compounds]
            mean = np.array([sum(s[k] for s, k in zip(shares, names[i])) for i in at])
            labels = [tuple(f"[*:{k + 1}]{GROUPS[names[i][k]]}" for k in range(3)) for i in at]
            groups = RGroups(
                CORE, False, ("R1", "R2", "R3"), tuple(range(len(at))), tuple(labels),
                (CORE,) * len(at), (),
            )  # fmt: skip
            y = mean + 0.3 * rng.normal(size=len(at))
            limit = np.quantile(mean, 0.2)
            signs = ["<" if limits and value < limit else "=" for value in y]
            model = fit_free_wilson(groups, np.maximum(y, limit) if limits else y, signs)
            number = {group: k for k, group in enumerate(GROUPS)}
            for row in model.table.to_dict("records"):
                if row["note"] or row["site"] == "constant":
                    continue
                site = model.factors.index(row["site"])
                own, zero = (
                    shares[site][number[text.split("]")[1]]]
                    for text in (row["group"], model.references[site])
                )
                held += row["lower"] <= own - zero <= row["upper"]
                asked += 1
        name = "a fifth of the values limits" if limits else "exact values"
        figures[name] = held / asked
        figures[f"{name}, intervals"] = asked
    return figures


def speed(arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds for the tables of one series, and for pairs of molecules of every kind."""
    names = itertools.product(GROUPS, repeat=3)
    compounds = []
    for first, second, third in names:
        mol = Chem.MolFromSmiles(f"c8c({first})cc9c(c8{second})ccn9{third}")
        if mol is not None:
            compounds.append(Chem.MolToSmiles(mol))
    compounds = list(dict.fromkeys(compounds))
    rng = np.random.default_rng(0)
    chosen = [compounds[i] for i in rng.permutation(len(compounds))[: arguments.n]]
    values = 6 + rng.normal(size=len(chosen))
    start = time.perf_counter()
    desk = molgen.sar(
        pd.DataFrame({"smiles": chosen, "pIC50": values}), "pIC50", core="c1ccc2[nH]ccc2c1"
    )
    tables = time.perf_counter() - start
    opener = lzma.open if arguments.molecules.suffix == ".xz" else open
    with opener(arguments.molecules, "rt", encoding="utf-8") as stream:
        smiles = [line.split()[0] for line in stream if line.strip()][: arguments.n]
    start = time.perf_counter()
    pairs = find_pairs(smiles)
    seconds = time.perf_counter() - start
    return {
        "compounds of one series": len(chosen), "rows of its pairs": len(desk.tables["pairs"]),
        "all tables of the series, s": tables, "molecules of every kind": len(smiles),
        "their pairs": len(pairs.first), "pairs, s": seconds,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["coverage", "speed"])
    parser.add_argument("--series", type=int, default=1_000)
    parser.add_argument("--compounds", type=int, default=70)
    parser.add_argument("--molecules", type=Path)
    parser.add_argument("-n", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="append the figures to this file")
    arguments = parser.parse_args()
    if arguments.what == "speed" and arguments.molecules is None:
        parser.error("speed needs --molecules")
    RDLogger.DisableLog("rdApp.*")
    warnings.simplefilter("ignore")
    figures = {"coverage": coverage, "speed": speed}[arguments.what](arguments)
    for name, value in figures.items():
        print(f"{name:42s} {value:12.4f}")
    if arguments.json:
        append(arguments.json, {"what": arguments.what} | figures)


if __name__ == "__main__":
    main()
