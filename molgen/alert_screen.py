"""Whether a filter refuses a molecule, and its QED, fast: asked a million times in a long run.

Both look for hundreds of substructures of which a molecule has none or few. A substructure's
pattern fingerprint is contained in that of every molecule that has it (RDKit's own
``SubstructLibrary`` relies on this), so that one comparison of bits rules out nearly all of them.
What is left is matched as usual.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from rdkit import Chem, DataStructs, RDConfig
from rdkit.Chem import rdMolDescriptors

from molgen.alerts import alert_catalog
from molgen.filter_kinds import Filter
from molgen.properties import compute

_BITS = 2048


class ScreenedMol:
    """A molecule and its pattern fingerprint, which is computed when first asked for."""

    def __init__(self, mol: Chem.Mol) -> None:
        self.mol = mol

    @cached_property
    def absent(self) -> np.ndarray:
        """(32,) uint64, the bits that the fingerprint does not have."""
        return ~_words(Chem.PatternFingerprint(self.mol, _BITS))


class Screen:
    """Queries that can be ruled out by their pattern fingerprints."""

    def __init__(self, queries: Mapping[str, Chem.Mol]) -> None:
        """Queries by their names."""
        self._names, self._queries = list(queries), list(queries.values())
        prints = [Chem.PatternFingerprint(q, _BITS) for q in self._queries]
        self._needed = np.stack([_words(p) for p in prints])

    def candidates(self, molecule: ScreenedMol) -> list[Chem.Mol]:
        """The queries that the molecule may have."""
        return [self._queries[i] for i in self._not_ruled_out(molecule)]

    def _not_ruled_out(self, molecule: ScreenedMol) -> np.ndarray:
        return np.flatnonzero(~(self._needed & molecule.absent).any(axis=1))

    def matches(self, molecule: ScreenedMol) -> list[str]:
        """The names of the queries that the molecule has."""
        return [
            self._names[i]
            for i in self._not_ruled_out(molecule)
            if molecule.mol.HasSubstructMatch(self._queries[i])
        ]

    def count(self, molecule: ScreenedMol) -> int:
        """How many of the queries the molecule has."""
        return sum(molecule.mol.HasSubstructMatch(q) for q in self.candidates(molecule))

    def any_match(self, molecule: ScreenedMol) -> bool:
        """Whether the molecule has any of the queries."""
        return any(molecule.mol.HasSubstructMatch(q) for q in self.candidates(molecule))


def _words(bits: DataStructs.ExplicitBitVect) -> np.ndarray:
    return np.frombuffer(DataStructs.BitVectToBinaryText(bits), dtype=np.uint64)


@lru_cache(maxsize=1)
def pains_screen() -> Screen | None:
    """The 480 PAINS that RDKit's catalogue compiles in, from the table that RDKit ships beside.

    None where that table is missing or names other alerts than the catalogue.
    """
    path = Path(RDConfig.RDDataDir) / "Pains" / "wehi_pains.csv"
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            rows = [row for row in csv.reader(handle) if row]
    except OSError:
        return None
    smarts = {name.removeprefix("<regId=").removesuffix(">"): text for text, name in rows}
    if set(smarts) != set(_names_in("pains")):
        return None
    # the catalogue too merges the hydrogens that the patterns draw into their neighbours
    return Screen({n: Chem.MolFromSmarts(s, mergeHs=True) for n, s in smarts.items()})


def _names_in(alerts: str) -> list[str]:
    catalog = alert_catalog(alerts)._catalog
    return [catalog.GetEntry(i).GetDescription() for i in range(catalog.GetNumEntries())]


def refuses(chosen: Filter, molecule: ScreenedMol, values: Mapping[str, float]) -> bool:
    """Whether ``chosen`` refuses the molecule: the truth of ``chosen.refuse(mol, values)``."""
    if chosen.kind != "alerts":
        return bool(chosen.refuse(molecule.mol, values))
    name = chosen.options["alerts"]
    screen = pains_screen() if name == "pains" else None
    if screen is not None and not screen.any_match(molecule):
        return False
    return alert_catalog(name).any_match(molecule.mol)


@lru_cache(maxsize=1)
def _qed_alerts() -> Screen:
    from rdkit.Chem import QED

    return Screen({str(i): q for i, q in enumerate(QED.StructuralAlerts)})


def qed(molecule: ScreenedMol, values: Mapping[str, float]) -> float:
    """QED exactly as RDKit computes it, from descriptors that are there (``mw``, ``logp``,
    ``tpsa``) and screened alerts."""
    from rdkit.Chem import QED

    mol = molecule.mol
    acceptors = sum(
        len(mol.GetSubstructMatches(p)) for p in QED.Acceptors if mol.HasSubstructMatch(p)
    )
    aromatic = Chem.DeleteSubstructs(Chem.Mol(mol), QED.AliphaticRings)
    properties = QED.QEDproperties(
        MW=values["mw"],
        ALOGP=values["logp"],
        HBA=acceptors,
        HBD=rdMolDescriptors.CalcNumHBD(mol),
        PSA=values["tpsa"],
        ROTB=rdMolDescriptors.CalcNumRotatableBonds(
            mol, rdMolDescriptors.NumRotatableBondsOptions.Strict
        ),
        AROM=len(Chem.GetSSSR(aromatic)),
        ALERTS=_qed_alerts().count(molecule),
    )
    return float(QED.qed(mol, qedProperties=properties))


def describe_fast(
    molecule: ScreenedMol, names: Sequence[str], values: Mapping[str, float]
) -> dict[str, float]:
    """The named descriptors, taking those in ``values`` from there."""
    rest = [n for n in names if n not in values and n != "qed"]
    known = {**values, **compute(molecule.mol, rest)}
    if "qed" in names:
        known.update(compute(molecule.mol, [n for n in ("mw", "logp", "tpsa") if n not in known]))
        known["qed"] = qed(molecule, known)
    return {n: known[n] for n in names}
