"""Decides fast whether a filter refuses a molecule and how many alerts it has, for long lists.

Both look for hundreds of substructures of which a molecule has none or few. A substructure can only
be there if each of its angles is: an atom with two bonds that its own atom and bonds match. Whether
an angle fits one of the queries is asked of RDKit once for every kind of angle
(:mod:`molgen.chem.typed_molecules`) and remembered as bits, so that one comparison of bits rules
out nearly all substructures. What is left is matched as usual.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from rdkit import Chem, RDConfig

from molgen.chem.screens import Screen
from molgen.chem.typed_molecules import TypedMol
from molgen.filters.alerts import alert_catalog
from molgen.filters.one_filter import Filter


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


def refuses(chosen: Filter, molecule: TypedMol, values: Mapping[str, float]) -> bool:
    """Whether ``chosen`` refuses the molecule: the truth of ``chosen.refuse(mol, values)``."""
    if chosen.kind != "alerts":
        return bool(chosen.refuse(molecule, values))
    return not without_alerts(chosen, molecule) and alert_catalog(
        chosen.options["alerts"]
    ).any_match(molecule.mol)


def without_alerts(chosen: Filter, molecule: TypedMol) -> bool:
    """Whether ``chosen`` looks for alerts, and a screen shows that the molecule has none."""
    if chosen.kind != "alerts" or chosen.options["alerts"] != "pains":
        return False
    screen = pains_screen()
    return screen is not None and not screen.any_match(molecule)
