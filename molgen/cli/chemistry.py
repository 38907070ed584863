"""Commands about molecules that exist: standardize, describe, filter and verify.

Each command parses its arguments, calls one public function and writes the result. ``-`` stands for
standard input, tables go to standard output or ``--output``, messages and progress to standard
error, and rows that are not molecules to ``--rejects``.

Exit codes: 0 done, 1 done but nothing passed or a check failed, 2 wrong input or arguments.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molgen.base.output_places import write_text
from molgen.chem.description import describe as describe_molecules
from molgen.chem.properties import whole_counts
from molgen.chem.protonation import protonate as protonate_molecules
from molgen.chem.standardization import standardize as standardize_molecules
from molgen.cli.app import app
from molgen.cli.common import (
    Column,
    Format,
    Input,
    Jobs,
    Output,
    Rejects,
    check_place,
    hash_input,
    plain_errors,
    read_input,
    show,
    show_progress,
    tell,
    with_columns,
    write_lines,
    write_rejects,
    write_table,
)
from molgen.filters.filter_sets import (
    NOT_A_MOLECULE,
    PRESETS,
    as_filter_set,
    filter_molecules,
    filter_names,
    funnel_table,
    named_filter,
)
from molgen.filters.funnel_plot import plot_funnel
from molgen.filters.known_molecules import find_known
from molgen.filters.rules import RULES
from molgen.provenance import verify as verify_file

if TYPE_CHECKING:
    import pandas as pd

    from molgen.files.molecule_files import MoleculeFile


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
    format: Format = None,
    output: Output = None,
    rejects: Rejects = None,
    jobs: Jobs = 1,
) -> None:
    """The drug of a salt, neutral form, canonical SMILES; tells what changed and was refused.

    SMILES with their names go to standard output, or CSV where the input has further columns;
    --output writes a table with the steps and the fragments that were removed from each row.

    Examples:

      molgen standardize library.csv --deduplicate -o clean.smi --rejects bad.csv

      molgen standardize drugs.smi | molgen filter -
    """
    with plain_errors():
        read = read_input(molecules, column, format)
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
        tell(str(result))
        # rejects are numbered by line of the input already
        row_of = {line: row for row, line in enumerate(read.lines, start=1)}
        refused = [{"line": row_of[r.line], "reason": r.reason} for r in result.rejected]
        write_rejects(rejects, read, refused)
        table = result.table().set_index("line").reindex(list(read.lines))
        table = table.rename_axis("line").reset_index()[["smiles", "line", "changed", "removed"]]
        table = with_columns(table, read, refused, original=output is not None)
        if output is None:
            write_lines(table)
            return
        arguments = {"tautomer": tautomer, "keep_charges": keep_charges}
        arguments |= {"keep_fragments": keep_fragments, "keep_isotopes": keep_isotopes}
        write_table(table, output, "standardize", arguments, hash_input(read))


def _set_aside(
    table: pd.DataFrame, read: MoleculeFile, rejects: Path | None
) -> list[dict[str, Any]]:
    """Take the column ``problem`` off the table; the rows that have one go to the rejects."""
    problems = enumerate(table.pop("problem"), 1)
    refused = [{"line": at, "reason": problem} for at, problem in problems if problem]
    write_rejects(rejects, read, refused)
    return refused


@app.command()
def protonate(
    molecules: Input = "-",
    ph: Annotated[float, typer.Option("--ph", help="From 0 to 14.")] = 7.4,
    column: Column = None,
    format: Format = None,
    output: Output = None,
    rejects: Rejects = None,
) -> None:
    """The charged form that prevails at a pH: for docking, as the last step.

    Needs pip install 'digital-double[protonation]'. Groups are judged one by one, so both nitrogens
    of a piperazine are charged.

    Examples:

      molgen protonate candidates.smi --ph 7.4 | molgen dock - --target DRD2
    """
    with plain_errors():
        read = read_input(molecules, column, format)
        table = protonate_molecules(read.smiles, ph)
        refused = _set_aside(table, read, rejects)
        table = with_columns(
            table.drop(columns="given"), read, refused, original=output is not None
        )
        write_table(table, output, "protonate", {"ph": ph}, hash_input(read))


@app.command()
def describe(
    molecules: Input = "-",
    properties: Annotated[
        str | None, typer.Option("--properties", "-p", help="Comma-separated; all by default.")
    ] = None,
    column: Column = None,
    format: Format = None,
    output: Output = None,
    rejects: Rejects = None,
    jobs: Jobs = 1,
) -> None:
    """Compute descriptors: weight, logP, TPSA, QED, SA score and two dozen others.

    The input's own columns stay beside them; rows that are not molecules are set aside.

    Examples:

      molgen describe drugs.smi

      molgen sample -n 100 | molgen describe - -p mw,logp,qed

      molgen describe library.sdf.gz -o library.parquet --rejects bad.csv
    """
    with plain_errors():
        read = read_input(molecules, column, format)
        names = None if properties is None else [p.strip() for p in properties.split(",")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the rejects are told of below
            table = describe_molecules(
                read.smiles, properties=names, n_jobs=jobs, progress=show_progress(molecules)
            )
        refused = table.attrs["rejected"]
        write_rejects(rejects, read, refused)
        table = whole_counts(with_columns(table, read, refused))
        write_table(table, output, "describe", {"properties": names}, hash_input(read))


@app.command()
def known(
    molecules: Input = "-",
    column: Column = None,
    format: Format = None,
    output: Output = None,
    rejects: Rejects = None,
) -> None:
    """Say what of molecules is in ChEMBL, in patents' chemistry (SureChEMBL) and in stock (ZINC20).

    Needs pip install 'digital-double[known]'; no network. A no is certain. A yes is wrong of one in
    40,000 for ring systems, scaffolds and frameworks, and of 7 % for what is in stock.

    Examples:

      molgen known candidates.csv -o known.csv

      molgen sample -n 100 | molgen known -
    """
    with plain_errors():
        read = read_input(molecules, column, format)
        table = find_known(read.smiles)
        refused = _set_aside(table, read, rejects)
        table = with_columns(table, read, refused)
        write_table(table, output, "known", {}, hash_input(read))


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
    format: Format = None,
    output: Output = None,
    rejects: Rejects = None,
    all_rows: Annotated[
        bool, typer.Option("--all", help="Write refused molecules too, with their reasons.")
    ] = False,
    funnel: Annotated[
        Path | None,
        typer.Option(
            help="Write the funnel here: .csv, or a plot .svg .png .pdf.", callback=check_place
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="List the filters with their sources, and stop.")
    ] = False,
    jobs: Jobs = 1,
) -> None:
    """Keep the molecules that pass; say why the others do not.

    What passes goes to standard output, SMILES and names or, where the input has further columns,
    CSV, unless --all or --output asks for a table. The funnel, how many fell at each step, goes to
    standard error. Exit code 1 when none passes.

    Examples:

      molgen sample -n 1000 | molgen filter - > good.smi

      molgen filter library.csv -f lipinski,pains,brenk --all -o verdicts.csv

      molgen filter library.smi -f rules.yaml --rejects bad.csv --funnel funnel.svg
    """
    with plain_errors():
        if show:
            _list_filters()
            return
        given: Any = [f.strip() for f in filters.split(",")] if "," in filters else filters
        chosen = as_filter_set(given)
        read = read_input(molecules, column, format)
        table = filter_molecules(
            read.smiles, chosen, n_jobs=jobs, progress=show_progress(molecules)
        )
        steps = funnel_table(table)
        unreadable = [
            {"line": i, "reason": r.items[0].what}
            for i, r in enumerate(table["reasons"], start=1)
            if r.items and r.items[0].filter == NOT_A_MOLECULE
        ]
        write_rejects(rejects, read, unreadable)
        tell(steps.to_string(index=False))
        if funnel is not None:
            _write_funnel(steps, funnel)
        arguments = {"filters": chosen.to_list()}
        n_passed = int(table["passed"].sum())
        table = with_columns(table, read, unreadable)
        kept = table if all_rows else table[table["passed"]].reset_index(drop=True)
        if output is None and not all_rows:
            write_lines(kept)
        else:
            write_table(kept, output, "filter", arguments, hash_input(read))
    if not n_passed:
        raise typer.Exit(1)


def _list_filters() -> None:
    for name, members in PRESETS.items():
        show(f"preset {name}: {', '.join(members)}")
    for name in filter_names():
        known = named_filter(name)
        what = f"{RULES[name]}. " if name in RULES else ""
        note = f" ({RULES[name].note})" if name in RULES and RULES[name].note else ""
        show(f"{name}: {what}{known.source}{note}")


def _write_funnel(steps: pd.DataFrame, path: Path) -> None:
    if path.suffix.lower() == ".csv":
        try:
            write_text(path, steps.to_csv(index=False))
        except OSError as error:
            raise ValueError(f"Cannot write {path}: {error.strerror}.") from error
    else:
        plot_funnel(steps, path)


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="A file that molgen wrote, or a log.")],
    rows: Annotated[int, typer.Option("--rows", "-n", help="Rows to compute again.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the draw of rows.")] = 0,
    again: Annotated[
        bool | None,
        typer.Option(
            "--again/--no-again",
            help="Run the command that wrote it again: always, or never; by default where rows "
            "cannot be computed singly.",
        ),
    ] = None,
) -> None:
    """Check a file against its provenance record, and make it, or some of its rows, again.

    Of a log of commands (--log) the chain of lines is checked.

    Exit code 1 when something does not agree.

    Example:

      molgen verify molecules.csv
    """
    with plain_errors():
        outcome = verify_file(path, n_rows=rows, seed=seed, again=again)
        show(str(outcome))
    if not outcome.passed:
        raise typer.Exit(1)
