"""What a campaign is asked for, and the record of it that is written to its file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FORMAT = 1
_DIRECTIONS = {"maximise": 1.0, "maximize": 1.0, "minimise": -1.0, "minimize": -1.0}


@dataclass(frozen=True)
class Quantity:
    """One measured quantity and what is wanted of it.

    Attributes:
        name: Its column.
        sign: 1 for high values, -1 for low ones.
        weight: Against the other quantities.
    """

    name: str
    sign: float
    weight: float = 1.0


def read_quantities(objective: Any) -> tuple[Quantity, ...]:
    """Quantities from "maximise pIC50", a list of such, or {"pIC50": "maximise", ...}.

    Raises:
        ValueError: What is none of these, or a name given twice.
    """
    if isinstance(objective, Mapping):
        given = [f"{how} {name}" for name, how in objective.items()]
    else:
        given = [objective] if isinstance(objective, str) else list(objective)
    found: list[Quantity] = []
    for text in given:
        if isinstance(text, Quantity):
            found.append(text)
            continue
        word, _, rest = str(text).strip().partition(" ")
        name, _, weight = rest.strip().partition(" weight ")
        if word.casefold() not in _DIRECTIONS or not name.strip():
            raise ValueError(
                f"{text!r} is not understood: write 'maximise COLUMN' or 'minimise COLUMN', "
                "with ' weight 2' behind it where some count more"
            )
        try:
            size = float(weight) if weight else 1.0
        except ValueError:
            size = math.nan
        if not 0 < size < math.inf:
            raise ValueError(f"{text!r}: the weight is a number above 0")
        found.append(Quantity(name.strip(), _DIRECTIONS[word.casefold()], size))
    names = [q.name for q in found]
    if not names:
        raise ValueError("a campaign needs a quantity, such as 'maximise pIC50'")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is asked for twice")
    return tuple(found)


@dataclass
class CampaignState:
    """What is written to the campaign's file."""

    quantities: tuple[Quantity, ...]
    budget: int | None
    seed: int
    library: str
    rounds: list[list[dict[str, Any]]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps({
            "format": _FORMAT, "budget": self.budget, "seed": self.seed, "library": self.library,
            "quantities": [[q.name, q.sign, q.weight] for q in self.quantities],
            "rounds": self.rounds, "results": self.results,
        }, indent=1)  # fmt: skip

    @classmethod
    def from_json(cls, text: str, path: Path) -> CampaignState:
        """The record of a file's text; ValueError, which names ``path``, for another format."""
        try:
            data = json.loads(text)
            if data["format"] != _FORMAT:
                raise ValueError(f"{path} is of format {data['format']}, not {_FORMAT}")
            quantities = tuple(
                Quantity(str(n), float(s), float(w)) for n, s, w in data["quantities"]
            )
            return cls(quantities, data["budget"], int(data["seed"]), str(data["library"]),
                       list(data["rounds"]), list(data["results"]))  # fmt: skip
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is no campaign: {error}") from error
