"""Motif trees written motif by motif, in canonical order or any other: what the decoder learns.

A growth is built from a TreeTable and a Vocabulary by compiled loops, so that it costs microseconds
a molecule and any order can be drawn anew at each pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from molgen.motifs.tree_tables import TreeTable
from molgen.motifs.vocabulary import Vocabulary

CANONICAL, ANY_ORDER = 0, 1


@dataclass(frozen=True, eq=False)
class Growth:
    """``n`` molecules written motif by motif, padded to ``t`` motifs and ``s`` sites.

    Position 0 is the start; position ``i + 1`` is the ``i``-th motif placed.

    size: (n,) motifs. order: (n,) CANONICAL or ANY_ORDER.
    token: (n, t). parent: (n, t) position of the motif it hangs from (0 for the first).
    parent_site: (n, t) site id by which it hangs (-1 for the first).
    site: (n, s) site ids (-1 is padding). site_position: (n, s) position of the site's motif.
    site_target: (n, t) at position ``i + 1``: which of the ``s`` sites grows next, ``s`` to stop.
    site_open: (n, t, s) bool, sites that may grow at position ``i + 1``.
    """

    size: np.ndarray
    order: np.ndarray
    token: np.ndarray
    parent: np.ndarray
    parent_site: np.ndarray
    site: np.ndarray
    site_position: np.ndarray
    site_target: np.ndarray
    site_open: np.ndarray


def grow(
    table: TreeTable,
    motif: np.ndarray,
    vocabulary: Vocabulary,
    keep,
    order: np.ndarray,
    seed: np.ndarray,
) -> Growth:
    """Write the molecules ``keep`` in the order asked for.

    Args:
        motif: from ``motif_numbers``. keep: (n,) molecules, writable ones.
        order: (n,) CANONICAL or ANY_ORDER. In any order, a random connected part is grown first
            (random root, random frontier), then the rest depth-first from that part's motifs in
            turn; a molecule that the vocabulary cannot write so is written in canonical order.
        seed: (n,) uint64, one a molecule; the result depends on nothing else.
    """
    v = vocabulary
    keep = np.asarray(keep, dtype=np.int64)
    sizes = (table.offsets[keep + 1] - table.offsets[keep]).astype(np.int64)
    n, t = len(keep), int(sizes.max(initial=1))
    most_sites = int(_most_sites(keep, table.offsets, motif, v.atom_offset, v.atom_feature[:, 2]))
    growth = Growth(
        size=sizes,
        order=np.array(order, dtype=np.int64),
        token=np.zeros((n, t), np.int64),
        parent=np.zeros((n, t), np.int64),
        parent_site=np.full((n, t), -1, np.int64),
        site=np.full((n, most_sites), -1, np.int64),
        site_position=np.zeros((n, most_sites), np.int64),
        site_target=np.full((n, t), most_sites, np.int64),
        site_open=np.zeros((n, t, most_sites), np.bool_),
    )
    _fill_growth(
        keep, table.offsets, motif, table.parent, table.parent_atom, table.child_atom,
        np.asarray(seed, dtype=np.uint64),
        v.atom_offset, v.atom_token, v.symmetry_count, v.symmetry_start, v.symmetry,
        v.n_attached, v.site_offset, v.site_atom, v.site_capacity,
        growth.order, growth.token, growth.parent, growth.parent_site, growth.site,
        growth.site_position, growth.site_target, growth.site_open,
    )  # fmt: skip
    return growth


@njit(cache=True)
def _most_sites(keep, offsets, motif, atom_offset, hydrogens):
    most = 1
    for i in keep:
        count = 0
        for node in range(offsets[i], offsets[i + 1]):
            m = motif[node]
            for a in range(atom_offset[m], atom_offset[m + 1]):
                count += hydrogens[a] > 0
        most = max(most, count)
    return most


@njit(cache=True)
def _random(state, bound):
    """A number below ``bound`` and the next state (splitmix64)."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.int64(z >> np.uint64(33)) % bound, state


@njit(cache=True)
def _any_order(n, parent, state, visit, new_parent):
    """Fill ``visit`` (nodes in order) and ``new_parent`` (the node each hangs from)."""
    placed = np.zeros(n, np.bool_)
    root, state = _random(state, n)
    visit[0] = root
    new_parent[root] = -1
    placed[root] = True
    count = 1
    prefix, state = _random(state, n)
    prefix += 1
    frontier = np.empty(n, np.int64)
    while count < prefix:
        size = 0
        for node in range(n):
            if placed[node]:
                continue
            touches = parent[node] >= 0 and placed[parent[node]]
            if not touches:
                for child in range(node + 1, n):
                    if parent[child] == node and placed[child]:
                        touches = True
                        break
            if touches:
                frontier[size] = node
                size += 1
        pick, state = _random(state, size)
        node = frontier[pick]
        if parent[node] >= 0 and placed[parent[node]]:
            new_parent[node] = parent[node]
        else:
            for child in range(node + 1, n):
                if parent[child] == node and placed[child]:
                    new_parent[node] = child
        placed[node] = True
        visit[count] = node
        count += 1
    # The rest: depth-first below each motif of the prefix, in the order in which they stand.
    stack = np.empty(n, np.int64)
    source = np.empty(n, np.int64)
    for p in range(prefix):
        depth = 1
        stack[0] = visit[p]
        source[0] = -2
        while depth > 0:
            depth -= 1
            node, came = stack[depth], source[depth]
            if came != -2:
                if placed[node]:
                    continue
                placed[node] = True
                new_parent[node] = came
                visit[count] = node
                count += 1
            # Pushed in reverse, so that lower node numbers are visited first.
            for other in range(n - 1, -1, -1):
                if placed[other]:
                    continue
                if parent[other] == node or parent[node] == other:
                    stack[depth] = other
                    source[depth] = node
                    depth += 1
    return state


@njit(cache=True)
def _fill_growth(
    keep, offsets, motif, parent, parent_atom, child_atom, seed,
    atom_offset, atom_token, symmetry_count, symmetry_start, symmetry,
    n_attached, site_offset, site_atom, site_capacity,
    order, token, out_parent, parent_site, site, site_position, site_target, site_open,
):  # fmt: skip
    most_nodes = token.shape[1]
    most_sites = site.shape[1]
    visit = np.empty(most_nodes, np.int64)
    new_parent = np.empty(most_nodes, np.int64)
    position = np.empty(most_nodes, np.int64)
    mine = np.empty(most_nodes, np.int64)  # the atom of a node that joins it to its parent
    theirs = np.empty(most_nodes, np.int64)  # the atom of the parent
    best = np.empty(most_nodes, np.int64)  # the symmetry that a node's motif is written in
    left = np.empty(most_sites, np.int64)
    for b in range(len(keep)):
        first = offsets[keep[b]]
        n = offsets[keep[b] + 1] - first
        up = parent[first : first + n]
        for _attempt in range(2):
            if order[b] == 0:
                for i in range(n):
                    visit[i] = i
                    new_parent[i] = up[i]
            else:
                _any_order(n, up, seed[b], visit, new_parent)
            for i in range(n):
                position[visit[i]] = i
            for node in range(n):
                other = new_parent[node]
                if other < 0:
                    mine[node] = -1
                    theirs[node] = -1
                elif up[node] == other:
                    mine[node] = child_atom[first + node]
                    theirs[node] = parent_atom[first + node]
                else:  # the bond is walked from the child to the parent
                    mine[node] = parent_atom[first + other]
                    theirs[node] = child_atom[first + other]
            # Write each motif in the symmetry that gives the smallest (attachment, child atoms).
            for node in range(n):
                m = motif[first + node]
                size = atom_offset[m + 1] - atom_offset[m]
                start = symmetry_start[m]
                best[node] = start
                for k in range(1, symmetry_count[m]):
                    candidate = start + k * size
                    difference = 0
                    if mine[node] >= 0:
                        difference = (
                            symmetry[candidate + mine[node]] - symmetry[best[node] + mine[node]]
                        )
                    i = position[node] + 1
                    while difference == 0 and i < n:
                        child = visit[i]
                        if new_parent[child] == node:
                            difference = (
                                symmetry[candidate + theirs[child]]
                                - symmetry[best[node] + theirs[child]]
                            )
                        i += 1
                    if difference < 0:
                        best[node] = candidate
            possible = True
            for i in range(n):
                node = visit[i]
                m = motif[first + node]
                if i == 0:
                    token[b, i] = n_attached + m
                else:
                    token[b, i] = atom_token[atom_offset[m] + symmetry[best[node] + mine[node]]]
                    possible = possible and token[b, i] >= 0
            if possible or order[b] == 0:
                break
            order[b] = 0
        # Sites of each motif, and which of them grows at each position.
        n_sites = 0
        for i in range(n):
            node = visit[i]
            tok = token[b, i]
            if i > 0:
                above = position[new_parent[node]]
                out_parent[b, i] = above + 1
                wanted = symmetry[best[new_parent[node]] + theirs[node]]
                for s in range(n_sites):
                    if site_position[b, s] == above + 1 and site_atom[site[b, s]] == wanted:
                        site_target[b, i - 1] = s
                        parent_site[b, i] = site[b, s]
                        left[s] -= 1
                        if order[b] == 0:
                            # Depth-first: everything placed after the parent is finished.
                            for r in range(n_sites):
                                if site_position[b, r] > above + 1:
                                    left[r] = 0
            for k in range(site_offset[tok], site_offset[tok + 1]):
                site[b, n_sites] = k
                site_position[b, n_sites] = i + 1
                left[n_sites] = site_capacity[k]
                n_sites += 1
            for s in range(n_sites):
                site_open[b, i, s] = left[s] > 0
