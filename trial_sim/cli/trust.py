"""Command ``qualify``: whether this installation may be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trial_sim.cli.app import app
from trial_sim.cli.arms import plain_errors
from trial_sim.qualification import qualify


@app.command("qualify")
@plain_errors
def qualify_command(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the page, its PDF and JSON.")
    ] = Path("qualification"),
    only: Annotated[
        str | None, typer.Option(help="A requirement such as bounds, or the name of a case.")
    ] = None,
    n_trials: Annotated[int, typer.Option(help="Simulated trials a design.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Seed of the simulated trials.")] = 2026,
    pdf: Annotated[
        bool, typer.Option(help="Print the page with a browser, if there is one.")
    ] = True,
) -> None:
    """Compare this installation with independent values; write the page to be signed.

    Exit code 1 if a value is not within its tolerance.

    Examples:

      trial-sim qualify -o qualification

      trial-sim qualify --only bounds --no-pdf -o part
    """
    made = qualify(output, only=only, n_trials=n_trials, seed=seed, pdf=pdf)
    typer.echo(str(made))
    typer.echo(f"wrote {output / 'qualification.html'} and .json")
    if made.printed:
        typer.echo(made.printed)
    if not made.passed:
        raise typer.Exit(1)
