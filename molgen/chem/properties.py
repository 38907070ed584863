"""Descriptors of molecules: what `describe` writes into a table, and what rules are made of.

Everything is RDKit's; the table :data:`DESCRIPTORS` says which function and in which unit. SA score
(Ertl and Schuffenhauer, J. Cheminform. 1:8, 2009) and NP score (Ertl, Roggo and Schuffenhauer,
J. Chem. Inf. Model. 48:68, 2008) are the versions in RDKit's Contrib folder.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rdkit import Chem, RDConfig
from rdkit.Chem import Descriptors, rdMolDescriptors

from molgen.base.arguments import unknown

if TYPE_CHECKING:
    import pandas as pd


@lru_cache(maxsize=4)
def _contrib(folder: str, module: str) -> ModuleType:
    """A module of RDKit's Contrib folder, which is not a package."""
    path = Path(RDConfig.RDContribDir) / folder / f"{module}.py"
    spec = importlib.util.spec_from_file_location(f"molgen._contrib_{module}", path)
    if spec is None or spec.loader is None or not path.exists():
        raise ImportError(f"This RDKit has no Contrib module {folder}/{module}.py at {path}.")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@lru_cache(maxsize=1)
def _np_model() -> Any:
    with contextlib.redirect_stderr(io.StringIO()):  # it announces itself there
        return _contrib("NP_Score", "npscorer").readNPModel()


def np_fragments() -> dict[int, float]:
    """What each fragment (a bit of a Morgan fingerprint) adds to the NP score."""
    return _np_model()  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def sa_fragments() -> dict[int, float]:
    """What each fragment (a bit of a Morgan fingerprint) adds to the SA score."""
    contrib = _contrib("SA_Score", "sascorer")
    if contrib._fscores is None:
        contrib.readFragmentScores()
    return contrib._fscores  # type: ignore[no-any-return]


def sa_score(mol: Chem.Mol) -> float:
    """Synthetic accessibility, 1 (easy) to 10 (hard)."""
    return float(_contrib("SA_Score", "sascorer").calculateScore(mol))


def np_score(mol: Chem.Mol) -> float:
    """Natural-product likeness, about -5 (synthetic) to 5 (natural product)."""
    return float(_contrib("NP_Score", "npscorer").scoreMol(mol, _np_model()))


def qed(mol: Chem.Mol) -> float:
    """Quantitative estimate of drug-likeness, 0 to 1 (Bickerton et al., Nat. Chem. 4:90, 2012)."""
    from rdkit.Chem import QED

    return float(QED.qed(mol))


def molecular_weight(mol: Chem.Mol) -> float:
    """Average molecular weight, Da."""
    return float(Descriptors.MolWt(mol))  # type: ignore[attr-defined]


def logp(mol: Chem.Mol) -> float:
    """Octanol-water partition coefficient (Wildman and Crippen, 1999)."""
    return float(rdMolDescriptors.CalcCrippenDescriptors(mol)[0])


def molar_refractivity(mol: Chem.Mol) -> float:
    """Molar refractivity (Wildman and Crippen, J. Chem. Inf. Comput. Sci. 39:868, 1999)."""
    return float(rdMolDescriptors.CalcCrippenDescriptors(mol)[1])


def _count_atoms(smarts: str) -> Callable[[Chem.Mol], int]:
    query = Chem.MolFromSmarts(smarts)
    return lambda mol: len(mol.GetSubstructMatches(query, maxMatches=100_000))


def _largest_ring(mol: Chem.Mol) -> int:
    return max((len(r) for r in mol.GetRingInfo().AtomRings()), default=0)


def _stereocenters(mol: Chem.Mol) -> int:
    own = Chem.Mol(mol)  # RDKit's newer search leaves marks by which the SA score counts otherwise
    return len(
        Chem.FindMolChiralCenters(own, includeUnassigned=True, useLegacyImplementation=False)
    )


@dataclass(frozen=True)
class Descriptor:
    """One column of `describe`: how it is computed from a molecule, its unit and its meaning."""

    function: Callable[[Chem.Mol], float]
    unit: str
    meaning: str


DESCRIPTORS: dict[str, Descriptor] = {
    "mw": Descriptor(molecular_weight, "Da", "average molecular weight"),
    "logp": Descriptor(logp, "", "octanol-water partition, Wildman and Crippen 1999"),
    "tpsa": Descriptor(rdMolDescriptors.CalcTPSA, "Å²", "topological polar surface, Ertl 2000"),
    "hbd": Descriptor(rdMolDescriptors.CalcNumHBD, "", "hydrogen-bond donors"),
    "hba": Descriptor(rdMolDescriptors.CalcNumHBA, "", "hydrogen-bond acceptors"),
    "rotatable_bonds": Descriptor(
        rdMolDescriptors.CalcNumRotatableBonds, "", "rotatable bonds, amides excluded"
    ),
    "rings": Descriptor(rdMolDescriptors.CalcNumRings, "", "rings (smallest set)"),
    "fsp3": Descriptor(rdMolDescriptors.CalcFractionCSP3, "", "fraction of sp3 carbon"),
    "qed": Descriptor(qed, "", "quantitative estimate of drug-likeness"),
    "sa_score": Descriptor(sa_score, "", "synthetic accessibility, 1 easy to 10 hard"),
    "np_score": Descriptor(np_score, "", "natural-product likeness, about -5 to 5"),
    "mr": Descriptor(molar_refractivity, "", "molar refractivity, Wildman and Crippen 1999"),
    "heavy_atoms": Descriptor(lambda m: m.GetNumHeavyAtoms(), "", "atoms except hydrogen"),
    "atoms": Descriptor(lambda m: rdMolDescriptors.CalcNumAtoms(m), "", "atoms with hydrogen"),
    "carbons": Descriptor(_count_atoms("[#6]"), "", "carbon atoms"),
    "heteroatoms": Descriptor(rdMolDescriptors.CalcNumHeteroatoms, "", "neither C nor H"),
    "halogens": Descriptor(_count_atoms("[F,Cl,Br,I]"), "", "halogen atoms"),
    "lipinski_hbd": Descriptor(
        rdMolDescriptors.CalcNumLipinskiHBD, "", "N-H and O-H bonds, as Lipinski counts donors"
    ),
    "lipinski_hba": Descriptor(
        rdMolDescriptors.CalcNumLipinskiHBA, "", "N and O atoms, as Lipinski counts acceptors"
    ),
    "rotatable_bonds_loose": Descriptor(
        lambda m: rdMolDescriptors.CalcNumRotatableBonds(
            m, rdMolDescriptors.NumRotatableBondsOptions.NonStrict
        ),
        "",
        "rotatable bonds, amides included",
    ),
    "aromatic_rings": Descriptor(rdMolDescriptors.CalcNumAromaticRings, "", "aromatic rings"),
    "aliphatic_rings": Descriptor(rdMolDescriptors.CalcNumAliphaticRings, "", "other rings"),
    "heterocycles": Descriptor(rdMolDescriptors.CalcNumHeterocycles, "", "rings with heteroatoms"),
    "largest_ring": Descriptor(_largest_ring, "", "atoms in the largest ring"),
    "spiro_atoms": Descriptor(rdMolDescriptors.CalcNumSpiroAtoms, "", "spiro atoms"),
    "bridgehead_atoms": Descriptor(rdMolDescriptors.CalcNumBridgeheadAtoms, "", "bridgeheads"),
    "stereocenters": Descriptor(_stereocenters, "", "tetrahedral stereocentres, assigned or not"),
    "amide_bonds": Descriptor(rdMolDescriptors.CalcNumAmideBonds, "", "amide bonds"),
    "formal_charge": Descriptor(Chem.GetFormalCharge, "e", "sum of formal charges"),
}


#: Descriptors that are whole numbers.
COUNTS = frozenset(DESCRIPTORS) - {
    "mw", "logp", "tpsa", "fsp3", "qed", "sa_score", "np_score", "mr",
}  # fmt: skip


def whole_counts(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its counts as whole numbers (``Int64`` where some are missing)."""
    types = {
        name: "Int64" if table[name].isna().any() else "int64"
        for name in table.columns
        if name in COUNTS and name not in table.attrs.get("carried", ())
    }
    return table.astype(types)


def check_descriptors(names: Iterable[str]) -> list[str]:
    """``names`` as a list, after each was found in :data:`DESCRIPTORS`.

    Raises:
        ValueError: an unknown name; the message gives the nearest known one.
    """
    checked = list(names)
    for name in checked:
        if name not in DESCRIPTORS:
            raise ValueError(unknown("property", name, DESCRIPTORS))
    return checked


def compute(mol: Chem.Mol, names: Sequence[str]) -> dict[str, float]:
    """The named descriptors of one molecule; NaN where RDKit cannot compute one."""
    values = {}
    for name in names:
        try:
            values[name] = float(DESCRIPTORS[name].function(mol))
        except (ValueError, RuntimeError, ZeroDivisionError):
            values[name] = math.nan
    return values
