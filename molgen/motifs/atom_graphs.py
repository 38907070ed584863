"""Which molecules a vocabulary writes, their atom graphs for the encoder, batches of like size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit

from molgen.motifs.tree_tables import StereoPlaces, TreeTable
from molgen.motifs.vocabulary import JOINING_BOND, N_BOND_TYPES, Vocabulary

N_EDGE_CODES = N_BOND_TYPES * 6
N_STEREO_KINDS = 7


@dataclass(frozen=True, eq=False)
class PlaceArrays:
    """The ``m`` stereo places of a batch's molecules, in the molecules' order.

    atom: (m, 2) int64 atoms of the batch, the second -1 for a centre. molecule: (m,) int64.
    number: (m,) int64, place within the molecule. state: (m,) int64.
    edge_code: (n_edges,) int64, the bond's type and whether its first atom is a neighbour that the
        state of the second refers to: none, first to fourth of a centre, or that of a double bond.
    kind: (n_atoms,) int64, 0 for atoms without stereo; 1 to 3 for centres by state, 4 to 6 for the
        ends of double bonds.
    """

    atom: np.ndarray
    molecule: np.ndarray
    number: np.ndarray
    state: np.ndarray
    edge_code: np.ndarray
    kind: np.ndarray


@dataclass(frozen=True, eq=False)
class AtomGraphs:
    """The atom graphs of ``n`` molecules, in one.

    feature: (n_atoms, 5) int64, as ``Vocabulary.atom_feature`` less the hydrogens given up.
    row: (n_atoms, 3) int64 environment rows. molecule: (n_atoms,) int64.
    edge_index: (2, n_edges) int64, both directions; edge_type: (n_edges,) int64.
    places: what can carry stereo, where the table holds stereo.
    """

    feature: np.ndarray
    row: np.ndarray
    molecule: np.ndarray
    edge_index: np.ndarray
    edge_type: np.ndarray
    n: int
    places: PlaceArrays | None = None


def writable(table: TreeTable, vocabulary: Vocabulary, max_motifs: int) -> np.ndarray:
    """(n,) bool: molecules that ``vocabulary`` writes in canonical order, of allowed size."""
    motif = motif_numbers(table, vocabulary)
    safe = np.maximum(motif, 0)
    first = _first_equivalents(vocabulary)
    joined = table.parent >= 0
    known = motif >= 0
    token = vocabulary.atom_token[
        first[vocabulary.atom_offset[safe] + np.maximum(table.child_atom, 0) * known]
    ]
    good = known & (~joined | (token >= 0))
    per_molecule = np.logical_and.reduceat(good, table.offsets[:-1]) if len(table) else good
    return per_molecule & (table.sizes <= max_motifs)


def motif_numbers(table: TreeTable, vocabulary: Vocabulary) -> np.ndarray:
    """(n_nodes,) int32: the table's motifs as numbers of ``vocabulary``; -1 where it has none."""
    number_of = vocabulary.number_of
    translate = np.array([number_of.get(m, -1) for m in table.motifs], dtype=np.int32)
    return translate[table.motif] if len(table.motif) else table.motif.astype(np.int32)


def _first_equivalents(vocabulary: Vocabulary) -> np.ndarray:
    """(n_motif_atoms,) the motif-atom that stands for each class of equivalent motif-atoms."""
    first = np.arange(len(vocabulary.atom_token), dtype=np.int64)
    for m in range(vocabulary.n_motifs):
        start, stop = vocabulary.atom_offset[m], vocabulary.atom_offset[m + 1]
        count, begin = vocabulary.symmetry_count[m], vocabulary.symmetry_start[m]
        if count > 1:
            size = stop - start
            permutations = vocabulary.symmetry[begin : begin + count * size].reshape(count, size)
            first[start:stop] = start + permutations.min(axis=0)
    return first


def atom_graphs(table: TreeTable, motif: np.ndarray, vocabulary: Vocabulary, keep) -> AtomGraphs:
    """Atom graphs of the molecules ``keep`` of ``table``; ``motif`` from ``motif_numbers``."""
    v = vocabulary
    keep = np.asarray(keep, dtype=np.int64)
    n_atoms, n_bonds = _graph_size(keep, table.offsets, motif, v.atom_offset, v.bond_offset)
    feature = np.empty((n_atoms, 5), np.int64)
    row = np.empty((n_atoms, 3), np.int64)
    molecule = np.empty(n_atoms, np.int64)
    edge_index = np.empty((2, 2 * n_bonds), np.int64)
    edge_type = np.empty(2 * n_bonds, np.int64)
    _fill_graphs(
        keep, table.offsets, motif, table.parent, table.parent_atom, table.child_atom,
        v.atom_offset, v.atom_feature, v.atom_row, v.bond_offset, v.bond_begin, v.bond_end,
        v.bond_type, feature, row, molecule, edge_index, edge_type,
    )  # fmt: skip
    places = None
    if table.stereo is not None:
        places = _place_arrays(table.stereo, keep, molecule, edge_index, edge_type)
    return AtomGraphs(feature, row, molecule, edge_index, edge_type, len(keep), places)


def _place_arrays(
    stereo: StereoPlaces,
    keep: np.ndarray,
    molecule: np.ndarray,
    edge_index: np.ndarray,
    edge_type: np.ndarray,
) -> PlaceArrays:
    some = stereo.take(keep)
    counts = np.diff(some.offsets)
    owner = np.repeat(np.arange(len(keep)), counts)
    first_atom = np.searchsorted(molecule, np.arange(len(keep)))
    first_edge = np.searchsorted(molecule[edge_index[0]], np.arange(len(keep) + 1))
    start = first_atom[owner][:, None]
    atom = np.where(some.atom >= 0, some.atom + start, -1)
    reference = np.where(some.reference >= 0, some.reference + start, -1)
    state = some.state.astype(np.int64)
    order = np.zeros(len(edge_type), np.int64)
    _mark_references(owner, atom, reference, first_edge, edge_index, order)
    kind = np.zeros(len(molecule), np.int64)
    kind[atom[:, 0]] = 1 + state + 3 * (atom[:, 1] >= 0)
    double = atom[:, 1] >= 0
    kind[atom[double, 1]] = 4 + state[double]
    return PlaceArrays(
        atom=atom,
        molecule=owner,
        number=np.arange(len(owner)) - some.offsets[:-1][owner],
        state=state,
        edge_code=edge_type + N_BOND_TYPES * order,
        kind=kind,
    )


@njit(cache=True)
def _mark_references(owner, atom, reference, first_edge, edge_index, order):
    for p in range(len(owner)):
        for edge in range(first_edge[owner[p]], first_edge[owner[p] + 1]):
            source, target = edge_index[0, edge], edge_index[1, edge]
            if atom[p, 1] < 0:
                if target == atom[p, 0]:
                    for k in range(4):
                        if reference[p, k] == source:
                            order[edge] = k + 1
            elif (target == atom[p, 0] and source == reference[p, 0]) or (
                target == atom[p, 1] and source == reference[p, 1]
            ):
                order[edge] = 5


@njit(cache=True)
def _graph_size(keep, offsets, motif, atom_offset, bond_offset):
    n_atoms = 0
    n_bonds = 0
    for i in keep:
        n_bonds += offsets[i + 1] - offsets[i] - 1
        for node in range(offsets[i], offsets[i + 1]):
            m = motif[node]
            n_atoms += atom_offset[m + 1] - atom_offset[m]
            n_bonds += bond_offset[m + 1] - bond_offset[m]
    return n_atoms, n_bonds


@njit(cache=True)
def _fill_graphs(
    keep, offsets, motif, parent, parent_atom, child_atom,
    atom_offset, atom_feature, atom_row, bond_offset, bond_begin, bond_end, bond_type,
    feature, row, molecule, edge_index, edge_type,
):  # fmt: skip
    atom = 0
    edge = 0
    most = 1
    for i in keep:
        most = max(most, offsets[i + 1] - offsets[i])
    starts = np.empty(most, np.int64)
    for b in range(len(keep)):
        first, last = offsets[keep[b]], offsets[keep[b] + 1]
        for node in range(first, last):
            m = motif[node]
            starts[node - first] = atom
            for a in range(atom_offset[m], atom_offset[m + 1]):
                for f in range(5):
                    feature[atom, f] = atom_feature[a, f]
                for r in range(3):
                    row[atom, r] = atom_row[a, r]
                molecule[atom] = b
                atom += 1
            for k in range(bond_offset[m], bond_offset[m + 1]):
                x = starts[node - first] + bond_begin[k]
                y = starts[node - first] + bond_end[k]
                edge_index[0, edge], edge_index[1, edge] = x, y
                edge_index[0, edge + 1], edge_index[1, edge + 1] = y, x
                edge_type[edge] = bond_type[k]
                edge_type[edge + 1] = bond_type[k]
                edge += 2
            if parent[node] >= 0:
                x = starts[parent[node]] + parent_atom[node]
                y = starts[node - first] + child_atom[node]
                feature[x, 2] = max(feature[x, 2] - 1, 0)
                feature[y, 2] = max(feature[y, 2] - 1, 0)
                edge_index[0, edge], edge_index[1, edge] = x, y
                edge_index[0, edge + 1], edge_index[1, edge + 1] = y, x
                edge_type[edge] = JOINING_BOND
                edge_type[edge + 1] = JOINING_BOND
                edge += 2


def bucketed(
    sizes: np.ndarray, batch_size: int, seed: int, epoch: int, window: int = 64
) -> Iterator[np.ndarray]:
    """One pass over molecules of the given ``sizes`` in shuffled batches of nearly equal size.

    Molecules are shuffled, sorted by size within windows of ``window`` batches, cut into batches,
    and the batches of a window are shuffled again. Deterministic in (seed, epoch).
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
    shuffled = rng.permutation(len(sizes))
    for start in range(0, len(shuffled), window * batch_size):
        part = shuffled[start : start + window * batch_size]
        part = part[np.argsort(sizes[part], kind="stable")]
        batches = [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
        for k in rng.permutation(len(batches)):
            yield batches[k]
