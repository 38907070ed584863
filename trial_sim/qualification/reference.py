"""The reference values that ship with the kit, and cases made of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from trial_sim.qualification.kit import Case

FOLDER = Path(__file__).parent / "values"
Inputs = Mapping[str, Any]


def read(name: str) -> dict[str, dict[str, Any]]:
    """Entries of a file of values, by their ids: source, inputs, expected, tolerance, kind."""
    entries = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return {entry["id"]: entry for entry in entries}


VALUES = read("reference_values.json")
ADAPTIVE = read("adaptive_values.json")


def in_words(inputs: Any) -> str:
    """Inputs of a case as one line of text."""
    if isinstance(inputs, Mapping):
        return ", ".join(f"{k.replace('_', ' ')} {in_words(v)}" for k, v in inputs.items())
    if isinstance(inputs, float):
        return f"{inputs:g}"
    return str(inputs)


def reference_cases(
    computed: Mapping[str, Mapping[str, Callable[[Inputs], Any]]],
    loose: Mapping[str, float] | None = None,
    values: Mapping[str, dict[str, Any]] = VALUES,
) -> tuple[Case, ...]:
    """A case for each id that is computed.

    Args:
        computed: requirement → id → function of the entry's inputs.
        loose: tolerances in place of the entry's, where the reference itself is less exact.
        values: the entries by id.
    """
    return tuple(
        Case(
            name,
            requirement,
            partial(function, values[name]["inputs"]),
            values[name]["expected"],
            values[name]["source"],
            (loose or {}).get(name, values[name]["tolerance"]),
            in_words(values[name]["inputs"]),
        )
        for requirement, group in computed.items()
        for name, function in group.items()
    )
