"""Stereo for flat molecules, or for what molecules leave open, by a model that learned it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor

from molgen.model.graph_vae import GraphVAE
from molgen.motifs.atom_graphs import atom_graphs, motif_numbers
from molgen.motifs.stereo import Place, set_states
from molgen.motifs.tree_tables import pack_trees, stereo_parts
from molgen.motifs.vocabulary_growth import extend
from molgen.sampling.choices import choose

#: Random numbers for a molecule's states; a molecule with more places uses them again.
N_UNIFORMS = 64


@torch.no_grad()
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
        z, level: (n or 1, latent_dim) and (n or 1,), as for ``Writer.write``.
        uniforms: (n, N_UNIFORMS) numbers in [0, 1) that decide.
        temperature: 1 draws from the model, 0 takes the most probable states.
        closed: of each molecule the atoms whose centres and double bonds stay as they are.
    """
    given = [stereo_parts(_read(text), text) for text in smiles]
    result = list(smiles)
    open_places = [
        [
            not (place.state or (closed is not None and place.begin in closed[i]))
            for place in parts.places
        ]
        for i, parts in enumerate(given)
    ]
    some = [i for i, wanted in enumerate(open_places) if any(wanted)]
    if not some:
        return result
    table = pack_trees(
        [given[i].tree for i in some],
        list(range(len(some))),
        [given[i].numbered_places() for i in some],
    )
    vocabulary = network.vocabulary
    if not set(vocabulary.motifs).issuperset(table.motifs):
        vocabulary = extend(vocabulary, table.motifs)
    graphs = atom_graphs(table, motif_numbers(table, vocabulary), vocabulary, np.arange(len(some)))
    at = torch.tensor(some)
    condition = network.decoder.condition(z, level)
    condition = condition.expand(len(smiles), -1)[at] if len(z) == 1 else condition[at]
    draws = torch.from_numpy(np.asarray(uniforms, np.float32))[at]
    fixed = torch.tensor([not free for i in some for free in open_places[i]])

    def pick(logits: Tensor, which: Tensor, step: int) -> Tensor:
        rows = torch.arange(len(which))
        return choose(logits, draws[which, step % N_UNIFORMS], temperature, rows)

    states = network.stereo.write(graphs, network.describe_rows(graphs.row), condition, pick, fixed)
    start = 0
    for i in some:
        places: list[Place] = given[i].places
        chosen = states[start : start + len(places)]
        start += len(places)
        mol = set_states(given[i].flat, [p._replace(state=int(s)) for p, s in zip(places, chosen)])
        result[i] = Chem.MolToSmiles(mol)
    return result


def _read(text: str) -> Chem.Mol:
    mol = Chem.MolFromSmiles(text)
    if mol is None:
        raise ValueError(f"{text!r} is not a SMILES that RDKit can read")
    return mol
