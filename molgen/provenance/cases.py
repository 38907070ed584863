"""Cases of the kit: descriptors, parents, filters, motifs, similarity and metrics, with sources."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem, DataStructs, RDConfig
from rdkit.Chem import rdFingerprintGenerator
from rdkit.SimDivFilters import rdSimDivPickers

from molgen.base.random_streams import seeded
from molgen.chem.description import describe
from molgen.chem.diversity import choose_maxmin
from molgen.chem.fingerprints import fingerprints, tanimoto
from molgen.chem.parsing import canonical
from molgen.chem.properties import DESCRIPTORS
from molgen.chem.similarity import nearest, pack, similarity_moments
from molgen.chem.standardization import standardize
from molgen.evaluation.metrics import evaluate, fraction_unique, novelty
from molgen.filters.alerts import alert_catalog
from molgen.filters.filter_sets import filter_molecules
from molgen.filters.rules import find_rule
from molgen.motifs.assembly import assemble
from molgen.motifs.trees import decompose
from molgen.provenance.kit import Case
from molgen.scoring.desirability import reverse_sigmoid, sigmoid

VALUES = Path(__file__).parent / "values"
DRUGS = json.loads((VALUES / "drugs.json").read_text("utf-8"))
MOSES = json.loads((VALUES / "moses_metrics.json").read_text("utf-8"))
SALTS = list(
    csv.DictReader((VALUES / "approved_salts.tsv").read_text("utf-8").splitlines(), delimiter="\t")
)
#: Digest of the first numbers of a stream.
RECORDED = "0c7e43f819dab967"
SA_SCORES = Path(RDConfig.RDContribDir) / "SA_Score" / "data" / "zim.100.txt"
#: Standard atomic weights, abridged (CIAAW 2021).
WEIGHTS = {
    "H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998, "Cl": 35.45, "Br": 79.904,
    "I": 126.90,
}  # fmt: skip
# rule, descriptors of a molecule (others 0), whether it passes by the paper
RULE_CASES: tuple[tuple[str, dict[str, float], bool], ...] = (
    ("lipinski", {"mw": 501}, True),  # one violation is allowed, as in the paper
    ("lipinski", {"mw": 501, "logp": 5.1}, False),
    ("lipinski_strict", {"mw": 500, "logp": 5, "lipinski_hbd": 5, "lipinski_hba": 10}, True),
    ("lipinski_strict", {"mw": 500.1}, False),
    ("veber", {"rotatable_bonds": 10, "tpsa": 140}, True),
    ("veber", {"rotatable_bonds": 11}, False),
    ("veber", {"tpsa": 141, "hbd": 2, "hba": 3}, False),
    ("ghose", {"mw": 160, "logp": -0.4, "mr": 40, "atoms": 20}, True),
    ("ghose", {"mw": 480, "logp": 5.6, "mr": 130, "atoms": 70}, True),
    ("ghose", {"mw": 300, "mr": 90, "atoms": 19, "heavy_atoms": 25}, False),
    ("egan", {"tpsa": 131.6, "logp": 5.88}, True),
    ("egan", {"tpsa": 131.8, "logp": 2}, False),
    ("muegge", {"mw": 200, "carbons": 5, "heteroatoms": 2}, True),
    ("muegge", {"mw": 200, "carbons": 4, "heteroatoms": 2}, False),
    ("rule_of_three", {"mw": 300, "logp": 3, "hbd": 3, "hba": 3, "tpsa": 90}, True),
    ("lead_like", {"mw": 350, "logp": 3}, True),
    ("lead_like", {"mw": 350, "logp": 3.4}, False),
    ("pfizer_3_75", {"logp": 3.5, "tpsa": 80}, True),
    ("pfizer_3_75", {"logp": 3.5, "tpsa": 60}, False),
    ("gsk_4_400", {"mw": 401}, False),
)
#: Patterns in the published sets of alerts.
ALERT_SIZES = {
    "pains_a": 16, "pains_b": 55, "pains_c": 409, "pains": 480, "brenk": 105, "nih": 180,
    "chembl_glaxo": 55, "chembl_dundee": 105, "chembl_bms": 180, "chembl_surechembl": 166,
    "chembl_mlsmr": 116, "chembl_inpharmatica": 91, "chembl_lint": 57, "moses_mcf": 22,
    "moses_pains": 480,
}  # fmt: skip


def formula_counts(formula: str) -> dict[str, int]:
    """Atoms of each element in a formula such as ``C9H8O4``."""
    return {e: int(n or 1) for e, n in re.findall(r"([A-Z][a-z]?)(\d*)", formula)}


def descriptors(*columns: str) -> dict[str, dict[str, float]]:
    """Descriptors of the drugs by molgen, by name of drug and descriptor."""
    table = describe([drug["smiles"] for drug in DRUGS], properties=list(columns))
    return {
        drug["name"]: {name: float(row[name]) for name in columns}
        for drug, (_, row) in zip(DRUGS, table.iterrows())
    }


def descriptors_by_hand(*columns: str) -> dict[str, dict[str, float]]:
    """The same descriptors from sum formulas, atomic weights and counted structures."""
    found: dict[str, dict[str, float]] = {}
    for drug in DRUGS:
        counts = formula_counts(drug["formula"])
        every = {
            "mw": sum(WEIGHTS[element] * n for element, n in counts.items()),
            "heavy_atoms": sum(n for element, n in counts.items() if element != "H"),
            "atoms": sum(counts.values()),
            "lipinski_hba": counts.get("N", 0) + counts.get("O", 0),
            "lipinski_hbd": drug["nh_oh"],
            "rings": drug["rings"],
            "aromatic_rings": drug["aromatic_rings"],
            "tpsa": sum(drug["tpsa"]),
        }
        found[drug["name"]] = {name: every[name] for name in columns}
    return found


@cache
def _sa_table() -> tuple[tuple[str, float], ...]:
    rows = [line.split("\t") for line in SA_SCORES.read_text("utf-8").splitlines()[1:]]
    return tuple((row[0], float(row[-1])) for row in rows if len(row) > 1)


def sa_scores() -> list[float]:
    """Synthetic accessibility by molgen of the molecules of RDKit's reference table."""
    return describe([smiles for smiles, _ in _sa_table()], properties=["sa_score"])[
        "sa_score"
    ].tolist()


def parents() -> dict[str, str | None]:
    """What molgen keeps of each salt, as canonical SMILES; None where it keeps nothing."""
    found: dict[str, str | None] = {}
    for row in SALTS:
        text = f"{row['smiles']}.{row['counter']}" if row["smiles"] else row["counter"]
        kept = standardize(text).smiles
        found[row["salt"]] = canonical(kept[0]) if kept else None
    return found


def parents_by_label() -> dict[str, str | None]:
    """The parent of each salt as its label names it."""
    return {
        row["salt"]: Chem.CanonSmiles(row["smiles"]) if row["smiles"] else None for row in SALTS
    }


def rules() -> list[bool]:
    """Whether each case at the limit of a published rule passes it in molgen."""
    none = dict.fromkeys(DESCRIPTORS, 0.0)
    return [not find_rule(name).violations({**none, **values}) for name, values, _ in RULE_CASES]


def literature_filters() -> dict[str, Any]:
    """Whether aspirin (it should) and a rhodanine (it should not) pass PAINS."""
    table = filter_molecules(["CC(=O)Oc1ccccc1C(=O)O", "O=C1C(=Cc2ccccc2)SC(=S)N1"], "pains")
    return {"aspirin": bool(table["passed"][0]), "rhodanine": bool(table["passed"][1])}


def alert_sizes() -> dict[str, int]:
    """Number of patterns in molgen's sets of alerts."""
    return {name: len(alert_catalog(name)) for name in ALERT_SIZES}


def round_trips() -> dict[str, str]:
    """Each drug taken apart into motifs and put together again, as canonical SMILES."""
    return {
        drug["name"]: Chem.MolToSmiles(assemble(decompose(Chem.MolFromSmiles(drug["smiles"]))))
        for drug in DRUGS
    }


def canonical_drugs() -> dict[str, str]:
    """Each drug as RDKit's canonical SMILES."""
    return {drug["name"]: Chem.CanonSmiles(drug["smiles"]) for drug in DRUGS}


@cache
def _bits() -> np.ndarray:
    return fingerprints([drug["smiles"] for drug in DRUGS])


@cache
def _prints() -> tuple[Any, ...]:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    return tuple(generator.GetFingerprint(Chem.MolFromSmiles(drug["smiles"])) for drug in DRUGS)


def similarities() -> dict[str, Any]:
    """Similarities, nearest neighbour and a diverse choice by molgen's kernels."""
    bits = _bits()
    others = np.delete(np.arange(len(bits)), 0)
    similar, _ = nearest(pack(bits[:1]), pack(bits[others]))
    first, _ = similarity_moments(pack(bits), pack(bits))
    _, steps = choose_maxmin(pack(bits), np.arange(len(bits)), 8)
    return {
        "aspirin and each": tanimoto(bits[:1], bits)[0],
        "nearest of aspirin": similar[0],
        "mean": first.mean(),
        "MaxMin, distances": steps[1:],
    }


def similarities_by_rdkit() -> dict[str, Any]:
    """The same by RDKit's similarities and MaxMin picker."""
    prints = list(_prints())
    row = DataStructs.BulkTanimotoSimilarity(prints[0], prints)
    every = [DataStructs.BulkTanimotoSimilarity(p, prints) for p in prints]
    picked = list(rdSimDivPickers.MaxMinPicker().LazyBitVectorPick(prints, len(prints), 8, [0]))
    steps = [
        max(DataStructs.BulkTanimotoSimilarity(prints[p], [prints[q] for q in picked[:i]]))
        for i, p in enumerate(picked)
        if i
    ]
    return {
        "aspirin and each": row,
        "nearest of aspirin": max(row[1:]),
        "mean": float(np.mean(every)),
        "MaxMin, distances": steps,
    }


def moses_metrics() -> dict[str, float]:
    """MOSES's metrics by molgen, of a sample with repetitions and broken SMILES."""
    moses = MOSES["molecules"]
    generated = [*moses[:100], *moses[:5], "C1CC", "CC(C)(C)(C)C", *MOSES["drugs"]]
    ours = evaluate(generated, moses[200:350], train=moses[50:200])
    scaffolds = evaluate(generated, moses[400:500], metrics=["FCD", "SNN", "Frag", "Scaf"])
    return ours | {k.replace("/Test", "/TestSF"): v for k, v in scaffolds.items()}


def counted_metrics() -> dict[str, float]:
    """Uniqueness and novelty of molecules so few that they can be counted."""
    return {
        "unique@4": fraction_unique(["C", "C", "CC", "CCC", "CCCC"], 4),
        "novelty": novelty(["C", "CC", "CCC", "CCCC"], ["CC"]),
    }


def desirabilities() -> dict[str, Any]:
    """REINVENT's sigmoids by molgen."""
    x = np.array([0.0, 2.0, 3.0, 10.0])
    return {"sigmoid": sigmoid(x, 1.0, 4.0, 0.4), "reverse": reverse_sigmoid(x, 1.0, 4.0, 0.4)}


def desirabilities_by_hand() -> dict[str, Any]:
    """The same from the formula."""
    h = 10 * 0.4 * (np.array([0.0, 2.0, 3.0, 10.0]) - 2.5) / 3
    rising = 1 / (1 + 10.0**-h)
    return {"sigmoid": rising, "reverse": 1 - rising}


def streams() -> str:
    """Digest of the first 5,000 numbers of molgen's random stream 3, 1 of seed 2026."""
    return hashlib.sha256(seeded(2026, 3, 1).random(5_000).tobytes()).hexdigest()[:16]


def philox() -> list[str]:
    """The first words of Philox4x64-10 at counter 0 with key 0, by NumPy."""
    generator = np.random.Philox(key=0)
    state = generator.state
    state["state"]["counter"][:] = np.uint64(2**64 - 1)  # it counts up before it draws
    generator.state = state
    return [f"{int(word):016x}" for word in generator.random_raw(4)]


def cases() -> tuple[Case, ...]:
    """Every case of the kit."""
    weights = {
        drug["name"]: {"mw": 5e-4 * sum(formula_counts(drug["formula"]).values()) + 0.005}
        for drug in DRUGS
    }
    counts = ("heavy_atoms", "atoms", "lipinski_hba", "lipinski_hbd", "rings", "aromatic_rings")
    some = f"{len(DRUGS)} drugs and small molecules"
    found = [
        Case("molecular weight", "descriptors", partial(descriptors, "mw"),
             partial(descriptors_by_hand, "mw"),
             "sum formulas with the atomic weights of CIAAW (2021)", weights, some),
        Case("counts", "descriptors", partial(descriptors, *counts),
             partial(descriptors_by_hand, *counts),
             "sum formulas and structures, counted by hand; N and O, NH and OH as in Lipinski "
             "(1997)", 0, some),
        Case("polar surface", "descriptors", partial(descriptors, "tpsa"),
             partial(descriptors_by_hand, "tpsa"),
             "contributions of Ertl (2000), summed by hand", 1e-6, some),
        Case("parents of approved salts", "parents", parents, parents_by_label,
             "labels of approved drugs: parent and counter-ion", 0,
             "a salt written as acid and base; a drug that is a metal has no parent here"),
        Case("rules at their limits", "filters", rules, [c for _, _, c in RULE_CASES],
             "Lipinski (1997), Veber (2002), Ghose (1999), Egan (2000), Muegge (2001), Congreve "
             "(2003), Teague (1999), Hughes (2008), Gleeson (2008)"),
        Case("known molecules", "filters", literature_filters,
             {"aspirin": True, "rhodanine": False}, "Baell and Holloway (2010), PAINS"),
        Case("patterns in the sets of alerts", "filters", alert_sizes, ALERT_SIZES,
             "Baell and Holloway (2010); Brenk (2008); Jadhav (2010); ChEMBL; MOSES"),
        Case("drugs cut into motifs and joined", "motifs", round_trips, canonical_drugs,
             "RDKit, computed now: canonical SMILES"),
        Case("similarity and diversity", "similarity", similarities, similarities_by_rdkit,
             "RDKit, computed now: BulkTanimotoSimilarity, MaxMinPicker", 1e-6,
             "Morgan fingerprints of radius 2, 1,024 bits"),
        Case("metrics of MOSES", "metrics", moses_metrics, MOSES["values"], MOSES["source"],
             {name: max(2e-4 * abs(value), 1e-9) if name.startswith("FCD")
              else 1e-6 * max(abs(value), 1e-3) for name, value in MOSES["values"].items()},
             MOSES["generated"]),
        Case("metrics by hand", "metrics", counted_metrics, {"unique@4": 0.75, "novelty": 0.75},
             "counted by hand", 1e-12),
        Case("desirability", "scoring", desirabilities, desirabilities_by_hand,
             "formulas of REINVENT 4, evaluated with NumPy", 1e-12),
        Case("Philox of NumPy", "random streams", philox,
             ["16554d9eca36314c", "db20fe9d672d0fdc", "d7e772cee186176b", "7e68b68aec7ba23b"],
             "Random123, kat_vectors (Salmon and others 2011), philox4x64 with 10 rounds"),
        Case("identity of random streams", "random streams", streams, RECORDED,
             "this package, 0.1.0, recorded on an Intel Xeon with AVX-512", independent=False),
    ]  # fmt: skip
    if SA_SCORES.exists():
        expected = [score for _, score in _sa_table()]
        found.append(
            Case("synthetic accessibility", "descriptors", sa_scores, partial(list, expected),
                 "Ertl and Schuffenhauer (2009), by RDKit's SA_Score/data/zim.100.txt", 6e-4,
                 "100 molecules of ZINC")
        )  # fmt: skip
    return tuple(found)
