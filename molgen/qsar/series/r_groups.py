"""R-group decomposition: one core, and what each compound has at each of its sites.

RDKit's decomposition aligns symmetric cores so that alike groups meet at one site. Every row is
checked: core and groups joined again must be the compound, stereo included; what does not come back
is listed with its reason and not counted. A core's configuration is part of the core's SMILES, so
that two enantiomers never share a row's content.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdFMCS, rdRGroupDecomposition
from rdkit.Chem.Scaffolds import rdScaffoldNetwork

from molgen.chem.parsing import MoleculeError, canonical, parse, quiet_rdkit

if TYPE_CHECKING:
    import pandas as pd

#: The core is looked for among so many compounds, evenly spread over the table.
_SAMPLE = 300
_COMMON = 0.8
_MCS_SECONDS = 10
_MAX_SITES = 6
_STARTS = 12
_SITE = re.compile(r"\[\*:(\d+)\]")


@dataclass(frozen=True)
class RGroups:
    """A decomposed series.

    Attributes:
        core: The core's SMILES, without configuration, its sites ``[*:1]`` ...
        found: Whether the core was looked for (rather than given).
        sites: Names of the sites: "R1" ...
        rows: (m,) positions of the compounds that have the core.
        groups: One tuple a row, one SMILES a site; hydrogen is ``[H][*:1]``.
        cores: One SMILES a row: the core with the compound's configuration.
        unmatched: The other compounds: row, smiles, reason.
    """

    core: str
    found: bool
    sites: tuple[str, ...]
    rows: tuple[int, ...]
    groups: tuple[tuple[str, ...], ...]
    cores: tuple[str, ...]
    unmatched: tuple[dict[str, Any], ...]

    def table(self) -> pd.DataFrame:
        """One row a compound: row, core, R1 ..."""
        import pandas as pd

        table = pd.DataFrame({"row": list(self.rows), "core": list(self.cores)})
        for k, site in enumerate(self.sites):
            table[site] = [groups[k] for groups in self.groups]
        return table


def find_core(smiles: Sequence[str]) -> str:
    """The core of a series: the largest scaffold, or part of one, that most compounds contain.

    Scaffolds are Bemis and Murcko's with everything that is left when rings are taken off. The
    largest that four fifths of the compounds contain is taken; else the one with the most atoms
    times compounds. One that a compound contains at several places (a benzene among benzenes) is
    widened by what else all have in common. Compounds without rings have their maximum common
    substructure.

    Raises:
        ValueError: The compounds have nothing in common.
    """
    step = max(len(smiles) / _SAMPLE, 1.0)
    chosen = [smiles[int(i * step)] for i in range(int(len(smiles) / step))]
    mols = [parse(canonical(text, stereo=False)) for text in chosen]
    settings: Any = rdScaffoldNetwork.ScaffoldNetworkParams()
    settings.includeGenericScaffolds = False
    settings.includeScaffoldsWithAttachments = False
    settings.includeScaffoldsWithoutAttachments = True
    settings.keepOnlyFirstFragment = False
    settings.pruneBeforeFragmenting = True
    counts: Counter[str] = Counter()
    with quiet_rdkit():
        for mol in mols:
            try:
                network = rdScaffoldNetwork.CreateScaffoldNetwork([mol], settings)
            except (RuntimeError, ValueError):
                continue
            counts.update({node for node in network.nodes if node})
    best: tuple[tuple[bool, float, str], str] | None = None
    for text, _ in counts.most_common(200):
        query = Chem.MolFromSmiles(text)
        if query is None or not query.GetRingInfo().NumRings():
            continue
        strict = Chem.AdjustQueryProperties(query, _chains_to_chains())
        n = sum(mol.HasSubstructMatch(strict) for mol in mols)
        common = n >= _COMMON * len(mols)
        size = query.GetNumHeavyAtoms()
        key = (common, float(size if common else size * n), text)
        if n > 1 and (best is None or key > best[0]):
            best = key, text
    if best is not None and (best[0][0] or len(mols) < 2 or best[0][1] > 0):
        return _widened(best[1], mols)
    shared = _shared_part(mols, _COMMON) if len(mols) > 1 else None
    if shared is not None:
        return shared
    raise ValueError(
        "the compounds have no core in common that could be found: give one (core=), such as "
        "'c1ccc2[nH]ccc2c1'"
    )


@lru_cache(maxsize=1)
def _chains_to_chains() -> Any:
    """That an atom of a chain stands for atoms of chains alone: ``CNC=O`` is not in acetanilide's
    ``c1ccccc1NC=O``, which RDKit would find there."""
    adjust: Any = Chem.AdjustQueryParameters.NoAdjustments()
    adjust.adjustRingChain = True
    adjust.adjustRingChainFlags = Chem.AdjustQueryWhichFlags.ADJUST_IGNORENONE
    return adjust


def _shared_part(mols: Sequence[Chem.Mol], threshold: float) -> str | None:
    """The maximum common substructure of a share of the molecules; None below three atoms."""
    result = rdFMCS.FindMCS(
        list(mols), threshold=threshold, timeout=_MCS_SECONDS, ringMatchesRingOnly=True,
        completeRingsOnly=True,
    )  # fmt: skip
    if result.numAtoms < 3:
        return None
    pattern = Chem.MolFromSmarts(result.smartsString)
    for mol in mols:
        match = set(mol.GetSubstructMatch(pattern))
        if match:
            rings = [ring for ring in mol.GetRingInfo().AtomRings() if match.issuperset(ring)]
            whole = {atom for ring in rings for atom in ring}  # a ring is shared whole or not
            kept = [a for a in match if a in whole or not mol.GetAtomWithIdx(a).IsInRing()]
            text = Chem.MolFragmentToSmiles(mol, kept, isomericSmiles=False) if kept else "."
            return None if "." in text else text
    return None


def _widened(core: str, mols: Sequence[Chem.Mol]) -> str:
    """``core``, or what all that have it share, where that says which of several places is it."""
    query = Chem.MolFromSmiles(core)
    having = [mol for mol in mols if mol.HasSubstructMatch(query)]
    before = _several_places(query, range(query.GetNumAtoms()), having)
    if not before or len(having) < 2:
        return core
    with quiet_rdkit():
        text = _shared_part(having, 1.0)
        wider = None if text is None else Chem.MolFromSmiles(text)
    if wider is None or not wider.HasSubstructMatch(query):
        return core
    if not all(mol.HasSubstructMatch(wider) for mol in having):
        return core
    inside = wider.GetSubstructMatch(query)
    return text if text and _several_places(wider, inside, having) < before else core


def _several_places(query: Chem.Mol, atoms: Sequence[int], mols: Sequence[Chem.Mol]) -> int:
    """How many of the molecules contain ``query`` with these ``atoms`` of it at several places."""
    found = [mol.GetSubstructMatches(query, uniquify=False, maxMatches=200) for mol in mols]
    return sum(len({frozenset(m[i] for i in atoms) for m in matches}) > 1 for matches in found)


def read_core(core: str) -> Chem.Mol:
    """The core that a user wrote, as SMILES or SMARTS, with or without numbered sites.

    Raises:
        ValueError: It is neither.
    """
    text = core.strip()
    with quiet_rdkit():
        mol = Chem.MolFromSmiles(text) if text else None
        if mol is None:
            mol = Chem.MolFromSmarts(text) if text else None
    if mol is None or not mol.GetNumAtoms():
        try:
            parse(text)
            reason = "it is empty"
        except MoleculeError as error:
            reason = error.reason
        raise ValueError(f"core {core!r} is neither SMILES nor SMARTS: {reason}")
    return mol


def decompose(smiles: Sequence[str], core: str | None = None) -> RGroups:
    """Core and R-groups of compounds.

    Args:
        smiles: Compounds, canonical.
        core: Its SMILES or SMARTS; sites written ``[*:1]`` keep their number, and where any is
            written no other is opened. Without configuration it takes all configurations. By
            default it is found.

    Raises:
        ValueError: The core cannot be read, or no compound contains it.
    """
    found = core is None
    text = find_core(smiles) if core is None else core
    query = read_core(text)
    parameters: Any = rdRGroupDecomposition.RGroupDecompositionParameters()
    parameters.includeTargetMolInResults = True  # the core then keeps its configuration
    parameters.allowMultipleRGroupsOnUnlabelled = True
    parameters.onlyMatchAtRGroups = bool(_SITE.search(text))
    parameters.substructMatchParams.useChirality = "@" in text
    if len(smiles) > 500:
        parameters.matchingStrategy = rdRGroupDecomposition.RGroupMatching.Greedy
    unmatched: list[dict[str, Any]] = []
    kept: list[int] = []
    with quiet_rdkit():
        work = rdRGroupDecomposition.RGroupDecomposition([query], parameters)
        for i, compound in enumerate(smiles):
            if work.Add(parse(compound)) < 0:
                unmatched.append({"row": i, "smiles": compound, "reason": _why_not(
                    parse(compound), query, bool(_SITE.search(text)))})  # fmt: skip
            else:
                kept.append(i)
        if not kept:
            raise ValueError(f"no compound contains the core {text}")
        work.Process()
        rows = work.GetRGroupsAsRows(asSmiles=False)
    sites = sorted({k for row in rows for k in row if k not in ("Core", "Mol")}, key=_number)
    good: list[tuple[int, tuple[str, ...], str]] = []
    for i, row in zip(kept, rows, strict=True):
        with quiet_rdkit():
            taken = _taken_apart(row)
        if taken is None:
            reason = "an atom of the core is in an aromatic ring there that the core does not have"
            unmatched.append({"row": i, "smiles": smiles[i], "reason": reason})
            continue
        own, parts = taken
        groups = tuple(parts.get(site, f"[H][*:{_number(site)}]") for site in sites)
        reason = _fault(smiles[i], own, groups)
        if reason:
            unmatched.append({"row": i, "smiles": smiles[i], "reason": reason})
        else:
            good.append((i, groups, own))
    if not good:
        raise ValueError(f"no compound could be taken apart by the core {text}: "
                         f"{unmatched[0]['reason']}")  # fmt: skip
    good = _aligned(good, [_number(site) for site in sites])
    used = [k for k in range(len(sites)) if any(not is_hydrogen(g[k]) for _, g, _ in good)]
    return RGroups(
        _closed(_flat(good[0][2]), {_number(sites[k]) for k in used}),
        found,
        tuple(sites[k] for k in used),
        tuple(i for i, _, _ in good),
        tuple(tuple(groups[k] for k in used) for _, groups, _ in good),
        tuple(_closed(own, {_number(sites[k]) for k in used}) for _, _, own in good),
        tuple(sorted(unmatched, key=lambda entry: entry["row"])),
    )


def _aligned(
    rows: Sequence[tuple[int, tuple[str, ...], str]], labels: Sequence[int]
) -> list[tuple[int, tuple[str, ...], str]]:
    """The rows of a symmetric core, turned so that alike groups meet at one site.

    Each compound takes in turn the orientation whose groups are the most frequent ones at their
    sites, until none turns; of several starts the one with the fewest different groups is kept.
    """
    if len(labels) > _MAX_SITES:
        return list(rows)
    flat = _flat(rows[0][2])
    turns = [
        order
        for order in itertools.permutations(range(len(labels)))
        if _relabelled(flat, labels, order) == flat
    ]
    if len(turns) < 2:
        return list(rows)
    ways = [[_turned(groups, labels, order) for order in turns] for _, groups, _ in rows]
    rng = np.random.default_rng(len(rows))
    starts = [[0] * len(rows), [way.index(min(way)) for way in ways]]
    starts += [
        list(rng.integers(len(turns), size=len(rows)))
        for _ in range(_STARTS if len(rows) <= 500 else 0)
    ]
    best: tuple[int, list[int]] | None = None
    for at in starts:
        _settle(ways, at)
        different = len({(k, g) for way, a in zip(ways, at) for k, g in enumerate(way[a])})
        if best is None or different < best[0]:
            best = different, at
    assert best is not None
    return [
        (i, way[a], _relabelled(core, labels, turns[a]))
        for (i, _, core), way, a in zip(rows, ways, best[1])
    ]


def _settle(ways: Sequence[Sequence[tuple[str, ...]]], at: list[int]) -> None:
    """Turn rows one after the other, in place, until no turn makes groups of a site more alike."""
    counts = Counter((k, g) for way, a in zip(ways, at) for k, g in enumerate(way[a]))
    for _ in range(20):
        moved = False
        for i, way in enumerate(ways):
            counts.subtract(Counter(enumerate(way[at[i]])))
            # the logarithm: a group seen nowhere else costs more than one seen often gains
            company = [
                sum(math.log(counts[k, g] + 0.1) for k, g in enumerate(groups)) for groups in way
            ]
            new = company.index(max(company))
            if company[new] > company[at[i]] + 1e-9:
                at[i], moved = new, True
            counts.update(enumerate(way[at[i]]))
        if not moved:
            return


def _turned(groups: Sequence[str], labels: Sequence[int], order: Sequence[int]) -> tuple[str, ...]:
    """The groups when what stood at site k stands at site ``order[k]``."""
    result = [""] * len(groups)
    for k, to in enumerate(order):
        result[to] = groups[k].replace(f"[*:{labels[k]}]", f"[*:{labels[to]}]")
    return tuple(result)


@lru_cache(maxsize=50_000)
def _relabelled_cached(core: str, labels: tuple[int, ...], order: tuple[int, ...]) -> str:
    mol = Chem.MolFromSmiles(core)
    to = {labels[k]: labels[other] for k, other in enumerate(order)}
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0 and atom.GetAtomMapNum() in to:
            atom.SetAtomMapNum(to[atom.GetAtomMapNum()])
    return Chem.MolToSmiles(mol)


def _relabelled(core: str, labels: Sequence[int], order: Sequence[int]) -> str:
    return _relabelled_cached(core, tuple(labels), tuple(order))


def _taken_apart(row: dict[str, Chem.Mol]) -> tuple[str, dict[str, str]] | None:
    """Core and groups of one compound, cut out of the compound itself; None where the cut would go
    through an aromatic ring.

    RDKit says which atoms belong to which site; the parts that it writes have lost the
    configuration of the core's atoms.
    """
    mol = row["Mol"]
    home = {
        atom: site
        for site, part in row.items()
        if site not in ("Core", "Mol")
        for atom in _targets(part)
    }
    bonds, labels = [], []
    for bond in mol.GetBonds():
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if (a in home) != (b in home):
            if bond.GetIsAromatic():
                return None
            bonds.append(bond.GetIdx())
            labels.append((_number(home[a if a in home else b]),) * 2)
    if not bonds:
        return Chem.MolToSmiles(Chem.RemoveHs(mol)), {}
    cut = Chem.FragmentOnBonds(mol, bonds, dummyLabels=labels)
    for atom in cut.GetAtoms():
        if atom.GetAtomicNum() == 0:
            atom.SetAtomMapNum(atom.GetIsotope())
            atom.SetIsotope(0)
    core, groups = [], {}
    for atoms in Chem.GetMolFrags(cut):
        text = Chem.MolFragmentToSmiles(cut, atoms)
        inside = [atom for atom in atoms if atom in home]
        if inside:
            groups[home[inside[0]]] = _without_hydrogens(text)
            for atom in inside[1:]:
                groups.setdefault(home[atom], groups[home[inside[0]]])
        else:
            core.append(_without_hydrogens(text))
    return ".".join(core), groups


def _targets(part: Chem.Mol) -> list[int]:
    """The compound's atoms that a group stands for."""
    targets = part.GetPropsAsDict(True, False)["_rgroupTargetAtoms"]
    return [int(target) for target in targets if target >= 0]


def _without_hydrogens(text: str) -> str:
    mol = Chem.MolFromSmiles(text, _keep_hydrogens())
    if mol.GetNumAtoms() == 2 and any(atom.GetAtomicNum() == 1 for atom in mol.GetAtoms()):
        return Chem.MolToSmiles(mol)
    return Chem.MolToSmiles(Chem.RemoveHs(mol))


def is_hydrogen(group: str) -> bool:
    """Whether an R-group is hydrogen."""
    return group.startswith("[H][*:") or group.endswith("][H]")


def _number(site: str) -> int:
    return int(site.removeprefix("R"))


def _why_not(mol: Chem.Mol, query: Chem.Mol, sited: bool) -> str:
    bare = Chem.DeleteSubstructs(query, Chem.MolFromSmarts("[#0]")) if sited else query
    if sited and mol.HasSubstructMatch(bare):
        return "it has a substituent at a place of the core that is no numbered site"
    return "it does not contain the core"


def _fault(smiles: str, core: str, groups: Sequence[str]) -> str:
    """Why core and groups are not the compound; "" where they are."""
    for group in groups:
        if len(_SITE.findall(group)) > 1:
            return "a substituent closes a ring onto the core"
    whole = assembled(core, groups)
    if whole is None:
        return "its parts cannot be joined again"
    if whole != smiles and canonical(whole) != canonical(smiles):
        return "its parts joined again are another molecule (stereo of the core, or of a group)"
    return ""


def assembled(core: str, groups: Sequence[str]) -> str | None:
    """The molecule of a core and its groups; None where they do not fit."""
    present = set(_SITE.findall(core))
    parts = [core, *(g for g in groups if set(_SITE.findall(g)) <= present)]
    with quiet_rdkit():
        try:
            mol = Chem.MolFromSmiles(parts[0])
            for part in parts[1:]:
                mol = Chem.CombineMols(mol, Chem.MolFromSmiles(part, _keep_hydrogens()))
            mol = Chem.RemoveHs(Chem.molzip(mol))
            text = Chem.MolToSmiles(mol)
        except (RuntimeError, ValueError, TypeError):
            return None
        if "*" in text:
            return None
        again = Chem.MolFromSmiles(text)
        return None if again is None else Chem.MolToSmiles(again)


def _keep_hydrogens() -> Chem.SmilesParserParams:
    parameters: Any = Chem.SmilesParserParams()
    parameters.removeHs = False
    return parameters


def _flat(core: str) -> str:
    mol = Chem.MolFromSmiles(core)
    Chem.RemoveStereochemistry(mol)
    return Chem.MolToSmiles(mol)


def _closed(core: str, open_: set[int]) -> str:
    """The core with hydrogen at the sites that no compound uses."""
    mol = Chem.RWMol(Chem.MolFromSmiles(core))
    for atom in mol.GetAtoms():
        if atom.GetAtomMapNum() and atom.GetAtomMapNum() not in open_:
            atom.SetAtomMapNum(0)
            atom.SetAtomicNum(1)
    with quiet_rdkit():
        return Chem.MolToSmiles(Chem.RemoveHs(mol.GetMol()))
