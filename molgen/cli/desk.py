"""Commands of the lead-optimisation desk: what a series says, and what to test next."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from molgen.base.whole_files import write_atomically
from molgen.chem.parsing import parse_or_none
from molgen.cli.app import app
from molgen.cli.common import (
    Column,
    Format,
    Input,
    Jobs,
    Output,
    check_folder,
    check_page_place,
    check_place,
    hash_input,
    plain_errors,
    read_input,
    show,
    show_progress,
    tell,
    warn,
    with_columns,
    write_table,
)
from molgen.cli.objectives import check_units, relation_column
from molgen.files.delimited import find_column, names_identifiers
from molgen.optimization.campaign import Campaign
from molgen.optimization.campaign_record import read_quantities
from molgen.provenance import record, write_beside
from molgen.qsar.assay_values import looks_like_a_number
from molgen.report.sar_desk import sar as read_sar
from molgen.scoring.docking import Docking, Receptor

Target = Annotated[
    str | None,
    typer.Option("--target", "-t", help="Column of the measured value; found if there is one."),
]
Relation = Annotated[
    str | None, typer.Option(help="Column of = > < beside the value; found by default.")
]
Unit = Annotated[
    str | None,
    typer.Option(help="Concentrations in nM, uM, mM or M: take -log10; that of the column's name."),
]
LowerIsBetter = Annotated[bool, typer.Option("--lower-is-better", help="Low values are wanted.")]


def find_target(read: Any, named: str | None) -> str:
    """The column of measured values: the one named, or the only one that holds numbers.

    Raises:
        ValueError: None, or several, and none named.
    """
    if named is not None:
        find_column(list(read.columns), named, read.source)
        return named
    numeric = []
    for name, values in read.columns.items():
        texts = [str(v) for v in values if v is not None and str(v).strip()]
        if name == read.name_column or names_identifiers(str(name)) or not texts:
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
        write_beside(output / "page.html", record("sar", {}, data_sha256=hash_input(read)))
        tell(f"Tables and page.html are in {output}")


@app.command()
def suggest(
    table: Input,
    n: Annotated[int, typer.Option("--n", "-n", help="Compounds on the plate.")] = 24,
    target: Target = None,
    lower_is_better: LowerIsBetter = False,
    goal: Annotated[
        list[str] | None,
        typer.Option("--goal", "-g", help="'maximise COLUMN' or 'minimise COLUMN'; repeat it."),
    ] = None,
    library: Annotated[
        Path | None, typer.Option(help="Molecules to choose from; changes of the best by default.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Generator that proposes, too; or 'none'.")
    ] = "none",
    filters: Annotated[str, typer.Option(help="What proposals must pass, or 'none'.")] = "default",
    alike: Annotated[
        bool, typer.Option("--alike", help="Also compounds too like another on the plate.")
    ] = False,
    explore: Annotated[float, typer.Option(help="Share of the plate that is for learning.")] = 0.2,
    cost: Annotated[
        str | None, typer.Option(help="Column of the library's file: what a compound costs.")
    ] = None,
    max_cost: Annotated[float | None, typer.Option(help="What the plate may cost.")] = None,
    plates: Annotated[
        int | None, typer.Option(help="Wells of a plate: 24, 96, 384 or 1536.")
    ] = None,
    column: Column = None,
    format: Format = None,
    seed: Annotated[int, typer.Option(help="The same seed, the same suggestions.")] = 0,
    output: Output = None,
    report: Annotated[
        Path | None, typer.Option(help="An HTML page with drawings.", callback=check_page_place)
    ] = None,
) -> None:
    """Choose the compounds to test next, from what a table of measured ones says.

    Limits such as >10000 are used as limits; rows without a value count as failed wells.

    Examples:

      molgen suggest series.csv -n 24 -o plate.csv --report plate.html

      molgen suggest series.csv -g "maximise pIC50" -g "minimise hERG" --library stock.smi -n 96
    """
    with plain_errors():
        read = read_input(table, column, format)
        if goal:
            quantities = read_quantities(goal)
        else:
            named = find_target(read, target)
            quantities = read_quantities(f"{'minimise' if lower_is_better else 'maximise'} {named}")
        for quantity in quantities:
            find_column(list(read.columns), quantity.name, read.source)
            check_units(read, [quantity.name], "regression")
        prices: Any = None
        choose_from: Any = None
        if library is not None:
            stock = read_input(str(library), None)
            choose_from = list(stock.smiles)
            if cost is not None:
                find_column(list(stock.columns), cost, stock.source)
                prices = dict(zip(stock.smiles, (float(v) for v in stock.columns[cost])))
        elif cost is not None:
            raise ValueError("--cost names a column of the --library, and none is given")
        campaign = Campaign(
            quantities, library=choose_from, generator=None if model == "none" else model,
            filters=None if filters == "none" else filters, seed=seed,
        )  # fmt: skip
        rows = read.table()
        relation = relation_column(read, None, len(quantities))
        if relation is not None:
            (name,) = (quantity.name for quantity in quantities)
            rows[name] = [
                value if sign is None or str(sign) in ("", "=", "nan") else f"{sign}{value}"
                for sign, value in zip(relation, rows[name])
            ]  # fmt: skip
        good = [row for row, text in enumerate(read.smiles) if parse_or_none(text) is not None]
        if len(good) < len(rows):
            warn(f"{len(rows) - len(good):,} rows are no molecules and are left out")
        campaign.tell(rows.iloc[good])
        told = list(campaign.remarks)
        plate = campaign.suggest(
            n, diverse=not alike, cost=prices, max_cost=max_cost, explore=explore, plates=plates
        )
        for remark in [*told, *campaign.remarks]:
            tell(f"Note: {remark}")
        arguments = {"goal": [f"{q.sign:+g} {q.name}" for q in quantities], "n": n}
        arguments |= {"model": model, "explore": explore, "library": str(library)}
        write_table(plate, output, "suggest", arguments, hash_input(read), seed)
        if report is not None:
            campaign.to_html(report)
            write_beside(report, record("suggest", arguments, seed=seed))
            tell(f"Report in {report}")


@app.command()
def dock(
    molecules: Input,
    target: Annotated[
        str, typer.Option("--target", "-t", help="A prepared target (DRD2), .pdbqt or .pdb file.")
    ],
    center: Annotated[
        str | None,
        typer.Option(help="Middle of the box, Å: 'x,y,z'; of a prepared target: its own."),
    ] = None,
    size: Annotated[str, typer.Option(help="Edges of the box, Å: 'x,y,z'.")] = "22.5,22.5,22.5",
    exhaustiveness: Annotated[int, typer.Option(help="Of Vina's search.")] = 8,
    poses: Annotated[int, typer.Option(help="Poses kept of each molecule.")] = 3,
    sdf: Annotated[
        Path | None, typer.Option(help="Write the poses here (SDF).", callback=check_place)
    ] = None,
    check_poses: Annotated[
        bool,
        typer.Option("--check-poses", help="Strain (kcal/mol) and PoseBusters' failed checks."),
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds for one molecule.")] = 600.0,
    seed: Annotated[int, typer.Option(help="The same seed, the same scores.")] = 0,
    column: Column = None,
    format: Format = None,
    output: Output = None,
    jobs: Jobs = 1,
) -> None:
    """Dock molecules with AutoDock Vina: scores in kcal/mol (lower is better), and poses.

    Needs pip install 'digital-double[docking]'. A molecule that fails has its reason in its row.

    Examples:

      molgen dock ligands.smi --target DRD2 -o docked.csv --sdf poses.sdf

      molgen dock ligands.smi --target protein.pdb --center "10,22.5,-3" -j 4 -o docked.csv
    """
    with plain_errors():
        read = read_input(molecules, column, format)
        docking = Docking(
            _receptor(target, center, size), seed=seed, exhaustiveness=exhaustiveness,
            n_poses=poses, timeout=timeout, n_jobs=jobs, check_poses=check_poses,
        )  # fmt: skip
        table = docking.table(read.smiles)
        records = "".join(table.pop("poses"))
        failed = int(table["score"].isna().sum())
        if failed:
            at = int(table["score"].isna().to_numpy().argmax())
            warn(
                f"{failed:,} molecules have no score; {table['smiles'][at]}: {table['problem'][at]}"
            )
        if sdf is not None:
            write_atomically(sdf, records.encode())
            write_beside(sdf, record("dock", {"target": target}, seed=seed))
        arguments = {"target": target, "exhaustiveness": exhaustiveness, "seed": seed}
        table = with_columns(table, read)
        write_table(table, output, "dock", arguments, hash_input(read), seed)
    if failed == len(table):
        raise typer.Exit(1)


def _receptor(target: str, center: str | None, size: str) -> Receptor:
    suffix = Path(target).suffix.lower()
    if suffix not in (".pdb", ".pdbqt"):
        return Receptor.named(target)
    if center is None:
        raise ValueError("--center 'x,y,z' says where the pocket of your receptor is")
    box = _three(center, "--center"), _three(size, "--size")
    return Receptor(target, *box) if suffix == ".pdbqt" else Receptor.from_pdb(target, *box)


def _three(text: str, option: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise ValueError(f"{option} is three numbers, such as '10,22.5,-3'; got {text!r}") from None
    return x, y, z
