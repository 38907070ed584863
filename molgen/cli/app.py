"""The Typer application on which every module of commands registers its own."""

from typing import Annotated

import typer

from molgen import __version__

app = typer.Typer(name="molgen", no_args_is_help=True, pretty_exceptions_show_locals=False)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"molgen {__version__}")
        raise typer.Exit()


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Generate, filter, score and judge molecules."""
