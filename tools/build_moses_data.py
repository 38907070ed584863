"""Rebuild the files in ``molgen/data`` that come from MOSES. For developers; takes half an hour.

    python -m tools.build_moses_data molsets-0.3.1-py3-none-any.whl --output molgen/data

The wheel's SHA-256 is checked first. This is the only place that reads the pickled statistics
inside the wheel; the package itself reads the plain arrays that are written here.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import random
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem, rdBase

from molgen.base.parallel import map_chunks
from molgen.chem.parsing import quiet_rdkit
from molgen.chem.ring_systems import ring_systems
from molgen.evaluation.reference_sets import CHEMNET_SIZE, PROPERTIES
from molgen.files.datasets import WHEEL_SHA256


def _split(archive: zipfile.ZipFile, name: str) -> list[str]:
    lines = gzip.decompress(archive.read(f"moses/dataset/data/{name}.csv.gz")).decode().split("\n")
    return [line.partition(",")[0] for line in lines[1:] if line]


def _gzip(text: str) -> bytes:
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def write_sample(train: Sequence[str], path: Path) -> None:
    """5,000 molecules of the training split."""
    path.write_bytes(_gzip("".join(f"{s}\n" for s in random.Random(1).sample(list(train), 5000))))


def write_alerts(archive: zipfile.ZipFile, folder: Path) -> None:
    """MOSES's two sets of SMARTS, as ``name,smarts``."""
    mcf = csv.DictReader(io.StringIO(archive.read("moses/metrics/mcf.csv").decode()))
    pains = csv.reader(io.StringIO(archive.read("moses/metrics/wehi_pains.csv").decode()))
    sets = {
        "moses_mcf": [(row["names"], row["smarts"]) for row in mcf],
        "moses_wehi_pains": [
            (row[1].removeprefix("<regId=").rstrip(">").strip(), row[0].strip()) for row in pains
        ],
    }
    for name, rows in sets.items():
        with (folder / f"{name}.csv").open("w", newline="") as handle:
            csv.writer(handle, lineterminator="\n").writerows([("name", "smarts"), *rows])


def write_reference(archive: zipfile.ZipFile, split: str, path: Path) -> None:
    """Published statistics of a test set, as arrays without Python objects."""
    content = io.BytesIO(archive.read(f"moses/dataset/data/{split}_stats.npz"))
    statistics = np.load(content, allow_pickle=True)["stats"].item()
    arrays: dict[str, np.ndarray] = {
        "rdkit_version": _bytes(rdBase.rdkitVersion),
        "fcd_mu": statistics["FCD"]["mu"].astype(np.float32),
        "fcd_sigma_upper": statistics["FCD"]["sigma"][np.triu_indices(CHEMNET_SIZE)].astype("f4"),
        "smiles": _bytes("\n".join(sorted(_split(archive, split)))),
    }
    for name, key in (("fragment", "Frag"), ("scaffold", "Scaf")):
        counts = _spelled_anew(statistics[key][key.lower()])
        keys = sorted(counts)
        arrays[f"{name}_smiles"] = _bytes("\n".join(keys))
        arrays[f"{name}_counts"] = np.array([counts[k] for k in keys], dtype=np.uint32)
    for name in PROPERTIES:
        steps = np.rint(np.sort(statistics[name]["values"]) * 1e5).astype(np.int64)
        arrays[f"{name.lower()}_first"] = steps[0]
        arrays[f"{name.lower()}_steps"] = np.diff(steps).astype(np.uint32)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def _spelled_anew(counts: Counter[str]) -> Counter[str]:
    """Counts by the SMILES that this RDKit writes."""
    anew: Counter[str] = Counter()
    with quiet_rdkit():
        for smiles, count in counts.items():
            mol = Chem.MolFromSmiles(smiles)
            anew[smiles if mol is None else Chem.MolToSmiles(mol)] += count
    return anew


def rings_of_chunk(smiles: Sequence[str]) -> list[list[str]]:
    """The distinct ring systems of each molecule."""
    with quiet_rdkit():
        return [sorted(set(ring_systems(Chem.MolFromSmiles(s)))) for s in smiles]


def write_ring_systems(train: Sequence[str], path: Path, n_jobs: int) -> None:
    """In how many training molecules each ring system occurs, most frequent first."""
    found = map_chunks(
        rings_of_chunk, train, n_jobs=n_jobs, chunk_size=20_000, progress="ring systems"
    )
    save_ring_counts(Counter(r for rings in found for r in rings), path)


def save_ring_counts(counts: Counter[str], path: Path) -> None:
    """Write counts as ``molgen.filters.ring_frequency`` reads them."""
    lines = [f"# rdkit {rdBase.rdkitVersion}", "ring_system,molecules"]
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    lines += [f"{smiles},{count}" for smiles, count in ordered]
    path.write_bytes(_gzip("\n".join(lines) + "\n"))


def main(arguments: Any = None) -> None:
    """Parse the command line and write all files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args(arguments)
    digest = hashlib.sha256(options.wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        parser.error(f"{options.wheel} has SHA-256 {digest}, expected {WHEEL_SHA256}")
    (options.output / "alerts").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(options.wheel) as archive:
        train = _split(archive, "train")
        write_sample(train, options.output / "moses_sample.smi.gz")
        write_alerts(archive, options.output / "alerts")
        for split in ("test", "test_scaffolds"):
            write_reference(archive, split, options.output / f"moses_reference_{split}.npz")
        write_ring_systems(train, options.output / "moses_ring_systems.csv.gz", options.jobs)


if __name__ == "__main__":
    main()
