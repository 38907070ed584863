"""The commands that audit a generator or its molecules, and that train one with protection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molgen.cli.app import app
from molgen.cli.common import (
    DropoutShare,
    Jobs,
    check_folder,
    check_page_place,
    check_place,
    plain_errors,
    read_smiles,
    show,
    show_progress,
    tell,
)
from molgen.model.config import DEFAULT_MODEL
from molgen.provenance import record, write_beside
from molgen.training.config import FINE_TUNING


@app.command()
def audit(
    members: Annotated[str, typer.Option(help="File of molecules that the model was trained on.")],
    non_members: Annotated[
        str, typer.Option(help="File of molecules of the same kind that it never saw.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Shipped model or folder.")
    ] = DEFAULT_MODEL,
    generated: Annotated[
        str | None,
        typer.Option(help="Audit the molecules of this file, from any generator, not a model."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML report.", callback=check_page_place)
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="The report as JSON.", callback=check_place)
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Molecules to sample; by default 3 a member.")
    ] = None,
    shadow_models: Annotated[int, typer.Option(help="For LiRA and RMIA; even, 0 for none.")] = 4,
    canaries: Annotated[int, typer.Option(help="Planted 1, 4, 16 times each; 0 for none.")] = 8,
    series: Annotated[int, typer.Option(help="Secret series to attack; 0 for none.")] = 8,
    fcd: Annotated[bool, typer.Option(help="The Fréchet ChemNet distance too.")] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same report.")] = 0,
    jobs: Jobs = 1,
) -> None:
    """What a model gives away about its training molecules. Exit code 1 when it does not pass.

    Examples:

        molgen audit --members train.smi --non-members test.smi -m my_model -o audit.html

        molgen audit --members train.smi --non-members test.smi --generated sample.csv
    """
    with plain_errors():
        from molgen.auditing import audit as audit_model
        from molgen.auditing import audit_samples

        inside, outside = (read_smiles(source) for source in (members, non_members))
        if generated is not None:
            report = audit_samples(
                read_smiles(generated), inside, outside, seed=seed, fcd=fcd, n_jobs=jobs
            )
        else:
            try:
                report = audit_model(
                    model,
                    inside,
                    outside,
                    seed=seed,
                    n_samples=samples,
                    shadow_models=shadow_models,
                    canaries=canaries,
                    series=series,
                    fcd=fcd,
                    n_jobs=jobs,
                )
            except FileNotFoundError as error:
                raise ValueError(str(error)) from error
        for place, write in ((output, report.to_html), (json, report.to_json)):
            if place is not None:
                write(place)
                write_beside(place, record("audit", {"model": model}, seed=seed))
        show(str(report))
    if not report.passed:
        raise typer.Exit(1)


@app.command("train-private")
def train_private(
    molecules: Annotated[str, typer.Argument(help="File of the secret molecules.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the model.", callback=check_folder)
    ],
    epsilon: Annotated[float, typer.Option(help="Privacy to spend: 1 is strong, 10 is weak.")],
    delta: Annotated[
        float | None, typer.Option(help="Chance that it fails; by default .1 / molecules.")
    ] = None,
    public_model: Annotated[
        str, typer.Option(help="A model that never saw them: vocabulary, prior and first weights.")
    ] = "moses",
    steps: Annotated[int, typer.Option(help="Noisy steps.")] = 300,
    batch_size: Annotated[int, typer.Option(help="Molecules a step, on average.")] = 128,
    clip: Annotated[float, typer.Option(help="Longest gradient of a molecule.")] = 1.0,
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 1e-3,
    jobs: Jobs = 1,
) -> None:
    """Train with differential privacy (DP-SGD): a promise about every molecule, in numbers.

    Examples:

        molgen train-private secret.smi --output private_model --epsilon 8
    """
    with plain_errors():
        from molgen.training.private_run import PrivateConfig, train_privately

        config = PrivateConfig(
            n_steps=steps, batch_size=batch_size, clip=clip, learning_rate=learning_rate
        )
        report = train_privately(
            read_smiles(molecules), output, epsilon=epsilon, delta=delta,
            public_model=public_model, config=config, n_jobs=jobs,
        )  # fmt: skip
        show(str(report))


@app.command("export")
def export(
    model: Annotated[str, typer.Argument(help="Folder of a trained model.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="New folder.", callback=check_folder)
    ],
    half: Annotated[bool, typer.Option("--half", help="Weights as 16-bit floats.")] = False,
) -> None:
    """Write the part of a trained model that may be shared: weights, vocabulary, a short card.

    Motif trees, refused molecules, logs and the optimiser's state stay behind.

    Examples:

        molgen export tuned --output shared
    """
    with plain_errors():
        from molgen.model.export import export_model

        show(f"Written to {export_model(model, output, half)}")


@app.command("train-audited")
def train_audited(
    molecules: Annotated[str, typer.Argument(help="File of the secret molecules.")],
    hold_out: Annotated[
        str, typer.Option(help="File of others of the same kind, some hundreds, not trained on.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the model.", callback=check_folder)
    ],
    from_model: Annotated[str, typer.Option("--from", help="The model to fine-tune.")] = "moses",
    limit: Annotated[
        float, typer.Option(help="Area under the curve that no likelihood attack may exceed.")
    ] = 0.55,
    piece: Annotated[int, typer.Option(help="Steps between audits.")] = 10,
    steps: Annotated[int, typer.Option(help="At most.")] = 300,
    batch_size: Annotated[
        int | None, typer.Option(help="Molecules a step; by default 128.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Constant after a short rise; by default .0005.")
    ] = None,
    prior_steps: Annotated[
        int | None, typer.Option(help="Steps of training the latent prior; 0 for no prior.")
    ] = None,
    dropout: DropoutShare = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
) -> None:
    """Fine-tune a model until attacks begin to tell its molecules from a hold-out.

    The last model within the limit is kept. Nothing is promised of a single molecule, as
    train-private does, but far less quality is lost.

    Examples:

        molgen train-audited secret.smi --hold-out others.smi --output tuned --limit 0.55
    """
    with plain_errors():
        from molgen.auditing.early_stopping import train_audited as run_training

        config = FINE_TUNING.given(
            n_steps=steps, batch_size=batch_size, learning_rate=learning_rate,
            prior_steps=prior_steps, dropout=dropout,
        )  # fmt: skip
        inside, outside = (read_smiles(source) for source in (molecules, hold_out))
        run = run_training(
            inside, outside, output, limit=limit, piece=piece, seed=seed, config=config,
            start_from=from_model, progress=show_progress(),
        )  # fmt: skip
        show(run.history.round(3).to_string(index=False))
        why = "the next audit exceeded the limit" if run.stopped else "all steps were done"
        show(f"{run.folder}: {run.n_steps} steps ({why})")
        if run.refused:
            first = run.refused[0]
            tell(
                f"{len(run.refused):,} molecules were set aside, the first is {first.smiles}: "
                f"{first.reason}")  # fmt: skip
