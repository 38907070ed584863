"""Training: from SMILES to a model folder, with checkpoints from which a run continues exactly.

Everything random in a step (order of growth, noise, noise level) is drawn from the run's seed and
the step's number, so that an interrupted run goes on as if it had never stopped.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

import molgen
from molgen.batches import atom_graphs, bucketed, grow, motif_numbers, writable
from molgen.checkpoints import (
    file_hash,
    read_model,
    read_tensors,
    save_model,
    write_tensors,
    write_text,
)
from molgen.model import GraphVAE, ModelConfig, kl_divergence
from molgen.prior import VelocityField, fit_prior
from molgen.tensors import Refusal, TreeTable, build_table
from molgen.vocabulary import build_vocabulary, choose_tokens

logger = logging.getLogger(__name__)
_STATE, _STATE_CARD, _LOG = "state.safetensors", "state.json", "log.csv"
_MAX_BAD_STEPS = 20


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained.

    n_steps: steps of ``batch_size`` molecules; None for 20 passes over the data (at least 2,000
        steps and at most 200,000).
    learning_rate rises over ``warmup`` steps, stays, and falls to zero over the last
        ``cooldown`` share of the steps (or of ``max_minutes`` where that ends the run).
    kl_weight: weight of KL(posterior || N(0, I)), in nats against nats.
    any_order: share of molecules written in any order instead of the canonical one.
    clean, blind: shares of molecules whose latent the decoder sees without noise, and not at all;
        the others get a uniform noise level.
    min_count: how often a motif or token must occur to enter the vocabulary.
    precision: "bfloat16", "float32", or "auto" to time both and take the faster.
    """

    n_steps: int | None = None
    batch_size: int = 512
    learning_rate: float = 2e-3
    warmup: int = 300
    cooldown: float = 0.25
    weight_decay: float = 0.01
    kl_weight: float = 0.003
    any_order: float = 0.3
    clean: float = 0.4
    blind: float = 0.2
    average: float = 0.9995
    clip: float = 1.0
    min_count: int = 5
    precision: str = "auto"
    prior_steps: int = 6_000
    prior_molecules: int = 200_000

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "bfloat16", "float32"):
            raise ValueError(
                f"precision is {self.precision!r}; expected 'auto', 'bfloat16' or 'float32'"
            )
        if self.clean < 0 or self.blind < 0 or self.clean + self.blind > 1:
            raise ValueError(
                f"clean {self.clean} and blind {self.blind} are shares; expected a sum of at most 1"
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; expected at least 1")


@dataclass(frozen=True)
class TrainingReport:
    """What a run did: where the model is, how many molecules it used, which it could not use."""

    folder: Path
    n_molecules: int
    refused: tuple[Refusal, ...]
    flattened: int
    steps: int
    minutes: float
    stopped: str


def train(
    smiles: Iterable[str] | str | os.PathLike,
    output: str | os.PathLike,
    *,
    seed: int = 0,
    max_minutes: float | None = None,
    resume: bool = False,
    start_from: str | os.PathLike | None = None,
    config: TrainingConfig | None = None,
    model_config: ModelConfig | None = None,
    n_workers: int = 1,
    checkpoint_minutes: float = 5.0,
    progress: bool = True,
) -> TrainingReport:
    """Train a model and write it to ``output``, ready for ``molgen.load_model(output)``.

    Args:
        smiles: molecules, or the path of a file that ``molgen.read_molecules`` reads, or the
            folder of a saved TreeTable.
        output: folder for the model, its training state, ``log.csv`` and the motif trees.
        seed: of everything random.
        max_minutes: stop in good order after this time (the learning rate is brought down
            within it).
        resume: continue from the last checkpoint in ``output``.
        start_from: a model (shipped name or folder) to fine-tune; its vocabulary is kept, and
            molecules that need other motifs are set aside and reported.
        n_workers: processes that make motif trees; the result does not depend on it.
        checkpoint_minutes: how often the state is written.

    Raises ValueError if no molecule can be used, FloatingPointError if the loss stays undefined
    (the last good checkpoint stays), KeyboardInterrupt after writing a checkpoint.
    """
    config = config or TrainingConfig()
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    table, refused, flattened, data_hash = _trees(smiles, output, n_workers, resume, progress)
    network = _network(output, table, start_from, config, model_config, resume, seed)
    vocabulary = network.vocabulary
    usable = np.flatnonzero(writable(table, vocabulary, network.config.max_motifs))
    if not len(usable):
        raise ValueError(
            "none of the molecules can be written with the model's motifs; "
            f"{len(table)} have motif trees, {len(refused)} were refused"
        )
    n_steps = config.n_steps or int(min(max(20 * len(usable) / config.batch_size, 2_000), 200_000))
    config = replace(config, n_steps=n_steps)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = _Run(network.to(device), table, usable, config, seed, device)
    if resume and (output / _STATE_CARD).is_file():
        run.load(output)
    run.choose_precision()
    card = {
        "name": output.name,
        "version": molgen.__version__,
        "seed": seed,
        "training": asdict(config),
        "data": {"molecules": len(usable), "sha256": data_hash, "refused": len(refused)},
        "started_from": None if start_from is None else str(start_from),
    }
    stopped = _loop(run, output, max_minutes, checkpoint_minutes, progress)
    prior = None
    if config.prior_steps:
        prior = fit_latent_prior(run.averaged, table, usable, config, seed=seed, progress=progress)
    card |= {"steps": run.step, "minutes": round(run.minutes, 2), "stopped": stopped}
    save_model(output, run.averaged.cpu(), prior, card)
    return TrainingReport(
        output, len(usable), tuple(refused), flattened, run.step, run.minutes, stopped
    )


def _trees(
    smiles, output: Path, n_workers: int, resume: bool, progress: bool
) -> tuple[TreeTable, list[Refusal], int, str]:
    folder = output / "trees"
    if resume and (folder / "motifs.json").is_file():
        note = json.loads((folder / "note.json").read_text(encoding="utf-8"))
        refused = [Refusal(**r) for r in note["refused"]]
        return TreeTable.load(folder), refused, note["flattened"], note["sha256"]
    if isinstance(smiles, str | os.PathLike) and (Path(smiles) / "motifs.json").is_file():
        table = TreeTable.load(Path(smiles))
        return table, [], 0, file_hash(Path(smiles) / "motif.npy")
    if isinstance(smiles, str | os.PathLike):
        from molgen.datasets import read_molecules

        smiles = list(read_molecules(Path(smiles)).smiles)
    table, refused, flattened = build_table(smiles, n_workers, progress)
    if refused:
        logger.warning(
            "%d molecules were set aside, the first is row %d (%s): %s",
            len(refused), refused[0].row, refused[0].smiles[:80], refused[0].reason,
        )  # fmt: skip
    if flattened:
        logger.warning("%d molecules have stereo, which the model does not learn", len(flattened))
    table.save(folder)
    note = {
        "refused": [asdict(r) for r in refused],
        "flattened": len(flattened),
        "sha256": file_hash(folder / "motif.npy"),
    }
    write_text(folder / "note.json", json.dumps(note))
    return TreeTable.load(folder), refused, len(flattened), note["sha256"]


def _network(
    output: Path, table: TreeTable, start_from, config: TrainingConfig, model_config, resume, seed
) -> GraphVAE:
    if start_from is not None:
        return read_model(start_from)[0]
    if resume and (output / "model.json").is_file():
        return read_model(output)[0]
    motifs, tokens = choose_tokens(table, config.min_count)
    if not motifs:
        raise ValueError(
            f"no motif occurs {config.min_count} times among {len(table)} molecules; "
            "give more molecules, a smaller min_count, or fine-tune a model (start_from)"
        )
    network = GraphVAE(build_vocabulary(motifs, tokens), model_config, seed=seed)
    save_model(output, network, None, {"steps": 0})
    return network


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
        "muon": torch.optim.Muon(
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


class _Run:
    """The state of a run: weights, averaged weights, optimiser, step."""

    def __init__(self, network: GraphVAE, table, usable, config: TrainingConfig, seed, device):
        self.network = network.train()
        self.averaged = GraphVAE(network.vocabulary, network.config).to(device).eval()
        self.averaged.load_state_dict(network.state_dict())
        self.table, self.usable, self.config, self.seed = table, usable, config, seed
        self.device = device
        self.motif = motif_numbers(table, network.vocabulary)
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

    def losses(self, keep: np.ndarray) -> dict[str, Tensor]:
        """Loss parts of a batch, each a scalar; the noise depends on (seed, step) only."""
        config, n = self.config, len(keep)
        rng = np.random.Generator(
            np.random.Philox(np.random.SeedSequence([self.seed, self.step, 1]))
        )
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        order = (rng.random(n) < config.any_order).astype(np.int64)
        vocabulary = self.network.vocabulary
        graphs = atom_graphs(self.table, self.motif, vocabulary, keep)
        growth = grow(self.table, self.motif, vocabulary, keep, order, rng.integers(2**62, size=n))
        draw = torch.rand(n, generator=generator)
        spread = (draw - config.clean) / max(1 - config.clean - config.blind, 1e-9)
        level = spread.clamp(0, 1).to(self.device)
        noise = torch.randn(2, n, self.network.config.latent_dim, generator=generator)
        noise = noise.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            mu, logvar = self.network.posterior(graphs)
            z = mu + (0.5 * logvar).exp() * noise[0]
            z = torch.lerp(z, noise[1], level.unsqueeze(1))
            parts = self.network.negative_log_likelihood(growth, z, level)
        parts = {name: value.float() for name, value in parts.items()}
        total = sum(parts.values(), torch.zeros(n, device=self.device))
        kl = kl_divergence(mu.float(), logvar.float()).mean()
        clean = level == 0
        return {
            "loss": total.mean() + config.kl_weight * kl,
            **{name: value.mean() for name, value in parts.items()},
            "clean": total[clean].mean() if clean.any() else total.mean(),
            "blind": total[level == 1].mean() if (level == 1).any() else total.mean(),
            "kl": kl,
        }

    def advance(self, keep: np.ndarray, done: float) -> dict[str, float]:
        """One step; ``done`` is the share of the run that is over."""
        config = self.config
        fall = min(1.0, (1 - done) / config.cooldown) if config.cooldown else 1.0
        rate = config.learning_rate * min(1.0, (self.step + 1) / config.warmup) * max(fall, 0.0)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate
        losses = self.losses(keep)
        self.network.zero_grad(set_to_none=True)
        losses["loss"].backward()
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
        return {"lr": rate, **{name: value.item() for name, value in losses.items()}}

    def choose_precision(self) -> None:
        """Time a few gradients in both precisions on the CPU and take the faster."""
        if self.config.precision != "auto" or self.device.type == "cuda":
            self.half = self.config.precision != "float32"
            return
        keep = self.usable[: self.config.batch_size]
        taken: dict[bool, float] = {}
        for half in (False, True):
            self.half = half
            for attempt in range(3):
                started = time.perf_counter()
                self.losses(keep)["loss"].backward()
                if attempt:
                    seconds = time.perf_counter() - started
                    taken[half] = min(taken.get(half, math.inf), seconds)
        self.network.zero_grad(set_to_none=True)
        self.half = taken[True] < taken[False]
        logger.info("bfloat16 %.2f s, float32 %.2f s a gradient", taken[True], taken[False])

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
        write_text(output / _STATE_CARD, json.dumps(card))
        for old in output.glob("state-*.safetensors"):
            if old.name != name:
                old.unlink()

    def load(self, output: Path) -> None:
        """Continue from what ``save`` wrote; raises ValueError if it belongs to another run."""
        card = json.loads((output / _STATE_CARD).read_text(encoding="utf-8"))
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


def _loop(
    run: _Run, output: Path, max_minutes: float | None, checkpoint_minutes: float, progress: bool
) -> str:
    """Train until the steps or the minutes are over; returns which."""
    n_steps = run.config.n_steps
    assert n_steps is not None
    started = saved = time.monotonic()
    before = run.minutes
    sums: dict[str, float] = {}
    count = 0
    stopped = "all steps done"
    bar = tqdm(
        total=n_steps, initial=run.step, disable=not progress, unit=" steps", desc="training"
    )
    try:
        for keep in run.batches():
            elapsed = (time.monotonic() - started) / 60
            run.minutes = before + elapsed
            done = run.step / n_steps
            if max_minutes is not None:
                done = max(done, elapsed / max_minutes)
            if done >= 1:
                stopped = "all steps done" if run.step >= n_steps else f"{max_minutes} minutes over"
                break
            values = run.advance(keep, done)
            if run.bad_steps >= _MAX_BAD_STEPS:
                raise FloatingPointError(
                    f"the loss was not finite in {run.bad_steps} steps before step {run.step}; "
                    f"the last good checkpoint stays in {output}; try a lower learning rate"
                )
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            bar.update()
            if run.step % 50 == 0:
                means = {name: value / count for name, value in sums.items()}
                _log(output, run, means)
                bar.set_postfix({k: f"{means[k]:.2f}" for k in ("loss", "clean", "blind", "kl")})
                sums, count = {}, 0
            if time.monotonic() - saved > 60 * checkpoint_minutes and not run.bad_steps:
                run.save(output)
                saved = time.monotonic()
    except KeyboardInterrupt:
        run.save(output)
        raise
    finally:
        bar.close()
    run.save(output)
    return stopped


def _log(output: Path, run: _Run, means: dict[str, float]) -> None:
    path = output / _LOG
    row = {
        "step": run.step,
        "molecules": run.step * run.config.batch_size,
        "minutes": round(run.minutes, 3),
        **{name: round(value, 5) for name, value in means.items()},
    }
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


@torch.no_grad()
def fit_latent_prior(
    network: GraphVAE,
    table: TreeTable,
    usable: np.ndarray,
    config: TrainingConfig,
    seed: int = 0,
    max_minutes: float | None = None,
    progress: bool = False,
) -> VelocityField:
    """Encode molecules of the training set and fit the latent prior to their posteriors."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 2])))
    chosen = usable
    if len(usable) > config.prior_molecules:
        chosen = np.sort(rng.choice(usable, config.prior_molecules, replace=False))
    motif = motif_numbers(table, network.vocabulary)
    means, logvars = [], []
    device = next(network.parameters()).device
    for start in tqdm(range(0, len(chosen), 2_048), disable=not progress, desc="encoding"):
        graphs = atom_graphs(table, motif, network.vocabulary, chosen[start : start + 2_048])
        with torch.autocast(device.type, torch.bfloat16):
            mu, logvar = network.posterior(graphs)
        means.append(mu.float().cpu())
        logvars.append(logvar.float().cpu())
    with torch.enable_grad():
        return fit_prior(
            torch.cat(means),
            torch.cat(logvars),
            seed=seed,
            n_steps=config.prior_steps,
            max_minutes=max_minutes,
            progress=progress,
        )
