"""What every way of writing molecules shares: its result, random streams, checks of arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rdkit import Chem, rdBase

from molgen.chem.refusals import Refusal
from molgen.motifs.assembly import to_smiles
from molgen.motifs.trees import MotifTree


class Molecules(list[str]):
    """A list of canonical SMILES that also says what was dropped on the way.

    dropped: strings that RDKit refused, with the reason; each was replaced by a new draw.
    notes: sentences on what of the input is not in the output, for its record.
    acceptance: share of proposals that met the conditions asked for.
    """

    def __init__(
        self, smiles: Iterable[str], dropped: Sequence[Refusal] = (), notes: Sequence[str] = ()
    ):
        super().__init__(smiles)
        self.dropped = tuple(dropped)
        self.notes = tuple(notes)
        self.acceptance = 1.0


def to_canonical(tree: MotifTree) -> str | Refusal:
    """Canonical SMILES of a tree without stereo, or why there is none."""
    text = to_smiles(tree)
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
    if mol is None:
        return Refusal(0, text, "RDKit cannot read the assembled molecule")
    return Chem.MolToSmiles(mol)
