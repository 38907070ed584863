"""Training with differential privacy: DP-SGD for the graph VAE.

Each step takes every molecule with the same small probability, computes its gradient alone, clips
it to a given length, and adds Gaussian noise to the sum (Abadi et al. 2016, "Deep Learning with
Differential Privacy"). Whether a molecule was among the training molecules then shows in the model
by no more than (epsilon, delta), which :mod:`molgen.training.privacy_accountant` adds up.

Only what was learned from public molecules may be taken over as it is: the vocabulary, which would
otherwise name the secret motifs, and the latent prior come from a public model, and by default its
weights too, from which far fewer noisy steps are needed. The vectors of atom environments then stay
as they are: a molecule touches some dozens of 60,000, and noise would reach them all.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

import molgen
from molgen.base.arguments import renamed
from molgen.base.parallel import count_workers
from molgen.model.checkpoints import read_model, save_model
from molgen.model.graph_vae import GraphVAE, ModelConfig
from molgen.motifs.atom_graphs import motif_numbers, writable
from molgen.motifs.tree_tables import TreeTable, build_table
from molgen.training.config import TrainingConfig
from molgen.training.privacy_accountant import epsilon_spent, noise_for
from molgen.training.step import Shard, draw_shards, shard_loss
from molgen.training.thinning import thin

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrivateConfig:
    """How a private run is done.

    n_steps: steps; more steps need more noise each.
    batch_size: molecules that a step takes on average.
    clip: length to which the gradient of each molecule is cut.
    learning_rate: of Adam, constant.
    average: decay of the averaged weights, which become the model.
    public_weights: begin from the public model's weights, and keep its environments' vectors;
        otherwise all weights are fresh, and only its vocabulary is used.
    """

    n_steps: int = 300
    batch_size: int = 128
    clip: float = 1.0
    learning_rate: float = 1e-3
    average: float = 0.98
    public_weights: bool = True

    def __post_init__(self) -> None:
        for name in ("n_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name in ("clip", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a number above 0")


@dataclass(frozen=True)
class PrivacyReport:
    """What a private run did.

    folder: where the model is. n_molecules: distinct molecules it learned from; set_aside: those
    that the public vocabulary cannot write (they had no influence).
    epsilon, delta: what was spent: with or without any one molecule, no event about the model
    changes its probability by more than a factor exp(epsilon), but for delta.
    noise_multiplier: noise over the clipping length. sampling_rate: of each step. n_steps: done.
    clipped: share of gradients that were cut. minutes: of this call.
    """

    folder: Path
    n_molecules: int
    set_aside: int
    epsilon: float
    delta: float
    noise_multiplier: float
    sampling_rate: float
    n_steps: int
    clipped: float
    minutes: float

    def __str__(self) -> str:
        return (
            f"{self.folder}: epsilon {self.epsilon:.2f} at delta {self.delta:.1e} after "
            f"{self.n_steps:,} steps on {self.n_molecules:,} molecules ({self.set_aside:,} set "
            f"aside), noise {self.noise_multiplier:.2f}, {self.clipped:.0%} of gradients clipped"
        )


@renamed(n_workers="n_jobs")
def train_privately(
    smiles: Iterable[str],
    output: str | os.PathLike,
    *,
    epsilon: float,
    delta: float | None = None,
    public_model: str | os.PathLike = "moses",
    seed: int | None = None,
    config: PrivateConfig | None = None,
    model_config: ModelConfig | None = None,
    n_jobs: int = 1,
    progress: bool = True,
) -> PrivacyReport:
    """Train with differential privacy and write the model to ``output``.

    Args:
        smiles: the secret molecules; each counts once, however often it stands there.
        output: folder of the model, ready for ``molgen.load_model``.
        epsilon: privacy to spend: below 1 strong, 1 to 10 usual, above 10 hardly a promise.
        delta: chance that the promise fails; by default a tenth of one over the molecules.
        public_model: a model that never saw a secret molecule: its vocabulary, latent prior and
            weights are the start.
        seed: makes a run repeatable. The promise holds only while nobody knows it, so by default
            one is drawn that is written nowhere.
        config: see :class:`PrivateConfig`.
        model_config: sizes, where the weights begin afresh; the public model's by default.
        n_jobs: processes that make motif trees; -1 for all cores.
        progress: show a bar on standard error.

    Returns:
        what was spent, as a :class:`PrivacyReport`; the numbers also stand in the model card.

    Raises:
        ValueError: an impossible epsilon or delta, or too few molecules that can be written.

    Examples:
        >>> import tempfile
        >>> import molgen
        >>> from molgen.training.private_run import PrivateConfig
        >>> secret = molgen.load_model("moses").sample(60, seed=0)
        >>> folder = tempfile.TemporaryDirectory()
        >>> quick = PrivateConfig(n_steps=2, batch_size=4)
        >>> report = molgen.train_privately(
        ...     secret, folder.name, epsilon=8, config=quick, progress=False
        ... )
        >>> bool(0 < report.epsilon <= 8)
        True
        >>> folder.cleanup()
    """
    config = config or PrivateConfig()
    started = time.monotonic()
    network, prior, public_card = read_model(public_model)
    secret_seed = secrets.randbits(96) if seed is None else seed
    if not config.public_weights:
        fresh_seed = int(np.random.SeedSequence([secret_seed, 5]).generate_state(1)[0])
        network = GraphVAE(network.vocabulary, model_config or network.config, seed=fresh_seed)
        prior = None
    elif model_config is not None:
        raise ValueError("model_config is for fresh weights: set public_weights to False")
    distinct = thin(smiles, by="inchikey")
    table, refused, _ = build_table(distinct, count_workers(n_jobs), stereo=network.has_stereo)
    can = writable(table, network.vocabulary, network.config.max_motifs)
    usable = np.flatnonzero(can) if len(table) else np.zeros(0, dtype=np.int64)
    if len(usable) < 2 * config.batch_size:
        raise ValueError(
            f"{len(usable)} distinct molecules can be written with the public model's motifs; "
            f"expected at least {2 * config.batch_size}, twice batch_size"
        )
    rate = config.batch_size / len(usable)
    delta = 0.1 / len(usable) if delta is None else delta
    noise = noise_for(epsilon, delta, rate, config.n_steps)
    run = _PrivateRun(network, table, usable, config, noise, secret_seed)
    for _ in tqdm(range(config.n_steps), disable=not progress, unit=" steps", desc="training"):
        run.advance()
    spent = epsilon_spent(rate, noise, config.n_steps, delta)
    report = PrivacyReport(
        Path(output), len(usable), len(distinct) - len(usable), spent, delta, noise, rate,
        config.n_steps, run.clipped / max(run.seen, 1), (time.monotonic() - started) / 60,
    )  # fmt: skip
    card = {
        "name": Path(output).name,
        "version": molgen.__version__,
        "steps": config.n_steps,
        "started_from": public_card.get("name", str(public_model)),
        "data": {"molecules": len(usable), "refused": len(refused)},
        "privacy": {
            "epsilon": spent, "delta": delta, "noise_multiplier": noise, "sampling_rate": rate,
            "unit": "one molecule, added or removed", "seed_is_secret": seed is None,
            **asdict(config),
        },
    }  # fmt: skip
    if prior is not None and "sampling" in public_card:
        card["sampling"] = public_card["sampling"]
    save_model(report.folder, run.averaged, prior, card)
    return report


class _PrivateRun:
    """Weights, averaged weights and optimiser of a private run."""

    def __init__(
        self,
        network: GraphVAE,
        table: TreeTable,
        usable: np.ndarray,
        config: PrivateConfig,
        noise: float,
        seed: int,
    ) -> None:
        self.network = network.train()
        self.averaged = GraphVAE(network.vocabulary, network.config).eval()
        self.averaged.load_state_dict(network.state_dict())
        self.table, self.usable, self.config, self.noise = table, usable, config, noise
        self._motif = motif_numbers(table, network.vocabulary)
        self._plain = TrainingConfig(batch_size=config.batch_size, precision="float32")
        self.learned = [
            name
            for name, _ in network.named_parameters()
            if not (config.public_weights and name.startswith("rows."))
        ]
        self._weights: list[Tensor] = [self.network.get_parameter(n) for n in self.learned]
        self._averages: list[Tensor] = [self.averaged.get_parameter(n) for n in self.learned]
        self._optimizer = torch.optim.Adam(self._weights, lr=config.learning_rate, foreach=True)
        self._seed, self._step = seed, 0
        self.clipped = self.seen = 0

    def advance(self) -> None:
        """One step: sample, clip each gradient, add noise, move."""
        config = self.config
        # (purpose, step): sampling 1, noise 2, and what the loss draws 3
        draws = np.random.Generator(
            np.random.Philox(np.random.SeedSequence([self._seed, 1, self._step]))
        )
        taken = draws.random(len(self.usable)) < config.batch_size / len(self.usable)
        keep = self.usable[taken]
        total = [torch.zeros_like(p) for p in self._weights]
        if len(keep):
            loss_seed = np.random.SeedSequence([self._seed, 3]).generate_state(1, np.uint64)
            shards = draw_shards(
                self.network, self.table, self._motif, keep, self._plain,
                (int(loss_seed[0]), self._step), len(keep),
            )  # fmt: skip
            for shard in shards:
                gradient, was_cut = clipped_gradient(
                    self.network, self._weights, shard, config.clip, self._plain.kl_weight
                )
                torch._foreach_add_(total, gradient)
                self.clipped += was_cut
            self.seen += len(keep)
        rng = np.random.Generator(
            np.random.Philox(np.random.SeedSequence([self._seed, 2, self._step]))
        )
        scale = self.noise * config.clip
        for parameter, summed in zip(self._weights, total):
            noise = rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
            # over the expected number, not the number taken, which is a secret too
            parameter.grad = (summed + scale * torch.from_numpy(noise)) / config.batch_size
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._step += 1
        decay = min(config.average, self._step / (self._step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._weights, 1 - decay)


def clipped_gradient(
    network: GraphVAE, parameters: list[Tensor], shard: Shard, clip: float, kl_weight: float
) -> tuple[list[Tensor], bool]:
    """The gradient of one molecule's loss by ``parameters``, cut to the length ``clip``, and
    whether it was longer.

    A gradient that is not finite is left out, as if the molecule had not been taken.
    """
    loss, _ = shard_loss(network, shard, kl_weight, half=False)
    found = torch.autograd.grad(loss * shard.n_total, parameters, allow_unused=True)
    gradient = [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters)]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradient)))
    if not torch.isfinite(norm):
        return [torch.zeros_like(p) for p in parameters], True
    if norm > clip:
        torch._foreach_mul_(gradient, float(clip / norm))
    return gradient, bool(norm > clip)
