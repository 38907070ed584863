"""The ``trial-sim`` command: each submodule registers its own commands on ``app``."""

import typer

app = typer.Typer(
    name="trial-sim",
    help="Synthetic patient arms, and whole trials in silico.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

from trial_sim.cli import arms, trials  # noqa: E402,F401  (they register their commands)
