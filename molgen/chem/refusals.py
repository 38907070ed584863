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
        smiles: the text as received.
        reason: why, in a few words.
    """

    line: int
    smiles: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {abbreviate(self.smiles)}: {self.reason}"


@dataclass(frozen=True)
class Refusal:
    """A molecule that has no motif tree, or whose tree leaves something out."""

    row: int
    smiles: str
    reason: str
