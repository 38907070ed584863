"""The state of a training run: weights, averages, optimisers, step; saved and continued exactly."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from molgen.base.output_places import write_text
from molgen.model.checkpoints import read_model, read_tensors, write_tensors
from molgen.model.graph_vae import GraphVAE
from molgen.model.precision import Muon, half_is_faster
from molgen.motifs.atom_graphs import bucketed, motif_numbers
from molgen.training.config import TrainingConfig
from molgen.training.step import GradientProcesses, Shard, draw_shards

logger = logging.getLogger(__name__)
STATE_CARD = "state.json"


def _optimizers(network: GraphVAE, config: TrainingConfig) -> dict[str, torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the weight matrices, AdamW for embeddings, biases and gains.

    Steps of Muon are scaled to the size of AdamW's (Liu et al. 2025), so that both share one
    learning rate.
    """
    matrices = {id(m.weight) for m in network.modules() if isinstance(m, torch.nn.Linear)}
    matrices.discard(id(network.decoder.stop.weight))
    hidden = [p for p in network.parameters() if id(p) in matrices]
    others = [p for p in network.parameters() if id(p) not in matrices]
    return {
        "muon": Muon(
            hidden,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            momentum=0.95,
            adjust_lr_fn="match_rms_adamw",
        ),
        "adamw": torch.optim.AdamW(
            others, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.0, foreach=True
        ),
    }


class Run:
    """The state of a run: weights, averaged weights, optimiser, step."""

    def __init__(self, network: GraphVAE, table, usable, config: TrainingConfig, seed, device):
        self.network = network.train()
        self.averaged = GraphVAE(network.vocabulary, network.config).to(device).eval()
        self.averaged.load_state_dict(network.state_dict())
        self.table, self.usable, self.config, self.seed = table, usable, config, seed
        self.device = device
        self.motif = motif_numbers(table, network.written)
        self.sizes = table.sizes[usable]
        self.optimizers = _optimizers(network, config)
        self.step = 0
        self.minutes = 0.0
        self.bad_steps = 0
        self.half = False

    def batches(self) -> Iterator[np.ndarray]:
        """Molecules of each coming step, from the current one on."""
        per_epoch = math.ceil(len(self.usable) / self.config.batch_size)
        while True:
            epoch, skip = divmod(self.step, per_epoch)
            for number, batch in enumerate(
                bucketed(self.sizes, self.config.batch_size, self.seed, epoch)
            ):
                if number >= skip:
                    yield self.usable[batch]

    def shards(self, keep: np.ndarray, n_shards: int = 1) -> list[Shard]:
        """The molecules ``keep`` with what the next step draws for them."""
        return draw_shards(
            self.network,
            self.table,
            self.motif,
            keep,
            self.config,
            (self.seed, self.step),
            n_shards,
        )

    def advance(
        self, keep: np.ndarray, done: float, processes: GradientProcesses
    ) -> dict[str, float]:
        """One step, its gradient from ``processes``; ``done``: share of the run that is over."""
        config = self.config
        fall = min(1.0, (1 - done) / config.cooldown) if config.cooldown else 1.0
        rate = config.learning_rate * min(1.0, (self.step + 1) / config.warmup) * max(fall, 0.0)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate
        values = processes.accumulate(self.shards(keep, processes.n_processes))
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
        if torch.isfinite(norm):
            for optimizer in self.optimizers.values():
                optimizer.step()
            self.bad_steps = 0
            decay = min(config.average, (self.step + 1) / (self.step + 10))
            with torch.no_grad():
                torch._foreach_lerp_(
                    list(self.averaged.parameters()), list(self.network.parameters()), 1 - decay
                )
        else:
            self.bad_steps += 1
            logger.warning("step %d has no finite gradient and was left out", self.step)
        self.step += 1
        return {"lr": rate, **values}

    def choose_precision(self) -> None:
        """Take the precision asked for, or the one in which this machine is faster."""
        if self.config.precision == "auto":
            self.half = half_is_faster(self.device.type)
        else:
            self.half = self.config.precision == "bfloat16"

    def save(self, output: Path) -> None:
        """Write everything that a later run needs to go on; the JSON, last, is the seal."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in self.averaged.state_dict().items()}
        for kind, optimizer in self.optimizers.items():
            for index, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    tensors[f"{kind}.{index}.{name}"] = value
        name = f"state-{self.step}.safetensors"
        write_tensors(output / name, {k: v.detach().cpu().clone() for k, v in tensors.items()})
        card = {
            "weights": name,
            "step": self.step,
            "minutes": self.minutes,
            "seed": self.seed,
            "batch_size": self.config.batch_size,
            "n_molecules": len(self.usable),
        }
        write_text(output / STATE_CARD, json.dumps(card))
        for old in output.glob("state-*.safetensors"):
            if old.name != name:
                old.unlink()

    def load(self, output: Path) -> None:
        """Continue from what ``save`` wrote; raises ValueError if it belongs to another run."""
        card = json.loads((output / STATE_CARD).read_text(encoding="utf-8"))
        here = {
            "seed": self.seed,
            "batch_size": self.config.batch_size,
            "n_molecules": len(self.usable),
        }
        for name, value in here.items():
            if card[name] != value:
                raise ValueError(
                    f"cannot resume {output}: its {name} is {card[name]}, this run's is {value}"
                )
        tensors = read_tensors(output / Path(card["weights"]).name)
        groups: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            group, _, rest = key.partition(".")
            groups.setdefault(group, {})[rest] = value
        self.network.load_state_dict(groups["network"])
        self.averaged.load_state_dict(groups["averaged"])
        for kind, optimizer in self.optimizers.items():
            states: dict[int, dict[str, Tensor]] = {}
            for key, value in groups.get(kind, {}).items():
                index, _, name = key.partition(".")
                states.setdefault(int(index), {})[name] = value
            record = optimizer.state_dict()
            record["state"] = states
            optimizer.load_state_dict(record)
        self.step, self.minutes = card["step"], card["minutes"]


def read_snapshot(folder: Path) -> GraphVAE:
    """The averaged weights that a run in ``folder`` has reached, also while it goes on."""
    network = read_model(folder)[0]
    card = json.loads((folder / STATE_CARD).read_text(encoding="utf-8"))
    tensors = read_tensors(folder / Path(card["weights"]).name)
    start = "averaged."
    network.load_state_dict({k[len(start) :]: v for k, v in tensors.items() if k.startswith(start)})
    return network.eval()


@torch.no_grad()
def carry_over(old: GraphVAE, new: GraphVAE) -> None:
    """Give ``new``, with another vocabulary, what ``old`` has learned.

    Vectors of atom environments go by environment, biases by token and motif; what only ``new``
    has stays as it was. Both must have the same sizes otherwise.
    """
    weights = old.state_dict()
    mine = new.state_dict()
    row = {int(code): i + 1 for i, code in enumerate(old.vocabulary.environment)}
    at = np.array([row.get(int(code), -1) for code in new.vocabulary.environment])
    rows = mine["rows.weight"]
    rows[1:][at >= 0] = weights["rows.weight"][at[at >= 0]]
    for name, first in (("decoder.token_bias", 0), ("decoder.root_bias", None)):
        _carry_bias(old, new, weights[name], mine[name], first)
    special = {"rows.weight", "decoder.token_bias", "decoder.root_bias"}
    new.load_state_dict(mine | {k: v for k, v in weights.items() if k not in special})


def _carry_bias(
    old: GraphVAE, new: GraphVAE, source: Tensor, target: Tensor, first: int | None
) -> None:
    """Copy the entries of a bias whose tokens both networks choose at once."""

    def names(network: GraphVAE, size: int) -> list[tuple[str, int]]:
        v = network.vocabulary
        start = v.n_attached if first is None else first
        one = slice(start, start + size - 2 * network.has_rare)
        return [(v.motifs[m], int(a)) for m, a in zip(v.token_motif[one], v.token_atom[one])]

    at = {name: i for i, name in enumerate(names(old, len(source)))}
    for i, name in enumerate(names(new, len(target))):
        if name in at:
            target[i] = source[at[name]]
    if old.has_rare and new.has_rare:
        target[-2:] = source[-2:]
