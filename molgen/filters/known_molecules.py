"""What ChEMBL, the patents and a vendor's stock know of molecules: Bloom filters, no network.

``pip install digital-double[known]`` brings two packages whose filters are read as files (none of
their code runs): chembl-gen-check, with the scaffolds, frameworks and ring systems of ChEMBL and of
SureChEMBL (chemistry read from patents), and molbloom, with the molecules of ZINC20 that were in
stock. A Bloom filter never misses what it holds, and says yes wrongly at a known rate
(:data:`FALSE_YES`). A yes about a patent means that such a scaffold stands in a patent's text, and
neither that a molecule is claimed nor that it is free.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molgen.chem.parsing import MoleculeError, as_smiles_list, parse, quiet_rdkit
from molgen.chem.ring_systems import ring_systems
from molgen.filters.ring_frequency import BloomFilter

if TYPE_CHECKING:
    import pandas as pd

_NEEDED = "known molecules need two lists: pip install 'digital-double[known]'"
_SOURCES = ("chembl", "surechembl")
_KINDS = ("ring_system", "scaffold", "skeleton")
_STOCK = "in_stock"

#: Chance that a column says yes of what its list does not hold, as the lists' authors state it
#: (Medina and White, J. Cheminform. 15:95, 2023); for ring systems, of one system.
FALSE_YES = {f"{s}_{k}": 2.5e-5 for s in _SOURCES for k in _KINDS} | {_STOCK: 0.07}


def find_known(smiles: str | Iterable[str]) -> pd.DataFrame:
    """Which molecules are of a known kind, stand in a patent's chemistry, or can be bought.

    Args:
        smiles: Molecules; salts are looked up as written, so standardize first.

    Returns:
        One row a molecule, in order. ``chembl_ring_system``: all its ring systems are in ChEMBL
        (with or without the stereo drawn); ``chembl_scaffold``: its Bemis-Murcko scaffold is;
        ``chembl_skeleton``: that scaffold with every atom carbon and every bond single is; the
        same three for ``surechembl``; ``in_stock``: in ZINC20's list of October 2021, with the
        stereo drawn. <NA> where there is no ring, or no molecule: then ``problem`` says why.

    Raises:
        ValueError: The lists are not installed.

    Examples:
        >>> import molgen
        >>> molgen.find_known([]).columns.tolist()[-2:]
        ['in_stock', 'problem']
    """
    import pandas as pd

    rows = []
    for text in [smiles] if isinstance(smiles, str) else as_smiles_list(smiles):
        try:
            rows.append({"smiles": text, **_look_up(parse(text)), "problem": ""})
        except MoleculeError as error:
            rows.append({"smiles": text, "problem": error.reason})
    table = pd.DataFrame(rows, columns=["smiles", *FALSE_YES, "problem"])
    return table.astype(dict.fromkeys(FALSE_YES, "boolean"))


def _look_up(mol: Chem.Mol) -> dict[str, bool]:
    found: dict[str, bool] = {}
    if mol.GetRingInfo().NumRings():
        systems = list(zip(ring_systems(mol), ring_systems(mol, stereo=True)))
        with quiet_rdkit():
            scaffold = MurckoScaffold.GetScaffoldForMol(mol)
            skeleton = MurckoScaffold.MakeScaffoldGeneric(scaffold)
        core, frame = Chem.MolToSmiles(scaffold), Chem.MolToSmiles(skeleton)
        for source in _SOURCES:
            rings = _filter(source, "ring_system")
            found[f"{source}_ring_system"] = all(
                flat in rings or drawn in rings for flat, drawn in systems
            )
            found[f"{source}_scaffold"] = core in _filter(source, "scaffold")
            found[f"{source}_skeleton"] = frame in _filter(source, "skeleton")
    written = Chem.MolToSmiles(mol, kekuleSmiles=True)  # as molbloom writes what it looks for
    found[_STOCK] = written in _stock()
    return found


@lru_cache(maxsize=8)
def _filter(source: str, kind: str) -> BloomFilter:
    return BloomFilter((_folder("chembl_gen_check") / f"{source}_{kind}.bloom").read_bytes())


@lru_cache(maxsize=1)
def _stock() -> BloomFilter:
    return BloomFilter((_folder("molbloom") / "zinc-instock-mini.bloom").read_bytes())


def _folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ValueError(_NEEDED)
    return Path(found.submodule_search_locations[0]) / "data"
