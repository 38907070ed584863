"""The Typer application on which every module of commands registers its own."""

from pathlib import Path
from typing import Annotated

import typer

from molgen import __version__

app = typer.Typer(name="molgen", no_args_is_help=True, pretty_exceptions_show_locals=False)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"molgen {__version__}")
        raise typer.Exit()


LOG_HELP = "Append a line about the command to this file: what was read, written, and how it ended."


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
    log: Annotated[Path | None, typer.Option("--log", envvar="MOLGEN_LOG", help=LOG_HELP)] = None,
) -> None:
    """Generate, filter, score and judge molecules."""
