"""What chemists call the properties, groups and filters that a wish can name.

"MW", "clogP", "rotatable bonds" are descriptors; "aniline", "nitro", "Michael acceptor" are groups
with a SMARTS. Groups are RDKit's fragment descriptors (``fr_...``) under plain names, and a few
that chemists ask for beside them.
"""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from pathlib import Path

from rdkit import RDConfig

from molgen.chem.properties import DESCRIPTORS

#: Names in use -> descriptor; compared without case, blanks, hyphens and plural s.
SYNONYMS: dict[str, str] = {
    "mwt": "mw", "mol wt": "mw", "molwt": "mw", "weight": "mw", "molecular weight": "mw",
    "molecular mass": "mw", "molar mass": "mw", "mass": "mw", "m": "mw", "da": "mw",
    "clogp": "logp", "alogp": "logp", "xlogp": "logp", "mlogp": "logp", "slogp": "logp",
    "log p": "logp", "lipophilicity": "logp", "crippen logp": "logp", "wlogp": "logp",
    "psa": "tpsa", "polar surface": "tpsa", "polar surface area": "tpsa",
    "topological polar surface area": "tpsa",
    "h bond donor": "hbd", "hydrogen bond donor": "hbd", "donor": "hbd", "hbdonor": "hbd",
    "num hbd": "hbd", "nhbd": "hbd", "h donor": "hbd",
    "h bond acceptor": "hba", "hydrogen bond acceptor": "hba", "acceptor": "hba",
    "hbacceptor": "hba", "num hba": "hba", "nhba": "hba", "h acceptor": "hba",
    "rotatable bond": "rotatable_bonds", "rotor": "rotatable_bonds", "rotb": "rotatable_bonds",
    "rb": "rotatable_bonds", "nrotb": "rotatable_bonds", "rot bond": "rotatable_bonds",
    "rotatable": "rotatable_bonds", "num rotatable bonds": "rotatable_bonds",
    "rbc": "rotatable_bonds",
    "ring": "rings", "ring count": "rings", "num rings": "rings",
    "sp3": "fsp3", "fraction sp3": "fsp3", "fraction csp3": "fsp3", "fcsp3": "fsp3",
    "drug likeness": "qed", "druglikeness": "qed",
    "sa": "sa_score", "sas": "sa_score", "synthetic accessibility": "sa_score",
    "sascore": "sa_score",
    "np": "np_score", "natural product likeness": "np_score",
    "molar refractivity": "mr", "refractivity": "mr",
    "heavy atom": "heavy_atoms", "heavy atom count": "heavy_atoms", "hac": "heavy_atoms",
    "ha": "heavy_atoms", "nonhydrogen atom": "heavy_atoms", "size": "heavy_atoms",
    "atom": "atoms", "atom count": "atoms", "carbon": "carbons", "heteroatom": "heteroatoms",
    "hetero atom": "heteroatoms", "halogen": "halogens",
    "aromatic ring": "aromatic_rings", "num aromatic rings": "aromatic_rings",
    "aliphatic ring": "aliphatic_rings", "saturated ring": "aliphatic_rings",
    "heterocycle": "heterocycles", "heterocyclic ring": "heterocycles",
    "largest ring": "largest_ring", "ring size": "largest_ring",
    "spiro": "spiro_atoms", "spiro atom": "spiro_atoms", "bridgehead": "bridgehead_atoms",
    "bridgehead atom": "bridgehead_atoms",
    "stereocenter": "stereocenters", "stereocentre": "stereocenters",
    "chiral center": "stereocenters",
    "chiral centre": "stereocenters", "chiral atom": "stereocenters",
    "stereogenic center": "stereocenters", "amide bond": "amide_bonds",
    "charge": "formal_charge", "net charge": "formal_charge",
}  # fmt: skip

#: Descriptors that are no counts: "below 3" of them is not "at most 2".
CONTINUOUS = frozenset(("mw", "logp", "tpsa", "fsp3", "qed", "sa_score", "np_score", "mr"))


def plain(words: str) -> str:
    """Words as they are compared: lower case, single blanks, no hyphens, no plural s."""
    text = re.sub(r"[\s_\-/]+", " ", words.strip().casefold())
    text = re.sub(r"^(?:the|number of|no of|num of|count of|#) ?", "", text)
    return re.sub(r"(?<=[a-z]{2})s$", "", text) if not text.endswith("ss") else text


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, str]:
    return {plain(words): name for words, name in SYNONYMS.items()}


def property_named(words: str) -> str | None:
    """The descriptor that somebody means by ``words``, or None.

    >>> property_named("MW"), property_named("Rotatable bonds"), property_named("H-bond donors")
    ('mw', 'rotatable_bonds', 'hbd')
    """
    text = plain(words)
    for name in DESCRIPTORS:
        if plain(name) == text or plain(name).replace(" ", "") == text.replace(" ", ""):
            return name
    known = _synonyms()
    if text in known:
        return known[text]
    squeezed = text.replace(" ", "")
    return next((name for key, name in known.items() if key.replace(" ", "") == squeezed), None)


# ---- groups --------------------------------------------------------------------------------------
_OWN_GROUPS = {
    "aniline": "[NX3;!$(N[C,S]=[O,S,N])]-c",
    "michael acceptor": "[CX3]=[CX3]-[$(C=O),$(C#N),$([SX4](=O)=O),$([NX3+](=O)[O-])]",
    "acrylamide": "[CX3H2]=[CX3H1]-C(=O)-[NX3]",
    "aldehyde": "[CX3H1](=O)[#6,H]",
    "carboxylic acid": "[CX3](=O)[OX2H1,OX1-]",
    "acid": "[CX3](=O)[OX2H1,OX1-]",
    "ester": "[CX3](=O)[OX2][#6]",
    "amide": "[NX3][CX3](=[OX1])[#6]",
    "primary amine": "[NX3;H2;!$(NC=[O,S,N]);!$(NS=O)][CX4]",
    "secondary amine": "[NX3;H1;!$(NC=[O,S,N]);!$(NS=O)]([CX4])[CX4]",
    "tertiary amine": "[NX3;H0;!$(NC=[O,S,N]);!$(NS=O)]([CX4])([CX4])[CX4]",
    "basic amine": "[NX3;!$(N[C,S]=[O,S,N]);!$(Nc);!$(N#*);!$(N-[!#6;!#1])]",
    "alcohol": "[OX2H][CX4;!$(C=O)]",
    "phenol": "[OX2H]c",
    "nitro": "[NX3+](=O)[O-]",
    "nitrile": "[NX1]#[CX2]",
    "cyano": "[NX1]#[CX2]",
    "azide": "[$(N=[N+]=[N-]),$([N-]-[N+]#N)]",
    "epoxide": "[OX2r3]1[#6r3][#6r3]1",
    "aziridine": "[NX3r3]1[#6r3][#6r3]1",
    "thiol": "[SX2H]",
    "sulfonamide": "[SX4](=O)(=O)[NX3]",
    "urea": "[NX3][CX3](=O)[NX3]",
    "carbamate": "[NX3][CX3](=O)[OX2][#6]",
    "hydrazine": "[NX3;!$(N=*);!$(N#*)]-[NX3;!$(N=*)]",
    "hydroxamic acid": "C(=O)[NX3][OX2H]",
    "boronic acid": "[BX3]([OX2H])[OX2H]",
    "acyl halide": "[CX3](=O)[F,Cl,Br,I]",
    "alkyl halide": "[CX4][Cl,Br,I]",
    "aryl halide": "c[F,Cl,Br,I]",
    "peroxide": "[OX2][OX2]",
    "disulfide": "[SX2][SX2]",
    "alkyne": "[CX2]#[CX2]",
    "alkene": "[CX3]=[CX3]",
    "ketone": "[#6][CX3](=O)[#6]",
    "ether": "[OX2;!$(OC=[O,S,N])]([#6])[#6]",
    "benzene": "c1ccccc1",
    "phenyl": "c1ccccc1",
    "pyridine": "c1ccncc1",
    "pyrimidine": "c1cncnc1",
    "indole": "c1ccc2[nH]ccc2c1",
    "piperazine": "C1CNCCN1",
    "piperidine": "C1CCNCC1",
    "morpholine": "C1COCCN1",
    "fluorine": "[F]", "chlorine": "[Cl]", "bromine": "[Br]", "iodine": "[I]",
    "sulfur": "[#16]", "phosphorus": "[#15]", "boron": "[#5]",
    "trifluoromethyl": "[CX4](F)(F)F", "cf3": "[CX4](F)(F)F",
}  # fmt: skip
_SPELLINGS = {
    "sulph": "sulf", "anilin": "aniline", "nitro group": "nitro", "cooh": "carboxylic acid",
    "co2h": "carboxylic acid", "no2": "nitro", "sh": "thiol",
    "mercaptan": "thiol", "halide": "alkyl halide", "oxirane": "epoxide",
}  # fmt: skip


@lru_cache(maxsize=1)
def groups() -> dict[str, str]:
    """Plain name of a group -> SMARTS."""
    table = Path(RDConfig.RDDataDir) / "FragmentDescriptors.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if row and row[0][:3] == "fr_"]
    found = {plain(row[0].removeprefix("fr_")): row[2].strip() for row in rows}
    own = {plain(name): smarts for name, smarts in _OWN_GROUPS.items()}
    return found | own


def group_named(words: str) -> str | None:
    """The SMARTS of a group called so, or None.

    >>> group_named("anilines") == group_named("Aniline")
    True
    """
    text = plain(words)
    text = re.sub(r" (?:group|ring|moiety|unit)$", "", text)
    text = _SPELLINGS.get(text, text.replace("sulph", "sulf"))
    return groups().get(plain(text))
