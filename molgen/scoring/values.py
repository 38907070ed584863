"""From molecules to the score of an objective: raw values, desirabilities, what went wrong.

A value that is missing costs a molecule its score or is left out, as the objective says; the
reason stands beside it with the SMILES, and no component can end a run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.chem.parsing import parse_or_none
from molgen.filters.filter_sets import filter_molecules
from molgen.scoring.components import Component
from molgen.scoring.desirability import aggregate
from molgen.scoring.guarded_calls import Answer
from molgen.scoring.scales import Evaluator, evaluate_all

if TYPE_CHECKING:
    from molgen.filters.filter_sets import FilterSet

COSTLY_KINDS: frozenset[str] = frozenset({"qsar", "admet", "python", "program", "shape"})
"""Kinds of property that are never asked before an oracle call."""


@dataclass(frozen=True)
class Scored:
    """What is remembered of one molecule.

    Attributes:
        raw: The value of each component, NaN where there is none.
        transformed: Its desirability in [0, 1], or NaN.
        score: In [0, 1].
        passed: Whether it keeps the filters and the hard bounds.
        problems: Why a value is missing, one sentence each.
        notes: Alerts found, filters failed, outside a model's domain.
        beside: Further columns: whether the molecule is in a model's domain, and its interval.
    """

    raw: tuple[float, ...]
    transformed: tuple[float, ...]
    score: float
    passed: bool
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    beside: Mapping[str, Any] = field(default_factory=dict)


def evaluate(
    smiles: list[str],
    components: Sequence[Component],
    evaluators: Sequence[Evaluator],
    aggregation: str,
    missing: str,
    filters: FilterSet | None,
) -> list[Scored]:
    """Score molecules.

    Args:
        smiles: Canonical SMILES of n molecules.
        components: What is wished for.
        evaluators: One a component.
        aggregation: "geometric", "arithmetic", "minimum" or "product".
        missing: "zero" or "ignore".
        filters: What a molecule has to pass, or None.
    """
    answers = [
        evaluate_all(evaluator, smiles, part.name)
        for part, evaluator in zip(components, evaluators, strict=True)
    ]
    raw = np.array([[answer.value for answer in column] for column in answers]).T
    problems: list[list[str]] = [[] for _ in smiles]
    notes: list[list[str]] = [[] for _ in smiles]
    for part, column in zip(components, answers):
        for row, answer in enumerate(column):
            if answer.problem is not None:
                problems[row].append(f"{part.name}: {answer.problem} (for {smiles[row]})")
            if answer.note is not None:
                notes[row].append(f"{part.name}: {answer.note}")
    transformed = np.full_like(raw, np.nan)
    for index, part in enumerate(components):
        transformed[:, index] = _transformed(part, raw[:, index], smiles, problems)
        for cut in np.flatnonzero(cut_values(part, raw[:, index])):
            notes[int(cut)].append(f"{part.name}: {raw[cut, index]:g} was cut to [0, 1]")
    scores = aggregate(transformed, [part.weight for part in components], aggregation)
    if missing == "zero":
        scores = np.where(np.isnan(transformed).any(1), 0.0, scores)
    scores = np.nan_to_num(scores, nan=0.0)
    for part, column in zip(components, answers):
        if part.weight > 0:
            scores = scores * np.array([answer.trust for answer in column])
    passed = _passes(smiles, components, raw, notes, filters)
    scores = np.where(passed, scores, 0.0)
    beside = _beside(components, answers)
    return [
        Scored(
            tuple(raw[row].tolist()),
            tuple(transformed[row].tolist()),
            float(scores[row]),
            bool(passed[row]),
            tuple(problems[row]),
            tuple(notes[row]),
            beside[row],
        )
        for row in range(len(smiles))
    ]


def _beside(
    components: Sequence[Component], answers: Sequence[Sequence[Answer]]
) -> list[dict[str, Any]]:
    """Further columns of each molecule; those of several models carry the component's name."""
    several = sum(part.property == "qsar" for part in components) > 1
    rows: list[dict[str, Any]] = [{} for _ in answers[0]]
    for part, column in zip(components, answers):
        for row, answer in zip(rows, column):
            for name, value in answer.beside.items():
                row[f"{part.name} {name}" if several else name] = value
    return rows


def cut_values(part: Component, values: np.ndarray) -> np.ndarray:
    """(n,) bool: values of a user's function that are taken for scores and cut to [0, 1]."""
    if part.property not in ("python", "program"):
        return np.zeros(len(values), dtype=bool)
    if part.resolved_transform().name not in ("identity", "one_minus"):
        return np.zeros(len(values), dtype=bool)
    return (values < 0.0) | (values > 1.0)


def _transformed(
    part: Component, values: np.ndarray, smiles: list[str], problems: list[list[str]]
) -> np.ndarray:
    shape = part.resolved_transform()
    if shape.name != "custom":
        return shape(values)
    result = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if math.isnan(value):
            continue
        try:
            result[row] = shape(np.array([value]))[0]
        except Exception as error:  # a custom transform is the user's code
            problems[row].append(
                f"{part.name}: transform raised {type(error).__name__}: {error} (for {smiles[row]})"
            )
            continue
        if math.isnan(result[row]):
            problems[row].append(f"{part.name}: transform gave NaN (for {smiles[row]})")
    return result


def _passes(
    smiles: list[str],
    components: Sequence[Component],
    raw: np.ndarray,
    notes: list[list[str]],
    filters: FilterSet | None,
) -> np.ndarray:
    passed = np.ones(len(smiles), dtype=bool)
    for index, part in enumerate(components):
        if not part.hard:
            continue
        kept = part.satisfied(raw[:, index])
        for missed in np.flatnonzero(~kept):
            notes[int(missed)].append(f"refused: not {part.statement}")
        passed &= kept
    if filters is not None:
        table = filter_molecules(smiles, filters=filters)
        for row, (good, reasons) in enumerate(zip(table["passed"], table["reasons"])):
            if not good:
                passed[row] = False
                notes[row].append(f"refused: {reasons}")
    return passed


def keeps_bounds(
    smiles: list[str],
    components: Sequence[Component],
    evaluators: Sequence[Evaluator],
    filters: Any = None,
) -> list[bool]:
    """Whether each molecule keeps the filters and those hard bounds that are cheap to ask."""
    good = [parse_or_none(text) is not None for text in smiles]
    for part, evaluator in zip(components, evaluators, strict=True):
        if part.hard and part.property not in COSTLY_KINDS:
            asked = [text for text, fine in zip(smiles, good) if fine]
            values = [a.value for a in evaluate_all(evaluator, asked, part.name)]
            kept = iter(part.satisfied(np.array(values, dtype=float)))
            good = [fine and bool(next(kept)) for fine in good]
    if filters is not None and any(good):
        asked = [text for text, fine in zip(smiles, good) if fine]
        passed = iter(filter_molecules(asked, filters=filters)["passed"])
        good = [fine and bool(next(passed)) for fine in good]
    return good
