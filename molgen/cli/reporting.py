"""Commands that show molecules: evaluate, draw and report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molgen.base.user_warnings import warn_user
from molgen.base.whole_files import write_atomically
from molgen.chem.description import describe as describe_molecules
from molgen.chem.properties import DESCRIPTORS
from molgen.cli.app import app
from molgen.cli.common import (
    Column,
    Format,
    Input,
    Jobs,
    Rejects,
    check_drawing_place,
    check_page_place,
    check_place,
    hash_input,
    not_molecules,
    plain_errors,
    read_input,
    read_smiles,
    show,
    show_progress,
    tell,
    warn,
    with_columns,
    write_rejects,
)
from molgen.evaluation.metrics import evaluate as evaluate_molecules
from molgen.provenance import record, write_beside
from molgen.report.drawing import draw as draw_molecules
from molgen.report.page import report as write_report

if TYPE_CHECKING:
    import pandas as pd

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
        str | None, typer.Option("--metrics", help="Comma-separated; all by default.")
    ] = None,
    column: Column = None,
    format: Format = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write the metrics here as JSON.", callback=check_place
        ),
    ] = None,
    rejects: Rejects = None,
    device: Annotated[str, typer.Option(help="Where ChemNet runs: auto, cpu, cuda.")] = "auto",
    jobs: Jobs = 1,
) -> None:
    """MOSES's metrics: validity, uniqueness, novelty, FCD, SNN, Frag, Scaf, IntDiv and others.

    Rows that are not molecules count against validity; --rejects lists them.

    Examples:

      molgen evaluate generated.smi

      molgen sample -n 30000 | molgen evaluate - -j -1 -o metrics.json

      molgen evaluate mine.smi -r house.csv --metrics FCD,SNN,Novelty
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
        write_rejects(rejects, read, not_molecules(read))
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
        write_beside(output, record("evaluate", {"reference": reference}))


@app.command()
def draw(
    molecules: Input,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The SVG file.", callback=check_drawing_place)
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

    What --scores names is a column of the file, or else a descriptor. Rows that are not molecules
    are set aside.

    Example:

      molgen draw hits.smi -o hits.svg -s qed,sa_score --highlight brenk
    """
    with plain_errors():
        read = read_input(molecules, column, format)
        refused = not_molecules(read)
        table = _own_rows(read, refused)
        write_rejects(rejects, read, refused)
        if not len(table):
            raise ValueError(f"{read.source} has no molecules to draw")
        title = table.attrs["titles"]
        shown = table.head(limit)
        smiles = [str(s) for s in shown["smiles"]]
        named = [] if title is None else ["" if v is None else str(v) for v in shown[title]]
        draw_molecules(
            smiles,
            scores=_beneath(scores, shown),
            names=named if any(named) else None,
            highlight=highlight,
            columns=columns,
            path=output,
        )
        write_beside(output, record("draw", {}, data_sha256=hash_input(read)))
        _tell_of_limit(len(smiles), len(table))
        tell(f"{len(smiles):,} molecules drawn in {output}")


def _own_rows(read: MoleculeFile, refused: list[dict[str, Any]]) -> pd.DataFrame:
    """The molecules read with the user's columns; ``attrs["titles"]`` names that of identifiers."""
    import pandas as pd

    return with_columns(pd.DataFrame({"smiles": list(read.smiles)}), read, refused)


def _known_rows(source: str) -> pd.DataFrame:
    """Known molecules to compare with, with their names and links; rows left out are told."""
    read = read_input(source, None)
    refused = not_molecules(read)
    n = len(read.rejected) + len(refused)
    if n:
        warn(f"{n:,} rows of {source} are left out: they are not molecules")
    return _own_rows(read, refused)


def _beneath(scores: str | None, table: pd.DataFrame) -> dict[str, list[Any]]:
    """Values to write beneath the molecules: columns of the table, or descriptors."""
    names = [s.strip() for s in scores.split(",")] if scores else []
    own = {n: ["" if v is None else v for v in table[n]] for n in names if n in table.columns}
    wanted = [n for n in names if n not in own]
    if not wanted:
        return own
    computed = describe_molecules(table["smiles"], properties=wanted)
    return {n: own.get(n) or computed[n].tolist() for n in names}


def _tell_of_limit(shown: int, there: int) -> None:
    if shown < there:
        warn(f"{shown:,} of {there:,} molecules are shown; --limit sets how many")


@app.command()
def report(
    molecules: Input,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The HTML file.", callback=check_page_place)
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

    The input's own columns stand in the page's table. Scores that "molgen score" or "molgen
    optimize" wrote make the cards at the top and the picture of the search. Rows that are not
    molecules are set aside.

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
            known = _known_rows(known)
        refused = not_molecules(read)
        table = _with_meaning(_own_rows(read, refused))
        write_rejects(rejects, read, refused)
        if not len(table):
            raise ValueError(f"{read.source} has no molecules to report on")
        made = record("report", {"filters": given}, data_sha256=hash_input(read))
        write_report(
            table,
            output,
            title=title,
            reference=known,
            filters=given,
            metrics=values,
            provenance=made,
            max_structures=limit,
            n_jobs=jobs,
            progress=show_progress(molecules),
        )
        write_beside(output, made)
        _tell_of_limit(min(limit, len(table)), len(table))
        tell(f"{len(table):,} molecules reported in {output}")


#: Columns that a report computes with, beside descriptors and those ending in "(raw)".
_COMPUTED_WITH = ("score", "call")
_VERDICTS = ("passed", "diverse")


def _with_meaning(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns that a report computes with as numbers and verdicts.

    A column of the user's that only has the name of one is called ``input_...``.
    """
    import pandas as pd

    renamed = {}
    for name in table.columns:
        text = str(name)
        if text in _VERDICTS:
            values = table[name].map({"True": True, "False": False, True: True, False: False})
        elif (
            text in DESCRIPTORS
            or text in _COMPUTED_WITH
            or text.endswith("(raw)")
            or f"{text} (raw)" in table.columns
        ):
            values = pd.to_numeric(table[name], errors="coerce")
        else:
            continue
        given = table[name].notna() & (table[name].astype(str) != "")
        if (values.isna() & given).any() or (text in _VERDICTS and values.isna().any()):
            renamed[name] = f"input_{text}"
        else:
            table[name] = values.astype(bool if text in _VERDICTS else float)
    if renamed:
        warn_user(
            f"the input's columns {', '.join(map(str, renamed))} hold other things than a report "
            f"computes with; they are shown as {', '.join(renamed.values())}"
        )
    whole = table.rename(columns=renamed)
    title = table.attrs["titles"]
    whole.attrs = {**table.attrs, "titles": renamed.get(title, title)}
    return whole


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
