"""Records of rows that are set aside, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from molgen.chem.parsing import (
    abbreviate,
)

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Rejected:
    """One row that was not kept.

    Attributes:
        line: its number in the input, counted from 1 (the line number when read from a file).
        smiles: the user's own text: the SMILES as received, or the row where it has none.
        reason: why, in a few words.
        name: the identifier beside it, or an empty string.
    """

    line: int
    smiles: str
    reason: str
    name: str = ""

    def __str__(self) -> str:
        name = f" ({self.name})" if self.name else ""
        return f"line {self.line}{name}: {abbreviate(self.smiles)}: {self.reason}"


@dataclass(frozen=True)
class Refusal:
    """A molecule that has no motif tree, or whose tree leaves something out."""

    row: int
    smiles: str
    reason: str
