"""Structural alerts: named sets of SMARTS, each with its source, and the atoms that they match.

RDKit's ``FilterCatalog`` holds most sets; MOSES's medicinal-chemistry filters come with the package
as data (``molgen/data/alerts``); anyone's own SMARTS file makes another set.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from rdkit import Chem
from rdkit.Chem import FilterCatalog

from molgen.base.arguments import unknown
from molgen.chem.parsing import abbreviate, quiet_rdkit


@dataclass(frozen=True)
class AlertSource:
    """Where an alert set comes from: RDKit's name for it, if it is RDKit's, and the citation.

    explicit_hydrogen: match the patterns of ``data_files`` with hydrogens as atoms.
    """

    citation: str
    rdkit_catalogs: tuple[str, ...] = ()
    data_files: tuple[str, ...] = ()
    explicit_hydrogen: bool = True


_PAINS = "Baell and Holloway, J. Med. Chem. 53:2719 (2010); SMARTS by R. Guha, in RDKit"
_CHEMBL = "ChEMBL structural alerts (Gaulton et al., Nucleic Acids Res. 45:D945, 2017), in RDKit"

#: Alert sets by name. "chembl" is the union of the seven sets that ChEMBL collected.
ALERT_SETS: dict[str, AlertSource] = {
    "pains": AlertSource(_PAINS, ("PAINS_A", "PAINS_B", "PAINS_C")),
    "pains_a": AlertSource(_PAINS + "; 16 families with over 150 members", ("PAINS_A",)),
    "pains_b": AlertSource(_PAINS + "; 55 families with 15 to 150 members", ("PAINS_B",)),
    "pains_c": AlertSource(_PAINS + "; 409 families with under 15 members", ("PAINS_C",)),
    "brenk": AlertSource("Brenk et al., ChemMedChem 3:435 (2008), in RDKit", ("BRENK",)),
    "nih": AlertSource(
        "Jadhav et al., J. Med. Chem. 53:37 (2010) and Doveston et al., Org. Biomol. Chem. "
        "13:859 (2015), in RDKit",
        ("NIH",),
    ),
    "zinc": AlertSource("ZINC's drug-like and reactive filters (Irwin and Shoichet)", ("ZINC",)),
    "chembl_glaxo": AlertSource(
        "Hann et al., J. Chem. Inf. Comput. Sci. 39:897 (1999); " + _CHEMBL, ("CHEMBL_Glaxo",)
    ),
    "chembl_dundee": AlertSource(
        "Brenk et al., ChemMedChem 3:435 (2008); " + _CHEMBL, ("CHEMBL_Dundee",)
    ),
    "chembl_bms": AlertSource(
        "Pearce et al., J. Chem. Inf. Model. 46:1060 (2006); " + _CHEMBL, ("CHEMBL_BMS",)
    ),
    "chembl_surechembl": AlertSource(
        "Sushko et al., J. Chem. Inf. Model. 52:2310 (2012); " + _CHEMBL, ("CHEMBL_SureChEMBL",)
    ),
    "chembl_mlsmr": AlertSource("NIH MLSMR excluded functionality; " + _CHEMBL, ("CHEMBL_MLSMR",)),
    "chembl_inpharmatica": AlertSource(
        "Inpharmatica unwanted fragments; " + _CHEMBL, ("CHEMBL_Inpharmatica",)
    ),
    "chembl_lint": AlertSource(
        "Blake, Medicinal Chemistry 1:649 (2005), Pfizer LINT; " + _CHEMBL, ("CHEMBL_LINT",)
    ),
    "chembl": AlertSource(_CHEMBL + "; all seven sets", ("CHEMBL",)),
    "moses_mcf": AlertSource(
        "Polykovskiy et al., Front. Pharmacol. 11:565644 (2020), molsets 0.3.1: 22 medicinal-"
        "chemistry filters, matched with explicit hydrogen",
        data_files=("moses_mcf.csv",),
    ),
    "moses_pains": AlertSource(
        "WEHI PAINS as in molsets 0.3.1, matched with explicit hydrogen",
        data_files=("moses_wehi_pains.csv",),
    ),
    "unsound": AlertSource(
        "radicals, metals and unusual elements, peroxides: no drug-like molecule has them",
        data_files=("unsound.csv",),
        explicit_hydrogen=False,
    ),
}


@dataclass(frozen=True)
class AlertMatch:
    """One alert that a molecule has: its name, and the indices of the heavy atoms it matches."""

    name: str
    atoms: tuple[int, ...]


class AlertCatalog:
    """A compiled alert set: answers which alerts a molecule has, and at which atoms."""

    def __init__(self, catalog: FilterCatalog.FilterCatalog, explicit_hydrogen: bool) -> None:
        self._catalog = catalog
        self._explicit_hydrogen = explicit_hydrogen

    def __len__(self) -> int:
        return int(self._catalog.GetNumEntries())

    def _prepare(self, mol: Chem.Mol) -> Chem.Mol:
        return Chem.AddHs(mol) if self._explicit_hydrogen else mol

    def any_match(self, mol: Chem.Mol) -> bool:
        """Whether the molecule has any alert of the set (faster than listing them)."""
        return bool(self._catalog.HasMatch(self._prepare(mol)))

    def matches(self, mol: Chem.Mol) -> list[AlertMatch]:
        """Every alert of the set that the molecule has, each once, in the set's order."""
        n_atoms = mol.GetNumAtoms()
        prepared = self._prepare(mol)
        found = []
        for entry in self._catalog.GetMatches(prepared):
            atoms: set[int] = set()
            for match in entry.GetFilterMatches(prepared):
                atoms.update(target for _, target in match.atomPairs)
                # RDKit stops at the first match that decides; the reader wants all of them
                if hasattr(match.filterMatch, "GetPattern"):
                    pattern = match.filterMatch.GetPattern()
                    for hits in prepared.GetSubstructMatches(pattern):
                        atoms.update(hits)
            # hydrogens that were added for matching come after the molecule's own atoms
            atoms = {a for a in atoms if a < n_atoms}
            found.append(AlertMatch(entry.GetDescription(), tuple(sorted(atoms))))
        return found


@lru_cache(maxsize=64)
def alert_catalog(name: str) -> AlertCatalog:
    """The compiled alert set ``name`` of :data:`ALERT_SETS`.

    Raises:
        ValueError: unknown name; the message gives the nearest known one.
    """
    source = ALERT_SETS.get(name)
    if source is None:
        raise ValueError(unknown("alert set", name, ALERT_SETS))
    if source.data_files:
        patterns: dict[str, str] = {}
        for file in source.data_files:
            text = files("molgen").joinpath("data", "alerts", file).read_text("utf-8")
            for row in csv.DictReader(io.StringIO(text)):
                name = row["name"]
                if row.get("meaning"):  # what a number such as MCF14 stands for
                    name = f"{row['meaning']} ({name}: {row['smarts']})"
                patterns[_unused(name, patterns)] = row["smarts"]
        return compile_alerts(patterns, explicit_hydrogen=source.explicit_hydrogen)
    params = FilterCatalog.FilterCatalogParams()
    for catalog in source.rdkit_catalogs:
        params.AddCatalog(getattr(FilterCatalog.FilterCatalogParams.FilterCatalogs, catalog))
    return AlertCatalog(FilterCatalog.FilterCatalog(params), explicit_hydrogen=False)


def _unused(name: str, taken: Mapping[str, str]) -> str:
    candidate, n = name, 1
    while candidate in taken:
        n += 1
        candidate = f"{name} {n}"
    return candidate


def compile_alerts(patterns: Mapping[str, str], explicit_hydrogen: bool = False) -> AlertCatalog:
    """An alert set from SMARTS by name.

    Args:
        patterns: name to SMARTS.
        explicit_hydrogen: match against the molecule with its hydrogens as atoms, which patterns
            that write ``[#1]`` or ``[H]`` need.

    Raises:
        ValueError: a pattern that is not SMARTS, with its name.
    """
    catalog = FilterCatalog.FilterCatalog()
    for name, smarts in patterns.items():
        with quiet_rdkit():
            query = Chem.MolFromSmarts(smarts) if isinstance(smarts, str) and smarts else None
        if query is None:
            raise ValueError(f"Pattern {name!r} is not SMARTS: {abbreviate(str(smarts))}.")
        matcher = FilterCatalog.SmartsMatcher(name, query)
        catalog.AddEntry(FilterCatalog.FilterCatalogEntry(name, matcher))
    return AlertCatalog(catalog, explicit_hydrogen)


def read_smarts_file(path: str | Path) -> dict[str, str]:
    """SMARTS by name from a file.

    Two layouts are read: lines of ``SMARTS name`` (the name may be left out, ``#`` starts a
    comment line), or CSV with the columns ``smarts`` and ``name``.

    Raises:
        ValueError: no such file, a line that is not SMARTS (with its number), or no pattern at all.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"There is no SMARTS file {path}.") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"SMARTS file {path} is not UTF-8 text (byte {error.start}).") from None
    except OSError as error:
        raise ValueError(f"Cannot read {path}: {error.strerror}.") from error
    patterns: dict[str, str] = {}
    lines = text.splitlines()
    header = [c.strip().lower() for c in lines[0].split(",")] if lines else []
    if "smarts" in header:
        rows = [
            (number, cells[header.index("smarts")], _cell(cells, header))
            for number, cells in enumerate(csv.reader(lines[1:]), start=2)
            if len(cells) > header.index("smarts")
        ]
    else:
        rows = []
        for number, line in enumerate(lines, start=1):
            parts = line.split(None, 1)
            if parts and not parts[0].startswith("#"):
                rows.append((number, parts[0], parts[1].strip() if len(parts) > 1 else ""))
    for number, smarts, name in rows:
        with quiet_rdkit():
            readable = bool(smarts.strip()) and Chem.MolFromSmarts(smarts) is not None
        if not readable:
            raise ValueError(f"Line {number} of {path} is not SMARTS: {abbreviate(smarts)}.")
        patterns[_unused(name or smarts, patterns)] = smarts
    if not patterns:
        raise ValueError(f"SMARTS file {path} holds no patterns.")
    return patterns


def _cell(cells: list[str], header: list[str]) -> str:
    at = header.index("name") if "name" in header else -1
    return cells[at].strip() if 0 <= at < len(cells) else ""


# --- MOSES's own verdict ---------------------------------------------------------------------

MOSES_ELEMENTS = frozenset({"C", "N", "S", "O", "F", "Cl", "Br", "H"})


def passes_moses_filters(mol: Chem.Mol) -> bool:
    """MOSES's ``Filters`` for one molecule, as ``moses.metrics.utils.mol_passes_filters`` has it.

    No ring of 8 or more atoms (the publication says "longer than 8", its code refuses 8), no
    charged atom, only C, N, S, O, F, Cl, Br, H, and none of the MCF and WEHI PAINS patterns.
    """
    if any(len(ring) >= 8 for ring in mol.GetRingInfo().AtomRings()):
        return False
    for atom in mol.GetAtoms():
        if atom.GetFormalCharge() != 0 or atom.GetSymbol() not in MOSES_ELEMENTS:
            return False
    return not (
        alert_catalog("moses_mcf").any_match(mol) or alert_catalog("moses_pains").any_match(mol)
    )
