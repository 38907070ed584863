"""Cases of verbs at both ends: files read, scores, searches, series, audits, thinning, verify.

Values are RDKit's, NumPy's on the same molecules, or counted by hand.
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import QED, rdMolDescriptors
from rdkit.Chem.Scaffolds.MurckoScaffold import GetScaffoldForMol

import molgen
from molgen.provenance.kit import Case

BY_HAND = "counted by hand"
#: Twelve compounds of two sites whose values add up: 5, plus one number a group.
FIRST = {"F": 0.0, "Cl": 0.5, "OC": 1.0, "C": 0.25}
SECOND = {"C": 0.0, "O": 0.5, "N": 0.125}
SERIES = [f"c1cc({a})ccc1{b}" for a in FIRST for b in SECOND]
VALUES = [5 + one + other for one in FIRST.values() for other in SECOND.values()]
ALCOHOLS = ["C" * n + "O" for n in range(1, 61)]
AMINES = ["C" * n + "N" for n in range(1, 61)]
OTHERS = ["C" * n + "F" for n in range(1, 55)]  # molecules of neither set


@cache
def sampled() -> tuple[str, ...]:
    """The first 200 molecules of the sample of MOSES that ships."""
    return tuple(molgen.load_dataset("moses", split="sample")[:200])


def data_set() -> dict[str, float]:
    """How many molecules the shipped sample has, and the mean weight of the first 200."""
    whole = molgen.load_dataset("moses", split="sample")
    table = molgen.describe(list(sampled()), properties=["mw"])
    return {"molecules": len(whole), "mean weight of 200": float(table["mw"].mean())}


def data_set_by_rdkit() -> dict[str, float]:
    """The documented number, and RDKit's weights."""
    mols = [Chem.MolFromSmiles(s) for s in sampled()]
    weights = [rdMolDescriptors._CalcMolWt(mol) for mol in mols]
    return {"molecules": 5_000, "mean weight of 200": float(np.mean(weights))}


def read_files() -> dict[str, list[Any]]:
    """The same five molecules as SMILES file, CSV and SDF: canonical, and lines refused."""
    smiles = ["OCC", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "N[C@@H](C)C(=O)O", "ClCCl"]
    found: dict[str, list[Any]] = {}
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "a.smi").write_text("".join(f"{s} m{i}\n" for i, s in enumerate(smiles)))
        rows = "".join(f"m{i},{s},{i}\n" for i, s in enumerate(smiles))
        (place / "a.csv").write_text(f"id,smiles,value\n{rows}")
        with Chem.SDWriter(str(place / "a.sdf")) as writer:
            for text in smiles:
                writer.write(Chem.MolFromSmiles(text))
        for name in ("a.smi", "a.csv", "a.sdf"):
            read = molgen.read_molecules(place / name)
            found[name] = [*map(Chem.CanonSmiles, read.smiles), len(read.rejected)]
    return found


def read_files_by_rdkit() -> dict[str, list[Any]]:
    """RDKit's canonical SMILES of the five."""
    smiles = ["OCC", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "N[C@@H](C)C(=O)O", "ClCCl"]
    return {name: [*map(Chem.CanonSmiles, smiles), 0] for name in ("a.smi", "a.csv", "a.sdf")}


def scores() -> list[float]:
    """Scores of 200 molecules by one wish, as much drug-likeness as there is."""
    return [float(v) for v in molgen.score(list(sampled()), ["maximise qed"])["score"]]


def scores_by_rdkit() -> list[float]:
    """QED as RDKit computes it."""
    return [QED.qed(Chem.MolFromSmiles(s)) for s in sampled()]


def searched() -> dict[str, Any]:
    """The best of 12 given molecules by QED, when a search may look at these 12 and no more."""
    start = list(sampled()[:12])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = molgen.optimize(
            ["maximise qed"], model=None, n_calls=12, start=start, filters=None, seed=0
        )
    best = table.iloc[0]
    return {"calls": table.attrs["calls"], "best": float(best["score"])}


def searched_by_rdkit() -> dict[str, Any]:
    """The largest QED of the 12 by RDKit."""
    return {"calls": 12, "best": max(QED.qed(Chem.MolFromSmiles(s)) for s in sampled()[:12])}


def thinned() -> dict[str, int]:
    """How many of 200 molecules are left when a scaffold may occur once, or three times."""
    return {
        "once": len(molgen.thin(sampled(), by="scaffold", most=1)),
        "three times": len(molgen.thin(sampled(), by="scaffold", most=3)),
    }


def thinned_by_rdkit() -> dict[str, int]:
    """Counts of Bemis and Murcko's scaffolds by RDKit."""
    mols = [Chem.MolFromSmiles(s) for s in sampled()]
    kinds = [Chem.MolToSmiles(GetScaffoldForMol(m)) or Chem.MolToSmiles(m) for m in mols]
    sizes = [kinds.count(kind) for kind in dict.fromkeys(kinds)]
    return {"once": len(sizes), "three times": sum(min(n, 3) for n in sizes)}


def series() -> dict[str, float]:
    """Contributions of the groups of an additive series by Free and Wilson's model."""
    table = molgen.sar(SERIES, VALUES).tables["free_wilson"]
    return {
        str(row["group"]).split("[")[0] or "constant": float(row["share"])
        for row in table.to_dict("records")
        if row["site"] != "constant" and row["note"] != "reference"
    }


def series_by_hand() -> dict[str, float]:
    """The numbers that the values were made of, against the first group of each site."""
    return {
        "N": SECOND["N"] - SECOND["C"],
        "O": SECOND["O"] - SECOND["C"],
        **{group: FIRST[group] - FIRST["OC"] for group in ("C", "Cl", "F")},
    }


def copied() -> dict[str, float]:
    """Shares that an audit finds copied where a generator copies six of sixty molecules."""
    table = molgen.audit_samples([*ALCOHOLS[:6], *OTHERS], ALCOHOLS, AMINES).table
    found = {}
    for measure in ("exact copies", "share of the sample that is copies"):
        row = table[(table["measure"] == measure) & (table["subject"] == "all")].iloc[0]
        found[measure] = float(row["estimate"])
    return found


def verified() -> dict[str, float]:
    """Whether a saved table agrees with its record, as written and with one cell changed."""
    from molgen.provenance.verification import record, save_table

    with TemporaryDirectory() as folder:
        path = Path(folder) / "mine.csv"
        save_table(molgen.describe(["CCO", "CCN"], properties=["mw"]), path, record("mine", {}))
        good = molgen.verify(path).passed
        text = path.read_text("utf-8")
        path.write_text(text.replace("46.", "47.", 1), encoding="utf-8")
        changed = molgen.verify(path).passed
    return {"as written": float(good), "one digit changed": float(changed)}


def logps() -> list[float]:
    """A window of logP as a filter: which of 200 pass."""
    kept = molgen.FilterSet([molgen.Filter("window", {"property": "logp", "low": 1, "high": 3})])
    return [float(v) for v in molgen.filter_molecules(list(sampled()), kept)["passed"]]


def logps_by_rdkit() -> list[float]:
    """The same by RDKit's logP."""
    return [
        float(1 <= rdMolDescriptors.CalcCrippenDescriptors(Chem.MolFromSmiles(s))[0] <= 3)
        for s in sampled()
    ]


def cases() -> tuple[Case, ...]:
    """Every case of this module."""
    rdkit = "RDKit, computed now"
    return (
        Case("data set that ships", "files", data_set, data_set_by_rdkit, rdkit, 1e-9),
        Case("molecules from files", "files", read_files, read_files_by_rdkit, rdkit, 0,
             "five molecules as .smi, .csv and .sdf"),
        Case("drug-likeness as a wish", "scoring", scores, scores_by_rdkit, rdkit, 1e-12,
             "200 molecules of MOSES"),
        Case("window of logP as a filter", "filters", logps, logps_by_rdkit, rdkit, 0,
             "200 molecules of MOSES"),
        Case("search among twelve", "search", searched, searched_by_rdkit, rdkit, 1e-12,
             "12 calls for 12 given molecules"),
        Case("scaffolds thinned", "similarity", thinned, thinned_by_rdkit, rdkit, 0,
             "200 molecules of MOSES"),
        Case("additive series", "series", series, series_by_hand, BY_HAND, 1e-6,
             "twelve compounds, two sites"),
        Case("copies found by an audit", "audit", copied,
             {"exact copies": 0.1, "share of the sample that is copies": 0.1}, BY_HAND, 1e-12,
             "60 alcohols, 60 amines, 54 fluorides"),
        Case("a saved table verified", "verification", verified,
             {"as written": 1.0, "one digit changed": 0.0}, BY_HAND, 0),
    )  # fmt: skip
