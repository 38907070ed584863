"""One step of training: what is drawn for it, its loss, and its gradient from several processes.

What is random in a step depends on the run's seed and the step's number only. The molecules of a
step are dealt out among ``n_processes``; a helper process sees the weights in shared memory, and
leaves its gradient there. The sum of gradients depends on the number of processes in its last bits
only.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import Tensor

from molgen.model.config import ModelConfig
from molgen.model.graph_vae import GraphVAE, kl_divergence
from molgen.motifs.atom_graphs import AtomGraphs, atom_graphs
from molgen.motifs.tree_tables import TreeTable
from molgen.motifs.writing_orders import Growth, grow
from molgen.training.config import TrainingConfig

_RARE_DRAWN = (2_048, 512)
_PRACTICE = 0.1


@dataclass(frozen=True, eq=False)
class Shard:
    """Some of a step's molecules, with what was drawn for them.

    level: (n,) float32, noise level of the decoder's latent. noise: (2, n, latent_dim) float32.
    n_total: molecules of the whole step, by which the loss is divided.
    gains: of the encoder's and of the decoder's updates (`draw_gains`), None without dropout.
    rare: tokens, and starting tokens, that stand for all rarer ones (`draw_rare`).
    """

    graphs: AtomGraphs
    growth: Growth
    level: np.ndarray
    noise: np.ndarray
    n_total: int
    gains: tuple[np.ndarray, np.ndarray] | None = None
    rare: tuple[np.ndarray, np.ndarray] | None = None


def draw_shards(
    network: GraphVAE,
    table: TreeTable,
    motif: np.ndarray,
    keep: np.ndarray,
    config: TrainingConfig,
    seed: tuple[int, int],
    n_shards: int,
) -> list[Shard]:
    """The molecules ``keep`` of ``table`` in ``n_shards`` parts; ``seed`` is (run, step)."""
    n = len(keep)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([*seed, 1])))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    order = (rng.random(n) < config.any_order).astype(np.int64)
    states = rng.integers(2**62, size=n)
    draw = torch.rand(n, generator=generator)
    spread = (draw - config.clean) / max(1 - config.clean - config.blind, 1e-9)
    level = spread.clamp(0, 1).numpy()
    noise = torch.randn(2, n, network.config.latent_dim, generator=generator).numpy()
    gains = draw_gains(network.config, n, config.dropout, generator) if config.dropout else None
    rare = draw_rare(network, rng) if network.has_rare else None
    shards = []
    for part in np.array_split(np.arange(n), n_shards):
        if len(part):
            some = slice(part[0], part[-1] + 1)
            shards.append(
                Shard(
                    atom_graphs(table, motif, network.written, keep[some]),
                    grow(table, motif, network.written, keep[some], order[some], states[some]),
                    level[some],
                    np.ascontiguousarray(noise[:, some]),
                    n,
                    None if gains is None else (gains[0][some], gains[1][some]),
                    rare,
                )
            )
    return shards


def draw_rare(network: GraphVAE, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and starting tokens of those that are not chosen at once, drawn by their counts.

    Numbers are those of ``network.written``.
    """
    counts = network.vocabulary.token_count
    assert counts is not None
    first = network.vocabulary.n_attached
    n_tokens, n_roots = len(network.decoder.token_bias), len(network.decoder.root_bias)
    ends = ((n_tokens - 2, first), (first + n_roots - 2, len(counts)))
    drawn = []
    for (start, stop), n in zip(ends, _RARE_DRAWN):
        cumulative = counts[start:stop].astype(np.float64).cumsum()
        at = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")
        drawn.append(start + np.minimum(at, stop - start - 1))
    return drawn[0], drawn[1] + network.written.n_attached - first


def draw_gains(
    config: ModelConfig, n: int, dropout: float, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What the updates of layers are multiplied by: 0 with chance ``dropout``, or 1 / (1 - it).

    One draw a molecule and channel, the same for all its atoms or motifs: noise that differs from
    place to place would average out over a molecule (Gal and Ghahramani 2016).

    Returns:
        float32 (n, encoder_layers, encoder_width) and (n, layers, 2, width).
    """
    shapes = (n, config.encoder_layers, config.encoder_width), (n, config.layers, 2, config.width)
    encoder, decoder = (
        (torch.rand(shape, generator=generator) >= dropout).float().div(1 - dropout).numpy()
        for shape in shapes
    )
    return encoder, decoder


def shard_loss(
    network: GraphVAE, shard: Shard, kl_weight: float, half: bool
) -> tuple[Tensor, dict[str, float]]:
    """The shard's part of the step's mean loss, and sums for the log (nats, molecules)."""
    device = next(network.parameters()).device
    level = torch.from_numpy(shard.level).to(device)
    noise = torch.from_numpy(shard.noise).to(device)
    encoder_gain, decoder_gain = (
        (None, None)
        if shard.gains is None
        else (torch.from_numpy(gain).to(device) for gain in shard.gains)
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        vectors = network.describe_batch(shard.growth, shard.graphs, network.written, shard.rare)
        mu, logvar = network.posterior(shard.graphs, vectors[3], encoder_gain)
        z = mu + (0.5 * logvar).exp() * noise[0]
        z = torch.lerp(z, noise[1], level.unsqueeze(1))
        parts = network.negative_log_likelihood(
            shard.growth,
            z,
            level,
            network.written,
            vectors=vectors,
            gain=decoder_gain,
            graphs=shard.graphs,
            rare=shard.rare,
        )
    practice = _PRACTICE * parts.pop("practice").sum() if "practice" in parts else 0.0
    total = torch.stack([part.float() for part in parts.values()]).sum(0)
    kl = kl_divergence(mu.float(), logvar.float())
    loss = (total.sum() + practice + kl_weight * kl.sum()) / shard.n_total
    clean, blind = level == 0, level == 1
    counted = {name: part.sum() for name, part in parts.items()} | {
        "clean": total[clean].sum(),
        "n_clean": clean.sum(),
        "blind": total[blind].sum(),
        "n_blind": blind.sum(),
        "kl": kl.sum(),
    }
    return loss, {"loss": loss.item()} | {k: float(v.detach()) for k, v in counted.items()}


def means(sums: list[dict[str, float]], n_total: int) -> dict[str, float]:
    """Of a whole step, from its shards' sums: loss, its parts, clean, blind and kl, in nats."""
    total = {name: sum(part[name] for part in sums) for name in sums[0]}
    loss, n_clean, n_blind = total.pop("loss"), total.pop("n_clean"), total.pop("n_blind")
    counts = {"clean": max(n_clean, 1.0), "blind": max(n_blind, 1.0)}
    return {"loss": loss} | {k: v / counts.get(k, n_total) for k, v in total.items()}


class GradientProcesses:
    """Helper processes that compute gradients of shards; a context manager.

    With ``n_processes`` 1, or on a GPU, there are none, and everything runs in this process.
    """

    def __init__(self, network: GraphVAE, n_processes: int, kl_weight: float, half: bool):
        self.network, self.kl_weight, self.half = network, kl_weight, half
        on_cpu = next(network.parameters()).device.type == "cpu"
        self.n_processes = n_processes if on_cpu else 1
        self._helpers: list[tuple[multiprocessing.process.BaseProcess, Connection, Tensor]] = []
        self._threads = torch.get_num_threads()

    def __enter__(self) -> GradientProcesses:
        if self.n_processes > 1:
            self.network.share_memory()
            context = torch.multiprocessing.get_context("spawn")
            size = sum(p.numel() for p in self.network.parameters())
            for _ in range(self.n_processes - 1):
                here, there = context.Pipe()
                gradient = torch.zeros(size).share_memory_()
                process = context.Process(
                    target=_serve,
                    args=(there, self.network, gradient, self.kl_weight, self.half),
                    daemon=True,
                )
                process.start()
                there.close()
                self._helpers.append((process, here, gradient))
        return self

    def __exit__(self, *_: object) -> None:
        for process, connection, _gradient in self._helpers:
            with contextlib.suppress(OSError):
                connection.send(None)
            process.join(timeout=10)
            process.terminate()
        self._helpers.clear()

    def accumulate(self, shards: list[Shard]) -> dict[str, float]:
        """Leave the step's gradient in the network's parameters; returns its mean loss parts."""
        working = list(zip(self._helpers, shards[1:]))
        own = shards[:1] + shards[1 + len(working) :]
        if working:
            torch.set_num_threads(1)
        try:
            for (_, connection, _gradient), shard in working:
                connection.send(shard)
            self.network.zero_grad(set_to_none=True)
            sums = []
            for shard in own:
                loss, part = shard_loss(self.network, shard, self.kl_weight, self.half)
                loss.backward()
                sums.append(part)
            for (_, connection, gradient), _shard in working:
                sums.append(connection.recv())
                _add_gradient(self.network, gradient)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            codes = [process.exitcode for process, _connection, _gradient in self._helpers]
            raise RuntimeError(
                f"a training process ended (exit codes {codes}), out of memory perhaps; "
                "the last checkpoint stays, resume with fewer processes"
            ) from None
        finally:
            torch.set_num_threads(self._threads)
        return means(sums, shards[0].n_total)


def _add_gradient(network: GraphVAE, flat: Tensor) -> None:
    for parameter, part in _with_parts(network, flat):
        if parameter.grad is None:
            parameter.grad = part.clone()
        else:
            parameter.grad.add_(part)


def _with_parts(network: GraphVAE, flat: Tensor) -> Iterator[tuple[torch.nn.Parameter, Tensor]]:
    """Each parameter with its part of ``flat``, in its shape."""
    start = 0
    for parameter in network.parameters():
        yield parameter, flat[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()


def _serve(
    connection: Connection, network: GraphVAE, gradient: Tensor, kl_weight: float, half: bool
) -> None:
    """A helper process: shards in, sums out, the gradient left in shared memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    network.train()
    while True:
        try:
            shard = connection.recv()
        except EOFError:
            return
        if shard is None:
            return
        network.zero_grad(set_to_none=True)
        loss, sums = shard_loss(network, shard, kl_weight, half)
        loss.backward()
        for parameter, part in _with_parts(network, gradient):
            if parameter.grad is None:
                part.zero_()
            else:
                part.copy_(parameter.grad)
        connection.send(sums)
