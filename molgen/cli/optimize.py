"""The command that searches for molecules of high score."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from molgen.cli.app import app
from molgen.cli.common import (
    Output,
    check_place,
    plain_errors,
    read_smiles,
    tell,
    write_table,
)
from molgen.cli.objectives import Goals, read_objective
from molgen.model.config import DEFAULT_MODEL
from molgen.optimization.curve_plot import plot_search
from molgen.provenance import record, write_beside
from molgen.report.page import report as write_report


@app.command()
def optimize(
    objective: Annotated[
        Path | None, typer.Argument(help="An objective, .yaml or .json; or give --goal.")
    ] = None,
    goal: Goals = None,
    calls: Annotated[
        int, typer.Option("--calls", "-n", help="Molecules that are scored.")
    ] = 10_000,
    model: Annotated[str, typer.Option("--model", "-m", help="Model, or 'none'.")] = DEFAULT_MODEL,
    start: Annotated[Path | None, typer.Option(help="Molecules to start from.")] = None,
    filters: Annotated[
        str, typer.Option(help="Hard filters; auto: the objective's, or 'default'. Or 'none'.")
    ] = "auto",
    diverse: Annotated[
        bool, typer.Option("--diverse", help="Search for many chemotypes, not for one.")
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option(help="File of every call; resumed if there.", callback=check_place),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after this time.")] = None,
    target: Annotated[float | None, typer.Option(help="Stop when a molecule scores this.")] = None,
    plateau: Annotated[
        int | None, typer.Option(help="Stop when the ten best stood still for so many calls.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Start afresh after so many calls without progress; 1500.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same search.")] = 0,
    output: Output = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            help="Draw the best score so far, call by call, here (.svg .png .pdf).",
            callback=check_place,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="An HTML page of the candidates and of the search's course.",
            callback=check_place,
        ),
    ] = None,
) -> None:
    """Search for molecules that an objective scores high.

    Examples:

        molgen optimize objective.yaml -n 2000 --log calls.jsonl -o best.csv --report best.html

        molgen optimize -g "maximise qed" -g "logp within 1 3" -n 500 -o best.csv

        molgen optimize -g "maximise qed" --target 0.94 --plateau 1000 --curve curve.svg -o best.csv
    """
    with plain_errors():
        from molgen.optimization.goal_directed import optimize as search

        wanted = read_objective(objective, goal or [], None, None)
        with _ended_gently():
            table = search(
                wanted,
                model=None if model == "none" else model,
                n_calls=calls,
                seed=seed,
                start=[] if start is None else list(read_smiles(start)),
                filters=None if filters == "none" else filters,
                diverse=diverse,
                log=log,
                target=target,
                plateau=plateau,
                patience=patience,
                time_limit=None if minutes is None else 60 * minutes,
                on_progress=_tell_progress(calls),
            )
        area = table.attrs["auc_top10"]
        tell(
            f"{table.attrs['calls']:,} calls, ended by {table.attrs['reason']}"
            + ("" if math.isnan(area) else f"; area under the top-10 curve {area:.3f}")
        )
        for event in table.attrs["events"]:
            tell(f"Note: {event}")
        arguments = {"objective": wanted.to_dict(), "model": model, "n_calls": calls}
        write_table(table, output, "optimize", arguments, "", seed)
        if curve is not None:
            plot_search(table, curve)
            write_beside(curve, record("optimize", arguments, seed=seed))
            tell(f"Curve in {curve}")
        if report is not None:
            made = record("optimize", arguments, seed=seed)
            write_report(table, report, title=f"Search: {wanted.name}", provenance=made)
            write_beside(report, made)
            tell(f"Report in {report}")
        if table.attrs["reason"] in ("failures", "interrupted"):
            raise typer.Exit(1)


@contextmanager
def _ended_gently() -> Iterator[None]:
    """A scheduler's SIGTERM ends the search as Ctrl-C does: what was found is written."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell_progress(calls: int) -> Callable[[int, float], None]:
    """A line about every tenth of the calls."""
    told = 0

    def tell_calls(used: int, best_ten: float) -> None:
        nonlocal told
        if used * 10 // calls > told:
            told = used * 10 // calls
            tell(f"{used:,} of {calls:,} calls; mean of the ten best {best_ten:.3f}")

    return tell_calls
