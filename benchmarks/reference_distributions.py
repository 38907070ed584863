"""Writes the reference distributions that objectives take their default shapes from.

``python -m benchmarks.reference_distributions TRAIN.csv.gz`` reads the MOSES training set (one
SMILES a line after a header) and writes into ``molgen/data``:

- ``descriptor_quantiles.json``: quantiles of every descriptor over 10,000 random molecules;
- ``ring_systems_moses.json.gz``: in how many of 100,000 random molecules each ring system stands.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from molgen.chem import parse, ring_systems
from molgen.properties import DESCRIPTORS, compute

PROBABILITIES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
N_DESCRIBED = 10_000
N_RINGS = 100_000
DATA = Path(__file__).resolve().parents[1] / "molgen" / "data"


def main(source: str) -> None:
    """Compute both files from ``source`` and write them."""
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
    counts: Counter[str] = Counter()
    for text in molecules[:N_RINGS]:
        counts.update(set(ring_systems(text)))
    rings = {"origin": origin, "n": N_RINGS, "counts": dict(counts.most_common())}
    with gzip.GzipFile(DATA / "ring_systems_moses.json.gz", "wb", mtime=0) as packed:
        packed.write(json.dumps(rings).encode())
    print(f"{len(names)} descriptors, {len(counts):,} ring systems")


if __name__ == "__main__":
    main(sys.argv[1])
