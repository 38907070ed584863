"""Commands of the lead-optimisation desk: what a series says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from molgen.cli.app import app
from molgen.cli.common import (
    Column,
    Format,
    Input,
    Jobs,
    check_folder,
    plain_errors,
    read_input,
    show,
    show_progress,
    tell,
    warn,
)
from molgen.cli.objectives import check_units, find_column, relation_column
from molgen.qsar.assay_values import looks_like_a_number
from molgen.report.sar_desk import sar as read_sar

Target = Annotated[
    str | None,
    typer.Option("--target", "-t", help="Column of the measured value; found if there is one."),
]
Relation = Annotated[
    str | None, typer.Option(help="Column of = > < beside the value; found by default.")
]
Unit = Annotated[
    str | None,
    typer.Option(help="The values are concentrations in nM, uM, mM or M: take -log10."),
]
LowerIsBetter = Annotated[bool, typer.Option("--lower-is-better", help="Low values are wanted.")]

_IDENTIFIERS = ("id", "name", "compound", "compound_id", "cpd", "molecule", "row", "index", "batch")


def find_target(read: Any, named: str | None) -> str:
    """The column of measured values: the one named, or the only one that holds numbers.

    Raises:
        ValueError: None, or several, and none named.
    """
    if named is not None:
        find_column(read, named)
        return named
    numeric = []
    for name, values in read.columns.items():
        texts = [str(v) for v in values if v is not None and str(v).strip()]
        plain = str(name).strip().lower().replace(" ", "_")
        if name == read.name_column or plain in _IDENTIFIERS or not texts:
            continue
        if sum(looks_like_a_number(text) for text in texts) >= 0.5 * len(texts):
            numeric.append(str(name))
    if len(numeric) == 1:
        return numeric[0]
    if not numeric:
        others = ", ".join(map(str, read.columns)) or "none beside the molecules"
        raise ValueError(f"{read.source} has no column of numbers; it has: {others}")
    raise ValueError(
        f"{read.source} has several columns of numbers ({', '.join(numeric)}): name the measured "
        "value with --target"
    )


@app.command()
def sar(
    table: Input,
    target: Target = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder for the tables and page.html.", callback=check_folder
        ),
    ] = Path("sar"),
    core: Annotated[
        str | None,
        typer.Option(help="SMILES or SMARTS of the core, such as 'c1ccc2[nH]ccc2c1'; found."),
    ] = None,
    lead: Annotated[
        str | None, typer.Option(help="SMILES to which changes are applied; the best compound.")
    ] = None,
    unit: Unit = None,
    lower_is_better: LowerIsBetter = False,
    relation: Relation = None,
    column: Column = None,
    format: Format = None,
    jobs: Jobs = 1,
) -> None:
    """Read a series of measured compounds: R-groups, Free-Wilson, matched pairs, cliffs.

    Writes CSV files and a page with drawings. Limits such as >10000 are used as limits.

    Examples:

      molgen sar series.csv -o series/

      molgen sar series.csv --target IC50 --unit nM --core "c1ccc2[nH]ccc2c1" -o series/
    """
    with plain_errors():
        read = read_input(table, column, format)
        named = find_target(read, target)
        signs = relation_column(read, relation, 1)
        if unit is None:
            check_units(read, [named], "regression")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # they stand in the notes
            desk = read_sar(
                list(read.smiles), list(read.columns[named]), names=list(read.names),
                relation=signs, unit=unit, core=core, lead=lead,
                lower_is_better=lower_is_better, quantity=named, n_jobs=jobs,
                progress=show_progress(table),
            )  # fmt: skip
        if read.rejected:
            first = read.rejected[0]
            warn(
                f"{len(read.rejected):,} rows could not be read; line {first.line}: {first.reason}"
            )
        show(str(desk))
        desk.save(output)
        tell(f"Tables and page.html are in {output}")
