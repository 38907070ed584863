"""Whether a filter refuses a molecule, without reasons: asked a million times in a long run."""

from __future__ import annotations

from collections.abc import Mapping

from rdkit import Chem

from molgen.alerts import alert_catalog
from molgen.filter_kinds import Filter


def refuses(chosen: Filter, mol: Chem.Mol, values: Mapping[str, float]) -> bool:
    """Whether ``chosen`` refuses the molecule: the truth of ``chosen.refuse(mol, values)``."""
    if chosen.kind == "alerts":
        return alert_catalog(chosen.options["alerts"]).any_match(mol)
    return bool(chosen.refuse(mol, values))
