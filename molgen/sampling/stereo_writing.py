"""Molecules of written motif trees with stereo, and stereo for what molecules leave open, by a
model that learned it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from rdkit import Chem, rdBase
from torch import Tensor

from molgen.chem.refusals import Refusal
from molgen.model.graph_vae import GraphVAE
from molgen.motifs.assembly import to_ordered_smiles
from molgen.motifs.atom_graphs import atom_graphs, motif_numbers
from molgen.motifs.stereo import find_places, write_states
from molgen.motifs.tree_tables import StereoParts, atom_numbers, pack_trees, stereo_parts
from molgen.motifs.trees import MotifTree, output_order
from molgen.motifs.vocabulary_growth import with_motifs
from molgen.sampling.choices import choose

#: Random numbers for a molecule's states; a molecule with more places uses them again.
N_UNIFORMS = 64


def write_with_stereo(
    network: GraphVAE,
    trees: Sequence[MotifTree],
    z: Tensor,
    level: Tensor,
    uniforms: np.ndarray,
    temperature: float = 1.0,
) -> list[str | Refusal]:
    """Canonical SMILES of ``trees`` with a state for each atom and double bond that can carry
    stereo, or why there is none.

    Args:
        z, level: (n or 1, latent_dim) and (n or 1,), as for ``Writer.write``.
        uniforms: (n, N_UNIFORMS) numbers in [0, 1) that decide.
        temperature: 1 draws from the model, 0 takes the most probable states.
    """
    results: list[str | Refusal] = []
    given: dict[int, StereoParts] = {}
    for row, tree in enumerate(trees):
        found = _parts_of(tree)
        if isinstance(found, Refusal):
            results.append(found)
            continue
        results.append(found[0])
        if found[1].places:
            given[row] = found[1]
    rows, parts = list(given), list(given.values())
    free = [[True] * len(some.places) for some in parts]
    for row, text in zip(
        rows, _stated(network, parts, free, rows, z, level, uniforms, temperature)
    ):
        results[row] = text
    return results


def give_stereo(
    network: GraphVAE,
    smiles: Sequence[str],
    z: Tensor,
    level: Tensor,
    uniforms: np.ndarray,
    temperature: float = 1.0,
    closed: Sequence[Collection[int]] | None = None,
) -> list[str]:
    """``smiles`` with a state for each atom and double bond that can carry stereo.

    What they state is kept; the model may also leave a place unspecified.

    Args:
        smiles: n valid molecules.
        z, level, uniforms, temperature: as for ``write_with_stereo``.
        closed: of each molecule the atoms whose centres and double bonds stay as they are.
    """
    given = [stereo_parts(_read(text), text) for text in smiles]
    free = [
        [
            not (place.state or (closed is not None and place.begin in closed[i]))
            for place in parts.places
        ]
        for i, parts in enumerate(given)
    ]
    rows = [i for i, wanted in enumerate(free) if any(wanted)]
    parts, wanted = [given[i] for i in rows], [free[i] for i in rows]
    result = list(smiles)
    for row, text in zip(
        rows, _stated(network, parts, wanted, rows, z, level, uniforms, temperature)
    ):
        result[row] = text
    return result


@torch.no_grad()
def _stated(
    network: GraphVAE,
    given: Sequence[StereoParts],
    free: Sequence[Sequence[bool]],
    rows: Sequence[int],
    z: Tensor,
    level: Tensor,
    uniforms: np.ndarray,
    temperature: float,
) -> list[str]:
    """Canonical SMILES of the molecules ``given``, their ``free`` places in drawn states.

    ``rows`` are theirs in ``uniforms``, and in ``z`` and ``level`` where these have more than one.
    """
    if not given:
        return []
    table = pack_trees(
        [parts.tree for parts in given],
        list(range(len(given))),
        [parts.numbered_places() for parts in given],
    )
    vocabulary = with_motifs(network.vocabulary, table.motifs)
    graphs = atom_graphs(table, motif_numbers(table, vocabulary), vocabulary, np.arange(len(given)))
    device = network.device
    at = torch.tensor(rows, device=device)
    condition = network.decoder.condition(z.to(device), level.to(device))
    condition = condition.expand(len(given), -1) if len(z) == 1 else condition[at]
    draws = torch.from_numpy(np.asarray(uniforms, np.float32)).to(device)[at]
    fixed = torch.tensor([not own for wanted in free for own in wanted], device=device)

    def pick(logits: Tensor, which: Tensor, step: int) -> Tensor:
        here = torch.arange(len(which), device=device)
        return choose(logits, draws[which, step % N_UNIFORMS], temperature, here)

    states = network.stereo.write(graphs, network.describe_rows(graphs.row), condition, pick, fixed)
    texts, start = [], 0
    for parts in given:
        chosen = states[start : start + len(parts.places)].tolist()
        start += len(parts.places)
        stated = [p._replace(state=s) for p, s in zip(parts.places, chosen)]
        texts.append(write_states(parts.flat, stated))
    return texts


def _parts_of(tree: MotifTree) -> tuple[str, StereoParts] | Refusal:
    """Canonical SMILES without stereo of a tree, with its places, none of them stated."""
    text, order = to_ordered_smiles(tree)
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
    if mol is None:
        return Refusal(0, text, "RDKit cannot read the assembled molecule")
    smiles = Chem.MolToSmiles(mol)
    if mol.GetNumAtoms() != len(order):  # a motif's hydrogen became part of another atom
        return smiles, stereo_parts(_read(smiles), smiles)
    position = [0] * len(order)
    for number, atom in enumerate(output_order(mol)):
        position[atom] = number
    places = find_places(mol, position)
    return smiles, StereoParts(mol, tree, places, atom_numbers(tree, order))


def _read(text: str) -> Chem.Mol:
    mol = Chem.MolFromSmiles(text)
    if mol is None:
        raise ValueError(f"{text!r} is not a SMILES that RDKit can read")
    return mol
