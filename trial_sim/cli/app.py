"""The Typer application on which every module of commands registers its own."""

import typer

app = typer.Typer(
    name="trial-sim",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
