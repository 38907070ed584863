"""Properties that are read off a structure: similarity, substructures, shape, rings, alerts.

Each function takes the parameters of its kind (``molgen.scoring.kinds``), checks their values and
returns an evaluator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molgen.base.arguments import nearest_name
from molgen.chem.parsing import parse, quiet_rdkit
from molgen.chem.ring_systems import ring_systems
from molgen.filters.filter_sets import as_filter_set, filter_molecules
from molgen.filters.ring_frequency import moses_ring_counts
from molgen.scoring.guarded_calls import Answer
from molgen.scoring.scales import Evaluator, per_molecule

N_MOSES = 1_584_663
"""Molecules of the MOSES training set, in which ring systems were counted."""


# ---- similarity ----------------------------------------------------------------------------------
def _morgan(radius: int, features: bool = False) -> Callable[[Chem.Mol], Any]:
    invariants = rdFingerprintGenerator.GetMorganFeatureAtomInvGen() if features else None
    generator = rdFingerprintGenerator.GetMorganGenerator(
        radius=radius, atomInvariantsGenerator=invariants
    )
    return generator.GetSparseCountFingerprint


FINGERPRINTS: dict[str, Callable[[], Callable[[Chem.Mol], Any]]] = {
    "ECFP4": lambda: _morgan(2),
    "ECFP6": lambda: _morgan(3),
    "FCFP4": lambda: _morgan(2, features=True),
    "FCFP6": lambda: _morgan(3, features=True),
    "atom_pair": lambda: (
        rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=10).GetSparseCountFingerprint
    ),
    "torsion": lambda: (
        rdFingerprintGenerator.GetTopologicalTorsionGenerator().GetSparseCountFingerprint
    ),
}
"""Unfolded count fingerprints for ``similarity``, as GuacaMol has them."""


def _references(parameters: Mapping[str, Any], kind: str) -> list[Chem.Mol]:
    given = parameters["smiles"]
    texts = [given] if isinstance(given, str) else list(given)
    if not texts:
        raise ValueError(f"{kind}: smiles is empty: name at least one reference molecule")
    return [parse(text) for text in texts]


def similarity(parameters: Mapping[str, Any]) -> Evaluator:
    """The highest Tanimoto similarity to the reference molecules."""
    name = parameters.get("fingerprint", "ECFP4")
    if name not in FINGERPRINTS:
        raise ValueError(
            f"unknown fingerprint {name!r}.{nearest_name(name, tuple(FINGERPRINTS))} "
            f"The fingerprints are: {', '.join(FINGERPRINTS)}"
        )
    compute = FINGERPRINTS[name]()
    references = [compute(mol) for mol in _references(parameters, "similarity")]
    return per_molecule(
        lambda mol: max(DataStructs.BulkTanimotoSimilarity(compute(mol), references))
    )


def _query(parameters: Mapping[str, Any]) -> Chem.Mol:
    pattern = parameters["smarts"]
    with quiet_rdkit():
        query = Chem.MolFromSmarts(pattern) if isinstance(pattern, str) and pattern else None
    if query is None:
        raise ValueError(f"smarts {pattern!r} is not a SMARTS pattern")
    return query


def substructure(parameters: Mapping[str, Any]) -> Evaluator:
    """1 where the SMARTS is present, otherwise 0."""
    query = _query(parameters)
    return per_molecule(lambda mol: float(mol.HasSubstructMatch(query)))


def substructure_count(parameters: Mapping[str, Any]) -> Evaluator:
    """How often the SMARTS is found."""
    query = _query(parameters)
    return per_molecule(lambda mol: float(len(mol.GetSubstructMatches(query))))


def passes(parameters: Mapping[str, Any]) -> Evaluator:
    """1 where a molecule passes the filters, otherwise 0; the note gives the reasons."""
    checked = as_filter_set(parameters["filters"])

    def evaluate(smiles: list[str]) -> list[Answer]:
        table = filter_molecules(smiles, checked)
        return [
            Answer(float(good), note=None if good else str(reasons))
            for good, reasons in zip(table["passed"], table["reasons"])
        ]

    return evaluate


def shape(parameters: Mapping[str, Any]) -> Evaluator:
    """Best shape-and-colour Tanimoto over conformers, by RDKit's Gaussian shape overlay."""
    from rdkit.Chem import rdShapeAlign

    count = int(parameters.get("conformers", 5))
    seed = int(parameters.get("seed", 0))
    (reference,) = _references({"smiles": [parameters["smiles"]]}, "shape")
    fixed = _embedded(reference, 1, seed)

    def score(mol: Chem.Mol) -> float:
        moving = _embedded(mol, count, seed)
        return max(
            sum(rdShapeAlign.AlignMol(fixed, moving, probeConfId=conformer.GetId())) / 2.0
            for conformer in moving.GetConformers()
        )

    return per_molecule(score)


def _embedded(mol: Chem.Mol, count: int, seed: int) -> Chem.Mol:
    from rdkit.Chem import rdDistGeom

    with_hydrogens = Chem.AddHs(mol)
    settings = rdDistGeom.ETKDGv3()
    settings.randomSeed = seed + 1  # type: ignore[assignment]
    settings.maxIterations = 50  # type: ignore[assignment]
    if not len(rdDistGeom.EmbedMultipleConfs(with_hydrogens, count, settings)):
        raise ValueError("no three-dimensional structure could be built")
    return Chem.RemoveHs(with_hydrogens)


# ---- rings and alerts ----------------------------------------------------------------------------
def ring_rarity(parameters: Mapping[str, Any]) -> Evaluator:
    """-log10 of the frequency in MOSES of the rarest ring system."""
    counts = moses_ring_counts()

    def score(mol: Chem.Mol) -> float:
        systems = set(ring_systems(mol))
        return max(
            (math.log10((N_MOSES + 1) / (counts.get(s, 0) + 1)) for s in systems), default=0.0
        )

    return per_molecule(score)


def alerts(parameters: Mapping[str, Any]) -> Evaluator:
    """How many structural alerts of RDKit's catalogues are found; the note names them."""
    from rdkit.Chem import FilterCatalog

    catalogs = FilterCatalog.FilterCatalogParams.FilterCatalogs
    names = parameters.get("catalogs", ["PAINS", "BRENK", "NIH"])
    chosen = FilterCatalog.FilterCatalogParams()
    for name in [names] if isinstance(names, str) else names:
        if name not in catalogs.names:
            raise ValueError(
                f"unknown alert catalogue {name!r}.{nearest_name(name, list(catalogs.names))} "
                f"The catalogues are: {', '.join(catalogs.names)}"
            )
        chosen.AddCatalog(catalogs.names[name])
    catalogue = FilterCatalog.FilterCatalog(chosen)

    def evaluate(smiles: list[str]) -> list[Answer]:
        answers = []
        for text in smiles:
            found = sorted({m.GetDescription() for m in catalogue.GetMatches(parse(text))})
            answers.append(Answer(float(len(found)), note=", ".join(found) or None))
        return answers

    return evaluate
