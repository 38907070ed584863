"""Matched molecular pairs against mmpdb: are they the same, and what does each cost?

    python -m venv /tmp/mmpdb && /tmp/mmpdb/bin/pip install mmpdb
    python -m benchmarks matched_pairs druglike_test.smi.xz -n 5000 --mmpdb /tmp/mmpdb/bin/mmpdb

mmpdb (3.1.6) runs in an environment of its own with its defaults; ours has its limit of ten
rotatable bonds. Two pairs are the same when molecules, constant parts and variable parts are, all
without configuration and numbers. Pairs that mmpdb lacks are told by kind: it removes a molecule
that stands in its list of counter-ions; it drops the configuration of a part with several open
bonds, so that two stereoisomers are one; the rest are double bonds beside the cut.
"""

from __future__ import annotations

import argparse
import csv
import lzma
import subprocess
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path

from rdkit import Chem
from rdkit.Chem.SaltRemover import SaltRemover

from molgen.qsar.series.matched_pairs import find_pairs


@cache
def flat(part: str) -> str:
    mol = Chem.MolFromSmiles(part)
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)
    Chem.RemoveStereochemistry(mol)
    return Chem.MolToSmiles(mol)


def normal(i: int, j: int, left: str, right: str, constant: str) -> tuple:
    sides = tuple(sorted([(i, flat(left)), (j, flat(right))]))
    return sides, ".".join(sorted(flat(part) for part in constant.split(".")))


def pairs_of_mmpdb(program: str, smiles: list[str]) -> tuple[set, float]:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "m.smi").write_text("".join(f"{s} m{i}\n" for i, s in enumerate(smiles)))
        for command in (
            ["fragment", "-j", "1", "m.smi", "-o", "m.fragdb"],
            ["index", "--out", "csv", "m.fragdb", "-o", "m.csv"],
        ):
            subprocess.run([program, *command], cwd=home, check=True, capture_output=True)
        with (home / "m.csv").open() as stream:
            rows = list(csv.reader(stream, delimiter="\t"))
    seconds = time.perf_counter() - start
    found = {normal(int(r[2][1:]), int(r[3][1:]), *r[4].split(">>"), r[5]) for r in rows}
    return found, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("molecules", help="one SMILES a line, plain or .xz")
    parser.add_argument("-n", type=int, default=5_000)
    parser.add_argument("--mmpdb", required=True, help="the program, in its own environment")
    arguments = parser.parse_args()
    opened = lzma.open if arguments.molecules.endswith(".xz") else open
    with opened(arguments.molecules, "rt") as stream:
        smiles = [line.split()[0] for line in stream if line.strip()][: arguments.n]
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    pairs = find_pairs(smiles, max_rotatable=10)
    seconds = time.perf_counter() - start
    ours = {
        normal(int(i), int(j), *pairs.rules[r].split(">>"), pairs.constants[c])
        for i, j, r, c in zip(pairs.first, pairs.second, pairs.rule, pairs.constant)
    }
    theirs, their_seconds = pairs_of_mmpdb(arguments.mmpdb, smiles)
    print(f"{len(smiles):,} molecules: {len(ours):,} pairs in {seconds:.0f} s; "
          f"mmpdb {len(theirs):,} in {their_seconds:.0f} s")  # fmt: skip
    print(f"in mmpdb alone {len(theirs - ours)}, in ours alone {len(ours - theirs)}, of these")
    remover = SaltRemover()
    kinds = {"a counter-ion to mmpdb": 0, "stereoisomers": 0, "double bonds beside the cut": 0}
    for ((i, left), (j, right)), _ in ours - theirs:
        emptied = [
            not remover.StripMol(
                Chem.MolFromSmiles(smiles[k]), dontRemoveEverything=False
            ).GetNumAtoms()
            for k in (i, j)
        ]
        kind = 0 if any(emptied) else 1 if left == right else 2
        kinds[list(kinds)[kind]] += 1
    for kind, count in kinds.items():
        print(f"  {kind}: {count}")


if __name__ == "__main__":
    main()
