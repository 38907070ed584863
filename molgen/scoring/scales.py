"""What kinds of property share: scales, evaluators, and the reference distributions.

An evaluator turns canonical SMILES into answers (``molgen.scoring.guarded_calls.Answer``): a raw
value, or why there is none. A scale says where the values of a property usually lie; an objective
takes its default shapes from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from rdkit import Chem

from molgen.chem.parsing import MoleculeError, parse, quiet_rdkit
from molgen.chem.properties import DESCRIPTORS
from molgen.files.datasets import load_dataset
from molgen.scoring.guarded_calls import Answer

Evaluator = Callable[[list[str]], list[Answer]]
"""Canonical SMILES -> one answer each."""


@dataclass(frozen=True)
class Scale:
    """Where the values of a property usually lie.

    Attributes:
        low: About the 10 % quantile of the reference set.
        high: About its 90 % quantile.
        spread: Its standard deviation: the width within which a missed bound still earns credit.
        unit: True if the value is a score in [0, 1] already.
    """

    low: float
    high: float
    spread: float
    unit: bool = False


_SAMPLE = 1_000
"""Molecules of MOSES's sample from which the scale of a user's descriptor is taken."""

UNIT = Scale(0.0, 1.0, 0.15, unit=True)


@dataclass(frozen=True)
class Kind:
    """A kind of property.

    Attributes:
        name: How an objective names it.
        meaning: One phrase for tables and messages.
        build: Parameters -> evaluator; checks the parameters' values.
        required: Parameters that must be given.
        optional: Parameters that may be given.
        scale: Parameters -> scale, or None where nothing is known.
        label: Parameters -> name of the column, where it says more than the kind's name.
    """

    name: str
    meaning: str
    build: Callable[[Mapping[str, Any]], Evaluator]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    scale: Callable[[Mapping[str, Any]], Scale | None] = lambda parameters: None
    label: Callable[[Mapping[str, Any]], str] | None = None


# ---- reference distributions ---------------------------------------------------------------------
@lru_cache(maxsize=1)
def reference_quantiles() -> dict[str, Any]:
    """Quantiles of every descriptor over 10,000 MOSES training molecules, as shipped."""
    text = files("molgen").joinpath("data/descriptor_quantiles.json").read_text(encoding="utf-8")
    return json.loads(text)


def descriptor_scale(name: str) -> Scale | None:
    """Where a descriptor's values lie in MOSES; of one that a user added, in its sample."""
    if name == "qed":
        return UNIT
    reference = reference_quantiles()
    if name not in reference["quantiles"]:
        return _scale_of_sample(DESCRIPTORS[name].function)
    values = reference["quantiles"][name]
    probabilities = reference["probabilities"]
    low, high = values[probabilities.index(0.1)], values[probabilities.index(0.9)]
    spread = max(reference["standard_deviation"][name], 1e-6)
    return _scale(low, high, spread)


def _scale(low: float, high: float, spread: float) -> Scale:
    if high <= low:  # a property that hardly varies in the reference, such as charge
        low, high, spread = low, low + 1.0, max(spread, 0.5)
    return Scale(low, high, spread)


@lru_cache(maxsize=64)
def _scale_of_sample(function: Callable[[Chem.Mol], float]) -> Scale | None:
    """The scale of a function of molecules from the shipped sample of MOSES."""
    sample = list(load_dataset("moses", split="sample")[:_SAMPLE])
    values = np.array([answer.value for answer in per_molecule(function)(sample)])
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = (float(q) for q in np.quantile(values, [0.1, 0.9]))
    return _scale(low, high, max(float(values.std()), 1e-6))


# ---- evaluators ----------------------------------------------------------------------------------
def per_molecule(function: Callable[[Chem.Mol], float]) -> Evaluator:
    """An evaluator that asks ``function`` molecule by molecule; its errors become reasons."""

    def evaluate(smiles: list[str]) -> list[Answer]:
        answers = []
        for text in smiles:
            try:
                with quiet_rdkit():
                    value = float(function(parse(text)))
            except (MoleculeError, ValueError, RuntimeError, ZeroDivisionError) as error:
                answers.append(Answer(math.nan, f"{type(error).__name__}: {error}"))
                continue
            problem = None if math.isfinite(value) else f"is {value}"
            answers.append(Answer(value if problem is None else math.nan, problem))
        return answers

    return evaluate


def evaluate_all(evaluator: Evaluator, smiles: Sequence[str], label: str) -> list[Answer]:
    """Answers of ``evaluator``; if it fails as a whole, every molecule gets the reason."""
    try:
        answers = evaluator(list(smiles))
    except Exception as error:  # a model or plug-in may raise anything; the run goes on
        problem = f"{label} failed: {type(error).__name__}: {error}"
        return [Answer(math.nan, problem)] * len(smiles)
    return answers
