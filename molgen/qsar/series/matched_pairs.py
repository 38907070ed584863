"""Matched molecular pairs: two compounds that differ in one place, and what the change did.

The pairs are those of mmpdb (Dalke, Hert and Kramer, J. Chem. Inf. Model. 58:902, 2018) up to the
way in which they are written: a transformation is written once for both directions, its open bonds
are numbered alike in both parts, and the configuration of a variable part with two or three open
bonds is kept, which mmpdb drops.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem

from molgen.base.parallel import map_chunks
from molgen.base.user_warnings import warn_user
from molgen.chem.parsing import as_smiles_list, canonical, quiet_rdkit
from molgen.qsar.series.pair_cuts import CutMolecule, PairCut, count_rotatable, with_hydrogen

if TYPE_CHECKING:
    import pandas as pd

MAX_VARIABLE = 10
HYDROGEN = "[H][*:1]"
#: Cuts of one molecule beyond which it is left out: a peptide of forty residues has millions.
_MAX_BONDS = 60


@dataclass(frozen=True)
class Pairs:
    """Matched pairs of a set of n molecules.

    Attributes:
        smiles: The n molecules, canonical.
        first, second: (n_pairs,) int, positions of the two molecules.
        rule: (n_pairs,) int, positions in ``rules``; ``first`` has its left side.
        constant: (n_pairs,) int, positions in ``constants``.
        rules: Transformations ``left>>right``, each with its side that sorts first on the left.
        constants: The parts that stay, numbered like the open bonds of the transformation.
        left_out: Molecules in which no cuts were looked for, and why.
    """

    smiles: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray
    rule: np.ndarray
    constant: np.ndarray
    rules: tuple[str, ...]
    constants: tuple[str, ...]
    left_out: tuple[dict[str, Any], ...] = ()

    def __len__(self) -> int:
        return len(self.first)

    def table(self) -> pd.DataFrame:
        """One row a pair: smiles_1, smiles_2, transformation, constant, and positions."""
        import pandas as pd

        return pd.DataFrame({
            "first": self.first,
            "second": self.second,
            "smiles_1": [self.smiles[i] for i in self.first],
            "smiles_2": [self.smiles[i] for i in self.second],
            "transformation": [self.rules[i] for i in self.rule],
            "constant": [self.constants[i] for i in self.constant],
        })  # fmt: skip


def find_pairs(
    smiles: str | Iterable[str],
    *,
    max_variable: int = MAX_VARIABLE,
    max_cuts: int = 3,
    max_rotatable: int | None = None,
    n_jobs: int = 1,
    progress: bool = False,
) -> Pairs:
    """All matched pairs among molecules.

    Args:
        smiles: Molecules; equal ones are no pair.
        max_variable: Heavy atoms of the part that changes, at most.
        max_cuts: Bonds cut, 1 to 3.
        max_rotatable: Molecules with more rotatable bonds are left out and told of; mmpdb's own
            limit is 10, here there is none by default.
        n_jobs: Processes; -1 for all cores.
        progress: Show a bar.

    Raises:
        ValueError: No molecule, or an argument out of its range.
    """
    texts = [canonical(text) for text in as_smiles_list(smiles)]
    if not 1 <= max_cuts <= 3:
        raise ValueError(f"max_cuts is 1, 2 or 3; got {max_cuts}")
    if max_variable < 1:
        raise ValueError(f"max_variable is at least 1 heavy atom; got {max_variable}")
    bar = "cutting" if progress else None
    settings = (max_variable, max_cuts, max_rotatable)
    found = map_chunks(_cut_all, texts, settings, n_jobs=n_jobs, progress=bar)
    left_out = tuple(
        {"row": i, "smiles": texts[i], "reason": cuts}
        for i, cuts in enumerate(found)
        if isinstance(cuts, str)
    )
    if left_out:
        warn_user(
            f"{len(left_out)} molecules have no matched pairs looked for; the first, "
            f"{left_out[0]['smiles']}: {left_out[0]['reason']}"
        )
    groups = _grouped(found, set(texts))
    wanted: list[list[PairCut]] = [[] for _ in texts]
    for members in groups.values():
        for i, cut in members:
            wanted[i].append(cut)
    told = map_chunks(_variables, list(zip(texts, wanted)), n_jobs=n_jobs, chunk_size=500)
    variables = [iter(parts) for parts in told]
    by_text: dict[str, list[int]] = defaultdict(list)
    for i, text in enumerate(texts):
        by_text[text].append(i)
    rows = _Rows()
    for constant, members in groups.items():
        entries = list(dict.fromkeys((i, next(variables[i]), cut.enumerated) for i, cut in members))
        if len(constant) == 1:
            entries += [(i, HYDROGEN, False) for i in by_text.get(with_hydrogen(constant[0]), ())]
        rows.add(constant, entries, texts)
    return rows.pairs(texts, left_out)


def _cut_all(
    texts: Sequence[str], max_variable: int, max_cuts: int, max_rotatable: int | None
) -> list[list[PairCut] | str]:
    result: list[list[PairCut] | str] = []
    for text in texts:
        molecule = CutMolecule(text)
        n_rotatable = count_rotatable(molecule.mol)
        if max_rotatable is not None and n_rotatable > max_rotatable:
            result.append(f"{n_rotatable} rotatable bonds, more than {max_rotatable}")
        elif len(molecule.bonds) > _MAX_BONDS:
            result.append(f"{len(molecule.bonds)} bonds could be cut, more than {_MAX_BONDS}")
        else:
            result.append(list(molecule.cuts(max_variable, max_cuts)))
    return result


def _variables(items: Sequence[tuple[str, Sequence[PairCut]]]) -> list[list[str]]:
    result = []
    for text, cuts in items:
        molecule = CutMolecule(text) if cuts else None
        result.append([
            molecule.variable(cut) if len(cut.bonds) > 1 else molecule.single_variable(cut)
            for cut in cuts if molecule is not None
        ])  # fmt: skip
    return result


def _grouped(
    found: Sequence[list[PairCut] | str], texts: set[str]
) -> dict[tuple[str, ...], list[tuple[int, PairCut]]]:
    """Cuts by their constant part, where it has a partner."""
    groups: dict[tuple[str, ...], list[tuple[int, PairCut]]] = defaultdict(list)
    for i, cuts in enumerate(found):
        if not isinstance(cuts, str):
            for cut in cuts:
                groups[cut.constant].append((i, cut))
    # a constant part of one molecule still pairs with the molecule that has hydrogen there
    return {
        constant: members
        for constant, members in groups.items()
        if len({i for i, _ in members}) > 1
        or (len(constant) == 1 and with_hydrogen(constant[0]) in texts)
    }


class _Rows:
    """Collects pairs, each transformation and constant part by a number."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int, int]] = []
        self._seen: set[tuple[int, int, int, int]] = set()
        self._rules: dict[str, int] = {}
        self._constants: dict[str, int] = {}

    def add(
        self,
        constant: tuple[str, ...],
        entries: Sequence[tuple[int, str, bool]],
        texts: Sequence[str],
    ) -> None:
        same = tuple(constant.index(part) for part in constant)
        for (i, one, spelled), (j, other, also) in itertools.combinations(entries, 2):
            if i == j or one == other or (spelled and also) or texts[i] == texts[j]:
                continue
            rule, order, turned = canonical_rule(one, other, same)
            kept = numbered(constant, order)
            row = (
                *((j, i) if turned else (i, j)),
                self._rules.setdefault(rule, len(self._rules)),
                self._constants.setdefault(kept, len(self._constants)),
            )
            if row not in self._seen:
                self._seen.add(row)
                self._rows.append(row)

    def pairs(self, texts: Sequence[str], left_out: tuple[dict[str, Any], ...]) -> Pairs:
        columns = np.array(sorted(self._rows), dtype=np.int64).reshape(-1, 4)
        first, second, rule, constant = columns.T
        return Pairs(
            tuple(texts), first, second, rule, constant,
            tuple(self._rules), tuple(self._constants), left_out,
        )  # fmt: skip


@lru_cache(maxsize=200_000)
def renumbered(part: str, order: tuple[int, ...]) -> str:
    """A part with its open bonds numbered anew: what was 1 becomes ``order[0]``, and so on."""
    if order == tuple(range(1, len(order) + 1)):
        return part
    mol = Chem.MolFromSmiles(part)
    for atom in mol.GetAtoms():
        if atom.GetAtomMapNum():
            atom.SetAtomMapNum(order[atom.GetAtomMapNum() - 1])
    return Chem.MolToSmiles(mol)


@lru_cache(maxsize=500_000)
def canonical_rule(
    one: str, other: str, same: tuple[int, ...]
) -> tuple[str, tuple[int, ...], bool]:
    """How a change is written, whatever constant parts stand around it.

    Args:
        one, other: The variable parts, numbered like the constant parts.
        same: For each constant part the first one that is equal to it; equal ones may change
            places.

    Returns:
        ``left>>right``; the number that each constant part gets; whether ``other`` is on the left.
    """
    if len(same) == 1:
        turned = other < one
        return (f"{other}>>{one}" if turned else f"{one}>>{other}"), (1,), turned
    best: tuple[tuple[str, str], tuple[int, ...], bool] | None = None
    labels = tuple(range(1, len(same) + 1))
    for swap in itertools.permutations(labels):
        if any(same[i] != same[label - 1] for i, label in enumerate(swap)):
            continue
        matched = renumbered(other, swap)
        for order in itertools.permutations(labels):
            a, b = renumbered(one, order), renumbered(matched, order)
            for sides, turned in (((a, b), False), ((b, a), True)):
                if best is None or sides < best[0]:
                    best = sides, order, turned
    assert best is not None
    (left, right), order, turned = best
    return f"{left}>>{right}", order, turned


@lru_cache(maxsize=200_000)
def numbered(constant: tuple[str, ...], order: tuple[int, ...]) -> str:
    """Constant parts with the numbers of their open bonds, in the order of the numbers."""
    marked = [(label, part.replace("*", f"[*:{label}]", 1)) for part, label in zip(constant, order)]
    return ".".join(text for _, text in sorted(marked))


def rule_size(rule: str) -> int:
    """Heavy atoms on both sides of a transformation."""
    return sum(Chem.MolFromSmiles(side).GetNumHeavyAtoms() for side in rule.split(">>"))


def joined(parts: str) -> str | None:
    """The molecule of parts whose open bonds are numbered; None where they do not fit.

    >>> joined("O[*:1].CC[*:1]")
    'CCO'
    """
    with quiet_rdkit():
        try:
            mol = Chem.molzip(Chem.MolFromSmiles(parts))
            mol = Chem.RemoveHs(mol)
            Chem.SanitizeMol(mol)
            text = Chem.MolToSmiles(mol)
        except (RuntimeError, ValueError):
            return None
        return text if "*" not in text and Chem.MolFromSmiles(text) is not None else None
