"""Training: from SMILES to a model folder, with checkpoints from which a run continues exactly.

Everything random in a step (order of growth, noise, noise level) is drawn from the run's seed and
the step's number, so that an interrupted run goes on as if it had never stopped.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

import molgen
from molgen.base.arguments import renamed
from molgen.base.output_places import write_text
from molgen.base.parallel import count_workers
from molgen.base.whole_files import hash_file
from molgen.chem.refusals import Refusal
from molgen.files.datasets import read_molecules
from molgen.model.cards import read_config
from molgen.model.checkpoints import read_model, save_model
from molgen.model.export import mark_secret
from molgen.model.graph_vae import GraphVAE, ModelConfig
from molgen.model.latent_prior import VelocityField, fit_prior
from molgen.model.precision import half_is_faster
from molgen.model.spelling import vocabulary_for
from molgen.motifs.assembly import to_smiles
from molgen.motifs.atom_graphs import atom_graphs, motif_numbers, writable
from molgen.motifs.tree_tables import TreeTable, build_table
from molgen.motifs.trees import MotifTree
from molgen.motifs.vocabulary import (
    Vocabulary,
    build_vocabulary,
    choose_tokens,
    first_equivalent,
    open_vocabulary,
)
from molgen.motifs.vocabulary_growth import token_number
from molgen.training.config import TrainingConfig, usual_config
from molgen.training.learning_curve import LOG, plot_training
from molgen.training.run_state import STATE_CARD, Run
from molgen.training.step import GradientProcesses

logger = logging.getLogger(__name__)
_MAX_BAD_STEPS = 20
_PRIOR_SHARE = 0.15
_TOLD = 3
_ALL_DONE = "all steps done"


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


@renamed(n_workers="n_jobs")
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
    n_jobs: int = 1,
    checkpoint_minutes: float = 5.0,
    progress: bool = True,
) -> TrainingReport:
    """Train a model and write it to ``output``, ready for ``molgen.load_model(output)``.

    Beside it stand ``log.csv`` (losses of each 50 steps), their plot ``learning_curve.svg``, the
    motif trees, ``refused.csv`` (molecules set aside, and why: written before training begins), and
    the state from which ``resume`` continues. The folder is as secret as the molecules, as its
    ``SECRET.txt`` says; `molgen.export_model` writes what may be shared.

    Args:
        smiles: molecules, or the path of a file that ``molgen.read_molecules`` reads, or the
            folder of a saved TreeTable.
        output: folder for the model, its training state, ``log.csv`` and the motif trees.
        seed: of everything random.
        max_minutes: stop in good order after this time, motif trees and latent prior included
            (the learning rate is brought down within it).
        resume: continue from the last checkpoint in ``output``.
        start_from: a model (shipped name or folder) to fine-tune; its vocabulary is kept, and
            molecules that it cannot write are set aside, each with the motif that it lacks.
        config: by default ``TrainingConfig()``, or `molgen.training.config.FINE_TUNING` where the
            run starts from a model. model_config: sizes of a new model.
        n_jobs: processes that make motif trees and, on a CPU, share each step's molecules, -1 for
            all cores (call from under ``if __name__ == "__main__"`` then). What is drawn does not
            depend on it; sums of gradients do in their last bits.
        checkpoint_minutes: how often the state is written.
        progress: show a bar on a terminal or in a notebook, elsewhere a line every 50 steps.

    Raises ValueError if no molecule can be used, FloatingPointError if the loss stays undefined
    (the last good checkpoint stays), KeyboardInterrupt after writing a checkpoint.

    Examples:
        >>> import molgen
        >>> import tempfile
        >>> from molgen.model.graph_vae import ModelConfig
        >>> from molgen.training.whole_run import TrainingConfig
        >>> folder = tempfile.TemporaryDirectory()
        >>> small = ModelConfig(
        ...     latent_dim=8,
        ...     encoder_width=16,
        ...     encoder_layers=1,
        ...     pooling_heads=2,
        ...     width=16,
        ...     layers=1,
        ...     heads=2,
        ...     feedforward=32,
        ...     row_dim=16,
        ...     site_dim=8,
        ... )
        >>> short = TrainingConfig(
        ...     n_steps=2, batch_size=16, min_count=1, precision="float32", prior_steps=2
        ... )
        >>> smiles = ["c1ccccc1" + "C" * n + end for n in range(10) for end in ("O", "N")]
        >>> report = molgen.train(
        ...     smiles, folder.name, seed=0, config=short, model_config=small, progress=False
        ... )
        >>> len(molgen.load_model(folder.name).sample(3, seed=0))
        3
        >>> folder.cleanup()
    """
    # no two batches have the same shapes; oneDNN would keep a kernel for each of the last 1,024
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    begun = time.monotonic()
    n_jobs = count_workers(n_jobs)
    config = config or usual_config(start_from is not None)
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    mark_secret(output)
    stereo = _learns_stereo(output, start_from, model_config, resume)
    table, refused, flattened, data_hash = _trees(smiles, output, n_jobs, resume, progress, stereo)
    network = _network(output, table, start_from, config, model_config, resume, seed)
    network.written = vocabulary_for(network, table)
    usable = np.flatnonzero(writable(table, network.written, network.config.max_motifs))
    if not len(usable):
        reasons = [r.reason for r in (*refused, *_unwritable(table, usable, network))]
        raise ValueError(
            f"none of the {len(reasons)} molecules can be used; the first: {reasons[0]}"
            if reasons
            else "there are no molecules to learn from"
        )
    refused = sorted([*refused, *_unwritable(table, usable, network)], key=lambda r: r.row)
    if not resume:
        _tell_refused(refused, len(table), output)
    config = replace(config, n_steps=config.steps_for(len(usable), start_from is not None))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = Run(network.to(device), table, usable, config, seed, device)
    if resume and (output / STATE_CARD).is_file():
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
    logger.info("training begins at step %d, with %d molecules", run.step, len(usable))
    with GradientProcesses(run.network, n_jobs, config.kl_weight, run.half) as processes:
        left = None
        if max_minutes is not None:
            kept = _PRIOR_SHARE * max_minutes if config.prior_steps else 0.0
            left = max(max_minutes - kept - (time.monotonic() - begun) / 60, 0.0)
        stopped = _loop(run, processes, output, left, checkpoint_minutes, progress)
    if max_minutes is not None and stopped != _ALL_DONE:
        stopped = f"{max_minutes:g} minutes over"
    prior = None
    if config.prior_steps:
        if max_minutes is not None:
            left = max(max_minutes - (time.monotonic() - begun) / 60, 0.01)
        prior = fit_latent_prior(
            run.averaged, table, usable, config, seed, left, progress and _is_watched()
        )
    card |= {"steps": run.step, "minutes": round(run.minutes, 2), "stopped": stopped}
    save_model(output, run.averaged.cpu(), prior, card)
    if (output / LOG).is_file():
        plot_training(output, output / "learning_curve.svg")
    return TrainingReport(
        output, len(usable), tuple(refused), flattened, run.step, run.minutes, stopped
    )


def _learns_stereo(output: Path, start_from, model_config, resume: bool) -> bool:
    """Whether the run's model learns stereo."""
    if start_from is not None:
        return read_config(start_from).stereo_layers > 0
    if resume and (output / "model.json").is_file():
        return read_config(output).stereo_layers > 0
    return model_config is not None and model_config.stereo_layers > 0


def _trees(
    smiles, output: Path, n_jobs: int, resume: bool, progress: bool, stereo: bool
) -> tuple[TreeTable, list[Refusal], int, str]:
    folder = output / "trees"
    if resume and (folder / "motifs.json").is_file():
        note = json.loads((folder / "note.json").read_text(encoding="utf-8"))
        refused = [Refusal(**r) for r in note["refused"]]
        return TreeTable.load(folder), refused, note["flattened"], note["sha256"]
    if isinstance(smiles, str | os.PathLike) and (Path(smiles) / "motifs.json").is_file():
        table = TreeTable.load(Path(smiles))
        if stereo and table.stereo is None:
            raise ValueError(f"the trees in {smiles} hold no stereo, which the model learns")
        return table, [], 0, hash_file(Path(smiles) / "motif.npy")
    if isinstance(smiles, str | os.PathLike):
        smiles = list(read_molecules(Path(smiles)).smiles)
    table, refused, flattened = build_table(smiles, n_jobs, progress, stereo)
    if flattened:
        logger.warning(
            "%d molecules have stereo that the model does not learn, the first is row %d (%s): %s",
            len(flattened), flattened[0].row, flattened[0].smiles[:80], flattened[0].reason,
        )  # fmt: skip
    table.save(folder)
    note = {
        "refused": [asdict(r) for r in refused],
        "flattened": len(flattened),
        "sha256": hash_file(folder / "motif.npy"),
    }
    write_text(folder / "note.json", json.dumps(note))
    return TreeTable.load(folder), refused, len(flattened), note["sha256"]


def _unwritable(table: TreeTable, usable: np.ndarray, network: GraphVAE) -> list[Refusal]:
    """The molecules of ``table`` that are not among the ``usable``, and what each lacks."""
    vocabulary, most = network.written, network.config.max_motifs
    known = set(vocabulary.motifs)
    refused = []
    for i in np.setdiff1d(np.arange(len(table)), usable):
        tree = table.tree(i)
        unknown = [name for name in tree.motifs if name not in known]
        if len(tree) > most:
            reason = f"it has {len(tree)} motifs; the model writes {most} at the most"
        elif unknown:
            reason = f"it needs the motif {unknown[0]}, which the model does not have"
        else:
            smiles, atom = _missing_token(tree, vocabulary)
            reason = f"it needs {smiles} attached by its atom {atom}, which the model does not have"
        refused.append(Refusal(int(table.row[i]), to_smiles(tree), reason))
    return refused


def _missing_token(tree: MotifTree, vocabulary: Vocabulary) -> tuple[str, int]:
    """The first motif and attachment atom of ``tree`` that ``vocabulary`` lacks."""
    for edge in tree.edges:
        smiles = tree.motifs[edge.child]
        atom = first_equivalent(smiles, edge.child_atom)
        if token_number(vocabulary, smiles, atom) < 0:
            return smiles, edge.child_atom
    raise ValueError("the vocabulary has all tokens of the tree")


def _tell_refused(refused: list[Refusal], n_trees: int, output: Path) -> None:
    """List the molecules that are set aside in a file, and say how many and why, once."""
    path = output / "refused.csv"
    path.unlink(missing_ok=True)
    if not refused:
        return
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["row", "smiles", "reason"])
        writer.writerows([r.row, r.smiles, r.reason] for r in refused)
    kinds: dict[str, int] = {}
    for r in refused:
        kinds[r.reason] = kinds.get(r.reason, 0) + 1
    common = sorted(kinds, key=lambda reason: -kinds[reason])
    told = "; ".join(f"{kinds[reason]}: {reason}" for reason in common[:_TOLD])
    more = f"; and {len(common) - _TOLD} other reasons" if len(common) > _TOLD else ""
    logger.warning(
        "%d molecules are set aside (%s%s); all are in %s", len(refused), told, more, path
    )


def _network(
    output: Path, table: TreeTable, start_from, config: TrainingConfig, model_config, resume, seed
) -> GraphVAE:
    if start_from is not None:
        return read_model(start_from)[0]
    if resume and (output / "model.json").is_file():
        return read_model(output)[0]
    if model_config is not None and model_config.head_tokens:
        network = GraphVAE(
            open_vocabulary(table, config.min_count, config.min_row_count), model_config, seed=seed
        )
        save_model(output, network, None, {"steps": 0})
        return network
    motifs, tokens = choose_tokens(table, config.min_count)
    if not motifs:
        raise ValueError(
            f"no motif occurs {config.min_count} times among {len(table)} molecules; "
            "give more molecules, a smaller min_count, or fine-tune a model (start_from)"
        )
    network = GraphVAE(build_vocabulary(motifs, tokens), model_config, seed=seed)
    save_model(output, network, None, {"steps": 0})
    return network


def _loop(
    run: Run,
    processes: GradientProcesses,
    output: Path,
    max_minutes: float | None,
    checkpoint_minutes: float,
    progress: bool,
) -> str:
    """Train until the steps or the minutes are over; returns which."""
    n_steps = run.config.n_steps
    assert n_steps is not None
    started = saved = time.monotonic()
    before = run.minutes
    sums: dict[str, float] = {}
    count = 0
    stopped = _ALL_DONE
    watched = _is_watched()
    bar = tqdm(
        total=n_steps,
        initial=run.step,
        disable=not (progress and watched),
        unit=" steps",
        desc="training",
    )
    try:
        for keep in run.batches():
            elapsed = (time.monotonic() - started) / 60
            run.minutes = before + elapsed
            done = run.step / n_steps
            if max_minutes is not None:
                done = max(done, elapsed / max(max_minutes, 1e-9))
            if done >= 1:
                if run.step < n_steps:
                    stopped = f"{max_minutes} minutes over"
                break
            values = run.advance(keep, done, processes)
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
                told = {k: f"{means[k]:.2f}" for k in ("loss", "clean", "blind", "kl")}
                bar.set_postfix(told)
                if progress and not watched:
                    _tell_step(run, n_steps, told)
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


def _is_watched() -> bool:
    """Whether somebody sees a progress bar move: on a terminal or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _tell_step(run: Run, n_steps: int, told: dict[str, str]) -> None:
    """One line about a run's progress, for a log."""
    losses = ", ".join(f"{name} {value}" for name, value in told.items())
    line = f"step {run.step:,} of {n_steps:,}, {run.minutes:.1f} minutes: {losses}"
    tqdm.write(line, file=sys.stderr)


def _log(output: Path, run: Run, means: dict[str, float]) -> None:
    path = output / LOG
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
    motif = motif_numbers(table, network.written)
    means, logvars = [], []
    device = next(network.parameters()).device
    for start in tqdm(range(0, len(chosen), 2_048), disable=not progress, desc="encoding"):
        graphs = atom_graphs(table, motif, network.written, chosen[start : start + 2_048])
        with torch.autocast(device.type, torch.bfloat16, enabled=half_is_faster(device.type)):
            mu, logvar = network.posterior(graphs)
        means.append(mu.float().cpu())
        logvars.append(logvar.float().cpu())
    with torch.enable_grad():
        return fit_prior(
            torch.cat(means),
            torch.cat(logvars),
            seed=seed,
            n_steps=config.prior_steps_for(len(chosen)),
            max_minutes=max_minutes,
            progress=progress,
        )
