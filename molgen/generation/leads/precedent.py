"""What known molecules have at the places of a lead: groups to hang there, and how often.

Both are looked up in a table of precedent (``molgen.precedent.tables``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from rdkit import Chem

from molgen.generation.leads.changes import Change, Lead, branch_smiles
from molgen.precedent.files import PrecedentTable
from molgen.precedent.fragment_counts import write_part
from molgen.precedent.fragment_cuts import MOST_ATOMS, MOST_MARKS, contexts_of
from molgen.precedent.proposals import Wish, precedented, with_marks

Place = tuple[int, int, frozenset[int]]
_GROUPS = 12
_LARGER = 3  # heavy atoms that a group from the table may have more, or fewer, than the old one


def known_changes(
    table: PrecedentTable, lead: Lead, flat: Chem.Mol, places: Iterable[Place], most: int
) -> Iterator[Change]:
    """For each (anchor, first atom, atoms) of a branch, or of a hydrogen (no atoms), the groups
    that hang most often on such an atom.

    most: heavy atoms that may come beyond those that go.
    """
    for anchor, first, atoms in places:
        if atoms:
            context = contexts_of([flat], [[(anchor, first)]])[0]
        else:
            marked = with_marks(flat, {1: anchor})
            if marked is None:
                continue
            context = contexts_of([marked], [[(anchor, marked.GetNumAtoms() - 1)]])[0]
        size = len(atoms)
        wish = Wish((max(size - _LARGER, 1), size + min(most, _LARGER)))
        old = branch_smiles(lead, first, atoms) if atoms else "*[H]"
        for part in precedented(table.parts(1), [context.tolist()], wish, _GROUPS):
            text = part.text.replace("[*:1]", "*")
            if text != old:
                yield Change(
                    "exchange" if atoms else "add",
                    atoms | {anchor},
                    removed=atoms,
                    cuts=((anchor, first),) if atoms else (),
                    fragment=(anchor, text),
                    added=Chem.MolFromSmiles(text).GetNumHeavyAtoms(),
                    what=f"{old} -> {text}",
                )


def occurrences(
    table: PrecedentTable, mol: Chem.Mol, motif_of: Sequence[int], changed: Collection[int]
) -> int:
    """How often known molecules have the motifs of the atoms ``changed``, on such atoms as here.

    Motifs that hang together count as one part where the table has such parts, else one by one;
    of several parts the rarest counts. motif_of: the motif of each atom of ``mol``.
    """
    flat = Chem.Mol(mol)
    Chem.RemoveStereochemistry(flat)
    bonds = [
        (a, b)
        for a, b in ((x.GetBeginAtomIdx(), x.GetEndAtomIdx()) for x in flat.GetBonds())
        if motif_of[a] != motif_of[b]
    ]
    counts = []
    for together in _connected({motif_of[a] for a in changed}, bonds, motif_of):
        count = _count(table, flat, motif_of, bonds, together)
        if count is None:  # no such parts are in a table
            alone = [_count(table, flat, motif_of, bonds, {motif}) for motif in together]
            count = min(one or 0 for one in alone)
        counts.append(count)
    return min(counts, default=0)


def _connected(
    motifs: set[int], bonds: Sequence[tuple[int, int]], motif_of: Sequence[int]
) -> list[set[int]]:
    """``motifs`` in sets that hang together."""
    sets = [{motif} for motif in sorted(motifs)]
    for a, b in bonds:
        one = next((s for s in sets if motif_of[a] in s), None)
        other = next((s for s in sets if motif_of[b] in s), None)
        if one is not None and other is not None and one is not other:
            one |= other
            sets.remove(other)
    return sets


def _count(
    table: PrecedentTable,
    flat: Chem.Mol,
    motif_of: Sequence[int],
    bonds: Sequence[tuple[int, int]],
    motifs: set[int],
) -> int | None:
    """Occurrences of the part made of ``motifs`` on its surroundings; None for a kind of part that
    tables do not hold."""
    inner = {a for a, motif in enumerate(motif_of) if motif in motifs}
    pairs = [pair if pair[1] in inner else pair[::-1] for pair in bonds
             if (pair[0] in inner) != (pair[1] in inner)]  # fmt: skip
    k = len(pairs)
    if not 1 <= k <= MOST_MARKS or (len(motifs) > 1 and len(inner) > MOST_ATOMS.get(k, 0)):
        return None
    if len(motifs) > 2 and k > 2:
        return None
    written = write_part(flat, pairs)
    lookup = table.parts(k)
    number = None if written is None else lookup.number.get(written[0])
    if written is None or number is None:
        return 0
    codes = contexts_of([flat], [pairs])[:, 0].tolist()
    return min(lookup.count_on(number, mark, code) for mark, code in zip(written[1], codes))
