"""Baseline covariates as a design matrix: standardised numbers, indicators, gap indicators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import helmert

from trial_sim.base.storage import storable
from trial_sim.data.schema import Column
from trial_sim.numerics.told import averaged

RARE = 5  # a level or gap pattern with fewer patients gets no coefficient of its own
FEW_LEVELS = 6  # an ordered column with more levels enters as a number
MOST_NAMED = 8  # rare levels that a note names
MANY_LEVELS = 5  # from so many levels on (sites) they are contrasted with their mean
SKEWED = 1.5  # above this skewness a non-negative number enters as log(1 + x / its median)


@storable
@dataclass(frozen=True)
class Term:
    """One column of the design matrix.

    Attributes:
        column: index of the covariate. kind: "number", "log", "level", "contrast" or "gap".
        level: code of the level. weights: of "contrast", by the code of the level.
        centre, scale: of the transformed number. unit: of "log", the median of the positive values,
            so that nothing depends on the unit of the column.
    """

    column: int
    kind: str
    level: float = 0.0
    centre: float = 0.0
    scale: float = 1.0
    unit: float = 1.0
    weights: tuple[float, ...] = ()


@storable
@dataclass(frozen=True)
class FeatureMap:
    """How codes of `covariates.encoding` become features; fitted once, row by row afterwards."""

    columns: tuple[str, ...]
    terms: tuple[Term, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls, codes: np.ndarray, columns: Sequence[Column], use: Sequence[str] | None = None
    ) -> FeatureMap:
        """Choose terms for ``codes`` (n, n_columns).

        Left out, with a note: columns without values or variation, levels with fewer than `RARE`
        patients (merged with the reference), and terms that others determine (collinear).
        """
        terms: list[Term] = []
        notes: list[str] = []
        for k, column in enumerate(columns):
            if use is not None and column.name not in use:
                continue
            values = codes[:, k]
            seen = values[~np.isnan(values)]
            if len(seen) == 0:
                notes.append(f"covariate {column.name!r} has no values and was left out")
                continue
            if RARE <= np.isnan(values).sum() <= len(values) - RARE:
                terms.append(Term(k, "gap"))
            if column.kind == "categorical" or (
                column.discrete and len(column.levels) <= FEW_LEVELS
            ):
                levels, counts = np.unique(seen, return_counts=True)
                reference = levels[np.argmax(counts)]
                small = [v for v, c in zip(levels, counts) if c < RARE and v != reference]
                kept = [v for v, c in zip(levels, counts) if c >= RARE]
                many = len(kept) >= MANY_LEVELS
                if small:
                    names = ", ".join(str(column.levels[int(v)]) for v in small[:MOST_NAMED])
                    names += f" and {len(small) - MOST_NAMED} more" * (len(small) > MOST_NAMED)
                    of = "all" if many else column.levels[int(reference)]
                    notes.append(
                        f"covariate {column.name!r}: rare level(s) {names} share the coefficient "
                        f"of {of}: how they differ is not kept"
                    )
                if many:
                    # a ridge on differences from one level would draw all towards that level, by
                    # chance an extreme one; on contrasts it draws them towards their mean
                    weights = np.zeros((len(kept) - 1, len(column.levels)))
                    weights[:, np.array(kept, dtype=int)] = helmert(len(kept))
                    terms += [
                        Term(k, "contrast", float(j), weights=tuple(map(float, row)))
                        for j, row in enumerate(weights)
                    ]
                    continue
                terms += [
                    Term(k, "level", float(v))
                    for v, c in zip(levels, counts)
                    if v != reference and c >= RARE
                ]
                continue
            spread = seen.std()
            if spread == 0:
                continue
            skewness = float((((seen - seen.mean()) / spread) ** 3).mean())
            kind = "log" if skewness > SKEWED and seen.min() >= 0 else "number"
            unit = float(np.median(averaged(seen[seen > 0]))) if kind == "log" else 1.0
            moved = np.log1p(seen / unit) if kind == "log" else seen
            terms.append(
                Term(k, kind, centre=float(moved.mean()), scale=float(moved.std()), unit=unit)
            )
        made = cls(tuple(c.name for c in columns), tuple(terms))
        matrix = made.matrix(codes)
        kept, basis = [], np.ones((len(codes), 1)) / len(codes) ** 0.5
        for j, term in enumerate(terms):
            residual = matrix[:, j] - basis @ (basis.T @ matrix[:, j])
            norm = float(np.linalg.norm(residual))
            if norm < 1e-4 * max(float(np.linalg.norm(matrix[:, j])), 1.0):
                name = columns[term.column].name
                notes.append(f"a term of covariate {name!r} is collinear and was left out")
                continue
            basis = np.column_stack([basis, residual / norm])
            kept.append(term)
        return cls(made.columns, tuple(kept), tuple(notes))

    def matrix(self, codes: np.ndarray) -> np.ndarray:
        """Features (n, n_terms) of codes (n, n_columns); gaps sit at the mean."""
        out = np.empty((len(codes), len(self.terms)))
        for j, term in enumerate(self.terms):
            values = codes[:, term.column]
            if term.kind == "gap":
                out[:, j] = np.isnan(values)
            elif term.kind == "level":
                out[:, j] = values == term.level
            elif term.kind == "contrast":
                known = np.nan_to_num(values).astype(int)
                out[:, j] = np.where(np.isnan(values), 0.0, np.array(term.weights)[known])
            else:
                moved = values
                if term.kind == "log":
                    moved = np.log1p(np.maximum(values, 0) / term.unit)
                # to twelve digits: a fit is the same whatever the unit of the column
                out[:, j] = np.round(np.nan_to_num((moved - term.centre) / term.scale), 12)
        return out

    def positions(self, names: Sequence[str]) -> list[int]:
        """Indices of the terms that come from the named covariates."""
        return [j for j, t in enumerate(self.terms) if self.columns[t.column] in names]

    def names(self) -> list[str]:
        """A readable name for each term."""
        return [
            f"{self.columns[t.column]}"
            + (
                f"[{t.level:g}]"
                if t.kind == "level"
                else f"[contrast {t.level:g}]"
                if t.kind == "contrast"
                else ""
                if t.kind == "number"
                else f"[{t.kind}]"
            )
            for t in self.terms
        ]
