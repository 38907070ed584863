"""What the commands share: arguments, reading input, writing rejects, and one-sentence errors."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from molgen.files.molecule_files import MoleculeFile

Input = Annotated[
    str,
    typer.Argument(help="A .smi, .csv, .tsv, .sdf or .parquet file, plain or .gz; - for stdin."),
]
Column = Annotated[
    str | None, typer.Option("--column", "-c", help="Column that holds SMILES; found by default.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Where to write; by the ending: .csv .parquet .sdf ..."),
]
Rejects = Annotated[
    Path | None, typer.Option(help="Write rows that cannot be used here, with reasons (CSV).")
]
DropoutShare = Annotated[
    float, typer.Option(help="Chance that a channel of a layer's update is left out.")
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", help="Processes; -1 for all cores.")]


@contextmanager
def plain_errors() -> Iterator[None]:
    """Wrong input ends with one sentence on standard error and exit code 2, not a traceback."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        except (ValueError, TypeError) as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(2) from error
        except BrokenPipeError:  # the reader of our output, such as head, has seen enough
            sys.stderr.close()
            raise typer.Exit(0) from None
        finally:
            for warning in caught:
                if issubclass(warning.category, UserWarning):
                    typer.echo(f"Warning: {warning.message}", err=True)


def read_input(source: str, column: str | None) -> MoleculeFile:
    """The molecules of a file, or of standard input for ``-``."""
    from molgen.files.molecule_files import read_molecules

    return read_molecules(source, column=column)


def show_progress(source: str) -> bool:
    """Whether a progress bar would be seen and would not mix with piped input."""
    return sys.stderr.isatty() and source != "-"


def write_rejects(path: Path | None, read: MoleculeFile, refused: list[dict[str, Any]]) -> None:
    """Tell how many rows were set aside, and write them with line numbers of the input."""
    import pandas as pd

    rows = [(r.line, r.smiles, r.reason) for r in read.rejected]
    rows += [(read.lines[r["line"] - 1], r["smiles"], r["reason"]) for r in refused]
    if rows:
        where = f"; see {path}" if path else "; --rejects FILE keeps them"
        typer.echo(f"{len(rows):,} rows are set aside{where}", err=True)
    if path is not None:
        table = pd.DataFrame(sorted(rows), columns=["line", "smiles", "reason"])
        try:
            table.to_csv(path, index=False)
        except OSError as error:
            raise ValueError(f"Cannot write {path}: {error.strerror}.") from error


def read_columns(path: Path) -> pd.DataFrame:
    """All columns of a .parquet, .tsv or else .csv file."""
    import pandas as pd

    from molgen.base.parquet import ParquetError, read_parquet

    if path.suffix != ".parquet":
        return pd.read_csv(path, sep="\t" if path.suffix in (".tsv", ".tab") else ",")
    try:
        return read_parquet(path)[0]
    except ParquetError as error:
        raise ValueError(f"{path} is not a readable Parquet file: {error}.") from error


def write_table(
    table: pd.DataFrame, output: Path | None, function: str, arguments: dict[str, Any], data: str
) -> None:
    """The table to a file with its provenance, or as CSV to standard output."""
    from molgen.provenance import record, save_table

    if output is None:
        sys.stdout.write(table.to_csv(index=False))
        sys.stdout.flush()
        return
    save_table(table, output, record(function, arguments, data_sha256=data))
    typer.echo(f"{len(table):,} rows written to {output}", err=True)


def hash_input(read: MoleculeFile) -> str:
    """SHA-256 of the molecules read, for provenance."""
    from molgen.files.datasets import hash_smiles

    return hash_smiles(read.smiles)


def with_names(table: pd.DataFrame, read: MoleculeFile) -> pd.DataFrame:
    """The table with the input's identifiers in a column ``name``, when it has any."""
    if any(read.names):
        table.insert(1, "name", list(read.names))
    return table
