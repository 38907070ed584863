"""The ``molgen`` command: each submodule registers its own commands on ``app``."""

import typer

app = typer.Typer(
    name="molgen",
    help="Generate, filter, score and judge molecules.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

from molgen.cli import (  # noqa: E402,F401
    audit,
    batch,
    chemistry,
    design,
    generate,
    objectives,
    optimize,
    reporting,
)
