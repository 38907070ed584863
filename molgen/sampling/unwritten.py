"""What a model does not write of the molecules that it is given, said once a call with the count.

A model's motifs decide which charges, elements, isotopes and ring systems it can write; whether it
writes stereo stands in its card. A verb that loses something of its input asks here, warns, and
hands the sentence on to the record of its output.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.base.user_warnings import warn_user
from molgen.chem.refusals import Refusal
from molgen.model.spelling import spell
from molgen.motifs.tree_tables import TreeTable
from molgen.motifs.trees import motif
from molgen.motifs.vocabulary import ELEMENTS, Vocabulary

if TYPE_CHECKING:
    from molgen.sampling.sampler import Sampler

STEREO = "stereo"
CHARGES = "charges"
ISOTOPES = "isotopes"
GROUPS = "ring systems or groups that it has not learnt"


def writes_stereo(card: Mapping[str, Any]) -> bool:
    """Whether the model of this card writes stereocentres and double-bond geometry."""
    return bool(card.get("config", {}).get("stereo_layers", 0))


class _Motifs:
    """Which motifs a vocabulary lacks, and what it lacks in them.

    Args:
        spells: whether the model also writes motifs that are not listed, letter by letter.
    """

    def __init__(self, vocabulary: Vocabulary, spells: bool) -> None:
        self.spells = spells
        self.known = set(vocabulary.motifs)
        present = np.unique(vocabulary.atom_feature[:, 0])
        self.elements = {ELEMENTS[i] for i in present if i < len(ELEMENTS)}
        self.found: dict[str, frozenset[str]] = {}

    def lacking(self, text: str) -> frozenset[str]:
        """What of a motif cannot be written; nothing of one that is known."""
        if text in self.known or (self.spells and spell(text, -1)):
            return frozenset()
        if text not in self.found:
            atoms = list(motif(text).mol.GetAtoms())
            kinds = {
                f"element {a.GetSymbol()}" for a in atoms if a.GetSymbol() not in self.elements
            }
            kinds |= {CHARGES for a in atoms if a.GetFormalCharge()}
            kinds |= {ISOTOPES for a in atoms if a.GetIsotope()}
            self.found[text] = frozenset(kinds or {GROUPS})
        return self.found[text]


def table_note(
    model: Sampler, table: TreeTable, flattened: Sequence[Refusal], consequence: str
) -> str:
    """One sentence on what the model does not write of motif trees; empty where it writes all.

    Args:
        flattened: the rows whose stereo the table leaves out.
        consequence: what becomes of it, for example ``"it is left out"``.
    """
    motifs = _Motifs(model.network.vocabulary, model.network.has_rare)
    lacking = [motifs.lacking(m) for m in table.motifs]
    flat = {r.row for r in flattened} if not writes_stereo(model.card) else set()
    unknown = np.array([bool(kinds) for kinds in lacking], dtype=bool)
    here = np.flatnonzero(unknown[table.motif]) if len(table.motif) else np.zeros(0, int)
    found: list[set[str]] = [{STEREO} if row in flat else set() for row in table.row.tolist()]
    for node, index in zip(here, np.searchsorted(table.offsets, here, side="right") - 1):
        found[index].update(lacking[table.motif[node]])
    return _sentence(found, consequence)


def _sentence(found: Sequence[set[str]], consequence: str) -> str:
    some = sum(bool(kinds) for kinds in found)
    if not some:
        return ""
    counts = Counter(kind for kinds in found for kind in kinds)
    told = ", ".join(f"{kind} ({counts[kind]:,})" for kind in sorted(counts))
    which = f"{some:,} of {len(found):,} molecules have"
    if len(found) == 1:
        told, which = ", ".join(sorted(counts)), "The molecule has"
    return f"{which} what this model does not write: {told}; {consequence}."


def tell(*notes: str) -> tuple[str, ...]:
    """Each note that is not empty as a warning; they come back for the record of the output."""
    said = tuple(note for note in notes if note)
    for note in said:
        warn_user(note)
    return said
