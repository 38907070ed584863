"""The drug of a salt: which fragments are counter-ions or solvents, which is the parent.

The list of counter-ions and solvents is that of ChEMBL's curation (the package
``chembl_structure_pipeline``: Bento et al., J. Cheminform. 12:51, 2020), with additions of our own
below. Stereochemistry and charges are ignored when a fragment is compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from rdkit import Chem
from rdkit.Chem import Descriptors

from molgen.chem.parsing import MoleculeError, abbreviate, canonical

#: Elements of organic and medicinal chemistry.
ORGANIC_ELEMENTS = frozenset(
    {"H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "As", "Se", "Br", "Te", "I"}
)
#: Metals that are counter-ions, and are taken off oxygen, sulphur, nitrogen and halogen.
SALT_METALS = frozenset({"Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Al", "Ag"})
#: Of these, the metals that are never the drug in a salt of a listed acid (lithium is).
_PLAIN_METALS = frozenset({"Na", "K", "Mg", "Ca"})

_C6F5 = "c1c(F)c(F)c(F)c(F)c1F"
_XYLYL = "c1cc(C(F)(F)F)cc(C(F)(F)F)c1"
#: What ChEMBL's list lacks, name and SMILES.
_MORE_SALTS = (
    ("Borate", "OB(O)O"),
    ("Tetraborate", "OB1OB2OB(O)OB(O1)O2"),
    ("Cyanide", "C#N"),
    ("Nitrite", "ON=O"),
    ("Bisulfite", "OS(=O)O"),
    ("Pyrophosphate", "OP(O)(=O)OP(O)(O)=O"),
    ("Silicate", "O[Si](O)(O)O"),
    ("Teoclate", "Cn1c(=O)c2[nH]c(Cl)nc2n(C)c1=O"),
    ("Acefyllinate", "Cn1c(=O)c2c(ncn2CC(=O)O)n(C)c1=O"),
    ("Myristate", "CCCCCCCCCCCCCC(=O)O"),
    ("Linoleate", "CCCCCC=CCC=CCCCCCCCC(=O)O"),
    ("Docusate", "CCCCC(CC)COC(=O)CC(C(=O)OCC(CC)CCCC)S(=O)(=O)O"),
    ("Lauryl ether", "CCCCCCCCCCCCOCCO"),
    ("Acesulfame", "CC1=CC(=O)NS(=O)(=O)O1"),
    ("Hydroxynaphthoate", "OC(=O)c1cc2ccccc2cc1O"),
    ("Hydroxybenzoate", "OC(=O)c1ccc(O)cc1"),
    ("Aminosalicylate", "Nc1ccc(C(=O)O)c(O)c1"),
    ("Levulinate", "CC(=O)CCC(=O)O"),
    ("Pyruvate", "CC(=O)C(=O)O"),
    ("Itaconate", "OC(=O)CC(=C)C(=O)O"),
    ("Sebacate", "OC(=O)CCCCCCCCC(=O)O"),
    ("Pimelate", "OC(=O)CCCCCC(=O)O"),
    ("Camphorate", "CC1(C)C(C(=O)O)CCC1(C)C(=O)O"),
    ("Thioctate", "OC(=O)CCCCC1CCSS1"),
    ("5-Sulfosalicylate", "OC(=O)c1cc(S(=O)(=O)O)ccc1O"),
    ("Glycine", "NCC(=O)O"),
    ("Alanine", "CC(N)C(=O)O"),
    ("Proline", "OC(=O)C1CCCN1"),
    ("Histidine", "NC(Cc1c[nH]cn1)C(=O)O"),
    ("Cysteine", "NC(CS)C(=O)O"),
    ("Serine", "NC(CO)C(=O)O"),
    ("Betaine", "C[N+](C)(C)CC(=O)[O-]"),
    ("Urea", "NC(N)=O"),
    ("Tetramethylammonium", "C[N+](C)(C)C"),
    ("Tetrabutylammonium", "CCCC[N+](CCCC)(CCCC)CCCC"),
    ("Triphenylphosphonium", "c1ccc(P(c2ccccc2)c2ccccc2)cc1"),
    ("Diisopropylamine", "CC(C)NC(C)C"),
    ("Diisopropylethylamine", "CCN(C(C)C)C(C)C"),
    ("Dimethylamine", "CNC"),
    ("Trimethylamine", "CN(C)C"),
    ("Methylamine", "CN"),
    ("Ethylamine", "CCN"),
    ("Isopropylamine", "CC(C)N"),
    ("Cyclohexylamine", "NC1CCCCC1"),
    ("Morpholine", "C1COCCN1"),
    ("Pyridine", "c1ccncc1"),
    ("Tributylamine", "CCCCN(CCCC)CCCC"),
    ("Hydrabamine", "CC(C)c1ccc2c(c1)CCC1C2(C)CCCC1(C)CNCCNCC1(C)CCCC2(C)c3ccc(C(C)C)cc3CCC12"),
    ("Guanidine", "NC(=N)N"),
    ("Sucrosofate", "OCC1OC(OC2(CO)OC(CO)C(O)C2O)C(O)C(O)C1O"),
    ("Hydrogen", "[H][H]"),
    ("Perchlorate", "OCl(=O)(=O)=O"),  # ChEMBL's is written with double bonds alone
    ("Azide", "N=[N+]=[N-]"),
    ("Tetraphenylborate", "[B-](c1ccccc1)(c1ccccc1)(c1ccccc1)c1ccccc1"),
    ("Tetrakis(pentafluorophenyl)borate", f"[B-]({_C6F5})({_C6F5})({_C6F5}){_C6F5}"),
    ("BArF", f"[B-]({_XYLYL})({_XYLYL})({_XYLYL}){_XYLYL}"),
    ("Triflimide", "O=S(=O)(NS(=O)(=O)C(F)(F)F)C(F)(F)F"),
    ("Fendizoate", "OC(=O)c1ccccc1C(=O)c1ccc(O)c(-c2ccccc2)c1"),
    ("Procaine", "CCN(CC)CCOC(=O)c1ccc(N)cc1"),
    ("Glucosamine", "NC1C(O)OC(CO)C(O)C1O"),
    ("Teprosilate", "Cn1c(=O)c2c(ncn2CCCS(=O)(=O)O)n(C)c1=O"),
)
#: Names of ChEMBL's list that chemists would not look for.
_USUAL_NAMES = {"DiMeglumine": "Meglumine", "Etiprate": "Hippurate", "Proton": "Hydrogen"}
_MORE_SOLVENTS = (
    ("Acetonitrile", "CC#N"),
    ("Dimethylformamide", "CN(C)C=O"),
    ("Dimethylacetamide", "CN(C)C(C)=O"),
    ("N-Methylpyrrolidone", "CN1CCCC1=O"),
    ("Tetrahydrofuran", "C1CCOC1"),
    ("1,4-Dioxane", "C1COCCO1"),
    ("Diethyl ether", "CCOCC"),
    ("tert-Butyl methyl ether", "COC(C)(C)C"),
    ("Toluene", "Cc1ccccc1"),
    ("Benzene", "c1ccccc1"),
    ("Hexane", "CCCCCC"),
    ("Heptane", "CCCCCCC"),
    ("Cyclohexane", "C1CCCCC1"),
    ("1-Propanol", "CCCO"),
    ("1-Butanol", "CCCCO"),
    ("2-Butanol", "CCC(C)O"),
    ("tert-Butanol", "CC(C)(C)O"),
    ("Ethylene glycol", "OCCO"),
    ("Butanone", "CCC(C)=O"),
    ("Isopropyl acetate", "CC(=O)OC(C)C"),
    ("1,2-Dichloroethane", "ClCCCl"),
    ("Formamide", "NC=O"),
    ("Anisole", "COc1ccccc1"),
)
#: Of the list, those that are drugs themselves: the parent, where all else is more ordinary.
_ALSO_DRUGS = frozenset(
    canonical(smiles, stereo=False)
    for smiles in (
        "C1CNCCN1", "OC(=O)c1ccccc1O", "OC(=O)c1cccnc1", "NC(CCCNC(=N)N)C(=O)O",
        "NCCCCC(N)C(=O)O", "OCC(O)C1OC(=O)C(O)=C1O", "OC(=O)CN(CCN(CC(=O)O)CC(=O)O)CC(=O)O",
        "Nc1ccc(C(=O)O)c(O)c1", "OC(=O)CCCCC1CCSS1", "NC(CS)C(=O)O", "NC(Cc1c[nH]cn1)C(=O)O",
        "OC(=O)c1ccc(O)cc1O", "C[N+](C)(C)CC(=O)[O-]", "CC(=O)Nc1ccc(C(=O)O)cc1", "NC(N)=O",
        "Cn1c(=O)c2c(ncn2CC(=O)O)n(C)c1=O", "OC(=O)CCCCCCCCC=C", "CCN(CC)CCOC(=O)c1ccc(N)cc1",
        "NC1C(O)OC(CO)C(O)C1O",
    )
)  # fmt: skip
#: Of the list, anions of strong acids: never the drug, however small the amine beside them.
_NEVER_DRUGS = frozenset({
    "Triflate", "Triflutate", "Triflimide", "Mesylate", "Esylate", "Tosylate", "Besylate",
    "Napsylate", "Closylate", "Methosulfate", "Ethylsulfate", "Picrate", "Tetraphenylborate",
    "Tetrakis(pentafluorophenyl)borate", "BArF",
})  # fmt: skip


@dataclass(frozen=True)
class _Listed:
    """What the list says of a fragment: its name, and how ordinary it is (0 the most)."""

    name: str
    rank: int


@lru_cache(maxsize=1)
def _queries() -> dict[tuple[int, int, int], list[tuple[str, bool, Chem.Mol]]]:
    """The listed fragments by atoms, bonds and rings: name, whether a solvent, structure."""
    spec = find_spec("chembl_structure_pipeline")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "Standardising needs the list of salts of the package chembl_structure_pipeline."
        )
    data = Path(spec.submodule_search_locations[0]) / "data"
    entries: list[tuple[str, bool, Chem.Mol]] = []
    for file, solvent in (("solvents.smi", True), ("salts.smi", False)):
        for line in (data / file).read_text("utf-8").splitlines():
            name, tab, smarts = line.strip().partition("\t")
            if tab and not name.startswith("#"):
                query = Chem.MolFromSmarts(smarts)
                name = name.capitalize() if name.isupper() else _USUAL_NAMES.get(name, name)
                entries.append((name, solvent, query))
    for more, solvent in ((_MORE_SOLVENTS, True), (_MORE_SALTS, False)):
        entries += [(name, solvent, _skeleton(Chem.MolFromSmiles(s))) for name, s in more]
    table: dict[tuple[int, int, int], list[tuple[str, bool, Chem.Mol]]] = {}
    for entry in entries:
        table.setdefault(_size(entry[2]), []).append(entry)
    return table


def _size(mol: Chem.Mol) -> tuple[int, int, int]:
    n_hetero = sum(a.GetAtomicNum() != 6 for a in mol.GetAtoms())
    return mol.GetNumAtoms(), mol.GetNumBonds(), n_hetero


def _skeleton(mol: Chem.Mol) -> Chem.Mol:
    """The molecule as a query that asks for elements and bonds alone, as ChEMBL's list does."""
    plain = Chem.RWMol(Chem.RemoveHs(mol))
    Chem.RemoveStereochemistry(plain)
    for atom in plain.GetAtoms():
        atom.SetFormalCharge(0)
        atom.SetIsotope(0)
        atom.SetNoImplicit(False)
        atom.SetNumExplicitHs(0)
    return Chem.MolFromSmarts(Chem.MolToSmarts(plain))


@lru_cache(maxsize=4096)
def _listed(smiles: str) -> _Listed | None:
    """What the list says of a fragment, without stereo; None for one that is not on it."""
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return None
    if mol.GetNumAtoms() == 1 and mol.GetAtomWithIdx(0).GetSymbol() not in ORGANIC_ELEMENTS:
        return _Listed(element_name(mol.GetAtomWithIdx(0).GetSymbol()), 0)
    bare = Chem.Mol(mol)
    for atom in bare.GetAtoms():
        atom.SetIsotope(0)
    bare = Chem.RemoveHs(bare)
    with_carbon = any(a.GetAtomicNum() == 6 for a in bare.GetAtoms())
    for name, solvent, query in _queries().get(_size(bare), ()):
        if bare.HasSubstructMatch(query):
            rank = 0 if solvent or not with_carbon or name in _NEVER_DRUGS else 1
            plain = canonical(_neutral(bare), stereo=False)
            return _Listed(name, 2 if plain in _ALSO_DRUGS and rank else rank)
    return None


def _neutral(mol: Chem.Mol) -> Chem.Mol:
    from rdkit.Chem.MolStandardize import rdMolStandardize

    return rdMolStandardize.Uncharger().uncharge(mol)


def element_name(symbol: str) -> str:
    """The name of an element.

    >>> element_name("Pt")
    'Platinum'
    """
    table = Chem.GetPeriodicTable()
    return str(table.GetElementName(table.GetAtomicNumber(symbol)))


@lru_cache(maxsize=1)
def _disconnector():  # type: ignore[no-untyped-def]
    from rdkit.Chem.MolStandardize import rdMolStandardize

    return rdMolStandardize.MetalDisconnector()


def part_metals(mol: Chem.Mol) -> Chem.Mol:
    """The molecule with its counter-ion metals free; metal complexes are refused by name.

    Raises:
        MoleculeError: a transition or heavy metal, or a metal that is bound to carbon.
    """
    metals = {a.GetSymbol() for a in mol.GetAtoms() if a.GetAtomicNum()} - ORGANIC_ELEMENTS
    if not metals:
        return mol
    for symbol in sorted(metals - SALT_METALS):
        raise _refused(mol, f"a compound of the metal or unusual element {symbol}", symbol)
    bound = any(
        a.GetSymbol() in SALT_METALS and n.GetAtomicNum() == 6
        for a in mol.GetAtoms()
        for n in a.GetNeighbors()
    )
    parted = mol if bound else _disconnector().Disconnect(mol)
    for atom in parted.GetAtoms():
        if atom.GetSymbol() in SALT_METALS and atom.GetDegree():
            raise _refused(mol, f"a metal complex of {atom.GetSymbol()}", atom.GetSymbol())
    return parted


def _refused(mol: Chem.Mol, what: str, symbol: str) -> MoleculeError:
    reason = f"{what} ({element_name(symbol).lower()})"
    return MoleculeError(f"Cannot standardise {abbreviate(canonical(mol))}: {reason}.", reason)


def choose_parent(mol: Chem.Mol) -> tuple[Chem.Mol, list[str]]:
    """The drug of a salt, solvate or mixture, and the names of what was taken away.

    Fragments of the list are taken away first, while something is left; of what remains, the
    fragment of the most heavy atoms is the parent. Where all fragments are on the list, the least
    ordinary is (citric acid before water, piperazine before citric acid). Another molecule, which
    is not on the list, is told as "molecule" and its SMILES. Two enantiomers side by side are
    their racemate.

    Raises:
        MoleculeError: a metal complex, a salt in which the metal is all there is of a drug, or a
            mixture of stereoisomers that are no mirror images.

    >>> from molgen.chem.parsing import parse
    >>> parent, removed = choose_parent(parse("CC(=O)Oc1ccccc1C(=O)O.NCCCCC(N)C(=O)O.O"))
    >>> canonical(parent), removed
    ('CC(=O)Oc1ccccc1C(=O)O', ['Lysine', 'Water'])
    """
    mol = part_metals(mol)
    fragments = Chem.GetMolFrags(mol, asMols=True, sanitizeFrags=False)
    if len(fragments) < 2:
        return mol, []
    texts = [canonical(f) for f in fragments]
    flat = [canonical(f, stereo=False) for f in fragments]
    listed = [_listed(text) for text in flat]
    order = [
        (
            3 if entry is None and _has_carbon(f) else entry.rank if entry else 0,
            f.GetNumHeavyAtoms(),
            float(Descriptors.MolWt(f)),  # type: ignore[attr-defined]
            text,
        )
        for f, entry, text in zip(fragments, listed, texts)
    ]
    chosen = max(range(len(fragments)), key=order.__getitem__)
    if order[chosen][0] < 3:
        metals = {a.GetSymbol() for a in mol.GetAtoms()} - ORGANIC_ELEMENTS - _PLAIN_METALS
        for symbol in sorted(metals):
            raise _refused(mol, f"only counter-ions beside the metal {symbol}", symbol)
    parent = Chem.Mol(fragments[chosen])
    Chem.SanitizeMol(parent)
    isomers = {t for t, bare in zip(texts, flat) if bare == flat[chosen]}
    if len(isomers) > 1:
        parent = _racemate(parent, isomers)
    removed = {
        entry.name if entry else f"{OTHER}{text}"
        for entry, text in zip(listed, texts)
        if text not in isomers
    }
    return parent, sorted(removed)


#: What stands before the SMILES of a removed molecule that is no counter-ion and no solvent.
OTHER = "molecule "


def _racemate(mol: Chem.Mol, isomers: set[str]) -> Chem.Mol:
    """The molecule as racemate, where the isomers are its two mirror images."""
    both = Chem.RWMol(mol)
    centres = [a for a in both.GetAtoms() if a.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED]
    for atom in centres:
        atom.InvertChirality()
    if isomers != {canonical(mol), canonical(both.GetMol())}:
        reason = "a mixture of stereoisomers"
        raise MoleculeError(f"Cannot standardise {abbreviate(canonical(mol))}: {reason}.", reason)
    group = Chem.CreateStereoGroup(
        Chem.StereoGroupType.STEREO_AND, both, [a.GetIdx() for a in centres]
    )
    both.SetStereoGroups([group])
    return both.GetMol()


def _has_carbon(mol: Chem.Mol) -> bool:
    return any(atom.GetAtomicNum() == 6 for atom in mol.GetAtoms())
