"""What changes do: matched pairs with values, and the changes applied to a lead."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem
from scipy.stats import t as student

from molgen.chem.parsing import canonical, parse
from molgen.qsar.series.censored import fit_linear
from molgen.qsar.series.matched_pairs import (
    HYDROGEN,
    MAX_VARIABLE,
    Pairs,
    joined,
    numbered,
    renumbered,
)
from molgen.qsar.series.pair_cuts import CutMolecule

if TYPE_CHECKING:
    import pandas as pd

MAX_RADIUS = 3


@lru_cache(maxsize=100_000)
def surroundings(part: str) -> tuple[str, ...]:
    """What stands within 0, 1 ... ``MAX_RADIUS`` bonds of a part's open bond, as SMILES.

    Atoms have their hydrogens and charge written, so that an atom at the rim says what it is.
    """
    mol = Chem.MolFromSmiles(part)
    (start,) = (atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0)
    symbols = [_symbol(atom) for atom in mol.GetAtoms()]
    reached, rim, bonds = {start}, [start], set()
    texts = ["*"]
    for _ in range(MAX_RADIUS):
        after = []
        for index in rim:
            for bond in mol.GetAtomWithIdx(index).GetBonds():
                bonds.add(bond.GetIdx())
                other = bond.GetOtherAtomIdx(index)
                if other not in reached:
                    reached.add(other)
                    after.append(other)
        rim = after
        texts.append(
            Chem.MolFragmentToSmiles(
                mol, sorted(reached), sorted(bonds), symbols, isomericSmiles=False
            )
        )
    return tuple(texts)


def _symbol(atom: Chem.Atom) -> str:
    if atom.GetAtomicNum() == 0:
        return "*"
    symbol = atom.GetSymbol().lower() if atom.GetIsAromatic() else atom.GetSymbol()
    n = atom.GetTotalNumHs()
    hydrogens = "" if not n else "H" if n == 1 else f"H{n}"
    charge = f"{atom.GetFormalCharge():+d}" if atom.GetFormalCharge() else ""
    return f"[{symbol}{hydrogens}{charge}]"


@lru_cache(maxsize=200_000)
def _contexts(constant: str) -> tuple[str, ...]:
    """The surroundings of numbered constant parts at each radius."""
    parts = [_bare(part) for part in constant.split(".")]
    return tuple(" ".join(surroundings(p)[r] for p in parts) for r in range(MAX_RADIUS + 1))


def _bare(part: str) -> str:
    for label in "123":
        part = part.replace(f"[*:{label}]", "*")
    return part


def deltas(pairs: Pairs, y: np.ndarray, relations: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The change of value of each pair, and whether it is exact, a limit or unknown.

    Returns:
        (n_pairs,) float64, second less first, and (n_pairs,) of "=", ">" (the change is above),
        "<", or "" where two limits say nothing.
    """
    sign = np.array([{"=": 0, ">": 1, "<": -1}[r] for r in relations])
    low, high = -sign[pairs.first], sign[pairs.second]
    told = np.where(low * high < 0, 9, np.where(low != 0, low, high))
    names = {0: "=", 1: ">", -1: "<", 9: ""}
    return y[pairs.second] - y[pairs.first], [names[int(k)] for k in told]


@dataclass(frozen=True)
class Evidence:
    """What was seen of one change in one context.

    Attributes:
        n, n_limits: Pairs with an exact change, and with a limit on it.
        n_compounds: Different compounds in these pairs.
        mean, lower, upper: The mean change and its interval (NaN below two exact pairs).
        deviation: Standard deviation of the exact changes.
    """

    n: int
    n_limits: int
    n_compounds: int
    mean: float
    lower: float
    upper: float
    deviation: float


class Transformations:
    """The changes among measured compounds, each with what it did.

    Args:
        pairs: Matched pairs.
        y: (n,) values and limits of the molecules.
        relations: (n,) of "=", ">" or "<".
        coverage: Of the intervals.

    Attributes:
        delta, sign: Change of each pair, see :func:`deltas`.
    """

    def __init__(
        self, pairs: Pairs, y: np.ndarray, relations: Sequence[str], coverage: float = 0.95
    ) -> None:
        self.pairs = pairs
        self.coverage = coverage
        self.delta, self.sign = deltas(pairs, np.asarray(y, dtype=float), relations)
        self._by_context: dict[tuple[int, str], list[int]] = defaultdict(list)
        self._evidence: dict[tuple[int, str], Evidence] = {}
        contexts = [_contexts(constant) for constant in pairs.constants]
        for at, (rule, constant, sign) in enumerate(zip(pairs.rule, pairs.constant, self.sign)):
            if sign:
                for radius, text in enumerate(contexts[constant]):
                    self._by_context[int(rule), f"{radius} {text}"].append(at)
        self._sides: dict[str, list[int]] = defaultdict(list)
        for rule, text in enumerate(pairs.rules):
            for side in dict.fromkeys(text.split(">>")):
                self._sides[side].append(rule)

    def evidence(self, rule: int, radius: int, context: str) -> Evidence | None:
        """What was seen of a change within ``radius`` bonds; None for nothing."""
        key = rule, f"{radius} {context}"
        if key not in self._by_context:
            return None
        if key not in self._evidence:
            self._evidence[key] = self._summary(self._by_context[key])
        return self._evidence[key]

    def _summary(self, members: Sequence[int]) -> Evidence:
        values = self.delta[list(members)]
        signs = [self.sign[at] for at in members]
        exact = values[[sign == "=" for sign in signs]]
        n, n_limits = len(exact), len(values) - len(exact)
        compounds = {
            int(i) for at in members for i in (self.pairs.first[at], self.pairs.second[at])
        }
        mean = float(exact.mean()) if n else np.nan
        deviation = float(exact.std(ddof=1)) if n > 1 else np.nan
        half = np.nan
        if n > 1 and not n_limits:
            half = float(student.ppf(0.5 + self.coverage / 2, n - 1)) * deviation / n**0.5
        elif n > 1:
            try:
                fit = fit_linear(np.ones((len(values), 1)), values, signs)
                mean, deviation = float(fit.coefficients[0]), fit.sigma
                half = float(fit.half_width(np.ones((1, 1)), self.coverage)[0])
            except ValueError:  # equal exact changes beside a limit: no spread to go by
                half = np.nan
        return Evidence(n, n_limits, len(compounds), mean, mean - half, mean + half, deviation)

    def table(self, min_pairs: int = 1) -> pd.DataFrame:
        """One row a change and context, most pairs first; contexts from two pairs on.

        Columns: transformation, radius, context, n, limits, compounds, mean, lower, upper, sd.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for (rule, key), members in self._by_context.items():
            radius, _, context = key.partition(" ")
            if len(members) < (min_pairs if radius == "0" else max(min_pairs, 2)):
                continue
            seen = self.evidence(rule, int(radius), context)
            assert seen is not None
            rows.append({
                "transformation": self.pairs.rules[rule], "radius": int(radius),
                "context": context, "n": seen.n, "limits": seen.n_limits,
                "compounds": seen.n_compounds, "mean": seen.mean, "lower": seen.lower,
                "upper": seen.upper, "sd": seen.deviation,
            })  # fmt: skip
        columns = [
            "transformation", "radius", "context", "n", "limits", "compounds", "mean", "lower",
            "upper", "sd",
        ]  # fmt: skip
        table = pd.DataFrame(rows, columns=columns)
        return table.sort_values(
            ["radius", "n", "limits", "transformation", "context"],
            ascending=[True, False, False, True, True], kind="stable", ignore_index=True,
        )  # fmt: skip

    def apply(
        self,
        lead: str,
        value: float = float("nan"),
        *,
        lower_is_better: bool = False,
        known: Sequence[str] = (),
        max_variable: int = MAX_VARIABLE,
        min_radius: int = 1,
    ) -> pd.DataFrame:
        """Every change that fits a lead, with its evidence, the best expectation first.

        The evidence is that of the narrowest context that was seen: ``radius`` bonds around the
        place are as in the pairs counted.

        Args:
            lead: The lead.
            value: Its value; NaN where it is not known (``prediction`` is then NaN, and the
                changes are ordered by themselves).
            lower_is_better: Whether the lowest value is wanted.
            known: Compounds that exist: they are marked.
            max_variable: Heavy atoms of the part that changes, at most.
            min_radius: Bonds around the place that must be as in some pair; 0 takes a change of
                carbon to nitrogen, too.

        Returns:
            smiles, transformation (from the lead), change, lower, upper, n, limits, radius,
            context, prediction, known.
        """
        import pandas as pd

        text = canonical(lead)
        have = {canonical(one) for one in known}
        best: dict[str, dict[str, Any]] = {}
        for variable, constant in _places(text, max_variable):
            n = constant.count(".") + 1
            for order in itertools.permutations(range(1, n + 1)):
                side = renumbered(variable, order) if n > 1 else variable
                if side not in self._sides:
                    continue
                parts = numbered(tuple(constant.split(".")), order)
                contexts = _contexts(parts)
                for rule in self._sides[side]:
                    self._apply_rule(rule, side, parts, contexts, text, best, min_radius)
        rows = list(best.values())
        for row in rows:
            row["prediction"] = value + row["change"]
            row["known"] = row["smiles"] in have
        columns = [
            "smiles", "transformation", "change", "lower", "upper", "n", "limits", "radius",
            "context", "prediction", "known",
        ]  # fmt: skip
        table = pd.DataFrame(rows, columns=columns)
        return table.sort_values(
            ["change", "n", "smiles"], ascending=[lower_is_better, False, True], kind="stable",
            ignore_index=True,
        )  # fmt: skip

    def _apply_rule(
        self,
        rule: int,
        side: str,
        parts: str,
        contexts: Sequence[str],
        lead: str,
        best: dict[str, dict[str, Any]],
        min_radius: int,
    ) -> None:
        left, _, right = self.pairs.rules[rule].partition(">>")
        for one, other, sign in ((left, right, 1.0), (right, left, -1.0)):
            if one != side or one == other:
                continue
            smiles = joined(f"{other}.{parts}")
            if smiles is None or smiles == lead:
                continue
            for radius in range(MAX_RADIUS, min_radius - 1, -1):
                seen = self.evidence(rule, radius, contexts[radius])
                if seen is None or not seen.n:
                    continue
                ends = sorted((sign * seen.lower, sign * seen.upper))
                row = {
                    "smiles": smiles, "transformation": f"{one}>>{other}",
                    "change": sign * seen.mean, "lower": ends[0], "upper": ends[1],
                    "n": seen.n, "limits": seen.n_limits, "radius": radius,
                    "context": contexts[radius],
                }  # fmt: skip
                old = best.get(smiles)
                key = (radius, seen.n, -len(f"{one}>>{other}"))
                before = () if old is None else (
                    old["radius"], old["n"], -len(old["transformation"])
                )  # fmt: skip
                if key > before:
                    best[smiles] = row
                break


def _places(smiles: str, max_variable: int) -> list[tuple[str, str]]:
    """Variable and constant part of every cut of a molecule, hydrogens among them."""
    molecule = CutMolecule(smiles)
    found: dict[tuple[str, str], None] = {}
    for cut in molecule.cuts(max_variable, 3):
        if cut.enumerated:
            continue
        many = len(cut.bonds) > 1
        variable = molecule.variable(cut) if many else molecule.single_variable(cut)
        found[variable, ".".join(cut.constant)] = None
    mol = parse(smiles)
    ranks = Chem.CanonicalRankAtoms(mol, breakTies=False)
    seen = set()
    for atom in mol.GetAtoms():
        if atom.GetTotalNumHs() and ranks[atom.GetIdx()] not in seen:
            seen.add(ranks[atom.GetIdx()])
            open_ = Chem.RWMol(mol)
            mark = open_.AddAtom(Chem.Atom(0))
            open_.AddBond(atom.GetIdx(), mark, Chem.BondType.SINGLE)
            place = open_.GetAtomWithIdx(atom.GetIdx())
            if place.GetNumExplicitHs():
                place.SetNumExplicitHs(place.GetNumExplicitHs() - 1)
            part = open_.GetMol()
            try:
                Chem.SanitizeMol(part)
            except (ValueError, RuntimeError):
                continue
            found[HYDROGEN, Chem.MolToSmiles(part)] = None
    return list(found)
