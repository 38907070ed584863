"""Training that gives less away: thinned training data, and early stopping by audit.

A molecule that stands out, or stands there often, is remembered first; a model that trains long on
few molecules remembers all. :func:`thin` keeps a few molecules of each scaffold, or each molecule
once; :func:`train_audited` trains piece by piece and stops when members begin to be told from a
hold-out. For a promise rather than a measurement see :mod:`molgen.training.private_run`. What each
costs is printed by ``python -m benchmarks protection``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from molgen.auditing.intervals import attack_result
from molgen.auditing.sets import read_sets
from molgen.chem.parsing import as_smiles_list
from molgen.generation.generator import load_model
from molgen.sampling.likelihood import negative_log_likelihood
from molgen.training.config import usual_config
from molgen.training.whole_run import train

if TYPE_CHECKING:
    import pandas as pd

    from molgen.auditing.intervals import Interval
    from molgen.auditing.sets import MoleculeSet
    from molgen.chem.refusals import Refusal
    from molgen.generation.generator import Generator
    from molgen.model.graph_vae import ModelConfig
    from molgen.training.config import TrainingConfig

_AUDITED = 2_000


@dataclass(frozen=True)
class AuditedRun:
    """What early stopping by audit did.

    folder: where the model is. n_steps: steps of the model that was kept. history: a row a piece:
    ``steps``, ``auc``, ``lower``, ``upper`` (the strongest of the attacks with its 95 % interval),
    ``attack``. stopped: whether the limit was reached; otherwise all steps were done. refused:
    members that the model could not use, with reasons.
    """

    folder: Path
    n_steps: int
    history: pd.DataFrame
    stopped: bool
    refused: tuple[Refusal, ...]


def train_audited(
    members: Iterable[str],
    hold_out: Iterable[str],
    output: str | os.PathLike,
    *,
    limit: float = 0.55,
    piece: int = 500,
    seed: int = 0,
    config: TrainingConfig | None = None,
    model_config: ModelConfig | None = None,
    start_from: str | os.PathLike | None = None,
    progress: bool = True,
) -> AuditedRun:
    """Train in pieces, audit after each, and keep the last model that is within the limit.

    The audit compares the likelihoods (without a latent, and the evidence lower bound) that the
    model gives to members and to the hold-out; the stronger attack counts, by its estimate. The
    learning rate stays constant, since it is not known when the run will end; the averaged weights
    take the place of its fall.

    Args:
        members: what to train on. hold_out: the same kind of molecules, not trained on; some
            hundreds at least.
        output: folder of the model.
        limit: area under the curve that no attack may exceed, above .5.
        piece: steps between audits.
        seed: of everything random.
        config: its ``n_steps`` is the longest that the run may be; by default
            `molgen.training.config.FINE_TUNING` where the run starts from a model.
        model_config, start_from: see ``molgen.train``.

    Raises:
        ValueError: overlapping or too small sets, a limit that is not above .5, or a first piece
            that already exceeds it (nothing is written then).

    Examples:
        >>> import tempfile
        >>> import molgen
        >>> from molgen.training.whole_run import TrainingConfig
        >>> model = molgen.load_model("moses")
        >>> molecules = sorted(set(model.sample(400, seed=0)))
        >>> folder = tempfile.TemporaryDirectory()
        >>> run = molgen.train_audited(
        ...     molecules[::2],
        ...     molecules[1::2],
        ...     folder.name,
        ...     limit=0.9,
        ...     piece=2,
        ...     config=TrainingConfig(n_steps=2, batch_size=16, prior_steps=0),
        ...     start_from="moses",
        ...     progress=False,
        ... )
        >>> folder.cleanup()
    """
    import pandas as pd

    if not 0.5 < limit <= 1:
        raise ValueError(f"limit is {limit}; expected a number above .5, up to 1")
    if piece < 1:
        raise ValueError(f"piece is {piece}; expected at least 1 step")
    texts = as_smiles_list(members)
    inside, outside, _ = read_sets(texts, hold_out)
    config = config or usual_config(start_from is not None)
    longest = config.steps_for(len(inside), start_from is not None)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 82])))
    some_inside, some_outside = (
        x.take(np.sort(rng.permutation(len(x))[:_AUDITED])) for x in (inside, outside)
    )
    rows = []
    kept = 0
    final = Path(output)
    if final.exists() and any(final.iterdir()):
        raise ValueError(f"{final} is not empty; give the model a folder of its own")
    final.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".audited-", dir=final.resolve().parent) as scratch:
        work, good = Path(scratch) / "work", Path(scratch) / "good"
        for steps in [*range(piece, longest, piece), longest]:
            plan = replace(config, n_steps=steps, cooldown=0.0, prior_steps=0)
            train(
                texts, work, seed=seed, resume=steps > piece, start_from=start_from, config=plan,
                model_config=model_config, progress=progress,
            )  # fmt: skip
            name, area = strongest_attack(load_model(work), some_inside, some_outside, seed)
            rows.append((steps, area.estimate, area.lower, area.upper, name))
            if area.estimate > limit:
                break
            kept = steps
            shutil.rmtree(good, ignore_errors=True)
            shutil.copytree(work, good)
        if not kept:
            raise ValueError(
                f"after {piece} steps {rows[0][4]} tells members from the hold-out with an area of "
                f"{rows[0][1]:.3f}, above the limit {limit}; a smaller piece or a smaller model is "
                "needed"
            )
        plan = replace(config, n_steps=kept, cooldown=0.0)
        report = train(
            texts, good, seed=seed, resume=True, start_from=start_from, config=plan,
            model_config=model_config, progress=progress,
        )  # fmt: skip
        shutil.copytree(good, final, dirs_exist_ok=True)
    columns = ["steps", "auc", "lower", "upper", "attack"]
    history = pd.DataFrame(rows, columns=columns)
    return AuditedRun(final, kept, history, rows[-1][1] > limit, report.refused)


def strongest_attack(
    model: Generator, members: MoleculeSet, others: MoleculeSet, seed: int = 0
) -> tuple[str, Interval]:
    """The attack by likelihood (without a latent, or the evidence lower bound) with the largest
    area, and that area with its interval."""
    best: tuple[str, Interval] | None = None
    for given, name in (
        ("nothing", "likelihood without latent"),
        ("posterior", "evidence lower bound"),
    ):
        scores = []
        for x in (members, others):
            found = -negative_log_likelihood(model, list(x.smiles), given, seed=seed)
            scores.append(np.where(np.isnan(found), -np.inf, found))
        area = attack_result(scores[0], scores[1], seed, n_resamples=300).auc
        if best is None or area.estimate > best[1].estimate:
            best = (name, area)
    assert best is not None
    return best
