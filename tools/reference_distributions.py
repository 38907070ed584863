"""Writes the reference distributions that objectives take their default shapes from.

``python -m tools.reference_distributions TRAIN.csv.gz`` reads the MOSES training set (one
SMILES a line after a header) and writes ``molgen/data/descriptor_quantiles.json``: quantiles of
every descriptor over 10,000 random molecules.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path

import numpy as np

from molgen.chem.parsing import parse
from molgen.chem.properties import DESCRIPTORS, compute

PROBABILITIES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
N_DESCRIBED = 10_000
DATA = Path(__file__).resolve().parents[1] / "molgen" / "data"


def main(source: str) -> None:
    """Compute the file from ``source`` and write it."""
    with gzip.open(source, "rt") as file:
        molecules = file.read().split()[1:]
    random.Random(7).shuffle(molecules)
    names = list(DESCRIPTORS)
    rows = [list(compute(parse(text), names).values()) for text in molecules[:N_DESCRIBED]]
    table = np.array(rows)
    quantiles = {
        name: [float(f"{value:.6g}") for value in np.nanquantile(table[:, i], PROBABILITIES)]
        for i, name in enumerate(names)
    }
    spread = {name: float(f"{np.nanstd(table[:, i]):.6g}") for i, name in enumerate(names)}
    origin = (
        f"random molecules of the MOSES training set (molsets 0.3.1, MIT; Polykovskiy et al., "
        f"Front. Pharmacol. 11:565644, 2020), shuffled with seed 7 of {len(molecules):,}"
    )
    payload = {
        "origin": origin,
        "n": N_DESCRIBED,
        "probabilities": list(PROBABILITIES),
        "quantiles": quantiles,
        "standard_deviation": spread,
    }
    (DATA / "descriptor_quantiles.json").write_text(json.dumps(payload, indent=1) + "\n")
    print(f"{len(names)} descriptors of {N_DESCRIBED:,} molecules")


if __name__ == "__main__":
    main(sys.argv[1])
