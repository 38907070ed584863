"""What a search delivers: chemotypes of a diverse one, and how much lies in a QSAR model's domain.

python -m benchmarks delivered diverse --calls 3000
python -m benchmarks delivered qsar --calls 3000           (the solvation energies of tests/data)
python -m benchmarks delivered qsar --assay FILE --smiles smiles --value pIC50

``diverse``: ten objectives, ``molgen.optimize(..., diverse=True)``; the 100 delivered are the first
100 marked in its column ``diverse``. Their Bemis-Murcko scaffolds are clustered by RDKit's Butina
(ECFP4, Tanimoto distance .4) apart from the search. ``qsar``: a default search with a model as
objective; of the best 100, how many lie in the model's domain.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rdkit import Chem, DataStructs, RDLogger
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold
from rdkit.ML.Cluster import Butina

import molgen
from benchmarks.stored import append

ASSAY = Path(__file__).parents[2] / "tests" / "data" / "freesolv_sample.csv"
DELIVERED = 100
FLOORS = {"diverse": 10, "qsar": 90}
OBJECTIVES: dict[str, list[str]] = {
    "drug-like": ["maximise qed", "minimise sa_score"],
    "fragment": ["mw from 150 to 300", "logp from 0 to 3", "maximise qed"],
    "brain": ["tpsa from 20 to 90", "logp from 2 to 4", "mw from 250 to 400", "one hbd at most"],
    "like imatinib": ["similar to Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"],
    "like celecoxib": ["similar to Cc1ccc(cc1)-c1cc(nn1-c1ccc(cc1)S(N)(=O)=O)C(F)(F)F"],
    "pyridine": ["contains c1ccncc1", "maximise qed"],
    "sulfonamide": ["contains S(=O)(=O)N", "minimise sa_score", "logp from 1 to 3"],
    "rigid": ["rotatable bonds at most 2", "mw from 250 to 350", "maximise qed"],
    "saturated": ["maximise fsp3", "mw from 200 to 400", "logp from 0 to 3"],
    "amide": ["contains C(=O)N", "tpsa from 40 to 100", "maximise qed"],
}


def clusters_of(smiles: list[str], distance: float = 0.4) -> int:
    """Butina clusters of the scaffolds; molecules without a ring are one of their own."""
    scaffolds = {MurckoScaffold.MurckoScaffoldSmiles(s) for s in smiles}
    maker = rdFingerprintGenerator.GetMorganGenerator(radius=2)
    prints = [maker.GetFingerprint(Chem.MolFromSmiles(s)) for s in sorted(scaffolds)]
    apart = []
    for i in range(1, len(prints)):
        apart += [1 - s for s in DataStructs.BulkTanimotoSimilarity(prints[i], prints[:i])]
    return len(Butina.ClusterData(apart, len(prints), distance, isDistData=True))


def diverse(arguments: argparse.Namespace) -> list[dict]:
    """A row an objective."""
    rows = []
    for name in arguments.objectives or OBJECTIVES:
        cpu = time.process_time()
        found = molgen.optimize(
            molgen.Objective(OBJECTIVES[name]), model=arguments.model, n_calls=arguments.calls,
            n_diverse=DELIVERED, diverse=True, seed=arguments.seed,
        )  # fmt: skip
        best = found[found["diverse"]]["smiles"].tolist()[:DELIVERED]
        rows.append({
            "objective": name, "delivered": len(best), "clusters": clusters_of(best),
            "mean score": float(found[found["diverse"]]["score"][:DELIVERED].mean()),
            "highest score": float(found["score"].max()),
            "scored 1.0": int((found["score"] >= 1 - 1e-9).sum()),
            "processor seconds": time.process_time() - cpu,
        })  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
    return rows


def qsar(arguments: argparse.Namespace) -> list[dict]:
    """One row: the default search with a model."""
    table = pd.read_csv(arguments.assay)
    model = molgen.fit_qsar(table[arguments.smiles], table[arguments.value], seed=0)
    cpu = time.process_time()
    objective = molgen.Objective(
        [molgen.Component("qsar", goal=arguments.goal, params={"model": model})]
    )
    found = molgen.optimize(
        objective, model=arguments.model, n_calls=arguments.calls, seed=arguments.seed
    )
    best = found.head(DELIVERED)
    row = {
        "assay": arguments.assay.name, "compounds": len(table),
        "in the domain, of the best 100": int(np.asarray(best["in_domain"], bool).sum()),
        "processor seconds": time.process_time() - cpu,
    }  # fmt: skip
    print(json.dumps(row), flush=True)
    return [row]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["diverse", "qsar"])
    parser.add_argument("--calls", type=int, default=3_000)
    parser.add_argument("--model", default="moses")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, metavar="NAME")
    parser.add_argument("--assay", type=Path, default=ASSAY)
    parser.add_argument("--smiles", default="smiles")
    parser.add_argument("--value", default="expt")
    parser.add_argument("--goal", default="maximise")
    parser.add_argument("--json", type=Path, help="append the figures to this file")
    arguments = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    rows = {"diverse": diverse, "qsar": qsar}[arguments.what](arguments)
    key = "clusters" if arguments.what == "diverse" else "in the domain, of the best 100"
    least = min(row[key] for row in rows)
    print(f"least {key}: {least} (floor {FLOORS[arguments.what]})")
    if arguments.json:
        for row in rows:
            append(arguments.json, {"what": arguments.what, "calls": arguments.calls} | row)


if __name__ == "__main__":
    main()
