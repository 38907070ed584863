"""Records of what is set aside, with the reason: a row of the user's, or a molecule of the model's.

:class:`Rejected` names the line of the user's file, :class:`Refusal` the place in a list that the
program made; saved results and tables hold the fields of each, so neither became the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from molgen.chem.parsing import abbreviate


@dataclass(frozen=True)
class Rejected:
    """A row of the user's input that was not kept.

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
    """A molecule that the program set aside while it read, wrote or drew molecules.

    Attributes:
        row: its place in the list that was worked on, counted from 0.
        smiles: the molecule, or what was asked for; "" if there is none.
        reason: why, in a few words.
    """

    row: int
    smiles: str
    reason: str
