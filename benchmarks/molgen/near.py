"""Analogues of approved drugs: are they near, different, as clean as the lead, and how fast?

``python -m benchmarks near [--model moses] [--leads 200] [--n 20] [--pairs 100] [--steps 8]``

Leads are molecules of ``tests/data/approved_drugs.smi.gz`` (origin and licence in
``tests/data/README.md``) of one component with 12 to 45 heavy atoms and without metals, drawn with
a fixed seed. ``sample_near`` is called with its defaults. Similarity is Tanimoto of ECFP4 (2,048
bits); the common core is RDKit's maximum common substructure, ring atoms matching ring atoms and
whole rings only; "passed" counts analogues that fail none of the default filters that the lead
passes. Pairs for ``interpolate`` are drawn from the same leads; a path is monotone if no step comes
nearer to its start or farther from its end. Seconds are processor time of one process.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path

import numpy as np
from rdkit import Chem, RDLogger
from rdkit.Chem import rdFingerprintGenerator
from rdkit.DataStructs import BulkTanimotoSimilarity

import molgen
from molgen.report.analogues import match_pair

DRUGS = Path(__file__).parents[2] / "tests" / "data" / "approved_drugs.smi.gz"
SMALLEST, LARGEST = 12, 45
ELEMENTS = {"H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I"}
_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def choose_leads(n: int, seed: int = 0) -> list[str]:
    """``n`` approved drugs, canonical SMILES."""
    found = []
    for smiles in sorted(set(gzip.decompress(DRUGS.read_bytes()).decode().split())):
        mol = Chem.MolFromSmiles(smiles)
        if mol is None or "." in smiles:
            continue
        if not SMALLEST <= mol.GetNumHeavyAtoms() <= LARGEST:
            continue
        if all(a.GetSymbol() in ELEMENTS for a in mol.GetAtoms()):
            found.append(Chem.MolToSmiles(mol))
    chosen = np.random.default_rng(seed).choice(len(found), size=n, replace=False)
    return [found[i] for i in chosen]


def similarities(lead: str, others: list[str]) -> list[float]:
    """Tanimoto of ECFP4."""
    prints = [_MORGAN.GetFingerprint(Chem.MolFromSmiles(s)) for s in (lead, *others)]
    return list(BulkTanimotoSimilarity(prints[0], prints[1:]))


def failed(smiles: list[str]) -> list[set[str]]:
    """Names of the default filters that each molecule fails."""
    table = molgen.filter_molecules(smiles)
    return [{r.filter for r in reasons.items} for reasons in table["reasons"]]


def measure_near(
    model: molgen.generation.generator.Generator, leads: list[str], n: int, core: int
) -> dict:
    """Figures of ``sample_near``; the common core of the first ``core`` analogues of each lead."""
    similar, shares, passed, distinct, missing, back = [], [], [], [], 0, []
    seconds = 0.0
    for number, lead in enumerate(leads):
        start = time.process_time()
        analogues = model.sample_near(lead, n, seed=number)
        seconds += time.process_time() - start
        missing += n - len(analogues)
        distinct.append(len(set(analogues)) / n)
        back.append(lead in analogues)
        similar += similarities(lead, analogues)
        heavy = Chem.MolFromSmiles(lead).GetNumHeavyAtoms()
        shares += [len(match_pair(lead, a).common) / heavy for a in analogues[:core]]
        own, *theirs = failed([lead, *analogues])
        passed += [not f - own for f in theirs]
    return {
        "leads": len(leads),
        "analogues asked for each": n,
        "analogues missing": missing,
        "median similarity": float(np.median(similar)),
        "similarity, 10th and 90th percentile": np.percentile(similar, [10, 90]).tolist(),
        "mean share of the lead's atoms in the common core": float(np.mean(shares)),
        "median share": float(np.median(shares)),
        "passed by the lead's filters": float(np.mean(passed)),
        "distinct": float(np.mean(distinct)),
        "leads among their own analogues": int(np.sum(back)),
        "seconds for 100": 100 * seconds / (len(leads) * n),
    }


def measure_paths(
    model: molgen.generation.generator.Generator, leads: list[str], pairs: int, steps: int
) -> dict:
    """Figures of ``interpolate``."""
    rng = np.random.default_rng(1)
    ends = distinct = all_distinct = monotone = 0
    seconds = 0.0
    for number in range(pairs):
        first, second = (leads[i] for i in rng.choice(len(leads), size=2, replace=False))
        start = time.process_time()
        path = list(model.interpolate(first, second, steps, seed=number))
        seconds += time.process_time() - start
        ends += path[0] == first and path[-1] == second and len(path) == steps
        distinct += len(set(path)) / steps
        all_distinct += len(set(path)) == steps
        to_start, to_end = similarities(first, path), similarities(second, path)
        monotone += all(np.diff(to_start) <= 1e-9) and all(np.diff(to_end) >= -1e-9)
    return {
        "pairs": pairs,
        "steps": steps,
        "ends right": ends / pairs,
        "steps distinct": distinct / pairs,
        "paths all of whose steps are distinct": all_distinct / pairs,
        "similarity monotone": monotone / pairs,
        "seconds a path": seconds / pairs,
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="moses")
    parser.add_argument("--leads", type=int, default=200)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--core", type=int, default=20, help="analogues compared by common core")
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    model = molgen.load_model(given.model)
    model.sample(1)
    leads = choose_leads(given.leads)
    figures = {"near": measure_near(model, leads, given.n, given.core)} if given.n else {}
    if given.pairs:
        figures["interpolate"] = measure_paths(model, leads, given.pairs, given.steps)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
