"""The goal-directed tasks of GuacaMol v2 and PMO, written from their published definitions.

GuacaMol: Brown et al., J. Chem. Inf. Model. 59:1096 (2019), suite ``v2`` of guacamol 0.5.5.
PMO: Gao et al., NeurIPS 2022 (arXiv 2206.12411); its oracles are those of TDC 0.3.6 and later.
Where paper and code of a suite differ, the code is followed, as all published figures do.

Three of PMO's 23 oracles (drd2, gsk3b, jnk3) are trained classifiers that are downloaded; they are
left out here and every total says "of 20".

Fingerprints are unfolded counts (folding to 1,024 bits overestimates similarity). ``score_smiles``
returns -1 for an invalid molecule in GuacaMol's convention; PMO's convention (0) is
``max(score, 0)``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from rdkit import Chem, DataStructs
from rdkit.Chem import Descriptors, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.Crippen import MolLogP  # type: ignore[attr-defined]
from rdkit.Chem.Pharm2D import Generate, Gobbi_Pharm2D
from rdkit.Chem.QED import qed

Scorer = Callable[[Chem.Mol], float]
Modifier = Callable[[float], float]


# ---- modifiers -----------------------------------------------------------------------------------
def clip(upper: float) -> Modifier:
    """0 at 0, linear to 1 at ``upper``, 1 above."""
    return lambda x: min(max(x / upper, 0.0), 1.0)


def gaussian(mean: float, sigma: float) -> Modifier:
    """exp(-0.5 ((x - mean) / sigma)²)."""
    return lambda x: math.exp(-0.5 * ((x - mean) / sigma) ** 2)


def down(mean: float, sigma: float) -> Modifier:
    """1 up to ``mean``, Gaussian above (MinGaussianModifier)."""
    bell = gaussian(mean, sigma)
    return lambda x: 1.0 if x <= mean else bell(x)


def up(mean: float, sigma: float) -> Modifier:
    """1 from ``mean`` on, Gaussian below (MaxGaussianModifier)."""
    bell = gaussian(mean, sigma)
    return lambda x: 1.0 if x >= mean else bell(x)


def identity(x: float) -> float:
    """The raw value."""
    return x


# ---- raw values ----------------------------------------------------------------------------------
_ECFP4 = rdFingerprintGenerator.GetMorganGenerator(radius=2)
_ECFP6 = rdFingerprintGenerator.GetMorganGenerator(radius=3)
_FCFP4 = rdFingerprintGenerator.GetMorganGenerator(
    radius=2, atomInvariantsGenerator=rdFingerprintGenerator.GetMorganFeatureAtomInvGen()
)
_ATOM_PAIRS = rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=10)

_FINGERPRINTS: dict[str, Callable[[Chem.Mol], Any]] = {
    "ECFP4": _ECFP4.GetSparseCountFingerprint,
    "ECFP6": _ECFP6.GetSparseCountFingerprint,
    "FCFP4": _FCFP4.GetSparseCountFingerprint,
    "AP": _ATOM_PAIRS.GetSparseCountFingerprint,
    "PHCO": lambda mol: Generate.Gen2DFingerprint(mol, Gobbi_Pharm2D.factory),
}


def similarity(target: str, fingerprint: str, modifier: Modifier = identity) -> Scorer:
    """Tanimoto similarity to ``target`` on unfolded counts, through ``modifier``."""
    compute = _FINGERPRINTS[fingerprint]
    reference = compute(Chem.MolFromSmiles(target))
    return lambda mol: modifier(DataStructs.TanimotoSimilarity(reference, compute(mol)))


def descriptor(name: str, modifier: Modifier) -> Scorer:
    """One of logP, tpsa, bertz, rings, aromatic_rings, fluorines, through ``modifier``."""
    compute = _DESCRIPTORS[name]
    return lambda mol: modifier(compute(mol))


_DESCRIPTORS: dict[str, Callable[[Chem.Mol], float]] = {
    "logP": MolLogP,
    "tpsa": rdMolDescriptors.CalcTPSA,
    "bertz": Descriptors.BertzCT,
    "rings": rdMolDescriptors.CalcNumRings,
    "aromatic_rings": rdMolDescriptors.CalcNumAromaticRings,
    "fluorines": lambda mol: sum(atom.GetAtomicNum() == 9 for atom in mol.GetAtoms()),
}


def smarts(pattern: str, present: bool = True) -> Scorer:
    """1.0 if ``pattern`` is present (or absent, with ``present=False``), otherwise 0.0."""
    query = Chem.MolFromSmarts(pattern)
    return lambda mol: float(mol.HasSubstructMatch(query) == present)


def formula_counts(formula: str) -> dict[str, int]:
    """``"C9H10N2O2PF2Cl"`` -> {"C": 9, "H": 10, ...}."""
    return {
        element: int(number or 1) for element, number in re.findall(r"([A-Z][a-z]?)(\d*)", formula)
    }


def isomer(formula: str) -> Scorer:
    """Geometric mean over G(count, 1) of each element and G(total atoms, 2), hydrogens included."""
    wanted = formula_counts(formula)
    total = sum(wanted.values())

    def score(mol: Chem.Mol) -> float:
        counts: dict[str, int] = {}
        hydrogens = 0
        for atom in mol.GetAtoms():
            symbol = atom.GetSymbol()
            counts[symbol] = counts.get(symbol, 0) + 1
            hydrogens += atom.GetTotalNumHs()
        counts["H"] = counts.get("H", 0) + hydrogens
        # The mean of squared deviations in the exponent is the geometric mean of the bells.
        exponent = float(
            sum((counts.get(element, 0) - number) ** 2 for element, number in wanted.items())
        )
        exponent += ((sum(counts.values()) - total) / 2.0) ** 2
        return math.exp(-0.5 * exponent / (len(wanted) + 1))

    return score


# ---- aggregation ---------------------------------------------------------------------------------
def geometric_mean(*parts: Scorer) -> Scorer:
    """The geometric mean of the parts; 0 as soon as one part is 0."""

    def score(mol: Chem.Mol) -> float:
        product = 1.0
        for part in parts:
            product *= part(mol)
            if product == 0.0:
                return 0.0
        return product ** (1.0 / len(parts))

    return score


def arithmetic_mean(*parts: Scorer) -> Scorer:
    """The arithmetic mean of the parts."""
    return lambda mol: sum(part(mol) for part in parts) / len(parts)


# ---- targets -------------------------------------------------------------------------------------
CELECOXIB = "CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)F"
TROGLITAZONE = "Cc1c(C)c2OC(C)(COc3ccc(CC4SC(=O)NC4=O)cc3)CCc2c(C)c1O"
THIOTHIXENE = "CN(C)S(=O)(=O)c1ccc2Sc3ccccc3C(=CCCN4CCN(C)CC4)c2c1"
ARIPIPRAZOLE = "Clc4cccc(N3CCN(CCCCOc2ccc1c(NC(=O)CC1)c2)CC3)c4Cl"
ALBUTEROL = "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1"
MESTRANOL = "COc1ccc2[C@H]3CC[C@@]4(C)[C@@H](CC[C@@]4(O)C#C)[C@@H]3CCc2c1"
CAMPHOR = "CC1(C)C2CCC1(C)C(=O)C2"
MENTHOL = "CC(C)C1CCC(C)CC1O"
TADALAFIL = "O=C1N(CC(N2C1CC3=C(C2C4=CC5=C(OCO5)C=C4)NC6=C3C=CC=C6)=O)C"
SILDENAFIL = "CCCC1=NN(C2=C1N=C(NC2=O)C3=C(C=CC(=C3)S(=O)(=O)N4CCN(CC4)C)OCC)C"
OSIMERTINIB = "COc1cc(N(C)CCN(C)C)c(NC(=O)C=C)cc1Nc2nccc(n2)c3cn(C)c4ccccc34"
FEXOFENADINE = "CC(C)(C(=O)O)c1ccc(cc1)C(O)CCCN2CCC(CC2)C(O)(c3ccccc3)c4ccccc4"
RANOLAZINE = "COc1ccccc1OCC(O)CN2CCN(CC(=O)Nc3c(C)cccc3C)CC2"
PERINDOPRIL = "O=C(OCC)C(NC(C(=O)N1C(C(=O)O)CC2CCCCC12)C)CCC"
AMLODIPINE = r"Clc1ccccc1C2C(=C(/N/C(=C2/C(=O)OCC)COCCN)C)\C(=O)OC"
SITAGLIPTIN = "Fc1cc(c(F)cc1F)CC(N)CC(=O)N3Cc2nnc(n2CC3)C(F)(F)F"
SITAGLIPTIN_VALSARTAN_TASK = "NC(CC(=O)N1CCn2c(nnc2C(F)(F)F)C1)Cc1cc(F)c(F)cc1F"
ZALEPLON = "O=C(C)N(CC)C1=CC=CC(C2=CC=NC3=C(C=NN23)C#N)=C1"
HOP_TARGET = "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C"
HOP_SCAFFOLD = "[#7]-c1n[c;h1]nc2[c;h1]c(-[#8])[c;h0][c;h1]c12"


def _value(name: str, smiles: str) -> float:
    return _DESCRIPTORS[name](Chem.MolFromSmiles(smiles))


_BUILDERS: dict[str, Callable[[], Scorer]] = {
    "celecoxib_rediscovery": lambda: similarity(CELECOXIB, "ECFP4", clip(1.0)),
    "troglitazone_rediscovery": lambda: similarity(TROGLITAZONE, "ECFP4", clip(1.0)),
    "thiothixene_rediscovery": lambda: similarity(THIOTHIXENE, "ECFP4", clip(1.0)),
    "aripiprazole_similarity": lambda: similarity(ARIPIPRAZOLE, "ECFP4", clip(0.75)),
    "albuterol_similarity": lambda: similarity(ALBUTEROL, "FCFP4", clip(0.75)),
    "mestranol_similarity": lambda: similarity(MESTRANOL, "AP", clip(0.75)),
    "isomers_c11h24": lambda: isomer("C11H24"),
    "isomers_c9h10n2o2pf2cl": lambda: isomer("C9H10N2O2PF2Cl"),
    "isomers_c7h8n2o2": lambda: isomer("C7H8N2O2"),
    "median1": lambda: geometric_mean(similarity(CAMPHOR, "ECFP4"), similarity(MENTHOL, "ECFP4")),
    "median2": lambda: geometric_mean(
        similarity(TADALAFIL, "ECFP6"), similarity(SILDENAFIL, "ECFP6")
    ),
    "osimertinib_mpo": lambda: geometric_mean(
        similarity(OSIMERTINIB, "FCFP4", clip(0.8)),
        similarity(OSIMERTINIB, "ECFP6", down(0.85, 0.1)),
        descriptor("tpsa", up(100, 10)),
        descriptor("logP", down(1, 1)),
    ),
    "fexofenadine_mpo": lambda: geometric_mean(
        similarity(FEXOFENADINE, "AP", clip(0.8)),
        descriptor("tpsa", up(90, 10)),
        descriptor("logP", down(4, 1)),
    ),
    "ranolazine_mpo": lambda: geometric_mean(
        similarity(RANOLAZINE, "AP", clip(0.7)),
        descriptor("logP", up(7, 1)),
        descriptor("fluorines", gaussian(1, 1)),
        descriptor("tpsa", up(95, 20)),
    ),
    "perindopril_mpo": lambda: geometric_mean(
        similarity(PERINDOPRIL, "ECFP4"), descriptor("aromatic_rings", gaussian(2, 0.5))
    ),
    "amlodipine_mpo": lambda: geometric_mean(
        similarity(AMLODIPINE, "ECFP4"), descriptor("rings", gaussian(3, 0.5))
    ),
    "sitagliptin_mpo": lambda: geometric_mean(
        similarity(SITAGLIPTIN, "ECFP4", gaussian(0, 0.1)),
        descriptor("logP", gaussian(_value("logP", SITAGLIPTIN), 0.2)),
        descriptor("tpsa", gaussian(_value("tpsa", SITAGLIPTIN), 5)),
        isomer("C16H15F6N5O"),
    ),
    "zaleplon_mpo": lambda: geometric_mean(similarity(ZALEPLON, "ECFP4"), isomer("C19H17N3O2")),
    "valsartan_smarts": lambda: geometric_mean(
        smarts("CN(C=O)Cc1ccc(c2ccccc2)cc1"),
        descriptor("logP", gaussian(_value("logP", SITAGLIPTIN_VALSARTAN_TASK), 0.2)),
        descriptor("tpsa", gaussian(_value("tpsa", SITAGLIPTIN_VALSARTAN_TASK), 5)),
        descriptor("bertz", gaussian(_value("bertz", SITAGLIPTIN_VALSARTAN_TASK), 30)),
    ),
    "deco_hop": lambda: arithmetic_mean(
        similarity(HOP_TARGET, "PHCO", clip(0.85)),
        smarts("CS([#6])(=O)=O", present=False),
        smarts("[#7]-c1ccc2ncsc2c1", present=False),
        smarts(HOP_SCAFFOLD),
    ),
    "scaffold_hop": lambda: arithmetic_mean(
        similarity(HOP_TARGET, "PHCO", clip(0.75)),
        smarts(
            "[#6]-[#6]-[#6]-[#8]-[#6]~[#6]~[#6]~[#6]~[#6]-[#7]-c1ccc2ncsc2c1",
        ),
        smarts(HOP_SCAFFOLD, present=False),
    ),
    "qed": lambda: qed,
}


@dataclass(frozen=True)
class Task:
    """One goal-directed task.

    Attributes:
        name: The task's name in PMO's spelling.
        top_counts: The k of the top-k means whose average is the task's GuacaMol score.
    """

    name: str
    top_counts: tuple[int, ...] = (1, 10, 100)

    def __post_init__(self) -> None:
        if self.name not in _BUILDERS:
            raise ValueError(
                f"unknown task {self.name!r}; the tasks are: {', '.join(sorted(_BUILDERS))}"
            )

    def score_mol(self, mol: Chem.Mol) -> float:
        """The score, in [0, 1], of a sanitised molecule."""
        return float(_scorer(self.name)(mol))

    def score_smiles(self, smiles: str) -> float:
        """The score, in [0, 1]; -1 for an invalid SMILES, as GuacaMol has it."""
        mol = Chem.MolFromSmiles(smiles) if smiles else None
        if mol is None:
            return -1.0
        return self.score_mol(mol)


@cache
def _scorer(name: str) -> Scorer:
    return _BUILDERS[name]()


_TOP_COUNTS = {
    "celecoxib_rediscovery": (1,),
    "troglitazone_rediscovery": (1,),
    "thiothixene_rediscovery": (1,),
    "isomers_c11h24": (159,),
    "isomers_c9h10n2o2pf2cl": (250,),
}

GUACAMOL: tuple[Task, ...] = tuple(
    Task(name, _TOP_COUNTS.get(name, (1, 10, 100)))
    for name in (
        "celecoxib_rediscovery",
        "troglitazone_rediscovery",
        "thiothixene_rediscovery",
        "aripiprazole_similarity",
        "albuterol_similarity",
        "mestranol_similarity",
        "isomers_c11h24",
        "isomers_c9h10n2o2pf2cl",
        "median1",
        "median2",
        "osimertinib_mpo",
        "fexofenadine_mpo",
        "ranolazine_mpo",
        "perindopril_mpo",
        "amlodipine_mpo",
        "sitagliptin_mpo",
        "zaleplon_mpo",
        "valsartan_smarts",
        "deco_hop",
        "scaffold_hop",
    )
)
"""The 20 goal-directed tasks of GuacaMol's suite v2."""

PMO: tuple[Task, ...] = tuple(
    Task(name)
    for name in (
        "albuterol_similarity",
        "amlodipine_mpo",
        "celecoxib_rediscovery",
        "deco_hop",
        "fexofenadine_mpo",
        "isomers_c7h8n2o2",
        "isomers_c9h10n2o2pf2cl",
        "median1",
        "median2",
        "mestranol_similarity",
        "osimertinib_mpo",
        "perindopril_mpo",
        "qed",
        "ranolazine_mpo",
        "scaffold_hop",
        "sitagliptin_mpo",
        "thiothixene_rediscovery",
        "troglitazone_rediscovery",
        "valsartan_smarts",
        "zaleplon_mpo",
    )
)
"""PMO's 20 oracles that need only RDKit (drd2, gsk3b and jnk3 need downloaded classifiers)."""


def guacamol_task_score(task: Task, molecules: Sequence[str], scores: Sequence[float]) -> float:
    """A task's GuacaMol score of a proposed set: canonical without stereo, unique, zero-padded.

    Args:
        task: The task.
        molecules: Proposed SMILES.
        scores: Their scores, same length. Molecules that become equal without stereo keep the
            best of their scores.

    Returns:
        The mean over ``task.top_counts`` of the mean of the k best scores, in [0, 1].
    """
    best: dict[str, float] = {}
    for smiles, value in zip(molecules, scores, strict=True):
        mol = Chem.MolFromSmiles(smiles)
        if mol is None:
            continue
        key = Chem.MolToSmiles(mol, isomericSmiles=False)
        best[key] = max(best.get(key, 0.0), value)
    ranked = sorted(best.values(), reverse=True)
    means = [sum(ranked[:count]) / count for count in task.top_counts]
    return sum(means) / len(means)
