"""The graph encoder: message passing over atoms, pooled to the latent's mean and log variance."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from molgen.model.config import ModelConfig
from molgen.motifs.atom_graphs import N_EDGE_CODES, N_STEREO_KINDS, AtomGraphs
from molgen.motifs.vocabulary import ELEMENTS, N_BOND_TYPES

FEATURE_SIZES = (len(ELEMENTS) + 1, 9, 5, 2, 2)


class Convolution(nn.Module):
    """GINE convolution around ``network``.

    PyTorch Geometric takes seconds to import, and molecules are written without it: it is loaded
    when the first graph is encoded.
    """

    eps: Tensor

    def __init__(self, network: nn.Module):
        super().__init__()
        self.nn = network
        self.register_buffer("eps", torch.zeros(1))

    @cached_property
    def _layer(self) -> Callable[..., Tensor]:
        from torch_geometric.nn import GINEConv

        layer = GINEConv(nn.Identity())  # it would draw the weights of what it is given anew
        layer.nn = self.nn
        return layer

    def forward(self, x: Tensor, edge_index: Tensor, edge: Tensor) -> Tensor:
        """Atom vectors (n_atoms, width) after one exchange along the bonds."""
        return self._layer(x, edge_index, edge)


class GraphEncoder(nn.Module):
    """Atom graphs to the mean and log variance of the latent."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        width = config.encoder_width
        stereo = config.stereo_layers > 0
        self.heads = config.pooling_heads
        self.features = nn.ModuleList(nn.Embedding(size, width) for size in FEATURE_SIZES)
        self.rows = nn.Linear(config.row_dim, width, bias=False)
        self.convolutions = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.bonds = nn.ModuleList()
        for _ in range(config.encoder_layers):
            network = nn.Sequential(
                nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
            )
            self.convolutions.append(Convolution(network))
            self.norms.append(nn.LayerNorm(width))
            self.bonds.append(nn.Embedding(N_EDGE_CODES if stereo else N_BOND_TYPES, width))
        if stereo:
            self.stereo = nn.Embedding(N_STEREO_KINDS, width)
        self.score = nn.Linear(width, self.heads)
        self.value = nn.Linear(width, 2 * width)
        self.out = nn.Sequential(
            nn.Linear(4 * width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, 2 * config.latent_dim),
        )

    def forward(
        self, graphs: AtomGraphs, rows: Tensor, gain: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """mu and logvar, each (n, latent_dim).

        Args:
            rows: (n_atoms, row_dim) environment vectors.
            gain: (n, layers, encoder_width), what each layer's update is multiplied by (dropout).
        """
        from torch_geometric.utils import scatter, softmax

        feature, molecule = torch.from_numpy(graphs.feature), torch.from_numpy(graphs.molecule)
        edge_index = torch.from_numpy(graphs.edge_index)
        edge_type = torch.from_numpy(graphs.edge_type)
        device = rows.device
        feature, molecule = feature.to(device), molecule.to(device)
        edge_index, edge_type = edge_index.to(device), edge_type.to(device)
        x = self.rows(rows)
        for column, embedding in enumerate(self.features):
            x = x + embedding(feature[:, column])
        if hasattr(self, "stereo"):
            if graphs.places is None:
                raise ValueError("a model with stereo encodes tables that hold stereo only")
            x = x + self.stereo(torch.from_numpy(graphs.places.kind).to(device))
            edge_type = torch.from_numpy(graphs.places.edge_code).to(device)
        layers = zip(self.convolutions, self.norms, self.bonds)
        for number, (convolution, norm, bond) in enumerate(layers):
            update = convolution(norm(x), edge_index, bond(edge_type))
            x = x + (update if gain is None else update * gain[molecule, number])
        weight = softmax(self.score(x).float(), molecule, num_nodes=graphs.n)
        value = self.value(x).view(len(x), self.heads, -1)
        attended = scatter(
            (weight.unsqueeze(-1) * value).flatten(1), molecule, dim_size=graphs.n, reduce="sum"
        )
        total = scatter(value.flatten(1), molecule, dim_size=graphs.n, reduce="sum") / 5.0
        mu, logvar = self.out(torch.cat([attended, total], dim=1)).float().chunk(2, dim=1)
        mu = F.layer_norm(mu, mu.shape[1:])
        return mu, (logvar - 4.0).clamp(-12.0, 2.0)
