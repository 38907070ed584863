"""Commands ``qualify`` and ``doctor``: whether this installation may be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import molgen
from molgen.base.doctor import examine, in_words
from molgen.base.whole_files import cache_folder
from molgen.cli.app import app
from molgen.cli.common import check_folder, plain_errors, show
from molgen.provenance import qualify as qualify_installation


@app.command()
def qualify(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder of the page, its PDF and JSON.", callback=check_folder
        ),
    ] = Path("qualification"),
    only: Annotated[
        str | None, typer.Option(help="A requirement such as descriptors, or the name of a case.")
    ] = None,
    pdf: Annotated[
        bool, typer.Option(help="Print the page with a browser, if there is one.")
    ] = True,
) -> None:
    """Compare this installation with independent values; write the page to be signed.

    Exit code 1 if a value is not within its tolerance.

    Examples:

      molgen qualify -o qualification

      molgen qualify --only motifs --no-pdf -o part
    """
    with plain_errors():
        made = qualify_installation(output, only=only, pdf=pdf)
        show(str(made))
        show(f"wrote {output / 'qualification.html'} and .json")
        if made.printed:
            show(made.printed)
    if not made.passed:
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Say what is missing or broken in this installation; exit code 1 if anything is.

    Python, packages and their versions, files of this package, places to write, what the
    operating system lacks, and the other package called molgen on PyPI.

    Example:

      molgen doctor
    """
    home = Path(molgen.__file__).parent
    files = {
        "models/*/*.safetensors": "weights of the shipped model",
        "data/moses_ring_systems.csv.gz": "ring systems",
        "data/alerts/*.csv": "sets of alerts",
        "report/templates/*.html": "pages",
        "provenance/values/*.json": "values of `molgen qualify`",
    }
    found = examine(home, files, {"the cache": cache_folder()})
    show(in_words(found))
    if any(finding.kind == "wrong" for finding in found):
        raise typer.Exit(1)
