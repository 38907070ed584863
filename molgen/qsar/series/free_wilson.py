"""Free-Wilson: each group at each site adds its own share to the value.

The model of Free and Wilson (J. Med. Chem. 7:395, 1964) in the form of Fujita and Ban: the most
frequent group of each site is its reference with a share of 0, and the constant is the value of the
compound of all references. Limits enter by their likelihood (:mod:`molgen.qsar.series.censored`).
A share that the compounds do not determine, because two groups always come together or because a
group has limits only, is told as such and given no number.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.qsar.series.censored import LinearFit, fit_linear
from molgen.qsar.series.r_groups import RGroups, assembled, is_hydrogen

if TYPE_CHECKING:
    import pandas as pd

_TRIES = 200_000


class FreeWilson:
    """A fitted Free-Wilson model, made by :func:`fit_free_wilson`.

    Attributes:
        factors: Names of the sites: "core" where the core has several configurations, "R1" ...
        references: The reference group of each site.
        fit: The linear fit over ``columns``.
        columns: (factor, group) of each coefficient after the constant.
        levels: The groups of each compound, one a factor.
        rows_used: Positions, in the decomposition, of the compounds that were fitted.
    """

    def __init__(
        self,
        groups: RGroups,
        y: np.ndarray,
        relations: Sequence[str],
        coverage: float,
    ) -> None:
        self.groups = groups
        self.coverage = coverage
        levels = [(c, *g) for c, g in zip(groups.cores, groups.groups)]
        several = len(set(groups.cores)) > 1
        self.factors = ("core", *groups.sites) if several else groups.sites
        self.levels = levels if several else [level[1:] for level in levels]
        self.references = tuple(
            _reference([level[k] for level in self.levels]) for k in range(len(self.factors))
        )
        signs = list(relations)
        self.rows_used, self.limits_only = _without_limits_only(self.levels, signs)
        self._counts = Counter((k, group) for level in self.levels for k, group in enumerate(level))
        self._limits = Counter(
            (k, group)
            for level, sign in zip(self.levels, signs)
            for k, group in enumerate(level)
            if sign != "="
        )
        used = [self.levels[i] for i in self.rows_used]
        names = sorted(
            {
                (k, group)
                for level in used
                for k, group in enumerate(level)
                if group != self.references[k]
            },
            key=lambda name: (name[0], -self._counts[name], name[1]),
        )
        self._at = {name: at for at, name in enumerate(names, start=1)}
        self.columns = tuple((self.factors[k], group) for k, group in names)
        x = self._design(used)
        self._kept, self._null = _independent(x)
        self._y = y[self.rows_used]
        self._relations = [signs[i] for i in self.rows_used]
        self.fit: LinearFit = fit_linear(x[:, self._kept], self._y, self._relations)

    def _design(self, levels: Sequence[Sequence[str]]) -> np.ndarray:
        x = np.zeros((len(levels), len(self._at) + 1))
        x[:, 0] = 1.0
        for i, level in enumerate(levels):
            for k, group in enumerate(level):
                at = self._at.get((k, group))
                if at is not None:
                    x[i, at] = 1.0
        return x

    def _known(self, x: np.ndarray) -> np.ndarray:
        """Which combinations of columns the compounds determine."""
        if not self._null.shape[1]:
            return np.ones(len(x), dtype=bool)
        return np.abs(x @ self._null).max(1) < 1e-8

    @property
    def table(self) -> pd.DataFrame:
        """One row a group: site, group, n, limits, share, lower, upper, note."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        unit = np.eye(len(self._at) + 1)
        known = self._known(unit)
        half = self.fit.half_width(unit[:, self._kept], self.coverage)
        values = unit[:, self._kept] @ self.fit.coefficients
        rows.append(self._row("constant", "", len(self.rows_used), 0, values[0], half[0], ""))
        if not known[0]:
            rows[0] |= {"share": np.nan, "lower": np.nan, "upper": np.nan,
                        "note": "not determined"}  # fmt: skip
        for k, factor in enumerate(self.factors):
            names = [name for name in self._counts if name[0] == k]
            for name in sorted(names, key=lambda n: (-self._counts[n], n[1])):
                group, n, limits = name[1], self._counts[name], self._limits[name]
                if group == self.references[k]:
                    rows.append(self._row(factor, group, n, limits, 0.0, 0.0, "reference"))
                elif name in self._at and known[self._at[name]]:
                    at = self._at[name]
                    rows.append(self._row(factor, group, n, limits, values[at], half[at], ""))
                else:
                    note = (
                        "limits only" if name in self.limits_only or name not in self._at
                        else "always together with another group"
                    )  # fmt: skip
                    rows.append(self._row(factor, group, n, limits, np.nan, np.nan, note))
        return pd.DataFrame(rows)

    @staticmethod
    def _row(
        factor: str, group: str, n: int, limits: int, value: float, half: float, note: str
    ) -> dict[str, Any]:
        return {
            "site": factor, "group": group, "n": n, "limits": limits, "share": value,
            "lower": value - half, "upper": value + half, "note": note,
        }  # fmt: skip

    @property
    def r_squared(self) -> float:
        """Share of the variance of the exact values that the model explains."""
        exact = np.array([r == "=" for r in self._relations])
        x = self._design([self.levels[i] for i in self.rows_used])[:, self._kept]
        y = self._y[exact]
        total = float(np.sum((y - y.mean()) ** 2))
        rest = float(np.sum((y - (x @ self.fit.coefficients)[exact]) ** 2))
        return 1.0 - rest / total if total > 0 else float("nan")

    def predict(self, levels: Sequence[Sequence[str]]) -> tuple[np.ndarray, ...]:
        """Expectation and ends of the interval of a new measurement, (n,) each.

        Args:
            levels: One group a factor; NaN where the model does not determine the compound.
        """
        x = self._design(levels)
        seen = np.array([
            all(group == self.references[k] or (k, group) in self._at
                for k, group in enumerate(level))
            for level in levels
        ], dtype=bool)  # fmt: skip
        mean = np.where(seen & self._known(x), x[:, self._kept] @ self.fit.coefficients, np.nan)
        half = self.fit.half_width(x[:, self._kept], self.coverage, new=True)
        return mean, mean - half, mean + half

    def untested(self, n: int, known: Sequence[str], lower_is_better: bool) -> pd.DataFrame:
        """The ``n`` best combinations of groups that were never made.

        Args:
            n: Rows at most.
            known: SMILES of compounds that exist.
            lower_is_better: Rank by the lowest expectation.

        Returns:
            smiles, prediction, lower, upper (of one new measurement), core, one column a site,
            ``support`` (the number of compounds behind the rarest of its groups).
        """
        import pandas as pd

        have = set(known)
        rows: list[dict[str, Any]] = []
        for level in itertools.islice(self._best_first(lower_is_better), _TRIES):
            if len(rows) >= n:
                break
            core, groups = self._parts(level)
            smiles = assembled(core, groups)
            if smiles is None or smiles in have:
                continue
            have.add(smiles)
            mean, low, high = (float(v[0]) for v in self.predict([level]))
            if not np.isfinite(mean):
                continue
            support = min(self._counts[k, group] for k, group in enumerate(level))
            rows.append({
                "smiles": smiles, "prediction": mean, "lower": low, "upper": high,
                "support": support, "core": core,
                **dict(zip(self.groups.sites, groups)),
            })  # fmt: skip
        columns = ["smiles", "prediction", "lower", "upper", "support", "core"]
        return pd.DataFrame(rows, columns=[*columns, *self.groups.sites])

    def _parts(self, level: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        if self.factors[:1] == ("core",):
            return level[0], tuple(level[1:])
        return self.groups.cores[0], tuple(level)

    def _best_first(self, lower_is_better: bool) -> Iterator[tuple[str, ...]]:
        """Combinations of groups in the order of their expectation, without making them all."""
        table = self.table
        sign = 1.0 if lower_is_better else -1.0
        choices: list[list[tuple[float, str]]] = []
        for factor in self.factors:
            part = table[(table["site"] == factor) & np.isfinite(table["share"])]
            choices.append(sorted((sign * s, g) for s, g in zip(part["share"], part["group"])))
        if not all(choices):
            return
        start = (0,) * len(choices)
        heap = [(sum(c[0][0] for c in choices), start)]
        seen = {start}
        while heap:
            _, place = heapq.heappop(heap)
            yield tuple(choices[k][at][1] for k, at in enumerate(place))
            for k in range(len(place)):
                if place[k] + 1 < len(choices[k]):
                    after = (*place[:k], place[k] + 1, *place[k + 1 :])
                    if after not in seen:
                        seen.add(after)
                        total = sum(choices[j][at][0] for j, at in enumerate(after))
                        heapq.heappush(heap, (total, after))


def fit_free_wilson(
    groups: RGroups, y: np.ndarray, relations: Sequence[str], coverage: float = 0.95
) -> FreeWilson:
    """Fit the shares of a decomposed series.

    Args:
        groups: The decomposition, m compounds.
        y: (m,) their values and limits.
        relations: (m,) of "=", ">" or "<".
        coverage: Of the intervals.

    Raises:
        ValueError: There are no more compounds than shares, no site with two groups, or no
            spread to estimate.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage lies between 0 and 1; got {coverage}")
    model = FreeWilson(groups, np.asarray(y, dtype=float), relations, coverage)
    if not model._at:
        raise ValueError("no site has two groups: there is nothing to compare")
    if model.fit.freedom < 1:
        raise ValueError(
            f"{len(model.rows_used)} compounds for {len(model.fit.coefficients)} shares: nothing "
            "is left to tell how sure they are"
        )
    return model


def _reference(groups: Sequence[str]) -> str:
    counts = Counter(groups)
    return min(counts, key=lambda group: (-counts[group], not is_hydrogen(group), group))


def _without_limits_only(
    levels: Sequence[Sequence[str]], signs: Sequence[str]
) -> tuple[list[int], set[tuple[int, str]]]:
    """Compounds without those whose group has limits only, and those groups."""
    rows = list(range(len(levels)))
    gone: set[tuple[int, str]] = set()
    while True:
        exact = {(k, g) for i in rows if signs[i] == "=" for k, g in enumerate(levels[i])}
        new = {(k, g) for i in rows for k, g in enumerate(levels[i])} - exact
        if not new:
            return rows, gone
        gone |= new
        rows = [i for i in rows if not any((k, g) in new for k, g in enumerate(levels[i]))]


def _independent(x: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Columns that are independent, the first ones first, and a basis of what x maps to 0."""
    kept: list[int] = []
    basis = np.zeros((x.shape[0], 0))
    for at in range(x.shape[1]):
        rest = x[:, at] - basis @ (basis.T @ x[:, at])
        rest -= basis @ (basis.T @ rest)
        size = float(np.linalg.norm(rest))
        if size > 1e-8 * max(float(np.linalg.norm(x[:, at])), 1.0):
            kept.append(at)
            basis = np.column_stack([basis, rest / size])
    if len(kept) == x.shape[1]:
        return kept, np.zeros((x.shape[1], 0))
    right = np.linalg.svd(x, full_matrices=True)[2]
    return kept, right[len(kept) :].T
