"""The command ``molgen batch``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molgen.batch.running import estimate_batch, merge_batch, run_batch
from molgen.cli.app import app
from molgen.cli.common import (
    check_folder,
    plain_errors,
    show,
    show_progress,
    tell,
)


@app.command()
def batch(
    run: Annotated[Path, typer.Argument(help="A run file (YAML) with at least the key n.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The folder of the results.", callback=check_folder),
    ],
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only say what it would cost, with exit code 1 if it cannot fit."
        ),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(help="Only this part, such as 3/8, into a folder of its own in --output."),
    ] = None,
) -> None:
    """Draw, deduplicate, filter, describe, score and select many molecules.

    Keys of the run file, all but n with defaults: n, model, seed, chunk_size, filters, workers,
    temperature, properties, deduplicate, known, objective, select, report, max_draws, timeout,
    retries, memory_limit, cluster, and start: the scaffolds, leads, links or windows to draw from.
    The same command goes on with an interrupted run, and does
    nothing when all is done.

    Examples:

        molgen batch run.yaml --output candidates

        molgen batch run.yaml --output candidates --dry-run

        molgen batch run.yaml --output candidates --shard 3/8
    """
    with plain_errors():
        if dry_run:
            estimate = estimate_batch(run, output)
            show(str(estimate))
            if estimate.problems:
                raise typer.Exit(1)
            return
        try:
            show(str(run_batch(run, output, shard=shard, progress=show_progress())))
        except KeyboardInterrupt:
            tell("Interrupted; the same command goes on from here.")
            raise typer.Exit(130) from None


@app.command()
def merge(
    run: Annotated[Path, typer.Argument(help="The run file that the shards were made with.")],
    shards: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of the shards; by default those in --output."),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The folder of the results.", callback=check_folder),
    ] = Path(),
    complete: Annotated[
        bool, typer.Option("--complete", help="Compute here what a missing shard lacks.")
    ] = False,
) -> None:
    """Put the shards of a batch together: the bytes of one run, molecules of several shards once.

    Examples:

        molgen merge run.yaml --output candidates

        molgen merge run.yaml copied/shard-*-of-8 --output candidates
    """
    with plain_errors():
        try:
            result = merge_batch(
                run, output, shards or (), complete=complete, progress=show_progress()
            )
            show(str(result))
        except KeyboardInterrupt:
            tell("Interrupted; the same command goes on from here.")
            raise typer.Exit(130) from None
