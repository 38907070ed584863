"""Planted secrets: unusual molecules, put 1, 4 and 16 times into a small training run.

Canaries are children of random pairs of members, the ones least like any member. A few are planted,
drawn at random, so that their unplanted siblings show what chance gives. *Exposure* is
log2(siblings + 1) - log2(rank of the canary's likelihood among them), in bits (Carlini et al. 2019,
"The Secret Sharer"); likelihoods are taken over those of the audited model, which saw no canary, so
that a short simple molecule does not pass for a remembered one.

The run is a small model of the audited model's vocabulary, so it tells what the *recipe* does to a
secret that stands once among thousands, not what this checkpoint holds.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from molgen.auditing.intervals import bootstrap_mean, share_difference
from molgen.auditing.measures import Measure, not_assessed
from molgen.auditing.sets import MoleculeSet, profile_chunk, read_generated
from molgen.auditing.shadows import likelihood_ratio, quick_training, train_small
from molgen.base.parallel import one_thread
from molgen.chem.ring_systems import scaffold
from molgen.chem.similarity import nearest
from molgen.generation.scaffolds.growing import sample_scaffold
from molgen.motifs.atom_graphs import writable
from molgen.motifs.tree_tables import build_table
from molgen.optimization.graph_moves import crossover

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

REPEATS = (1, 4, 16)
#: Mean of log2(1 / u) for uniform u: the exposure of a molecule that was not planted.
CHANCE_EXPOSURE = float(1 / np.log(2))
_BACKGROUND = 2_000
_PROMPT_DRAWS = 256


@dataclass(frozen=True)
class CanaryRun:
    """A training run with canaries.

    planted: the canaries; repeats: (n_planted,) how often each was planted.
    siblings: molecules made the same way that were not planted.
    model: what came out of the run.
    """

    planted: tuple[str, ...]
    repeats: np.ndarray
    siblings: tuple[str, ...]
    model: Generator


def measure_canaries(
    model: Generator,
    members: MoleculeSet,
    others: MoleculeSet,
    n_each: int = 8,
    n_steps: int = 300,
    n_samples: int = 2_000,
    seed: int = 0,
) -> list[Measure]:
    """The canaries section.

    Args:
        n_each: canaries planted once, four times, sixteen times.
        n_steps: steps of 128 molecules of the run.
        n_samples: molecules drawn from it.
    """
    siblings = make_canaries(model, members, others, n=20 * n_each * len(REPEATS), seed=seed)
    if len(siblings) < 2 * n_each * len(REPEATS):
        return [
            not_assessed(
                "canaries", "exposure",
                f"only {len(siblings)} unusual molecules that the model can write were found.",
            )
        ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="molgen-canaries-") as folder, one_thread():
        run = plant(model, members, siblings, Path(folder), n_each, n_steps, seed)
    bits = exposure(model, run)
    n_control = min(len(run.siblings), len(run.planted))
    with one_thread():
        drawn = read_generated(run.model.sample(n_samples, seed=seed))[0].positions
        prompted = [
            recovered_by_prompt(run.model, smiles, seed)
            for smiles in (*run.planted, *run.siblings[:n_control])
        ]
    measures = []
    for repeats in REPEATS:
        chosen = run.repeats == repeats
        subject = f"planted {repeats} ×"
        measures.append(
            Measure(
                "canaries", "exposure", bootstrap_mean(bits[chosen], seed),
                f"Mean exposure in bits of {chosen.sum()} canaries among {len(run.siblings)} "
                f"unplanted siblings in a small run of {n_steps} steps; a molecule that was not "
                f"planted has {CHANCE_EXPOSURE:.2f}, one that is likelier than all siblings "
                f"{np.log2(len(run.siblings) + 1):.1f}.",
                subject, CHANCE_EXPOSURE, attacker="the likelihoods of the model",
            )
        )  # fmt: skip
        for name, hits, control, attacker in (
            (
                "extraction by sampling",
                [s in drawn for s, c in zip(run.planted, chosen) if c],
                [s in drawn for s in run.siblings],
                "samples alone (black box)",
            ),
            (
                "extraction by prefix",
                [p for p, c in zip(prompted, chosen) if c],
                prompted[len(run.planted) :],
                "the canary's scaffold, and sampling from a scaffold",
            ),
        ):
            gap = share_difference(sum(hits), len(hits), sum(control), len(control))
            measures.append(
                Measure(
                    "canaries", name, gap,
                    f"{sum(hits)} of {len(hits)} canaries and {sum(control)} of {len(control)} "
                    "unplanted siblings came out; the estimate is the difference. The run is small "
                    "and repeats its data often, so this is a warning about the recipe, not about "
                    "the audited weights.",
                    subject, 0.0, rule="excess" if repeats == 1 else "", attacker=attacker,
                )
            )  # fmt: skip
    return measures


def make_canaries(
    model: Generator, members: MoleculeSet, others: MoleculeSet, n: int, seed: int = 0
) -> list[str]:
    """Up to ``n`` unusual molecules that the model can write and that are in neither set."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 61])))
    children: dict[str, None] = {}
    for _ in range(6 * n):
        a, b = (members.smiles[int(i)] for i in rng.integers(len(members), size=2))
        child = crossover(a, b, rng)
        if child is not None:
            children.setdefault(child)
        if len(children) >= 2 * n:
            break
    rows = [row for row in profile_chunk(list(children)) if row is not None]
    fresh = {
        row[0]: row[1]
        for row in rows
        if row[0] not in members.positions and row[0] not in others.positions
    }
    smiles = list(fresh)
    if not smiles:
        return []
    table, _, _ = build_table(smiles, stereo=model.network.has_stereo)
    good = table.row[writable(table, model.network.vocabulary, model.network.config.max_motifs)]
    if not len(good):
        return []
    similarity, _ = nearest(np.stack([fresh[smiles[i]] for i in good]), members.packed)
    chosen = good[np.argsort(similarity, kind="stable")[:n]]
    return [smiles[i] for i in rng.permutation(chosen)]


def plant(
    model: Generator,
    members: MoleculeSet,
    siblings: list[str],
    folder: Path,
    n_each: int,
    n_steps: int,
    seed: int,
) -> CanaryRun:
    """Train a small model on up to 2,000 members and the first of the siblings, repeated."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 62])))
    repeats = np.repeat(REPEATS, n_each)
    planted = siblings[: len(repeats)]
    background = [members.smiles[i] for i in rng.permutation(len(members))[:_BACKGROUND]]
    repeated = [s for s, k in zip(planted, repeats) for _ in range(k)]
    table, _, _ = build_table([*background, *repeated], stereo=model.network.has_stereo)
    trained = train_small(model, table, folder, quick_training(n_steps), seed=seed)
    return CanaryRun(tuple(planted), repeats, tuple(siblings[len(repeats) :]), trained)


def exposure(reference: Generator, run: CanaryRun) -> np.ndarray:
    """(n_planted,) exposure in bits: rank of each canary among the siblings."""
    smiles = [*run.planted, *run.siblings]
    ratio = likelihood_ratio(run.model, reference, smiles)
    siblings = np.sort(ratio[len(run.planted) :])
    above = len(siblings) - np.searchsorted(siblings, ratio[: len(run.planted)], side="right")
    return np.log2(len(siblings) + 1) - np.log2(above + 1)


def recovered_by_prompt(
    model: Generator, smiles: str, seed: int, max_draws: int = _PROMPT_DRAWS
) -> bool:
    """Whether the model writes ``smiles`` when it is given its scaffold."""
    core = scaffold(smiles)
    if not core or core == smiles:
        return False
    return smiles in grown_from(model, core, seed, max_draws)


def grown_from(model: Generator, core: str, seed: int, max_draws: int) -> set[str]:
    """Molecules that the model writes around ``core``; none where it cannot be a prefix."""
    with quiet("molgen.generation.scaffolds"):
        try:
            return set(sample_scaffold(model, core, max_draws, seed=seed, max_draws=max_draws))
        except ValueError:  # a core that motifs cannot carry: nothing is recovered from it
            return set()


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Hold back warnings of a logger: here fewer molecules than asked for are expected."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
