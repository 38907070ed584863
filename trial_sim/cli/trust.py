"""Commands ``qualify``, ``verify`` and ``doctor``: may an installation, or a file, be trusted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

import trial_sim
from trial_sim.base.doctor import examine, in_words
from trial_sim.cli.app import app
from trial_sim.cli.arms import plain_errors
from trial_sim.qualification import qualify, verify


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


@app.command("verify")
@plain_errors
def verify_command(
    path: Annotated[Path, typer.Argument(help="Folder of a saved simulation, or a table.")],
) -> None:
    """Check a saved result against its record, and make it again; exit code 1 if it differs.

    Examples:

      trial-sim verify results.csv

      trial-sim verify run/
    """
    outcome = verify(path)
    typer.echo(str(outcome))
    if not outcome.passed:
        raise typer.Exit(1)


@app.command("doctor")
@plain_errors
def doctor_command() -> None:
    """Say what is missing or broken in this installation; exit code 1 if anything is.

    Python, packages and their versions, files of this package, places to write, what the
    operating system lacks, and the other package called molgen on PyPI.

    Example:

      trial-sim doctor
    """
    home = Path(trial_sim.__file__).parent
    files = {
        "data/**/*.csv*": "built-in trials",
        "templates/*.html*": "pages",
        "qualification/values/*.json": "values of `trial-sim qualify`",
    }
    found = examine(home, files, {"compiled kernels": _kernels(home)})
    typer.echo(in_words(found))
    if any(finding.kind == "wrong" for finding in found):
        raise typer.Exit(1)


def _kernels(home: Path) -> Path:
    """The folder in which numba keeps compiled kernels."""
    return Path(os.environ.get("NUMBA_CACHE_DIR") or home / "__pycache__")
