"""Molecules made of the same motifs as another one, joined in a slightly different way.

A decoder that has all parts of a molecule right, and hangs one of them on the wrong atom or two of
them in each other's place, is one such step from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rdkit import Chem, rdBase

from molgen.motifs.assembly import to_smiles
from molgen.motifs.stereo import flat_of, flatten
from molgen.motifs.trees import Edge, MotifError, MotifTree, decompose, motif

#: A bond between motifs: two ends, each (node, atom).
_Bond = tuple[tuple[int, int], tuple[int, int]]


def rearranged(smiles: str, most: int) -> list[str]:
    """Flat molecules that differ from ``smiles`` by one bond between motifs that ends elsewhere,
    or by two such bonds that have exchanged ends: ``most`` canonical SMILES at most.

    None for a molecule that has no motif tree.

    Examples:
        >>> from molgen.sampling.rearranging import rearranged
        >>> sorted(rearranged("OCc1ccccc1", 10))
        ['COc1ccccc1', 'Cc1ccc(O)cc1', 'Cc1cccc(O)c1', 'Cc1ccccc1O']
    """
    try:
        tree = decompose(flatten(Chem.MolFromSmiles(smiles)))
    except MotifError:
        return []
    found: dict[str, None] = {}
    itself = flat_of(Chem.CanonSmiles(smiles))
    with rdBase.BlockLogs():
        for changed in _changed(tree):
            mol = Chem.MolFromSmiles(to_smiles(changed))
            if mol is not None and (text := Chem.MolToSmiles(mol)) != itself:
                found[text] = None
            if len(found) >= most:
                break
    return list(found)


def _changed(tree: MotifTree) -> Iterator[MotifTree]:
    bonds: list[_Bond] = [((e.parent, e.parent_atom), (e.child, e.child_atom)) for e in tree.edges]
    free = {
        (node, atom): hydrogens
        for node, smiles in enumerate(tree.motifs)
        for atom, hydrogens in enumerate(motif(smiles).hydrogens)
    }
    for bond in bonds:
        for end in bond:
            free[end] -= 1
    for i, (one, other) in enumerate(bonds):
        rest = bonds[:i] + bonds[i + 1 :]
        side = _joined(rest, one[0])
        for kept, moved, own in ((one, other, True), (other, one, False)):
            for site, hydrogens in free.items():
                if hydrogens > 0 and site != moved and (site[0] in side) != own:
                    yield _tree(tree.motifs, [*rest, (kept, site)])
        for j, (third, fourth) in enumerate(rest[:i]):
            others = rest[:j] + rest[j + 1 :]
            for ends in ((third, fourth), (fourth, third)):
                new = [*others, (one, ends[0]), (other, ends[1])]
                if len(_joined(new, 0)) == len(tree):
                    yield _tree(tree.motifs, new)


def _joined(bonds: Sequence[_Bond], node: int) -> set[int]:
    """The nodes that ``node`` is joined to by ``bonds``, itself among them."""
    found, news = {node}, [node]
    while news:
        here = news.pop()
        for (a, _), (b, _) in bonds:
            for from_, to in ((a, b), (b, a)):
                if from_ == here and to not in found:
                    found.add(to)
                    news.append(to)
    return found


def _tree(motifs: Sequence[str], bonds: Sequence[_Bond]) -> MotifTree:
    """The tree of motifs joined by ``bonds``, which join all; its root is node 0."""
    number, order, edges = {0: 0}, [0], []
    for here in order:
        for bond in bonds:
            for (a, atom), (b, end) in (bond, bond[::-1]):
                if a == here and b not in number:
                    number[b] = len(order)
                    order.append(b)
                    edges.append(Edge(number[a], atom, number[b], end))
    return MotifTree(tuple(motifs[node] for node in order), tuple(edges))
