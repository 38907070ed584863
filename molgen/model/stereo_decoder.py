"""The part of the decoder that gives stereo: a state for each place of a finished flat molecule.

Message passing over the flat molecule, told the noised latent, gives each place a vector; a causal
transformer over the places, in the order of the canonical SMILES, gives each its state, knowing the
states of those before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from molgen.model.config import ModelConfig
from molgen.model.decoder import Block
from molgen.model.encoder import FEATURE_SIZES
from molgen.motifs.atom_graphs import N_EDGE_CODES, AtomGraphs
from molgen.motifs.stereo import N_STATES


class StereoDecoder(nn.Module):
    """Flat molecules and noised latents to the states of their places.

    blocks: causal layers of ``encoder_width`` (``molgen.model.decoder.Block``).
    """

    def __init__(self, config: ModelConfig, blocks: Sequence[nn.Module]):
        super().__init__()
        width = config.encoder_width
        self.condition = nn.Linear(config.width, width)
        self.features = nn.ModuleList(nn.Embedding(size, width) for size in FEATURE_SIZES)
        self.rows = nn.Linear(config.row_dim, width, bias=False)
        self.networks = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.bonds = nn.ModuleList()
        for _ in range(config.stereo_layers):
            network = nn.Sequential(
                nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
            )
            self.networks.append(network)
            self.norms.append(nn.LayerNorm(width))
            self.bonds.append(nn.Embedding(N_EDGE_CODES, width))
        self.centre = nn.Linear(width, width)
        self.partner = nn.Linear(width, width)
        self.kind = nn.Embedding(2, width)
        self.before = nn.Embedding(N_STATES + 1, width)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.state = nn.Linear(width, N_STATES)

    def describe_places(self, graphs: AtomGraphs, rows: Tensor, condition: Tensor) -> Tensor:
        """(m, width), a vector for each place.

        Args:
            rows: (n_atoms, row_dim) environment vectors. condition: (n, width) of the latents.
        """
        places = graphs.places
        assert places is not None
        device = rows.device
        atoms, edges = _near_places(graphs, len(self.networks))
        place_of = np.full(len(graphs.molecule), -1)
        place_of[atoms] = np.arange(len(atoms))
        feature = torch.from_numpy(graphs.feature[atoms]).to(device)
        molecule = torch.from_numpy(graphs.molecule[atoms]).to(device)
        source, target = torch.from_numpy(place_of[graphs.edge_index[:, edges]]).to(device)
        edge_code = torch.from_numpy(places.edge_code[edges]).to(device)
        x = self.rows(rows[torch.from_numpy(atoms).to(device)]) + condition[molecule]
        for column, embedding in enumerate(self.features):
            x = x + embedding(feature[:, column])
        for network, norm, bond in zip(self.networks, self.norms, self.bonds):
            # a GINE convolution; PyTorch Geometric, which the encoder takes it from, would cost
            # every sampling process seconds to import
            h = norm(x)
            message = F.relu(h[source] + bond(edge_code))
            x = x + network(h.index_add(0, target, message.to(h.dtype)))
        double = torch.from_numpy(places.atom[:, 1] >= 0).long().to(device)
        atom = torch.from_numpy(place_of[places.atom]).to(device)
        partner = self.partner(x[atom[:, 1].clamp(min=0)]) * double.unsqueeze(1)
        return self.centre(x[atom[:, 0]]) + partner + self.kind(double)

    def logits(self, places: Tensor, before: Tensor, condition: Tensor) -> Tensor:
        """(n, s, 3) of places (n, s, width), each told the state ``before`` it, (n, s)."""
        x = places + self.before(before)
        s = x.shape[1]
        mask = torch.full((s, s), -1e9, device=x.device).triu(1)
        for block in self.blocks:
            x = block(x, block.modulation(condition), mask)  # type: ignore[operator]
        return self.state(self.norm(x)).float()

    def negative_log_likelihood(
        self, graphs: AtomGraphs, rows: Tensor, condition: Tensor
    ) -> Tensor:
        """-log p of the states of each molecule, (n,) nats.

        Args:
            condition: (n, width) from the decoder, of the noised latents.
        """
        places = graphs.places
        assert places is not None
        condition = self.condition(condition)
        loss = torch.zeros(graphs.n, device=rows.device)
        if not len(places.state):
            return loss + 0.0 * condition.sum()
        vectors = self.describe_places(graphs, rows, condition)
        which, at, padded, state = _in_rows(vectors, graphs)
        before = F.pad(state[:, :-1], (1, 0), value=N_STATES)
        logits = self.logits(padded, before, condition[which])
        owner = torch.from_numpy(places.molecule).to(rows.device)
        number = torch.from_numpy(places.number).to(rows.device)
        chosen = logits[at, number]
        target = torch.from_numpy(places.state).to(rows.device)
        each = F.cross_entropy(chosen, target, reduction="none")
        return loss.index_add(0, owner, each)

    def write(
        self,
        graphs: AtomGraphs,
        rows: Tensor,
        condition: Tensor,
        choose: Callable[[Tensor, Tensor, int], Tensor],
        fixed: Tensor,
    ) -> np.ndarray:
        """States of all places, (m,) int64, in their order.

        Args:
            choose: states (k,) by logits (k, 3), the molecules' numbers (k,) and the step.
            fixed: (m,) bool, places that keep the state that ``graphs`` gives.
        """
        places = graphs.places
        assert places is not None
        condition = self.condition(condition)
        vectors = self.describe_places(graphs, rows, condition)
        which, at, padded, given = _in_rows(vectors, graphs)
        number = torch.from_numpy(places.number).to(rows.device)
        kept = torch.ones_like(given, dtype=torch.bool)
        kept[at, number] = fixed.to(rows.device)
        count = torch.zeros_like(which).index_add_(0, at, torch.ones_like(at))
        states = torch.full((len(padded), padded.shape[1] + 1), N_STATES, device=rows.device)
        here = torch.arange(len(padded), device=rows.device)  # those that have a place left
        blocks = [block for block in self.blocks if isinstance(block, Block)]
        attentions = [block.attention(len(here), rows.device) for block in blocks]
        modulations = [block.modulation(condition[which]) for block in blocks]
        for step in range(padded.shape[1]):
            left = count[here] > step
            if not left.all():
                still = left.nonzero().squeeze(1)
                here = here[still]
                for attention in attentions:
                    attention.take(still)
                modulations = [tuple(part[still] for part in parts) for parts in modulations]
            x = padded[here, step : step + 1] + self.before(states[here, step : step + 1])
            for block, modulation, attention in zip(blocks, modulations, attentions):
                x = block(x, modulation, None, attention)
            logits = self.state(self.norm(x))[:, 0].float()
            chosen = choose(logits, which[here], step)
            states[here, step + 1] = torch.where(kept[here, step], given[here, step], chosen)
        return states[at, number + 1].cpu().numpy()


def _near_places(graphs: AtomGraphs, n_bonds: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the atoms at most ``n_bonds`` bonds from a place, which are all that as many
    layers let it see; and of the directed bonds between these."""
    places = graphs.places
    assert places is not None
    near = np.zeros(len(graphs.molecule), np.bool_)
    near[places.atom[:, 0]] = True
    near[places.atom[places.atom[:, 1] >= 0, 1]] = True
    source, target = graphs.edge_index
    for _ in range(n_bonds):
        near[target[near[source]]] = True
    return np.flatnonzero(near), np.flatnonzero(near[source] & near[target])


def _in_rows(vectors: Tensor, graphs: AtomGraphs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A row for each molecule that has places.

    Returns: the rows' molecules (k,); the row of each place (m,); the places' vectors
    (k, s, width) and states (k, s), padded with 0.
    """
    places = graphs.places
    assert places is not None
    device = vectors.device
    which, row = np.unique(places.molecule, return_inverse=True)
    number = torch.from_numpy(places.number).to(device)
    at = torch.from_numpy(row).to(device)
    most = int(places.number.max()) + 1
    padded = vectors.new_zeros(len(which), most, vectors.shape[1])
    padded = padded.index_put((at, number), vectors)
    state = torch.zeros(len(which), most, dtype=torch.long, device=device)
    state[at, number] = torch.from_numpy(places.state).to(device)
    return torch.from_numpy(which).to(device), at, padded, state
