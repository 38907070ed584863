"""Models on disk: a folder with ``model.safetensors`` and ``model.json``. Nothing is executed.

Every file is written beside its place and then renamed, the JSON last; a folder that a killed
process or a full disk left half-written is never mistaken for a whole one.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from molgen.base.output_places import replacing, write_text
from molgen.base.whole_files import hash_file
from molgen.model.cards import CARD, WEIGHTS, find_model, read_card
from molgen.model.config import ModelConfig
from molgen.model.graph_vae import GraphVAE
from molgen.model.latent_prior import VelocityField
from molgen.motifs.vocabulary import Vocabulary

FORMAT = 1


def save_model(
    folder: str | os.PathLike,
    network: GraphVAE,
    prior: VelocityField | None = None,
    card: dict[str, Any] | None = None,
    half: bool = False,
) -> Path:
    """Write a model. ``card`` is any JSON-able record about its training.

    half: store the weights as 16-bit floats (half the size).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    for prefix, module in (("network.", network), ("prior.", prior)):
        for name, value in (module.state_dict() if module is not None else {}).items():
            value = value.detach().cpu().contiguous()
            tensors[prefix + name] = value.half() if half else value.clone()
    for name, array in network.vocabulary.to_arrays().items():
        tensors["vocabulary." + name] = torch.from_numpy(np.array(array))
    write_tensors(folder / WEIGHTS, tensors)
    record = {
        "format": FORMAT,
        "config": asdict(network.config),
        "prior": None if prior is None else {"width": prior.width, "blocks": len(prior.blocks)},
        "sha256": hash_file(folder / WEIGHTS),
        **(card or {}),
    }
    write_text(folder / CARD, json.dumps(record, indent=2))
    return folder


def read_model(name: str | os.PathLike) -> tuple[GraphVAE, VelocityField | None, dict[str, Any]]:
    """The network, its prior and its card; raises ValueError saying what is wrong with a file."""
    folder = find_model(name)
    card = read_card(folder)
    config = ModelConfig(**card["config"])
    if card.get("format") != FORMAT:
        raise ValueError(
            f"{folder} has model format {card.get('format')!r}; this version reads {FORMAT}"
        )
    tensors = read_tensors(folder / WEIGHTS)
    groups: dict[str, dict[str, torch.Tensor]] = {"network": {}, "prior": {}, "vocabulary": {}}
    for key, value in tensors.items():
        group, _, rest = key.partition(".")
        if group in groups:
            groups[group][rest] = value.float() if value.is_floating_point() else value
    vocabulary = Vocabulary.from_arrays({k: v.numpy() for k, v in groups["vocabulary"].items()})
    network = GraphVAE(vocabulary, config)
    prior = None
    try:
        network.load_state_dict(groups["network"])
        if card["prior"] is not None:
            prior = VelocityField(config.latent_dim, **card["prior"])
            prior.load_state_dict(groups["prior"])
            prior.eval()
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"{folder / WEIGHTS} does not fit its card: {first}") from None
    return network.eval(), prior, card


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """A safetensors file; raises ValueError if it is missing, truncated or something else."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; the model folder is incomplete") from None
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write a safetensors file so that a half-written one never stands under ``path``."""
    with replacing(path) as made:
        save_file(tensors, made)
