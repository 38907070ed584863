"""Measured values made ready for QSAR: unique molecules, two classes or numbers, nothing lost.

Rows that cannot be used are listed with their line and reason; molecules that came with different
values are listed as conflicts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from molgen.chem.parsing import as_smiles_list, canonical, parse_or_none

MIN_MOLECULES = 20


class QsarError(ValueError):
    """Data from which no QSAR model can be fitted, or a file that holds none."""


@dataclass(frozen=True)
class TrainingSet:
    """What is left of the input after cleaning.

    Attributes:
        smiles: Canonical SMILES, unique.
        y: (n,) float64; 0 and 1 for a classification.
        classes: The two labels behind 0 and 1, or () for a regression.
        rejected: Rows left out: line (from 1), smiles, reason.
        conflicts: Molecules that came with different values: smiles, values, used.
    """

    smiles: tuple[str, ...]
    y: np.ndarray
    classes: tuple[Any, ...]
    rejected: tuple[dict[str, Any], ...]
    conflicts: tuple[dict[str, Any], ...]


def _read_values(y: Iterable[Any], task: str) -> tuple[list[float], tuple[Any, ...], str]:
    values = list(y)
    missing = [v is None or (isinstance(v, float) and math.isnan(v)) for v in values]
    present = [v for v, gone in zip(values, missing) if not gone]
    if not present:
        raise QsarError("y has no value: every entry is missing")
    labels = sorted(set(present), key=str)
    words = any(isinstance(v, (str, bool, np.bool_)) for v in present)
    if task == "auto":
        two = len(labels) == 2 and (words or set(map(float, labels)) == {0.0, 1.0})
        task = "classification" if two or words else "regression"
    if task == "classification":
        if len(labels) == 1:
            raise QsarError(f"y is constant: every molecule is {labels[0]!r}; nothing to learn")
        if len(labels) != 2:
            raise QsarError(
                f"a classification needs two classes; y has {len(labels)}: "
                f"{', '.join(map(repr, labels[:5]))}"
            )
        table = {label: float(index) for index, label in enumerate(labels)}
        plain = tuple(_plain(label) for label in labels)
        return [math.nan if g else table[v] for v, g in zip(values, missing)], plain, task
    try:
        return [math.nan if g else float(v) for v, g in zip(values, missing)], (), task
    except (TypeError, ValueError) as error:
        raise QsarError(f"y of a regression is numbers: {error}") from error


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def clean_training_set(
    smiles: Iterable[str], y: Iterable[Any], task: str = "auto", duplicates: str = "median"
) -> tuple[TrainingSet, str]:
    """Canonical unique molecules with values, and the task.

    Args:
        smiles: Molecules.
        y: Their values; None or NaN is missing.
        task: "regression", "classification" or "auto" (two classes mean classification).
        duplicates: "median" joins repeated molecules (of a classification: the majority; a tie is
            left out), "raise" refuses those whose values differ.

    Raises:
        QsarError: If nothing can be learned, with the reason.
    """
    if task not in ("auto", "regression", "classification"):
        raise QsarError(f"task is auto, regression or classification; got {task!r}")
    if duplicates not in ("median", "raise"):
        raise QsarError(f"duplicates is 'median' or 'raise'; got {duplicates!r}")
    texts = as_smiles_list(smiles)
    given = list(y)
    if len(texts) != len(given):
        raise QsarError(f"smiles has {len(texts)} rows, y has {len(given)}")
    values, classes, task = _read_values(given, task)
    groups: dict[str, list[float]] = {}
    rejected: list[dict[str, Any]] = []
    for line, (text, value) in enumerate(zip(texts, values), start=1):
        mol = parse_or_none(text)
        reason = "not a molecule" if mol is None else None
        if reason is None and not math.isfinite(value):
            reason = "y is missing" if math.isnan(value) else f"y is {value}"
        if reason is not None or mol is None:
            rejected.append({"line": line, "smiles": str(text), "reason": reason})
            continue
        groups.setdefault(canonical(mol), []).append(value)
    conflicts: list[dict[str, Any]] = []
    kept: dict[str, float] = {}
    for key, found in groups.items():
        centre = float(np.median(found))
        if max(found) > min(found):
            if duplicates == "raise":
                raise QsarError(
                    f"{key} stands in the data {len(found)} times with different values "
                    f"({', '.join(f'{v:g}' for v in found[:4])}): correct them, or join them with "
                    "duplicates='median'"
                )
            tie = task == "classification" and centre == 0.5
            conflicts.append({"smiles": key, "values": found, "used": None if tie else centre})
            if tie:
                continue
        kept[key] = centre
    if len(kept) < MIN_MOLECULES:
        raise QsarError(
            f"{len(kept)} different molecules with a value are left of {len(texts)} rows; a model "
            f"needs at least {MIN_MOLECULES}"
        )
    targets = np.array(list(kept.values()))
    if targets.max() - targets.min() <= 0:
        raise QsarError(f"y is constant ({targets[0]:g} for every molecule): nothing to learn")
    return TrainingSet(tuple(kept), targets, classes, tuple(rejected), tuple(conflicts)), task
