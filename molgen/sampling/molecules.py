"""What every way of writing molecules shares: its result, random streams, checks of arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rdkit import Chem, rdBase

from molgen.chem.refusals import Refusal
from molgen.motifs.assembly import to_smiles
from molgen.motifs.trees import MotifTree
from molgen.report.drawing import draw


class Molecules(list[str]):
    """A list of canonical SMILES that also says what was dropped on the way.

    dropped: strings that RDKit refused, with the reason; each was replaced by a new draw.
    notes: sentences on what of the input is not in the output, for its record.
    acceptance: share of proposals that met the conditions asked for.
    precedent: for each molecule of a verb that puts parts together, how often training molecules
        have the part (the rarest of several); 0 for what only the model proposes. Else empty.
    parts: of each such molecule the part that was put in, with its marks; several joined by dots.

    Examples:
        >>> from molgen.sampling.molecules import Molecules
        >>> drawn = Molecules(["CCO", "CCN"], notes=["two of them"])
        >>> drawn, drawn.notes, sorted(drawn.shares)
        (['CCO', 'CCN'], ('two of them',), ['own', 'precedent'])
    """

    def __init__(
        self, smiles: Iterable[str], dropped: Sequence[Refusal] = (), notes: Sequence[str] = ()
    ):
        super().__init__(smiles)
        self.dropped = tuple(dropped)
        self.notes = tuple(notes)
        self.acceptance = 1.0
        self.precedent: tuple[int, ...] = ()
        self.parts: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """The first 24 molecules drawn, for a notebook."""
        if not self:
            return "<p>no molecules</p>"
        shown = list(self)[:24]
        known = {"precedent": list(self.precedent[:24])} if self.precedent else None
        more = f"<p>and {len(self) - len(shown):,} more</p>" if len(self) > len(shown) else ""
        return f"{draw(shown, scores=known, columns=6, size=(150, 110))}{more}"

    @property
    def shares(self) -> dict[str, float]:
        """Share of the molecules whose parts have precedent, and share that is the model's own."""
        known = sum(count > 0 for count in self.precedent)
        n = max(len(self.precedent), 1)
        return {"precedent": known / n, "own": (len(self.precedent) - known) / n}


def to_canonical(tree: MotifTree) -> str | Refusal:
    """Canonical SMILES of a tree without stereo, or why there is none."""
    text = to_smiles(tree)
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
    if mol is None:
        return Refusal(0, text, "RDKit cannot read the assembled molecule")
    return Chem.MolToSmiles(mol)
