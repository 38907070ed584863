"""Cases of what a chemist looks at: analogues, pictures, the grid, charges, known molecules.

Values are those of RDKit on the same molecules, of textbooks, or counted by hand.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator, rdFMCS
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

import molgen
from molgen.provenance.kit import Case

LEAD = "Cc1ccc(C(=O)NC2CC2)cc1Cl"
ANALOGUES = [
    "Cc1ccc(C(=O)NC2CC2)cc1F", "Cc1ccc(C(=O)NC(C)C)cc1Cl", "Cc1ccc(C(=O)OC2CC2)cc1Cl",
    "Cc1ccc(S(=O)(=O)NC2CC2)cc1Cl",
]  # fmt: skip
PATH = [LEAD, *ANALOGUES[:2], "CC(C)NC(=O)c1ccncc1"]
#: A rhodanine, a quinone, a catechol and two that no alert matches.
SHOWN = [
    "O=C1C(=Cc2ccccc2)SC(=S)N1", "O=C1C=CC(=O)C=C1", "Oc1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "CCO",
]  # fmt: skip
#: Charge at pH 7.4 by the pKa of textbooks: acids of 3 to 5, amines of 9 to 11, phenol and amides.
CHARGES = {
    "CC(=O)O": -1, "OC(=O)c1ccccc1": -1, "CC(C)Cc1ccc(cc1)C(C)C(=O)O": -1, "CN": 1, "CCN(CC)CC": 1,
    "NCCc1ccccc1": 1, "c1ccccc1O": 0, "CC(N)=O": 0, "NCC(=O)O": 0, "CCO": 0, "Nc1ccccc1": 0,
    "CS(=O)(=O)O": -1, "NC(=N)N": 1,
}  # fmt: skip


def _similar(first: str, second: str) -> float:
    """Tanimoto similarity of Morgan fingerprints (radius 2, 1,024 bits) by RDKit."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    bits = [generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in (first, second)]
    return float(DataStructs.TanimotoSimilarity(*bits))


def compared() -> dict[str, Any]:
    """Similarity of four analogues to their lead, and the atoms in common."""
    table = molgen.compare_analogues(LEAD, ANALOGUES)
    return {
        "similarity": [float(v) for v in table["similarity"]],
        "common atoms": [int(v) for v in table["common_atoms"]],
    }


def compared_by_rdkit() -> dict[str, Any]:
    """The same by RDKit's similarity and maximum common substructure."""
    common = []
    for text in ANALOGUES:
        mols = [Chem.MolFromSmiles(s) for s in (LEAD, text)]
        found = rdFMCS.FindMCS(mols, ringMatchesRingOnly=True, completeRingsOnly=True)
        common.append(found.numAtoms)
    return {"similarity": [_similar(LEAD, text) for text in ANALOGUES], "common atoms": common}


def _numbers(picture: str, pattern: str) -> list[float]:
    """Numbers in the texts of an SVG."""
    texts = re.findall(r"<text[^>]*text-anchor[^>]*>([^<]*)</text>", picture)
    return [float(n) for text in texts for n in re.findall(pattern, text)]


def pictures() -> dict[str, Any]:
    """What stands in pictures of pairs and of a path: structures, and similarities beneath."""
    pairs, path = molgen.draw_pairs(LEAD, ANALOGUES), molgen.draw_path(PATH)
    return {
        "structures": [str(p).count("<g transform") for p in (pairs, path)],
        "beneath pairs": _numbers(str(pairs), r"similarity ([\d.]+)"),
        "to the start": _numbers(str(path), r"to start ([\d.]+)"),
        "to the end": _numbers(str(path), r"to end ([\d.]+)"),
    }


def pictures_by_rdkit() -> dict[str, Any]:
    """The same, with RDKit's similarities."""
    return {
        "structures": [1 + len(ANALOGUES), len(PATH)],
        "beneath pairs": [_similar(LEAD, text) for text in ANALOGUES],
        "to the start": [_similar(PATH[0], text) for text in PATH],
        "to the end": [_similar(PATH[-1], text) for text in PATH],
    }


def marked() -> dict[str, Any]:
    """Structures in a grid, and which of them bear an alert of PAINS."""
    picture = str(molgen.draw(SHOWN, highlight="pains", columns=5))
    cells = picture.split("<g transform")[1:]
    return {"structures": len(cells), "with an alert": [float("⚠" in cell) for cell in cells]}


def marked_by_rdkit() -> dict[str, Any]:
    """The same by RDKit's own catalogue of PAINS."""
    wanted = FilterCatalogParams()
    for part in "ABC":
        wanted.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, f"PAINS_{part}"))
    catalogue = FilterCatalog(wanted)
    flags = [float(catalogue.HasMatch(Chem.MolFromSmiles(s))) for s in SHOWN]
    return {"structures": len(SHOWN), "with an alert": flags}


def searched_grid() -> list[float]:
    """Which molecules of a grid have a hydroxyl group."""
    grid = molgen.view(SHOWN)
    grid.substructure = "[OX2H]"
    return [float(i in grid.matching) for i in range(len(SHOWN))]


def searched_grid_by_rdkit() -> list[float]:
    """The same by RDKit."""
    query = Chem.MolFromSmarts("[OX2H]")
    return [float(Chem.MolFromSmiles(s).HasSubstructMatch(query)) for s in SHOWN]


def charged() -> dict[str, float]:
    """Charges at pH 7.4."""
    table = molgen.protonate(list(CHARGES), ph=7.4)
    return dict(zip(CHARGES, map(float, table["charge"])))


def known() -> dict[str, float]:
    """Ring systems and stock: drugs, what molbloom's documentation asks, and eleven nitrogens."""
    asked = ["CC(=O)Oc1ccccc1C(=O)O", "CCCO", "ONN1CCCC1", "N1NNNNNNNNNN1"]
    table = molgen.find_known(asked)
    return {
        "aspirin's ring in ChEMBL": float(table["chembl_ring_system"][0]),
        "propanol in stock": float(table["in_stock"][1]),
        "ONN1CCCC1 in stock": float(table["in_stock"][2]),
        "a ring of eleven nitrogens in ChEMBL": float(table["chembl_ring_system"][3]),
    }


def qualified() -> dict[str, float]:
    """What a kit of one case says: the words of Philox, four of them."""
    kit = molgen.qualify(only="Philox of NumPy", pdf=False)
    return {"passed": float(kit.passed), "values": kit.n_values, "cases": len(kit.results)}


def cases() -> tuple[Case, ...]:
    """Every case of this module; those of an extra only where it is installed."""
    rdkit = "RDKit, computed now"
    found = [
        Case("analogues compared", "desk", compared, compared_by_rdkit, rdkit, 1e-6),
        Case("pairs and a path drawn", "desk", pictures, pictures_by_rdkit, rdkit, 0.005,
             "similarities stand there with two digits"),
        Case("alerts in a picture", "desk", marked, marked_by_rdkit, rdkit, 0),
        Case("a kit of one case", "verification", qualified,
             {"passed": 1, "values": 4, "cases": 1}, "counted by hand"),
    ]  # fmt: skip
    if find_spec("anywidget"):
        found.append(Case("a grid searched", "desk", searched_grid, searched_grid_by_rdkit, rdkit))
    if find_spec("dimorphite_dl"):
        found.append(
            Case("charges at pH 7.4", "desk", charged,
                 {smiles: float(charge) for smiles, charge in CHARGES.items()},
                 "pKa of textbooks (acids 3 to 5, amines 9 to 11, aniline 4.6, phenol 10)")
        )  # fmt: skip
    if find_spec("chembl_gen_check") and find_spec("molbloom"):
        found.append(
            Case("known molecules and their stock", "desk", known,
                 {"aspirin's ring in ChEMBL": 1, "propanol in stock": 1, "ONN1CCCC1 in stock": 0,
                  "a ring of eleven nitrogens in ChEMBL": 0},
                 "molbloom's documentation; benzene is in ChEMBL")
        )  # fmt: skip
    return tuple(found)
