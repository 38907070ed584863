"""Commands that show molecules: evaluate, draw and report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molgen.base.whole_files import write_atomically
from molgen.chem.properties import describe as describe_molecules
from molgen.cli.app import app
from molgen.cli.common import (
    Column,
    Format,
    Input,
    Jobs,
    Rejects,
    check_place,
    hash_input,
    plain_errors,
    read_columns,
    read_input,
    read_smiles,
    show,
    show_progress,
    tell,
    write_rejects,
)
from molgen.evaluation.metrics import evaluate as evaluate_molecules
from molgen.provenance import record
from molgen.report.drawing import draw as draw_molecules
from molgen.report.page import report as write_report

if TYPE_CHECKING:
    from molgen.files.molecule_files import MoleculeFile


@app.command()
def evaluate(
    molecules: Input = "-",
    reference: Annotated[
        str, typer.Option("--reference", "-r", help="'moses', or a file of molecules.")
    ] = "moses",
    train: Annotated[
        str | None, typer.Option(help="File of training molecules that novelty is counted against.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", "-m", help="Comma-separated; all by default.")
    ] = None,
    column: Column = None,
    format: Format = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write the metrics here as JSON.", callback=check_place
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where ChemNet runs: auto, cpu, cuda.")] = "auto",
    jobs: Jobs = 1,
) -> None:
    """MOSES's metrics: validity, uniqueness, novelty, FCD, SNN, Frag, Scaf, IntDiv and others.

    Examples:

      molgen evaluate generated.smi

      molgen sample -n 30000 | molgen evaluate - -j -1 -o metrics.json

      molgen evaluate mine.smi -r house.csv -m FCD,SNN,Novelty
    """
    with plain_errors():
        read = read_input(molecules, column, format)
        generated = [*read.smiles, *(r.smiles for r in read.rejected)]
        values = evaluate_molecules(
            generated,
            reference if reference == "moses" else Path(reference),
            train=None if train is None else read_smiles(train),
            metrics=None if metrics is None else [m.strip() for m in metrics.split(",")],
            n_jobs=jobs,
            device=device,
            progress=show_progress(molecules),
        )
        text = json.dumps(values, indent=1)
        if output is None:
            width = max(map(len, values), default=0)
            for name, value in values.items():
                show(f"{name:<{width}}  {value:.4f}")
            return
        try:
            write_atomically(output, text.encode())
        except OSError as error:
            raise ValueError(f"Cannot write {output}: {error.strerror}.") from error


@app.command()
def draw(
    molecules: Input,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The SVG file.", callback=check_place)
    ],
    scores: Annotated[
        str | None, typer.Option("--scores", "-s", help="Properties to write beneath, by commas.")
    ] = None,
    highlight: Annotated[
        str | None, typer.Option(help="Highlight what these filters object to, for example pains.")
    ] = None,
    columns: Annotated[int, typer.Option(help="Molecules in a row.")] = 4,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many molecules.")] = 100,
    column: Column = None,
    format: Format = None,
    rejects: Rejects = None,
) -> None:
    """Draw molecules as a grid, with scores beneath and alerts highlighted.

    Example:

      molgen draw hits.smi -o hits.svg -s qed,sa_score --highlight brenk
    """
    with plain_errors():
        read = read_input(molecules, column, format)
        smiles = list(read.smiles[:limit])
        held: dict[str, list[float]] = {}
        if scores:
            names = [s.strip() for s in scores.split(",")]
            table = describe_molecules(smiles, properties=names)
            held = {n: table[n].tolist() for n in names}
        draw_molecules(
            smiles,
            scores=held,
            names=list(read.names[:limit]) if any(read.names[:limit]) else None,
            highlight=highlight,
            columns=columns,
            path=output,
        )
        write_rejects(rejects, read, [])
        tell(f"{len(smiles):,} molecules drawn in {output}")


@app.command()
def report(
    molecules: Input,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The HTML file.", callback=check_place)
    ],
    filters: Annotated[
        str | None, typer.Option("--filters", "-f", help="Apply these, and show the funnel.")
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option("--metrics", help="JSON from molgen evaluate -o.")
    ] = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Molecules",
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many drawn.")] = 1000,
    column: Column = None,
    format: Format = None,
    reference: Annotated[
        str, typer.Option("--reference", "-r", help="'moses', 'none' or a file of known molecules.")
    ] = "moses",
    rejects: Rejects = None,
    jobs: Jobs = 1,
) -> None:
    """Write one HTML page with structures, properties, filter funnel and metrics; opens offline.

    A table that "molgen score" or "molgen optimize" wrote (.csv, .parquet) keeps its scores, which
    make the cards at the top and the picture of the search.

    Examples:

      molgen report generated.smi -o generated.html -f default --metrics metrics.json

      molgen report best.csv -o best.html -r house.smi
    """
    with plain_errors():
        read = read_input(molecules, column, format)
        given: Any = (
            [f.strip() for f in filters.split(",")] if filters and "," in filters else filters
        )
        values = None if metrics is None else _read_metrics(metrics)
        known: Any = {"moses": "moses", "none": None}.get(reference, reference)
        if known not in ("moses", None):
            known = list(read_smiles(known))
        write_report(
            _scored_rows(molecules, read),
            output,
            title=title,
            reference=known,
            filters=given,
            metrics=values,
            provenance=record("report", {"filters": given}, data_sha256=hash_input(read)),
            max_structures=limit,
            n_jobs=jobs,
            progress=show_progress(molecules),
        )
        write_rejects(rejects, read, [])
        tell(f"{len(read):,} molecules reported in {output}")


def _scored_rows(source: str, read: MoleculeFile) -> Any:
    """The molecules read; with all their columns where a table of scores was given."""
    path = Path(source)
    if path.suffix not in (".parquet", ".csv", ".tsv"):
        return read.smiles
    table = read_columns(path)
    if "score" not in table.columns or "smiles" not in table.columns:
        return read.smiles
    whole = table["smiles"].notna()
    return table[whole].reset_index(drop=True)


def _read_metrics(path: Path) -> dict[str, float]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    if not isinstance(data, dict) or not all(isinstance(v, int | float) for v in data.values()):
        raise ValueError(f"{path} must hold metric names with numbers, as molgen evaluate writes.")
    return data
