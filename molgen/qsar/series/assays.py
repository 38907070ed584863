"""A table of measured compounds, one row a compound, whatever its size.

The values are read as everywhere in molgen (:mod:`molgen.qsar.assay_values`): ``>10000`` is a
limit, ``n.d.`` is no value. Salts and repeats of one compound are joined; nothing is lost unsaid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from molgen.chem.parsing import as_smiles_list
from molgen.qsar.assay_values import QsarError, read_values
from molgen.qsar.data import group_compounds, join_compounds

#: What one of each unit is in mol/l.
UNITS = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "nm": 1e-9, "pm": 1e-12}


_NAMED_UNIT = re.compile(r"[\[(]\s*([munpµμ]?M)\s*[\])]$|[\s_./,]([munpµμ]M)$")


def unit_of_name(quantity: str) -> tuple[str, str | None]:
    """A quantity's name without the unit of concentration that it ends in, and that unit.

    A negative logarithm (pIC50, logKi) and an effect at a concentration (% at 10 uM) have none,
    whatever is written behind them.
    """
    text = quantity.strip()
    found = _NAMED_UNIT.search(text)
    if found is None or "%" in text or re.match(r"p[A-Z]|-?\s*log", text):
        return quantity, None
    bare = text[: found.start()].rstrip(" _,./")
    if re.search(r"(^|[\s@_])[\d.,]+$", bare):
        return quantity, None
    return bare, found.group(1) or found.group(2)


@dataclass(frozen=True)
class Series:
    """Measured compounds.

    Attributes:
        smiles: Canonical SMILES of the parents, unique.
        names: The identifiers of each compound's rows, joined by ", "; its number where it has
            none.
        y: (n,) float64, values and limits.
        relations: (n,) of "=", ">" (the true value lies above ``y``) or "<".
        rows: The rows of the input, from 0, that each compound has.
        rejected: Rows left out: line (from 1), smiles, reason.
        conflicts: Compounds whose rows differ: smiles, lines, values, used.
        remarks: What the user should know, one sentence each.
    """

    smiles: tuple[str, ...]
    names: tuple[str, ...]
    y: np.ndarray
    relations: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    rejected: tuple[dict[str, Any], ...] = ()
    conflicts: tuple[dict[str, Any], ...] = ()
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.smiles)

    @property
    def exact(self) -> np.ndarray:
        """(n,) bool: True where the value itself is known, not only a limit."""
        return np.array([relation == "=" for relation in self.relations], dtype=bool)

    def shown(self, i: int) -> str:
        """The value of a compound as it is written: ``7.2`` or ``<5``."""
        sign = "" if self.relations[i] == "=" else self.relations[i]
        return f"{sign}{self.y[i]:.4g}"


def read_series(
    smiles: Iterable[str],
    y: Iterable[Any],
    names: Sequence[Any] | None = None,
    relation: Iterable[Any] | None = None,
    unit: str | None = None,
) -> Series:
    """Measured compounds from columns.

    Args:
        smiles: Molecules.
        y: Their values: numbers, limits such as ``>10000``, or words for "not measured".
        names: Identifiers, or None.
        relation: "=", ">" or "<" beside each value, or None.
        unit: Where ``y`` are concentrations ("nM", "uM", "mM", "M", "pM"), they become their
            negative decimal logarithm in mol/l, and a ``>`` a ``<``.

    Raises:
        QsarError: No usable row, classes in place of numbers, or columns of different lengths.
    """
    texts, given = as_smiles_list(smiles), list(y)
    if len(texts) != len(given):
        raise QsarError(f"smiles has {len(texts)} rows, y has {len(given)}")
    if names is not None and len(names) != len(texts):
        raise QsarError(f"smiles has {len(texts)} rows, names has {len(names)}")
    if unit is not None and unit.strip().casefold() not in UNITS:
        raise QsarError(f"unit is one of M, mM, uM, nM, pM; got {unit!r}")
    read = read_values(given, "regression", None, relation)
    groups, rejected, n_parted = group_compounds(texts, read)
    remarks = list(read.remarks)
    values, signs = read.values.copy(), list(read.relations)
    if unit is not None:
        factor = UNITS[unit.strip().casefold()]
        for key, rows in list(groups.items()):
            good = [row for row in rows if values[row] > 0]
            for row in set(rows) - set(good):
                reason = f"a concentration of {values[row]:g} {unit} has no logarithm"
                rejected.append({"line": row + 1, "smiles": texts[row], "reason": reason})
            if good:
                groups[key] = good
            else:
                del groups[key]
        flipped = {"=": "=", ">": "<", "<": ">"}
        for row in [row for rows in groups.values() for row in rows]:
            values[row] = -math.log10(values[row] * factor)
            signs[row] = flipped[signs[row]]
        remarks.append(f"values are -log10 of the concentration in mol/l, read as {unit}")
    kept, conflicts = join_compounds(groups, type(read)(
        "regression", values, tuple(signs), read.reasons, (), read.remarks
    ), "median")  # fmt: skip
    if not kept:
        first = rejected[0]["reason"] if rejected else "every value is missing"
        raise QsarError(f"no row of {len(texts)} has a molecule and a value: {first}")
    for key in groups:
        if key not in kept:
            lines = [row + 1 for row in groups[key]]
            rejected.append({
                "line": lines[0], "smiles": key,
                "reason": f"limits on both sides and no value (lines {lines})",
            })  # fmt: skip
    n_joined = sum(len(groups[key]) - 1 for key in kept)
    if n_joined:
        remarks.append(f"{n_joined} rows are repeats of a compound and were joined (median)")
    if n_parted:
        remarks.append(f"{n_parted} rows are salts or charged and stand for their parent")
    told = [
        ", ".join(dict.fromkeys(str(names[row]) for row in groups[key] if str(names[row]).strip()))
        if names is not None
        else ""
        for key in kept
    ]
    return Series(
        tuple(kept),
        tuple(text or str(i + 1) for i, text in enumerate(told)),
        np.array([value for value, _ in kept.values()], dtype=float),
        tuple(sign for _, sign in kept.values()),
        tuple(tuple(groups[key]) for key in kept),
        tuple(sorted(rejected, key=lambda entry: entry["line"])),
        tuple(conflicts),
        tuple(remarks),
    )
