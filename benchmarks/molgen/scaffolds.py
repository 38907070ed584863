"""Scaffolds of approved drugs: is each accepted and kept, how many molecules differ, how fast.

``python -m benchmarks scaffolds [--model moses] [--scaffolds 100] [--samples 50]``

The scaffolds are Bemis-Murcko scaffolds of ``tests/data/approved_drugs.smi.gz`` (origin and licence
in ``tests/data/README.md``), 6 to 40 heavy atoms, without stereo, with a hydrogen to grow from
(octasulfur has none), drawn with a fixed seed so that one half has a ring system that occurs in no
molecule of MOSES's training split. Every molecule that
comes back is read again and compared with its scaffold by RDKit's substructure search. Two shares
of unique molecules are printed: among what is returned (``n`` asks for ``n`` different ones), and
among the raw draws before repetitions are left out.
"""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
import torch
from rdkit import Chem, RDLogger
from rdkit.Chem.Scaffolds import MurckoScaffold

import molgen
from benchmarks.stored import append
from molgen.chem.ring_systems import ring_systems
from molgen.filters.ring_frequency import moses_ring_counts
from molgen.generation.scaffolds.growing import draw_scaffold, sample_scaffold

DRUGS = Path(__file__).parents[2] / "tests" / "data" / "approved_drugs.smi.gz"
SMALLEST, LARGEST = 6, 40


def drug_scaffolds() -> list[str]:
    """Distinct scaffolds of the approved drugs, canonical SMILES without stereo, sorted."""
    scaffolds = set()
    for smiles in gzip.decompress(DRUGS.read_bytes()).decode().split():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None:
            continue
        for part in Chem.GetMolFrags(mol, asMols=True):
            core = MurckoScaffold.GetScaffoldForMol(part)
            Chem.RemoveStereochemistry(core)
            text = Chem.MolToSmiles(core)
            again = Chem.MolFromSmiles(text)
            if again is None or not SMALLEST <= again.GetNumHeavyAtoms() <= LARGEST:
                continue
            if any(atom.GetTotalNumHs() for atom in again.GetAtoms()):
                scaffolds.add(Chem.MolToSmiles(again))
    return sorted(scaffolds)


def has_unseen_rings(scaffold: str, known: dict[str, int]) -> bool:
    """Whether a ring system of the scaffold occurs in no training molecule of MOSES."""
    return any(ring not in known for ring in ring_systems(Chem.MolFromSmiles(scaffold)))


def choose(n: int, seed: int = 0) -> list[tuple[str, bool]]:
    """``n`` scaffolds, half of them with unseen ring systems, and which those are."""
    known = moses_ring_counts()
    unseen: list[str] = []
    seen: list[str] = []
    for scaffold in drug_scaffolds():
        (unseen if has_unseen_rings(scaffold, known) else seen).append(scaffold)
    rng = np.random.default_rng(seed)
    chosen = []
    for pool, count, flag in ((unseen, n // 2, True), (seen, n - n // 2, False)):
        chosen += [(pool[i], flag) for i in rng.choice(len(pool), count, replace=False)]
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="moses")
    parser.add_argument("--scaffolds", type=int, default=100)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--large", type=int, default=2_000, help="samples of one scaffold, timed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="append the figures to this file, one line of JSON a run")
    options = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    model = molgen.load_model(options.model)
    model.sample_scaffold("c1ccccc1", 5)  # what is loaded once is not counted
    chosen = choose(options.scaffolds)
    refused, short, lost, returned, distinct = [], [], [], 0, 0
    raw_unique, elapsed, cpu = [], 0.0, 0.0
    for scaffold, unseen in chosen:
        wall, process = time.perf_counter(), time.process_time()
        try:
            grown = sample_scaffold(model, scaffold, options.samples, seed=options.seed)
        except ValueError as error:
            refused.append((scaffold, str(error)))
            continue
        elapsed += time.perf_counter() - wall
        cpu += time.process_time() - process
        pattern = Chem.MolFromSmiles(scaffold)
        lost += [s for s in grown if not Chem.MolFromSmiles(s).HasSubstructMatch(pattern)]
        lost += [d.smiles for d in grown.dropped if "not in the molecule" in d.reason]
        returned += len(grown)
        distinct += len(set(grown))
        if len(grown) < options.samples:
            short.append((scaffold, unseen, len(grown)))
        raw = draw_scaffold(model, scaffold, options.samples, seed=options.seed)
        raw_unique.append(len(set(raw)) / max(len(raw), 1))
    wall, process = time.perf_counter(), time.process_time()
    many = sample_scaffold(model, "c1ccc2[nH]ccc2c1", options.large, seed=options.seed)
    wall, process = time.perf_counter() - wall, time.process_time() - process
    plain = time.process_time()
    model.sample(options.large, seed=options.seed)
    plain = time.process_time() - plain
    for scaffold, reason in refused:
        print(f"refused: {scaffold}: {reason}")
    for scaffold, unseen, count in short:
        print(f"short: {scaffold} (unseen rings: {unseen}): {count} of {options.samples}")
    for text in lost:
        print(f"scaffold lost: {text}")
    figures: dict[str, float] = {
        "scaffolds": len(chosen),
        "of them with unseen ring systems": sum(unseen for _, unseen in chosen),
        "refused": len(refused),
        "molecules returned": returned,
        "asked for": options.samples * len(chosen),
        "scaffold lost": len(lost),
        "unique among the returned": distinct / max(returned, 1),
        "unique among raw draws, mean": float(np.mean(raw_unique)),
        "unique among raw draws, lowest": float(np.min(raw_unique)),
        "molecules/s, 50 a scaffold": returned / elapsed,
        "molecules/CPU s, 50 a scaffold": returned / cpu,
        "molecules/s, one scaffold": len(many) / wall,
        "molecules/CPU s, one scaffold": len(many) / process,
        "one scaffold / plain sampling": len(many) / process * plain / options.large,
        "threads": torch.get_num_threads(),
    }
    for name, value in figures.items():
        print(f"{name:34s} {value:.4g}")
    if options.json:
        append(
            options.json, {"model": options.model, "sha256": model.card.get("sha256"), **figures}
        )


if __name__ == "__main__":
    main()
