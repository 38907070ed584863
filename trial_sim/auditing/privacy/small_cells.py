"""Small cells of the categorical columns, and what they disclose."""

from __future__ import annotations

import numpy as np

from trial_sim.auditing.compared.comparison import Comparison
from trial_sim.auditing.compared.exposure import Exposure
from trial_sim.auditing.compared.intervals import Interval, wilson
from trial_sim.auditing.compared.measure import Measure
from trial_sim.auditing.compared.tables import Schema

SMALL_CELL = 5


def small_cells(comparison: Comparison, tables: Exposure) -> list[Measure]:
    """Cells of the categorical covariates and arm that hold few real patients."""
    schema = comparison.schema
    names = [
        name
        for name in schema.categorical
        if name in comparison.covariates or name == comparison.real.arm
    ]
    if not names:
        return []
    index = [schema.categorical.index(name) for name in names]
    real = _cells(tables.members.codes[:, index])
    synthetic = _cells(tables.synthetic.codes[:, index])
    unique = {cell for cell, count in real.items() if count == 1}
    both = {cell for cell in unique if synthetic.get(cell) == 1}
    n = len(tables.members)
    small = sum(count for cell, count in synthetic.items() if 0 < real.get(cell, 0) < SMALL_CELL)
    disclosed, disclosive = _disclosure(schema, tables)
    subject = f"{len(names)} categorical columns"
    return [
        Measure(
            "replicated uniques (repU)",
            subject,
            wilson(len(both), n),
            f"Share of patients alone in their cell of the categorical baseline columns and arm "
            f"({len(unique)} of {n}) whose cell also holds exactly one synthetic record. No rule "
            "exists: small cells are matched by chance too.",
        ),
        Measure(
            "synthetic patients in small cells",
            subject,
            wilson(small, len(tables.synthetic)),
            f"Share of synthetic records in a cell that holds 1 to {SMALL_CELL - 1} real patients.",
        ),
        Measure(
            "attributes disclosed (DiSCO)",
            disclosed,
            disclosive,
            "Share of patients of whom the synthetic cell of their other categorical baseline "
            "columns states this column unanimously and rightly (worst column). No rule exists: a "
            "strong true association discloses too.",
        ),
    ]


def _cells(codes: np.ndarray) -> dict[tuple[int, ...], int]:
    cells, counts = np.unique(codes, axis=0, return_counts=True)
    return {tuple(int(v) for v in cell): int(count) for cell, count in zip(cells, counts)}


def _disclosure(schema: Schema, tables: Exposure) -> tuple[str, Interval]:
    """The categorical column with the largest DiSCO, and it."""
    worst, found, n = "", -1, len(tables.members)
    real, synthetic = tables.members.codes, tables.synthetic.codes
    for j, name in enumerate(schema.categorical):
        others = [k for k in range(real.shape[1]) if k != j]
        if not others:
            continue
        stated: dict[tuple[int, ...], set[int]] = {}
        for row in synthetic:
            stated.setdefault(tuple(row[others]), set()).add(int(row[j]))
        hits = sum(stated.get(tuple(row[others])) == {int(row[j])} for row in real)
        if hits > found:
            worst, found = name, hits
    return worst or "all columns", wilson(max(found, 0), n)
