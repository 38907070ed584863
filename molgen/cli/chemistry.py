"""Commands about molecules that exist: standardize, describe, filter and verify.

Each command parses its arguments, calls one public function and writes the result. ``-`` stands for
standard input, tables go to standard output or ``--output``, messages and progress to standard
error, and rows that are not molecules to ``--rejects``.

Exit codes: 0 done, 1 done but nothing passed or a check failed, 2 wrong input or arguments.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molgen.cli.app import app
from molgen.cli.common import (
    Column,
    Input,
    Jobs,
    Output,
    Rejects,
    hash_input,
    plain_errors,
    read_input,
    show_progress,
    with_names,
    write_rejects,
    write_table,
)

if TYPE_CHECKING:
    import pandas as pd


@app.command()
def standardize(
    molecules: Input = "-",
    tautomer: Annotated[
        bool, typer.Option("--tautomer", help="Choose the canonical tautomer (slow).")
    ] = False,
    keep_charges: Annotated[bool, typer.Option(help="Do not neutralise.")] = False,
    keep_fragments: Annotated[bool, typer.Option(help="Keep salts and solvents.")] = False,
    keep_isotopes: Annotated[bool, typer.Option(help="Keep isotope labels.")] = False,
    deduplicate: Annotated[bool, typer.Option(help="Keep the first of equal molecules.")] = False,
    column: Column = None,
    output: Output = None,
    rejects: Rejects = None,
    jobs: Jobs = 1,
) -> None:
    """Largest fragment, neutral form, canonical SMILES; tells what changed and what was refused.

    Examples:

      molgen standardize library.csv --deduplicate -o clean.smi --rejects bad.csv

      molgen standardize drugs.smi | molgen filter -
    """
    from molgen.chem.standardization import standardize as standardize_molecules

    with plain_errors():
        read = read_input(molecules, column)
        result = standardize_molecules(
            read.smiles,
            largest_fragment=not keep_fragments,
            neutralize=not keep_charges,
            canonical_tautomer=tautomer,
            keep_isotopes=keep_isotopes,
            deduplicate=deduplicate,
            lines=read.lines,
            n_jobs=jobs,
        )
        typer.echo(str(result), err=True)
        # rejects are numbered by line of the input already
        row_of = {line: row for row, line in enumerate(read.lines, start=1)}
        refused = [
            {"line": row_of[r.line], "smiles": r.smiles, "reason": r.reason}
            for r in result.rejected
        ]
        write_rejects(rejects, read, refused)
        if output is None:
            sys.stdout.write("".join(f"{s}\n" for s in result.smiles))
            sys.stdout.flush()
            return
        import pandas as pd

        name_of = dict(zip(read.lines, read.names))
        table = pd.DataFrame({"smiles": list(result.smiles)})
        if any(read.names):
            table["name"] = [name_of[line] for line in result.lines]
        table["line"] = list(result.lines)
        arguments = {"tautomer": tautomer, "keep_charges": keep_charges}
        arguments |= {"keep_fragments": keep_fragments, "keep_isotopes": keep_isotopes}
        write_table(table, output, "standardize", arguments, hash_input(read))


@app.command()
def describe(
    molecules: Input = "-",
    properties: Annotated[
        str | None, typer.Option("--properties", "-p", help="Comma-separated; all by default.")
    ] = None,
    column: Column = None,
    output: Output = None,
    rejects: Rejects = None,
    jobs: Jobs = 1,
) -> None:
    """Compute descriptors: weight, logP, TPSA, QED, SA score and two dozen others.

    Examples:

      molgen describe drugs.smi

      molgen sample -n 100 | molgen describe - -p mw,logp,qed

      molgen describe library.sdf.gz -o library.parquet --rejects bad.csv
    """
    from molgen.chem.properties import describe as describe_molecules

    with plain_errors():
        read = read_input(molecules, column)
        names = None if properties is None else [p.strip() for p in properties.split(",")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the rejects are told of below
            table = describe_molecules(
                read.smiles, properties=names, n_jobs=jobs, progress=show_progress(molecules)
            )
        write_rejects(rejects, read, table.attrs["rejected"])
        write_table(
            with_names(table, read), output, "describe", {"properties": names}, hash_input(read)
        )


@app.command("filter")
def filter_(
    molecules: Input = "-",
    filters: Annotated[
        str,
        typer.Option(
            "--filters", "-f", help="A preset, names separated by commas, or a YAML file."
        ),
    ] = "default",
    column: Column = None,
    output: Output = None,
    rejects: Rejects = None,
    all_rows: Annotated[
        bool, typer.Option("--all", help="Write refused molecules too, with their reasons.")
    ] = False,
    funnel: Annotated[
        Path | None, typer.Option(help="Write the funnel here: .csv, or a plot .svg .png .pdf.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="List the filters with their sources, and stop.")
    ] = False,
    jobs: Jobs = 1,
) -> None:
    """Keep the molecules that pass; say why the others do not.

    Passing SMILES go to standard output, one a line, unless --all or --output asks for a table.
    The funnel, how many fell at each step, goes to standard error. Exit code 1 when none passes.

    Examples:

      molgen sample -n 1000 | molgen filter - > good.smi

      molgen filter library.csv -f lipinski,pains,brenk --all -o verdicts.csv

      molgen filter library.smi -f rules.yaml --rejects bad.csv --funnel funnel.svg
    """
    from molgen.filters.filter_sets import (
        NOT_A_MOLECULE,
        as_filter_set,
        filter_molecules,
        funnel_table,
    )

    with plain_errors():
        if show:
            _list_filters()
            return
        given: Any = [f.strip() for f in filters.split(",")] if "," in filters else filters
        chosen = as_filter_set(given)
        read = read_input(molecules, column)
        table = filter_molecules(
            read.smiles, chosen, n_jobs=jobs, progress=show_progress(molecules)
        )
        steps = funnel_table(table)
        unreadable = [
            {"line": i, "smiles": s, "reason": r.items[0].what}
            for i, (s, r) in enumerate(zip(table["smiles"], table["reasons"]), start=1)
            if r.items and r.items[0].filter == NOT_A_MOLECULE
        ]
        write_rejects(rejects, read, unreadable)
        typer.echo(steps.to_string(index=False), err=True)
        if funnel is not None:
            _write_funnel(steps, funnel)
        arguments = {"filters": chosen.to_list()}
        n_passed = int(table["passed"].sum())
        table = with_names(table, read)
        kept = table if all_rows else table[table["passed"]].reset_index(drop=True)
        if output is None and not all_rows:
            sys.stdout.write("".join(f"{s}\n" for s in kept["smiles"]))
            sys.stdout.flush()
        else:
            write_table(kept, output, "filter", arguments, hash_input(read))
    if not n_passed:
        raise typer.Exit(1)


def _list_filters() -> None:
    from molgen.filters.filter_sets import PRESETS, filter_names, named_filter
    from molgen.filters.rules import RULES

    for name, members in PRESETS.items():
        typer.echo(f"preset {name}: {', '.join(members)}")
    for name in filter_names():
        known = named_filter(name)
        what = f"{RULES[name]}. " if name in RULES else ""
        note = f" ({RULES[name].note})" if name in RULES and RULES[name].note else ""
        typer.echo(f"{name}: {what}{known.source}{note}")


def _write_funnel(steps: pd.DataFrame, path: Path) -> None:
    from molgen.filters.funnel_plot import plot_funnel

    if path.suffix.lower() == ".csv":
        try:
            steps.to_csv(path, index=False)
        except OSError as error:
            raise ValueError(f"Cannot write {path}: {error.strerror}.") from error
    else:
        plot_funnel(steps, path)


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="A table that molgen wrote.")],
    rows: Annotated[int, typer.Option("--rows", "-n", help="Rows to compute again.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the draw of rows.")] = 0,
) -> None:
    """Check a file against its provenance record, and compute some of its rows again.

    Exit code 1 when something does not agree.

    Example:

      molgen verify molecules.csv
    """
    from molgen.provenance import verify as verify_file

    with plain_errors():
        outcome = verify_file(path, n_rows=rows, seed=seed)
        typer.echo(str(outcome))
    if not outcome.passed:
        raise typer.Exit(1)
