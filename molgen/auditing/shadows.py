"""Small models trained here with the target's vocabulary, and the attacks that compare with them.

A molecule is hard or easy for every model; what tells membership is that the *target* finds it
easier than models that never saw it. Shadow models are trained on random halves of members and
non-members together, in pairs of complementary halves, so that every molecule is unseen by half of
them whatever its label.

Sources: Carlini et al. (2022), LiRA, here its offline form with a common spread, since a few
shadows cannot give a spread a molecule; Zarifzadeh et al. (2024), RMIA.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from molgen.auditing.membership import Attack
from molgen.auditing.sets import MoleculeSet
from molgen.base.parallel import one_thread
from molgen.generation.generator import load_model
from molgen.model.checkpoints import save_model
from molgen.model.graph_vae import GraphVAE, ModelConfig
from molgen.motifs.atom_graphs import writable
from molgen.motifs.tree_tables import build_table
from molgen.sampling.likelihood import negative_log_likelihood, table_nll
from molgen.training.whole_run import TrainingConfig, train

if TYPE_CHECKING:
    from molgen.generation.generator import Generator
    from molgen.model.graph_vae import ModelConfig
    from molgen.motifs.tree_tables import TreeTable
    from molgen.training.whole_run import TrainingConfig


_POPULATION = 1_000
_SMALL_WIDTH = 64


@dataclass(frozen=True)
class ShadowScores:
    """Log-likelihoods without a latent, in nats.

    scores: (n_shadows, n) of every molecule, members first; minus infinity where unwritable.
    trained: (n_shadows, n) bool, whether a shadow was trained on it.
    """

    scores: np.ndarray
    trained: np.ndarray

    def __post_init__(self) -> None:
        if self.scores.shape != self.trained.shape:
            raise ValueError(
                f"scores have shape {self.scores.shape}, trained {self.trained.shape}; "
                "expected the same"
            )


def small_config(model: Generator) -> ModelConfig:
    """Sizes of a model that trains in seconds; the target's own when it is as small."""
    own = model.network.config
    if own.width <= _SMALL_WIDTH:
        return own
    return ModelConfig(
        latent_dim=16, encoder_width=32, encoder_layers=2, pooling_heads=2, width=64, layers=2,
        heads=2, feedforward=128, row_dim=32, site_dim=16, max_motifs=own.max_motifs,
    )  # fmt: skip


def quick_training(n_steps: int) -> TrainingConfig:
    """A short training run in single precision, without a latent prior: what it leaves samples
    from its decoder alone."""
    return TrainingConfig(
        n_steps=n_steps,
        batch_size=128,
        warmup=max(n_steps // 10, 1),
        average=0.98,
        prior_steps=0,
        precision="float32",
    )


def train_small(
    model: Generator,
    table: TreeTable,
    folder: Path,
    training: TrainingConfig,
    seed: int,
    config: ModelConfig | None = None,
) -> Generator:
    """A small model with the vocabulary of ``model``, trained from scratch on ``table``.

    The vocabulary is the target's, because whoever has a model can read its vocabulary.
    """
    blank = GraphVAE(model.network.vocabulary, config or small_config(model), seed=seed)
    save_model(folder / "blank", blank, None, {"steps": 0})
    table.save(folder / "data")
    train(
        folder / "data",
        folder / "model",
        seed=seed,
        start_from=folder / "blank",
        config=training,
        progress=False,
        checkpoint_minutes=1e6,
    )
    return load_model(folder / "model")


@dataclass(frozen=True, eq=False)
class ShadowPlan:
    """What each shadow model is to be trained on.

    table: motif trees of all molecules, members first. chosen: for each shadow the rows of
    ``table`` that it learns from. seeds: of its training. n_molecules: all, those without a motif
    tree included.
    """

    table: TreeTable
    chosen: tuple[np.ndarray, ...]
    seeds: tuple[int, ...]
    n_molecules: int


def plan_shadows(
    model: Generator,
    members: MoleculeSet,
    others: MoleculeSet,
    n_shadows: int = 4,
    seed: int = 0,
) -> ShadowPlan:
    """Halves of all molecules, in complementary pairs.

    Args:
        n_shadows: an even number.

    Raises:
        ValueError: an odd or negative number of shadows, or no molecule with a motif tree.
    """
    if n_shadows < 2 or n_shadows % 2:
        raise ValueError(
            f"shadow_models is {n_shadows}; expected 0 or an even number, since shadows are "
            "trained in pairs"
        )
    smiles = [*members.smiles, *others.smiles]
    table, _, _ = build_table(smiles, stereo=model.network.has_stereo)
    usable = writable(table, model.network.vocabulary, model.network.config.max_motifs)
    if usable.sum() < 2:
        raise ValueError("The model can write none of the molecules of the audit.")
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 41])))
    chosen, seeds = [], []
    for _ in range(n_shadows // 2):
        half = rng.permutation(len(table)) % 2
        for side in (0, 1):
            chosen.append(np.flatnonzero((half == side) & usable))
            seeds.append(int(rng.integers(2**31)))
    return ShadowPlan(table, tuple(chosen), tuple(seeds), len(smiles))


def score_with_shadow(
    model: Generator, table: TreeTable, chosen: np.ndarray, n_steps: int, seed: int
) -> np.ndarray:
    """Train a shadow on the rows ``chosen``: its log-likelihood of every row of ``table``, in nats,
    NaN where unwritable.

    Args:
        n_steps: training steps of 128 molecules each.
    """
    with tempfile.TemporaryDirectory(prefix="molgen-shadow-") as folder, one_thread():
        shadow = train_small(
            model, table.take(chosen), Path(folder), quick_training(n_steps), seed=seed
        )
        return -table_nll(shadow, table)


def gather_scores(plan: ShadowPlan, found: Sequence[np.ndarray]) -> ShadowScores:
    """The scores of all molecules from what each shadow found for the rows of the table."""
    scores = np.full((len(plan.chosen), plan.n_molecules), -np.inf)
    trained = np.zeros(scores.shape, dtype=bool)
    for k, (chosen, values) in enumerate(zip(plan.chosen, found)):
        scores[k, plan.table.row] = np.where(np.isnan(values), -np.inf, values)
        trained[k, plan.table.row[chosen]] = True
    return ShadowScores(scores, trained)


def shadow_attacks(target: np.ndarray, n_members: int, shadows: ShadowScores) -> list[Attack]:
    """LiRA and RMIA.

    Args:
        target: (n,) log-likelihoods of the audited model, members first.
        n_members: how many of them are members.
        shadows: of the same molecules.
    """
    finite = np.isfinite(target) & np.isfinite(shadows.scores).all(axis=0)
    if finite.sum() < 3:
        return []
    t, s = target[finite], shadows.scores[:, finite]
    unseen = ~shadows.trained[:, finite]
    # Another model's nats are on another scale: each shadow is brought to the target's by a line
    # fitted over all molecules, which needs no label.
    s = np.stack([_on_scale_of(t, row) for row in s])
    out_mean = np.where(unseen, s, 0.0).sum(axis=0) / np.maximum(unseen.sum(axis=0), 1)
    lira = np.full(len(target), -np.inf)
    lira[finite] = t - _on_scale_of(t, out_mean)
    ratio = np.full(len(target), -np.inf)
    ratio[finite] = t - (np.logaddexp.reduce(s, axis=0) - np.log(len(s)))
    attacker = (
        "the model's likelihoods, molecules of the same kind, and time to train "
        f"{len(shadows.scores)} shadow models"
    )
    attacks = [
        Attack(
            "LiRA (shadow models)", lira[:n_members], lira[n_members:], attacker,
            "how much likelier the model finds it than shadow models that never saw it",
        )
    ]  # fmt: skip
    others = ratio[n_members:]
    n_population = min(_POPULATION, len(others) // 5)
    # the hold-out's order is the caller's; a stride takes an even part of it
    population = np.zeros(len(others), dtype=bool)
    population[np.linspace(0, len(others) - 1, n_population).astype(np.int64)] = True
    z = np.sort(others[population & np.isfinite(others)])
    if len(z):
        attacks.append(
            Attack(
                "RMIA (shadow models)",
                _beaten(ratio[:n_members], z),
                _beaten(others[~population], z),
                attacker + ", some of them known not to be members",
                "the share of outsiders whose likelihood ratio to the shadow models it beats",
            )
        )
    return attacks


def likelihood_ratio(model: Generator, reference: Generator, smiles: list[str]) -> np.ndarray:
    """(n,) log-likelihood under ``model`` less that expected from ``reference``, in nats; minus
    infinity where either cannot write the molecule."""
    found, expected = (-negative_log_likelihood(m, smiles) for m in (model, reference))
    finite = np.isfinite(found) & np.isfinite(expected)
    ratio = np.full(len(smiles), -np.inf)
    if finite.any():
        ratio[finite] = found[finite] - _on_scale_of(found[finite], expected[finite])
    return ratio


def _on_scale_of(target: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """``scores`` mapped by the least-squares line that predicts ``target``."""
    spread = scores.std()
    if spread == 0:
        return np.full_like(scores, target.mean())
    slope = np.mean((scores - scores.mean()) * (target - target.mean())) / spread**2
    return target.mean() + slope * (scores - scores.mean())


def _beaten(ratio: np.ndarray, population: np.ndarray) -> np.ndarray:
    """Share of the sorted ``population`` with a ratio below each; ties broken by the ratio."""
    share = np.searchsorted(population, ratio, side="right") / len(population)
    return np.where(np.isfinite(ratio), share + 1e-6 * np.tanh(ratio / 100), -np.inf)
