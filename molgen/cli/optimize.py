"""The command that searches for molecules of high score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molgen.cli import app
from molgen.cli.common import Output, plain_errors, write_table


@app.command()
def optimize(
    objective: Annotated[Path, typer.Argument(help="An objective, .yaml or .json.")],
    calls: Annotated[
        int, typer.Option("--calls", "-n", help="Molecules that are scored.")
    ] = 10_000,
    model: Annotated[str, typer.Option("--model", "-m", help="Model, or 'none'.")] = "moses",
    start: Annotated[Path | None, typer.Option(help="Molecules to start from.")] = None,
    filters: Annotated[str | None, typer.Option(help="Hard filters, such as 'default'.")] = None,
    log: Annotated[Path | None, typer.Option(help="File of every call; resumed if there.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after this time.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same search.")] = 0,
    output: Output = None,
) -> None:
    """Search for molecules that an objective scores high.

    Example:

        molgen optimize objective.yaml -n 2000 --log calls.jsonl -o best.csv
    """
    with plain_errors():
        from molgen.files import read_molecules
        from molgen.optimization import optimize as search
        from molgen.scoring import Objective

        parsed = Objective.load(objective)
        table = search(
            parsed,
            model=None if model == "none" else model,
            n_calls=calls,
            seed=seed,
            start=[] if start is None else list(read_molecules(start).smiles),
            filters=filters,
            log=log,
            time_limit=None if minutes is None else 60 * minutes,
        )
        typer.echo(
            f"{table.attrs['calls']:,} calls, ended by {table.attrs['reason']}; area under the "
            f"top-10 curve {table.attrs['auc_top10']:.3f}",
            err=True,
        )
        for event in table.attrs["events"]:
            typer.echo(f"Note: {event}", err=True)
        arguments = {"objective": parsed.to_dict(), "model": model, "n_calls": calls}
        write_table(table, output, "optimize", arguments, "")
